//! Whether advice for parameters in general holds for particular ones. A statement for which an index is advised is planned once
//! more for a common, a median and a rare value of each column that its parameters are compared with, by the statistics of the
//! columns; for longer lists, where they may have any length; and for a page far behind the first, where its OFFSET was a
//! parameter. The values themselves go nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;
use tokio_postgres::types::{ToSql, Type};

use super::by_values::Values;
use super::clauses::{Compared, compared_parameters};
use super::what_if::{Planned, WhatIf};
use crate::model::advice::{TriedValue, ValueKind};
use crate::postgres::{Parameters, Plan, PostgresError, ServerText, queries};
use crate::sql;

/// Lists are tried at these lengths; at one they were planned already.
const LENGTHS: [(ValueKind, usize); 2] = [(ValueKind::ListOfTen, 10), (ValueKind::ListOfHundred, 100)];
/// A page far behind the first comes after so many, and after so many rows at least.
const PAGES_BEFORE: f64 = 100.0;
const ROWS_BEFORE: f64 = 1000.0;

/// What statistics say of one column: values by how common they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) common: Vec<String>,
    pub(super) bounds: Vec<String>,
}

impl Known {
    /// A value of that kind to compare a column with; where there is none, the next best.
    pub(super) fn value_for(&self, compared: &Compared, kind: ValueKind) -> Option<&String> {
        // how often a bound itself occurs says nothing of how much lies behind it
        match compared.is_bound && self.bounds.is_empty() {
            true => self.bound(kind),
            false => self.value(kind),
        }
    }

    /// Of common values alone, as they follow one another: near either end, where a part of the column lies behind it, or in the middle.
    fn bound(&self, kind: ValueKind) -> Option<&String> {
        let mut ordered: Vec<&String> = self.common.iter().collect();
        let numbers: Option<Vec<f64>> = ordered.iter().map(|value| value.parse().ok()).collect();
        match numbers {
            Some(_) => ordered.sort_by(|a, b| {
                let number = |text: &str| text.parse::<f64>().unwrap_or_default();
                number(a).total_cmp(&number(b))
            }),
            // dates come as ISO writes them; of texts another order is as good
            None => ordered.sort(),
        }
        let last = ordered.len().checked_sub(1)?;
        let place = match kind {
            ValueKind::Commonest => 1.min(last),
            ValueKind::Rare => last.saturating_sub(1),
            _ => last.div_ceil(2),
        };
        ordered.get(place).copied()
    }

    fn value(&self, kind: ValueKind) -> Option<&String> {
        let middle = self.bounds.get(self.bounds.len() / 2);
        match kind {
            ValueKind::Commonest => self.common.first().or(self.bounds.first()),
            // the last but one: nothing lies behind the last
            ValueKind::Rare => self
                .bounds
                .get(self.bounds.len().saturating_sub(2))
                .or(self.common.last()),
            // what stands beside a list is neither
            _ => middle.or_else(|| self.common.get(self.common.len() / 2)),
        }
    }

    /// So many values from all over the column; common ones, the rarest first, only where too few others are known.
    fn list(&self, length: usize) -> Option<Vec<&String>> {
        let others = length.min(self.bounds.len());
        let bounds = (0..others).map(|one| &self.bounds[one * self.bounds.len() / others]);
        let common = self.common.iter().rev().take(length - others);
        let list: Vec<&String> = bounds.chain(common).collect();
        (list.len() == length).then_some(list)
    }

    /// Whether the column holds fewer values: where all of them are common, all are known.
    fn holds_fewer(&self, values: usize) -> bool {
        self.bounds.is_empty() && !self.common.is_empty() && self.common.len() < values
    }
}

/// One more plan of a statement.
#[derive(Debug)]
struct Reading {
    statement: usize,
    kind: ValueKind,
    /// Its text, where that is another one.
    text: Option<ServerText>,
    /// `None` for parameters in general.
    values: Option<Values>,
}

impl Reading {
    async fn cost(
        &self,
        what_if: &mut WhatIf<'_>,
        planned: &[Planned],
        set: &FixedBitSet,
    ) -> Result<Option<f64>, PostgresError> {
        let parameters = match &self.values {
            Some(values) => Parameters::Values(values),
            None => planned[self.statement].parameters(),
        };
        what_if
            .cost_for(self.statement, set, self.text.as_ref(), parameters)
            .await
    }
}

/// What each of these statements costs for particular parameters, as things are and with a set of candidates, as long as fewer than
/// `most_calls` were asked. Values are tried of those of which each parameter is compared with a column.
///
/// # Errors
/// If the session is lost.
pub(super) async fn tried(
    plan: &Plan,
    what_if: &mut WhatIf<'_>,
    planned: &[Planned],
    statements: &[usize],
    set: &FixedBitSet,
    most_calls: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<BTreeMap<usize, Vec<TriedValue>>, PostgresError> {
    let readings = readings(plan, planned, statements).await?;
    let mut with = Vec::new();
    for reading in &readings {
        if stop() || what_if.calls >= most_calls {
            break;
        }
        with.push(reading.cost(what_if, planned, set).await?);
    }
    let mut tried: BTreeMap<usize, Vec<TriedValue>> = BTreeMap::new();
    for (reading, after) in readings.iter().zip(with) {
        if stop() {
            break;
        }
        let Some(cost_after) = after else { continue };
        let before = reading.cost(what_if, planned, &FixedBitSet::new()).await?;
        if let Some(cost_before) = before {
            tried.entry(reading.statement).or_default().push(TriedValue {
                kind: reading.kind,
                cost_before,
                cost_after,
            });
        }
    }
    Ok(tried)
}

/// Common, median and rare values of all parameters, of those of these statements of which each is compared with a column.
///
/// # Errors
/// If the server refuses, or the session is lost.
pub(super) async fn of_statements(
    plan: &Plan,
    planned: &[Planned],
    statements: &[usize],
) -> Result<BTreeMap<usize, Vec<Values>>, PostgresError> {
    let compared = statements
        .iter()
        .filter_map(|one| Some((*one, compared_with(&planned[*one])?)));
    let compared: BTreeMap<usize, Vec<Compared>> = compared.collect();
    let known = known(plan, &compared.values().flatten().map(column_of).collect()).await?;
    let of_one = |(one, compared): (&usize, &Vec<Compared>)| {
        let readings = of_values(*one, compared, &known).into_iter();
        (*one, readings.filter_map(|reading| reading.values).collect())
    };
    Ok(compared.iter().map(of_one).collect())
}

/// What is to be tried: values of all statements first.
async fn readings(
    plan: &Plan,
    planned: &[Planned],
    statements: &[usize],
) -> Result<Vec<Reading>, PostgresError> {
    let compared: BTreeMap<usize, Vec<Compared>> = statements
        .iter()
        .filter_map(|one| Some((*one, compared_with(&planned[*one])?)))
        .collect();
    let columns: BTreeSet<ColumnKey> = compared.values().flatten().map(column_of).collect();
    let known = known(plan, &columns).await?;
    let mut readings = Vec::new();
    for (one, compared) in &compared {
        readings.extend(of_values(*one, compared, &known));
    }
    for one in statements {
        let compared = compared.get(one).map(Vec::as_slice);
        readings.extend(of_lists(*one, &planned[*one], compared, &known));
        readings.extend(of_later_page(*one, &planned[*one]));
    }
    Ok(readings)
}

/// The column of each parameter; `None` where there are none, or one is compared with no column.
fn compared_with(planned: &Planned) -> Option<Vec<Compared>> {
    let mut by_number = compared_parameters(&planned.tree);
    let count = sql::parameter_count(planned.text.as_str());
    let all: Option<Vec<Compared>> = (1..=count).map(|number| by_number.remove(&number)).collect();
    all.filter(|all| !all.is_empty())
}

/// Common, median and rare values; none twice.
fn of_values(statement: usize, compared: &[Compared], known: &BTreeMap<ColumnKey, Known>) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    for kind in [ValueKind::Commonest, ValueKind::Median, ValueKind::Rare] {
        let value = |one: &Compared| {
            let value = known.get(&column_of(one))?.value_for(one, kind)?;
            Some(Some(match one.is_array {
                true => array_of(&[value]),
                false => value.clone(),
            }))
        };
        let values: Option<Vec<Option<String>>> = compared.iter().map(value).collect();
        if values.is_some() && !readings.iter().any(|other| other.values == values) {
            readings.push(Reading {
                statement,
                kind,
                text: None,
                values,
            });
        }
    }
    readings
}

/// Longer lists: in the places of those that were shortened, and as arrays. Where no values are known for them, parameters in
/// general stand for the shortened ones; an array has no length then.
fn of_lists(
    statement: usize,
    planned: &Planned,
    compared: Option<&[Compared]>,
    known: &BTreeMap<ColumnKey, Known>,
) -> Vec<Reading> {
    let compared = compared.unwrap_or_default();
    let is_list = |(number, one): (usize, &Compared)| {
        (one.is_array || planned.lists.contains(&number)).then(|| column_of(one))
    };
    let columns: BTreeSet<ColumnKey> = (1..).zip(compared).filter_map(is_list).collect();
    let of = |(kind, length): (ValueKind, usize)| {
        let too_few = |column: &ColumnKey| known.get(column).is_some_and(|known| known.holds_fewer(length));
        if columns.iter().any(too_few) {
            return None;
        }
        let longer = sql::with_lists_of(planned.text.as_str(), &planned.lists, length);
        let added = longer.as_ref().map(|longer| longer.added.as_slice());
        let values = match columns.is_empty() {
            true => None,
            false => values_of_lists(compared, planned, added.unwrap_or_default(), length, known),
        };
        let text = match &longer {
            Some(longer) => Some(ServerText::one_query(&longer.text).ok()?),
            None => None,
        };
        (text.is_some() || values.is_some()).then_some(Reading {
            statement,
            kind,
            text,
            values,
        })
    };
    LENGTHS.into_iter().filter_map(of).collect()
}

/// Values for all parameters: so many for a list, a median one for others.
fn values_of_lists(
    compared: &[Compared],
    planned: &Planned,
    added: &[usize],
    length: usize,
    known: &BTreeMap<ColumnKey, Known>,
) -> Option<Vec<Option<String>>> {
    let mut values = Vec::new();
    let mut lists: BTreeMap<usize, Vec<&String>> = BTreeMap::new();
    for (number, one) in (1..).zip(compared) {
        let known = known.get(&column_of(one))?;
        values.push(Some(if one.is_array {
            array_of(&known.list(length)?)
        } else if planned.lists.contains(&number) {
            let list = lists.entry(number).or_insert(known.list(length)?);
            list.pop()?.clone()
        } else {
            known.value_for(one, ValueKind::Median)?.clone()
        }));
    }
    for number in added {
        values.push(Some(lists.get_mut(number)?.pop()?.clone()));
    }
    Some(values)
}

/// The rows before a page far behind the first, where a statement is planned for its first page and the whole is that long as the
/// planner reckons.
pub(super) fn rows_before_later_page(planned: &Planned) -> Option<f64> {
    let before = (PAGES_BEFORE * planned.page_rows?.ceil()).max(ROWS_BEFORE);
    let root = &planned.tree.root;
    // what is limited comes after what is only needed for it
    let whole = root.children.last().filter(|_| root.kind == "Limit")?;
    (whole.rows > before).then_some(before)
}

/// The statement at that page.
fn of_later_page(statement: usize, planned: &Planned) -> Option<Reading> {
    let text = sql::at_later_page(planned.text.as_str(), rows_before_later_page(planned)?)?;
    Some(Reading {
        statement,
        kind: ValueKind::LaterPage,
        text: Some(ServerText::one_query(&text).ok()?),
        values: None,
    })
}

/// Schema, table and column.
pub(super) type ColumnKey = (String, String, String);

pub(super) fn column_of(compared: &Compared) -> ColumnKey {
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

/// An array of these values, as PostgreSQL writes it.
pub(super) fn array_of(values: &[&String]) -> String {
    let quoted = |value: &&String| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let quoted: Vec<String> = values.iter().map(quoted).collect();
    format!("{{{}}}", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::index_advisor::search_path::SearchPath;
    use crate::model::plan::PlanTree;

    fn known_of(common: &[&str], bounds: impl IntoIterator<Item = usize>) -> Known {
        Known {
            common: common.iter().map(ToString::to_string).collect(),
            bounds: bounds.into_iter().map(|bound| bound.to_string()).collect(),
        }
    }

    /// A statement over s.t, its plan and the rows of its pages.
    fn planned(text: &str, plan: serde_json::Value, page_rows: Option<f64>) -> Planned {
        Planned {
            text: ServerText::one_query(text).unwrap(),
            search_path: SearchPath::parse("s", None).unwrap(),
            has_parameters: sql::parameter_count(text) > 0,
            role: None,
            passed_at: Instant::now(),
            tree: PlanTree::read(&json!([{ "Plan": plan }])).unwrap(),
            lists: sql::shortened_lists(text),
            page_rows,
            has_guessed_types: false,
            locks_rows: false,
            values: Vec::new(),
            cost_by_values: None,
        }
    }

    /// How it is planned for lists: the kind, the text if it is another one, and how many values there are.
    fn lists(text: &str, filter: &str, known: &Known) -> Vec<(ValueKind, bool, Option<usize>)> {
        let plan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter});
        let planned = planned(text, plan, None);
        let compared = compared_with(&planned);
        let key = |column: &str| ("s".to_owned(), "t".to_owned(), column.to_owned());
        let known = ["a", "b"].map(|column| (key(column), known.clone())).into();
        let readings = of_lists(7, &planned, compared.as_deref(), &known);
        let told = readings.into_iter().map(|reading| {
            let values = reading.values.as_ref();
            // every parameter has its value
            if let (Some(text), Some(values)) = (&reading.text, values) {
                assert_eq!(values.len(), sql::parameter_count(text.as_str()));
            }
            (reading.kind, reading.text.is_some(), values.map(Vec::len))
        });
        told.collect()
    }

    #[test]
    fn lists_hold_what_is_known_or_parameters_in_general() {
        use ValueKind::{ListOfHundred, ListOfTen};
        let many = known_of(&["x", "y"], 0..101);
        let shortened = "SELECT 1 FROM t WHERE a IN ($1 /*, ... */) AND b = $2";
        let filter = "((t.a = $1) AND (t.b = $2))";
        assert_eq!(
            lists(shortened, filter, &many),
            [(ListOfTen, true, Some(11)), (ListOfHundred, true, Some(101))]
        );
        assert_eq!(
            lists(shortened, filter, &known_of(&[], 0..50)),
            [(ListOfTen, true, Some(11)), (ListOfHundred, true, None)],
            "too few are known"
        );
        assert_eq!(
            lists(shortened, filter, &known_of(&["x", "y", "z"], [])),
            [],
            "the column holds three values"
        );
        assert_eq!(
            lists(shortened, "((t.a = $1) AND (lower(t.b) = $2))", &many),
            [(ListOfTen, true, None), (ListOfHundred, true, None)],
            "$2 is compared with no column"
        );
        assert_eq!(
            lists(
                "SELECT 1 FROM t WHERE a = ANY ($1) AND b = $2",
                "((t.a = ANY ($1)) AND (t.b = $2))",
                &many
            ),
            [(ListOfTen, false, Some(2)), (ListOfHundred, false, Some(2))]
        );
        assert_eq!(
            lists(
                "SELECT 1 FROM t WHERE a = ANY ($1)",
                "(t.a = ANY ($1))",
                &known_of(&[], [])
            ),
            [],
            "nothing says how long an array is"
        );
        assert_eq!(lists("SELECT 1 FROM t WHERE a IN ($1)", "(t.a = $1)", &many), []);
    }

    #[test]
    fn values_of_a_list_are_from_all_over_the_column() {
        let list = |known: &Known, length| {
            let list = known.list(length);
            list.map(|list| list.into_iter().cloned().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(
            list(&known_of(&["x"], 0..101), 10).as_deref(),
            Some("0 10 20 30 40 50 60 70 80 90")
        );
        assert_eq!(
            list(&known_of(&["x", "y", "z"], 0..2), 4).as_deref(),
            Some("0 1 z y"),
            "the rarest of the common ones"
        );
        assert_eq!(list(&known_of(&["x"], 0..2), 4), None);
        assert_eq!(list(&known_of(&[], []), 10), None);
        let hundred = known_of(&[], 0..101);
        let different: BTreeSet<&String> = hundred.list(100).unwrap().into_iter().collect();
        assert_eq!(different.len(), 100);
    }

    #[test]
    fn a_later_page_is_tried_where_there_is_one() {
        let later = |text: &str, kind: &str, rows: f64, page_rows: Option<f64>| {
            let needed = json!({"Node Type": "Result", "Plan Rows": 1.0});
            let whole = json!({"Node Type": "Sort", "Plan Rows": rows});
            let plan = json!({"Node Type": kind, "Plan Rows": 20.0, "Plans": [needed, whole]});
            let reading = of_later_page(7, &planned(text, plan, page_rows))?;
            reading.text.map(|text| text.as_str().to_owned())
        };
        let text = "SELECT a FROM t ORDER BY a LIMIT 20 OFFSET 0";
        assert_eq!(
            later(text, "Limit", 5000.0, Some(19.4)).as_deref(),
            Some("SELECT a FROM t ORDER BY a LIMIT 20 OFFSET 2000")
        );
        assert_eq!(
            later(text, "Limit", 5000.0, Some(0.3)).as_deref(),
            Some("SELECT a FROM t ORDER BY a LIMIT 20 OFFSET 1000")
        );
        assert_eq!(later(text, "Limit", 2000.0, Some(19.4)), None, "it ends before");
        assert_eq!(later(text, "Limit", 5000.0, None), None);
        assert_eq!(later(text, "Append", 5000.0, Some(19.4)), None);
        let no_offset = "SELECT a FROM t LIMIT 20";
        assert_eq!(later(no_offset, "Limit", 5000.0, Some(19.4)), None);
    }

    #[test]
    fn how_far_a_later_page_is_takes_the_plan_alone() {
        let before = |rows: f64, page_rows: Option<f64>| {
            let whole = json!({"Node Type": "Sort", "Plan Rows": rows});
            let plan = json!({"Node Type": "Limit", "Plan Rows": 20.0, "Plans": [whole]});
            rows_before_later_page(&planned("SELECT a FROM t LIMIT 20 OFFSET 0", plan, page_rows))
        };
        assert_eq!(before(5000.0, Some(19.4)), Some(2000.0));
        assert_eq!(before(5000.0, Some(0.3)), Some(ROWS_BEFORE));
        assert_eq!(before(2000.0, Some(19.4)), None, "it ends before");
        assert_eq!(before(5000.0, None), None);
    }

    #[test]
    fn a_bound_has_something_behind_it() {
        let plan = json!([{"Plan": {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
            "Filter": "((t.a > $1) AND (t.b = $2))"}}]);
        let mut compared = compared_parameters(&PlanTree::read(&plan).unwrap());
        let [bound, equal] = [1, 2].map(|number| compared.remove(&number).unwrap());
        let of = |compared: &Compared, known: &Known| {
            [ValueKind::Commonest, ValueKind::Median, ValueKind::Rare].map(|kind| {
                known
                    .value_for(compared, kind)
                    .map_or("", String::as_str)
                    .to_owned()
            })
        };
        // as often as they occur, the greatest the rarest
        let numbers = known_of(&["10", "9", "-1", "2", "30"], []);
        assert_eq!(of(&bound, &numbers), ["2", "9", "10"]);
        assert_eq!(of(&equal, &numbers), ["10", "-1", "30"]);
        let dates = known_of(&["2026-01-02", "2025-12-31", "2026-01-01"], []);
        assert_eq!(of(&bound, &dates), ["2026-01-01"; 3]);
        assert_eq!(of(&bound, &known_of(&["x", "y"], [])), ["y", "y", "x"]);
        assert_eq!(of(&bound, &known_of(&["x"], [])), ["x"; 3]);
        assert_eq!(of(&bound, &known_of(&[], [])), [""; 3]);
        let both = known_of(&["50"], 0..101);
        assert_eq!(
            of(&bound, &both),
            of(&equal, &both),
            "bounds of equal parts tell more"
        );
    }

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
        assert_eq!(
            array_of(&[&"a\"\\".to_owned(), &"b, c".to_owned()]),
            r#"{"a\"\\","b, c"}"#
        );
    }
}
