//! One refresh: in one transaction the view's lock is taken, the view is looked at again, the due moment is taken, the view
//! is refreshed. Whoever dies when: all of it is there, or nothing.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use self::allowed::Allowed;
pub use self::done::{After, Done, Effect};
use self::watch::{Watched, watch};
use super::plan::{Step, Todo};
use crate::configuration::IfRunning;
use crate::model::refresh::{Mode, Outcome, Run};
use crate::postgres::{Identifier, PostgresError, Refresh, RefreshLimits, Server};

mod allowed;
mod ask;
mod done;
mod watch;

/// How often a refresh that did not get its lock is tried at once.
const LOCK_TRIES: u32 = 4;
/// The wait before the second of these; it doubles each time. Readers that came meanwhile go first.
const LOCK_PAUSE: Duration = Duration::from_millis(500);
/// How often a refresh is told to end, and how long it is waited for each time, before its session is ended.
const CANCEL_TRIES: u32 = 3;
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// Why there was no refresh.
enum Stopped {
    /// It need not be.
    Skipped(Outcome, String, Effect),
    Failed(PostgresError),
}

impl From<PostgresError> for Stopped {
    fn from(error: PostgresError) -> Self {
        Self::Failed(error)
    }
}

fn skipped(why: &str, effect: Effect) -> Stopped {
    Stopped::Skipped(Outcome::Skipped, why.to_owned(), effect)
}

/// Refreshes the view of a step. `begins` is told when nothing is left but REFRESH itself. Once `cancel` is cancelled the
/// statement that runs is ended, and recorded so.
pub async fn execute(
    server: &Server,
    step: &Step,
    cancel: &CancellationToken,
    begins: &(dyn Fn() + Sync),
) -> Done {
    let Todo::Refresh { mode, within, .. } = step.todo else {
        return Done::nothing(step, Outcome::Skipped, step.reason.clone());
    };
    let began = Instant::now();
    let Some(allowed) = Allowed::of(step, mode, within) else {
        let why = format!("{}; the hours for a plain refresh ended meanwhile", step.reason);
        return Done::nothing(step, Outcome::Skipped, why);
    };
    let mut execution = Execution {
        server,
        step,
        allowed,
        cancel,
        begins,
        watched: Watched::default(),
        has_waited: false,
    };
    let mut tries = 0;
    let stopped = loop {
        let tried = execution.attempt().await;
        let pause = match &tried {
            Ok(_) => None,
            // in short tries, so that nobody waits behind this one for long
            Err(Stopped::Failed(error)) if lacks_lock(error) => {
                tries += 1;
                (tries < LOCK_TRIES).then(|| LOCK_PAUSE * (1 << (tries - 1)))
            }
            Err(Stopped::Skipped(Outcome::AlreadyRunning, ..)) => {
                execution.has_waited = step.policy.if_running == IfRunning::Wait;
                let is_patient = began.elapsed() < step.policy.max_duration.as_duration();
                (execution.has_waited && is_patient).then_some(LOCK_PAUSE)
            }
            Err(_) => None,
        };
        let stopped = match tried {
            Ok(done) => return done,
            Err(stopped) => stopped,
        };
        let Some(pause) = pause else { break stopped };
        tokio::select! {
            () = cancel.cancelled() => break stopped,
            () = tokio::time::sleep(pause) => {}
        }
    };
    let mut done = match stopped {
        Stopped::Skipped(outcome, why, effect) => {
            return Done::with(step, outcome, why, effect);
        }
        Stopped::Failed(error) => {
            Done::failed(step, &error, &execution.allowed, (cancel, &execution.watched))
        }
    };
    let watched = execution.watched;
    done.run.mode = Some(mode);
    done.run.elapsed_seconds = Some(began.elapsed().as_secs_f64());
    done.run.waited_seconds = Some(watched.waited_seconds);
    done.run.held_up_seconds = Some(watched.held_up_seconds);
    done.readers_came = watched.held_up_seconds > 0.0;
    done
}

fn lacks_lock(error: &PostgresError) -> bool {
    error.code() == Some("55P03")
}

/// One step that is being done, in as many tries as it takes.
struct Execution<'a> {
    server: &'a Server,
    step: &'a Step,
    allowed: Allowed,
    cancel: &'a CancellationToken,
    begins: &'a (dyn Fn() + Sync),
    watched: Watched,
    /// Another refresher was at it, and was waited for.
    has_waited: bool,
}

impl Execution<'_> {
    /// One try.
    async fn attempt(&mut self) -> Result<Done, Stopped> {
        let step = self.step;
        let began = Instant::now();
        let session = self.server.refresh(&step.view.database).await?;
        if !ask::lock(&session, step).await? {
            let why = "another refresher is at it".to_owned();
            return Err(Stopped::Skipped(Outcome::AlreadyRunning, why, Effect::None));
        }
        let Some(before) = ask::state(&session, step.oid).await? else {
            return Err(skipped("it was dropped meanwhile", Effect::None));
        };
        if (&before.schema, &before.name) != (&step.view.schema, &step.view.name) {
            let why = format!("it was renamed to {}.{} meanwhile", before.schema, before.name);
            return Err(skipped(&why, Effect::None));
        }
        if !step.is_forced && !self.has_waited && step.seen.state.was_refreshed_until(&before.state) {
            // what its data are of, the next look tells
            let again = Effect::LookAgain(before.at);
            return Err(skipped("somebody else refreshed it just now", again));
        }
        // before the snapshot of the refresh: what changes later is seen as a change
        let inputs = ask::inputs(&session, step).await?;
        if !ask::take_moment(&session, step, (before.at, self.allowed.mode)).await? {
            return Err(skipped(
                "another refresher has taken this moment",
                Effect::Handled,
            ));
        }
        let limits = RefreshLimits {
            lock_timeout: self.allowed.lock_timeout,
            statement_timeout: self.allowed.within,
            work_mem_bytes: step.policy.work_mem.map(|size| size.bytes),
            parallel_workers: step.policy.parallel_workers,
        };
        session.limit(&limits).await?;
        if self.cancel.is_cancelled() {
            let why = "the advisor was told to stop before it began".to_owned();
            return Err(Stopped::Skipped(Outcome::Cancelled, why, Effect::None));
        }
        (self.begins)();
        self.refresh(&session, &before).await?;
        let elapsed = began.elapsed().as_secs_f64();
        let after = ask::afterwards(&session, step).await;
        let counted = ask::counted(self.server, step, self.allowed.mode).await;
        let before_it = step.counted.get(&self.allowed.mode);
        let wrote = counted.and_then(|counted| counted.last_run(before_it));
        let run = Run {
            mode: Some(self.allowed.mode),
            due_at: step.moment,
            started_at: Some(before.at),
            elapsed_seconds: Some(elapsed),
            waited_seconds: Some(self.watched.waited_seconds),
            held_up_seconds: Some(self.watched.held_up_seconds),
            rows: after.as_ref().and_then(|(state, _)| state.rows),
            size_bytes: after.as_ref().and_then(|(_, size)| *size),
            wal_bytes: wrote.map(|(wal, _)| wal),
            temp_bytes: wrote.map(|(_, temp)| temp),
            ..Run::of(
                &step.view,
                Outcome::Refreshed,
                step.reason.clone(),
                before.at + TimeDelta::milliseconds((elapsed * 1000.0) as i64),
            )
        };
        let last = after.map_or(before, |(state, _)| state);
        Ok(Done {
            run,
            effect: Effect::Refreshed(Box::new(After {
                state: last.state,
                scans: last.scans,
                inputs,
                counted,
                work_seconds: self.watched.work_seconds,
            })),
            was_too_slow: false,
            readers_came: self.watched.held_up_seconds > 0.0,
        })
    }

    /// REFRESH and COMMIT, watched; ended if it has to be.
    async fn refresh(&mut self, session: &Refresh, before: &ask::Now) -> Result<(), PostgresError> {
        let (step, allowed) = (self.step, &self.allowed);
        let watched = &mut self.watched;
        let working = Instant::now();
        let waited_before = watched.waited_seconds;
        let place = (
            Identifier::new(&step.view.schema),
            Identifier::new(&step.view.name),
        );
        let canceller = session.canceller();
        let concurrently = allowed.mode == Mode::Concurrently;
        let refreshing = session.refresh((&place.0, &place.1), concurrently, allowed.within);
        let mut refreshing = std::pin::pin!(refreshing);
        let mut ended = tokio::select! {
            refreshed = &mut refreshing => Some(refreshed),
            () = watch(self.server, step, (before.pid, allowed.readers_wait), watched) => None,
            () = self.cancel.cancelled() => None,
        };
        let mut tries = 0;
        let result = loop {
            match ended {
                Some(result) => break result,
                None if tries == CANCEL_TRIES => {
                    self.server.end_session(before.pid).await;
                    break refreshing.await;
                }
                None => {
                    tries += 1;
                    canceller.cancel().await;
                    // it may have been faster
                    ended = tokio::time::timeout(CANCEL_PATIENCE, &mut refreshing).await.ok();
                }
            }
        };
        if matches!(result, Err(PostgresError::Frozen { .. })) {
            // a function in the view does not heed its timeout: it would keep its locks
            self.server.end_session(before.pid).await;
        }
        let waited = watched.waited_seconds - waited_before;
        watched.work_seconds = (working.elapsed().as_secs_f64() - waited).max(0.0);
        result
    }
}
