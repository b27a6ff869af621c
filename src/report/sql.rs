//! SQL that is printed to be run. A terminal and a ticket show no control and no bidirectional characters, so where a
//! name or a constant holds one it is written with PostgreSQL's Unicode escapes (its chapter "Lexical Structure"): the
//! statement that is seen is the statement that runs.

use super::{is_hidden, visible};

/// Stands before a statement in which something else than a name or a constant holds such a character.
const CANNOT_BE_SHOWN: &str =
    "-- a character that cannot be shown stands here as \\u{…}: take the statement from --format json\n";

/// One statement, without a semicolon, as it can be read, copied and run.
pub fn runnable(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut is_whole = true;
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (piece, after) = rest.split_at(piece(rest));
        let is_comment = piece.starts_with("--") || piece.starts_with("/*");
        let has_prefix = out.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '&' || c == '$');
        let is_quoted = matches!(first, '"' | '\'') && piece.len() > 1 && piece.ends_with(first);
        if is_quoted && !has_prefix && piece.contains(is_hidden) {
            out.push_str(&escaped(piece));
        } else {
            is_whole &= is_comment || !piece.contains(|c| is_hidden(c) && !is_space(c));
            piece.chars().for_each(|c| match c {
                '\n' | '\t' => out.push(c),
                '\r' => out.push(' '),
                c => out.push_str(&visible(c.encode_utf8(&mut [0; 4]))),
            });
        }
        rest = after;
    }
    match is_whole {
        true => out,
        false => format!("{CANNOT_BE_SHOWN}{out}"),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, '\n' | '\t' | '\r')
}

/// A quoted name or constant as `U&"…"` or `U&'…'`. Its doubled quotes stay doubled.
fn escaped(quoted: &str) -> String {
    let mut out = "U&".to_owned();
    for c in quoted.chars() {
        match u32::from(c) {
            _ if c == '\\' => out.push_str("\\\\"),
            code if is_hidden(c) && code <= 0xffff => out.push_str(&format!("\\{code:04X}")),
            code if is_hidden(c) => out.push_str(&format!("\\+{code:06X}")),
            _ => out.push(c),
        }
    }
    out
}

/// The length of the piece with which the text begins: something quoted, a comment, or one character.
fn piece(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let up_to = |end: &str, from: usize| {
        text[from..]
            .find(end)
            .map_or(text.len(), |at| from + at + end.len())
    };
    match text.as_bytes() {
        [b'-', b'-', ..] => text.find('\n').unwrap_or(text.len()),
        [b'/', b'*', ..] => up_to("*/", 2),
        [quote @ (b'"' | b'\''), ..] => {
            let quote = char::from(*quote).to_string();
            let mut end = up_to(&quote, 1);
            // a doubled quote is one that belongs to the text
            while text[end..].starts_with(&quote) {
                end = up_to(&quote, end + 1);
            }
            end
        }
        [b'$', ..] => {
            let tag = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
            match tag.and_then(|end| text.get(..end + 2)) {
                Some(tag) if tag.ends_with('$') => up_to(tag, tag.len()),
                _ => first,
            }
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::remedy::{Statement, quote_literal};
    use proptest::prelude::*;

    #[test]
    fn only_what_cannot_be_seen_is_written_otherwise() {
        for (sql, expected) in [
            ("DROP INDEX a.\"B\"", "DROP INDEX a.\"B\""),
            (
                "DROP INDEX \"a\u{202e}\"\"\\b\n\"",
                "DROP INDEX U&\"a\\202E\"\"\\\\b\\000A\"",
            ),
            ("SELECT 'x\u{e0001}'", "SELECT U&'x\\+0E0001'"),
            ("SELECT 1,\r\n\t2", "SELECT 1, \n\t2"),
            ("SELECT $1 -- \u{202e}", "SELECT $1 -- \\u{202e}"),
            ("SELECT $a$ \"$a$", "SELECT $a$ \"$a$"),
        ] {
            assert_eq!(runnable(sql), expected);
        }
        for lost in [
            "SELECT E'\\\\\u{7}'",
            "SELECT a\u{202e}",
            "SELECT $$\u{7}$$",
            "SELECT '\u{7}",
        ] {
            assert!(
                runnable(lost).starts_with("-- a character that cannot be shown"),
                "{lost}"
            );
        }
    }

    proptest! {
        /// Whatever a name holds, what is printed shows all of it and still names the very same thing.
        #[test]
        fn the_printed_statement_is_the_same(name in "[^\0]{1,12}|[a\u{202e}\n\t\u{1b}\"\\\\']{1,12}") {
            let drop = Statement::DropIndexConcurrently { schema: "s".into(), name: name.clone() }.sql();
            let printed = runnable(&drop);
            prop_assert!(!printed.contains(is_hidden));
            prop_assert_eq!(crate::sql::dropped_names(&printed).unwrap(), vec![vec!["s".to_owned(), name.clone()]]);
            let set = format!("SELECT {}", quote_literal(&name));
            prop_assert_eq!(crate::sql::statement_count(&runnable(&set)).unwrap(), 1);
        }

        #[test]
        fn no_text_is_too_strange(sql in "[a\"'$/*\\-\n\u{202e} é]{0,20}") {
            let is_wrong = |c| is_hidden(c) && c != '\n';
            prop_assert!(!runnable(&sql).contains(is_wrong));
        }
    }
}
