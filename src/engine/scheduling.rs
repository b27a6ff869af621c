//! The daemon's refreshes of one server: it sleeps until something is due, and looks at the views now and then, since others
//! may refresh them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cost::Spent;
use super::refreshing::{Known, RefreshError, Refresher};
use super::{COMMANDS_EVERY, Signals};
use crate::configuration::Server as ServerSettings;
use crate::limits;
use crate::model::refresh::{Outcome, ViewName};
use crate::refresh::pass::{Event, Stop};
use crate::refresh::plan::{Ask, Step};

/// What people asked for so long ago, of a view that was not there, they do not wait for any more.
const ASKED_LONG_AGO: TimeDelta = TimeDelta::hours(1);

/// The refreshes of one server.
pub struct Scheduling {
    refresher: Arc<Refresher>,
    look_every: Duration,
    grace: Duration,
    signals: Signals,
    /// What looks cost, for whoever adds up what the advisor costs.
    spent: Spent,
    stop: Stop,
    /// Views that some pass is about.
    busy: Arc<Mutex<BTreeSet<ViewName>>>,
    passes: TaskTracker,
    /// Rung whenever a step is over.
    ended: Arc<Notify>,
    /// What people asked for and was not done yet.
    pending: Arc<Mutex<BTreeSet<ViewName>>>,
    /// The newest of what they asked for when that was last looked at.
    seen_command: AtomicI64,
}

/// What the last look saw.
#[derive(Default)]
struct Seen {
    known: Vec<Known>,
    /// Databases that could not be looked at.
    unseen: Vec<String>,
}

impl Scheduling {
    /// Prepares the refreshes of a server.
    pub fn new(refresher: Refresher, settings: &ServerSettings, signals: Signals, spent: Spent) -> Self {
        Self {
            refresher: Arc::new(refresher),
            look_every: settings
                .poll_every
                .as_duration()
                .min(limits::VIEWS_LOOKED_AT_EVERY),
            grace: settings.refresh_grace.as_duration(),
            signals,
            spent,
            stop: Stop::default(),
            busy: Arc::default(),
            passes: TaskTracker::new(),
            ended: Arc::default(),
            pending: Arc::default(),
            seen_command: AtomicI64::new(0),
        }
    }

    /// Refreshes until it is told to stop; what runs then may end within the grace time.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let seen = match self.turn().await {
                Ok(seen) => {
                    failures = 0;
                    seen
                }
                Err(error) => {
                    if failures == 0 {
                        let why = crate::report::visible(&one_line(&error));
                        tracing::warn!(
                            server = self.refresher.name(),
                            "materialized views cannot be refreshed: {why}"
                        );
                    }
                    failures += 1;
                    Seen::default()
                }
            };
            self.signals.changed(self.refresher.store());
            let longest = match failures {
                0 => self.look_every,
                failures => limits::BACK_OFF_MINIMUM * 2_u32.pow(failures.min(5)),
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.rest(seen, longest) => {}
            }
        }
        self.end().await;
    }

    /// Waits until something is due or asked for, no longer than until the next look.
    async fn rest(&self, mut seen: Seen, longest: Duration) {
        let began = Instant::now();
        tokio::time::sleep(limits::VIEWS_PAUSE).await;
        let (mut shown, mut has_news) = (began, false);
        while began.elapsed() < longest && !self.is_asked() {
            if has_news && shown.elapsed() >= limits::VIEWS_SHOWN_EVERY {
                (has_news, shown) = (false, Instant::now());
                self.show_again(&seen).await;
            }
            let left = longest.saturating_sub(began.elapsed());
            let wait = self.until_due(&seen.known).map_or(left, |due| due.min(left));
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait.min(COMMANDS_EVERY)) => {}
                // a view that was refreshed has another age and another next moment, which needs no look
                () = self.ended.notified() => has_news |= self.remember_again(&mut seen),
            }
        }
    }

    /// Takes in what is remembered now; whether that could be read.
    fn remember_again(&self, seen: &mut Seen) -> bool {
        match self.refresher.store().view_memories(self.refresher.name()) {
            Ok(memories) => {
                let known = seen.known.iter_mut();
                known.for_each(|known| known.memories.clone_from(&memories));
                true
            }
            Err(error) => {
                tracing::error!(%error, "what is remembered of views cannot be read");
                false
            }
        }
    }

    /// What pages show of views, with what is remembered now.
    async fn show_again(&self, seen: &Seen) {
        if let Err(error) = self.refresher.show(&seen.known, &seen.unseen).await {
            tracing::error!(%error, "what became of views cannot be shown");
        }
        self.signals.changed(self.refresher.store());
    }

    /// How long nothing can begin, as far as is known.
    fn until_due(&self, seen: &[Known]) -> Option<Duration> {
        let (busy, pending) = (self.busy(), locked(&self.pending).clone());
        let waits = seen.iter().filter_map(|known| {
            let next = known.next(&pending, &busy)?;
            (next - known.now()).to_std().ok().or(Some(Duration::ZERO))
        });
        waits.min()
    }

    /// Whether somebody asked for something since that was last looked at.
    fn is_asked(&self) -> bool {
        let newest = self
            .refresher
            .store()
            .newest_refresh_command(self.refresher.name());
        let newest = newest.unwrap_or_default();
        newest.is_some_and(|newest| newest > self.seen_command.load(Ordering::Relaxed))
    }

    /// Pauses and resumes what people want paused and resumed.
    fn take_switches(&self) -> Result<(), RefreshError> {
        let (store, server) = (self.refresher.store(), self.refresher.name());
        if let Some(newest) = store.newest_refresh_command(server)? {
            self.seen_command.store(newest, Ordering::Relaxed);
            store.apply_refresh_switches(server, Utc::now())?;
        }
        Ok(())
    }

    /// One look, and a pass over what is due or asked for.
    async fn turn(&self) -> Result<Seen, RefreshError> {
        // what ends during the look is not seen by it
        let busy = self.busy();
        self.take_switches()?;
        let (all, failed) = self.refresher.look(None).await?;
        self.spent
            .add(all.iter().map(|known| known.look.spent_seconds).sum());
        self.refresher.record_looks(&all, &failed).await?;
        for (database, error) in &failed {
            let why = error.one_line();
            tracing::warn!(
                server = self.refresher.name(),
                database,
                "views cannot be looked at: {why}"
            );
        }
        let since = Utc::now() - ASKED_LONG_AGO;
        let asked = self
            .refresher
            .store()
            .refresh_requests(self.refresher.name(), since)?;
        let pending: BTreeSet<ViewName> = asked.into_iter().collect();
        locked(&self.pending).clone_from(&pending);
        for known in &all {
            let (steps, waiting) = self.steps(known, &pending, &busy);
            if !waiting.is_empty() {
                self.refresher.wait_for_others(waiting).await?;
            }
            if !steps.is_empty() {
                self.start(steps);
            }
        }
        let unseen: Vec<String> = failed.into_iter().map(|(database, _)| database).collect();
        self.refresher.show(&all, &unseen).await?;
        Ok(Seen { known: all, unseen })
    }

    fn busy(&self) -> BTreeSet<ViewName> {
        locked(&self.busy).clone()
    }

    /// What is due or asked for and can begin; and what is due and waits for views that are being refreshed.
    fn steps(
        &self,
        known: &Known,
        pending: &BTreeSet<ViewName>,
        busy_before: &BTreeSet<ViewName>,
    ) -> (Vec<Step>, Vec<ViewName>) {
        let mut busy = self.busy();
        busy.extend(busy_before.iter().cloned());
        let planned = known.plan(&Ask::DueAnd(pending));
        let wanted = planned.iter().map(|step| step.view.clone()).collect();
        let held_up = known.held_up(&wanted, &busy);
        let (waiting, steps): (Vec<Step>, Vec<Step>) =
            planned.into_iter().partition(|step| held_up.contains(&step.view));
        let waiting = waiting
            .into_iter()
            .filter(|step| step.moment.is_some() && !busy.contains(&step.view));
        (steps, waiting.map(|step| step.view).collect())
    }

    fn start(&self, steps: Vec<Step>) {
        let views: BTreeSet<ViewName> = steps.iter().map(|step| step.view.clone()).collect();
        locked(&self.busy).extend(views.iter().cloned());
        let (busy, pending, ended) = (self.busy.clone(), self.pending.clone(), self.ended.clone());
        let (refresher, stop, signals) = (self.refresher.clone(), self.stop.clone(), self.signals.clone());
        self.passes.spawn(async move {
            // a later pass may be at what this one is done with
            let own = Mutex::new(views);
            let tell = |event: &Event<'_>| {
                log(refresher.name(), event);
                if let Event::Ended(step, done) = event {
                    // what somebody else is at, or what a stop cancelled, is still to be done
                    let is_left = matches!(done.run.outcome, Outcome::AlreadyRunning | Outcome::Cancelled);
                    if !is_left && locked(&pending).remove(&step.view) {
                        finish(&refresher, &step.view);
                    }
                    locked(&own).remove(&step.view);
                    locked(&busy).remove(&step.view);
                    ended.notify_one();
                }
                signals.changed(refresher.store());
            };
            refresher.run(steps, &stop, &tell).await;
            // whatever ended otherwise
            let mut busy = locked(&busy);
            locked(&own).iter().for_each(|view| _ = busy.remove(view));
        });
    }

    /// Nothing more is started; what runs may end, and is cancelled when the grace is over.
    async fn end(self) {
        self.stop.no_more.cancel();
        self.passes.close();
        if tokio::time::timeout(self.grace, self.passes.wait())
            .await
            .is_err()
        {
            self.stop.cancel.cancel();
            self.passes.wait().await;
        }
    }
}

/// What was asked for is done.
fn finish(refresher: &Refresher, view: &ViewName) {
    if let Err(error) = refresher
        .store()
        .finish_refresh_requests(refresher.name(), view, Utc::now())
    {
        tracing::error!(%error, "what was asked for cannot be taken off the list");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one_line(error: &RefreshError) -> String {
    match error {
        RefreshError::Postgres(error) => error.one_line(),
        error => error.to_string(),
    }
}

fn log(server: &str, event: &Event<'_>) {
    let visible = |text: String| crate::report::visible(&text);
    match event {
        Event::Started(step) => {
            tracing::info!(
                server,
                view = visible(step.view.to_string()),
                "refresh: {}",
                visible(step.reason.clone())
            );
        }
        Event::Ended(step, done) => {
            let view = visible(step.view.to_string());
            let seconds = done.run.elapsed_seconds;
            match done.run.outcome {
                Outcome::Refreshed => tracing::info!(server, view, seconds, "refreshed"),
                Outcome::Skipped | Outcome::AlreadyRunning => {
                    tracing::debug!(
                        server,
                        view,
                        "not refreshed: {}",
                        visible(done.run.reason.clone())
                    );
                }
                _ => {
                    let message = done.run.message.clone().unwrap_or_default();
                    let why = visible(format!("{} {message}", done.run.reason));
                    tracing::warn!(
                        server,
                        view,
                        sqlstate = done.run.sqlstate,
                        "{}: {why}",
                        done.run.outcome.word()
                    );
                }
            }
        }
    }
}
