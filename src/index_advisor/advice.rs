//! From a workload to advice: plan every statement as things are, make candidates, let the planner choose, and tell what
//! came of it.

mod found;
mod stages;
mod steps;

use std::collections::BTreeMap;

use self::stages::{FIRST_PLANS, Run};
use self::steps::Steps;
use super::candidate::{Candidate, Kinds};
use super::definition::Definition;
use super::estimated::Methods;
use super::gate::Gate;
use super::kept::AsItIs;
use super::pace::Pace;
use super::ready::Ready;
use super::superseded::Superseded;
use super::upkeep::WriteCounters;
use super::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::advice::{Droppable, Rehearsal, Stopped, SummaryView, TriedValue};
use crate::model::column::ColumnNow;
use crate::model::finding::Confidence;
use crate::model::plan::PlanLine;
use crate::postgres::{Plan, PostgresError};
use crate::sql;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Which kinds of index.
    pub kinds: Kinds,
    /// Bytes that all indexes together may take.
    pub budget_bytes: Option<f64>,
    /// Questions to the planner, on average of all statements.
    pub calls_per_statement: usize,
    /// Indexes whose drop is to be rehearsed.
    pub drops: &'a [Droppable],
    /// Whether statements are also tried as materialized views.
    pub summary_views: bool,
    /// Where the weights are calls of so many seconds: what was written to tables is then read, too.
    pub window_seconds: Option<f64>,
    /// What was read of that earlier; without it what was written since counters began is taken, where that is known.
    pub earlier_writes: Option<&'a WriteCounters>,
}

impl Default for Wanted<'_> {
    /// Every kind of index that pays, of any size.
    fn default() -> Self {
        Self {
            kinds: Kinds {
                max_width: limits::INDEX_KEYS,
                btree: true,
                include: true,
                partial: true,
                expression: true,
                brin: true,
                estimated: Methods {
                    gin: true,
                    gist: true,
                },
            },
            budget_bytes: None,
            calls_per_statement: limits::WHAT_IF_CALLS_PER_STATEMENT,
            drops: &[],
            summary_views: false,
            window_seconds: None,
            earlier_writes: None,
        }
    }
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many statements of so many were planned as things are.
    Planned(usize, usize),
    /// So many questions of at most so many were asked.
    Asked(usize, usize),
}

/// What became of one statement.
#[derive(Clone, Debug)]
pub struct StatementAdvice {
    /// As it was given.
    pub statement: WorkloadStatement,
    /// The hash of its normal form.
    pub statement_id: String,
    /// Planner's units for one call; `None` where it could not be planned.
    pub cost_before: Option<f64>,
    /// The same with the whole set.
    pub cost_after: Option<f64>,
    /// Positions in [`Advice::indexes`].
    pub uses: Vec<usize>,
    /// Whether any index could serve it.
    pub has_candidates: bool,
    /// Whether nothing told the types of its parameters, so that they were guessed.
    pub has_guessed_types: bool,
    /// Whether what it costs now is the average for some values, since its plan rests on rows that are found early.
    pub is_priced_by_values: bool,
    /// What HypoPG left out of what it costs with the set at least, where that is much.
    pub descents_cost: Option<f64>,
    /// What it costs for particular values of its parameters, for longer lists, for later pages.
    pub values: Vec<TriedValue>,
    /// Whether it is planned for its first page, and there is one far behind that, as the planner reckons.
    pub may_have_later_page: bool,
    /// Why it was not planned, or why nothing is advised for it; or, beside what is, what cannot be told of it.
    pub reason: Option<String>,
    /// The plan as things are, and with the set, a line for each node.
    pub plan_before: Vec<PlanLine>,
    #[allow(missing_docs)]
    pub plan_after: Vec<PlanLine>,
}

impl StatementAdvice {
    /// Of a statement of which nothing is known yet.
    pub(super) fn of(statement: WorkloadStatement) -> Self {
        Self {
            statement_id: sql::identify(&statement.text).statement_id,
            statement,
            cost_before: None,
            cost_after: None,
            uses: Vec::new(),
            has_candidates: false,
            has_guessed_types: false,
            is_priced_by_values: false,
            descents_cost: None,
            values: Vec::new(),
            may_have_later_page: false,
            reason: None,
            plan_before: Vec::new(),
            plan_after: Vec::new(),
        }
    }
}

/// One index that is advised.
#[derive(Clone, Debug)]
pub struct IndexAdvice {
    /// What it is.
    pub candidate: Candidate,
    /// How it is made and undone.
    pub definition: Definition,
    /// How large it should be.
    pub size_bytes: Option<f64>,
    /// How long building it should take, where that can be told.
    pub build_seconds: Option<f64>,
    /// Where nothing was measured that would tell it: on an ordinary machine.
    pub assumed_build_seconds: Option<f64>,
    /// What the writes of the workload cost for it, in the planner's units.
    pub write_cost: f64,
    /// Whether that is what was counted on its table.
    pub writes_are_counted: bool,
    /// What the workload costs without this one of the set, and with it.
    pub cost_before: f64,
    #[allow(missing_docs)]
    pub cost_after: f64,
    /// Positions in [`Advice::statements`] of those whose plan uses it.
    pub statements: Vec<usize>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Indexes that are there and are for nothing once this one is.
    pub supersedes: Vec<Superseded>,
}

/// The set that is advised, and what it does for each statement.
#[derive(Clone, Debug, Default)]
pub struct Advice {
    /// The most valuable first.
    pub indexes: Vec<IndexAdvice>,
    /// In the order in which they were given.
    pub statements: Vec<StatementAdvice>,
    /// The plans of those that were tried, as things are.
    pub plans: Vec<AsItIs>,
    /// How often the planner was asked with hypothetical indexes.
    pub what_if_calls: usize,
    /// Why it was stopped before the set was found and known, if it was.
    pub stopped: Option<Stopped>,
    /// How many statements were not planned once more with the whole set in place, because it was stopped: what they cost is
    /// what the planner said before.
    pub unconfirmed: usize,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// Positions in [`Advice::statements`] of those that did not end when planning them was cancelled.
    pub stubborn: Vec<usize>,
    /// Whether the planner could be asked at all: it cannot without HypoPG.
    pub is_proven: bool,
    /// Statements that could read a materialized view of their groups.
    pub summary_views: Vec<SummaryView>,
    /// What the planner says of drops.
    pub rehearsals: Vec<(Droppable, Rehearsal)>,
    /// The columns of the tables that the statements read, by the OID of the table.
    pub columns: BTreeMap<u32, Vec<ColumnNow>>,
    /// What was written to the tables until now, if it was read.
    pub writes: Option<WriteCounters>,
    /// Whether the price of writes is what was counted.
    pub writes_are_counted: bool,
}

impl Advice {
    /// What a reader should know of how it ended.
    pub fn notes(&self) -> Vec<String> {
        let stopped = self.stopped.map(|why| {
            let words = why.words();
            format!("stopped: {words} before everything was tried; this is the best set until then")
        });
        let unconfirmed = (self.unconfirmed > 0).then(|| {
            format!(
                "{} of {} statements were not planned once more with the whole set in place: what they cost with it is what the \
                 planner said during the search",
                self.unconfirmed,
                self.statements.len()
            )
        });
        let left_out = self.left_out.iter().cloned();
        stopped.into_iter().chain(unconfirmed).chain(left_out).collect()
    }
}

/// Works it out.
///
/// # Errors
/// If the session is lost, and no other is to be had. A statement that cannot be planned is told, and the others go on; also
/// where the session is lost with it.
pub async fn advise(
    plan: &Plan,
    gate: &mut Gate,
    paths: &mut SearchPaths,
    workload: Vec<WorkloadStatement>,
    wanted: Wanted<'_>,
    pace: &Pace<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Advice, PostgresError> {
    let mut run = Run::new(plan, pace);
    plan.keep_open().await?;
    let mut ready = Ready::new(plan, workload).await?;
    first_plans(&mut run, gate, paths, &mut ready, wanted.kinds, progress).await?;
    plan.keep_open().await?;
    let stubborn = std::mem::take(&mut ready.stubborn);
    let mut advice = if plan.hypothetical().is_some() {
        Steps::new(gate, wanted, progress, run, ready).taken().await?
    } else {
        let guessed = ready.guessed(plan, wanted.budget_bytes).await?;
        Advice {
            stopped: run.stopped,
            ..guessed
        }
    };
    advice.stubborn = stubborn;
    Ok(advice)
}

/// Plans the statements as things are, the costliest first, until that is to end.
async fn first_plans(
    run: &mut Run<'_>,
    gate: &mut Gate,
    paths: &mut SearchPaths,
    ready: &mut Ready,
    kinds: Kinds,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), PostgresError> {
    let stage = run.stage(FIRST_PLANS);
    let order = ready.costliest_first();
    for (done, position) in order.iter().enumerate() {
        if stage.is_over() {
            let why = run.why();
            run.stopped = Some(why);
            for left in &order[done..] {
                ready.leave(*left, format!("{} before it was planned", why.words()));
            }
            break;
        }
        ready.take(run.plan, gate, paths, *position, kinds).await?;
        run.plan.pause().await;
        progress(Progress::Planned(done + 1, order.len()));
    }
    // what was planned may be searched for all the same
    run.most_lost = run.plan.lost_sessions() + limits::LOST_SESSIONS;
    Ok(())
}
