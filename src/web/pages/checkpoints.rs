//! The checkpoints of a server: a part of its page.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::present;
use crate::model::snapshot::Checkpoints;
use crate::model::unit::bytes_for_people;

/// How checkpoints came about, since they are counted.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CheckpointFacts {
    /// Since when they are counted; null where statistics were never reset.
    pub since: Option<DateTime<Utc>>,
    /// When they were read.
    pub at: DateTime<Utc>,
    /// Those that checkpoint_timeout brought.
    pub timed: u64,
    /// Those that somebody asked for, or that max_wal_size forced.
    pub requested: u64,
    /// The share of those, 0 to 1; null where there was no checkpoint.
    pub requested_ratio: Option<f64>,
    /// What checkpoints wrote a second; null where the size of a block, or since when it is counted, is not known.
    pub written_bytes_per_second: Option<f64>,
}

impl CheckpointFacts {
    pub(super) fn of(seen: &Checkpoints, block_bytes: Option<f64>) -> Self {
        let count = |count: i64| count.max(0).unsigned_abs();
        let (timed, requested) = (count(seen.timed), count(seen.requested));
        let all = timed + requested;
        let seconds = seen
            .since
            .map(|since| (seen.at - since).num_milliseconds() as f64 / 1000.0);
        let written = block_bytes.map(|bytes| seen.blocks_written.max(0) as f64 * bytes);
        Self {
            since: seen.since,
            at: seen.at,
            timed,
            requested,
            requested_ratio: (all > 0).then(|| requested as f64 / all as f64),
            written_bytes_per_second: written
                .zip(seconds.filter(|seconds| *seconds > 0.0))
                .map(|(bytes, seconds)| bytes / seconds),
        }
    }

    /// Those that were asked for, in words.
    pub(super) fn asked(&self) -> String {
        match self.requested_ratio {
            None => present::number(self.requested as f64),
            Some(ratio) => format!(
                "{} ({} of all)",
                present::number(self.requested as f64),
                present::percent(ratio)
            ),
        }
    }

    pub(super) fn written(&self) -> String {
        match self.written_bytes_per_second {
            None => "not known".to_owned(),
            Some(bytes) => format!("{}/s", bytes_for_people(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    #[test]
    fn what_is_not_known_is_not_zero() {
        let mut seen = Checkpoints {
            timed: 3,
            requested: 1,
            blocks_written: 3600,
            since: Some(sample::now() - TimeDelta::hours(1)),
            at: sample::now(),
        };
        let told = CheckpointFacts::of(&seen, Some(8192.0));
        assert_eq!(
            (told.asked().as_str(), told.written().as_str()),
            ("1 (25 % of all)", "8.0 KiB/s")
        );
        assert_eq!(CheckpointFacts::of(&seen, None).written_bytes_per_second, None);
        seen.since = None;
        assert_eq!(CheckpointFacts::of(&seen, Some(8192.0)).written(), "not known");
        (seen.timed, seen.requested) = (0, 0);
        assert_eq!(CheckpointFacts::of(&seen, None).requested_ratio, None);
    }
}
