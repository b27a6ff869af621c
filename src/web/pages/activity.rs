//! `/servers/{server}/activity`: what is going on right now, and what did sessions wait for?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::Mark;
use super::incidents::IncidentsView;
use super::present;
use super::range::Range;
use super::tabs::{Tab, View};
use super::waits::{RANGES, WaitLine, WaitsView};
use crate::model::activity::{ActivityLine, ActivityNow, Count};
use crate::model::incident::Incident;
use crate::model::unit::seconds_for_people;

/// What goes on at one server.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "activity.html")]
pub struct ActivityPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The server.
    pub server: String,
    /// As of the last look; null where it is not known.
    pub activity: Option<ActivityNow>,
    /// The range over which waits and incidents are told.
    pub range: Range,
    /// What sessions did and waited for over the range.
    pub waits: WaitsView,
    /// Who held others up over the range, and transactions that were old.
    pub incidents: IncidentsView,
    /// All servers.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) servers: Vec<String>,
}
framed!(ActivityPage);

/// The address of a server's activity.
pub fn path(server: &str) -> String {
    format!("/servers/{}/activity", present::url_part(server))
}

impl ActivityPage {
    /// The page from what the store knows.
    pub fn build(
        now: DateTime<Utc>,
        server: String,
        activity: Option<ActivityNow>,
        (range, waits, incidents): (Range, WaitsView, IncidentsView),
        servers: Vec<String>,
    ) -> Self {
        Self {
            frame: Frame::new(now, Section::Activity, format!("Activity of {server}")),
            server,
            activity,
            range,
            waits,
            incidents,
            servers,
        }
    }

    /// The page where no server was looked at yet.
    pub fn of_nothing(now: DateTime<Utc>) -> Self {
        let over = (Range::Day, WaitsView::default(), IncidentsView::default());
        Self::build(now, String::new(), None, over, Vec::new())
    }

    fn sentence(&self) -> String {
        let Some(activity) = &self.activity else {
            return match self.server.as_str() {
                "" => "No server was looked at yet.".to_owned(),
                _ => "What goes on is not known yet.".to_owned(),
            };
        };
        waiting(activity).unwrap_or_else(|| quiet(activity))
    }

    fn others(&self) -> impl Iterator<Item = (&String, String)> {
        self.servers.iter().map(|server| (server, path(server)))
    }

    fn path(&self) -> String {
        path(&self.server)
    }

    fn ranges(&self) -> Vec<Tab> {
        let mut tabs = self.range.tabs(&self.path(), "");
        tabs.truncate(RANGES.len());
        tabs
    }

    /// Nothing is marked among waits.
    fn no_marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    fn wait_path(&self, line: &WaitLine) -> String {
        let list = View::Statements.path(&self.server, &line.key.database);
        format!("{list}/{}", present::url_part(&line.key.statement_id))
    }

    fn incident_path(&self, incident: &Incident) -> Option<String> {
        let (database, id) = (
            incident.facts.database.as_ref()?,
            incident.facts.statement_id.as_ref()?,
        );
        let list = super::statements::path(&self.server, database);
        Some(format!("{list}/{}", present::url_part(id)))
    }

    fn lasted(&self, incident: &Incident) -> String {
        seconds_for_people(incident.seconds())
    }

    fn used(&self, activity: &ActivityNow) -> u8 {
        let limit = activity.connections_limit.filter(|limit| *limit > 0);
        limit.map_or(0, |limit| (activity.clients * 100 / limit).min(100) as u8)
    }

    /// How far a line stands to the right.
    fn indent(&self, line: &ActivityLine) -> usize {
        line.depth.min(12)
    }

    fn process(&self, line: &ActivityLine) -> String {
        match line.pid {
            0 => "no process".to_owned(),
            pid => pid.to_string(),
        }
    }

    fn name(&self, count: &Count) -> String {
        match count.name.as_str() {
            "" => "(no name)".to_owned(),
            name => name.to_owned(),
        }
    }

    fn since(&self, seconds: &Option<f64>) -> String {
        seconds.map_or_else(|| "–".to_owned(), seconds_for_people)
    }

    fn beginning(&self, text: &str) -> String {
        let words: Vec<&str> = text.split_whitespace().collect();
        present::clip(&words.join(" "), 160)
    }

    fn statement_path(&self, line: &ActivityLine) -> Option<String> {
        let (database, id) = (line.database.as_ref()?, line.statement_id.as_ref()?);
        let list = super::statements::path(&self.server, database);
        Some(format!("{list}/{}", present::url_part(id)))
    }
}

/// Who waits behind whom; none where nobody waits.
fn waiting(activity: &ActivityNow) -> Option<String> {
    let sessions = &activity.sessions;
    let below = sessions.iter().filter(|line| line.depth > 0).count();
    let waiting = activity.waiting.max(below);
    if waiting == 0 {
        return None;
    }
    let wait = present::plural(waiting, "session waits", "sessions wait");
    let root = sessions.iter().find(|line| line.depth == 0 && line.blocks > 0);
    Some(match root {
        Some(root) if root.blocks < waiting => {
            format!("{wait} for a lock, {} of them behind {}.", root.blocks, who(root))
        }
        Some(root) => format!("{wait} behind {}.", who(root)),
        None => format!("{wait} for a lock; who holds it has ended by now, or is not seen."),
    })
}

/// Who others wait for. Of several prepared transactions the server does not say which one it is.
fn who(root: &ActivityLine) -> String {
    if root.pid != 0 {
        return format!("process {} ({})", root.pid, root.application);
    }
    let place = root.database.as_ref();
    let place = place.map_or(String::new(), |database| format!(" in {database}"));
    let age = root.transaction_seconds.map(seconds_for_people);
    match age {
        Some(age) if root.prepared.len() > 1 => {
            format!("a prepared transaction{place} (the oldest is {age} old)")
        }
        Some(age) => format!("a prepared transaction{place} ({age} old)"),
        None => format!("a prepared transaction{place}"),
    }
}

/// What is to be said where nobody waits.
fn quiet(activity: &ActivityNow) -> String {
    let nobody = match activity.why_blind {
        None => "Nobody waits for a lock",
        Some(_) => "Nobody who is seen waits for a lock",
    };
    let sessions = &activity.sessions;
    let prepared = activity.prepared_transactions.as_deref().unwrap_or_default();
    let oldest = sessions
        .iter()
        .filter_map(|line| line.transaction_seconds)
        .chain(prepared.iter().map(|line| line.age_seconds))
        .fold(0.0, f64::max);
    if oldest < 60.0 {
        return format!("{nobody}, and no transaction is old.");
    }
    let is_idle = |line: &&ActivityLine| {
        let state = line.state.as_deref().unwrap_or_default();
        state.starts_with("idle in transaction")
    };
    let prepared = match prepared.len() {
        0 => String::new(),
        count => format!(
            ", {} prepared",
            present::plural(count, "transaction is", "transactions are")
        ),
    };
    let idle = match sessions.iter().filter(is_idle).count() {
        0 => String::new(),
        count => format!(
            ", {} idle in transaction",
            present::plural(count, "session is", "sessions are")
        ),
    };
    let oldest = seconds_for_people(oldest);
    format!("{nobody}; the oldest transaction is {oldest} old{prepared}{idle}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::activity::PreparedLine;
    use crate::model::history::{WaitCounts, WaitHistory, WaitKey, WaitPoint};
    use crate::web::pages::{frame::Page, sample};

    fn line(pid: i32, depth: usize, blocks: usize, seconds: f64) -> ActivityLine {
        ActivityLine {
            depth,
            pid,
            blocks,
            role: Some(sample::HOSTILE.into()),
            database: Some(sample::HOSTILE.into()),
            application: sample::HOSTILE.into(),
            state: Some("idle in transaction".into()),
            wait: Some(sample::HOSTILE.into()),
            transaction_seconds: Some(seconds),
            text: Some(sample::HOSTILE.into()),
            statement_id: Some("0123456789abcdef".into()),
            ..ActivityLine::default()
        }
    }

    fn page(sessions: Vec<ActivityLine>) -> ActivityPage {
        let activity = ActivityNow {
            at: sample::now(),
            clients: 3,
            connections_limit: Some(97),
            sessions,
            ..ActivityNow::default()
        };
        ActivityPage::build(
            sample::now(),
            "main".into(),
            Some(activity),
            (Range::Day, WaitsView::default(), IncidentsView::default()),
            vec!["main".into()],
        )
    }

    #[test]
    fn the_sentence_says_what_matters_most() {
        let said = |sessions| page(sessions).sentence();
        assert!(
            said(vec![line(1, 0, 2, 300.0), line(2, 1, 1, 9.0), line(3, 2, 0, 9.0)])
                .starts_with("2 sessions wait behind process 1")
        );
        assert_eq!(
            said(vec![line(1, 0, 0, 300.0)]),
            "Nobody waits for a lock; the oldest transaction is 5 min old, 1 session is idle in transaction."
        );
        assert_eq!(
            said(vec![]),
            "Nobody waits for a lock, and no transaction is old."
        );
        let quiet = page(vec![]).html("..", "t").unwrap();
        assert!(
            quiet.contains("No session of an application is seen."),
            "no empty box: {quiet}"
        );
        let over = (Range::Day, WaitsView::default(), IncidentsView::default());
        let unknown = ActivityPage::build(sample::now(), "main".into(), None, over, vec![]);
        let html = unknown.html("..", "t").unwrap();
        assert!(html.contains("not known yet") && html.contains("Nothing was sampled in the last 24 hours."));
        let nothing = ActivityPage::of_nothing(sample::now()).html("..", "t").unwrap();
        assert!(nothing.contains("No server was looked at yet.") && !nothing.contains("sampled"));
    }

    #[test]
    fn nobody_waits_is_said_only_if_nobody_does() {
        let prepared = |names: &[&str]| ActivityLine {
            database: Some("shop".into()),
            application: "prepared transaction".into(),
            blocks: 2,
            transaction_seconds: Some(600.0),
            prepared: names.iter().map(|name| (*name).to_owned()).collect(),
            ..ActivityLine::default()
        };
        let below = || vec![line(2, 1, 0, 9.0), line(3, 1, 0, 9.0)];
        let of = |root: ActivityLine| page([vec![root], below()].concat());
        assert_eq!(
            of(prepared(&["a"])).sentence(),
            "2 sessions wait behind a prepared transaction in shop (10 min old)."
        );
        let mut two = of(prepared(&["a", sample::HOSTILE]));
        assert_eq!(
            two.sentence(),
            "2 sessions wait behind a prepared transaction in shop (the oldest is 10 min old)."
        );
        let known = two.activity.as_mut().unwrap();
        known.waiting = 3;
        assert!(
            two.sentence()
                .starts_with("3 sessions wait for a lock, 2 of them behind a prepared")
        );
        let html = two.html("..", "t").unwrap();
        assert!(html.contains("no process") && html.contains("blocks 2"), "{html}");
        assert!(html.contains("one of those prepared") && !html.contains("<script>alert"));
        // who is in the way has ended
        let mut page = page(vec![line(1, 0, 0, 9.0)]);
        page.activity.as_mut().unwrap().waiting = 1;
        assert!(
            page.sentence()
                .starts_with("1 session waits for a lock; who holds it")
        );
        let known = page.activity.as_mut().unwrap();
        (known.waiting, known.why_blind) = (0, Some("others are hidden".into()));
        assert_eq!(
            page.sentence(),
            "Nobody who is seen waits for a lock, and no transaction is old."
        );
    }

    #[test]
    fn a_prepared_transaction_is_named_with_what_it_holds_back() {
        let unknown = page(vec![]).html("..", "t").unwrap();
        assert!(
            unknown.contains("Prepared transactions are not known."),
            "{unknown}"
        );
        let mut page = page(vec![]);
        let known = page.activity.as_mut().unwrap();
        known.prepared_transactions = Some(vec![PreparedLine {
            gid: format!("order-7{}", sample::HOSTILE),
            owner: Some(sample::HOSTILE.into()),
            database: sample::HOSTILE.into(),
            age_seconds: 600.0,
            xid_age: 44,
        }]);
        assert_eq!(
            page.sentence(),
            "Nobody waits for a lock; the oldest transaction is 10 min old, 1 transaction is prepared."
        );
        let html = page.html("..", "t").unwrap();
        assert!(
            html.contains("order-7") && html.contains("44 transactions"),
            "{html}"
        );
        assert!(
            html.contains("10 min") && !html.contains("<script>alert"),
            "{html}"
        );
    }

    #[test]
    fn hostile_names_are_escaped() {
        let html = page(vec![line(1, 0, 1, 3.0), line(2, 1, 0, 1.0)])
            .html("..", "t")
            .unwrap();
        assert!(!html.contains("<script>alert"), "{html}");
    }

    /// A hundred and more lines of one statement, of hostile names.
    fn waited() -> WaitsView {
        let key = |event: String| WaitKey {
            database: sample::HOSTILE.into(),
            event,
            statement_id: "0123456789abcdef".into(),
            role: sample::HOSTILE.into(),
            application: sample::HOSTILE.into(),
            query_id: None,
        };
        let point = |hour: i64, sessions| WaitPoint {
            from: sample::now() + chrono::TimeDelta::hours(hour),
            length_seconds: 3600.0,
            samples: 10,
            sessions,
        };
        let history = WaitHistory {
            by_event: vec![
                point(
                    0,
                    Some([(sample::HOSTILE.to_owned(), 30), ("CPU".to_owned(), 10)].into()),
                ),
                point(1, None),
            ],
            top: (0..300)
                .map(|number| {
                    (
                        key(format!("{}{number}", sample::HOSTILE)),
                        WaitCounts { sessions: 1 },
                    )
                })
                .collect(),
            samples: 10,
            sampled_seconds: 3600.0,
            sessions: 40,
        };
        let place = (sample::HOSTILE.to_owned(), "0123456789abcdef".to_owned());
        WaitsView::of(history, &[(place, sample::HOSTILE.to_owned())].into(), None)
    }

    #[test]
    fn waits_are_drawn_on_the_server_with_escaped_names_and_few_lines() {
        let mut page = page(vec![]);
        page.waits = waited();
        let html = page.html("..", "t").unwrap();
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(!html.contains("style="), "the policy forbids it");
        assert!(html.contains("class=\"wait-1\"") && html.contains("class=\"gap\""));
        assert_eq!(
            html.matches("data-row=\"wait-").count(),
            crate::limits::PAGE_ITEMS
        );
        assert!(html.contains("/statements/0123456789abcdef"));
        for range in ["1h", "24h", "7d"] {
            assert!(
                html.contains(&format!("/servers/main/activity?range={range}")),
                "{range}"
            );
        }
        assert!(!html.contains("range=30d"));
    }
}
