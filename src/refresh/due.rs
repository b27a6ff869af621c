//! When a view is due: by its schedule, and by what is remembered of it. All times are the server's own, so that all who
//! refresh its views reckon alike.

use chrono::{DateTime, TimeDelta, Utc};

use crate::configuration::{Missed, Refresh};
use crate::model::refresh::{Mode, ViewMemory, ViewName};

/// Whether a view is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// It is.
    Now {
        /// The moment that it is due for: the same for everybody who reckons it.
        moment: DateTime<Utc>,
        /// Why.
        reason: String,
    },
    /// Not before this.
    Later {
        /// When.
        at: DateTime<Utc>,
        /// The moment that is waited with, if it is due already and held back.
        held: Option<String>,
    },
    /// The moment passed while nobody was there, and is not made up for.
    Missed {
        /// Which.
        moment: DateTime<Utc>,
    },
    /// It waits for another view.
    Waiting,
}

/// A moment is missed if it is this much later, beyond its jitter.
const MISSED_AFTER: TimeDelta = TimeDelta::seconds(90);
/// A view that was never seen before is due by cron only if its moment was just now.
const JUST_NOW: TimeDelta = TimeDelta::minutes(5);
/// How long before its moment a promise is kept, beyond what the refresh takes.
const MARGIN: TimeDelta = TimeDelta::milliseconds(500);
/// The longest wait between tries.
const LONGEST_RETRY: TimeDelta = TimeDelta::hours(1);

/// What is due for one view.
pub struct Reckoning<'a> {
    /// How it is to be refreshed.
    pub policy: &'a Refresh,
    /// Which view.
    pub view: &'a ViewName,
    /// What is remembered of it.
    pub memory: &'a ViewMemory,
    /// Whether it can be read at all.
    pub is_populated: bool,
    /// When the view that it comes after was last refreshed.
    pub after: Option<DateTime<Utc>>,
    /// Of when the oldest view is that it reads.
    pub others: Option<DateTime<Utc>>,
    /// So long nobody comes back.
    pub next_pass_in: TimeDelta,
}

impl Reckoning<'_> {
    /// Whether it is due now.
    pub fn due(&self, now: DateTime<Utc>) -> Due {
        if !self.is_populated {
            let moment = whole_second(now);
            return self.held_back(now, moment, "it holds nothing yet, and cannot be read".to_owned());
        }
        let due = match (&self.policy.cron, self.policy.every, self.policy.max_age) {
            (Some(cron), ..) => {
                let zone = self.policy.time_zone;
                let (last, next) = cron.around(now - self.jitter(), zone);
                self.by_moments(now, last, next, || format!("cron {cron}"))
            }
            (_, Some(every), _) => {
                let (last, next) = multiples(now - self.jitter(), every.as_delta());
                self.by_moments(now, last, next, || format!("every {every}"))
            }
            (_, _, Some(_)) => self.by_age(now),
            _ => self.after_another(),
        };
        match due {
            Due::Now { moment, reason } => self.held_back(now, moment, reason),
            other => other,
        }
    }

    /// The part of the jitter that is this view's own.
    fn jitter(&self) -> TimeDelta {
        let milliseconds = self.policy.jitter.as_delta().num_milliseconds();
        if milliseconds == 0 {
            return TimeDelta::zero();
        }
        let hash = blake3::hash(self.view.to_string().as_bytes());
        let share = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default());
        TimeDelta::milliseconds((share % milliseconds.unsigned_abs()) as i64)
    }

    /// By moments that are the same for everybody.
    fn by_moments(
        &self,
        now: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
        next: Option<DateTime<Utc>>,
        reason: impl FnOnce() -> String,
    ) -> Due {
        let later = || match next {
            Some(next) => Due::Later {
                at: next + self.jitter(),
                held: None,
            },
            None => Due::Waiting,
        };
        let Some(moment) = last else { return later() };
        let handled = self.memory.handled_until.max(self.memory.fresh_as_of);
        if handled.is_some_and(|handled| handled >= moment) {
            return later();
        }
        let is_new =
            self.memory.handled_until.is_none() && self.memory.first_seen_at.is_none_or(|seen| seen > moment);
        // a nightly refresh does not start at noon because its table of the configuration is new
        if is_new && self.policy.cron.is_some() && now - moment > JUST_NOW {
            return later();
        }
        let is_late = now - moment - self.jitter() > MISSED_AFTER;
        let was_tried = self.memory.failures > 0 || self.memory.busy_looks > 0 || self.hours_ended(now);
        if is_late && !was_tried && !is_new && self.policy.missed == Missed::Skip {
            return Due::Missed { moment };
        }
        let reason = match is_late && !was_tried {
            true => format!(
                "{}: due since {}",
                reason(),
                moment.format("%Y-%m-%d %H:%M:%S UTC")
            ),
            false => reason(),
        };
        Due::Now { moment, reason }
    }

    /// Whether hours in which nothing is started ended just now.
    fn hours_ended(&self, now: DateTime<Utc>) -> bool {
        let before = now - MISSED_AFTER;
        self.policy
            .not_between
            .iter()
            .any(|hours| hours.contains(before, self.policy.time_zone))
    }

    /// As late as keeps the promise: when its age and the time that a refresh takes reach it.
    fn by_age(&self, now: DateTime<Utc>) -> Due {
        let promise = self.policy.max_age.unwrap_or_default();
        // where it has old rows from another view, only a younger one helps
        let is_helped = self.others > self.memory.data_as_of();
        let fresh = match is_helped {
            true => self.memory.data_as_of(),
            false => self.memory.fresh_as_of,
        };
        let Some(fresh) = fresh else {
            let reason = format!("no older than {promise}: how old it is, is not known");
            let moment = whole_second(now);
            return Due::Now { moment, reason };
        };
        // each refresh has another moment, whatever it was made from
        let moment = self.memory.fresh_as_of.unwrap_or(fresh) + promise.as_delta();
        let takes = [Mode::Plain, Mode::Concurrently].map(|mode| self.memory.expected_seconds(mode));
        let takes = takes.into_iter().flatten().fold(0.0, f64::max);
        let takes = TimeDelta::milliseconds((takes * 1.2 * 1000.0) as i64) + MARGIN;
        // a promise shorter than the work cannot be kept: then it is refreshed half the time, and no more
        let at = match takes < promise.as_delta() {
            true => fresh + promise.as_delta() - takes,
            false => fresh + takes * 2,
        };
        // more than half of a promise is no interval to keep it by
        let next_pass_in = self.next_pass_in.min(promise.as_delta() / 2);
        match now + next_pass_in >= at {
            true => {
                let age = (now - fresh).num_seconds();
                let reason = format!("no older than {promise}: it is of {age} s ago");
                Due::Now { moment, reason }
            }
            false => Due::Later { at, held: None },
        }
    }

    fn after_another(&self) -> Due {
        let after = self.policy.after.as_deref().unwrap_or_default();
        let own = self.memory.fresh_as_of.max(self.memory.handled_until);
        match self.after {
            Some(at) if own.is_none_or(|own| own < at) => Due::Now {
                moment: at,
                reason: format!("after {after}"),
            },
            _ => Due::Waiting,
        }
    }

    /// Retries, and hours in which nothing is started.
    fn held_back(&self, now: DateTime<Utc>, moment: DateTime<Utc>, reason: String) -> Due {
        if let Some(at) = self.memory.retry_at.filter(|at| *at > now) {
            let time = at.format("%H:%M:%S UTC");
            let held = match self.memory.failures {
                0 => format!("it is looked at again at {time}"),
                failures => format!("try {failures} failed; the next one is at {time}"),
            };
            return Due::Later { at, held: Some(held) };
        }
        let zone = self.policy.time_zone;
        let Some(hours) = self
            .policy
            .not_between
            .iter()
            .find(|hours| hours.contains(now, zone))
        else {
            return Due::Now { moment, reason };
        };
        let held = Some(format!("nothing is started within {hours}"));
        match hours.end_after(now, zone) {
            Some(at) => Due::Later { at, held },
            None => Due::Waiting,
        }
    }
}

/// Those who look at the same time mean the same moment.
fn whole_second(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos()))
}

/// From one due moment to the next, where that is known.
pub fn interval(policy: &Refresh, now: DateTime<Utc>) -> Option<TimeDelta> {
    let gap = || {
        let cron = policy.cron.as_ref()?;
        let (last, next) = cron.around(now, policy.time_zone);
        Some(next? - last?)
    };
    let period = policy.every.or(policy.max_age);
    period.map(|period| period.as_delta()).or_else(gap)
}

/// The last and the next multiple of an interval since 1970.
fn multiples(now: DateTime<Utc>, every: TimeDelta) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let step = every.num_milliseconds().max(1);
    let last = now.timestamp_millis().div_euclid(step) * step;
    let at = DateTime::from_timestamp_millis;
    (at(last), at(last + step))
}

/// When to try again after so many failures for one moment; none if that is enough.
pub fn retry_at(policy: &Refresh, failures: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wait =
        (policy.retry_after.as_delta() * (1 << (failures.saturating_sub(1)).min(12))).min(LONGEST_RETRY);
    (failures <= policy.retries).then(|| now + wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::Period;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn due(policy: &Refresh, memory: &ViewMemory, now: &str) -> Due {
        let view = ViewName::default();
        let reckoning = Reckoning {
            policy,
            view: &view,
            memory,
            is_populated: true,
            after: None,
            others: None,
            next_pass_in: TimeDelta::zero(),
        };
        reckoning.due(at(now))
    }

    fn seen(text: &str) -> ViewMemory {
        ViewMemory {
            first_seen_at: Some(at(text)),
            ..ViewMemory::default()
        }
    }

    #[test]
    fn a_new_table_of_the_configuration_starts_no_nightly_refresh_at_noon() {
        let policy = Refresh {
            cron: Some("0 1 * * *".parse().unwrap()),
            ..Refresh::default()
        };
        let memory = seen("2026-11-22T12:00:00Z");
        let next = Due::Later {
            at: at("2026-11-23T01:00:00Z"),
            held: None,
        };
        assert_eq!(due(&policy, &memory, "2026-11-22T12:00:00Z"), next);
        assert!(matches!(
            due(&policy, &memory, "2026-11-23T01:00:00Z"),
            Due::Now { .. }
        ));
        // cron starts us just after the moment, and we have never seen the view
        let memory = seen("2026-11-22T01:00:01Z");
        assert!(matches!(
            due(&policy, &memory, "2026-11-22T01:00:01Z"),
            Due::Now { .. }
        ));
    }

    #[test]
    fn what_was_missed_is_made_up_for_once_or_not_at_all() {
        let mut policy = Refresh {
            cron: Some("0 1 * * *".parse().unwrap()),
            ..Refresh::default()
        };
        let memory = ViewMemory {
            handled_until: Some(at("2026-11-19T01:00:00Z")),
            ..seen("2026-11-01T00:00:00Z")
        };
        let Due::Now { moment, reason } = due(&policy, &memory, "2026-11-22T08:00:00Z") else {
            panic!("not due")
        };
        assert_eq!(moment, at("2026-11-22T01:00:00Z"));
        assert!(reason.contains("due since"), "{reason}");
        policy.missed = Missed::Skip;
        assert_eq!(
            due(&policy, &memory, "2026-11-22T08:00:00Z"),
            Due::Missed { moment }
        );
        assert!(matches!(
            due(&policy, &memory, "2026-11-22T01:00:30Z"),
            Due::Now { .. }
        ));
        let failed = ViewMemory {
            failures: 1,
            ..memory
        };
        assert!(matches!(
            due(&policy, &failed, "2026-11-22T01:10:00Z"),
            Due::Now { .. }
        ));
    }

    #[test]
    fn a_promise_is_kept_as_late_as_the_refresh_takes() {
        let policy = Refresh {
            max_age: Some(Period::minutes(15)),
            ..Refresh::default()
        };
        let mut memory = seen("2026-11-22T00:00:00Z");
        assert!(
            matches!(due(&policy, &memory, "2026-11-22T00:00:00Z"), Due::Now { .. }),
            "its age is not known"
        );
        memory.fresh_as_of = Some(at("2026-11-22T00:00:00Z"));
        memory.plain_seconds = vec![10.0, 50.0];
        let later = Due::Later {
            at: at("2026-11-22T00:13:59.500Z"),
            held: None,
        };
        assert_eq!(
            due(&policy, &memory, "2026-11-22T00:10:00Z"),
            later,
            "50 s, a fifth more and a margin before"
        );
        let Due::Now { moment, .. } = due(&policy, &memory, "2026-11-22T00:14:00Z") else {
            panic!("not due")
        };
        assert_eq!(
            moment,
            at("2026-11-22T00:15:00Z"),
            "the moment does not depend on what was learned"
        );
        memory.plain_seconds = vec![3600.0];
        assert!(
            matches!(due(&policy, &memory, "2026-11-22T00:07:00Z"), Due::Later { .. }),
            "half the time at most"
        );
    }

    #[test]
    fn a_promise_that_would_be_broken_before_anybody_comes_back_is_kept_now() {
        let policy = Refresh {
            max_age: Some(Period::minutes(15)),
            ..Refresh::default()
        };
        let memory = ViewMemory {
            fresh_as_of: Some(at("2026-11-22T00:00:00Z")),
            ..seen("2026-11-22T00:00:00Z")
        };
        let due = |now: &str, next_pass_in: TimeDelta| {
            let reckoning = Reckoning {
                policy: &policy,
                view: &ViewName::default(),
                memory: &memory,
                is_populated: true,
                after: None,
                others: None,
                next_pass_in,
            };
            matches!(reckoning.due(at(now)), Due::Now { .. })
        };
        let minute = TimeDelta::minutes(1);
        assert!(!due("2026-11-22T00:14:00Z", TimeDelta::zero()) && due("2026-11-22T00:14:00Z", minute));
        assert!(!due("2026-11-22T00:13:30Z", minute));
        assert!(
            !due("2026-11-22T00:05:00Z", TimeDelta::days(1)),
            "whoever comes once a day keeps no such promise"
        );
    }

    #[test]
    fn a_promise_counts_the_age_of_the_views_that_it_was_made_from() {
        let policy = Refresh {
            max_age: Some(Period::minutes(15)),
            ..Refresh::default()
        };
        let memory = ViewMemory {
            fresh_as_of: Some(at("2026-11-22T00:10:00Z")),
            made_from: Some(at("2026-11-22T00:00:00Z")),
            ..seen("2026-11-22T00:00:00Z")
        };
        assert_eq!(memory.data_as_of(), memory.made_from);
        let due = |others: &str| {
            let reckoning = Reckoning {
                policy: &policy,
                view: &ViewName::default(),
                memory: &memory,
                is_populated: true,
                after: None,
                others: Some(at(others)),
                next_pass_in: TimeDelta::zero(),
            };
            matches!(reckoning.due(at("2026-11-22T00:16:00Z")), Due::Now { .. })
        };
        assert!(!due("2026-11-22T00:00:00Z"), "nothing younger is there to be had");
        assert!(
            due("2026-11-22T00:12:00Z"),
            "its rows are 16 min old, and need not be"
        );
    }

    #[test]
    fn moments_are_the_same_for_everybody_and_jitter_belongs_to_the_view() {
        let policy = Refresh {
            every: Some(Period::minutes(10)),
            jitter: Period::minutes(5),
            ..Refresh::default()
        };
        let names: Vec<ViewName> = (0..50)
            .map(|number| ViewName {
                name: format!("v{number}"),
                ..ViewName::default()
            })
            .collect();
        let memory = ViewMemory::default();
        let mut starts = std::collections::BTreeSet::new();
        for view in &names {
            let reckoning = Reckoning {
                policy: &policy,
                view,
                memory: &memory,
                is_populated: true,
                after: None,
                others: None,
                next_pass_in: TimeDelta::zero(),
            };
            let handled = ViewMemory {
                handled_until: Some(at("2026-11-22T00:09:00Z")),
                ..memory.clone()
            };
            let reckoning = Reckoning {
                memory: &handled,
                ..reckoning
            };
            let Due::Later { at: start, .. } = reckoning.due(at("2026-11-22T00:09:59Z")) else {
                panic!("due")
            };
            assert!(start >= at("2026-11-22T00:10:00Z") && start < at("2026-11-22T00:15:00Z"));
            let Due::Now { moment, .. } = reckoning.due(start) else {
                panic!("not due")
            };
            assert_eq!(moment, at("2026-11-22T00:10:00Z"));
            starts.insert(start);
        }
        assert!(starts.len() > 40, "they do not all start at once");
    }

    #[test]
    fn nothing_starts_in_forbidden_hours_and_it_is_made_up_for_afterwards() {
        let policy = Refresh {
            every: Some(Period::minutes(60)),
            not_between: vec!["08:00-18:00".parse().unwrap()],
            missed: Missed::Skip,
            ..Refresh::default()
        };
        let memory = ViewMemory {
            handled_until: Some(at("2026-11-22T07:00:00Z")),
            ..seen("2026-11-01T00:00:00Z")
        };
        let Due::Later { at: end, held } = due(&policy, &memory, "2026-11-22T08:00:10Z") else {
            panic!("not held")
        };
        assert_eq!(end, at("2026-11-22T18:00:00Z"));
        assert!(held.unwrap().contains("08:00-18:00"));
        assert!(matches!(
            due(&policy, &memory, "2026-11-22T18:00:00Z"),
            Due::Now { .. }
        ));
    }

    #[test]
    fn what_holds_nothing_is_filled_at_once_and_what_waits_for_others_is_not_missed() {
        let policy = Refresh {
            cron: Some("0 1 * * *".parse().unwrap()),
            missed: Missed::Skip,
            ..Refresh::default()
        };
        let view = ViewName::default();
        let mut memory = ViewMemory {
            handled_until: Some(at("2026-11-22T01:00:00Z")),
            ..seen("2026-11-01T00:00:00Z")
        };
        let empty = Reckoning {
            policy: &policy,
            view: &view,
            memory: &memory,
            is_populated: false,
            after: None,
            others: None,
            next_pass_in: TimeDelta::zero(),
        };
        let Due::Now { moment, .. } = empty.due(at("2026-11-22T09:00:00.5Z")) else {
            panic!("nobody can read it")
        };
        assert_eq!(moment, at("2026-11-22T09:00:00Z"));
        memory.handled_until = Some(at("2026-11-21T01:00:00Z"));
        memory.busy_looks = 1;
        let waited = due(&policy, &memory, "2026-11-22T01:05:00Z");
        assert!(matches!(waited, Due::Now { .. }), "{waited:?}");
    }

    #[test]
    fn after_another_means_after_its_end() {
        let policy = Refresh {
            after: Some("r.base".into()),
            ..Refresh::default()
        };
        let view = ViewName::default();
        let is_due = |own: &str, base_ended: &str| {
            let memory = ViewMemory {
                fresh_as_of: Some(at(own)),
                ..seen("2026-11-01T00:00:00Z")
            };
            let reckoning = Reckoning {
                policy: &policy,
                view: &view,
                memory: &memory,
                is_populated: true,
                after: Some(at(base_ended)),
                others: None,
                next_pass_in: TimeDelta::zero(),
            };
            matches!(reckoning.due(at("2026-11-22T02:00:00Z")), Due::Now { .. })
        };
        assert!(
            is_due("2026-11-22T01:05:00Z", "2026-11-22T01:10:00Z"),
            "it was read before that was done"
        );
        assert!(!is_due("2026-11-22T01:10:00Z", "2026-11-22T01:10:00Z"));
    }

    #[test]
    fn tries_come_later_and_later_and_end() {
        let policy = Refresh {
            retries: 3,
            ..Refresh::default()
        };
        let now = at("2026-11-22T00:00:00Z");
        let waits: Vec<Option<i64>> = (1..=4)
            .map(|failures| retry_at(&policy, failures, now).map(|at| (at - now).num_seconds()))
            .collect();
        assert_eq!(waits, [Some(10), Some(20), Some(40), None]);
        let waiting = ViewMemory {
            failures: 1,
            retry_at: Some(now + TimeDelta::seconds(10)),
            ..ViewMemory::default()
        };
        let policy = Refresh {
            every: Some(Period::minutes(60)),
            ..policy
        };
        let held = due(&policy, &waiting, "2026-11-22T00:00:05Z");
        assert!(matches!(held, Due::Later { held: Some(_), .. }), "{held:?}");
        assert!(matches!(
            due(&policy, &waiting, "2026-11-22T00:00:10Z"),
            Due::Now { .. }
        ));
    }
}
