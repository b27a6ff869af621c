//! What the advisor costs a server: seconds of its sessions in the last hour, by family, against database time or one core.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::observation::OwnCost as ObservedCost;

/// The last hour of looks.
#[derive(Default)]
pub struct OwnCost {
    looks: VecDeque<(DateTime<Utc>, f64, f64)>,
    /// The last look that is not among them: what they tell of happened since then.
    before: Option<DateTime<Utc>>,
}

impl OwnCost {
    /// Takes in one look: seconds that the server took for us, and seconds of database time since the look before.
    pub fn add(&mut self, at: DateTime<Utc>, own_seconds: f64, database_seconds: f64) {
        self.looks.push_back((at, own_seconds, database_seconds));
        while let Some((old, _, _)) = self.looks.front()
            && at - *old > TimeDelta::hours(1)
        {
            self.before = Some(*old);
            self.looks.pop_front();
        }
    }

    /// Seconds in the last hour, and their share of the larger of database time and one core.
    pub fn seconds_and_ratio(&self, at: DateTime<Utc>) -> (f64, f64) {
        // a sum of nothing is -0.0, which JSON shows
        let own = self.looks.iter().fold(0.0_f64, |sum, (_, own, _)| sum + own);
        (own, own / self.server_seconds(at))
    }

    /// The larger of database time and one core in the last hour, in seconds.
    pub fn server_seconds(&self, at: DateTime<Utc>) -> f64 {
        let database: f64 = self.looks.iter().map(|(_, _, database)| database).sum();
        database.max(self.elapsed_seconds(at))
    }

    /// How many seconds the server works in a second: at least 1, for one core.
    pub fn busy_sessions(&self, at: DateTime<Utc>) -> f64 {
        self.server_seconds(at) / self.elapsed_seconds(at)
    }

    /// How long was measured what the looks of the last hour tell.
    pub fn measured_seconds(&self, at: DateTime<Utc>) -> f64 {
        let first = self.looks.front().map(|(first, _, _)| *first);
        let begin = self.before.or(first);
        begin.map_or(0.0, |begin| (at - begin).num_milliseconds() as f64 / 1000.0)
    }

    fn elapsed_seconds(&self, at: DateTime<Utc>) -> f64 {
        self.measured_seconds(at).max(ObservedCost::LEAST_SECONDS)
    }
}

/// Seconds of the last hour, minute by minute.
#[derive(Default)]
pub struct Hour {
    minutes: VecDeque<(i64, f64)>,
}

impl Hour {
    /// Adds some.
    pub fn add(&mut self, at: DateTime<Utc>, seconds: f64) {
        let minute = minute(at);
        match self.minutes.back_mut() {
            Some((last, sum)) if *last == minute => *sum += seconds,
            _ => self.minutes.push_back((minute, seconds)),
        }
        while self.minutes.front().is_some_and(|(old, _)| minute - old >= 60) {
            self.minutes.pop_front();
        }
    }

    /// All of the last hour; none if nothing is known of it.
    pub fn seconds(&self, at: DateTime<Utc>) -> Option<f64> {
        let minute = minute(at);
        let last = self.minutes.iter().filter(|(old, _)| minute - old < 60);
        let seconds: Vec<f64> = last.map(|(_, seconds)| *seconds).collect();
        (!seconds.is_empty()).then(|| seconds.iter().sum())
    }
}

fn minute(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(60)
}

/// Seconds of our sessions by family.
#[derive(Default)]
pub struct Families {
    hours: BTreeMap<&'static str, Hour>,
}

impl Families {
    /// Adds what each family took since the last time.
    pub fn add(&mut self, at: DateTime<Utc>, spent: &BTreeMap<&'static str, f64>) {
        for (family, seconds) in spent {
            self.hours.entry(*family).or_default().add(at, *seconds);
        }
    }

    /// Seconds in the last hour of each family that was asked in it, costliest first.
    pub fn last_hour(&self, at: DateTime<Utc>) -> Vec<(&'static str, f64)> {
        let known = self.hours.iter();
        let mut families: Vec<_> = known
            .filter_map(|(family, hour)| Some((*family, hour.seconds(at)?)))
            .collect();
        families.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        families
    }
}

/// Seconds that a server spent for a task of ours, until whoever adds them up asks.
#[derive(Clone, Default)]
pub struct Spent(Arc<Mutex<f64>>);

impl Spent {
    /// Adds some.
    pub fn add(&self, seconds: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += seconds;
    }

    /// All since the last time.
    pub fn take(&self) -> f64 {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_hour_counts_against_the_larger_measure() {
        let time = |minutes: i64| DateTime::from_timestamp(1_700_000_000 + minutes * 60, 0).unwrap();
        let mut cost = OwnCost::default();
        cost.add(time(0), 50.0, 0.0);
        for minute in 1..=70 {
            cost.add(time(minute), 0.06, 600.0);
        }
        let (own, ratio) = cost.seconds_and_ratio(time(70));
        assert!((own - 61.0 * 0.06).abs() < 1e-9, "{own}");
        assert!((ratio - own / (61.0 * 600.0)).abs() < 1e-9, "{ratio}");
        // looks that each tell of a minute with 600 s of database time
        assert_eq!(cost.measured_seconds(time(70)), 61.0 * 60.0);
        let busy = cost.busy_sessions(time(70));
        assert!((busy - 10.0).abs() < 1e-9, "{busy}");
        assert_eq!(OwnCost::default().busy_sessions(time(0)), 1.0);
    }

    #[test]
    fn what_cost_nothing_is_told_as_nothing() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let nothing: [f64; 0] = [];
        let mut cost = OwnCost::default();
        for looks in ["none", "one that took nothing"] {
            let (own, ratio) = cost.seconds_and_ratio(now);
            assert!(own.is_sign_positive() && ratio.is_sign_positive(), "{looks}");
            cost.add(now, nothing.iter().sum(), 0.0);
        }
    }

    #[test]
    fn families_are_added_up_over_an_hour_and_no_longer() {
        let time = |minutes: i64| DateTime::from_timestamp(1_700_000_040 + minutes * 60, 0).unwrap();
        let mut families = Families::default();
        assert!(families.last_hour(time(0)).is_empty());
        families.add(time(0), &BTreeMap::from([("catalog", 50.0), ("statements", 1.0)]));
        for minute in 1..60 {
            families.add(time(minute), &BTreeMap::from([("statements", 0.5)]));
            families.add(time(minute), &BTreeMap::from([("statements", 0.5)]));
        }
        assert_eq!(
            families.last_hour(time(59)),
            [("statements", 60.0), ("catalog", 50.0)]
        );
        assert_eq!(
            families.last_hour(time(60)),
            [("statements", 59.0)],
            "names were read longer ago"
        );
        assert!(families.hours["statements"].minutes.len() <= 60, "bounded");
    }
}
