//! Drops that are rehearsed: existing indexes are hidden from the planner (`hypopg_hide_index`, HypoPG 1.4), one more each
//! time, and the statements that took them are planned again, for parameters in general and for particular values. What no plan
//! takes needs no rehearsal: the planner would choose the same plan without it.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use super::advice::StatementAdvice;
use super::trials::{Trial, Trials};
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
/// If the session is lost, and no other is to be had.
pub(super) async fn rehearse(
    plan: &Plan,
    what_if: &mut WhatIf<'_>,
    planned: &[Planned],
    told: &[&StatementAdvice],
    drops: &[Droppable],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<(Droppable, Rehearsal)>, PostgresError> {
    if drops.is_empty() {
        return Ok(Vec::new());
    }
    plan.keep_open().await?;
    let Trials { all, doubts } = Trials::of(plan, what_if, planned, drops, stop).await?;
    let mut rehearsing = Rehearsing {
        plan,
        what_if,
        planned,
        statement_ids: told.iter().map(|one| one.statement_id.as_str()).collect(),
        set: &FixedBitSet::new(),
        trials: all,
        gone: Vec::new(),
        most_calls: usize::MAX,
        stop,
    };
    let mut rehearsed = Vec::new();
    for index in drops {
        let outcome = rehearsing
            .without(std::slice::from_ref(index), doubts.get(&index.oid))
            .await?;
        rehearsed.push((index.clone(), outcome));
    }
    Ok(rehearsed)
}

/// Indexes that go one after the other, and the plans that show which of them are taken.
pub(super) struct Rehearsing<'a, 'w> {
    pub(super) plan: &'a Plan,
    pub(super) what_if: &'a mut WhatIf<'w>,
    pub(super) planned: &'a [Planned],
    pub(super) statement_ids: Vec<&'a str>,
    /// Candidates that are there meanwhile.
    pub(super) set: &'a FixedBitSet,
    pub(super) trials: Vec<Trial>,
    /// OIDs of those that went.
    pub(super) gone: Vec<u32>,
    /// How often the planner may be asked with candidates in all.
    pub(super) most_calls: usize,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Rehearsing<'_, '_> {
    /// What comes of dropping one more index, which plans know by these names; it goes if no statement needs it, and there is no
    /// doubt of that.
    ///
    /// # Errors
    /// If the session is lost, and no other is to be had.
    pub(super) async fn without(
        &mut self,
        index: &[Droppable],
        doubt: Option<&Rehearsal>,
    ) -> Result<Rehearsal, PostgresError> {
        let takers: Vec<usize> = (0..self.trials.len())
            .filter(|one| self.trials[*one].takes(index))
            .collect();
        let statements = self.statements(&takers);
        let outcome = if self.trials.is_empty() {
            Rehearsal::Unknown("no statement could be planned".to_owned())
        } else if takers.is_empty() {
            let all: Vec<usize> = (0..self.trials.len()).collect();
            Rehearsal::Untouched {
                statements: self.statements(&all),
            }
        } else if self.plan.hypothetical().is_none_or(|hypopg| !hypopg.can_hide) {
            let why = "this HypoPG cannot hide an index that is there: HypoPG 1.4 can";
            Rehearsal::Unknown(why.to_owned())
        } else if (self.stop)() {
            Rehearsal::LeftOut
        } else if statements > limits::REHEARSED_STATEMENTS {
            Rehearsal::Unknown(format!(
                "{statements} statements take it, too many to plan all of them again"
            ))
        } else if !self.set.is_clear() && self.what_if.calls + takers.len() > self.most_calls {
            Rehearsal::Unknown("the planner was asked often enough before".to_owned())
        } else {
            self.hidden(index, &takers).await?
        };
        let is_spared = matches!(outcome, Rehearsal::Untouched { .. } | Rehearsal::Spared { .. });
        match doubt {
            Some(doubt) if is_spared => Ok(doubt.clone()),
            _ => {
                self.gone
                    .extend(index.iter().filter(|_| is_spared).map(|part| part.oid));
                Ok(outcome)
            }
        }
    }

    /// Of how many statements these plans are.
    fn statements(&self, trials: &[usize]) -> usize {
        let of: BTreeSet<usize> = trials.iter().map(|one| self.trials[*one].statement).collect();
        of.len()
    }

    /// The same for an index that these plans take.
    async fn hidden(&mut self, index: &[Droppable], takers: &[usize]) -> Result<Rehearsal, PostgresError> {
        self.plan.keep_open().await?;
        let generation = self.plan.generation();
        let mut oids = self.gone.clone();
        oids.extend(index.iter().map(|part| part.oid));
        self.plan.hide_indexes(&oids).await?;
        let without = self.planned_again(takers).await?;
        self.what_if.end().await?;
        let trees = match without {
            // another session hides nothing
            _ if self.plan.generation() != generation => {
                let why = "the session in which it was hidden was lost";
                return Ok(Rehearsal::Unknown(why.to_owned()));
            }
            Ok(trees) => trees,
            Err(outcome) => return Ok(outcome),
        };
        for (one, tree) in takers.iter().zip(trees) {
            self.trials[*one].tree = tree;
        }
        Ok(Rehearsal::Spared {
            statements: self.statements(takers),
        })
    }

    /// The plans of these statements as things are now, or why the index that was just hidden is to stay.
    async fn planned_again(
        &mut self,
        trials: &[usize],
    ) -> Result<Result<Vec<PlanTree>, Rehearsal>, PostgresError> {
        let mut trees = Vec::new();
        for one in trials {
            if (self.stop)() {
                return Ok(Err(Rehearsal::LeftOut));
            }
            let trial = &self.trials[*one];
            let Some(tree) = trial.planned(self.what_if, self.planned, self.set).await? else {
                let why = "a statement could not be planned again without it";
                return Ok(Err(Rehearsal::Unknown(why.to_owned())));
            };
            if tree.total_cost() > trial.cost_with * DEARER {
                return Ok(Err(Rehearsal::Needed {
                    statement_id: self.statement_ids[trial.statement].to_owned(),
                    cost_with: trial.cost_with,
                    cost_without: tree.total_cost(),
                }));
            }
            trees.push(tree);
        }
        Ok(Ok(trees))
    }
}
