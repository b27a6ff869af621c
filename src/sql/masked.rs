//! Statements as they were sent, made fit to be kept: without constants.

use super::{OWN_MARK, identify, kind_of};
use crate::limits;
use crate::model::snapshot::{StatementKind, StatementText};

/// Keywords that tell what a statement does: `CREATE UNIQUE INDEX CONCURRENTLY` is the longest.
const COMMAND_WORDS: usize = 4;

/// What a statement does, in its first keywords and upper case, as `SELECT` or `CREATE INDEX`. Names and constants have no
/// way in.
pub fn command(text: &str) -> String {
    let Ok(scan) = pg_query::scan(super::cut(text, limits::STATEMENT_TEXT_BYTES)) else {
        return first_word(text);
    };
    let is_query = kind_of(text) == StatementKind::Query;
    let comments = [
        pg_query::protobuf::Token::SqlComment as i32,
        pg_query::protobuf::Token::CComment as i32,
    ];
    let words: Vec<String> = scan
        .tokens
        .iter()
        .filter(|token| !comments.contains(&token.token))
        .take_while(|token| token.keyword_kind != pg_query::protobuf::KeywordKind::NoKeyword as i32)
        .take(if is_query { 1 } else { COMMAND_WORDS })
        .filter_map(|token| text.get(token.start as usize..token.end as usize))
        .map(str::to_ascii_uppercase)
        .collect();
    words.join(" ")
}

/// The first word of a text that our scanner does not take: the server cut it somewhere, perhaps within a constant.
fn first_word(text: &str) -> String {
    let word: String = text
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .take(20)
        .collect();
    word.to_ascii_uppercase()
}

/// A statement as it was sent, with every constant and comment taken out, under the same identity as in
/// pg_stat_statements. What is no single query, or was cut by the server, is known by its command alone.
pub fn masked(text: &str) -> StatementText {
    let is_own = text.contains(OWN_MARK);
    let plain = without_comments(text).and_then(|text| without_constants(&text));
    let mut masked = match plain {
        Some(plain) => identify(&plain),
        None => identify(&command(text)),
    };
    if is_own {
        masked.kind = StatementKind::Own;
    } else if masked.kind == StatementKind::Unparsable {
        masked.kind = StatementKind::Utility;
    }
    masked
}

/// A single query without constants; none if it is something else. Texts of pg_stat_statements have none, mostly: but one
/// that was prepared before a reset is kept as it was sent.
pub fn without_constants(text: &str) -> Option<String> {
    if text.len() > limits::STATEMENT_PARSE_BYTES || kind_of(text) != StatementKind::Query {
        return None;
    }
    let scan = pg_query::scan(text).ok()?;
    // of numbers there are some that are none of the statement's values: numeric(10, 2)
    let has_constants = scan
        .tokens
        .iter()
        .any(|token| is_text_constant(token.token) || is_number(token.token));
    if !has_constants {
        return Some(text.to_owned());
    }
    super::one_query(text).ok()?;
    let normal = pg_query::normalize(text).ok()?;
    // what is no expression stays where it was: JSON_TABLE's paths, the marks of CYCLE
    replaced(&normal, is_text_constant, |_| "'\u{2026}'".to_owned())
}

/// A text without its comments, but for those that speak to us.
fn without_comments(text: &str) -> Option<String> {
    let is_comment = |token: i32| {
        token == pg_query::protobuf::Token::SqlComment as i32
            || token == pg_query::protobuf::Token::CComment as i32
    };
    replaced(text, is_comment, |comment| match comment.contains("pgadvisor") {
        true if comment == OWN_MARK => comment.to_owned(),
        _ => " ".to_owned(),
    })
}

/// The comments of a statement as it was sent. Of one that our scanner does not take, since the server cut it somewhere, all
/// that stands before its first quote: behind that, what looks like a comment may be part of a constant.
pub fn comments(text: &str) -> String {
    let Ok(scan) = pg_query::scan(text) else {
        let end = text.find(['\'', '"', '$']).unwrap_or(text.len());
        return text[..end].to_owned();
    };
    let comments = scan
        .tokens
        .iter()
        .filter(|token| token.token == pg_query::protobuf::Token::CComment as i32)
        .filter_map(|token| text.get(token.start as usize..token.end as usize));
    comments.collect::<Vec<&str>>().join(" ")
}

fn is_text_constant(token: i32) -> bool {
    use pg_query::protobuf::Token;
    [Token::Sconst, Token::Usconst, Token::Bconst, Token::Xconst]
        .map(|kind| kind as i32)
        .contains(&token)
}

fn is_number(token: i32) -> bool {
    use pg_query::protobuf::Token;
    [Token::Fconst, Token::Iconst]
        .map(|kind| kind as i32)
        .contains(&token)
}

/// A text in which some tokens are replaced; none if our scanner does not take it.
pub(super) fn replaced(
    text: &str,
    which: impl Fn(i32) -> bool,
    with: impl Fn(&str) -> String,
) -> Option<String> {
    let scan = pg_query::scan(text).ok()?;
    let mut made = String::with_capacity(text.len());
    let mut done = 0;
    for token in scan.tokens.iter().filter(|token| which(token.token)) {
        let (start, end) = (token.start as usize, token.end as usize);
        made.push_str(text.get(done..start)?);
        made.push_str(&with(text.get(start..end)?));
        done = end;
    }
    made.push_str(text.get(done..)?);
    Some(made)
}

/// What the mark of a constant begins with.
const MARK_BEGIN: &str = "'\u{2026}";
/// How many digits of a hash follow there, before the quote that ends it.
const MARK_DIGITS: usize = 8;

/// A text of SQL in which a mark stands for each constant: the same for the same constant and key, and nothing that tells
/// what it was; comments are gone. Of a text that our scanner does not take, nothing is left but a mark.
pub fn mask_constants(text: &str, key: &[u8; 32]) -> String {
    let mark = |constant: &str| {
        let hash = blake3::keyed_hash(key, constant.as_bytes()).to_hex();
        format!("{MARK_BEGIN}{}'", &hash[..MARK_DIGITS])
    };
    let plain = without_comments(text);
    let masked =
        plain.and_then(|plain| replaced(&plain, |token| is_text_constant(token) || is_number(token), mark));
    masked.unwrap_or_else(|| mark(text))
}

/// Whether a text of SQL holds a mark of [`mask_constants`]: it can be read, but it would not do what it did before.
pub fn holds_mark(text: &str) -> bool {
    let mut behind = text.split(MARK_BEGIN).skip(1).map(str::as_bytes);
    behind.any(|rest| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        digits == MARK_DIGITS && rest.get(digits) == Some(&b'\'')
    })
}

/// An expression of a plan in which a mark stands for each constant. Of one that our scanner does not take, or that is very
/// long, nothing is left but a mark.
pub fn masked_expression(text: &str) -> String {
    let mark = || "\u{2026}".to_owned();
    if text.len() > limits::STATEMENT_PARSE_BYTES {
        return mark();
    }
    let is_constant = |token: i32| is_text_constant(token) || is_number(token);
    without_comments(text)
        .and_then(|plain| replaced(&plain, is_constant, |_| mark()))
        .unwrap_or_else(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_constant_survives_and_the_identity_is_that_of_the_normal_text() {
        let sent = masked("SELECT * FROM customer WHERE email = 'jane@example.org' AND age > 42");
        assert!(
            !sent.text.contains("jane") && !sent.text.contains("42"),
            "{}",
            sent.text
        );
        let counted = identify("SELECT * FROM customer WHERE email = $1 AND age > $2");
        assert_eq!(sent.statement_id, counted.statement_id);
        for secret in [
            "ALTER ROLE app PASSWORD 'hunter2'",
            "CREATE USER MAPPING FOR app SERVER s OPTIONS (password 'hunter2')",
            "SELECT * FROM t WHERE a = 'hunter2' AND (",
            "INSERT INTO t VALUES ('hunter2",
            "COPY t FROM PROGRAM 'hunter2'",
            "DO $$ BEGIN PERFORM 'hunter2'; END $$",
            "EXECUTE p('hunter2')",
            "SELECT 1; SELECT 'hunter2'",
            "SET app.key = 'hunter2'",
            "CALL p('hunter2')",
            "SELECT 1; COPY t FROM PROGRAM 'hunter2'",
            "SELECT 1; ALTER SYSTEM SET primary_conninfo = 'hunter2'",
            "SELECT 1; CREATE TABLE t (a text DEFAULT 'hunter2')",
            "SELECT 1 /* user=hunter2 */ -- hunter2",
            "SELECT * FROM JSON_TABLE(j, '$.a' COLUMNS (x int PATH '$.b ? (@ == \"hunter2\")'))",
            "SELECT E'hunter2', U&'hunter2', $$hunter2$$, $a$hunter2$a$, B'1', X'ff'",
        ] {
            let sent = masked(secret);
            assert!(!sent.text.contains("hunter2"), "{secret}: {}", sent.text);
            assert!(!command(secret).contains("hunter2"), "{secret}");
        }
    }

    #[test]
    fn a_mark_is_known_wherever_it_stands() {
        let masked = |text: &str| mask_constants(text, &[7; 32]);
        let index = masked("CREATE INDEX i ON public.t USING btree (a) WHERE (a = 'it''s'::text)");
        let number = masked("(n > 4711)");
        let cut = masked("a = 'x");
        for text in [
            &index,
            &number,
            &cut,
            &format!("x('{}')", number.replace('\'', "''")),
        ] {
            assert!(holds_mark(text), "{text}");
        }
        let plain = masked("CREATE INDEX i ON public.t USING btree (a, \"odd '…name\")");
        for text in [
            plain.as_str(),
            "a = '…'",
            "a = '…more'",
            "a = '…0123456789'",
            "",
            "'…",
        ] {
            assert!(!holds_mark(text), "{text}");
        }
    }

    #[test]
    fn an_expression_of_a_plan_keeps_names_and_parameters_alone() {
        for (plan, kept) in [
            ("(orders.customer = $1)", "(orders.customer = $1)"),
            (
                "((t.\"it's\" = 'hunter2'::text) AND (t.n > '-4711'::integer))",
                "((t.\"it's\" = …::text) AND (t.n > …::integer))",
            ),
            (
                "(t.a = ANY ('{hunter2,4711}'::text[]))",
                "(t.a = ANY (…::text[]))",
            ),
            ("(t.price >= 4711.5)", "(t.price >= …)"),
            ("(t.a ~~ E'hunter2\\\\%'::text)", "(t.a ~~ …::text)"),
            ("(t.a = 'hunter2", "…"),
        ] {
            assert_eq!(masked_expression(plan), kept, "{plan}");
        }
    }

    #[test]
    fn comments_are_told_from_constants_that_look_like_them() {
        for (text, told) in [
            ("/* a */ SELECT 1 /* b */ -- c", "/* a */ /* b */"),
            ("SELECT '/* a */', \"/* b */\", $$/* c */$$", ""),
            // the server cut it: only what is surely no constant
            ("/* a */ SELECT 'x /* b */", "/* a */ SELECT "),
            ("SELECT 1", ""),
        ] {
            assert_eq!(comments(text), told, "{text}");
        }
    }

    #[test]
    fn the_command_is_told_in_keywords() {
        for (text, told) in [
            ("select * from t", "SELECT"),
            ("/* app */ with x as (select 1) select * from x", "WITH"),
            (
                "create unique index concurrently i on t (a)",
                "CREATE UNIQUE INDEX CONCURRENTLY",
            ),
            ("vacuum (analyze) t", "VACUUM"),
            (
                "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
                "REFRESH MATERIALIZED VIEW CONCURRENTLY",
            ),
            ("autovacuum: VACUUM public.t (to prevent wraparound)", ""),
            ("INSERT INTO t VALUES ('x", "INSERT"),
            ("", ""),
        ] {
            assert_eq!(command(text), told, "{text}");
        }
    }
}
