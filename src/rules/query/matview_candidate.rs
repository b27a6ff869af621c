//! query.matview_candidate

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::advice::{Advised, SummaryView};
use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified};
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, estimated, evidence, number};

/// A statement groups many rows again and again, and they hardly change.
///
/// ## Why it is bad
/// Each call reads all rows to make the same groups of them.
///
/// ## What to do
/// Keep the groups in a materialized view, let the statement read that, and let the advisor refresh it (`[[refresh]]`). The
/// view was not guessed: the planner planned its query, which tells what filling it costs; the arithmetic stands beside it.
///
/// ## When it is wrong to obey
/// If whoever asks must see what was written a moment ago: data are as old as the promise allows. If an index that is advised
/// does as much: the time that it saves is taken off before. If the statement itself cannot be changed.
///
/// Only statements are told whose parameters are compared with what they group by, or ask for one value of a column: other
/// conditions cut through groups. What stands as a parameter within a group (`date_trunc($1, …)`) is not known and not told.
///
/// Sources: pg_stat_statements; PostgreSQL's chapters "Using EXPLAIN" and "Materialized Views".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatviewCandidate {
    /// Rows that its tables must have together.
    pub min_rows: f64,
    /// Calls that there must be in the window.
    pub min_calls: i64,
    /// The part of its rows, 0 to 1, that may be written in an hour.
    pub max_written_per_hour: f64,
    /// How old the groups may be: what refreshing costs is reckoned for that.
    pub max_age: Period,
    /// Share of all database time, 0 to 1, that must be saved.
    pub min_saved_share: f64,
}

impl Default for MatviewCandidate {
    fn default() -> Self {
        Self {
            min_rows: 1e6,
            min_calls: 10,
            max_written_per_hour: 0.01,
            max_age: Period::minutes(15),
            min_saved_share: 0.01,
        }
    }
}

/// The planner's price of reading one row (`cpu_tuple_cost`) and a page of 8 kB (`seq_page_cost`).
const ROW_COST: f64 = 0.01;
const BYTES_OF_A_PAGE: f64 = 8192.0;
/// What writing one row of the view and its index takes, in the same units, and comparing it with what was there.
const WRITING_COST: f64 = 0.05;
/// What is not written just now will be some time: refreshes a day are reckoned to be at least so many.
const LEAST_REFRESHES: f64 = 24.0;
/// A view that is nearly as large as what it is made of saves nothing.
const ROWS_OF_A_GROUP: f64 = 10.0;
/// What is saved must be so many times what refreshing costs.
const WORTH_IT: f64 = 2.0;
/// Bytes of a name.
const NAME_BYTES: usize = 50;

impl Rule for MatviewCandidate {
    const ID: &'static str = "query.matview_candidate";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let advised = database.advice.as_ref().map_err(Clone::clone)?;
        let mut found = Found {
            absence_is_no_proof: advised.still_filling.clone(),
            ..Found::default()
        };
        // some calls of a few minutes are no rate of a day
        if advised.still_filling.is_some() {
            return Ok(found);
        }
        for view in &advised.summary_views {
            let Some(prices) = Prices::of(advised, view, self.max_age) else {
                continue;
            };
            let is_large =
                view.rows_read >= self.min_rows && view.rows_held * ROWS_OF_A_GROUP <= view.rows_read;
            if !is_large || prices.calls < self.min_calls || !self.pays(advised, &prices, false) {
                continue;
            }
            let Some(written_per_hour) = written_per_hour(database, view) else {
                found.undecided.push(vec![view.statement_id.clone()]);
                found.untold = Some("how fast its tables are written is not known yet".to_owned());
                continue;
            };
            let is_quiet = written_per_hour <= self.max_written_per_hour * view.rows_read;
            if is_quiet && self.pays(advised, &prices, written_per_hour > 0.0) {
                found
                    .claims
                    .push(self.claim(place, database, view, (&prices, written_per_hour)));
            }
        }
        Ok(found)
    }
}

/// What the statement and the view take, in seconds of a day.
struct Prices {
    calls: i64,
    calls_per_day: f64,
    /// One call, with the indexes that are advised.
    call_seconds: f64,
    /// One call that reads the view instead.
    reading_seconds: f64,
    /// One refresh.
    filling_seconds: f64,
    refreshes_per_day: f64,
}

impl Prices {
    fn of(advised: &Advised, view: &SummaryView, max_age: Period) -> Option<Self> {
        let did = advised.activity.get(&view.statement_id)?;
        let window_seconds = advised.window?.seconds().max(1.0);
        let now_seconds = did.seconds / did.calls.max(1) as f64;
        let statements = &advised.report.statements;
        let told = statements
            .iter()
            .find(|one| one.statement_id == view.statement_id)?;
        let with_indexes = told
            .cost_after
            .zip(told.cost_before)
            .map_or(1.0, |(after, before)| (after / before.max(1.0)).min(1.0));
        let seconds_of = |cost: f64| now_seconds * cost / view.cost_statement.max(1.0);
        Some(Self {
            calls: did.calls,
            calls_per_day: did.calls as f64 / window_seconds * 86_400.0,
            call_seconds: now_seconds * with_indexes,
            reading_seconds: seconds_of(view.rows_held * (ROW_COST + view.row_bytes / BYTES_OF_A_PAGE)),
            filling_seconds: seconds_of(view.cost_filling + view.rows_held * WRITING_COST),
            refreshes_per_day: 86_400.0 / max_age.as_seconds().max(1.0),
        })
    }

    fn saved_seconds(&self) -> f64 {
        self.calls_per_day * (self.call_seconds - self.reading_seconds).max(0.0)
    }

    fn refreshing_seconds(&self, is_written: bool) -> f64 {
        let most = self.refreshes_per_day;
        self.filling_seconds
            * if is_written {
                most
            } else {
                most.min(LEAST_REFRESHES)
            }
    }
}

/// Rows written in an hour to all that a view would read; none where that is not known.
fn written_per_hour(database: &DatabaseObservation, view: &SummaryView) -> Option<f64> {
    let mut rows = 0.0;
    for oid in &view.table_oids {
        let table = database.tables.iter().find(|table| table.oid == *oid)?;
        rows += table.written_per_second? * 3600.0;
    }
    Some(rows)
}

impl MatviewCandidate {
    fn pays(&self, advised: &Advised, prices: &Prices, is_written: bool) -> bool {
        let Some(window) = advised.window else {
            return false;
        };
        let all_seconds = advised.total_seconds / window.seconds().max(1.0) * 86_400.0;
        let (saved, refreshing) = (prices.saved_seconds(), prices.refreshing_seconds(is_written));
        saved >= refreshing * WORTH_IT && saved - refreshing >= all_seconds * self.min_saved_share
    }

    fn claim(
        &self,
        place: &Place<'_>,
        database: &DatabaseObservation,
        view: &SummaryView,
        (prices, written_per_hour): (&Prices, f64),
    ) -> Claim {
        let id = view.statement_id.clone();
        let name = name_for(view);
        let qualified = qualified(&view.schema, &name);
        let is_there = is_there(database, &view.schema, &name);
        let statement = database.advice.as_ref().ok().and_then(|advised| {
            let mut statements = advised.report.statements.iter();
            statements.find(|one| one.statement_id == id)
        });
        let text = statement.map_or(String::new(), |one| one.text.clone());
        let schedule = format!(
            "[[refresh]]\nview = {}\nmax_age = \"{}\"",
            toml::Value::String(format!("{}.{name}", view.schema)),
            self.max_age
        );
        let create = [
            Statement::CreateMaterializedView {
                schema: view.schema.clone(),
                name: name.clone(),
                query: view.grouped.definition.clone(),
            },
            Statement::CreateUniqueIndexConcurrently {
                // it goes with the view
                name: None,
                schema: view.schema.clone(),
                table: name.clone(),
                columns: view.grouped.unique_columns.clone(),
            },
        ];
        let drop = Statement::DropMaterializedView {
            schema: view.schema.clone(),
            name,
        };
        let is_written = written_per_hour > 0.0;
        let (saved, refreshing) = (prices.saved_seconds(), prices.refreshing_seconds(is_written));
        let mut guards = Guards::default();
        guards.checked("the planner planned the query of the view");
        guards.checked(
            "every group lies wholly within the conditions that become conditions on the view, or without",
        );
        guards.checked("nothing in it changes by itself, as the current time does");
        guards.checked("the indexes that are advised are reckoned as if they were there");
        guards.not_checked("how old the groups may be for whoever asks");
        let mut claim = Claim {
            title: format!("{} could read a materialized view", crate::sql::outline(&text)),
            explanation: format!(
                "It makes groups of tables of {} rows, {} times a day, {} each time; {} rows an hour are written to them. A view of \
                 its {} groups is filled in about {}. No older than {}, that is {} a day instead of {}.",
                count_for_people(view.rows_read),
                count_for_people(prices.calls_per_day),
                seconds_for_people(prices.call_seconds),
                count_for_people(written_per_hour),
                count_for_people(view.rows_held),
                seconds_for_people(prices.filling_seconds),
                self.max_age,
                seconds_for_people(refreshing),
                seconds_for_people(saved),
            ),
            evidence: evidence([
                ("statement", json!(text)),
                ("becomes", json!(view.grouped.reading(&qualified))),
                ("schedule", json!(schedule)),
                ("calls_per_day", number(prices.calls_per_day)),
                ("mean_seconds", number(prices.call_seconds)),
                ("reading_seconds", number(prices.reading_seconds)),
                ("filling_seconds", number(prices.filling_seconds)),
                ("saved_seconds_per_day", number(saved)),
                ("refreshing_seconds_per_day", number(refreshing)),
                ("rows_read", number(view.rows_read)),
                ("rows_held", number(view.rows_held)),
                ("rows_written_per_hour", number(written_per_hour)),
                ("cost_of_statement", number(view.cost_statement)),
                ("cost_of_filling", number(view.cost_filling)),
            ]),
            evidence_window: database.advice.as_ref().ok().and_then(|advised| advised.window),
            confidence: estimated(
                "what filling and reading the view take is reckoned from the planner's costs and the measured time of the statement",
            ),
            remedy: Remedy {
                apply_sql: create.iter().filter(|_| !is_there).map(Statement::sql).collect(),
                undo_sql: Some(drop.sql()).filter(|_| !is_there).into_iter().collect(),
                lock: (!is_there).then(|| "ACCESS SHARE".to_owned()),
                expected_seconds: (!is_there).then_some(prices.filling_seconds),
                caveats: vec![
                    match is_there {
                        true => format!("{qualified} is there already: what is missing is that the statement reads it."),
                        false => format!("Roles that run the statement need SELECT on {qualified}. If its index cannot be made, drop it."),
                    },
                    "The parameters must have the types of the columns that they are compared with; of a list of values \
                     pg_stat_statements may have kept only one."
                        .to_owned(),
                    "The statement then reads it as it stands under \"becomes\"; the table of the configuration that keeps it \
                     fresh stands under \"schedule\"."
                        .to_owned(),
                ],
                ..Remedy::default()
            },
            guards: guards.told(),
            ..place.claim(
                Self::ID,
                Severity::Info,
                vec![id.clone()],
                Some(Object {
                    kind: ObjectKind::Statement,
                    schema: None,
                    name: id,
                    table: None,
                }),
            )
        };
        claim.impact.db_seconds_per_day = Some(saved - refreshing);
        claim
    }
}

/// Whether the view is there: its name tells its query.
fn is_there(database: &DatabaseObservation, schema: &str, name: &str) -> bool {
    let mut tables = database.catalog.tables.values();
    tables.any(|table| (table.schema.as_str(), table.name.as_str(), table.kind) == (schema, name, 'm'))
}

/// A name that only a view of this query has.
fn name_for(view: &SummaryView) -> String {
    let all = match &view.grouped.unique_columns[..] {
        [] => format!("{}_totals", view.first_table),
        columns => format!("{}_by_{}", view.first_table, columns.join("_")),
    };
    let hash = blake3::hash(view.grouped.definition.as_bytes()).to_hex();
    format!("{}_{}", crate::sql::cut(&all, NAME_BYTES), &hash[..6]).replace('*', "_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::*;
    use crate::model::advice::{AdviceReport, AdvisedActivity, AdvisedStatement, StatementStatus};
    use crate::model::finding::Window;
    use crate::model::observation::TableObservation;
    use crate::rules::testing::{database, found, now};

    /// A statement that groups two million rows into a hundred in 0.5 s, 20 times in half an hour, on a server that does
    /// nothing else for half of the time.
    fn judged(change: impl FnOnce(&mut Advised, &mut TableObservation)) -> (usize, usize) {
        let text = "SELECT a, count(*) FROM t GROUP BY a";
        let grouped = crate::sql::grouped_view(text, &|_, _| {
            Some(crate::sql::KnownTable {
                schema: "public".into(),
                columns: BTreeMap::from([("a".to_owned(), "int4".to_owned())]),
            })
        })
        .unwrap();
        let view = SummaryView {
            statement_id: "s".into(),
            schema: "public".into(),
            first_table: "t".into(),
            grouped,
            cost_statement: 50_000.0,
            cost_filling: 50_000.0,
            rows_read: 2e6,
            rows_held: 100.0,
            row_bytes: 12.0,
            table_oids: vec![1],
        };
        let statement = AdvisedStatement {
            statement_id: "s".into(),
            name: None,
            text: text.into(),
            weight: 20.0,
            cost_before: Some(50_000.0),
            cost_after: Some(50_000.0),
            uses: Vec::new(),
            status: StatementStatus::Unchanged,
            reason: None,
            values: Vec::new(),
            plan_before: Vec::new(),
            plan_after: Vec::new(),
            may_have_later_page: false,
        };
        let did = AdvisedActivity {
            queryid: 1,
            calls: 20,
            seconds: 10.0,
        };
        let mut advised = Advised {
            window: Some(Window {
                from: now() - TimeDelta::minutes(30),
                to: now(),
            }),
            total_seconds: 20.0,
            activity: BTreeMap::from([("s".to_owned(), did)]),
            report: AdviceReport {
                statements: vec![statement],
                ..AdviceReport::default()
            },
            summary_views: vec![view],
            ..Advised::default()
        };
        let mut table = TableObservation {
            oid: 1,
            written_per_second: Some(1.0),
            ..TableObservation::default()
        };
        change(&mut advised, &mut table);
        let mut observed = database(vec![]);
        observed.databases[0].advice = Ok(Arc::new(advised));
        observed.databases[0].tables = vec![table];
        let found = found::<MatviewCandidate>(&observed).unwrap();
        (found.claims.len(), found.undecided.len())
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(judged(|_, _| ()), (1, 0));
        // 960 calls a day of 0.5 s, 96 refreshes
        let rows = |rows: f64| judged(|advised, _| advised.summary_views[0].rows_read = rows);
        assert_eq!((rows(1e6), rows(999_999.0)), ((1, 0), (0, 0)));
        let held = |rows: f64| judged(|advised, _| advised.summary_views[0].rows_held = rows);
        assert_eq!(held(200_001.0), (0, 0), "groups of less than ten rows");
        let filling = |cost: f64| judged(|advised, _| advised.summary_views[0].cost_filling = cost);
        assert_eq!(
            (filling(249_000.0), filling(251_000.0)),
            ((1, 0), (0, 0)),
            "half of what is saved"
        );
        let calls = |calls: i64| {
            judged(|advised, _| {
                let did = advised.activity.get_mut("s").unwrap();
                (did.calls, did.seconds) = (calls, calls as f64 * 0.5);
            })
        };
        assert_eq!((calls(10), calls(9)), ((1, 0), (0, 0)));
        let all = |seconds: f64| judged(|advised, _| advised.total_seconds = seconds);
        assert_eq!(
            (all(890.0), all(910.0)),
            ((1, 0), (0, 0)),
            "a hundredth of all time"
        );
    }

    #[test]
    fn what_is_written_fast_or_not_known_or_served_by_an_index_is_no_candidate() {
        let written = |rows: Option<f64>| judged(|_, table| table.written_per_second = rows);
        assert_eq!(
            (written(Some(5.5)), written(Some(5.6))),
            ((1, 0), (0, 0)),
            "a hundredth in an hour"
        );
        assert_eq!(written(None), (0, 1));
        let indexed = judged(|advised, _| advised.report.statements[0].cost_after = Some(100.0));
        assert_eq!(indexed, (0, 0));
        // what is not written now is refreshed more seldom
        let quiet = |cost: f64| {
            judged(|advised, table| {
                table.written_per_second = Some(0.0);
                advised.summary_views[0].cost_filling = cost;
            })
        };
        assert_eq!(
            (quiet(990_000.0), quiet(1_010_000.0)),
            ((1, 0), (0, 0)),
            "each hour, for half of what is saved"
        );
        let filling = judged(|advised, _| advised.still_filling = Some("still filling".into()));
        assert_eq!(filling, (0, 0));
    }
}
