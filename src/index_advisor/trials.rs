//! Plans that tell which indexes are taken: of each statement for parameters in general, and, where indexes on its tables may be
//! dropped, for the commonest and a rare value of the columns that its parameters are compared with, and for the values that the
//! predicates of these indexes ask for: a generic plan takes no partial index that only a value implies, and none that only
//! rare values pay. Where no values can be tried there is a doubt, and nothing is said of the drop.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::by_values::Values;
use super::clauses::{Compared, compared_parameters};
use super::tables::TableName;
use super::values::{ColumnKey, Known, array_of, column_of, known};
use super::what_if::{Planned, WhatIf};
use crate::limits;
use crate::model::advice::{Droppable, Rehearsal, ValueKind};
use crate::model::plan::{PlanNode, PlanTree};
use crate::postgres::{Parameters, Plan, PostgresError, column, column_or_default, queries};
use crate::sql::expression::{bare_columns, columns};
use crate::sql::{self, PredicateAsks, asked_by_predicate};

/// One plan of a statement.
pub(super) struct Trial {
    pub(super) statement: usize,
    /// `None` for parameters in general.
    values: Option<Values>,
    /// The plan as it is by now.
    pub(super) tree: PlanTree,
    /// What it costs with all indexes that are there.
    pub(super) cost_with: f64,
}

impl Trial {
    /// For parameters in general.
    pub(super) fn in_general(statement: usize, tree: PlanTree) -> Self {
        Self {
            statement,
            values: None,
            cost_with: tree.total_cost(),
            tree,
        }
    }

    /// The plan as things are now with these candidates; `None` if there is none.
    ///
    /// # Errors
    /// If the session is lost, and no other is to be had.
    pub(super) async fn planned(
        &self,
        what_if: &mut WhatIf<'_>,
        planned: &[Planned],
        set: &FixedBitSet,
    ) -> Result<Option<PlanTree>, PostgresError> {
        let parameters = match &self.values {
            Some(values) => Parameters::Values(values),
            None => planned[self.statement].parameters(),
        };
        what_if.tree_for(self.statement, set, None, parameters).await
    }

    /// Whether it takes an index that plans know by one of these names.
    pub(super) fn takes(&self, index: &[Droppable]) -> bool {
        index.iter().any(|part| self.tree.takes(&part.schema, &part.name))
    }
}

/// The plans of a workload, and the indexes of which they do not tell enough.
pub(super) struct Trials {
    pub(super) all: Vec<Trial>,
    /// What is said of an index that no plan takes where that tells nothing, by OID.
    pub(super) doubts: BTreeMap<u32, Rehearsal>,
}

impl Trials {
    /// Plans what is needed to tell of these drops, until it is to end.
    ///
    /// # Errors
    /// If the session is lost, and no other is to be had.
    pub(super) async fn of(
        plan: &Plan,
        what_if: &mut WhatIf<'_>,
        planned: &[Planned],
        drops: &[Droppable],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, PostgresError> {
        let indexes = indexes(plan, drops).await?;
        let general = planned.iter().enumerate();
        let mut all: Vec<Trial> = general
            .map(|(statement, one)| Trial::in_general(statement, one.tree.clone()))
            .collect();
        let with_parameters = planned.iter().enumerate().filter(|(_, one)| one.has_parameters);
        let readers = with_parameters.map(|(statement, one)| Reader::of(statement, one));
        let readers: Vec<Reader<'_>> = readers
            .filter(|reader| indexes.iter().any(|index| reads(reader.tree, &index.table)))
            .collect();
        let compared = readers.iter().flat_map(|reader| reader.compared.values());
        let known = known(plan, &compared.map(column_of).collect()).await?;
        let attempts = readers.iter().flat_map(|reader| {
            let statement = reader.statement;
            let attempts = reader.attempts(&indexes, &known).into_iter();
            attempts.map(move |values| (statement, values))
        });
        let mut untried: BTreeSet<usize> = BTreeSet::new();
        let mut was_ended = false;
        for (made, (statement, values)) in attempts.enumerate() {
            let is_too_many = made >= limits::REHEARSED_VALUES;
            if is_too_many || stop() {
                was_ended |= !is_too_many;
                untried.insert(statement);
                continue;
            }
            let none = FixedBitSet::new();
            let parameters = Parameters::Values(&values);
            let tree = what_if.tree_for(statement, &none, None, parameters).await?;
            match tree {
                Some(tree) => all.push(Trial {
                    values: Some(values),
                    ..Trial::in_general(statement, tree)
                }),
                None => _ = untried.insert(statement),
            }
        }
        let doubt = |index: &Index| {
            let why = doubt(index, &readers, &all, &untried)?;
            let said = match was_ended {
                true => Rehearsal::LeftOut,
                false => Rehearsal::Unknown(why.to_owned()),
            };
            Some((index.oid, said))
        };
        let doubts = indexes.iter().filter_map(doubt).collect();
        Ok(Self { all, doubts })
    }
}

/// An index that may be dropped.
struct Index {
    oid: u32,
    table: TableName,
    /// All that it is made of.
    columns: BTreeSet<String>,
    predicate: PredicateAsks,
}

impl Index {
    fn of(row: &Row) -> Self {
        let predicate: Option<String> = column(row, "predicate");
        let expressions: Option<String> = column(row, "expressions");
        let columns: Vec<String> = column_or_default(row, "columns");
        let mut columns: BTreeSet<String> = columns.into_iter().collect();
        // several are told in one text
        let texts = expressions.map(|list| format!("ROW({list})"));
        for text in texts.iter().chain(&predicate) {
            columns.extend(bare_columns(text));
        }
        let asks = predicate.as_deref().map(|text| {
            // what cannot be read asks for something
            asked_by_predicate(text).unwrap_or_else(|| PredicateAsks {
                others: columns.clone(),
                ..PredicateAsks::default()
            })
        });
        Self {
            oid: column_or_default(row, "oid"),
            table: TableName {
                schema: column_or_default(row, "schema"),
                name: column_or_default(row, "name"),
            },
            predicate: asks.unwrap_or_default(),
            columns,
        }
    }

    /// What its predicate asks a compared column to be.
    fn asked_value(&self, compared: &Compared) -> Option<&String> {
        self.predicate
            .values
            .get(&compared.column)
            .filter(|_| self.is_on(compared))
    }

    fn is_on(&self, compared: &Compared) -> bool {
        compared.is_in(&self.table.schema, &self.table.name)
    }
}

async fn indexes(plan: &Plan, drops: &[Droppable]) -> Result<Vec<Index>, PostgresError> {
    let oids: Vec<u32> = drops.iter().map(|index| index.oid).collect();
    let asked: [(&(dyn ToSql + Sync), Type); 1] = [(&oids, Type::OID_ARRAY)];
    let rows = plan.session().rows(queries::ADVISE_DROPS, &asked).await?;
    Ok(rows.iter().map(Index::of).collect())
}

/// A statement with parameters.
struct Reader<'a> {
    statement: usize,
    tree: &'a PlanTree,
    /// How many parameters it has, and the columns that they are compared with, by their numbers.
    count: usize,
    compared: BTreeMap<usize, Compared>,
}

impl<'a> Reader<'a> {
    fn of(statement: usize, planned: &'a Planned) -> Self {
        Self {
            statement,
            tree: &planned.tree,
            count: sql::parameter_count(planned.text.as_str()),
            compared: compared_parameters(&planned.tree),
        }
    }

    /// Values that are to be tried; none twice.
    fn attempts(&self, indexes: &[Index], known: &BTreeMap<ColumnKey, Known>) -> Vec<Values> {
        let of_kind = |compared: &Compared, kind: ValueKind| -> Option<String> {
            known
                .get(&column_of(compared))?
                .value_for(compared, kind)
                .cloned()
        };
        let mut attempts: Vec<Values> = Vec::new();
        for kind in [ValueKind::Commonest, ValueKind::Rare] {
            attempts.push(self.values(|compared| of_kind(compared, kind)));
        }
        for index in indexes {
            if self.compared.values().any(|one| index.asked_value(one).is_some()) {
                attempts.push(self.values(|compared| {
                    let asked = index.asked_value(compared).cloned();
                    asked.or_else(|| of_kind(compared, ValueKind::Median))
                }));
            }
        }
        let mut fresh: BTreeSet<Values> = BTreeSet::new();
        attempts.retain(|values| values.iter().any(Option::is_some) && fresh.insert(values.clone()));
        attempts
    }

    /// Values of all parameters: those that are compared with no column, or with one of which none is known, are NULL. If that
    /// makes a condition false, the plan reads nothing, and does not count.
    fn values(&self, chosen: impl Fn(&Compared) -> Option<String>) -> Values {
        let value = |number: usize| {
            let compared = self.compared.get(&number)?;
            Some(written(compared, chosen(compared)?))
        };
        (1..=self.count).map(value).collect()
    }

    /// The columns of a table that stand in conditions with a parameter.
    fn beside_parameters(&self, table: &TableName) -> BTreeSet<String> {
        let mut beside = BTreeSet::new();
        for node in self.tree.nodes().into_iter().filter(|node| is_of(node, table)) {
            for text in node.conditions.iter().filter(|text| text.contains('$')) {
                let named = columns(text).into_iter();
                let own = named.filter(|name| node.alias.as_ref() == Some(&name.alias));
                beside.extend(own.map(|name| name.column));
            }
        }
        beside
    }
}

/// A value as the parameter takes it.
fn written(compared: &Compared, value: String) -> String {
    match compared.is_array {
        true => array_of(&[&value]),
        false => value,
    }
}

fn is_of(node: &PlanNode, table: &TableName) -> bool {
    node.schema.as_ref() == Some(&table.schema) && node.relation.as_ref() == Some(&table.name)
}

fn reads(tree: &PlanTree, table: &TableName) -> bool {
    tree.nodes().into_iter().any(|node| is_of(node, table))
}

/// Why the plans do not tell whether a statement would take an index. `untried` are the statements of which not all plans for
/// values were had that were to be tried.
fn doubt(
    index: &Index,
    readers: &[Reader<'_>],
    trials: &[Trial],
    untried: &BTreeSet<usize>,
) -> Option<&'static str> {
    const UNTRIED: &str =
        "a statement that reads its table was not planned for all values that were to be tried";
    const NO_VALUES: &str =
        "a statement compares its columns with parameters of which no values could be tried";
    const NOT_IMPLIED: &str = "whether a statement may take it depends on the value of a parameter that its predicate asks for, \
                               and no such value is known";
    for reader in readers.iter().filter(|reader| reads(reader.tree, &index.table)) {
        // the plan that is missing may be the one that takes it, whatever the parameters stand beside
        if untried.contains(&reader.statement) {
            return Some(UNTRIED);
        }
        if reader.beside_parameters(&index.table).is_disjoint(&index.columns) {
            continue;
        }
        let tried = trials.iter().filter(|one| one.statement == reader.statement);
        let tried = tried.filter(|one| reads(&one.tree, &index.table));
        let tried: Vec<&Values> = tried.filter_map(|one| one.values.as_ref()).collect();
        if tried.is_empty() {
            return Some(NO_VALUES);
        }
        let is_untried = |(number, compared): (&usize, &Compared)| match index.asked_value(compared) {
            Some(value) => {
                let value = Some(written(compared, value.clone()));
                !tried.iter().any(|values| values.get(*number - 1) == Some(&value))
            }
            None => index.is_on(compared) && index.predicate.others.contains(&compared.column),
        };
        if reader.compared.iter().any(is_untried) {
            return Some(NOT_IMPLIED);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::index_advisor::search_path::SearchPath;
    use crate::index_advisor::tables::tests::named;
    use crate::postgres::ServerText;

    fn tree(filter: &str) -> PlanTree {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter,
            "Total Cost": 100.0});
        PlanTree::read(&json!([{ "Plan": scan }])).unwrap()
    }

    fn planned(text: &str, filter: &str) -> Planned {
        Planned {
            text: ServerText::one_query(text).unwrap(),
            search_path: SearchPath::parse("s", None).unwrap(),
            has_parameters: true,
            role: None,
            passed_at: Instant::now(),
            tree: tree(filter),
            lists: BTreeSet::new(),
            page_rows: None,
            has_guessed_types: false,
            locks_rows: false,
            values: Vec::new(),
            cost_by_values: None,
        }
    }

    fn index(columns: &[&str], predicate: Option<&str>) -> Index {
        let predicate = predicate.map(|text| asked_by_predicate(text).unwrap());
        Index {
            oid: 7,
            table: named("t"),
            columns: columns.iter().map(ToString::to_string).collect(),
            predicate: predicate.unwrap_or_default(),
        }
    }

    fn known_of(column: &str, common: &[&str]) -> (ColumnKey, Known) {
        let known = Known {
            common: common.iter().map(ToString::to_string).collect(),
            bounds: Vec::new(),
        };
        (("s".to_owned(), "t".to_owned(), column.to_owned()), known)
    }

    #[test]
    fn the_values_of_predicates_are_tried_and_what_has_none_is_null() {
        let text = "SELECT 1 FROM t WHERE status = $1 AND kind = $2 AND a + $3 = 1";
        let planned = planned(text, "((t.status = $1) AND (t.kind = $2) AND ((t.a + $3) = 1))");
        let reader = Reader::of(0, &planned);
        let known: BTreeMap<ColumnKey, Known> = [
            known_of("status", &["done", "gone"]),
            known_of("kind", &["1", "2", "3"]),
        ]
        .into();
        let partial = index(&["kind", "status"], Some("(status = 'open'::text)"));
        let attempts = reader.attempts(&[partial], &known);
        let values = |status: &str, kind: &str| vec![Some(status.to_owned()), Some(kind.to_owned()), None];
        assert_eq!(
            attempts,
            [values("done", "1"), values("gone", "3"), values("open", "2")]
        );
        let unknown = reader.attempts(&[], &BTreeMap::new());
        assert!(unknown.is_empty(), "nothing but NULL tells nothing: {unknown:?}");
    }

    #[test]
    fn what_could_not_be_tried_is_in_doubt() {
        let filter = "((t.status = $1) AND (t.kind = 5))";
        let planned = planned("SELECT 1 FROM t WHERE status = $1 AND kind = 5", filter);
        let readers = [Reader::of(0, &planned)];
        let tried = |values: &[&str]| -> Vec<Trial> {
            let of = |value: &&str| Trial {
                values: Some(vec![Some((*value).to_owned())]),
                ..Trial::in_general(0, tree(filter))
            };
            values.iter().map(of).collect()
        };
        let told = |index: &Index, values: &[&str]| {
            let doubt = doubt(index, &readers, &tried(values), &BTreeSet::new());
            doubt.is_some()
        };
        let of_status = index(&["status"], None);
        assert!(told(&of_status, &[]), "no value was tried");
        assert!(!told(&of_status, &["done"]));
        assert!(
            !told(&index(&["note"], None), &[]),
            "it stands beside no parameter"
        );
        let open = index(&["kind", "status"], Some("(status = 'open'::text)"));
        assert!(told(&open, &["done"]), "another value implies nothing");
        assert!(!told(&open, &["done", "open"]));
        let others = index(&["kind", "status"], Some("(status <> 'done'::text)"));
        assert!(told(&others, &["done", "open"]));
        let any = index(&["kind", "status"], Some("(status IS NOT NULL)"));
        assert!(!told(&any, &["done"]));
    }

    #[test]
    fn a_missing_plan_for_values_leaves_a_doubt_of_all_indexes_of_its_tables() {
        let filter = "(t.status = $1)";
        let planned = planned("SELECT 1 FROM t WHERE status = $1", filter);
        let readers = [Reader::of(0, &planned)];
        let trials = [Trial {
            values: Some(vec![Some("done".to_owned())]),
            ..Trial::in_general(0, tree(filter))
        }];
        let told = |index: &Index, untried: &[usize]| {
            let untried: BTreeSet<usize> = untried.iter().copied().collect();
            doubt(index, &readers, &trials, &untried).is_some()
        };
        let elsewhere = Index {
            table: named("u"),
            ..index(&["status"], None)
        };
        for column in ["status", "note"] {
            assert!(told(&index(&[column], None), &[0]), "{column}");
            assert!(!told(&index(&[column], None), &[]), "{column}");
            assert!(!told(&index(&[column], None), &[1]), "another statement");
        }
        assert!(!told(&elsewhere, &[0]), "it does not read that table");
    }
}
