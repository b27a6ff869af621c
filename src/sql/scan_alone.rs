//! One scan of a plan as a statement of its own.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{BoolExprType, Node, Token};

use super::expression::{columns, deparsed, distance, expression};
use crate::model::remedy::{qualified, quote_identifier};

/// A statement that reads of one table what a scan reads, by the conditions that EXPLAIN (VERBOSE) tells of the scan, and needs
/// these of its columns. What those compare with other relations, or with what a subquery gives, is left out, and parameters are
/// numbered from one. None where that leaves no condition.
pub fn scan_alone(
    (schema, table): (&str, &str),
    alias: &str,
    conditions: &[String],
    needed: &BTreeSet<String>,
) -> Option<String> {
    // a distance by which an index is read is no condition
    let asked = conditions.iter().filter(|text| distance(text).is_none());
    let own = asked.filter_map(|text| expression(text));
    let own: BTreeSet<String> = own.flat_map(|node| own_terms(&node, alias)).collect();
    if own.is_empty() {
        return None;
    }
    let alias = quote_identifier(alias);
    let columns: Vec<String> = needed
        .iter()
        .map(|column| format!("{alias}.{}", quote_identifier(column)))
        .collect();
    let terms: Vec<String> = own.into_iter().map(|term| format!("({term})")).collect();
    renumbered(&format!(
        "SELECT {} FROM {} AS {alias} WHERE {}",
        columns.join(", "),
        qualified(schema, table),
        terms.join(" AND ")
    ))
}

/// What must hold of this relation alone, whatever others give.
fn own_terms(node: &Node, alias: &str) -> Vec<String> {
    if let Some(NodeEnum::BoolExpr(all)) = &node.node
        && all.boolop() == BoolExprType::AndExpr
    {
        return all.args.iter().flat_map(|one| own_terms(one, alias)).collect();
    }
    let is_own = |text: &String| {
        let names = columns(text);
        // what a subquery gives is a question mark to the parser
        !names.is_empty() && names.iter().all(|name| name.alias == alias) && !text.contains('?')
    };
    deparsed(node).filter(is_own).into_iter().collect()
}

/// A text with its parameters numbered from one, without gaps: of one that stands nowhere the server cannot tell the type.
fn renumbered(text: &str) -> Option<String> {
    let scan = pg_query::scan(text).ok()?;
    let mut written: Vec<&str> = Vec::new();
    let mut out = String::new();
    let mut copied = 0;
    let parameters = scan
        .tokens
        .iter()
        .filter(|token| token.token == Token::Param as i32);
    for token in parameters {
        let (start, end) = (token.start as usize, token.end as usize);
        let parameter = text.get(start..end)?;
        let known = written.iter().position(|one| *one == parameter);
        let position = known.unwrap_or(written.len());
        if known.is_none() {
            written.push(parameter);
        }
        out.push_str(text.get(copied..start)?);
        out.push_str(&format!("${}", position + 1));
        copied = end;
    }
    out.push_str(text.get(copied..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::one_query;

    fn alone(alias: &str, conditions: &[&str], needed: &[&str]) -> Option<String> {
        let conditions: Vec<String> = conditions.iter().map(|text| (*text).to_owned()).collect();
        let needed = needed.iter().map(|column| (*column).to_owned()).collect();
        let text = scan_alone(("s", "t"), alias, &conditions, &needed);
        if let Some(text) = &text {
            assert!(one_query(text).is_ok(), "{text}");
        }
        text
    }

    #[test]
    fn a_scan_asks_what_is_of_its_table_alone() {
        for (condition, expected) in [
            ("(lower(t.email) = $1)", "(lower(t.email) = $1)"),
            (
                "((lower(t.email) = $3) AND (t.team = u.id) AND (NOT (hashed SubPlan 1)))",
                "(lower(t.email) = $1)",
            ),
            // what is as it is told of the subquery is not known
            ("((t.a = $0) AND (t.b = 1))", "(t.b = 1)"),
            ("((t.a = (InitPlan 1).col1) AND (t.b = 1))", "(t.b = 1)"),
            (
                "((t.a = $2) AND (t.b > $5) AND (t.c < $2))",
                "(t.a = $1) AND (t.b > $2) AND (t.c < $1)",
            ),
            (
                "((t.a = $7) OR (t.b IS NOT NULL))",
                "(t.a = $1 OR t.b IS NOT NULL)",
            ),
        ] {
            let expected = format!("SELECT t.id FROM s.t AS t WHERE {expected}");
            assert_eq!(alone("t", &[condition], &["id"]), Some(expected), "{condition}");
        }
    }

    #[test]
    fn what_is_told_twice_is_asked_once_and_names_are_quoted() {
        let twice = [
            "(\"T x\".\"A\" = 1)",
            "(\"T x\".\"A\" = 1)",
            "(\"T x\".b IS NULL)",
        ];
        let text = alone("T x", &twice, &["A"]).unwrap();
        assert!(
            text.starts_with("SELECT \"T x\".\"A\" FROM s.t AS \"T x\" WHERE "),
            "{text}"
        );
        assert_eq!(text.matches("= 1").count(), 1, "{text}");
        assert!(text.contains("b IS NULL"), "{text}");
        let hostile = scan_alone(
            ("s", "t; DROP TABLE u"),
            "t",
            &["(t.a = 1)".to_owned()],
            &BTreeSet::new(),
        );
        assert!(hostile.unwrap().contains("s.\"t; DROP TABLE u\""));
    }

    #[test]
    fn without_a_condition_of_its_own_there_is_no_such_statement() {
        for condition in [
            "(t.a = u.b)",
            "(NOT (hashed SubPlan 1))",
            "((t.place <-> '(1,2)'::point))",
            "this is ( not SQL",
            "",
        ] {
            assert_eq!(alone("t", &[condition], &["id"]), None, "{condition}");
        }
        assert_eq!(alone("other", &["(t.a = 1)"], &["id"]), None);
        assert_eq!(alone("t", &[], &["id"]), None);
    }
}
