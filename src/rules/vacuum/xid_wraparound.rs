//! vacuum.xid_wraparound

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{Remedy, Statement};
use crate::model::snapshot::DatabaseFacts;
use crate::model::unit::count_for_people;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number};

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
/// Template databases and those that take no connections count, too: theirs stop the server just as well. Source:
/// PostgreSQL's chapter "Preventing Transaction ID Wraparound Failures".
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
            Some(claim(place, database, severity))
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
            let owner = table.toast_of.and_then(|oid| tables.get(&oid)).unwrap_or(table);
            (owner.schema.clone(), owner.name.clone(), table.frozen_xid_age)
        })
        .collect();
    ages.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
    ages.dedup_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1));
    ages.truncate(TABLES_NAMED);
    ages
}

fn claim(place: &Place<'_>, database: &DatabaseFacts, severity: Severity) -> Claim {
    let server = &place.observation.server;
    let oldest = oldest(
        place
            .observation
            .databases
            .iter()
            .find(|observed| observed.name == database.name),
    );
    let age = database.frozen_xid_age as f64;
    let per_day = place
        .observation
        .transaction_ids_per_second
        .map(|rate| rate * 86_400.0);
    // at less than one a day there is no day to name
    let left_days = per_day
        .filter(|rate| *rate >= 1.0)
        .map(|rate| (IDS - age).max(0.0) / rate);
    let mut caveats =
        vec!["Never VACUUM FULL here: it needs a transaction id and locks the table.".to_owned()];
    if let Some(holder) = server.xmin_holders.first() {
        caveats.insert(
            0,
            format!(
                "First look at the {} {}: nothing younger than {} transactions can be frozen before it is gone.",
                holder.kind,
                holder.name,
                count_for_people(holder.age as f64)
            ),
        );
    }
    if oldest.is_empty() {
        caveats
            .push("Its tables could not be looked at: run VACUUM in that database as its owner.".to_owned());
    }
    let vacuum = |(schema, table, _): &(String, String, i64)| {
        Statement::Vacuum {
            schema: schema.clone(),
            table: table.clone(),
            analyze: false,
            freeze: true,
        }
        .sql()
    };
    let object = Object {
        kind: ObjectKind::Database,
        schema: None,
        name: database.name.clone(),
        table: None,
    };
    Claim {
        database: Some(database.name.clone()),
        title: format!(
            "{}: {:.0} % of all transaction ids are used up",
            database.name,
            age / IDS * 100.0
        ),
        explanation: format!(
            "The oldest row that is not frozen is {} transactions old, of {} that there are. Writes stop when they run out{}.",
            count_for_people(age),
            count_for_people(IDS),
            left_days.map_or(String::new(), |days| format!(
                ": at today's pace in {} days",
                count_for_people(days)
            ))
        ),
        evidence: evidence([
            ("frozen_xid_age", json!(database.frozen_xid_age)),
            ("used_ratio", number(age / IDS)),
            ("transactions_left", json!((IDS - age).max(0.0))),
            ("transactions_per_day", json!(per_day.map(f64::round))),
            ("left_days", json!(left_days.map(f64::round))),
            (
                "oldest_tables",
                json!(
                    oldest
                        .iter()
                        .map(|(schema, table, age)| format!("{schema}.{table}: {age}"))
                        .collect::<Vec<_>>()
                ),
            ),
            (
                "autovacuum_freeze_max_age",
                json!(server.setting_number("autovacuum_freeze_max_age")),
            ),
        ]),
        evidence_sql: Some(
            "SELECT oid::regclass, age(relfrozenxid) FROM pg_class WHERE relkind IN ('r', 'm', 't')\n  \
             ORDER BY 2 DESC LIMIT 10"
                .to_owned(),
        ),
        impact: Impact::default(),
        confidence: measured("read from pg_database"),
        remedy: Remedy {
            apply_sql: oldest.iter().map(vacuum).collect(),
            undo_sql: Vec::new(),
            lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
            rewrites_table: Some(false),
            extra_disk_bytes: Some(0.0),
            expected_seconds: None,
            caveats,
        },
        guards: vec![
            "template databases are included".to_owned(),
            match per_day {
                Some(_) => "how fast ids are used was measured over some hours".to_owned(),
                None => {
                    "not checked: how fast ids are used, which needs looks that are 5 min apart".to_owned()
                }
            },
        ],
        ..place.claim(XidWraparound::ID, severity, Vec::new(), Some(object))
    }
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
        assert!(claim.explanation.contains("in 20 days"), "{}", claim.explanation);
    }
}
