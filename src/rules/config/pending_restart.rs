//! config.pending_restart

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::Remedy;
use crate::model::snapshot::{ServerFacts, Setting};
use crate::rules::{Found, Place, Rule, Scope, evidence, settings};

/// A setting was changed in the configuration files, and counts only after a restart that has not come yet.
///
/// ## Why it is bad
/// Somebody believes that the server runs with the new value, and it does not. The change comes into force at a
/// moment that nobody chose: after a crash, a failover or an upgrade. If the new value does not work, the server does
/// not start then, at the worst time there is.
///
/// ## What to do
/// Look at the new value, in the files or, as a superuser, in `pg_file_settings`, which also tells of errors. Then
/// restart the server at a quiet hour, or take the change back.
///
/// ## When it is wrong to obey
/// If the restart is planned already. If the line was taken out of the file again: the server goes on waiting until the
/// present value is written, or it is restarted.
///
/// A setting that is given on the server's command line is not judged: what the files say of it counts only if whoever
/// starts the server leaves it out, which cannot be seen from here (containers hardly ever do, Patroni does).
///
/// The value that is told is the one with which the server runs; a text that no rule needs, as `listen_addresses`, is
/// not read and not told. The new value is not known here: the server does not tell it to a login without the right to
/// read its files. Source: PostgreSQL's page "pg_settings", pending_restart.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingRestart {}

impl Rule for PendingRestart {
    const ID: &'static str = "config.pending_restart";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let all = &place.observation.server.settings;
        if all.is_empty() {
            return Err(Unknown::because("the server's settings could not be read"));
        }
        let mut found = Found::default();
        let mut untold: Vec<&str> = Vec::new();
        for (name, setting) in all.iter().filter(|(_, setting)| setting.is_pending_restart) {
            if setting.source == "command line" {
                found.undecided.push(vec![name.clone()]);
                untold.push(name);
            } else {
                found.claims.push(claim(place, name, setting));
            }
        }
        found.untold = (!untold.is_empty()).then(|| {
            format!(
                "{}: the files say something else than the server's command line; whether a restart makes that count \
                 cannot be seen from here",
                untold.join(", ")
            )
        });
        Ok(found)
    }
}

/// What to know before the restart, or instead of it; a value that was not read is none.
fn caveats(server: &ServerFacts, name: &str, value: Option<&str>) -> Vec<String> {
    let provider = server.provider();
    let look = match provider {
        Some(provider) => format!(
            "Look at the new value first, where {} shows it: one that does not work keeps the server from starting.",
            provider.name()
        ),
        None => "Look at the new value first: one that does not work keeps the server from starting. A superuser sees it in \
                 pg_file_settings."
            .to_owned(),
    };
    let present = match value {
        Some(value) => format!("the present value, {value}, again"),
        None => format!("the present value again, which SHOW {name} tells"),
    };
    let mut caveats = vec![
        look,
        "A restart ends all sessions: choose a quiet hour.".to_owned(),
        format!(
            "To take the change back write {present}: a line that is only removed leaves the server waiting."
        ),
    ];
    if let Some(provider) = provider {
        let service = provider.name();
        caveats.push(format!(
            "On {service} the server is restarted with the tools of the service."
        ));
    }
    caveats
}

fn claim(place: &Place<'_>, name: &str, setting: &Setting) -> Claim {
    let server = &place.observation.server;
    let value = (!setting.is_unread).then(|| settings::written(setting));
    let in_force = match &value {
        Some(value) => format!("{name} = {value}"),
        None => format!("the earlier value of {name}, a text that is not read here"),
    };
    Claim {
        title: format!("{name} was changed, and waits for a restart of the server"),
        explanation: format!(
            "The server still runs with {in_force}. The value that was written since then is not known here: it counts from \
             the next restart on, also from one that nobody planned. Look at the new value, then restart at a quiet hour, \
             or take the change back."
        ),
        evidence: evidence([
            ("value_in_force", json!(value)),
            ("source", json!(setting.source)),
            ("server_started_at", json!(server.started_at)),
        ]),
        evidence_sql: Some(
            "SELECT name, setting, unit, sourcefile FROM pg_settings WHERE pending_restart".to_owned(),
        ),
        remedy: Remedy {
            rewrites_table: Some(false),
            caveats: caveats(server, name, value.as_deref()),
            ..Remedy::default()
        },
        guards: vec!["the server itself says that this setting waits for a restart".to_owned()],
        ..settings::claim(place, PendingRestart::ID, Severity::Info, name, setting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, set};

    fn observed(waiting: &[&str]) -> Observation {
        let mut observed = observation(vec![], 0.0);
        for name in ["max_connections", "shared_buffers", "work_mem"] {
            set(&mut observed, name, "100");
            observed.server.settings.get_mut(name).unwrap().is_pending_restart = waiting.contains(&name);
        }
        observed
    }

    #[test]
    fn each_setting_that_waits_is_named_and_no_other() {
        let named = |waiting: &[&str]| -> Vec<String> {
            let claims = claims::<PendingRestart>(&observed(waiting)).unwrap();
            claims.into_iter().flat_map(|claim| claim.subject).collect()
        };
        assert_eq!(named(&[]), [""; 0]);
        assert_eq!(
            named(&["shared_buffers", "max_connections"]),
            ["max_connections", "shared_buffers"]
        );
    }

    #[test]
    fn what_the_command_line_says_is_not_judged() {
        let mut observed = observed(&["shared_buffers", "max_connections"]);
        observed.server.settings.get_mut("shared_buffers").unwrap().source = "command line".into();
        let found = found::<PendingRestart>(&observed).unwrap();
        assert_eq!(
            (found.claims.len(), found.undecided),
            (1, vec![vec!["shared_buffers".to_owned()]])
        );
        assert!(
            found
                .untold
                .unwrap()
                .starts_with("shared_buffers: the files say something else")
        );
    }

    #[test]
    fn the_present_value_is_told_as_it_can_be_written_again() {
        let mut observed = observed(&["shared_buffers"]);
        let setting = observed.server.settings.get_mut("shared_buffers").unwrap();
        setting.value = "512".into();
        setting.unit = Some("8kB".into());
        let claim = claims::<PendingRestart>(&observed).unwrap().remove(0);
        let back = &claim.remedy.caveats[2];
        assert!(back.contains("write the present value, 4096kB, again"), "{back}");
    }

    #[test]
    fn a_text_that_was_not_read_is_told_as_that_and_not_as_empty() {
        let mut observed = observed(&["shared_buffers"]);
        let told = |observed: &Observation| claims::<PendingRestart>(observed).unwrap().remove(0);
        let known = told(&observed);
        assert_eq!(known.evidence["value_in_force"], json!("100"));
        assert!(
            known.explanation.contains("written since then is not known here"),
            "{}",
            known.explanation
        );
        let setting = observed.server.settings.get_mut("shared_buffers").unwrap();
        (setting.value, setting.is_unread) = (String::new(), true);
        let unread = told(&observed);
        assert!(!unread.evidence.contains_key("value_in_force"));
        let of_unread = "the earlier value of shared_buffers, a text that is not read here";
        assert!(unread.explanation.contains(of_unread), "{}", unread.explanation);
        let back = &unread.remedy.caveats[2];
        assert!(
            back.contains("write the present value again, which SHOW shared_buffers tells"),
            "{back}"
        );
        assert!(!serde_json::to_string(&unread).unwrap().contains("''"));
    }

    #[test]
    fn settings_that_were_not_read_are_unknown() {
        assert!(claims::<PendingRestart>(&observation(vec![], 0.0)).is_err());
    }

    #[test]
    fn a_managed_service_is_restarted_by_its_own_tools() {
        let mut managed = observed(&["shared_buffers"]);
        let caveats = |observed: &Observation| {
            claims::<PendingRestart>(observed).unwrap()[0]
                .remedy
                .caveats
                .join(" ")
        };
        assert!(!caveats(&managed).contains("tools of the service"));
        set(&mut managed, "rds.extensions", "");
        assert!(
            caveats(&managed).contains("On Amazon RDS the server is restarted with the tools of the service")
        );
    }
}
