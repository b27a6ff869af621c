//! What is too old goes, a little at a time.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::place::Family;
use super::{HOUR, HOURS_OF_A_DAY};
use crate::limits;
use crate::model::history::{IndexCounts, StatementCounts, TableCounts, WaitCounts};
use crate::model::unit::Period;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{micros, to_json};

/// Subjects that one transaction forgets.
const CHUNK: usize = 1000;

impl Store {
    /// Deletes what is too old, a little at a time; gives the number of rows.
    pub(in crate::store) fn prune_history(
        &self,
        now: DateTime<Utc>,
        retention: Period,
    ) -> Result<u64, StoreError> {
        let ago = |kept: std::time::Duration| now - TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX);
        let oldest = micros(now - retention.as_delta());
        let (hours_before, days_before) = (oldest / HOUR, oldest / HOUR / HOURS_OF_A_DAY);
        let steps: [(&str, i64); 5] = [
            (
                // minutes that are not rolled up yet stay
                "DELETE FROM history_minute WHERE id IN (
                     SELECT m.id FROM history_minute AS m
                     JOIN history_hour AS h ON h.place = m.place AND h.hour = m.at / 3600000000
                     WHERE m.at < ?1 LIMIT ?2)",
                // whole hours: half of one would be rolled up as if it were all of it
                micros(ago(limits::MINUTES_KEPT)).max(oldest) / HOUR * HOUR,
            ),
            (
                "UPDATE history_hour SET body = NULL WHERE id IN (
                     SELECT id FROM history_hour WHERE hour < ?1 AND body IS NOT NULL LIMIT ?2)",
                (micros(ago(limits::HOURS_KEPT_BY_TIME)) / HOUR).max(hours_before),
            ),
            (
                "DELETE FROM history_day WHERE (day, subject) IN (
                     SELECT day, subject FROM history_day WHERE day < ?1 LIMIT ?2)",
                days_before,
            ),
            (
                "DELETE FROM history_total WHERE id IN (SELECT id FROM history_total WHERE day < ?1 LIMIT ?2)",
                days_before,
            ),
            (
                "DELETE FROM history_hour WHERE id IN (SELECT id FROM history_hour WHERE hour < ?1 LIMIT ?2)",
                hours_before,
            ),
        ];
        let mut deleted = 0;
        for (sql, before) in steps {
            deleted += self.delete_in_chunks(sql, before)?;
        }
        deleted += self.forget_subjects()?;
        deleted += self.prune_server_points(now, oldest)?;
        // places of databases and servers that are gone
        deleted += self.write(|tx| {
            let sql = "DELETE FROM history_place WHERE NOT EXISTS (SELECT 1 FROM history_subject AS s WHERE s.place = id)
                           AND NOT EXISTS (SELECT 1 FROM history_hour AS h WHERE h.place = id)
                           AND NOT EXISTS (SELECT 1 FROM history_minute AS m WHERE m.place = id)";
            Ok(tx.prepare_cached(sql)?.execute([])? as u64)
        })?;
        Ok(deleted)
    }

    /// Forgets the subjects that are in no day and in no minute that is not rolled up yet.
    fn forget_subjects(&self) -> Result<u64, StoreError> {
        let (unseen, awaited) = self.read(|tx| {
            let mut unseen = tx.prepare_cached(
                "SELECT s.id FROM history_subject AS s
                 WHERE NOT EXISTS (SELECT 1 FROM history_day AS d WHERE d.subject = s.id)",
            )?;
            let unseen: Vec<i64> = unseen
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut awaited: HashSet<u64> = HashSet::new();
            if unseen.is_empty() {
                return Ok((unseen, awaited));
            }
            let mut minutes = tx.prepare_cached(
                "SELECT p.family, m.body FROM history_minute AS m JOIN history_place AS p ON p.id = m.place
                 WHERE NOT EXISTS (
                     SELECT 1 FROM history_hour AS h WHERE h.place = m.place AND h.hour = m.at / 3600000000)",
            )?;
            let mut rows = minutes.query([])?;
            while let Some(row) = rows.next()? {
                let body = row.get_ref(1)?.as_blob().unwrap_or_default();
                match Family::of(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?) {
                    Family::Statement => awaited.extend(unpack::<StatementCounts>(body).map(|(id, _)| id)),
                    Family::Table => awaited.extend(unpack::<TableCounts>(body).map(|(id, _)| id)),
                    Family::Index => awaited.extend(unpack::<IndexCounts>(body).map(|(id, _)| id)),
                    Family::Wait => awaited.extend(unpack::<WaitCounts>(body).map(|(id, _)| id)),
                }
            }
            Ok((unseen, awaited))
        })?;
        let gone: Vec<i64> = unseen
            .into_iter()
            .filter(|id| !awaited.contains(&id.unsigned_abs()))
            .collect();
        for chunk in gone.chunks(CHUNK) {
            let chunk = to_json("list of subjects", &chunk)?;
            self.write(|tx| {
                // one that a look brings back just now loses that minute, and is known anew from the next
                tx.prepare_cached(
                    "DELETE FROM history_subject WHERE id IN (SELECT value FROM json_each(?1))",
                )?
                .execute([&chunk])?;
                self.inner.numbers.clear();
                Ok(())
            })?;
        }
        Ok(gone.len() as u64)
    }
}
