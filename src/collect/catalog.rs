//! Names and definitions of one database: read seldom, definitions only of indexes that are new or changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::column;
use super::relations::Counters;
use crate::limits;
use crate::model::snapshot::{Catalog, IndexFacts, TableFacts, Work};
use crate::postgres::{Observe, PostgresError, queries};

/// All definitions are read anew after this long: renaming a column changes one without changing its catalog rows.
const DEFINITIONS_EVERY: Duration = Duration::from_secs(3600);

/// What is known of one database's names.
#[derive(Default)]
pub struct CatalogCache {
    catalog: Arc<Catalog>,
    read_at: Option<Instant>,
    /// The row versions for which the catalog holds definitions.
    row_versions: HashMap<u32, String>,
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
            let tables = counters
                .tables
                .iter()
                .any(|table| !self.catalog.tables.contains_key(&table.oid));
            tables
                || counters
                    .indexes
                    .iter()
                    .any(|index| !self.catalog.indexes.contains_key(&index.oid))
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
        let limit = 3 * limits::RELATIONS_PER_DATABASE as i64;
        let tables = session
            .rows(queries::TABLE_CATALOG.on(version_num), &[(&limit, Type::INT8)])
            .await?;
        let mut tables: HashMap<u32, TableFacts> = tables
            .iter()
            .map(table_facts)
            .map(|table| (table.oid, table))
            .collect();
        let rows = session
            .rows(queries::INDEX_CATALOG.on(version_num), &[(&limit, Type::INT8)])
            .await?;
        if self
            .definitions_since
            .is_none_or(|at| at.elapsed() > DEFINITIONS_EVERY)
        {
            self.row_versions.clear();
            self.definitions_since = Some(Instant::now());
        }
        let mut fresh = self.fetch_definitions(session, version_num, &rows).await?;
        let mut indexes: HashMap<u32, IndexFacts> = rows
            .iter()
            .map(|row| self.index_facts(row, &mut fresh))
            .map(|index| (index.oid, index))
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

    async fn fetch_definitions(
        &mut self,
        session: &Observe,
        version_num: i32,
        rows: &[Row],
    ) -> Result<HashMap<u32, String>, PostgresError> {
        let versions: HashMap<u32, String> = rows
            .iter()
            .filter_map(|row| Some((column(row, "oid")?, column(row, "row_version")?)))
            .collect();
        let known = &self.catalog.indexes;
        let is_defined = |oid: &u32| known.get(oid).is_some_and(|facts| facts.definition.is_some());
        self.row_versions
            .retain(|oid, version| versions.get(oid) == Some(version) && is_defined(oid));
        let missing: Vec<u32> = versions
            .keys()
            .filter(|oid| !self.row_versions.contains_key(oid))
            .copied()
            .take(limits::INDEX_DEFINITIONS_PER_LOOK)
            .collect();
        let mut fresh = HashMap::new();
        if missing.is_empty() {
            return Ok(fresh);
        }
        let read = session
            .rows(
                queries::INDEX_DEFINITIONS.on(version_num),
                &[(&missing, Type::OID_ARRAY)],
            )
            .await;
        let read = match read {
            Ok(rows) => rows,
            // one table that is locked, or dropped just now, must not lose the look
            Err(error) if !error.is_fatal() => return Ok(fresh),
            Err(error) => return Err(error),
        };
        for row in &read {
            let (Some(oid), Some(definition)) =
                (column::<u32>(row, "oid"), column::<String>(row, "definition"))
            else {
                continue;
            };
            if let Some(version) = versions.get(&oid) {
                self.row_versions.insert(oid, version.clone());
                fresh.insert(oid, definition);
            }
        }
        Ok(fresh)
    }

    fn index_facts(&self, row: &Row, fresh: &mut HashMap<u32, String>) -> IndexFacts {
        let flag = |name: &str| column::<bool>(row, name).unwrap_or(false);
        let oid = column(row, "oid").unwrap_or(0);
        let known = || {
            let known = self
                .catalog
                .indexes
                .get(&oid)
                .filter(|_| self.row_versions.contains_key(&oid));
            known.and_then(|facts| facts.definition.clone())
        };
        let definition = fresh.remove(&oid).or_else(known);
        let mut shape: String = column(row, "shape").unwrap_or_default();
        let has_expressions = flag("has_expressions");
        if has_expressions || flag("has_predicate") {
            // expressions and predicates have no shape but their text
            match definition.as_deref().and_then(|text| text.split_once(" USING ")) {
                Some((_, text)) => shape.push_str(text),
                None => shape.clear(),
            }
        }
        IndexFacts {
            oid,
            table_oid: column(row, "table_oid").unwrap_or(0),
            schema: column(row, "schema").unwrap_or_default(),
            name: column(row, "name").unwrap_or_default(),
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
            constraint: column(row, "constraint_name"),
            is_referenced: flag("is_referenced"),
            foreign_keys: column(row, "foreign_keys").unwrap_or_default(),
            foreign_keys_in_part: column(row, "foreign_keys_in_part").unwrap_or_default(),
            may_be_in_progress: flag("may_be_in_progress"),
            is_partition: flag("is_partition"),
            is_partitioned: flag("is_partitioned"),
            owned_by_extension: flag("owned_by_extension"),
            shape,
            definition,
        }
    }
}

/// Before the first VACUUM or ANALYZE the catalog says that a relation has no pages, whatever it holds.
async fn fetch_missing_sizes(
    session: &Observe,
    version_num: i32,
    counters: &Counters,
    tables: &mut HashMap<u32, TableFacts>,
    indexes: &mut HashMap<u32, IndexFacts>,
) -> Result<(), PostgresError> {
    let rows: HashMap<u32, i64> = counters
        .tables
        .iter()
        .map(|table| (table.oid, table.live_rows + table.dead_rows))
        .filter(|(_, rows)| *rows > 0)
        .collect();
    let without = |size_bytes: f64, oid: u32, table_oid: u32| {
        (size_bytes == 0.0).then_some(())?;
        Some((*rows.get(&table_oid)?, oid))
    };
    let of_tables = tables
        .values()
        .filter_map(|table| without(table.size_bytes, table.oid, table.oid));
    let of_indexes = indexes
        .values()
        .filter_map(|index| without(index.size_bytes, index.oid, index.table_oid));
    let mut missing: Vec<(i64, u32)> = of_tables.chain(of_indexes).collect();
    missing.sort_unstable_by(|a, b| b.cmp(a));
    let missing: Vec<u32> = missing
        .into_iter()
        .map(|(_, oid)| oid)
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
        if let Some(table) = tables.get_mut(&oid) {
            table.size_bytes = size_bytes;
        } else if let Some(index) = indexes.get_mut(&oid) {
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
        owned_by_extension: column(row, "owned_by_extension").unwrap_or(false),
    }
}
