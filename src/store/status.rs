//! What the advisor knows about its own work, and how the store stays small.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;

use super::error::StoreError;
use super::row::{from_json, micros, rows, time, to_json};
use super::{Store, locked};
use crate::limits;
use crate::model::activity::ActivityNow;
use crate::model::judgement::{Ignored, RuleOutcome};
use crate::model::status::{Gap, LoadPoint, Look, ServerStatus};
use crate::model::unit::Period;

/// Rows that one transaction deletes, so that nobody waits long.
const CHUNK: usize = 1000;
/// Pages that one step gives back to the file system.
const PAGES: usize = 1000;
/// Nothing shows the load of longer ago than a week.
const LOAD_RETENTION: Period = Period::days(8);

/// What was deleted because it is older than the retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    /// Resolved findings, false positives, and what was waited for and never judged again.
    pub findings: u64,
    /// Their events, and old ones of findings that live on.
    pub events: u64,
    /// Points of the load.
    pub load_points: u64,
    /// Commands that were carried out or refused.
    pub commands: u64,
    /// Outcomes of rules or databases that are judged no more.
    pub rule_outcomes: u64,
    /// Refreshes of materialized views.
    pub refresh_runs: u64,
    /// Rows of the history of statements, tables, indexes, waits and incidents.
    pub history: u64,
    /// Plans of statements.
    pub plans: u64,
    /// Pages given back to the file system.
    pub pages: u64,
}

impl Store {
    /// Remembers the last look at a family of facts.
    pub fn record_look(&self, look: &Look) -> Result<(), StoreError> {
        self.write(|tx| record_look(tx, look))
    }

    /// The last looks, by server, family and database.
    pub fn looks(&self) -> Result<Vec<Look>, StoreError> {
        let rows =
            self.read(|tx| bodies(tx, "SELECT '', body FROM look ORDER BY server, family, database"))?;
        rows.iter().map(|(_, body)| from_json("look", body)).collect()
    }

    /// What could not be read, with the server's name.
    pub fn gaps(&self) -> Result<Vec<(String, Gap)>, StoreError> {
        let rows = self.read(|tx| bodies(tx, "SELECT server, body FROM gap ORDER BY server, ordinal"))?;
        rows.into_iter()
            .map(|(server, body)| Ok((server, from_json("gap", &body)?)))
            .collect()
    }

    /// What goes on at a server, as of the last look; none where that is not known.
    pub fn activity(&self, server: &str) -> Result<Option<ActivityNow>, StoreError> {
        let body: Option<String> = self.read(|tx| {
            let mut statement = tx.prepare_cached("SELECT body FROM activity WHERE server = ?1")?;
            Ok(statement.query_row([server], |row| row.get(0)).optional()?)
        })?;
        body.map(|body| from_json("activity", &body)).transpose()
    }

    /// What was left out because somebody does not want to hear of it, with the server's name.
    pub fn ignored(&self) -> Result<Vec<(String, Ignored)>, StoreError> {
        let rows = self.read(|tx| {
            let sql = "SELECT server, body FROM ignored ORDER BY server, ordinal";
            bodies(tx, sql)
        })?;
        rows.into_iter()
            .map(|(server, body)| Ok((server, from_json("ignored", &body)?)))
            .collect()
    }

    /// Remembers what is known of a server as a whole.
    pub fn record_server(&self, status: &ServerStatus) -> Result<(), StoreError> {
        self.write(|tx| record_server(tx, status))
    }

    /// The servers, by name.
    pub fn servers(&self) -> Result<Vec<ServerStatus>, StoreError> {
        self.read(servers)
    }

    /// The latest outcome of each rule in each place, with the server's name.
    pub fn rule_outcomes(&self) -> Result<Vec<(String, RuleOutcome)>, StoreError> {
        let rows = self.read(|tx| {
            let sql = "SELECT server, body FROM rule_outcome ORDER BY server, rule, database";
            bodies(tx, sql)
        })?;
        rows.into_iter()
            .map(|(server, body)| Ok((server, from_json("rule outcome", &body)?)))
            .collect()
    }

    /// Forgets the status of servers that are watched no more. Their findings and the use of their indexes stay, for
    /// a server may be put back.
    pub fn forget_servers_but(&self, names: &[String]) -> Result<(), StoreError> {
        let names = to_json("list of servers", &names)?;
        self.write(|tx| {
            for (table, column) in [
                ("server", "name"),
                ("look", "server"),
                ("gap", "server"),
                ("ignored", "server"),
                ("activity", "server"),
                ("server_fact", "server"),
                ("table_columns", "server"),
                ("rule_outcome", "server"),
                ("table_now", "server"),
                ("index_now", "server"),
            ] {
                let sql =
                    format!("DELETE FROM {table} WHERE {column} NOT IN (SELECT value FROM json_each(?1))");
                tx.execute(&sql, [&names])?;
            }
            let hide =
                "UPDATE refresh_view SET status = NULL WHERE server NOT IN (SELECT value FROM json_each(?1))";
            tx.execute(hide, [&names])?;
            Ok(())
        })
    }

    /// How busy a server was since a time, oldest first.
    pub fn load(&self, server: &str, since: DateTime<Utc>) -> Result<Vec<LoadPoint>, StoreError> {
        self.read(|tx| {
            let sql = "SELECT at, load_sessions FROM load_point WHERE server = ?1 AND at >= ?2 ORDER BY at";
            rows(tx, sql, params![server, micros(since)], |row| {
                Ok(LoadPoint {
                    at: time(row.get(0)?),
                    load_sessions: row.get(1)?,
                })
            })
        })
    }

    /// Deletes what is older than the retention, a little at a time, and gives the room back to the file system.
    pub fn prune(&self, now: DateTime<Utc>, retention: Period) -> Result<PruneReport, StoreError> {
        let before = micros(now - retention.as_delta());
        let load_before = micros(now - retention.min(LOAD_RETENTION).as_delta());
        // Events first: they refer to their finding.
        let events = self.delete_in_chunks(
            "DELETE FROM event WHERE sequence IN (SELECT sequence FROM event JOIN finding USING (fingerprint)
                 WHERE occurred_at < ?1 AND ((state IN ('resolved', 'false_positive') AND last_seen_at < ?1)
                     OR kind <> 'finding.opened') LIMIT ?2)",
            before,
        )?;
        Ok(PruneReport {
            events,
            findings: self.delete_in_chunks(
                "DELETE FROM finding WHERE fingerprint IN (SELECT fingerprint FROM finding
                     WHERE coalesce(state, 'awaited') IN ('resolved', 'false_positive', 'awaited')
                         AND last_seen_at < ?1 AND NOT EXISTS (SELECT 1 FROM event WHERE event.fingerprint = finding.fingerprint)
                     LIMIT ?2)",
                before,
            )?,
            load_points: self.delete_in_chunks(
                "DELETE FROM load_point WHERE (server, at) IN
                     (SELECT server, at FROM load_point WHERE at < ?1 LIMIT ?2)",
                load_before,
            )?,
            commands: self.delete_in_chunks(
                "DELETE FROM command WHERE id IN (SELECT id FROM command WHERE applied_at < ?1 LIMIT ?2)",
                before,
            )?,
            rule_outcomes: self.delete_in_chunks(
                "DELETE FROM rule_outcome WHERE (server, rule, database) IN
                     (SELECT server, rule, database FROM rule_outcome WHERE at < ?1 LIMIT ?2)",
                before,
            )?,
            refresh_runs: self.delete_in_chunks(
                "DELETE FROM refresh_view WHERE (server, database, schema, name) IN
                     (SELECT server, database, schema, name FROM refresh_view WHERE status IS NULL AND NOT is_paused
                      AND coalesce(unixepoch(json_extract(memory, '$.looked_at')), 0) * 1000000 < ?1 LIMIT ?2)",
                before,
            )? + self.delete_in_chunks(
                "DELETE FROM refresh_run WHERE id IN (SELECT id FROM refresh_run WHERE ended_at < ?1 LIMIT ?2)",
                before,
            )? + self.delete_in_chunks(
                "DELETE FROM refresh_command WHERE id IN (SELECT id FROM refresh_command WHERE applied_at < ?1 LIMIT ?2)",
                before,
            )?,
            history: self.prune_history(now, retention)? + self.prune_incidents(before)?,
            plans: self.prune_plans(before)?,
            pages: self.give_back_pages()?,
        })
    }

    /// Runs a DELETE of (time, at most so many) until it finds nothing more; each run is a transaction of its own.
    pub(super) fn delete_in_chunks(&self, sql: &str, before: i64) -> Result<u64, StoreError> {
        let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let mut deleted = 0;
        loop {
            let rows = self.write(|tx| Ok(tx.prepare_cached(sql)?.execute(params![before, limit])?))?;
            deleted += rows as u64;
            if rows < CHUNK {
                return Ok(deleted);
            }
        }
    }

    /// Steps the incremental vacuum to its end. It frees one page a step, so whoever runs it without reading all of
    /// its (empty) rows frees one page in all.
    fn give_back_pages(&self) -> Result<u64, StoreError> {
        let freed = |connection: &mut rusqlite::Connection| -> Result<u64, StoreError> {
            let count = |connection: &rusqlite::Connection| {
                connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))
            };
            let before = count(connection)?;
            let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok((before - count(connection)?).max(0).unsigned_abs())
        };
        let mut pages = 0;
        loop {
            let step = freed(&mut locked(&self.inner.writer)).map_err(|error| self.located(error))?;
            if step == 0 {
                break;
            }
            pages += step;
        }
        Ok(pages)
    }
}

pub(super) fn record_look(tx: &Transaction<'_>, look: &Look) -> Result<(), StoreError> {
    let database = look.database.as_deref().unwrap_or_default();
    tx.prepare_cached(
        "INSERT INTO look (server, family, database, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET body = excluded.body",
    )?
    .execute(params![
        look.server,
        look.family,
        database,
        to_json("look", look)?
    ])?;
    Ok(())
}

/// Replaces what could not be read of a server.
pub(super) fn record_gaps(tx: &Transaction<'_>, server: &str, gaps: &[Gap]) -> Result<(), StoreError> {
    record_list(tx, "gap", server, gaps)
}

/// What goes on; what could not be read is known no more.
pub(super) fn record_activity(
    tx: &Transaction<'_>,
    server: &str,
    activity: Option<&ActivityNow>,
) -> Result<(), StoreError> {
    match activity {
        None => tx
            .prepare_cached("DELETE FROM activity WHERE server = ?1")?
            .execute([server])?,
        Some(activity) => tx
            .prepare_cached(
                "INSERT INTO activity (server, body) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET body = excluded.body",
            )?
            .execute(params![server, to_json("activity", activity)?])?,
    };
    Ok(())
}

/// What was left out in the last turn; of very much only the beginning.
pub(super) fn record_ignored(
    tx: &Transaction<'_>,
    server: &str,
    ignored: &[Ignored],
) -> Result<(), StoreError> {
    let shown = ignored.len().min(limits::IGNORED_SHOWN);
    record_list(tx, "ignored", server, &ignored[..shown])
}

/// The rows of one server in a table of bodies. They mostly stay: no change, no new revision.
fn record_list(
    tx: &Transaction<'_>,
    table: &'static str,
    server: &str,
    items: &[impl Serialize],
) -> Result<(), StoreError> {
    let new: Vec<String> = items
        .iter()
        .map(|item| to_json(table, item))
        .collect::<Result<_, _>>()?;
    let mut old = tx.prepare_cached(&format!(
        "SELECT body FROM {table} WHERE server = ?1 ORDER BY ordinal"
    ))?;
    let old: Vec<String> = old
        .query_map([server], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if old == new {
        return Ok(());
    }
    tx.prepare_cached(&format!("DELETE FROM {table} WHERE server = ?1"))?
        .execute([server])?;
    let insert = format!("INSERT INTO {table} (server, ordinal, body) VALUES (?1, ?2, ?3)");
    let mut insert = tx.prepare_cached(&insert)?;
    for (ordinal, body) in (0_i64..).zip(&new) {
        insert.execute(params![server, ordinal, body])?;
    }
    Ok(())
}

pub(super) fn record_server(tx: &Transaction<'_>, status: &ServerStatus) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO server (name, body) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET body = excluded.body WHERE body <> excluded.body",
    )?
    .execute(params![status.name, to_json("server", status)?])?;
    Ok(())
}

/// Remembers how busy a server was.
pub(super) fn record_load(tx: &Transaction<'_>, server: &str, point: &LoadPoint) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO load_point (server, at, load_sessions) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET load_sessions = excluded.load_sessions",
    )?
    .execute(params![server, micros(point.at), point.load_sessions])?;
    Ok(())
}

/// The rows of a name and a body.
/// The servers, by name.
pub(super) fn servers(tx: &Transaction<'_>) -> Result<Vec<ServerStatus>, StoreError> {
    let rows = bodies(tx, "SELECT name, body FROM server ORDER BY name")?;
    rows.iter().map(|(_, body)| from_json("server", body)).collect()
}

fn bodies(tx: &Transaction<'_>, sql: &str) -> Result<Vec<(String, String)>, StoreError> {
    rows(tx, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement};
    use super::*;
    use crate::model::status::{FamilyCost, RunningServer};

    #[test]
    fn what_is_old_goes_and_the_file_shrinks() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store.db")).unwrap();
        let claims = |tables: usize| (0..tables).map(|n| claim("a.rule", None, &format!("t{n}")));
        store
            .record(
                "main",
                at(0),
                &judgement(claims(2500), [evaluated("a.rule", None)]),
            )
            .unwrap();
        store
            .record("main", at(1), &judgement(claims(1), [evaluated("a.rule", None)]))
            .unwrap();
        let load = LoadPoint {
            at: at(0),
            load_sessions: Some(0.5),
        };
        store.write(|tx| record_load(tx, "main", &load)).unwrap();
        let pages = |name: &str| -> i64 {
            let sql = format!("PRAGMA {name}");
            locked(&store.inner.writer)
                .query_row(&sql, [], |row| row.get(0))
                .unwrap()
        };
        let before = pages("page_count");
        let day = 86_400;
        assert_eq!(
            store.prune(at(day), Period::days(2)).unwrap(),
            PruneReport::default()
        );
        let report = store.prune(at(2 * day + 2), Period::days(2)).unwrap();
        // 2499 findings opened and resolved; the one that lives keeps its opening.
        assert_eq!(
            (report.findings, report.events, report.load_points),
            (2499, 4998, 1)
        );
        assert!(report.pages > 1000);
        assert_eq!(pages("freelist_count"), 0);
        assert!(pages("page_count") < before / 10);
        assert_eq!(store.findings(&Default::default()).unwrap().total, 1);
        assert_eq!(store.rule_firings().unwrap()[0].1, 1);
        // A sequence is not given twice.
        let gone = judgement([], [evaluated("a.rule", None)]);
        assert_eq!(
            store.record("main", at(3 * day), &gone).unwrap()[0].sequence,
            5000
        );
    }

    #[test]
    fn status_reads_back() {
        let store = Store::in_memory().unwrap();
        let look = |database: Option<&str>, rows| Look {
            server: "main".to_owned(),
            family: "relations".to_owned(),
            database: database.map(str::to_owned),
            at: at(0),
            elapsed_seconds: 0.25,
            rows,
            error: None,
        };
        for one in [look(None, 1), look(Some("db"), 2), look(None, 3)] {
            store.record_look(&one).unwrap();
        }
        assert_eq!(store.looks().unwrap(), [look(None, 3), look(Some("db"), 2)]);
        let gap = Gap {
            fact: "pg_stat_statements".to_owned(),
            database: None,
            why: "it is not installed".to_owned(),
            remedy_sql: None,
            missing_privilege: None,
            rules: vec!["query.slow_mean".to_owned()],
        };
        store
            .write(|tx| record_gaps(tx, "main", std::slice::from_ref(&gap)))
            .unwrap();
        let revision = store.revision();
        store
            .write(|tx| record_gaps(tx, "main", std::slice::from_ref(&gap)))
            .unwrap();
        assert_eq!(store.revision(), revision);
        assert_eq!(store.gaps().unwrap(), [("main".to_owned(), gap)]);
        let status = ServerStatus {
            name: "main".to_owned(),
            version_num: Some(180_001),
            system_identifier: None,
            is_standby: Some(false),
            databases: vec!["db".to_owned()],
            last_seen_at: Some(at(1)),
            unreachable: None,
            own_seconds_last_hour: 0.5,
            own_cost_ratio: 0.001,
            own_entries_seconds_last_hour: Some(0.25),
            families: vec![FamilyCost {
                family: "catalog".to_owned(),
                seconds_last_hour: 0.5,
                budget_share: 0.2,
                every_seconds: Some(1200.0),
                usual_every_seconds: Some(600.0),
            }],
            replication: None,
            running: Some(RunningServer {
                system_identifier: "7".to_owned(),
                timeline: Some(1),
                is_standby: false,
                started_at: at(0) + chrono::TimeDelta::microseconds(123_457),
            }),
            told_by: Some("first".to_owned()),
            counters_since: [("db".to_owned(), at(0))].into(),
        };
        store.record_server(&status).unwrap();
        store.forget_servers_but(&["main".to_owned()]).unwrap();
        assert_eq!(store.servers().unwrap(), std::slice::from_ref(&status));
        // what an older version wrote
        store
            .write(|tx| {
                let older = "UPDATE server SET body = json_remove(body, '$.families', '$.own_entries_seconds_last_hour', \
                             '$.running', '$.told_by', '$.counters_since')";
                Ok(tx.execute(older, [])?)
            })
            .unwrap();
        let older = &store.servers().unwrap()[0];
        assert!(older.families.is_empty() && older.own_entries_seconds_last_hour.is_none());
        assert!(older.running.is_none() && older.told_by.is_none() && older.counters_since.is_empty());
        assert_eq!(older.own_cost_ratio, status.own_cost_ratio);
        assert!(store.revision() > revision);
        store.forget_servers_but(&[]).unwrap();
        assert!(store.servers().unwrap().is_empty() && store.looks().unwrap().is_empty());
        assert!(store.gaps().unwrap().is_empty());
        let point = |second, load_sessions| LoadPoint {
            at: at(second),
            load_sessions,
        };
        for one in [point(2, None), point(1, Some(0.5)), point(3, Some(1.5))] {
            store.write(|tx| record_load(tx, "main", &one)).unwrap();
        }
        assert_eq!(
            store.load("main", at(2)).unwrap(),
            [point(2, None), point(3, Some(1.5))]
        );
        assert!(store.size_bytes().unwrap() > 0);
    }
}
