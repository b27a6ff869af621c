//! What the advisor costs a server: seconds of its sessions in the last hour, against database time or one core.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// The last hour of looks.
#[derive(Default)]
pub struct OwnCost {
    looks: VecDeque<(DateTime<Utc>, f64, f64)>,
}

impl OwnCost {
    /// Takes in one look: seconds that the server took for us, and seconds of database time since the look before.
    pub fn add(&mut self, at: DateTime<Utc>, own_seconds: f64, database_seconds: f64) {
        self.looks.push_back((at, own_seconds, database_seconds));
        while self
            .looks
            .front()
            .is_some_and(|(old, _, _)| at - *old > TimeDelta::hours(1))
        {
            self.looks.pop_front();
        }
    }

    /// Seconds in the last hour, and their share of the larger of database time and one core.
    pub fn seconds_and_ratio(&self, at: DateTime<Utc>) -> (f64, f64) {
        let own: f64 = self.looks.iter().map(|(_, own, _)| own).sum();
        let database: f64 = self.looks.iter().map(|(_, _, database)| database).sum();
        let elapsed = self.looks.front().map_or(0.0, |(first, _, _)| {
            (at - *first).num_milliseconds() as f64 / 1000.0
        });
        // the first looks fetch what later ones need not: over less than ten minutes a share would say nothing
        (own, own / database.max(elapsed).max(600.0))
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
    }
}
