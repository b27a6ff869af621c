//! Every run, and those that are under way in whichever process.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::view_name;
use crate::limits;
use crate::model::refresh::{Outcome, Run, ViewName};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{from_json, micros, to_json};

impl Store {
    /// Writes down that a refresh is under way in this process.
    pub fn start_refresh(&self, server: &str, run: &Run) -> Result<(), StoreError> {
        self.write_shared(|tx| {
            // of an earlier try
            delete_own(tx, server, &run.view)?;
            insert_run(tx, server, run, Some(this_process()))
        })
    }

    /// Refreshes that are under way in other processes, as far as is known, each with its number.
    pub fn refreshes_of_others_under_way(&self, server: &str) -> Result<Vec<(i64, Run)>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT id, body FROM refresh_run WHERE server = ?1 AND process IS NOT NULL AND process <> ?2 AND outcome = 'planned' ORDER BY id",
            )?;
            let mut rows = statement.query([server, this_process()])?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push((row.get(0)?, from_json("run", &row.get::<_, String>(1)?)?));
            }
            Ok(runs)
        })
    }

    /// Replaces a run whose process is gone by what became of it; if it is not gone, it will replace this in turn.
    pub fn settle_refresh(&self, id: i64, run: &Run) -> Result<(), StoreError> {
        self.write_shared(|tx| {
            tx.prepare_cached(
                "UPDATE refresh_run SET outcome = ?2, ended_at = ?3, elapsed_seconds = ?4, body = ?5 WHERE id = ?1",
            )?
            .execute(params![
                id,
                run.outcome.word(),
                micros(run.ended_at),
                run.elapsed_seconds,
                to_json("run", run)?
            ])?;
            Ok(())
        })
    }

    /// The newest runs of all views, newest first, with the server's name.
    pub fn refresh_runs(&self, limit: usize) -> Result<Vec<(String, Run)>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT body, server FROM refresh_run ORDER BY ended_at DESC, id DESC LIMIT ?1",
            )?;
            let mut rows = statement.query([at_most(limit)])?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push((row.get(1)?, run_of(row)?));
            }
            Ok(runs)
        })
    }

    /// Runs of one view, newest first.
    pub fn refresh_runs_of(
        &self,
        server: &str,
        view: &ViewName,
        limit: usize,
    ) -> Result<Vec<Run>, StoreError> {
        let sql =
            "SELECT body FROM refresh_run WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4
                   ORDER BY ended_at DESC, id DESC LIMIT ?5";
        self.runs_of(sql, server, view, limit)
    }

    /// Of these those that were really made, well or badly.
    pub fn made_refreshes_of(
        &self,
        server: &str,
        view: &ViewName,
        limit: usize,
    ) -> Result<Vec<Run>, StoreError> {
        let sql = "SELECT body FROM refresh_run WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4
                   AND outcome IN ('refreshed', 'failed', 'cancelled') ORDER BY ended_at DESC, id DESC LIMIT ?5";
        self.runs_of(sql, server, view, limit)
    }

    fn runs_of(
        &self,
        sql: &'static str,
        server: &str,
        view: &ViewName,
        limit: usize,
    ) -> Result<Vec<Run>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(sql)?;
            let parameters = params![server, view.database, view.schema, view.name, at_most(limit)];
            let mut rows = statement.query(parameters)?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push(run_of(row)?);
            }
            Ok(runs)
        })
    }

    /// Of each view of a server: seconds of refreshing in the last week, and seconds that others waited in the last day.
    pub fn refresh_sums(
        &self,
        server: &str,
        now: DateTime<Utc>,
    ) -> Result<HashMap<ViewName, (f64, f64)>, StoreError> {
        let before = |days| micros(now - TimeDelta::days(days));
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT database, schema, name, coalesce(sum(elapsed_seconds), 0.0),
                     coalesce(sum(held_up_seconds) FILTER (WHERE ended_at >= ?3), 0.0)
                 FROM refresh_run WHERE server = ?1 AND ended_at >= ?2 AND outcome IN ('refreshed', 'failed', 'cancelled')
                 GROUP BY database, schema, name",
            )?;
            let mut rows = statement.query(params![server, before(7), before(1)])?;
            let mut sums = HashMap::new();
            while let Some(row) = rows.next()? {
                sums.insert(view_name(row, 0)?, (row.get(3)?, row.get(4)?));
            }
            Ok(sums)
        })
    }

    /// The newest run of each view, with the server's name.
    pub fn newest_refresh_runs(&self) -> Result<Vec<(String, Run)>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT r.body, r.server FROM refresh_view AS v JOIN refresh_run AS r ON r.id =
                     (SELECT max(n.id) FROM refresh_run AS n
                      WHERE n.server = v.server AND n.database = v.database AND n.schema = v.schema AND n.name = v.name)",
            )?;
            let mut rows = statement.query([])?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push((row.get(1)?, run_of(row)?));
            }
            Ok(runs)
        })
    }
}

/// This process among all that ever wrote here: numbers of processes come again, in a container even the same one.
fn this_process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let seed = format!("{:?} {} {:p}", Instant::now(), std::process::id(), &NAME);
        let started = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        blake3::hash(format!("{seed} {started}").as_bytes()).to_hex()[..16].to_owned()
    })
}

fn at_most(limit: usize) -> i64 {
    limit.min(limits::PAGE_ITEMS_MAXIMUM) as i64
}

/// From the column body.
fn run_of(row: &Row<'_>) -> Result<Run, StoreError> {
    from_json("run", &row.get::<_, String>(0)?)
}

/// Deletes what this process wrote of a run that was under way.
fn delete_own(tx: &Transaction<'_>, server: &str, view: &ViewName) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM refresh_run
         WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4 AND process = ?5",
    )?
    .execute(params![
        server,
        view.database,
        view.schema,
        view.name,
        this_process()
    ])?;
    Ok(())
}

/// Writes a run down, in the place of what was under way. Nothing done for the same reason as the last time is counted
/// there.
pub(super) fn write_run(tx: &Transaction<'_>, server: &str, run: &Run) -> Result<(), StoreError> {
    let view = &run.view;
    delete_own(tx, server, view)?;
    let last: Option<(i64, String)> = tx
        .prepare_cached(
            "SELECT id, body FROM refresh_run WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![server, view.database, view.schema, view.name], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((id, body)) = last {
        let before: Run = from_json("run", &body)?;
        let is_same = before.outcome == run.outcome
            && !matches!(run.outcome, Outcome::Refreshed | Outcome::Cancelled)
            && before.reason == run.reason
            && before.mode == run.mode
            && before.sqlstate == run.sqlstate;
        if is_same {
            let together = Run {
                times: before.times + run.times,
                since: before.since.or(Some(before.ended_at)),
                ..run.clone()
            };
            tx.prepare_cached(
                "UPDATE refresh_run SET ended_at = ?2, body = ?3,
                     elapsed_seconds = elapsed_seconds + ?4, held_up_seconds = held_up_seconds + ?5
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                micros(run.ended_at),
                to_json("run", &together)?,
                run.elapsed_seconds,
                run.held_up_seconds
            ])?;
            return Ok(());
        }
    }
    insert_run(tx, server, run, None)
}

fn insert_run(
    tx: &Transaction<'_>,
    server: &str,
    run: &Run,
    process: Option<&str>,
) -> Result<(), StoreError> {
    let view = &run.view;
    tx.prepare_cached(
        "INSERT INTO refresh_run
             (server, database, schema, name, outcome, ended_at, process, body, elapsed_seconds, held_up_seconds)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        server,
        view.database,
        view.schema,
        view.name,
        run.outcome.word(),
        micros(run.ended_at),
        process,
        to_json("run", run)?,
        run.elapsed_seconds,
        run.held_up_seconds,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;
    use crate::store::testing::at;

    fn run(name: &str, outcome: Outcome, second: i64) -> Run {
        Run::of(&view(name), outcome, "r", at(second))
    }

    #[test]
    fn nothing_done_a_hundred_times_is_one_row() {
        let store = Store::in_memory().unwrap();
        for second in 0..100 {
            let runs = [run("a", Outcome::Skipped, second)];
            store.record_refreshes("main", &[], &runs, |_, _| {}).unwrap();
        }
        store
            .record_refreshes(
                "main",
                &[],
                &[run("a", Outcome::Refreshed, 100), run("b", Outcome::Failed, 101)],
                |_, _| {},
            )
            .unwrap();
        let runs = store.refresh_runs_of("main", &view("a"), 10).unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[1].times, runs[1].ended_at), (100, at(99)));
        let made = |name: &str| store.made_refreshes_of("main", &view(name), 10).unwrap().len();
        assert_eq!((made("a"), made("b")), (1, 1));
        assert_eq!(store.refresh_runs(10).unwrap().len(), 3);
    }
}
