//! Sparklines as SVG paths made on the server: the last 24 hours of load, with gaps left as gaps.

use chrono::{DateTime, TimeDelta, Utc};

use super::present::number;
use crate::model::status::LoadPoint;

/// Width and height of the picture in its own units.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;
/// A quarter of an hour each.
const BUCKETS: usize = 96;

/// A day of load as paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spark {
    /// The line, with a jump over each gap.
    pub line: String,
    /// The area below it.
    pub area: String,
    /// What a person who does not see it hears.
    pub label: String,
    /// The highest load, where any is known.
    pub peak: Option<f64>,
    /// The mean of the known quarters of an hour.
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
                number(least),
                number(peak)
            ),
            peak: Some(peak),
            mean: Some(known.iter().sum::<f64>() / known.len() as f64),
            ..Self::default()
        };
        // an idle server must not look busy
        let top = peak.max(0.1);
        let mut run: Vec<(f64, f64)> = Vec::new();
        for (position, load) in loads.iter().enumerate() {
            match load {
                Some(load) => {
                    let x = (position as f64 + 0.5) * WIDTH / BUCKETS as f64;
                    run.push((x, HEIGHT - 2.0 - load / top * (HEIGHT - 5.0)));
                }
                None => spark.draw(&mut run),
            }
        }
        spark.draw(&mut run);
        if known.len() < BUCKETS {
            let missing = (BUCKETS - known.len()) as f64 * 0.25;
            spark
                .label
                .push_str(&format!("; {missing:.1} hours are not known"));
        }
        spark
    }

    /// Draws and empties one run of known points; a lonely one becomes a short dash.
    fn draw(&mut self, run: &mut Vec<(f64, f64)>) {
        let half = WIDTH / BUCKETS as f64 / 2.0;
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
    fn nothing_known_draws_nothing() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(Spark::of(now, &[]).line, "");
        assert_eq!(Spark::of(now, &[point(now, 1.0, None)]).peak, None);
        assert_eq!(average(now, &[]), None);
    }
}
