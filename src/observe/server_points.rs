//! What a look tells of a server as a whole: sessions and lag as they are, checkpoints and blocks since the look before.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::limits;
use crate::model::activity::ActivityNow;
use crate::model::replication::{Replay, Replication, Standby};
use crate::model::server_point::{ServerCounts, ServerPoint, highest};
use crate::model::snapshot::{Checkpoints, DatabaseFacts, Snapshot};

/// What the look before counted.
#[derive(Default)]
pub struct ServerPoints {
    taken_at: Option<DateTime<Utc>>,
    checkpoints: Option<Checkpoints>,
    databases: Vec<DatabaseFacts>,
}

impl ServerPoints {
    /// Takes in a look, with what goes on where that could be read.
    pub fn observe(&mut self, snapshot: &Snapshot, activity: Option<&ActivityNow>) -> ServerPoint {
        let now = snapshot.taken_at;
        let server = &snapshot.server;
        let length_seconds = self.taken_at.map_or(0.0, |before| length_seconds(before, now));
        // of a time that is not told nothing is
        let is_told = length_seconds > 0.0;
        let since = self.checkpoints.as_ref().zip(server.checkpoints.as_ref());
        let checkpoints = since
            .filter(|_| is_told)
            .and_then(|(before, now)| checkpoints_between(before, now));
        let blocks = blocks_between(&self.databases, &server.databases).filter(|_| is_told);
        let lag = snapshot.replication.as_ref().map(lag).unwrap_or_default();
        // who sees sessions of his own alone does not know how many there are
        let clients = activity.filter(|activity| activity.why_blind.is_none());
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let point = ServerPoint {
            at: now,
            length_seconds,
            checkpoints_seconds: checkpoints.map(|since| since.seconds),
            counts: ServerCounts {
                clients: clients.map(|activity| number(activity.clients)),
                connections_limit: activity.and_then(|activity| activity.connections_limit.map(number)),
                blocks_hit: blocks.map(|(hit, _)| hit),
                blocks_read: blocks.map(|(_, read)| read),
                checkpoints_timed: checkpoints.map(|since| since.timed),
                checkpoints_requested: checkpoints.map(|since| since.requested),
                replay_lag_seconds: lag.0,
                replay_lag_bytes: lag.1,
            },
        };
        self.taken_at = Some(now);
        self.checkpoints.clone_from(&server.checkpoints);
        self.databases.clone_from(&server.databases);
        point
    }
}

/// Since the look before; 0 where that is too long ago, or a clock jumped.
fn length_seconds(before: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    let seconds = (now - before).num_milliseconds() as f64 / 1000.0;
    match (0.0..=limits::MINUTE_AT_MOST.as_secs_f64()).contains(&seconds) {
        true => seconds,
        false => 0.0,
    }
}

/// How much a counter grew; none where it was reset.
fn grown(before: i64, now: i64) -> Option<i64> {
    now.checked_sub(before).filter(|grown| *grown >= 0)
}

/// Checkpoints between two times at which they were read.
#[derive(Clone, Copy)]
struct Since {
    seconds: f64,
    timed: i64,
    requested: i64,
}

/// None where they were not read again, or were reset in between.
fn checkpoints_between(before: &Checkpoints, now: &Checkpoints) -> Option<Since> {
    let seconds = (now.at - before.at).num_milliseconds() as f64 / 1000.0;
    if seconds <= 0.0 || before.since != now.since {
        return None;
    }
    Some(Since {
        seconds,
        timed: grown(before.timed, now.timed)?,
        requested: grown(before.requested, now.requested)?,
    })
}

/// Blocks that were found and that were read, of all databases whose counters can be compared; none where there is none.
fn blocks_between(before: &[DatabaseFacts], now: &[DatabaseFacts]) -> Option<(i64, i64)> {
    let before: HashMap<u32, &DatabaseFacts> = before.iter().map(|one| (one.oid, one)).collect();
    let of_one = |now: &DatabaseFacts| {
        let before = before.get(&now.oid)?;
        if before.statistics_reset_at != now.statistics_reset_at {
            return None;
        }
        Some((
            grown(before.blocks_hit, now.blocks_hit)?,
            grown(before.blocks_read, now.blocks_read)?,
        ))
    };
    let add = |(hit, read): (i64, i64), (more_hit, more_read): (i64, i64)| {
        (hit.saturating_add(more_hit), read.saturating_add(more_read))
    };
    now.iter().filter_map(of_one).reduce(add)
}

/// How far behind replay is, in seconds and in bytes: that of the standby itself, or that of the farthest standby.
fn lag(replication: &Replication) -> (Option<f64>, Option<f64>) {
    let known = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
    let (seconds, bytes) = match &replication.replay {
        Some(replay) => of_itself(replay),
        None => replication
            .standbys
            .iter()
            .map(of_standby)
            .fold((None, None), |most, one| {
                (highest(most.0, known(one.0)), highest(most.1, known(one.1)))
            }),
    };
    (known(seconds), known(bytes))
}

/// What a standby knows of itself. What it is late on purpose is left out; of that the bytes say nothing.
fn of_itself(replay: &Replay) -> (Option<f64>, Option<f64>) {
    let seconds = match (replay.is_streaming, replay.unreplayed_bytes) {
        (true, None) => None,
        // nothing is behind, however long ago the last commit was
        (true, Some(bytes)) if bytes <= 0.0 => Some(0.0),
        _ => replay
            .since_last_commit_seconds
            .map(|seconds| (seconds - replay.delay_seconds).max(0.0)),
    };
    let bytes = replay.unreplayed_bytes.filter(|_| replay.delay_seconds <= 0.0);
    (seconds, bytes)
}

/// What the primary knows of a standby: where all is replayed it tells no time.
fn of_standby(standby: &Standby) -> (Option<f64>, Option<f64>) {
    let bytes = standby.replay_lag_bytes;
    let nothing = bytes.filter(|bytes| *bytes <= 0.0).map(|_| 0.0);
    (standby.replay_lag_seconds.or(nothing), bytes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::empty;
    use super::*;
    use chrono::TimeDelta;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn checkpoints(minute: i64, timed: i64, requested: i64) -> Checkpoints {
        Checkpoints {
            timed,
            requested,
            blocks_written: 0,
            since: Some(at(0)),
            at: at(minute),
        }
    }

    fn database(blocks_hit: i64, blocks_read: i64) -> DatabaseFacts {
        DatabaseFacts {
            oid: 5,
            blocks_hit,
            blocks_read,
            ..DatabaseFacts::default()
        }
    }

    #[test]
    fn a_counter_that_was_reset_or_not_read_again_tells_nothing() {
        let between = |before: &Checkpoints, now: &Checkpoints| {
            checkpoints_between(before, now).map(|since| (since.seconds, since.timed, since.requested))
        };
        let before = checkpoints(10, 4, 1);
        assert_eq!(between(&before, &checkpoints(20, 6, 1)), Some((600.0, 2, 0)));
        assert_eq!(between(&before, &before), None, "not read again");
        assert_eq!(
            between(&before, &checkpoints(20, 6, 0)),
            None,
            "fewer than before"
        );
        let mut reset = checkpoints(20, 9, 9);
        reset.since = Some(at(15));
        assert_eq!(between(&before, &reset), None);
        assert_eq!(
            blocks_between(&[database(10, 1)], &[database(40, 3)]),
            Some((30, 2))
        );
        assert_eq!(blocks_between(&[database(10, 1)], &[database(9, 3)]), None);
        assert_eq!(blocks_between(&[], &[database(9, 3)]), None, "the first look");
        assert_eq!(grown(i64::MIN, i64::MAX), None, "no server counts so much");
    }

    #[test]
    fn the_farthest_standby_counts_and_what_no_standby_tells_is_not_zero() {
        let standby = |seconds: Option<f64>, bytes: Option<f64>| Standby {
            replay_lag_seconds: seconds,
            replay_lag_bytes: bytes,
            ..Standby::default()
        };
        let of = |standbys: Vec<Standby>| {
            lag(&Replication {
                standbys,
                ..Replication::default()
            })
        };
        assert_eq!(of(Vec::new()), (None, None));
        assert_eq!(of(vec![standby(None, None)]), (None, None));
        assert_eq!(
            of(vec![standby(None, Some(0.0))]),
            (Some(0.0), Some(0.0)),
            "all is replayed"
        );
        let two = vec![standby(Some(2.0), Some(4096.0)), standby(Some(9.0), Some(16.0))];
        assert_eq!(of(two), (Some(9.0), Some(4096.0)));
    }

    #[test]
    fn a_standby_that_replayed_all_is_not_behind_on_an_idle_primary() {
        let of = |unreplayed_bytes, is_streaming, delay_seconds| {
            of_itself(&Replay {
                is_streaming,
                unreplayed_bytes,
                since_last_commit_seconds: Some(900.0),
                delay_seconds,
                ..Replay::default()
            })
        };
        assert_eq!(of(Some(0.0), true, 0.0), (Some(0.0), Some(0.0)));
        assert_eq!(of(Some(512.0), true, 0.0), (Some(900.0), Some(512.0)));
        assert_eq!(
            of(Some(512.0), true, 600.0),
            (Some(300.0), None),
            "late on purpose"
        );
        assert_eq!(of(None, true, 0.0), (None, None));
        assert_eq!(
            of(Some(0.0), false, 0.0),
            (Some(900.0), Some(0.0)),
            "it is cut off"
        );
    }

    #[test]
    fn a_first_look_has_no_length_and_a_blind_one_counts_no_clients() {
        let mut points = ServerPoints::default();
        let look = |minute: i64| empty(at(minute));
        let seen = ActivityNow {
            clients: 12,
            connections_limit: Some(97),
            ..ActivityNow::default()
        };
        let first = points.observe(&look(0), Some(&seen));
        assert_eq!((first.length_seconds, first.counts.clients), (0.0, Some(12)));
        assert_eq!(points.observe(&look(1), None).counts, ServerCounts::default());
        let blind = ActivityNow {
            why_blind: Some("its own only".into()),
            ..seen
        };
        let blinded = points.observe(&look(2), Some(&blind));
        assert_eq!(blinded.length_seconds, 60.0);
        assert_eq!(
            (blinded.counts.clients, blinded.counts.connections_limit),
            (None, Some(97))
        );
        assert_eq!(
            points.observe(&look(600), None).length_seconds,
            0.0,
            "nobody looked for hours"
        );
    }

    #[test]
    fn what_was_counted_over_a_time_that_nobody_looked_at_is_not_told() {
        let mut points = ServerPoints::default();
        let mut look = |minute: i64, blocks_hit: i64, timed: i64| {
            let mut snapshot = empty(at(minute));
            snapshot.server.databases = vec![database(blocks_hit, 0)];
            snapshot.server.checkpoints = Some(checkpoints(minute, timed, 0));
            let counts = points.observe(&snapshot, None).counts;
            (counts.blocks_hit, counts.checkpoints_timed)
        };
        assert_eq!(look(0, 10, 1), (None, None), "the first look");
        assert_eq!(look(1, 30, 2), (Some(20), Some(1)));
        assert_eq!(look(600, 90, 9), (None, None), "hours later");
        assert_eq!(look(601, 95, 9), (Some(5), Some(0)));
    }
}
