//! What keeps a unique index from being built: rows that are not unique by it.

use crate::model::catalog::TableFacts;
use crate::model::remedy::qualified;
use crate::sql::index_keys::Key;
use crate::sql::remembered::index_keys;

/// What finds the keys that several rows of a table have, and counts these rows, for a unique index of this definition; none
/// where the definition cannot be read.
pub(super) fn repeated_keys_sql(definition: &str, table: &TableFacts) -> Option<String> {
    let index = index_keys(definition)?;
    let compared = |key: &Key| match &key.collation {
        Some(collation) => format!("{} COLLATE {collation}", operand(&key.text)),
        None => operand(&key.text),
    };
    let keys: Vec<String> = index.keys.iter().map(compared).collect();
    let of_rows = index.predicate.iter().map(|predicate| format!("({predicate})"));
    // NULLs are not alike, unless the index says so
    let with_values = keys.iter().filter(|_| !index.nulls_not_distinct);
    let conditions: Vec<String> = of_rows
        .chain(with_values.map(|key| format!("{key} IS NOT NULL")))
        .collect();
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!("\n  WHERE {}", conditions.join(" AND ")),
    };
    // by their numbers: a constant, which can be a key, cannot be grouped by otherwise
    let numbers: Vec<String> = (1..=keys.len()).map(|number| number.to_string()).collect();
    Some(format!(
        "SELECT {}, count(*)\n  FROM ONLY {}{filter}\n  GROUP BY {} HAVING count(*) > 1",
        keys.join(", "),
        qualified(&table.schema, &table.name),
        numbers.join(", ")
    ))
}

/// The name of a column as it stands; an expression in parentheses, whatever comes behind it.
fn operand(text: &str) -> String {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let is_name = match quoted {
        Some(name) => !name.contains('"'),
        None => text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
    };
    match is_name {
        true => text.to_owned(),
        false => format!("({text})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::table;

    fn sql(rest: &str) -> String {
        let definition = format!("CREATE UNIQUE INDEX i ON public.\"T\" USING btree {rest}");
        repeated_keys_sql(&definition, &table(1, "T", 1.0, 1.0)).unwrap()
    }

    #[test]
    fn keys_are_compared_as_the_index_compares_them() {
        assert_eq!(
            sql("(a, \"B c\")"),
            "SELECT a, \"B c\", count(*)\n  FROM ONLY public.\"T\"\n  WHERE a IS NOT NULL AND \"B c\" IS NOT NULL\n  \
             GROUP BY 1, 2 HAVING count(*) > 1"
        );
        assert_eq!(
            sql("(lower(a)) WHERE (deleted_at IS NULL)"),
            "SELECT (lower(a)), count(*)\n  FROM ONLY public.\"T\"\n  WHERE (deleted_at IS NULL) AND (lower(a)) IS NOT NULL\n  \
             GROUP BY 1 HAVING count(*) > 1"
        );
        assert_eq!(
            sql("(a) NULLS NOT DISTINCT"),
            "SELECT a, count(*)\n  FROM ONLY public.\"T\"\n  GROUP BY 1 HAVING count(*) > 1"
        );
        assert!(sql("(a COLLATE \"C\")").starts_with("SELECT a COLLATE \"C\", count(*)"));
        assert!(sql("(a) INCLUDE (b)").starts_with("SELECT a, count(*)"));
        for rest in [
            "(a, \"B c\")",
            "(((a || b)) DESC)",
            "((true))",
            "(a) WHERE (b = 'x;y'::text)",
        ] {
            let sql = sql(rest);
            assert_eq!(crate::sql::statement_count(&sql).unwrap(), 1, "{sql}");
        }
    }

    #[test]
    fn of_what_cannot_be_read_there_is_none() {
        assert_eq!(
            repeated_keys_sql("CREATE UNIQUE INDEX i", &table(1, "t", 1.0, 1.0)),
            None
        );
    }
}
