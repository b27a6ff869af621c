//! SQL in colours: a small scanner that cuts a text into spans for the template. It colours, it does not parse;
//! whatever the text is, the spans put together are the text.

use super::present::sign;

/// A piece of SQL of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// `k` keyword, `s` string, `c` comment, `n` number, `odd` a character that cannot be seen; empty for the rest.
    pub class: &'static str,
    /// What is shown.
    pub text: String,
    /// What is copied, where it differs from what is shown.
    pub raw: Option<String>,
}

/// SQL ready for a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlText {
    /// The spans, in order.
    pub spans: Vec<Span>,
    /// Characters that were left out at the end.
    pub cut: usize,
}

/// Characters of one SQL text that a page shows.
const LIMIT: usize = 12_000;

const KEYWORDS: &str = " ACCESS ADD ALL ALTER ANALYZE AND ANY AS ASC BEGIN BETWEEN BUFFERS BY CASCADE CASE CAST \
    CHECK COLUMN COMMIT CONCURRENTLY CONSTRAINT COPY CREATE CROSS DATABASE DEFAULT DELETE DESC DISTINCT DROP ELSE \
    END EXCEPT EXISTS EXPLAIN EXTENSION FALSE FILTER FOR FOREIGN FREEZE FROM FULL FUNCTION GRANT GROUP HAVING IF \
    ILIKE IN INCLUDE INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LATERAL LEFT LIKE LIMIT LOCK MATERIALIZED MERGE \
    NATURAL NOT NULL NULLS OFFSET ON ONLY OR ORDER OUTER OVER PARTITION PRIMARY PROCEDURE REFERENCES REFRESH REINDEX \
    RENAME RESET RETURNING REVOKE RIGHT ROLE ROLLBACK SCHEMA SELECT SEQUENCE SET SHARE SYSTEM TABLE THEN TO TRUE \
    TRUNCATE UNION UNIQUE UPDATE USER USING VACUUM VALUES VERBOSE VIEW WHEN WHERE WINDOW WITH ";

fn is_keyword(word: &str) -> bool {
    word.len() <= 12 && KEYWORDS.contains(&format!(" {} ", word.to_ascii_uppercase()))
}

impl SqlText {
    /// Cuts one text into spans.
    pub fn of(sql: &str) -> Self {
        let shown = sql.char_indices().nth(LIMIT).map_or(sql, |(at, _)| &sql[..at]);
        let mut text = Self {
            spans: Vec::new(),
            cut: sql[shown.len()..].chars().count(),
        };
        let mut rest = shown;
        while !rest.is_empty() {
            let (class, length) = next(rest);
            text.push(class, &rest[..length]);
            rest = &rest[length..];
        }
        text
    }

    /// Several statements, one a line, each with its semicolon.
    pub fn of_statements(statements: &[String]) -> Self {
        let lines: Vec<String> = statements
            .iter()
            .map(|sql| sql.trim().to_owned())
            .map(|sql| {
                if sql.ends_with(';') || sql.starts_with("--") {
                    sql
                } else {
                    sql + ";"
                }
            })
            .collect();
        Self::of(&lines.join("\n"))
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a piece; characters that cannot be seen become spans of their own.
    fn push(&mut self, class: &'static str, piece: &str) {
        let mut plain = String::new();
        for c in piece.chars() {
            match sign(c).filter(|_| c != '\n' && c != '\t') {
                None => plain.push(c),
                Some(sign) => {
                    self.add(class, std::mem::take(&mut plain), None);
                    self.add("odd", sign, Some(c.to_string()));
                }
            }
        }
        self.add(class, plain, None);
    }

    fn add(&mut self, class: &'static str, text: String, raw: Option<String>) {
        if text.is_empty() {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if last.class == class && raw.is_none() => last.text.push_str(&text),
            _ => self.spans.push(Span { class, text, raw }),
        }
    }
}

/// The class and the length in bytes of the piece with which the text begins.
fn next(text: &str) -> (&'static str, usize) {
    let first = text.chars().next().unwrap_or(' ');
    if text.starts_with("--") {
        return ("c", text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return ("c", block_comment(text));
    }
    match first {
        '\'' => ("s", quoted(text, '\'')),
        '"' => ("", quoted(text, '"')),
        '$' => dollar(text),
        c if c.is_ascii_digit() => ("n", while_(text, |c| c.is_ascii_alphanumeric() || c == '.')),
        c if c.is_alphabetic() || c == '_' => {
            let end = while_(text, |c| c.is_alphanumeric() || c == '_' || c == '$');
            (if is_keyword(&text[..end]) { "k" } else { "" }, end)
        }
        c => ("", c.len_utf8()),
    }
}

fn while_(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|c| !test(c)).unwrap_or(text.len())
}

/// Up to the closing quote; a doubled quote closes and opens again, which comes to the same.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |at| at + 2)
}

/// Comments nest in PostgreSQL.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0usize);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// A parameter `$1`, a text `$tag$ … $tag$`, or a lonely sign.
fn dollar(text: &str) -> (&'static str, usize) {
    let tag = 1 + while_(&text[1..], |c| c.is_alphanumeric() || c == '_');
    if tag > 1 && text[1..tag].chars().all(|c| c.is_ascii_digit()) {
        return ("n", tag);
    }
    if text[tag..].starts_with('$') {
        let opening = &text[..=tag];
        let end = text[opening.len()..]
            .find(opening)
            .map_or(text.len(), |at| at + 2 * opening.len());
        return ("s", end);
    }
    ("", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(sql: &str) -> Vec<(&'static str, String)> {
        SqlText::of(sql)
            .spans
            .into_iter()
            .map(|span| (span.class, span.text))
            .collect()
    }

    #[test]
    fn words_strings_and_comments_have_classes() {
        let spans = classes("SELECT 'a''b', $1, \"from\" -- from\n/* a /* b */ c */ $x$ it $x$");
        let of = |class: &str| -> Vec<String> {
            spans
                .iter()
                .filter(|s| s.0 == class)
                .map(|s| s.1.clone())
                .collect()
        };
        assert_eq!(of("k"), ["SELECT"]);
        assert_eq!(of("s"), ["'a''b'", "$x$ it $x$"]);
        assert_eq!(of("n"), ["$1"]);
        assert_eq!(of("c"), ["-- from", "/* a /* b */ c */"]);
    }

    #[test]
    fn nothing_is_lost_whatever_the_text_is() {
        for sql in [
            "",
            "'",
            "\"",
            "/*",
            "/* é",
            "$",
            "$é$ x",
            "$tag$",
            "1e5.é",
            "-- \u{202e}",
            "a\u{0}b\r\n\t",
            "é'ü",
        ] {
            let back: String = SqlText::of(sql)
                .spans
                .into_iter()
                .map(|s| s.raw.unwrap_or(s.text))
                .collect();
            assert_eq!(back, sql);
        }
    }

    #[test]
    fn what_turns_the_order_is_seen() {
        let spans = SqlText::of("DROP TABLE \"a\u{202e}b\"").spans;
        assert!(
            spans
                .iter()
                .any(|s| s.class == "odd" && s.text == "\\u{202e}" && s.raw.is_some())
        );
    }

    #[test]
    fn long_texts_are_cut_and_counted() {
        let text = SqlText::of(&"é".repeat(LIMIT + 7));
        assert_eq!(text.cut, 7);
    }

    #[test]
    fn statements_end_with_a_semicolon() {
        let text = SqlText::of_statements(&["VACUUM a".into(), "VACUUM b;".into()]);
        let all: String = text.spans.into_iter().map(|s| s.text).collect();
        assert_eq!(all, "VACUUM a;\nVACUUM b;");
    }
}
