//! The same statement with another of its tables in front: HypoPG sees some indexes only there.

use pg_query::protobuf::{JoinType, ParseResult, RangeVar, SelectStmt};
use pg_query::{Node, NodeEnum};

use super::parse_one;

/// Where a statement names a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    InFront,
    /// Behind others; the same statement with it before them.
    Behind(String),
    /// More than once, or where it cannot be moved to the front: in a subquery, in a view.
    Elsewhere,
}

/// Where a statement names this table in its FROM. The order of a FROM list and the sides of a join say nothing of what it
/// gives; only that of its columns becomes another one where it asks for all of them.
pub fn in_front(text: &str, schema: &str, table: &str) -> Place {
    let is_it = |relation: &RangeVar| {
        relation.relname == table && (relation.schemaname.is_empty() || relation.schemaname == schema)
    };
    placed(text, &is_it).unwrap_or(Place::Elsewhere)
}

type IsIt<'a> = &'a dyn Fn(&RangeVar) -> bool;

fn placed(text: &str, is_it: IsIt<'_>) -> Option<Place> {
    let mut statement = parse_one(text).ok()?;
    // what is written to comes before all that is read
    let target = match statement.stmt.as_mut()?.node.as_mut()? {
        NodeEnum::SelectStmt(select) => {
            if let Some(place) = moved(select, is_it) {
                return Some(place);
            }
            None
        }
        NodeEnum::UpdateStmt(update) => update.relation.as_ref(),
        NodeEnum::DeleteStmt(delete) => delete.relation.as_ref(),
        NodeEnum::MergeStmt(merge) => merge.relation.as_ref(),
        _ => return None,
    };
    match target {
        Some(target) => is_it(target).then_some(Place::InFront),
        None => {
            let whole = ParseResult {
                stmts: vec![statement],
                ..ParseResult::default()
            };
            let text = pg_query::deparse(&whole, Default::default()).ok()?;
            parse_one(&text).ok()?;
            Some(Place::Behind(text))
        }
    }
}

/// Moves the table to the front; tells its place where there is nothing to move, or nothing can be.
fn moved(select: &mut SelectStmt, is_it: IsIt<'_>) -> Option<Place> {
    let mut found = Vec::new();
    select
        .from_clause
        .iter()
        .for_each(|item| look(item, is_it, &mut found));
    // what a query of WITH is called is no table
    let is_query = |query: &Node| match &query.node {
        Some(NodeEnum::CommonTableExpr(query)) => is_it(&RangeVar {
            relname: query.ctename.clone(),
            ..RangeVar::default()
        }),
        _ => false,
    };
    let mut queries = select.with_clause.iter().flat_map(|with| &with.ctes);
    let count = found.iter().filter(|is_it| **is_it).count();
    if count != 1 || queries.any(is_query) || names_moved_columns(select) {
        return Some(Place::Elsewhere);
    }
    if found.first() == Some(&true) {
        return Some(Place::InFront);
    }
    let Some(at) = select.from_clause.iter().position(|item| holds(item, is_it)) else {
        return Some(Place::Elsewhere);
    };
    let mut item = select.from_clause.remove(at);
    let is_turned = turned(&mut item, is_it);
    select.from_clause.insert(0, item);
    match is_turned {
        Some(()) => None,
        None => Some(Place::Elsewhere),
    }
}

/// What stands in FROM, from the left to the right: whether it is the table.
fn look(item: &Node, is_it: IsIt<'_>, found: &mut Vec<bool>) {
    match &item.node {
        Some(NodeEnum::JoinExpr(join)) => [&join.larg, &join.rarg]
            .into_iter()
            .flatten()
            .for_each(|side| look(side, is_it, found)),
        Some(NodeEnum::RangeVar(relation)) => found.push(is_it(relation)),
        _ => found.push(false),
    }
}

fn holds(item: &Node, is_it: IsIt<'_>) -> bool {
    let mut found = Vec::new();
    look(item, is_it, &mut found);
    found.contains(&true)
}

/// Turns joins round so that the table is on the left of all of them; not one that has a name, which may name its columns in
/// their order.
fn turned(item: &mut Node, is_it: IsIt<'_>) -> Option<()> {
    let Some(NodeEnum::JoinExpr(join)) = &mut item.node else {
        return Some(());
    };
    if join.alias.is_some() {
        return None;
    }
    if join.rarg.as_deref().is_some_and(|right| holds(right, is_it)) {
        std::mem::swap(&mut join.larg, &mut join.rarg);
        let outer = [JoinType::JoinLeft as i32, JoinType::JoinRight as i32];
        if let Some(side) = outer.iter().position(|side| *side == join.jointype) {
            join.jointype = outer[1 - side];
        }
    }
    turned(join.larg.as_deref_mut()?, is_it)
}

/// Whether a column is named by its number, as that to sort by, where all columns are asked for: their order is that of the tables.
fn names_moved_columns(select: &SelectStmt) -> bool {
    let is_number = |key: &Node| matches!(key.node, Some(NodeEnum::AConst(_)));
    let is_sorted_so = |key: &Node| match &key.node {
        Some(NodeEnum::SortBy(key)) => key.node.as_deref().is_some_and(is_number),
        _ => false,
    };
    let mut keys = select.group_clause.iter().chain(&select.distinct_clause);
    let by_number = select.sort_clause.iter().any(is_sorted_so) || keys.any(is_number);
    by_number && select.target_list.iter().any(asks_for_all)
}

/// Whether it is the `*` of all tables.
fn asks_for_all(target: &Node) -> bool {
    let Some(NodeEnum::ResTarget(target)) = &target.node else {
        return false;
    };
    let value = target.val.as_deref().and_then(|value| value.node.as_ref());
    let Some(NodeEnum::ColumnRef(column)) = value else {
        return false;
    };
    let first = column.fields.first().and_then(|field| field.node.as_ref());
    matches!(first, Some(NodeEnum::AStar(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        in_front(text, "s", "t")
    }

    #[test]
    fn a_table_is_moved_to_the_front() {
        for (text, moved) in [
            (
                "SELECT a FROM u, t WHERE u.id = t.id AND lower(t.b) = $1",
                "SELECT a FROM t, u WHERE u.id = t.id AND lower(t.b) = $1",
            ),
            (
                "SELECT a FROM u JOIN s.t x ON u.id = x.id",
                "SELECT a FROM s.t x JOIN u ON u.id = x.id",
            ),
            (
                "SELECT a FROM u LEFT JOIN t ON u.id = t.id LIMIT 3",
                "SELECT a FROM t RIGHT JOIN u ON u.id = t.id LIMIT 3",
            ),
            (
                "SELECT a FROM v, u JOIN t USING (id) LEFT JOIN w ON w.id = t.w",
                "SELECT a FROM t JOIN u USING (id) LEFT JOIN w ON w.id = t.w, v",
            ),
            (
                "SELECT u.*, x.a FROM u JOIN t x ON u.id = x.id ORDER BY 2 LIMIT 10",
                "SELECT u.*, x.a FROM t x JOIN u ON u.id = x.id ORDER BY 2 LIMIT 10",
            ),
        ] {
            assert_eq!(place(text), Place::Behind(moved.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_in_front_stays_and_what_cannot_be_moved_is_elsewhere() {
        for text in [
            "SELECT a FROM t, u",
            "SELECT a FROM t JOIN u ON true",
            "UPDATE s.t SET a = 1 FROM u",
            "DELETE FROM t USING u",
        ] {
            assert_eq!(place(text), Place::InFront, "{text}");
        }
        for text in [
            "SELECT a FROM u WHERE EXISTS (SELECT FROM t WHERE t.id = u.id)",
            "SELECT a FROM u, (SELECT * FROM t) x",
            "SELECT a FROM u, other.t",
            "SELECT a FROM u, t x, t y",
            "WITH t AS (SELECT 1) SELECT a FROM u, t",
            "SELECT * FROM u, t ORDER BY 1",
            "SELECT DISTINCT ON (1) * FROM u, t",
            "SELECT a FROM (u JOIN t ON true) j (b, c)",
            "SELECT a FROM u UNION SELECT a FROM t",
            "UPDATE u SET a = 1 FROM t",
            "INSERT INTO u SELECT * FROM t",
            "no SQL",
        ] {
            assert_eq!(place(text), Place::Elsewhere, "{text}");
        }
    }
}
