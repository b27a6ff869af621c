//! The set of indexes that is worth most within a budget, found with few questions to the planner.
//!
//! A plan that used `U` out of the indexes `A` costs the same under every set between `U` and `A`, and no more under any
//! larger one. So each answer is kept, and most sets are priced without asking. The planner is first asked with everything
//! on the table, then with ever less (smaller indexes, narrower ones), so that its own choices show what goes together: a
//! search that adds one index at a time would miss pairs that only pay together. Sets are then put together from those
//! choices, judged by what may be hoped and by what is known, and confirmed by the planner until nothing better is found.

mod beside;
mod explore;
mod hope;
mod lean;
mod narrow;
mod widen;

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

pub use self::beside::{Scans, about, scans};
pub use self::widen::Skew;
use super::knapsack::{Choice, Knapsack};
use crate::postgres::PostgresError;

/// What the planner said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The cost of the plan.
    pub cost: f64,
    /// The candidates that it used.
    pub used: FixedBitSet,
    /// What it reads from end to end.
    pub scans: Scans,
}

/// Whoever prices a statement under a set of candidates.
pub trait Planner {
    /// Plans one statement with exactly these candidates present.
    fn ask(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
    ) -> impl Future<Output = Result<Answer, PostgresError>> + Send;

    /// How many questions the last answer took.
    fn questions(&self) -> usize {
        1
    }
}

/// What is to be solved.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How much each statement counts.
    pub weights: Vec<f64>,
    /// What each costs as things are.
    pub costs: Vec<f64>,
    /// The candidates that each statement asks for.
    pub relevant: Vec<FixedBitSet>,
    /// Those that could serve it, too, though others asked for them.
    pub useful: Vec<FixedBitSet>,
    /// The size of each candidate in bytes.
    pub sizes: Vec<f64>,
    /// Candidates with the same number do much the same: they begin with the same key.
    pub groups: Vec<usize>,
    /// How many keys each has.
    pub widths: Vec<usize>,
    /// How many columns each only carries along.
    pub carried: Vec<usize>,
    /// The same index with less to it, where that is a candidate: without what is only carried along, else without its last
    /// key.
    pub narrower: Vec<Option<usize>>,
    /// The same index with its keys in a better order, where all of them are searched for one value: the one with most values
    /// first serves most other searches, too.
    pub turned: Vec<Option<usize>>,
    /// The same keys in other orders, where those are candidates: one of them may serve what two others serve.
    pub siblings: Vec<Vec<usize>>,
    /// Those that are an index that is there with something more.
    pub rebuilds: FixedBitSet,
    /// Candidates with the same number are of one table.
    pub tables: Vec<usize>,
    /// Those that hold a part of the rows alone.
    pub parts: FixedBitSet,
    /// Where the commonest values of a statement ask for an index with further keys.
    pub skewed: Vec<Skew>,
    /// What each costs in writes, in the unit of weighted costs.
    pub upkeep: Vec<f64>,
    /// What indexes are worth that the planner cannot be asked about.
    pub estimates: Vec<Estimate>,
    /// What an index must save one of its statements in each call.
    pub least_gain: f64,
    /// And at least this part of its cost.
    pub least_gain_share: f64,
    /// Bytes that the whole set may take.
    pub budget_bytes: f64,
    /// Questions that may be asked in all.
    pub calls: usize,
}

/// Rounds without a better set after which the search ends.
const IDLE_ROUNDS: usize = 6;

/// What a statement should cost with one candidate that the planner cannot be asked about.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Estimate {
    pub statement: usize,
    pub candidate: usize,
    pub cost: f64,
    /// What it would replace; none where that is not known.
    pub scans: Scans,
}

/// What is known of one statement.
struct Known {
    facts: Vec<Fact>,
}

#[derive(Clone)]
struct Fact {
    available: FixedBitSet,
    used: FixedBitSet,
    /// The same as a list: plans use a few of thousands.
    uses: Vec<usize>,
    cost: f64,
    /// Whether a part of it is not the planner's word.
    is_estimated: bool,
}

impl Fact {
    fn new(available: FixedBitSet, used: FixedBitSet, cost: f64) -> Self {
        Self {
            available,
            uses: used.ones().collect(),
            used,
            cost,
            is_estimated: false,
        }
    }

    /// What is estimated on top of what was available.
    fn estimated(available: &FixedBitSet, answer: Answer) -> Self {
        let mut available = available.clone();
        available.union_with(&answer.used);
        let mut used = FixedBitSet::with_capacity(available.len());
        used.union_with(&answer.used);
        Self {
            is_estimated: true,
            ..Self::new(available, used, answer.cost)
        }
    }

    /// Whether the plan is possible with this set.
    fn is_possible(&self, set: &FixedBitSet) -> bool {
        self.uses.iter().all(|one| set.contains(*one))
    }
}

impl Known {
    /// The least cost that is known to be reached with this set.
    fn estimate(&self, set: &FixedBitSet) -> f64 {
        let reached = self.facts.iter().filter(|fact| fact.is_possible(set));
        reached.map(|fact| fact.cost).fold(f64::INFINITY, f64::min)
    }

    /// What the planner uses under this set, if that is known.
    fn uses_under(&self, set: &FixedBitSet) -> Option<Vec<usize>> {
        let known = self
            .facts
            .iter()
            .find(|fact| fact.is_possible(set) && set.is_subset(&fact.available));
        known.map(|fact| fact.uses.clone())
    }

    /// The planner's answer for just this set, or for one in which it used the same.
    fn answer(&self, set: &FixedBitSet) -> Option<f64> {
        let exact = self.facts.iter().find(|fact| fact.available == *set);
        let same = || {
            self.facts
                .iter()
                .find(|fact| fact.is_possible(set) && set.is_subset(&fact.available))
        };
        exact.or_else(same).map(|fact| fact.cost)
    }

    /// Whether the planner's answer for this set is known without asking.
    fn knows(&self, set: &FixedBitSet) -> bool {
        self.facts
            .iter()
            .any(|fact| fact.is_possible(set) && set.is_subset(&fact.available))
    }
}

/// The search for the best set.
pub struct Selection<'a, P> {
    problem: &'a Problem,
    planner: &'a mut P,
    known: Vec<Known>,
    calls: usize,
    /// Questions that may be asked by now: some are kept for what is tried when the search is over.
    most_calls: usize,
    /// Tells that time is over.
    stop: &'a (dyn Fn() -> bool + Sync),
    /// Told the number of questions so far.
    progress: &'a (dyn Fn(usize) + Sync),
}

impl<'a, P: Planner> Selection<'a, P> {
    /// Nothing is known yet but what the statements cost as things are.
    pub fn new(
        problem: &'a Problem,
        planner: &'a mut P,
        stop: &'a (dyn Fn() -> bool + Sync),
        progress: &'a (dyn Fn(usize) + Sync),
    ) -> Self {
        let none = FixedBitSet::with_capacity(problem.sizes.len());
        let base = |cost: &f64| Known {
            facts: vec![Fact::new(none.clone(), none.clone(), *cost)],
        };
        let mut known: Vec<Known> = problem.costs.iter().map(base).collect();
        for estimate in &problem.estimates {
            let fact = Fact::estimated(&none, estimate.alone());
            known[estimate.statement].facts.push(fact);
        }
        for (statement, known) in known.iter_mut().enumerate() {
            let together = problem.with_estimates(statement, &problem.as_it_is(statement));
            let several = together.into_iter().filter(|one| one.used.count_ones(..) > 1);
            known.facts.extend(several.map(|one| Fact::estimated(&none, one)));
        }
        Self {
            problem,
            planner,
            known,
            calls: 0,
            most_calls: problem.calls - problem.calls_kept_for_parts(),
            stop,
            progress,
        }
    }

    /// The best set that was found when nothing better shows up, or the questions or the time are used up.
    ///
    /// # Errors
    /// If the planner cannot be asked.
    pub async fn run(mut self) -> Result<FixedBitSet, PostgresError> {
        for statement in self.by_weight() {
            self.explore(statement).await?;
        }
        let mut best = self.none();
        let mut idle = 0;
        let mut rounds = 0;
        while idle < IDLE_ROUNDS {
            let least = self.total_under(&best);
            best = self.hoped(best).await?;
            let before = self.calls;
            let set = self.solve(None);
            best = self.better(best, &set).await?;
            idle = match is_less(self.total_under(&best), least) {
                true => 0,
                false => idle + 1,
            };
            if self.over() {
                break;
            }
            self.probe(&set).await?;
            if self.calls == before {
                self.broaden(&set, rounds).await?;
                rounds += 1;
            }
            if self.calls == before {
                break;
            }
        }
        let trimmed = self.trimmed(best);
        let narrowed = self.narrowed(trimmed).await?;
        self.most_calls = self.problem.calls;
        let lean = self.lean(narrowed).await?;
        let wide = self.widened(lean).await?;
        Ok(self.trimmed(wide))
    }

    /// The better one of two sets, the second of which the planner is asked about.
    async fn better(&mut self, best: FixedBitSet, set: &FixedBitSet) -> Result<FixedBitSet, PostgresError> {
        for statement in 0..self.known.len() {
            self.ask(statement, set).await?;
        }
        let is_better = is_less(self.total_under(set), self.total_under(&best));
        Ok(if is_better { set.clone() } else { best })
    }

    fn none(&self) -> FixedBitSet {
        FixedBitSet::with_capacity(self.problem.sizes.len())
    }

    fn over(&self) -> bool {
        self.calls >= self.most_calls || (self.stop)()
    }

    /// The costliest statements first, so that time that runs out is lost on the others.
    fn by_weight(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.known.len()).collect();
        let price = |statement: usize| self.problem.weights[statement] * self.problem.costs[statement];
        order.sort_by(|a, b| price(*b).total_cmp(&price(*a)).then(a.cmp(b)));
        order
    }

    async fn ask(&mut self, statement: usize, set: &FixedBitSet) -> Result<(), PostgresError> {
        let mut available = set.clone();
        available.intersect_with(&self.problem.useful[statement]);
        if self.known[statement].knows(&available) || self.over() {
            return Ok(());
        }
        let answer = self.planner.ask(statement, &available).await?;
        self.calls += self.planner.questions();
        (self.progress)(self.calls);
        let estimated = self.problem.with_estimates(statement, &answer).into_iter();
        let estimated: Vec<Fact> = estimated.map(|one| Fact::estimated(&available, one)).collect();
        let facts = &mut self.known[statement].facts;
        facts.push(Fact::new(available, answer.used, answer.cost));
        facts.extend(estimated);
        Ok(())
    }

    fn size(&self, set: &FixedBitSet) -> f64 {
        set.ones().map(|one| self.problem.sizes[one]).sum()
    }

    /// What the workload costs under a set by the planner's own word, where it was asked about it.
    fn total_under(&self, set: &FixedBitSet) -> f64 {
        let statements = self.known.iter().enumerate().map(|(statement, known)| {
            let mut available = set.clone();
            available.intersect_with(&self.problem.useful[statement]);
            let estimated = known
                .facts
                .iter()
                .filter(|fact| fact.is_estimated && fact.is_possible(set));
            let estimated = estimated.map(|fact| fact.cost).fold(f64::INFINITY, f64::min);
            let cost = known.answer(&available).unwrap_or_else(|| known.estimate(set));
            self.problem.weights[statement] * cost.min(estimated)
        });
        statements.sum::<f64>() + set.ones().map(|one| self.problem.upkeep[one]).sum::<f64>()
    }

    /// What the workload costs under a set, as far as is known, with the upkeep of its indexes.
    fn total(&self, set: &FixedBitSet) -> f64 {
        self.reads(set) + set.ones().map(|one| self.problem.upkeep[one]).sum::<f64>()
    }

    /// The same, writes aside.
    fn reads(&self, set: &FixedBitSet) -> f64 {
        let statements = self.known.iter().zip(&self.problem.weights);
        statements
            .map(|(known, weight)| weight * known.estimate(set))
            .sum()
    }

    /// The best set by what is known, or by what may be hoped of plans near a set.
    fn solve(&self, hopeful_near: Option<&FixedBitSet>) -> FixedBitSet {
        let facts = || self.known.iter().flat_map(|known| &known.facts);
        let mut candidates = Vec::new();
        let mut numbers = BTreeMap::new();
        for one in facts().flat_map(|fact| &fact.uses) {
            numbers.entry(*one).or_insert_with(|| {
                candidates.push(*one);
                candidates.len() - 1
            });
        }
        // those of all that is known would be too many to ask about
        let near = hopeful_near.into_iter().flat_map(FixedBitSet::ones);
        for sibling in near.flat_map(|one| &self.problem.siblings[one]) {
            numbers.entry(*sibling).or_insert_with(|| {
                candidates.push(*sibling);
                candidates.len() - 1
            });
        }
        let choices = self.known.iter().zip(&self.problem.weights).enumerate();
        let choices = choices.map(|(statement, (known, weight))| {
            let choice = |uses: &[usize], cost: f64, is_known: bool| Choice {
                uses: uses.iter().map(|one| numbers[one]).collect(),
                cost: weight * cost,
                is_known,
            };
            let facts = known.facts.iter().map(|fact| choice(&fact.uses, fact.cost, true));
            let hopes = match hopeful_near {
                Some(_) => self.hopes(statement, &candidates),
                None => Vec::new(),
            };
            let hopes = hopes.iter().map(|hope| choice(&hope.uses, hope.cost, false));
            facts.chain(hopes).collect()
        });
        let choices: Vec<Vec<Choice>> = choices.collect();
        let sizes: Vec<f64> = candidates.iter().map(|one| self.problem.sizes[*one]).collect();
        let upkeep: Vec<f64> = candidates.iter().map(|one| self.problem.upkeep[*one]).collect();
        let knapsack = Knapsack::new(choices, &sizes, &upkeep, self.problem.budget_bytes);
        let mut set = self.none();
        set.extend(knapsack.best().into_iter().map(|number| candidates[number]));
        set
    }
}

/// Whether a total is less by more than what sums are off by.
fn is_less(total: f64, than: f64) -> bool {
    total < than * (1.0 - 1e-9)
}

#[cfg(test)]
mod tests;
