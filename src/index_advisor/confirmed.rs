//! Every statement planned once more under the whole set, so that what is told is the planner's word; where the time is over, it
//! is what the planner said before. A set for which HypoPG has no room is there for each statement as far as it is useful to it.
//! Where the planner takes an index of others that would serve a statement by luck alone, it is asked once more without that, as it
//! was during the search: what the statement needs is worth its place all the same.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::ready::Ready;
use super::selection::{Answer, Problem};
use super::what_if::WhatIf;
use crate::model::plan::PlanTree;
use crate::postgres::PostgresError;

/// So often each is asked again without what would serve it by luck alone: what else would is seen then.
const WITHOUT_LUCK: usize = 3;

/// What a statement costs with a set.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// The plan; `None` where it was not planned under the whole set.
    pub(super) tree: Option<PlanTree>,
    /// Whether that is the plan without what would serve it by luck alone, for under the whole set it would be read by that.
    pub(super) is_without_luck: bool,
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

    /// The statements that are served beside an index of others that would serve them by luck alone.
    pub(super) fn without_luck(&self) -> BTreeSet<usize> {
        let numbered = self.outcomes.iter().enumerate();
        let served = numbered.filter(|(_, one)| one.is_without_luck);
        served.map(|(statement, _)| statement).collect()
    }
}

/// Plans the costliest first, until it is to end; more than once as long as fewer than `most_calls` were asked in all and each of the
/// others still has its turn. Beside what they cost: those that could not be planned.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn confirmed(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    problem: &Problem,
    set: &FixedBitSet,
    most_calls: usize,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<(Confirmed, BTreeSet<usize>), PostgresError> {
    let price = |one: &usize| problem.weights[*one] * problem.costs[*one];
    let mut order: Vec<usize> = (0..problem.costs.len()).collect();
    order.sort_by(|a, b| price(b).total_cmp(&price(a)).then(a.cmp(b)));
    let mut planned = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut unplannable = BTreeSet::new();
    // each may be asked for its values, too
    let questions = |one: usize| 1 + ready.planned[one].values.len();
    let mut kept: usize = order.iter().map(|one| questions(*one)).sum();
    for statement in order {
        if is_over() {
            break;
        }
        let mut own = ready.shown(set, &problem.useful[statement]);
        let mut outcome = outcome(what_if, statement, &own, &mut names).await?;
        kept -= questions(statement);
        if what_if.unplannable().contains(&statement) {
            unplannable.insert(statement);
            planned.insert(statement, outcome);
            continue;
        }
        for _ in 0..WITHOUT_LUCK {
            let Some(rest) = what_if.without_luck(statement, &own) else {
                break;
            };
            let is_too_dear = what_if.calls + questions(statement) + kept > most_calls;
            if rest.is_disjoint(&problem.useful[statement]) || is_too_dear || is_over() {
                break;
            }
            let surely = self::outcome(what_if, statement, &rest, &mut names).await?;
            // what was answered before holds all the same
            if what_if.unplannable().contains(&statement) {
                break;
            }
            if surely.answer.cost < outcome.answer.cost {
                outcome = Outcome {
                    is_without_luck: true,
                    ..surely
                };
            }
            own = rest;
        }
        planned.insert(statement, outcome);
    }
    let known = |statement: usize| known(ready, problem, set, statement);
    let outcomes = (0..problem.costs.len()).map(|one| planned.remove(&one).unwrap_or_else(|| known(one)));
    let confirmed = Confirmed {
        outcomes: outcomes.collect(),
        names,
    };
    Ok((confirmed, unplannable))
}

/// What was answered before of a statement under a set.
fn known(ready: &Ready, problem: &Problem, set: &FixedBitSet, statement: usize) -> Outcome {
    let useful = &problem.useful[statement];
    let cost = problem.costs[statement];
    Outcome {
        answer: ready.answers.under(statement, set, useful, cost),
        tree: None,
        is_without_luck: false,
    }
}

/// What a statement costs with these candidates in place. The names that plans give to them are added to `names`.
async fn outcome(
    what_if: &mut WhatIf<'_>,
    statement: usize,
    set: &FixedBitSet,
    names: &mut BTreeMap<String, usize>,
) -> Result<Outcome, PostgresError> {
    let (answer, tree) = what_if.planned_under(statement, set).await?;
    // another session has other names
    names.extend(what_if.names());
    Ok(Outcome {
        answer,
        tree: Some(tree),
        is_without_luck: false,
    })
}
