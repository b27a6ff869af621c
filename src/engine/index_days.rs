//! How indexes were used over the days that the store remembers, for the rule that judges them by it: read once an hour beside
//! the looks, since it adds up months.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::{JoinError, JoinHandle};

use crate::model::catalog::Catalog;
use crate::model::index_days::{LittleUse, OverDays};
use crate::model::observation::Observation;
use crate::rules::index::rarely_used;
use crate::store::{Store, StoreError};

/// What was added up is told for so long.
const READ_EVERY: TimeDelta = TimeDelta::hours(1);

/// What was read of each database, and what is being read.
pub(super) struct IndexDays {
    /// None where nobody judges by it.
    little: Option<LittleUse>,
    read: HashMap<String, Read>,
    running: Option<JoinHandle<Answer>>,
    /// The first turn is to end soon: nothing is read meanwhile.
    is_first_turn: bool,
}

/// Whose use is added up.
#[derive(Clone, PartialEq)]
struct Whose {
    /// The standbys that are watched, too.
    standbys: Vec<String>,
    /// What is older was done by a standby.
    since: Option<DateTime<Utc>>,
}

impl Whose {
    fn of(observation: &Observation) -> Self {
        Self {
            standbys: observation.standbys_watched.names.clone(),
            since: observation.primary_since,
        }
    }
}

/// What is known of one database.
struct Read {
    /// When it was asked for.
    at: DateTime<Utc>,
    whose: Whose,
    told: OverDays,
}

impl Read {
    fn is_fresh(&self, whose: &Whose, now: DateTime<Utc>) -> bool {
        let age = now - self.at;
        self.whose == *whose && age >= TimeDelta::zero() && age < READ_EVERY
    }
}

/// What is asked of the store.
struct Question {
    store: Store,
    server: String,
    whose: Whose,
    databases: Vec<(String, Arc<Catalog>)>,
    little: LittleUse,
    now: DateTime<Utc>,
}

/// What the store says of each database.
struct Answer {
    whose: Whose,
    databases: Vec<(String, OverDays)>,
}

impl IndexDays {
    pub(super) fn new(little: Option<LittleUse>) -> Self {
        Self {
            little,
            read: HashMap::new(),
            running: None,
            is_first_turn: true,
        }
    }

    /// Takes in what was read meanwhile. Waits for nothing.
    pub(super) async fn take_finished(&mut self) {
        if let Some(running) = self.running.take_if(|running| running.is_finished()) {
            self.take(running.await);
        }
    }

    fn take(&mut self, answer: Result<Answer, JoinError>) {
        match answer {
            Ok(answer) => {
                for (database, told) in answer.databases {
                    // what was asked of others meanwhile is asked again
                    let read = self.read.get_mut(&database);
                    if let Some(read) = read.filter(|read| read.whose == answer.whose) {
                        read.told = told;
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "reading how indexes were used over the last months failed");
                let waiting = self.read.values_mut();
                waiting
                    .filter(|read| matches!(read.told, OverDays::Coming))
                    .for_each(|read| read.told = OverDays::Unknown);
            }
        }
    }

    /// Puts what is known into the databases of a primary, whose standbys are known already, and begins to read what is due.
    pub(super) fn add_to(&mut self, observation: &mut Observation, store: &Store, now: DateTime<Utc>) {
        let Some(little) = self.little.filter(|_| !observation.server.is_standby) else {
            return;
        };
        let there = &observation.databases;
        self.read
            .retain(|name, _| there.iter().any(|database| database.name == *name));
        let is_first_turn = std::mem::replace(&mut self.is_first_turn, false);
        // while a standby cannot be seen nobody judges by it
        if !is_first_turn && self.running.is_none() && observation.standbys_watched.unseen == 0 {
            self.begin(observation, store, little, now);
        }
        let whose = Whose::of(observation);
        for database in &mut observation.databases {
            let read = self.read.get(&database.name);
            let told = read
                .filter(|read| read.whose == whose)
                .map(|read| read.told.clone());
            database.use_over_days = told.unwrap_or(OverDays::Coming);
        }
    }

    fn begin(&mut self, observation: &Observation, store: &Store, little: LittleUse, now: DateTime<Utc>) {
        let whose = Whose::of(observation);
        let mut databases = Vec::new();
        for database in &observation.databases {
            let known = self.read.remove(&database.name);
            let told = match known {
                Some(read) if read.is_fresh(&whose, now) => {
                    self.read.insert(database.name.clone(), read);
                    continue;
                }
                // what is known is told until more is
                Some(read) if read.whose == whose => read.told,
                Some(_) | None => OverDays::Coming,
            };
            let read = Read {
                at: now,
                whose: whose.clone(),
                told,
            };
            self.read.insert(database.name.clone(), read);
            databases.push((database.name.clone(), database.catalog.clone()));
        }
        if databases.is_empty() {
            return;
        }
        let question = Question {
            store: store.clone(),
            server: observation.server.name.clone(),
            whose,
            databases,
            little,
            now,
        };
        self.running = Some(tokio::task::spawn_blocking(move || question.answer()));
    }
}

impl Question {
    fn answer(self) -> Answer {
        let databases = self.databases.iter().map(|(name, catalog)| {
            let told = self.over_days(name, catalog).unwrap_or_else(|error| {
                tracing::error!(%error, "how indexes were used over the last months cannot be read");
                OverDays::Unknown
            });
            (name.clone(), told)
        });
        Answer {
            databases: databases.collect(),
            whose: self.whose.clone(),
        }
    }

    fn over_days(&self, database: &str, catalog: &Catalog) -> Result<OverDays, StoreError> {
        let asked = rarely_used::candidates(catalog);
        let here = (self.server.as_str(), database);
        let when = (self.whose.since, self.now);
        let known = self
            .store
            .use_over_days(here, &self.whose.standbys, &asked, &self.little, when)?;
        Ok(known.map_or(OverDays::Unknown, |days| OverDays::Known(Arc::new(days))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::Period;
    use crate::rules::testing::{database, index, now};

    const LITTLE: LittleUse = LittleUse {
        min_age: Period::days(30),
        max_scans: 1_000.0,
        entries_per_scan: 100.0,
    };

    /// What is told at some minute.
    fn told(days: &mut IndexDays, observed: &mut Observation, store: &Store, minute: i64) -> &'static str {
        days.add_to(observed, store, now() + TimeDelta::minutes(minute));
        match observed.databases[0].use_over_days {
            OverDays::Unknown => "unknown",
            OverDays::Coming => "coming",
            OverDays::Known(_) => "known",
        }
    }

    /// Whether something was being read, which is waited for.
    async fn was_reading(days: &mut IndexDays) -> bool {
        let Some(running) = days.running.take() else {
            return false;
        };
        days.take(running.await);
        true
    }

    #[tokio::test]
    async fn it_is_read_once_an_hour_and_anew_where_another_standby_is_watched_or_one_is_promoted() {
        let store = Store::in_memory().unwrap();
        let mut days = IndexDays::new(Some(LITTLE));
        let mut observed = database(vec![index(9, "i")]);
        assert_eq!(told(&mut days, &mut observed, &store, 0), "coming");
        assert!(!was_reading(&mut days).await, "the first turn is left alone");
        assert_eq!(told(&mut days, &mut observed, &store, 1), "coming");
        assert!(was_reading(&mut days).await);
        for (minute, is_read) in [(2, false), (60, false), (61, true), (62, false)] {
            let known = told(&mut days, &mut observed, &store, minute);
            assert_eq!(known, "unknown", "the store remembers nothing");
            assert_eq!(was_reading(&mut days).await, is_read, "{minute}");
        }
        observed.standbys_watched.names = vec!["near".to_owned()];
        assert_eq!(told(&mut days, &mut observed, &store, 63), "coming");
        assert!(was_reading(&mut days).await);
        assert_eq!(told(&mut days, &mut observed, &store, 64), "unknown");
        assert!(!was_reading(&mut days).await);
        observed.primary_since = Some(now());
        assert_eq!(told(&mut days, &mut observed, &store, 65), "coming");
        assert!(was_reading(&mut days).await);
        told(&mut days, &mut observed, &store, 30);
        assert!(was_reading(&mut days).await, "the clock was set back");
    }

    #[tokio::test]
    async fn nothing_is_read_that_nobody_judges_by() {
        let store = Store::in_memory().unwrap();
        let mut never = IndexDays::new(None);
        let mut days = IndexDays::new(Some(LITTLE));
        let mut observed = database(vec![index(9, "i")]);
        for minute in 0..3 {
            assert_eq!(told(&mut never, &mut observed, &store, minute), "unknown");
        }
        assert!(!was_reading(&mut never).await);
        observed.server.is_standby = true;
        for minute in 0..3 {
            assert_eq!(told(&mut days, &mut observed, &store, minute), "unknown");
        }
        observed.server.is_standby = false;
        observed.standbys_watched.unseen = 1;
        for minute in 3..6 {
            told(&mut days, &mut observed, &store, minute);
        }
        assert!(!was_reading(&mut days).await);
        observed.standbys_watched.unseen = 0;
        told(&mut days, &mut observed, &store, 6);
        assert!(was_reading(&mut days).await);
    }

    #[tokio::test]
    async fn what_is_known_is_told_until_more_is() {
        let store = Store::in_memory().unwrap();
        let mut days = IndexDays::new(Some(LITTLE));
        let mut observed = database(vec![index(9, "i")]);
        told(&mut days, &mut observed, &store, 0);
        told(&mut days, &mut observed, &store, 1);
        assert!(was_reading(&mut days).await);
        assert_eq!(told(&mut days, &mut observed, &store, 61), "unknown");
        assert!(days.running.is_some());
        // what comes of other standbys than are watched now is not told
        observed.standbys_watched.names = vec!["near".to_owned()];
        assert_eq!(told(&mut days, &mut observed, &store, 62), "coming");
        assert!(was_reading(&mut days).await);
        assert_eq!(told(&mut days, &mut observed, &store, 63), "coming");
        assert!(was_reading(&mut days).await);
        assert_eq!(told(&mut days, &mut observed, &store, 64), "unknown");
    }
}
