//! What a plan asks of each relation: which columns it compares, joins, sorts and groups by, and which it needs at all.
//! Read from the planner's own words, so that views, subqueries and joins of every kind look alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{
    self, ColumnName, Comparison, Condition, Operand, SortKey, bare_columns, columns, conditions, distance,
    sort_key,
};

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

/// A condition that holds for all calls of the statement, fit for the predicate of a partial index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Predicate {
    /// SQL, with columns by their bare names.
    pub text: String,
    /// The key that it is about.
    pub key: Key,
    /// How it picks its rows.
    pub picks: Picks,
}

/// How a condition picks rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Picks {
    /// It compares with a constant.
    Value,
    /// `IS NOT NULL`
    NotNull,
    /// `IS NULL`, or a boolean as it is.
    State,
}

/// A condition for an index that is no b-tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Search {
    /// What is searched in.
    pub key: Key,
    /// The operator, as `@>`.
    pub operator: String,
}

/// A column that a parameter is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Compared {
    pub schema: String,
    pub table: String,
    pub column: String,
    /// The parameter is an array of such values.
    pub is_array: bool,
}

/// The column that each parameter is compared with, by the parameter's number, as far as the plan tells.
pub fn compared_parameters(plan: &PlanTree) -> BTreeMap<usize, Compared> {
    let nodes = plan.nodes();
    let relations: BTreeMap<&str, (&str, &str)> = nodes
        .iter()
        .filter_map(|node| {
            let table = node.relation.as_deref()?;
            Some((node.alias.as_deref()?, (node.schema.as_deref()?, table)))
        })
        .collect();
    let texts = nodes.iter().flat_map(|node| &node.conditions);
    let mut all: Vec<Condition> = texts.flat_map(|text| conditions(text)).collect();
    let mut found = BTreeMap::new();
    let mut ambiguous = BTreeSet::new();
    while let Some(condition) = all.pop() {
        let (left, comparison, right) = match condition {
            Condition::Term {
                left,
                comparison,
                right,
                ..
            } => (left, comparison, right),
            Condition::Or(arms) => {
                all.extend(arms.into_iter().flatten());
                continue;
            }
        };
        let (Some((alias, key)), Operand::Value(value)) = (key_of(&left), right) else {
            continue;
        };
        let number = value.strip_prefix('$').and_then(|number| number.parse().ok());
        let compares = matches!(
            comparison,
            Comparison::Equal | Comparison::AnyOf | Comparison::Range
        );
        let relation = relations.get(alias.as_str());
        let (Some(number), true, Some((schema, table))) = (number, compares, relation) else {
            continue;
        };
        let column = match key {
            Key::Column(column) => column,
            // the value is as good for the column as for another text type
            Key::Expression(text) => match text.strip_suffix("::text") {
                Some(column) => expression::unquoted(column),
                None => continue,
            },
        };
        let compared = Compared {
            schema: (*schema).to_owned(),
            table: (*table).to_owned(),
            column,
            is_array: comparison == Comparison::AnyOf,
        };
        // before 17 an InitPlan's value is `$1`, too
        match found.get(&number) {
            Some(other) if *other != compared => _ = ambiguous.insert(number),
            _ => _ = found.insert(number, compared),
        }
    }
    found.retain(|number, _| !ambiguous.contains(number));
    found
}

/// What one plan asks of one relation in one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelationUse {
    /// Schema of the table.
    pub schema: String,
    /// The table that is read; of a partitioned table a partition.
    pub table: String,
    /// Keys that must equal a value, or one of several.
    pub equal: BTreeSet<Key>,
    /// Keys that must equal something of another relation.
    pub joined: BTreeSet<Key>,
    /// Keys that must lie in a range, or begin with something.
    pub ranged: BTreeSet<Key>,
    /// Those of the ranged ones that must begin with something: under most collations only the `pattern_ops` know how.
    pub prefixed: BTreeSet<Key>,
    /// Orders that would save a sort.
    pub sorted: BTreeSet<Vec<OrderedKey>>,
    /// Keys that rows are grouped by.
    pub grouped: BTreeSet<Vec<Key>>,
    /// Columns that the statement needs.
    pub needed: BTreeSet<String>,
    /// Conditions that hold for all calls.
    pub predicates: BTreeSet<Predicate>,
    /// Conditions for other kinds of index.
    pub searched: BTreeSet<Search>,
    /// Distances by which rows are sorted, the nearest first.
    pub nearest: BTreeSet<Search>,
}

impl RelationUse {
    /// Whether rows are picked by anything.
    pub fn is_filtered(&self) -> bool {
        !(self.equal.is_empty()
            && self.joined.is_empty()
            && self.ranged.is_empty()
            && self.searched.is_empty())
    }

    /// The same with other keys.
    pub fn with_keys(&self, map: &dyn Fn(&Key) -> Key) -> Self {
        let keys = |keys: &BTreeSet<Key>| keys.iter().map(map).collect();
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
            equal: keys(&self.equal),
            joined: keys(&self.joined),
            ranged: keys(&self.ranged),
            prefixed: keys(&self.prefixed),
            sorted: self.sorted.iter().map(order).collect(),
            grouped: self
                .grouped
                .iter()
                .map(|group| group.iter().map(map).collect())
                .collect(),
            needed: self.needed.clone(),
            predicates: predicates.collect(),
            searched: searches(&self.searched),
            nearest: searches(&self.nearest),
        }
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
        }
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
    joins.tell(&mut relations);
    take_needed(&mut relations, plan);
    relations.into_values().collect()
}

/// The key that an operand is, and the relation that it is of.
fn key_of(operand: &Operand) -> Option<(String, Key)> {
    match operand {
        Operand::Column(name) => Some((name.alias.clone(), Key::Column(name.column.clone()))),
        Operand::Expression { alias, text } => Some((alias.clone(), Key::Expression(text.clone()))),
        Operand::Value(_) | Operand::Other => None,
    }
}

/// Columns that joins make equal: of `a = b` and `b = c` the planner tells only two.
#[derive(Default)]
struct Joins {
    classes: Vec<BTreeSet<(String, Key)>>,
}

impl Joins {
    fn equal(&mut self, one: (String, Key), other: (String, Key)) {
        let (mut touched, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.classes)
            .into_iter()
            .partition(|class| class.contains(&one) || class.contains(&other));
        let mut class: BTreeSet<(String, Key)> = touched.drain(..).flatten().collect();
        class.extend([one, other]);
        self.classes = rest;
        self.classes.push(class);
    }

    fn tell(self, relations: &mut Relations) {
        for (alias, key) in self.classes.into_iter().flatten() {
            if let Some(relation) = relations.get_mut(&alias) {
                relation.joined.insert(key);
            }
        }
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
        // each arm of an OR can be a scan of its own, brought together by their bitmaps
        Condition::Or(arms) => {
            let before = relations.clone();
            arms.iter()
                .flatten()
                .for_each(|condition| take_condition(relations, joins, condition));
            // an inverted index can bring only what every arm asks of it
            let is_search = |condition: &Condition| {
                matches!(
                    condition,
                    Condition::Term {
                        comparison: Comparison::Operator(_),
                        ..
                    }
                )
            };
            if !arms.iter().all(|arm| arm.iter().any(is_search)) {
                for (alias, relation) in relations.iter_mut() {
                    relation.searched = before
                        .get(alias)
                        .map(|before| before.searched.clone())
                        .unwrap_or_default();
                }
            }
            arms.iter()
                .flatten()
                .for_each(|condition| forget_predicate(relations, condition));
            return;
        }
    };
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
        Comparison::IsNull | Comparison::True | Comparison::False => _ = relation.equal.insert(key.clone()),
        Comparison::Range | Comparison::Prefix if is_value || other.is_some() => {
            if *comparison == Comparison::Prefix {
                relation.prefixed.insert(key.clone());
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
        Comparison::Operator(operator) => {
            let search = Search {
                key: key.clone(),
                operator: operator.clone(),
            };
            relation.searched.insert(search);
        }
        _ => {}
    }
    if let (Some(text), false) = (text, matches!(comparison, Comparison::Operator(_))) {
        let picks = match comparison {
            Comparison::IsNull | Comparison::True | Comparison::False => Picks::State,
            Comparison::IsNotNull => Picks::NotNull,
            _ => Picks::Value,
        };
        relation.predicates.insert(Predicate {
            text: text.clone(),
            key,
            picks,
        });
    }
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
        Condition::Term { .. } => {}
        Condition::Or(arms) => arms
            .iter()
            .flatten()
            .for_each(|condition| forget_predicate(relations, condition)),
    }
}

fn take_orders(relations: &mut Relations, node: &PlanNode) {
    let keys: Vec<SortKey> = node.sort_key.iter().map(|text| sort_key(text)).collect();
    if let Some((operand, operator)) = node.sort_key.first().and_then(|text| distance(text)) {
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
        for text in &node.output {
            let extreme = text.starts_with("min(") || text.starts_with("max(");
            if let (true, [ColumnName { alias, column }]) = (extreme, &named(relations, text)[..])
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
    for (position, node) in plan.nodes().into_iter().enumerate() {
        take(&node.conditions);
        take(&node.sort_key);
        take(&node.group_key);
        if position == 0 || !node.kind.ends_with("Scan") || node.relation.is_none() {
            take(&node.output);
        }
    }
    for name in names {
        if let Some(relation) = relations.get_mut(&name.alias) {
            relation.needed.insert(name.column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scan(table: &str, alias: &str, filter: &str) -> serde_json::Value {
        json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": table, "Alias": alias, "Filter": filter,
               "Output": [format!("{alias}.everything")]})
    }

    fn uses(plan: serde_json::Value) -> Vec<RelationUse> {
        of_plan(&PlanTree::read(&json!([{"Plan": plan}])).unwrap())
    }

    fn column(name: &str) -> Key {
        Key::Column(name.into())
    }

    #[test]
    fn conditions_orders_and_needs() {
        let uses = uses(
            json!({"Node Type": "Sort", "Sort Key": ["t.c DESC", "t.d"], "Output": ["t.c", "t.d", "t.e"],
            "Plans": [scan("table", "t", "((t.a = 1) AND (t.b > $1) AND (NOT t.gone) AND (lower(t.f) = 'x'::text))")]}),
        );
        let table = &uses[0];
        assert_eq!((table.schema.as_str(), table.table.as_str()), ("s", "table"));
        assert_eq!(
            table.equal,
            [column("a"), column("gone"), Key::Expression("lower(f)".into())].into()
        );
        assert_eq!(table.ranged, [column("b")].into());
        let order: Vec<(Key, bool)> = table
            .sorted
            .first()
            .unwrap()
            .iter()
            .map(|key| (key.key.clone(), key.descending))
            .collect();
        assert_eq!(order, [(column("c"), true), (column("d"), false)]);
        let needed: Vec<&str> = table.needed.iter().map(String::as_str).collect();
        assert_eq!(
            needed,
            ["a", "b", "c", "d", "e", "f", "gone"],
            "and not everything that the scan puts out"
        );
        let predicates: Vec<&str> = table
            .predicates
            .iter()
            .map(|predicate| predicate.text.as_str())
            .collect();
        assert_eq!(predicates, ["NOT gone", "a = 1", "lower(f) = 'x'::text"]);
    }

    #[test]
    fn a_search_counts_in_an_or_only_if_every_arm_is_one() {
        let searched = |filter: &str| uses(scan("table", "t", filter))[0].searched.len();
        assert_eq!(searched("((t.a ~~* '%x%'::text) OR (t.b ~~* '%x%'::text))"), 2);
        assert_eq!(searched("((t.a ~~* '%x%'::text) OR (t.b = 1))"), 0);
        assert_eq!(
            searched("((t.c @> '{}'::jsonb) AND ((t.a ~~* '%x%'::text) OR (t.b = 1)))"),
            1
        );
    }

    #[test]
    fn parameters_and_their_columns() {
        let tree = json!([{"Plan": scan("table", "t", "((t.a = $1) AND ((t.b)::text = ($2)::text) AND (t.c = ANY ($3)) AND (lower(t.d) = $4) AND ((t.e > $5) OR (t.f = 1)))")}]);
        let found = compared_parameters(&PlanTree::read(&tree).unwrap());
        let told: Vec<(usize, &str, bool)> = found
            .iter()
            .map(|(number, compared)| (*number, compared.column.as_str(), compared.is_array))
            .collect();
        assert_eq!(
            told,
            [(1, "a", false), (2, "b", false), (3, "c", true), (5, "e", false)]
        );
        assert_eq!(
            (found[&1].schema.as_str(), found[&1].table.as_str()),
            ("s", "table")
        );
    }

    #[test]
    fn joins_are_closed_and_arms_of_an_or_are_no_predicates() {
        let uses = uses(
            json!({"Node Type": "Hash Join", "Hash Cond": "(a.x = b.x)", "Plans": [
            scan("a", "a", "((a.k = 1) OR (a.l = 2))"),
            {"Node Type": "Nested Loop", "Join Filter": "(b.x = c.x)", "Plans": [scan("b", "b", ""), scan("c", "c", "")]}]}),
        );
        for relation in &uses {
            assert_eq!(relation.joined, [column("x")].into(), "{}", relation.table);
        }
        assert_eq!(uses[0].equal, [column("k"), column("l")].into());
        assert!(uses[0].predicates.is_empty());
    }

    #[test]
    fn what_is_computed_from_groups_is_no_order() {
        let uses = uses(
            json!({"Node Type": "Sort", "Sort Key": ["(sum(t.a)) DESC", "t.b"], "Plans": [
            {"Node Type": "Aggregate", "Group Key": ["t.b"], "Output": ["sum(t.a)", "t.b"], "Plans": [scan("t", "t", "")]}]}),
        );
        assert!(uses[0].sorted.is_empty());
        assert_eq!(uses[0].grouped, [vec![column("b")]].into());
    }
}
