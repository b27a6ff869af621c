//! Statements that stop reading at a LIMIT, priced by values. How far such a plan reads hangs on how many rows pass what else is
//! asked, and for a parameter nobody knows (see [`early_stop`](super::early_stop)); but for a common, a median and a rare value
//! that statistics tell of the planner does. Where a plan in general rests on rows that are found early, the statement costs
//! what it costs on the average of these, before and after: an order that an index keeps is worth much for `amount > $1`, and
//! nothing for the one state of which there are hardly any rows.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::early_stop::{self, EarlyStop};
use super::gate::Gate;
use super::ready::Ready;
use super::values;
use super::what_if::{Planned, WhatIf};
use crate::limits;
use crate::model::plan::PlanTree;
use crate::postgres::{Parameters, Plan, PostgresError, ServerText};

/// A plan that costs no more than so many times the best one for a value is no trap for it.
const NEARLY: f64 = 1.25;

/// Values of all parameters, `None` for NULL.
pub(super) type Values = Vec<Option<String>>;

/// The average of what a statement costs for values, if each of their plans reads these new indexes, which the plan in general
/// reads; `None` if one does not, for the plan in general would all the same, or if no values are known.
pub(super) fn average(lucky: &BTreeSet<&str>, each: &[PlanTree]) -> Option<f64> {
    let sum: f64 = each.iter().map(PlanTree::total_cost).sum();
    let all_read = each.iter().all(|tree| reads_all(lucky, tree));
    (!each.is_empty() && all_read).then(|| sum / each.len() as f64)
}

/// Whether a plan reads all of these indexes.
fn reads_all(indexes: &BTreeSet<&str>, tree: &PlanTree) -> bool {
    let nodes = tree.nodes();
    let read: BTreeSet<&str> = nodes.iter().filter_map(|node| node.index.as_deref()).collect();
    indexes.is_subset(&read)
}

/// Whether each of these plans is hardly dearer than the other for the same values.
fn is_nearly_as_good(each: &[PlanTree], others: &[PlanTree]) -> bool {
    each.iter()
        .zip(others)
        .all(|(tree, other)| tree.total_cost() <= NEARLY * other.total_cost())
}

/// What a plan costs, by the values of its statement where it rests on rows that an index finds early.
pub(super) struct Priced<'tree> {
    /// For parameters in general, or on the average of the values where that is more.
    pub(super) cost: f64,
    /// The candidates that plans for the values read, as far as those were asked for.
    pub(super) used: FixedBitSet,
    /// By what new indexes it may find rows early, if for some value the planner would not read them, or none is known: nothing
    /// is to be promised of that.
    pub(super) trap: Option<EarlyStop<'tree>>,
}

impl Planned {
    /// What it costs as things are: for parameters in general, or on the average of values where that says more.
    pub(super) fn cost(&self) -> f64 {
        self.cost_by_values.unwrap_or_else(|| self.tree.total_cost())
    }

    /// Whether it stops reading when it has enough rows.
    pub(super) fn has_limit(&self) -> bool {
        self.tree.nodes().iter().any(|node| node.kind == "Limit")
    }
}

impl WhatIf<'_> {
    /// The plans for the values that a statement is priced by; none if one of them is not to be had, for an average of the others says
    /// nothing beside that of all.
    ///
    /// # Errors
    /// If the session is lost, and no other is to be had.
    pub(super) async fn plans_for_values(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
    ) -> Result<Vec<PlanTree>, PostgresError> {
        self.plans_for_values_in(statement, set, None).await
    }

    /// The same in other words, if there are any.
    async fn plans_for_values_in(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
        other_words: Option<&ServerText>,
    ) -> Result<Vec<PlanTree>, PostgresError> {
        let mut each = Vec::new();
        for values in self.values_of(statement) {
            let parameters = Parameters::Values(values);
            self.calls += usize::from(set.is_clear());
            let Some(tree) = self.tree_for(statement, set, other_words, parameters).await? else {
                return Ok(Vec::new());
            };
            each.push(tree);
        }
        Ok(each)
    }

    /// What a statement costs with this plan of it under a set, in other words if there are any.
    ///
    /// # Errors
    /// If the session is lost, and no other is to be had.
    pub(super) async fn priced<'tree>(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
        other_words: Option<&ServerText>,
        tree: &'tree PlanTree,
    ) -> Result<Priced<'tree>, PostgresError> {
        let tables = self.tables();
        // of indexes that are there it counts only where values tell more
        let there = |name: &str| match self.values_of(statement).is_empty() {
            true => None,
            false => tables.keys_of_index(name),
        };
        let early = early_stop::of(tree, &|name| self.keys_of(name).or_else(|| there(name)));
        let in_general = Priced {
            cost: tree.total_cost(),
            used: FixedBitSet::new(),
            trap: None,
        };
        if early.by_luck.is_empty() {
            return Ok(in_general);
        }
        let lucky = early.by_luck.keys().copied();
        let new: BTreeSet<&str> = lucky.filter(|name| self.keys_of(name).is_some()).collect();
        let each = self.plans_for_values_in(statement, set, other_words).await?;
        let mut used = self.used_by_all(&each);
        let mut known = average(&new, &each);
        let read = self.used_by(tree);
        let by_another = |one: &PlanTree| reads_all(&new, one) || !self.used_by(one).is_subset(&read);
        if known.is_none() && !each.is_empty() && each.iter().all(by_another) {
            // the plan in general reads these alone for every value, also where another index of the set serves one a little better
            let alone = self.plans_for_values_in(statement, &read, other_words).await?;
            known = average(&new, &alone).filter(|_| is_nearly_as_good(&alone, &each));
            if known.is_some() {
                used = self.used_by_all(&alone);
            }
        }
        Ok(Priced {
            cost: known.map_or(in_general.cost, |average| in_general.cost.max(average)),
            used,
            // statistics that tell nothing are no trap in what is there
            trap: (known.is_none() && !new.is_empty()).then_some(early),
        })
    }
}

/// Finds values of the parameters of statements with a LIMIT: in whatever words these are planned, they are priced by them.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn learn_values(plan: &Plan, ready: &mut Ready) -> Result<(), PostgresError> {
    let limited = ready.planned.iter().enumerate();
    let limited = limited.filter(|(_, one)| one.has_parameters && one.has_limit());
    let limited: Vec<usize> = limited
        .map(|(number, _)| number)
        .take(limits::STATEMENTS_WITH_VALUES)
        .collect();
    match values::of_statements(plan, &ready.planned, &limited).await {
        Ok(known) => {
            for (number, values) in known {
                ready.planned[number].values = values;
            }
        }
        Err(error) if error.is_fatal() => return Err(error),
        // statistics that cannot be read just now tell nothing
        Err(_) => {}
    }
    Ok(())
}

/// Prices those statements by their values whose present plan rests on rows that an index finds early, until it is to end or so
/// many questions were asked; and how often that was. The others of these forget their values: what is priced by them later would be
/// compared with the plan in general.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn price_by_values(
    plan: &Plan,
    gate: &mut Gate,
    ready: &mut Ready,
    most_calls: usize,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<usize, PostgresError> {
    let estimated: BTreeSet<usize> = ready.estimates.iter().map(|(statement, ..)| *statement).collect();
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables);
    let mut costs = BTreeMap::new();
    let mut unpriced = Vec::new();
    for (number, planned) in ready.planned.iter().enumerate() {
        if planned.values.is_empty() {
            continue;
        }
        let keys = |name: &str| ready.tables.keys_of_index(name);
        if early_stop::of(&planned.tree, &keys).by_luck.is_empty() {
            continue;
        }
        // what is estimated is estimated of the plan in general
        let is_estimated = estimated.contains(&number);
        if is_estimated || what_if.calls + planned.values.len() > most_calls || is_over() {
            unpriced.push(number);
            continue;
        }
        let none = FixedBitSet::with_capacity(ready.candidates.len());
        let each = what_if.plans_for_values(number, &none).await?;
        match average(&BTreeSet::new(), &each) {
            Some(cost) => _ = costs.insert(number, cost.max(planned.tree.total_cost())),
            None => unpriced.push(number),
        }
    }
    what_if.end().await?;
    let calls = what_if.calls;
    for number in unpriced {
        ready.planned[number].values = Vec::new();
    }
    for (number, cost) in costs {
        ready.planned[number].cost_by_values = Some(cost);
        let position = ready.positions[number];
        ready.statements[position].cost_before = Some(cost);
        ready.statements[position].is_priced_by_values = true;
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree(index: Option<&str>, cost: f64) -> PlanTree {
        let mut scan = json!({"Node Type": "Seq Scan", "Relation Name": "t", "Total Cost": cost});
        if let Some(index) = index {
            scan["Node Type"] = json!("Index Scan");
            scan["Index Name"] = json!(index);
        }
        PlanTree::read(&json!([{ "Plan": scan }])).unwrap()
    }

    #[test]
    fn what_is_hardly_dearer_than_the_best_is_no_trap() {
        let best = [tree(Some("new"), 2.0), tree(Some("other"), 536.0)];
        let nearly = [tree(Some("new"), 2.0), tree(Some("new"), 583.0)];
        assert!(is_nearly_as_good(&nearly, &best));
        let walk = [tree(Some("new"), 2.0), tree(Some("new"), 10_000.0)];
        assert!(!is_nearly_as_good(&walk, &best));
    }

    #[test]
    fn what_every_value_is_read_by_is_no_trap() {
        let lucky = BTreeSet::from(["new"]);
        let all = [tree(Some("new"), 2.0), tree(Some("new"), 10.0)];
        assert_eq!(average(&lucky, &all), Some(6.0));
        // for the second value the planner would not read it, but a plan for all does
        let one = [tree(Some("new"), 2.0), tree(None, 400.0)];
        assert_eq!(average(&lucky, &one), None);
        assert_eq!(average(&lucky, &[]), None, "nobody knows");
        // an index that is there is nobody's promise
        assert_eq!(average(&BTreeSet::new(), &one), Some(201.0));
    }
}
