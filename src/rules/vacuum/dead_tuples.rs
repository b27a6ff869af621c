//! vacuum.dead_tuples

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{Observation, TableObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::snapshot::{ServerFacts, XminHolder};
use crate::model::unit::{Period, Size, count_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number};

/// A table whose dead row versions are more than autovacuum should ever let stand.
///
/// ## Why it is bad
/// Dead row versions are read and passed over by every scan, keep the table and its indexes growing, and keep index-only
/// scans from being index-only.
///
/// ## What to do
/// First see whether something holds old row versions back: an old transaction, a forgotten replication slot, a prepared
/// transaction. VACUUM can do nothing before that is gone; one that has lasted a minute is named. Then VACUUM the table, and
/// let autovacuum come earlier: with a smaller scale factor for the table, or by switching it on again where it was
/// switched off.
///
/// ## When it is wrong to obey
/// Right after a bulk update or delete: autovacuum may be on its way. That is why this waits an hour, and why nothing is
/// said of a table that is being vacuumed. Where vacuum.xmin_blocked tells who holds row versions back, and VACUUM has been
/// to the table since and left them, it is that rule's.
///
/// A reset of statistics and a crash set the numbers to 0. Until VACUUM or ANALYZE has counted the rows again, nothing is
/// said of a table that seems to be well.
///
/// The threshold is autovacuum's own, with the table's storage parameters: base + scale × rows, from 18 at most
/// autovacuum_vacuum_max_threshold. Source: PostgreSQL's chapter "Routine Vacuuming".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadTuples {
    /// How many times the table's own autovacuum threshold it takes.
    times_threshold: f64,
    /// Share of dead row versions, 0 to 1, that it takes for a warning.
    warning_share: f64,
    /// Share of dead row versions, 0 to 1, from which it is critical, together with `critical_size`.
    critical_share: f64,
    /// Size of the table from which it is critical.
    critical_size: Size,
    /// Smaller tables are left out: live and dead row versions together.
    min_rows: i64,
}

impl Default for DeadTuples {
    fn default() -> Self {
        Self {
            times_threshold: 2.0,
            warning_share: 0.1,
            critical_share: 0.4,
            critical_size: Size::gigabytes(1),
            min_rows: 10_000,
        }
    }
}

impl Rule for DeadTuples {
    const ID: &'static str = "vacuum.dead_tuples";
    const SCOPE: Scope = Scope::Database;
    const HOLD: Period = Period::minutes(60);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut found = Found::default();
        let mut reasons = BTreeSet::new();
        for (table, facts) in database.tables_with_facts() {
            if facts.owned_by_extension {
                continue;
            }
            let severity = self.severity(table, facts);
            // vacuum.xmin_blocked names who does it: earlier VACUUMs would remove no more
            if severity.is_some() && is_told_as_held_back(place.observation, &database.name, table) {
                continue;
            }
            let reason = match (severity, table.being_vacuumed) {
                (Some(severity), Some(false)) => {
                    found.claims.push(claim(place, table, facts, severity));
                    continue;
                }
                (Some(_), Some(true)) => Some(BEING_VACUUMED),
                (Some(_), None) => Some(VACUUM_UNSEEN),
                (None, _) if table.rows_were_counted => continue,
                // a small table is not worth a word, and keeps what was said of it all the same
                (None, _) if facts.rows < self.min_rows as f64 => None,
                (None, _) => Some(NOT_COUNTED),
            };
            reasons.extend(reason);
            found
                .undecided
                .push(vec![facts.schema.clone(), facts.name.clone()]);
        }
        if !reasons.is_empty() {
            found.untold = Some(reasons.into_iter().collect::<Vec<_>>().join("; "));
        }
        Ok(found)
    }
}

const BEING_VACUUMED: &str = "some tables are being vacuumed just now";
const VACUUM_UNSEEN: &str = "not checked: whether some tables are being vacuumed just now: VACUUM is running, and without \
                             pg_read_all_stats its table cannot be seen";
const NOT_COUNTED: &str = "the dead rows of some tables are not known: neither VACUUM nor ANALYZE has counted them since \
                           their counters began or were reset; ANALYZE does";

/// Live rows. What was added since the counters began is less than there are, so that the catalog's estimate counts, too.
fn live_rows(table: &TableObservation, facts: &TableFacts) -> f64 {
    match table.rows_were_counted {
        true => table.live_rows as f64,
        false => facts.rows.max(table.live_rows as f64),
    }
}

fn dead_share(table: &TableObservation, facts: &TableFacts) -> f64 {
    let dead = table.dead_rows as f64;
    dead / (live_rows(table, facts) + dead).max(1.0)
}

impl DeadTuples {
    fn severity(&self, table: &TableObservation, facts: &TableFacts) -> Option<Severity> {
        let dead = table.dead_rows as f64;
        let share = dead_share(table, facts);
        if live_rows(table, facts) + dead < self.min_rows as f64
            || share < self.warning_share
            || dead <= self.times_threshold * table.vacuum_threshold_rows
        {
            return None;
        }
        let critical = share >= self.critical_share && facts.size_bytes >= self.critical_size.bytes as f64;
        Some(if critical {
            Severity::Critical
        } else {
            Severity::Warning
        })
    }
}

/// Autovacuum comes to a database once a minute (autovacuum_naptime): what is younger has not kept it from a single run.
const HELD_SECONDS: f64 = 60.0;
/// Of slots and standbys no time is told. More transactions than this are more than one that keeps up leaves behind.
const HELD_TRANSACTIONS: i64 = 100_000;

/// Who holds back the rows of a database's tables, for so long that it may be the cause.
fn holder<'a>(observation: &'a Observation, database: &str) -> Option<&'a XminHolder> {
    let has_lasted = |holder: &XminHolder| {
        let by_clock = holder
            .since
            .map(|since| (observation.now - since).num_seconds() as f64);
        // a transaction may be old and its snapshot young
        let by_pace = observation
            .transaction_ids_per_second
            .map(|pace| holder.age as f64 / pace);
        match by_clock.into_iter().chain(by_pace).reduce(f64::min) {
            Some(seconds) => seconds >= HELD_SECONDS,
            None => holder.age >= HELD_TRANSACTIONS,
        }
    };
    observation.server.xmin_holders.iter().find(|holder| {
        let is_here = holder.database.as_deref().is_none_or(|name| name == database);
        // one transaction is its own, or the one that has just begun
        is_here && !holder.catalogs_only && holder.age > 1 && has_lasted(holder)
    })
}

/// Whether people hear by vacuum.xmin_blocked who holds the rows of a database back, and VACUUM was here since and left them.
fn is_told_as_held_back(observation: &Observation, database: &str, table: &TableObservation) -> bool {
    let since = observation.told_as_held_back.get(database);
    since
        .zip(table.last_vacuum_at.as_ref())
        .is_some_and(|(since, vacuumed_at)| vacuumed_at >= since)
}

fn guards(place: &Place<'_>, table: &TableObservation, holder: Option<&XminHolder>) -> Guards {
    let mut guards = Guards::default();
    guards.checked("it is not being vacuumed");
    match holder {
        Some(holder) => guards.checked(format!(
            "who holds old row versions back: the {} {}",
            holder.kind, holder.name
        )),
        None if place.observation.server.sees_all_sessions => {
            guards.checked("nothing has held old row versions back for a minute");
        }
        None => guards.not_checked(
            "whether a session or a standby holds old row versions back, which only pg_read_all_stats may see",
        ),
    }
    if !table.rows_were_counted {
        guards.not_checked(
            "how many rows live: neither VACUUM nor ANALYZE has counted them since the counters began",
        );
    }
    guards
}

fn claim(place: &Place<'_>, table: &TableObservation, facts: &TableFacts, severity: Severity) -> Claim {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let share = dead_share(table, facts);
    let database = place.database.map_or("", |database| database.name.as_str());
    let holder = holder(place.observation, database);
    let guards = guards(place, table, holder);
    let kind = if facts.kind == 'm' {
        ObjectKind::MaterializedView
    } else {
        ObjectKind::Table
    };
    let object = Object {
        kind,
        schema: Some(schema.clone()),
        name: name.clone(),
        table: None,
    };
    Claim {
        title: format!("{schema}.{name}: {:.0} % of its rows are dead", share * 100.0),
        explanation: format!(
            "{} dead row versions beside {} live ones; autovacuum should have come at {}. Scans read them all.",
            count_for_people(table.dead_rows as f64),
            count_for_people(live_rows(table, facts)),
            count_for_people(table.vacuum_threshold_rows)
        ),
        evidence: evidence([
            ("dead_rows", json!(table.dead_rows)),
            ("live_rows", json!(live_rows(table, facts) as i64)),
            ("dead_share_ratio", number(share)),
            ("vacuum_threshold_rows", number(table.vacuum_threshold_rows)),
            ("size_bytes", json!(facts.size_bytes)),
            ("last_vacuum_at", json!(table.last_vacuum_at)),
            ("storage_parameters", json!(facts.options)),
        ]),
        evidence_sql: Some(format!(
            "SELECT n_live_tup, n_dead_tup, last_vacuum, last_autovacuum FROM pg_stat_user_tables\n  \
             WHERE relid = {}::regclass",
            quote_literal(&qualified(&schema, &name))
        )),
        impact: Impact {
            bytes: Some(facts.size_bytes * share),
            ..Impact::default()
        },
        confidence: guards.confidence("the server's own counters"),
        remedy: remedy(&place.observation.server, facts, holder),
        guards: guards.told(),
        ..place.claim(DeadTuples::ID, severity, vec![schema, name], Some(object))
    }
}

/// The scale factor that makes autovacuum come early enough to a table that has piled up dead rows.
const SCALE_FACTOR: f64 = 0.02;

fn remedy(server: &ServerFacts, facts: &TableFacts, holder: Option<&XminHolder>) -> Remedy {
    let vacuum = Statement::Vacuum {
        schema: facts.schema.clone(),
        table: facts.name.clone(),
        analyze: true,
        freeze: false,
    };
    let mut remedy = Remedy {
        apply_sql: vec![vacuum.sql()],
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        ..Remedy::default()
    };
    if let Some(holder) = holder {
        remedy.caveats.push(format!(
            "First look at the {} {}: it holds row versions back that are {} transactions old.",
            holder.kind,
            holder.name,
            count_for_people(holder.age as f64)
        ));
    }
    earlier(server, facts, &mut remedy);
    remedy
}

/// Adds what makes autovacuum come earlier: it never comes later by it, and what was set before is what undoing sets.
fn earlier(server: &ServerFacts, facts: &TableFacts, remedy: &mut Remedy) {
    const ENABLED: &str = "autovacuum_enabled";
    const SCALE: &str = "autovacuum_vacuum_scale_factor";
    let set = |name: &'static str, value: &str| Statement::SetStorageParameter {
        schema: facts.schema.clone(),
        table: facts.name.clone(),
        name,
        value: value.to_owned(),
    };
    let reset = |name: &'static str| Statement::ResetStorageParameter {
        schema: facts.schema.clone(),
        table: facts.name.clone(),
        name,
    };
    let own_scale = facts.option(SCALE);
    let scale = own_scale
        .and_then(|own| own.parse().ok())
        .or_else(|| server.setting_number(SCALE));
    if facts.option_is_on(ENABLED) == Some(false) {
        remedy.apply_sql.push(reset(ENABLED).sql());
        remedy.undo_sql.push(set(ENABLED, "off").sql());
        remedy.caveats.push(
            "Autovacuum was switched off for this table: leave that so only if something else vacuums it."
                .to_owned(),
        );
    } else if server
        .settings
        .get("autovacuum")
        .is_some_and(|setting| setting.value == "off")
    {
        remedy
            .caveats
            .push("Autovacuum is off for the whole server: see vacuum.autovacuum_off.".to_owned());
    } else if scale.is_none_or(|scale| scale > SCALE_FACTOR) {
        remedy.apply_sql.push(set(SCALE, &SCALE_FACTOR.to_string()).sql());
        let before = own_scale.map_or_else(|| reset(SCALE), |own| set(SCALE, own));
        remedy.undo_sql.push(before.sql());
    } else {
        remedy.caveats.push(
            "Autovacuum is already told to come early: see whether its workers are all busy, too slow \
             (autovacuum_vacuum_cost_limit) or driven away by locks."
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use chrono::TimeDelta;

    use crate::model::catalog::Catalog;
    use crate::rules::testing::{database, found, now, set};

    fn table(live_rows: i64, dead_rows: i64, vacuum_threshold_rows: f64) -> TableObservation {
        TableObservation {
            oid: 1,
            live_rows,
            dead_rows,
            vacuum_threshold_rows,
            last_vacuum_at: None,
            written_per_second: None,
            rows_were_counted: true,
            being_vacuumed: Some(false),
        }
    }

    /// `public.t` as it is seen, with changes.
    fn observed(seen: TableObservation, change: impl FnOnce(&mut TableFacts)) -> Observation {
        let mut observed = database(vec![]);
        let database = &mut observed.databases[0];
        let mut tables = database.catalog.tables.clone();
        change(tables.get_mut(1).unwrap());
        database.tables = vec![seen];
        database.catalog = Arc::new(Catalog::new(tables, Vec::new().into()));
        observed
    }

    fn claim_of(observed: &Observation) -> Claim {
        found::<DeadTuples>(observed).unwrap().claims.remove(0)
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let rule = DeadTuples::default();
        let severity = |live: i64, dead: i64, threshold: f64, size: f64| {
            let facts = TableFacts {
                size_bytes: size,
                ..TableFacts::default()
            };
            rule.severity(&table(live, dead, threshold), &facts)
        };
        assert_eq!(severity(9000, 1000, 100.0, 0.0), Some(Severity::Warning));
        assert_eq!(severity(8999, 1000, 100.0, 0.0), None, "a small table");
        assert_eq!(severity(90_100, 9_900, 100.0, 0.0), None, "below a tenth");
        assert_eq!(
            severity(9000, 1000, 500.0, 0.0),
            None,
            "not above twice the threshold"
        );
        assert_eq!(severity(6000, 4000, 100.0, 1e9), Some(Severity::Critical));
        assert_eq!(severity(6000, 4000, 100.0, 9e8), Some(Severity::Warning));
    }

    #[test]
    fn numbers_that_were_lost_are_not_gone() {
        let judged = |seen: TableObservation, rows: f64| {
            let found = found::<DeadTuples>(&observed(seen, |facts| facts.rows = rows)).unwrap();
            (found.claims.len(), found.undecided.len(), found.untold)
        };
        let counted = table(20_000, 0, 4_000.0);
        let lost = TableObservation {
            live_rows: 0,
            rows_were_counted: false,
            ..counted
        };
        assert_eq!(judged(counted, 20_000.0), (0, 0, None));
        assert_eq!(judged(lost, 20_000.0), (0, 1, Some(NOT_COUNTED.to_owned())));
        assert_eq!(
            judged(lost, -1.0),
            (0, 1, None),
            "the catalog has never heard of it"
        );
        let begun = TableObservation {
            dead_rows: 3_000,
            vacuum_threshold_rows: 1_000.0,
            ..lost
        };
        assert_eq!(
            judged(begun, 100_000.0),
            (0, 1, Some(NOT_COUNTED.to_owned())),
            "not all of its rows are dead only because no live one was counted"
        );
        let over = observed(
            TableObservation {
                dead_rows: 60_000,
                ..begun
            },
            |facts| facts.rows = 100_000.0,
        );
        let claim = claim_of(&over);
        assert_eq!(claim.evidence["dead_share_ratio"], json!(0.375));
        assert!(
            claim
                .confidence
                .reason
                .contains("not checked: how many rows live")
        );
    }

    #[test]
    fn a_vacuum_that_runs_or_cannot_be_seen_decides_nothing() {
        for (being_vacuumed, reason) in [(Some(true), BEING_VACUUMED), (None, VACUUM_UNSEEN)] {
            let seen = TableObservation {
                being_vacuumed,
                ..table(9_000, 6_000, 100.0)
            };
            let found = found::<DeadTuples>(&observed(seen, |_| ())).unwrap();
            assert_eq!((found.claims.len(), found.undecided.len()), (0, 1));
            assert_eq!(found.untold.as_deref(), Some(reason));
        }
    }

    #[test]
    fn autovacuum_is_only_ever_told_to_come_earlier() {
        let remedy = |options: &[&str], settings: &[(&str, &str)]| {
            let mut observed = observed(table(9_000, 6_000, 100.0), |facts| {
                facts.options = options.iter().map(|option| (*option).to_owned()).collect();
            });
            for (name, value) in settings {
                set(&mut observed, name, value);
            }
            let remedy = claim_of(&observed).remedy;
            assert_eq!(remedy.apply_sql[0], "VACUUM (ANALYZE) public.t");
            (remedy.apply_sql[1..].join(";"), remedy.undo_sql.join(";"))
        };
        let altered = |apply: &str, undo: &str| {
            let alter = |what: &str| match what {
                "" => String::new(),
                what => format!("ALTER TABLE public.t {what}"),
            };
            (alter(apply), alter(undo))
        };
        let lowered = "SET (autovacuum_vacuum_scale_factor = 0.02)";
        let scale = "autovacuum_vacuum_scale_factor";
        assert_eq!(
            remedy(&[], &[(scale, "0.2")]),
            altered(lowered, "RESET (autovacuum_vacuum_scale_factor)")
        );
        assert_eq!(
            remedy(&["autovacuum_vacuum_scale_factor=0.1"], &[(scale, "0.01")]),
            altered(lowered, "SET (autovacuum_vacuum_scale_factor = 0.1)")
        );
        assert_eq!(
            remedy(&["autovacuum_vacuum_scale_factor=0.01"], &[(scale, "0.2")]),
            altered("", "")
        );
        assert_eq!(remedy(&[], &[(scale, "0.02")]), altered("", ""));
        assert_eq!(remedy(&[], &[("autovacuum", "off")]), altered("", ""));
        for word in ["off", "no", "0", "f", "false"] {
            assert_eq!(
                remedy(&[&format!("autovacuum_enabled={word}")], &[]),
                altered("RESET (autovacuum_enabled)", "SET (autovacuum_enabled = 'off')"),
                "{word}"
            );
        }
    }

    #[test]
    fn only_who_may_be_the_cause_is_named() {
        let session = |age: i64, minutes: i64| XminHolder {
            kind: "session".into(),
            name: "psql as app, pid 7".into(),
            database: Some("app".into()),
            age,
            since: Some(now() - TimeDelta::minutes(minutes)),
            catalogs_only: false,
        };
        let slot = |age: i64| XminHolder {
            kind: "replication slot".into(),
            database: None,
            since: None,
            ..session(age, 0)
        };
        let named = |holder: XminHolder, pace: Option<f64>| {
            let mut observed = observed(table(9_000, 6_000, 100.0), |_| ());
            observed.server.xmin_holders = vec![holder];
            observed.transaction_ids_per_second = pace;
            let claim = claim_of(&observed);
            let is_told = claim.guards.iter().any(|guard| guard.starts_with("who holds"));
            let is_first = claim
                .remedy
                .caveats
                .first()
                .is_some_and(|caveat| caveat.starts_with("First look at the"));
            assert_eq!(is_told, is_first);
            is_first
        };
        assert!(
            named(session(2, 60), None),
            "few transactions, of which one wrote much"
        );
        assert!(!named(session(1, 60), None), "one transaction is no cause");
        assert!(!named(session(5_000, 0), None), "a query of a busy server");
        assert!(
            !named(session(5_000, 60), Some(1_000.0)),
            "an old transaction with a snapshot of five seconds ago"
        );
        assert!(named(session(5_000, 60), Some(1.0)));
        assert!(!named(
            XminHolder {
                database: Some("other".into()),
                ..session(5_000, 60)
            },
            None
        ));
        assert!(named(slot(100_000), None) && !named(slot(99_999), None));
        assert!(named(slot(60), Some(1.0)) && !named(slot(59), Some(1.0)));
        assert!(!named(
            XminHolder {
                catalogs_only: true,
                ..slot(1_000_000)
            },
            None
        ));
    }

    #[test]
    fn what_vacuum_left_behind_for_a_holder_that_is_told_is_not_told_twice() {
        let claims = |since_minutes: i64, vacuumed_minutes: Option<i64>, held: &str| {
            let seen = TableObservation {
                last_vacuum_at: vacuumed_minutes.map(|minutes| now() - TimeDelta::minutes(minutes)),
                ..table(9_000, 6_000, 100.0)
            };
            let mut observed = observed(seen, |_| ());
            let since = now() - TimeDelta::minutes(since_minutes);
            observed.told_as_held_back = [(held.to_owned(), since)].into();
            let found = found::<DeadTuples>(&observed).unwrap();
            assert!(found.undecided.is_empty());
            found.claims.len()
        };
        assert_eq!(claims(90, Some(5), "app"), 0);
        assert_eq!(claims(90, Some(90), "app"), 0);
        assert_eq!(
            claims(90, Some(91), "app"),
            1,
            "VACUUM may remove what died before"
        );
        assert_eq!(claims(90, None, "app"), 1, "VACUUM has never been here");
        assert_eq!(claims(90, Some(5), "other"), 1, "another database is held back");
    }

    #[test]
    fn sessions_that_cannot_be_seen_lower_the_confidence() {
        let mut observed = observed(table(9_000, 6_000, 100.0), |_| ());
        let says = |observed: &Observation| claim_of(observed).guards.join("; ");
        assert!(says(&observed).contains("nothing has held old row versions back"));
        observed.server.sees_all_sessions = false;
        assert!(says(&observed).contains("not checked: whether a session"));
        assert_eq!(
            claim_of(&observed).confidence.level,
            crate::model::finding::ConfidenceLevel::Estimated
        );
    }
}
