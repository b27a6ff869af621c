//! replication.slot_retention

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{Observation, Unknown};
use crate::model::remedy::{Remedy, Statement, quote_literal};
use crate::model::replication::ReplicationSlot;
use crate::model::session::Session;
use crate::model::snapshot::XminHolder;
use crate::model::unit::{Period, Size, bytes_for_people, count_for_people, seconds_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence};

/// A replication slot keeps much WAL, has no consumer any more, or has lost what its consumer needs.
///
/// ## Why it is bad
/// The server removes no WAL that a slot still needs. A consumer that is down or slow lets it pile up until the disk of
/// pg_wal is full, and then the server stops. A slot may hold old row versions back as well, so that VACUUM cannot remove
/// them. Where `max_slot_wal_keep_size` sets a limit, the slot is lost instead, and its consumer has to be built anew.
///
/// ## What to do
/// First the consumer: start it, or find out why it is slow. If it is gone for good, drop the slot. That comes last:
/// nothing brings back where it stood.
///
/// ## When it is wrong to obey
/// During a planned stop of a standby or a subscriber, while the disk has room. A consumer that comes back only
/// sometimes, such as a nightly export, needs its slot all the time.
///
/// A slot without a consumer is told only if it keeps `inactive_size` or holds back row versions that are
/// `inactive_xmin_age` transactions old: on a quiet server it keeps next to nothing. One that keeps no WAL at all is left
/// alone unless it is lost. How full the disk is, is not known here. On a standby slots from 17 on may be copies of its
/// primary's, which are never in use there: then only what they keep is judged. Source: PostgreSQL's page
/// "pg_replication_slots".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotRetention {
    /// WAL that a slot keeps, from which it is a warning.
    warning_size: Size,
    /// WAL that a slot keeps, from which it is critical.
    critical_size: Size,
    /// How long a slot has been without a consumer when it is a warning.
    warning_inactive: Period,
    /// A slot without a consumer that keeps less WAL is left alone: one segment.
    inactive_size: Size,
    /// Unless what it holds back from VACUUM is so many transactions old.
    inactive_xmin_age: i64,
}

impl Default for SlotRetention {
    fn default() -> Self {
        Self {
            warning_size: Size::mebibytes(1024),
            critical_size: Size::mebibytes(10 * 1024),
            warning_inactive: Period::minutes(60),
            inactive_size: Size::mebibytes(16),
            inactive_xmin_age: 100_000,
        }
    }
}

/// What is wrong with a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Lost,
    NearlyLost,
    Keeps(f64),
    Inactive(f64),
}

impl Rule for SlotRetention {
    const ID: &'static str = "replication.slot_retention";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let observation = place.observation;
        let replication = observation.replication.as_ref().map_err(Clone::clone)?;
        let mut found = Found::default();
        let mut troubled = Vec::new();
        for slot in &replication.slots {
            let holder = holder(observation, &slot.name);
            match self.trouble(observation, slot, holder) {
                Ok(Some((severity, trouble))) => troubled.push((severity, trouble, slot, holder)),
                Ok(None) => {}
                Err(reason) => {
                    found.undecided.push(vec![slot.name.clone()]);
                    found.untold = Some(reason);
                }
            }
        }
        troubled.sort_by(|(a_severity, _, a, _), (b_severity, _, b, _)| {
            let kept = |slot: &ReplicationSlot| slot.retained_bytes.unwrap_or(0.0);
            let by_size = kept(b).total_cmp(&kept(a));
            b_severity
                .cmp(a_severity)
                .then(by_size)
                .then_with(|| a.name.cmp(&b.name))
        });
        for (severity, trouble, slot, holder) in troubled {
            found.claim_worst_first(
                place,
                || vec![slot.name.clone()],
                || claim(place, severity, trouble, slot, holder),
            );
        }
        Ok(found)
    }
}

/// What the slot holds back from VACUUM, in tables or in catalogs alone; the older of the two.
fn holder<'a>(observation: &'a Observation, slot: &str) -> Option<&'a XminHolder> {
    let mut holders = observation.server.xmin_holders.iter();
    holders.find(|holder| holder.kind == "replication slot" && holder.name == slot)
}

/// Whether a slot may be a copy of its primary's, which nobody uses on the standby.
fn may_be_a_copy(observation: &Observation, slot: &ReplicationSlot) -> bool {
    observation.server.is_standby && slot.is_logical && observation.server.version_num >= 170_000
}

impl SlotRetention {
    /// The worst that is wrong with a slot, or why that cannot be told.
    fn trouble(
        &self,
        observation: &Observation,
        slot: &ReplicationSlot,
        holder: Option<&XminHolder>,
    ) -> Result<Option<(Severity, Trouble)>, String> {
        match slot.wal_status.as_deref() {
            Some("lost") => return Ok(Some((Severity::Critical, Trouble::Lost))),
            Some("unreserved") => return Ok(Some((Severity::Critical, Trouble::NearlyLost))),
            _ => {}
        }
        let Some(kept) = slot.retained_bytes else {
            return Ok(None);
        };
        if kept >= self.critical_size.bytes as f64 {
            return Ok(Some((Severity::Critical, Trouble::Keeps(kept))));
        }
        if kept >= self.warning_size.bytes as f64 {
            return Ok(Some((Severity::Warning, Trouble::Keeps(kept))));
        }
        let inactive = self.inactive_seconds(observation, slot, kept, holder)?;
        Ok(inactive.map(|seconds| (Severity::Warning, Trouble::Inactive(seconds))))
    }

    /// For how long a slot has had no consumer, where that matters.
    fn inactive_seconds(
        &self,
        observation: &Observation,
        slot: &ReplicationSlot,
        kept: f64,
        holder: Option<&XminHolder>,
    ) -> Result<Option<f64>, String> {
        let holds_back = holder.is_some_and(|holder| holder.age >= self.inactive_xmin_age);
        let matters = kept >= self.inactive_size.bytes as f64 || holds_back;
        if slot.is_active || !matters || may_be_a_copy(observation, slot) {
            return Ok(None);
        }
        match Session::seconds_since(slot.inactive_since, observation.now) {
            Some(seconds) if seconds >= self.warning_inactive.as_seconds() => Ok(Some(seconds)),
            // before 17 it is known from our own looks, which may be younger than that
            Some(_) if observation.server.version_num >= 170_000 => Ok(None),
            _ => Err(format!(
                "whether some slots have been without a consumer for {} is not known yet: before PostgreSQL 17 it takes \
                 looks that are so far apart",
                self.warning_inactive
            )),
        }
    }
}

fn title(trouble: Trouble, name: &str) -> String {
    match trouble {
        Trouble::Lost => format!("The replication slot {name} is lost: its consumer cannot go on"),
        Trouble::NearlyLost => format!("The replication slot {name} is about to be lost"),
        Trouble::Keeps(bytes) => format!(
            "The replication slot {name} keeps {} of WAL",
            bytes_for_people(bytes)
        ),
        Trouble::Inactive(seconds) => {
            format!(
                "The replication slot {name} has had no consumer for {}",
                seconds_for_people(seconds)
            )
        }
    }
}

fn explanation(trouble: Trouble, slot: &ReplicationSlot, holder: Option<&XminHolder>) -> String {
    let kept = match slot.retained_bytes {
        Some(bytes) => format!("It keeps {} of WAL from being removed", bytes_for_people(bytes)),
        None => "It keeps no WAL".to_owned(),
    };
    let held = holder.map_or(String::new(), |holder| {
        let rows = if holder.catalogs_only {
            "row versions of catalogs"
        } else {
            "row versions"
        };
        format!(
            ", and holds back {rows} that are {} transactions old",
            count_for_people(holder.age as f64)
        )
    });
    let what = match trouble {
        Trouble::Lost => {
            "WAL that its consumer still needed is gone, so that the consumer has to be built anew."
        }
        Trouble::NearlyLost => {
            "It is beyond max_slot_wal_keep_size: the next checkpoint may remove what it needs."
        }
        Trouble::Keeps(_) if slot.is_active => "Its consumer is connected, and does not keep up.",
        Trouble::Keeps(_) | Trouble::Inactive(_) => {
            "Nobody is connected to it, so that this grows until somebody is."
        }
    };
    let limit = match slot.safe_wal_bytes {
        Some(bytes) => format!(" After {} more it may be lost.", bytes_for_people(bytes)),
        None => String::new(),
    };
    format!("{what} {kept}{held}.{limit} Look at its consumer first.")
}

fn claim(
    place: &Place<'_>,
    severity: Severity,
    trouble: Trouble,
    slot: &ReplicationSlot,
    holder: Option<&XminHolder>,
) -> Claim {
    let now = place.observation.now;
    let inactive = Session::seconds_since(slot.inactive_since, now).filter(|_| !slot.is_active);
    let kind = if slot.is_logical { "logical" } else { "physical" };
    let object = Object {
        kind: ObjectKind::ReplicationSlot,
        schema: None,
        name: slot.name.clone(),
        table: None,
    };
    let mut guards = Guards::default();
    guards.checked("a slot that keeps little and holds little back is left alone");
    // what is critical already cannot become more so
    if severity < Severity::Critical {
        guards.not_checked("how much room the disk of pg_wal has: half of what is free would be critical");
    }
    Claim {
        title: title(trouble, &slot.name),
        explanation: explanation(trouble, slot, holder),
        evidence: evidence([
            ("retained_bytes", json!(slot.retained_bytes)),
            ("wal_status", json!(slot.wal_status)),
            ("safe_wal_bytes", json!(slot.safe_wal_bytes)),
            ("is_active", json!(slot.is_active)),
            ("inactive_seconds", json!(inactive.map(f64::round))),
            ("xmin_age_transactions", json!(holder.map(|holder| holder.age))),
            ("kind", json!(kind)),
            ("plugin", json!(slot.plugin)),
            ("slot_database", json!(slot.database)),
        ]),
        evidence_sql: Some(format!(
            "SELECT slot_type, active, xmin, catalog_xmin, wal_status, safe_wal_size, pg_wal_lsn_diff(\n    \
             CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)\n  \
             FROM pg_replication_slots WHERE slot_name = {}",
            quote_literal(&slot.name)
        )),
        impact: Impact {
            bytes: slot.retained_bytes,
            ..Impact::default()
        },
        confidence: guards.confidence("read from pg_replication_slots"),
        remedy: remedy(place.observation, trouble, slot),
        guards: guards.told(),
        ..place.claim(SlotRetention::ID, severity, vec![slot.name.clone()], Some(object))
    }
}

fn remedy(observation: &Observation, trouble: Trouble, slot: &ReplicationSlot) -> Remedy {
    let drop = Statement::DropReplicationSlot {
        name: slot.name.clone(),
    };
    let mut caveats = Vec::new();
    caveats.push(match trouble {
        Trouble::Lost => {
            "Build its consumer anew, with a new slot, or let it go for good; then drop this one.".to_owned()
        }
        _ if slot.is_active => {
            "Its consumer is connected: find out why it does not keep up. A slot in use cannot be dropped."
                .to_owned()
        }
        _ => "First the consumer: start it again. Drop the slot only if that never comes back.".to_owned(),
    });
    let mut apply = Vec::new();
    if may_be_a_copy(observation, slot) {
        caveats.push(
            "It may be a copy of a slot of the primary: then it is the one there that counts.".to_owned(),
        );
    } else if !slot.is_active {
        apply.push(drop.sql());
        caveats.push(
            "Dropping it cannot be undone: the consumer has to be built anew from a copy of the data."
                .to_owned(),
        );
    }
    let limit = observation.server.settings.get("max_slot_wal_keep_size");
    if limit.is_some_and(|setting| setting.value == "-1") {
        caveats.push(
            "Nothing limits what slots keep (max_slot_wal_keep_size is -1): the disk of pg_wal can fill up, which stops \
             the server. With a limit the slot would be lost instead."
                .to_owned(),
        );
    }
    Remedy {
        apply_sql: apply,
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::model::finding::ConfidenceLevel;
    use crate::model::replication::Replication;
    use crate::rules::testing::{claims, found, now, observation, set};

    const MIB: f64 = 1_048_576.0;

    fn observed(change: impl FnOnce(&mut Observation, &mut ReplicationSlot)) -> Observation {
        let mut observed = observation(vec![], 0.0);
        let mut slot = ReplicationSlot {
            name: "s".into(),
            is_active: true,
            retained_bytes: Some(MIB),
            wal_status: Some("reserved".into()),
            ..ReplicationSlot::default()
        };
        change(&mut observed, &mut slot);
        observed.replication = Ok(Replication {
            slots: vec![slot],
            ..Replication::default()
        });
        observed
    }

    /// One that nobody has used for so many seconds.
    fn inactive(slot: &mut ReplicationSlot, seconds: i64, mebibytes: f64) {
        slot.is_active = false;
        slot.inactive_since = Some(now() - TimeDelta::seconds(seconds));
        slot.retained_bytes = Some(mebibytes * MIB);
    }

    fn holds(observed: &mut Observation, age: i64) {
        observed.server.xmin_holders.push(XminHolder {
            kind: "replication slot".into(),
            name: "s".into(),
            database: None,
            age,
            since: None,
            catalogs_only: true,
        });
    }

    fn claim_of(observed: &Observation) -> Option<Claim> {
        claims::<SlotRetention>(observed).unwrap().pop()
    }

    fn severity(observed: &Observation) -> Option<Severity> {
        claim_of(observed).map(|claim| claim.severity)
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let keeps = |bytes: f64| severity(&observed(|_, slot| slot.retained_bytes = Some(bytes)));
        assert_eq!(keeps(1024.0 * MIB - 1.0), None);
        assert_eq!(keeps(1024.0 * MIB), Some(Severity::Warning));
        assert_eq!(keeps(10_240.0 * MIB - 1.0), Some(Severity::Warning));
        assert_eq!(keeps(10_240.0 * MIB), Some(Severity::Critical));
        let idle = |seconds, mebibytes| severity(&observed(|_, slot| inactive(slot, seconds, mebibytes)));
        assert_eq!(idle(3599, 16.0), None);
        assert_eq!(idle(3600, 16.0), Some(Severity::Warning));
        assert_eq!(idle(3600, 15.9), None, "it keeps next to nothing");
        let status = |word: &str| severity(&observed(|_, slot| slot.wal_status = Some(word.into())));
        assert_eq!(status("extended"), None);
        assert_eq!(status("unreserved"), Some(Severity::Critical));
        assert_eq!(status("lost"), Some(Severity::Critical));
    }

    #[test]
    fn what_holds_rows_back_matters_though_it_keeps_little() {
        let held = |age| {
            severity(&observed(|observed, slot| {
                inactive(slot, 7200, 1.0);
                holds(observed, age);
            }))
        };
        assert_eq!((held(99_999), held(100_000)), (None, Some(Severity::Warning)));
        let unused = observed(|observed, slot| {
            inactive(slot, 7200, 1.0);
            slot.retained_bytes = None;
            holds(observed, 1_000_000);
        });
        assert_eq!(severity(&unused), None, "it was never used");
    }

    #[test]
    fn before_17_it_takes_an_hour_to_know() {
        let judged = |version_num, seconds| {
            let found = found::<SlotRetention>(&observed(|observed, slot| {
                observed.server.version_num = version_num;
                inactive(slot, seconds, 20.0);
            }));
            let found = found.unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(160_000, 3599), (0, 1));
        assert_eq!(judged(160_000, 3600), (1, 0));
        assert_eq!(judged(170_000, 3599), (0, 0));
        let untold = observed(|_, slot| {
            inactive(slot, 0, 20.0);
            slot.inactive_since = None;
        });
        assert!(found::<SlotRetention>(&untold).unwrap().untold.is_some());
    }

    #[test]
    fn a_copy_on_a_standby_is_in_use_elsewhere() {
        let on_standby = |is_logical, mebibytes| {
            observed(|observed, slot| {
                observed.server.is_standby = true;
                slot.is_logical = is_logical;
                inactive(slot, 7200, mebibytes);
            })
        };
        assert_eq!(severity(&on_standby(true, 20.0)), None);
        assert_eq!(severity(&on_standby(false, 20.0)), Some(Severity::Warning));
        let copy = claim_of(&on_standby(true, 2048.0)).unwrap();
        assert_eq!(copy.remedy.apply_sql.len(), 0);
    }

    #[test]
    fn the_room_on_the_disk_was_not_looked_at_where_it_would_matter() {
        let confidence = |bytes: f64| {
            let claim = claim_of(&observed(|_, slot| slot.retained_bytes = Some(bytes))).unwrap();
            let told = claim
                .guards
                .iter()
                .any(|guard| guard.starts_with("not checked: how much room"));
            (claim.confidence.level, told)
        };
        assert_eq!(confidence(2048.0 * MIB), (ConfidenceLevel::Estimated, true));
        assert_eq!(confidence(20_480.0 * MIB), (ConfidenceLevel::Measured, false));
    }

    #[test]
    fn dropping_is_the_last_thing_to_do() {
        let gone = claim_of(&observed(|observed, slot| {
            set(observed, "max_slot_wal_keep_size", "-1");
            inactive(slot, 7200, 2048.0);
        }));
        let remedy = gone.unwrap().remedy;
        assert_eq!(
            remedy.apply_sql,
            ["SELECT pg_catalog.pg_drop_replication_slot('s')"]
        );
        assert!(remedy.caveats[0].starts_with("First the consumer"));
        assert!(remedy.caveats[2].contains("max_slot_wal_keep_size is -1"));
        let used = claim_of(&observed(|observed, slot| {
            set(observed, "max_slot_wal_keep_size", "1024");
            slot.retained_bytes = Some(2048.0 * MIB);
        }));
        let remedy = used.unwrap().remedy;
        assert_eq!((remedy.apply_sql.len(), remedy.caveats.len()), (0, 1));
        let mut unread = observed(|_, _| ());
        unread.replication = Err(Unknown::because("not read"));
        assert!(claims::<SlotRetention>(&unread).is_err());
    }
}
