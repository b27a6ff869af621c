//! How an expression is computed: which functions, operators and casts it takes, of what, so that a server can be asked whether an
//! index may hold it.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, AExpr, AExprKind, FuncCall, Node, TypeName, a_const};

use super::expression::expression;

/// A part of an expression. Types have their short names, those of arrays with `_` before that of their elements, as in `pg_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Computed {
    /// A column of the one table that the expression is about.
    Column(String),
    /// A literal, with its type where that is written or plain.
    Literal(Option<String>),
    /// A function and its arguments.
    Function(String, Vec<Computed>),
    /// An operator and its one or two sides.
    Operator(String, Vec<Computed>),
    /// A cast to a type.
    Cast(String, Box<Computed>),
    /// What has the type of its parts and calls nothing itself, as COALESCE.
    AsParts(Vec<Computed>),
    /// What is true or false by its parts and calls nothing itself, as AND and IS NULL.
    Truth(Vec<Computed>),
    /// Anything else.
    Unknown,
}

/// The names in an expression that a server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Called {
    pub functions: BTreeSet<String>,
    pub operators: BTreeSet<String>,
    pub types: BTreeSet<String>,
    pub columns: BTreeSet<String>,
}

/// How an expression is computed, with columns by their bare names; [`Computed::Unknown`] if it cannot be parsed.
pub fn computed(text: &str) -> Computed {
    expression(text).map_or(Computed::Unknown, |node| part(&node))
}

impl Computed {
    /// Adds the names that this takes.
    pub fn collect(&self, called: &mut Called) {
        let parts = match self {
            Self::Column(name) => {
                called.columns.insert(name.clone());
                return;
            }
            Self::Literal(type_name) => {
                called.types.extend(type_name.clone());
                return;
            }
            Self::Cast(type_name, of) => {
                called.types.insert(type_name.clone());
                of.collect(called);
                return;
            }
            Self::Unknown => return,
            Self::Function(name, parts) => {
                called.functions.insert(name.clone());
                parts
            }
            Self::Operator(name, parts) => {
                called.operators.insert(name.clone());
                parts
            }
            Self::AsParts(parts) | Self::Truth(parts) => parts,
        };
        parts.iter().for_each(|part| part.collect(called));
    }
}

fn part(node: &Node) -> Computed {
    let parts = |nodes: &[Node]| nodes.iter().map(part).collect::<Vec<Computed>>();
    let one = |node: &Option<Box<Node>>| node.as_deref().map(part).into_iter().collect::<Vec<Computed>>();
    match node.node.as_ref() {
        Some(NodeEnum::ColumnRef(reference)) => match &reference.fields[..] {
            [field] => string(field).map_or(Computed::Unknown, Computed::Column),
            _ => Computed::Unknown,
        },
        Some(NodeEnum::AConst(constant)) => literal(constant),
        Some(NodeEnum::TypeCast(cast)) => {
            let type_name = cast.type_name.as_ref().and_then(type_name);
            match (type_name, cast.arg.as_deref().map(part)) {
                // it is read as that type and is one value from then on
                (Some(type_name), Some(Computed::Literal(_))) => Computed::Literal(Some(type_name)),
                (Some(type_name), Some(of)) => Computed::Cast(type_name, Box::new(of)),
                _ => Computed::Unknown,
            }
        }
        Some(NodeEnum::FuncCall(call)) => function(call),
        Some(NodeEnum::AExpr(compared)) => operator(compared),
        Some(NodeEnum::CoalesceExpr(all)) => Computed::AsParts(parts(&all.args)),
        Some(NodeEnum::MinMaxExpr(all)) => Computed::AsParts(parts(&all.args)),
        Some(NodeEnum::CollateClause(clause)) => Computed::AsParts(one(&clause.arg)),
        Some(NodeEnum::BoolExpr(all)) => Computed::Truth(parts(&all.args)),
        Some(NodeEnum::NullTest(test)) => Computed::Truth(one(&test.arg)),
        Some(NodeEnum::BooleanTest(test)) => Computed::Truth(one(&test.arg)),
        _ => Computed::Unknown,
    }
}

fn literal(constant: &AConst) -> Computed {
    let type_name = match &constant.val {
        Some(a_const::Val::Ival(_)) => Some("int4"),
        Some(a_const::Val::Fval(number)) if number.fval.parse::<i64>().is_ok() => Some("int8"),
        Some(a_const::Val::Fval(_)) => Some("numeric"),
        Some(a_const::Val::Boolval(_)) => Some("bool"),
        Some(a_const::Val::Bsval(_)) => Some("bit"),
        Some(a_const::Val::Sval(_)) | None => None,
    };
    Computed::Literal(type_name.map(str::to_owned))
}

fn function(call: &FuncCall) -> Computed {
    let is_plain = call.over.is_none() && !call.agg_star && !call.func_variadic && call.agg_order.is_empty();
    match call.funcname.last().and_then(string) {
        Some(name) if is_plain => Computed::Function(name, call.args.iter().map(part).collect()),
        _ => Computed::Unknown,
    }
}

fn operator(compared: &AExpr) -> Computed {
    let is_plain = [AExprKind::AexprOp, AExprKind::AexprLike, AExprKind::AexprIlike]
        .iter()
        .any(|kind| *kind as i32 == compared.kind);
    let sides = [&compared.lexpr, &compared.rexpr].into_iter();
    let sides = sides.flat_map(|side| side.as_deref().map(part)).collect();
    match compared.name.last().and_then(string) {
        Some(name) if is_plain => Computed::Operator(name, sides),
        _ => Computed::Unknown,
    }
}

fn type_name(written: &TypeName) -> Option<String> {
    let name = written.names.last().and_then(string)?;
    let is_plain = !written.setof && !written.pct_type;
    is_plain.then(|| match written.array_bounds.is_empty() {
        true => name,
        false => format!("_{name}"),
    })
}

fn string(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::String(part) => Some(part.sval.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Computed {
        Computed::Column(name.to_owned())
    }

    fn literal(type_name: &str) -> Computed {
        Computed::Literal(Some(type_name.to_owned()))
    }

    #[test]
    fn functions_operators_and_casts() {
        let function = |name: &str, of: Vec<Computed>| Computed::Function(name.to_owned(), of);
        assert_eq!(
            computed("date_trunc('day'::text, (at)::timestamp with time zone)"),
            function(
                "date_trunc",
                vec![
                    literal("text"),
                    Computed::Cast("timestamptz".into(), Box::new(column("at")))
                ]
            )
        );
        assert_eq!(
            computed("(at AT TIME ZONE 'UTC'::text)"),
            function("timezone", vec![literal("text"), column("at")])
        );
        assert_eq!(
            computed("((info ->> 'k'::text) = 'a'::text)"),
            Computed::Operator(
                "=".into(),
                vec![
                    Computed::Operator("->>".into(), vec![column("info"), literal("text")]),
                    literal("text")
                ]
            )
        );
        assert_eq!(
            computed("(COALESCE(a, 0) IS NULL)"),
            Computed::Truth(vec![Computed::AsParts(vec![column("a"), literal("int4")])])
        );
        assert_eq!(
            computed("(tags)::text[]"),
            Computed::Cast("_text".into(), Box::new(column("tags")))
        );
    }

    #[test]
    fn what_is_not_known_is_not_taken_for_known() {
        for text in [
            "CURRENT_DATE",
            "(a IS DISTINCT FROM b)",
            "CASE WHEN a THEN 1 ELSE 2 END",
            "$1",
            "(a",
            "count(*)",
        ] {
            assert_eq!(computed(text), Computed::Unknown, "{text}");
        }
        let inner = computed("lower((SELECT 'a'::text))");
        assert_eq!(inner, Computed::Function("lower".into(), vec![Computed::Unknown]));
    }

    #[test]
    fn all_names_are_collected() {
        let mut called = Called::default();
        computed("(lower((name)::text) || 'x'::bpchar)").collect(&mut called);
        let of = |names: &[&str]| {
            names
                .iter()
                .map(ToString::to_string)
                .collect::<BTreeSet<String>>()
        };
        assert_eq!(called.functions, of(&["lower"]));
        assert_eq!(called.operators, of(&["||"]));
        assert_eq!(called.types, of(&["text", "bpchar"]));
        assert_eq!(called.columns, of(&["name"]));
    }
}
