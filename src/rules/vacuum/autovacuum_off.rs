//! vacuum.autovacuum_off

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::snapshot::Setting;
use crate::rules::{Found, Place, Rule, Scope, settings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// The settings without which autovacuum does not run.
pub const SETTINGS: [&str; 2] = ["autovacuum", "track_counts"];

impl Rule for AutovacuumOff {
    const ID: &'static str = "vacuum.autovacuum_off";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let all = &place.observation.server.settings;
        let mut found = Found::default();
        for name in SETTINGS {
            let setting = all
                .get(name)
                .ok_or_else(|| Unknown::because(format!("{name} could not be read")))?;
            if !setting.is_servers() {
                found.undecided.push(vec![name.to_owned()]);
                found.untold = Some(settings::hidden(name, setting));
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
    let catching_up = "Autovacuum will have work to catch up with: expect some load after it.";
    Claim {
        title: format!("{name} is off: autovacuum does not run"),
        explanation:
            "Dead row versions pile up and the planner's statistics grow old in every table; in the end transaction ids run \
             out and the server stops taking writes."
                .to_owned(),
        remedy: settings::change(&place.observation.server, name, "on", &[catching_up]),
        ..settings::claim(place, AutovacuumOff::ID, Severity::Critical, name, setting)
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
