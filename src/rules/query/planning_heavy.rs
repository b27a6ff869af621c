//! query.planning_heavy

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, number};
use crate::rules::{settings, statements};

/// A statement that is planned for longer than it is executed.
///
/// ## Why it is bad
/// Planning comes before every execution of a statement that is not prepared. Where it takes longer than the work itself, more
/// than half of what the statement costs is for nothing, and it costs processor time, of which there is least.
///
/// ## What to do
/// Prepare it: most drivers do so when they are asked to, and poolers that pass transactions on can keep prepared statements
/// by now (PgBouncer from 1.21). From the sixth execution on, PostgreSQL may then use one generic plan. Where it joins many
/// tables or reads a table of hundreds of partitions, ask for the partition by its key with a constant, and have fewer of
/// them.
///
/// ## When it is wrong to obey
/// A prepared statement has one plan for all values once it is generic: if common and rare values need different plans, that
/// one is bad for some of them. Watch it afterwards.
///
/// Planning is counted where `pg_stat_statements.track_planning` is on. It is off by default, because counting takes a lock
/// that busy servers with many processors feel where many sessions run the same statement: without it this rule is
/// skipped. Windows shorter than half an hour count as half an hour. Source: PostgreSQL's chapter "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanningHeavy {
    /// Time of planning in an hour that it takes.
    info_planning_per_hour: Period,
    /// How many times as long as the execution planning must take.
    info_times_execution: f64,
}

impl Default for PlanningHeavy {
    fn default() -> Self {
        Self {
            info_planning_per_hour: Period::minutes(1),
            info_times_execution: 1.0,
        }
    }
}

/// The setting without which planning is not counted.
const SETTING: &str = "pg_stat_statements.track_planning";

impl Rule for PlanningHeavy {
    const ID: &'static str = "query.planning_heavy";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let setting = settings::servers_own(place, SETTING)?;
        if setting.value != "on" {
            let way = match place.observation.server.provider() {
                Some(provider) => provider.how_to_set(SETTING, "on", &setting.context),
                None => format!("ALTER SYSTEM SET {SETTING} = on and a reload switch it on"),
            };
            return Err(Unknown::because(format!(
                "{SETTING} is off, so that planning is not counted; counting takes a lock that busy servers with many processors \
                 feel. {way}"
            )));
        }
        let shortest = limits::STATEMENT_WINDOW.as_secs_f64();
        let hours = statements::window_seconds(activity).max(shortest) / 3600.0;
        let is_heavy = |statement: &StatementDelta| {
            statement.planning_seconds > statement.seconds * self.info_times_execution
                && statement.planning_seconds / hours >= self.info_planning_per_hour.as_seconds()
        };
        let mut found = Found {
            absence_is_no_proof: activity.absence_is_no_proof(is_heavy),
            ..Found::default()
        };
        for statement in activity.statements.iter().filter(|&one| is_heavy(one)) {
            let per_hour = statement.planning_seconds / hours;
            found.claims.push(claim(place, activity, statement, per_hour));
        }
        Ok(found)
    }
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    statement: &StatementDelta,
    per_hour: f64,
) -> Claim {
    let calls = statement.calls.max(1) as f64;
    let planning = statement.planning_seconds;
    let own = evidence([
        ("planning_seconds", number(planning)),
        ("planning_seconds_per_hour", number(per_hour)),
        ("planning_seconds_per_call", number(planning / calls)),
        (
            "planning_to_execution_ratio",
            number(planning / statement.seconds.max(1e-6)),
        ),
    ]);
    let mut claim = statements::claim(place, PlanningHeavy::ID, Severity::Info, activity, statement, own);
    claim.title = format!(
        "{} is planned for {} a call and executed in {}",
        crate::sql::outline(&statement.text.text),
        seconds_for_people(planning / calls),
        seconds_for_people(statement.mean_seconds())
    );
    claim.explanation = format!(
        "Its {} calls in the window were planned for {} and executed for {}. What is planned anew at each call need not be: a \
         prepared statement keeps its plan. Many joined tables and many partitions are what makes planning long.",
        count_for_people(statement.calls as f64),
        seconds_for_people(planning),
        seconds_for_people(statement.seconds),
    );
    // what would be saved is the planning; database time as pg_stat_statements counts it has none
    let days = statements::window_seconds(activity) / 86_400.0;
    claim.impact.db_seconds_per_day = Some(planning / days);
    claim.evidence_sql = Some(format!(
        "SELECT calls, plans, total_plan_time, mean_plan_time, total_exec_time, mean_exec_time\n  FROM {} WHERE queryid = {}",
        activity.view(),
        statement.queryid
    ));
    claim.remedy = Remedy {
        caveats: vec![
            "Let the driver prepare it; behind a pooler that passes transactions on, the pooler must keep prepared statements."
                .to_owned(),
            "EXPLAIN (SUMMARY) tells the planning time; EXPLAIN EXECUTE shows whether a prepared statement has a generic plan."
                .to_owned(),
            "Of a table with hundreds of partitions only those are planned that its conditions leave: the key must be in them."
                .to_owned(),
            "A generic plan serves all values alike: if some of them need another one, plan_cache_mode = force_custom_plan \
             takes it back."
                .to_owned(),
        ],
        ..Remedy::default()
    };
    claim.guards.push(format!("{SETTING} is on"));
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, observation, set, statement};

    /// Ten minutes count as half an hour.
    fn observed(planning_seconds: f64, mean_ms: f64) -> Observation {
        let mut one = statement("SELECT a FROM t WHERE b = $1", 1000, mean_ms);
        one.planning_seconds = planning_seconds;
        let mut observed = observation(vec![one], 0.0);
        set(&mut observed, SETTING, "on");
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let count = |planning, mean_ms| {
            claims::<PlanningHeavy>(&observed(planning, mean_ms))
                .unwrap()
                .len()
        };
        assert_eq!(count(30.0, 29.0), 1);
        assert_eq!(count(30.0, 30.0), 0, "as long as the execution");
        assert_eq!(count(29.9, 1.0), 0, "less than a minute an hour");
        let claim = claims::<PlanningHeavy>(&observed(30.0, 1.0)).unwrap().remove(0);
        let per_day = claim.impact.db_seconds_per_day.unwrap();
        assert!((per_day - 4320.0).abs() < 1e-6, "what planning costs: {per_day}");
    }

    #[test]
    fn where_planning_is_not_counted_it_cannot_tell() {
        let mut off = observed(30.0, 1.0);
        set(&mut off, SETTING, "off");
        let unknown = claims::<PlanningHeavy>(&off).unwrap_err();
        assert!(unknown.reason.starts_with(SETTING) && unknown.remedy_sql.is_none());
        off.server.settings.clear();
        assert!(claims::<PlanningHeavy>(&off).is_err());
        let mut hidden = observed(30.0, 1.0);
        hidden.server.settings.get_mut(SETTING).unwrap().source = "user".into();
        assert!(
            claims::<PlanningHeavy>(&hidden)
                .unwrap_err()
                .reason
                .contains("source: user")
        );
    }
}
