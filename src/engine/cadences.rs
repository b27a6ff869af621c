//! How often the advisor asks while its questions cost more than the budget: the coarsest cadence is stretched first, the looks
//! last, and they come back in the opposite order. What a cadence would save is reckoned from what its questions took, so
//! nobody has to wait for an hour to see whether a step was enough. It knows no clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::limits;
use crate::model::observation::Cadence;

/// What other tasks than the looks cost, by the names under which it is shown.
pub const ADVICE: &str = "advice";
#[allow(missing_docs)]
pub const REFRESHING: &str = "refreshing";
#[allow(missing_docs)]
pub const SAMPLING: &str = "sampling";
/// What looks cost that failed, were given up, or lost a database on the way.
pub const FAILED: &str = "failed looks";

/// Questions that are stretched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    /// What changes seldom: names, definitions, design.
    Names,
    /// What sessions do, between two looks.
    Sampling,
    /// Everything that each look asks.
    Looks,
    /// What has a time and a bound of its own: advice, refreshing.
    Apart,
}

impl Kind {
    /// The kind of a family.
    pub fn of(family: &str) -> Self {
        match family {
            "catalog" | "table activity" | "schema" | "column statistics" => Self::Names,
            SAMPLING => Self::Sampling,
            ADVICE | REFRESHING => Self::Apart,
            _ => Self::Looks,
        }
    }
}

/// How many times as far apart as configured questions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stretch {
    pub names: u32,
    pub sampling: u32,
    pub looks: u32,
}

impl Stretch {
    /// As configured.
    pub const NONE: Self = Self {
        names: 1,
        sampling: 1,
        looks: 1,
    };

    /// One step back: what was stretched last.
    fn back(self) -> Option<Self> {
        match self {
            Self { looks: 2.., .. } => Some(Self {
                looks: self.looks / 2,
                ..self
            }),
            Self { sampling: 2.., .. } => Some(Self {
                sampling: self.sampling / 2,
                ..self
            }),
            Self { names: 2.., .. } => Some(Self {
                names: self.names / 2,
                ..self
            }),
            _ => None,
        }
    }
}

/// Tells a task on the way how many times as far apart its questions are to be.
#[derive(Clone)]
pub struct Told(Arc<AtomicU32>);

impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Told {
    /// As many times as configured; 1 is as configured.
    pub fn times(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, times: u32) {
        self.0.store(times, Ordering::Relaxed);
    }
}

/// The cadences of one server.
pub struct Cadences {
    budget_ratio: f64,
    stretch: Stretch,
    names: Work,
    sampling: Work,
    looks: Work,
}

impl Cadences {
    /// Cadences as configured, for a budget as a share of the server's time. What is never sampled costs nothing.
    pub fn new(
        budget_ratio: f64,
        names_every: Duration,
        sample_every: Duration,
        looks_every: Duration,
    ) -> Self {
        Self {
            budget_ratio,
            stretch: Stretch::NONE,
            names: Work::new(names_every),
            sampling: Work::new(sample_every),
            looks: Work::new(looks_every),
        }
    }

    /// Takes in a turn: seconds since the one before, seconds that each family took of the server since then, and how many
    /// seconds the server works in a second, at least 1. One step at a turn: the first looks fetch what later ones need not.
    pub fn turn(
        &mut self,
        elapsed_seconds: f64,
        spent: &BTreeMap<&'static str, f64>,
        busy_sessions: f64,
    ) -> Stretch {
        let taken = |kind: Kind| -> f64 {
            let of_kind = spent.iter().filter(|(family, _)| Kind::of(family) == kind);
            of_kind.map(|(_, seconds)| seconds).sum()
        };
        let stretch = self.stretch;
        self.names.add(elapsed_seconds, stretch.names, taken(Kind::Names));
        self.sampling
            .add(elapsed_seconds, stretch.sampling, taken(Kind::Sampling));
        self.looks.add(elapsed_seconds, stretch.looks, taken(Kind::Looks));
        let budget = self.budget_ratio * busy_sessions.max(1.0);
        if self.ratio(stretch) > budget {
            self.stretch = self.further(stretch, budget);
        } else if let Some(back) = stretch.back()
            && self.ratio(back) < budget * limits::BUDGET_SHARE_TO_COME_BACK
        {
            self.stretch = back;
        }
        self.stretch
    }

    /// The same with the coarsest cadence stretched that can be, and of which there is something to save.
    fn further(&self, now: Stretch, budget: f64) -> Stretch {
        let can = |work: &Work, times: u32, most: u32| times < most && work.ratio() > 0.0;
        let mut next = now;
        if can(&self.names, now.names, limits::NAMES_STRETCHED_AT_MOST) {
            next.names *= 2;
        } else if can(&self.sampling, now.sampling, limits::SAMPLING_STRETCHED_AT_MOST) {
            next.sampling *= 2;
        } else if can(&self.looks, now.looks, limits::LOOKS_STRETCHED_AT_MOST)
            && self.looks.ratio() / f64::from(now.looks) > budget * limits::LOOKS_WORTH_STRETCHING
        {
            next.looks *= 2;
        }
        next
    }

    /// Seconds of ours in a second, if questions were stretched so far.
    fn ratio(&self, stretch: Stretch) -> f64 {
        let share = |work: &Work, times: u32| work.ratio() / f64::from(times);
        share(&self.names, stretch.names)
            + share(&self.sampling, stretch.sampling)
            + share(&self.looks, stretch.looks)
    }

    /// How many times as far apart as configured questions are now.
    pub fn stretch(&self) -> Stretch {
        self.stretch
    }

    /// How far apart looks are.
    pub fn looks(&self) -> Cadence {
        self.looks.cadence(self.stretch.looks)
    }

    /// How far apart names, definitions and the design are read.
    pub fn names(&self) -> Cadence {
        self.names.cadence(self.stretch.names)
    }

    /// How far apart samples of sessions are; none where nobody takes any.
    pub fn sampling(&self) -> Option<Cadence> {
        (self.sampling.usual_seconds > 0.0).then(|| self.sampling.cadence(self.stretch.sampling))
    }

    /// How far apart the questions of a family are; none where that is not decided here.
    pub fn of(&self, family: &str) -> Option<Cadence> {
        match Kind::of(family) {
            Kind::Names => Some(self.names()),
            Kind::Sampling => self.sampling(),
            Kind::Looks => Some(self.looks()),
            Kind::Apart => None,
        }
    }
}

/// What questions of one kind took. They have a time of their own, which runs as much slower as they are stretched: on it they
/// always cost what they would cost as configured.
struct Work {
    usual_seconds: f64,
    /// Those that took something: when in real seconds, when in seconds of their own time, and what they took.
    questions: VecDeque<(f64, f64, f64)>,
    real_seconds: f64,
    own_seconds: f64,
    /// When in their own time the youngest question was that is forgotten.
    forgotten_until: Option<f64>,
}

impl Work {
    fn new(usual: Duration) -> Self {
        Self {
            usual_seconds: usual.as_secs_f64(),
            questions: VecDeque::new(),
            real_seconds: 0.0,
            own_seconds: 0.0,
            forgotten_until: None,
        }
    }

    fn add(&mut self, elapsed_seconds: f64, times: u32, taken_seconds: f64) {
        self.real_seconds += elapsed_seconds;
        self.own_seconds += elapsed_seconds / f64::from(times);
        if taken_seconds > 0.0 {
            self.questions
                .push_back((self.real_seconds, self.own_seconds, taken_seconds));
        }
        let several = limits::QUESTIONS_RECKONED_WITH * self.usual_seconds * f64::from(times);
        let oldest = self.real_seconds - several.max(3600.0);
        while let Some((_, own, _)) = self.questions.front().filter(|(real, _, _)| *real < oldest) {
            self.forgotten_until = Some(*own);
            self.questions.pop_front();
        }
    }

    /// Seconds in a second, were they not stretched.
    fn ratio(&self) -> f64 {
        let taken: f64 = self.questions.iter().map(|(_, _, taken)| taken).sum();
        let seconds = match self.forgotten_until {
            Some(until) => (self.own_seconds - until).max(self.usual_seconds),
            // the last one serves until the next; over less than ten minutes, as real ones go by, a share would say nothing
            None => {
                let pace = match self.real_seconds > 0.0 {
                    true => self.own_seconds / self.real_seconds,
                    false => 1.0,
                };
                (self.own_seconds + self.usual_seconds).max(600.0 * pace)
            }
        };
        taken / seconds
    }

    fn cadence(&self, times: u32) -> Cadence {
        Cadence {
            every_seconds: self.usual_seconds * f64::from(times),
            usual_seconds: self.usual_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of names every 10 min and looks every minute, with a budget of 0.5 %.
    struct Simulated {
        cadences: Cadences,
        minute: f64,
        names_read: f64,
        /// Every stretch that was ever in force, in order.
        history: Vec<Stretch>,
    }

    impl Simulated {
        fn new() -> Self {
            let seconds = Duration::from_secs;
            Self {
                cadences: Cadences::new(0.005, seconds(600), seconds(5), seconds(60)),
                minute: 0.0,
                names_read: f64::MIN,
                history: vec![Stretch::NONE],
            }
        }

        /// Looks for some hours at this cost of one reading of names, of a minute of sampling as configured, and of a look.
        fn run(&mut self, hours: f64, [names, sampling, look]: [f64; 3]) -> Stretch {
            let end = self.minute + hours * 60.0;
            while self.minute < end {
                let stretch = self.cadences.stretch();
                let mut spent = BTreeMap::from([("statements", look)]);
                if self.minute - self.names_read >= 10.0 * f64::from(stretch.names) {
                    self.names_read = self.minute;
                    spent.insert("catalog", names);
                }
                let pause = f64::from(stretch.looks);
                if sampling > 0.0 {
                    spent.insert(SAMPLING, sampling * pause / f64::from(stretch.sampling));
                }
                let now = self.cadences.turn(60.0 * pause, &spent, 1.0);
                if self.history.last() != Some(&now) {
                    self.history.push(now);
                }
                self.minute += pause;
            }
            self.cadences.stretch()
        }
    }

    #[test]
    fn within_the_budget_nothing_is_stretched() {
        assert_eq!(Simulated::new().run(48.0, [0.5, 0.01, 0.1]), Stretch::NONE);
    }

    #[test]
    fn names_alone_are_stretched_where_that_is_enough_and_no_further_than_needed() {
        let mut simulated = Simulated::new();
        let stretch = simulated.run(10.0 * 24.0, [6.0, 0.0, 0.05]);
        // 6 s in 600 s are 1 %, and the looks 0.08 %
        assert_eq!(
            stretch,
            Stretch {
                names: 4,
                ..Stretch::NONE
            }
        );
        assert!(
            simulated.history.len() <= 4,
            "it does not flap: {:?}",
            simulated.history
        );
    }

    #[test]
    fn the_coarsest_is_stretched_first_and_comes_back_last() {
        let mut simulated = Simulated::new();
        let most = simulated.run(12.0, [1.0, 0.02, 2.0]);
        assert_eq!((most.names, most.sampling), (8, 8));
        assert!(most.looks >= 8, "{most:?}");
        assert_eq!(simulated.run(48.0, [1.0, 0.02, 0.05]), Stretch::NONE);
        for stretch in &simulated.history {
            let is_in_order = (stretch.looks == 1 || stretch.sampling == 8)
                && (stretch.sampling == 1 || stretch.names == 8);
            assert!(is_in_order, "{:?}", simulated.history);
        }
        let up = simulated
            .history
            .iter()
            .position(|stretch| *stretch == most)
            .unwrap();
        let falls = simulated.history[up..].windows(2);
        let sum = |stretch: &Stretch| stretch.names + stretch.sampling + stretch.looks;
        assert!(
            falls.into_iter().all(|pair| sum(&pair[1]) < sum(&pair[0])),
            "straight back: {:?}",
            simulated.history
        );
    }

    #[test]
    fn frequent_looks_keep_within_the_budget_from_the_second_ten_minutes_on() {
        let seconds = Duration::from_secs;
        let mut cadences = Cadences::new(0.005, seconds(600), seconds(0), seconds(2));
        let (mut now, mut taken) = (0.0, 0.0);
        while now < 1200.0 {
            let pause = cadences.looks().every_seconds;
            now += pause;
            cadences.turn(pause, &BTreeMap::from([("statements", 0.06)]), 1.0);
            taken += if now > 600.0 { 0.06 } else { 0.0 };
        }
        // 3 % of a second as configured
        let ratio = taken / 600.0;
        assert!(
            (0.001..=0.005).contains(&ratio),
            "{ratio}: {:?}",
            cadences.stretch()
        );
    }

    #[test]
    fn it_comes_back_only_when_there_is_room() {
        let mut simulated = Simulated::new();
        // over the budget by a little: half of it is within, but all of it is not
        let stretch = simulated.run(24.0, [2.0, 0.0, 0.15]);
        assert_eq!(
            stretch,
            Stretch {
                names: 2,
                ..Stretch::NONE
            }
        );
        // 0.47 % as configured: within the budget, but not by a fifth
        assert_eq!(simulated.run(24.0, [1.3, 0.0, 0.15]).names, 2);
        assert_eq!(simulated.run(24.0, [0.5, 0.0, 0.15]), Stretch::NONE);
    }

    #[test]
    fn where_there_is_no_sampling_none_is_stretched() {
        let stretch = Simulated::new().run(12.0, [0.1, 0.0, 2.0]);
        assert_eq!((stretch.names, stretch.sampling), (8, 1));
        assert!(stretch.looks > 1);
    }

    #[test]
    fn a_busy_server_bears_more() {
        let seconds = Duration::from_secs;
        let mut cadences = Cadences::new(0.005, seconds(600), seconds(0), seconds(60));
        assert_eq!(cadences.sampling(), None, "nobody takes samples");
        let spent = BTreeMap::from([("catalog", 6.0)]);
        assert_eq!(cadences.turn(60.0, &spent, 8.0), Stretch::NONE);
        assert_eq!(cadences.turn(0.0, &BTreeMap::new(), 1.0).names, 2);
    }

    #[test]
    fn families_tell_their_cadence() {
        let mut simulated = Simulated::new();
        simulated.run(24.0, [6.0, 0.0, 0.05]);
        let every = |family| simulated.cadences.of(family).map(|cadence| cadence.every_seconds);
        assert_eq!(every("catalog"), Some(2400.0));
        assert_eq!(every("schema"), Some(2400.0));
        assert_eq!(every("column statistics"), Some(2400.0));
        assert_eq!(every(SAMPLING), Some(5.0));
        assert_eq!(every("statements"), Some(60.0));
        assert_eq!(every(ADVICE), None);
        assert!(simulated.cadences.names().is_stretched() && !simulated.cadences.looks().is_stretched());
    }
}
