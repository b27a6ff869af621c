//! matview.stale

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{Refreshing, Unknown};
use crate::model::refresh::MaterializedView;
use crate::model::unit::seconds_for_people;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number, view_object, view_subject};

/// A materialized view is older than its promised age, and what it reads has changed.
///
/// ## Why it is bad
/// Who reads the view believes that it is no older than was promised.
///
/// ## What to do
/// See on its page why: it failed, it waits for a lock or for hours in which it may run, it takes longer than its age allows,
/// it is paused, or nobody refreshes it. Then mend that, or promise less.
///
/// ## When it is wrong to obey
/// Never: a promise that does not matter should not stand in the configuration.
///
/// While nothing that a view reads changes, it does not grow old.
///
/// Source: the configuration's `[[refresh]]`, `max_age`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stale {
    /// A note from this many times the promised age on.
    pub info_times: f64,
    /// A warning from this many times on.
    pub warning_times: f64,
    /// Critical from this many times on.
    pub critical_times: f64,
}

impl Default for Stale {
    fn default() -> Self {
        Self {
            info_times: 1.0,
            warning_times: 2.0,
            critical_times: 5.0,
        }
    }
}

impl Rule for Stale {
    const ID: &'static str = "matview.stale";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let mut found = Found::default();
        let mut stale = Vec::new();
        for (view, refreshing) in place.refreshed_views()? {
            let Some(promise) = refreshing.status.max_age_seconds else {
                continue;
            };
            let Some(fresh) = refreshing.status.fresh_as_of else {
                found.undecided.push(view_subject(view));
                continue;
            };
            let age = (place.observation.now - fresh).num_milliseconds() as f64 / 1000.0;
            let severity = match age / promise {
                times if times >= self.critical_times => Severity::Critical,
                times if times >= self.warning_times => Severity::Warning,
                // of a promise that is just kept nobody has to hear
                times if times > self.info_times => Severity::Info,
                _ => continue,
            };
            stale.push((severity, view, refreshing, (age, promise)));
        }
        stale.sort_by_key(|(severity, ..)| Reverse(*severity));
        for (severity, view, refreshing, ages) in stale {
            found.claim_worst_first(
                place,
                || view_subject(view),
                || claim(place, view, refreshing, ages, severity),
            );
        }
        if !found.undecided.is_empty() {
            found.untold = Some(
                "how old some views are is not known: they were not refreshed since they are known"
                    .to_owned(),
            );
        }
        Ok(found)
    }
}

fn claim(
    place: &Place<'_>,
    view: &MaterializedView,
    refreshing: &Refreshing,
    (age, promise): (f64, f64),
    severity: Severity,
) -> Claim {
    let name = view.name.sql();
    let status = &refreshing.status;
    let why = match (&status.waits_for, status.is_paused, refreshing.runs.first()) {
        (_, true, _) => "It is paused.".to_owned(),
        (Some(waits), ..) => format!("It waits: {waits}."),
        (_, _, Some(run)) if run.outcome.is_failure() => format!("Its last refresh failed: {}.", run.reason),
        _ if !status.can_refresh => format!("It cannot be refreshed: {}.", status.how),
        _ => "Its page shows its last refreshes.".to_owned(),
    };
    Claim {
        title: format!(
            "{name} is {} old, and was promised to be younger than {}",
            seconds_for_people(age),
            seconds_for_people(promise)
        ),
        explanation: format!("What it reads has changed since, or it is not known whether it has. {why}"),
        evidence: evidence([
            ("age_seconds", number(age)),
            ("promised_age_seconds", number(promise)),
            ("last_refresh_at", json!(status.refreshed_at)),
        ]),
        confidence: measured("reckoned from its last refresh"),
        guards: vec!["while nothing that it reads changes, it does not grow old".to_owned()],
        ..place.claim(Stale::ID, severity, view_subject(view), Some(view_object(view)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::rules::testing::{found, now, refreshed_view, severities};

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |age_seconds: Option<i64>| {
            let observed = refreshed_view(|view| {
                view.status.max_age_seconds = Some(600.0);
                view.status.fresh_as_of = age_seconds.map(|age| now() - TimeDelta::seconds(age));
            });
            (
                severities::<Stale>(&observed),
                found::<Stale>(&observed).unwrap().undecided.len(),
            )
        };
        assert_eq!(severity(Some(600)), (vec![], 0), "a promise that is just kept");
        assert_eq!(severity(Some(601)), (vec![Severity::Info], 0));
        assert_eq!(severity(Some(1200)), (vec![Severity::Warning], 0));
        assert_eq!(severity(Some(3000)), (vec![Severity::Critical], 0));
        assert_eq!(severity(None), (vec![], 1), "its age is not known");
        let old = refreshed_view(|view| view.status.fresh_as_of = Some(now() - TimeDelta::days(9)));
        assert_eq!(severities::<Stale>(&old), vec![], "nothing was promised");
    }
}
