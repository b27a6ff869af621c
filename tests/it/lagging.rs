//! replication.lag on real standbys: one that replays nothing, one that is cut off, and one whose primary is gone.

use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::dashboard::get;
use crate::harness::{Cluster, eventually, eventually_within, present};

/// A standby may wait some seconds before it asks for WAL again, and what is found must last.
const PATIENCE: Duration = Duration::from_secs(90);

/// A daemon that watches a primary as "main" and its standby as "copy".
fn watching(primary: &Cluster, standby: &Cluster, thresholds: &str) -> Daemon {
    let more = format!(
        "[[servers]]\nname = \"copy\"\ndsn = \"{}\"\npoll_every = \"1 s\"\ncatalog_every = \"1 s\"\n\
         [rules.replication.lag]\nhold = \"2 s\"\nclear = \"1 s\"\n{thresholds}",
        standby.dsn("postgres", "postgres")
    );
    Daemon::start(&primary.dsn("postgres", "postgres"), &more)
}

/// What is open of replication.lag: the server, the standby that is meant, and the title.
fn lags(daemon: &Daemon) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = daemon.findings("?rule=replication.lag").into_iter();
    let mut lags: Vec<_> = found
        .map(|finding| {
            let object = text(&finding["object"]["name"]);
            (text(&finding["server"]), object, text(&finding["title"]))
        })
        .collect();
    lags.sort();
    lags
}

/// When both servers were seen last.
fn seen(daemon: &Daemon) -> Vec<Value> {
    let status = get(&daemon.address, "/api/v1/status").json();
    let servers = status["servers"].as_array().unwrap().iter();
    servers.map(|server| server["last_seen_at"].clone()).collect()
}

/// Waits until both were looked at so often.
async fn looks(daemon: &Daemon, times: usize) {
    for _ in 0..times {
        let before = seen(daemon);
        eventually("a look at both servers", || async {
            let now = seen(daemon);
            now.len() == 2
                && now
                    .iter()
                    .zip(&before)
                    .all(|(now, before)| now.is_string() && now != before)
        })
        .await;
    }
}

/// Writes some megabytes of WAL.
async fn writes_much(primary: &Cluster) {
    let sql = "INSERT INTO t SELECT n, repeat('x', 200) FROM generate_series(1, 20000) AS n";
    primary.sql("postgres", sql).await;
}

/// Sends a standby to another primary.
async fn receives_from(standby: &Cluster, conninfo: &str) {
    let sql = format!("ALTER SYSTEM SET primary_conninfo = '{conninfo}'");
    standby.sql("postgres", &sql).await;
    standby.sql("postgres", "SELECT pg_reload_conf()").await;
}

async fn receives(standby: &Cluster, receivers: i64) {
    eventually_within(PATIENCE, "the receiver of WAL comes or goes", || async {
        let sql = "SELECT count(*) FROM pg_stat_wal_receiver WHERE pid IS NOT NULL";
        standby.number("postgres", sql).await == receivers
    })
    .await;
}

#[tokio::test]
async fn a_standby_that_does_not_replay_or_is_cut_off_is_told_under_the_right_name() {
    for version in present(&[15, 18]) {
        // what the standby has not received must not be removed meanwhile
        let mut primary = Cluster::start_with(version, 5432, &["wal_keep_size=1GB"]).await;
        primary.sql("postgres", "CREATE TABLE t (a int, b text)").await;
        let standby = primary.standby().await;
        receives(&standby, 1).await;
        // only bytes are judged, so that a slow machine changes nothing
        let daemon = watching(
            &primary,
            &standby,
            "warning_size = \"1 MB\"\nwarning_lag = \"50 min\"\ncritical_lag = \"1 h\"",
        );

        // some bytes that are not replayed are no lag
        standby.sql("postgres", "SELECT pg_wal_replay_pause()").await;
        primary.sql("postgres", "INSERT INTO t VALUES (0, 'x')").await;
        looks(&daemon, 4).await;
        assert!(lags(&daemon).is_empty(), "on {version}: {:?}", lags(&daemon));

        writes_much(&primary).await;
        eventually("both sides of the lag", || async { lags(&daemon).len() == 2 }).await;
        let told = lags(&daemon);
        let names: Vec<(&str, &str)> = told
            .iter()
            .map(|(server, object, _)| (server.as_str(), object.as_str()))
            .collect();
        // its own name for itself is that of the configuration; to its primary it gives none
        assert_eq!(names, [("copy", "copy"), ("main", "walreceiver")], "on {version}");
        assert!(
            told[0].2.ends_with("behind in replaying") && told[0].2.contains("whose replay is paused"),
            "on {version}: {told:?}"
        );
        assert!(
            told[1].2.starts_with("walreceiver is ") && told[1].2.ends_with(" behind"),
            "on {version}: {told:?}"
        );
        standby.sql("postgres", "SELECT pg_wal_replay_resume()").await;
        eventually("it has caught up", || async { lags(&daemon).is_empty() }).await;

        // its primary goes on, and it gets nothing of that
        receives_from(&standby, "host=/nowhere user=postgres").await;
        receives(&standby, 0).await;
        looks(&daemon, 4).await;
        assert!(
            lags(&daemon).is_empty(),
            "next to nothing is missing yet, on {version}"
        );
        writes_much(&primary).await;
        eventually("it is cut off", || async { !lags(&daemon).is_empty() }).await;
        let cut_off = daemon.findings("?rule=replication.lag").remove(0);
        assert_eq!(cut_off["server"], "copy", "on {version}");
        assert_eq!(cut_off["object"]["name"], "copy", "on {version}");
        assert_eq!(cut_off["severity"], "warning", "on {version}");
        let title = cut_off["title"].as_str().unwrap();
        assert!(
            title.starts_with("The standby copy receives no WAL and is "),
            "{title}"
        );
        assert_eq!(cut_off["evidence"]["primary"], "main", "on {version}");
        let unarrived = cut_off["evidence"]["unarrived_bytes"].as_f64();
        assert!(
            unarrived.is_some_and(|bytes| bytes > 1e6),
            "on {version}: {cut_off}"
        );
        assert_eq!(lags(&daemon).len(), 1, "its primary has no standby to tell of");
        receives_from(&standby, &primary.dsn("postgres", "postgres")).await;
        eventually_within(PATIENCE, "it receives WAL again", || async {
            lags(&daemon).is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_standby_whose_primary_is_gone_is_told_though_nobody_knows_how_much_is_missing() {
    for version in present(&[15, 18]) {
        let mut primary = Cluster::start(version).await;
        primary.sql("postgres", "CREATE TABLE t (a int, b text)").await;
        let standby = primary.standby().await;
        receives(&standby, 1).await;
        let daemon = watching(&primary, &standby, "warning_lag = \"1 s\"");
        looks(&daemon, 1).await;
        primary.stop("INT");
        eventually_within(PATIENCE, "nobody sends it WAL", || async {
            let found = daemon.findings("?rule=replication.lag&server=copy");
            found.iter().any(|finding| {
                let title = finding["title"].as_str().unwrap();
                // until it is seen to be gone, nothing of it is missing
                title == "The standby copy receives no WAL" && finding["evidence"]["primary"].is_null()
            })
        })
        .await;
        primary.run();
        primary.ready().await;
        eventually_within(PATIENCE, "it receives WAL again", || async {
            daemon.findings("?rule=replication.lag&server=copy").is_empty()
        })
        .await;
    }
}
