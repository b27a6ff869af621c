//! Indexes that no planner can price before they exist: GIN and GiST, which HypoPG does not know. What they are worth is
//! worked out from what the planner says of the rows, and told as *estimated*.

use std::collections::BTreeMap;

use super::begins;
use super::candidate::Candidate;
use super::clauses::RelationUse;
use super::evaluation::unseen_cost;
use super::operator_class::Classes;
use super::tables::{Table, TableName};
use crate::model::plan::{PlanNode, PlanTree};

/// An index of which the worth for one statement is estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The index.
    pub candidate: Candidate,
    /// About so many bytes.
    pub size_bytes: Option<f64>,
    /// Whether it needs the extension pg_trgm.
    pub needs_trigrams: bool,
    /// What would do the same for less, if that were so which nobody knows.
    pub caveat: Option<String>,
    /// What it is worth where each relation is read, by its alias: the table itself, or partitions of it, some of them twice.
    pub worth: BTreeMap<String, Worth>,
}

/// What an index is worth where one relation is read, in the planner's units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worth {
    /// What reading it costs now.
    pub now: f64,
    /// What of that is saved.
    pub saved: f64,
    /// What it takes now that the planner does not count.
    pub unseen: f64,
}

impl Estimate {
    /// In all relations together.
    fn worth(&self) -> Worth {
        self.worth.values().fold(Worth::default(), |sum, one| Worth {
            now: sum.now + one.now,
            saved: sum.saved + one.saved,
            unseen: sum.unseen + one.unseen,
        })
    }

    /// What the statement should cost with it, in the planner's units.
    pub fn cost_after(&self, tree: &PlanTree) -> f64 {
        (tree.total_cost() - self.worth().saved).max(0.0)
    }

    /// What the statement takes now, where the index would be read, that the planner does not count.
    pub fn unseen(&self) -> f64 {
        self.worth().unseen
    }
}

/// An index of a partitioned table is one for all of its partitions: what it saves in each is saved together. What saves little
/// then is left out.
pub fn together(estimates: Vec<Estimate>) -> Vec<Estimate> {
    let mut all: Vec<Estimate> = Vec::new();
    for estimate in estimates {
        match all.iter_mut().find(|one| one.candidate == estimate.candidate) {
            Some(known) => known.worth.extend(estimate.worth),
            None => all.push(estimate),
        }
    }
    all.retain(|one| {
        let worth = one.worth();
        worth.saved > 0.0 && worth.saved >= LEAST_SAVED * worth.now
    });
    all
}

/// What a search in such an index costs before the first row: PostgreSQL's estimate for a few keys, in its own units.
const SEARCH_COST: f64 = 40.0;
/// The defaults of `random_page_cost`, `seq_page_cost` and `cpu_tuple_cost`, and of a condition that is checked again.
const RANDOM_PAGE_COST: f64 = 4.0;
const PAGE_COST: f64 = 1.0;
const ROW_COST: f64 = 0.0125;
/// The default of `cpu_index_tuple_cost`: a bitmap is made of all its rows before the first of them is read.
const INDEX_ROW_COST: f64 = 0.005;
/// The part of the rows that PostgreSQL takes a range for that it knows nothing of.
const RANGE_PART: f64 = 1.0 / 3.0;
/// What is saved must be at least this part of what the scans cost now: it is worked out, not proven.
const LEAST_SAVED: f64 = 0.25;

/// Which of these kinds are wanted.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Methods {
    pub gin: bool,
    pub gist: bool,
}

/// What such an index would be worth for one place of a plan, if it could answer what is asked there. Those of all places are put
/// [`together`].
pub fn estimate(
    tree: &PlanTree,
    asked: &RelationUse,
    table: &Table,
    trigram_class: &str,
    methods: Methods,
) -> Option<Estimate> {
    let classes = Classes { table, trigram_class };
    let (found, worth) = match classes.of_all(&asked.searched) {
        Some(found) => (found, searched(tree, asked, table)),
        // a filter beside it decides how far the index must be read
        None if asked.searched.is_empty() && !asked.is_filtered() => {
            let nearest = asked.nearest.first()?;
            (classes.nearest(nearest)?, nearest_first(tree, asked))
        }
        None => return None,
    };
    let is_wanted = match found.method {
        "gin" => methods.gin,
        _ => methods.gist,
    };
    let worth = worth.filter(|_| is_wanted)?;
    let mut bytes = Some(0.0);
    for key in &found.keys {
        // measured on thirteen indexes that were built: bytes for each byte of text were 1.5 to 3.3 of trigrams (random letters
        // take most), 0.2 to 2.1 of words, arrays and jsonb, 2 to 4 of GiST and 7 of trigrams in it
        let factor = match (found.method, key.is_trigram) {
            ("gin", true) => 1.8,
            ("gin", false) => 1.0,
            (_, true) => 7.0,
            (_, false) => 2.5,
        };
        let each = table.width_of(&key.key.key).map(|width| width * factor + 4.0);
        bytes = bytes.zip(each).map(|(bytes, each)| bytes + each * table.rows);
    }
    Some(Estimate {
        needs_trigrams: found.keys.iter().any(|key| key.is_trigram),
        candidate: Candidate {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            method: found.method,
            keys: found.keys.into_iter().map(|key| key.key).collect(),
            include: Vec::new(),
            predicate: None,
        },
        size_bytes: bytes,
        caveat: begins::instead(asked, table),
        worth: [(asked.alias.clone(), worth)].into(),
    })
}

/// Whether a node reads what is asked in this place: the same table may be read in others.
fn reads(node: &PlanNode, asked: &RelationUse) -> bool {
    node.schema.as_deref() == Some(asked.schema.as_str())
        && node.relation.as_deref() == Some(asked.table.as_str())
        && node.alias.as_deref() == Some(asked.alias.as_str())
}

/// Pages and rows of what is asked: a table, or a partition of it. One that nobody counted is as large as the others are in the
/// mean.
fn extent(asked: &RelationUse, table: &Table) -> (f64, f64) {
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

/// What is saved if the rows that the scans of a relation give come by a bitmap, where now all of it is read, or as much as a
/// LIMIT above asks for.
pub(super) fn searched(tree: &PlanTree, asked: &RelationUse, table: &Table) -> Option<Worth> {
    let scans = tree.nodes_paid().into_iter();
    let scans = scans.filter(|(node, _)| node.kind == "Seq Scan" && reads(node, asked));
    let (pages, rows_of_all) = extent(asked, table);
    // the rows that the scan gives passed all conditions; the index knows only some of them
    let mut passed = RANGE_PART.powi(i32::try_from(asked.ranged.len()).unwrap_or(i32::MAX));
    for key in &asked.equal {
        passed /= table.values_of(key).max(1.0);
    }
    let mut worth = Worth::default();
    for (scan, paid) in scans.filter(|(scan, _)| scan.total_cost > 0.0) {
        // nobody may have counted a partition's rows
        let rows = (scan.rows / passed).min(rows_of_all.max(scan.rows));
        let part = paid / scan.total_cost;
        // of the rows only a part is read, too, of the index all that it has of them
        let instead = SEARCH_COST + rows * INDEX_ROW_COST + part * bitmap_cost(rows, pages);
        worth.saved += (paid - instead).max(0.0);
        worth.now += paid;
        worth.unseen += part * unseen_cost(asked, table, rows_of_all);
    }
    (worth.now > 0.0).then_some(worth)
}

/// Rows of a table by a bitmap, as PostgreSQL's cost_bitmap_heap_scan reckons: their pages by Mackert and Lohman, and each of
/// them the cheaper the more they are.
fn bitmap_cost(rows: f64, pages: f64) -> f64 {
    let pages = pages.max(1.0);
    let fetched = (2.0 * pages * rows / (2.0 * pages + rows)).min(pages).max(1.0);
    let each = RANDOM_PAGE_COST - (RANDOM_PAGE_COST - PAGE_COST) * (fetched / pages).sqrt();
    fetched * each + rows * ROW_COST
}

/// What is saved if the first rows come in the order of their distance: only a LIMIT makes that worth something. Each relation
/// that is read has its part of that.
fn nearest_first(tree: &PlanTree, asked: &RelationUse) -> Option<Worth> {
    let limit = tree.nodes().into_iter().find(|node| node.kind == "Limit")?;
    let paid = tree.nodes_paid();
    let scans = paid.iter().filter(|(node, _)| node.relation.is_some());
    let (here, others): (Vec<_>, Vec<_>) = scans.partition(|(node, _)| reads(node, asked));
    let sum = |nodes: &[&(&PlanNode, f64)]| nodes.iter().map(|one| one.1).sum::<f64>();
    let (here, others) = (sum(&here), sum(&others));
    let part = if here > 0.0 { here / (here + others) } else { 0.0 };
    let instead = SEARCH_COST + part * limit.rows * (RANDOM_PAGE_COST + ROW_COST);
    (part > 0.0).then(|| Worth {
        now: part * tree.total_cost(),
        saved: (part * limit.total_cost - instead).max(0.0),
        unseen: 0.0,
    })
}

#[cfg(test)]
mod tests;
