//! Operators of searches with their sides changed.

/// The operator that says the same with its sides changed, as PostgreSQL's catalog has it for each type that an index other than
/// a b-tree is searched by. LIKE and regular expressions have none: `'a' LIKE column` is no search in the column.
pub fn commutator(operator: &str) -> Option<&'static str> {
    let known = match operator {
        "@>" => "<@",
        "<@" => "@>",
        "&&" => "&&",
        "@@" => "@@",
        // of ranges and shapes
        "<<" => ">>",
        ">>" => "<<",
        "-|-" => "-|-",
        "~=" => "~=",
        // of networks
        "<<=" => ">>=",
        ">>=" => "<<=",
        // of pg_trgm
        "%" => "%",
        "<%" => "%>",
        "%>" => "<%",
        "<<%" => "%>>",
        "%>>" => "<<%",
        _ => return None,
    };
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, Condition, Operand, conditions};
    use super::*;

    /// The column, the operator and the value of a search.
    fn told(text: &str) -> Option<(String, String, String)> {
        match conditions(text).pop()? {
            Condition::Term {
                left: Operand::Column(name),
                comparison: Comparison::Operator(operator),
                right: Operand::Value(value),
                ..
            } => Some((name.column, operator, value)),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_value_may_stand_before_its_column() {
        for (text, operator) in [
            ("(now() <@ t.a)", "@>"),
            ("(ARRAY['x'::text] <@ t.a)", "@>"),
            ("($1 && t.a)", "&&"),
            ("(to_tsquery('a'::text) @@ t.a)", "@@"),
            ("('10.0.7.0/24'::inet >>= t.a)", "<<="),
            ("('10.0.7.0/24'::inet <<= t.a)", ">>="),
            ("('[1,2)'::int4range << t.a)", ">>"),
            ("('abc'::text % t.a)", "%"),
            ("('abc'::text <% t.a)", "%>"),
        ] {
            let (column, found, value) = told(text).unwrap();
            assert_eq!((column.as_str(), found.as_str()), ("a", operator), "{text}");
            assert!(!value.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_says_something_else_is_not_turned() {
        for text in [
            "('abc'::text ~~ t.a)",
            "('abc'::text ~~* t.a)",
            "('abc'::text ~ t.a)",
            "('{\"a\": 1}'::jsonb ? t.a)",
            "('[1,2)'::int4range &< t.a)",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_turned_twice_is_the_same() {
        for operator in ["@>", "<@", "&&", "@@", "<<", ">>", "<<=", ">>=", "%", "<%", "%>>"] {
            assert_eq!(commutator(operator).and_then(commutator), Some(operator));
        }
    }
}
