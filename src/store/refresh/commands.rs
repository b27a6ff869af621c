//! What people ask for: that a view is refreshed, paused or resumed. It stays until it is done.

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::view_name;
use crate::model::refresh::{RefreshAction, ViewName};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::micros;

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

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;
    use crate::store::testing::at;

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
