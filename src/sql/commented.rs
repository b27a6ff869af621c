//! Comments of statements. Applications write tags of traces, names of people and worse into them: only those are kept that are
//! meant for somebody.

use std::borrow::Cow;

use pg_query::protobuf::Token;

use super::lists::REST;
use super::masked::replaced;
use super::{OWN_MARK, cut};
use crate::limits;
use crate::model::selector::comment_without_words;

/// A text without its comments. These stay: hints to the planner (`/*+ … */`), what pg_stat_statements put in the place of
/// the rest of a list, our own mark, and what asks to leave the statement alone. What a text means does not change, nor its
/// identity.
pub fn without_comments(text: &str) -> Cow<'_, str> {
    if !text.contains("/*") && !text.contains("--") {
        return Cow::Borrowed(text);
    }
    let is_comment = |token: i32| token == Token::SqlComment as i32 || token == Token::CComment as i32;
    let plain = replaced(text, is_comment, |comment| kept(comment).into_owned());
    Cow::Owned(
        plain
            .unwrap_or_else(|| without_those_of_a_cut_one(text))
            .trim()
            .to_owned(),
    )
}

/// A text as it is kept and shown: without comments, and no longer than [`limits::STATEMENT_TEXT_BYTES`].
pub fn shortened(text: &str) -> String {
    let plain = without_comments(text);
    // what was cut must not read as if it were whole; a longer one is not even read whole
    let is_whole = plain.len() <= limits::STATEMENT_TEXT_BYTES && text.len() <= limits::STATEMENT_PARSE_BYTES;
    match is_whole {
        true => plain.into_owned(),
        false => [cut(&plain, limits::STATEMENT_TEXT_BYTES), "…"].concat(),
    }
}

/// What stays of a comment; of one that asks to leave the statement alone only the names of rules.
fn kept(comment: &str) -> Cow<'_, str> {
    let is_one = comment.matches("/*").count() == 1;
    let is_meant = comment == OWN_MARK || comment == REST || comment.starts_with("/*+");
    let asked = is_one.then(|| comment_without_words(comment)).flatten();
    match (is_meant, asked) {
        (true, _) => Cow::Borrowed(comment),
        (false, Some(asked)) => Cow::Owned(asked),
        (false, None) => Cow::Borrowed(" "),
    }
}

/// The same of a text that the scanner does not take, since it ends within a constant or a comment. Behind its first quote
/// what looks like a comment may be part of a constant, or the other way round: there it ends.
fn without_those_of_a_cut_one(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = comment_or_quote(rest) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(bytes) = comment_bytes(rest) else {
            break;
        };
        plain.push_str(&kept(&rest[..bytes]));
        rest = &rest[bytes..];
    }
    match ["/*", "--"].iter().filter_map(|begin| rest.find(begin)).min() {
        Some(end) => [plain.as_str(), rest[..end].trim_end(), "…"].concat(),
        None => [plain.as_str(), rest].concat(),
    }
}

/// Where the first comment begins, or the first constant or quoted name; a parameter (`$1`) is none.
fn comment_or_quote(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|at| {
        let next = bytes.get(at + 1).copied();
        match bytes[*at] {
            b'\'' | b'"' => true,
            b'$' => !next.is_some_and(|next| next.is_ascii_digit()),
            b'/' => next == Some(b'*'),
            b'-' => next == Some(b'-'),
            _ => false,
        }
    })
}

/// Bytes of the comment that a text begins with; none if it begins with something else, or the comment does not end.
fn comment_bytes(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find(['\n', '\r']).unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => depth += 1,
            (b'*', b'/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{identify, shortened_lists};
    use super::*;

    #[test]
    fn what_nobody_asked_for_goes() {
        for (text, kept) in [
            ("select 'x' as note /* token=hunter2 */", "select 'x' as note"),
            ("/* hunter2 */ SELECT 1 -- hunter2", "SELECT 1"),
            ("SELECT 1 -- hunter2\nFROM t", "SELECT 1  \nFROM t"),
            ("SELECT 1/* a /* hunter2 */ b */FROM t", "SELECT 1 FROM t"),
            (
                "SELECT '/* a */', \"--b\", $$--c$$",
                "SELECT '/* a */', \"--b\", $$--c$$",
            ),
            ("SELECT 1", "SELECT 1"),
            // cut by somebody
            ("SELECT $1 /* hunter2", "SELECT $1 …"),
            (
                "/* it's hunter2 */ SELECT a /* b */ FROM t WHERE b = 'x",
                "SELECT a   FROM t WHERE b = 'x",
            ),
            ("SELECT 'a' /* hunter2 */, 'x", "SELECT 'a'…"),
            ("SELECT \"é -- hunter2", "SELECT \"é…"),
            ("-- hunter2\nSELECT 'x", "SELECT 'x"),
        ] {
            assert_eq!(without_comments(text), kept, "{text}");
        }
    }

    #[test]
    fn what_is_meant_for_somebody_stays() {
        for text in [
            "/*+ SeqScan(t) */ SELECT * FROM t",
            "SELECT /* pgadvisor */ 1",
            "SELECT 1 /* pgadvisor:ignore */",
            "/* pgadvisor:ignore query.slow_mean */ SELECT 1",
            "SELECT 1 FROM t WHERE a IN ($1 /*, ... */)",
        ] {
            assert_eq!(without_comments(text), text);
            let tagged = format!("{text} /* token=hunter2 */");
            assert_eq!(without_comments(&tagged), text);
            assert_eq!(identify(&tagged).statement_id, identify(text).statement_id);
            assert_eq!(identify(&tagged).kind, identify(text).kind);
        }
        let list = without_comments("/* app */ SELECT 1 FROM t WHERE a IN ($1 /*, ... */)");
        assert_eq!(shortened_lists(&list), [1].into());
        for text in [
            "SELECT 1 /* app pgadvisor hunter2 */",
            "SELECT 1 /* hunter2 /* pgadvisor:ignore */ */",
            "SELECT 1 /* pgadvisor:ignored hunter2 */",
            // without a name it would be for every rule
            "SELECT 1 /* pgadvisor:ignore token=hunter2 swordfish */",
        ] {
            assert_eq!(without_comments(text), "SELECT 1");
        }
        for text in [
            "/* pgadvisor:ignore query.slow_mean, query.off* token=hunter2 swordfish */ SELECT 1",
            "/* pgadvisor:ignore query.slow_mean query.off* token=hunter2.a */ SELECT 'x",
        ] {
            let plain = without_comments(text);
            assert!(
                plain.starts_with("/* pgadvisor:ignore query.slow_mean query.off* */ SELECT "),
                "{plain}"
            );
        }
    }

    #[test]
    fn what_is_cut_does_not_read_as_if_it_were_whole() {
        let long = format!("SELECT {}", "a, ".repeat(limits::STATEMENT_TEXT_BYTES));
        let short = shortened(&long);
        assert!(short.ends_with('…') && short.len() == limits::STATEMENT_TEXT_BYTES + "…".len());
        let padding = "x".repeat(limits::STATEMENT_PARSE_BYTES);
        // the server sends no more of a text than can be read
        assert_eq!(
            shortened(&format!("/* {padding} */ SELECT a FROM t")),
            "SELECT a FROM t…"
        );
        assert_eq!(shortened("SELECT a /* b */ FROM t"), "SELECT a   FROM t");
        assert_eq!(identify("SELECT 1 /* hunter2 */").text, "SELECT 1");
    }
}
