//! matview.not_concurrent

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{MaterializedViewObservation, Unknown};
use crate::model::remedy::{NAME_BYTES, Remedy, Statement, quote_identifier};
use crate::rules::{
    Found, Guards, Place, Rule, Scope, estimated, evidence, measured, view_object, view_subject,
};

/// A materialized view that is read has no unique index, so that each refresh locks its readers out.
///
/// ## Why it is bad
/// A plain REFRESH holds ACCESS EXCLUSIVE for its whole run: nobody reads the view meanwhile, and who comes while it waits
/// for a reader waits behind it. CONCURRENTLY lets readers go on, but needs a unique index on plain columns over all rows.
/// One that is partial, or has an expression, does not count.
///
/// ## What to do
/// Create the index. Where the view's own query shows which columns are unique (what it groups by, what it is DISTINCT in),
/// the statement says them, and no row has to be read to know it. Where it does not, think of which columns identify a row.
///
/// ## When it is wrong to obey
/// A view that is refreshed while nobody reads it is better refreshed plainly: CONCURRENTLY takes several times as long and
/// writes every changed row to the WAL.
///
/// Source: PostgreSQL's page "REFRESH MATERIALIZED VIEW".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotConcurrent {
    /// A view without a history of ours counts as read if it was scanned so often.
    pub min_scans: i64,
}

impl Default for NotConcurrent {
    fn default() -> Self {
        Self { min_scans: 20 }
    }
}

impl Rule for NotConcurrent {
    const ID: &'static str = "matview.not_concurrent";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let mut found = Found::default();
        for observed in place.materialized_views()? {
            let view = &observed.facts.view;
            if view.unique_index.is_some() || !view.is_populated {
                continue;
            }
            let known = observed
                .refreshing
                .as_ref()
                .and_then(|refreshing| refreshing.status.has_readers);
            match known {
                Some(true) => {
                    found.claim_worst_first(place, || view_subject(view), || claim(place, observed, true))
                }
                Some(false) => {}
                None if view.scans >= self.min_scans => {
                    found.claim_worst_first(place, || view_subject(view), || claim(place, observed, false));
                }
                None => found.undecided.push(view_subject(view)),
            }
        }
        if !found.undecided.is_empty() {
            found.untold = Some("it is not known yet whether some views are read".to_owned());
        }
        Ok(found)
    }
}

/// A name that says what it is, and that no other index has.
fn index_name(
    place: &Place<'_>,
    observed: &MaterializedViewObservation,
    columns: &[String],
) -> Option<String> {
    let view = &observed.facts.view.name;
    let name = format!("{}_{}_key", view.name, columns.join("_"));
    let is_taken = place.database?.catalog.is_taken(&view.schema, &name);
    (name.len() <= NAME_BYTES && !is_taken).then_some(name)
}

fn claim(place: &Place<'_>, observed: &MaterializedViewObservation, is_read: bool) -> Claim {
    let view = &observed.facts.view;
    let name = view.name.sql();
    let index = observed
        .facts
        .unique_columns
        .as_ref()
        .and_then(|columns| index_name(place, observed, columns));
    let undo = index.as_ref().map(|name| Statement::DropIndexConcurrently {
        schema: view.name.schema.clone(),
        name: name.clone(),
    });
    let create =
        observed
            .facts
            .unique_columns
            .as_ref()
            .map(|columns| Statement::CreateUniqueIndexConcurrently {
                name: index.clone(),
                schema: view.name.schema.clone(),
                table: view.name.name.clone(),
                columns: columns.clone(),
            });
    let mut guards = Guards::default();
    guards.checked("no unique index on plain columns over all rows is valid");
    match is_read {
        true => guards.checked("it was scanned between two looks without a refresh"),
        false => guards.not_checked("how many of its scans were those of refreshes"),
    }
    match create.is_some() {
        true => guards.checked("its own query shows that these columns are unique"),
        false => guards.not_checked("which of its columns are unique: its query does not show it"),
    }
    let what_is_there = match view.unusable_indexes[..] {
        [] => "It has no unique index".to_owned(),
        ref unusable => format!("Its unique indexes cannot be used ({})", unusable.join(", ")),
    };
    Claim {
        title: format!("Each refresh of {name} locks its readers out"),
        explanation: format!(
            "{what_is_there}, so that REFRESH CONCURRENTLY is not possible, and a plain one lets nobody read the view \
             for as long as it takes."
        ),
        evidence: evidence([
            ("scans", json!(view.scans)),
            ("unusable_indexes", json!(view.unusable_indexes)),
        ]),
        evidence_sql: Some(format!(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = {} AND tablename = {}",
            crate::model::remedy::quote_literal(&view.name.schema),
            crate::model::remedy::quote_literal(&view.name.name)
        )),
        confidence: match is_read {
            true => measured("somebody was seen to read it"),
            false => estimated("scans of refreshes are among those that were counted"),
        },
        remedy: Remedy {
            apply_sql: create.iter().map(Statement::sql).collect(),
            undo_sql: undo.iter().map(Statement::sql).collect(),
            lock: create.is_some().then(|| "SHARE UPDATE EXCLUSIVE".to_owned()),
            caveats: match &observed.facts.unique_columns {
                Some(columns) => vec![format!(
                    "Only {} may be in it as they are, without expressions and for all rows.",
                    columns.iter().map(|column| quote_identifier(column)).collect::<Vec<_>>().join(", ")
                )],
                None => vec![
                    "Choose columns that identify a row, and create a UNIQUE INDEX on them without expressions and for all \
                     rows."
                        .to_owned(),
                ],
            },
            ..Remedy::default()
        },
        guards: guards.told(),
        ..place.claim(NotConcurrent::ID, Severity::Info, view_subject(view), Some(view_object(view)))
    }
}
