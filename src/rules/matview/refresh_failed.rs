//! matview.refresh_failed

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::refresh::{MaterializedView, Outcome, Run};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, view_object, view_subject};

/// The last refresh of a materialized view failed.
///
/// ## Why it is bad
/// The view shows what was true before, and nobody who reads it sees that.
///
/// ## What to do
/// The evidence has what the server said. A lock that was not to be had, of the view or of a table that it reads: see who
/// holds it, and allow more time (`lock_timeout`, `retries`). A cancelled plain refresh: create the unique index that
/// CONCURRENTLY needs. Rows that are not unique: the query changed its meaning. A missing right: the message has the GRANT.
///
/// ## When it is wrong to obey
/// When somebody ended it on purpose. It is over with the next refresh that is done, by whomever.
///
/// Source: the recorded refreshes; PostgreSQL's appendix "Error Codes".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshFailed {
    /// Critical from this many failures in a row on.
    pub critical_failures: u32,
}

impl Default for RefreshFailed {
    fn default() -> Self {
        Self { critical_failures: 3 }
    }
}

impl Rule for RefreshFailed {
    const ID: &'static str = "matview.refresh_failed";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let mut found = Found::default();
        for (view, refreshing) in place.refreshed_views()? {
            // what we cancelled ourselves says nothing
            let runs = refreshing
                .runs
                .iter()
                .filter(|run| run.outcome != Outcome::Cancelled);
            if runs
                .clone()
                .next()
                .is_some_and(|run| run.outcome == Outcome::Refreshed)
            {
                found.mended.push(view_subject(view));
                continue;
            }
            let failed: Vec<&Run> = runs.take_while(|run| run.outcome == Outcome::Failed).collect();
            let failures: u32 = failed.iter().map(|run| run.times).sum();
            let Some(last) = failed.first() else { continue };
            // somebody else did it since
            if refreshing
                .status
                .refreshed_at
                .is_some_and(|at| at > last.ended_at)
            {
                found.mended.push(view_subject(view));
                continue;
            }
            let severity = match failures >= self.critical_failures {
                true => Severity::Critical,
                false => Severity::Warning,
            };
            found.claim_worst_first(
                place,
                || view_subject(view),
                || claim(place, view, last, failures, severity),
            );
        }
        Ok(found)
    }
}

fn claim(place: &Place<'_>, view: &MaterializedView, last: &Run, failures: u32, severity: Severity) -> Claim {
    let name = view.name.sql();
    let times = match failures {
        1 => "failed".to_owned(),
        times => format!("failed {times} times in a row"),
    };
    Claim {
        title: format!("Refreshing {name} {times}"),
        explanation: format!(
            "{}. Until it works, the view shows what was true before.{}",
            last.reason,
            who_holds(last)
        ),
        evidence: evidence([
            ("failures_in_a_row", json!(failures)),
            ("last_failure_at", json!(last.ended_at)),
            ("sqlstate", json!(last.sqlstate)),
            ("message", json!(last.message)),
        ]),
        confidence: measured("what the server answered"),
        ..place.claim(
            RefreshFailed::ID,
            severity,
            view_subject(view),
            Some(view_object(view)),
        )
    }
}

/// Where it is told who has locked what a refresh waited for; the server does not say which of the relations it was.
fn who_holds(last: &Run) -> &'static str {
    match last.sqlstate.as_deref() {
        Some("55P03") => {
            " Who has locked it: activity.blocking tells it while others wait, too, activity.idle_in_transaction what a \
             transaction holds that was left open."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::rules::testing::{claims, found, now, refreshed_view, run, severities};

    #[test]
    fn a_refresh_that_is_done_ends_it_at_once() {
        let mended = |outcomes: &[Outcome], refreshed_seconds_later: i64| {
            let observed = refreshed_view(|view| {
                view.runs = outcomes.iter().map(|outcome| run(*outcome, 1.0)).collect();
                view.status.refreshed_at = Some(now() + TimeDelta::seconds(refreshed_seconds_later));
            });
            found::<RefreshFailed>(&observed).unwrap().mended
        };
        let of_the_view = [["public".to_owned(), "v".to_owned()]];
        assert_eq!(mended(&[Outcome::Refreshed, Outcome::Failed], 0), of_the_view);
        assert_eq!(
            mended(&[Outcome::Cancelled, Outcome::Refreshed, Outcome::Failed], 0),
            of_the_view
        );
        assert_eq!(mended(&[Outcome::Failed], 1), of_the_view, "somebody else did it");
        assert!(mended(&[Outcome::Failed, Outcome::Refreshed], 0).is_empty());
        assert!(
            mended(&[Outcome::Skipped, Outcome::Failed], 0).is_empty(),
            "nobody tried"
        );
    }

    #[test]
    fn where_a_lock_was_not_to_be_had_it_is_told_who_knows_the_holder() {
        let told = |sqlstate: &str| {
            let failed = Run {
                sqlstate: Some(sqlstate.into()),
                ..run(Outcome::Failed, 1.0)
            };
            let observed = refreshed_view(|view| view.runs = vec![failed]);
            claims::<RefreshFailed>(&observed).unwrap().remove(0).explanation
        };
        assert!(told("55P03").contains("activity.blocking"));
        assert!(!told("22012").contains("activity.blocking"));
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |runs: Vec<Run>, refreshed_seconds_later: Option<i64>| {
            severities::<RefreshFailed>(&refreshed_view(|view| {
                view.runs = runs;
                view.status.refreshed_at =
                    refreshed_seconds_later.map(|later| now() + TimeDelta::seconds(later));
            }))
        };
        let failed = |times| Run {
            times,
            ..run(Outcome::Failed, 1.0)
        };
        let made = || run(Outcome::Refreshed, 1.0);
        assert_eq!(severity(vec![failed(2), made()], None), vec![Severity::Warning]);
        assert_eq!(
            severity(vec![failed(2), failed(1), made()], None),
            vec![Severity::Critical]
        );
        assert_eq!(severity(vec![made(), failed(9)], None), vec![], "it is over");
        assert_eq!(
            severity(vec![failed(9)], Some(1)),
            vec![],
            "somebody else did it since"
        );
        assert_eq!(severity(vec![failed(1)], Some(-1)), vec![Severity::Warning]);
        let cancelled = run(Outcome::Cancelled, 1.0);
        assert_eq!(
            severity(vec![cancelled.clone(), made()], None),
            vec![],
            "we ended it ourselves"
        );
        assert_eq!(
            severity(vec![cancelled, failed(1)], None),
            vec![Severity::Warning]
        );
    }
}
