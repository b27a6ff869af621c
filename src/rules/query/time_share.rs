//! query.time_share

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, ToldAsRare, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::seconds_for_people;
use crate::rules::lock_waits::Spent;
use crate::rules::statements::{self, load_sessions, share, window_seconds};
use crate::rules::{Found, Place, Rule, Samples, Scope, evidence, number};

/// A statement that takes a large part of all database time.
///
/// ## Why it is bad
/// It need not be: something has to be the costliest. But work on this statement pays more than work on any other, and
/// a statement that is fast and called a hundred thousand times hides from every list of slow ones.
///
/// ## What to do
/// Ask first whether it has to be called so often: a loop of single-row look-ups, a poll, a missing cache. Then look at
/// its plan.
///
/// ## When it is wrong to obey
/// On a server that does one thing, that thing has most of the time. A server that is nearly idle is left out by
/// `minimum_load`, and what only sleeps (`pg_sleep`) is no load at all. What a daemon finds in totals that began before its
/// first look may have been over by then, and is info. What was called fewer than `minimum_calls` times may not come again,
/// and is told as info. What people hear of by query.heavy_rare, as that is configured, is not told again here; from half of
/// the calls on that are too many for that rule, a finding that is open here stays. What samples of sessions saw mostly wait
/// for locks does little work that could be saved, and is no critical one.
///
/// Source: PostgreSQL's chapter "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeShare {
    /// Share of all database time, 0 to 1, from which it is a warning.
    warning_share: f64,
    /// Share of all database time, 0 to 1, from which it is critical.
    critical_share: f64,
    /// Average number of sessions executing below which nothing is said: the server is nearly idle.
    minimum_load: f64,
    /// Calls in the window below which it is info only, where query.heavy_rare does not tell it.
    minimum_calls: i64,
}

impl Default for TimeShare {
    fn default() -> Self {
        Self {
            warning_share: 0.25,
            critical_share: 0.5,
            minimum_load: statements::MINIMUM_LOAD,
            minimum_calls: 20,
        }
    }
}

const DAY: f64 = 86_400.0;

impl Rule for TimeShare {
    const ID: &'static str = "query.time_share";
    const SCOPE: Scope = Scope::Server;
    const SAMPLES: Samples = Samples::Read;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let load = load_sessions(activity);
        if activity.window.is_none() || load < self.minimum_load {
            return Ok(Found {
                absence_is_no_proof: activity.still_filling.clone(),
                decided: statements::decided_while_filling(activity, self.minimum_calls, |_| false),
                ..Found::default()
            });
        }
        let is_large = |statement: &StatementDelta| {
            share(activity, statement.seconds) >= self.warning_share && !statement.text.only_sleeps
        };
        let large = activity
            .statements
            .iter()
            .filter(|&statement| is_large(statement));
        // what is rare at one look and not at the next would come and go: it keeps the finding that it has
        let undecided: Vec<Vec<String>> = large
            .clone()
            .filter(|statement| {
                as_rare(place, statement).is_some_and(|rare| statement.calls * 2 >= rare.max_calls)
            })
            .map(|statement| vec![statement.text.statement_id.clone()])
            .collect();
        let claims = large
            .enumerate()
            // one statement is told once, and that one knows what is to be done about what is rare
            .filter(|(_, statement)| as_rare(place, statement).is_none())
            .map(|(position, statement)| {
                let share = share(activity, statement.seconds);
                let severity = match share {
                    _ if share < self.critical_share => Severity::Warning,
                    _ => Severity::Critical,
                };
                let come = match statement.calls < self.minimum_calls {
                    true => Come::Seldom,
                    false => Come::Often,
                };
                let judged = Judged {
                    severity: if come == Come::Seldom {
                        Severity::Info
                    } else {
                        severity
                    },
                    come,
                    spent: Spent::of(place, statement),
                };
                claim(place, activity, statement, judged, position + 1)
            });
        Ok(Found {
            claims: claims.collect(),
            untold: (!undecided.is_empty()).then(|| {
                "statements that are nearly too frequent for query.heavy_rare are left to it".to_owned()
            }),
            undecided,
            absence_is_no_proof: activity.absence_is_no_proof(is_large),
            decided: statements::decided_while_filling(activity, self.minimum_calls, is_large),
            ..Found::default()
        })
    }
}

/// How query.heavy_rare tells a statement, where it does.
fn as_rare<'a>(place: &Place<'a>, statement: &StatementDelta) -> Option<&'a ToldAsRare> {
    let is_it = |rare: &&ToldAsRare| {
        rare.database == statement.database && rare.statement_id == statement.text.statement_id
    };
    place.observation.told_as_rare.iter().find(is_it)
}

/// Whether calls of a statement come often enough that they come again.
#[derive(Clone, Copy, PartialEq)]
enum Come {
    Often,
    Seldom,
}

/// What is said of one statement.
struct Judged {
    severity: Severity,
    come: Come,
    spent: Spent,
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    statement: &StatementDelta,
    judged: Judged,
    rank: usize,
) -> Claim {
    let severity = judged.spent.lower(judged.severity);
    let (share, load) = (share(activity, statement.seconds), load_sessions(activity));
    let own = evidence([
        ("share_ratio", number(share)),
        ("rank", json!(rank)),
        ("total_seconds", number(statement.seconds)),
        ("calls", json!(statement.calls)),
        ("mean_seconds", number(statement.mean_seconds())),
        ("load_sessions", number(load)),
    ]);
    let mut claim = statements::claim(place, TimeShare::ID, severity, activity, statement, own);
    claim.title = format!(
        "{} takes {:.0} % of database time",
        crate::sql::outline(&statement.text.text),
        share * 100.0
    );
    claim.explanation = format!(
        "Of {} of database time in the window, this statement took {} with {}.{}",
        seconds_for_people(activity.total_seconds),
        seconds_for_people(statement.seconds),
        match statement.calls {
            1 => "one call".to_owned(),
            calls => format!(
                "{calls} calls of {} each",
                seconds_for_people(statement.mean_seconds())
            ),
        },
        match (judged.come, judged.spent) {
            (_, Spent::Waiting(_)) => "",
            (Come::Seldom, _) => " So few calls may not come again.",
            _ => " It is the place where work pays most.",
        },
    );
    // a few calls in half an hour are not the same in every half hour of the day
    if judged.come == Come::Seldom && window_seconds(activity) < DAY {
        claim.impact.db_seconds_per_day = Some(statement.seconds);
    }
    claim.evidence_sql = Some(format!(
        "SELECT queryid, calls, total_exec_time / sum(total_exec_time) OVER () AS share\n  \
         FROM {} WHERE toplevel ORDER BY share DESC LIMIT 10",
        activity.view()
    ));
    claim.remedy = Remedy {
        caveats: vec![look_at(&statement.text.text, judged.spent).to_owned()],
        ..Remedy::default()
    };
    claim.guards.push(statements::load_guard(activity));
    statements::tell_of_long_calls(&mut claim, statement);
    judged.spent.tell(&mut claim);
    statements::tell_of_calls_before(&mut claim, activity, statement);
    claim
}

/// Where to look first.
fn look_at(text: &str, spent: Spent) -> &'static str {
    match spent {
        // what it waits for is said beside this
        Spent::Waiting(_) => "Ask whether it must be called so often.",
        _ if statements::only_reads(text) => {
            "Ask whether it must be called so often, then look at its plan: EXPLAIN (ANALYZE, BUFFERS)."
        }
        _ => {
            "Ask whether it must be called so often, then look at its plan: EXPLAIN shows it, EXPLAIN (ANALYZE, BUFFERS) runs the \
             statement with all that it does."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::query::heavy_rare::HeavyRare;
    use crate::rules::testing::{claims, observation, severities, statement, waits};

    /// With what query.heavy_rare tells where nobody changed its thresholds.
    fn beside_heavy_rare(statements: Vec<StatementDelta>, others_seconds: f64) -> Observation {
        let mut observed = observation(statements, others_seconds);
        let rare = claims::<HeavyRare>(&observed).unwrap().into_iter();
        let told = rare.map(|claim| ToldAsRare {
            database: claim.database.unwrap(),
            statement_id: claim.subject[0].clone(),
            max_calls: 20,
        });
        observed.told_as_rare = told.collect();
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        // others: seconds of other statements; the window of a recorded observation is ten minutes
        let severity = |seconds: f64, others: f64| {
            severities::<TimeShare>(&observation(
                vec![statement("SELECT 1 FROM a", 20, seconds * 50.0)],
                others,
            ))
        };
        assert_eq!(severity(24.9, 75.1), vec![]);
        assert_eq!(severity(25.0, 75.0), vec![Severity::Warning]);
        assert_eq!(severity(50.0, 50.0), vec![Severity::Critical]);
        assert_eq!(
            severity(30.0, 29.9),
            vec![],
            "59.9 seconds in ten minutes is a server that is nearly idle"
        );
        assert_eq!(severity(30.0, 30.0), vec![Severity::Critical]);
    }

    #[test]
    fn what_only_sleeps_has_no_share_and_no_rank() {
        let asleep = statement("SELECT pg_sleep($1)", 50, 60_000.0);
        let observed = observation(vec![asleep, statement("SELECT 1 FROM a", 100, 1000.0)], 0.0);
        let claims = claims::<TimeShare>(&observed).unwrap();
        assert_eq!(claims.len(), 0, "100 seconds of 3100");
        let mut awake = observed;
        // as it is counted: what sleeps is not in the total
        awake.statements.as_mut().unwrap().total_seconds = 100.0;
        let claims = crate::rules::testing::claims::<TimeShare>(&awake).unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(
            (&claims[0].evidence["rank"], claims[0].severity),
            (&json!(1), Severity::Critical)
        );
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_info() {
        let mut observed = observation(vec![statement("INSERT INTO a VALUES ($1)", 1000, 100.0)], 0.0);
        assert_eq!(severities::<TimeShare>(&observed), [Severity::Critical]);
        let first_look = observed.now - chrono::TimeDelta::minutes(2);
        observed.statements.as_mut().unwrap().looked_only_since = Some(first_look);
        assert_eq!(severities::<TimeShare>(&observed), [Severity::Info]);
        let activity = observed.statements.as_mut().unwrap();
        activity.statements[0].seen_seconds = 94.0;
        let window = activity.window.unwrap();
        activity.looked_only_since = Some(window.from + chrono::TimeDelta::milliseconds(114));
        let told = claims::<TimeShare>(&observed).unwrap().remove(0);
        assert_eq!(told.severity, Severity::Info, "six of its hundred seconds");
        let words = "114 ms before the first look that the advisor remembers";
        assert!(told.explanation.contains(words), "{}", told.explanation);
        observed.statements.as_mut().unwrap().statements[0].seen_seconds = 99.9;
        let goes_on = claims::<TimeShare>(&observed).unwrap().remove(0);
        assert_eq!(goes_on.severity, Severity::Critical);
        assert!(
            !goes_on.explanation.contains("first look"),
            "{}",
            goes_on.explanation
        );
    }

    #[test]
    fn what_is_told_of_a_share_is_the_share() {
        let observed = observation(vec![statement("SELECT 1 FROM a", 100, 430.0)], 99.0);
        let told = claims::<TimeShare>(&observed).unwrap().remove(0);
        assert!(told.title.ends_with("30 % of database time"), "{}", told.title);
        let words = "Of 2 min 22 s of database time in the window, this statement took 43 s";
        assert!(told.explanation.starts_with(words), "{}", told.explanation);
    }

    /// A statement with so many calls of 30 seconds and nothing beside it.
    fn judged(calls: i64, event: &str) -> Claim {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", calls, 30_000.0)], 0.0);
        observed.waits = Ok(waits(360, &[(event, 6 * calls as u64)]));
        claims::<TimeShare>(&observed).unwrap().remove(0)
    }

    #[test]
    fn nothing_is_proven_while_the_window_fills_or_a_text_is_missing_that_matters() {
        let proof = |busy_seconds: f64, hidden_seconds: f64, filling: Option<&str>| {
            let mut observed = observation(vec![], busy_seconds);
            let activity = observed.statements.as_mut().unwrap();
            activity.without_text = vec![statement("", 1, hidden_seconds * 1000.0)];
            activity.still_filling = filling.map(str::to_owned);
            crate::rules::testing::found::<TimeShare>(&observed)
                .unwrap()
                .absence_is_no_proof
                .is_none()
        };
        assert!(proof(100.0, 24.0, None));
        assert!(!proof(100.0, 25.0, None));
        assert!(!proof(100.0, 0.0, Some("5 min of 30")));
        assert!(proof(1.0, 1.0, None), "nearly idle");
        assert!(!proof(1.0, 0.0, Some("5 min of 30")), "nearly idle so far");
    }

    #[test]
    fn what_is_called_often_in_a_window_that_fills_is_judged_by_it() {
        let decided = |calls: i64, mean_ms: f64, change: &dyn Fn(&mut StatementActivity)| {
            let one = statement("SELECT 1 FROM a", calls, mean_ms);
            let id = one.text.statement_id.clone();
            let mut observed = observation(vec![one], 89.0);
            let activity = observed.statements.as_mut().unwrap();
            activity.still_filling = Some("10 min of 30".into());
            change(activity);
            let found = crate::rules::testing::found::<TimeShare>(&observed).unwrap();
            match found.decided.as_slice() {
                [] => false,
                decided => *decided == [("app".to_owned(), vec![id])],
            }
        };
        let nothing = |_: &mut StatementActivity| ();
        // 11 of 100 seconds
        assert!(decided(20, 550.0, &nothing));
        assert!(
            !decided(19, 550.0, &nothing),
            "it may come in the rest of the window"
        );
        assert!(!decided(20, 5_000.0, &nothing), "it is there");
        assert!(
            !decided(20, 550.0, &|activity| activity.still_filling = None),
            "all is judged"
        );
        assert!(
            decided(20, 5.0, &|activity| activity.total_seconds = 0.2),
            "of nearly nothing it takes nothing"
        );
        let hidden = |activity: &mut StatementActivity| {
            activity.without_text = vec![statement("", 1, 60_000.0)];
        };
        assert!(!decided(20, 550.0, &hidden), "that may be a part of it");
        let short = |activity: &mut StatementActivity| {
            let window = activity.window.as_mut().unwrap();
            window.from = window.to - chrono::TimeDelta::seconds(299);
        };
        assert!(!decided(20, 550.0, &short));
    }

    #[test]
    fn a_few_calls_are_info_and_no_rate_of_a_day() {
        assert_eq!(judged(20, "CPU").severity, Severity::Critical);
        let observed = observation(vec![statement("SELECT 1 FROM a", 19, 900.0)], 50.0);
        let few = claims::<TimeShare>(&observed).unwrap().remove(0);
        assert_eq!(few.severity, Severity::Info);
        let seconds = few.impact.db_seconds_per_day.unwrap();
        assert!((seconds - 17.1).abs() < 0.001, "{seconds}");
        assert!(few.explanation.contains("may not come again") && !few.explanation.contains("pays"));
    }

    #[test]
    fn each_statement_is_told_by_one_rule() {
        let told = |calls: i64, mean_ms: f64| {
            let observed = beside_heavy_rare(vec![statement("SELECT 1 FROM a", calls, mean_ms)], 50.0);
            (
                claims::<TimeShare>(&observed).unwrap().len(),
                claims::<HeavyRare>(&observed).unwrap().len(),
            )
        };
        assert_eq!(told(20, 30_000.0), (1, 0), "often");
        assert_eq!(told(19, 30_000.0), (0, 1), "rare and long");
        assert_eq!(told(19, 900.0), (1, 0), "rare and short");
        let unheard = observation(vec![statement("SELECT 1 FROM a", 19, 30_000.0)], 20.0);
        assert_eq!(
            severities::<TimeShare>(&unheard),
            [Severity::Info],
            "nobody hears of it by the other rule"
        );
        let observed = beside_heavy_rare(
            vec![
                statement("SELECT 1 FROM a", 1, 50_000.0),
                statement("SELECT 1 FROM b", 1000, 40.0),
            ],
            0.0,
        );
        let second = claims::<TimeShare>(&observed).unwrap();
        assert_eq!(second.len(), 1, "what comes after one that is left out is told");
        assert_eq!(second[0].evidence["rank"], 2);
    }

    #[test]
    fn what_is_rare_only_now_and_then_keeps_its_finding() {
        let undecided = |calls: i64| {
            let observed = beside_heavy_rare(vec![statement("SELECT 1 FROM a", calls, 30_000.0)], 20.0);
            crate::rules::testing::found::<TimeShare>(&observed)
                .unwrap()
                .undecided
                .len()
        };
        assert_eq!(
            (undecided(9), undecided(10), undecided(19), undecided(20)),
            (0, 1, 1, 0)
        );
    }

    #[test]
    fn where_to_look_depends_on_what_it_does() {
        let caveats = |text: &str, event: &str| {
            let mut observed = observation(vec![statement(text, 100, 1000.0)], 0.0);
            let mut seen = waits(360, &[(event, 20)]);
            seen.seen[0].0.statement_id = crate::sql::identify(text).statement_id;
            observed.waits = Ok(seen);
            claims::<TimeShare>(&observed).unwrap().remove(0).remedy.caveats
        };
        let of = |text: &str, event: &str| caveats(text, event).join(" ");
        assert!(of("SELECT a FROM t", "CPU").ends_with("EXPLAIN (ANALYZE, BUFFERS)."));
        let write = of("UPDATE t SET a = $1", "CPU");
        assert!(write.contains("runs the statement"), "{write}");
        let waited = of("UPDATE t SET a = $1", "Lock: tuple");
        assert!(
            waited.contains("who held the locks") && !waited.contains("EXPLAIN"),
            "{waited}"
        );
        assert!(!(write + &waited).contains("materialized"));
    }

    #[test]
    fn waiting_for_locks_is_no_place_where_work_pays() {
        assert!(judged(20, "CPU").explanation.contains("work pays most"));
        let waited = judged(20, "Lock: transactionid");
        assert_eq!(waited.severity, Severity::Warning);
        assert!(
            !waited.explanation.contains("pays most"),
            "{}",
            waited.explanation
        );
        assert!(waited.explanation.contains("activity.blocking"));
    }
}
