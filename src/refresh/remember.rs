//! What a pass leaves behind for the next one.

use chrono::{DateTime, TimeDelta, Utc};

use super::due::retry_at;
use super::execute::{Done, Effect};
use super::plan::Step;
use super::read::Look;
use crate::limits;
use crate::model::refresh::{MaterializedView, Mode, Outcome, Run, ViewMemory};

/// Where another refresher was at it, it is looked at again after this.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);
/// And later and later, up to this.
const LOOK_AGAIN_AT_LAST: TimeDelta = TimeDelta::seconds(30);
/// A plain refresh that did not end in its time would have taken this much longer, at least.
const LONGER: f64 = 1.5;
/// A promise that could not be kept is tried again after no more than this, however often it failed.
const TRY_AGAIN: TimeDelta = TimeDelta::hours(1);

/// Takes in what the table of runs says of a view: when others refreshed it. Before the look itself is taken in.
pub fn take_in_record(memory: &mut ViewMemory, look: &Look, view: &MaterializedView) {
    // one of that name that holds nothing is another one
    if !view.is_populated {
        return;
    }
    let key = (view.name.schema.clone(), view.name.name.clone());
    let Some((due_at, started_at)) = look.record.last.get(&key) else {
        return;
    };
    memory.handled_until = memory.handled_until.max(Some(*due_at));
    if memory.refreshed_at.is_none_or(|known| known < *started_at) {
        memory.refreshed_at = Some(*started_at);
        memory.refreshed_until = Some(look.now);
        memory.refreshed_by_others = true;
        memory.made_from = None;
        // what it read is no older than the last look before it
        let is_after_look = memory.quiet_at.is_some_and(|quiet| quiet <= *started_at);
        memory.inputs = memory.quiet_inputs.clone().filter(|_| is_after_look);
        memory.failures = 0;
        memory.retry_at = None;
    }
    memory.fresh_as_of = memory.fresh_as_of.max(Some(*started_at));
}

/// Takes in that one of us refreshed the view, and ended before it could say so. After the look that showed it.
pub fn take_in_settled(memory: &mut ViewMemory, view: &MaterializedView, run: &Run, now: DateTime<Utc>) {
    // it was not gone, and has said it itself
    if memory.looked_at.is_some_and(|looked_at| looked_at > now) {
        return;
    }
    memory.state = view.state.clone();
    memory.moved_at = None;
    memory.handled_until = memory.handled_until.max(run.due_at);
    memory.fresh_as_of = memory.fresh_as_of.max(run.started_at);
    memory.made_from = None;
    memory.refreshed_by_others = false;
    memory.failures = 0;
    memory.retry_at = None;
}

/// Takes in what became of a step. `now` is the server's clock; `others` is of when the oldest view is that it reads.
pub fn remember(
    memory: &mut ViewMemory,
    step: &Step,
    done: &Done,
    now: DateTime<Utc>,
    others: Option<DateTime<Utc>>,
) {
    if matches!(done.effect, Effect::StillFresh | Effect::Refreshed(_)) {
        memory.made_from = others;
    }
    match &done.effect {
        Effect::None => {}
        Effect::Handled => {
            handled(memory, step);
            // the next look tells of when its rows are
            memory.retry_at = step.policy.max_age.map(|_| now + LOOK_AGAIN);
        }
        Effect::LookAgain(at) => memory.retry_at = Some(*at),
        Effect::StillFresh => {
            let promise = step.policy.max_age.map(|age| age.as_delta() / 4);
            let lag = TimeDelta::seconds(limits::STATISTICS_LAG.as_secs() as i64);
            let lag = promise.map_or(lag, |promise| promise.min(lag));
            memory.fresh_as_of = memory.fresh_as_of.max(Some(step.planned_at - lag));
            handled(memory, step);
            // what was written lately is counted by then
            let pause = promise.map(|promise| promise.max(LOOK_AGAIN));
            memory.retry_at = pause.map(|pause| step.planned_at + pause);
        }
        Effect::Refreshed(after) => {
            let started_at = done.run.started_at.unwrap_or(step.planned_at);
            memory.oid = step.oid;
            memory.state = after.state.clone();
            memory.scans = after.scans;
            memory.looked_at = Some(now);
            memory.quiet_at = Some(now);
            memory.quiet_inputs.clone_from(&after.inputs);
            memory.fresh_as_of = Some(started_at);
            memory.refreshed_at = Some(started_at);
            memory.refreshed_until = Some(done.run.ended_at);
            memory.refreshed_by_others = false;
            memory.inputs.clone_from(&after.inputs);
            memory.size_bytes = done.run.size_bytes.or(memory.size_bytes);
            if let Some(mode) = done.run.mode {
                match after.counted {
                    Some(counted) => _ = memory.counted.insert(mode, counted),
                    None => _ = memory.counted.remove(&mode),
                }
                memory.learn(mode, after.work_seconds);
            }
            memory.too_slow_at = None;
            handled(memory, step);
        }
    }
    if done.readers_came {
        memory.read_at = Some(now);
    }
    match done.run.outcome {
        Outcome::AlreadyRunning => {
            let wait = LOOK_AGAIN * (1 << memory.busy_looks.min(5));
            memory.retry_at = Some(now + wait.min(LOOK_AGAIN_AT_LAST));
            memory.busy_looks += 1;
        }
        Outcome::Failed | Outcome::BlockedByFailure => failed(memory, step, done, now),
        _ => {}
    }
}

fn handled(memory: &mut ViewMemory, step: &Step) {
    memory.handled_until = memory.handled_until.max(step.moment);
    memory.failures = 0;
    memory.busy_looks = 0;
    memory.retry_at = None;
}

fn failed(memory: &mut ViewMemory, step: &Step, done: &Done, now: DateTime<Utc>) {
    if done.was_too_slow {
        memory.learn(Mode::Plain, step.policy.plain_limit.as_seconds() * LONGER);
        memory.too_slow_at = Some(now);
    }
    // nobody waits for what a person asked for
    if step.moment.is_none() {
        return;
    }
    memory.failures += 1;
    memory.retry_at = retry_at(&step.policy, memory.failures, now);
    if memory.retry_at.is_none() {
        memory.failures = 0;
        match step.policy.max_age {
            None if !step.seen.is_populated => memory.retry_at = Some(now + TRY_AGAIN),
            Some(promise) => memory.retry_at = Some(now + TRY_AGAIN.min(promise.as_delta())),
            None => memory.handled_until = memory.handled_until.max(step.moment),
        }
    }
}
