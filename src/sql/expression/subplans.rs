//! What EXPLAIN writes of subplans, which is no SQL.

use std::borrow::Cow;

/// A text with `$0`, a parameter without a number, for what subplans give: that is not the same in all calls.
pub(super) fn without_subplans(text: &str) -> Cow<'_, str> {
    if !text.contains("SubPlan") && !text.contains("InitPlan") {
        return text.into();
    }
    let Ok(scan) = pg_query::scan(text) else {
        return text.into();
    };
    let spans: Vec<(usize, usize)> = scan
        .tokens
        .iter()
        .map(|token| (token.start as usize, token.end as usize))
        .collect();
    let words: Vec<&str> = spans
        .iter()
        .map(|(start, end)| text.get(*start..*end).unwrap_or_default())
        .collect();
    let mut out = String::new();
    let (mut at, mut copied) = (0, 0);
    while at < words.len() {
        match subplan_words(&words[at..]) {
            Some(count) => {
                out.push_str(&text[copied..spans[at].0]);
                out.push_str(" $0");
                at += count;
                copied = spans[at - 1].1;
            }
            None => at += 1,
        }
    }
    out.push_str(&text[copied..]);
    out.into()
}

/// How many of these words, from the first on, are what a subplan gives: `(hashed SubPlan 1)`, `EXISTS(SubPlan 1)`; from 17 also
/// `(InitPlan 1).col1`, and `(ANY (t.a = (SubPlan 1).col1))` for what was `(SubPlan 1)` before.
fn subplan_words(words: &[&str]) -> Option<usize> {
    let open = usize::from(matches!(*words.first()?, "EXISTS" | "ARRAY" | "CTE"));
    let inside = words.get(open + 1..).filter(|_| words[open] == "(")?;
    // `= ANY (` has an operator in front instead
    if let Some(&("ANY" | "ALL")) = inside.first() {
        return Some(open + 2 + closing(inside)?);
    }
    let close = inside.iter().position(|word| *word == ")")?;
    let named = &inside[..close];
    let is_plan = named.iter().any(|word| matches!(*word, "SubPlan" | "InitPlan"));
    if !is_plan || named.contains(&"(") {
        return None;
    }
    let is_column = inside.get(close + 1) == Some(&".")
        && inside.get(close + 2).is_some_and(|word| word.starts_with("col"));
    Some(open + 2 + close + 2 * usize::from(is_column))
}

/// Where the parenthesis that is open before these words is closed.
fn closing(words: &[&str]) -> Option<usize> {
    let mut depth = 1;
    words.iter().position(|word| {
        match *word {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}
