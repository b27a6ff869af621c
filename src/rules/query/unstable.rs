//! query.unstable

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, seconds_for_people};
use crate::rules::lock_waits::Spent;
use crate::rules::statements;
use crate::rules::{Found, Guards, Place, Rule, Samples, Scope, evidence, number};

/// A statement that takes a moment mostly, and very long at times.
///
/// ## Why it is bad
/// Its mean looks harmless, and somebody waits all the same. Such a statement has two kinds of calls: it waits for a lock at
/// times, or finds its blocks in memory at times only, or has a plan that is good for common values and bad for rare ones.
///
/// ## What to do
/// Look at locks first: `log_lock_waits` tells who waited for whom, and samples of sessions tell whether this statement
/// did. Then compare its plans for a common and for a rare value
/// of its parameters with EXPLAIN (ANALYZE, BUFFERS). Where they should differ and do not, a prepared statement may have
/// become generic: see `plan_cache_mode`. Where the estimates are far off, extended statistics help.
///
/// ## When it is wrong to obey
/// If what it is asked differs as much as its time: a search that finds nothing, and one that finds a million rows. If the
/// one long call was the first after a start, or ran beside a migration. What became more than ten times faster within the
/// window is not told: it was mended.
///
/// The deviation is that of the calls of the window, worked out from two looks. The longest call counts where it is longer
/// than all before the window, so that it is one of the window; else how long it was at least follows from the deviation.
/// Where samples of sessions saw the statement mostly wait for locks that is said, and nothing of plans. Source: PostgreSQL's
/// chapter "pg_stat_statements".
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
    const SAMPLES: Samples = Samples::Read;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let is_heavy = |activity: &StatementActivity, statement: &StatementDelta| {
            statements::share_of(activity, statement) >= self.min_share && self.varies(statement)
        };
        statements::on_a_busy_server(
            place,
            self.minimum_load,
            is_heavy,
            |activity, statement, found| {
                if statements::leaves_out_mended(activity, statement, found) {
                    return;
                }
                found.claim_worst_first(
                    place,
                    || vec![statement.text.statement_id.clone()],
                    || claim(place, activity, statement, Spent::of(place, statement)),
                );
            },
        )
    }
}

impl Unstable {
    fn varies(&self, statement: &StatementDelta) -> bool {
        let mean = statement.mean_seconds();
        let (deviation, longest) = (statement.stddev_seconds, statement.longest_seconds_at_least());
        let is_wide = deviation >= self.info_deviation_times * mean;
        let is_far = longest >= self.info_longest_times * mean;
        statement.calls >= self.min_calls
            && mean > 0.0
            && longest >= self.min_longest.as_seconds()
            && (is_wide || is_far)
    }
}

/// Whether waiting for locks can be what makes the difference, as samples of the last hour saw this statement.
fn locks(place: &Place<'_>, statement: &StatementDelta, spent: Spent) -> Guards {
    let mut guards = Guards::default();
    match (spent, place.sampled.statement(statement)) {
        // said beside what it waited for
        (Spent::Waiting(_), _) => {}
        (_, Some(seen)) if seen.waiting == 0 => guards.checked(format!(
            "locks looked at first: samples saw {} sessions execute it, and none of them wait for one",
            seen.sessions
        )),
        (_, Some(seen)) => guards.not_checked(format!(
            "whether it is locks that make the difference: samples saw {} sessions execute it, and {} of them wait for one",
            seen.sessions, seen.waiting
        )),
        (_, None) => guards
            .not_checked("whether it is locks that make the difference: samples of sessions saw it too seldom"),
    }
    guards
}

/// What such a spread mostly means; of one that waits for locks that is known.
fn cause(spent: Spent) -> &'static str {
    match spent {
        Spent::Waiting(_) => "",
        Spent::Otherwise | Spent::Unknown => {
            " Such a spread mostly means that it waits for locks at times, or has one plan for values that need two: look at the \
             locks first, then compare the plans for a common and a rare value."
        }
    }
}

fn remedy(spent: Spent) -> Remedy {
    let locks = "log_lock_waits writes every wait of more than deadlock_timeout to the log.";
    let caveats = match spent {
        Spent::Waiting(_) => vec![locks.to_owned()],
        Spent::Otherwise | Spent::Unknown => vec![
            format!("Locks first: {locks}"),
            "EXPLAIN (ANALYZE, BUFFERS) with a common and with a rare value; auto_explain catches the plan of a slow call."
                .to_owned(),
            "A prepared statement may run a generic plan from its sixth call on: plan_cache_mode = force_custom_plan shows \
             whether that is it."
                .to_owned(),
        ],
    };
    Remedy {
        caveats,
        ..Remedy::default()
    }
}

fn claim(place: &Place<'_>, activity: &StatementActivity, statement: &StatementDelta, spent: Spent) -> Claim {
    let mean = statement.mean_seconds();
    let (deviation, longest) = (statement.stddev_seconds, statement.longest_seconds_at_least());
    let is_known = statement.max_seconds.is_some_and(|known| known >= longest);
    let at_least = if is_known { "" } else { "at least " };
    let own = evidence([
        ("mean_seconds", number(mean)),
        ("stddev_seconds", number(deviation)),
        ("max_seconds", statement.max_seconds.map_or(Value::Null, number)),
        ("max_seconds_at_least", number(longest)),
        ("stddev_to_mean_ratio", number(deviation / mean)),
        ("max_to_mean_ratio", number(longest / mean)),
    ]);
    let guards = locks(place, statement, spent);
    let mut claim = statements::claim(place, Unstable::ID, Severity::Info, activity, statement, own);
    claim.title = format!(
        "{} takes {} on average, and has taken {at_least}{}",
        crate::sql::outline(&statement.text.text),
        seconds_for_people(mean),
        seconds_for_people(longest)
    );
    claim.explanation = format!(
        "Its {} calls of the window took {} on average, with a standard deviation of {}, {:.1} times that; the longest took \
         {at_least}{}, {:.0} times that.{}",
        statement.calls,
        seconds_for_people(mean),
        seconds_for_people(deviation),
        deviation / mean,
        seconds_for_people(longest),
        longest / mean,
        cause(spent),
    );
    if !guards.is_complete() {
        claim.confidence = guards.confidence("");
    }
    claim.remedy = remedy(spent);
    claim.guards.extend(guards.told());
    if let Spent::Waiting(_) = spent {
        spent.tell(&mut claim);
    }
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, statement, waits};

    fn observed(calls: i64, deviation: f64, longest: Option<f64>, others: f64) -> Observation {
        let mut one = statement("SELECT 1 FROM a", calls, 100.0);
        (one.stddev_seconds, one.max_seconds) = (deviation, longest);
        observation(vec![one], others)
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let count = |calls, deviation, longest, others| {
            claims::<Unstable>(&observed(calls, deviation, Some(longest), others))
                .unwrap()
                .len()
        };
        assert_eq!(count(200, 0.31, 1.07, 80.0), 1);
        assert_eq!(count(200, 0.29, 1.07, 80.0), 0, "a mean of 0.1 s");
        assert_eq!(count(200, 0.1, 2.01, 80.0), 1);
        assert_eq!(count(200, 0.1, 1.99, 80.0), 0);
        assert_eq!(count(99, 0.31, 1.07, 80.0), 0);
        assert_eq!(count(200, 0.31, 1.07, 1980.0), 1, "one per cent");
        assert_eq!(count(200, 0.31, 1.07, 1981.0), 0);
        let idle = found::<Unstable>(&observed(200, 0.31, Some(1.07), 9.0)).unwrap();
        assert_eq!(
            (idle.claims.len(), idle.absence_is_no_proof.as_deref()),
            (0, Some(statements::IDLE))
        );
    }

    #[test]
    fn a_longest_call_that_is_not_known_is_as_long_as_the_deviation_tells() {
        let claim = |mean_ms: f64, deviation: f64| {
            let mut observed = observed(2000, deviation, None, 80.0);
            let one = &mut observed.statements.as_mut().unwrap().statements[0];
            one.seconds = mean_ms * 2.0;
            claims::<Unstable>(&observed).unwrap().pop()
        };
        let told = claim(100.0, 0.4).unwrap();
        assert!(told.title.ends_with("has taken at least 1.7 s"), "{}", told.title);
        assert_eq!(told.evidence.get("max_seconds"), None);
        assert!(claim(100.0, 0.29).is_none());
        assert!(claim(10.0, 0.099).is_none(), "0.99 seconds: nobody notices");
        assert!(claim(10.0, 0.1).is_some());
    }

    #[test]
    fn what_was_mended_within_the_window_is_told_no_longer() {
        let mut observed = observed(715, 0.35, Some(2.4), 0.0);
        assert_eq!(claims::<Unstable>(&observed).unwrap().len(), 1);
        let activity = observed.statements.as_mut().unwrap();
        let one = &activity.statements[0];
        let (key, id) = (
            (one.database.clone(), one.text.statement_id.clone()),
            one.text.statement_id.clone(),
        );
        activity.faster_times.insert(key, 73.2);
        let found = found::<Unstable>(&observed).unwrap();
        assert_eq!((found.claims.len(), found.undecided), (0, vec![vec![id]]));
        assert!(
            found
                .untold
                .unwrap()
                .ends_with("became 73 times faster within the window")
        );
    }

    #[test]
    fn samples_of_this_statement_tell_whether_it_waits_for_locks() {
        let told = |seen: &[(&str, u64)]| {
            let mut observed = observed(200, 0.4, Some(2.0), 80.0);
            observed.waits = Ok(waits(360, seen));
            claims::<Unstable>(&observed).unwrap().remove(0)
        };
        let worked = told(&[("CPU", 6)]);
        assert_eq!(worked.confidence.level, ConfidenceLevel::Measured);
        assert!(
            worked
                .guards
                .join("; ")
                .contains("; locks looked at first: samples saw 6")
        );
        assert!(worked.explanation.contains("compare the plans"));
        for (seen, why) in [
            (&[("CPU", 4)][..], "too seldom"),
            (&[("CPU", 5), ("Lock: tuple", 1)][..], "and 1 of them wait"),
        ] {
            let unknown = told(seen);
            assert_eq!(unknown.confidence.level, ConfidenceLevel::Estimated);
            let guards = unknown.guards.join("; ");
            assert!(
                guards.contains("not checked: whether it is locks") && guards.contains(why),
                "{guards}"
            );
        }
        let waited = told(&[("Lock: tuple", 6)]);
        assert!(
            waited.explanation.contains("100 % of that was waiting for locks"),
            "{}",
            waited.explanation
        );
        let all = format!("{} {:?}", waited.explanation, waited.remedy.caveats);
        assert!(
            !all.contains("plan_cache_mode") && !all.contains("compare the plans"),
            "{all}"
        );
        assert!(all.contains("who held the locks"), "{all}");
    }
}
