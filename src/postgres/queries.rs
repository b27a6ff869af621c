//! The texts of `queries/`, each with the oldest version that its variant serves. Every variant of one query returns the
//! same columns with the same types, so nothing else in the crate branches on a version.

use super::OurSql;

/// A query and its variants for newer versions, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// (oldest major version of the server that it is written for, text)
    variants: &'static [(i32, OurSql)],
}

impl Query {
    /// The variant for a server of this `server_version_num`; a newer server than any that we know gets the newest.
    pub fn on(&self, version_num: i32) -> OurSql {
        let fitting = self
            .variants
            .iter()
            .rev()
            .find(|(since, _)| version_num / 10_000 >= *since);
        fitting.unwrap_or(&self.variants[0]).1
    }

    /// Every variant with the version it starts at, for the test that prepares them all.
    pub fn variants(&self) -> &'static [(i32, OurSql)] {
        self.variants
    }
}

/// A text without its first lines of comment. They are for people, and have characters that a server whose encoding lacks
/// them (LATIN2, say) refuses, even in a comment.
const fn without_header(text: &'static str) -> &'static str {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() && bytes[at] == b'-' && bytes[at + 1] == b'-' {
        while at < bytes.len() && bytes[at] != b'\n' {
            at += 1;
        }
        at += 1;
    }
    text.split_at(at).1
}

macro_rules! file {
    ($name:literal) => {
        OurSql {
            name: $name,
            text: without_header(include_str!(concat!("../../queries/", $name))),
        }
    };
}

/// Settings of newer versions for a guarded session.
pub const GUARD: OurSql = file!("guard.sql");
/// Planning probes the ends of indexes, which would count as their use.
pub const LEAVE_COUNTERS: Query = Query {
    variants: &[
        (14, file!("leave_counters.sql")),
        (15, file!("leave_counters.15.sql")),
    ],
};
/// What is planned would become an entry of pg_stat_statements.
pub const LEAVE_STATEMENTS: Query = Query {
    variants: &[
        (14, file!("leave_statements.sql")),
        (15, file!("leave_statements.15.sql")),
    ],
};
/// What this planning session leaves alone, and where HypoPG is.
pub const PLANNER: OurSql = file!("planner.sql");
/// A hypothetical index of this session, and how large it would be.
pub const HYPOPG_CREATE: OurSql = file!("hypopg_create.sql");
/// Hypothetical indexes that are no longer wanted.
pub const HYPOPG_DROP: OurSql = file!("hypopg_drop.sql");
/// Drops the hypothetical indexes that a failed statement left behind.
pub const HYPOPG_DROP_OTHERS: OurSql = file!("hypopg_drop_others.sql");
/// Forgets all hypothetical indexes of this session.
pub const HYPOPG_RESET: OurSql = file!("hypopg_reset.sql");
/// Hides real indexes from this session's planner (HypoPG 1.4).
pub const HYPOPG_HIDE: OurSql = file!("hypopg_hide.sql");
/// Shows all real indexes to this session's planner again (HypoPG 1.4).
pub const HYPOPG_UNHIDE: OurSql = file!("hypopg_unhide.sql");
/// What planning one statement needs, for one transaction.
pub const PLANNING_SETTINGS: OurSql = file!("planning_settings.sql");
/// Scans of indexes that planning counted.
pub const OWN_SCANS: Query = Query {
    variants: &[(14, file!("own_scans.sql")), (16, file!("own_scans.16.sql"))],
};
/// Where a search_path finds the names that a plan writes bare.
pub const PLAN_SCHEMAS: OurSql = file!("plan_schemas.sql");
/// How many parameters the statement has that is being planned.
/// Ends a session of our own login that does not answer any more.
pub const TERMINATE: OurSql = file!("terminate.sql");
/// Whose code may run while a statement is planned.
pub const GATE_OWNERS: OurSql = file!("gate_owners.sql");
/// Where roles that are not trusted have code.
pub const GATE_CODE: OurSql = file!("gate_code.sql");
/// What the names of a statement may mean.
pub const GATE_NAMES: OurSql = file!("gate_names.sql");
/// What planning can touch.
pub const GATE_WALK: OurSql = file!("gate_walk.sql");
/// The search_path that a role was given.
pub const GATE_SEARCH_PATH: OurSql = file!("gate_search_path.sql");
/// The search_path of the configuration file.
pub const GATE_FILE_SETTINGS: OurSql = file!("gate_file_settings.sql");
/// Which schemas exist and may be used.
pub const GATE_SCHEMAS: OurSql = file!("gate_schemas.sql");
/// Types of columns.
pub const ADVISE_COLUMNS: OurSql = file!("advise_columns.sql");
/// What indexes that may be dropped are made of.
pub const ADVISE_DROPS: OurSql = file!("advise_drops.sql");
/// Indexes with their keys.
pub const ADVISE_INDEXES: OurSql = file!("advise_indexes.sql");
/// Which names are taken.
pub const ADVISE_NAMES: OurSql = file!("advise_names.sql");
/// What is below partitioned tables.
pub const ADVISE_PARTITIONS: OurSql = file!("advise_partitions.sql");
/// The costliest statements of a database.
pub const ADVISE_STATEMENTS: OurSql = file!("advise_statements.sql");
/// Extended statistics with their expressions.
pub const ADVISE_STATISTICS: OurSql = file!("advise_statistics.sql");
/// Size and kind of tables, by name.
pub const ADVISE_TABLES: OurSql = file!("advise_tables.sql");
/// Where pg_trgm is installed.
pub const ADVISE_TRIGRAMS: OurSql = file!("advise_trigrams.sql");
/// Values of columns.
pub const ADVISE_VALUES: OurSql = file!("advise_values.sql");
/// Since when pg_stat_statements counts.
pub const ADVISE_WINDOW: OurSql = file!("advise_window.sql");
/// What was written to tables.
pub const ADVISE_WRITES: OurSql = file!("advise_writes.sql");
/// The search_path of a login.
pub const SEARCH_PATH: OurSql = file!("search_path.sql");
/// Sets the search_path.
pub const SET_SEARCH_PATH: OurSql = file!("set_search_path.sql");
/// Definitions of materialized views.
pub const MATVIEW_DEFINITIONS: OurSql = file!("matview_definitions.sql");
/// What views read.
pub const REFRESH_REFERENCES: OurSql = file!("refresh_references.sql");
/// What tells whether relations have changed.
pub const REFRESH_RELATIONS: OurSql = file!("refresh_relations.sql");
/// The server as a refresher sees it.
pub const REFRESH_SERVER: OurSql = file!("refresh_server.sql");
/// The last runs by anybody.
pub const REFRESH_RECORD: OurSql = file!("refresh_record.sql");
/// Forgets old runs.
pub const REFRESH_RECORD_PRUNE: OurSql = file!("refresh_record_prune.sql");
/// Takes a due moment.
pub const REFRESH_CLAIM: OurSql = file!("refresh_claim.sql");
/// Ends a due moment.
pub const REFRESH_CLAIM_END: OurSql = file!("refresh_claim_end.sql");
/// One refresher for each view.
pub const REFRESH_LOCK: OurSql = file!("refresh_lock.sql");
/// One view as it is now.
pub const REFRESH_STATE: OurSql = file!("refresh_state.sql");
/// The size of a view.
pub const ADVISE_RELATIONS: OurSql = file!("advise_relations.sql");
#[allow(missing_docs)]
pub const ADVISE_FUNCTIONS: OurSql = file!("advise_functions.sql");
/// What functions, operators, casts and types take and give.
pub const ADVISE_SIGNATURES: OurSql = file!("advise_signatures.sql");
#[allow(missing_docs)]
pub const REFRESH_LOCKS: OurSql = file!("refresh_locks.sql");
#[allow(missing_docs)]
pub const REFRESH_COUNTED: OurSql = file!("refresh_counted.sql");
#[allow(missing_docs)]
pub const REFRESH_SIZE: OurSql = file!("refresh_size.sql");
/// Makes counters seen at once (from 15).
pub const REFRESH_FLUSH: OurSql = file!("refresh_flush.sql");
/// Who waits while a view is refreshed.
pub const REFRESH_WATCH: OurSql = file!("refresh_watch.sql");
/// What a refresh may take.
pub const REFRESH_SETTINGS: OurSql = file!("refresh_settings.sql");
/// Materialized views.
pub const REFRESH_VIEWS: Query = Query {
    variants: &[(14, file!("refresh_views.sql"))],
};
/// The server as a whole.
pub const SERVER: Query = Query {
    variants: &[(14, file!("server.sql"))],
};
/// Its checkpoints.
pub const CHECKPOINTS: Query = Query {
    variants: &[(14, file!("checkpoints.sql")), (17, file!("checkpoints.17.sql"))],
};
/// What a server shares with its standbys.
pub const SYSTEM_IDENTIFIER: Query = Query {
    variants: &[(14, file!("system_identifier.sql"))],
};
/// Which history a primary writes.
pub const TIMELINE: Query = Query {
    variants: &[(14, file!("timeline.sql"))],
};
/// Settings that rules read.
pub const SETTINGS: Query = Query {
    variants: &[(14, file!("settings.sql"))],
};
/// All databases.
pub const DATABASES: Query = Query {
    variants: &[(14, file!("databases.sql"))],
};
/// Role names.
pub const ROLES: Query = Query {
    variants: &[(14, file!("roles.sql"))],
};
/// work_mem of roles and databases.
pub const ROLE_SETTINGS: Query = Query {
    variants: &[(14, file!("role_settings.sql"))],
};
/// Extensions by which managed services show themselves, and the one that rules advise.
pub const AVAILABLE_EXTENSIONS: Query = Query {
    variants: &[(14, file!("available_extensions.sql"))],
};
/// Who keeps old row versions.
pub const XMIN_HOLDERS: Query = Query {
    variants: &[(14, file!("xmin_holders.sql"))],
};
/// Where pg_stat_statements is installed.
pub const EXTENSION: Query = Query {
    variants: &[(14, file!("extension.sql"))],
};
/// Counters of pg_stat_statements; chosen by the extension's version (1.11 came with 17).
pub const STATEMENTS: Query = Query {
    variants: &[(14, file!("statements.sql")), (17, file!("statements.17.sql"))],
};
/// Reset and evictions of pg_stat_statements.
pub const STATEMENTS_INFO: Query = Query {
    variants: &[(14, file!("statements_info.sql"))],
};
/// Texts of statements not seen before.
pub const STATEMENT_TEXTS: Query = Query {
    variants: &[(14, file!("statement_texts.sql"))],
};
/// Databases whose texts may be the ones that cannot be read.
pub const STATEMENT_ENCODINGS: Query = Query {
    variants: &[(14, file!("statement_encodings.sql"))],
};
/// Counters of tables.
pub const TABLE_COUNTERS: Query = Query {
    variants: &[(14, file!("table_counters.sql"))],
};
/// Counters of indexes.
pub const INDEX_COUNTERS: Query = Query {
    variants: &[
        (14, file!("index_counters.sql")),
        (16, file!("index_counters.16.sql")),
    ],
};
/// Names and facts of tables.
pub const TABLE_CATALOG: Query = Query {
    variants: &[
        (14, file!("table_catalog.sql")),
        (15, file!("table_catalog.15.sql")),
    ],
};
/// Names and facts of indexes.
pub const INDEX_CATALOG: Query = Query {
    variants: &[
        (14, file!("index_catalog.sql")),
        (15, file!("index_catalog.15.sql")),
    ],
};
/// Definitions of indexes, by OID.
pub const INDEX_DEFINITIONS: Query = Query {
    variants: &[(14, file!("index_definitions.sql"))],
};
/// Real sizes of relations, by OID.
pub const RELATION_SIZES: Query = Query {
    variants: &[(14, file!("relation_sizes.sql"))],
};
/// VACUUM and index builds that are running.
pub const PROGRESS: Query = Query {
    variants: &[(14, file!("progress.sql"))],
};
/// What sessions do.
pub const SESSIONS: Query = Query {
    variants: &[(14, file!("sessions.sql"))],
};
/// What sessions of clients do at this moment, counted.
pub const SAMPLES: Query = Query {
    variants: &[(14, file!("samples.sql"))],
};
/// Locks that are waited for.
pub const AWAITED_LOCKS: Query = Query {
    variants: &[(14, file!("awaited_locks.sql"))],
};
/// Locks that some sessions hold.
pub const HELD_LOCKS: Query = Query {
    variants: &[(14, file!("held_locks.sql"))],
};
/// Prepared transactions.
pub const PREPARED_TRANSACTIONS: Query = Query {
    variants: &[(14, file!("prepared_transactions.sql"))],
};
/// Standbys that are connected.
pub const STANDBYS: Query = Query {
    variants: &[(14, file!("standbys.sql"))],
};
/// How a standby keeps up.
pub const REPLAY: Query = Query {
    variants: &[(14, file!("replay.sql"))],
};
/// Where a primary stands in its WAL.
pub const WAL_POSITION: Query = Query {
    variants: &[(14, file!("wal_position.sql"))],
};
/// How tables were read and written.
pub const TABLE_ACTIVITY: Query = Query {
    variants: &[
        (14, file!("table_activity.sql")),
        (16, file!("table_activity.16.sql")),
    ],
};
/// Foreign keys.
pub const FOREIGN_KEYS: Query = Query {
    variants: &[
        (14, file!("foreign_keys.sql")),
        (18, file!("foreign_keys.18.sql")),
    ],
};
/// Constraints that are NOT VALID.
pub const CONSTRAINTS_NOT_VALID: Query = Query {
    variants: &[
        (14, file!("constraints_not_valid.sql")),
        (18, file!("constraints_not_valid.18.sql")),
    ],
};
/// Sequences.
pub const SEQUENCES: Query = Query {
    variants: &[(14, file!("sequences.sql"))],
};
/// Tables that inherit from others.
pub const INHERITED_TABLES: Query = Query {
    variants: &[(14, file!("inherited_tables.sql"))],
};
/// Where some sequences stand.
pub const SEQUENCE_VALUES: Query = Query {
    variants: &[(14, file!("sequence_values.sql"))],
};
/// What keeps columns of some tables from getting another type.
pub const COLUMN_USERS: Query = Query {
    variants: &[(14, file!("column_users.sql"))],
};
/// What ANALYZE found out about the columns that some indexes begin with.
pub const COLUMN_STATISTICS: Query = Query {
    variants: &[(14, file!("column_statistics.sql"))],
};
/// Replication slots.
pub const REPLICATION_SLOTS: Query = Query {
    variants: &[
        (14, file!("replication_slots.sql")),
        (17, file!("replication_slots.17.sql")),
    ],
};
/// Rights of the login.
pub const PRIVILEGES: Query = Query {
    variants: &[(14, file!("privileges.sql"))],
};

/// All queries, for the tests.
pub const ALL: &[Query] = &[
    SERVER,
    SYSTEM_IDENTIFIER,
    TIMELINE,
    SETTINGS,
    DATABASES,
    ROLES,
    ROLE_SETTINGS,
    AVAILABLE_EXTENSIONS,
    XMIN_HOLDERS,
    EXTENSION,
    STATEMENTS,
    STATEMENTS_INFO,
    STATEMENT_TEXTS,
    STATEMENT_ENCODINGS,
    TABLE_COUNTERS,
    INDEX_COUNTERS,
    TABLE_CATALOG,
    INDEX_CATALOG,
    INDEX_DEFINITIONS,
    RELATION_SIZES,
    PROGRESS,
    PRIVILEGES,
    SESSIONS,
    SAMPLES,
    AWAITED_LOCKS,
    HELD_LOCKS,
    PREPARED_TRANSACTIONS,
    STANDBYS,
    REPLAY,
    TABLE_ACTIVITY,
    FOREIGN_KEYS,
    CONSTRAINTS_NOT_VALID,
    SEQUENCES,
    INHERITED_TABLES,
    SEQUENCE_VALUES,
    COLUMN_USERS,
    COLUMN_STATISTICS,
    REPLICATION_SLOTS,
    REFRESH_VIEWS,
    OWN_SCANS,
    LEAVE_COUNTERS,
    LEAVE_STATEMENTS,
];
