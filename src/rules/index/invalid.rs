//! index.invalid

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{Claim, Impact, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
use crate::model::unit::bytes_for_people;
use crate::rules::{Found, Place, Rule, Scope, evidence, index_object, measured};

/// An index that is written to but never used, because its build failed.
///
/// ## Why it is bad
/// CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY was interrupted and left it behind. Every write still pays for it, no
/// query can use it, and a unique one enforces nothing: rows that it was to forbid may be there.
///
/// ## What to do
/// Build it anew with REINDEX INDEX CONCURRENTLY, or drop it. What a failed REINDEX left behind (`_ccnew`, `_ccold`) is
/// dropped: the index that it was made for is still there.
///
/// ## When it is wrong to obey
/// While a build is running, also in another session: as long as one works on the table, or on a table that the login may
/// not see, nothing is said. An index of a partitioned table that is waiting for its partitions to be attached is left
/// out, too.
///
/// Source: PostgreSQL's pages of CREATE INDEX ("Building Indexes Concurrently") and REINDEX.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invalid {}

impl Rule for Invalid {
    const ID: &'static str = "index.invalid";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut found = Found::default();
        let invalid =
            |facts: &IndexFacts| !(facts.is_valid || facts.is_partitioned || facts.owned_by_extension);
        for (index, facts) in database.indexes_with_facts().filter(|(_, facts)| invalid(facts)) {
            let Some(table) = database.table_of(facts) else {
                continue;
            };
            let untold = match index.table_is_being_indexed {
                Some(false) if !facts.may_be_in_progress => {
                    found.claims.push(claim(place, facts, table));
                    continue;
                }
                None => {
                    "not checked: whether invalid indexes are being built just now: a build is running, and without \
                     pg_read_all_stats its table cannot be seen"
                }
                _ => "an index is being built on the tables of some invalid indexes just now",
            };
            found
                .undecided
                .push(vec![facts.schema.clone(), facts.name.clone()]);
            found.untold = Some(untold.to_owned());
        }
        Ok(found)
    }
}

/// What REINDEX CONCURRENTLY names the index that it builds, or the old one that it has yet to drop.
fn is_left_by_reindex(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name.ends_with("_ccnew") || name.ends_with("_ccold")
}

fn claim(place: &Place<'_>, facts: &IndexFacts, table: &TableFacts) -> Claim {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let leftover = is_left_by_reindex(&name);
    let failed_unique = facts.is_unique && !leftover;
    let drop = Statement::DropIndexConcurrently {
        schema: schema.clone(),
        name: name.clone(),
    }
    .sql();
    let rebuild = Statement::ReindexIndexConcurrently {
        schema: schema.clone(),
        name: name.clone(),
    }
    .sql();
    let because = match (leftover, failed_unique) {
        (true, _) => {
            "A REINDEX CONCURRENTLY was interrupted and left it behind; the index it was made for is still there."
        }
        (_, true) => {
            "Its build failed, perhaps because rows are not unique. It enforces nothing for the rows that were there before."
        }
        _ => "Its build was interrupted.",
    };
    Claim {
        title: format!("{schema}.{name} is invalid: written to, never used"),
        explanation: format!(
            "{because} Every write to {}.{} pays for it and no query can use it. It takes {}.",
            table.schema,
            table.name,
            bytes_for_people(facts.size_bytes)
        ),
        evidence: evidence([
            ("definition", json!(facts.definition)),
            ("is_unique", json!(facts.is_unique)),
            ("is_ready", json!(facts.is_ready)),
            ("size_bytes", json!(facts.size_bytes)),
        ]),
        evidence_sql: Some("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid".to_owned()),
        impact: Impact {
            bytes: Some(facts.size_bytes),
            ..Impact::default()
        },
        confidence: measured("pg_index.indisvalid is false and no index of its table is being built"),
        remedy: Remedy {
            apply_sql: vec![if leftover { drop } else { rebuild }],
            undo_sql: Vec::new(),
            lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
            rewrites_table: Some(false),
            extra_disk_bytes: (!leftover).then_some(facts.size_bytes),
            expected_seconds: None,
            caveats: match failed_unique {
                true => vec![
                    "If rows are not unique the rebuild fails again: find and mend them first.".to_owned(),
                ],
                false => Vec::new(),
            },
        },
        guards: vec!["no build is in progress on its table".to_owned()],
        ..place.claim(
            Invalid::ID,
            if failed_unique {
                Severity::Critical
            } else {
                Severity::Warning
            },
            vec![schema, name],
            Some(index_object(facts, table)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, database, found, index, severities};

    #[test]
    fn severity_and_remedy_by_what_it_was() {
        let broken = |name: &str, unique: bool| {
            database(vec![IndexFacts {
                is_valid: false,
                is_unique: unique,
                ..index(9, name)
            }])
        };
        assert_eq!(severities::<Invalid>(&broken("i", false)), [Severity::Warning]);
        assert_eq!(severities::<Invalid>(&broken("i", true)), [Severity::Critical]);
        assert_eq!(
            severities::<Invalid>(&broken("i_ccnew1", true)),
            [Severity::Warning]
        );
        let leftover = claims::<Invalid>(&broken("i_ccold", false)).unwrap();
        assert_eq!(
            leftover[0].remedy.apply_sql,
            ["DROP INDEX CONCURRENTLY public.i_ccold"]
        );
        assert_eq!(severities::<Invalid>(&database(vec![index(9, "i")])), []);
    }

    #[test]
    fn what_may_be_under_way_is_neither_named_nor_gone() {
        let judged = |being_indexed: Option<bool>, may_be_in_progress: bool| {
            let mut observed = database(vec![IndexFacts {
                is_valid: false,
                may_be_in_progress,
                ..index(9, "t_a_ccnew")
            }]);
            observed.databases[0].indexes[0].table_is_being_indexed = being_indexed;
            let found = found::<Invalid>(&observed).unwrap();
            (found.claims.len(), found.undecided, found.untold)
        };
        assert_eq!(judged(Some(false), false), (1, vec![], None));
        let subject = vec!["public".to_owned(), "t_a_ccnew".to_owned()];
        for (being_indexed, may_be_in_progress, told) in [
            (Some(true), false, "being built on the tables"),
            (Some(false), true, "being built on the tables"),
            (None, false, "not checked: "),
        ] {
            let (claims, undecided, untold) = judged(being_indexed, may_be_in_progress);
            assert_eq!((claims, undecided), (0, vec![subject.clone()]));
            assert!(untold.unwrap().contains(told), "{told}");
        }
    }
}
