//! How tables and indexes are now, as pages tell it.

use chrono::{DateTime, Utc};

use super::partitions::table_above;
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::history::{IndexCounts, TableCounts};
use crate::model::observation::TableObservation;
use crate::model::relation::{IndexNow, RelationName, TableNow};
use crate::model::snapshot::TableActivityCounters;
use crate::sql;

/// A table that holds rows itself; `above` is what it is a partition of.
pub fn table_now(
    (facts, above): (&TableFacts, Option<&TableFacts>),
    now: &TableActivityCounters,
    state: Option<&TableObservation>,
    counts: TableCounts,
    index_bytes: f64,
) -> TableNow {
    TableNow {
        schema: facts.schema.clone(),
        name: facts.name.clone(),
        kind: facts.kind,
        bytes: counts.bytes,
        index_bytes: index_bytes.max(0.0) as u64,
        live_rows: counts.live_rows,
        dead_rows: counts.dead_rows,
        vacuum_threshold_rows: state.map_or(0.0, |state| state.vacuum_threshold_rows).max(0.0) as u64,
        last_vacuum_at: state.and_then(|state| state.last_vacuum_at),
        last_analyze_at: now.last_analyze_at,
        modified_since_analyze: now.modified_since_analyze.max(0).unsigned_abs(),
        options: facts.options.clone(),
        partitions: 0,
        partition_of: above.map(|above| RelationName {
            schema: above.schema.clone(),
            name: above.name.clone(),
        }),
        worst_partition: None,
    }
}

/// What was seen of an index, or of the partitions of one.
pub struct IndexSeen<'a> {
    /// How it was used.
    pub counts: IndexCounts,
    /// Since when it is idle.
    pub idle_since: Option<DateTime<Utc>>,
    /// What it is a partition of.
    pub above: Option<&'a IndexFacts>,
    /// How many partitions it has; none where it is not partitioned.
    pub partitions: Option<u32>,
}

/// An index of a table.
pub fn index_now(facts: &IndexFacts, table: &TableFacts, seen: &IndexSeen<'_>) -> IndexNow {
    IndexNow {
        schema: facts.schema.clone(),
        name: facts.name.clone(),
        table: table.name.clone(),
        bytes: seen.counts.bytes,
        is_valid: facts.is_valid,
        is_unique: facts.is_unique,
        is_primary: facts.is_primary,
        constraint: facts.constraint.as_deref().map(str::to_owned),
        definition: facts
            .definition
            .as_deref()
            .map(|definition| without_constants(definition, facts.has_expressions)),
        idle_since: seen.idle_since,
        partitions: seen.partitions,
        partition_of: seen.above.map(|above| RelationName {
            schema: above.schema.clone(),
            name: above.name.clone(),
        }),
    }
}

/// The table of a partitioned index: that at the top where it is of one between, which has no page; not where that is in
/// another schema, since an index is in the schema of its table.
pub fn table_of_whole<'a>(catalog: &'a Catalog, facts: &IndexFacts) -> Option<&'a TableFacts> {
    let table = catalog.tables.get(facts.table_oid)?;
    let above = table_above(catalog, table).filter(|above| above.schema == table.schema);
    Some(above.unwrap_or(table))
}

/// A predicate or an expression may hold what belongs into the table alone: it is kept without its constants.
fn without_constants(definition: &str, has_expressions: bool) -> String {
    match has_expressions || definition.contains('\'') || definition.contains(" WHERE ") {
        true => sql::masked_expression(definition),
        false => definition.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_kept_without_what_belongs_into_the_table() {
        for (keys, has_expressions, kept) in [
            ("(((a + 4711)))", true, "(((a + \u{2026})))"),
            ("(a) WHERE (a > 4711)", false, "(a) WHERE (a > \u{2026})"),
            ("(a) INCLUDE (b)", false, "(a) INCLUDE (b)"),
        ] {
            let told = without_constants(&format!("CREATE INDEX i ON t {keys}"), has_expressions);
            assert_eq!(told, format!("CREATE INDEX i ON t {kept}"));
        }
    }
}
