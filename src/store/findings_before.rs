//! What is known of the problems of a primary, for the standby that takes its place under another name of the configuration.
//! A fingerprint holds the server's name, so the problem is another finding there; but what people said of it, and since when it
//! is there, stays true. It waits like a problem that has not lasted long enough: what is seen on that server is taken up with
//! it, and what proves not to be there is forgotten, since much that is true of one server is not of another.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::events::append_event;
use super::record::set_state;
use super::row::{fingerprint, from_json, micros, time, word};
use crate::model::finding::{EventKind, Severity, State};
use crate::model::id::Fingerprint;

/// What was known of a problem on the server before.
struct FindingBefore {
    server: String,
    severity: Severity,
    state: State,
    acknowledged_by: Option<String>,
    snoozed_until: Option<DateTime<Utc>>,
    first_seen_at: DateTime<Utc>,
}

/// What is told of a problem for which that was taken up.
pub(super) struct TakenUp {
    /// None where it is what would be told anyway.
    pub(super) kind: Option<EventKind>,
    pub(super) comment: String,
}

impl Store {
    /// Hands what is known of the problems of a server, under all of its names, on to the one that took its place. What that one
    /// has for a problem already stays, unless people spoke last on the server before.
    ///
    /// # Errors
    /// If the store fails.
    pub fn hand_findings_on(&self, from: &[String], to: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(|tx| {
            for server in from {
                for (theirs, ours, before) in living(tx, server, to)? {
                    hand_on(tx, to, (&theirs, &ours), &before, now)?;
                }
            }
            Ok(())
        })
    }
}

/// The findings of a server that are not resolved: what they are known by there, and will be on another one.
fn living(
    tx: &Transaction<'_>,
    server: &str,
    to: &str,
) -> Result<Vec<(Fingerprint, Fingerprint, FindingBefore)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT rule, database, subject, fingerprint, severity, state, acknowledged_by, snoozed_until, first_seen_at
         FROM finding WHERE server = ?1 AND state <> 'resolved'",
    )?;
    let mut rows = statement.query([server])?;
    let mut living = Vec::new();
    while let Some(row) = rows.next()? {
        let (rule, database): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let subject: Vec<String> = from_json("subject", &row.get::<_, String>(2)?)?;
        let before = FindingBefore {
            server: server.to_owned(),
            severity: word("severity", &row.get::<_, String>(4)?)?,
            state: word("state", &row.get::<_, String>(5)?)?,
            acknowledged_by: row.get(6)?,
            snoozed_until: row.get::<_, Option<i64>>(7)?.map(time),
            first_seen_at: time(row.get(8)?),
        };
        let ours = Fingerprint::of(&rule, to, database.as_deref(), &subject);
        living.push((fingerprint(row.get(3)?)?, ours, before));
    }
    Ok(living)
}

fn hand_on(
    tx: &Transaction<'_>,
    to: &str,
    (theirs, ours): (&Fingerprint, &Fingerprint),
    before: &FindingBefore,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // it has lasted since it was first seen there, as far as it is seen here soon
    let awaits = tx
        .prepare_cached(
            "INSERT INTO finding (fingerprint, server, rule, database, severity, evidence_since, first_seen_at,
                 last_seen_at, order_rank, order_cost, order_days, order_subject, subject)
             SELECT ?2, ?3, rule, database, severity, first_seen_at, first_seen_at, last_seen_at, 0, 0.0, 0.0,
                 order_subject, subject FROM finding WHERE fingerprint = ?1
             ON CONFLICT DO UPDATE SET evidence_since = excluded.evidence_since,
                 last_seen_at = max(last_seen_at, excluded.last_seen_at)
             WHERE coalesce(state, 'resolved') = 'resolved'",
        )?
        .execute(params![theirs.as_str(), ours.as_str(), to])?;
    if awaits == 0 {
        if spoken_at(tx, theirs)? > spoken_at(tx, ours)? {
            let told = before.put(tx, ours, before.severity, now)?;
            let kind = told.kind.unwrap_or(EventKind::Reopened);
            append_event(tx, ours, kind, now, None, Some(&told.comment))?;
        }
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT OR REPLACE INTO finding_before
             (fingerprint, server_before, severity, state, acknowledged_by, snoozed_until, first_seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        ours.as_str(),
        before.server,
        before.severity.word(),
        before.state.word(),
        before.acknowledged_by,
        before.snoozed_until.map(micros),
        micros(before.first_seen_at),
    ])?;
    Ok(())
}

/// When a person last said something of a finding, as far as events are kept.
fn spoken_at(tx: &Transaction<'_>, fingerprint: &Fingerprint) -> Result<Option<i64>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT max(occurred_at) FROM event WHERE fingerprint = ?1 AND actor IS NOT NULL")?;
    Ok(statement.query_row([fingerprint.as_str()], |row| row.get(0))?)
}

/// Takes up what was known of a problem on the server before, once, where it is seen on this one.
pub(super) fn take_up(
    tx: &Transaction<'_>,
    fingerprint: &Fingerprint,
    severity: Severity,
    now: DateTime<Utc>,
) -> Result<Option<TakenUp>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT server_before, severity, state, acknowledged_by, snoozed_until, first_seen_at
         FROM finding_before WHERE fingerprint = ?1",
    )?;
    type Row = (String, String, String, Option<String>, Option<i64>, i64);
    let known: Option<Row> = statement
        .query_row([fingerprint.as_str()], |row| {
            let words = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((words.0, words.1, words.2, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((server, severity_before, state, acknowledged_by, until, first_seen_at)) = known else {
        return Ok(None);
    };
    forget(tx, fingerprint)?;
    let before = FindingBefore {
        server,
        severity: word("severity", &severity_before)?,
        state: word("state", &state)?,
        acknowledged_by,
        snoozed_until: until.map(time),
        first_seen_at: time(first_seen_at),
    };
    before.put(tx, fingerprint, severity, now).map(Some)
}

/// Forgets what was known of a problem on the server before: it is not there on this one.
pub(super) fn forget(tx: &Transaction<'_>, fingerprint: &Fingerprint) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM finding_before WHERE fingerprint = ?1")?
        .execute([fingerprint.as_str()])?;
    Ok(())
}

impl FindingBefore {
    /// Puts a finding of this severity into the state that was known before.
    fn put(
        &self,
        tx: &Transaction<'_>,
        fingerprint: &Fingerprint,
        severity: Severity,
        now: DateTime<Utc>,
    ) -> Result<TakenUp, StoreError> {
        let until = self.snoozed_until.filter(|until| *until > now);
        let (state, kind) = match self.state {
            State::Acknowledged if self.severity != severity => {
                (State::Acknowledged, Some(EventKind::SeverityChanged))
            }
            State::Acknowledged => (State::Acknowledged, Some(EventKind::Acknowledged)),
            State::Snoozed if until.is_some() => (State::Snoozed, Some(EventKind::Snoozed)),
            State::FalsePositive => (State::FalsePositive, Some(EventKind::MarkedFalsePositive)),
            State::Open | State::Snoozed | State::Resolved => (State::Open, None),
        };
        // open first: who acknowledged an earlier finding says nothing of this one
        set_state(tx, fingerprint, State::Open, None, None)?;
        set_state(tx, fingerprint, state, self.acknowledged_by.as_deref(), until)?;
        tx.prepare_cached(
            "UPDATE finding SET first_seen_at = min(first_seen_at, ?2) WHERE fingerprint = ?1",
        )?
        .execute(params![fingerprint.as_str(), micros(self.first_seen_at)])?;
        Ok(TakenUp {
            kind,
            comment: format!("known of server {}, whose place this one took", self.server),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement, skipped};
    use super::*;
    use crate::model::finding::{Action, Claim, Event};
    use crate::store::NewCommand;

    /// A problem of a table as a server has it.
    fn on(server: &str, table: &str) -> Claim {
        Claim {
            server: server.to_owned(),
            ..claim("a.rule", Some("db"), table)
        }
    }

    fn look(store: &Store, server: &str, second: i64, tables: &[&str]) -> Vec<Event> {
        let claims = tables.iter().map(|table| on(server, table));
        let seen = judgement(claims, [evaluated("a.rule", Some("db"))]);
        store.record(server, at(second), &seen).unwrap()
    }

    fn says(store: &Store, (server, table): (&str, &str), second: i64, action: Action) {
        let command = NewCommand {
            fingerprint: on(server, table).fingerprint(),
            action,
            actor: "ann".to_owned(),
            comment: None,
            until: None,
            submitted_at: at(second),
        };
        store.submit_command(&command).unwrap();
        assert_eq!(store.apply_commands(at(second)).unwrap().len(), 1);
    }

    fn hand_on(store: &Store, from: &str, to: &str, second: i64) {
        store
            .hand_findings_on(&[from.to_owned()], to, at(second))
            .unwrap();
    }

    const TABLES: [&str; 5] = ["acknowledged", "false", "gone", "open", "snoozed"];

    /// What people have said of a primary's problems; one of them is resolved.
    fn known() -> Store {
        let store = Store::in_memory().unwrap();
        look(&store, "a", 0, &TABLES);
        says(&store, ("a", "acknowledged"), 1, Action::Acknowledge);
        says(&store, ("a", "false"), 1, Action::FalsePositive);
        says(&store, ("a", "snoozed"), 1, Action::Snooze);
        look(&store, "a", 2, &["acknowledged", "false", "open", "snoozed"]);
        store
    }

    fn state_on(store: &Store, server: &str, table: &str) -> State {
        let fingerprint = on(server, table).fingerprint();
        store.finding(&fingerprint).unwrap().unwrap().state
    }

    fn kinds(events: &[Event]) -> Vec<EventKind> {
        events.iter().map(|event| event.kind).collect()
    }

    #[test]
    fn what_people_said_of_a_primarys_problems_is_known_of_the_server_that_takes_its_place() {
        use EventKind::{Acknowledged, MarkedFalsePositive, Opened, Reopened, Snoozed};
        let store = known();
        hand_on(&store, "a", "b", 3);
        let waits = judgement([], [skipped("a.rule", Some("db"))]);
        assert!(store.record("b", at(4), &waits).unwrap().is_empty());
        let all = store.findings(&Default::default()).unwrap();
        assert!(
            all.items.iter().all(|finding| finding.claim.server == "a"),
            "nothing is claimed before it is seen"
        );
        let events = look(&store, "b", 5, &TABLES);
        assert_eq!(
            kinds(&events),
            [Acknowledged, MarkedFalsePositive, Opened, Opened, Snoozed]
        );
        let of_before = Some("known of server a, whose place this one took");
        let [acknowledged, marked, gone, opened, snoozed] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(acknowledged.finding.acknowledged_by.as_deref(), Some("ann"));
        for one in [acknowledged, marked, opened, snoozed] {
            assert_eq!((one.actor.as_deref(), one.comment.as_deref()), (None, of_before));
            assert_eq!(one.finding.first_seen_at, at(0));
        }
        assert_eq!(
            store.rule_false_positives().unwrap(),
            [("a.rule".to_owned(), 1)],
            "said once"
        );
        assert_eq!(
            (gone.comment.as_deref(), gone.finding.first_seen_at),
            (None, at(5))
        );
        assert_eq!(snoozed.finding.snoozed_until, Some(at(1 + 86_400)));
        // from then on it is like any other
        assert_eq!(look(&store, "b", 6, &[]).len(), 4);
        assert_eq!(kinds(&look(&store, "b", 7, &TABLES)), [Reopened; 4]);
    }

    #[test]
    fn what_proves_not_to_be_there_is_news_when_it_comes() {
        let store = known();
        hand_on(&store, "a", "b", 3);
        assert!(look(&store, "b", 4, &[]).is_empty());
        let events = look(&store, "b", 5, &["acknowledged"]);
        assert_eq!(kinds(&events), [EventKind::Opened]);
        assert_eq!(
            (events[0].finding.state, events[0].finding.first_seen_at),
            (State::Open, at(5))
        );
        look(&store, "b", 6, &[]);
        // one that was resolved there before waits, too, and is forgotten
        hand_on(&store, "a", "b", 7);
        assert!(look(&store, "b", 8, &[]).is_empty());
        assert_eq!(
            kinds(&look(&store, "b", 9, &["acknowledged"])),
            [EventKind::Reopened]
        );
        assert_eq!(state_on(&store, "b", "acknowledged"), State::Open);
        look(&store, "b", 10, &[]);
        hand_on(&store, "a", "b", 11);
        assert_eq!(
            kinds(&look(&store, "b", 12, &["acknowledged"])),
            [EventKind::Acknowledged]
        );
    }

    #[test]
    fn people_are_told_that_what_was_acknowledged_is_worse_and_that_a_snooze_is_over() {
        let store = known();
        hand_on(&store, "a", "b", 3);
        let worse = Claim {
            severity: Severity::Critical,
            ..on("b", "acknowledged")
        };
        let seen = judgement([worse, on("b", "snoozed")], [evaluated("a.rule", Some("db"))]);
        let events = store.record("b", at(2 * 86_400), &seen).unwrap();
        assert_eq!(kinds(&events), [EventKind::SeverityChanged, EventKind::Opened]);
        let states = events.iter().map(|event| event.finding.state);
        assert_eq!(states.collect::<Vec<_>>(), [State::Acknowledged, State::Open]);
        assert_eq!(events[1].finding.snoozed_until, None);
    }

    #[test]
    fn who_spoke_last_counts_where_both_know_a_problem() {
        let store = known();
        look(&store, "b", 0, &["acknowledged", "false"]);
        hand_on(&store, "a", "b", 3);
        assert_eq!(state_on(&store, "b", "acknowledged"), State::Acknowledged);
        assert_eq!(state_on(&store, "b", "false"), State::FalsePositive);
        says(&store, ("b", "false"), 4, Action::Reopen);
        hand_on(&store, "a", "b", 5);
        assert_eq!(state_on(&store, "b", "false"), State::Open, "that was said later");
        hand_on(&store, "b", "a", 6);
        assert_eq!(state_on(&store, "a", "false"), State::Open);
        let of_a = store.history(&on("a", "false").fingerprint()).unwrap();
        assert_eq!(of_a.last().unwrap().kind, EventKind::Reopened);
        assert_eq!(
            state_on(&store, "a", "open"),
            State::Open,
            "of which nothing was said"
        );
    }
}
