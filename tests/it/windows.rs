//! Windows on real servers: they end at resets, restarts, crashes, evictions, clock jumps and reused names, and nothing that
//! was counted before is told as if it had happened in them.

use chrono::TimeDelta;
use pgadvisor::collect::Collector;
use pgadvisor::model::observation::Observation;
use pgadvisor::model::snapshot::Snapshot;
use pgadvisor::observe::Observer;

use crate::harness::{Cluster, eventually, present};
use crate::scenarios::collector;

/// A server with an observer whose clock runs as the test says.
struct Watched {
    cluster: Cluster,
    collector: Collector,
    observer: Observer,
    servers_clock: TimeDelta,
    our_clock: TimeDelta,
}

impl Watched {
    async fn start(version: u32, settings: &[&str]) -> Self {
        let cluster = Cluster::start_with(version, 5432, settings).await;
        let table = "CREATE TABLE t (a int PRIMARY KEY, b int); CREATE INDEX t_b ON t (b); INSERT INTO t VALUES (1, 1)";
        cluster.sql("postgres", table).await;
        Self {
            collector: collector(&cluster, "postgres"),
            cluster,
            observer: Observer::default(),
            servers_clock: TimeDelta::zero(),
            our_clock: TimeDelta::zero(),
        }
    }

    /// Runs statements one by one in a session that ends.
    async fn run(&self, statements: &[&str]) {
        let session = self.cluster.connect("postgres").await;
        for statement in statements {
            session.batch_execute(statement).await.unwrap();
        }
        self.cluster.end(session).await;
    }

    /// Looks, so many minutes after the last look.
    async fn look_after(&mut self, minutes: i64) -> Observation {
        let snapshot = self.snapshot_after(minutes).await;
        self.observer.observe(&snapshot, false)
    }

    /// What that look saw, which nobody was told yet.
    async fn snapshot_after(&mut self, minutes: i64) -> Snapshot {
        self.servers_clock += TimeDelta::minutes(minutes);
        self.our_clock += TimeDelta::minutes(minutes);
        let mut snapshot = self.collector.look().await.unwrap().snapshot;
        snapshot.at += self.servers_clock;
        snapshot.taken_at += self.our_clock;
        snapshot
    }

    async fn restart(&mut self, signal: &str) {
        self.cluster.stop(signal);
        self.cluster.run();
        self.cluster.ready().await;
    }
}

/// Calls of the statement that the tests run, within the window.
fn calls(observation: &Observation) -> Option<i64> {
    let activity = observation.statements.as_ref().ok()?;
    let is_it = |text: &str| text.starts_with("SELECT b FROM t");
    Some(
        activity
            .statements
            .iter()
            .filter(|one| is_it(&one.text.text))
            .map(|one| one.calls)
            .sum(),
    )
}

/// For how many minutes the index is known to be idle.
fn idle_minutes(observation: &Observation, name: &str) -> i64 {
    let database = &observation.databases[0];
    let index = database
        .indexes
        .iter()
        .find(|index| {
            database
                .catalog
                .indexes
                .get(index.oid)
                .is_some_and(|facts| facts.name == name)
        })
        .unwrap();
    (observation.now - index.idle_since.unwrap()).num_minutes()
}

const CALL: &str = "SELECT b FROM t WHERE a = 1";
const USE: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT a FROM t WHERE b = 1";

#[tokio::test]
async fn a_window_holds_what_happened_in_it_and_a_reset_ends_it() {
    for version in present(&[14, 15, 18]) {
        let mut watched = Watched::start(version, &[]).await;
        watched.run(&[CALL; 7]).await;
        watched.look_after(0).await;
        watched.run(&[CALL; 3]).await;
        assert_eq!(calls(&watched.look_after(6).await), Some(3), "on {version}");
        watched
            .run(&["SELECT pg_stat_statements_reset()", CALL, CALL])
            .await;
        assert_eq!(
            calls(&watched.look_after(6).await),
            Some(2),
            "since the reset, on {version}"
        );
        watched.run(&[CALL]).await;
        assert_eq!(
            calls(&watched.look_after(6).await),
            Some(1),
            "since the look after the reset"
        );
    }
}

#[tokio::test]
async fn what_is_executed_for_the_first_time_during_a_look_is_counted() {
    for version in present(&[14, 18]) {
        let mut watched = Watched::start(version, &[]).await;
        let holder = watched.cluster.connect("postgres").await;
        holder.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
        let waiter = watched.cluster.connect("postgres").await;
        let waits = "SELECT b FROM t WHERE a = 1 AND pg_advisory_xact_lock(1) IS NOT NULL";
        let execution = tokio::spawn(async move { waiter.batch_execute(waits).await });
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        eventually("the statement is being executed", || async {
            watched.cluster.number("postgres", waiting).await == 1
        })
        .await;
        watched.look_after(0).await;
        watched.cluster.end(holder).await;
        execution.await.unwrap().unwrap();
        assert_eq!(calls(&watched.look_after(6).await), Some(1), "on {version}");
    }
}

#[tokio::test]
async fn restarts_and_crashes_add_nothing_and_lose_no_idleness() {
    for version in present(&[14, 15, 18]) {
        let mut watched = Watched::start(version, &[]).await;
        watched.run(&[CALL; 7]).await;
        watched.look_after(0).await;
        for signal in ["INT", "QUIT"] {
            watched.look_after(60).await;
            watched.restart(signal).await;
            watched.run(&[CALL; 2]).await;
            let seen = watched.look_after(6).await;
            assert!(
                calls(&seen).is_none_or(|calls| calls <= 2),
                "{signal} on {version}: {:?}",
                calls(&seen)
            );
            assert!(
                idle_minutes(&seen, "t_b") >= 66,
                "{signal} on {version}: {}",
                idle_minutes(&seen, "t_b")
            );
        }
        watched.run(&[USE]).await;
        assert_eq!(
            idle_minutes(&watched.look_after(6).await, "t_b"),
            0,
            "used, on {version}"
        );
        watched.run(&["SELECT pg_stat_reset()"]).await;
        assert_eq!(
            idle_minutes(&watched.look_after(6).await, "t_b"),
            6,
            "a reset is no use, on {version}"
        );
    }
}

#[tokio::test]
async fn statistics_of_the_server_that_are_reset_are_no_beginning_of_those_of_tables() {
    for version in present(&[14, 15, 17, 18]) {
        let mut watched = Watched::start(version, &[]).await;
        watched.run(&[USE]).await;
        let since = |seen: &Observation| seen.databases[0].counters_since;
        let began = since(&watched.look_after(0).await);
        assert!(began.is_some(), "since initdb, on {version}");
        for what in ["bgwriter", "wal"] {
            watched
                .run(&[&format!("SELECT pg_stat_reset_shared('{what}')")])
                .await;
            assert_eq!(since(&watched.look_after(6).await), began, "{what} on {version}");
        }
        // 14 resets some time after it was asked to
        if version >= 15 {
            watched.run(&["SELECT pg_stat_reset()"]).await;
            assert!(since(&watched.look_after(6).await) > began, "on {version}");
        }
        if version >= 17 {
            let mut watched = Watched::start(version, &[]).await;
            watched.run(&["SELECT pg_stat_reset_shared()"]).await;
            assert_eq!(
                since(&watched.look_after(0).await),
                None,
                "nobody knows, on {version}"
            );
        }
    }
}

#[tokio::test]
async fn a_table_that_is_reset_alone_ends_no_window_of_others() {
    // 14 resets some time after it was asked to
    for version in present(&[15, 18]) {
        let mut watched = Watched::start(version, &[]).await;
        watched
            .run(&["CREATE TABLE other (a int PRIMARY KEY)", USE])
            .await;
        for _ in 0..12 {
            watched.look_after(6).await;
        }
        // what looks read themselves is counted a second later, and all at once
        tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
        for _ in 0..2 {
            watched.look_after(6).await;
        }
        let reset = "SELECT pg_stat_reset_single_table_counters('other'::regclass)";
        watched.run(&[reset]).await;
        let mut snapshot = watched.snapshot_after(6).await;
        let a_minute_ago = snapshot.at - TimeDelta::minutes(1);
        let mut databases = snapshot.server.databases.iter_mut();
        let database = databases.find(|database| database.name == "postgres").unwrap();
        let told = &mut database.statistics_reset_at;
        assert!(told.is_some(), "the server says that all were, on {version}");
        // by the clock of the test
        *told = Some(a_minute_ago);
        let seen = watched.observer.observe(&snapshot, false);
        assert!(
            idle_minutes(&seen, "t_b") >= 66,
            "{} on {version}",
            idle_minutes(&seen, "t_b")
        );
    }
}

#[tokio::test]
async fn evicted_statements_come_back_without_their_past() {
    let mut watched = Watched::start(18, &["pg_stat_statements.max=100"]).await;
    watched.run(&[CALL; 50]).await;
    watched.look_after(0).await;
    let others: Vec<String> = (1..400)
        .map(|columns| format!("SELECT {}", vec!["1"; columns].join(", ")))
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    for _ in 0..3 {
        watched.run(&others).await;
    }
    watched.run(&[CALL; 4]).await;
    let seen = watched.look_after(6).await;
    let activity = seen.statements.as_ref().unwrap();
    assert!(
        activity.evictions > 0,
        "the window tells that entries were evicted"
    );
    assert!(calls(&seen).unwrap() <= 4, "{:?}", calls(&seen));
}

#[tokio::test]
async fn a_clock_that_jumps_ends_every_window() {
    let mut watched = Watched::start(15, &[]).await;
    watched.look_after(0).await;
    watched.run(&[CALL]).await;
    assert_eq!(calls(&watched.look_after(6).await), Some(1));
    for jump in [TimeDelta::hours(3), TimeDelta::hours(-5)] {
        watched.servers_clock += jump;
        watched.run(&[CALL]).await;
        let seen = watched.look_after(6).await;
        assert_ne!(calls(&seen), Some(1), "no difference over a jump of {jump}");
        assert_eq!(
            idle_minutes(&seen, "t_b"),
            0,
            "nothing is idle over a jump of {jump}"
        );
    }
}

#[tokio::test]
async fn an_index_that_was_made_anew_is_another_one() {
    let mut watched = Watched::start(18, &[]).await;
    watched.look_after(0).await;
    assert_eq!(idle_minutes(&watched.look_after(90).await, "t_b"), 90);
    watched
        .run(&["DROP INDEX t_b", "CREATE INDEX t_b ON t (b)"])
        .await;
    assert_eq!(idle_minutes(&watched.look_after(6).await, "t_b"), 0);
}

#[tokio::test]
async fn names_that_cannot_be_read_are_not_taken_for_gone() {
    let mut watched = Watched::start(15, &[]).await;
    watched.look_after(0).await;
    let holder = watched.cluster.connect("postgres").await;
    holder
        .batch_execute("BEGIN; LOCK pg_depend IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    // a daemon that starts now has never read any name
    watched.collector = collector(&watched.cluster, "postgres");
    let blind = watched.look_after(6).await;
    assert!(blind.databases.is_empty());
    assert!(
        blind
            .gaps
            .iter()
            .any(|gap| gap.fact == "database" && gap.rules.contains(&"index.*".to_owned()))
    );
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(idle_minutes(&watched.look_after(6).await, "t_b"), 12);
}

#[tokio::test]
async fn a_server_whose_functions_are_locked_away_is_seen_but_for_those() {
    let watched = Watched::start(18, &[]).await;
    let sql = "CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; \
               REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public, pg_monitor; \
               REVOKE SELECT ON pg_roles, pg_replication_slots FROM public";
    watched.cluster.sql("postgres", sql).await;
    let seen = collector(&watched.cluster, "watcher").look().await.unwrap();
    let gaps: Vec<&str> = seen.snapshot.gaps.iter().map(|gap| gap.fact.as_str()).collect();
    assert!(
        gaps.contains(&"system identifier") && gaps.contains(&"role names"),
        "{gaps:?}"
    );
    assert!(!seen.snapshot.databases[0].indexes.is_empty());
}

#[tokio::test]
async fn of_too_many_roles_it_is_told_that_not_all_have_names() {
    let watched = Watched::start(18, &[]).await;
    let watcher = "CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher";
    watched.cluster.sql("postgres", watcher).await;
    // in one transaction they would need more locks than there are
    let others =
        "DO $$ BEGIN FOR i IN 1..10000 LOOP EXECUTE format('CREATE ROLE r%s', i); COMMIT; END LOOP; END $$";
    watched.cluster.sql("postgres", others).await;
    let mut collector = collector(&watched.cluster, "watcher");
    for look in ["the first", "one to which they are remembered"] {
        let seen = collector.look().await.unwrap();
        let roles = &seen.snapshot.server.roles;
        assert_eq!(roles.len(), 10_000, "{look}");
        assert!(roles.values().any(|name| name == "watcher"), "{look}");
        let mut gaps = seen.snapshot.gaps.iter();
        let of_roles = gaps.find(|gap| gap.fact == "role names");
        assert!(
            of_roles.is_some_and(|gap| gap.why.contains("10000 roles and more")),
            "{look}"
        );
    }
}
