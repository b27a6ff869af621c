//! What a pass leaves behind for the next one.

use chrono::{DateTime, TimeDelta, Utc};

use super::due::retry_at;
use super::execute::{Done, Effect};
use super::plan::Step;
use super::read::Look;
use crate::model::refresh::{Mode, Outcome, ViewMemory};

/// Where another refresher was at it, it is looked at again after this.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);
/// A plain refresh that did not end in its time would have taken this much longer, at least.
const LONGER: f64 = 1.5;
/// A promise that could not be kept is tried again, however often it failed.
const TRY_AGAIN: TimeDelta = TimeDelta::hours(1);

/// Takes in what the table of runs says of a view: when others refreshed it.
pub fn take_in_record(memory: &mut ViewMemory, look: &Look, schema: &str, name: &str) {
    let Some((due_at, started_at)) = look.record.last.get(&(schema.to_owned(), name.to_owned())) else {
        return;
    };
    memory.handled_until = memory.handled_until.max(Some(*due_at));
    if memory.refreshed_at.is_none_or(|known| known < *started_at) {
        memory.refreshed_at = Some(*started_at);
        memory.refreshed_by_others = true;
        memory.inputs = None;
        memory.failures = 0;
        memory.retry_at = None;
    }
    memory.fresh_as_of = memory.fresh_as_of.max(Some(*started_at));
}

/// Takes in what became of a step. `now` is the server's clock.
pub fn remember(memory: &mut ViewMemory, step: &Step, done: &Done, now: DateTime<Utc>) {
    match &done.effect {
        Effect::None => {}
        Effect::Handled => handled(memory, step),
        Effect::StillFresh => {
            memory.fresh_as_of = memory.fresh_as_of.max(Some(step.planned_at));
            handled(memory, step);
        }
        Effect::Refreshed(after) => {
            let started_at = done.run.started_at.unwrap_or(step.planned_at);
            memory.oid = step.oid;
            memory.state = after.state.clone();
            memory.scans = after.scans;
            memory.looked_at = Some(now);
            memory.fresh_as_of = Some(started_at);
            memory.refreshed_at = Some(started_at);
            memory.refreshed_by_others = false;
            memory.inputs.clone_from(&after.inputs);
            memory.size_bytes = done.run.size_bytes.or(memory.size_bytes);
            if let Some(mode) = done.run.mode {
                memory.learn(mode, after.work_seconds);
            }
            handled(memory, step);
        }
    }
    match done.run.outcome {
        Outcome::AlreadyRunning => memory.retry_at = Some(now + LOOK_AGAIN),
        Outcome::Failed | Outcome::BlockedByFailure => failed(memory, step, done, now),
        _ => {}
    }
}

fn handled(memory: &mut ViewMemory, step: &Step) {
    memory.handled_until = memory.handled_until.max(step.moment);
    memory.failures = 0;
    memory.retry_at = None;
}

fn failed(memory: &mut ViewMemory, step: &Step, done: &Done, now: DateTime<Utc>) {
    let limit = step.policy.plain_limit.as_seconds();
    let is_too_slow = done.run.sqlstate.as_deref() == Some("57014") && done.run.mode == Some(Mode::Plain);
    if is_too_slow && done.run.elapsed_seconds.is_some_and(|seconds| seconds >= limit) {
        memory.learn(Mode::Plain, limit * LONGER);
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
            Some(_) => memory.retry_at = Some(now + TRY_AGAIN),
            None => memory.handled_until = memory.handled_until.max(step.moment),
        }
    }
}
