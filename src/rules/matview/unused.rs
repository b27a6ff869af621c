//! matview.unused

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{Refreshing, Unknown};
use crate::model::refresh::MaterializedView;
use crate::model::unit::{Period, seconds_for_people};
use crate::rules::{
    Found, Guards, Place, Rule, Scope, evidence, number, standbys, view_object, view_subject,
};

/// A materialized view is refreshed, and nobody reads it.
///
/// ## Why it is bad
/// Its refreshes cost time, disk and WAL for nothing.
///
/// ## What to do
/// Take it out of the configuration, and drop it once nobody missed it. What depends on it is shown by its page.
///
/// ## When it is wrong to obey
/// If it is read once a quarter or once a year, or on a standby that is not watched: *not checked* says so. Standbys that are
/// watched, too, count like the primary; what they read while nobody looked at them is not known.
///
/// Source: pg_stat_get_numscans of the view and its indexes, less those of refreshes; on standbys what their looks counted of
/// both.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Unused {
    /// Nobody must have read it for so long.
    pub min_age: Period,
    /// And refreshing it must take this much in a week.
    pub min_refreshing: Period,
}

impl Default for Unused {
    fn default() -> Self {
        Self {
            min_age: Period::days(35),
            min_refreshing: Period::minutes(10),
        }
    }
}

impl Rule for Unused {
    const ID: &'static str = "matview.unused";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let mut found = Found::default();
        let now = place.observation.now;
        let others: Vec<&String> = place
            .refreshed_views()?
            .flat_map(|(_, refreshing)| &refreshing.status.depends_on)
            .collect();
        for (view, refreshing) in place.refreshed_views()? {
            let name = refreshing.status.view.in_database();
            if others.contains(&&name) {
                continue;
            }
            if refreshing.seconds_last_week < self.min_refreshing.as_seconds() {
                continue;
            }
            let status = &refreshing.status;
            let is_long_ago = |at| now - at >= self.min_age.as_delta();
            match (status.read_at, status.readers_watched_since) {
                (Some(read_at), _) if !is_long_ago(read_at) => {}
                (_, Some(since)) if is_long_ago(since) => {
                    found.claim_worst_first(place, || view_subject(view), || claim(place, view, refreshing));
                }
                _ => found.undecided.push(view_subject(view)),
            }
        }
        if !found.undecided.is_empty() {
            found.untold = Some(format!(
                "whether some views are read is not known for {} yet",
                self.min_age
            ));
        }
        Ok(found)
    }
}

fn claim(place: &Place<'_>, view: &MaterializedView, refreshing: &Refreshing) -> Claim {
    let name = view.name.sql();
    let seconds = refreshing.seconds_last_week;
    let not_read_since = refreshing
        .status
        .readers_watched_since
        .max(refreshing.status.read_at);
    let mut guards = Guards::default();
    guards.checked("scans of its own refreshes, and of views that read it, are taken off");
    guards.checked("no view that is refreshed reads it");
    standbys::guard(&mut guards, place.observation);
    let there = &place.observation.standbys_watched;
    if !there.names.is_empty() || there.unseen > 0 {
        // each look tells what was read since the one before, and a tenth of the time may lie between others
        guards.not_checked("reads on standbys while nobody looked");
    }
    let mut claim = Claim {
        title: format!("{name} is refreshed, and nobody reads it"),
        explanation: format!("Refreshing it takes {} a week.", seconds_for_people(seconds)),
        evidence: evidence([
            ("refreshing_seconds_per_week", number(seconds)),
            ("not_read_since", json!(not_read_since)),
        ]),
        confidence: guards.confidence("scans were watched all the time"),
        guards: guards.told(),
        ..place.claim(
            Unused::ID,
            Severity::Info,
            view_subject(view),
            Some(view_object(view)),
        )
    };
    claim.impact.db_seconds_per_day = Some(seconds / 7.0);
    claim.impact.bytes = refreshing.status.size_bytes;
    claim
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::model::replication::WatchedStandbys;
    use crate::rules::testing::{found, now, refreshed_view};

    #[test]
    fn the_edges_of_its_thresholds() {
        let ago = |days: i64| Some(now() - TimeDelta::days(days));
        let judged = |read_days: Option<i64>, watched_days: i64, minutes: f64| {
            let observed = refreshed_view(|view| {
                view.status.read_at = read_days.and_then(ago);
                view.status.readers_watched_since = ago(watched_days);
                view.seconds_last_week = minutes * 60.0;
            });
            let found = found::<Unused>(&observed).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(None, 35, 10.0), (1, 0));
        assert_eq!(judged(None, 34, 10.0), (0, 1), "not watched for long enough");
        assert_eq!(judged(Some(34), 100, 10.0), (0, 0), "read");
        assert_eq!(judged(Some(35), 100, 10.0), (1, 0));
        assert_eq!(judged(None, 100, 9.9), (0, 0), "it hardly costs anything");
        let mut read_by_another = refreshed_view(|view| {
            (view.status.read_at, view.seconds_last_week) = (None, 6000.0);
        });
        let views = read_by_another.databases[0].materialized_views.as_mut().unwrap();
        let mut other = views[0].clone();
        let refreshing = other.refreshing.as_mut().unwrap();
        refreshing.status.depends_on = vec!["public.v".into()];
        refreshing.status.view.name = "w".into();
        refreshing.status.read_at = ago(1);
        views.push(other);
        assert_eq!(
            found::<Unused>(&read_by_another).unwrap().claims.len(),
            0,
            "w needs it"
        );
    }

    #[test]
    fn what_standbys_read_while_nobody_looked_is_not_checked() {
        let told = |watched: &[&str], unseen: usize| {
            let mut observed = refreshed_view(|view| {
                (view.status.read_at, view.seconds_last_week) = (None, 6000.0);
            });
            observed.standbys_watched = WatchedStandbys {
                names: watched.iter().map(|name| (*name).to_owned()).collect(),
                unseen,
                ..WatchedStandbys::default()
            };
            found::<Unused>(&observed)
                .unwrap()
                .claims
                .remove(0)
                .confidence
                .reason
        };
        assert_eq!(told(&[], 0), "scans were watched all the time");
        let unchecked = "not checked: reads on standbys while nobody looked";
        assert_eq!(told(&["b"], 0), unchecked);
        assert!(told(&[], 1).contains("reads on standbys while nobody looked"));
    }

    #[test]
    fn whether_a_standby_reads_it_is_told_as_far_as_it_is_watched() {
        let told = |there: i64, watched: &[&str]| {
            let mut observed = refreshed_view(|view| {
                (view.status.read_at, view.seconds_last_week) = (None, 6000.0);
            });
            observed.server.standbys = there;
            observed.standbys_watched = WatchedStandbys {
                names: watched.iter().map(|name| (*name).to_owned()).collect(),
                streaming: watched.len(),
                ..WatchedStandbys::default()
            };
            let guards = found::<Unused>(&observed).unwrap().claims.remove(0).guards;
            guards
                .into_iter()
                .find(|guard| guard.contains("standby"))
                .unwrap()
        };
        assert_eq!(told(0, &[]), "no standby streams from this server");
        assert_eq!(
            told(1, &["b"]),
            "its standbys, which are watched, too, do not use it"
        );
        assert_eq!(told(1, &[]), "not checked: use on its standbys");
    }
}
