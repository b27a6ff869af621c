//! For which values of its columns the predicate of a partial index holds.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, Node, a_const};

use super::expression::{bare_columns_of, expression};

/// What a predicate asks of the columns that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PredicateAsks {
    /// Columns that must have this value; of several possible ones it is the first.
    pub values: BTreeMap<String, String>,
    /// Columns of which it asks something that no one value is known for.
    pub others: BTreeSet<String>,
}

/// Reads a predicate as PostgreSQL prints it. What every value implies (`IS NOT NULL`) is not asked, nor what none does
/// (`IS NULL`); `None` if it cannot be parsed.
pub fn asked_by_predicate(predicate: &str) -> Option<PredicateAsks> {
    let mut asks = PredicateAsks::default();
    take(&expression(predicate)?, &mut asks);
    Some(asks)
}

fn take(node: &Node, asks: &mut PredicateAsks) {
    match &node.node {
        Some(NodeEnum::BoolExpr(all)) if all.boolop == BoolExprType::AndExpr as i32 => {
            all.args.iter().for_each(|part| take(part, asks));
        }
        Some(NodeEnum::NullTest(test)) if test.arg.as_deref().and_then(column).is_some() => {}
        _ => match value(node) {
            Some((column, value)) => _ = asks.values.insert(column, value),
            // not by its text: a part that could not be written as one would ask nothing
            None => asks.others.extend(bare_columns_of(node)),
        },
    }
}

/// The column and the value for which a condition holds, where it is about one of each.
fn value(node: &Node) -> Option<(String, String)> {
    match node.node.as_ref()? {
        NodeEnum::ColumnRef(_) => Some((column(node)?, "true".to_owned())),
        NodeEnum::BoolExpr(not) if not.boolop == BoolExprType::NotExpr as i32 => {
            Some((column(not.args.first()?)?, "false".to_owned()))
        }
        NodeEnum::AExpr(compared) => {
            let NodeEnum::String(operator) = compared.name.last()?.node.as_ref()? else {
                return None;
            };
            let right = compared.rexpr.as_deref()?;
            let value = match AExprKind::try_from(compared.kind).ok()? {
                AExprKind::AexprOp => constant(right)?,
                AExprKind::AexprOpAny => first_element(right)?,
                _ => return None,
            };
            let column = column(compared.lexpr.as_deref()?)?;
            (operator.sval == "=").then_some((column, value))
        }
        _ => None,
    }
}

/// The name of a column, also of one that is cast.
fn column(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::TypeCast(cast) => column(cast.arg.as_deref()?),
        NodeEnum::ColumnRef(reference) => match &reference.fields[..] {
            [field] => match field.node.as_ref()? {
                NodeEnum::String(name) => Some(name.sval.clone()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn constant(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::TypeCast(cast) => constant(cast.arg.as_deref()?),
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            a_const::Val::Ival(number) => Some(number.ival.to_string()),
            a_const::Val::Fval(number) => Some(number.fval.clone()),
            a_const::Val::Boolval(truth) => Some(truth.boolval.to_string()),
            a_const::Val::Sval(text) => Some(text.sval.clone()),
            a_const::Val::Bsval(_) => None,
        },
        _ => None,
    }
}

fn first_element(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::TypeCast(cast) => first_element(cast.arg.as_deref()?),
        NodeEnum::AArrayExpr(array) => constant(array.elements.first()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(predicate: &str) -> (Vec<(String, String)>, Vec<String>) {
        let asks = asked_by_predicate(predicate).unwrap();
        (
            asks.values.into_iter().collect(),
            asks.others.into_iter().collect(),
        )
    }

    #[test]
    fn values_that_a_predicate_is_implied_by() {
        for (predicate, column, value) in [
            ("(status = 'open'::text)", "status", "open"),
            ("((status)::text = 'it''s'::text)", "status", "it's"),
            (
                "((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
                "status",
                "a",
            ),
            ("(\"Kind x\" = 3)", "Kind x", "3"),
            ("(price = 1.5)", "price", "1.5"),
            ("is_active", "is_active", "true"),
            ("(NOT is_deleted)", "is_deleted", "false"),
            ("(is_deleted = false)", "is_deleted", "false"),
        ] {
            let values = vec![(column.to_owned(), value.to_owned())];
            assert_eq!(asked(predicate), (values, vec![]), "{predicate}");
        }
    }

    #[test]
    fn what_no_value_is_known_for_is_told_apart() {
        assert_eq!(
            asked("(paid_at IS NOT NULL)"),
            (vec![], vec![]),
            "any value will do"
        );
        assert_eq!(asked("(paid_at IS NULL)"), (vec![], vec![]), "none will");
        assert_eq!(asked("(size > 10)"), (vec![], vec!["size".to_owned()]));
        assert_eq!(
            asked("(lower(name) = 'x'::text)"),
            (vec![], vec!["name".to_owned()])
        );
        assert_eq!(
            asked("((kind = 1) AND (state <> 'done'::text))"),
            (
                vec![("kind".to_owned(), "1".to_owned())],
                vec!["state".to_owned()]
            )
        );
        assert_eq!(
            asked("((a = 1) OR (b = 2))"),
            (vec![], vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(
            asked("(((data ->> 'Kind'::text) = 'x'::text) AND (\"Size x\" IS DISTINCT FROM 3))"),
            (vec![], vec!["Size x".to_owned(), "data".to_owned()])
        );
        assert_eq!(asked_by_predicate("((("), None);
    }
}
