//! What a plan asks of each relation: which columns it compares, joins, sorts and groups by, and which it needs at all.
//! Read from the planner's own words, so that views, subqueries and joins of every kind look alike.

mod joins;
mod searches;

use std::collections::{BTreeMap, BTreeSet};

use self::joins::Joins;
pub use self::searches::{Search, Searches};
use super::arms::orders_of_arms;
pub use super::compared::{Compared, compared_parameters};
use super::parents::{Certainty, parents};
pub use super::predicate::{Picks, Predicate};
use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{
    self, ColumnName, Comparison, Condition, Operand, SortKey, bare_columns, columns, conditions, distance,
    extremes, sort_key,
};

/// The nodes that have names of their own for what those below them put out, or none.
const RENAMING: [&str; 6] = [
    "Append",
    "Merge Append",
    "Recursive Union",
    "SetOp",
    "Subquery Scan",
    "ModifyTable",
];

/// Something that an index can have as a key: a column, or the text of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A column's name.
    Column(String),
    /// An expression's text, with columns by their bare names.
    Expression(String),
}

/// A key with the order that a sort wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct OrderedKey {
    pub key: Key,
    pub descending: bool,
    pub nulls_first: bool,
}

/// What one plan asks of one relation in one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelationUse {
    /// Schema of the table.
    pub schema: String,
    /// The table that is read; of a partitioned table a partition.
    pub table: String,
    /// What the plan calls it in this place, and in no other.
    pub alias: String,
    /// Its rows are locked in an order as they are read, as a queue is worked off: those that match are not spread evenly over that
    /// order, for which the planner takes them, but stand behind all that are done.
    pub is_queue: bool,
    /// Keys that must equal a value, or one of several.
    pub equal: BTreeSet<Key>,
    /// Those of the equal ones that must be NULL somewhere.
    pub null: BTreeSet<Key>,
    /// Keys that must equal something of another relation.
    pub joined: BTreeSet<Key>,
    /// Keys that must lie in a range, or begin with something.
    pub ranged: BTreeSet<Key>,
    /// Those of the ranged ones that must begin with something, and the operator class that knows how: under most collations
    /// the types' own do not.
    pub prefixed: BTreeMap<Key, &'static str>,
    /// Keys that must begin with what is another text in each call: no generic plan searches an index for them.
    pub begun: BTreeSet<Key>,
    /// Keys that are compared by LIKE with a pattern that may begin with anything.
    pub liked: BTreeSet<Key>,
    /// Keys that lie in a range as a row, the first of them ranged by itself.
    pub rows: BTreeSet<Vec<Key>>,
    /// Orders that would save a sort.
    pub sorted: BTreeSet<Vec<OrderedKey>>,
    /// Keys that rows are grouped by.
    pub grouped: BTreeSet<Vec<Key>>,
    /// Columns that the statement needs.
    pub needed: BTreeSet<String>,
    /// Conditions that hold for all calls.
    pub predicates: BTreeSet<Predicate>,
    /// Conditions for other kinds of index, each of which finds rows without the others.
    pub searched: BTreeSet<Searches>,
    /// The same where another relation gives the value.
    pub matched: BTreeSet<Searches>,
    /// Distances by which rows are sorted, the nearest first.
    pub nearest: BTreeSet<Search>,
}

impl RelationUse {
    /// Whether rows are picked by anything.
    pub fn is_filtered(&self) -> bool {
        !(self.equal.is_empty()
            && self.joined.is_empty()
            && self.ranged.is_empty()
            && self.begun.is_empty()
            && self.searched.is_empty()
            && self.matched.is_empty())
    }

    /// Whether a key is searched for values one by one. NULL is none: any number of rows may have that, even where each value is
    /// unique.
    pub(super) fn is_one_value(&self, key: &Key) -> bool {
        (self.equal.contains(key) || self.joined.contains(key)) && !self.null.contains(key)
    }

    /// Notes that its rows are locked as they are read: where they have an order they are a queue, and each is fetched to be
    /// locked, whatever an index holds of it.
    pub(super) fn lock_rows(&mut self) {
        self.needed.insert("ctid".to_owned());
        self.is_queue = !self.sorted.is_empty();
    }

    /// The same with other keys.
    pub fn with_keys(&self, map: &dyn Fn(&Key) -> Key) -> Self {
        let keys = |keys: &BTreeSet<Key>| keys.iter().map(map).collect();
        let lists = |lists: &BTreeSet<Vec<Key>>| -> BTreeSet<Vec<Key>> {
            lists.iter().map(|list| list.iter().map(map).collect()).collect()
        };
        let searches = |searches: &BTreeSet<Search>| {
            let mapped = searches.iter().map(|search| Search {
                key: map(&search.key),
                operator: search.operator.clone(),
            });
            mapped.collect()
        };
        let order = |order: &Vec<OrderedKey>| {
            let mapped = order.iter().map(|ordered| OrderedKey {
                key: map(&ordered.key),
                ..ordered.clone()
            });
            mapped.collect()
        };
        let predicates = self.predicates.iter().map(|predicate| Predicate {
            key: map(&predicate.key),
            ..predicate.clone()
        });
        Self {
            schema: self.schema.clone(),
            table: self.table.clone(),
            alias: self.alias.clone(),
            is_queue: self.is_queue,
            equal: keys(&self.equal),
            null: keys(&self.null),
            joined: keys(&self.joined),
            ranged: keys(&self.ranged),
            prefixed: self
                .prefixed
                .iter()
                .map(|(key, class)| (map(key), *class))
                .collect(),
            begun: keys(&self.begun),
            liked: keys(&self.liked),
            rows: lists(&self.rows),
            sorted: self.sorted.iter().map(order).collect(),
            grouped: lists(&self.grouped),
            needed: self.needed.clone(),
            predicates: predicates.collect(),
            searched: self.searched.iter().map(|one| one.with_keys(map)).collect(),
            matched: self.matched.iter().map(|one| one.with_keys(map)).collect(),
            nearest: searches(&self.nearest),
        }
    }

    /// Adds what is asked of the same rows elsewhere in the plan.
    fn extend(&mut self, other: &Self) {
        self.equal.extend(other.equal.iter().cloned());
        self.null.extend(other.null.iter().cloned());
        self.joined.extend(other.joined.iter().cloned());
        self.ranged.extend(other.ranged.iter().cloned());
        self.prefixed.extend(other.prefixed.clone());
        self.begun.extend(other.begun.iter().cloned());
        self.liked.extend(other.liked.iter().cloned());
        self.rows.extend(other.rows.iter().cloned());
        self.sorted.extend(other.sorted.iter().cloned());
        self.grouped.extend(other.grouped.iter().cloned());
        self.needed.extend(other.needed.iter().cloned());
        self.predicates.extend(other.predicates.iter().cloned());
        self.searched.extend(other.searched.iter().cloned());
        self.matched.extend(other.matched.iter().cloned());
        self.nearest.extend(other.nearest.iter().cloned());
    }
}

/// Which relation an alias stands for, and how it is read.
type Relations = BTreeMap<String, RelationUse>;

/// What the plan asks of each relation that it reads. `plan` comes from EXPLAIN with VERBOSE.
pub fn of_plan(plan: &PlanTree) -> Vec<RelationUse> {
    let mut relations = Relations::new();
    let nodes = plan.nodes();
    for node in &nodes {
        if let (true, Some(table), Some(alias)) = (node.kind.ends_with("Scan"), &node.relation, &node.alias) {
            let found = relations.entry(alias.clone()).or_default();
            found.schema = node.schema.clone().unwrap_or_default();
            found.table = table.clone();
            found.alias = alias.clone();
        }
    }
    // what is said of a table as a whole is kept apart until all of it is known
    let parents = parents(plan);
    for name in parents.keys() {
        relations.entry(name.clone()).or_default();
    }
    let mut joins = Joins::default();
    for node in &nodes {
        for text in &node.conditions {
            for condition in conditions(text) {
                take_condition(&mut relations, &mut joins, &condition);
            }
        }
        take_orders(&mut relations, node);
    }
    for keys in orders_of_arms(plan) {
        take_sort(&mut relations, &keys);
    }
    joins.tell(&mut relations);
    take_needed(&mut relations, plan);
    for (name, parent) in parents {
        let mut whole = relations.remove(&name).unwrap_or_default();
        // an index on a part of the rows of the wrong table serves nobody
        whole.predicates.retain(|_| parent.certainty == Certainty::Sure);
        for scan in parent.scans {
            if let Some(relation) = relations.get_mut(&scan) {
                relation.extend(&whole);
            }
        }
    }
    let mut uses: Vec<RelationUse> = relations.into_values().collect();
    if nodes.iter().any(|node| node.kind == "LockRows") {
        uses.iter_mut().for_each(RelationUse::lock_rows);
    }
    uses
}

/// The key that an operand is, and the relation that it is of.
pub(super) fn key_of(operand: &Operand) -> Option<(String, Key)> {
    match operand {
        Operand::Column(name) => Some((name.alias.clone(), Key::Column(name.column.clone()))),
        // an aggregate is no key of an index
        Operand::Expression { text, .. } if expression::is_aggregate(text) => None,
        Operand::Expression { alias, text } => Some((alias.clone(), Key::Expression(text.clone()))),
        Operand::Value(_) | Operand::Other => None,
    }
}

fn take_condition(relations: &mut Relations, joins: &mut Joins, condition: &Condition) {
    let (left, comparison, right, text) = match condition {
        Condition::Term {
            left,
            comparison,
            right,
            text,
        } => (left, comparison, right, text),
        Condition::Rows(pairs) => {
            take_row(relations, pairs.iter().map(|(left, _)| left));
            take_row(relations, pairs.iter().map(|(_, right)| right));
            return;
        }
        // each arm of an OR can be a scan of its own, brought together by their bitmaps
        Condition::Or(arms) => {
            let mut before = relations.clone();
            arms.iter()
                .flatten()
                .for_each(|condition| take_condition(relations, joins, condition));
            // the other arms are found without what one of them begins with, or searches by itself
            for (alias, relation) in relations.iter_mut() {
                let before = before.remove(alias).unwrap_or_default();
                relation.begun = before.begun;
                relation.searched = before.searched;
                relation.matched = before.matched;
            }
            searches::take_arms(relations, arms);
            arms.iter()
                .flatten()
                .for_each(|condition| forget_predicate(relations, condition));
            if let Some((alias, predicate)) = Predicate::of_arms(arms)
                && let Some(relation) = relations.get_mut(&alias)
            {
                relation.predicates.insert(predicate);
            }
            return;
        }
    };
    searches::take(relations, condition);
    let Some((alias, key)) = key_of(left) else { return };
    let other = key_of(right).filter(|(other, _)| *other != alias);
    if let (Some(other), Comparison::Equal) = (&other, comparison) {
        joins.equal((alias, key), other.clone());
        return;
    }
    let Some(relation) = relations.get_mut(&alias) else {
        return;
    };
    let is_value = matches!(right, Operand::Value(_) | Operand::Other);
    match comparison {
        Comparison::Equal | Comparison::AnyOf if is_value => _ = relation.equal.insert(key.clone()),
        // each value of the other relation's array is looked up
        Comparison::AnyOf if other.is_some() => _ = relation.joined.insert(key.clone()),
        Comparison::IsNull => {
            relation.null.insert(key.clone());
            relation.equal.insert(key.clone());
        }
        Comparison::True | Comparison::False => _ = relation.equal.insert(key.clone()),
        Comparison::Range | Comparison::Prefix if is_value || other.is_some() => {
            if *comparison == Comparison::Prefix {
                relation.prefixed.insert(key.clone(), "text_pattern_ops");
            }
            _ = relation.ranged.insert(key.clone());
            // the other side of an inequality between relations can be searched, too
            if let Some((other, key)) = other {
                relations
                    .get_mut(&other)
                    .map(|relation| relation.ranged.insert(key));
                return;
            }
        }
        Comparison::Begins if is_value => _ = relation.begun.insert(key.clone()),
        _ => {}
    }
    if let (Some(text), Some(picks)) = (text, Picks::of(comparison, right)) {
        relation.predicates.insert(Predicate {
            text: text.clone(),
            key,
            picks,
        });
    }
}

/// What a row begins with that is of one relation.
fn take_row<'a>(relations: &mut Relations, row: impl Iterator<Item = &'a Operand>) {
    let named: Vec<(String, Key)> = row.map_while(key_of).collect();
    let Some((alias, first)) = named.first() else {
        return;
    };
    let Some(relation) = relations.get_mut(alias) else {
        return;
    };
    relation.ranged.insert(first.clone());
    let of_it = named.iter().take_while(|(other, _)| other == alias);
    relation.rows.insert(of_it.map(|(_, key)| key.clone()).collect());
}

/// What holds in one arm of an OR alone does not hold for the statement.
fn forget_predicate(relations: &mut Relations, condition: &Condition) {
    match condition {
        Condition::Term {
            left,
            text: Some(text),
            ..
        } => {
            if let Some(relation) = key_of(left).and_then(|(alias, _)| relations.get_mut(&alias)) {
                relation.predicates.retain(|predicate| predicate.text != *text);
            }
        }
        Condition::Term { .. } | Condition::Rows(_) => {}
        Condition::Or(arms) => {
            if let Some((alias, predicate)) = Predicate::of_arms(arms)
                && let Some(relation) = relations.get_mut(&alias)
            {
                relation.predicates.remove(&predicate);
            }
            arms.iter()
                .flatten()
                .for_each(|condition| forget_predicate(relations, condition));
        }
    }
}

fn take_sort(relations: &mut Relations, texts: &[String]) {
    let keys: Vec<SortKey> = texts.iter().map(|text| sort_key(text)).collect();
    if let Some((operand, operator)) = texts.first().and_then(|text| distance(text)) {
        if let Some((alias, key)) = key_of(&operand)
            && let Some(relation) = relations.get_mut(&alias)
        {
            relation.nearest.insert(Search { key, operator });
        }
    } else if let Some((alias, order)) = leading(&keys)
        && let Some(relation) = relations.get_mut(&alias)
    {
        relation.sorted.insert(order);
    }
}

fn take_orders(relations: &mut Relations, node: &PlanNode) {
    take_sort(relations, &node.sort_key);
    let grouped: Vec<(String, Key)> = node
        .group_key
        .iter()
        .filter_map(|text| key_of(&expression::key(text)))
        .collect();
    for alias in grouped.iter().map(|(alias, _)| alias).collect::<BTreeSet<_>>() {
        let keys: Vec<Key> = grouped
            .iter()
            .filter(|(other, _)| other == alias)
            .map(|(_, key)| key.clone())
            .collect();
        if let Some(relation) = relations.get_mut(alias) {
            relation.grouped.insert(keys);
        }
    }
    // min and max read one end of an index
    if node.kind == "Aggregate" && node.group_key.is_empty() {
        for text in node.output.iter().flat_map(|text| extremes(text)) {
            if let [ColumnName { alias, column }] = &named(relations, &text)[..]
                && let Some(relation) = relations.get_mut(alias)
            {
                let key = Key::Column(column.clone());
                relation.sorted.insert(vec![OrderedKey {
                    key,
                    descending: false,
                    nulls_first: false,
                }]);
            }
        }
    }
}

/// The longest beginning of a sort that is about one relation.
fn leading(keys: &[SortKey]) -> Option<(String, Vec<OrderedKey>)> {
    let mut order = Vec::new();
    let mut of: Option<String> = None;
    for key in keys {
        let Some((alias, text)) = key_of(&key.operand) else {
            break;
        };
        // an aggregate is no key of an index
        let plain = match &text {
            Key::Column(_) => true,
            Key::Expression(text) => !expression::is_aggregate(text),
        };
        if !plain || of.as_ref().is_some_and(|of| *of != alias) {
            break;
        }
        of = Some(alias);
        order.push(OrderedKey {
            key: text,
            descending: key.descending,
            nulls_first: key.nulls_first,
        });
    }
    of.map(|of| (of, order))
}

/// The columns that a text names. Where there is but one relation, what nodes put out is told without its alias.
fn named(relations: &Relations, text: &str) -> Vec<ColumnName> {
    let mut names = columns(text);
    if let (1, Some(alias)) = (relations.len(), relations.keys().next()) {
        names.extend(bare_columns(text).into_iter().map(|column| ColumnName {
            alias: alias.clone(),
            column,
        }));
    }
    names
}

/// Every column that any node names. What a scan puts out does not count where something reads it: the planner often
/// passes whole rows on because that is cheaper than picking columns.
fn take_needed(relations: &mut Relations, plan: &PlanTree) {
    let mut names: BTreeSet<ColumnName> = BTreeSet::new();
    let mut take = |texts: &[String]| names.extend(texts.iter().flat_map(|text| named(relations, text)));
    for node in plan.nodes() {
        take(&node.conditions);
        take(&node.sort_key);
        take(&node.group_key);
        if !node.kind.ends_with("Scan") || node.relation.is_none() {
            take(&node.output);
        }
    }
    for node in answering(plan) {
        take(&node.output);
    }
    for name in names {
        if let Some(relation) = relations.get_mut(&name.alias) {
            relation.needed.insert(name.column);
        }
    }
}

/// The nodes that put out just what is asked, by names that nothing above them need have: the whole, a subquery, which is known by
/// a number or a name, an arm of a set, which is known by those of the first, and what is written.
fn answering(plan: &PlanTree) -> Vec<&PlanNode> {
    let mut found = vec![&plan.root];
    for node in plan.nodes() {
        let renames = RENAMING.contains(&node.kind.as_str());
        let children = node.children.iter();
        found.extend(children.filter(|child| renames || child.is_subquery()));
    }
    found
}

#[cfg(test)]
mod tests;
