//! What a judgement means for the findings that are known: a pure function from both to the changes.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::finding::{Claim, Object, Severity, State};
use crate::model::id::Fingerprint;
use crate::model::judgement::{Judgement, RuleOutcome, Verdict};
use crate::model::selector::Selector;

/// What is stored of one problem, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) fingerprint: Fingerprint,
    pub(super) rule: String,
    pub(super) database: Option<String>,
    pub(super) subject: Vec<String>,
    pub(super) severity: Severity,
    /// None while the evidence has not lasted long enough to speak of a finding.
    pub(super) state: Option<State>,
    /// Since when the evidence is there, where that still decides something: before opening and before reopening.
    pub(super) evidence_since: Option<DateTime<Utc>>,
    /// When it was last seen.
    pub(super) last_seen_at: DateTime<Utc>,
    /// Since when the evidence of a living finding is gone.
    pub(super) evidence_gone_since: Option<DateTime<Utc>>,
    /// How long it must be gone, where that is another time than its rule's.
    pub(super) clear: Option<TimeDelta>,
    /// What a living finding is about, where its rule was judged with settings for some things alone.
    pub(super) object: Option<Object>,
}

/// One change to one problem.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change<'a> {
    pub(super) fingerprint: Fingerprint,
    pub(super) step: Step<'a>,
}

/// What changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step<'a> {
    /// Seen for the first time, and its rule wants to see it for longer: remember since when.
    Await(&'a Claim),
    /// Seen again and not yet for long enough, since then.
    KeepWaiting(DateTime<Utc>),
    /// Seen for long enough: it becomes a finding.
    Open {
        /// What is claimed.
        claim: &'a Claim,
        /// When the evidence was first there.
        since: DateTime<Utc>,
        /// Whether it was waited for, so that there is a row.
        awaited: bool,
    },
    /// Still there: tell the newest numbers.
    Refresh {
        /// What is claimed now.
        claim: &'a Claim,
        /// Whether people are to be told that the severity is another one.
        tell_severity: bool,
    },
    /// A resolved finding is back.
    Reopen(&'a Claim),
    /// The evidence of a finding is gone, not yet for long enough.
    AwaitClear,
    /// The evidence is gone for long enough; why, where that is not that the problem is mended.
    Resolve(Option<&'a str>),
    /// What was waited for did not last; of a finding that never opened nothing remains.
    Forget,
    /// The same for one that was resolved before: it stays resolved.
    ForgetReopening,
}

/// What is seen so often in the time that it must last is unbroken.
const HOLD_PARTS: i32 = 10;

/// The changes to what is known of one server. What could not be judged keeps its state.
pub(super) fn reconcile<'a>(
    known: &[Known],
    judgement: &'a Judgement,
    now: DateTime<Utc>,
) -> Vec<Change<'a>> {
    let outcomes = Outcomes::of(judgement);
    let by_fingerprint: HashMap<&Fingerprint, &Known> =
        known.iter().map(|row| (&row.fingerprint, row)).collect();
    let mut seen = HashSet::new();
    let mut changes = Vec::new();
    for claim in &judgement.claims {
        let fingerprint = claim.fingerprint();
        // Worst first: of two claims about one problem the worse one counts.
        if !seen.insert(fingerprint.clone()) {
            continue;
        }
        let row = by_fingerprint.get(&fingerprint).copied();
        if let Some(step) = of_seen(
            row,
            claim,
            outcomes.hold(claim),
            judgement.unbroken_within.as_delta(),
            now,
        ) {
            changes.push(Change { fingerprint, step });
        }
    }
    let mended = judgement.mended.iter();
    let mended: HashSet<Problem<'_>> = mended
        .map(|one| (one.rule.as_str(), one.database.as_deref(), &one.subject[..]))
        .collect();
    for row in known.iter().filter(|row| !seen.contains(&row.fingerprint)) {
        let gone = match was_dropped(row, judgement) || is_mended(row, &mended, judgement) {
            true => Some((TimeDelta::zero(), None)),
            false => outcomes.clear_if_gone(row),
        };
        let Some((clear, why)) = gone else { continue };
        if let Some(step) = of_gone(row, clear, why, now) {
            changes.push(Change {
                fingerprint: row.fingerprint.clone(),
                step,
            });
        }
    }
    changes
}

/// With its database a problem is gone, though no rule speaks for that place any more.
fn was_dropped(row: &Known, judgement: &Judgement) -> bool {
    match (&row.database, &judgement.databases) {
        (Some(database), Some(there)) => !there.contains(database),
        _ => false,
    }
}

/// What a problem is known by: its rule, its database, its subject.
type Problem<'a> = (&'a str, Option<&'a str>, &'a [String]);

/// Whether what mends a problem was seen, or the catalogs prove that it is mended: nothing is to be waited for then.
fn is_mended(row: &Known, mended: &HashSet<Problem<'_>>, judgement: &Judgement) -> bool {
    // of what is resolved and not awaited nothing changes, nor of what a person has spoken about, and there may be much of it
    match row.state {
        Some(State::Resolved) if row.evidence_since.is_none() => return false,
        Some(State::FalsePositive) => return false,
        _ => {}
    }
    let (rule, database, subject) = (row.rule.as_str(), row.database.as_deref(), &row.subject[..]);
    mended.contains(&(rule, database, subject)) || judgement.proof.is_mended(rule, database, subject)
}

/// What the sight of a problem changes.
fn of_seen<'a>(
    row: Option<&Known>,
    claim: &'a Claim,
    hold: TimeDelta,
    unbroken_within: TimeDelta,
    now: DateTime<Utc>,
) -> Option<Step<'a>> {
    // what nobody saw for a while has not lasted over that while; but what must last for days is not begun anew by the minutes
    // that a restart of ours takes
    let unbroken_within = unbroken_within.max(hold / HOLD_PARTS);
    let unbroken = row.filter(|row| now - row.last_seen_at <= unbroken_within);
    let since = unbroken.and_then(|row| row.evidence_since).unwrap_or(now);
    // A hold of nothing opens at once, even if the clock was set back meanwhile.
    let lasted = hold.is_zero() || now - since >= hold;
    match row.and_then(|row| row.state.map(|state| (row, state))) {
        None if lasted => Some(Step::Open {
            claim,
            since,
            awaited: row.is_some(),
        }),
        None if row.is_none() => Some(Step::Await(claim)),
        None => Some(Step::KeepWaiting(since)),
        Some((_, State::Resolved)) if lasted => Some(Step::Reopen(claim)),
        Some((_, State::Resolved)) => Some(Step::KeepWaiting(since)),
        Some((row, state)) => {
            let told = matches!(state, State::Open | State::Acknowledged);
            Some(Step::Refresh {
                claim,
                tell_severity: told && row.severity != claim.severity,
            })
        }
    }
}

/// What the absence of a problem changes, where its rule was judged or is told elsewhere.
fn of_gone<'a>(row: &Known, clear: TimeDelta, why: Option<&'a str>, now: DateTime<Utc>) -> Option<Step<'a>> {
    match row.state {
        None => Some(Step::Forget),
        Some(State::Resolved) => row.evidence_since.map(|_| Step::ForgetReopening),
        // A person has spoken; only a person takes it back.
        Some(State::FalsePositive) => None,
        Some(State::Open | State::Acknowledged | State::Snoozed) => {
            let since = row.evidence_gone_since.unwrap_or(now);
            if clear.is_zero() || now - since >= clear {
                Some(Step::Resolve(why))
            } else {
                row.evidence_gone_since.is_none().then_some(Step::AwaitClear)
            }
        }
    }
}

/// Whether settings of their own are meant for a problem that was found earlier.
enum Fit {
    No,
    Perhaps,
    Yes,
}

impl Fit {
    fn of(selector: &Selector, row: &Known) -> Self {
        let lives = matches!(
            row.state,
            Some(State::Open | State::Acknowledged | State::Snoozed)
        );
        let object_is_known = lives || row.object.is_some();
        if !selector.fits_database(row.database.as_deref())
            || object_is_known && !selector.fits_object(row.object.as_ref())
        {
            return Self::No;
        }
        match (selector.is_of_every_role(), lives && row.clear.is_none()) {
            // who causes it is not stored, but that it was claimed by the settings of the place
            (false, true) => Self::No,
            (false, false) => Self::Perhaps,
            (true, _) if object_is_known || selector.fits_object(None) => Self::Yes,
            (true, _) => Self::Perhaps,
        }
    }
}

/// What became of a problem that was found earlier, by the settings that are known to be meant for it.
fn verdict_of<'a>(outcome: &'a RuleOutcome, row: &Known) -> &'a Verdict {
    let mut own = outcome.own.iter().rev();
    let meant = own.find(|own| matches!(Fit::of(&own.selector, row), Fit::Yes));
    meant.map_or(&outcome.verdict, |own| &own.verdict)
}

/// A rule, a database, and the place of settings of their own in the outcome; none is those of the whole place.
type Own<'a> = (&'a str, Option<&'a str>, Option<usize>);

/// The outcomes by rule, all problems of which nothing can be said, and those that are known not to be there.
struct Outcomes<'a> {
    by_rule: HashMap<&'a str, Vec<&'a RuleOutcome>>,
    undecided: HashMap<Own<'a>, HashSet<&'a [String]>>,
    decided: HashSet<(&'a str, &'a str, &'a [String])>,
}

impl<'a> Outcomes<'a> {
    fn of(judgement: &'a Judgement) -> Self {
        let outcomes = &judgement.outcomes;
        let mut by_rule: HashMap<&str, Vec<&RuleOutcome>> = HashMap::new();
        let mut all_undecided: HashMap<_, HashSet<&[String]>> = HashMap::new();
        for outcome in outcomes {
            by_rule.entry(&outcome.rule).or_default().push(outcome);
            let own = outcome.own.iter().enumerate();
            let own = own.map(|(position, own)| (Some(position), &own.verdict));
            for (position, verdict) in own.chain([(None, &outcome.verdict)]) {
                if let Verdict::Evaluated { undecided, .. } = verdict {
                    let place = (outcome.rule.as_str(), outcome.database.as_deref(), position);
                    all_undecided
                        .entry(place)
                        .or_default()
                        .extend(undecided.iter().map(Vec::as_slice));
                }
            }
        }
        let decided = judgement.decided.iter();
        let decided = decided.map(|one| (one.rule.as_str(), one.database.as_str(), &one.subject[..]));
        Self {
            by_rule,
            undecided: all_undecided,
            decided: decided.collect(),
        }
    }

    /// The outcomes of a rule that speak for a place: that of the very database, and that of the whole server.
    fn speaking_for(&self, rule: &str, database: Option<&str>) -> impl Iterator<Item = &'a RuleOutcome> {
        let all = self.by_rule.get(rule).cloned().unwrap_or_default();
        let database = database.map(str::to_owned);
        all.into_iter()
            .filter(move |outcome| outcome.database.is_none() || outcome.database == database)
    }

    fn hold(&self, claim: &Claim) -> TimeDelta {
        if let Some(own) = claim.hold {
            return own.as_delta();
        }
        let outcomes = self.speaking_for(&claim.rule, claim.database.as_deref());
        outcomes
            .map(|outcome| outcome.hold.as_delta())
            .max()
            .unwrap_or_default()
    }

    /// Whether it counts that a problem was not seen: as the settings tell that are meant for it. Where it is not known
    /// which these are, by all that may be.
    fn tells_of(&self, outcome: &RuleOutcome, row: &Known) -> bool {
        for (position, own) in outcome.own.iter().enumerate().rev() {
            let counts = || self.counts(outcome, Some(position), &own.verdict, row);
            match Fit::of(&own.selector, row) {
                Fit::No => {}
                Fit::Yes => return counts(),
                Fit::Perhaps if counts() => {}
                Fit::Perhaps => return false,
            }
        }
        self.counts(outcome, None, &outcome.verdict, row)
    }

    /// Whether it counts that a problem was not seen by these settings.
    fn counts(&self, outcome: &RuleOutcome, own: Option<usize>, verdict: &Verdict, row: &Known) -> bool {
        let place = (outcome.rule.as_str(), outcome.database.as_deref(), own);
        let undecided = self.undecided.get(&place);
        // one that ends earlier stands for all that begin with it
        let is_undecided = undecided.is_some_and(|subjects| {
            let mut beginnings = (1..row.subject.len()).map(|parts| &row.subject[..parts]);
            let has = |subject: &[String]| subjects.contains(subject);
            has(&row.subject) || beginnings.any(has)
        });
        let is_decided = || {
            let database = row.database.as_deref().unwrap_or_default();
            own.is_none()
                && self
                    .decided
                    .contains(&(row.rule.as_str(), database, &row.subject[..]))
        };
        match verdict {
            Verdict::Evaluated { absence_counts, .. } => !is_undecided && (*absence_counts || is_decided()),
            Verdict::Elsewhere { .. } => true,
            Verdict::Skipped { .. } => false,
        }
    }

    /// How long the evidence must be gone, if this judgement can tell that it is gone; and where it is told now, if that is
    /// elsewhere.
    fn clear_if_gone(&self, row: &Known) -> Option<(TimeDelta, Option<&'a str>)> {
        let outcomes: Vec<_> = self.speaking_for(&row.rule, row.database.as_deref()).collect();
        let judged = !outcomes.is_empty() && outcomes.iter().all(|outcome| self.tells_of(outcome, row));
        // where the very database was judged, the rest of the server may be told elsewhere
        let own = outcomes.iter().find(|outcome| outcome.database == row.database);
        let elsewhere =
            own.or(outcomes.first())
                .copied()
                .and_then(|outcome| match verdict_of(outcome, row) {
                    Verdict::Elsewhere { reason } => Some(reason.as_str()),
                    _ => None,
                });
        let of_the_rule = || {
            let clears = outcomes.iter().map(|outcome| outcome.clear.as_delta());
            clears.max().unwrap_or_default()
        };
        judged.then(|| (row.clear.unwrap_or_else(of_the_rule), elsewhere))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{at, claim, evaluated, judgement, skipped};
    use super::*;
    use crate::model::judgement::{Decided, Mended, OwnOutcome};
    use crate::model::unit::Period;

    fn known(claim: &Claim, state: Option<State>, since: Option<i64>, gone: Option<i64>) -> Known {
        Known {
            fingerprint: claim.fingerprint(),
            rule: claim.rule.clone(),
            database: claim.database.clone(),
            subject: claim.subject.clone(),
            severity: claim.severity,
            state,
            evidence_since: since.map(at),
            last_seen_at: at(since.unwrap_or(0)),
            evidence_gone_since: gone.map(at),
            clear: claim.clear.map(Period::as_delta),
            object: claim.object.clone(),
        }
    }

    fn name(step: &Step<'_>) -> &'static str {
        match step {
            Step::Await(_) => "await",
            Step::Open { .. } => "open",
            Step::Refresh {
                tell_severity: false, ..
            } => "refresh",
            Step::Refresh {
                tell_severity: true, ..
            } => "refresh and tell",
            Step::KeepWaiting(_) => "keep waiting",
            Step::Reopen(_) => "reopen",
            Step::AwaitClear => "await clear",
            Step::Resolve(None) => "resolve",
            Step::Resolve(Some(_)) => "resolve and say why",
            Step::Forget => "forget",
            Step::ForgetReopening => "forget reopening",
        }
    }

    /// Row (state, since, gone), or none; seen; now. Hold is 60 s and clear 30 s.
    type Case = (
        Option<(Option<State>, Option<i64>, Option<i64>)>,
        bool,
        i64,
        &'static str,
    );

    #[test]
    fn every_state_seen_and_gone() {
        let open = Some(State::Open);
        let cases: &[Case] = &[
            (None, true, 0, "await"),
            (Some((None, Some(0), None)), true, 59, "keep waiting"),
            (Some((None, Some(0), None)), true, 60, "open"),
            (Some((None, Some(0), None)), false, 10, "forget"),
            (Some((open, None, None)), true, 10, "refresh"),
            (Some((open, None, Some(5))), true, 10, "refresh"),
            (Some((open, None, None)), false, 10, "await clear"),
            (Some((open, None, Some(10))), false, 39, ""),
            (Some((open, None, Some(10))), false, 40, "resolve"),
            (Some((open, None, Some(50))), false, 40, ""),
            (Some((Some(State::Acknowledged), None, None)), true, 10, "refresh"),
            (
                Some((Some(State::Acknowledged), None, Some(0))),
                false,
                30,
                "resolve",
            ),
            (Some((Some(State::Snoozed), None, None)), true, 10, "refresh"),
            (Some((Some(State::Snoozed), None, Some(0))), false, 30, "resolve"),
            (
                Some((Some(State::FalsePositive), None, None)),
                true,
                10,
                "refresh",
            ),
            (Some((Some(State::FalsePositive), None, Some(0))), false, 99, ""),
            (Some((Some(State::Resolved), None, None)), false, 10, ""),
            (
                Some((Some(State::Resolved), Some(0), None)),
                false,
                10,
                "forget reopening",
            ),
            (
                Some((Some(State::Resolved), None, None)),
                true,
                10,
                "keep waiting",
            ),
            (
                Some((Some(State::Resolved), Some(10), None)),
                true,
                69,
                "keep waiting",
            ),
            (Some((Some(State::Resolved), Some(10), None)), true, 70, "reopen"),
        ];
        for case in cases {
            let (row, seen, now, expected) = case;
            let claim = claim("a.rule", Some("db"), "t");
            let rows: Vec<_> = row
                .iter()
                .map(|(state, since, gone)| known(&claim, *state, *since, *gone))
                .collect();
            let mut outcome = evaluated("a.rule", Some("db"));
            (outcome.hold, outcome.clear) = (Period::seconds(60), Period::seconds(30));
            let judgement = judgement(seen.then(|| claim.clone()), [outcome]);
            let changes = reconcile(&rows, &judgement, at(*now));
            let names: Vec<_> = changes.iter().map(|change| name(&change.step)).collect();
            assert_eq!(names.join(" "), *expected, "{case:?}");
        }
    }

    #[test]
    fn a_hold_of_nothing_opens_and_a_clear_of_nothing_resolves_at_once() {
        let claim = claim("a.rule", None, "t");
        let seen = judgement([claim.clone()], [evaluated("a.rule", None)]);
        assert_eq!(name(&reconcile(&[], &seen, at(0))[0].step), "open");
        let resolved = [known(&claim, Some(State::Resolved), None, None)];
        assert_eq!(name(&reconcile(&resolved, &seen, at(0))[0].step), "reopen");
        let open = [known(&claim, Some(State::Open), None, None)];
        let gone = judgement([], [evaluated("a.rule", None)]);
        assert_eq!(name(&reconcile(&open, &gone, at(0))[0].step), "resolve");
    }

    #[test]
    fn a_clear_of_its_own_counts_only_where_the_rule_was_judged() {
        let mut claim = claim("a.rule", Some("db"), "t");
        claim.clear = Some(Period::seconds(5));
        let row = [known(&claim, Some(State::Open), None, Some(0))];
        let mut outcome = evaluated("a.rule", Some("db"));
        outcome.clear = Period::seconds(60);
        let gone = judgement([], [outcome]);
        assert!(reconcile(&row, &gone, at(4)).is_empty());
        assert_eq!(name(&reconcile(&row, &gone, at(5))[0].step), "resolve");
        let unjudged = judgement([], [skipped("a.rule", Some("db"))]);
        assert!(reconcile(&row, &unjudged, at(99)).is_empty());
    }

    /// A rule whose window is still filling, by which absence proves nothing.
    fn filling() -> RuleOutcome {
        let mut filling = evaluated("a.rule", None);
        filling.clear = Period::minutes(10);
        filling.verdict = Verdict::Evaluated {
            undecided: vec![],
            absence_counts: false,
            untold: Some("the window is still filling".into()),
        };
        filling
    }

    #[test]
    fn what_is_decided_resolves_though_others_cannot_be_told() {
        let claim = claim("a.rule", Some("db"), "t");
        let row = [known(&claim, Some(State::Open), None, Some(0))];
        let decided = |rule: &str, database: &str, outcome: RuleOutcome| {
            let mut judgement = judgement([], [outcome]);
            judgement.decided = vec![Decided {
                rule: rule.into(),
                database: database.into(),
                subject: claim.subject.clone(),
            }];
            judgement
        };
        let steps = |judgement: &Judgement, second: i64| -> Vec<&'static str> {
            let changes = reconcile(&row, judgement, at(second));
            changes.iter().map(|change| name(&change.step)).collect()
        };
        let judged = decided("a.rule", "db", filling());
        assert!(steps(&judged, 599).is_empty());
        assert_eq!(steps(&judged, 600), ["resolve"]);
        assert!(steps(&decided("a.rule", "other", filling()), 600).is_empty());
        assert!(steps(&decided("b.rule", "db", filling()), 600).is_empty());
        let mut undecided = filling();
        undecided.verdict = Verdict::Evaluated {
            undecided: vec![claim.subject.clone()],
            absence_counts: false,
            untold: None,
        };
        assert!(steps(&decided("a.rule", "db", undecided), 600).is_empty());
    }

    #[test]
    fn looks_that_cannot_tell_do_not_begin_the_clear_anew() {
        let claim = claim("a.rule", Some("db"), "t");
        let row = |gone| [known(&claim, Some(State::Open), None, gone)];
        let mut judged = evaluated("a.rule", None);
        judged.clear = Period::minutes(10);
        let (gone, unknown) = (judgement([], [judged]), judgement([], [filling()]));
        assert_eq!(name(&reconcile(&row(None), &gone, at(0))[0].step), "await clear");
        assert!(reconcile(&row(Some(0)), &unknown, at(300)).is_empty());
        assert_eq!(name(&reconcile(&row(Some(0)), &gone, at(600))[0].step), "resolve");
    }

    #[test]
    fn only_what_was_judged_resolves() {
        let claim = claim("a.rule", Some("db"), "t");
        let mut undecided = evaluated("a.rule", Some("db"));
        undecided.verdict = Verdict::Evaluated {
            undecided: vec![claim.subject.clone()],
            absence_counts: true,
            untold: None,
        };
        let of_subject = |undecided: &[&str]| {
            let mut outcome = evaluated("a.rule", Some("db"));
            outcome.verdict = Verdict::Evaluated {
                undecided: vec![undecided.iter().map(|part| (*part).to_owned()).collect()],
                absence_counts: true,
                untold: None,
            };
            outcome
        };
        let mut filling = evaluated("a.rule", Some("db"));
        filling.verdict = Verdict::Evaluated {
            undecided: vec![],
            absence_counts: false,
            untold: Some("the window is still filling".into()),
        };
        let cases = [
            (vec![evaluated("a.rule", Some("db"))], true),
            (vec![evaluated("a.rule", None)], true),
            (vec![evaluated("a.rule", Some("other"))], false),
            (vec![evaluated("b.rule", Some("db"))], false),
            (vec![skipped("a.rule", Some("db"))], false),
            (vec![skipped("a.rule", None)], false),
            (
                vec![evaluated("a.rule", None), skipped("a.rule", Some("db"))],
                false,
            ),
            (vec![undecided], false),
            (vec![of_subject(&["public"])], false),
            (vec![of_subject(&["t"])], true),
            (vec![of_subject(&["public", "t", "c"])], true),
            (vec![filling], false),
            (vec![], false),
        ];
        for state in [None, Some(State::Open)] {
            for (outcomes, changes) in &cases {
                let row = known(&claim, state, Some(0), None);
                let judgement = judgement([], outcomes.clone());
                assert_eq!(
                    !reconcile(&[row], &judgement, at(100)).is_empty(),
                    *changes,
                    "{state:?} {outcomes:?}"
                );
            }
        }
    }

    #[test]
    fn what_settings_of_their_own_cannot_tell_is_held_back_of_what_they_are_meant_for_alone() {
        let own = |selector: Selector, verdict: Verdict| OwnOutcome { selector, verdict };
        let can = || evaluated("a.rule", Some("db")).verdict;
        let cannot = || skipped("a.rule", Some("db")).verdict;
        let undecided = |table: &str| Verdict::Evaluated {
            undecided: vec![vec!["public".to_owned(), table.to_owned()]],
            absence_counts: true,
            untold: None,
        };
        let audit = || Selector {
            object: "public.audit*".into(),
            ..Selector::default()
        };
        let role = || Selector {
            role: "report_*".into(),
            ..Selector::default()
        };
        // what the place tells, what the settings of their own tell; whether "audit" and "shop" are gone
        let cases = [
            (can(), vec![own(audit(), cannot())], (false, true)),
            (cannot(), vec![own(audit(), can())], (true, false)),
            (can(), vec![own(audit(), undecided("audit"))], (false, true)),
            (can(), vec![own(audit(), undecided("shop"))], (true, true)),
            (undecided("audit"), vec![own(audit(), can())], (true, true)),
            (undecided("shop"), vec![own(audit(), can())], (true, false)),
            // the last that fits counts
            (
                can(),
                vec![own(audit(), cannot()), own(audit(), can())],
                (true, true),
            ),
            (
                can(),
                vec![own(audit(), can()), own(audit(), cannot())],
                (false, true),
            ),
            // both were claimed by the settings of the place
            (can(), vec![own(role(), cannot())], (true, true)),
            (cannot(), vec![own(role(), can())], (false, false)),
        ];
        for (number, (place, own, (audit, shop))) in cases.into_iter().enumerate() {
            let mut outcome = evaluated("a.rule", Some("db"));
            (outcome.verdict, outcome.own) = (place, own);
            let judgement = judgement([], [outcome]);
            for (table, is_gone) in [("audit", audit), ("shop", shop)] {
                let row = known(&claim("a.rule", Some("db"), table), Some(State::Open), None, None);
                let changes = reconcile(&[row], &judgement, at(0));
                assert_eq!(!changes.is_empty(), is_gone, "case {number}, {table}");
            }
        }
    }

    #[test]
    fn where_it_is_not_known_which_settings_are_meant_all_have_to_tell() {
        let with = |selector: Selector, verdict: Verdict| {
            let mut outcome = evaluated("a.rule", Some("db"));
            outcome.own = vec![OwnOutcome { selector, verdict }];
            judgement([], [outcome])
        };
        let role = Selector {
            role: "report_*".into(),
            ..Selector::default()
        };
        let object = Selector {
            object: "public.audit".into(),
            ..Selector::default()
        };
        let mut of_its_own = claim("a.rule", Some("db"), "t");
        of_its_own.clear = Some(Period::seconds(0));
        let found = known(&of_its_own, Some(State::Open), None, None);
        // of what never opened no object is stored
        let mut awaited = known(&claim("a.rule", Some("db"), "t"), None, Some(0), None);
        awaited.object = None;
        for (row, selector) in [(found, role), (awaited, object)] {
            let cannot = with(selector.clone(), skipped("a.rule", None).verdict);
            assert!(reconcile(std::slice::from_ref(&row), &cannot, at(0)).is_empty());
            let can = with(selector, evaluated("a.rule", None).verdict);
            assert_eq!(reconcile(&[row], &can, at(0)).len(), 1);
        }
    }

    #[test]
    fn what_is_told_elsewhere_resolves_after_its_usual_time_and_says_why() {
        let claim = claim("a.rule", Some("db"), "t");
        let mut elsewhere = evaluated("a.rule", Some("db"));
        elsewhere.clear = Period::seconds(30);
        elsewhere.verdict = Verdict::Elsewhere {
            reason: "this is a standby".into(),
        };
        let judgement = judgement([], [elsewhere]);
        let step = |gone: Option<i64>, now: i64| {
            let row = known(&claim, Some(State::Open), None, gone);
            let mut changes = reconcile(&[row], &judgement, at(now));
            changes.pop().map(|change| change.step)
        };
        assert_eq!(step(None, 0), Some(Step::AwaitClear));
        assert_eq!(step(Some(0), 29), None);
        assert_eq!(step(Some(0), 30), Some(Step::Resolve(Some("this is a standby"))));
    }

    #[test]
    fn a_database_that_is_judged_here_is_not_told_elsewhere_with_the_rest_of_its_server() {
        let elsewhere = |rule: &str, database: Option<&str>| RuleOutcome {
            verdict: Verdict::Elsewhere {
                reason: "told there".into(),
            },
            ..evaluated(rule, database)
        };
        let step = |database: Option<&str>, outcomes: Vec<RuleOutcome>| {
            let row = known(&claim("a.rule", database, "t"), Some(State::Open), None, None);
            let judgement = judgement([], outcomes);
            let step = reconcile(&[row], &judgement, at(0))
                .pop()
                .map(|change| name(&change.step));
            step.unwrap_or_default()
        };
        let both = || vec![elsewhere("a.rule", None), evaluated("a.rule", Some("own"))];
        assert_eq!(step(None, both()), "resolve and say why");
        assert_eq!(step(Some("shared"), both()), "resolve and say why");
        assert_eq!(step(Some("own"), both()), "resolve");
        let undecided = vec![elsewhere("a.rule", None), skipped("a.rule", Some("own"))];
        assert_eq!(step(Some("own"), undecided), "");
    }

    #[test]
    fn what_is_judged_here_alone_leaves_the_rest_told_elsewhere() {
        let skipped = skipped("a.rule", Some("db")).verdict;
        let evaluated = evaluated("a.rule", Some("db")).verdict;
        // a finding of `t`, which was told under the other name since then, or is left out there
        let step = |object: &str, role: &str, clear: Option<Period>, here: &Verdict| {
            let mut found = claim("a.rule", Some("db"), "t");
            found.clear = clear;
            let selector = Selector {
                server: "a".into(),
                object: object.into(),
                role: role.into(),
                ..Selector::default()
            };
            let outcome = RuleOutcome {
                verdict: Verdict::Elsewhere {
                    reason: "told there".into(),
                },
                own: vec![OwnOutcome {
                    selector,
                    verdict: here.clone(),
                }],
                ..super::super::testing::evaluated("a.rule", Some("db"))
            };
            let row = known(&found, Some(State::Open), None, None);
            let judgement = judgement([], [outcome]);
            let step = reconcile(&[row], &judgement, at(0)).pop();
            step.map(|change| name(&change.step)).unwrap_or_default()
        };
        for here in [&skipped, &evaluated] {
            let told = step("public.other", "*", None, here);
            assert_eq!(told, "resolve and say why", "of another object");
            let told = step("*", "batch", None, here);
            assert_eq!(
                told, "resolve and say why",
                "claimed when all of it was told here"
            );
        }
        assert_eq!(step("public.t", "*", None, &skipped), "");
        assert_eq!(step("public.t", "*", None, &evaluated), "resolve");
        let by_itself = Some(Period::seconds(0));
        assert_eq!(step("*", "batch", by_itself, &skipped), "");
    }

    #[test]
    fn what_nobody_saw_for_a_while_has_not_lasted() {
        let claim = claim("a.rule", None, "t");
        let mut outcome = evaluated("a.rule", None);
        outcome.hold = Period::minutes(60);
        let seen = judgement([claim.clone()], [outcome]);
        let mut row = known(&claim, None, Some(0), None);
        let step = |row: &Known, minute: i64| {
            reconcile(std::slice::from_ref(row), &seen, at(60 * minute))[0]
                .step
                .clone()
        };
        assert_eq!(
            step(&row, 61),
            Step::KeepWaiting(at(60 * 61)),
            "seen once, an hour ago"
        );
        row.last_seen_at = at(60 * 55);
        assert_eq!(name(&step(&row, 61)), "open", "seen all the time");
    }

    #[test]
    fn a_tenth_of_the_time_that_it_must_last_may_pass_unseen() {
        let claim = claim("a.rule", None, "t");
        let mut outcome = evaluated("a.rule", None);
        outcome.hold = Period::days(10);
        let seen = judgement([claim.clone()], [outcome]);
        let day = 24 * 3600;
        let mut row = known(&claim, None, Some(0), None);
        row.last_seen_at = at(9 * day);
        let step = |seconds: i64| {
            reconcile(std::slice::from_ref(&row), &seen, at(seconds))[0]
                .step
                .clone()
        };
        assert_eq!(name(&step(10 * day)), "open", "unseen for a day");
        let later = 10 * day + 1;
        assert_eq!(step(later), Step::KeepWaiting(at(later)), "for longer");
    }

    #[test]
    fn what_was_found_in_a_dropped_database_is_gone() {
        let claim = claim("a.rule", Some("db"), "t");
        let row = known(&claim, Some(State::Open), None, None);
        for (there, gone) in [
            (None, false),
            (Some(vec!["db".to_owned()]), false),
            (Some(vec![]), true),
        ] {
            let mut judgement = judgement([], [skipped("b.rule", None)]);
            judgement.databases = there;
            assert_eq!(
                !reconcile(std::slice::from_ref(&row), &judgement, at(0)).is_empty(),
                gone
            );
        }
    }

    #[test]
    fn what_is_mended_is_over_at_once_though_nothing_else_can_be_told() {
        let claim = claim("a.rule", Some("db"), "t");
        let mut filling = evaluated("a.rule", Some("db"));
        filling.clear = Period::minutes(10);
        filling.verdict = Verdict::Evaluated {
            undecided: vec![],
            absence_counts: false,
            untold: Some("the window is still filling".into()),
        };
        let step_in = |rule: &str, database: Option<&str>, table: &str, state: State, seen: bool| {
            let row = known(&claim, Some(state), None, None);
            let mut judgement = judgement(seen.then(|| claim.clone()), [filling.clone()]);
            judgement.mended = vec![Mended {
                rule: rule.into(),
                database: database.map(str::to_owned),
                subject: vec!["public".into(), table.into()],
            }];
            let mut changes = reconcile(&[row], &judgement, at(0));
            changes.pop().map(|change| name(&change.step))
        };
        let step = |table: &str, state: State, seen: bool| step_in("a.rule", Some("db"), table, state, seen);
        for (rule, database) in [
            ("b.rule", Some("db")),
            ("a.rule", Some("other")),
            ("a.rule", None),
        ] {
            assert_eq!(step_in(rule, database, "t", State::Open, false), None, "{rule}");
        }
        assert_eq!(step("t", State::Open, false), Some("resolve"));
        assert_eq!(step("t", State::Snoozed, false), Some("resolve"));
        assert_eq!(
            step("t", State::FalsePositive, false),
            None,
            "a person has spoken"
        );
        assert_eq!(step("other", State::Open, false), None);
        assert_eq!(
            step("t", State::Open, true),
            Some("refresh"),
            "it is seen all the same"
        );
    }

    #[test]
    fn what_the_catalogs_prove_to_be_mended_is_over_at_once() {
        let claim = claim("index.unused", Some("db"), "t_a_idx");
        let mut judged = evaluated("index.unused", Some("db"));
        judged.clear = Period::minutes(10);
        let step = |state: State, seen: bool, is_read: bool| {
            let row = known(&claim, Some(state), None, None);
            let mut judgement = judgement(seen.then(|| claim.clone()), [judged.clone()]);
            if is_read {
                judgement.proof.add("db", Arc::default(), None);
            }
            let mut changes = reconcile(&[row], &judgement, at(0));
            changes.pop().map(|change| name(&change.step))
        };
        assert_eq!(
            step(State::Open, false, true),
            Some("resolve"),
            "the index is gone"
        );
        assert_eq!(step(State::Open, false, false), Some("await clear"));
        assert_eq!(step(State::Open, true, true), Some("refresh"));
        assert_eq!(step(State::Resolved, false, true), None);
    }

    #[test]
    fn a_finding_about_the_server_is_not_judged_database_by_database() {
        let claim = claim("a.rule", None, "t");
        let row = known(&claim, Some(State::Open), None, None);
        let judgement = judgement([], [evaluated("a.rule", Some("db"))]);
        assert!(reconcile(&[row], &judgement, at(0)).is_empty());
    }

    #[test]
    fn a_severity_is_told_while_people_look_at_it() {
        let mut worse = claim("a.rule", None, "t");
        let states = [
            State::Open,
            State::Acknowledged,
            State::Snoozed,
            State::FalsePositive,
        ];
        let rows = states.map(|state| known(&worse, Some(state), None, None));
        worse.severity = Severity::Critical;
        let judgement = judgement([worse.clone(), worse], [evaluated("a.rule", None)]);
        let told: Vec<_> = rows
            .map(|row| {
                reconcile(&[row], &judgement, at(0))
                    .iter()
                    .map(|c| name(&c.step))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .into();
        assert_eq!(
            told,
            ["refresh and tell", "refresh and tell", "refresh", "refresh"]
        );
    }
}
