//! replication.lag

mod cut_off;

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement, quote_literal};
use crate::model::replication::{Replay, Standby};
use crate::model::unit::{Period, Size, bytes_for_people, seconds_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, matches, measured, number};

/// A standby or a subscriber stays behind its primary.
///
/// ## Why it is bad
/// Who reads there reads old data. If the primary fails, what had not arrived is lost, and what had not been replayed
/// delays the take-over. The primary meanwhile keeps WAL for it.
///
/// ## What to do
/// See where it gets stuck. Replay that is paused: `pg_wal_replay_resume()` on the standby. Slow to write: the network.
/// Slow to flush: the standby's disk. Slow to replay: a long query there that replay waits for
/// (`max_standby_streaming_delay`), or more writing on the primary than one process can replay; for a subscriber a table
/// without a usable replica identity, or a lock.
///
/// ## When it is wrong to obey
/// During a bulk load or a first copy it catches up by itself. A standby may be behind on purpose
/// (`recovery_min_apply_delay`): it knows that itself, and there it is taken off. Its primary does not know it: name such
/// standbys in `delayed_standbys`, and only what they have flushed is judged.
///
/// It has to last ten minutes. Seconds count only while bytes are missing, since on an idle primary the last transaction
/// grows old though nothing is behind. On a standby itself what it has received and not replayed is judged. One that
/// receives no WAL is compared with its primary where that is watched, too, and is a warning where it has no
/// restore_command either: then nothing comes at all. Where it restores from an archive, a segment of WAL may be missing
/// while all is well, and without its primary nothing can be told. Base backups are left out. Source: PostgreSQL's pages
/// "pg_stat_replication" and "Log-Shipping Standby Servers".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lag {
    /// Time behind from which it is a warning.
    warning_lag: Period,
    /// Time behind from which it is critical.
    critical_lag: Period,
    /// WAL behind from which it is a warning.
    warning_size: Size,
    /// WAL behind from which it is critical.
    critical_size: Size,
    /// Names of standbys that replay late on purpose, as "delayed_*"; of them only what they have flushed is judged.
    delayed_standbys: Vec<String>,
}

impl Default for Lag {
    fn default() -> Self {
        Self {
            warning_lag: Period::seconds(30),
            critical_lag: Period::seconds(300),
            warning_size: Size {
                bytes: 100 * 1_000_000,
            },
            critical_size: Size::gigabytes(1),
            delayed_standbys: Vec::new(),
        }
    }
}

/// How far behind something is, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Behind {
    bytes: Option<f64>,
    seconds: Option<f64>,
}

impl Behind {
    /// In words: bytes, seconds or both.
    fn told(self) -> String {
        let bytes = self.bytes.map(bytes_for_people);
        let seconds = self.seconds.map(seconds_for_people);
        let known: Vec<String> = bytes.into_iter().chain(seconds).collect();
        known.join(" and ")
    }
}

impl Rule for Lag {
    const ID: &'static str = "replication.lag";
    const SCOPE: Scope = Scope::Server;
    const HOLD: Period = Period::minutes(10);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let observation = place.observation;
        let replication = observation.replication.as_ref().map_err(Clone::clone)?;
        let server = &observation.server;
        if !replication.standbys.is_empty() && !server.sees_all_sessions {
            let to = server.login.clone();
            let role = "pg_read_all_stats";
            return Err(Unknown {
                reason: format!("the login {to} does not see how far standbys are"),
                remedy_sql: Some(Statement::GrantRole { role, to }.sql()),
            });
        }
        let mut found = Found::default();
        for (severity, behind, standby, count) in self.standbys(&replication.standbys, &mut found) {
            found.claim_worst_first(
                place,
                || vec![name(standby)],
                || of_standby(place, severity, behind, standby, count),
            );
        }
        match (&replication.replay, server.is_standby) {
            (Some(replay), _) => self.judge_itself(place, replay, &mut found),
            (None, true) => {
                found.undecided.push(vec![server.name.clone()]);
                found.untold = Some("how this standby replays could not be read".to_owned());
            }
            (None, false) => {}
        }
        Ok(found)
    }
}

impl Lag {
    fn severity(&self, behind: Behind) -> Option<Severity> {
        let is_at_least = |lag: Period, size: Size| {
            let by_bytes = behind.bytes.is_some_and(|bytes| bytes >= size.bytes as f64);
            by_bytes || behind.seconds.is_some_and(|seconds| seconds >= lag.as_seconds())
        };
        if is_at_least(self.critical_lag, self.critical_size) {
            Some(Severity::Critical)
        } else if is_at_least(self.warning_lag, self.warning_size) {
            Some(Severity::Warning)
        } else {
            None
        }
    }

    /// How far behind a standby is, if that is known.
    fn behind(&self, standby: &Standby) -> Option<Behind> {
        if self
            .delayed_standbys
            .iter()
            .any(|pattern| matches(pattern, &standby.name))
        {
            let seconds = standby.flush_lag_seconds;
            return Some(Behind { bytes: None, seconds });
        }
        // a receiver of WAL that replays nothing tells what it has written
        let seconds = standby
            .replay_lag_seconds
            .or(standby.flush_lag_seconds)
            .or(standby.write_lag_seconds);
        let bytes = standby.replay_lag_bytes;
        match bytes {
            // the lag that was measured last is shown for a while after all has been replayed
            Some(missing) => Some(Behind {
                bytes,
                seconds: seconds.filter(|_| missing > 0.0),
            }),
            None => seconds.map(|_| Behind { bytes, seconds }),
        }
    }

    /// Standbys that are behind, the worst first; of those of one name the worst, and how many there are.
    fn standbys<'a>(
        &self,
        all: &'a [Standby],
        found: &mut Found,
    ) -> Vec<(Severity, Behind, &'a Standby, usize)> {
        let mut late = Vec::new();
        for standby in all
            .iter()
            .filter(|standby| standby.state.as_deref() != Some("backup"))
        {
            match self.behind(standby) {
                Some(behind) => {
                    late.extend(self.severity(behind).map(|severity| (severity, behind, standby)))
                }
                None => {
                    found.undecided.push(vec![name(standby)]);
                    found.untold = Some("some consumers of WAL do not tell how far they are".to_owned());
                }
            }
        }
        late.sort_by(|(a_severity, a, a_standby), (b_severity, b, b_standby)| {
            let seconds = |behind: &Behind| behind.seconds.unwrap_or(0.0);
            let bytes = |behind: &Behind| behind.bytes.unwrap_or(0.0);
            let by_size = bytes(b)
                .total_cmp(&bytes(a))
                .then(seconds(b).total_cmp(&seconds(a)));
            let by_name =
                || (&a_standby.name, &a_standby.address).cmp(&(&b_standby.name, &b_standby.address));
            b_severity.cmp(a_severity).then(by_size).then_with(by_name)
        });
        let mut places = HashMap::new();
        let mut worst: Vec<(Severity, Behind, &Standby, usize)> = Vec::new();
        for (severity, behind, standby) in late {
            let place = *places.entry(&standby.name).or_insert(worst.len());
            match worst.get_mut(place) {
                Some((_, _, _, count)) => *count += 1,
                None => worst.push((severity, behind, standby, 1)),
            }
        }
        worst
    }

    /// What a standby knows of itself.
    fn judge_itself(&self, place: &Place<'_>, replay: &Replay, found: &mut Found) {
        if !replay.is_streaming {
            return self.judge_cut_off(place, replay, found);
        }
        let Some(missing) = replay.unreplayed_bytes else {
            found.undecided.push(vec![place.observation.server.name.clone()]);
            found.untold = Some("how much it has received and not replayed is not known".to_owned());
            return;
        };
        let is_late = replay.delay_seconds > 0.0;
        let since = replay.since_last_commit_seconds.filter(|_| missing > 0.0);
        let behind = Behind {
            // of what is late on purpose the bytes say nothing
            bytes: Some(missing).filter(|_| !is_late),
            seconds: since.map(|seconds| (seconds - replay.delay_seconds).max(0.0)),
        };
        if let Some(severity) = self.severity(behind) {
            found.claims.push(of_itself(place, severity, behind, replay));
        }
    }
}

/// The name of a standby; many give none of their own.
fn name(standby: &Standby) -> String {
    match standby.name.as_str() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

fn object(name: &str) -> Object {
    Object {
        kind: ObjectKind::Standby,
        schema: None,
        name: name.to_owned(),
        table: None,
    }
}

/// Where a standby gets stuck, as its three lags show.
fn stuck(standby: &Standby) -> &'static str {
    let half = standby.replay_lag_seconds.unwrap_or(f64::INFINITY) / 2.0;
    let is_most = |lag: Option<f64>| lag.is_some_and(|seconds| seconds >= half);
    if is_most(standby.write_lag_seconds) {
        "Most of the time passes before it has written: look at the network, and at what the standby's machine is doing."
    } else if is_most(standby.flush_lag_seconds) {
        "Most of the time passes before it has flushed: look at its disk."
    } else if standby.replay_lag_seconds.is_some() {
        "It has the WAL, and does not keep up replaying it: see whether replay is paused there \
         (pg_get_wal_replay_pause_state()), look for a long query that it waits for (max_standby_streaming_delay), for a lock, \
         and at its disk."
    } else {
        "Where it gets stuck is not told: look at its log, and at the WAL that the primary writes."
    }
}

/// Which of the standbys that are watched, too, replay nothing.
fn paused_ones(place: &Place<'_>) -> String {
    let paused = &place.observation.standbys_watched.paused;
    match paused.is_empty() {
        true => String::new(),
        false => format!(
            " The replay of {} is paused: if it is this one, its own finding there says why, and what lets it go on.",
            paused.join(", ")
        ),
    }
}

fn of_standby(
    place: &Place<'_>,
    severity: Severity,
    behind: Behind,
    standby: &Standby,
    count: usize,
) -> Claim {
    let name = name(standby);
    let others = match count {
        1 => String::new(),
        all => format!(" {all} standbys of this name are behind; this is the worst."),
    };
    Claim {
        title: format!("{name} is {} behind", behind.told()),
        explanation: format!(
            "What is committed here is seen there later: {}. {}{}{others}",
            behind.told(),
            stuck(standby),
            paused_ones(place)
        ),
        evidence: evidence([
            ("replay_lag_bytes", json!(standby.replay_lag_bytes)),
            ("replay_lag_seconds", json!(standby.replay_lag_seconds)),
            ("flush_lag_seconds", json!(standby.flush_lag_seconds)),
            ("write_lag_seconds", json!(standby.write_lag_seconds)),
            ("state", json!(standby.state)),
            ("sync_state", json!(standby.sync_state)),
            ("address", json!(standby.address)),
            ("role", json!(standby.role)),
            ("standbys", json!(count)),
        ]),
        evidence_sql: Some(format!(
            "SELECT client_addr, state, sync_state, sent_lsn, replay_lsn, write_lag, flush_lag, replay_lag\n  \
             FROM pg_stat_replication WHERE application_name = {}",
            quote_literal(&standby.name)
        )),
        impact: Impact {
            bytes: standby.replay_lag_bytes,
            ..Impact::default()
        },
        confidence: measured("read from pg_stat_replication"),
        remedy: Remedy {
            caveats: vec![
                "If it is behind on purpose (recovery_min_apply_delay), name it in delayed_standbys."
                    .to_owned(),
                "Meanwhile the primary keeps WAL for it, if it has a slot: see replication.slot_retention."
                    .to_owned(),
            ],
            ..Remedy::default()
        },
        guards: vec!["it is no base backup, and not named as one that is late on purpose".to_owned()],
        ..place.claim(Lag::ID, severity, vec![name.clone()], Some(object(&name)))
    }
}

/// Why it does not replay, and what is to be done here.
fn remedy_of_itself(replay: &Replay) -> (&'static str, Remedy) {
    let unarrived = "What has not even arrived here is known to its primary alone.".to_owned();
    if !replay.is_paused {
        let why =
            "Look for a long query that replay waits for (max_standby_streaming_delay), and at its disk.";
        let remedy = Remedy {
            caveats: vec![unarrived],
            ..Remedy::default()
        };
        return (why, remedy);
    }
    // where the target is reached, to resume replay makes the standby a primary
    if replay.has_recovery_target != Some(false) {
        return at_target(replay, unarrived);
    }
    let why = "Its replay is paused (pg_get_wal_replay_pause_state()): nothing more is replayed before it is resumed.";
    let look = "On this standby. Ask first who paused it: a backup or a look at old data may need that. And look at its \
                log: where its max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions or \
                max_locks_per_transaction is less than that of its primary, it has paused by itself, and shuts down \
                when it is resumed; raise that and restart it instead.";
    let remedy = Remedy {
        apply_sql: vec![Statement::ResumeReplay.sql()],
        undo_sql: vec![Statement::PauseReplay.sql()],
        caveats: vec![look.to_owned(), unarrived],
        ..Remedy::default()
    };
    (why, remedy)
}

/// What is said where replay is paused, and may be so because it has reached its target.
fn at_target(replay: &Replay, unarrived: String) -> (&'static str, Remedy) {
    let why = match replay.has_recovery_target {
        Some(_) => {
            "Its replay is paused (pg_get_wal_replay_pause_state()), and it has a recovery target, which may be reached."
        }
        None => {
            "Its replay is paused (pg_get_wal_replay_pause_state()); whether it has a recovery target, which may be reached, is \
             not known."
        }
    };
    let look = "On this standby look at recovery_target, recovery_target_lsn, recovery_target_name, recovery_target_time and \
                recovery_target_xid, and at its log. Where a target is reached, to resume replay ends recovery, and the standby \
                becomes a primary of its own. To let it follow its primary again take the target out of its configuration and \
                restart it; if it stands there on purpose, leave it.";
    let remedy = Remedy {
        caveats: vec![look.to_owned(), unarrived],
        ..Remedy::default()
    };
    (why, remedy)
}

fn of_itself(place: &Place<'_>, severity: Severity, behind: Behind, replay: &Replay) -> Claim {
    let name = place.observation.server.name.clone();
    let (why, remedy) = remedy_of_itself(replay);
    let paused = match replay.is_paused {
        true => ", whose replay is paused,",
        false => "",
    };
    Claim {
        title: format!(
            "The standby {name}{paused} is {} behind in replaying",
            behind.told()
        ),
        explanation: format!(
            "It has received WAL that it has not replayed: {}. Who reads here reads old data. {why}",
            behind.told()
        ),
        evidence: evidence([
            ("unreplayed_bytes", json!(replay.unreplayed_bytes)),
            ("behind_seconds", json!(behind.seconds)),
            (
                "since_last_commit_seconds",
                json!(replay.since_last_commit_seconds),
            ),
            ("delay_seconds", number(replay.delay_seconds)),
            ("is_streaming", json!(replay.is_streaming)),
            ("is_paused", json!(replay.is_paused)),
            ("has_recovery_target", json!(replay.has_recovery_target)),
        ]),
        evidence_sql: Some(
            "SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp(), \
             pg_get_wal_replay_pause_state()"
                .to_owned(),
        ),
        impact: Impact {
            bytes: replay.unreplayed_bytes,
            ..Impact::default()
        },
        confidence: measured("the standby's own positions in the WAL"),
        remedy,
        guards: vec!["a delay that is meant (recovery_min_apply_delay) is taken off".to_owned()],
        ..place.claim(Lag::ID, severity, vec![name.clone()], Some(object(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::observation::Observation;
    use crate::model::replication::Replication;
    use crate::rules::testing::{claims, found, observation, severities};

    fn standby(bytes: Option<f64>, seconds: Option<f64>) -> Standby {
        Standby {
            name: "s1".into(),
            state: Some("streaming".into()),
            replay_lag_bytes: bytes,
            replay_lag_seconds: seconds,
            ..Standby::default()
        }
    }

    pub(super) fn observed(standbys: Vec<Standby>, replay: Option<Replay>) -> Observation {
        let mut observed = observation(vec![], 0.0);
        observed.server.is_standby = replay.is_some();
        observed.replication = Ok(Replication {
            slots: vec![],
            standbys,
            replay,
            wal_position_bytes: Some(4e9),
        });
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |bytes, seconds| severities::<Lag>(&observed(vec![standby(bytes, seconds)], None));
        assert_eq!(severity(Some(99_999_999.0), Some(29.9)), []);
        assert_eq!(severity(Some(100_000_000.0), None), [Severity::Warning]);
        assert_eq!(severity(Some(1.0), Some(30.0)), [Severity::Warning]);
        assert_eq!(severity(Some(1_000_000_000.0), Some(1.0)), [Severity::Critical]);
        assert_eq!(severity(Some(1.0), Some(300.0)), [Severity::Critical]);
        assert_eq!(
            severity(Some(0.0), Some(300.0)),
            [],
            "all is replayed, and the primary idle"
        );
        assert_eq!(severity(Some(5.0), None), [], "no lag was measured yet");
    }

    #[test]
    fn a_backup_is_no_standby_and_a_receiver_tells_what_it_has_written() {
        let judged = |change: fn(&mut Standby)| {
            let mut standby = standby(None, None);
            change(&mut standby);
            let found = found::<Lag>(&observed(vec![standby], None)).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(|_| ()), (0, 1), "nothing is told");
        assert_eq!(judged(|standby| standby.state = Some("backup".into())), (0, 0));
        assert_eq!(judged(|standby| standby.flush_lag_seconds = Some(40.0)), (1, 0));
        assert_eq!(judged(|standby| standby.write_lag_seconds = Some(29.0)), (0, 0));
    }

    #[test]
    fn standbys_of_one_name_are_one_finding() {
        let other = Standby {
            name: String::new(),
            ..standby(Some(2e8), None)
        };
        let all = vec![
            other,
            standby(Some(2e8), None),
            standby(Some(3e9), None),
            standby(Some(5.0), None),
        ];
        let told: Vec<_> = claims::<Lag>(&observed(all, None))
            .unwrap()
            .into_iter()
            .map(|claim| {
                (
                    claim.subject[0].clone(),
                    claim.severity,
                    claim.evidence["standbys"].clone(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("s1".to_owned(), Severity::Critical, json!(2)),
                ("unnamed".to_owned(), Severity::Warning, json!(1))
            ]
        );
    }

    #[test]
    fn one_that_is_late_on_purpose_is_judged_by_what_it_has_flushed() {
        let rule = Lag {
            delayed_standbys: vec!["late_*".into()],
            ..Lag::default()
        };
        let late = |flush: f64| Standby {
            name: "late_1".into(),
            flush_lag_seconds: Some(flush),
            ..standby(Some(9e9), Some(3600.0))
        };
        let severity = |standby: &Standby| rule.behind(standby).and_then(|behind| rule.severity(behind));
        assert_eq!(severity(&late(1.0)), None);
        assert_eq!(severity(&late(30.0)), Some(Severity::Warning));
        assert_eq!(
            severity(&standby(Some(9e9), Some(3600.0))),
            Some(Severity::Critical)
        );
    }

    #[test]
    fn where_it_gets_stuck() {
        let lags = |write: f64, flush: f64, replay: Option<f64>| {
            let standby = Standby {
                write_lag_seconds: Some(write),
                flush_lag_seconds: Some(flush),
                ..standby(None, replay)
            };
            stuck(&standby)
        };
        assert!(lags(20.0, 21.0, Some(40.0)).contains("network"));
        assert!(lags(19.0, 21.0, Some(40.0)).contains("flushed: look at its disk"));
        assert!(lags(1.0, 2.0, Some(40.0)).contains("max_standby_streaming_delay"));
        assert!(lags(1.0, 2.0, None).contains("not told"));
    }

    #[test]
    fn a_standby_judges_its_own_replay() {
        let judged = |bytes: Option<f64>, since: f64, delay_seconds: f64, is_streaming: bool| {
            let replay = Replay {
                is_streaming,
                unreplayed_bytes: bytes,
                since_last_commit_seconds: Some(since),
                delay_seconds,
                ..Replay::default()
            };
            let found = found::<Lag>(&observed(vec![], Some(replay))).unwrap();
            (
                found.claims.first().map(|claim| claim.severity),
                found.undecided.len(),
            )
        };
        assert_eq!(judged(Some(1e8), 1.0, 0.0, true), (Some(Severity::Warning), 0));
        assert_eq!(
            judged(Some(10.0), 300.0, 0.0, true),
            (Some(Severity::Critical), 0)
        );
        assert_eq!(
            judged(Some(0.0), 9000.0, 0.0, true),
            (None, 0),
            "its primary is idle"
        );
        assert_eq!(
            judged(Some(9e9), 3629.0, 3600.0, true),
            (None, 0),
            "late on purpose"
        );
        assert_eq!(
            judged(Some(9e9), 3630.0, 3600.0, true),
            (Some(Severity::Warning), 0)
        );
        assert_eq!(judged(Some(0.0), 9000.0, 0.0, false), (None, 1), "it is cut off");
        assert_eq!(judged(None, 9000.0, 0.0, true), (None, 1));
        assert_eq!(judged(Some(2e9), 1.0, 0.0, false), (Some(Severity::Critical), 0));
    }

    #[test]
    fn replay_that_is_paused_is_told_here_and_on_the_primary() {
        let judged = |is_paused: bool| {
            let replay = Replay {
                is_streaming: true,
                is_paused,
                has_recovery_target: Some(false),
                unreplayed_bytes: Some(2e9),
                ..Replay::default()
            };
            claims::<Lag>(&observed(vec![], Some(replay))).unwrap().remove(0)
        };
        let paused = judged(true);
        assert!(
            paused.title.contains("whose replay is paused"),
            "{}",
            paused.title
        );
        assert_eq!(
            paused.remedy.apply_sql,
            ["SELECT pg_catalog.pg_wal_replay_resume()"]
        );
        assert_eq!(
            paused.remedy.undo_sql,
            ["SELECT pg_catalog.pg_wal_replay_pause()"]
        );
        let slow = judged(false);
        assert!(slow.remedy.apply_sql.is_empty() && !slow.title.contains("paused"));
        assert_eq!(paused.subject, slow.subject);
        let mut primary = observed(vec![standby(Some(2e9), None)], None);
        let told = |primary: &Observation| claims::<Lag>(primary).unwrap().remove(0).explanation;
        assert!(!told(&primary).contains("is paused: if"));
        primary.standbys_watched.paused = vec!["copy".into()];
        assert!(
            told(&primary).contains("The replay of copy is paused: if it is this one, its own finding")
                && !told(&primary).contains("resume"),
            "{}",
            told(&primary)
        );
    }

    #[test]
    fn what_may_have_reached_its_target_is_not_resumed() {
        for (has_recovery_target, words) in [(Some(true), "it has a recovery target"), (None, "is not known")]
        {
            let replay = Replay {
                is_streaming: true,
                is_paused: true,
                has_recovery_target,
                unreplayed_bytes: Some(2e9),
                ..Replay::default()
            };
            let claim = claims::<Lag>(&observed(vec![], Some(replay))).unwrap().remove(0);
            assert!(claim.remedy.apply_sql.is_empty() && claim.remedy.undo_sql.is_empty());
            assert!(claim.explanation.contains(words), "{}", claim.explanation);
            let caveats = claim.remedy.caveats.join(" ");
            assert!(
                caveats.contains("recovery_target_time") && caveats.contains("becomes a primary"),
                "{caveats}"
            );
        }
    }

    #[test]
    fn what_cannot_be_seen_is_unknown() {
        let mut hidden = observed(vec![standby(Some(9e9), None)], None);
        hidden.server.sees_all_sessions = false;
        assert!(claims::<Lag>(&hidden).unwrap_err().remedy_sql.is_some());
        let mut unread = observed(vec![], None);
        unread.server.is_standby = true;
        assert_eq!(found::<Lag>(&unread).unwrap().undecided.len(), 1);
        unread.replication = Err(Unknown::because("not read"));
        assert!(claims::<Lag>(&unread).is_err());
    }
}
