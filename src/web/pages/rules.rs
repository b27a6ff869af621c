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
    /// Findings of it that are open or acknowledged.
    pub fired: usize,
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
            fired: 0,
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
