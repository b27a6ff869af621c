//! How long building an index takes: what it costs in the planner's units, and what a unit takes on this server by the
//! statements that were measured on it.

use super::advice::StatementAdvice;
use super::tables::Table;
use crate::model::plan::PlanLine;

/// Seconds of measured execution below which nothing is concluded.
const LEAST_SECONDS: f64 = 0.1;
/// PostgreSQL's defaults of `cpu_tuple_cost` and `cpu_operator_cost`; a page read or written in order costs 1.
const ROW_COST: f64 = 0.01;
const OPERATOR_COST: f64 = 0.0025;
const PAGE_BYTES: f64 = 8192.0;
/// What a unit takes where nothing was measured: ten million rows with a key of numbers are some ten seconds of one
/// process that finds its table in memory. Slow disks and collations take several times that.
pub(super) const ASSUMED_SECONDS_PER_UNIT: f64 = 7e-6;
/// What takes more than so many times as long did not work all that time: even a slow disk reads more than 40 MB in a second.
const IMPLAUSIBLE_FACTOR: f64 = 30.0;

/// What CREATE INDEX CONCURRENTLY of a b-tree costs: the table is read twice, its rows are sorted (two operators for each
/// comparison, as PostgreSQL's cost_sort reckons), and the index is written.
fn cost(table: &Table, size_bytes: f64) -> f64 {
    let read = table.pages + table.rows * ROW_COST;
    let sorted = table.rows * table.rows.max(2.0).log2() * 2.0 * OPERATOR_COST;
    2.0 * read + sorted + size_bytes / PAGE_BYTES
}

/// Seconds that building takes where a unit takes so many, to the millisecond: more would be no knowledge, and none is built in
/// less.
pub(super) fn seconds(per_unit: f64, table: &Table, size_bytes: f64) -> f64 {
    (per_unit * cost(table, size_bytes) * 1000.0).round().max(1.0) / 1000.0
}

/// What a unit of the planner's cost takes here, by the statements that were measured and planned.
pub(super) fn seconds_per_unit(statements: &[StatementAdvice]) -> Option<f64> {
    // what is written takes time that the planner does not count, who locks rows waits for others, and a cursor's time is
    // counted elsewhere
    let only_reads = |one: &&StatementAdvice| {
        let writes =
            |line: &PlanLine| line.node.starts_with("ModifyTable") || line.node.starts_with("LockRows");
        !one.plan_before.is_empty()
            && !one.plan_before.iter().any(writes)
            && crate::sql::one_query(&one.statement.text).is_ok()
    };
    let measured = statements.iter().filter(only_reads).filter_map(|one| {
        let (seconds, cost) = (one.statement.seconds_per_call?, one.cost_before?);
        Some((one.statement.weight * seconds, one.statement.weight * cost))
    });
    usual_rate(measured.collect())
}

/// The seconds that a unit takes by statements of so many seconds and units: of the median unit, not of all together. A
/// statement that once waited for a table's lock takes any time for no more work, and a sum would believe it. What takes
/// implausibly long for a unit is left out even where it is alone: it waited, or slept, or paid for what no planner counts. Nor
/// does a unit take less than is assumed: what was faster did not do all that the planner counted, as behind a LIMIT, and an
/// index is built of all of a table.
fn usual_rate(measured: Vec<(f64, f64)>) -> Option<f64> {
    let plausible = |(seconds, units): &(f64, f64)| {
        *units > 0.0 && seconds / units <= IMPLAUSIBLE_FACTOR * ASSUMED_SECONDS_PER_UNIT
    };
    let mut measured: Vec<(f64, f64)> = measured.into_iter().filter(plausible).collect();
    let all_seconds: f64 = measured.iter().map(|(seconds, _)| seconds).sum();
    if all_seconds < LEAST_SECONDS {
        return None;
    }
    let rate = |(seconds, units): &(f64, f64)| seconds / units;
    measured.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
    let half_of_all: f64 = measured.iter().map(|(_, units)| units).sum::<f64>() / 2.0;
    let mut units_so_far = 0.0;
    let median = measured.iter().find(|(_, units)| {
        units_so_far += units;
        units_so_far >= half_of_all
    });
    median.map(|measured| rate(measured).max(ASSUMED_SECONDS_PER_UNIT))
}

#[cfg(test)]
mod tests {
    use super::super::tables::tests::table_of;
    use super::*;

    #[test]
    fn what_waited_does_not_make_the_server_slow() {
        let rate = |measured: &[(f64, f64)]| usual_rate(measured.to_vec());
        assert_eq!(rate(&[(1.0, 100_000.0)]), Some(1e-5));
        let work = [(1.0, 100_000.0), (2.0, 200_000.0), (4.0, 200_000.0)];
        assert_eq!(rate(&work), Some(1e-5), "of the median unit");
        let waited = (20.0, 200_000.0);
        assert_eq!(
            rate(&[work[0], work[1], waited]),
            Some(1e-5),
            "by the sum it were nearly five times that"
        );
        let slept = (3600.0, 10.0);
        assert_eq!(rate(&[work[0], slept]), Some(1e-5));
        assert_eq!(rate(&[slept]), None, "nothing was measured that tells it");
        assert_eq!(rate(&[(0.05, 5_000.0)]), None, "too little");
        assert_eq!(rate(&[(1.0, 0.0)]), None);
        assert_eq!(
            rate(&[(1.0, 1e9)]),
            Some(ASSUMED_SECONDS_PER_UNIT),
            "a build is not faster than what is told where nothing was measured"
        );
    }

    #[test]
    fn ten_million_rows_are_assumed_to_take_some_ten_seconds() {
        let table = Table {
            pages: 44_000.0,
            ..table_of(1e7, [])
        };
        let assumed = seconds(ASSUMED_SECONDS_PER_UNIT, &table, 224e6);
        assert!((5.0..20.0).contains(&assumed), "{assumed}");
        let table = Table {
            pages: 1.0,
            rows: 3.0,
            ..table
        };
        assert_eq!(seconds(ASSUMED_SECONDS_PER_UNIT, &table, 8192.0), 0.001);
    }
}
