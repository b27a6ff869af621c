//! Refreshes materialized views of one server: look → plan → run → record. The daemon does so when something is due,
//! `pgadvisor refresh` once.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;

use super::{EngineError, refresher_of};
use crate::configuration::{Configuration, Refresh, Server as ServerSettings};
use crate::model::refresh::{MaterializedView, Outcome, Run, ViewMemory, ViewName, ViewStatus};
use crate::postgres::{PostgresError, Server, queries};
use crate::refresh::due::{Due, Reckoning};
use crate::refresh::execute::Done;
use crate::refresh::pass::{self, Event, Stop};
use crate::refresh::plan::{self, Ask, Knowledge, Step, name_of};
use crate::refresh::read::{self, Look};
use crate::refresh::remember::{remember, take_in_record};
use crate::store::{Store, StoreError};

/// Refreshes the views of one server that the configuration names.
pub struct Refresher {
    name: String,
    server: Server,
    policies: Vec<Arc<Refresh>>,
    watches: ServerSettings,
    permits: Semaphore,
    store: Store,
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
    pub async fn look(&self) -> Result<(Vec<Known>, Vec<(String, PostgresError)>), RefreshError> {
        let mut all = Vec::new();
        let mut failed = Vec::new();
        for database in self.databases().await? {
            let wanted = |view: &MaterializedView| {
                self.policy(&database, &format!("{}.{}", view.schema, view.name))
                    .is_some()
            };
            match read::look(&self.server, &database, &wanted).await {
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
            if is_meant && flag("allows_connections") && !flag("is_template") {
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
                memory.look(views[name], look.now, read.contains(&views[name].oid));
                take_in_record(memory, &look, &name.schema, &name.name);
            })?;
            let memories = store.view_memories(&server)?;
            Ok((look, memories))
        };
        let (look, memories) = blocking(taking).await?;
        Ok(Known {
            ahead: look.now - Utc::now(),
            look,
            policies,
            memories,
        })
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
        self.store.start_refresh(&self.name, &run, std::process::id())
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

    /// Writes down what pages show; views that are configured by their whole name and missing are among it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn show(&self, known: &[Known]) -> Result<(), RefreshError> {
        let mut statuses: Vec<ViewStatus> = known.iter().flat_map(statuses).collect();
        for known in known {
            for policy in self.policies.iter().filter(|policy| !policy.is_pattern()) {
                let there = |status: &ViewStatus| {
                    status.view.database == known.look.database && status.view.in_database() == policy.view
                };
                if policy.is_for(&known.look.database, &policy.view) && !statuses.iter().any(there) {
                    statuses.extend(missing(&known.look, policy));
                }
            }
        }
        let (store, name) = (self.store.clone(), self.name.clone());
        blocking(move || store.record_view_statuses(&name, &statuses)).await
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
            if is_paused || is_busy(&name) {
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

/// What became of runs whose process is gone: the whole of a refresh is one transaction, so the view tells.
fn settle(store: &Store, server: &str, look: &Look) -> Result<(), StoreError> {
    let under_way = store.refreshes_under_way(server)?;
    if under_way.is_empty() {
        return Ok(());
    }
    let memories = store.view_memories(server)?;
    for (run, pid) in under_way {
        let is_alive = pid == std::process::id() || Path::new("/proc").join(pid.to_string()).exists();
        if is_alive || run.view.database != look.database {
            continue;
        }
        let view = look.views.iter().find(|view| name_of(look, view) == run.view);
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
        store.settle_refresh(server, &settled, pid)?;
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
            promise: promise(look).to_owned(),
            why_no_record: look.record.why_not.clone(),
            view: name,
        }
    };
    look.views.iter().map(status).collect()
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
        promise: promise(look).to_owned(),
        why_no_record: look.record.why_not.clone(),
    })
}
