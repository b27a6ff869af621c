//! Which of the statements that pg_stat_statements captured are workload, and how often each of them was called. What looks at
//! PostgreSQL itself is none. Of a query inside another statement (`COPY (…) TO`, a cursor) it counts both where it tracks all.

use std::collections::HashMap;

use super::workload::WorkloadStatement;
use crate::sql::{self, Name};

/// Whether a statement is run for what users keep: not to see a plan, nor what the catalogs say, nor by us.
pub(crate) fn is_workload(text: &str) -> bool {
    !text.contains(sql::OWN_MARK) && !sql::command(text).starts_with("EXPLAIN") && !reads_catalogs_alone(text)
}

/// Catalogs that clients ask about again and again.
const CATALOGS: [&str; 10] = [
    "pg_attribute",
    "pg_class",
    "pg_database",
    "pg_index",
    "pg_locks",
    "pg_namespace",
    "pg_proc",
    "pg_roles",
    "pg_settings",
    "pg_type",
];

/// Whether all tables that a statement names are PostgreSQL's own.
fn reads_catalogs_alone(text: &str) -> bool {
    let inner = sql::query_within(text);
    let Ok(names) = sql::names(inner.as_deref().unwrap_or(text)) else {
        return false;
    };
    let is_catalog = |name: &Name| match name.schema.as_deref() {
        Some(schema) => matches!(schema, "pg_catalog" | "information_schema"),
        // a table of anybody's may begin with pg_, too: of other catalogs the gate says that they are PostgreSQL's own
        None => name.name.starts_with("pg_stat") || CATALOGS.contains(&name.name.as_str()),
    };
    !names.relations.is_empty() && names.relations.iter().all(is_catalog)
}

/// A query inside another statement is counted under the text of the whole statement, too, beside that itself: of those that are
/// alike the one with most calls.
fn larger_of_alike(statements: Vec<WorkloadStatement>) -> Vec<WorkloadStatement> {
    let mut kept: Vec<WorkloadStatement> = Vec::with_capacity(statements.len());
    let mut places: HashMap<(Option<String>, String, Vec<String>), usize> = HashMap::new();
    for one in statements {
        if sql::query_within(&one.text).is_none() {
            kept.push(one);
            continue;
        }
        let text = one.text.trim_end().trim_end_matches(';');
        // two cursors of one query are of one identity
        let begin: Vec<String> = text.split_whitespace().take(2).map(str::to_lowercase).collect();
        let place = *places
            .entry((one.role.clone(), sql::identify(text).statement_id, begin))
            .or_insert(kept.len());
        match kept.get_mut(place) {
            Some(known) if known.weight < one.weight => *known = one,
            Some(_) => {}
            None => kept.push(one),
        }
    }
    kept
}

/// Each statement once: a query that was counted by itself, too, is left out where it stands inside another statement, and was
/// called as often as the larger of both counts says.
pub(super) fn counted_once(statements: Vec<WorkloadStatement>) -> Vec<WorkloadStatement> {
    let mut statements = larger_of_alike(statements);
    let inner = |one: &WorkloadStatement| sql::query_within(&one.text);
    let queries: Vec<Option<String>> = statements.iter().map(inner).collect();
    if queries.iter().all(Option::is_none) {
        return statements;
    }
    // by who ran it and what it is
    let key = |one: &WorkloadStatement, text: &str| (one.role.clone(), sql::identify(text).statement_id);
    let keys: Vec<(Option<String>, String)> = statements
        .iter()
        .zip(&queries)
        .map(|(one, query)| key(one, query.as_deref().unwrap_or(&one.text)))
        .collect();
    // where it stands alone first, and its calls in all
    let mut alone: HashMap<&(Option<String>, String), (usize, f64)> = HashMap::new();
    let mut within: HashMap<&(Option<String>, String), f64> = HashMap::new();
    for (position, one) in statements.iter().enumerate() {
        match queries[position] {
            None => alone.entry(&keys[position]).or_insert((position, 0.0)).1 += one.weight,
            Some(_) => *within.entry(&keys[position]).or_default() += one.weight,
        }
    }
    for (key, calls) in &within {
        if let Some((position, own)) = alone.get(key) {
            statements[*position].weight += (calls - own).max(0.0);
        }
    }
    let mut position = 0;
    statements.retain(|_| {
        let is_kept = queries[position].is_none() || !alone.contains_key(&keys[position]);
        position += 1;
        is_kept
    });
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_at_postgresql_is_no_workload() {
        for (text, expected) in [
            ("SELECT a FROM t WHERE b = $1", true),
            ("COPY (SELECT a FROM t) TO STDOUT", true),
            ("SELECT 1", true),
            ("EXPLAIN (FORMAT JSON) SELECT a FROM t", false),
            ("/* app */ explain analyze SELECT a FROM t", false),
            ("SELECT /* pgadvisor */ a FROM t", false),
            (
                "SELECT relname FROM pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace",
                false,
            ),
            ("SELECT 1 FROM information_schema.tables", false),
            ("DECLARE c CURSOR FOR SELECT 1 FROM pg_catalog.pg_class", false),
            ("SELECT 1 FROM pg_class JOIN t ON relname = t.name", true),
            ("SELECT 1 FROM app.pg_events", true),
            ("SELECT 1 FROM pg_search_documents", true),
            ("no statement", true),
        ] {
            assert_eq!(is_workload(text), expected, "{text}");
        }
    }

    fn ran(role: &str, text: &str, calls: f64) -> WorkloadStatement {
        WorkloadStatement {
            text: text.into(),
            role: Some(role.into()),
            weight: calls,
            ..WorkloadStatement::default()
        }
    }

    #[test]
    fn what_is_counted_inside_and_by_itself_counts_once() {
        let query = "SELECT a FROM t WHERE b = $1";
        let all = vec![
            ran("app", "DECLARE one CURSOR FOR SELECT a FROM t WHERE b = $1", 6.0),
            ran("app", query, 9.0),
            ran("app", "DECLARE other CURSOR FOR SELECT a FROM t WHERE b = 7", 5.0),
            ran("other", "COPY (SELECT a FROM t WHERE b = $1) TO STDOUT", 3.0),
            ran("app", "COPY (SELECT c FROM t) TO STDOUT", 2.0),
        ];
        let told: Vec<(String, f64)> = counted_once(all)
            .into_iter()
            .map(|one| (one.text, one.weight))
            .collect();
        let kept = [
            (query, 11.0),
            ("COPY (SELECT a FROM t WHERE b = $1) TO STDOUT", 3.0),
            ("COPY (SELECT c FROM t) TO STDOUT", 2.0),
        ];
        assert_eq!(told, kept.map(|(text, calls)| (text.to_owned(), calls)));
        let cursor = "DECLARE c CURSOR FOR SELECT a FROM t WHERE b = $1";
        let once = counted_once(vec![ran("app", query, 20.0), ran("app", cursor, 6.0)]);
        assert_eq!((once.len(), once[0].weight), (1, 20.0));
    }

    #[test]
    fn a_query_that_is_told_with_the_text_around_it_counts_once() {
        let told = |texts: [(&str, f64); 2]| -> Vec<f64> {
            let all = texts.map(|(text, calls)| ran("app", text, calls));
            counted_once(all.into()).iter().map(|one| one.weight).collect()
        };
        let copy = "COPY (SELECT a FROM t WHERE b = 'x') TO STDOUT";
        assert_eq!(
            told([
                (copy, 4.0),
                ("COPY (SELECT a FROM t WHERE b = $1) TO STDOUT", 5.0)
            ]),
            [5.0]
        );
        let cursor = "DECLARE c CURSOR FOR SELECT a FROM t";
        assert_eq!(
            told([("DECLARE c CURSOR FOR SELECT a FROM t;", 6.0), (cursor, 6.0)]),
            [6.0]
        );
        let other = "DECLARE d CURSOR FOR SELECT a FROM t";
        assert_eq!(told([(other, 2.0), (cursor, 6.0)]), [2.0, 6.0], "these are two");
    }
}
