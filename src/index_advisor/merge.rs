//! Two indexes of a set made one where that costs hardly more: of those that begin with the same keys and carry other columns
//! along the planner takes for each statement the smaller one, and would never choose the one that serves both.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::gate::Gate;
use super::ready::Ready;
use super::selection::Problem;
use super::what_if::WhatIf;
use crate::limits;
use crate::postgres::{Plan, PostgresError};

/// What the workload may lose by one index less, as part of what it costs as things are.
const BEARABLE_LOSS: f64 = 0.002;

/// The set with what can be made one made one, and how often the planner was asked for that. The sizes of new candidates are
/// added to `sizes`.
///
/// # Errors
/// If the session is lost.
pub(super) async fn merge(
    plan: &Plan,
    gate: &mut Gate,
    ready: &mut Ready,
    sizes: &mut Vec<Option<f64>>,
    problem: &Problem,
    mut set: FixedBitSet,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(FixedBitSet, usize), PostgresError> {
    let bearable = BEARABLE_LOSS
        * problem
            .weights
            .iter()
            .zip(&problem.costs)
            .map(|(a, b)| a * b)
            .sum::<f64>();
    let mut tried: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut calls = 0;
    while let Some((one, other, both)) = next_pair(ready, &set, &tried) {
        if stop() {
            break;
        }
        tried.insert((one, other));
        let number = ready.number_of(both);
        if number == sizes.len() {
            let definition = ready.candidates[number].hypothetical();
            let made = plan.create_hypothetical(&[definition]).await?;
            sizes.push(made.into_iter().next().flatten().map(|index| index.size_bytes));
            plan.reset_hypothetical().await?;
        }
        set.grow(sizes.len());
        let (Some(size), Some(together)) = (sizes[number], sizes[one].zip(sizes[other])) else {
            continue;
        };
        if size > together.0 + together.1 {
            continue;
        }
        let mut merged = set.clone();
        merged.set(one, false);
        merged.set(other, false);
        merged.insert(number);
        let table = &ready.candidates[number];
        let readers: Vec<usize> = (0..ready.planned.len())
            .filter(|statement| {
                let nodes = ready.planned[*statement].tree.nodes();
                nodes.iter().any(|node| {
                    let names = (node.schema.as_deref(), node.relation.as_deref());
                    let read = names
                        .0
                        .zip(names.1)
                        .and_then(|(schema, name)| ready.tables.get(schema, name));
                    read.is_some_and(|read| {
                        (&read.name.schema, &read.name.name) == (&table.schema, &table.table)
                    })
                })
            })
            .collect();
        let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates);
        let mut loss = 0.0;
        for (sign, set) in [(-1.0, &set), (1.0, &merged)] {
            let mut provable = set.clone();
            problem
                .estimates
                .iter()
                .for_each(|estimate| provable.set(estimate.candidate, false));
            for statement in &readers {
                let (answer, _) = what_if.planned_under(*statement, &provable).await?;
                loss += sign * problem.weights[*statement] * answer.cost;
            }
        }
        calls += what_if.calls;
        let is_planned = what_if.unplannable().is_empty();
        what_if.end().await?;
        if is_planned && loss <= bearable {
            set = merged;
        }
    }
    Ok((set, calls))
}

/// Two of a set that could be one, and that one.
fn next_pair(
    ready: &Ready,
    set: &FixedBitSet,
    tried: &BTreeSet<(usize, usize)>,
) -> Option<(usize, usize, Candidate)> {
    let pairs = set
        .ones()
        .flat_map(|one| set.ones().map(move |other| (one, other)));
    let fresh = pairs.filter(|pair| pair.0 != pair.1 && !tried.contains(pair));
    let mut merged = fresh.filter_map(|(one, other)| {
        let both = ready.candidates[one].merged(&ready.candidates[other])?;
        Some((one, other, both))
    });
    merged.next()
}

impl Candidate {
    /// One index that serves what this one and another do: this one's keys come first in the other, and what both carry along
    /// comes along.
    fn merged(&self, other: &Self) -> Option<Self> {
        let same = (&self.schema, &self.table, self.method, &self.predicate)
            == (&other.schema, &other.table, other.method, &other.predicate);
        if !same || self.method != "btree" || !other.keys.starts_with(&self.keys) {
            return None;
        }
        let mut include: BTreeSet<String> = self.include.iter().chain(&other.include).cloned().collect();
        include.retain(|column| !other.keys.iter().any(|key| key.is_column(column)));
        (include.len() <= limits::INCLUDED_COLUMNS).then(|| Self {
            include: include.into_iter().collect(),
            ..other.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::clauses::Key;

    #[test]
    fn the_longer_one_takes_along_what_the_shorter_one_has() {
        let index = |keys: &[&str], include: &[&str]| Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: keys
                .iter()
                .map(|key| IndexKey::from(Key::Column((*key).into())))
                .collect(),
            include: include.iter().map(ToString::to_string).collect(),
            predicate: None,
        };
        let merged = |one: &Candidate, other: &Candidate| {
            one.merged(other).map(|both| {
                both.hypothetical()
                    .replace("CREATE INDEX ON s.t USING btree ", "")
            })
        };
        let (a, ab) = (index(&["a"], &["x", "b"]), index(&["a", "b"], &["y"]));
        assert_eq!(merged(&a, &ab).as_deref(), Some("(a, b) INCLUDE (x, y)"));
        assert_eq!(merged(&ab, &a), None);
        assert_eq!(merged(&index(&["b"], &[]), &ab), None);
        let partial = Candidate {
            predicate: Some("x".into()),
            ..a.clone()
        };
        assert_eq!(merged(&partial, &ab), None);
    }
}
