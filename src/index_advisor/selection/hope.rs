//! Sets that are better than all that is known, if plans that nobody asked about cost what may be hoped. The planner takes
//! whatever is on the table, so that it names plans with many indexes; what it makes of fewer of them, or of others much like
//! them, is mostly nearly as good, but counts for nothing until it is asked. The best set by such hopes is tried, until the
//! best one holds what it promised.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use super::{Fact, Known, Planner, Selection};
use crate::postgres::PostgresError;

/// Of a plan with more indexes only those parts are looked at that lack one or two of them.
const FEW_USES: usize = 4;

/// A plan that nobody asked about, and what it costs if all goes well.
#[derive(Debug, PartialEq)]
pub(super) struct Hope {
    pub(super) uses: Vec<usize>,
    pub(super) cost: f64,
}

impl Known {
    /// What a statement costs at least with this set: no less than with more.
    fn least(&self, set: &FixedBitSet) -> f64 {
        let richer = self.facts.iter().filter(|fact| set.is_subset(&fact.available));
        richer.map(|fact| fact.cost).fold(0.0, f64::max)
    }

    /// What may be hoped of a plan with these indexes, if it costs no less than told: `None` if that is known already, or
    /// would be nothing new.
    fn hope(&self, uses: Vec<usize>, no_less: f64) -> Option<Hope> {
        let mut set = FixedBitSet::with_capacity(self.facts[0].available.len());
        set.extend(uses.iter().copied());
        let cost = self.least(&set).max(no_less);
        (cost < self.estimate(&set) && !self.knows(&set)).then_some(Hope { uses, cost })
    }
}

impl<P: Planner> Selection<'_, P> {
    /// The better one of this set and those that look best until one is known for what it is.
    pub(super) async fn hoped(&mut self, mut best: FixedBitSet) -> Result<FixedBitSet, PostgresError> {
        while self.is_short_of_bytes() && !self.over() {
            let before = self.calls;
            let set = self.solve(Some(&best));
            best = self.better(best, &set).await?;
            if self.calls == before {
                break;
            }
        }
        Ok(best)
    }

    /// Whether the best plans of all statements are too large together: if not, nothing is bought with the bytes that other
    /// plans save.
    fn is_short_of_bytes(&self) -> bool {
        let mut all = self.none();
        for known in &self.known {
            let best = known.facts.iter().min_by(|a, b| a.cost.total_cmp(&b.cost));
            all.extend(best.into_iter().flat_map(|fact| fact.uses.iter().copied()));
        }
        self.size(&all) > self.problem.budget_bytes
    }

    /// Plans of a statement with parts of what known ones use, and with one of `in_play` instead of another that begins with
    /// the same key, or has the same keys.
    pub(super) fn hopes(&self, statement: usize, in_play: &[usize]) -> Vec<Hope> {
        let known = &self.known[statement];
        let parts: BTreeSet<Vec<usize>> = known.facts.iter().flat_map(|fact| parts(&fact.uses)).collect();
        let parts = parts.into_iter().filter_map(|uses| known.hope(uses, 0.0));
        let mut facts: Vec<&Fact> = known.facts.iter().collect();
        facts.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        let mut seen = BTreeSet::new();
        let others = facts.into_iter().flat_map(|fact| {
            let others = self.with_another(statement, fact, in_play);
            others.into_iter().map(|uses| (uses, fact.cost))
        });
        // of the same indexes the cheapest plan comes first
        let others = others.filter(|(uses, _)| seen.insert(uses.clone()));
        let others = others.filter_map(|(uses, cost)| known.hope(uses, cost));
        parts.chain(others).collect()
    }

    /// What a plan uses, with another index in the place of each one in turn.
    fn with_another(&self, statement: usize, fact: &Fact, in_play: &[usize]) -> Vec<Vec<usize>> {
        let problem = self.problem;
        // the planner cannot be asked about these
        let is_estimated = |one: usize| problem.estimates.iter().any(|estimate| estimate.candidate == one);
        let is_other = |one: usize, other: usize| {
            let is_alike =
                problem.groups[one] == problem.groups[other] || problem.siblings[one].contains(&other);
            is_alike
                && problem.useful[statement].contains(other)
                && !fact.used.contains(other)
                && !is_estimated(one)
                && !is_estimated(other)
        };
        let mut made = Vec::new();
        for (at, one) in fact.uses.iter().enumerate() {
            for other in in_play.iter().filter(|other| is_other(*one, **other)) {
                let mut uses = fact.uses.clone();
                uses[at] = *other;
                uses.sort_unstable();
                made.push(uses);
            }
        }
        made
    }
}

/// All parts of a few, of many those without one or two.
fn parts(uses: &[usize]) -> Vec<Vec<usize>> {
    let count = uses.len();
    let without = |is_out: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..count).filter(|at| !is_out(*at)).map(|at| uses[at]).collect()
    };
    if count <= FEW_USES {
        let parts = (1_usize..1 << count).map(|bits| without(&|at| bits >> at & 1 == 1));
        return parts.filter(|part| !part.is_empty()).collect();
    }
    let pairs = (0..count).flat_map(|one| (one..count).map(move |other| (one, other)));
    pairs
        .map(|(one, other)| without(&|at| at == one || at == other))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::solved;
    use super::*;

    fn set(members: &[usize]) -> FixedBitSet {
        let mut set = FixedBitSet::with_capacity(8);
        set.extend(members.iter().copied());
        set
    }

    #[test]
    fn parts_of_few_and_of_many() {
        assert_eq!(parts(&[4]), Vec::<Vec<usize>>::new());
        assert_eq!(parts(&[4, 7]), [[7], [4]]);
        assert_eq!(parts(&[0, 1, 2, 3]).len(), 14);
        let of_many = parts(&[0, 1, 2, 3, 4]);
        assert_eq!(of_many.len(), 5 + 10);
        assert!(of_many.iter().all(|part| (3..=4).contains(&part.len())));
    }

    #[test]
    fn a_hope_is_no_less_than_what_more_indexes_cost_and_nothing_that_is_known() {
        let facts = vec![
            Fact::new(set(&[]), set(&[]), 100.0),
            Fact::new(set(&[0, 1, 2, 3]), set(&[0, 1]), 10.0),
            Fact::new(set(&[0, 2]), set(&[0]), 60.0),
        ];
        let known = Known { facts };
        let hope = |uses: &[usize], no_less: f64| known.hope(uses.to_vec(), no_less).map(|hope| hope.cost);
        assert_eq!(hope(&[1], 0.0), Some(10.0), "less of what was on the table");
        assert_eq!(hope(&[4], 20.0), Some(20.0), "as good as another one");
        assert_eq!(hope(&[1], 100.0), None, "no better than without");
        assert_eq!(hope(&[0], 0.0), None, "asked already");
        assert_eq!(hope(&[0, 2], 0.0), None, "known from what was used");
    }

    #[test]
    fn what_serves_several_in_part_is_found() {
        // each statement takes its own index beside the one that is worth most of it to all
        let of_statement = |own: usize| {
            let alone = (vec![own], 90.0);
            vec![(vec![], 100.0), (vec![0, own], 20.0), (vec![0], 25.0), alone]
        };
        let plans: Vec<_> = (1..8).map(of_statement).collect();
        let (chosen, cost, _) = solved(plans, &[6.0; 8], 11.0, 0.0);
        assert_eq!((chosen, cost), (vec![0], 7.0 * 25.0));
    }
}
