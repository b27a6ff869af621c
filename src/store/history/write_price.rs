//! What the writes to its table cost an index: entries an hour, over what of a range was looked at.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::HOUR;
use super::listed::{Listed, Named};
use super::lists::Happened;
use super::place::{self, Family};
use super::points::{first_at, first_look, points};
use super::relations::{bodies, subject};
use crate::model::history::TableCounts;
use crate::model::observation::TableDelta;
use crate::model::relation::IndexNow;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::micros;

/// What keeping the indexes of a database costs.
pub struct WritePrices<'a> {
    tx: &'a Transaction<'a>,
    database: &'a str,
    range: (DateTime<Utc>, DateTime<Utc>),
    tables: Happened<'a, TableCounts>,
    seen_seconds: f64,
    /// Where tables and indexes are, and when indexes were looked at first.
    table_place: Option<i64>,
    index_place: Option<i64>,
    indexes_since: Option<DateTime<Utc>>,
    /// By schema and name of the table: a list holds several indexes of one.
    known: HashMap<(String, String), Option<f64>>,
}

impl<'a> WritePrices<'a> {
    /// `of_many`: what happened to all tables is added up, instead of the hours of each that is asked for.
    pub fn over(
        tx: &'a Transaction<'a>,
        place: (&str, &'a str),
        range: (DateTime<Utc>, DateTime<Utc>),
        of_many: bool,
    ) -> Result<Self, StoreError> {
        let tables = Happened::<TableCounts>::over(tx, place, Family::Table, range, of_many)?;
        let (server, database) = place;
        let index_place = place::known(tx, server, Family::Index, database)?;
        Ok(Self {
            tx,
            database,
            range,
            seen_seconds: tables.seen_seconds()?,
            tables,
            table_place: place::known(tx, server, Family::Table, database)?,
            index_place,
            indexes_since: index_place.map_or(Ok(None), |place| first_look(tx, place))?,
            known: HashMap::new(),
        })
    }

    /// Entries an hour in an index; none where nobody looked for long enough, or nobody ever saw its table. One that is younger
    /// than the range costs nothing before it was seen.
    pub fn of(&mut self, index: &IndexNow) -> Result<Option<f64>, StoreError> {
        match self.made_at(index)? {
            Some(made_at) => self.since(made_at, &index.schema, &index.table),
            None => self.of_table(&index.schema, &index.table),
        }
    }

    /// When an index was seen first, where that is in the range and others were seen before.
    fn made_at(&self, index: &IndexNow) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (Some(place), Some(since)) = (self.index_place, self.indexes_since) else {
            return Ok(None);
        };
        let named = (self.database, index.schema.as_str(), index.name.as_str());
        made_at(self.tx, (place, since), named, self.range.0)
    }

    /// Entries an hour in each index of a table since a time.
    fn since(&self, from: DateTime<Utc>, schema: &str, table: &str) -> Result<Option<f64>, StoreError> {
        let Some(place) = self.table_place else {
            return Ok(None);
        };
        let Some(id) = place::subject(self.tx, place, self.database, &subject(schema, table)?)? else {
            return Ok(None);
        };
        let (mut entries, mut seconds) = (0.0, 0.0);
        for point in points::<TableCounts>(self.tx, place, id, from, self.range.1)? {
            // what began before counts writes from before
            if point.from >= from {
                seconds += point.seen_seconds;
                entries += point.counts.map_or(0.0, |counts| counts.index_entries());
            }
        }
        Ok(per_hour(entries, seconds))
    }

    /// Entries an hour in each index of a table that was there all the time.
    fn of_table(&mut self, schema: &str, table: &str) -> Result<Option<f64>, StoreError> {
        let key = (schema.to_owned(), table.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let counts = match self.seen_seconds > 0.0 {
            true => self.tables.counts_of(schema, table)?,
            false => None,
        };
        let price = counts.and_then(|counts| per_hour(counts.index_entries(), self.seen_seconds));
        self.known.insert(key, price);
        Ok(price)
    }

    /// The indexes in the list to which most entries were written, dearest first, where all tables were added up. Nothing is
    /// told of those to which none was.
    pub fn dearest(&self, listed: &Listed<'_>, limit: usize) -> Result<Named<IndexNow>, StoreError> {
        let tables = self.tables.all();
        let mut written: Vec<(f64, u64)> = tables
            .map(|(id, counts)| (counts.index_entries(), *id))
            .filter(|(entries, _)| *entries > 0.0)
            .collect();
        written.sort_unstable_by(|(a, one), (b, other)| b.total_cmp(a).then(one.cmp(other)));
        let mut found = Vec::new();
        for (_, id) in written {
            if found.len() >= limit {
                break;
            }
            let Some((schema, table)) = self.tables.name(id)? else {
                continue;
            };
            found.extend(listed.indexes_of((&schema, &table))?);
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// When an index was seen first, where that is after a time and others of its place were seen before.
fn made_at(
    tx: &Transaction<'_>,
    (place, seen_since): (i64, DateTime<Utc>),
    (database, schema, name): (&str, &str, &str),
    after: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let Some(id) = place::subject(tx, place, database, &subject(schema, name)?)? else {
        return Ok(None);
    };
    let first = first_at(tx, place, id, after)?;
    Ok(first.filter(|first| *first > seen_since))
}

/// Whether an index was not seen long before a time at which its history begins: that of one begins anew that has another name
/// now, or did nothing for longer than history is kept. Of one whose use is not followed, as of a partitioned one, nobody knows.
fn is_new(
    tx: &Transaction<'_>,
    (server, database): (&str, &str),
    index: &IndexNow,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let first_seen_at: Option<i64> = tx
        .prepare_cached(
            "SELECT first_seen_at FROM index_usage WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4",
        )?
        .query_row(params![server, database, index.schema, index.name], |row| row.get(0))
        .optional()?;
    // of a look that is not kept, its hour is
    Ok(first_seen_at.is_some_and(|first| micros(at) - first <= HOUR))
}

impl Store {
    /// When an index was seen first, where that is after a time and others of its database were seen before: before then its
    /// table may have been written without it.
    ///
    /// # Errors
    /// If the store fails.
    pub fn index_made_at(
        &self,
        (server, database): (&str, &str),
        (schema, name): (&str, &str),
        after: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Index, database)? else {
                return Ok(None);
            };
            let Some(seen_since) = first_look(tx, place)? else {
                return Ok(None);
            };
            made_at(tx, (place, seen_since), (database, schema, name), after)
        })
    }

    /// The indexes of some tables, by schema and name, that were seen first after a time, each with when, where others of their
    /// database were seen before, and it is known that no history of theirs was forgotten. No more than so many are looked
    /// through.
    ///
    /// # Errors
    /// If the store fails.
    pub fn indexes_made(
        &self,
        (server, database): (&str, &str),
        tables: &[(&str, &str)],
        after: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<(DateTime<Utc>, IndexNow)>, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Index, database)? else {
                return Ok(Vec::new());
            };
            let Some(seen_since) = first_look(tx, place)? else {
                return Ok(Vec::new());
            };
            let mut indexes: Vec<IndexNow> = Vec::new();
            for (schema, table) in tables {
                let left = limit.saturating_sub(indexes.len()) as i64;
                let of_table: Vec<IndexNow> = bodies(
                    tx,
                    "SELECT body FROM index_now INDEXED BY index_now_table
                     WHERE server = ?1 AND database = ?2 AND schema = ?3 AND table_name = ?4 ORDER BY name LIMIT ?5",
                    params![server, database, schema, table, left],
                )?;
                indexes.extend(of_table);
            }
            let mut made = Vec::new();
            for index in indexes {
                let named = (database, index.schema.as_str(), index.name.as_str());
                if let Some(at) = made_at(tx, (place, seen_since), named, after)?
                    && is_new(tx, (server, database), &index, at)?
                {
                    made.push((at, index));
                }
            }
            Ok(made)
        })
    }
}

/// A rate; what happened in a time that is too short for one tells nothing of an hour.
fn per_hour(entries: f64, seconds: f64) -> Option<f64> {
    (seconds >= TableDelta::RATE_SECONDS).then(|| entries * 3600.0 / seconds)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::super::{HOUR, record_relations};
    use crate::model::history::{IndexCounts, RelationPoint, RelationsMinute, TableCounts};
    use crate::model::relation::{IndexNow, IndexTotal, RelationName, RelationOrder};
    use crate::store::row::time;
    use crate::store::{IndexKey, IndexUsage, Store};

    fn at(minute: i64) -> DateTime<Utc> {
        time(20_000 * 24 * HOUR + minute * 60_000_000)
    }

    fn index(name: &str, table: &str, bytes: u64) -> IndexNow {
        IndexNow {
            schema: "public".into(),
            name: name.into(),
            table: table.into(),
            bytes,
            ..IndexNow::default()
        }
    }

    fn point(name: &str, counts: TableCounts) -> RelationPoint<TableCounts> {
        RelationPoint {
            schema: "public".into(),
            name: name.into(),
            counts,
        }
    }

    /// Two days and a half, looked at every ten minutes, but for the second day. Each time ten rows come to `busy`, and four
    /// are updated, one of them HOT; rows of `quiet` only go.
    fn looked_at() -> Store {
        let store = Store::in_memory().unwrap();
        for look in (0..360).filter(|look| look / 144 != 1) {
            let busy = TableCounts {
                inserted: 10,
                updated: 4,
                hot_updated: 1,
                ..TableCounts::default()
            };
            let quiet = TableCounts {
                deleted: 99,
                ..TableCounts::default()
            };
            let mut minute = RelationsMinute {
                database: "app".into(),
                seconds: 600.0,
                tables: vec![point("busy", busy), point("quiet", quiet)],
                ..RelationsMinute::default()
            };
            if look == 0 {
                minute.is_whole = true;
                let of_partition = IndexNow {
                    partition_of: Some(RelationName {
                        schema: "public".into(),
                        name: "above".into(),
                    }),
                    ..index("busy_part", "busy", 70)
                };
                minute.indexes_now = vec![
                    index("quiet_pkey", "quiet", 90),
                    index("busy_pkey", "busy", 20),
                    index("busy_b", "busy", 30),
                    index("unseen_pkey", "unseen", 10),
                    of_partition,
                ];
            }
            store
                .write(|tx| record_relations(tx, &store.inner.numbers, "main", at(10 * look + 10), &minute))
                .unwrap();
        }
        store
    }

    fn told(store: &Store, order: RelationOrder, from: i64, to: i64) -> Vec<(String, Option<f64>)> {
        let list = store.indexes("main", "app", None, order, at(from), at(to), 10);
        let line = |index: IndexTotal| (index.now.name, index.entries_per_hour);
        list.unwrap().items.into_iter().map(line).collect()
    }

    fn expected(lines: &[(&str, Option<f64>)]) -> Vec<(String, Option<f64>)> {
        lines
            .iter()
            .map(|(name, price)| (name.to_string(), *price))
            .collect()
    }

    const END: i64 = 3600;
    /// Thirteen entries in ten minutes.
    const PRICE: Option<f64> = Some(78.0);

    #[test]
    fn an_index_costs_what_is_inserted_and_what_is_updated_and_not_hot() {
        let store = looked_at();
        let by_size = expected(&[
            ("quiet_pkey", Some(0.0)),
            ("busy_b", PRICE),
            ("busy_pkey", PRICE),
            ("unseen_pkey", None),
        ]);
        for rolled_up_to in [0, 1000, END + 60] {
            store.roll_up(at(rolled_up_to)).unwrap();
            for from in [END - 120, END - 24 * 60, END - 7 * 24 * 60, END - 30 * 24 * 60] {
                let list = told(&store, RelationOrder::Size, from, END);
                assert_eq!(list, by_size, "from {from}, rolled up to {rolled_up_to}");
            }
        }
    }

    #[test]
    fn the_dearest_come_first_and_then_what_costs_nothing() {
        let store = looked_at();
        let by_price = expected(&[
            ("busy_b", PRICE),
            ("busy_pkey", PRICE),
            ("quiet_pkey", Some(0.0)),
            ("unseen_pkey", None),
        ]);
        for from in [END - 120, END - 24 * 60, END - 30 * 24 * 60] {
            assert_eq!(
                told(&store, RelationOrder::Writes, from, END),
                by_price,
                "from {from}"
            );
        }
        let first = store.indexes("main", "app", None, RelationOrder::Writes, at(0), at(END), 1);
        assert_eq!(first.unwrap().items[0].now.name, "busy_b");
    }

    #[test]
    fn an_index_costs_nothing_before_it_was_there() {
        let store = looked_at();
        let look = |from_minute: i64, indexes: &[&str], seconds: f64, inserted: u64| {
            let counts = TableCounts {
                inserted,
                ..TableCounts::default()
            };
            let made = |name: &&str| RelationPoint {
                schema: "public".to_owned(),
                name: (*name).to_owned(),
                counts: IndexCounts {
                    scans: 0,
                    bytes: 8192,
                },
            };
            let minute = RelationsMinute {
                database: "app".into(),
                seconds,
                tables: vec![point("busy", counts)],
                indexes: indexes.iter().map(made).collect(),
                indexes_now: indexes.iter().map(|name| index(name, "busy", 10)).collect(),
                ..RelationsMinute::default()
            };
            let at = at(from_minute) + TimeDelta::seconds(seconds as i64);
            store
                .write(|tx| record_relations(tx, &store.inner.numbers, "main", at, &minute))
                .unwrap();
        };
        let young = |minute: i64| {
            let list = told(&store, RelationOrder::Size, END - 120, END + minute);
            let found = list.into_iter().find(|(name, _)| name == "busy_young");
            found.unwrap().1
        };
        // it is there from the end of a look on in which very much was written
        look(END, &["busy_young"], 600.0, 100_000);
        let made_at = |name: &str, after| {
            let found = store.index_made_at(("main", "app"), ("public", name), at(after));
            found.unwrap()
        };
        assert_eq!(made_at("busy_young", END - 60), Some(at(END + 10)));
        assert_eq!(made_at("busy_young", END + 10), None, "it was there by then");
        assert_eq!(
            made_at("busy_b", 0),
            None,
            "nobody knows: it was there at the first look"
        );
        let made = |after: i64, limit: usize| -> Vec<(DateTime<Utc>, String)> {
            let tables = [("public", "quiet"), ("public", "busy")];
            let found = store.indexes_made(("main", "app"), &tables, at(after), limit);
            let named = |(at, index): (DateTime<Utc>, IndexNow)| (at, index.name);
            found.unwrap().into_iter().map(named).collect()
        };
        let first_seen_at = |minute: i64| {
            let usage = IndexUsage {
                key: IndexKey {
                    database: "app".into(),
                    schema: "public".into(),
                    name: "busy_young".into(),
                },
                oid: 9,
                scans: 1,
                first_seen_at: at(minute),
                last_moved_at: None,
                checked_at: at(END + 10),
            };
            store.save_index_usage("main", &[usage], &[]).unwrap();
        };
        assert!(
            made(END - 60, 9).is_empty(),
            "nobody knows since when it is there"
        );
        first_seen_at(END - 51);
        assert!(
            made(END - 60, 9).is_empty(),
            "its history is not all kept, or it was renamed"
        );
        first_seen_at(END + 10);
        assert_eq!(made(END - 60, 9), [(at(END + 10), "busy_young".to_owned())]);
        assert!(made(END + 10, 9).is_empty(), "it was there by then");
        assert!(made(END - 60, 1).is_empty(), "more are not looked through");
        look(END + 10, &[], 1200.0, 20);
        assert_eq!(young(31), None, "twenty minutes are no rate");
        look(END + 30, &[], 600.0, 20);
        assert_eq!(young(41), Some(80.0));
    }

    #[test]
    fn where_nobody_looked_no_price_is_known_and_some_minutes_are_no_rate() {
        let store = looked_at();
        let on_the_second_day = told(&store, RelationOrder::Size, 30 * 60, 32 * 60);
        assert_eq!(on_the_second_day.len(), 4);
        assert!(on_the_second_day.iter().all(|(_, price)| price.is_none()));
        let short = told(&store, RelationOrder::Size, END - 15, END + 1);
        assert_eq!(short[1], ("busy_b".to_owned(), None), "two looks");
        let long_enough = told(&store, RelationOrder::Size, END - 25, END + 1);
        assert_eq!(long_enough[1], ("busy_b".to_owned(), PRICE), "three");
    }
}
