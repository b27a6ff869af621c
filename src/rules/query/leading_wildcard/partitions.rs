//! The index of trigrams of a partitioned table: one partition after the other, so that nobody waits for it.

use super::Search;
use super::remedy::{Indexed, Names, Trigrams, create_index};
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::observation::DatabaseObservation;
use crate::model::partitioned_index::{ABOUT_ATTACHED, ABOUT_THE_WHOLE, NO_UNDO, OwnIndex, Part, recipe};
use crate::model::remedy::{ABOUT_ATTACHING, ABOUT_ONLY, Remedy, Statement};
use crate::sql::remembered::index_keys;

/// A recipe for more partitions is longer than anybody reads.
const PARTITIONS: usize = 50;

const AT_ONCE: &str = "Writes to all of its partitions wait for as long as it takes. To avoid that, build the index of each \
                       partition CONCURRENTLY, then that of the table ON ONLY it, and attach those of the partitions.";

/// The partitions of a table, those between it and them, too, in the order of their names.
pub(super) fn parts<'a>(database: &'a DatabaseObservation, table: &TableFacts) -> Vec<&'a TableFacts> {
    let all = database.catalog.tables.values();
    let mut parts: Vec<&TableFacts> = all.filter(|part| part.partition_of == Some(table.oid)).collect();
    parts.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    parts
}

/// The index of a partition that can become a part of one on that key.
fn equal<'a>(
    database: &'a DatabaseObservation,
    part: &TableFacts,
    indexed: &Indexed,
) -> Option<&'a IndexFacts> {
    let is_equal = |facts: &&IndexFacts| {
        let keys = facts.definition.as_deref().and_then(index_keys);
        facts.is_valid
            && !facts.is_partition
            && keys.is_some_and(|index| match &index.keys[..] {
                [key] => {
                    let class = key.operator_class.as_deref().unwrap_or_default();
                    index.method == "gin"
                        && index.predicate.is_none()
                        && indexed.told.contains(&key.text)
                        && class.ends_with("gin_trgm_ops")
                }
                _ => false,
            })
    };
    database.catalog.indexes_of(part.oid).find(is_equal)
}

/// What is said of one statement for all partitions, and how to undo it: indexes that partitions have go with that of the whole.
fn at_once(remedy: &mut Remedy, table: &TableFacts, name: &str, takes_others: bool) {
    let drop = Statement::DropIndex {
        schema: table.schema.clone(),
        name: name.to_owned(),
    };
    remedy.caveats.push(AT_ONCE.to_owned());
    match takes_others {
        false => remedy.undo_sql = vec![drop.sql()],
        true => remedy.caveats.push(NO_UNDO.to_owned()),
    }
}

/// Adds the index of a partitioned table of that name.
pub(super) fn create(
    remedy: &mut Remedy,
    (search, indexed, trigrams): (&Search<'_>, &Indexed, &Trigrams),
    names: &mut Names<'_>,
    name: &str,
) {
    let (database, table) = (search.database, search.table);
    remedy.lock = Some("SHARE".to_owned());
    let parts = parts(database, table);
    if parts.is_empty() || parts.len() > PARTITIONS || parts.iter().any(|part| part.kind == 'p') {
        let sql = create_index(table, name, (indexed, trigrams), (false, false));
        remedy.apply_sql.push(sql);
        let takes_others = parts.iter().any(|part| equal(database, part, indexed).is_some());
        at_once(remedy, table, name, takes_others);
        return;
    }
    let top = OwnIndex {
        schema: table.schema.clone(),
        name: name.to_owned(),
        create_sql: create_index(table, name, (indexed, trigrams), (false, true)),
        is_there: false,
    };
    let below = parts.into_iter().map(|part| {
        let (oid, parent_oid) = (part.oid, table.oid);
        (Part { oid, parent_oid }, part)
    });
    let made = recipe((table.oid, top), below, |part| {
        match equal(database, part, indexed) {
            Some(facts) => OwnIndex {
                schema: facts.schema.clone(),
                name: facts.name.clone(),
                create_sql: Statement::CreateIndexConcurrently {
                    definition: facts.definition.as_deref().unwrap_or_default().to_owned(),
                }
                .sql(),
                is_there: true,
            },
            None => {
                let own = names.free(part, &indexed.stem);
                OwnIndex {
                    schema: part.schema.clone(),
                    create_sql: create_index(part, &own, (indexed, trigrams), (true, false)),
                    name: own,
                    is_there: false,
                }
            }
        }
    });
    remedy.apply_sql.extend(made.apply_sql);
    remedy.undo_sql = made.undo_sql;
    let about = [ABOUT_THE_WHOLE, ABOUT_ONLY, ABOUT_ATTACHING];
    remedy.caveats.extend(about.map(str::to_owned));
    if !made.attached.is_empty() {
        remedy.caveats.push(ABOUT_ATTACHED.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::LeadingWildcard;
    use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
    use crate::model::observation::Observation;
    use crate::model::partitioned_index::{ABOUT_ATTACHED, NO_UNDO};
    use crate::model::remedy::{ABOUT_ONLY, Remedy};
    use crate::rules::testing::{claims, index, observation, statement, table, tables};

    /// A search in a table of two partitions, with these indexes.
    fn observed(kind: char, indexes: Vec<IndexFacts>) -> Observation {
        let one = statement("SELECT id FROM notes WHERE lower(body) LIKE $1", 100, 100.0);
        let id = one.text.statement_id.clone();
        let mut observed = observation(vec![one], 90.0);
        observed.leading_wildcards.insert(id);
        let part = |oid: u32, name: &str, kind: char| TableFacts {
            partition_of: Some(1),
            kind,
            ..table(oid, name, 10_000.0, 1e6)
        };
        let whole = TableFacts {
            kind: 'p',
            ..table(1, "notes", -1.0, 0.0)
        };
        let mut all = vec![whole, part(3, "notes_2", kind), part(2, "notes_1", 'r')];
        // what is between holds rows in a partition of its own
        all.extend((kind == 'p').then(|| part(4, "notes_3", 'r')));
        observed.databases = tables(all.clone()).databases;
        observed.databases[0].catalog = Arc::new(Catalog::new(all.into(), indexes.into()));
        observed
    }

    fn own(oid: u32, table_oid: u32) -> IndexFacts {
        let name = format!("own_{table_oid}");
        let definition =
            format!("CREATE INDEX {name} ON public.t USING gin (lower(body) public.gin_trgm_ops)");
        IndexFacts {
            table_oid,
            definition: Some(definition.into()),
            ..index(oid, &name)
        }
    }

    #[test]
    fn one_partition_after_the_other() {
        let remedy = |kind: char, indexes: Vec<IndexFacts>| {
            claims::<LeadingWildcard>(&observed(kind, indexes))
                .unwrap()
                .remove(0)
                .remedy
        };
        let both = remedy('r', vec![]);
        assert_eq!(
            both.apply_sql[1..],
            [
                "CREATE INDEX notes_lower_body_trgm_idx ON ONLY public.notes USING gin (pg_catalog.lower(body) public.gin_trgm_ops)",
                "CREATE INDEX CONCURRENTLY notes_1_lower_body_trgm_idx ON public.notes_1 USING gin (pg_catalog.lower(body) public.gin_trgm_ops)",
                "CREATE INDEX CONCURRENTLY notes_2_lower_body_trgm_idx ON public.notes_2 USING gin (pg_catalog.lower(body) public.gin_trgm_ops)",
                "ALTER INDEX public.notes_lower_body_trgm_idx ATTACH PARTITION public.notes_2_lower_body_trgm_idx",
                "ALTER INDEX public.notes_lower_body_trgm_idx ATTACH PARTITION public.notes_1_lower_body_trgm_idx",
            ]
        );
        assert_eq!(both.undo_sql, ["DROP INDEX public.notes_lower_body_trgm_idx"]);
        let half = remedy('r', vec![own(9, 2)]);
        assert_eq!(half.apply_sql.len(), 5, "what is there is taken");
        assert!(half.apply_sql[4].ends_with("ATTACH PARTITION public.own_2"));
        assert_eq!(
            half.undo_sql,
            [
                "DROP INDEX public.notes_lower_body_trgm_idx",
                "CREATE INDEX CONCURRENTLY own_2 ON public.t USING gin (lower(body) public.gin_trgm_ops)",
            ],
            "and made again"
        );
        let says = |remedy: &Remedy, what: &str| remedy.caveats.iter().any(|told| told == what);
        assert!(says(&both, ABOUT_ONLY) && !says(&both, ABOUT_ATTACHED) && says(&half, ABOUT_ATTACHED));
        let levels = remedy('p', vec![]);
        assert_eq!(levels.apply_sql.len(), 2, "partitions of partitions");
        assert!(levels.apply_sql[1].starts_with("CREATE INDEX notes_lower_body_trgm_idx ON public.notes "));
        assert_eq!(levels.undo_sql, ["DROP INDEX public.notes_lower_body_trgm_idx"]);
        assert!(!says(&levels, NO_UNDO));
        let half = remedy('p', vec![own(9, 2)]);
        assert!(
            half.undo_sql.is_empty() && says(&half, NO_UNDO),
            "it would go, too"
        );
    }

    #[test]
    fn partitions_that_all_have_one_need_no_other() {
        let told = |indexes| claims::<LeadingWildcard>(&observed('r', indexes)).unwrap().len();
        assert_eq!(told(vec![own(9, 2), own(10, 3)]), 0);
        assert_eq!(told(vec![own(9, 2)]), 1);
    }
}
