//! config.random_page_cost

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::snapshot::Setting;
use crate::rules::{Found, Place, Rule, Scope, number, settings};

/// The planner's costs, or how many reads may be under way at once, are those of a spinning disk, while the data are
/// on solid-state storage.
///
/// ## Why it is bad
/// `random_page_cost` 4 says that a page at a random place costs four times a page that follows the one before. That
/// was measured on disks that spin, with a part of the pages cached. On solid-state storage there is hardly a
/// difference, so the planner takes whole tables where an index would be faster. `effective_io_concurrency` 0 or 1
/// asks for one page after the other, though such storage serves hundreds of requests at once.
///
/// ## What to do
/// Set `random_page_cost` to 1.1 and `effective_io_concurrency` to 200, and look at the costliest statements before
/// and after.
///
/// ## When it is wrong to obey
/// If only some tablespaces are on solid-state storage: then set both for those alone (ALTER TABLESPACE … SET). If
/// plans were tuned to the present costs by hand.
///
/// No server tells of its storage: this is judged only where the configuration says `storage = "ssd"` in
/// `[[servers]]`. What tablespaces have of their own is not looked at.
///
/// Source: PostgreSQL's chapter "Query Planning", Planner Cost Constants, and "Resource Consumption", I/O.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomPageCost {
    /// How many times as dear as a sequential page (seq_page_cost) a random page must be set.
    info_cost_multiple: f64,
    /// The effective_io_concurrency up to which it is too little.
    info_concurrency: i64,
}

impl Default for RandomPageCost {
    fn default() -> Self {
        Self {
            info_cost_multiple: 4.0,
            info_concurrency: 1,
        }
    }
}

/// What is advised, as a multiple of seq_page_cost.
const ADVISED_COST_MULTIPLE: f64 = 1.1;
const ADVISED_CONCURRENCY: &str = "200";
const COST: &str = "random_page_cost";
const CONCURRENCY: &str = "effective_io_concurrency";

impl Rule for RandomPageCost {
    const ID: &'static str = "config.random_page_cost";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        match place.observation.server.declared.is_solid_state {
            Some(true) => {}
            Some(false) => return Ok(Found::default()),
            None => {
                return Err(Unknown::because(
                    "on what storage the data are is not known: write storage = \"ssd\" into [[servers]] of the \
                     configuration if it is solid-state",
                ));
            }
        }
        let mut found = Found::default();
        let mut reasons = Vec::new();
        let parts = [(COST, self.cost(place)), (CONCURRENCY, self.concurrency(place))];
        for (name, judged) in parts {
            match judged {
                Ok(claim) => found.claims.extend(claim),
                Err(unknown) => {
                    found.undecided.push(vec![name.to_owned()]);
                    reasons.push(unknown.reason);
                }
            }
        }
        if reasons.len() == 2 {
            return Err(Unknown::because(reasons.join("; ")));
        }
        found.untold = (!reasons.is_empty()).then(|| reasons.join("; "));
        Ok(found)
    }
}

/// The server's own value as a number.
fn value<'a>(place: &Place<'a>, name: &str) -> Result<(&'a Setting, f64), Unknown> {
    let setting = settings::servers_own(place, name)?;
    match setting.value.parse::<f64>() {
        Ok(value) => Ok((setting, value)),
        Err(_) => Err(Unknown::because(format!("{name} could not be read"))),
    }
}

impl RandomPageCost {
    fn cost(&self, place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
        let (setting, random) = value(place, COST)?;
        let (_, sequential) = value(place, "seq_page_cost")?;
        if sequential <= 0.0 || random / sequential < self.info_cost_multiple {
            return Ok(None);
        }
        let advised = (sequential * ADVISED_COST_MULTIPLE * 10_000.0).round() / 10_000.0;
        let mut claim = claim(place, COST, setting);
        claim.title = format!("{COST} is {random} on solid-state storage");
        claim.explanation = format!(
            "The planner believes that a page at a random place costs {:.1} times a page that follows the one before, as on \
             a disk that spins. On solid-state storage there is hardly a difference: it reads whole tables where an index \
             would be faster. Set it to {advised}.",
            random / sequential
        );
        claim
            .evidence
            .insert("seq_page_cost".to_owned(), number(sequential));
        claim.remedy = settings::change(
            &place.observation.server,
            COST,
            &advised.to_string(),
            &[
                "It changes plans: compare the costliest statements before and after.",
                "It counts for all tablespaces that have no cost of their own.",
            ],
        );
        Ok(Some(claim))
    }

    fn concurrency(&self, place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
        let (setting, concurrency) = value(place, CONCURRENCY)?;
        // 0 from the start on is what a system has that cannot prefetch, and takes no other value
        let cannot = concurrency == 0.0 && setting.source == "default";
        if cannot || concurrency > self.info_concurrency as f64 {
            return Ok(None);
        }
        let mut claim = claim(place, CONCURRENCY, setting);
        claim.title = format!("{CONCURRENCY} is {concurrency} on solid-state storage");
        claim.explanation = format!(
            "A session asks for pages one after the other where it could have many requests under way, in bitmap heap scans \
             above all. Solid-state storage serves hundreds at once. Set it to {ADVISED_CONCURRENCY}."
        );
        claim.remedy = settings::change(
            &place.observation.server,
            CONCURRENCY,
            ADVISED_CONCURRENCY,
            &["It counts for all tablespaces that have no value of their own."],
        );
        Ok(Some(claim))
    }
}

/// What both have in common.
fn claim(place: &Place<'_>, name: &str, setting: &Setting) -> Claim {
    let mut claim = settings::claim(place, RandomPageCost::ID, Severity::Info, name, setting);
    claim.evidence.insert("storage".to_owned(), json!("ssd"));
    claim
        .evidence
        .insert("storage_known_from".to_owned(), json!("the configuration"));
    claim
        .guards
        .push("the storage is declared as solid-state".to_owned());
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, set};

    fn observed(random: &str, sequential: &str, concurrency: &str) -> Observation {
        let mut observed = observation(vec![], 0.0);
        observed.server.declared.is_solid_state = Some(true);
        set(&mut observed, COST, random);
        set(&mut observed, "seq_page_cost", sequential);
        set(&mut observed, CONCURRENCY, concurrency);
        observed
    }

    fn named(observed: &Observation) -> Vec<String> {
        let claims = claims::<RandomPageCost>(observed).unwrap();
        claims.into_iter().flat_map(|claim| claim.subject).collect()
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(named(&observed("4", "1", "200")), [COST]);
        assert_eq!(named(&observed("3.99", "1", "200")), [""; 0]);
        assert_eq!(
            named(&observed("4", "2", "200")),
            [""; 0],
            "it is the relation that counts"
        );
        assert_eq!(named(&observed("0.4", "0.1", "200")), [COST]);
        assert_eq!(
            named(&observed("4", "0", "200")),
            [""; 0],
            "nothing to compare with"
        );
        assert_eq!(named(&observed("1.1", "1", "2")), [""; 0]);
        assert_eq!(named(&observed("1.1", "1", "1")), [CONCURRENCY]);
        assert_eq!(named(&observed("1.1", "1", "0")), [CONCURRENCY]);
    }

    #[test]
    fn what_is_advised_keeps_the_relation() {
        let advised = |sequential: &str| {
            let observed = observed("40", sequential, "200");
            claims::<RandomPageCost>(&observed).unwrap()[0].remedy.apply_sql[0].clone()
        };
        assert_eq!(advised("1"), "ALTER SYSTEM SET random_page_cost = '1.1'");
        assert_eq!(advised("0.5"), "ALTER SYSTEM SET random_page_cost = '0.55'");
    }

    #[test]
    fn a_system_that_cannot_prefetch_is_left_alone() {
        let mut observed = observed("1.1", "1", "0");
        observed.server.settings.get_mut(CONCURRENCY).unwrap().source = "default".into();
        assert_eq!(named(&observed), [""; 0]);
    }

    #[test]
    fn only_declared_storage_is_judged() {
        let mut observed = observed("4", "1", "1");
        observed.server.declared.is_solid_state = Some(false);
        assert_eq!(named(&observed), [""; 0]);
        observed.server.declared.is_solid_state = None;
        let unknown = claims::<RandomPageCost>(&observed).unwrap_err();
        assert!(unknown.reason.contains("storage = \"ssd\""), "{}", unknown.reason);
    }

    #[test]
    fn one_that_is_hidden_does_not_hide_the_other() {
        let mut hidden = observed("4", "1", "1");
        hidden.server.settings.get_mut(COST).unwrap().source = "user".into();
        let found = found::<RandomPageCost>(&hidden).unwrap();
        assert_eq!(
            (found.claims.len(), found.undecided),
            (1, vec![vec![COST.to_owned()]])
        );
        assert!(found.untold.unwrap().contains("source: user"));
        hidden.server.settings.remove(CONCURRENCY);
        assert!(claims::<RandomPageCost>(&hidden).is_err());
    }
}
