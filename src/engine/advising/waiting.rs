//! Advice that waits for the budget: since when, for how much, and until when at most; and how old what is told has become.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Advising;
use crate::engine::cadences::ADVICE;
use crate::limits;
use crate::model::status::{FamilyCost, Gap, LATE_ADVICE};
use crate::model::unit::seconds_for_people;

/// Advice that is due, and that the budget does not leave enough for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waiting {
    /// Since when, by the server's clock.
    since: DateTime<Utc>,
    /// Seconds of the server that it waits for.
    wanted_seconds: f64,
    /// Those that the budget leaves now.
    left_seconds: f64,
    /// When nothing counts any more of what the last run took; none where there was no run.
    until: Option<DateTime<Utc>>,
}

impl Waiting {
    /// In words, to stand behind a colon, without numbers that change while it waits: for what is written down each time that it
    /// changes.
    fn told_still(&self) -> String {
        format!(
            "since {} that waits for what budget.own_cost_ratio leaves",
            clock(self.since)
        )
    }

    /// In words, to stand behind a colon.
    fn told(&self) -> String {
        let until = self.until.map_or(String::new(), |until| {
            format!(
                ", which it does at {} at the latest, when what the last run took is not of the last hour any more",
                clock(until)
            )
        });
        format!(
            "since {} that waits until budget.own_cost_ratio leaves {:.1} s of the server, and now it leaves {:.1} s{until}",
            clock(self.since),
            self.wanted_seconds,
            self.left_seconds
        )
    }
}

pub(super) fn clock(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

impl Advising {
    /// Notes whether what is due waits for so many seconds of the server.
    pub(super) fn note_waiting(&mut self, wanted: Option<f64>, left_seconds: f64, now: DateTime<Utc>) {
        let ended = self.latest.values().map(|latest| latest.at.elapsed()).min();
        let until = ended.and_then(|ago| {
            let rest = limits::BUDGET_WINDOW.saturating_sub(ago);
            Some(now + TimeDelta::from_std(rest).ok()?)
        });
        let since = self.waiting.take().map_or(now, |before| before.since);
        self.waiting = wanted.map(|wanted_seconds| Waiting {
            since,
            wanted_seconds,
            left_seconds,
            until,
        });
    }

    /// What is due and waits, in words to stand behind others; empty where nothing waits.
    fn told_waiting(&self) -> String {
        let waiting = self.waiting.as_ref();
        waiting.map_or(String::new(), |waiting| format!(": {}", waiting.told()))
    }

    /// The same in words that stay the same while it waits: rules tell them, and findings carry them.
    pub(super) fn told_waiting_still(&self) -> String {
        let waiting = self.waiting.as_ref();
        waiting.map_or(String::new(), |waiting| format!(": {}", waiting.told_still()))
    }

    /// After which age advice is not told any more.
    pub(super) fn oldest(&self) -> Duration {
        self.every * 3 + limits::ADVICE_TIME
    }

    /// From which age on advice that is told is late.
    fn late(&self) -> Duration {
        self.every * 2
    }

    /// What is to be said under status of advice that is late: how old it is, and what it waits for. No rule is skipped for it.
    pub fn outdated(&self) -> Vec<Gap> {
        let gap = |database: Option<String>, why: String| Gap {
            fact: LATE_ADVICE.to_owned(),
            database,
            why: why + &self.told_waiting(),
            remedy_sql: None,
            missing_privilege: None,
            rules: Vec::new(),
        };
        let every = seconds_for_people(self.every.as_secs_f64());
        if self.latest.is_empty() && self.waiting.is_some() && self.since.elapsed() > self.late() {
            let why = format!("the planner was not asked yet, though it is to be asked every {every}");
            return vec![gap(None, why)];
        }
        let ages = self
            .latest
            .iter()
            .map(|(name, latest)| (name, latest.advised_at.elapsed()));
        ages.filter(|(_, age)| *age > self.late())
            .map(|(name, age)| {
                let age = seconds_for_people(age.as_secs_f64());
                let why = format!(
                    "the last was worked out {age} ago, though the planner is to be asked every {every}"
                );
                gap(Some(name.clone()), why)
            })
            .collect()
    }

    /// Tells how far apart the planner is asked in truth, where that is late.
    pub fn tell_cadence(&self, families: &mut [FamilyCost]) {
        let ages = self.latest.values().map(|latest| latest.advised_at.elapsed());
        let Some(oldest) = ages.max().filter(|oldest| *oldest > self.late()) else {
            return;
        };
        for cost in families.iter_mut().filter(|cost| cost.family == ADVICE) {
            cost.every_seconds = Some(oldest.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_since_when_and_until_when_it_waits() {
        let at = |minute: i64| DateTime::from_timestamp(1_780_000_200 + 60 * minute, 0).unwrap();
        let mut waiting = Waiting {
            since: at(0),
            wanted_seconds: 28.2,
            left_seconds: 3.12,
            until: Some(at(60)),
        };
        let told = waiting.told();
        for part in [
            &format!("since {}", clock(at(0)))[..],
            "leaves 28.2 s of the server, and now it leaves 3.1 s",
            &format!("at {} at the latest", clock(at(60))),
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let still = waiting.told_still();
        assert!(still.contains(&format!("since {}", clock(at(0)))), "{still}");
        waiting.until = None;
        (waiting.wanted_seconds, waiting.left_seconds) = (30.0, 4.5);
        assert_eq!(
            waiting.told_still(),
            still,
            "findings are not written anew for it"
        );
        assert!(!waiting.told().contains("at the latest"), "nothing ran yet");
    }
}
