//! Patterns by which an index on trigrams finds something: pg_trgm cuts them into three letters or digits in a row.

use super::expression::{Comparison, Condition, Operand, has_parameter, text_of};

/// So many letters or digits in a row make a trigram. At the edges of words pg_trgm does with fewer, which is not counted on.
const ROW: usize = 3;
/// The operators that an operator class of PostgreSQL's own, or of pg_trgm, is searched by and no b-tree knows.
const SEARCHES: [&str; 24] = [
    "@>", "<@", "&&", "@@", "@?", "?", "?|", "?&", "~~", "~~*", "~", "~*", "%", "%>", "%>>", "<<", "<<=",
    ">>", ">>=", "&<", "&>", "-|-", "~=", "@",
];
/// Those of them that compare with a pattern.
const PATTERNS: [&str; 4] = ["~~", "~~*", "~", "~*"];
/// Longer patterns are not read: nearly all of them hold one, and parentheses in them could be nested deep.
const READ_CHARACTERS: usize = 1000;

/// Whether an index that is no b-tree is searched by an operator of this name.
pub(super) fn is_searched_by(operator: &str) -> bool {
    SEARCHES.contains(&operator)
}

impl Condition {
    /// Whether an index that is no b-tree could answer it: it compares by an operator of such an index, and not with a pattern
    /// that is known and holds no trigram, for which the index would be read as a whole.
    pub fn is_search(&self) -> bool {
        match self {
            Self::Term {
                comparison: Comparison::Operator(operator),
                right,
                ..
            } => is_searched_by(operator) && may_hold_trigram(operator, right),
            _ => false,
        }
    }

    /// Whether it searches text for a pattern that is known and holds no trigram, by itself or in one of its alternatives.
    pub fn lacks_trigrams(&self) -> bool {
        match self {
            Self::Term {
                comparison: Comparison::Operator(operator),
                right,
                text: Some(text),
                ..
            } => text.ends_with("::text") && !may_hold_trigram(operator, right),
            Self::Or(arms) => arms.iter().flatten().any(Self::lacks_trigrams),
            Self::Term { .. } | Self::Rows(_) => false,
        }
    }

    /// Whether it compares with a pattern that is another one in each call, by itself or in one of its alternatives.
    pub fn has_unknown_pattern(&self) -> bool {
        match self {
            Self::Term {
                comparison: Comparison::Operator(operator),
                right: Operand::Value(pattern),
                ..
            } => {
                let is_pattern = PATTERNS.contains(&operator.as_str());
                // a constant may hold a question mark, too
                is_pattern && has_parameter(pattern) && text_of(pattern).is_none()
            }
            Self::Or(arms) => arms.iter().flatten().any(Self::has_unknown_pattern),
            Self::Term { .. } | Self::Rows(_) => false,
        }
    }
}

/// Whether what `~~`, `~~*`, `~` or `~*` compares with may hold a trigram; of anything else nothing is asked.
fn may_hold_trigram(operator: &str, right: &Operand) -> bool {
    let pattern = match right {
        Operand::Value(constant) => text_of(constant),
        _ => None,
    };
    let Some(pattern) = pattern.filter(|pattern| pattern.len() <= READ_CHARACTERS) else {
        return true;
    };
    match operator {
        "~~" | "~~*" => like_holds(&pattern),
        "~" | "~*" => alternatives_hold(&pattern.chars().collect::<Vec<char>>(), &mut 0),
        _ => true,
    }
}

/// How many letters or digits stand in a row, and whether they were enough once.
#[derive(Default)]
struct Rows {
    length: usize,
    is_enough: bool,
}

impl Rows {
    fn take(&mut self, character: char) {
        match character.is_alphanumeric() {
            true => self.length += 1,
            false => self.length = 0,
        }
        self.is_enough |= self.length >= ROW;
    }

    fn end(&mut self) {
        self.length = 0;
    }
}

fn like_holds(pattern: &str) -> bool {
    let mut rows = Rows::default();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' | '_' => rows.end(),
            '\\' => characters
                .next()
                .into_iter()
                .for_each(|escaped| rows.take(escaped)),
            other => rows.take(other),
        }
    }
    rows.is_enough
}

/// Whether each alternative of a regular expression, up to the parenthesis that closes it, holds a trigram for certain.
fn alternatives_hold(pattern: &[char], at: &mut usize) -> bool {
    let mut all = true;
    let mut rows = Rows::default();
    while let Some(character) = pattern.get(*at).copied() {
        *at += 1;
        match character {
            ')' => break,
            '|' => {
                all &= rows.is_enough;
                rows = Rows::default();
            }
            '(' => {
                // `(?:` only groups; `(?!`, `(?=` and options find nothing
                let is_group = pattern.get(*at) != Some(&'?') || pattern.get(*at + 1) == Some(&':');
                let holds = alternatives_hold(pattern, at);
                rows.end();
                rows.is_enough |= holds && is_group && !may_be_missing(pattern, *at);
            }
            '[' => {
                rows.end();
                skip_class(pattern, at);
            }
            // of a class, or a character that is no letter: `\d`, `\.`
            '\\' => {
                rows.end();
                *at += 1;
            }
            '{' => {
                rows.end();
                while pattern.get(*at).is_some_and(|one| *one != '}') {
                    *at += 1;
                }
            }
            _ if may_be_missing(pattern, *at) => rows.end(),
            other => rows.take(other),
        }
    }
    all && rows.is_enough
}

/// Whether what stands before this place need not be there.
fn may_be_missing(pattern: &[char], at: usize) -> bool {
    matches!(pattern.get(at), Some('?' | '*' | '{'))
}

/// Goes behind the end of `[…]`, in which `]` is a character where it comes first.
fn skip_class(pattern: &[char], at: &mut usize) {
    if pattern.get(*at) == Some(&'^') {
        *at += 1;
    }
    *at += 1;
    while pattern.get(*at).is_some_and(|one| *one != ']') {
        *at += 1;
    }
    *at += 1;
}

#[cfg(test)]
mod tests {
    use super::super::expression::conditions;

    fn is_search(condition: &str) -> bool {
        let all = conditions(condition);
        assert_eq!(all.len(), 1, "{condition}");
        all[0].is_search()
    }

    #[test]
    fn a_pattern_holds_a_trigram_or_finds_nothing_by_one() {
        for (condition, expected) in [
            ("(t.a ~~* '%x1%'::text)", false),
            ("(t.a ~~* '%x1z%'::text)", true),
            ("(t.a ~~ '%ab_cd%'::text)", false),
            ("(t.a ~~ '%ab cd%'::text)", false),
            ("(t.a ~~ '%'::text)", false),
            (r"(t.a ~~ '%a\_b\c%'::text)", false),
            (r"(t.a ~~ '%a\bc%'::text)", true),
            ("(t.a ~~* '%größe%'::text)", true),
            ("((t.a)::text ~~* '%x1%'::text)", false),
            ("(lower(t.a) ~~ '%x1%'::text)", false),
            // what nobody knows may hold one
            ("(t.a ~~* $1)", true),
            ("(t.a ~~ (('%'::text || $1) || '%'::text))", true),
            ("(t.a ~~ t.b)", true),
            // of other operators nothing is asked
            ("(t.a @> '{}'::jsonb)", true),
            ("(t.a % 'x'::text)", true),
            // and these are none
            ("(t.a = 'abc'::text)", false),
            ("(t.a <> 'abc'::text)", false),
            ("(t.a !~~ '%abc%'::text)", false),
            ("(t.a !~~* $1)", false),
            ("(t.a !~ 'abc'::text)", false),
            ("(t.a <-> '(1,2)'::point)", false),
        ] {
            assert_eq!(is_search(condition), expected, "{condition}");
        }
    }

    #[test]
    fn a_pattern_that_is_too_short_is_told_from_what_is_no_pattern() {
        let lacks = |condition: &str| conditions(condition).iter().any(super::Condition::lacks_trigrams);
        for (condition, expected) in [
            ("(t.a ~~ '%jo%'::text)", true),
            ("((t.a)::text ~~* '%jo%'::text)", true),
            ("((t.b = 1) OR (t.a ~~ '%jo%'::text))", true),
            ("(t.a ~ 'jo'::text)", true),
            ("(t.a ~~ '%joe%'::text)", false),
            ("(t.a ~~ $1)", false),
            // what it begins with is found by a b-tree
            ("(t.a ~~ 'jo%'::text)", false),
            // this is no text
            ("(t.path ~ '*.a.*'::lquery)", false),
            ("(t.a <> 'jo'::text)", false),
        ] {
            assert_eq!(lacks(condition), expected, "{condition}");
        }
    }

    #[test]
    fn a_pattern_of_a_parameter_is_told_from_one_that_is_known() {
        let is_unknown = |condition: &str| {
            conditions(condition)
                .iter()
                .any(super::Condition::has_unknown_pattern)
        };
        for (condition, expected) in [
            ("(t.a ~~* $1)", true),
            ("((t.a)::text ~~ (('%'::text || $1) || '%'::text))", true),
            ("((t.b = 1) OR (t.a ~ $2))", true),
            ("(t.a ~~* '%joe%'::text)", false),
            ("(t.a ~~* '%who?%'::text)", false),
            ("(t.a ~~* t.b)", false),
            ("(t.a % $1)", false),
            ("(t.a = $1)", false),
        ] {
            assert_eq!(is_unknown(condition), expected, "{condition}");
        }
    }

    #[test]
    fn of_a_regular_expression_only_what_must_be_there_counts() {
        for (pattern, expected) in [
            ("a.b", false),
            ("ab.c", false),
            ("abc", true),
            ("abc?", false),
            ("abcd*", true),
            ("abc+", true),
            ("xabc{0,2}", true),
            ("abc{0,2}", false),
            (r"ab\d", false),
            (r"ab\dcd", false),
            ("ab[cd]ef", false),
            ("ab[]xyz]", false),
            ("foo|bar", true),
            ("foo|b", false),
            ("(foo|bar)x", true),
            ("(foo|b)x", false),
            ("(foo)?x", false),
            ("(foo)+x", true),
            ("(?:foo)", true),
            ("(?!foo)", false),
            ("(?i)ab", false),
            ("(a|b)hello", true),
            ("((((", false),
            (")abc", false),
        ] {
            let condition = format!("(t.a ~* '{pattern}'::text)");
            assert_eq!(is_search(&condition), expected, "{pattern}");
        }
    }
}
