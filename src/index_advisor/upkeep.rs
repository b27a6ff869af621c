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
use crate::postgres::{Plan, PostgresError, queries};
use crate::sql::{self, Command, Name, remembered};

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

/// What one statement writes to one table.
struct Write<'a> {
    table: &'a Table,
    command: Command,
    rows: f64,
}

/// What a statement writes: as its plan says, else as its text does. A login that may only read plans what it reads, or
/// nothing of it at all; its writes are no cheaper for that.
fn writes<'a>(
    statement: &WorkloadStatement,
    planned: Option<&Planned>,
    tables: &'a Tables,
) -> Vec<Write<'a>> {
    let nodes = planned.map_or_else(Vec::new, |planned| planned.tree.nodes());
    let by_plan = nodes
        .iter()
        .filter(|node| node.kind == "ModifyTable")
        .map(|node| {
            let table = tables.get(node.schema.as_deref()?, node.relation.as_deref()?)?;
            let command = command(node.operation.as_deref()?)?;
            let rows: f64 = node.children.iter().map(|child| child.rows).sum();
            Some(Write {
                table,
                command,
                rows: rows.max(1.0),
            })
        });
    let by_plan: Vec<Option<Write<'a>>> = by_plan.collect();
    if !by_plan.is_empty() {
        return by_plan.into_iter().flatten().collect();
    }
    // most statements read, and need not be parsed for that
    let Some(named) = Some(&statement.text)
        .filter(|text| may_write(text))
        .and_then(|text| remembered::tables(text))
    else {
        return Vec::new();
    };
    let of_that_name = |name: &Name| {
        let is_it = |table: &&Table| {
            table.name.name == name.name
                && name
                    .schema
                    .as_ref()
                    .is_none_or(|schema| *schema == table.name.schema)
        };
        let mut found = tables.all().filter(is_it);
        // which of two is meant depends on the search_path; what is paid for both would be too much
        found.next().filter(|_| found.next().is_none())
    };
    let read = planned.map(|planned| planned.tree.root.rows);
    let write = named.target.as_ref().and_then(of_that_name).map(|table| Write {
        table,
        command: named.command,
        rows: statement.rows_per_call.or(read).unwrap_or(1.0).max(1.0),
    });
    write.into_iter().collect()
}

/// Whether a word that writes occurs in a text.
fn may_write(text: &str) -> bool {
    let words = text.split(|letter: char| !letter.is_ascii_alphabetic());
    let mut words = words.filter(|word| word.len() == 5 || word.len() == 6);
    let writing = ["insert", "update", "delete", "merge"];
    words.any(|word| writing.iter().any(|one| word.eq_ignore_ascii_case(one)))
}

/// The operation of a plan's node.
fn command(operation: &str) -> Option<Command> {
    Some(match operation {
        "Insert" => Command::Insert,
        "Update" => Command::Update,
        "Delete" => Command::Delete,
        "Merge" => Command::Merge,
        _ => return None,
    })
}

/// What each candidate costs the writes of a workload: of these statements, weighted as they are, with their plans where they
/// have one, and where `counted` tells what really was written to its table in the same time, of that.
pub(super) fn of<'a>(
    candidates: &[Candidate],
    tables: &Tables,
    statements: impl Iterator<Item = (&'a WorkloadStatement, Option<&'a Planned>)>,
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
    for (statement, planned) in statements {
        for write in writes(statement, planned, tables) {
            let changed = Changed::by(&statement.text);
            // of what was counted only that is not yet paid for which the index itself would make dearer
            let part = match counted.get(&write.table.oid) {
                None => 1.0,
                Some(_) if write.command == Command::Insert => 0.0,
                Some(writes) if writes.updated > 0.0 => (writes.updated_hot / writes.updated).min(1.0),
                Some(_) => 0.0,
            };
            let of_table = upkeep.iter_mut().zip(candidates).filter(|(_, candidate)| {
                (&candidate.schema, &candidate.table) == (&write.table.name.schema, &write.table.name.name)
            });
            for (cost, candidate) in of_table {
                let entries = entries(&write, candidate, &changed);
                *cost += statement.weight * write.rows * part * entries * entry_cost(candidate);
            }
        }
    }
    upkeep
}

/// What a statement does to the rows that it writes.
struct Changed {
    columns: BTreeSet<String>,
    /// MERGE … WHEN NOT MATCHED THEN INSERT.
    merge_inserts: bool,
}

impl Changed {
    fn by(text: &str) -> Self {
        Self {
            columns: sql::updated_columns(text),
            merge_inserts: sql::merge_inserts(text),
        }
    }
}

/// What one row costs in this index.
fn entry_cost(candidate: &Candidate) -> f64 {
    match candidate.method {
        "brin" => RANGE_COST,
        _ => ENTRY_COST,
    }
}

/// Entries that one row costs because the index is there.
fn entries(write: &Write<'_>, candidate: &Candidate, changed: &Changed) -> f64 {
    match write.command {
        Command::Insert => 1.0,
        Command::Update => entries_of_update(write.table, candidate, changed),
        // how many of its rows are new nobody knows before
        Command::Merge if changed.merge_inserts => {
            entries_of_update(write.table, candidate, changed).max(1.0)
        }
        Command::Merge => entries_of_update(write.table, candidate, changed),
        Command::Select | Command::Delete => 0.0,
    }
}

fn entries_of_update(table: &Table, candidate: &Candidate, changed: &Changed) -> f64 {
    let concerns = |column: &String| candidate.holds(column) || candidate.mentions(column);
    if !changed.columns.iter().any(concerns) {
        return 0.0;
    }
    // no HOT any more: all other indexes get an entry, too, unless they do already
    let is_changed = |key: &Key| matches!(key, Key::Column(name) if changed.columns.contains(name));
    let is_hot = !table
        .indexes
        .iter()
        .any(|index| index.keys.iter().any(|key| is_changed(&key.key)));
    1.0 + if is_hot { table.indexes.len() as f64 } else { 0.0 }
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
