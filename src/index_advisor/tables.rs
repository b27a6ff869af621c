//! What is known of the tables that a workload reads: how large they are, whether they were ever analyzed, which
//! partitions, columns and indexes they have.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::candidate::Candidate;
pub use super::carried::Length;
use super::clauses::{Key, Picks, Predicate, RelationUse};
use super::existing::existing;
pub use super::existing::{ExistingIndex, ExistingKey};
pub use super::partition::Partition;
use crate::limits;
use crate::model::remedy::qualified;
use crate::postgres::{Plan, PostgresError, column, queries};
use crate::sql::expression::{self, unquoted};

/// A table by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

/// One table; of a partitioned table the whole.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Table {
    pub oid: u32,
    pub name: TableName,
    pub is_partitioned: bool,
    /// An ordinary table of users: no catalog, foreign or temporary table.
    pub may_be_indexed: bool,
    pub pages: f64,
    pub rows: f64,
    /// Whether its rows were ever counted and its columns described: what the planner says of it rests on that.
    pub was_analyzed: bool,
    pub columns: BTreeMap<String, Column>,
    pub indexes: Vec<ExistingIndex>,
    /// Below a partitioned table, parents first.
    pub partitions: Vec<Partition>,
}

/// A column.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Column {
    pub type_name: String,
    pub is_array: bool,
    /// A range, or several of them.
    pub is_range: bool,
    /// Mean bytes of a value, where statistics may be read.
    pub width_bytes: Option<f64>,
    pub length: Length,
    /// How many values it has, where statistics may be read.
    pub values: Option<f64>,
    /// How far rows are stored in its order, up or down: 1 is wholly. Where statistics may be read.
    pub correlation: Option<f64>,
    /// The part of the rows, 0 to 1, that have none. Where statistics may be read.
    pub null_ratio: Option<f64>,
    /// Whether it has so few values that a constant one of them stands for a part of the rows, not for one call.
    pub has_few_values: bool,
}

impl Column {
    /// Whether it is text to every index: `text` or `varchar`. The others (`char(n)`, `citext`, `name`) have operators of their
    /// own, and become text by a function.
    pub fn is_text(&self) -> bool {
        matches!(self.type_name.as_str(), "text" | "varchar")
    }

    /// The operator class under which its values are found by what they begin with, where its type has one.
    fn pattern_class(&self) -> Option<&'static str> {
        match self.type_name.as_str() {
            "text" | "varchar" => Some("text_pattern_ops"),
            "bpchar" => Some("bpchar_pattern_ops"),
            _ => None,
        }
    }
}

/// A column with at most so many words has few: a state, a kind.
const FEW_WORDS: f64 = 50.0;
/// Numbers are mostly what somebody asks for just now: only where there are very few of them they are states.
const FEW_NUMBERS: f64 = 8.0;
/// From here on hardly any row has a value in a column, so that an index on those that have one is small.
const MOSTLY_NULL: f64 = 0.9;

/// The tables of a workload.
#[derive(Debug, Default)]
pub struct Tables {
    tables: BTreeMap<u32, Table>,
    /// By the names in plans; a partition stands for the table that it belongs to.
    by_name: BTreeMap<TableName, u32>,
    /// Whether an update stays HOT that changes columns of BRIN indexes alone.
    pub(super) brin_keeps_hot: bool,
}

pub(super) fn text(row: &Row, name: &str) -> String {
    column(row, name).unwrap_or_default()
}

pub(super) fn flag(row: &Row, name: &str) -> bool {
    column(row, name).unwrap_or(false)
}

/// A column as the catalogs describe it, of a table with so many rows that may have stored long values apart.
fn described(row: &Row, rows: f64, is_toasted: bool) -> Column {
    let type_name = text(row, "type");
    let few = match type_name.as_str() {
        "int2" | "int4" | "int8" | "numeric" | "float4" | "float8" | "uuid" | "date" => FEW_NUMBERS,
        _ => FEW_WORDS,
    };
    // negative where the number grows with the table
    let distinct = column::<f64>(row, "distinct_values")
        .map(|values| if values < 0.0 { -values * rows } else { values });
    let type_bytes = column(row, "type_bytes").unwrap_or(-1);
    let modifier = column(row, "modifier").unwrap_or(-1);
    let width_bytes = column(row, "width");
    Column {
        length: Length::of(&type_name, type_bytes, modifier, width_bytes, is_toasted),
        type_name,
        is_array: flag(row, "is_array"),
        is_range: flag(row, "is_range"),
        width_bytes,
        values: distinct,
        correlation: column(row, "correlation"),
        null_ratio: column(row, "null_ratio"),
        has_few_values: distinct.is_some_and(|values| (1.0..=few).contains(&values)),
    }
}

impl Tables {
    /// The table of that name; for a partition the whole table.
    pub fn get(&self, schema: &str, name: &str) -> Option<&Table> {
        let name = TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        self.tables.get(self.by_name.get(&name)?)
    }

    /// Whether a table or partition of that name is known; in any schema, where none is given.
    pub fn knows(&self, schema: Option<&str>, name: &str) -> bool {
        let mut known = self.by_name.keys();
        known.any(|one| one.name == name && schema.is_none_or(|schema| one.schema == schema))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// Asks the server about tables that are not known yet.
    ///
    /// # Errors
    /// If the server refuses, or the session is lost.
    pub async fn learn(&mut self, plan: &Plan, names: &BTreeSet<TableName>) -> Result<(), PostgresError> {
        let unknown: Vec<&TableName> = names
            .iter()
            .filter(|name| !self.by_name.contains_key(name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let schemas: Vec<&str> = unknown.iter().map(|name| name.schema.as_str()).collect();
        let tables: Vec<&str> = unknown.iter().map(|name| name.name.as_str()).collect();
        let asked = [
            (
                &schemas as &(dyn tokio_postgres::types::ToSql + Sync),
                Type::TEXT_ARRAY,
            ),
            (&tables, Type::TEXT_ARRAY),
        ];
        let mut fresh = Vec::new();
        let mut toasted = BTreeSet::new();
        for row in plan.session().rows(queries::ADVISE_TABLES, &asked).await? {
            self.brin_keeps_hot = flag(&row, "brin_keeps_hot");
            let oid = column(&row, "oid").unwrap_or(0);
            let name = TableName {
                schema: text(&row, "schema"),
                name: text(&row, "name"),
            };
            self.by_name.insert(name, oid);
            if self.tables.contains_key(&oid) {
                continue;
            }
            let whole = TableName {
                schema: text(&row, "root_schema"),
                name: text(&row, "root_name"),
            };
            self.by_name.insert(whole, oid);
            let table = Table {
                oid,
                name: TableName {
                    schema: text(&row, "root_schema"),
                    name: text(&row, "root_name"),
                },
                is_partitioned: flag(&row, "is_partitioned"),
                may_be_indexed: flag(&row, "may_be_indexed"),
                pages: column(&row, "pages").unwrap_or(0.0),
                rows: column(&row, "rows").unwrap_or(0.0),
                was_analyzed: flag(&row, "was_counted") && flag(&row, "was_analyzed"),
                columns: BTreeMap::new(),
                indexes: Vec::new(),
                partitions: Vec::new(),
            };
            self.tables.insert(oid, table);
            fresh.push(oid);
            toasted.extend(flag(&row, "is_toasted").then_some(oid));
        }
        let learnt = self.learn_parts(plan, &fresh, &toasted).await;
        if learnt.is_err() {
            // without its indexes a table would seem to have none
            self.forget(&fresh);
        }
        learnt
    }

    /// As if these tables had never been asked about.
    fn forget(&mut self, oids: &[u32]) {
        self.tables.retain(|oid, _| !oids.contains(oid));
        self.by_name.retain(|_, oid| !oids.contains(oid));
    }

    /// What there is of these tables, some of which may have stored long values apart.
    async fn learn_parts(
        &mut self,
        plan: &Plan,
        oids: &[u32],
        toasted: &BTreeSet<u32>,
    ) -> Result<(), PostgresError> {
        let session = plan.session();
        let asked: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&oids, Type::OID_ARRAY)];
        for row in session.rows(queries::ADVISE_COLUMNS, &asked).await? {
            let table_oid = column(&row, "table_oid").unwrap_or(0);
            let is_toasted = toasted.contains(&table_oid);
            if let Some(table) = self.tables.get_mut(&table_oid) {
                let known = described(&row, table.rows, is_toasted);
                table.columns.insert(text(&row, "name"), known);
            }
        }
        for row in session.rows(queries::ADVISE_INDEXES, &asked).await? {
            if let Some(table) = self.tables.get_mut(&column(&row, "table_oid").unwrap_or(0)) {
                table.indexes.push(existing(&row));
            }
        }
        for row in session.rows(queries::ADVISE_PARTITIONS, &asked).await? {
            let partition = Partition {
                oid: column(&row, "oid").unwrap_or(0),
                parent_oid: column(&row, "parent_oid").unwrap_or(0),
                is_partitioned: flag(&row, "is_partitioned"),
                is_foreign: flag(&row, "is_foreign"),
                name: TableName {
                    schema: text(&row, "schema"),
                    name: text(&row, "name"),
                },
                pages: column(&row, "pages"),
                rows: column(&row, "rows"),
                indexes: Vec::new(),
            };
            if let Some(table) = self.tables.get_mut(&column(&row, "root_oid").unwrap_or(0)) {
                table.partitions.push(partition);
            }
        }
        self.learn_indexes_of_partitions(plan, oids).await
    }

    async fn learn_indexes_of_partitions(&mut self, plan: &Plan, oids: &[u32]) -> Result<(), PostgresError> {
        let fresh = self.tables.values_mut().filter(|table| oids.contains(&table.oid));
        let partitions = fresh.flat_map(|table| &mut table.partitions);
        let mut partitions: BTreeMap<u32, &mut Partition> = partitions.map(|one| (one.oid, one)).collect();
        if partitions.is_empty() {
            return Ok(());
        }
        let parts: Vec<u32> = partitions.keys().copied().collect();
        let asked: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&parts, Type::OID_ARRAY)];
        for row in plan.session().rows(queries::ADVISE_INDEXES, &asked).await? {
            if let Some(partition) = partitions.get_mut(&column(&row, "table_oid").unwrap_or(0)) {
                partition.indexes.push(existing(&row));
            }
        }
        Ok(())
    }
}

impl Table {
    /// Why no index is advised for this table, whatever is asked of it.
    pub fn refusal(&self) -> Option<String> {
        let name = qualified(&self.name.schema, &self.name.name);
        if !self.may_be_indexed {
            return Some(format!("{name} is a catalog, a foreign or a temporary table"));
        }
        if self.partitions.iter().any(|partition| partition.is_foreign) {
            return Some(format!(
                "{name} has foreign partitions, so that it can have no index as a whole"
            ));
        }
        if !self.was_analyzed {
            return Some(format!(
                "{name} was never analyzed, so that its plans are guesses: run ANALYZE {name} first"
            ));
        }
        (self.pages < limits::TINY_TABLE_PAGES)
            .then(|| format!("{name} is so small that it is read as a whole faster"))
    }

    /// Whether a condition picks the same part of the rows in every call: not if it compares with a value that is another one
    /// in the next, though it stands in this text as a constant; nor if nearly all rows have what it asks for.
    pub fn picks_a_part(&self, predicate: &Predicate) -> bool {
        let column = match &predicate.key {
            Key::Column(name) => self.columns.get(name),
            Key::Expression(_) => None,
        };
        match predicate.picks {
            Picks::Value => column.is_some_and(|column| column.has_few_values),
            Picks::NotNull => {
                let null_ratio = column.and_then(|column| column.null_ratio);
                null_ratio.is_some_and(|ratio| ratio >= MOSTLY_NULL)
            }
            Picks::State => true,
        }
    }

    /// The operator class under which a key is found by what it begins with, where there is one; an expression is taken for text.
    pub(super) fn pattern_class_of(&self, key: &Key) -> Option<&'static str> {
        match key {
            Key::Column(name) => self.columns.get(name).and_then(Column::pattern_class),
            Key::Expression(_) => Some("text_pattern_ops"),
        }
    }

    /// How many values a key has, as far as is known.
    pub fn values_of(&self, key: &Key) -> f64 {
        let known = match key {
            Key::Column(name) => self.columns.get(name).and_then(|column| column.values),
            Key::Expression(_) => None,
        };
        known.unwrap_or(0.0)
    }

    /// The columns that a key is made of.
    pub fn columns_of(&self, key: &Key) -> BTreeSet<String> {
        match key {
            Key::Column(name) => [name.clone()].into(),
            Key::Expression(text) => {
                let names = expression::bare_columns(text).into_iter();
                names.filter(|name| self.columns.contains_key(name)).collect()
            }
        }
    }

    /// Mean bytes of what a key is made of, where statistics of all of that may be read.
    pub fn width_of(&self, key: &Key) -> Option<f64> {
        let names = self.columns_of(key);
        let widths = names.iter().map(|name| self.columns.get(name)?.width_bytes);
        widths.sum()
    }

    /// What a plan asks of this table, with text columns for what only casts them to text: no index minds that.
    pub fn read(&self, asked: &RelationUse) -> RelationUse {
        let casts = ["::text", "::varchar"];
        let plain = |key: &Key| match key {
            Key::Expression(text) => {
                let name = casts
                    .iter()
                    .find_map(|cast| text.strip_suffix(cast))
                    .map(unquoted);
                let is_text = |name: &String| self.columns.get(name).is_some_and(Column::is_text);
                name.filter(is_text).map_or_else(|| key.clone(), Key::Column)
            }
            Key::Column(_) => key.clone(),
        };
        let mut read = RelationUse {
            schema: self.name.schema.clone(),
            table: self.name.name.clone(),
            ..asked.with_keys(&plain)
        };
        read.prefixed.retain(|key, class| {
            let own = self.pattern_class_of(key);
            *class = own.unwrap_or(*class);
            own.is_some()
        });
        read
    }

    /// An index that is there and answers all that a candidate would.
    pub fn served_by(&self, candidate: &Candidate) -> Option<&ExistingIndex> {
        self.indexes.iter().find(|index| index.serves(candidate))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;

    /// A table of a thousand pages with these columns.
    pub(crate) fn table_of<const N: usize>(rows: f64, columns: [(&str, Column); N]) -> Table {
        Table {
            oid: 1,
            name: TableName {
                schema: "s".into(),
                name: "t".into(),
            },
            is_partitioned: false,
            may_be_indexed: true,
            pages: 2000.0,
            rows,
            was_analyzed: true,
            columns: columns.map(|(name, column)| (name.to_owned(), column)).into(),
            indexes: Vec::new(),
            partitions: Vec::new(),
        }
    }

    /// Nothing but this table is known.
    pub(crate) fn tables_of(table: Table) -> Tables {
        Tables {
            by_name: [(table.name.clone(), table.oid)].into(),
            tables: [(table.oid, table)].into(),
            ..Tables::default()
        }
    }

    #[test]
    fn beginnings_are_found_under_the_class_of_the_type() {
        let column = |type_name: &str| Column {
            type_name: type_name.into(),
            ..Column::default()
        };
        let columns = [
            ("a", column("text")),
            ("b", column("varchar")),
            ("c", column("bpchar")),
            ("d", column("name")),
        ];
        let table = table_of(10.0, columns);
        let keys = [
            Key::Column("a".into()),
            Key::Expression("b::text".into()),
            Key::Column("c".into()),
            Key::Column("d".into()),
            Key::Expression("lower(a)".into()),
        ];
        let asked = RelationUse {
            prefixed: keys.into_iter().map(|key| (key, "text_pattern_ops")).collect(),
            ..RelationUse::default()
        };
        let told: Vec<(Key, &str)> = table.read(&asked).prefixed.into_iter().collect();
        let wanted = [
            (Key::Column("a".into()), "text_pattern_ops"),
            (Key::Column("b".into()), "text_pattern_ops"),
            (Key::Column("c".into()), "bpchar_pattern_ops"),
            (Key::Expression("lower(a)".into()), "text_pattern_ops"),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn what_is_forgotten_has_no_name_left() {
        let mut tables = Tables::default();
        for oid in [1, 2] {
            let table = Table {
                oid,
                ..table_of(10.0, [])
            };
            let name = |name: String| TableName {
                schema: "s".into(),
                name,
            };
            tables.by_name.insert(name(format!("t{oid}")), oid);
            tables.by_name.insert(name(format!("partition{oid}")), oid);
            tables.tables.insert(oid, table);
        }
        assert!(tables.knows(Some("s"), "partition1") && tables.knows(None, "t2"));
        assert!(!tables.knows(Some("other"), "t1") && !tables.knows(None, "view"));
        tables.forget(&[1]);
        assert!(tables.get("s", "t1").is_none() && tables.get("s", "t2").is_some());
        let left: Vec<u32> = tables.by_name.values().copied().collect();
        assert_eq!((left, tables.all().count()), (vec![2, 2], 1));
    }

    fn candidate(keys: &[(&str, bool)], include: &[&str], predicate: Option<&str>) -> Candidate {
        let key = |(name, descending): &(&str, bool)| IndexKey {
            key: Key::Column((*name).into()),
            descending: *descending,
            nulls_first: *descending,
            operator_class: None,
        };
        Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: keys.iter().map(key).collect(),
            include: include.iter().map(|one| (*one).to_owned()).collect(),
            predicate: predicate.map(str::to_owned),
        }
    }

    fn index(keys: &[(&str, bool)], include: &[&str], predicate: Option<&str>) -> ExistingIndex {
        let key = |(name, descending): &(&str, bool)| ExistingKey {
            key: Key::Column((*name).into()),
            descending: *descending,
            nulls_first: *descending,
            is_plain: true,
        };
        ExistingIndex {
            oid: 1,
            schema: "s".into(),
            name: "i".into(),
            method: "btree".into(),
            is_unique: false,
            is_needed: false,
            predicate: predicate.map(str::to_owned),
            keys: keys.iter().map(key).collect(),
            include: include.iter().map(|one| (*one).to_owned()).collect(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn having_a_value_picks_a_part_only_where_hardly_any_row_has_one() {
        let column = |null_ratio| Column {
            null_ratio,
            ..Column::default()
        };
        let columns = [
            ("mostly", column(Some(0.98))),
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
        assert!(picks("mostly", Picks::NotNull));
        assert!(
            !picks("never", Picks::NotNull)
                && !picks("unknown", Picks::NotNull)
                && !picks("gone", Picks::NotNull)
        );
        assert!(picks("never", Picks::State) && !picks("mostly", Picks::Value));
    }

    #[test]
    fn an_index_serves_what_it_begins_with_in_either_direction() {
        let there = index(&[("a", false), ("b", true)], &["c"], None);
        assert!(there.serves(&candidate(&[("a", false)], &[], None)));
        assert!(
            there.serves(&candidate(&[("a", true), ("b", false)], &[], None)),
            "backwards"
        );
        assert!(there.serves(&candidate(&[("a", false)], &["c", "b"], None)));
        assert!(
            there.serves(&candidate(&[("a", false)], &[], Some("x"))),
            "all rows hold some"
        );
        assert!(!there.serves(&candidate(&[("a", false), ("b", false)], &[], None)));
        assert!(!there.serves(&candidate(&[("b", true)], &[], None)));
        assert!(!there.serves(&candidate(&[("a", false)], &["d"], None)));
        let partial = index(&[("a", false)], &[], Some("(status = 'open'::text)"));
        assert!(partial.serves(&candidate(&[("a", false)], &[], Some("status = 'open'::text"))));
        assert!(!partial.serves(&candidate(&[("a", false)], &[], None)));
        let unique = ExistingIndex {
            is_unique: true,
            ..index(&[("a", false)], &[], None)
        };
        assert!(unique.serves(&candidate(&[("a", false), ("b", false)], &["c"], None)));
        assert!(!unique.serves(&candidate(&[("b", false), ("a", false)], &[], None)));
        let mut other_class = index(&[("a", false)], &[], None);
        other_class.keys[0].is_plain = false;
        assert!(!other_class.serves(&candidate(&[("a", false)], &[], None)));
    }

    #[test]
    fn what_a_longer_index_answers_is_superfluous_unless_something_rests_on_it() {
        let longer = candidate(&[("a", false), ("b", false)], &["c"], None);
        let there = index(&[("a", false)], &["c"], None);
        assert!(there.is_superseded_by(&longer));
        assert!(!index(&[("b", false)], &[], None).is_superseded_by(&longer));
        assert!(!index(&[("a", false)], &["d"], None).is_superseded_by(&longer));
        let unique = ExistingIndex {
            is_unique: true,
            ..there.clone()
        };
        let needed = ExistingIndex {
            is_needed: true,
            ..there
        };
        assert!(!unique.is_superseded_by(&longer) && !needed.is_superseded_by(&longer));
    }
}
