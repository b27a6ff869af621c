//! What ANALYZE found out about the columns that indexes begin with: shares and numbers, never a value.

use serde::{Deserialize, Serialize};

use super::by_oid::{ByOid, HasOid};
use super::catalog::TableFacts;
use super::observation::Unknown;
use super::remedy::{Statement, qualified};

/// What gaps call it.
pub const FACT: &str = "column statistics";
/// Tables that a GRANT of ours names; the rest are counted.
const TABLES_NAMED: usize = 20;

/// The statistics of columns as one login may read them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// The login that asked.
    pub login: String,
    /// By the OID of the index.
    pub columns: ByOid<IndexedColumn>,
    /// How many indexes were asked for: the largest, where there are more than are asked for.
    #[serde(default)]
    pub indexes_asked: usize,
}

/// The column that an index begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct IndexedColumn {
    pub index_oid: u32,
    pub table_oid: u32,
    /// Its number in the table.
    pub attribute_number: i16,
    pub name: String,
    pub sample: Sample,
    /// Schema and name of the tables that its table is a partition of, or inherits from, at every level.
    #[serde(default)]
    pub ancestors: Vec<(String, String)>,
}

impl HasOid for IndexedColumn {
    fn oid(&self) -> u32 {
        self.index_oid
    }
}

/// What is known of a column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Sample {
    /// What ANALYZE found in the rows that it took.
    Known(ColumnSample),
    /// It was never analyzed.
    NotAnalyzed,
    /// The login has no SELECT on it.
    NotReadable,
    /// A policy of its table decides what the login sees, so that PostgreSQL shows it no statistics.
    BehindPolicy,
}

/// What ANALYZE found in the rows that it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnSample {
    /// The share of NULLs, 0 to 1.
    pub null_ratio: f64,
    /// How many different values there are; negative: their share of the rows, as pg_stats has it.
    pub distinct_values: f64,
    /// The mean size of a value that is not NULL.
    pub width_bytes: f64,
    /// The share of the commonest value, 0 to 1; none where no value is common.
    pub commonest_ratio: Option<f64>,
}

impl ColumnStatistics {
    /// Why the statistics of tables are not known that the login may not read, and the GRANT that mends it. `looks` is the
    /// login that looks, which is to read no table.
    pub fn not_readable(&self, mut tables: Vec<&TableFacts>, looks: &str) -> Unknown {
        tables.sort_by_key(|table| (&table.schema, &table.name));
        tables.dedup_by_key(|table| table.oid);
        let named = |table: &&TableFacts| qualified(&table.schema, &table.name);
        let mut names: Vec<String> = tables.iter().take(TABLES_NAMED).map(named).collect();
        if tables.len() > TABLES_NAMED {
            names.push(format!("{} more", tables.len() - TABLES_NAMED));
        }
        let better = match self.login == looks {
            true => "; better give a login that may as planner_dsn: pgadvisor setup prints one",
            false => "",
        };
        let of_grant = tables.iter().take(TABLES_NAMED);
        let grant = Statement::GrantSelect {
            tables: of_grant
                .map(|table| (table.schema.clone(), table.name.clone()))
                .collect(),
            to: self.login.clone(),
        };
        Unknown {
            reason: format!(
                "the login {} may not read the statistics of columns of {}{better}",
                self.login,
                names.join(", ")
            ),
            remedy_sql: Some(grant.sql()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grant_names_each_table_once_and_not_too_many() {
        let table = |oid: u32, name: &str| TableFacts {
            oid,
            schema: "S".into(),
            name: name.into(),
            ..TableFacts::default()
        };
        let statistics = ColumnStatistics {
            login: "planner".into(),
            ..ColumnStatistics::default()
        };
        let (a, b) = (table(2, "a"), table(1, "b; DROP"));
        let unknown = statistics.not_readable(vec![&b, &a, &b], "watcher");
        assert_eq!(
            unknown.remedy_sql.as_deref(),
            Some("GRANT SELECT ON TABLE \"S\".a, \"S\".\"b; DROP\" TO planner")
        );
        assert!(!unknown.reason.contains("planner_dsn"), "{}", unknown.reason);
        let same = statistics.not_readable(vec![&a], "planner");
        assert!(same.reason.contains("as planner_dsn"), "{}", same.reason);
        let many: Vec<TableFacts> = (0..25).map(|oid| table(oid, &format!("t{oid}"))).collect();
        let unknown = statistics.not_readable(many.iter().collect(), "watcher");
        assert!(unknown.reason.contains(", 5 more"), "{}", unknown.reason);
        assert_eq!(unknown.remedy_sql.unwrap().matches("\"S\".t").count(), 20);
    }
}
