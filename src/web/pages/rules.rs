//! `/rules` and `/rules/{id}`: what is judged, how, with which thresholds?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::manual::{self, Block};
use super::present;
use super::sql_text::SqlText;

/// A threshold of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Threshold {
    /// Its name in the configuration.
    pub name: String,
    /// What it means.
    pub description: String,
    /// The default, as it is written in the configuration.
    pub default: String,
    /// The value in force.
    pub in_force: String,
    /// Where it came from: `default`, or file and line.
    pub from: String,
}

impl Threshold {
    /// Whether someone changed it.
    pub fn changed(&self) -> bool {
        self.default != self.in_force
    }
}

/// Thresholds of their own for some places and things: one `[[rules.….where]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RuleOverride {
    /// The server, or a pattern; null where every server is meant.
    pub server: Option<String>,
    /// The database, or a pattern; null where every database is meant.
    pub database: Option<String>,
    /// The object with its schema, or a pattern; null where every object is meant.
    pub object: Option<String>,
    /// The role that causes it, or a pattern; null where every role is meant.
    pub role: Option<String>,
    /// Whether the rule is judged there.
    pub enabled: bool,
    /// Where it begins: file and line.
    pub from: String,
    /// The thresholds that it names; every other is as the rule's own.
    pub thresholds: Vec<Threshold>,
}

impl RuleOverride {
    /// What it is for: each word with its pattern.
    pub fn meant(&self) -> Vec<(&'static str, &str)> {
        let words = [
            ("server", &self.server),
            ("database", &self.database),
            ("object", &self.object),
            ("role", &self.role),
        ];
        let named = words.into_iter();
        named
            .filter_map(|(word, pattern)| Some((word, pattern.as_deref()?)))
            .collect()
    }
}

/// A place where a rule could not be judged.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Skip {
    /// The server.
    pub server: String,
    /// The database, where the rule judges databases one by one.
    pub database: Option<String>,
    /// What was missing.
    pub reason: String,
    /// SQL that mends it, where SQL can.
    pub remedy_sql: Option<String>,
}

impl Skip {
    /// The remedy in colours.
    pub fn sql(&self) -> SqlText {
        self.remedy_sql
            .as_ref()
            .map(|sql| SqlText::of_statements(std::slice::from_ref(sql)))
            .unwrap_or_default()
    }
}

/// A rule with its manual and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RuleView {
    /// `index.unused`.
    pub id: String,
    /// The first sentence of its manual.
    pub title: String,
    /// The manual.
    pub manual: Vec<Block>,
    /// Its thresholds.
    pub thresholds: Vec<Threshold>,
    /// Thresholds of their own for some places and things, in the order of the file; where several fit, the last one counts.
    pub overrides: Vec<RuleOverride>,
    /// Findings of it that are open or acknowledged.
    pub fired: usize,
    /// How often a finding of it opened, as far back as events are kept.
    pub opened: u64,
    /// How often somebody said of a finding of it that it is no problem, as far back as events are kept.
    pub marked_false: u64,
    /// Places where it was judged in the last turn.
    pub evaluated: usize,
    /// Places where it could not be judged in the last turn.
    pub skipped: Vec<Skip>,
}

impl RuleView {
    /// The rule from the text of its manual: the first sentence is the title.
    pub fn new(id: &str, manual_text: &str, thresholds: Vec<Threshold>) -> Self {
        let mut manual = manual::read(manual_text);
        let title = manual::take_title(&mut manual);
        Self {
            id: id.to_owned(),
            title,
            manual,
            thresholds,
            overrides: Vec::new(),
            fired: 0,
            opened: 0,
            marked_false: 0,
            evaluated: 0,
            skipped: Vec::new(),
        }
    }

    /// How many thresholds someone changed.
    pub fn changed(&self) -> usize {
        self.thresholds
            .iter()
            .filter(|threshold| threshold.changed())
            .count()
    }

    /// `fired 12 times, marked false once`; none where it never did.
    pub fn life(&self) -> Option<String> {
        let times = |number: u64| match number {
            1 => "once".to_owned(),
            _ => present::plural(usize::try_from(number).unwrap_or(usize::MAX), "time", "times"),
        };
        let fired = (self.opened > 0).then(|| format!("fired {}", times(self.opened)));
        let marked = (self.marked_false > 0).then(|| format!("marked false {}", times(self.marked_false)));
        let parts: Vec<String> = fired.into_iter().chain(marked).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// How many thresholds of their own there are: `2 exceptions`; none where there is none.
    pub fn exceptions(&self) -> Option<String> {
        let number = self.overrides.len();
        (number > 0).then(|| present::plural(number, "exception", "exceptions"))
    }

    /// Whether it was judged nowhere.
    pub fn idle(&self) -> bool {
        self.evaluated == 0 && self.skipped.is_empty()
    }
}

/// Rules whose id begins with the same word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RuleGroup {
    /// The word.
    pub name: String,
    /// The rules.
    pub rules: Vec<RuleView>,
}

/// All rules.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "rules.html")]
pub struct RulesPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The rules by the first word of their id.
    pub groups: Vec<RuleGroup>,
    /// How many there are.
    pub total: usize,
    /// How many could not be judged somewhere.
    pub skipped: usize,
}
framed!(RulesPage);

impl RulesPage {
    /// The page of all rules.
    pub fn build(now: DateTime<Utc>, rules: Vec<RuleView>) -> Self {
        let total = rules.len();
        let skipped = rules.iter().filter(|rule| !rule.skipped.is_empty()).count();
        let mut groups: Vec<RuleGroup> = Vec::new();
        for rule in rules {
            let name = rule.id.split('.').next().unwrap_or("").to_owned();
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.rules.push(rule),
                None => groups.push(RuleGroup {
                    name,
                    rules: vec![rule],
                }),
            }
        }
        Self {
            frame: Frame::new(now, Section::Rules, "Rules"),
            groups,
            total,
            skipped,
        }
    }

    /// `12 rules`.
    pub fn heading(&self) -> String {
        present::plural(self.total, "rule", "rules")
    }
}

/// One rule.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "rule.html")]
pub struct RulePage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleView,
}
framed!(RulePage);

impl RulePage {
    /// The page of one rule.
    pub fn build(now: DateTime<Utc>, rule: RuleView) -> Self {
        Self {
            frame: Frame::new(now, Section::Rules, rule.id.clone()),
            rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{frame::Page, sample};

    fn rule() -> RuleView {
        let threshold = Threshold {
            name: "min_age".into(),
            description: "How long no scan was seen.".into(),
            default: "35 days".into(),
            in_force: "40 days".into(),
            from: "pgadvisor.toml:12".into(),
        };
        let mut rule = RuleView::new(
            "index.unused",
            "Finds indexes that nobody uses.\n\n## Why\nThey cost.",
            vec![threshold],
        );
        rule.skipped.push(Skip {
            server: sample::HOSTILE.into(),
            database: None,
            reason: "statistics are 3 days old".into(),
            remedy_sql: Some("GRANT pg_monitor TO x".into()),
        });
        rule
    }

    #[test]
    fn the_first_sentence_is_the_title() {
        assert_eq!(rule().title, "Finds indexes that nobody uses.");
        assert_eq!(rule().manual.len(), 2);
        assert_eq!(rule().changed(), 1);
        assert_eq!(RuleView::new("a.b", "", vec![]).title, "");
    }

    #[test]
    fn thresholds_of_their_own_are_shown_with_what_they_are_for() {
        let mut rule = rule();
        let page = |rule: &RuleView| {
            RulePage::build(sample::now(), rule.clone())
                .html("", "t")
                .unwrap()
        };
        assert!(!page(&rule).contains("Exceptions"));
        let own = Threshold {
            in_force: "365 days".into(),
            from: "configuration, line 15".into(),
            ..rule.thresholds[0].clone()
        };
        rule.overrides.push(RuleOverride {
            server: None,
            database: Some(sample::HOSTILE.into()),
            object: Some("public.audit".into()),
            role: None,
            enabled: true,
            from: "configuration, line 14".into(),
            thresholds: vec![own],
        });
        let mut off = rule.overrides[0].clone();
        (off.enabled, off.thresholds) = (false, vec![]);
        let html = page(&rule);
        for part in ["Exceptions", "public.audit", "365 days", "configuration, line 15"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("<script>alert") && !html.contains("switched off"));
        rule.overrides.push(off);
        assert!(page(&rule).contains("switched off"));
        let list = RulesPage::build(sample::now(), vec![rule]).html("", "t").unwrap();
        assert!(list.contains("2 exceptions"));
    }

    #[test]
    fn how_often_it_fired_and_was_marked_false_is_told() {
        let mut rule = rule();
        assert_eq!(rule.life(), None);
        (rule.opened, rule.marked_false) = (12, 1);
        assert_eq!(rule.life().unwrap(), "fired 12 times, marked false once");
        let told = "fired 12 times, marked false once";
        let list = RulesPage::build(sample::now(), vec![rule.clone()])
            .html("", "t")
            .unwrap();
        let page = RulePage::build(sample::now(), rule).html("", "t").unwrap();
        assert!(list.contains(told) && page.contains(told));
    }

    #[test]
    fn pages_are_made() {
        let html = RulesPage::build(sample::now(), vec![rule(), rule()])
            .html("", "t")
            .unwrap();
        assert!(html.contains("index.unused") && html.contains("2 rules"));
        // an id of three letters a line cannot be read
        assert!(html.contains("<a class=\"title mono nowrap\""));
        let html = RulePage::build(sample::now(), rule()).html("", "t").unwrap();
        assert!(html.contains("40 days") && html.contains("pg_monitor") && !html.contains("<script>alert"));
        assert!(
            RulesPage::build(sample::now(), vec![])
                .html("", "t")
                .unwrap()
                .contains("No rule is switched on")
        );
    }
}
