//! Who held others up over a range, and transactions that were old: a part of the page of a server's activity.

use serde::Serialize;
use utoipa::ToSchema;

use super::range::Range;
use crate::limits::{BLOCKING_WORTH_KEEPING, TRANSACTION_WORTH_KEEPING};
use crate::model::incident::{Incident, IncidentList};
use crate::model::unit::seconds_for_people;

/// What looks saw over a range, those that were seen last first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct IncidentsView {
    /// Sessions and prepared transactions behind which others waited.
    pub blocking: IncidentList,
    /// Transactions that were open for long, and what they held back.
    pub old_transactions: IncidentList,
}

/// The same by itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IncidentsAnswer {
    /// The server.
    pub server: String,
    /// The range.
    pub range: Range,
    /// What looks saw.
    #[serde(flatten)]
    pub incidents: IncidentsView,
}

impl IncidentsView {
    /// What stands where nobody held others up. Looks see moments, so more cannot be said.
    pub fn no_blocking(&self) -> String {
        format!(
            "No session was seen to wait for another for {} or longer at any look in this time; looks are usually a minute apart.",
            seconds_for_people(BLOCKING_WORTH_KEEPING.as_secs_f64())
        )
    }

    /// What stands where no transaction was old.
    pub fn no_old_transactions(&self) -> String {
        format!("No {} was seen in this time.", self.old())
    }

    /// What counts as old.
    pub fn old(&self) -> String {
        let from = seconds_for_people(TRANSACTION_WORTH_KEEPING.as_secs_f64());
        format!("transaction that was open for {from} or longer")
    }

    /// How many are not on the page.
    pub fn more(&self, list: &IncidentList) -> usize {
        list.total.saturating_sub(list.items.len())
    }

    /// What one did, as the tables call it.
    pub fn doing<'a>(&self, incident: &'a Incident) -> &'a str {
        let facts = &incident.facts;
        match (facts.state.as_deref(), facts.command.as_str()) {
            (Some("active"), command) if !command.is_empty() => command,
            (Some(state), _) => state,
            (None, _) => "not seen",
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::limits;
    use crate::model::incident::IncidentFacts;
    use crate::web::pages::activity::ActivityPage;
    use crate::web::pages::frame::Page;
    use crate::web::pages::sample;
    use crate::web::pages::waits::WaitsView;

    fn incident(facts: IncidentFacts) -> Incident {
        Incident {
            began_at: sample::now() - TimeDelta::hours(3),
            last_seen_at: sample::now() - TimeDelta::hours(2),
            ended_at: Some(sample::now() - TimeDelta::hours(2) + TimeDelta::minutes(1)),
            facts,
        }
    }

    fn hostile() -> IncidentFacts {
        let name = || Some(sample::HOSTILE.to_owned());
        IncidentFacts {
            state: name(),
            database: name(),
            role: name(),
            application: sample::HOSTILE.into(),
            gid: name(),
            command: sample::HOSTILE.into(),
            statement_id: Some("0123456789abcdef".into()),
            waits_for: name(),
            waiting: 17,
            longest_wait_seconds: Some(600.0),
            transaction_seconds: Some(7200.0),
            xmin_age: Some(4321),
        }
    }

    fn html(incidents: IncidentsView) -> String {
        let range = (Range::Day, WaitsView::default(), incidents);
        let page = ActivityPage::build(sample::now(), "main".into(), None, range, vec!["main".into()]);
        page.html("..", "t").unwrap()
    }

    #[test]
    fn nothing_seen_is_told_as_no_more_than_that() {
        let html = html(IncidentsView::default());
        assert!(
            html.contains(
                "No session was seen to wait for another for 1.0 s or longer at any look in this time; looks are usually a minute \
                 apart."
            ),
            "{html}"
        );
        assert!(html.contains("No transaction that was open for 5 min or longer was seen in this time."));
        assert!(html.contains("/api/v1/servers/main/activity/incidents?range=24h"));
    }

    #[test]
    fn who_held_others_up_is_told_with_how_bad_it_became() {
        let ended = incident(IncidentFacts {
            state: Some("idle in transaction".into()),
            application: "till".into(),
            waits_for: Some("RowExclusiveLock on public.held".into()),
            ..hostile()
        });
        let going_on = Incident {
            ended_at: None,
            ..incident(hostile())
        };
        let html = html(IncidentsView {
            blocking: IncidentList {
                items: vec![ended, going_on],
                total: 202,
            },
            old_transactions: IncidentList::default(),
        });
        for told in [
            "idle in transaction",
            "till",
            "RowExclusiveLock on public.held",
            ">17<",
            "10 min",
            "2 h",
            "And 200 more.",
            "goes on",
            "/statements/0123456789abcdef",
        ] {
            assert!(html.contains(told), "{told}: {html}");
        }
        assert_eq!(html.matches(">goes on<").count(), 1, "{html}");
        assert!(!html.contains("No session was seen to wait"));
    }

    #[test]
    fn hostile_names_are_escaped_and_lists_have_their_bound() {
        let list = IncidentList {
            items: vec![incident(hostile()); limits::PAGE_ITEMS],
            total: limits::PAGE_ITEMS,
        };
        let html = html(IncidentsView {
            blocking: list.clone(),
            old_transactions: list,
        });
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(html.contains("4\u{202f}321 transactions"), "{html}");
        for row in ["blocking", "old"] {
            let rows = html.matches(&format!("data-row=\"{row}-")).count();
            assert_eq!(rows, limits::PAGE_ITEMS, "{row}");
        }
        assert!(!html.contains(" more.</p>"));
    }
}
