//! query.slow_mean

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, amount, mean_for_people, seconds_for_people};
use crate::rules::lock_waits::Spent;
use crate::rules::statements::{self, share_of};
use crate::rules::{Found, Place, Rule, Samples, Scope, evidence, matches, number};

/// A statement that takes long each time it is called.
///
/// ## Why it is bad
/// Somebody waits for every call. A statement that takes half a second and is called often usually reads far more than
/// it returns: rows that an index would have left out, or the same rows again and again.
///
/// ## What to do
/// Look at its plan with real parameters: `EXPLAIN (ANALYZE, BUFFERS)`. Compare rows and blocks per call with what the
/// caller needs. Most often an index, a narrower SELECT or a better page size mends it.
///
/// ## When it is wrong to obey
/// Reports and exports are slow by nature; what matters for them is their hour, not their mean. A mean also hides two
/// kinds of calls, fast and slow: compare the standard deviation. What waits for a lock takes as long as somebody else
/// holds it: a statement that samples of sessions saw mostly do that is no critical one. What is meant to be slow is
/// left out by `ignore_statements` and `ignore_roles`. Applications are not known to pg_stat_statements: `[[ignore]]` goes by
/// those that samples of sessions saw, and one that marks its statements with a comment is known by that.
///
/// Judged on calls from clients (`toplevel`), over the last half hour to an hour, or since a known reset. What is called only
/// a few times and is heavy all the same is told by query.heavy_rare. What became more than ten times faster within the window is
/// not told: it was mended. What a daemon finds in totals that began before its first look may have been over by then, and is
/// info. DDL, COPY and other utility statements are left out.
/// Source: PostgreSQL's chapter "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowMean {
    /// Mean time of a call from which it is worth knowing.
    info_mean: Period,
    /// Calls in the window that this needs.
    info_calls: i64,
    /// Mean time of a call from which it is a warning.
    warning_mean: Period,
    /// Calls in the window that this needs.
    warning_calls: i64,
    /// Mean time of a call from which it is critical, together with `critical_share` and `critical_calls`.
    critical_mean: Period,
    /// Share of all database time, 0 to 1, that this needs.
    critical_share: f64,
    /// Calls in the window that this needs: some by hand are no emergency.
    critical_calls: i64,
    /// Statements that are left out: patterns in which "*" stands for anything, as "*/* nightly report */*". Upper and lower
    /// case are the same, and so is all white space.
    ignore_statements: Vec<String>,
    /// Roles whose statements are left out, as "report_*". What other roles ran, too, is not.
    ignore_roles: Vec<String>,
}

impl Default for SlowMean {
    fn default() -> Self {
        Self {
            info_mean: "50 ms".parse().unwrap_or_default(),
            info_calls: 50,
            warning_mean: "500 ms".parse().unwrap_or_default(),
            warning_calls: 20,
            critical_mean: Period::seconds(5),
            critical_share: 0.1,
            critical_calls: 20,
            ignore_statements: Vec::new(),
            ignore_roles: Vec::new(),
        }
    }
}

impl Rule for SlowMean {
    const ID: &'static str = "query.slow_mean";
    const SCOPE: Scope = Scope::Server;
    const SAMPLES: Samples = Samples::Read;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let mut slow: Vec<(Severity, Spent, &StatementDelta)> = activity
            .statements
            .iter()
            .filter_map(|statement| Some((self.severity(statement, activity)?, statement)))
            .filter(|(_, statement)| !self.ignores(statement))
            .map(|(severity, statement)| {
                let spent = Spent::of(place, statement);
                (spent.lower(severity), spent, statement)
            })
            .collect();
        // statements come in the order of the time that they take
        slow.sort_by_key(|(severity, ..)| Reverse(*severity));
        let mut found = Found {
            absence_is_no_proof: activity
                .absence_is_no_proof(|hidden| self.severity(hidden, activity).is_some()),
            decided: statements::decided_while_filling(activity, self.enough_calls(), |statement| {
                self.severity(statement, activity).is_some()
            }),
            ..Found::default()
        };
        for (severity, spent, statement) in slow {
            if statements::leaves_out_mended(activity, statement, &mut found) {
                continue;
            }
            found.claim_worst_first(
                place,
                || vec![statement.text.statement_id.clone()],
                || {
                    let mut claim = claim(place, activity, statement, severity);
                    statements::tell_of_long_calls(&mut claim, statement);
                    spent.tell(&mut claim);
                    statements::tell_of_calls_before(&mut claim, activity, statement);
                    claim
                },
            );
        }
        Ok(found)
    }
}

/// A text in which upper and lower case and all white space are the same.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

impl SlowMean {
    fn ignores(&self, statement: &StatementDelta) -> bool {
        let is_report = |role: &String| self.ignore_roles.iter().any(|pattern| matches(pattern, role));
        let by_role = !statement.roles.is_empty() && statement.roles.iter().all(is_report);
        let by_text = || {
            let text = plain(&statement.text.text);
            self.ignore_statements
                .iter()
                .any(|pattern| matches(&plain(pattern), &text))
        };
        by_role || !self.ignore_statements.is_empty() && by_text()
    }

    /// With so many calls it would be told at each severity, if it were as slow as that.
    fn enough_calls(&self) -> i64 {
        self.info_calls.max(self.warning_calls).max(self.critical_calls)
    }

    fn severity(&self, statement: &StatementDelta, activity: &StatementActivity) -> Option<Severity> {
        let mean = statement.mean_seconds();
        let calls = statement.calls;
        let is_heavy =
            || calls >= self.critical_calls && share_of(activity, statement) >= self.critical_share;
        if mean >= self.critical_mean.as_seconds() && is_heavy() {
            Some(Severity::Critical)
        } else if mean >= self.warning_mean.as_seconds() && calls >= self.warning_calls {
            Some(Severity::Warning)
        } else if mean >= self.info_mean.as_seconds() && calls >= self.info_calls {
            Some(Severity::Info)
        } else {
            None
        }
    }
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    statement: &StatementDelta,
    severity: Severity,
) -> Claim {
    let mean = statement.mean_seconds();
    let calls = statement.calls as f64;
    let (hit, read) = (
        statement.shared_blocks_hit as f64,
        statement.shared_blocks_read as f64,
    );
    let own = evidence([
        ("mean_seconds", number(mean)),
        ("stddev_seconds", number(statement.stddev_seconds)),
        ("calls", json!(statement.calls)),
        ("total_seconds", number(statement.seconds)),
        ("share_ratio", number(share_of(activity, statement))),
        ("rows_per_call", number(statement.rows as f64 / calls)),
        ("shared_blocks_hit_per_call", number(hit / calls)),
        ("shared_blocks_read_per_call", number(read / calls)),
    ]);
    let mut claim = statements::claim(place, SlowMean::ID, severity, activity, statement, own);
    claim.title = format!(
        "{} takes {} a call",
        crate::sql::outline(&statement.text.text),
        seconds_for_people(mean)
    );
    claim.explanation = format!(
        "It was called {} and took {} in all, {:.1} % of the database time of the window. Each call \
         returned {} and touched {}.",
        statements::times(statement.calls),
        seconds_for_people(statement.seconds),
        share_of(activity, statement) * 100.0,
        amount(mean_for_people(statement.rows as f64 / calls), "row", "rows"),
        amount(mean_for_people((hit + read) / calls), "block", "blocks"),
    );
    claim.remedy = Remedy {
        caveats: vec![
            "Look at its plan first: EXPLAIN (ANALYZE, BUFFERS) with the parameters of a slow call."
                .to_owned(),
            "A report that runs at a quiet hour may be left as it is.".to_owned(),
        ],
        ..Remedy::default()
    };
    claim
        .guards
        .push("neither its text nor its roles are on the list of those to ignore".to_owned());
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sampled::SampledStatements;
    use crate::rules::testing::{claims, observation, statement};

    #[test]
    fn the_edges_of_its_thresholds() {
        let severity = |mean_ms: f64, calls: i64, others: f64| {
            let observed = observation(vec![statement("SELECT 1 FROM a", calls, mean_ms)], others);
            crate::rules::testing::severities::<SlowMean>(&observed)
        };
        assert_eq!(severity(49.9, 1000, 0.0), vec![]);
        assert_eq!(severity(50.0, 49, 0.0), vec![]);
        assert_eq!(severity(50.0, 50, 0.0), vec![Severity::Info]);
        assert_eq!(severity(500.0, 20, 0.0), vec![Severity::Warning]);
        assert_eq!(severity(500.0, 19, 0.0), vec![]);
        assert_eq!(severity(5000.0, 20, 0.0), vec![Severity::Critical]);
        assert_eq!(
            severity(5000.0, 20, 901.0),
            vec![Severity::Warning],
            "little of the whole"
        );
        let asleep = observation(vec![statement("SELECT pg_sleep($1)", 20, 5000.0)], 0.0);
        let asleep = crate::rules::testing::severities::<SlowMean>(&asleep);
        assert_eq!(
            asleep,
            vec![Severity::Warning],
            "it has no share of what the server does"
        );
        assert_eq!(severity(5000.0, 19, 0.0), vec![], "slow but rare");
        assert_eq!(
            severity(120_000.0, 1, 0.0),
            vec![],
            "called once, perhaps by hand"
        );
    }

    #[test]
    fn what_was_mended_within_the_window_is_undecided() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 100, 400.0)], 0.0);
        assert_eq!(claims::<SlowMean>(&observed).unwrap().len(), 1);
        let activity = observed.statements.as_mut().unwrap();
        let one = &activity.statements[0];
        let key = (one.database.clone(), one.text.statement_id.clone());
        activity.faster_times.insert(key, 50.0);
        let mended = crate::rules::testing::found::<SlowMean>(&observed).unwrap();
        assert_eq!((mended.claims.len(), mended.undecided.len()), (0, 1));
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_info() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 20, 70_000.0)], 0.0);
        assert_eq!(
            crate::rules::testing::severities::<SlowMean>(&observed),
            [Severity::Critical]
        );
        let first_look = observed.now - chrono::TimeDelta::minutes(2);
        observed.statements.as_mut().unwrap().looked_only_since = Some(first_look);
        let told = claims::<SlowMean>(&observed).unwrap().remove(0);
        assert_eq!(told.severity, Severity::Info);
        assert!(
            told.explanation.contains("may have been over by then"),
            "{}",
            told.explanation
        );
    }

    #[test]
    fn what_waits_for_locks_is_no_emergency() {
        let judged = |event: &str| {
            let mut observed = observation(vec![statement("SELECT 1 FROM a", 20, 10_000.0)], 0.0);
            observed.waits = Ok(crate::rules::testing::waits(360, &[(event, 40)]));
            claims::<SlowMean>(&observed).unwrap().remove(0)
        };
        assert_eq!(judged("IO: DataFileRead").severity, Severity::Critical);
        let waited = judged("Lock: transactionid");
        assert_eq!(waited.severity, Severity::Warning);
        assert!(
            waited.explanation.contains("activity.blocking"),
            "{}",
            waited.explanation
        );
        assert_eq!(waited.impact.db_seconds_per_day, Some(0.0));
    }

    #[test]
    fn a_text_that_is_lost_for_good_holds_up_only_what_it_could_be() {
        let with_hidden = |mean_ms: f64| {
            let mut observed = observation(vec![statement("SELECT 1 FROM a", 50, 1.0)], 0.0);
            let activity = observed.statements.as_mut().unwrap();
            activity.without_text = vec![statement("", 50, mean_ms)];
            crate::rules::testing::found::<SlowMean>(&observed)
                .unwrap()
                .absence_is_no_proof
        };
        assert_eq!(with_hidden(49.0), None);
        assert!(with_hidden(50.0).unwrap().contains("lost by the server"));
    }

    #[test]
    fn one_call_is_once() {
        let observed = observation(vec![statement("SELECT 1 FROM a", 1, 9_000.0)], 0.0);
        let place = Place {
            observation: &observed,
            database: None,
            sampled: &SampledStatements::of(&observed),
            claims_at_most: 1,
        };
        let activity = observed.statements.as_ref().unwrap();
        let told = claim(&place, activity, &activity.statements[0], Severity::Info).explanation;
        assert!(told.starts_with("It was called once and took 9.0 s"), "{told}");
    }

    #[test]
    fn a_row_in_every_other_call_is_not_none() {
        let mut one = statement("SELECT 1 FROM a", 100, 100.0);
        (one.rows, one.shared_blocks_hit) = (41, 100);
        let told = claims::<SlowMean>(&observation(vec![one], 0.0))
            .unwrap()
            .remove(0);
        let words = "Each call returned 0.4 rows and touched 1 block.";
        assert!(told.explanation.contains(words), "{}", told.explanation);
    }

    #[test]
    fn what_is_meant_to_be_slow_is_ignored() {
        let ignored = |statements: &[&str], roles: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let rule = SlowMean {
                ignore_statements: owned(statements),
                ignore_roles: owned(roles),
                ..SlowMean::default()
            };
            let mut slow = statement("SELECT *\n FROM sales AS \"Nightly  Report\"", 50, 100.0);
            slow.roles = vec!["report_eu".into(), "report_us".into()];
            rule.ignores(&slow)
        };
        assert!(!ignored(&[], &[]));
        assert!(ignored(&["*nightly report*"], &[]));
        assert!(ignored(&["select * from SALES *"], &[]));
        assert!(!ignored(&["sales"], &[]), "the whole text must fit");
        assert!(ignored(&[], &["report_*"]));
        assert!(!ignored(&[], &["report_eu"]), "another role runs it, too");
        let mut of_nobody = statement("SELECT 1", 50, 100.0);
        of_nobody.roles.clear();
        let any_role = SlowMean {
            ignore_roles: vec!["*".into()],
            ..SlowMean::default()
        };
        assert!(!any_role.ignores(&of_nobody), "roles that are not known");
    }

    #[test]
    fn the_statement_for_psql_names_the_view_where_it_lies() {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 50, 100.0)], 0.0);
        observed.statements.as_mut().unwrap().schema = "Odd \"schema".into();
        let sql = claims::<SlowMean>(&observed)
            .unwrap()
            .remove(0)
            .evidence_sql
            .unwrap();
        assert!(
            sql.contains("FROM \"Odd \"\"schema\".pg_stat_statements WHERE"),
            "{sql}"
        );
    }
}
