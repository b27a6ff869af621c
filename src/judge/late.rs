//! Problems that are seen late, because the advisor asks less often to stay within its budget.

use crate::model::observation::{Cadence, Observation};
use crate::model::unit::seconds_for_people;
use crate::rules::{Samples, Scope};

/// What is said of a claim whose looks or samples were slowed; none where they were on time. It is the same at every look
/// while the cadences stay, so that nothing is written down for it alone.
pub(super) fn guard(observation: &Observation, scope: Scope, samples: Samples) -> Option<String> {
    let cost = observation.own_cost.as_ref()?;
    let told = |does: &str, cadence: Cadence| {
        cadence.is_stretched().then(|| {
            let (now, usual) = (cadence.every_seconds, cadence.usual_seconds);
            format!(
                "{does} every {} instead of every {}",
                seconds_for_people(now),
                seconds_for_people(usual)
            )
        })
    };
    // what is told of the server as a whole needs no names
    let names = match scope {
        Scope::Database => told("reads names and definitions", cost.names),
        Scope::Server => None,
    };
    let sampling = match samples {
        Samples::Read => cost.sampling,
        Samples::Unread => None,
    };
    let sampling = sampling.and_then(|cadence| told("samples sessions", cadence));
    let all = [told("looks", cost.looks), names, sampling];
    let late: Vec<String> = all.into_iter().flatten().collect();
    (!late.is_empty()).then(|| {
        format!(
            "seen late: to stay within its budget the advisor {}",
            late.join(", and ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::judge::{Settings, judge};
    use crate::model::finding::Who;
    use crate::model::observation::OwnCost;
    use crate::rules;
    use crate::rules::testing::{observation, set, statement, waits};

    fn stretched(times: f64, usual: f64) -> Cadence {
        Cadence {
            every_seconds: times * usual,
            usual_seconds: usual,
        }
    }

    fn observed(looks: Cadence, names: Cadence) -> Observation {
        let mut observed = observation(vec![statement("SELECT 1 FROM shop", 100, 100.0)], 0.0);
        observed.own_cost = Some(OwnCost {
            looks,
            names,
            budget_ratio: 0.005,
            ..OwnCost::default()
        });
        observed
    }

    #[test]
    fn it_says_what_was_slowed_and_only_where_that_matters() {
        let (looks, names) = (stretched(4.0, 60.0), stretched(8.0, 600.0));
        let slowed = observed(looks, names);
        assert_eq!(
            guard(&slowed, Scope::Server, Samples::Unread).unwrap(),
            "seen late: to stay within its budget the advisor looks every 4 min instead of every 1 min"
        );
        let both = guard(&slowed, Scope::Database, Samples::Unread).unwrap();
        assert!(
            both.ends_with("1 min, and reads names and definitions every 1 h 20 min instead of every 10 min"),
            "{both}"
        );
        let names_only = observed(Cadence::usual(60.0), names);
        assert_eq!(guard(&names_only, Scope::Server, Samples::Unread), None);
        let told = guard(&names_only, Scope::Database, Samples::Unread).unwrap();
        assert!(told.contains("the advisor reads names"), "{told}");
    }

    #[test]
    fn on_time_nothing_is_said_and_neither_where_it_is_not_measured() {
        let mut on_time = observed(Cadence::usual(60.0), Cadence::usual(600.0));
        let unmeasured = observation(vec![], 0.0);
        for samples in [Samples::Read, Samples::Unread] {
            assert_eq!(guard(&on_time, Scope::Database, samples), None);
            assert_eq!(guard(&unmeasured, Scope::Database, samples), None);
        }
        sample(&mut on_time, Cadence::usual(5.0));
        assert_eq!(guard(&on_time, Scope::Server, Samples::Read), None);
    }

    fn sample(observed: &mut Observation, sampling: Cadence) {
        observed.own_cost.as_mut().unwrap().sampling = Some(sampling);
    }

    #[test]
    fn slowed_samples_make_late_what_needs_them() {
        let mut slowed = observed(Cadence::usual(60.0), Cadence::usual(600.0));
        sample(&mut slowed, stretched(8.0, 5.0));
        assert_eq!(
            guard(&slowed, Scope::Server, Samples::Read).unwrap(),
            "seen late: to stay within its budget the advisor samples sessions every 40 s instead of every 5.0 s"
        );
        assert_eq!(guard(&slowed, Scope::Server, Samples::Unread), None);
    }

    #[test]
    fn every_rule_that_samples_tell_something_says_that_it_needs_them() {
        let claims = |observed: &Observation| {
            let mut claims = judge(observed, &Settings::default()).claims;
            // only what is ignored goes by that
            claims.iter_mut().for_each(|claim| claim.who = Who::default());
            claims
        };
        let mut told = BTreeSet::new();
        // called often, often enough, and seldom
        for calls in [100, 20, 19] {
            let mut one = statement("SELECT 1 FROM a", calls, 10_000.0);
            one.max_seconds = Some(400.0);
            let mut observed = observation(vec![one], 0.0);
            let without = claims(&observed);
            observed.waits = Ok(waits(360, &[("Lock: transactionid", 600)]));
            let with = claims(&observed);
            let others = with.iter().filter(|claim| !without.contains(claim));
            told.extend(others.map(|claim| claim.rule.clone()));
        }
        let needing = rules::all().iter().filter(|rule| rule.samples == Samples::Read);
        let needing: BTreeSet<String> = needing.map(|rule| rule.id.to_owned()).collect();
        assert_eq!(told, needing);
    }

    #[test]
    fn every_claim_of_a_slowed_look_says_so_and_stays_the_same() {
        let of = |looks| {
            let mut observed = observed(looks, Cadence::usual(600.0));
            set(&mut observed, "autovacuum", "off");
            judge(&observed, &Settings::default()).claims
        };
        let is_late = |guard: &String| guard.starts_with("seen late: ");
        let claims = of(stretched(4.0, 60.0));
        assert!(claims.len() > 1);
        for claim in &claims {
            let late = claim.guards.iter().filter(|guard| is_late(guard)).count();
            assert_eq!(late, 1, "{}", claim.rule);
        }
        assert_eq!(claims, of(stretched(4.0, 60.0)));
        let on_time = of(Cadence::usual(60.0));
        assert!(!on_time.iter().flat_map(|claim| &claim.guards).any(is_late));
    }
}
