//! What the catalogs prove of problems that were found earlier and are not seen now: that what they are about is gone, or is as
//! it should be. Nothing need be waited for then.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::{Catalog, TableFacts};
use super::schema::{Constraint, ForeignKey, Schema, Sequence};

/// The catalogs of one server as they were read last, asked for the few findings that are not seen any more.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    databases: BTreeMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    catalog: Arc<Catalog>,
    /// None where it could not be read.
    schema: Option<Arc<Schema>>,
}

impl PartialEq for Proof {
    /// Whether both rest on the same looks.
    fn eq(&self, other: &Self) -> bool {
        let is_same = |a: &Known, b: &Known| {
            let schemas = match (&a.schema, &b.schema) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            };
            schemas && Arc::ptr_eq(&a.catalog, &b.catalog)
        };
        let (all, others) = (self.databases.iter(), other.databases.iter());
        self.databases.len() == other.databases.len()
            && all
                .zip(others)
                .all(|((a, of_a), (b, of_b))| a == b && is_same(of_a, of_b))
    }
}

impl Proof {
    /// Takes in what was read of one database.
    pub fn add(&mut self, database: &str, catalog: Arc<Catalog>, schema: Option<Arc<Schema>>) {
        self.databases
            .insert(database.to_owned(), Known { catalog, schema });
    }

    /// Whether a problem that a rule found earlier, and does not claim now, is known to be mended.
    pub fn is_mended(&self, rule: &str, database: Option<&str>, subject: &[String]) -> bool {
        let known = database.and_then(|database| self.databases.get(database));
        known.is_some_and(|known| known.is_mended(rule, subject))
    }
}

impl Known {
    fn is_mended(&self, rule: &str, subject: &[String]) -> bool {
        match (rule, subject) {
            (
                "index.duplicate"
                | "index.invalid"
                | "index.null_heavy"
                | "index.rarely_used"
                | "index.redundant_prefix"
                | "index.unused",
                [schema, name],
            ) => self.is_index_mended(rule, schema, name),
            (
                "index.blocks_hot"
                | "index.fk_missing"
                | "index.missing"
                | "index.seq_scan_hotspot"
                | "index.too_many"
                | "schema.constraint_not_valid"
                | "schema.fk_type_mismatch"
                | "schema.int_key_overflow"
                | "schema.no_primary_key",
                [schema, name, rest @ ..],
            ) => match self.catalog.table_named(schema, name) {
                Some(table) => self.is_table_mended(rule, table, rest),
                None => !self.may_be_of_a_domain(rule, (schema, name), rest),
            },
            _ => false,
        }
    }

    /// Whether what is no table may be a domain with a constraint that is not valid.
    fn may_be_of_a_domain(&self, rule: &str, (schema, name): (&str, &str), rest: &[String]) -> bool {
        let is_it = |constraint: &Constraint| {
            let domain = constraint.domain.as_ref();
            domain.is_some_and(|domain| domain.schema == schema && domain.name == name)
                && rest == [constraint.name.as_str()]
        };
        let known = self.schema.as_ref();
        rule == "schema.constraint_not_valid" && known.is_none_or(|known| known.not_valid.iter().any(is_it))
    }

    /// Whether an index is gone, valid by now, or has no other one that is the same any more.
    fn is_index_mended(&self, rule: &str, schema: &str, name: &str) -> bool {
        if !self.catalog.is_taken(schema, name) {
            return true;
        }
        let index = self.catalog.index_named(schema, name);
        index.is_some_and(|index| match rule {
            "index.invalid" => index.is_valid && index.is_ready,
            "index.duplicate" => {
                // one without a shape was not compared
                let is_compared = index.is_comparable() && !index.shape.is_empty();
                let mut alike = self.catalog.alike.iter();
                is_compared && !alike.any(|group| group.contains(&index.oid))
            }
            _ => false,
        })
    }

    /// Whether what a table lacked, or had too much, is as it should be.
    fn is_table_mended(&self, rule: &str, table: &TableFacts, rest: &[String]) -> bool {
        match (rule, rest) {
            ("schema.no_primary_key", []) => {
                let mut indexes = self.catalog.indexes_of(table.oid);
                indexes.any(|index| index.is_primary)
            }
            ("index.fk_missing", [key]) => self.is_key_mended(table, key, |key| {
                let mut indexes = self.catalog.indexes_of(table.oid);
                indexes.any(|index| index.foreign_keys.contains(&key.oid))
            }),
            ("schema.fk_type_mismatch", [key]) => {
                self.is_key_mended(table, key, |key| key.types == key.referenced_types)
            }
            ("schema.constraint_not_valid", [name]) => self.schema.as_ref().is_some_and(|schema| {
                let mut not_valid = schema.not_valid.iter();
                !not_valid.any(|constraint| constraint.table_oid == table.oid && constraint.name == *name)
            }),
            ("schema.int_key_overflow", [column]) => self.is_wide(table, column),
            _ => false,
        }
    }

    /// Whether a foreign key is gone, or as it should be.
    fn is_key_mended(&self, table: &TableFacts, name: &str, is_mended: impl Fn(&ForeignKey) -> bool) -> bool {
        self.schema.as_ref().is_some_and(|schema| {
            let keys = schema.foreign_keys.iter();
            let mut named = keys.filter(|key| key.table_oid == table.oid && key.name == name);
            named.all(is_mended)
        })
    }

    /// Whether all sequences that feed a column of a table, or of its partitions, feed one of the widest type by now.
    fn is_wide(&self, table: &TableFacts, column: &str) -> bool {
        let Some(schema) = &self.schema else {
            return false;
        };
        let is_part = |oid: u32| {
            let partition = || self.catalog.tables.get(oid).and_then(|part| part.partition_of);
            oid == table.oid || partition() == Some(table.oid)
        };
        let fed = schema.sequences.iter().flat_map(Sequence::columns);
        let mut types = fed
            .filter(|fed| fed.name == column && is_part(fed.table_oid))
            .map(|fed| fed.type_name.as_str())
            .peekable();
        types.peek().is_some() && types.all(|type_name| type_name == "bigint")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::IndexFacts;
    use crate::model::schema::{Domain, SequenceColumn};

    fn table() -> TableFacts {
        TableFacts {
            oid: 1,
            schema: "s".into(),
            name: "t".into(),
            kind: 'r',
            ..TableFacts::default()
        }
    }

    fn index(oid: u32, name: &str) -> IndexFacts {
        IndexFacts {
            oid,
            table_oid: 1,
            schema: "s".into(),
            name: name.into(),
            is_valid: true,
            is_ready: true,
            shape: name.into(),
            ..IndexFacts::default()
        }
    }

    fn mended(indexes: Vec<IndexFacts>, schema: Schema, rule: &str, subject: &[&str]) -> bool {
        let mut proof = Proof::default();
        let catalog = Catalog::new(vec![table()].into(), indexes.into());
        proof.add("app", Arc::new(catalog), Some(Arc::new(schema)));
        let subject: Vec<String> = subject.iter().map(|part| (*part).to_owned()).collect();
        assert!(
            !proof.is_mended(rule, Some("other"), &subject) && !proof.is_mended(rule, None, &subject),
            "nothing was read there"
        );
        proof.is_mended(rule, Some("app"), &subject)
    }

    fn by_indexes(indexes: Vec<IndexFacts>, rule: &str, subject: &[&str]) -> bool {
        mended(indexes, Schema::default(), rule, subject)
    }

    #[test]
    fn what_is_gone_is_no_problem_and_what_is_there_may_be_one() {
        for rule in [
            "index.duplicate",
            "index.invalid",
            "index.null_heavy",
            "index.rarely_used",
            "index.redundant_prefix",
            "index.unused",
        ] {
            assert!(by_indexes(vec![], rule, &["s", "i"]), "{rule}");
        }
        for rule in ["index.null_heavy", "index.redundant_prefix", "index.unused"] {
            assert!(!by_indexes(vec![index(9, "i")], rule, &["s", "i"]), "{rule}");
        }
        for rule in ["index.seq_scan_hotspot", "index.too_many", "index.missing"] {
            let subject = |table| vec!["s", table, "a"];
            assert!(by_indexes(vec![], rule, &subject("dropped")), "{rule}");
            assert!(!by_indexes(vec![], rule, &subject("t")), "{rule}");
        }
        assert!(!by_indexes(vec![], "query.slow_mean", &["s", "dropped"]));
    }

    #[test]
    fn an_index_is_mended_where_it_is_valid_or_alone() {
        let broken = IndexFacts {
            is_valid: false,
            ..index(9, "i")
        };
        assert!(!by_indexes(vec![broken], "index.invalid", &["s", "i"]));
        assert!(by_indexes(vec![index(9, "i")], "index.invalid", &["s", "i"]));
        let same = |oid: u32, name: &str, shape: &str| IndexFacts {
            shape: shape.into(),
            ..index(oid, name)
        };
        let judged = |indexes: Vec<IndexFacts>| by_indexes(indexes, "index.duplicate", &["s", "i"]);
        assert!(!judged(vec![same(9, "i", "a"), same(8, "j", "a")]));
        assert!(judged(vec![same(9, "i", "a")]));
        assert!(!judged(vec![same(9, "i", "")]), "it could not be read");
    }

    #[test]
    fn keys_are_mended_by_an_index_by_equal_types_or_by_being_gone() {
        let key = |types: &str| ForeignKey {
            oid: 70,
            name: "k".into(),
            table_oid: 1,
            types: vec![types.into()],
            referenced_types: vec!["bigint".into()],
            ..ForeignKey::default()
        };
        let judged = |keys: Vec<ForeignKey>, supported: &[u32], rule: &str| {
            let schema = Schema {
                foreign_keys: keys,
                ..Schema::default()
            };
            let indexes = vec![IndexFacts {
                foreign_keys: supported.into(),
                ..index(9, "i")
            }];
            mended(indexes, schema, rule, &["s", "t", "k"])
        };
        assert!(judged(vec![key("bigint")], &[70], "index.fk_missing"));
        assert!(!judged(vec![key("bigint")], &[71], "index.fk_missing"));
        assert!(judged(vec![], &[], "index.fk_missing"));
        assert!(judged(vec![key("bigint")], &[], "schema.fk_type_mismatch"));
        assert!(!judged(vec![key("integer")], &[], "schema.fk_type_mismatch"));
        let primary = IndexFacts {
            is_primary: true,
            ..index(9, "i")
        };
        assert!(by_indexes(vec![primary], "schema.no_primary_key", &["s", "t"]));
        assert!(!by_indexes(
            vec![index(9, "i")],
            "schema.no_primary_key",
            &["s", "t"]
        ));
    }

    #[test]
    fn constraints_and_columns_are_mended_where_the_schema_was_read() {
        let schema = |column: &str| Schema {
            not_valid: vec![Constraint {
                name: "c".into(),
                table_oid: 1,
                ..Constraint::default()
            }],
            sequences: vec![Sequence {
                column: Some(SequenceColumn {
                    table_oid: 1,
                    name: "id".into(),
                    type_name: column.into(),
                    ..SequenceColumn::default()
                }),
                ..Sequence::default()
            }],
            ..Schema::default()
        };
        let judged =
            |rule: &str, last: &str, column: &str| mended(vec![], schema(column), rule, &["s", "t", last]);
        assert!(!judged("schema.constraint_not_valid", "c", "bigint"));
        assert!(judged("schema.constraint_not_valid", "validated", "bigint"));
        assert!(judged("schema.int_key_overflow", "id", "bigint"));
        assert!(!judged("schema.int_key_overflow", "id", "integer"));
        assert!(!judged("schema.int_key_overflow", "unknown", "bigint"));
        // one that was widened is no longer the first of those that the sequence feeds
        let mut shared = schema("bigint");
        let narrow = SequenceColumn {
            table_oid: 2,
            type_name: "integer".into(),
            ..SequenceColumn::default()
        };
        shared.sequences[0].other_columns = shared.sequences[0].column.replace(narrow).into_iter().collect();
        assert!(mended(
            vec![],
            shared,
            "schema.int_key_overflow",
            &["s", "t", "id"]
        ));
        let of_domain = Schema {
            not_valid: vec![Constraint {
                name: "c".into(),
                domain: Some(Domain {
                    schema: "s".into(),
                    name: "d".into(),
                }),
                ..Constraint::default()
            }],
            ..Schema::default()
        };
        let judged = |name: &str, last: &str| {
            let rule = "schema.constraint_not_valid";
            mended(vec![], of_domain.clone(), rule, &["s", name, last])
        };
        assert!(!judged("d", "c"), "a domain is no table that is gone");
        assert!(judged("d", "validated") && judged("dropped", "c"));
        let mut unread = Proof::default();
        let catalog = Catalog::new(vec![table()].into(), Vec::new().into());
        unread.add("app", Arc::new(catalog), None);
        let subject = ["s", "t", "validated"].map(str::to_owned);
        assert!(!unread.is_mended("schema.constraint_not_valid", Some("app"), &subject));
    }
}
