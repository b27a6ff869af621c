//! query.unstable

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Guards, Place, Rule, Scope, estimated, evidence, number, sessions};

/// A statement that takes a moment mostly, and very long at times.
///
/// ## Why it is bad
/// Its mean looks harmless, and somebody waits all the same. Such a statement has two kinds of calls: it waits for a lock at
/// times, or finds its blocks in memory at times only, or has a plan that is good for common values and bad for rare ones.
///
/// ## What to do
/// Look at locks first: `log_lock_waits` tells who waited for whom. Then compare its plans for a common and for a rare value
/// of its parameters with EXPLAIN (ANALYZE, BUFFERS). Where they should differ and do not, a prepared statement may have
/// become generic: see `plan_cache_mode`. Where the estimates are far off, extended statistics help.
///
/// ## When it is wrong to obey
/// If what it is asked differs as much as its time: a search that finds nothing, and one that finds a million rows. If the
/// one long call was the first after a start, or ran beside a migration.
///
/// pg_stat_statements counts the deviation and the longest call since the statement's entry began, not over the window; a
/// longest call of last week is a longest call still. That is why nothing is said below `min_longest`. Source:
/// PostgreSQL's chapter "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unstable {
    /// The standard deviation must be so many times the mean.
    info_deviation_times: f64,
    /// Or the longest call must have taken so many times the mean.
    info_longest_times: f64,
    /// The longest call must have taken this long: who waits for less does not notice.
    min_longest: Period,
    /// Calls in the window that this needs.
    min_calls: i64,
    /// Share of all database time, 0 to 1, that this needs.
    min_share: f64,
    /// Average number of sessions executing below which nothing is said: the server is nearly idle.
    minimum_load: f64,
}

impl Default for Unstable {
    fn default() -> Self {
        Self {
            info_deviation_times: 3.0,
            info_longest_times: 20.0,
            min_longest: Period::seconds(1),
            min_calls: 100,
            min_share: 0.01,
            minimum_load: 0.05,
        }
    }
}

impl Rule for Unstable {
    const ID: &'static str = "query.unstable";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let is_heavy = |activity: &StatementActivity, statement: &StatementDelta| {
            statements::share(activity, statement.seconds) >= self.min_share && self.varies(statement)
        };
        statements::on_a_busy_server(
            place,
            self.minimum_load,
            is_heavy,
            |activity, statement, found| {
                found.claim_worst_first(
                    place,
                    || vec![statement.text.statement_id.clone()],
                    || claim(place, activity, statement),
                );
            },
        )
    }
}

impl Unstable {
    fn varies(&self, statement: &StatementDelta) -> bool {
        let mean = statement.mean_seconds();
        let (deviation, longest) = (statement.stddev_seconds, statement.max_seconds);
        let is_wide = deviation >= self.info_deviation_times * mean;
        let is_far = longest >= self.info_longest_times * mean;
        statement.calls >= self.min_calls
            && mean > 0.0
            && longest >= self.min_longest.as_seconds()
            && (is_wide || is_far)
    }
}

/// Whether waiting for locks can be what makes the difference, as far as one look tells.
fn locks(place: &Place<'_>) -> Guards {
    let mut guards = Guards::default();
    match sessions::seen(place) {
        Ok(seen) => {
            let is_waiting =
                |one: &&crate::model::session::Session| one.wait_event_type.as_deref() == Some("Lock");
            match seen.iter().filter(is_waiting).count() {
                0 => guards.checked("locks looked at first: no session waits for one just now"),
                waiting => guards.not_checked(format!(
                    "whether it is locks that make the difference: sessions that wait for one just now: {waiting}"
                )),
            }
        }
        Err(unknown) => guards.not_checked(format!("whether sessions wait for locks: {}", unknown.reason)),
    }
    guards
}

fn claim(place: &Place<'_>, activity: &StatementActivity, statement: &StatementDelta) -> Claim {
    let mean = statement.mean_seconds();
    let (deviation, longest) = (statement.stddev_seconds, statement.max_seconds);
    let own = evidence([
        ("mean_seconds", number(mean)),
        ("stddev_seconds", number(deviation)),
        ("max_seconds", number(longest)),
        ("stddev_to_mean_ratio", number(deviation / mean)),
        ("max_to_mean_ratio", number(longest / mean)),
    ]);
    let guards = locks(place);
    let mut claim = statements::claim(place, Unstable::ID, Severity::Info, activity, statement, own);
    claim.title = format!(
        "{} takes {} on average, and has taken {}",
        crate::sql::outline(&statement.text.text),
        seconds_for_people(mean),
        seconds_for_people(longest)
    );
    claim.explanation = format!(
        "Its {} calls of the window took {} on average. Since its entry in pg_stat_statements began, the standard deviation \
         is {}, {:.1} times that, and the longest call took {}, {:.0} times that. Such a spread mostly means that it waits for \
         locks at times, or has one plan for values that need two: look at the locks first, then compare the plans for a \
         common and a rare value.",
        statement.calls,
        seconds_for_people(mean),
        seconds_for_people(deviation),
        deviation / mean,
        seconds_for_people(longest),
        longest / mean,
    );
    claim.confidence =
        estimated("the spread counts since the statement's entry began, the mean over the window alone");
    claim.remedy = Remedy {
        caveats: vec![
            "Locks first: log_lock_waits writes every wait of more than deadlock_timeout to the log.".to_owned(),
            "EXPLAIN (ANALYZE, BUFFERS) with a common and with a rare value; auto_explain catches the plan of a slow call."
                .to_owned(),
            "A prepared statement may run a generic plan from its sixth call on: plan_cache_mode = force_custom_plan shows \
             whether that is it."
                .to_owned(),
        ],
        ..Remedy::default()
    };
    claim.guards.extend(guards.told());
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, session, statement};

    fn observed(calls: i64, deviation: f64, longest: f64, others: f64) -> Observation {
        let mut one = statement("SELECT 1 FROM a WHERE b = $1", calls, 100.0);
        (one.stddev_seconds, one.max_seconds) = (deviation, longest);
        observation(vec![one], others)
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let count = |calls, deviation, longest, others| {
            claims::<Unstable>(&observed(calls, deviation, longest, others))
                .unwrap()
                .len()
        };
        assert_eq!(count(200, 0.31, 1.0, 80.0), 1);
        assert_eq!(count(200, 0.29, 1.0, 80.0), 0, "a mean of 0.1 s");
        assert_eq!(count(200, 0.1, 2.01, 80.0), 1);
        assert_eq!(count(200, 0.1, 1.99, 80.0), 0);
        assert_eq!(count(200, 0.31, 0.99, 80.0), 0, "nobody notices");
        assert_eq!(count(99, 0.31, 1.0, 80.0), 0);
        assert_eq!(count(200, 0.31, 1.0, 1980.0), 1, "one per cent");
        assert_eq!(count(200, 0.31, 1.0, 1981.0), 0);
        let idle = found::<Unstable>(&observed(200, 0.31, 1.0, 9.0)).unwrap();
        assert_eq!(
            (idle.claims.len(), idle.absence_is_no_proof.as_deref()),
            (0, Some(statements::IDLE))
        );
    }

    #[test]
    fn locks_are_looked_at_first() {
        let mut one = observed(200, 0.31, 1.0, 80.0);
        let told = |observed: &Observation| {
            let claim = claims::<Unstable>(observed).unwrap().remove(0);
            assert_eq!(claim.confidence.level, ConfidenceLevel::Estimated);
            claim.guards.join("; ")
        };
        assert!(told(&one).contains("; locks looked at first"));
        let waiting = session(7, "active", 9, |session| {
            session.wait_event_type = Some("Lock".into())
        });
        one.sessions = Ok(vec![waiting]);
        assert!(told(&one).contains("not checked: whether it is locks"));
        one.server.sees_all_sessions = false;
        assert!(told(&one).contains("not checked: whether sessions wait"));
    }
}
