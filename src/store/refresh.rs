//! Materialized views: what is remembered of each, and what pages show; beside it every run, and what people ask for. The
//! daemon and `pgadvisor refresh` both write here.

mod commands;
mod runs;

use std::collections::{HashMap, HashSet};

use rusqlite::{Row, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{from_json, to_json};
use crate::model::refresh::{Run, ViewMemory, ViewName, ViewStatus};

pub use commands::RefreshCommand;
use runs::write_run;

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
}

/// From the columns status, is_paused.
fn status_of(row: &Row<'_>) -> Result<ViewStatus, StoreError> {
    let status: ViewStatus = from_json("view", &row.get::<_, String>(0)?)?;
    Ok(ViewStatus {
        is_paused: row.get(1)?,
        ..status
    })
}

/// From the columns database, schema, name.
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

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;
    use crate::model::refresh::RefreshAction;

    pub(super) fn view(name: &str) -> ViewName {
        ViewName {
            database: "db".into(),
            schema: "public".into(),
            name: name.into(),
        }
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
}
