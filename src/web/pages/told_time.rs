//! In which part of a range something was so: told from the first look on, where that is later than the part begins.

use chrono::{DateTime, Utc};

use crate::model::unit::seconds_for_people;

/// The time of which something is known: the range may begin before anybody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct KnownTime {
    from: Option<DateTime<Utc>>,
}

impl KnownTime {
    /// Since the first look; none where nobody looked.
    pub fn since(from: Option<DateTime<Utc>>) -> Self {
        Self { from }
    }

    /// What of some time, which begins then and is so many seconds long, is after the first look.
    pub fn of(self, from: DateTime<Utc>, length_seconds: f64) -> (DateTime<Utc>, f64) {
        let Some(first) = self.from.filter(|first| *first > from) else {
            return (from, length_seconds);
        };
        let unseen_seconds = (first - from).num_milliseconds() as f64 / 1000.0;
        (first, (length_seconds - unseen_seconds).max(0.0))
    }

    /// `in the 15 min from 2026-11-21 03:15 UTC`; `at` that moment where it is that of the only look.
    pub fn when(self, from: DateTime<Utc>, length_seconds: f64) -> String {
        let (from, seconds) = self.of(from, length_seconds);
        let begin = from.format("%Y-%m-%d %H:%M UTC");
        match seconds < 1.0 {
            true => format!("at {begin}"),
            false => format!("in the {} from {begin}", seconds_for_people(seconds)),
        }
    }
}

/// The part in which a number is highest, and the number.
pub(super) fn highest<P>(parts: &[P], value: impl Fn(&P) -> Option<f64>) -> Option<(&P, f64)> {
    let known = parts.iter().filter_map(|part| Some((part, value(part)?)));
    known.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    #[test]
    fn a_part_begins_no_earlier_than_the_first_look() {
        let from = sample::now();
        let when = |minutes: i64| {
            KnownTime::since(Some(from + TimeDelta::minutes(minutes))).when(from, 105.0 * 60.0)
        };
        let whole = "in the 1 h 45 min from 2026-11-21 14:00 UTC";
        assert_eq!(KnownTime::default().when(from, 105.0 * 60.0), whole);
        assert_eq!(when(-600), whole, "it was looked at before");
        assert_eq!(when(90), "in the 15 min from 2026-11-21 15:30 UTC");
        assert_eq!(when(105), "at 2026-11-21 15:45 UTC", "the only look");
    }
}
