//! Which statements only bring rows in, and read nothing.

use serde_json::Value;

use super::parse_one;
use super::twin::visit;

/// Whether a statement is an INSERT of values, with or without ON CONFLICT, in which nothing is read: no query stands in it.
pub fn only_inserts_values(text: &str) -> bool {
    let tree = parse_one(text)
        .ok()
        .and_then(|statement| serde_json::to_value(&statement).ok());
    let Some(insert) = tree
        .as_ref()
        .and_then(|tree| tree.pointer("/stmt/node/InsertStmt"))
    else {
        return false;
    };
    let is_values = match insert.pointer("/select_stmt/node/SelectStmt/values_lists") {
        Some(lists) => lists.as_array().is_some_and(|lists| !lists.is_empty()),
        // DEFAULT VALUES
        None => insert["select_stmt"].is_null(),
    };
    let mut queries = 0;
    let has_with = !visit(insert, &mut |key, value: &Value| {
        queries += usize::from(key == "SelectStmt");
        key != "with_clause" || value.is_null()
    });
    // the list of values is one itself
    is_values && !has_with && queries <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_without_any_query_count() {
        for text in [
            "INSERT INTO t (a, b) VALUES ($1, $2)",
            "insert into s.t values (1, lower('x')), ($1, DEFAULT)",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.b < $2 RETURNING a",
            "INSERT INTO t DEFAULT VALUES",
        ] {
            assert!(only_inserts_values(text), "{text}");
        }
        for text in [
            "INSERT INTO t SELECT a FROM u WHERE b = $1",
            "INSERT INTO t SELECT 1",
            "INSERT INTO t VALUES ((SELECT a FROM u WHERE b = $1))",
            "INSERT INTO t VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = (SELECT max(b) FROM u)",
            "INSERT INTO t VALUES ($1) RETURNING (SELECT count(*) FROM u)",
            "WITH d AS (DELETE FROM u WHERE a = $1 RETURNING a) INSERT INTO t VALUES ($1)",
            "WITH i AS (INSERT INTO t VALUES ($1) RETURNING a) SELECT * FROM u JOIN i USING (a)",
            "SELECT 1",
            "INSERT INTO",
        ] {
            assert!(!only_inserts_values(text), "{text}");
        }
    }
}
