//! What the store knows of the object of a finding, for its page.

use chrono::{DateTime, Utc};

use super::pages::changes;
use super::pages::finding_chart::{ObjectCharts, ObjectHistory, SHOWN};
use super::problem::Problem;
use crate::model::finding::{Claim, Object, ObjectKind};
use crate::store::Store;

/// A statement, table or index over the last week; nothing of anything else, or where the store has no history of it.
pub fn object_charts(store: &Store, claim: &Claim, now: DateTime<Utc>) -> Result<ObjectCharts, Problem> {
    let Some((object, database)) = claim.object.as_ref().zip(claim.database.as_deref()) else {
        return Ok(ObjectCharts::default());
    };
    let place = (claim.server.as_str(), database);
    let Some(history) = history(store, place, object, now)? else {
        return Ok(ObjectCharts::default());
    };
    let changes = store.server_changes(&claim.server)?;
    let changes = match history {
        ObjectHistory::Statement(_) => changes::of_statements(&changes),
        ObjectHistory::Table(_) | ObjectHistory::Index(_) => changes::of_relations(&changes, database),
    };
    Ok(ObjectCharts::of(
        place,
        object,
        &history,
        claim.evidence_window,
        changes,
    ))
}

fn history(
    store: &Store,
    (server, database): (&str, &str),
    object: &Object,
    now: DateTime<Utc>,
) -> Result<Option<ObjectHistory>, Problem> {
    let (from, name) = (now - SHOWN.length(), object.name.as_str());
    let schema = object.schema.as_deref();
    Ok(match (object.kind, schema) {
        (ObjectKind::Statement, _) => store
            .statement_history(server, database, name, from, now)?
            .map(|(_, points)| ObjectHistory::Statement(points)),
        (ObjectKind::Table | ObjectKind::MaterializedView, Some(schema)) => store
            .table_history(server, database, schema, name, from, now)?
            .map(ObjectHistory::Table),
        (ObjectKind::Index, Some(schema)) => store
            .index_history(server, database, schema, name, from, now)?
            .map(ObjectHistory::Index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    #[test]
    fn nothing_is_drawn_of_what_has_no_history_here() {
        let store = Store::in_memory().unwrap();
        let now = sample::now();
        let mut claim = sample::finding("index.unused", sample::HOSTILE).claim;
        for kind in [
            ObjectKind::Table,
            ObjectKind::Index,
            ObjectKind::Statement,
            ObjectKind::Role,
        ] {
            claim.object.as_mut().unwrap().kind = kind;
            assert_eq!(
                object_charts(&store, &claim, now).unwrap(),
                ObjectCharts::default()
            );
        }
        claim.database = None;
        assert_eq!(
            object_charts(&store, &claim, now).unwrap(),
            ObjectCharts::default()
        );
    }
}
