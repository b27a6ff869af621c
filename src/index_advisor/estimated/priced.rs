//! What a search is worth: what is paid for its rows now, against what they would take by an index that finds them.

use std::collections::BTreeSet;

use super::Worth;
use crate::index_advisor::clauses::{Key, RelationUse, Searches, key_of, of_plan};
use crate::index_advisor::evaluation::unseen_cost;
use crate::index_advisor::tables::{Table, TableName};
use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{Condition, Operand, conditions};

/// What a search in such an index costs before the first row: PostgreSQL's estimate for a few keys, in its own units.
const SEARCH_COST: f64 = 40.0;
/// The defaults of `random_page_cost`, `seq_page_cost` and `cpu_tuple_cost`, and of a condition that is checked again.
const RANDOM_PAGE_COST: f64 = 4.0;
const PAGE_COST: f64 = 1.0;
const ROW_COST: f64 = 0.0125;
/// The default of `cpu_index_tuple_cost`: a bitmap is made of all its rows before the first of them is read.
const INDEX_ROW_COST: f64 = 0.005;
/// Two rows compared in a sort: twice the default of `cpu_operator_cost`.
const COMPARISON_COST: f64 = 0.005;
/// The part of the rows that PostgreSQL takes a range for that it knows nothing of.
const RANGE_PART: f64 = 1.0 / 3.0;
/// The same of most searches.
const SEARCH_PART: f64 = 0.01;

/// Whether a node reads what is asked in this place: the same table may be read in others.
fn reads(node: &PlanNode, asked: &RelationUse) -> bool {
    node.schema.as_deref() == Some(asked.schema.as_str())
        && node.relation.as_deref() == Some(asked.table.as_str())
        && node.alias.as_deref() == Some(asked.alias.as_str())
}

/// Pages and rows of what is asked: a table, or a partition of it. One that nobody counted is as large as the others are in the
/// mean.
pub(super) fn extent(asked: &RelationUse, table: &Table) -> (f64, f64) {
    let mut partitions = table.partitions.iter();
    let is_it = |name: &TableName| (&name.schema, &name.name) == (&asked.schema, &asked.table);
    let Some(partition) = partitions.find(|one| is_it(&one.name)) else {
        return (table.pages, table.rows);
    };
    let counted = table
        .partitions
        .iter()
        .filter(|one| !one.is_partitioned && one.rows.is_some());
    let leaves = counted.count().max(1) as f64;
    let pages = partition.pages.unwrap_or(table.pages / leaves);
    (pages, partition.rows.unwrap_or(table.rows / leaves))
}

/// The scans that read rows of what is asked and may check them, each with what of it is paid for.
fn scans<'a>(tree: &'a PlanTree, asked: &RelationUse) -> Vec<(&'a PlanNode, f64)> {
    let mut nodes = tree.nodes_paid();
    nodes.retain(|(node, _)| {
        let checks = matches!(node.kind.as_str(), "Seq Scan" | "Index Scan" | "Bitmap Heap Scan");
        checks && node.total_cost > 0.0 && reads(node, asked)
    });
    nodes
}

/// What is asked, but of the searches, and of what begins with something, only what scans check on the rows that they read: no
/// index answers it by now.
pub(in crate::index_advisor) fn checked(tree: &PlanTree, asked: &RelationUse, table: &Table) -> RelationUse {
    let mut all = RelationUse {
        searched: BTreeSet::new(),
        begun: BTreeSet::new(),
        ..asked.clone()
    };
    for (scan, _) in scans(tree, asked) {
        let (searched, begun) = checked_by(scan, asked, table);
        all.searched.extend(searched);
        all.begun.extend(begun);
    }
    all
}

fn checked_by(scan: &PlanNode, asked: &RelationUse, table: &Table) -> (BTreeSet<Searches>, BTreeSet<Key>) {
    // all that it is asked is its filter
    if scan.kind == "Seq Scan" {
        return (asked.searched.clone(), asked.begun.clone());
    }
    let filter = PlanNode {
        kind: scan.kind.clone(),
        schema: scan.schema.clone(),
        relation: scan.relation.clone(),
        alias: scan.alias.clone(),
        conditions: scan.filter.clone(),
        ..PlanNode::default()
    };
    let filter = of_plan(&PlanTree { root: filter });
    let filter = filter.first().map(|asked| table.read(asked)).unwrap_or_default();
    let searched = asked.searched.intersection(&filter.searched).cloned();
    let begun = asked.begun.intersection(&filter.begun).cloned();
    (searched.collect(), begun.collect())
}

/// What is saved if the rows that the scans of a relation give come by a bitmap, where now all of it is read, or what another
/// index finds, or as much as a LIMIT above asks for.
pub(in crate::index_advisor) fn searched(
    tree: &PlanTree,
    asked: &RelationUse,
    table: &Table,
    answered: &[Searches],
) -> Option<Worth> {
    let (pages, rows_of_all) = extent(asked, table);
    let passed = passed(asked, table, answered);
    let b_trees: usize = answered.iter().map(|searches| searches.beside.len()).sum();
    let mut worth = Worth::default();
    for (scan, paid) in scans(tree, asked) {
        let (searched, begun) = checked_by(scan, asked, table);
        if searched.is_empty() && begun.is_empty() {
            continue;
        }
        // nobody may have counted a partition's rows
        let rows = (scan.rows / passed).min(rows_of_all.max(scan.rows));
        let part = paid / scan.total_cost;
        // of the rows only a part is read, too, of the index all that it has of them
        let found = match scan.kind.as_str() {
            "Seq Scan" => part * bitmap_cost(rows, pages),
            // it may be read for its order: then all rows come before the first of them is known
            _ => bitmap_cost(rows, pages) + COMPARISON_COST * rows * rows.max(1.0).log2(),
        };
        let instead = SEARCH_COST + b_trees as f64 * RANDOM_PAGE_COST + rows * INDEX_ROW_COST + found;
        worth.saved += (paid - instead).max(0.0);
        worth.now += paid;
        // how many rows another index left to check nobody tells
        if scan.conditions.len() == scan.filter.len() {
            worth.unseen += part * unseen_cost(asked, table, rows_of_all);
        }
    }
    (worth.now > 0.0).then_some(worth)
}

/// The part of what these searches find that passes the other conditions: rows that a scan gives passed all of them.
fn passed(asked: &RelationUse, table: &Table, answered: &[Searches]) -> f64 {
    let beside: BTreeSet<&Key> = answered
        .iter()
        .flat_map(|searches| &searches.beside)
        .flatten()
        .collect();
    let ranged = asked.ranged.iter().filter(|key| !beside.contains(key)).count();
    let others = asked
        .searched
        .iter()
        .filter(|one| !answered.contains(one))
        .count();
    let all_of = |part: f64, count: usize| part.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut passed = all_of(RANGE_PART, ranged) * all_of(SEARCH_PART, others);
    for key in asked.equal.iter().filter(|key| !beside.contains(key)) {
        passed /= table.values_of(key).max(1.0);
    }
    passed
}

/// Rows of a table by a bitmap, as PostgreSQL's cost_bitmap_heap_scan reckons: their pages by Mackert and Lohman, and each of
/// them the cheaper the more they are.
fn bitmap_cost(rows: f64, pages: f64) -> f64 {
    let pages = pages.max(1.0);
    let fetched = (2.0 * pages * rows / (2.0 * pages + rows)).min(pages).max(1.0);
    let each = RANDOM_PAGE_COST - (RANDOM_PAGE_COST - PAGE_COST) * (fetched / pages).sqrt();
    fetched * each + rows * ROW_COST
}

/// What is saved if the index is searched for each row of another relation, where now a nested loop compares all with all.
pub(super) fn joined(tree: &PlanTree, asked: &RelationUse, table: &Table) -> Option<Worth> {
    let (pages, rows_of_all) = extent(asked, table);
    let passed = passed(asked, table, &[]);
    let mut worth = Worth::default();
    for (join, paid) in tree.nodes_paid() {
        let Some(other) = compared_with(join, asked).filter(|_| paid > 0.0) else {
            continue;
        };
        let loops = other.rows.max(1.0);
        let rows = (join.rows / loops / passed).min(rows_of_all);
        let each = SEARCH_COST + rows * INDEX_ROW_COST + bitmap_cost(rows, pages);
        let now = (paid - other.total_cost).max(0.0);
        // below a LIMIT not all rows of the other are looked at
        let searches = (loops * paid / join.total_cost).max(1.0);
        worth.saved += (now - searches * each).max(0.0);
        worth.now += now;
    }
    (worth.now > 0.0).then_some(worth)
}

/// The other side of a nested loop that compares all rows of what is asked with what that gives.
fn compared_with<'a>(join: &'a PlanNode, asked: &RelationUse) -> Option<&'a PlanNode> {
    let [outer, inner] = &join.children[..] else {
        return None;
    };
    let names_it = |side: &Operand| key_of(side).is_some_and(|(alias, _)| alias == asked.alias);
    let compares = |condition: &Condition| match condition {
        Condition::Term { left, right, .. } => condition.is_search() && (names_it(left) || names_it(right)),
        Condition::Rows(_) | Condition::Or(_) => false,
    };
    let is_inner = join.kind == "Nested Loop" && join.join_type.as_deref() == Some("Inner");
    let mut filters = join.filter.iter();
    if !is_inner || !filters.any(|text| conditions(text).iter().any(compares)) {
        return None;
    }
    match (is_scan(outer, asked), is_scan(inner, asked)) {
        (true, false) => Some(inner),
        (false, true) => Some(outer),
        _ => None,
    }
}

/// Whether a node gives what a scan of all that is asked does, kept or not.
fn is_scan(node: &PlanNode, asked: &RelationUse) -> bool {
    match (node.kind.as_str(), &node.children[..]) {
        ("Materialize", [below]) => is_scan(below, asked),
        ("Seq Scan", _) => reads(node, asked),
        _ => false,
    }
}

/// What is saved if the first rows come in the order of their distance: only a LIMIT makes that worth something. Each relation
/// that is read has its part of that.
pub(super) fn nearest_first(tree: &PlanTree, asked: &RelationUse, table: &Table) -> Option<Worth> {
    let limit = tree.nodes().into_iter().find(|node| node.kind == "Limit")?;
    let paid = tree.nodes_paid();
    let scans = paid.into_iter().filter(|(node, _)| node.relation.is_some());
    let (here, others): (Vec<_>, Vec<_>) = scans.partition(|(node, _)| reads(node, asked));
    let sum = |nodes: &[(&PlanNode, f64)]| nodes.iter().map(|one| one.1).sum::<f64>();
    let rows: f64 = here.iter().map(|(node, _)| node.rows).sum();
    let (here, others) = (sum(&here), sum(&others));
    let part = if here > 0.0 { here / (here + others) } else { 0.0 };
    // the fewer pass what else is asked, the farther the index is read
    let read = if rows > 0.0 {
        (extent(asked, table).1 / rows).max(1.0)
    } else {
        1.0
    };
    let instead = SEARCH_COST + part * limit.rows * read * (RANDOM_PAGE_COST + ROW_COST);
    (part > 0.0).then(|| Worth {
        now: part * tree.total_cost(),
        saved: (part * limit.total_cost - instead).max(0.0),
        unseen: 0.0,
    })
}
