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

/// A statement as it was sent, with every constant taken out, under the same identity as in pg_stat_statements. What is no
/// query, or was cut by the server, is known by its command alone.
pub fn masked(text: &str) -> StatementText {
    let is_own = text.contains(OWN_MARK);
    let normal = (text.len() <= limits::STATEMENT_PARSE_BYTES && kind_of(text) == StatementKind::Query)
        .then(|| pg_query::normalize(text).ok())
        .flatten();
    let mut masked = match normal {
        Some(normal) => identify(&normal),
        None => identify(&command(text)),
    };
    if is_own {
        masked.kind = StatementKind::Own;
    } else if masked.kind == StatementKind::Unparsable {
        masked.kind = StatementKind::Utility;
    }
    masked
}

/// A text of SQL in which a mark stands for each constant: the same for the same constant and key, and nothing that tells
/// what it was. Of a text that our scanner does not take, nothing is left but a mark.
pub fn mask_constants(text: &str, key: &[u8; 32]) -> String {
    use pg_query::protobuf::Token;
    let mark = |constant: &str| {
        let hash = blake3::keyed_hash(key, constant.as_bytes()).to_hex();
        format!("'\u{2026}{}'", &hash[..8])
    };
    let Ok(scan) = pg_query::scan(text) else {
        return mark(text);
    };
    let constants = [
        Token::Sconst as i32,
        Token::Usconst as i32,
        Token::Bconst as i32,
        Token::Xconst as i32,
        Token::Fconst as i32,
        Token::Iconst as i32,
    ];
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for token in scan
        .tokens
        .iter()
        .filter(|token| constants.contains(&token.token))
    {
        let (start, end) = (token.start as usize, token.end as usize);
        let (Some(before), Some(constant)) = (text.get(done..start), text.get(start..end)) else {
            return mark(text);
        };
        masked.push_str(before);
        masked.push_str(&mark(constant));
        done = end;
    }
    masked.push_str(text.get(done..).unwrap_or_default());
    masked
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
        ] {
            let sent = masked(secret);
            assert!(!sent.text.contains("hunter2"), "{secret}: {}", sent.text);
            assert!(!command(secret).contains("hunter2"), "{secret}");
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
