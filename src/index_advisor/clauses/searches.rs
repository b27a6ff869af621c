//! What a plan searches by operators that no b-tree knows: in one condition, in all arms of an OR together, or by what another
//! relation gives.

use std::collections::{BTreeMap, BTreeSet};

use super::{Key, Relations, key_of};
use crate::sql::expression::{Comparison, Condition, Operand, commutator, has_parameter};

/// A condition for an index that is no b-tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Search {
    /// What is searched in.
    pub key: Key,
    /// The operator, as `@>`.
    pub operator: String,
}

/// Searches that find something only together: a condition by itself, or all arms of an OR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Searches {
    /// The searches.
    pub all: BTreeSet<Search>,
    /// For each arm of the OR that searches nothing the keys that it compares with a value: a b-tree must find them.
    pub beside: BTreeSet<BTreeSet<Key>>,
}

impl From<Search> for Searches {
    fn from(search: Search) -> Self {
        Self {
            all: [search].into(),
            beside: BTreeSet::new(),
        }
    }
}

impl Searches {
    /// The same with other keys.
    pub(super) fn with_keys(&self, map: &dyn Fn(&Key) -> Key) -> Self {
        let search = |search: &Search| Search {
            key: map(&search.key),
            operator: search.operator.clone(),
        };
        let keys = |keys: &BTreeSet<Key>| keys.iter().map(map).collect();
        Self {
            all: self.all.iter().map(search).collect(),
            beside: self.beside.iter().map(keys).collect(),
        }
    }
}

/// Takes what one condition searches. To each of two relations the other's key is a value.
pub(super) fn take(relations: &mut Relations, condition: &Condition) {
    let Condition::Term {
        left,
        comparison: Comparison::Operator(operator),
        right,
        ..
    } = condition
    else {
        return;
    };
    if !condition.is_search() {
        return;
    }
    match (key_of(left), key_of(right)) {
        (Some((alias, key)), None) => {
            if let Some(relation) = relations.get_mut(&alias) {
                if operator == "~~" && matches!(right, Operand::Value(pattern) if has_parameter(pattern)) {
                    relation.liked.insert(key.clone());
                }
                relation.searched.insert(search(key, operator).into());
            }
        }
        (Some((one, left)), Some((other, right))) if one != other => {
            if let Some(relation) = relations.get_mut(&one) {
                relation.matched.insert(search(left, operator).into());
            }
            if let (Some(turned), Some(relation)) = (commutator(operator), relations.get_mut(&other)) {
                relation.matched.insert(search(right, turned).into());
            }
        }
        _ => {}
    }
}

fn search(key: Key, operator: &str) -> Search {
    Search {
        key,
        operator: operator.to_owned(),
    }
}

/// What an arm of an OR asks of one relation.
#[derive(Default)]
struct Arm {
    searched: BTreeSet<Search>,
    compared: BTreeSet<Key>,
}

/// Takes what the arms of an OR search in each relation: nothing where an arm asks nothing of it that an index could find.
pub(super) fn take_arms(relations: &mut Relations, arms: &[Vec<Condition>]) {
    let mut asked: Vec<BTreeMap<String, Arm>> = arms.iter().map(|arm| asked_by(arm)).collect();
    for (alias, relation) in relations.iter_mut() {
        let of_it: Option<Vec<Arm>> = asked.iter_mut().map(|arm| arm.remove(alias)).collect();
        let mut searches = Searches::default();
        for arm in of_it.into_iter().flatten() {
            match arm.searched.is_empty() {
                true => _ = searches.beside.insert(arm.compared),
                false => searches.all.extend(arm.searched),
            }
        }
        if !searches.all.is_empty() {
            relation.searched.insert(searches);
        }
    }
}

/// What an arm asks of each relation.
fn asked_by(arm: &[Condition]) -> BTreeMap<String, Arm> {
    let mut asked: BTreeMap<String, Arm> = BTreeMap::new();
    for condition in arm {
        let Condition::Term {
            left,
            comparison,
            right,
            ..
        } = condition
        else {
            continue;
        };
        let (Some((alias, key)), None) = (key_of(left), key_of(right)) else {
            continue;
        };
        match comparison {
            Comparison::Operator(operator) if condition.is_search() => {
                asked
                    .entry(alias)
                    .or_default()
                    .searched
                    .insert(search(key, operator));
            }
            Comparison::Equal | Comparison::AnyOf | Comparison::Range => {
                asked.entry(alias).or_default().compared.insert(key);
            }
            _ => {}
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::super::{RelationUse, of_plan};
    use super::*;
    use crate::model::plan::PlanTree;
    use serde_json::{Value, json};

    fn scan(alias: &str) -> Value {
        json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": alias, "Alias": alias})
    }

    /// What a join of `t` and `u` asks of each of them.
    fn asked(filter: &str) -> BTreeMap<String, RelationUse> {
        let plan = json!([{"Plan": {"Node Type": "Nested Loop", "Join Filter": filter, "Plans": [scan("t"), scan("u")]}}]);
        let all = of_plan(&PlanTree::read(&plan).unwrap()).into_iter();
        all.map(|one| (one.alias.clone(), one)).collect()
    }

    /// The searches in `t` that count together, and the keys that a b-tree must find.
    fn searched(filter: &str) -> Vec<String> {
        let told = |searches: &Searches| {
            let name = |key: &Key| match key {
                Key::Column(name) | Key::Expression(name) => name.clone(),
            };
            let all = searches
                .all
                .iter()
                .map(|one| format!("{} {}", name(&one.key), one.operator));
            let beside = searches.beside.iter().flatten().map(name);
            all.chain(beside).collect::<Vec<String>>().join(", ")
        };
        asked(filter)["t"].searched.iter().map(told).collect()
    }

    #[test]
    fn conditions_are_searches_by_themselves_and_arms_together() {
        for (filter, expected) in [
            ("((t.a ~~* '%abc%'::text) AND (t.b @> $1))", vec!["a ~~*", "b @>"]),
            (
                "((t.a ~~* '%abc%'::text) AND (t.b <> $1) AND (t.c !~~ $2))",
                vec!["a ~~*"],
            ),
            ("((t.a ~~* $1) OR (t.b ~~* $1))", vec!["a ~~*, b ~~*"]),
            (
                "((t.a ~~* $1) OR (t.b ~~* $1) OR (t.id = $2))",
                vec!["a ~~*, b ~~*, id"],
            ),
            (
                "((t.a ~~* $1) OR (t.id > 5) OR (t.no = ANY ($2)))",
                vec!["a ~~*, id, no"],
            ),
            (
                "((t.b @> $1) AND ((t.a ~~* $2) OR (t.id = $3)))",
                vec!["a ~~*, id", "b @>"],
            ),
            // an arm that no index finds
            ("((t.a ~~* $1) OR (t.b <> $2))", vec![]),
            ("((t.a ~~* $1) OR (t.b IS NULL))", vec![]),
            // or that is about another relation
            ("((t.a ~~* $1) OR (u.b ~~* $2))", vec![]),
            ("((t.a = $1) OR (t.b = $2))", vec![]),
            ("(t.a && t.b)", vec![]),
        ] {
            assert_eq!(searched(filter), expected, "{filter}");
        }
    }

    #[test]
    fn what_another_relation_gives_is_searched_from_both_sides() {
        let found = asked("(t.at <@ u.during)");
        let only = |alias: &str| {
            let all: Vec<&Search> = found[alias].matched.iter().flat_map(|one| &one.all).collect();
            assert_eq!(all.len(), 1, "{alias}");
            (all[0].key.clone(), all[0].operator.clone())
        };
        assert_eq!(only("t"), (Key::Column("at".into()), "<@".into()));
        assert_eq!(only("u"), (Key::Column("during".into()), "@>".into()));
        assert!(found["t"].searched.is_empty());
        // LIKE has no other side
        let found = asked("(t.a ~~ u.pattern)");
        assert_eq!((found["t"].matched.len(), found["u"].matched.len()), (1, 0));
        // what gives the value may be no table
        assert_eq!(asked("(q.q @@ t.words)")["t"].matched.len(), 1);
    }
}
