//! One server: its turns, one after the other, for as long as the daemon lives.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::advising::{Advising, Planner};
use super::cadences::{ADVICE, REFRESHING, SAMPLING, Told};
use super::cost::Spent;
use super::index_days::IndexDays;
use super::promotion::{FollowedPrimary, FormerPrimary};
use super::reckoning::{Reckoning, with_failed};
use super::record::{Record, keys, remembered, rows};
use super::same_server::EarlierNames;
use super::sampling::Sampled;
use super::view_reads::KnownReads;
use super::{EngineError, Signals, log_events, planner_of, refreshing, rule_settings, server_of, standbys};
use crate::collect::{Collector, Seen};
use crate::configuration::{Configuration, Server as ServerSettings};
use crate::judge::{self, Settings};
use crate::limits;
use crate::model::finding::{Event, Finding, State};
use crate::model::history::WaitMinute;
use crate::model::judgement::ToldBy;
use crate::model::observation::Observation;
use crate::model::snapshot::Snapshot;
use crate::model::status::{EarlierLoad, LoadPoint, Look, ReplicationStatus, ServerStatus};
use crate::model::unit::Period;
use crate::observe::columns::Columns;
use crate::observe::query_ids::QueryIds;
use crate::observe::server_points::ServerPoints;
use crate::observe::{Observer, activity, incidents};
use crate::postgres::{PostgresError, Server};
use crate::rules::index::missing::Missing;
use crate::rules::index::null_heavy::NullHeavy;
use crate::rules::query::matview_candidate::MatviewCandidate;
use crate::rules::{self, Rule as _};
use crate::store::{FindingFilter, Store, StoreError};

/// One server that is watched.
pub struct Watch {
    name: String,
    collector: Collector,
    observer: Observer,
    columns: Columns,
    server_points: ServerPoints,
    /// What the last look told was not written down, or it is not known.
    is_unrecorded: bool,
    settings: Settings,
    store: Store,
    reckoning: Reckoning,
    sampled: Sampled,
    /// `None` where nobody wants to know which indexes are missing.
    advising: Option<Advising>,
    earlier_names: EarlierNames,
    followed: FollowedPrimary,
    /// The names of the primary before, until what is known of its findings is handed on.
    to_hand_on: Vec<String>,
    view_reads: KnownReads,
    index_days: IndexDays,
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
        let advising = advising(settings, &server, &rules, &store, stop)?;
        let mut observer = Observer::default();
        let known = store.index_usage(&settings.name)?;
        let servers = store.servers()?;
        let status = servers
            .iter()
            .find(|status| status.name == settings.name)
            .cloned();
        observer.usages.remember(
            known.into_iter().map(remembered),
            status.as_ref().and_then(|status| status.last_seen_at),
        );
        observer.own_use.remember(store.own_scans(&settings.name)?);
        observer
            .waits
            .remember(store.recent_waits(&settings.name, Utc::now())?);
        observer.was_standby = status
            .as_ref()
            .is_some_and(|status| status.is_standby == Some(true));
        let watched = settings.clone();
        let watches = Box::new(move |database: &str| watched.watches(database));
        let names_every = settings.catalog_every.as_duration();
        let mut collector = Collector::new(settings.name.clone(), server, watches, names_every);
        collector.declare(settings.declared());
        collector.heed_comments_for(rules::ids());
        if rules.is_enabled(NullHeavy::ID) {
            let planner = planner_of(settings, collector.server())?;
            collector.read_statistics_as(planner);
        }
        let index_days = IndexDays::new(rules.little_use());
        Ok(Self {
            name: settings.name.clone(),
            collector,
            observer,
            columns: Columns::default(),
            server_points: ServerPoints::default(),
            is_unrecorded: false,
            settings: rules,
            store,
            reckoning: Reckoning::new(settings, configuration.budget.own_cost_ratio),
            sampled: Sampled::default(),
            advising,
            earlier_names: EarlierNames::new(
                names_before(settings, configuration),
                status.as_ref().and_then(|status| status.running.clone()),
                Utc::now(),
            ),
            followed: FollowedPrimary::remembered(&settings.name, servers),
            to_hand_on: Vec::new(),
            view_reads: KnownReads::default(),
            index_days,
            status: status.unwrap_or_else(|| ServerStatus::unseen(&settings.name)),
        })
    }

    /// The server that is looked at.
    pub fn server(&self) -> &Server {
        self.collector.server()
    }

    /// Where the task that refreshes adds what its looks cost.
    pub fn refreshing_spent(&self) -> Spent {
        self.reckoning.refreshing_spent.clone()
    }

    /// Where the task that samples sessions adds what its samples cost.
    pub fn sampling_spent(&self) -> Spent {
        self.reckoning.sampling_spent.clone()
    }

    /// How many times as far apart as configured samples are to be, to stay within the budget.
    pub fn sampling_stretch(&self) -> Told {
        self.reckoning.sampling_stretch.clone()
    }

    /// Where the task that samples sessions adds what it saw.
    pub fn sampled(&self) -> Sampled {
        self.sampled.clone()
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
                    self.reckoning.pause()
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
                    let taken_seconds = self.server().take_spent_seconds();
                    // nobody looked: what is counted next is not of a time that was seen
                    self.server_points = ServerPoints::default();
                    self.unreachable(why, taken_seconds).await;
                    let wait = wait_after_failure;
                    wait_after_failure = (wait * 2).min(limits::BACK_OFF_MAXIMUM);
                    self.reckoning.pause_after_failure(wait, taken_seconds)
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
        self.write_own_planning().await;
    }

    /// What planning left behind since the last turn, or in a turn that was not written down.
    async fn write_own_planning(&mut self) {
        let Some(advising) = &mut self.advising else {
            return;
        };
        advising.end().await;
        if self.is_unrecorded {
            self.observer.own_use.tell_again();
            advising.tell_texts_again();
        }
        self.observer.own_use.add(advising.take_own_scans());
        let (scans, texts) = (self.observer.own_use.take_changed(), advising.take_texts());
        let (store, name) = (self.store.clone(), self.name.clone());
        let writing = move || store.save_own_planning(&name, scans.as_deref(), texts.as_deref());
        match tokio::task::spawn_blocking(writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "what planning counted since the last look cannot be written down, and looks like use")
            }
            Err(error) => tracing::error!(%error, "writing down what planning counted failed"),
        }
    }

    /// collect → observe → judge → record; what the planner says of missing indexes is worked out meanwhile, and observed
    /// when it is there.
    async fn turn(&mut self) -> Result<Vec<Event>, String> {
        let mut seen = self
            .collector
            .look()
            .await
            .map_err(|error: PostgresError| error.one_line())?;
        let waits = self.sampled_minute(&seen.snapshot);
        if std::mem::replace(&mut self.is_unrecorded, true) {
            self.observer.tell_relations_again();
            self.columns.tell_again();
            self.observer.own_use.tell_again();
            if let Some(advising) = &self.advising {
                advising.tell_texts_again();
            }
        }
        if let Some(advising) = &self.advising {
            // after the look: so it shows nothing that planning does not tell
            self.observer.own_use.add(advising.take_own_scans());
        }
        self.observer.leave_out_own_scans(&mut seen.snapshot);
        let former = self.former_primary(&seen.snapshot);
        self.observer.idle_on_former_primary = former.map(|former| former.idle_since);
        let mut observation = self.observer.observe(&seen.snapshot, false);
        self.index_days.take_finished().await;
        let may_take_seconds = self.reckoning.may_still_take_seconds(Utc::now());
        let hour_seconds = self.reckoning.hour_seconds_beside_looks(Utc::now());
        let advice_seconds = match &mut self.advising {
            Some(advising) => {
                advising
                    .turn(&mut observation, may_take_seconds, hour_seconds)
                    .await
            }
            None => 0.0,
        };
        // from here on nothing waits until it is reckoned: of a turn that is given up before nothing is lost
        let mut spent = with_failed(seen.spent.clone(), self.server().take_spent_seconds());
        spent.insert(SAMPLING, self.reckoning.sampling_spent.take());
        spent.insert(REFRESHING, self.reckoning.refreshing_spent.take());
        spent.insert(ADVICE, advice_seconds);
        if let Err(error) = refreshing::add_to(&mut observation, &self.store) {
            tracing::error!(%error, "what refreshing knows cannot be read");
        }
        // after that: standbys read the views, too
        let known = (&self.store, &mut self.view_reads);
        if let Err(error) = standbys::add_with(&mut observation, known, Utc::now()) {
            tracing::error!(%error, "what standbys use cannot be read");
        }
        observation.primary_since = self.primary_since(&observation);
        self.index_days.add_to(&mut observation, &self.store, Utc::now());
        observation.own_cost = Some(self.reckoning.observed(Utc::now(), seen.slowest_question));
        self.settings.tell_rules(&mut observation);
        let told_by = self.told_by(&observation);
        let mut judgement = judge::judge_beside(&observation, &self.settings, told_by.as_ref());
        let three_looks = Period::seconds(3 * self.reckoning.pause().as_secs());
        judgement.unbroken_within = judgement.unbroken_within.max(three_looks);
        spent.retain(|_, seconds| *seconds > 0.0);
        self.status = self.status_after(&seen, &spent);
        self.status.told_by = told_by.filter(ToldBy::is_settled).map(|other| other.name);
        self.status.counters_since = observation.counters_since();
        if let Some(advising) = &self.advising {
            // no rule lacks anything for it
            let left_behind = advising.left_behind(self.observer.own_use.totals());
            seen.snapshot.gaps.extend(left_behind);
            seen.snapshot.gaps.extend(advising.outdated());
            advising.tell_cadence(&mut self.status.families);
        }
        let goes_on = activity::now(&observation);
        if std::mem::take(&mut self.observer.was_broken) {
            self.server_points = ServerPoints::default();
        }
        let record = Record {
            looks: seen.looks,
            judgement,
            status: self.status.clone(),
            load: LoadPoint {
                at: Utc::now(),
                load_sessions: self.observer.load_sessions,
            },
            earlier_load: std::mem::take(&mut self.observer.earlier_load),
            minute: self.observer.statement_minute.take(),
            relations: std::mem::take(&mut self.observer.relation_minutes),
            waits,
            server_point: self.server_points.observe(&seen.snapshot, goes_on.as_ref()),
            activity: goes_on,
            incidents: incidents::seen(&observation),
            plans: self.advising.as_mut().map_or_else(Vec::new, Advising::take_plans),
            columns: self.columns.observe(&observation.databases),
            block_reads: observation.block_reads,
            usage: self.observer.usages.take_changed(),
            gone: self.observer.usages.take_gone(),
            own_scans: self.observer.own_use.take_changed(),
            planned_texts: self.advising.as_ref().and_then(Advising::take_texts),
            snapshot: seen.snapshot,
        };
        let store = self.store.clone();
        let recorded = tokio::task::spawn_blocking(move || {
            let written = record.write(&store);
            (written, record.usage, record.gone)
        });
        match recorded.await {
            Ok((Ok(events), _, _)) => {
                self.is_unrecorded = false;
                Ok(events)
            }
            Ok((Err(error), usage, gone)) => {
                self.observer.usages.give_back(&usage, gone);
                Err(format!("the store failed: {error}"))
            }
            Err(error) => Err(format!("recording failed: {error}")),
        }
    }

    /// What was sampled since the look before, taken in to be judged.
    fn sampled_minute(&mut self, snapshot: &Snapshot) -> Option<WaitMinute> {
        // what was remembered may be of another cluster, which answered under this name before
        let before = self.status.system_identifier.as_ref();
        let clusters = before.zip(snapshot.server.system_identifier.as_ref());
        if clusters.is_some_and(|(before, now)| before != now) {
            self.observer.waits = Default::default();
        }
        let (samples, elapsed) = self.sampled.take()?;
        let hidden = samples.hidden();
        let texts = snapshot.statements.as_ref().map(|read| &*read.texts);
        let mut minute = samples.minute(elapsed.as_secs_f64(), texts);
        QueryIds::of(snapshot.statements.as_ref(), snapshot.sessions.as_deref()).name_all(&mut minute);
        self.observer.waits.add(snapshot.at, &minute, hidden);
        // where sessions are hidden nobody knows how many were active: no zero, but a gap
        (hidden == 0).then_some(minute)
    }

    /// The primary whose place this server has just taken; what is known of its problems is known of this one's from now on.
    fn former_primary(&mut self, snapshot: &Snapshot) -> Option<FormerPrimary> {
        let now = Utc::now();
        let former = self.followed.see(&snapshot.server, &self.store, now);
        let former = former.unwrap_or_else(|error| {
            tracing::error!(%error, "what is known of the primary before cannot be read; the next look tries it again");
            None
        });
        if let Some(former) = &former {
            self.to_hand_on.clone_from(&former.names);
        }
        if !self.to_hand_on.is_empty() {
            match self.store.hand_findings_on(&self.to_hand_on, &self.name, now) {
                Ok(()) => self.to_hand_on.clear(),
                Err(error) => {
                    tracing::error!(%error, "what is known of the findings of the primary before cannot be handed on; the next \
                                             look tries it again");
                }
            }
        }
        former
    }

    /// Since when it is the primary, where it was a standby before; the look before this one may have seen it as that.
    fn primary_since(&self, observation: &Observation) -> Option<DateTime<Utc>> {
        if observation.server.is_standby {
            return None;
        }
        if self.status.is_standby == Some(true) {
            return Some(observation.now);
        }
        self.store.primary_since(&self.name).unwrap_or_else(|error| {
            tracing::error!(%error, "since when the server is the primary cannot be read");
            None
        })
    }

    /// The other name of the server that tells of it, where there is one.
    fn told_by(&mut self, observation: &Observation) -> Option<ToldBy> {
        let told_by = self
            .earlier_names
            .told_by(&observation.server, &self.store, Utc::now());
        told_by.unwrap_or_else(|error| {
            tracing::error!(%error, "whether the server has another name, too, cannot be read");
            None
        })
    }

    fn status_after(&mut self, seen: &Seen, spent: &BTreeMap<&'static str, f64>) -> ServerStatus {
        let now = Utc::now();
        let elapsed = self
            .status
            .last_seen_at
            .map_or(0.0, |at| (now - at).num_milliseconds() as f64 / 1000.0);
        let earlier_load = self.observer.earlier_load.iter();
        let earlier_seconds: f64 = earlier_load.map(EarlierLoad::session_seconds).sum();
        let database_seconds =
            self.observer.load_sessions.unwrap_or(0.0) * elapsed.max(0.0) + earlier_seconds;
        self.reckoning.add(now, spent, database_seconds);
        self.reckoning.add_own_entries(now, self.observer.own_seconds);
        self.collector.read_names_every(self.reckoning.names_every());
        let (own_seconds_last_hour, own_cost_ratio) = self.reckoning.seconds_and_ratio(now);
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
            own_entries_seconds_last_hour: self.reckoning.own_entries_seconds(now),
            families: self.reckoning.family_costs(now),
            replication: seen.snapshot.replication.as_ref().map(|seen| ReplicationStatus {
                replay: seen.replay.clone(),
                standbys: seen.standbys.clone(),
                wal_position_bytes: seen.wal_position_bytes,
            }),
            running: server.running(),
            told_by: None,
            counters_since: Default::default(),
        }
    }

    /// Findings of a server that cannot be seen keep their state: nothing was evaluated. What it cost to try counts.
    async fn unreachable(&mut self, why: String, taken_seconds: f64) {
        let now = Utc::now();
        let beside = [
            (SAMPLING, self.reckoning.sampling_spent.take()),
            (REFRESHING, self.reckoning.refreshing_spent.take()),
        ];
        self.reckoning.add_failed(now, taken_seconds, beside);
        self.collector.read_names_every(self.reckoning.names_every());
        let status = &mut self.status;
        (status.own_seconds_last_hour, status.own_cost_ratio) = self.reckoning.seconds_and_ratio(now);
        status.families = self.reckoning.family_costs(now);
        status.unreachable = Some(why.clone());
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

/// The names before that one in the configuration.
fn names_before(settings: &ServerSettings, configuration: &Configuration) -> Vec<String> {
    let names = configuration.servers.iter().map(|server| &server.name);
    names
        .take_while(|name| **name != settings.name)
        .cloned()
        .collect()
}

/// Who asks the planner; none where nobody wants to know.
fn advising(
    settings: &ServerSettings,
    server: &Server,
    rules: &Settings,
    store: &Store,
    stop: &CancellationToken,
) -> Result<Option<Advising>, EngineError> {
    if !rules.is_enabled(Missing::ID) && !rules.is_enabled(MatviewCandidate::ID) {
        return Ok(None);
    }
    let every = settings.advise_every.as_duration();
    let mut advising = Advising::new(Planner::of(settings, server)?, every, stop.clone());
    advising.remember(&advised_before(store, &settings.name)?);
    advising.remember_texts(&store.planned_texts(&settings.name)?);
    Ok(Some(advising))
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
