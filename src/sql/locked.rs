//! What a statement locks as it reads it: the SELECT that is planned in its place fetches it, too.

use std::collections::BTreeSet;

use pg_query::protobuf::{RangeVar, SelectStmt};
use pg_query::{Node, NodeEnum};

use super::twin::whole_row;

/// Has a statement that locks rows read them as a whole: they are fetched to be locked, whatever an index holds of them. Only of the
/// statement itself: what stands in it may have to give one column.
pub(super) fn fetch_what_is_locked(select: &mut SelectStmt) {
    if select.locking_clause.is_empty() {
        return;
    }
    let named: BTreeSet<String> = select
        .locking_clause
        .iter()
        .filter_map(|lock| match &lock.node {
            Some(NodeEnum::LockingClause(lock)) => Some(&lock.locked_rels),
            _ => None,
        })
        .flatten()
        .filter_map(|relation| match &relation.node {
            Some(NodeEnum::RangeVar(relation)) => Some(relation.relname.clone()),
            _ => None,
        })
        .collect();
    let mut read = Vec::new();
    select
        .from_clause
        .iter()
        .for_each(|from| relations_of(from, &mut read));
    let is_locked = |relation: &&RangeVar| {
        let name = relation
            .alias
            .as_ref()
            .map_or(&relation.relname, |alias| &alias.aliasname);
        named.is_empty() || named.contains(name)
    };
    let rows: Vec<Node> = read.into_iter().filter(is_locked).map(whole_row).collect();
    select.target_list.extend(rows);
}

/// The relations that a FROM names, without those in subqueries.
fn relations_of<'a>(from: &'a Node, found: &mut Vec<&'a RangeVar>) {
    match &from.node {
        Some(NodeEnum::RangeVar(relation)) => found.push(relation),
        // an alias of the whole hides what is in it
        Some(NodeEnum::JoinExpr(join)) if join.alias.is_none() => {
            let sides = [&join.larg, &join.rarg].into_iter().flatten();
            sides.for_each(|side| relations_of(side, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::select_twin;

    #[test]
    fn what_is_locked_is_fetched() {
        for (text, twin) in [
            (
                "SELECT id FROM s.t WHERE done_at IS NULL ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED",
                "SELECT id, s.t.* FROM s.t WHERE done_at IS NULL ORDER BY id LIMIT 10",
            ),
            (
                "SELECT 1 FROM t FOR NO KEY UPDATE OF t NOWAIT",
                "SELECT 1, t.* FROM t",
            ),
            (
                "SELECT 1 FROM t x JOIN u ON u.id = x.id FOR SHARE OF x",
                "SELECT 1, x.* FROM t x JOIN u ON u.id = x.id",
            ),
            ("SELECT id FROM t", "SELECT id FROM t"),
            // what stands in a statement has to give as many columns as it did
            (
                "SELECT a FROM t WHERE id = (SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE)",
                "SELECT a FROM t WHERE id = (SELECT id FROM t ORDER BY id LIMIT 1)",
            ),
        ] {
            assert_eq!(select_twin(text).as_deref(), Some(twin), "{text}");
        }
    }
}
