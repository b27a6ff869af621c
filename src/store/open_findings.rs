//! The open findings of a database in few words, for lists of what they are about.

use rusqlite::params;

use super::Store;
use super::error::StoreError;
use super::findings::{Sort, count, order};
use super::record::read_finding;
use super::row::{fingerprint, from_json, to_json, word};
use crate::model::finding::Finding;
use crate::model::open_finding::OpenFinding;

impl Store {
    /// The open findings of a database, what matters most first, at most so many; and how many there are. Of each claim only
    /// what is told is taken out: a thousand cost a few milliseconds.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn open_findings(
        &self,
        server: &str,
        database: &str,
        limit: usize,
    ) -> Result<(Vec<OpenFinding>, u64), StoreError> {
        let (columns, direction) = order(Sort::Impact);
        let directed = columns.iter().map(|column| format!("{column} {direction}"));
        let directed = directed.collect::<Vec<_>>().join(", ");
        // chosen by what orders them alone: to sort with the words costs more than all the rest
        let sql = format!(
            "SELECT fingerprint, rule, severity, json_extract(body, '$.title', '$.object')
             FROM (SELECT rowid AS chosen FROM finding WHERE server = ?1 AND database = ?2 AND state = 'open'
                 ORDER BY {directed} LIMIT ?3)
             CROSS JOIN finding ON finding.rowid = chosen JOIN claim USING (fingerprint) ORDER BY {directed}"
        );
        let all = "SELECT count(*) FROM finding WHERE server = ?1 AND database = ?2 AND state = 'open'";
        self.read(|tx| {
            let total: i64 = tx
                .prepare_cached(all)?
                .query_row(params![server, database], |row| row.get(0))?;
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query(params![server, database, count(limit)])?;
            let mut open = Vec::new();
            while let Some(row) = rows.next()? {
                let told = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
                let (title, object) = from_json("claim", told)?;
                open.push(OpenFinding {
                    fingerprint: fingerprint(row.get(0)?)?,
                    rule: row.get(1)?,
                    severity: word("severity", &row.get::<_, String>(2)?)?,
                    title,
                    object,
                });
            }
            Ok((open, total.unsigned_abs()))
        })
    }

    /// The open findings of a database whose evidence names a statement, what matters most first, at most so many: those of
    /// indexes that would help it. The claims are searched as they are written, without being read: some milliseconds for a
    /// thousand.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn findings_naming(
        &self,
        (server, database): (&str, &str),
        statement_id: &str,
        limit: usize,
    ) -> Result<Vec<Finding>, StoreError> {
        let (columns, direction) = order(Sort::Impact);
        let directed = columns.iter().map(|column| format!("{column} {direction}"));
        let sql = format!(
            "SELECT fingerprint FROM finding JOIN claim USING (fingerprint)
             WHERE server = ?1 AND database = ?2 AND state = 'open' AND instr(body, ?3) > 0
             ORDER BY {} LIMIT ?4",
            directed.collect::<Vec<_>>().join(", ")
        );
        // within a text its quotes would be escaped, so that this is a key and its value
        let named = format!("\"statement_id\":{}", to_json("statement_id", &statement_id)?);
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query(params![server, database, named, count(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.extend(read_finding(tx, &fingerprint(row.get(0)?)?)?);
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::FindingFilter;
    use super::super::testing::{at, claim, evaluated, judgement};
    use super::*;
    use crate::model::finding::{Claim, State};

    #[test]
    fn a_statement_finds_what_names_it_and_nothing_else() {
        let store = Store::in_memory().unwrap();
        let naming = |table: &str, evidence: serde_json::Value| {
            let mut one = claim("a.rule", Some("db"), table);
            one.evidence.insert("statements".to_owned(), evidence);
            one
        };
        let hostile = "SELECT '\"statement_id\":\"12ab\"'";
        let claims = vec![
            naming(
                "a",
                serde_json::json!([{"statement": "SELECT 1", "statement_id": "12ab"}]),
            ),
            naming(
                "b",
                serde_json::json!([{"statement": hostile, "statement_id": "12abc"}]),
            ),
            claim("a.rule", Some("db"), "c"),
        ];
        let judged = judgement(claims, [evaluated("a.rule", Some("db"))]);
        store.record("main", at(0), &judged).unwrap();
        let named = |database: &str, id: &str| -> Vec<String> {
            let found = store.findings_naming(("main", database), id, 10).unwrap();
            found
                .into_iter()
                .map(|finding| finding.claim.object.unwrap().name)
                .collect()
        };
        assert_eq!(named("db", "12ab"), ["a"]);
        assert_eq!(named("db", "12abc"), ["b"]);
        assert!(named("other", "12ab").is_empty() && named("db", "12").is_empty());
    }

    #[test]
    fn they_are_the_open_ones_of_the_list_in_its_order() {
        let store = Store::in_memory().unwrap();
        let mut claims: Vec<Claim> = (0..6_u8)
            .map(|number| {
                let mut one = claim("a.rule", Some("db"), &format!("T{number} \"Ä\\"));
                one.impact.db_seconds_per_day = Some(f64::from(number % 4));
                one
            })
            .collect();
        claims[4].object = None;
        claims.push(claim("a.rule", Some("other"), "t"));
        let outcomes = || {
            [
                evaluated("a.rule", Some("db")),
                evaluated("a.rule", Some("other")),
            ]
        };
        let first = judgement(claims.clone(), outcomes());
        store.record("main", at(0), &first).unwrap();
        // the first one is resolved
        let second = judgement(claims.split_off(1), outcomes());
        store.record("main", at(1), &second).unwrap();
        let filter = FindingFilter {
            server: Some("main".into()),
            database: Some("db".into()),
            states: vec![State::Open],
            ..FindingFilter::default()
        };
        let list = store.findings(&filter).unwrap().items.into_iter();
        let expected: Vec<OpenFinding> = list
            .map(|finding| OpenFinding {
                fingerprint: finding.fingerprint,
                rule: finding.claim.rule,
                severity: finding.claim.severity,
                title: finding.claim.title,
                object: finding.claim.object,
            })
            .collect();
        assert_eq!(expected.len(), 5);
        let (open, total) = store.open_findings("main", "db", 100).unwrap();
        assert_eq!((open.as_slice(), total), (expected.as_slice(), 5));
        let (most, total) = store.open_findings("main", "db", 2).unwrap();
        assert_eq!((most.as_slice(), total), (&expected[..2], 5));
        assert!(store.open_findings("other", "db", 2).unwrap().0.is_empty());
    }
}
