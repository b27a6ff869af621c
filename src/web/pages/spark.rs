//! Sparklines as SVG paths made on the server, with gaps left as gaps: the last 24 hours of load, and the time that a statement
//! took.

use chrono::{DateTime, TimeDelta, Utc};

use super::load::{SCALE_SESSIONS, rounded};
use super::present::percent;
use crate::model::status::LoadPoint;
use crate::model::unit::seconds_for_people;

/// Width and height of the picture in its own units.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;
/// A quarter of an hour each.
const BUCKETS: usize = 96;

/// Something over time as paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spark {
    /// The line, with a jump over each gap.
    pub line: String,
    /// The area below it.
    pub area: String,
    /// What a person who does not see it hears.
    pub label: String,
    /// The highest value, where any is known.
    pub peak: Option<f64>,
    /// The mean of those that are known.
    pub mean: Option<f64>,
}

/// Means of the known points of each quarter of an hour before `now`.
fn buckets(now: DateTime<Utc>, points: &[LoadPoint]) -> Vec<Option<f64>> {
    let start = now - TimeDelta::hours(24);
    let mut sums = vec![(0.0, 0u32); BUCKETS];
    for point in points {
        let seconds = (point.at - start).num_seconds();
        let Some(load) = point
            .load_sessions
            .filter(|load| load.is_finite() && *load >= 0.0)
        else {
            continue;
        };
        if (0..=86_400).contains(&seconds) {
            let bucket = (seconds as usize * BUCKETS / 86_400).min(BUCKETS - 1);
            sums[bucket].0 += load;
            sums[bucket].1 += 1;
        }
    }
    sums.into_iter()
        .map(|(sum, number)| (number > 0).then(|| sum / f64::from(number)))
        .collect()
}

/// The average load over the known part of the last day, and how much of the day is known.
pub fn average(now: DateTime<Utc>, points: &[LoadPoint]) -> Option<(f64, f64)> {
    let known: Vec<f64> = buckets(now, points).into_iter().flatten().collect();
    let share = known.len() as f64 / BUCKETS as f64;
    (!known.is_empty()).then(|| (known.iter().sum::<f64>() / known.len() as f64, share))
}

impl Spark {
    /// Draws the 24 hours before `now`.
    pub fn of(now: DateTime<Utc>, points: &[LoadPoint]) -> Self {
        let loads = buckets(now, points);
        let known: Vec<f64> = loads.iter().flatten().copied().collect();
        if known.is_empty() {
            return Self {
                label: "no load is known of the last 24 hours".to_owned(),
                ..Self::default()
            };
        }
        let peak = known.iter().copied().fold(0.0, f64::max);
        let least = known.iter().copied().fold(f64::MAX, f64::min);
        let mut spark = Self {
            label: format!(
                "load of the last 24 hours, from {} to {} sessions",
                rounded(least),
                rounded(peak)
            ),
            peak: Some(peak),
            mean: Some(known.iter().sum::<f64>() / known.len() as f64),
            ..Self::default()
        };
        // an idle server must not look busy
        spark.picture(&loads, peak.max(SCALE_SESSIONS));
        if known.len() < BUCKETS {
            let missing = (BUCKETS - known.len()) as f64 * 0.25;
            spark
                .label
                .push_str(&format!("; {missing:.1} hours are not known"));
        }
        spark
    }

    /// Draws the time that something took, in seconds of each hour, in steps of equal length. `range` is what they cover, as
    /// people say it: `24 hours`.
    pub fn of_time(seconds_per_hour: &[Option<f64>], range: &str) -> Self {
        let known: Vec<f64> = seconds_per_hour.iter().flatten().copied().collect();
        if known.is_empty() {
            return Self {
                label: format!("what it took in the last {range} is not known"),
                ..Self::default()
            };
        }
        let peak = known.iter().copied().fold(0.0, f64::max);
        let mut spark = Self {
            label: format!("at most {} an hour in the last {range}", seconds_for_people(peak)),
            peak: Some(peak),
            mean: Some(known.iter().sum::<f64>() / known.len() as f64),
            ..Self::default()
        };
        spark.picture(seconds_per_hour, peak.max(f64::MIN_POSITIVE));
        let missing = seconds_per_hour.len() - known.len();
        if missing > 0 {
            let share = percent(missing as f64 / seconds_per_hour.len() as f64);
            spark.label.push_str(&format!("; {share} of that is not known"));
        }
        spark
    }

    /// Draws what is known of steps of equal length; `top` is the value at the upper edge.
    fn picture(&mut self, values: &[Option<f64>], top: f64) {
        let width = WIDTH / values.len().max(1) as f64;
        let mut run: Vec<(f64, f64)> = Vec::new();
        for (position, value) in values.iter().enumerate() {
            match value {
                Some(value) => {
                    let x = (position as f64 + 0.5) * width;
                    run.push((x, HEIGHT - 2.0 - value / top * (HEIGHT - 5.0)));
                }
                None => self.draw(&mut run, width),
            }
        }
        self.draw(&mut run, width);
    }

    /// Draws and empties one run of known points; a lonely one becomes a short dash of the width of a step.
    fn draw(&mut self, run: &mut Vec<(f64, f64)>, width: f64) {
        let half = width / 2.0;
        if let [(x, y)] = run[..] {
            *run = vec![(x - half, y), (x + half, y)];
        }
        let (Some(first), Some(last)) = (run.first().copied(), run.last().copied()) else {
            return;
        };
        let points: Vec<String> = run.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let points = points.join("L");
        self.line.push_str(&format!("M{points}"));
        self.area.push_str(&format!(
            "M{:.1} {HEIGHT}L{points}L{:.1} {HEIGHT}Z",
            first.0, last.0
        ));
        run.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(now: DateTime<Utc>, hours_ago: f64, load: Option<f64>) -> LoadPoint {
        LoadPoint {
            at: now - TimeDelta::seconds((hours_ago * 3600.0) as i64),
            load_sessions: load,
        }
    }

    #[test]
    fn a_gap_is_a_gap_and_never_zero() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(9);
        let mut points: Vec<LoadPoint> = (0..20)
            .map(|i| point(now, f64::from(i) * 0.25, Some(1.0)))
            .collect();
        points.extend((40..60).map(|i| point(now, f64::from(i) * 0.25, Some(2.0))));
        points.push(point(now, 7.0, None));
        let spark = Spark::of(now, &points);
        assert_eq!(spark.line.matches('M').count(), 2);
        assert!(!spark.line.contains("26.0"), "{}", spark.line);
        assert_eq!(spark.peak, Some(2.0));
        assert!(spark.label.contains("not known"));
    }

    #[test]
    fn the_time_of_a_statement_is_drawn_in_its_own_measure_with_its_gaps() {
        let steps = [Some(0.0), Some(60.0), None, Some(30.0)];
        let spark = Spark::of_time(&steps, "7 days");
        assert_eq!(spark.line, "M15.0 26.0L45.0 3.0M90.0 14.5L120.0 14.5");
        assert_eq!(
            spark.label,
            "at most 1 min an hour in the last 7 days; 25 % of that is not known"
        );
        assert_eq!((spark.peak, spark.mean), (Some(60.0), Some(30.0)));
        let idle = Spark::of_time(&[Some(0.0); 2], "24 hours");
        assert_eq!(idle.line, "M30.0 26.0L90.0 26.0", "nothing is at the bottom");
        let unknown = Spark::of_time(&[None, None], "24 hours");
        assert_eq!(unknown.line, "");
        assert!(unknown.label.contains("not known"));
    }

    #[test]
    fn nothing_known_draws_nothing() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(Spark::of(now, &[]).line, "");
        assert_eq!(Spark::of(now, &[point(now, 1.0, None)]).peak, None);
        assert_eq!(average(now, &[]), None);
    }
}
