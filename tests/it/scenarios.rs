//! Runs `tests/scenarios/<rule>.sql` on real servers. The language:
//! `-- since 16` · `-- session A:` · `-- look` · `-- at +36 days` · `-- on 2026-04-01` · `-- set min_age = "1 day"` · `-- login stranger` ·
//! `-- expect index.unused on public.orders_note_idx` · `-- expect … saying …` · `-- expect no … on …` ·
//! `-- refresh view = "public.m", every = "1 s"` (a table of the configuration) · `-- pass` (what is due is refreshed) ·
//! `-- sample 60` (samples what sessions do so often) · `-- declare memory = "1 GiB"` (a key of the server's table) · `-- own cost ratio 0.02` (what the advisor is said to cost) ·
//! `-- pass in background` … `-- passed` · `-- expect nothing` · `-- expect skipped because …` · `-- expect undecided because …`. A statement with `-- fails` may
//! fail; one with `-- waits` goes on in the background once it waits for a lock, until its session is spoken to again.
//! The statement for psql that each claim carries is run, too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use pgadvisor::collect::Collector;
use pgadvisor::collect::samples::{Sampler, Samples};
use pgadvisor::configuration::Configuration;
use pgadvisor::engine::advising::Advising;
use pgadvisor::engine::refreshing::{self, Refresher};
use pgadvisor::judge::{self, RuleSettings, Settings};
use pgadvisor::model::judgement::Verdict;
use pgadvisor::model::observation::{Cadence, OwnCost};
use pgadvisor::model::unit::Period;
use pgadvisor::observe::Observer;
use pgadvisor::postgres::Server;
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::refresh::pass::Stop;
use pgadvisor::refresh::plan::{Ask, Unchanged};
use pgadvisor::rules;
use pgadvisor::store::{FindingFilter, Store};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, eventually, some_versions};

/// One scenario while it runs.
struct Scenario<'a> {
    cluster: &'a Cluster,
    rule: String,
    settings: Settings,
    collector: Collector,
    sampler: Sampler,
    samples: Samples,
    observer: Observer,
    advising: Advising,
    store: Store,
    shift: TimeDelta,
    sessions: HashMap<String, Client>,
    waiting: HashMap<String, JoinHandle<Client>>,
    /// The tables `[[refresh]]` of the configuration.
    refreshes: String,
    passing: Option<JoinHandle<()>>,
    /// Keys of the server's table.
    declared: String,
    own_cost_ratio: Option<f64>,
    current: String,
    sql: String,
    looked: bool,
    skipped: Option<String>,
    untold: Option<String>,
    /// The open findings: the object and all of the finding as JSON.
    found: Vec<(String, String)>,
}

fn server(cluster: &Cluster, login: &str) -> Server {
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: Some(login.into()),
    };
    let conninfo = ConnInfo::parse(&cluster.dsn(login, "postgres"), &environment).unwrap();
    Server::new(conninfo).unwrap()
}

/// A collector that reads names at every look, and what is locked of who idles in a transaction for a second.
pub fn collector(cluster: &Cluster, login: &str) -> Collector {
    let mut collector = Collector::new(
        "s".into(),
        server(cluster, login),
        Box::new(|name| name == "postgres"),
        Duration::ZERO,
    );
    collector.read_statistics_as(server(cluster, login));
    collector.heed_comments_for(rules::ids());
    collector.ask_for_held_locks_after(Duration::from_secs(1));
    collector
}

impl<'a> Scenario<'a> {
    fn new(cluster: &'a Cluster, rule: &str) -> Self {
        let kind = rules::find(rule).unwrap_or_else(|| panic!("no rule {rule}"));
        // only this rule: a scenario says nothing of others
        let only = |other: &rules::RuleKind| RuleSettings {
            enabled: other.id == kind.id,
            ..Settings::default().of(other)
        };
        let rules = rules::all().iter();
        let settings = Settings {
            rules: rules.map(|other| (other.id.to_owned(), only(other))).collect(),
            ..Settings::default()
        };
        Self {
            cluster,
            rule: rule.to_owned(),
            settings,
            collector: collector(cluster, "postgres"),
            sampler: Sampler::new(server(cluster, "postgres")),
            samples: Samples::default(),
            observer: Observer::default(),
            advising: Advising::new(
                server(cluster, "postgres"),
                Duration::ZERO,
                CancellationToken::new(),
            ),
            store: Store::in_memory().unwrap(),
            shift: TimeDelta::zero(),
            sessions: HashMap::new(),
            waiting: HashMap::new(),
            refreshes: String::new(),
            passing: None,
            declared: String::new(),
            own_cost_ratio: None,
            current: "main".into(),
            sql: String::new(),
            looked: false,
            skipped: None,
            untold: None,
            found: Vec::new(),
        }
    }

    /// Sends what was gathered, statement by statement: some of them refuse to run in company.
    async fn flush(&mut self) {
        for statement in std::mem::take(&mut self.sql)
            .split(";\n")
            .filter(|part| !part.trim().is_empty())
        {
            if let Some(waiting) = self.waiting.remove(&self.current) {
                self.sessions.insert(self.current.clone(), waiting.await.unwrap());
            }
            if !self.sessions.contains_key(&self.current) {
                let session = self.cluster.connect("postgres").await;
                self.sessions.insert(self.current.clone(), session);
            }
            self.looked = false;
            if statement.contains("-- waits") {
                self.wait_in_background(statement).await;
                continue;
            }
            let may_fail = statement.contains("-- fails");
            let result = self.sessions[&self.current].batch_execute(statement).await;
            assert!(result.is_ok() || may_fail, "{statement}: {result:?}");
        }
    }

    /// Leaves the current session with a statement that waits for a lock.
    async fn wait_in_background(&mut self, statement: &str) {
        let session = self.sessions.remove(&self.current).unwrap();
        let pid: i32 = session
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .unwrap()
            .get(0);
        let statement = statement.to_owned();
        let waiting = tokio::spawn(async move {
            session.batch_execute(&statement).await.unwrap();
            session
        });
        self.waiting.insert(self.current.clone(), waiting);
        let sql =
            format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'");
        let cluster = self.cluster;
        eventually("the statement waits", || async {
            cluster.number("postgres", &sql).await == 1
        })
        .await;
    }

    /// What the main session counted is seen by everybody then.
    async fn end_main(&mut self) {
        if let Some(session) = self.sessions.remove("main") {
            self.cluster.end(session).await;
        }
    }

    /// Samples so often as the daemon does it every five seconds.
    async fn sample(&mut self, times: u32) {
        self.end_main().await;
        for _ in 0..times {
            let sample = self.sampler.sample().await.unwrap();
            self.samples.add(sample);
        }
        self.looked = false;
    }

    /// Looks, judges and records as the daemon does, at the scenario's time.
    async fn look(&mut self) {
        self.end_main().await;
        let mut seen = self.collector.look().await.unwrap();
        seen.snapshot.at += self.shift;
        seen.snapshot.taken_at += self.shift;
        seen.snapshot.server.declared = self.configuration().servers[0].declared();
        for database in &mut seen.snapshot.databases {
            if let Some(look) = &mut database.table_activity {
                let look = Arc::make_mut(look);
                look.at += self.shift;
                let scanned = look.tables.iter_mut();
                for at in scanned.filter_map(|table| table.last_sequential_scan_at.as_mut()) {
                    *at += self.shift;
                }
            }
        }
        let samples = std::mem::take(&mut self.samples);
        if samples.taken() > 0 {
            let (seconds, hidden) = (samples.taken() as f64 * 5.0, samples.hidden());
            let texts = seen.snapshot.statements.as_ref().map(|read| &*read.texts);
            let minute = samples.minute(seconds, texts);
            self.observer.waits.add(seen.snapshot.at, &minute, hidden);
        }
        let mut observation = self.observer.observe(&seen.snapshot, false);
        observation.own_cost = self.own_cost_ratio.map(|ratio| OwnCost {
            ratio,
            measured_seconds: 3600.0,
            seconds_last_hour: 72.0,
            slowest_question: None,
            costliest_family: None,
            looks: Cadence::usual(60.0),
            names: Cadence::usual(600.0),
            sampling: Some(Cadence::usual(5.0)),
            budget_ratio: 0.005,
        });
        if ["index.missing", "query.matview_candidate"].contains(&self.rule.as_str()) {
            let all = f64::INFINITY;
            self.advising.turn(&mut observation, all, all).await;
            let advising = &self.advising;
            eventually("advice is worked out", || async { !advising.is_working() }).await;
            self.advising.turn(&mut observation, 0.0, all).await;
        }
        refreshing::add_to(&mut observation, &self.store).unwrap();
        let mut judgement = judge::judge(&observation, &self.settings);
        // a scenario looks seldom
        judgement.unbroken_within = Period::days(400);
        (self.skipped, self.untold) = (None, None);
        for outcome in &judgement.outcomes {
            match &outcome.verdict {
                Verdict::Skipped { reason, .. } | Verdict::Elsewhere { reason } => {
                    self.skipped = Some(reason.clone())
                }
                Verdict::Evaluated { untold, .. } => self.untold.clone_from(untold),
            }
        }
        for sql in judgement
            .claims
            .iter()
            .filter_map(|claim| claim.evidence_sql.as_ref())
        {
            self.cluster.sql("postgres", sql).await;
        }
        self.store
            .record("s", Utc::now() + self.shift, &judgement)
            .unwrap();
        let open = self.store.findings(&FindingFilter::default()).unwrap().items;
        let told = |finding: &pgadvisor::model::finding::Finding| {
            let object = finding.claim.object.as_ref();
            (
                object.map(|object| object.qualified()).unwrap_or_default(),
                serde_json::to_string(finding).unwrap(),
            )
        };
        self.found = open.iter().map(told).collect();
        self.looked = true;
    }

    fn configuration(&self) -> Configuration {
        let text = format!(
            "[[servers]]\nname = \"s\"\ndsn = \"{}\"\ndatabases = [\"postgres\"]\n{}\n{}",
            self.cluster.dsn("postgres", "postgres"),
            self.declared,
            self.refreshes
        );
        Configuration::parse(&text, None, &[], |_| Vec::new()).unwrap()
    }

    /// Refreshes what is due, as the daemon does.
    fn pass(&self) -> impl Future<Output = ()> + use<> {
        let configuration = self.configuration();
        let refresher =
            Refresher::new(&configuration.servers[0], &configuration, self.store.clone()).unwrap();
        async move {
            let (known, failed) = refresher.look(None).await.unwrap();
            assert!(failed.is_empty());
            for known in &known {
                let steps = known.plan(&Ask::Due(Unchanged::Leave));
                refresher.run(steps, &Stop::default(), &|_| {}).await;
            }
            let (known, _) = refresher.look(None).await.unwrap();
            refresher.show(&known, &[]).await.unwrap();
        }
    }

    async fn expect(&mut self, what: &str, place: &str) {
        self.flush().await;
        if !self.looked {
            self.look().await;
        }
        let names: Vec<&String> = self.found.iter().map(|(name, _)| name).collect();
        if what == "nothing" {
            assert!(names.is_empty(), "{place}: found {:#?}", self.found);
        } else if let Some(reason) = what.strip_prefix("skipped because ") {
            let told = self.skipped.clone().unwrap_or_default();
            assert!(told.contains(reason), "{place}: skipped because {told:?}");
        } else if let Some(reason) = what.strip_prefix("undecided because ") {
            let told = self.untold.clone().unwrap_or_default();
            assert!(
                told.contains(reason),
                "{place}: undecided because {told:?}, skipped because {:?}",
                self.skipped
            );
        } else {
            let (what, is_wanted) = what
                .strip_prefix("no ")
                .map_or((what, true), |what| (what, false));
            let (what, saying) = what.split_once(" saying ").unwrap_or((what, ""));
            let (rule, object) = what
                .split_once(" on ")
                .map_or((what, None), |(rule, object)| (rule, Some(object)));
            assert_eq!(rule, self.rule, "{place}");
            let fits = |(name, all): &(String, String)| {
                object.is_none_or(|object| name == object) && all.contains(saying)
            };
            assert_eq!(
                self.found.iter().any(fits),
                is_wanted,
                "{place}: found {names:?}, skipped {:?}, undecided {:?}",
                self.skipped,
                self.untold
            );
        }
    }

    async fn line(&mut self, line: &str, place: &str) {
        let Some(directive) = line.strip_prefix("-- ") else {
            self.sql.push_str(line);
            self.sql.push('\n');
            return;
        };
        if let Some(what) = directive.strip_prefix("expect ") {
            self.expect(what, place).await;
        } else if directive == "look" {
            self.flush().await;
            self.look().await;
        } else if let Some(period) = directive.strip_prefix("at +") {
            self.flush().await;
            self.shift = period
                .parse::<Period>()
                .unwrap_or_else(|error| panic!("{place}: {error}"))
                .as_delta();
            self.looked = false;
        } else if let Some(day) = directive.strip_prefix("on ").and_then(day) {
            self.flush().await;
            self.shift = day - Utc::now();
            self.looked = false;
        } else if let Some(times) = directive.strip_prefix("sample ") {
            self.flush().await;
            self.sample(times.parse().unwrap()).await;
        } else if let Some(name) = directive.strip_prefix("session ") {
            self.flush().await;
            self.current = name.trim_end_matches(':').to_owned();
        } else if let Some(table) = directive.strip_prefix("refresh ") {
            self.refreshes += &format!("[[refresh]]\n{}\n", table.replace(", ", "\n"));
        } else if let Some(key) = directive.strip_prefix("declare ") {
            self.flush().await;
            self.declared += &format!("{key}\n");
            self.looked = false;
        } else if let Some(ratio) = directive.strip_prefix("own cost ratio ") {
            self.own_cost_ratio = Some(ratio.parse().unwrap());
            self.looked = false;
        } else if directive == "pass" {
            self.flush().await;
            self.end_main().await;
            self.pass().await;
            self.looked = false;
        } else if directive == "pass in background" {
            self.flush().await;
            self.passing = Some(tokio::spawn(self.pass()));
            let cluster = self.cluster;
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            eventually("the refresh waits", || async {
                cluster.number("postgres", waiting).await == 1
            })
            .await;
        } else if directive == "passed" {
            self.flush().await;
            self.passing.take().unwrap().await.unwrap();
            self.looked = false;
        } else if let Some(login) = directive.strip_prefix("login ") {
            self.flush().await;
            self.cluster
                .sql("postgres", &format!("CREATE ROLE {login} LOGIN"))
                .await;
            self.collector = collector(self.cluster, login);
            self.sampler = Sampler::new(server(self.cluster, login));
            self.looked = false;
        } else if let Some(setting) = directive.strip_prefix("set ") {
            let table: toml::Table =
                toml::from_str(setting).unwrap_or_else(|error| panic!("{place}: {error}"));
            let chosen = self.settings.rules.get_mut(&self.rule).unwrap();
            for (name, value) in table {
                chosen.thresholds[&name] = serde_json::to_value(value).unwrap();
            }
            self.looked = false;
        }
        // everything else is a comment
    }
}

/// Noon of a day.
fn day(text: &str) -> Option<DateTime<Utc>> {
    let date: NaiveDate = text.parse().ok()?;
    Some(date.and_hms_opt(12, 0, 0)?.and_utc())
}

async fn run(rule: &str) {
    let path = format!("{}/tests/scenarios/{rule}.sql", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let since: u32 = text
        .lines()
        .find_map(|line| line.strip_prefix("-- since "))
        .map_or(0, |text| text.parse().unwrap());
    assert!(text.contains("-- expect nothing"), "{rule} has no near miss");
    assert!(text.contains(&format!("-- expect {rule}")), "{rule} has no hit");
    for version in some_versions().into_iter().filter(|version| *version >= since) {
        let cluster = Cluster::start(version).await;
        let mut scenario = Scenario::new(&cluster, rule);
        for (number, line) in text.lines().enumerate() {
            scenario
                .line(line, &format!("{rule}.sql:{} on {version}", number + 1))
                .await;
        }
        scenario.flush().await;
    }
}

macro_rules! scenarios {
    ($($name:ident = $rule:literal),+ $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            run($rule).await;
        })+

        /// No scenario without a test, and no rule without a scenario.
        #[test]
        fn every_rule_has_a_scenario() {
            let tested = [$($rule),+];
            for rule in rules::all() {
                assert!(tested.contains(&rule.id), "{} is not in this list", rule.id);
            }
            assert_eq!(tested.len(), rules::all().len());
        }
    };
}

scenarios! {
    activity_blocking = "activity.blocking",
    activity_idle_in_transaction = "activity.idle_in_transaction",
    activity_long_query = "activity.long_query",
    activity_prepared_transaction = "activity.prepared_transaction",
    activity_wait_hotspot = "activity.wait_hotspot",
    advisor_overhead = "advisor.overhead",
    advisor_privilege_gap = "advisor.privilege_gap",
    config_cache_hit = "config.cache_hit",
    config_connections = "config.connections",
    config_durability_off = "config.durability_off",
    config_logging = "config.logging",
    config_memory_sizing = "config.memory_sizing",
    config_pending_restart = "config.pending_restart",
    config_planner_disabled = "config.planner_disabled",
    config_random_page_cost = "config.random_page_cost",
    config_statistics_off = "config.statistics_off",
    config_version = "config.version",
    index_blocks_hot = "index.blocks_hot",
    index_duplicate = "index.duplicate",
    index_fk_missing = "index.fk_missing",
    index_invalid = "index.invalid",
    index_missing = "index.missing",
    index_null_heavy = "index.null_heavy",
    index_rarely_used = "index.rarely_used",
    index_redundant_prefix = "index.redundant_prefix",
    index_seq_scan_hotspot = "index.seq_scan_hotspot",
    index_too_many = "index.too_many",
    index_unused = "index.unused",
    matview_blocking_refresh = "matview.blocking_refresh",
    matview_not_concurrent = "matview.not_concurrent",
    matview_overrun = "matview.overrun",
    matview_refresh_failed = "matview.refresh_failed",
    matview_stale = "matview.stale",
    matview_unpopulated = "matview.unpopulated",
    matview_unused = "matview.unused",
    pgss_eviction = "pgss.eviction",
    query_cache_miss = "query.cache_miss",
    query_count_all = "query.count_all",
    query_heavy_rare = "query.heavy_rare",
    query_large_result = "query.large_result",
    query_leading_wildcard = "query.leading_wildcard",
    query_matview_candidate = "query.matview_candidate",
    query_n_plus_one = "query.n_plus_one",
    query_offset_pagination = "query.offset_pagination",
    query_planning_heavy = "query.planning_heavy",
    query_slow_mean = "query.slow_mean",
    query_temp_spill = "query.temp_spill",
    query_time_share = "query.time_share",
    query_unstable = "query.unstable",
    replication_lag = "replication.lag",
    replication_slot_retention = "replication.slot_retention",
    schema_constraint_not_valid = "schema.constraint_not_valid",
    schema_fk_type_mismatch = "schema.fk_type_mismatch",
    schema_int_key_overflow = "schema.int_key_overflow",
    schema_no_primary_key = "schema.no_primary_key",
    schema_sequence_exhaustion = "schema.sequence_exhaustion",
    vacuum_autovacuum_off = "vacuum.autovacuum_off",
    vacuum_dead_tuples = "vacuum.dead_tuples",
    vacuum_disabled = "vacuum.disabled",
    vacuum_scale_factor_big = "vacuum.scale_factor_big",
    vacuum_stale_statistics = "vacuum.stale_statistics",
    vacuum_xid_wraparound = "vacuum.xid_wraparound",
    vacuum_xmin_blocked = "vacuum.xmin_blocked",
}
