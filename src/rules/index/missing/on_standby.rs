//! What is missing on a standby, which is read-only: it is made on the primary, and comes from there.

use serde_json::{Value, json};

use crate::model::advice::AdvisedIndex;
use crate::model::observation::Unknown;
use crate::model::remedy::Remedy;
use crate::model::snapshot::ServerFacts;

/// What is to be built, by which a daemon that starts again knows it once it is there; of a primary the remedy tells.
pub(super) fn definitions(server: &ServerFacts, indexes: &[&AdvisedIndex]) -> Value {
    match server.is_standby {
        true => indexes.iter().map(|index| json!(index.definition)).collect(),
        false => Value::Null,
    }
}

/// The same with nothing to run here, and told what to run on the primary.
pub(super) fn built_on_its_primary(remedy: Remedy) -> Remedy {
    let on_primary = format!(
        "This is a standby, which is read-only: run on its primary, from where it comes here by replication: {}. To undo it \
         there: {}. Where the same index is told of the primary, too, it is made once for both.",
        remedy.apply_sql.join("; "),
        remedy.undo_sql.join("; ")
    );
    let price = "What the table's writes pay for it on the primary is not taken off: they are not seen here.";
    let mut caveats = vec![on_primary, price.to_owned()];
    caveats.extend(remedy.caveats);
    Remedy {
        apply_sql: Vec::new(),
        undo_sql: Vec::new(),
        caveats,
        ..remedy
    }
}

/// Why the planner was not asked; what mends that is run on the primary, too.
pub(super) fn mended(unknown: Unknown, server: &ServerFacts) -> Unknown {
    match unknown.remedy_sql {
        Some(sql) if server.is_standby => Unknown {
            reason: format!(
                "{}. This is a standby: on its primary, {sql} mends it",
                unknown.reason
            ),
            remedy_sql: None,
        },
        remedy_sql => Unknown {
            remedy_sql,
            ..unknown
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Missing;
    use crate::model::observation::{Observation, Unknown};
    use crate::rules::testing::{advised, advised_statement, claims, database, found, index};

    const CREATE: &str = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";

    /// A standby, or its primary, whose statement lacks an index that takes the place of another.
    fn observed(is_standby: bool) -> Observation {
        let mut advice = advised(&[CREATE], vec![advised_statement("s1", &[CREATE], Some(0.0))]);
        let missing = &mut advice.report.indexes[0];
        missing.supersedes = vec!["DROP INDEX CONCURRENTLY public.t_old".to_owned()];
        missing.write_cost_per_day = Some(7.0);
        let mut observed = database(vec![]);
        observed.server.is_standby = is_standby;
        observed.databases[0].advice = Ok(Arc::new(advice));
        observed
    }

    #[test]
    fn what_a_standby_lacks_is_made_on_its_primary_and_nothing_is_dropped_for_it() {
        let on_standby = claims::<Missing>(&observed(true)).unwrap().remove(0);
        let on_primary = claims::<Missing>(&observed(false)).unwrap().remove(0);
        assert_eq!(on_primary.remedy.apply_sql, [CREATE]);
        assert!(on_standby.remedy.apply_sql.is_empty() && on_standby.remedy.undo_sql.is_empty());
        let first = &on_standby.remedy.caveats[0];
        assert!(
            first.contains(&format!(
                "run on its primary, from where it comes here by replication: {CREATE}. To undo"
            )),
            "{first}"
        );
        let names_old = |caveats: &[String]| caveats.iter().any(|caveat| caveat.contains("t_old"));
        assert!(names_old(&on_primary.remedy.caveats) && !names_old(&on_standby.remedy.caveats));
        let guards = on_standby.guards.join("; ");
        assert!(
            guards.contains("not checked: what the table's writes, which only the primary sees"),
            "{guards}"
        );
        assert_eq!(on_standby.evidence["definitions"], serde_json::json!([CREATE]));
        assert!(!on_primary.evidence.contains_key("definitions"));
        assert!(on_primary.evidence.contains_key("write_cost_per_day"));
        assert!(!on_standby.evidence.contains_key("write_cost_per_day"));
    }

    #[test]
    fn what_came_from_the_primary_is_mended() {
        let mut standby = observed(true);
        let advice = standby.databases[0].advice.clone();
        standby.databases = database(vec![index(8, "t_a_idx")]).databases;
        standby.databases[0].advice = advice;
        let found = found::<Missing>(&standby).unwrap();
        assert_eq!((found.claims.len(), found.mended.len()), (0, 1));
    }

    #[test]
    fn what_a_standby_is_given_is_not_to_be_run_there() {
        let mut standby = observed(true);
        for sql in [
            "CREATE EXTENSION IF NOT EXISTS hypopg SCHEMA public",
            "ALTER ROLE r SET track_counts = off",
        ] {
            standby.databases[0].advice = Err(Unknown {
                reason: "it cannot be asked".to_owned(),
                remedy_sql: Some(sql.to_owned()),
            });
            let unknown = found::<Missing>(&standby).unwrap_err();
            assert_eq!(unknown.remedy_sql, None);
            assert!(
                unknown
                    .reason
                    .ends_with(&format!("on its primary, {sql} mends it")),
                "{}",
                unknown.reason
            );
        }
    }
}
