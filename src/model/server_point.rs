//! What was seen of a server as a whole, look by look: its connections, cache, checkpoints and replication.

use chrono::{DateTime, Utc};

/// Numbers of a server over some time. Each is none where nothing of that time told it: absent is never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerCounts {
    /// Sessions of clients, the most at once.
    pub clients: Option<i64>,
    /// As many there could be: max_connections less what is kept for superusers and others.
    pub connections_limit: Option<i64>,
    /// Blocks of all databases that were found in shared_buffers.
    pub blocks_hit: Option<i64>,
    /// Blocks that were asked of the operating system.
    pub blocks_read: Option<i64>,
    /// Checkpoints that checkpoint_timeout brought.
    pub checkpoints_timed: Option<i64>,
    /// Checkpoints that somebody asked for, or that max_wal_size forced.
    pub checkpoints_requested: Option<i64>,
    /// How far behind replay was, the most: that of a standby itself, or that of the farthest standby of a primary.
    pub replay_lag_seconds: Option<f64>,
    /// The same in bytes of WAL.
    pub replay_lag_bytes: Option<f64>,
}

impl ServerCounts {
    /// Together with those of the time that follows: the highest of what is at a moment, the sum of what happens.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            clients: self.clients.max(later.clients),
            connections_limit: later.connections_limit.or(self.connections_limit),
            blocks_hit: sum(self.blocks_hit, later.blocks_hit),
            blocks_read: sum(self.blocks_read, later.blocks_read),
            checkpoints_timed: sum(self.checkpoints_timed, later.checkpoints_timed),
            checkpoints_requested: sum(self.checkpoints_requested, later.checkpoints_requested),
            replay_lag_seconds: highest(self.replay_lag_seconds, later.replay_lag_seconds),
            replay_lag_bytes: highest(self.replay_lag_bytes, later.replay_lag_bytes),
        }
    }
}

/// What is known of both; none where neither is known.
fn sum(one: Option<i64>, later: Option<i64>) -> Option<i64> {
    let both = one.zip(later).map(|(one, later)| one.saturating_add(later));
    both.or(one).or(later)
}

/// The higher of those that are known.
pub fn highest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    let both = one.zip(other).map(|(one, other)| one.max(other));
    both.or(one).or(other)
}

/// What was seen of a server over the time before a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerPoint {
    /// When that time ends, by the advisor's clock.
    pub at: DateTime<Utc>,
    /// How long it is: since the look before; 0 where there was none, or one too long ago.
    pub length_seconds: f64,
    /// For how long its checkpoints stand, which are read more seldom; none where they are not known.
    pub checkpoints_seconds: Option<f64>,
    /// The numbers.
    pub counts: ServerCounts,
}

impl ServerPoint {
    /// Together with what was seen in the time that follows.
    #[must_use]
    pub fn then(self, later: &Self) -> Self {
        let both = self.checkpoints_seconds.zip(later.checkpoints_seconds);
        Self {
            at: later.at,
            length_seconds: self.length_seconds + later.length_seconds,
            checkpoints_seconds: both
                .map(|(one, later)| one + later)
                .or(self.checkpoints_seconds)
                .or(later.checkpoints_seconds),
            counts: self.counts.then(later.counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_one_time_is_known_by_the_other_and_never_zero() {
        let one = ServerCounts {
            clients: Some(90),
            connections_limit: Some(97),
            checkpoints_timed: Some(1),
            replay_lag_seconds: Some(3.0),
            ..ServerCounts::default()
        };
        let later = ServerCounts {
            clients: Some(7),
            connections_limit: Some(197),
            checkpoints_timed: Some(2),
            replay_lag_bytes: Some(8192.0),
            ..ServerCounts::default()
        };
        let both = one.then(later);
        assert_eq!((both.clients, both.connections_limit), (Some(90), Some(197)));
        assert_eq!(
            (both.checkpoints_timed, both.checkpoints_requested),
            (Some(3), None)
        );
        assert_eq!(
            (both.replay_lag_seconds, both.replay_lag_bytes),
            (Some(3.0), Some(8192.0))
        );
        assert_eq!(both.blocks_hit, None);
        assert_eq!(ServerCounts::default().then(one), one);
    }
}
