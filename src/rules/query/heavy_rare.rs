//! query.heavy_rare

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::limits;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{Lately, StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::lock_waits::Spent;
use crate::rules::statements;
use crate::rules::{Found, Place, Rule, Samples, Scope, evidence, number};

/// A statement that is hardly ever called, and takes a good part of the database time all the same.
///
/// ## Why it is bad
/// The nightly report, the monthly bill, the clean-up: no list by mean time or by number of calls shows what they cost,
/// because they run once and are gone. While they run they take disk and memory from everybody else.
///
/// ## What to do
/// Look at the plan of one call. If it only reads and its result may be some minutes or hours old, keep it in a materialized
/// view that the advisor refreshes. If nobody waits for it, move it to an hour in which nobody waits for anything.
///
/// ## When it is wrong to obey
/// If it runs at a quiet hour already: then it has the large part of a small whole. A server that is nearly idle is left
/// out by `minimum_load`, and what only sleeps (`pg_sleep`) is no load at all. If it was run once by hand and will not come
/// again. If it waited for a lock: where samples of sessions saw it mostly do that, it is told as what waited, as info only,
/// and not for two more nights.
///
/// What is told here is not told again by query.time_share, however large its share is. A window is half an hour long, or some
/// minutes more, and nothing is told while the first one fills: minutes do not show that a statement is seldom called. What is
/// called twice as often as `max_calls` by now is over at once: one window has a few more calls than the next. How often a rare
/// statement comes in a day cannot be told from that, so that its cost of a day is what the window shows and no more.
/// A finding stays for two days after it was last seen, so that what runs each night is not new each night.
/// Where the newest calls of the window take less than a tenth of what its calls take on average, as after an index was built, that
/// is said: it is told as info only, and does not stay for two more nights.
/// Source: PostgreSQL's chapter "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeavyRare {
    /// Share of all database time, 0 to 1, from which it is a warning.
    warning_share: f64,
    /// With so many calls in the window, or more, it is not rare.
    max_calls: i64,
    /// Mean time of a call that it takes.
    min_mean: Period,
    /// Average number of sessions executing below which nothing is said: the server is nearly idle.
    minimum_load: f64,
}

impl Default for HeavyRare {
    fn default() -> Self {
        Self {
            warning_share: 0.05,
            max_calls: 20,
            min_mean: Period::seconds(1),
            minimum_load: statements::MINIMUM_LOAD,
        }
    }
}

const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

impl HeavyRare {
    /// Whether a statement is rare and heavy by its numbers.
    fn is_heavy(&self, activity: &StatementActivity, statement: &StatementDelta) -> bool {
        statements::share(activity, statement.seconds) >= self.warning_share
            && statement.mean_seconds() >= self.min_mean.as_seconds()
            && statement.calls < self.max_calls
            && !statement.text.only_sleeps
    }

    /// What was called so often in a window that it is rare no more, and will not be in the next one, which may be shorter:
    /// databases and subjects.
    fn no_longer_rare(&self, activity: &StatementActivity) -> Vec<(String, Vec<String>)> {
        let is_short = statements::window_seconds(activity) <= 2.0 * limits::STATEMENT_WINDOW.as_secs_f64();
        let statements = activity.statements.iter();
        // in totals of days something is called often that is called once a night
        let is_often = |statement: &&StatementDelta| statement.calls >= self.max_calls.saturating_mul(2);
        let often = statements.filter(|statement| is_short && is_often(statement));
        let named = |statement: &StatementDelta| {
            (
                statement.database.clone(),
                vec![statement.text.statement_id.clone()],
            )
        };
        often.take(limits::CLAIMS_PER_RULE).map(named).collect()
    }
}

/// With how many calls a statement is not rare, by these thresholds; none where they cannot be read.
pub fn max_calls(thresholds: &Value) -> Option<i64> {
    HeavyRare::deserialize(thresholds).ok().map(|rule| rule.max_calls)
}

impl Rule for HeavyRare {
    const ID: &'static str = "query.heavy_rare";
    const SCOPE: Scope = Scope::Server;
    const SAMPLES: Samples = Samples::Read;
    /// What runs each night is seen once a day.
    const CLEAR: Period = Period::days(2);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let no_longer_rare = self.no_longer_rare(activity);
        if let Some(filling) = &activity.still_filling {
            return Ok(Found {
                absence_is_no_proof: Some(filling.clone()),
                over: no_longer_rare,
                ..Found::default()
            });
        }
        if !statements::is_busy(activity, self.minimum_load) {
            // what was mended may have been all that the server had to do: two days without it are proof all the same
            return Ok(Found {
                untold: Some(statements::IDLE.to_owned()),
                over: no_longer_rare,
                ..Found::default()
            });
        }
        let is_heavy =
            |activity: &StatementActivity, statement: &StatementDelta| self.is_heavy(activity, statement);
        let mut found = statements::on_a_busy_server(
            place,
            self.minimum_load,
            is_heavy,
            |activity, statement, found| {
                found.claim_worst_first(
                    place,
                    || vec![statement.text.statement_id.clone()],
                    || claim(place, activity, statement, Spent::of(place, statement)),
                );
            },
        )?;
        found.over = no_longer_rare;
        Ok(found)
    }
}

fn claim(place: &Place<'_>, activity: &StatementActivity, statement: &StatementDelta, spent: Spent) -> Claim {
    let window_seconds = statements::window_seconds(activity);
    let load = statements::load_sessions(activity);
    let share = statements::share(activity, statement.seconds);
    // of minutes no rate of a day is made
    let calls_per_day = (window_seconds >= HOUR).then(|| statement.calls as f64 / window_seconds * DAY);
    let own = evidence([
        ("max_seconds", statement.max_seconds.map_or(Value::Null, number)),
        ("window_seconds", number(window_seconds)),
        (
            "calls_per_day_at_this_rate",
            calls_per_day.map_or(Value::Null, number),
        ),
        ("load_sessions", number(load)),
        ("window_ended_at", json!(activity.window.map(|window| window.to))),
    ]);
    // the few calls of an incident; what is called often is told by others
    let severity = match spent {
        Spent::Waiting(_) => Severity::Info,
        Spent::Unknown | Spent::Otherwise => Severity::Warning,
    };
    let mut claim = statements::claim(place, HeavyRare::ID, severity, activity, statement, own);
    let times = match statement.calls {
        1 => "one call".to_owned(),
        calls => format!("{calls} calls"),
    };
    claim.title = title(&statement.text.text, spent, (share, window_seconds), &times);
    let kept = Kept::of(&statement.text.text, spent);
    claim.explanation = format!(
        "In a window of {}, {times} took {}{}, which is {:.0} % of database time.{}{}",
        seconds_for_people(window_seconds),
        seconds_for_people(statement.seconds),
        match statement.calls {
            1 => String::new(),
            _ => format!(": {} each", seconds_for_people(statement.mean_seconds())),
        },
        share * 100.0,
        at_this_rate(calls_per_day),
        what_to_ask(spent, kept),
    );
    // a few calls in half an hour are not the same in every half hour of the day
    if window_seconds < DAY {
        claim.impact.db_seconds_per_day = Some(statement.seconds);
    }
    claim.remedy = remedy(spent, kept);
    claim.guards.push(statements::load_guard(activity));
    statements::tell_of_long_calls(&mut claim, statement);
    spent.tell(&mut claim);
    if let Spent::Waiting(_) = spent {
        claim.clear = Some(CLEAR_OF_AN_INCIDENT);
    }
    if let Some(lately) = activity.lately_of(statement) {
        tell_of_late(&mut claim, lately);
    }
    claim
}

/// What waited for others is no heavy statement.
fn title(text: &str, spent: Spent, (share, window_seconds): (f64, f64), times: &str) -> String {
    let outline = crate::sql::outline(text);
    match spent {
        Spent::Waiting(waited) => format!(
            "{outline} waited for locks in {} of the {} samples that saw it, in {times}",
            waited.waiting, waited.sessions
        ),
        // a window that somebody asked for may be of minutes, which show no more than that
        Spent::Unknown | Spent::Otherwise => format!(
            "{outline} {}took {:.0} % of database time in {times}",
            match window_seconds >= limits::STATEMENT_WINDOW.as_secs_f64() {
                true => "is seldom called and ",
                false => "",
            },
            share * 100.0
        ),
    }
}

/// How often a statement would come in a day, where the window is long enough for a rate.
fn at_this_rate(calls_per_day: Option<f64>) -> String {
    calls_per_day.map_or(String::new(), |calls| {
        format!(
            " At that rate it would be {} calls a day, but a statement that runs once a night has no such rate.",
            count_for_people(calls)
        )
    })
}

/// After which time without it a finding is over that does not come each night: its statement went fast of late, or waited for
/// others. As of other rules.
const CLEAR_OF_AN_INCIDENT: Period = Period::minutes(10);

/// The newest calls are what it costs now, if they were called with the same values: nobody knows that, so that it is told still.
fn tell_of_late(claim: &mut Claim, lately: &Lately) {
    let calls = match lately.calls {
        1 => "its last call took".to_owned(),
        calls => format!("its last {calls} calls took, on average,"),
    };
    claim.severity = claim.severity.min(Severity::Info);
    claim.explanation += &format!(
        " But {calls} only {}: unless that is due to other values, it is mended already, and this ends with the window.",
        seconds_for_people(lately.mean_seconds)
    );
    claim.clear = Some(CLEAR_OF_AN_INCIDENT);
}

/// Where the result of a statement could be kept, so that it need not be worked out again.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    /// In a materialized view.
    InView,
    /// It writes or locks rows, or waits for others, which no view saves.
    Nowhere,
}

impl Kept {
    fn of(text: &str, spent: Spent) -> Self {
        match spent {
            Spent::Waiting(_) => Self::Nowhere,
            Spent::Unknown | Spent::Otherwise if statements::only_reads(text) => Self::InView,
            Spent::Unknown | Spent::Otherwise => Self::Nowhere,
        }
    }
}

/// What it does to others, and what to ask about it.
fn what_to_ask(spent: Spent, kept: Kept) -> &'static str {
    match (spent, kept) {
        // it did nothing meanwhile, and no plan changes that
        (Spent::Waiting(_), _) => "",
        (_, Kept::InView) => {
            " What runs beside it has less disk and memory meanwhile. Look at its plan, and ask whether its result may be older or \
             its hour another one."
        }
        (_, Kept::Nowhere) => {
            " What runs beside it has less disk and memory meanwhile. Look at its plan, and ask whether its hour may be another one."
        }
    }
}

/// What else there is to do, beside what is said of locks.
fn remedy(spent: Spent, kept: Kept) -> Remedy {
    let caveats = match (spent, kept) {
        (Spent::Waiting(_), _) => Vec::new(),
        (_, Kept::InView) => vec![
            "Look at its plan first: EXPLAIN shows it without running it; EXPLAIN (ANALYZE, BUFFERS) takes as long as one call.",
            "If its result may be as old as its last run, a materialized view with a [[refresh]] of its own holds it ready.",
            "A report that runs at a quiet hour already may be left as it is.",
        ],
        (_, Kept::Nowhere) => vec![
            "Look at its plan first: EXPLAIN shows it without running it; EXPLAIN (ANALYZE, BUFFERS) runs it, with all that it does.",
            "What runs at a quiet hour already may be left as it is.",
        ],
    };
    Remedy {
        caveats: caveats.into_iter().map(str::to_owned).collect(),
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, found, observation, severities, statement};

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |calls: i64, mean_ms: f64, others: f64| {
            let observed = observation(vec![statement("SELECT 1 FROM a", calls, mean_ms)], others);
            severities::<HeavyRare>(&observed)
        };
        assert_eq!(severity(1, 5000.0, 95.0), [Severity::Warning]);
        assert_eq!(severity(1, 5000.0, 95.1), []);
        assert_eq!(severity(19, 1000.0, 50.0), [Severity::Warning]);
        assert_eq!(severity(20, 1000.0, 50.0), [], "not rare");
        assert_eq!(severity(19, 999.0, 50.0), [], "not slow");
        assert_eq!(severity(1, 60_000.0, 0.0), [Severity::Warning]);
        assert_eq!(severity(1, 59_000.0, 0.0), [], "nearly idle");
    }

    #[test]
    fn what_only_sleeps_is_not_heavy() {
        let count = |text: &str| {
            let observed = observation(vec![statement(text, 1, 60_000.0)], 100.0);
            claims::<HeavyRare>(&observed).unwrap().len()
        };
        assert_eq!(count("SELECT pg_sleep($1)"), 0);
        assert_eq!(count("SELECT pg_sleep($1) FROM report"), 1);
    }

    #[test]
    fn while_a_window_fills_nothing_is_seldom_called() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 3, 60_000.0)], 0.0);
        assert_eq!(severities::<HeavyRare>(&observed), [Severity::Warning]);
        observed.statements.as_mut().unwrap().still_filling = Some("3 min of 30".into());
        let filling = found::<HeavyRare>(&observed).unwrap();
        assert_eq!(filling.claims.len(), 0);
        assert_eq!(filling.absence_is_no_proof.as_deref(), Some("3 min of 30"));
    }

    #[test]
    fn what_is_called_often_by_now_is_over() {
        let over = |calls: i64, minutes: i64| {
            let mut observed = observation(vec![statement("SELECT 1 FROM a", calls, 5_000.0)], 0.0);
            let activity = observed.statements.as_mut().unwrap();
            let window = activity.window.as_mut().unwrap();
            window.from = window.to - chrono::TimeDelta::minutes(minutes);
            let id = activity.statements[0].text.statement_id.clone();
            let over = found::<HeavyRare>(&observed).unwrap().over;
            assert!(
                over.is_empty() || over == [("app".to_owned(), vec![id])],
                "{over:?}"
            );
            over.len()
        };
        assert_eq!(
            (over(39, 40), over(40, 40)),
            (0, 1),
            "twice as often as what is rare"
        );
        assert_eq!(over(40, 6), 1, "also while a window fills");
        assert_eq!(over(400, 2 * 24 * 60), 0, "200 a day");
    }

    #[test]
    fn what_waited_for_a_lock_is_info() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 3, 120_000.0)], 0.0);
        let judged = |observed: &_| claims::<HeavyRare>(observed).unwrap().remove(0);
        let unknown = judged(&observed);
        assert_eq!(unknown.severity, Severity::Warning);
        assert!(
            unknown
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("waited for a lock"))
        );
        observed.waits = Ok(crate::rules::testing::waits(
            360,
            &[("Lock: tuple", 70), ("CPU", 2)],
        ));
        let waited = judged(&observed);
        assert_eq!(waited.severity, Severity::Info);
        assert!(waited.explanation.contains("97 % of that was waiting for locks"));
        assert!(
            waited
                .title
                .ends_with("waited for locks in 70 of the 72 samples that saw it, in 3 calls"),
            "no heavy statement: {}",
            waited.title
        );
        assert_eq!((unknown.clear, waited.clear), (None, Some(CLEAR_OF_AN_INCIDENT)));
        let told = format!("{} {:?}", waited.explanation, waited.remedy.caveats);
        assert!(
            !told.contains("materialized") && !told.contains("its plan"),
            "{told}"
        );
        assert!(told.contains("who held the locks"), "{told}");
    }

    #[test]
    fn what_went_fast_of_late_is_info_and_ends_with_its_window() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 5, 12_000.0)], 0.0);
        let judged = |observed: &_| claims::<HeavyRare>(observed).unwrap().remove(0);
        let slow = judged(&observed);
        assert_eq!((slow.severity, slow.clear), (Severity::Warning, None));
        let activity = observed.statements.as_mut().unwrap();
        let one = &activity.statements[0];
        let key = (one.database.clone(), one.text.statement_id.clone());
        let lately = Lately {
            since: observed.now - chrono::TimeDelta::minutes(4),
            calls: 2,
            mean_seconds: 0.003,
        };
        activity.lately.insert(key, lately);
        let mended = judged(&observed);
        assert_eq!(
            (mended.severity, mended.clear),
            (Severity::Info, Some(CLEAR_OF_AN_INCIDENT))
        );
        assert!(
            mended.explanation.contains("its last 2 calls took"),
            "{}",
            mended.explanation
        );
        assert_eq!(mended.evidence["recent_mean_seconds"], json!(0.003));
        assert_eq!(mended.evidence["recent_since_at"], json!(lately.since));
    }

    #[test]
    fn only_what_reads_may_become_a_materialized_view() {
        let told = |text: &str| {
            let observed = observation(vec![statement(text, 3, 120_000.0)], 0.0);
            let claim = claims::<HeavyRare>(&observed).unwrap().remove(0);
            format!("{} {:?}", claim.explanation, claim.remedy.caveats)
        };
        let report = told("SELECT a, sum(b) FROM t GROUP BY a");
        assert!(report.contains("a materialized view") && report.contains("result may be older"));
        for other in [
            "UPDATE t SET a = $1",
            "DELETE FROM t WHERE a = $1",
            "INSERT INTO t SELECT * FROM u",
            "SELECT a FROM t WHERE b = $1 FOR UPDATE",
        ] {
            let told = told(other);
            assert!(
                !told.contains("materialized") && !told.contains("result may be"),
                "{told}"
            );
            assert!(told.contains("Look at its plan"), "{told}");
        }
    }

    #[test]
    fn an_idle_server_says_nothing_and_is_proof_once_its_window_is_full() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 1, 29_000.0)], 0.0);
        let judged = |observed: &_| found::<HeavyRare>(observed).unwrap();
        let idle = judged(&observed);
        assert_eq!(idle.claims.len(), 0, "29 seconds in ten minutes");
        assert_eq!(idle.absence_is_no_proof, None);
        assert_eq!(idle.untold.as_deref(), Some(statements::IDLE));
        observed.statements.as_mut().unwrap().still_filling = Some("5 min of 30".into());
        assert!(judged(&observed).absence_is_no_proof.is_some());
    }

    #[test]
    fn a_text_that_is_lost_for_good_holds_up_only_what_it_could_be() {
        let with_hidden = |mean_ms: f64| {
            let mut observed = observation(vec![], 60.0);
            let activity = observed.statements.as_mut().unwrap();
            activity.without_text = vec![statement("", 3, mean_ms)];
            found::<HeavyRare>(&observed).unwrap().absence_is_no_proof
        };
        assert_eq!(with_hidden(999.0), None);
        assert!(with_hidden(1000.0).is_some());
    }

    #[test]
    fn a_short_window_is_not_made_a_day() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 1, 60_000.0)], 0.0);
        let cost = |observed: &_| {
            claims::<HeavyRare>(observed).unwrap()[0]
                .impact
                .db_seconds_per_day
        };
        assert_eq!(cost(&observed), Some(60.0));
        let counted = claims::<HeavyRare>(&observed).unwrap().remove(0);
        assert!(
            counted
                .explanation
                .starts_with("In a window of 10 min, one call took 1 min, which is 100 %")
        );
        assert!(!counted.explanation.contains("a day"), "{}", counted.explanation);
        assert!(!counted.evidence.contains_key("calls_per_day_at_this_rate"));
        let activity = observed.statements.as_mut().unwrap();
        let window = activity.window.as_mut().unwrap();
        window.from = window.to - chrono::TimeDelta::days(2);
        activity.total_seconds = 20_000.0;
        (activity.statements[0].seconds, activity.statements[0].calls) = (6_000.0, 6);
        assert_eq!(cost(&observed), Some(3_000.0), "two days are a rate");
        let rate = claims::<HeavyRare>(&observed).unwrap().remove(0);
        assert!(
            rate.explanation.contains("it would be 3 calls a day"),
            "{}",
            rate.explanation
        );
    }

    #[test]
    fn without_statements_it_cannot_tell() {
        let mut observed = observation(vec![], 0.0);
        observed.statements = Err(Unknown::because("no"));
        assert!(claims::<HeavyRare>(&observed).is_err());
    }
}
