//! The set of indexes that is worth most within a budget, found with few questions to the planner.
//!
//! A plan that used `U` out of the indexes `A` costs the same under every set between `U` and `A`, and no more under any
//! larger one. So each answer is kept, and most sets are priced without asking. The planner is first asked with everything
//! on the table, then with ever less (smaller indexes, narrower ones), so that its own choices show what goes together: a
//! search that adds one index at a time would miss pairs that only pay together. Sets are then put together from those
//! choices, judged by what is known, and confirmed by the planner until nothing better is found.

use fixedbitset::FixedBitSet;

use crate::postgres::PostgresError;

/// What the planner said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The cost of the plan.
    pub cost: f64,
    /// The candidates that it used.
    pub used: FixedBitSet,
}

/// Whoever prices a statement under a set of candidates.
pub trait Planner {
    /// Plans one statement with exactly these candidates present.
    fn ask(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
    ) -> impl Future<Output = Result<Answer, PostgresError>> + Send;
}

/// What is to be solved.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How much each statement counts.
    pub weights: Vec<f64>,
    /// What each costs as things are.
    pub costs: Vec<f64>,
    /// The candidates that concern each statement.
    pub relevant: Vec<FixedBitSet>,
    /// The size of each candidate in bytes.
    pub sizes: Vec<f64>,
    /// How many keys each has.
    pub widths: Vec<usize>,
    /// What each costs in writes, in the unit of weighted costs.
    pub upkeep: Vec<f64>,
    /// Bytes that the whole set may take.
    pub budget_bytes: f64,
    /// Questions that may be asked in all.
    pub calls: usize,
}

/// What is known of one statement.
struct Known {
    facts: Vec<Fact>,
}

#[derive(Clone)]
struct Fact {
    available: FixedBitSet,
    used: FixedBitSet,
    cost: f64,
}

impl Known {
    /// The least cost that is known to be reached with this set.
    fn estimate(&self, set: &FixedBitSet) -> f64 {
        let reached = self.facts.iter().filter(|fact| fact.used.is_subset(set));
        reached.map(|fact| fact.cost).fold(f64::INFINITY, f64::min)
    }

    /// Whether the planner's answer for this set is known without asking.
    fn knows(&self, set: &FixedBitSet) -> bool {
        self.facts
            .iter()
            .any(|fact| fact.used.is_subset(set) && set.is_subset(&fact.available))
    }
}

/// The search for the best set.
pub struct Selection<'a, P> {
    problem: &'a Problem,
    planner: &'a mut P,
    known: Vec<Known>,
    calls: usize,
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
            facts: vec![Fact {
                available: none.clone(),
                used: none.clone(),
                cost: *cost,
            }],
        };
        let known = problem.costs.iter().map(base).collect();
        Self {
            problem,
            planner,
            known,
            calls: 0,
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
        while idle < 3 {
            let set = self.solve();
            let before = self.calls;
            for statement in 0..self.known.len() {
                self.price(statement, &set).await?;
            }
            if self.total(&set) < self.total(&best) * (1.0 - 1e-9) {
                best = set.clone();
                idle = 0;
            } else {
                idle += 1;
            }
            if self.over() {
                break;
            }
            self.probe(&set).await?;
            if self.calls == before {
                break;
            }
        }
        Ok(self.trimmed(best))
    }

    fn none(&self) -> FixedBitSet {
        FixedBitSet::with_capacity(self.problem.sizes.len())
    }

    fn over(&self) -> bool {
        self.calls >= self.problem.calls || (self.stop)()
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
        available.intersect_with(&self.problem.relevant[statement]);
        if self.known[statement].knows(&available) || self.over() {
            return Ok(());
        }
        self.calls += 1;
        (self.progress)(self.calls);
        let answer = self.planner.ask(statement, &available).await?;
        let fact = Fact {
            available,
            used: answer.used,
            cost: answer.cost,
        };
        self.known[statement].facts.push(fact);
        Ok(())
    }

    /// Makes sure that the cost of a statement under a set is the planner's.
    async fn price(&mut self, statement: usize, set: &FixedBitSet) -> Result<(), PostgresError> {
        self.ask(statement, set).await
    }

    /// Asks with ever less on the table.
    async fn explore(&mut self, statement: usize) -> Result<(), PostgresError> {
        let widest = self.problem.widths.iter().copied().max().unwrap_or(1);
        let budget = self.problem.budget_bytes;
        let mut shelves: Vec<(f64, usize)> = vec![(budget, widest)];
        shelves.extend((1..widest).rev().map(|width| (budget, width)));
        if budget.is_finite() {
            shelves.extend([2.0, 4.0, 8.0].map(|part| (budget / part, widest)));
            shelves.extend([4.0].map(|part| (budget / part, 1)));
        }
        for (bytes, width) in shelves {
            let mut set = self.problem.relevant[statement].clone();
            for candidate in self.problem.relevant[statement].ones() {
                let fits = self.problem.sizes[candidate] <= bytes && self.problem.widths[candidate] <= width;
                set.set(candidate, fits);
            }
            self.ask(statement, &set).await?;
        }
        self.take_away(statement).await?;
        self.take_apart(statement).await
    }

    /// What the planner takes when the largest of what it took is not there.
    async fn take_away(&mut self, statement: usize) -> Result<(), PostgresError> {
        let mut set = self.problem.relevant[statement].clone();
        for _ in 0..3 {
            let known = &self.known[statement];
            let fact = known
                .facts
                .iter()
                .find(|fact| fact.used.is_subset(&set) && set.is_subset(&fact.available));
            let size = |one: &usize| self.problem.sizes[*one];
            let largest = fact.and_then(|fact| fact.used.ones().max_by(|a, b| size(a).total_cmp(&size(b))));
            let Some(largest) = largest else { break };
            // its siblings in other orders are as large: what is asked for is another way
            for sibling in set.clone().ones() {
                if size(&sibling) >= size(&largest) {
                    set.set(sibling, false);
                }
            }
            self.ask(statement, &set).await?;
        }
        Ok(())
    }

    /// Of plans with several indexes, what they cost without each of them.
    async fn take_apart(&mut self, statement: usize) -> Result<(), PostgresError> {
        let mut plans: Vec<Fact> = self.known[statement]
            .facts
            .iter()
            .filter(|fact| fact.used.count_ones(..) > 1)
            .cloned()
            .collect();
        plans.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        plans.dedup_by(|a, b| a.used == b.used);
        for plan in plans.into_iter().take(3) {
            for candidate in plan.used.ones() {
                let mut rest = plan.used.clone();
                rest.set(candidate, false);
                self.ask(statement, &rest).await?;
            }
        }
        Ok(())
    }

    /// What could be added to a set, or come in place of one of it, in the planner's own eyes.
    async fn probe(&mut self, set: &FixedBitSet) -> Result<(), PostgresError> {
        let left = self.problem.budget_bytes - self.size(set);
        for statement in self.by_regret(set) {
            self.ask_with_room(statement, set, left).await?;
        }
        let mut members: Vec<usize> = set.ones().collect();
        members.sort_by(|a, b| {
            self.problem.sizes[*b]
                .total_cmp(&self.problem.sizes[*a])
                .then(a.cmp(b))
        });
        for member in members {
            let mut rest = set.clone();
            rest.set(member, false);
            for statement in self.by_regret(&rest) {
                if self.problem.relevant[statement].contains(member) {
                    self.ask_with_room(statement, &rest, left + self.problem.sizes[member])
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// The statements that could be cheaper than they are under a set, those that lose most first.
    fn by_regret(&self, set: &FixedBitSet) -> Vec<usize> {
        let regret = |statement: usize| {
            let known = &self.known[statement];
            let best = known
                .facts
                .iter()
                .map(|fact| fact.cost)
                .fold(f64::INFINITY, f64::min);
            self.problem.weights[statement] * (known.estimate(set) - best)
        };
        let mut regrets: Vec<(f64, usize)> = (0..self.known.len()).map(|one| (regret(one), one)).collect();
        regrets.retain(|(regret, _)| *regret > 0.0);
        regrets.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        regrets.into_iter().map(|(_, statement)| statement).collect()
    }

    /// Asks what the planner would take if, beside a set, everything stood on the table that fits into so many bytes.
    async fn ask_with_room(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
        bytes: f64,
    ) -> Result<(), PostgresError> {
        let mut richer = set.clone();
        let fitting = |one: &usize| self.problem.sizes[*one] <= bytes;
        richer.extend(self.problem.relevant[statement].ones().filter(fitting));
        self.ask(statement, &richer).await
    }

    fn size(&self, set: &FixedBitSet) -> f64 {
        set.ones().map(|one| self.problem.sizes[one]).sum()
    }

    /// What the workload costs under a set, as far as is known, with the upkeep of its indexes.
    fn total(&self, set: &FixedBitSet) -> f64 {
        let statements = self.known.iter().zip(&self.problem.weights);
        let reads: f64 = statements
            .map(|(known, weight)| weight * known.estimate(set))
            .sum();
        reads + set.ones().map(|one| self.problem.upkeep[one]).sum::<f64>()
    }

    /// The set without what nobody uses.
    fn trimmed(&self, mut set: FixedBitSet) -> FixedBitSet {
        let mut candidates: Vec<usize> = set.ones().collect();
        candidates.sort_by(|a, b| self.problem.sizes[*b].total_cmp(&self.problem.sizes[*a]));
        let mut total = self.total(&set);
        for candidate in candidates {
            set.set(candidate, false);
            let without = self.total(&set);
            match without <= total {
                true => total = without,
                false => set.insert(candidate),
            }
        }
        set
    }

    /// The best set by what is known: greedy by several measures, each improved by taking things out and filling up again.
    fn solve(&self) -> FixedBitSet {
        let bundles = self.bundles();
        let mut best = self.none();
        for exponent in [1.0, 0.7, 0.4, 0.0, 1.3] {
            let start = self.filled(self.none(), &bundles, exponent);
            let set = self.improved(start, &bundles, exponent);
            if self.total(&set) < self.total(&best) {
                best = set;
            }
        }
        best
    }

    /// Indexes that some plan used together.
    fn bundles(&self) -> Vec<FixedBitSet> {
        let mut bundles: Vec<FixedBitSet> = Vec::new();
        for fact in self.known.iter().flat_map(|known| &known.facts) {
            if fact.used.count_ones(..) > 0
                && self.size(&fact.used) <= self.problem.budget_bytes
                && !bundles.contains(&fact.used)
            {
                bundles.push(fact.used.clone());
            }
        }
        let singles: Vec<FixedBitSet> = bundles
            .iter()
            .flat_map(|bundle| bundle.ones().collect::<Vec<_>>())
            .map(|one| {
                let mut single = self.none();
                single.insert(one);
                single
            })
            .collect();
        for single in singles {
            if !bundles.contains(&single) {
                bundles.push(single);
            }
        }
        bundles
    }

    /// Adds bundles by gain for size until none fits or pays.
    fn filled(&self, mut set: FixedBitSet, bundles: &[FixedBitSet], exponent: f64) -> FixedBitSet {
        let mut total = self.total(&set);
        loop {
            let size = self.size(&set);
            let mut best: Option<(f64, FixedBitSet, f64)> = None;
            for bundle in bundles.iter().filter(|bundle| !bundle.is_subset(&set)) {
                let mut larger = set.clone();
                larger.union_with(bundle);
                let added = self.size(&larger) - size;
                if size + added > self.problem.budget_bytes {
                    continue;
                }
                let cost = self.total(&larger);
                let value = (total - cost) / added.max(1.0).powf(exponent);
                if cost < total * (1.0 - 1e-9) && best.as_ref().is_none_or(|(known, _, _)| value > *known) {
                    best = Some((value, larger, cost));
                }
            }
            let Some((_, larger, cost)) = best else { break };
            (set, total) = (larger, cost);
        }
        self.trimmed(set)
    }

    /// Takes one or two out, fills up again, and keeps what is better.
    fn improved(&self, mut set: FixedBitSet, bundles: &[FixedBitSet], exponent: f64) -> FixedBitSet {
        loop {
            let total = self.total(&set);
            let members: Vec<usize> = set.ones().collect();
            let pairs = members
                .iter()
                .enumerate()
                .flat_map(|(position, one)| members[position..].iter().map(move |other| (*one, *other)));
            let mut better = None;
            'search: for (one, other) in pairs {
                let mut smaller = set.clone();
                smaller.set(one, false);
                smaller.set(other, false);
                for first in [exponent, 0.0] {
                    let refilled = self.filled(smaller.clone(), bundles, first);
                    if self.total(&refilled) < total * (1.0 - 1e-9) {
                        better = Some(refilled);
                        break 'search;
                    }
                }
            }
            match better {
                Some(refilled) => set = refilled,
                None => return set,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A planner whose plans are given: each uses some candidates and costs something.
    struct Given {
        plans: Vec<Vec<(Vec<usize>, f64)>>,
        count: usize,
        calls: usize,
    }

    fn set(count: usize, members: &[usize]) -> FixedBitSet {
        let mut set = FixedBitSet::with_capacity(count);
        set.extend(members.iter().copied());
        set
    }

    impl Planner for Given {
        async fn ask(&mut self, statement: usize, available: &FixedBitSet) -> Result<Answer, PostgresError> {
            self.calls += 1;
            let fits = |plan: &&(Vec<usize>, f64)| plan.0.iter().all(|one| available.contains(*one));
            let best = self.plans[statement]
                .iter()
                .filter(fits)
                .min_by(|a, b| a.1.total_cmp(&b.1))
                .unwrap();
            Ok(Answer {
                cost: best.1,
                used: set(self.count, &best.0),
            })
        }
    }

    fn solved(
        plans: Vec<Vec<(Vec<usize>, f64)>>,
        sizes: &[f64],
        budget_bytes: f64,
        upkeep: f64,
    ) -> (Vec<usize>, f64, usize) {
        let count = sizes.len();
        let relevant = plans.iter().map(|plans| {
            let members: Vec<usize> = plans.iter().flat_map(|plan| plan.0.clone()).collect();
            set(count, &members)
        });
        let base = |plans: &Vec<(Vec<usize>, f64)>| plans.iter().find(|plan| plan.0.is_empty()).unwrap().1;
        let problem = Problem {
            weights: vec![1.0; plans.len()],
            costs: plans.iter().map(base).collect(),
            relevant: relevant.collect(),
            sizes: sizes.to_vec(),
            widths: vec![1; count],
            upkeep: vec![upkeep; count],
            budget_bytes,
            calls: 20 * plans.len(),
        };
        let mut given = Given {
            plans: plans.clone(),
            count,
            calls: 0,
        };
        let chosen = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(Selection::new(&problem, &mut given, &|| false, &|_| {}).run())
            .unwrap();
        let cost = |plans: &Vec<(Vec<usize>, f64)>| {
            let fits = plans
                .iter()
                .filter(|plan| plan.0.iter().all(|one| chosen.contains(*one)));
            fits.map(|plan| plan.1).fold(f64::INFINITY, f64::min)
        };
        (chosen.ones().collect(), plans.iter().map(cost).sum(), given.calls)
    }

    #[test]
    fn two_that_only_pay_together_are_found() {
        let plans = vec![vec![(vec![], 100.0), (vec![0, 1], 10.0), (vec![2], 90.0)]];
        assert_eq!(solved(plans, &[5.0, 5.0, 9.0], 10.0, 0.0).0, [0, 1]);
    }

    #[test]
    fn the_budget_is_kept_and_a_smaller_index_may_be_better() {
        let plans = vec![
            vec![(vec![], 100.0), (vec![0], 10.0), (vec![1], 20.0)],
            vec![(vec![], 100.0), (vec![2], 20.0)],
        ];
        let (chosen, cost, _) = solved(plans, &[10.0, 4.0, 4.0], 10.0, 0.0);
        assert_eq!((chosen, cost), (vec![1, 2], 40.0));
    }

    #[test]
    fn what_costs_more_to_keep_than_it_saves_is_left_out() {
        let plans = vec![vec![(vec![], 100.0), (vec![0], 95.0)]];
        assert_eq!(
            solved(plans.clone(), &[1.0], f64::INFINITY, 6.0).0,
            Vec::<usize>::new()
        );
        assert_eq!(solved(plans, &[1.0], f64::INFINITY, 4.0).0, [0]);
    }

    proptest! {
        /// Whatever the plans are: the budget holds, the questions are bounded, the answer is the same each time, and never
        /// worse than no index at all.
        #[test]
        fn always_valid(
            sizes in prop::collection::vec(1.0f64..50.0, 6),
            statements in prop::collection::vec(prop::collection::vec((prop::collection::vec(0usize..6, 1..4), 1.0f64..99.0), 1..6), 1..6),
            budget in 10.0f64..150.0,
        ) {
            let plans: Vec<Vec<(Vec<usize>, f64)>> =
                statements.into_iter().map(|mut plans| { plans.push((vec![], 100.0)); plans }).collect();
            let (chosen, cost, calls) = solved(plans.clone(), &sizes, budget, 0.0);
            prop_assert!(chosen.iter().map(|one| sizes[*one]).sum::<f64>() <= budget);
            prop_assert!(cost <= 100.0 * plans.len() as f64 && calls <= 20 * plans.len());
            prop_assert_eq!(solved(plans, &sizes, budget, 0.0).0, chosen);
        }
    }
}
