//! What an expression leaves open until a statement is called: its parameters.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, Node, Token, a_const};
use serde_json::Value;

use super::patterns::is_prefix;
use super::{columns, deparsed, expression};
use crate::sql::trigram::is_searched_by;

/// Whether a text holds a parameter, or the value of an outer query.
pub fn has_parameter(text: &str) -> bool {
    // the value of an outer query, `$0` to EXPLAIN, is a question mark to the parser
    text.contains('?')
        || pg_query::scan(text).map_or(true, |scan| {
            scan.tokens.iter().any(|token| token.token == Token::Param as i32)
        })
}

/// Whether a condition compares what is computed of a relation's columns with a parameter, as `date_trunc($1, t.at) = $2`: an
/// index on that would have to contain the parameter's value.
pub fn compares_what_a_parameter_makes(text: &str) -> bool {
    expression(text).is_some_and(|node| compares(&node))
}

/// The same of a key that is sorted or grouped by.
pub fn is_made_by_a_parameter(key: &str) -> bool {
    expression(without_order(key)).is_some_and(|node| is_made(&node))
}

/// A key of a sort without the order that is written behind it.
pub fn without_order(key: &str) -> &str {
    let mut rest = key.trim();
    for words in [" NULLS FIRST", " NULLS LAST", " DESC"] {
        rest = rest.strip_suffix(words).unwrap_or(rest);
    }
    rest
}

pub(super) fn names_parameter(node: &Node) -> bool {
    serde_json::to_value(node).is_ok_and(|tree| holds(&tree, &|_| true))
}

/// Whether a LIKE pattern is a parameter with a constant behind it, as `$1 || '%'`, or begins with fixed text before a parameter.
pub(super) fn begins_with_parameter(pattern: &Node) -> bool {
    let mut parts = Vec::new();
    concatenated(pattern, &mut parts);
    let is_text = |node: &Node| match &node.node {
        Some(NodeEnum::AConst(constant)) => matches!(constant.val, Some(a_const::Val::Sval(_))),
        _ => false,
    };
    let is_fixed = |node: &Node| deparsed(node).is_some_and(|text| is_prefix(&text));
    match &parts[..] {
        [first, second, ..] => match &first.node {
            Some(NodeEnum::ParamRef(_)) => is_text(second),
            _ => is_text(first) && is_fixed(first),
        },
        _ => false,
    }
}

/// The parts of `a || b || c`, without their types.
fn concatenated<'a>(node: &'a Node, parts: &mut Vec<&'a Node>) {
    let is_joint = |compared: &AExpr| {
        let name = compared.name.last().and_then(|part| part.node.as_ref());
        matches!(name, Some(NodeEnum::String(name)) if name.sval == "||")
    };
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => {
            if let Some(arg) = cast.arg.as_deref() {
                concatenated(arg, parts);
            }
        }
        Some(NodeEnum::AExpr(joint)) if is_joint(joint) => {
            for side in [&joint.lexpr, &joint.rexpr].into_iter().flatten() {
                concatenated(side, parts);
            }
        }
        _ => parts.push(node),
    }
}

fn compares(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::BoolExpr(all)) => all.args.iter().any(compares),
        Some(NodeEnum::AExpr(compared)) => {
            let name = match compared.name.last().and_then(|part| part.node.as_ref()) {
                Some(NodeEnum::String(name)) => name.sval.as_str(),
                _ => return false,
            };
            let kinds = [
                AExprKind::AexprOp as i32,
                AExprKind::AexprOpAny as i32,
                AExprKind::AexprIn as i32,
            ];
            let is_searched = (["=", "<", "<=", ">", ">="].contains(&name) || is_searched_by(name))
                && kinds.contains(&compared.kind);
            let mut sides = [&compared.lexpr, &compared.rexpr].into_iter().flatten();
            is_searched && sides.any(|side| is_made(side))
        }
        // a boolean in a document, as `(t.data ->> $1)::boolean`; what a function says of a value is no key of an index anyway
        Some(NodeEnum::TypeCast(cast)) => match cast.arg.as_deref().and_then(|of| of.node.as_ref()) {
            Some(NodeEnum::AExpr(_)) => is_made(node),
            _ => false,
        },
        _ => false,
    }
}

/// Whether it is computed of one relation's columns and a parameter. What a subplan gives, which has the number 0, is none.
fn is_made(node: &Node) -> bool {
    let of_a_call = |number: i64| number > 0;
    let holds_one = serde_json::to_value(node).is_ok_and(|tree| holds(&tree, &of_a_call));
    if !holds_one {
        return false;
    }
    let names = deparsed(node).map(|text| columns(&text)).unwrap_or_default();
    let first = names.first();
    first.is_some_and(|first| names.iter().all(|name| name.alias == first.alias))
}

/// Whether a tree holds a parameter of such a number.
fn holds(tree: &Value, is_it: &dyn Fn(i64) -> bool) -> bool {
    match tree {
        Value::Object(fields) => {
            let own = fields.get("ParamRef");
            own.is_some_and(|own| is_it(own["number"].as_i64().unwrap_or(0)))
                || fields.values().any(|field| holds(field, is_it))
        }
        Value::Array(values) => values.iter().any(|value| holds(value, is_it)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::expression::{Comparison, Condition, conditions};

    #[test]
    fn what_a_parameter_makes_of_columns() {
        for text in [
            "(date_trunc($1, t.at) = $2)",
            "((t.a = 1) AND ((t.data ->> $1) = $2))",
            "((t.a = 1) OR ((t.a + $1) > 5))",
            "((t.data ->> $1) = ANY ($2))",
            "(to_tsvector($1, t.body) @@ to_tsquery($2, $3))",
            "((t.data -> $1) @> $2)",
            "((t.data ->> $1) ~~* $2)",
            "((t.data ->> $1))::boolean",
            "((t.a = 1) AND (NOT ((t.data ->> $1))::boolean))",
        ] {
            assert!(compares_what_a_parameter_makes(text), "{text}");
        }
        for text in [
            "(t.a = ($1 + 1))",
            "(lower(t.a) = $1)",
            "(t.a ~~ ($1 || '%'::text))",
            "((t.a + (InitPlan 1).col1) = 5)",
            "((t.a + u.b) = $1)",
            "((t.a + (u.b * $1)) = 5)",
            "(to_tsvector('english'::regconfig, t.body) @@ to_tsquery($2, $3))",
            "((t.data ->> 'done'::text))::boolean",
            "((t.a + $1) <> 5)",
            "starts_with(t.a, $1)",
            "has_tag(t.id, $1)",
            "not ( SQL",
        ] {
            assert!(!compares_what_a_parameter_makes(text), "{text}");
        }
        assert!(is_made_by_a_parameter("(date_trunc($1, t.at)) DESC NULLS LAST"));
        assert!(!is_made_by_a_parameter("t.at DESC"));
        assert_eq!(without_order("(t.a + 1) DESC NULLS LAST"), "(t.a + 1)");
        assert_eq!(without_order("t.a NULLS FIRST"), "t.a");
    }

    #[test]
    fn patterns_that_begin_with_a_parameter() {
        let comparison = |text: &str| match conditions(text).remove(0) {
            Condition::Term { comparison, .. } => comparison,
            other => panic!("{text}: {other:?}"),
        };
        for text in [
            "(t.a ~~ ($1 || '%'::text))",
            "((t.a)::text ~~ (($1)::text || '%'::text))",
            "(t.a ~~ (($1 || '-'::text) || '%'::text))",
            "(t.a ^@ $1)",
            "starts_with(t.a, $1)",
            "starts_with((t.a)::text, lower($1))",
            "(t.a ~~ ('ab'::text || $1))",
        ] {
            assert_eq!(comparison(text), Comparison::Begins, "{text}");
        }
        // of the last one what was a constant may have been `%`
        for text in ["(t.a ~~ $1)", "(t.a ~~ ('%'::text || $1))", "(t.a ~~ ($1 || $2))"] {
            assert_eq!(comparison(text), Comparison::Operator("~~".into()), "{text}");
        }
        assert_eq!(comparison("(t.a ^@ 'abc'::text)"), Comparison::Prefix);
    }
}
