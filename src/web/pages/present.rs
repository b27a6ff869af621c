//! How values are told to people: times, shares, impact, names. Pure functions without a clock.

use chrono::{DateTime, Utc};

use crate::model::finding::{Impact, Severity, State};
use crate::model::unit::{bytes_for_people, count_for_people, seconds_for_people};
use crate::report::is_hidden;

pub use crate::model::unit::{amount, plural};

/// The sign that stands for a hidden character; `None` where the character can be seen. Escapes rather than the
/// symbols of Unicode's control pictures, which most fonts lack.
pub fn sign(c: char) -> Option<String> {
    match c {
        '\n' => Some("\\n".to_owned()),
        '\r' => Some("\\r".to_owned()),
        '\t' => Some("\\t".to_owned()),
        c if is_hidden(c) => Some(format!("\\u{{{:x}}}", u32::from(c))),
        _ => None,
    }
}

/// A name or text on one line, in which control, bidirectional and zero-width characters are seen.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match sign(c) {
            Some(sign) => shown.push_str(&sign),
            None => shown.push(c),
        }
    }
    shown
}

/// A text as one part of a path or of a query.
pub fn url_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                part.push(char::from(byte))
            }
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}

/// `2026-11-21 14:02:07 UTC`.
pub fn exact(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Why something is not known, and what mends that where SQL can: without a full stop, since more may follow.
pub fn why(reason: &str, remedy_sql: Option<&str>) -> String {
    let reason = reason.trim_end().trim_end_matches('.');
    match remedy_sql {
        Some(sql) => format!("{reason}: {sql} mends it"),
        None => reason.to_owned(),
    }
}

/// `14:02 UTC`.
pub fn clock(at: &DateTime<Utc>) -> String {
    at.format("%H:%M UTC").to_string()
}

/// How long ago, or in how long, in one unit.
pub fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    let text = match seconds.unsigned_abs() {
        0..=4 => return "just now".to_owned(),
        s @ 5..=89 => format!("{s} s"),
        s @ 90..=3_569 => format!("{} min", (s + 30) / 60),
        s @ 3_570..=172_799 => format!("{} h", (s + 1_800) / 3_600),
        s => format!("{} days", s / 86_400),
    };
    if seconds < 0 {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

/// A ratio as a percentage with as many digits as mean something.
pub fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    match value.abs() {
        0.0 => "0 %".to_owned(),
        v if v < 0.01 => "< 0.01 %".to_owned(),
        v if v < 1.0 => format!("{value:.2} %"),
        v if v < 10.0 => format!("{value:.1} %"),
        _ => format!("{value:.0} %"),
    }
}

/// A number with what digits it needs, or the text as it is where it is no number.
pub fn count(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), number)
}

/// A number of no known unit: whole numbers in groups of three, small ones with two decimals.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 {
        return count_for_people(value);
    }
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 1.0 => 1,
        v if v >= 0.01 => 3,
        _ => return format!("{value:.1e}"),
    };
    let text = format!("{value:.digits$}");
    if digits == 0 {
        text
    } else {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Small numbers as words, as sentences begin with them.
pub fn number_word(number: usize) -> String {
    let words = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    words
        .get(number)
        .map_or_else(|| count_for_people(number as f64), |word| (*word).to_owned())
}

/// The text with a capital letter in front.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The first sentence, at most so many characters.
pub fn first_sentence(text: &str, limit: usize) -> String {
    let end = text
        .match_indices(['.', '?', '!'])
        .map(|(at, mark)| at + mark.len())
        .find(|end| text[*end..].is_empty() || text[*end..].starts_with([' ', '\n']))
        .unwrap_or(text.len());
    clip(text[..end].trim(), limit)
}

/// The text, cut with an ellipsis after so many characters.
pub fn clip(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text.to_owned(),
    }
}

/// The severity as it begins a row.
pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::Warning => "Warning",
        Severity::Info => "Info",
    }
}

/// The state as a page calls it.
pub fn state_word(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Acknowledged => "acknowledged",
        State::Snoozed => "snoozed",
        State::Resolved => "resolved",
        State::FalsePositive => "not a problem",
    }
}

/// Seconds of database time a day: `38 min/day`, beyond a day `36 h/day`.
pub fn per_day(seconds: f64) -> String {
    match seconds {
        s if s > 86_400.0 => format!("{} h/day", count_for_people(s / 3600.0)),
        s => format!("{}/day", seconds_for_people(s)),
    }
}

/// What is left until something is exhausted.
pub fn left(days: f64) -> String {
    match days {
        d if d <= 0.0 => "exhausted".to_owned(),
        d if d < 2.0 => format!("{} left", seconds_for_people(d * 86_400.0)),
        d => format!("{} days left", count_for_people(d.floor())),
    }
}

/// The one number by which a finding stands in a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImpactView {
    /// In words; empty where nothing is known.
    pub text: String,
    /// `time`, `size`, `days` or empty: each has a scale of its own.
    pub unit: &'static str,
    /// Length of the bar in per cent of the largest of its unit in the list.
    pub bar: u8,
}

/// What the longest bar of each unit stands for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scale {
    seconds: f64,
    bytes: f64,
}

impl Scale {
    /// The largest of each unit among these.
    pub fn of<'a>(impacts: impl Iterator<Item = &'a Impact>) -> Self {
        impacts.fold(Self::default(), |scale, impact| Self {
            seconds: scale.seconds.max(impact.db_seconds_per_day.unwrap_or(0.0)),
            bytes: scale.bytes.max(impact.bytes.unwrap_or(0.0)),
        })
    }

    /// The impact as a row shows it: days first, then time, then size.
    pub fn view(&self, impact: &Impact) -> ImpactView {
        let share = |value: f64, most: f64| match most > 0.0 {
            true => (value / most * 100.0).clamp(2.0, 100.0) as u8,
            false => 0,
        };
        match *impact {
            Impact {
                days_left: Some(days),
                ..
            } => ImpactView {
                text: left(days),
                unit: "days",
                bar: share((90.0 - days).max(0.0), 90.0),
            },
            Impact {
                db_seconds_per_day: Some(seconds),
                ..
            } if seconds > 0.0 => ImpactView {
                text: per_day(seconds),
                unit: "time",
                bar: share(seconds, self.seconds),
            },
            Impact {
                bytes: Some(bytes), ..
            } if bytes > 0.0 => ImpactView {
                text: bytes_for_people(bytes),
                unit: "size",
                bar: share(bytes, self.bytes),
            },
            _ => ImpactView::default(),
        }
    }
}

/// Everything that is known of the impact, in words.
pub fn all_impact(impact: &Impact) -> Vec<String> {
    let seconds = impact
        .db_seconds_per_day
        .filter(|s| *s > 0.0)
        .map(|s| format!("{} of database time", per_day(s)));
    let bytes = impact
        .bytes
        .filter(|b| *b > 0.0)
        .map(|b| format!("{} on disk", bytes_for_people(b)));
    [impact.days_left.map(left), seconds, bytes]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn hidden_characters_are_seen() {
        assert_eq!(
            visible("a\u{202e}b\0\n\u{200b}\u{7f}\u{85}"),
            "a\\u{202e}b\\u{0}\\n\\u{200b}\\u{7f}\\u{85}"
        );
        assert_eq!(visible("Größe 表 \u{1f600} שלום"), "Größe 表 \u{1f600} שלום");
    }

    #[test]
    fn urls_carry_any_name() {
        assert_eq!(url_part("a b&c=é/\""), "a%20b%26c%3D%C3%A9%2F%22");
    }

    #[test]
    fn times_are_relative() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(400);
        let at = |seconds| ago(now, now - TimeDelta::seconds(seconds));
        assert_eq!(at(0), "just now");
        assert_eq!(at(14), "14 s ago");
        assert_eq!(at(600), "10 min ago");
        assert_eq!(at(6 * 3600), "6 h ago");
        assert_eq!(at(-3 * 86_400), "in 3 days");
        assert_eq!(clock(&(now + TimeDelta::minutes(542))), "09:02 UTC");
    }

    #[test]
    fn impact_is_one_number() {
        let impact = |s, b, d| Impact {
            db_seconds_per_day: s,
            bytes: b,
            days_left: d,
        };
        let scale = Scale::of([impact(Some(13_200.0), None, None), impact(None, Some(2e9), None)].iter());
        let text = |i: Impact| scale.view(&i).text;
        assert_eq!(text(impact(Some(2280.0), Some(1.0), None)), "38 min/day");
        assert_eq!(
            text(impact(None, Some(4.2 * 1024.0 * 1024.0 * 1024.0), None)),
            "4.2 GiB"
        );
        assert_eq!(text(impact(Some(9.0), None, Some(12.4))), "12 days left");
        assert_eq!(text(impact(None, None, Some(0.25))), "6 h left");
        assert_eq!(text(impact(Some(129_600.0), None, None)), "36 h/day");
        assert_eq!(text(impact(None, None, None)), "");
        assert_eq!(scale.view(&impact(Some(13_200.0), None, None)).bar, 100);
        assert_eq!(scale.view(&impact(Some(1.0), None, None)).bar, 2);
    }

    #[test]
    fn numbers_have_the_digits_they_need() {
        assert_eq!(
            [number(12.0), number(0.1), number(1234.5), number(8.5)],
            ["12", "0.1", "1\u{202f}234", "8.5"]
        );
        assert_eq!(
            [1.0, 0.5, 2.0].map(|scans| amount(number(scans), "scan", "scans")),
            ["1 scan", "0.5 scans", "2 scans"]
        );
        assert_eq!(
            [plural(1, "day", "days"), plural(0, "day", "days")],
            ["1 day", "0 days"]
        );
        assert_eq!(
            [percent(0.0004), percent(0.41), percent(0.0)],
            ["0.04 %", "41 %", "0 %"]
        );
    }

    #[test]
    fn sentences_end_at_a_full_stop() {
        assert_eq!(
            first_sentence("Table public.items is read. Whole.", 80),
            "Table public.items is read."
        );
        assert_eq!(first_sentence("abcdef", 3), "abc…");
    }
}
