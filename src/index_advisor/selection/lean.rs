//! A set made leaner. Where nobody knows what is written to a table the bytes of an index have no price, so that the planner's last
//! unit decides: for that it takes an index on all rows a thousand times as large as one on the few that are asked for. So each
//! large one is tried against those on a part of the rows, and what is large for next to nothing is left out.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use super::{Known, Planner, Problem, Selection};
use crate::postgres::PostgresError;

/// Indexes on a part of the rows that stand in for one on all of them take this part of its bytes together at most.
const SMALL: f64 = 0.25;
/// What each statement may lose by that of what the larger index saves it beside the rest of the set; or of what the set saves it, where
/// it then costs no more than so many times what it costs with the larger one.
const BEARABLE_PART_OF_GAIN: f64 = 0.03;
const BEARABLE_TIMES: f64 = 3.0;
/// And all of them of what the workload costs now; the second where bytes are what is bought with.
const BEARABLE_PART_OF_WORKLOAD: f64 = 0.001;
const BEARABLE_PART_WITHIN_A_BUDGET: f64 = 0.00005;
/// An index that saves less of what the workload costs beside the rest of the set must save at least what reading all of it once costs,
/// or this part of one statement: what halves a statement is worth an index, however little of the workload that statement is.
const SLIGHT_PART_OF_WORKLOAD: f64 = 0.001;
const MUCH_OF_A_STATEMENT: f64 = 0.5;
/// A page is read for one of the planner's units.
const PAGE_BYTES: f64 = 8192.0;
/// Of all questions one in so many is kept for what is tried at the end, at most.
const ONE_KEPT_OF: usize = 8;

impl Problem {
    /// What the workload costs as things are.
    pub(super) fn workload_cost(&self) -> f64 {
        let costs = self.costs.iter().zip(&self.weights);
        costs.map(|(cost, weight)| cost * weight).sum()
    }

    /// Questions that the search leaves: one for each statement that an index on a part of the rows could serve.
    pub(super) fn calls_kept_for_parts(&self) -> usize {
        let could_serve = |relevant: &&FixedBitSet| !relevant.is_disjoint(&self.parts);
        let statements = self.relevant.iter().filter(could_serve).count();
        statements.min(self.calls / ONE_KEPT_OF)
    }

    fn bytes(&self, members: &[usize]) -> f64 {
        members.iter().map(|one| self.sizes[*one]).sum()
    }
}

/// An index on all rows of a set that others on a part of them may stand in for.
struct Whole<'a> {
    one: usize,
    set: &'a FixedBitSet,
    /// The set without it.
    rest: FixedBitSet,
    /// The statements that it serves.
    served: Vec<usize>,
}

impl<P: Planner> Selection<'_, P> {
    /// The set with parts in the place of indexes on all rows where they do, and without what is large for next to nothing.
    pub(super) async fn lean(&mut self, mut set: FixedBitSet) -> Result<FixedBitSet, PostgresError> {
        let before = set.clone();
        for one in self.largest_first(&set) {
            if self.problem.parts.contains(one) {
                continue;
            }
            if let Some(parted) = self.parted(one, &set).await? {
                set = parted;
            }
        }
        if set != before {
            set = self.narrowed(set).await?;
        }
        Ok(self.spared(set))
    }

    fn largest_first(&self, set: &FixedBitSet) -> Vec<usize> {
        let mut members: Vec<usize> = set.ones().collect();
        let size = |one: &usize| self.problem.sizes[*one];
        members.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        members
    }

    /// The set with indexes on parts of the rows in the place of one on all of them, if they do. The planner is asked with all
    /// that are small enough on the table; if statements take different ones, one of these may do for all.
    async fn parted(&mut self, one: usize, set: &FixedBitSet) -> Result<Option<FixedBitSet>, PostgresError> {
        let whole = self.whole(one, set);
        let mut all = whole.rest.clone();
        all.extend(self.parts_of(&whole));
        if all == whole.rest {
            return Ok(None);
        }
        self.ask_served(&whole, &all).await?;
        let taken = self.taken(&whole, &all);
        let mut attempts: Vec<Vec<usize>> = Vec::new();
        if taken.len() > 1 {
            attempts.extend(taken.iter().map(|part| vec![*part]));
        }
        if !taken.is_empty() {
            attempts.push(taken);
        }
        for parts in attempts {
            if self.problem.bytes(&parts) > SMALL * self.problem.sizes[one] {
                continue;
            }
            let mut parted = whole.rest.clone();
            parted.extend(parts);
            self.ask_served(&whole, &parted).await?;
            if self.is_borne(&whole, &parted) {
                return Ok(Some(parted));
            }
        }
        Ok(None)
    }

    fn whole<'s>(&self, one: usize, set: &'s FixedBitSet) -> Whole<'s> {
        let mut rest = set.clone();
        rest.set(one, false);
        let served = self.known.iter().enumerate();
        let served = served.filter(|(_, known)| known.estimate(&rest) > known.estimate(set));
        Whole {
            one,
            set,
            served: served.map(|(statement, _)| statement).collect(),
            rest,
        }
    }

    /// The parts of its table that could serve what it serves and are small beside it.
    fn parts_of(&self, whole: &Whole<'_>) -> BTreeSet<usize> {
        let problem = self.problem;
        let could_stand_in = |part: &usize| {
            problem.parts.contains(*part)
                && problem.tables[*part] == problem.tables[whole.one]
                && problem.sizes[*part] <= SMALL * problem.sizes[whole.one]
        };
        let served = whole.served.iter();
        let parts = served.flat_map(|statement| problem.relevant[*statement].ones());
        parts.filter(could_stand_in).collect()
    }

    async fn ask_served(&mut self, whole: &Whole<'_>, set: &FixedBitSet) -> Result<(), PostgresError> {
        for statement in &whole.served {
            self.ask(*statement, set).await?;
        }
        Ok(())
    }

    /// What the statements that it serves would take of a set beside the rest.
    fn taken(&self, whole: &Whole<'_>, all: &FixedBitSet) -> Vec<usize> {
        let mut taken = BTreeSet::new();
        for statement in &whole.served {
            let facts = self.known[*statement].facts.iter();
            let possible = facts.filter(|fact| fact.is_possible(all));
            let best = possible.min_by(|a, b| a.cost.total_cmp(&b.cost));
            let uses = best.into_iter().flat_map(|fact| &fact.uses);
            taken.extend(uses.copied().filter(|part| !whole.rest.contains(*part)));
        }
        taken.into_iter().collect()
    }

    /// Whether what is lost by parts in its place is little beside what it saves, and beside the workload. One that is left out at
    /// any rate has nothing to lose.
    fn is_borne(&self, whole: &Whole<'_>, parted: &FixedBitSet) -> bool {
        let problem = self.problem;
        if !self.pays_for_its_bytes(whole.one, whole.set, &whole.rest) {
            return true;
        }
        let is_little = |statement: &usize| {
            let known = &self.known[*statement];
            let (with, without) = (known.estimate(whole.set), known.estimate(&whole.rest));
            let (now, after) = (problem.costs[*statement], known.estimate(parted));
            let gain = match after <= BEARABLE_TIMES * with {
                true => now.max(without) - with,
                false => without - with,
            };
            after - with <= BEARABLE_PART_OF_GAIN * gain
        };
        let bearable = match problem.budget_bytes.is_finite() {
            true => BEARABLE_PART_WITHIN_A_BUDGET,
            false => BEARABLE_PART_OF_WORKLOAD,
        };
        let lost = self.total(parted) - self.total(whole.set);
        whole.served.iter().all(is_little) && lost <= bearable * problem.workload_cost()
    }

    /// Whether an index saves the workload something that it would notice when all others are built, or at least what reading all of
    /// it once costs, or makes a statement far cheaper. Whoever gives a budget says what a byte is worth.
    fn pays_for_its_bytes(&self, one: usize, with: &FixedBitSet, without: &FixedBitSet) -> bool {
        let problem = self.problem;
        let cost = self.reads(without);
        let gained = cost - self.reads(with);
        let is_much = |known: &Known| {
            let cost = known.estimate(without);
            let saved = cost - known.estimate(with);
            saved > 0.0 && saved >= problem.least_gain.max(MUCH_OF_A_STATEMENT * cost)
        };
        problem.budget_bytes.is_finite()
            || gained >= SLIGHT_PART_OF_WORKLOAD * cost
            || gained >= problem.sizes[one] / PAGE_BYTES
            || self.known.iter().any(is_much)
    }

    /// The set without what does not pay for its bytes.
    fn spared(&self, mut set: FixedBitSet) -> FixedBitSet {
        for one in self.largest_first(&set) {
            let mut without = set.clone();
            without.set(one, false);
            if !self.pays_for_its_bytes(one, &set, &without) {
                set = without;
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::solved_as;
    use super::*;

    type Plans = Vec<(Vec<usize>, f64)>;

    const LARGE: f64 = 16e6;
    const SMALL_BYTES: f64 = 16e3;

    /// What is chosen of an index on all rows, which is the first, and others on a part of them.
    fn chosen(plans: Vec<Plans>, sizes: &[f64], change: impl FnOnce(&mut Problem)) -> Vec<usize> {
        let count = sizes.len();
        let change = |problem: &mut Problem| {
            problem.parts = (1..count).collect();
            change(problem);
        };
        solved_as(plans, sizes, change).0
    }

    /// A statement that costs so much now, with the index on all rows, and with each of the others.
    fn plans(costs: &[f64]) -> Plans {
        let with = |(number, cost): (usize, &f64)| match number {
            0 => (vec![], *cost),
            _ => (vec![number - 1], *cost),
        };
        costs.iter().enumerate().map(with).collect()
    }

    #[test]
    fn a_part_stands_in_for_all_rows_where_hardly_anything_is_lost() {
        let of = |costs: [f64; 3], part_bytes: f64, other_cost: f64| {
            let statements = vec![plans(&costs), vec![(vec![], other_cost)]];
            chosen(statements, &[LARGE, part_bytes], |_| {})
        };
        assert_eq!(of([10_000.0, 1.8, 4.0], SMALL_BYTES, 1.0), [1]);
        assert_eq!(
            of([10_000.0, 1.8, 400.0], SMALL_BYTES, 1e7),
            [0],
            "4 % of its gain"
        );
        assert_eq!(
            of([1000.0, 1.8, 4.0], SMALL_BYTES, 1.0),
            [0],
            "0.2 % of the workload"
        );
        assert_eq!(of([1000.0, 1.8, 4.0], SMALL_BYTES, 9000.0), [1]);
        // a third index serves it nearly as well, so that the whole saves it little beside that
        let beside = |with_part: f64| {
            let first = vec![
                (vec![], 15_000.0),
                (vec![0], 54.0),
                (vec![1], with_part),
                (vec![2], 824.0),
            ];
            let second = vec![(vec![], 15_000.0), (vec![2], 200.0)];
            let statements = vec![first, second, vec![(vec![], 1e6)]];
            chosen(statements, &[LARGE, SMALL_BYTES, SMALL_BYTES], |_| {})
        };
        assert_eq!(beside(110.0), [1, 2]);
        assert_eq!(beside(170.0), [0, 2], "more than three times as dear");
        assert_eq!(
            of([10_000.0, 1.8, 4.0], 0.3 * LARGE, 1.0),
            [0],
            "it is hardly smaller"
        );
    }

    #[test]
    fn only_a_part_of_the_same_table_stands_in_and_within_a_budget_hardly_ever() {
        let of = |change: &dyn Fn(&mut Problem)| {
            let statements = vec![plans(&[10_000.0, 1.8, 4.0])];
            chosen(statements, &[LARGE, SMALL_BYTES], change)
        };
        assert_eq!(of(&|_| {}), [1]);
        assert_eq!(
            of(&|problem| problem.parts.clear()),
            [0],
            "a smaller one on all rows"
        );
        assert_eq!(of(&|problem| problem.tables[1] = 1), [0]);
        assert_eq!(of(&|problem| problem.budget_bytes = 1e9), [0]);
        assert_eq!(of(&|problem| problem.upkeep[1] = 9.0), [0], "it is written to");
    }

    #[test]
    fn what_another_statement_needs_stays() {
        // the last of them is nearly all of the workload
        let statements = |second: f64| {
            vec![
                plans(&[10_000.0, 10.0, 12.0]),
                plans(&[100.0, 50.0, second]),
                vec![(vec![], 1e6)],
            ]
        };
        let sizes = [LARGE, SMALL_BYTES];
        assert_eq!(chosen(statements(100.0), &sizes, |_| {}), [0]);
        assert_eq!(chosen(statements(51.0), &sizes, |_| {}), [1]);
    }

    #[test]
    fn one_part_does_for_all_or_several_stand_in_together() {
        let of = |other: f64| {
            let statements = vec![
                plans(&[10_000.0, 10.0, 12.0, other]),
                plans(&[10_000.0, 10.0, other, 12.0]),
            ];
            chosen(statements, &[LARGE, SMALL_BYTES, SMALL_BYTES], |_| {})
        };
        assert_eq!(of(13.0), [1]);
        assert_eq!(of(5000.0), [1, 2]);
    }

    #[test]
    fn what_is_large_for_next_to_nothing_is_left_out() {
        let of = |bytes: f64, other_cost: f64, change: &dyn Fn(&mut Problem)| {
            let statements = vec![plans(&[1000.0, 817.0]), vec![(vec![], other_cost)]];
            chosen(statements, &[bytes], change)
        };
        let none: Vec<usize> = Vec::new();
        assert_eq!(of(29e6, 711_000.0, &|_| {}), none);
        assert_eq!(of(1e6, 711_000.0, &|_| {}), [0], "it is small");
        assert_eq!(of(29e6, 100_000.0, &|_| {}), [0], "the workload notices");
        assert_eq!(of(29e6, 711_000.0, &|problem| problem.weights[0] = 30.0), [0]);
        assert_eq!(of(29e6, 711_000.0, &|problem| problem.budget_bytes = 1e9), [0]);
    }

    #[test]
    fn what_the_workload_notices_when_the_rest_is_built_need_not_be_asked_for_again() {
        let of = |first: f64| {
            let other = vec![(vec![], 1e6), (vec![1], first)];
            chosen(
                vec![plans(&[1000.0, 817.0]), other],
                &[29e6, SMALL_BYTES],
                |problem| problem.parts.clear(),
            )
        };
        assert_eq!(of(10.0), [0, 1]);
        assert_eq!(of(400_000.0), [1], "a thousandth of what it costs then is more");
    }

    #[test]
    fn what_halves_a_statement_is_worth_its_bytes_in_any_workload() {
        let of = |after: f64| {
            let statements = vec![plans(&[543.0, after]), vec![(vec![], 858_000.0)]];
            chosen(statements, &[29e6], |_| {})
        };
        assert_eq!(of(62.0), [0]);
        assert_eq!(of(300.0), Vec::<usize>::new(), "by less than half");
    }

    #[test]
    fn a_part_that_pays_stands_in_for_what_would_be_left_out() {
        let of = |part_bytes: f64| {
            let statements = vec![plans(&[1000.0, 817.0, 861.0]), vec![(vec![], 711_000.0)]];
            chosen(statements, &[29e6, part_bytes], |_| {})
        };
        assert_eq!(of(200e3), [1]);
        assert_eq!(of(5e6), Vec::<usize>::new(), "nor does it pay");
    }

    #[test]
    fn questions_are_kept_for_parts_where_there_are_any() {
        let mut kept = Vec::new();
        for parts in [vec![], vec![1]] {
            let statements = vec![plans(&[100.0, 10.0, 11.0]), plans(&[100.0, 10.0])];
            solved_as(statements, &[LARGE, SMALL_BYTES], |problem| {
                problem.parts = parts.into_iter().collect();
                kept.push(problem.calls_kept_for_parts());
                problem.calls = 7;
                kept.push(problem.calls_kept_for_parts());
            });
        }
        assert_eq!(kept, [0, 0, 1, 0]);
    }
}
