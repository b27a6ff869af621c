//! What nobody hears of under the other names of a running server, since it is left out there alone: told under this one.

use super::RuleSettings;
use crate::model::finding::Claim;
use crate::model::judgement::{OwnOutcome, RuleOutcome, ToldBy, Verdict};
use crate::model::selector::{Ignore, Selector, matches};
use crate::rules::{Place, RuleKind};

/// A claim of what nobody hears of under the other name. It says for itself how long it must last and be gone: the outcome of its
/// place is that of the rest, which is told there.
pub(super) fn told_here_alone(claim: Claim, here: &RuleOutcome) -> Claim {
    Claim {
        hold: claim.hold.or(Some(here.hold)),
        clear: claim.clear.or(Some(here.clear)),
        ..claim
    }
}

/// What is left out under each name that would tell it, by what the configuration says of those names and not of this one:
/// nobody hears of it but under this name.
pub(super) struct Unheard<'a> {
    ignores: Vec<&'a Ignore>,
    settings: &'a RuleSettings,
    tellers: Vec<&'a str>,
    /// For what it is left out there.
    selectors: Vec<Selector>,
}

/// What is ignored, as far as a finding tells that was made earlier: who caused it is not stored, neither role nor application.
fn ignored_things(ignore: &Ignore) -> Selector {
    let mut selector = ignore.selector.clone();
    if selector.is_of_every_role() {
        selector.role.clone_from(&ignore.application);
    }
    selector
}

/// What became of a rule by all of its settings here: what some of them cannot tell is not known.
fn by_all_settings(here: &RuleOutcome) -> Verdict {
    let own = here.own.iter().map(|own| own.verdict.clone());
    own.fold(here.verdict.clone(), |so_far, own| match (so_far, own) {
        (
            Verdict::Evaluated {
                undecided: mut subjects,
                absence_counts: counts,
                untold: why,
            },
            Verdict::Evaluated {
                undecided,
                absence_counts,
                untold,
            },
        ) => {
            subjects.extend(undecided);
            Verdict::Evaluated {
                undecided: subjects,
                absence_counts: counts && absence_counts,
                untold: why.or(untold),
            }
        }
        (Verdict::Evaluated { .. }, unknown) | (unknown, _) => unknown,
    })
}

impl<'a> Unheard<'a> {
    pub(super) fn of(
        rule: &RuleKind,
        settings: &'a RuleSettings,
        ignores: &[&'a Ignore],
        place: &Place<'_>,
        other: &'a ToldBy,
    ) -> Self {
        let here = place.observation.server.name.as_str();
        let database = place.database.map(|database| database.name.as_str());
        // of what is only waited for nothing is known yet
        let tellers = match other.is_settled() {
            true => other.tellers(rule.id, database),
            false => Vec::new(),
        };
        let is_for_them = |selector: &Selector| {
            let may_select = |name: &&str| selector.may_select(name, database);
            tellers.iter().any(may_select) && !selector.may_select(here, database)
        };
        let is_meant = |ignore: &&Ignore| matches(&ignore.rule, rule.id) && is_for_them(&ignore.selector);
        let ignores: Vec<&Ignore> = ignores.iter().copied().filter(is_meant).collect();
        let own = settings.overrides.iter();
        let off = own.filter(|own| !own.enabled && is_for_them(&own.selector));
        let off = off.map(|own| own.selector.clone());
        let selectors: Vec<Selector> = ignores
            .iter()
            .map(|ignore| ignored_things(ignore))
            .chain(off)
            .collect();
        // what one of them tells is heard of
        let leaves_out = |name: &&str| {
            selectors
                .iter()
                .any(|selector| selector.may_select(name, database))
        };
        let is_left_out = tellers.iter().all(leaves_out);
        let (tellers, selectors) = match is_left_out {
            true => (tellers, selectors),
            false => (Vec::new(), Vec::new()),
        };
        Self {
            ignores,
            settings,
            tellers,
            selectors,
        }
    }

    /// What became of a place: told there, but for what nobody hears of there, of which `here` tells.
    pub(super) fn beside(&self, told_there: RuleOutcome, here: &RuleOutcome) -> RuleOutcome {
        let verdict = by_all_settings(here);
        let own = self.selectors.iter().map(|selector| OwnOutcome {
            selector: selector.clone(),
            verdict: verdict.clone(),
        });
        RuleOutcome {
            own: own.collect(),
            ..told_there
        }
    }

    pub(super) fn may_be_any(&self) -> bool {
        !self.tellers.is_empty()
    }

    /// Whether a claim is one of those.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        self.may_be_any()
            && self
                .tellers
                .iter()
                .all(|name| self.is_left_out_under(name, claim))
    }

    fn is_left_out_under(&self, name: &str, claim: &Claim) -> bool {
        let there = Claim {
            server: name.to_owned(),
            ..claim.clone()
        };
        let mut own = self.settings.overrides.iter();
        let meant = own.rfind(|own| own.selector.selects(&there));
        let is_on = meant.map_or(self.settings.enabled, |own| own.enabled);
        !is_on || self.ignores.iter().any(|ignore| ignore.selects(&there))
    }
}
