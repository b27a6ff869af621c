//! Every statement planned once more under the whole set, so that what is told is the planner's word; where the time is over, it
//! is what the planner said before.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::ready::Ready;
use super::selection::{Answer, Problem};
use super::what_if::WhatIf;
use crate::model::plan::PlanTree;
use crate::postgres::PostgresError;

/// What a statement costs with a set.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// The plan; `None` where it was not planned under the whole set.
    pub(super) tree: Option<PlanTree>,
}

/// What all statements cost with a set.
pub(super) struct Confirmed {
    /// In the order of the planned statements.
    pub(super) outcomes: Vec<Outcome>,
    /// The names that plans give to candidates.
    pub(super) names: BTreeMap<String, usize>,
}

impl Confirmed {
    /// How many statements were not planned under the whole set.
    pub(super) fn missing(&self) -> usize {
        self.outcomes.iter().filter(|one| one.tree.is_none()).count()
    }
}

/// Plans the costliest first, until it is to end.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn confirmed(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    problem: &Problem,
    set: &FixedBitSet,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<Confirmed, PostgresError> {
    let price = |one: &usize| problem.weights[*one] * problem.costs[*one];
    let mut order: Vec<usize> = (0..problem.costs.len()).collect();
    order.sort_by(|a, b| price(b).total_cmp(&price(a)).then(a.cmp(b)));
    let mut planned = BTreeMap::new();
    let mut names = BTreeMap::new();
    for statement in order {
        if is_over() {
            break;
        }
        let (answer, tree) = what_if.planned_under(statement, set).await?;
        // another session has other names
        names.extend(what_if.names());
        planned.insert(
            statement,
            Outcome {
                answer,
                tree: Some(tree),
            },
        );
    }
    let known = |statement: usize| Outcome {
        answer: ready.answers.under(
            statement,
            set,
            &problem.useful[statement],
            problem.costs[statement],
        ),
        tree: None,
    };
    let outcomes = (0..problem.costs.len()).map(|one| planned.remove(&one).unwrap_or_else(|| known(one)));
    Ok(Confirmed {
        outcomes: outcomes.collect(),
        names,
    })
}
