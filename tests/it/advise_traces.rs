//! Looking changes nothing: what the server counted of indexes and of statements is the same after any number of advices,
//! though the planner looks into indexes for them.

use serde_json::Value;
use tokio_postgres::Client;

use crate::harness::{Cluster, eventually, pgadvisor, present};

const SHOP: &str = "
    CREATE ROLE app LOGIN;
    CREATE TABLE orders (id int PRIMARY KEY, customer int, note text);
    INSERT INTO orders SELECT g, g % 5000, 'n' || g FROM generate_series(1, 40000) g;
    CREATE INDEX orders_customer ON orders (customer);
    CREATE TABLE items (id int PRIMARY KEY, order_id int, price int, note text);
    INSERT INTO items SELECT g, g % 40000, g % 100, 'i' || g FROM generate_series(1, 60000) g;
    CREATE INDEX items_order_id ON items (order_id);
    GRANT SELECT ON orders, items TO app";

/// Statements for which the planner probes both ends of indexes: a merge join, ranges at the ends of a column, extremes. And
/// one that lacks an index.
const STATEMENTS: [&str; 5] = [
    "SELECT count(*) FROM orders o JOIN items i ON i.order_id = o.id WHERE o.customer > 4990",
    "SELECT note FROM orders WHERE customer > 4998",
    "SELECT note FROM items WHERE order_id < 2",
    "SELECT max(id) FROM items",
    "SELECT id FROM orders WHERE note = 'n77'",
];

/// A session that is counted nowhere itself.
async fn looker(cluster: &Cluster) -> Client {
    let session = cluster.connect("postgres").await;
    session
        .batch_execute("SET pg_stat_statements.track = 'none'; SET track_counts = off")
        .await
        .unwrap();
    session
}

/// Waits until every other session has ended, and so told what it counted: a backend does that before it is gone.
async fn alone(looker: &Client) {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    eventually("all other sessions have ended", || async {
        let count: i64 = looker.query_one(others, &[]).await.unwrap().get(0);
        count == 0
    })
    .await;
}

/// Every index with its counters, and every statement with its calls, but for what the observer asked: a line for each.
async fn counted(looker: &Client, version: u32) -> Vec<String> {
    let last = if version >= 16 { "last_idx_scan" } else { "NULL" };
    let indexes = format!(
        "SELECT concat_ws(' ', indexrelid::regclass, idx_scan, idx_tup_read, idx_tup_fetch, {last})
         FROM pg_stat_user_indexes ORDER BY indexrelid"
    );
    let statements = "SELECT concat_ws(' ', userid::regrole, queryid, toplevel, calls, left(query, 100)) FROM pg_stat_statements
         WHERE userid::regrole::text <> 'pgadvisor' ORDER BY userid, queryid, toplevel";
    let mut lines = Vec::new();
    for sql in [indexes.as_str(), statements] {
        let rows = looker.query(sql, &[]).await.unwrap();
        lines.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    lines
}

/// The application works, and its session ends.
async fn work(cluster: &Cluster) {
    let app = cluster.try_connect("app", "postgres").await.unwrap();
    for statement in STATEMENTS.iter().cycle().take(4 * STATEMENTS.len()) {
        app.batch_execute(statement).await.unwrap();
    }
}

/// One advice: something must have been planned, and tried with indexes that are not there.
fn advise(arguments: &[&str]) {
    let output = pgadvisor()
        .args(["advise", "--format", "json"])
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = answer["statements"].as_array().unwrap();
    let planned = |table: &str| {
        let of_table = |one: &&Value| one["text"].as_str().unwrap_or_default().contains(table);
        told.iter()
            .filter(of_table)
            .any(|one| one["cost_after"].is_number())
    };
    assert!(planned("JOIN items") && planned("customer > "), "{answer}");
    let improved = told.iter().any(|one| one["status"] == "improved");
    assert!(improved, "{answer}");
}

#[tokio::test]
async fn any_number_of_advices_leaves_the_counters_as_they_were() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let setup = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
        cluster.sql("postgres", &setup).await;
        // all rows are visible to all, so that the ends of indexes can be read
        cluster.sql("postgres", "VACUUM ANALYZE orders").await;
        cluster.sql("postgres", "VACUUM ANALYZE items").await;
        cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
        let looker = looker(&cluster).await;
        work(&cluster).await;
        alone(&looker).await;
        let before = counted(&looker, version).await;
        assert!(before.len() >= 4 + STATEMENTS.len(), "on {version}: {before:?}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let server = format!(
            "[[servers]]\nname = \"main\"\ndsn = \"{}\"\nplanner_dsn = \"{}\"\n",
            cluster.dsn("pgadvisor", "postgres"),
            cluster.dsn("pgadvisor_planner", "postgres")
        );
        std::fs::write(&file, server).unwrap();
        let workload = folder.path().join("workload.sql");
        std::fs::write(&workload, STATEMENTS.join(";\n")).unwrap();
        let superuser = cluster.dsn("postgres", "postgres");
        let by_two_logins = ["--config", file.to_str().unwrap()];
        for (who, arguments) in [
            ("superuser", &[superuser.as_str()][..]),
            ("planner", &by_two_logins[..]),
        ] {
            for time in 1..=3 {
                // as they were captured, without their constants, and as they were written, with them
                advise(arguments);
                advise(&[arguments, &["--workload", workload.to_str().unwrap()][..]].concat());
                alone(&looker).await;
                let after = counted(&looker, version).await;
                assert_eq!(after, before, "the {who} for the {time}. time on {version}");
            }
        }
        // a session that leaves nothing alone moves both, so that the counters above could have moved
        let session = cluster.connect("postgres").await;
        for statement in STATEMENTS {
            session
                .batch_execute(&format!("EXPLAIN {statement}"))
                .await
                .unwrap();
        }
        drop(session);
        alone(&looker).await;
        let after = counted(&looker, version).await;
        let of_indexes = |lines: &[String]| lines[..4].to_vec();
        assert_ne!(of_indexes(&after), of_indexes(&before), "on {version}");
        assert!(after.len() > before.len(), "on {version}: {after:?}");
    }
}
