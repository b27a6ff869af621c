//! What indexes cost the writes of a workload.

use std::collections::BTreeSet;

use super::candidate::Candidate;
use super::clauses::Key;
use super::tables::{Table, Tables};
use super::what_if::Planned;
use super::workload::WorkloadStatement;
use crate::model::plan::PlanNode;
use crate::sql;

/// One entry in one index, in the planner's units: the way down to its leaf in memory (some fifty comparisons, 0.13), and the
/// page that it makes dirty, which now and then has to be read and is written out with others (a tenth of
/// `random_page_cost`).
const ENTRY_COST: f64 = 0.5;

/// What each candidate costs the writes among these statements, weighted as they are.
pub fn of<'a>(
    candidates: &[Candidate],
    tables: &Tables,
    planned: &[Planned],
    statements: impl Iterator<Item = &'a WorkloadStatement>,
) -> Vec<f64> {
    let mut upkeep = vec![0.0; candidates.len()];
    for (planned, statement) in planned.iter().zip(statements) {
        for write in planned
            .tree
            .nodes()
            .into_iter()
            .filter(|node| node.kind == "ModifyTable")
        {
            let (Some(schema), Some(name), Some(operation)) =
                (&write.schema, &write.relation, &write.operation)
            else {
                continue;
            };
            let Some(table) = tables.get(schema, name) else {
                continue;
            };
            let changed = sql::updated_columns(&statement.text);
            for (cost, candidate) in upkeep.iter_mut().zip(candidates) {
                if (&candidate.schema, &candidate.table) == (&table.name.schema, &table.name.name) {
                    *cost += statement.weight
                        * rows(write)
                        * entries(operation, candidate, table, &changed)
                        * ENTRY_COST;
                }
            }
        }
    }
    upkeep
}

/// Rows that are written: what the nodes below give.
fn rows(write: &PlanNode) -> f64 {
    write
        .children
        .iter()
        .map(|child| child.rows)
        .sum::<f64>()
        .max(1.0)
}

/// Entries that one row costs because the index is there.
fn entries(operation: &str, candidate: &Candidate, table: &Table, changed: &BTreeSet<String>) -> f64 {
    match operation {
        "Insert" => 1.0,
        "Update" | "Merge" => {
            let concerns = |column: &String| candidate.holds(column) || candidate.mentions(column);
            match changed.iter().any(concerns) {
                false => 0.0,
                // no HOT any more: all other indexes get an entry, too, unless they do already
                true => {
                    let is_hot = !table.indexes.iter().any(|index| {
                        index
                            .keys
                            .iter()
                            .any(|key| matches!(&key.key, Key::Column(name) if changed.contains(name)))
                    });
                    1.0 + if is_hot { table.indexes.len() as f64 } else { 0.0 }
                }
            }
        }
        _ => 0.0,
    }
}
