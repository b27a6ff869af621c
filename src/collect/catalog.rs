//! Names and definitions of one database: read seldom, definitions only of indexes that are new or changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::relations::Counters;
use crate::limits;
use crate::model::by_oid::{ByOid, HasOid};
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::snapshot::Work;
use crate::postgres::{Observe, PostgresError, column, queries};

/// All definitions are read anew after this long: renaming a column changes one without changing its catalog rows.
const DEFINITIONS_EVERY: Duration = Duration::from_secs(3600);

/// What is known of one database's names.
#[derive(Default)]
pub struct CatalogCache {
    catalog: Arc<Catalog>,
    read_at: Option<Instant>,
    /// The row versions for which the catalog holds definitions.
    row_versions: ByOid<RowVersion>,
    definitions_since: Option<Instant>,
    /// Builds that ran at the last read: once one ends, what is known of its table's indexes is out of date.
    building: Vec<Work>,
    /// Some definitions could not be read, because somebody held a lock, or some indexes were perhaps being built.
    incomplete: bool,
}

impl CatalogCache {
    /// Whether names were ever read.
    pub fn was_read(&self) -> bool {
        self.read_at.is_some()
    }

    /// What was read last.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    /// Names are read again after `every`, or after a fifth of it if there are relations without a name.
    pub fn is_due(&self, every: Duration, counters: &Counters) -> bool {
        let Some(age) = self.read_at.map(|at| at.elapsed()) else {
            return true;
        };
        let build_ended = || {
            self.building
                .iter()
                .any(|build| !counters.progress.building.contains(build))
        };
        if age >= every || build_ended() {
            return true;
        }
        let unknown = || {
            let (mut named_tables, mut named_indexes) =
                (self.catalog.tables.finder(), self.catalog.indexes.finder());
            let tables = counters
                .tables
                .iter()
                .any(|table| named_tables.find(table.oid).is_none());
            tables
                || counters
                    .indexes
                    .iter()
                    .any(|index| named_indexes.find(index.oid).is_none())
        };
        let gone = || self.catalog.indexes.len() > counters.indexes.len() + self.partitioned();
        age >= every / 5 && (self.incomplete || unknown() || gone())
    }

    /// Indexes that have no counters: those of partitioned tables.
    fn partitioned(&self) -> usize {
        self.catalog
            .indexes
            .values()
            .filter(|index| index.is_partitioned)
            .count()
    }

    /// Reads names, and the definitions that are missing.
    ///
    /// # Errors
    /// If the server refuses or does not answer; what was known stays.
    pub async fn refresh(
        &mut self,
        session: &Observe,
        version_num: i32,
        counters: &Counters,
    ) -> Result<usize, PostgresError> {
        self.building = counters.progress.building.clone();
        // TOAST tables and partitioned tables have names and no counters of their own
        let limit = 3 * limits::RELATIONS_PER_DATABASE;
        let query = queries::TABLE_CATALOG.on(version_num);
        let expected = (limit, self.catalog.tables.len());
        let tables = session.bounded(query, expected, table_facts).await?;
        let mut tables = ByOid::from(tables);
        let query = queries::INDEX_CATALOG.on(version_num);
        let expected = (limit, self.catalog.indexes.len());
        let mut read = session.bounded(query, expected, ReadIndex::of).await?;
        if self
            .definitions_since
            .is_none_or(|at| at.elapsed() > DEFINITIONS_EVERY)
        {
            self.row_versions = ByOid::default();
            self.definitions_since = Some(Instant::now());
        }
        self.keep_definitions(&mut read);
        self.fetch_definitions(session, version_num, &mut read).await?;
        let mut shapes = HashSet::new();
        let mut indexes: ByOid<IndexFacts> = read
            .into_iter()
            .map(|index| index.with_whole_shape(&mut shapes))
            .collect();
        self.incomplete = indexes
            .values()
            .any(|index| index.definition.is_none() || index.may_be_in_progress);
        fetch_missing_sizes(session, version_num, counters, &mut tables, &mut indexes).await?;
        let count = tables.len() + indexes.len();
        self.catalog = Arc::new(Catalog::new(tables, indexes));
        self.read_at = Some(Instant::now());
        Ok(count)
    }

    /// Definitions of indexes whose rows in the catalog are the same are the same.
    fn keep_definitions(&mut self, read: &mut [ReadIndex]) {
        let mut known = self.catalog.indexes.finder();
        let mut row_versions = self.row_versions.finder();
        let mut unchanged = ByOid::default();
        read.sort_unstable_by_key(|index| index.facts.oid);
        for index in read {
            let oid = index.facts.oid;
            if row_versions.find(oid) == Some(&index.row_version)
                && let Some(definition) = known.find(oid).and_then(|facts| facts.definition.clone())
            {
                index.facts.definition = Some(definition);
                unchanged.insert(index.row_version);
            }
        }
        unchanged.shrink_to_fit();
        self.row_versions = unchanged;
    }

    async fn fetch_definitions(
        &mut self,
        session: &Observe,
        version_num: i32,
        read: &mut [ReadIndex],
    ) -> Result<(), PostgresError> {
        let missing: Vec<u32> = read
            .iter()
            .filter(|index| index.facts.definition.is_none())
            .map(|index| index.facts.oid)
            .take(limits::INDEX_DEFINITIONS_PER_LOOK)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut fresh: HashMap<u32, String> = HashMap::with_capacity(missing.len());
        let definition = |row: &Row| {
            let (oid, definition): (Option<u32>, Option<String>) =
                (column(row, "oid"), column(row, "definition"));
            fresh.extend(oid.zip(definition));
        };
        let query = queries::INDEX_DEFINITIONS.on(version_num);
        let asked = session
            .each_row(query, &[(&missing, Type::OID_ARRAY)], definition)
            .await;
        match asked {
            // one table that is locked, or dropped just now, must not lose the look
            Err(error) if !error.is_fatal() => return Ok(()),
            asked => asked?,
        }
        for index in read {
            let oid = index.facts.oid;
            if let Some(definition) = fresh.remove(&oid) {
                index.facts.definition = Some(definition.into());
                self.row_versions.insert(index.row_version);
            }
        }
        self.row_versions.shrink_to_fit();
        Ok(())
    }
}

/// The versions of the rows that the catalog has of an index.
#[derive(Clone, Copy, PartialEq, Eq)]
struct RowVersion {
    oid: u32,
    class: u32,
    index: u32,
}

impl HasOid for RowVersion {
    fn oid(&self) -> u32 {
        self.oid
    }
}

/// An index as its row tells, without its definition.
struct ReadIndex {
    facts: IndexFacts,
    /// Another one means that the definition may be another one.
    row_version: RowVersion,
    /// Expressions and predicates have no shape but their text.
    shape_needs_text: bool,
}

impl ReadIndex {
    fn of(row: &Row) -> Self {
        let flag = |name: &str| column::<bool>(row, name).unwrap_or(false);
        let has_expressions = flag("has_expressions");
        let text = |name: &str| column::<String>(row, name).unwrap_or_default();
        let keys = |name: &str| column::<Vec<u32>>(row, name).unwrap_or_default().into();
        let version = |name: &str| column::<i64>(row, name).unwrap_or_default() as u32;
        Self {
            facts: IndexFacts {
                oid: column(row, "oid").unwrap_or(0),
                table_oid: column(row, "table_oid").unwrap_or(0),
                schema: text("schema"),
                name: text("name"),
                size_bytes: column(row, "size_bytes").unwrap_or(0.0),
                is_valid: flag("is_valid"),
                is_ready: flag("is_ready"),
                is_unique: flag("is_unique"),
                is_immediate: flag("is_immediate"),
                is_primary: flag("is_primary"),
                is_exclusion: flag("is_exclusion"),
                is_clustered: flag("is_clustered"),
                is_replica_identity: flag("is_replica_identity"),
                has_expressions,
                constraint: column::<String>(row, "constraint_name").map(Into::into),
                is_referenced: flag("is_referenced"),
                foreign_keys: keys("foreign_keys"),
                foreign_keys_in_part: keys("foreign_keys_in_part"),
                may_be_in_progress: flag("may_be_in_progress"),
                is_partition: flag("is_partition"),
                is_partitioned: flag("is_partitioned"),
                partition_of: column(row, "partition_of"),
                owned_by_extension: flag("owned_by_extension"),
                shape: text("shape").into(),
                definition: None,
            },
            row_version: RowVersion {
                oid: column(row, "oid").unwrap_or(0),
                class: version("class_version"),
                index: version("index_version"),
            },
            shape_needs_text: has_expressions || flag("has_predicate"),
        }
    }

    /// The facts, with a shape that is whole and, where it is that of others, too, shared with them.
    fn with_whole_shape(self, shapes: &mut HashSet<Arc<str>>) -> IndexFacts {
        let mut facts = self.facts;
        if self.shape_needs_text {
            let text = facts
                .definition
                .as_deref()
                .and_then(|text| text.split_once(" USING "));
            facts.shape =
                text.map_or_else(Default::default, |(_, text)| [&facts.shape, text].concat().into());
        }
        match shapes.get(&facts.shape) {
            Some(shape) => facts.shape = shape.clone(),
            None => _ = shapes.insert(facts.shape.clone()),
        }
        facts
    }
}

/// Rows by which a table must have grown since the catalog counted its pages, so that these are asked for.
const GROWN_BY_ROWS: f64 = 1000.0;
/// And the part of the rows that there were.
const GROWN_BY_RATIO: f64 = 0.2;

/// The rows that came to a table since the catalog counted its pages; `None` where these are about what they were.
fn grown_by(rows: i64, facts: &TableFacts) -> Option<i64> {
    let counted = facts.rows.max(0.0);
    let added = rows as f64 - counted;
    let is_much = match facts.size_bytes {
        0.0 => added > 0.0,
        _ => added > GROWN_BY_ROWS + GROWN_BY_RATIO * counted,
    };
    is_much.then_some(added as i64)
}

/// The catalog tells the pages of the last VACUUM or ANALYZE, before the first one none, whatever a relation holds: those of
/// which counters say that they have grown since are asked for, those that grew most first.
async fn fetch_missing_sizes(
    session: &Observe,
    version_num: i32,
    counters: &Counters,
    tables: &mut ByOid<TableFacts>,
    indexes: &mut ByOid<IndexFacts>,
) -> Result<(), PostgresError> {
    let mut facts = tables.finder();
    let mut grown: HashMap<u32, i64> = HashMap::new();
    // an index that was made since has no pages in the catalog, either
    let mut filled: HashMap<u32, i64> = HashMap::new();
    for table in &counters.tables {
        let rows = table.live_rows + table.dead_rows;
        if let Some(added) = facts.find(table.oid).and_then(|facts| grown_by(rows, facts)) {
            grown.insert(table.oid, added);
        } else if rows > 0 {
            filled.insert(table.oid, rows);
        }
    }
    let of_tables = tables.values().filter_map(|table| {
        let added = grown.get(&table.oid)?;
        Some((table.size_bytes == 0.0, *added, table.oid, table.oid))
    });
    let of_indexes = indexes.values().filter_map(|index| {
        let is_unknown = index.size_bytes == 0.0;
        let added = grown.get(&index.table_oid);
        let made = || filled.get(&index.table_oid).filter(|_| is_unknown);
        Some((is_unknown, *added.or_else(made)?, index.table_oid, index.oid))
    });
    // what has no size at all first, then tables with their indexes
    let mut missing: Vec<(bool, i64, u32, u32)> = of_tables.chain(of_indexes).collect();
    missing.sort_unstable_by(|a, b| b.cmp(a));
    let missing: Vec<u32> = missing
        .into_iter()
        .map(|(_, _, _, oid)| oid)
        .take(limits::RELATION_SIZES_PER_LOOK)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let query = queries::RELATION_SIZES.on(version_num);
    let sizes = match session.rows(query, &[(&missing, Type::OID_ARRAY)]).await {
        Ok(sizes) => sizes,
        // one table that was locked just now must not lose the look
        Err(error) if !error.is_fatal() => return Ok(()),
        Err(error) => return Err(error),
    };
    for row in &sizes {
        let (Some(oid), Some(size_bytes)) = (column::<u32>(row, "oid"), column::<f64>(row, "size_bytes"))
        else {
            continue;
        };
        if let Some(table) = tables.get_mut(oid) {
            table.size_bytes = size_bytes;
        } else if let Some(index) = indexes.get_mut(oid) {
            index.size_bytes = size_bytes;
        }
    }
    Ok(())
}

fn table_facts(row: &Row) -> TableFacts {
    TableFacts {
        oid: column(row, "oid").unwrap_or(0),
        schema: column(row, "schema").unwrap_or_default(),
        name: column(row, "name").unwrap_or_default(),
        kind: column::<String>(row, "kind")
            .and_then(|kind| kind.chars().next())
            .unwrap_or('r'),
        rows: column(row, "rows").unwrap_or(0.0),
        size_bytes: column(row, "size_bytes").unwrap_or(0.0),
        options: column(row, "options").unwrap_or_default(),
        frozen_xid_age: column(row, "frozen_xid_age").unwrap_or(0),
        toast_of: column(row, "toast_of"),
        toast_live_rows: column(row, "toast_live_rows").unwrap_or(0.0),
        partition_of: column(row, "partition_of"),
        parent_oid: column(row, "parent_oid"),
        is_published: column(row, "is_published").unwrap_or(false),
        owned_by_extension: column(row, "owned_by_extension").unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_grown_if_the_catalog_knows_no_pages_or_many_rows_came_since() {
        let table = |rows: f64, size_bytes: f64| TableFacts {
            rows,
            size_bytes,
            ..TableFacts::default()
        };
        // of a table that was never analyzed the catalog says -1
        assert_eq!(grown_by(7, &table(-1.0, 0.0)), Some(7));
        assert_eq!(grown_by(0, &table(-1.0, 0.0)), None);
        assert_eq!(grown_by(60_000, &table(10_000.0, 8192.0)), Some(50_000));
        assert_eq!(grown_by(11_900, &table(10_000.0, 8192.0)), None);
        // counters that began again know fewer
        assert_eq!(grown_by(0, &table(10_000.0, 8192.0)), None);
    }
}
