//! vacuum.autovacuum_off

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
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
/// Source: PostgreSQL's chapter "Automatic Vacuuming".
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutovacuumOff {}

impl Rule for AutovacuumOff {
    const ID: &'static str = "vacuum.autovacuum_off";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let settings = &place.observation.server.settings;
        let mut claims = Vec::new();
        for name in ["autovacuum", "track_counts"] {
            let setting = settings
                .get(name)
                .ok_or_else(|| Unknown::because(format!("{name} could not be read")))?;
            if setting.value != "off" {
                continue;
            }
            let object = Object {
                kind: ObjectKind::Setting,
                schema: None,
                name: name.to_owned(),
                table: None,
            };
            claims.push(Claim {
                title: format!("{name} is off: autovacuum does not run"),
                explanation: "Dead row versions pile up and the planner's statistics grow old in every table; in the end \
                              transaction ids run out and the server stops taking writes."
                    .to_owned(),
                evidence: evidence([("setting", json!(setting.value)), ("source", json!(setting.source))]),
                evidence_sql: Some(format!("SELECT name, setting, source, sourcefile FROM pg_settings WHERE name = '{name}'")),
                confidence: measured("read from pg_settings"),
                remedy: Remedy {
                    apply_sql: vec![
                        Statement::AlterSystemSet { name: name.to_owned(), value: "on".to_owned() }.sql(),
                        Statement::ReloadConfiguration.sql(),
                    ],
                    undo_sql: vec![
                        Statement::AlterSystemReset { name: name.to_owned() }.sql(),
                        Statement::ReloadConfiguration.sql(),
                    ],
                    lock: None,
                    rewrites_table: Some(false),
                    caveats: vec!["Autovacuum will have work to catch up with: expect some load after it.".to_owned()],
                    ..Remedy::default()
                },
                guards: vec![format!("the setting comes from: {}", setting.source)],
                ..place.claim(Self::ID, Severity::Critical, vec![name.to_owned()], Some(object))
            });
        }
        Ok(Found {
            claims,
            ..Found::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, observation, set, severities};

    #[test]
    fn either_setting_is_enough_and_an_unread_one_is_unknown() {
        let mut observed = observation(vec![], 0.0);
        assert!(claims::<AutovacuumOff>(&observed).is_err());
        set(&mut observed, "autovacuum", "on");
        set(&mut observed, "track_counts", "on");
        assert_eq!(severities::<AutovacuumOff>(&observed), []);
        set(&mut observed, "track_counts", "off");
        assert_eq!(severities::<AutovacuumOff>(&observed), [Severity::Critical]);
    }
}
