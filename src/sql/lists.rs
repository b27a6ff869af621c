//! Lists that pg_stat_statements shortened: since PostgreSQL 18 `IN (1, 2, 3)` is `IN ($1 /*, ... */)` there, however long it
//! was, and `ARRAY[1, 2, 3]` is `ARRAY[$1 /*, ... */]`. To the planner that is a list of one.

use std::collections::BTreeSet;

use pg_query::protobuf::{AExprKind, ScanToken};
use serde_json::Value;

use super::twin::visit;
use super::{parameter_count, parse_one};

/// What stands behind the one parameter that is left of a list.
pub(super) const REST: &str = "/*, ... */";
/// The protocol knows no more parameters.
const PARAMETERS: usize = 65_535;

/// A statement whose shortened lists are long again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengthened {
    /// Its text.
    pub text: String,
    /// For each parameter behind those that it had: the number of the one that stood for its list.
    pub added: Vec<usize>,
}

/// The numbers of the parameters that stand for a list of any length.
pub fn shortened_lists(text: &str) -> BTreeSet<usize> {
    if !text.contains(REST) {
        return BTreeSet::new();
    }
    let tokens = pg_query::scan(text).map(|scan| scan.tokens).unwrap_or_default();
    let word = |token: &ScanToken| {
        let place = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        text.get(place)
    };
    let number = |tokens: &[ScanToken]| -> Option<usize> {
        let [before, open, parameter, rest, close] = tokens else {
            return None;
        };
        let around = (word(open)?, word(rest)?, word(close)?);
        let is_list = match around {
            ("(", REST, ")") => word(before)?.eq_ignore_ascii_case("in"),
            ("[", REST, "]") => word(before)?.eq_ignore_ascii_case("array"),
            _ => false,
        };
        word(parameter)?
            .strip_prefix('$')?
            .parse()
            .ok()
            .filter(|_| is_list)
    };
    tokens.windows(5).filter_map(number).collect()
}

/// The same statement with lists of so many parameters in the places of those that these numbers stand for; the new parameters
/// follow those that it has. `None` if there is no such list in it, or if it becomes too long.
pub fn with_lists_of(text: &str, numbers: &BTreeSet<usize>, length: usize) -> Option<Lengthened> {
    if numbers.is_empty() {
        return None;
    }
    let mut lists = lists_of_one(&serde_json::to_value(parse_one(text).ok()?).ok()?);
    lists.retain(|(_, number)| numbers.contains(number));
    let mut last = parameter_count(text);
    if lists.is_empty() || last + lists.len() * length > PARAMETERS {
        return None;
    }
    let mut lengthened = Lengthened {
        text: String::new(),
        added: Vec::new(),
    };
    let mut copied = 0;
    for (place, number) in lists {
        let parameter = format!("${number}");
        let end = place + parameter.len();
        let beginning = text.get(copied..end)?;
        // what the parser told must stand there
        if !beginning.ends_with(&parameter) {
            return None;
        }
        lengthened.text.push_str(beginning);
        for _ in 1..length {
            last += 1;
            lengthened.text.push_str(&format!(", ${last}"));
            lengthened.added.push(number);
        }
        copied = end;
    }
    lengthened.text.push_str(text.get(copied..)?);
    parse_one(&lengthened.text).ok()?;
    Some(lengthened)
}

/// Where the only parameter of a list stands, and its number: of lists of IN and NOT IN, and of arrays of ANY and ALL.
fn lists_of_one(tree: &Value) -> BTreeSet<(usize, usize)> {
    let mut lists = BTreeSet::new();
    visit(tree, &mut |kind, value| {
        if kind == "AExpr" {
            lists.extend(list_of_one(value));
        }
        true
    });
    lists
}

fn list_of_one(expression: &Value) -> Option<(usize, usize)> {
    // what is compared with a row is a row
    if within(&expression["lexpr"], "RowExpr").is_some() {
        return None;
    }
    let right = &expression["rexpr"];
    let kind = i32::try_from(expression["kind"].as_i64()?).ok()?;
    let elements = match AExprKind::try_from(kind).ok()? {
        AExprKind::AexprIn => &within(right, "List")?["items"],
        AExprKind::AexprOpAny | AExprKind::AexprOpAll => {
            let array = within(right, "TypeCast").map_or(right, |cast| &cast["arg"]);
            &within(array, "AArrayExpr")?["elements"]
        }
        _ => return None,
    };
    let [element] = &elements.as_array()?[..] else {
        return None;
    };
    let parameter = within(element, "ParamRef")?;
    let field = |name: &str| usize::try_from(parameter[name].as_i64()?).ok();
    Some((field("location")?, field("number")?))
}

/// What a node holds, if it is of that kind.
fn within<'a>(node: &'a Value, kind: &str) -> Option<&'a Value> {
    node.get("node")?.get(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_lists_are_known_by_what_stands_around_them() {
        let conditions: &[(&str, &[usize])] = &[
            ("a IN ($1 /*, ... */)", &[1]),
            (
                "a in ($1 /*, ... */) AND b = $2 AND c NOT IN ($3 /*, ... */)",
                &[1, 3],
            ),
            ("b = $1 AND a = ANY (ARRAY[$12 /*, ... */])", &[12]),
            ("a IN ($1)", &[]),
            ("a IN ($1, $2)", &[]),
            ("a IN ($1 /* , ... */)", &[]),
            ("a IN ($1 /*, ... */, $2)", &[]),
            ("a IN (($1 /*, ... */))", &[]),
            ("(a, b) IN (($1, $2) /*, ... */)", &[]),
            ("f($1 /*, ... */) AND b = 'IN ($1 /*, ... */)'", &[]),
            ("a IN ('x' /*, ... */)", &[]),
            ("a IN ($99999999999999999999 /*, ... */)", &[]),
            ("a IN ($1 /*, ... */) AND b = 'never closed", &[]),
        ];
        for (condition, expected) in conditions {
            let found = shortened_lists(&format!("SELECT 1 FROM t WHERE {condition}"));
            let found: Vec<usize> = found.into_iter().collect();
            assert_eq!(found, *expected, "{condition}");
        }
    }

    #[test]
    fn lists_become_longer_wherever_they_stand() {
        let conditions: &[(&str, &str, &[usize])] = &[
            (
                "a IN ($1 /*, ... */) AND b = $2",
                "a IN ($1, $3, $4 /*, ... */) AND b = $2",
                &[1, 1],
            ),
            // as our own rewriting leaves it: the comment is gone
            ("a IN ($1)", "a IN ($1, $2, $3)", &[1, 1]),
            (
                "a NOT IN ($1 /*, ... */) OR b IN ($2 /*, ... */)",
                "a NOT IN ($1, $3, $4 /*, ... */) OR b IN ($2, $5, $6 /*, ... */)",
                &[1, 1, 2, 2],
            ),
            (
                "'é' < a AND b IN (SELECT x FROM u WHERE y IN ($1 /*, ... */) LIMIT $2)",
                "'é' < a AND b IN (SELECT x FROM u WHERE y IN ($1, $3, $4 /*, ... */) LIMIT $2)",
                &[1, 1],
            ),
            (
                "(a IN ($1 /*, ... */)) IN ($2 /*, ... */)",
                "(a IN ($1, $3, $4 /*, ... */)) IN ($2, $5, $6 /*, ... */)",
                &[1, 1, 2, 2],
            ),
            (
                "a = ANY (ARRAY[$1 /*, ... */]::bigint[]) AND b <> ALL (ARRAY[$2 /*, ... */])",
                "a = ANY (ARRAY[$1, $3, $4 /*, ... */]::bigint[]) AND b <> ALL (ARRAY[$2, $5, $6 /*, ... */])",
                &[1, 1, 2, 2],
            ),
        ];
        for (condition, expected, added) in conditions {
            let text = |condition: &str| format!("SELECT 1 FROM t WHERE {condition}");
            let lengthened = with_lists_of(&text(condition), &[1, 2].into(), 3);
            let expected = Lengthened {
                text: text(expected),
                added: added.to_vec(),
            };
            assert_eq!(lengthened, Some(expected), "{condition}");
        }
    }

    #[test]
    fn what_is_no_simple_list_stays() {
        for condition in [
            "a IN ($1, $2)",
            "a IN ($3)",
            "a IN ($1::int)",
            "a IN (1)",
            "(a, b) IN (($1, $2))",
            "(a, b) IN ($1)",
            "a = $1",
            "a = ANY ($1)",
            "a = ANY (ARRAY[$1, $2])",
            "tags @> ARRAY[$1]",
            "position(a IN ($1)) > 0",
            "a IN (SELECT $1)",
            "a IN ($1",
            "a IN ($1); DELETE FROM t",
        ] {
            let text = format!("SELECT 1 FROM t WHERE {condition}");
            assert_eq!(with_lists_of(&text, &[1, 2].into(), 3), None, "{condition}");
        }
        assert_eq!(
            with_lists_of("SELECT 1 WHERE a IN ($1)", &BTreeSet::new(), 3),
            None
        );
        let too_many = "SELECT 1 FROM t WHERE a IN ($1)";
        assert_eq!(with_lists_of(too_many, &[1].into(), 70_000), None);
        assert_eq!(
            with_lists_of(too_many, &[1].into(), 60_000),
            None,
            "longer than is parsed"
        );
    }
}
