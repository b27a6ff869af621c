//! How tables and indexes are now, as pages tell it.

use chrono::{DateTime, TimeDelta, Utc};

use super::partitions::table_above;
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::history::{IndexCounts, TableCounts};
use crate::model::observation::{IndexObservation, TableObservation};
use crate::model::relation::{IndexNow, RelationName, TableNow};
use crate::model::snapshot::TableActivityCounters;
use crate::sql;

/// An index that was scanned within this is not told to be idle, so that its row does not change at each look.
const IDLE_FROM: TimeDelta = TimeDelta::days(1);

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
    /// Since when it is idle on this server.
    pub idle_since: Option<DateTime<Utc>>,
    /// What it is a partition of.
    pub above: Option<&'a IndexFacts>,
    /// How many partitions it has; none where it is not partitioned.
    pub partitions: Option<u32>,
}

/// Since when no scan of an index happened on this server, as far back as that is known: its standbys count their own, and
/// whoever shows this says so.
pub fn unscanned_since(index: &IndexObservation, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // while no scan is counted neither moves from look to look, however young the counters are
    let is_at_rest =
        |since: &DateTime<Utc>| index.no_scan_counted_since.is_some() || now - *since >= IDLE_FROM;
    let seen = index.idle_since.filter(is_at_rest);
    seen.into_iter().chain(index.no_scan_counted_since).min()
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
    use crate::rules::testing::{database, index, now};

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

    #[test]
    fn an_index_without_a_scan_is_idle_since_its_total_says_so() {
        let mut one = database(vec![index(9, "i")]).databases[0].indexes[0];
        let days = |days: i64| Some(now() - TimeDelta::days(days));
        let mut since = |idle_since, no_scan_counted_since| {
            (one.idle_since, one.no_scan_counted_since) = (idle_since, no_scan_counted_since);
            unscanned_since(&one, now())
        };
        let hour_ago = Some(now() - TimeDelta::hours(1));
        assert_eq!(since(hour_ago, None), None, "it was used a moment ago");
        assert_eq!(since(days(2), None), days(2));
        assert_eq!(
            since(hour_ago, days(40)),
            days(40),
            "seen for an hour, counted for long"
        );
        assert_eq!(since(hour_ago, hour_ago), hour_ago, "its counters are young");
        let minute_ago = Some(now() - TimeDelta::minutes(1));
        assert_eq!(
            since(hour_ago, minute_ago),
            hour_ago,
            "they were reset a minute ago"
        );
        assert_eq!(since(days(60), days(40)), days(60), "they were reset meanwhile");
    }
}
