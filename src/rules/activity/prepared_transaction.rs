//! activity.prepared_transaction

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Object, ObjectKind, Severity, Who};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement, quote_literal};
use crate::model::session::{PreparedTransaction as Prepared, Session};
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number};

/// A transaction was prepared for a two-phase commit, and nobody has committed it or rolled it back.
///
/// ## Why it is bad
/// It belongs to no session, so that no timeout and no restart ends it. Its locks stay, VACUUM cannot remove row versions
/// that died since, and in the end transaction ids run out because of it. A transaction manager that works finishes
/// within seconds; one that is left over is mostly that of a crash between the two phases.
///
/// ## What to do
/// Ask the transaction manager by the gid what was decided. Then run COMMIT PREPARED or ROLLBACK PREPARED, in the
/// database in which it was prepared, as its owner or a superuser.
///
/// ## When it is wrong to obey
/// If the other participants have committed, a rollback here leaves the data of both sides apart: then it must be COMMIT
/// PREPARED. While a participant is down for maintenance the manager may finish the work itself as soon as it is back.
///
/// Source: PostgreSQL's page "PREPARE TRANSACTION".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreparedTransaction {
    /// How long it has been prepared when it is a warning.
    warning_age: Period,
    /// How long it has been prepared when it is critical.
    critical_age: Period,
}

impl Default for PreparedTransaction {
    fn default() -> Self {
        Self {
            warning_age: Period::minutes(5),
            critical_age: Period::minutes(60),
        }
    }
}

impl Rule for PreparedTransaction {
    const ID: &'static str = "activity.prepared_transaction";
    const SCOPE: Scope = Scope::Server;
    /// What was committed or rolled back is gone: the next one is told only after `warning_age` again.
    const CLEAR: Period = Period::seconds(0);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        // a standby has them in its WAL and shows none
        place.on_primary()?;
        let all = place
            .observation
            .prepared_transactions
            .as_ref()
            .map_err(Clone::clone)?;
        let mut oldest: Vec<&Prepared> = all.iter().collect();
        oldest.sort_by(|a, b| a.prepared_at.cmp(&b.prepared_at).then_with(|| a.gid.cmp(&b.gid)));
        let mut found = Found::default();
        for prepared in oldest {
            let at = Some(prepared.prepared_at);
            let age = Session::seconds_since(at, place.observation.now).unwrap_or(0.0);
            if let Some(severity) = self.severity(age) {
                found.claim_worst_first(
                    place,
                    || vec![prepared.gid.clone()],
                    || claim(place, prepared, age, severity),
                );
            }
        }
        Ok(found)
    }
}

impl PreparedTransaction {
    fn severity(&self, age: f64) -> Option<Severity> {
        if age >= self.critical_age.as_seconds() {
            Some(Severity::Critical)
        } else if age >= self.warning_age.as_seconds() {
            Some(Severity::Warning)
        } else {
            None
        }
    }
}

/// The object of a prepared transaction.
pub fn object(gid: &str) -> Object {
    Object {
        kind: ObjectKind::PreparedTransaction,
        schema: None,
        name: gid.to_owned(),
        table: None,
    }
}

/// How a prepared transaction is rolled back, and what to ask before.
pub fn remedy(gid: &str, database: &str) -> Remedy {
    Remedy {
        apply_sql: vec![Statement::RollbackPrepared { gid: gid.to_owned() }.sql()],
        caveats: vec![
            "First ask the transaction manager what was decided: if the other participants have committed, it must be \
             COMMIT PREPARED instead."
                .to_owned(),
            format!("Run it in the database {database}, as the owner of the transaction or a superuser."),
            "Rolling back loses what the transaction has written; it cannot be undone.".to_owned(),
        ],
        ..Remedy::default()
    }
}

fn claim(place: &Place<'_>, prepared: &Prepared, age: f64, severity: Severity) -> Claim {
    let lasted = seconds_for_people(age);
    Claim {
        database: Some(prepared.database.clone()),
        who: Who {
            roles: prepared.owner.iter().cloned().collect(),
            applications: Vec::new(),
        },
        title: format!(
            "The prepared transaction {} has been waiting for {lasted}",
            prepared.gid
        ),
        explanation: format!(
            "{} prepared it in the database {} {lasted} ago, and nobody has committed it or rolled it back. Its locks \
             stay, even over a restart, and VACUUM cannot remove row versions that died in the last {} transactions. \
             Ask the transaction manager what was decided.",
            prepared.owner.as_deref().unwrap_or("An unknown role"),
            prepared.database,
            count_for_people(prepared.xid_age as f64),
        ),
        evidence: evidence([
            ("gid", json!(prepared.gid)),
            ("owner", json!(prepared.owner)),
            ("prepared_at", json!(prepared.prepared_at)),
            ("age_seconds", number(age)),
            ("xid_age_transactions", json!(prepared.xid_age)),
        ]),
        evidence_sql: Some(format!(
            "SELECT gid, owner, database, prepared, age(transaction) FROM pg_prepared_xacts WHERE gid = {}",
            quote_literal(&prepared.gid)
        )),
        confidence: measured("read from pg_prepared_xacts"),
        remedy: remedy(&prepared.gid, &prepared.database),
        ..place.claim(
            PreparedTransaction::ID,
            severity,
            vec![prepared.gid.clone()],
            Some(object(&prepared.gid)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, now, observation, severities};

    fn observed(prepared: &[(&str, i64)]) -> Observation {
        let mut observed = observation(vec![], 0.0);
        let transaction = |(gid, seconds): &(&str, i64)| Prepared {
            gid: (*gid).to_owned(),
            owner: Some("app".into()),
            database: "shop".into(),
            prepared_at: now() - TimeDelta::seconds(*seconds),
            xid_age: 7,
        };
        observed.prepared_transactions = Ok(prepared.iter().map(transaction).collect());
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |seconds| severities::<PreparedTransaction>(&observed(&[("a", seconds)]));
        assert_eq!(severity(299), []);
        assert_eq!(severity(300), [Severity::Warning]);
        assert_eq!(severity(3599), [Severity::Warning]);
        assert_eq!(severity(3600), [Severity::Critical]);
    }

    #[test]
    fn each_is_named_with_its_database_the_oldest_first() {
        let found =
            claims::<PreparedTransaction>(&observed(&[("new", 600), ("it's b", 700), ("a", 700)])).unwrap();
        let names: Vec<_> = found.iter().map(|claim| claim.subject.join(".")).collect();
        assert_eq!(names, ["a", "it's b", "new"]);
        assert_eq!(found[1].database.as_deref(), Some("shop"));
        assert_eq!(found[1].remedy.apply_sql, ["ROLLBACK PREPARED 'it''s b'"]);
        assert!(found[1].remedy.caveats[1].contains("in the database shop"));
        assert!(
            found[1]
                .evidence_sql
                .as_ref()
                .unwrap()
                .ends_with("WHERE gid = 'it''s b'")
        );
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        let mut unread = observed(&[]);
        unread.prepared_transactions = Err(Unknown::because("not read"));
        assert_eq!(
            claims::<PreparedTransaction>(&unread).unwrap_err().reason,
            "not read"
        );
        let mut standby = observed(&[("a", 700)]);
        standby.server.is_standby = true;
        assert!(claims::<PreparedTransaction>(&standby).is_err());
    }
}
