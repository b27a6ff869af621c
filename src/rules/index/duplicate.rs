//! index.duplicate

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
use crate::model::snapshot::{IndexFacts, TableFacts};
use crate::model::unit::bytes_for_people;
use crate::rules::{Found, Place, Rule, Scope, evidence, index_object, measured};

/// Two indexes of one table that are the same in everything but their name.
///
/// ## Why it is bad
/// Both are written to, vacuumed and cached; the planner can use only one.
///
/// ## What to do
/// Drop the one that backs nothing. Which one that is has been worked out: an index that backs a constraint, is unique,
/// or is named by replication or CLUSTER stays.
///
/// ## When it is wrong to obey
/// In the minutes in which a bloated index is replaced by a new one under another name, by hand or by a tool.
///
/// Same means: method, columns, operator classes, collations, order, INCLUDE, expressions, predicate and NULLS DISTINCT.
/// Indexes that are invalid, or partitions of another index, are not compared. Source: PostgreSQL's catalog pg_index.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {}

impl Rule for Duplicate {
    const ID: &'static str = "index.duplicate";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut groups: BTreeMap<(u32, &str), Vec<&IndexFacts>> = BTreeMap::new();
        let mut found = Found::default();
        for facts in database
            .catalog
            .indexes
            .values()
            .filter(|facts| comparable(facts))
        {
            match facts.shape.is_empty() {
                true => found
                    .undecided
                    .push(vec![facts.schema.clone(), facts.name.clone()]),
                false => groups
                    .entry((facts.table_oid, &facts.shape))
                    .or_default()
                    .push(facts),
            }
        }
        if !found.undecided.is_empty() {
            found.untold = Some("the definitions of some indexes could not be read".to_owned());
        }
        for mut group in groups.into_values().filter(|group| group.len() > 1) {
            group.sort_by_key(|facts| (std::cmp::Reverse(worth_keeping(facts)), &facts.name));
            let kept = group[0];
            let Some(table) = database.table_of(kept) else {
                continue;
            };
            // of two that enforce something neither can be dropped without thought about what names it
            let superfluous = group[1..].iter().filter(|facts| worth_keeping(facts) < 2);
            found
                .claims
                .extend(superfluous.map(|facts| claim(place, facts, kept, table)));
        }
        Ok(found)
    }
}

fn comparable(facts: &IndexFacts) -> bool {
    facts.is_valid && facts.is_ready && !facts.is_partition && !facts.owned_by_extension
}

/// 3: a primary key or what replication names; 2: another constraint; 1: unique; 0: nothing.
fn worth_keeping(facts: &IndexFacts) -> u8 {
    match facts {
        _ if facts.is_primary || facts.is_replica_identity || facts.is_clustered => 3,
        _ if facts.constraint.is_some() || facts.is_exclusion => 2,
        _ if facts.is_unique => 1,
        _ => 0,
    }
}

fn claim(place: &Place<'_>, facts: &IndexFacts, kept: &IndexFacts, table: &TableFacts) -> Claim {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let backs = kept
        .constraint
        .as_ref()
        .map(|constraint| format!(", which backs the constraint {constraint}"));
    let drop = match facts.is_partitioned {
        true => Statement::DropIndex {
            schema: schema.clone(),
            name: name.clone(),
        },
        false => Statement::DropIndexConcurrently {
            schema: schema.clone(),
            name: name.clone(),
        },
    };
    let lock = if facts.is_partitioned {
        "ACCESS EXCLUSIVE"
    } else {
        "SHARE UPDATE EXCLUSIVE"
    };
    Claim {
        title: format!("{schema}.{name} is the same index as {}", kept.name),
        explanation: format!(
            "Both index {}.{} in the same way. {} stays{}; {name} costs {} and a write for every changed row, and serves \
             nothing that the other does not.",
            table.schema,
            table.name,
            kept.name,
            backs.unwrap_or_default(),
            bytes_for_people(facts.size_bytes),
        ),
        evidence: evidence([
            ("definition", json!(facts.definition)),
            ("same_as", json!(format!("{}.{}", kept.schema, kept.name))),
            ("definition_of_the_other", json!(kept.definition)),
            ("size_bytes", json!(facts.size_bytes)),
        ]),
        evidence_sql: Some(format!(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = {} AND tablename = {}",
            crate::model::remedy::quote_literal(&table.schema),
            crate::model::remedy::quote_literal(&table.name)
        )),
        impact: Impact {
            bytes: Some(facts.size_bytes),
            ..Impact::default()
        },
        confidence: measured("both definitions are equal in the catalog"),
        remedy: Remedy {
            apply_sql: vec![drop.sql()],
            undo_sql: facts
                .definition
                .iter()
                .map(|definition| match facts.is_partitioned {
                    true => definition.clone(),
                    false => Statement::CreateIndexConcurrently {
                        definition: definition.clone(),
                    }
                    .sql(),
                })
                .collect(),
            lock: Some(lock.to_owned()),
            rewrites_table: Some(false),
            extra_disk_bytes: Some(0.0),
            expected_seconds: None,
            caveats: vec![
                "Hints or scripts that name the index must be changed to the other name.".to_owned(),
            ],
        },
        guards: vec![
            "same method, columns, operator classes, collations, order, INCLUDE, predicate, NULLS DISTINCT"
                .to_owned(),
            "the one that stays is valid".to_owned(),
            "the one to drop backs no constraint".to_owned(),
        ],
        ..place.claim(
            Duplicate::ID,
            Severity::Warning,
            vec![schema, name],
            Some(index_object(facts, table)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, database, index};

    fn named(change: impl Fn(&mut IndexFacts, &mut IndexFacts)) -> Vec<String> {
        let (mut a, mut b) = (index(8, "a"), index(9, "b"));
        b.shape = a.shape.clone();
        change(&mut a, &mut b);
        claims::<Duplicate>(&database(vec![a, b]))
            .unwrap()
            .into_iter()
            .map(|claim| claim.subject[1].clone())
            .collect()
    }

    #[test]
    fn the_one_that_backs_nothing_goes() {
        assert_eq!(named(|_, _| ()), ["b"]);
        assert_eq!(named(|_, b| b.is_unique = true), ["a"]);
        assert_eq!(named(|_, b| b.constraint = Some("k".into())), ["a"]);
        assert_eq!(named(|_, b| b.is_replica_identity = true), ["a"]);
        assert_eq!(
            named(|a, b| (a.is_primary, b.constraint) = (true, Some("k".into()))),
            [""; 0]
        );
        assert_eq!(named(|_, b| b.is_valid = false), [""; 0]);
        assert_eq!(named(|_, b| b.shape.push('x')), [""; 0]);
        assert_eq!(named(|_, b| b.table_oid = 2), [""; 0]);
    }
}
