//! What was seen of a server over a range of time, in parts of equal length: its connections, cache, checkpoints and lag.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::load::PARTS;
use super::range::Range;
use crate::model::server_point::{ServerCounts, ServerPoint};

/// Parts of an hour: looks are about a minute apart.
const MINUTES: usize = 60;

/// Some time with what was seen of the server in it; each number is null where it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServerPart {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it is.
    pub length_seconds: f64,
    /// Sessions of clients, the most at once.
    pub clients: Option<i64>,
    /// As many there could be: max_connections less what is kept for superusers and others.
    pub connections_limit: Option<i64>,
    /// The share of blocks that were found in shared_buffers, 0 to 1; null where none was needed, too.
    pub cache_hit_ratio: Option<f64>,
    /// Checkpoints that checkpoint_timeout brought.
    pub checkpoints_timed: Option<i64>,
    /// Checkpoints that somebody asked for, or that max_wal_size forced.
    pub checkpoints_requested: Option<i64>,
    /// How far behind replay was, the most: that of a standby itself, or that of the farthest standby of a primary.
    pub replay_lag_seconds: Option<f64>,
    /// The same in bytes of WAL.
    pub replay_lag_bytes: Option<f64>,
}

impl ServerPart {
    fn of(from: DateTime<Utc>, length_seconds: f64, counts: &ServerCounts) -> Self {
        let blocks = counts.blocks_hit.zip(counts.blocks_read);
        let blocks = blocks.map(|(hit, read)| (hit as f64, read as f64));
        Self {
            from,
            length_seconds,
            clients: counts.clients,
            connections_limit: counts.connections_limit,
            cache_hit_ratio: blocks
                .filter(|(hit, read)| hit + read > 0.0)
                .map(|(hit, read)| hit / (hit + read)),
            checkpoints_timed: counts.checkpoints_timed,
            checkpoints_requested: counts.checkpoints_requested,
            replay_lag_seconds: counts.replay_lag_seconds,
            replay_lag_bytes: counts.replay_lag_bytes,
        }
    }

    /// Those by time and those that were asked for, where both are known.
    pub(super) fn checkpoints(&self) -> Option<(i64, i64)> {
        self.checkpoints_timed.zip(self.checkpoints_requested)
    }
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.num_milliseconds() as f64 / 1000.0
}

/// When the time begins of which something was seen; none where nobody looked.
pub(super) fn known_from(points: &[ServerPoint]) -> Option<DateTime<Utc>> {
    let begin =
        |point: &ServerPoint| point.at - TimeDelta::milliseconds((point.length_seconds * 1000.0) as i64);
    points.iter().map(begin).min()
}

/// What was seen in parts of equal length: each point stands for the time before it. A checkpoint counts once, where it was read.
pub(super) fn parts(now: DateTime<Utc>, range: Range, points: &[ServerPoint]) -> Vec<ServerPart> {
    let from = now - range.length();
    let number = match range {
        Range::Hour => MINUTES,
        _ => PARTS,
    };
    let length = seconds(range.length()) / number as f64;
    let mut told = vec![ServerCounts::default(); number];
    for point in points {
        // an hour that goes on ends later
        let end = seconds(point.at.min(now) - from);
        if end < 0.0 {
            continue;
        }
        let last = ((end / length).ceil() as usize).saturating_sub(1).min(number - 1);
        // where what lasted so long begins
        let first = |length_seconds: f64| {
            let begin = seconds(point.at - from) - length_seconds;
            ((begin.max(0.0) / length) as usize).min(last)
        };
        let whole = ServerCounts {
            checkpoints_timed: None,
            checkpoints_requested: None,
            ..point.counts
        };
        for part in &mut told[first(point.length_seconds)..=last] {
            *part = part.then(whole);
        }
        if let Some(length_seconds) = point.checkpoints_seconds {
            let none = ServerCounts {
                checkpoints_timed: point.counts.checkpoints_timed.map(|_| 0),
                checkpoints_requested: point.counts.checkpoints_requested.map(|_| 0),
                ..ServerCounts::default()
            };
            for part in &mut told[first(length_seconds)..last] {
                *part = part.then(none);
            }
            told[last] = told[last].then(ServerCounts {
                checkpoints_timed: point.counts.checkpoints_timed,
                checkpoints_requested: point.counts.checkpoints_requested,
                ..none
            });
        }
    }
    let begin = |place: usize| from + TimeDelta::milliseconds((place as f64 * length * 1000.0) as i64);
    let told = told.iter().enumerate();
    told.map(|(place, counts)| ServerPart::of(begin(place), length, counts))
        .collect()
}
