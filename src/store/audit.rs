//! What became of the commands: the audit trail.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use super::Store;
use super::commands::command;
use super::error::StoreError;
use super::findings::count;
use super::row::time;
use crate::model::finding::Action;
use crate::model::id::Fingerprint;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It was carried out.
    Applied,
    /// It did not fit; why.
    Refused(String),
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditEntry {
    /// The command's number, as it was given when it was handed in.
    pub id: i64,
    /// The finding.
    pub fingerprint: Fingerprint,
    /// What was asked.
    pub action: Action,
    /// Who asked.
    pub actor: String,
    /// Why.
    pub comment: Option<String>,
    /// Of a snooze: until when, as asked.
    pub until: Option<DateTime<Utc>>,
    /// When it was asked.
    pub submitted_at: DateTime<Utc>,
    /// When it was carried out or refused; none while it waits.
    pub applied_at: Option<DateTime<Utc>>,
    /// What became of it; none while it waits.
    pub outcome: Option<CommandOutcome>,
}

impl Store {
    /// What became of a command; none while it waits, or if there is no such command.
    pub fn command_outcome(&self, id: i64) -> Result<Option<CommandOutcome>, StoreError> {
        self.read(|tx| {
            let sql = "SELECT applied_at, refused FROM command WHERE id = ?1";
            let outcome = tx
                .prepare_cached(sql)?
                .query_row([id], |row| outcome(row, 0))
                .optional()?;
            Ok(outcome.flatten())
        })
    }

    /// The audit trail: every command that is still kept, newest first.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT id, fingerprint, action, actor, comment, until, submitted_at, applied_at, refused
                 FROM command ORDER BY id DESC LIMIT ?1",
            )?;
            let mut rows = statement.query([count(limit)])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let command = command(row)?;
                entries.push(AuditEntry {
                    id: row.get(0)?,
                    fingerprint: command.fingerprint,
                    action: command.action,
                    actor: command.actor,
                    comment: command.comment,
                    until: command.until,
                    submitted_at: command.submitted_at,
                    applied_at: row.get::<_, Option<i64>>(7)?.map(time),
                    outcome: outcome(row, 7)?,
                });
            }
            Ok(entries)
        })
    }
}

/// From the columns applied_at, refused.
fn outcome(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<CommandOutcome>> {
    let applied_at: Option<i64> = row.get(first)?;
    let refused: Option<String> = row.get(first + 1)?;
    Ok(applied_at.map(|_| refused.map_or(CommandOutcome::Applied, CommandOutcome::Refused)))
}
