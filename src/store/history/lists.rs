//! Tables and indexes of a database in an order, with what happened to them over a range of time.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::de::DeserializeOwned;

use super::listed::{Listed, Named};
use super::place::{self, Family};
use super::points::{at_first, before, hours_of};
use super::relations::{bodies, subject};
use super::totals::{self, Totals};
use super::write_price::WritePrices;
use super::{HOUR, HOURS_OF_A_DAY, minutes_shown};
use crate::model::history::{Counts, IndexCounts, TableCounts};
use crate::model::relation::{IndexNow, IndexTotal, RelationList, RelationOrder, TableNow, TableTotal};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{from_json, micros, time};

/// What happened to the relations of a place over a range.
pub struct Happened<'a, C> {
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
    pub fn over(
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
        listed: &Listed<'_>,
        limit: usize,
        value: impl Fn(u64, &C) -> Result<i64, StoreError>,
    ) -> Result<Named<T>, StoreError> {
        let mut ranked: Vec<(i64, u64)> = Vec::new();
        let totals = self.totals.iter().flatten();
        for (id, counts) in totals.filter(|(id, _)| listed.holds(*id)) {
            ranked.push((value(*id, counts)?, *id));
        }
        ranked.retain(|(value, _)| *value > 0);
        ranked.sort_unstable_by_key(|(value, id)| (std::cmp::Reverse(*value), *id));
        let mut found = Vec::with_capacity(limit.min(ranked.len()));
        for (_, id) in ranked {
            if found.len() == limit {
                break;
            }
            let Some(named) = self.name(id)? else { continue };
            let row = listed.one((&named.0, &named.1))?;
            found.extend(row.map(|row| (named, row)));
        }
        Ok(found)
    }

    /// What happened to all of them, where that was asked for.
    pub fn all(&self) -> impl Iterator<Item = &(u64, C)> {
        self.totals.iter().flatten()
    }

    /// The schema and the name of one.
    pub fn name(&self, id: u64) -> Result<Option<(String, String)>, StoreError> {
        let named: Option<String> = self
            .tx
            .prepare_cached("SELECT name FROM history_subject WHERE id = ?1")?
            .query_row([id as i64], |row| row.get(0))
            .optional()?;
        named
            .map(|named| from_json("name of a relation", &named))
            .transpose()
    }

    /// How many seconds of the range were looked at.
    pub fn seen_seconds(&self) -> Result<f64, StoreError> {
        let Some(place) = self.place else {
            return Ok(0.0);
        };
        let from = match self.totals {
            Some(_) => totals::begin(self.from, self.to),
            None => self.from,
        };
        totals::seen_seconds(self.tx, place, from, self.to)
    }

    /// What happened to one: nothing, where it stayed as it was; none of one that nobody ever saw.
    pub fn counts_of(&self, schema: &str, name: &str) -> Result<Option<C>, StoreError> {
        let Some(place) = self.place else {
            return Ok(None);
        };
        let Some(id) = place::subject(self.tx, place, self.database, &subject(schema, name)?)? else {
            return Ok(None);
        };
        Ok(Some(self.counts(id)?.unwrap_or_default()))
    }

    fn counts(&self, id: i64) -> Result<Option<C>, StoreError> {
        match &self.totals {
            Some(totals) => Ok(totals::of(totals, id.unsigned_abs())),
            None => self.over_the_hours_of(id),
        }
    }

    /// What happened to one, and how it was before; of one that is younger than the range it is nothing.
    fn of(&self, schema: &str, name: &str) -> Result<(Option<C>, Option<C>), StoreError> {
        let Some(place) = self.place else {
            return Ok((None, None));
        };
        let Some(id) = place::subject(self.tx, place, self.database, &subject(schema, name)?)? else {
            return Ok((None, None));
        };
        Ok((self.counts(id)?, self.before(id)?))
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
fn large<C>(totals: Option<&Totals<C>>, listed: &Listed<'_>, bytes: impl Fn(&C) -> u64) -> u64 {
    let mut sizes: Vec<u64> = totals
        .into_iter()
        .flatten()
        .filter(|(id, _)| listed.holds(*id))
        .map(|(_, counts)| bytes(counts))
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.get(GROWTH_OF).copied().unwrap_or(0)
}

/// The indexes that grew most or were scanned most, where the order is about that.
fn most_used(
    happened: &Happened<'_, IndexCounts>,
    listed: &Listed<'_>,
    order: RelationOrder,
    limit: usize,
) -> Result<Named<IndexNow>, StoreError> {
    let large = large(happened.totals.as_ref(), listed, |counts| counts.bytes);
    happened.greatest(listed, limit, |id, now| match order {
        RelationOrder::Growth if now.bytes >= large => {
            let before = happened.before(id as i64)?;
            Ok(before.map_or(0, |before| now.bytes as i64 - before.bytes as i64))
        }
        RelationOrder::Scans => Ok(now.scans as i64),
        _ => Ok(0),
    })
}

impl Store {
    /// The tables of a database in an order, with what happened to them over a range: a partitioned one as a whole, and not its
    /// partitions.
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
        self.tables_of((server, database), None, order, (from, to), limit)
    }

    /// The partitions of a partitioned table at the top (schema and name), whatever the levels between, like the tables of a
    /// database.
    ///
    /// # Errors
    /// If the store fails.
    pub fn partitions(
        &self,
        place: (&str, &str),
        table: (&str, &str),
        order: RelationOrder,
        range: (DateTime<Utc>, DateTime<Utc>),
        limit: usize,
    ) -> Result<RelationList<TableTotal>, StoreError> {
        self.tables_of(place, Some(table), order, range, limit)
    }

    fn tables_of(
        &self,
        place: (&str, &str),
        whole: Option<(&str, &str)>,
        order: RelationOrder,
        range: (DateTime<Utc>, DateTime<Utc>),
        limit: usize,
    ) -> Result<RelationList<TableTotal>, StoreError> {
        self.read(|tx| {
            let of_all = matches!(
                order,
                RelationOrder::Growth | RelationOrder::Writes | RelationOrder::Scans
            );
            let happened = Happened::<TableCounts>::over(tx, place, Family::Table, range, of_all)?;
            let listed = Listed::of(tx, "table_now", place, whole, of_all)?;
            let large = large(happened.totals.as_ref(), &listed, |counts| counts.bytes);
            let first = happened.greatest(&listed, limit, |id, now| match order {
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
            let tables: Vec<TableNow> = listed.ordered(first, column, limit)?;
            let mut items = Vec::with_capacity(tables.len());
            for now in tables {
                let (counts, before) = happened.of(&now.schema, &now.name)?;
                items.push(TableTotal {
                    bytes_before: before.map(|before| before.bytes),
                    counts: counts.unwrap_or_default(),
                    now,
                });
            }
            let (total, bytes) = listed.sum()?;
            Ok(RelationList { items, total, bytes })
        })
    }

    /// How a table was before a time; how it was at first, where nobody looked before. None where that is not known.
    ///
    /// # Errors
    /// If the store fails.
    pub fn table_before(
        &self,
        place: (&str, &str),
        (schema, name): (&str, &str),
        from: DateTime<Utc>,
    ) -> Result<Option<TableCounts>, StoreError> {
        self.read(|tx| {
            let happened = Happened::<TableCounts>::over(tx, place, Family::Table, (from, from), false)?;
            Ok(happened.of(schema, name)?.1)
        })
    }

    /// When the tables and indexes of a database were looked at last, so that what lists tell of them is as old as that; none
    /// where nobody looked of late.
    ///
    /// # Errors
    /// If the store fails.
    pub fn relations_looked_at(
        &self,
        server: &str,
        database: &str,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.read(|tx| {
            let Some(place) = place::known(tx, server, Family::Table, database)? else {
                return Ok(None);
            };
            let at: Option<i64> = tx
                .prepare_cached("SELECT max(at) FROM history_minute WHERE place = ?1")?
                .query_row([place], |row| row.get(0))?;
            Ok(at.map(time))
        })
    }

    /// The indexes of a database, or of one of its tables (schema and name), in an order, with how they were used over a
    /// range. Of a database a partitioned one as a whole, and not its partitions.
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
            let listed = Listed::of(tx, "index_now", place, None, of_all)?;
            let by_price = table.is_none() && order == RelationOrder::Writes;
            let of_many = by_price || table.is_none() && to - from > totals::hours_shown();
            let mut prices = WritePrices::over(tx, place, (from, to), of_many)?;
            let first = match (by_price, of_all) {
                (true, _) => prices.dearest(&listed, limit)?,
                (false, true) => most_used(&happened, &listed, order, limit)?,
                (false, false) => Vec::new(),
            };
            let column = match order {
                RelationOrder::Idle => "idle_since IS NULL, idle_since, bytes DESC",
                _ => "bytes DESC",
            };
            let indexes: Vec<IndexNow> = match table {
                None => listed.ordered(first, column, limit)?,
                Some((schema, table)) => {
                    let sql = format!(
                        "SELECT body FROM index_now INDEXED BY index_now_table
                         WHERE server = ?1 AND database = ?2 AND schema = ?3 AND table_name = ?4
                         ORDER BY {column}, name LIMIT ?5"
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
                    entries_per_hour: prices.of(&now)?,
                    now,
                });
            }
            let (total, bytes) = match table {
                None => listed.sum()?,
                Some(_) => (items.len(), items.iter().map(|index| index.now.bytes).sum()),
            };
            Ok(RelationList { items, total, bytes })
        })
    }
}
