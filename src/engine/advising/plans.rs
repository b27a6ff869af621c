//! Plans that are kept: which statements are to be planned again, and planning them where nothing else is asked.
//!
//! Whenever advice is worked out its statements are planned as things are, and those plans are kept. Between two such runs,
//! and where advice cannot be worked out because HypoPG is missing, only those are planned whose tables were analyzed or
//! whose indexes changed since, and those that became costly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Planner;
use super::work::{Effort, Worked};
use crate::index_advisor::gate::Gate;
use crate::index_advisor::kept::{AsItIs, kept, plans_as_they_are};
use crate::index_advisor::pace::Pace;
use crate::index_advisor::search_path::search_path_of;
use crate::index_advisor::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::kept_plan::KeptPlan;
use crate::model::observation::{DatabaseObservation, StatementActivity, StatementDelta, Unknown};
use crate::postgres::PostgresError;

/// What was planned so far on one server.
#[derive(Default)]
pub(super) struct Plans {
    databases: BTreeMap<String, Known>,
    unwritten: Vec<KeptPlan>,
}

/// What was planned in one database.
struct Known {
    /// When that ended.
    at: Instant,
    statements: BTreeMap<String, Planned>,
}

/// One statement as it was planned last.
struct Planned {
    at: Instant,
    /// When that began, by the server's clock.
    began_at: DateTime<Utc>,
    /// The indexes that there were in the database.
    indexes: u64,
    /// What its plan reads, by schema and name.
    tables: BTreeSet<(String, String)>,
}

impl Plans {
    /// The costliest statements of a database that are to be planned again.
    pub(super) fn due<'a>(
        &self,
        database: &DatabaseObservation,
        activity: &'a StatementActivity,
        every: Duration,
        now: Instant,
    ) -> Vec<&'a StatementDelta> {
        let age = |at: Instant| now.saturating_duration_since(at);
        let known = self.databases.get(&database.name);
        if known.is_some_and(|known| age(known.at) < limits::PLANS_AGAIN_AFTER) {
            return Vec::new();
        }
        let indexes = super::indexes_of(database);
        let analyzed = known.map_or_else(BTreeMap::new, |known| known.analyzed(database));
        let is_due = |statement: &&StatementDelta| {
            let planned = known.and_then(|known| known.statements.get(&statement.text.statement_id));
            planned.is_none_or(|planned| {
                let was_analyzed =
                    |table: &(String, String)| analyzed.get(table).is_some_and(|at| *at > planned.began_at);
                age(planned.at) >= every
                    || planned.indexes != indexes
                    || planned.tables.iter().any(was_analyzed)
            })
        };
        costliest(database, activity).filter(is_due).collect()
    }

    /// Takes in what came of a run that began at that time of the server's, with those indexes. A run that failed counts as
    /// one, so that it is not tried again at once.
    pub(super) fn take(
        &mut self,
        database: &str,
        (began_at, indexes): (DateTime<Utc>, u64),
        plans: Vec<KeptPlan>,
        now: Instant,
    ) {
        let known = self
            .databases
            .entry(database.to_owned())
            .or_insert_with(|| Known {
                at: now,
                statements: BTreeMap::new(),
            });
        known.at = now;
        for plan in &plans {
            let planned = Planned {
                at: now,
                began_at,
                indexes,
                tables: tables_of(plan),
            };
            known.statements.insert(plan.statement_id.clone(), planned);
        }
        // of what is not costly any more nothing need be remembered
        if known.statements.len() > 4 * limits::PLANNED_STATEMENTS {
            known.statements.retain(|_, planned| planned.at == now);
        }
        self.unwritten.extend(plans);
    }

    /// Forgets databases that are gone.
    pub(super) fn retain(&mut self, there: &BTreeSet<&str>) {
        self.databases.retain(|name, _| there.contains(name.as_str()));
    }

    /// What is to be written down.
    pub(super) fn take_unwritten(&mut self) -> Vec<KeptPlan> {
        std::mem::take(&mut self.unwritten)
    }
}

impl Known {
    /// When tables that are read by some plan were analyzed last.
    fn analyzed(&self, database: &DatabaseObservation) -> BTreeMap<(String, String), DateTime<Utc>> {
        let read: BTreeSet<&(String, String)> = self
            .statements
            .values()
            .flat_map(|planned| &planned.tables)
            .collect();
        let Some(oldest) = self.statements.values().map(|planned| planned.began_at).min() else {
            return BTreeMap::new();
        };
        // where it cannot be read, the next advice plans all of them anyway
        let Ok(tables) = database.table_activity_with_facts() else {
            return BTreeMap::new();
        };
        tables
            .filter_map(|(activity, facts)| {
                let at = activity.last_analyze_at.filter(|at| *at > oldest)?;
                let name = (facts.schema.clone(), facts.name.clone());
                read.contains(&name).then_some((name, at))
            })
            .collect()
    }
}

fn costliest<'a>(
    database: &DatabaseObservation,
    activity: &'a StatementActivity,
) -> impl Iterator<Item = &'a StatementDelta> {
    let statements = activity.statements.iter();
    statements
        .filter(move |statement| statement.database == database.name)
        .take(limits::PLANNED_STATEMENTS)
}

fn tables_of(plan: &KeptPlan) -> BTreeSet<(String, String)> {
    let nodes = plan.outcome.iter().flat_map(|plan| &plan.nodes);
    nodes
        .filter_map(|node| Some((node.schema.clone()?, node.relation.clone()?)))
        .collect()
}

/// The plans of the costliest statements of a workload, made fit to be kept.
pub(super) fn fit_to_keep(
    database: &str,
    statement_ids: &[String],
    plans: impl IntoIterator<Item = AsItIs>,
) -> Vec<KeptPlan> {
    let keep = |(position, plan): AsItIs| {
        Some(KeptPlan {
            database: database.to_owned(),
            statement_id: statement_ids.get(position)?.clone(),
            outcome: plan.map(|tree| kept(&tree)),
        })
    };
    plans
        .into_iter()
        .take_while(|(position, _)| *position < limits::PLANNED_STATEMENTS)
        .filter_map(keep)
        .collect()
}

/// Plans statements, known by their ids, and asks nothing else.
pub(super) async fn plan_alone(
    planner: &Planner,
    database: &str,
    (workload, statement_ids): (Vec<WorkloadStatement>, Vec<String>),
    effort: &Effort<'_>,
) -> Worked {
    let nothing = (Vec::new(), Vec::new());
    let (why, (plans, stubborn)) = match ask(planner, database, &workload, effort).await {
        Ok(Ok(planned)) => ("only plans were asked for".to_owned(), planned),
        Ok(Err(unknown)) => (unknown.reason, nothing),
        Err(error) => (error.one_line(), nothing),
    };
    let ids = stubborn.into_iter();
    let ids = ids.filter_map(|position| statement_ids.get(position).cloned());
    Worked {
        advice: Err(Unknown::because(why)),
        stubborn: ids.collect(),
        plans: fit_to_keep(database, &statement_ids, plans),
        writes: None,
        is_error: false,
    }
}

/// Plans, and the positions of statements that did not end when they were cancelled.
type PlannedAlone = (Vec<AsItIs>, Vec<usize>);

async fn ask(
    planner: &Planner,
    database: &str,
    workload: &[WorkloadStatement],
    effort: &Effort<'_>,
) -> Result<Result<PlannedAlone, Unknown>, PostgresError> {
    let login = &planner.server.conninfo().user;
    let plan = effort.plan(planner, database).await?;
    let taken = || effort.taken(&plan);
    let pace = Pace::new(&taken, effort.most());
    let is_over = pace.stage(1.0);
    let mut gate = Gate::open(&plan, &planner.trusted_owners).await?;
    let mut paths = SearchPaths::new(search_path_of(&plan, login).await?);
    let planned = plans_as_they_are(&plan, &mut gate, &mut paths, workload, &is_over).await?;
    Ok(Ok(planned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kept_plan::{KeptNode, PlanShape};
    use crate::model::observation::TableActivity;
    use crate::rules::testing::{database, index, now, statement};
    use chrono::TimeDelta;

    fn plan_of(statement: &StatementDelta, outcome: Result<PlanShape, String>) -> KeptPlan {
        KeptPlan {
            database: "app".into(),
            statement_id: statement.text.statement_id.clone(),
            outcome,
        }
    }

    fn reads_t() -> PlanShape {
        let node = KeptNode {
            schema: Some("public".into()),
            relation: Some("t".into()),
            ..KeptNode::default()
        };
        PlanShape {
            nodes: vec![node],
            ..PlanShape::default()
        }
    }

    #[test]
    fn only_what_changed_is_planned_again_and_not_at_once() {
        let mut observed = database(vec![index(8, "a")]).databases.remove(0);
        let activity = StatementActivity {
            statements: vec![
                statement("SELECT * FROM t WHERE a = $1", 9, 9.0),
                statement("SELECT * FROM other", 9, 8.0),
            ],
            ..StatementActivity::default()
        };
        let (of_t, of_other) = (&activity.statements[0], &activity.statements[1]);
        let (every, begin) = (limits::PLANS_AGAIN_AFTER * 10, Instant::now());
        let mut plans = Plans::default();
        let due = |plans: &Plans, observed: &DatabaseObservation, later: Duration| -> Vec<String> {
            let due = plans.due(observed, &activity, every, begin + later);
            due.iter().map(|one| one.text.text.clone()).collect()
        };
        assert_eq!(due(&plans, &observed, Duration::ZERO).len(), 2, "never planned");
        let known = vec![
            plan_of(of_t, Ok(reads_t())),
            plan_of(of_other, Err("not planned".into())),
        ];
        let indexes = super::super::indexes_of(&observed);
        plans.take("app", (now(), indexes), known.clone(), begin);
        assert_eq!(plans.take_unwritten(), known);
        let soon = limits::PLANS_AGAIN_AFTER;
        assert!(due(&plans, &observed, soon).is_empty(), "nothing changed");
        assert_eq!(due(&plans, &observed, every).len(), 2, "they are old");
        let mut analyze = |minutes: i64| {
            observed.table_activity = Ok(vec![TableActivity {
                oid: 1,
                last_analyze_at: Some(now() + TimeDelta::minutes(minutes)),
                ..TableActivity::default()
            }]);
            (due(&plans, &observed, soon), due(&plans, &observed, soon / 2))
        };
        assert_eq!(
            analyze(-1),
            (vec![], vec![]),
            "it was planned with these statistics"
        );
        assert_eq!(analyze(1), (vec![of_t.text.text.clone()], vec![]));
        let mut indexed = database(vec![index(8, "a"), index(9, "b")]).databases.remove(0);
        indexed.table_activity = Ok(vec![]);
        assert_eq!(due(&plans, &indexed, soon).len(), 2, "an index came");
    }
}
