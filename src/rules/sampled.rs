//! What samples of sessions saw of each statement: gathered once, for all rules that ask.

use std::collections::{BTreeSet, HashMap};

use crate::model::finding::Window;
use crate::model::history::WaitKey;
use crate::model::observation::{Observation, StatementDelta, Waits};

/// What samples of the last hour saw of all statements; nothing where there are none.
#[derive(Default)]
pub struct SampledStatements<'a> {
    /// For how many seconds of a session one that was seen in a sample stands.
    pub sample_seconds: f64,
    /// Whether they were taken all through the window of the statements: then all that was seen of one is a fair part of it.
    pub cover_window: bool,
    /// Sessions in samples of which nobody knows what they executed, for they were hidden, or not told apart.
    unknown_sessions: u64,
    /// By database and statement_id.
    seen: HashMap<(&'a str, &'a str), SampledStatement<'a>>,
}

/// Sessions in samples that executed one statement. One that was seen in two samples counts twice.
#[derive(Default)]
pub struct SampledStatement<'a> {
    /// How many.
    pub sessions: u64,
    /// Those of them that waited for a lock that another session held.
    pub waiting: u64,
    /// Whose they were, "" of those without a name.
    applications: BTreeSet<&'a str>,
}

/// Of fewer sessions in samples nothing is told. One or two may be chance; an application that executes half of the calls is
/// missed by five only once in thirty-two times.
const LEAST_SESSIONS: u64 = 5;

impl<'a> SampledStatements<'a> {
    /// What samples of a server saw.
    pub fn of(observation: &'a Observation) -> Self {
        let Ok(waits) = &observation.waits else {
            return Self::default();
        };
        let mut sampled = Self {
            sample_seconds: waits.sample_seconds(),
            cover_window: observation
                .statements
                .as_ref()
                .is_ok_and(|activity| activity.window.is_some_and(|window| cover(waits, window))),
            unknown_sessions: waits.hidden_sessions,
            seen: HashMap::new(),
        };
        for (key, sessions) in &waits.seen {
            if key.event == WaitKey::OTHERS {
                sampled.unknown_sessions += sessions;
            } else if !key.statement_id.is_empty() {
                let id = (key.database.as_str(), key.statement_id.as_str());
                sampled.seen.entry(id).or_default().add(key, *sessions);
            }
        }
        sampled
    }

    /// What they saw of one statement; none where that is too little to tell anything.
    pub fn statement<'b>(&'b self, statement: &'b StatementDelta) -> Option<&'b SampledStatement<'a>> {
        let id = (statement.database.as_str(), statement.text.statement_id.as_str());
        self.seen.get(&id).filter(|seen| seen.sessions >= LEAST_SESSIONS)
    }

    /// Every application that was seen executing a statement, without the numbers in its name, "" for one without a name.
    /// None where it was seen too seldom, or one may have been missed: who leaves out what some applications do must not
    /// leave out what another one does.
    pub fn applications(&self, statement: &StatementDelta) -> Vec<String> {
        let seen = self.statement(statement).filter(|_| self.unknown_sessions == 0);
        let names = seen.into_iter().flat_map(|seen| &seen.applications);
        names.map(|name| (*name).to_owned()).collect()
    }
}

/// The part of a window that samples must reach over, and that of their own time in which there must have been some.
const COVERED_RATIO: f64 = 0.9;
const SAMPLED_RATIO: f64 = 0.5;

fn cover(waits: &Waits, window: Window) -> bool {
    let both = Window {
        from: waits.window.from.max(window.from),
        to: waits.window.to.min(window.to),
    };
    both.seconds() >= COVERED_RATIO * window.seconds()
        && waits.sampled_seconds >= SAMPLED_RATIO * waits.window.seconds()
}

impl<'a> SampledStatement<'a> {
    fn add(&mut self, key: &'a WaitKey, sessions: u64) {
        self.sessions += sessions;
        self.applications.insert(&key.application);
        // who adds pages to a table waits for others who do so, not for anybody's transaction
        let is_lock = key.event == "Lock" || key.event.starts_with("Lock: ");
        if is_lock && key.event != "Lock: extend" {
            self.waiting += sessions;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selector::Ignore;
    use crate::rules::query::slow_mean::SlowMean;
    use crate::rules::testing::{claims, observation, statement, waits};

    /// Samples that saw these applications so often executing one statement.
    fn sampled(seen: &[(&str, u64)]) -> Waits {
        let mut sampled = waits(360, &vec![("CPU", 0_u64); seen.len()]);
        for ((key, sessions), (application, times)) in sampled.seen.iter_mut().zip(seen) {
            key.application = (*application).to_owned();
            *sessions = *times;
        }
        sampled
    }

    /// Whether an `[[ignore]]` of these applications means that statement where it is slow.
    fn is_ignored(application: &str, samples: Waits) -> bool {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 50, 100.0)], 0.0);
        observed.waits = Ok(samples);
        let claim = claims::<SlowMean>(&observed).unwrap().remove(0);
        let ignore = Ignore {
            rule: "*".into(),
            application: application.into(),
            ..Ignore::default()
        };
        ignore.selects(&claim)
    }

    #[test]
    fn a_statement_is_ignored_if_all_who_execute_it_are() {
        assert!(is_ignored("etl*", sampled(&[("etl-#", 3), ("etl", 2)])));
        assert!(!is_ignored("shop", sampled(&[("etl", 9)])));
        assert!(
            !is_ignored("etl*", sampled(&[("etl", 900), ("shop", 1)])),
            "another one does it, too"
        );
        assert!(
            !is_ignored("etl*", sampled(&[("etl", 900), ("", 1)])),
            "one without a name may be another one"
        );
    }

    #[test]
    fn what_samples_cannot_tell_is_not_ignored() {
        assert!(!is_ignored("etl*", sampled(&[("etl", 4)])), "seen too seldom");
        assert!(is_ignored("etl*", sampled(&[("etl", 5)])));
        let mut hidden = sampled(&[("etl", 900)]);
        hidden.hidden_sessions = 1;
        assert!(!is_ignored("etl*", hidden), "it may have executed it");
        let mut crowded = sampled(&[("etl", 900), ("", 1)]);
        crowded.seen[1].0 = WaitKey {
            event: WaitKey::OTHERS.into(),
            ..WaitKey::default()
        };
        assert!(!is_ignored("etl*", crowded), "not told apart");
    }

    #[test]
    fn other_statements_and_databases_have_applications_of_their_own() {
        let mut samples = sampled(&[("etl", 5), ("shop", 5), ("mail", 5)]);
        samples.seen[1].0.statement_id = "another".into();
        samples.seen[2].0.database = "another".into();
        assert!(is_ignored("etl", samples));
    }
}
