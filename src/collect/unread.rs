//! Texts of statements that could not be read: what is told of it, what mends it, and when they are asked for again.
//!
//! pg_stat_statements brings all texts into the encoding of the database that is asked, and one that cannot be brought fails the whole
//! function, whichever entries were wanted: the others cannot be read without it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::remedy::{qualified, quote_identifier};
use crate::model::snapshot::StatementCounters;
use crate::model::status::Gap;
use crate::postgres::{Identifier, Observe, PostgresError, column, queries};

/// After a failure the texts are left alone for this long: the server would read its whole text file in vain.
pub const RETRY_TEXTS_AFTER: Duration = Duration::from_secs(600);

/// Of a database that had so many entries a reset is known by half of them being gone.
const COUNT_OF_MANY: usize = 10;

/// That texts could not be read.
pub struct Unread {
    at: Instant,
    why: String,
    remedy_sql: Option<String>,
    /// How many entries each of the databases had that may be the cause, by OID; all databases where none stands out.
    entries: HashMap<u32, usize>,
}

/// A database whose texts may be the cause, by OID; without a name where it is gone.
type Suspect = (u32, Option<String>);

impl Unread {
    /// What is known of a failure; asks which databases may be the cause where a text is.
    ///
    /// # Errors
    /// Only if the session is lost.
    pub async fn of(
        home: &Observe,
        error: &PostgresError,
        schema: &str,
        version_num: i32,
        entries: &[StatementCounters],
    ) -> Result<Self, PostgresError> {
        if !error.is_about_encoding() {
            let why = format!("the texts of statements cannot be read: {}", error.one_line());
            return Ok(Self::new(why, None, count(entries, &[])));
        }
        let query = queries::STATEMENT_ENCODINGS.on(version_num);
        let read = home.rows_in_schema(query, &Identifier::new(schema), &[]).await;
        let suspects: Vec<Suspect> = match read {
            Ok(rows) => rows
                .iter()
                .filter_map(|row| Some((column(row, "database_oid")?, column(row, "name"))))
                .collect(),
            Err(error) if error.is_fatal() => return Err(error),
            Err(_) => Vec::new(),
        };
        Ok(Self::of_bytes(&suspects, schema, entries))
    }

    fn of_bytes(suspects: &[Suspect], schema: &str, entries: &[StatementCounters]) -> Self {
        let why = format!(
            "the texts of statements cannot be read, of no database: one {}holds bytes that its database's encoding does not \
             know, and the server gives none for it. Counters are read all the same",
            whose(suspects)
        );
        let reset = qualified(schema, "pg_stat_statements_reset");
        let resets: Vec<String> = match suspects {
            [] => vec![format!("SELECT {reset}()")],
            // 1.7 to 1.10 take role, database and queryid, and 1.11 a fourth that need not be given; 0 is all
            suspects => suspects
                .iter()
                .map(|(oid, _)| format!("SELECT {reset}(0, {oid}, 0)"))
                .collect(),
        };
        Self::new(why, Some(resets.join("; ")), count(entries, suspects))
    }

    fn new(why: String, remedy_sql: Option<String>, entries: HashMap<u32, usize>) -> Self {
        Self {
            at: Instant::now(),
            why,
            remedy_sql,
            entries,
        }
    }

    /// Whether it is worth asking again: some time is over, or a database that may be the cause was reset since, or all of them.
    pub fn may_be_mended(&self, entries: &[StatementCounters]) -> bool {
        let now = count(entries, &[]);
        let left = |database: &u32| now.get(database).copied().unwrap_or(0);
        // some are evicted at any time, of a database with few of them soon all
        let was_reset =
            |(database, before): (&u32, &usize)| *before >= COUNT_OF_MANY && left(database) * 2 < *before;
        let all_are_gone =
            !self.entries.is_empty() && self.entries.keys().all(|database| left(database) == 0);
        self.at.elapsed() >= RETRY_TEXTS_AFTER || all_are_gone || self.entries.iter().any(was_reset)
    }

    /// What is told of it; the rules that cannot be judged for it are none where other texts are known.
    pub fn gap(&self, some_are_known: bool, rules: Vec<String>) -> Gap {
        let (judged, rules) = match some_are_known {
            true => (
                "; statements whose texts were read before are judged, and others not",
                Vec::new(),
            ),
            false => ("", rules),
        };
        Gap {
            fact: "statement texts".to_owned(),
            database: None,
            why: format!("{}{judged}", self.why),
            remedy_sql: self.remedy_sql.clone(),
            missing_privilege: None,
            rules,
        }
    }
}

/// Whose text it is, as far as that is known, with a space behind.
fn whose(suspects: &[Suspect]) -> String {
    let named: Vec<String> = suspects
        .iter()
        .map(|(oid, name)| match name {
            Some(name) => quote_identifier(name),
            None => format!("one that is gone (OID {oid})"),
        })
        .collect();
    match named.as_slice() {
        [] => String::new(),
        [one] => format!("of the database {one} "),
        many => format!("of the databases {} ", many.join(", ")),
    }
}

/// How many entries each of these databases has; each of all where none is named.
fn count(entries: &[StatementCounters], suspects: &[Suspect]) -> HashMap<u32, usize> {
    let mut counts = HashMap::new();
    for entry in entries {
        let database = entry.key.database_oid;
        if suspects.is_empty() || suspects.iter().any(|(oid, _)| *oid == database) {
            *counts.entry(database).or_insert(0) += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::StatementKey;

    fn entries(counts: &[(u32, i64)]) -> Vec<StatementCounters> {
        let of_database = |&(database_oid, count): &(u32, i64)| {
            (0..count).map(move |queryid| StatementCounters {
                key: StatementKey {
                    user_oid: 10,
                    database_oid,
                    queryid,
                },
                ..StatementCounters::default()
            })
        };
        counts.iter().flat_map(of_database).collect()
    }

    #[test]
    fn only_the_databases_that_may_be_the_cause_are_reset() {
        let told = |suspects: &[Suspect]| {
            let gap = Unread::of_bytes(suspects, "public", &[]).gap(false, Vec::new());
            (gap.why, gap.remedy_sql.unwrap())
        };
        let (why, remedy) = told(&[(16400, Some("old".to_owned()))]);
        assert!(why.contains("one of the database old holds bytes"), "{why}");
        assert_eq!(remedy, "SELECT public.pg_stat_statements_reset(0, 16400, 0)");
        let (why, remedy) = told(&[(16400, Some("Old".to_owned())), (5, None)]);
        assert!(
            why.contains("one of the databases \"Old\", one that is gone (OID 5) holds"),
            "{why}"
        );
        assert_eq!(
            remedy,
            "SELECT public.pg_stat_statements_reset(0, 16400, 0); SELECT public.pg_stat_statements_reset(0, 5, 0)"
        );
        let (why, remedy) = told(&[]);
        assert!(why.contains("one holds bytes"), "{why}");
        assert_eq!(remedy, "SELECT public.pg_stat_statements_reset()");
    }

    #[test]
    fn what_was_known_before_is_judged() {
        let unread = Unread::of_bytes(&[], "public", &[]);
        let rules = || vec!["query.*".to_owned()];
        assert_eq!(unread.gap(false, rules()).rules, rules());
        let gap = unread.gap(true, rules());
        assert!(gap.rules.is_empty() && gap.why.contains("read before are judged"));
    }

    #[test]
    fn a_reset_of_the_cause_is_worth_asking_again() {
        let before = entries(&[(5, 10), (6, 10)]);
        let unread = Unread::of_bytes(&[(6, Some("old".to_owned()))], "public", &before);
        assert!(!unread.may_be_mended(&before));
        assert!(
            !unread.may_be_mended(&entries(&[(6, 5)])),
            "some are evicted, and the other database has nothing to do with it"
        );
        assert!(unread.may_be_mended(&entries(&[(5, 10), (6, 1)])));
        assert!(unread.may_be_mended(&[]), "all was reset");
        let before = entries(&[(5, 1), (6, 9), (7, 20)]);
        let unread = Unread::of_bytes(&[], "public", &before);
        let evicted = entries(&[(6, 2), (7, 12)]);
        assert!(!unread.may_be_mended(&evicted), "of few some are soon evicted");
        assert!(unread.may_be_mended(&entries(&[(5, 1), (6, 9), (7, 9)])));
        assert!(unread.may_be_mended(&[]), "all was reset");
        let few = Unread::of_bytes(&[(5, None)], "public", &before);
        assert!(few.may_be_mended(&evicted), "it has none any more");
        let none = Unread::of_bytes(&[(8, None)], "public", &before);
        assert!(!none.may_be_mended(&before), "it had none");
    }
}
