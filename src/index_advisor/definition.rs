//! An index as it is to be made: its name, what to run in which order with the weakest locks, and how to undo it.

use std::collections::BTreeSet;

use super::candidate::Candidate;
use super::clauses::Key;
use super::tables::{Partition, Table, TableName};
use crate::model::partitioned_index::{OwnIndex, Part, recipe};
use crate::model::remedy::{NAME_BYTES, Statement};
use crate::sql::cut;

/// What to run, and what that comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// The index's name, in the schema of its table.
    pub name: String,
    /// The table that it is on; of a partitioned one the whole, or one partition alone.
    pub table: TableName,
    /// Where it is on one partition alone: the table of which that is one.
    pub partition_of: Option<TableName>,
    /// One statement that makes it: CONCURRENTLY, but for the whole of a partitioned table.
    pub statement: String,
    /// To run, in order, with the weakest locks.
    pub apply_sql: Vec<String>,
    /// To take it back.
    pub undo_sql: Vec<String>,
    /// Indexes of partitions that are there already and become a part of it, so that they go with it when it is dropped.
    pub attached: Vec<TableName>,
}

/// Names that are taken.
#[derive(Debug, Default)]
pub struct Taken(BTreeSet<TableName>);

impl Taken {
    /// These are.
    pub fn new(names: impl IntoIterator<Item = TableName>) -> Self {
        Self(names.into_iter().collect())
    }

    /// The name itself, or with the first number behind it that makes it one of its own.
    fn free(&mut self, schema: &str, wanted: &str) -> String {
        let numbers = std::iter::once(String::new()).chain((2..).map(|number: u32| number.to_string()));
        for number in numbers {
            let stem = wanted.strip_suffix("_idx").unwrap_or(wanted);
            let room = NAME_BYTES - "_idx".len() - number.len();
            let name = TableName {
                schema: schema.to_owned(),
                name: format!("{}_idx{number}", cut(stem, room)),
            };
            if self.0.insert(name.clone()) {
                return name.name;
            }
        }
        unreachable!("there are more numbers than names")
    }
}

/// The name that an index of this table should have, if nobody else has it: the table's and its keys'.
pub fn wanted_name(candidate: &Candidate, table: &str) -> String {
    let mut parts = vec![table.to_owned()];
    parts.extend(candidate.keys.iter().map(|key| match &key.key {
        Key::Column(name) => name.clone(),
        // as PostgreSQL does: the function's name, or just that it is an expression; in capitals it prints words of SQL alone
        Key::Expression(text) => {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let called = text.split_once('(').map_or("", |(called, _)| called);
            // its schema is that of the function, not of the table
            let (schema, name) = called.rsplit_once('.').unwrap_or(("", called));
            let is_call = !name.is_empty()
                && name.chars().all(is_part)
                && schema.chars().all(|c| is_part(c) || c == '"');
            match is_call {
                true => name.to_ascii_lowercase(),
                false => "expr".to_owned(),
            }
        }
    }));
    if candidate.predicate.is_some() {
        parts.push("where".to_owned());
    }
    format!("{}_idx", parts.join("_"))
}

/// All names that a definition may want, to ask which of them are taken.
pub fn wanted_names(candidate: &Candidate, table: &Table) -> Vec<TableName> {
    let own = std::iter::once(&table.name).chain(table.partitions.iter().map(|partition| &partition.name));
    let mut names = Vec::new();
    for one in own {
        let wanted = wanted_name(candidate, &one.name);
        let stem = wanted.strip_suffix("_idx").unwrap_or(&wanted);
        // the first few numbers are enough to ask for: two indexes of a set that want one name are told apart anyway
        for number in std::iter::once(String::new()).chain((2..6).map(|number: u32| number.to_string())) {
            let room = NAME_BYTES - "_idx".len() - number.len();
            names.push(TableName {
                schema: one.schema.clone(),
                name: format!("{}_idx{number}", cut(stem, room)),
            });
        }
    }
    names
}

/// Names an index and tells how to make it on this table, which may be one partition of the candidate's.
pub fn define(
    candidate: &Candidate,
    table: &Table,
    taken: &mut Taken,
    extension: Option<&'static str>,
) -> Definition {
    let name = taken.free(&table.name.schema, &wanted_name(candidate, &table.name.name));
    let is_whole = (&candidate.schema, &candidate.table) == (&table.name.schema, &table.name.name);
    let partition_of = (!is_whole).then(|| TableName {
        schema: candidate.schema.clone(),
        name: candidate.table.clone(),
    });
    let extension = extension.map(|name| Statement::CreateExtension { name }.sql());
    let mut definition = Definition {
        statement: create(candidate, How::Whole(!table.is_partitioned), &name, &table.name),
        name,
        table: table.name.clone(),
        partition_of,
        apply_sql: extension.into_iter().collect(),
        ..Definition::default()
    };
    if table.is_partitioned {
        by_partitions(&mut definition, candidate, table, taken);
        return definition;
    }
    definition.apply_sql.push(definition.statement.clone());
    let drop = Statement::DropIndexConcurrently {
        schema: table.name.schema.clone(),
        name: definition.name.clone(),
    };
    definition.undo_sql.push(drop.sql());
    definition
}

/// How an index is created.
enum How {
    /// With all its parts; CONCURRENTLY or not.
    Whole(bool),
    /// ON ONLY a partitioned table, to attach its parts to.
    Only,
}

fn create(candidate: &Candidate, how: How, name: &str, on: &TableName) -> String {
    let index = Statement::CreateIndex {
        concurrently: matches!(how, How::Whole(true)),
        only: matches!(how, How::Only),
        name: Some(name.to_owned()),
        schema: on.schema.clone(),
        table: on.name.clone(),
        method: candidate.method,
        keys: candidate
            .keys
            .iter()
            .map(super::candidate::IndexKey::sql)
            .collect(),
        include: candidate.include.clone(),
        predicate: candidate.predicate.clone(),
    };
    index.sql()
}

/// How it is made on a partitioned table. What partitions have already is attached as it is.
fn by_partitions(definition: &mut Definition, candidate: &Candidate, table: &Table, taken: &mut Taken) {
    let top = OwnIndex {
        schema: table.name.schema.clone(),
        name: definition.name.clone(),
        create_sql: create(candidate, How::Only, &definition.name, &table.name),
        is_there: false,
    };
    let parts = table.partitions.iter().map(|partition| {
        let part = Part {
            oid: partition.oid,
            parent_oid: partition.parent_oid,
        };
        (part, partition)
    });
    let made = recipe((table.oid, top), parts, |partition| {
        own_index(candidate, partition, taken)
    });
    definition.apply_sql.extend(made.apply_sql);
    definition.undo_sql.extend(made.undo_sql);
    let attached = made.attached.into_iter();
    definition.attached = attached
        .map(|(schema, name)| TableName { schema, name })
        .collect();
}

/// The index of one partition: one that it has already, or one that is to be made.
fn own_index(candidate: &Candidate, partition: &Partition, taken: &mut Taken) -> OwnIndex {
    let on = &partition.name;
    let mut indexes = partition.indexes.iter();
    if let Some(index) = indexes.find(|index| index.is_same_as(candidate)) {
        let whole = How::Whole(!partition.is_partitioned);
        return OwnIndex {
            schema: index.schema.clone(),
            name: index.name.clone(),
            create_sql: create(candidate, whole, &index.name, on),
            is_there: true,
        };
    }
    let name = taken.free(&on.schema, &wanted_name(candidate, &on.name));
    let how = match partition.is_partitioned {
        true => How::Only,
        false => How::Whole(true),
    };
    OwnIndex {
        schema: on.schema.clone(),
        create_sql: create(candidate, how, &name, on),
        name,
        is_there: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::tables::tests::{named, table_of};
    use crate::index_advisor::tables::{ExistingIndex, ExistingKey, Numbering};

    fn table(partitions: &[(u32, u32, bool, &str)]) -> Table {
        let partition = |(oid, parent_oid, is_partitioned, of): &(u32, u32, bool, &str)| Partition {
            oid: *oid,
            parent_oid: *parent_oid,
            is_partitioned: *is_partitioned,
            is_foreign: false,
            name: named(of),
            pages: Some(10.0),
            rows: Some(100.0),
            numbering: Numbering::OfParent,
            indexes: Vec::new(),
        };
        Table {
            is_partitioned: !partitions.is_empty(),
            pages: 100.0,
            partitions: partitions.iter().map(partition).collect(),
            ..table_of(1000.0, [])
        }
    }

    fn candidate(keys: &[&str]) -> Candidate {
        Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: keys
                .iter()
                .map(|key| IndexKey::from(Key::Column((*key).into())))
                .collect(),
            include: Vec::new(),
            predicate: None,
        }
    }

    #[test]
    fn a_name_is_free_short_and_tells_the_keys() {
        let mut taken = Taken::new([named("t_a_b_idx")]);
        let made = define(&candidate(&["a", "b"]), &table(&[]), &mut taken, None);
        assert_eq!(made.name, "t_a_b_idx2");
        assert_eq!(
            made.statement,
            "CREATE INDEX CONCURRENTLY t_a_b_idx2 ON s.t USING btree (a, b)"
        );
        assert_eq!(made.undo_sql, ["DROP INDEX CONCURRENTLY s.t_a_b_idx2"]);
        let long = "é".repeat(40);
        let first = define(&candidate(&[&long]), &table(&[]), &mut taken, None).name;
        let second = define(&candidate(&[&long]), &table(&[]), &mut taken, None).name;
        assert!(first.len() <= NAME_BYTES && second.len() <= NAME_BYTES && first != second);
        assert!(first.ends_with("_idx") && second.ends_with("_idx2"));
        let mut odd = candidate(&["a"]);
        odd.keys[0].key = Key::Expression("lower(a)".into());
        odd.predicate = Some("b".into());
        assert_eq!(wanted_name(&odd, "t"), "t_lower_where_idx");
        odd.keys[0].key = Key::Expression("shop.slug(a)".into());
        assert_eq!(wanted_name(&odd, "t"), "t_slug_where_idx");
        odd.keys[0].key = Key::Expression("COALESCE(email, ''::text)".into());
        assert_eq!(wanted_name(&odd, "Patients"), "Patients_coalesce_where_idx");
        odd.keys[0].key = Key::Expression("(a ->> 'x')".into());
        assert_eq!(wanted_name(&odd, "t"), "t_expr_where_idx");
    }

    #[test]
    fn partitions_are_indexed_one_by_one_and_attached_from_below() {
        let whole = table(&[(2, 1, true, "p"), (3, 1, false, "q"), (4, 2, false, "p1")]);
        let made = define(&candidate(&["a"]), &whole, &mut Taken::default(), None);
        assert_eq!(made.statement, "CREATE INDEX t_a_idx ON s.t USING btree (a)");
        assert_eq!(
            made.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY s.t USING btree (a)",
                "CREATE INDEX p_a_idx ON ONLY s.p USING btree (a)",
                "CREATE INDEX CONCURRENTLY q_a_idx ON s.q USING btree (a)",
                "CREATE INDEX CONCURRENTLY p1_a_idx ON s.p1 USING btree (a)",
                "ALTER INDEX s.p_a_idx ATTACH PARTITION s.p1_a_idx",
                "ALTER INDEX s.t_a_idx ATTACH PARTITION s.q_a_idx",
                "ALTER INDEX s.t_a_idx ATTACH PARTITION s.p_a_idx",
            ]
        );
        assert_eq!(made.undo_sql, ["DROP INDEX s.t_a_idx"]);
        assert_eq!((made.table, made.partition_of), (named("t"), None));
    }

    #[test]
    fn what_a_partition_has_already_is_attached() {
        let index = |oid: u32, of: &str, columns: &[&str]| {
            let key = |column: &&str| ExistingKey {
                key: Key::Column((*column).into()),
                descending: false,
                nulls_first: false,
                is_plain: true,
            };
            ExistingIndex {
                oid,
                schema: "s".into(),
                name: of.into(),
                method: "btree".into(),
                is_unique: false,
                is_needed: false,
                predicate: None,
                keys: columns.iter().map(key).collect(),
                include: Vec::new(),
                parts: Vec::new(),
            }
        };
        let mut whole = table(&[
            (2, 1, true, "p"),
            (3, 1, false, "q"),
            (4, 1, false, "r"),
            (5, 2, false, "p1"),
        ]);
        whole.partitions[0].indexes = vec![index(20, "p_all", &["a"])];
        whole.partitions[1].indexes = vec![index(30, "q_a_b", &["a", "b"]), index(31, "q_a", &["a"])];
        whole.partitions[2].indexes = vec![ExistingIndex {
            is_unique: true,
            ..index(40, "r_key", &["a"])
        }];
        let made = define(&candidate(&["a"]), &whole, &mut Taken::default(), None);
        assert_eq!(
            made.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY s.t USING btree (a)",
                "CREATE INDEX CONCURRENTLY r_a_idx ON s.r USING btree (a)",
                "ALTER INDEX s.t_a_idx ATTACH PARTITION s.r_a_idx",
                "ALTER INDEX s.t_a_idx ATTACH PARTITION s.q_a",
                "ALTER INDEX s.t_a_idx ATTACH PARTITION s.p_all",
            ]
        );
        // they are dropped with it
        assert_eq!(
            made.undo_sql,
            [
                "DROP INDEX s.t_a_idx",
                "CREATE INDEX p_all ON s.p USING btree (a)",
                "CREATE INDEX CONCURRENTLY q_a ON s.q USING btree (a)",
            ]
        );
        assert_eq!(made.attached, [named("p_all"), named("q_a")]);
    }

    #[test]
    fn one_partition_alone_is_indexed_as_any_table() {
        let partition = Table {
            name: TableName {
                schema: "archive".into(),
                name: "q".into(),
            },
            ..table(&[])
        };
        let mut taken = Taken::new([named("q_a_idx")]);
        let made = define(&candidate(&["a"]), &partition, &mut taken, None);
        let create = "CREATE INDEX CONCURRENTLY q_a_idx ON archive.q USING btree (a)";
        assert_eq!((made.statement.as_str(), made.apply_sql.len()), (create, 1));
        assert_eq!(made.undo_sql, ["DROP INDEX CONCURRENTLY archive.q_a_idx"]);
        assert_eq!(
            (made.table, made.partition_of),
            (partition.name, Some(named("t")))
        );
    }
}
