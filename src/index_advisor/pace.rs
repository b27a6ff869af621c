//! How long a run may go on. It is looked at between any two questions, so that a run ends in time with what it has. Each stage
//! has a part of what is left when it begins, so that what comes after it is never left without.

use std::sync::OnceLock;
use std::time::Duration;

use crate::model::advice::Stopped;

/// What a run has taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Since it began.
    pub elapsed: Duration,
    /// Seconds that the server took for it.
    pub server_seconds: f64,
    /// Whether somebody asked it to end.
    pub is_asked_to_end: bool,
}

/// What it may take; `None` for any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    /// From its beginning to its end.
    pub elapsed: Option<Duration>,
    /// Seconds of the server.
    pub server_seconds: Option<f64>,
    /// How long it goes on once it was asked to end: the stage that is under way ends at once.
    pub after_asked: Duration,
}

/// What a run has taken against what it may take.
pub struct Pace<'a> {
    taken: &'a (dyn Fn() -> Taken + Sync),
    most: Most,
    /// What had elapsed when it was first seen that it is to end.
    asked_at: OnceLock<Duration>,
}

impl<'a> Pace<'a> {
    /// With a way to ask what was taken.
    pub fn new(taken: &'a (dyn Fn() -> Taken + Sync), most: Most) -> Self {
        Self {
            taken,
            most,
            asked_at: OnceLock::new(),
        }
    }

    /// As long as it takes.
    pub fn free() -> Self {
        Self::new(&Taken::default, Most::default())
    }

    /// What is looked at between two questions of a stage that begins now: whether it is to end, since it used this part of
    /// what was left, or somebody asked for the end meanwhile.
    pub fn stage(&self, part: f64) -> impl Fn() -> bool + Sync {
        let (used, was_asked) = self.used();
        let end = used + (1.0 - used).max(0.0) * part;
        move || {
            let (used, is_asked) = self.used();
            used >= end || (is_asked && !was_asked)
        }
    }

    /// Why a stage ended before it was done.
    pub fn why(&self) -> Stopped {
        let taken = (self.taken)();
        match self.parts(taken) {
            _ if taken.is_asked_to_end => Stopped::Interrupted,
            [of_time, of_server] if of_server > of_time => Stopped::Budget,
            _ => Stopped::Time,
        }
    }

    /// The part that is used up of what may be taken, where 1 is all of it; and whether somebody asked for the end.
    fn used(&self) -> (f64, bool) {
        let taken = (self.taken)();
        let after_asked = taken.is_asked_to_end.then(|| {
            let since = taken
                .elapsed
                .saturating_sub(*self.asked_at.get_or_init(|| taken.elapsed));
            part(since.as_secs_f64(), self.most.after_asked.as_secs_f64())
        });
        let parts = self.parts(taken).into_iter().chain(after_asked);
        (parts.fold(0.0, f64::max), taken.is_asked_to_end)
    }

    fn parts(&self, taken: Taken) -> [f64; 2] {
        let of_time = |most: Duration| part(taken.elapsed.as_secs_f64(), most.as_secs_f64());
        let of_server = |most: f64| part(taken.server_seconds, most);
        [
            self.most.elapsed.map_or(0.0, of_time),
            self.most.server_seconds.map_or(0.0, of_server),
        ]
    }
}

/// Where nothing may be taken, all of it is.
fn part(taken: f64, most: f64) -> f64 {
    match most > 0.0 {
        true => taken / most,
        false => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What is told to have been taken.
    #[derive(Default)]
    struct Told(Mutex<Taken>);

    impl Told {
        fn tell(&self, seconds: f64, server_seconds: f64, is_asked_to_end: bool) {
            *self.0.lock().unwrap() = Taken {
                elapsed: Duration::from_secs_f64(seconds),
                server_seconds,
                is_asked_to_end,
            };
        }
    }

    fn most(seconds: u64, server_seconds: f64) -> Most {
        Most {
            elapsed: Some(Duration::from_secs(seconds)),
            server_seconds: Some(server_seconds),
            after_asked: Duration::from_secs(2),
        }
    }

    #[test]
    fn a_stage_has_its_part_of_what_is_left() {
        let told = Told::default();
        let taken = || *told.0.lock().unwrap();
        let pace = Pace::new(&taken, most(100, 10.0));
        told.tell(20.0, 0.0, false);
        let first = pace.stage(0.5);
        told.tell(59.0, 0.0, false);
        assert!(!first());
        told.tell(61.0, 0.0, false);
        assert!(first() && pace.why() == Stopped::Time);
        // it ended late; the next one has its part all the same
        told.tell(90.0, 0.0, false);
        let second = pace.stage(0.5);
        assert!(!second());
        told.tell(90.0, 9.6, false);
        assert!(second() && pace.why() == Stopped::Budget);
        told.tell(101.0, 11.0, false);
        assert!(pace.stage(1.0)(), "nothing is left");
    }

    #[test]
    fn who_asks_for_the_end_ends_the_stage_and_the_next_has_a_moment() {
        let told = Told::default();
        let taken = || *told.0.lock().unwrap();
        let pace = Pace::new(&taken, most(100, f64::INFINITY));
        let first = pace.stage(0.5);
        // the question that is under way takes its time, which is not that moment
        told.tell(5.0, 0.0, true);
        assert!(first() && pace.why() == Stopped::Interrupted);
        let second = pace.stage(0.5);
        told.tell(5.9, 0.0, true);
        assert!(!second());
        told.tell(6.1, 0.0, true);
        assert!(second());
        let last = pace.stage(1.0);
        told.tell(6.9, 0.0, true);
        assert!(!last());
        told.tell(7.1, 0.0, true);
        assert!(last());
    }

    #[test]
    fn what_is_not_limited_goes_on_and_without_a_moment_all_ends_at_once() {
        assert!(!Pace::free().stage(0.1)());
        let asked = || Taken {
            is_asked_to_end: true,
            ..Taken::default()
        };
        assert!(Pace::new(&asked, Most::default()).stage(1.0)());
    }
}
