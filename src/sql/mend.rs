//! Texts that pg_stat_statements made of SQL and that are none any more, or mean something else: a constant that became a
//! parameter may stand where no parameter may, lose its type, or become two that were one.

use pg_query::NodeEnum;
use pg_query::protobuf::{ParseResult, ScanToken, Token};

use super::parse_one;
use super::repeated::say_the_same;
use super::twin::{keeping, parameters};

/// The same statement as PostgreSQL takes it: `date $1` as `$1::date`, `extract($1 FROM x)` as a call, `= ANY (ARRAY[$1])` as
/// `IN ($1)`, so that the type is that of the other side, and what is grouped or sorted by as it stands in what is selected, or
/// the other way round.
/// `None` if it does not parse even so.
pub fn mended(text: &str) -> Option<String> {
    let mut statement = parse_one(&with_calls_and_lists(text)?).ok()?;
    let node = statement.stmt.as_mut()?.node.as_mut()?;
    let select = match node {
        NodeEnum::SelectStmt(select) => Some(select),
        NodeEnum::InsertStmt(insert) => match insert.select_stmt.as_mut().and_then(|from| from.node.as_mut())
        {
            Some(NodeEnum::SelectStmt(select)) => Some(select),
            _ => None,
        },
        _ => None,
    };
    if let Some(select) = select {
        let before = parameters(&serde_json::to_value(&*select).ok()?);
        say_the_same(select);
        let after = parameters(&serde_json::to_value(&*select).ok()?);
        let missing: Vec<i64> = before.difference(&after).copied().collect();
        if !missing.is_empty() {
            select.with_clause = Some(keeping(select.with_clause.take(), &missing));
        }
    }
    let whole = ParseResult {
        stmts: vec![statement],
        ..ParseResult::default()
    };
    let mended = pg_query::deparse(&whole, Default::default()).ok()?;
    parse_one(&mended).ok()?;
    Some(mended)
}

/// What the parser refuses, or types otherwise, said in other words.
fn with_calls_and_lists(text: &str) -> Option<String> {
    let mut tokens = pg_query::scan(text).ok()?.tokens;
    // of a list that was shortened `ARRAY[$1 /*, ... */]` is left
    tokens.retain(|token| token.token != Token::CComment as i32);
    let mut edits: Vec<(usize, usize, &str)> = Vec::new();
    for position in 0..tokens.len() {
        let rest = &tokens[position..];
        if is(rest, &[Token::Extract, Token::Ascii40, Token::Param, Token::From]) {
            edits.push((start(&rest[0]), end(&rest[0]), "pg_catalog.extract"));
            edits.push((start(&rest[3]), end(&rest[3]), ","));
        }
        for (words, list) in [
            (
                &[
                    Token::Ascii61,
                    Token::Any,
                    Token::Ascii40,
                    Token::Array,
                    Token::Ascii91,
                ][..],
                "IN (",
            ),
            (
                &[
                    Token::NotEquals,
                    Token::All,
                    Token::Ascii40,
                    Token::Array,
                    Token::Ascii91,
                ][..],
                "NOT IN (",
            ),
        ] {
            let Some(length) = list_of_parameters(rest, words) else {
                continue;
            };
            edits.push((start(&rest[0]), end(&rest[words.len() - 1]), list));
            edits.push((start(&rest[length - 2]), end(&rest[length - 1]), ")"));
        }
    }
    let mut out = text.to_owned();
    edits.sort_unstable();
    for (start, end, by) in edits.into_iter().rev() {
        out.get(start..end)?;
        out.replace_range(start..end, by);
    }
    Some(out)
}

/// How many tokens these words and a list of parameters up to `])` are.
fn list_of_parameters(tokens: &[ScanToken], words: &[Token]) -> Option<usize> {
    if !is(tokens, words) {
        return None;
    }
    let list = tokens[words.len()..]
        .iter()
        .take_while(|token| token.token == Token::Param as i32 || token.token == Token::Ascii44 as i32)
        .count();
    let length = words.len() + list;
    (list > 0 && is(&tokens[length..], &[Token::Ascii93, Token::Ascii41])).then_some(length + 2)
}

fn is(tokens: &[ScanToken], words: &[Token]) -> bool {
    tokens.len() >= words.len()
        && tokens
            .iter()
            .zip(words)
            .all(|(token, word)| token.token == *word as i32)
}

fn start(token: &ScanToken) -> usize {
    usize::try_from(token.start).unwrap_or(0)
}

fn end(token: &ScanToken) -> usize {
    usize::try_from(token.end).unwrap_or(0)
}

/// The query inside a statement that runs one: DECLARE CURSOR, CREATE TABLE AS, COPY … TO, PREPARE, EXPLAIN.
pub fn query_within(text: &str) -> Option<String> {
    if super::kind_of(text) == crate::model::snapshot::StatementKind::Query
        || text.len() > crate::limits::STATEMENT_PARSE_BYTES
    {
        return None;
    }
    let mut tree = pg_query::parse(text, 0).ok()?.protobuf;
    let [statement] = &mut tree.stmts[..] else {
        return None;
    };
    let query = match statement.stmt.take()?.node? {
        NodeEnum::DeclareCursorStmt(declare) => declare.query,
        NodeEnum::CreateTableAsStmt(create) => create.query,
        NodeEnum::CopyStmt(copy) if !copy.is_from => copy.query,
        NodeEnum::PrepareStmt(prepare) => prepare.query,
        NodeEnum::ExplainStmt(explain) => explain.query,
        _ => None,
    };
    statement.stmt = Some(query?);
    let query = pg_query::deparse(&tree, Default::default()).ok()?;
    parse_one(&query).ok()?;
    Some(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_that_had_a_type() {
        for (text, expected) in [
            (
                "SELECT a FROM t WHERE b >= date $1",
                "SELECT a FROM t WHERE b >= $1::date",
            ),
            (
                "SELECT now() - interval $1 month, timestamp with time zone $2",
                "SELECT now() - $1::interval month, $2::timestamp with time zone",
            ),
            (
                "SELECT EXTRACT($1 FROM b) FROM t WHERE c = $2",
                "SELECT pg_catalog.\"extract\"($1, b) FROM t WHERE c = $2",
            ),
            (
                "SELECT 1 FROM t WHERE a = ANY (ARRAY[$1, $2]) AND b <> ALL (ARRAY[$3]) AND c = ANY ($4)",
                "SELECT 1 FROM t WHERE a IN ($1, $2) AND b NOT IN ($3) AND c = ANY($4)",
            ),
            (
                "SELECT 1 FROM t WHERE a = ANY (ARRAY[$1 /*, ... */]) AND b = $2",
                "SELECT 1 FROM t WHERE a IN ($1) AND b = $2",
            ),
            (
                "SELECT 1 FROM t WHERE a = ANY (ARRAY[$1]::bigint[])",
                "SELECT 1 FROM t WHERE a = ANY(ARRAY[$1]::bigint[])",
            ),
        ] {
            assert_eq!(mended(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(mended("SELECT FROM WHERE $1"), None);
        assert_eq!(mended("SELECT 1; SELECT 2"), None);
    }

    #[test]
    fn one_expression_stays_one() {
        assert_eq!(
            mended("SELECT date_trunc($1, a), count(*) FROM t GROUP BY date_trunc($2, a) ORDER BY date_trunc($3, a) DESC").as_deref(),
            Some(
                "WITH pgadvisor_unread AS (SELECT $2, $3) SELECT date_trunc($1, a), count(*) FROM t GROUP BY date_trunc($1, a) ORDER BY date_trunc($1, a) DESC"
            )
        );
        assert_eq!(
            mended("SELECT count(*) FROM (SELECT a + $1 FROM t GROUP BY a + $2) x GROUP BY $3").as_deref(),
            Some(
                "WITH pgadvisor_unread AS (SELECT $2) SELECT count(*) FROM (SELECT a + $1 FROM t GROUP BY a + $1) x GROUP BY $3"
            )
        );
    }

    #[test]
    fn the_query_inside() {
        for (text, expected) in [
            (
                "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT a FROM t WHERE b = $1",
                Some("SELECT a FROM t WHERE b = $1"),
            ),
            ("CREATE TABLE x AS SELECT 1 FROM t", Some("SELECT 1 FROM t")),
            (
                "COPY (SELECT a FROM t) TO STDOUT WITH (FORMAT csv)",
                Some("SELECT a FROM t"),
            ),
            (
                "PREPARE q (int) AS DELETE FROM t WHERE a = $1",
                Some("DELETE FROM t WHERE a = $1"),
            ),
            ("EXPLAIN (ANALYZE) SELECT 1", Some("SELECT 1")),
            ("COPY t FROM STDIN", None),
            ("VACUUM t", None),
            ("SELECT 1", None),
            ("DECLARE c CURSOR FOR SELECT 1; DROP TABLE t", None),
            ("EXPLAIN EXECUTE q", None),
        ] {
            assert_eq!(query_within(text).as_deref(), expected, "{text}");
        }
    }
}
