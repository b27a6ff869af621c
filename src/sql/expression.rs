//! Conditions as EXPLAIN (VERBOSE) writes them: every column with its relation's alias, everything in parentheses. They say
//! what the planner made of a statement, whatever views, subqueries and joins it was written with.

mod boolean;
mod columns;
mod elements;
mod extremes;
mod patterns;
mod positions;
mod subplans;
mod turned;
mod unknown;

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, BoolTestType, Node, NullTestType};

use self::boolean::{beginning, state};
pub(super) use self::columns::bare_columns_of;
pub use self::columns::{ColumnName, bare_columns, columns, unquoted};
use self::columns::{column_of, without_alias};
pub use self::elements::sought_in_arrays;
pub use self::extremes::extremes;
pub(super) use self::patterns::text_of;
use self::patterns::{is_anchored, is_prefix};
pub use self::positions::{asks_behind_a_position, conditions_beside_positions};
use self::subplans::without_subplans;
pub use self::turned::commutator;
use self::unknown::{begins_with_parameter, names_parameter};
pub use self::unknown::{
    compares_what_a_parameter_makes, has_parameter, is_made_by_a_parameter, without_order,
};

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A column.
    Column(ColumnName),
    /// An expression over columns of one relation; its text names them without the alias.
    Expression {
        /// The alias of the relation.
        alias: String,
        /// The expression.
        text: String,
    },
    /// Something that names no column: a constant, a parameter.
    Value(String),
    /// Something else.
    Other,
}

/// How two sides are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `= ANY`, `IN`
    AnyOf,
    /// `<`, `<=`, `>`, `>=`
    Range,
    /// `LIKE 'x%'`, `~ '^x'`, `^@ 'x'`
    Prefix,
    /// `LIKE $1 || '%'`, `^@ $1`: it begins with something else in each call, for which a generic plan searches no index.
    Begins,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
    /// A boolean as it is.
    True,
    /// A boolean negated.
    False,
    /// `<> ALL`, `NOT IN`, `IS DISTINCT FROM`, `IS NOT TRUE`, `IS NOT FALSE`: anything but that.
    NoneOf,
    /// Any other operator, as `@>` or `~~*`.
    Operator(String),
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// One comparison. Of two sides the left is never a value alone.
    Term {
        /// What is compared.
        left: Operand,
        /// How.
        comparison: Comparison,
        /// With what.
        right: Operand,
        /// The whole as text, columns without their alias, where it is about one relation and holds no parameter.
        text: Option<String>,
    },
    /// Rows compared by `<` and the like: what stands opposite to what. A pair counts only where those before it are equal.
    Rows(Vec<(Operand, Operand)>),
    /// Alternatives, each a list of conditions that must all hold.
    Or(Vec<Vec<Condition>>),
}

/// One key of a sort.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// What is sorted by.
    pub operand: Operand,
    /// `DESC`
    pub descending: bool,
    /// Whether nulls come first.
    pub nulls_first: bool,
}

/// The conditions that must all hold.
pub fn conditions(text: &str) -> Vec<Condition> {
    expression(text).map_or(Vec::new(), |node| all_of(&node))
}

/// A key of a sort, as `t.a DESC NULLS LAST`.
pub fn sort_key(text: &str) -> SortKey {
    let mut rest = text.trim();
    let mut nulls = None;
    for (words, first) in [(" NULLS FIRST", true), (" NULLS LAST", false)] {
        if let Some(stripped) = rest.strip_suffix(words) {
            (rest, nulls) = (stripped, Some(first));
        }
    }
    let descending = rest.ends_with(" DESC");
    rest = rest.strip_suffix(" DESC").unwrap_or(rest);
    SortKey {
        operand: expression(rest).map_or(Operand::Other, |node| operand(&node)),
        descending,
        nulls_first: nulls.unwrap_or(descending),
    }
}

/// What the distance is from, and the operator, where an expression is the distance of a column from a value.
pub fn distance(text: &str) -> Option<(Operand, String)> {
    // no index gives the farthest first
    let key = sort_key(text);
    if key.descending || key.nulls_first {
        return None;
    }
    let NodeEnum::AExpr(compared) = expression(text)?.node? else {
        return None;
    };
    let NodeEnum::String(operator) = compared.name.last()?.node.as_ref()? else {
        return None;
    };
    // those of PostgreSQL, pg_trgm and PostGIS; `<=>` and `<#>` of pgvector need indexes that give other rows
    let is_distance = [
        "<->", "<->>", "<<->", "<<->>", "<<<->", "<->>>", "<=>", "<#>", "<+>",
    ]
    .contains(&operator.sval.as_str());
    let side = |side: &Option<Box<Node>>| side.as_deref().map(operand);
    let (left, right) = (side(&compared.lexpr)?, side(&compared.rexpr)?);
    let from = match (&left, &right) {
        (Operand::Value(_), _) => right,
        (_, Operand::Value(_)) => left,
        _ => return None,
    };
    is_distance.then(|| (from, operator.sval.clone()))
}

/// An expression, as a group key.
pub fn key(text: &str) -> Operand {
    expression(text).map_or(Operand::Other, |node| operand(&node))
}

/// An expression in the parser's own spelling, so that two texts of one expression are the same.
pub fn normal(text: &str) -> Option<String> {
    expression(text).and_then(|node| deparsed(&node))
}

/// Whether an expression begins with one of PostgreSQL's common aggregates.
pub fn is_aggregate(text: &str) -> bool {
    let name = text.split('(').next().unwrap_or_default();
    let known = [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "jsonb_agg",
    ];
    known.contains(&name)
}

/// Parses an expression, after what only EXPLAIN writes was replaced: `(hashed SubPlan 1)` is a parameter to us.
pub(super) fn expression(text: &str) -> Option<Node> {
    let text = without_subplans(text);
    let tree = pg_query::parse(&format!("SELECT {text}"), 0).ok()?.protobuf;
    let NodeEnum::SelectStmt(select) = tree.stmts.into_iter().next()?.stmt?.node? else {
        return None;
    };
    let [target] = &select.target_list[..] else {
        return None;
    };
    match target.node.as_ref()? {
        NodeEnum::ResTarget(target) => target.val.as_deref().cloned(),
        _ => None,
    }
}

fn all_of(node: &Node) -> Vec<Condition> {
    let Some(NodeEnum::BoolExpr(bool_expr)) = &node.node else {
        return rows(node).or_else(|| term(node)).into_iter().collect();
    };
    match BoolExprType::try_from(bool_expr.boolop) {
        Ok(BoolExprType::AndExpr) => bool_expr.args.iter().flat_map(all_of).collect(),
        Ok(BoolExprType::OrExpr) => vec![Condition::Or(bool_expr.args.iter().map(all_of).collect())],
        _ => term(node).into_iter().collect(),
    }
}

/// `ROW(t.a, t.b) < ROW(1, 2)`, which is no expression that an index could have as a key.
fn rows(node: &Node) -> Option<Condition> {
    let NodeEnum::AExpr(compared) = node.node.as_ref()? else {
        return None;
    };
    let row = |side: &Option<Box<Node>>| match side.as_deref()?.node.as_ref()? {
        NodeEnum::RowExpr(row) => Some(row.args.iter().map(operand).collect::<Vec<Operand>>()),
        _ => None,
    };
    let (left, right) = (row(&compared.lexpr)?, row(&compared.rexpr)?);
    let NodeEnum::String(operator) = compared.name.last()?.node.as_ref()? else {
        return None;
    };
    let pairs = left
        .into_iter()
        .zip(right)
        .map(|(left, right)| value_last(left, right).0);
    matches!(operator.sval.as_str(), "<" | "<=" | ">" | ">=").then(|| Condition::Rows(pairs.collect()))
}

/// Two sides, a value behind what is none, and whether they are turned for that.
fn value_last(left: Operand, right: Operand) -> ((Operand, Operand), bool) {
    let is_value = |side: &Operand| matches!(side, Operand::Value(_) | Operand::Other);
    match is_value(&left) && !is_value(&right) {
        true => ((right, left), true),
        false => ((left, right), false),
    }
}

fn term(node: &Node) -> Option<Condition> {
    let (left, comparison, right) = match node.node.as_ref()? {
        NodeEnum::AExpr(compared) => compare(compared)?,
        NodeEnum::NullTest(test) => {
            let comparison = match NullTestType::try_from(test.nulltesttype) {
                Ok(NullTestType::IsNull) => Comparison::IsNull,
                _ => Comparison::IsNotNull,
            };
            (operand(test.arg.as_deref()?), comparison, Operand::Other)
        }
        NodeEnum::BooleanTest(test) => {
            let comparison = match BoolTestType::try_from(test.booltesttype) {
                Ok(BoolTestType::IsTrue) => Comparison::True,
                Ok(BoolTestType::IsFalse) => Comparison::False,
                Ok(BoolTestType::IsNotTrue | BoolTestType::IsNotFalse) => Comparison::NoneOf,
                _ => return None,
            };
            (state(test.arg.as_deref()?)?, comparison, Operand::Other)
        }
        NodeEnum::BoolExpr(not) => (state(not.args.first()?)?, Comparison::False, Operand::Other),
        _ => match beginning(node) {
            Some(found) => found,
            None => (state(node)?, Comparison::True, Operand::Other),
        },
    };
    let ((left, right), turned) = value_last(left, right);
    let comparison = match comparison {
        // `'a' LIKE column` says something else when it is turned
        Comparison::Operator(operator) if turned => Comparison::Operator(commutator(&operator)?.to_owned()),
        Comparison::Equal | Comparison::Range => comparison,
        _ if turned => return None,
        _ => comparison,
    };
    let text = about_one_relation(node);
    Some(Condition::Term {
        left,
        comparison,
        right,
        text,
    })
}

fn compare(compared: &pg_query::protobuf::AExpr) -> Option<(Operand, Comparison, Operand)> {
    let operator = match compared.name.last()?.node.as_ref()? {
        NodeEnum::String(name) => name.sval.as_str(),
        _ => return None,
    };
    let right = operand(compared.rexpr.as_deref()?);
    let left = operand(compared.lexpr.as_deref()?);
    let pattern_is = |kind: fn(&Node) -> bool| compared.rexpr.as_deref().is_some_and(kind);
    let comparison = match (AExprKind::try_from(compared.kind).ok()?, operator) {
        (AExprKind::AexprOp, "=") => Comparison::Equal,
        (AExprKind::AexprOp, "<" | "<=" | ">" | ">=") => Comparison::Range,
        (AExprKind::AexprOpAny | AExprKind::AexprIn, "=") => Comparison::AnyOf,
        (AExprKind::AexprOpAll | AExprKind::AexprIn, "<>") => Comparison::NoneOf,
        (AExprKind::AexprDistinct, "=") => Comparison::NoneOf,
        (AExprKind::AexprOp | AExprKind::AexprLike, "~~") => match &right {
            Operand::Value(pattern) if is_prefix(pattern) => Comparison::Prefix,
            Operand::Value(_) if pattern_is(begins_with_parameter) => Comparison::Begins,
            _ => Comparison::Operator("~~".into()),
        },
        (AExprKind::AexprOp, "~") => match &right {
            Operand::Value(pattern) if is_anchored(pattern) => Comparison::Prefix,
            _ => Comparison::Operator("~".into()),
        },
        (AExprKind::AexprOp, "^@") if matches!(right, Operand::Value(_)) => match pattern_is(names_parameter)
        {
            true => Comparison::Begins,
            false => Comparison::Prefix,
        },
        (AExprKind::AexprOp | AExprKind::AexprLike | AExprKind::AexprIlike, operator) => {
            Comparison::Operator(operator.into())
        }
        _ => return None,
    };
    Some((left, comparison, right))
}

fn operand(node: &Node) -> Operand {
    match node.node.as_ref() {
        Some(NodeEnum::ColumnRef(_)) => match column_of(node) {
            Some(name) => Operand::Column(name),
            None => Operand::Other,
        },
        Some(NodeEnum::RowExpr(_)) => Operand::Other,
        Some(NodeEnum::TypeCast(cast)) => match cast.arg.as_deref().map(|arg| (arg, operand(arg))) {
            Some((arg, Operand::Value(_))) => Operand::Value(deparsed(arg).unwrap_or_default()),
            _ => computed(node),
        },
        Some(_) => computed(node),
        None => Operand::Other,
    }
}

/// Whatever is no column: an expression over one relation, a value, or something else.
fn computed(node: &Node) -> Operand {
    let Some(text) = deparsed(node) else {
        return Operand::Other;
    };
    let names = columns(&text);
    match names.first() {
        None => Operand::Value(text),
        // no index has a key that is another one in each call
        Some(_) if names_parameter(node) => Operand::Other,
        Some(first) if names.iter().all(|name| name.alias == first.alias) => Operand::Expression {
            text: without_alias(&text, &first.alias),
            alias: first.alias.clone(),
        },
        Some(_) => Operand::Other,
    }
}

/// The text of a condition on one relation that holds for all calls alike.
fn about_one_relation(node: &Node) -> Option<String> {
    let text = deparsed(node)?;
    let names = columns(&text);
    let first = names.first()?;
    let one = names.iter().all(|name| name.alias == first.alias);
    (one && !has_parameter(&text)).then(|| without_alias(&text, &first.alias))
}

pub(super) fn deparsed(node: &Node) -> Option<String> {
    let target = pg_query::protobuf::ResTarget {
        val: Some(Box::new(node.clone())),
        ..Default::default()
    };
    let select = pg_query::protobuf::SelectStmt {
        target_list: vec![Node {
            node: Some(NodeEnum::ResTarget(Box::new(target))),
        }],
        limit_option: pg_query::protobuf::LimitOption::Default as i32,
        op: pg_query::protobuf::SetOperation::SetopNone as i32,
        ..Default::default()
    };
    let text = NodeEnum::SelectStmt(Box::new(select))
        .deparse(pg_query::DeparseOptions::default())
        .ok()?;
    text.strip_prefix("SELECT ").map(str::to_owned)
}

#[cfg(test)]
mod tests;
