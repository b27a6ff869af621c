//! What sessions do just now. Constants in their statements are taken out here, before anything else sees them; of their
//! comments nothing is kept but that a statement is to be left alone, by which rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Notes;
use crate::limits;
use crate::model::selector::comments_to_ignore;
use crate::model::session::{AwaitedLock, HeldLock, PreparedTransaction, Session};
use crate::model::snapshot::StatementText;
use crate::postgres::{Observe, PostgresError, column, column_or_default, queries};
use crate::sql;

/// Reads all sessions and, where somebody waits, the locks that are waited for; of some that have idled in a transaction since
/// this time of the server or longer those that they hold. `rules` are those that a comment may name.
///
/// # Errors
/// Only if the session is lost; everything else is a gap.
pub async fn look(
    home: &Observe,
    idle_since: DateTime<Utc>,
    version_num: i32,
    rules: &[&str],
    notes: &mut Notes,
) -> Result<Option<Vec<Session>>, PostgresError> {
    let started = Instant::now();
    let read = match read(home, version_num, rules, true).await {
        // one text in an encoding that ours does not know must not hide all sessions
        Err(error) if !error.is_fatal() => read(home, version_num, rules, false).await,
        read => read,
    };
    match read {
        Ok(mut sessions) => {
            let locks = held_locks(home, idle_since, version_num, &mut sessions).await;
            note(notes, started, sessions.len(), locks)?;
            Ok(Some(sessions))
        }
        Err(error) if error.is_fatal() => Err(error),
        Err(error) => {
            notes.look("sessions", None, started, 0, Some(error.one_line()));
            notes.gap("sessions", None, error.one_line(), None).rules = vec!["activity.*".to_owned()];
            Ok(None)
        }
    }
}

/// One line for sessions and for what some of them have locked: that is not asked at each look, and what failed once would be
/// told for ever.
fn note(
    notes: &mut Notes,
    started: Instant,
    sessions: usize,
    locks: Result<(), PostgresError>,
) -> Result<(), PostgresError> {
    let error = match locks {
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => Some(format!(
            "what those have locked that idle in a transaction: {}",
            error.one_line()
        )),
        Ok(()) => None,
    };
    notes.look("sessions", None, started, sessions, error);
    Ok(())
}

async fn read(
    home: &Observe,
    version_num: i32,
    rules: &[&str],
    with_texts: bool,
) -> Result<Vec<Session>, PostgresError> {
    let limit = limits::SESSIONS_PER_LOOK as i64;
    let waiters = limits::WAITERS_PER_LOOK as i64;
    let query = queries::SESSIONS.on(version_num);
    let rows = home
        .rows(
            query,
            &[
                (&limit, Type::INT8),
                (&with_texts, Type::BOOL),
                (&waiters, Type::INT8),
            ],
        )
        .await?;
    // many sessions run the same few statements
    let mut known: HashMap<String, Statement> = HashMap::new();
    let mut sessions: Vec<Session> = rows.iter().map(|row| session(row, rules, &mut known)).collect();
    shorten(&mut sessions);
    if sessions.iter().any(|session| !session.blocked_by.is_empty()) {
        let query = queries::AWAITED_LOCKS.on(version_num);
        let locks = home.rows(query, &[(&limit, Type::INT8)]).await?;
        let mut awaited: HashMap<i32, AwaitedLock> = locks.iter().filter_map(awaited_lock).collect();
        for session in &mut sessions {
            session.awaited = awaited.remove(&session.pid);
        }
    }
    Ok(sessions)
}

/// Reads what those have locked that idle in a transaction longest. Where nobody does nothing is asked.
async fn held_locks(
    home: &Observe,
    idle_since: DateTime<Utc>,
    version_num: i32,
    sessions: &mut [Session],
) -> Result<(), PostgresError> {
    let pids = idling(sessions, idle_since);
    if pids.is_empty() {
        return Ok(());
    }
    let each = limits::HELD_LOCKS_PER_SESSION as i64;
    let query = queries::HELD_LOCKS.on(version_num);
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&pids, Type::INT4_ARRAY), (&each, Type::INT8)];
    let rows = home.rows(query, &parameters).await?;
    let mut held: HashMap<i32, Vec<HeldLock>> = pids.iter().map(|pid| (*pid, Vec::new())).collect();
    for row in &rows {
        let of_session = column(row, "pid").and_then(|pid: i32| held.get_mut(&pid));
        if let (Some(locks), Some(relation_oid)) = (of_session, column(row, "relation_oid")) {
            locks.push(HeldLock {
                mode: column_or_default(row, "mode"),
                relation_oid,
            });
        }
    }
    for session in sessions {
        session.held = held.remove(&session.pid);
    }
    Ok(())
}

/// Clients that have idled in a transaction since then or longer, the longest first.
fn idling(sessions: &[Session], idle_since: DateTime<Utc>) -> Vec<i32> {
    let idles = |session: &&Session| {
        let is_long = session.state_changed_at.is_some_and(|since| since <= idle_since);
        session.is_client() && session.is_idle_in_transaction() && is_long
    };
    let mut idling: Vec<&Session> = sessions.iter().filter(idles).collect();
    idling.sort_by_key(|session| (session.state_changed_at, session.pid));
    let longest = idling.iter().take(limits::HELD_LOCKS_SESSIONS);
    longest.map(|session| session.pid).collect()
}

/// In a queue everybody waits for everybody before: who waits for nobody is kept, and of the others the first.
fn shorten(sessions: &mut [Session]) {
    let waiting: HashSet<i32> = sessions
        .iter()
        .filter(|session| !session.blocked_by.is_empty())
        .map(|session| session.pid)
        .collect();
    for session in sessions {
        let (mut others, mut kept): (Vec<i32>, Vec<i32>) =
            session.blocked_by.iter().partition(|pid| waiting.contains(*pid));
        others.truncate(limits::BLOCKERS_PER_SESSION);
        kept.extend(others);
        session.blocked_by = kept;
    }
}

/// What is kept of a statement as it was sent.
#[derive(Clone)]
struct Statement {
    masked: Arc<StatementText>,
    command: String,
    has_leading_wildcard: bool,
}

impl Statement {
    fn of(text: &str, rules: &[&str]) -> Self {
        let mut masked = sql::masked(text);
        let comments = comments_to_ignore(&sql::comments(text), rules);
        if !comments.is_empty() {
            // its identity is that of the statement without them
            masked.text = format!("{} {comments}", masked.text).trim_start().to_owned();
        }
        Self {
            masked: Arc::new(masked),
            command: sql::command(text),
            has_leading_wildcard: sql::shape::has_leading_wildcard(text),
        }
    }
}

fn session(row: &Row, rules: &[&str], known: &mut HashMap<String, Statement>) -> Session {
    let text: Option<String> = column(row, "text").filter(|text: &String| !text.is_empty());
    let statement = text.map(|text| {
        let of_text = || Statement::of(&text, rules);
        known.entry(text.clone()).or_insert_with(of_text).clone()
    });
    Session {
        pid: column_or_default(row, "pid"),
        backend_type: column_or_default(row, "backend_type"),
        role: column(row, "role"),
        database: column(row, "database"),
        application: column_or_default(row, "application"),
        state: column(row, "state"),
        wait_event_type: column(row, "wait_event_type"),
        wait_event: column(row, "wait_event"),
        transaction_started_at: column(row, "transaction_started_at"),
        query_started_at: column(row, "query_started_at"),
        state_changed_at: column(row, "state_changed_at"),
        xmin_age: column(row, "xmin_age"),
        has_leading_wildcard: statement
            .as_ref()
            .is_some_and(|statement| statement.has_leading_wildcard),
        command: statement
            .as_ref()
            .map(|statement| statement.command.clone())
            .unwrap_or_default(),
        statement: statement.map(|statement| statement.masked),
        query_id: column(row, "query_id"),
        blocked_by: column_or_default(row, "blocked_by"),
        awaited: None,
        held: None,
    }
}

fn awaited_lock(row: &Row) -> Option<(i32, AwaitedLock)> {
    let lock = AwaitedLock {
        kind: column_or_default(row, "kind"),
        mode: column_or_default(row, "mode"),
        relation_oid: column(row, "relation_oid"),
        since: column(row, "since"),
    };
    Some((column(row, "pid")?, lock))
}

/// Transactions that are prepared; none where they may not be read.
///
/// # Errors
/// Only if the session is lost.
pub async fn prepared_transactions(
    home: &Observe,
    version_num: i32,
    notes: &mut Notes,
) -> Result<Option<Vec<PreparedTransaction>>, PostgresError> {
    let query = queries::PREPARED_TRANSACTIONS.on(version_num);
    let prepared = |row: &Row| {
        Some(PreparedTransaction {
            gid: column(row, "gid")?,
            owner: column(row, "owner"),
            database: column_or_default(row, "database"),
            prepared_at: column(row, "prepared_at")?,
            xid_age: column_or_default(row, "xid_age"),
        })
    };
    match home.rows(query, &[]).await {
        Ok(rows) => Ok(Some(rows.iter().filter_map(prepared).collect())),
        Err(error) if error.is_fatal() => Err(error),
        Err(error) => {
            notes
                .gap("prepared transactions", None, error.one_line(), None)
                .rules = vec!["activity.prepared_transaction".to_owned()];
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selector::is_ignored_by_comment;

    #[test]
    fn of_a_comment_only_stays_which_rules_are_to_leave_the_statement_alone() {
        let rules = ["activity.long_query", "activity.blocking"];
        let kept = |text: &str| Statement::of(text, &rules).masked;
        let plain = kept("SELECT * FROM t WHERE a = 'hunter2'");
        assert!(!is_ignored_by_comment(&plain.text, "activity.long_query"));
        for text in [
            "/* pgadvisor:ignore activity.long_query hunter2 */ SELECT * FROM t WHERE a = 'hunter2' -- hunter2",
            "SELECT /* hunter2 */ * FROM t WHERE a = 'hunter2' /*pgadvisor:ignore activity.long_*,hunter2*/",
        ] {
            let marked = kept(text);
            assert!(!marked.text.contains("hunter2"), "{}", marked.text);
            assert!(
                is_ignored_by_comment(&marked.text, "activity.long_query"),
                "{}",
                marked.text
            );
            assert!(!is_ignored_by_comment(&marked.text, "activity.blocking"));
            assert_eq!(marked.statement_id, plain.statement_id);
            assert_eq!(sql::outline(&marked.text), sql::outline(&plain.text));
        }
        // no query, and one that the server cut
        for text in [
            "VACUUM /* pgadvisor:ignore */ t",
            "/* pgadvisor:ignore */ SELECT 'hunter2",
        ] {
            let marked = kept(text);
            assert!(is_ignored_by_comment(&marked.text, "activity.blocking"), "{text}");
            assert!(!marked.text.contains("hunter2"), "{}", marked.text);
        }
        for text in [
            "INSERT INTO t VALUES ('/* pgadvisor:ignore */')",
            "INSERT INTO t VALUES ('/* pgadvisor:ignore */",
            "SELECT 1 /* pgadvisor:ignore",
            "SELECT 1 /* pgadvisor:ignore hunter2 */",
        ] {
            let text = &kept(text).text;
            assert!(!is_ignored_by_comment(text, "activity.long_query"), "{text}");
        }
    }

    #[test]
    fn only_a_few_that_idle_in_a_transaction_are_asked_what_they_hold() {
        let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let session = |pid: i32, state: &str, idle_milliseconds: i64| Session {
            pid,
            backend_type: "client backend".into(),
            state: Some(state.into()),
            state_changed_at: Some(at - chrono::TimeDelta::milliseconds(idle_milliseconds)),
            ..Session::default()
        };
        let mut sessions = vec![
            session(1, "idle in transaction", 59_999),
            session(2, "idle in transaction", 60_000),
            session(3, "idle in transaction (aborted)", 65_000),
            session(4, "active", 90_000),
            session(5, "idle", 90_000),
        ];
        let idle_since = at - chrono::TimeDelta::minutes(1);
        assert_eq!(idling(&sessions, idle_since), [3, 2]);
        sessions.extend((10..50).map(|pid| session(pid, "idle in transaction", 66_000)));
        assert_eq!(idling(&sessions, idle_since).len(), limits::HELD_LOCKS_SESSIONS);
        assert!(
            !idling(&sessions, idle_since).contains(&2),
            "those that idle longest"
        );
    }

    #[test]
    fn locks_that_could_not_be_read_are_a_failure_only_until_the_next_look() {
        let noted = |locks: Result<(), PostgresError>| {
            let mut notes = Notes {
                server: "main".into(),
                looks: Vec::new(),
                gaps: Vec::new(),
                spent: Default::default(),
                counted_seconds: 0.0,
            };
            note(&mut notes, Instant::now(), 7, locks).map(|()| notes.looks)
        };
        let refused = PostgresError::Unusable {
            target: "db/app".into(),
            what: "pg_locks",
        };
        let failed = noted(Err(refused)).unwrap();
        let read = noted(Ok(())).unwrap();
        assert_eq!((failed.len(), read.len()), (1, 1));
        assert!(
            failed[0]
                .error
                .as_ref()
                .is_some_and(|error| error.contains("pg_locks"))
        );
        assert_eq!((failed[0].rows, read[0].error.as_ref()), (7, None));
        // what is known of looks is the last one of each family and database
        assert_eq!(
            (&failed[0].family, &failed[0].database),
            (&read[0].family, &read[0].database)
        );
        let lost = PostgresError::Frozen {
            target: "db/app".into(),
            query: "held_locks",
            seconds: std::time::Duration::from_secs(5),
        };
        assert!(noted(Err(lost)).is_err());
    }

    #[test]
    fn in_a_queue_of_hundreds_each_keeps_who_holds_the_lock_and_some_of_those_before() {
        let session = |pid: i32, blocked_by: Vec<i32>| Session {
            pid,
            blocked_by,
            ..Session::default()
        };
        let mut queue = vec![session(1, vec![])];
        // whoever holds it is named last
        queue.extend((2..=400).map(|pid| session(pid, (1..pid).rev().collect())));
        shorten(&mut queue);
        for waiter in &queue[1..] {
            assert!(waiter.blocked_by.contains(&1));
            assert!(waiter.blocked_by.len() <= limits::BLOCKERS_PER_SESSION + 1);
        }
        assert_eq!(queue[1].blocked_by, [1]);
    }
}
