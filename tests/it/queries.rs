//! Every variant of every query on every version that it claims, as the least-privileged login.

use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::queries::{ALL as QUERIES, Query, SETTINGS, STATEMENT_TEXTS};
use pgadvisor::postgres::{Identifier, Observe, OurSql, PostgresError, Server};
use tokio_postgres::types::{ToSql, Type};

use crate::harness::{ALL, Cluster, eventually, present, some_versions};

/// The parameters that a file takes.
fn parameters(sql: OurSql) -> Vec<(&'static (dyn ToSql + Sync), Type)> {
    static LIMIT: i64 = 10;
    static NO_IDS: Vec<i64> = Vec::new();
    static NO_OIDS: Vec<u32> = Vec::new();
    static NO_PIDS: Vec<i32> = Vec::new();
    let name = sql.name.trim_end_matches(".sql").trim_end_matches(".18");
    match sql.name {
        "statement_texts.sql" => vec![(&NO_IDS, Type::INT8_ARRAY), (&LIMIT, Type::INT8)],
        "index_definitions.sql"
        | "relation_sizes.sql"
        | "sequence_values.sql"
        | "column_users.sql"
        | "column_statistics.sql" => {
            vec![(&NO_OIDS, Type::OID_ARRAY)]
        }
        "leave_counters.sql" | "leave_counters.15.sql" => vec![],
        name if name.contains("counters") || name.contains("catalog") => vec![(&LIMIT, Type::INT8)],
        "held_locks.sql" => vec![(&NO_PIDS, Type::INT4_ARRAY), (&LIMIT, Type::INT8)],
        "sessions.sql" => vec![(&LIMIT, Type::INT8), (&true, Type::BOOL), (&LIMIT, Type::INT8)],
        "statements.sql"
        | "statements.17.sql"
        | "refresh_views.sql"
        | "awaited_locks.sql"
        | "samples.sql"
        | "table_activity.sql"
        | "table_activity.16.sql"
        | "role_settings.sql"
        | "roles.sql"
        | "sequences.sql"
        | "inherited_tables.sql" => {
            vec![(&LIMIT, Type::INT8)]
        }
        _ if ["foreign_keys", "constraints_not_valid"].contains(&name) => vec![(&LIMIT, Type::INT8)],
        _ => vec![],
    }
}

fn columns(rows: &[tokio_postgres::Row]) -> Option<Vec<(String, Type)>> {
    let row = rows.first()?;
    Some(
        row.columns()
            .iter()
            .map(|column| (column.name().to_owned(), column.type_().clone()))
            .collect(),
    )
}

async fn run(server: &Server, query: &Query, version: u32) -> Result<(), PostgresError> {
    let session = server.observe_home().await?;
    let mut shape = None;
    for (since, sql) in query
        .variants()
        .iter()
        .filter(|(since, _)| *since as u32 <= version)
    {
        let rows = session
            .rows_in_schema(*sql, &Identifier::new("Odd \"schema"), &parameters(*sql))
            .await?;
        // a variant that returns no row here has no shape to compare
        let this = columns(&rows);
        assert!(
            shape.is_none() || this.is_none() || shape == this,
            "{} since {since} returns other columns",
            sql.name
        );
        shape = shape.or(this);
    }
    Ok(())
}

#[tokio::test]
async fn every_variant_runs_on_every_version_as_the_least_privileged_login() {
    for version in present(&ALL) {
        let cluster = Cluster::start(version).await;
        cluster
            .sql(
                "postgres",
                "DROP EXTENSION pg_stat_statements; CREATE SCHEMA \"Odd \"\"schema\";
                 CREATE EXTENSION pg_stat_statements SCHEMA \"Odd \"\"schema\"; GRANT USAGE ON SCHEMA \"Odd \"\"schema\" TO public;
                 CREATE TABLE t (a int PRIMARY KEY); CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher",
            )
            .await;
        let environment = Environment {
            variables: Default::default(),
            home: None,
            login: None,
        };
        let server =
            Server::new(ConnInfo::parse(&cluster.dsn("watcher", "postgres"), &environment).unwrap()).unwrap();
        for query in QUERIES {
            if let Err(error) = run(&server, query, version).await {
                panic!("on {version}: {}", error.one_line());
            }
        }
    }
}

/// A superuser whose role is set to undo every guard, operators and functions that hide PostgreSQL's own in its search_path
/// and leave a trace, and in the place of pg_stat_statements a function that reports what is in force and tries to write.
const TRAP: &str = r#"
CREATE SCHEMA evil; CREATE SEQUENCE evil.calls; CREATE TABLE evil.written (by text);
CREATE FUNCTION evil.trace(by text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.nextval('evil.calls'); INSERT INTO evil.written VALUES (by); RETURN true;
END $$;
CREATE FUNCTION evil.name_is(name, name) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.trace('=') $$;
CREATE FUNCTION evil.text_is(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.trace('=') $$;
CREATE FUNCTION evil.text_like(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.trace('~~') $$;
CREATE FUNCTION evil.left(text, int) RETURNS text LANGUAGE sql AS $$ SELECT evil.trace('left')::text $$;
CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT evil.trace('set_config')::text $$;
CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.name_is);
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.text_is);
CREATE OPERATOR evil.~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.text_like);

CREATE SCHEMA spy;
CREATE FUNCTION spy.pg_stat_statements(showtext boolean) RETURNS TABLE (queryid bigint, query text) LANGUAGE plpgsql AS $$
DECLARE attempt text;
BEGIN
    queryid := 0;
    FOR query IN SELECT name || ' = ' || setting FROM pg_catalog.pg_settings ORDER BY name LOOP
        queryid := queryid + 1; RETURN NEXT;
    END LOOP;
    FOREACH attempt IN ARRAY ARRAY['INSERT INTO evil.written VALUES (1)', 'SELECT nextval(''evil.calls'')',
        'SELECT setval(''evil.calls'', 7)', 'CREATE TABLE evil.new ()', 'DROP TABLE evil.written',
        'SET TRANSACTION READ WRITE', 'SET default_transaction_read_only = off',
        'SET search_path = evil', 'SET statement_timeout = 0'] LOOP
        BEGIN
            EXECUTE attempt; query := 'done: ' || attempt;
        EXCEPTION WHEN OTHERS THEN
            query := 'refused: ' || attempt;
        END;
        queryid := queryid + 1; RETURN NEXT;
    END LOOP;
END $$;

CREATE ROLE watcher SUPERUSER LOGIN;
ALTER ROLE watcher SET search_path = evil, pg_catalog;
ALTER ROLE watcher SET default_transaction_read_only = off;
ALTER ROLE watcher SET statement_timeout = 0;
ALTER ROLE watcher SET lock_timeout = 0;
ALTER ROLE watcher SET idle_in_transaction_session_timeout = 0;
ALTER ROLE watcher SET idle_session_timeout = '1h';
ALTER ROLE watcher SET client_connection_check_interval = 0;
ALTER ROLE watcher SET jit = on;
ALTER ROLE watcher SET row_security = off;
ALTER ROLE watcher SET standard_conforming_strings = off;
ALTER ROLE watcher SET DateStyle = 'German';
ALTER ROLE watcher SET TimeZone = 'Asia/Kathmandu';
"#;

/// A role that undoes the guards of newer versions too, and what runs before our first statement.
const TRAP_SINCE_17: &str = "
ALTER ROLE watcher SET transaction_timeout = 0;
ALTER ROLE watcher SET restrict_nonsystem_relation_kind = '';
CREATE FUNCTION evil.log_in() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF session_user = 'watcher' THEN INSERT INTO evil.written VALUES ('log-in'); END IF;
EXCEPTION WHEN read_only_sql_transaction THEN NULL;
END $$;
CREATE EVENT TRIGGER log_in ON login EXECUTE FUNCTION evil.log_in();
";

/// What holds in a guarded session, whatever the role is set to.
const IN_FORCE: [&str; 13] = [
    "search_path = pg_catalog,pg_temp",
    "default_transaction_read_only = on",
    "transaction_read_only = on",
    "statement_timeout = 30000",
    "lock_timeout = 200",
    "idle_in_transaction_session_timeout = 60000",
    "idle_session_timeout = 0",
    "client_connection_check_interval = 5000",
    "jit = off",
    "row_security = on",
    "standard_conforming_strings = on",
    "DateStyle = ISO, MDY",
    "TimeZone = UTC",
];
const IN_FORCE_SINCE_17: [&str; 2] = [
    "transaction_timeout = 40000",
    "restrict_nonsystem_relation_kind = foreign-table",
];

/// How often the trap was sprung and how much was written. The role that asks is not the one that was set up.
async fn traces(cluster: &Cluster) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM evil.calls WHERE is_called) + (SELECT count(*) FROM evil.written) + \
               (SELECT count(*) FROM pg_class WHERE relname = 'new')";
    cluster.number("postgres", sql).await
}

/// What the function in the place of pg_stat_statements saw and tried.
async fn spied(session: &Observe) -> Vec<String> {
    let (ids, characters): (Vec<i64>, i64) = ((0..1000).collect(), 1_000_000);
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&ids, Type::INT8_ARRAY), (&characters, Type::INT8)];
    let sql = STATEMENT_TEXTS.on(180_000);
    let rows = session
        .rows_in_schema(sql, &Identifier::new("spy"), &parameters)
        .await;
    rows.unwrap().iter().map(|row| row.get("text")).collect()
}

#[tokio::test]
async fn a_guarded_session_cannot_write_whatever_the_role_is_set_to() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start_with(version, 5432, &["log_statement=all"]).await;
        cluster.sql("postgres", TRAP).await;
        // the same query in a session without guards falls into the trap
        let unguarded = cluster.try_connect("watcher", "postgres").await.unwrap();
        let query = include_str!("../../queries/settings.sql");
        unguarded.batch_execute(query).await.unwrap();
        drop(unguarded);
        assert!(traces(&cluster).await > 1, "on {version}");
        let reset = "ALTER SEQUENCE evil.calls RESTART; TRUNCATE evil.written";
        cluster.sql("postgres", reset).await;
        if version >= 17 {
            cluster.sql("postgres", TRAP_SINCE_17).await;
        }
        for attrs in ["any", "read-write"] {
            let dsn = format!(
                "{} target_session_attrs={attrs}",
                cluster.dsn("watcher", "postgres")
            );
            let server = Server::new(ConnInfo::parse(&dsn, &Environment::default()).unwrap()).unwrap();
            let session = server.observe_home().await.unwrap();
            let settings = session.rows(SETTINGS.on(150_000), &[]).await.unwrap();
            assert!((20..200).contains(&settings.len()), "{}", settings.len());
            // twice, since what the first changed must not outlive its transaction
            for _ in 0..2 {
                let seen = spied(&session).await;
                let newer = IN_FORCE_SINCE_17.iter().filter(|_| version >= 17);
                for expected in IN_FORCE.iter().chain(newer) {
                    assert!(
                        seen.iter().any(|line| line == expected),
                        "{expected} is not in force on {version}"
                    );
                }
                let refused = seen.iter().filter(|line| line.starts_with("refused: ")).count();
                let done: Vec<&String> = seen
                    .iter()
                    .filter(|line| line.starts_with("done: SET "))
                    .collect();
                assert_eq!((refused, done.len()), (6, 3), "on {version}: {seen:?}");
            }
            drop(session);
            let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgadvisor' AND state = 'idle' \
                        AND query = 'COMMIT /* pgadvisor */ TRANSACTION' AND backend_xid IS NULL AND usename = 'watcher'";
            // the session before may be about to end
            eventually("one session is left, idle and without a transaction", || async {
                cluster.number("postgres", idle).await == 1
            })
            .await;
            assert_eq!(traces(&cluster).await, 0, "on {version}");
            // whoever wants a server that can be written gets the guard only after the log-in
            let drop = "DROP EVENT TRIGGER IF EXISTS log_in";
            cluster.sql("postgres", drop).await;
        }
        let log = cluster.log();
        let count = |statement: &str| log.matches(&format!("statement: {statement}\n")).count();
        assert_eq!(
            count("BEGIN /* pgadvisor */ TRANSACTION READ ONLY"),
            count("ROLLBACK /* pgadvisor */ TRANSACTION TO SAVEPOINT pgadvisor_before"),
            "on {version}"
        );
        assert_eq!(
            count("COMMIT /* pgadvisor */ TRANSACTION"),
            6,
            "on {version}: three queries in each of two sessions"
        );
    }
}

#[tokio::test]
async fn no_query_of_ours_calls_what_hides_postgresqls_own() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", TRAP).await;
    let conninfo = ConnInfo::parse(&cluster.dsn("watcher", "postgres"), &Environment::default()).unwrap();
    let session = Server::new(conninfo).unwrap();
    let session = session.observe_home().await.unwrap();
    for query in QUERIES {
        let sql = query.on(180_000);
        let schema = Identifier::new("public");
        let rows = session.rows_in_schema(sql, &schema, &parameters(sql)).await;
        rows.unwrap_or_else(|error| panic!("{}", error.one_line()));
    }
    assert_eq!(traces(&cluster).await, 0);
}

#[tokio::test]
async fn whatever_holds_old_row_versions_back_is_seen() {
    for version in some_versions() {
        let cluster = Cluster::start(version).await;
        // it waits for transactions that are open, so it comes first
        cluster
            .sql(
                "postgres",
                "SELECT pg_create_logical_replication_slot('slot', 'pgoutput')",
            )
            .await;
        let writer = cluster.connect("postgres").await;
        writer
            .batch_execute("BEGIN; SELECT pg_current_xact_id()")
            .await
            .unwrap();
        let reader = cluster.connect("template1").await;
        reader
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            .await
            .unwrap();
        // one that is only connected holds nothing
        let idle = cluster.connect("postgres").await;
        idle.batch_execute("SELECT 1").await.unwrap();
        cluster
            .sql(
                "postgres",
                "BEGIN; CREATE TABLE t (a int); PREPARE TRANSACTION 'gid'",
            )
            .await;
        let environment = Environment {
            variables: Default::default(),
            home: None,
            login: None,
        };
        let dsn = cluster.dsn("postgres", "postgres");
        let server = Server::new(ConnInfo::parse(&dsn, &environment).unwrap()).unwrap();
        let session = server.observe_home().await.unwrap();
        let query = pgadvisor::postgres::queries::XMIN_HOLDERS.on(version as i32 * 10_000);
        let rows = session.rows(query, &[]).await.unwrap();
        let mut seen: Vec<(String, Option<String>, i64, bool)> = rows
            .iter()
            .map(|row| {
                (
                    row.get("kind"),
                    row.get("database"),
                    row.get("age"),
                    row.get("catalogs_only"),
                )
            })
            .collect();
        seen.sort();
        let postgres = || Some("postgres".to_owned());
        assert_eq!(
            seen,
            [
                ("prepared transaction".to_owned(), postgres(), 1, false),
                ("replication slot".to_owned(), None, 2, true),
                ("session".to_owned(), postgres(), 2, false),
                ("session".to_owned(), Some("template1".to_owned()), 2, false),
            ],
            "on {version}"
        );
    }
}
