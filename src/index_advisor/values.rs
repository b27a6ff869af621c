//! Whether advice for parameters in general holds for particular values: the statement is planned once more for a common, a
//! median and a rare one of each column that its parameters are compared with, by the statistics of the columns. The values
//! themselves go nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;
use tokio_postgres::types::{ToSql, Type};

use super::clauses::{Compared, compared_parameters};
use super::what_if::{Planned, WhatIf};
use crate::model::advice::{TriedValue, ValueKind};
use crate::postgres::{Plan, PostgresError, queries};
use crate::sql;

/// What statistics say of one column: values by how common they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) common: Vec<String>,
    pub(super) bounds: Vec<String>,
}

impl Known {
    /// A value of that kind; where there is none, the next best.
    fn value(&self, kind: ValueKind) -> Option<&String> {
        let middle = self.bounds.get(self.bounds.len() / 2);
        match kind {
            ValueKind::Commonest => self.common.first().or(self.bounds.first()),
            ValueKind::Median => middle.or_else(|| self.common.get(self.common.len() / 2)),
            // the last but one: nothing lies behind the last
            ValueKind::Rare => self
                .bounds
                .get(self.bounds.len().saturating_sub(2))
                .or(self.common.last()),
        }
    }
}

/// What each of these statements costs for particular values, as things are and with a set of candidates. A statement of
/// which a parameter is compared with no column is left out.
///
/// # Errors
/// If the session is lost.
pub(super) async fn tried(
    plan: &Plan,
    what_if: &mut WhatIf<'_>,
    planned: &[Planned],
    statements: &[usize],
    set: &FixedBitSet,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<BTreeMap<usize, Vec<TriedValue>>, PostgresError> {
    let mut compared: BTreeMap<usize, Vec<Compared>> = BTreeMap::new();
    for one in statements {
        let mut by_number = compared_parameters(&planned[*one].tree);
        let count = sql::parameter_count(planned[*one].text.as_str());
        let all: Option<Vec<Compared>> = (1..=count).map(|number| by_number.remove(&number)).collect();
        compared.extend(all.filter(|all| !all.is_empty()).map(|all| (*one, all)));
    }
    let columns: BTreeSet<ColumnKey> = compared.values().flatten().map(column_of).collect();
    let known = known(plan, &columns).await?;
    let mut asked: Vec<(usize, ValueKind, Vec<Option<String>>)> = Vec::new();
    for (one, compared) in &compared {
        for kind in [ValueKind::Commonest, ValueKind::Median, ValueKind::Rare] {
            let value = |one: &Compared| {
                let value = known.get(&column_of(one))?.value(kind)?;
                Some(Some(match one.is_array {
                    true => array_of(value),
                    false => value.clone(),
                }))
            };
            let values: Option<Vec<Option<String>>> = compared.iter().map(value).collect();
            let Some(values) = values else { continue };
            if !asked
                .iter()
                .any(|(other, _, same)| other == one && *same == values)
            {
                asked.push((*one, kind, values));
            }
        }
    }
    let mut with = Vec::new();
    for (one, _, values) in &asked {
        if stop() {
            break;
        }
        with.push(what_if.cost_for(*one, set, values).await?);
    }
    let mut tried: BTreeMap<usize, Vec<TriedValue>> = BTreeMap::new();
    for ((one, kind, values), after) in asked.into_iter().zip(with) {
        if stop() {
            break;
        }
        let before = what_if.cost_for(one, &FixedBitSet::new(), &values).await?;
        if let (Some(cost_before), Some(cost_after)) = (before, after) {
            tried.entry(one).or_default().push(TriedValue {
                kind,
                cost_before,
                cost_after,
            });
        }
    }
    Ok(tried)
}

/// Schema, table and column.
pub(super) type ColumnKey = (String, String, String);

fn column_of(compared: &Compared) -> ColumnKey {
    (
        compared.schema.clone(),
        compared.table.clone(),
        compared.column.clone(),
    )
}

/// What statistics say of these columns, where they may be read.
///
/// # Errors
/// If the server refuses, or the session is lost.
pub(super) async fn known(
    plan: &Plan,
    columns: &BTreeSet<ColumnKey>,
) -> Result<BTreeMap<ColumnKey, Known>, PostgresError> {
    let each = |part: fn(&ColumnKey) -> &String| columns.iter().map(part).collect::<Vec<_>>();
    let (schemas, tables) = (each(|one| &one.0), each(|one| &one.1));
    let names = each(|one| &one.2);
    let asked: [(&(dyn ToSql + Sync), Type); 3] = [
        (&schemas, Type::TEXT_ARRAY),
        (&tables, Type::TEXT_ARRAY),
        (&names, Type::TEXT_ARRAY),
    ];
    let mut known = BTreeMap::new();
    if columns.is_empty() {
        return Ok(known);
    }
    for row in plan.session().rows(queries::ADVISE_VALUES, &asked).await? {
        let text = |name: &str| row.try_get::<_, String>(name).unwrap_or_default();
        let list = |name: &str| {
            let values = row.try_get::<_, Option<Vec<Option<String>>>>(name).ok().flatten();
            values.into_iter().flatten().flatten().collect::<Vec<String>>()
        };
        let of = Known {
            common: list("common"),
            bounds: list("bounds"),
        };
        known.insert((text("schema"), text("name"), text("column_name")), of);
    }
    Ok(known)
}

/// An array of one value, as PostgreSQL writes it.
fn array_of(value: &str) -> String {
    format!("{{\"{}\"}}", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_value_or_the_next_best() {
        let of = |common: &[&str], bounds: &[&str]| {
            let known = Known {
                common: common.iter().map(ToString::to_string).collect(),
                bounds: bounds.iter().map(ToString::to_string).collect(),
            };
            [ValueKind::Commonest, ValueKind::Median, ValueKind::Rare].map(|kind| known.value(kind).cloned())
        };
        let some = |values: [&str; 3]| values.map(|value| Some(value.to_owned()));
        assert_eq!(of(&["a", "b"], &["1", "2", "3", "4"]), some(["a", "3", "3"]));
        assert_eq!(of(&["a", "b", "c"], &[]), some(["a", "b", "c"]));
        assert_eq!(of(&[], &["1", "2", "3"]), some(["1", "2", "2"]));
        assert_eq!(of(&[], &[]), [None, None, None]);
        assert_eq!(array_of("a\"\\"), r#"{"a\"\\"}"#);
    }
}
