//! Which statements only bring rows in, and read nothing; which columns get constants by that.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tree_of;
use super::twin::visit;

/// Whether a statement is an INSERT of values, with or without ON CONFLICT, in which nothing is read: no query stands in it.
pub fn only_inserts_values(text: &str) -> bool {
    let tree = tree_of(text);
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

/// The columns to which an INSERT brings constants, in VALUES or by a SELECT; `None` is one that the statement does not name.
pub(super) fn inserted_constants(tree: &Value) -> BTreeSet<Option<String>> {
    let mut columns = BTreeSet::new();
    visit(tree, &mut |key, value| {
        if key == "InsertStmt" {
            columns.extend(columns_of_constants(value));
        }
        true
    });
    columns
}

fn columns_of_constants(insert: &Value) -> Vec<Option<String>> {
    let named: Vec<&Value> = items(&insert["cols"]).collect();
    let column = |position: usize| {
        let name = named.get(position)?["node"]["ResTarget"]["name"].as_str()?;
        Some(name.to_owned())
    };
    let select = &insert["select_stmt"]["node"]["SelectStmt"];
    let rows = items(&select["values_lists"]);
    let listed = rows.flat_map(|row| items(&row["node"]["List"]["items"]).enumerate());
    let asked = items(&select["target_list"]).map(|one| &one["node"]["ResTarget"]["val"]);
    let constants = listed
        .chain(asked.enumerate())
        .filter(|(_, value)| is_constant(value));
    constants.map(|(position, _)| column(position)).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn is_constant(value: &Value) -> bool {
    let node = &value["node"];
    match node.get("TypeCast") {
        Some(cast) => is_constant(&cast["arg"]),
        None => node.get("AConst").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_that_get_constants() {
        let columns = |text: &str| {
            let columns = inserted_constants(&tree_of(text).unwrap()).into_iter();
            columns
                .map(|one| one.unwrap_or_else(|| "?".to_owned()))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(
            columns("INSERT INTO t (a, b, \"C\", d) VALUES ($1, 0, $2, $3), ($4, $5, true, now())"),
            "C,b"
        );
        assert_eq!(columns("INSERT INTO t VALUES ($1, 'x'::text)"), "?");
        assert_eq!(
            columns("WITH i AS (INSERT INTO t (a, b) SELECT c, 'open' FROM u RETURNING a) SELECT 1"),
            "b"
        );
        assert_eq!(columns("INSERT INTO t (a) VALUES ($1)"), "");
        assert_eq!(columns("UPDATE t SET a = 0"), "");
    }

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
