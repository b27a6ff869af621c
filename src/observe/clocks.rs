//! What two looks at a server must agree on to be compared, and why they do not.

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::snapshot::Snapshot;

/// What must agree for two looks to be comparable at all.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    pub(super) at: DateTime<Utc>,
    taken_at: DateTime<Utc>,
    pub(super) system_identifier: Option<String>,
    pub(super) is_standby: bool,
    timeline: Option<i64>,
    started_at: DateTime<Utc>,
    /// A server keeps it when it is stopped and started, and no other server has the same.
    statistics_reset_at: Option<DateTime<Utc>>,
}

/// Why what is counted now does not go on from the look before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// A clock jumped, or another cluster answers: times that were remembered mean nothing.
    Clock,
    /// What was a standby is the primary now: the sessions of the primary were somebody else's until now.
    Promotion,
    /// Another server of the same cluster answers, as after a failover behind one address.
    Failover,
    /// A primary became a standby, or a standby was started again; its counters are its own.
    Restart,
}

/// Clocks may drift apart by this much between two looks before one of them is said to have jumped.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(10);

impl Clocks {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let server = &snapshot.server;
        Self {
            at: snapshot.at,
            taken_at: snapshot.taken_at,
            system_identifier: server.system_identifier.clone(),
            is_standby: server.is_standby,
            timeline: server.timeline,
            started_at: server.started_at,
            statistics_reset_at: server.shared_statistics_reset_at,
        }
    }

    /// What ended every window since this look; none where the same server went on, with clocks that went on evenly.
    pub(super) fn broken_by(&self, now: &Self) -> Option<Break> {
        if self.system_identifier != now.system_identifier || !self.is_even_with(now) {
            return Some(Break::Clock);
        }
        match (self.is_standby, now.is_standby) {
            (true, false) => Some(Break::Promotion),
            _ if self.is_of_another_server(now) => Some(Break::Failover),
            (false, true) => Some(Break::Restart),
            (true, true) if self.started_at != now.started_at => Some(Break::Restart),
            _ => None,
        }
    }

    fn is_even_with(&self, now: &Self) -> bool {
        let servers = now.at - self.at;
        let ours = now.taken_at - self.taken_at;
        let tolerance = CLOCK_TOLERANCE.max(ours / 10);
        servers > TimeDelta::zero() && ours > TimeDelta::zero() && (servers - ours).abs() <= tolerance
    }

    /// It writes another history, or its statistics began at another time, and yet not since this look, as they would
    /// have after a crash or a reset.
    fn is_of_another_server(&self, now: &Self) -> bool {
        let other_timeline = self.timeline.zip(now.timeline).is_some_and(|(a, b)| a != b);
        let resets = self.statistics_reset_at.zip(now.statistics_reset_at);
        let other_past =
            resets.is_some_and(|(before, after)| before != after && after < self.at - CLOCK_TOLERANCE);
        other_timeline || other_past
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn clocks(at: i64, taken_at: i64) -> Clocks {
        Clocks {
            at: time(at),
            taken_at: time(taken_at),
            system_identifier: Some("1".into()),
            is_standby: false,
            timeline: Some(1),
            started_at: time(-9000),
            statistics_reset_at: Some(time(-9000)),
        }
    }

    /// A standby, which knows no timeline.
    fn standby(at: i64, started_at: i64) -> Clocks {
        Clocks {
            is_standby: true,
            timeline: None,
            started_at: time(started_at),
            ..clocks(at, at)
        }
    }

    #[test]
    fn only_even_clocks_are_comparable() {
        let after = |at, taken_at| clocks(0, 0).broken_by(&clocks(at, taken_at));
        assert_eq!(after(60, 61), None);
        assert_eq!(after(0, 60), Some(Break::Clock), "the server's clock stood still");
        assert_eq!(after(3660, 60), Some(Break::Clock), "the server's jumped forward");
        assert_eq!(after(60, 3660), Some(Break::Clock), "our clock jumped forward");
        assert_eq!(after(60, -3), Some(Break::Clock), "our clock jumped back");
        let other = Clocks {
            system_identifier: Some("2".into()),
            ..clocks(60, 60)
        };
        assert_eq!(
            clocks(0, 0).broken_by(&other),
            Some(Break::Clock),
            "another cluster"
        );
    }

    #[test]
    fn a_failover_behind_one_address_is_seen() {
        let after = |timeline, started_at, reset_at| {
            let now = Clocks {
                timeline,
                started_at: time(started_at),
                statistics_reset_at: Some(time(reset_at)),
                ..clocks(60, 60)
            };
            clocks(0, 0).broken_by(&now)
        };
        assert_eq!(after(Some(2), -7000, -7000), Some(Break::Failover));
        assert_eq!(
            after(Some(2), -7000, -9000),
            Some(Break::Failover),
            "by its timeline"
        );
        assert_eq!(
            after(None, -7000, -7000),
            Some(Break::Failover),
            "where none is told"
        );
        assert_eq!(after(Some(1), 20, -9000), None, "a restart of a primary");
        assert_eq!(after(None, 20, -9000), None, "what is not known is no sign");
        assert_eq!(after(Some(1), 20, 20), None, "a crash, which resets statistics");
        assert_eq!(after(Some(1), -9000, 20), None, "a reset");
    }

    #[test]
    fn roles_that_change_and_standbys_that_start_again_end_windows() {
        let before = standby(0, -9000);
        assert_eq!(before.broken_by(&standby(60, -9000)), None);
        assert_eq!(before.broken_by(&standby(60, 20)), Some(Break::Restart));
        assert_eq!(before.broken_by(&clocks(60, 60)), Some(Break::Promotion));
        let demoted = clocks(0, 0).broken_by(&standby(60, 20));
        assert_eq!(demoted, Some(Break::Restart));
        let another = Clocks {
            statistics_reset_at: Some(time(-7000)),
            ..standby(60, -7000)
        };
        assert_eq!(
            before.broken_by(&another),
            Some(Break::Failover),
            "another standby"
        );
    }
}
