//! The refreshes of one view as pictures made on the server: how long each took, and how old its data were.

use chrono::{DateTime, TimeDelta, Utc};

use super::present::plural;
use crate::model::refresh::{Outcome, Run};
use crate::model::unit::seconds_for_people;

/// Measures of a picture in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// One refresh as a bar.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Bar {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    pub tone: &'static str,
    pub title: String,
}

/// How long refreshes took, oldest on the left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// The bars.
    pub bars: Vec<Bar>,
    /// The longest, for the scale.
    pub longest: String,
    /// When the first of them ended.
    pub from: Option<DateTime<Utc>>,
    /// What a person who does not see it hears.
    pub label: String,
}

/// How old the data were over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ages {
    /// The line.
    pub line: String,
    /// The height of the promise, where there is one.
    pub promise_y: Option<f64>,
    /// The greatest age, for the scale.
    pub greatest: String,
    /// From when on.
    pub from: Option<DateTime<Utc>>,
    /// What a person who does not see it hears.
    pub label: String,
}

/// A moment at which younger data were there.
#[derive(Clone, Copy)]
struct Step {
    at: DateTime<Utc>,
    as_of: DateTime<Utc>,
    /// They were as if they were new all the time since the step before.
    was_fresh_before: bool,
}

impl Step {
    fn of(run: &Run) -> Vec<Self> {
        let unchanged = |at, was_fresh_before| Self {
            at,
            as_of: at,
            was_fresh_before,
        };
        match (run.outcome, run.started_at) {
            (Outcome::Refreshed, Some(as_of)) => vec![Self {
                at: run.ended_at,
                as_of,
                was_fresh_before: false,
            }],
            _ if run.is_unchanged => match run.since {
                Some(since) => vec![unchanged(since, false), unchanged(run.ended_at, true)],
                None => vec![unchanged(run.ended_at, false)],
            },
            _ => Vec::new(),
        }
    }
}

impl Durations {
    /// Draws runs that come newest first; those of which nothing was run have no bar.
    pub fn of(runs: &[Run]) -> Self {
        let made: Vec<(&Run, f64)> = runs
            .iter()
            .rev()
            .filter_map(|run| Some((run, run.elapsed_seconds?)))
            .collect();
        let longest = made.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
        if made.is_empty() || longest <= 0.0 {
            return Self::default();
        }
        let step = (WIDTH / made.len() as f64).min(24.0);
        let bar = |(position, (run, seconds)): (usize, &(&Run, f64))| {
            let height = (seconds / longest * (HEIGHT - 4.0)).max(2.0);
            Bar {
                x: position as f64 * step,
                y: HEIGHT - height,
                width: (step - 2.0).max(1.0),
                height,
                tone: match run.outcome {
                    Outcome::Refreshed => "good",
                    _ => "bad",
                },
                title: format!(
                    "{}: {} in {}",
                    run.ended_at.format("%Y-%m-%d %H:%M:%S UTC"),
                    run.outcome.word().replace('_', " "),
                    seconds_for_people(*seconds)
                ),
            }
        };
        Self {
            bars: made.iter().enumerate().map(bar).collect(),
            longest: seconds_for_people(longest),
            from: made.first().map(|(run, _)| run.ended_at),
            label: format!(
                "how long the last {} took, at most {}",
                plural(made.len(), "refresh", "refreshes"),
                seconds_for_people(longest)
            ),
        }
    }
}

impl Ages {
    /// Draws how old the data were, from runs that come newest first. While nothing that the view reads changed, its data are
    /// as if they were new.
    pub fn of(now: DateTime<Utc>, runs: &[Run], promise_seconds: Option<f64>) -> Self {
        let mut steps: Vec<Step> = runs.iter().rev().flat_map(Step::of).collect();
        steps.retain(|step| step.at <= now);
        let (Some(first), true) = (steps.first().copied(), steps.len() > 1) else {
            return Self::default();
        };
        let seconds = |delta: TimeDelta| (delta.num_milliseconds() as f64 / 1000.0).max(0.0);
        let length = seconds(now - first.at).max(1.0);
        let mut points: Vec<(f64, f64)> = vec![(0.0, seconds(first.at - first.as_of))];
        let mut as_of = first.as_of;
        for step in &steps[1..] {
            let x = seconds(step.at - first.at);
            if !step.was_fresh_before {
                points.push((x, seconds(step.at - as_of)));
            }
            as_of = as_of.max(step.as_of);
            points.push((x, seconds(step.at - as_of)));
        }
        points.push((length, seconds(now - as_of)));
        let greatest = points
            .iter()
            .map(|(_, age)| *age)
            .fold(promise_seconds.unwrap_or(0.0), f64::max);
        let greatest = greatest.max(1.0);
        let y = |age: f64| HEIGHT - 2.0 - age / greatest * (HEIGHT - 6.0);
        let line: Vec<String> = points
            .iter()
            .map(|(at, age)| format!("{:.1} {:.1}", at / length * WIDTH, y(*age)))
            .collect();
        Self {
            line: format!("M{}", line.join("L")),
            promise_y: promise_seconds.map(y),
            greatest: seconds_for_people(greatest),
            from: Some(first.at),
            label: format!("how old its data were, at most {}", seconds_for_people(greatest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::refresh::ViewName;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    fn run(outcome: Outcome, started: i64, ended: i64) -> Run {
        Run {
            started_at: (outcome == Outcome::Refreshed).then(|| at(started)),
            elapsed_seconds: (outcome != Outcome::Skipped).then(|| (ended - started) as f64),
            since: (outcome == Outcome::Skipped).then(|| at(started)),
            is_unchanged: outcome == Outcome::Skipped,
            ..Run::of(&ViewName::default(), outcome, "", at(ended))
        }
    }

    #[test]
    fn ages_rise_until_a_refresh_ends_and_do_not_while_nothing_changes() {
        // newest first: as of 100 s at 110 s, unchanged from 150 to 190 s
        let runs = [
            run(Outcome::Skipped, 150, 190),
            run(Outcome::Refreshed, 100, 110),
            run(Outcome::Refreshed, 0, 10),
        ];
        let ages = Ages::of(at(210), &runs, Some(200.0));
        // over 200 s, 720 units wide; the greatest age is the promise
        let y = |age: f64| format!("{:.1}", HEIGHT - 2.0 - age / 200.0 * (HEIGHT - 6.0));
        let expected = [
            (0, 10.0),
            (100, 110.0),
            (100, 10.0),
            (140, 50.0),
            (140, 0.0),
            (180, 0.0),
            (200, 20.0),
        ];
        let expected: Vec<String> = expected
            .iter()
            .map(|(second, age)| format!("{:.1} {}", f64::from(*second) * 3.6, y(*age)))
            .collect();
        assert_eq!(ages.line, format!("M{}", expected.join("L")));
        assert_eq!(ages.promise_y, Some(4.0));
        assert_eq!(
            Ages::of(at(210), &runs[2..], None),
            Ages::default(),
            "one alone says nothing"
        );
    }

    #[test]
    fn failures_have_bars_and_skips_have_none() {
        let runs = [
            run(Outcome::Failed, 20, 22),
            run(Outcome::Skipped, 15, 16),
            run(Outcome::Refreshed, 0, 10),
        ];
        let durations = Durations::of(&runs);
        let tones: Vec<&str> = durations.bars.iter().map(|bar| bar.tone).collect();
        assert_eq!((tones, durations.longest.as_str()), (vec!["good", "bad"], "10 s"));
        assert_eq!(durations.from, Some(at(10)), "the time that is drawn is told");
        assert_eq!(Durations::of(&runs[1..2]), Durations::default());
    }
}
