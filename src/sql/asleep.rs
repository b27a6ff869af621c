//! Statements that only sleep. PostgreSQL counts their time as execution, and nothing is executed meanwhile.

use super::{Name, names};

/// The functions that sleep.
const SLEEPS: [&str; 3] = ["pg_sleep", "pg_sleep_for", "pg_sleep_until"];
/// What all of them begin with.
const BEGINNING: &[u8] = b"pg_sleep";
/// A longer text does something else, too, and is not looked through.
const BYTES: usize = 1_000;

/// Whether a statement does nothing but sleep, as `SELECT pg_sleep($1)`: it reads and writes no table, and calls no other
/// function. One that sleeps beside its work does not count.
pub(super) fn only_sleeps(text: &str) -> bool {
    // nearly all are told apart without parsing
    let bytes = text.as_bytes();
    let may_sleep = bytes.len() <= BYTES
        && bytes
            .windows(BEGINNING.len())
            .any(|part| part.eq_ignore_ascii_case(BEGINNING));
    if !may_sleep {
        return false;
    }
    let sleeps = |function: &Name| {
        let is_of_postgres = matches!(function.schema.as_deref(), None | Some("pg_catalog"));
        is_of_postgres && SLEEPS.contains(&function.name.as_str())
    };
    names(text).is_ok_and(|names| {
        // where nothing is called it is a mere alias
        names.relations.is_empty() && !names.functions.is_empty() && names.functions.iter().all(sleeps)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_beside_its_sleep_does_not_only_sleep() {
        for asleep in [
            "SELECT pg_sleep($1)",
            "/* app */ select PG_SLEEP(20) AS nap",
            "SELECT pg_catalog.pg_sleep_for($1), $2",
            "SELECT pg_sleep_until($1)",
        ] {
            assert!(only_sleeps(asleep), "{asleep}");
        }
        for other in [
            "SELECT pg_sleep($1) FROM report",
            "SELECT pg_sleep($1), count(*) FROM generate_series($2, $3)",
            "SELECT app.pg_sleep($1)",
            "UPDATE report SET id = $1 WHERE pg_sleep($2) IS NOT NULL",
            "SELECT $1 AS pg_sleep",
            "SELECT refresh_all()",
            "SELECT pg_sleep(",
            "",
        ] {
            assert!(!only_sleeps(other), "{other}");
        }
    }
}
