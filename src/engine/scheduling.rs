//! The daemon's refreshes of one server: it sleeps until something is due, and looks at the views now and then, since others
//! may refresh them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cost::Spent;
use super::refreshing::{Known, RefreshError, Refresher};
use super::{COMMANDS_EVERY, Signals};
use crate::configuration::Server as ServerSettings;
use crate::limits;
use crate::model::refresh::{Outcome, RefreshAction, ViewName};
use crate::refresh::pass::{Event, Stop};
use crate::refresh::plan::{Ask, Step};
use crate::store::RefreshCommand;

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
    /// What people asked for and was not begun yet.
    pending: Mutex<BTreeSet<ViewName>>,
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
            pending: Mutex::default(),
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
                    Vec::new()
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
    async fn rest(&self, mut seen: Vec<Known>, longest: Duration) {
        let began = Instant::now();
        tokio::time::sleep(limits::VIEWS_PAUSE).await;
        while began.elapsed() < longest && !self.is_asked() {
            let left = longest.saturating_sub(began.elapsed());
            let wait = self.until_due(&seen).map_or(left, |due| due.min(left));
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait.min(COMMANDS_EVERY)) => {}
                // a view that was refreshed has another next moment, which needs no look
                () = self.ended.notified() => match self.refresher.store().view_memories(self.refresher.name()) {
                    Ok(memories) => seen.iter_mut().for_each(|known| known.memories.clone_from(&memories)),
                    Err(error) => tracing::error!(%error, "what is remembered of views cannot be read"),
                },
            }
        }
    }

    /// How long nothing can begin, as far as is known.
    fn until_due(&self, seen: &[Known]) -> Option<Duration> {
        let (busy, pending) = (self.busy(), self.pending());
        let waits = seen.iter().filter_map(|known| {
            let next = known.next(&pending, &busy)?;
            (next - known.now()).to_std().ok().or(Some(Duration::ZERO))
        });
        waits.min()
    }

    fn is_asked(&self) -> bool {
        self.refresher
            .store()
            .is_refresh_asked(self.refresher.name())
            .unwrap_or(false)
    }

    fn asked(&self) -> Vec<RefreshCommand> {
        match self
            .refresher
            .store()
            .take_refresh_commands(self.refresher.name(), Utc::now())
        {
            Ok(commands) => commands,
            Err(error) => {
                tracing::error!(%error, "what was asked for cannot be read");
                Vec::new()
            }
        }
    }

    /// One look, and a pass over what is due or asked for.
    async fn turn(&self) -> Result<Vec<Known>, RefreshError> {
        let (all, failed) = self.refresher.look(None).await?;
        self.spent
            .add(all.iter().map(|known| known.look.spent_seconds).sum());
        self.refresher.record_looks(&all, &failed).await?;
        // only now: what is asked for is not lost if the server cannot be reached
        let asked = self.asked();
        for (database, error) in &failed {
            let why = error.one_line();
            tracing::warn!(
                server = self.refresher.name(),
                database,
                "views cannot be looked at: {why}"
            );
        }
        let asked = asked
            .iter()
            .filter(|command| command.action == RefreshAction::Refresh);
        let mut pending = self.pending();
        pending.extend(asked.map(|command| command.view.clone()));
        for known in &all {
            let (steps, waiting) = self.steps(known, &pending);
            pending.retain(|view| !steps.iter().any(|step| step.view == *view));
            if !waiting.is_empty() {
                self.refresher.wait_for_others(waiting).await?;
            }
            if !steps.is_empty() {
                self.start(steps);
            }
        }
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = pending;
        let unseen: Vec<String> = failed.into_iter().map(|(database, _)| database).collect();
        self.refresher.show(&all, &unseen).await?;
        Ok(all)
    }

    fn busy(&self) -> BTreeSet<ViewName> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pending(&self) -> BTreeSet<ViewName> {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What is due or asked for and can begin; and what is due and waits for views that are being refreshed.
    fn steps(&self, known: &Known, pending: &BTreeSet<ViewName>) -> (Vec<Step>, Vec<ViewName>) {
        let busy = self.busy();
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
        let busy = self.busy.clone();
        busy.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(views.iter().cloned());
        let (refresher, stop, signals) = (self.refresher.clone(), self.stop.clone(), self.signals.clone());
        let ended = self.ended.clone();
        self.passes.spawn(async move {
            let tell = |event: &Event<'_>| {
                log(refresher.name(), event);
                if let Event::Ended(step, _) = event {
                    busy.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&step.view);
                    ended.notify_one();
                }
                signals.changed(refresher.store());
            };
            refresher.run(steps, &stop, &tell).await;
            // whatever ended otherwise
            let mut busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
            views.iter().for_each(|view| _ = busy.remove(view));
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
