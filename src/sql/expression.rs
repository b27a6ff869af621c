//! Conditions as EXPLAIN (VERBOSE) writes them: every column with its relation's alias, everything in parentheses. They say
//! what the planner made of a statement, whatever views, subqueries and joins it was written with.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, BoolTestType, Node, NullTestType, Token};

use crate::model::remedy::quote_identifier;

/// A column and the alias of its relation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnName {
    /// The alias of the relation in this plan.
    pub alias: String,
    /// The column.
    pub column: String,
}

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
    /// `LIKE 'x%'`, `~ '^x'`, `^@`
    Prefix,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
    /// A boolean as it is.
    True,
    /// A boolean negated.
    False,
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

/// The columns that a text of EXPLAIN names without an alias, as it does in what a node puts out where there is but one
/// relation.
pub fn bare_columns(text: &str) -> Vec<String> {
    // most are one name, which needs no parser
    if !text.is_empty() && quote_identifier(text) == text {
        return vec![text.to_owned()];
    }
    let node = expression(text.trim_start_matches("PARTIAL "));
    node.map_or_else(Vec::new, |node| bare_columns_of(&node))
}

/// The same of what was parsed already.
pub(super) fn bare_columns_of(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(tree) = serde_json::to_value(node) {
        collect_bare(&tree, &mut found);
    }
    found
}

fn collect_bare(tree: &serde_json::Value, found: &mut Vec<String>) {
    match tree {
        serde_json::Value::Object(fields) => {
            if let Some(fields) = fields
                .get("ColumnRef")
                .and_then(|column| column["fields"].as_array())
                && let [field] = &fields[..]
                && let Some(name) = field["node"]["String"]["sval"].as_str()
            {
                found.push(name.to_owned());
            }
            fields.values().for_each(|value| collect_bare(value, found));
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect_bare(value, found)),
        _ => {}
    }
}

/// All columns that a text of EXPLAIN names, parsable or not.
pub fn columns(text: &str) -> Vec<ColumnName> {
    let Ok(scan) = pg_query::scan(text) else {
        return Vec::new();
    };
    let part = |token: &pg_query::protobuf::ScanToken| {
        let raw = text.get(token.start as usize..token.end as usize)?;
        let name = raw.starts_with('"') || raw.starts_with(|c: char| c.is_alphabetic() || c == '_');
        name.then(|| unquoted(raw))
    };
    let tokens = &scan.tokens;
    let dot = |position: usize| {
        tokens
            .get(position)
            .is_some_and(|token| token.token == Token::Ascii46 as i32)
    };
    let mut found = Vec::new();
    for position in 0..tokens.len() {
        let starts = !dot(position.wrapping_sub(1)) && dot(position + 1) && !dot(position + 3);
        let (Some(alias), true) = (part(&tokens[position]), starts) else {
            continue;
        };
        let is_call = tokens
            .get(position + 3)
            .is_some_and(|token| token.token == Token::Ascii40 as i32);
        if let Some(column) = tokens.get(position + 2).and_then(part).filter(|_| !is_call) {
            found.push(ColumnName { alias, column });
        }
    }
    found
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

/// A name as SQL writes it, without its quotes.
pub fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

/// Parses an expression, after what only EXPLAIN writes was replaced: `(hashed SubPlan 1)` is a value to us.
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

fn without_subplans(text: &str) -> String {
    let mut out = text.to_owned();
    for word in ["SubPlan ", "InitPlan "] {
        while let Some(at) = out.find(word) {
            let open = out[..at].rfind('(').unwrap_or(at);
            let close = out[at..].find(')').map_or(out.len(), |end| at + end + 1);
            // from 17 a column of it is named behind the parenthesis
            let column = out[close..].strip_prefix(".col").map_or(0, |rest| {
                4 + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
            });
            out.replace_range(open..close + column, "NULL");
        }
    }
    out
}

fn all_of(node: &Node) -> Vec<Condition> {
    let Some(NodeEnum::BoolExpr(bool_expr)) = &node.node else {
        return term(node).into_iter().collect();
    };
    match BoolExprType::try_from(bool_expr.boolop) {
        Ok(BoolExprType::AndExpr) => bool_expr.args.iter().flat_map(all_of).collect(),
        Ok(BoolExprType::OrExpr) => vec![Condition::Or(bool_expr.args.iter().map(all_of).collect())],
        _ => term(node).into_iter().collect(),
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
                _ => return None,
            };
            (operand(test.arg.as_deref()?), comparison, Operand::Other)
        }
        NodeEnum::BoolExpr(not) => (operand(not.args.first()?), Comparison::False, Operand::Other),
        _ => (operand(node), Comparison::True, Operand::Other),
    };
    let is_value = |side: &Operand| matches!(side, Operand::Value(_) | Operand::Other);
    let (left, right, turned) = match is_value(&left) && !is_value(&right) {
        true => (right, left, true),
        false => (left, right, false),
    };
    // `'a' LIKE column` and `1 @> column` say something else when they are turned
    if turned && !matches!(comparison, Comparison::Equal | Comparison::Range) {
        return None;
    }
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
    let comparison = match (AExprKind::try_from(compared.kind).ok()?, operator) {
        (AExprKind::AexprOp, "=") => Comparison::Equal,
        (AExprKind::AexprOp, "<" | "<=" | ">" | ">=") => Comparison::Range,
        (AExprKind::AexprOpAny | AExprKind::AexprIn, "=") => Comparison::AnyOf,
        (AExprKind::AexprOp | AExprKind::AexprLike, "~~") => match &right {
            Operand::Value(pattern) if is_prefix(pattern) => Comparison::Prefix,
            _ => Comparison::Operator("~~".into()),
        },
        (AExprKind::AexprOp, "~") => match &right {
            Operand::Value(pattern) if is_anchored(pattern) => Comparison::Prefix,
            _ => Comparison::Operator("~".into()),
        },
        (AExprKind::AexprOp, "^@") if matches!(right, Operand::Value(_)) => Comparison::Prefix,
        (AExprKind::AexprOp | AExprKind::AexprLike | AExprKind::AexprIlike, operator) => {
            Comparison::Operator(operator.into())
        }
        _ => return None,
    };
    Some((left, comparison, right))
}

/// Whether a LIKE pattern, as a constant in SQL, begins with something fixed.
fn is_prefix(constant: &str) -> bool {
    constant
        .strip_prefix('\'')
        .is_some_and(|pattern| !pattern.starts_with(['%', '_', '\'', '\\']))
}

/// Whether a regular expression, as a constant in SQL, begins with something fixed.
fn is_anchored(constant: &str) -> bool {
    let pattern = constant.strip_prefix("'^").and_then(|rest| rest.chars().next());
    pattern.is_some_and(|first| first.is_alphanumeric() || first == '_')
}

fn operand(node: &Node) -> Operand {
    match node.node.as_ref() {
        Some(NodeEnum::ColumnRef(_)) => match column_of(node) {
            Some(name) => Operand::Column(name),
            None => Operand::Other,
        },
        Some(NodeEnum::TypeCast(cast)) => match cast.arg.as_deref().map(|arg| (arg, operand(arg))) {
            Some((arg, Operand::Value(_))) => Operand::Value(deparsed(arg).unwrap_or_default()),
            _ => computed(node),
        },
        Some(_) => computed(node),
        None => Operand::Other,
    }
}

fn column_of(node: &Node) -> Option<ColumnName> {
    let Some(NodeEnum::ColumnRef(reference)) = &node.node else {
        return None;
    };
    let part = |field: &Node| match &field.node {
        Some(NodeEnum::String(part)) => Some(part.sval.clone()),
        _ => None,
    };
    match &reference.fields[..] {
        [alias, column] => Some(ColumnName {
            alias: part(alias)?,
            column: part(column)?,
        }),
        _ => None,
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

fn has_parameter(text: &str) -> bool {
    // the value of an outer query, `$0` to EXPLAIN, is a question mark to the parser
    text.contains('?')
        || pg_query::scan(text).map_or(true, |scan| {
            scan.tokens.iter().any(|token| token.token == Token::Param as i32)
        })
}

/// A text with `alias.` taken off its columns.
fn without_alias(text: &str, alias: &str) -> String {
    let Ok(scan) = pg_query::scan(text) else {
        return text.to_owned();
    };
    let mut out = String::new();
    let mut copied = 0;
    for pair in scan.tokens.windows(2) {
        let (start, dot) = (pair[0].start as usize, pair[1].end as usize);
        let is_alias =
            pair[1].token == Token::Ascii46 as i32 && unquoted(&text[start..pair[0].end as usize]) == alias;
        if is_alias && start >= copied {
            out.push_str(&text[copied..start]);
            copied = dot;
        }
    }
    out.push_str(&text[copied..]);
    out
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
mod tests {
    use super::*;

    fn column(alias: &str, column: &str) -> Operand {
        Operand::Column(ColumnName {
            alias: alias.into(),
            column: column.into(),
        })
    }

    fn only(text: &str) -> (Operand, Comparison, Operand, Option<String>) {
        let mut all = conditions(text);
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        match all.remove(0) {
            Condition::Term {
                left,
                comparison,
                right,
                text,
            } => (left, comparison, right, text),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn comparisons_of_columns_and_values() {
        let (left, comparison, right, text) = only("(t.a = 5)");
        assert_eq!((left, comparison), (column("t", "a"), Comparison::Equal));
        assert_eq!(right, Operand::Value("5".into()));
        assert_eq!(text.as_deref(), Some("a = 5"));
        assert_eq!(only("(t.a = $1)").3, None, "a parameter holds for one call");
        assert_eq!(only("(5 > \"T x\".\"A\")").0, column("T x", "A"));
        assert_eq!(only("(o.id = i.order_id)").2, column("i", "order_id"));
        assert_eq!(only("(t.a = ANY ('{1,2}'::integer[]))").1, Comparison::AnyOf);
        assert_eq!(only("(t.name ~~ 'abc%'::text)").1, Comparison::Prefix);
        assert_eq!(
            only("(t.name ~~ '%abc'::text)").1,
            Comparison::Operator("~~".into())
        );
        assert_eq!(
            only("(t.name ~~* '%abc'::text)").1,
            Comparison::Operator("~~*".into())
        );
        assert_eq!(
            only("(t.j @> '{\"a\": 1}'::jsonb)").1,
            Comparison::Operator("@>".into())
        );
        assert_eq!(only("(t.name ~ '^abc'::text)").1, Comparison::Prefix);
        assert_eq!(
            only("(t.name ~ '^.bc'::text)").1,
            Comparison::Operator("~".into())
        );
        assert_eq!(only("(t.name ^@ 'abc'::text)").1, Comparison::Prefix);
        assert_eq!(only("(t.a IS NULL)").1, Comparison::IsNull);
        assert_eq!(only("t.is_active").1, Comparison::True);
        let (left, comparison, _, text) = only("(NOT t.is_deleted)");
        assert_eq!(
            (left, comparison, text.as_deref()),
            (
                column("t", "is_deleted"),
                Comparison::False,
                Some("NOT is_deleted")
            )
        );
    }

    #[test]
    fn casts_and_expressions() {
        let cast = only("((t.name)::text = 'x'::text)").0;
        assert_eq!(
            cast,
            Operand::Expression {
                alias: "t".into(),
                text: "name::text".into()
            }
        );
        let expression = only("(upper((t.code)::text) = 'X'::text)").0;
        assert_eq!(
            expression,
            Operand::Expression {
                alias: "t".into(),
                text: "upper(code::text)".into()
            }
        );
        assert_eq!(only("((t.a + u.b) = 5)").0, Operand::Other);
    }

    #[test]
    fn and_or_and_what_only_explain_writes() {
        let all = conditions("((t.a = 1) AND (t.b < 2) AND ((t.c = 3) OR (t.d = 4)))");
        assert_eq!(all.len(), 3);
        assert!(matches!(&all[2], Condition::Or(arms) if arms.len() == 2));
        assert_eq!(only("(t.a < (InitPlan 1).col1)").0, column("t", "a"));
        let (_, comparison, _, text) = only("((t.a)::numeric > $0)");
        assert_eq!((comparison, text), (Comparison::Range, None));
        assert_eq!(conditions("(NOT (hashed SubPlan 1))").len(), 1);
        assert_eq!(conditions("this is ( not SQL"), vec![]);
        assert_eq!(columns("PARTIAL sum((t.a * u.\"B c\"))").len(), 2);
        assert_eq!(columns("pg_catalog.lower(t.a)").len(), 1);
        assert_eq!(bare_columns("order_date"), ["order_date"]);
        assert!(bare_columns("current_date").is_empty());
        assert!(bare_columns("").is_empty());
        assert_eq!(bare_columns("PARTIAL max(order_date)"), ["order_date"]);
        assert_eq!(bare_columns("(lower(\"B c\") || t.d)"), ["B c"]);
    }

    #[test]
    fn distances() {
        let from = |text: &str| distance(text).map(|(from, _)| from);
        assert_eq!(from("((t.place <-> '(1,2)'::point))"), Some(column("t", "place")));
        assert_eq!(from("(('abc'::text <-> t.title))"), Some(column("t", "title")));
        assert_eq!(
            from("((t.place <-> '(1,2)'::point)) DESC"),
            None,
            "the farthest first"
        );
        assert_eq!(from("((t.place <-> u.place))"), None);
        assert_eq!(from("t.place"), None);
        assert_eq!(from("(t.a - t.b)"), None);
    }

    #[test]
    fn sort_keys() {
        let key = sort_key("t.a DESC NULLS LAST");
        assert_eq!(
            (key.operand, key.descending, key.nulls_first),
            (column("t", "a"), true, false)
        );
        assert!(sort_key("t.a DESC").nulls_first);
        assert_eq!(
            sort_key("(sum(t.a)) DESC").operand,
            Operand::Expression {
                alias: "t".into(),
                text: "sum(a)".into()
            }
        );
    }
}
