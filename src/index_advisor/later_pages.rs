//! Pages that begin behind the last row that was seen, asked for as `a < $1 OR (a = $1 AND b < $2)`. Of an index in the order of a and b
//! every row behind the position passes: it is no luck that rows come soon. But an OR is nothing that a b-tree is searched by, so
//! that PostgreSQL reads it from its very end and drops all rows of the pages before. The first pages cost what the planner says, which
//! is what counts, as it does of an OFFSET; a later one costs more, which a reader should know.

use std::collections::BTreeSet;

use super::candidate::Candidate;
use super::clauses::{Key, OrderedKey, key_of};
use super::early_stop::{New, searched_by};
use super::remarks::Remarks;
use super::tables::{Table, TableName, Tables};
use crate::model::plan::{PlanNode, PlanTree};
use crate::sql::expression::{ColumnName, Operand, SortKey, asks_behind_a_position, sort_key};

/// What a reader should know of an index that is read so.
const EACH_PAGE_READS_THOSE_BEFORE: &str = "it is asked with OR for what comes after a row, by which no index is \
     searched: what is told is the cost of the first pages, and a later one reads all those before it again; where all keys are \
     sorted in one direction, (a, b) < ($1, $2) in place of the OR begins at the page";

/// The keys of an index, and what is known of their values.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// In the order of the index.
    pub ordered: Vec<OrderedKey>,
    /// Those that no row lacks; of others nobody knows.
    pub never_null: BTreeSet<Key>,
}

impl Keys {
    /// These, of that table.
    pub(super) fn of(ordered: Vec<OrderedKey>, table: Option<&Table>) -> Self {
        let is_never_null = |key: &&Key| match key {
            Key::Column(name) => {
                let column = table.and_then(|table| table.columns.get(name));
                column.is_some_and(|column| column.null_ratio == Some(0.0))
            }
            Key::Expression(_) => false,
        };
        let keys = ordered.iter().map(|ordered| &ordered.key);
        let never_null = keys.filter(is_never_null).cloned().collect();
        Self { ordered, never_null }
    }
}

/// The order in which a scan gives its rows until a LIMIT: by the keys of a new index behind those of which one value is searched.
/// Empty where rows may come before all others that lack the first of these keys: no position is behind NULL.
pub(super) fn order_read(node: &PlanNode, new: New<'_>) -> Vec<SortKey> {
    let keys = node.index.as_deref().and_then(new);
    let (Some(keys), Some(alias)) = (keys, &node.alias) else {
        return Vec::new();
    };
    let searched = searched_by(node, &keys);
    let of_one_value = searched.keys.len() - usize::from(searched.ends_in_range);
    let first = keys.ordered.get(of_one_value);
    // what is searched in a range is not NULL
    let begins_with_null = |first: &OrderedKey| {
        first.nulls_first != node.backwards
            && !searched.ends_in_range
            && !keys.never_null.contains(&first.key)
    };
    if first.is_some_and(begins_with_null) {
        return Vec::new();
    }
    let behind = keys.ordered.into_iter().skip(of_one_value);
    behind
        .map(|key| SortKey {
            descending: key.descending != node.backwards,
            nulls_first: key.nulls_first != node.backwards,
            operand: match key.key {
                Key::Column(column) => Operand::Column(ColumnName {
                    alias: alias.clone(),
                    column,
                }),
                Key::Expression(text) => Operand::Expression {
                    alias: alias.clone(),
                    text,
                },
            },
        })
        .collect()
}

/// The first key of the order in which a plan sorts what it asks for behind a position, until a LIMIT, with its table.
fn paged_by(tree: &PlanTree) -> Option<(TableName, Key)> {
    let nodes = tree.nodes();
    nodes.iter().find(|node| node.kind == "Limit")?;
    nodes.iter().find_map(|sort| {
        let order: Vec<SortKey> = sort.sort_key.iter().map(|key| sort_key(key)).collect();
        let (_, first) = key_of(&order.first()?.operand)?;
        let asks = |node: &&&PlanNode| {
            let mut texts = node.conditions.iter();
            node.relation.is_some() && texts.any(|text| asks_behind_a_position(text, &order))
        };
        let scan = nodes.iter().find(asks)?;
        let table = TableName {
            schema: scan.schema.clone()?,
            name: scan.relation.clone()?,
        };
        Some((table, first))
    })
}

impl Remarks {
    /// Sees whether a plan sorts what it asks for with OR behind a position.
    pub(super) fn take_pages(&mut self, statement: usize, tree: &PlanTree) {
        self.paged_by.extend(paged_by(tree).map(|key| (statement, key)));
    }

    /// What later pages cost, where an index gives one of these statements its pages.
    pub(super) fn caveat_of_pages(
        &self,
        statements: &[usize],
        candidate: &Candidate,
        tables: &Tables,
    ) -> Option<&'static str> {
        // a partition stands for the table that it belongs to
        let is_of = |table: &TableName| {
            let whole = tables.get(&table.schema, &table.name);
            let whole = whole.map_or(table, |whole| &whole.name);
            (&whole.schema, &whole.name) == (&candidate.schema, &candidate.table)
        };
        let gives = |statement: &usize| {
            let by = self.paged_by.get(statement);
            by.is_some_and(|(table, by)| is_of(table) && candidate.keys.iter().any(|key| key.key == *by))
        };
        statements
            .iter()
            .any(gives)
            .then_some(EACH_PAGE_READS_THOSE_BEFORE)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::index_advisor::early_stop;
    use crate::index_advisor::tables::Column;
    use crate::index_advisor::tables::tests::table_of;

    const BEHIND: &str = "((v.at < $2) OR ((v.at = $2) AND (v.id < $3)))";

    fn key(name: &str, descending: bool) -> OrderedKey {
        OrderedKey {
            key: Key::Column(name.into()),
            descending,
            nulls_first: descending,
        }
    }

    /// Of indexes that are new.
    fn keys(name: &str) -> Option<Keys> {
        let falling = vec![key("at", true), key("id", true)];
        let mut nulls_last = falling.clone();
        nulls_last[0].nulls_first = false;
        let rising = vec![key("at", false), key("id", false)];
        let (ordered, may_lack) = match name {
            "rising" => (rising, false),
            "falling" => (falling, false),
            "of_room" => (vec![key("room", false), key("at", true), key("id", true)], false),
            "rising_with_nulls" => (rising, true),
            "falling_with_nulls" => (falling, true),
            "falling_to_nulls" => (nulls_last, true),
            _ => return None,
        };
        let at = [Key::Column("at".into())];
        Some(Keys {
            ordered,
            never_null: at.into_iter().filter(|_| !may_lack).collect(),
        })
    }

    /// What is hoped of a page of visits.
    fn hoped(index: &str, direction: &str, condition: &str, filter: &str) -> f64 {
        let scan = json!({
            "Node Type": "Index Scan", "Scan Direction": direction, "Index Name": index, "Total Cost": 60000.0,
            "Schema": "s", "Relation Name": "visit", "Alias": "v", "Index Cond": condition, "Filter": filter,
        });
        let plan = json!({"Node Type": "Limit", "Total Cost": 5.0, "Plan Rows": 20.0, "Plans": [scan]});
        early_stop::of(&tree(plan), &keys).hoped
    }

    fn tree(plan: Value) -> PlanTree {
        PlanTree::read(&json!([{ "Plan": plan }])).unwrap()
    }

    #[test]
    fn what_follows_the_last_row_in_the_order_is_no_luck() {
        assert_eq!(hoped("rising", "Backward", "", BEHIND), 0.0);
        assert_eq!(hoped("falling", "Forward", "", BEHIND), 0.0);
        assert_eq!(hoped("of_room", "Forward", "(v.room = $1)", BEHIND), 0.0);
        let newer = "((v.at > $2) OR ((v.at = $2) AND (v.id > $3)))";
        assert_eq!(hoped("rising", "Forward", "", newer), 0.0);
    }

    #[test]
    fn what_comes_before_it_or_is_asked_besides_is() {
        let all = 59995.0;
        assert_eq!(hoped("rising", "Forward", "", BEHIND), all);
        assert_eq!(hoped("falling", "Backward", "", BEHIND), all);
        assert_eq!(
            hoped("of_room", "Forward", "", BEHIND),
            all,
            "the order of all rooms is another one"
        );
        let besides = format!("((v.status = $4) AND {BEHIND})");
        assert_eq!(hoped("falling", "Forward", "", &besides), all);
    }

    #[test]
    fn rows_without_the_key_come_before_all_positions_where_nulls_are_first() {
        let all = 59995.0;
        assert_eq!(hoped("falling_with_nulls", "Forward", "", BEHIND), all);
        assert_eq!(hoped("rising_with_nulls", "Backward", "", BEHIND), all);
        assert_eq!(hoped("falling_to_nulls", "Forward", "", BEHIND), 0.0);
        let newer = "((v.at > $2) OR ((v.at = $2) AND (v.id > $3)))";
        assert_eq!(hoped("rising_with_nulls", "Forward", "", newer), 0.0);
        assert_eq!(hoped("falling_to_nulls", "Backward", "", newer), all);
        let searched = "(v.at IS NOT NULL)";
        assert_eq!(hoped("falling_with_nulls", "Forward", searched, BEHIND), 0.0);
    }

    #[test]
    fn what_never_lacks_a_value_is_known_by_statistics_alone() {
        let column = |null_ratio: Option<f64>| Column {
            null_ratio,
            ..Column::default()
        };
        let mut table = table_of(1000.0, []);
        table.columns.insert("full".into(), column(Some(0.0)));
        table.columns.insert("sparse".into(), column(Some(0.5)));
        table.columns.insert("unknown".into(), column(None));
        let ordered = ["full", "sparse", "unknown", "other"].map(|name| key(name, false));
        let never_null = |table: Option<&Table>| Keys::of(ordered.to_vec(), table).never_null;
        assert_eq!(
            never_null(Some(&table)),
            BTreeSet::from([Key::Column("full".into())])
        );
        assert_eq!(never_null(None), BTreeSet::new());
    }

    #[test]
    fn that_later_pages_cost_more_is_told_of_the_index_that_gives_them() {
        let sorted = |keys: Value, above: &str| {
            tree(
                json!({"Node Type": above, "Plans": [{"Node Type": "Sort", "Sort Key": keys, "Plans": [
                {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "visit", "Alias": "v", "Filter": BEHIND}]}]}),
            )
        };
        let falling = json!(["v.at DESC", "v.id DESC"]);
        let mut remarks = Remarks::default();
        remarks.take_pages(3, &sorted(falling.clone(), "Limit"));
        remarks.take_pages(4, &sorted(json!(["v.at", "v.id"]), "Limit"));
        remarks.take_pages(5, &sorted(falling, "Unique"));
        let index_on = |table: &str, column: &str| Candidate {
            schema: "s".into(),
            table: table.into(),
            method: "btree",
            keys: vec![Key::Column(column.into()).into()],
            include: Vec::new(),
            predicate: None,
        };
        let told = |statements: &[usize], table: &str, column: &str| {
            let caveat = remarks.caveat_of_pages(statements, &index_on(table, column), &Tables::default());
            caveat.is_some()
        };
        assert!(told(&[4, 3], "visit", "at"));
        assert!(!told(&[3], "visit", "room"));
        assert!(!told(&[3], "patient", "at"), "it is a column of another table");
        assert!(!told(&[4, 5], "visit", "at"));
    }
}
