//! Facts about a database's design: foreign keys, constraints, sequences, the extension that indexes trigrams.

use serde::{Deserialize, Serialize};

/// What one database's catalogs say of its design.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Schema {
    /// Foreign keys of tables that are no partitions.
    pub foreign_keys: Vec<ForeignKey>,
    /// Constraints that are NOT VALID.
    pub not_valid: Vec<Constraint>,
    /// Sequences, with the column that each feeds.
    pub sequences: Vec<Sequence>,
    /// Where the extension pg_trgm is installed; `None` where it is not, or that could not be read.
    #[serde(default)]
    pub trigrams_schema: Option<String>,
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
    /// `format_type` of each, with its modifier.
    pub types: Vec<String>,
    pub referenced_oid: u32,
    pub referenced_columns: Vec<String>,
    pub referenced_types: Vec<String>,
    /// ON DELETE: `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default.
    pub on_delete: char,
    /// MATCH FULL: all of its columns are NULL, or none.
    #[serde(default)]
    pub is_match_full: bool,
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
    /// The column that takes its values.
    pub column: Option<SequenceColumn>,
}

/// The column that takes a sequence's values.
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

    /// The part, 0 to 1, of the way to a limit that is used up; `None` where it was never used or may not be read.
    pub fn used_ratio(&self, limit: i64) -> Option<f64> {
        let (origin, last) = (self.origin() as f64, self.last_value? as f64);
        let way = limit as f64 - origin;
        (way != 0.0).then(|| ((last - origin) / way).max(0.0))
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
