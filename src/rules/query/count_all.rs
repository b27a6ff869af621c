//! query.count_all

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{Observation, StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::{Remedy, qualified, quote_identifier, quote_literal};
use crate::model::unit::{count_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Place, Rule, Scope, evidence};
use crate::sql::shape::{self, TableName};

/// A statement that counts all rows of a table, again and again.
///
/// ## Why it is bad
/// PostgreSQL keeps no number of rows: which rows there are depends on who asks. So `count(*)` without a condition reads the
/// whole table, or the whole of an index, at each call, and each year it takes longer.
///
/// ## What to do
/// Ask whether the exact number is needed. For "about 1.2 million" the planner's own estimate is there at no cost
/// (`pg_class.reltuples`). Where it must be exact, keep it: in a materialized view that is refreshed, or in a table of sums
/// that a trigger maintains. To know whether there is any row, `EXISTS` stops at the first.
///
/// ## When it is wrong to obey
/// On a small table, where it costs nothing. If the number must be exact at this very moment, as in a check of balances. A
/// server that is nearly idle is left out by `minimum_load`.
///
/// Sources: PostgreSQL's chapters "Aggregate Functions" and "pg_class".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountAll {
    /// Share of all database time, 0 to 1, that counting must take.
    info_share: f64,
    /// Average number of sessions executing below which nothing is said: the server is nearly idle.
    minimum_load: f64,
}

impl Default for CountAll {
    fn default() -> Self {
        Self {
            info_share: 0.05,
            minimum_load: 0.05,
        }
    }
}

impl Rule for CountAll {
    const ID: &'static str = "query.count_all";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let is_heavy = |activity: &StatementActivity, statement: &StatementDelta| {
            statements::share(activity, statement.seconds) >= self.info_share
        };
        statements::on_a_busy_server(
            place,
            self.minimum_load,
            is_heavy,
            |activity, statement, found| {
                if let Some(table) = shape::unfiltered_count(&statement.text.text) {
                    found.claim_worst_first(
                        place,
                        || vec![statement.text.statement_id.clone()],
                        || claim(place, activity, statement, &table),
                    );
                }
            },
        )
    }
}

/// The table of that name, if there is one and no other could be meant.
fn facts<'a>(
    observed: &'a Observation,
    database: &str,
    (schema, name): &TableName,
) -> Option<&'a TableFacts> {
    let database = observed.databases.iter().find(|one| one.name == database)?;
    let mut named = database.catalog.tables.values().filter(|table| {
        let is_in = |schema: &String| *schema == table.schema;
        table.kind != 't' && table.name == *name && schema.as_ref().is_none_or(is_in)
    });
    match (named.next(), named.next()) {
        (Some(table), None) => Some(table),
        _ => None,
    }
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    statement: &StatementDelta,
    table: &TableName,
) -> Claim {
    let facts = facts(place.observation, &statement.database, table);
    let share = statements::share(activity, statement.seconds);
    let name = match (facts, &table.0) {
        (Some(facts), _) => qualified(&facts.schema, &facts.name),
        (None, Some(schema)) => qualified(schema, &table.1),
        (None, None) => quote_identifier(&table.1),
    };
    let estimate = facts.filter(|facts| facts.kind != 'p').map(|facts| {
        format!(
            "SELECT reltuples::bigint AS rows FROM pg_class WHERE oid = {}::regclass",
            quote_literal(&qualified(&facts.schema, &facts.name))
        )
    });
    // a table that was never analysed has -1 rows
    let rows = facts.map(|facts| facts.rows).filter(|rows| *rows > 0.0);
    let own = evidence([
        ("table", json!(name)),
        ("table_rows_estimate", json!(rows)),
        ("estimate_sql", json!(estimate)),
    ]);
    let mut claim = statements::claim(place, CountAll::ID, Severity::Info, activity, statement, own);
    claim.title = format!(
        "Counting all rows of {name} takes {:.0} % of database time",
        share * 100.0
    );
    let how_many = rows.map_or(String::new(), |rows| {
        format!(", about {}", count_for_people(rows))
    });
    claim.explanation = format!(
        "They were counted {} in the window{how_many}, {} each time, {} together. Each time the whole table or an index \
         is read. An estimate is there at no cost; an exact number can be kept instead of being counted anew.",
        statements::times(statement.calls),
        seconds_for_people(statement.mean_seconds()),
        seconds_for_people(statement.seconds),
    );
    claim.remedy = remedy(estimate);
    claim
        .guards
        .push("the text has no condition, no join and no group, and counts rows, not values".to_owned());
    claim.guards.push(format!(
        "the server was busy: {:.2} sessions executing on average",
        statements::load_sessions(activity)
    ));
    claim
}

fn remedy(estimate: Option<String>) -> Remedy {
    let estimate = estimate.map(|sql| {
        format!(
            "If about is enough: {sql}. It is as old as the last VACUUM or ANALYZE, and -1 where there was none (0 before \
             PostgreSQL 14)."
        )
    });
    let others = [
        "If it must be exact, and may be minutes old: a materialized view of the count with a [[refresh]] of its own.",
        "If it must be exact at any time: a table of sums that a trigger keeps. It makes writes wait for each other at its \
         row, unless it has several.",
        "If only whether there is a row matters: SELECT EXISTS (SELECT FROM …).",
        "If it must be counted after all: an index-only scan of a small index is the cheapest way, and needs VACUUM.",
    ];
    Remedy {
        caveats: estimate.into_iter().chain(others.map(str::to_owned)).collect(),
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, found, observation, statement, table, tables};

    fn observed(text: &str, others: f64) -> Observation {
        let mut observed = observation(vec![statement(text, 10, 500.0)], others);
        observed.databases = tables(vec![table(1, "items", 1_200_000.0, 1e9)]).databases;
        observed
    }

    fn judged(text: &str, others: f64) -> Vec<Claim> {
        claims::<CountAll>(&observed(text, others)).unwrap()
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(judged("SELECT count(*) FROM items", 95.0).len(), 1);
        assert_eq!(judged("SELECT count(*) FROM items", 96.0).len(), 0);
        assert_eq!(judged("SELECT count(*) FROM items WHERE a = $1", 95.0).len(), 0);
        let idle = found::<CountAll>(&observed("SELECT count(*) FROM items", 24.0)).unwrap();
        assert_eq!(
            (idle.claims.len(), idle.absence_is_no_proof.as_deref()),
            (0, Some(statements::IDLE))
        );
    }

    #[test]
    fn the_estimate_is_told_where_the_table_is_known() {
        let known = judged("SELECT count($1) FROM items", 95.0).remove(0);
        assert_eq!(known.evidence["table_rows_estimate"], 1_200_000.0);
        assert!(known.remedy.caveats[0].contains("WHERE oid = 'public.items'::regclass"));
        let other = judged("SELECT count(*) FROM shop.items", 95.0).remove(0);
        assert!(
            other
                .title
                .starts_with("Counting all rows of shop.items takes 5 %"),
            "{}",
            other.title
        );
        assert!(
            !other.evidence.contains_key("estimate_sql"),
            "no such table is known"
        );
        let mut twice = observed("SELECT count(*) FROM items", 95.0);
        let shop = TableFacts {
            schema: "shop".into(),
            ..table(2, "items", 5.0, 1.0)
        };
        twice.databases = tables(vec![table(1, "items", 9.0, 1.0), shop]).databases;
        let either = claims::<CountAll>(&twice).unwrap().remove(0);
        assert!(either.title.contains(" items ") && !either.evidence.contains_key("estimate_sql"));
    }
}
