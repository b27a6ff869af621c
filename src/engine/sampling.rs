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
    /// When the last one was taken, and how long after it the next one was meant to come.
    last_sample: Option<(Instant, Duration)>,
    /// Of the time since they were taken away, that in which none could be taken.
    lost: Duration,
}

impl Inner {
    /// What a pause that lasts until now takes from the time since they were taken away: none stands for a time in which the
    /// server could not be asked. What lies before was lost then.
    fn lost_until(&self, now: Instant) -> Duration {
        self.last_sample.map_or(Duration::ZERO, |(last, every)| {
            now.saturating_duration_since(self.since.max(last + every * 2))
        })
    }

    fn add(&mut self, sample: Sample, every: Duration, now: Instant) {
        self.lost += self.lost_until(now);
        self.last_sample = Some((now, every));
        self.samples.add(sample);
    }

    fn take(&mut self, now: Instant) -> Option<(Samples, Duration)> {
        let lost = std::mem::take(&mut self.lost) + self.lost_until(now);
        let samples = std::mem::take(&mut self.samples);
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.since, now));
        let is_known = samples.taken() > 0 && elapsed <= limits::MINUTE_AT_MOST;
        is_known.then_some((samples, elapsed.saturating_sub(lost)))
    }
}

impl Default for Sampled {
    fn default() -> Self {
        let inner = Inner {
            samples: Samples::default(),
            since: Instant::now(),
            last_sample: None,
            lost: Duration::ZERO,
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

    /// Takes one in; the next one is meant to come so much later.
    fn add(&self, sample: Sample, every: Duration) {
        self.locked().add(sample, every, Instant::now());
    }

    /// All since the last time, and for how long they stand; none where nothing was sampled, or it is too long ago to tell when.
    pub fn take(&self) -> Option<(Samples, Duration)> {
        self.locked().take(Instant::now())
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
                    self.sampled.add(sample, every);
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
            of_the_task.add(Sample::default(), Duration::from_secs(5));
        }
        assert_eq!(sampled.take().map(|(samples, _)| samples.taken()), Some(3));
        assert!(sampled.take().is_none());
    }

    /// Takes samples at these seconds, each with the seconds after which the next one is meant, and gives at each of the other
    /// seconds how many were taken and for how many seconds they stand.
    fn taken(samples: &[(u64, u64)], takes: &[u64]) -> Vec<Option<(u64, u64)>> {
        let begin = Instant::now();
        let at = |second: u64| begin + Duration::from_secs(second);
        let mut inner = Inner {
            samples: Samples::default(),
            since: begin,
            last_sample: None,
            lost: Duration::ZERO,
        };
        let mut samples = samples.iter().peekable();
        let mut minutes = Vec::new();
        for take in takes {
            while let Some((second, every)) = samples.next_if(|(second, _)| second < take) {
                inner.add(Sample::default(), Duration::from_secs(*every), at(*second));
            }
            let minute = inner.take(at(*take));
            minutes.push(minute.map(|(samples, stands_for)| (samples.taken(), stands_for.as_secs())));
        }
        minutes
    }

    #[test]
    fn samples_do_not_stand_for_a_time_in_which_none_could_be_taken() {
        // the first minute ends in a gap that the second one ends
        let samples = [(5, 5), (10, 5), (100, 5), (105, 5), (110, 5), (115, 5)];
        assert_eq!(taken(&samples, &[60, 120]), [Some((2, 20)), Some((4, 20))]);
        // within one minute
        assert_eq!(taken(&[(5, 5), (50, 5), (55, 5)], &[60]), [Some((3, 25))]);
        let whole: Vec<(u64, u64)> = (1..24).map(|number| (number * 5, 5)).collect();
        assert_eq!(taken(&whole, &[60, 120]), [Some((11, 60)), Some((12, 60))]);
    }

    #[test]
    fn a_gap_over_many_looks_is_lost_to_each_of_them_once() {
        let mut samples = vec![(5, 5), (10, 5)];
        samples.extend((0..11).map(|number| (605 + number * 5, 5)));
        let looks: Vec<u64> = (1..=11).map(|minute| minute * 60).collect();
        let minutes = taken(&samples, &looks);
        assert_eq!(minutes[0], Some((2, 20)));
        assert!(minutes[1..10].iter().all(Option::is_none));
        assert_eq!(minutes[10], Some((11, 55)));
    }

    #[test]
    fn a_pause_that_was_meant_is_no_gap() {
        // eight times as seldom, and then no more
        let samples = [(10, 40), (50, 5), (55, 5)];
        assert_eq!(taken(&samples, &[60]), [Some((3, 60))]);
    }
}
