//! The facade over PostgreSQL's own parser (pg_query): nothing else in the crate knows it.
//!
//! A statement's identity is the hash of the parser's normal form, so it is the same on every version of PostgreSQL.

mod asleep;
mod commented;
pub mod computed;
pub mod expression;
mod grouped;
mod in_front;
pub mod index_keys;
mod inserts;
mod lists;
mod locked;
mod masked;
mod mend;
mod names;
pub mod nulls;
mod operators;
pub mod partial;
mod predicate;
pub mod remembered;
mod repeated;
mod rewrite;
mod scan_alone;
mod schemas;
pub mod shape;
mod trigram;
mod twin;
mod unique;
mod untyped;
pub mod workload;

use asleep::only_sleeps;
pub use commented::{shortened, without_comments};
pub use grouped::{GroupedView, KnownTable, Named, grouped_view, named_in_grouping};
pub use in_front::{Place, in_front};
pub use inserts::only_inserts_values;
pub use lists::{Lengthened, shortened_lists, with_lists_of};
pub use masked::{
    command, comments, holds_mark, mask_constants, masked, masked_expression, without_constants,
};
pub use mend::{mended, query_within};
pub use names::{Command, Name, Names, names};
pub use predicate::{PredicateAsks, asked_by_predicate};
pub use rewrite::{Written, at_later_page, updated_columns, with_measured_limit, written};
pub use scan_alone::scan_alone;
pub use schemas::{BareNames, Schemas, looked_in};
pub use twin::select_twin;
pub use unique::unique_columns;
pub use untyped::{Objection, with_types};

use std::collections::HashMap;
use std::sync::{LazyLock, RwLock};

use crate::limits;
use crate::model::snapshot::{StatementKind, StatementText};

/// The version of the parser's normal form; identities are made anew from the text when it changes.
pub const PARSER_VERSION: &str = "pg_query 18";

/// The comment that every statement of ours carries, so that it is recognised in pg_stat_statements.
pub const OWN_MARK: &str = "/* pgadvisor */";

/// Schemas and whole relation names belong to the identity (the library's default drops schemas and runs of digits, so
/// that `a.orders_2024` and `b.orders_2025` would meet); aliases do not.
fn identity_options() -> pg_query::FingerprintOptions {
    pg_query::FingerprintOptions::RANGEVAR_PG17_COMPAT | pg_query::FingerprintOptions::FULL_RELNAME
}

/// Our sentence about a text that the parser refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot parse the statement: {0}")]
pub struct ParseError(String);

/// Whether a word may not stand bare as a name: as PostgreSQL's own `quote_ident()` and definitions have it, which leave words
/// bare that are keywords and not reserved, as `name` and `value`.
pub fn is_reserved(word: &str) -> bool {
    /// The same few names are asked for again and again.
    static KNOWN: LazyLock<RwLock<HashMap<String, bool>>> = LazyLock::new(RwLock::default);
    const NAMES: usize = 10_000;
    if let Some(known) = KNOWN.read().ok().and_then(|known| known.get(word).copied()) {
        return known;
    }
    use pg_query::protobuf::KeywordKind::{NoKeyword, UnreservedKeyword};
    let may_stand_bare = [NoKeyword as i32, UnreservedKeyword as i32];
    // a short exact question to the scanner of PostgreSQL itself; no list of ours that could age
    let is_reserved = pg_query::scan(word).map_or(true, |scan| {
        scan.tokens.len() != 1 || !may_stand_bare.contains(&scan.tokens[0].keyword_kind)
    });
    if let Ok(mut known) = KNOWN.write() {
        if known.len() >= NAMES {
            known.clear();
        }
        known.insert(word.to_owned(), is_reserved);
    }
    is_reserved
}

/// What a captured text is: its identity, its kind, and the text itself without comments, cut at
/// [`limits::STATEMENT_TEXT_BYTES`].
pub fn identify(text: &str) -> StatementText {
    let own = text.contains(OWN_MARK);
    let parsed = (text.len() <= limits::STATEMENT_PARSE_BYTES)
        .then(|| pg_query::fingerprint(text, 0, identity_options()).ok())
        .flatten();
    let (identity, kind) = match parsed {
        Some(fingerprint) => (fingerprint.hex, kind_of(text)),
        // its comments are no part of it, as they are none of a fingerprint
        None => (without_comments(text).into_owned(), StatementKind::Unparsable),
    };
    let statement_id = blake3::hash(identity.as_bytes()).to_hex()[..16].to_owned();
    StatementText {
        statement_id,
        text: shortened(text),
        kind: if own { StatementKind::Own } else { kind },
        only_sleeps: only_sleeps(text),
    }
}

/// Query or utility, by the statement's first token: no parse tree is needed for that.
fn kind_of(text: &str) -> StatementKind {
    use pg_query::protobuf::Token;
    let first = pg_query::scan(text).ok().and_then(|scan| {
        scan.tokens.iter().map(|token| token.token).find(|token| {
            ![
                Token::SqlComment as i32,
                Token::CComment as i32,
                Token::Ascii40 as i32,
            ]
            .contains(token)
        })
    });
    let queries = [
        Token::Select,
        Token::Insert,
        Token::Update,
        Token::DeleteP,
        Token::Merge,
        Token::Values,
        Token::With,
        Token::WithLa,
        Token::Table,
    ];
    match first {
        Some(token) if queries.iter().any(|query| *query as i32 == token) => StatementKind::Query,
        _ => StatementKind::Utility,
    }
}

/// The longest beginning of at most `bytes` bytes that is whole characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    &text[..end]
}

/// The beginning of a statement in one line, for titles: `SELECT … FROM shop.items`. What is left out at the end is told by
/// "…".
pub fn outline(text: &str) -> String {
    /// Words from FROM on, and words where there is none.
    const FROM_WORDS: usize = 6;
    const WORDS: usize = 8;
    let mut is_comment = false;
    let is_shown = |word: &&str| {
        is_comment |= word.starts_with("/*");
        let is_shown = !is_comment;
        is_comment &= !word.contains("*/");
        is_shown
    };
    let words: Vec<&str> = text.split_whitespace().filter(is_shown).collect();
    let from = words.iter().position(|word| word.eq_ignore_ascii_case("from"));
    let (line, end) = match (words.first(), from) {
        (Some(first), Some(from)) if from > 2 => {
            let end = words.len().min(from + FROM_WORDS);
            (format!("{first} … {}", words[from..end].join(" ")), end)
        }
        _ => {
            let end = words.len().min(WORDS);
            (words[..end].join(" "), end)
        }
    };
    match line.chars().count() > 80 {
        true => format!("{}…", line.chars().take(79).collect::<String>()),
        false if end < words.len() => format!("{line} …"),
        false => line,
    }
}

/// How many statements a text holds.
///
/// # Errors
/// If the text does not parse.
pub fn statement_count(text: &str) -> Result<usize, ParseError> {
    Ok(pg_query::parse(text, 0)
        .map_err(|error| ParseError(error.to_string()))?
        .protobuf
        .stmts
        .len())
}

/// Whether a text holds more than one statement; of what does not parse, or is too long to be read, nobody says so.
pub fn holds_several(text: &str) -> bool {
    text.len() <= limits::STATEMENT_PARSE_BYTES && statement_count(text).is_ok_and(|count| count > 1)
}

/// Whether a text is exactly one query: SELECT, INSERT, UPDATE, DELETE or MERGE.
///
/// # Errors
/// If it is not, in words that tell what it is instead.
pub fn one_query(text: &str) -> Result<(), ParseError> {
    parse_one(text).map(drop)
}

/// The parse tree of a text that is exactly one query, as fields and values to walk through; none of any other text.
fn tree_of(text: &str) -> Option<serde_json::Value> {
    serde_json::to_value(parse_one(text).ok()?).ok()
}

/// The parse tree of a text that is exactly one query. Long texts are refused unread, so that no text takes seconds; the
/// parser itself refuses what is nested deeply.
fn parse_one(text: &str) -> Result<pg_query::protobuf::RawStmt, ParseError> {
    use pg_query::NodeEnum;
    if text.len() > limits::STATEMENT_PARSE_BYTES {
        return Err(ParseError(format!(
            "it is longer than {} bytes",
            limits::STATEMENT_PARSE_BYTES
        )));
    }
    let mut statements = pg_query::parse(text, 0)
        .map_err(|error| ParseError(error.to_string()))?
        .protobuf
        .stmts;
    let count = statements.len();
    let (Some(statement), true) = (statements.pop(), count == 1) else {
        return Err(ParseError(format!("it holds {count} statements, not one")));
    };
    match statement.stmt.as_ref().and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::SelectStmt(select)) if makes_a_table(select) => {
            Err(ParseError("SELECT INTO makes a table".to_owned()))
        }
        Some(
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_),
        ) => Ok(statement),
        _ => Err(ParseError("it is no query".to_owned())),
    }
}

/// The definition of an index on a partitioned table without its ONLY.
pub fn index_with_partitions(definition: &str) -> Option<String> {
    use pg_query::NodeEnum;
    let mut tree = pg_query::parse(definition, 0).ok()?.protobuf;
    match tree.stmts.first_mut()?.stmt.as_mut()?.node.as_mut()? {
        NodeEnum::IndexStmt(index) => index.relation.as_mut()?.inh = true,
        _ => return None,
    }
    pg_query::deparse(&tree, pg_query::DeparseOptions::default()).ok()
}

/// How many parameters a text has: the number of the last one, as in `$3`.
pub fn parameter_count(text: &str) -> usize {
    use pg_query::protobuf::{ScanToken, Token};
    let number = |token: &ScanToken| -> Option<usize> {
        let place = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        text.get(place)?.strip_prefix('$')?.parse().ok()
    };
    let tokens = pg_query::scan(text).map(|scan| scan.tokens).unwrap_or_default();
    let parameters = tokens.iter().filter(|token| token.token == Token::Param as i32);
    parameters.filter_map(number).max().unwrap_or(0)
}

/// Whether it is SELECT INTO; of a UNION the first SELECT says so.
fn makes_a_table(select: &pg_query::protobuf::SelectStmt) -> bool {
    select.into_clause.is_some() || select.larg.as_deref().is_some_and(makes_a_table)
}

/// The names that a DROP statement drops, each as its parts.
///
/// # Errors
/// If the text does not parse.
pub fn dropped_names(text: &str) -> Result<Vec<Vec<String>>, ParseError> {
    use pg_query::NodeEnum;
    let tree = pg_query::parse(text, 0)
        .map_err(|error| ParseError(error.to_string()))?
        .protobuf;
    let mut names = Vec::new();
    for statement in tree
        .stmts
        .iter()
        .filter_map(|raw| raw.stmt.as_ref()?.node.as_ref())
    {
        let NodeEnum::DropStmt(drop) = statement else {
            continue;
        };
        for object in drop.objects.iter().filter_map(|object| object.node.as_ref()) {
            let NodeEnum::List(list) = object else { continue };
            let part = |item: &pg_query::protobuf::Node| match item.node.as_ref() {
                Some(NodeEnum::String(part)) => Some(part.sval.clone()),
                _ => None,
            };
            names.push(list.items.iter().filter_map(part).collect());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_ignores_constants_and_case() {
        let one = identify("SELECT a FROM t WHERE b = $1");
        assert_eq!(one.kind, StatementKind::Query);
        assert_eq!(
            one.statement_id,
            identify("select  a from t where b = 7").statement_id
        );
        assert_ne!(
            identify("SELECT 1 FROM a.t_01").statement_id,
            identify("SELECT 1 FROM a.t_02").statement_id
        );
        assert_ne!(
            identify("SELECT 1 FROM a.t").statement_id,
            identify("SELECT 1 FROM b.t").statement_id
        );
        assert_ne!(
            one.statement_id,
            identify("SELECT a FROM u WHERE b = $1").statement_id
        );
    }

    #[test]
    fn kinds() {
        assert_eq!(identify("VACUUM t").kind, StatementKind::Utility);
        assert_eq!(identify("/* app */ (SELECT 1)").kind, StatementKind::Query);
        assert_eq!(
            identify("WITH a AS (SELECT 1) DELETE FROM t").kind,
            StatementKind::Query
        );
        assert_eq!(identify("SELECT FROM WHERE (").kind, StatementKind::Unparsable);
        let tagged = identify("/* trace=1 */ SELECT FROM WHERE ( /* trace=2 */");
        assert_eq!(tagged.statement_id, identify("SELECT FROM WHERE (").statement_id);
        assert_eq!(identify("SELECT /* pgadvisor */ 1").kind, StatementKind::Own);
    }

    #[test]
    fn an_index_on_a_partitioned_table_reaches_its_partitions() {
        let printed =
            "CREATE UNIQUE INDEX \"a ON ONLY b\" ON ONLY s.p USING btree (x DESC) INCLUDE (y) WHERE (z > 1)";
        let whole = index_with_partitions(printed).unwrap();
        assert!(
            whole.starts_with("CREATE UNIQUE INDEX \"a ON ONLY b\" ON s.p "),
            "{whole}"
        );
        assert_eq!(index_with_partitions("DROP TABLE t"), None);
    }

    #[test]
    fn an_outline_tells_that_it_is_cut() {
        assert_eq!(
            outline("SELECT a, b\n FROM t WHERE d = $1"),
            "SELECT … FROM t WHERE d = $1"
        );
        assert_eq!(
            outline("SELECT a, b FROM t WHERE d = $1 AND e = $2"),
            "SELECT … FROM t WHERE d = $1 …"
        );
        assert_eq!(
            outline("UPDATE t SET a = $1 WHERE id"),
            "UPDATE t SET a = $1 WHERE id"
        );
        assert_eq!(
            outline("UPDATE t SET a = $1 WHERE id = $2"),
            "UPDATE t SET a = $1 WHERE id …"
        );
        let long = outline(&format!("SELECT 1 FROM {}", "t".repeat(100)));
        assert_eq!((long.chars().count(), long.ends_with('…')), (80, true));
        assert_eq!(outline(""), "");
        assert_eq!(
            outline("/* a b */ SELECT /*c*/ 1 FROM t /* pgadvisor:ignore x.* */"),
            "SELECT 1 FROM t"
        );
    }

    #[test]
    fn hostile_texts_do_no_harm() {
        for text in [
            "",
            "\u{0}",
            "(((((",
            &"(".repeat(5000),
            &"SELECT 1 OR ".repeat(3000),
            "🦀'",
        ] {
            assert_eq!(identify(text).statement_id.len(), 16);
        }
    }
}
