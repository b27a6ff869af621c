//! How fast a server uses transaction ids: the mean since a look of some hours ago.

use chrono::{DateTime, TimeDelta, Utc};

use crate::limits;

/// A look: when, and the next transaction id.
type Look = (DateTime<Utc>, i64);

/// The start of the window, and of the one that follows it.
#[derive(Default)]
pub struct TransactionIds {
    older: Option<Look>,
    newer: Option<Look>,
}

impl TransactionIds {
    /// Takes one look in, and tells the rate over the window, if that is long enough.
    pub fn per_second(&mut self, at: DateTime<Utc>, next: Option<i64>) -> Option<f64> {
        let now = (at, next?);
        let older = *self.older.get_or_insert(now);
        let newer = *self.newer.get_or_insert(now);
        if now.1 < older.1 {
            // ids only grow: this is another server, or an older copy of it
            *self = Self::default();
            return None;
        }
        let length = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        if at - newer.0 >= length(limits::TRANSACTION_ID_WINDOW) {
            self.older = Some(newer);
            self.newer = Some(now);
        }
        let passed = at - older.0;
        (passed >= length(limits::STATEMENT_WINDOW_MINIMUM))
            .then(|| (now.1 - older.1) as f64 / (passed.num_milliseconds() as f64 / 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + 60 * minutes, 0).unwrap()
    }

    #[test]
    fn the_rate_is_the_mean_of_some_hours() {
        let mut ids = TransactionIds::default();
        assert_eq!(ids.per_second(at(0), Some(1000)), None);
        assert_eq!(ids.per_second(at(1), Some(7000)), None, "too short to tell");
        assert_eq!(ids.per_second(at(10), Some(7000)), Some(10.0));
        assert_eq!(ids.per_second(at(11), None), None);
        for hour in 1..48 {
            ids.per_second(at(60 * hour), Some(7000));
        }
        assert_eq!(
            ids.per_second(at(60 * 48), Some(7000)),
            Some(0.0),
            "old looks are forgotten"
        );
    }

    #[test]
    fn ids_that_run_backwards_begin_a_new_window() {
        let mut ids = TransactionIds::default();
        ids.per_second(at(0), Some(5000));
        assert_eq!(ids.per_second(at(10), Some(100)), None);
        assert_eq!(ids.per_second(at(20), Some(100)), None);
        assert_eq!(ids.per_second(at(30), Some(700)), Some(1.0));
    }
}
