//! `/servers/{server}/{database}/statements`: where does the time go? And one statement of it.

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::{HistoryChart, Measure};
use super::present;
use super::sql_text::SqlText;
use crate::model::finding::Finding;
use crate::model::history::{HistoryPoint, StatementCounts, StatementTotal};
use crate::model::unit::seconds_for_people;
use crate::web::problem::Problem;
use crate::web::query::{Parameters, unknown};

/// A range of time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub enum Range {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
}

impl Range {
    const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The word in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    /// How long it is.
    pub fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::hours(24),
            Self::Week => TimeDelta::days(7),
            Self::Month => TimeDelta::days(30),
        }
    }

    /// What `?range=` says; the last 24 hours where it says nothing.
    ///
    /// # Errors
    /// If it is none of the words.
    pub fn of(parameters: &Parameters) -> Result<Self, Problem> {
        let Some(word) = parameters.get("range") else {
            return Ok(Self::Day);
        };
        let known = Self::ALL.map(Self::word);
        let found = Self::ALL.into_iter().find(|range| range.word() == word);
        found.ok_or_else(|| unknown("range", &word, &known))
    }
}

/// The address of a database's statements.
pub fn path(server: &str, database: &str) -> String {
    let (server, database) = (present::url_part(server), present::url_part(database));
    format!("/servers/{server}/{database}/statements")
}

/// The costliest statements of a database.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "statements.html")]
pub struct StatementsPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The server.
    pub server: String,
    /// The database.
    pub database: String,
    /// The range that is told.
    pub range: Range,
    /// Those that took most time, costliest first.
    pub statements: Vec<StatementTotal>,
    /// How many were called at all.
    pub total: usize,
    /// Other places that can be looked at: server and database.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) places: Vec<(String, String)>,
}
framed!(StatementsPage);

impl StatementsPage {
    /// The page from what the store knows.
    pub fn build(
        now: DateTime<Utc>,
        (server, database): (String, String),
        range: Range,
        (statements, total): (Vec<StatementTotal>, usize),
        places: Vec<(String, String)>,
    ) -> Self {
        Self {
            frame: Frame::new(now, Section::Statements, format!("Statements of {database}")),
            server,
            database,
            range,
            statements,
            total,
            places,
        }
    }

    /// The page where no server was looked at yet.
    pub fn of_nothing(now: DateTime<Utc>) -> Self {
        Self::build(
            now,
            Default::default(),
            Range::Day,
            Default::default(),
            Vec::new(),
        )
    }

    fn sentence(&self) -> String {
        if self.server.is_empty() {
            return "No server was looked at yet.".to_owned();
        }
        let range = self.range.name();
        match self.statements.first() {
            None => format!("No statement was seen in the last {range}."),
            Some(first) => format!(
                "{} took {} of the statements' time in the last {range}.",
                crate::sql::outline(&first.text),
                present::percent(first.share_ratio)
            ),
        }
    }

    fn path(&self) -> String {
        path(&self.server, &self.database)
    }

    fn ranges(&self) -> [Range; 4] {
        Range::ALL
    }

    fn others(&self) -> impl Iterator<Item = (&(String, String), String)> {
        self.places.iter().map(|place| (place, path(&place.0, &place.1)))
    }

    fn outline(&self, statement: &StatementTotal) -> String {
        crate::sql::outline(&statement.text)
    }

    fn beginning(&self, statement: &StatementTotal) -> String {
        let words: Vec<&str> = statement.text.split_whitespace().collect();
        present::clip(&words.join(" "), 160)
    }

    fn of_hundred(&self, ratio: &f64) -> u8 {
        (ratio * 100.0).clamp(0.0, 100.0) as u8
    }

    fn per_call(&self, number: &u64, statement: &StatementTotal) -> String {
        present::number(*number as f64 / statement.counts.calls.max(1) as f64)
    }

    fn blocks_per_call(&self, statement: &StatementTotal) -> String {
        let blocks = statement.counts.shared_blocks_hit + statement.counts.shared_blocks_read;
        self.per_call(&blocks, statement)
    }

    fn took(&self, counts: &StatementCounts) -> String {
        seconds_for_people(counts.seconds())
    }

    fn is_shown(&self, range: &Range) -> bool {
        *range == self.range
    }
}

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
    pub history: Vec<HistoryPoint>,
    /// Findings about it.
    pub findings: Vec<Finding>,
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
        (text, history): (String, Vec<HistoryPoint>),
        findings: Vec<Finding>,
    ) -> Self {
        Self {
            frame: Frame::new(now, Section::Statements, crate::sql::outline(&text)),
            charts: [
                ("Load", HistoryChart::of(&history, Measure::Load)),
                ("Time of a call", HistoryChart::of(&history, Measure::Mean)),
                ("Calls", HistoryChart::of(&history, Measure::Calls)),
            ],
            server,
            database,
            statement_id,
            text,
            range,
            history,
            findings,
        }
    }

    fn sentence(&self) -> String {
        let all = self.history.iter().filter_map(|point| point.counts);
        let all = all.fold(Default::default(), StatementCounts::plus);
        match all.calls {
            0 => format!("It was not called in the last {}.", self.range.name()),
            calls => format!(
                "In the last {} it was called {} times and took {}, {} a call.",
                self.range.name(),
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

    fn ranges(&self) -> [Range; 4] {
        Range::ALL
    }

    fn took(&self, counts: &StatementCounts) -> String {
        seconds_for_people(counts.seconds())
    }

    fn mean(&self, counts: &StatementCounts) -> String {
        seconds_for_people(counts.mean_seconds())
    }

    fn is_shown(&self, range: &Range) -> bool {
        *range == self.range
    }

    /// Points in which it was called, newest first, for the table behind the pictures.
    fn called(&self) -> impl Iterator<Item = (&HistoryPoint, StatementCounts)> {
        let called = |point: &'_ HistoryPoint| point.counts.filter(|counts| counts.calls > 0);
        let points = self.history.iter().rev();
        points
            .filter_map(move |point| Some((point, called(point)?)))
            .take(200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{frame::Page, sample};

    fn total(text: &str) -> StatementTotal {
        let counts = StatementCounts {
            calls: 3,
            microseconds: 6_000_000,
            rows: 12,
            ..StatementCounts::default()
        };
        StatementTotal {
            statement_id: "0123456789abcdef".into(),
            database: sample::HOSTILE.into(),
            text: text.into(),
            counts,
            mean_seconds: counts.mean_seconds(),
            share_ratio: 0.75,
        }
    }

    #[test]
    fn hostile_names_and_texts_are_escaped_and_nothing_seen_is_a_page() {
        let place = ("main".to_owned(), sample::HOSTILE.to_owned());
        let places = vec![place.clone()];
        let page =
            |found| StatementsPage::build(sample::now(), place.clone(), Range::Day, found, places.clone());
        let html = page((vec![total(sample::HOSTILE)], 1)).html("..", "t").unwrap();
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(html.contains("75"));
        let empty = page((vec![], 0)).html("..", "t").unwrap();
        assert!(empty.contains("No statement was seen in the last 24 hours."));
        let history = vec![HistoryPoint {
            from: sample::now(),
            length_seconds: 3600.0,
            counts: Some(total("").counts),
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
            vec![sample::finding("query.slow_mean", sample::HOSTILE)],
        );
        assert!(
            one.sentence()
                .starts_with("In the last 24 hours it was called 3 times and took 6")
        );
        assert!(!one.html("..", "t").unwrap().contains("<script>alert"));
    }
}
