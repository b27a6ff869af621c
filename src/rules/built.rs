//! Which advised indexes are there by now: advice is as old as the last time that the planner was asked, the catalog is not.

use crate::model::advice::{AdvisedIndex, EarlierIndex};
use crate::model::catalog::{Catalog, IndexFacts};
use crate::sql::index_keys::IndexKeys;
use crate::sql::remembered::index_keys;

/// Whether a valid index of the same table does all that an advised one would, or is that one by its name.
pub fn is_built(catalog: &Catalog, advised: &AdvisedIndex) -> bool {
    was_built(catalog, &EarlierIndex::of(advised))
}

/// The same for one that was advised earlier.
pub fn was_built(catalog: &Catalog, advised: &EarlierIndex) -> bool {
    let table = catalog.table_named(&advised.schema, &advised.table);
    let wanted = index_keys(&advised.definition);
    let (Some(table), Some(wanted)) = (table, wanted) else {
        return false;
    };
    catalog
        .indexes_of(table.oid)
        .filter(|facts| facts.is_valid && facts.is_ready)
        .any(|facts| does(facts, &wanted, &advised.name))
}

/// Whether an index of the same table is one that was advised earlier, or does all that it would.
pub fn is_as_advised(facts: &IndexFacts, advised: &EarlierIndex) -> bool {
    let wanted = index_keys(&advised.definition);
    wanted.is_some_and(|wanted| does(facts, &wanted, &advised.name))
}

fn does(facts: &IndexFacts, wanted: &IndexKeys, name: &str) -> bool {
    // the name was free when it was advised
    let is_named = facts.name == name;
    let definition = facts.definition.as_deref();
    let Some(there) = definition.and_then(index_keys) else {
        return is_named;
    };
    // PostgreSQL may print an expression or a predicate in other words than those that it was given
    let is_as_wide = (there.keys.len(), &there.include) == (wanted.keys.len(), &wanted.include);
    there.method == wanted.method && (answers(&there, wanted) || (is_named && is_as_wide))
}

/// Whether an index begins with all keys of another one and holds all that it includes, of the same rows. Only a btree is searched
/// by its first keys as by all of them.
fn answers(there: &IndexKeys, wanted: &IndexKeys) -> bool {
    let is_held =
        |column: &String| there.include.contains(column) || there.keys.iter().any(|key| key.text == *column);
    let has_keys = match there.method.as_str() {
        "btree" => there.keys.starts_with(&wanted.keys),
        _ => there.keys == wanted.keys,
    };
    has_keys && there.predicate == wanted.predicate && wanted.include.iter().all(is_held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{advised_index, database, index};

    /// Whether this index, of which the catalog knows, is what was advised.
    fn built(advised: &str, there: IndexFacts) -> bool {
        let observed = database(vec![there]);
        let definition = format!("CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING {advised}");
        is_built(&observed.databases[0].catalog, &advised_index(&definition))
    }

    /// An index of another name, as PostgreSQL prints it.
    fn other(rest: &str) -> IndexFacts {
        IndexFacts {
            definition: Some(format!("CREATE INDEX other ON public.t USING {rest}").into()),
            ..index(8, "other")
        }
    }

    #[test]
    fn what_answers_the_same_is_there() {
        for (advised, there, is_there) in [
            ("btree (a)", "btree (a)", true),
            ("btree (a)", "btree (a, b)", true),
            ("btree (a, b)", "btree (a)", false),
            ("btree (b)", "btree (a, b)", false),
            ("btree (a DESC)", "btree (a)", false),
            ("btree (\"a\" DESC)", "btree (a DESC)", true),
            ("btree (a) INCLUDE (b)", "btree (a)", false),
            ("btree (a) INCLUDE (b)", "btree (a) INCLUDE (c, b)", true),
            ("btree (a) WHERE b > 0", "btree (a) WHERE (b > 0)", true),
            ("btree (a) WHERE b > 0", "btree (a)", false),
            ("btree (a)", "btree (a) WHERE (b > 0)", false),
            ("gin (a)", "gin (a)", true),
            ("gin (a public.gin_trgm_ops)", "gin (a)", false),
            ("gin (a public.gin_trgm_ops)", "gin (a public.gin_trgm_ops)", true),
            ("btree (a)", "hash (a)", false),
        ] {
            assert_eq!(built(advised, other(there)), is_there, "{advised}: {there}");
        }
    }

    #[test]
    fn it_must_be_valid_and_may_be_known_by_its_name() {
        let invalid = IndexFacts {
            is_valid: false,
            ..other("btree (a)")
        };
        assert!(!built("btree (a)", invalid));
        let elsewhere = IndexFacts {
            table_oid: 2,
            ..other("btree (a)")
        };
        assert!(!built("btree (a)", elsewhere));
        let named = |rest: Option<&str>| IndexFacts {
            definition: rest.map(|rest| format!("CREATE INDEX t_a_idx ON public.t USING {rest}").into()),
            ..index(8, "t_a_idx")
        };
        assert!(built("btree (a)", named(None)));
        let printed = "btree (a) WHERE ((b)::text = 'x'::text)";
        assert!(built("btree (a) WHERE b = 'x'", named(Some(printed))));
        assert!(
            !built("btree (a, b)", named(Some("btree (a)"))),
            "somebody else took the name"
        );
    }
}
