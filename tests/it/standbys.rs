//! A primary with its standby: what one of them uses is not called unused, all sessions of a look are with one server, and
//! a failover loses nothing that was known.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use pgadvisor::collect::Collector;
use pgadvisor::engine::standbys;
use pgadvisor::judge::{self, RuleSettings, Settings};
use pgadvisor::model::finding::Claim;
use pgadvisor::model::observation::Observation;
use pgadvisor::model::status::{ReplicationStatus, ServerStatus};
use pgadvisor::observe::Observer;
use pgadvisor::observe::usage::{IndexName, Usage};
use pgadvisor::postgres::Server;
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::rules;
use pgadvisor::store::{IndexKey, IndexUsage, Store};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::dashboard::{get, request};
use crate::harness::{Cluster, eventually, pgadvisor, present};

/// A table with an index for the primary, one for its standby, and one for nobody.
const SCHEMA: &str = "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int);
    INSERT INTO t SELECT i, i, i, i FROM generate_series(1, 1000) AS i;
    CREATE INDEX on_primary ON t (a); CREATE INDEX on_standby ON t (b); CREATE INDEX nobody ON t (c); ANALYZE t";

async fn uses(cluster: &Cluster, column: &str) {
    let session = cluster.connect("postgres").await;
    let sql = format!("SET enable_seqscan = off; SELECT id FROM t WHERE {column} = 7");
    session.batch_execute(&sql).await.unwrap();
    cluster.end(session).await;
}

fn server(dsn: &str) -> Server {
    Server::new(ConnInfo::parse(dsn, &Environment::default()).unwrap()).unwrap()
}

/// One server as the daemon watches it, with clocks that run as the test says.
struct Watched {
    name: &'static str,
    collector: Collector,
    observer: Observer,
}

impl Watched {
    fn at(name: &'static str, dsn: &str) -> Self {
        let watches = Box::new(|name: &str| name == "postgres");
        Self {
            name,
            collector: Collector::new(name.to_owned(), server(dsn), watches, Duration::ZERO),
            observer: Observer::default(),
        }
    }

    async fn look(&mut self, clock: TimeDelta) -> Observation {
        let mut snapshot = self.collector.look().await.unwrap().snapshot;
        snapshot.at += clock;
        snapshot.taken_at += clock;
        self.observer.observe(&snapshot, false)
    }

    /// Writes down what the daemon does, for the other servers of the cluster.
    fn record(&mut self, seen: &Observation, store: &Store) {
        let status = ServerStatus {
            name: self.name.to_owned(),
            version_num: Some(seen.server.version_num),
            system_identifier: seen.server.system_identifier.clone(),
            is_standby: Some(seen.server.is_standby),
            databases: vec!["postgres".to_owned()],
            last_seen_at: Some(seen.now),
            unreachable: None,
            own_seconds_last_hour: 0.0,
            own_cost_ratio: 0.0,
            own_entries_seconds_last_hour: None,
            families: Vec::new(),
            replication: seen.replication.as_ref().ok().map(|known| ReplicationStatus {
                replay: known.replay.clone(),
                standbys: known.standbys.clone(),
                wal_position_bytes: known.wal_position_bytes,
            }),
            running: seen.server.running(),
            told_by: None,
            counters_since: seen.counters_since(),
        };
        store.record_server(&status).unwrap();
        let row = |(name, usage): (IndexName, Usage)| IndexUsage {
            key: IndexKey {
                database: name.database,
                schema: name.schema,
                name: name.name,
            },
            oid: usage.oid,
            scans: usage.scans,
            first_seen_at: usage.first_seen_at,
            last_moved_at: usage.last_moved_at,
            checked_at: seen.now,
        };
        let unwritten = self.observer.usages.take_unwritten();
        let rows: Vec<IndexUsage> = unwritten.into_iter().map(row).collect();
        store.save_index_usage(self.name, &rows, &[]).unwrap();
    }
}

/// The indexes that are called unused.
fn unused(observation: &Observation) -> BTreeSet<String> {
    let only = |rule: &rules::RuleKind| {
        let settings = RuleSettings {
            enabled: rule.id == "index.unused",
            ..Settings::default().of(rule)
        };
        (rule.id.to_owned(), settings)
    };
    let settings = Settings {
        rules: rules::all().iter().map(only).collect(),
        ..Settings::default()
    };
    let claims = judge::judge(observation, &settings).claims;
    let name = |claim: Claim| claim.object.map(|object| object.name);
    claims.into_iter().filter_map(name).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether there is a window of statements.
fn has_statements(observation: &Observation) -> bool {
    observation.statements.is_ok()
}

/// Waits until a server in recovery streams, or no longer does.
async fn eventually_streams(cluster: &Cluster, streams: bool) {
    let receivers = || cluster.number("postgres", "SELECT count(*) FROM pg_stat_wal_receiver");
    eventually("it streams, or not", || async {
        receivers().await == i64::from(streams)
    })
    .await;
}

/// A copy of a primary that is in recovery and gets nothing more from it.
async fn clone_in_recovery(primary: &mut Cluster) -> Cluster {
    let clone = primary.standby().await;
    clone
        .sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''")
        .await;
    clone.sql("postgres", "SELECT pg_reload_conf()").await;
    eventually_streams(&clone, false).await;
    clone
}

#[tokio::test]
async fn what_only_the_standby_uses_is_not_unused_and_a_promotion_makes_nothing_unused() {
    for version in present(&[15, 18]) {
        let mut primary = Cluster::start(version).await;
        primary.sql("postgres", SCHEMA).await;
        let clone = clone_in_recovery(&mut primary).await;
        let standby = primary.standby().await;
        eventually_streams(&standby, true).await;
        let store = Store::in_memory().unwrap();
        let mut main = Watched::at("main", &primary.dsn("postgres", "postgres"));
        let mut copy = Watched::at("copy", &standby.dsn("postgres", "postgres"));
        let first = main.look(TimeDelta::zero()).await;
        assert_eq!(first.server.timeline, Some(1), "on {version}");
        let on_standby = copy.look(TimeDelta::zero()).await;
        assert_eq!(on_standby.server.timeline, None, "on {version}");
        assert_eq!(
            on_standby.server.system_identifier,
            first.server.system_identifier
        );
        copy.record(&on_standby, &store);

        uses(&primary, "a").await;
        uses(&standby, "b").await;
        let later = TimeDelta::days(36);
        let on_standby = copy.look(later).await;
        assert!(has_statements(&on_standby), "a window of 36 days, on {version}");
        assert_eq!(
            unused(&on_standby),
            names(&[]),
            "a standby is not judged, on {version}"
        );
        copy.record(&on_standby, &store);
        let mut cloned = Watched::at("clone", &clone.dsn("postgres", "postgres"));
        let on_clone = cloned.look(later).await;
        let mut on_primary = main.look(later).await;
        assert_eq!(
            unused(&on_primary),
            names(&["nobody", "on_standby"]),
            "the primary alone cannot know, on {version}"
        );
        standbys::add_to(&mut on_primary, &store, Utc::now() + later).unwrap();
        assert_eq!(on_primary.standbys_watched.names, ["copy"], "on {version}");
        assert_eq!(on_primary.standbys_unwatched(), 0, "on {version}");
        assert_eq!(unused(&on_primary), names(&["nobody"]), "on {version}");
        // a copy that stands still is none of its standbys
        let others = Store::in_memory().unwrap();
        cloned.record(&on_clone, &others);
        standbys::add_to(&mut on_primary, &others, Utc::now() + later).unwrap();
        assert!(on_primary.standbys_watched.names.is_empty(), "on {version}");
        assert_eq!(on_primary.standbys_unwatched(), 1, "on {version}");

        // nobody looks while it is promoted
        primary.stop("QUIT");
        standby.sql("postgres", "SELECT pg_promote()").await;
        let promoted = copy.look(later + TimeDelta::minutes(6)).await;
        assert_eq!(
            (promoted.server.is_standby, promoted.server.timeline),
            (false, Some(2)),
            "on {version}"
        );
        assert!(!has_statements(&promoted), "windows begin anew, on {version}");
        assert_eq!(
            unused(&promoted),
            names(&[]),
            "what the primary used until now was never counted here, on {version}"
        );
        copy.record(&promoted, &store);
        let known = store.index_usage("copy").unwrap();
        let of = |name: &str| known.iter().find(|usage| usage.key.name == name).unwrap();
        assert!(
            of("nobody").first_seen_at < Utc::now() && of("on_standby").scans > 0,
            "its history is still there, on {version}: {known:?}"
        );
        let much_later = copy.look(later + TimeDelta::days(37)).await;
        assert_eq!(
            unused(&much_later),
            names(&["nobody", "on_primary", "on_standby"]),
            "as the primary it used none of them for 36 days, on {version}"
        );
    }
}

#[tokio::test]
async fn a_failover_behind_one_address_keeps_what_is_known_and_ends_windows() {
    let mut primary = Cluster::start(18).await;
    primary.sql("postgres", SCHEMA).await;
    let standby = primary.standby().await;
    let folder = tempfile::tempdir().unwrap();
    let address = folder.path().join("address");
    let dsn = format!("host={} user=postgres dbname=postgres", address.display());
    let turn_to = |cluster: &Cluster| {
        let _ = std::fs::remove_file(&address);
        symlink(cluster.folder(), &address).unwrap();
    };
    turn_to(&primary);
    let mut main = Watched::at("main", &dsn);
    main.look(TimeDelta::zero()).await;
    uses(&primary, "a").await;
    uses(&standby, "b").await;
    let later = TimeDelta::days(36);
    let before = main.look(later).await;
    assert!(has_statements(&before));
    assert_eq!(unused(&before), names(&["nobody", "on_standby"]));

    primary.stop("QUIT");
    standby.sql("postgres", "SELECT pg_promote()").await;
    turn_to(&standby);
    let after = main.look(later + TimeDelta::minutes(6)).await;
    assert_eq!(after.server.timeline, Some(2));
    assert!(
        !has_statements(&after),
        "counters of two servers are not compared"
    );
    let idle_days = |name: &str| {
        let database = &after.databases[0];
        let named = |oid: u32| {
            database
                .catalog
                .indexes
                .get(oid)
                .is_some_and(|facts| facts.name == name)
        };
        let index = database.indexes.iter().find(|index| named(index.oid)).unwrap();
        (after.now - index.idle_since.unwrap()).num_days()
    };
    assert_eq!(idle_days("on_primary"), 0, "the server before used it");
    assert_eq!(
        unused(&after),
        names(&["nobody", "on_standby"]),
        "what is known is kept"
    );
    assert!(
        idle_days("nobody") >= 35,
        "nobody used it on either: {}",
        idle_days("nobody")
    );
}

/// How many sessions of ours a server has.
async fn sessions(cluster: &Cluster) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgadvisor'";
    cluster.number("postgres", sql).await
}

#[tokio::test]
async fn of_several_hosts_one_is_chosen_by_its_role_and_kept() {
    let mut primary = Cluster::start(18).await;
    primary.sql("postgres", "CREATE DATABASE other").await;
    let standby = primary.standby().await;
    let at = |first: &Cluster, second: &Cluster, attrs: &str| {
        let folders = [first, second].map(|cluster| cluster.folder().display().to_string());
        format!(
            "host={} user=postgres dbname=postgres target_session_attrs={attrs}",
            folders.join(",")
        )
    };
    eventually("the database is there", || async {
        let sql = "SELECT count(*) FROM pg_database WHERE datname = 'other'";
        standby.number("postgres", sql).await == 1
    })
    .await;
    for (dsn, expected) in [
        (at(&standby, &primary, "primary"), (2, 0)),
        (at(&primary, &standby, "standby"), (0, 2)),
        (at(&primary, &standby, "prefer-standby"), (0, 2)),
        (at(&standby, &primary, "any"), (0, 2)),
        (at(&standby, &primary, "read-write"), (2, 0)),
        (at(&primary, &primary, "prefer-standby"), (2, 0)),
    ] {
        let server = server(&dsn);
        let home = server.observe_home().await.unwrap();
        let visit = server.observe("other").await.unwrap();
        let seen = || async { (sessions(&primary).await, sessions(&standby).await) };
        // a session that was refused may be about to end
        eventually("all sessions are with one server", || async {
            seen().await == expected
        })
        .await;
        drop((home, visit, server));
        eventually("the sessions ended", || async { seen().await == (0, 0) }).await;
    }
    let refused = server(&at(&primary, &primary, "standby")).observe_home().await;
    let why = refused.err().unwrap().one_line();
    assert!(why.contains("the server is not a standby"), "{why}");

    // whoever wants a primary goes where it is now
    let server = server(&at(&primary, &standby, "primary"));
    drop(server.observe_home().await.unwrap());
    primary.stop("QUIT");
    assert!(server.observe_home().await.is_err(), "there is none");
    standby.sql("postgres", "SELECT pg_promote()").await;
    drop(server.observe_home().await.unwrap());
    // one that was refused may be about to end
    eventually("the session is there", || async { sessions(&standby).await == 1 }).await;
}

#[tokio::test]
async fn who_plans_goes_to_the_host_that_is_looked_at() {
    let mut primary = Cluster::start(18).await;
    let standby = primary.standby().await;
    let at = |hosts: [&Cluster; 2], attrs: &str| {
        let folders = hosts.map(|cluster| cluster.folder().display().to_string());
        let hosts = folders.join(",");
        format!("host={hosts} user=postgres dbname=postgres target_session_attrs={attrs}")
    };
    let looked_at = server(&at([&primary, &standby], "standby"));
    // for itself it would choose the primary, which is named first
    let login = ConnInfo::parse(&at([&primary, &standby], "any"), &Environment::default()).unwrap();
    let planner = looked_at.followed_by(login).unwrap().unwrap();
    let early = planner.plan("postgres").await.err().unwrap().one_line();
    assert!(early.contains("it is known after the first look"), "{early}");
    let home = looked_at.observe_home().await.unwrap();
    let plan = planner.plan("postgres").await.unwrap();
    eventually("both sessions are with the standby", || async {
        (sessions(&primary).await, sessions(&standby).await) == (0, 2)
    })
    .await;
    drop((home, plan));
}

fn kinds(daemon: &Daemon, server: &str) -> Vec<String> {
    let feed = get(&daemon.address, "/api/v1/events?limit=1000").json();
    let events = feed["items"].as_array().unwrap().iter();
    let own = events.filter(|event| event["finding"]["server"] == server);
    own.map(|event| format!("{} {}", event["type"], event["finding"]["rule"]))
        .collect()
}

fn store(daemon: &Daemon) -> Store {
    let status = get(&daemon.address, "/api/v1/status").json();
    Store::open_shared(Path::new(status["advisor"]["store_path"].as_str().unwrap())).unwrap()
}

/// What is known of an index of a server of that name.
fn usage(daemon: &Daemon, server: &str, index: &str) -> IndexUsage {
    let known = store(daemon).index_usage(server).unwrap();
    known.into_iter().find(|usage| usage.key.name == index).unwrap()
}

/// When indexes of the standby were first seen, by name.
fn first_seen(daemon: &Daemon) -> Vec<(String, chrono::DateTime<Utc>)> {
    let known = store(daemon).index_usage("copy").unwrap();
    known
        .into_iter()
        .map(|usage| (usage.key.name, usage.first_seen_at))
        .collect()
}

fn statements(daemon: &Daemon) -> Vec<Value> {
    let path = "/api/v1/servers/copy/postgres/statements?range=1h";
    let page = get(&daemon.address, path).json();
    page["statements"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_daemon_that_watches_both_loses_nothing_when_one_is_promoted() {
    let mut primary = Cluster::start(18).await;
    primary.sql("postgres", SCHEMA).await;
    primary.sql("postgres", "CREATE INDEX twin ON t (c)").await;
    let standby = primary.standby().await;
    let more = format!(
        "[[servers]]\nname = \"copy\"\ndsn = \"{}\"\npoll_every = \"1 s\"\ncatalog_every = \"1 s\"\n\
         [rules.activity.idle_in_transaction]\nwarning_age = \"1 s\"\nclear = \"1 s\"\n\
         [rules.index.duplicate]\nclear = \"1 s\"",
        standby.dsn("postgres", "postgres")
    );
    let daemon = Daemon::start(&primary.dsn("postgres", "postgres"), &more);
    let idle = standby.connect("postgres").await;
    idle.batch_execute("SET application_name = 'shop'; BEGIN; SELECT id FROM t WHERE b = 7")
        .await
        .unwrap();
    let of = |rule: &str, server: &str| {
        let found = daemon.findings(&format!("?rule={rule}&server={server}"));
        found.first().cloned()
    };
    eventually("the finding on the standby", || async {
        of("activity.idle_in_transaction", "copy").is_some()
    })
    .await;
    eventually("the finding on the primary", || async {
        of("index.duplicate", "main").is_some()
    })
    .await;
    eventually("what statements did on the standby", || async {
        uses(&standby, "b").await;
        !statements(&daemon).is_empty()
    })
    .await;
    let together = get(&daemon.address, "/api/v1/servers").json();
    let servers = together["clusters"][0]["servers"].as_array().unwrap();
    let named: Vec<&Value> = servers.iter().map(|server| &server["name"]).collect();
    assert_eq!(named, ["main", "copy"], "the primary first: {together}");
    for path in ["/servers", "/servers/main", "/servers/copy?range=1h"] {
        let page = get(&daemon.address, path);
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains(" style="), "{path}");
    }
    assert_eq!(get(&daemon.address, "/servers/nobody").status, 404);
    let (before, known) = (
        of("activity.idle_in_transaction", "copy").unwrap(),
        first_seen(&daemon),
    );
    assert!(known.iter().any(|(name, _)| name == "on_standby"), "{known:?}");
    let twin = of("index.duplicate", "main").unwrap();
    let path = format!(
        "/api/v1/findings/{}/acknowledge",
        twin["fingerprint"].as_str().unwrap()
    );
    let answer = request(&daemon.address, "POST", &path, "", "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    let is_acknowledged = |finding: Option<Value>| finding.is_some_and(|one| one["state"] == "acknowledged");
    eventually("it is acknowledged", || async {
        is_acknowledged(of("index.duplicate", "main"))
    })
    .await;
    let used_at = Utc::now();
    eventually("the use of an index on the primary", || async {
        uses(&primary, "a").await;
        usage(&daemon, "main", "on_primary").last_moved_at.is_some()
    })
    .await;

    let stopped_at = Utc::now();
    primary.stop("QUIT");
    standby.sql("postgres", "SELECT pg_promote()").await;
    eventually("it is seen to be the primary", || async {
        get(&daemon.address, "/api/v1/servers/copy").json()["server"]["is_standby"] == false
    })
    .await;
    eventually("it is judged as one", || async {
        of("index.duplicate", "copy").is_some()
    })
    .await;
    let taken_over = of("index.duplicate", "copy").unwrap();
    assert_eq!(taken_over["first_seen_at"], twin["first_seen_at"], "{taken_over}");
    assert_eq!(taken_over["acknowledged_by"], "local", "{taken_over}");
    assert!(is_acknowledged(Some(taken_over)));
    let after = of("activity.idle_in_transaction", "copy").unwrap();
    for field in ["fingerprint", "first_seen_at", "state"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert!(
        of("index.duplicate", "main").is_some(),
        "what cannot be seen keeps its findings"
    );
    for server in ["main", "copy"] {
        let said = kinds(&daemon, server);
        let is_wrong = |kind: &&String| {
            (kind.contains("resolved") || kind.contains("reopened")) && !kind.contains("replication.")
        };
        assert_eq!(said.iter().find(is_wrong), None, "{server}: {said:?}");
    }
    assert!(!statements(&daemon).is_empty(), "its history is still there");
    let idle_since = |index: &str| {
        let usage = usage(&daemon, "copy", index);
        usage.last_moved_at.unwrap_or(usage.first_seen_at)
    };
    assert!(idle_since("nobody") < stopped_at, "neither used it before");
    assert!(idle_since("on_primary") > used_at, "the primary did");
    let still: Vec<_> = first_seen(&daemon);
    assert!(known.iter().all(|one| still.contains(one)), "{known:?} {still:?}");
    let of_both = get(&daemon.address, "/servers/main").body;
    assert!(of_both.contains("cannot be reached"), "{of_both}");
    idle.batch_execute("ROLLBACK").await.unwrap();
}

/// What `check` says beside its report of the server of that name.
fn said_by_check(config: &Path, server: &str) -> String {
    let config = config.to_str().unwrap();
    let output = pgadvisor()
        .args([
            "check",
            "--config",
            config,
            "--server",
            server,
            "--fail-on",
            "never",
        ])
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_server_under_two_names_is_told_once() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", "CREATE DATABASE shop").await;
    let twins =
        "CREATE TABLE t (a int PRIMARY KEY, b int); CREATE INDEX i1 ON t (b); CREATE INDEX i2 ON t (b)";
    for database in ["postgres", "shop"] {
        cluster.sql(database, twins).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = folder.path().join("address");
    symlink(cluster.folder(), &address).unwrap();
    let entry = |name: &str, host: &Path, databases: &str| {
        let host = host.display();
        format!(
            "[[servers]]\nname = \"{name}\"\ndsn = \"host={host} user=postgres dbname=postgres\"\npoll_every = \"1 s\"\n\
             catalog_every = \"1 s\"\ndatabases = {databases}\n"
        )
    };
    let main = entry("main", cluster.folder(), "[\"postgres\"]");
    let other = entry("other", &address, "[\"postgres\", \"shop\"]");
    let beginning = "[web]\nlisten = \"127.0.0.1:0\"\n[budget]\nown_cost_ratio = 1.0\n";
    let config = folder.path().join("config.toml");
    std::fs::write(&config, format!("{beginning}{main}{other}")).unwrap();
    let mut daemon = Daemon::start_in(folder);
    let told = |daemon: &Daemon, server: &str| -> BTreeSet<(String, String)> {
        let found = daemon
            .findings(&format!("?server={server}&state=all&limit=1000"))
            .into_iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // what looks cost is told of each name
        found
            .filter(|finding| finding["rule"] != "advisor.overhead")
            .map(|finding| (text(&finding["rule"]), text(&finding["database"])))
            .collect()
    };
    let place = |rule: &str, database: &str| (rule.to_owned(), database.to_owned());
    eventually("both tell what is theirs to tell", || async {
        let (first, second) = (told(&daemon, "main"), told(&daemon, "other"));
        first.contains(&place("config.durability_off", ""))
            && first.contains(&place("index.duplicate", "postgres"))
            && second.contains(&place("index.duplicate", "shop"))
    })
    .await;
    let second = told(&daemon, "other");
    assert!(
        second.iter().all(|(_, database)| database == "shop"),
        "{second:?}"
    );
    let status = get(&daemon.address, "/api/v1/status").json();
    let of_other = status["servers"].as_array().unwrap().iter();
    let of_other: Vec<_> = of_other.filter(|server| server["name"] == "other").collect();
    assert_eq!(of_other[0]["told_by"], "main", "{status}");
    for (path, words) in [
        ("/status", "what both see is told under main"),
        ("/servers", "reached under two names: main and other"),
        ("/servers/other", "reached under two names: main and other"),
        (
            "/rules/config.durability_off",
            "server main is the same PostgreSQL server",
        ),
    ] {
        let page = get(&daemon.address, path).body;
        assert!(
            page.contains(words) && !page.contains("copies of each other"),
            "{path}: {page}"
        );
    }
    let said = said_by_check(&config, "other");
    assert!(
        said.contains("other is reached under two names: main and other"),
        "{said}"
    );

    // without the first name the second tells everything
    daemon.stop("TERM");
    std::fs::write(&config, format!("{beginning}{other}")).unwrap();
    daemon.again();
    eventually("the name that is left tells all", || async {
        let left = told(&daemon, "other");
        left.contains(&place("config.durability_off", ""))
            && left.contains(&place("index.duplicate", "postgres"))
    })
    .await;
    let page = get(&daemon.address, "/servers").body;
    assert!(!page.contains("two names"), "{page}");
}

#[tokio::test]
async fn a_database_that_is_dropped_and_made_anew_is_another_one_at_once() {
    let cluster = Cluster::start(15).await;
    let schema =
        "CREATE TABLE t (a int PRIMARY KEY, b int); CREATE INDEX i1 ON t (b); CREATE INDEX i2 ON t (b)";
    cluster.sql("postgres", "CREATE DATABASE shop").await;
    cluster.sql("shop", schema).await;
    // names are read seldom: those of the database before must not stand for those of the new one
    let more = "databases = [\"shop\"]\n[rules.index.duplicate]\nclear = \"1 s\"";
    let dsn = cluster.dsn("postgres", "postgres");
    let text = format!(
        "[web]\nlisten = \"127.0.0.1:0\"\n[[servers]]\nname = \"main\"\ndsn = \"{dsn}\"\npoll_every = \"1 s\"\n\
         catalog_every = \"1 h\"\n{more}"
    );
    let daemon = Daemon::with_configuration(&text);
    let object = || {
        let found = daemon.findings("?rule=index.duplicate&database=shop");
        found
            .first()
            .map(|finding| finding["object"]["name"].as_str().unwrap().to_owned())
    };
    eventually("the finding", || async { object().as_deref() == Some("i2") }).await;
    cluster.sql("postgres", "DROP DATABASE shop WITH (FORCE)").await;
    cluster.sql("postgres", "CREATE DATABASE shop").await;
    cluster.sql("shop", &schema.replace("i2", "new_name")).await;
    eventually("what the new database has", || async {
        object().as_deref() == Some("new_name")
    })
    .await;
    let gone = || {
        let all = daemon.findings("?rule=index.duplicate&database=shop&state=all");
        let old = all.into_iter().find(|finding| finding["object"]["name"] == "i2");
        old.unwrap()["state"].clone()
    };
    eventually("what the old one had is resolved", || async {
        gone() == "resolved"
    })
    .await;
}
