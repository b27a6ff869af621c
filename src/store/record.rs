//! Records a judgement: what reconciliation says, written in one transaction together with its events.

use std::collections::HashSet;
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Transaction, named_params, params};

use super::Store;
use super::error::StoreError;
use super::events::append_event;
use super::findings_before::{forget, take_up};
use super::reconcile::{Known, Step, reconcile};
use super::row::{
    FINDING_COLUMNS, FINDING_TABLES, finding, fingerprint, from_json, micros, stored, time, to_json, word,
};
use crate::model::finding::{Claim, Event, EventKind, Finding, State, order_key};
use crate::model::id::Fingerprint;
use crate::model::judgement::{Judgement, RuleOutcome};

impl Store {
    /// Brings what is known of a server in line with a judgement of it; gives the events that this made, in order.
    pub fn record(
        &self,
        server: &str,
        now: DateTime<Utc>,
        judgement: &Judgement,
    ) -> Result<Vec<Event>, StoreError> {
        self.write(|tx| record(tx, server, now, judgement))
    }
}

pub(super) fn record(
    tx: &Transaction<'_>,
    server: &str,
    now: DateTime<Utc>,
    judgement: &Judgement,
) -> Result<Vec<Event>, StoreError> {
    let now = stored(now);
    let mut known = known(tx, server)?;
    name_objects(tx, &judgement.outcomes, &mut known)?;
    let mut events = Vec::new();
    for change in reconcile(&known, judgement, now) {
        let told = apply(tx, server, now, &change.fingerprint, &change.step)?;
        if let Some(Told { kind, comment }) = told {
            let comment = comment.as_deref();
            events.push(append_event(tx, &change.fingerprint, kind, now, None, comment)?);
        }
    }
    write_outcomes(tx, server, now, &judgement.outcomes)?;
    Ok(events)
}

/// What is stored of the problems of a server.
fn known(tx: &Transaction<'_>, server: &str) -> Result<Vec<Known>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT fingerprint, rule, database, severity, state, evidence_since, evidence_gone_since, last_seen_at,
             subject, clear_milliseconds
         FROM finding WHERE server = ?1",
    )?;
    let mut rows = statement.query([server])?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        let state: Option<String> = row.get(4)?;
        known.push(Known {
            fingerprint: fingerprint(row.get(0)?)?,
            rule: row.get(1)?,
            database: row.get(2)?,
            severity: word("severity", &row.get::<_, String>(3)?)?,
            state: state.map(|state| word("state", &state)).transpose()?,
            evidence_since: row.get::<_, Option<i64>>(5)?.map(time),
            evidence_gone_since: row.get::<_, Option<i64>>(6)?.map(time),
            last_seen_at: time(row.get(7)?),
            subject: from_json("subject", &row.get::<_, String>(8)?)?,
            clear: row.get::<_, Option<i64>>(9)?.map(TimeDelta::milliseconds),
            object: None,
        });
    }
    Ok(known)
}

/// Says what living findings are about, of rules that were judged with settings for some things: those go by it.
fn name_objects(
    tx: &Transaction<'_>,
    outcomes: &[RuleOutcome],
    known: &mut [Known],
) -> Result<(), StoreError> {
    let with_own = outcomes.iter().filter(|outcome| !outcome.own.is_empty());
    let rules: HashSet<&str> = with_own.map(|outcome| outcome.rule.as_str()).collect();
    let mut statement =
        tx.prepare_cached("SELECT json_extract(body, '$.object') FROM claim WHERE fingerprint = ?1")?;
    for row in known {
        let lives = matches!(
            row.state,
            Some(State::Open | State::Acknowledged | State::Snoozed)
        );
        if !lives || !rules.contains(row.rule.as_str()) {
            continue;
        }
        let object: Option<Option<String>> = statement
            .query_row([row.fingerprint.as_str()], |row| row.get(0))
            .optional()?;
        row.object = object
            .flatten()
            .map(|object| from_json("object", &object))
            .transpose()?;
    }
    Ok(())
}

/// What is told of a step.
struct Told {
    kind: EventKind,
    comment: Option<String>,
}

impl From<EventKind> for Told {
    fn from(kind: EventKind) -> Self {
        Self { kind, comment: None }
    }
}

/// Writes one step; gives the event that it means, if any.
fn apply(
    tx: &Transaction<'_>,
    server: &str,
    now: DateTime<Utc>,
    fingerprint: &Fingerprint,
    step: &Step<'_>,
) -> Result<Option<Told>, StoreError> {
    let at = micros(now);
    let mark = |sql: &str, value: Option<i64>| -> Result<Option<Told>, StoreError> {
        tx.prepare_cached(sql)?
            .execute(params![fingerprint.as_str(), value])?;
        Ok(None)
    };
    const SINCE: &str = "UPDATE finding SET evidence_since = ?2 WHERE fingerprint = ?1";
    const SEEN: &str = "UPDATE finding SET last_seen_at = ?2 WHERE fingerprint = ?1";
    match step {
        Step::Await(claim) => {
            insert(tx, server, at, fingerprint, claim)?;
            Ok(None)
        }
        Step::Open {
            claim,
            since,
            awaited,
        } => {
            if !awaited {
                insert(tx, server, at, fingerprint, claim)?;
            }
            refresh(tx, at, fingerprint, claim)?;
            mark(
                "UPDATE finding SET first_seen_at = ?2 WHERE fingerprint = ?1",
                Some(micros(*since)),
            )?;
            open(tx, now, fingerprint, claim, EventKind::Opened).map(Some)
        }
        Step::Refresh { claim, tell_severity } => {
            refresh(tx, at, fingerprint, claim)?;
            Ok(tell_severity.then_some(EventKind::SeverityChanged.into()))
        }
        Step::Reopen(claim) => {
            refresh(tx, at, fingerprint, claim)?;
            open(tx, now, fingerprint, claim, EventKind::Reopened).map(Some)
        }
        Step::Resolve(why) => {
            set_state(tx, fingerprint, State::Resolved, None, None)?;
            Ok(Some(Told {
                comment: why.map(str::to_owned),
                ..EventKind::Resolved.into()
            }))
        }
        Step::Forget => {
            tx.prepare_cached("DELETE FROM finding WHERE fingerprint = ?1")?
                .execute([fingerprint.as_str()])?;
            Ok(None)
        }
        Step::KeepWaiting(since) => {
            mark(SINCE, Some(micros(*since)))?;
            mark(SEEN, Some(at))
        }
        Step::ForgetReopening => {
            forget(tx, fingerprint)?;
            mark(SINCE, None)
        }
        Step::AwaitClear => mark(
            "UPDATE finding SET evidence_gone_since = ?2 WHERE fingerprint = ?1",
            Some(at),
        ),
    }
}

/// Puts a finding into the state that it has when it is seen: open, or what it was on the server whose place this one took.
fn open(
    tx: &Transaction<'_>,
    now: DateTime<Utc>,
    fingerprint: &Fingerprint,
    claim: &Claim,
    seen: EventKind,
) -> Result<Told, StoreError> {
    let Some(known) = take_up(tx, fingerprint, claim.severity, now)? else {
        set_state(tx, fingerprint, State::Open, None, None)?;
        return Ok(seen.into());
    };
    Ok(Told {
        kind: known.kind.unwrap_or(seen),
        comment: Some(known.comment),
    })
}

/// A row for a problem that is seen for the first time; not yet a finding, and without the claim's words until then.
fn insert(
    tx: &Transaction<'_>,
    server: &str,
    at: i64,
    fingerprint: &Fingerprint,
    claim: &Claim,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO finding (fingerprint, server, rule, database, severity, evidence_since, first_seen_at,
             last_seen_at, order_rank, order_cost, order_days, order_subject, subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6, 0, 0.0, 0.0, ?7, ?8)",
    )?
    .execute(params![
        fingerprint.as_str(),
        server,
        claim.rule,
        claim.database,
        claim.severity.word(),
        at,
        claim.subject_key(),
        to_json("subject", &claim.subject)?,
    ])?;
    Ok(())
}

/// The newest words and numbers of a problem that is seen now.
fn refresh(
    tx: &Transaction<'_>,
    at: i64,
    fingerprint: &Fingerprint,
    claim: &Claim,
) -> Result<(), StoreError> {
    let (rank, cost, days) = order_key(claim.severity, &claim.impact);
    let impact = claim.impact.known();
    tx.prepare_cached(
        "UPDATE finding SET severity = :severity, last_seen_at = max(last_seen_at, :now),
             evidence_gone_since = NULL, order_rank = :rank, order_cost = :cost, order_days = :days,
             db_seconds_per_day = :seconds, bytes = :bytes, days_left = :left, clear_milliseconds = :clear
         WHERE fingerprint = :fingerprint",
    )?
    .execute(named_params! {
        ":fingerprint": fingerprint.as_str(),
        ":now": at,
        ":severity": claim.severity.word(),
        ":rank": rank,
        ":cost": cost,
        ":days": days,
        ":seconds": impact.db_seconds_per_day,
        ":bytes": impact.bytes,
        ":left": impact.days_left,
        ":clear": claim.clear.map(|clear| clear.as_delta().num_milliseconds()),
    })?;
    tx.prepare_cached(
        "INSERT INTO claim (fingerprint, search, body) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET search = excluded.search, body = excluded.body WHERE body <> excluded.body",
    )?
    .execute(params![
        fingerprint.as_str(),
        search_text(claim),
        to_json("claim", claim)?
    ])?;
    Ok(())
}

/// What a search looks through, in small letters because SQLite knows only those of ASCII.
fn search_text(claim: &Claim) -> String {
    let mut text = format!(
        "{}\n{}\n{}",
        claim.title,
        claim.rule,
        claim.database.as_deref().unwrap_or_default()
    );
    if let Some(object) = &claim.object {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{}\n{}",
            object.qualified(),
            object.table.as_deref().unwrap_or_default()
        );
    }
    text.to_lowercase()
}

/// Puts a finding into a state. Who acknowledged it and until when it sleeps belong to the state, and what was being
/// waited for begins anew.
pub(super) fn set_state(
    tx: &Transaction<'_>,
    fingerprint: &Fingerprint,
    state: State,
    acknowledged_by: Option<&str>,
    snoozed_until: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE finding SET state = ?2, evidence_since = NULL, evidence_gone_since = NULL,
             acknowledged_by = CASE WHEN ?2 = 'open' THEN NULL ELSE coalesce(?3, acknowledged_by) END,
             snoozed_until = ?4
         WHERE fingerprint = ?1",
    )?
    .execute(params![
        fingerprint.as_str(),
        state.word(),
        acknowledged_by,
        snoozed_until.map(micros)
    ])?;
    Ok(())
}

/// The finding, if there is one; a problem that has not lasted long enough is none.
pub(super) fn read_finding(
    tx: &Transaction<'_>,
    fingerprint: &Fingerprint,
) -> Result<Option<Finding>, StoreError> {
    let sql = format!(
        "SELECT {FINDING_COLUMNS} FROM {FINDING_TABLES} WHERE fingerprint = ?1 AND state IS NOT NULL"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query([fingerprint.as_str()])?;
    rows.next()?.map(finding).transpose()
}

fn write_outcomes(
    tx: &Transaction<'_>,
    server: &str,
    now: DateTime<Utc>,
    outcomes: &[RuleOutcome],
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO rule_outcome (server, rule, database, at, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET at = excluded.at, body = excluded.body",
    )?;
    for outcome in outcomes {
        let database = outcome.database.as_deref().unwrap_or_default();
        let body = to_json("rule outcome", outcome)?;
        statement.execute(params![server, outcome.rule, database, micros(now), body])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement, skipped};
    use super::*;
    use crate::model::finding::Severity;
    use crate::model::judgement::OwnOutcome;
    use crate::model::selector::Selector;
    use crate::model::unit::Period;
    use proptest::prelude::*;

    fn kinds(events: &[Event]) -> Vec<EventKind> {
        events.iter().map(|event| event.kind).collect()
    }

    #[test]
    fn settings_for_some_things_that_cannot_tell_hold_back_those_things_alone() {
        let store = Store::in_memory().unwrap();
        let mut outcome = evaluated("a.rule", Some("db"));
        let claims = ["audit", "shop"].map(|table| claim("a.rule", Some("db"), table));
        let seen = judgement(claims.clone(), [outcome.clone()]);
        assert_eq!(store.record("main", at(0), &seen).unwrap().len(), 2);
        outcome.own = vec![OwnOutcome {
            selector: Selector {
                object: "public.audit".to_owned(),
                ..Selector::default()
            },
            verdict: skipped("a.rule", Some("db")).verdict,
        }];
        let gone = judgement([], [outcome.clone()]);
        let events = store.record("main", at(1), &gone).unwrap();
        assert_eq!(kinds(&events), [EventKind::Resolved]);
        assert_eq!(events[0].finding.fingerprint, claims[1].fingerprint());
        let read_back = store.rule_outcomes().unwrap();
        assert_eq!(
            read_back,
            [("main".to_owned(), outcome)],
            "why is kept for the pages"
        );
    }

    #[test]
    fn a_finding_lives_dies_and_comes_back() {
        let store = Store::in_memory().unwrap();
        let mut claim = claim("a.rule", Some("db"), "t");
        let fingerprint = claim.fingerprint();
        let mut outcome = evaluated("a.rule", Some("db"));
        (outcome.hold, outcome.clear) = (Period::seconds(60), Period::seconds(60));
        let gone = judgement([], [outcome.clone()]);
        let seen = |claim: &Claim| judgement([claim.clone()], [outcome.clone()]);
        let record =
            |second: i64, judgement: &Judgement| store.record("main", at(second), judgement).unwrap();

        assert!(record(0, &seen(&claim)).is_empty());
        assert_eq!(store.finding(&fingerprint).unwrap(), None);
        assert_eq!(kinds(&record(60, &seen(&claim))), [EventKind::Opened]);
        claim.severity = Severity::Critical;
        let changed = record(70, &seen(&claim));
        assert_eq!(kinds(&changed), [EventKind::SeverityChanged]);
        assert_eq!(changed[0].finding.claim, claim);
        assert!(record(80, &gone).is_empty());
        assert!(record(90, &seen(&claim)).is_empty());
        assert!(record(100, &gone).is_empty());
        assert_eq!(kinds(&record(160, &gone)), [EventKind::Resolved]);
        assert!(record(170, &seen(&claim)).is_empty());
        assert_eq!(kinds(&record(230, &seen(&claim))), [EventKind::Reopened]);

        let finding = store.finding(&fingerprint).unwrap().unwrap();
        assert_eq!((finding.first_seen_at, finding.last_seen_at), (at(0), at(230)));
        assert_eq!(finding.links.api, Some(format!("/api/v1/findings/{fingerprint}")));
        assert_eq!(finding.claim, claim);
        let history = store.history(&fingerprint).unwrap();
        assert_eq!(
            history.iter().map(|event| event.sequence).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert_eq!(store.events_after(2, 1).unwrap(), history[2..3]);
        assert_eq!(store.events_since(at(70), 10).unwrap().len(), 3);
        assert_eq!(store.rule_firings().unwrap(), [("a.rule".to_owned(), 1)]);
        assert_eq!(
            store.rule_outcomes().unwrap(),
            [("main".to_owned(), outcome.clone())]
        );
    }

    #[test]
    fn what_has_a_clear_of_its_own_resolves_after_that() {
        let store = Store::in_memory().unwrap();
        let mut outcome = evaluated("a.rule", Some("db"));
        outcome.clear = Period::seconds(60);
        let (usual, mut own) = (
            claim("a.rule", Some("db"), "t"),
            claim("a.rule", Some("db"), "own"),
        );
        own.clear = Some(Period::seconds(5));
        let record = |second: i64, claims: Vec<Claim>| {
            let events = store.record("main", at(second), &judgement(claims, [outcome.clone()]));
            let events = events.unwrap().into_iter();
            events.map(|event| event.finding.fingerprint).collect::<Vec<_>>()
        };
        assert_eq!(record(0, vec![usual.clone(), own.clone()]).len(), 2);
        assert!(record(10, vec![]).is_empty());
        assert_eq!(record(15, vec![]), [own.fingerprint()]);
        assert_eq!(record(70, vec![]), [usual.fingerprint()]);
        // where nothing of its own is said any more, the rule's holds again
        own.clear = None;
        assert_eq!(record(80, vec![own.clone()]).len(), 1);
        record(90, vec![]);
        assert!(record(149, vec![]).is_empty());
        assert_eq!(record(150, vec![]), [own.fingerprint()]);
    }

    #[test]
    fn servers_do_not_resolve_each_others_findings() {
        let store = Store::in_memory().unwrap();
        let claim = claim("a.rule", None, "t");
        store
            .record(
                "main",
                at(0),
                &judgement([claim.clone()], [evaluated("a.rule", None)]),
            )
            .unwrap();
        assert!(
            store
                .record("other", at(1), &judgement([], [evaluated("a.rule", None)]))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn numbers_that_are_none_are_stored() {
        let store = Store::in_memory().unwrap();
        let mut claim = claim("a.rule", None, "t");
        claim.impact.db_seconds_per_day = Some(f64::NAN);
        claim.impact.bytes = Some(f64::INFINITY);
        let events = store
            .record("main", at(0), &judgement([claim], [evaluated("a.rule", None)]))
            .unwrap();
        assert_eq!(kinds(&events), [EventKind::Opened]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_two_openings_without_a_resolution_between(
            hold in 0_u64..4, clear in 0_u64..4,
            looks in proptest::collection::vec((0_i64..3, any::<bool>(), 0_u8..4, any::<bool>()), 1..40),
        ) {
            let store = Store::in_memory().unwrap();
            let mut claim = claim("a.rule", Some("db"), "t");
            let fingerprint = claim.fingerprint();
            let mut second = 0;
            let mut open = false;
            let mut opened_once = false;
            for (step, seen, judged, worse) in looks {
                second += step;
                claim.severity = if worse { Severity::Critical } else { Severity::Info };
                let mut outcome = match judged {
                    0 => skipped("a.rule", Some("db")),
                    1 => evaluated("a.rule", Some("another")),
                    _ => evaluated("a.rule", Some("db")),
                };
                (outcome.hold, outcome.clear) = (Period::seconds(hold), Period::seconds(clear));
                let seen = seen && judged > 1;
                let events = store
                    .record("main", at(second), &judgement(seen.then(|| claim.clone()), [outcome]))
                    .unwrap();
                prop_assert!(events.len() <= 1);
                for event in events {
                    match event.kind {
                        EventKind::Opened => prop_assert!(seen && !open && !opened_once),
                        EventKind::Reopened => prop_assert!(seen && !open && opened_once),
                        EventKind::Resolved => prop_assert!(!seen && open && judged > 1),
                        EventKind::SeverityChanged => prop_assert!(seen && open),
                        other => prop_assert!(false, "{other:?}"),
                    }
                    opened_once = true;
                    open = event.kind != EventKind::Resolved;
                }
                let state = store.finding(&fingerprint).unwrap().map(|finding| finding.state);
                prop_assert_eq!(state == Some(State::Open), open);
                prop_assert_eq!(state.is_some(), opened_once);
            }
            let ids: std::collections::HashSet<_> =
                store.history(&fingerprint).unwrap().into_iter().map(|event| event.event_id).collect();
            prop_assert_eq!(ids.len(), store.history(&fingerprint).unwrap().len());
        }
    }
}
