//! Values that are not equally common. The planner prices a parameter as the average value of its column: where that has a row or
//! two, an index on the column alone costs what one costs that has a further column, which the statement compares, too. For the
//! commonest value the first reads all of its rows, one page or so for each, and the second hardly any. How common that is statistics
//! tell, so that nobody need be asked.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::built::rows_held;
use super::candidate::Candidate;
use super::clauses::{Key, key_of};
use super::ready::Ready;
use super::selection::Skew;
use super::tables::Table;
use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{Comparison, Condition, Operand, conditions, has_parameter, unquoted};

/// Values are as good as equally common where the commonest have less than so many times the rows of the others: samples differ.
const TIMES: f64 = 10.0;
/// What PostgreSQL takes for a page that is read at random, unless it is told otherwise.
const PAGE_UNITS: f64 = 4.0;
/// Planner's units that a further key must save the commonest values.
const LEAST_UNITS: f64 = 100.0;

/// Columns of one table that a statement compares with parameters for equality, all at once.
struct Asked<'a> {
    statement: usize,
    table: &'a Table,
    columns: BTreeSet<String>,
}

/// What an index finds by the commonest value of each of its keys.
struct Found {
    /// Planner's units for the pages of its rows.
    units: f64,
    /// The part of the rows, 0 to 1, that have it.
    share: f64,
    /// Whether these are many more rows than other values have.
    is_skewed: bool,
}

/// All indexes that could be made, and what each takes in bytes.
struct Possible<'a> {
    candidates: &'a [Candidate],
    sizes: &'a [f64],
}

impl Asked<'_> {
    /// What an index of so many bytes finds, if its keys are among what is asked and statistics tell how common their values are.
    fn found(&self, candidate: &Candidate, bytes: f64) -> Option<Found> {
        let name = &self.table.name;
        let is_plain = candidate.method == "btree"
            && candidate.include.is_empty()
            && (&candidate.schema, &candidate.table) == (&name.schema, &name.name);
        if !is_plain {
            return None;
        }
        // parts of all rows
        let (mut commonest, mut average) = (1.0, 1.0);
        for key in &candidate.keys {
            let Key::Column(name) = &key.key else { return None };
            let column = self.table.columns.get(name)?;
            let values = column.values.filter(|values| *values >= 1.0)?;
            if !self.columns.contains(name) || key.operator_class.is_some() {
                return None;
            }
            average /= values;
            commonest *= column.commonest_ratio.unwrap_or(0.0).max(1.0 / values);
        }
        let rows = rows_held(candidate, self.table, bytes)?;
        let share: f64 = commonest;
        let (commonest, average) = (commonest * rows, average * rows);
        // a bitmap scan reads no page twice
        let pages = (commonest * self.pages_per_row(candidate)).min(self.table.pages.max(1.0));
        Some(Found {
            units: PAGE_UNITS * pages,
            share,
            is_skewed: commonest >= TIMES * average.max(1.0),
        })
    }

    /// Pages that are read for each row of one value: the planner, too, takes them to lie together as far as the table is stored in
    /// the order of the first key.
    fn pages_per_row(&self, candidate: &Candidate) -> f64 {
        let column = candidate.keys.first().and_then(|key| match &key.key {
            Key::Column(name) => self.table.columns.get(name),
            Key::Expression(_) => None,
        });
        let correlation = column.and_then(|column| column.correlation).unwrap_or(0.0);
        let together = (correlation * correlation).min(1.0);
        let packed = (self.table.pages / self.table.rows.max(1.0)).min(1.0);
        together * packed + (1.0 - together)
    }

    /// For each index that could serve the statement and finds many rows of the commonest values, the one with further keys that finds
    /// hardly any: the narrowest of those.
    fn skewed(&self, all: &Possible<'_>, relevant: &FixedBitSet, useful: &FixedBitSet) -> Vec<Skew> {
        let found = |one: usize| Some((one, self.found(&all.candidates[one], all.sizes[one])?));
        let mut wide: Vec<(usize, Found)> = relevant.ones().filter_map(found).collect();
        wide.sort_by_key(|(one, _)| (all.candidates[*one].keys.len(), *one));
        let skew = |(narrow, before): (usize, Found)| {
            let index = &all.candidates[narrow];
            let is_wider = |(one, _): &&(usize, Found)| {
                let other = &all.candidates[*one];
                other.keys.len() > index.keys.len()
                    && other.keys.starts_with(&index.keys)
                    && other.predicate == index.predicate
            };
            let wider = || wide.iter().filter(is_wider);
            let least = wider()
                .map(|(_, after)| after.units)
                .fold(f64::INFINITY, f64::min);
            let (wide, after) = wider().find(|(_, after)| after.units < least + LEAST_UNITS)?;
            let saved = before.units - after.units;
            (saved >= LEAST_UNITS).then_some(Skew {
                statement: self.statement,
                narrow,
                wide: *wide,
                saved,
                share: before.share,
            })
        };
        let narrow = useful.ones().filter_map(found);
        narrow.filter(|(_, one)| one.is_skewed).filter_map(skew).collect()
    }
}

/// The columns that a scan compares with parameters for equality, all of them for each row.
fn compared(scan: &PlanNode) -> BTreeSet<String> {
    let all = scan.conditions.iter().flat_map(|text| conditions(text));
    let column = |condition: Condition| {
        let Condition::Term {
            left,
            comparison: Comparison::Equal | Comparison::AnyOf,
            right: Operand::Value(value),
            ..
        } = condition
        else {
            return None;
        };
        let (alias, key) = key_of(&left)?;
        let is_its_own = scan.alias.as_ref() == Some(&alias) && has_parameter(&value);
        match key {
            _ if !is_its_own => None,
            Key::Column(name) => Some(name),
            // text of another type
            Key::Expression(text) => text.strip_suffix("::text").map(unquoted),
        }
    };
    all.filter_map(column).collect()
}

impl Ready {
    /// Where the commonest values of what a statement is asked for have many more rows than the planner reckons with, so that an index
    /// should have a further key. Of each statement those candidates are given that it asks for, and those that could serve it.
    pub(super) fn skewed(
        &self,
        relevant: &[FixedBitSet],
        useful: &[FixedBitSet],
        sizes: &[f64],
    ) -> Vec<Skew> {
        let all = &Possible {
            candidates: &self.candidates,
            sizes,
        };
        let with_parameters = self.planned.iter().enumerate();
        let with_parameters = with_parameters.filter(|(_, planned)| planned.has_parameters);
        let skewed = with_parameters.flat_map(|(statement, planned)| {
            let asked = self.compared_in(statement, &planned.tree).into_iter();
            asked.flat_map(move |asked| asked.skewed(all, &relevant[statement], &useful[statement]))
        });
        let mut once: BTreeMap<(usize, usize), Skew> = BTreeMap::new();
        for skew in skewed {
            once.entry((skew.statement, skew.narrow)).or_insert(skew);
        }
        once.into_values().collect()
    }

    /// What the scans of a plan ask by more than one column.
    fn compared_in<'a>(&'a self, statement: usize, tree: &PlanTree) -> Vec<Asked<'a>> {
        let mut found: Vec<Asked<'a>> = Vec::new();
        for node in tree.nodes() {
            let (Some(schema), Some(relation)) = (&node.schema, &node.relation) else {
                continue;
            };
            let Some(table) = self.tables.get(schema, relation) else {
                continue;
            };
            let columns = compared(node);
            // partitions are many, and mostly asked the same
            let is_known = |one: &Asked<'_>| one.table.oid == table.oid && one.columns == columns;
            if columns.len() > 1 && !found.iter().any(is_known) {
                found.push(Asked {
                    statement,
                    table,
                    columns,
                });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::tables::{Column, tests::table_of};

    /// Of 400 000 things players have five or six, the commonest so many times as many.
    fn things(times: f64) -> Table {
        let column = |type_name: &str, values: f64, commonest: f64| Column {
            type_name: type_name.into(),
            width_bytes: Some(if type_name == "uuid" { 16.0 } else { 4.0 }),
            values: Some(values),
            commonest_ratio: Some(commonest),
            ..Column::default()
        };
        let player = column("uuid", 75_000.0, times / 75_000.0);
        let item = column("int4", 5_000.0, 0.01);
        let kind = column("int4", 4.0, 0.4);
        table_of(400_000.0, [("player", player), ("item", item), ("kind", kind)])
    }

    fn index(keys: &[&str], predicate: Option<&str>) -> Candidate {
        let key = |name: &&str| IndexKey::from(Key::Column((*name).into()));
        Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: keys.iter().map(key).collect(),
            include: Vec::new(),
            predicate: predicate.map(str::to_owned),
        }
    }

    /// Which index should stand in the place of which.
    fn skewed(table: &Table, candidates: &[Candidate], columns: &[&str], bytes: f64) -> Vec<(usize, usize)> {
        let asked = Asked {
            statement: 0,
            table,
            columns: columns.iter().map(|one| (*one).to_owned()).collect(),
        };
        let sizes = vec![bytes; candidates.len()];
        let all = Possible {
            candidates,
            sizes: &sizes,
        };
        let mut every = FixedBitSet::with_capacity(candidates.len());
        every.insert_range(..);
        let found = asked.skewed(&all, &every, &every).into_iter();
        found.map(|one| (one.narrow, one.wide)).collect()
    }

    const NOTHING: [(usize, usize); 0] = [];

    #[test]
    fn the_commonest_value_asks_for_a_further_key() {
        let candidates = [
            index(&["player"], None),
            index(&["player", "item", "kind"], None),
            index(&["player", "item"], None),
        ];
        let all = ["player", "item", "kind"];
        let of = |times: f64| skewed(&things(times), &candidates, &all, 20e6);
        assert_eq!(of(120.0), [(0, 2)], "the third key saves nothing more");
        assert_eq!(of(9.0), NOTHING, "it is hardly commoner than others");
        let without_item = skewed(&things(120.0), &candidates, &["player", "kind"], 20e6);
        assert_eq!(without_item, NOTHING, "the item is not compared");
        let mut sorted = things(120.0);
        if let Some(player) = sorted.columns.get_mut("player") {
            player.correlation = Some(1.0);
        }
        let lying_together = skewed(&sorted, &candidates, &all, 20e6);
        assert_eq!(lying_together, NOTHING, "its rows lie on a few pages");
    }

    #[test]
    fn no_value_has_rows_on_more_pages_than_there_are() {
        let table = things(37_500.0);
        let asked = Asked {
            statement: 0,
            table: &table,
            columns: ["player", "item"].map(str::to_owned).into(),
        };
        let found = asked.found(&index(&["player"], None), 20e6).unwrap();
        assert_eq!((found.units, found.share), (PAGE_UNITS * table.pages, 0.5));
    }

    #[test]
    fn an_index_on_few_rows_has_few_of_the_commonest() {
        let part = Some("deleted_at IS NULL");
        let candidates = [index(&["player"], part), index(&["player", "item"], part)];
        let of = |bytes: f64| skewed(&things(120.0), &candidates, &["player", "item"], bytes);
        assert_eq!(of(4e6), [(0, 1)]);
        assert_eq!(of(100e3), NOTHING);
        let other = [index(&["player"], part), index(&["player", "item"], None)];
        let mixed = skewed(&things(120.0), &other, &["player", "item"], 4e6);
        assert_eq!(mixed, NOTHING, "the other is on other rows");
    }

    #[test]
    fn only_what_all_rows_are_compared_with_counts() {
        let of = |filter: &str| {
            let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                              "Filter": filter, "Total Cost": 9.0});
            let tree = PlanTree::read(&json!([{ "Plan": scan }])).unwrap();
            compared(&tree.root).into_iter().collect::<Vec<String>>()
        };
        let all = of("((t.a = $1) AND (t.b = ANY ($2)) AND ((t.c)::text = $3))");
        assert_eq!(all, ["a", "b", "c"]);
        assert!(of("((t.a = $1) OR (t.b = $2))").is_empty());
        assert!(of("((t.a = 7) AND (t.b > $1) AND (t.c = other.c))").is_empty());
    }
}
