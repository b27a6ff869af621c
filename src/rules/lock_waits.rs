//! Whether a statement's time was work, or waiting for locks: as samples of sessions saw it.

use super::{Place, number};
use crate::model::finding::{Claim, Severity};
use crate::model::observation::StatementDelta;

/// What the time of a statement was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spent {
    /// Samples saw too little of it, or there are none.
    Unknown,
    /// Mostly in work, or in waiting for something else.
    Otherwise,
    /// Mostly in waiting for locks.
    Waiting(Waited),
}

/// What samples saw of a statement that mostly waits for locks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waited {
    /// Sessions in samples that executed it: one that was seen in two samples counts twice.
    pub sessions: u64,
    /// Those of them that waited for a lock.
    pub waiting: u64,
}

/// The part of a statement's time that samples must have seen, where all that they saw was the same.
const SEEN_RATIO: f64 = 0.1;

impl Waited {
    /// The part of its time in which it waited, 0 to 1.
    pub fn ratio(self) -> f64 {
        self.waiting as f64 / self.sessions.max(1) as f64
    }
}

impl Spent {
    /// What the time of one statement was, as far as samples of the last hour saw it.
    pub fn of(place: &Place<'_>, statement: &StatementDelta) -> Self {
        let Some(seen) = place.sampled.statement(statement) else {
            return Self::Unknown;
        };
        let waited = Waited {
            sessions: seen.sessions,
            waiting: seen.waiting,
        };
        // samples of another time than that of its window, or only of a few of its calls, do not explain its seconds
        let part = |sessions: u64| {
            sessions as f64 * place.sampled.sample_seconds / statement.seconds_within().max(f64::MIN_POSITIVE)
        };
        // whatever was seen of it all through the window was waiting
        let is_all = seen.waiting == seen.sessions && place.sampled.cover_window;
        if is_all && part(seen.waiting) > SEEN_RATIO || waited.ratio() > 0.5 && part(seen.waiting) > 0.5 {
            Self::Waiting(waited)
        } else if waited.ratio() <= 0.5 && part(seen.sessions) > 0.5 {
            Self::Otherwise
        } else {
            Self::Unknown
        }
    }

    /// A severity as far as it is the statement's own: who waits for a lock is not to be mended, who holds it is. It may be
    /// the same statement, of which all want one row, so that it stays worth a warning.
    pub fn lower(self, severity: Severity) -> Severity {
        match self {
            Self::Waiting(_) => severity.min(Severity::Warning),
            Self::Unknown | Self::Otherwise => severity,
        }
    }

    /// Says it in a claim about the time that a statement takes, whose words are put together.
    pub fn tell(self, claim: &mut Claim) {
        let caveats = &mut claim.remedy.caveats;
        match self {
            Self::Waiting(waited) => {
                let ratio = waited.ratio();
                claim.explanation += &format!(
                    " But {:.0} % of that was waiting for locks that other sessions held, as samples of sessions saw it ({} of {}): \
                     another plan does not mend that. activity.blocking tells who holds locks for long, and the page of the server's \
                     activity who did; for short, it may be the same statement: a row that all of them update.",
                    ratio * 100.0,
                    waited.waiting,
                    waited.sessions
                );
                claim.evidence.insert("lock_wait_ratio".to_owned(), number(ratio));
                // what work on it could save is the rest
                let cost = &mut claim.impact.db_seconds_per_day;
                *cost = cost.map(|seconds| seconds * (1.0 - ratio));
                claim.guards.push("what it waited for was sampled".to_owned());
                caveats.insert(
                    0,
                    "Find who held the locks first: shorter transactions there, or fewer updates of one row, are what helps here.".to_owned(),
                );
            }
            Self::Otherwise => claim
                .guards
                .push("it did not mostly wait for locks, as samples of sessions saw it".to_owned()),
            Self::Unknown => caveats.push(
                "Whether it worked or waited for a lock meanwhile is not known here, samples of sessions saw too little of it: \
                 where it waited, look for who held the lock."
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sampled::SampledStatements;
    use crate::rules::testing::{observation, statement, waits};

    /// Of a statement that took so many seconds, by sessions in 360 samples of half an hour.
    fn spent(seconds: f64, seen: &[(&str, u64)]) -> Spent {
        let one = statement("SELECT 1 FROM a", 1, seconds * 1000.0);
        let mut observed = observation(vec![one.clone()], 0.0);
        observed.waits = Ok(waits(360, seen));
        let place = Place {
            observation: &observed,
            database: None,
            sampled: &SampledStatements::of(&observed),
            claims_at_most: 1,
        };
        Spent::of(&place, &one)
    }

    #[test]
    fn samples_tell_work_from_waiting_for_locks() {
        let waiting = |waiting, sessions| Spent::Waiting(Waited { sessions, waiting });
        let all_waiting = [("Lock: transactionid", 60), ("Lock: tuple", 12)];
        assert_eq!(spent(360.0, &all_waiting), waiting(72, 72));
        let mostly = [("Lock: tuple", 30), ("CPU", 10)];
        assert_eq!(spent(200.0, &mostly), waiting(30, 40));
        assert_eq!(
            spent(200.0, &[("Lock: tuple", 20), ("CPU", 20)]),
            Spent::Otherwise
        );
        assert_eq!(spent(200.0, &[("LWLock: WALWrite", 40)]), Spent::Otherwise);
        assert_eq!(
            spent(200.0, &[("Lock: tuple", 19)]),
            waiting(19, 19),
            "95 seconds of 200, and all of them waiting"
        );
        assert_eq!(
            spent(200.0, &[("Lock: tuple", 19), ("CPU", 1)]),
            Spent::Unknown,
            "95 seconds of waiting are not most of 200, and five of work prove nothing"
        );
        assert_eq!(
            spent(300.0, &[("Lock: tuple", 10), ("CPU", 20)]),
            Spent::Unknown,
            "of half of its seconds nobody knows"
        );
        assert_eq!(
            spent(1000.0, &[("Lock: tuple", 19)]),
            Spent::Unknown,
            "hardly seen"
        );
        assert_eq!(
            spent(20.0, &[("Lock: tuple", 4)]),
            Spent::Unknown,
            "seen too seldom"
        );
        assert_eq!(spent(20.0, &[]), Spent::Unknown);
    }

    #[test]
    fn what_was_before_the_window_need_not_be_seen_in_it() {
        // three calls of six minutes waited for one row, and all was reset half a minute before their end
        let mut one = statement("SELECT 1 FROM a", 3, 360_000.0);
        let spent = |one: &StatementDelta, sampled_minutes: i64| {
            let mut observed = observation(vec![one.clone()], 0.0);
            let mut seen = waits(114, &[("Lock: transactionid", 20)]);
            seen.window.from = seen.window.to - chrono::TimeDelta::minutes(sampled_minutes);
            seen.sampled_seconds = sampled_minutes as f64 * 60.0;
            observed.waits = Ok(seen);
            let place = Place {
                observation: &observed,
                database: None,
                sampled: &SampledStatements::of(&observed),
                claims_at_most: 1,
            };
            Spent::of(&place, one)
        };
        assert_eq!(spent(&one, 2), Spent::Unknown, "the window has ten minutes");
        one.earlier_seconds = 1_060.0;
        let all = Waited {
            sessions: 20,
            waiting: 20,
        };
        assert_eq!(spent(&one, 2), Spent::Waiting(all));
    }

    #[test]
    fn what_samples_did_not_see_is_a_caveat() {
        let told = |severity: Severity| {
            let observed = observation(vec![], 0.0);
            let place = Place {
                observation: &observed,
                database: None,
                sampled: &SampledStatements::of(&observed),
                claims_at_most: 1,
            };
            let mut claim = place.claim("query.time_share", severity, Vec::new(), None);
            Spent::Unknown.tell(&mut claim);
            (claim.guards.len(), claim.remedy.caveats.join(" "))
        };
        for severity in [Severity::Info, Severity::Warning] {
            let (guards, caveats) = told(severity);
            assert!(caveats.starts_with("Whether it worked or waited"), "{caveats}");
            assert_eq!(guards, 0, "what was counted is measured all the same");
        }
    }

    #[test]
    fn samples_of_another_statement_or_none_tell_nothing() {
        let other = statement("SELECT 1 FROM b", 1, 1000.0);
        let mut observed = observation(vec![], 0.0);
        let tell = |observed: &_| {
            let place = Place {
                observation: observed,
                database: None,
                sampled: &SampledStatements::of(observed),
                claims_at_most: 1,
            };
            Spent::of(&place, &other)
        };
        assert_eq!(tell(&observed), Spent::Unknown);
        observed.waits = Ok(waits(360, &[("Lock: tuple", 100)]));
        assert_eq!(tell(&observed), Spent::Unknown);
    }
}
