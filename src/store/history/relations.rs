//! Tables and indexes: how they are now, and what happened to them.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, ToSql, Transaction, params};
use serde::de::DeserializeOwned;

use super::place::{self, Family, Numbers, Subjects};
use super::points::{at_first, before, hours_of, points};
use super::totals::{self, Totals};
use super::{HOUR, HOURS_OF_A_DAY, minutes_shown, record};
use crate::model::history::{Counts, HistoryPoint, IndexCounts, RelationPoint, RelationsMinute, TableCounts};
use crate::model::relation::{IndexNow, IndexTotal, RelationList, RelationOrder, TableNow, TableTotal};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{from_json, micros, to_json};

/// The name of a relation as a subject.
fn subject(schema: &str, name: &str) -> Result<String, StoreError> {
    to_json("name of a relation", &[schema, name])
}

/// Writes down what happened to the tables and indexes of a database since the look before, and how they are now.
pub fn record_relations(
    tx: &Transaction<'_>,
    numbers: &Numbers,
    server: &str,
    now: DateTime<Utc>,
    minute: &RelationsMinute,
) -> Result<(), StoreError> {
    record_family(tx, numbers, server, now, Family::Table, minute, &minute.tables)?;
    record_family(tx, numbers, server, now, Family::Index, minute, &minute.indexes)?;
    forget(tx, server, minute)?;
    let database = &minute.database;
    let mut upsert = tx.prepare_cached(
        "INSERT INTO table_now (server, database, schema, name, bytes, dead_rows_ratio, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET bytes = excluded.bytes, dead_rows_ratio = excluded.dead_rows_ratio,
             body = excluded.body WHERE body <> excluded.body",
    )?;
    for table in &minute.tables_now {
        let ratio = table.dead_rows as f64 / (table.vacuum_threshold_rows.max(1)) as f64;
        let body = to_json("table", table)?;
        upsert.execute(params![
            server,
            database,
            table.schema,
            table.name,
            table.bytes as i64,
            ratio,
            body
        ])?;
    }
    let mut upsert = tx.prepare_cached(
        "INSERT INTO index_now (server, database, schema, name, table_name, bytes, idle_since, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET table_name = excluded.table_name, bytes = excluded.bytes,
             idle_since = excluded.idle_since, body = excluded.body WHERE body <> excluded.body",
    )?;
    for index in &minute.indexes_now {
        upsert.execute(params![
            server,
            database,
            index.schema,
            index.name,
            index.table,
            index.bytes as i64,
            index.idle_since.map(micros),
            to_json("index", index)?
        ])?;
    }
    Ok(())
}

/// Forgets the tables and indexes of databases that are not there any more.
pub fn forget_databases_but(
    tx: &Transaction<'_>,
    server: &str,
    databases: &[String],
) -> Result<(), StoreError> {
    let databases = to_json("list of databases", &databases)?;
    for table in ["table_now", "index_now"] {
        let sql = format!(
            "DELETE FROM {table} WHERE server = ?1 AND database NOT IN (SELECT value FROM json_each(?2))"
        );
        tx.prepare_cached(&sql)?.execute(params![server, databases])?;
    }
    Ok(())
}

fn record_family<C: Counts>(
    tx: &Transaction<'_>,
    numbers: &Numbers,
    server: &str,
    now: DateTime<Utc>,
    family: Family,
    minute: &RelationsMinute,
    relations: &[RelationPoint<C>],
) -> Result<(), StoreError> {
    let place = place::of(tx, server, family, &minute.database)?;
    let mut subjects = Subjects::of(tx, numbers, place)?;
    let mut points = Vec::with_capacity(relations.len());
    for point in relations {
        let name = subject(&point.schema, &point.name)?;
        points.push((subjects.number(&minute.database, &name, "")?, point.counts));
    }
    record(tx, place, now, minute.seconds, points)
}

/// Forgets how those are that are gone; what happened to them is kept.
fn forget(tx: &Transaction<'_>, server: &str, minute: &RelationsMinute) -> Result<(), StoreError> {
    let lists = [
        ("table_now", &minute.tables_gone),
        ("index_now", &minute.indexes_gone),
    ];
    for (table, gone) in lists {
        if minute.is_whole {
            let sql = format!("DELETE FROM {table} WHERE server = ?1 AND database = ?2");
            tx.prepare_cached(&sql)?
                .execute(params![server, minute.database])?;
            continue;
        }
        let sql =
            format!("DELETE FROM {table} WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4");
        let mut delete = tx.prepare_cached(&sql)?;
        for (schema, name) in gone {
            delete.execute(params![server, minute.database, schema, name])?;
        }
    }
    Ok(())
}

/// Rows with their names: schema and name.
type Named<T> = Vec<((String, String), T)>;

/// What happened to the relations of a place over a range.
struct Happened<'a, C> {
    tx: &'a Transaction<'a>,
    database: &'a str,
    place: Option<i64>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// Of all, where the order that is asked for is about it.
    totals: Option<Totals<C>>,
    /// Of those hours that are not rolled up yet, where only the days of some are read.
    unrolled: Totals<C>,
}

impl<'a, C: Counts> Happened<'a, C> {
    /// `of_all`: the order that is asked for is about what happened.
    fn over(
        tx: &'a Transaction<'a>,
        (server, database): (&str, &'a str),
        family: Family,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        of_all: bool,
    ) -> Result<Self, StoreError> {
        let place = place::known(tx, server, family, database)?;
        let mut happened = Self {
            tx,
            database,
            place,
            from,
            to,
            totals: None,
            unrolled: Totals::new(),
        };
        if let Some(place) = place {
            match of_all || to - from <= minutes_shown() {
                true => happened.totals = Some(totals::over(tx, place, from, to)?),
                false => happened.unrolled = totals::unrolled(tx, place, from, to)?,
            }
        }
        Ok(happened)
    }

    /// The rows of those with the greatest values, greatest first, that are still there; nothing is told of those that have
    /// none.
    fn greatest<T: DeserializeOwned>(
        &self,
        table: &'static str,
        server: &str,
        limit: usize,
        value: impl Fn(u64, &C) -> Result<i64, StoreError>,
    ) -> Result<Named<T>, StoreError> {
        let mut ranked: Vec<(i64, u64)> = Vec::new();
        for (id, counts) in self.totals.iter().flatten() {
            ranked.push((value(*id, counts)?, *id));
        }
        ranked.retain(|(value, _)| *value > 0);
        ranked.sort_unstable_by_key(|(value, id)| (std::cmp::Reverse(*value), *id));
        let mut name = self
            .tx
            .prepare_cached("SELECT name FROM history_subject WHERE id = ?1")?;
        let mut found = Vec::with_capacity(limit.min(ranked.len()));
        for (_, id) in ranked {
            if found.len() == limit {
                break;
            }
            let named: Option<String> = name.query_row([id as i64], |row| row.get(0)).optional()?;
            let Some(named) = named else { continue };
            let named: (String, String) = from_json("name of a relation", &named)?;
            let row = one(self.tx, table, (server, self.database), (&named.0, &named.1))?;
            found.extend(row.map(|row| (named, row)));
        }
        Ok(found)
    }

    /// What happened to one, and how it was before; of one that is younger than the range it is nothing.
    fn of(&self, schema: &str, name: &str) -> Result<(Option<C>, Option<C>), StoreError> {
        let Some(place) = self.place else {
            return Ok((None, None));
        };
        let Some(id) = place::subject(self.tx, place, self.database, &subject(schema, name)?)? else {
            return Ok((None, None));
        };
        let counts = match &self.totals {
            Some(totals) => totals::of(totals, id.unsigned_abs()),
            None => self.over_the_hours_of(id)?,
        };
        Ok((counts, self.before(id)?))
    }

    fn over_the_hours_of(&self, id: i64) -> Result<Option<C>, StoreError> {
        let (first, last) = (micros(self.from) / HOUR, micros(self.to) / HOUR);
        let hours = hours_of::<C>(self.tx, id, first / HOURS_OF_A_DAY, last / HOURS_OF_A_DAY)?;
        let rolled_up = hours.range(first..=last).map(|(_, counts)| *counts);
        let unrolled = totals::of(&self.unrolled, id.unsigned_abs());
        Ok(rolled_up.chain(unrolled).reduce(C::then))
    }

    /// How one was before the range; how it was at first, where nobody looked before the range. One that was not there then
    /// was nothing.
    fn before(&self, id: i64) -> Result<Option<C>, StoreError> {
        let Some(place) = self.place else {
            return Ok(None);
        };
        if let Some(before) = before(self.tx, place, id, self.from)? {
            return Ok(Some(before));
        }
        let was_looked_at: bool = self
            .tx
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM history_hour WHERE place = ?1 AND hour < ?2)")?
            .query_row([place, micros(self.from) / HOUR], |row| row.get(0))?;
        match was_looked_at {
            true => Ok(Some(C::default())),
            false => at_first(self.tx, place, id),
        }
    }
}

/// Of the largest so many it is worked out how much each grew: nothing grew by more than its size.
const GROWTH_OF: usize = 500;

/// The size from which on it is worked out how much a relation grew.
fn large<C>(totals: Option<&Totals<C>>, bytes: impl Fn(&C) -> u64) -> u64 {
    let mut sizes: Vec<u64> = totals
        .into_iter()
        .flatten()
        .map(|(_, counts)| bytes(counts))
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.get(GROWTH_OF).copied().unwrap_or(0)
}

impl Store {
    /// The tables of a database in an order, with what happened to them over a range.
    ///
    /// # Errors
    /// If the store fails.
    pub fn tables(
        &self,
        server: &str,
        database: &str,
        order: RelationOrder,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: usize,
    ) -> Result<RelationList<TableTotal>, StoreError> {
        self.read(|tx| {
            let place = (server, database);
            let of_all = matches!(
                order,
                RelationOrder::Growth | RelationOrder::Writes | RelationOrder::Scans
            );
            let happened = Happened::<TableCounts>::over(tx, place, Family::Table, (from, to), of_all)?;
            let large = large(happened.totals.as_ref(), |counts| counts.bytes);
            let first = happened.greatest("table_now", server, limit, |id, now| match order {
                RelationOrder::Growth if now.bytes >= large => {
                    let before = happened.before(id as i64)?;
                    Ok(before.map_or(0, |before| now.bytes as i64 - before.bytes as i64))
                }
                RelationOrder::Writes => Ok(now.written() as i64),
                RelationOrder::Scans => Ok(now.sequential_scans.saturating_add(now.index_scans) as i64),
                _ => Ok(0),
            })?;
            let column = match order {
                RelationOrder::DeadRows => "dead_rows_ratio DESC, bytes DESC",
                _ => "bytes DESC",
            };
            let tables: Vec<TableNow> = ordered(tx, "table_now", place, first, column, limit)?;
            let mut items = Vec::with_capacity(tables.len());
            for now in tables {
                let (counts, before) = happened.of(&now.schema, &now.name)?;
                items.push(TableTotal {
                    bytes_before: before.map(|before| before.bytes),
                    counts: counts.unwrap_or_default(),
                    now,
                });
            }
            let (total, bytes) = sum(tx, "table_now", place)?;
            Ok(RelationList { items, total, bytes })
        })
    }

    /// The indexes of a database, or of one of its tables (schema and name), in an order, with how they were used over a
    /// range.
    ///
    /// # Errors
    /// If the store fails.
    #[allow(clippy::too_many_arguments)]
    pub fn indexes(
        &self,
        server: &str,
        database: &str,
        table: Option<(&str, &str)>,
        order: RelationOrder,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: usize,
    ) -> Result<RelationList<IndexTotal>, StoreError> {
        self.read(|tx| {
            let place = (server, database);
            let of_all = table.is_none() && matches!(order, RelationOrder::Growth | RelationOrder::Scans);
            let happened = Happened::<IndexCounts>::over(tx, place, Family::Index, (from, to), of_all)?;
            let large = large(happened.totals.as_ref(), |counts| counts.bytes);
            let first = happened.greatest("index_now", server, limit, |id, now| match order {
                _ if !of_all => Ok(0),
                RelationOrder::Growth if now.bytes >= large => {
                    let before = happened.before(id as i64)?;
                    Ok(before.map_or(0, |before| now.bytes as i64 - before.bytes as i64))
                }
                RelationOrder::Scans => Ok(now.scans as i64),
                _ => Ok(0),
            })?;
            let column = match order {
                RelationOrder::Idle => "idle_since IS NULL, idle_since, bytes DESC",
                _ => "bytes DESC",
            };
            let indexes: Vec<IndexNow> = match table {
                None => ordered(tx, "index_now", place, first, column, limit)?,
                Some((schema, table)) => {
                    let sql = format!(
                        "SELECT body FROM index_now WHERE server = ?1 AND database = ?2 AND schema = ?3
                             AND table_name = ?4 ORDER BY {column}, name LIMIT ?5"
                    );
                    bodies(tx, &sql, params![server, database, schema, table, limit as i64])?
                }
            };
            let mut items = Vec::with_capacity(indexes.len());
            for now in indexes {
                let (counts, before) = happened.of(&now.schema, &now.name)?;
                items.push(IndexTotal {
                    bytes_before: before.map(|before| before.bytes),
                    counts: counts.unwrap_or_default(),
                    now,
                });
            }
            let (total, bytes) = match table {
                None => sum(tx, "index_now", place)?,
                Some(_) => (items.len(), items.iter().map(|index| index.now.bytes).sum()),
            };
            Ok(RelationList { items, total, bytes })
        })
    }

    /// One table as it is now.
    ///
    /// # Errors
    /// If the store fails.
    pub fn table(
        &self,
        server: &str,
        database: &str,
        schema: &str,
        name: &str,
    ) -> Result<Option<TableNow>, StoreError> {
        self.read(|tx| one(tx, "table_now", (server, database), (schema, name)))
    }

    /// One index as it is now.
    ///
    /// # Errors
    /// If the store fails.
    pub fn index(
        &self,
        server: &str,
        database: &str,
        schema: &str,
        name: &str,
    ) -> Result<Option<IndexNow>, StoreError> {
        self.read(|tx| one(tx, "index_now", (server, database), (schema, name)))
    }

    /// What happened to one table: look by look over the last hours, hour by hour over longer. Where nobody looked there is
    /// a point without counts; nothing where the table was never seen.
    ///
    /// # Errors
    /// If the store fails.
    pub fn table_history(
        &self,
        server: &str,
        database: &str,
        schema: &str,
        name: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Option<Vec<HistoryPoint<TableCounts>>>, StoreError> {
        self.relation_history((server, database), Family::Table, (schema, name), (from, to))
    }

    /// The same of an index.
    ///
    /// # Errors
    /// If the store fails.
    pub fn index_history(
        &self,
        server: &str,
        database: &str,
        schema: &str,
        name: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Option<Vec<HistoryPoint<IndexCounts>>>, StoreError> {
        self.relation_history((server, database), Family::Index, (schema, name), (from, to))
    }

    fn relation_history<C: Counts>(
        &self,
        (server, database): (&str, &str),
        family: Family,
        (schema, name): (&str, &str),
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Option<Vec<HistoryPoint<C>>>, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, family, database)? else {
                return Ok(None);
            };
            let id = place::subject(tx, place, database, &subject(schema, name)?)?;
            id.map(|id| points(tx, place, id, from, to)).transpose()
        })
    }
}

/// Those rows, then others in an order, as many as are wanted.
fn ordered<T: DeserializeOwned>(
    tx: &Transaction<'_>,
    table: &'static str,
    (server, database): (&str, &str),
    first: Named<T>,
    column: &'static str,
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let (names, mut found): (HashSet<(String, String)>, Vec<T>) = first.into_iter().unzip();
    let sql = format!(
        "SELECT schema, name, body FROM {table} WHERE server = ?1 AND database = ?2 ORDER BY {column}, schema, name
         LIMIT ?3"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params![server, database, limit as i64])?;
    while let Some(row) = rows.next()?.filter(|_| found.len() < limit) {
        if !names.contains(&(row.get(0)?, row.get(1)?)) {
            found.push(from_json(
                "relation",
                row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?,
            )?);
        }
    }
    Ok(found)
}

fn one<T: DeserializeOwned>(
    tx: &Transaction<'_>,
    table: &'static str,
    (server, database): (&str, &str),
    (schema, name): (&str, &str),
) -> Result<Option<T>, StoreError> {
    let sql =
        format!("SELECT body FROM {table} WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4");
    Ok(bodies(tx, &sql, params![server, database, schema, name])?.pop())
}

fn bodies<T: DeserializeOwned>(
    tx: &Transaction<'_>,
    sql: &str,
    parameters: &[&dyn ToSql],
) -> Result<Vec<T>, StoreError> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(from_json(
            "relation",
            row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?,
        )?);
    }
    Ok(found)
}

/// How many there are, and their bytes together.
fn sum(
    tx: &Transaction<'_>,
    table: &'static str,
    (server, database): (&str, &str),
) -> Result<(usize, u64), StoreError> {
    let sql =
        format!("SELECT count(*), coalesce(sum(bytes), 0) FROM {table} WHERE server = ?1 AND database = ?2");
    let (total, bytes): (i64, i64) = tx
        .prepare_cached(&sql)?
        .query_row([server, database], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((total.unsigned_abs() as usize, bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::row::time;

    fn at(minute: i64) -> DateTime<Utc> {
        time(20_000 * 24 * HOUR + minute * 60_000_000)
    }

    fn table(name: &str, bytes: u64, dead_rows: u64) -> TableNow {
        TableNow {
            schema: "public".into(),
            name: name.into(),
            kind: 'r',
            bytes,
            dead_rows,
            vacuum_threshold_rows: 100,
            ..TableNow::default()
        }
    }

    fn point<C>(name: &str, counts: C) -> RelationPoint<C> {
        RelationPoint {
            schema: "public".into(),
            name: name.into(),
            counts,
        }
    }

    fn index(name: &str, table: &str, bytes: u64, idle_since: Option<i64>) -> IndexNow {
        IndexNow {
            schema: "public".into(),
            name: name.into(),
            table: table.into(),
            bytes,
            idle_since: idle_since.map(at),
            ..IndexNow::default()
        }
    }

    /// A day and two hours, looked at every ten minutes: `grows` gets ten rows and a kilobyte each time, `stays` nothing
    /// after the first look, and nobody looks in the fourth hour.
    fn a_day() -> Store {
        let store = Store::in_memory().unwrap();
        for look in (0..156).filter(|look| look / 6 != 3) {
            let grown = TableCounts {
                inserted: 10,
                bytes: 1000 * (look + 1),
                live_rows: 10 * (look + 1),
                ..TableCounts::default()
            };
            let mut minute = RelationsMinute {
                database: "app".into(),
                seconds: 600.0,
                tables: vec![point("grows", grown)],
                tables_now: vec![table("grows", grown.bytes, 0)],
                ..RelationsMinute::default()
            };
            if look == 0 {
                let large = TableCounts {
                    bytes: 900_000,
                    ..TableCounts::default()
                };
                minute.seconds = 0.0;
                minute.is_whole = true;
                minute.tables.push(point("stays", large));
                minute.tables_now.push(table("stays", 900_000, 300));
                minute.tables_now.push(table("small", 10, 1));
                minute.indexes_now = vec![
                    index("grows_pkey", "grows", 50, None),
                    index("stays_a", "stays", 70, Some(-9000)),
                    index("stays_b", "stays", 60, Some(-90_000)),
                ];
            }
            minute.indexes = vec![point("grows_pkey", IndexCounts { scans: 3, bytes: 50 })];
            let now = at(10 * look as i64 + 1);
            store
                .write(|tx| record_relations(tx, &store.inner.numbers, "main", now, &minute))
                .unwrap();
        }
        store
    }

    fn names(list: &RelationList<TableTotal>) -> Vec<&str> {
        list.items.iter().map(|table| table.now.name.as_str()).collect()
    }

    #[test]
    fn tables_come_in_the_order_that_is_asked_for_with_what_happened_to_them() {
        let store = a_day();
        for rolled_up_to in [0, 800, 1561] {
            store.roll_up(at(rolled_up_to)).unwrap();
            let list = |order, from| {
                store
                    .tables("main", "app", order, at(from), at(1560), 10)
                    .unwrap()
            };
            let by_size = list(RelationOrder::Size, 0);
            assert_eq!(names(&by_size), ["stays", "grows", "small"], "{rolled_up_to}");
            assert_eq!((by_size.total, by_size.bytes), (3, 900_000 + 156_000 + 10));
            assert_eq!(by_size.items[1].counts.inserted, 150 * 10);
            assert_eq!(
                names(&list(RelationOrder::Growth, 0)),
                ["grows", "stays", "small"]
            );
            assert_eq!(
                names(&list(RelationOrder::Writes, 0)),
                ["grows", "stays", "small"]
            );
            assert_eq!(
                names(&list(RelationOrder::DeadRows, 0)),
                ["stays", "small", "grows"]
            );
            let of_two_hours = list(RelationOrder::Growth, 1440);
            assert_eq!(of_two_hours.items[0].counts.inserted, 12 * 10);
        }
        let over_days = store
            .tables("main", "app", RelationOrder::Growth, at(-3000), at(1560), 10)
            .unwrap();
        assert_eq!(over_days.items[0].counts.inserted, 1500);
        let none = store.tables("main", "other", RelationOrder::Size, at(0), at(9), 10);
        assert_eq!(none.unwrap(), RelationList::default());
    }

    #[test]
    fn a_table_stays_as_large_as_it_was_and_nobody_knows_what_nobody_looked_at() {
        let store = a_day();
        store.roll_up(at(1561)).unwrap();
        let history = |name: &str| {
            store
                .table_history("main", "app", "public", name, at(0), at(1559))
                .unwrap()
        };
        let grows = history("grows").unwrap();
        assert_eq!(grows.len(), 26);
        assert_eq!(grows[3].counts, None, "nobody looked");
        let second = grows[1].counts.unwrap();
        assert_eq!((second.inserted, second.bytes), (60, 12_000));
        let stays = history("stays").unwrap();
        let last = stays[25].counts.unwrap();
        assert_eq!((last.bytes, last.inserted), (900_000, 0));
        assert_eq!(history("never"), None);
        let index = store
            .index_history("main", "app", "public", "grows_pkey", at(0), at(1559))
            .unwrap()
            .unwrap();
        assert_eq!(index[1].counts, Some(IndexCounts { scans: 18, bytes: 50 }));
    }

    #[test]
    fn indexes_are_told_by_table_and_by_idleness_and_what_is_gone_is_told_no_more() {
        let store = a_day();
        let list = |table, order| {
            let list = store
                .indexes("main", "app", table, order, at(0), at(1560), 10)
                .unwrap();
            let names = list.items.iter().map(|index| index.now.name.clone());
            (names.collect::<Vec<_>>(), list.total, list.bytes)
        };
        assert_eq!(
            list(None, RelationOrder::Idle).0,
            ["stays_b", "stays_a", "grows_pkey"]
        );
        assert_eq!(
            list(None, RelationOrder::Scans).0,
            ["grows_pkey", "stays_a", "stays_b"]
        );
        let of_one = list(Some(("public", "stays")), RelationOrder::Size);
        assert_eq!(of_one, (vec!["stays_a".into(), "stays_b".into()], 2, 130));
        let gone = RelationsMinute {
            database: "app".into(),
            seconds: 600.0,
            indexes_gone: vec![("public".into(), "stays_a".into())],
            tables_gone: vec![("public".into(), "small".into())],
            ..RelationsMinute::default()
        };
        store
            .write(|tx| record_relations(tx, &store.inner.numbers, "main", at(1600), &gone))
            .unwrap();
        assert_eq!(list(None, RelationOrder::Size).0, ["stays_b", "grows_pkey"]);
        assert_eq!(store.table("main", "app", "public", "small").unwrap(), None);
        let anew = RelationsMinute {
            is_whole: true,
            ..gone
        };
        store
            .write(|tx| record_relations(tx, &store.inner.numbers, "main", at(1700), &anew))
            .unwrap();
        assert_eq!(list(None, RelationOrder::Size).1, 0);
    }
}
