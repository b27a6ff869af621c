//! Windows of pg_stat_statements. A window begins at an older look and ends now; a reset ends it. An entry that is new,
//! began again or ran backwards was put there inside the window, so all that it counts belongs to it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Observer;
use crate::limits;
use crate::model::finding::Window;
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::snapshot::{
    Snapshot, StatementCounters, StatementKey, StatementKind, StatementText, Statements,
};

/// One look, kept as the possible start of a window.
pub struct StatementLook {
    at: DateTime<Utc>,
    reset_at: Option<DateTime<Utc>>,
    evictions: i64,
    entries: HashMap<StatementKey, StatementCounters>,
}

impl StatementLook {
    fn of(at: DateTime<Utc>, statements: &Statements) -> Self {
        Self {
            at,
            reset_at: statements.reset_at,
            evictions: statements.evictions,
            entries: statements
                .entries
                .iter()
                .map(|entry| (entry.key, *entry))
                .collect(),
        }
    }

    /// What an entry did since this look.
    fn until(&self, now: &StatementCounters) -> StatementCounters {
        let Some(before) = self.entries.get(&now.key) else {
            return *now;
        };
        let began_again = now.since != before.since;
        let backwards =
            now.calls < before.calls || now.execution_ms < before.execution_ms || now.rows < before.rows;
        if began_again || backwards {
            return *now;
        }
        StatementCounters {
            calls: now.calls - before.calls,
            execution_ms: now.execution_ms - before.execution_ms,
            rows: now.rows - before.rows,
            shared_blocks_hit: (now.shared_blocks_hit - before.shared_blocks_hit).max(0),
            shared_blocks_read: (now.shared_blocks_read - before.shared_blocks_read).max(0),
            temp_blocks_written: (now.temp_blocks_written - before.temp_blocks_written).max(0),
            ..*now
        }
    }
}

impl Observer {
    /// The activity over the best window that there is, or why there is none.
    pub(super) fn observe_statements(&mut self, snapshot: &Snapshot) -> Result<StatementActivity, Unknown> {
        self.load_sessions = None;
        let Some(statements) = &snapshot.statements else {
            (self.older, self.newer, self.last) = (None, None, None);
            let gap = snapshot.gaps.iter().find(|gap| gap.fact == "pg_stat_statements");
            return Err(Unknown {
                reason: gap.map_or("pg_stat_statements could not be read".to_owned(), |gap| {
                    gap.why.clone()
                }),
                remedy_sql: gap.and_then(|gap| gap.remedy_sql.clone()),
            });
        };
        if let Some(gap) = snapshot.gaps.iter().find(|gap| gap.fact == "statement texts") {
            // what has no text cannot be named, and what is not named must not count as gone
            return Err(Unknown {
                reason: gap.why.clone(),
                remedy_sql: gap.remedy_sql.clone(),
            });
        }
        let now = Arc::new(StatementLook::of(snapshot.at, statements));
        let was_reset = |look: &Arc<StatementLook>| look.reset_at != now.reset_at;
        if self.last.as_ref().is_some_and(was_reset) {
            (self.older, self.newer, self.last) = (None, None, None);
        }
        self.load_sessions = self
            .last
            .as_ref()
            .and_then(|last| load(last, statements, snapshot.at));
        self.last = Some(now.clone());
        let older = self.older.get_or_insert_with(|| now.clone()).clone();
        let newer = self.newer.get_or_insert_with(|| now.clone()).clone();
        let longest = TimeDelta::from_std(limits::STATEMENT_WINDOW).unwrap_or(TimeDelta::MAX);
        if snapshot.at - newer.at >= longest {
            self.older = Some(newer);
            self.newer = Some(now.clone());
        }
        let shortest = TimeDelta::from_std(limits::STATEMENT_WINDOW_MINIMUM).unwrap_or(TimeDelta::MAX);
        if snapshot.at - older.at >= shortest {
            let deltas = statements.entries.iter().map(|entry| older.until(entry));
            let window = Window {
                from: older.at,
                to: snapshot.at,
            };
            return Ok(activity(
                snapshot,
                statements,
                deltas,
                window,
                now.evictions - older.evictions,
            ));
        }
        let known = TimeDelta::from_std(limits::STATEMENT_TOTALS_MINIMUM).unwrap_or(TimeDelta::MAX);
        match statements
            .reset_at
            .filter(|reset_at| snapshot.at - *reset_at >= known)
        {
            // totals since a known reset are a window like any other
            Some(reset_at) => {
                let window = Window {
                    from: reset_at,
                    to: snapshot.at,
                };
                Ok(activity(
                    snapshot,
                    statements,
                    statements.entries.iter().copied(),
                    window,
                    now.evictions,
                ))
            }
            None => Err(Unknown::because(format!(
                "needs two looks at pg_stat_statements that are {} min apart",
                shortest.num_minutes()
            ))),
        }
    }
}

/// Average sessions executing since the last look.
fn load(last: &StatementLook, statements: &Statements, at: DateTime<Utc>) -> Option<f64> {
    let seconds = (at - last.at).num_milliseconds() as f64 / 1000.0;
    let busy: f64 = statements
        .entries
        .iter()
        .map(|entry| last.until(entry).execution_ms / 1000.0)
        .sum();
    (seconds > 0.0).then_some(busy / seconds)
}

/// Brings the entries of all roles together by database and statement.
fn activity(
    snapshot: &Snapshot,
    statements: &Statements,
    deltas: impl Iterator<Item = StatementCounters>,
    window: Window,
    evictions: i64,
) -> StatementActivity {
    let watched: HashMap<u32, &str> = snapshot
        .server
        .databases
        .iter()
        .filter(|database| snapshot.watched.contains(&database.name))
        .map(|database| (database.oid, database.name.as_str()))
        .collect();
    let mut activity = StatementActivity {
        schema: statements.schema.clone(),
        window: Some(window),
        evictions,
        ..StatementActivity::default()
    };
    let mut together: HashMap<(u32, &str), StatementDelta> = HashMap::new();
    for delta in deltas.filter(|delta| delta.calls > 0) {
        activity.total_seconds += delta.execution_ms / 1000.0;
        let Some(text) = statements.texts.get(&delta.key.queryid) else {
            activity.without_text += 1;
            continue;
        };
        let Some(database) = watched.get(&delta.key.database_oid) else {
            continue;
        };
        if matches!(text.kind, StatementKind::Utility | StatementKind::Own) {
            continue;
        }
        let entry = together
            .entry((delta.key.database_oid, text.statement_id.as_str()))
            .or_insert_with(|| empty(database, text, delta.key.queryid));
        add(entry, &delta, &snapshot.server.roles);
    }
    activity.statements = together.into_values().collect();
    activity.statements.sort_by(|a, b| {
        b.seconds
            .total_cmp(&a.seconds)
            .then_with(|| a.text.statement_id.cmp(&b.text.statement_id))
    });
    activity
}

fn empty(database: &str, text: &Arc<StatementText>, queryid: i64) -> StatementDelta {
    StatementDelta {
        database: database.to_owned(),
        text: text.clone(),
        queryid,
        roles: Vec::new(),
        calls: 0,
        seconds: 0.0,
        stddev_seconds: 0.0,
        rows: 0,
        shared_blocks_hit: 0,
        shared_blocks_read: 0,
        temp_blocks_written: 0,
    }
}

fn add(entry: &mut StatementDelta, delta: &StatementCounters, roles: &HashMap<u32, String>) {
    let seconds = delta.execution_ms / 1000.0;
    entry.calls += delta.calls;
    entry.seconds += seconds;
    entry.stddev_seconds = entry.stddev_seconds.max(delta.stddev_ms / 1000.0);
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
    use super::*;
    use crate::model::snapshot::{DatabaseFacts, ServerFacts};
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
        let server = ServerFacts {
            databases: vec![DatabaseFacts {
                oid: 5,
                name: "d".into(),
                ..DatabaseFacts::default()
            }],
            ..ServerFacts::default()
        };
        Snapshot {
            at: time(minute),
            taken_at: time(minute),
            server,
            watched: vec!["d".into()],
            statements: Some(Statements {
                schema: "public".into(),
                reset_at: reset.map(time),
                evictions: 0,
                entries: entries.iter().map(counters).collect(),
                texts: (0..10).map(text).collect(),
            }),
            databases: vec![],
            gaps: vec![],
        }
    }

    fn calls(observer: &mut Observer, snapshot: &Snapshot) -> Option<(i64, f64)> {
        let activity = observer.observe(snapshot, false).statements.ok()?;
        let calls = activity.statements.iter().map(|statement| statement.calls).sum();
        Some((calls, activity.window.unwrap().seconds()))
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

    proptest! {
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
