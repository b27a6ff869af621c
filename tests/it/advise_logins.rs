//! `pgadvisor advise` as the logins that people have: who reads what was captured, who plans it, and what is said of both.

use std::process::Output;

use serde_json::Value;

use crate::harness::{Cluster, pgadvisor, present};

const ORDERS: &str = "
    CREATE EXTENSION hypopg; CREATE EXTENSION IF NOT EXISTS pg_stat_statements; CREATE ROLE app LOGIN;
    CREATE TABLE orders (id int PRIMARY KEY, customer int, item int, note text); GRANT SELECT ON orders TO app;
    INSERT INTO orders SELECT g, g % 5000, g % 7000, repeat('x', 50) FROM generate_series(1, 50000) g; ANALYZE orders;
    CREATE FUNCTION of_item(int) RETURNS bigint LANGUAGE sql AS
        'SELECT count(note) FROM orders o WHERE o.item = $1'";

/// What the application does: a query, and one inside of a function.
async fn work(cluster: &Cluster) {
    cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
    let app = cluster.try_connect("app", "postgres").await.unwrap();
    for value in 0..20 {
        app.query("SELECT note FROM orders WHERE customer = $1", &[&value])
            .await
            .unwrap();
        app.query("SELECT of_item($1)", &[&value]).await.unwrap();
    }
    cluster.end(app).await;
}

fn advise(arguments: &[&str]) -> Output {
    pgadvisor()
        .args(["advise", "--format", "json"])
        .args(arguments)
        .output()
        .unwrap()
}

fn answer(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The columns that begin an advised index.
fn leading(answer: &Value) -> Vec<&str> {
    let indexes = answer["indexes"].as_array().unwrap().iter();
    let mut columns: Vec<&str> = indexes.filter_map(|index| index["columns"][0].as_str()).collect();
    columns.sort_unstable();
    columns
}

#[tokio::test]
async fn a_configured_server_is_read_by_one_login_and_planned_by_the_other() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start_with(version, 5432, &["pg_stat_statements.track=all"]).await;
        cluster.sql("postgres", ORDERS).await;
        let setup = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
        cluster.sql("postgres", &setup).await;
        work(&cluster).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let server = |name: &str| {
            format!(
                "[[servers]]\nname = \"{name}\"\ndsn = \"{}\"\nplanner_dsn = \"{}\"\n",
                cluster.dsn("pgadvisor", "postgres"),
                cluster.dsn("pgadvisor_planner", "postgres")
            )
        };
        std::fs::write(&file, server("one")).unwrap();
        let file = file.to_str().unwrap();
        let only = answer(&advise(&["--config", file]));
        assert_eq!(leading(&only), ["customer", "item"], "on {version}: {only:#}");
        let notes = only["notes"].to_string();
        assert!(
            notes.contains("planned as pgadvisor_planner"),
            "on {version}: {notes}"
        );
        assert!(!notes.contains("GRANT"), "on {version}: {notes}");

        std::fs::write(file, server("one") + &server("two")).unwrap();
        let output = advise(&["--config", file]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("name one with --server: one, two"), "{error}");
        let two = answer(&advise(&["--config", file, "--server", "two"]));
        assert_eq!(leading(&two), ["customer", "item"], "on {version}");
        let output = advise(&["--config", file, "--server", "three"]);
        assert_eq!(output.status.code(), Some(2), "a server that is not there");
    }
}

#[tokio::test]
async fn what_of_the_workload_may_not_be_read_is_said_with_what_mends_it() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", ORDERS).await;
    cluster
        .sql(
            "postgres",
            "CREATE ROLE plain LOGIN; GRANT SELECT ON orders TO plain",
        )
        .await;
    work(&cluster).await;
    let advised = answer(&advise(&[&cluster.dsn("plain", "postgres")]));
    let notes = advised["notes"].to_string();
    assert!(
        notes.contains("may not be read by plain") && notes.contains("GRANT pg_read_all_stats TO plain"),
        "{notes}"
    );
    let statements = advised["statements"].to_string();
    assert!(!statements.contains("insufficient privilege"), "{statements}");
    cluster.sql("postgres", "GRANT pg_read_all_stats TO plain").await;
    let advised = answer(&advise(&[&cluster.dsn("plain", "postgres")]));
    assert_eq!(leading(&advised), ["customer"], "{advised:#}");
}

#[tokio::test]
async fn a_text_that_is_no_utf_8_is_told_with_what_to_do() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", ORDERS).await;
        let database =
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
        cluster.sql("postgres", database).await;
        // the driver only speaks UTF-8: the bytes are made inside the server, SELECT 1 AS "\xe5"
        let invalid = "SET pg_stat_statements.track = 'all';
            DO $$ BEGIN EXECUTE convert_from('\\x53454c45435420312041532022e522', 'SQL_ASCII'); END $$";
        cluster.sql("latin", invalid).await;
        let output = advise(&[&cluster.dsn("postgres", "postgres")]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "on {version}");
        for part in ["pg_stat_statements", "--workload", "pg_stat_statements_reset"] {
            assert!(error.contains(part), "on {version}: {error}");
        }
    }
}

#[tokio::test]
async fn writes_are_priced_whether_or_not_the_login_may_write() {
    let writes = [
        "INSERT INTO orders VALUES (1, 2, 3, 'x')",
        "INSERT INTO orders SELECT id, customer, item, note FROM orders WHERE id = 7",
        "UPDATE orders SET customer = 5 WHERE id = 7",
        "MERGE INTO orders o USING (VALUES (7)) AS n (id) ON o.id = n.id
            WHEN NOT MATCHED THEN INSERT VALUES (7, 7, 7, 'x')",
    ];
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let reader = "CREATE ROLE reader LOGIN; GRANT SELECT ON orders TO reader";
        cluster.sql("postgres", &format!("{ORDERS}; {reader}")).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("workload.sql");
        for login in ["reader", "postgres"] {
            for write in writes {
                for (weight, count) in [(1, 1), (1_000_000, 0)] {
                    let text = format!(
                        "SELECT note FROM orders WHERE customer = 7;\n-- name: write weight: {weight}\n{write};\n"
                    );
                    std::fs::write(&file, text).unwrap();
                    let dsn = cluster.dsn(login, "postgres");
                    let advised = answer(&advise(&[&dsn, "--workload", file.to_str().unwrap()]));
                    assert_eq!(
                        leading(&advised).len(),
                        count,
                        "{weight} × {write} as {login} on {version}"
                    );
                }
            }
        }
    }
}
