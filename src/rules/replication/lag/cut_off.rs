//! A standby that receives no WAL, and what it lacks.

use serde_json::json;

use super::{Behind, Lag, object};
use crate::model::finding::{Claim, Impact, Severity};
use crate::model::remedy::Remedy;
use crate::model::replication::Replay;
use crate::model::unit::{bytes_for_people, seconds_for_people};
use crate::rules::{Found, Place, Rule as _, evidence, measured, number};

impl Lag {
    /// A standby that receives no WAL: what its primary has written meanwhile is missing, where that is known. One without
    /// a restore_command gets nothing at all, however little is missing yet.
    pub(super) fn judge_cut_off(&self, place: &Place<'_>, replay: &Replay, found: &mut Found) {
        if replay.is_paused {
            // what was restored to some point in time stands there
            found.undecided.push(vec![place.observation.server.name.clone()]);
            found.untold = Some(
                "it receives no WAL, and its replay is paused or has reached its target: pg_wal_replay_resume() goes on, and at \
                 a target ends recovery, as pg_promote() does"
                    .to_owned(),
            );
            return;
        }
        let unarrived = CutOff::of(place, replay).unarrived_bytes;
        // what was restored from an archive can be ahead of what was received
        let unreplayed = replay.unreplayed_bytes.unwrap_or(0.0).max(0.0);
        let missing = unarrived.unwrap_or(0.0) + unreplayed;
        let is_late = replay.delay_seconds > 0.0;
        let since = replay.since_last_commit_seconds;
        let behind = Behind {
            bytes: Some(missing).filter(|bytes| !is_late && *bytes > 0.0),
            seconds: since.map(|seconds| (seconds - replay.delay_seconds).max(0.0)),
        };
        let known = if missing > 0.0 {
            self.severity(behind)
        } else {
            None
        };
        let is_old = match behind.seconds {
            Some(seconds) => seconds >= self.warning_lag.as_seconds(),
            None => !is_late,
        };
        let may_restore = replay.restores_from_archive != Some(false);
        let nothing_comes = !may_restore && is_old;
        match known.or(nothing_comes.then_some(Severity::Warning)) {
            Some(severity) => found.claims.push(of_cut_off(place, severity, behind, replay)),
            None if unarrived.is_none() && (may_restore || behind.seconds.is_none()) => {
                found.undecided.push(vec![place.observation.server.name.clone()]);
                found.untold = Some(
                    "it receives no WAL just now, and may restore it from an archive: how far behind it is, is known to its \
                     primary alone, which is not watched"
                        .to_owned(),
                );
            }
            None => {}
        }
    }
}

/// What a standby that receives no WAL lacks.
struct CutOff<'a> {
    /// Its primary, where that is watched and both are known to stand somewhere.
    primary: Option<&'a str>,
    /// WAL of its primary, at its last look, that has not arrived; what an archive need not hold yet is none.
    unarrived_bytes: Option<f64>,
}

impl<'a> CutOff<'a> {
    fn of(place: &Place<'a>, replay: &Replay) -> Self {
        let observation = place.observation;
        let own = observation.replication.as_ref().ok();
        let own = own.and_then(|replication| replication.wal_position_bytes);
        let primary = observation.primary.as_ref();
        let least = match replay.restores_from_archive {
            Some(false) => 0.0,
            _ => replay.segment_bytes.unwrap_or(SEGMENT_BYTES),
        };
        let unarrived = primary
            .and_then(|primary| primary.wal_position_bytes)
            .zip(own)
            .map(|(primary, own)| primary - own);
        Self {
            // without both positions nothing is said of it
            primary: unarrived.and(primary).map(|primary| primary.name.as_str()),
            unarrived_bytes: unarrived.map(|bytes| if bytes > least { bytes } else { 0.0 }),
        }
    }
}

/// wal_segment_size, where nobody has chosen another.
const SEGMENT_BYTES: f64 = 16.0 * 1_048_576.0;

fn of_cut_off(place: &Place<'_>, severity: Severity, behind: Behind, replay: &Replay) -> Claim {
    let name = place.observation.server.name.clone();
    let CutOff {
        primary,
        unarrived_bytes,
    } = CutOff::of(place, replay);
    let unarrived = unarrived_bytes.filter(|bytes| *bytes > 0.0);
    let lacks = match (primary, unarrived) {
        (Some(primary), Some(bytes)) => format!(
            "{} of WAL that {primary} has written have not arrived.",
            bytes_for_people(bytes)
        ),
        (Some(primary), None) => format!("Of {primary} nothing, or hardly anything, is missing yet."),
        (None, _) => {
            "How much is missing its primary knows, which is not watched or was not seen of late.".to_owned()
        }
    };
    let last = replay
        .since_last_commit_seconds
        .map(|seconds| {
            format!(
                " The commit that it replayed last is {} old.",
                seconds_for_people(seconds)
            )
        })
        .unwrap_or_default();
    let far = match behind.bytes {
        Some(bytes) => format!(" and is {} behind", bytes_for_people(bytes)),
        None => String::new(),
    };
    Claim {
        title: format!("The standby {name} receives no WAL{far}"),
        explanation: format!(
            "No process there receives WAL (pg_stat_wal_receiver is empty). {lacks}{last} Who reads here reads old data, \
             and a take-over would lose the rest. The log of the standby says why: the primary may not be reached or refuse \
             the log-in, a slot may be missing, or \"requested WAL segment … has already been removed\": then it must be \
             made anew, unless an archive still holds the segment."
        ),
        evidence: evidence([
            ("is_streaming", json!(replay.is_streaming)),
            ("restores_from_archive", json!(replay.restores_from_archive)),
            ("primary", json!(primary)),
            ("unarrived_bytes", json!(unarrived)),
            ("unreplayed_bytes", json!(replay.unreplayed_bytes)),
            (
                "since_last_commit_seconds",
                json!(replay.since_last_commit_seconds),
            ),
            ("delay_seconds", number(replay.delay_seconds)),
        ]),
        evidence_sql: Some(
            "SELECT (SELECT count(*) FROM pg_stat_wal_receiver) AS receivers, pg_last_wal_receive_lsn(), \
             pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp()"
                .to_owned(),
        ),
        impact: Impact {
            bytes: behind.bytes,
            ..Impact::default()
        },
        confidence: measured("the standby's own positions in the WAL, and that of its primary where it is watched"),
        remedy: Remedy {
            caveats: vec![
                "A slot on the primary keeps the WAL that a standby has not received; max_slot_wal_keep_size bounds it."
                    .to_owned(),
            ],
            ..Remedy::default()
        },
        guards: vec!["a segment that an archive need not hold yet is not counted".to_owned()],
        ..place.claim(Lag::ID, severity, vec![name.clone()], Some(object(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::observed;
    use super::*;

    use crate::model::replication::WatchedPrimary;
    use crate::rules::testing::found;

    /// Of a standby that receives nothing: the severity and how many are undecided.
    fn cut_off(
        restores_from_archive: Option<bool>,
        written_more: Option<f64>,
        since: Option<f64>,
        delay_seconds: f64,
    ) -> (Option<Severity>, usize) {
        let replay = Replay {
            unreplayed_bytes: Some(0.0),
            since_last_commit_seconds: since,
            delay_seconds,
            restores_from_archive,
            segment_bytes: Some(SEGMENT_BYTES),
            ..Replay::default()
        };
        let mut observed = observed(vec![], Some(replay));
        observed.primary = written_more.map(|bytes| WatchedPrimary {
            name: "main".into(),
            wal_position_bytes: Some(4e9 + bytes),
        });
        let found = found::<Lag>(&observed).unwrap();
        let severity = found.claims.first().map(|claim| claim.severity);
        (severity, found.undecided.len())
    }

    #[test]
    fn a_standby_that_receives_nothing_is_told_by_what_its_primary_has_written() {
        let streams = |written_more, since| cut_off(Some(false), written_more, Some(since), 0.0);
        assert_eq!(streams(Some(2e9), 5.0), (Some(Severity::Critical), 0));
        assert_eq!(streams(Some(1e8), 5.0), (Some(Severity::Warning), 0));
        assert_eq!(streams(Some(5.0), 300.0), (Some(Severity::Critical), 0));
        assert_eq!(
            streams(Some(0.0), 9000.0),
            (Some(Severity::Warning), 0),
            "the primary is idle, and yet nothing would come"
        );
        assert_eq!(streams(Some(-5.0), 29.0), (None, 0));
        assert_eq!(streams(None, 30.0), (Some(Severity::Warning), 0));
        assert_eq!(
            streams(None, 9000.0),
            (Some(Severity::Warning), 0),
            "how much is not known"
        );
        assert_eq!(
            cut_off(Some(false), None, None, 0.0),
            (Some(Severity::Warning), 0),
            "nothing was replayed since it was started"
        );
    }

    #[test]
    fn one_that_was_restored_to_a_point_in_time_stands_there() {
        let replay = Replay {
            is_paused: true,
            restores_from_archive: Some(true),
            ..Replay::default()
        };
        let mut observed = observed(vec![], Some(replay));
        observed.primary = Some(WatchedPrimary {
            name: "main".into(),
            wal_position_bytes: Some(9e11),
        });
        let found = found::<Lag>(&observed).unwrap();
        assert_eq!((found.claims.len(), found.undecided.len()), (0, 1));
    }

    #[test]
    fn one_that_restores_from_an_archive_may_lack_a_segment() {
        let restores = |written_more| cut_off(Some(true), written_more, Some(9000.0), 0.0);
        assert_eq!(restores(None), (None, 1), "its primary may be idle");
        assert_eq!(restores(Some(SEGMENT_BYTES)), (None, 0));
        assert_eq!(restores(Some(SEGMENT_BYTES + 1.0)), (Some(Severity::Critical), 0));
        assert_eq!(
            cut_off(None, None, Some(9000.0), 0.0),
            (None, 1),
            "not known whether it does"
        );
    }

    #[test]
    fn one_that_is_late_on_purpose_and_receives_nothing_is_late_by_the_rest() {
        let late = |since| cut_off(Some(false), Some(9e9), Some(since), 3600.0);
        assert_eq!(late(3629.0), (None, 0));
        assert_eq!(late(3630.0), (Some(Severity::Warning), 0));
        assert_eq!(cut_off(Some(false), None, None, 3600.0), (None, 1), "not known");
    }
}
