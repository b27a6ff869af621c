//! Several refreshers of one server: two daemons, and cron on another host.

use std::time::Duration;

use crate::harness::{Cluster, eventually, eventually_within};
use crate::refreshing::{Running, SHOP, Setting, statuses, with_record};

/// Many views that are due every second over and over, and the rows that change between two moments.
async fn busy_views(cluster: &Cluster, views: usize) {
    cluster
        .sql(
            "postgres",
            "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)",
        )
        .await;
    for number in 0..views {
        // a refresh takes a while, so that refreshers meet
        let sql = format!(
            "CREATE MATERIALIZED VIEW m{number} AS SELECT count(*) AS n, clock_timestamp() AS at, pg_sleep(0.05)::text AS s FROM t"
        );
        cluster.sql("postgres", &sql).await;
    }
    // each committed refresh leaves its mark, and whether another one was under way
    cluster
        .sql(
            "postgres",
            "CREATE TABLE seen (view text, began timestamptz, ended timestamptz)",
        )
        .await;
}

/// Due moments that were taken, and the greatest number of refreshes for one of them.
async fn moments(cluster: &Cluster) -> (i64, i64) {
    let taken = cluster
        .number("postgres", "SELECT count(*) FROM pgadvisor.refresh_run")
        .await;
    // what pg_stat_statements counted, utility statements by their text
    let made = "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements WHERE query LIKE 'REFRESH MATERIALIZED VIEW%'";
    (taken, cluster.number("postgres", made).await)
}

const EVERY_SECOND: &str =
    "[[refresh]]\nview = \"public.m*\"\nevery = \"1 s\"\nlock_timeout = \"5 s\"\nmode = \"plain\"\n";

#[tokio::test]
async fn several_refreshers_take_each_moment_exactly_once() {
    let cluster = Cluster::start(18).await;
    let views = 24;
    busy_views(&cluster, views).await;
    with_record(&cluster).await;
    let setting = || Setting::as_refresher(&cluster, &EVERY_SECOND.replace("1 s", "5 s"));
    let (settings, third) = ([setting(), setting()], setting());
    let began = cluster
        .number("postgres", "SELECT extract(epoch FROM clock_timestamp())::int8")
        .await;
    let mut daemons: Vec<Running> = settings.iter().map(Setting::daemon).collect();
    let (mut round, mut kills) = (0, 0);
    eventually_within(Duration::from_secs(150), "several hundred moments", || {
        round += 1;
        // cron on another host
        let _ = third.refresh(&["--due"]);
        if round % 4 == 0 {
            // and one of the daemons dies in the middle of something
            daemons[1].signal("KILL");
            kills += 1;
            daemons[1] = settings[1].daemon();
        }
        let cluster = &cluster;
        async move { moments(cluster).await.0 >= 320 }
    })
    .await;
    let mut graceful = |position: usize| daemons[position].signal("TERM");
    assert_eq!((graceful(0), graceful(1)), (Some(0), Some(0)));
    eventually("all sessions have ended", || async {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgadvisor%'";
        cluster.number("postgres", sessions).await == 0
    })
    .await;
    let (taken, made) = moments(&cluster).await;
    // whoever is killed between REFRESH and COMMIT has refreshed nothing, but was counted: at most two at once by each
    assert!(
        (taken..=taken + 2 * (kills + 2)).contains(&made),
        "{made} refreshes for {taken} moments, {kills} kills"
    );
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(cluster.number("postgres", locks).await, 0);
    // each moment of each view, from the first whole one to the last one but the one that was under way at the end
    let left_out = format!(
        "SELECT count(*) FROM generate_series({began} / 5 * 5 + 10, (SELECT extract(epoch FROM max(due_at))::int8 - 5 FROM pgadvisor.refresh_run), 5)
             AS s (second), generate_series(0, {views} - 1) AS v (number)
         WHERE NOT EXISTS (SELECT FROM pgadvisor.refresh_run r WHERE r.view_name = 'm' || number
                           AND r.due_at = to_timestamp(second))"
    );
    assert_eq!(
        cluster.number("postgres", &left_out).await,
        0,
        "no moment was left out"
    );
}

#[tokio::test]
async fn without_the_table_they_never_overlap() {
    let cluster = Cluster::start(15).await;
    busy_views(&cluster, 4).await;
    let settings = [
        Setting::of(&cluster, EVERY_SECOND),
        Setting::of(&cluster, EVERY_SECOND),
    ];
    let _daemons: Vec<Running> = settings.iter().map(Setting::daemon).collect();
    // whoever waits for the lock of a view that is being refreshed would be the second one
    let overlap = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                   WHERE c.relkind = 'm' AND l.mode = 'AccessExclusiveLock' AND NOT l.granted
                     AND EXISTS (SELECT FROM pg_locks h WHERE h.relation = l.relation AND h.granted
                                 AND h.mode = 'AccessExclusiveLock' AND h.pid <> l.pid)";
    let session = cluster.connect("postgres").await;
    let made = "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements WHERE query LIKE 'REFRESH MATERIALIZED VIEW%'";
    let mut seen = 0;
    eventually("a hundred refreshes", || {
        let (session, cluster) = (&session, &cluster);
        seen += 1;
        async move {
            let waiting: i64 = session.query_one(overlap, &[]).await.unwrap().get(0);
            assert_eq!(waiting, 0, "two at once");
            cluster.number("postgres", made).await >= 100
        }
    })
    .await;
    assert!(seen > 20);
}

#[tokio::test]
async fn two_refreshers_leave_an_unchanged_database_alone() {
    for has_record in [true, false] {
        let cluster = Cluster::start(18).await;
        let session = cluster.connect("postgres").await;
        session.batch_execute(SHOP).await.unwrap();
        cluster.end(session).await;
        with_record(&cluster).await;
        if !has_record {
            cluster.sql("postgres", "DROP TABLE pgadvisor.refresh_run").await;
        }
        let every = "[[refresh]]\nview = \"public.*\"\nevery = \"1 s\"";
        let settings = [
            Setting::as_refresher(&cluster, every),
            Setting::as_refresher(&cluster, every),
        ];
        let due = |round: usize| {
            let setting = &settings[round % 2];
            async move {
                tokio::time::sleep(Duration::from_millis(1100)).await;
                setting.runs(&["--due"])
            }
        };
        // each has to see the views, and one refresh of the other
        for round in 0..5 {
            due(round).await;
        }
        for round in 0..6 {
            let runs = due(round).await;
            assert_eq!(
                statuses(&runs),
                "b_parts skipped, z_base skipped, a_total skipped",
                "round {round}, {has_record}"
            );
        }
    }
}

#[tokio::test]
async fn the_table_of_runs_is_used_only_where_nobody_else_could_put_code_into_it() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", SHOP).await;
    with_record(&cluster).await;
    let every = "[[refresh]]\nview = \"public.b_parts\"\nevery = \"1 s\"\nskip_unchanged = false";
    let setting = Setting::as_refresher(&cluster, every);
    let taken = || cluster.number("postgres", "SELECT count(*) FROM pgadvisor.refresh_run");
    setting.runs(&["--due"]);
    assert_eq!(taken().await, 1);
    cluster
        .sql(
            "postgres",
            "CREATE TABLE leak (who text); CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO public.leak VALUES (current_user); RETURN NEW; END';
             CREATE TRIGGER t BEFORE INSERT ON pgadvisor.refresh_run FOR EACH ROW EXECUTE FUNCTION steal()",
        )
        .await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(statuses(&setting.runs(&["--due"])), "b_parts refreshed");
    assert_eq!(
        (
            taken().await,
            cluster.number("postgres", "SELECT count(*) FROM leak").await
        ),
        (1, 0)
    );
    cluster
        .sql(
            "postgres",
            "DROP TRIGGER t ON pgadvisor.refresh_run; CREATE ROLE mallory; ALTER TABLE pgadvisor.refresh_run OWNER TO mallory;
             GRANT ALL ON pgadvisor.refresh_run TO public",
        )
        .await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(statuses(&setting.runs(&["--due"])), "b_parts refreshed");
    assert_eq!(taken().await, 1, "whoever owns it could put a trigger there");
}
