//! Index advice while the daemon runs: one database after the other, by the planner's login, on a thread of its own, so
//! that looks go on meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::index_advisor::advice::{Wanted, advise};
use crate::index_advisor::gate::Gate;
use crate::index_advisor::search_path::search_path_of;
use crate::index_advisor::summary::{About, about_the_login};
use crate::index_advisor::upkeep::WriteCounters;
use crate::index_advisor::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::advice::{
    AdviceReport, Advised, AdvisedActivity, Droppable, MissingIndex, Rehearsal, Rehearsals,
};
use crate::model::finding::{Finding, Window};
use crate::model::observation::{
    DatabaseObservation, Observation, StatementActivity, StatementDelta, Unknown,
};
use crate::model::remedy::Statement;
use crate::model::snapshot::IndexFacts;
use crate::postgres::{Plan, PostgresError, Server};
use crate::report::setup;
use crate::rules::index::{duplicate, unused};

/// What is known of one server's databases, and what is being worked out.
pub struct Advising {
    planner: Arc<Server>,
    every: Duration,
    since: Instant,
    stop: CancellationToken,
    running: Option<Running>,
    latest: BTreeMap<String, Latest>,
    /// What was written to the tables of each database until some times, the first of them about an hour ago.
    writes: BTreeMap<String, VecDeque<WriteCounters>>,
    /// What was known before this daemon started.
    remembered: BTreeMap<String, Earlier>,
}

struct Running {
    database: String,
    indexes: u64,
    earlier: Earlier,
    work: JoinHandle<Worked>,
}

struct Latest {
    at: Instant,
    /// The indexes that there were.
    indexes: u64,
    earlier: Earlier,
    advice: Result<Arc<Advised>, Unknown>,
    /// The last that did not fail: what plans take is not another thing because one run failed.
    last: Option<Arc<Advised>>,
}

/// What was advised so far, and for which statements.
type Earlier = BTreeMap<MissingIndex, BTreeSet<String>>;

impl Advising {
    /// For the databases of one server, each anew after that time.
    pub fn new(planner: Server, every: Duration, stop: CancellationToken) -> Self {
        Self {
            planner: Arc::new(planner),
            every,
            since: Instant::now(),
            stop,
            running: None,
            latest: BTreeMap::new(),
            writes: BTreeMap::new(),
            remembered: BTreeMap::new(),
        }
    }

    /// Takes in what was found before this daemon started: of statements that are not seen again nothing can be said.
    pub fn remember(&mut self, findings: &[Finding]) {
        for finding in findings {
            let claim = &finding.claim;
            let (Some(database), [schema, table, leading_key]) = (&claim.database, &claim.subject[..]) else {
                continue;
            };
            let missing = MissingIndex {
                schema: schema.clone(),
                table: table.clone(),
                leading_key: leading_key.clone(),
            };
            let statements = claim.evidence.get("statements").and_then(Value::as_array);
            let ids = statements
                .into_iter()
                .flatten()
                .filter_map(|one| one.get("statement_id")?.as_str().map(str::to_owned));
            let known = self.remembered.entry(database.clone()).or_default();
            known.entry(missing).or_default().extend(ids);
        }
    }

    /// Puts into an observation what is known, and begins what is due if it may; waits for nothing. Gives the seconds that
    /// the server spent since the last time.
    pub async fn turn(&mut self, observation: &mut Observation, may_begin: bool) -> f64 {
        let spent_seconds = self.take_finished().await;
        let there: BTreeSet<&str> = observation
            .server
            .databases
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        self.latest.retain(|name, _| there.contains(name.as_str()));
        self.writes.retain(|name, _| there.contains(name.as_str()));
        if may_begin && self.running.is_none() && !observation.server.is_standby {
            self.begin_what_is_due(observation);
        }
        let unknown = match &observation.statements {
            Err(unknown) => unknown.clone(),
            Ok(_) => Unknown::because("the planner was not asked yet which indexes are missing"),
        };
        let is_known = observation.statements.is_ok();
        let oldest = self.every * 3 + limits::ADVICE_TIME;
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
            database.advice = match self.latest.get(&database.name) {
                Some(latest) if is_known && latest.at.elapsed() <= oldest => latest.advice.clone(),
                Some(latest) if is_known => Err(Unknown::because(format!(
                    "the last advice is {} min old: it waits while the advisor is over its budget",
                    latest.at.elapsed().as_secs() / 60
                ))),
                _ => Err(unknown.clone()),
            };
        }
        spent_seconds
    }

    /// Whether advice is being worked out.
    pub fn is_working(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| !running.work.is_finished())
    }

    fn begin_what_is_due(&mut self, observation: &Observation) {
        let Ok(activity) = &observation.statements else {
            return;
        };
        let is_full = activity.still_filling.is_none();
        let due = observation
            .databases
            .iter()
            .filter(|database| self.is_due(database, is_full));
        // the one that waits for longest, so that none waits for ever
        let longest = due.min_by_key(|database| self.latest.get(&database.name).map(|latest| latest.at));
        let Some(database) = longest else { return };
        let earlier = self.earlier(&database.name);
        let asked = Asked {
            earlier: earlier.clone(),
            earlier_writes: self
                .writes
                .get(&database.name)
                .and_then(|known| known.front())
                .cloned(),
            ..Asked::of(database, observation.now, activity)
        };
        let (planner, stop) = (self.planner.clone(), self.stop.clone());
        // the search is arithmetic between two questions: it would hold up the looks
        let working = move || {
            on_its_own(work_out(&planner, asked, limits::PLANNING_PAUSE, &|| {
                stop.is_cancelled()
            }))
        };
        self.running = Some(Running {
            database: database.name.clone(),
            indexes: indexes_of(database),
            earlier,
            work: tokio::task::spawn_blocking(working),
        });
    }

    fn is_due(&self, database: &DatabaseObservation, window_is_full: bool) -> bool {
        let Some(latest) = self.latest.get(&database.name) else {
            return true;
        };
        let every = match &latest.advice {
            Ok(advised) if advised.still_filling.is_some() && window_is_full => Duration::ZERO,
            Ok(_) => self.every,
            Err(_) => self.every.min(limits::ADVICE_RETRY_AFTER),
        };
        let age = latest.at.elapsed();
        age >= every || age >= limits::ADVICE_AGAIN_AFTER && latest.indexes != indexes_of(database)
    }

    /// What is still to be remembered when the next advice for this database is worked out.
    fn earlier(&self, database: &str) -> Earlier {
        let Some(latest) = self.latest.get(database) else {
            return self.remembered.get(database).cloned().unwrap_or_default();
        };
        let mut earlier = latest.earlier.clone();
        if let Ok(advised) = &latest.advice {
            // of what was seen the advice itself spoke
            earlier.retain(|_, statements| !statements.iter().any(|id| advised.activity.contains_key(id)));
            for index in &advised.report.indexes {
                let statements = earlier.entry(MissingIndex::of(index)).or_default();
                statements.extend(index.statements.iter().cloned());
            }
        }
        earlier
    }

    async fn take_finished(&mut self) -> f64 {
        let Some(running) = self.running.take_if(|running| running.work.is_finished()) else {
            return 0.0;
        };
        let worked = running.work.await.unwrap_or_else(|error| Worked::failed(&error));
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
        let advice = worked.advice.map(Arc::new);
        let before = self
            .latest
            .get(&running.database)
            .and_then(|latest| latest.last.clone());
        let latest = Latest {
            at: Instant::now(),
            indexes: running.indexes,
            earlier: running.earlier,
            last: advice.as_ref().ok().cloned().or(before),
            advice,
        };
        self.latest.insert(running.database, latest);
        worked.spent_seconds
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

/// What is to be worked out: statements of one database and what they did.
struct Asked {
    database: String,
    at: DateTime<Utc>,
    window: Option<Window>,
    total_seconds: f64,
    still_filling: Option<String>,
    workload: Vec<WorkloadStatement>,
    activity: BTreeMap<String, AdvisedActivity>,
    earlier: Earlier,
    drops: Vec<Droppable>,
    earlier_writes: Option<WriteCounters>,
}

impl Asked {
    /// The costliest statements of a database, and the indexes that look as if they were there for nothing.
    fn of(database: &DatabaseObservation, at: DateTime<Utc>, activity: &StatementActivity) -> Self {
        let costliest = activity
            .statements
            .iter()
            .filter(|statement| statement.database == database.name)
            .take(limits::ADVISED_STATEMENTS);
        let did = |statement: &StatementDelta| {
            let did = AdvisedActivity {
                queryid: statement.queryid,
                calls: statement.calls,
                seconds: statement.seconds,
            };
            (statement.text.statement_id.clone(), did)
        };
        let asked = |statement: &StatementDelta| WorkloadStatement {
            name: None,
            weight: statement.calls as f64,
            text: statement.text.text.clone(),
            role: statement.roles.first().cloned(),
            other_roles: statement.roles.iter().skip(1).cloned().collect(),
            rows_per_call: Some(statement.rows as f64 / statement.calls.max(1) as f64),
            seconds_per_call: Some(statement.seconds / statement.calls.max(1) as f64),
        };
        Self {
            database: database.name.clone(),
            at,
            window: activity.window,
            total_seconds: activity.total_seconds,
            still_filling: activity.still_filling.clone(),
            workload: costliest.clone().map(asked).collect(),
            activity: costliest.map(did).collect(),
            earlier: Earlier::new(),
            drops: droppable(database, at),
            earlier_writes: None,
        }
    }
}

/// The indexes that rules may call superfluous: those that another one can stand in for, then those that are idle for a day,
/// the longest idle first, so that what is called unused was rehearsed before what is not yet.
fn droppable(database: &DatabaseObservation, now: DateTime<Utc>) -> Vec<Droppable> {
    let alike: BTreeSet<u32> = database.catalog.alike.iter().flatten().copied().collect();
    let mut drops: Vec<&IndexFacts> = duplicate::superfluous(database)
        .into_iter()
        .map(|(facts, ..)| facts)
        .collect();
    let mut idle: Vec<(DateTime<Utc>, &IndexFacts)> = database
        .indexes_with_facts()
        .filter(|(_, facts)| !unused::is_needed(facts) && !alike.contains(&facts.oid))
        .filter_map(|(index, facts)| {
            let since = index
                .idle_since
                .into_iter()
                .chain(index.no_scan_counted_since)
                .min()?;
            (now - since >= TimeDelta::days(1)).then_some((since, facts))
        })
        .collect();
    idle.sort_by_key(|(since, facts)| (*since, facts.oid));
    drops.extend(idle.into_iter().map(|(_, facts)| facts));
    let named = drops
        .into_iter()
        .take(limits::REHEARSED_DROPS)
        .map(|facts| Droppable {
            oid: facts.oid,
            schema: facts.schema.clone(),
            name: facts.name.clone(),
        });
    named.collect()
}

impl Asked {
    /// With the advice; nothing is said of statements that could not be planned.
    fn advised(self, answered: Answered) -> Advised {
        let report = answered.report;
        let mut activity = self.activity;
        let unplanned = report.statements.iter().filter(|one| one.is_unplanned());
        let did = unplanned.filter_map(|one| activity.get(&one.statement_id));
        let unplanned_seconds = did.map(|did| did.seconds).sum();
        let planned: BTreeSet<&str> = report
            .statements
            .iter()
            .filter(|one| one.cost_after.is_some())
            .map(|one| one.statement_id.as_str())
            .collect();
        activity.retain(|id, _| planned.contains(id.as_str()));
        Advised {
            at: self.at,
            window: self.window,
            total_seconds: self.total_seconds,
            still_filling: self.still_filling,
            unplanned_seconds,
            activity,
            rehearsals: answered.rehearsals,
            writes_are_counted: answered.writes_are_counted,
            report,
            earlier: self.earlier,
        }
    }
}

/// What was answered.
struct Answered {
    report: AdviceReport,
    rehearsals: BTreeMap<u32, Rehearsal>,
    writes: Option<WriteCounters>,
    writes_are_counted: bool,
}

/// What came of one run.
struct Worked {
    advice: Result<Advised, Unknown>,
    writes: Option<WriteCounters>,
    spent_seconds: f64,
}

impl Worked {
    fn failed(error: &dyn std::fmt::Display) -> Self {
        Self {
            advice: Err(Unknown::because(format!("working out advice failed: {error}"))),
            writes: None,
            spent_seconds: 0.0,
        }
    }
}

/// Asks the planner about every database that was looked at, within some seconds for all of them together.
pub async fn advise_at_once(planner: &Server, observation: &mut Observation) {
    let started = Instant::now();
    let late = || started.elapsed() >= limits::ADVICE_TIME_OF_A_CHECK;
    for database in &mut observation.databases {
        database.advice = match &observation.statements {
            Err(unknown) => Err(unknown.clone()),
            Ok(activity) => {
                let asked = Asked::of(database, observation.now, activity);
                work_out(planner, asked, 0, &late).await.advice.map(Arc::new)
            }
        };
        if let Ok(advised) = &database.advice {
            database.rehearsals = Rehearsals::Known(advised.clone());
        }
    }
}

/// Asks the planner; after each plan it pauses for so many times as long as that took.
async fn work_out(planner: &Server, asked: Asked, pause: u32, stop: &(dyn Fn() -> bool + Sync)) -> Worked {
    let started = Instant::now();
    let late = || stop() || started.elapsed() >= limits::ADVICE_TIME;
    let mut spent_seconds = 0.0;
    let mut writes = None;
    let advice = match planned(planner, &asked, pause, &late, &mut spent_seconds).await {
        Ok(Ok(mut answered)) => {
            writes = answered.writes.take();
            Ok(asked.advised(answered))
        }
        Ok(Err(unknown)) => Err(unknown),
        Err(error) => Err(Unknown::because(error.one_line())),
    };
    Worked {
        advice,
        writes,
        spent_seconds,
    }
}

async fn planned(
    planner: &Server,
    asked: &Asked,
    pause: u32,
    stop: &(dyn Fn() -> bool + Sync),
    spent_seconds: &mut f64,
) -> Result<Result<Answered, Unknown>, PostgresError> {
    let login = &planner.conninfo().user;
    let plan = planner.plan(&asked.database).await?.at_leisure(pause);
    if let Err(unknown) = may_plan(&plan, login) {
        return Ok(Err(unknown));
    }
    let report = ask(&plan, asked, login, stop).await;
    // what failed cost something, too
    *spent_seconds = plan.session().spent_seconds();
    report.map(Ok)
}

async fn ask(
    plan: &Plan,
    asked: &Asked,
    login: &str,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Answered, PostgresError> {
    let started = Instant::now();
    let mut gate = Gate::open(plan, &[]).await?;
    let mut paths = SearchPaths::new(search_path_of(plan, login).await?);
    let notes = about_the_login(plan, &gate, login);
    let workload = asked.workload.clone();
    let wanted = Wanted {
        drops: &asked.drops,
        window_seconds: asked.window.map(|window| window.seconds()),
        earlier_writes: asked.earlier_writes.as_ref(),
        ..Wanted::default()
    };
    let advice = advise(plan, &mut gate, &mut paths, workload, wanted, stop, &|_| ()).await?;
    let about = About {
        database: asked.database.clone(),
        budget_bytes: None,
        elapsed_seconds: started.elapsed().as_secs_f64(),
        days: asked.window.map(|window| window.seconds() / 86_400.0),
        notes,
    };
    let rehearsals = advice.rehearsals.iter();
    let by_oid = rehearsals.map(|(index, rehearsal)| (index.oid, rehearsal.clone()));
    Ok(Answered {
        rehearsals: by_oid.collect(),
        report: advice.summary(about),
        writes: advice.writes,
        writes_are_counted: advice.writes_are_counted,
    })
}

/// Whether planning would prove something, and leave everything as it is.
fn may_plan(plan: &Plan, login: &str) -> Result<(), Unknown> {
    let because = |reason: String, remedy_sql: String| Unknown {
        reason,
        remedy_sql: Some(remedy_sql),
    };
    if plan.hypothetical().is_none() {
        return Err(because(
            "HypoPG is not installed in this database, so the planner cannot be asked about indexes that are not there"
                .to_owned(),
            Statement::CreateExtension { name: "hypopg" }.sql(),
        ));
    }
    if !plan.leaves_counters {
        return Err(because(
            format!(
                "planning by {login} would count as scans of indexes, so that unused ones would look used"
            ),
            setup::leave_counters(login),
        ));
    }
    if !plan.leaves_statements {
        return Err(because(
            format!("what {login} plans would fill pg_stat_statements"),
            setup::leave_statements(login),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{database, index, now};

    #[test]
    fn only_what_a_rule_would_name_is_rehearsed_the_longest_idle_first() {
        let (mut a, mut b) = (index(8, "a"), index(9, "b"));
        b.shape.clone_from(&a.shape);
        (a.size_bytes, b.size_bytes) = (9e9, 1.0);
        let mut unique = index(10, "unique");
        unique.is_unique = true;
        let mut observed = database(vec![
            a,
            b,
            unique,
            index(11, "idle"),
            index(12, "longer"),
            index(13, "used"),
        ]);
        for index in &mut observed.databases[0].indexes {
            let days = match index.oid {
                11 => 3,
                13 => 0,
                _ => 40,
            };
            (index.idle_since, index.no_scan_counted_since) = (Some(now() - TimeDelta::days(days)), None);
        }
        let drops = droppable(&observed.databases[0], now());
        let names: Vec<&str> = drops.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            ["b", "longer", "idle"],
            "of two twins the one that index.duplicate drops"
        );
    }
}
