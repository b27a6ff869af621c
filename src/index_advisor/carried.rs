//! What an index may carry along beside what it is searched by. A row of a b-tree must fit on a third of a page: a longer one
//! fails the build, or later the statement that writes it. What is searched is worth that; what only saves a look at the table
//! is carried where its values cannot be so long, and where the index stays much smaller than the table.

use super::built::built;
use super::candidate::Candidate;
use super::clauses::{Key, RelationUse};
use super::ready::Ready;
use super::tables::{Column, Table};

/// How long values of a column can be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Length {
    /// They are bounded: so many bytes, where statistics do not tell how many they are.
    Bounded(f64),
    /// As long as somebody writes them, though those that are there are short.
    Short,
    /// As long as somebody writes them.
    #[default]
    Any,
}

impl Length {
    /// What the longest value takes that is to be reckoned with. That of short text is told as a caveat.
    fn longest_bytes(self) -> f64 {
        match self {
            Self::Bounded(bytes) if bytes > FIXED_BYTES => 4.0 * bytes,
            Self::Bounded(bytes) => bytes,
            Self::Short => SHORT_BYTES,
            Self::Any => f64::INFINITY,
        }
    }
}

/// Text of at most so many characters is bounded: each takes up to four bytes.
const BOUNDED_CHARACTERS: i32 = 500;
/// Text without such a bound is short up to so many bytes on average.
const SHORT_BYTES: f64 = 24.0;
/// What a row of an index takes on average at most: half of what fits.
const ROW_BYTES: f64 = 1300.0;
/// And what is carried along in the worst case, which is some hundred less than a page takes.
const LONGEST_BYTES: f64 = 2600.0;
/// What is longer than the types of fixed length is text, whose characters take up to four bytes each.
const FIXED_BYTES: f64 = 20.0;
/// The part of its table's size from which on an index that carries something along is a second table to be kept.
const WIDEST_SHARE: f64 = 0.5;
const PAGE_BYTES: f64 = 8192.0;
/// What PostgreSQL adds to the length of text in the modifier of its type, which is -1 where there is none.
const MODIFIER_HEADER: i32 = 4;

impl Length {
    /// Of a type by its name, its bytes (negative where they differ) and its modifier, in a column with so many bytes on average,
    /// of a table that may have stored long values apart.
    pub(super) fn of(
        type_name: &str,
        type_bytes: i32,
        modifier: i32,
        width_bytes: Option<f64>,
        is_toasted: bool,
    ) -> Self {
        let characters = modifier - MODIFIER_HEADER;
        let is_short = !is_toasted && width_bytes.is_some_and(|width| width <= SHORT_BYTES);
        match type_name {
            _ if type_bytes > 0 => Self::Bounded(f64::from(type_bytes)),
            "varchar" | "bpchar" if (1..=BOUNDED_CHARACTERS).contains(&characters) => {
                Self::Bounded(f64::from(modifier))
            }
            "numeric" => Self::Bounded(16.0),
            "inet" | "cidr" => Self::Bounded(20.0),
            "text" | "varchar" if is_short => Self::Short,
            _ => Self::Any,
        }
    }
}

impl Column {
    /// Bytes of a value on average, as far as is known.
    fn bytes(&self) -> Option<f64> {
        self.width_bytes.or(match self.length {
            Length::Bounded(bytes) => Some(bytes),
            Length::Short | Length::Any => None,
        })
    }
}

impl RelationUse {
    /// Whether rows are picked, sorted or grouped by a key.
    pub(super) fn asks_by(&self, key: &Key) -> bool {
        let of_sets = [&self.equal, &self.joined, &self.ranged, &self.begun];
        of_sets.iter().any(|keys| keys.contains(key))
            || self
                .rows
                .iter()
                .chain(&self.grouped)
                .flatten()
                .any(|one| one == key)
            || self.sorted.iter().flatten().any(|one| one.key == *key)
            || self.predicates.iter().any(|one| one.key == *key)
    }
}

impl Table {
    /// Whether an index may hold what it only carries along: what is in its INCLUDE, and keys that nobody asks by.
    pub(super) fn may_carry(&self, candidate: &Candidate, is_asked: impl Fn(&Key) -> bool) -> bool {
        let length = |name: &String| self.columns.get(name).map_or(Length::Any, |column| column.length);
        let plain = candidate.keys.iter().filter_map(|key| match &key.key {
            Key::Column(name) => Some((name, is_asked(&key.key))),
            // what it gives is mostly shorter than what it is made of
            Key::Expression(_) => None,
        });
        let keys: Vec<(&String, bool)> = plain.collect();
        let mut needless = keys
            .iter()
            .filter(|(_, is_asked)| !is_asked)
            .map(|(name, _)| *name);
        if candidate.include.is_empty() && keys.iter().all(|(_, is_asked)| *is_asked) {
            return true;
        }
        let names = keys.iter().map(|(name, _)| *name).chain(&candidate.include);
        let bytes: Option<f64> = names.map(|name| self.columns.get(name)?.bytes()).sum();
        let longest = candidate
            .include
            .iter()
            .map(|name| length(name).longest_bytes())
            .sum::<f64>();
        bytes.is_some_and(|bytes| bytes <= ROW_BYTES)
            && longest <= LONGEST_BYTES
            && candidate.include.iter().all(|name| length(name) != Length::Any)
            && needless.all(|name| matches!(length(name), Length::Bounded(_)))
    }

    /// What a reader should know of what an index on this table carries along.
    pub(super) fn caveat_of_carrying(&self, candidate: &Candidate) -> Option<String> {
        let is_short = |name: &&String| {
            let column = self.columns.get(*name);
            column.is_some_and(|column| column.length == Length::Short)
        };
        let names = candidate.include.iter().filter(is_short).map(String::as_str);
        let names: Vec<&str> = names.collect();
        (!names.is_empty()).then(|| {
            format!(
                "a value of {} that is longer than some 2 600 bytes could then no longer be stored",
                names.join(" or ")
            )
        })
    }

    /// Whether an index of so many bytes is too large for what it carries along.
    fn is_too_wide(&self, candidate: &Candidate, bytes: f64) -> bool {
        !candidate.include.is_empty() && bytes > WIDEST_SHARE * self.pages * PAGE_BYTES
    }
}

impl Ready {
    /// Whether a candidate that takes so many bytes to HypoPG carries more along than pays once it is built.
    pub(super) fn is_too_wide(&self, one: usize, hypothetical: f64) -> bool {
        let candidate = &self.candidates[one];
        let table = self.tables.get(&candidate.schema, &candidate.table);
        table.is_some_and(|table| table.is_too_wide(candidate, built(candidate, table, hypothetical)))
    }

    /// Whether an index may hold what it carries along, all of its keys being asked by.
    pub(super) fn may_carry(&self, candidate: &Candidate) -> bool {
        let table = self.tables.get(&candidate.schema, &candidate.table);
        table.is_some_and(|table| table.may_carry(candidate, |_| true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::tables::tests::table_of;

    #[test]
    fn what_cannot_grow_is_bounded() {
        let of = |name: &str, bytes: i32, modifier: i32| Length::of(name, bytes, modifier, Some(10.0), false);
        assert_eq!(of("int8", 8, -1), Length::Bounded(8.0));
        assert_eq!(of("varchar", -1, 504), Length::Bounded(504.0));
        assert_eq!(of("bpchar", -1, 14), Length::Bounded(14.0));
        assert!(matches!(of("numeric", -1, -1), Length::Bounded(_)));
        for (name, modifier) in [("text", -1), ("varchar", -1), ("varchar", 505)] {
            assert_eq!(of(name, -1, modifier), Length::Short, "{name}");
            let toasted = Length::of(name, -1, modifier, Some(10.0), true);
            assert_eq!(toasted, Length::Any, "somewhere is a long one");
            assert_eq!(Length::of(name, -1, modifier, Some(25.0), false), Length::Any);
            assert_eq!(
                Length::of(name, -1, modifier, None, false),
                Length::Any,
                "nobody knows"
            );
        }
        for name in [
            "json", "jsonb", "bytea", "xml", "_int4", "tsvector", "a_domain", "bpchar",
        ] {
            assert_eq!(of(name, -1, -1), Length::Any, "{name}");
        }
    }

    fn table() -> Table {
        let column = |length, width| Column {
            length,
            width_bytes: width,
            ..Column::default()
        };
        let columns = [
            ("id", column(Length::Bounded(8.0), Some(8.0))),
            ("state", column(Length::Short, Some(6.0))),
            ("body", column(Length::Any, Some(12.0))),
            ("note", column(Length::Bounded(504.0), None)),
            ("wide", column(Length::Bounded(504.0), Some(1290.0))),
        ];
        table_of(1000.0, columns)
    }

    fn index(keys: &[&str], include: &[&str]) -> Candidate {
        let key = |name: &&str| IndexKey::from(Key::Column((*name).into()));
        Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: keys.iter().map(key).collect(),
            include: include.iter().map(|one| (*one).to_owned()).collect(),
            predicate: None,
        }
    }

    #[test]
    fn nothing_is_carried_along_that_may_not_fit() {
        let table = table();
        let asked = RelationUse {
            equal: [Key::Column("id".into()), Key::Column("body".into())].into(),
            ..RelationUse::default()
        };
        for (keys, include, expected) in [
            (&["id", "body"][..], &[][..], true),
            (&["id"], &["state", "note"], true),
            (&["id"], &["state", "body"], false),
            (&["body"], &["id"], true),
            (&["id", "note"], &[], true),
            (&["id", "state"], &[], false),
            (&["id"], &["wide"], true),
            (&["id"], &["wide", "state"], false),
            (&["id"], &["gone"], false),
        ] {
            let one = index(keys, include);
            assert_eq!(
                table.may_carry(&one, |key| asked.asks_by(key)),
                expected,
                "{keys:?} {include:?}"
            );
        }
    }

    #[test]
    fn what_may_grow_is_told() {
        let told = table().caveat_of_carrying(&index(&["body"], &["id", "state"]));
        assert!(
            told.unwrap()
                .starts_with("a value of state that is longer than some 2 600 bytes")
        );
        assert_eq!(table().caveat_of_carrying(&index(&["state"], &["id"])), None);
    }

    #[test]
    fn half_a_table_is_no_index() {
        let (table, half) = (table(), 2000.0 * PAGE_BYTES / 2.0);
        let covering = index(&["id"], &["state"]);
        assert!(!table.is_too_wide(&covering, half) && table.is_too_wide(&covering, half + 1.0));
        assert!(
            !table.is_too_wide(&index(&["id"], &[]), half + 1.0),
            "it carries nothing along"
        );
    }
}
