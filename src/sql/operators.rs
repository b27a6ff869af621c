//! The operators that a statement uses, written or not, with what its text alone says of what stands beside them: so that it can be
//! told which operator PostgreSQL takes where there are several of one name.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::AExprKind;
use serde_json::Value;

use super::names::{Name, bare, parts, qualified, relation_name};

/// What stands on one side of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A column.
    Column {
        /// The table or alias before it, where there is one.
        of: Option<String>,
        /// Its name.
        name: String,
    },
    /// A constant in quotes, NULL, or a parameter that stands nowhere else: its type is that of the other side.
    Untyped,
    /// A number that an `integer` holds.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Anything, of any type.
    Unknown,
}

/// An operator between what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorUse {
    /// Its name.
    pub name: Name,
    /// What stands before it; unknown where nothing does.
    pub left: Operand,
    /// What stands behind it.
    pub right: Operand,
}

/// What a statement compares, and where the columns in it may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Every use of an operator.
    pub uses: Vec<OperatorUse>,
    /// The relations by the names that columns are qualified with.
    pub relations: BTreeMap<String, BTreeSet<Name>>,
    /// Such names that are also those of something else: of a subquery, a function, a join.
    derived: BTreeSet<String>,
    /// Whether something that is no relation has columns, too.
    has_derived: bool,
}

/// What makes columns, and is no relation.
const DERIVED: [&str; 5] = [
    "RangeSubselect",
    "RangeFunction",
    "RangeTableFunc",
    "JsonTable",
    "CommonTableExpr",
];
/// Names of rows that no FROM gives.
const OTHER_ROWS: [&str; 3] = ["excluded", "old", "new"];

impl Compared {
    /// Reads a whole parse tree.
    pub(super) fn read(tree: &Value) -> Self {
        let mut counts = BTreeMap::new();
        count_parameters(tree, &mut counts);
        let mut compared = Self::default();
        compared.derived.extend(OTHER_ROWS.map(str::to_owned));
        compared.read_node(tree, &counts);
        compared
    }

    /// The relations that a column of this name comes from: of a qualified one each has it, of another one some. `None` if it may be
    /// something else.
    pub fn origins(&self, of: Option<&str>, name: &str) -> Option<BTreeSet<&Name>> {
        match of {
            Some(of) if self.derived.contains(of) => None,
            Some(of) => Some(self.relations.get(of)?.iter().collect()),
            // a whole row goes by the name of its table
            None if self.has_derived || self.relations.contains_key(name) || self.derived.contains(name) => {
                None
            }
            None => Some(self.relations.values().flatten().collect()),
        }
    }

    fn read_node(&mut self, value: &Value, counts: &BTreeMap<i64, usize>) {
        if let Some(items) = value.as_array() {
            items.iter().for_each(|item| self.read_node(item, counts));
        }
        let Some(fields) = value.as_object() else { return };
        if fields.contains_key("relname") {
            self.relation(value);
        }
        if let Some(name) = fields.get("use_op").and_then(qualified) {
            self.add(&name, &Operand::Unknown, &Operand::Unknown);
        }
        for (key, inner) in fields {
            match key.as_str() {
                "AExpr" => self.expression(inner, counts),
                "CaseExpr" => self.case(inner, counts),
                "SubLink" if !inner["testexpr"].is_null() => {
                    let name = qualified(&inner["oper_name"]).unwrap_or_else(|| bare("="));
                    self.add(
                        &name,
                        &column(operand(&inner["testexpr"], counts)),
                        &Operand::Unknown,
                    );
                }
                "JoinExpr" => self.join(inner),
                key if DERIVED.contains(&key) => self.derived(inner),
                _ => {}
            }
            self.read_node(inner, counts);
        }
    }

    fn add(&mut self, name: &Name, left: &Operand, right: &Operand) {
        let one = OperatorUse {
            name: name.clone(),
            left: left.clone(),
            right: right.clone(),
        };
        self.uses.push(one);
    }

    fn relation(&mut self, range: &Value) {
        let Some(fields) = range.as_object() else { return };
        let name = relation_name(fields);
        let alias = range["alias"]["aliasname"].as_str();
        let known_as = alias.unwrap_or(&name.name).to_owned();
        if has_columns(&range["alias"]) {
            self.derived.insert(known_as.clone());
            self.has_derived = true;
        }
        self.relations.entry(known_as).or_default().insert(name);
    }

    fn derived(&mut self, source: &Value) {
        self.has_derived = true;
        let names = [&source["alias"]["aliasname"], &source["ctename"]];
        self.derived
            .extend(names.into_iter().filter_map(Value::as_str).map(str::to_owned));
    }

    fn join(&mut self, join: &Value) {
        for alias in [&join["alias"], &join["join_using_alias"]] {
            self.derived
                .extend(alias["aliasname"].as_str().map(str::to_owned));
            self.has_derived |= has_columns(alias);
        }
        if join["is_natural"] == true {
            self.add(&bare("="), &Operand::Unknown, &Operand::Unknown);
        }
        for name in parts(&join["using_clause"]) {
            let side = Operand::Column {
                of: None,
                name: name.to_owned(),
            };
            self.add(&bare("="), &side, &side);
        }
    }

    fn case(&mut self, case: &Value, counts: &BTreeMap<i64, usize>) {
        if case["arg"].is_null() {
            return;
        }
        let left = column(operand(&case["arg"], counts));
        for arm in items(&case["args"]) {
            let right = arm
                .pointer("/node/CaseWhen/expr")
                .map_or(Operand::Unknown, |right| operand(right, counts));
            self.add(&bare("="), &left, &right);
        }
    }

    fn expression(&mut self, node: &Value, counts: &BTreeMap<i64, usize>) {
        let kind = node["kind"].as_i64().and_then(|kind| i32::try_from(kind).ok());
        let kind = kind.and_then(|kind| AExprKind::try_from(kind).ok());
        let left = operand(&node["lexpr"], counts);
        let right = &node["rexpr"];
        let listed = right.pointer("/node/List/items").map_or(&[][..], items);
        match kind {
            Some(AExprKind::AexprBetween | AExprKind::AexprNotBetween) => {
                let bounds = listed.iter().map(|bound| operand(bound, counts));
                self.between(kind, &column(left), bounds.collect());
            }
            // each bound is compared twice
            Some(AExprKind::AexprBetweenSym | AExprKind::AexprNotBetweenSym) => {
                self.between(kind, &column(left), vec![Operand::Unknown]);
            }
            _ => {
                let Some(name) = qualified(&node["name"]) else {
                    return;
                };
                match kind {
                    Some(AExprKind::AexprIn) => {
                        let left = column(left);
                        for one in listed {
                            self.add(&name, &left, &operand(one, counts));
                        }
                        // elements may be brought to one type, that of the column or of one of them
                        self.add(&name, &left, &Operand::Untyped);
                    }
                    Some(AExprKind::AexprOpAny | AExprKind::AexprOpAll) => {
                        let element = match operand(right, counts) {
                            Operand::Untyped => Operand::Untyped,
                            _ => Operand::Unknown,
                        };
                        self.add(&name, &left, &element);
                    }
                    Some(_) => self.add(&name, &left, &operand(right, counts)),
                    None => self.add(&name, &Operand::Unknown, &Operand::Unknown),
                }
            }
        }
    }

    fn between(&mut self, kind: Option<AExprKind>, left: &Operand, bounds: Vec<Operand>) {
        let names = match kind {
            Some(AExprKind::AexprBetween | AExprKind::AexprBetweenSym) => [">=", "<="],
            _ => ["<", ">"],
        };
        for bound in &bounds {
            names.iter().for_each(|name| self.add(&bare(name), left, bound));
        }
    }
}

/// What is compared with several others must have a type of its own: something else may get one by the first.
fn column(operand: Operand) -> Operand {
    match operand {
        Operand::Column { .. } => operand,
        _ => Operand::Unknown,
    }
}

fn operand(value: &Value, counts: &BTreeMap<i64, usize>) -> Operand {
    let node = &value["node"];
    if let Some(fields) = node.pointer("/ColumnRef/fields") {
        let parts = parts(fields);
        return match parts[..] {
            // `*` is no string
            _ if items(fields).len() > parts.len() => Operand::Unknown,
            [name] => Operand::Column {
                of: None,
                name: name.to_owned(),
            },
            [of, name] => Operand::Column {
                of: Some(of.to_owned()),
                name: name.to_owned(),
            },
            _ => Operand::Unknown,
        };
    }
    if let Some(constant) = node.get("AConst") {
        let value = &constant["val"];
        let is = |kind: &str| value.get(kind).is_some();
        return match () {
            () if constant["isnull"] == true || is("Sval") => Operand::Untyped,
            () if is("Ival") => Operand::Integer,
            () if is("Boolval") => Operand::Boolean,
            () => Operand::Unknown,
        };
    }
    let number = node.pointer("/ParamRef/number").and_then(Value::as_i64);
    match number.and_then(|number| counts.get(&number)) {
        Some(1) => Operand::Untyped,
        _ => Operand::Unknown,
    }
}

/// How often each parameter stands in a tree: what it is first compared with gives it a type for all places.
fn count_parameters(value: &Value, counts: &mut BTreeMap<i64, usize>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| count_parameters(item, counts)),
        Value::Object(fields) => {
            if let Some(number) = value.pointer("/ParamRef/number").and_then(Value::as_i64) {
                *counts.entry(number).or_default() += 1;
            }
            fields.values().for_each(|inner| count_parameters(inner, counts));
        }
        _ => {}
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has_columns(alias: &Value) -> bool {
    !items(&alias["colnames"]).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::names;

    fn show(operand: &Operand) -> String {
        match operand {
            Operand::Column { of: Some(of), name } => format!("{of}.{name}"),
            Operand::Column { of: None, name } => name.clone(),
            Operand::Untyped => "'".to_owned(),
            Operand::Integer => "1".to_owned(),
            Operand::Boolean => "true".to_owned(),
            Operand::Unknown => "?".to_owned(),
        }
    }

    /// The uses in the WHERE of a statement, as `a = '`.
    fn uses(condition: &str) -> Vec<String> {
        let compared = names(&format!("SELECT FROM t AS o WHERE {condition}"))
            .unwrap()
            .compared;
        let uses = compared.uses.iter();
        uses.map(|one| format!("{} {} {}", show(&one.left), one.name.name, show(&one.right)))
            .collect()
    }

    #[test]
    fn operators_are_read_with_what_stands_beside_them() {
        for (condition, expected) in [
            ("a > now()", vec!["a > ?"]),
            ("a = 'x'", vec!["a = '"]),
            ("o.a <> 5", vec!["o.a <> 1"]),
            ("a = $1", vec!["a = '"]),
            ("a = $1 AND b = $1", vec!["a = ?", "b = ?"]),
            ("a = 5000000000", vec!["a = ?"]),
            ("a = true", vec!["a = true"]),
            ("a = 'x'::t", vec!["a = ?"]),
            ("s.o.a = NULL", vec!["? = '"]),
            ("o.* = 'x'", vec!["? = '"]),
            ("- 'x' IS NULL", vec!["? - '"]),
            ("a IN (1, 'x', b)", vec!["a = 1", "a = '", "a = b", "a = '"]),
            ("$1 NOT IN (a, b)", vec!["? <> a", "? <> b", "? <> '"]),
            ("a = ANY ($1)", vec!["a = '"]),
            ("a = ALL (b)", vec!["a = ?"]),
            ("a LIKE 'x%'", vec!["a ~~ '"]),
            ("a BETWEEN 1 AND $1", vec!["a >= 1", "a <= 1", "a >= '", "a <= '"]),
            ("a NOT BETWEEN SYMMETRIC 1 AND 2", vec!["a < ?", "a > ?"]),
            ("a IS DISTINCT FROM b", vec!["a = b"]),
            ("NULLIF(a, 'x') IS NULL", vec!["a = '"]),
            ("CASE a WHEN 'x' THEN true END", vec!["a = '"]),
            ("CASE WHEN a < 1 THEN true END", vec!["a < 1"]),
            ("a IN (SELECT 1)", vec!["a = ?"]),
            ("a < ALL (SELECT 1)", vec!["a < ?"]),
            ("(a, b) = (1, 2)", vec!["? = ?"]),
            ("a OPERATOR(s.===) 1", vec!["a === 1"]),
            ("EXISTS (SELECT 1) OR a IS NULL", vec![]),
        ] {
            assert_eq!(uses(condition), expected, "{condition}");
        }
    }

    #[test]
    fn joins_compare_too() {
        let all = |text: &str| -> Vec<String> {
            let compared = names(text).unwrap().compared;
            let uses = compared.uses.iter();
            uses.map(|one| format!("{} {} {}", show(&one.left), one.name.name, show(&one.right)))
                .collect()
        };
        assert_eq!(all("SELECT FROM t JOIN u USING (a, b)"), ["a = a", "b = b"]);
        assert_eq!(all("SELECT FROM t NATURAL JOIN u"), ["? = ?"]);
        assert_eq!(all("SELECT a FROM t ORDER BY a USING >>"), ["? >> ?"]);
        assert!(all("SELECT DISTINCT a FROM t GROUP BY a ORDER BY a").is_empty());
    }

    #[test]
    fn a_column_comes_from_a_table_only_where_nothing_else_has_columns() {
        let origins = |text: &str, of: Option<&str>, name: &str| -> Option<Vec<String>> {
            let compared = names(text).unwrap().compared;
            let origins = compared.origins(of, name)?;
            Some(origins.into_iter().map(|name| name.name.clone()).collect())
        };
        let of = |all: &[&str]| Some(all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        let plain = "SELECT FROM t AS o, u WHERE EXISTS (SELECT FROM v)";
        assert_eq!(origins(plain, Some("o"), "a"), of(&["t"]));
        assert_eq!(origins(plain, Some("t"), "a"), None);
        assert_eq!(origins(plain, None, "a"), of(&["t", "u", "v"]));
        assert_eq!(origins(plain, None, "o"), None, "a whole row");
        for (text, qualified) in [
            ("SELECT FROM t, (SELECT 1 AS a) AS o", of(&["t"])),
            ("SELECT FROM t, f() AS o", of(&["t"])),
            ("WITH o AS (SELECT 1 AS a) SELECT FROM t, o", of(&["t"])),
            ("WITH t AS (SELECT 1 AS a) SELECT FROM t", None),
            ("SELECT FROM t AS t (a)", None),
            ("SELECT FROM t WHERE EXISTS (SELECT FROM f() AS t)", None),
        ] {
            assert_eq!(origins(text, Some("t"), "a"), qualified, "{text}");
            assert_eq!(origins(text, None, "a"), None, "{text}");
        }
        let joined = "SELECT FROM (t JOIN u USING (a)) AS j";
        assert_eq!(origins(joined, Some("j"), "a"), None);
        assert_eq!(origins(joined, None, "a"), of(&["t", "u"]));
        let written = "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1 WHERE excluded.a = 1";
        assert_eq!(origins(written, Some("excluded"), "a"), None);
    }
}
