//! Drops that are rehearsed: existing indexes are hidden from the planner (`hypopg_hide_index`, HypoPG 1.4), one more each
//! time, and the statements that took them are planned again. What no plan takes needs no rehearsal: the planner would choose
//! the same plan without it.

use fixedbitset::FixedBitSet;

use super::advice::StatementAdvice;
use super::what_if::{Planned, WhatIf};
use crate::limits;
use crate::model::advice::{Droppable, Rehearsal};
use crate::model::plan::PlanTree;
use crate::postgres::{Plan, PostgresError};

/// Part of its cost by which a statement must become dearer to count: the planner itself takes plans for equal that differ by
/// less.
const DEARER: f64 = 1.01;

/// Rehearses the drop of each of these indexes, those before it gone already unless a statement needs them.
///
/// # Errors
/// If the session is lost.
pub(super) async fn rehearse(
    plan: &Plan,
    what_if: &mut WhatIf<'_>,
    planned: &[Planned],
    told: &[&StatementAdvice],
    drops: &[Droppable],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<(Droppable, Rehearsal)>, PostgresError> {
    let can_hide = plan.hypothetical().is_some_and(|hypopg| hypopg.can_hide);
    let mut latest: Vec<PlanTree> = planned.iter().map(|one| one.tree.clone()).collect();
    let mut gone: Vec<u32> = Vec::new();
    let mut rehearsed = Vec::new();
    for index in drops {
        let takers: Vec<usize> = (0..latest.len())
            .filter(|one| latest[*one].takes(&index.schema, &index.name))
            .collect();
        let outcome = if latest.is_empty() {
            Rehearsal::Unknown("no statement could be planned".to_owned())
        } else if takers.is_empty() {
            Rehearsal::Untouched {
                statements: latest.len(),
            }
        } else if !can_hide {
            Rehearsal::Unknown("HypoPG before 1.4 cannot hide an index that is there".to_owned())
        } else if stop() {
            Rehearsal::Unknown("the time was over".to_owned())
        } else if takers.len() > limits::REHEARSED_STATEMENTS {
            let count = takers.len();
            Rehearsal::Unknown(format!(
                "{count} statements take it, too many to plan all of them again"
            ))
        } else {
            plan.hide_indexes(&[&gone[..], &[index.oid]].concat()).await?;
            let without = planned_again(what_if, planned, told, &takers, stop).await?;
            plan.reset_hypothetical().await?;
            match without {
                Ok(trees) => {
                    let statements = takers.len();
                    takers
                        .into_iter()
                        .zip(trees)
                        .for_each(|(one, tree)| latest[one] = tree);
                    Rehearsal::Spared { statements }
                }
                Err(outcome) => outcome,
            }
        };
        if matches!(outcome, Rehearsal::Untouched { .. } | Rehearsal::Spared { .. }) {
            gone.push(index.oid);
        }
        rehearsed.push((index.clone(), outcome));
    }
    Ok(rehearsed)
}

/// The plans of these statements as things are now, or why the index that was just hidden is to stay.
async fn planned_again(
    what_if: &mut WhatIf<'_>,
    planned: &[Planned],
    told: &[&StatementAdvice],
    statements: &[usize],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Result<Vec<PlanTree>, Rehearsal>, PostgresError> {
    let mut trees = Vec::new();
    for one in statements {
        if stop() {
            return Ok(Err(Rehearsal::Unknown("the time was over".to_owned())));
        }
        let (answer, tree) = what_if.planned_under(*one, &FixedBitSet::new()).await?;
        if what_if.unplannable().contains(one) {
            let why = "a statement could not be planned again without it";
            return Ok(Err(Rehearsal::Unknown(why.to_owned())));
        }
        let cost_with = planned[*one].tree.total_cost();
        if answer.cost > cost_with * DEARER {
            return Ok(Err(Rehearsal::Needed {
                statement_id: told[*one].statement_id.clone(),
                cost_with,
                cost_without: answer.cost,
            }));
        }
        trees.push(tree);
    }
    Ok(Ok(trees))
}
