//! One server: its turns, one after the other, for as long as the daemon lives.

use std::time::Duration;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::advising::Advising;
use super::cost::{OwnCost, Spent};
use super::{EngineError, Signals, log_events, planner_of, refreshing, rule_settings, server_of, standbys};
use crate::collect::{Collector, Seen};
use crate::configuration::{Configuration, Server as ServerSettings};
use crate::judge::{self, Settings};
use crate::limits;
use crate::model::activity::ActivityNow;
use crate::model::finding::{Event, Finding, State};
use crate::model::history::StatementMinute;
use crate::model::judgement::Judgement;
use crate::model::observation::OwnCost as ObservedCost;
use crate::model::snapshot::Snapshot;
use crate::model::status::{LoadPoint, Look, ServerStatus};
use crate::model::unit::Period;
use crate::observe::usage::{IndexName, Usage};
use crate::observe::{Observer, activity};
use crate::postgres::PostgresError;
use crate::rules::Rule as _;
use crate::rules::index::missing::Missing;
use crate::rules::query::matview_candidate::MatviewCandidate;
use crate::store::{FindingFilter, IndexKey, IndexUsage, Store, StoreError, Turn};

/// One server that is watched.
pub struct Watch {
    name: String,
    poll_every: Duration,
    collector: Collector,
    observer: Observer,
    settings: Settings,
    store: Store,
    cost: OwnCost,
    /// Of the looks alone: advice is worked out more seldom instead of them.
    looks_cost: OwnCost,
    /// What looks at materialized views cost, which another task takes.
    refreshing_spent: Spent,
    /// `None` where nobody wants to know which indexes are missing.
    advising: Option<Advising>,
    budget_ratio: f64,
    status: ServerStatus,
}

impl Watch {
    /// Prepares a server; what was known of its indexes is read from the store.
    ///
    /// # Errors
    /// If its settings cannot be used, or the store cannot be read.
    pub fn new(
        settings: &ServerSettings,
        configuration: &Configuration,
        store: Store,
        stop: &CancellationToken,
    ) -> Result<Self, EngineError> {
        let server = server_of(settings)?;
        let rules = rule_settings(configuration);
        let is_wanted = rules.is_enabled(Missing::ID) || rules.is_enabled(MatviewCandidate::ID);
        let every = settings.advise_every.as_duration();
        let advising = match is_wanted {
            true => {
                let mut advising = Advising::new(planner_of(settings)?, every, stop.clone());
                advising.remember(&advised_before(&store, &settings.name)?);
                Some(advising)
            }
            false => None,
        };
        let mut observer = Observer::default();
        let known = store.index_usage(&settings.name)?;
        let status = store
            .servers()?
            .into_iter()
            .find(|status| status.name == settings.name);
        observer.usages.remember(
            known.into_iter().map(remembered),
            status.as_ref().and_then(|status| status.last_seen_at),
        );
        let watched = settings.clone();
        let watches = Box::new(move |database: &str| watched.watches(database));
        let every = settings.catalog_every.as_duration();
        let mut collector = Collector::new(settings.name.clone(), server, watches, every);
        collector.declare(settings.declared());
        Ok(Self {
            name: settings.name.clone(),
            poll_every: settings.poll_every.as_duration(),
            collector,
            observer,
            settings: rules,
            store,
            cost: OwnCost::default(),
            looks_cost: OwnCost::default(),
            refreshing_spent: Spent::default(),
            advising,
            budget_ratio: configuration.budget.own_cost_ratio,
            status: status.unwrap_or_else(|| never_seen(&settings.name)),
        })
    }

    /// Where the task that refreshes adds what its looks cost.
    pub fn refreshing_spent(&self) -> Spent {
        self.refreshing_spent.clone()
    }

    /// Turns until it is told to stop. A server that fails is tried again, later and later; one that costs more than its
    /// budget is looked at more seldom.
    pub async fn run(mut self, signals: Signals, stop: CancellationToken) {
        let mut wait_after_failure = limits::BACK_OFF_MINIMUM;
        loop {
            let turned = tokio::select! {
                () = stop.cancelled() => return self.write_unwritten().await,
                turned = tokio::time::timeout(limits::LOOK_TIMEOUT, self.turn()) => turned,
            };
            let wait = match turned {
                Ok(Ok(events)) => {
                    log_events(&events);
                    signals.polled();
                    wait_after_failure = limits::BACK_OFF_MINIMUM;
                    self.pause()
                }
                failed => {
                    let why = match failed {
                        Ok(Err(error)) => error,
                        _ => format!("the look did not end within {} s", limits::LOOK_TIMEOUT.as_secs()),
                    };
                    // said once, until something else is wrong
                    if self.status.unreachable.as_ref() != Some(&why) {
                        tracing::warn!(server = self.name, "cannot look at the server: {why}");
                    }
                    self.unreachable(why).await;
                    let wait = wait_after_failure;
                    wait_after_failure = (wait * 2).min(limits::BACK_OFF_MAXIMUM);
                    wait.min(self.poll_every.max(limits::BACK_OFF_MINIMUM))
                }
            };
            signals.changed(&self.store);
            tokio::select! {
                () = stop.cancelled() => return self.write_unwritten().await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// What is written down only now and then while the advisor runs.
    async fn write_unwritten(mut self) {
        let (unwritten, gone) = (
            self.observer.usages.take_unwritten(),
            self.observer.usages.take_gone(),
        );
        let (store, name) = (self.store.clone(), self.name.clone());
        let writing = move || store.save_index_usage(&name, &rows(&unwritten), &keys(&gone));
        match tokio::task::spawn_blocking(writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the use of indexes since the last hour cannot be written down")
            }
            Err(error) => tracing::error!(%error, "writing down the use of indexes failed"),
        }
    }

    /// collect → observe → judge → record; what the planner says of missing indexes is worked out meanwhile, and observed
    /// when it is there.
    async fn turn(&mut self) -> Result<Vec<Event>, String> {
        let seen = self
            .collector
            .look()
            .await
            .map_err(|error: PostgresError| error.one_line())?;
        let mut observation = self.observer.observe(&seen.snapshot, false);
        let mut spent_seconds = seen.spent_seconds + self.refreshing_spent.take();
        if let Some(advising) = &mut self.advising {
            let is_within_budget = self.status.own_cost_ratio <= self.budget_ratio;
            spent_seconds += advising.turn(&mut observation, is_within_budget).await;
        }
        if let Err(error) = standbys::add_to(&mut observation, &self.store, Utc::now()) {
            tracing::error!(%error, "how standbys use indexes cannot be read");
        }
        if let Err(error) = refreshing::add_to(&mut observation, &self.store) {
            tracing::error!(%error, "what refreshing knows cannot be read");
        }
        let (seconds_last_hour, ratio) = self.cost.seconds_and_ratio(Utc::now());
        observation.own_cost = Some(ObservedCost {
            ratio,
            seconds_last_hour,
            slowest_question: Some((seen.slowest_question.0.to_owned(), seen.slowest_question.1)),
            looks_every_seconds: self.pause().as_secs_f64(),
            budget_ratio: self.budget_ratio,
        });
        let mut judgement = judge::judge(&observation, &self.settings);
        let three_looks = Period::seconds(3 * self.pause().as_secs());
        judgement.unbroken_within = judgement.unbroken_within.max(three_looks);
        self.status = self.status_after(&seen, spent_seconds);
        let record = Record {
            looks: seen.looks,
            judgement,
            status: self.status.clone(),
            load: LoadPoint {
                at: Utc::now(),
                load_sessions: self.observer.load_sessions,
            },
            minute: self.observer.statement_minute.take(),
            activity: activity::now(&observation),
            usage: self.observer.usages.take_changed(),
            gone: self.observer.usages.take_gone(),
            snapshot: seen.snapshot,
        };
        let store = self.store.clone();
        let recorded = tokio::task::spawn_blocking(move || {
            let written = record.write(&store);
            (written, record.usage, record.gone)
        });
        match recorded.await {
            Ok((Ok(events), _, _)) => Ok(events),
            Ok((Err(error), usage, gone)) => {
                self.observer.usages.give_back(&usage, gone);
                Err(format!("the store failed: {error}"))
            }
            Err(error) => Err(format!("recording failed: {error}")),
        }
    }

    fn status_after(&mut self, seen: &Seen, spent_seconds: f64) -> ServerStatus {
        let now = Utc::now();
        let elapsed = self
            .status
            .last_seen_at
            .map_or(0.0, |at| (now - at).num_milliseconds() as f64 / 1000.0);
        let database_seconds = self.observer.load_sessions.unwrap_or(0.0) * elapsed.max(0.0);
        self.cost.add(now, spent_seconds, database_seconds);
        self.looks_cost.add(now, seen.spent_seconds, database_seconds);
        let (own_seconds_last_hour, own_cost_ratio) = self.cost.seconds_and_ratio(now);
        let server = &seen.snapshot.server;
        ServerStatus {
            name: self.name.clone(),
            version_num: Some(server.version_num),
            system_identifier: server.system_identifier.clone(),
            is_standby: Some(server.is_standby),
            databases: seen.snapshot.watched.clone(),
            last_seen_at: Some(now),
            unreachable: None,
            own_seconds_last_hour,
            own_cost_ratio,
        }
    }

    /// Until the next look: stretched by as much as the looks are over the budget.
    fn pause(&self) -> Duration {
        let (_, looks_ratio) = self.looks_cost.seconds_and_ratio(Utc::now());
        let over = (looks_ratio / self.budget_ratio.max(f64::MIN_POSITIVE)).clamp(1.0, 60.0);
        self.poll_every.mul_f64(over)
    }

    /// Findings of a server that cannot be seen keep their state: nothing was evaluated.
    async fn unreachable(&mut self, why: String) {
        self.status.unreachable = Some(why.clone());
        let look = Look {
            server: self.name.clone(),
            family: "server".to_owned(),
            database: None,
            at: Utc::now(),
            elapsed_seconds: 0.0,
            rows: 0,
            error: Some(why),
        };
        let (store, status) = (self.store.clone(), self.status.clone());
        let written = tokio::task::spawn_blocking(move || {
            store
                .record_server(&status)
                .and_then(|()| store.record_look(&look))
        });
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "the failed look cannot be recorded");
        }
    }
}

/// Findings of missing indexes that are still alive.
fn advised_before(store: &Store, server: &str) -> Result<Vec<Finding>, StoreError> {
    let filter = FindingFilter {
        rule: Some(Missing::ID.to_owned()),
        server: Some(server.to_owned()),
        states: vec![State::Open, State::Acknowledged, State::Snoozed],
        limit: limits::FINDINGS_PER_RULE,
        ..FindingFilter::default()
    };
    Ok(store.findings(&filter)?.items)
}

fn never_seen(name: &str) -> ServerStatus {
    ServerStatus {
        name: name.to_owned(),
        version_num: None,
        system_identifier: None,
        is_standby: None,
        databases: Vec::new(),
        last_seen_at: None,
        unreachable: None,
        own_seconds_last_hour: 0.0,
        own_cost_ratio: 0.0,
    }
}

fn remembered(usage: IndexUsage) -> (IndexName, Usage) {
    let name = IndexName {
        database: usage.key.database,
        schema: usage.key.schema,
        name: usage.key.name,
    };
    let known = Usage {
        oid: usage.oid,
        scans: usage.scans,
        first_seen_at: usage.first_seen_at,
        last_moved_at: usage.last_moved_at,
    };
    (name, known)
}

fn key(name: &IndexName) -> IndexKey {
    IndexKey {
        database: name.database.clone(),
        schema: name.schema.clone(),
        name: name.name.clone(),
    }
}

/// What one turn leaves behind.
struct Record {
    looks: Vec<Look>,
    judgement: Judgement,
    status: ServerStatus,
    load: LoadPoint,
    minute: Option<StatementMinute>,
    activity: Option<ActivityNow>,
    usage: Vec<(IndexName, Usage)>,
    gone: Vec<IndexName>,
    snapshot: Snapshot,
}

impl Record {
    fn write(&self, store: &Store) -> Result<Vec<Event>, StoreError> {
        let turn = Turn {
            status: &self.status,
            judgement: &self.judgement,
            looks: &self.looks,
            gaps: &self.snapshot.gaps,
            load: &self.load,
            minute: self.minute.as_ref(),
            activity: self.activity.as_ref(),
            changed: &rows(&self.usage),
            gone: &keys(&self.gone),
        };
        store.record_turn(Utc::now(), &turn)
    }
}

fn keys(gone: &[IndexName]) -> Vec<IndexKey> {
    gone.iter().map(key).collect()
}

fn rows(changed: &[(IndexName, Usage)]) -> Vec<IndexUsage> {
    let now = Utc::now();
    let row = |(name, usage): &(IndexName, Usage)| IndexUsage {
        key: key(name),
        oid: usage.oid,
        scans: usage.scans,
        first_seen_at: usage.first_seen_at,
        last_moved_at: usage.last_moved_at,
        checked_at: now,
    };
    changed.iter().map(row).collect()
}
