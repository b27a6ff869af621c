//! Materialized views: what is remembered of each, every run, what pages show, what people ask for. The daemon and
//! `pgadvisor refresh` both write here.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{from_json, micros, to_json};
use crate::limits;
use crate::model::refresh::{Outcome, RefreshAction, Run, ViewMemory, ViewName, ViewStatus};

/// What a person asks for.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RefreshCommand {
    pub server: String,
    pub view: ViewName,
    pub action: RefreshAction,
    pub actor: String,
    pub submitted_at: DateTime<Utc>,
}

impl Store {
    /// What is remembered of the views of a server.
    pub fn view_memories(&self, server: &str) -> Result<HashMap<ViewName, ViewMemory>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT database, schema, name, is_paused, memory FROM refresh_view WHERE server = ?1",
            )?;
            let mut rows = statement.query([server])?;
            let mut memories = HashMap::new();
            while let Some(row) = rows.next()? {
                memories.insert(view_name(row, 0)?, memory_of(row, 3)?);
            }
            Ok(memories)
        })
    }

    /// Changes what is remembered of views, each as it is in the store at that moment, and writes runs down.
    pub fn record_refreshes(
        &self,
        server: &str,
        views: &[ViewName],
        runs: &[Run],
        mut change: impl FnMut(&ViewName, &mut ViewMemory),
    ) -> Result<(), StoreError> {
        if views.is_empty() && runs.is_empty() {
            return Ok(());
        }
        self.write_shared(|tx| {
            for view in views {
                let before = read_memory(tx, server, view)?;
                let mut memory = before.clone();
                change(view, &mut memory);
                if memory != before {
                    write_memory(tx, server, view, &memory)?;
                }
            }
            runs.iter().try_for_each(|run| write_run(tx, server, run))
        })
    }

    /// Replaces what pages show of the views of a server, but for those of some databases.
    pub fn record_view_statuses(
        &self,
        server: &str,
        statuses: &[ViewStatus],
        kept: &[String],
    ) -> Result<(), StoreError> {
        self.write_shared(|tx| {
            let bodies: Vec<(&ViewName, String)> = statuses
                .iter()
                .map(|status| Ok((&status.view, to_json("view", status)?)))
                .collect::<Result<_, StoreError>>()?;
            let known = {
                let mut statement = tx.prepare_cached(
                    "SELECT database, schema, name, status FROM refresh_view WHERE server = ?1 AND status IS NOT NULL",
                )?;
                let mut rows = statement.query([server])?;
                let mut known: HashMap<ViewName, String> = HashMap::new();
                while let Some(row) = rows.next()? {
                    known.insert(view_name(row, 0)?, row.get(3)?);
                }
                known
            };
            for (view, body) in &bodies {
                if known.get(*view) != Some(body) {
                    upsert(tx, "status", server, view, Some(body))?;
                }
            }
            let there: HashSet<&ViewName> = bodies.iter().map(|(view, _)| *view).collect();
            let is_gone = |view: &&ViewName| !kept.contains(&view.database) && !there.contains(view);
            for gone in known.keys().filter(is_gone) {
                upsert(tx, "status", server, gone, None)?;
            }
            Ok(())
        })
    }

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

    /// The views that pages show, with the server's name.
    pub fn view_statuses(&self) -> Result<Vec<(String, ViewStatus)>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT status, is_paused, server FROM refresh_view WHERE status IS NOT NULL
                 ORDER BY server, database, schema, name",
            )?;
            let mut rows = statement.query([])?;
            let mut statuses = Vec::new();
            while let Some(row) = rows.next()? {
                statuses.push((row.get(2)?, status_of(row)?));
            }
            Ok(statuses)
        })
    }

    /// What pages show of one view.
    pub fn view_status(&self, server: &str, view: &ViewName) -> Result<Option<ViewStatus>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT status, is_paused FROM refresh_view
                 WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4 AND status IS NOT NULL",
            )?;
            let mut rows = statement.query(params![server, view.database, view.schema, view.name])?;
            rows.next()?.map(status_of).transpose()
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

    /// Hands in what a person asks for. Any process may do this.
    pub fn submit_refresh_command(&self, command: &RefreshCommand) -> Result<i64, StoreError> {
        self.write_shared(|tx| {
            tx.prepare_cached(
                "INSERT INTO refresh_command (server, database, schema, name, action, actor, submitted_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                command.server,
                command.view.database,
                command.view.schema,
                command.view.name,
                command.action.word(),
                command.actor,
                micros(command.submitted_at),
            ])?;
            Ok(tx.last_insert_rowid())
        })
    }

    /// The number of the newest thing that is asked for and was not done yet.
    pub fn newest_refresh_command(&self, server: &str) -> Result<Option<i64>, StoreError> {
        self.read(|tx| {
            let sql = "SELECT max(id) FROM refresh_command WHERE applied_at IS NULL AND server = ?1";
            Ok(tx.prepare_cached(sql)?.query_row([server], |row| row.get(0))?)
        })
    }

    /// Pauses and resumes views as people want it.
    pub fn apply_refresh_switches(&self, server: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write_shared(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT database, schema, name, action FROM refresh_command
                 WHERE applied_at IS NULL AND server = ?1 AND action <> 'refresh' ORDER BY id",
            )?;
            let mut rows = statement.query([server])?;
            while let Some(row) = rows.next()? {
                let view = view_name(row, 0)?;
                let is_paused = RefreshAction::parse(&row.get::<_, String>(3)?) == Some(RefreshAction::Pause);
                tx.prepare_cached(
                    "INSERT INTO refresh_view (server, database, schema, name, is_paused) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET is_paused = excluded.is_paused",
                )?
                .execute(params![server, view.database, view.schema, view.name, is_paused])?;
            }
            tx.prepare_cached(
                "UPDATE refresh_command SET applied_at = ?2 WHERE applied_at IS NULL AND server = ?1 AND action <> 'refresh'",
            )?
            .execute(params![server, micros(now)])?;
            Ok(())
        })
    }

    /// Views that are to be refreshed since somebody asked for it, at this time or later.
    pub fn refresh_requests(&self, server: &str, since: DateTime<Utc>) -> Result<Vec<ViewName>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT database, schema, name FROM refresh_command
                 WHERE applied_at IS NULL AND server = ?1 AND action = 'refresh' AND submitted_at >= ?2",
            )?;
            let mut rows = statement.query(params![server, micros(since)])?;
            let mut views = Vec::new();
            while let Some(row) = rows.next()? {
                views.push(view_name(row, 0)?);
            }
            Ok(views)
        })
    }

    /// Notes that a view was refreshed as it was asked for, or cannot be.
    pub fn finish_refresh_requests(
        &self,
        server: &str,
        view: &ViewName,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write_shared(|tx| {
            tx.prepare_cached(
                "UPDATE refresh_command SET applied_at = ?5
                 WHERE applied_at IS NULL AND action = 'refresh' AND server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4",
            )?
            .execute(params![server, view.database, view.schema, view.name, micros(now)])?;
            Ok(())
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

/// From the columns status, is_paused.
fn status_of(row: &Row<'_>) -> Result<ViewStatus, StoreError> {
    let status: ViewStatus = from_json("view", &row.get::<_, String>(0)?)?;
    Ok(ViewStatus {
        is_paused: row.get(1)?,
        ..status
    })
}

fn view_name(row: &Row<'_>, from: usize) -> Result<ViewName, rusqlite::Error> {
    Ok(ViewName {
        database: row.get(from)?,
        schema: row.get(from + 1)?,
        name: row.get(from + 2)?,
    })
}

/// From the columns is_paused, memory.
fn memory_of(row: &Row<'_>, from: usize) -> Result<ViewMemory, StoreError> {
    let is_paused = row.get(from)?;
    let body: Option<String> = row.get(from + 1)?;
    let memory = match body {
        Some(body) => from_json("memory of a view", &body)?,
        None => ViewMemory::default(),
    };
    Ok(ViewMemory { is_paused, ..memory })
}

fn read_memory(tx: &Transaction<'_>, server: &str, view: &ViewName) -> Result<ViewMemory, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT is_paused, memory FROM refresh_view WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4",
    )?;
    let mut rows = statement.query(params![server, view.database, view.schema, view.name])?;
    match rows.next()? {
        Some(row) => memory_of(row, 0),
        None => Ok(ViewMemory::default()),
    }
}

fn write_memory(
    tx: &Transaction<'_>,
    server: &str,
    view: &ViewName,
    memory: &ViewMemory,
) -> Result<(), StoreError> {
    let body = to_json("memory of a view", memory)?;
    upsert(tx, "memory", server, view, Some(&body))
}

/// Sets one column of a view's row.
fn upsert(
    tx: &Transaction<'_>,
    column: &'static str,
    server: &str,
    view: &ViewName,
    body: Option<&str>,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO refresh_view (server, database, schema, name, {column}) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET {column} = excluded.{column}"
    );
    tx.prepare_cached(&sql)?
        .execute(params![server, view.database, view.schema, view.name, body])?;
    Ok(())
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
fn write_run(tx: &Transaction<'_>, server: &str, run: &Run) -> Result<(), StoreError> {
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
    use super::super::testing::at;
    use super::*;

    fn view(name: &str) -> ViewName {
        ViewName {
            database: "db".into(),
            schema: "public".into(),
            name: name.into(),
        }
    }

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

    #[test]
    fn what_a_person_said_is_not_lost_to_a_run() {
        let store = Store::in_memory().unwrap();
        let command = RefreshCommand {
            server: "main".into(),
            view: view("a"),
            action: RefreshAction::Pause,
            actor: "ann".into(),
            submitted_at: at(0),
        };
        store.submit_refresh_command(&command).unwrap();
        assert!(store.newest_refresh_command("main").unwrap().is_some());
        store.apply_refresh_switches("main", at(1)).unwrap();
        assert_eq!(store.newest_refresh_command("main").unwrap(), None);
        let learn = |_: &ViewName, memory: &mut ViewMemory| {
            memory.failures += 1;
            memory.is_paused = false;
        };
        store
            .record_refreshes("main", &[view("a"), view("b")], &[], learn)
            .unwrap();
        let memories = store.view_memories("main").unwrap();
        assert!(memories[&view("a")].is_paused && !memories[&view("b")].is_paused);
        assert_eq!(memories[&view("a")].failures, 1);
        let resume = RefreshCommand {
            action: RefreshAction::Resume,
            ..command
        };
        store.submit_refresh_command(&resume).unwrap();
        store.apply_refresh_switches("main", at(3)).unwrap();
        assert!(!store.view_memories("main").unwrap()[&view("a")].is_paused);
    }

    #[test]
    fn what_is_asked_for_stays_until_it_is_done() {
        let store = Store::in_memory().unwrap();
        let ask = |name: &str, second: i64| {
            let command = RefreshCommand {
                server: "main".into(),
                view: view(name),
                action: RefreshAction::Refresh,
                actor: "ann".into(),
                submitted_at: at(second),
            };
            store.submit_refresh_command(&command).unwrap()
        };
        let newest = [ask("a", 0), ask("b", 10)][1];
        store.apply_refresh_switches("main", at(11)).unwrap();
        assert_eq!(store.newest_refresh_command("main").unwrap(), Some(newest));
        let asked = |second: i64| store.refresh_requests("main", at(second)).unwrap();
        assert_eq!(
            (asked(0), asked(5)),
            (vec![view("a"), view("b")], vec![view("b")])
        );
        store.finish_refresh_requests("main", &view("b"), at(20)).unwrap();
        assert_eq!(asked(0), [view("a")]);
    }
}
