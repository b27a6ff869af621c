//! One partition alone: where statements read it by its own name and never the whole, the index is for that one; with all that is
//! below it, where it is partitioned itself.

use std::collections::BTreeSet;

use super::ready::Ready;
use super::tables::{ExistingIndex, Table, TableName};
use crate::model::plan::PlanTree;
use crate::sql::{self, Command, Name};

/// A partition.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Partition {
    pub oid: u32,
    pub parent_oid: u32,
    pub is_partitioned: bool,
    pub is_foreign: bool,
    pub name: TableName,
    /// Its own, without those of its partitions; `None` where nobody ever counted them.
    pub pages: Option<f64>,
    pub rows: Option<f64>,
    pub numbering: Numbering,
    /// Those that belong to no index of the whole.
    pub indexes: Vec<ExistingIndex>,
}

/// Whose attribute numbers the columns of a partition have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbering {
    /// Those of the table that it is a partition of.
    #[default]
    OfParent,
    /// Its own: it was attached with its columns in another order, or one of the two lost columns that the other never had.
    Own,
}

impl Ready {
    /// The partition that the statements in these positions read alone, as a table of its own; none where one of them may read
    /// more of the table. Whoever asks the whole asks all partitions, in another call if not in this one: their texts must name
    /// that partition alone, and their plans read it alone.
    pub(super) fn read_alone(&self, table: &Table, positions: &[usize]) -> Option<Table> {
        let texts = positions
            .iter()
            .map(|one| self.statements[*one].statement.text.as_str());
        let is_known = |name: &Name| self.tables.knows(name.schema.as_deref(), &name.name);
        let partition = only_partition(table, texts, &is_known)?;
        let mut own: BTreeSet<&TableName> = below(table, partition.oid).map(|one| &one.name).collect();
        own.insert(&partition.name);
        let plans = self.positions.iter().zip(&self.planned);
        let mut plans = plans.filter(|(position, _)| positions.contains(position));
        let are_of_it = plans.all(|(_, planned)| reads_alone(&planned.tree, table, &own));
        are_of_it.then(|| alone(table, partition))
    }
}

impl Ready {
    /// Schema and name of the only partition of a table that a statement reads.
    pub(super) fn only_read(&self, statement: usize, table: &Table) -> Option<(&str, &str)> {
        let nodes = self.planned[statement].tree.nodes().into_iter();
        let names = nodes.filter_map(|node| Some((node.schema.as_deref()?, node.relation.as_deref()?)));
        let is_of_table = |(schema, name): &(&str, &str)| {
            let whole = self.tables.get(schema, name);
            whole.is_some_and(|whole| whole.oid == table.oid)
        };
        let mut read: BTreeSet<(&str, &str)> = names.filter(is_of_table).collect();
        let first = read.pop_first()?;
        read.is_empty().then_some(first)
    }
}

/// The partitions below one of a table.
fn below(table: &Table, oid: u32) -> impl Iterator<Item = &Partition> {
    let mut above = BTreeSet::from([oid]);
    // parents come first
    let all = table.partitions.iter();
    all.filter(move |one| above.contains(&one.parent_oid) && above.insert(one.oid))
}

/// Of a partition that is partitioned itself those below it that hold rows; any other is that itself.
fn leaves<'a>(table: &'a Table, partition: &'a Partition) -> Vec<&'a Partition> {
    let all = std::iter::once(partition).chain(below(table, partition.oid));
    all.filter(|one| !one.is_partitioned).collect()
}

/// Whether of all that belongs to a table a plan reads some of these partitions, and nothing else.
fn reads_alone(tree: &PlanTree, table: &Table, own: &BTreeSet<&TableName>) -> bool {
    let nodes = tree.nodes().into_iter();
    let scanned = nodes
        .filter(|node| node.kind.ends_with("Scan"))
        .filter_map(|node| {
            Some(TableName {
                schema: node.schema.clone()?,
                name: node.relation.clone()?,
            })
        });
    let is_of_table =
        |name: &TableName| *name == table.name || table.partitions.iter().any(|one| one.name == *name);
    let read: BTreeSet<TableName> = scanned.filter(is_of_table).collect();
    !read.is_empty() && read.iter().all(|name| own.contains(name))
}

/// The part of a table's rows, 0 to 1, that what an index is on has of them; `None` where nobody counted them.
pub(super) fn share_of_rows(on: &Table, whole: &Table) -> Option<f64> {
    if on.oid == whole.oid {
        return Some(1.0);
    }
    let partition = whole.partitions.iter().find(|one| one.oid == on.oid)?;
    let rows: Option<f64> = leaves(whole, partition).iter().map(|one| one.rows).sum();
    let rows = rows.filter(|_| whole.rows > 0.0)?;
    Some((rows / whole.rows).min(1.0))
}

/// A partition as a table of its own; whether it is known how many rows it has tells [`share_of_rows`]. Of its indexes those of
/// the whole are none that an index on it alone could replace.
fn alone(table: &Table, partition: &Partition) -> Table {
    let leaves = leaves(table, partition);
    Table {
        oid: partition.oid,
        name: partition.name.clone(),
        is_partitioned: partition.is_partitioned,
        pages: leaves.iter().filter_map(|one| one.pages).sum(),
        rows: leaves.iter().filter_map(|one| one.rows).sum(),
        indexes: Vec::new(),
        partitions: below(table, partition.oid).cloned().collect(),
        ..table.clone()
    }
}

/// The partition that each of these texts names, where they name no other, nor the whole.
fn only_partition<'a, 'b>(
    table: &'a Table,
    texts: impl Iterator<Item = &'b str>,
    is_known: &dyn Fn(&Name) -> bool,
) -> Option<&'a Partition> {
    if !table.is_partitioned {
        return None;
    }
    let mut only: Option<&Partition> = None;
    for text in texts {
        let named = named_partition(table, text, is_known)?;
        if only.is_some_and(|other| other.oid != named.oid) {
            return None;
        }
        only = Some(named);
    }
    only.filter(|partition| !partition.is_foreign)
}

/// The only partition of a table that a text names. A name that nobody knows may be a view of the whole.
fn named_partition<'a>(
    table: &'a Table,
    text: &str,
    is_known: &dyn Fn(&Name) -> bool,
) -> Option<&'a Partition> {
    let query = sql::query_within(text);
    let names = sql::names(query.as_deref().unwrap_or(text)).ok()?;
    // an INSERT does not read what it writes to
    let is_filled = |name: &Name| names.command == Command::Insert && names.target.as_ref() == Some(name);
    let is_it = |name: &Name, schema: &str, relation: &str| {
        name.name == relation && name.schema.as_deref().is_none_or(|given| given == schema)
    };
    let mut only: Option<&Partition> = None;
    for name in &names.relations {
        if is_it(name, &table.name.schema, &table.name.name) {
            return None;
        }
        let mut of_table = table
            .partitions
            .iter()
            .filter(|one| is_it(name, &one.name.schema, &one.name.name));
        match (of_table.next(), of_table.next()) {
            (None, _) if is_known(name) || is_filled(name) => {}
            (Some(one), None) if only.is_none_or(|other| other.oid == one.oid) => only = Some(one),
            _ => return None,
        }
    }
    only
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::{Candidate, IndexKey};
    use crate::index_advisor::clauses::Key;
    use crate::index_advisor::definition::{Taken, define};
    use crate::index_advisor::tables::tests::{named, table_of};
    use serde_json::{Value, json};

    /// `s.sales` of 1000 rows: `s.sales_2024` of 100, `s.sales_2025` of 850, `s.sales_old`, which has a partition of 50, and that one
    /// of its own, and `s.sales_2026`, which nobody counted.
    fn sales() -> Table {
        let partition = |oid: u32, parent_oid: u32, of: &str, rows: Option<f64>| Partition {
            oid,
            parent_oid,
            is_partitioned: of.starts_with("sales_old") && oid < 7,
            is_foreign: false,
            name: named(of),
            pages: rows.map(|rows| rows / 10.0),
            rows,
            numbering: Numbering::OfParent,
            indexes: Vec::new(),
        };
        Table {
            name: named("sales"),
            is_partitioned: true,
            partitions: vec![
                partition(2, 1, "sales_2024", Some(100.0)),
                partition(3, 1, "sales_2025", Some(850.0)),
                partition(4, 1, "sales_old", None),
                partition(5, 1, "sales_2026", None),
                partition(6, 4, "sales_old_a", None),
                partition(7, 6, "sales_old_a_1", Some(50.0)),
            ],
            ..table_of(1000.0, [])
        }
    }

    /// The partition for which an index for these statements is; beside the table only `customers` is known.
    fn only(texts: &[&str]) -> Option<String> {
        let table = sales();
        let is_known = |name: &Name| name.name == "customers";
        let found = only_partition(&table, texts.iter().copied(), &is_known);
        found.map(|partition| partition.name.name.clone())
    }

    #[test]
    fn a_partition_that_all_statements_name_is_indexed_alone() {
        let by_name = "SELECT * FROM sales_2025 WHERE customer = $1";
        let qualified = "UPDATE s.sales_2025 SET paid = true WHERE customer = $1";
        let joined = "SELECT 1 FROM customers c JOIN s.sales_2025 x ON x.customer = c.id";
        let cursor = "DECLARE c CURSOR FOR SELECT * FROM sales_2025 WHERE customer = 1";
        let kept = "INSERT INTO sums SELECT customer, sum(price) FROM sales_2025 GROUP BY customer";
        let expected = Some("sales_2025".to_owned());
        assert_eq!(only(&[by_name, qualified, joined, cursor, kept]), expected);
        let table = sales();
        let part = alone(&table, &table.partitions[1]);
        assert_eq!((part.oid, part.is_partitioned, part.rows), (3, false, 850.0));
        assert_eq!(
            (share_of_rows(&part, &table), share_of_rows(&table, &table)),
            (Some(0.85), Some(1.0))
        );
        let uncounted = alone(&table, &table.partitions[3]);
        assert_eq!(share_of_rows(&uncounted, &table), None, "unknown is not none");
    }

    #[test]
    fn a_partition_with_partitions_is_indexed_with_these() {
        let table = sales();
        let expected = Some("sales_old".to_owned());
        assert_eq!(only(&["SELECT * FROM sales_old WHERE customer = $1"]), expected);
        let part = alone(&table, &table.partitions[2]);
        let below: Vec<u32> = part.partitions.iter().map(|one| one.oid).collect();
        assert_eq!((part.is_partitioned, part.rows, below), (true, 50.0, vec![6, 7]));
        assert_eq!(share_of_rows(&part, &table), Some(0.05));
        let key = IndexKey::from(Key::Column("customer".into()));
        let candidate = Candidate {
            schema: "s".into(),
            table: "sales".into(),
            method: "btree",
            keys: vec![key],
            include: Vec::new(),
            predicate: None,
        };
        let made = define(&candidate, &part, &mut Taken::default(), None);
        assert_eq!(
            made.apply_sql,
            [
                "CREATE INDEX sales_old_customer_idx ON ONLY s.sales_old USING btree (customer)",
                "CREATE INDEX sales_old_a_customer_idx ON ONLY s.sales_old_a USING btree (customer)",
                "CREATE INDEX CONCURRENTLY sales_old_a_1_customer_idx ON s.sales_old_a_1 USING btree (customer)",
                "ALTER INDEX s.sales_old_a_customer_idx ATTACH PARTITION s.sales_old_a_1_customer_idx",
                "ALTER INDEX s.sales_old_customer_idx ATTACH PARTITION s.sales_old_a_customer_idx",
            ]
        );
        assert_eq!(made.undo_sql, ["DROP INDEX s.sales_old_customer_idx"]);
        let name = made.partition_of.map(|whole| whole.name);
        assert_eq!(name.as_deref(), Some("sales"));
    }

    #[test]
    fn a_plan_that_reads_more_than_its_text_names_is_one_of_the_whole() {
        let table = sales();
        let reads = |own: &[usize], scanned: &[(&str, &str)]| {
            let own = own.iter().map(|one| &table.partitions[*one].name).collect();
            let scan = |(kind, name): &(&str, &str)| json!({"Node Type": kind, "Schema": "s", "Relation Name": name});
            let scans: Vec<Value> = scanned.iter().map(scan).collect();
            let plan = json!([{"Plan": {"Node Type": "Append", "Plans": scans}}]);
            reads_alone(&PlanTree::read(&plan).unwrap(), &table, &own)
        };
        let reads_alone = |scanned: &[(&str, &str)]| reads(&[1], scanned);
        let it = ("Seq Scan", "sales_2025");
        assert!(reads_alone(&[it, ("Index Scan", "customers"), it]));
        // what is written to is not read
        assert!(reads_alone(&[("ModifyTable", "sales"), it]));
        assert!(
            !reads_alone(&[it, ("Index Scan", "sales_2024")]),
            "by a view or a function"
        );
        assert!(!reads_alone(&[it, ("Seq Scan", "sales")]));
        assert!(!reads_alone(&[("Seq Scan", "sales_2024")]));
        assert!(!reads_alone(&[("Seq Scan", "customers")]));
        let below = ("Seq Scan", "sales_old_a_1");
        assert!(reads(&[2, 4, 5], &[below]) && !reads(&[2, 4, 5], &[below, it]));
    }

    #[test]
    fn whoever_may_ask_for_more_is_given_the_whole() {
        let by_name = "SELECT * FROM sales_2025 WHERE customer = $1";
        for other in [
            "SELECT * FROM sales WHERE customer = $1 AND sold_on = '2025-01-01'",
            "SELECT * FROM s.sales_2024 WHERE customer = $1",
            "SELECT * FROM sales_2025 UNION ALL SELECT * FROM sales_2024",
            "SELECT * FROM sales_2025 x JOIN sales y USING (customer)",
            "SELECT * FROM sales_2025 x JOIN view_of_sales y USING (customer)",
            "SELECT * FROM other.sales_2025",
            "no statement",
        ] {
            assert_eq!(only(&[by_name, other]), None, "{other}");
        }
        assert_eq!(only(&[]), None);
        let whole = Table {
            is_partitioned: false,
            ..sales()
        };
        assert!(only_partition(&whole, [by_name].into_iter(), &|_| true).is_none());
    }
}
