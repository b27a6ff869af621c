//! vacuum.xid_wraparound

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{Remedy, Statement};
use crate::model::snapshot::{DatabaseFacts, ServerFacts, XminHolder};
use crate::model::unit::count_for_people;
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number};

/// A database whose oldest transaction id is getting so old that the server will stop taking writes.
///
/// ## Why it is bad
/// Transaction ids are 32 bits wide. About 2.1 billion transactions after the oldest row that was not frozen, PostgreSQL
/// refuses every command that needs a new one, until VACUUM has run.
///
/// ## What to do
/// Find what holds VACUUM back first: an old session, a prepared transaction, a replication slot. Then VACUUM the oldest
/// tables. Never VACUUM FULL: it needs a transaction id of its own and locks everything out.
///
/// ## When it is wrong to obey
/// An age a little above autovacuum_freeze_max_age is normal while an anti-wraparound autovacuum works on it.
///
/// Template databases and those that take no connections count, too: theirs stop the server just as well. Autovacuum
/// comes to them, too. What holds VACUUM back is named if it is as old as autovacuum_freeze_max_age: something younger
/// leaves enough to freeze. On a standby the age is told, and that its primary is the place to act. Source: PostgreSQL's
/// chapter "Preventing Transaction ID Wraparound Failures".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct XidWraparound {
    /// By how much an age may be above autovacuum_freeze_max_age, as a share of it.
    info_excess_share: f64,
    /// Share of 2^31, 0 to 1, from which it is a warning.
    warning_share: f64,
    /// Share of 2^31, 0 to 1, from which it is critical; vacuum_failsafe_age is critical, too, if that is less.
    critical_share: f64,
}

impl Default for XidWraparound {
    fn default() -> Self {
        Self {
            info_excess_share: 0.1,
            warning_share: 0.5,
            critical_share: 0.8,
        }
    }
}

/// Transaction ids that there are on one side of the circle.
const IDS: f64 = 2_147_483_648.0;
/// The oldest tables that are named.
const TABLES_NAMED: usize = 5;

impl Rule for XidWraparound {
    const ID: &'static str = "vacuum.xid_wraparound";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let server = &place.observation.server;
        let freeze_max_age = server
            .setting_number("autovacuum_freeze_max_age")
            .ok_or_else(|| Unknown::because("autovacuum_freeze_max_age could not be read"))?;
        let failsafe_age = server
            .setting_number("vacuum_failsafe_age")
            .filter(|age| *age > 0.0)
            .unwrap_or(IDS);
        let claims = server.databases.iter().filter_map(|database| {
            let age = database.frozen_xid_age as f64;
            let severity = if age >= (self.critical_share * IDS).min(failsafe_age) {
                Severity::Critical
            } else if age >= self.warning_share * IDS {
                Severity::Warning
            } else if age > freeze_max_age * (1.0 + self.info_excess_share) {
                Severity::Info
            } else {
                return None;
            };
            Some(claim(place, database, severity, freeze_max_age))
        });
        Ok(Found {
            claims: claims.collect(),
            ..Found::default()
        })
    }
}

/// The oldest tables of a database, a TOAST table by the table that it belongs to.
fn oldest(observed: Option<&DatabaseObservation>) -> Vec<(String, String, i64)> {
    let Some(observed) = observed else {
        return Vec::new();
    };
    let tables = &observed.catalog.tables;
    let mut ages: Vec<(String, String, i64)> = tables
        .values()
        .filter(|table| table.frozen_xid_age > 0)
        .map(|table| {
            let owner = table.toast_of.and_then(|oid| tables.get(oid)).unwrap_or(table);
            (owner.schema.clone(), owner.name.clone(), table.frozen_xid_age)
        })
        .collect();
    ages.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
    ages.dedup_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1));
    ages.truncate(TABLES_NAMED);
    ages
}

/// Who keeps VACUUM from bringing an age below autovacuum_freeze_max_age. A younger one leaves enough to freeze.
fn holder(server: &ServerFacts, freeze_max_age: f64) -> Option<&XminHolder> {
    let oldest = server.xmin_holders.first()?;
    (oldest.age as f64 >= freeze_max_age).then_some(oldest)
}

fn guards(server: &ServerFacts, holder: Option<&XminHolder>) -> Guards {
    let mut guards = Guards::default();
    guards.checked("template databases are included");
    match holder {
        // what a standby's primary is held back by is not seen here
        _ if server.is_standby => {
            guards.not_checked("what holds VACUUM back, which only its primary knows");
        }
        Some(holder) => guards.checked(format!(
            "what holds VACUUM back: the {} {}",
            holder.kind, holder.name
        )),
        None if server.sees_all_sessions => {
            guards.checked("nothing holds back transaction ids that are as old as autovacuum_freeze_max_age");
        }
        None => guards.not_checked(
            "whether a session or a standby holds VACUUM back, which only pg_read_all_stats may see",
        ),
    }
    guards
}

fn explanation(age: f64, left_days: Option<f64>, per_day: Option<f64>) -> String {
    let pace = match (left_days, per_day) {
        (Some(days), _) => format!(": at today's pace in {} days", count_for_people(days)),
        (None, None) => "; at what pace is known after two looks that are 5 min apart".to_owned(),
        (None, Some(_)) => String::new(),
    };
    format!(
        "The oldest row that is not frozen is {} transactions old, of {} that there are. Writes stop when they run \
         out{pace}.",
        count_for_people(age),
        count_for_people(IDS),
    )
}

fn claim(place: &Place<'_>, database: &DatabaseFacts, severity: Severity, freeze_max_age: f64) -> Claim {
    let server = &place.observation.server;
    let seen = place
        .observation
        .databases
        .iter()
        .find(|seen| seen.name == database.name);
    let oldest = oldest(seen);
    let age = database.frozen_xid_age as f64;
    let per_day = place
        .observation
        .transaction_ids_per_second
        .map(|rate| rate * 86_400.0);
    // at less than one a day there is no day to name
    let left_days = per_day
        .filter(|rate| *rate >= 1.0)
        .map(|rate| (IDS - age).max(0.0) / rate);
    let named = |(schema, table, age): &(String, String, i64)| format!("{schema}.{table}: {age}");
    let object = Object {
        kind: ObjectKind::Database,
        schema: None,
        name: database.name.clone(),
        table: None,
    };
    let holder = holder(server, freeze_max_age);
    let guards = guards(server, holder);
    Claim {
        database: Some(database.name.clone()),
        title: format!(
            "{}: {:.0} % of all transaction ids are used up",
            database.name,
            age / IDS * 100.0
        ),
        explanation: explanation(age, left_days, per_day),
        evidence: evidence([
            ("frozen_xid_age", json!(database.frozen_xid_age)),
            ("used_ratio", number(age / IDS)),
            ("transactions_left", json!((IDS - age).max(0.0))),
            ("transactions_per_day", json!(per_day.map(f64::round))),
            ("left_days", json!(left_days.map(f64::round))),
            (
                "oldest_tables",
                json!(oldest.iter().map(named).collect::<Vec<_>>()),
            ),
            ("autovacuum_freeze_max_age", json!(freeze_max_age)),
        ]),
        evidence_sql: Some(
            "SELECT oid::regclass, age(relfrozenxid) FROM pg_class WHERE relkind IN ('r', 'm', 't')\n  \
             ORDER BY 2 DESC LIMIT 10"
                .to_owned(),
        ),
        impact: Impact {
            days_left: left_days,
            ..Impact::default()
        },
        confidence: guards.confidence("read from pg_database"),
        remedy: remedy(server, database, &oldest, holder),
        guards: guards.told(),
        ..place.claim(XidWraparound::ID, severity, Vec::new(), Some(object))
    }
}

fn remedy(
    server: &ServerFacts,
    database: &DatabaseFacts,
    oldest: &[(String, String, i64)],
    holder: Option<&XminHolder>,
) -> Remedy {
    let mut remedy = Remedy {
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        ..Remedy::default()
    };
    if server.is_standby {
        remedy.caveats.push(
            "This is a standby: VACUUM runs on its primary, and what holds it back is to be looked for there. With \
             hot_standby_feedback that may be an old transaction here."
                .to_owned(),
        );
        return remedy;
    }
    if let Some(holder) = holder {
        remedy.caveats.push(format!(
            "First look at the {} {}: nothing younger than {} transactions can be frozen before it is gone.",
            holder.kind,
            holder.name,
            count_for_people(holder.age as f64)
        ));
    }
    if !database.allows_connections {
        open_for_a_moment(database, &mut remedy);
    } else if oldest.is_empty() {
        remedy
            .caveats
            .push("Its tables could not be looked at: run VACUUM in that database as its owner.".to_owned());
    } else {
        remedy.caveats.push(
            "These are the oldest, and of PostgreSQL's own catalogs only those that are older than \
             autovacuum_freeze_max_age. If the database stays old, that is by others and by the catalogs: VACUUM (FREEZE) \
             without a table, as a superuser, does the whole database."
                .to_owned(),
        );
    }
    let vacuum = |(schema, table, _): &(String, String, i64)| Statement::Vacuum {
        schema: schema.clone(),
        table: table.clone(),
        analyze: false,
        freeze: true,
    };
    remedy
        .apply_sql
        .extend(oldest.iter().map(|table| vacuum(table).sql()));
    remedy
        .caveats
        .push("Never VACUUM FULL here: it needs a transaction id and locks the table.".to_owned());
    remedy
}

/// Nobody can VACUUM a database that takes no connections, but autovacuum.
fn open_for_a_moment(database: &DatabaseFacts, remedy: &mut Remedy) {
    let allow = |allow| {
        let database = database.name.clone();
        Statement::AllowConnections { database, allow }.sql()
    };
    remedy.lock = None;
    remedy.apply_sql = vec![allow(true)];
    remedy.undo_sql = vec![allow(false)];
    remedy.caveats.push(format!(
        "Autovacuum freezes {}, too, though it takes no connections, and even while autovacuum is off: wait for it \
         first. If it does not come, allow connections for a moment, run VACUUM (FREEZE) there, and undo that from \
         another database.",
        database.name
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, observation, set, severities};

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |age: i64, failsafe: &str| {
            let mut observed = observation(vec![], 0.0);
            set(&mut observed, "autovacuum_freeze_max_age", "200000000");
            set(&mut observed, "vacuum_failsafe_age", failsafe);
            observed.server.databases = vec![DatabaseFacts {
                name: "template0".into(),
                frozen_xid_age: age,
                ..DatabaseFacts::default()
            }];
            severities::<XidWraparound>(&observed)
        };
        assert_eq!(severity(220_000_000, "1600000000"), []);
        assert_eq!(severity(220_000_001, "1600000000"), [Severity::Info]);
        assert_eq!(severity(1_073_741_824, "1600000000"), [Severity::Warning]);
        assert_eq!(
            severity(1_600_000_000, "1600000000"),
            [Severity::Critical],
            "the failsafe comes first"
        );
        assert_eq!(
            severity(1_717_986_919, "2100000000"),
            [Severity::Critical],
            "four fifths"
        );
    }

    #[test]
    fn the_day_is_named_when_the_pace_is_known() {
        let mut observed = observation(vec![], 0.0);
        set(&mut observed, "autovacuum_freeze_max_age", "200000000");
        observed.server.databases = vec![DatabaseFacts {
            name: "app".into(),
            frozen_xid_age: 1_147_483_648,
            ..DatabaseFacts::default()
        }];
        observed.transaction_ids_per_second = Some(1_000_000_000.0 / 86_400.0 / 20.0);
        let claim = &claims::<XidWraparound>(&observed).unwrap()[0];
        assert_eq!(claim.evidence["left_days"], json!(20.0));
        assert_eq!(claim.impact.days_left.map(f64::round), Some(20.0));
        assert!(claim.explanation.contains("in 20 days"), "{}", claim.explanation);
    }

    /// A server with one database of that age, with changes.
    fn old(age: i64, change: impl FnOnce(&mut ServerFacts, &mut DatabaseFacts)) -> Claim {
        let mut observed = observation(vec![], 0.0);
        set(&mut observed, "autovacuum_freeze_max_age", "200000000");
        let mut database = DatabaseFacts {
            name: "app".into(),
            allows_connections: true,
            frozen_xid_age: age,
            ..DatabaseFacts::default()
        };
        change(&mut observed.server, &mut database);
        observed.server.databases = vec![database];
        claims::<XidWraparound>(&observed).unwrap().remove(0)
    }

    #[test]
    fn on_a_standby_it_is_told_and_nothing_is_to_be_run() {
        let remedy = old(1_147_483_648, |server, _| server.is_standby = true).remedy;
        assert_eq!((remedy.apply_sql.len(), remedy.undo_sql.len()), (0, 0));
        assert!(remedy.caveats[0].contains("VACUUM runs on its primary"));
    }

    #[test]
    fn where_tables_are_named_the_catalogs_are_not_forgotten() {
        let oldest = [("public".to_owned(), "t".to_owned(), 250_000_000)];
        let database = DatabaseFacts {
            allows_connections: true,
            ..DatabaseFacts::default()
        };
        let remedy = remedy(&ServerFacts::default(), &database, &oldest, None);
        assert_eq!(remedy.apply_sql.len(), 1);
        assert!(remedy.caveats[0].contains("VACUUM (FREEZE) without a table"));
    }

    #[test]
    fn a_database_without_connections_has_a_way_of_its_own() {
        let closed = old(1_147_483_648, |_, database| {
            database.name = "template0".into();
            database.allows_connections = false;
        });
        assert_eq!(
            closed.remedy.apply_sql,
            ["ALTER DATABASE template0 ALLOW_CONNECTIONS true"]
        );
        assert_eq!(
            closed.remedy.undo_sql,
            ["ALTER DATABASE template0 ALLOW_CONNECTIONS false"]
        );
        assert!(closed.remedy.caveats[0].starts_with("Autovacuum freezes template0, too"));
        let open = old(1_147_483_648, |_, _| ());
        assert!(
            open.remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("run VACUUM in that database"))
        );
    }

    #[test]
    fn only_what_keeps_the_age_up_is_named() {
        let named = |age: i64, sees_all_sessions: bool| {
            let claim = old(1_147_483_648, |server, _| {
                server.sees_all_sessions = sees_all_sessions;
                server.xmin_holders = vec![XminHolder {
                    kind: "prepared transaction".into(),
                    name: "gid".into(),
                    database: None,
                    age,
                    since: None,
                    catalogs_only: false,
                }];
            });
            let is_first = claim.remedy.caveats[0].contains("prepared transaction gid");
            (is_first, claim.guards.join("; ").contains("not checked"))
        };
        assert_eq!(named(200_000_000, true), (true, false));
        assert_eq!(named(199_999_999, true), (false, false));
        assert_eq!(named(1, false), (false, true));
        assert_eq!(named(200_000_000, false), (true, false));
    }
}
