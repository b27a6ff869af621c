//! What is seen in the parser's tree of a statement.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::AExprKind;
use pg_query::{Node, NodeEnum};
use serde_json::Value;

use super::KnownTable;
use crate::sql::twin::parameters;

/// Types that a cast makes of any number in the same way for everybody.
const NUMBERS: [&str; 6] = ["int2", "int4", "int8", "numeric", "float4", "float8"];
/// What no view holds, or what is not looked into.
const NOT_SEEN_THROUGH: [&str; 14] = [
    "AStar",
    "AIndirection",
    "RowExpr",
    "CollateClause",
    "XmlExpr",
    "SubLink",
    "RangeSubselect",
    "RangeFunction",
    "RangeTableSample",
    "RangeTableFunc",
    "JsonTable",
    "SqlvalueFunction",
    "GroupingSet",
    "WindowDef",
];

/// Whether everything in it is what it seems, and answers the same for everybody, but for functions.
pub(super) fn is_seen_through(tree: &Value) -> bool {
    match tree {
        Value::Object(fields) => fields.iter().all(|(kind, value)| {
            let is_window = kind == "over" && !value.is_null();
            // a text or a date of a time is another one in another zone
            let is_other_cast = kind == "TypeCast"
                && tree_has(value, "ColumnRef")
                && !NUMBERS.contains(&last_name(&value["type_name"]["names"]));
            !is_window
                && !is_other_cast
                && !NOT_SEEN_THROUGH.contains(&kind.as_str())
                && is_seen_through(value)
        }),
        Value::Array(values) => values.iter().all(is_seen_through),
        _ => true,
    }
}

/// The last part of a name.
pub(super) fn last_name(parts: &Value) -> &str {
    let last = parts.as_array().and_then(|parts| parts.last());
    last.and_then(|part| part["node"]["String"]["sval"].as_str())
        .unwrap_or("")
}

pub(super) fn collect_functions(tree: &Value, found: &mut BTreeSet<String>) {
    match tree {
        Value::Object(fields) => fields.iter().for_each(|(kind, value)| {
            if kind == "FuncCall" {
                found.insert(last_name(&value["funcname"]).to_owned());
            }
            collect_functions(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| collect_functions(value, found)),
        _ => {}
    }
}

pub(super) fn tables_of(from: &Node, tables: &mut Vec<(String, String)>) -> Option<()> {
    match from.node.as_ref()? {
        NodeEnum::RangeVar(table) => tables.push((table.schemaname.clone(), table.relname.clone())),
        NodeEnum::JoinExpr(join) => {
            tables_of(join.larg.as_deref()?, tables)?;
            tables_of(join.rarg.as_deref()?, tables)?;
        }
        _ => return None,
    }
    Some(())
}

pub(super) type Columns = BTreeMap<String, BTreeSet<String>>;

/// Names tables with their schemas.
pub(super) fn qualify(
    from: &mut Node,
    known: &dyn Fn(&str, &str) -> Option<KnownTable>,
    (tables, columns): (&mut Vec<(String, String)>, &mut Columns),
) -> Option<()> {
    match from.node.as_mut()? {
        NodeEnum::RangeVar(table) => {
            let found = known(&table.schemaname, &table.relname)?;
            table.schemaname = found.schema;
            // qualified columns go on to mean it
            tables.push((table.schemaname.clone(), table.relname.clone()));
            for (name, type_name) in found.columns {
                columns.entry(name).or_default().insert(type_name);
            }
            Some(())
        }
        NodeEnum::JoinExpr(join) => {
            let no_parameters = join.quals.as_deref().is_none_or(|quals| !has_parameters(quals));
            let (left, right) = (join.larg.as_mut()?, join.rarg.as_mut()?);
            qualify(left, known, (tables, columns))?;
            qualify(right, known, (tables, columns))?;
            no_parameters.then_some(())
        }
        _ => None,
    }
}

/// What PostgreSQL calls a column of the result (`FigureColname`).
pub(super) fn name_of(expression: &Node) -> String {
    named(expression).unwrap_or_else(|| "?column?".to_owned())
}

pub(super) fn named(expression: &Node) -> Option<String> {
    let last = |parts: &[Node]| match parts.last().and_then(|part| part.node.as_ref()) {
        Some(NodeEnum::String(part)) => Some(part.sval.clone()),
        _ => None,
    };
    match expression.node.as_ref()? {
        NodeEnum::ColumnRef(column) => last(&column.fields),
        NodeEnum::FuncCall(call) => last(&call.funcname),
        NodeEnum::TypeCast(cast) => {
            let of_type = || last(&cast.type_name.as_ref()?.names);
            cast.arg.as_deref().and_then(named).or_else(of_type)
        }
        NodeEnum::CaseExpr(_) => Some("case".to_owned()),
        NodeEnum::CoalesceExpr(_) => Some("coalesce".to_owned()),
        NodeEnum::MinMaxExpr(one) => Some(match one.op() {
            pg_query::protobuf::MinMaxOp::IsLeast => "least".to_owned(),
            _ => "greatest".to_owned(),
        }),
        NodeEnum::AExpr(one) if one.kind() == AExprKind::AexprNullif => Some("nullif".to_owned()),
        NodeEnum::AArrayExpr(_) => Some("array".to_owned()),
        _ => None,
    }
}

/// The name of a column that is named without its table.
pub(super) fn bare_column(expression: &Node) -> Option<String> {
    let Some(NodeEnum::ColumnRef(column)) = &expression.node else {
        return None;
    };
    match &column.fields[..] {
        [field] => match &field.node {
            Some(NodeEnum::String(name)) => Some(name.sval.clone()),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn whole_number(expression: &Node) -> Option<usize> {
    match &expression.node {
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(pg_query::protobuf::a_const::Val::Ival(number)) => usize::try_from(number.ival).ok(),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn has_parameters(node: &Node) -> bool {
    serde_json::to_value(node).map_or(true, |tree| !parameters(&tree).is_empty())
}

pub(super) fn has_columns(node: &Node) -> bool {
    contains(node, "ColumnRef")
}

pub(super) fn contains(node: &Node, kind: &str) -> bool {
    serde_json::to_value(node).map_or(true, |tree| tree_has(&tree, kind))
}

pub(super) fn tree_has(tree: &Value, kind: &str) -> bool {
    match tree {
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key == kind || tree_has(value, kind)),
        Value::Array(values) => values.iter().any(|value| tree_has(value, kind)),
        _ => false,
    }
}
