//! Conditions that hold for all calls of a statement, fit for the predicate of a partial index, and how they pick their rows.

use super::clauses::{Key, key_of};
use super::tables::Table;
use crate::sql::expression::{Comparison, Condition, Operand};

/// What stands between conditions of which all hold.
pub(super) const ALL_HOLD: &str = " AND ";

/// A condition that holds for all calls of the statement, fit for the predicate of a partial index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Predicate {
    /// SQL, with columns by their bare names.
    pub text: String,
    /// The key that it is about.
    pub key: Key,
    /// How it picks its rows.
    pub picks: Picks,
}

/// How a condition picks rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Picks {
    /// It compares with a constant.
    Value,
    /// It is a range that a constant bounds.
    Range,
    /// All but a constant (`<>`, `NOT IN`, `IS NOT TRUE`), or what lies on one side of 0 or 1. Where that is little it is a state,
    /// and the next call asks for the same.
    Rare,
    /// `IS NOT NULL`
    NotNull,
    /// `IS NULL`, or a boolean as it is.
    State,
}

impl Predicate {
    /// What the arms of an OR say together, with the alias of their relation: `a = 1 OR a = 2` picks what `a IN (1, 2)` does.
    /// `None` if not each of them says of one and the same key which value it has.
    pub(super) fn of_arms(arms: &[Vec<Condition>]) -> Option<(String, Self)> {
        let mut of: Option<(String, Key)> = None;
        let mut texts = Vec::with_capacity(arms.len());
        let mut all_picks = Picks::State;
        for arm in arms {
            let [
                Condition::Term {
                    left,
                    comparison,
                    right,
                    text: Some(text),
                },
            ] = &arm[..]
            else {
                return None;
            };
            let key = key_of(left)?;
            if !says_a_value(comparison)
                || key_of(right).is_some()
                || of.as_ref().is_some_and(|of| *of != key)
            {
                return None;
            }
            if Picks::of(comparison, right)? == Picks::Value {
                all_picks = Picks::Value;
            }
            of = Some(key);
            texts.push(text.as_str());
        }
        let (alias, key) = of?;
        let predicate = Self {
            // it may stand beside others
            text: format!("({})", texts.join(" OR ")),
            key,
            picks: all_picks,
        };
        Some((alias, predicate))
    }
}

/// Whether what is compared so has one of a few values.
fn says_a_value(comparison: &Comparison) -> bool {
    matches!(
        comparison,
        Comparison::Equal | Comparison::AnyOf | Comparison::IsNull | Comparison::True | Comparison::False
    )
}

/// From here on hardly any row has a value in a column, so that an index on those that have none is as large as one on all.
const MOSTLY_NULL: f64 = 0.9;
/// And from here on an index on those that have one is smaller by half at least.
const HALF_NULL: f64 = 0.5;

impl Picks {
    /// How a comparison with this picks rows; `None` if it is nothing for a predicate.
    pub(super) fn of(comparison: &Comparison, right: &Operand) -> Option<Self> {
        match (comparison, right) {
            (Comparison::IsNull | Comparison::True | Comparison::False, _) => Some(Self::State),
            (Comparison::IsNotNull, _) => Some(Self::NotNull),
            (Comparison::NoneOf, Operand::Value(_) | Operand::Other) => Some(Self::Rare),
            (Comparison::Operator(operator), Operand::Value(_)) if operator == "<>" => Some(Self::Rare),
            // another column is no constant
            (Comparison::NoneOf | Comparison::Operator(_), _) => None,
            (Comparison::Range, Operand::Value(bound)) if is_sign(bound) => Some(Self::Rare),
            (Comparison::Range, Operand::Value(_)) => Some(Self::Range),
            _ => Some(Self::Value),
        }
    }

    /// Whether it is one for a predicate only where it picks few rows.
    pub(super) fn must_be_rare(self) -> bool {
        matches!(self, Self::Range | Self::Rare)
    }

    /// Whether all rows that it picks have one value, so that none is left to search for, or to sort by.
    pub(super) fn is_one_value(self) -> bool {
        matches!(self, Self::Value | Self::State)
    }
}

/// Whether a constant bounds what is negative, what is positive, or what there is at all. Other bounds are mostly what somebody
/// asks for just now.
fn is_sign(constant: &str) -> bool {
    let number: Option<f64> = constant.trim_matches('\'').parse().ok();
    number.is_some_and(|number| [-1.0, 0.0, 1.0].contains(&number))
}

impl Table {
    /// Whether a condition picks the same part of the rows in every call: not if it compares with a value that is another one
    /// in the next, though it stands in this text as a constant; nor if nearly all rows have what it asks for. Of some the
    /// statistics must say that this part is small, too.
    pub fn picks_a_part(&self, predicate: &Predicate) -> bool {
        let column = match &predicate.key {
            Key::Column(name) => self.columns.get(name),
            Key::Expression(_) => None,
        };
        match predicate.picks {
            Picks::Value | Picks::Range => column.is_some_and(|column| column.has_few_values),
            Picks::NotNull => {
                let null_ratio = column.and_then(|column| column.null_ratio);
                null_ratio.is_some_and(|ratio| ratio >= HALF_NULL)
            }
            // where nearly all rows have none the rest is next to nothing
            Picks::State if predicate.text.ends_with(" IS NULL") => {
                let null_ratio = column.and_then(|column| column.null_ratio);
                null_ratio.is_none_or(|ratio| ratio <= MOSTLY_NULL)
            }
            Picks::State | Picks::Rare => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::tables::{Column, tests::table_of};

    #[test]
    fn having_a_value_picks_a_part_only_where_few_rows_have_one() {
        let column = |null_ratio| Column {
            null_ratio,
            ..Column::default()
        };
        let columns = [
            ("mostly", column(Some(0.98))),
            ("often", column(Some(0.7))),
            ("seldom", column(Some(0.4))),
            ("never", column(Some(0.0))),
            ("unknown", column(None)),
        ];
        let table = table_of(1000.0, columns);
        let picks = |name: &str, picks: Picks| {
            table.picks_a_part(&Predicate {
                text: format!("{name} IS NOT NULL"),
                key: Key::Column(name.into()),
                picks,
            })
        };
        assert!(picks("mostly", Picks::NotNull) && picks("often", Picks::NotNull));
        assert!(
            !picks("never", Picks::NotNull)
                && !picks("seldom", Picks::NotNull)
                && !picks("unknown", Picks::NotNull)
                && !picks("gone", Picks::NotNull)
        );
        assert!(picks("never", Picks::State) && !picks("mostly", Picks::Value));
        assert!(picks("never", Picks::Rare) && !picks("mostly", Picks::Range));
        let without = |name: &str| {
            table.picks_a_part(&Predicate {
                text: format!("{name} IS NULL"),
                key: Key::Column(name.into()),
                picks: Picks::State,
            })
        };
        assert!(!without("mostly"), "it excludes next to nothing");
        assert!(without("often") && without("never") && without("unknown"));
    }

    #[test]
    fn what_a_comparison_picks() {
        let constant = |text: &str| Operand::Value(text.into());
        let other_column = Operand::Column(crate::sql::expression::ColumnName {
            alias: "t".into(),
            column: "b".into(),
        });
        let differs = Comparison::Operator("<>".into());
        for (comparison, right, expected) in [
            (&differs, constant("'done'"), Some(Picks::Rare)),
            (&differs, other_column.clone(), None),
            (&Comparison::Operator("~~".into()), constant("'%abc%'"), None),
            (&Comparison::NoneOf, constant("'{a,b}'"), Some(Picks::Rare)),
            (&Comparison::NoneOf, Operand::Other, Some(Picks::Rare)),
            (&Comparison::NoneOf, other_column.clone(), None),
            (&Comparison::Range, constant("0"), Some(Picks::Rare)),
            (&Comparison::Range, constant("'-1'"), Some(Picks::Rare)),
            (&Comparison::Range, constant("0.05"), Some(Picks::Range)),
            (&Comparison::Range, constant("'2026-01-01'"), Some(Picks::Range)),
            (&Comparison::Range, other_column, Some(Picks::Value)),
            (&Comparison::Equal, constant("'open'"), Some(Picks::Value)),
            (&Comparison::IsNotNull, Operand::Other, Some(Picks::NotNull)),
            (&Comparison::False, Operand::Other, Some(Picks::State)),
        ] {
            assert_eq!(
                Picks::of(comparison, &right),
                expected,
                "{comparison:?} {right:?}"
            );
        }
    }
}
