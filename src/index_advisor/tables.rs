//! What is known of the tables that a workload reads: how large they are, whether they were ever analyzed, which
//! partitions, columns and indexes they have.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::candidate::{Candidate, IndexKey};
pub use super::carried::Length;
use super::clauses::{Key, RelationUse};
use super::existing::existing;
pub use super::existing::{ExistingIndex, ExistingKey};
use super::later_pages::Keys;
pub use super::partition::{Numbering, Partition};
use crate::limits;
use crate::model::column::ColumnNow;
use crate::model::remedy::qualified;
use crate::postgres::{Plan, PostgresError, column, queries};
use crate::sql::computed::{Computed, computed};
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
    /// Of a domain that which it is over.
    pub type_name: String,
    /// As SQL spells its type, with the length; a domain by its name.
    pub told_type: String,
    pub is_not_null: bool,
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
    /// The part of the rows, 0 to 1, that have its commonest value, where one is known. Where statistics may be read.
    pub commonest_ratio: Option<f64>,
    /// Whether it has so few values that a constant one of them stands for a part of the rows, not for one call.
    pub has_few_values: bool,
    /// Whether its text is compared byte by byte, as under the collation C.
    pub has_byte_order: bool,
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
        told_type: text(row, "told_type"),
        is_not_null: flag(row, "is_not_null"),
        is_array: flag(row, "is_array"),
        is_range: flag(row, "is_range"),
        width_bytes,
        values: distinct,
        correlation: column(row, "correlation"),
        null_ratio: column(row, "null_ratio"),
        commonest_ratio: column(row, "commonest_ratio"),
        has_few_values: distinct.is_some_and(|values| (1.0..=few).contains(&values)),
        has_byte_order: flag(row, "has_byte_order"),
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

    /// An index that is there by its name, or by that of a part of it on a partition; `None` if there is none, or several.
    pub(super) fn index(&self, name: &str) -> Option<&ExistingIndex> {
        let is_it =
            |index: &&ExistingIndex| index.name == name || index.parts.iter().any(|part| part.name == name);
        let mut found = self
            .tables
            .values()
            .flat_map(|table| &table.indexes)
            .filter(is_it);
        let index = found.next()?;
        found.next().is_none().then_some(index)
    }

    /// Its keys.
    pub(super) fn keys_of_index(&self, name: &str) -> Option<Keys> {
        let index = self.index(name)?;
        let is_of = |table: &&Table| table.indexes.iter().any(|one| std::ptr::eq(one, index));
        let ordered = index.keys.iter().map(ExistingKey::ordered).collect();
        Some(Keys::of(ordered, self.tables.values().find(is_of)))
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

    /// The columns of those of users, by the OID of the table: for pages.
    pub fn columns(&self) -> BTreeMap<u32, Vec<ColumnNow>> {
        let told = |(name, column): (&String, &Column)| ColumnNow {
            name: name.clone(),
            type_name: Some(column.told_type.clone()),
            is_not_null: Some(column.is_not_null),
            sample: None,
        };
        let of_users = self.tables.values().filter(|table| table.may_be_indexed);
        of_users
            .map(|table| (table.oid, table.columns.iter().map(told).collect()))
            .collect()
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
                numbering: match flag(&row, "has_numbers_of_parent") {
                    true => Numbering::OfParent,
                    false => Numbering::Own,
                },
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

    /// The key of an index by which what begins with something is found, where there is one: under an operator class for that, but
    /// in the order of bytes under the type's own. An expression is taken for text.
    pub(super) fn key_of_beginnings(&self, key: &Key) -> Option<IndexKey> {
        let class = match key {
            Key::Column(name) => self.columns.get(name)?.pattern_class()?,
            Key::Expression(_) => "text_pattern_ops",
        };
        Some(IndexKey {
            operator_class: (!self.has_byte_order(key)).then(|| class.to_owned()),
            ..IndexKey::from(key.clone())
        })
    }

    /// Whether a key is in the order of bytes; an expression is, unless it names a collation, where all its columns are.
    fn has_byte_order(&self, key: &Key) -> bool {
        let names = self.columns_of(key);
        let mut columns = names.iter().map(|name| self.columns.get(name));
        let is_collated =
            matches!(key, Key::Expression(text) if text.to_ascii_uppercase().contains("COLLATE"));
        !names.is_empty() && !is_collated && columns.all(|one| one.is_some_and(|one| one.has_byte_order))
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

    /// The column that an expression is, where that is only cast to its own type, as EXPLAIN writes one of a domain, or text to text.
    fn only_cast(&self, text: &str) -> Option<String> {
        let (name, to) = text.rsplit_once("::")?;
        let name = unquoted(name);
        let column = self.columns.get(&name)?;
        let is_text = column.is_text() && matches!(to, "text" | "varchar");
        // with a length it is another value; without one these have the length of one
        let has_length = to.contains('(') || matches!(to, "char" | "bit") || to.starts_with("interval ");
        let itself = || Box::new(Computed::Column(name.clone()));
        let is_own = || computed(text) == Computed::Cast(column.type_name.clone(), itself());
        (is_text || !has_length && is_own()).then_some(name)
    }

    /// What a plan asks of this table, with columns for what only casts them to their own type: no index minds that.
    pub fn read(&self, asked: &RelationUse) -> RelationUse {
        let plain = |key: &Key| match key {
            Key::Expression(text) => self.only_cast(text).map_or_else(|| key.clone(), Key::Column),
            Key::Column(_) => key.clone(),
        };
        let mut read = RelationUse {
            schema: self.name.schema.clone(),
            table: self.name.name.clone(),
            ..asked.with_keys(&plain)
        };
        read.prefixed.retain(|key, class| {
            // in the order of bytes an ordinary index does it
            let own = match key {
                _ if self.has_byte_order(key) => None,
                Key::Column(name) => self.columns.get(name).and_then(Column::pattern_class),
                Key::Expression(_) => Some("text_pattern_ops"),
            };
            *class = own.unwrap_or(*class);
            own.is_some()
        });
        read
    }

    /// An index that is there and answers all that a candidate would.
    pub fn served_by(&self, candidate: &Candidate) -> Option<&ExistingIndex> {
        self.indexes.iter().find(|index| index.serves(candidate))
    }

    /// Whether a candidate begins with a column that is asked to be NULL where most rows are: that finds next to nothing out, and
    /// the planner, which takes rows of one value to lie together where nearly all have it, thinks it does. An index on the part
    /// of the rows that have none there does the same for less.
    pub(super) fn begins_with_nulls_of_most(&self, candidate: &Candidate, asked: &RelationUse) -> bool {
        /// Of the rows, from which on the rest is worth a look of its own.
        const MOST: f64 = 0.5;
        let Some(first) = candidate.keys.first().map(|first| &first.key) else {
            return false;
        };
        let null_ratio = match first {
            Key::Column(name) => self.columns.get(name).and_then(|column| column.null_ratio),
            Key::Expression(_) => None,
        };
        asked.null.contains(first) && null_ratio.is_some_and(|ratio| ratio >= MOST)
    }

    /// The same where this is asked: also one that finds the only row.
    pub(super) fn serving(&self, candidate: &Candidate, asked: &RelationUse) -> Option<&ExistingIndex> {
        let mut indexes = self.indexes.iter();
        indexes.find(|index| index.serves(candidate) || index.finds_one_row(candidate, asked))
    }
}

#[cfg(test)]
pub(super) mod tests;
