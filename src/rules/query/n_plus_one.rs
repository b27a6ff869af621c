//! query.n_plus_one

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::limits;
use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{DatabaseObservation, StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Place, Rule, Scope, estimated, evidence, number};
use crate::sql::remembered;
use crate::sql::shape::KeyLookup;
use crate::sql::{self, Command};

/// A statement that looks up one row, called once for every row of another one.
///
/// ## Why it is bad
/// A program fetches a list and then asks for each of its items alone. Each question is fast, and so no list of slow
/// statements shows it; but each goes over the network and back, is parsed and planned, and a page that could wait for one
/// answer waits for a hundred.
///
/// ## What to do
/// Ask once: join the two, or fetch all items of the list with `WHERE id = ANY($1)`. Frameworks call it eager loading
/// (`includes`, `select_related`, `JOIN FETCH`).
///
/// ## When it is wrong to obey
/// Queues, sessions and look-ups of single web requests are fast look-ups of one row as well, and right. Two statements may
/// also have such numbers by chance. The pair is told, with its numbers: look whether the program runs the one in a loop
/// over the other.
///
/// It is said only of pairs. The other statement is a SELECT of the same database and role that returned as many rows as the
/// look-up was called, and whose table is linked with the looked-up one by a foreign key; where neither has foreign keys, by
/// a column named after the other table (`order_id`). Windows shorter than half an hour count as half an hour. Source:
/// PostgreSQL's chapter "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NPlusOne {
    /// Calls in an hour that it takes.
    info_calls_per_hour: f64,
    /// Mean time of a call that it must stay below.
    max_mean: Period,
    /// Rows that a call may return on average.
    max_rows_per_call: f64,
    /// Calls for each call of the other statement that it takes.
    min_calls_per_parent_call: f64,
    /// How far, as a part of them, 0 to 1, its calls may be from the rows of the other statement.
    tolerance_ratio: f64,
}

impl Default for NPlusOne {
    fn default() -> Self {
        Self {
            info_calls_per_hour: 1000.0,
            max_mean: Period::milliseconds(1),
            max_rows_per_call: 1.05,
            min_calls_per_parent_call: 5.0,
            tolerance_ratio: 0.1,
        }
    }
}

/// Statements that are looked at for one look-up: those whose rows are nearest to its calls.
const PARENTS: usize = 20;

impl Rule for NPlusOne {
    const ID: &'static str = "query.n_plus_one";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let mut found = Found {
            // it may be the one that is called for each row, or the one that returns them
            absence_is_no_proof: activity.absence_is_no_proof(|hidden| {
                self.is_frequent(activity, hidden) || self.has_children(activity, hidden)
            }),
            ..Found::default()
        };
        let by_rows = ByRows::of(activity);
        let mut known: HashMap<&str, Option<Keys<'_>>> = HashMap::new();
        for statement in activity
            .statements
            .iter()
            .filter(|one| self.is_frequent(activity, one))
        {
            let parents = self.parents(&by_rows, statement);
            if parents.is_empty() {
                continue;
            }
            let Some(lookup) = remembered::key_lookup(&statement.text.text) else {
                continue;
            };
            let keys = known.entry(statement.database.as_str()).or_insert_with(|| {
                let mut databases = place.observation.databases.iter();
                Keys::of(databases.find(|one| one.name == statement.database)?)
            });
            let links = Links::of(lookup, keys.as_ref());
            if let Some(parent) = parents
                .into_iter()
                .find(|parent| links.lead_to(&parent.text.text))
            {
                found.claim_worst_first(
                    place,
                    || vec![statement.text.statement_id.clone()],
                    || claim(place, activity, (statement, parent), &links),
                );
            }
        }
        Ok(found)
    }
}

/// Calls in an hour.
fn calls_per_hour(activity: &StatementActivity, statement: &StatementDelta) -> f64 {
    let shortest = limits::STATEMENT_WINDOW.as_secs_f64();
    statement.calls as f64 / statements::window_seconds(activity).max(shortest) * 3600.0
}

impl NPlusOne {
    fn is_frequent(&self, activity: &StatementActivity, statement: &StatementDelta) -> bool {
        calls_per_hour(activity, statement) >= self.info_calls_per_hour
            && statement.mean_seconds() < self.max_mean.as_seconds()
            && statement.rows as f64 <= self.max_rows_per_call * statement.calls as f64
    }

    /// Whether it returned so many rows that one that is called for each of them would be told.
    fn has_children(&self, activity: &StatementActivity, statement: &StatementDelta) -> bool {
        let rows_per_call = statement.rows as f64 / statement.calls.max(1) as f64;
        rows_per_call * calls_per_hour(activity, statement) >= self.info_calls_per_hour
    }

    /// Statements that returned as many rows as this one was called, the nearest first.
    fn parents<'a>(&self, by_rows: &ByRows<'a>, statement: &StatementDelta) -> Vec<&'a StatementDelta> {
        let calls = statement.calls as f64;
        let distance = |parent: &StatementDelta| parent.rows.abs_diff(statement.calls);
        let has_same_role = |parent: &StatementDelta| {
            parent.roles.is_empty()
                || statement.roles.is_empty()
                || parent.roles.iter().any(|role| statement.roles.contains(role))
        };
        let is_parent = |parent: &&StatementDelta| {
            parent.calls as f64 * self.min_calls_per_parent_call <= calls
                && parent.text.statement_id != statement.text.statement_id
                && has_same_role(parent)
        };
        let tolerance = self.tolerance_ratio * calls;
        let near = by_rows.near(statement, tolerance).iter().copied();
        let mut parents: Vec<&StatementDelta> = near.filter(is_parent).collect();
        parents.sort_by(|a, b| {
            let by_id = || a.text.statement_id.cmp(&b.text.statement_id);
            distance(a).cmp(&distance(b)).then_with(by_id)
        });
        parents.truncate(PARENTS);
        parents
    }
}

/// The statements of each database by the rows that they returned, the fewest first: those near a number are found without
/// looking at all of them.
struct ByRows<'a>(HashMap<&'a str, Vec<&'a StatementDelta>>);

impl<'a> ByRows<'a> {
    fn of(activity: &'a StatementActivity) -> Self {
        let mut all: HashMap<&str, Vec<&StatementDelta>> = HashMap::new();
        for statement in &activity.statements {
            all.entry(statement.database.as_str())
                .or_default()
                .push(statement);
        }
        all.values_mut()
            .for_each(|statements| statements.sort_by_key(|one| one.rows));
        Self(all)
    }

    /// Those of the same database whose rows are as many as the calls of a statement, give or take so many.
    fn near(&self, statement: &StatementDelta, tolerance: f64) -> &[&'a StatementDelta] {
        let all = self.0.get(statement.database.as_str());
        let all = all.map(Vec::as_slice).unwrap_or_default();
        let beyond = |one: &StatementDelta| one.rows.abs_diff(statement.calls) as f64 > tolerance;
        let first = all.partition_point(|one| one.rows < statement.calls && beyond(one));
        let rest = &all[first..];
        let count = rest.partition_point(|one| one.rows < statement.calls || !beyond(one));
        &rest[..count]
    }
}

/// What leads from the looked-up table to others.
struct Links {
    lookup: Arc<KeyLookup>,
    /// Tables that a foreign key links with it, by schema and name; none where foreign keys tell nothing.
    tables: Option<BTreeSet<(String, String)>>,
}

impl Links {
    fn of(lookup: Arc<KeyLookup>, keys: Option<&Keys<'_>>) -> Self {
        let tables = keys.and_then(|keys| keys.linked_with(&lookup));
        Self { lookup, tables }
    }

    /// Whether a text may name a table that leads to the looked-up one: most do not, which is seen without parsing them.
    fn may_be_named_in(&self, text: &str) -> bool {
        let Some(tables) = &self.tables else {
            return true;
        };
        let text = text.to_ascii_lowercase();
        // quotes are doubled within quotes, and what letters become in lower case depends on the encoding
        let is_plain = |name: &str| name.is_ascii() && !name.contains('"');
        let is_spelled = |name: &str| !is_plain(name) || text.contains(&name.to_ascii_lowercase());
        text.contains("u&\"") || tables.iter().any(|(_, table)| is_spelled(table))
    }

    /// Whether a statement reads a table that leads to the looked-up one.
    fn lead_to(&self, text: &str) -> bool {
        if !self.may_be_named_in(text) {
            return false;
        }
        let Some(names) = remembered::tables(text) else {
            return false;
        };
        if names.command != Command::Select {
            return false;
        }
        match &self.tables {
            Some(tables) => names.relations.iter().any(|read| {
                tables.iter().any(|(schema, table)| {
                    *table == read.name && read.schema.as_ref().is_none_or(|named| named == schema)
                })
            }),
            None => {
                text.contains(&reference_to(&self.lookup.table))
                    || names.relations.iter().any(|read| {
                        let reference = reference_to(&read.name);
                        self.lookup.columns.contains(&reference)
                    })
            }
        }
    }
}

/// What a column that points at a table is mostly called: `order_id` for `orders`.
fn reference_to(table: &str) -> String {
    format!("{}_id", table.strip_suffix('s').unwrap_or(table))
}

/// What the foreign keys of a database link.
struct Keys<'a> {
    database: &'a DatabaseObservation,
    /// Tables by their name; several schemas may have one of that name.
    by_name: HashMap<&'a str, Vec<&'a TableFacts>>,
    /// The OIDs of the tables at the other ends of a table's keys.
    ends: HashMap<u32, Vec<u32>>,
}

impl<'a> Keys<'a> {
    /// None where foreign keys could not be read.
    fn of(database: &'a DatabaseObservation) -> Option<Self> {
        let keys = &database.schema.as_ref().ok()?.facts.foreign_keys;
        let mut by_name: HashMap<&str, Vec<&TableFacts>> = HashMap::new();
        let tables = database.catalog.tables.values();
        for table in tables.filter(|table| table.kind != 't') {
            by_name.entry(table.name.as_str()).or_default().push(table);
        }
        let mut ends: HashMap<u32, Vec<u32>> = HashMap::new();
        for key in keys {
            ends.entry(key.table_oid).or_default().push(key.referenced_oid);
            ends.entry(key.referenced_oid).or_default().push(key.table_oid);
        }
        Some(Self {
            database,
            by_name,
            ends,
        })
    }

    /// The tables at the other ends of foreign keys; none if the table is not known for sure, or has none.
    fn linked_with(&self, lookup: &KeyLookup) -> Option<BTreeSet<(String, String)>> {
        let is_in = |table: &&&TableFacts| {
            lookup
                .schema
                .as_ref()
                .is_none_or(|schema| *schema == table.schema)
        };
        let mut named = self.by_name.get(lookup.table.as_str())?.iter().filter(is_in);
        let (Some(table), None) = (named.next(), named.next()) else {
            return None;
        };
        let ends = self.ends.get(&table.oid)?.iter();
        let others = ends.filter_map(|oid| self.database.catalog.tables.get(*oid));
        let tables: BTreeSet<_> = others
            .map(|other| (other.schema.clone(), other.name.clone()))
            .collect();
        (!tables.is_empty()).then_some(tables)
    }
}

/// Calls in an hour, where the window is long enough for a rate: what counts as longer than it is makes none.
fn rate(activity: &StatementActivity, statement: &StatementDelta) -> Option<f64> {
    let is_long = statements::window_seconds(activity) >= limits::STATEMENT_WINDOW.as_secs_f64();
    is_long.then(|| calls_per_hour(activity, statement))
}

/// In which time it was called so often.
fn told_window(activity: &StatementActivity, statement: &StatementDelta) -> String {
    let window = seconds_for_people(statements::window_seconds(activity));
    match rate(activity, statement) {
        Some(per_hour) => format!("{window}, {} an hour", count_for_people(per_hour)),
        None => window,
    }
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    (statement, parent): (&StatementDelta, &StatementDelta),
    links: &Links,
) -> Claim {
    let per_parent = statement.calls as f64 / parent.calls.max(1) as f64;
    let own = evidence([
        ("parent_statement", json!(parent.text.text)),
        ("parent_statement_id", json!(parent.text.statement_id)),
        (
            "calls_per_hour",
            rate(activity, statement).map_or(Value::Null, number),
        ),
        ("calls_per_parent_call", number(per_parent)),
        ("parent_calls", json!(parent.calls)),
        ("parent_rows", json!(parent.rows)),
        ("linked_by_foreign_key", json!(links.tables.is_some())),
    ]);
    let mut claim = statements::claim(place, NPlusOne::ID, Severity::Info, activity, statement, own);
    claim.title = format!(
        "{} is called once for each row of another statement",
        sql::outline(&statement.text.text)
    );
    claim.explanation = format!(
        "It was called {} times in {}, {} each time, {} times for every call of: {}. That one returned {} rows in its \
         {} calls, as many as this one was called. A program that fetches a list and then each item alone waits for the \
         network at every item: join the two, or fetch the items at once with = ANY($1).",
        count_for_people(statement.calls as f64),
        told_window(activity, statement),
        seconds_for_people(statement.mean_seconds()),
        count_for_people(per_parent),
        sql::outline(&parent.text.text),
        count_for_people(parent.rows as f64),
        count_for_people(parent.calls as f64),
    );
    claim.confidence = estimated(
        "that the one is called in a loop over the other is concluded from their numbers and tables",
    );
    claim.remedy = Remedy {
        caveats: vec![
            "One statement with a join, or WHERE … = ANY($1) with all keys of the list; in a framework, eager loading.".to_owned(),
            "A queue, or the session of each web request, is looked up row by row rightly: then the numbers of the two are the \
             same by chance."
                .to_owned(),
        ],
        ..Remedy::default()
    };
    claim.guards.push(match links.tables {
        Some(_) => "a foreign key links the tables of the two".to_owned(),
        None => "a column is named after the other's table; no foreign key is known".to_owned(),
    });
    let seen_from = statements::seen_from(&claim);
    claim.guards.push(format!(
        "not checked: whether a queue, or the session of each request, is looked up rightly{seen_from}"
    ));
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::model::schema::{ForeignKey, Schema};
    use crate::rules::testing::{claims, observation, set_schema, statement, table, tables};

    const CHILD: &str = "SELECT name FROM customers WHERE id = $1";

    /// The look-up with so many calls, and a statement with so many calls and rows.
    fn observed(child: (&str, i64, f64), parent: (&str, i64, i64), has_key: bool) -> Observation {
        let one = statement(child.0, child.1, child.2);
        let mut other = statement(parent.0, parent.1, 1.0);
        other.rows = parent.2;
        let mut observed = observation(vec![one, other], 0.0);
        let all = vec![
            table(1, "orders", 100.0, 1.0),
            table(2, "customers", 100.0, 1.0),
            table(3, "tags", 1.0, 1.0),
        ];
        observed.databases = tables(all).databases;
        let key = ForeignKey {
            table_oid: 1,
            referenced_oid: 2,
            ..ForeignKey::default()
        };
        let facts = Schema {
            foreign_keys: has_key.then_some(key).into_iter().collect(),
            ..Schema::default()
        };
        set_schema(&mut observed, facts);
        observed
    }

    fn count(child: (&str, i64, f64), parent: (&str, i64, i64), has_key: bool) -> usize {
        claims::<NPlusOne>(&observed(child, parent, has_key))
            .unwrap()
            .len()
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        // ten minutes count as half an hour: 500 calls are 1000 an hour
        let list = "SELECT * FROM orders WHERE day = $1";
        assert_eq!(count((CHILD, 500, 0.9), (list, 100, 500), true), 1);
        assert_eq!(count((CHILD, 499, 0.9), (list, 90, 499), true), 0);
        assert_eq!(count((CHILD, 500, 1.0), (list, 100, 500), true), 0, "not fast");
        assert_eq!(count((CHILD, 500, 0.9), (list, 100, 550), true), 1);
        assert_eq!(
            count((CHILD, 500, 0.9), (list, 100, 551), true),
            0,
            "not as many rows"
        );
        assert_eq!(count((CHILD, 500, 0.9), (list, 100, 449), true), 0);
        assert_eq!(
            count((CHILD, 500, 0.9), (list, 101, 500), true),
            0,
            "hardly more often"
        );
        let mut many = observed((CHILD, 500, 0.9), (list, 100, 500), true);
        many.statements.as_mut().unwrap().statements[0].rows = 526;
        assert_eq!(
            claims::<NPlusOne>(&many).unwrap().len(),
            0,
            "several rows each time"
        );
    }

    #[test]
    fn a_table_is_found_however_it_is_spelled() {
        for list in [
            "SELECT * FROM ORDERS WHERE day = $1",
            "SELECT * FROM public.\"orders\" WHERE day = $1",
            "SELECT * FROM U&\"order\\0073\" WHERE day = $1",
        ] {
            assert_eq!(count((CHILD, 500, 0.9), (list, 100, 500), true), 1, "{list}");
        }
        let other = "SELECT * FROM tags WHERE note = 'orders'";
        assert_eq!(count((CHILD, 500, 0.9), (other, 100, 500), true), 0);
    }

    #[test]
    fn a_short_window_is_no_rate() {
        let list = "SELECT * FROM orders WHERE day = $1";
        let told = |minutes: i64| {
            let mut observed = observed((CHILD, 5_000, 0.9), (list, 100, 5_000), true);
            let window = observed.statements.as_mut().unwrap().window.as_mut().unwrap();
            window.from = window.to - chrono::TimeDelta::minutes(minutes);
            let claim = claims::<NPlusOne>(&observed).unwrap().remove(0);
            (claim.explanation, claim.evidence.contains_key("calls_per_hour"))
        };
        let (short, has_rate) = told(10);
        assert!(
            short.contains(" times in 10 min, ") && !short.contains("an hour"),
            "{short}"
        );
        assert!(!has_rate);
        let (long, has_rate) = told(30);
        assert!(
            long.contains(" times in 30 min, ") && long.contains(" an hour, "),
            "{long}"
        );
        assert!(has_rate);
    }

    #[test]
    fn that_it_may_be_a_queue_is_said() {
        let list = "SELECT * FROM orders WHERE day = $1";
        let claim = claims::<NPlusOne>(&observed((CHILD, 500, 0.9), (list, 100, 500), true))
            .unwrap()
            .remove(0);
        let is_told = |guard: &String| guard.starts_with("not checked: whether a queue");
        assert!(claim.guards.iter().any(is_told), "{:?}", claim.guards);
    }

    #[test]
    fn numbers_alone_are_no_pair() {
        let child = (CHILD, 500, 0.9);
        assert_eq!(
            count(child, ("SELECT * FROM tags", 100, 500), true),
            0,
            "no key leads there"
        );
        assert_eq!(count(child, ("SELECT * FROM tags", 100, 500), false), 0);
        assert_eq!(
            count(child, ("SELECT customer_id FROM tags", 100, 500), false),
            1,
            "by its name"
        );
        let items = ("SELECT a FROM items WHERE order_id = $1", 500, 0.9);
        assert_eq!(count(items, ("SELECT * FROM orders", 100, 500), false), 1);
        assert_eq!(
            count(child, ("UPDATE orders SET a = $1", 100, 500), true),
            0,
            "returns no list"
        );
        let wide = ("SELECT name FROM customers WHERE id > $1", 500, 0.9);
        assert_eq!(
            count(wide, ("SELECT * FROM orders", 100, 500), true),
            0,
            "no look-up by a key"
        );
    }

    #[test]
    fn another_database_or_role_runs_no_loop_over_it() {
        let list = ("SELECT * FROM orders", 100, 500);
        let mut roles = observed((CHILD, 500, 0.9), list, true);
        let both = &mut roles.statements.as_mut().unwrap().statements;
        (both[0].roles, both[1].roles) = (vec!["web".into()], vec!["report".into()]);
        assert_eq!(claims::<NPlusOne>(&roles).unwrap().len(), 0);
        let mut databases = observed((CHILD, 500, 0.9), list, true);
        databases.statements.as_mut().unwrap().statements[1].database = "other".into();
        assert_eq!(claims::<NPlusOne>(&databases).unwrap().len(), 0);
    }
}
