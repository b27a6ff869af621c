//! Conditions that are a boolean as it is: a column, or what a function says.

use pg_query::NodeEnum;
use pg_query::protobuf::{FuncCall, Node};
use serde_json::Value;

use super::unknown::names_parameter;
use super::{Comparison, Operand, operand};
use crate::sql::names::parts;

/// Operators behind which a constant names a part of a document.
const FIELDS: [&str; 4] = ["->", "->>", "#>", "#>>"];

/// A boolean by which all calls of a statement pick the same rows. What is computed with a constant is none, and no key of an
/// index either: `overlaps(t.at, '2026-01-01')` has another one in the next call.
pub(super) fn state(node: &Node) -> Option<Operand> {
    let holds_one = serde_json::to_value(node).map_or(true, |tree| holds_value(&tree));
    (!holds_one).then(|| operand(node))
}

/// Whether a tree holds a constant that is a value: no boolean, no length of a type, no name of a field.
fn holds_value(tree: &Value) -> bool {
    match tree {
        Value::Object(fields) => fields.iter().any(|(kind, value)| match kind.as_str() {
            "AConst" => value["val"]["Boolval"].is_null(),
            "AExpr" if is_field(value) => holds_value(&value["lexpr"]),
            "type_name" => false,
            _ => holds_value(value),
        }),
        Value::Array(values) => values.iter().any(holds_value),
        _ => false,
    }
}

fn is_field(compared: &Value) -> bool {
    let name = parts(&compared["name"]);
    name.last().is_some_and(|name| FIELDS.contains(name))
}

/// `starts_with(t.a, 'x')`, which the planner takes for `t.a ^@ 'x'`, in each call for another one where that is a parameter.
pub(super) fn beginning(node: &Node) -> Option<(Operand, Comparison, Operand)> {
    let NodeEnum::FuncCall(call) = node.node.as_ref()? else {
        return None;
    };
    let [text, with] = &call.args[..] else {
        return None;
    };
    let (left, right) = (operand(text), operand(with));
    let is_key = matches!(left, Operand::Column(_) | Operand::Expression { .. });
    let comparison = match names_parameter(with) {
        true => Comparison::Begins,
        false => Comparison::Prefix,
    };
    let is_it = is_starts_with(call) && is_key && matches!(right, Operand::Value(_));
    is_it.then_some((left, comparison, right))
}

/// PostgreSQL's own function of that name.
fn is_starts_with(call: &FuncCall) -> bool {
    let part = |part: &Node| match &part.node {
        Some(NodeEnum::String(part)) => Some(part.sval.clone()),
        _ => None,
    };
    let name: Vec<String> = call.funcname.iter().filter_map(part).collect();
    let name: Vec<&str> = name.iter().map(String::as_str).collect();
    matches!(&name[..], ["starts_with"] | ["pg_catalog", "starts_with"])
}

#[cfg(test)]
mod tests {
    use super::super::{Condition, conditions};
    use super::*;

    /// What is compared how.
    fn told(text: &str) -> Vec<(String, Comparison)> {
        let told = |condition: Condition| match condition {
            Condition::Term { left, comparison, .. } => match left {
                Operand::Column(name) => (name.column, comparison),
                Operand::Expression { text, .. } => (text, comparison),
                other => panic!("{text}: {other:?}"),
            },
            other => panic!("{text}: {other:?}"),
        };
        conditions(text).into_iter().map(told).collect()
    }

    #[test]
    fn a_boolean_is_the_same_in_all_calls_unless_it_is_computed_with_a_constant() {
        use Comparison::{False, True};
        for (text, part, comparison) in [
            ("t.is_active", "is_active", True),
            ("(NOT t.is_active)", "is_active", False),
            ("(t.is_active IS TRUE)", "is_active", True),
            ("is_even(t.id)", "is_even(id)", True),
            ("(NOT COALESCE(t.done, false))", "done", False),
            ("((t.info ->> 'done'::text))::boolean", "info ->> 'done'", True),
        ] {
            let all = told(text);
            assert_eq!(all.len(), 1, "{text}: {all:?}");
            assert!(all[0].0.contains(part), "{text}: {all:?}");
            assert_eq!(all[0].1, comparison, "{text}");
        }
        for text in [
            "has_tag(t.id, 'abc'::text)",
            "(NOT has_tag(t.id, 'abc'::text))",
            "(has_tag(t.id, 7) IS TRUE)",
            "((t.a > 5) IS TRUE)",
            "(NOT (t.info @> '{\"a\": 1}'::jsonb))",
            "(has_tag((t.info ->> 'id'::text), 'abc'::text))",
        ] {
            assert!(told(text).is_empty(), "{text}: {:?}", told(text));
        }
    }

    #[test]
    fn what_starts_with_a_constant_is_a_range() {
        for (text, key) in [
            ("starts_with(t.title, 'abc'::text)", "title"),
            ("starts_with((t.name)::text, 'abc'::text)", "name::text"),
            (
                "pg_catalog.starts_with(lower(t.title), 'abc'::text)",
                "lower(title)",
            ),
        ] {
            assert_eq!(told(text), [(key.to_owned(), Comparison::Prefix)], "{text}");
        }
        for text in [
            "other.starts_with(t.title, 'abc'::text)",
            "starts_with('abc'::text, t.title)",
            "(NOT starts_with(t.title, 'abc'::text))",
        ] {
            assert!(told(text).is_empty(), "{text}: {:?}", told(text));
        }
    }
}
