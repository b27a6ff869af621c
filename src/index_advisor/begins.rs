//! B-trees for what begins with a parameter, as `LIKE $1 || '%'` and `^@ $1`. PostgreSQL searches an index for that only where
//! it plans with the value, as it does for what is not prepared; a generic plan, which is what the planner is asked for, shows
//! nothing of it. So what they are worth is worked out, like that of the kinds that no planner can price.

use super::candidate::{Candidate, IndexKey, Kinds};
use super::clauses::{Key, RelationUse};
use super::estimated::{Estimate, checked, searched};
use super::operator_class::Classes;
use super::tables::Table;
use crate::model::plan::PlanTree;

/// What such an index would be worth for one place of a plan. Keys that equal a value come before what begins with something:
/// that they narrow the search, too, is not its merit.
pub(super) fn estimate(
    tree: &PlanTree,
    asked: &RelationUse,
    table: &Table,
    kinds: Kinds,
) -> Option<Estimate> {
    let is_column = |key: &Key| matches!(key, Key::Column(_));
    // which one it is does not matter
    let classes = Classes {
        table,
        trigram_class: "",
    };
    // what an inverted index is asked besides, a b-tree would not answer
    if !kinds.btree || !classes.of_all(&asked.searched).is_empty() {
        return None;
    }
    let begun = checked(tree, asked, table).begun;
    let mut begun = begun.iter().filter(|key| kinds.expression || is_column(key));
    let beginning = begun.find_map(|key| table.key_of_beginnings(key))?;
    let points = asked
        .equal
        .iter()
        .filter(|key| **key != beginning.key && is_column(key));
    let points = points.take(kinds.max_width.saturating_sub(1)).cloned();
    let worth = searched(tree, asked, table, &[])?;
    Some(Estimate {
        candidate: b_tree(table, points.map(IndexKey::from).chain([beginning.clone()])),
        // HypoPG tells it
        size_bytes: None,
        needs_trigrams: false,
        caveat: None,
        worth: [(asked.alias.clone(), worth)].into(),
    })
}

/// What would do the same as an index on trigrams for less, if the patterns began with fixed text: of a parameter nobody knows.
pub(super) fn instead(asked: &RelationUse, table: &Table) -> Option<String> {
    let mut all = asked.searched.iter().flat_map(|searches| &searches.all);
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    if only.operator != "~~" || !asked.liked.contains(&only.key) {
        return None;
    }
    let key = table.key_of_beginnings(&only.key)?;
    let kind = match &key.operator_class {
        Some(class) => format!("a b-tree with {class}"),
        None => "an ordinary b-tree".to_owned(),
    };
    let index = b_tree(table, std::iter::once(key));
    let statement = index.statement(!table.is_partitioned, None);
    Some(format!(
        "if its patterns begin with fixed text, {kind} does it for less: {}",
        statement.sql()
    ))
}

fn b_tree(table: &Table, keys: impl Iterator<Item = IndexKey>) -> Candidate {
    Candidate {
        schema: table.name.schema.clone(),
        table: table.name.name.clone(),
        method: "btree",
        keys: keys.collect(),
        include: Vec::new(),
        predicate: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::clauses::of_plan;
    use crate::index_advisor::estimated::{Methods, estimate as estimate_inverted, together};
    use crate::index_advisor::tables::{Column, tests::table_of};
    use serde_json::json;

    fn table() -> Table {
        let column = |type_name: &str| Column {
            type_name: type_name.into(),
            width_bytes: Some(20.0),
            values: Some(2.0),
            ..Column::default()
        };
        let columns = [
            ("title", column("text")),
            ("code", column("bpchar")),
            ("host", column("int4")),
        ];
        table_of(100_000.0, columns)
    }

    /// A scan of all of `s.t` that gives so few rows that an index is worth its while.
    fn plan(filter: &str) -> PlanTree {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter,
            "Total Cost": 3250.0, "Plan Rows": 50.0});
        PlanTree::read(&json!([{ "Plan": scan }])).unwrap()
    }

    fn begun(filter: &str, kinds: Kinds) -> Option<String> {
        let (tree, table) = (plan(filter), table());
        let asked = table.read(&of_plan(&tree)[0]);
        let one = together(estimate(&tree, &asked, &table, kinds).into_iter().collect()).pop()?;
        assert!(one.cost_after(&tree) < 1000.0);
        Some(
            one.candidate
                .hypothetical()
                .replace("CREATE INDEX ON s.t USING btree ", ""),
        )
    }

    #[test]
    fn what_begins_with_a_parameter_is_found_by_a_b_tree() {
        let all = Kinds::default();
        for (filter, keys) in [
            ("(t.title ~~ ($1 || '%'::text))", Some("(title text_pattern_ops)")),
            ("((t.title)::text ^@ $1)", Some("(title text_pattern_ops)")),
            ("starts_with(t.title, $1)", Some("(title text_pattern_ops)")),
            ("(t.code ~~ ($1 || '%'::text))", Some("(code bpchar_pattern_ops)")),
            (
                "(lower(t.title) ~~ ($1 || '%'::text))",
                Some("((lower(title)) text_pattern_ops)"),
            ),
            (
                "((t.host = $1) AND (t.title ~~ ($2 || '%'::text)))",
                Some("(host, title text_pattern_ops)"),
            ),
            ("((t.title ~~ ($1 || '%'::text)) OR (t.host = $2))", None),
            (
                "((t.title ~~ ($1 || '%'::text)) AND (t.code <> $2))",
                Some("(title text_pattern_ops)"),
            ),
            ("((t.title ~~ ($1 || '%'::text)) AND (t.title ~~* $2))", None),
            ("(t.host ~~ ($1 || '%'::text))", None),
            ("(t.title ~~ $1)", None),
        ] {
            assert_eq!(begun(filter, all).as_deref(), keys, "{filter}");
        }
        let filter = "(lower(t.title) ~~ ($1 || '%'::text))";
        let (plain, none) = (
            Kinds {
                expression: false,
                ..all
            },
            Kinds { btree: false, ..all },
        );
        assert_eq!((begun(filter, plain), begun(filter, none)), (None, None));
    }

    #[test]
    fn in_the_order_of_bytes_an_ordinary_b_tree_does_it() {
        let tree = plan("(t.title ~~ ($1 || '%'::text))");
        let mut table = table();
        for column in table.columns.values_mut() {
            column.has_byte_order = true;
        }
        let asked = table.read(&of_plan(&tree)[0]);
        let found = estimate(&tree, &asked, &table, Kinds::default()).unwrap();
        assert_eq!(
            found.candidate.hypothetical(),
            "CREATE INDEX ON s.t USING btree (title)"
        );
    }

    #[test]
    fn where_nobody_knows_the_pattern_the_b_tree_is_told_of() {
        let both = Methods {
            gin: true,
            gist: true,
        };
        let caveat = |filter: &str| {
            let (tree, table) = (plan(filter), table());
            let asked = table.read(&of_plan(&tree)[0]);
            estimate_inverted(&tree, &asked, &table, "gin_trgm_ops", both)
                .unwrap()
                .caveat
        };
        let told = caveat("(t.title ~~ $1)").unwrap();
        let statement = "CREATE INDEX CONCURRENTLY ON s.t USING btree (title text_pattern_ops)";
        assert!(told.contains(statement), "{told}");
        assert!(caveat("(t.title ~~ ($1 || $2))").is_some(), "either may be %");
        assert_eq!(caveat("(t.title ~~* $1)"), None, "no b-tree finds that");
        assert_eq!(
            caveat("(t.title ~~ '%abc'::text)"),
            None,
            "it is known how it begins"
        );
    }
}
