//! How long building an index takes: what it costs in the planner's units, and what a unit takes on this server by the
//! statements that were measured on it.

use super::advice::StatementAdvice;
use super::tables::Table;

/// Seconds of measured execution below which nothing is concluded.
const LEAST_SECONDS: f64 = 0.1;
/// PostgreSQL's defaults of `cpu_tuple_cost` and `cpu_operator_cost`; a page read or written in order costs 1.
const ROW_COST: f64 = 0.01;
const OPERATOR_COST: f64 = 0.0025;
const PAGE_BYTES: f64 = 8192.0;
/// What a unit takes where nothing was measured: ten million rows with a key of numbers are some ten seconds of one
/// process that finds its table in memory. Slow disks and collations take several times that.
pub(super) const ASSUMED_SECONDS_PER_UNIT: f64 = 7e-6;

/// What CREATE INDEX CONCURRENTLY of a b-tree costs: the table is read twice, its rows are sorted (two operators for each
/// comparison, as PostgreSQL's cost_sort reckons), and the index is written.
fn cost(table: &Table, size_bytes: f64) -> f64 {
    let read = table.pages + table.rows * ROW_COST;
    let sorted = table.rows * table.rows.max(2.0).log2() * 2.0 * OPERATOR_COST;
    2.0 * read + sorted + size_bytes / PAGE_BYTES
}

/// Seconds that building takes where a unit takes so many, to the millisecond: more would be no knowledge.
pub(super) fn seconds(per_unit: f64, table: &Table, size_bytes: f64) -> f64 {
    (per_unit * cost(table, size_bytes) * 1000.0).round() / 1000.0
}

/// What a unit of the planner's cost takes here, by all statements that were measured and planned.
pub(super) fn seconds_per_unit(statements: &[StatementAdvice]) -> Option<f64> {
    // what is written takes time that the planner does not count, and a cursor's time is counted elsewhere
    let only_reads = |one: &&StatementAdvice| {
        one.plan_before
            .first()
            .is_some_and(|root| !root.node.starts_with("ModifyTable"))
            && crate::sql::one_query(&one.statement.text).is_ok()
    };
    let measured = statements.iter().filter(only_reads).filter_map(|one| {
        let (seconds, cost) = (one.statement.seconds_per_call?, one.cost_before?);
        Some((one.statement.weight * seconds, one.statement.weight * cost))
    });
    let (seconds, cost) = measured.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (seconds >= LEAST_SECONDS && cost > 0.0).then(|| seconds / cost)
}

#[cfg(test)]
mod tests {
    use super::super::tables::TableName;
    use super::*;

    #[test]
    fn ten_million_rows_are_assumed_to_take_some_ten_seconds() {
        let table = Table {
            oid: 1,
            name: TableName {
                schema: "public".to_owned(),
                name: "t".to_owned(),
            },
            is_partitioned: false,
            may_be_indexed: true,
            pages: 44_000.0,
            rows: 1e7,
            was_analyzed: true,
            columns: Default::default(),
            indexes: Vec::new(),
            partitions: Vec::new(),
        };
        let assumed = seconds(ASSUMED_SECONDS_PER_UNIT, &table, 224e6);
        assert!((5.0..20.0).contains(&assumed), "{assumed}");
    }
}
