//! Rows behind a position in an order, as pages are asked for that begin where the last one ended: `a < $1 OR (a = $1 AND b < $2)`.
//! All rows behind the position pass, and none before it; nor do those that lack the first key, where the order begins with them: that
//! is for whoever gives the order to know.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, Node};

use super::{Condition, Operand, SortKey, all_of, expression, operand, value_last};

/// The conditions that must all hold, without those that ask with OR for what lies behind a position in this order.
pub fn conditions_beside_positions(text: &str, order: &[SortKey]) -> Vec<Condition> {
    let Some(node) = expression(text) else {
        return Vec::new();
    };
    let mut parts = all_in(&node);
    parts.retain(|part| !is_behind(part, order));
    parts.into_iter().flat_map(all_of).collect()
}

/// Whether one of the conditions that must all hold asks with OR for what lies behind a position in this order.
pub fn asks_behind_a_position(text: &str, order: &[SortKey]) -> bool {
    let node = expression(text);
    node.is_some_and(|node| all_in(&node).iter().any(|part| is_behind(part, order)))
}

/// Where the rows lie for which a key is compared with a value.
enum Place {
    At,
    Behind,
}

fn is_behind(node: &Node, order: &[SortKey]) -> bool {
    let arms = alternatives(node);
    !order.is_empty() && arms.len() > 1 && are_behind(arms.into_iter().map(all_in).collect(), order)
}

/// Whether of these alternatives one is behind a value of the first key, and the others are behind one of the next where the first has
/// that value. Statements that were captured, and drivers that number by place, have another parameter for the same value each time.
fn are_behind(arms: Vec<Vec<&Node>>, order: &[SortKey]) -> bool {
    let Some((key, next)) = order.split_first() else {
        // these rows are anywhere among those that are the same in the whole order
        return true;
    };
    let mut behind = 0;
    let mut at = Vec::new();
    for mut arm in arms {
        if let [one] = &arm[..]
            && matches!(place(one, key), Some(Place::Behind))
        {
            behind += 1;
            continue;
        }
        let is_at = |part: &&Node| matches!(place(part, key), Some(Place::At));
        let Some(position) = arm.iter().position(is_at) else {
            return false;
        };
        arm.remove(position);
        at.extend(match &arm[..] {
            [one] => alternatives(one).into_iter().map(all_in).collect(),
            _ => vec![arm],
        });
    }
    behind == 1 && (at.is_empty() || are_behind(at, next))
}

/// Where in an order by this key the rows lie that a comparison picks; `None` if it is about something else, or picks those before
/// the value.
fn place(node: &Node, key: &SortKey) -> Option<Place> {
    let NodeEnum::AExpr(compared) = node.node.as_ref()? else {
        return None;
    };
    let NodeEnum::String(operator) = compared.name.last()?.node.as_ref()? else {
        return None;
    };
    let is_plain = matches!(AExprKind::try_from(compared.kind), Ok(AExprKind::AexprOp));
    let (left, right) = (
        operand(compared.lexpr.as_deref()?),
        operand(compared.rexpr.as_deref()?),
    );
    let ((left, right), turned) = value_last(left, right);
    if !is_plain || left != key.operand || !matches!(right, Operand::Value(_)) {
        return None;
    }
    match (operator.sval.as_str(), key.descending != turned) {
        ("=", _) => Some(Place::At),
        ("<" | "<=", true) | (">" | ">=", false) => Some(Place::Behind),
        _ => None,
    }
}

/// What must all hold.
fn all_in(node: &Node) -> Vec<&Node> {
    parts_of(node, BoolExprType::AndExpr)
}

/// Of what one must hold.
fn alternatives(node: &Node) -> Vec<&Node> {
    parts_of(node, BoolExprType::OrExpr)
}

fn parts_of(node: &Node, kind: BoolExprType) -> Vec<&Node> {
    match &node.node {
        Some(NodeEnum::BoolExpr(all)) if BoolExprType::try_from(all.boolop).ok() == Some(kind) => {
            all.args.iter().flat_map(|part| parts_of(part, kind)).collect()
        }
        _ => vec![node],
    }
}

#[cfg(test)]
mod tests {
    use super::super::{conditions, sort_key};
    use super::*;

    fn order(keys: &[&str]) -> Vec<SortKey> {
        keys.iter().map(|key| sort_key(key)).collect()
    }

    #[test]
    fn what_lies_behind_a_position_in_the_order_is_known() {
        let falling = order(&["t.a DESC", "t.b DESC", "t.c DESC"]);
        for text in [
            "((t.a < $1) OR ((t.a = $1) AND (t.b < $2)))",
            "((t.a <= $1) OR ((t.a = $2) AND (t.b <= $3)))",
            "((($1 = t.a) AND ($2 > t.b)) OR ($1 > t.a))",
            "((t.a < $1) OR ((t.a = $1) AND (t.b < $2)) OR ((t.a = $1) AND (t.b = $2) AND (t.c < $3)))",
            "((t.a < $1) OR ((t.a = $1) AND ((t.b < $2) OR ((t.b = $2) AND (t.c < $3)))))",
            "((t.d = $4) AND ((t.a < $1) OR ((t.a = $1) AND (t.b < $2))))",
        ] {
            assert!(asks_behind_a_position(text, &falling), "{text}");
            assert!(!asks_behind_a_position(text, &[]), "{text}");
        }
        let mixed = order(&["t.a", "t.b DESC"]);
        assert!(asks_behind_a_position(
            "((t.a > $1) OR ((t.a = $1) AND (t.b < $2)))",
            &mixed
        ));
        // an index in the order of the first key alone mixes up those that have the same
        assert!(asks_behind_a_position(
            "((t.a > $1) OR ((t.a = $1) AND (t.b < $2)))",
            &order(&["t.a"])
        ));
    }

    #[test]
    fn what_lies_before_it_or_beside_it_is_not() {
        let falling = order(&["t.a DESC", "t.b DESC"]);
        for text in [
            // the newer ones, read from the newest: all the others are read in vain
            "((t.a > $1) OR ((t.a = $1) AND (t.b > $2)))",
            "((t.a < $1) OR ((t.a = $1) AND (t.b > $2)))",
            "((t.a < $1) OR (t.b < $2))",
            "((t.a < $1) OR ((t.a = $1) AND (t.d < $2)))",
            "((t.a < $1) OR ((t.a = $1) AND (t.b < $2) AND (t.d = $3)))",
            "((t.a < $1) OR ((t.a = t.d) AND (t.b < $2)))",
            "((u.a < $1) OR ((u.a = $1) AND (u.b < $2)))",
            "((t.a < $1) OR (t.a < $2))",
            "((t.a < $1) AND (t.b < $2))",
            "(t.a < $1)",
            "no text of EXPLAIN (",
        ] {
            assert!(!asks_behind_a_position(text, &falling), "{text}");
        }
    }

    #[test]
    fn all_else_that_is_asked_is_kept() {
        let falling = order(&["t.a DESC", "t.b DESC"]);
        let text = "((t.d = $4) AND ((t.a < $1) OR ((t.a = $1) AND (t.b < $2))))";
        assert_eq!(
            conditions_beside_positions(text, &falling),
            conditions("(t.d = $4)")
        );
        assert_eq!(conditions_beside_positions(text, &[]), conditions(text));
        let other = "((t.d = $4) OR (t.e = $5))";
        assert_eq!(conditions_beside_positions(other, &falling), conditions(other));
    }
}
