//! Who held others up, and transactions that were old: one row for each, as long as looks that follow each other see it.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use crate::limits;
use crate::model::incident::{Incident, IncidentFacts, IncidentKind, IncidentList, Sighting, Sightings};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{from_json, micros, time, to_json};

/// Rows beyond the bound that one look deletes at most.
const CHUNK: usize = 1000;

/// Writes down what one look saw, of what begins only the worst. What is not there of a kind that was looked at is over; other
/// kinds stay as they are.
pub fn record_incidents(
    tx: &Transaction<'_>,
    server: &str,
    now: DateTime<Utc>,
    sightings: &[Sightings],
) -> Result<(), StoreError> {
    let mut has_begun = false;
    for Sightings { kind, seen } in sightings {
        let mut open = going_on(tx, server, *kind)?;
        for (place, sighting) in seen.iter().enumerate() {
            match open.remove(&sighting.identity) {
                Some((id, known)) => extend(tx, id, now, known.then(sighting.facts.clone()))?,
                // others may be the worst at each look: whoever is among them no more goes on
                None if place >= limits::INCIDENTS_PER_LOOK => {}
                None => {
                    has_begun = true;
                    begin(tx, (server, *kind), now, sighting)?;
                }
            }
        }
        for (id, _) in open.into_values() {
            tx.prepare_cached("UPDATE incident SET ended_at = ?2 WHERE id = ?1")?
                .execute(params![id, micros(now)])?;
        }
    }
    match has_begun {
        true => keep_few(tx, server),
        false => Ok(()),
    }
}

/// What the looks before saw and did not see end, by its identity.
fn going_on(
    tx: &Transaction<'_>,
    server: &str,
    kind: IncidentKind,
) -> Result<HashMap<String, (i64, IncidentFacts)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT identity, id, body FROM incident WHERE server = ?1 AND kind = ?2 AND ended_at IS NULL",
    )?;
    let mut rows = statement.query(params![server, kind.word()])?;
    let mut open = HashMap::new();
    while let Some(row) = rows.next()? {
        let facts = from_json("incident", &row.get::<_, String>(2)?)?;
        open.insert(row.get(0)?, (row.get(1)?, facts));
    }
    Ok(open)
}

fn extend(tx: &Transaction<'_>, id: i64, now: DateTime<Utc>, facts: IncidentFacts) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE incident SET last_seen_at = max(last_seen_at, ?2), body = ?3 WHERE id = ?1")?
        .execute(params![id, micros(now), to_json("incident", &facts)?])?;
    Ok(())
}

fn begin(
    tx: &Transaction<'_>,
    (server, kind): (&str, IncidentKind),
    now: DateTime<Utc>,
    sighting: &Sighting,
) -> Result<(), StoreError> {
    let lasted = TimeDelta::milliseconds((sighting.seconds * 1000.0) as i64);
    let began_at = now.checked_sub_signed(lasted).unwrap_or(now);
    // two that cannot be told apart are one
    tx.prepare_cached(
        "INSERT INTO incident (server, kind, identity, began_at, last_seen_at, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        server,
        kind.word(),
        sighting.identity,
        micros(began_at),
        micros(now),
        to_json("incident", &sighting.facts)?
    ])?;
    Ok(())
}

/// Whoever can connect could make as many as he likes: the oldest go, those that are over first.
fn keep_few(tx: &Transaction<'_>, server: &str) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM incident WHERE id IN (
             SELECT id FROM incident WHERE server = ?1
             ORDER BY ended_at IS NULL DESC, last_seen_at DESC, id DESC LIMIT ?3 OFFSET ?2)",
    )?
    .execute(params![server, limits::INCIDENTS_KEPT as i64, CHUNK as i64])?;
    Ok(())
}

impl Store {
    /// The incidents of one kind that looks of a range saw, those that were seen last first, at most so many.
    ///
    /// # Errors
    /// If the store fails.
    pub fn incidents(
        &self,
        server: &str,
        kind: IncidentKind,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        most: usize,
    ) -> Result<IncidentList, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT began_at, last_seen_at, ended_at, body, count(*) OVER () FROM incident
                 WHERE server = ?1 AND kind = ?2 AND last_seen_at >= ?3 AND began_at < ?4
                 ORDER BY last_seen_at DESC, began_at DESC, id DESC LIMIT ?5",
            )?;
            let mut rows = statement.query(params![
                server,
                kind.word(),
                micros(from),
                micros(to),
                most as i64
            ])?;
            let mut list = IncidentList::default();
            while let Some(row) = rows.next()? {
                list.total = row.get::<_, i64>(4)?.unsigned_abs() as usize;
                list.items.push(Incident {
                    began_at: time(row.get(0)?),
                    last_seen_at: time(row.get(1)?),
                    ended_at: row.get::<_, Option<i64>>(2)?.map(time),
                    facts: from_json("incident", &row.get::<_, String>(3)?)?,
                });
            }
            Ok(list)
        })
    }

    /// Deletes what no look has seen since a time, a little at a time; gives the number of rows.
    pub(in crate::store) fn prune_incidents(&self, before: i64) -> Result<u64, StoreError> {
        self.delete_in_chunks(
            "DELETE FROM incident WHERE id IN (SELECT id FROM incident WHERE last_seen_at < ?1 LIMIT ?2)",
            before,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::Period;
    use crate::store::testing::at;

    const HOSTILE: &str = "'; DROP TABLE incident; --\0\u{202e}<script>";

    fn root(identity: &str, waiting: usize, seconds: f64) -> Sighting {
        Sighting {
            identity: identity.to_owned(),
            seconds,
            facts: IncidentFacts {
                application: HOSTILE.to_owned(),
                waiting,
                longest_wait_seconds: Some(seconds),
                ..IncidentFacts::default()
            },
        }
    }

    fn look(store: &Store, second: i64, seen: Vec<Sighting>) {
        let kind = IncidentKind::Blocking;
        let sightings = [Sightings { kind, seen }];
        store
            .write(|tx| record_incidents(tx, "main", at(second), &sightings))
            .unwrap();
    }

    fn told(store: &Store, from: i64, to: i64) -> IncidentList {
        let kind = IncidentKind::Blocking;
        store.incidents("main", kind, at(from), at(to), 10).unwrap()
    }

    #[test]
    fn an_incident_of_an_hour_is_one_row_that_ends() {
        let store = Store::in_memory().unwrap();
        for minute in 1..=60 {
            let waiting = if minute == 30 { 17 } else { 2 };
            look(
                &store,
                minute * 60,
                vec![root("2 7", waiting, (minute * 60) as f64)],
            );
        }
        let going_on = told(&store, 0, 4000);
        assert_eq!((going_on.total, going_on.items.len()), (1, 1));
        let one = &going_on.items[0];
        assert_eq!(
            (one.began_at, one.last_seen_at, one.ended_at),
            (at(0), at(3600), None)
        );
        assert_eq!(
            (one.facts.waiting, one.facts.longest_wait_seconds),
            (17, Some(3600.0))
        );
        assert_eq!((one.seconds(), one.facts.application.as_str()), (3600.0, HOSTILE));
        look(&store, 3660, vec![root("2 8", 1, 1.0)]);
        look(&store, 3720, vec![root("2 7", 1, 5.0)]);
        let ended = told(&store, 0, 4000);
        let of = |place: usize| (ended.items[place].last_seen_at, ended.items[place].ended_at);
        assert_eq!(of(0), (at(3720), None), "what comes back is another one");
        assert_eq!(of(1), (at(3660), Some(at(3720))));
        assert_eq!(of(2), (at(3600), Some(at(3660))));
        assert_eq!(ended.items[2].facts.waiting, 17);
        // of a range what was seen in it; of another server and kind nothing
        assert_eq!(told(&store, 3700, 4000).total, 1);
        assert_eq!(told(&store, 0, 10).total, 1);
        assert_eq!(told(&store, 4000, 5000), IncidentList::default());
        for (server, kind) in [
            ("other", IncidentKind::Blocking),
            ("main", IncidentKind::OldTransaction),
        ] {
            let none = store.incidents(server, kind, at(0), at(4000), 10).unwrap();
            assert_eq!(none, IncidentList::default());
        }
    }

    #[test]
    fn what_was_not_looked_at_goes_on_and_what_cannot_be_told_apart_is_one() {
        let store = Store::in_memory().unwrap();
        look(&store, 60, vec![root("2 7", 1, 5.0), root("2 7", 9, 5.0)]);
        store
            .write(|tx| record_incidents(tx, "main", at(120), &[]))
            .unwrap();
        let other = [Sightings {
            kind: IncidentKind::OldTransaction,
            seen: vec![],
        }];
        store
            .write(|tx| record_incidents(tx, "main", at(180), &other))
            .unwrap();
        store
            .write(|tx| record_incidents(tx, "other", at(180), &other))
            .unwrap();
        assert_eq!(
            (told(&store, 0, 999).total, told(&store, 0, 999).items[0].ended_at),
            (1, None)
        );
        look(&store, 240, vec![]);
        assert_eq!(told(&store, 0, 999).items[0].ended_at, Some(at(240)));
    }

    #[test]
    fn only_so_many_are_kept_and_what_goes_on_stays() {
        let store = Store::in_memory().unwrap();
        let rows = || told(&store, 0, 10_000_000).total;
        for second in 1..=(limits::INCIDENTS_KEPT as i64 / 100 + 5) {
            let others = (0..100).map(|n| root(&format!("{second} {n}"), 1, 1.0));
            let one = root("the one that stays", 1, 1.0);
            let seen = std::iter::once(one).chain(others).collect();
            look(&store, second, seen);
            assert!(rows() <= limits::INCIDENTS_KEPT);
        }
        assert_eq!(rows(), limits::INCIDENTS_KEPT);
        let all = store
            .incidents("main", IncidentKind::Blocking, at(0), at(10_000), 10_000)
            .unwrap();
        let began = all.items.iter().map(|one| one.began_at).min();
        assert_eq!(began, Some(at(0)), "it began before all that went");
        assert_eq!(told(&store, 0, 10_000).items.len(), 10, "a list has its bound");
    }

    #[test]
    fn whoever_is_not_among_the_worst_goes_on() {
        let store = Store::in_memory().unwrap();
        look(&store, 0, vec![root("before", 1, 1.0)]);
        for second in 1..=50 {
            let mut seen: Vec<Sighting> = (0..150).map(|n| root(&n.to_string(), 1, 1.0)).collect();
            // others are the worst each time
            seen.rotate_left(second * 50 % 150);
            look(&store, second as i64, seen);
        }
        let all = store
            .incidents("main", IncidentKind::Blocking, at(-10), at(100), 1000)
            .unwrap();
        assert_eq!(all.total, 151, "one row for each");
        let ended = all.items.iter().filter(|one| one.ended_at.is_some()).count();
        assert_eq!(ended, 1, "only the one that is not there");
        look(
            &store,
            60,
            (0..150).map(|n| root(&format!("new {n}"), 1, 1.0)).collect(),
        );
        assert_eq!(told(&store, -10, 100).total, 151 + limits::INCIDENTS_PER_LOOK);
    }

    #[test]
    fn what_is_older_than_the_retention_goes() {
        let store = Store::in_memory().unwrap();
        look(&store, 0, vec![root("2 7", 1, 5.0)]);
        look(&store, 60, vec![root("2 8", 1, 5.0)]);
        let day = 86_400;
        store.prune(at(day + 30), Period::days(1)).unwrap();
        let left = told(&store, -1000, 1000);
        assert_eq!((left.total, left.items[0].last_seen_at), (1, at(60)));
        assert_eq!(store.prune(at(day + 90), Period::days(1)).unwrap().history, 1);
        assert_eq!(told(&store, -1000, 1000).total, 0);
    }
}
