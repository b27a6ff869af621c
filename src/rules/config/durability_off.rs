//! config.durability_off

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::provider::Provider;
use crate::model::snapshot::Setting;
use crate::rules::{Found, Place, Rule, Scope, settings};

/// A server that does not keep its data safe over a crash, because `fsync`, `full_page_writes` or
/// `synchronous_commit` is off.
///
/// ## Why it is bad
/// With `fsync` off a power failure or a crash of the operating system leaves files that no recovery can mend: what
/// is left is the last backup. With `full_page_writes` off the same happens to pages that were half written, and
/// nobody may notice for months. With `synchronous_commit` off nothing is damaged, but the transactions of the last
/// moments are gone though their clients were told that they are safe: this one is a choice, and is told as
/// information only.
///
/// ## What to do
/// Switch it on. If commits are too slow, set `synchronous_commit` off for those roles or transactions alone that can
/// bear the loss; if full pages make too much WAL, use `wal_compression` and let checkpoints be further apart.
///
/// ## When it is wrong to obey
/// On a server whose data may be lost at any time: write `throw_away = true` into its `[[servers]]`.
/// `full_page_writes` may be off on a file system that never shows half a page, as ZFS with records of at least 8 kB;
/// leave that out by an `[[ignore]]`.
///
/// Aurora, AlloyDB and Neon keep data in storage of their own, for which `fsync` and `full_page_writes` decide
/// nothing: there they are not judged. Source: PostgreSQL's chapter "Write Ahead Log", Settings.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DurabilityOff {}

/// A setting that makes data safe.
struct Safety {
    name: &'static str,
    severity: Severity,
    /// What it means that it is off, for the title.
    off: &'static str,
    explanation: &'static str,
    /// It says how the server's own files are written, and nothing where a service stores data by itself.
    is_about_files: bool,
    /// It is about what is written, which a standby does only after it was promoted.
    is_about_writes: bool,
    caveat: &'static str,
    /// The caveat is about what somebody does on the machine, which no customer of a service gets at.
    is_about_machine: bool,
}

static SAFETIES: [Safety; 3] = [
    Safety {
        name: "fsync",
        severity: Severity::Critical,
        off: "a crash of the machine can destroy all databases",
        explanation: "PostgreSQL does not wait until what it writes is on disk. If the operating system crashes or the power \
                      fails, data files and WAL are left in a state that no recovery can mend, and a backup must be \
                      restored. Switch it on; where commits are too slow then, synchronous_commit off for some \
                      transactions is the safe way.",
        is_about_files: true,
        is_about_writes: false,
        caveat: "What was written while it was off may still be in the operating system's cache only: run sync on the \
                 machine once after it was switched on.",
        is_about_machine: true,
    },
    Safety {
        name: "full_page_writes",
        severity: Severity::Critical,
        off: "a crash of the machine can leave half-written pages",
        explanation: "The first change of a page after a checkpoint does not put the whole page into WAL. If the operating \
                      system crashes while a page is half written, recovery cannot mend that page, and the damage may not \
                      be noticed for long. Switch it on; wal_compression makes the WAL smaller that it costs.",
        is_about_files: true,
        is_about_writes: true,
        caveat: "It writes more WAL: look at max_wal_size and at the space for WAL archives. Only on a file system that \
                 never shows half a page, as ZFS, may it stay off.",
        is_about_machine: false,
    },
    Safety {
        name: "synchronous_commit",
        severity: Severity::Info,
        off: "the last commits are lost in a crash",
        explanation: "A client is told that its commit is done before the WAL of it is on disk. If the server crashes, the \
                      transactions of the last moments (up to three times wal_writer_delay) are gone, though nothing is \
                      damaged. Leave it so only if every application on this server can bear that; else switch it on, and \
                      off again for the roles or transactions that can.",
        is_about_files: false,
        is_about_writes: true,
        caveat: "Commits wait for the disk then: look at those that make many small transactions.",
        is_about_machine: false,
    },
];

impl Rule for DurabilityOff {
    const ID: &'static str = "config.durability_off";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        if place.observation.server.declared.is_throw_away {
            return Ok(Found::default());
        }
        let mut found = Found::default();
        let mut reasons = Vec::new();
        for safety in &SAFETIES {
            match judged(place, safety) {
                Ok(claim) => found.claims.extend(claim),
                Err(unknown) => {
                    found.undecided.push(vec![safety.name.to_owned()]);
                    reasons.push(unknown.reason);
                }
            }
        }
        if reasons.len() == SAFETIES.len() {
            return Err(Unknown::because(reasons.join("; ")));
        }
        found.untold = (!reasons.is_empty()).then(|| reasons.join("; "));
        Ok(found)
    }
}

/// Whether a service keeps data in storage of its own, so that how the server writes its files decides nothing.
fn has_own_storage(provider: Provider) -> bool {
    matches!(provider, Provider::Aurora | Provider::AlloyDb | Provider::Neon)
}

fn judged(place: &Place<'_>, safety: &Safety) -> Result<Option<Claim>, Unknown> {
    let setting = settings::servers_own(place, safety.name)?;
    let provider = place.observation.server.provider();
    let decides = !(safety.is_about_files && provider.is_some_and(has_own_storage));
    Ok((setting.value == "off" && decides).then(|| claim(place, safety, setting)))
}

fn claim(place: &Place<'_>, safety: &Safety, setting: &Setting) -> Claim {
    let server = &place.observation.server;
    let is_out_of_reach = safety.is_about_machine && server.provider().is_some();
    let mut caveats: Vec<&str> = (!is_out_of_reach).then_some(safety.caveat).into_iter().collect();
    if server.is_standby && safety.is_about_writes {
        caveats.push("This is a standby: here it counts once this server was promoted.");
    }
    let claim = settings::claim(place, DurabilityOff::ID, safety.severity, safety.name, setting);
    let mut guards = claim.guards.clone();
    guards.push("the server is not declared as one whose data may be lost".to_owned());
    Claim {
        title: format!("{} is off: {}", safety.name, safety.off),
        explanation: safety.explanation.to_owned(),
        remedy: settings::change(server, safety.name, "on", &caveats),
        guards,
        ..claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, set, severities};

    fn observed(fsync: &str, full_page_writes: &str, synchronous_commit: &str) -> Observation {
        let mut observed = observation(vec![], 0.0);
        set(&mut observed, "fsync", fsync);
        set(&mut observed, "full_page_writes", full_page_writes);
        set(&mut observed, "synchronous_commit", synchronous_commit);
        observed
    }

    #[test]
    fn each_setting_that_is_off_is_told_as_bad_as_it_is() {
        assert_eq!(severities::<DurabilityOff>(&observed("on", "on", "on")), []);
        assert_eq!(severities::<DurabilityOff>(&observed("on", "on", "local")), []);
        let all = claims::<DurabilityOff>(&observed("off", "off", "off")).unwrap();
        let told: Vec<_> = all
            .iter()
            .map(|claim| (claim.subject[0].as_str(), claim.severity))
            .collect();
        assert_eq!(
            told,
            [
                ("fsync", Severity::Critical),
                ("full_page_writes", Severity::Critical),
                ("synchronous_commit", Severity::Info)
            ]
        );
        assert_eq!(all[0].remedy.apply_sql[0], "ALTER SYSTEM SET fsync = 'on'");
        assert_eq!(all[0].remedy.undo_sql[0], "ALTER SYSTEM SET fsync = 'off'");
    }

    #[test]
    fn data_that_may_be_lost_need_no_safety() {
        let mut throw_away = observed("off", "off", "off");
        throw_away.server.declared.is_throw_away = true;
        assert_eq!(severities::<DurabilityOff>(&throw_away), []);
    }

    #[test]
    fn a_service_with_storage_of_its_own_is_left_alone() {
        for (setting, count) in [
            ("neon.timeline_id", 1),
            ("aurora_compute_plan_id", 1),
            ("rds.extensions", 3),
        ] {
            let mut observed = observed("off", "off", "off");
            set(&mut observed, setting, "x");
            observed.server.roles.insert(10, "cloud_admin".into());
            assert_eq!(severities::<DurabilityOff>(&observed).len(), count, "{setting}");
        }
    }

    #[test]
    fn nobody_is_sent_to_the_machine_of_a_service() {
        let sent = |setting: &str| {
            let mut observed = observed("off", "on", "on");
            set(&mut observed, setting, "x");
            let claim = claims::<DurabilityOff>(&observed).unwrap().remove(0);
            claim
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("run sync"))
        };
        assert!(sent("work_mem") && !sent("rds.extensions"));
    }

    #[test]
    fn a_standby_is_told_when_it_counts() {
        let mut standby = observed("off", "off", "on");
        standby.server.is_standby = true;
        let claims = claims::<DurabilityOff>(&standby).unwrap();
        let counts_later = |at: usize| {
            claims[at]
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("promoted"))
        };
        assert!(!counts_later(0) && counts_later(1));
    }

    #[test]
    fn what_is_hidden_is_not_told_and_keeps_its_state() {
        assert!(claims::<DurabilityOff>(&observation(vec![], 0.0)).is_err());
        let mut hidden = observed("off", "on", "off");
        hidden
            .server
            .settings
            .get_mut("synchronous_commit")
            .unwrap()
            .source = "user".into();
        let found = found::<DurabilityOff>(&hidden).unwrap();
        assert_eq!(found.claims.len(), 1);
        assert_eq!(found.undecided, [["synchronous_commit"]]);
        assert!(found.untold.unwrap().contains("source: user"));
    }
}
