//! What was written to tables, as the server counts it: between two readings, or else, as far as that is no load that just ended,
//! since counters began.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::tables::Tables;
use crate::limits;
use crate::model::history::index_entries;
use crate::postgres::{Plan, PostgresError, queries};

/// What was written to one table, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Writes {
    pub inserted: f64,
    pub updated: f64,
    /// Those of the updates that cost no index an entry.
    pub updated_hot: f64,
    pub known: Known,
}

/// How much is known of what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// All of it.
    #[default]
    All,
    /// What one load cannot explain: it may have been more.
    AtLeast,
}

/// What the counters of one table say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counted {
    writes: Writes,
    /// Rows that are there, if that could be read.
    live_rows: Option<f64>,
}

/// What was written since counters began, by the OID of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteCounters {
    /// When it was read, by the server's clock.
    pub at: DateTime<Utc>,
    /// When counters began, where the server tells.
    pub since: Option<DateTime<Utc>>,
    by_table: BTreeMap<u32, Counted>,
}

impl WriteCounters {
    /// Reads them for all tables that are known.
    ///
    /// # Errors
    /// If the server refuses, or the session is lost.
    pub async fn read(plan: &Plan, tables: &Tables) -> Result<Self, PostgresError> {
        let oids: Vec<u32> = tables.all().map(|table| table.oid).collect();
        let asked: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&oids, Type::OID_ARRAY)];
        let mut counters = Self::default();
        for row in plan.session().rows(queries::ADVISE_WRITES, &asked).await? {
            let count = |name: &str| row.try_get::<_, Option<f64>>(name).ok().flatten().unwrap_or(0.0);
            let writes = Writes {
                inserted: count("inserted"),
                updated: count("updated"),
                updated_hot: count("updated_hot"),
                known: Known::All,
            };
            let live_rows = row.try_get("live_rows").ok().flatten();
            counters.at = row.try_get("at").unwrap_or_default();
            counters.since = row.try_get("since").ok().flatten();
            let oid = row.try_get("table_oid").unwrap_or(0);
            counters.by_table.insert(oid, Counted { writes, live_rows });
        }
        Ok(counters)
    }

    /// What is written in so many seconds, as it was between an earlier reading and this one, or else since counters began.
    /// Nothing is said of tables whose counters began again, nor of times that are too short for a rate; nor, where only totals
    /// are known, of what one load explains.
    pub fn in_seconds(&self, earlier: Option<&Self>, seconds: f64) -> BTreeMap<u32, Writes> {
        let tables = self.by_table.iter();
        let until_now = |earlier: &Self| self.seconds_since(earlier.at, limits::WRITES_WINDOW);
        if let Some((earlier, between)) = earlier.and_then(|earlier| Some((earlier, until_now(earlier)?))) {
            let of = |(oid, now): (&u32, &Counted)| {
                let before = earlier.by_table.get(oid)?.writes;
                Some((*oid, now.writes.less(before)?.in_seconds(seconds, between)))
            };
            return tables.filter_map(of).collect();
        }
        let long_ago = |begin: DateTime<Utc>| self.seconds_since(begin, limits::WRITES_TOTALS_AFTER);
        let Some(between) = self.since.and_then(long_ago) else {
            return BTreeMap::new();
        };
        let of = |(oid, now): (&u32, &Counted)| {
            let rest = now.beyond_a_load()?;
            Some((*oid, rest.in_seconds(seconds, between)))
        };
        tables.filter_map(of).collect()
    }

    /// Seconds since then, if they are enough.
    fn seconds_since(&self, begin: DateTime<Utc>, least: Duration) -> Option<f64> {
        let between = (self.at - begin).num_milliseconds() as f64 / 1000.0;
        (between >= least.as_secs_f64()).then_some(between)
    }
}

impl Counted {
    /// What is no load that just ended: of the rows that came those that are not there any more, and all updates. `None` where
    /// nothing is left: counters may be off, and a table that only grows looks like one that was loaded.
    fn beyond_a_load(&self) -> Option<Writes> {
        let rest = Writes {
            inserted: (self.writes.inserted - self.live_rows?).max(0.0),
            known: Known::AtLeast,
            ..self.writes
        };
        (rest.inserted > 0.0 || rest.updated > 0.0).then_some(rest)
    }
}

impl Writes {
    /// What was written since; `None` if counters began again meanwhile.
    fn less(&self, before: Self) -> Option<Self> {
        let less = |now: f64, before: f64| (now >= before).then_some(now - before);
        Some(Self {
            inserted: less(self.inserted, before.inserted)?,
            updated: less(self.updated, before.updated)?,
            updated_hot: less(self.updated_hot, before.updated_hot)?,
            known: self.known,
        })
    }

    /// In so many seconds, where it is what was written in these.
    fn in_seconds(&self, seconds: f64, between: f64) -> Self {
        Self {
            inserted: self.inserted / between * seconds,
            updated: self.updated / between * seconds,
            updated_hot: self.updated_hot / between * seconds,
            known: self.known,
        }
    }

    /// Entries in every index: for each row that comes, and each that moves.
    pub(super) fn entries(&self) -> f64 {
        index_entries(self.inserted, self.updated, self.updated_hot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one table: so many rows came, which are all gone again, and twice as many were updated, half of them HOT.
    fn counters(minute: i64, inserted: f64) -> WriteCounters {
        let writes = Writes {
            inserted,
            updated: 2.0 * inserted,
            updated_hot: inserted,
            known: Known::All,
        };
        WriteCounters {
            at: DateTime::from_timestamp(60 * minute, 0).unwrap(),
            since: None,
            by_table: [(
                7,
                Counted {
                    writes,
                    live_rows: Some(0.0),
                },
            )]
            .into(),
        }
    }

    #[test]
    fn a_rate_needs_an_hour_and_counters_that_went_on() {
        let hour = counters(60, 7_200.0).in_seconds(Some(&counters(0, 3_600.0)), 10.0);
        assert_eq!(
            hour[&7],
            Writes {
                inserted: 10.0,
                updated: 20.0,
                updated_hot: 10.0,
                known: Known::All,
            }
        );
        assert!(
            counters(20, 7_200.0)
                .in_seconds(Some(&counters(0, 0.0)), 10.0)
                .is_empty()
        );
        let began_again = counters(60, 5.0).in_seconds(Some(&counters(0, 6.0)), 10.0);
        assert!(began_again.is_empty());
    }

    /// Two days after minute 0.
    const NOW: i64 = 2 * 24 * 60;

    fn total(inserted: f64, since: Option<i64>) -> WriteCounters {
        WriteCounters {
            since: since.and_then(|minute| DateTime::from_timestamp(60 * minute, 0)),
            ..counters(NOW, inserted)
        }
    }

    /// Of a hundred seconds.
    fn inserted(now: &WriteCounters, earlier: Option<&WriteCounters>) -> Option<f64> {
        let rate = now.in_seconds(earlier, 100.0);
        rate.get(&7).map(|writes| writes.inserted)
    }

    #[test]
    fn totals_are_a_rate_where_they_tell_since_when() {
        assert_eq!(inserted(&total(172_800.0, Some(0)), None), Some(100.0));
        assert_eq!(
            inserted(&total(172_800.0, None), None),
            None,
            "nobody knows since when"
        );
        let of_today = total(172_800.0, Some(NOW - 23 * 60));
        assert_eq!(inserted(&of_today, None), None, "too short");
        assert_eq!(inserted(&total(0.0, Some(0)), None), None, "counters may be off");
        let earlier = counters(NOW - 100, 6_000.0);
        let of_late = inserted(&total(18_000.0, Some(0)), Some(&earlier));
        assert_eq!(of_late, Some(200.0), "what was of late is told rather");
        let a_moment_ago = counters(NOW - 1, 172_799.0);
        let all = inserted(&total(172_800.0, Some(0)), Some(&a_moment_ago));
        assert_eq!(all, Some(100.0), "a moment is no rate");
    }

    #[test]
    fn a_load_is_no_rate() {
        let told = |live_rows: Option<f64>, updated: f64| {
            let mut now = total(172_800.0, Some(0));
            for counted in now.by_table.values_mut() {
                counted.live_rows = live_rows;
                (counted.writes.updated, counted.writes.updated_hot) = (updated, updated / 2.0);
            }
            now.in_seconds(None, 100.0).get(&7).copied()
        };
        assert_eq!(told(Some(172_800.0), 0.0), None, "all that came is there");
        assert_eq!(told(Some(200_000.0), 0.0), None, "and more");
        assert_eq!(told(None, 0.0), None, "nobody knows what is there");
        let of = |inserted: f64, updated: f64| Writes {
            inserted,
            updated,
            updated_hot: updated / 2.0,
            known: Known::AtLeast,
        };
        assert_eq!(
            told(Some(86_400.0), 0.0),
            Some(of(50.0, 0.0)),
            "half of it is gone again"
        );
        assert_eq!(
            told(Some(200_000.0), 17_280.0),
            Some(of(0.0, 10.0)),
            "no load updates"
        );
        // what was written in between is what was written, load or not
        let mut now = counters(NOW, 7_200.0);
        now.by_table
            .values_mut()
            .for_each(|counted| counted.live_rows = Some(7_200.0));
        let earlier = counters(NOW - 60, 3_600.0);
        assert_eq!(inserted(&now, Some(&earlier)), Some(100.0));
    }
}
