//! How large a GIN index will be, and how many keys a row has in it: by the values that statistics tell. Bytes of text say little
//! of that: a document that names its fields in every row takes a tenth of them, a word that is in no other row twice its own.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Candidate, IndexKey};
use super::clauses::Key;
use super::ready::Ready;
use super::tables::Table;
use super::values::{self, ColumnKey, Known};
use crate::postgres::{Plan, PostgresError};

/// A key's entry: its item on the page, the header of the tuple, and what rounding to eight bytes adds on average.
const ENTRY_BYTES: f64 = 18.0;
/// Entries come in order while the index is built, so that pages are split in halves and stay half full.
const ENTRY_PAGES: f64 = 2.0;
/// From so many bytes on a key's rows have pages of their own, which are nearly full.
const OWN_PAGES: f64 = 300.0;
const ROW_PAGES: f64 = 1.1;
/// What fifteen indexes that were built took by what the rest of this reckons: 1.0 to 1.6 times as much.
const MEASURED: f64 = 1.3;

/// What even an empty one takes: a page that describes it, and the first of its keys.
const LEAST_BYTES: f64 = 2.0 * 8192.0;
/// In the place of the keys of a value that has none, as `{}`: all such rows are in one list.
const NO_KEYS: &str = "";

/// What a GIN index has as its keys.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Contents {
    Trigrams,
    Words,
    /// Values in JSON with the path to them, hashed.
    Paths,
    /// Names and values in JSON.
    Parts,
    /// Elements of arrays.
    Elements,
}

impl Contents {
    fn of(key: &IndexKey, table: &Table) -> Option<Self> {
        let class = key.operator_class.as_deref().unwrap_or_default();
        let column = match &key.key {
            Key::Column(name) => table.columns.get(name),
            Key::Expression(text) if text.starts_with("to_tsvector(") => return Some(Self::Words),
            Key::Expression(_) => None,
        };
        match column {
            _ if class.ends_with("gin_trgm_ops") => Some(Self::Trigrams),
            _ if class == "jsonb_path_ops" => Some(Self::Paths),
            Some(column) if column.type_name == "jsonb" => Some(Self::Parts),
            Some(column) if column.is_array => Some(Self::Elements),
            _ => None,
        }
    }

    /// The keys of one value.
    fn keys(self, value: &str) -> BTreeSet<String> {
        match self {
            Self::Trigrams => trigrams(value),
            Self::Words => {
                let parts = value.split(|c: char| !(c.is_alphanumeric() || "_.@-".contains(c)));
                parts
                    .filter(|word| !word.is_empty())
                    .map(str::to_lowercase)
                    .collect()
            }
            Self::Paths | Self::Parts => {
                let mut found = BTreeSet::new();
                if let Ok(json) = serde_json::from_str(value) {
                    json_keys(&json, "", self == Self::Paths, &mut found);
                }
                found
            }
            Self::Elements => {
                let inner = value.trim_matches(['{', '}']);
                inner.split(',').map(str::to_owned).collect()
            }
        }
    }

    /// Bytes of a key.
    fn key_bytes(self, keys: &BTreeMap<String, f64>) -> f64 {
        match self {
            Self::Trigrams | Self::Paths => 4.0,
            _ => 1.0 + keys.keys().map(|key| key.len() as f64).sum::<f64>() / (keys.len() as f64).max(1.0),
        }
    }
}

/// As pg_trgm cuts text: of each word with two blanks before it and one behind.
fn trigrams(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let of_word = |word: &str| {
        let padded: Vec<char> = format!("  {word} ").chars().collect();
        padded
            .windows(3)
            .map(|three| three.iter().collect())
            .collect::<Vec<String>>()
    };
    words.flat_map(of_word).collect()
}

fn json_keys(json: &serde_json::Value, path: &str, with_path: bool, found: &mut BTreeSet<String>) {
    match json {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if !with_path {
                    found.insert(name.clone());
                }
                json_keys(value, &format!("{path}/{name}"), with_path, found);
            }
        }
        serde_json::Value::Array(elements) => {
            elements
                .iter()
                .for_each(|element| json_keys(element, path, with_path, found));
        }
        value => {
            _ = found.insert(if with_path {
                format!("{path}={value}")
            } else {
                value.to_string()
            })
        }
    }
}

/// How many keys a value has on average.
fn keys_of_each(contents: Contents, values: &[&String]) -> f64 {
    let keys = values.iter().map(|value| contents.keys(value).len() as f64);
    keys.sum::<f64>() / (values.len() as f64).max(1.0)
}

/// What is known of an indexed column.
struct Indexed<'a> {
    values: &'a [&'a String],
    /// How many different ones there are.
    distinct: f64,
    rows: f64,
    pages: f64,
}

/// Bytes of a GIN index on one column.
fn bytes(contents: Contents, column: &Indexed<'_>) -> f64 {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for value in column.values {
        let mut keys = contents.keys(value);
        if keys.is_empty() {
            keys.insert(NO_KEYS.to_owned());
        }
        for key in keys {
            *counts.entry(key).or_default() += 1.0;
        }
    }
    // a key that several of the values hold is in this part of the rows; the others share what is left
    let rows_of_one = column.rows / (column.values.len() as f64).max(1.0);
    let (common, rare): (Vec<f64>, Vec<f64>) = counts.values().partition(|count| **count > 1.0);
    let of_common = common.iter().map(|count| {
        let rows = count * rows_of_one;
        rows * row_bytes(rows, column.pages) * ROW_PAGES
    });
    let keys = keys_in_all(contents, &counts, column);
    let others = (keys - common.len() as f64).max(1.0);
    let rows = (rare.len() as f64 * rows_of_one / others).max(1.0);
    let of_other = rows * row_bytes(rows, column.pages);
    let pages = if of_other < OWN_PAGES {
        ENTRY_PAGES
    } else {
        ROW_PAGES
    };
    let entries = keys * (ENTRY_BYTES + contents.key_bytes(&counts)) * ENTRY_PAGES;
    MEASURED * (of_common.sum::<f64>() + others * of_other * pages + entries)
}

/// How many keys all values have together, by how many of these have one that no other of these has.
fn keys_in_all(contents: Contents, counts: &BTreeMap<String, f64>, column: &Indexed<'_>) -> f64 {
    let (seen, values) = (counts.len() as f64, (column.values.len() as f64).max(1.0));
    if values >= 0.9 * column.distinct {
        return seen;
    }
    let seen_times = |times: f64| counts.iter().filter(move |(_, count)| **count == times);
    // a number in a text that no other text has stands for this one alone
    let is_number = |key: &str| contents == Contents::Words && key.contains(|c: char| c.is_ascii_digit());
    let numbers = seen_times(1.0).filter(|(key, _)| is_number(key)).count() as f64;
    let once = seen_times(1.0).count() as f64 - numbers;
    let twice = seen_times(2.0).count() as f64;
    let every = |keys: f64| keys * column.distinct / values;
    // Chao: those that were not seen are as many as the square of those seen once by twice those seen twice
    let unseen = match twice > 0.0 {
        true => (once * once / (2.0 * twice)).min(every(once)),
        false => every(once),
    };
    seen - numbers + every(numbers) + unseen
}

/// What one row takes in the list of a key that is in so many of them: lists hold differences, page by page.
fn row_bytes(rows: f64, pages: f64) -> f64 {
    let apart = pages / rows;
    match () {
        () if rows < 1.5 => 6.0,
        () if apart < 0.1 => 1.0,
        () if apart < 1.0 => 1.5,
        () if apart < 8.0 => 2.0,
        () if apart < 1024.0 => 3.0,
        () => 4.0,
    }
}

/// Bytes of a whole index, and the keys that a row has in it; `None` where statistics tell nothing of a column.
fn measured(candidate: &Candidate, table: &Table, known: &BTreeMap<ColumnKey, Known>) -> Option<(f64, f64)> {
    let (mut size, mut keys_per_row) = (0.0, 0.0);
    for key in &candidate.keys {
        let contents = Contents::of(key, table)?;
        for name in table.columns_of(&key.key) {
            let of = (table.name.schema.clone(), table.name.name.clone(), name.clone());
            let known = known.get(&of)?;
            let values: Vec<&String> = known.common.iter().chain(&known.bounds).collect();
            let column = Indexed {
                distinct: table.columns.get(&name)?.values?,
                rows: table.rows,
                pages: table.pages,
                values: &values,
            };
            size += (!values.is_empty()).then(|| bytes(contents, &column))?;
            keys_per_row += keys_of_each(contents, &values);
        }
    }
    Some((size.max(LEAST_BYTES), keys_per_row))
}

impl Ready {
    /// Reckons anew how large the GIN indexes will be of whose columns statistics tell values, and how many keys a row has.
    ///
    /// # Errors
    /// If the server refuses, or the session is lost.
    pub(super) async fn measure_inverted(&mut self, plan: &Plan) -> Result<(), PostgresError> {
        let inverted = self.estimated_sizes.keys().copied();
        let inverted: Vec<usize> = inverted
            .filter(|one| self.candidates[*one].method == "gin")
            .collect();
        let mut columns: BTreeSet<ColumnKey> = BTreeSet::new();
        for one in &inverted {
            let Candidate {
                schema, table, keys, ..
            } = &self.candidates[*one];
            let Some(known) = self.tables.get(schema, table) else {
                continue;
            };
            let names = keys.iter().flat_map(|key| known.columns_of(&key.key));
            columns.extend(names.map(|name| (schema.clone(), table.clone(), name)));
        }
        let known = values::known(plan, &columns).await?;
        for one in inverted {
            let candidate = &self.candidates[one];
            let table = self.tables.get(&candidate.schema, &candidate.table);
            if let Some((size, keys)) = table.and_then(|table| measured(candidate, table, &known)) {
                self.estimated_sizes.insert(one, Some(size));
                self.keys_per_row.insert(one, keys);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(contents: Contents, values: &[String], distinct: f64) -> f64 {
        let values: Vec<&String> = values.iter().collect();
        let column = Indexed {
            values: &values,
            distinct,
            rows: 100_000.0,
            pages: 2_000.0,
        };
        bytes(contents, &column)
    }

    fn hundred(value: impl Fn(usize) -> String) -> Vec<String> {
        (0..100).map(value).collect()
    }

    #[test]
    fn each_kind_has_its_keys() {
        let keys = |contents: Contents, value: &str| contents.keys(value).into_iter().collect::<Vec<_>>();
        assert_eq!(
            keys(Contents::Trigrams, "Ab, c"),
            ["  a", "  c", " ab", " c ", "ab "]
        );
        assert_eq!(
            keys(Contents::Words, "Lind, x.1@a.org lind"),
            ["lind", "x.1@a.org"]
        );
        let json = r#"{"a": 1, "b": {"c": ["x", "y"]}}"#;
        assert_eq!(keys(Contents::Paths, json), ["/a=1", "/b/c=\"x\"", "/b/c=\"y\""]);
        assert_eq!(
            keys(Contents::Parts, json),
            ["\"x\"", "\"y\"", "1", "a", "b", "c"]
        );
        assert_eq!(keys(Contents::Elements, "{1,22}"), ["1", "22"]);
    }

    #[test]
    fn a_row_has_the_keys_of_its_value() {
        let values = ["Ab, c".to_owned(), "de".to_owned()];
        let values: Vec<&String> = values.iter().collect();
        assert_eq!(keys_of_each(Contents::Trigrams, &values), 4.0, "five and three");
        assert_eq!(keys_of_each(Contents::Words, &values), 1.5);
        assert_eq!(keys_of_each(Contents::Words, &[]), 0.0);
    }

    #[test]
    fn what_repeats_is_small_and_what_is_only_once_is_large() {
        let states = hundred(|one| format!(r#"{{"state": "{}"}}"#, one % 3));
        let tickets = hundred(|one| format!(r#"{{"ticket": "{}"}}"#, one * 7919));
        let (few, many) = (
            size(Contents::Paths, &states, 100_000.0),
            size(Contents::Paths, &tickets, 100_000.0),
        );
        assert!((100e3..500e3).contains(&few), "a byte or two a row: {few}");
        assert!((4e6..12e6).contains(&many), "an entry a row: {many}");
    }

    #[test]
    fn a_value_without_keys_takes_its_place_too() {
        let empty = size(Contents::Parts, &["{}".to_owned()], 1.0);
        assert!((100e3..250e3).contains(&empty), "a byte or two a row: {empty}");
        let half = hundred(|one| match one % 2 {
            0 => "{}".to_owned(),
            _ => r#"{"a": 1}"#.to_owned(),
        });
        let of_half = size(Contents::Paths, &half, 2.0);
        assert!((100e3..250e3).contains(&of_half), "{of_half}");
    }

    #[test]
    fn a_number_in_a_text_is_its_own_a_word_is_not() {
        let word = |one: usize| {
            format!(
                "{}{}",
                ["lind", "nord", "berg"][one % 3],
                (b'a' + (one % 26) as u8) as char
            )
        };
        let names = size(Contents::Words, &hundred(word), 100_000.0);
        let numbered = size(
            Contents::Words,
            &hundred(|one| format!("{} {}", word(one), one * 31)),
            100_000.0,
        );
        assert!(numbered > 5.0 * names, "{numbered} {names}");
        let few = hundred(word)[..10].to_vec();
        assert!(
            size(Contents::Words, &few, 10.0) < 500e3,
            "all of its values are known"
        );
    }
}
