//! Every variant of every query on every version that it claims, as the least-privileged login.

use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::queries::{ALL as QUERIES, Query};
use pgadvisor::postgres::{Identifier, OurSql, PostgresError, Server};
use tokio_postgres::types::{ToSql, Type};

use crate::harness::{ALL, Cluster, present, some_versions};

/// The parameters that a file takes.
fn parameters(sql: OurSql) -> Vec<(&'static (dyn ToSql + Sync), Type)> {
    static LIMIT: i64 = 10;
    static NO_IDS: Vec<i64> = Vec::new();
    static NO_OIDS: Vec<u32> = Vec::new();
    match sql.name {
        "statement_texts.sql" => vec![(&NO_IDS, Type::INT8_ARRAY), (&LIMIT, Type::INT8)],
        "index_definitions.sql" | "relation_sizes.sql" => vec![(&NO_OIDS, Type::OID_ARRAY)],
        name if name.contains("counters") || name.contains("catalog") => vec![(&LIMIT, Type::INT8)],
        "statements.sql" | "statements.17.sql" => vec![(&LIMIT, Type::INT8)],
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

#[tokio::test]
async fn a_guarded_session_cannot_write_whatever_the_role_is_set_to() {
    let cluster = Cluster::start(15).await;
    cluster
        .sql(
            "postgres",
            "CREATE SCHEMA evil; CREATE FUNCTION evil.left(text, int) RETURNS text LANGUAGE sql AS $$ SELECT 'hijacked' $$;
             ALTER ROLE postgres SET search_path = evil, pg_catalog; ALTER ROLE postgres SET default_transaction_read_only = off",
        )
        .await;
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: None,
    };
    let server =
        Server::new(ConnInfo::parse(&cluster.dsn("postgres", "postgres"), &environment).unwrap()).unwrap();
    let session = server.observe_home().await.unwrap();
    let rows = session
        .rows(pgadvisor::postgres::queries::SETTINGS.on(150_000), &[])
        .await
        .unwrap();
    assert!(rows.len() > 20);
    let settings = cluster.connect("postgres").await;
    let read = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgadvisor'";
    let sessions: i64 = settings.query_one(read, &[]).await.unwrap().get(0);
    assert_eq!(sessions, 1);
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
