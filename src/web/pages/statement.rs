//! `/servers/{server}/{database}/statements/{statement_id}`: what does this statement do?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::{
    Change, HistoryChart, Line, Measure, lines, no_line, over, per_minute, total, within,
};
use super::load::rounded;
use super::present;
use super::range::Range;
use super::sql_text::SqlText;
use super::statement_plans::{PlannedIndex, StatementPlans};
use super::statements::path;
use super::tabs::{Tab, View};
use crate::model::finding::{Finding, by_impact};
use crate::model::history::{HistoryPoint, StatementCounts};
use crate::model::unit::seconds_for_people;

/// A table that a statement names.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NamedTable {
    /// Its schema; null where the statement gives none, and it is not known either.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// Whether there is a page about it.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) is_known: bool,
}

impl NamedTable {
    /// Its schema and name, where something is known of it.
    pub(crate) fn known(&self) -> Option<(&str, &str)> {
        let schema = self.schema.as_deref().filter(|_| self.is_known)?;
        Some((schema, self.name.as_str()))
    }

    fn qualified(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Average sessions executing it.
pub(super) const LOAD: Measure<StatementCounts> = Measure {
    name: "sessions executing it",
    value: |counts, seconds| (counts.calls > 0).then(|| counts.seconds() / seconds.max(1e-3)),
    told: |value| present::amount(rounded(value), "session", "sessions"),
    nothing: "no call",
};

pub(super) const MEAN: Measure<StatementCounts> = Measure {
    name: "mean time of a call",
    value: |counts, _| (counts.calls > 0).then(|| counts.mean_seconds()),
    told: |value| format!("{} a call", seconds_for_people(value)),
    nothing: "no call",
};

const CALLS: Measure<StatementCounts> = Measure {
    name: "calls a minute",
    value: |counts, seconds| (counts.calls > 0).then(|| per_minute(counts.calls, seconds)),
    told: |value| present::amount(present::number(value), "call a minute", "calls a minute"),
    nothing: "no call",
};

/// One statement over time.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "statement.html")]
pub struct StatementPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The server.
    pub server: String,
    /// The database.
    pub database: String,
    /// Its identity.
    pub statement_id: String,
    /// Its text, without constants.
    pub text: String,
    /// The range that is told.
    pub range: Range,
    /// What it did, oldest first; a point without counts is time in which nobody looked.
    pub history: Vec<HistoryPoint<StatementCounts>>,
    /// What changed meanwhile: plans that were seen for the first time, or again; indexes that its tables got; restarts,
    /// failovers and resets.
    pub changes: Vec<Change>,
    /// The tables that it names; none where its text cannot be read.
    pub tables: Vec<NamedTable>,
    /// Findings about it.
    pub findings: Vec<Finding>,
    /// The plans that it had.
    #[serde(flatten)]
    pub plans: StatementPlans,
    #[serde(skip)]
    #[schema(ignore)]
    charts: [(&'static str, HistoryChart); 3],
}
framed!(StatementPage);

impl StatementPage {
    /// The page from what the store knows.
    pub fn build(
        now: DateTime<Utc>,
        (server, database, statement_id): (String, String, String),
        range: Range,
        (text, history): (String, Vec<HistoryPoint<StatementCounts>>),
        tables: Vec<NamedTable>,
        mut findings: Vec<Finding>,
    ) -> Self {
        // those that are about it and those that name it come apart; every list has the order of the first page
        findings.sort_by(|a, b| by_impact(&a.claim, &b.claim));
        let drawn = over(&history, range.ending(now));
        Self {
            frame: Frame::new(now, Section::Statements, crate::sql::outline(&text)),
            charts: [
                ("Load", HistoryChart::of(&drawn, &LOAD)),
                ("Time of a call", HistoryChart::of(&drawn, &MEAN)),
                ("Calls", HistoryChart::of(&drawn, &CALLS)),
            ],
            server,
            database,
            statement_id,
            text,
            range,
            history,
            changes: Vec::new(),
            tables,
            findings,
            plans: StatementPlans::default(),
        }
    }

    /// The same, with what happened to the server meanwhile; it is marked together with the plans, which come next.
    #[must_use]
    pub fn with_changes(self, changes: Vec<Change>) -> Self {
        Self { changes, ..self }
    }

    /// The same with the plans that it had; where they changed is marked.
    #[must_use]
    pub fn with_plans(mut self, plans: StatementPlans) -> Self {
        let mut changes = std::mem::take(&mut self.changes);
        changes.extend(plans.changes());
        let drawn = over(&self.history, self.range.ending(self.frame.now));
        let changes = within(&drawn, changes);
        let marked = |(name, chart): (&'static str, HistoryChart)| (name, chart.marked(&drawn, &changes));
        Self {
            charts: self.charts.map(marked),
            changes,
            plans,
            ..self
        }
    }

    fn sentence(&self) -> String {
        let all = total(&self.history);
        let range = self.range.name();
        let was_seen = self.history.iter().any(|point| point.counts.is_some());
        match all.calls {
            0 if !was_seen => format!("Nobody looked in the last {range}: its calls are not known."),
            0 => format!("It was not called in the last {range}."),
            1 => format!(
                "In the last {range} it was called once and took {}.",
                seconds_for_people(all.seconds())
            ),
            calls => format!(
                "In the last {range} it was called {} times and took {}, {} a call.",
                present::count(&calls.to_string()),
                seconds_for_people(all.seconds()),
                seconds_for_people(all.mean_seconds())
            ),
        }
    }

    fn sql(&self) -> SqlText {
        SqlText::of(&self.text)
    }

    fn list_path(&self) -> String {
        path(&self.server, &self.database)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.list_path(), present::url_part(&self.statement_id))
    }

    fn ranges(&self) -> Vec<Tab> {
        self.range.tabs(&self.path(), "")
    }

    fn charts(&self) -> &[(&'static str, HistoryChart)] {
        &self.charts
    }

    fn table_path(&self, table: &NamedTable) -> Option<String> {
        let (schema, name) = table.known()?;
        let path = View::Tables.path_of(&self.server, &self.database, schema, name);
        Some(format!("{path}?range={}", self.range.word()))
    }

    fn index_path(&self, index: &PlannedIndex) -> Option<String> {
        let schema = index.schema.as_ref().filter(|_| index.is_known)?;
        let path = View::Indexes.path_of(&self.server, &self.database, schema, &index.name);
        Some(format!("{path}?range={}", self.range.word()))
    }

    /// Why no index is named; none where some are.
    fn no_index(&self) -> Option<&'static str> {
        match (self.plans.indexes.is_empty(), self.plans.plans.is_empty()) {
            (false, _) => None,
            (true, true) => Some("Not known: no plan of it is kept."),
            (true, false) => Some("What is kept of its plans reads none."),
        }
    }

    fn took(&self, counts: &StatementCounts) -> String {
        seconds_for_people(counts.seconds())
    }

    fn mean(&self, counts: &StatementCounts) -> String {
        seconds_for_people(counts.mean_seconds())
    }

    /// The table behind the pictures: when it was called, and what changed.
    fn lines(&self) -> Vec<Line<'_, StatementCounts>> {
        lines(&self.history, &self.changes, |counts| counts.calls > 0)
    }

    fn no_line(&self) -> &'static str {
        no_line(&self.history, LOAD.nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{frame::Page, sample};

    fn table(schema: Option<&str>, is_known: bool) -> NamedTable {
        NamedTable {
            schema: schema.map(str::to_owned),
            name: sample::HOSTILE.into(),
            is_known,
        }
    }

    #[test]
    fn its_findings_stand_as_on_the_first_page() {
        let of = |rule: &str, seconds: f64| {
            let mut finding = sample::finding(rule, "items");
            finding.claim.impact.db_seconds_per_day = Some(seconds);
            finding
        };
        // those that are about it first, then those that name it, as the store gives them
        let found = vec![of("query.slow_mean", 60.0), of("index.missing", 3600.0)];
        let named = (
            "main".to_owned(),
            "shop".to_owned(),
            "0123456789abcdef".to_owned(),
        );
        let told = ("SELECT 1".to_owned(), vec![]);
        let page = StatementPage::build(sample::now(), named, Range::Day, told, vec![], found);
        let rules = page.findings.iter().map(|finding| finding.claim.rule.as_str());
        assert_eq!(rules.collect::<Vec<_>>(), ["index.missing", "query.slow_mean"]);
    }

    #[test]
    fn the_text_comes_first_and_what_nobody_saw_is_not_told_as_idle() {
        let page = |counts| {
            let point = HistoryPoint {
                from: sample::now(),
                length_seconds: 3600.0,
                seen_seconds: 3600.0,
                counts,
            };
            let named = (
                "main".to_owned(),
                "shop".to_owned(),
                "0123456789abcdef".to_owned(),
            );
            let told = ("SELECT 1".to_owned(), vec![point]);
            StatementPage::build(sample::now(), named, Range::Day, told, vec![], vec![])
        };
        let called = |calls| {
            page(Some(StatementCounts {
                calls,
                microseconds: 2_000_000 * calls,
                ..StatementCounts::default()
            }))
        };
        assert!(page(None).sentence().ends_with("are not known."));
        assert_eq!(called(0).sentence(), "It was not called in the last 24 hours.");
        assert!(called(1).sentence().contains("called once and took 2"));
        let html = called(3).html("..", "t").unwrap();
        let place = |id: &str| html.find(&format!("id=\"{id}\"")).unwrap();
        assert!(place("text") < place("chart-1"), "{html}");
    }

    #[test]
    fn where_no_index_can_be_named_it_says_why() {
        let named = (
            "main".to_owned(),
            "shop".to_owned(),
            "0123456789abcdef".to_owned(),
        );
        let told = ("SELECT 1".to_owned(), vec![]);
        let page = StatementPage::build(sample::now(), named, Range::Day, told, vec![], vec![]);
        let html = page.html("..", "t").unwrap();
        assert!(html.contains("Indexes that it uses"), "{html}");
        assert!(html.contains("Not known: no plan of it is kept."), "{html}");
    }

    #[test]
    fn hostile_names_and_texts_are_escaped_and_changes_are_marked() {
        let history = vec![HistoryPoint {
            from: sample::now(),
            length_seconds: 3600.0,
            seen_seconds: 3600.0,
            counts: Some(StatementCounts {
                calls: 3,
                microseconds: 6_000_000,
                rows: 12,
                ..StatementCounts::default()
            }),
        }];
        let of_one = (
            "main".to_owned(),
            sample::HOSTILE.to_owned(),
            "0123456789abcdef".to_owned(),
        );
        let one = StatementPage::build(
            sample::now(),
            of_one,
            Range::Day,
            (sample::HOSTILE.into(), history),
            vec![table(None, false), table(Some(sample::HOSTILE), true)],
            vec![sample::finding("query.slow_mean", sample::HOSTILE)],
        );
        assert!(
            one.sentence()
                .starts_with("In the last 24 hours it was called 3 times and took 6")
        );
        let html = one.clone().html("..", "t").unwrap();
        assert!(!html.contains("<script>alert"), "{html}");
        assert_eq!(
            html.matches("/tables/").count(),
            1,
            "only what is known has a page"
        );
        assert!(html.contains("0.05 calls a minute"), "{html}");
        let reset = Change {
            at: sample::now() + chrono::TimeDelta::minutes(9),
            what: "pg_stat_statements was reset".to_owned(),
        };
        let one = one
            .with_changes(vec![reset])
            .with_plans(StatementPlans::default());
        let html = one.html("..", "t").unwrap();
        assert_eq!(
            html.matches("class=\"mark\"").count(),
            3,
            "in every picture: {html}"
        );
        assert_eq!(
            html.matches("pg_stat_statements was reset").count(),
            4,
            "and in the table: {html}"
        );
    }
}
