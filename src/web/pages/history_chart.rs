//! What a statement did over time as a picture made on the server: a bar for each hour or minute, a gap where nobody looked.

use crate::model::history::{HistoryPoint, StatementCounts};
use crate::model::unit::seconds_for_people;

use super::present;

/// Measures of the picture in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// Some time as a bar.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Bar {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    /// Nobody looked.
    pub is_gap: bool,
    pub title: String,
}

/// One number of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryChart {
    /// The bars, oldest first.
    pub bars: Vec<Bar>,
    /// The greatest value, for the scale.
    pub greatest: String,
    /// What a person who does not see it hears.
    pub label: String,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Measure {
    /// Seconds of execution in each second: average sessions executing.
    Load,
    Mean,
    Calls,
}

impl Measure {
    fn value(self, counts: &StatementCounts, seconds: f64) -> f64 {
        match self {
            Self::Load => counts.seconds() / seconds.max(1e-3),
            Self::Mean => counts.mean_seconds(),
            Self::Calls => counts.calls as f64 / seconds.max(1e-3) * 60.0,
        }
    }

    fn told(self, value: f64) -> String {
        match self {
            Self::Load => format!("{value:.2} sessions"),
            Self::Mean => format!("{} a call", seconds_for_people(value)),
            Self::Calls => format!("{} calls a minute", present::number(value)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Load => "sessions executing it",
            Self::Mean => "mean time of a call",
            Self::Calls => "calls a minute",
        }
    }
}

impl HistoryChart {
    /// Draws points that come oldest first.
    pub fn of(points: &[HistoryPoint], measure: Measure) -> Self {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Self::default();
        };
        let value = |point: &HistoryPoint| {
            let counts = point.counts?;
            (counts.calls > 0).then(|| measure.value(&counts, point.length_seconds))
        };
        let greatest = points.iter().filter_map(value).fold(0.0, f64::max);
        let begin = |point: &HistoryPoint| (point.from - first.from).num_milliseconds() as f64 / 1000.0;
        let scale = WIDTH / (begin(last) + last.length_seconds).max(1.0);
        let bar = |point: &HistoryPoint| {
            let told = match (point.counts, value(point)) {
                (None, _) => "nobody looked".to_owned(),
                (_, None) => "no call".to_owned(),
                (_, Some(value)) => measure.told(value),
            };
            let height = match (point.counts, value(point)) {
                (None, _) => HEIGHT,
                (_, Some(value)) if greatest > 0.0 => (value / greatest * (HEIGHT - 4.0)).max(1.0),
                _ => 0.0,
            };
            let width = point.length_seconds * scale;
            Bar {
                x: begin(point) * scale,
                y: HEIGHT - height,
                width: if width > 3.0 { width - 1.0 } else { width },
                height,
                is_gap: point.counts.is_none(),
                title: format!("{}: {told}", point.from.format("%Y-%m-%d %H:%M UTC")),
            }
        };
        let unseen = points.iter().filter(|point| point.counts.is_none()).count();
        Self {
            bars: points.iter().map(bar).filter(|bar| bar.height > 0.0).collect(),
            greatest: measure.told(greatest),
            label: format!(
                "{} over {}, at most {}{}",
                measure.name(),
                seconds_for_people(begin(last) + last.length_seconds),
                measure.told(greatest),
                if unseen > 0 {
                    "; with gaps in which nobody looked"
                } else {
                    ""
                }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    #[test]
    fn a_gap_is_a_gap_and_no_call_is_nothing() {
        let point = |hour: i64, counts: Option<(u64, u64)>| HistoryPoint {
            from: sample::now() + TimeDelta::hours(hour),
            length_seconds: 3600.0,
            counts: counts.map(|(calls, seconds)| StatementCounts {
                calls,
                microseconds: seconds * 1_000_000,
                ..StatementCounts::default()
            }),
        };
        let points = [
            point(0, Some((60, 1800))),
            point(1, None),
            point(2, Some((0, 0))),
            point(3, Some((60, 3600))),
        ];
        let chart = HistoryChart::of(&points, Measure::Load);
        let bars: Vec<(f64, f64, bool)> = chart
            .bars
            .iter()
            .map(|bar| (bar.x, bar.height, bar.is_gap))
            .collect();
        assert_eq!(
            bars,
            [(0.0, 58.0, false), (180.0, 120.0, true), (540.0, 116.0, false)]
        );
        assert_eq!(chart.greatest, "1.00 sessions");
        assert!(chart.label.ends_with("with gaps in which nobody looked"));
        assert_eq!(
            HistoryChart::of(&points, Measure::Calls).greatest,
            "1 calls a minute"
        );
        assert_eq!(HistoryChart::of(&[], Measure::Mean), HistoryChart::default());
    }
}
