//! Expressions of one SELECT that were one before their constants became parameters. What is grouped or sorted by as it stands in
//! what is selected is kept once by PostgreSQL, so that pg_stat_statements sees the constants of the first place alone: they become
//! parameters there, and stay constants in the others. Drivers give each place parameters of its own.

use std::collections::BTreeSet;

use pg_query::protobuf::SelectStmt;
use pg_query::{Node, NodeEnum};
use serde_json::Value;

/// Says the same in all places of each SELECT where the same was said: with the constants where one of them has them, else with
/// the parameters of the first.
pub(super) fn say_the_same(select: &mut SelectStmt) {
    for side in [&mut select.larg, &mut select.rarg] {
        side.iter_mut().for_each(|side| say_the_same(side));
    }
    let inner = select.from_clause.iter_mut().flat_map(queries_of);
    let ctes = select.with_clause.iter_mut().flat_map(|with| &mut with.ctes);
    let ctes = ctes.filter_map(|cte| match &mut cte.node {
        Some(NodeEnum::CommonTableExpr(cte)) => cte.ctequery.as_mut(),
        _ => None,
    });
    for query in inner.chain(ctes) {
        if let Some(NodeEnum::SelectStmt(query)) = &mut query.node {
            say_the_same(query);
        }
    }
    let mut places = places(select);
    if places.len() > PLACES {
        return;
    }
    let shapes: Vec<(Clause, Option<Shape>)> = places
        .iter()
        .map(|(clause, node)| (*clause, Shape::of(node)))
        .collect();
    for same in alike(&shapes) {
        let (_, said) = &places[same.best];
        let said = (**said).clone();
        for place in same.places {
            *places[place].1 = said.clone();
        }
    }
}

/// A statement with more places is left as it is: each is compared with the others.
const PLACES: usize = 300;

/// The queries that stand in a part of FROM.
fn queries_of(from: &mut Node) -> Vec<&mut Box<Node>> {
    match &mut from.node {
        Some(NodeEnum::RangeSubselect(from)) => from.subquery.iter_mut().collect(),
        Some(NodeEnum::JoinExpr(join)) => {
            let sides = [&mut join.larg, &mut join.rarg].into_iter().flatten();
            sides.flat_map(|side| queries_of(side)).collect()
        }
        _ => Vec::new(),
    }
}

/// Where an expression may stand that stands elsewhere, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Clause {
    Selected,
    Distinct,
    Grouped,
    Sorted,
}

/// All of these places, what is selected first.
fn places(select: &mut SelectStmt) -> Vec<(Clause, &mut Node)> {
    let selected = select
        .target_list
        .iter_mut()
        .filter_map(|target| match &mut target.node {
            Some(NodeEnum::ResTarget(target)) => target.val.as_deref_mut(),
            _ => None,
        });
    let distinct = select.distinct_clause.iter_mut();
    let grouped = select.group_clause.iter_mut().flat_map(grouped);
    let sorted = select
        .sort_clause
        .iter_mut()
        .filter_map(|sort| match &mut sort.node {
            Some(NodeEnum::SortBy(sort)) => sort.node.as_deref_mut(),
            _ => None,
        });
    let mut places: Vec<(Clause, &mut Node)> = selected.map(|node| (Clause::Selected, node)).collect();
    places.extend(distinct.map(|node| (Clause::Distinct, node)));
    places.extend(grouped.map(|node| (Clause::Grouped, node)));
    places.extend(sorted.map(|node| (Clause::Sorted, node)));
    places
}

/// What an entry of GROUP BY groups by: ROLLUP and the like hold several.
fn grouped(node: &mut Node) -> Vec<&mut Node> {
    if !matches!(node.node, Some(NodeEnum::GroupingSet(_))) {
        return vec![node];
    }
    match &mut node.node {
        Some(NodeEnum::GroupingSet(set)) => set.content.iter_mut().flat_map(grouped).collect(),
        _ => Vec::new(),
    }
}

/// Places where the same was said.
struct Same {
    places: Vec<usize>,
    clauses: BTreeSet<Clause>,
    /// The place with the fewest parameters, the first of these.
    best: usize,
}

/// Which places say the same. Each that is selected is one of its own.
fn alike(shapes: &[(Clause, Option<Shape>)]) -> Vec<Same> {
    let mut found: Vec<Same> = Vec::new();
    for (place, (clause, shape)) in shapes.iter().enumerate() {
        let Some(shape) = shape else { continue };
        let of = |same: &Same| shapes[same.best].1.as_ref();
        let fits = |same: &&mut Same| {
            *clause != Clause::Selected && of(same).is_some_and(|other| other.may_be(shape))
        };
        // who groups by two of one form selects two
        let fresh = found
            .iter()
            .position(|same| !same.clauses.contains(clause) && of(same).is_some_and(|one| one.may_be(shape)))
            .filter(|_| *clause != Clause::Selected);
        let same = match fresh {
            Some(fresh) => found.get_mut(fresh),
            None => found.iter_mut().find(fits),
        };
        let Some(same) = same else {
            found.push(Same {
                places: vec![place],
                clauses: [*clause].into(),
                best: place,
            });
            continue;
        };
        if of(same).is_some_and(|other| shape.parameters() < other.parameters()) {
            same.best = place;
        }
        same.places.push(place);
        same.clauses.insert(*clause);
    }
    found
}

/// What stands in one place for a constant.
#[derive(Debug, PartialEq)]
enum Leaf {
    Parameter,
    Constant(Value),
}

/// An expression without what fills it, and that.
struct Shape {
    form: Value,
    leaves: Vec<Leaf>,
}

impl Shape {
    /// Of an expression that holds a parameter or a constant, and is more than that.
    fn of(node: &Node) -> Option<Self> {
        if matches!(
            node.node,
            Some(NodeEnum::ParamRef(_) | NodeEnum::AConst(_) | NodeEnum::ColumnRef(_)) | None
        ) {
            return None;
        }
        let mut form = serde_json::to_value(node).ok()?;
        let mut leaves = Vec::new();
        empty(&mut form, &mut leaves);
        (!leaves.is_empty()).then_some(Self { form, leaves })
    }

    /// Whether another one was the same, for all that is left of both.
    fn may_be(&self, other: &Self) -> bool {
        let mut leaves = self.leaves.iter().zip(&other.leaves);
        self.form == other.form
            && self.leaves.len() == other.leaves.len()
            && leaves.all(|(one, other)| one == other || [one, other].contains(&&Leaf::Parameter))
    }

    fn parameters(&self) -> usize {
        let parameters = self.leaves.iter().filter(|leaf| **leaf == Leaf::Parameter);
        parameters.count()
    }
}

/// Takes out of an expression what fills it, and how it was written: `extract($1 FROM a)` was made a plain call.
fn empty(tree: &mut Value, leaves: &mut Vec<Leaf>) {
    match tree {
        Value::Array(items) => items.iter_mut().for_each(|item| empty(item, leaves)),
        Value::Object(fields) => {
            let leaf = match (fields.get("ParamRef"), fields.get("AConst")) {
                (Some(_), _) => Some(Leaf::Parameter),
                (None, Some(constant)) => Some(Leaf::Constant(without_place(constant))),
                (None, None) => None,
            };
            if let Some(leaf) = leaf {
                leaves.push(leaf);
                *tree = Value::Null;
                return;
            }
            let is_said = |name: &str| {
                !["location", "list_start", "list_end"]
                    .iter()
                    .any(|end| name.ends_with(end))
            };
            fields.retain(|name, _| is_said(name) && name != "funcformat");
            fields.values_mut().for_each(|value| empty(value, leaves));
        }
        _ => {}
    }
}

/// A constant by its value alone.
fn without_place(constant: &Value) -> Value {
    let mut constant = constant.clone();
    if let Value::Object(fields) = &mut constant {
        fields.remove("location");
    }
    constant
}

#[cfg(test)]
mod tests {
    use crate::sql::mended;

    #[test]
    fn what_stayed_a_constant_tells_the_parameter() {
        for (text, expected) in [
            (
                "SELECT date_trunc($1, a), count(*) FROM t GROUP BY date_trunc('month', a)",
                "SELECT date_trunc('month', a), count(*) FROM t GROUP BY date_trunc('month', a)",
            ),
            (
                "SELECT date_trunc('month', a), count(*) FROM t GROUP BY date_trunc($1, a) ORDER BY date_trunc($1, a)",
                "SELECT date_trunc('month', a), count(*) FROM t GROUP BY date_trunc('month', a) ORDER BY date_trunc('month', a)",
            ),
            (
                "SELECT coalesce(a, $1) + b, count(*) FROM t GROUP BY coalesce(a, 0) + b ORDER BY coalesce(a, 0) + b DESC",
                "SELECT COALESCE(a, 0) + b, count(*) FROM t GROUP BY COALESCE(a, 0) + b ORDER BY COALESCE(a, 0) + b DESC",
            ),
            (
                "SELECT CASE WHEN a > $1 THEN $2 ELSE b END, count(*) FROM t GROUP BY CASE WHEN a > 5 THEN 'x' ELSE b END",
                "SELECT CASE WHEN a > 5 THEN 'x' ELSE b END, count(*) FROM t GROUP BY CASE WHEN a > 5 THEN 'x' ELSE b END",
            ),
            // what is sorted by is read before what is grouped by, and neither is selected
            (
                "SELECT count(*) FROM t GROUP BY date_trunc('day', a) ORDER BY date_trunc($1, a)",
                "SELECT count(*) FROM t GROUP BY date_trunc('day', a) ORDER BY date_trunc('day', a)",
            ),
            (
                "SELECT lower(left(a, $1)), count(*) FROM t GROUP BY ROLLUP (lower(left(a, 3)), b)",
                "SELECT lower(left(a, 3)), count(*) FROM t GROUP BY ROLLUP (lower(left(a, 3)), b)",
            ),
        ] {
            let mended = mended(text).unwrap_or_else(|| panic!("{text}"));
            let bare = mended.split(") SELECT ").last().unwrap_or_default();
            let bare = format!("SELECT {}", bare.strip_prefix("SELECT ").unwrap_or(bare));
            assert_eq!(plain(&bare), plain(expected), "{text}");
            assert!(
                mended.contains("pgadvisor_unread"),
                "its parameters keep their numbers: {mended}"
            );
        }
    }

    /// As the deparser prints it.
    fn plain(text: &str) -> String {
        let tree = pg_query::parse(text, 0).unwrap().protobuf;
        pg_query::deparse(&tree, Default::default()).unwrap()
    }

    #[test]
    fn a_field_of_a_time_is_the_same_in_both_ways_of_writing_it() {
        let mended =
            mended("SELECT extract($1 FROM a), count(*) FROM t GROUP BY extract(month FROM a)").unwrap();
        let small = mended.to_lowercase();
        assert_eq!(small.matches("month").count(), 2, "{mended}");
        assert_eq!(small.matches("$1").count(), 1, "it is only kept: {mended}");
    }

    #[test]
    fn two_of_one_form_stay_two() {
        let text = "SELECT date_trunc($1, a), date_trunc($2, a), count(*) FROM t \
                    GROUP BY date_trunc('month', a), date_trunc('year', a) ORDER BY date_trunc('year', a)";
        let mended = mended(text).unwrap();
        let select = "SELECT date_trunc('month', a), date_trunc('year', a), count(*) FROM t \
                      GROUP BY date_trunc('month', a), date_trunc('year', a) ORDER BY date_trunc('year', a)";
        assert!(mended.ends_with(&plain(select)), "{mended}");
    }

    #[test]
    fn what_differs_is_left_alone() {
        for text in [
            "SELECT date_trunc('month', a), count(*) FROM t GROUP BY date_trunc('year', a)",
            "SELECT date_trunc($1, a), count(*) FROM t GROUP BY date_trunc('year', b)",
            "SELECT $1, count(*) FROM t GROUP BY 1",
            "SELECT left(a, $1), count(*) FROM t GROUP BY right(a, 3)",
        ] {
            assert_eq!(mended(text).as_deref(), Some(&plain(text)[..]), "{text}");
        }
    }
}
