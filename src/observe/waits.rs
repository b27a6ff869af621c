//! What sessions did and waited for over the last hour, from samples.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::query_ids::QueryIds;
use crate::limits;
use crate::model::finding::Window;
use crate::model::history::{WaitKey, WaitMinute};
use crate::model::observation::{Unknown, Waits};

/// The samples of the last hour, in parts that are forgotten as a whole.
#[derive(Debug, Default)]
pub struct WaitParts {
    parts: VecDeque<Part>,
}

/// Samples of some minutes.
#[derive(Debug)]
struct Part {
    window: Window,
    samples: u64,
    /// Of the minutes in it alone.
    seconds: f64,
    hidden: u64,
    seen: BTreeMap<WaitKey, u64>,
}

impl Part {
    fn add(&mut self, minute: &WaitMinute, hidden: u64) {
        self.samples += minute.samples;
        self.seconds += minute.seconds;
        self.hidden += hidden;
        for (key, counts) in &minute.points {
            let has_room = self.seen.len() < limits::SAMPLED_GROUPS;
            match self.seen.get_mut(key) {
                Some(known) => *known += counts.sessions,
                None if has_room => _ = self.seen.insert(key.clone(), counts.sessions),
                None => *self.seen.entry(others()).or_default() += counts.sessions,
            }
        }
    }
}

impl Part {
    /// Names what can be named by now.
    fn name(&mut self, query_ids: &QueryIds<'_>) {
        let named = self.seen.keys();
        let named = named.filter_map(|key| Some((key.clone(), query_ids.name(key)?)));
        let named: Vec<(WaitKey, WaitKey)> = named.collect();
        for (before, name) in named {
            if let Some(sessions) = self.seen.remove(&before) {
                *self.seen.entry(name).or_default() += sessions;
            }
        }
    }
}

fn others() -> WaitKey {
    WaitKey {
        event: WaitKey::OTHERS.to_owned(),
        ..WaitKey::default()
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or_default()
}

impl WaitParts {
    /// Takes in what was sampled before this began, as it was written down, oldest first.
    pub fn remember(&mut self, earlier: impl IntoIterator<Item = (DateTime<Utc>, WaitMinute)>) {
        for (at, minute) in earlier {
            // where sessions were hidden nothing was written down
            self.add(at, &minute, 0);
        }
    }

    /// Takes in what was sampled until `at`, and how many sessions were hidden in these samples.
    pub fn add(&mut self, at: DateTime<Utc>, minute: &WaitMinute, hidden: u64) {
        // what is remembered goes by our clock, and not by the server's
        self.parts.retain(|part| part.window.from < at);
        let joins = |part: &&mut Part| at - part.window.from <= delta(limits::WAITS_PART);
        match self.parts.back_mut().filter(joins) {
            Some(part) => {
                part.window.to = at;
                part.add(minute, hidden);
            }
            None => {
                let from = at - TimeDelta::milliseconds((minute.seconds * 1000.0) as i64);
                let mut part = Part {
                    window: Window { from, to: at },
                    samples: 0,
                    seconds: 0.0,
                    hidden: 0,
                    seen: BTreeMap::new(),
                };
                part.add(minute, hidden);
                self.parts.push_back(part);
            }
        }
    }

    /// Names statements that were executed for the first time while they were sampled, once it is known which they are.
    pub fn name(&mut self, query_ids: &QueryIds<'_>) {
        for part in &mut self.parts {
            part.name(query_ids);
        }
    }

    /// All of the last hour.
    ///
    /// # Errors
    /// If there are no samples of it.
    pub fn observe(&mut self, now: DateTime<Utc>) -> Result<Waits, Unknown> {
        let oldest = now - delta(limits::WAITS_WINDOW);
        while self.parts.front().is_some_and(|part| part.window.to <= oldest) {
            self.parts.pop_front();
        }
        let (Some(first), Some(last)) = (self.parts.front(), self.parts.back()) else {
            return Err(Unknown::because(
                "needs samples of what sessions do, which the daemon takes every few seconds (sample_every of the server); \
                 there are none of the last hour",
            ));
        };
        let mut seen: BTreeMap<&WaitKey, u64> = BTreeMap::new();
        for (key, sessions) in self.parts.iter().flat_map(|part| &part.seen) {
            *seen.entry(key).or_default() += sessions;
        }
        let since = now - delta(limits::WAITS_LATELY);
        let lately = || self.parts.iter().filter(|part| part.window.to > since);
        let mut seen_lately: BTreeMap<String, u64> = BTreeMap::new();
        for (key, sessions) in lately().flat_map(|part| &part.seen) {
            *seen_lately.entry(key.event.clone()).or_default() += sessions;
        }
        Ok(Waits {
            samples_lately: lately().map(|part| part.samples).sum(),
            seen_lately,
            window: Window {
                from: first.window.from,
                to: last.window.to,
            },
            samples: self.parts.iter().map(|part| part.samples).sum(),
            sampled_seconds: self.parts.iter().map(|part| part.seconds).sum(),
            hidden_sessions: self.parts.iter().map(|part| part.hidden).sum(),
            seen: seen
                .into_iter()
                .map(|(key, sessions)| (key.clone(), sessions))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::query_ids::tests::{held, unnamed};
    use super::*;
    use crate::model::history::WaitCounts;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + minutes * 60, 0).unwrap()
    }

    fn minute(events: &[&str]) -> WaitMinute {
        let point = |event: &&str| {
            let key = WaitKey {
                event: (*event).to_owned(),
                ..WaitKey::default()
            };
            (key, WaitCounts { sessions: 1 })
        };
        WaitMinute {
            seconds: 60.0,
            samples: 12,
            points: events.iter().map(point).collect(),
        }
    }

    #[test]
    fn an_hour_is_added_up_and_what_is_older_is_forgotten() {
        let mut parts = WaitParts::default();
        assert!(parts.observe(at(0)).unwrap_err().reason.starts_with("needs "));
        parts.add(at(1), &minute(&["IO: WALSync"]), 3);
        for minutes in 2..=61 {
            parts.add(at(minutes), &minute(&["CPU"]), 0);
        }
        let whole = parts.observe(at(60)).unwrap();
        assert_eq!(
            whole.window,
            Window {
                from: at(0),
                to: at(61)
            }
        );
        assert_eq!((whole.samples, whole.hidden_sessions), (61 * 12, 3));
        let told: Vec<(&str, u64)> = whole
            .seen
            .iter()
            .map(|(key, sessions)| (key.event.as_str(), *sessions))
            .collect();
        assert_eq!(told, [("CPU", 60), ("IO: WALSync", 1)]);
        assert!(parts.parts.len() <= 31, "{}", parts.parts.len());
        let later = parts.observe(at(62)).unwrap();
        assert_eq!((later.hidden_sessions, later.seen.len()), (0, 1));
        assert!(
            parts.observe(at(121)).is_err(),
            "what is an hour old says nothing"
        );
    }

    #[test]
    fn what_was_written_down_is_told_after_a_restart() {
        let written = |minutes: i64| (at(minutes), minute(&["Lock: transactionid"]));
        let mut parts = WaitParts::default();
        parts.remember((1..=10).map(written));
        let seen = parts.observe(at(12)).unwrap();
        assert_eq!((seen.samples, seen.sampled_seconds), (120, 600.0));
        parts.add(at(12), &minute(&["CPU"]), 0);
        let seen = parts.observe(at(12)).unwrap();
        let told: Vec<(&str, u64)> = seen
            .seen
            .iter()
            .map(|(key, sessions)| (key.event.as_str(), *sessions))
            .collect();
        assert_eq!(told, [("CPU", 1), ("Lock: transactionid", 10)]);
        assert_eq!((seen.window.from, seen.window.to), (at(0), at(12)));
        // the server's clock is half an hour behind ours
        parts.add(at(-20), &minute(&["CPU"]), 0);
        let seen = parts.observe(at(-20)).unwrap();
        assert_eq!((seen.window.to, seen.samples), (at(-20), 12));
    }

    #[test]
    fn what_was_waited_for_in_the_last_minutes_is_told_apart() {
        let mut parts = WaitParts::default();
        for minutes in 1..=30 {
            let event = if minutes <= 20 { "Lock: tuple" } else { "CPU" };
            parts.add(at(minutes), &minute(&[event]), 0);
        }
        let gone = parts.observe(at(30)).unwrap();
        assert_eq!(gone.share_lately("Lock: tuple"), Some(0.0));
        assert_eq!(gone.share_lately("CPU"), Some(1.0));
        assert!(gone.seen.iter().any(|(key, _)| key.event == "Lock: tuple"));
        let later = parts.observe(at(40)).unwrap();
        assert_eq!(later.share_lately("CPU"), None, "nobody sampled since");
    }

    #[test]
    fn a_time_without_samples_makes_no_sample_stand_for_more() {
        let mut parts = WaitParts::default();
        for minutes in (1..=10).chain(41..=50) {
            parts.add(at(minutes), &minute(&["CPU"]), 0);
        }
        let seen = parts.observe(at(50)).unwrap();
        assert_eq!(seen.window.seconds(), 3000.0, "half an hour of it is a gap");
        assert_eq!((seen.sampled_seconds, seen.samples), (1200.0, 240));
        assert_eq!(seen.sample_seconds(), 5.0);
    }

    #[test]
    fn a_statement_that_is_told_only_when_it_ended_has_what_was_sampled_before() {
        let waits = |query_id| (unnamed(query_id), WaitCounts { sessions: 12 });
        let sampled = |points| WaitMinute {
            points,
            ..minute(&[])
        };
        let mut parts = WaitParts::default();
        for minutes in 1..=6 {
            parts.add(at(minutes), &sampled(vec![waits(1), waits(2)]), 0);
        }
        parts.name(&QueryIds::of(Some(&held(&[])), None));
        let seen = parts.observe(at(6)).unwrap().seen;
        assert!(
            seen.iter().all(|(key, _)| key.statement_id.is_empty()),
            "{seen:?}"
        );
        let update = crate::sql::identify("UPDATE patient SET a = $1");
        let named = WaitKey {
            statement_id: update.statement_id,
            query_id: None,
            ..unnamed(1)
        };
        // its entry is there, and it goes on
        parts.add(
            at(7),
            &sampled(vec![(named.clone(), WaitCounts { sessions: 3 })]),
            0,
        );
        parts.name(&QueryIds::of(
            Some(&held(&[(1, "UPDATE patient SET a = $1")])),
            None,
        ));
        let seen = parts.observe(at(7)).unwrap().seen;
        assert_eq!(seen, [(unnamed(2), 72), (named, 75)]);
    }

    #[test]
    fn a_part_holds_no_more_than_so_many_groups() {
        let events: Vec<String> = (0..limits::SAMPLED_GROUPS + 5)
            .map(|number| format!("e{number}"))
            .collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let mut parts = WaitParts::default();
        parts.add(at(1), &minute(&events), 0);
        let seen = parts.observe(at(1)).unwrap();
        let others = seen.seen.iter().find(|(key, _)| key.event == WaitKey::OTHERS);
        assert_eq!(others.map(|(_, sessions)| *sessions), Some(5));
        assert_eq!(seen.sessions(), events.len() as u64);
    }
}
