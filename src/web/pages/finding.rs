//! `/findings/{fingerprint}`: is it true, what do I run, what will it gain, what can go wrong?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::event_line::EventLine;
use super::evidence::EvidenceView;
use super::filters;
use super::finding_chart::ObjectCharts;
use super::frame::{Frame, Section, framed};
use super::plans::Plans;
use super::present;
use super::sql_text::SqlText;
use crate::model::finding::{Action, ConfidenceLevel, Event, EventKind, Finding, State};
use crate::model::judgement::EvidenceGone;
use crate::model::remedy::{ON_ONLY, Remedy};
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// Days for which a finding can be snoozed.
const SNOOZE_DAYS: [u32; 6] = [1, 3, 7, 14, 30, 90];

/// A price or promise of the remedy.
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    /// In words.
    pub text: String,
    /// `good`, `warn` or empty.
    pub tone: &'static str,
}

/// An action that fits the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The last part of the address.
    pub word: &'static str,
    /// On the button.
    pub label: &'static str,
    /// What it does, beside the form.
    pub hint: &'static str,
    /// Whether the days are asked for.
    pub days: bool,
}

/// One finding with its history.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "finding.html")]
pub struct FindingPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// What its rule finds, in a sentence.
    pub rule_title: String,
    /// What happened to it, newest first.
    pub history: Vec<EventLine>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) view: View,
}
framed!(FindingPage);

/// What the template shows and the API has in other words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) evidence: EvidenceView,
    pub(crate) statement: SqlText,
    pub(crate) plans: Vec<Plans>,
    pub(crate) evidence_sql: SqlText,
    pub(crate) apply: SqlText,
    pub(crate) undo: SqlText,
    pub(crate) chips: Vec<Chip>,
    pub(crate) impact: Vec<String>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) object: ObjectCharts,
    /// That its evidence is not seen any more; empty where it is.
    pub(crate) gone: String,
}

/// Whether a table lock of that name lets statements read and write.
fn lock_chip(lock: &str) -> Chip {
    let (meaning, tone) = match lock.trim().to_ascii_uppercase().replace(" LOCK", "").as_str() {
        "ACCESS SHARE" | "ROW SHARE" | "ROW EXCLUSIVE" | "SHARE UPDATE EXCLUSIVE" => {
            (", reads and writes go on", "good")
        }
        "SHARE" | "SHARE ROW EXCLUSIVE" | "EXCLUSIVE" => (", writes wait", "warn"),
        "ACCESS EXCLUSIVE" => (", reads and writes wait", "warn"),
        _ => ("", ""),
    };
    Chip {
        text: format!("lock: {lock}{meaning}"),
        tone,
    }
}

/// The same where it is only held while the index of a partitioned table is made without those of its partitions.
fn for_a_moment(chip: Chip, remedy: &Remedy) -> Chip {
    let is_on_parent = remedy.apply_sql.iter().any(|sql| sql.contains(ON_ONLY));
    match is_on_parent && remedy.lock.as_deref() == Some("SHARE") {
        true => Chip {
            text: format!("{} for a moment", chip.text),
            tone: "",
        },
        false => chip,
    }
}

/// Lock, rewrite, disk and duration, as far as they are known.
fn chips(finding: &Finding) -> Vec<Chip> {
    let remedy = &finding.claim.remedy;
    let plain = |text: String| Chip { text, tone: "" };
    let rewrite = remedy.rewrites_table.map(|yes| match yes {
        true => Chip {
            text: "rewrites the table".to_owned(),
            tone: "warn",
        },
        false => plain("no rewrite".to_owned()),
    });
    let disk = remedy.extra_disk_bytes.map(|bytes| match bytes > 0.0 {
        true => plain(format!("{} of disk", bytes_for_people(bytes))),
        false => plain("no extra disk".to_owned()),
    });
    let time = remedy
        .expected_seconds
        .map(|seconds| plain(format!("about {}", seconds_for_people(seconds))));
    let lock = remedy
        .lock
        .as_deref()
        .map(|lock| for_a_moment(lock_chip(lock), remedy));
    [lock, rewrite, time, disk].into_iter().flatten().collect()
}

/// The actions that fit a state, in the order in which they are offered.
fn offers(state: State) -> Vec<Offer> {
    let fits = |action: &Action| match action {
        Action::Acknowledge => matches!(state, State::Open | State::Snoozed),
        Action::Snooze => matches!(state, State::Open | State::Acknowledged),
        Action::Resolve | Action::FalsePositive => {
            matches!(state, State::Open | State::Acknowledged | State::Snoozed)
        }
        Action::Reopen => state != State::Open,
    };
    let offer = |action: Action| {
        let (label, hint) = match action {
            Action::Acknowledge => ("Acknowledge", "It stays in the list, marked as known."),
            Action::Snooze => ("Snooze", "It comes back after that time if it is still true."),
            Action::Resolve => (
                "Mark as resolved",
                "It opens again if the evidence is still there at the next look.",
            ),
            Action::FalsePositive => (
                "Not a problem",
                "It is not told again. Say why, for those after you.",
            ),
            Action::Reopen => ("Reopen", "It goes back to the open findings."),
        };
        Offer {
            word: action.word(),
            label,
            hint,
            days: action == Action::Snooze,
        }
    };
    Action::ALL.into_iter().filter(fits).map(offer).collect()
}

impl FindingPage {
    /// The page of one finding; the history may come in any order.
    pub fn build(now: DateTime<Utc>, finding: Finding, history: Vec<Event>, rule_title: &str) -> Self {
        let claim = &finding.claim;
        let statement = claim.evidence.get("statement").and_then(|text| text.as_str());
        let view = View {
            evidence: EvidenceView::of(now, &claim.evidence),
            statement: statement.map(SqlText::of).unwrap_or_default(),
            plans: Plans::of(&claim.evidence),
            evidence_sql: claim.evidence_sql.as_deref().map(SqlText::of).unwrap_or_default(),
            apply: SqlText::of_statements(&claim.remedy.apply_sql),
            undo: SqlText::of_statements(&claim.remedy.undo_sql),
            chips: chips(&finding),
            impact: present::all_impact(&claim.impact),
            offers: offers(finding.state),
            object: ObjectCharts::default(),
            gone: String::new(),
        };
        let mut history = history;
        history.sort_by_key(|event| std::cmp::Reverse((event.occurred_at, event.sequence)));
        Self {
            frame: Frame::new(now, Section::Findings, present::visible(&claim.title)),
            rule_title: rule_title.to_owned(),
            history: history.into_iter().map(|event| EventLine { event }).collect(),
            view,
            finding,
        }
    }

    /// The same with what it is about, over time.
    #[must_use]
    pub fn with_object(mut self, object: ObjectCharts) -> Self {
        self.view.object = object;
        self
    }

    /// The same with since when what it rests on is not seen.
    #[must_use]
    pub fn with_evidence_gone(mut self, gone: Option<EvidenceGone>) -> Self {
        let now = self.frame.now;
        self.view.gone = gone.map_or_else(String::new, |gone| {
            let then = match gone.resolved_at {
                Some(at) if at > now => format!("it is resolved if that lasts until {}", present::exact(&at)),
                Some(_) => "it is resolved if the next judgement does not see it either".to_owned(),
                None => {
                    "it is resolved when its rule is judged again and that has lasted long enough".to_owned()
                }
            };
            format!(
                "What it rests on was not seen since {}; {then}.",
                present::exact(&gone.since)
            )
        });
        self
    }

    /// The severity in words.
    pub fn severity_word(&self) -> &'static str {
        present::severity_word(self.finding.claim.severity)
    }

    /// The state in words.
    pub fn state_word(&self) -> &'static str {
        present::state_word(self.finding.state)
    }

    /// Kind and name of the object, where it has a name that a reader knows.
    pub fn object(&self) -> Option<(&'static str, String)> {
        use crate::model::finding::ObjectKind::Statement;
        let object = self
            .finding
            .claim
            .object
            .as_ref()
            .filter(|object| object.kind != Statement)?;
        Some((object.kind.word(), object.qualified()))
    }

    /// What the level of confidence means.
    pub fn confidence_words(&self) -> (&'static str, &'static str) {
        match self.finding.claim.confidence.level {
            ConfidenceLevel::Verified => ("verified by the planner", "good"),
            ConfidenceLevel::Measured => ("measured", "good"),
            ConfidenceLevel::Estimated => ("estimated", "warn"),
        }
    }

    /// How long the evidence's window is.
    pub fn window_length(&self) -> Option<String> {
        self.finding
            .claim
            .evidence_window
            .map(|window| seconds_for_people(window.seconds()))
    }

    /// Who marked it, and when it comes back, in a sentence; empty while it is open.
    pub fn standing(&self) -> String {
        let by = self.finding.acknowledged_by.as_deref().map(present::visible);
        match (self.finding.state, by, self.finding.snoozed_until) {
            (State::Acknowledged, Some(who), _) => format!("Acknowledged by {who}."),
            (State::Snoozed, _, Some(until)) => format!("Snoozed until {}.", present::exact(&until)),
            (State::Resolved, _, _) => "Resolved: the evidence is gone, or someone said so.".to_owned(),
            (State::FalsePositive, _, _) => "Marked as not a problem.".to_owned(),
            _ => String::new(),
        }
    }

    /// The choices of the snooze form.
    pub fn snooze_days(&self) -> [u32; 6] {
        SNOOZE_DAYS
    }

    /// Whether its effect was measured after a change.
    pub fn measured(&self) -> Option<&EventLine> {
        self.history
            .iter()
            .find(|line| line.event.kind == EventKind::OutcomeKnown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{frame::Page, sample};

    #[test]
    fn hostile_names_are_escaped_and_seen() {
        let finding = sample::finding("index.missing", sample::HOSTILE);
        let mut event = sample::event(EventKind::Acknowledged, finding.clone(), 1);
        event.comment = Some(sample::HOSTILE.into());
        let html = FindingPage::build(sample::now(), finding, vec![event], "t")
            .html("", "tok")
            .unwrap();
        assert!(!html.contains("<script>alert") && !html.contains(">\u{2066}"));
        assert!(html.contains("\\u{202e}"));
        // the copy button gives back the very text
        assert!(html.contains("data-raw=\"\u{202e}\""));
    }

    #[test]
    fn evidence_that_is_gone_is_told_with_what_comes_of_it() {
        let html = |gone: Option<EvidenceGone>| {
            let finding = sample::finding("index.missing", "orders");
            let page = FindingPage::build(sample::now(), finding, vec![], "t");
            page.with_evidence_gone(gone).html("", "tok").unwrap()
        };
        let minutes = |minutes: i64| sample::now() + chrono::TimeDelta::minutes(minutes);
        let gone = |until: Option<i64>| EvidenceGone {
            since: minutes(-5),
            resolved_at: until.map(minutes),
        };
        assert!(!html(None).contains("What it rests on was not seen"));
        let told = html(Some(gone(Some(5))));
        let expected = "What it rests on was not seen since 2026-11-21 13:55:00 UTC; it is resolved if that lasts until \
                        2026-11-21 14:05:00 UTC.";
        assert!(told.contains(expected), "{told}");
        assert!(html(Some(gone(Some(-1)))).contains("if the next judgement does not see it either"));
        assert!(html(Some(gone(None))).contains("when its rule is judged again"));
    }

    #[test]
    fn only_fitting_actions_are_offered() {
        let words = |state| offers(state).iter().map(|offer| offer.word).collect::<Vec<_>>();
        assert_eq!(
            words(State::Open),
            ["acknowledge", "snooze", "resolve", "false-positive"]
        );
        assert_eq!(words(State::Resolved), ["reopen"]);
        assert_eq!(
            words(State::Snoozed),
            ["acknowledge", "resolve", "false-positive", "reopen"]
        );
    }

    #[test]
    fn the_lock_says_what_waits() {
        assert_eq!(lock_chip("ACCESS EXCLUSIVE").tone, "warn");
        assert_eq!(lock_chip("SHARE UPDATE EXCLUSIVE").tone, "good");
        let told = |create: &str| {
            let mut finding = sample::finding("index.missing", "x");
            finding.claim.remedy = Remedy {
                apply_sql: vec![create.to_owned()],
                lock: Some("SHARE".to_owned()),
                ..Remedy::default()
            };
            chips(&finding)[0].text.clone()
        };
        assert_eq!(told("CREATE INDEX i ON public.t (a)"), "lock: SHARE, writes wait");
        assert_eq!(
            told("CREATE INDEX i ON ONLY public.t (a)"),
            "lock: SHARE, writes wait for a moment"
        );
    }

    #[test]
    fn a_bare_finding_is_a_page() {
        let mut finding = sample::finding("config.memory", "x");
        finding.claim.object = None;
        finding.claim.database = None;
        finding.claim.evidence = serde_json::Map::new();
        finding.claim.evidence_sql = None;
        finding.claim.evidence_window = None;
        finding.claim.remedy = crate::model::finding::Remedy::default();
        finding.claim.guards.clear();
        let html = FindingPage::build(sample::now(), finding, vec![], "")
            .html("", "tok")
            .unwrap();
        assert!(html.contains("There is no SQL to run"));
        assert!(html.contains("value=\"tok\""));
    }
}
