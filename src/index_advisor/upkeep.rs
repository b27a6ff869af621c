//! What indexes cost the writes of a workload: those of its own statements, or, where the tables' counters were read twice,
//! everything that was written in between.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::candidate::Candidate;
use super::clauses::Key;
use super::tables::{Table, Tables};
use super::what_if::Planned;
use super::workload::WorkloadStatement;
use crate::limits;
use crate::model::plan::PlanNode;
use crate::postgres::{Plan, PostgresError, queries};
use crate::sql;

/// One entry in one index, in the planner's units: the way down to its leaf in memory (some fifty comparisons, 0.13), and the
/// page that it makes dirty, which now and then has to be read and is written out with others (a tenth of
/// `random_page_cost`).
const ENTRY_COST: f64 = 0.5;
/// The same for a row that a BRIN index hears of: it compares the row with what it says of the row's range of blocks, which
/// mostly holds already.
const RANGE_COST: f64 = 0.05;

/// What was written to one table, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Writes {
    pub inserted: f64,
    pub updated: f64,
    /// Those of the updates that cost no index an entry.
    pub updated_hot: f64,
}

/// What was written since counters began, by the OID of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteCounters {
    /// When it was read, by the server's clock.
    pub at: DateTime<Utc>,
    by_table: BTreeMap<u32, Writes>,
}

impl WriteCounters {
    /// Reads them for all tables that are known.
    ///
    /// # Errors
    /// If the server refuses, or the session is lost.
    pub async fn read(plan: &Plan, tables: &Tables) -> Result<Self, PostgresError> {
        let oids: Vec<u32> = tables.all().map(|table| table.oid).collect();
        let asked: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&oids, Type::OID_ARRAY)];
        let mut counters = Self::default();
        for row in plan.session().rows(queries::ADVISE_WRITES, &asked).await? {
            let count = |name: &str| row.try_get::<_, Option<f64>>(name).ok().flatten().unwrap_or(0.0);
            let writes = Writes {
                inserted: count("inserted"),
                updated: count("updated"),
                updated_hot: count("updated_hot"),
            };
            counters.at = row.try_get("at").unwrap_or_default();
            counters
                .by_table
                .insert(row.try_get("table_oid").unwrap_or(0), writes);
        }
        Ok(counters)
    }

    /// What is written in so many seconds, as it was between an earlier reading and this one. Nothing is said of tables whose
    /// counters began again, nor of times that are too short for a rate: a load that just ended is none.
    pub fn in_seconds(&self, earlier: &Self, seconds: f64) -> BTreeMap<u32, Writes> {
        let between = (self.at - earlier.at).num_milliseconds() as f64 / 1000.0;
        if between < limits::WRITES_WINDOW.as_secs_f64() {
            return BTreeMap::new();
        }
        let rate = |now: f64, before: f64| (now >= before).then(|| (now - before) / between * seconds);
        let of = |(oid, now): (&u32, &Writes)| {
            let before = earlier.by_table.get(oid)?;
            let writes = Writes {
                inserted: rate(now.inserted, before.inserted)?,
                updated: rate(now.updated, before.updated)?,
                updated_hot: rate(now.updated_hot, before.updated_hot)?,
            };
            Some((*oid, writes))
        };
        self.by_table.iter().filter_map(of).collect()
    }
}

/// What each candidate costs the writes of a workload: of these statements, weighted as they are, and where `counted` tells
/// what really was written to its table in the same time, of that.
pub fn of<'a>(
    candidates: &[Candidate],
    tables: &Tables,
    planned: &[Planned],
    statements: impl Iterator<Item = &'a WorkloadStatement>,
    counted: &BTreeMap<u32, Writes>,
) -> Vec<f64> {
    let counted_of = |candidate: &Candidate| {
        let table = tables.get(&candidate.schema, &candidate.table)?;
        counted.get(&table.oid)
    };
    // every row that comes, and every one that moves, is an entry in every index
    let entries_of = |writes: &Writes| writes.inserted + (writes.updated - writes.updated_hot).max(0.0);
    let mut upkeep: Vec<f64> = candidates
        .iter()
        .map(|candidate| {
            counted_of(candidate).map_or(0.0, |writes| entries_of(writes) * entry_cost(candidate))
        })
        .collect();
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
            // of what was counted only that is not yet paid for which the index itself would make dearer
            let part = match counted.get(&table.oid) {
                None => 1.0,
                Some(_) if operation == "Insert" => 0.0,
                Some(writes) if writes.updated > 0.0 => (writes.updated_hot / writes.updated).min(1.0),
                Some(_) => 0.0,
            };
            for (cost, candidate) in upkeep.iter_mut().zip(candidates) {
                if (&candidate.schema, &candidate.table) == (&table.name.schema, &table.name.name) {
                    *cost += statement.weight
                        * rows(write)
                        * part
                        * entries(operation, candidate, table, &changed)
                        * entry_cost(candidate);
                }
            }
        }
    }
    upkeep
}

/// What one row costs in this index.
fn entry_cost(candidate: &Candidate) -> f64 {
    match candidate.method {
        "brin" => RANGE_COST,
        _ => ENTRY_COST,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(minute: i64, inserted: f64) -> WriteCounters {
        let writes = Writes {
            inserted,
            updated: 2.0 * inserted,
            updated_hot: inserted,
        };
        WriteCounters {
            at: DateTime::from_timestamp(60 * minute, 0).unwrap(),
            by_table: [(7, writes)].into(),
        }
    }

    #[test]
    fn a_rate_needs_an_hour_and_counters_that_went_on() {
        let hour = counters(60, 7_200.0).in_seconds(&counters(0, 3_600.0), 10.0);
        assert_eq!(
            hour[&7],
            Writes {
                inserted: 10.0,
                updated: 20.0,
                updated_hot: 10.0
            }
        );
        assert!(
            counters(20, 7_200.0)
                .in_seconds(&counters(0, 0.0), 10.0)
                .is_empty()
        );
        assert!(counters(60, 5.0).in_seconds(&counters(0, 6.0), 10.0).is_empty());
    }
}
