//! What one look at one server saw: cumulative counters and facts, as read. Two of these make an observation.
//!
//! Counters here count since a reset that may be unknown, so no rule ever sees them bare: `observe` turns them into
//! differences over a known window, which have types of their own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::column_statistics::ColumnStatistics;
use super::provider::Provider;
use super::refresh::MaterializedView;
use super::replication::Replication;
use super::role_setting::RoleSetting;
use super::schema::Schema;
use super::session::{PreparedTransaction, Session};
use super::status::{Gap, RunningServer};

/// One look at one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// When, by the server's own clock.
    pub at: DateTime<Utc>,
    /// When, by the advisor's clock: where the two clocks disagree on how much time passed, one of them jumped.
    pub taken_at: DateTime<Utc>,
    /// The server as a whole.
    pub server: ServerFacts,
    /// Names of the databases that are meant to be watched.
    pub watched: Vec<String>,
    /// pg_stat_statements; `None` where it could not be read (there is a gap then).
    pub statements: Option<Statements>,
    /// What sessions do; `None` where it could not be read (there is a gap then).
    #[serde(default)]
    pub sessions: Option<Vec<Session>>,
    /// Prepared transactions; `None` where they could not be read.
    #[serde(default)]
    pub prepared_transactions: Option<Vec<PreparedTransaction>>,
    /// Slots and standbys; `None` where they could not be read.
    #[serde(default)]
    pub replication: Option<Replication>,
    /// Each watched database that could be visited.
    pub databases: Vec<DatabaseSnapshot>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Facts about the server as a whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ServerFacts {
    /// The configured name.
    pub name: String,
    /// `server_version_num`, as 150018.
    pub version_num: i32,
    /// Shared by a server and its standbys; `None` where it may not be read.
    pub system_identifier: Option<String>,
    /// Which history of its cluster it writes: each promotion begins a new one. `None` of a standby, and where it is not told.
    #[serde(default)]
    pub timeline: Option<i64>,
    /// When the postmaster started.
    pub started_at: DateTime<Utc>,
    /// Whether it is in recovery.
    pub is_standby: bool,
    /// Standbys that stream from it just now.
    pub standbys: i64,
    /// The last reset that may concern all relations: pg_stat_bgwriter's or pg_stat_wal's, which a crash sets. Somebody may
    /// have reset these alone: it ends windows, but totals need not begin there.
    pub shared_statistics_reset_at: Option<DateTime<Utc>>,
    /// Since when relations are counted but for resets of their database: the last crash, or initdb. `None` where somebody
    /// has reset what would tell.
    #[serde(default)]
    pub relations_counted_since: Option<DateTime<Utc>>,
    /// The next transaction id, 64 bits wide.
    pub next_transaction_id: Option<i64>,
    /// Settings that rules read, by name.
    pub settings: BTreeMap<String, Setting>,
    /// Its checkpoints; `None` where they could not be read.
    #[serde(default)]
    pub checkpoints: Option<Checkpoints>,
    /// All databases, watched or not.
    pub databases: Vec<DatabaseFacts>,
    /// Who keeps old row versions alive, oldest first.
    pub xmin_holders: Vec<XminHolder>,
    /// Whether the login sees what sessions of other roles and standbys do.
    pub sees_all_sessions: bool,
    /// Role names by OID, for statements.
    pub roles: HashMap<u32, String>,
    /// work_mem that roles and databases were given; `None` where it could not be read (there is a gap then).
    #[serde(default)]
    pub role_settings: Option<Vec<RoleSetting>>,
    /// Extensions that could be created on it, of those by which managed services show themselves.
    #[serde(default)]
    pub service_extensions: BTreeSet<String>,
    /// Whether the software of the extension pg_trgm is on it; `None` where that may not be seen.
    #[serde(default)]
    pub offers_trigrams: Option<bool>,
    /// The login that looks.
    pub login: String,
    /// Whether the login is a superuser.
    pub login_is_superuser: bool,
    /// What its owner says of its machine.
    #[serde(default)]
    pub declared: Declared,
}

/// Checkpoints since they are counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Those that checkpoint_timeout brought.
    pub timed: i64,
    /// Those that somebody asked for, or that max_wal_size forced.
    pub requested: i64,
    /// Blocks that they wrote.
    pub blocks_written: i64,
    /// Since when they are counted.
    pub since: Option<DateTime<Utc>>,
    /// When this was read, by the server's clock.
    pub at: DateTime<Utc>,
}

/// What no server tells of its machine, and its owner may write into the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// RAM.
    pub memory_bytes: Option<f64>,
    /// Cores.
    pub cores: Option<u32>,
    /// Whether the data are on solid-state storage.
    pub is_solid_state: Option<bool>,
    /// Its data may be lost at any time: a server for tests.
    pub is_throw_away: bool,
}

impl ServerFacts {
    /// The managed service that it runs at. None of them gives its customers a superuser: who looks as one has a server of
    /// one's own, whatever software of a service runs there. For other logins it is what the server shows, see
    /// [`Provider::of`].
    pub fn provider(&self) -> Option<Provider> {
        if self.login_is_superuser {
            return None;
        }
        Provider::of(&self.settings, &self.roles, &self.service_extensions)
    }

    /// Whether the library of pg_stat_statements is loaded; none where that may not be seen.
    pub fn loads_statements_library(&self) -> Option<bool> {
        // everybody sees its settings once it is there
        if self.settings.contains_key("pg_stat_statements.track") {
            return Some(true);
        }
        let mut libraries = self.settings.get("shared_preload_libraries")?.value.split(',');
        let is_it = |library: &str| {
            let file = library.trim().trim_matches('"');
            file.rsplit('/').next() == Some("pg_stat_statements")
        };
        Some(libraries.any(is_it))
    }

    /// Which running server it is; nothing where its system identifier may not be read.
    pub fn running(&self) -> Option<RunningServer> {
        Some(RunningServer {
            system_identifier: self.system_identifier.clone()?,
            timeline: self.timeline,
            is_standby: self.is_standby,
            started_at: self.started_at,
        })
    }

    /// A setting's value in bytes, where its unit is one of memory and the value is the server's.
    pub fn setting_bytes(&self, name: &str) -> Option<f64> {
        let setting = self.settings.get(name)?;
        setting.is_servers().then(|| setting.bytes())?
    }

    /// A setting's value as a number, in the setting's own unit, if it is the server's.
    pub fn setting_number(&self, name: &str) -> Option<f64> {
        let setting = self.settings.get(name)?;
        setting.is_servers().then(|| setting.value.parse().ok())?
    }
}

/// One row of pg_settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The value, in `unit`; empty where it is a text that is not read.
    pub value: String,
    /// It is such a text: one of which only the name matters, or that it waits for a restart.
    #[serde(default)]
    pub is_unread: bool,
    /// The unit, as pg_settings gives it.
    pub unit: Option<String>,
    /// Where the value came from.
    pub source: String,
    /// It was changed, and only a restart makes that count.
    #[serde(default)]
    pub is_pending_restart: bool,
    /// It was set by ALTER SYSTEM; `None` where the login may not see where it was set.
    #[serde(default)]
    pub is_altered: Option<bool>,
    /// `postmaster` where only a restart changes it, else `sighup`, `user`, …
    #[serde(default)]
    pub context: String,
}

impl Setting {
    /// The value in bytes, where its unit is one of memory.
    pub fn bytes(&self) -> Option<f64> {
        let unit = self.unit.as_deref()?;
        // units of blocks have their size in front: 8kB, or what the server was built with
        let word = unit.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let times = match &unit[..unit.len() - word.len()] {
            "" => 1.0,
            digits => digits.parse::<f64>().ok()?,
        };
        let bytes = match word {
            "B" => 1.0,
            "kB" => 1024.0,
            "MB" => 1_048_576.0,
            _ => return None,
        };
        Some(self.value.parse::<f64>().ok()? * times * bytes)
    }

    /// The value in milliseconds, where its unit is one of time.
    pub fn milliseconds(&self) -> Option<f64> {
        let unit = match self.unit.as_deref()? {
            "ms" => 1.0,
            "s" => 1000.0,
            "min" => 60_000.0,
            _ => return None,
        };
        Some(self.value.parse::<f64>().ok()? * unit)
    }

    /// Whether it is the server's. What was set for our login, database or session says nothing of others.
    pub fn is_servers(&self) -> bool {
        let ours = [
            "database",
            "user",
            "database user",
            "client",
            "interactive",
            "session",
            "test",
        ];
        !ours.contains(&self.source.as_str())
    }
}

/// One row of pg_database and pg_stat_database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DatabaseFacts {
    pub oid: u32,
    pub name: String,
    pub allows_connections: bool,
    pub is_template: bool,
    /// Whether our login may.
    pub may_connect: bool,
    /// age(datfrozenxid), in transactions.
    pub frozen_xid_age: i64,
    /// When its statistics were reset, if that is known.
    pub statistics_reset_at: Option<DateTime<Utc>>,
    /// Blocks of tables and indexes that were found in shared_buffers, and that had to be read.
    #[serde(default)]
    pub blocks_hit: i64,
    #[serde(default)]
    pub blocks_read: i64,
}

/// Something that keeps VACUUM from removing row versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct XminHolder {
    /// `session`, `prepared transaction`, `replication slot` or `standby`.
    pub kind: String,
    /// Its name: application, role and process of a session, gid, slot name.
    pub name: String,
    /// The database in which it holds tables back; `None` where it is all of them.
    pub database: Option<String>,
    /// The age of what it holds, in transactions.
    pub age: i64,
    /// Since when at most; `None` where the server does not tell: slots and standbys.
    pub since: Option<DateTime<Utc>>,
    /// It holds the rows of catalogs back, and no others.
    pub catalogs_only: bool,
}

/// pg_stat_statements at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Statements {
    /// The schema in which the extension is installed.
    pub schema: String,
    /// When it was reset: pg_stat_statements_info.stats_reset (extension 1.9 and later).
    pub reset_at: Option<DateTime<Utc>>,
    /// How often entries were evicted since then.
    pub evictions: i64,
    /// Every entry, in the order of their keys.
    pub entries: Arc<Vec<StatementCounters>>,
    /// Texts by queryid, as far as they could be read.
    #[serde(default)]
    pub texts: Arc<HashMap<i64, Arc<StatementText>>>,
}

/// What identifies an entry of pg_stat_statements within one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StatementKey {
    pub user_oid: u32,
    pub database_oid: u32,
    pub queryid: i64,
}

/// Cumulative counters of one entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StatementCounters {
    pub key: StatementKey,
    pub calls: i64,
    pub execution_ms: f64,
    pub stddev_ms: f64,
    /// Of one call since the entry began, or its least and greatest were reset.
    #[serde(default)]
    pub max_ms: f64,
    /// Planning; 0 where pg_stat_statements.track_planning is off.
    #[serde(default)]
    pub planning_ms: f64,
    pub rows: i64,
    pub shared_blocks_hit: i64,
    pub shared_blocks_read: i64,
    pub temp_blocks_written: i64,
    /// When this entry began (extension 1.11, PostgreSQL 17 and later).
    pub since: Option<DateTime<Utc>>,
}

/// A normalised text, and what our parser says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementText {
    /// Ours: the hash of the parser's normal form.
    pub statement_id: String,
    /// The text as pg_stat_statements keeps it, cut at a bound.
    pub text: String,
    /// What kind of statement it is.
    pub kind: StatementKind,
    /// Whether it does nothing but sleep: its time is no load.
    #[serde(default)]
    pub only_sleeps: bool,
}

/// What kind of statement a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatementKind {
    /// SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES.
    Query,
    /// Everything else: DDL, COPY, VACUUM, transaction control.
    Utility,
    /// Our parser could not read it.
    Unparsable,
    /// A statement of ours.
    Own,
}

/// One database at one moment. Names and counters are read at different cadences; both are by OID.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DatabaseSnapshot {
    /// Its name.
    pub name: String,
    /// Counters of tables, materialized views and TOAST tables, in the order of their OIDs.
    pub tables: Vec<TableCounters>,
    /// Counters of indexes, in the order of their OIDs.
    pub indexes: Vec<IndexCounters>,
    /// VACUUM and index builds.
    pub progress: Progress,
    /// Names and definitions.
    pub catalog: Arc<Catalog>,
    /// How tables were read and written; none where that could not be read (there is a gap then).
    #[serde(default)]
    pub table_activity: Option<Arc<TableActivityLook>>,
    /// Foreign keys, constraints, sequences; none where they could not be read (there is a gap then).
    #[serde(default)]
    pub schema: Option<Arc<Schema>>,
    /// What ANALYZE found out about the columns of large indexes; none where that was not asked, or could not be read (there
    /// is a gap then).
    #[serde(default)]
    pub column_statistics: Option<Arc<ColumnStatistics>>,
    /// Materialized views; none where they could not be read (there is a gap then).
    #[serde(default)]
    pub materialized_views: Option<Vec<MaterializedViewFacts>>,
}

/// One materialized view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MaterializedViewFacts {
    /// Its row in the catalog, and what belongs to it.
    pub view: MaterializedView,
    /// Columns that are unique together whatever its tables hold, as its definition shows; read only where it has no unique
    /// index that CONCURRENTLY can use.
    pub unique_columns: Option<Vec<String>>,
}

/// Cumulative counters of one table, by `pg_stat_get_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TableCounters {
    pub oid: u32,
    pub scans: i64,
    /// Estimates of now, no counters: n_live_tup without what it counts twice, n_dead_tup.
    pub live_rows: i64,
    pub dead_rows: i64,
    /// n_tup_ins + n_tup_upd + n_tup_del.
    #[serde(default)]
    pub written: i64,
    pub last_vacuum_at: Option<DateTime<Utc>>,
    /// VACUUM or ANALYZE has counted its rows since the counters began. Before that the estimates are what was added since
    /// then, and a reset or a crash makes them 0.
    pub rows_were_counted: bool,
}

/// How the tables of a database were read and written, as read at one time; seldom, since it changes little.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TableActivityLook {
    /// When, by the server's clock.
    pub at: DateTime<Utc>,
    /// In the order of their OIDs.
    pub tables: Vec<TableActivityCounters>,
}

/// More cumulative counters of one table, by `pg_stat_get_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TableActivityCounters {
    pub oid: u32,
    pub sequential_scans: i64,
    pub sequential_rows_read: i64,
    pub inserted: i64,
    pub updated: i64,
    pub hot_updated: i64,
    pub deleted: i64,
    /// Rows changed since the last ANALYZE: an estimate of now, no counter.
    pub modified_since_analyze: i64,
    /// The last ANALYZE or autoanalyze that the server remembers.
    pub last_analyze_at: Option<DateTime<Utc>>,
    /// Rows whose new version found no room in its page and went to another; from PostgreSQL 16.
    pub new_page_updated: Option<i64>,
    /// When it was read from end to end last; from PostgreSQL 16, and null where that never was.
    #[serde(default)]
    pub last_sequential_scan_at: Option<DateTime<Utc>>,
}

/// Cumulative counters of one index.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct IndexCounters {
    pub oid: u32,
    pub scans: i64,
    /// From PostgreSQL 16.
    pub last_scan_at: Option<DateTime<Utc>>,
}

/// VACUUM and index builds that were running.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// VACUUM, VACUUM FULL and CLUSTER.
    pub vacuuming: Vec<Work>,
    /// CREATE INDEX and REINDEX.
    pub building: Vec<Work>,
}

/// Work on a table that one session was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The process of the session.
    pub pid: i32,
    /// The table; `None` where the login may not see that.
    pub table_oid: Option<u32>,
}

impl Work {
    /// Whether one of these is about a table or its TOAST table; `None` if that cannot be seen.
    pub fn is_on(works: &[Self], table_oid: u32, catalog: &Catalog) -> Option<bool> {
        let owner = |oid: u32| catalog.tables.get(oid).and_then(|table| table.toast_of);
        let about = |work: &Self| {
            work.table_oid
                .is_some_and(|oid| oid == table_oid || owner(oid) == Some(table_oid))
        };
        if works.iter().any(about) {
            return Some(true);
        }
        works.iter().all(|work| work.table_oid.is_some()).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::TableFacts;

    #[test]
    fn work_on_a_toast_table_is_work_on_its_table_and_unseen_work_may_be_anywhere() {
        let toast = TableFacts {
            oid: 7,
            toast_of: Some(1),
            ..TableFacts::default()
        };
        let catalog = Catalog::new(vec![toast].into(), Vec::new().into());
        let on = |tables: &[Option<u32>]| {
            let works: Vec<Work> = tables
                .iter()
                .map(|table_oid| Work {
                    pid: 1,
                    table_oid: *table_oid,
                })
                .collect();
            Work::is_on(&works, 1, &catalog)
        };
        assert_eq!(on(&[]), Some(false));
        assert_eq!(on(&[Some(2)]), Some(false));
        assert_eq!(on(&[Some(2), Some(7)]), Some(true));
        assert_eq!(on(&[None, Some(1)]), Some(true));
        assert_eq!(on(&[None, Some(2)]), None);
    }
}
