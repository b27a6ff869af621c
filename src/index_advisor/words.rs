//! The words that a statement is planned in. HypoPG (1.3.1 and 1.4.4, measured) sees indexes on expressions and on parts of the rows on
//! the first table of a statement alone, and the order of the tables says nothing of what a statement gives, or of what it costs.
//! So where such an index could serve it on another table, from here on it is planned with that table in front: in the search,
//! under the whole set, for particular values. Where this can be said of several tables, that one is in front whose indexes of this
//! kind do most, with all that is seen on the others; where they do as much, those that are smallest.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::gate::Gate;
use super::ready::Ready;
use super::tables::TableName;
use super::what_if::WhatIf;
use crate::model::plan::PlanTree;
use crate::postgres::{Plan, PostgresError, ServerText};
use crate::sql::{self, Place};

/// Of a statement with more joins the planner does not try all orders (join_collapse_limit), so that the order of its tables counts.
const JOINS_IN_ANY_ORDER: usize = 7;
/// Costs are the same that differ by no more than this part.
const ROUNDED: f64 = 1e-3;
/// What forgoes no more than this part of what the best saves does as much.
const FORGONE: f64 = 0.03;

/// A statement with one of its tables in front.
struct Words {
    in_front: TableName,
    /// `None` where it stands there already.
    other: Option<ServerText>,
}

/// What the indexes of one table do that are seen in front alone.
#[derive(Clone, Copy, Debug)]
struct Worth {
    /// Of the statement with them.
    cost: f64,
    /// Of the new indexes that it then takes.
    size_bytes: f64,
}

/// What came of choosing words.
pub(super) struct Chosen {
    /// How often the planner was asked with hypothetical indexes.
    pub(super) calls: usize,
    /// Statements, and the tables that were tried in front of each.
    tried: BTreeSet<(usize, TableName)>,
}

impl Chosen {
    /// Whether a table was tried in front of a statement, or stands there, with all that is seen on the others.
    pub(super) fn was_tried(&self, statement: usize, schema: &str, name: &str) -> bool {
        let table = TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        self.tried.contains(&(statement, table))
    }
}

impl Candidate {
    /// Whether HypoPG sees it only where its table is the first of a statement.
    pub(super) fn is_seen_in_front_alone(&self) -> bool {
        self.predicate.is_some() || self.has_expressions()
    }

    fn is_of(&self, table: &TableName) -> bool {
        self.schema == table.schema && self.table == table.name
    }
}

impl Ready {
    /// A statement with each table in front on which an index could serve it that is seen there alone; nothing if that is true of
    /// none but the table that is in front already.
    fn words_for(&self, statement: usize) -> Vec<Words> {
        let tree = &self.planned[statement].tree;
        let joins = tree
            .nodes()
            .iter()
            .filter(|node| node.join_type.is_some())
            .count();
        if joins > JOINS_IN_ANY_ORDER {
            return Vec::new();
        }
        let candidates = self.relevant[statement].iter().map(|one| &self.candidates[*one]);
        let hidden = candidates.filter(|one| one.is_seen_in_front_alone());
        // their order must not hang on that of the statement
        let tables: BTreeSet<TableName> = hidden
            .map(|one| TableName {
                schema: one.schema.clone(),
                name: one.table.clone(),
            })
            .collect();
        let words = tables.into_iter();
        let words: Vec<Words> = words
            .filter_map(|table| self.with_in_front(statement, table))
            .collect();
        match words.iter().any(|one| one.other.is_some()) {
            true => words,
            false => Vec::new(),
        }
    }

    /// Where a table stands in a statement, or the only partition that is read of it; `None` of one whose partitions come behind it
    /// wherever it stands.
    pub(super) fn place_of(&self, statement: usize, schema: &str, name: &str) -> Option<Place> {
        let table = self.tables.get(schema, name)?;
        let text = self.planned[statement].text.as_str();
        if !table.is_partitioned {
            return Some(sql::in_front(text, schema, name));
        }
        let (schema, partition) = self.only_read(statement, table)?;
        // by the name of the whole it cannot be had
        Some(sql::in_front(text, schema, partition)).filter(|place| *place != Place::Elsewhere)
    }

    /// `None` if the table cannot stand there.
    fn with_in_front(&self, statement: usize, table: TableName) -> Option<Words> {
        let other = match self.place_of(statement, &table.schema, &table.name)? {
            Place::InFront => None,
            Place::Behind(text) => Some(ServerText::one_query(&text).ok()?),
            Place::Elsewhere => return None,
        };
        Some(Words {
            in_front: table,
            other,
        })
    }

    /// What is to be said of an index that some of these statements show in other words alone.
    pub(super) fn caveat_of_words(&self, statements: &[usize], one: usize) -> Option<String> {
        let candidate = &self.candidates[one];
        let mut moved = statements
            .iter()
            .filter_map(|statement| self.in_front.get(statement));
        let is_so = candidate.is_seen_in_front_alone() && moved.any(|table| candidate.is_of(table));
        is_so.then(|| {
            "HypoPG sees such an index on the first table of a statement alone, so that the planner was asked with its table in \
             front: without the index the statement costs the same so"
                .to_owned()
        })
    }
}

/// Chooses the words of each statement until it is to end, or so many questions were asked. A statement keeps its own unless it
/// costs the same in others as things are.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn choose_words(
    plan: &Plan,
    gate: &mut Gate,
    ready: &mut Ready,
    sizes: &[Option<f64>],
    most_calls: usize,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<Chosen, PostgresError> {
    let mut what_if = WhatIf::new(plan, gate, &ready.planned, &ready.candidates, &ready.tables);
    let mut moved: Vec<(usize, TableName, ServerText)> = Vec::new();
    let mut tried = BTreeSet::new();
    'statements: for statement in 0..ready.planned.len() {
        let words = ready.words_for(statement);
        if words.is_empty() {
            continue;
        }
        if is_over() || what_if.calls >= most_calls {
            break;
        }
        let mut words = that_cost_the_same(&mut what_if, ready, statement, words).await?;
        let questions = ready.questions(statement);
        let mut worth = Vec::new();
        // with one there is nothing to choose
        for one in words.iter().filter(|_| words.len() > 1) {
            // some of them compared say nothing
            if what_if.calls + questions > most_calls || is_over() {
                break 'statements;
            }
            worth.push(worth_of(&mut what_if, ready, statement, one, sizes).await?);
        }
        tried.extend(words.iter().map(|one| (statement, one.in_front.clone())));
        let best = match words.len() {
            1 => Some(0),
            _ => best_of(ready.planned[statement].tree.total_cost(), &worth),
        };
        if let Some(best) = best.filter(|best| *best < words.len())
            && let Words {
                in_front,
                other: Some(text),
            } = words.swap_remove(best)
        {
            moved.push((statement, in_front, text));
        }
    }
    what_if.end().await?;
    let calls = what_if.calls;
    for (statement, table, text) in moved {
        ready.planned[statement].text = text;
        ready.in_front.insert(statement, table);
    }
    Ok(Chosen { calls, tried })
}

/// Those in which a statement costs as things are what it costs in its own words. The gate is asked about each.
async fn that_cost_the_same(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    statement: usize,
    words: Vec<Words>,
) -> Result<Vec<Words>, PostgresError> {
    let planned = &ready.planned[statement];
    let cost = planned.tree.total_cost();
    let nothing = ready.set_of(&[]);
    let mut same = Vec::new();
    for one in words {
        let now = match &one.other {
            Some(text) => {
                what_if
                    .cost_for(statement, &nothing, Some(text), planned.parameters())
                    .await?
            }
            None => Some(cost),
        };
        if now.is_some_and(|now| (now - cost).abs() <= ROUNDED * cost) {
            same.push(one);
        }
    }
    Ok(same)
}

/// What the indexes of the table in front do that are seen nowhere else, with those of the others that are seen everywhere; `None` if
/// it cannot be planned so.
async fn worth_of(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    statement: usize,
    words: &Words,
    sizes: &[Option<f64>],
) -> Result<Option<Worth>, PostgresError> {
    let is_shown = |one: &usize| {
        let candidate = &ready.candidates[*one];
        candidate.is_of(&words.in_front) == candidate.is_seen_in_front_alone()
    };
    let relevant = ready.relevant[statement].iter().copied();
    let shown: Vec<usize> = relevant.filter(is_shown).collect();
    let parameters = ready.planned[statement].parameters();
    let set = ready.set_of(&shown);
    let Some(tree) = what_if
        .tree_for(statement, &set, words.other.as_ref(), parameters)
        .await?
    else {
        return Ok(None);
    };
    let names = what_if.names();
    let nodes = tree.nodes();
    let taken = nodes.iter().filter_map(|node| names.get(node.index.as_ref()?));
    let taken: BTreeSet<usize> = taken.copied().collect();
    let size = |one: &usize| sizes.get(*one).copied().flatten().unwrap_or(0.0);
    Ok(Some(Worth {
        cost: cost_of(what_if, statement, words, &set, &tree).await?,
        size_bytes: taken.iter().map(size).sum(),
    }))
}

/// What a statement costs in these words under a set that gives it this plan, as the search will count it: where the plan rests on rows
/// that an index finds early, on the average of its values; as if no row came early where these are not known, or where not each of
/// them is read by the same new indexes. Otherwise a table whose index keeps an order would never come to the front.
async fn cost_of(
    what_if: &mut WhatIf<'_>,
    statement: usize,
    words: &Words,
    set: &FixedBitSet,
    tree: &PlanTree,
) -> Result<f64, PostgresError> {
    let priced = what_if.priced(statement, set, words.other.as_ref(), tree).await?;
    let hoped = priced.trap.map_or(0.0, |trap| trap.hoped);
    Ok(priced.cost + hoped)
}

/// The position of the one that costs least, of what costs so much now; of those that save about as much the one that takes the
/// smallest indexes.
fn best_of(cost_now: f64, worth: &[Option<Worth>]) -> Option<usize> {
    let known = || {
        worth
            .iter()
            .enumerate()
            .filter_map(|(at, one)| Some((at, (*one)?)))
    };
    let least = known().map(|(_, one)| one.cost).fold(f64::INFINITY, f64::min);
    let as_cheap = known().filter(|(_, one)| one.cost - least <= FORGONE * (cost_now - least).max(0.0));
    let best = as_cheap.min_by(|(_, a), (_, b)| a.size_bytes.total_cmp(&b.size_bytes));
    best.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::clauses::Key;

    fn worth(cost: f64, size_bytes: f64) -> Option<Worth> {
        Some(Worth { cost, size_bytes })
    }

    #[test]
    fn the_cheapest_words_are_best_and_of_such_those_of_the_smallest_indexes() {
        assert_eq!(best_of(200.0, &[worth(100.0, 1.0), worth(10.0, 9.0)]), Some(1));
        assert_eq!(best_of(200.0, &[worth(10.0, 9.0), worth(10.1, 1.0)]), Some(1));
        // the first of what is the same: tables come in the order of their names
        assert_eq!(best_of(200.0, &[worth(10.0, 1.0), worth(10.0, 1.0)]), Some(0));
        assert_eq!(best_of(200.0, &[None, worth(10.0, 1.0)]), Some(1));
        assert_eq!(best_of(200.0, &[None, None]), None);
        assert_eq!(best_of(200.0, &[]), None);
    }

    #[test]
    fn expressions_and_parts_are_seen_in_front_alone() {
        let plain = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey::from(Key::Column("a".into()))],
            include: Vec::new(),
            predicate: None,
        };
        let part = Candidate {
            predicate: Some("b = 1".into()),
            ..plain.clone()
        };
        let expression = Candidate {
            keys: vec![IndexKey::from(Key::Expression("lower(a)".into()))],
            ..plain.clone()
        };
        assert!(!plain.is_seen_in_front_alone());
        assert!(part.is_seen_in_front_alone() && expression.is_seen_in_front_alone());
        let other = TableName {
            schema: "s".into(),
            name: "u".into(),
        };
        assert!(!plain.is_of(&other));
    }
}
