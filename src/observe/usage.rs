//! Since when an index is idle, over resets, restarts and crashes of either side: a few bytes an index, kept in the store
//! by whoever runs the observer. An index is its OID: another one under a name is another index, and one that is renamed the same.
//! The store keeps them by their names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::resets::Since;
use crate::model::by_oid::{ByOid, HasOid};
use crate::model::catalog::{Catalog, IndexFacts};
use crate::model::snapshot::IndexCounters;

/// An index by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct IndexName {
    pub database: String,
    pub schema: String,
    pub name: String,
}

/// Since when indexes are idle, by database and OID.
pub type IdleSince = HashMap<String, HashMap<u32, DateTime<Utc>>>;

/// What is remembered of one index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Its OID, to see when another index takes its name.
    pub oid: u32,
    /// Its scans at the last look.
    pub scans: i64,
    /// When it was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last seen to be used, or when its use could not be followed.
    pub last_moved_at: Option<DateTime<Utc>>,
}

/// One index of one database.
struct Entry {
    schema: Box<str>,
    name: Box<str>,
    usage: Usage,
    /// The last use as it was written down.
    written: Option<DateTime<Utc>>,
    /// Whether this must be written down.
    is_news: bool,
}

impl Entry {
    fn is_named(&self, facts: &IndexFacts) -> bool {
        *self.schema == *facts.schema && *self.name == *facts.name
    }

    /// A new one, of which nothing is written down yet.
    fn new(facts: &IndexFacts, usage: Usage) -> Self {
        Self {
            schema: facts.schema.as_str().into(),
            name: facts.name.as_str().into(),
            usage,
            written: None,
            is_news: true,
        }
    }

    /// An index in use is written down seldom, and once more when it comes to rest.
    fn is_worth_writing(&self, usage: &Usage) -> bool {
        let quiet_again =
            usage.last_moved_at == self.usage.last_moved_at && self.written != usage.last_moved_at;
        let hours_later = |moved: DateTime<Utc>| self.written.is_none_or(|at| moved - at >= WRITE_EVERY);
        quiet_again || usage.last_moved_at.is_some_and(hours_later)
    }

    /// The same index under another name, under which it must be written down.
    fn rename(&mut self, facts: &IndexFacts) {
        self.schema = facts.schema.as_str().into();
        self.name = facts.name.as_str().into();
        self.is_news = true;
    }

    fn key(&self, database: &str) -> IndexName {
        IndexName {
            database: database.to_owned(),
            schema: self.schema.as_ref().to_owned(),
            name: self.name.as_ref().to_owned(),
        }
    }
}

impl HasOid for Entry {
    fn oid(&self) -> u32 {
        self.usage.oid
    }
}

/// What is remembered of all indexes of a server.
#[derive(Default)]
pub struct Usages {
    /// By database and OID.
    known: HashMap<String, ByOid<Entry>>,
    /// Where the next index is that is asked for, as they come in their order.
    next: usize,
    /// Names that are gone since this was last asked.
    gone: Vec<IndexName>,
    /// The names of each database as they were last compared with what is known.
    compared: HashMap<String, Arc<Catalog>>,
    /// The server's databases at the last look.
    databases: Vec<String>,
    /// Databases that were not visited since something ended.
    unvisited: HashMap<String, Following>,
    /// When the first of a database's indexes was first seen.
    watched_since: HashMap<String, DateTime<Utc>>,
    looks: Looks,
}

/// How what a server counts follows what was counted at the look before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Following {
    /// It goes on, or began again at a reset that the server tells.
    #[default]
    Same,
    /// Another server counted it, which has a past of its own.
    Another,
    /// Nobody knows: an index may have been used until now, by a clock that jumped or on another server.
    Unknown,
}

/// What was seen of the clock, and of the server that has it.
#[derive(Clone, Copy, Default)]
struct Looks {
    last_look_at: Option<DateTime<Utc>>,
    following: Following,
    /// Whether the server was a standby once: its scans of that time say nothing of those on its primary of then.
    was_promoted: bool,
}

/// An index in use moves at every look; it is written down at most this often, and when it comes to rest.
pub const WRITE_EVERY: TimeDelta = TimeDelta::hours(1);
/// With a longer pause before a reset, or before a standby took the place of its primary, scans may have been counted and lost
/// unseen.
pub const UNSEEN_AT_MOST: TimeDelta = TimeDelta::minutes(10);

impl Usages {
    /// Takes in what was written down before, at the last look of that time.
    pub fn remember(
        &mut self,
        known: impl IntoIterator<Item = (IndexName, Usage)>,
        last_look_at: Option<DateTime<Utc>>,
    ) {
        for (name, usage) in known {
            let entry = Entry {
                schema: name.schema.into(),
                name: name.name.into(),
                usage,
                written: usage.last_moved_at,
                is_news: false,
            };
            self.known.entry(name.database).or_default().insert(entry);
        }
        self.looks.last_look_at = last_look_at;
    }

    /// The scans of an index at the last look, without those that planning counted.
    pub(super) fn scans_of(&self, database: &str, oid: u32) -> Option<i64> {
        let entry = self.known.get(database)?.get(oid)?;
        Some(entry.usage.scans)
    }

    /// Tells how the next counters of every known database follow those before.
    pub(super) fn go_on(&mut self, following: Following) {
        for database in self.known.keys() {
            let known = self.unvisited.entry(database.clone()).or_default();
            *known = following.max(*known);
        }
    }

    /// A standby was promoted: an index is idle since both have left it alone, this server and the primary before it. Of one that
    /// is not known there nobody knows.
    pub(super) fn join(&mut self, there: &IdleSince, now: DateTime<Utc>) {
        for (database, entries) in &mut self.known {
            let there = there.get(database);
            for entry in entries.values_mut() {
                let there = there.and_then(|there| there.get(&entry.oid()).copied());
                let here = entry.usage.last_moved_at.unwrap_or(entry.usage.first_seen_at);
                let joined = here.max(there.map_or(now, |there| there.min(now)));
                // one that neither was seen to use has not moved
                entry.usage.last_moved_at = (joined > entry.usage.first_seen_at).then_some(joined);
                entry.is_news = true;
            }
        }
    }

    /// Takes in whether the server was a standby once, as its timeline tells.
    pub(super) fn note_promotion(&mut self, was_promoted: bool) {
        self.looks.was_promoted = was_promoted;
    }

    /// Begins with the indexes of a database.
    pub(super) fn enter(&mut self, database: &str) {
        self.looks.following = self.unvisited.remove(database).unwrap_or_default();
        let Some(entries) = self.known.get_mut(database) else {
            return;
        };
        entries.shrink_to_fit();
        if let Some(first) = entries.values().map(|entry| entry.usage.first_seen_at).min() {
            let known = self.watched_since.entry(database.to_owned()).or_insert(first);
            *known = first.min(*known);
        }
    }

    /// When the first of a database's indexes was first seen: the database was there then. `None` at the first look.
    pub(super) fn watched_since(&self, database: &str) -> Option<DateTime<Utc>> {
        self.watched_since.get(database).copied()
    }

    /// When an index was first seen, where others of its database were seen before: it was not there then. One that was there at
    /// the first look may be older than anybody knows.
    pub(super) fn appeared_at(&self, database: &str, oid: u32) -> Option<DateTime<Utc>> {
        let first_seen_at = self.known.get(database)?.get(oid)?.usage.first_seen_at;
        let watched_since = *self.watched_since.get(database)?;
        (first_seen_at > watched_since).then_some(first_seen_at)
    }

    pub(super) fn looked_at(&mut self, at: DateTime<Utc>) {
        self.looks.last_look_at = Some(at);
    }

    /// When the last look was taken in, also before this daemon began.
    pub(super) fn last_look_at(&self) -> Option<DateTime<Utc>> {
        self.looks.last_look_at
    }

    /// What must be written down since this was last asked.
    pub fn take_changed(&mut self) -> Vec<(IndexName, Usage)> {
        self.take(|entry| entry.is_news)
    }

    /// Everything of which the newest state is not written down, for when the advisor ends.
    pub fn take_unwritten(&mut self) -> Vec<(IndexName, Usage)> {
        self.take(|entry| entry.is_news || entry.written != entry.usage.last_moved_at)
    }

    fn take(&mut self, wanted: impl Fn(&Entry) -> bool) -> Vec<(IndexName, Usage)> {
        let mut taken = Vec::new();
        for (database, entries) in &mut self.known {
            for entry in entries.values_mut().filter(|entry| wanted(entry)) {
                entry.is_news = false;
                entry.written = entry.usage.last_moved_at;
                taken.push((entry.key(database), entry.usage));
            }
        }
        taken
    }

    /// Gives back what could not be written down, so that it is not lost; what changed meanwhile is newer.
    pub fn give_back(&mut self, changed: &[(IndexName, Usage)], gone: Vec<IndexName>) {
        for (name, usage) in changed {
            let entries = self.known.get_mut(&name.database);
            if let Some(entry) = entries.and_then(|entries| entries.get_mut(usage.oid)) {
                entry.is_news = true;
            }
        }
        self.gone.extend(gone);
    }

    /// Forgets the indexes of databases that are gone.
    pub(super) fn forget_databases_but(&mut self, there: &[&str]) {
        let known = self.databases.iter().map(String::as_str);
        if known.eq(there.iter().copied()) {
            return;
        }
        self.databases = there.iter().map(|name| (*name).to_owned()).collect();
        self.compared
            .retain(|database, _| there.contains(&database.as_str()));
        self.watched_since
            .retain(|database, _| there.contains(&database.as_str()));
        for (database, entries) in self
            .known
            .extract_if(|database, _| !there.contains(&database.as_str()))
        {
            self.gone
                .extend(entries.values().map(|entry| entry.key(&database)));
        }
    }

    /// Forgets the indexes of a database that its catalog no longer has. Costs nothing while the catalog is the same.
    pub(super) fn forget_gone(&mut self, database: &str, catalog: &Arc<Catalog>) {
        let compared = self.compared.get(database);
        if compared.is_some_and(|compared| Arc::ptr_eq(compared, catalog)) {
            return;
        }
        self.compared.insert(database.to_owned(), catalog.clone());
        let Some(entries) = self.known.get_mut(database) else {
            return;
        };
        let mut facts = catalog.indexes.finder();
        let gone = entries.extract_if(|entry| facts.find(entry.oid()).is_none());
        let mut old_names: Vec<IndexName> = gone.iter().map(|entry| entry.key(database)).collect();
        let mut facts = catalog.indexes.finder();
        for entry in entries.values_mut() {
            let renamed = facts.find(entry.oid()).filter(|facts| !entry.is_named(facts));
            if let Some(facts) = renamed {
                old_names.push(entry.key(database));
                entry.rename(facts);
            }
        }
        if old_names.is_empty() {
            return;
        }
        // another index that has the name now keeps the name's row
        let names: HashSet<(&str, &str)> = catalog
            .indexes
            .values()
            .map(|facts| (facts.schema.as_str(), facts.name.as_str()))
            .collect();
        old_names.retain(|name| !names.contains(&(name.schema.as_str(), name.name.as_str())));
        self.gone.extend(old_names);
    }

    /// What is no longer to be remembered since this was last asked.
    pub fn take_gone(&mut self) -> Vec<IndexName> {
        std::mem::take(&mut self.gone)
    }

    /// Takes in one counter, and tells since when the index is known to be idle.
    pub(super) fn observe(
        &mut self,
        database: &str,
        facts: &IndexFacts,
        counters: &IndexCounters,
        since: Since,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if !self.known.contains_key(database) {
            self.known.insert(database.to_owned(), ByOid::default());
        }
        let entries = self.known.get_mut(database)?;
        let place = entries.place_near(self.next, counters.oid);
        self.next = place.map_or(entries.len(), |place| place + 1);
        let known = place
            .map(|place| entries.at_mut(place))
            // that it is this index still was seen when the names were compared
            .filter(|entry| entry.usage.first_seen_at <= now);
        let usage = match known {
            Some(entry) => {
                let usage = self.looks.follow(entry.usage, counters, since, now);
                entry.is_news |= entry.is_worth_writing(&usage);
                entry.usage = usage;
                usage
            }
            None => {
                let usage = Usage {
                    oid: counters.oid,
                    scans: counters.scans,
                    first_seen_at: now,
                    last_moved_at: None,
                };
                entries.insert(Entry::new(facts, usage));
                usage
            }
        };
        // from 16 the server itself knows when: the index existed then and was not scanned since
        let idle = usage.last_moved_at.unwrap_or(usage.first_seen_at);
        let last_scan_at = counters.last_scan_at.filter(|_| !self.looks.was_promoted);
        Some(last_scan_at.map_or(idle, |scanned| {
            scanned.min(now).max(usage.last_moved_at.unwrap_or(scanned))
        }))
    }
}

impl Looks {
    /// The memory of an index after one more look.
    fn follow(self, before: Usage, counters: &IndexCounters, since: Since, now: DateTime<Utc>) -> Usage {
        let last_moved_at = match self.following {
            Following::Same => self.last_moved_at(before, counters, since, now),
            Following::Another => Some(idle_on_both(before, counters, since.all, now)),
            Following::Unknown => Some(now),
        };
        Usage {
            scans: counters.scans,
            last_moved_at,
            ..before
        }
    }

    /// When an index was last used, as the server that always counted it tells.
    fn last_moved_at(
        self,
        before: Usage,
        counters: &IndexCounters,
        since: Since,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        // one that was reset alone runs backwards
        let was_reset = counters.scans < before.scans
            || matches!((since.most, self.last_look_at), (Some(since), Some(look)) if since > look);
        let reset_at = since.all.unwrap_or(now);
        let unseen_before_reset = was_reset
            && self
                .last_look_at
                .is_none_or(|look| reset_at - look > UNSEEN_AT_MOST);
        let moved = if was_reset {
            counters.scans > 0
        } else {
            counters.scans > before.scans
        };
        if moved {
            Some(now)
        } else if unseen_before_reset {
            Some(reset_at)
        } else {
            before.last_moved_at
        }
    }
}

/// Since when an index is idle on two servers of one cluster: the one that counted until now, and the one that answers
/// from now on. However their counts compare, they say nothing of each other.
fn idle_on_both(
    before: Usage,
    counters: &IndexCounters,
    counters_since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let there = before.last_moved_at.unwrap_or(before.first_seen_at);
    let here = match counters.scans {
        0 => counters_since,
        _ => counters.last_scan_at,
    };
    there.max(here.map_or(now, |at| at.min(now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + 60 * minutes, 0).unwrap()
    }

    fn look(usages: &mut Usages, minute: i64, oid: u32, scans: i64, since: i64) -> DateTime<Utc> {
        let facts = IndexFacts {
            schema: "s".into(),
            name: "i".into(),
            ..IndexFacts::default()
        };
        let counters = IndexCounters {
            oid,
            scans,
            last_scan_at: None,
        };
        let idle = usages.observe("d", &facts, &counters, all_since(since), time(minute));
        usages.looked_at(time(minute));
        idle.unwrap()
    }

    /// Where nothing was reset alone.
    fn all_since(minute: i64) -> Since {
        Since {
            all: Some(time(minute)),
            most: Some(time(minute)),
        }
    }

    #[test]
    fn a_reset_does_not_make_an_index_used_and_use_ends_idleness() {
        let mut usages = Usages::default();
        assert_eq!(look(&mut usages, 0, 1, 0, -9), time(0));
        assert_eq!(look(&mut usages, 5, 1, 0, -9), time(0));
        assert_eq!(
            look(&mut usages, 6, 1, 0, 6),
            time(0),
            "reset between two looks that were close"
        );
        assert_eq!(look(&mut usages, 7, 1, 3, 6), time(7), "a scan");
        assert_eq!(look(&mut usages, 8, 1, 3, 6), time(7).min(time(8)));
    }

    #[test]
    fn what_was_scanned_last_on_a_standby_says_nothing_of_its_primary_of_then() {
        let idle = |was_promoted: bool| {
            let mut usages = Usages::default();
            usages.note_promotion(was_promoted);
            let counters = IndexCounters {
                oid: 1,
                scans: 3,
                last_scan_at: Some(time(-90)),
            };
            usages.observe("d", &IndexFacts::default(), &counters, all_since(-99), time(0))
        };
        assert_eq!(idle(false), Some(time(-90)));
        assert_eq!(idle(true), Some(time(0)));
    }

    #[test]
    fn another_index_that_is_reset_alone_does_not_make_one_used() {
        let idle = |scans: i64, most: i64| {
            let mut usages = Usages::default();
            look(&mut usages, 0, 1, 7, -9);
            let counters = IndexCounters {
                oid: 1,
                scans,
                last_scan_at: None,
            };
            let since = Since {
                all: Some(time(4)),
                most: Some(time(most)),
            };
            usages.observe("d", &IndexFacts::default(), &counters, since, time(5))
        };
        assert_eq!(idle(7, -9), Some(time(0)));
        assert_eq!(
            idle(7, 4),
            Some(time(5)),
            "all were reset, and it was scanned since"
        );
        assert_eq!(
            idle(2, -9),
            Some(time(5)),
            "it was reset itself, and scanned since"
        );
        assert_eq!(idle(0, -9), Some(time(0)), "it was reset itself");
    }

    #[test]
    fn a_reset_while_nobody_looked_ends_the_window() {
        let mut usages = Usages::default();
        look(&mut usages, 0, 1, 0, -9);
        assert_eq!(look(&mut usages, 1000, 1, 0, 900), time(900));
    }

    #[test]
    fn another_index_under_the_name_is_another_index() {
        let mut usages = Usages::default();
        look(&mut usages, 0, 1, 0, -9);
        assert_eq!(look(&mut usages, 50, 2, 0, -9), time(50));
    }

    #[test]
    fn an_index_that_came_after_others_appeared_when_it_was_first_seen() {
        let mut usages = Usages::default();
        let mut appeared = |minute: i64, oid: u32| {
            usages.enter("d");
            look(&mut usages, minute, oid, 0, -9);
            usages.appeared_at("d", oid)
        };
        assert_eq!(appeared(0, 1), None, "it may have been there for long");
        assert_eq!(appeared(5, 2), Some(time(5)));
        assert_eq!(appeared(9, 1), None);
        assert_eq!(appeared(9, 2), Some(time(5)), "and no later");
        // all that is there now is as old
        usages
            .known
            .get_mut("d")
            .unwrap()
            .extract_if(|entry| entry.oid() == 1);
        usages.enter("d");
        assert_eq!(usages.appeared_at("d", 2), Some(time(5)));
    }

    #[test]
    fn dropped_indexes_are_forgotten_once() {
        let mut usages = Usages::default();
        look(&mut usages, 0, 1, 0, -9);
        usages.forget_gone("other", &Arc::default());
        assert_eq!(usages.take_gone(), []);
        usages.forget_gone("d", &Arc::default());
        let gone: Vec<String> = usages.take_gone().into_iter().map(|name| name.name).collect();
        assert_eq!(
            (gone, usages.take_gone(), usages.take_changed()),
            (vec!["i".to_owned()], vec![], vec![])
        );
    }

    /// A catalog of indexes by OID and name.
    fn named(indexes: &[(u32, &str)]) -> Arc<Catalog> {
        let facts = indexes.iter().map(|(oid, name)| IndexFacts {
            oid: *oid,
            schema: "s".into(),
            name: (*name).into(),
            ..IndexFacts::default()
        });
        let facts: Vec<IndexFacts> = facts.collect();
        Arc::new(Catalog::new(Vec::new().into(), facts.into()))
    }

    fn names(usages: &mut Usages) -> (Vec<String>, Vec<String>) {
        let changed = usages.take_changed().into_iter().map(|(name, _)| name.name);
        let changed: Vec<String> = changed.collect();
        let gone = usages.take_gone().into_iter().map(|name| name.name);
        (changed, gone.collect())
    }

    #[test]
    fn an_index_that_is_renamed_is_the_same() {
        let mut usages = Usages::default();
        look(&mut usages, 0, 1, 0, -9);
        usages.forget_gone("d", &named(&[(1, "i")]));
        assert_eq!(names(&mut usages), (vec!["i".to_owned()], vec![]));
        usages.forget_gone("d", &named(&[(1, "j")]));
        assert_eq!(names(&mut usages), (vec!["j".to_owned()], vec!["i".to_owned()]));
        assert_eq!(
            look(&mut usages, 50, 1, 0, -9),
            time(0),
            "idle for as long as before"
        );
        // another one takes a name that was given up
        usages.forget_gone("d", &named(&[(1, "k"), (2, "j")]));
        assert_eq!(
            names(&mut usages),
            (vec!["k".to_owned()], vec![]),
            "the name's row stays"
        );
        usages.forget_gone("d", &named(&[(2, "k")]));
        assert_eq!(
            names(&mut usages),
            (vec![], vec![]),
            "another index under its name"
        );
        assert_eq!(look(&mut usages, 60, 2, 0, -9), time(60));
    }

    #[test]
    fn the_last_use_is_written_down_when_the_index_comes_to_rest() {
        let mut usages = Usages::default();
        let mut written = Vec::new();
        for minute in 0..100 {
            // used all the time for twenty minutes, then never again
            look(&mut usages, minute, 1, minute.min(20), -9);
            written.extend(
                usages
                    .take_changed()
                    .into_iter()
                    .map(|(_, usage)| (minute, usage)),
            );
        }
        let minutes: Vec<i64> = written.iter().map(|(minute, _)| *minute).collect();
        assert_eq!(minutes, [0, 1, 21], "seldom, but not lost");
        assert_eq!(written[2].1.last_moved_at, Some(time(20)));
        let mut after = Usages::default();
        let name = IndexName {
            database: "d".into(),
            schema: "s".into(),
            name: "i".into(),
        };
        after.remember([(name, written[2].1)], Some(time(99)));
        assert_eq!(look(&mut after, 110, 1, 20, -9), time(20), "a restart is no use");
    }

    #[test]
    fn what_could_not_be_written_is_offered_again() {
        let mut usages = Usages::default();
        look(&mut usages, 0, 1, 0, -9);
        let (changed, gone) = (usages.take_changed(), usages.take_gone());
        assert_eq!(changed.len(), 1);
        usages.give_back(&changed, gone);
        assert_eq!(usages.take_changed(), changed);
        look(&mut usages, 1, 1, 5, -9);
        usages.take_changed();
        look(&mut usages, 2, 1, 9, -9);
        assert!(usages.take_changed().is_empty());
        assert_eq!(usages.take_unwritten()[0].1.last_moved_at, Some(time(2)));
        usages.forget_databases_but(&["other"]);
        assert_eq!(usages.take_gone().len(), 1);
    }

    /// Since when an index is known to be idle that was scanned seven times until the first look, of which the next finds
    /// it scanned so often, with counters since then, as something else than the same server's.
    fn idle_after(following: Following, scans: i64, since: i64) -> DateTime<Utc> {
        let mut usages = Usages::default();
        look(&mut usages, 0, 1, 7, -9);
        usages.go_on(following);
        // a look that did not reach the database changes nothing
        usages.looked_at(time(20));
        usages.enter("d");
        look(&mut usages, 100, 1, scans, since)
    }

    #[test]
    fn another_server_behind_the_name_has_a_past_of_its_own() {
        let after = |scans, since| idle_after(Following::Another, scans, since);
        for scans in [3, 7, 9] {
            assert_eq!(after(scans, -500), time(100), "{scans}: nobody knows when");
        }
        assert_eq!(
            after(0, -500),
            time(0),
            "never used there, and not here since it is watched"
        );
        assert_eq!(after(0, 40), time(40), "it counts only since then");
        assert_eq!(idle_after(Following::Unknown, 7, -500), time(100));
        assert_eq!(
            idle_after(Following::Same, 7, -500),
            time(0),
            "a restart is no use"
        );
    }

    #[test]
    fn a_standby_that_was_promoted_goes_on_where_both_left_an_index_alone() {
        let idle = |there: Option<i64>, scans: i64| {
            let mut usages = Usages::default();
            look(&mut usages, 0, 1, 7, -9);
            usages.take_changed();
            let there = there.map(|minute| ("d".to_owned(), HashMap::from([(1, time(minute))])));
            usages.join(&there.into_iter().collect(), time(100));
            assert_eq!(usages.take_changed().len(), 1, "it is written down");
            usages.go_on(Following::Same);
            usages.enter("d");
            look(&mut usages, 100, 1, scans, -9)
        };
        assert_eq!(idle(Some(40), 7), time(40), "the primary used it last");
        assert_eq!(idle(Some(-50), 7), time(0), "never before it was watched here");
        assert_eq!(idle(Some(40), 8), time(100), "used here since the look before");
        assert_eq!(idle(Some(200), 7), time(100), "by a clock that is ahead");
        assert_eq!(idle(None, 7), time(100), "not known there");
    }

    #[test]
    fn what_neither_of_two_servers_was_seen_to_use_has_not_moved() {
        let moved = |there: i64| {
            let mut usages = Usages::default();
            look(&mut usages, 0, 1, 7, -9);
            let there = HashMap::from([("d".to_owned(), HashMap::from([(1, time(there))]))]);
            usages.join(&there, time(100));
            usages.take_changed()[0].1.last_moved_at
        };
        assert_eq!(moved(-50), None, "its scans are of an unknown time");
        assert_eq!(moved(40), Some(time(40)));
    }

    #[test]
    fn a_failover_is_over_after_one_look_and_the_server_may_know_the_last_scan() {
        let mut usages = Usages::default();
        look(&mut usages, 0, 1, 7, -9);
        usages.go_on(Following::Another);
        usages.enter("d");
        let facts = IndexFacts {
            schema: "s".into(),
            name: "i".into(),
            ..IndexFacts::default()
        };
        let counters = IndexCounters {
            oid: 1,
            scans: 3,
            last_scan_at: Some(time(-200)),
        };
        let idle = usages.observe("d", &facts, &counters, all_since(-500), time(10));
        assert_eq!(
            idle,
            Some(time(0)),
            "used there long ago, and not here since it is watched"
        );
        usages.looked_at(time(10));
        usages.enter("d");
        assert_eq!(look(&mut usages, 20, 1, 3, -500), time(0));
    }

    proptest! {
        /// Whatever scans, resets and recreations happen, an index that was used in a look is not idle before that look.
        #[test]
        fn idle_never_reaches_behind_a_use(steps in prop::collection::vec((0i64..3, 0u8..6), 1..60)) {
            let mut usages = Usages::default();
            let (mut scans, mut since, mut oid, mut used) = (0, 0, 1, None);
            for (minute, (more, event)) in steps.into_iter().enumerate() {
                let minute = minute as i64 + 1;
                match event {
                    0 => { scans = 0; since = minute; }
                    1 => { oid += 1; scans = 0; used = None; }
                    _ => {}
                }
                scans += more;
                if more > 0 { used = Some(minute); }
                let idle = look(&mut usages, minute, oid, scans, since);
                if let Some(used) = used {
                    prop_assert!(idle >= time(used), "{idle} {used}");
                }
                prop_assert!(idle <= time(minute));
            }
        }
    }
}
