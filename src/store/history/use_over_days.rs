//! How indexes were used, and what was written to them, over the days that are remembered: a reset of statistics, a crash and a
//! failover end nothing of that.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::place::{self, AllNumbers, Family};
use super::relations::subject;
use super::totals::{self, Totals, add};
use super::{HOUR, HOURS_OF_A_DAY};
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::Window;
use crate::model::history::{Counts, IndexCounts, TableCounts};
use crate::model::index_days::{CountedUse, LittleUse, UseOverDays, scans_in_30_days};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{micros, time};

/// So much of a time must have been looked at, 0 to 1.
const LOOKED_AT: f64 = 0.9;

/// The days that are added up, from the first hour of them that was looked at.
pub(super) struct Days {
    first_hour: i64,
    now: DateTime<Utc>,
    seen_seconds: f64,
}

impl Days {
    /// As many as there are of which enough was looked at; none before `since`.
    pub(super) fn most(
        tx: &Transaction<'_>,
        place: i64,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, StoreError> {
        let mut days = tx.prepare_cached(
            "SELECT min(hour), sum(seconds) FROM history_hour WHERE place = ?1 AND hour <= ?2 AND hour > ?4
             GROUP BY hour / ?3 ORDER BY 1 DESC",
        )?;
        let before = since.map_or(i64::MIN, |since| micros(since) / HOUR);
        let mut rows = days.query(params![place, micros(now) / HOUR, HOURS_OF_A_DAY, before])?;
        let (mut seen_seconds, mut most) = (0.0, None);
        while let Some(row) = rows.next()? {
            seen_seconds += row.get::<_, f64>(1)?;
            let days = Self {
                first_hour: row.get(0)?,
                now,
                seen_seconds,
            };
            if days.are_seen_for(seen_seconds) {
                most = Some(days);
            }
        }
        Ok(most)
    }

    pub(super) fn window(&self) -> Window {
        Window {
            from: time(self.first_hour * HOUR),
            to: self.now,
        }
    }

    fn are_seen_for(&self, seconds: f64) -> bool {
        seconds >= LOOKED_AT * self.window().seconds()
    }

    /// What every subject of a place did, where enough was looked at there.
    fn totals<C: Counts>(&self, tx: &Transaction<'_>, place: i64) -> Result<Option<Totals<C>>, StoreError> {
        let seen_seconds: f64 = tx
            .prepare_cached(
                "SELECT coalesce(sum(seconds), 0.0) FROM history_hour WHERE place = ?1 AND hour >= ?2",
            )?
            .query_row([place, self.first_hour], |row| row.get(0))?;
        if !self.are_seen_for(seen_seconds) {
            return Ok(None);
        }
        let mut bodies =
            tx.prepare_cached("SELECT body FROM history_total WHERE place = ?1 AND day >= ?2 ORDER BY day")?;
        let mut rows = bodies.query([place, self.first_hour / HOURS_OF_A_DAY])?;
        let mut totals = Totals::new();
        while let Some(row) = rows.next()? {
            add(&mut totals, unpack(row.get_ref(0)?.as_blob().unwrap_or_default()));
        }
        Ok(Some(totals))
    }
}

/// What the relations of a database did on one server.
struct Did<C> {
    numbers: AllNumbers,
    totals: Totals<C>,
}

impl<C: Counts> Did<C> {
    /// None where not enough was looked at.
    fn over(
        tx: &Transaction<'_>,
        days: &Days,
        family: Family,
        (server, database): (&str, &str),
    ) -> Result<Option<Self>, StoreError> {
        let Some(place) = place::known(tx, server, family, database)? else {
            return Ok(None);
        };
        let Some(totals) = days.totals(tx, place)? else {
            return Ok(None);
        };
        let numbers = AllNumbers::of(tx, place, database)?;
        Ok(Some(Self { numbers, totals }))
    }

    /// What did nothing for as long as anything is remembered is remembered no more.
    fn counts(&self, schema: &str, name: &str) -> Result<C, StoreError> {
        let number = self.numbers.get(&subject(schema, name)?);
        let counts = number.and_then(|number| totals::of(&self.totals, number));
        Ok(counts.unwrap_or_default())
    }
}

/// What the indexes and tables of a database did, and its indexes on some standbys.
struct Everywhere {
    indexes: Did<IndexCounts>,
    tables: Did<TableCounts>,
    standbys: Vec<Did<IndexCounts>>,
    /// Entries that were written to each index of a table, by its OID: of those that were asked for already.
    entries: HashMap<u32, f64>,
}

impl Everywhere {
    /// None where not enough was looked at on one of them.
    fn over(
        tx: &Transaction<'_>,
        days: &Days,
        here: (&str, &str),
        standbys: &[String],
    ) -> Result<Option<Self>, StoreError> {
        let indexes = Did::over(tx, days, Family::Index, here)?;
        let tables = Did::over(tx, days, Family::Table, here)?;
        let (Some(indexes), Some(tables)) = (indexes, tables) else {
            return Ok(None);
        };
        let mut there = Vec::with_capacity(standbys.len());
        for standby in standbys {
            let Some(did) = Did::over(tx, days, Family::Index, (standby.as_str(), here.1))? else {
                return Ok(None);
            };
            there.push(did);
        }
        Ok(Some(Self {
            indexes,
            tables,
            standbys: there,
            entries: HashMap::new(),
        }))
    }

    /// How an index was used, if that is little. Whether it is seldom scanned is asked first: few are.
    fn little(
        &mut self,
        (index, table): (&IndexFacts, &TableFacts),
        days: &Days,
        little: &LittleUse,
    ) -> Result<Option<CountedUse>, StoreError> {
        let mut scans_on_standbys = 0_u64;
        for standby in &self.standbys {
            let counts = standby.counts(&index.schema, &index.name)?;
            scans_on_standbys = scans_on_standbys.saturating_add(counts.scans);
        }
        let scans = self.indexes.counts(&index.schema, &index.name)?.scans;
        let mut used = CountedUse {
            scans: i64::try_from(scans).unwrap_or(i64::MAX),
            scans_on_standbys: i64::try_from(scans_on_standbys).unwrap_or(i64::MAX),
            entries: 0.0,
        };
        let scans = used.all_scans();
        if !little.is_seldom(scans, scans_in_30_days(scans, days.seen_seconds)) {
            return Ok(None);
        }
        used.entries = self.entries(table)?;
        Ok(little.is_outweighed(scans, used.entries).then_some(used))
    }

    fn entries(&mut self, table: &TableFacts) -> Result<f64, StoreError> {
        if let Some(known) = self.entries.get(&table.oid) {
            return Ok(*known);
        }
        let entries = self.tables.counts(&table.schema, &table.name)?.index_entries();
        self.entries.insert(table.oid, entries);
        Ok(entries)
    }
}

/// The OIDs of the indexes of a database that were seen by then, in their order: another one under the same name is another
/// index.
fn seen_by(
    tx: &Transaction<'_>,
    (server, database): (&str, &str),
    then: DateTime<Utc>,
) -> Result<Vec<u32>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT oid FROM index_usage WHERE server = ?1 AND database = ?2 AND first_seen_at <= ?3 ORDER BY oid",
    )?;
    let seen = statement.query_map(params![server, database, micros(then)], |row| {
        row.get::<_, u32>(0)
    })?;
    Ok(seen.collect::<Result<_, _>>()?)
}

impl Store {
    /// How these indexes of a database were used on a server and these standbys of it over as many days up to now as are
    /// remembered and were looked at for nine tenths; of those alone that were there from the first day on. `None` where that
    /// are too few days, or the server or a standby was not looked at so much. It takes a tenth of a second where there are tens
    /// of thousands of indexes.
    ///
    /// # Errors
    /// If the store fails.
    pub fn use_over_days(
        &self,
        here: (&str, &str),
        standbys: &[String],
        asked: &[(&IndexFacts, &TableFacts)],
        little: &LittleUse,
        (since, now): (Option<DateTime<Utc>>, DateTime<Utc>),
    ) -> Result<Option<UseOverDays>, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, here.0, Family::Index, here.1)? else {
                return Ok(None);
            };
            let enough = |days: &Days| days.window().seconds() >= little.min_age.as_seconds();
            let Some(days) = Days::most(tx, place, since, now)?.filter(enough) else {
                return Ok(None);
            };
            let Some(mut everywhere) = Everywhere::over(tx, &days, here, standbys)? else {
                return Ok(None);
            };
            let old = seen_by(tx, here, days.window().from + TimeDelta::days(1))?;
            let (mut used_little, mut others) = (Vec::new(), Vec::new());
            for one in asked
                .iter()
                .filter(|(index, _)| old.binary_search(&index.oid).is_ok())
            {
                match everywhere.little(*one, &days, little)? {
                    Some(used) => used_little.push((one.0.oid, used)),
                    None => others.push(one.0.oid),
                }
            }
            Ok(Some(UseOverDays::new(
                days.window(),
                days.seen_seconds,
                used_little,
                others,
            )))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record_relations;
    use super::*;
    use crate::model::history::{RelationPoint, RelationsMinute};
    use crate::model::index_days::Used;
    use crate::model::unit::Period;
    use crate::store::{IndexKey, IndexUsage};

    const DAY: i64 = 24;
    /// Between two looks; so many looks in a day.
    const HOURS: i64 = 4;
    const LOOKS: i64 = DAY / HOURS;

    fn at(hour: i64) -> DateTime<Utc> {
        time((20_000 * HOURS_OF_A_DAY + hour) * HOUR)
    }

    fn point<C>(name: &str, counts: C) -> RelationPoint<C> {
        RelationPoint {
            schema: "public".into(),
            name: name.into(),
            counts,
        }
    }

    /// At each look of these hours ten rows have come to `t`, and `i` was scanned twice.
    fn look(store: &Store, server: &str, hours: impl Iterator<Item = i64>) {
        for hour in hours.filter(|hour| hour % HOURS == 0) {
            let written = TableCounts {
                inserted: 10,
                ..TableCounts::default()
            };
            let minute = RelationsMinute {
                database: "app".into(),
                seconds: 3600.0 * HOURS as f64,
                tables: vec![point("t", written)],
                indexes: vec![point("i", IndexCounts { scans: 2, bytes: 50 })],
                ..RelationsMinute::default()
            };
            let now = at(hour) + TimeDelta::minutes(30);
            store
                .write(|tx| record_relations(tx, &store.inner.numbers, server, now, &minute))
                .unwrap();
        }
    }

    fn first_seen_at(store: &Store, hour: i64) {
        let usage = IndexUsage {
            key: IndexKey {
                database: "app".into(),
                schema: "public".into(),
                name: "i".into(),
            },
            oid: 9,
            scans: 1,
            first_seen_at: at(hour),
            last_moved_at: None,
            checked_at: at(hour),
        };
        store.save_index_usage("main", &[usage], &[]).unwrap();
    }

    /// Anything that is scanned.
    const ANY: LittleUse = LittleUse {
        min_age: Period::days(1),
        max_scans: f64::INFINITY,
        entries_per_scan: 0.0,
    };

    fn told(store: &Store, standbys: &[&str], now: i64) -> Option<UseOverDays> {
        told_of(store, standbys, now, &ANY)
    }

    fn told_of(store: &Store, standbys: &[&str], now: i64, little: &LittleUse) -> Option<UseOverDays> {
        store.roll_up(at(now)).unwrap();
        let standbys: Vec<String> = standbys.iter().map(|name| (*name).to_owned()).collect();
        let index = IndexFacts {
            oid: 9,
            schema: "public".into(),
            name: "i".into(),
            ..IndexFacts::default()
        };
        let table = TableFacts {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            ..TableFacts::default()
        };
        store
            .use_over_days(
                ("main", "app"),
                &standbys,
                &[(&index, &table)],
                little,
                (None, at(now)),
            )
            .unwrap()
    }

    fn counted(days: &UseOverDays) -> CountedUse {
        match days.of(9) {
            Some(Used::Little(used)) => used,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_days_count_that_were_looked_at() {
        let store = Store::in_memory().unwrap();
        look(&store, "main", 0..40 * DAY);
        first_seen_at(&store, 0);
        let days = told(&store, &[], 40 * DAY).unwrap();
        assert_eq!(days.window.from, at(0));
        assert_eq!(days.seen_seconds, 40.0 * 86_400.0);
        let counted = CountedUse {
            scans: 2 * 40 * LOOKS,
            scans_on_standbys: 0,
            entries: (10 * 40 * LOOKS) as f64,
        };
        assert_eq!(days.of(9), Some(Used::Little(counted)));
    }

    #[test]
    fn counts_are_kept_of_what_was_used_little_alone() {
        let store = Store::in_memory().unwrap();
        look(&store, "main", 0..40 * DAY);
        first_seen_at(&store, 0);
        let told = |min_age: u64, max_scans: f64, entries_per_scan: f64| {
            let little = LittleUse {
                min_age: Period::days(min_age),
                max_scans,
                entries_per_scan,
            };
            told_of(&store, &[], 40 * DAY, &little)
        };
        // 12 scans and 60 entries a day
        let is_little = |max_scans: f64, entries_per_scan: f64| {
            let days = told(40, max_scans, entries_per_scan).unwrap();
            match days.of(9) {
                Some(Used::Little(_)) => true,
                Some(Used::Otherwise) => false,
                None => panic!("it was there"),
            }
        };
        assert!(is_little(360.1, 4.9));
        assert!(!is_little(360.0, 4.9), "360 scans in 30 days");
        assert!(!is_little(360.1, 5.0), "five entries for each scan");
        assert!(told(41, 360.1, 4.9).is_none(), "too few days");
    }

    #[test]
    fn an_index_must_have_been_there_from_the_first_day_on() {
        for (first_seen, is_told) in [(DAY, true), (DAY + 1, false)] {
            let store = Store::in_memory().unwrap();
            look(&store, "main", 0..10 * DAY);
            first_seen_at(&store, first_seen);
            let days = told(&store, &[], 10 * DAY).unwrap();
            assert_eq!(days.of(9).is_some(), is_told, "{first_seen}");
        }
    }

    #[test]
    fn a_long_time_without_a_look_is_a_beginning() {
        let store = Store::in_memory().unwrap();
        look(
            &store,
            "main",
            (0..40 * DAY).filter(|hour| !(5 * DAY..10 * DAY).contains(hour)),
        );
        first_seen_at(&store, 0);
        let days = told(&store, &[], 40 * DAY).unwrap();
        assert_eq!(days.window.from, at(10 * DAY), "35 of 40 days are too few");
        assert_eq!(counted(&days).scans, 2 * 30 * LOOKS);
        assert!(told(&store, &[], 80 * DAY).is_none(), "nobody looks any more");
        let other = store.use_over_days(("other", "app"), &[], &[], &ANY, (None, at(40 * DAY)));
        assert!(other.unwrap().is_none());
    }

    #[test]
    fn what_is_older_than_the_promotion_does_not_count() {
        let store = Store::in_memory().unwrap();
        look(&store, "main", 0..40 * DAY);
        first_seen_at(&store, 0);
        store.roll_up(at(40 * DAY)).unwrap();
        let first = |since: Option<i64>| {
            let when = (since.map(at), at(40 * DAY));
            let days = store.use_over_days(("main", "app"), &[], &[], &ANY, when);
            days.unwrap().map(|days| days.window.from)
        };
        assert_eq!(first(None), Some(at(0)));
        assert_eq!(
            first(Some(10 * DAY)),
            Some(at(10 * DAY + HOURS)),
            "the first look after it"
        );
        assert_eq!(first(Some(40 * DAY)), None);
    }

    #[test]
    fn standbys_must_have_been_looked_at_as_long() {
        let store = Store::in_memory().unwrap();
        look(&store, "main", 0..10 * DAY);
        look(&store, "near", 0..10 * DAY);
        look(&store, "new", 8 * DAY..10 * DAY);
        first_seen_at(&store, 0);
        let near = told(&store, &["near"], 10 * DAY).unwrap();
        assert_eq!(counted(&near).scans_on_standbys, 2 * 10 * LOOKS);
        assert!(told(&store, &["near", "new"], 10 * DAY).is_none());
        assert!(told(&store, &["unknown"], 10 * DAY).is_none());
    }
}
