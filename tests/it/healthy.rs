//! A healthy server under load is left in peace: of pgbench's tables and its one transaction nothing is said that is not
//! true. Once at a rate at which the server is nearly idle, and once as fast as it can, so that what is asked of busy servers
//! only is judged, too. Without more said each load lasts until every rule was judged, about two minutes;
//! PGADVISOR_HEALTHY_MINUTES=30 lets it last so long, with looks as seldom as they are by default.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::daemon::Daemon;
use crate::dashboard::get;
use crate::harness::{ALL, Cluster, pgadvisor, present};
use crate::verdicts::{Truth, false_alarms, may, must, two_more_looks, unsaid, until_nothing_is_left};

/// Branches, each with ten tellers and 100 000 accounts: no fewer than there are clients, as PostgreSQL's manual has it.
const SCALE: u64 = 4;
/// Cores as declared.
const CORES: u32 = 2;

/// How hard clients press, and what is true then.
struct Load {
    clients: u32,
    /// Transactions a second of all clients; none where each begins one when the last has ended.
    rate: Option<u32>,
    /// What the advisor may cost while it looks more often than by default.
    own_cost_ratio: f64,
    truths: &'static [Truth],
}

/// pgbench gives its history no key; a warning from 100 000 rows on.
const NO_KEY: Truth = must("schema.no_primary_key", "public.pgbench_history");
/// From the day on at which the last release of such an old version is near.
const OLD_VERSION: Truth = may("config.version", "");
/// Something has to take most of the time, and of five statements it is an UPDATE: that of accounts has the most to do, the
/// others wait for whoever has the row and for that one's commit.
const COSTLIEST: (&str, &str) = ("query.time_share", "UPDATE pgbench_");

/// A server that is nearly idle.
const NEARLY_IDLE: Load = Load {
    clients: 4,
    rate: Some(60),
    own_cost_ratio: 0.01,
    truths: &[
        NO_KEY,
        // only where the machine is so slow that a tenth of a session is busy
        may(COSTLIEST.0, COSTLIEST.1),
        OLD_VERSION,
    ],
};

/// No more clients than cores, so that nothing is a hotspot for which they wait. Who meets the other one's branch waits for
/// its commit, an eighth of the transaction on average: even where commits are slow more than a tenth of a session is busy.
const AT_FULL_SPEED: Load = Load {
    clients: CORES,
    rate: None,
    // the machine is as busy as it can be
    own_cost_ratio: 0.05,
    truths: &[NO_KEY, must(COSTLIEST.0, COSTLIEST.1), OLD_VERSION],
};

/// What the other tests leave to chance or spoil, as it is on a healthy server of 1 GiB.
const HEALTHY: [&str; 9] = [
    "fsync=on",
    "autovacuum_naptime=15s",
    "shared_buffers=256MB",
    "effective_cache_size=768MB",
    "random_page_cost=1.1",
    "track_io_timing=on",
    // query.planning_heavy is skipped without it
    "pg_stat_statements.track_planning=on",
    "wal_level=replica",
    "max_prepared_transactions=0",
];

/// Waits that are shortened, so that these rules are judged at all. What a rule asks for beside time is as it is.
const SHORTENED: &str = "
    # of as many sessions as are seen in a minute
    [rules.activity.wait_hotspot]
    minimum_sessions = 100
    [rules.config.cache_hit]
    window = \"30 s\"
    [rules.config.connections]
    hold = \"10 s\"
    [rules.index.rarely_used]
    min_age = \"30 s\"
    [rules.index.unused]
    min_age = \"30 s\"
    [rules.query.cache_miss]
    after_start = \"30 s\"
    [rules.schema.constraint_not_valid]
    hold = \"10 s\"
    [rules.vacuum.dead_tuples]
    hold = \"10 s\"
    [rules.vacuum.stale_statistics]
    hold = \"10 s\"
    # a machine that runs tests may stand still for some seconds; what the advisor costs in all is judged as ever
    [rules.advisor.overhead]
    warning_question = \"1 min\"
";

/// Rules that may still wait when the load was short, and the beginning of why: no setting shortens that.
const WAITING: &[(&str, &str)] = &[
    // how tables are read and written is a rate over an hour of looks, or over half an hour since a known reset
    ("index.blocks_hot", "needs two looks an hour apart"),
    ("index.seq_scan_hotspot", "needs two looks an hour apart"),
    ("index.too_many", "needs two looks an hour apart"),
];

/// pgbench's tables, filled, on a server that was just started. Its counters begin with the load.
async fn filled(version: u32) -> Cluster {
    let cluster = Cluster::start_with(version, 5432, &HEALTHY).await;
    let tables = format!(
        "CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
         CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
         CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84));
         CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
         INSERT INTO pgbench_branches SELECT i, 0 FROM generate_series(1, {SCALE}) AS i;
         INSERT INTO pgbench_tellers SELECT i, (i - 1) / 10 + 1, 0 FROM generate_series(1, {SCALE} * 10) AS i;
         INSERT INTO pgbench_accounts SELECT i, (i - 1) / 100000 + 1, 0, '' FROM generate_series(1, {SCALE} * 100000) AS i;
         ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)"
    );
    cluster.sql("postgres", &tables).await;
    let setup = pgadvisor().arg("setup").output().unwrap();
    cluster
        .sql("postgres", &String::from_utf8(setup.stdout).unwrap())
        .await;
    cluster.sql("postgres", "SELECT pg_stat_reset()").await;
    // VACUUM wants to be alone; what it counts is known from then on
    cluster.sql("postgres", "VACUUM ANALYZE").await;
    cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
    cluster
}

/// Numbers as good as drawn by lot (xorshift64*).
struct Dice(u64);

impl Dice {
    /// One from 1 to `most`.
    fn roll(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most + 1
    }
}

/// One deposit: pgbench's transaction, statement by statement as pgbench sends it.
async fn deposit(session: &Client, dice: &mut Dice) -> Result<(), tokio_postgres::Error> {
    let (aid, tid) = (dice.roll(SCALE * 100_000), dice.roll(SCALE * 10));
    let (bid, delta) = (dice.roll(SCALE), dice.roll(10_000));
    for statement in [
        "BEGIN".to_owned(),
        format!("UPDATE pgbench_accounts SET abalance = abalance + {delta} WHERE aid = {aid}"),
        format!("SELECT abalance FROM pgbench_accounts WHERE aid = {aid}"),
        format!("UPDATE pgbench_tellers SET tbalance = tbalance + {delta} WHERE tid = {tid}"),
        format!("UPDATE pgbench_branches SET bbalance = bbalance + {delta} WHERE bid = {bid}"),
        format!(
            "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ({tid}, {bid}, {aid}, {delta}, CURRENT_TIMESTAMP)"
        ),
        "COMMIT".to_owned(),
    ] {
        session.batch_execute(&statement).await?;
    }
    Ok(())
}

impl Load {
    /// When one of its clients begins its transactions.
    fn beats(&self) -> Option<Interval> {
        let every = Duration::from_secs(1) * self.clients / self.rate?;
        let mut beats = tokio::time::interval(every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(beats)
    }
}

/// Waits for the next of them; not at all where there are none.
async fn next(beats: &mut Option<Interval>) {
    if let Some(beats) = beats {
        beats.tick().await;
    }
}

/// One client, until it is told to stop.
async fn client(session: Client, mut beats: Option<Interval>, mut dice: Dice, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = next(&mut beats) => deposit(&session, &mut dice).await.expect("a transaction of the load"),
        }
    }
}

/// One daemon that watches all of them, as it would watch servers that matter.
fn configuration(clusters: &[Cluster], own_cost_ratio: f64, is_long: bool) -> String {
    let waits = match is_long {
        true => "",
        false => "poll_every = \"10 s\"\ncatalog_every = \"30 s\"\nsample_every = \"1 s\"\n",
    };
    let server = |cluster: &Cluster| {
        let (dsn, planner) = (
            cluster.dsn("pgadvisor", "postgres"),
            cluster.dsn("pgadvisor_planner", "postgres"),
        );
        format!(
            "[[servers]]\nname = \"{}\"\ndsn = \"{dsn}\"\nplanner_dsn = \"{planner}\"\n{waits}\
             memory = \"1 GiB\"\ncores = {CORES}\nstorage = \"ssd\"\n",
            cluster.version
        )
    };
    let servers: String = clusters.iter().map(server).collect();
    format!(
        "[web]\nlisten = \"127.0.0.1:0\"\n[budget]\nown_cost_ratio = {own_cost_ratio}\n{servers}{SHORTENED}"
    )
}

/// Rules that were not judged at each server, but for those that may wait, for people.
fn not_judged(address: &str, servers: usize, waiting: &[(&str, &str)]) -> Vec<String> {
    let rules = get(address, "/api/v1/rules").json();
    let mut left = Vec::new();
    for rule in rules.as_array().expect("rules") {
        let id = rule["id"].as_str().unwrap();
        let skipped = rule["skipped"].as_array().unwrap();
        let may_wait = |skip: &&Value| {
            let reason = skip["reason"].as_str().unwrap();
            waiting
                .iter()
                .any(|(rule, why)| *rule == id && reason.starts_with(why))
        };
        let waits = skipped.iter().filter(may_wait).count();
        if (rule["evaluated"].as_u64().unwrap() as usize) + waits < servers || waits < skipped.len() {
            left.push(format!("{id}: {skipped:?}"));
        }
    }
    left
}

/// Watches healthy servers under a load, and looks at all that was said of them.
async fn nothing_is_said_but_what_is_true(load: &Load) {
    let minutes = std::env::var("PGADVISOR_HEALTHY_MINUTES").map_or(0, |text| {
        text.parse::<u64>()
            .expect("PGADVISOR_HEALTHY_MINUTES is a whole number")
    });
    let mut clusters = Vec::new();
    for version in present(&[15, ALL[ALL.len() - 1]]) {
        clusters.push(filled(version).await);
    }
    let stop = CancellationToken::new();
    let mut clients = Vec::new();
    for cluster in &clusters {
        for number in 1..=u64::from(load.clients) {
            let session = cluster.connect("postgres").await;
            let dice = Dice(0x9E37_79B9_7F4A_7C15 ^ number);
            clients.push(tokio::spawn(client(session, load.beats(), dice, stop.clone())));
        }
    }
    let is_long = minutes > 0;
    let own_cost_ratio = if is_long { 0.01 } else { load.own_cost_ratio };
    let daemon = Daemon::with_configuration(&configuration(&clusters, own_cost_ratio, is_long));
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    let waiting = if minutes < 30 { WAITING } else { &[] };
    let patience = Duration::from_secs(if is_long { 900 } else { 300 });
    until_nothing_is_left(patience, || {
        let mut left = not_judged(&daemon.address, clusters.len(), waiting);
        for cluster in &clusters {
            left.extend(unsaid(&daemon.address, &cluster.version.to_string(), load.truths));
        }
        left
    })
    .await;
    two_more_looks(&daemon.address).await;
    let alarms = false_alarms(&daemon.address, load.truths);
    assert!(alarms.is_empty(), "{alarms:#?}");
    stop.cancel();
    for client in clients {
        client.await.expect("the load went on to the end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_healthy_pgbench_database_nothing_is_said_but_what_is_true() {
    nothing_is_said_but_what_is_true(&NEARLY_IDLE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_healthy_server_that_is_busy_nothing_is_said_but_what_is_true() {
    nothing_is_said_but_what_is_true(&AT_FULL_SPEED).await;
}
