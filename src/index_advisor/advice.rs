//! From a workload to advice: plan every statement as things are, make candidates, let the planner choose, and tell what
//! came of it.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::blocks::price_blocks;
use super::budget::best_within;
use super::candidate::{Candidate, Kinds};
use super::definition::Definition;
use super::estimated::Methods;
use super::gate::Gate;
use super::grouped::summary_views;
use super::kept::AsItIs;
use super::merge::{Bounds, merge};
use super::ready::Ready;
use super::rehearsal::rehearse;
use super::selection::Answer;
use super::tables::TableName;
use super::upkeep::WriteCounters;
use super::values::tried;
use super::what_if::{Planned, WhatIf};
use super::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::advice::{Droppable, Rehearsal, SummaryView, TriedValue};
use crate::model::finding::Confidence;
use crate::model::plan::{PlanLine, PlanTree};
use crate::postgres::{Plan, PostgresError};

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
    /// What was read of that earlier.
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
    /// What it costs for particular values of its parameters, for longer lists, for later pages.
    pub values: Vec<TriedValue>,
    /// Why it was not planned, or why nothing is advised for it.
    pub reason: Option<String>,
    /// The plan as things are, and with the set, a line for each node.
    pub plan_before: Vec<PlanLine>,
    #[allow(missing_docs)]
    pub plan_after: Vec<PlanLine>,
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
    pub supersedes: Vec<TableName>,
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
    /// Whether it was stopped before it was done.
    pub was_stopped: bool,
    /// Whether the planner could be asked at all: it cannot without HypoPG.
    pub is_proven: bool,
    /// Statements that could read a materialized view of their groups.
    pub summary_views: Vec<SummaryView>,
    /// What the planner says of drops.
    pub rehearsals: Vec<(Droppable, Rehearsal)>,
    /// What was written to the tables until now, if it was read.
    pub writes: Option<WriteCounters>,
    /// Whether the price of writes is what was counted.
    pub writes_are_counted: bool,
}

/// Works it out.
///
/// # Errors
/// If the session is lost. A statement that cannot be planned is told, and the others go on.
pub async fn advise(
    plan: &Plan,
    gate: &mut Gate,
    paths: &mut SearchPaths,
    workload: Vec<WorkloadStatement>,
    wanted: Wanted<'_>,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Advice, PostgresError> {
    let mut ready = Ready::new(plan).await?;
    let count = workload.len();
    let mut was_stopped = false;
    for statement in workload {
        let position = ready.statements.len();
        if stop() {
            was_stopped = true;
            ready.leave(statement, "the time was over before it was planned");
            continue;
        }
        ready.take(plan, gate, paths, statement, wanted.kinds).await?;
        progress(Progress::Planned(position + 1, count));
    }
    let calls = wanted.calls_per_statement * ready.planned.len();
    if plan.hypothetical().is_none() {
        return ready.guessed(plan).await;
    }
    ready.forget_mutable_expressions(plan).await?;
    ready.measure_inverted(plan).await?;
    let mut sizes = WhatIf::new(plan, gate, &ready.planned, &ready.candidates)
        .sizes()
        .await?;
    let block_calls = price_blocks(plan, gate, &mut ready).await?;
    let writes = match wanted.window_seconds {
        Some(_) => Some(WriteCounters::read(plan, &ready.tables).await?),
        None => None,
    };
    let counted = match (&writes, wanted.earlier_writes, wanted.window_seconds) {
        (Some(now), Some(earlier), Some(seconds)) => now.in_seconds(earlier, seconds),
        _ => BTreeMap::new(),
    };
    let mut problem = ready.problem(&sizes, wanted, &counted);
    problem.calls = problem.calls.saturating_sub(block_calls);
    let asked = |asked: usize| progress(Progress::Asked(asked, calls));
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates);
    what_if.calls = block_calls;
    let set = best_within(&ready, &problem, &mut what_if, stop, &asked).await?;
    what_if.end().await?;
    let selection_calls = what_if.calls;
    let bounds = Bounds {
        kinds: wanted.kinds,
        calls: calls.saturating_sub(selection_calls),
        stop,
    };
    let (set, merge_calls) = merge(plan, gate, &mut ready, &mut sizes, &problem, set, bounds).await?;
    let problem = ready.problem(&sizes, wanted, &counted);
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates);
    what_if.calls = selection_calls + merge_calls;
    let provable = ready.provable(&set);
    let answers = confirmed(&mut what_if, ready.planned.len(), &provable).await?;
    let had_parameters = |planned: &Planned| planned.has_parameters || planned.page_rows.is_some();
    let improved: Vec<usize> = (0..answers.len())
        .filter(|one| had_parameters(&ready.planned[*one]) && answers[*one].0.cost < problem.costs[*one])
        .take(limits::STATEMENTS_WITH_VALUES)
        .collect();
    let names = what_if.names();
    // the search, and each of them once more under the whole set
    let most_calls = calls + ready.planned.len();
    let tried = tried(
        plan,
        &mut what_if,
        &ready.planned,
        &improved,
        &provable,
        most_calls,
        stop,
    )
    .await?;
    let what_if_calls = what_if.calls;
    let unplannable = what_if.unplannable();
    what_if.end().await?;
    let statements: Vec<&StatementAdvice> = ready
        .positions
        .iter()
        .map(|one| &ready.statements[*one])
        .collect();
    let rehearsals = rehearse(
        plan,
        &mut what_if,
        &ready.planned,
        &statements,
        wanted.drops,
        stop,
    )
    .await?;
    let summary_views = match wanted.summary_views {
        true => summary_views(plan, gate, &ready, stop).await?,
        false => Vec::new(),
    };
    let positions = ready.positions.clone();
    let mut advice = ready
        .told(plan, &problem, &set, answers, &names, &counted)
        .await?;
    for (number, values) in tried {
        advice.statements[positions[number]].values = values;
    }
    for number in unplannable {
        let told = &mut advice.statements[positions[number]];
        told.cost_after = None;
        told.reason = Some("it could not be planned again with the indexes in place".to_owned());
    }
    advice.what_if_calls = what_if_calls;
    advice.was_stopped = was_stopped || stop();
    advice.is_proven = true;
    advice.rehearsals = rehearsals;
    advice.summary_views = summary_views;
    advice.writes = writes;
    advice.writes_are_counted =
        !advice.indexes.is_empty() && advice.indexes.iter().all(|index| index.writes_are_counted);
    if advice.was_stopped {
        let without = advice
            .statements
            .iter_mut()
            .filter(|one| one.has_candidates && one.uses.is_empty());
        without
            .for_each(|one| one.reason = Some("it was stopped before an index for it was found".to_owned()));
    }
    Ok(advice)
}

/// Every statement planned once more under the whole set: what is told is the planner's word.
async fn confirmed(
    what_if: &mut WhatIf<'_>,
    statements: usize,
    set: &FixedBitSet,
) -> Result<Vec<(Answer, PlanTree)>, PostgresError> {
    let mut answers = Vec::new();
    for statement in 0..statements {
        answers.push(what_if.planned_under(statement, set).await?);
    }
    Ok(answers)
}
