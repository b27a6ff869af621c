//! Which columns of a query's result are unique whatever its tables hold.

use pg_query::NodeEnum;

use super::expression::deparsed;
use pg_query::protobuf::{self, Node, SelectStmt};

/// Aggregates of PostgreSQL: without GROUP BY a query that calls one has one row.
const AGGREGATES: [&str; 16] = [
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "bool_and",
    "bool_or",
    "every",
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "stddev",
    "variance",
    "bit_and",
    "bit_or",
];

/// Positions, from 0, of result columns that are unique together by the query itself: what it groups by, or what it is
/// DISTINCT in. None where that does not follow from the query alone.
pub fn unique_columns(query: &str) -> Option<Vec<usize>> {
    unique(query).filter(|positions| positions.len() <= INDEX_COLUMNS)
}

/// Columns that an index can have.
const INDEX_COLUMNS: usize = 32;

fn unique(query: &str) -> Option<Vec<usize>> {
    let parsed = pg_query::parse(query, 0).ok()?;
    let statement = parsed.protobuf.stmts.first()?.stmt.as_ref()?;
    let Some(NodeEnum::SelectStmt(select)) = &statement.node else {
        return None;
    };
    let targets: Vec<&Node> = select
        .target_list
        .iter()
        .map(|target| match &target.node {
            Some(NodeEnum::ResTarget(target)) => target.val.as_deref(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    // a star or a function with several rows in one target is more than one column or row
    if targets.is_empty() || targets.iter().any(|target| is_star(target)) {
        return None;
    }
    match select.op() {
        protobuf::SetOperation::Undefined | protobuf::SetOperation::SetopNone => {}
        // UNION without ALL leaves no two rows alike
        _ => return None,
    }
    if !select.distinct_clause.is_empty() {
        return distinct(select, &targets);
    }
    if !select.group_clause.is_empty() {
        return positions(&select.group_clause, &targets);
    }
    let has_one_row = targets.iter().any(|target| is_aggregate(target)) && select.window_clause.is_empty();
    has_one_row.then(|| vec![0])
}

fn is_star(target: &Node) -> bool {
    let Some(NodeEnum::ColumnRef(column)) = &target.node else {
        return false;
    };
    column
        .fields
        .iter()
        .any(|field| matches!(&field.node, Some(NodeEnum::AStar(_))))
}

/// Whether it is a call of one of PostgreSQL's aggregates.
pub(super) fn is_aggregate(target: &Node) -> bool {
    let Some(NodeEnum::FuncCall(call)) = &target.node else {
        return false;
    };
    let parts: Vec<&str> = call
        .funcname
        .iter()
        .filter_map(|part| match &part.node {
            Some(NodeEnum::String(part)) => Some(part.sval.as_str()),
            _ => None,
        })
        .collect();
    // a function of somebody else may have the same name
    let is_known = matches!(parts[..], [name] | ["pg_catalog", name] if AGGREGATES.contains(&name));
    call.over.is_none() && is_known
}

/// DISTINCT is unique in all columns, DISTINCT ON in those that it names.
fn distinct(select: &SelectStmt, targets: &[&Node]) -> Option<Vec<usize>> {
    let named: Vec<&Node> = select
        .distinct_clause
        .iter()
        .filter(|node| node.node.is_some())
        .collect();
    match named.is_empty() {
        true => Some((0..targets.len()).collect()),
        false => positions(&select.distinct_clause, targets),
    }
}

/// Where each of these expressions stands in the result.
fn positions(expressions: &[Node], targets: &[&Node]) -> Option<Vec<usize>> {
    let mut positions: Vec<usize> = expressions
        .iter()
        .map(|expression| position(expression, targets))
        .collect::<Option<_>>()?;
    positions.sort_unstable();
    positions.dedup();
    Some(positions)
}

fn position(expression: &Node, targets: &[&Node]) -> Option<usize> {
    match &expression.node {
        // GROUP BY 1
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(protobuf::a_const::Val::Ival(number)) => usize::try_from(number.ival).ok()?.checked_sub(1),
            _ => None,
        },
        // each grouping set repeats the others
        Some(NodeEnum::GroupingSet(_)) | None => None,
        _ => {
            let text = deparsed(expression)?;
            targets
                .iter()
                .position(|target| deparsed(target).as_ref() == Some(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unique_columns;

    #[test]
    fn what_a_query_groups_by_is_unique_in_its_result() {
        for (query, expected) in [
            ("SELECT a, sum(b) FROM t GROUP BY a", Some(vec![0])),
            ("SELECT sum(b), a, c FROM t GROUP BY a, c", Some(vec![1, 2])),
            (
                "SELECT date_trunc('day', at) AS day, count(*) FROM t GROUP BY (date_trunc('day', at))",
                Some(vec![0]),
            ),
            (
                "SELECT date_trunc('day', at) AS day, count(*) FROM t GROUP BY 1",
                Some(vec![0]),
            ),
            ("SELECT t.a AS x, count(*) FROM t GROUP BY t.a", Some(vec![0])),
            // which of two columns a bare name means is not seen
            ("SELECT a AS x, count(*) FROM t GROUP BY x", None),
            ("SELECT f.count(b) FROM t", None),
            ("SELECT pg_catalog.count(b) FROM t", Some(vec![0])),
            ("SELECT count(*) FROM t", Some(vec![0])),
            ("SELECT DISTINCT a, b FROM t", Some(vec![0, 1])),
            ("SELECT DISTINCT ON (b) a, b FROM t ORDER BY b", Some(vec![1])),
            // what it groups by is not shown
            ("SELECT sum(b) FROM t GROUP BY a", None),
            ("SELECT a, sum(b) FROM t GROUP BY ROLLUP (a)", None),
            ("SELECT a, count(*) OVER () FROM t", None),
            ("SELECT a, b FROM t", None),
            ("SELECT * FROM t", None),
            ("SELECT DISTINCT * FROM t", None),
            ("SELECT a FROM t UNION ALL SELECT b FROM t", None),
            ("not a query", None),
        ] {
            assert_eq!(unique_columns(query), expected, "{query}");
        }
    }
}
