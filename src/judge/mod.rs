//! Runs the rules over one observation, bounds and orders what comes out. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::limits;
use crate::model::finding::{ConfidenceLevel, by_impact};
use crate::model::judgement::{Judgement, RuleOutcome, Verdict};
use crate::model::observation::{DatabaseObservation, Observation, Unknown};
use crate::model::unit::Period;
use crate::rules::{self, Found, Place, RuleKind, Scope};

/// What the configuration says of one rule.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RuleSettings {
    pub enabled: bool,
    pub hold: Period,
    pub clear: Period,
    pub thresholds: Value,
}

/// Every rule's settings, by id; a rule that is not named runs with its defaults.
pub type Settings = BTreeMap<String, RuleSettings>;

/// The settings of one rule.
pub fn settings_of(settings: &Settings, rule: &RuleKind) -> RuleSettings {
    settings.get(rule.id).cloned().unwrap_or_else(|| RuleSettings {
        enabled: true,
        hold: rule.hold,
        clear: rule.clear,
        thresholds: (rule.defaults)(),
    })
}

/// Judges one observation by every rule that is switched on.
pub fn judge(observation: &Observation, settings: &Settings) -> Judgement {
    let mut judgement = Judgement::default();
    for rule in rules::all() {
        let chosen = settings_of(settings, rule);
        if !chosen.enabled {
            continue;
        }
        match rule.scope {
            Scope::Server => judge_place(rule, &chosen, observation, None, &mut judgement),
            Scope::Database => {
                for database in &observation.databases {
                    judge_place(rule, &chosen, observation, Some(database), &mut judgement);
                }
                skip_unseen(rule, &chosen, observation, &mut judgement);
            }
        }
    }
    judgement.claims.sort_by(by_impact);
    judgement.unbroken_within = Period::seconds(limits::UNBROKEN_WITHIN.as_secs());
    let databases = &observation.server.databases;
    judgement.databases = Some(databases.iter().map(|database| database.name.clone()).collect());
    judgement
}

fn judge_place(
    rule: &RuleKind,
    settings: &RuleSettings,
    observation: &Observation,
    database: Option<&DatabaseObservation>,
    judgement: &mut Judgement,
) {
    let found = (rule.judge)(
        &settings.thresholds,
        &Place {
            observation,
            database,
        },
    );
    let name = database.map(|database| database.name.clone());
    let verdict = match found {
        Ok(mut found) => {
            let mut undecided = std::mem::take(&mut found.undecided);
            let absence_counts = found.absence_is_no_proof.is_none();
            let untold = found.untold.clone().or(found.absence_is_no_proof.clone());
            keep(rule, settings, observation, found, &mut undecided, judgement);
            Verdict::Evaluated {
                undecided,
                absence_counts,
                untold,
            }
        }
        Err(Unknown { reason, remedy_sql }) => Verdict::Skipped { reason, remedy_sql },
    };
    judgement.outcomes.push(outcome(rule, settings, name, verdict));
}

/// Takes in the worst claims; the rest are counted, and keep the state that they have.
fn keep(
    rule: &RuleKind,
    settings: &RuleSettings,
    observation: &Observation,
    found: Found,
    undecided: &mut Vec<Vec<String>>,
    judgement: &mut Judgement,
) {
    let mut claims = found.claims;
    claims.sort_by(by_impact);
    let dropped = claims.split_off(claims.len().min(limits::FINDINGS_PER_RULE));
    let beyond = found.beyond.into_iter();
    let dropped: Vec<Vec<String>> = beyond
        .chain(dropped.into_iter().map(|claim| claim.subject))
        .collect();
    judgement.dropped_claims += dropped.len();
    undecided.extend(dropped);
    for mut claim in claims {
        if observation.single_look && rule.hold > Period::seconds(0) {
            claim
                .guards
                .push(format!("not checked: duration ({})", settings.hold));
            claim.confidence.level = ConfidenceLevel::Estimated;
            claim.confidence.reason = format!("{}; not checked: duration", claim.confidence.reason);
        }
        claim.title = crate::sql::cut(&claim.title, 200).to_owned();
        judgement.claims.push(claim);
    }
}

fn outcome(
    rule: &RuleKind,
    settings: &RuleSettings,
    database: Option<String>,
    verdict: Verdict,
) -> RuleOutcome {
    RuleOutcome {
        rule: rule.id.to_owned(),
        database,
        verdict,
        hold: settings.hold,
        clear: settings.clear,
    }
}

/// Databases that are meant to be watched but could not be visited: their rules are skipped, never silently passed.
fn skip_unseen(
    rule: &RuleKind,
    settings: &RuleSettings,
    observation: &Observation,
    judgement: &mut Judgement,
) {
    for gap in observation.gaps.iter().filter(|gap| gap.fact == "database") {
        let verdict = Verdict::Skipped {
            reason: gap.why.clone(),
            remedy_sql: gap.remedy_sql.clone(),
        };
        judgement
            .outcomes
            .push(outcome(rule, settings, gap.database.clone(), verdict));
    }
}
