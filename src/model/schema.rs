//! Facts about a database's design: foreign keys, constraints, sequences, the extension that indexes trigrams.

use serde::{Deserialize, Serialize};

/// What one database's catalogs say of its design.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Schema {
    /// Foreign keys of tables that are no partitions.
    pub foreign_keys: Vec<ForeignKey>,
    /// Constraints that are NOT VALID.
    pub not_valid: Vec<Constraint>,
    /// Sequences, with the columns that each feeds.
    pub sequences: Vec<Sequence>,
    /// Tables that inherit from others and are no partitions.
    #[serde(default)]
    pub inherited_tables: Vec<InheritedTable>,
    /// These could not be read.
    #[serde(default)]
    pub are_heirs_unread: bool,
    /// Where the extension pg_trgm is installed; `None` where it is not, or that could not be read.
    #[serde(default)]
    pub trigrams_schema: Option<String>,
    /// What keeps columns from getting another type, of tables of which some may need one. A table of which nothing does has one
    /// without a name.
    #[serde(default)]
    pub fixed_columns: Vec<FixedColumn>,
}

/// A table that inherits from another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct InheritedTable {
    pub table_oid: u32,
    pub parent_oid: u32,
}

/// A column to which PostgreSQL gives no other type as things are: its own, or that of a partition or another table below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FixedColumn {
    pub table_oid: u32,
    pub name: Option<String>,
    pub is_in_partition_key: bool,
    /// It is declared in a parent of its table.
    pub is_inherited: bool,
    /// The first of those that use it, with what they are: views, rules, triggers, generated columns, policies, functions,
    /// publications.
    pub used_by: Vec<String>,
    /// How many use it.
    pub users: i64,
}

/// Whether PostgreSQL gives a column another type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TypeChange<'a> {
    /// That was not read.
    Unknown,
    /// It does.
    Free,
    /// It does not, for this.
    Refused(&'a FixedColumn),
}

impl Schema {
    /// Whether PostgreSQL gives a column of a table that is no partition another type.
    pub fn type_change(&self, table_oid: u32, column: &str) -> TypeChange<'_> {
        let mut known = TypeChange::Unknown;
        for one in self.fixed_columns.iter().filter(|one| one.table_oid == table_oid) {
            if one.name.as_deref() == Some(column) {
                return TypeChange::Refused(one);
            }
            known = TypeChange::Free;
        }
        known
    }
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ForeignKey {
    pub oid: u32,
    pub name: String,
    pub table_oid: u32,
    /// In the order of the constraint.
    pub columns: Vec<String>,
    /// `format_type` of each, with its modifier; of a domain what it is over.
    pub types: Vec<String>,
    /// The domain that each is declared with, where it is with one.
    #[serde(default)]
    pub domains: Vec<Option<String>>,
    pub referenced_oid: u32,
    pub referenced_columns: Vec<String>,
    pub referenced_types: Vec<String>,
    #[serde(default)]
    pub referenced_domains: Vec<Option<String>>,
    /// ON DELETE: `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default.
    pub on_delete: char,
    /// MATCH FULL: all of its columns are NULL, or none.
    #[serde(default)]
    pub is_match_full: bool,
    /// Its last column is a PERIOD (18): rows refer to those whose periods hold theirs.
    #[serde(default)]
    pub is_temporal: bool,
}

impl ForeignKey {
    /// The columns by whose values the rows that refer to one are looked up: of a temporal key all but its period, which is
    /// looked up by an overlap (`&&`).
    pub fn looked_up_columns(&self) -> &[String] {
        let periods = usize::from(self.is_temporal);
        &self.columns[..self.columns.len().saturating_sub(periods)]
    }
}

/// A constraint that is NOT VALID.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Constraint {
    pub name: String,
    pub table_oid: u32,
    /// `c` CHECK, `f` foreign key, `n` NOT NULL (18).
    pub kind: char,
    /// The condition of a CHECK as SQL, the column of a NOT NULL as it is quoted.
    pub condition: Option<String>,
    /// The foreign key, where it is one.
    pub foreign_key: Option<ForeignKey>,
    /// The domain, where it is one of a domain and not of a table.
    #[serde(default)]
    pub domain: Option<Domain>,
}

/// A domain, by its names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Domain {
    pub schema: String,
    pub name: String,
}

/// A sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sequence {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `smallint`, `integer`, `bigint`.
    pub type_name: String,
    /// `None` where it was never used.
    pub last_value: Option<i64>,
    /// Whether last_value could be read.
    pub is_readable: bool,
    /// Whether the login lacks the right to read it. The other reasons why it could not be: it was locked or dropped just
    /// then, or another one was that was asked with it, or there are too many.
    #[serde(default)]
    pub is_refused: bool,
    pub least: i64,
    pub greatest: i64,
    pub increment: i64,
    pub cycles: bool,
    /// The column that takes its values; of several the one that ends first.
    pub column: Option<SequenceColumn>,
    /// The other columns that take its values, without those that are inherited from one that does.
    #[serde(default)]
    pub other_columns: Vec<SequenceColumn>,
}

/// A column that takes a sequence's values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SequenceColumn {
    pub table_oid: u32,
    pub name: String,
    /// `smallint`, `integer`, `bigint`, or something else; of a domain what it is over.
    pub type_name: String,
    /// The domain that it is declared with.
    #[serde(default)]
    pub domain: Option<String>,
    pub is_identity: bool,
}

impl Sequence {
    /// All columns that take its values.
    pub fn columns(&self) -> impl Iterator<Item = &SequenceColumn> {
        self.column.iter().chain(&self.other_columns)
    }

    /// The value at which a type of integers ends, in the direction of the sequence.
    pub fn limit_of(&self, type_name: &str) -> Option<i64> {
        let (least, greatest) = match type_name {
            "smallint" => (i64::from(i16::MIN), i64::from(i16::MAX)),
            "integer" => (i64::from(i32::MIN), i64::from(i32::MAX)),
            "bigint" => (i64::MIN, i64::MAX),
            _ => return None,
        };
        Some(if self.increment < 0 { least } else { greatest })
    }

    /// The value at which the sequence itself ends.
    pub fn limit(&self) -> i64 {
        if self.increment < 0 {
            self.least
        } else {
            self.greatest
        }
    }

    /// Where the sequence begins to count towards its limit: the end that it comes from, or 0 where it began there.
    fn origin(&self) -> i64 {
        match self.increment < 0 {
            true => self.greatest.min(0),
            false => self.least.max(0),
        }
    }

    /// The part, 0 to 1, of the values on the way to a limit that is used up, the first and the last counted in; `None` where it
    /// was never used or may not be read. Until its first value is drawn the server tells none, wherever setval() put it.
    pub fn used_ratio(&self, limit: i64) -> Option<f64> {
        let left = self.values_left(limit)?;
        let way = (limit as f64 - self.origin() as f64) / self.increment as f64;
        let values = way.floor() + 1.0;
        (values >= 1.0).then(|| ((values - left) / values).max(0.0))
    }

    /// Values that are left until a limit.
    pub fn values_left(&self, limit: i64) -> Option<f64> {
        let increment = self.increment as f64;
        Some(
            ((limit as f64 - self.last_value? as f64) / increment)
                .floor()
                .max(0.0),
        )
    }
}
