//! The daemon as a process: what it lives through, and what it remembers.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::dashboard::get;
use crate::harness::{Cluster, eventually, eventually_within, pgadvisor};

/// A running daemon with a store of its own.
pub struct Daemon {
    pub address: String,
    folder: tempfile::TempDir,
    process: Child,
}

/// What is true of every server of a test, and of no interest.
const OF_A_TEST: &str = "[rules.query.planning_heavy]\nenabled = false\n[[ignore]]\nrule = \"config.*\"\nreason = \"a server of a test\"\n";

impl Daemon {
    /// Starts it on a server, with further configuration.
    pub fn start(dsn: &str, more: &str) -> Self {
        Self::start_at("", dsn, more)
    }

    /// The same with a line of its own for `[web]`.
    pub fn start_at(web: &str, dsn: &str, more: &str) -> Self {
        // a look each second on a machine that is busy with other tests costs more than the usual budget, and would be
        // taken more and more seldom
        let budget = match more.contains("[budget]") {
            true => "",
            false => "[budget]\nown_cost_ratio = 1.0",
        };
        Self::with_configuration(&format!(
            "[web]\nlisten = \"127.0.0.1:0\"\n{web}\n{budget}\n[[servers]]\nname = \"main\"\ndsn = \"{dsn}\"\npoll_every = \"1 s\"\n\
             catalog_every = \"1 s\"\nmemory = \"1 GiB\"\ncores = 2\nstorage = \"disk\"\n{more}\n{OF_A_TEST}"
        ))
    }

    /// Starts it with all of its configuration.
    pub fn with_configuration(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        let (process, address) = Self::launch(folder.path());
        Self {
            address,
            folder,
            process,
        }
    }

    /// Starts it on a configuration and a store that are there.
    pub fn start_in(folder: tempfile::TempDir) -> Self {
        let (process, address) = Self::launch(folder.path());
        Self {
            address,
            folder,
            process,
        }
    }

    fn launch(folder: &std::path::Path) -> (Child, String) {
        let config = folder.join("config.toml");
        let mut process = pgadvisor()
            .arg("run")
            .arg("--config")
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| Some(line.split_once("http://")?.1.trim_end_matches('/').to_owned()))
            .expect("the address in the log");
        // somebody has to read the log, or the daemon would wait for a place to write
        std::thread::spawn(move || lines.for_each(drop));
        (process, address)
    }

    /// Sends a signal and waits for the end; gives the exit code.
    pub fn stop(&mut self, signal: &str) -> Option<i32> {
        let _ = Command::new("kill")
            .args([&format!("-{signal}"), &self.process.id().to_string()])
            .status();
        self.process.wait().unwrap().code()
    }

    /// Starts it again on the same store.
    pub fn again(&mut self) {
        (self.process, self.address) = Self::launch(self.folder.path());
    }

    pub fn findings(&self, query: &str) -> Vec<serde_json::Value> {
        get(&self.address, &format!("/api/v1/findings{query}")).json()["items"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Whether there is an open finding of that rule.
    pub fn has(&self, rule: &str) -> bool {
        self.findings("").iter().any(|finding| finding["rule"] == rule)
    }

    /// All that its store holds, as it is on disk.
    pub fn store_bytes(&self) -> Vec<u8> {
        let file = |end: &str| std::fs::read(self.folder.path().join(format!("pgadvisor.db{end}")));
        let mut bytes = file("").unwrap();
        bytes.extend(file("-wal").unwrap_or_default());
        bytes
    }

    fn unreachable(&self) -> bool {
        get(&self.address, "/api/v1/status").json()["servers"][0]["unreachable"].is_string()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A table with an index that is there twice.
pub const DUPLICATE: &str =
    "CREATE TABLE t (a int PRIMARY KEY, b int); CREATE INDEX i1 ON t (b); CREATE INDEX i2 ON t (b)";

#[tokio::test]
async fn findings_outlive_kill_and_stop_and_resolve_by_themselves() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", DUPLICATE).await;
    let clear = "[rules.index.duplicate]\nclear = \"1 s\"";
    let mut daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), clear);
    eventually("the finding", || async { daemon.has("index.duplicate") }).await;
    let before = daemon.findings("")[0].clone();
    daemon.stop("KILL");
    daemon.again();
    let after = daemon.findings("");
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["fingerprint"], before["fingerprint"]);
    assert_eq!(after[0]["first_seen_at"], before["first_seen_at"]);
    let second = pgadvisor()
        .arg("run")
        .arg("--config")
        .arg(daemon.folder.path().join("config.toml"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2), "two advisors on one store");
    cluster.sql("postgres", "DROP INDEX i2").await;
    eventually("resolved by itself", || async { !daemon.has("index.duplicate") }).await;
    cluster.sql("postgres", "CREATE INDEX i2 ON t (b)").await;
    eventually("reopened", || async { daemon.has("index.duplicate") }).await;
    assert_eq!(daemon.findings("")[0]["fingerprint"], before["fingerprint"]);
    let feed = get(&daemon.address, "/api/v1/events").json();
    let kinds: Vec<&str> = feed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["finding.opened", "finding.resolved", "finding.reopened"],
        "nothing twice"
    );
    assert_eq!(daemon.stop("TERM"), Some(0));
}

#[tokio::test]
async fn the_server_restarts_crashes_and_goes_away() {
    let mut cluster = Cluster::start(18).await;
    cluster.sql("postgres", DUPLICATE).await;
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    eventually("the finding", || async { daemon.has("index.duplicate") }).await;
    for signal in ["INT", "QUIT"] {
        cluster.stop(signal);
        eventually("it is seen to be away", || async { daemon.unreachable() }).await;
        assert!(
            daemon.has("index.duplicate"),
            "what cannot be seen is not resolved"
        );
        assert_eq!(get(&daemon.address, "/healthz").status, 200);
        cluster.run();
        cluster.ready().await;
        eventually("it is seen again", || async { !daemon.unreachable() }).await;
    }
    cluster
        .sql("postgres", "SELECT pg_stat_reset(), pg_stat_statements_reset()")
        .await;
    let seen = || get(&daemon.address, "/api/v1/status").json()["servers"][0]["last_seen_at"].to_string();
    let before = seen();
    eventually("the next look", || async { seen() != before }).await;
    assert!(daemon.has("index.duplicate") && !daemon.unreachable());
}

#[tokio::test]
async fn a_locked_table_dropped_tables_and_refused_logins_lose_no_look() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", DUPLICATE).await;
    cluster
        .sql(
            "postgres",
            "CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher",
        )
        .await;
    let holder = cluster.connect("postgres").await;
    holder
        .batch_execute("BEGIN; CREATE TABLE u (a int); LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE v (a int); CREATE INDEX v1 ON v (a); CREATE INDEX v2 ON v (a)",
        )
        .await;
    let daemon = Daemon::start(&cluster.dsn("watcher", "postgres"), "");
    let open = || {
        daemon
            .findings("")
            .iter()
            .map(|finding| finding["object"]["name"].to_string())
            .collect::<Vec<_>>()
    };
    eventually("the table that is not locked", || async {
        open().contains(&"\"v2\"".to_owned())
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    eventually("the table that was locked", || async {
        open().contains(&"\"i2\"".to_owned())
    })
    .await;
    let dropping = cluster.connect("postgres").await;
    for number in 0..30 {
        let sql = format!("CREATE TABLE d{number} (a int PRIMARY KEY); DROP TABLE d{number}");
        dropping.batch_execute(&sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!daemon.unreachable());
    cluster
        .sql(
            "postgres",
            "ALTER ROLE watcher NOLOGIN;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'",
        )
        .await;
    eventually("the refusal is told", || async {
        let why = get(&daemon.address, "/api/v1/status").json()["servers"][0]["unreachable"].to_string();
        why.contains("not permitted to log in")
    })
    .await;
    cluster.sql("postgres", "ALTER ROLE watcher LOGIN").await;
    eventually("it is seen again", || async { !daemon.unreachable() }).await;
}

#[tokio::test]
async fn a_statement_with_invalid_bytes_costs_the_rules_about_statements_and_nothing_else() {
    let cluster = Cluster::start(15).await;
    cluster
        .sql(
            "postgres",
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        .await;
    // the driver only speaks UTF-8: the bytes are made inside the server, SELECT 1 AS "\xe5"
    let invalid = "SET pg_stat_statements.track = 'all';
        DO $$ BEGIN EXECUTE convert_from('\\x53454c45435420312041532022e522', 'SQL_ASCII'); END $$";
    cluster.sql("latin", invalid).await;
    let reader = cluster.connect("postgres").await;
    let refused = reader
        .batch_execute("SELECT query FROM pg_stat_statements")
        .await
        .unwrap_err();
    assert_eq!(
        refused.code().unwrap().code(),
        "22021",
        "the text breaks the view"
    );
    cluster.sql("postgres", DUPLICATE).await;
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    eventually("the finding", || async { daemon.has("index.duplicate") }).await;
    assert!(!daemon.unreachable());
    let check = pgadvisor()
        .args(["check", &cluster.dsn("postgres", "postgres"), "--format", "json"])
        .output()
        .unwrap();
    let check: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    let skipped = |rule: &str| {
        check["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .any(|skipped| skipped["rule"] == rule)
    };
    assert!(
        skipped("query.slow_mean") && skipped("query.time_share"),
        "what has no text is not said to be gone"
    );
    assert!(!skipped("index.duplicate"));
    let status = get(&daemon.address, "/api/v1/status").json();
    let gaps = status["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["fact"] == "statement texts");
    let remedy = gap.unwrap()["remedy_sql"].as_str().unwrap();
    assert!(
        remedy.contains("pg_stat_statements_reset(0, "),
        "statements of other databases stay: {remedy}"
    );
    let counters = status["servers"][0]["looks"].as_array().unwrap();
    let statements = counters
        .iter()
        .find(|look| look["family"] == "statements")
        .unwrap();
    assert!(
        statements["rows"].as_u64().unwrap() > 0 && statements["error"].is_null(),
        "counters are read"
    );
}

#[tokio::test]
async fn without_pg_stat_statements_the_rest_is_judged() {
    let cluster = Cluster::start(14).await;
    cluster.sql("postgres", "DROP EXTENSION pg_stat_statements").await;
    cluster.sql("postgres", DUPLICATE).await;
    let output = pgadvisor()
        .args(["check", &cluster.dsn("postgres", "postgres"), "--format", "json"])
        .output()
        .unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["rule"]);
    assert!(rules.clone().any(|rule| rule == "index.duplicate"));
    let skipped = answer["skipped"].as_array().unwrap();
    let query = skipped
        .iter()
        .find(|skipped| skipped["rule"] == "query.slow_mean")
        .unwrap();
    assert_eq!(
        query["remedy_sql"],
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public"
    );
}

#[tokio::test]
async fn what_is_wrong_is_found_before_anything_starts() {
    let cluster = Cluster::start(15).await;
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    let folder = tempfile::tempdir().unwrap();
    let run = |text: &str| {
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let output = pgadvisor()
            .arg("run")
            .arg("--config")
            .arg(&path)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&format!("[web]\nlisten = \"{}\"", daemon.address));
    assert_eq!(code, Some(2));
    assert!(
        error.contains(&daemon.address) && error.contains("[web] listen"),
        "{error}"
    );
    let foreign = folder.path().join("pgadvisor.db");
    std::fs::write(&foreign, "a diary").unwrap();
    let (code, error) = run("[web]\nlisten = \"127.0.0.1:0\"");
    assert_eq!(code, Some(2));
    assert!(error.contains("left as it is"), "{error}");
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "a diary");
    let (code, error) = run("[web]\nlisten = \"0.0.0.0:0\"");
    assert_eq!(code, Some(2));
    assert!(error.contains("loopback"), "{error}");
}

#[tokio::test]
async fn a_frozen_session_is_given_up_for_a_new_one() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", DUPLICATE).await;
    // the session that looks is the only one then
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "sample_every = \"0 s\"");
    eventually("the finding", || async { daemon.has("index.duplicate") }).await;
    let ours = "SELECT pid::int8 FROM pg_stat_activity WHERE application_name = 'pgadvisor' LIMIT 1";
    let frozen = cluster.number("postgres", ours).await.to_string();
    let send = |signal: &str| {
        assert!(
            Command::new("kill")
                .args([signal, &frozen])
                .status()
                .unwrap()
                .success()
        )
    };
    send("-STOP");
    let patience = Duration::from_secs(90);
    eventually_within(patience, "said to be unreachable", || async {
        daemon.unreachable()
    })
    .await;
    assert!(
        daemon.has("index.duplicate"),
        "nothing was evaluated, so nothing is resolved"
    );
    eventually_within(patience, "seen again by a new session", || async {
        !daemon.unreachable()
    })
    .await;
    send("-CONT");
    let old = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {frozen}");
    eventually("the old session ended", || async {
        cluster.number("postgres", &old).await == 0
    })
    .await;
}

#[tokio::test]
async fn over_its_budget_it_reads_names_more_seldom_before_it_looks_more_seldom_and_findings_say_so() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", DUPLICATE).await;
    // nothing is within this: every step is taken, one at a turn
    let daemon = Daemon::start(
        &cluster.dsn("postgres", "postgres"),
        "[budget]\nown_cost_ratio = 0.000000001",
    );
    let every = |family: &str| {
        let status = get(&daemon.address, "/api/v1/status").json();
        let families = status["servers"][0]["families"].as_array()?.clone();
        let cost = families.iter().find(|cost| cost["family"] == family)?.clone();
        assert!(cost["seconds_last_hour"].as_f64().unwrap() > 0.0, "{cost}");
        cost["every_seconds"].as_f64()
    };
    eventually("names are read more seldom", || async {
        every("catalog").is_some_and(|every| every > 1.0)
    })
    .await;
    eventually("looks are further apart", || async {
        // asked in this order: names are never stretched less than they were a moment ago
        let looks = every("statements").unwrap();
        let names = every("catalog").unwrap();
        assert!(
            looks == 1.0 || names == 8.0,
            "looks every {looks} s, names every {names} s"
        );
        looks > 1.0
    })
    .await;
    let late = |guard: &serde_json::Value| guard.as_str().unwrap().starts_with("seen late: ");
    eventually("a finding says that it was late", || async {
        let found = daemon.findings("?rule=index.duplicate");
        found
            .iter()
            .any(|one| one["guards"].as_array().unwrap().iter().any(late))
    })
    .await;
}
