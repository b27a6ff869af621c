//! Arrays in which a value is looked for from the wrong side: `$1 = ANY (t.tags)` is asked of every row, and `t.tags @> ARRAY[$1]`,
//! which says the same, of an index.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, Node};

use super::columns::column_of;
use super::{ColumnName, Operand, expression, operand};

/// The columns that are arrays in which a condition looks for one value.
pub fn sought_in_arrays(text: &str) -> Vec<ColumnName> {
    // most have none, which needs no parser
    if !text.contains(" = ANY (") {
        return Vec::new();
    }
    expression(text).map_or_else(Vec::new, |node| sought(&node))
}

fn sought(node: &Node) -> Vec<ColumnName> {
    match &node.node {
        Some(NodeEnum::BoolExpr(all)) if all.boolop() != BoolExprType::NotExpr => {
            all.args.iter().flat_map(sought).collect()
        }
        Some(NodeEnum::AExpr(compared)) if compared.kind() == AExprKind::AexprOpAny => {
            let name = compared.name.last().and_then(|part| part.node.as_ref());
            let is_equal = matches!(name, Some(NodeEnum::String(name)) if name.sval == "=");
            let value = compared.lexpr.as_deref().map(operand);
            let is_value = is_equal && matches!(value, Some(Operand::Value(_)));
            let array = compared.rexpr.as_deref().and_then(column_of);
            array.filter(|_| is_value).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_looked_for_in_an_array() {
        for text in [
            "($1 = ANY (t.tags))",
            "('a'::text = ANY (t.tags))",
            "((t.id > 5) AND ($1 = ANY (t.tags)))",
            "((t.id = $1) OR ((7)::bigint = ANY (t.tags)))",
        ] {
            let names: Vec<String> = sought_in_arrays(text)
                .into_iter()
                .map(|name| name.column)
                .collect();
            assert_eq!(names, ["tags"], "{text}");
        }
        for text in [
            "(t.id = ANY ($1))",
            "(t.id = ANY ('{1,2}'::integer[]))",
            "(u.id = ANY (t.tags))",
            "(NOT ($1 = ANY (t.tags)))",
            "($1 < ANY (t.tags))",
            "(t.tags @> $1)",
        ] {
            assert!(sought_in_arrays(text).is_empty(), "{text}");
        }
    }
}
