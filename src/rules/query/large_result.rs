//! query.large_result

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{count_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Guards, Place, Rule, Scope, estimated, evidence, number};
use crate::sql::shape;

/// A statement that returns very many rows, again and again.
///
/// ## Why it is bad
/// Nobody reads ten thousand rows. Either the program throws most of them away, or it counts and adds up what the database
/// could have counted and added up. All of them are read, sent over the network and held in the memory of the program, at
/// each call.
///
/// ## What to do
/// Ask for what is shown: LIMIT with the key where the last page ended (`WHERE id > $1 ORDER BY id LIMIT 50`). Let the
/// database aggregate. Ask only for rows that changed since last time.
///
/// ## When it is wrong to obey
/// Exports, and programs that fill a cache of their own, want all rows. pg_stat_statements does not know applications, so
/// that dumps and loaders are not told from shops unless an `[[ignore]]` names them; COPY, FETCH and other utility
/// statements are left out. One that reads through a cursor is counted with all rows that it fetched.
///
/// Only statements that return rows to their sender are judged: what INSERT … SELECT writes is no result. Source:
/// PostgreSQL's chapter "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LargeResult {
    /// Rows that a call must return on average.
    info_rows_per_call: f64,
    /// Calls in the window that this needs.
    info_calls: i64,
}

impl Default for LargeResult {
    fn default() -> Self {
        Self {
            info_rows_per_call: 10_000.0,
            info_calls: 100,
        }
    }
}

impl Rule for LargeResult {
    const ID: &'static str = "query.large_result";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let rows_per_call =
            |statement: &StatementDelta| statement.rows as f64 / statement.calls.max(1) as f64;
        let is_large = |statement: &StatementDelta| {
            statement.calls >= self.info_calls && rows_per_call(statement) >= self.info_rows_per_call
        };
        let mut found = Found {
            absence_is_no_proof: activity.absence_is_no_proof(is_large),
            ..Found::default()
        };
        for statement in activity.statements.iter().filter(|&one| is_large(one)) {
            let rows_per_call = rows_per_call(statement);
            if shape::is_select(&statement.text.text) {
                found.claim_worst_first(
                    place,
                    || vec![statement.text.statement_id.clone()],
                    || claim(place, activity, statement, rows_per_call),
                );
            }
        }
        Ok(found)
    }
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    statement: &StatementDelta,
    rows_per_call: f64,
) -> Claim {
    let hours = statements::window_seconds(activity) / 3600.0;
    let own = evidence([
        ("rows_per_call", number(rows_per_call)),
        ("rows", number(statement.rows as f64)),
        ("rows_per_hour", number(statement.rows as f64 / hours)),
    ]);
    let mut claim = statements::claim(place, LargeResult::ID, Severity::Info, activity, statement, own);
    claim.title = format!(
        "{} returns {} rows a call",
        crate::sql::outline(&statement.text.text),
        count_for_people(rows_per_call)
    );
    claim.explanation = format!(
        "It was called {} in the window and returned {} rows in all, in {} of database time; sending them and holding \
         them in the program comes on top. Ask for the page that is shown, or let the database add up what is only added up.",
        statements::times(statement.calls),
        count_for_people(statement.rows as f64),
        seconds_for_people(statement.seconds),
    );
    claim.remedy = Remedy {
        caveats: vec![
            "Page by the key, not by OFFSET: WHERE id > $1 ORDER BY id LIMIT 50 reads 50 rows on every page.".to_owned(),
            "An export, a dump or a cache that is filled needs all rows: which application asks is not known to \
             pg_stat_statements."
                .to_owned(),
        ],
        ..Remedy::default()
    };
    let mut guards = Guards::default();
    guards.checked("it returns its rows to its sender: no rows that were written");
    guards.not_checked(format!(
        "whether an export, or a program that fills a cache, needs all of its rows{}",
        statements::seen_from(&claim)
    ));
    claim.guards.extend(guards.told());
    claim.confidence = estimated(&format!(
        "{}; not checked: whether all of its rows are needed",
        claim.confidence.reason
    ));
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, observation, statement, waits};

    fn count(text: &str, calls: i64, rows: i64) -> usize {
        let mut one = statement(text, calls, 10.0);
        one.rows = rows;
        claims::<LargeResult>(&observation(vec![one], 0.0)).unwrap().len()
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(count("SELECT a FROM t", 100, 1_000_000), 1);
        assert_eq!(count("SELECT a FROM t", 100, 999_999), 0);
        assert_eq!(count("SELECT a FROM t", 99, 1_000_000), 0);
    }

    #[test]
    fn what_is_written_is_no_result() {
        for text in [
            "INSERT INTO u SELECT a FROM t",
            "UPDATE t SET a = $1",
            "SELECT a INTO u FROM t",
            "COPY t TO STDOUT",
            "FETCH ALL FROM c",
        ] {
            assert_eq!(count(text, 100, 1_000_000), 0, "{text}");
        }
    }

    #[test]
    fn that_it_may_be_an_export_is_said_with_who_was_seen() {
        let mut one = statement("SELECT 1 FROM a", 100, 10.0);
        one.rows = 1_000_000;
        let mut observed = observation(vec![one], 0.0);
        let told = |observed: &Observation| claims::<LargeResult>(observed).unwrap().remove(0);
        let unseen = told(&observed);
        assert_eq!(unseen.confidence.level, ConfidenceLevel::Estimated);
        let last = unseen.guards.last().unwrap();
        assert!(
            last.starts_with("not checked: whether an export") && last.ends_with("rows"),
            "{last}"
        );
        observed.waits = Ok(waits(360, &[("CPU", 9)]));
        let seen = told(&observed);
        assert!(
            seen.guards.last().unwrap().ends_with("(seen executing it: shop)"),
            "{:?}",
            seen.guards
        );
    }

    #[test]
    fn without_statements_it_cannot_tell() {
        let mut observed = observation(vec![], 0.0);
        observed.statements = Err(Unknown::because("no"));
        assert!(claims::<LargeResult>(&observed).is_err());
    }
}
