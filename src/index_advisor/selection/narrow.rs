//! A set made narrower where that costs next to nothing. The planner counts every page, so that it takes the widest index
//! for a unit or two; who keeps the index pays for every byte of it.

use fixedbitset::FixedBitSet;

use super::{Known, Planner, Problem, Selection};
use crate::postgres::PostgresError;

/// Planner's units and part of a statement's cost below which a further key is not worth having: the planner itself takes
/// plans for equal that differ by less than a hundredth.
const KEY_GAIN: f64 = 1.0;
const KEY_GAIN_SHARE: f64 = 0.0005;
/// An index that grows by so many times its size by columns that are only carried along must make its statement cheaper by
/// this part for each.
const GAIN_FOR_GROWTH: f64 = 0.25;
/// Where an index that is there does for all but this part of one statement and that part of the workload, as both are when the rest
/// of the set is built, nobody builds it anew with something more.
const REBUILD_GAIN_SHARE: f64 = 0.1;
const REBUILD_WORKLOAD_SHARE: f64 = 0.001;

impl<P: Planner> Selection<'_, P> {
    /// Whether one statement at least is so much cheaper with a candidate that an index for that is worth its name; the workload,
    /// too, where it would stand in the place of one that is there.
    fn is_worth_it(&self, candidate: usize, with: &FixedBitSet, without: &FixedBitSet) -> bool {
        let problem = self.problem;
        let is_rebuild = problem.rebuilds.contains(candidate);
        let least_share = match is_rebuild {
            true => REBUILD_GAIN_SHARE.max(problem.least_gain_share),
            false => problem.least_gain_share,
        };
        let gain = |known: &Known| known.estimate(without) - known.estimate(with);
        let is_enough =
            |known: &Known| gain(known) >= problem.least_gain.max(least_share * known.estimate(without));
        let is_noticed = || {
            let cost = self.reads(without);
            cost - self.reads(with) >= REBUILD_WORKLOAD_SHARE * cost
        };
        self.known.iter().any(is_enough) && (!is_rebuild || is_noticed())
    }

    /// The set without what nobody uses.
    pub(super) fn trimmed(&self, mut set: FixedBitSet) -> FixedBitSet {
        let mut candidates: Vec<usize> = set.ones().collect();
        candidates.sort_by(|a, b| self.problem.sizes[*b].total_cmp(&self.problem.sizes[*a]));
        let mut total = self.total(&set);
        for candidate in candidates {
            set.set(candidate, false);
            let without = self.total(&set);
            let is_worthless = || {
                let mut with = set.clone();
                with.insert(candidate);
                !self.is_worth_it(candidate, &with, &set)
            };
            match without <= total || is_worthless() {
                true => total = without,
                false => set.insert(candidate),
            }
        }
        set
    }

    /// The set with columns and keys left out that save hardly anything.
    pub(super) async fn narrowed(&mut self, mut set: FixedBitSet) -> Result<FixedBitSet, PostgresError> {
        let mut members: Vec<usize> = set.ones().collect();
        let size = |one: &usize| self.problem.sizes[*one];
        members.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        for mut member in members {
            let Problem { turned, narrower, .. } = self.problem;
            if let Some(other) = turned[member]
                && self.replace(member, other, &mut set).await?
            {
                member = other;
            }
            while let Some(other) = narrower[member] {
                if !self.replace(member, other, &mut set).await? {
                    break;
                }
                member = other;
                if let Some(other) = turned[member]
                    && self.replace(member, other, &mut set).await?
                {
                    member = other;
                }
            }
        }
        Ok(set)
    }

    /// Whether another index does in the place of one of the set; if so, it is there now.
    async fn replace(&mut self, one: usize, by: usize, set: &mut FixedBitSet) -> Result<bool, PostgresError> {
        let mut other = set.clone();
        other.set(one, false);
        other.insert(by);
        for statement in 0..self.known.len() {
            if self.known[statement]
                .facts
                .iter()
                .any(|fact| fact.uses.contains(&one))
            {
                self.ask(statement, &other).await?;
            }
        }
        let does = !self.is_missed(one, by, set, &other);
        if does {
            *set = other;
        }
        Ok(does)
    }

    /// Whether a statement loses more by having the narrower index than that is worth.
    fn is_missed(&self, wide: usize, narrow: usize, set: &FixedBitSet, narrowed: &FixedBitSet) -> bool {
        let problem = self.problem;
        let is_key = problem.carried[wide] == problem.carried[narrow]
            || problem.widths[wide] != problem.widths[narrow];
        let growth = problem.sizes[wide] / problem.sizes[narrow].max(1.0) - 1.0;
        self.known.iter().zip(&problem.costs).any(|(known, cost)| {
            let (before, after) = (known.estimate(set), known.estimate(narrowed));
            let loss = after - before;
            match is_key {
                true => loss > KEY_GAIN && loss > KEY_GAIN_SHARE * after,
                false => {
                    let is_much = loss > problem.least_gain_share * cost;
                    let is_worth_its_bytes =
                        loss > problem.least_gain && loss > GAIN_FOR_GROWTH * growth * after;
                    is_much || is_worth_its_bytes
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::solved_beside;

    #[test]
    fn an_index_that_is_there_is_not_built_anew_for_next_to_nothing() {
        // of two statements the second has no use for an index
        let solved = |cost_after: f64, other_cost: f64, rebuilds: &[usize]| {
            let plans = vec![
                vec![(vec![], 1000.0), (vec![0], cost_after)],
                vec![(vec![], other_cost)],
            ];
            solved_beside(plans, &[8.0], f64::INFINITY, 0.0, rebuilds).0
        };
        let none: Vec<usize> = Vec::new();
        assert_eq!(solved(970.0, 1000.0, &[]), [0], "a new one");
        assert_eq!(solved(970.0, 1000.0, &[0]), none);
        assert_eq!(solved(850.0, 1000.0, &[0]), [0]);
        assert_eq!(solved(500.0, 1e6, &[]), [0], "a new one");
        assert_eq!(solved(500.0, 1e6, &[0]), none, "the workload has nothing of it");
    }
}
