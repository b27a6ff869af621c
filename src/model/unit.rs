//! Durations and sizes as people write them: `"35 days"`, `"1 GB"` (10^9), `"1 GiB"` (2^30).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time with a resolution of a millisecond, written in words: `90 s`, `15 min`, `35 days`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    milliseconds: u64,
}

/// A number of bytes, written in words: `512 MiB` (2^20), `1 GB` (10^9), `8192 B`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// The size in bytes.
    pub bytes: u64,
}

/// Why a duration or a size could not be read.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{what} \"{text}\" {why}")]
pub struct UnitError {
    what: &'static str,
    text: String,
    why: String,
}

impl UnitError {
    fn unreadable(what: &'static str, text: &str, units: &str, example: &str) -> Self {
        let why = format!("cannot be read: write a number and a unit, one of {units}, as in \"{example}\"");
        let text = text.to_owned();
        Self { what, text, why }
    }

    fn out_of_range(what: &'static str, text: &str, most: impl fmt::Display) -> Self {
        let (text, why) = (
            text.to_owned(),
            format!("is out of range: it must be from 0 to {most}"),
        );
        Self { what, text, why }
    }
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Period {
    /// A period of milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self { milliseconds }
    }
    /// A period of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self {
            milliseconds: seconds * 1000,
        }
    }
    /// A period of whole minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }
    /// A period of days of 24 hours.
    pub const fn days(days: u64) -> Self {
        Self::seconds(days * 86_400)
    }
    /// The period in seconds.
    pub fn as_seconds(self) -> f64 {
        self.milliseconds as f64 / 1000.0
    }
    /// As the standard library's duration, for timers.
    pub fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.milliseconds)
    }
    /// As chrono's duration, for arithmetic with times.
    pub fn as_delta(self) -> chrono::TimeDelta {
        chrono::TimeDelta::milliseconds(i64::try_from(self.milliseconds).unwrap_or(i64::MAX / 2))
    }
}

/// The number and the unit's word of a text like `1.5 GB`.
fn number_and_word(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let sign = usize::from(text.starts_with('-'));
    let end = text[sign..]
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map_or(text.len(), |end| sign + end);
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError::unreadable("duration", text, "ms, s, min, h, days, weeks", "15 min");
        let (number, word) = number_and_word(text).ok_or_else(error)?;
        let unit = match word {
            "ms" => 1,
            "s" | "second" | "seconds" => 1000,
            "min" | "minute" | "minutes" => MINUTE,
            "h" | "hour" | "hours" => HOUR,
            "d" | "day" | "days" => DAY,
            "week" | "weeks" => 7 * DAY,
            _ => return Err(error()),
        };
        let milliseconds = number * unit as f64;
        // a century is longer than any server will be watched, and keeps all later arithmetic in range
        let longest = Self::days(36_500);
        if !(0.0..=longest.milliseconds as f64).contains(&milliseconds) {
            return Err(UnitError::out_of_range("duration", text, longest));
        }
        Ok(Self {
            milliseconds: milliseconds.round() as u64,
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.milliseconds;
        let (unit, word) = match all {
            0 => (1000, "s"),
            _ if all.is_multiple_of(DAY) => (DAY, if all == DAY { "day" } else { "days" }),
            _ if all.is_multiple_of(HOUR) => (HOUR, "h"),
            _ if all.is_multiple_of(MINUTE) => (MINUTE, "min"),
            _ if all.is_multiple_of(1000) => (1000, "s"),
            _ => (1, "ms"),
        };
        write!(formatter, "{} {word}", all / unit)
    }
}

impl Size {
    /// A size of so many MiB (2^20 bytes).
    pub const fn mebibytes(number: u64) -> Self {
        Self { bytes: number << 20 }
    }
    /// A size of so many GB (10^9 bytes).
    pub const fn gigabytes(number: u64) -> Self {
        Self {
            bytes: number * 1_000_000_000,
        }
    }
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let units = "B, kB, KiB, MB, MiB, GB, GiB, TB, TiB";
        let error = || UnitError::unreadable("size", text, units, "1 GB");
        let (number, word) = number_and_word(text).ok_or_else(error)?;
        let unit = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == word)
            .ok_or_else(error)?
            .1;
        let bytes = number * unit as f64;
        let largest = Self::gigabytes(1_000_000_000);
        if !(0.0..=largest.bytes as f64).contains(&bytes) {
            return Err(UnitError::out_of_range("size", text, largest));
        }
        Ok(Self {
            bytes: bytes.round() as u64,
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, unit) = SIZE_UNITS
            .iter()
            .find(|(_, unit)| self.bytes >= *unit && self.bytes.is_multiple_of(*unit))
            .unwrap_or(&("B", 1));
        write!(formatter, "{} {word}", self.bytes / unit)
    }
}

/// Both are texts in every format; a bare number is refused because it hides its unit.
macro_rules! written_in_words {
    ($type:ty, $name:literal, $description:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description, "examples": [$example] })
            }
        }
    };
}
written_in_words!(Period, "Period", "a duration in words", "15 min");
written_in_words!(Size, "Size", "a size in words", "1 GB");

/// A duration for people, in its two largest units: `3 h 40 min`, `2 min 22 s`, `12 days`, `45 ms`. What stands beside a share must
/// not contradict it, and minutes alone would.
pub fn seconds_for_people(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 0.001 => format!("{:.2} ms", s * 1000.0),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        _ if whole < 60 => format!("{whole} s"),
        _ if whole < 3600 && whole.is_multiple_of(60) => format!("{} min", whole / 60),
        _ if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ if whole < 86_400 && whole % 3600 / 60 == 0 => format!("{} h", whole / 3600),
        _ if whole < 86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ if whole < 2 * 86_400 => "1 day".to_owned(),
        _ => format!("{} days", whole / 86_400),
    }
}

/// A size for people in binary units: `4.2 GiB`.
pub fn bytes_for_people(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes.max(0.0);
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", units[unit])
}

/// A whole number with thin groups of three, as tables show it: `1 200 000`.
pub fn count_for_people(count: f64) -> String {
    let digits = format!("{:.0}", count.abs());
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if count < -0.5 { format!("-{text}") } else { text }
}

/// A mean of whole things for people: `0.4`, `2.5`, `12`; what there is of them is never told as none.
pub fn mean_for_people(mean: f64) -> String {
    match mean {
        m if m > 0.0 && m < 0.05 => "less than 0.1".to_owned(),
        m if m < 10.0 && (m - m.round()).abs() >= 0.05 => format!("{m:.1}"),
        m => count_for_people(m),
    }
}

/// A whole number with its noun: `1 finding`, `5 findings`.
pub fn plural(number: usize, one: &str, many: &str) -> String {
    amount(count_for_people(number as f64), one, many)
}

/// A number as it is told, with its noun: `1 scan`, `2.5 scans`.
pub fn amount(told: String, one: &str, many: &str) -> String {
    let noun = if told == "1" { one } else { many };
    format!("{told} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_words() {
        assert_eq!("35 days".parse(), Ok(Period::days(35)));
        assert_eq!("90s".parse(), Ok(Period::seconds(90)));
        assert_eq!("1.5 h".parse(), Ok(Period::minutes(90)));
        for wrong in ["", "5", "min", "-1 s", "5 parsecs", "1e400 s", "99999999 days"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_of_something_is_not_several() {
        let told = [0, 1, 2, 1200].map(|number| plural(number, "index", "indexes"));
        assert_eq!(
            told,
            ["0 indexes", "1 index", "2 indexes", "1\u{202f}200 indexes"]
        );
        assert_eq!(amount("0.5".to_owned(), "scan", "scans"), "0.5 scans");
    }

    #[test]
    fn a_part_of_something_is_not_nothing() {
        let told = [0.0, 0.01, 0.41, 0.97, 2.5, 9.97, 41.4].map(mean_for_people);
        assert_eq!(told, ["0", "less than 0.1", "0.4", "1", "2.5", "10", "41"]);
    }

    #[test]
    fn sizes_tell_decimal_from_binary() {
        assert_eq!("1 GB".parse(), Ok(Size::gigabytes(1)));
        assert_eq!("1 GiB".parse(), Ok(Size::mebibytes(1024)));
        assert!("1 gb".parse::<Size>().is_err());
    }

    #[test]
    fn what_is_out_of_range_is_told_its_range() {
        for text in ["99999999 days", "-1 s"] {
            let expected = format!("duration \"{text}\" is out of range: it must be from 0 to 36500 days");
            assert_eq!(text.parse::<Period>().unwrap_err().to_string(), expected);
        }
        let error = "9999999999 TB".parse::<Size>().unwrap_err().to_string();
        assert!(error.ends_with("it must be from 0 to 1000000 TB"), "{error}");
        for unreadable in ["-", "--1 s", "- 1 s", "1e400 s", "5 parsecs"] {
            let error = unreadable.parse::<Period>().unwrap_err().to_string();
            assert!(error.contains("cannot be read"), "{error}");
        }
    }

    #[test]
    fn people_read_two_units() {
        assert_eq!(seconds_for_people(13_200.0), "3 h 40 min");
        assert_eq!(seconds_for_people(0.0455), "46 ms");
        let minutes = [59.6, 60.0, 142.0, 3599.4, 3599.6].map(seconds_for_people);
        assert_eq!(minutes, ["1 min", "1 min", "2 min 22 s", "59 min 59 s", "1 h"]);
        assert_eq!(bytes_for_people(4.2 * 1024.0 * 1024.0 * 1024.0), "4.2 GiB");
        assert_eq!(count_for_people(1_200_000.0), "1\u{202f}200\u{202f}000");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(milliseconds in 0u64..36_500 * DAY, bytes in 0u64..1 << 50) {
            let period = Period { milliseconds };
            prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
            let size = Size { bytes };
            prop_assert_eq!(size.to_string().parse::<Size>().unwrap(), size);
        }
    }
}
