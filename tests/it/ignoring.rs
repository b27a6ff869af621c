//! `[[ignore]] application = "…"`: of a statement those count that samples of real sessions saw executing it.

use std::time::Duration;

use chrono::TimeDelta;
use pgadvisor::collect::Collector;
use pgadvisor::collect::samples::{Sampler, Samples};
use pgadvisor::judge::{self, RuleSettings, Settings};
use pgadvisor::model::judgement::Judgement;
use pgadvisor::model::observation::Observation;
use pgadvisor::model::selector::Ignore;
use pgadvisor::observe::Observer;
use pgadvisor::postgres::Server;
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::rules;
use serde_json::json;

use crate::harness::{Cluster, present};

/// Slow each time, and long enough to be seen in samples.
const SLOW: &str = "SELECT pg_sleep(0.5)";

/// One server as the daemon watches it, with clocks that run as the test says.
struct Watched {
    collector: Collector,
    sampler: Sampler,
    samples: Samples,
    observer: Observer,
}

impl Watched {
    fn new(cluster: &Cluster) -> Self {
        let dsn = cluster.dsn("postgres", "postgres");
        let server = || Server::new(ConnInfo::parse(&dsn, &Environment::default()).unwrap()).unwrap();
        let watches = Box::new(|name: &str| name == "postgres");
        Self {
            collector: Collector::new("main".to_owned(), server(), watches, Duration::ZERO),
            sampler: Sampler::new(server()),
            samples: Samples::default(),
            observer: Observer::default(),
        }
    }

    /// Samples what sessions do while an application executes the slow statement, until that was seen so often.
    async fn sees(&mut self, cluster: &Cluster, application: &str, sessions: u64) {
        let mut session = cluster.connect("postgres").await;
        let named = format!("SET application_name = '{application}'");
        session.batch_execute(&named).await.unwrap();
        let mut seen = 0;
        while seen < sessions {
            let executing = tokio::spawn(async move {
                session.batch_execute(SLOW).await.unwrap();
                session
            });
            while !executing.is_finished() && seen < sessions {
                let sample = self.sampler.sample().await.unwrap();
                let of_it = sample.seen.iter().filter(|(doing, _)| {
                    // without its identifier nobody knows the statement: it was being parsed
                    doing.application == application && doing.query_id.is_some()
                });
                seen += of_it.map(|(_, sessions)| *sessions).sum::<u64>();
                self.samples.add(sample);
            }
            session = executing.await.unwrap();
        }
        cluster.end(session).await;
    }

    /// Looks as the daemon does, with what was sampled since the look before.
    async fn look(&mut self, clock: TimeDelta) -> Observation {
        let mut snapshot = self.collector.look().await.unwrap().snapshot;
        snapshot.at += clock;
        snapshot.taken_at += clock;
        let samples = std::mem::take(&mut self.samples);
        if samples.taken() > 0 {
            let (seconds, hidden) = (samples.taken() as f64 * 5.0, samples.hidden());
            let texts = snapshot.statements.as_ref().map(|read| &*read.texts);
            let minute = samples.minute(seconds, texts);
            self.observer.waits.add(snapshot.at, &minute, hidden);
        }
        self.observer.observe(&snapshot, false)
    }
}

/// What query.slow_mean says where statements of some applications are nobody's business.
fn judged(observation: &Observation, applications: &[&str]) -> Judgement {
    let only = |rule: &rules::RuleKind| {
        let mut settings = RuleSettings {
            enabled: rule.id == "query.slow_mean",
            ..Settings::default().of(rule)
        };
        if settings.enabled {
            settings.thresholds["info_calls"] = json!(1);
        }
        (rule.id.to_owned(), settings)
    };
    let ignores = applications.iter().map(|application| Ignore {
        rule: "query.*".to_owned(),
        application: (*application).to_owned(),
        reason: "nightly".to_owned(),
        ..Ignore::default()
    });
    let settings = Settings {
        rules: rules::all().iter().map(only).collect(),
        ignores: ignores.collect(),
    };
    judge::judge(observation, &settings)
}

/// Whether the slow statement is told, and whether it is ignored.
fn told_and_ignored(observation: &Observation, applications: &[&str]) -> (bool, bool) {
    let all = judged(observation, applications);
    let slow: Vec<String> = judged(observation, &[])
        .claims
        .into_iter()
        .filter(|claim| format!("{claim:?}").contains("pg_sleep"))
        .map(|claim| claim.title)
        .collect();
    assert_eq!(slow.len(), 1, "one statement is slow: {slow:?}");
    (
        all.claims.iter().any(|claim| claim.title == slow[0]),
        all.ignored.iter().any(|ignored| ignored.title == slow[0]),
    )
}

#[tokio::test]
async fn a_statement_is_ignored_while_all_who_are_seen_executing_it_are_meant() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let mut watched = Watched::new(&cluster);
        watched.look(TimeDelta::zero()).await;

        // who executes it was seen too seldom to tell
        watched.sees(&cluster, "etl-17", 1).await;
        let first = watched.look(TimeDelta::minutes(6)).await;
        let (told, ignored) = told_and_ignored(&first, &["etl*"]);
        assert!(told && !ignored, "one sight proves nothing, on {version}");

        watched.sees(&cluster, "etl-17", 10).await;
        watched.sees(&cluster, "etl-4", 10).await;
        let all_are_meant = watched.look(TimeDelta::minutes(12)).await;
        for (application, is_ignored) in [
            ("etl*", true),
            ("etl-#", true),
            ("etl-17", false),
            ("shop", false),
        ] {
            assert_eq!(
                told_and_ignored(&all_are_meant, &[application]),
                (!is_ignored, is_ignored),
                "{application} on {version}"
            );
        }

        watched.sees(&cluster, "shop", 1).await;
        let another_one = watched.look(TimeDelta::minutes(18)).await;
        assert_eq!(
            told_and_ignored(&another_one, &["etl*"]),
            (true, false),
            "another application executes it, too, on {version}"
        );
        assert_eq!(
            told_and_ignored(&another_one, &["etl*", "shop"]),
            (true, false),
            "no single one of these means them all, on {version}"
        );
    }
}
