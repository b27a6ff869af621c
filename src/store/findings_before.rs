//! What is known of the problems of a primary, for the standby that takes its place under another name of the configuration.
//! A fingerprint holds the server's name, so the problem is another finding there; but what people said of it, and since when it
//! is there, stays true. It is taken up when the problem is seen on that server, not before: much that is true of one server is
//! not of another.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{from_json, micros, time, word};
use crate::model::finding::State;
use crate::model::id::Fingerprint;

/// For how long a problem may take to be seen on the other server. One that is seen later has come back: that is news.
const AWAITED: TimeDelta = TimeDelta::days(7);

/// What was known of a problem on the server before.
pub(super) struct FindingBefore {
    pub(super) server: String,
    pub(super) state: State,
    pub(super) acknowledged_by: Option<String>,
    pub(super) snoozed_until: Option<DateTime<Utc>>,
    pub(super) first_seen_at: DateTime<Utc>,
}

impl Store {
    /// Hands what is known of the problems of some servers, under all of their names, on to the one that took their place. What
    /// that one knows itself stays as it is.
    ///
    /// # Errors
    /// If the store fails.
    pub fn hand_findings_on(&self, from: &[String], to: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(|tx| {
            let mut insert = tx.prepare_cached(
                "INSERT OR REPLACE INTO finding_before
                     (fingerprint, server_before, state, acknowledged_by, snoozed_until, first_seen_at, handed_on_at)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (
                     SELECT 1 FROM finding WHERE fingerprint = ?1 AND coalesce(state, 'resolved') <> 'resolved')",
            )?;
            for server in from {
                for (fingerprint, before) in living(tx, server, to)? {
                    insert.execute(params![
                        fingerprint.as_str(),
                        before.server,
                        before.state.word(),
                        before.acknowledged_by,
                        before.snoozed_until.map(micros),
                        micros(before.first_seen_at),
                        micros(now),
                    ])?;
                }
            }
            Ok(())
        })
    }

    /// Forgets what was handed on long ago; gives the number of rows.
    pub(super) fn prune_findings_before(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        self.delete_in_chunks(
            "DELETE FROM finding_before WHERE fingerprint IN
                 (SELECT fingerprint FROM finding_before WHERE handed_on_at < ?1 LIMIT ?2)",
            micros(now - AWAITED),
        )
    }
}

/// The findings of a server that are not resolved, by what they will be known by on another one.
fn living(
    tx: &Transaction<'_>,
    server: &str,
    to: &str,
) -> Result<Vec<(Fingerprint, FindingBefore)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT rule, database, subject, state, acknowledged_by, snoozed_until, first_seen_at FROM finding
         WHERE server = ?1 AND state <> 'resolved'",
    )?;
    let mut rows = statement.query([server])?;
    let mut living = Vec::new();
    while let Some(row) = rows.next()? {
        let (rule, database): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let subject: Vec<String> = from_json("subject", &row.get::<_, String>(2)?)?;
        let before = FindingBefore {
            server: server.to_owned(),
            state: word("state", &row.get::<_, String>(3)?)?,
            acknowledged_by: row.get(4)?,
            snoozed_until: row.get::<_, Option<i64>>(5)?.map(time),
            first_seen_at: time(row.get(6)?),
        };
        living.push((Fingerprint::of(&rule, to, database.as_deref(), &subject), before));
    }
    Ok(living)
}

/// Takes up what was known of a problem on the server before, once.
pub(super) fn take_up(
    tx: &Transaction<'_>,
    fingerprint: &Fingerprint,
) -> Result<Option<FindingBefore>, StoreError> {
    let mut statement = tx.prepare_cached(
        "DELETE FROM finding_before WHERE fingerprint = ?1
         RETURNING server_before, state, acknowledged_by, snoozed_until, first_seen_at",
    )?;
    let mut rows = statement.query([fingerprint.as_str()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(FindingBefore {
        server: row.get(0)?,
        state: word("state", &row.get::<_, String>(1)?)?,
        acknowledged_by: row.get(2)?,
        snoozed_until: row.get::<_, Option<i64>>(3)?.map(time),
        first_seen_at: time(row.get(4)?),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement};
    use super::*;
    use crate::model::finding::{Action, Claim, Event, EventKind};
    use crate::model::unit::Period;
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

    fn says(store: &Store, second: i64, table: &str, action: Action) {
        let command = NewCommand {
            fingerprint: on("a", table).fingerprint(),
            action,
            actor: "ann".to_owned(),
            comment: None,
            until: None,
            submitted_at: at(second),
        };
        store.submit_command(&command).unwrap();
        store.apply_commands(at(second)).unwrap();
    }

    const TABLES: [&str; 5] = ["acknowledged", "false", "gone", "open", "snoozed"];

    /// What people have said of a primary's problems; one of them is resolved.
    fn known() -> Store {
        let store = Store::in_memory().unwrap();
        look(&store, "a", 0, &TABLES);
        says(&store, 1, "acknowledged", Action::Acknowledge);
        says(&store, 1, "false", Action::FalsePositive);
        says(&store, 1, "snoozed", Action::Snooze);
        look(&store, "a", 2, &["acknowledged", "false", "open", "snoozed"]);
        store
    }

    fn state_on(store: &Store, server: &str, table: &str) -> State {
        let fingerprint = on(server, table).fingerprint();
        store.finding(&fingerprint).unwrap().unwrap().state
    }

    #[test]
    fn what_people_said_of_a_primarys_problems_is_known_of_the_server_that_takes_its_place() {
        let store = known();
        store.hand_findings_on(&["a".to_owned()], "b", at(3)).unwrap();
        assert!(
            look(&store, "b", 4, &[]).is_empty(),
            "what is not seen there is no news"
        );
        let events = look(&store, "b", 5, &TABLES);
        let told: Vec<_> = events.iter().map(|event| event.kind).collect();
        assert_eq!(
            told,
            [
                EventKind::Acknowledged,
                EventKind::MarkedFalsePositive,
                EventKind::Opened,
                EventKind::Opened,
                EventKind::Snoozed
            ]
        );
        let of_before = Some("known of server a, whose place this one took");
        assert_eq!(
            (events[0].actor.as_deref(), events[0].comment.as_deref()),
            (Some("ann"), of_before)
        );
        assert_eq!(
            (events[1].actor.as_deref(), events[1].comment.as_deref()),
            (None, of_before)
        );
        assert_eq!(events[2].comment, None, "it was over before");
        let [acknowledged, _, gone, opened, snoozed] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(acknowledged.finding.acknowledged_by.as_deref(), Some("ann"));
        assert_eq!(snoozed.finding.snoozed_until, Some(at(1 + 86_400)));
        assert_eq!(
            (opened.finding.first_seen_at, gone.finding.first_seen_at),
            (at(0), at(5))
        );
        // what is said there from then on counts
        assert_eq!(look(&store, "b", 6, &[]).len(), 4);
        let again = look(&store, "b", 7, &TABLES);
        assert!(
            again.iter().all(|event| event.kind == EventKind::Reopened),
            "{again:?}"
        );
    }

    #[test]
    fn what_the_server_knows_itself_stays() {
        let store = known();
        look(&store, "b", 0, &["acknowledged"]);
        store.hand_findings_on(&["a".to_owned()], "b", at(3)).unwrap();
        assert!(look(&store, "b", 4, &["acknowledged"]).is_empty());
        assert_eq!(state_on(&store, "b", "acknowledged"), State::Open);
        look(&store, "b", 5, &[]);
        look(&store, "b", 6, &["acknowledged"]);
        assert_eq!(state_on(&store, "b", "acknowledged"), State::Open);
    }

    #[test]
    fn a_problem_that_comes_back_much_later_is_news() {
        let store = known();
        store.hand_findings_on(&["a".to_owned()], "b", at(3)).unwrap();
        let week = 7 * 86_400;
        let prune = |second: i64| store.prune(at(second), Period::days(90)).unwrap().findings;
        assert_eq!(prune(3 + week), 0);
        assert_eq!(prune(4 + week), 4);
        let events = look(&store, "b", 5 + week, &["acknowledged"]);
        assert_eq!(events[0].kind, EventKind::Opened);
    }
}
