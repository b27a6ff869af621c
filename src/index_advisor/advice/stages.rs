//! The stages of a run, each with its part of time and budget, and why one ended before it was done.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::index_advisor::pace::Pace;
use crate::limits;
use crate::model::advice::Stopped;
use crate::postgres::Plan;

/// Parts of what is left of time and budget when a stage begins, after which it ends. Each leaves something to those that come
/// later, the last of them little, so that there is a set, however many statements there are.
pub(super) const FIRST_PLANS: f64 = 0.5;
pub(super) const SIZES: f64 = 0.5;
pub(super) const PREPARATION: f64 = 0.2;
pub(super) const SEARCH: f64 = 0.7;
pub(super) const MERGE: f64 = 0.2;
pub(super) const CONFIRMATION: f64 = 0.7;
pub(super) const VALUES: f64 = 0.5;
pub(super) const DROPS: f64 = 0.8;
pub(super) const REST: f64 = 1.0;

/// One run: how long it may go on, and why it ended if it was not done.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pace: &'a Pace<'a>,
    /// Sessions that may be lost.
    pub(super) most_lost: usize,
    /// Why it ended before the set was found and known, if it did.
    pub(super) stopped: Option<Stopped>,
    /// What was left out after that, and why.
    pub(super) left_out: Vec<String>,
}

/// A part of a run. Whoever asks it has something left to do, and leaves that out when told to end.
pub(super) struct Stage<'a> {
    is_to_end: Box<dyn Fn() -> bool + Send + Sync + 'a>,
    broke_off: AtomicBool,
}

impl Stage<'_> {
    pub(super) fn is_over(&self) -> bool {
        let is_over = (self.is_to_end)();
        self.broke_off.fetch_or(is_over, Ordering::Relaxed);
        is_over
    }

    fn broke_off(&self) -> bool {
        self.broke_off.load(Ordering::Relaxed)
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(plan: &'a Plan, pace: &'a Pace<'a>) -> Self {
        Self {
            plan,
            pace,
            most_lost: plan.lost_sessions() + limits::LOST_SESSIONS,
            stopped: None,
            left_out: Vec::new(),
        }
    }

    /// A stage that begins now.
    pub(super) fn stage(&self, part: f64) -> Stage<'a> {
        let (plan, most_lost) = (self.plan, self.most_lost);
        let (pace, is_lost) = (self.pace, move || plan.lost_sessions() >= most_lost);
        let is_over = pace.stage(part);
        Stage {
            is_to_end: Box::new(move || is_over() || is_lost()),
            broke_off: AtomicBool::new(false),
        }
    }

    pub(super) fn why(&self) -> Stopped {
        match self.plan.lost_sessions() >= self.most_lost {
            true => Stopped::LostSessions,
            false => self.pace.why(),
        }
    }

    /// Remembers why a stage was ended before it was done, if it was.
    pub(super) fn note(&mut self, stage: &Stage<'_>) {
        if stage.broke_off() {
            self.stopped = self.stopped.or(Some(self.why()));
        }
    }

    /// The same of one that comes after the set is known, which is no less proven for that.
    pub(super) fn note_left_out(&mut self, stage: &Stage<'_>, what: &str) {
        if stage.broke_off() {
            self.left_out
                .push(format!("{} before {what}", self.why().words()));
        }
    }
}
