//! What the values of patterns begin with that a condition compares with.

use pg_query::NodeEnum;
use pg_query::protobuf::a_const;

use super::expression;

/// What a constant of SQL says; `None` of a parameter, or what is computed.
pub(in crate::sql) fn text_of(constant: &str) -> Option<String> {
    let node = expression(constant)?;
    let mut inner = &node;
    while let Some(NodeEnum::TypeCast(cast)) = &inner.node {
        inner = cast.arg.as_deref()?;
    }
    match inner.node.as_ref()? {
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            a_const::Val::Sval(text) => Some(text.sval.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a LIKE pattern, as a constant in SQL, begins with something fixed: with anything but a wildcard that is not escaped.
pub(super) fn is_prefix(constant: &str) -> bool {
    let begins = |pattern: String| {
        let mut characters = pattern.chars();
        match characters.next() {
            None | Some('%' | '_') => false,
            Some('\\') => characters.next().is_some(),
            Some(_) => true,
        }
    };
    text_of(constant).is_some_and(begins)
}

/// Whether a regular expression, as a constant in SQL, begins with something fixed: a letter, a digit, or another character that is
/// escaped. Behind `\` a letter or a digit stands for a class of them.
pub(super) fn is_anchored(constant: &str) -> bool {
    let begins = |pattern: String| {
        let mut characters = pattern.strip_prefix('^').unwrap_or_default().chars();
        match characters.next() {
            Some('\\') => characters
                .next()
                .is_some_and(|escaped| !escaped.is_alphanumeric()),
            first => first.is_some_and(|first| first.is_alphanumeric() || first == '_'),
        }
    };
    text_of(constant).is_some_and(begins)
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, Condition, conditions};

    fn comparison(text: &str) -> Comparison {
        match conditions(text).remove(0) {
            Condition::Term { comparison, .. } => comparison,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_pattern_begins_with_what_is_no_wildcard_or_an_escaped_one() {
        for text in [
            r"(t.a ~~ 'ecc\_%'::text)",
            r"(t.a ~~ '\%ab%'::text)",
            r"(t.a ~~ '\_%'::text)",
            "(t.a ~~ 'ab_c%'::text)",
            "(t.a ~~ 'it''s%'::text)",
            "(t.a ~~ '''s%'::text)",
            "(t.a ~~ 'Größe%'::text)",
            r"((t.a)::text ~~ 'Player\_c4ca%'::text)",
            r"(lower(t.a) ~~ 'user77\_%'::text)",
            r"(t.a ~ '^\.x'::text)",
            "(t.a ~ '^_x'::text)",
            r"(t.a ~ '^Player\_c'::text)",
        ] {
            assert_eq!(comparison(text), Comparison::Prefix, "{text}");
        }
        for (text, operator) in [
            ("(t.a ~~ '_ab%'::text)", "~~"),
            ("(t.a ~~ '%ab'::text)", "~~"),
            ("(t.a ~~ ''::text)", "~~"),
            (r"(t.a ~~ '%\_%'::text)", "~~"),
            (r"(t.a ~ '^\d'::text)", "~"),
            ("(t.a ~ '^.x'::text)", "~"),
            ("(t.a ~ 'x'::text)", "~"),
        ] {
            assert_eq!(comparison(text), Comparison::Operator(operator.into()), "{text}");
        }
    }
}
