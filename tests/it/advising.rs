//! Index advice while the daemon runs, by the logins that `pgadvisor setup` prints.

use std::time::Duration;

use crate::command_line::conforms;
use crate::daemon::Daemon;
use crate::harness::{Cluster, eventually_within, pgadvisor};

const TABLES: &str = "
    CREATE ROLE app LOGIN;
    CREATE SCHEMA shop AUTHORIZATION app;
    ALTER ROLE app SET search_path = shop;
    CREATE TABLE shop.orders (id int PRIMARY KEY, customer int NOT NULL, note text);
    INSERT INTO shop.orders SELECT n, n % 5000, repeat('x', 100) FROM generate_series(1, 100000) AS n;
    ALTER TABLE shop.orders OWNER TO app;
    ANALYZE";

#[tokio::test]
async fn the_logins_of_setup_find_what_is_missing_and_leave_no_trace() {
    let cluster = Cluster::start(17).await;
    cluster.sql("postgres", TABLES).await;
    let setup = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
    cluster.sql("postgres", &setup).await;
    cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
    let app = cluster.try_connect("app", "postgres").await.unwrap();
    for customer in 0..20 {
        let sql = format!("SELECT note FROM orders WHERE customer = {customer}");
        app.batch_execute(&sql).await.unwrap();
        app.batch_execute("SELECT note FROM orders WHERE id = 7")
            .await
            .unwrap();
    }
    cluster.end(app).await;
    let traces = "SELECT idx_scan + (SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%orders%')
                  FROM pg_stat_user_indexes WHERE relname = 'orders'";
    let before = cluster.number("postgres", traces).await;
    assert!(before > 20, "{before}");

    let planner = format!(
        "planner_dsn = \"{}\"",
        cluster.dsn("pgadvisor_planner", "postgres")
    );
    let daemon = Daemon::start(&cluster.dsn("pgadvisor", "postgres"), &planner);
    // totals since a reset are a window from a minute on
    let while_it_fills = Duration::from_secs(150);
    eventually_within(while_it_fills, "the finding", || async {
        daemon.has("index.missing")
    })
    .await;
    let finding = daemon.findings("?rule=index.missing").pop().expect("one finding");
    conforms("finding.schema.json", &finding);
    assert_eq!(finding["object"]["schema"], "shop");
    assert_eq!(finding["severity"], "warning");
    assert_eq!(finding["confidence"]["level"], "verified");
    let apply = finding["remedy"]["apply_sql"][0].as_str().unwrap();
    assert!(
        apply.starts_with("CREATE INDEX CONCURRENTLY orders_customer_idx ON shop.orders"),
        "{apply}"
    );
    let plans = &finding["evidence"]["plans"][0];
    let cost = |side: &str| plans[side][0]["cost"].as_f64().unwrap();
    assert!(cost("before") > 10.0 * cost("after"), "{plans}");
    assert_eq!(
        cluster.number("postgres", traces).await,
        before,
        "looking changed what is looked at"
    );
    cluster.sql("postgres", apply).await;
}

/// `check --wait` while the application works.
async fn checked(cluster: &Cluster, login: &str) -> serde_json::Value {
    let dsn = cluster.dsn(login, "postgres");
    let checking = tokio::task::spawn_blocking(move || {
        pgadvisor()
            .args(["check", &dsn, "--wait", "2s", "--rule", "index.missing"])
            .args(["--format", "json"])
            .output()
            .unwrap()
    });
    let app = cluster.try_connect("app", "postgres").await.unwrap();
    while !checking.is_finished() {
        let sql = "SELECT note FROM orders WHERE customer = 7";
        app.batch_execute(sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = serde_json::from_slice(&checking.await.unwrap().stdout).unwrap();
    conforms("check.schema.json", &answer);
    answer
}

#[tokio::test]
async fn one_look_finds_what_is_missing_where_that_leaves_no_trace() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", TABLES).await;
    cluster
        .sql(
            "postgres",
            "CREATE EXTENSION hypopg; GRANT pg_read_all_stats TO app",
        )
        .await;
    let answer = checked(&cluster, "postgres").await;
    assert_eq!(answer["findings"][0]["object"]["name"], "orders", "{answer}");
    let skipped = |answer: serde_json::Value| {
        let skipped = &answer["skipped"][0];
        let text = |key: &str| skipped[key].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("remedy_sql"))
    };
    let (reason, remedy) = skipped(checked(&cluster, "app").await);
    assert_eq!(remedy, "ALTER ROLE app SET track_counts = off", "{reason}");
    cluster.sql("postgres", &remedy).await;
    let (reason, remedy) = skipped(checked(&cluster, "app").await);
    assert_eq!(
        remedy, "ALTER ROLE app SET pg_stat_statements.track = 'none'",
        "{reason}"
    );
}
