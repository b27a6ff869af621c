//! A set made wider where the planner's average hides what the commonest values cost: where an index finds the rows of a statement as
//! cheaply as one with a further key, the planner takes either, and for values that are far more common than others it is not the
//! same.

use fixedbitset::FixedBitSet;

use super::{Planner, Selection};
use crate::postgres::PostgresError;

/// An index in the place of which a statement should have another one, for the sake of the commonest values.
#[derive(Clone, Debug, PartialEq)]
pub struct Skew {
    /// The statement.
    pub statement: usize,
    /// The index that finds many rows of the commonest values.
    pub narrow: usize,
    /// The same with further keys, which finds hardly any.
    pub wide: usize,
    /// What that saves these values in one call, in the planner's units.
    pub saved: f64,
    /// The part of the rows, 0 to 1, that have the commonest values: of the calls, too, as far as anybody knows.
    pub share: f64,
}

/// Planner's units and part of its cost by which any statement may become dearer for that: the planner itself takes plans for
/// equal that differ by a hundredth.
const BEARABLE: f64 = 1.0;
const BEARABLE_PART: f64 = 0.01;

impl<P: Planner> Selection<'_, P> {
    /// The set with further keys where the commonest values need them.
    pub(super) async fn widened(&mut self, mut set: FixedBitSet) -> Result<FixedBitSet, PostgresError> {
        let problem = self.problem;
        for skew in &problem.skewed {
            if !set.contains(skew.narrow) || set.contains(skew.wide) || !self.takes(skew, &set) {
                continue;
            }
            let mut other = set.clone();
            other.set(skew.narrow, false);
            other.insert(skew.wide);
            let more_upkeep = problem.upkeep[skew.wide] - problem.upkeep[skew.narrow];
            let is_paid = more_upkeep <= problem.weights[skew.statement] * skew.share * skew.saved;
            if !is_paid || self.size(&other) > problem.budget_bytes {
                continue;
            }
            for statement in 0..self.known.len() {
                let facts = &self.known[statement].facts;
                if facts.iter().any(|fact| fact.uses.contains(&skew.narrow)) {
                    self.ask(statement, &other).await?;
                }
            }
            // what does not pay for its writes is left out in the end, and the narrow one would be gone with it
            let is_kept = self.trimmed(other.clone()).contains(skew.wide);
            if is_kept && self.is_as_good(&other, &set) {
                set = other;
            }
        }
        Ok(set)
    }

    /// Whether the best plan that is known of the statement under a set reads the narrower index.
    fn takes(&self, skew: &Skew, set: &FixedBitSet) -> bool {
        let known = &self.known[skew.statement];
        let cost = known.estimate(set);
        let mut best = known
            .facts
            .iter()
            .filter(|fact| fact.cost <= cost && fact.is_possible(set));
        best.any(|fact| fact.uses.contains(&skew.narrow))
    }

    /// Whether no statement is dearer by more than next to nothing under one set than under another.
    fn is_as_good(&self, one: &FixedBitSet, other: &FixedBitSet) -> bool {
        self.known.iter().all(|known| {
            let (cost, before) = (known.estimate(one), known.estimate(other));
            cost - before <= BEARABLE.max(BEARABLE_PART * before)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::solved_as;
    use super::*;
    use crate::index_advisor::selection::Problem;

    #[test]
    fn a_further_key_is_there_for_the_commonest_values() {
        // for the planner the second index is no better than the first; another statement has but the first keys
        let of = |other: f64, change: &dyn Fn(&mut Problem)| {
            let plans = vec![
                vec![(vec![], 10_000.0), (vec![0], 8.0), (vec![1], 8.0)],
                vec![(vec![], 10_000.0), (vec![0], 20.0), (vec![1], other)],
            ];
            solved_as(plans, &[2e6, 3e6], |problem| {
                problem.skewed = vec![Skew {
                    statement: 0,
                    narrow: 0,
                    wide: 1,
                    saved: 300.0,
                    share: 0.8,
                }];
                change(problem);
            })
            .0
        };
        assert_eq!(of(20.9, &|_| {}), [1]);
        assert_eq!(of(20.9, &|problem| problem.skewed.clear()), [0]);
        assert_eq!(of(60.0, &|_| {}), [0], "the other would be dearer");
        assert_eq!(
            of(20.9, &|problem| problem.budget_bytes = 2.5e6),
            [0],
            "it is too large"
        );
        assert_eq!(
            of(20.9, &|problem| problem.upkeep[1] = 400.0),
            [0],
            "it costs more in writes"
        );
        assert_eq!(of(20.9, &|problem| problem.upkeep[1] = 230.0), [1]);
        assert_eq!(
            of(20.9, &|problem| problem.upkeep[1] = 270.0),
            [0],
            "not each call asks for the commonest values"
        );
        assert_eq!(
            of(20.9, &|problem| problem.upkeep = vec![19_900.0, 20_100.0]),
            [0],
            "it would cost more in writes than any saves"
        );
    }
}
