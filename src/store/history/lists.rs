//! Tables and indexes of a database in an order, with what happened to them over a range of time.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::de::DeserializeOwned;

use super::place::{self, Family};
use super::points::{at_first, before, hours_of};
use super::relations::{bodies, one, subject};
use super::totals::{self, Totals};
use super::{HOUR, HOURS_OF_A_DAY, minutes_shown};
use crate::model::history::{Counts, IndexCounts, TableCounts};
use crate::model::relation::{IndexNow, IndexTotal, RelationList, RelationOrder, TableNow, TableTotal};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::row::{from_json, micros};

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
