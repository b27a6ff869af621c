//! config.logging

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Evidence, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::Remedy;
use crate::model::snapshot::{ServerFacts, Setting};
use crate::rules::{Found, Place, Rule, Scope, matches, measured, settings};

/// The server's log leaves out what is needed to explain a slow hour afterwards: slow statements, checkpoints, waits
/// for locks, long autovacuums, temporary files.
///
/// ## Why it is bad
/// Counters tell how much and how often; only the log tells when, and with which values. Whoever looks for the cause
/// of last night's trouble finds nothing where nothing was logged.
///
/// ## What to do
/// Switch these on: each writes little. The values that are given log what is slow or large only: statements of a
/// second, autovacuums of ten minutes, temporary files of 10 MB, waits for locks longer than `deadlock_timeout`.
///
/// ## When it is wrong to obey
/// `log_min_duration_statement` writes statements with their values into the log: not where these must not be there,
/// or set `log_parameter_max_length`; where auto_explain logs slow statements it is not needed. What is left as it is
/// on purpose is left out by `ignore_settings`. A managed service keeps the log, and may charge for it.
///
/// A setting counts as missing only if it is off; any other value is taken as somebody's choice. All that are missing
/// are one finding. Source: PostgreSQL's chapter "Error Reporting and Logging", When to Log and What to Log.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// Settings that are left as they are: patterns in which "*" stands for anything, as "log_temp_files".
    ignore_settings: Vec<String>,
}

/// A setting that puts something into the log.
struct Entry {
    name: &'static str,
    /// The value that leaves it out.
    off: &'static str,
    /// A value that puts in what is worth it, for people, and in the setting's own unit, as services want it.
    value: &'static str,
    number: &'static str,
    /// What is missing without it.
    what: &'static str,
}

static ENTRIES: [Entry; 5] = [
    Entry {
        name: "log_min_duration_statement",
        off: "-1",
        value: "1s",
        number: "1000",
        what: "slow statements with their values",
    },
    Entry {
        name: "log_checkpoints",
        off: "off",
        value: "on",
        number: "on",
        what: "how often checkpoints come, and why",
    },
    Entry {
        name: "log_lock_waits",
        off: "off",
        value: "on",
        number: "on",
        what: "who waited for a lock, and for whom",
    },
    Entry {
        name: "log_autovacuum_min_duration",
        off: "-1",
        value: "10min",
        number: "600000",
        what: "autovacuums that take long",
    },
    Entry {
        name: "log_temp_files",
        off: "-1",
        value: "10MB",
        number: "10240",
        what: "statements that spill to disk",
    },
];

impl Rule for Logging {
    const ID: &'static str = "config.logging";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let is_ignored = |entry: &&Entry| {
            let patterns = &self.ignore_settings;
            patterns.iter().any(|pattern| matches(pattern, entry.name))
        };
        let wanted: Vec<&Entry> = ENTRIES.iter().filter(|entry| !is_ignored(entry)).collect();
        let mut missing = Vec::new();
        let mut unseen = Vec::new();
        for entry in &wanted {
            match settings::servers_own(place, entry.name) {
                Ok(setting) if setting.value == entry.off => missing.push((*entry, setting)),
                Ok(_) => {}
                Err(unknown) => unseen.push(unknown.reason),
            }
        }
        if !unseen.is_empty() && unseen.len() == wanted.len() {
            return Err(Unknown::because(unseen.join("; ")));
        }
        let mut found = Found::default();
        if !missing.is_empty() {
            found.claims.push(claim(place, &missing, &unseen));
        } else if !unseen.is_empty() {
            found.undecided.push(subject());
        }
        found.untold = (!unseen.is_empty()).then(|| unseen.join("; "));
        Ok(found)
    }
}

fn subject() -> Vec<String> {
    vec!["logging".to_owned()]
}

fn claim(place: &Place<'_>, missing: &[(&Entry, &Setting)], unseen: &[String]) -> Claim {
    let server = &place.observation.server;
    let names: Vec<&str> = missing.iter().map(|(entry, _)| entry.name).collect();
    let whats: Vec<&str> = missing.iter().map(|(entry, _)| entry.what).collect();
    let literals: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let told = |(entry, setting): &(&Entry, &Setting)| {
        let value = format!("{} (source: {})", settings::told(setting), setting.source);
        (entry.name.to_owned(), json!(value))
    };
    let mut guards =
        vec!["only settings that are off are named, and none that was set to another value".to_owned()];
    guards.push(match server.provider() {
        Some(provider) => format!("the log is kept by {}", provider.name()),
        None => "no managed service was recognised that keeps the log".to_owned(),
    });
    guards.extend(unseen.iter().map(|reason| format!("not checked: {reason}")));
    Claim {
        title: format!("The log leaves out: {}", names.join(", ")),
        explanation: format!(
            "The server's log does not tell of {}. What was not logged cannot be looked up when somebody asks why it was \
             slow. Switch it on: with the values given only what is slow or large is written.",
            whats.join("; ")
        ),
        evidence: missing.iter().map(told).collect::<Evidence>(),
        evidence_sql: Some(format!(
            "SELECT name, setting, unit, source FROM pg_settings\n  WHERE name IN ({}) ORDER BY name",
            literals.join(", ")
        )),
        confidence: measured("read from pg_settings"),
        remedy: remedy(server, &names, missing),
        guards,
        ..place.claim(Logging::ID, Severity::Info, subject(), None)
    }
}

/// All changes as one.
fn remedy(server: &ServerFacts, names: &[&str], missing: &[(&Entry, &Setting)]) -> Remedy {
    let is_service = server.provider().is_some();
    let value = |entry: &Entry| if is_service { entry.number } else { entry.value };
    let changes: Vec<(&str, &str)> = missing
        .iter()
        .map(|(entry, _)| (entry.name, value(entry)))
        .collect();
    let mut all = settings::change_all(server, &changes);
    if names.contains(&"log_min_duration_statement") {
        all.caveats
            .push("Slow statements are logged with their values: see who may read the log.".to_owned());
    }
    all.caveats
        .push("See that the log is rotated, and has the space.".to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::sampled::SampledStatements;
    use crate::rules::testing::{claims, found, observation, set};

    /// All on, but these.
    fn without(missing: &[&str]) -> Observation {
        let mut observed = observation(vec![], 0.0);
        for entry in &ENTRIES {
            let value = if missing.contains(&entry.name) {
                entry.off
            } else {
                entry.number
            };
            set(&mut observed, entry.name, value);
        }
        observed
    }

    #[test]
    fn all_that_is_missing_is_one_finding() {
        assert!(claims::<Logging>(&without(&[])).unwrap().is_empty());
        let mut everything = without(&[]);
        set(&mut everything, "log_min_duration_statement", "0");
        set(&mut everything, "log_temp_files", "0");
        assert!(
            claims::<Logging>(&everything).unwrap().is_empty(),
            "0 logs all of them"
        );
        for entry in &ENTRIES {
            assert_eq!(
                claims::<Logging>(&without(&[entry.name])).unwrap().len(),
                1,
                "{}",
                entry.name
            );
        }
        let claims = claims::<Logging>(&without(&["log_lock_waits", "log_temp_files"])).unwrap();
        assert_eq!((claims.len(), &claims[0].subject), (1, &subject()));
        let names: Vec<_> = claims[0].evidence.keys().map(String::as_str).collect();
        assert_eq!(names, ["log_lock_waits", "log_temp_files"]);
        assert_eq!(
            claims[0].remedy.apply_sql,
            [
                "ALTER SYSTEM SET log_lock_waits = 'on'",
                "ALTER SYSTEM SET log_temp_files = '10MB'",
                "SELECT pg_catalog.pg_reload_conf()"
            ]
        );
        assert_eq!(
            claims[0].remedy.undo_sql[1],
            "ALTER SYSTEM SET log_temp_files = '-1'"
        );
    }

    #[test]
    fn a_service_is_told_in_its_own_units_and_words() {
        let mut managed = without(&["log_temp_files"]);
        set(&mut managed, "cloudsql.enable_pgaudit", "off");
        let claim = claims::<Logging>(&managed).unwrap().remove(0);
        assert!(claim.remedy.apply_sql.is_empty() && claim.remedy.undo_sql.is_empty());
        assert!(claim.remedy.caveats[0].ends_with("--database-flags=log_temp_files=10240"));
        assert!(claim.guards.contains(&"the log is kept by Cloud SQL".to_owned()));
        let mut two = without(&["log_lock_waits", "log_temp_files"]);
        set(&mut two, "cloudsql.enable_pgaudit", "off");
        let caveats = claims::<Logging>(&two).unwrap().remove(0).remedy.caveats;
        let commands: Vec<_> = caveats
            .iter()
            .filter(|told| told.contains("--database-flags"))
            .collect();
        assert_eq!(
            commands.len(),
            1,
            "each would replace what the other set: {caveats:?}"
        );
        assert!(
            commands[0].ends_with("=log_lock_waits=on,log_temp_files=10240"),
            "{commands:?}"
        );
        assert!(
            caveats[1].ends_with("log_lock_waits to off, log_temp_files to -1."),
            "{caveats:?}"
        );
    }

    #[test]
    fn what_is_ignored_is_left_as_it_is() {
        let observed = without(&["log_temp_files", "log_checkpoints"]);
        let place = Place {
            observation: &observed,
            database: None,
            sampled: &SampledStatements::default(),
            claims_at_most: 1,
        };
        let names = |patterns: &[&str]| {
            let ignore_settings = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            let found = Logging { ignore_settings }.judge(&place).unwrap();
            found
                .claims
                .first()
                .map(|claim| claim.evidence.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(names(&["log_temp*"]), Some(vec!["log_checkpoints".to_owned()]));
        assert_eq!(names(&["*"]), None);
    }

    #[test]
    fn what_is_set_for_the_login_says_nothing_of_the_server() {
        assert!(claims::<Logging>(&observation(vec![], 0.0)).is_err());
        let hide = |mut observed: Observation| {
            let setting = observed.server.settings.get_mut("log_lock_waits").unwrap();
            setting.source = "user".into();
            found::<Logging>(&observed).unwrap()
        };
        let alone = hide(without(&["log_lock_waits"]));
        assert_eq!((alone.claims.len(), alone.undecided), (0, vec![subject()]));
        assert!(alone.untold.unwrap().contains("source: user"));
        let beside = hide(without(&["log_lock_waits", "log_checkpoints"]));
        assert_eq!((beside.claims.len(), beside.undecided.len()), (1, 0));
        assert!(
            beside.claims[0]
                .guards
                .iter()
                .any(|guard| guard.starts_with("not checked: log_lock_waits"))
        );
    }
}
