//! Keeps passwords out of messages and quoted lines. Where it cannot tell, it hides too much.

use std::ops::Range;

/// The parts of a connection string, or of a line that holds one, that may be a password:
/// in a URL from the first `:` to the last `@` (a password is often not encoded as it should be),
/// and what follows `password=`.
fn passwords(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    if let Some(scheme) = text.find("://") {
        let start = scheme + 3;
        let at = text[start..].rfind('@').map(|at| start + at);
        let colon = at.and_then(|at| text[start..at].find(':').map(|colon| start + colon + 1));
        if let (Some(colon), Some(at)) = (colon, at)
            && colon < at
        {
            found.push(colon..at);
        }
    }
    let lower = text.to_ascii_lowercase();
    found.extend(
        lower
            .match_indices("password")
            .filter_map(|(at, word)| value_after_key(text, at + word.len())),
    );
    found.sort_by_key(|range| range.start);
    let mut separate: Vec<Range<usize>> = Vec::new();
    for range in found {
        match separate.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => separate.push(range),
        }
    }
    separate
}

/// The value of `key = value`, quoted or not, given where the key ends.
fn value_after_key(text: &str, key_end: usize) -> Option<Range<usize>> {
    let rest = text[key_end..].trim_start_matches(['"', '\'']).trim_start();
    let rest = rest.strip_prefix('=')?.trim_start();
    let start = text.len() - rest.len();
    let quote = rest.chars().next().filter(|first| ['"', '\''].contains(first));
    if let Some(quote) = quote {
        // up to the last such quote: what is escaped how depends on where the text stands
        let end = rest[1..].rfind(quote).map_or(text.len(), |end| start + 1 + end);
        return (start + 1 < end).then_some(start + 1..end);
    }
    let mut escaped = false;
    let end = rest.find(|character: char| {
        let ends = !escaped && (character.is_whitespace() || ['&', '"', '\''].contains(&character));
        escaped = !escaped && character == '\\';
        ends
    });
    let end = end.map_or(text.len(), |end| start + end);
    (start < end).then_some(start..end)
}

/// Whether a connection string holds a password.
pub(super) fn is_in(dsn: &str) -> bool {
    !passwords(dsn).is_empty()
}

/// The text with `***` for each password.
pub(crate) fn hidden(text: &str) -> String {
    replaced(text, |_| "***".to_owned())
}

/// The text with a star for each character of a password, so that columns stay where they are.
pub(super) fn starred(text: &str) -> String {
    replaced(text, |password| "*".repeat(password.chars().count()))
}

fn replaced(text: &str, instead: impl Fn(&str) -> String) -> String {
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for range in passwords(text) {
        result.push_str(&text[from..range.start]);
        result.push_str(&instead(&text[range.clone()]));
        from = range.end;
    }
    result.push_str(&text[from..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_way_to_write_a_password_shows_it() {
        for (text, expected) in [
            ("postgres://u:hunter2@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:hun/t@er:2@h/d", "postgres://u:***@h/d"),
            (
                "postgres://h/d?user=u&password=hunter2&sslmode=require",
                "postgres://h/d?user=u&password=***&sslmode=require",
            ),
            ("host=h password=hunter2 user=u", "host=h password=*** user=u"),
            ("host=h PASSWORD = 'hun\\' ter2'", "host=h PASSWORD = '***'"),
            ("host=h password=hun\\ ter2 user=u", "host=h password=*** user=u"),
            ("host=h password='hunter2", "host=h password='***"),
            ("\"password\" = \"hunter2\"", "\"password\" = \"***\""),
        ] {
            assert_eq!(hidden(text), expected);
            assert!(is_in(text));
        }
    }

    #[test]
    fn what_is_no_password_stays() {
        for text in [
            "postgres://u@h1:5432,h2:5432/d",
            "host=h passfile=/x",
            "password_file = \"/x\"",
            "password=",
            "",
        ] {
            assert_eq!(hidden(text), text);
            assert!(!is_in(text));
        }
    }

    proptest! {
        #[test]
        fn stars_keep_the_columns(text in "[a:/@='\" \\\\é]{0,12}(password|://)[a:/@='\" \\\\é]{0,12}(password=)?.{0,9}") {
            prop_assert_eq!(starred(&text).chars().count(), text.chars().count());
            hidden(&text);
        }
    }
}
