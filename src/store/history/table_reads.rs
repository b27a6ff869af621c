//! Whether tables and materialized views are read on a server, as far as its history goes back.

use chrono::{DateTime, Utc};
use rusqlite::{Transaction, params};

use super::place::{self, Family};
use super::relations::subject;
use super::totals::{self, Totals};
use super::use_over_days::Days;
use super::{HOUR, HOURS_OF_A_DAY};
use crate::model::history::{TableCounts, TableReads};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::pack::unpack;
use crate::store::row::{micros, time};

impl Store {
    /// How these tables of a database, by schema and name, were read on a server: from end to end or by an index. What was
    /// never heard of was not read. Hours that began before `since` do not count, where that is told.
    ///
    /// # Errors
    /// If the store fails.
    pub fn table_reads(
        &self,
        (server, database): (&str, &str),
        tables: &[(String, String)],
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<TableReads, StoreError> {
        let first_hour = since.map_or(0, |since| (micros(since) + HOUR - 1) / HOUR);
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Table, database)? else {
                return Ok(TableReads {
                    watched_since: None,
                    read_at: vec![None; tables.len()],
                });
            };
            // what is in no hour yet
            let lately: Totals<TableCounts> = totals::unrolled(tx, place, time(first_hour * HOUR), now)?;
            let mut read_at = Vec::with_capacity(tables.len());
            for (schema, name) in tables {
                let number = place::subject(tx, place, database, &subject(schema, name)?)?;
                let last = number.map(|number| last_read(tx, number, first_hour, &lately, now));
                read_at.push(last.transpose()?.flatten());
            }
            let days = Days::most(tx, place, None, now)?;
            Ok(TableReads {
                watched_since: days.map(|days| days.window().from.max(time(first_hour * HOUR)).min(now)),
                read_at,
            })
        })
    }
}

fn is_read(counts: &TableCounts) -> bool {
    counts.sequential_scans > 0 || counts.index_scans > 0
}

/// By when a table was last read, in that hour or later. Goes back from the last day to the first hour of them that tells it.
fn last_read(
    tx: &Transaction<'_>,
    table: i64,
    first_hour: i64,
    lately: &Totals<TableCounts>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    if totals::of(lately, table.unsigned_abs()).is_some_and(|counts| is_read(&counts)) {
        return Ok(Some(now));
    }
    let mut days = tx.prepare_cached(
        "SELECT day, hours FROM history_day WHERE subject = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day DESC",
    )?;
    let (first_day, last_day) = (first_hour / HOURS_OF_A_DAY, micros(now) / HOUR / HOURS_OF_A_DAY);
    let mut rows = days.query(params![table, first_day, last_day])?;
    while let Some(row) = rows.next()? {
        let day: i64 = row.get(0)?;
        let hours = unpack::<TableCounts>(row.get_ref(1)?.as_blob().unwrap_or_default());
        let read = hours.filter(|(_, counts)| is_read(counts));
        let hours = read.map(|(hour, _)| day * HOURS_OF_A_DAY + hour as i64);
        if let Some(hour) = hours.filter(|hour| *hour >= first_hour).last() {
            return Ok(Some(time((hour + 1) * HOUR).min(now)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::record_relations;
    use super::*;
    use crate::model::history::{RelationPoint, RelationsMinute};

    fn at(hour: i64) -> DateTime<Utc> {
        time((20_000 * HOURS_OF_A_DAY + hour) * HOUR)
    }

    /// At each hour of two days there was a look; `v` was read in some of them.
    fn looked_at(read: &[i64], counts: TableCounts) -> Store {
        let store = Store::in_memory().unwrap();
        for hour in 0..48 {
            let point = RelationPoint {
                schema: "public".into(),
                name: "v".into(),
                counts,
            };
            let minute = RelationsMinute {
                database: "app".into(),
                seconds: 3600.0,
                tables: read.contains(&hour).then_some(point).into_iter().collect(),
                ..RelationsMinute::default()
            };
            let now = at(hour) + TimeDelta::minutes(30);
            store
                .write(|tx| record_relations(tx, &store.inner.numbers, "near", now, &minute))
                .unwrap();
        }
        store
    }

    fn reads(store: &Store, server: &str) -> TableReads {
        let view = ("public".to_owned(), "v".to_owned());
        store.table_reads((server, "app"), &[view], None, at(48)).unwrap()
    }

    #[test]
    fn a_view_is_read_by_its_own_scans_and_those_of_its_indexes() {
        let by_index = TableCounts {
            index_scans: 20,
            ..TableCounts::default()
        };
        let from_end_to_end = TableCounts {
            sequential_scans: 1,
            ..TableCounts::default()
        };
        for (read, counts, last) in [
            (&[3, 7][..], by_index, Some(at(8))),
            (&[3][..], from_end_to_end, Some(at(4))),
            (&[3, 47][..], by_index, Some(at(48))),
            (&[3][..], TableCounts::default(), None),
            (&[][..], by_index, None),
        ] {
            let store = looked_at(read, counts);
            store.roll_up(at(48)).unwrap();
            let told = reads(&store, "near");
            assert_eq!(
                (told.watched_since, told.read_at),
                (Some(at(0)), vec![last]),
                "{read:?}"
            );
        }
    }

    #[test]
    fn what_a_server_read_before_it_was_a_standby_is_left_out() {
        let counts = TableCounts {
            sequential_scans: 1,
            ..TableCounts::default()
        };
        let store = looked_at(&[3, 20, 30], counts);
        let told = |since: DateTime<Utc>| {
            let view = ("public".to_owned(), "v".to_owned());
            let told = store.table_reads(("near", "app"), &[view], Some(since), at(48));
            let told = told.unwrap();
            (told.watched_since, told.read_at[0])
        };
        let minute = TimeDelta::minutes(1);
        // before and after the hours are added up
        assert_eq!(told(at(30) + minute).1, None);
        assert_eq!(
            told(at(30)).1,
            Some(at(48)),
            "in an hour that is not added up yet"
        );
        store.roll_up(at(48)).unwrap();
        assert_eq!(told(at(3)), (Some(at(3)), Some(at(31))));
        assert_eq!(told(at(30)), (Some(at(30)), Some(at(31))));
        assert_eq!(told(at(30) + minute), (Some(at(31)), None));
        assert_eq!(told(at(47) + minute), (Some(at(48)), None));
    }

    #[test]
    fn of_a_server_that_was_not_looked_at_nothing_is_known() {
        let store = looked_at(&[3], TableCounts::default());
        store.roll_up(at(48)).unwrap();
        let told = reads(&store, "other");
        assert_eq!((told.watched_since, told.read_at), (None, vec![None]));
        let later = store.table_reads(("near", "app"), &[], None, at(480)).unwrap();
        assert_eq!(later.watched_since, None, "nobody looks any more");
    }
}
