//! What an advised index means for updates: those of a column that it holds, and that no other index does, are not HOT any more.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::model::advice::AdvisedIndex;
use crate::rules::Place;
use crate::rules::index::blocks_hot::{Updates, held_columns, hot_share};
use crate::rules::whole_tables::Wholes;

/// The tables of a place with their parts, and the statements that update them: worked out once, when first asked for.
pub(super) struct Updated<'p, 'a> {
    /// The place.
    pub(super) place: &'p Place<'a>,
    known: OnceCell<(Wholes<'a>, Updates<'a>)>,
}

impl<'p, 'a> Updated<'p, 'a> {
    /// Of a place.
    pub(super) fn of(place: &'p Place<'a>) -> Self {
        Self {
            place,
            known: OnceCell::new(),
        }
    }
}

/// Updates that are HOT only as long as an index is not there.
pub(super) struct EndedHot {
    /// The columns that captured statements set, and that only the advised indexes hold.
    pub(super) columns: BTreeSet<String>,
    /// The part of the table's updates, 0 to 1, that are HOT now, where they are counted and there are some.
    pub(super) hot_ratio: Option<f64>,
}

impl EndedHot {
    /// Of the indexes that one finding advises; none where they end nothing as far as captured statements tell.
    pub(super) fn by(updated: &Updated<'_, '_>, indexes: &[&AdvisedIndex]) -> Option<Self> {
        let place = updated.place;
        let (database, first) = (place.database?, indexes.first()?);
        let version_num = place.observation.server.version_num;
        let catalog = &database.catalog;
        let table = catalog.table_named(&first.schema, &first.table)?;
        let there = catalog.indexes_of(table.oid);
        let held_now: BTreeSet<String> = there
            .filter_map(|facts| facts.definition.as_deref())
            .flat_map(|definition| held_columns(definition, version_num))
            .collect();
        let held_then: BTreeSet<String> = indexes
            .iter()
            .flat_map(|index| held_columns(&index.definition, version_num))
            .collect();
        let known = updated
            .known
            .get_or_init(|| (Wholes::of(database), Updates::of(place)));
        let (wholes, updates) = known;
        let whole = wholes.get(table);
        let mut columns = updates.columns(&whole);
        columns.retain(|column| held_then.contains(column) && !held_now.contains(column));
        let is_updated = whole.sum(|delta| delta.updated) > 0;
        (!columns.is_empty()).then(|| Self {
            columns,
            hot_ratio: is_updated.then(|| hot_share(&whole)),
        })
    }

    /// As a caveat.
    pub(super) fn told(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let now = self.hot_ratio.map_or_else(String::new, |ratio| {
            format!(" Now {:.0} % of the table's updates are HOT.", ratio * 100.0)
        });
        format!(
            "Captured statements set {}, which no index holds yet: such updates are not HOT any more, so that each writes to every \
             index of the table.{now}",
            columns.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Missing;
    use crate::model::catalog::{Catalog, IndexFacts};
    use crate::rules::testing::{
        advised, advised_statement, claims, index, last_hour, observation, statement, table, tables,
    };
    use serde_json::json;

    /// What is told of an index that is advised, where one is there, a statement sets some columns, and so many of 100
    /// updates were HOT.
    fn told(rest: &str, there: &str, update: &str, hot: Option<i64>) -> (Option<String>, serde_json::Value) {
        let create = format!("CREATE INDEX CONCURRENTLY t_new_idx ON public.t USING {rest}");
        let facts = table(1, "t", 1e5, 1e7);
        let mut observed = tables(vec![facts.clone()]);
        observed.statements = observation(vec![statement(update, 9, 1.0)], 0.0).statements;
        let database = &mut observed.databases[0];
        let existing = IndexFacts {
            definition: Some(format!("CREATE INDEX i ON public.t USING {there}").into()),
            ..index(9, "i")
        };
        database.catalog = Arc::new(Catalog::new(vec![facts].into(), vec![existing].into()));
        database.table_activity = Ok(hot
            .map(|hot| last_hour(1, |delta| (delta.updated, delta.hot_updated) = (100, hot)))
            .into_iter()
            .collect());
        let reader = advised_statement("s1", &[&create], Some(0.0));
        database.advice = Ok(Arc::new(advised(&[&create], vec![reader])));
        let claim = claims::<Missing>(&observed).unwrap().remove(0);
        let mut caveats = claim.remedy.caveats.into_iter();
        let hot = caveats.find(|caveat| caveat.contains("not HOT any more"));
        (hot, claim.evidence.get("hot_ratio").cloned().unwrap_or_default())
    }

    #[test]
    fn updates_that_end_to_be_hot_are_told_with_how_many_are_now() {
        let update = "UPDATE t SET done_at = $1 WHERE id = $2";
        let (caveat, ratio) = told("btree (done_at)", "btree (id)", update, Some(93));
        let caveat = caveat.unwrap();
        assert!(caveat.contains("set done_at,"), "{caveat}");
        assert!(
            caveat.ends_with("Now 93 % of the table's updates are HOT."),
            "{caveat}"
        );
        assert_eq!(ratio, json!(0.93));
        let (caveat, ratio) = told("btree (a) WHERE done_at IS NULL", "btree (id)", update, None);
        assert!(caveat.unwrap().ends_with("every index of the table."));
        assert_eq!(ratio, json!(null), "nobody counted");
        let nothing = |rest: &str, there: &str| told(rest, there, update, Some(93)).0.is_none();
        assert!(nothing("btree (a)", "btree (id)"), "it is not set");
        assert!(
            nothing("btree (done_at)", "btree (id, done_at)"),
            "they are not HOT now"
        );
        assert!(nothing("brin (done_at)", "btree (id)"));
    }
}
