//! A budget is kept by two measures: b-trees by what HypoPG says of them, which is what other tools count by, and all indexes
//! by what they will take once they are built. The first is always more, so that in its shadow there is room for the kinds that
//! HypoPG does not know.

use fixedbitset::FixedBitSet;

use super::ready::Ready;
use super::selection::{Problem, Selection};
use super::what_if::WhatIf;
use crate::postgres::PostgresError;

/// Parts of that room that are tried, the largest first.
const PARTS: [f64; 2] = [1.0, 0.5];
/// Less of the budget is no room.
const LEAST_ROOM: f64 = 0.01;

/// What sizes are by the two measures.
struct Sizes<'a> {
    ready: &'a Ready,
    problem: &'a Problem,
    built: Vec<Option<f64>>,
}

impl Sizes<'_> {
    /// Of those of a set that HypoPG knows, and of the others.
    fn hypothetical(&self, set: &FixedBitSet) -> (f64, f64) {
        let (unknown, known): (Vec<usize>, Vec<usize>) = set
            .ones()
            .partition(|one| self.ready.estimated_sizes.contains_key(one));
        let sum = |members: Vec<usize>| members.into_iter().map(|one| self.problem.sizes[one]).sum();
        (sum(known), sum(unknown))
    }

    fn built(&self, set: &FixedBitSet) -> f64 {
        set.ones().map(|one| self.built[one].unwrap_or(0.0)).sum()
    }

    fn are_within_budget(&self, set: &FixedBitSet) -> bool {
        let budget = self.problem.budget_bytes;
        self.hypothetical(set).0 <= budget && self.built(set) <= budget
    }

    /// By how much a set of this kind may be larger.
    fn room(&self, set: &FixedBitSet) -> f64 {
        let (_, unknown) = self.hypothetical(set);
        unknown.min(self.problem.budget_bytes - self.built(set))
    }
}

/// The set that is worth most within the budget.
///
/// # Errors
/// If the planner cannot be asked.
pub(super) async fn best_within(
    ready: &Ready,
    problem: &Problem,
    what_if: &mut WhatIf<'_>,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(usize) + Sync),
) -> Result<FixedBitSet, PostgresError> {
    let at_first = what_if.calls;
    let set = Selection::new(problem, what_if, stop, progress).run().await?;
    let taken = what_if.calls - at_first;
    let sizes = Sizes {
        ready,
        problem,
        built: ready.built_sizes(problem),
    };
    let room = sizes.room(&set);
    if !problem.budget_bytes.is_finite() || room < LEAST_ROOM * problem.budget_bytes {
        return Ok(set);
    }
    for part in PARTS {
        let asked = what_if.calls - at_first;
        let wider = Problem {
            budget_bytes: problem.budget_bytes + part * room,
            calls: problem.calls.saturating_sub(asked),
            ..problem.clone()
        };
        // a search that ends early may find less
        if wider.calls < 2 * taken || stop() {
            break;
        }
        let progress = |more: usize| progress(asked + more);
        let other = Selection::new(&wider, what_if, stop, &progress).run().await?;
        if sizes.are_within_budget(&other) {
            return Ok(other);
        }
    }
    Ok(set)
}
