//! matview.overrun

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{Refreshing, Unknown};
use crate::model::refresh::{MaterializedView, Outcome};
use crate::model::unit::seconds_for_people;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number, view_object, view_subject};

/// Refreshing a materialized view takes nearly as long as the time until it is due again.
///
/// ## Why it is bad
/// The view is refreshed without end, its readers are locked out or the server writes its rows over and over; as soon as it
/// takes a little longer, moments are missed.
///
/// ## What to do
/// Refresh it more seldom, make its query faster (its plan is that of its definition), give it more work_mem, or keep a
/// summary table up to date instead.
///
/// ## When it is wrong to obey
/// If the view is meant to be refreshed again and again as fast as it goes.
///
/// Source: the configuration's `[[refresh]]`, and the recorded refreshes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overrun {
    /// A warning from this part of the interval on.
    pub warning_share: f64,
    /// So many of the last refreshes are looked at.
    pub min_runs: usize,
}

impl Default for Overrun {
    fn default() -> Self {
        Self {
            warning_share: 0.8,
            min_runs: 3,
        }
    }
}

impl Rule for Overrun {
    const ID: &'static str = "matview.overrun";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let mut found = Found::default();
        let mut slow = Vec::new();
        for (view, refreshing) in place.refreshed_views()? {
            let Some(interval) = refreshing.status.interval_seconds else {
                continue;
            };
            let made = refreshing
                .runs
                .iter()
                .filter(|run| run.outcome == Outcome::Refreshed);
            let mut seconds: Vec<f64> = made
                .filter_map(|run| run.elapsed_seconds)
                .take(self.min_runs.max(1))
                .collect();
            if seconds.len() < self.min_runs {
                continue;
            }
            seconds.sort_by(f64::total_cmp);
            let typical = seconds[seconds.len() / 2];
            let severity = match typical / interval {
                share if share >= 1.0 => Severity::Critical,
                share if share > self.warning_share => Severity::Warning,
                _ => continue,
            };
            slow.push((severity, view, refreshing, (typical, interval)));
        }
        slow.sort_by_key(|(severity, ..)| Reverse(*severity));
        for (severity, view, refreshing, times) in slow {
            found.claim_worst_first(
                place,
                || view_subject(view),
                || claim(place, view, refreshing, times, severity),
            );
        }
        Ok(found)
    }
}

fn claim(
    place: &Place<'_>,
    view: &MaterializedView,
    refreshing: &Refreshing,
    (typical, interval): (f64, f64),
    severity: Severity,
) -> Claim {
    let name = view.name.sql();
    let schedule = refreshing.status.schedule.clone().unwrap_or_default();
    Claim {
        title: format!(
            "Refreshing {name} takes {} of the {} until it is due again",
            seconds_for_people(typical),
            seconds_for_people(interval)
        ),
        explanation: format!(
            "It is refreshed {schedule}, and a refresh takes {}: {}.",
            seconds_for_people(typical),
            match severity {
                Severity::Critical => "it is due again before it is done",
                _ => "a little more load, and it is due again before it is done",
            }
        ),
        evidence: evidence([
            ("typical_seconds", number(typical)),
            ("interval_seconds", number(interval)),
            ("schedule", json!(schedule)),
        ]),
        confidence: measured("the median of its last refreshes"),
        ..place.claim(Overrun::ID, severity, view_subject(view), Some(view_object(view)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{refreshed_view, run, severities};

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |outcomes: &[(Outcome, f64)]| {
            let observed = refreshed_view(|view| {
                let runs = outcomes.iter().map(|(outcome, seconds)| run(*outcome, *seconds));
                view.runs = runs.collect();
            });
            severities::<Overrun>(&observed)
        };
        let three = |seconds: f64| severity(&[(Outcome::Refreshed, seconds); 3]);
        assert_eq!(three(480.0), vec![], "four fifths of ten minutes");
        assert_eq!(three(481.0), vec![Severity::Warning]);
        assert_eq!(three(600.0), vec![Severity::Critical]);
        assert_eq!(
            severity(&[(Outcome::Refreshed, 900.0); 2]),
            vec![],
            "two say nothing"
        );
        let made = |seconds| (Outcome::Refreshed, seconds);
        assert_eq!(
            severity(&[made(900.0), made(9.0), made(9.0)]),
            vec![],
            "one alone was slow"
        );
        let failed = (Outcome::Failed, 900.0);
        assert_eq!(
            severity(&[failed, failed, failed, made(9.0)]),
            vec![],
            "failures have their own rule"
        );
    }
}
