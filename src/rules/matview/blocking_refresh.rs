//! matview.blocking_refresh

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{Refreshing, Unknown};
use crate::model::refresh::MaterializedView;
use crate::model::unit::{Period, seconds_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number, view_object, view_subject};

/// Sessions had to wait for a materialized view because it was being refreshed.
///
/// ## Why it is bad
/// A plain REFRESH lets nobody read the view until it is done; one that waits for a long reader makes all later readers wait
/// behind it.
///
/// ## What to do
/// Refresh it CONCURRENTLY (the rule matview.not_concurrent has the index that this needs), or in hours in which nobody reads
/// it (`plain_between`), or allow it less time (`plain_limit`, `lock_timeout`).
///
/// ## When it is wrong to obey
/// If those who waited have time: exports, other nightly jobs.
///
/// Source: pg_locks, looked at every half a second while the view was refreshed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlockingRefresh {
    /// A warning from this much waiting of all sessions together in a day on.
    pub min_waited: Period,
}

impl Default for BlockingRefresh {
    fn default() -> Self {
        Self {
            min_waited: Period::seconds(5),
        }
    }
}

impl Rule for BlockingRefresh {
    const ID: &'static str = "matview.blocking_refresh";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let mut found = Found::default();
        for (view, refreshing) in place.refreshed_views()? {
            if refreshing.held_up_seconds_last_day >= self.min_waited.as_seconds() {
                found.claim_worst_first(place, || view_subject(view), || claim(place, view, refreshing));
            }
        }
        Ok(found)
    }
}

fn claim(place: &Place<'_>, view: &MaterializedView, refreshing: &Refreshing) -> Claim {
    let name = view.name.sql();
    let waited = refreshing.held_up_seconds_last_day;
    let mut claim = Claim {
        title: format!(
            "Sessions waited {} for {name} while it was refreshed",
            seconds_for_people(waited)
        ),
        explanation: format!(
            "In the last day. It is refreshed thus: {}.",
            refreshing.status.how
        ),
        evidence: evidence([
            ("waited_seconds_per_day", number(waited)),
            ("unique_index", json!(view.unique_index)),
        ]),
        confidence: measured("added up from looks at pg_locks, half a second apart"),
        ..place.claim(
            BlockingRefresh::ID,
            Severity::Warning,
            view_subject(view),
            Some(view_object(view)),
        )
    };
    claim.impact.db_seconds_per_day = Some(waited);
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{refreshed_view, severities};

    #[test]
    fn the_edge_of_its_threshold() {
        let said = |seconds: f64| {
            severities::<BlockingRefresh>(&refreshed_view(|view| view.held_up_seconds_last_day = seconds))
                .len()
        };
        assert_eq!((said(4.9), said(5.0)), (0, 1));
    }
}
