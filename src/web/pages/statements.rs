//! `/servers/{server}/{database}/statements`: where does the time go?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::Unjudged;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::present;
use super::range::Range;
use super::spark::Spark;
use super::tabs::{Place, Tab, View};
use crate::model::history::{StatementCounts, StatementTimes, StatementTotal};
use crate::model::unit::seconds_for_people;

/// The address of a database's statements.
pub fn path(server: &str, database: &str) -> String {
    View::Statements.path(server, database)
}

/// What changed by less than this factor is as it was.
const MUCH: f64 = 1.5;

/// The beginning of a text, at most so many characters of it, without its line breaks.
fn in_a_line(text: &str, limit: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    present::clip(&words.join(" "), limit)
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
    /// What each of them took step by step: of the last hour over the last 24.
    pub over_time: StatementTimes,
    /// How many were called at all.
    pub total: usize,
    /// What cannot be judged here yet, since only time is lacking.
    pub waiting: Vec<Unjudged>,
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
            over_time: StatementTimes::default(),
            total,
            waiting: Vec::new(),
            places,
        }
    }

    /// The same with what cannot be judged here yet.
    #[must_use]
    pub fn with_waiting(self, waiting: Vec<Unjudged>) -> Self {
        Self { waiting, ..self }
    }

    /// The same with what each of the statements took step by step.
    #[must_use]
    pub fn with_times(self, over_time: StatementTimes) -> Self {
        Self { over_time, ..self }
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

    fn ranges(&self) -> Vec<Tab> {
        self.range.tabs(&self.path(), "")
    }

    fn views(&self) -> Vec<Tab> {
        View::Statements.tabs(&self.server, &self.database, self.range)
    }

    fn others(&self) -> Vec<Place> {
        View::Statements.places(&self.places, (&self.server, &self.database), self.range)
    }

    fn outline(&self, statement: &StatementTotal) -> String {
        crate::sql::outline(&statement.text)
    }

    /// What fits in a line; the browser cuts it where it ends.
    fn beginning(&self, statement: &StatementTotal) -> String {
        in_a_line(&statement.text, 160)
    }

    /// What the pointer shows of it; all of it is on its page.
    fn more_of_it(&self, statement: &StatementTotal) -> String {
        in_a_line(&statement.text, 480)
    }

    /// What the small pictures show, as people say it.
    fn drawn(&self) -> &'static str {
        self.range.drawn().name()
    }

    /// What it took over time, each statement in its own measure.
    fn spark(&self, statement: &StatementTotal) -> Spark {
        let steps = self.over_time.seconds_per_hour(&statement.statement_id);
        Spark::of_time(&steps, self.drawn())
    }

    fn of_hundred(&self, ratio: &f64) -> u8 {
        (ratio * 100.0).clamp(0.0, 100.0) as u8
    }

    fn per_call(&self, number: &u64, statement: &StatementTotal) -> String {
        present::number(*number as f64 / statement.counts.calls.max(1) as f64)
    }

    /// What each is compared with.
    fn before_name(&self) -> &'static str {
        match self.range {
            Range::Hour | Range::Day | Range::Week => "than a week ago",
            Range::Month | Range::Quarter => "than before that",
        }
    }

    /// What is not as it was before; none where nothing changed much, or nobody looked then.
    fn change(&self, statement: &StatementTotal) -> Option<String> {
        let (now, before) = (statement.counts, statement.before?);
        if before.calls == 0 {
            return Some("new".to_owned());
        }
        let ratio = now.mean_seconds() / before.mean_seconds().max(f64::MIN_POSITIVE);
        let calls_ratio = now.calls as f64 / before.calls as f64;
        match (ratio, calls_ratio) {
            (slower, _) if slower >= MUCH => Some(format!("{slower:.1}× slower")),
            (faster, _) if faster > 0.0 && faster <= 1.0 / MUCH => {
                Some(format!("{:.1}× faster", 1.0 / faster))
            }
            (_, more) if more >= MUCH => Some(format!("{more:.1}× the calls")),
            (_, fewer) if fewer <= 1.0 / MUCH => Some(format!("1/{:.1} of the calls", 1.0 / fewer)),
            _ => None,
        }
    }

    fn blocks_per_call(&self, statement: &StatementTotal) -> String {
        let blocks = statement.counts.shared_blocks_hit + statement.counts.shared_blocks_read;
        self.per_call(&blocks, statement)
    }

    fn took(&self, counts: &StatementCounts) -> String {
        seconds_for_people(counts.seconds())
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
            before: None,
        }
    }

    #[test]
    fn what_changed_much_against_before_is_said() {
        let page = StatementsPage::of_nothing(sample::now());
        let change = |calls: u64, seconds: u64| {
            let before = StatementCounts {
                calls,
                microseconds: seconds * 1_000_000,
                ..StatementCounts::default()
            };
            page.change(&StatementTotal {
                before: Some(before),
                ..total("")
            })
        };
        // three calls of two seconds now
        assert_eq!(change(0, 0).as_deref(), Some("new"));
        assert_eq!(change(3, 3).as_deref(), Some("2.0× slower"));
        assert_eq!(change(3, 24).as_deref(), Some("4.0× faster"));
        assert_eq!(change(1, 2).as_deref(), Some("3.0× the calls"));
        assert_eq!(change(9, 18).as_deref(), Some("1/3.0 of the calls"));
        assert_eq!(change(3, 7), None);
        assert_eq!(page.change(&total("")), None, "nobody looked then");
    }

    #[test]
    fn beside_each_statement_is_a_picture_of_what_it_took() {
        let over_time = StatementTimes {
            from: sample::now(),
            step_seconds: 3600.0,
            seen_seconds: vec![3600.0, 0.0, 1800.0],
            microseconds: [(total("").statement_id, vec![2_000_000, 0, 4_000_000])].into(),
        };
        let place = ("main".to_owned(), "shop".to_owned());
        let page = StatementsPage::build(
            sample::now(),
            place,
            Range::Hour,
            (vec![total("SELECT 1")], 1),
            Vec::new(),
        );
        let html = page.with_times(over_time).html("..", "t").unwrap();
        // half an hour counts as half an hour
        let label = "aria-label=\"at most 8.0 s an hour in the last 24 hours; 33 % of that is not known\"";
        assert!(html.contains(label), "{html}");
        assert!(
            html.contains("role=\"img\"") && html.contains("Over 24 hours"),
            "{html}"
        );
    }

    #[test]
    fn a_long_text_is_a_line_and_the_least_needed_numbers_fold() {
        let long = format!("SELECT a,\n  {}z_last FROM shop.items", "a_column, ".repeat(60));
        let line = StatementTotal {
            before: Some(StatementCounts::default()),
            ..total(&long)
        };
        let took = format!(
            "<span class=\"fold\">{}</span>",
            seconds_for_people(line.counts.seconds())
        );
        let place = ("main".to_owned(), "shop".to_owned());
        let page = StatementsPage::build(sample::now(), place, Range::Day, (vec![line], 1), Vec::new());
        let html = page.html("..", "t").unwrap();
        assert_eq!(html.matches("<th scope=\"col\"").count(), 7, "{html}");
        assert!(html.contains("class=\"title clip\""), "{html}");
        assert!(
            html.contains("small clip\" title=\"SELECT a, a_column,"),
            "{html}"
        );
        assert!(!html.contains("z_last"), "all of it is on its page: {html}");
        assert!(html.contains(&took), "below its share: {html}");
        assert!(
            html.contains("<span class=\"fold\">new</span>"),
            "below its mean: {html}"
        );
        let style = include_str!("../../../templates/assets/style.css");
        for class in ["clip", "fold", "only-folded", "hide-folded"] {
            let used = [" ", "\""].map(|end| format!("{class}{end}"));
            assert!(used.iter().any(|used| html.contains(used)), "{class}");
            assert!(style.contains(&format!(".{class} {{")), "{class} has no look");
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
        assert!(
            !html.contains("<svg class=\"spark\""),
            "nothing is known of it over time"
        );
        let empty = page((vec![], 0)).html("..", "t").unwrap();
        assert!(empty.contains("No statement was seen in the last 24 hours."));
    }
}
