//! Refreshes materialized views of one server: look → plan → run → record. The daemon does so when something is due,
//! `pgadvisor refresh` once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, Semaphore};

use super::{EngineError, refresher_of};
use crate::configuration::{Configuration, Refresh, Server as ServerSettings};
use crate::model::observation::{Observation, Refreshing};
use crate::model::refresh::{MaterializedView, Outcome, Run, ViewMemory, ViewName, ViewStatus};
use crate::postgres::{PostgresError, Server, queries};
use crate::refresh::due::{Due, Reckoning, interval};
use crate::refresh::execute::Done;
use crate::refresh::pass::{self, Event, Stop};
use crate::refresh::plan::{self, Ask, Knowledge, Step, name_of};
use crate::refresh::read::{self, Definitions, Look};
use crate::refresh::remember::{remember, take_in_record};
use crate::store::{RunFilter, Store, StoreError};

/// Between the record of a refresh and its lock there is less than this.
const SETTLE_AFTER: TimeDelta = TimeDelta::seconds(30);
/// Runs of one view that rules look at.
const RUNS_OF_A_VIEW: usize = 10;

/// Refreshes the views of one server that the configuration names.
pub struct Refresher {
    name: String,
    server: Server,
    policies: Vec<Arc<Refresh>>,
    watches: ServerSettings,
    permits: Semaphore,
    store: Store,
    /// What the views of each database name.
    definitions: Mutex<HashMap<String, Definitions>>,
}

/// One database as it was just looked at, with what is remembered of its views.
pub struct Known {
    /// What was seen.
    pub look: Look,
    /// The configuration's table for each view that is to be refreshed.
    pub policies: HashMap<ViewName, Arc<Refresh>>,
    /// What is remembered of each view.
    pub memories: HashMap<ViewName, ViewMemory>,
    /// The server's clock less ours.
    pub ahead: TimeDelta,
}

/// Why there was no pass.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
}

impl Refresher {
    /// Prepares a server.
    ///
    /// # Errors
    /// If its settings cannot be used.
    pub fn new(
        settings: &ServerSettings,
        configuration: &Configuration,
        store: Store,
    ) -> Result<Self, EngineError> {
        let policies = configuration.refreshes.iter();
        let policies = policies.filter(|refresh| refresh.server == settings.name);
        Ok(Self {
            name: settings.name.clone(),
            server: refresher_of(settings)?,
            policies: policies.cloned().map(Arc::new).collect(),
            watches: settings.clone(),
            permits: Semaphore::new(settings.refreshes_at_once as usize),
            store,
            definitions: Mutex::default(),
        })
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where all of it is written down.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether anything is to be refreshed at all.
    pub fn has_work(&self) -> bool {
        !self.policies.is_empty()
    }

    /// The table of the configuration that is about a view: the last that matches.
    fn policy(&self, database: &str, view: &str) -> Option<&Arc<Refresh>> {
        self.policies
            .iter()
            .rev()
            .find(|policy| policy.is_for(database, view))
    }

    /// Looks at all databases in which something is to be refreshed, and takes in what is seen. A database that cannot be
    /// looked at is told of, and the others go on.
    ///
    /// # Errors
    /// If the server cannot be reached, or the store fails.
    pub async fn look(
        &self,
        only: Option<&str>,
    ) -> Result<(Vec<Known>, Vec<(String, PostgresError)>), RefreshError> {
        let mut all = Vec::new();
        let mut failed = Vec::new();
        let databases = self.databases().await?.into_iter();
        for database in databases.filter(|name| only.is_none_or(|only| only == name)) {
            let wanted = |view: &MaterializedView| {
                self.policy(&database, &format!("{}.{}", view.schema, view.name))
                    .is_some()
            };
            let mut definitions = self.definitions.lock().await;
            let known = definitions.entry(database.clone()).or_default();
            match read::look(&self.server, &database, &wanted, known).await {
                Ok(look) => all.push(self.take_in(look).await?),
                Err(error) => failed.push((database, error)),
            }
        }
        Ok((all, failed))
    }

    async fn databases(&self) -> Result<Vec<String>, PostgresError> {
        let home = self.server.observe_home().await?;
        let mut names = Vec::new();
        for row in home.rows(queries::DATABASES.on(0), &[]).await? {
            let flag = |name: &str| row.try_get::<_, bool>(name).unwrap_or(false);
            let name: String = row.try_get("name").unwrap_or_default();
            let is_meant = self
                .policies
                .iter()
                .any(|policy| policy.is_for(&name, &policy.view))
                && self.watches.watches(&name);
            if is_meant && flag("may_connect") && flag("allows_connections") && !flag("is_template") {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Writes down what a look shows: who refreshed, who reads, what became of runs whose process is gone.
    async fn take_in(&self, look: Look) -> Result<Known, RefreshError> {
        let policies: HashMap<ViewName, Arc<Refresh>> = look
            .views
            .iter()
            .map(|view| name_of(&look, view))
            .filter_map(|name| {
                let policy = self.policy(&name.database, &name.in_database())?.clone();
                Some((name, policy))
            })
            .collect();
        let (store, server) = (self.store.clone(), self.name.clone());
        let taking = move || -> Result<(Look, HashMap<ViewName, ViewMemory>), StoreError> {
            settle(&store, &server, &look)?;
            let views: HashMap<ViewName, &MaterializedView> = look
                .views
                .iter()
                .map(|view| (name_of(&look, view), view))
                .collect();
            let names: Vec<ViewName> = views.keys().cloned().collect();
            let read = read_by_refreshes(&look, &store.view_memories(&server)?);
            store.record_refreshes(&server, &names, &[], |name, memory| {
                let view = views[name];
                take_in_record(memory, &look, view);
                memory.look(view, look.inputs(view.oid), look.now, read.contains(&view.oid));
            })?;
            let memories = store.view_memories(&server)?;
            Ok((look, memories))
        };
        let (look, memories) = blocking(taking).await?;
        Ok(Known {
            ahead: look.ahead,
            look,
            policies,
            memories,
        })
    }

    /// Remembers that these views are due and wait for others: their moment is not missed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn wait_for_others(&self, views: Vec<ViewName>) -> Result<(), RefreshError> {
        let (store, server) = (self.store.clone(), self.name.clone());
        blocking(move || {
            store.record_refreshes(&server, &views, &[], |_, memory| {
                memory.busy_looks = memory.busy_looks.max(1)
            })
        })
        .await
    }

    /// Runs steps, and writes down what becomes of them as it happens. `tell` hears of it, too.
    pub async fn run(
        &self,
        steps: Vec<Step>,
        ahead: TimeDelta,
        stop: &Stop,
        tell: &(dyn Fn(&Event<'_>) + Sync),
    ) {
        let recording = |event: Event<'_>| {
            let written = match &event {
                Event::Started(step) => self.started(step, ahead),
                Event::Ended(step, done) => self.ended(step, done, ahead),
            };
            if let Err(error) = written {
                tracing::error!(server = self.name, %error, "a refresh cannot be written down");
            }
            tell(&event);
        };
        pass::run(&self.server, steps, &self.permits, stop, &recording).await;
    }

    fn started(&self, step: &Step, ahead: TimeDelta) -> Result<(), StoreError> {
        let now = Utc::now() + ahead;
        let mut run = Done::nothing(step, Outcome::Planned, step.reason.clone(), now).run;
        run.started_at = Some(now);
        self.store.start_refresh(&self.name, &run)
    }

    fn ended(&self, step: &Step, done: &Done, ahead: TimeDelta) -> Result<(), StoreError> {
        let views = [step.view.clone()];
        let runs = [done.run.clone()];
        let now = Utc::now() + ahead;
        self.store
            .record_refreshes(&self.name, &views, &runs, |_, memory| {
                remember(memory, step, done, now)
            })
    }

    /// Writes down what pages show; of databases that could not be looked at they show what they showed. Views that are configured by their whole name and missing are among it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn show(&self, known: &[Known], unseen: &[String]) -> Result<(), RefreshError> {
        let mut statuses: Vec<ViewStatus> = known.iter().flat_map(statuses).collect();
        for policy in self.policies.iter().filter(|policy| !policy.is_pattern()) {
            let is_there =
                |status: &ViewStatus| policy.is_for(&status.view.database, &status.view.in_database());
            if !statuses.iter().any(is_there) {
                let meant = known
                    .iter()
                    .find(|known| policy.is_for(&known.look.database, &policy.view));
                statuses.extend(meant.and_then(|known| missing(&known.look, policy)));
            }
        }
        let (store, name) = (self.store.clone(), self.name.clone());
        let unseen = unseen.to_vec();
        blocking(move || store.record_view_statuses(&name, &statuses, &unseen)).await
    }

    /// Configured names that no view of any database has.
    pub fn unmatched(&self, known: &[Known]) -> Vec<String> {
        let is_there = |policy: &&Arc<Refresh>| {
            known.iter().any(|known| {
                let names = known.look.views.iter().map(|view| name_of(&known.look, view));
                names
                    .into_iter()
                    .any(|name| policy.is_for(&name.database, &name.in_database()))
            })
        };
        let missing = self.policies.iter().filter(|policy| !is_there(policy));
        missing.map(|policy| policy.view.clone()).collect()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, RefreshError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Known {
    /// Now, by the server's clock.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }

    /// The steps of a pass.
    pub fn plan(&self, ask: &Ask<'_>) -> Vec<Step> {
        let known = Knowledge {
            policies: &self.policies,
            memories: &self.memories,
        };
        plan::plan(&self.look, &known, ask)
    }

    /// The names of its views.
    pub fn names(&self) -> BTreeSet<ViewName> {
        self.look
            .views
            .iter()
            .map(|view| name_of(&self.look, view))
            .collect()
    }

    /// Whether and when a view is due.
    pub fn due(&self, name: &ViewName, is_populated: bool, now: DateTime<Utc>) -> Option<Due> {
        let policy = self.policies.get(name)?;
        let nothing = ViewMemory::default();
        let reckoning = Reckoning {
            policy,
            view: name,
            memory: self.memories.get(name).unwrap_or(&nothing),
            is_populated,
            after: plan::after(name, policy, &self.memories),
        };
        Some(reckoning.due(now))
    }

    /// The next moment at which something is due; now, if something is.
    pub fn next_due(&self, now: DateTime<Utc>, is_busy: impl Fn(&ViewName) -> bool) -> Option<DateTime<Utc>> {
        let views = self.look.views.iter();
        let dues = views.filter_map(|view| {
            let name = name_of(&self.look, view);
            let is_paused = self.memories.get(&name).is_some_and(|memory| memory.is_paused);
            let lineage = self.look.lineages.get(&view.oid);
            let mut upstream = lineage.into_iter().flat_map(|lineage| &lineage.views);
            let waits = upstream.any(|oid| {
                self.look
                    .view(*oid)
                    .is_some_and(|view| is_busy(&name_of(&self.look, view)))
            });
            if is_paused || waits || is_busy(&name) {
                return None;
            }
            match self.due(&name, view.is_populated, now)? {
                Due::Now { .. } | Due::Missed { .. } => Some(now),
                Due::Later { at, .. } => Some(at),
                Due::Waiting => None,
            }
        });
        dues.min()
    }
}

/// Views that were read by a refresh of another one since they were last looked at.
fn read_by_refreshes(look: &Look, memories: &HashMap<ViewName, ViewMemory>) -> BTreeSet<u32> {
    let mut read = BTreeSet::new();
    for reader in &look.views {
        let Some(lineage) = look.lineages.get(&reader.oid) else {
            continue;
        };
        let memory = memories.get(&name_of(look, reader));
        for oid in &lineage.views {
            let looked_at = look
                .view(*oid)
                .and_then(|view| memories.get(&name_of(look, view))?.looked_at);
            let was_refreshed = memory.is_none_or(|memory| {
                memory.state.version != reader.state.version || memory.refreshed_at > looked_at
            });
            if was_refreshed {
                read.insert(*oid);
            }
        }
    }
    read
}

/// What became of runs whose process is gone. The whole of a refresh is one transaction that holds a lock, so the server
/// tells: nobody is at it any more, and the view was refreshed or was not.
fn settle(store: &Store, server: &str, look: &Look) -> Result<(), StoreError> {
    let under_way = store.refreshes_of_others_under_way(server)?;
    if under_way.is_empty() {
        return Ok(());
    }
    let memories = store.view_memories(server)?;
    for (id, run) in under_way {
        let view = look.views.iter().find(|view| name_of(look, view) == run.view);
        let is_young = run.started_at.is_some_and(|at| look.now - at < SETTLE_AFTER);
        let is_alive = is_young || view.is_some_and(|view| view.is_being_refreshed);
        if is_alive || run.view.database != look.database {
            continue;
        }
        let was_refreshed = view
            .zip(memories.get(&run.view))
            .is_some_and(|(view, memory)| memory.state.was_refreshed_until(&view.state));
        let (outcome, why) = match was_refreshed {
            true => (
                Outcome::Refreshed,
                "the advisor ended before it was told, and the view shows that it was refreshed",
            ),
            false => (
                Outcome::Cancelled,
                "the advisor ended meanwhile, and PostgreSQL took it back",
            ),
        };
        let settled = Run {
            outcome,
            reason: format!("{}; {why}", run.reason),
            ended_at: look.now,
            ..run
        };
        store.settle_refresh(id, &settled)?;
    }
    Ok(())
}

fn statuses(known: &Known) -> Vec<ViewStatus> {
    let now = known.now();
    let look = &known.look;
    let status = |view: &MaterializedView| {
        let name = name_of(look, view);
        let nothing = ViewMemory::default();
        let memory = known.memories.get(&name).unwrap_or(&nothing);
        let policy = known.policies.get(&name);
        let due = known.due(&name, view.is_populated, now);
        let (next_due_at, waits_for) = match due {
            Some(Due::Now { moment, .. }) => (Some(moment), None),
            Some(Due::Later { at, held }) => (Some(at), held),
            Some(Due::Waiting) => (None, policy.and_then(|policy| not_there(look, policy))),
            _ => (None, None),
        };
        let depends_on = look
            .lineages
            .get(&view.oid)
            .into_iter()
            .flat_map(|lineage| &lineage.views);
        let depends_on = depends_on.filter_map(|oid| look.view(*oid));
        let chosen = policy.map(|policy| plan::how(look, memory, view, &name, policy));
        ViewStatus {
            exists: true,
            is_populated: view.is_populated,
            schedule: policy.map(|policy| policy.when()),
            max_age_seconds: policy
                .and_then(|policy| policy.max_age)
                .map(|age| age.as_seconds()),
            interval_seconds: policy
                .and_then(|policy| interval(policy, now))
                .map(|gap| gap.num_milliseconds() as f64 / 1000.0),
            fresh_as_of: memory.fresh_as_of,
            refreshed_at: memory.refreshed_at,
            refreshed_by_others: memory.refreshed_by_others,
            next_due_at,
            waits_for,
            can_refresh: chosen.as_ref().is_some_and(Result::is_ok),
            how: match chosen {
                Some(Ok(how) | Err(how)) => how,
                None => "no [[refresh]] of the configuration is about it".to_owned(),
            },
            is_paused: memory.is_paused,
            depends_on: depends_on
                .map(|other| format!("{}.{}", other.schema, other.name))
                .collect(),
            tables: look.tables(view.oid),
            never_unchanged: look.never_unchanged(view.oid),
            size_bytes: memory
                .size_bytes
                .or(Some(view.size_bytes).filter(|bytes| *bytes > 0.0)),
            unique_index: view.unique_index.clone(),
            has_readers: memory.has_readers(now),
            read_at: memory.read_at,
            readers_watched_since: memory.readers_watched_since,
            promise: promise(look).to_owned(),
            why_no_record: look.record.why_not.clone(),
            view: name,
        }
    };
    look.views.iter().map(status).collect()
}

/// Adds what refreshing knows of the views of a server to what was observed of them.
///
/// # Errors
/// If the store cannot be read.
pub fn add_to(observation: &mut Observation, store: &Store) -> Result<(), StoreError> {
    let server = observation.server.name.clone();
    let now = observation.now;
    let mut statuses: HashMap<ViewName, ViewStatus> = store
        .view_statuses()?
        .into_iter()
        .filter(|(of, status)| *of == server && status.schedule.is_some())
        .map(|(_, status)| (status.view.clone(), status))
        .collect();
    if statuses.is_empty() {
        return Ok(());
    }
    let mut sums = store.refresh_sums(&server, now)?;
    for database in &mut observation.databases {
        for observed in database.materialized_views.iter_mut().flatten() {
            let name = ViewName {
                database: database.name.clone(),
                schema: observed.facts.view.schema.clone(),
                name: observed.facts.view.name.clone(),
            };
            let Some(status) = statuses.remove(&name) else {
                continue;
            };
            let filter = RunFilter {
                server: Some(server.clone()),
                view: Some(name.clone()),
                only_made: true,
                limit: RUNS_OF_A_VIEW,
            };
            let runs = store
                .refresh_runs(&filter)?
                .into_iter()
                .map(|(_, run)| run)
                .collect();
            let (seconds_last_week, held_up_seconds_last_day) = sums.remove(&name).unwrap_or_default();
            observed.refreshing = Some(Refreshing {
                status,
                runs,
                seconds_last_week,
                held_up_seconds_last_day,
            });
        }
    }
    Ok(())
}

/// Whether the view that this one comes after is missing.
fn not_there(look: &Look, policy: &Refresh) -> Option<String> {
    let after = policy.after.as_ref()?;
    let is_there = |view: &MaterializedView| format!("{}.{}", view.schema, view.name) == *after;
    let is_missing = !look.views.iter().any(is_there);
    is_missing.then(|| format!("it comes after {after}, and there is no such materialized view"))
}

fn promise(look: &Look) -> &'static str {
    match look.record.is_used {
        true => "exactly_once",
        false => "never_overlapping",
    }
}

/// A view that is configured by its whole name and is not there.
fn missing(look: &Look, policy: &Refresh) -> Option<ViewStatus> {
    let (schema, name) = policy.view.split_once('.')?;
    Some(ViewStatus {
        view: ViewName {
            database: look.database.clone(),
            schema: schema.to_owned(),
            name: name.to_owned(),
        },
        exists: false,
        is_populated: false,
        schedule: Some(policy.when()),
        max_age_seconds: policy.max_age.map(|age| age.as_seconds()),
        interval_seconds: None,
        fresh_as_of: None,
        refreshed_at: None,
        refreshed_by_others: false,
        next_due_at: None,
        waits_for: Some("there is no such materialized view; it is looked for at each look".to_owned()),
        how: "it is not there".to_owned(),
        can_refresh: false,
        is_paused: false,
        depends_on: Vec::new(),
        tables: Vec::new(),
        never_unchanged: Vec::new(),
        size_bytes: None,
        unique_index: None,
        has_readers: None,
        read_at: None,
        readers_watched_since: None,
        promise: promise(look).to_owned(),
        why_no_record: look.record.why_not.clone(),
    })
}
