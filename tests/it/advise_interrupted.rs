//! `pgadvisor advise` that is interrupted.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command_line::conforms;
use crate::harness::{Cluster, eventually, pgadvisor};

const TABLES: &str = "
    CREATE EXTENSION hypopg;
    CREATE TABLE orders (id int PRIMARY KEY, customer int, made_at timestamptz, note text);
    INSERT INTO orders SELECT g, g % 5000, now() - g * interval '1 min', repeat('x', 50) FROM generate_series(1, 50000) g;
    ANALYZE orders";

/// A function that takes so many seconds while it is planned.
const SLOW: &str = "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN PERFORM pg_sleep($1); RETURN 7; END'";

/// Begins advice with a statement that takes long to plan, and waits until it is planned.
async fn planning_slowly(cluster: &Cluster, arguments: &[&str]) -> Child {
    let child = pgadvisor()
        .args(["advise", &cluster.dsn("postgres", "postgres"), "--format", "json"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let planning = "SELECT count(*) FROM pg_stat_activity
                    WHERE application_name = 'pgadvisor' AND state = 'active' AND query LIKE 'EXPLAIN%slow(%'";
    eventually("the slow statement is planned", || async {
        cluster.number("postgres", planning).await == 1
    })
    .await;
    child
}

fn interrupt(process: u32) {
    let sent = Command::new("kill").args(["-INT", &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn who_interrupts_it_gets_a_set_and_who_does_so_twice_nothing() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", &format!("{TABLES}; {SLOW}")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workload.sql");
    let workload = "-- name: first weight: 100
        SELECT note FROM orders WHERE made_at = $1;
        -- name: slow weight: 10
        SELECT note FROM orders WHERE id = slow(3);
        -- name: late weight: 1
        SELECT note FROM orders WHERE customer = $1";
    std::fs::write(&file, workload).unwrap();
    let child = planning_slowly(&cluster, &["--workload", file.to_str().unwrap()]).await;
    interrupt(child.id());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    conforms("advise.schema.json", &answer);
    assert_eq!(answer["workload"]["stopped"], "interrupted");
    assert_eq!(answer["indexes"][0]["columns"], json!(["made_at"]), "{answer}");
    let late = &answer["statements"][2];
    assert_eq!(late["status"], "not_planned");
    assert_eq!(late["reason"], "it was stopped before it was planned");

    let mut child = planning_slowly(
        &cluster,
        &["--statement", "SELECT note FROM orders WHERE id = slow(8)"],
    )
    .await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        // two that come at once are one
        interrupt(child.id());
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
    };
    assert_eq!(status.code(), Some(130));
}
