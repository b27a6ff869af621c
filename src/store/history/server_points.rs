//! What was seen of a server as a whole: look by look as long as its load is kept, and hour by hour as long as measurements are. It
//! is one row a look, so that the hour is brought up to date at each of them instead of being rolled up when it is over.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::HOUR;
use crate::model::server_point::{ServerCounts, ServerPoint};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{micros, rows, time};

/// Ranges up to this are told look by look.
const LOOKS_TOLD: TimeDelta = TimeDelta::days(7);
/// Nothing shows looks of longer ago than a week.
const LOOKS_KEPT: TimeDelta = TimeDelta::days(8);
const LOOK: &str = "look";
const OF_AN_HOUR: &str = "hour";
const COLUMNS: &str = "at, length_seconds, checkpoints_seconds, clients, connections_limit, blocks_hit, blocks_read, \
     checkpoints_timed, checkpoints_requested, replay_lag_seconds, replay_lag_bytes";

/// Writes down what one look saw, and brings its hour up to date.
pub fn record_server_point(
    tx: &Transaction<'_>,
    server: &str,
    point: &ServerPoint,
) -> Result<(), StoreError> {
    write(tx, server, LOOK, point)?;
    let end = (micros(point.at) / HOUR + 1) * HOUR;
    let sql = format!("SELECT {COLUMNS} FROM server_point WHERE server = ?1 AND step = ?2 AND at = ?3");
    let known = tx
        .prepare_cached(&sql)?
        .query_row(params![server, OF_AN_HOUR, end], read)
        .optional()?;
    let together = known.map_or(*point, |known| known.then(point));
    let hour = ServerPoint {
        at: time(end),
        length_seconds: 3600.0,
        ..together
    };
    write(tx, server, OF_AN_HOUR, &hour)
}

fn write(tx: &Transaction<'_>, server: &str, step: &str, point: &ServerPoint) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT OR REPLACE INTO server_point (server, step, {COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    let counts = &point.counts;
    tx.prepare_cached(&sql)?.execute(params![
        server,
        step,
        micros(point.at),
        point.length_seconds,
        point.checkpoints_seconds,
        counts.clients,
        counts.connections_limit,
        counts.blocks_hit,
        counts.blocks_read,
        counts.checkpoints_timed,
        counts.checkpoints_requested,
        counts.replay_lag_seconds,
        counts.replay_lag_bytes,
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<ServerPoint> {
    Ok(ServerPoint {
        at: time(row.get(0)?),
        length_seconds: row.get(1)?,
        checkpoints_seconds: row.get(2)?,
        counts: ServerCounts {
            clients: row.get(3)?,
            connections_limit: row.get(4)?,
            blocks_hit: row.get(5)?,
            blocks_read: row.get(6)?,
            checkpoints_timed: row.get(7)?,
            checkpoints_requested: row.get(8)?,
            replay_lag_seconds: row.get(9)?,
            replay_lag_bytes: row.get(10)?,
        },
    })
}

/// How much of an hour that ends then is after its first look, as long as looks are kept: nobody may have looked before.
fn seconds_since_first_look(
    tx: &Transaction<'_>,
    server: &str,
    end: DateTime<Utc>,
) -> Result<f64, StoreError> {
    let end = micros(end);
    let sql = "SELECT min(at - CAST(length_seconds * 1000000 AS INTEGER)) FROM server_point
               WHERE server = ?1 AND step = ?2 AND at >= ?3 AND at < ?4";
    let first: Option<i64> = tx
        .prepare_cached(sql)?
        .query_row(params![server, LOOK, end - HOUR, end], |row| row.get(0))?;
    let first = first.map_or(end - HOUR, |first| first.max(end - HOUR));
    Ok((end - first) as f64 / 1e6)
}

impl Store {
    /// What was seen of a server as a whole over a range, oldest first: look by look over a week, hour by hour over longer. An
    /// hour that goes on ends after the range.
    ///
    /// # Errors
    /// If the store fails.
    pub fn server_points(
        &self,
        server: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<ServerPoint>, StoreError> {
        let step = match to - from <= LOOKS_TOLD {
            true => LOOK,
            false => OF_AN_HOUR,
        };
        self.read(|tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM server_point WHERE server = ?1 AND step = ?2 AND at >= ?3 AND at <= ?4 ORDER BY at"
            );
            let range = params![server, step, micros(from), micros(to) + HOUR];
            let mut points = rows(tx, &sql, range, read)?;
            if let Some(first) = points.first_mut().filter(|_| step == OF_AN_HOUR) {
                first.length_seconds = seconds_since_first_look(tx, server, first.at)?;
            }
            Ok(points)
        })
    }

    /// Deletes what is older than the retention, and looks that no range shows, a little at a time; gives the number of rows.
    pub(super) fn prune_server_points(&self, now: DateTime<Utc>, oldest: i64) -> Result<u64, StoreError> {
        let looks_before = micros(now - LOOKS_KEPT).max(oldest);
        let mut deleted = 0;
        for (step, before) in [(OF_AN_HOUR, oldest), (LOOK, looks_before)] {
            let sql = format!(
                "DELETE FROM server_point WHERE (server, step, at) IN
                     (SELECT server, step, at FROM server_point WHERE step = '{step}' AND at < ?1 LIMIT ?2)"
            );
            deleted += self.delete_in_chunks(&sql, before)?;
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::Period;

    /// So many minutes after the beginning of a day.
    fn at(minute: i64) -> DateTime<Utc> {
        time(20_000 * 24 * HOUR + minute * 60_000_000)
    }

    /// A look that saw so many clients; every tenth read checkpoints, too, of which there was one.
    fn look(store: &Store, minute: i64, clients: Option<i64>, replay_lag_seconds: Option<f64>) {
        let checkpoints = (minute % 10 == 0).then_some(1);
        let point = ServerPoint {
            at: at(minute),
            length_seconds: 60.0,
            checkpoints_seconds: checkpoints.map(|_| 600.0),
            counts: ServerCounts {
                clients,
                checkpoints_timed: checkpoints,
                checkpoints_requested: checkpoints.map(|_| 0),
                replay_lag_seconds,
                ..ServerCounts::default()
            },
        };
        store.write(|tx| record_server_point(tx, "main", &point)).unwrap();
    }

    #[test]
    fn an_hour_has_the_highest_and_the_sum_and_what_no_look_told_is_not_known() {
        let store = Store::in_memory().unwrap();
        for minute in 1..60 {
            look(&store, minute, Some(minute), (minute == 7).then_some(4.5));
        }
        // nobody looked in the second hour, and in the third nobody could count clients
        look(&store, 125, None, None);
        let hours = store.server_points("main", at(-30 * 24 * 60), at(130)).unwrap();
        let ends: Vec<DateTime<Utc>> = hours.iter().map(|point| point.at).collect();
        assert_eq!(ends, [at(60), at(180)]);
        let (first, third) = (hours[0], hours[1]);
        assert_eq!(
            (first.length_seconds, first.checkpoints_seconds),
            (3600.0, Some(3000.0))
        );
        assert_eq!(first.counts.clients, Some(59));
        assert_eq!(first.counts.checkpoints_timed, Some(5));
        assert_eq!(first.counts.checkpoints_requested, Some(0));
        assert_eq!(first.counts.replay_lag_seconds, Some(4.5));
        assert_eq!(
            (first.counts.replay_lag_bytes, first.counts.blocks_hit),
            (None, None)
        );
        assert_eq!(third.counts, ServerCounts::default());
        let looks = store.server_points("main", at(50), at(130)).unwrap();
        assert_eq!(looks.len(), 11);
        assert_eq!(
            (looks[0].counts.clients, looks[10].counts.clients),
            (Some(50), None)
        );
        assert!(store.server_points("other", at(0), at(130)).unwrap().is_empty());
    }

    #[test]
    fn the_first_hour_begins_with_the_first_look() {
        let store = Store::in_memory().unwrap();
        for minute in [36, 37, 59, 61] {
            look(&store, minute, Some(1), None);
        }
        let hours = store.server_points("main", at(-30 * 24 * 60), at(62)).unwrap();
        let lengths: Vec<f64> = hours.iter().map(|point| point.length_seconds).collect();
        assert_eq!(lengths, [1500.0, 3600.0]);
    }

    #[test]
    fn looks_go_after_a_week_and_hours_with_the_measurements() {
        let store = Store::in_memory().unwrap();
        look(&store, 5, Some(1), None);
        let day = 24 * 60;
        let month = |now: i64| store.server_points("main", at(-30 * day), at(now)).unwrap();
        store.prune(at(9 * day), Period::days(90)).unwrap();
        assert!(store.server_points("main", at(0), at(60)).unwrap().is_empty());
        assert_eq!(month(60).len(), 1);
        store.prune(at(91 * day), Period::days(90)).unwrap();
        assert!(month(60).is_empty());
    }
}
