//! The steps from what is known before any index is tried to the set that is advised, in their order. Each ends with its stage of
//! the run, so that there is a set at the end of the last, however little time there was.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::found::{Found, tell_what_was_not_reached};
use super::stages::{CONFIRMATION, DROPS, MERGE, PREPARATION, REST, Run, SEARCH, SIZES, VALUES};
use super::{Advice, Progress, StatementAdvice, Wanted};
use crate::index_advisor::behind::price_behind;
use crate::index_advisor::blocks::price_blocks;
use crate::index_advisor::budget::best_within;
use crate::index_advisor::by_values::{learn_values, price_by_values};
use crate::index_advisor::confirmed::{Confirmed, confirmed};
use crate::index_advisor::gate::Gate;
use crate::index_advisor::grouped::summary_views;
use crate::index_advisor::merge::{Bounds, merge};
use crate::index_advisor::needless::take_out_needless;
use crate::index_advisor::ready::Ready;
use crate::index_advisor::rehearsal::rehearse;
use crate::index_advisor::selection::Problem;
use crate::index_advisor::superseded::rehearse_superseded;
use crate::index_advisor::upkeep::{WriteCounters, Writes};
use crate::index_advisor::values::tried;
use crate::index_advisor::what_if::{Planned, WhatIf};
use crate::limits;
use crate::model::advice::{Droppable, Rehearsal, SummaryView};
use crate::postgres::{Plan, PostgresError};

/// What the steps share.
pub(super) struct Steps<'a> {
    plan: &'a Plan,
    gate: &'a mut Gate,
    wanted: Wanted<'a>,
    progress: &'a (dyn Fn(Progress) + Sync),
    run: Run<'a>,
    ready: Ready,
    /// Bytes of each candidate by HypoPG; `None` of one that it does not take, or was not asked about.
    sizes: Vec<Option<f64>>,
    /// Questions to the planner that are to be enough for the set, and how many were asked by now.
    most_calls: usize,
    calls: usize,
}

/// A session with HypoPG in which nothing is there yet.
fn asking<'x>(plan: &'x Plan, gate: &'x mut Gate, ready: &'x Ready) -> WhatIf<'x> {
    WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables)
}

impl<'a> Steps<'a> {
    /// None is taken yet.
    pub(super) fn new(
        gate: &'a mut Gate,
        wanted: Wanted<'a>,
        progress: &'a (dyn Fn(Progress) + Sync),
        run: Run<'a>,
        ready: Ready,
    ) -> Self {
        Self {
            plan: run.plan,
            gate,
            wanted,
            progress,
            run,
            sizes: Vec::new(),
            most_calls: wanted.calls_per_statement * ready.planned.len(),
            calls: 0,
            ready,
        }
    }

    /// Takes all of them.
    ///
    /// # Errors
    /// If the session is lost, and no other is to be had.
    pub(super) async fn taken(mut self) -> Result<Advice, PostgresError> {
        self.prepare().await?;
        self.price_apart().await?;
        let writes = self.writes().await?;
        let counted = self.counted(writes.as_ref());
        let mut problem = self.ready.problem(&self.sizes, self.wanted, &counted);
        problem.calls = problem
            .calls
            .saturating_sub(self.calls + self.calls_kept_for_values());
        let (set, by_luck) = self.searched(&problem).await?;
        let set = self.merged(&problem, set).await?;
        let problem = self.ready.problem(&self.sizes, self.wanted, &counted);
        let (confirmed, found) = self.seen_under(&problem, &set).await?;
        let summary_views = self.summary_views().await?;
        self.plan.keep_open().await?;
        let positions = self.ready.positions.clone();
        let unconfirmed = confirmed.missing();
        let columns = self.ready.tables.columns();
        let told = self
            .ready
            .told(self.plan, &problem, &set, confirmed, &counted)
            .await?;
        let writes_are_counted =
            !told.indexes.is_empty() && told.indexes.iter().all(|index| index.writes_are_counted);
        let mut advice = Advice {
            what_if_calls: self.calls,
            stopped: self.run.stopped,
            left_out: self.run.left_out,
            unconfirmed,
            is_proven: true,
            summary_views,
            columns,
            writes,
            writes_are_counted,
            ..told
        };
        found.tell(&mut advice, &positions, &by_luck);
        tell_what_was_not_reached(&mut advice);
        Ok(advice)
    }

    /// Takes back what PostgreSQL would not index, and asks how large the other candidates would be.
    async fn prepare(&mut self) -> Result<(), PostgresError> {
        self.run.left_out.extend(self.ready.about_the_untried());
        let preparing = self.run.stage(PREPARATION);
        self.ready
            .forget_mutable_expressions(self.plan, &|| preparing.is_over())
            .await?;
        self.run.note(&preparing);
        self.ready.measure_inverted(self.plan).await?;
        let sizing = self.run.stage(SIZES);
        self.sizes = asking(self.plan, self.gate, &self.ready)
            .sizes(&|| sizing.is_over())
            .await?;
        self.ready.note_mutable(self.plan);
        self.ready.note_unordered(self.plan);
        self.run.note(&sizing);
        Ok(())
    }

    /// Prices what the search cannot ask about as it does about all others. What is left of these questions is the search's.
    async fn price_apart(&mut self) -> Result<(), PostgresError> {
        let pricing = self.run.stage(PREPARATION);
        let is_over = || pricing.is_over();
        let most = self.most_calls;
        let blocks = price_blocks(self.plan, self.gate, &mut self.ready, most / 4, &is_over).await?;
        learn_values(self.plan, &mut self.ready).await?;
        let (ready, sizes) = (&mut self.ready, &self.sizes);
        let behind = price_behind(self.plan, self.gate, ready, sizes, most / 2, &is_over).await?;
        let left = (most / 2).saturating_sub(blocks + behind);
        let by_values = price_by_values(self.plan, self.gate, &mut self.ready, left, &is_over).await?;
        self.calls += blocks + behind + by_values;
        self.run.note(&pricing);
        Ok(())
    }

    /// What was written to the tables until now, where that is wanted.
    async fn writes(&self) -> Result<Option<WriteCounters>, PostgresError> {
        Ok(match self.wanted.window_seconds {
            Some(_) => Some(WriteCounters::read(self.plan, &self.ready.tables).await?),
            None => None,
        })
    }

    /// What of that the weights are about, by table.
    fn counted(&self, writes: Option<&WriteCounters>) -> BTreeMap<u32, Writes> {
        match (writes, self.wanted.window_seconds) {
            (Some(now), Some(seconds)) => now.in_seconds(self.wanted.earlier_writes, seconds),
            _ => BTreeMap::new(),
        }
    }

    /// Each is planned once more under the whole set, and for its values.
    fn calls_kept_for_values(&self) -> usize {
        let values = self.ready.planned.iter().map(|one| one.values.len());
        values.sum::<usize>().min(self.most_calls / 4)
    }

    /// The set that is worth most, and the statements that an index which was tried would serve by luck alone.
    async fn searched(&mut self, problem: &Problem) -> Result<(FixedBitSet, BTreeSet<usize>), PostgresError> {
        let (progress, most_calls) = (self.progress, self.most_calls);
        let asked = |asked: usize| progress(Progress::Asked(asked, most_calls));
        let searching = self.run.stage(SEARCH);
        let is_over = || searching.is_over();
        let mut what_if = asking(self.plan, self.gate, &self.ready);
        what_if.calls = self.calls;
        let set = best_within(&self.ready, problem, &mut what_if, &is_over, &asked).await?;
        self.run.note(&searching);
        what_if.end().await?;
        let by_luck = what_if.by_luck();
        let answers = what_if.take_answers();
        self.calls = what_if.calls;
        self.ready.answers.extend(answers);
        Ok((set, by_luck))
    }

    /// The set with what can be made one made one.
    async fn merged(&mut self, problem: &Problem, set: FixedBitSet) -> Result<FixedBitSet, PostgresError> {
        let merging = self.run.stage(MERGE);
        let bounds = Bounds {
            kinds: self.wanted.kinds,
            calls: self
                .most_calls
                .saturating_sub(self.calls + self.calls_kept_for_values()),
            stop: &|| merging.is_over(),
        };
        let (ready, sizes) = (&mut self.ready, &mut self.sizes);
        let (set, calls) = merge(self.plan, self.gate, ready, sizes, problem, set, bounds).await?;
        self.calls += calls;
        self.run.note(&merging);
        Ok(set)
    }

    /// What all statements cost with the whole set in place, and what else is seen then.
    async fn seen_under(
        &mut self,
        problem: &Problem,
        set: &FixedBitSet,
    ) -> Result<(Confirmed, Found), PostgresError> {
        let (plan, ready) = (self.plan, &self.ready);
        let mut provable = ready.provable(set);
        let mut what_if = asking(plan, self.gate, ready);
        what_if.calls = self.calls;
        let confirming = self.run.stage(CONFIRMATION);
        let is_over = || confirming.is_over();
        // the search, and each of them once more under the whole set
        let most = self.most_calls + ready.planned.len();
        let (mut confirmed, unplannable) =
            confirmed(&mut what_if, ready, problem, &provable, most, &is_over).await?;
        let (set, seen) = (&mut provable, &mut confirmed);
        take_out_needless(&mut what_if, ready, problem, set, seen, most, &is_over).await?;
        self.run.note(&confirming);
        let mut trapped = what_if.by_luck();
        trapped.retain(|one| what_if.without_luck(*one, &provable).is_some());
        let improved = improved(ready, problem, &confirmed);
        let trying = self.run.stage(VALUES);
        let is_over = || trying.is_over();
        let (planned, set) = (&ready.planned, &provable);
        let values = tried(plan, &mut what_if, planned, &improved, set, most, &is_over).await?;
        let superseded =
            rehearse_superseded(plan, &mut what_if, ready, set, &confirmed, most, &is_over).await?;
        self.run.note_left_out(
            &trying,
            "all was tried with particular values and without what the set supersedes",
        );
        self.calls = what_if.calls;
        what_if.end().await?;
        let drops = self.wanted.drops;
        let found = Found {
            trapped,
            without_luck: confirmed.without_luck(),
            unplannable,
            values,
            superseded,
            rehearsals: rehearsed(plan, &mut what_if, ready, drops, &mut self.run).await?,
        };
        Ok((confirmed, found))
    }

    /// What could be a materialized view, where that is wanted.
    async fn summary_views(&mut self) -> Result<Vec<SummaryView>, PostgresError> {
        let grouping = self.run.stage(REST);
        let is_over = || grouping.is_over();
        let views = match self.wanted.summary_views {
            true => summary_views(self.plan, self.gate, &self.ready, &is_over).await?,
            false => Vec::new(),
        };
        self.run
            .note_left_out(&grouping, "all statements were tried as materialized views");
        Ok(views)
    }
}

/// The statements with parameters that cost less with the whole set.
fn improved(ready: &Ready, problem: &Problem, confirmed: &Confirmed) -> Vec<usize> {
    let had_parameters = |planned: &Planned| planned.has_parameters || planned.page_rows.is_some();
    let is_improved = |one: &usize| {
        let after = confirmed.outcomes[*one].answer.cost;
        had_parameters(&ready.planned[*one]) && after < problem.costs[*one]
    };
    let all = 0..confirmed.outcomes.len();
    all.filter(is_improved)
        .take(limits::STATEMENTS_WITH_VALUES)
        .collect()
}

/// What the planner says of these drops, as things are.
async fn rehearsed(
    plan: &Plan,
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    drops: &[Droppable],
    run: &mut Run<'_>,
) -> Result<Vec<(Droppable, Rehearsal)>, PostgresError> {
    let told = ready.positions.iter().map(|one| &ready.statements[*one]);
    let told: Vec<&StatementAdvice> = told.collect();
    let rehearsing = run.stage(DROPS);
    let is_over = || rehearsing.is_over();
    let rehearsals = rehearse(plan, what_if, &ready.planned, &told, drops, &is_over).await?;
    run.note_left_out(&rehearsing, "all drops were rehearsed");
    Ok(rehearsals)
}
