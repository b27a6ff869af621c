//! vacuum.xmin_blocked

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::finding::{Claim, Evidence, Impact, Object, ObjectKind, Severity, Who};
use crate::model::observation::{DatabaseObservation, Observation, Unknown};
use crate::model::remedy::{Remedy, Statement, quote_literal};
use crate::model::session::Session;
use crate::model::snapshot::XminHolder;
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::activity::long_query::{is_maintenance, is_ours, is_patient, only_reads};
use crate::rules::activity::prepared_transaction;
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number};

/// Something holds old row versions back for so long that VACUUM leaves many dead rows where they are.
///
/// ## Why it is bad
/// A row version may go only when nobody can need it any more. One old snapshot, anywhere in the database, keeps every
/// row version that died since, in all of its tables: VACUUM runs again and again and removes nothing, tables and indexes
/// grow, scans pass over dead rows. Of a replication slot or a standby that is so for all databases. If it goes on,
/// transaction ids run out.
///
/// ## What to do
/// Look at the one that is named. A session: commit, roll back, cancel or terminate. A prepared transaction: commit it or
/// roll it back. A slot: its consumer first, dropping it last. A standby: a long query there, which
/// `hot_standby_feedback` reports here. Autovacuum then clears up by itself; what the tables have grown by stays.
///
/// ## When it is wrong to obey
/// A dump has to hold its snapshot until it is through: it is named and never more than a warning. Ending a session that
/// writes loses its work. Whether VACUUM has tried since is looked up; where it has not, some of these rows may simply be
/// waiting for it.
///
/// Of each database the oldest holder counts: with the younger ones gone nothing could be removed yet. Of those that are
/// equally old it is the one whose own transaction that is: the others have only seen it. Dead rows count in tables that
/// are above their own autovacuum threshold. Since when slots and standbys hold is estimated from how fast transaction ids
/// are used. What holds back catalogs alone, as logical slots do, is left out here. Source: PostgreSQL's chapter "Routine
/// Vacuuming".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct XminBlocked {
    /// How long row versions must have been held back for a warning.
    warning_age: Period,
    /// How long they must have been held back for it to be critical.
    critical_age: Period,
    /// Dead rows that this takes, in all tables of the databases that are held back.
    min_dead_rows: i64,
}

impl Default for XminBlocked {
    fn default() -> Self {
        Self {
            warning_age: Period::minutes(60),
            critical_age: Period::days(1),
            min_dead_rows: 1_000_000,
        }
    }
}

impl Rule for XminBlocked {
    const ID: &'static str = "vacuum.xmin_blocked";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let observation = place.observation;
        let holders = &observation.server.xmin_holders;
        // the databases that each holds back, by its place among them
        let mut held: BTreeMap<usize, Vec<&DatabaseObservation>> = BTreeMap::new();
        for database in &observation.databases {
            if let Some(oldest) = self.oldest(observation, database) {
                held.entry(oldest).or_default().push(database);
            }
        }
        let mut found = Found::default();
        for (place_of_holder, databases) in held {
            let holder = Holder::of(observation, &holders[place_of_holder]);
            let kept = Kept::of(&databases);
            self.judge_holder(place, &holder, &kept, &mut found);
        }
        if !observation.server.sees_all_sessions {
            let why =
                "whether a session or a standby holds old row versions back only pg_read_all_stats may see";
            if found.claims.is_empty() {
                let to = observation.server.login.clone();
                let role = "pg_read_all_stats";
                return Err(Unknown {
                    reason: why.to_owned(),
                    remedy_sql: Some(Statement::GrantRole { role, to }.sql()),
                });
            }
            found.absence_is_no_proof = Some(why.to_owned());
        }
        Ok(found)
    }
}

/// Since when somebody holds row versions back by such a claim, for each database that is held back.
pub fn held_databases(claim: &Claim, now: DateTime<Utc>) -> Vec<(String, DateTime<Utc>)> {
    let seconds = claim.evidence.get("held_seconds").and_then(Value::as_f64);
    let databases = claim.evidence.get("databases").and_then(Value::as_array);
    let (Some(seconds), Some(databases)) = (seconds, databases) else {
        return Vec::new();
    };
    let since = now - TimeDelta::seconds(seconds as i64);
    let names = databases.iter().filter_map(Value::as_str);
    names.map(|name| (name.to_owned(), since)).collect()
}

impl XminBlocked {
    /// Who holds back for long enough in a database, by the place among all holders.
    fn oldest(&self, observation: &Observation, database: &DatabaseObservation) -> Option<usize> {
        let is_old = |holder: &XminHolder| {
            let is_here = holder.database.as_ref().is_none_or(|name| *name == database.name);
            // one transaction is its own, or the one that has just begun
            is_here && !holder.catalogs_only && holder.age > 1
        };
        let mut age_before = None;
        observation.server.xmin_holders.iter().position(|holder| {
            // who comes behind one of the same age has only seen its transaction, and would be gone for nothing
            if !is_old(holder) || age_before.replace(holder.age) == Some(holder.age) {
                return false;
            }
            let held = held_seconds(observation, holder);
            held.is_none_or(|held| held.seconds >= self.warning_age.as_seconds())
        })
    }

    fn judge_holder(&self, place: &Place<'_>, holder: &Holder<'_>, kept: &Kept, found: &mut Found) {
        let least = self.min_dead_rows as f64;
        if kept.dead_rows < least {
            // a reset and a crash set the numbers to 0
            if kept.dead_rows + kept.uncounted_rows >= least {
                found.undecided.push(holder.subject());
                found.untold = Some(NOT_COUNTED.to_owned());
            }
            return;
        }
        let Some(held) = held_seconds(place.observation, holder.facts) else {
            found.undecided.push(holder.subject());
            found.untold = Some(
                "since when slots and standbys hold rows back is known after two looks that are 5 min apart"
                    .to_owned(),
            );
            return;
        };
        let severity = match held.seconds >= self.critical_age.as_seconds() && !holder.is_patient() {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        found.claims.push(claim(place, severity, holder, held, kept));
    }
}

const NOT_COUNTED: &str = "how many dead rows are held back is not known: neither VACUUM nor ANALYZE has counted those \
                           of some large tables since their counters began or were reset";

/// For how long somebody has held row versions back.
#[derive(Clone, Copy, Debug)]
struct Held {
    seconds: f64,
    /// From how fast transaction ids are used.
    is_estimate: bool,
}

/// A century: no server is older, and all arithmetic with times stays in range.
const LONGEST_SECONDS: f64 = 36_500.0 * 86_400.0;

fn held_seconds(observation: &Observation, holder: &XminHolder) -> Option<Held> {
    let by_clock = Session::seconds_since(holder.since, observation.now);
    let pace = observation.transaction_ids_per_second.filter(|pace| *pace > 0.0);
    // at next to no pace the estimate means nothing but long
    let by_pace = pace.map(|pace| (holder.age as f64 / pace).min(LONGEST_SECONDS));
    match (by_clock, by_pace) {
        // a session's transaction may be old and its snapshot young
        (Some(clock), Some(pace)) if holder.kind == "session" && pace < clock => Some(Held {
            seconds: pace,
            is_estimate: true,
        }),
        (Some(seconds), _) => Some(Held {
            seconds,
            is_estimate: false,
        }),
        (None, pace) => pace.map(|seconds| Held {
            seconds,
            is_estimate: true,
        }),
    }
}

/// Who holds back, as far as it is known.
struct Holder<'a> {
    facts: &'a XminHolder,
    /// Its name without the process.
    who: &'a str,
    pid: Option<i32>,
    session: Option<&'a Session>,
}

impl<'a> Holder<'a> {
    fn of(observation: &'a Observation, facts: &'a XminHolder) -> Self {
        let named = facts
            .name
            .rsplit_once(", pid ")
            .filter(|_| facts.kind == "session");
        let (who, pid) = named.map_or((facts.name.as_str(), None), |(who, pid)| {
            (who, pid.parse::<i32>().ok())
        });
        let sessions = observation.sessions.as_deref().unwrap_or_default();
        let session = sessions.iter().find(|session| Some(session.pid) == pid);
        Self {
            facts,
            who,
            pid,
            session,
        }
    }

    fn subject(&self) -> Vec<String> {
        vec![self.facts.kind.clone(), self.who.to_owned()]
    }

    /// A dump, which has to hold its snapshot until it is through.
    fn is_patient(&self) -> bool {
        let application = self.who.rsplit_once(" as ").map(|(application, _)| application);
        self.facts.kind == "session" && application.is_some_and(is_patient)
    }

    fn object(&self) -> Object {
        let kind = match self.facts.kind.as_str() {
            "prepared transaction" => ObjectKind::PreparedTransaction,
            "replication slot" => ObjectKind::ReplicationSlot,
            "standby" => ObjectKind::Standby,
            _ => ObjectKind::Session,
        };
        Object {
            kind,
            schema: None,
            name: self.who.to_owned(),
            table: None,
        }
    }
}

/// The dead rows of some databases, in tables above their autovacuum threshold.
#[derive(Default)]
struct Kept {
    dead_rows: f64,
    bytes: f64,
    databases: Vec<String>,
    /// Most dead rows first: database, table, dead rows, and when it was vacuumed last.
    tables: Vec<(String, f64, Option<DateTime<Utc>>)>,
    /// Rows of tables of which nobody has counted the dead ones.
    uncounted_rows: f64,
}

impl Kept {
    fn of(databases: &[&DatabaseObservation]) -> Self {
        let mut kept = Self::default();
        for database in databases {
            kept.databases.push(database.name.clone());
            for (table, facts) in database
                .tables_with_facts()
                .filter(|(_, facts)| !facts.owned_by_extension)
                // nobody would clear those away, whoever holds what back
                .filter(|(_, facts)| facts.option_is_on("autovacuum_enabled") != Some(false))
            {
                let dead = table.dead_rows as f64;
                if dead > table.vacuum_threshold_rows {
                    let live = facts.rows.max(table.live_rows as f64);
                    let owner = facts
                        .toast_of
                        .and_then(|oid| database.catalog.tables.get(oid))
                        .unwrap_or(facts);
                    let name = format!("{}: {}.{}", database.name, owner.schema, owner.name);
                    kept.dead_rows += dead;
                    kept.bytes += facts.size_bytes * dead / (live + dead);
                    kept.tables.push((name, dead, table.last_vacuum_at));
                } else if !table.rows_were_counted {
                    kept.uncounted_rows += facts.rows.max(0.0);
                }
            }
        }
        kept.tables
            .sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        kept
    }
}

/// Tables that are named.
const TABLES_NAMED: usize = 5;

fn guards(place: &Place<'_>, holder: &Holder<'_>, held: Held, kept: &Kept) -> Guards {
    let since = place.observation.now - TimeDelta::milliseconds((held.seconds * 1000.0) as i64);
    let is_tried = |at: &Option<DateTime<Utc>>| at.is_some_and(|at| at >= since);
    let tried: f64 = kept
        .tables
        .iter()
        .filter(|(_, _, at)| is_tried(at))
        .map(|(_, dead, _)| dead)
        .sum();
    let mut guards = Guards::default();
    guards.checked("tables below their autovacuum threshold are not counted");
    match tried * 2.0 >= kept.dead_rows {
        true => guards.checked("VACUUM has run on most of these rows meanwhile, and left them"),
        false => guards.not_checked(
            "whether VACUUM could remove some of these rows: it has hardly run on them meanwhile",
        ),
    }
    if held.is_estimate {
        guards.not_checked("since when exactly: it is estimated from how fast transaction ids are used");
    }
    if !place.observation.server.sees_all_sessions {
        guards.not_checked(
            "whether a session or a standby holds older ones back, which only pg_read_all_stats may see",
        );
    }
    if holder.facts.kind == "session" && holder.session.is_none() {
        guards.not_checked("what the session does");
    }
    guards
}

fn explanation(holder: &Holder<'_>, dead: &str) -> String {
    let held = match &holder.facts.database {
        Some(database) => format!("the database {database}"),
        None => "all databases".to_owned(),
    };
    let blame = match holder.is_patient() {
        true => {
            " It is a dump or the like and has to hold its snapshot until it is through: let it, and see whether it can \
                 be made shorter or run against a standby."
        }
        false => "",
    };
    format!(
        "It holds back row versions of {held} that are {} transactions old. {dead} dead rows lie in tables that \
         autovacuum would clear; scans pass over them, and the tables grow.{blame} \
         Nothing of this can be removed before it is gone.",
        count_for_people(holder.facts.age as f64)
    )
}

fn numbers(place: &Place<'_>, holder: &Holder<'_>, held: Held, kept: &Kept) -> Evidence {
    let named: Vec<String> = {
        let most = kept.tables.iter().take(TABLES_NAMED);
        most.map(|(name, dead, _)| format!("{name}: {dead}")).collect()
    };
    let all = place.observation.server.xmin_holders.iter();
    let holders = all.filter(|other| !other.catalogs_only && other.age > 1).count();
    evidence([
        ("kind", json!(holder.facts.kind)),
        ("holder", json!(holder.facts.name)),
        ("held_seconds", number(held.seconds.round())),
        ("held_transactions", json!(holder.facts.age)),
        ("dead_rows", number(kept.dead_rows)),
        ("databases", json!(kept.databases)),
        ("most_dead_rows", json!(named)),
        ("tables", json!(kept.tables.len())),
        ("holders", json!(holders)),
    ])
}

fn claim(place: &Place<'_>, severity: Severity, holder: &Holder<'_>, held: Held, kept: &Kept) -> Claim {
    let lasted = seconds_for_people(held.seconds);
    let dead = count_for_people(kept.dead_rows);
    let guards = guards(place, holder, held, kept);
    let session = holder.session;
    Claim {
        database: holder.facts.database.clone(),
        who: Who {
            roles: session
                .and_then(|session| session.role.clone())
                .into_iter()
                .collect(),
            applications: session
                .map(|session| session.application.clone())
                .into_iter()
                .collect(),
        },
        title: format!(
            "The {} {} has kept VACUUM from {dead} dead rows for {lasted}",
            holder.facts.kind, holder.who
        ),
        explanation: explanation(holder, &dead),
        evidence: numbers(place, holder, held, kept),
        evidence_sql: Some(evidence_sql(holder)),
        impact: Impact {
            bytes: Some(kept.bytes),
            ..Impact::default()
        },
        confidence: guards.confidence("the server's own counters"),
        remedy: remedy(place, holder),
        guards: guards.told(),
        ..place.claim(XminBlocked::ID, severity, holder.subject(), Some(holder.object()))
    }
}

fn evidence_sql(holder: &Holder<'_>) -> String {
    let name = quote_literal(&holder.facts.name);
    match (holder.facts.kind.as_str(), holder.pid) {
        ("prepared transaction", _) => format!(
            "SELECT gid, owner, database, prepared, age(transaction) FROM pg_prepared_xacts WHERE gid = {name}"
        ),
        ("replication slot", _) => format!(
            "SELECT slot_type, active, age(xmin), age(catalog_xmin) FROM pg_replication_slots WHERE slot_name = {name}"
        ),
        ("session", Some(pid)) => format!(
            "SELECT pid, usename, application_name, state, xact_start, age(backend_xid), age(backend_xmin), query\n  \
             FROM pg_stat_activity WHERE pid = {pid}"
        ),
        _ => "SELECT application_name, state, age(backend_xmin) FROM pg_stat_replication WHERE backend_xmin IS NOT NULL"
            .to_owned(),
    }
}

/// What ends it, safely.
fn remedy(place: &Place<'_>, holder: &Holder<'_>) -> Remedy {
    let facts = holder.facts;
    let mut remedy = match facts.kind.as_str() {
        "prepared transaction" => {
            prepared_transaction::remedy(&facts.name, facts.database.as_deref().unwrap_or_default())
        }
        "replication slot" => of_slot(place.observation, &facts.name),
        "standby" => advise(
            None,
            "Look for an old transaction or a long query on that standby: hot_standby_feedback makes the primary keep \
             what it may need.",
        ),
        _ => of_session(holder),
    };
    let after = "Once it is gone, autovacuum clears up by itself; VACUUM the tables that are named where it is urgent.";
    remedy.caveats.push(after.to_owned());
    remedy
}

fn advise(apply: Option<Statement>, caveat: &str) -> Remedy {
    Remedy {
        apply_sql: apply.iter().map(Statement::sql).collect(),
        caveats: vec![caveat.to_owned()],
        ..Remedy::default()
    }
}

fn of_slot(observation: &Observation, name: &str) -> Remedy {
    let slots = observation
        .replication
        .as_ref()
        .map(|replication| replication.slots.as_slice());
    let slot = slots.unwrap_or_default().iter().find(|slot| slot.name == name);
    match slot.map(|slot| slot.is_active) {
        Some(false) => advise(
            Some(Statement::DropReplicationSlot {
                name: name.to_owned(),
            }),
            "First the consumer: start it again. Drop the slot only if that never comes back: this cannot be undone.",
        ),
        Some(true) => advise(
            None,
            "Its consumer is connected: look for an old transaction or a long query on that standby, which \
             hot_standby_feedback reports here.",
        ),
        None => advise(
            None,
            "Look at its consumer first; drop the slot only if that never comes back.",
        ),
    }
}

fn of_session(holder: &Holder<'_>) -> Remedy {
    let Some(session) = holder.session else {
        return advise(
            None,
            "Look at what the session does first; then end its transaction, or have it ended.",
        );
    };
    let pid = session.pid;
    if holder.is_patient() {
        advise(None, "Let it end by itself: ended now, it has to begin anew.")
    } else if !session.is_client() || is_maintenance(session) || is_ours(session) {
        advise(
            None,
            "It maintains tables or indexes, and ends by itself: ended now, it has to begin anew.",
        )
    } else if session.is_idle_in_transaction() {
        advise(
            Some(Statement::TerminateBackend { pid }),
            "Terminating it rolls back all that its transaction has written: look first at what its program is doing. \
             See activity.idle_in_transaction.",
        )
    } else if only_reads(session) {
        advise(
            Some(Statement::CancelBackend { pid }),
            "Cancelling it loses its result so far, and rolls back what its transaction wrote before: ask whether \
             somebody still waits for it. See activity.long_query.",
        )
    } else {
        advise(
            None,
            "It works, and may write: wait for it first. Cancelling it rolls back all that its transaction did.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::TableObservation;
    use crate::model::replication::{Replication, ReplicationSlot};
    use crate::rules::testing::{claims, found, now, session, table, tables};

    const HOUR: i64 = 3600;

    fn holder(kind: &str, name: &str, age: i64, seconds: Option<i64>) -> XminHolder {
        XminHolder {
            kind: kind.into(),
            name: name.into(),
            database: Some("app".into()).filter(|_| kind == "session" || kind == "prepared transaction"),
            age,
            since: seconds.map(|seconds| now() - TimeDelta::seconds(seconds)),
            catalogs_only: false,
        }
    }

    fn idle_holder(seconds: i64) -> XminHolder {
        holder("session", "shop as app, pid 7", 5000, Some(seconds))
    }

    /// `app` with one table of so many dead rows, which VACUUM has tried just now.
    fn observed(dead_rows: i64, holders: Vec<XminHolder>) -> Observation {
        let mut observed = tables(vec![table(1, "orders", 3_000_000.0, 4e9)]);
        observed.databases[0].tables = vec![TableObservation {
            oid: 1,
            live_rows: 3_000_000,
            dead_rows,
            vacuum_threshold_rows: 600_050.0,
            last_vacuum_at: Some(now()),
            rows_were_counted: true,
            ..TableObservation::default()
        }];
        observed.server.xmin_holders = holders;
        observed.sessions = Ok(vec![session(7, "idle in transaction", 9000, |_| ())]);
        observed
    }

    fn judged(observed: &Observation) -> (Option<Severity>, usize) {
        let found = found::<XminBlocked>(observed).unwrap();
        (
            found.claims.first().map(|claim| claim.severity),
            found.undecided.len(),
        )
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |dead_rows, seconds| judged(&observed(dead_rows, vec![idle_holder(seconds)])).0;
        assert_eq!(severity(1_000_000, HOUR - 1), None);
        assert_eq!(severity(1_000_000, HOUR), Some(Severity::Warning));
        assert_eq!(severity(999_999, HOUR), None);
        assert_eq!(severity(1_000_000, 24 * HOUR - 1), Some(Severity::Warning));
        assert_eq!(severity(1_000_000, 24 * HOUR), Some(Severity::Critical));
        assert_eq!(severity(999_999, 24 * HOUR), None);
        let mut below = observed(1_000_000, vec![idle_holder(HOUR)]);
        below.databases[0].tables[0].vacuum_threshold_rows = 1_000_000.0;
        assert_eq!(judged(&below).0, None, "autovacuum would not come yet");
    }

    #[test]
    fn only_who_holds_tables_of_the_database_counts() {
        let judge = |change: fn(&mut XminHolder)| {
            let mut holder = idle_holder(2 * HOUR);
            change(&mut holder);
            judged(&observed(2_000_000, vec![holder])).0
        };
        assert_eq!(judge(|_| ()), Some(Severity::Warning));
        assert_eq!(judge(|holder| holder.database = None), Some(Severity::Warning));
        assert_eq!(judge(|holder| holder.database = Some("other".into())), None);
        assert_eq!(judge(|holder| holder.catalogs_only = true), None);
        assert_eq!(judge(|holder| holder.age = 1), None);
        let dump = holder("session", "pg_dump as app, pid 9", 5000, Some(30 * HOUR));
        let dump = claims::<XminBlocked>(&observed(2_000_000, vec![dump]))
            .unwrap()
            .remove(0);
        assert_eq!(
            (dump.severity, dump.remedy.apply_sql.len()),
            (Severity::Warning, 0)
        );
        assert!(dump.explanation.contains("It is a dump"));
    }

    #[test]
    fn of_slots_the_time_is_estimated_or_not_known() {
        let slot = |pace: Option<f64>| {
            let mut observed = observed(2_000_000, vec![holder("replication slot", "s", 36_000, None)]);
            observed.transaction_ids_per_second = pace;
            observed
        };
        assert_eq!(judged(&slot(None)), (None, 1));
        assert_eq!(judged(&slot(Some(0.0))), (None, 1));
        assert_eq!(judged(&slot(Some(10.1))), (None, 0));
        assert_eq!(judged(&slot(Some(10.0))), (Some(Severity::Warning), 0));
        let claim = claims::<XminBlocked>(&slot(Some(10.0))).unwrap().remove(0);
        assert_eq!(
            (claim.database, claim.confidence.level),
            (None, ConfidenceLevel::Estimated)
        );
        let mut young = observed(2_000_000, vec![idle_holder(9 * HOUR)]);
        young.transaction_ids_per_second = Some(2.0);
        assert_eq!(
            judged(&young).0,
            None,
            "an old transaction with a snapshot of 2 500 seconds ago"
        );
    }

    #[test]
    fn the_oldest_is_named_without_its_pid_and_ended_safely() {
        let younger = holder("prepared transaction", "gid", 4000, Some(2 * HOUR));
        let all = observed(2_000_000, vec![idle_holder(3 * HOUR), younger.clone()]);
        let claims_of = |observed: &Observation| claims::<XminBlocked>(observed).unwrap();
        let found = claims_of(&all);
        assert_eq!(
            found.len(),
            1,
            "with the younger one gone nothing could be removed"
        );
        assert_eq!(found[0].subject, ["session", "shop as app"]);
        assert_eq!(
            found[0].remedy.apply_sql,
            ["SELECT pg_catalog.pg_terminate_backend(7)"]
        );
        assert_eq!(found[0].confidence.level, ConfidenceLevel::Measured);
        assert_eq!(
            found[0].evidence["most_dead_rows"],
            json!(["app: public.orders: 2000000"])
        );
        let prepared = claims_of(&observed(2_000_000, vec![younger])).remove(0);
        assert_eq!(prepared.remedy.apply_sql, ["ROLLBACK PREPARED 'gid'"]);
        let mut writes = observed(2_000_000, vec![idle_holder(3 * HOUR)]);
        writes.sessions = Ok(vec![session(7, "active", 9000, |session| {
            session.command = "UPDATE".into()
        })]);
        assert_eq!(claims_of(&writes)[0].remedy.apply_sql.len(), 0);
        writes.sessions = Err(Unknown::because("not read"));
        assert!(
            claims_of(&writes)[0]
                .confidence
                .reason
                .contains("what the session does")
        );
    }

    #[test]
    fn who_has_only_seen_a_transaction_is_not_blamed_for_it() {
        let prepared = |seconds| holder("prepared transaction", "gid", 5000, Some(seconds));
        let judged = |holders| claims::<XminBlocked>(&observed(2_000_000, holders)).unwrap();
        let found = judged(vec![prepared(2 * HOUR), idle_holder(3 * HOUR)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject, ["prepared transaction", "gid"]);
        assert!(
            judged(vec![prepared(60), idle_holder(3 * HOUR)]).is_empty(),
            "the transaction of the session is old, and not what it holds"
        );
        let older = holder("session", "shop as app, pid 7", 5001, Some(60));
        assert_eq!(judged(vec![older, prepared(2 * HOUR)])[0].subject[1], "gid");
    }

    #[test]
    fn a_slot_is_dropped_last_and_never_in_use() {
        let apply = |is_active: Option<bool>| {
            let mut observed = observed(2_000_000, vec![holder("replication slot", "s", 36_000, None)]);
            observed.transaction_ids_per_second = Some(1.0);
            let slot = |is_active| ReplicationSlot {
                name: "s".into(),
                is_active,
                ..ReplicationSlot::default()
            };
            observed.replication = Ok(Replication {
                slots: is_active.map(slot).into_iter().collect(),
                ..Replication::default()
            });
            claims::<XminBlocked>(&observed).unwrap().remove(0).remedy
        };
        assert_eq!(
            apply(Some(false)).apply_sql,
            ["SELECT pg_catalog.pg_drop_replication_slot('s')"]
        );
        assert!(apply(Some(false)).caveats[0].starts_with("First the consumer"));
        assert_eq!(
            (apply(Some(true)).apply_sql.len(), apply(None).apply_sql.len()),
            (0, 0)
        );
    }

    #[test]
    fn a_claim_says_which_databases_are_held_back_and_since_when() {
        let observed = observed(2_000_000, vec![idle_holder(2 * HOUR)]);
        let claim = claims::<XminBlocked>(&observed).unwrap().remove(0);
        let since = now() - TimeDelta::seconds(2 * HOUR);
        assert_eq!(held_databases(&claim, now()), [("app".to_owned(), since)]);
    }

    #[test]
    fn numbers_that_were_lost_and_what_cannot_be_seen() {
        let mut lost = observed(0, vec![idle_holder(2 * HOUR)]);
        lost.databases[0].tables[0].rows_were_counted = false;
        assert_eq!(
            judged(&lost),
            (None, 1),
            "three million rows may have as many dead ones"
        );
        let mut untried = observed(2_000_000, vec![idle_holder(2 * HOUR)]);
        untried.databases[0].tables[0].last_vacuum_at = Some(now() - TimeDelta::hours(3));
        let claim = claims::<XminBlocked>(&untried).unwrap().remove(0);
        assert!(claim.confidence.reason.contains("whether VACUUM could remove"));
        let mut hidden = observed(2_000_000, vec![]);
        hidden.server.sees_all_sessions = false;
        assert!(claims::<XminBlocked>(&hidden).is_err());
        hidden.server.xmin_holders = vec![holder("prepared transaction", "gid", 4000, Some(2 * HOUR))];
        assert!(
            found::<XminBlocked>(&hidden)
                .unwrap()
                .absence_is_no_proof
                .is_some()
        );
        hidden.server.is_standby = true;
        assert!(claims::<XminBlocked>(&hidden).is_err());
    }
}
