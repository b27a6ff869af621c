//! One run of advice for one database: what is asked, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::plans::fit_to_keep;
use super::refused::{leaves_no_trace, may_prove, worth_mending};
use super::{Earlier, Planner};
use crate::index_advisor::advice::{Wanted, advise};
use crate::index_advisor::gate::Gate;
use crate::index_advisor::kept::AsItIs;
use crate::index_advisor::pace::{Most, Pace, Taken};
use crate::index_advisor::search_path::search_path_of;
use crate::index_advisor::summary::{About, about_the_login};
use crate::index_advisor::upkeep::WriteCounters;
use crate::index_advisor::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::advice::{AdviceReport, Advised, AdvisedActivity, Droppable, Rehearsal, SummaryView};
use crate::model::catalog::IndexFacts;
use crate::model::column::ColumnNow;
use crate::model::finding::Window;
use crate::model::kept_plan::KeptPlan;
use crate::model::observation::{DatabaseObservation, StatementActivity, StatementDelta, Unknown};
use crate::postgres::{Plan, PostgresError, Traces};
use crate::rules::index::{duplicate, redundant_prefix, unused};

/// What is to be worked out: statements of one database and what they did.
pub(super) struct Asked {
    database: String,
    at: DateTime<Utc>,
    window: Option<Window>,
    total_seconds: f64,
    still_filling: Option<String>,
    looked_only_since: Option<DateTime<Utc>>,
    pub(super) workload: Vec<WorkloadStatement>,
    /// Of those.
    pub(super) statement_ids: Vec<String>,
    activity: BTreeMap<String, AdvisedActivity>,
    pub(super) earlier: Earlier,
    drops: Vec<Droppable>,
    pub(super) earlier_writes: Option<WriteCounters>,
}

impl Asked {
    /// The costliest statements of a database, and the indexes that look as if they were there for nothing.
    pub(super) fn of(
        database: &DatabaseObservation,
        at: DateTime<Utc>,
        activity: &StatementActivity,
    ) -> Self {
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
        // an entry without a text could be one of them
        let least_seconds = costliest
            .clone()
            .nth(limits::ADVISED_STATEMENTS - 1)
            .map_or(0.0, |last| last.seconds);
        let could_be_one =
            |hidden: &StatementDelta| hidden.database == database.name && hidden.seconds >= least_seconds;
        Self {
            database: database.name.clone(),
            at,
            window: activity.window,
            total_seconds: activity.total_seconds,
            still_filling: activity.absence_is_no_proof(could_be_one),
            looked_only_since: activity.unseen_before(costliest.clone()),
            workload: costliest.clone().map(asked).collect(),
            statement_ids: ids(costliest.clone()),
            activity: costliest.map(did).collect(),
            earlier: Earlier::new(),
            drops: droppable(database, at),
            earlier_writes: None,
        }
    }
}

/// A statement as the planner is asked about it.
pub(super) fn asked(statement: &StatementDelta) -> WorkloadStatement {
    WorkloadStatement {
        name: None,
        weight: statement.calls as f64,
        text: statement.text.text.clone(),
        role: statement.roles.first().cloned(),
        other_roles: statement.roles.iter().skip(1).cloned().collect(),
        rows_per_call: Some(statement.rows as f64 / statement.calls.max(1) as f64),
        seconds_per_call: Some(statement.seconds / statement.calls.max(1) as f64),
        is_stubborn: false,
    }
}

/// What statements are known by.
pub(super) fn ids<'a>(statements: impl Iterator<Item = &'a StatementDelta>) -> Vec<String> {
    statements
        .map(|statement| statement.text.statement_id.clone())
        .collect()
}

/// The indexes that rules may call superfluous: those that another one can stand in for, then those that are idle for a day,
/// the longest idle first, so that what is called unused was rehearsed before what is not yet.
fn droppable(database: &DatabaseObservation, now: DateTime<Utc>) -> Vec<Droppable> {
    let alike: BTreeSet<u32> = database.catalog.alike.iter().flatten().copied().collect();
    let mut drops: Vec<&IndexFacts> = duplicate::superfluous(database)
        .into_iter()
        .map(|(facts, ..)| facts)
        .collect();
    // a plan names the indexes of partitions, never that of the whole
    let shorter = redundant_prefix::superfluous(database, &|_| true);
    let shorter = shorter.into_iter().map(|(facts, ..)| facts);
    drops.extend(shorter.filter(|facts| !facts.is_partitioned));
    let known: BTreeSet<u32> = drops.iter().map(|facts| facts.oid).collect();
    let mut idle: Vec<(DateTime<Utc>, &IndexFacts)> = database
        .indexes_with_facts()
        .filter(|(_, facts)| {
            !unused::is_needed(facts) && !alike.contains(&facts.oid) && !known.contains(&facts.oid)
        })
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
            looked_only_since: self.looked_only_since,
            unplanned_seconds,
            activity,
            rehearsals: answered.rehearsals,
            unfinished_since: None,
            every: None,
            summary_views: answered.summary_views,
            columns: answered.columns,
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
    summary_views: Vec<SummaryView>,
    columns: BTreeMap<u32, Vec<ColumnNow>>,
    plans: Vec<KeptPlan>,
    stubborn: Vec<String>,
    writes: Option<WriteCounters>,
    writes_are_counted: bool,
}

/// What came of one run.
pub(super) struct Worked {
    pub(super) advice: Result<Advised, Unknown>,
    pub(super) plans: Vec<KeptPlan>,
    pub(super) writes: Option<WriteCounters>,
    /// The ids of statements that did not end when planning them was cancelled.
    pub(super) stubborn: Vec<String>,
    /// Whether an error ended it, which may be over by now; nothing that is lacking is one.
    pub(super) is_error: bool,
}

/// What one run may take.
pub(super) struct Effort<'a> {
    pub(super) began: Instant,
    /// After each plan it pauses for so many times as long as the server took.
    pub(super) pause: u32,
    /// From its beginning to its end.
    pub(super) time: Duration,
    /// Of the server.
    pub(super) server_seconds: f64,
    pub(super) is_cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Where what planning leaves behind is told to whoever takes it off; none where it is to leave nothing.
    pub(super) traces: Option<Traces>,
}

impl<'a> Effort<'a> {
    /// Of a run beside the looks that begins now, and may take so many seconds of the server.
    pub(super) fn beside_looks(
        server_seconds: f64,
        is_cancelled: &'a (dyn Fn() -> bool + Sync),
        traces: Traces,
    ) -> Self {
        Self {
            began: Instant::now(),
            pause: limits::PLANNING_PAUSE,
            time: limits::ADVICE_TIME,
            server_seconds,
            is_cancelled,
            traces: Some(traces),
        }
    }

    /// A planning session in a database.
    ///
    /// # Errors
    /// If none can be had.
    pub(super) async fn plan(&self, planner: &Planner, database: &str) -> Result<Plan, PostgresError> {
        let plan = planner.server.plan(database).await?;
        let plan = plan.at_leisure(self.pause);
        Ok(match &self.traces {
            Some(traces) => plan.leaving(traces),
            None => plan,
        })
    }

    /// Whether planning leaves everything as it is, or somebody takes off what it leaves behind.
    fn may_leave(&self, plan: &Plan, login: &str) -> Result<(), Unknown> {
        match &self.traces {
            Some(_) => Ok(()),
            None => leaves_no_trace(plan, login),
        }
    }

    /// What the run has taken so far, with its planning session.
    pub(super) fn taken(&self, plan: &Plan) -> Taken {
        Taken {
            elapsed: self.began.elapsed(),
            server_seconds: plan.spent_seconds(),
            is_asked_to_end: (self.is_cancelled)(),
        }
    }

    /// What it may take; once it is cancelled, nothing more.
    pub(super) fn most(&self) -> Most {
        Most {
            elapsed: Some(self.time),
            server_seconds: Some(self.server_seconds),
            after_asked: Duration::ZERO,
        }
    }
}

impl Worked {
    pub(super) fn failed(error: &dyn std::fmt::Display) -> Self {
        Self {
            advice: Err(Unknown::because(format!("working out advice failed: {error}"))),
            plans: Vec::new(),
            writes: None,
            stubborn: Vec::new(),
            is_error: true,
        }
    }
}

/// Asks the planner.
pub(super) async fn work_out(planner: &Planner, asked: Asked, effort: &Effort<'_>) -> Worked {
    let (mut writes, mut plans, mut stubborn) = (None, Vec::new(), Vec::new());
    let answer = planned(planner, &asked, effort).await;
    let is_error = answer.is_err();
    let advice = match answer {
        Ok(Ok(mut answered)) => {
            writes = answered.writes.take();
            plans = std::mem::take(&mut answered.plans);
            stubborn = std::mem::take(&mut answered.stubborn);
            Ok(asked.advised(answered))
        }
        Ok(Err(unknown)) => Err(unknown),
        Err(error) => Err(error.unknown(&planner.server.conninfo().user, &asked.database)),
    };
    Worked {
        advice,
        plans,
        writes,
        stubborn,
        is_error,
    }
}

async fn planned(
    planner: &Planner,
    asked: &Asked,
    effort: &Effort<'_>,
) -> Result<Result<Answered, Unknown>, PostgresError> {
    let plan = effort.plan(planner, &asked.database).await?;
    let login = &planner.server.conninfo().user;
    if let Err(unknown) = may_prove(&plan, login).and_then(|()| effort.may_leave(&plan, login)) {
        return Ok(Err(worth_mending(unknown, &asked.workload)));
    }
    ask(&plan, asked, planner, effort).await.map(Ok)
}

async fn ask(
    plan: &Plan,
    asked: &Asked,
    planner: &Planner,
    effort: &Effort<'_>,
) -> Result<Answered, PostgresError> {
    let started = Instant::now();
    let login = &planner.server.conninfo().user;
    let mut gate = Gate::open(plan, &planner.trusted_owners).await?;
    let mut paths = SearchPaths::new(search_path_of(plan, login).await?);
    let mut notes = about_the_login(plan, &gate, login);
    let workload = asked.workload.clone();
    let wanted = Wanted {
        // what a standby's own statements do without, its primary may need
        drops: match plan.is_standby {
            true => &[],
            false => &asked.drops,
        },
        summary_views: !plan.is_standby,
        window_seconds: asked.window.map(|window| window.seconds()),
        earlier_writes: asked.earlier_writes.as_ref(),
        ..Wanted::default()
    };
    let taken = || effort.taken(plan);
    let pace = Pace::new(&taken, effort.most());
    let advice = advise(plan, &mut gate, &mut paths, workload, wanted, &pace, &|_| ()).await?;
    notes.extend(advice.notes());
    let about = About {
        database: asked.database.clone(),
        budget_bytes: None,
        elapsed_seconds: started.elapsed().as_secs_f64(),
        days: asked.window.map(|window| window.seconds() / 86_400.0),
        notes,
    };
    let mut report = advice.summary(about);
    quote_nothing(&mut report, &advice.plans);
    let rehearsals = advice.rehearsals.iter();
    let by_oid = rehearsals.map(|(index, rehearsal)| (index.oid, rehearsal.clone()));
    let stubborn = advice.stubborn.iter();
    let stubborn = stubborn.filter_map(|position| asked.statement_ids.get(*position).cloned());
    Ok(Answered {
        stubborn: stubborn.collect(),
        rehearsals: by_oid.collect(),
        summary_views: advice.summary_views.clone(),
        columns: advice.columns,
        report,
        plans: fit_to_keep(&asked.database, &asked.statement_ids, advice.plans),
        writes: advice.writes,
        writes_are_counted: advice.writes_are_counted,
    })
}

/// Says why statements were not planned in words that hold nothing of them: this is stored and shown, and what a server says
/// of a statement may quote a constant.
fn quote_nothing(report: &mut AdviceReport, plans: &[AsItIs]) {
    for (position, plan) in plans {
        if let (Some(statement), Err(why)) = (report.statements.get_mut(*position), plan) {
            statement.reason = Some(why.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{advised, advised_statement, database, index, now};

    #[test]
    fn what_a_server_quotes_of_a_statement_is_not_stored() {
        let statement = |id: &str, reason: &str| {
            let mut statement = advised_statement(id, &[], None);
            statement.reason = Some(reason.to_owned());
            statement
        };
        let quoted = "EXPLAIN failed: invalid input syntax for type integer: \"secret\"";
        let statements = vec![statement("s1", "our own words"), statement("s2", quoted)];
        let mut report = advised(&[], statements).report;
        let plans: [AsItIs; 2] = [
            (1, Err("the server refused to plan it".to_owned())),
            (7, Err("not in the report".to_owned())),
        ];
        quote_nothing(&mut report, &plans);
        let reasons: Vec<Option<&str>> = report
            .statements
            .iter()
            .map(|one| one.reason.as_deref())
            .collect();
        assert_eq!(
            reasons,
            [Some("our own words"), Some("the server refused to plan it")]
        );
    }

    #[test]
    fn only_what_a_rule_would_name_is_rehearsed_the_longest_idle_first() {
        let (mut a, mut b) = (index(8, "a"), index(9, "b"));
        b.shape.clone_from(&a.shape);
        (a.size_bytes, b.size_bytes) = (9e9, 1.0);
        let mut unique = index(10, "code");
        unique.is_unique = true;
        let mut observed = database(vec![
            a,
            b,
            unique,
            index(11, "idle"),
            index(12, "longer"),
            index(13, "used"),
            index(14, "prefix"),
        ]);
        let indexes = &mut std::sync::Arc::make_mut(&mut observed.databases[0].catalog).indexes;
        let definitions = [
            (10, "code"),
            (11, "idle"),
            (12, "longer, b"),
            (13, "used"),
            (14, "longer"),
        ];
        for (oid, keys) in definitions {
            let facts = indexes.get_mut(oid).unwrap();
            let definition = format!("CREATE INDEX {} ON public.t USING btree ({keys})", facts.name);
            facts.definition = Some(definition.into());
        }
        for index in &mut observed.databases[0].indexes {
            let days = match index.oid {
                11 => 3,
                13 | 14 => 0,
                _ => 40,
            };
            (index.idle_since, index.no_scan_counted_since) = (Some(now() - TimeDelta::days(days)), None);
        }
        let drops = droppable(&observed.databases[0], now());
        let names: Vec<&str> = drops.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            ["b", "prefix", "longer", "idle"],
            "of two twins the one that index.duplicate drops, and what a longer one can stand in for"
        );
    }
}
