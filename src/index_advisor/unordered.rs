//! What no b-tree can be on, since its type has no order: json, xml, a point. A statement is told so that asks for anything by that.

use super::candidate::{Candidate, IndexKey};
use super::clauses::{Key, RelationUse};
use super::ready::Ready;
use crate::postgres::Plan;

impl Ready {
    /// Remembers for which statements HypoPG did not take an index because what it would be on has no order, as json, xml or a point.
    pub(super) fn note_unordered(&mut self, plan: &Plan) {
        let relevant = self.relevant.iter().enumerate();
        let relevant = relevant.flat_map(|(statement, all)| all.iter().map(move |one| (statement, *one)));
        // of several keys nobody says which it is
        let is_unordered = |(_, one): &(usize, usize)| {
            let candidate = &self.candidates[*one];
            candidate.keys.len() == 1 && plan.is_unordered(&candidate.hypothetical())
        };
        let unordered: Vec<(usize, usize)> = relevant.filter(is_unordered).collect();
        for (statement, one) in unordered {
            self.note_unordered_for(statement, one);
        }
    }

    /// What this candidate would be on has no order: so for one statement, where it asks for anything by that.
    pub(super) fn note_unordered_for(&mut self, statement: usize, one: usize) {
        self.remarks.unordered.insert(one);
        if !self.asks_by(statement, &self.candidates[one]) {
            return;
        }
        let why = self.without_order(&self.candidates[one]);
        self.remarks.unindexable.entry(statement).or_insert(why);
    }

    /// Whether a statement searches, sorts or groups by the first key of a candidate, which may also hold what it only reads.
    fn asks_by(&self, statement: usize, candidate: &Candidate) -> bool {
        let table = self.tables.get(&candidate.schema, &candidate.table);
        let (Some(table), Some(first)) = (table, candidate.keys.first()) else {
            return false;
        };
        self.planned[statement].asked().iter().any(|asked| {
            let of = self.tables.get(&asked.schema, &asked.table);
            of.is_some_and(|of| of.oid == table.oid) && is_by(&table.read(asked), &first.key)
        })
    }

    /// Why there can be no b-tree on the first key of a candidate.
    fn without_order(&self, candidate: &Candidate) -> String {
        let table = self.tables.get(&candidate.schema, &candidate.table);
        let of = |key: &IndexKey| match &key.key {
            Key::Column(name) => name.clone(),
            // an expression may hold a constant
            Key::Expression(_) => {
                let columns = table.map(|table| table.columns_of(&key.key)).unwrap_or_default();
                format!(
                    "the expression over {}",
                    columns.into_iter().collect::<Vec<String>>().join(", ")
                )
            }
        };
        format!(
            "{} is of a type that b-trees cannot order (it has no default operator class for them, as json, xml and point have none), \
             so PostgreSQL cannot index it so",
            candidate.keys.first().map(of).unwrap_or_default()
        )
    }
}

/// Whether rows are picked, sorted or grouped by a key, or compared with a pattern by it.
fn is_by(asked: &RelationUse, key: &Key) -> bool {
    asked.asks_by(key) || asked.liked.contains(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index_advisor::clauses::of_plan;
    use crate::model::plan::PlanTree;

    #[test]
    fn what_is_only_read_is_not_asked_by() {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
            "Output": ["t.location", "t.at"], "Filter": "((t.rank = 5) AND (t.weight > $1))"});
        let sort =
            json!({"Node Type": "Sort", "Sort Key": ["t.at"], "Output": ["t.location"], "Plans": [scan]});
        let tree = PlanTree::read(&json!([{ "Plan": sort }])).unwrap();
        let asked = of_plan(&tree);
        let asks_by = |name: &str| asked.iter().any(|asked| is_by(asked, &Key::Column(name.into())));
        for name in ["rank", "weight", "at"] {
            assert!(asks_by(name), "{name}");
        }
        assert!(!asks_by("location"));
    }
}
