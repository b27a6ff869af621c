//! Who held others up: as it is seen just now, and as it is remembered.

use crate::daemon::Daemon;
use crate::dashboard::get;
use crate::harness::{Cluster, eventually};

#[tokio::test]
async fn who_held_others_up_is_told_after_it_has_ended() {
    let cluster = Cluster::start(17).await;
    cluster.sql("postgres", "CREATE TABLE held (a int)").await;
    let holder = cluster.connect("postgres").await;
    // what we ask of the table ourselves does not wait for such a lock
    for sql in [
        "SET application_name = 'till'",
        "BEGIN",
        "LOCK TABLE held IN SHARE MODE",
    ] {
        holder.batch_execute(sql).await.unwrap();
    }
    let waiter = cluster.connect("postgres").await;
    let waiting = tokio::spawn(async move { waiter.batch_execute("INSERT INTO held VALUES (4711)").await });
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    let path = "/api/v1/servers/main/activity/incidents?range=1h";
    let all = || get(&daemon.address, path).json()["blocking"].clone();
    eventually("it goes on, and was seen more than once", || async {
        let told = all();
        let first = &told["items"][0];
        first["longest_wait_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 3.0)
            && first["waits_for"] == "RowExclusiveLock on public.held"
            && first["ended_at"].is_null()
    })
    .await;
    holder.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    eventually("it has ended", || async {
        all()["items"][0]["ended_at"].is_string()
    })
    .await;
    let told = all();
    assert_eq!(told["total"], 1, "all looks saw one: {told}");
    let one = &told["items"][0];
    for (name, value) in [
        ("application", "till"),
        ("role", "postgres"),
        ("database", "postgres"),
        ("state", "idle in transaction"),
        ("command", "LOCK TABLE"),
    ] {
        assert_eq!(one[name], value, "{told}");
    }
    assert_eq!(one["waiting"], 1, "{told}");
    assert!(one["transaction_seconds"].as_f64().unwrap() > 3.0, "{told}");
    assert!(one["began_at"].as_str() < one["last_seen_at"].as_str(), "{told}");
    let page = get(&daemon.address, "/servers/main/activity?range=1h").body;
    assert!(
        page.contains("till") && page.contains("RowExclusiveLock on public.held"),
        "{page}"
    );
    assert!(!told.to_string().contains("4711"), "{told}");
    for (path, status) in [
        ("/api/v1/servers/main/activity/incidents?range=30d", 400),
        ("/api/v1/servers/main/activity/incidents?limit=0", 400),
        ("/api/v1/servers/nobody/activity/incidents", 404),
    ] {
        assert_eq!(get(&daemon.address, path).status, status, "{path}");
    }
}

#[tokio::test]
async fn who_waits_for_a_prepared_transaction_waits_below_it() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", "CREATE TABLE held (a int)").await;
    let preparing = cluster.connect("postgres").await;
    for sql in [
        "BEGIN",
        "LOCK TABLE held IN SHARE MODE",
        "PREPARE TRANSACTION 'order 17'",
    ] {
        preparing.batch_execute(sql).await.unwrap();
    }
    let waiter = cluster.connect("postgres").await;
    let waiting = tokio::spawn(async move { waiter.batch_execute("INSERT INTO held VALUES (1)").await });
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    let sessions =
        || get(&daemon.address, "/api/v1/servers/main/activity").json()["activity"]["sessions"].clone();
    eventually("the tree has its root", || async {
        let told = sessions();
        told[0]["application"] == "prepared transaction" && told[0]["blocks"] == 1 && told[1]["depth"] == 1
    })
    .await;
    let told = sessions();
    let root = &told[0];
    assert_eq!(root["pid"], 0, "{told}");
    assert_eq!(root["depth"], 0, "{told}");
    assert_eq!(root["database"], "postgres", "{told}");
    assert_eq!(root["role"], "postgres", "it is the only one: {told}");
    assert_eq!(root["prepared"][0], "order 17", "{told}");
    assert!(root["transaction_seconds"].is_number(), "{told}");
    let page = || get(&daemon.address, "/servers/main/activity").body;
    let before = page();
    assert!(
        before.contains("1 session waits behind a prepared transaction in postgres"),
        "{before}"
    );
    assert!(!before.contains("Nobody waits"), "{before}");
    let path = "/api/v1/servers/main/activity/incidents?range=1h";
    eventually("it is remembered", || async {
        get(&daemon.address, path).json()["blocking"]["items"][0]["gid"] == "order 17"
    })
    .await;
    preparing
        .batch_execute("ROLLBACK PREPARED 'order 17'")
        .await
        .unwrap();
    waiting.await.unwrap().unwrap();
    eventually("nobody waits", || async {
        page().contains("Nobody waits for a lock")
    })
    .await;
}
