//! matview.unpopulated

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::refresh::MaterializedView;
use crate::model::remedy::{Remedy, Statement};
use crate::model::unit::Period;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, view_object, view_subject};

/// A materialized view has never been filled: every query of it fails.
///
/// ## Why it is bad
/// `WITH NO DATA`, a restore, or a first REFRESH that failed leaves a view that cannot be read: "materialized view has not
/// been populated". Who reads it gets this error, and nothing else.
///
/// ## What to do
/// Refresh it once. The first time this must be plain, not CONCURRENTLY; nobody can be waiting for it.
///
/// ## When it is wrong to obey
/// While a restore or a deployment is going on that fills it later.
///
/// Source: PostgreSQL's page "REFRESH MATERIALIZED VIEW".
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unpopulated {}

impl Rule for Unpopulated {
    const ID: &'static str = "matview.unpopulated";
    const SCOPE: Scope = Scope::Database;
    const HOLD: Period = Period::minutes(5);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let empty = place.materialized_views()?.iter().map(|view| &view.facts.view);
        let mut found = Found::default();
        for view in empty.filter(|view| !view.is_populated) {
            found.claim_worst_first(place, || view_subject(view), || claim(place, view));
        }
        Ok(found)
    }
}

fn claim(place: &Place<'_>, view: &MaterializedView) -> Claim {
    let name = view.name.sql();
    let refresh = Statement::RefreshMaterializedView {
        concurrently: false,
        schema: view.name.schema.clone(),
        name: view.name.name.clone(),
    };
    Claim {
        title: format!("{name} has never been filled"),
        explanation: format!("Every query of {name} fails until it is refreshed for the first time."),
        evidence: evidence([("owner", json!(view.owner))]),
        evidence_sql: Some(
            "SELECT schemaname, matviewname FROM pg_matviews WHERE NOT ispopulated ORDER BY 1, 2".to_owned(),
        ),
        confidence: measured("read from pg_class"),
        remedy: Remedy {
            apply_sql: vec![refresh.sql()],
            lock: Some("ACCESS EXCLUSIVE".to_owned()),
            rewrites_table: Some(true),
            caveats: vec!["It runs the whole query of the view.".to_owned()],
            ..Remedy::default()
        },
        guards: vec!["it lasted longer than a deployment usually takes".to_owned()],
        ..place.claim(
            Unpopulated::ID,
            Severity::Warning,
            view_subject(view),
            Some(view_object(view)),
        )
    }
}
