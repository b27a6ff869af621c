//! Refreshes materialized views of one server: look → plan → run → record. The daemon does so when something is due,
//! `pgadvisor refresh` once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, Semaphore};

use super::{EngineError, refresher_of};
use crate::configuration::{Configuration, Refresh, Server as ServerSettings};
use crate::model::refresh::{MaterializedView, Outcome, Run, ViewMemory, ViewName, ViewStatus};
use crate::model::status;
use crate::postgres::{PostgresError, Server};
use crate::refresh::execute::Done;
use crate::refresh::pass::{self, Event, Stop};
use crate::refresh::plan::{Step, oldest};
use crate::refresh::read::{self, Definitions, Look};
use crate::refresh::remember::{remember, take_in_record, take_in_settled};
use crate::store::{Store, StoreError};

pub use self::known::Known;
pub use self::observed::add_to;
use self::settle::settle;
use self::statuses::{missing, statuses};

mod known;
mod observed;
mod settle;
mod statuses;

/// Nobody is called more precisely than this.
const CRON_IS_LATE: TimeDelta = TimeDelta::seconds(1);

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
            let wanted = |view: &MaterializedView| self.policy(&database, &view.name.in_database()).is_some();
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
        let mut databases = home.databases().await?;
        databases.retain(|database| {
            let is_open = database.may_connect && database.allows_connections && !database.is_template;
            let is_named = |policy: &Arc<Refresh>| policy.is_for(&database.name, &policy.view);
            is_open && self.watches.watches(&database.name) && self.policies.iter().any(is_named)
        });
        Ok(databases.into_iter().map(|database| database.name).collect())
    }

    /// Writes down what a look shows: who refreshed, who reads, what became of runs whose process is gone.
    async fn take_in(&self, look: Look) -> Result<Known, RefreshError> {
        let policies: HashMap<ViewName, Arc<Refresh>> = look
            .views
            .values()
            .filter_map(|view| {
                let policy = self
                    .policy(&view.name.database, &view.name.in_database())?
                    .clone();
                Some((view.name.clone(), policy))
            })
            .collect();
        let (store, server) = (self.store.clone(), self.name.clone());
        let taking = move || -> Result<_, StoreError> {
            let settled = settle(&store, &server, &look)?;
            let views: HashMap<ViewName, &MaterializedView> = look
                .views
                .values()
                .map(|view| (view.name.clone(), view))
                .collect();
            let names: Vec<ViewName> = views.keys().cloned().collect();
            let read = read_by_refreshes(&look, &store.view_memories(&server)?);
            store.record_refreshes(&server, &names, &[], |name, memory| {
                let view = views[name];
                if settled.too_young.contains(name) {
                    return;
                }
                take_in_record(memory, &look, view);
                memory.look(view, look.inputs(view.oid), look.now, read.contains(&view.oid));
                for run in settled.refreshed.iter().filter(|run| run.view == *name) {
                    take_in_settled(memory, view, run, look.now);
                }
            })?;
            let memories = store.view_memories(&server)?;
            Ok((look, memories))
        };
        let (look, memories) = blocking(taking).await?;
        Ok(Known {
            next_pass_in: TimeDelta::zero(),
            look,
            policies,
            memories,
        })
    }

    /// Writes down when databases were looked at, and what that cost.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn record_looks(
        &self,
        all: &[Known],
        failed: &[(String, PostgresError)],
    ) -> Result<(), RefreshError> {
        let look = |database: &str, elapsed_seconds, rows, error| status::Look {
            server: self.name.clone(),
            family: "refreshing".to_owned(),
            database: Some(database.to_owned()),
            at: Utc::now(),
            elapsed_seconds,
            rows,
            error,
        };
        let seen = all.iter().map(|known| {
            let seen = &known.look;
            look(&seen.database, seen.spent_seconds, seen.views.len() as u64, None)
        });
        let unseen = failed
            .iter()
            .map(|(database, error)| look(database, 0.0, 0, Some(error.one_line())));
        let looks: Vec<status::Look> = seen.chain(unseen).collect();
        let store = self.store.clone();
        blocking(move || looks.iter().try_for_each(|look| store.record_look(look))).await
    }

    /// Remembers that `refresh --due` was called, and reckons from the last time when it will be called again: what would be
    /// late by then is due now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn called(&self, known: &mut Known) -> Result<(), RefreshError> {
        let now = known.look.now;
        let names: Vec<ViewName> = known.policies.keys().cloned().collect();
        let called = names
            .iter()
            .filter_map(|name| known.memories.get(name)?.called_at);
        let since = called.max().map(|at| now - at).unwrap_or_default();
        known.next_pass_in = since * 11 / 10 + CRON_IS_LATE;
        let (store, server) = (self.store.clone(), self.name.clone());
        blocking(move || {
            store.record_refreshes(&server, &names, &[], |_, memory| memory.called_at = Some(now))
        })
        .await
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
    pub async fn run(&self, steps: Vec<Step>, stop: &Stop, tell: &(dyn Fn(&Event<'_>) + Sync)) {
        // of when the views are that each one is made from: others may refresh them meanwhile
        let made_from = std::sync::Mutex::new(HashMap::new());
        let recording = |event: Event<'_>| {
            let mut made_from = made_from.lock().unwrap_or_else(PoisonError::into_inner);
            let written = match &event {
                Event::Started(step) => self.started(step).map(|others| {
                    made_from.insert(step.view.clone(), others);
                }),
                Event::Ended(step, done) => self.ended(step, done, made_from.remove(&step.view)),
            };
            drop(made_from);
            if let Err(error) = written {
                tracing::error!(server = self.name, %error, "a refresh cannot be written down");
            }
            tell(&event);
        };
        pass::run(&self.server, steps, &self.permits, stop, &recording).await;
    }

    /// Gives of when the oldest view is that it reads.
    fn started(&self, step: &Step) -> Result<Option<DateTime<Utc>>, StoreError> {
        let run = Done::nothing(step, Outcome::Planned, step.reason.clone()).run;
        let started_at = Some(run.ended_at);
        self.store.start_refresh(&self.name, &Run { started_at, ..run })?;
        self.oldest_read(step)
    }

    fn oldest_read(&self, step: &Step) -> Result<Option<DateTime<Utc>>, StoreError> {
        match step.depends_on.is_empty() {
            true => Ok(None),
            false => Ok(oldest(&step.depends_on, &self.store.view_memories(&self.name)?)),
        }
    }

    fn ended(
        &self,
        step: &Step,
        done: &Done,
        made_from: Option<Option<DateTime<Utc>>>,
    ) -> Result<(), StoreError> {
        let views = [step.view.clone()];
        let runs = [done.run.clone()];
        let now = Utc::now() + step.ahead;
        let others = match made_from {
            Some(others) => others,
            None => self.oldest_read(step)?,
        };
        self.store
            .record_refreshes(&self.name, &views, &runs, |_, memory| {
                remember(memory, step, done, now, others)
            })
    }

    /// Writes down what pages show; of databases that could not be looked at they show what they showed. Views that are
    /// configured by their whole name and missing are among it.
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
            let mut names = known.iter().flat_map(Known::names);
            names.any(|name| policy.is_for(&name.database, &name.in_database()))
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

/// Views that were read by a refresh of another one since they were last looked at.
fn read_by_refreshes(look: &Look, memories: &HashMap<ViewName, ViewMemory>) -> BTreeSet<u32> {
    let mut read = BTreeSet::new();
    for reader in look.views.values() {
        let Some(lineage) = look.lineages.get(&reader.oid) else {
            continue;
        };
        let memory = memories.get(&reader.name);
        for oid in &lineage.views {
            let looked_at = look
                .views
                .get(oid)
                .and_then(|view| memories.get(&view.name)?.looked_at);
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
