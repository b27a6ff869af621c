//! Runs the steps of a plan: each after those that it depends on, some at the same time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::Utc;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::execute::{Done, Effect, execute};
use super::plan::{OTHERS_ARE_NOT, Step, Todo};
use crate::model::refresh::{Outcome, ViewName};
use crate::postgres::Server;

/// When a pass is to end before its end.
#[derive(Clone, Default)]
pub struct Stop {
    /// Nothing more is started.
    pub no_more: CancellationToken,
    /// What runs is cancelled.
    pub cancel: CancellationToken,
}

/// What a pass tells while it runs.
pub enum Event<'a> {
    /// A view is being refreshed.
    Started(&'a Step),
    /// A step is over.
    Ended(&'a Step, &'a Done),
}

/// Runs all steps, which come dependencies first; at once as many as there are permits. Everything is told as it happens.
pub async fn run(
    server: &Server,
    steps: Vec<Step>,
    permits: &Semaphore,
    stop: &Stop,
    tell: &(dyn Fn(Event<'_>) + Sync),
) {
    let mut waiting: VecDeque<Step> = steps.into();
    let mut outcomes: BTreeMap<ViewName, Outcome> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    let mut under_way: BTreeSet<ViewName> = BTreeSet::new();
    loop {
        let mut later: VecDeque<Step> = VecDeque::new();
        while let Some(step) = waiting.pop_front() {
            let is_to_come =
                |other: &ViewName| under_way.contains(other) || later.iter().any(|step| step.view == *other);
            if step.depends_on.iter().any(is_to_come) {
                later.push_back(step);
                continue;
            }
            match without_running(&step, &outcomes, stop) {
                Some(done) => {
                    outcomes.insert(step.view.clone(), done.run.outcome);
                    tell(Event::Ended(&step, &done));
                }
                None => {
                    under_way.insert(step.view.clone());
                    running.push(one(server, step, permits, stop, tell));
                }
            }
        }
        waiting = later;
        let Some((step, done)) = running.next().await else {
            return;
        };
        under_way.remove(&step.view);
        outcomes.insert(step.view.clone(), done.run.outcome);
        tell(Event::Ended(&step, &done));
    }
}

/// One step, when there is a permit for it.
async fn one(
    server: &Server,
    step: Step,
    permits: &Semaphore,
    stop: &Stop,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> (Step, Done) {
    let permit = tokio::select! {
        permit = permits.acquire() => permit.ok(),
        () = stop.no_more.cancelled() => None,
    };
    let Some(_permit) = permit.filter(|_| !stop.no_more.is_cancelled()) else {
        let done = Done::nothing(&step, Outcome::Cancelled, TOLD_TO_STOP);
        return (step, done);
    };
    if let Some(done) = out_of_hours(&step) {
        return (step, done);
    }
    let done = execute(server, &step, &stop.cancel, &|| tell(Event::Started(&step))).await;
    (step, done)
}

const TOLD_TO_STOP: &str = "the advisor was told to stop before it began";

/// What becomes of a step of which nothing is run.
fn without_running(step: &Step, outcomes: &BTreeMap<ViewName, Outcome>, stop: &Stop) -> Option<Done> {
    let nothing = |outcome, reason: String| Some(Done::nothing(step, outcome, reason));
    let with = |effect, reason: String| Some(Done::with(step, Outcome::Skipped, reason, effect));
    let failed = step
        .depends_on
        .iter()
        .find(|other| outcomes.get(*other).is_some_and(|outcome| outcome.is_failure()));
    match (&step.todo, failed) {
        (Todo::Refuse { sqlstate }, _) => {
            let mut done = Done::nothing(step, Outcome::Failed, step.reason.clone());
            done.run.sqlstate = sqlstate.map(str::to_owned);
            Some(done)
        }
        (Todo::Refresh { .. }, Some(failed)) => {
            let why = format!("{}, which it reads, could not be refreshed", failed.in_database());
            nothing(Outcome::BlockedByFailure, why)
        }
        (Todo::Refresh { .. }, None) if stop.no_more.is_cancelled() => {
            nothing(Outcome::Cancelled, TOLD_TO_STOP.to_owned())
        }
        // whoever is at it may not be done yet: what reads it waits, too
        (Todo::Refresh { .. }, None) if has_busy_dependency(step, outcomes) => nothing(
            Outcome::AlreadyRunning,
            "another refresher is at a view that it reads".to_owned(),
        ),
        (Todo::Refresh { if_others_are, .. }, None) => {
            let is_refreshed = |other: &ViewName| outcomes.get(other) == Some(&Outcome::Refreshed);
            match *if_others_are && !step.depends_on.iter().any(is_refreshed) {
                true => with(Effect::StillFresh, OTHERS_ARE_NOT.to_owned()),
                false => None,
            }
        }
        (Todo::Unchanged, _) => with(Effect::StillFresh, step.reason.clone()),
        (Todo::Taken | Todo::Miss, _) => with(Effect::Handled, step.reason.clone()),
        (Todo::LookAgain(at), _) => with(Effect::LookAgain(*at), step.reason.clone()),
    }
}

fn has_busy_dependency(step: &Step, outcomes: &BTreeMap<ViewName, Outcome>) -> bool {
    let is_busy = |other: &ViewName| outcomes.get(other) == Some(&Outcome::AlreadyRunning);
    step.depends_on.iter().any(is_busy)
}

/// A step that waited for its turn may have come into hours that are not its own.
fn out_of_hours(step: &Step) -> Option<Done> {
    // somebody who asked for it wants it now
    step.moment?;
    let (now, zone) = (Utc::now() + step.ahead, step.policy.time_zone);
    let hours = step
        .policy
        .not_between
        .iter()
        .find(|hours| hours.contains(now, zone))?;
    let why = format!(
        "{}; nothing is started within {hours}, which began meanwhile",
        step.reason
    );
    Some(Done::nothing(step, Outcome::Skipped, why))
}
