//! Windows of pg_stat_statements. A window begins at an older look and ends now; a reset ends it. An entry that is new,
//! began again or ran backwards was put there inside the window, so all that it counts belongs to it.

mod lately;
mod long_calls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Observer;
use super::times::Times;
use crate::limits;
use crate::model::finding::Window;
use crate::model::history::{Counts as _, StatementCounts, StatementMinute, StatementPoint};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::snapshot::{
    DatabaseFacts, Snapshot, StatementCounters, StatementKind, StatementText, Statements,
};
use crate::model::status::EarlierLoad;

/// One look, kept as the possible start of a window.
pub struct StatementLook {
    at: DateTime<Utc>,
    reset_at: Option<DateTime<Utc>>,
    evictions: i64,
    /// In the order of their keys: a third of the memory of a map.
    entries: Arc<Vec<StatementCounters>>,
}

impl StatementLook {
    fn of(at: DateTime<Utc>, statements: &Statements) -> Self {
        Self {
            at,
            reset_at: statements.reset_at,
            evictions: statements.evictions,
            entries: statements.entries.clone(),
        }
    }

    /// What each entry did since this look.
    fn until<'a>(&'a self, now: &'a Statements) -> impl Iterator<Item = Delta> + 'a {
        // both are in the same order, and mostly hold the same
        let mut next = 0;
        now.entries.iter().map(move |now| {
            let is_next = self.entries.get(next).is_some_and(|entry| entry.key == now.key);
            let place = match is_next {
                true => Some(next),
                false => self
                    .entries
                    .binary_search_by_key(&now.key, |entry| entry.key)
                    .ok(),
            };
            next = place.map_or(next, |place| place + 1);
            self.since(place.map(|place| &self.entries[place]), now)
        })
    }

    /// What one entry did since this look, in which it was or was not.
    fn since(&self, before: Option<&StatementCounters>, now: &StatementCounters) -> Delta {
        // what is being executed for the first time has an entry from its parsing on, but no call yet, and is not shown: an
        // entry that was not there has counted nothing before, whenever it says that it began
        let Some(before) = before else {
            return Delta::whole(now);
        };
        let began_again = now.since != before.since;
        let backwards =
            now.calls < before.calls || now.execution_ms < before.execution_ms || now.rows < before.rows;
        if began_again || backwards {
            return Delta::whole(now);
        }
        let counters = StatementCounters {
            calls: now.calls - before.calls,
            execution_ms: now.execution_ms - before.execution_ms,
            stddev_ms: times(now).without(times(before)).deviation(),
            planning_ms: (now.planning_ms - before.planning_ms).max(0.0),
            rows: now.rows - before.rows,
            shared_blocks_hit: (now.shared_blocks_hit - before.shared_blocks_hit).max(0),
            shared_blocks_read: (now.shared_blocks_read - before.shared_blocks_read).max(0),
            temp_blocks_written: (now.temp_blocks_written - before.temp_blocks_written).max(0),
            ..*now
        };
        // it was longer than all before, or the longest was reset (17 and later); what did not change was before, or may have been
        let longest_ms = match counters.calls {
            1 => Some(counters.execution_ms),
            _ => Some(now.max_ms).filter(|longest| *longest > 0.0 && *longest != before.max_ms),
        };
        Delta { counters, longest_ms }
    }
}

/// How long an entry's calls took, in milliseconds. The server tells the deviation of all that there were, not of a sample of them.
fn times(entry: &StatementCounters) -> Times {
    Times::of(entry.calls, entry.execution_ms, entry.stddev_ms)
}

/// What one entry did over a window.
struct Delta {
    /// What it counted; the maximum is that of the entry.
    counters: StatementCounters,
    /// The longest call of the window, where that is known.
    longest_ms: Option<f64>,
}

impl Delta {
    /// Of an entry that counts nothing but what was done in the window.
    fn whole(now: &StatementCounters) -> Self {
        Self {
            counters: *now,
            longest_ms: Some(now.max_ms).filter(|longest| *longest > 0.0),
        }
    }
}

impl Observer {
    /// The activity over the best window that there is, or why there is none.
    pub(super) fn observe_statements(
        &mut self,
        snapshot: &Snapshot,
        single_look: bool,
    ) -> Result<StatementActivity, Unknown> {
        (self.load_sessions, self.statement_minute) = (None, None);
        self.earlier_load.clear();
        self.own_seconds = None;
        let cannot_tell = snapshot
            .gaps
            .iter()
            .find(|gap| gap.rules.iter().any(|rule| rule == "query.*"));
        let statements = match (&snapshot.statements, cannot_tell) {
            (Some(statements), None) => statements,
            // what was not seen before would look as if it were new when it comes back
            (_, gap) => {
                self.looks.clear();
                return Err(Unknown {
                    reason: gap.map_or("pg_stat_statements could not be read".to_owned(), |gap| {
                        gap.why.clone()
                    }),
                    remedy_sql: gap.and_then(|gap| gap.remedy_sql.clone()),
                });
            }
        };
        let now = Arc::new(StatementLook::of(snapshot.at, statements));
        if self
            .looks
            .back()
            .is_some_and(|look| look.reset_at != now.reset_at)
        {
            self.looks.clear();
        }
        let last = self.looks.back();
        if let Some(last) = last {
            let (over, busy) = (snapshot.at - last.at, busy(last, statements, snapshot));
            self.own_seconds = Some(busy.own_seconds);
            let earlier_seconds: f64 = busy.earlier.iter().map(EarlierLoad::session_seconds).sum();
            self.load_sessions = load((busy.seconds - earlier_seconds).max(0.0), over);
            self.earlier_load = busy.earlier;
            self.statement_minute = minute(over, busy.points);
        }
        self.keep_look(now.clone());
        let older = self.looks[0].clone();
        let length = snapshot.at - older.at;
        let shortest = delta(limits::STATEMENT_WINDOW_MINIMUM);
        let full = delta(limits::STATEMENT_WINDOW);
        if length >= shortest || self.any_window && length > TimeDelta::zero() {
            let deltas = older.until(statements);
            let window = Window {
                from: older.at,
                to: snapshot.at,
            };
            let mut activity = activity(
                snapshot,
                statements,
                deltas,
                window,
                now.evictions - older.evictions,
            );
            activity.faster_times = faster(&activity, self.statement_minute.as_ref());
            let of_late = lately::OfLate::of(&activity, &self.looks, snapshot, statements);
            // what the calls since the look before tell alone is newer
            for (key, times) in of_late.faster_times {
                activity.faster_times.entry(key).or_insert(times);
            }
            activity.lately = of_late.lately;
            activity.no_longer_spilling = of_late.no_longer_spilling;
            if length < full && !self.any_window {
                activity.still_filling = Some(format!(
                    "the window is {} min of {} min long",
                    length.num_minutes(),
                    full.num_minutes()
                ));
            }
            return Ok(activity);
        }
        // totals since a known reset are a window like any other; a daemon soon has a better one than a long one
        let lengths = delta(limits::STATEMENT_TOTALS_MINIMUM)..=match single_look {
            true => TimeDelta::MAX,
            false => full * 2,
        };
        match statements
            .reset_at
            .filter(|reset_at| lengths.contains(&(snapshot.at - *reset_at)))
        {
            Some(reset_at) => {
                let window = Window {
                    from: reset_at,
                    to: snapshot.at,
                };
                let totals = statements.entries.iter().map(Delta::whole);
                let mut activity = activity(snapshot, statements, totals, window, now.evictions);
                if !single_look {
                    activity.still_filling = Some("the first window is still filling".to_owned());
                    activity.looked_only_since = Some(older.at);
                    add_seen(&mut activity, &older, snapshot, statements);
                }
                Ok(activity)
            }
            None => Err(Unknown::because(format!(
                "needs two looks at pg_stat_statements that are {} min apart",
                shortest.num_minutes()
            ))),
        }
    }

    /// Keeps the last look, and of the older ones a few that are far enough apart, so that the window has nearly the same
    /// length at every look.
    fn keep_look(&mut self, now: Arc<StatementLook>) {
        let full = delta(limits::STATEMENT_WINDOW);
        while self.looks.get(1).is_some_and(|second| now.at - second.at >= full) {
            self.looks.pop_front();
        }
        // the last one was only kept for the load until now
        let count = self.looks.len();
        let too_close = count >= 2
            && self.looks[count - 1].at - self.looks[count - 2].at < full / limits::STATEMENT_LOOKS_IN_WINDOW;
        if too_close {
            self.looks.pop_back();
        }
        self.looks.push_back(now);
    }
}

fn delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// What was done since the last look.
#[derive(Default)]
struct Busy {
    /// Seconds of execution of all statements but those that only sleep, which are no load.
    seconds: f64,
    /// Of those that are marked as ours.
    own_seconds: f64,
    /// What of the seconds was before that look.
    earlier: Vec<EarlierLoad>,
    /// What each statement of a watched database did.
    points: Vec<StatementPoint>,
}

/// What was done since the last look, in one walk over all entries.
fn busy(last: &StatementLook, statements: &Statements, snapshot: &Snapshot) -> Busy {
    let databases: HashMap<u32, Arc<str>> = watched(snapshot)
        .map(|database| (database.oid, database.name.as_str().into()))
        .collect();
    let mut busy = Busy::default();
    // of one statement there is an entry for each role
    let mut places: HashMap<(u32, &str), usize> = HashMap::new();
    let over_seconds = (snapshot.at - last.at).num_milliseconds() as f64 / 1000.0;
    for delta in last.until(statements) {
        // most have done nothing since then, and need no text
        let text = match delta.counters.calls > 0 {
            true => statements.texts.get(&delta.counters.key.queryid),
            false => None,
        };
        let seconds = delta.counters.execution_ms / 1000.0;
        if !text.is_some_and(|text| text.only_sleeps) {
            busy.earlier.extend(long_calls::before(&delta, over_seconds));
            busy.seconds += seconds;
        }
        let Delta { counters: delta, .. } = delta;
        let Some(text) = text else {
            continue;
        };
        if text.kind == StatementKind::Own {
            busy.own_seconds += seconds;
        }
        let Some(database) = databases.get(&delta.key.database_oid) else {
            continue;
        };
        if matches!(text.kind, StatementKind::Utility | StatementKind::Own) {
            continue;
        }
        let key = (delta.key.database_oid, text.statement_id.as_str());
        let place = *places.entry(key).or_insert_with(|| {
            busy.points.push(StatementPoint {
                database: database.clone(),
                text: text.clone(),
                counts: StatementCounts::default(),
            });
            busy.points.len() - 1
        });
        let counts = &mut busy.points[place].counts;
        *counts = counts.then(counts_of(&delta));
    }
    busy
}

fn counts_of(delta: &StatementCounters) -> StatementCounts {
    let whole = |number: i64| u64::try_from(number).unwrap_or(0);
    StatementCounts {
        calls: whole(delta.calls),
        microseconds: (delta.execution_ms * 1e3) as u64,
        rows: whole(delta.rows),
        shared_blocks_hit: whole(delta.shared_blocks_hit),
        shared_blocks_read: whole(delta.shared_blocks_read),
        temp_blocks_written: whole(delta.temp_blocks_written),
    }
}

fn watched(snapshot: &Snapshot) -> impl Iterator<Item = &DatabaseFacts> {
    let databases = snapshot.server.databases.iter();
    databases.filter(|database| snapshot.watched.contains(&database.name))
}

/// Average sessions executing over a time.
fn load(busy_seconds: f64, over: TimeDelta) -> Option<f64> {
    let seconds = over.num_milliseconds() as f64 / 1000.0;
    (seconds > 0.0).then_some(busy_seconds / seconds)
}

/// What statements did over a time in which it was looked twice.
fn minute(over: TimeDelta, points: Vec<StatementPoint>) -> Option<StatementMinute> {
    let seconds = over.num_milliseconds() as f64 / 1000.0;
    // what was done over a long time in which nobody looked is not known hour by hour
    let longest = limits::MINUTE_AT_MOST.as_secs_f64();
    (seconds > 0.0 && seconds <= longest).then_some(StatementMinute { seconds, points })
}

/// How many times faster statements are since the look before this one than over the whole window, where that is so much that
/// something was mended in between. They are few, so that nothing is kept of the others.
fn faster(activity: &StatementActivity, minute: Option<&StatementMinute>) -> BTreeMap<(String, String), f64> {
    let points = minute.into_iter().flat_map(|minute| &minute.points);
    let often = points.filter(|point| point.counts.calls >= limits::FASTER_CALLS);
    let recent: HashMap<(&str, &str), f64> = often
        .map(|point| {
            let mean = point.counts.microseconds as f64 / 1e6 / point.counts.calls as f64;
            ((&*point.database, point.text.statement_id.as_str()), mean)
        })
        .collect();
    let times = |statement: &StatementDelta| {
        let key = (statement.database.as_str(), statement.text.statement_id.as_str());
        // what takes less than a microsecond is told as that
        let times = statement.mean_seconds() / recent.get(&key)?.max(1e-6);
        (times > limits::FASTER_TIMES).then(|| ((key.0.to_owned(), key.1.to_owned()), times))
    };
    match recent.is_empty() {
        true => BTreeMap::new(),
        false => activity.statements.iter().filter_map(times).collect(),
    }
}

/// Brings the entries of all roles together by database and statement.
fn activity(
    snapshot: &Snapshot,
    statements: &Statements,
    deltas: impl Iterator<Item = Delta>,
    window: Window,
    evictions: i64,
) -> StatementActivity {
    let watched: HashMap<u32, &str> = watched(snapshot)
        .map(|database| (database.oid, database.name.as_str()))
        .collect();
    let mut activity = StatementActivity {
        schema: statements.schema.clone(),
        window: Some(window),
        evictions,
        ..StatementActivity::default()
    };
    let no_text = Arc::new(StatementText {
        statement_id: String::new(),
        text: String::new(),
        kind: StatementKind::Query,
        only_sleeps: false,
    });
    let mut together: HashMap<(u32, &str), StatementDelta> = HashMap::new();
    for delta in deltas.filter(|delta| delta.counters.calls > 0) {
        let key = delta.counters.key;
        let text = statements.texts.get(&key.queryid);
        let earlier = long_calls::before(&delta, window.seconds());
        let earlier_seconds: f64 = earlier.map(|earlier| earlier.session_seconds()).sum();
        if !text.is_some_and(|text| text.only_sleeps) {
            activity.total_seconds += delta.counters.execution_ms / 1000.0;
            activity.earlier_seconds += earlier_seconds;
        }
        let Some(database) = watched.get(&key.database_oid) else {
            continue;
        };
        let Some(text) = text else {
            let mut entry = empty(database, &no_text, key.queryid);
            add(&mut entry, &delta, &snapshot.server.roles);
            entry.earlier_seconds += earlier_seconds;
            activity.without_text.push(entry);
            continue;
        };
        if text.kind == StatementKind::Utility && activity.utility.len() < limits::UTILITY_STATEMENTS {
            let key = ((*database).to_owned(), text.statement_id.clone());
            activity.utility.entry(key).or_insert_with(|| text.clone());
        }
        if matches!(text.kind, StatementKind::Utility | StatementKind::Own) {
            continue;
        }
        let entry = together
            .entry((key.database_oid, text.statement_id.as_str()))
            .or_insert_with(|| empty(database, text, key.queryid));
        add(entry, &delta, &snapshot.server.roles);
        entry.earlier_seconds += earlier_seconds;
    }
    activity.statements = together.into_values().collect();
    activity.statements.sort_by(|a, b| {
        b.seconds
            .total_cmp(&a.seconds)
            .then_with(|| a.text.statement_id.cmp(&b.text.statement_id))
    });
    activity
}

/// Adds what of each statement's seconds was counted after a look.
fn add_seen(
    activity: &mut StatementActivity,
    first: &StatementLook,
    snapshot: &Snapshot,
    statements: &Statements,
) {
    let watched: HashMap<u32, &str> = watched(snapshot)
        .map(|database| (database.oid, database.name.as_str()))
        .collect();
    let mut seen: HashMap<(&str, &str), f64> = HashMap::new();
    for delta in first.until(statements).filter(|delta| delta.counters.calls > 0) {
        let key = delta.counters.key;
        let text = statements.texts.get(&key.queryid);
        if let (Some(database), Some(text)) = (watched.get(&key.database_oid), text) {
            let seconds = seen.entry((*database, text.statement_id.as_str())).or_default();
            *seconds += delta.counters.execution_ms / 1000.0;
        }
    }
    for statement in &mut activity.statements {
        let key = (statement.database.as_str(), statement.text.statement_id.as_str());
        let seconds = seen.get(&key).copied();
        statement.seen_seconds = seconds.unwrap_or(0.0);
    }
}

fn empty(database: &str, text: &Arc<StatementText>, queryid: i64) -> StatementDelta {
    StatementDelta {
        database: database.to_owned(),
        text: text.clone(),
        queryid,
        roles: Vec::new(),
        calls: 0,
        seconds: 0.0,
        earlier_seconds: 0.0,
        seen_seconds: 0.0,
        stddev_seconds: 0.0,
        max_seconds: None,
        planning_seconds: 0.0,
        rows: 0,
        shared_blocks_hit: 0,
        shared_blocks_read: 0,
        temp_blocks_written: 0,
    }
}

fn add(entry: &mut StatementDelta, delta: &Delta, roles: &HashMap<u32, String>) {
    let longest_seconds = delta.longest_ms.map(|longest| longest / 1000.0);
    let delta = &delta.counters;
    let seconds = delta.execution_ms / 1000.0;
    let before = Times::of(entry.calls, entry.seconds, entry.stddev_seconds);
    let both = before.with(Times::of(delta.calls, seconds, delta.stddev_ms / 1000.0));
    entry.calls += delta.calls;
    entry.seconds += seconds;
    entry.stddev_seconds = both.deviation();
    entry.max_seconds = match (entry.max_seconds, longest_seconds) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
    entry.planning_seconds += delta.planning_ms / 1000.0;
    entry.rows += delta.rows;
    entry.shared_blocks_hit += delta.shared_blocks_hit;
    entry.shared_blocks_read += delta.shared_blocks_read;
    entry.temp_blocks_written += delta.temp_blocks_written;
    if let Some(role) = roles.get(&delta.key.user_oid)
        && !entry.roles.contains(role)
    {
        entry.roles.push(role.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_database;
    use super::*;
    use crate::model::snapshot::{DatabaseFacts, StatementKey};
    use proptest::prelude::*;

    fn time(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + 60 * minutes, 0).unwrap()
    }

    fn snapshot(minute: i64, reset: Option<i64>, entries: &[(i64, i64)]) -> Snapshot {
        let counters = |(queryid, calls): &(i64, i64)| StatementCounters {
            key: StatementKey {
                user_oid: 10,
                database_oid: 5,
                queryid: *queryid,
            },
            calls: *calls,
            execution_ms: *calls as f64 * 1000.0,
            stddev_ms: 0.0,
            max_ms: 0.0,
            planning_ms: 0.0,
            rows: *calls,
            shared_blocks_hit: 0,
            shared_blocks_read: 0,
            temp_blocks_written: 0,
            since: None,
        };
        let text = |id: i64| {
            (
                id,
                Arc::new(crate::sql::identify(&format!("SELECT {id} FROM t{id}"))),
            )
        };
        let database = DatabaseFacts {
            oid: 5,
            name: "d".into(),
            ..DatabaseFacts::default()
        };
        Snapshot {
            statements: Some(Statements {
                schema: "public".into(),
                reset_at: reset.map(time),
                evictions: 0,
                entries: Arc::new(entries.iter().map(counters).collect()),
                texts: Arc::new((0..10).map(text).collect()),
            }),
            ..with_database(time(minute), database)
        }
    }

    fn calls(observer: &mut Observer, snapshot: &Snapshot) -> Option<(i64, f64)> {
        let activity = observer.observe(snapshot, false).statements.ok()?;
        let calls = activity.statements.iter().map(|statement| statement.calls).sum();
        Some((calls, activity.window.unwrap().seconds()))
    }

    #[test]
    fn a_long_call_is_load_of_the_time_in_which_it_was_executing() {
        let mut observer = Observer::default();
        observer.observe(&snapshot(0, Some(-9), &[(1, 50)]), false);
        let mut seen = snapshot(1, Some(-9), &[(1, 80)]);
        // a second statement was called once, for eight minutes
        let entries = Arc::make_mut(&mut seen.statements.as_mut().unwrap().entries);
        let mut long = entries[0];
        long.key.queryid = 2;
        (long.calls, long.execution_ms, long.max_ms) = (1, 480_000.0, 480_000.0);
        entries.push(long);
        observer.observe(&seen, false);
        assert_eq!(
            observer.load_sessions,
            Some(1.5),
            "a minute of it, and 30 seconds"
        );
        let earlier = EarlierLoad {
            sessions: 1.0,
            seconds: 420.0,
        };
        assert_eq!(observer.earlier_load, [earlier]);
        observer.observe(&snapshot(2, Some(-9), &[(1, 80)]), false);
        assert!(observer.earlier_load.is_empty());
    }

    #[test]
    fn one_look_without_a_known_reset_tells_nothing() {
        assert_eq!(
            calls(&mut Observer::default(), &snapshot(0, None, &[(1, 9)])),
            None
        );
        assert_eq!(
            calls(&mut Observer::default(), &snapshot(0, Some(-10), &[(1, 9)])),
            Some((9, 600.0))
        );
    }

    #[test]
    fn differences_from_five_minutes_on_and_resets_end_them() {
        let mut observer = Observer::default();
        calls(&mut observer, &snapshot(0, Some(-1000), &[(1, 100), (2, 5)]));
        let (three, window) = calls(&mut observer, &snapshot(6, Some(-1000), &[(1, 103), (2, 5)])).unwrap();
        assert_eq!((three, window), (3, 360.0));
        assert_eq!(
            calls(&mut observer, &snapshot(7, Some(6), &[(1, 2)])),
            Some((2, 60.0)),
            "after a reset"
        );
    }

    #[test]
    fn a_second_look_that_was_asked_for_ends_a_whole_window() {
        let mut observer = Observer {
            any_window: true,
            ..Observer::default()
        };
        let first = observer.observe(&snapshot(0, None, &[(1, 100)]), true).statements;
        assert!(first.unwrap_err().reason.starts_with("needs two looks"));
        let second = observer.observe(&snapshot(1, None, &[(1, 103)]), true).statements;
        let activity = second.unwrap();
        assert_eq!((activity.statements[0].calls, activity.still_filling), (3, None));
        assert_eq!(activity.window.unwrap().seconds(), 60.0);
    }

    #[test]
    fn the_window_keeps_its_length_and_says_while_it_fills() {
        let mut observer = Observer::default();
        for minute in 0..200 {
            let activity = observer
                .observe(&snapshot(minute, None, &[(1, 10 * minute)]), false)
                .statements;
            let Ok(activity) = activity else {
                assert!(minute < 5);
                continue;
            };
            let length = activity.window.unwrap().seconds() as i64 / 60;
            assert_eq!(activity.still_filling.is_some(), minute < 30, "{minute}");
            assert!(minute < 30 || (30..=40).contains(&length), "{minute}: {length}");
            assert_eq!(activity.statements[0].calls, 10 * length);
        }
        assert!(observer.looks.len() <= 9, "{}", observer.looks.len());
    }

    #[test]
    fn an_entry_without_a_text_matters_only_by_what_it_did() {
        let mut observer = Observer {
            any_window: true,
            ..Observer::default()
        };
        observer.observe(&snapshot(0, None, &[(1, 9), (2, 9)]), true);
        let mut later = snapshot(40, None, &[(1, 12), (2, 14)]);
        let texts = Arc::make_mut(&mut later.statements.as_mut().unwrap().texts);
        texts.remove(&2);
        let activity = observer.observe(&later, true).statements.unwrap();
        assert_eq!(activity.total_seconds, 8.0, "it counts in the total");
        let hidden: Vec<(i64, i64)> = activity
            .without_text
            .iter()
            .map(|entry| (entry.queryid, entry.calls))
            .collect();
        assert_eq!((hidden, activity.statements.len()), (vec![(2, 5)], 1));
        assert_eq!(activity.absence_is_no_proof(|entry| entry.calls > 5), None);
        let why = activity.absence_is_no_proof(|entry| entry.calls >= 5).unwrap();
        assert!(why.starts_with("the texts of 1 statement that"), "{why}");
        // in a database that nobody watches it could be told of by nobody
        later.watched.clear();
        let mut observer = Observer {
            any_window: true,
            ..Observer::default()
        };
        observer.observe(&snapshot(0, None, &[(1, 9), (2, 9)]), true);
        let elsewhere = observer.observe(&later, true).statements.unwrap();
        assert!(elsewhere.without_text.is_empty(), "{elsewhere:?}");
    }

    #[test]
    fn what_only_sleeps_is_seen_and_is_no_load() {
        let mut observer = Observer::default();
        let look = |minute: i64, calls: &[(i64, i64)]| {
            let mut seen = snapshot(minute, Some(-10), calls);
            let texts = Arc::make_mut(&mut seen.statements.as_mut().unwrap().texts);
            texts.insert(2, Arc::new(crate::sql::identify("SELECT pg_sleep($1)")));
            seen
        };
        let seen = look(0, &[(1, 9), (2, 40)]);
        let activity = observer.observe(&seen, false).statements.unwrap();
        assert_eq!((activity.total_seconds, activity.statements.len()), (9.0, 2));
        observer.observe(&look(1, &[(1, 39), (2, 100)]), false);
        assert_eq!(observer.load_sessions, Some(0.5), "30 seconds of a minute");
    }

    #[test]
    fn totals_tell_what_may_have_been_over_before_the_first_look() {
        let mut observer = Observer::default();
        let mut looked_since = |minute: i64, single_look: bool| {
            let seen = snapshot(minute, Some(-10), &[(1, 9 + minute)]);
            let activity = observer.observe(&seen, single_look).statements.unwrap();
            activity.looked_only_since
        };
        assert_eq!(looked_since(0, false), Some(time(0)));
        assert_eq!(looked_since(2, false), Some(time(0)), "still of the same totals");
        assert_eq!(looked_since(6, false), None, "it looked when this window began");
        let mut alone = Observer::default();
        let once = alone.observe(&snapshot(0, Some(-10), &[(1, 9)]), true).statements;
        assert_eq!(once.unwrap().looked_only_since, None, "no look follows");
    }

    #[test]
    fn what_was_counted_after_the_first_look_was_not_over_by_then() {
        // all was reset at minute 0, and looked at when so many seconds of execution were counted
        let unseen = |seconds: i64| {
            let mut observer = Observer::default();
            observer
                .observe(&snapshot(0, Some(0), &[(1, seconds)]), false)
                .statements
                .unwrap_err();
            let later = observer.observe(&snapshot(2, Some(0), &[(1, 100), (2, 7)]), false);
            let activity = later.statements.unwrap();
            let seen: Vec<f64> = activity.statements.iter().map(|one| one.seen_seconds).collect();
            let unseen = activity
                .statements
                .iter()
                .map(|one| activity.unseen_before([one]).is_some());
            (seen, unseen.collect::<Vec<bool>>())
        };
        assert_eq!(unseen(0), (vec![100.0, 7.0], vec![false, false]));
        assert_eq!(unseen(5), (vec![95.0, 7.0], vec![false, false]), "hardly any");
        assert_eq!(unseen(6), (vec![94.0, 7.0], vec![true, false]));
        assert_eq!(unseen(100), (vec![0.0, 7.0], vec![true, false]), "all of it");
    }

    #[test]
    fn what_calls_took_before_a_window_is_not_what_it_took() {
        let mut observer = Observer::default();
        // three calls of six minutes ended a moment after the reset
        let mut seen = snapshot(1, Some(0), &[(1, 3)]);
        let entries = Arc::make_mut(&mut seen.statements.as_mut().unwrap().entries);
        (entries[0].execution_ms, entries[0].max_ms) = (1_080_000.0, 360_000.0);
        let activity = observer.observe(&seen, false).statements.unwrap();
        assert_eq!(
            (activity.total_seconds, activity.earlier_seconds),
            (1080.0, 900.0)
        );
        let statement = &activity.statements[0];
        assert_eq!((statement.seconds, statement.seconds_within()), (1080.0, 180.0));
    }

    #[test]
    fn what_could_not_be_seen_is_not_new_when_it_can() {
        let mut observer = Observer::default();
        calls(&mut observer, &snapshot(0, None, &[(1, 9)]));
        let mut blind = snapshot(6, None, &[(1, 9)]);
        blind.gaps.push(crate::model::status::Gap {
            fact: "statements of other roles".into(),
            database: None,
            why: "no member of pg_read_all_stats".into(),
            remedy_sql: None,
            missing_privilege: None,
            rules: vec!["query.*".into()],
        });
        assert_eq!(calls(&mut observer, &blind), None);
        assert_eq!(
            calls(&mut observer, &snapshot(12, None, &[(1, 9), (2, 5000)])),
            None
        );
        let (delta, _) = calls(&mut observer, &snapshot(18, None, &[(1, 9), (2, 5001)])).unwrap();
        assert_eq!(delta, 1, "only what happened since it could be seen");
    }

    #[test]
    fn what_became_much_faster_since_the_last_look_is_known() {
        let faster = |recent_calls: i64, recent_ms: f64| {
            let mut observer = Observer::default();
            let look = |minute, calls: i64, execution_ms: f64| {
                let mut look = snapshot(minute, None, &[(1, calls)]);
                let entries = Arc::make_mut(&mut look.statements.as_mut().unwrap().entries);
                entries[0].execution_ms = execution_ms;
                look
            };
            observer.observe(&look(0, 1, 2400.0), false);
            observer.observe(&look(9, 16, 38_400.0), false);
            let last = look(10, 16 + recent_calls, 38_400.0 + recent_ms);
            let activity = observer.observe(&last, false).statements.unwrap();
            activity.became_faster_times(&activity.statements[0])
        };
        // 715 calls took 36.49 s in all, and the last 700 of them 0.49 s
        let times = faster(700, 490.0).unwrap();
        assert!((times - 36.49 / 715.0 / 0.0007).abs() < 0.01, "{times}");
        assert_eq!(faster(19, 13.3), None, "too few to tell");
        assert!(faster(20, 14.0).is_some());
        assert_eq!(faster(700, 7000.0), None, "six times");
    }

    #[test]
    fn since_when_a_rare_statement_is_faster_is_known() {
        let look = |minute, calls: i64, execution_ms: f64| {
            let mut look = snapshot(minute, None, &[(1, calls)]);
            let entries = Arc::make_mut(&mut look.statements.as_mut().unwrap().entries);
            entries[0].execution_ms = execution_ms;
            look
        };
        let lately = |of_late: &[(i64, i64, f64)]| {
            let mut observer = Observer::default();
            observer.observe(&look(0, 1, 0.0), false);
            // three calls of 20 s
            let mut last = observer.observe(&look(10, 4, 60_000.0), false);
            for (minute, calls, execution_ms) in of_late {
                last = observer.observe(&look(*minute, *calls, *execution_ms), false);
            }
            let activity = last.statements.unwrap();
            let lately = activity.lately_of(&activity.statements[0]).copied();
            lately.map(|lately| (lately.since, lately.calls, (lately.mean_seconds * 1e6).round()))
        };
        assert_eq!(lately(&[(15, 6, 60_006.0)]), Some((time(10), 2, 3_000.0)));
        let two_looks = [(15, 6, 60_006.0), (20, 7, 60_009.0)];
        assert_eq!(lately(&two_looks), Some((time(10), 3, 3_000.0)));
        assert_eq!(lately(&[]), None, "no call after those");
        assert_eq!(lately(&[(15, 4, 60_000.0)]), None, "no call after those");
        assert_eq!(lately(&[(15, 5, 70_000.0)]), None, "half of it is not mended");
        let again = [(15, 6, 60_006.0), (20, 7, 80_006.0)];
        assert_eq!(lately(&again), None, "the last one is slow again");
    }

    #[test]
    fn what_is_called_too_seldom_for_one_look_is_known_to_be_faster_by_several() {
        let last = |calls_a_look: i64, slow_again: f64| {
            let mut observer = Observer::default();
            let mut told = None;
            // 10 s a call, and from the tenth minute on 2 ms
            for minute in 0..=25 {
                let (slow, fast) = (minute.min(10), (minute - 10).max(0) * calls_a_look);
                let mut look = snapshot(minute, None, &[(1, 1 + slow + fast)]);
                let entries = Arc::make_mut(&mut look.statements.as_mut().unwrap().entries);
                let again = if minute == 25 { slow_again } else { 0.0 };
                entries[0].execution_ms = slow as f64 * 10_000.0 + fast as f64 * 2.0 + again;
                let activity = observer.observe(&look, false).statements;
                told = activity
                    .ok()
                    .map(|activity| activity.became_faster_times(&activity.statements[0]));
            }
            told.unwrap()
        };
        assert!(last(4, 0.0).is_some(), "four calls a look, and enough in five");
        assert_eq!(last(1, 0.0), None, "fifteen calls are too few");
        assert_eq!(last(4, 90_000.0), None, "it is slow again");
    }

    #[test]
    fn what_is_called_and_writes_no_temporary_files_any_more_is_known() {
        let last = |calls_after: i64, blocks_after: i64| {
            let mut observer = Observer::default();
            let look = |minute: i64, calls: i64, blocks: i64| {
                let mut look = snapshot(minute, None, &[(1, calls)]);
                let entries = Arc::make_mut(&mut look.statements.as_mut().unwrap().entries);
                entries[0].temp_blocks_written = blocks;
                look
            };
            observer.observe(&look(0, 1, 0), false);
            observer.observe(&look(10, 11, 10_000), false);
            let last = look(20, 11 + calls_after, 10_000 + blocks_after);
            let activity = observer.observe(&last, false).statements.unwrap();
            activity.spills_no_longer(&activity.statements[0])
        };
        // ten calls of the window wrote a thousand blocks each
        assert!(last(10, 0));
        assert!(!last(9, 0), "most calls of the window wrote some");
        assert!(!last(3, 0), "some values may need none, and others come again");
        assert!(!last(0, 0), "it was not called since");
        assert!(!last(10, 10_000), "it goes on");
        assert!(!last(20, 2_000), "two of twenty are enough to go on");
    }

    #[test]
    fn what_was_executed_for_the_first_time_while_a_window_began_is_counted() {
        let mut observer = Observer::default();
        calls(&mut observer, &snapshot(0, None, &[]));
        let mut later = snapshot(6, None, &[(1, 50), (2, 7)]);
        let entries = Arc::make_mut(&mut later.statements.as_mut().unwrap().entries);
        (entries[0].since, entries[1].since) = (Some(time(0)), Some(time(3)));
        assert_eq!(calls(&mut observer, &later).unwrap().0, 57);
    }

    /// What the server counts of calls that took so many milliseconds.
    fn count(entry: &mut StatementCounters, times: &[f64]) {
        let (calls, sum) = (times.len() as f64, times.iter().sum::<f64>());
        let squares: f64 = times.iter().map(|time| (time - sum / calls).powi(2)).sum();
        entry.calls = times.len() as i64;
        (entry.execution_ms, entry.stddev_ms) = (sum, (squares / calls).sqrt());
        entry.max_ms = times.iter().copied().fold(0.0, f64::max);
    }

    /// The deviation of some times in seconds, as it is defined.
    fn deviation(times: &[f64]) -> f64 {
        let mut entry = StatementCounters::default();
        count(&mut entry, times);
        entry.stddev_ms / 1000.0
    }

    /// What the calls of one role took before a window and within.
    type Calls<'a> = (&'a [f64], &'a [f64]);

    /// One statement of a window, by the calls of each role.
    fn window(of_roles: &[Calls<'_>]) -> StatementDelta {
        let mut observer = Observer::default();
        let look = |minute: i64, times: &dyn Fn(&Calls<'_>) -> Vec<f64>| {
            let mut seen = snapshot(minute, None, &vec![(1, 1); of_roles.len()]);
            let entries = Arc::make_mut(&mut seen.statements.as_mut().unwrap().entries);
            for (number, (entry, of_role)) in entries.iter_mut().zip(of_roles).enumerate() {
                entry.key.user_oid = 10 + number as u32;
                count(entry, &times(of_role));
            }
            seen
        };
        observer.observe(&look(0, &|(before, _)| before.to_vec()), false);
        let later = look(6, &|(before, within)| [*before, *within].concat());
        let mut activity = observer.observe(&later, false).statements.unwrap();
        activity.statements.remove(0)
    }

    #[test]
    fn the_spread_of_a_window_is_not_that_of_all_times() {
        let steady = [100.0; 200];
        let wild = [vec![100.0; 500], vec![60_000.0]].concat();
        let calm_again = window(&[(&wild[..], &steady[..])]);
        assert!(calm_again.stddev_seconds < 0.001, "{}", calm_again.stddev_seconds);
        assert_eq!(calm_again.max_seconds, None, "the longest call was before");
        let varying = [vec![100.0; 199], vec![5_000.0]].concat();
        for before in [&steady[..], &wild[..]] {
            let now = window(&[(before, &varying[..])]);
            assert!(
                (now.stddev_seconds - deviation(&varying)).abs() < 1e-6,
                "{}",
                now.stddev_seconds
            );
            let known = (before == steady).then_some(5.0);
            assert_eq!(now.max_seconds, known, "known where it is longer than all before");
            assert!(now.longest_seconds_at_least() > 1.0 && now.longest_seconds_at_least() <= 5.0);
        }
        let once = window(&[(&wild[..], &[7_000.0][..])]);
        assert_eq!(once.max_seconds.map(f64::round), Some(7.0));
        assert!(once.stddev_seconds < 1e-6, "{}", once.stddev_seconds);
    }

    #[test]
    fn calls_of_several_roles_deviate_together() {
        let (fast, slow) = ([10.0; 50], [900.0; 50]);
        let both = window(&[(&[5.0][..], &fast[..]), (&[5.0][..], &slow[..])]);
        let expected = deviation(&[fast, slow].concat());
        assert!(
            (both.stddev_seconds - expected).abs() < 1e-6,
            "{}",
            both.stddev_seconds
        );
        assert_eq!((both.calls, both.max_seconds), (100, Some(0.9)));
    }

    /// What the server counted for statements of ours, of which entry 7 is one and 1 is not.
    fn own_seconds(
        observer: &mut Observer,
        minute: i64,
        reset: Option<i64>,
        entries: &[(i64, i64)],
    ) -> Option<f64> {
        let mut seen = snapshot(minute, reset, entries);
        let texts = Arc::make_mut(&mut seen.statements.as_mut().unwrap().texts);
        texts.insert(
            7,
            Arc::new(crate::sql::identify("SELECT /* pgadvisor */ oid FROM pg_class")),
        );
        observer.observe(&seen, false);
        observer.own_seconds
    }

    #[test]
    fn what_the_server_counts_for_us_is_a_difference_that_outlives_evictions() {
        let mut observer = Observer::default();
        assert_eq!(
            own_seconds(&mut observer, 0, Some(-9), &[(1, 50), (7, 100)]),
            None,
            "a total is no difference"
        );
        let mut after = |minute, reset, entries: &[_]| own_seconds(&mut observer, minute, reset, entries);
        assert_eq!(after(1, Some(-9), &[(1, 90), (7, 103)]), Some(3.0));
        assert_eq!(
            after(2, Some(-9), &[(1, 99), (7, 103)]),
            Some(0.0),
            "known to be nothing"
        );
        // evicted, and come back since: all that it counts belongs to the time since the last look
        assert_eq!(after(3, Some(-9), &[(1, 99)]), Some(0.0));
        assert_eq!(after(4, Some(-9), &[(1, 99), (7, 2)]), Some(2.0));
        assert_eq!(
            after(5, Some(-9), &[(1, 99), (7, 1)]),
            Some(1.0),
            "come back within one look"
        );
        assert_eq!(
            after(6, Some(5), &[(7, 1)]),
            None,
            "over a reset nothing is comparable"
        );
        assert_eq!(after(7, Some(5), &[(7, 5)]), Some(4.0));
    }

    proptest! {
        /// What two looks tell of the calls between them is what these calls tell themselves.
        #[test]
        fn the_deviation_of_a_window_is_that_of_its_calls(
            before in prop::collection::vec(0.0f64..10_000.0, 1..40),
            within in prop::collection::vec(0.0f64..10_000.0, 1..40),
        ) {
            let told = window(&[(&before[..], &within[..])]).stddev_seconds;
            let expected = deviation(&within);
            prop_assert!((told - expected).abs() < 1e-4, "{told} and {expected}");
        }

        /// Whatever is evicted, comes back or runs backwards, no difference is negative or larger than the total.
        #[test]
        fn a_difference_is_never_more_than_was_counted(looks in prop::collection::vec(prop::collection::vec(0i64..50, 3), 2..20)) {
            let mut observer = Observer::default();
            for (position, counts) in looks.iter().enumerate() {
                let entries: Vec<(i64, i64)> =
                    counts.iter().enumerate().filter(|(_, calls)| **calls > 9).map(|(id, calls)| (id as i64, *calls)).collect();
                let total: i64 = entries.iter().map(|(_, calls)| calls).sum();
                if let Some((delta, _)) = calls(&mut observer, &snapshot(position as i64 * 6, None, &entries)) {
                    prop_assert!((0..=total).contains(&delta));
                }
            }
        }
    }
}
