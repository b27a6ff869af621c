//! Refreshes that end otherwise than they began: killed, stopped, restarted, promoted, without room.

use std::time::Duration;

use pgadvisor::model::refresh::{Outcome, Run};

use crate::harness::{Cluster, eventually};
use crate::refreshing::{Setting, reason, statuses};

/// A view whose refresh takes long.
async fn slow_view(cluster: &Cluster, seconds: f64) {
    let sql = format!(
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1);
         CREATE FUNCTION nap() RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN count(*) > 1 THEN pg_sleep({seconds})::text END FROM public.t';
         CREATE MATERIALIZED VIEW slow AS SELECT a, public.nap() AS s FROM t; CREATE UNIQUE INDEX ON slow (a);
         INSERT INTO t VALUES (2)"
    );
    cluster.sql("postgres", &sql).await;
}

const UNDER_WAY: &str = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'REFRESH MATERIALIZED VIEW%'";

#[tokio::test]
async fn a_kill_leaves_nothing_and_is_settled_at_the_next_start() {
    let cluster = Cluster::start(18).await;
    slow_view(&cluster, 60.0).await;
    let every = "[[refresh]]\nview = \"public.slow\"\nevery = \"1 h\"";
    let setting = Setting::of(&cluster, every);
    let mut daemon = setting.daemon();
    eventually("the refresh", || async {
        cluster.number("postgres", UNDER_WAY).await == 1
    })
    .await;
    daemon.signal("KILL");
    // nobody else may begin while the server has not noticed
    eventually("the server takes it back", || async {
        cluster.number("postgres", UNDER_WAY).await == 0
    })
    .await;
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(cluster.number("postgres", locks).await, 0);
    cluster.sql("postgres", "DELETE FROM t WHERE a = 2").await;
    assert_eq!(statuses(&setting.runs(&["slow"])), "slow refreshed");
    // the next look tells what became of the first one
    let recorded = setting.recorded();
    let outcomes: Vec<Outcome> = recorded.iter().map(|run| run.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Refreshed, Outcome::Cancelled],
        "{recorded:#?}"
    );
    assert!(
        recorded[1].reason.contains("PostgreSQL took it back"),
        "{recorded:#?}"
    );
}

#[tokio::test]
async fn what_was_done_before_a_kill_is_not_done_again() {
    let cluster = Cluster::start(15).await;
    slow_view(&cluster, 2.0).await;
    let setting =
        Setting::of(&cluster, "[[refresh]]\nview = \"public.slow\"\nevery = \"1 h\"").polled_every("1 s");
    let mut daemon = setting.daemon();
    eventually("the refresh", || async {
        cluster.number("postgres", UNDER_WAY).await == 1
    })
    .await;
    // it hears nothing any more; the server has all that it needs, and commits
    daemon.stop();
    eventually("the refresh is done", || async {
        cluster.number("postgres", UNDER_WAY).await == 0
    })
    .await;
    daemon.signal("KILL");
    let _daemon = setting.daemon();
    let settled = |run: &Run| run.reason.contains("the view shows that it was refreshed");
    eventually("what became of it is told", || async {
        setting.recorded().iter().any(settled)
    })
    .await;
    // some looks later
    tokio::time::sleep(Duration::from_secs(3)).await;
    let recorded = setting.recorded();
    assert_eq!(recorded.len(), 1, "its moment is not taken twice: {recorded:#?}");
    assert_eq!(recorded[0].outcome, Outcome::Refreshed);
}

#[tokio::test]
async fn a_daemon_that_is_told_to_stop_ends_its_refreshes_within_the_grace_time() {
    let cluster = Cluster::start(15).await;
    slow_view(&cluster, 60.0).await;
    let setting = Setting::of(
        &cluster,
        "refresh_grace = \"500 ms\"\n[[refresh]]\nview = \"public.slow\"\nevery = \"1 h\"",
    );
    let mut daemon = setting.daemon();
    eventually("the refresh", || async {
        cluster.number("postgres", UNDER_WAY).await == 1
    })
    .await;
    let began = std::time::Instant::now();
    assert_eq!(daemon.signal("TERM"), Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(cluster.number("postgres", UNDER_WAY).await, 0);
    // it is written down
    let runs = setting.recorded();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(runs[0].outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_server_that_restarts_in_the_middle_loses_no_moment() {
    let mut cluster = Cluster::start(15).await;
    slow_view(&cluster, 3.0).await;
    let setting = Setting::of(
        &cluster,
        "[[refresh]]\nview = \"public.slow\"\nevery = \"1 h\"\nretry_after = \"1 s\"",
    );
    let _daemon = setting.daemon();
    eventually("the refresh", || async {
        cluster.number("postgres", UNDER_WAY).await == 1
    })
    .await;
    cluster.stop("QUIT");
    cluster.run();
    cluster.ready().await;
    cluster
        .sql(
            "postgres",
            "DELETE FROM t WHERE a = 2; INSERT INTO t VALUES (3); DELETE FROM t WHERE a = 1",
        )
        .await;
    eventually("it is made up for", || async {
        cluster.number("postgres", "SELECT max(a)::int8 FROM slow").await == 3
    })
    .await;
}

#[tokio::test]
async fn a_standby_is_left_alone_until_it_is_promoted() {
    for version in [15, 18] {
        let mut primary = Cluster::start(version).await;
        primary
            .sql(
                "postgres",
                "CREATE TABLE t (a int); CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t",
            )
            .await;
        let standby = primary.standby().await;
        let every = "[[refresh]]\nview = \"public.m\"\nevery = \"1 s\"";
        let setting = Setting::of(&standby, every).polled_every("1 s");
        let runs = setting.runs(&["--due"]);
        assert_eq!(statuses(&runs), "m skipped");
        assert!(reason(&runs, "m").contains("is a standby"), "{runs:?}");
        let _daemon = setting.daemon();
        eventually("the daemon has looked", || async {
            setting.recorded().first().is_some_and(|run| run.times > 2)
        })
        .await;
        assert!(
            setting
                .recorded()
                .iter()
                .all(|run| run.outcome == Outcome::Skipped)
        );
        primary.stop("QUIT");
        standby.sql("postgres", "SELECT pg_promote()").await;
        standby.sql("postgres", "INSERT INTO t VALUES (1)").await;
        eventually("it is refreshed", || async {
            standby.number("postgres", "SELECT count FROM m").await == 1
        })
        .await;
        // that is written down after it can be seen
        eventually("it is recorded", || async {
            let made = |run: &Run| run.outcome == Outcome::Refreshed;
            setting.recorded().iter().any(made)
        })
        .await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_was_there_stays() {
    let Some(cluster) = Cluster::start_with_small_disk(18, 24).await else {
        eprintln!("this machine lets nobody make a small disk: not shown");
        return;
    };
    let space = cluster.folder().join("small/space");
    cluster
        .sql(
            "postgres",
            &format!("CREATE TABLESPACE small LOCATION '{}'", space.display()),
        )
        .await;
    cluster
        .sql(
            "postgres",
            "CREATE TABLE t (a int, b text); INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 1000) AS i;
             CREATE MATERIALIZED VIEW m TABLESPACE small AS SELECT * FROM t;
             INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) AS i",
        )
        .await;
    let setting = Setting::of(
        &cluster,
        "[[refresh]]\nview = \"public.m\"\nevery = \"1 s\"\nretry_after = \"1 s\"",
    );
    let runs = setting.runs(&["m"]);
    assert_eq!(statuses(&runs), "m failed");
    assert_eq!(runs[0]["sqlstate"], "53100", "{runs:?}");
    assert!(
        reason(&runs, "m").contains("the disk of the server is full"),
        "{runs:?}"
    );
    assert_eq!(cluster.number("postgres", "SELECT count(*) FROM m").await, 1000);
    // once there is room
    cluster.sql("postgres", "DELETE FROM t WHERE a > 2000").await;
    assert_eq!(statuses(&setting.runs(&["m"])), "m refreshed");
}

#[tokio::test]
async fn what_somebody_asked_for_is_done_after_a_kill() {
    let cluster = Cluster::start(18).await;
    slow_view(&cluster, 60.0).await;
    cluster
        .sql(
            "postgres",
            "CREATE MATERIALIZED VIEW over AS SELECT count(*) FROM slow",
        )
        .await;
    let setting = Setting::of(&cluster, "[[refresh]]\nview = \"public.*\"\ncron = \"0 1 1 1 *\"");
    let mut daemon = setting.daemon();
    eventually("the daemon is there", || async { setting.ask("slow") }).await;
    eventually("the refresh", || async {
        cluster.number("postgres", UNDER_WAY).await == 1
    })
    .await;
    assert!(setting.ask("over"), "it waits for what it reads");
    tokio::time::sleep(Duration::from_secs(2)).await;
    daemon.signal("KILL");
    cluster.sql("postgres", "DELETE FROM t WHERE a = 2").await;
    let _daemon = setting.daemon();
    let is_done = |name: &str| {
        let made = |run: &Run| run.view.name == name && run.outcome == Outcome::Refreshed;
        setting.recorded().iter().any(made)
    };
    eventually("both are refreshed", || async {
        is_done("slow") && is_done("over")
    })
    .await;
    let over = setting.recorded().into_iter().find(|run| run.view.name == "over");
    assert!(over.unwrap().reason.starts_with("it was asked for"));
}
