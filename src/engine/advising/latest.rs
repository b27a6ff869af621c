//! What is known of one database, and when the planner is worth asking again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Earlier;
use super::waiting::clock;
use crate::limits;
use crate::model::advice::{Advised, Rehearsal, Stopped};
use crate::model::observation::Unknown;
use crate::model::unit::seconds_for_people;

/// What came of asking about one database.
pub(super) struct Latest {
    /// When that was tried last.
    pub(super) at: Instant,
    /// The indexes that there were.
    pub(super) indexes: u64,
    /// Seconds of the server that the last run could take.
    pub(super) could_take_seconds: f64,
    /// What the last run took that was not stopped, if there was one.
    pub(super) whole_seconds: Option<f64>,
    pub(super) earlier: Earlier,
    /// What came of the last run.
    pub(super) tried: Result<Arc<Advised>, Unknown>,
    /// What is told: of a run before, where the last one was stopped and that one was not.
    pub(super) advice: Result<Arc<Advised>, Unknown>,
    /// When that was worked out.
    pub(super) advised_at: Instant,
    /// The last that did not fail: what plans take is not another thing because one run failed.
    pub(super) last: Option<Arc<Advised>>,
    /// When that was worked out.
    last_at: Instant,
    /// How many of the last runs in a row could not even be begun.
    refusals: u32,
    /// Since when each run ended by the same error, by the server's clock.
    error_since: Option<DateTime<Utc>>,
    /// Since when every run that did not fail was stopped before all was rehearsed, by the server's clock.
    pub(super) unfinished_since: Option<DateTime<Utc>>,
}

/// One run that ended.
pub(super) struct Ended {
    pub(super) at: Instant,
    pub(super) indexes: u64,
    pub(super) could_take_seconds: f64,
    pub(super) took_seconds: f64,
    pub(super) earlier: Earlier,
    /// When it began, by the server's clock, where an error ended it.
    pub(super) error_at: Option<DateTime<Utc>>,
    pub(super) advice: Result<Advised, Unknown>,
}

impl Latest {
    /// After a run, where this was known before; what is older than that is not kept.
    pub(super) fn after(ended: Ended, before: Option<Self>, oldest: Duration) -> Self {
        let age = |before: &Self| ended.at.saturating_duration_since(before.last_at);
        let known = before.as_ref().filter(|before| age(before) <= oldest);
        let known = known.and_then(|before| Some((before.last.clone()?, before.last_at)));
        let was_stopped = |advised: &Advised| advised.report.workload.was_stopped;
        let mut unfinished_since = before.as_ref().and_then(|before| before.unfinished_since);
        let tried = ended.advice.map(|mut advised| {
            if let Some((known, _)) = &known {
                take_what_was_left_out(&mut advised, known);
            }
            let is_unfinished = was_stopped(&advised) || leaves_drops_out(&advised);
            unfinished_since = is_unfinished.then(|| unfinished_since.unwrap_or(advised.at));
            advised.unfinished_since = unfinished_since;
            Arc::new(advised)
        });
        let why = tried.as_ref().err();
        // as no session was to be had, or none with HypoPG
        let is_refused = why.is_some() && ended.took_seconds < limits::ADVICE_LEAST_SECONDS;
        let refused_before = before.as_ref().map_or(0, |before| before.refusals);
        let refusals = match is_refused {
            true => refused_before + 1,
            false => 0,
        };
        let same_before = before
            .as_ref()
            .filter(|before| before.tried.as_ref().err() == why);
        let same_since = same_before.and_then(|before| before.error_since);
        let error_since = ended.error_at.map(|at| same_since.unwrap_or(at));
        let took_seconds = Some(ended.took_seconds);
        let whole_before = before.as_ref().and_then(|before| before.whole_seconds);
        let whole_seconds = match &tried {
            Ok(advised) if was_stopped(advised) => whole_before,
            Ok(_) => took_seconds,
            Err(_) if is_refused => whole_before,
            Err(_) => whole_before.or(took_seconds),
        };
        let (advice, advised_at) = match (&tried, known) {
            (Ok(advised), Some((known, at))) if was_stopped(advised) && !was_stopped(&known) => {
                (Ok(known), at)
            }
            _ => (tried.clone(), ended.at),
        };
        let last_at = match (&advice, &before) {
            (Err(_), Some(before)) => before.last_at,
            _ => advised_at,
        };
        Self {
            at: ended.at,
            indexes: ended.indexes,
            could_take_seconds: ended.could_take_seconds,
            whole_seconds,
            earlier: ended.earlier,
            last: advice
                .as_ref()
                .ok()
                .cloned()
                .or(before.and_then(|before| before.last)),
            tried,
            advice,
            advised_at,
            last_at,
            refusals,
            error_since,
            unfinished_since,
        }
    }

    /// What is told: an error, which may be over by now, with since when it is known and what becomes of it; `waits` is what the
    /// next run waits for, if it does.
    pub(super) fn told(&self, every: Duration, waits: &str) -> Result<Arc<Advised>, Unknown> {
        let advice = self.advice.clone();
        let Some(since) = self.error_since else {
            return advice;
        };
        let again = match waits.is_empty() {
            true => {
                let within = every.min(limits::ADVICE_RETRY_AFTER);
                format!(
                    "tried again every {} or sooner",
                    seconds_for_people(within.as_secs_f64())
                )
            }
            false => format!("to be tried again{waits}"),
        };
        advice.map_err(|unknown| Unknown {
            reason: format!(
                "{} (since {}; {again})",
                unknown.reason.trim_end().trim_end_matches('.'),
                clock(since)
            ),
            ..unknown
        })
    }

    /// After which time of the last run the next one is due.
    pub(super) fn again_after(
        &self,
        every: Duration,
        window_is_full: bool,
        may_take_seconds: f64,
    ) -> Duration {
        match &self.tried {
            Ok(advised) if advised.still_filling.is_some() && window_is_full => Duration::ZERO,
            Ok(advised) if goes_on(advised) => {
                goes_on_after(self.could_take_seconds, may_take_seconds).min(every)
            }
            Ok(_) => every,
            Err(_) => every.min(retry_after(self.refusals)),
        }
    }
}

/// Seconds of the server that must be free before a database is asked about: what a whole run took, or twice of what was not
/// enough, and no more than its share of what an hour leaves for advice. A database alone has half of that as its share.
pub(super) fn enough_seconds(
    latest: Option<&Latest>,
    hour_seconds: f64,
    databases: usize,
    oldest: Duration,
) -> f64 {
    let share = hour_seconds / databases.max(2) as f64;
    let wanted = match latest {
        // whatever there is
        Some(latest) if latest.refusals > 0 || latest.advised_at.elapsed() > oldest => 0.0,
        Some(latest) => latest.whole_seconds.unwrap_or(2.0 * latest.could_take_seconds),
        None => share,
    };
    wanted.min(share).max(limits::ADVICE_LEAST_SECONDS)
}

/// After which time a run that failed is tried again: soon where so many of the last could not even be begun, for that costs
/// next to nothing; each time later, since every one of them is a line in the server's log.
fn retry_after(refusals: u32) -> Duration {
    let Some(further) = refusals.checked_sub(1) else {
        return limits::ADVICE_RETRY_AFTER;
    };
    let after = limits::ADVICE_FIRST_RETRY_AFTER.saturating_mul(2_u32.saturating_pow(further));
    after.min(limits::ADVICE_RETRY_AFTER)
}

/// Whether more of the server would have told more.
fn goes_on(advised: &Advised) -> bool {
    advised.report.workload.stopped == Some(Stopped::Budget) || leaves_drops_out(advised)
}

/// Whether a run ended before it came to some drops.
fn leaves_drops_out(advised: &Advised) -> bool {
    let is_left_out = |rehearsal: &Rehearsal| matches!(rehearsal, Rehearsal::LeftOut);
    advised.rehearsals.values().any(is_left_out)
}

/// What was not rehearsed this time is what it was.
fn take_what_was_left_out(advised: &mut Advised, before: &Advised) {
    for (oid, rehearsal) in &mut advised.rehearsals {
        if let (Rehearsal::LeftOut, Some(known)) = (&*rehearsal, before.rehearsals.get(oid)) {
            *rehearsal = known.clone();
        }
    }
}

/// After which time advice that used up what it could take is worked out again: at once where it may take twice as much now,
/// else when what it took is not of the last hour any more.
fn goes_on_after(could_take_seconds: f64, may_take_seconds: f64) -> Duration {
    match may_take_seconds >= 2.0 * could_take_seconds {
        true => Duration::ZERO,
        false => limits::BUDGET_WINDOW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{advised, advised_statement};

    const OLDEST: Duration = Duration::from_secs(3 * 3600);

    fn needed() -> Rehearsal {
        Rehearsal::Needed {
            statement_id: "s1".to_owned(),
            cost_with: 1.0,
            cost_without: 2.0,
        }
    }

    fn ended(at: Instant, stopped: Option<Stopped>, took_seconds: f64, rehearsal: Rehearsal) -> Ended {
        let mut advised = advised(&[], vec![advised_statement("s1", &[], Some(1.0))]);
        advised.report.workload.stopped = stopped;
        advised.report.workload.was_stopped = stopped.is_some();
        advised.rehearsals.insert(8, rehearsal);
        Ended {
            at,
            indexes: 0,
            could_take_seconds: took_seconds,
            took_seconds,
            earlier: Earlier::new(),
            error_at: None,
            advice: Ok(advised),
        }
    }

    /// A run that could not be begun so many minutes after another time.
    fn refused(begin: Instant, minutes: u32, why: &str) -> Ended {
        let error_at = DateTime::from_timestamp(1_780_000_200 + 60 * i64::from(minutes), 0);
        let after = Duration::from_secs(60) * minutes;
        Ended {
            error_at,
            advice: Err(Unknown::because(why)),
            ..ended(begin + after, None, 0.0, needed())
        }
    }

    #[test]
    fn what_could_not_be_begun_is_tried_again_soon_then_later_whatever_a_whole_run_takes() {
        let begin = Instant::now();
        let mut latest = Latest::after(ended(begin, None, 9.0, needed()), None, OLDEST);
        let mut pauses = Vec::new();
        for minutes in 1..6 {
            latest = Latest::after(refused(begin, minutes, "no session."), Some(latest), OLDEST);
            pauses.push(latest.again_after(OLDEST, true, 9.0).as_secs());
        }
        assert_eq!(pauses, [120, 240, 480, 600, 600]);
        let soon = Duration::from_secs(60);
        assert_eq!(
            latest.again_after(soon, true, 9.0),
            soon,
            "advise_every is the bound"
        );
        let enough = enough_seconds(Some(&latest), 18.0, 1, OLDEST);
        assert_eq!(
            enough,
            limits::ADVICE_LEAST_SECONDS,
            "nothing of a whole run was taken"
        );
        assert_eq!(latest.whole_seconds, Some(9.0));
        let mut costly = refused(begin, 7, "the connection was lost");
        costly.took_seconds = 5.0;
        let costly = Latest::after(costly, Some(latest), OLDEST);
        assert_eq!(costly.again_after(OLDEST, true, 9.0), limits::ADVICE_RETRY_AFTER);
        assert_eq!(enough_seconds(Some(&costly), 18.0, 1, OLDEST), 9.0);
    }

    #[test]
    fn an_error_is_told_with_since_when_it_is_known_and_without_a_second_full_stop() {
        let begin = Instant::now();
        let reason = |latest: &Latest, waits: &str| latest.told(OLDEST, waits).unwrap_err().reason;
        let first = Latest::after(refused(begin, 0, "it refused."), None, OLDEST);
        let since = clock(DateTime::from_timestamp(1_780_000_200, 0).unwrap());
        let told = format!("it refused (since {since}; tried again every 10 min or sooner)");
        assert_eq!(reason(&first, ""), told);
        let second = Latest::after(refused(begin, 5, "it refused."), Some(first), OLDEST);
        assert_eq!(reason(&second, ""), told, "findings are not written anew for it");
        let waits = reason(&second, ": since then that waits for the budget");
        assert!(
            waits.ends_with("; to be tried again: since then that waits for the budget)"),
            "{waits}"
        );
        let other = Latest::after(refused(begin, 6, "it is gone"), Some(second), OLDEST);
        assert!(!reason(&other, "").contains(&since), "another error");
        let mut lacks = refused(begin, 7, "HypoPG is not installed");
        lacks.error_at = None;
        let lacks = Latest::after(lacks, Some(other), OLDEST);
        assert_eq!(reason(&lacks, ""), "HypoPG is not installed");
    }

    #[test]
    fn advice_is_as_old_as_it_is_however_often_the_next_fails() {
        let begin = Instant::now();
        let whole = Latest::after(ended(begin, None, 9.0, needed()), None, OLDEST);
        let failed = Latest::after(refused(begin, 170, "no session"), Some(whole), OLDEST);
        let later = begin + OLDEST + Duration::from_secs(3600);
        let stub = ended(later, Some(Stopped::Budget), 1.0, Rehearsal::LeftOut);
        let after = Latest::after(stub, Some(failed), OLDEST);
        assert!(
            after.advice.unwrap().report.workload.was_stopped,
            "what is that old is not told again"
        );
    }

    #[test]
    fn a_run_that_was_stopped_does_not_replace_a_whole_one_but_was_tried() {
        let begin = Instant::now();
        let later = begin + OLDEST / 2;
        let whole = || Latest::after(ended(begin, None, 9.0, needed()), None, OLDEST);
        let stub = |at| ended(at, Some(Stopped::Budget), 1.0, Rehearsal::LeftOut);
        let told = |latest: &Latest| latest.advice.as_ref().unwrap().report.workload.was_stopped;
        let after = Latest::after(stub(later), Some(whole()), OLDEST);
        assert!(!told(&after) && !after.last.as_ref().unwrap().report.workload.was_stopped);
        assert_eq!((after.at, after.advised_at), (later, begin));
        assert_eq!(after.whole_seconds, Some(9.0), "what a whole one took");
        let again = after.again_after(OLDEST, true, 1.5);
        assert_eq!(again, limits::BUDGET_WINDOW, "it goes on as one that was stopped");
        let old = Latest::after(stub(begin + 2 * OLDEST), Some(whole()), OLDEST);
        assert!(told(&old), "what is that old is not kept");
        let next = Latest::after(ended(later, None, 8.0, needed()), Some(after), OLDEST);
        assert_eq!((next.advised_at, next.whole_seconds), (later, Some(8.0)));
    }

    #[test]
    fn a_drop_that_was_left_out_is_what_it_was() {
        let begin = Instant::now();
        let first = Latest::after(ended(begin, None, 9.0, needed()), None, OLDEST);
        let left_out = ended(begin, None, 5.0, Rehearsal::LeftOut);
        let after = Latest::after(left_out, Some(first), OLDEST);
        assert_eq!(after.advice.unwrap().rehearsals[&8], needed());
    }

    #[test]
    fn it_is_known_since_when_no_run_came_to_its_end() {
        let run = |hours: i64, stopped, before: Option<Latest>| {
            let begin = Instant::now();
            let mut run = ended(begin, stopped, 1.0, needed());
            if let Ok(advised) = &mut run.advice {
                advised.at += chrono::TimeDelta::hours(hours);
            }
            Latest::after(run, before, Duration::ZERO)
        };
        let at = |latest: &Latest| latest.tried.as_ref().unwrap().at;
        let first = run(0, Some(Stopped::Budget), None);
        let since = Some(at(&first));
        assert_eq!(first.unfinished_since, since);
        let mut failed = ended(Instant::now(), None, 1.0, needed());
        failed.advice = Err(Unknown::because("no session"));
        let failed = Latest::after(failed, Some(first), OLDEST);
        assert_eq!(failed.unfinished_since, since, "one that failed tells nothing");
        let second = run(30, Some(Stopped::Time), Some(failed));
        assert_eq!(second.tried.as_ref().unwrap().unfinished_since, since);
        let whole = run(31, None, Some(second));
        assert_eq!(whole.unfinished_since, None);
    }

    #[test]
    fn a_run_begins_when_there_is_enough_for_it() {
        let now = Instant::now();
        let whole = Latest::after(ended(now, None, 5.0, needed()), None, OLDEST);
        let of = |latest, hour_seconds, databases| enough_seconds(latest, hour_seconds, databases, OLDEST);
        assert_eq!(of(Some(&whole), 18.0, 1), 5.0);
        assert_eq!(of(Some(&whole), 18.0, 6), 3.0, "its share");
        assert_eq!(of(Some(&whole), 18.0, 60), limits::ADVICE_LEAST_SECONDS);
        let stub = ended(now, Some(Stopped::Budget), 2.0, Rehearsal::LeftOut);
        let stub = Latest::after(stub, None, OLDEST);
        assert_eq!(of(Some(&stub), 18.0, 1), 4.0, "twice of what was not enough");
        assert_eq!(of(None, 18.0, 1), 9.0);
        let old = enough_seconds(Some(&whole), 18.0, 1, Duration::ZERO);
        assert_eq!(old, limits::ADVICE_LEAST_SECONDS);
    }

    #[test]
    fn what_used_up_its_allowance_goes_on_with_twice_as_much_or_an_hour_later() {
        assert_eq!(goes_on_after(3.0, 6.5), Duration::ZERO);
        assert_eq!(goes_on_after(3.0, 5.5), limits::BUDGET_WINDOW);
        assert_eq!(goes_on_after(3.0, 0.0), limits::BUDGET_WINDOW);
    }
}
