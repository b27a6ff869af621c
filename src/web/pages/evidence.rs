//! Evidence for people: the key's suffix is the unit, the rest of the key is the name.

use serde_json::Value;

use super::present::{ago, amount, capital, clip, exact, number, per_day, percent};
use crate::model::finding::Evidence;
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// One value as a cell shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// In words, with the unit.
    pub text: String,
    /// As it was measured, for the title; empty where it says no more.
    pub exact: String,
    /// Whether it stands on the right.
    pub numeric: bool,
}

/// One named value of the evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The name for people.
    pub name: String,
    /// The key as the API names it.
    pub key: String,
    /// The value.
    pub cell: Cell,
}

/// A list of values of the same kind, as `statements` or `indexes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// The name for people.
    pub name: String,
    /// Names of the columns, and whether each is numeric.
    pub columns: Vec<(String, bool)>,
    /// The cells, row by row.
    pub rows: Vec<Vec<Cell>>,
    /// Rows that were left out.
    pub cut: usize,
}

/// All evidence of a finding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvidenceView {
    /// Single values.
    pub facts: Vec<Fact>,
    /// Lists.
    pub listings: Vec<Listing>,
}

/// Keys that have a section of their own.
const OF_THEIR_OWN: [&str; 2] = ["statement", "plans"];
/// Rows of one list that a page shows.
const ROWS: usize = 50;
/// Characters of one text that a cell shows.
const CLIP: usize = 400;

/// Endings of keys, the longest first, with what is added to the name.
const UNITS: [(&str, Unit, &str); 15] = [
    ("_seconds_per_day", Unit::SecondsPerDay, ""),
    ("_seconds_per_call", Unit::Seconds, " per call"),
    ("_bytes_per_day", Unit::Bytes, " per day"),
    ("_bytes_per_hour", Unit::Bytes, " per hour"),
    ("_per_second", Unit::Count, " per second"),
    ("_per_hour", Unit::Count, " per hour"),
    ("_per_day", Unit::Count, " per day"),
    ("_per_call", Unit::Count, " per call"),
    ("_seconds", Unit::Seconds, ""),
    ("_bytes", Unit::Bytes, ""),
    ("_ratio", Unit::Ratio, ""),
    ("_share", Unit::Ratio, " share"),
    ("_percent", Unit::Percent, ""),
    ("_days", Unit::Days, ""),
    ("_at", Unit::Time, ""),
];

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Count,
    Seconds,
    SecondsPerDay,
    Bytes,
    Ratio,
    Percent,
    Days,
    Time,
}

/// The unit of a key and its name for people.
fn read_key(key: &str) -> (Unit, String) {
    // `bytes`, `ratio` alone have no name before the unit
    let whole = format!("_{key}");
    let found = UNITS
        .iter()
        .find(|(ending, _, _)| key.ends_with(ending) || whole == **ending);
    let (unit, stem, added) = match found {
        Some((ending, unit, added)) => (*unit, stem(key, ending), *added),
        None => (Unit::Count, key, ""),
    };
    let words: Vec<&str> = stem
        .split('_')
        .filter(|word| !word.is_empty())
        .map(word)
        .collect();
    (unit, capital(&(words.join(" ") + added)))
}

/// What is before the unit; "time" where the unit alone would leave a noun that says nothing.
fn stem<'a>(key: &'a str, ending: &str) -> &'a str {
    match key.strip_suffix(ending) {
        Some("db") => "database_time",
        Some(stem) => stem,
        None => key,
    }
}

/// Short words of keys, written out.
fn word(word: &str) -> &str {
    match word {
        "db" => "database",
        "avg" => "mean",
        "stddev" => "standard deviation",
        "num" | "n" => "number of",
        "idx" => "index",
        "xid" => "transaction id",
        "xmin" => "xmin",
        "wal" => "WAL",
        "hot" => "HOT",
        "io" => "I/O",
        "id" => "id",
        other => other,
    }
}

/// A value as a cell, by the unit of its key.
fn cell(unit: Unit, value: &Value, now: chrono::DateTime<chrono::Utc>) -> Cell {
    match value {
        Value::Null => Cell {
            text: "unknown".to_owned(),
            ..Cell::default()
        },
        Value::Bool(yes) => Cell {
            text: if *yes { "yes" } else { "no" }.to_owned(),
            ..Cell::default()
        },
        Value::Number(n) => {
            let value = n.as_f64().unwrap_or(f64::NAN);
            let (text, unit_word) = with_unit(unit, value);
            Cell {
                text,
                exact: format!("{n}{unit_word}"),
                numeric: true,
            }
        }
        Value::String(text) => match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(at) if unit == Unit::Time => Cell {
                text: ago(now, at.to_utc()),
                exact: exact(&at.to_utc()),
                numeric: false,
            },
            _ => Cell {
                text: clip(text, CLIP),
                ..Cell::default()
            },
        },
        Value::Array(items) => {
            let texts: Vec<String> = items
                .iter()
                .take(ROWS)
                .map(|item| cell(unit, item, now).text)
                .collect();
            Cell {
                text: clip(&texts.join(", "), CLIP),
                ..Cell::default()
            }
        }
        Value::Object(map) => {
            let texts: Vec<String> = map
                .iter()
                .map(|(key, item)| {
                    let (unit, name) = read_key(key);
                    format!("{name}: {}", cell(unit, item, now).text)
                })
                .collect();
            Cell {
                text: clip(&texts.join("; "), CLIP),
                ..Cell::default()
            }
        }
    }
}

/// A number with its unit, and the unit of the number as it was measured.
fn with_unit(unit: Unit, value: f64) -> (String, &'static str) {
    match unit {
        Unit::Seconds if value < 0.0 => (number(value) + " s", " seconds"),
        Unit::Seconds => (seconds_for_people(value), " seconds"),
        Unit::SecondsPerDay => (per_day(value), " seconds a day"),
        Unit::Bytes if value < 0.0 => (format!("−{}", bytes_for_people(-value)), " bytes"),
        Unit::Bytes => (bytes_for_people(value), " bytes"),
        Unit::Ratio if value > 1.5 => (format!("{} ×", number(value)), ""),
        Unit::Ratio => (percent(value), ""),
        Unit::Percent => (percent(value / 100.0), " per cent"),
        Unit::Days => {
            let days = number((value * 10.0).round() / 10.0);
            (amount(days, "day", "days"), " days")
        }
        Unit::Count | Unit::Time => (number(value), ""),
    }
}

/// A list of objects as a table; the columns are the keys of all, in the order of their first appearance.
fn listing(key: &str, items: &[Value], now: chrono::DateTime<chrono::Utc>) -> Option<Listing> {
    let maps: Vec<_> = items.iter().filter_map(Value::as_object).collect();
    if maps.is_empty() || maps.len() < items.len() {
        return None;
    }
    let mut keys: Vec<&String> = Vec::new();
    for column in maps.iter().flat_map(|map| map.keys()) {
        if !keys.contains(&column) {
            keys.push(column);
        }
    }
    let rows: Vec<Vec<Cell>> = maps
        .iter()
        .take(ROWS)
        .map(|map| {
            let of = |key: &String| cell(read_key(key).0, map.get(key).unwrap_or(&Value::Null), now);
            keys.iter().map(|key| of(key)).collect()
        })
        .collect();
    let numeric = |column: usize| {
        rows.iter()
            .any(|row| row.get(column).is_some_and(|cell| cell.numeric))
    };
    let columns = keys
        .iter()
        .enumerate()
        .map(|(at, key)| (read_key(key).1, numeric(at)))
        .collect();
    Some(Listing {
        name: read_key(key).1,
        columns,
        cut: maps.len() - rows.len(),
        rows,
    })
}

/// Whether a value is a list of nothing: a row with a name alone tells nobody anything.
fn is_nothing(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

impl EvidenceView {
    /// Reads the evidence; what has a section of its own (`statement`, `plans`) is left out.
    pub fn of(now: chrono::DateTime<chrono::Utc>, evidence: &Evidence) -> Self {
        let mut view = Self::default();
        for (key, value) in evidence
            .iter()
            .filter(|(key, value)| !OF_THEIR_OWN.contains(&key.as_str()) && !is_nothing(value))
        {
            match value.as_array().and_then(|items| listing(key, items, now)) {
                Some(listing) => view.listings.push(listing),
                None => {
                    let (unit, name) = read_key(key);
                    view.facts.push(Fact {
                        name,
                        key: key.clone(),
                        cell: cell(unit, value, now),
                    });
                }
            }
        }
        view
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.listings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(value: Value) -> EvidenceView {
        EvidenceView::of(chrono::DateTime::UNIX_EPOCH, value.as_object().unwrap())
    }

    #[test]
    fn the_suffix_is_the_unit() {
        let facts = view(json!({
            "mean_seconds": 0.047, "db_seconds_per_day": 13200.0, "size_bytes": 4_509_715_660u64, "cache_hit_ratio": 0.934,
            "calls_per_hour": 180_000, "last_scan_at": "1969-12-31T18:00:00Z", "n_dead_tup": 12, "ratio": 4.25,
            "bytes": 1024, "age_days": 41.04, "unlogged": false, "last_vacuum": null
        }))
        .facts;
        let told: Vec<(&str, &str)> = facts
            .iter()
            .map(|f| (f.name.as_str(), f.cell.text.as_str()))
            .collect();
        assert_eq!(told[0], ("Mean", "47 ms"));
        assert_eq!(told[1], ("Database time", "3 h 40 min/day"));
        assert_eq!(told[2], ("Size", "4.2 GiB"));
        assert_eq!(told[3], ("Cache hit", "93 %"));
        assert_eq!(told[4], ("Calls per hour", "180\u{202f}000"));
        assert_eq!(told[5], ("Last scan", "6 h ago"));
        assert_eq!(told[6], ("Number of dead tup", "12"));
        assert_eq!(told[7], ("Ratio", "4.2 ×"));
        assert_eq!(told[8], ("Bytes", "1.0 KiB"));
        assert_eq!(told[9], ("Age", "41 days"));
        assert_eq!(told[10].1, "no");
        assert_eq!(told[11].1, "unknown");
        assert_eq!(facts[0].cell.exact, "0.047 seconds");
    }

    #[test]
    fn lists_of_objects_are_tables() {
        let view = view(
            json!({"indexes": [{"name": "a", "size_bytes": 1}, {"name": "b", "scans": 2}], "columns": ["x", "y"]}),
        );
        assert_eq!(
            view.listings[0].columns,
            [
                ("Name".into(), false),
                ("Size".into(), true),
                ("Scans".into(), true)
            ]
        );
        assert_eq!(view.listings[0].rows[1][1].text, "unknown");
        assert_eq!(view.facts[0].cell.text, "x, y");
    }

    #[test]
    fn a_list_of_nothing_has_no_row() {
        let view = view(json!({"relations": [], "what": {}, "waiting": 2, "owner": null}));
        let keys: Vec<&str> = view.facts.iter().map(|fact| fact.key.as_str()).collect();
        assert_eq!(keys, ["waiting", "owner"], "what is not known is said");
        assert!(view.listings.is_empty());
    }
}
