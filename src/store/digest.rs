//! The findings that ask for attention, at a glance.

use rusqlite::Transaction;

use super::Store;
use super::error::StoreError;
use super::findings::{Sort, order};
use super::record::read_finding;
use super::row::{fingerprint, word};
use crate::model::finding::{Impact, State};
use crate::model::fold::{Digest, Outline, fold};

impl Store {
    /// The findings that are open or acknowledged, worst first. The words are read of the few that are shown, of the
    /// others the narrow rows alone: a thousand cost no more than a few milliseconds.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        self.read(|tx| {
            let outlines = outlines(tx)?;
            let (shown, rest) = {
                let open: Vec<&Outline> = outlines
                    .iter()
                    .filter(|outline| outline.state == State::Open)
                    .collect();
                let folded = fold(&open);
                let mut shown = Vec::with_capacity(folded.shown.len());
                for outline in folded.shown {
                    shown.extend(read_finding(tx, &outline.fingerprint)?);
                }
                (shown, folded.rest)
            };
            Ok(Digest {
                outlines,
                shown,
                rest,
            })
        })
    }
}

fn outlines(tx: &Transaction<'_>) -> Result<Vec<Outline>, StoreError> {
    let (columns, _) = order(Sort::Impact);
    let mut statement = tx.prepare_cached(&format!(
        "SELECT fingerprint, rule, server, database, order_subject, severity, state, db_seconds_per_day, bytes, days_left
         FROM finding WHERE state IN ('open', 'acknowledged') ORDER BY {}",
        columns.join(", ")
    ))?;
    let mut rows = statement.query([])?;
    let mut outlines = Vec::new();
    while let Some(row) = rows.next()? {
        outlines.push(Outline {
            fingerprint: fingerprint(row.get(0)?)?,
            rule: row.get(1)?,
            server: row.get(2)?,
            database: row.get(3)?,
            subject: row.get(4)?,
            severity: word(
                "severity",
                row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?,
            )?,
            state: word("state", row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?)?,
            impact: Impact {
                db_seconds_per_day: row.get(7)?,
                bytes: row.get(8)?,
                days_left: row.get(9)?,
            },
        });
    }
    Ok(outlines)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement};
    use super::super::{FindingFilter, NewCommand};
    use super::*;
    use crate::limits;
    use crate::model::finding::{Action, Claim, Finding, Severity, by_impact};

    /// Forty of one rule, and a few of every kind.
    fn claims() -> Vec<Claim> {
        let mut claims: Vec<Claim> = (0..40_u8)
            .map(|n| {
                let mut one = claim("index.unused", Some("db"), &format!("i{n}"));
                one.impact.bytes = Some(f64::from(n / 2) * 1e8);
                one
            })
            .collect();
        let kinds = [
            (Severity::Critical, Some(60.0), None, None),
            (Severity::Critical, None, None, None),
            (Severity::Info, None, None, Some(3.5)),
            (Severity::Warning, Some(7200.0), Some(1e9), None),
            (Severity::Warning, Some(f64::NAN), Some(f64::INFINITY), Some(40.0)),
            (Severity::Info, Some(-0.0), Some(0.0), None),
            (Severity::Info, None, None, None),
        ];
        for (number, (severity, seconds, bytes, days)) in kinds.into_iter().enumerate() {
            for (rule, database) in [("a.rule", Some("db")), ("a.rule", None), ("b.rule", Some("d"))] {
                let mut one = claim(rule, database, &format!("t{number}"));
                one.severity = severity;
                one.impact = Impact {
                    db_seconds_per_day: seconds,
                    bytes,
                    days_left: days,
                };
                claims.push(one);
            }
        }
        claims
    }

    fn filled() -> Store {
        let store = Store::in_memory().unwrap();
        let outcomes = [
            evaluated("a.rule", None),
            evaluated("a.rule", Some("db")),
            evaluated("b.rule", Some("d")),
            evaluated("index.unused", Some("db")),
        ];
        // as they come; the store makes the order
        store
            .record("main", at(0), &judgement(claims(), outcomes))
            .unwrap();
        store
    }

    #[test]
    fn the_outlines_are_those_of_the_list_in_its_order() {
        let store = filled();
        let list = store.findings(&FindingFilter::default()).unwrap().items;
        let of_list: Vec<Outline> = list.iter().map(Outline::of).collect();
        assert_eq!(store.digest().unwrap().outlines, of_list);
        let mut claims = claims();
        claims.sort_by(by_impact);
        let ordered: Vec<_> = claims.iter().map(Claim::fingerprint).collect();
        let listed: Vec<_> = list.iter().map(|one| one.fingerprint.clone()).collect();
        assert_eq!(listed, ordered, "the store has the order of by_impact");
    }

    #[test]
    fn the_open_ones_are_folded_as_whole_findings_are() {
        let store = filled();
        let list = store.findings(&FindingFilter::default()).unwrap().items;
        let worst = list[0].fingerprint.clone();
        store
            .submit_command(&NewCommand {
                fingerprint: worst.clone(),
                action: Action::Acknowledge,
                actor: "local".to_owned(),
                comment: None,
                until: None,
                submitted_at: at(1),
            })
            .unwrap();
        store.apply_commands(at(1)).unwrap();
        let digest = store.digest().unwrap();
        assert_eq!(digest.outlines.len(), list.len());
        let open: Vec<Finding> = list.into_iter().skip(1).collect();
        let folded = fold(&open);
        let whole: Vec<Finding> = folded.shown.into_iter().cloned().collect();
        assert_eq!((&digest.shown, &digest.rest), (&whole, &folded.rest));
        assert_eq!(digest.shown.len(), limits::FINDINGS_SHOWN);
        assert!(digest.shown.iter().all(|one| one.fingerprint != worst));
        let folded_away: usize = digest.rest.iter().map(|rest| rest.count).sum();
        assert_eq!(folded_away + digest.shown.len(), open.len());
    }
}
