//! What the standbys of a primary know of who reads the materialized views that are refreshed on it: each counts its own reads.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::history::TableReads;
use crate::model::observation::DatabaseObservation;
use crate::model::refresh::ViewStatus;
use crate::model::server_change::ServerChangeKind;
use crate::store::{Store, StoreError};

/// What was read is told for so long: it goes through the hours of months.
const READ_EVERY: TimeDelta = TimeDelta::minutes(10);

/// Views by their schemas and names.
type Views = [(String, String)];

/// What was read of late of the databases of standbys, by the name of each and that of the database.
#[derive(Default)]
pub(super) struct KnownReads(HashMap<(String, String), Known>);

struct Known {
    at: DateTime<Utc>,
    views: Vec<(String, String)>,
    told: TableReads,
}

impl Known {
    fn is_fresh(&self, views: &Views, now: DateTime<Utc>) -> bool {
        let age = now - self.at;
        self.views == views && age >= TimeDelta::zero() && age < READ_EVERY
    }
}

impl KnownReads {
    /// How a standby reads some views of a database.
    fn of(
        &mut self,
        (standby, database): (&str, &str),
        views: &Views,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<TableReads, StoreError> {
        let key = (standby.to_owned(), database.to_owned());
        if let Some(known) = self.0.get(&key).filter(|known| known.is_fresh(views, now)) {
            return Ok(known.told.clone());
        }
        let changes = store.server_changes(standby)?;
        let demoted = changes
            .iter()
            .rev()
            .find(|one| one.kind == ServerChangeKind::Demoted);
        let since = demoted.map(|one| one.at);
        let told = store.table_reads((standby, database), views, since, now)?;
        let known = Known {
            at: now,
            views: views.to_vec(),
            told: told.clone(),
        };
        self.0.insert(key, known);
        Ok(told)
    }

    /// Forgets what nobody asks for any more.
    fn keep(&mut self, databases: &[DatabaseObservation], standbys: &[Reader<'_>]) {
        self.0.retain(|(standby, database), _| {
            databases.iter().any(|one| one.name == *database)
                && standbys.iter().any(|one| one.names.contains(&standby))
        });
    }
}

/// A standby of the primary.
pub(super) struct Reader<'a> {
    /// All of its names.
    pub(super) names: Vec<&'a String>,
    /// Whether it was seen of late and keeps up: of another one only what it read counts.
    pub(super) is_watched: bool,
}

impl Reader<'_> {
    /// How it reads some views of a database, by their schemas and names.
    fn reads(
        &self,
        database: &str,
        views: &Views,
        (store, known): (&Store, &mut KnownReads),
        now: DateTime<Utc>,
    ) -> Result<TableReads, StoreError> {
        let mut all = TableReads {
            watched_since: None,
            read_at: vec![None; views.len()],
        };
        for name in &self.names {
            let one = known.of((name.as_str(), database), views, store, now)?;
            // under each of its names other databases may be watched
            let since = [all.watched_since, one.watched_since];
            all.watched_since = since.into_iter().flatten().min();
            for (known, read_at) in all.read_at.iter_mut().zip(one.read_at) {
                *known = (*known).max(read_at);
            }
        }
        Ok(all)
    }

    /// Takes in when it was last seen to read a view, and since when it is watched.
    fn take_in(
        &self,
        view: &mut ViewStatus,
        read_at: Option<DateTime<Utc>>,
        watched_since: Option<DateTime<Utc>>,
    ) {
        view.read_at = view.read_at.max(read_at);
        // what one that is not seen of late knew holds; what it read before it was looked at nobody knows
        if self.is_watched || watched_since.is_some() {
            let since = view.readers_watched_since.zip(watched_since);
            view.readers_watched_since = since.map(|(here, there)| here.max(there));
        }
    }
}

/// Takes the reads on standbys in: somebody reads a view who reads it on one of them, and nobody does only as far as all that are
/// watched tell.
///
/// # Errors
/// If the store cannot be read.
pub(super) fn add_to(
    databases: &mut [DatabaseObservation],
    standbys: &[Reader<'_>],
    (store, known): (&Store, &mut KnownReads),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    known.keep(databases, standbys);
    for database in databases {
        let observed = database.materialized_views.iter_mut().flatten();
        let refreshed = observed.filter_map(|view| view.refreshing.as_mut());
        let mut views: Vec<&mut ViewStatus> = refreshed.map(|refreshing| &mut refreshing.status).collect();
        if views.is_empty() {
            continue;
        }
        let name = |status: &&mut ViewStatus| (status.view.schema.clone(), status.view.name.clone());
        let names: Vec<(String, String)> = views.iter().map(name).collect();
        for standby in standbys {
            let reads = standby.reads(&database.name, &names, (store, &mut *known), now)?;
            for (view, read_at) in views.iter_mut().zip(reads.read_at) {
                standby.take_in(view, read_at, reads.watched_since);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::rules::testing::{now, refreshed_view};

    /// The view with what a standby tells that is watched, or not, in days ago.
    fn told(is_watched: bool, read: Option<i64>, watched: Option<i64>) -> (Option<i64>, Option<i64>) {
        let ago = |days: i64| now() - TimeDelta::days(days);
        let days = |at: Option<DateTime<Utc>>| at.map(|at| (now() - at).num_days());
        let mut observed = refreshed_view(|view| view.status.read_at = Some(ago(50)));
        let views = observed.databases[0].materialized_views.as_mut().unwrap();
        let view = &mut views[0].refreshing.as_mut().unwrap().status;
        let standby = Reader {
            names: Vec::new(),
            is_watched,
        };
        standby.take_in(view, read.map(ago), watched.map(ago));
        (days(view.read_at), days(view.readers_watched_since))
    }

    #[test]
    fn who_reads_a_view_on_a_standby_reads_it() {
        assert_eq!(told(true, Some(1), Some(200)), (Some(1), Some(100)));
        assert_eq!(told(true, Some(60), Some(40)), (Some(50), Some(40)));
        assert_eq!(told(true, None, None), (Some(50), None), "it does not know");
        assert_eq!(
            told(false, Some(1), None),
            (Some(1), Some(100)),
            "not seen of late"
        );
        assert_eq!(
            told(false, Some(1), Some(3)),
            (Some(1), Some(3)),
            "not seen of late, and watched for three days only"
        );
        assert_eq!(told(false, None, Some(200)), (Some(50), Some(100)));
    }

    #[test]
    fn of_a_standby_that_never_told_of_the_view_nobody_knows_whether_it_reads_it() {
        let name = "b".to_owned();
        let standby = Reader {
            names: vec![&name],
            is_watched: true,
        };
        let mut observed = refreshed_view(|_| {});
        let store = Store::in_memory().unwrap();
        let mut known = KnownReads::default();
        add_to(&mut observed.databases, &[standby], (&store, &mut known), now()).unwrap();
        let views = observed.databases[0].materialized_views.as_ref().unwrap();
        let status = &views[0].refreshing.as_ref().unwrap().status;
        assert_eq!(
            (status.read_at, status.readers_watched_since),
            (Some(now()), None)
        );
    }

    #[test]
    fn what_was_read_is_told_for_ten_minutes_and_forgotten_with_its_standby() {
        let (near, far) = ("near".to_owned(), "far".to_owned());
        let store = Store::in_memory().unwrap();
        let mut known = KnownReads::default();
        let mut read_at = |minute: i64, names: &[&String]| {
            let mut observed = refreshed_view(|_| {});
            let standbys = names.iter().map(|name| Reader {
                names: vec![*name],
                is_watched: true,
            });
            let standbys: Vec<Reader<'_>> = standbys.collect();
            let at = now() + TimeDelta::minutes(minute);
            add_to(&mut observed.databases, &standbys, (&store, &mut known), at).unwrap();
            let minutes = known
                .0
                .iter()
                .map(|((name, _), one)| (name.clone(), (one.at - now()).num_minutes()));
            let mut minutes: Vec<(String, i64)> = minutes.collect();
            minutes.sort();
            minutes
        };
        assert_eq!(read_at(0, &[&near]), [(near.clone(), 0)]);
        assert_eq!(read_at(9, &[&near, &far]), [(far.clone(), 9), (near.clone(), 0)]);
        assert_eq!(
            read_at(10, &[&near, &far]),
            [(far.clone(), 9), (near.clone(), 10)]
        );
        assert_eq!(
            read_at(5, &[&near]),
            [(near.clone(), 5)],
            "the clock was set back"
        );
    }
}
