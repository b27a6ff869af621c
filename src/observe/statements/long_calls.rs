//! Calls that took longer than the time between two looks. pg_stat_statements counts a call when it ends, so that all of its time
//! would belong to the look after that: eight minutes of one session would be the load of eight sessions of one minute.

use super::Delta;
use crate::model::status::EarlierLoad;

/// What of an entry's time was surely before the look at which the delta begins, `over_seconds` ago: no call executes longer than
/// there is time. The longest call stands for itself where it is known, the others for their mean; a call that is shorter than
/// the time between the looks may have begun before, too, and is told in that of its end.
pub(super) fn before(delta: &Delta, over_seconds: f64) -> impl Iterator<Item = EarlierLoad> + use<> {
    let (calls, seconds) = (delta.counters.calls as f64, delta.counters.execution_ms / 1000.0);
    let longest = delta.longest_ms.map(|ms| (ms / 1000.0).min(seconds));
    let groups = match longest {
        Some(longest) => [(1.0_f64.min(calls), longest), (calls - 1.0, seconds - longest)],
        None => [(calls, seconds), (0.0, 0.0)],
    };
    groups.into_iter().filter_map(move |(calls, seconds)| {
        let mean = seconds / calls.max(1.0);
        (calls > 0.0 && over_seconds > 0.0 && mean > over_seconds).then_some(EarlierLoad {
            sessions: calls,
            seconds: mean - over_seconds,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::StatementCounters;

    /// What of some calls was before a minute: sessions, and for how long.
    fn told(calls: i64, seconds: f64, longest_seconds: Option<f64>) -> Vec<(f64, f64)> {
        let delta = Delta {
            counters: StatementCounters {
                calls,
                execution_ms: seconds * 1000.0,
                ..StatementCounters::default()
            },
            longest_ms: longest_seconds.map(|seconds| seconds * 1000.0),
        };
        let told = before(&delta, 60.0);
        told.map(|one| (one.sessions, one.seconds)).collect()
    }

    #[test]
    fn eight_minutes_of_one_session_are_no_eight_sessions() {
        assert_eq!(told(1, 480.0, Some(480.0)), [(1.0, 420.0)]);
        assert_eq!(
            told(3, 360.0, None),
            [(3.0, 60.0)],
            "three at once, by their mean"
        );
        assert_eq!(
            told(3, 600.0, Some(480.0)),
            [(1.0, 420.0)],
            "two of a minute each"
        );
        assert_eq!(told(3, 720.0, Some(480.0)), [(1.0, 420.0), (2.0, 60.0)]);
    }

    #[test]
    fn what_fits_between_two_looks_stays_there() {
        assert!(told(1, 60.0, Some(60.0)).is_empty());
        assert!(told(10_000, 3_000.0, Some(0.9)).is_empty(), "fifty at once");
        assert!(told(0, 0.0, None).is_empty());
    }
}
