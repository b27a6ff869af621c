//! advisor.privilege_gap

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::Remedy;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured};

/// A right that the advisor's login lacks, and the rules that cannot be judged without it.
///
/// ## Why it is bad
/// What cannot be read is never guessed: the rules that need it are skipped, and say nothing, neither good nor bad.
///
/// ## What to do
/// Run the GRANT as a superuser, or as the owner of the object. It is the least that these rules need.
///
/// ## When it is wrong to obey
/// If the rules that it costs do not interest you. Then mark this finding as no problem.
///
/// `pgadvisor setup` prints all that the advisor's logins need. Source: PostgreSQL's chapter "Predefined Roles".
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivilegeGap {}

impl Rule for PrivilegeGap {
    const ID: &'static str = "advisor.privilege_gap";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let login = &place.observation.server.login;
        let mut claims = Vec::new();
        for gap in &place.observation.gaps {
            let Some(privilege) = &gap.missing_privilege else {
                continue;
            };
            let object = Object {
                kind: ObjectKind::Role,
                schema: None,
                name: login.clone(),
                table: None,
            };
            claims.push(Claim {
                database: gap.database.clone(),
                title: format!("The advisor's login {login} lacks {privilege}"),
                explanation: format!("{}. Not judged without it: {}.", gap.why, gap.rules.join(", ")),
                evidence: evidence([
                    ("missing", json!(privilege)),
                    ("fact", json!(gap.fact)),
                    ("rules", json!(gap.rules)),
                ]),
                confidence: measured("the server said so"),
                remedy: Remedy {
                    apply_sql: gap.remedy_sql.iter().cloned().collect(),
                    ..Remedy::default()
                },
                ..place.claim(Self::ID, Severity::Info, vec![privilege.clone()], Some(object))
            });
        }
        Ok(Found {
            claims,
            ..Found::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::Gap;
    use crate::rules::testing::{claims, observation};

    #[test]
    fn only_missing_rights_are_its_business() {
        let mut observed = observation(vec![], 0.0);
        let gap = |privilege: Option<&str>| Gap {
            fact: "f".into(),
            database: None,
            why: "w".into(),
            remedy_sql: Some("GRANT x TO y".into()),
            missing_privilege: privilege.map(str::to_owned),
            rules: vec!["query.*".into()],
        };
        let of_sequences = Gap {
            database: Some("shop".into()),
            ..gap(Some("SELECT on sequences of database shop"))
        };
        observed.gaps = vec![gap(None), gap(Some("membership in pg_monitor")), of_sequences];
        let found = claims::<PrivilegeGap>(&observed).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].database.as_deref(), Some("shop"));
        assert!(
            found[1]
                .title
                .ends_with("lacks SELECT on sequences of database shop")
        );
        assert_eq!(found[0].remedy.apply_sql, ["GRANT x TO y"]);
    }
}
