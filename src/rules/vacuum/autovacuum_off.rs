//! vacuum.autovacuum_off

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
use crate::model::snapshot::Setting;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured};

/// Autovacuum does not run on this server, because it or what it needs is switched off.
///
/// ## Why it is bad
/// Dead row versions pile up, statistics for the planner grow old, and in the end transaction ids run out and the server
/// stops taking writes. `track_counts` off has the same effect: autovacuum learns what to do from those counters.
///
/// ## What to do
/// Switch it on. If it is felt to be in the way, make it gentler (`autovacuum_vacuum_cost_delay`) or adjust single tables.
///
/// ## When it is wrong to obey
/// During a bulk load into a server that nobody uses yet.
///
/// What is set for the advisor's own login or database says nothing of the server: then this is not judged.
///
/// Source: PostgreSQL's chapter "Automatic Vacuuming".
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutovacuumOff {}

impl Rule for AutovacuumOff {
    const ID: &'static str = "vacuum.autovacuum_off";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let settings = &place.observation.server.settings;
        let mut found = Found::default();
        for name in ["autovacuum", "track_counts"] {
            let setting = settings
                .get(name)
                .ok_or_else(|| Unknown::because(format!("{name} could not be read")))?;
            if !setting.is_servers() {
                found.undecided.push(vec![name.to_owned()]);
                found.untold = Some(format!(
                    "{name} is set for the advisor's login, database or session (source: {}), so that the server's own \
                     value cannot be seen: look with a login that has no such setting",
                    setting.source
                ));
            } else if setting.value == "off" {
                found.claims.push(claim(place, name, setting));
            }
        }
        match found.untold {
            Some(reason) if found.claims.is_empty() => Err(Unknown::because(reason)),
            _ => Ok(found),
        }
    }
}

fn claim(place: &Place<'_>, name: &str, setting: &Setting) -> Claim {
    let object = Object {
        kind: ObjectKind::Setting,
        schema: None,
        name: name.to_owned(),
        table: None,
    };
    Claim {
        title: format!("{name} is off: autovacuum does not run"),
        explanation:
            "Dead row versions pile up and the planner's statistics grow old in every table; in the end \
                      transaction ids run out and the server stops taking writes."
                .to_owned(),
        evidence: evidence([
            ("setting", json!(setting.value)),
            ("source", json!(setting.source)),
        ]),
        evidence_sql: Some(format!(
            "SELECT name, setting, source, sourcefile FROM pg_settings WHERE name = '{name}'"
        )),
        confidence: measured("read from pg_settings"),
        remedy: remedy(name, setting),
        guards: vec![format!("the setting comes from: {}", setting.source)],
        ..place.claim(
            AutovacuumOff::ID,
            Severity::Critical,
            vec![name.to_owned()],
            Some(object),
        )
    }
}

/// What switches it on, where that can be said in SQL.
fn remedy(name: &str, setting: &Setting) -> Remedy {
    let (name, off) = (name.to_owned(), "off".to_owned());
    let mut caveats =
        vec!["Autovacuum will have work to catch up with: expect some load after it.".to_owned()];
    let (apply, undo) = match setting.source.as_str() {
        "command line" => {
            let where_it_is = format!(
                "ALTER SYSTEM has no effect: {name}=off is given on the server's command line. Take it out of what starts \
                 the server, then restart it."
            );
            caveats.insert(0, where_it_is);
            (vec![], vec![])
        }
        "global" => {
            caveats.push("It counts for new sessions.".to_owned());
            (
                vec![Statement::AlterAllRolesReset { name: name.clone() }],
                vec![Statement::AlterAllRolesSet { name, value: off }],
            )
        }
        _ => {
            let value = "on".to_owned();
            let on = Statement::AlterSystemSet {
                name: name.clone(),
                value,
            };
            // not RESET: that would leave it on where ALTER SYSTEM had switched it off
            let off = Statement::AlterSystemSet { name, value: off };
            (
                vec![on, Statement::ReloadConfiguration],
                vec![off, Statement::ReloadConfiguration],
            )
        }
    };
    Remedy {
        apply_sql: apply.iter().map(Statement::sql).collect(),
        undo_sql: undo.iter().map(Statement::sql).collect(),
        rewrites_table: Some(false),
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, set, severities};

    fn observed(autovacuum: (&str, &str), track_counts: (&str, &str)) -> Observation {
        let mut observed = observation(vec![], 0.0);
        for (name, (value, source)) in [("autovacuum", autovacuum), ("track_counts", track_counts)] {
            set(&mut observed, name, value);
            observed.server.settings.get_mut(name).unwrap().source = source.into();
        }
        observed
    }

    const ON: (&str, &str) = ("on", "default");

    #[test]
    fn either_setting_is_enough_and_an_unread_one_is_unknown() {
        assert!(claims::<AutovacuumOff>(&observation(vec![], 0.0)).is_err());
        assert_eq!(severities::<AutovacuumOff>(&observed(ON, ON)), []);
        let off = ("off", "configuration file");
        assert_eq!(
            severities::<AutovacuumOff>(&observed(ON, off)),
            [Severity::Critical]
        );
        let mut standby = observed(off, ON);
        standby.server.is_standby = true;
        assert!(claims::<AutovacuumOff>(&standby).is_err());
    }

    #[test]
    fn what_is_set_for_the_login_says_nothing_of_the_server() {
        for source in ["user", "database", "database user", "client", "session"] {
            for value in ["off", "on"] {
                let unknown = claims::<AutovacuumOff>(&observed(ON, (value, source))).unwrap_err();
                assert!(unknown.reason.contains(&format!("source: {source}")));
            }
        }
        let found =
            found::<AutovacuumOff>(&observed(("off", "configuration file"), ("off", "user"))).unwrap();
        assert_eq!(found.claims.len(), 1);
        assert_eq!(found.undecided, [["track_counts"]]);
    }

    #[test]
    fn the_remedy_is_one_that_has_an_effect() {
        let remedy = |source: &str| {
            let claims = claims::<AutovacuumOff>(&observed(ON, ("off", source))).unwrap();
            claims[0].remedy.clone()
        };
        assert_eq!(
            remedy("configuration file").apply_sql[0],
            "ALTER SYSTEM SET track_counts = 'on'"
        );
        assert_eq!(
            remedy("configuration file").undo_sql[0],
            "ALTER SYSTEM SET track_counts = 'off'"
        );
        assert_eq!(remedy("global").apply_sql, ["ALTER ROLE ALL RESET track_counts"]);
        let fixed = remedy("command line");
        assert_eq!((fixed.apply_sql.len(), fixed.undo_sql.len()), (0, 0));
        assert!(fixed.caveats[0].starts_with("ALTER SYSTEM has no effect"));
    }
}
