//! What a server had to do for us, as we saw it: the time from a question until its answer, an error, or until whoever waited
//! gave up, without the way there and back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::round_trip::RoundTrip;
use crate::limits;

/// The way there and back while connecting: TCP, the start, a password by SCRAM.
const CONNECTING_ROUND_TRIPS: u32 = 4;

/// What all sessions on one host took.
#[derive(Debug, Default)]
pub(super) struct HostSpent {
    way: RoundTrip,
    spent: Mutex<Duration>,
}

impl HostSpent {
    /// All since the last time.
    pub(super) fn take(&self) -> Duration {
        std::mem::take(&mut *locked(&self.spent))
    }
}

/// What one session took.
#[derive(Debug)]
pub(super) struct SessionSpent {
    host: Arc<HostSpent>,
    spent: Mutex<Duration>,
    /// The longest question, and its name.
    slowest: Mutex<(Duration, &'static str)>,
}

impl SessionSpent {
    /// Of a session on that host.
    pub(super) fn new(host: Arc<HostSpent>) -> Self {
        Self {
            host,
            spent: Mutex::default(),
            slowest: Mutex::default(),
        }
    }

    /// A question that is sent now.
    pub(super) fn ask(&self, name: &'static str) -> Question<'_> {
        Question {
            session: self,
            name,
            sent_at: Instant::now(),
            ended: Ended::GivenUp,
        }
    }

    /// Counts what it took to connect.
    pub(super) fn connected_in(&self, waited: Duration) {
        self.add(self.host.way.without_several(waited, CONNECTING_ROUND_TRIPS));
    }

    /// Counts what was not counted of a question that was given up, where the server is known to have worked on it.
    pub(super) fn worked_on_for(&self, waited: Duration) {
        self.add(waited.saturating_sub(limits::SILENCE_COUNTED_AT_MOST));
    }

    /// All of it in seconds.
    pub(super) fn seconds(&self) -> f64 {
        locked(&self.spent).as_secs_f64()
    }

    /// The question that took longest: its name, and seconds.
    pub(super) fn slowest(&self) -> (&'static str, f64) {
        let (time, name) = *locked(&self.slowest);
        (name, time.as_secs_f64())
    }

    fn add(&self, more: Duration) {
        *locked(&self.spent) += more;
        *locked(&self.host.spent) += more;
    }
}

/// A question that was sent. However it ends, what it took is counted when this is dropped: a look that is given up drops it.
#[must_use]
pub(super) struct Question<'a> {
    session: &'a SessionSpent,
    name: &'static str,
    sent_at: Instant,
    ended: Ended,
}

/// How a question ended.
#[derive(Clone, Copy)]
enum Ended {
    Answered,
    /// By an error that the server told.
    Refused,
    /// Without a word: the server stood still, or the way to it did. Nobody knows what it did meanwhile.
    GivenUp,
}

impl Question<'_> {
    /// The answer is there.
    pub(super) fn answered(mut self) {
        self.ended = Ended::Answered;
    }

    /// The server told an error.
    pub(super) fn refused(mut self) {
        self.ended = Ended::Refused;
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let waited = self.sent_at.elapsed();
        let way = &self.session.host.way;
        self.session.add(match self.ended {
            Ended::Answered => way.without(waited),
            // an error may come sooner than an answer can: it does not tell how long the way is
            Ended::Refused => way.without_several(waited, 1),
            Ended::GivenUp => waited.min(limits::SILENCE_COUNTED_AT_MOST),
        });
        let mut slowest = locked(&self.session.slowest);
        *slowest = (*slowest).max((waited, self.name));
    }
}

/// What is behind the lock is whole at every moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question that was sent so many seconds ago.
    fn sent<'a>(session: &'a SessionSpent, name: &'static str, seconds: u64) -> Question<'a> {
        let mut question = session.ask(name);
        let ago = Instant::now().checked_sub(Duration::from_secs(seconds));
        question.sent_at = ago.unwrap();
        question
    }

    fn about(expected: f64, seconds: f64) -> bool {
        (seconds - expected).abs() < 0.5
    }

    #[test]
    fn what_was_refused_counts_as_what_was_answered_does_and_silence_counts_little() {
        let host = Arc::new(HostSpent::default());
        let session = SessionSpent::new(host.clone());
        // the first answer tells how long the way is
        sent(&session, "first", 1).answered();
        assert_eq!(session.seconds(), 0.0);
        sent(&session, "answered", 3).answered();
        assert!(about(2.0, session.seconds()), "{}", session.seconds());
        sent(&session, "refused", 5).refused();
        assert!(about(6.0, session.seconds()), "{}", session.seconds());
        assert_eq!(session.slowest().0, "refused");
        drop(sent(&session, "given up", 35));
        let silence = limits::SILENCE_COUNTED_AT_MOST.as_secs_f64();
        assert!(about(6.0 + silence, session.seconds()), "{}", session.seconds());

        let other = SessionSpent::new(host.clone());
        drop(sent(&other, "lost with its session", 2));
        drop(other);
        let all = host.take().as_secs_f64();
        assert!(about(6.0 + 2.0 * silence, all), "of all sessions: {all}");
        assert_eq!(host.take(), Duration::ZERO, "told once");
    }

    #[test]
    fn what_was_worked_on_all_the_while_counts_whole() {
        let session = SessionSpent::new(Arc::default());
        drop(sent(&session, "given up", 15));
        session.worked_on_for(Duration::from_secs(15));
        assert!(about(15.0, session.seconds()), "{}", session.seconds());
    }

    #[test]
    fn a_question_that_is_given_up_at_once_does_not_shorten_the_way() {
        let session = SessionSpent::new(Arc::default());
        sent(&session, "first", 2).answered();
        drop(session.ask("given up"));
        sent(&session, "second", 2).answered();
        assert!(session.seconds() < 0.5, "{}", session.seconds());
    }
}
