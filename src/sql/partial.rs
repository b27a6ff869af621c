//! An index over one column of all rows, made into one over the rows that have a value there.

use pg_query::protobuf::{ColumnRef, NullTest, NullTestType};
use pg_query::{Node, NodeEnum};

use super::index_keys::{IndexKeys, index_keys};

/// The btree index over one column of all rows that a definition describes; none if it is another one. It may include more
/// columns, and enforces nothing.
pub fn over_one_column(definition: &str) -> Option<IndexKeys> {
    // hardly any other needs to be parsed
    if !definition.contains(" USING btree (") {
        return None;
    }
    let index = index_keys(definition)?;
    let is_plain = index.method == "btree" && !index.unique && index.predicate.is_none();
    (is_plain && index.keys.len() == 1).then_some(index)
}

/// The same index under another name, without the rows in which its one column is NULL: operator class, collation, order,
/// INCLUDE and storage parameters stay. None if it is no index over one column of all rows.
pub fn without_nulls(definition: &str, name: &str) -> Option<String> {
    over_one_column(definition)?;
    let mut tree = pg_query::parse(definition, 0).ok()?.protobuf;
    let NodeEnum::IndexStmt(index) = tree.stmts.first_mut()?.stmt.as_mut()?.node.as_mut()? else {
        return None;
    };
    let column = match index.index_params.first()?.node.as_ref()? {
        // an expression has no name
        NodeEnum::IndexElem(key) if !key.name.is_empty() => key.name.clone(),
        _ => return None,
    };
    index.idxname = name.to_owned();
    index.where_clause = Some(Box::new(has_value(column)));
    pg_query::deparse(&tree, pg_query::DeparseOptions::default()).ok()
}

/// `column IS NOT NULL`
fn has_value(column: String) -> Node {
    let name = node(NodeEnum::String(pg_query::protobuf::String { sval: column }));
    let column = node(NodeEnum::ColumnRef(ColumnRef {
        fields: vec![name],
        location: -1,
    }));
    node(NodeEnum::NullTest(Box::new(NullTest {
        arg: Some(Box::new(column)),
        nulltesttype: NullTestType::IsNotNull as i32,
        ..NullTest::default()
    })))
}

fn node(node: NodeEnum) -> Node {
    Node { node: Some(node) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_name_and_the_rows_stays() {
        let printed = "CREATE INDEX \"T a\" ON s.\"T\" USING btree (\"B c\" COLLATE \"C\" text_pattern_ops DESC NULLS LAST) \
                       INCLUDE (d, \"E\") WITH (fillfactor='70')";
        let made = without_nulls(printed, "T a not null").unwrap();
        let (before, after) = (index_keys(printed).unwrap(), index_keys(&made).unwrap());
        assert_eq!((&before.keys, &before.include), (&after.keys, &after.include));
        assert_eq!(after.predicate.as_deref(), Some("\"B c\" IS NOT NULL"));
        assert!(
            made.starts_with("CREATE INDEX \"T a not null\" ON s.\"T\" USING btree ("),
            "{made}"
        );
        assert!(made.contains("fillfactor"), "{made}");
        assert_eq!(
            without_nulls("CREATE INDEX i ON public.t USING btree (a)", "j").as_deref(),
            Some("CREATE INDEX j ON public.t USING btree (a) WHERE a IS NOT NULL")
        );
    }

    #[test]
    fn other_indexes_are_left_alone() {
        for other in [
            "CREATE UNIQUE INDEX i ON public.t USING btree (a)",
            "CREATE INDEX i ON public.t USING btree (a, b)",
            "CREATE INDEX i ON public.t USING btree (a) WHERE (b > 0)",
            "CREATE INDEX i ON public.t USING btree (lower(a))",
            "CREATE INDEX i ON public.t USING hash (a)",
            "CREATE INDEX i ON public.t USING btree (",
        ] {
            assert_eq!(without_nulls(other, "j"), None, "{other}");
        }
        let expression = over_one_column("CREATE INDEX i ON public.t USING btree (lower(a))");
        assert_eq!(expression.unwrap().keys[0].text, "lower(a)");
    }
}
