//! How fast rows are written to tables: counters of this look against those of one some time ago.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use crate::limits;
use crate::model::snapshot::TableCounters;

/// What was written to the tables of each database until some times, the first of them half an hour ago or a little more.
#[derive(Default)]
pub struct Writes {
    known: HashMap<String, VecDeque<Counted>>,
}

struct Counted {
    at: DateTime<Utc>,
    /// By OID, in their order.
    written: Vec<(u32, i64)>,
}

impl Counted {
    fn of(&self, oid: u32) -> Option<i64> {
        let position = self.written.binary_search_by_key(&oid, |(oid, _)| *oid).ok()?;
        Some(self.written[position].1)
    }
}

/// How far apart the readings that are kept are.
const KEPT_EVERY: TimeDelta = TimeDelta::minutes(10);

impl Writes {
    /// Takes in a look at the tables of a database, which come in the order of their OIDs.
    pub fn observe(&mut self, database: &str, tables: &[TableCounters], now: DateTime<Utc>) {
        let known = self.known.entry(database.to_owned()).or_default();
        let window = TimeDelta::seconds(limits::STATEMENT_WINDOW.as_secs() as i64);
        // the oldest one goes when the next is old enough
        while known.get(1).is_some_and(|next| now - next.at >= window) {
            known.pop_front();
        }
        if known.back().is_none_or(|last| now - last.at >= KEPT_EVERY) {
            known.push_back(Counted {
                at: now,
                written: tables.iter().map(|table| (table.oid, table.written)).collect(),
            });
        }
    }

    /// Rows written a second, over a window that is long enough to tell; none where counters began again meanwhile.
    pub fn per_second(&self, database: &str, table: &TableCounters, now: DateTime<Utc>) -> Option<f64> {
        let mut known = self.known.get(database)?.iter();
        // a table that came meanwhile is known from then on
        let (at, before) = known.find_map(|counted| Some((counted.at, counted.of(table.oid)?)))?;
        let seconds = (now - at).num_milliseconds() as f64 / 1000.0;
        let rows = table.written - before;
        (seconds >= limits::STATEMENT_WINDOW_MINIMUM.as_secs_f64() && rows >= 0)
            .then(|| rows as f64 / seconds)
    }

    /// Forgets databases that are gone.
    pub fn forget_databases_but(&mut self, there: &[&str]) {
        self.known.retain(|name, _| there.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_over_half_an_hour_and_not_over_a_reset() {
        let at = |minute: i64| DateTime::from_timestamp(1_790_000_000 + minute * 60, 0).unwrap();
        let table = |written| TableCounters {
            oid: 7,
            written,
            ..TableCounters::default()
        };
        let mut writes = Writes::default();
        let mut look = |minute: i64, written: i64| {
            writes.observe("db", &[table(written)], at(minute));
            writes.per_second("db", &table(written), at(minute))
        };
        assert_eq!(look(0, 1_000_000), None);
        assert_eq!(look(4, 1_000_240), None, "too short");
        assert_eq!(look(5, 1_000_300), Some(1.0));
        for minute in 6..60 {
            look(minute, 1_000_300);
        }
        assert_eq!(
            look(60, 1_000_300),
            Some(0.0),
            "what was written an hour ago is over"
        );
        assert_eq!(look(61, 5), None, "counters began again");
        let other = TableCounters { oid: 8, ..table(0) };
        assert_eq!(writes.per_second("db", &other, at(61)), None, "a new table");
    }
}
