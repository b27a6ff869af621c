//! How tables were read and written: the counters of this look against those of one an hour or two ago, or what they
//! count since a known reset.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::tables::Autovacuum;
use crate::limits;
use crate::model::catalog::Catalog;
use crate::model::finding::Window;
use crate::model::observation::{TableActivity, TableDelta};
use crate::model::snapshot::{TableActivityCounters, TableActivityLook};

/// Looks at each database that may begin a window: one an hour old or older, and a younger one that follows it.
#[derive(Default)]
pub struct TableActivities {
    known: HashMap<String, VecDeque<Arc<TableActivityLook>>>,
}

/// Since when the counters of a database's tables count.
#[derive(Clone, Copy, Default)]
pub struct Counted {
    /// Totals are over the time since then, if that is known.
    pub since: Option<DateTime<Utc>>,
    /// The last time at which they may have begun again: no window begins before.
    pub windows_begin: Option<DateTime<Utc>>,
}

/// How far apart the looks that are kept are, which is the least length of a window.
const WINDOW: TimeDelta = TimeDelta::hours(1);

impl TableActivities {
    /// What happened to each table that has a name. `any_window`: somebody asked for the second look, so that it ends a
    /// window however short.
    pub fn observe(
        &mut self,
        database: &str,
        look: &Arc<TableActivityLook>,
        counted: Counted,
        catalog: &Catalog,
        autovacuum: &Autovacuum,
        any_window: bool,
    ) -> Vec<TableActivity> {
        let known = self.known.entry(database.to_owned()).or_default();
        while known.get(1).is_some_and(|next| look.at - next.at >= WINDOW) {
            known.pop_front();
        }
        if known.back().is_none_or(|last| look.at - last.at >= WINDOW) || any_window && known.len() < 2 {
            known.push_back(look.clone());
        }
        let least = if any_window {
            TimeDelta::milliseconds(1)
        } else {
            WINDOW
        };
        // what was counted before a reset is no beginning
        known.retain(|look| counted.windows_begin.is_none_or(|begin| begin <= look.at));
        if known.is_empty() {
            known.push_back(look.clone());
        }
        let before = known.front().filter(|first| look.at - first.at >= least);
        let since_reset = counted.since.filter(|since| look.at - *since >= totals_minimum());
        let mut facts = catalog.tables.finder();
        let one = |now: &TableActivityCounters| {
            let facts = facts.find(now.oid)?;
            let over = match before.and_then(|before| Some((before.at, of(before, now.oid)?))) {
                Some((from, earlier)) => between(&earlier, now, Window { from, to: look.at }),
                None => since_reset.and_then(|from| {
                    let nothing = TableActivityCounters {
                        new_page_updated: Some(0),
                        ..TableActivityCounters::default()
                    };
                    between(&nothing, now, Window { from, to: look.at })
                }),
            };
            Some(TableActivity {
                oid: now.oid,
                modified_since_analyze: now.modified_since_analyze,
                last_analyze_at: now.last_analyze_at,
                analyze_threshold_rows: autovacuum.analyze_threshold_rows(facts),
                last_sequential_scan_at: now.last_sequential_scan_at,
                over,
            })
        };
        look.tables.iter().filter_map(one).collect()
    }

    /// Forgets databases that are gone.
    pub fn forget_databases_but(&mut self, there: &[&str]) {
        self.known.retain(|name, _| there.contains(&name.as_str()));
    }
}

/// Totals are a window from this length on: a rate over less says little.
fn totals_minimum() -> TimeDelta {
    TimeDelta::from_std(limits::STATEMENT_WINDOW).unwrap_or(WINDOW)
}

fn of(look: &TableActivityLook, oid: u32) -> Option<TableActivityCounters> {
    let position = look.tables.binary_search_by_key(&oid, |table| table.oid).ok()?;
    Some(look.tables[position])
}

/// The difference; none where counters began again meanwhile.
fn between(
    before: &TableActivityCounters,
    now: &TableActivityCounters,
    window: Window,
) -> Option<TableDelta> {
    let new_pages = now.new_page_updated.zip(before.new_page_updated);
    let delta = TableDelta {
        window,
        sequential_scans: now.sequential_scans - before.sequential_scans,
        sequential_rows_read: now.sequential_rows_read - before.sequential_rows_read,
        inserted: now.inserted - before.inserted,
        updated: now.updated - before.updated,
        hot_updated: now.hot_updated - before.hot_updated,
        deleted: now.deleted - before.deleted,
        new_page_updated: new_pages.map(|(now, before)| now - before),
    };
    let counts = [
        delta.sequential_scans,
        delta.sequential_rows_read,
        delta.inserted,
        delta.updated,
        delta.hot_updated,
        delta.deleted,
    ];
    let is_sound = counts.iter().all(|count| *count >= 0) && delta.hot_updated <= delta.updated;
    // it is written down a moment before the updates themselves are
    let others = 0..=delta.updated - delta.hot_updated;
    is_sound.then_some(TableDelta {
        new_page_updated: delta.new_page_updated.filter(|count| others.contains(count)),
        ..delta
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::TableFacts;
    use crate::model::snapshot::ServerFacts;

    fn look(minute: i64, updated: i64) -> Arc<TableActivityLook> {
        let table = TableActivityCounters {
            oid: 7,
            updated,
            ..TableActivityCounters::default()
        };
        Arc::new(TableActivityLook {
            at: at(minute),
            tables: vec![table],
        })
    }

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + minute * 60, 0).unwrap()
    }

    fn updated(
        known: &mut TableActivities,
        look: &Arc<TableActivityLook>,
        since: Option<i64>,
        any: bool,
    ) -> Option<(i64, i64)> {
        let counted = Counted {
            since: since.map(at),
            windows_begin: since.map(at),
        };
        told(known, look, counted, any)
    }

    fn told(
        known: &mut TableActivities,
        look: &Arc<TableActivityLook>,
        counted: Counted,
        any: bool,
    ) -> Option<(i64, i64)> {
        let table = TableFacts {
            oid: 7,
            ..TableFacts::default()
        };
        let catalog = Catalog::new(vec![table].into(), Vec::new().into());
        let autovacuum = Autovacuum::of(&ServerFacts::default());
        let seen = known.observe("db", look, counted, &catalog, &autovacuum, any);
        seen[0]
            .over
            .map(|delta| (delta.updated, (delta.window.seconds() / 60.0) as i64))
    }

    #[test]
    fn a_window_is_an_hour_or_two_and_counters_that_began_again_end_it() {
        let mut known = TableActivities::default();
        assert_eq!(updated(&mut known, &look(0, 1000), None, false), None);
        assert_eq!(
            updated(&mut known, &look(50, 1050), None, false),
            None,
            "too short"
        );
        for minute in (60..600).step_by(10) {
            let (rows, minutes) = updated(&mut known, &look(minute, 1000 + minute), None, false).unwrap();
            assert_eq!(rows, minutes);
            assert!((60..=130).contains(&minutes), "{minutes}");
        }
        assert_eq!(
            updated(&mut known, &look(610, 3), None, false),
            None,
            "they began again"
        );
    }

    #[test]
    fn totals_since_a_known_reset_are_a_window_and_so_is_what_lies_between_two_looks_that_were_asked_for() {
        let mut known = TableActivities::default();
        assert_eq!(updated(&mut known, &look(0, 500), Some(-29), false), None);
        assert_eq!(
            updated(&mut known, &look(1, 500), Some(-29), false),
            Some((500, 30))
        );
        let mut known = TableActivities::default();
        updated(&mut known, &look(0, 500), None, true);
        assert_eq!(updated(&mut known, &look(1, 520), None, true), Some((20, 1)));
    }

    #[test]
    fn a_reset_of_other_statistics_ends_windows_and_is_no_beginning_of_totals() {
        let (year, reset) = (365 * 24 * 60, Some(at(-31)));
        let counted = |since: Option<i64>| Counted {
            since: since.map(at),
            windows_begin: reset,
        };
        let seen = |since: Option<i64>| {
            let mut known = TableActivities::default();
            told(&mut known, &look(0, 1_000_000), counted(since), false)
        };
        assert_eq!(seen(Some(-year)), Some((1_000_000, year)));
        assert_eq!(seen(None), None, "nobody knows since when");
        let mut known = TableActivities::default();
        told(&mut known, &look(-60, 999_000), counted(Some(-year)), false);
        assert_eq!(
            told(&mut known, &look(0, 1_000_000), counted(Some(-year)), false),
            Some((1_000_000, year)),
            "the look before it begins no window"
        );
    }

    #[test]
    fn updates_that_left_their_page_are_told_where_they_are_counted() {
        let seen = |before: Option<i64>, now: Option<i64>| {
            let counters = |updated: i64, new_page_updated: Option<i64>| TableActivityCounters {
                updated,
                hot_updated: updated / 2,
                new_page_updated,
                ..TableActivityCounters::default()
            };
            let window = Window {
                from: at(0),
                to: at(60),
            };
            between(&counters(100, before), &counters(200, now), window)
                .unwrap()
                .new_page_updated
        };
        assert_eq!(seen(Some(10), Some(40)), Some(30));
        assert_eq!(seen(None, None), None, "before 16");
        assert_eq!(seen(Some(10), Some(60)), Some(50));
        assert_eq!(seen(Some(10), Some(61)), None, "more than were not HOT");
    }
}
