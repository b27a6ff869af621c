//! Findings whose evidence is not seen any more, and that are not resolved yet.

use rusqlite::OptionalExtension as _;

use super::Store;
use super::error::StoreError;
use super::row::time;
use crate::model::finding::Finding;
use crate::model::judgement::EvidenceGone;
use crate::model::unit::Period;

impl Store {
    /// Since when what a finding rests on is not seen; none where it was seen at the last judgement, or the finding is resolved.
    ///
    /// # Errors
    /// If the store fails.
    pub fn evidence_gone(&self, finding: &Finding) -> Result<Option<EvidenceGone>, StoreError> {
        let found: Option<(Option<i64>, Option<i64>)> = self.read(|tx| {
            let sql = "SELECT evidence_gone_since, clear_milliseconds FROM finding WHERE fingerprint = ?1";
            let mut statement = tx.prepare_cached(sql)?;
            let row = statement.query_row([finding.fingerprint.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
            Ok(row.optional()?)
        })?;
        let Some((Some(since), own)) = found else {
            return Ok(None);
        };
        let since = time(since);
        let clear = match own {
            Some(milliseconds) => Some(Period::milliseconds(milliseconds.unsigned_abs())),
            None => self.clear_of_rule(finding)?,
        };
        Ok(Some(EvidenceGone {
            since,
            resolved_at: clear.map(|clear| since + clear.as_delta()),
        }))
    }

    /// How long the evidence of a rule must be gone there, by its last judgement.
    fn clear_of_rule(&self, finding: &Finding) -> Result<Option<Period>, StoreError> {
        let claim = &finding.claim;
        let outcomes = self.rule_outcomes()?;
        let is_there = |database: &Option<String>| {
            database.is_none() || claim.database.is_none() || *database == claim.database
        };
        let there = outcomes.iter().filter(|(server, outcome)| {
            *server == claim.server && outcome.rule == claim.rule && is_there(&outcome.database)
        });
        Ok(there.map(|(_, outcome)| outcome.clear).max())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement};
    use super::*;

    #[test]
    fn what_is_not_seen_says_since_when_and_when_it_is_resolved() {
        let store = Store::in_memory().unwrap();
        let judge = |second: i64, is_there: bool, own: Option<Period>| {
            let mut outcome = evaluated("a.rule", Some("db"));
            outcome.clear = Period::minutes(10);
            let mut found = claim("a.rule", Some("db"), "t");
            found.clear = own;
            let judged = judgement(is_there.then_some(found), [outcome]);
            store.record("main", at(second), &judged).unwrap();
            store.findings(&Default::default()).unwrap().items.remove(0)
        };
        let gone = |finding: &Finding| store.evidence_gone(finding).unwrap();
        let seen = judge(0, true, None);
        assert_eq!(gone(&seen), None);
        judge(60, false, None);
        let since = |second: i64, clear_seconds: i64| EvidenceGone {
            since: at(second),
            resolved_at: Some(at(second + clear_seconds)),
        };
        assert_eq!(gone(&seen), Some(since(60, 600)));
        judge(120, false, None);
        assert_eq!(gone(&seen), Some(since(60, 600)), "it goes on");
        judge(180, true, Some(Period::minutes(20)));
        assert_eq!(gone(&seen), None, "it came back");
        judge(240, false, None);
        assert_eq!(gone(&seen), Some(since(240, 1200)), "it has a time of its own");
    }
}
