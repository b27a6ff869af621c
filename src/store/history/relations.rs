//! Tables and indexes: what happened to them, and how each is now.

use chrono::{DateTime, Utc};
use rusqlite::{ToSql, Transaction, params};
use serde::de::DeserializeOwned;

use super::place::{self, Family, Numbers, Subjects};
use super::points::points;
use super::record;
use crate::model::history::{Counts, HistoryPoint, IndexCounts, RelationPoint, RelationsMinute, TableCounts};
use crate::model::relation::{IndexNow, RelationName, TableNow};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{from_json, micros, to_json};

/// The name of a relation as a subject.
pub(super) fn subject(schema: &str, name: &str) -> Result<String, StoreError> {
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
    let tables = record_family(tx, numbers, server, now, Family::Table, minute, &minute.tables)?;
    let indexes = record_family(tx, numbers, server, now, Family::Index, minute, &minute.indexes)?;
    forget(tx, server, minute)?;
    write_tables(tx, server, tables, minute)?;
    write_indexes(tx, server, indexes, minute)
}

fn write_tables(
    tx: &Transaction<'_>,
    server: &str,
    place: i64,
    minute: &RelationsMinute,
) -> Result<(), StoreError> {
    let database = &minute.database;
    let mut upsert = tx.prepare_cached(
        "INSERT INTO table_now (server, database, schema, name, bytes, dead_rows_ratio, body, partition_of, subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET bytes = excluded.bytes, dead_rows_ratio = excluded.dead_rows_ratio,
             body = excluded.body, partition_of = excluded.partition_of, subject = excluded.subject
             WHERE body <> excluded.body",
    )?;
    for table in &minute.tables_now {
        let above = table.partition_of.as_ref();
        let (partition_of, number) = partition(tx, (place, database), (&table.schema, &table.name), above)?;
        let body = to_json("table", table)?;
        upsert.execute(params![
            server,
            database,
            table.schema,
            table.name,
            table.bytes as i64,
            table.dead_rows_ratio(),
            body,
            partition_of,
            number
        ])?;
    }
    Ok(())
}

fn write_indexes(
    tx: &Transaction<'_>,
    server: &str,
    place: i64,
    minute: &RelationsMinute,
) -> Result<(), StoreError> {
    let database = &minute.database;
    let mut upsert = tx.prepare_cached(
        "INSERT INTO index_now (server, database, schema, name, table_name, bytes, idle_since, body, partition_of,
                                subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT DO UPDATE SET table_name = excluded.table_name, bytes = excluded.bytes,
             idle_since = excluded.idle_since, body = excluded.body, partition_of = excluded.partition_of,
             subject = excluded.subject
             WHERE body <> excluded.body",
    )?;
    for index in &minute.indexes_now {
        let above = index.partition_of.as_ref();
        let (partition_of, number) = partition(tx, (place, database), (&index.schema, &index.name), above)?;
        upsert.execute(params![
            server,
            database,
            index.schema,
            index.name,
            index.table,
            index.bytes as i64,
            index.idle_since.map(micros),
            to_json("index", index)?,
            partition_of,
            number
        ])?;
    }
    Ok(())
}

/// Of a partition, what it is one of, and its own number in the history, if it has one: lists leave it out by that.
fn partition(
    tx: &Transaction<'_>,
    (place, database): (i64, &str),
    (schema, name): (&str, &str),
    above: Option<&RelationName>,
) -> Result<(Option<String>, Option<i64>), StoreError> {
    let Some(above) = above else {
        return Ok((None, None));
    };
    let number = place::subject(tx, place, database, &subject(schema, name)?)?;
    Ok((Some(subject(&above.schema, &above.name)?), number))
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

/// Gives the number of the place.
fn record_family<C: Counts>(
    tx: &Transaction<'_>,
    numbers: &Numbers,
    server: &str,
    now: DateTime<Utc>,
    family: Family,
    minute: &RelationsMinute,
    relations: &[RelationPoint<C>],
) -> Result<i64, StoreError> {
    let place = place::of(tx, server, family, &minute.database)?;
    let mut subjects = Subjects::of(tx, numbers, place)?;
    let mut points = Vec::with_capacity(relations.len());
    for point in relations {
        let name = subject(&point.schema, &point.name)?;
        points.push((subjects.number(&minute.database, &name, "")?, point.counts));
    }
    record(tx, place, now, minute.seconds, points)?;
    Ok(place)
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

impl Store {
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

pub(super) fn bodies<T: DeserializeOwned>(
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

#[cfg(test)]
mod tests {
    use super::super::HOUR;
    use super::*;
    use crate::model::relation::{RelationList, RelationOrder, TableTotal};
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
    fn it_is_known_when_a_database_was_looked_at_last() {
        let store = a_day();
        let looked_at = |database| store.relations_looked_at("main", database).unwrap();
        assert_eq!(looked_at("app"), Some(at(10 * 155 + 1)));
        assert_eq!(looked_at("other"), None);
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
    fn the_first_look_is_no_time_and_tells_how_things_are() {
        let store = a_day();
        let stays = store.table_history("main", "app", "public", "stays", at(0), at(35));
        let stays = stays.unwrap().unwrap();
        let told: Vec<_> = stays
            .iter()
            .map(|point| (point.from, point.length_seconds))
            .collect();
        assert_eq!(told, [1, 11, 21].map(|minute| (at(minute), 600.0)));
        assert_eq!(stays[0].counts.map(|counts| counts.bytes), Some(900_000));
    }

    #[test]
    fn an_hour_that_holds_the_first_look_alone_tells_nothing() {
        let store = Store::in_memory().unwrap();
        let look = |minute: i64, seconds: f64, is_whole: bool| {
            let large = TableCounts {
                bytes: 900_000,
                ..TableCounts::default()
            };
            let told = RelationsMinute {
                database: "app".into(),
                seconds,
                tables: is_whole.then(|| point("t", large)).into_iter().collect(),
                is_whole,
                ..RelationsMinute::default()
            };
            store
                .write(|tx| record_relations(tx, &store.inner.numbers, "main", at(minute), &told))
                .unwrap();
        };
        let known = |to: i64| {
            let day = store.table_history("main", "app", "public", "t", at(to - 1440), at(to));
            let day = day.unwrap().unwrap();
            let known = day.iter().filter_map(|point| Some(point.counts?.bytes));
            known.collect::<Vec<_>>()
        };
        look(50, 0.0, true);
        assert!(known(55).is_empty(), "nobody knows yet what happens to it");
        look(60, 600.0, false);
        assert_eq!(known(65), [900_000], "it stayed as it was at the first look");
        let before = |name: &str, from: i64| {
            let before = store.table_before(("main", "app"), ("public", name), at(from));
            before.unwrap().map(|counts| counts.bytes)
        };
        assert_eq!(before("t", -1380), Some(900_000));
        assert_eq!(before("t", 61), Some(900_000));
        assert_eq!(before("never", 61), None);
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
