//! What people ask for: handed in by any process, carried out by the one that writes.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Row, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::events::append_event;
use super::findings::count;
use super::record::{read_finding, set_state};
use super::row::{fingerprint, micros, stored, time, word};
use crate::limits;
use crate::model::finding::{Action, Event, EventKind, Finding, State};
use crate::model::id::Fingerprint;

/// How many commands are carried out in one transaction.
const CHUNK: usize = 200;
/// How long a finding sleeps where nobody said.
const SNOOZE: TimeDelta = TimeDelta::days(1);

/// What a person asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCommand {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// What to do with it.
    pub action: Action,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub comment: Option<String>,
    /// Of a snooze: until when; a day from when it is carried out if nobody says.
    pub until: Option<DateTime<Utc>>,
    /// When it was asked.
    pub submitted_at: DateTime<Utc>,
}

impl Store {
    /// Hands in a command; gives the number under which its outcome can be asked. Any process may do this.
    pub fn submit_command(&self, command: &NewCommand) -> Result<i64, StoreError> {
        let characters = command
            .comment
            .as_ref()
            .map_or(0, |comment| comment.chars().count());
        if characters > limits::COMMENT_CHARACTERS {
            return Err(StoreError::LongComment { characters });
        }
        self.write_shared(|tx| {
            tx.prepare_cached(
                "INSERT INTO command (fingerprint, action, actor, comment, until, submitted_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                command.fingerprint.as_str(),
                command.action.word(),
                command.actor,
                command.comment,
                command.until.map(micros),
                micros(command.submitted_at),
            ])?;
            Ok(tx.last_insert_rowid())
        })
    }

    /// Carries out what was handed in, and wakes the findings whose sleep is over; gives the events that this made.
    pub fn apply_commands(&self, now: DateTime<Utc>) -> Result<Vec<Event>, StoreError> {
        if !self.is_writer() {
            return Err(StoreError::NotTheWriter);
        }
        let now = stored(now);
        let mut events = Vec::new();
        // Asked often and mostly in vain, so it first looks without the writer's connection.
        while self.read(|tx| is_anything_due(tx, now))? {
            events.extend(self.write(|tx| {
                let mut events = wake(tx, now)?;
                for (id, command) in pending(tx)? {
                    match carry_out(tx, &command, now)? {
                        Ok(event) => {
                            close(tx, id, now, None)?;
                            events.push(event);
                        }
                        Err(reason) => close(tx, id, now, Some(&reason))?,
                    }
                }
                Ok(events)
            })?);
        }
        Ok(events)
    }
}

/// From the columns fingerprint, action, actor, comment, until, submitted_at, after the number.
pub(super) fn command(row: &Row<'_>) -> Result<NewCommand, StoreError> {
    Ok(NewCommand {
        fingerprint: fingerprint(row.get(1)?)?,
        action: word("action", &row.get::<_, String>(2)?)?,
        actor: row.get(3)?,
        comment: row.get(4)?,
        until: row.get::<_, Option<i64>>(5)?.map(time),
        submitted_at: time(row.get(6)?),
    })
}

fn is_anything_due(tx: &Transaction<'_>, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM command WHERE applied_at IS NULL)
                   OR EXISTS (SELECT 1 FROM finding WHERE state = 'snoozed' AND snoozed_until <= ?1)";
    Ok(tx
        .prepare_cached(sql)?
        .query_row([micros(now)], |row| row.get(0))?)
}

/// Opens the findings whose sleep is over.
fn wake(tx: &Transaction<'_>, now: DateTime<Utc>) -> Result<Vec<Event>, StoreError> {
    let sql = "SELECT fingerprint FROM finding WHERE state = 'snoozed' AND snoozed_until <= ?1 ORDER BY snoozed_until";
    let sleepers: Vec<String> = tx
        .prepare_cached(sql)?
        .query_map([micros(now)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut events = Vec::new();
    for sleeper in sleepers {
        let fingerprint = fingerprint(sleeper)?;
        set_state(tx, &fingerprint, State::Open, None, None)?;
        events.push(append_event(
            tx,
            &fingerprint,
            EventKind::Reopened,
            now,
            None,
            None,
        )?);
    }
    Ok(events)
}

fn pending(tx: &Transaction<'_>) -> Result<Vec<(i64, NewCommand)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, fingerprint, action, actor, comment, until, submitted_at
         FROM command WHERE applied_at IS NULL ORDER BY id LIMIT ?1",
    )?;
    let mut rows = statement.query([count(CHUNK)])?;
    let mut commands = Vec::new();
    while let Some(row) = rows.next()? {
        commands.push((row.get(0)?, command(row)?));
    }
    Ok(commands)
}

fn close(tx: &Transaction<'_>, id: i64, now: DateTime<Utc>, refused: Option<&str>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE command SET applied_at = ?2, refused = ?3 WHERE id = ?1")?
        .execute(params![id, micros(now), refused])?;
    Ok(())
}

/// Carries out one command; or says why it does not fit.
fn carry_out(
    tx: &Transaction<'_>,
    command: &NewCommand,
    now: DateTime<Utc>,
) -> Result<Result<Event, String>, StoreError> {
    let Some(finding) = read_finding(tx, &command.fingerprint)? else {
        return Ok(Err(format!("there is no finding {}", command.fingerprint)));
    };
    let until = match command.action {
        Action::Snooze => Some(command.until.map_or(now + SNOOZE, stored)),
        _ => None,
    };
    if let Err(reason) = fits(&finding, command.action, until, now) {
        return Ok(Err(reason));
    }
    let (state, kind) = match command.action {
        Action::Acknowledge => (State::Acknowledged, EventKind::Acknowledged),
        Action::Snooze => (State::Snoozed, EventKind::Snoozed),
        Action::Resolve => (State::Resolved, EventKind::Resolved),
        Action::FalsePositive => (State::FalsePositive, EventKind::MarkedFalsePositive),
        Action::Reopen => (State::Open, EventKind::Reopened),
    };
    let acknowledged_by = (command.action == Action::Acknowledge).then_some(command.actor.as_str());
    set_state(tx, &finding.fingerprint, state, acknowledged_by, until)?;
    let comment = command.comment.as_deref();
    append_event(tx, &finding.fingerprint, kind, now, Some(&command.actor), comment).map(Ok)
}

/// Whether an action fits the state of a finding; if not, why, for the person who asked.
fn fits(
    finding: &Finding,
    action: Action,
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let fits = match (action, finding.state) {
        (Action::Acknowledge, State::Open | State::Snoozed)
        | (Action::Snooze | Action::Resolve, State::Open | State::Acknowledged | State::Snoozed) => true,
        (Action::Acknowledge | Action::Snooze | Action::Resolve, _) => false,
        (Action::FalsePositive, state) => state != State::FalsePositive,
        (Action::Reopen, state) => state != State::Open,
    };
    let is = match finding.state {
        State::Open => "open already",
        State::Acknowledged => "acknowledged already",
        State::Snoozed => "snoozed",
        State::Resolved if action == Action::Resolve => "resolved already",
        State::Resolved => "resolved: reopen it first",
        State::FalsePositive if action == Action::FalsePositive => "marked as a false positive already",
        State::FalsePositive => "marked as a false positive: reopen it first",
    };
    match until {
        _ if !fits => Err(format!("the finding is {is}")),
        Some(until) if until <= now => Err(format!("a snooze must end in the future, and {until} is over")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CommandOutcome;
    use super::super::testing::{at, claim, evaluated, judgement};
    use super::*;

    fn ask(store: &Store, action: Action, until: Option<DateTime<Utc>>) -> i64 {
        let fingerprint = claim("a.rule", None, "t").fingerprint();
        let comment = Some("because".to_owned());
        let command = NewCommand {
            fingerprint,
            action,
            actor: "ann".to_owned(),
            comment,
            until,
            submitted_at: at(0),
        };
        store.submit_command(&command).unwrap()
    }

    fn with_one_finding() -> Store {
        let store = Store::in_memory().unwrap();
        look(&store, 0);
        store
    }

    fn look(store: &Store, second: i64) -> Vec<EventKind> {
        let seen = judgement([claim("a.rule", None, "t")], [evaluated("a.rule", None)]);
        store
            .record("main", at(second), &seen)
            .unwrap()
            .iter()
            .map(|event| event.kind)
            .collect()
    }

    #[test]
    fn every_action_in_every_state() {
        use Action::{Acknowledge, FalsePositive, Reopen, Resolve, Snooze};
        let cases: [(Option<Action>, [bool; 5]); 5] = [
            // to: acknowledge, snooze, resolve, false positive, reopen
            (None, [true, true, true, true, false]),
            (Some(Acknowledge), [false, true, true, true, true]),
            (Some(Snooze), [true, true, true, true, true]),
            (Some(Resolve), [false, false, false, true, true]),
            (Some(FalsePositive), [false, false, false, false, true]),
        ];
        for (before, fit) in cases {
            for (action, fits) in [Acknowledge, Snooze, Resolve, FalsePositive, Reopen]
                .into_iter()
                .zip(fit)
            {
                let store = with_one_finding();
                if let Some(before) = before {
                    ask(&store, before, None);
                }
                let id = ask(&store, action, None);
                assert_eq!(store.command_outcome(id).unwrap(), None);
                let events = store.apply_commands(at(1)).unwrap();
                let outcome = store.command_outcome(id).unwrap().unwrap();
                assert_eq!(
                    outcome == CommandOutcome::Applied,
                    fits,
                    "{before:?} {action:?} {outcome:?}"
                );
                assert_eq!(events.len(), usize::from(before.is_some()) + usize::from(fits));
            }
        }
    }

    #[test]
    fn people_are_named() {
        let store = with_one_finding();
        ask(&store, Action::Acknowledge, None);
        ask(&store, Action::Acknowledge, None);
        let events = store.apply_commands(at(1)).unwrap();
        assert_eq!((events.len(), events[0].actor.as_deref()), (1, Some("ann")));
        assert_eq!(events[0].comment.as_deref(), Some("because"));
        assert_eq!(events[0].finding.acknowledged_by.as_deref(), Some("ann"));
        let audit = store.audit(10).unwrap();
        let refused = CommandOutcome::Refused("the finding is acknowledged already".to_owned());
        assert_eq!(audit[0].outcome, Some(refused));
        assert_eq!(audit[1].outcome, Some(CommandOutcome::Applied));
        assert!(store.apply_commands(at(2)).unwrap().is_empty());
    }

    #[test]
    fn what_sleeps_wakes() {
        let store = with_one_finding();
        ask(&store, Action::Snooze, Some(at(1)));
        assert!(store.apply_commands(at(1)).unwrap().is_empty());
        ask(&store, Action::Snooze, None);
        let events = store.apply_commands(at(2)).unwrap();
        assert_eq!(events[0].finding.snoozed_until, Some(at(2 + 86_400)));
        assert!(look(&store, 3).is_empty());
        assert!(store.apply_commands(at(86_401)).unwrap().is_empty());
        let events = store.apply_commands(at(86_402)).unwrap();
        assert_eq!((events[0].kind, &events[0].actor), (EventKind::Reopened, &None));
        assert_eq!(
            (events[0].finding.state, events[0].finding.snoozed_until),
            (State::Open, None)
        );
    }

    #[test]
    fn what_was_resolved_by_hand_comes_back_if_it_is_still_seen() {
        let store = with_one_finding();
        ask(&store, Action::Resolve, None);
        store.apply_commands(at(1)).unwrap();
        assert_eq!(look(&store, 2), [EventKind::Reopened]);
        ask(&store, Action::FalsePositive, None);
        assert!(store.rule_false_positives().unwrap().is_empty());
        store.apply_commands(at(3)).unwrap();
        assert_eq!(store.rule_false_positives().unwrap(), [("a.rule".to_owned(), 1)]);
        assert!(look(&store, 4).is_empty());
        let gone = judgement([], [evaluated("a.rule", None)]);
        assert!(store.record("main", at(5), &gone).unwrap().is_empty());
    }

    #[test]
    fn a_comment_has_an_end() {
        let store = with_one_finding();
        let mut command = NewCommand {
            fingerprint: claim("a.rule", None, "t").fingerprint(),
            action: Action::Acknowledge,
            actor: "ann".to_owned(),
            comment: Some("é".repeat(1001)),
            until: None,
            submitted_at: at(0),
        };
        let why = store.submit_command(&command).unwrap_err().to_string();
        assert_eq!(why, "the comment has 1001 characters: at most 1000 are kept");
        command.comment = Some("é".repeat(1000));
        assert!(store.submit_command(&command).is_ok());
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let store = Store::in_memory().unwrap();
        let id = ask(&store, Action::Resolve, None);
        assert!(store.apply_commands(at(1)).unwrap().is_empty());
        assert!(matches!(
            store.command_outcome(id).unwrap(),
            Some(CommandOutcome::Refused(_))
        ));
        assert_eq!(store.command_outcome(id + 1).unwrap(), None);
    }
}
