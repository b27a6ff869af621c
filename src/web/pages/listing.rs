//! What the list of tables and the list of indexes have in common: of which database, in which order, how much there is.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::Unjudged;
use super::present;
use super::range::Range;
use super::relations::{INDEX_ORDERS, TABLE_ORDERS, grew_most, order_query, order_tabs};
use super::tabs::{Place, Tab, View};
use crate::model::relation::RelationOrder;
use crate::model::unit::bytes_for_people;

/// Minutes for which what was read passes for what is so now.
const A_MOMENT_MINUTES: i64 = 2;

/// What is listed, beside the lines.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Listing {
    /// The server.
    pub server: String,
    /// The database.
    pub database: String,
    /// The range that is told.
    pub range: Range,
    /// What the list begins with.
    pub order: RelationOrder,
    /// How many there are in all.
    pub total: usize,
    /// Bytes of all of them together; of tables without their indexes.
    pub bytes: u64,
    /// Findings that were not looked through for this list, the least important ones.
    pub findings_left_out: usize,
    /// When tables and indexes were looked at last; null where nobody looked of late.
    pub as_of: Option<DateTime<Utc>>,
    /// What of tables and indexes cannot be judged here yet, since only time is lacking; of statements it is told with them.
    pub waiting: Vec<Unjudged>,
    /// The time of that look where it is longer ago than a moment.
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) told_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) view: View,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) places: Vec<(String, String)>,
}

impl Listing {
    /// The same with the time of the look that it tells of.
    #[must_use]
    pub(super) fn looked_at(self, now: DateTime<Utc>, at: Option<DateTime<Utc>>) -> Self {
        let is_long_ago = |at: &DateTime<Utc>| now - *at > TimeDelta::minutes(A_MOMENT_MINUTES);
        Self {
            as_of: at,
            told_at: at.filter(is_long_ago),
            ..self
        }
    }

    /// One of them, several of them, and what their bytes leave out.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self.view {
            View::Indexes => ("index", "indexes", ""),
            _ => ("table", "tables", " (indexes not counted)"),
        }
    }

    /// How much there is, and which of the lines grew most: each with its name and by how much it grew.
    pub(super) fn sentence(&self, lines: Vec<(String, Option<f64>)>) -> String {
        let (one, many, without) = self.words();
        if self.server.is_empty() {
            return "No server was looked at yet.".to_owned();
        }
        if lines.is_empty() {
            return format!("No {one} is known here yet.");
        }
        let is_certain = self.total <= lines.len() || self.order == RelationOrder::Growth;
        let hold = match self.total {
            1 => "holds",
            _ => "hold",
        };
        format!(
            "{} of {} {hold} {}{without}{}.",
            present::plural(self.total, one, many),
            self.database,
            bytes_for_people(self.bytes as f64),
            grew_most(lines.into_iter(), self.range, is_certain)
        )
    }

    /// What is not in the list, of which so many are shown; empty where nothing is missing.
    pub(super) fn left_out(&self, shown: &usize) -> String {
        let (_, many, _) = self.words();
        let count = |number: usize| present::number(number as f64);
        let lines =
            (self.total > *shown).then(|| format!("{} of {} {many}", count(*shown), count(self.total)));
        let findings = (self.findings_left_out > 0).then(|| {
            let left_out = count(self.findings_left_out);
            let findings = present::amount(left_out, "finding that matters", "findings that matter");
            format!("without the {findings} least")
        });
        let told: Vec<String> = lines.into_iter().chain(findings).collect();
        told.join("; ")
    }

    fn path(&self) -> String {
        self.view.path(&self.server, &self.database)
    }

    /// The address of the same in the API.
    pub(super) fn api_path(&self) -> String {
        let query = order_query(self.order);
        format!("/api/v1{}?range={}{query}", self.path(), self.range.word())
    }

    pub(super) fn views(&self) -> Vec<Tab> {
        self.view.tabs(&self.server, &self.database, self.range)
    }

    pub(super) fn ranges(&self) -> Vec<Tab> {
        self.range.tabs(&self.path(), &order_query(self.order))
    }

    pub(super) fn orders(&self) -> Vec<Tab> {
        let orders: &[RelationOrder] = match self.view {
            View::Indexes => &INDEX_ORDERS,
            _ => &TABLE_ORDERS,
        };
        order_tabs(&self.path(), self.range, orders, self.order)
    }

    pub(super) fn others(&self) -> Vec<Place> {
        self.view
            .places(&self.places, (&self.server, &self.database), self.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(view: View, total: usize, findings_left_out: usize) -> Listing {
        Listing {
            server: "main".into(),
            database: "a b".into(),
            range: Range::Day,
            order: RelationOrder::Size,
            total,
            bytes: 2048,
            findings_left_out,
            as_of: None,
            waiting: Vec::new(),
            told_at: None,
            view,
            places: Vec::new(),
        }
    }

    #[test]
    fn a_look_is_told_with_its_time_where_it_is_not_of_this_moment() {
        let now = crate::web::pages::sample::now();
        let told = |minutes: Option<i64>| {
            let at = minutes.map(|minutes| now - TimeDelta::minutes(minutes));
            let list = listing(View::Indexes, 1, 0).looked_at(now, at);
            assert_eq!(list.as_of, at);
            list.told_at.is_some()
        };
        let all = [Some(0), Some(2), Some(3), Some(80)].map(told);
        assert_eq!(all, [false, false, true, true]);
        assert!(!told(None), "nothing is made up");
    }

    #[test]
    fn what_is_left_out_is_said() {
        assert_eq!(listing(View::Tables, 5, 0).left_out(&5), "");
        assert_eq!(
            listing(View::Tables, 1200, 0).left_out(&100),
            "100 of 1\u{202f}200 tables"
        );
        assert_eq!(
            listing(View::Indexes, 9, 3).left_out(&5),
            "5 of 9 indexes; without the 3 findings that matter least"
        );
        assert_eq!(
            listing(View::Tables, 1, 1).left_out(&1),
            "without the 1 finding that matters least"
        );
    }

    #[test]
    fn the_sentence_is_sure_only_of_a_whole_list() {
        let said = |total| listing(View::Indexes, total, 0).sentence(vec![("s.i".into(), Some(1024.0))]);
        assert_eq!(
            said(1),
            "1 index of a b holds 2.0 KiB; s.i grew most in the last 24 hours, by 1.0 KiB."
        );
        assert!(said(2).contains("2 indexes of a b hold 2.0 KiB; of those listed here, s.i grew most"));
        let path = listing(View::Tables, 1, 0).api_path();
        assert_eq!(path, "/api/v1/servers/main/a%20b/tables?range=24h&order=size");
    }
}
