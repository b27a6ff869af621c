//! Two indexes of a set made one where that costs hardly more: of those that begin with the same keys and carry other columns
//! along the planner takes for each statement the smaller one, and would never choose the one that serves both. So it does of those
//! on the same part of the rows, whose keys may be there for nothing but to be carried along.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::candidate::{Candidate, Kinds};
use super::clauses::{Key, RelationUse};
use super::gate::Gate;
use super::predicate::ALL_HOLD;
use super::ready::Ready;
use super::selection::{Answer, Planner, Problem};
use super::what_if::{Planned, WhatIf};
use crate::limits;
use crate::model::plan::PlanNode;
use crate::postgres::{Plan, PostgresError};

/// What may be lost by one index less: without a budget a part of what the two gain, since each byte of them is kept and written
/// to, though no statement may lose more than this part of its own gain for it; within one, where bytes are what is bought with,
/// hardly anything of what the workload costs.
const BEARABLE_PART_OF_GAIN: f64 = 0.2;
const BEARABLE_LOSS: f64 = 0.00005;

/// Indexes on a part of the rows that only hold what is needed, and of each the keys that nobody needs.
type Carriers = BTreeMap<usize, BTreeSet<Key>>;

/// How far it may go.
pub(super) struct Bounds<'a> {
    pub(super) kinds: Kinds,
    /// Questions to the planner.
    pub(super) calls: usize,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

/// Two candidates, and the one that could take their place, by their numbers.
#[derive(Clone, Copy)]
struct Pair {
    one: usize,
    other: usize,
    both: usize,
}

impl Pair {
    /// A set with the one in place of the two.
    fn made_one(self, set: &FixedBitSet) -> FixedBitSet {
        let mut merged = set.clone();
        merged.set(self.one, false);
        merged.set(self.other, false);
        merged.grow_and_insert(self.both);
        merged
    }

    /// Whether a statement reads one of the two.
    fn is_read(self, answer: &Answer) -> bool {
        answer.used.contains(self.one) || answer.used.contains(self.other)
    }
}

/// What a workload loses by one index for two.
#[derive(Default)]
struct Trade {
    loss: f64,
    /// What the two save where they are read.
    gain: f64,
    /// Whether a statement loses more than a part of what it gains by the set.
    hurts_one: bool,
}

impl Trade {
    fn is_bearable(&self, problem: &Problem) -> bool {
        match problem.budget_bytes.is_finite() {
            true => {
                let weighted = problem.weights.iter().zip(&problem.costs);
                let total: f64 = weighted.map(|(weight, cost)| weight * cost).sum();
                self.loss <= BEARABLE_LOSS * total
            }
            false => self.loss <= BEARABLE_PART_OF_GAIN * self.gain && !self.hurts_one,
        }
    }
}

/// The set with what can be made one made one, and how often the planner was asked for that, within its bounds. The sizes of new
/// candidates are added to `sizes`.
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
    bounds: Bounds<'_>,
) -> Result<(FixedBitSet, usize), PostgresError> {
    let mut tried: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut calls = 0;
    let carriers = ready.carriers(&set);
    while let Some((one, other, candidate)) = next_pair(ready, bounds.kinds, &set, &carriers, &tried) {
        if (bounds.stop)() {
            break;
        }
        tried.insert((one, other));
        let both = ready.number_of(candidate);
        if both == sizes.len() {
            sizes.push(size_of(plan, &ready.candidates[both]).await?);
        }
        set.grow(sizes.len());
        let pair = Pair { one, other, both };
        if !ready.is_worth_asking(pair, sizes, problem) {
            continue;
        }
        let readers = ready.readers_of(both);
        let questions: usize = readers.iter().map(|one| ready.questions(*one)).sum();
        if calls + 2 * questions > bounds.calls {
            continue;
        }
        let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables);
        let may_ask = |asked: usize| calls + asked <= bounds.calls && !(bounds.stop)();
        let trade = trade(&mut what_if, ready, problem, (pair, &set), &readers, &may_ask).await?;
        calls += what_if.calls;
        what_if.end().await?;
        let answers = what_if.take_answers();
        ready.answers.extend(answers);
        if trade.is_some_and(|trade| trade.is_bearable(problem)) {
            set = pair.made_one(&set);
        }
    }
    Ok((set, calls))
}

/// What HypoPG estimates, in bytes.
async fn size_of(plan: &Plan, candidate: &Candidate) -> Result<Option<f64>, PostgresError> {
    let made = plan.create_hypothetical(&[candidate.hypothetical()]).await?;
    plan.reset_hypothetical().await?;
    Ok(made.into_iter().next().flatten().map(|index| index.size_bytes))
}

/// What is lost by one for two of a set, by the statements that read their table; `None` if not all of them could be planned, or asked
/// about as often as may be.
async fn trade(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    problem: &Problem,
    (pair, set): (Pair, &FixedBitSet),
    readers: &[usize],
    may_ask: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Option<Trade>, PostgresError> {
    let mut trade = Trade::default();
    let mut apart: BTreeMap<usize, f64> = BTreeMap::new();
    for (is_one, set) in [(false, set), (true, &pair.made_one(set))] {
        let provable = ready.provable(set);
        for statement in readers {
            // what one finds by luck alone is asked about more than once
            if !may_ask(what_if.calls + ready.questions(*statement)) {
                return Ok(None);
            }
            let mut useful = problem.useful[*statement].clone();
            useful.grow_and_insert(pair.both);
            // what an index of others serves by luck alone needs its own all the same
            let answer = what_if.ask(*statement, &ready.shown(&provable, &useful)).await?;
            let (weight, cost_now) = (problem.weights[*statement], problem.costs[*statement]);
            if !is_one {
                apart.insert(*statement, answer.cost);
                trade.gain += match pair.is_read(&answer) {
                    true => weight * (cost_now - answer.cost),
                    false => 0.0,
                };
                continue;
            }
            let cost_apart = apart.get(statement).copied().unwrap_or(cost_now);
            let lost = answer.cost - cost_apart;
            trade.loss += weight * lost;
            trade.hurts_one |= lost > BEARABLE_PART_OF_GAIN * (cost_now - cost_apart).max(0.0);
        }
    }
    Ok(what_if.unplannable().is_empty().then_some(trade))
}

impl Ready {
    /// Whether one for two may be a gain, by the sizes alone.
    fn is_worth_asking(&self, pair: Pair, sizes: &[Option<f64>], problem: &Problem) -> bool {
        let [one, other, both] = [pair.one, pair.other, pair.both].map(|one| sizes[one]);
        let (Some(one), Some(other), Some(both_bytes)) = (one, other, both) else {
            return false;
        };
        let is_too_wide = !problem.budget_bytes.is_finite() && self.is_too_wide(pair.both, both_bytes);
        both_bytes <= one + other && !is_too_wide
    }

    /// The statements that read the table that a candidate is on.
    fn readers_of(&self, candidate: usize) -> Vec<usize> {
        let candidate = &self.candidates[candidate];
        let is_its = |node: &PlanNode| {
            let names = node.schema.as_deref().zip(node.relation.as_deref());
            let table = names.and_then(|(schema, name)| self.tables.get(schema, name));
            table.is_some_and(|table| {
                (&table.name.schema, &table.name.name) == (&candidate.schema, &candidate.table)
            })
        };
        let reads = |statement: &usize| self.planned[*statement].tree.nodes().into_iter().any(is_its);
        (0..self.planned.len()).filter(reads).collect()
    }

    /// How often the planner is asked about a statement to price it, unless something serves it by luck.
    pub(super) fn questions(&self, statement: usize) -> usize {
        1 + self.planned[statement].values.len()
    }
}

impl Ready {
    /// Those of a set on a part of the rows whose keys nobody asks by, for they only hold what is needed of them; and of each the keys
    /// that need not even be held, since they have one value in all of its rows.
    fn carriers(&self, set: &FixedBitSet) -> Carriers {
        let parts = set.ones().filter(|one| self.candidates[*one].predicate.is_some());
        let parts: Vec<usize> = parts.collect();
        if parts.len() < 2 {
            return Carriers::new();
        }
        let asked: Vec<RelationUse> = self.planned.iter().flat_map(Planned::asked).collect();
        let of_table = |candidate: &Candidate| {
            let is_its = |asked: &&RelationUse| {
                let table = self.tables.get(&asked.schema, &asked.table);
                let name = table.map(|table| (&table.name.schema, &table.name.name));
                name == Some((&candidate.schema, &candidate.table))
            };
            asked.iter().filter(is_its).collect::<Vec<&RelationUse>>()
        };
        let carrier = |one: usize| {
            let candidate = &self.candidates[one];
            let asked = of_table(candidate);
            let constant = candidate.constant_keys(&asked);
            let is_asked =
                |key: &Key| !constant.contains(key) && asked.iter().any(|asked| asked.asks_by(key));
            let carries = candidate.keys.iter().all(|key| !is_asked(&key.key));
            carries.then_some((one, constant))
        };
        parts.into_iter().filter_map(carrier).collect()
    }
}

/// Two of a set that could be one, and that one. Of `carriers` no key is asked by.
fn next_pair(
    ready: &Ready,
    kinds: Kinds,
    set: &FixedBitSet,
    carriers: &Carriers,
    tried: &BTreeSet<(usize, usize)>,
) -> Option<(usize, usize, Candidate)> {
    let pairs = set
        .ones()
        .flat_map(|one| set.ones().map(move |other| (one, other)));
    // what the planner does not see it would not miss
    let is_seen = |one: usize| !ready.is_priced_in_front(one) && !ready.is_for_a_beginning(one);
    let fresh = pairs
        .filter(|pair| pair.0 != pair.1 && !tried.contains(pair))
        .filter(|pair| is_seen(pair.0) && is_seen(pair.1));
    let mut merged = fresh.filter_map(|(one, other)| {
        let (shorter, longer) = (&ready.candidates[one], &ready.candidates[other]);
        let both = match carriers.get(&one) {
            Some(constant) => shorter.holding_less(constant).taken_along(longer, kinds),
            None => shorter.merged(longer, kinds),
        }?;
        ready.may_carry(&both).then_some((one, other, both))
    });
    merged.next()
}

impl Candidate {
    /// One index that serves what this one and another do that begins with the same key. Whether it serves searches by this one's
    /// further keys is for the planner to say.
    fn merged(&self, other: &Self, kinds: Kinds) -> Option<Self> {
        let begins_alike = self.keys.first() == other.keys.first();
        self.taken_along(other, kinds).filter(|_| begins_alike)
    }

    /// The keys that have one value in all rows of a part, by what statements ask of its table.
    fn constant_keys(&self, asked: &[&RelationUse]) -> BTreeSet<Key> {
        let conditions: Vec<&str> = self
            .predicate
            .iter()
            .flat_map(|all| all.split(ALL_HOLD))
            .collect();
        let predicates = asked.iter().flat_map(|asked| &asked.predicates);
        let constant =
            predicates.filter(|one| one.picks.is_one_value() && conditions.contains(&one.text.as_str()));
        constant.map(|one| one.key.clone()).collect()
    }

    /// The same without these keys.
    fn holding_less(&self, keys: &BTreeSet<Key>) -> Self {
        let mut less = self.clone();
        less.keys.retain(|key| !keys.contains(&key.key));
        less
    }

    /// The other's keys, and along with them what this one has besides.
    fn taken_along(&self, other: &Self, kinds: Kinds) -> Option<Self> {
        let same = (&self.schema, &self.table, self.method, &self.predicate)
            == (&other.schema, &other.table, other.method, &other.predicate);
        if !same || self.method != "btree" {
            return None;
        }
        let mut include: BTreeSet<String> = self.include.iter().chain(&other.include).cloned().collect();
        for key in self.keys.iter().filter(|key| !other.keys.contains(key)) {
            include.insert(key.plain_column()?.to_owned());
        }
        include.retain(|column| !other.has_key(column));
        let is_allowed = include.is_empty() || kinds.include && include.len() <= limits::INCLUDED_COLUMNS;
        is_allowed.then(|| Self {
            include: include.into_iter().collect(),
            ..other.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::clauses::{Picks, Predicate};

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
            one.merged(other, Kinds::default()).map(|both| {
                both.hypothetical()
                    .replace("CREATE INDEX ON s.t USING btree ", "")
            })
        };
        let (a, ab) = (index(&["a"], &["x", "b"]), index(&["a", "b"], &["y"]));
        assert_eq!(merged(&a, &ab).as_deref(), Some("(a, b) INCLUDE (x, y)"));
        assert_eq!(merged(&ab, &a).as_deref(), Some("(a) INCLUDE (b, x, y)"));
        let mut falling = ab.clone();
        falling.keys[1].descending = true;
        falling.keys[1].nulls_first = true;
        assert_eq!(
            merged(&a, &falling).as_deref(),
            Some("(a, b DESC) INCLUDE (x, y)"),
            "what is a key is not carried along, whichever way it is sorted"
        );
        let no_include = Kinds {
            include: false,
            ..Kinds::default()
        };
        assert_eq!(ab.merged(&a, no_include), None);
        assert_eq!(
            index(&["a"], &[]).merged(&index(&["a", "b"], &[]), no_include),
            Some(index(&["a", "b"], &[]))
        );
        assert_eq!(merged(&index(&["b"], &[]), &ab), None);
        let partial = Candidate {
            predicate: Some("x".into()),
            ..a.clone()
        };
        assert_eq!(merged(&partial, &ab), None);
        let (of_seller, of_buyer) = (index(&["seller"], &[]), index(&["buyer"], &["note"]));
        let part = |one: &Candidate| Candidate {
            predicate: Some("x".into()),
            ..one.clone()
        };
        let both = part(&of_buyer).taken_along(&part(&of_seller), Kinds::default());
        let wanted = part(&index(&["seller"], &["buyer", "note"]));
        assert_eq!(both, Some(wanted), "where nobody asks by the buyer");
        assert_eq!(part(&of_buyer).taken_along(&of_seller, Kinds::default()), None);
    }

    #[test]
    fn what_has_one_value_in_a_part_is_not_even_carried_along() {
        let reviewed = Key::Column("reviewed".into());
        let asks = |text: &str, picks: Picks| RelationUse {
            predicates: [Predicate {
                text: text.into(),
                key: reviewed.clone(),
                picks,
            }]
            .into(),
            ..RelationUse::default()
        };
        let part = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey::from(reviewed.clone())],
            include: Vec::new(),
            predicate: Some("NOT reviewed AND at > 1".into()),
        };
        let constant = |asked: &RelationUse| part.constant_keys(&[asked]);
        assert_eq!(
            constant(&asks("NOT reviewed", Picks::State)),
            [reviewed.clone()].into()
        );
        assert!(
            constant(&asks("reviewed", Picks::State)).is_empty(),
            "another part"
        );
        assert!(constant(&asks("NOT reviewed", Picks::Range)).is_empty());
        let other = Candidate {
            keys: vec![IndexKey::from(Key::Column("tenant".into()))],
            ..part.clone()
        };
        let both = part
            .holding_less(&[reviewed].into())
            .taken_along(&other, Kinds::default());
        assert_eq!(both, Some(other));
    }
}
