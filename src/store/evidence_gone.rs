//! Findings whose evidence is not seen any more, and that are not resolved yet.

use rusqlite::OptionalExtension as _;

use super::Store;
use super::error::StoreError;
use super::row::{from_json, rows, time};
use crate::model::finding::Finding;
use crate::model::judgement::{EvidenceGone, RuleOutcome, Verdict};
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
        let own = own.map(|milliseconds| Period::milliseconds(milliseconds.unsigned_abs()));
        let of_rule = self.clear_of_rule(finding)?;
        let clear = of_rule.map(|of_rule| own.unwrap_or(of_rule));
        Ok(Some(EvidenceGone {
            since,
            resolved_at: clear.map(|clear| since + clear.as_delta()),
        }))
    }

    /// How long the evidence of a rule must be gone there, by its last judgement; none where that could not tell that it is.
    fn clear_of_rule(&self, finding: &Finding) -> Result<Option<Period>, StoreError> {
        let claim = &finding.claim;
        let bodies: Vec<String> = self.read(|tx| {
            let sql = "SELECT body FROM rule_outcome WHERE server = ?1 AND rule = ?2";
            rows(tx, sql, [&claim.server, &claim.rule], |row| row.get(0))
        })?;
        let mut longest: Option<Period> = None;
        for body in &bodies {
            let outcome: RuleOutcome = from_json("rule outcome", body)?;
            let is_there =
                outcome.database.is_none() || claim.database.is_none() || outcome.database == claim.database;
            if is_there && !can_tell(&outcome.verdict) {
                return Ok(None);
            }
            if is_there {
                longest = longest.max(Some(outcome.clear));
            }
        }
        Ok(longest)
    }
}

/// Whether it counts that something was not seen.
fn can_tell(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Evaluated { absence_counts, .. } => *absence_counts,
        Verdict::Elsewhere { .. } => true,
        Verdict::Skipped { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement, skipped};
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
        let cannot = judgement(None, [skipped("a.rule", Some("db"))]);
        store.record("main", at(300), &cannot).unwrap();
        let unknown = EvidenceGone {
            since: at(240),
            resolved_at: None,
        };
        assert_eq!(gone(&seen), Some(unknown), "nobody looks whether it is gone");
    }
}
