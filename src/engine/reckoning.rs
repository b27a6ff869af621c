//! What the looks at one server cost it, and what follows from that: how far apart questions are, and what is told of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::cadences::{ADVICE, Cadences, FAILED, Kind, Told};
use super::cost::{Families, Hour, OwnCost, Spent};
use crate::configuration::Server as ServerSettings;
use crate::limits;
use crate::model::column_statistics;
use crate::model::observation::{Cadence, OwnCost as ObservedCost};
use crate::model::status::FamilyCost;

/// Sums of the same numbers in another order differ by less.
const LEAST_SECONDS: f64 = 0.000_001;

/// What one server was asked and what that took.
pub struct Reckoning {
    server: String,
    poll_every: Duration,
    advise_every: Duration,
    budget_ratio: f64,
    cost: OwnCost,
    families: Families,
    /// What the server counts for statements of ours.
    own_entries: Hour,
    /// Of the looks alone: advice is worked out more seldom instead of them.
    cadences: Cadences,
    /// When the last look was reckoned.
    turned_at: Option<Instant>,
    /// What looks at materialized views cost, which another task takes.
    pub refreshing_spent: Spent,
    /// What samples of sessions cost, which another task takes, and how much more seldom it is to take them.
    pub sampling_spent: Spent,
    #[allow(missing_docs)]
    pub sampling_stretch: Told,
}

impl Reckoning {
    /// Of a server that was not asked anything yet, for a budget as a share of its time.
    pub fn new(settings: &ServerSettings, budget_ratio: f64) -> Self {
        let poll_every = settings.poll_every.as_duration();
        let names_every = settings.catalog_every.as_duration();
        let sample_every = settings.sample_every.as_duration();
        Self {
            server: settings.name.clone(),
            poll_every,
            advise_every: settings.advise_every.as_duration(),
            budget_ratio,
            cost: OwnCost::default(),
            families: Families::default(),
            own_entries: Hour::default(),
            cadences: Cadences::new(budget_ratio, names_every, sample_every, poll_every),
            turned_at: None,
            refreshing_spent: Spent::default(),
            sampling_spent: Spent::default(),
            sampling_stretch: Told::default(),
        }
    }

    /// Seconds of the server that the budget of the last hour still leaves, once the looks of the next one have what those of
    /// the last took.
    pub fn may_still_take_seconds(&self, now: DateTime<Utc>) -> f64 {
        let (own_seconds, _) = self.cost.seconds_and_ratio(now);
        let budget_seconds = self.cost.server_seconds(now) * self.budget_ratio;
        (budget_seconds - own_seconds - self.looks_seconds(now)).max(0.0)
    }

    /// The same where nothing but looks took anything.
    pub fn hour_seconds_beside_looks(&self, now: DateTime<Utc>) -> f64 {
        let budget_seconds = self.cost.server_seconds(now) * self.budget_ratio;
        (budget_seconds - 2.0 * self.looks_seconds(now)).max(0.0)
    }

    /// What looks, names and samples took in the last hour: they go on like that.
    fn looks_seconds(&self, now: DateTime<Utc>) -> f64 {
        let families = self.families.last_hour(now).into_iter();
        let of_looks = families.filter(|(family, _)| Kind::of(family) != Kind::Apart);
        of_looks.map(|(_, seconds)| seconds).sum()
    }

    /// Takes in a look: seconds that the server took for each family, and seconds of database time since the look before.
    /// Decides how far apart questions are from now on.
    pub fn add(&mut self, now: DateTime<Utc>, spent: &BTreeMap<&'static str, f64>, database_seconds: f64) {
        self.cost.add(now, spent.values().sum(), database_seconds);
        self.families.add(now, spent);
        let turned_at = self.turned_at.replace(Instant::now());
        let elapsed_seconds = turned_at.map_or(0.0, |at| at.elapsed().as_secs_f64());
        let before = self.cadences.stretch();
        let busy_sessions = self.cost.busy_sessions(now);
        let stretch = self.cadences.turn(elapsed_seconds, spent, busy_sessions);
        if stretch != before {
            tracing::info!(
                server = self.server,
                ?stretch,
                "asks more or less often, to stay within the budget"
            );
        }
        self.sampling_stretch.tell(stretch.sampling);
    }

    /// The same of a look that failed or was given up, for which the server took so many seconds, and of what other tasks
    /// asked beside it.
    pub fn add_failed(&mut self, now: DateTime<Utc>, taken_seconds: f64, beside: [(&'static str, f64); 2]) {
        let all = [(FAILED, taken_seconds)].into_iter().chain(beside);
        let spent = all.filter(|(_, seconds)| *seconds > 0.0).collect();
        // how busy it was the next look tells that succeeds
        self.add(now, &spent, 0.0);
    }

    /// Takes in what the server counted for statements of ours since the look before, where that is known.
    pub fn add_own_entries(&mut self, now: DateTime<Utc>, seconds: Option<f64>) {
        if let Some(seconds) = seconds {
            self.own_entries.add(now, seconds);
        }
    }

    /// Seconds in the last hour, and their share of the larger of database time and one core.
    pub fn seconds_and_ratio(&self, now: DateTime<Utc>) -> (f64, f64) {
        self.cost.seconds_and_ratio(now)
    }

    /// What the server counted for statements of ours in the last hour; none if nothing is known of it.
    pub fn own_entries_seconds(&self, now: DateTime<Utc>) -> Option<f64> {
        self.own_entries.seconds(now)
    }

    /// What the advisor cost until this look, and the cadences that led to it.
    pub fn observed(&self, now: DateTime<Utc>, slowest_question: (&'static str, f64)) -> ObservedCost {
        let (seconds_last_hour, ratio) = self.cost.seconds_and_ratio(now);
        let costliest = self.families.last_hour(now).into_iter().next();
        ObservedCost {
            ratio,
            seconds_last_hour,
            measured_seconds: self.cost.measured_seconds(now),
            slowest_question: Some((slowest_question.0.to_owned(), slowest_question.1)),
            costliest_family: costliest.map(|(family, seconds)| (family.to_owned(), seconds)),
            looks: self.cadences.looks(),
            names: self.cadences.names(),
            sampling: self.cadences.sampling(),
            budget_ratio: self.budget_ratio,
        }
    }

    /// What each family cost in the last hour, costliest first.
    pub fn family_costs(&self, now: DateTime<Utc>) -> Vec<FamilyCost> {
        let may_take = self.cost.server_seconds(now) * self.budget_ratio.max(f64::MIN_POSITIVE);
        let cost = |(family, seconds): (&'static str, f64)| {
            let cadence = match family {
                ADVICE => Some(Cadence::usual(self.advise_every.as_secs_f64())),
                _ => self.cadences.of(family),
            };
            FamilyCost {
                family: family.to_owned(),
                seconds_last_hour: seconds,
                // JSON knows no infinity
                budget_share: (seconds / may_take).min(1e9),
                every_seconds: cadence.map(|cadence| cadence.every_seconds),
                usual_every_seconds: cadence.map(|cadence| cadence.usual_seconds),
            }
        };
        self.families.last_hour(now).into_iter().map(cost).collect()
    }

    /// How far apart names, definitions and designs are read from now on.
    pub fn names_every(&self) -> Duration {
        Duration::from_secs_f64(self.cadences.names().every_seconds)
    }

    /// Until the next look: looks are the last thing that is stretched while the advisor is over its budget, and no further
    /// than that one look still says what happened since the one before.
    pub fn pause(&self) -> Duration {
        let stretched = self.poll_every * self.cadences.stretch().looks;
        stretched.min(limits::LOOKS_APART_AT_MOST.max(self.poll_every))
    }

    /// The same after a look that failed: what it took must fit into the budget, as far as looks may be apart. One that took
    /// nothing, as where nobody answers, is tried again after the wait for failures.
    pub fn pause_after_failure(&self, back_off: Duration, taken_seconds: f64) -> Duration {
        let back_off = back_off.min(self.poll_every.max(limits::BACK_OFF_MINIMUM));
        let affordable = (taken_seconds / self.budget_ratio).min(self.pause().as_secs_f64());
        back_off.max(Duration::from_secs_f64(affordable.max(0.0)))
    }
}

/// What a look took by family, with what none of them says that it took: questions whose session or database was lost before
/// they were told. `all_seconds` is what the sessions of the login that looks took together.
pub fn with_failed(mut spent: BTreeMap<&'static str, f64>, all_seconds: f64) -> BTreeMap<&'static str, f64> {
    // those another login asks for
    let told = spent
        .iter()
        .filter(|(family, _)| **family != column_statistics::FACT);
    let told: f64 = told.map(|(_, seconds)| seconds).sum();
    if all_seconds - told > LEAST_SECONDS {
        spent.insert(FAILED, all_seconds - told);
    }
    spent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cadences::{REFRESHING, SAMPLING};

    fn reckoning() -> Reckoning {
        let settings = ServerSettings {
            name: "main".to_owned(),
            ..ServerSettings::default()
        };
        Reckoning::new(&settings, 0.005)
    }

    #[test]
    fn looks_that_fail_cost_what_they_took_and_are_tried_more_seldom() {
        let (mut reckoning, now) = (reckoning(), Utc::now());
        assert_eq!(reckoning.pause(), Duration::from_secs(60));
        // a look whose statement ended at the server's timeout: 35 s of at least ten minutes are far beyond 0.5 %
        let mut pauses = Vec::new();
        for _ in 0..4 {
            reckoning.add_failed(now, 35.0, [(SAMPLING, 0.0), (REFRESHING, 0.0)]);
            pauses.push(
                reckoning
                    .pause_after_failure(limits::BACK_OFF_MINIMUM, 35.0)
                    .as_secs(),
            );
        }
        assert_eq!(pauses, [120, 240, 480, 960]);
        assert_eq!(reckoning.seconds_and_ratio(now).0, 140.0);
        let families = reckoning.family_costs(now);
        assert_eq!(families.len(), 1);
        assert_eq!(
            (families[0].family.as_str(), families[0].seconds_last_hour),
            ("failed looks", 140.0)
        );
        assert_eq!(families[0].every_seconds, Some(960.0), "as often as looks");
    }

    #[test]
    fn samples_that_are_taken_more_seldom_are_told_and_shown() {
        let (mut reckoning, now) = (reckoning(), Utc::now());
        let told = |reckoning: &Reckoning| reckoning.observed(now, ("server.sql", 0.1)).sampling;
        assert_eq!(told(&reckoning), Some(Cadence::usual(5.0)));
        // of at least ten minutes that is far beyond 0.5 %, and there is nothing else to save
        reckoning.add(now, &BTreeMap::from([(SAMPLING, 30.0)]), 0.0);
        let slowed = Cadence {
            every_seconds: 10.0,
            usual_seconds: 5.0,
        };
        assert_eq!(told(&reckoning), Some(slowed));
        assert_eq!(reckoning.sampling_stretch.times(), 2, "as the task is told");
        let shown = reckoning.family_costs(now).remove(0);
        assert_eq!(
            (shown.family.as_str(), shown.every_seconds, shown.is_stretched()),
            (SAMPLING, Some(10.0), true)
        );
    }

    #[test]
    fn the_budget_leaves_what_was_not_taken_in_the_last_hour() {
        let (mut reckoning, now) = (reckoning(), Utc::now());
        let left = |reckoning: &Reckoning, minutes: i64| {
            reckoning.may_still_take_seconds(now + chrono::TimeDelta::minutes(minutes))
        };
        let about = |seconds: f64, expected: f64| (seconds - expected).abs() < 1e-6;
        // 0.5 % of one core, of ten minutes at first
        assert!(about(left(&reckoning, 0), 3.0));
        reckoning.add(now, &BTreeMap::from([(ADVICE, 2.0), ("catalog", 0.25)]), 0.0);
        assert!(about(left(&reckoning, 0), 3.0 - 2.25 - 0.25), "the looks go on");
        assert!(about(reckoning.hour_seconds_beside_looks(now), 3.0 - 2.0 * 0.25));
        assert!(about(left(&reckoning, 60), 18.0 - 2.25));
        // eight sessions are busy all the time
        reckoning.add(now, &BTreeMap::from([("catalog", 40.0)]), 8.0 * 3600.0);
        assert!(about(left(&reckoning, 60), 8.0 * 18.0 - 42.25));
        reckoning.add(now, &BTreeMap::from([("catalog", 900.0)]), 0.0);
        assert_eq!(left(&reckoning, 60), 0.0);
    }

    #[test]
    fn what_fails_for_nothing_is_tried_again_soon() {
        let (mut reckoning, now) = (reckoning(), Utc::now());
        for _ in 0..10 {
            reckoning.add_failed(now, 0.0, [(SAMPLING, 0.0), (REFRESHING, 0.0)]);
        }
        let soon = Duration::from_secs(2);
        assert_eq!(reckoning.pause(), Duration::from_secs(60));
        assert_eq!(reckoning.pause_after_failure(soon, 0.0), soon);
        assert_eq!(reckoning.pause_after_failure(soon, 0.05), Duration::from_secs(10));
        assert_eq!(reckoning.pause_after_failure(soon, 35.0), Duration::from_secs(60));
        let longest = limits::BACK_OFF_MAXIMUM * 4;
        assert_eq!(
            reckoning.pause_after_failure(longest, 0.0),
            Duration::from_secs(60)
        );
        assert!(reckoning.family_costs(now).is_empty());
    }

    #[test]
    fn what_was_lost_with_a_database_is_counted_once() {
        let spent = BTreeMap::from([
            ("statements", 0.5),
            ("catalog", 0.25),
            (column_statistics::FACT, 2.0),
        ]);
        assert_eq!(
            with_failed(spent.clone(), 0.75),
            spent,
            "the other login's is its own"
        );
        let lost = with_failed(spent.clone(), 10.75);
        assert_eq!(lost.get(FAILED), Some(&10.0));
        assert_eq!(lost.len(), spent.len() + 1);
    }
}
