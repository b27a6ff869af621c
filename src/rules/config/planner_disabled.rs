//! config.planner_disabled

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::snapshot::Setting;
use crate::rules::{Found, Place, Rule, Scope, settings};

/// A kind of plan that is switched off for the whole server by one of the `enable_*` settings.
///
/// ## Why it is bad
/// These settings are made for looking at one statement: what would its plan be without a hash join? Off for the
/// whole server they take that kind of plan from every statement, also from those for which it is the best by far,
/// and from those that nobody has written yet. Most often one was set against a single bad plan and forgotten.
///
/// ## What to do
/// Switch it on, and mend the statement for which it was switched off: fresh statistics (ANALYZE, extended
/// statistics), an index, costs that fit the storage (`random_page_cost`). If one statement cannot do without it, set
/// it for that transaction (SET LOCAL) or for one role.
///
/// ## When it is wrong to obey
/// Where somebody measured the whole workload with and without it, and knows why it is off.
///
/// `enable_partitionwise_join` and `enable_partitionwise_aggregate` are off in every new server and are never named.
/// What is set for the advisor's own login or database says nothing of the server: then that setting is not judged.
/// What is set for other roles or databases alone is not seen.
///
/// Source: PostgreSQL's chapter "Query Planning", Planner Method Configuration.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannerDisabled {}

/// What these settings begin with.
const PREFIX: &str = "enable_";
/// Settings that are off in every new server.
const OFF_BY_DEFAULT: [&str; 2] = ["enable_partitionwise_aggregate", "enable_partitionwise_join"];

impl Rule for PlannerDisabled {
    const ID: &'static str = "config.planner_disabled";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let all = &place.observation.server.settings;
        let names: Vec<&String> = all
            .keys()
            .filter(|name| name.starts_with(PREFIX) && !OFF_BY_DEFAULT.contains(&name.as_str()))
            .collect();
        if names.is_empty() {
            return Err(Unknown::because("the planner's settings could not be read"));
        }
        let mut found = Found::default();
        let mut reasons = Vec::new();
        for name in &names {
            match settings::servers_own(place, name) {
                // one that a newer version has off by itself was switched off by nobody
                Ok(setting) if setting.value == "off" && setting.source != "default" => {
                    found.claims.push(claim(place, name, setting));
                }
                Ok(_) => {}
                Err(unknown) => {
                    found.undecided.push(vec![(*name).clone()]);
                    reasons.push(unknown.reason);
                }
            }
        }
        if reasons.len() == names.len() {
            return Err(Unknown::because(reasons.join("; ")));
        }
        found.untold = (!reasons.is_empty()).then(|| reasons.join("; "));
        Ok(found)
    }
}

fn claim(place: &Place<'_>, name: &str, setting: &Setting) -> Claim {
    let server = &place.observation.server;
    let claim = settings::claim(place, PlannerDisabled::ID, Severity::Info, name, setting);
    let mut guards = claim.guards.clone();
    guards.push("it is on in a new server".to_owned());
    Claim {
        title: format!("{name} is off for the whole server"),
        explanation: format!(
            "The planner avoids what {name} stands for in every statement of this server, also where that would be the \
             best plan by far. Usually it was meant against one bad plan: switch it on, and mend that statement by fresh \
             statistics, an index, or SET LOCAL in its transaction."
        ),
        remedy: settings::change(
            server,
            name,
            "on",
            &[
                "It changes plans: find out first for which statement it was switched off, and compare the costliest \
                 statements before and after.",
            ],
        ),
        guards,
        ..claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, set};

    fn observed(settings: &[(&str, &str, &str)]) -> Observation {
        let mut observed = observation(vec![], 0.0);
        set(&mut observed, "fsync", "off");
        for (name, value, source) in settings {
            set(&mut observed, name, value);
            observed.server.settings.get_mut(*name).unwrap().source = (*source).into();
        }
        observed
    }

    fn named(settings: &[(&str, &str, &str)]) -> Vec<String> {
        let claims = claims::<PlannerDisabled>(&observed(settings)).unwrap();
        claims.into_iter().flat_map(|claim| claim.subject).collect()
    }

    #[test]
    fn only_what_somebody_switched_off_is_named() {
        let file = "configuration file";
        assert_eq!(named(&[("enable_hashjoin", "on", "default")]), [""; 0]);
        assert_eq!(named(&[("enable_hashjoin", "on", file)]), [""; 0]);
        assert_eq!(named(&[("enable_hashjoin", "off", file)]), ["enable_hashjoin"]);
        assert_eq!(
            named(&[("enable_nestloop", "off", "global")]),
            ["enable_nestloop"]
        );
        let of_a_new_server = [
            ("enable_memoize", "on", "default"),
            ("enable_of_later", "off", "default"),
        ];
        assert_eq!(named(&of_a_new_server), [""; 0]);
        let by_nature = [
            ("enable_partitionwise_join", "off", file),
            ("enable_partitionwise_aggregate", "off", file),
            ("enable_memoize", "on", "default"),
        ];
        assert_eq!(named(&by_nature), [""; 0]);
    }

    #[test]
    fn it_is_switched_on_where_it_was_switched_off() {
        let remedy = |source: &str| {
            let observed = observed(&[("enable_hashjoin", "off", source)]);
            claims::<PlannerDisabled>(&observed).unwrap().remove(0).remedy
        };
        let file = remedy("configuration file");
        assert_eq!(file.apply_sql[0], "ALTER SYSTEM SET enable_hashjoin = 'on'");
        assert_eq!(file.undo_sql[0], "ALTER SYSTEM SET enable_hashjoin = 'off'");
        assert_eq!(
            remedy("global").apply_sql,
            ["ALTER ROLE ALL RESET enable_hashjoin"]
        );
        assert!(remedy("command line").apply_sql.is_empty());
    }

    #[test]
    fn what_is_set_for_the_login_says_nothing_of_the_server() {
        assert!(claims::<PlannerDisabled>(&observed(&[])).is_err());
        let hidden = ("enable_hashjoin", "off", "user");
        assert!(claims::<PlannerDisabled>(&observed(&[hidden])).is_err());
        let found =
            found::<PlannerDisabled>(&observed(&[hidden, ("enable_memoize", "on", "default")])).unwrap();
        assert_eq!(
            (found.claims.len(), found.undecided),
            (0, vec![vec!["enable_hashjoin".to_owned()]])
        );
        assert!(found.untold.unwrap().contains("source: user"));
    }
}
