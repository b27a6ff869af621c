//! How busy a server was over a range of time: a part of its page.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::history_chart::Measure;
use super::present;
use super::range::Range;
use crate::model::history::{HistoryPoint, StatementCounts};
use crate::model::status::LoadPoint;

/// A picture of the load reaches up to so many sessions at least: an idle server must not look busy.
pub(super) const SCALE_SESSIONS: f64 = 0.1;

/// The load is told in so many parts of the range.
pub(super) const PARTS: usize = 96;

pub(super) const LOAD: Measure<StatementCounts> = Measure {
    name: "sessions executing",
    value: |counts, seconds| Some(counts.seconds() / seconds.max(1e-3)),
    told: |sessions| present::amount(rounded(sessions), "session", "sessions"),
    nothing: "nothing was executed",
};

/// With one decimal at most; of what is less than that with the first digit that says something. What is there is never told as 0.
pub(super) fn rounded(value: f64) -> String {
    match value {
        value if value <= 0.0 || value >= 0.095 => present::number((value * 10.0).round() / 10.0),
        value if value >= 0.0095 => format!("{value:.2}"),
        value if value >= 0.000_95 => format!("{value:.3}"),
        _ => "< 0.001".to_owned(),
    }
}

/// Some time with its load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct LoadPart {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it is.
    pub length_seconds: f64,
    /// Of how much of it the load is known.
    pub seen_seconds: f64,
    /// Average sessions executing statements; null where it is not known.
    pub load_sessions: Option<f64>,
}

/// The load in parts of equal length: each point tells the mean since the one before.
pub(super) fn parts(now: DateTime<Utc>, range: Range, points: &[LoadPoint]) -> Vec<LoadPart> {
    let from = now - range.length();
    let seconds = |delta: TimeDelta| delta.num_milliseconds() as f64 / 1000.0;
    let length = seconds(range.length()) / PARTS as f64;
    // seconds of sessions, and seconds of which the load is known
    let mut sums = [(0.0, 0.0); PARTS];
    for pair in points.windows(2) {
        let known = pair[1].load_sessions;
        let Some(load) = known.filter(|load| load.is_finite() && *load >= 0.0) else {
            continue;
        };
        let (begin, end) = (seconds(pair[0].at - from), seconds(pair[1].at - from));
        for (place, sum) in sums.iter_mut().enumerate() {
            let (first, last) = (place as f64 * length, (place + 1) as f64 * length);
            let overlap = end.min(last) - begin.max(first);
            if overlap > 0.0 {
                sum.0 += load * overlap;
                sum.1 += overlap;
            }
        }
    }
    let part = |(place, (sum, known)): (usize, (f64, f64))| LoadPart {
        from: from + TimeDelta::milliseconds((place as f64 * length * 1000.0) as i64),
        length_seconds: length,
        seen_seconds: known,
        load_sessions: (known > 0.0).then(|| sum / known),
    };
    sums.into_iter().enumerate().map(part).collect()
}

/// When the time begins of which the load is known; none where it is not known at all.
pub(super) fn known_from(points: &[LoadPoint]) -> Option<DateTime<Utc>> {
    let mut pairs = points.windows(2);
    let known = pairs.find(|pair| pair[1].load_sessions.is_some());
    known.map(|pair| pair[0].at)
}

/// The mean over the time of which the load is known; none where it is not known at all.
pub(super) fn mean(parts: &[LoadPart]) -> Option<f64> {
    let known = parts
        .iter()
        .filter_map(|part| Some((part.load_sessions?, part.seen_seconds)));
    let (sum, seconds) = known.fold((0.0, 0.0), |(sum, seconds), (load, seen)| {
        (sum + load * seen, seconds + seen)
    });
    (seconds > 0.0).then(|| sum / seconds)
}

/// The same as the picture takes it.
pub(super) fn history(parts: &[LoadPart]) -> Vec<HistoryPoint<StatementCounts>> {
    let counts = |load: f64, seconds: f64| StatementCounts {
        microseconds: (load * seconds * 1e6) as u64,
        ..StatementCounts::default()
    };
    let point = |part: &LoadPart| HistoryPoint {
        from: part.from,
        length_seconds: part.length_seconds,
        seen_seconds: part.length_seconds,
        counts: part.load_sessions.map(|load| counts(load, part.length_seconds)),
    };
    parts.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    #[test]
    fn a_point_is_the_mean_since_the_one_before() {
        let at = |minutes: i64, load_sessions| LoadPoint {
            at: sample::now() - TimeDelta::minutes(minutes),
            load_sessions,
        };
        // a quarter of an hour each; the third point from the end follows a time in which nobody looked
        let points = [
            at(75, Some(9.0)),
            at(60, Some(1.0)),
            at(45, None),
            at(30, Some(2.0)),
            at(15, Some(4.0)),
            at(0, Some(f64::NAN)),
        ];
        let told: Vec<Option<f64>> = parts(sample::now(), Range::Day, &points)
            .into_iter()
            .map(|part| part.load_sessions)
            .collect();
        assert_eq!(told.len(), PARTS);
        assert_eq!(told[PARTS - 5..], [Some(1.0), None, Some(2.0), Some(4.0), None]);
        let month = parts(sample::now(), Range::Month, &points);
        let last = month[PARTS - 1];
        assert_eq!(last.seen_seconds, 45.0 * 60.0, "of seven and a half hours");
        let off = mean(&month)
            .zip(last.load_sessions)
            .map(|(mean, load)| mean - load);
        assert!(off.is_some_and(|off| off.abs() < 1e-9), "{off:?}");
        assert_eq!(mean(&month[..PARTS - 1]), None);
        assert!(
            told[..PARTS - 5].iter().all(Option::is_none),
            "the first has none before it"
        );
        assert_eq!(known_from(&points), Some(points[0].at));
        assert_eq!(known_from(&points[1..]), Some(points[2].at));
        assert_eq!(known_from(&points[..1]), None);
    }

    #[test]
    fn what_is_there_is_not_told_as_nothing() {
        let told = [0.0, 1e-9, 0.0014, 0.0094, 0.034, 0.0949, 0.095, 0.14, 1.04, 12.0].map(rounded);
        let expected = [
            "0", "< 0.001", "0.001", "0.009", "0.03", "0.09", "0.1", "0.1", "1", "12",
        ];
        assert_eq!(told, expected);
    }
}
