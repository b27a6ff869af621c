//! Planning by a login that may not switch off counting: what it counts as use of indexes is known and taken off, and how much of
//! it pg_stat_statements is to hold is bounded.

use std::time::Duration;

use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::{Detail, Parameters, Plan, PostgresError, Server, ServerText};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::dashboard::get;
use crate::harness::{Cluster, eventually, eventually_within, pgadvisor, present};

const SHOP: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, customer int, note text);
    INSERT INTO orders SELECT g, g % 5000, 'n' || g FROM generate_series(1, 40000) g;
    CREATE INDEX orders_customer ON orders (customer);
    CREATE TABLE items (id int PRIMARY KEY, order_id int, price int, note text);
    INSERT INTO items SELECT g, g % 40000, g % 100, 'i' || g FROM generate_series(1, 60000) g;
    CREATE INDEX items_order_id ON items (order_id);
    CREATE ROLE plain LOGIN; GRANT SELECT ON orders, items TO plain";

/// The planner probes the ends of both of its indexes.
const JOIN: &str = "SELECT count(*) FROM orders o JOIN items i ON i.order_id = o.id";

const STATEMENTS: [&str; 4] = [
    JOIN,
    "SELECT note FROM orders WHERE customer > 4998",
    "SELECT note FROM items WHERE order_id < 2",
    "SELECT id FROM orders WHERE note = 'n77'",
];

/// Scans that the server counts, and of how many indexes.
const SCANS: &str = "SELECT coalesce(sum(idx_scan), 0)::int8 FROM pg_stat_user_indexes";
const SCANNED: &str = "SELECT count(*) FROM pg_stat_user_indexes WHERE idx_scan > 0";

/// All rows are visible to all, so that the ends of indexes are found at once.
async fn shop(cluster: &Cluster) {
    // plain planning needs no more
    let hypopg = "SELECT count(*) FROM pg_available_extensions WHERE name = 'hypopg'";
    if cluster.number("postgres", hypopg).await > 0 {
        cluster.sql("postgres", "CREATE EXTENSION hypopg").await;
    }
    cluster.sql("postgres", SHOP).await;
    for table in ["orders", "items"] {
        cluster.sql("postgres", &format!("VACUUM ANALYZE {table}")).await;
    }
}

async fn plan(cluster: &Cluster) -> Plan {
    let conninfo = ConnInfo::parse(&cluster.dsn("plain", "postgres"), &Environment::default()).unwrap();
    Server::new(conninfo).unwrap().plan("postgres").await.unwrap()
}

async fn explain(session: &Plan, text: &str) -> Result<(), PostgresError> {
    let text = ServerText::one_query(text).unwrap();
    let values = Parameters::Values(&[]);
    session
        .explain(&text, "public", values, Detail::Costs)
        .await
        .map(drop)
}

#[tokio::test]
async fn what_planning_counts_is_known_to_the_last_scan() {
    for version in present(&[14, 15, 18]) {
        let cluster = Cluster::start(version).await;
        shop(&cluster).await;
        assert_eq!(cluster.number("postgres", SCANS).await, 0, "on {version}");
        let session = plan(&cluster).await;
        assert!(!session.leaves_counters, "on {version}");
        for _ in 0..5 {
            for statement in STATEMENTS {
                explain(&session, statement).await.unwrap();
            }
            let refused = explain(&session, "SELECT nothing FROM orders").await;
            assert!(refused.is_err(), "on {version}");
            let generic =
                ServerText::one_query("SELECT note FROM orders WHERE customer > $1 ORDER BY id").unwrap();
            session
                .explain(&generic, "public", Parameters::Unknown, Detail::Costs)
                .await
                .unwrap();
        }
        let known = session.traces().take_scans();
        assert!(
            known.iter().all(|(database, _)| database == "postgres"),
            "{known:?}"
        );
        let scans: i64 = known.iter().map(|(_, own)| own.scans).sum();
        assert!(scans >= 10, "on {version}: {known:?}");
        assert_eq!(session.traces().unread(), 0, "on {version}");
        drop(session);
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'plain'";
        eventually("the session has ended", || async {
            cluster.number("postgres", sessions).await == 0
        })
        .await;
        // until 14 counters are read from a file that may be half a second old
        eventually("the server counts as much", || async {
            cluster.number("postgres", SCANS).await == scans
        })
        .await;
        let scanned = cluster.number("postgres", SCANNED).await;
        assert_eq!(scanned, known.len() as i64, "on {version}: {known:?}");
    }
}

#[tokio::test]
async fn no_more_texts_are_planned_than_pg_stat_statements_may_hold_of_them() {
    let cluster = Cluster::start_with(18, 5432, &["pg_stat_statements.max=100"]).await;
    shop(&cluster).await;
    let session = plan(&cluster).await;
    assert!(!session.leaves_statements);
    for statement in [STATEMENTS[0], STATEMENTS[1], STATEMENTS[0]] {
        explain(&session, statement).await.unwrap();
    }
    let refused = explain(&session, STATEMENTS[2]).await.unwrap_err();
    assert!(
        matches!(refused, PostgresError::EnoughTexts { texts: 2 }),
        "{refused:?}"
    );
    explain(&session, STATEMENTS[1]).await.unwrap();
}

#[tokio::test]
async fn one_advice_says_what_its_planning_counted() {
    let cluster = Cluster::start(18).await;
    shop(&cluster).await;
    let folder = tempfile::tempdir().unwrap();
    let workload = folder.path().join("workload.sql");
    std::fs::write(&workload, STATEMENTS.join(";\n")).unwrap();
    let advise = |login: &str| {
        let output = pgadvisor()
            .args(["advise", "--format", "json"])
            .arg(cluster.dsn(login, "postgres"))
            .arg("--workload")
            .arg(&workload)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["notes"].to_string()
    };
    let notes = advise("plain");
    let told = notes.contains("planning counted as") && notes.contains("public.items_order_id");
    assert!(told, "{notes}");
    let notes = advise("postgres");
    assert!(!notes.contains("planning counted as"), "{notes}");
}

/// How often that index was scanned of late, as the daemon says.
fn told_scans(daemon: &Daemon, index: &str) -> Option<u64> {
    let path = "/api/v1/servers/main/postgres/indexes?range=1h";
    let answer = get(&daemon.address, path).json();
    let lines = answer["indexes"].as_array()?.clone();
    let line = lines.iter().find(|line| line["name"] == index)?;
    line["counts"]["scans"].as_u64()
}

/// Whether the status says that as many scans are taken off as the server counts at this moment, and there are some.
async fn all_are_taken_off(cluster: &Cluster, daemon: &Daemon) -> bool {
    let scans = cluster.number("postgres", SCANS).await;
    let scanned = cluster.number("postgres", SCANNED).await;
    let noun = |number: i64, one: &'static str, many: &'static str| if number == 1 { one } else { many };
    let (scan, index) = (noun(scans, "scan", "scans"), noun(scanned, "index", "indexes"));
    let told = format!("use of indexes: {scans} {scan} until now, in {scanned} {index},");
    scans > 0 && get(&daemon.address, "/api/v1/status").body.contains(&told)
}

async fn what_is_planned_is_no_use(version: u32) {
    let cluster = Cluster::start(version).await;
    shop(&cluster).await;
    cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
    // the application's own planning would count, too
    let app = cluster.connect("postgres").await;
    app.batch_execute("SET track_counts = off").await.unwrap();
    let planner = format!("planner_dsn = \"{}\"", cluster.dsn("plain", "postgres"));
    let mut daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), &planner);
    // totals since a reset are a window from a minute on
    let while_it_fills = Duration::from_secs(180);
    eventually_within(while_it_fills, "planning is counted and taken off", || async {
        app.batch_execute(JOIN).await.unwrap();
        all_are_taken_off(&cluster, &daemon).await
    })
    .await;
    let probed = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'items_order_id'";
    let before = cluster.number("postgres", probed).await;
    assert!(before > 0, "on {version}");
    assert_eq!(told_scans(&daemon, "items_order_id"), Some(0), "on {version}");

    // what was counted before is remembered, also of what was still planned at the end; what is counted now comes on top
    daemon.stop("TERM");
    daemon.again();
    eventually_within(while_it_fills, "more is counted and taken off", || async {
        app.batch_execute(JOIN).await.unwrap();
        cluster.number("postgres", probed).await > before && all_are_taken_off(&cluster, &daemon).await
    })
    .await;
    assert_eq!(told_scans(&daemon, "items_order_id"), Some(0), "on {version}");

    let user = cluster.connect("postgres").await;
    user.batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        .await
        .unwrap();
    eventually("use is use", || async {
        let scan = "SELECT note FROM items WHERE order_id = 7";
        user.batch_execute(scan).await.unwrap();
        told_scans(&daemon, "items_order_id").is_some_and(|scans| scans > 0)
    })
    .await;
}

#[tokio::test]
async fn what_the_daemon_plans_is_no_use_of_an_index_on_15() {
    what_is_planned_is_no_use(15).await;
}

#[tokio::test]
async fn what_the_daemon_plans_is_no_use_of_an_index_on_18() {
    what_is_planned_is_no_use(18).await;
}
