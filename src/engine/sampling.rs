//! What sessions do, sampled every few seconds by a task of its own; each look takes what has come together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::cadences::Told;
use super::cost::Spent;
use crate::collect::samples::{Sample, Sampler, Samples};
use crate::configuration::Server as ServerSettings;
use crate::limits;
use crate::postgres::Server;

/// What was sampled since the last look, shared by the task that samples and the one that looks.
#[derive(Clone)]
pub struct Sampled {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    samples: Samples,
    since: Instant,
}

impl Default for Sampled {
    fn default() -> Self {
        let inner = Inner {
            samples: Samples::default(),
            since: Instant::now(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }
}

impl Sampled {
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, sample: Sample) {
        self.locked().samples.add(sample);
    }

    /// All since the last time, and over how long; none where nothing was sampled, or it is too long ago to tell when.
    pub fn take(&self) -> Option<(Samples, Duration)> {
        let mut inner = self.locked();
        let samples = std::mem::take(&mut inner.samples);
        let elapsed = std::mem::replace(&mut inner.since, Instant::now()).elapsed();
        (samples.taken() > 0 && elapsed <= limits::MINUTE_AT_MOST).then_some((samples, elapsed))
    }
}

/// The task that samples one server.
pub struct Sampling {
    name: String,
    every: Duration,
    sampler: Sampler,
    sampled: Sampled,
    spent: Spent,
    stretch: Told,
}

impl Sampling {
    /// Prepares a server: where what is seen goes, and what it costs; and who tells how much more seldom it is to look to
    /// stay within the budget. None where nobody wants samples.
    ///
    /// # Errors
    /// If its certificates cannot be read.
    pub fn new(
        settings: &ServerSettings,
        looked_at: &Server,
        sampled: Sampled,
        spent: Spent,
        stretch: Told,
    ) -> Result<Option<Self>, EngineError> {
        let every = settings.sample_every.as_duration();
        if every.is_zero() {
            return Ok(None);
        }
        Ok(Some(Self {
            name: settings.name.clone(),
            every,
            // what is sampled is what is looked at, also of several hosts
            sampler: Sampler::new(looked_at.following()?),
            sampled,
            spent,
            stretch,
        }))
    }

    /// Samples until it is told to stop. A server that fails is tried again, later and later.
    pub async fn run(self, stop: CancellationToken) {
        let mut wait_after_failure = limits::BACK_OFF_MINIMUM;
        let mut failed = None;
        loop {
            // the first look decides which host is the server
            while !self.sampler.server().is_chosen() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(limits::BACK_OFF_MINIMUM) => {}
                }
            }
            let sampled = tokio::select! {
                () = stop.cancelled() => return,
                sampled = self.sampler.sample() => sampled,
            };
            // what failed cost something, too
            self.spent.add(self.sampler.server().take_spent_seconds());
            let every = self.every * self.stretch.times();
            let wait = match sampled {
                Ok(sample) => {
                    self.sampled.add(sample);
                    wait_after_failure = limits::BACK_OFF_MINIMUM;
                    failed = None;
                    every
                }
                Err(error) => {
                    let why = Some(error.one_line());
                    // said once, until something else is wrong
                    if failed != why {
                        tracing::warn!(
                            server = self.name,
                            "cannot sample what sessions do: {}",
                            why.as_deref().unwrap_or_default()
                        );
                        failed = why;
                    }
                    let wait = wait_after_failure.max(every);
                    wait_after_failure = (wait_after_failure * 2).min(limits::BACK_OFF_MAXIMUM);
                    wait
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_takes_all_there_is_and_then_nothing() {
        let sampled = Sampled::default();
        assert!(sampled.take().is_none(), "no sample is not nothing seen");
        let of_the_task = sampled.clone();
        for _ in 0..3 {
            of_the_task.add(Sample::default());
        }
        assert_eq!(sampled.take().map(|(samples, _)| samples.taken()), Some(3));
        assert!(sampled.take().is_none());
    }
}
