//! Runs `tests/scenarios/<rule>.sql` on real servers. The language:
//! `-- since 16` · `-- session A:` · `-- look` · `-- at +36 days` · `-- set min_age = "1 day"` · `-- login stranger` ·
//! `-- expect index.unused on public.orders_note_idx` · `-- expect nothing` · `-- expect skipped because …`

use std::collections::HashMap;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use pgadvisor::collect::Collector;
use pgadvisor::judge::{self, RuleSettings, Settings};
use pgadvisor::model::judgement::Verdict;
use pgadvisor::model::unit::Period;
use pgadvisor::observe::Observer;
use pgadvisor::postgres::Server;
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::rules;
use pgadvisor::store::{FindingFilter, Store};
use tokio_postgres::Client;

use crate::harness::{Cluster, some_versions};

/// One scenario while it runs.
struct Scenario<'a> {
    cluster: &'a Cluster,
    rule: String,
    settings: Settings,
    collector: Collector,
    observer: Observer,
    store: Store,
    shift: TimeDelta,
    sessions: HashMap<String, Client>,
    current: String,
    sql: String,
    looked: bool,
    skipped: Option<String>,
    found: Vec<String>,
}

/// A collector that reads names at every look.
pub fn collector(cluster: &Cluster, login: &str) -> Collector {
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: Some(login.into()),
    };
    let conninfo = ConnInfo::parse(&cluster.dsn(login, "postgres"), &environment).unwrap();
    let server = Server::new(conninfo).unwrap();
    Collector::new(
        "s".into(),
        server,
        Box::new(|name| name == "postgres"),
        Duration::ZERO,
    )
}

impl<'a> Scenario<'a> {
    fn new(cluster: &'a Cluster, rule: &str) -> Self {
        let kind = rules::find(rule).unwrap_or_else(|| panic!("no rule {rule}"));
        // only this rule: a scenario says nothing of others
        let only = |other: &rules::RuleKind| RuleSettings {
            enabled: other.id == kind.id,
            ..judge::settings_of(&Settings::new(), other)
        };
        let settings = rules::all()
            .iter()
            .map(|other| (other.id.to_owned(), only(other)))
            .collect();
        Self {
            cluster,
            rule: rule.to_owned(),
            settings,
            collector: collector(cluster, "postgres"),
            observer: Observer::default(),
            store: Store::in_memory().unwrap(),
            shift: TimeDelta::zero(),
            sessions: HashMap::new(),
            current: "main".into(),
            sql: String::new(),
            looked: false,
            skipped: None,
            found: Vec::new(),
        }
    }

    /// Sends what was gathered, statement by statement: some of them refuse to run in company.
    async fn flush(&mut self) {
        for statement in std::mem::take(&mut self.sql)
            .split(";\n")
            .filter(|part| !part.trim().is_empty())
        {
            if !self.sessions.contains_key(&self.current) {
                let session = self.cluster.connect("postgres").await;
                self.sessions.insert(self.current.clone(), session);
            }
            let may_fail = statement.contains("-- fails");
            let result = self.sessions[&self.current].batch_execute(statement).await;
            assert!(result.is_ok() || may_fail, "{statement}: {result:?}");
            self.looked = false;
        }
    }

    /// Looks, judges and records as the daemon does, at the scenario's time.
    async fn look(&mut self) {
        if let Some(session) = self.sessions.remove("main") {
            self.cluster.end(session).await;
        }
        let mut seen = self.collector.look().await.unwrap();
        seen.snapshot.at += self.shift;
        seen.snapshot.taken_at += self.shift;
        let observation = self.observer.observe(&seen.snapshot, false);
        let mut judgement = judge::judge(&observation, &self.settings);
        // a scenario looks seldom
        judgement.unbroken_within = Period::days(400);
        self.skipped = judgement
            .outcomes
            .iter()
            .find_map(|outcome| match &outcome.verdict {
                Verdict::Skipped { reason, .. } => Some(reason.clone()),
                Verdict::Evaluated { .. } => None,
            });
        self.store
            .record("s", Utc::now() + self.shift, &judgement)
            .unwrap();
        let open = self.store.findings(&FindingFilter::default()).unwrap().items;
        let name = |finding: &pgadvisor::model::finding::Finding| {
            finding
                .claim
                .object
                .as_ref()
                .map(|object| object.qualified())
                .unwrap_or_default()
        };
        self.found = open.iter().map(name).collect();
        self.looked = true;
    }

    async fn expect(&mut self, what: &str, place: &str) {
        self.flush().await;
        if !self.looked {
            self.look().await;
        }
        if what == "nothing" {
            assert!(self.found.is_empty(), "{place}: found {:?}", self.found);
        } else if let Some(reason) = what.strip_prefix("skipped because ") {
            let told = self.skipped.clone().unwrap_or_default();
            assert!(told.contains(reason), "{place}: skipped because {told:?}");
        } else {
            let (rule, object) = what
                .split_once(" on ")
                .map_or((what, None), |(rule, object)| (rule, Some(object)));
            assert_eq!(rule, self.rule, "{place}");
            let fits = |name: &String| object.is_none_or(|object| name == object);
            assert!(
                self.found.iter().any(fits),
                "{place}: found {:?}, skipped {:?}",
                self.found,
                self.skipped
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
        } else if let Some(name) = directive.strip_prefix("session ") {
            self.flush().await;
            self.current = name.trim_end_matches(':').to_owned();
        } else if let Some(login) = directive.strip_prefix("login ") {
            self.flush().await;
            self.cluster
                .sql("postgres", &format!("CREATE ROLE {login} LOGIN"))
                .await;
            self.collector = collector(self.cluster, login);
            self.looked = false;
        } else if let Some(setting) = directive.strip_prefix("set ") {
            let table: toml::Table =
                toml::from_str(setting).unwrap_or_else(|error| panic!("{place}: {error}"));
            let chosen = self.settings.get_mut(&self.rule).unwrap();
            for (name, value) in table {
                chosen.thresholds[&name] = serde_json::to_value(value).unwrap();
            }
            self.looked = false;
        }
        // everything else is a comment
    }
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
    advisor_privilege_gap = "advisor.privilege_gap",
    index_duplicate = "index.duplicate",
    index_invalid = "index.invalid",
    index_unused = "index.unused",
    query_slow_mean = "query.slow_mean",
    query_time_share = "query.time_share",
    vacuum_autovacuum_off = "vacuum.autovacuum_off",
    vacuum_dead_tuples = "vacuum.dead_tuples",
    vacuum_xid_wraparound = "vacuum.xid_wraparound",
}
