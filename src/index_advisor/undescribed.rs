//! Expressions of which there are no statistics. Whatever they are compared with, the planner takes them to leave the same part of the
//! rows: a third for a range, a half for a boolean, a two-hundredth for a value. So an index that finds hardly any rows is refused, or one
//! that finds many is praised. Statistics of the expression alone (CREATE STATISTICS, since PostgreSQL 14) tell it, as those of an
//! index on it do once it is there; how they are made is what a reader is told.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::candidate::{Candidate, IndexKey};
use super::clauses::Key;
use super::definition::wanted_name;
use super::ready::Ready;
use super::selection::Problem;
use super::tables::{Table, TableName, Tables};
use crate::model::finding::Confidence;
use crate::model::plan::PlanTree;
use crate::model::remedy::{NAME_BYTES, qualified};
use crate::postgres::{Plan, PostgresError, column_or_default, queries};
use crate::sql::cut;
use crate::sql::expression::{self, Comparison, Condition, Operand, conditions, has_parameter};

/// A scan that costs less has nothing to save.
const CHEAP: f64 = 100.0;
/// Nor has one that is a smaller part of its statement.
const PART: f64 = 0.25;

/// An expression by the OID of its table and its text.
type ExpressionOf = (u32, String);

/// Of which expressions the planner has statistics.
#[derive(Debug, Default)]
pub(super) struct Described {
    known: BTreeSet<ExpressionOf>,
    /// Those whose statistics nobody filled yet.
    empty: BTreeSet<ExpressionOf>,
    /// Names of statistics that are taken.
    taken: BTreeSet<TableName>,
    /// The names of those that a reader is told to make.
    named: BTreeMap<ExpressionOf, String>,
    /// The server did not answer: nothing is told of what lacks them.
    is_unread: bool,
}

impl Described {
    /// Nobody knows.
    pub(super) fn unread() -> Self {
        Self {
            is_unread: true,
            ..Self::default()
        }
    }

    /// Asks about the tables of those candidates that have expressions.
    ///
    /// # Errors
    /// If the server refuses, or the session is lost.
    pub(super) async fn read(
        plan: &Plan,
        candidates: &[Candidate],
        tables: &Tables,
    ) -> Result<Self, PostgresError> {
        let mut described = Self::default();
        let of = |one: &Candidate| tables.get(&one.schema, &one.table);
        let with_expressions = candidates.iter().filter(|one| one.has_expressions());
        let wanted: BTreeMap<u32, &Table> = with_expressions
            .filter_map(of)
            .map(|table| (table.oid, table))
            .collect();
        if wanted.is_empty() {
            return Ok(described);
        }
        wanted.values().for_each(|table| described.take_indexes(table));
        let oids: Vec<u32> = wanted.keys().copied().collect();
        let asked: [(&(dyn ToSql + Sync), Type); 1] = [(&oids, Type::OID_ARRAY)];
        for row in plan.session().rows(queries::ADVISE_STATISTICS, &asked).await? {
            described.take(&row, &wanted);
        }
        Ok(described)
    }

    fn take_indexes(&mut self, table: &Table) {
        for key in table.indexes.iter().flat_map(|index| &index.keys) {
            if let Key::Expression(text) = &key.key {
                self.known.insert((table.oid, text.clone()));
            }
        }
    }

    fn take(&mut self, row: &Row, tables: &BTreeMap<u32, &Table>) {
        self.taken.insert(TableName {
            schema: column_or_default(row, "schema"),
            name: column_or_default(row, "name"),
        });
        let oid: u32 = column_or_default(row, "table_oid");
        // each partition is planned by statistics of its own
        if tables.get(&oid).is_none_or(|table| table.is_partitioned) {
            return;
        }
        let texts: Vec<String> = column_or_default(row, "expressions");
        let expressions = texts
            .into_iter()
            .map(|text| (oid, expression::normal(&text).unwrap_or(text)));
        let is_empty: bool = column_or_default(row, "is_empty");
        match is_empty {
            true => self.empty.extend(expressions),
            false => self.known.extend(expressions),
        }
    }

    /// Whether a key is an expression that the planner knows nothing of.
    fn lacks(&self, table: &Table, key: &Key) -> bool {
        match key {
            Key::Expression(text) => !self.is_unread && !self.known.contains(&(table.oid, text.clone())),
            Key::Column(_) => false,
        }
    }

    /// Whether any key of an index may be such an expression.
    pub(super) fn lacks_any(&self, table: &Table, candidate: &Candidate) -> bool {
        match self.is_unread {
            true => candidate.has_expressions(),
            false => candidate.keys.iter().any(|key| self.lacks(table, &key.key)),
        }
    }

    /// What to run so that the planner knows these expressions.
    fn sql(&mut self, table: &Table, keys: &BTreeSet<Key>) -> String {
        let TableName { schema, name } = &table.name;
        let on = qualified(schema, name);
        let mut sql = String::new();
        for key in keys {
            let Key::Expression(text) = key else { continue };
            if self.empty.contains(&(table.oid, text.clone())) {
                continue;
            }
            let name = qualified(schema, &self.name_of(table, text));
            sql.push_str(&format!("CREATE STATISTICS {name} ON ({text}) FROM {on}; "));
        }
        format!("{sql}ANALYZE {on};")
    }

    /// A name for the statistics of an expression that nobody has: that of an index on it, with another end.
    fn name_of(&mut self, table: &Table, text: &str) -> String {
        let of = (table.oid, text.to_owned());
        if let Some(known) = self.named.get(&of) {
            return known.clone();
        }
        let index = Candidate {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            method: "btree",
            keys: vec![IndexKey::from(Key::Expression(text.to_owned()))],
            include: Vec::new(),
            predicate: None,
        };
        let wanted = wanted_name(&index, &table.name.name);
        let stem = wanted.strip_suffix("_idx").unwrap_or(&wanted);
        let numbers = std::iter::once(String::new()).chain((2..).map(|number: u32| number.to_string()));
        let mut names = numbers.map(|number| TableName {
            schema: table.name.schema.clone(),
            name: format!(
                "{}_stat{number}",
                cut(stem, NAME_BYTES - "_stat".len() - number.len())
            ),
        });
        // there are more numbers than names
        let free = names.find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(free.clone());
        self.named.insert(of, free.name.clone());
        free.name
    }
}

/// An expression that a scan checks its rows by.
struct Compared {
    schema: String,
    table: String,
    key: Key,
    /// It lies in a range of which a parameter is one end: only the plan for a value knows how many rows that leaves.
    needs_value: bool,
}

/// Those of the scans that would be worth an index.
fn compared(tree: &PlanTree) -> Vec<Compared> {
    let least = CHEAP.max(PART * tree.total_cost());
    let mut found = Vec::new();
    for node in tree.nodes().into_iter().filter(|node| node.total_cost >= least) {
        let (Some(schema), Some(table)) = (&node.schema, &node.relation) else {
            continue;
        };
        let asked = node.filter.iter().flat_map(|text| conditions(text));
        for (text, needs_value) in asked.flat_map(|condition| expressions_of(&condition)) {
            found.push(Compared {
                schema: schema.clone(),
                table: table.clone(),
                key: Key::Expression(text),
                needs_value,
            });
        }
    }
    found
}

/// The expressions that a condition compares with values as statistics describe them, and whether those need one.
fn expressions_of(condition: &Condition) -> Vec<(String, bool)> {
    match condition {
        Condition::Term {
            left: Operand::Expression { text, .. },
            comparison,
            right,
            ..
        } => {
            let is_told = match comparison {
                Comparison::True | Comparison::False | Comparison::IsNull => true,
                Comparison::Equal | Comparison::AnyOf | Comparison::Range | Comparison::Prefix => {
                    matches!(right, Operand::Value(_))
                }
                _ => false,
            };
            let is_open = matches!(right, Operand::Value(value) if has_parameter(value));
            let needs_value = is_open && *comparison == Comparison::Range;
            is_told.then(|| (text.clone(), needs_value)).into_iter().collect()
        }
        Condition::Term { .. } | Condition::Rows(_) => Vec::new(),
        Condition::Or(arms) => arms.iter().flatten().flat_map(expressions_of).collect(),
    }
}

/// Expressions as a sentence names them.
fn named(keys: &BTreeSet<Key>) -> String {
    let texts = keys.iter().map(|key| match key {
        Key::Column(name) => name.clone(),
        Key::Expression(text) => format!("({text})"),
    });
    texts.collect::<Vec<String>>().join(" or ")
}

impl Ready {
    /// Why nobody knows whether an index is worth its price that a planned statement could have; `None` where that is known.
    pub(super) fn untold(
        &self,
        problem: &Problem,
        described: &mut Described,
        statement: usize,
    ) -> Option<String> {
        // the planner does not see there what statistics would speak for
        if self.unseen_tables.contains_key(&statement) {
            return None;
        }
        let planned = &self.planned[statement];
        let mut unknown: BTreeMap<u32, (&Table, BTreeSet<Key>)> = BTreeMap::new();
        let mut needs_value = false;
        for one in compared(&planned.tree) {
            let Some(table) = self.tables.get(&one.schema, &one.table) else {
                continue;
            };
            // each partition is planned by statistics of its own
            let is_told = table.is_partitioned || !described.lacks(table, &one.key);
            if is_told || !self.may_have(problem, statement, table, &one.key) {
                continue;
            }
            needs_value |= one.needs_value && planned.has_parameters;
            let (_, keys) = unknown
                .entry(table.oid)
                .or_insert_with(|| (table, BTreeSet::new()));
            keys.insert(one.key);
        }
        let mut sentences = Vec::new();
        for (table, keys) in unknown.values() {
            sentences.push(format!(
                "whether an index on {} of {} is worth its price cannot be told: there are no statistics of the expression, without \
                 which the planner expects the same part of the rows whatever that is compared with (a third for a range, a half \
                 for a boolean). Run `{}`, then ask again",
                named(keys),
                qualified(&table.name.schema, &table.name.name),
                described.sql(table, keys)
            ));
        }
        if needs_value {
            sentences.push(
                "for a range that a parameter ends the planner takes a third of the rows even then: ask with a usual value in \
                 its place (--statement)"
                    .to_owned(),
            );
        }
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }

    /// Whether HypoPG took an index on this expression for a statement. What it refused, for whatever reason, is in no SQL that a
    /// reader is told to run: where a function is not known under this `search_path`, another one may be under his.
    fn may_have(&self, problem: &Problem, statement: usize, table: &Table, key: &Key) -> bool {
        // the size is infinite of what HypoPG refused, or was not asked about; of others it is worked out
        let was_taken =
            |one: &usize| problem.sizes[*one].is_finite() && !self.estimated_sizes.contains_key(one);
        let mut taken = self.relevant[statement].iter().copied().filter(was_taken);
        taken.any(|one| {
            let one = &self.candidates[one];
            let is_on_it = matches!(&one.keys[..], [only] if only.key == *key) && one.predicate.is_none();
            let is_of_table = (&one.schema, &one.table) == (&table.name.schema, &table.name.name);
            one.method == "btree" && is_on_it && is_of_table
        })
    }

    /// With what nobody knows of an index that is advised for these planned statements: how many rows an expression leaves that they
    /// compare.
    pub(super) fn with_undescribed(
        &self,
        confidence: Confidence,
        described: &mut Described,
        statements: &[usize],
        one: usize,
    ) -> Confidence {
        let candidate = &self.candidates[one];
        let Some(table) = self.table_of(one).filter(|_| candidate.method == "btree") else {
            return confidence;
        };
        let keys = candidate.keys.iter().map(|key| &key.key);
        let lacking: BTreeSet<Key> = keys.filter(|key| described.lacks(table, key)).cloned().collect();
        let is_compared = |key: &Key| {
            statements
                .iter()
                .any(|statement| self.compares(*statement, table, key))
        };
        let unknown: BTreeSet<Key> = lacking.into_iter().filter(is_compared).collect();
        if unknown.is_empty() {
            return confidence;
        }
        let mut reason = format!(
            "{}; nobody knows how many rows are left by what is compared with {}, of which the planner expects the same part for \
             whatever value",
            confidence.reason,
            named(&unknown)
        );
        // each partition is planned by statistics of its own
        if !table.is_partitioned {
            let sql = described.sql(table, &unknown);
            reason = format!("{reason}: run `{sql}`, then ask again");
        }
        Confidence { reason, ..confidence }
    }

    /// Whether a statement compares a key of a table with anything.
    fn compares(&self, statement: usize, table: &Table, key: &Key) -> bool {
        self.planned[statement].asked().iter().any(|asked| {
            let is_of_it = |known: &Table| known.oid == table.oid;
            if !self.tables.get(&asked.schema, &asked.table).is_some_and(is_of_it) {
                return false;
            }
            let asked = table.read(asked);
            [&asked.equal, &asked.joined, &asked.ranged]
                .iter()
                .any(|keys| keys.contains(key))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index_advisor::tables::tests::table_of;

    fn keys(texts: &[&str]) -> BTreeSet<Key> {
        let key = |text: &&str| Key::Expression((*text).to_owned());
        texts.iter().map(key).collect()
    }

    #[test]
    fn statistics_have_names_of_their_own_and_are_made_where_there_are_none() {
        let mut table = table_of(1000.0, []);
        table.name.name = "Odd one".into();
        let mut described = Described::default();
        described.taken.insert(TableName {
            schema: "s".into(),
            name: "Odd one_lower_stat".into(),
        });
        let first = "CREATE STATISTICS s.\"Odd one_lower_stat2\" ON (lower(a)) FROM s.\"Odd one\"; ANALYZE s.\"Odd one\";";
        assert_eq!(described.sql(&table, &keys(&["lower(a)"])), first);
        assert_eq!(
            described.sql(&table, &keys(&["lower(a)"])),
            first,
            "it is the same"
        );
        assert_eq!(
            described.sql(&table, &keys(&["lower(b)", "a + 1"])),
            "CREATE STATISTICS s.\"Odd one_expr_stat\" ON (a + 1) FROM s.\"Odd one\"; \
             CREATE STATISTICS s.\"Odd one_lower_stat3\" ON (lower(b)) FROM s.\"Odd one\"; ANALYZE s.\"Odd one\";"
        );
        described.empty.insert((table.oid, "lower(c)".into()));
        assert_eq!(
            described.sql(&table, &keys(&["lower(c)"])),
            "ANALYZE s.\"Odd one\";"
        );
        table.name.name = "é".repeat(40);
        let name = described.name_of(&table, "lower(d)");
        assert!(name.len() <= NAME_BYTES && name.ends_with("_stat"), "{name}");
    }

    #[test]
    fn what_has_statistics_is_known() {
        let table = table_of(1000.0, []);
        let mut described = Described::default();
        described.known.insert((table.oid, "lower(a)".into()));
        described.empty.insert((table.oid, "lower(b)".into()));
        let lacks = |text: &str| described.lacks(&table, &Key::Expression(text.into()));
        assert!(!lacks("lower(a)"));
        assert!(lacks("lower(b)") && lacks("lower(c)"));
        assert!(!described.lacks(&table, &Key::Column("a".into())));
    }

    #[test]
    fn where_the_server_did_not_answer_nothing_is_claimed() {
        let table = table_of(1000.0, []);
        let described = Described::unread();
        let key = Key::Expression("lower(a)".into());
        assert!(!described.lacks(&table, &key), "no SQL is told for it");
        let index = |key: Key| Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![key.into()],
            include: Vec::new(),
            predicate: None,
        };
        assert!(described.lacks_any(&table, &index(key)), "nor is it proven");
        assert!(!described.lacks_any(&table, &index(Key::Column("a".into()))));
    }

    /// What is compared where a table is read as a whole at this cost.
    fn compared_at(cost: f64, filter: &str) -> Vec<(String, bool)> {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Total Cost": cost,
            "Filter": filter});
        let join = json!({"Node Type": "Nested Loop", "Total Cost": 1000.0, "Plans": [scan]});
        let tree = PlanTree::read(&json!([{ "Plan": join }])).unwrap();
        let text = |one: Compared| match one.key {
            Key::Expression(text) => (text, one.needs_value),
            Key::Column(name) => panic!("{name} has statistics"),
        };
        compared(&tree).into_iter().map(text).collect()
    }

    #[test]
    fn expressions_that_are_compared_with_values_are_found() {
        let found = |filter: &str| compared_at(900.0, filter);
        let one = |text: &str, needs_value| vec![(text.to_owned(), needs_value)];
        assert_eq!(found("(length(t.note) > 60)"), one("length(note)", false));
        assert_eq!(found("(60 < length(t.note))"), one("length(note)", false));
        assert_eq!(found("(length(t.note) > $1)"), one("length(note)", true));
        assert_eq!(found("(lower(t.note) = $1)"), one("lower(note)", false));
        assert_eq!(found("is_even(t.id)"), one("is_even(id)", false));
        assert_eq!(
            found("((t.a = 1) OR (length(t.note) > 60))"),
            one("length(note)", false)
        );
        for filter in [
            "(t.a > 60)",
            // no statistics tell how two of them compare
            "(length(t.note) > t.a)",
            "(lower(t.note) ~~* '%a%'::text)",
            "(length(t.note) <> 60)",
        ] {
            assert!(found(filter).is_empty(), "{filter}");
        }
    }

    #[test]
    fn scans_that_cost_little_have_nothing_to_save() {
        let filter = "(length(t.note) > 60)";
        assert_eq!(compared_at(300.0, filter).len(), 1);
        assert_eq!(compared_at(200.0, filter).len(), 0);
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Total Cost": 20.0,
            "Filter": filter});
        let tree = PlanTree::read(&json!([{ "Plan": scan }])).unwrap();
        assert!(compared(&tree).is_empty());
    }
}
