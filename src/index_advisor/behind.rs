//! Indexes on expressions and on parts of the rows: HypoPG (1.3.1 and 1.4.4, measured) reads their columns as those of the first
//! table of a statement, so that the planner takes none on any other table. So each statement is planned in `words` with their
//! table in front. Where several tables have some, that is done for one of them; with each of the others in front the statement is
//! planned with nothing else advised, and what comes of that is told as *estimated*. Where a table cannot be moved to the front,
//! below a view or in a subquery, its scans are planned alone, as are those of partitions; of what they do not ask, a join or an order, nothing can be told,
//! and that is said. Of these others a part that a constant picks, or a range, is not asked for: an index that begins with the
//! column, which the planner sees everywhere, does nearly the same, if it is larger.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::gate::Gate;
use super::ready::Ready;
use super::scan_alone::scans_alone;
use super::what_if::{Planned, WhatIf};
use super::words::choose_words;
use crate::model::remedy::qualified;
use crate::postgres::{Parameters, Plan, PostgresError, ServerText};
use crate::sql::{self, Place};

/// What a predicate asks that no b-tree on all rows is searched by.
const SEARCHED_BY_NONE: [&str; 5] = [
    " IS NOT NULL",
    " <> ",
    " IS DISTINCT FROM ",
    " IS NOT TRUE",
    " IS NOT FALSE",
];

/// What is not proven may cost this part of what is proven at most.
const CHEAPER: f64 = 0.9;

impl Candidate {
    /// Whether none that the planner sees everywhere does the same.
    fn has_no_equal(&self) -> bool {
        let predicate = self.predicate.as_deref().unwrap_or_default();
        let mut unsearched = SEARCHED_BY_NONE.iter();
        self.has_expressions() || unsearched.any(|words| predicate.contains(*words))
    }
}

/// What could serve a statement on one of its tables.
#[derive(Default)]
struct OnTable {
    /// Those that the planner sees wherever the table stands, and the others.
    seen: Vec<usize>,
    unseen: Vec<usize>,
    /// Whether there are others yet, each of which is a part of what is seen.
    has_parts: bool,
}

impl Ready {
    /// The candidates for a statement that are not seen, by schema and table, with those beside them.
    fn unseen_of(&self, statement: usize) -> BTreeMap<(&str, &str), OnTable> {
        let mut tables: BTreeMap<(&str, &str), OnTable> = BTreeMap::new();
        for one in &self.relevant[statement] {
            let candidate = &self.candidates[*one];
            let table = tables
                .entry((candidate.schema.as_str(), candidate.table.as_str()))
                .or_default();
            if candidate.has_no_equal() {
                table.unseen.push(*one);
            } else if candidate.predicate.is_none() {
                table.seen.push(*one);
            } else {
                table.has_parts = true;
            }
        }
        tables.retain(|_, table| table.has_parts || !table.unseen.is_empty());
        tables
    }

    /// Notes that nothing can be told of what HypoPG does not see on a table for a statement.
    fn leave_unseen(&mut self, statement: usize, table: String, told_of_it: &'static str) {
        let tables = self.unseen_tables.entry(statement).or_default();
        tables.insert(table, told_of_it);
    }

    /// These candidates as a set.
    pub(super) fn set_of(&self, members: &[usize]) -> FixedBitSet {
        let mut set = FixedBitSet::with_capacity(self.candidates.len());
        set.extend(members.iter().copied());
        set
    }

    /// Whether a candidate is for what begins with a parameter in some statement, which no generic plan shows.
    pub(super) fn is_for_a_beginning(&self, candidate: usize) -> bool {
        self.remarks.begun.iter().any(|(_, one)| *one == candidate)
    }

    /// Whether a candidate is priced for some statement with its table in front.
    pub(super) fn is_priced_in_front(&self, candidate: usize) -> bool {
        self.priced_in_front.iter().any(|(_, one)| *one == candidate)
    }
}

/// Chooses the words of each statement, and asks what is worth something that is not seen in them, until it is to end, or so many
/// questions were asked; and how often that was. HypoPG told these sizes of the candidates.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn price_behind(
    plan: &Plan,
    gate: &mut Gate,
    ready: &mut Ready,
    sizes: &[Option<f64>],
    most_calls: usize,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<usize, PostgresError> {
    let chosen = choose_words(plan, gate, ready, sizes, most_calls, is_over).await?;
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables);
    what_if.calls = chosen.calls;
    let mut priced: Vec<(usize, usize, f64)> = Vec::new();
    let mut unseen: Vec<(usize, String, &'static str)> = Vec::new();
    for statement in 0..ready.planned.len() {
        for ((schema, name), table) in ready.unseen_of(statement) {
            let place = ready.place_of(statement, schema, name);
            let is_whole = place.is_some();
            let is_asked = !table.unseen.is_empty();
            let was_tried = chosen.was_tried(statement, schema, name);
            let in_front = match place.unwrap_or(Place::Elsewhere) {
                Place::InFront => continue,
                // another one that was tried in front does more
                Place::Behind(_) if was_tried && !is_asked => continue,
                Place::Behind(text) if is_asked && !is_over() && what_if.calls < most_calls => {
                    ServerText::one_query(&text).ok()
                }
                Place::Behind(_) | Place::Elsewhere => None,
            };
            let worth = match &in_front {
                Some(text) => worth(&mut what_if, ready, statement, text, &table).await?,
                None if is_asked && !is_over() && what_if.calls < most_calls => {
                    worth_of_scans(&mut what_if, ready, statement, (schema, name), &table).await?
                }
                None => None,
            };
            match worth {
                // with nothing else advised, it may be worth something all the same
                Some(worth) if was_tried || !worth.is_empty() => {
                    priced.extend(worth.into_iter().map(|(one, cost)| (statement, one, cost)))
                }
                _ => {
                    let told_of_it = match is_whole {
                        true => "",
                        false => " (whose partitions come behind it)",
                    };
                    unseen.push((statement, qualified(schema, name), told_of_it));
                }
            }
        }
    }
    what_if.end().await?;
    let calls = what_if.calls;
    for (statement, table, told_of_it) in unseen {
        ready.leave_unseen(statement, table, told_of_it);
    }
    for (statement, one, cost) in priced {
        ready.priced_in_front.insert((statement, one));
        ready.estimates.push((statement, one, cost));
    }
    Ok(calls)
}

/// What a statement costs, in these words, with each of the indexes alone that are not seen otherwise, where that is cheaper than
/// with all that are; `None` if it cannot be planned so.
async fn worth(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    statement: usize,
    in_front: &ServerText,
    table: &OnTable,
) -> Result<Option<Vec<(usize, f64)>>, PostgresError> {
    let parameters = Planned::told_of(sql::parameter_count(in_front.as_str()) > 0);
    let all = ready.set_of(&[&table.seen[..], &table.unseen[..]].concat());
    let Some(tree) = what_if
        .tree_for(statement, &all, Some(in_front), parameters)
        .await?
    else {
        return Ok(None);
    };
    let names = what_if.names();
    let nodes = tree.nodes();
    let taken = nodes.iter().filter_map(|node| names.get(node.index.as_ref()?));
    let taken: BTreeSet<usize> = taken.copied().filter(|one| table.unseen.contains(one)).collect();
    if taken.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let seen = ready.set_of(&table.seen);
    let Some(proven) = cost_in_front(what_if, statement, &seen, in_front, parameters).await? else {
        return Ok(None);
    };
    let mut worth = Vec::new();
    for one in taken {
        let alone = ready.set_of(&[one]);
        let cost = cost_in_front(what_if, statement, &alone, in_front, parameters).await?;
        worth.extend(
            cost.filter(|cost| *cost < CHEAPER * proven)
                .map(|cost| (one, cost)),
        );
    }
    Ok(Some(worth))
}

/// What a statement costs with each of these indexes if its scans of their table become as cheap as they are alone, where that is
/// anything; `None` if they do not tell that an index is worth something.
async fn worth_of_scans(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    statement: usize,
    name: (&str, &str),
    table: &OnTable,
) -> Result<Option<Vec<(usize, f64)>>, PostgresError> {
    let planned = &ready.planned[statement];
    let mut saved: BTreeMap<usize, f64> = BTreeMap::new();
    let oid_of = |schema: &str, name: &str| ready.tables.get(schema, name).map(|table| table.oid);
    let whole = oid_of(name.0, name.1);
    // a partition is known by what it belongs to
    let is_of_table = |schema: &str, relation: &str| whole.is_some() && oid_of(schema, relation) == whole;
    for scan in scans_alone(&planned.tree, &planned.asked(), &is_of_table) {
        let costs = worth(what_if, ready, statement, &scan.text, table).await?;
        for (one, cost) in costs.into_iter().flatten() {
            *saved.entry(one).or_default() += scan.saved_at(cost);
        }
    }
    saved.retain(|_, saved| *saved > 0.0);
    let cost = planned.tree.total_cost();
    let worth = saved
        .into_iter()
        .map(|(one, saved)| (one, (cost - saved).max(0.0)));
    let worth: Vec<(usize, f64)> = worth.collect();
    Ok((!worth.is_empty()).then_some(worth))
}

/// What a statement costs in these words under a set, if nothing that it finds by a new index comes early by luck; `None` if it
/// cannot be planned so.
async fn cost_in_front(
    what_if: &mut WhatIf<'_>,
    statement: usize,
    set: &FixedBitSet,
    in_front: &ServerText,
    parameters: Parameters<'_>,
) -> Result<Option<f64>, PostgresError> {
    let tree = what_if
        .tree_for(statement, set, Some(in_front), parameters)
        .await?;
    Ok(tree.map(|tree| what_if.sure_cost(&tree)))
}
