//! The statements that remedies are made of, as SQL.

use super::{qualified, quote_identifier, quote_literal};

/// A value of a storage parameter: a number stands bare, everything else is a constant.
fn plain_or_quoted(value: &str) -> String {
    match value.parse::<f64>().is_ok_and(f64::is_finite) {
        true => value.to_owned(),
        false => quote_literal(value),
    }
}

fn alter_table(schema: &str, table: &str, what: &str) -> String {
    format!("ALTER TABLE {} {what}", qualified(schema, table))
}

fn named(what: &str, name: &str) -> String {
    format!("{what} {}", quote_identifier(name))
}

/// What gives the sessions of a role, a database, or a role in a database their settings.
fn alter_sessions(role: Option<&str>, database: Option<&str>) -> String {
    match (role, database) {
        (Some(role), Some(database)) => {
            format!("{} {}", named("ALTER ROLE", role), named("IN DATABASE", database))
        }
        (Some(role), None) => named("ALTER ROLE", role),
        (None, Some(database)) => named("ALTER DATABASE", database),
        (None, None) => "ALTER ROLE ALL".to_owned(),
    }
}

/// Settings that are lists of names. One constant with commas would be one name to ALTER SYSTEM, and a server with a
/// library of such a name does not start.
const LISTS: [&str; 5] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
];

fn set(name: &str, value: &str) -> String {
    let value = match LISTS.contains(&name) && value.contains(',') {
        true => {
            let items = value
                .split(',')
                .map(|item| quote_literal(item.trim().trim_matches('"')));
            items.collect::<Vec<_>>().join(", ")
        }
        false => quote_literal(value),
    };
    format!("{} = {value}", named("SET", name))
}

/// The statements that remedies are made of.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Statement {
    DropIndexConcurrently {
        schema: String,
        name: String,
    },
    /// For an index of a partitioned table, which PostgreSQL cannot drop concurrently.
    DropIndex {
        schema: String,
        name: String,
    },
    /// An index from the definition that PostgreSQL itself printed (`pg_get_indexdef`), built without blocking writes.
    CreateIndexConcurrently {
        definition: String,
    },
    /// The same for an index of a partitioned table, with its parts on all partitions.
    CreateIndexOnPartitions {
        definition: String,
    },
    /// A unique index on plain columns over all rows, as REFRESH CONCURRENTLY needs it.
    CreateUniqueIndexConcurrently {
        /// Without a name PostgreSQL gives one.
        name: Option<String>,
        schema: String,
        table: String,
        columns: Vec<String>,
    },
    /// An index of ours; keys and predicate are SQL that was made from quoted names or by PostgreSQL itself.
    CreateIndex {
        concurrently: bool,
        /// Not for the partitions of the table.
        only: bool,
        /// Without a name PostgreSQL gives one.
        name: Option<String>,
        schema: String,
        table: String,
        method: &'static str,
        keys: Vec<String>,
        include: Vec<String>,
        predicate: Option<String>,
    },
    /// Makes the index of a partition a part of the index of the whole.
    AttachIndexPartition {
        schema: String,
        name: String,
        partition_schema: String,
        partition: String,
    },
    ReindexIndexConcurrently {
        schema: String,
        name: String,
    },
    /// Its query is SQL that PostgreSQL has planned.
    CreateMaterializedView {
        schema: String,
        name: String,
        query: String,
    },
    DropMaterializedView {
        schema: String,
        name: String,
    },
    RefreshMaterializedView {
        concurrently: bool,
        schema: String,
        name: String,
    },
    DropConstraint {
        schema: String,
        table: String,
        name: String,
    },
    Vacuum {
        schema: String,
        table: String,
        analyze: bool,
        freeze: bool,
    },
    SetStorageParameter {
        schema: String,
        table: String,
        name: &'static str,
        value: String,
    },
    ResetStorageParameter {
        schema: String,
        table: String,
        name: &'static str,
    },
    /// Marks an index for CLUSTER, and takes the mark from the one that had it.
    ClusterOn {
        schema: String,
        table: String,
        index: String,
    },
    /// What logical replication names a row by: the columns of this index, or all of them where there is none.
    ReplicaIdentity {
        schema: String,
        table: String,
        index: Option<String>,
    },
    AllowConnections {
        database: String,
        allow: bool,
    },
    AlterSystemSet {
        name: String,
        value: String,
    },
    AlterSystemReset {
        name: String,
    },
    /// For the default of all roles that `ALTER ROLE ALL` gave.
    AlterAllRolesSet {
        name: String,
        value: String,
    },
    AlterAllRolesReset {
        name: String,
    },
    /// A default for the sessions of one role.
    AlterRoleSet {
        role: String,
        name: &'static str,
        value: String,
    },
    AlterRoleReset {
        role: String,
        name: &'static str,
    },
    /// The same for a role in one database, or for a database; none is every one.
    SessionsSet {
        role: Option<String>,
        database: Option<String>,
        name: &'static str,
        value: String,
    },
    SessionsReset {
        role: Option<String>,
        database: Option<String>,
        name: &'static str,
    },
    ReloadConfiguration,
    Analyze {
        schema: String,
        table: String,
    },
    ValidateConstraint {
        schema: String,
        table: String,
        name: String,
    },
    ValidateDomainConstraint {
        schema: String,
        domain: String,
        name: String,
    },
    SetNotNull {
        schema: String,
        table: String,
        column: String,
    },
    /// An index that is unique becomes a constraint of its name.
    AddUniqueUsing {
        schema: String,
        table: String,
        index: String,
    },
    /// The same with an index that is built at once, for a partitioned table, which takes no other.
    AddUnique {
        schema: String,
        table: String,
        name: String,
        /// As SQL spells them.
        columns: Vec<String>,
        include: Vec<String>,
        nulls_not_distinct: bool,
    },
    /// An index that is unique over columns that are not null becomes the primary key, and takes its name.
    AddPrimaryKeyUsing {
        schema: String,
        table: String,
        index: String,
    },
    AlterColumnType {
        schema: String,
        table: String,
        column: String,
        /// As `format_type` writes it.
        type_name: String,
    },
    AlterSequenceType {
        schema: String,
        name: String,
        type_name: &'static str,
    },
    CancelBackend {
        pid: i32,
    },
    TerminateBackend {
        pid: i32,
    },
    /// In the database in which it was prepared.
    RollbackPrepared {
        gid: String,
    },
    DropReplicationSlot {
        name: String,
    },
    /// On a standby.
    PauseReplay,
    ResumeReplay,
    GrantRole {
        role: &'static str,
        to: String,
    },
    GrantConnect {
        database: String,
        to: String,
    },
    GrantSelect {
        /// Schema and name of each.
        tables: Vec<(String, String)>,
        to: String,
    },
    CreateExtension {
        /// A name that needs no quotes.
        name: &'static str,
    },
}

impl Statement {
    /// The statement as SQL, without a semicolon.
    pub fn sql(&self) -> String {
        match self {
            Self::DropIndexConcurrently { schema, name } => {
                format!("DROP INDEX CONCURRENTLY {}", qualified(schema, name))
            }
            Self::DropIndex { schema, name } => format!("DROP INDEX {}", qualified(schema, name)),
            Self::CreateIndexConcurrently { definition } => {
                definition.replacen("INDEX ", "INDEX CONCURRENTLY ", 1)
            }
            // PostgreSQL prints it with ONLY, which would leave the partitions without
            Self::CreateIndexOnPartitions { definition } => {
                crate::sql::index_with_partitions(definition).unwrap_or_else(|| definition.clone())
            }
            Self::CreateIndex {
                concurrently,
                only,
                name,
                schema,
                table,
                method,
                keys,
                include,
                predicate,
            } => {
                let concurrently = if *concurrently { "CONCURRENTLY " } else { "" };
                let name = name
                    .as_ref()
                    .map_or(String::new(), |name| quote_identifier(name) + " ");
                let include: Vec<String> = include.iter().map(|column| quote_identifier(column)).collect();
                let include = match include.is_empty() {
                    true => String::new(),
                    false => format!(" INCLUDE ({})", include.join(", ")),
                };
                let predicate = predicate
                    .as_ref()
                    .map_or(String::new(), |predicate| format!(" WHERE {predicate}"));
                format!(
                    "CREATE INDEX {concurrently}{name}ON {}{} USING {method} ({}){include}{predicate}",
                    if *only { "ONLY " } else { "" },
                    qualified(schema, table),
                    keys.join(", ")
                )
            }
            Self::AttachIndexPartition {
                schema,
                name,
                partition_schema,
                partition,
            } => format!(
                "ALTER INDEX {} ATTACH PARTITION {}",
                qualified(schema, name),
                qualified(partition_schema, partition)
            ),
            Self::CreateUniqueIndexConcurrently {
                name,
                schema,
                table,
                columns,
            } => format!(
                "CREATE UNIQUE INDEX CONCURRENTLY {}ON {} ({})",
                name.as_ref()
                    .map_or(String::new(), |name| quote_identifier(name) + " "),
                qualified(schema, table),
                columns
                    .iter()
                    .map(|column| quote_identifier(column))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::RefreshMaterializedView {
                concurrently,
                schema,
                name,
            } => format!(
                "REFRESH MATERIALIZED VIEW {}{}",
                if *concurrently { "CONCURRENTLY " } else { "" },
                qualified(schema, name)
            ),
            Self::CreateMaterializedView { schema, name, query } => {
                format!("CREATE MATERIALIZED VIEW {} AS\n{query}", qualified(schema, name))
            }
            Self::DropMaterializedView { schema, name } => {
                format!("DROP MATERIALIZED VIEW {}", qualified(schema, name))
            }
            Self::ReindexIndexConcurrently { schema, name } => {
                format!("REINDEX INDEX CONCURRENTLY {}", qualified(schema, name))
            }
            Self::DropConstraint { schema, table, name } => {
                alter_table(schema, table, &named("DROP CONSTRAINT", name))
            }
            Self::Vacuum {
                schema,
                table,
                analyze,
                freeze,
            } => {
                let options = match (freeze, analyze) {
                    (false, false) => "",
                    (true, false) => "(FREEZE) ",
                    (false, true) => "(ANALYZE) ",
                    (true, true) => "(FREEZE, ANALYZE) ",
                };
                format!("VACUUM {options}{}", qualified(schema, table))
            }
            Self::SetStorageParameter {
                schema,
                table,
                name,
                value,
            } => alter_table(
                schema,
                table,
                &format!("SET ({name} = {})", plain_or_quoted(value)),
            ),
            Self::ResetStorageParameter { schema, table, name } => {
                alter_table(schema, table, &format!("RESET ({name})"))
            }
            Self::ClusterOn { schema, table, index } => {
                alter_table(schema, table, &named("CLUSTER ON", index))
            }
            Self::ReplicaIdentity {
                schema,
                table,
                index: Some(index),
            } => alter_table(schema, table, &named("REPLICA IDENTITY USING INDEX", index)),
            Self::ReplicaIdentity { schema, table, .. } => {
                alter_table(schema, table, "REPLICA IDENTITY FULL")
            }
            Self::AllowConnections { database, allow } => {
                format!("{} ALLOW_CONNECTIONS {allow}", named("ALTER DATABASE", database))
            }
            Self::AlterSystemSet { name, value } => format!("ALTER SYSTEM {}", set(name, value)),
            Self::AlterSystemReset { name } => named("ALTER SYSTEM RESET", name),
            Self::AlterAllRolesSet { name, value } => format!("ALTER ROLE ALL {}", set(name, value)),
            Self::AlterAllRolesReset { name } => named("ALTER ROLE ALL RESET", name),
            Self::AlterRoleSet { role, name, value } => {
                format!("{} {}", named("ALTER ROLE", role), set(name, value))
            }
            Self::AlterRoleReset { role, name } => format!("{} RESET {name}", named("ALTER ROLE", role)),
            Self::SessionsSet {
                role,
                database,
                name,
                value,
            } => format!(
                "{} {}",
                alter_sessions(role.as_deref(), database.as_deref()),
                set(name, value)
            ),
            Self::SessionsReset { role, database, name } => {
                format!(
                    "{} RESET {name}",
                    alter_sessions(role.as_deref(), database.as_deref())
                )
            }
            Self::Analyze { schema, table } => format!("ANALYZE {}", qualified(schema, table)),
            Self::ValidateConstraint { schema, table, name } => {
                alter_table(schema, table, &named("VALIDATE CONSTRAINT", name))
            }
            Self::ValidateDomainConstraint { schema, domain, name } => format!(
                "ALTER DOMAIN {} {}",
                qualified(schema, domain),
                named("VALIDATE CONSTRAINT", name)
            ),
            Self::AddUniqueUsing { schema, table, index } => {
                let what = format!("{} UNIQUE", named("ADD CONSTRAINT", index));
                alter_table(schema, table, &format!("{what} {}", named("USING INDEX", index)))
            }
            Self::AddUnique {
                schema,
                table,
                name,
                columns,
                include,
                nulls_not_distinct,
            } => {
                let include = match include.is_empty() {
                    true => String::new(),
                    false => format!(" INCLUDE ({})", include.join(", ")),
                };
                let nulls = if *nulls_not_distinct {
                    "NULLS NOT DISTINCT "
                } else {
                    ""
                };
                let what = format!("UNIQUE {nulls}({}){include}", columns.join(", "));
                alter_table(
                    schema,
                    table,
                    &format!("{} {what}", named("ADD CONSTRAINT", name)),
                )
            }
            Self::SetNotNull {
                schema,
                table,
                column,
            } => alter_table(
                schema,
                table,
                &format!("{} SET NOT NULL", named("ALTER COLUMN", column)),
            ),
            Self::AddPrimaryKeyUsing { schema, table, index } => {
                alter_table(schema, table, &named("ADD PRIMARY KEY USING INDEX", index))
            }
            Self::AlterColumnType {
                schema,
                table,
                column,
                type_name,
            } => alter_table(
                schema,
                table,
                &format!("{} TYPE {type_name}", named("ALTER COLUMN", column)),
            ),
            Self::AlterSequenceType {
                schema,
                name,
                type_name,
            } => format!("ALTER SEQUENCE {} AS {type_name}", qualified(schema, name)),
            Self::CancelBackend { pid } => format!("SELECT pg_catalog.pg_cancel_backend({pid})"),
            Self::TerminateBackend { pid } => format!("SELECT pg_catalog.pg_terminate_backend({pid})"),
            Self::RollbackPrepared { gid } => format!("ROLLBACK PREPARED {}", quote_literal(gid)),
            Self::DropReplicationSlot { name } => {
                format!(
                    "SELECT pg_catalog.pg_drop_replication_slot({})",
                    quote_literal(name)
                )
            }
            Self::PauseReplay => "SELECT pg_catalog.pg_wal_replay_pause()".to_owned(),
            Self::ResumeReplay => "SELECT pg_catalog.pg_wal_replay_resume()".to_owned(),
            Self::ReloadConfiguration => "SELECT pg_catalog.pg_reload_conf()".to_owned(),
            Self::GrantRole { role, to } => format!("GRANT {role} TO {}", quote_identifier(to)),
            Self::GrantConnect { database, to } => format!(
                "GRANT CONNECT ON DATABASE {} TO {}",
                quote_identifier(database),
                quote_identifier(to)
            ),
            Self::GrantSelect { tables, to } => {
                let names: Vec<String> = tables
                    .iter()
                    .map(|(schema, name)| qualified(schema, name))
                    .collect();
                format!(
                    "GRANT SELECT ON TABLE {} TO {}",
                    names.join(", "),
                    quote_identifier(to)
                )
            }
            // the search_path of whoever runs this may begin with an application's schema
            Self::CreateExtension { name } => {
                format!("{} SCHEMA {EXTENSIONS_SCHEMA}", named(CREATE_EXTENSION, name))
            }
        }
    }
}

/// Where extensions are created, as by `pgadvisor setup`: what they bring is named in it.
pub const EXTENSIONS_SCHEMA: &str = "public";

const CREATE_EXTENSION: &str = "CREATE EXTENSION IF NOT EXISTS";

/// The extension that a statement of a remedy creates; none where it does something else.
pub fn created_extension(sql: &str) -> Option<&str> {
    sql.strip_prefix(CREATE_EXTENSION)?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_extension_goes_where_setup_puts_it_and_is_known_by_its_statement() {
        let sql = Statement::CreateExtension { name: "hypopg" }.sql();
        assert_eq!(sql, "CREATE EXTENSION IF NOT EXISTS hypopg SCHEMA public");
        assert_eq!(created_extension(&sql), Some("hypopg"));
        assert_eq!(created_extension("CREATE INDEX hypopg ON a (b)"), None);
    }

    #[test]
    fn every_statement_is_one_that_the_parser_takes() {
        let text = || "a 'b' \"c\"".to_owned();
        let parameter = |value: &str| Statement::SetStorageParameter {
            schema: text(),
            table: text(),
            name: "autovacuum_enabled",
            value: value.into(),
        };
        let statements = [
            parameter("0.01"),
            parameter("-1e-3"),
            parameter("off"),
            parameter("0); DROP TABLE x; --"),
            Statement::ClusterOn {
                schema: text(),
                table: text(),
                index: text(),
            },
            Statement::ReplicaIdentity {
                schema: text(),
                table: text(),
                index: Some(text()),
            },
            Statement::ReplicaIdentity {
                schema: text(),
                table: text(),
                index: None,
            },
            Statement::ValidateDomainConstraint {
                schema: text(),
                domain: text(),
                name: text(),
            },
            Statement::AddUniqueUsing {
                schema: text(),
                table: text(),
                index: text(),
            },
            Statement::AddUnique {
                schema: text(),
                table: text(),
                name: text(),
                columns: vec!["a".into(), "\"B c\"".into()],
                include: vec!["d".into()],
                nulls_not_distinct: true,
            },
            Statement::AllowConnections {
                database: text(),
                allow: true,
            },
            Statement::AlterAllRolesSet {
                name: "track_counts".into(),
                value: text(),
            },
            Statement::AlterAllRolesReset {
                name: "track_counts".into(),
            },
            Statement::AlterSystemSet {
                name: "autovacuum".into(),
                value: text(),
            },
            Statement::AlterSystemSet {
                name: "shared_preload_libraries".into(),
                value: "auto_explain,$libdir/x, pg_stat_statements".into(),
            },
            Statement::AlterRoleSet {
                role: text(),
                name: "work_mem",
                value: text(),
            },
            Statement::AlterRoleReset {
                role: text(),
                name: "work_mem",
            },
            Statement::SessionsSet {
                role: Some(text()),
                database: Some(text()),
                name: "work_mem",
                value: text(),
            },
            Statement::SessionsSet {
                role: None,
                database: Some(text()),
                name: "work_mem",
                value: text(),
            },
            Statement::SessionsReset {
                role: Some(text()),
                database: Some(text()),
                name: "work_mem",
            },
            Statement::SessionsReset {
                role: None,
                database: Some(text()),
                name: "work_mem",
            },
            Statement::Analyze {
                schema: text(),
                table: text(),
            },
            Statement::ValidateConstraint {
                schema: text(),
                table: text(),
                name: text(),
            },
            Statement::SetNotNull {
                schema: text(),
                table: text(),
                column: text(),
            },
            Statement::AddPrimaryKeyUsing {
                schema: text(),
                table: text(),
                index: text(),
            },
            Statement::AlterColumnType {
                schema: text(),
                table: text(),
                column: text(),
                type_name: "character varying(40)".into(),
            },
            Statement::AlterSequenceType {
                schema: text(),
                name: text(),
                type_name: "bigint",
            },
            Statement::RollbackPrepared { gid: text() },
            Statement::DropReplicationSlot { name: text() },
            Statement::PauseReplay,
            Statement::ResumeReplay,
            Statement::GrantSelect {
                tables: vec![(text(), text()), (text(), text())],
                to: text(),
            },
        ];
        for statement in statements {
            let sql = statement.sql();
            assert_eq!(crate::sql::statement_count(&sql).unwrap(), 1, "{sql}");
        }
        let libraries = Statement::AlterSystemSet {
            name: "shared_preload_libraries".into(),
            value: "auto_explain, pg_stat_statements".into(),
        };
        assert!(
            libraries
                .sql()
                .ends_with("= 'auto_explain', 'pg_stat_statements'"),
            "one constant would be one name"
        );
        assert!(
            parameter("0.01")
                .sql()
                .ends_with("SET (autovacuum_enabled = 0.01)")
        );
    }

    proptest! {
        /// Whatever a name holds, PostgreSQL's parser finds one statement and the very same name in it.
        #[test]
        fn names_survive_the_parser(schema in "[^\0]{1,12}", name in "[^\0]{1,12}") {
            let sql = Statement::DropIndexConcurrently { schema: schema.clone(), name: name.clone() }.sql();
            prop_assert_eq!(crate::sql::dropped_names(&sql).unwrap(), vec![vec![schema.clone(), name.clone()]]);
            let vacuum = Statement::Vacuum { schema, table: name, analyze: true, freeze: true }.sql();
            prop_assert_eq!(crate::sql::statement_count(&vacuum).unwrap(), 1);
        }
    }
}
