//! A daemon that reaches a primary and its standby under one name: after a failover it goes on with what it knew.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::dashboard::get;
use crate::harness::{Cluster, eventually};

/// A table with an index that is used, and two problems that last.
const SCHEMA: &str = "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, note int);
    INSERT INTO t SELECT i, i, i, i, i FROM generate_series(1, 1000) AS i;
    CREATE INDEX by_a ON t (a); CREATE INDEX by_b ON t (b); CREATE INDEX by_c ON t (c);
    CREATE INDEX twin_b ON t (b); CREATE INDEX twin_c ON t (c); ANALYZE t";

/// One call of a statement, one scan of an index, and one row that is written, of which somebody keeps count.
async fn works(cluster: &Cluster, made: &Cell<u64>) {
    let session = cluster.connect("postgres").await;
    made.set(made.get() + 1);
    session
        .batch_execute(
            "SET enable_seqscan = off; SELECT id FROM t WHERE a = 7; UPDATE t SET note = 7 WHERE id = 7",
        )
        .await
        .unwrap();
    cluster.end(session).await;
}

/// What a page of the database says in the API; null while there is none.
fn page(daemon: &Daemon, path: &str) -> Value {
    let path = format!("/api/v1/servers/main/postgres/{path}?range=1h");
    let answer = get(&daemon.address, &path);
    match answer.status {
        200 => answer.json(),
        _ => Value::Null,
    }
}

/// What the history has counted: calls of the statement, rows written in the table, scans of the index.
fn counted(daemon: &Daemon) -> [u64; 3] {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let statements = page(daemon, "statements");
    let statements = statements["statements"].as_array().into_iter().flatten();
    let is_it = |statement: &&Value| {
        let text = statement["text"].as_str().unwrap_or_default();
        text.contains("FROM t WHERE a =")
    };
    let calls = statements
        .filter(is_it)
        .map(|statement| number(&statement["counts"]["calls"]));
    [
        calls.sum::<u64>(),
        number(&page(daemon, "tables/public/t")["counts"]["updated"]),
        number(&page(daemon, "indexes/public/by_a")["counts"]["scans"]),
    ]
}

/// The open findings of indexes that are there twice: when each was first seen, and its state.
fn duplicates(daemon: &Daemon) -> BTreeMap<String, (Value, Value)> {
    let found = daemon.findings("?rule=index.duplicate&server=main").into_iter();
    let told = found.map(|finding| {
        let fingerprint = finding["fingerprint"].as_str().unwrap().to_owned();
        (
            fingerprint,
            (finding["first_seen_at"].clone(), finding["state"].clone()),
        )
    });
    told.collect()
}

/// What was told of them, oldest first.
fn events(daemon: &Daemon) -> Vec<(String, String)> {
    let feed = get(&daemon.address, "/api/v1/events?limit=1000").json();
    let events = feed["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .filter(|event| event["finding"]["rule"] == "index.duplicate")
        .map(|event| (text(&event["type"]), text(&event["finding"]["fingerprint"])))
        .collect()
}

/// Waits until a standby has replayed what its primary has written.
async fn caught_up(standby: &Cluster, primary: &Cluster) {
    let written = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8";
    let written = primary.number("postgres", written).await;
    let replayed = "SELECT coalesce(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0'), 0)::int8";
    eventually("the standby has caught up", || async {
        standby.number("postgres", replayed).await >= written
    })
    .await;
}

#[tokio::test]
async fn a_failover_behind_one_name_goes_on_with_the_history_and_opens_nothing_twice() {
    let mut primary = Cluster::start(18).await;
    primary.sql("postgres", SCHEMA).await;
    let standby = primary.standby().await;
    caught_up(&standby, &primary).await;
    let folders = [&primary, &standby].map(|cluster| cluster.folder().display().to_string());
    let dsn = format!(
        "host={} user=postgres dbname=postgres target_session_attrs=read-write",
        folders.join(",")
    );
    let daemon = Daemon::start(&dsn, "[rules.index.duplicate]\nclear = \"1 s\"");
    eventually("both findings", || async { duplicates(&daemon).len() == 2 }).await;
    let known = duplicates(&daemon);
    let made = Cell::new(0);
    eventually("the history has begun", || async {
        works(&primary, &made).await;
        counted(&daemon).iter().all(|count| *count >= 2)
    })
    .await;
    let before = counted(&daemon);
    // what the standby has counted for itself is nothing that happens after the failover
    let session = standby.connect("postgres").await;
    let reads = "SELECT id FROM t WHERE a = 7;".repeat(1000);
    session
        .batch_execute(&format!("SET enable_seqscan = off; {reads}"))
        .await
        .unwrap();
    standby.end(session).await;

    primary.stop("QUIT");
    standby.sql("postgres", "SELECT pg_promote()").await;
    let status = || get(&daemon.address, "/api/v1/status").json()["servers"][0].clone();
    let promoted_at = chrono::Utc::now();
    eventually("the other one is looked at", || async {
        let status = status();
        let seen = status["last_seen_at"].as_str().unwrap();
        let seen: chrono::DateTime<chrono::Utc> = seen.parse().unwrap();
        status["unreachable"].is_null() && seen > promoted_at
    })
    .await;
    eventually("the history goes on", || async {
        works(&standby, &made).await;
        let now = counted(&daemon);
        let is_kept = now.iter().zip(&before).all(|(now, before)| now >= before);
        assert!(is_kept, "what was known is gone: {now:?} after {before:?}");
        now.iter().zip(&before).all(|(now, before)| now > before)
    })
    .await;
    let after = counted(&daemon);
    let is_real = after.iter().all(|count| *count <= made.get());
    assert!(is_real, "{after:?} of {}", made.get());

    // one more problem shows that the server that was promoted is judged
    standby.sql("postgres", "CREATE INDEX twin_a ON t (a)").await;
    eventually("a finding of the other server", || async {
        duplicates(&daemon).len() == 3
    })
    .await;
    let still = duplicates(&daemon);
    for (fingerprint, told) in &known {
        assert_eq!(
            still.get(fingerprint),
            Some(told),
            "first seen when it was, and open"
        );
    }
    let events = events(&daemon);
    assert_eq!(
        events.len(),
        3,
        "each was opened once, and none ended: {events:?}"
    );
    assert!(
        events.iter().all(|(kind, _)| kind == "finding.opened"),
        "{events:?}"
    );
}
