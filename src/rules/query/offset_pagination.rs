//! query.offset_pagination

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Guards, Place, Rule, Scope, estimated, evidence, number};
use crate::sql::shape;

/// A statement that turns pages with LIMIT and OFFSET, and works much for the few rows that it returns.
///
/// ## Why it is bad
/// OFFSET reads all rows of the pages before and throws them away: page 1000 costs a thousand times what page 1 costs. And
/// where rows are added meanwhile, the reader sees some twice and others never.
///
/// ## What to do
/// Remember the key of the last row that was shown and go on from there: `WHERE (created, id) < ($1, $2) ORDER BY created
/// DESC, id DESC LIMIT 50`, with an index on these columns. Each page then costs the same.
///
/// ## When it is wrong to obey
/// Where people must jump to any page, and where hardly anybody turns more than a few. pg_stat_statements does not keep
/// which page was asked for: a statement that is dear on its first page already needs an index for its order, not another
/// way of paging. That is why this is an estimate.
///
/// Sources: PostgreSQL's chapters "LIMIT and OFFSET" and "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OffsetPagination {
    /// Share of all database time, 0 to 1, that this needs.
    info_share: f64,
    /// Blocks touched for each row that is returned, from which it works too much.
    info_blocks_per_row: f64,
    /// Or the mean time of a call from which it does.
    info_mean: Period,
    /// Calls in the window that this needs: who asks once turns no pages.
    min_calls: i64,
    /// Average number of sessions executing below which nothing is said: the server is nearly idle.
    minimum_load: f64,
}

impl Default for OffsetPagination {
    fn default() -> Self {
        Self {
            info_share: 0.01,
            info_blocks_per_row: 10.0,
            info_mean: Period::milliseconds(10),
            min_calls: 20,
            minimum_load: 0.05,
        }
    }
}

impl Rule for OffsetPagination {
    const ID: &'static str = "query.offset_pagination";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let is_heavy = |activity: &StatementActivity, statement: &StatementDelta| {
            let is_dear = blocks_per_row(statement) >= self.info_blocks_per_row
                || statement.mean_seconds() >= self.info_mean.as_seconds();
            let is_much = statements::share(activity, statement.seconds) >= self.info_share
                && statement.calls >= self.min_calls;
            is_dear && is_much
        };
        statements::on_a_busy_server(
            place,
            self.minimum_load,
            is_heavy,
            |activity, statement, found| {
                if shape::offset_of(&statement.text.text) {
                    found.claim_worst_first(
                        place,
                        || vec![statement.text.statement_id.clone()],
                        || claim(place, activity, statement),
                    );
                }
            },
        )
    }
}

fn blocks(statement: &StatementDelta) -> f64 {
    statement.shared_blocks_hit as f64 + statement.shared_blocks_read as f64
}

fn blocks_per_row(statement: &StatementDelta) -> f64 {
    blocks(statement) / statement.rows.max(1) as f64
}

fn claim(place: &Place<'_>, activity: &StatementActivity, statement: &StatementDelta) -> Claim {
    let calls = statement.calls.max(1) as f64;
    let share = statements::share(activity, statement.seconds);
    let rows_per_call = statement.rows as f64 / calls;
    let own = evidence([
        ("blocks_per_row", number(blocks_per_row(statement))),
        ("blocks_per_call", number(blocks(statement) / calls)),
        ("rows_per_call", number(rows_per_call)),
        ("max_seconds", statement.max_seconds.map_or(Value::Null, number)),
    ]);
    let id = OffsetPagination::ID;
    let mut claim = statements::claim(place, id, Severity::Info, activity, statement, own);
    claim.title = format!(
        "{} turns pages by OFFSET, {} a page",
        crate::sql::outline(&statement.text.text),
        seconds_for_people(statement.mean_seconds())
    );
    claim.explanation = format!(
        "A call returned {rows_per_call:.1} rows, touched {} blocks and took {}{}. Together they took {:.1} % of \
         database time. OFFSET reads the rows of all pages before and throws them away, so that each page costs more than the \
         one before. Go on from the key of the last row instead.",
        count_for_people(blocks(statement) / calls),
        seconds_for_people(statement.mean_seconds()),
        statement.max_seconds.map_or(String::new(), |longest| {
            format!("; the longest took {}", seconds_for_people(longest))
        }),
        share * 100.0,
    );
    claim.confidence =
        estimated("which pages were asked for is not known: pg_stat_statements keeps no constants");
    claim.remedy = Remedy {
        caveats: vec![
            "WHERE (a, id) > ($1, $2) ORDER BY a, id LIMIT 50, with the values of the last row, and an index on (a, id)."
                .to_owned(),
            "If the first page is as slow as the others, an index for its order or its conditions is what is missing."
                .to_owned(),
            "Who must jump to any page still needs OFFSET: then limit how far it may go.".to_owned(),
        ],
        ..Remedy::default()
    };
    let mut guards = Guards::default();
    guards.checked("it has a LIMIT and an OFFSET");
    guards.not_checked("whether its OFFSET is ever more than 0");
    claim.guards.extend(guards.told());
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::rules::testing::{claims, found, observation, statement};

    const PAGES: &str = "SELECT a FROM t ORDER BY a LIMIT $1 OFFSET $2";

    /// So many calls of so many milliseconds that return ten rows each.
    fn judged(text: &str, calls: i64, mean_ms: f64, blocks_per_row: i64, others: f64) -> Vec<Claim> {
        let mut one = statement(text, calls, mean_ms);
        one.rows = calls * 10;
        one.shared_blocks_hit = one.rows * blocks_per_row - calls;
        one.shared_blocks_read = calls;
        claims::<OffsetPagination>(&observation(vec![one], others)).unwrap()
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let count = |calls, mean_ms, blocks, others| judged(PAGES, calls, mean_ms, blocks, others).len();
        assert_eq!(count(1000, 1.0, 10, 99.0), 1);
        assert_eq!(count(1000, 1.0, 9, 99.0), 0, "fast, and few blocks");
        assert_eq!(count(1000, 10.0, 1, 99.0), 1);
        assert_eq!(count(1000, 1.0, 10, 100.0), 0, "less than one per cent");
        assert_eq!(count(20, 50.0, 10, 99.0), 1);
        assert_eq!(count(19, 100.0, 10, 99.0), 0, "no pages are turned");
    }

    #[test]
    fn only_pages_by_offset() {
        assert_eq!(
            judged("SELECT a FROM t ORDER BY a LIMIT $1", 1000, 1.0, 10, 99.0).len(),
            0
        );
        let claim = judged(PAGES, 1000, 1.0, 10, 99.0).remove(0);
        assert_eq!(claim.confidence.level, ConfidenceLevel::Estimated);
        assert_eq!(claim.evidence["blocks_per_row"], 10.0);
    }

    #[test]
    fn an_idle_server_proves_nothing() {
        let observed = observation(vec![statement(PAGES, 1000, 20.0)], 0.0);
        let found = found::<OffsetPagination>(&observed).unwrap();
        assert_eq!(
            (found.claims.len(), found.absence_is_no_proof.as_deref()),
            (0, Some(statements::IDLE))
        );
    }
}
