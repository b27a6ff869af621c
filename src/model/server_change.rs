//! What happened to a server as a whole and changes what its numbers mean: restarts, failovers, resets of statistics.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::snapshot::Snapshot;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerChangeKind {
    /// Its postmaster was started.
    Restarted,
    /// A standby became the primary, be it this one or another that is reached under its name since.
    Promoted,
    /// It became a standby, or a standby is reached under its name since.
    Demoted,
    /// Another server, of another cluster or of the same, is reached under its name since.
    Replaced,
    /// pg_stat_statements was reset.
    StatementsReset,
    /// Statistics were reset: of one database, or those that all share.
    StatisticsReset,
}

impl ServerChangeKind {
    /// In a few words, for people.
    pub fn told(self) -> &'static str {
        match self {
            Self::Restarted => "the server was started",
            Self::Promoted => "a standby became the primary",
            Self::Demoted => "the server became a standby",
            Self::Replaced => "another server answers under this name",
            Self::StatementsReset => "pg_stat_statements was reset",
            Self::StatisticsReset => "statistics were reset, by somebody or after a crash",
        }
    }
}

/// Something that happened to a server as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerChange {
    /// When: as the server tells it, or the look that saw it first.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: ServerChangeKind,
    /// The database whose statistics were reset; null where it concerns the whole server.
    #[serde(default)]
    pub database: Option<String>,
}

/// What of a look tells such changes, when it is compared with the look before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Landmarks {
    system_identifier: Option<String>,
    timeline: Option<i64>,
    started_at: Option<DateTime<Utc>>,
    is_standby: Option<bool>,
    statements_reset_at: Option<DateTime<Utc>>,
    shared_statistics_reset_at: Option<DateTime<Utc>>,
    /// By database; null of one that was never reset.
    database_resets: BTreeMap<String, Option<DateTime<Utc>>>,
}

impl Landmarks {
    /// Those of a look.
    pub fn of(snapshot: &Snapshot) -> Self {
        let server = &snapshot.server;
        let databases = server.databases.iter();
        let watched = databases.filter(|database| snapshot.watched.contains(&database.name));
        Self {
            system_identifier: server.system_identifier.clone(),
            timeline: server.timeline,
            started_at: Some(server.started_at),
            is_standby: Some(server.is_standby),
            statements_reset_at: snapshot.statements.as_ref().and_then(|read| read.reset_at),
            shared_statistics_reset_at: server.shared_statistics_reset_at,
            database_resets: watched
                .map(|database| (database.name.clone(), database.statistics_reset_at))
                .collect(),
        }
    }

    /// Which server answers, and since when: what happened to that since an earlier look.
    fn identity_since(&self, before: &Self, now: DateTime<Utc>) -> Option<(ServerChangeKind, DateTime<Utc>)> {
        use ServerChangeKind::{Demoted, Promoted, Replaced, Restarted};
        let systems = before
            .system_identifier
            .as_ref()
            .zip(self.system_identifier.as_ref());
        if systems.is_some_and(|(before, now)| before != now) {
            return Some((Replaced, now));
        }
        match (before.is_standby, self.is_standby) {
            (Some(true), Some(false)) => return Some((Promoted, now)),
            (Some(false), Some(true)) => return Some((Demoted, now)),
            _ => {}
        }
        let timelines = before.timeline.zip(self.timeline);
        if timelines.is_some_and(|(before, now)| before != now) {
            return Some((Promoted, now));
        }
        let (before, started_at) = before.started_at.zip(self.started_at)?;
        match started_at.cmp(&before) {
            std::cmp::Ordering::Greater => Some((Restarted, started_at)),
            // one that runs for longer is another one
            std::cmp::Ordering::Less => Some((Replaced, now)),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// What happened since an earlier look.
    fn since(&self, before: &Self, now: DateTime<Utc>) -> Vec<ServerChange> {
        let change = |kind, at, database: Option<&String>| ServerChange {
            at,
            kind,
            database: database.cloned(),
        };
        let identity = self.identity_since(before, now);
        let mut changes: Vec<ServerChange> = identity
            .into_iter()
            .map(|(kind, at)| change(kind, at, None))
            .collect();
        // another server has resets of its own
        if changes
            .iter()
            .any(|change| change.kind != ServerChangeKind::Restarted)
        {
            return changes;
        }
        let moved = |before: Option<DateTime<Utc>>, now: Option<DateTime<Utc>>| {
            before
                .zip(now)
                .filter(|(before, now)| before != now)
                .map(|(_, now)| now)
        };
        let statements = moved(before.statements_reset_at, self.statements_reset_at);
        changes.extend(statements.map(|at| change(ServerChangeKind::StatementsReset, at, None)));
        let shared = moved(before.shared_statistics_reset_at, self.shared_statistics_reset_at);
        changes.extend(shared.map(|at| change(ServerChangeKind::StatisticsReset, at, None)));
        for (database, reset_at) in &self.database_resets {
            let known = before.database_resets.get(database);
            let reset_at = reset_at.filter(|at| known.is_some_and(|known| *known != Some(*at)));
            changes.extend(reset_at.map(|at| change(ServerChangeKind::StatisticsReset, at, Some(database))));
        }
        changes
    }

    /// What could not be read stays as it was known.
    fn after(self, before: Self) -> Self {
        Self {
            system_identifier: self.system_identifier.or(before.system_identifier),
            // a standby tells none: a promotion shows in that
            timeline: self.timeline.or(before.timeline),
            started_at: self.started_at.or(before.started_at),
            is_standby: self.is_standby.or(before.is_standby),
            statements_reset_at: self.statements_reset_at.or(before.statements_reset_at),
            shared_statistics_reset_at: self
                .shared_statistics_reset_at
                .or(before.shared_statistics_reset_at),
            database_resets: self.database_resets,
        }
    }
}

/// The changes of a server that are remembered, and what the last look saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerChanges {
    seen: Option<Landmarks>,
    /// In the order in which they were seen.
    pub changes: Vec<ServerChange>,
    /// Since when only a standby was seen, while one is.
    #[serde(default)]
    standby_since: Option<DateTime<Utc>>,
    /// Since when it is the primary, where it was a standby before for longer than a failover takes.
    #[serde(default)]
    pub primary_since: Option<DateTime<Utc>>,
}

/// For so long a name may lead to a standby during a failover: what was seen before was the primary all the same.
const FAILOVER: TimeDelta = TimeDelta::hours(1);

impl ServerChanges {
    /// Adds what a look tells, and keeps so many, the newest.
    pub fn see(&mut self, now: DateTime<Utc>, seen: Landmarks, most: usize) {
        match seen.is_standby {
            Some(true) => _ = self.standby_since.get_or_insert(now),
            Some(false) => {
                let was_standby = self.standby_since.take();
                if was_standby.is_some_and(|since| now - since > FAILOVER) {
                    self.primary_since = Some(now);
                }
            }
            None => {}
        }
        let seen = match self.seen.take() {
            None => seen,
            Some(before) => {
                self.changes.extend(seen.since(&before, now));
                seen.after(before)
            }
        };
        self.seen = Some(seen);
        let surplus = self.changes.len().saturating_sub(most);
        self.changes.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn seen() -> Landmarks {
        Landmarks {
            system_identifier: Some("7".to_owned()),
            timeline: Some(1),
            started_at: Some(at(1)),
            is_standby: Some(false),
            statements_reset_at: Some(at(2)),
            shared_statistics_reset_at: Some(at(2)),
            database_resets: [("shop".to_owned(), None)].into(),
        }
    }

    /// What a look at minute 100 tells after [`seen`].
    fn told(change: impl FnOnce(&mut Landmarks)) -> Vec<(ServerChangeKind, i64, Option<String>)> {
        let mut changes = ServerChanges::default();
        changes.see(at(50), seen(), 10);
        assert!(changes.changes.is_empty(), "the first look is no change");
        let mut now = seen();
        change(&mut now);
        changes.see(at(100), now, 10);
        let told = changes.changes.into_iter();
        told.map(|change| {
            let minute = (change.at - DateTime::UNIX_EPOCH).num_minutes();
            (change.kind, minute, change.database)
        })
        .collect()
    }

    #[test]
    fn restarts_failovers_and_resets_are_told_apart() {
        use ServerChangeKind::*;
        assert!(told(|_| ()).is_empty());
        assert_eq!(told(|now| now.started_at = Some(at(90))), [(Restarted, 90, None)]);
        assert_eq!(
            told(|now| now.started_at = Some(at(0))),
            [(Replaced, 100, None)],
            "it runs for longer"
        );
        let failover = |now: &mut Landmarks| {
            (now.timeline, now.started_at) = (Some(2), Some(at(0)));
            now.statements_reset_at = Some(at(0));
        };
        assert_eq!(told(failover), [(Promoted, 100, None)], "not its resets, too");
        assert_eq!(told(|now| now.is_standby = Some(true)), [(Demoted, 100, None)]);
        let other = |now: &mut Landmarks| now.system_identifier = Some("8".to_owned());
        assert_eq!(told(other), [(Replaced, 100, None)]);
        assert_eq!(
            told(|now| now.statements_reset_at = Some(at(95))),
            [(StatementsReset, 95, None)]
        );
        let crash = |now: &mut Landmarks| {
            (now.started_at, now.shared_statistics_reset_at) = (Some(at(90)), Some(at(91)));
        };
        assert_eq!(told(crash), [(Restarted, 90, None), (StatisticsReset, 91, None)]);
        let database = |now: &mut Landmarks| now.database_resets = [("shop".to_owned(), Some(at(97)))].into();
        assert_eq!(
            told(database),
            [(StatisticsReset, 97, Some("shop".to_owned()))],
            "the first one"
        );
        let new = |now: &mut Landmarks| now.database_resets = [("new".to_owned(), Some(at(97)))].into();
        assert!(told(new).is_empty(), "watched only now");
    }

    #[test]
    fn what_could_not_be_read_for_a_while_is_no_change_and_only_the_newest_are_kept() {
        let mut changes = ServerChanges::default();
        changes.see(at(50), seen(), 2);
        let unread = Landmarks {
            system_identifier: None,
            timeline: None,
            statements_reset_at: None,
            shared_statistics_reset_at: None,
            ..seen()
        };
        changes.see(at(51), unread, 2);
        changes.see(at(52), seen(), 2);
        assert!(changes.changes.is_empty());
        for minute in 60..70 {
            let restarted = Landmarks {
                started_at: Some(at(minute)),
                ..seen()
            };
            changes.see(at(minute + 1), restarted, 2);
        }
        let kept: Vec<DateTime<Utc>> = changes.changes.iter().map(|change| change.at).collect();
        assert_eq!(kept, [at(68), at(69)]);
    }

    #[test]
    fn a_primary_that_was_a_standby_is_one_since_its_promotion() {
        let mut changes = ServerChanges::default();
        let mut see = |minute: i64, is_standby: Option<bool>| {
            let seen = Landmarks { is_standby, ..seen() };
            changes.see(at(minute), seen, 10);
            let since = changes.primary_since;
            since.map(|since| (since - at(0)).num_minutes())
        };
        assert_eq!(see(0, Some(false)), None, "it always was one");
        assert_eq!(see(10, Some(true)), None);
        assert_eq!(see(70, Some(false)), None, "a failover behind one name");
        assert_eq!(see(80, Some(true)), None);
        assert_eq!(see(110, None), None);
        assert_eq!(see(141, Some(false)), Some(141));
        assert_eq!(see(200, Some(false)), Some(141));
    }
}
