//! The plans that statements had: a row for each shape, so that a plan that changes is told from one that is only estimated
//! anew.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{from_json, micros, time, to_json};
use crate::limits;
use crate::model::kept_plan::{KeptPlan, PlanHistory, PlanShape, SeenPlan};

impl Store {
    /// What is known of the plans of a statement.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn statement_plans(
        &self,
        server: &str,
        database: &str,
        statement_id: &str,
    ) -> Result<PlanHistory, StoreError> {
        self.read(|tx| {
            Ok(PlanHistory {
                plans: seen(tx, (server, database, statement_id))?,
                unplanned: unplanned(tx, (server, database, statement_id))?,
                read_at: read_at(tx, server, database)?,
            })
        })
    }

    /// Deletes plans that were not seen since then, a little at a time; gives the number of rows.
    pub(super) fn prune_plans(&self, before: i64) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for table in ["statement_plan", "statement_unplanned"] {
            deleted += self.delete_in_chunks(
                &format!(
                    "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE last_seen_at < ?1 LIMIT ?2)"
                ),
                before,
            )?;
        }
        Ok(deleted)
    }
}

/// Writes down what the planner answered; of each statement and each database only so much is kept, the newest.
pub(super) fn record_plans(
    tx: &Transaction<'_>,
    server: &str,
    now: DateTime<Utc>,
    plans: &[KeptPlan],
) -> Result<(), StoreError> {
    let now = micros(now);
    for plan in plans {
        let of = (server, plan.database.as_str(), plan.statement_id.as_str());
        match &plan.outcome {
            Ok(shape) => record_shape(tx, of, now, shape)?,
            Err(reason) => record_unplanned(tx, of, now, reason)?,
        }
    }
    let mut databases: Vec<&str> = plans.iter().map(|plan| plan.database.as_str()).collect();
    databases.sort_unstable();
    databases.dedup();
    for database in databases {
        bound_database(tx, server, database)?;
    }
    Ok(())
}

/// A statement: server, database, statement_id.
type Of<'a> = (&'a str, &'a str, &'a str);

fn record_shape(tx: &Transaction<'_>, of: Of<'_>, now: i64, plan: &PlanShape) -> Result<(), StoreError> {
    let (server, database, statement_id) = of;
    let newest = "SELECT shape FROM statement_plan WHERE server = ?1 AND database = ?2 AND statement_id = ?3
                  ORDER BY last_seen_at DESC, since DESC LIMIT 1";
    let newest: Option<String> = tx
        .prepare_cached(newest)?
        .query_row(params![server, database, statement_id], |row| row.get(0))
        .optional()?;
    let is_still_it = newest.as_ref() == Some(&plan.shape);
    tx.prepare_cached(
        "INSERT INTO statement_plan (server, database, statement_id, shape, first_seen_at, since, last_seen_at,
                                     first_cost, cost, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5, ?6, ?6, ?7)
         ON CONFLICT DO UPDATE SET last_seen_at = excluded.last_seen_at, cost = excluded.cost, body = excluded.body,
                                   since = CASE WHEN ?8 THEN since ELSE excluded.since END",
    )?
    .execute(params![
        server,
        database,
        statement_id,
        plan.shape,
        now,
        plan.cost,
        to_json("plan", plan)?,
        is_still_it
    ])?;
    tx.prepare_cached(
        "DELETE FROM statement_plan WHERE server = ?1 AND database = ?2 AND statement_id = ?3 AND shape NOT IN (
             SELECT shape FROM statement_plan WHERE server = ?1 AND database = ?2 AND statement_id = ?3
             ORDER BY last_seen_at DESC, since DESC LIMIT ?4)",
    )?
    .execute(params![
        server,
        database,
        statement_id,
        count(limits::PLANS_PER_STATEMENT)
    ])?;
    tx.prepare_cached(
        "DELETE FROM statement_unplanned WHERE server = ?1 AND database = ?2 AND statement_id = ?3",
    )?
    .execute(params![server, database, statement_id])?;
    Ok(())
}

fn record_unplanned(tx: &Transaction<'_>, of: Of<'_>, now: i64, reason: &str) -> Result<(), StoreError> {
    let (server, database, statement_id) = of;
    tx.prepare_cached(
        "INSERT INTO statement_unplanned (server, database, statement_id, last_seen_at, reason)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET last_seen_at = excluded.last_seen_at, reason = excluded.reason",
    )?
    .execute(params![server, database, statement_id, now, reason])?;
    Ok(())
}

/// Statements come and go: of a database that never sends the same twice nothing may pile up.
fn bound_database(tx: &Transaction<'_>, server: &str, database: &str) -> Result<(), StoreError> {
    for table in ["statement_plan", "statement_unplanned"] {
        tx.prepare_cached(&format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE server = ?1 AND database = ?2
                 ORDER BY last_seen_at DESC LIMIT -1 OFFSET ?3)"
        ))?
        .execute(params![server, database, count(limits::PLANS_PER_DATABASE)])?;
    }
    Ok(())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn seen(tx: &Transaction<'_>, (server, database, statement_id): Of<'_>) -> Result<Vec<SeenPlan>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT body, first_seen_at, since, last_seen_at, first_cost FROM statement_plan
         WHERE server = ?1 AND database = ?2 AND statement_id = ?3 ORDER BY last_seen_at DESC, since DESC",
    )?;
    let mut rows = statement.query(params![server, database, statement_id])?;
    let mut plans = Vec::new();
    while let Some(row) = rows.next()? {
        plans.push(SeenPlan {
            plan: from_json("plan", row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?,
            first_seen_at: time(row.get(1)?),
            since: time(row.get(2)?),
            last_seen_at: time(row.get(3)?),
            first_cost: row.get(4)?,
        });
    }
    Ok(plans)
}

fn unplanned(
    tx: &Transaction<'_>,
    (server, database, statement_id): Of<'_>,
) -> Result<Option<(DateTime<Utc>, String)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT last_seen_at, reason FROM statement_unplanned
         WHERE server = ?1 AND database = ?2 AND statement_id = ?3",
    )?;
    let found = statement.query_row(params![server, database, statement_id], |row| {
        Ok((time(row.get(0)?), row.get(1)?))
    });
    Ok(found.optional()?)
}

fn read_at(tx: &Transaction<'_>, server: &str, database: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT max(last_seen_at) FROM (
             SELECT max(last_seen_at) AS last_seen_at FROM statement_plan WHERE server = ?1 AND database = ?2
             UNION ALL
             SELECT max(last_seen_at) FROM statement_unplanned WHERE server = ?1 AND database = ?2)",
    )?;
    let at: Option<i64> = statement.query_row(params![server, database], |row| row.get(0))?;
    Ok(at.map(time))
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;
    use crate::model::kept_plan::KeptNode;
    use crate::model::unit::Period;

    fn plan(statement_id: &str, shape: &str, cost: f64) -> KeptPlan {
        let node = KeptNode {
            kind: format!("Scan of {cost}"),
            ..KeptNode::default()
        };
        KeptPlan {
            database: "app".to_owned(),
            statement_id: statement_id.to_owned(),
            outcome: Ok(PlanShape {
                shape: shape.to_owned(),
                cost,
                nodes: vec![node],
                nodes_left_out: 0,
            }),
        }
    }

    fn record(store: &Store, second: i64, plan: KeptPlan) {
        store
            .write(|tx| record_plans(tx, "main", at(second), &[plan]))
            .unwrap();
    }

    fn known(store: &Store, statement_id: &str) -> PlanHistory {
        store.statement_plans("main", "app", statement_id).unwrap()
    }

    #[test]
    fn a_shape_has_one_row_and_a_change_is_seen() {
        let store = Store::in_memory().unwrap();
        for (second, shape, cost) in [(1, "a", 10.0), (2, "a", 20.0), (3, "b", 5.0)] {
            record(&store, second, plan("s", shape, cost));
        }
        let history = known(&store, "s");
        let [b, a] = &history.plans[..] else {
            panic!("two shapes")
        };
        assert_eq!(
            (b.plan.shape.as_str(), b.since, b.first_seen_at),
            ("b", at(3), at(3))
        );
        assert_eq!((a.first_seen_at, a.since, a.last_seen_at), (at(1), at(1), at(2)));
        assert_eq!((a.first_cost, a.plan.cost), (10.0, 20.0));
        assert_eq!(a.plan.nodes[0].kind, "Scan of 20", "as it was seen last");
        record(&store, 4, plan("s", "a", 30.0));
        let again = known(&store, "s").plans.remove(0);
        assert_eq!((again.plan.shape.as_str(), again.first_seen_at), ("a", at(1)));
        assert_eq!((again.since, again.last_seen_at), (at(4), at(4)), "it came back");
        let other = store.statement_plans("other", "app", "s").unwrap();
        assert_eq!(other, PlanHistory::default());
    }

    #[test]
    fn why_a_statement_was_not_planned_is_known_until_it_is() {
        let store = Store::in_memory().unwrap();
        let refused = KeptPlan {
            outcome: Err("it reaches too much".to_owned()),
            ..plan("s", "", 0.0)
        };
        record(&store, 1, refused);
        let unplanned = known(&store, "s");
        assert_eq!(
            unplanned.unplanned,
            Some((at(1), "it reaches too much".to_owned()))
        );
        assert_eq!(known(&store, "another").read_at, Some(at(1)));
        record(&store, 2, plan("s", "a", 1.0));
        assert_eq!(known(&store, "s").unplanned, None);
    }

    #[test]
    fn only_the_newest_are_kept_and_those_within_the_retention() {
        let store = Store::in_memory().unwrap();
        for number in 0..15 {
            record(&store, number, plan("s", &format!("{number:02}"), 1.0));
        }
        let shapes: Vec<String> = known(&store, "s")
            .plans
            .into_iter()
            .map(|seen| seen.plan.shape)
            .collect();
        assert_eq!(shapes.len(), limits::PLANS_PER_STATEMENT);
        assert_eq!((shapes[0].as_str(), shapes[9].as_str()), ("14", "05"));
        let many = limits::PLANS_PER_DATABASE as i64;
        let plans: Vec<KeptPlan> = (0..many)
            .map(|number| plan(&format!("s{number}"), "a", 1.0))
            .collect();
        store
            .write(|tx| record_plans(tx, "main", at(100), &plans))
            .unwrap();
        assert!(known(&store, "s").plans.is_empty(), "the oldest go first");
        assert_eq!(known(&store, "s7").plans.len(), 1);
        let day = 86_400;
        record(&store, day, plan("young", "a", 1.0));
        let report = store.prune(at(day + 101), Period::days(1)).unwrap();
        assert_eq!(report.plans, many as u64 - 1, "one had gone for the young one");
        assert_eq!(known(&store, "young").plans.len(), 1);
        assert!(known(&store, "s7").plans.is_empty());
    }
}
