//! Which tables or indexes a list holds: a partitioned one is told once, as a whole, and its partitions in a list of their own.

use std::collections::HashSet;

use rusqlite::{Transaction, params};
use serde::de::DeserializeOwned;

use super::relations::{bodies, subject};
use crate::model::relation::IndexNow;
use crate::store::error::StoreError;
use crate::store::row::from_json;

/// Rows with their names: schema and name.
pub type Named<T> = Vec<((String, String), T)>;

/// Which relations of a database a list holds: those that are no partitions, or the partitions of one.
pub struct Listed<'a> {
    tx: &'a Transaction<'a>,
    table: &'static str,
    server: &'a str,
    database: &'a str,
    /// The one whose partitions they are, by its name as a subject.
    whole: Option<String>,
    /// The numbers of the partitions of that one, or of all, where the order is about what happened. One that was forgotten
    /// and came back may be missing.
    partitions: HashSet<u64>,
}

impl<'a> Listed<'a> {
    /// `by_what_happened`: the order that is asked for is about that.
    pub fn of(
        tx: &'a Transaction<'a>,
        table: &'static str,
        (server, database): (&'a str, &'a str),
        whole: Option<(&str, &str)>,
        by_what_happened: bool,
    ) -> Result<Self, StoreError> {
        let whole = whole.map(|(schema, name)| subject(schema, name)).transpose()?;
        let mut listed = Self {
            tx,
            table,
            server,
            database,
            whole,
            partitions: HashSet::new(),
        };
        if by_what_happened {
            listed.partitions = listed.numbers()?;
        }
        Ok(listed)
    }

    fn numbers(&self) -> Result<HashSet<u64>, StoreError> {
        let condition = match self.whole {
            Some(_) => "partition_of = ?3",
            // so that both take as many parameters
            None => "partition_of IS NOT NULL AND ?3 IS NULL",
        };
        let table = self.table;
        let sql = format!(
            "SELECT subject FROM {table} WHERE server = ?1 AND database = ?2 AND {condition}
                 AND subject IS NOT NULL"
        );
        let mut statement = self.tx.prepare_cached(&sql)?;
        let numbers = statement.query_map(params![self.server, self.database, self.whole], |row| {
            row.get::<_, i64>(0).map(i64::unsigned_abs)
        })?;
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    /// Whether a subject is in the list, as far as the numbers of partitions tell: [`Self::one`] knows it.
    pub fn holds(&self, id: u64) -> bool {
        self.partitions.contains(&id) == self.whole.is_some()
    }

    /// The row of one, if it is in the list.
    pub fn one<T: DeserializeOwned>(&self, (schema, name): (&str, &str)) -> Result<Option<T>, StoreError> {
        let table = self.table;
        let sql = format!(
            "SELECT body FROM {table} WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4
                 AND partition_of IS ?5"
        );
        let mut found = bodies(
            self.tx,
            &sql,
            params![self.server, self.database, schema, name, self.whole],
        )?;
        Ok(found.pop())
    }

    /// The indexes of one table, largest first; of a list of indexes.
    pub fn indexes_of(&self, (schema, table): (&str, &str)) -> Result<Named<IndexNow>, StoreError> {
        let found: Vec<IndexNow> = bodies(
            self.tx,
            "SELECT body FROM index_now INDEXED BY index_now_table
             WHERE server = ?1 AND database = ?2 AND schema = ?3 AND table_name = ?4 AND partition_of IS NULL
             ORDER BY bytes DESC, name",
            params![self.server, self.database, schema, table],
        )?;
        let named = |now: IndexNow| ((now.schema.clone(), now.name.clone()), now);
        Ok(found.into_iter().map(named).collect())
    }

    /// Those rows, then others in an order, as many as are wanted.
    pub fn ordered<T: DeserializeOwned>(
        &self,
        first: Named<T>,
        column: &'static str,
        limit: usize,
    ) -> Result<Vec<T>, StoreError> {
        let (names, mut found): (HashSet<(String, String)>, Vec<T>) = first.into_iter().unzip();
        let table = self.table;
        let sql = format!(
            "SELECT schema, name, body FROM {table} WHERE server = ?1 AND database = ?2 AND partition_of IS ?3
             ORDER BY {column}, schema, name LIMIT ?4"
        );
        let mut statement = self.tx.prepare_cached(&sql)?;
        let mut rows = statement.query(params![self.server, self.database, self.whole, limit as i64])?;
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

    /// How many there are, and their bytes together.
    pub fn sum(&self) -> Result<(usize, u64), StoreError> {
        let table = self.table;
        let sql = format!(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM {table}
             WHERE server = ?1 AND database = ?2 AND partition_of IS ?3"
        );
        let (total, bytes): (i64, i64) = self
            .tx
            .prepare_cached(&sql)?
            .query_row(params![self.server, self.database, self.whole], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Ok((total.unsigned_abs() as usize, bytes.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::super::{HOUR, record_relations};
    use crate::model::history::{IndexCounts, RelationPoint, RelationsMinute, TableCounts};
    use crate::model::relation::{
        IndexNow, RelationList, RelationName, RelationOrder, TableNow, TableTotal, WorstPartition,
    };
    use crate::store::Store;
    use crate::store::row::time;

    fn at(minute: i64) -> DateTime<Utc> {
        time(20_000 * 24 * HOUR + minute * 60_000_000)
    }

    /// A name that no separator takes apart.
    const WHOLE: &str = "who.le\",\"";

    fn whole() -> Option<RelationName> {
        Some(RelationName {
            schema: "public".into(),
            name: WHOLE.into(),
        })
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

    fn index(name: &str, bytes: u64, partition_of: Option<RelationName>) -> IndexNow {
        IndexNow {
            schema: "public".into(),
            name: name.into(),
            table: "t".into(),
            bytes,
            partition_of,
            ..IndexNow::default()
        }
    }

    /// What is told of a whole with two partitions, of which the first grows, and of a table of its own.
    fn looked(minute: &mut RelationsMinute, grown: u64) {
        let counts = |bytes: u64, inserted: u64| TableCounts {
            bytes,
            inserted,
            sequential_scans: 2 * inserted,
            ..TableCounts::default()
        };
        minute.tables = vec![
            point("p1", counts(1000 + grown, grown)),
            point("p2", counts(3000, 0)),
            point("alone", counts(2500 + grown / 10, grown / 10)),
            point(WHOLE, counts(4000 + grown, grown)),
        ];
        let partition = |name: &str, bytes: u64, dead_rows: u64| TableNow {
            partition_of: whole(),
            ..table(name, bytes, dead_rows)
        };
        minute.tables_now = vec![
            partition("p1", 1000 + grown, 300),
            partition("p2", 3000, 0),
            table("alone", 2500 + grown / 10, 200),
            TableNow {
                kind: 'p',
                partitions: 2,
                vacuum_threshold_rows: 0,
                worst_partition: Some(WorstPartition {
                    schema: "public".into(),
                    name: "p1".into(),
                    dead_rows: 300,
                    vacuum_threshold_rows: 100,
                }),
                ..table(WHOLE, 4000 + grown, 300)
            },
        ];
    }

    fn recorded() -> Store {
        let store = Store::in_memory().unwrap();
        let mut minute = RelationsMinute {
            database: "app".into(),
            is_whole: true,
            ..RelationsMinute::default()
        };
        looked(&mut minute, 0);
        let scans = |scans, bytes| IndexCounts { scans, bytes };
        minute.indexes = vec![
            point("i1", scans(5, 10)),
            point("i2", scans(4, 20)),
            point("i", scans(9, 30)),
        ];
        let above = Some(RelationName {
            schema: "public".into(),
            name: "i".into(),
        });
        minute.indexes_now = vec![
            index("i1", 10, above.clone()),
            index("i2", 20, above),
            index("i", 30, None),
            index("other", 25, None),
        ];
        record(&store, 1, &minute);
        minute.is_whole = false;
        minute.seconds = 600.0;
        minute.indexes_now.clear();
        looked(&mut minute, 600);
        record(&store, 11, &minute);
        store
    }

    fn record(store: &Store, minute: i64, told: &RelationsMinute) {
        store
            .write(|tx| record_relations(tx, &store.inner.numbers, "main", at(minute), told))
            .unwrap();
    }

    fn names(list: &RelationList<TableTotal>) -> Vec<&str> {
        list.items.iter().map(|table| table.now.name.as_str()).collect()
    }

    #[test]
    fn a_list_holds_the_whole_and_not_its_partitions_in_every_order() {
        let store = recorded();
        for (order, expected) in [
            (RelationOrder::Size, [WHOLE, "alone"]),
            (RelationOrder::Growth, [WHOLE, "alone"]),
            (RelationOrder::Writes, [WHOLE, "alone"]),
            (RelationOrder::Scans, [WHOLE, "alone"]),
            (RelationOrder::DeadRows, [WHOLE, "alone"]),
        ] {
            let list = store.tables("main", "app", order, at(5), at(20), 10).unwrap();
            assert_eq!(names(&list), expected, "{order:?}");
            assert_eq!((list.total, list.bytes), (2, 4600 + 2560), "nothing counts twice");
            assert_eq!(list.items[0].counts.inserted, 600);
            assert_eq!(list.items[0].bytes_before, Some(4000), "{order:?}");
        }
        let first = store.tables("main", "app", RelationOrder::Writes, at(5), at(20), 1);
        assert_eq!(names(&first.unwrap()), [WHOLE]);
    }

    #[test]
    fn partitions_have_a_list_of_their_own_in_every_order() {
        let store = recorded();
        let list = |of: &str, order| {
            let table = ("public", of);
            store
                .partitions(("main", "app"), table, order, (at(5), at(20)), 10)
                .unwrap()
        };
        assert_eq!(names(&list(WHOLE, RelationOrder::Size)), ["p2", "p1"]);
        for order in [
            RelationOrder::Growth,
            RelationOrder::Writes,
            RelationOrder::Scans,
            RelationOrder::DeadRows,
        ] {
            assert_eq!(names(&list(WHOLE, order)), ["p1", "p2"], "{order:?}");
        }
        let partitions = list(WHOLE, RelationOrder::Writes);
        assert_eq!((partitions.total, partitions.bytes), (2, 4600));
        assert_eq!(list("alone", RelationOrder::Size), RelationList::default());
    }

    #[test]
    fn indexes_are_told_as_a_whole_but_for_those_of_a_table() {
        let store = recorded();
        let list = |table, order| {
            let list = store
                .indexes("main", "app", table, order, at(0), at(20), 10)
                .unwrap();
            let names: Vec<String> = list.items.iter().map(|index| index.now.name.clone()).collect();
            (names, list.total, list.bytes)
        };
        for order in [RelationOrder::Size, RelationOrder::Scans, RelationOrder::Idle] {
            let expected = (vec!["i".to_owned(), "other".to_owned()], 2, 55);
            assert_eq!(list(None, order), expected, "{order:?}");
        }
        assert_eq!(list(Some(("public", "t")), RelationOrder::Size).1, 4);
    }

    #[test]
    fn a_partition_that_is_detached_is_in_the_list() {
        let store = recorded();
        let detached = RelationsMinute {
            database: "app".into(),
            seconds: 600.0,
            tables_now: vec![table("p1", 1600, 300)],
            ..RelationsMinute::default()
        };
        record(&store, 21, &detached);
        let list = store
            .tables("main", "app", RelationOrder::Writes, at(5), at(30), 10)
            .unwrap();
        assert_eq!(names(&list), ["p1", WHOLE, "alone"]);
        assert_eq!(list.items[0].counts.inserted, 600);
    }
}
