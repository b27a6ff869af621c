//! From a workload to advice: plan every statement as things are, make candidates, let the planner choose, and tell what
//! came of it.

mod stages;

use std::collections::BTreeMap;

use self::stages::{CONFIRMATION, DROPS, FIRST_PLANS, MERGE, PREPARATION, REST, Run, SEARCH, SIZES, VALUES};
use super::behind::price_behind;
use super::blocks::price_blocks;
use super::budget::best_within;
use super::by_values::price_by_values;
use super::candidate::{Candidate, Kinds};
use super::confirmed::confirmed;
use super::definition::Definition;
use super::estimated::Methods;
use super::gate::Gate;
use super::grouped::summary_views;
use super::kept::AsItIs;
use super::merge::{Bounds, merge};
use super::pace::Pace;
use super::ready::Ready;
use super::rehearsal::rehearse;
use super::superseded::{Superseded, rehearse_superseded};
use super::upkeep::WriteCounters;
use super::values::tried;
use super::what_if::{Planned, WhatIf};
use super::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::advice::{Droppable, Rehearsal, Stopped, SummaryView, TriedValue};
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
    /// What it costs for particular values of its parameters, for longer lists, for later pages.
    pub values: Vec<TriedValue>,
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
            values: Vec::new(),
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
    /// What was left out after that, and why.
    pub left_out: Vec<String>,
    /// Positions in [`Advice::statements`] of those that did not end when planning them was cancelled.
    pub stubborn: Vec<usize>,
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

/// Why an index that would be cheap for some values is not advised for a statement.
const BY_LUCK: &str = "an index in the order that is asked for would be read until the LIMIT has its rows, which is soon for common \
     values; for rare ones, or values that nobody knows, nearly all of it would be read, and the plan for parameters in general \
     does so for all of them";

/// What such an index does to a statement where it is advised for others.
const BY_LUCK_OF_OTHERS: &str = "an index that is advised for others would be read for it in its order until the LIMIT has its rows: for \
     rare values, or values that nobody knows, nearly all of it, and the plan for parameters in general does so for all of them; \
     see how it does with that index, or have it planned for its values (plan_cache_mode = force_custom_plan)";

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
    let calls = wanted.calls_per_statement * ready.planned.len();
    if plan.hypothetical().is_none() {
        let mut advice = ready.guessed(plan, wanted.budget_bytes).await?;
        (advice.stopped, advice.stubborn) = (run.stopped, stubborn);
        return Ok(advice);
    }
    let preparing = run.stage(PREPARATION);
    ready
        .forget_mutable_expressions(plan, &|| preparing.is_over())
        .await?;
    run.note(&preparing);
    ready.measure_inverted(plan).await?;
    let sizing = run.stage(SIZES);
    let mut sizes = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables)
        .sizes(&|| sizing.is_over())
        .await?;
    ready.note_mutable(plan);
    ready.note_unordered(plan);
    run.note(&sizing);
    let pricing = run.stage(PREPARATION);
    let is_priced_enough = || pricing.is_over();
    // what is left of these is the search's
    let mut block_calls = price_blocks(plan, gate, &mut ready, calls / 4, &is_priced_enough).await?;
    block_calls += price_behind(plan, gate, &mut ready, &sizes, calls / 2, &is_priced_enough).await?;
    let left = (calls / 2).saturating_sub(block_calls);
    block_calls += price_by_values(plan, gate, &mut ready, left, &is_priced_enough).await?;
    run.note(&pricing);
    let writes = match wanted.window_seconds {
        Some(_) => Some(WriteCounters::read(plan, &ready.tables).await?),
        None => None,
    };
    let counted = match (&writes, wanted.window_seconds) {
        (Some(now), Some(seconds)) => now.in_seconds(wanted.earlier_writes, seconds),
        _ => BTreeMap::new(),
    };
    let mut problem = ready.problem(&sizes, wanted, &counted);
    // each is planned once more under the whole set, and for its values
    let kept: usize = ready.planned.iter().map(|one| one.values.len()).sum();
    problem.calls = problem.calls.saturating_sub(block_calls + kept.min(calls / 4));
    let asked = |asked: usize| progress(Progress::Asked(asked, calls));
    let searching = run.stage(SEARCH);
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables);
    what_if.calls = block_calls;
    let is_searched_enough = || searching.is_over();
    let set = best_within(&ready, &problem, &mut what_if, &is_searched_enough, &asked).await?;
    run.note(&searching);
    what_if.end().await?;
    let by_luck = what_if.by_luck();
    let (selection_calls, answers) = (what_if.calls, what_if.take_answers());
    ready.answers.extend(answers);
    let merging = run.stage(MERGE);
    let bounds = Bounds {
        kinds: wanted.kinds,
        calls: calls.saturating_sub(selection_calls),
        stop: &|| merging.is_over(),
    };
    let (set, merge_calls) = merge(plan, gate, &mut ready, &mut sizes, &problem, set, bounds).await?;
    run.note(&merging);
    let problem = ready.problem(&sizes, wanted, &counted);
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables);
    what_if.calls = selection_calls + merge_calls;
    let provable = ready.provable(&set);
    let confirming = run.stage(CONFIRMATION);
    let is_confirmed_enough = || confirming.is_over();
    let confirmed = confirmed(&mut what_if, &ready, &problem, &provable, &is_confirmed_enough).await?;
    let unconfirmed = confirmed.missing();
    let trapped = what_if.by_luck();
    run.note(&confirming);
    let had_parameters = |planned: &Planned| planned.has_parameters || planned.page_rows.is_some();
    let improved: Vec<usize> = (0..confirmed.outcomes.len())
        .filter(|one| {
            let after = confirmed.outcomes[*one].answer.cost;
            had_parameters(&ready.planned[*one]) && after < problem.costs[*one]
        })
        .take(limits::STATEMENTS_WITH_VALUES)
        .collect();
    // the search, and each of them once more under the whole set
    let most_calls = calls + ready.planned.len();
    let trying = run.stage(VALUES);
    let tried = tried(
        plan,
        &mut what_if,
        &ready.planned,
        &improved,
        &provable,
        most_calls,
        &|| trying.is_over(),
    )
    .await?;
    let superseded = rehearse_superseded(
        plan,
        &mut what_if,
        &ready,
        &provable,
        &confirmed,
        most_calls,
        &|| trying.is_over(),
    )
    .await?;
    run.note_left_out(
        &trying,
        "all was tried with particular values and without what the set supersedes",
    );
    let what_if_calls = what_if.calls;
    let unplannable = what_if.unplannable();
    what_if.end().await?;
    let statements: Vec<&StatementAdvice> = ready
        .positions
        .iter()
        .map(|one| &ready.statements[*one])
        .collect();
    let rehearsing = run.stage(DROPS);
    let rehearsals = rehearse(
        plan,
        &mut what_if,
        &ready.planned,
        &statements,
        wanted.drops,
        &|| rehearsing.is_over(),
    )
    .await?;
    run.note_left_out(&rehearsing, "all drops were rehearsed");
    let grouping = run.stage(REST);
    let summary_views = match wanted.summary_views {
        true => summary_views(plan, gate, &ready, &|| grouping.is_over()).await?,
        false => Vec::new(),
    };
    run.note_left_out(&grouping, "all statements were tried as materialized views");
    plan.keep_open().await?;
    let positions = ready.positions.clone();
    let mut advice = ready.told(plan, &problem, &set, confirmed, &counted).await?;
    for index in &mut advice.indexes {
        index.take_rehearsals(&superseded);
    }
    for (number, values) in tried {
        advice.statements[positions[number]].values = values;
    }
    for number in by_luck.union(&trapped) {
        let told = &mut advice.statements[positions[*number]];
        if told.uses.is_empty() {
            let why = if trapped.contains(number) {
                BY_LUCK_OF_OTHERS
            } else {
                BY_LUCK
            };
            let reason = told.reason.take().map(|reason| format!("{reason}; {why}"));
            told.reason = Some(reason.unwrap_or_else(|| why.to_owned()));
        }
    }
    for number in unplannable {
        let told = &mut advice.statements[positions[number]];
        told.cost_after = None;
        told.reason = Some("it could not be planned again with the indexes in place".to_owned());
    }
    advice.what_if_calls = what_if_calls;
    (advice.stopped, advice.stubborn) = (run.stopped, stubborn);
    advice.left_out = run.left_out;
    advice.unconfirmed = unconfirmed;
    advice.is_proven = true;
    advice.rehearsals = rehearsals;
    advice.summary_views = summary_views;
    advice.writes = writes;
    advice.writes_are_counted =
        !advice.indexes.is_empty() && advice.indexes.iter().all(|index| index.writes_are_counted);
    if advice.stopped.is_some() {
        let without = advice
            .statements
            .iter_mut()
            .filter(|one| one.has_candidates && one.uses.is_empty());
        without
            .for_each(|one| one.reason = Some("it was stopped before an index for it was found".to_owned()));
    }
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
