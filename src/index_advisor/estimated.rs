//! Indexes that no planner can price before they exist: GIN and trigrams, which HypoPG does not know. What they are worth is
//! worked out from what the planner says of the rows, and told as *estimated*.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Candidate, IndexKey};
use super::clauses::{Key, RelationUse, Search};
use super::tables::{Column, Table};
use crate::model::plan::PlanTree;

/// An index of which the worth for one statement is estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The index.
    pub candidate: Candidate,
    /// About so many bytes.
    pub size_bytes: Option<f64>,
    /// What the statement should cost with it, in the planner's units.
    pub cost_after: f64,
    /// Whether it needs the extension pg_trgm.
    pub needs_trigrams: bool,
}

/// What a search in an inverted index costs before the first row: PostgreSQL's estimate for a few keys, in its own units.
const SEARCH_COST: f64 = 40.0;
/// A page that is read out of order, and its rows checked again: `random_page_cost` and a little.
const ROW_COST: f64 = 4.1;

/// What an inverted index would be worth for one place of a plan, if it is worth anything.
pub fn estimate(
    tree: &PlanTree,
    asked: &RelationUse,
    table: &Table,
    trigram_class: &str,
) -> Option<Estimate> {
    let keys: Vec<(IndexKey, bool, Option<f64>)> = classes(&asked.searched, table, trigram_class)?;
    // what the planner reads now: all of the table, for some rows of it
    let scans = tree.nodes().into_iter().filter(|node| {
        node.kind == "Seq Scan"
            && node.schema.as_deref() == Some(asked.schema.as_str())
            && node.relation.as_deref() == Some(asked.table.as_str())
    });
    let (mut saved, mut found) = (0.0, 0.0);
    for scan in scans {
        let cost = SEARCH_COST * keys.len() as f64 + ROW_COST * scan.rows;
        saved += (scan.total_cost - cost).max(0.0);
        found += scan.total_cost;
    }
    // a bitmap of most of the table is no gain
    if saved <= found / 2.0 || found == 0.0 {
        return None;
    }
    let mut bytes = Some(0.0);
    for (_, is_trigram, width) in &keys {
        // a text has as many trigrams as letters, and fewer words; on six real indexes this was between a third and six
        // times what they came to
        let each = width.map(|width| width * if *is_trigram { 2.5 } else { 1.0 } + 4.0);
        bytes = bytes.zip(each).map(|(bytes, each)| bytes + each * table.rows);
    }
    Some(Estimate {
        needs_trigrams: keys.iter().any(|(_, is_trigram, _)| *is_trigram),
        candidate: Candidate {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            method: "gin",
            keys: keys.into_iter().map(|(key, ..)| key).collect(),
            include: Vec::new(),
            predicate: None,
        },
        size_bytes: bytes,
        cost_after: (tree.total_cost() - saved).max(0.0),
    })
}

/// The keys of an inverted index that answers all of these searches, each with whether it is about trigrams and the mean
/// bytes of its values; `None` if one cannot be answered so.
fn classes(
    searched: &BTreeSet<Search>,
    table: &Table,
    trigram_class: &str,
) -> Option<Vec<(IndexKey, bool, Option<f64>)>> {
    let mut by_key: BTreeMap<&Key, BTreeSet<&str>> = BTreeMap::new();
    for search in searched {
        by_key.entry(&search.key).or_default().insert(&search.operator);
    }
    let mut keys = Vec::new();
    for (key, operators) in by_key {
        let (class, is_trigram) = class(key, &operators, table, trigram_class)?;
        let indexed = IndexKey {
            operator_class: class,
            ..IndexKey::from(key.clone())
        };
        keys.push((indexed, is_trigram, width(key, table)));
    }
    (!keys.is_empty()).then_some(keys)
}

/// The operator class under which GIN answers these operators (`None`: the type's own), and whether it is about trigrams.
fn class(
    key: &Key,
    operators: &BTreeSet<&str>,
    table: &Table,
    trigram_class: &str,
) -> Option<(Option<String>, bool)> {
    let all = |known: &[&str]| operators.iter().all(|operator| known.contains(operator));
    let column = match key {
        Key::Column(name) => table.columns.get(name),
        Key::Expression(_) => None,
    };
    let of_type = |name: &str| column.is_some_and(|column| column.type_name == name);
    let text = match key {
        Key::Column(_) => column.is_some_and(is_text),
        Key::Expression(text) => {
            ["lower(", "upper(", "concat"]
                .iter()
                .any(|begin| text.starts_with(begin))
                || text.contains("||")
        }
    };
    let vector =
        matches!(key, Key::Expression(text) if text.starts_with("to_tsvector(")) || of_type("tsvector");
    if vector && all(&["@@"]) {
        return Some((None, false));
    }
    if of_type("jsonb") && all(&["@>", "@?", "@@"]) {
        return Some((Some("jsonb_path_ops".to_owned()), false));
    }
    if of_type("jsonb") && all(&["@>", "@?", "@@", "?", "?|", "?&"]) {
        return Some((None, false));
    }
    if column.is_some_and(|column| column.is_array) && all(&["@>", "<@", "&&", "="]) {
        return Some((None, false));
    }
    if text && !vector && all(&["~~", "~~*", "~", "~*", "%"]) {
        return Some((Some(trigram_class.to_owned()), true));
    }
    None
}

fn is_text(column: &Column) -> bool {
    matches!(
        column.type_name.as_str(),
        "text" | "varchar" | "bpchar" | "citext" | "name"
    )
}

/// Mean bytes of what is indexed: of an expression those of the columns that it names.
fn width(key: &Key, table: &Table) -> Option<f64> {
    match key {
        Key::Column(name) => table.columns.get(name)?.width_bytes,
        Key::Expression(text) => {
            let named = table
                .columns
                .iter()
                .filter(|(name, _)| text.contains(name.as_str()));
            named.map(|(_, column)| column.width_bytes).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::tables::TableName;
    use serde_json::json;

    fn table() -> Table {
        let column = |type_name: &str, is_array| Column {
            type_name: type_name.into(),
            is_array,
            width_bytes: Some(20.0),
            ..Column::default()
        };
        Table {
            oid: 1,
            name: TableName {
                schema: "s".into(),
                name: "t".into(),
            },
            is_partitioned: false,
            may_be_indexed: true,
            pages: 1000.0,
            rows: 50_000.0,
            was_analyzed: true,
            columns: [
                ("caption".to_owned(), column("varchar", false)),
                ("info".to_owned(), column("jsonb", false)),
                ("tags".to_owned(), column("_text", true)),
                ("id".to_owned(), column("int4", false)),
            ]
            .into(),
            indexes: Vec::new(),
            partitions: Vec::new(),
        }
    }

    fn asked(searched: &[(Key, &str)]) -> RelationUse {
        RelationUse {
            schema: "s".into(),
            table: "t".into(),
            searched: searched
                .iter()
                .map(|(key, operator)| Search {
                    key: key.clone(),
                    operator: (*operator).into(),
                })
                .collect(),
            ..RelationUse::default()
        }
    }

    fn definition(searched: &[(Key, &str)], rows: f64) -> Option<String> {
        let plan = json!([{"Plan": {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                                    "Total Cost": 5000.0, "Plan Rows": rows}}]);
        let tree = PlanTree::read(&plan).unwrap();
        let estimate = estimate(&tree, &asked(searched), &table(), "gin_trgm_ops")?;
        assert!(estimate.cost_after < 2500.0);
        Some(estimate.candidate.hypothetical())
    }

    #[test]
    fn each_kind_of_search_has_its_class() {
        let column = |name: &str| Key::Column(name.into());
        let words = Key::Expression("to_tsvector('english'::regconfig, caption)".into());
        for (searched, expected) in [
            (vec![(column("info"), "@>")], Some("(info jsonb_path_ops)")),
            (
                vec![(column("info"), "?"), (column("info"), "@>")],
                Some("(info)"),
            ),
            (vec![(column("tags"), "&&")], Some("(tags)")),
            (vec![(column("caption"), "~~*")], Some("(caption gin_trgm_ops)")),
            (
                vec![(words, "@@")],
                Some("((to_tsvector('english'::regconfig, caption)))"),
            ),
            (vec![(column("id"), "@>")], None),
            (vec![(column("info"), "@>"), (column("id"), "~~")], None),
        ] {
            let made = definition(&searched, 10.0);
            assert_eq!(
                made,
                expected.map(|keys| format!("CREATE INDEX ON s.t USING gin {keys}")),
                "{searched:?}"
            );
        }
        assert_eq!(
            definition(&[(column("info"), "@>")], 40_000.0),
            None,
            "most of the table"
        );
    }
}
