//! advisor.overhead

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity, Window};
use crate::model::observation::{Cadence, OwnCost, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, seconds_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number};

/// The advisor itself costs this server more than it should.
///
/// ## Why it is bad
/// Who watches takes from what is watched. A long question of the advisor's may also make others wait: while
/// pg_stat_statements is read, new statements are not let in, and an old snapshot keeps VACUUM from its work.
///
/// ## What to do
/// The advisor slows itself down until it is within its budget, names and definitions first, then samples of sessions,
/// and its looks last; findings say when that made them late. Where that is too seldom, find out what is so expensive:
/// very many tables and indexes, or very many entries in pg_stat_statements. Read names less often
/// (`catalog_every`), look less often (`poll_every`), ask the planner less often (`advise_every`), sample sessions less
/// often (`sample_every`), or watch fewer databases.
///
/// ## When it is wrong to obey
/// Within its budget (`own_cost_ratio` of `[budget]`) it costs what you allowed: then only a slow question is told, as info.
/// In the first hour on a large server everything is read for the first time, and on a very small server a hundredth of
/// one core is little. A question may have been slow only because the whole server was.
///
/// It is the time of the advisor's sessions in the last hour, or since its first look, divided by the time of all statements
/// or one core, whichever is more. In its first ten minutes it is a share of ten minutes. Known where the daemon runs; a
/// single look does not measure it. Source: the advisor's own clock, as on its page *status*.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overhead {
    /// Share of database time or one core, 0 to 1, from which it is a warning; never within the budget.
    warning_ratio: f64,
    /// Length of one question of the advisor's from which it is a warning; within the budget it is info.
    warning_question: Period,
}

impl Default for Overhead {
    fn default() -> Self {
        Self {
            warning_ratio: 0.01,
            warning_question: Period::seconds(5),
        }
    }
}

impl Rule for Overhead {
    const ID: &'static str = "advisor.overhead";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let Some(cost) = &place.observation.own_cost else {
            return Err(Unknown::because(
                "what the advisor costs is known where the daemon runs",
            ));
        };
        let slow = cost.slowest_question.as_ref();
        let slow = slow.filter(|(_, seconds)| *seconds >= self.warning_question.as_seconds());
        let is_dear = cost.ratio >= self.warning_ratio && is_over_budget(cost);
        let claims = (is_dear || slow.is_some()).then(|| claim(place, cost, is_dear, slow));
        Ok(Found {
            claims: claims.into_iter().collect(),
            ..Found::default()
        })
    }
}

const HOUR: f64 = 3600.0;

/// Whether it costs more than whoever configured it allows.
fn is_over_budget(cost: &OwnCost) -> bool {
    cost.ratio > cost.budget_ratio
}

/// How often it asks now, and which of that is less often than configured.
fn pace(cost: &OwnCost) -> String {
    let every = |what: &str, cadence: Cadence| {
        let usual = match cadence.is_stretched() {
            true => format!(" ({} as configured)", seconds_for_people(cadence.usual_seconds)),
            false => String::new(),
        };
        format!(
            "{what} every {}{usual}",
            seconds_for_people(cadence.every_seconds)
        )
    };
    let all = [Some(cost.names), cost.sampling, Some(cost.looks)];
    let asks: Vec<String> = ["reads names", "samples sessions", "looks"]
        .into_iter()
        .zip(all)
        .filter_map(|(what, cadence)| Some(every(what, cadence?)))
        .collect();
    let asks = asks.join(", ");
    match all.into_iter().flatten().any(|cadence| cadence.is_stretched()) {
        true => format!("It slows itself down: it {asks}."),
        false => format!("It has not slowed itself down: it {asks}, as configured."),
    }
}

/// What its share is one of, as the end of a sentence's subject.
fn base(cost: &OwnCost) -> String {
    let measured = seconds_for_people(cost.measured_seconds);
    match cost.measured_seconds {
        seconds if seconds >= 3570.0 => "in the last hour".to_owned(),
        seconds if seconds >= OwnCost::LEAST_SECONDS => format!("in the {measured} since it began"),
        _ => format!("in the {measured} since it began, which count as ten minutes"),
    }
}

fn claim(place: &Place<'_>, cost: &OwnCost, is_dear: bool, slow: Option<&(String, f64)>) -> Claim {
    let server = &place.observation.server.name;
    let percent = |ratio: f64| format!("{:.1} %", ratio * 100.0);
    let question = slow.map(|(file, seconds)| format!("{file} took {}", seconds_for_people(*seconds)));
    let title = match &question {
        Some(question) if !is_dear => format!("A question of the advisor's on {server} is slow: {question}"),
        _ => format!("The advisor costs {server} {} of its time", percent(cost.ratio)),
    };
    let slowest = question.map_or(String::new(), |question| format!(" Of the last look {question}."));
    let samples_every_seconds = cost.sampling.map(|cadence| cadence.every_seconds);
    // what was allowed is no warning; a long question may make others wait all the same
    let (severity, of_budget) = match is_over_budget(cost) {
        true => (Severity::Warning, "more than"),
        false => (Severity::Info, "within"),
    };
    let costliest = cost.costliest_family.as_ref();
    let costliest_seconds = costliest.map(|(_, seconds)| number(cost.in_seconds(*seconds, HOUR)));
    let object = Object {
        kind: ObjectKind::Server,
        schema: None,
        name: server.clone(),
        table: None,
    };
    Claim {
        title,
        explanation: format!(
            "Its sessions took {} {}: {} of the larger of database time and one core, {of_budget} its budget of {}. {}{slowest}",
            seconds_for_people(cost.seconds_last_hour),
            base(cost),
            percent(cost.ratio),
            percent(cost.budget_ratio),
            pace(cost)
        ),
        evidence: evidence([
            ("own_cost_ratio", number(cost.ratio)),
            ("own_seconds_per_hour", number(cost.in_seconds(cost.seconds_last_hour, HOUR))),
            ("budget_ratio", number(cost.budget_ratio)),
            ("looks_every_seconds", number(cost.looks.every_seconds)),
            ("names_every_seconds", number(cost.names.every_seconds)),
            ("samples_every_seconds", json!(samples_every_seconds.map(number))),
            ("costliest_family", json!(costliest.map(|(family, _)| family))),
            ("costliest_family_seconds_per_hour", json!(costliest_seconds)),
            ("slowest_question", json!(cost.slowest_question.as_ref().map(|(file, _)| file))),
            ("slowest_question_seconds", json!(cost.slowest_question.as_ref().map(|(_, seconds)| number(*seconds)))),
        ]),
        evidence_window: Some(Window {
            from: place.observation.now - TimeDelta::milliseconds((cost.measured_seconds * 1000.0) as i64),
            to: place.observation.now,
        }),
        evidence_sql: Some(
            "SELECT pid, state, query_start, query FROM pg_stat_activity WHERE application_name = 'pgadvisor'"
                .to_owned(),
        ),
        impact: Impact {
            db_seconds_per_day: Some(cost.in_seconds(cost.seconds_last_hour, 24.0 * HOUR)),
            ..Impact::default()
        },
        confidence: measured("the advisor's own clock, for each of its questions"),
        remedy: remedy(),
        guards: vec!["less than ten minutes of looks count as ten minutes".to_owned()],
        ..place.claim(Overhead::ID, severity, Vec::new(), Some(object))
    }
}

fn remedy() -> Remedy {
    let caveats = [
        "In the configuration of this server: look less often (poll_every), read names less often (catalog_every), ask the \
         planner less often (advise_every), sample sessions less often (sample_every), or watch fewer databases.",
        "own_cost_ratio of [budget] is what it may cost: with less it slows itself down sooner.",
        "Questions about statements are as long as pg_stat_statements is full: see pgss.eviction before that is made larger.",
    ];
    Remedy {
        caveats: caveats.map(str::to_owned).to_vec(),
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::rules::testing::{claims, observation};

    fn judged(ratio: f64, slowest_question: Option<(&str, f64)>) -> Vec<Claim> {
        let mut observed = observation(vec![], 0.0);
        observed.own_cost = Some(cost(ratio, slowest_question));
        claims::<Overhead>(&observed).unwrap()
    }

    fn cost(ratio: f64, slowest_question: Option<(&str, f64)>) -> OwnCost {
        OwnCost {
            ratio,
            seconds_last_hour: 72.0,
            measured_seconds: 3600.0,
            slowest_question: slowest_question.map(|(file, seconds)| (file.to_owned(), seconds)),
            costliest_family: Some(("catalog".to_owned(), 40.0)),
            looks: Cadence {
                every_seconds: 240.0,
                usual_seconds: 60.0,
            },
            names: Cadence::usual(600.0),
            sampling: None,
            budget_ratio: 0.005,
        }
    }

    #[test]
    fn samples_are_told_where_they_are_taken() {
        let mut observed = observation(vec![], 0.0);
        observed.own_cost = Some(OwnCost {
            sampling: Some(Cadence {
                every_seconds: 40.0,
                usual_seconds: 5.0,
            }),
            ..cost(0.01, None)
        });
        let sampled = claims::<Overhead>(&observed).unwrap().remove(0);
        let words = "It slows itself down: it reads names every 10 min, samples sessions every 40 s (5.0 s as configured), looks \
                     every 4 min (1 min as configured).";
        assert!(sampled.explanation.contains(words), "{}", sampled.explanation);
        assert_eq!(sampled.evidence["samples_every_seconds"], 40.0);
        let unsampled = judged(0.01, None).remove(0);
        assert!(!unsampled.explanation.contains("samples"));
        assert!(!unsampled.evidence.contains_key("samples_every_seconds"));
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(judged(0.0099, None).len(), 0);
        assert_eq!(judged(0.01, None).len(), 1);
        assert_eq!(judged(0.001, Some(("statements.sql", 4.9))).len(), 0);
        assert_eq!(judged(0.001, Some(("statements.sql", 5.0))).len(), 1);
    }

    #[test]
    fn within_its_budget_it_warns_of_nothing_and_slows_nothing() {
        let within = |ratio: f64, question: Option<(&str, f64)>| {
            let mut observed = observation(vec![], 0.0);
            observed.own_cost = Some(OwnCost {
                budget_ratio: 0.02,
                looks: Cadence::usual(60.0),
                ..cost(ratio, question)
            });
            claims::<Overhead>(&observed).unwrap()
        };
        assert_eq!(within(0.02, None).len(), 0, "above the threshold, and allowed");
        assert_eq!(within(0.0201, None)[0].severity, Severity::Warning);
        let slow = within(0.015, Some(("statements.sql", 6.0))).remove(0);
        assert_eq!(slow.severity, Severity::Info);
        assert!(
            slow.title.contains("A question of the advisor's"),
            "{}",
            slow.title
        );
        let words = "one core, within its budget of 2.0 %. It has not slowed itself down: it reads names every 10 min, looks every 1 min, as \
                     configured.";
        assert!(slow.explanation.contains(words), "{}", slow.explanation);
    }

    #[test]
    fn both_are_one_finding_about_the_server() {
        let both = judged(0.02, Some(("statements.sql", 6.0))).remove(0);
        assert_eq!(both.title, "The advisor costs main 2.0 % of its time");
        assert!(both.explanation.contains(
            "more than its budget of 0.5 %. It slows itself down: it reads names every 10 min, looks every 4 min (1 min as \
             configured). Of the last look statements.sql took 6.0 s."
        ));
        assert_eq!(both.severity, Severity::Warning);
        assert_eq!(both.evidence["costliest_family"], "catalog");
        assert_eq!(both.evidence["costliest_family_seconds_per_hour"], 40.0);
        assert!(both.subject.is_empty());
        assert_eq!(both.impact.db_seconds_per_day, Some(1728.0));
        let slow = judged(0.002, Some(("statements.sql", 6.0))).remove(0);
        assert!(slow.title.ends_with("is slow: statements.sql took 6.0 s"));
        let fast = judged(0.02, Some(("server.sql", 0.1))).remove(0);
        assert!(
            !fast.explanation.contains("server.sql"),
            "what is fast is no cause"
        );
        assert_eq!(fast.evidence["slowest_question"], "server.sql");
    }

    #[test]
    fn title_window_and_cost_are_of_the_time_that_was_measured() {
        let told = |measured_seconds: f64| {
            let mut observed = observation(vec![], 0.0);
            observed.own_cost = Some(OwnCost {
                seconds_last_hour: 7.2,
                measured_seconds,
                ..cost(0.012, None)
            });
            claims::<Overhead>(&observed).unwrap().remove(0)
        };
        let early = told(240.0);
        let words = "took 7.2 s in the 4 min since it began, which count as ten minutes: 1.2 % of the larger";
        assert!(early.explanation.contains(words), "{}", early.explanation);
        assert_eq!(early.evidence_window.unwrap().seconds(), 240.0);
        let cost = |claim: &Claim| claim.impact.db_seconds_per_day.unwrap().round();
        assert_eq!(cost(&early), 1037.0, "1.2 % of a day");
        let later = told(1200.0);
        assert!(
            later.explanation.contains("in the 20 min since it began: 1.2 %"),
            "{}",
            later.explanation
        );
        assert_eq!(later.evidence_window.unwrap().seconds(), 1200.0);
        assert_eq!(cost(&later), 518.0, "twice as long");
        assert!(told(3600.0).explanation.contains("in the last hour: 1.2 %"));
    }

    #[test]
    fn one_look_does_not_measure_it() {
        let unknown = claims::<Overhead>(&observation(vec![], 0.0)).unwrap_err();
        assert!(unknown.reason.contains("where the daemon runs"));
    }
}
