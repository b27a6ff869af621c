//! The operators that a statement uses, written or not: IN, BETWEEN, USING, CASE x WHEN and others look operators up by their names.

use std::collections::BTreeSet;

use pg_query::protobuf::AExprKind;
use serde_json::Value;

use super::names::{Name, bare, parts, qualified};

/// The names of all of them in a parse tree.
pub(super) fn operators(tree: &Value) -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    read(tree, &mut found);
    found
}

fn read(value: &Value, found: &mut BTreeSet<Name>) {
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| read(item, found));
    }
    let Some(fields) = value.as_object() else { return };
    // ORDER BY a USING >
    found.extend(fields.get("use_op").and_then(qualified));
    for (key, inner) in fields {
        match key.as_str() {
            "AExpr" => expression(inner, found),
            "CaseExpr" if !inner["arg"].is_null() => _ = found.insert(bare("=")),
            "SubLink" if !inner["testexpr"].is_null() => {
                found.insert(qualified(&inner["oper_name"]).unwrap_or_else(|| bare("=")));
            }
            "JoinExpr" if inner["is_natural"] == true || !parts(&inner["using_clause"]).is_empty() => {
                found.insert(bare("="));
            }
            _ => {}
        }
        read(inner, found);
    }
}

fn expression(node: &Value, found: &mut BTreeSet<Name>) {
    let kind = node["kind"].as_i64().and_then(|kind| i32::try_from(kind).ok());
    match kind.and_then(|kind| AExprKind::try_from(kind).ok()) {
        Some(AExprKind::AexprBetween | AExprKind::AexprBetweenSym) => found.extend([">=", "<="].map(bare)),
        Some(AExprKind::AexprNotBetween | AExprKind::AexprNotBetweenSym) => {
            found.extend(["<", ">"].map(bare));
        }
        _ => found.extend(qualified(&node["name"])),
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::names;

    fn all(text: &str) -> String {
        let names = names(text).unwrap().operators;
        let names = names.iter().map(|one| one.name.as_str());
        // the parser's word for several, which no operator has for a name
        let names: Vec<&str> = names.filter(|name| !name.contains("BETWEEN")).collect();
        names.join(" ")
    }

    #[test]
    fn operators_that_nobody_wrote_are_named() {
        for (condition, operators) in [
            ("a IN (1)", "="),
            ("a NOT IN (1)", "<>"),
            ("a IN (SELECT 1)", "="),
            ("a < ALL (SELECT 1)", "<"),
            ("a = ANY ($1)", "="),
            ("a BETWEEN 1 AND 2", "<= >="),
            ("a NOT BETWEEN 1 AND 2", "< >"),
            ("a BETWEEN SYMMETRIC 1 AND 2", "<= >="),
            ("a IS NOT DISTINCT FROM b", "="),
            ("NULLIF(a, b)", "="),
            ("CASE a WHEN b THEN c END", "="),
            ("CASE WHEN a < 1 THEN c END", "<"),
            ("a ILIKE b", "~~*"),
            ("a SIMILAR TO b", "~"),
            ("- a IS NULL", "-"),
            ("(a, b) = (1, 2)", "="),
            ("a OPERATOR(s.===) 1", "==="),
            ("EXISTS (SELECT FROM t JOIN u USING (a))", "="),
            ("EXISTS (SELECT FROM t NATURAL JOIN u)", "="),
            ("EXISTS (SELECT FROM t CROSS JOIN u)", ""),
            ("a > now()", ">"),
        ] {
            assert_eq!(
                all(&format!("SELECT FROM t WHERE {condition}")),
                operators,
                "{condition}"
            );
        }
        assert_eq!(all("SELECT a FROM t ORDER BY a USING >>"), ">>");
        // these go by the type, not by a name
        assert_eq!(all("SELECT DISTINCT a FROM t GROUP BY a ORDER BY a"), "");
    }
}
