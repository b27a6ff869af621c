//! Index advice while the daemon runs: one database after the other, by the planner's login, on a thread of its own, so
//! that looks go on meanwhile.

mod earlier;
mod latest;
mod plans;
mod refused;
mod role;
mod traces;
mod waiting;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{EngineError, planner_of};
use crate::configuration::Server as ServerSettings;
use crate::index_advisor::upkeep::WriteCounters;
use crate::index_advisor::workload::WorkloadStatement;
use crate::limits;
use crate::model::advice::Rehearsals;
use crate::model::finding::Finding;
use crate::model::kept_plan::KeptPlan;
use crate::model::observation::{DatabaseObservation, Observation, StatementActivity, Unknown};
use crate::model::unit::seconds_for_people;
use crate::postgres::{Server, Traces};
use earlier::Earlier;
use latest::{Ended, Latest, enough_seconds};
use plans::{Plans, plan_alone};
use waiting::Waiting;
use work::{Asked, Effort, Worked, asked, ids, work_out};

/// Who plans, and whose code may run meanwhile.
pub struct Planner {
    server: Server,
    /// Roles that the operator trusts.
    trusted_owners: Vec<String>,
}

impl Planner {
    /// That of a configured server, which is looked at by another login perhaps.
    ///
    /// # Errors
    /// If its settings cannot be used.
    pub fn of(settings: &ServerSettings, looked_at: &Server) -> Result<Self, EngineError> {
        Ok(Self {
            server: planner_of(settings, looked_at)?,
            trusted_owners: settings.trusted_owners.clone(),
        })
    }

    /// The way to the server as the login that plans.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl From<Server> for Planner {
    /// Where nobody named roles whose code may run.
    fn from(server: Server) -> Self {
        Self {
            server,
            trusted_owners: Vec::new(),
        }
    }
}

/// What is known of one server's databases, and what is being worked out.
pub struct Advising {
    planner: Arc<Planner>,
    every: Duration,
    since: Instant,
    /// Whether the server was a standby at the last turn; not before the first.
    is_standby: bool,
    stop: CancellationToken,
    running: Option<Running>,
    latest: BTreeMap<String, Latest>,
    /// What was written to the tables of each database until some times, the first of them about an hour ago.
    writes: BTreeMap<String, VecDeque<WriteCounters>>,
    /// What was known before this daemon started.
    remembered: BTreeMap<String, Earlier>,
    /// Databases of which something was told while the server was no standby, until advice of the standby is there.
    demoted: BTreeSet<String>,
    /// Statements of each database that did not end when planning them was cancelled, and when that was.
    stubborn: BTreeMap<String, BTreeMap<String, Instant>>,
    plans: Plans,
    traces: Traces,
    /// What is due, and waits for the budget.
    waiting: Option<Waiting>,
}

struct Running {
    database: String,
    /// When it began, by the server's clock.
    began_at: DateTime<Utc>,
    indexes: u64,
    /// Seconds of the server that it may take.
    may_take_seconds: f64,
    /// Those that it took until now.
    took_seconds: f64,
    task: Task,
    work: JoinHandle<Worked>,
}

/// What a run is for.
enum Task {
    /// Advice, which knows of this.
    Advice(Earlier),
    /// Plans that are kept, alone.
    Plans,
}

impl Advising {
    /// For the databases of one server, each anew after that time.
    pub fn new(planner: impl Into<Planner>, every: Duration, stop: CancellationToken) -> Self {
        Self {
            planner: Arc::new(planner.into()),
            every,
            since: Instant::now(),
            is_standby: false,
            stop,
            running: None,
            latest: BTreeMap::new(),
            writes: BTreeMap::new(),
            remembered: BTreeMap::new(),
            demoted: BTreeSet::new(),
            stubborn: BTreeMap::new(),
            plans: Plans::default(),
            traces: Traces::default(),
            waiting: None,
        }
    }

    /// Takes in what was found before this daemon started: of statements that are not seen again nothing can be said.
    pub fn remember(&mut self, findings: &[Finding]) {
        for finding in findings {
            let told = earlier::of_finding(&finding.claim);
            let (Some(database), Some((missing, told))) = (&finding.claim.database, told) else {
                continue;
            };
            let known = self.remembered.entry(database.clone()).or_default();
            known.insert(missing, told);
        }
    }

    /// Puts into an observation what is known, and begins what is due if the budget leaves it so many seconds of the server that
    /// this is worth it; it takes no more than those, of `hour_seconds` that an hour leaves for all databases. Waits for
    /// nothing. Gives the seconds that the server spent since the last time, also for what is still being worked out.
    pub async fn turn(
        &mut self,
        observation: &mut Observation,
        may_take_seconds: f64,
        hour_seconds: f64,
    ) -> f64 {
        let spent_seconds = self.planner.server.take_spent_seconds();
        if let Some(running) = &mut self.running {
            running.took_seconds += spent_seconds;
        }
        self.take_finished().await;
        self.heed_role(observation.server.is_standby);
        let there: BTreeSet<&str> = observation
            .server
            .databases
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        self.latest.retain(|name, _| there.contains(name.as_str()));
        self.writes.retain(|name, _| there.contains(name.as_str()));
        self.stubborn.retain(|name, _| there.contains(name.as_str()));
        self.plans.retain(&there);
        let mut waits_for = None;
        if self.running.is_none() {
            waits_for = self.begin_what_is_due(observation, may_take_seconds, hour_seconds);
        }
        self.note_waiting(waits_for, may_take_seconds, observation.now);
        // in findings, too, which are written anew where it changes
        let waits = self.told_waiting_still();
        let unknown = match &observation.statements {
            Err(unknown) => unknown.clone(),
            Ok(_) => Unknown::because(format!(
                "the planner was not asked yet which indexes are missing{waits}"
            )),
        };
        let is_known = observation.statements.is_ok();
        let oldest = self.oldest();
        let is_coming = !observation.server.is_standby
            && self.since.elapsed() < self.every * 2 + limits::ADVICE_TIME
            && (is_known
                || !observation
                    .gaps
                    .iter()
                    .any(|gap| gap.rules.iter().any(|rule| rule == "query.*")));
        for database in &mut observation.databases {
            database.rehearsals = match self.latest.get(&database.name).map(|latest| &latest.last) {
                Some(Some(advised)) => Rehearsals::Known(advised.clone()),
                None if is_coming => Rehearsals::Coming,
                Some(None) | None => Rehearsals::NotTried,
            };
            let advice = match self.latest.get(&database.name) {
                Some(latest) if is_known && latest.advised_at.elapsed() <= oldest => {
                    latest.told(self.every, &waits)
                }
                Some(_) if is_known => Err(Unknown::because(format!(
                    "the last advice is older than {}{waits}",
                    seconds_for_people(oldest.as_secs_f64())
                ))),
                _ => Err(unknown.clone()),
            };
            database.advice = self.heeding_role(&database.name, advice);
        }
        spent_seconds
    }

    /// Whether advice is being worked out.
    pub fn is_working(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| !running.work.is_finished())
    }

    /// Gives the seconds of the server that what is due waits for.
    fn begin_what_is_due(
        &mut self,
        observation: &Observation,
        may_take_seconds: f64,
        hour_seconds: f64,
    ) -> Option<f64> {
        let Ok(activity) = &observation.statements else {
            return None;
        };
        let is_full = activity.absence_is_no_proof(|_| true).is_none();
        let due = observation
            .databases
            .iter()
            .filter(|database| self.is_due(database, is_full, may_take_seconds));
        // the one that waits for longest, so that none waits for ever
        let longest = due.min_by_key(|database| self.latest.get(&database.name).map(|latest| latest.at));
        let Some(database) = longest else {
            if may_take_seconds >= limits::ADVICE_LEAST_SECONDS {
                self.begin_plans(observation, activity, may_take_seconds);
            }
            return None;
        };
        let latest = self.latest.get(&database.name);
        let databases = observation.databases.len();
        let enough = enough_seconds(latest, hour_seconds, databases, self.every * 3);
        if may_take_seconds < enough {
            return Some(enough);
        }
        let earlier = self.earlier(&database.name);
        let mut asked = Asked::of(database, observation.now, activity);
        asked.earlier.clone_from(&earlier);
        self.leave_out_stubborn(&database.name, &asked.statement_ids, &mut asked.workload);
        asked.earlier_writes = self
            .writes
            .get(&database.name)
            .and_then(|known| known.front())
            .cloned();
        let (planner, stop, traces) = (self.planner.clone(), self.stop.clone(), self.traces.clone());
        // the search is arithmetic between two questions: it would hold up the looks
        let working = move || {
            let is_cancelled = || stop.is_cancelled();
            let effort = Effort::beside_looks(may_take_seconds, &is_cancelled, traces);
            on_its_own(work_out(&planner, asked, &effort))
        };
        self.running = Some(Running {
            database: database.name.clone(),
            began_at: observation.now,
            indexes: indexes_of(database),
            may_take_seconds,
            took_seconds: 0.0,
            task: Task::Advice(earlier),
            work: tokio::task::spawn_blocking(working),
        });
        None
    }

    /// Plans the costliest statements of the first database in which some are to be planned again.
    fn begin_plans(
        &mut self,
        observation: &Observation,
        activity: &StatementActivity,
        may_take_seconds: f64,
    ) {
        let now = Instant::now();
        let due = observation.databases.iter().find_map(|database| {
            let statements = self.plans.due(database, activity, self.every, now);
            (!statements.is_empty()).then_some((database, statements))
        });
        let Some((database, statements)) = due else { return };
        let mut workload: Vec<WorkloadStatement> =
            statements.iter().map(|statement| asked(statement)).collect();
        let ids = ids(statements.into_iter());
        self.leave_out_stubborn(&database.name, &ids, &mut workload);
        let workload = (workload, ids);
        let (planner, stop, traces) = (self.planner.clone(), self.stop.clone(), self.traces.clone());
        let name = database.name.clone();
        let working = move || {
            let is_cancelled = || stop.is_cancelled();
            let effort = Effort::beside_looks(may_take_seconds, &is_cancelled, traces);
            on_its_own(plan_alone(&planner, &name, workload, &effort))
        };
        self.running = Some(Running {
            database: database.name.clone(),
            began_at: observation.now,
            indexes: indexes_of(database),
            may_take_seconds,
            took_seconds: 0.0,
            task: Task::Plans,
            work: tokio::task::spawn_blocking(working),
        });
    }

    /// Waits for what is under way, which ends after the next question once the daemon is told to stop.
    pub async fn end(&mut self) {
        if let Some(running) = self.running.take()
            && tokio::time::timeout(limits::ADVICE_ENDS_WITHIN, running.work)
                .await
                .is_err()
        {
            tracing::warn!(
                database = running.database,
                "planning did not end in time: what it counts from now on looks like use"
            );
        }
    }

    /// Plans that are to be written down.
    pub fn take_plans(&mut self) -> Vec<KeptPlan> {
        self.plans.take_unwritten()
    }

    /// Marks the statements that did not end when they were cancelled, not long ago: each of them would take its session again.
    fn leave_out_stubborn(&self, database: &str, ids: &[String], workload: &mut [WorkloadStatement]) {
        let Some(known) = self.stubborn.get(database) else {
            return;
        };
        for (statement, id) in workload.iter_mut().zip(ids) {
            let at = known.get(id);
            statement.is_stubborn = at.is_some_and(|at| at.elapsed() < limits::STUBBORN_AGAIN_AFTER);
        }
    }

    fn is_due(&self, database: &DatabaseObservation, window_is_full: bool, may_take_seconds: f64) -> bool {
        let Some(latest) = self.latest.get(&database.name) else {
            return true;
        };
        let every = latest.again_after(self.every, window_is_full, may_take_seconds);
        let age = latest.at.elapsed();
        age >= every || age >= limits::ADVICE_AGAIN_AFTER && latest.indexes != indexes_of(database)
    }

    /// What is still to be remembered when the next advice for this database is worked out.
    fn earlier(&self, database: &str) -> Earlier {
        let Some(latest) = self.latest.get(database) else {
            return self.remembered.get(database).cloned().unwrap_or_default();
        };
        match &latest.advice {
            Ok(advised) => earlier::after(latest.earlier.clone(), advised),
            Err(_) => latest.earlier.clone(),
        }
    }

    async fn take_finished(&mut self) {
        let Some(running) = self.running.take_if(|running| running.work.is_finished()) else {
            return;
        };
        let worked = running.work.await.unwrap_or_else(|error| Worked::failed(&error));
        if !worked.stubborn.is_empty() {
            let known = self.stubborn.entry(running.database.clone()).or_default();
            known.retain(|_, at| at.elapsed() < limits::STUBBORN_AGAIN_AFTER);
            known.extend(worked.stubborn.into_iter().map(|id| (id, Instant::now())));
        }
        let plans_are_known = !worked.plans.is_empty();
        if plans_are_known || matches!(running.task, Task::Plans) {
            let began = (running.began_at, running.indexes);
            self.plans
                .take(&running.database, began, worked.plans, Instant::now());
        }
        let Task::Advice(earlier) = running.task else {
            if let (false, Err(unknown)) = (plans_are_known, &worked.advice) {
                tracing::debug!(database = running.database, "no plans: {}", unknown.reason);
            }
            return;
        };
        match &worked.advice {
            Ok(advised) => tracing::debug!(
                database = running.database,
                indexes = advised.report.indexes.len(),
                what_if_calls = advised.report.workload.what_if_calls,
                elapsed_seconds = advised.report.workload.elapsed_seconds,
                "asked the planner which indexes are missing"
            ),
            Err(unknown) => {
                tracing::debug!(database = running.database, "no index advice: {}", unknown.reason)
            }
        }
        if let Some(writes) = worked.writes {
            let known = self.writes.entry(running.database.clone()).or_default();
            let is_old = |one: &WriteCounters| {
                (writes.at - one.at)
                    .to_std()
                    .is_ok_and(|age| age >= limits::WRITES_WINDOW)
            };
            // the oldest one goes when the next is old enough for a rate
            while known.get(1).is_some_and(is_old) {
                known.pop_front();
            }
            known.push_back(writes);
        }
        let ended = Ended {
            at: Instant::now(),
            indexes: running.indexes,
            could_take_seconds: running.may_take_seconds,
            took_seconds: running.took_seconds,
            earlier,
            error_at: worked.is_error.then_some(running.began_at),
            advice: worked.advice.map(|advised| advised.again_after(self.every)),
        };
        let before = self.latest.remove(&running.database);
        let latest = Latest::after(ended, before, self.oldest());
        self.latest.insert(running.database, latest);
    }
}

/// Runs on this thread until it is done.
fn on_its_own(working: impl Future<Output = Worked>) -> Worked {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(working),
        Err(error) => Worked::failed(&error),
    }
}

/// Another number where an index came, went or became valid.
fn indexes_of(database: &DatabaseObservation) -> u64 {
    let mut hasher = DefaultHasher::new();
    for index in database.catalog.indexes.values() {
        (index.oid, index.is_valid).hash(&mut hasher);
    }
    hasher.finish()
}

/// Asks the planner about every database that was looked at, within some seconds for all of them together.
pub async fn advise_at_once(planner: &Planner, observation: &mut Observation) {
    let effort = Effort {
        began: Instant::now(),
        pause: 0,
        time: limits::ADVICE_TIME_OF_A_CHECK,
        server_seconds: f64::INFINITY,
        is_cancelled: &|| false,
        // what it leaves behind nobody would take off
        traces: None,
    };
    for database in &mut observation.databases {
        database.advice = match &observation.statements {
            Err(unknown) => Err(unknown.clone()),
            Ok(activity) => {
                let asked = Asked::of(database, observation.now, activity);
                work_out(planner, asked, &effort).await.advice.map(Arc::new)
            }
        };
        if let Ok(advised) = &database.advice {
            database.rehearsals = Rehearsals::Known(advised.clone());
        }
    }
}
