//! What happened: the change feed and the life of each finding.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::findings::count;
use super::record::read_finding;
use super::row::{from_json, micros, rows, time, to_json, word};
use crate::model::finding::{Event, EventKind};
use crate::model::id::Fingerprint;

impl Store {
    /// The life of one finding, oldest event first.
    pub fn history(&self, fingerprint: &Fingerprint) -> Result<Vec<Event>, StoreError> {
        self.events(
            "fingerprint = ?1 ORDER BY sequence LIMIT ?2",
            fingerprint.as_str().to_owned().into(),
            usize::MAX,
        )
    }

    /// The change feed: what follows an event, oldest first.
    pub fn events_after(&self, sequence: i64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.events("sequence > ?1 ORDER BY sequence LIMIT ?2", sequence.into(), limit)
    }

    /// What happened since a time, newest first.
    pub fn events_since(&self, at: DateTime<Utc>, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.events(
            "occurred_at >= ?1 ORDER BY sequence DESC LIMIT ?2",
            micros(at).into(),
            limit,
        )
    }

    fn events(&self, condition: &str, value: Value, limit: usize) -> Result<Vec<Event>, StoreError> {
        let sql = format!(
            "SELECT event_id, sequence, kind, occurred_at, actor, comment, finding FROM event WHERE {condition}"
        );
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query(params![value, count(limit)])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(event(row)?);
            }
            Ok(events)
        })
    }

    /// How often findings of each rule opened, as far back as events are kept.
    pub fn rule_firings(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.rule_events(EventKind::Opened, "")
    }

    /// How often people said of findings of each rule that they are no problem, as far back as events are kept.
    pub fn rule_false_positives(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.rule_events(EventKind::MarkedFalsePositive, "AND actor IS NOT NULL")
    }

    fn rule_events(&self, kind: EventKind, which: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.read(|tx| {
            let sql = format!(
                "SELECT rule, count(*) FROM event WHERE kind = ?1 {which} GROUP BY rule ORDER BY rule"
            );
            rows(tx, &sql, [kind.word()], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
            })
        })
    }
}

/// Appends an event, with the finding as it is now.
pub(super) fn append_event(
    tx: &Transaction<'_>,
    fingerprint: &Fingerprint,
    kind: EventKind,
    occurred_at: DateTime<Utc>,
    actor: Option<&str>,
    comment: Option<&str>,
) -> Result<Event, StoreError> {
    let finding = read_finding(tx, fingerprint)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let last: Option<i64> = tx
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'event'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let sequence = last.unwrap_or(0) + 1;
    let event = Event {
        event_id: event_id(fingerprint, sequence, kind, occurred_at),
        sequence,
        kind,
        occurred_at,
        actor: actor.map(str::to_owned),
        comment: comment.map(str::to_owned),
        finding,
    };
    tx.prepare_cached(
        "INSERT INTO event (sequence, event_id, fingerprint, rule, kind, occurred_at, actor, comment, finding)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        sequence,
        event.event_id,
        fingerprint.as_str(),
        event.finding.claim.rule,
        kind.word(),
        micros(occurred_at),
        actor,
        comment,
        to_json("finding", &event.finding)?,
    ])?;
    Ok(event)
}

/// Unique also among the events of other stores: receivers tell by it what they have had already.
fn event_id(fingerprint: &Fingerprint, sequence: i64, kind: EventKind, at: DateTime<Utc>) -> String {
    let identity = format!("{fingerprint} {sequence} {} {}", kind.word(), micros(at));
    blake3::hash(identity.as_bytes()).to_hex()[..32].to_owned()
}

fn event(row: &Row<'_>) -> Result<Event, StoreError> {
    Ok(Event {
        event_id: row.get(0)?,
        sequence: row.get(1)?,
        kind: word("kind of event", &row.get::<_, String>(2)?)?,
        occurred_at: time(row.get(3)?),
        actor: row.get(4)?,
        comment: row.get(5)?,
        finding: from_json("finding", &row.get::<_, String>(6)?)?,
    })
}
