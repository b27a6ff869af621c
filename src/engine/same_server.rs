//! One running server under several names of the configuration: by another host name or address, or entered once for each of
//! its databases. The name that comes first tells what both see. A copy of a server is never taken for it: the two did not
//! start in the same microsecond.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::standbys::is_seen;
use crate::limits;
use crate::model::judgement::{Teller, ToldBy, ToldPlace, Verdict};
use crate::model::snapshot::ServerFacts;
use crate::model::status::{Gap, RunningServer, ServerStatus};
use crate::model::unit::seconds_for_people;
use crate::store::{Store, StoreError};

/// What one name of the configuration knows of those before it.
pub struct EarlierNames {
    names: Vec<String>,
    running: Option<RunningServer>,
    /// Since when that one is seen under this name, by our clock.
    since: DateTime<Utc>,
    /// What ran here before that.
    former: Option<RunningServer>,
    /// Under which names what was told, and when that was last so: one visit that fails makes nobody else tell at once.
    told_at: BTreeMap<String, BTreeMap<ToldPlace, DateTime<Utc>>>,
}

impl EarlierNames {
    /// The names before one in the configuration, what was seen running under that one when it was last recorded, and when
    /// the daemon began.
    pub fn new(names: Vec<String>, former: Option<RunningServer>, began_at: DateTime<Utc>) -> Self {
        Self {
            names,
            running: None,
            since: began_at,
            former,
            told_at: BTreeMap::new(),
        }
    }

    /// Who tells of the server that is seen now, if this is not for this name to do.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn told_by(
        &mut self,
        server: &ServerFacts,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<Option<ToldBy>, StoreError> {
        let Some(running) = server.running().filter(|_| !self.names.is_empty()) else {
            return Ok(None);
        };
        self.see(&running, now);
        let all = store.servers()?;
        let status = |name: &String| all.iter().find(|status| status.name == *name);
        let leads_here = |status: &&ServerStatus| {
            let known = status.running.as_ref();
            is_seen(status, now) && known.is_some_and(|known| known.is_same_as(&running))
        };
        let same: Vec<&ServerStatus> = self.names.iter().filter_map(status).filter(leads_here).collect();
        let first = same.first().map(|status| status.name.clone());
        // those that wait for a name themselves tell nothing yet
        let mut before = self.names.iter().take_while(|name| Some(*name) != first.as_ref());
        if let Some(mut awaited) = before.find_map(|name| self.awaited(name, status(name), now)) {
            if let Some(lost) = status(&awaited.name).filter(|status| status.unreachable.is_some()) {
                awaited.tellers = self.tellers(&[lost], store, now)?;
            }
            return Ok(Some(awaited));
        }
        let (Some(name), Some(told_first)) = (first, same.first()) else {
            return Ok(None);
        };
        let visits = visited(told_first, &store.gaps()?);
        Ok(Some(ToldBy {
            tellers: self.tellers(&same, store, now)?,
            verdict: Verdict::Elsewhere {
                reason: told_there(&name, &running),
            },
            until_then: is_awaited_since(self.since, now).then(|| waits_for(&name)),
            visits,
            name,
        }))
    }

    /// What these names told at their last look, and what was told by any not long ago.
    fn tellers(
        &mut self,
        same: &[&ServerStatus],
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<Vec<Teller>, StoreError> {
        let gaps = store.gaps()?;
        for status in same {
            let visited = visited(status, &gaps);
            let told_at = self.told_at.entry(status.name.clone()).or_default();
            for (rule, database) in store.told_places(&status.name)? {
                if database.is_none() {
                    let of_each = visited.iter().map(|name| (rule.clone(), Some(name.clone())));
                    told_at.extend(of_each.map(|place| (place, now)));
                }
                told_at.insert((rule, database), now);
            }
        }
        let tellers = self.told_at.iter_mut().map(|(name, told_at)| {
            told_at.retain(|_, at| is_awaited_since(*at, now));
            Teller {
                name: name.clone(),
                places: Some(told_at.keys().cloned().collect()),
            }
        });
        Ok(tellers.collect())
    }

    /// Takes in what runs under this name.
    fn see(&mut self, running: &RunningServer, now: DateTime<Utc>) {
        if self
            .running
            .as_ref()
            .is_some_and(|known| known.is_same_as(running))
        {
            return;
        }
        if let Some(before) = self.running.replace(running.clone()) {
            self.former = Some(before);
            self.since = now;
            self.told_at.clear();
        }
    }

    /// Whether a name is still to be heard of, so that nothing is told twice only because it looked a moment later: it was
    /// not tried since this server is seen, or it led here and does not answer for a while.
    fn awaited(&self, name: &str, status: Option<&ServerStatus>, now: DateTime<Utc>) -> Option<ToldBy> {
        let is_young = |at: DateTime<Utc>| is_awaited_since(at, now);
        let seen_at = status.and_then(|status| status.last_seen_at);
        let known = status.and_then(|status| status.running.as_ref());
        let led_here = known.map(|known| {
            let mut ours = self.running.iter().chain(&self.former);
            ours.any(|running| running.is_same_as(known))
        });
        let is_lost = status.is_some_and(|status| status.unreachable.is_some());
        let is_awaited = match is_lost {
            true => led_here == Some(true) && seen_at.is_some_and(is_young),
            false => {
                led_here != Some(false) && seen_at.is_none_or(|at| at < self.since) && is_young(self.since)
            }
        };
        is_awaited.then(|| ToldBy {
            name: name.to_owned(),
            tellers: vec![Teller {
                name: name.to_owned(),
                places: None,
            }],
            verdict: waits_for(name),
            until_then: None,
            visits: Vec::new(),
        })
    }
}

/// What is said while another name is waited for.
fn waits_for(name: &str) -> Verdict {
    let reason = format!(
        "needs a look at server {name}, which may be the same PostgreSQL server: if it does not come within {}, this is \
         told here",
        seconds_for_people(limits::FIRST_NAME_AWAITED.as_secs_f64())
    );
    Verdict::Skipped {
        reason,
        remedy_sql: None,
    }
}

/// Whether a name that told at a time is still waited for.
fn is_awaited_since(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - at < TimeDelta::from_std(limits::FIRST_NAME_AWAITED).unwrap_or(TimeDelta::MAX)
}

fn told_there(name: &str, running: &RunningServer) -> String {
    format!(
        "server {name} is the same PostgreSQL server (system identifier {}, started at {}): told there",
        running.system_identifier,
        running.started_at.to_rfc3339_opts(SecondsFormat::Micros, true)
    )
}

/// The databases that are visited under a name: of one that may not be, nothing is told there.
fn visited(status: &ServerStatus, gaps: &[(String, Gap)]) -> Vec<String> {
    let is_unvisited = |database: &String| {
        gaps.iter().any(|(server, gap)| {
            *server == status.name && gap.fact == "database" && gap.database.as_ref() == Some(database)
        })
    };
    let databases = status.databases.iter();
    databases
        .filter(|database| !is_unvisited(database))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::judgement::{Judgement, RuleOutcome};
    use crate::model::unit::Period;
    use crate::rules::testing::now;

    /// A server that started so many minutes ago.
    fn started(minutes_ago: i64) -> ServerFacts {
        ServerFacts {
            system_identifier: Some("1".into()),
            timeline: Some(1),
            started_at: now() - TimeDelta::minutes(minutes_ago),
            ..ServerFacts::default()
        }
    }

    /// A server as it was seen under a name so many minutes ago.
    fn seen(name: &str, server: &ServerFacts, minutes_ago: i64) -> ServerStatus {
        ServerStatus {
            version_num: Some(180_000),
            system_identifier: server.system_identifier.clone(),
            is_standby: Some(server.is_standby),
            databases: vec!["app".into()],
            last_seen_at: Some(now() - TimeDelta::minutes(minutes_ago)),
            running: server.running(),
            ..ServerStatus::unseen(name)
        }
    }

    fn lost(status: ServerStatus) -> ServerStatus {
        ServerStatus {
            unreachable: Some("refused".into()),
            ..status
        }
    }

    /// What a name could judge: a rule about the server, and one about each of some databases.
    fn judge(store: &Store, name: &str, at: DateTime<Utc>, databases: &[String]) {
        let of_databases = databases
            .iter()
            .map(|database| ("index.unused", Some(database.clone())));
        let places = std::iter::once(("query.slow_mean", None)).chain(of_databases);
        let outcomes = places.map(|(rule, database)| RuleOutcome {
            rule: rule.into(),
            database,
            verdict: Verdict::Evaluated {
                undecided: Vec::new(),
                absence_counts: true,
                untold: None,
            },
            hold: Period::default(),
            clear: Period::default(),
            own: Vec::new(),
        });
        let judgement = Judgement {
            outcomes: outcomes.collect(),
            ..Judgement::default()
        };
        store.record(name, at, &judgement).unwrap();
    }

    fn store(known: &[ServerStatus]) -> Store {
        let store = Store::in_memory().unwrap();
        for status in known {
            store.record_server(status).unwrap();
            judge(&store, &status.name, now(), &status.databases);
        }
        store
    }

    /// Who tells what is seen under a name that comes after `a` in the configuration, in a daemon that began 30 minutes
    /// ago.
    fn word(known: &[ServerStatus], server: &ServerFacts) -> String {
        let began_at = now() - TimeDelta::minutes(30);
        let mut names = EarlierNames::new(vec!["a".into()], None, began_at);
        let told_by = names.told_by(server, &store(known), now()).unwrap();
        of(told_by)
    }

    fn of(told_by: Option<ToldBy>) -> String {
        let Some(other) = told_by else {
            return "told here".to_owned();
        };
        let word = match &other.verdict {
            Verdict::Elsewhere { .. } => "told by",
            _ => "waits for",
        };
        let places = other
            .tellers
            .into_iter()
            .flat_map(|teller| teller.places.unwrap_or_default());
        let of_databases = places.filter(|(rule, _)| rule == "index.unused");
        let databases: Vec<String> = of_databases.filter_map(|(_, database)| database).collect();
        format!("{word} {} {databases:?}", other.name)
    }

    #[test]
    fn the_first_name_of_a_running_server_tells_and_a_copy_tells_for_itself() {
        let server = started(100);
        assert_eq!(word(&[seen("a", &server, 1)], &server), "told by a [\"app\"]");
        assert_eq!(
            word(&[seen("c", &server, 1)], &server),
            "told here",
            "it is no earlier name"
        );
        assert_eq!(
            word(&[seen("a", &started(99), 1)], &server),
            "told here",
            "a copy"
        );
        let mut told = EarlierNames::new(vec!["a".into()], None, now());
        let told = told
            .told_by(&server, &store(&[seen("a", &server, 1)]), now())
            .unwrap()
            .unwrap();
        let Verdict::Elsewhere { reason } = &told.verdict else {
            panic!("{told:?}");
        };
        assert!(
            reason.starts_with("server a is the same PostgreSQL server (system identifier 1, started at ")
        );
        assert!(reason.ends_with("): told there"), "{reason}");
        let change = |change: fn(&mut ServerFacts)| {
            let mut other = server.clone();
            change(&mut other);
            word(&[seen("a", &other, 1)], &server)
        };
        assert_eq!(
            change(|other| other.timeline = None),
            "told by a [\"app\"]",
            "it may not be told there"
        );
        assert_eq!(change(|other| other.timeline = Some(2)), "told here");
        assert_eq!(change(|other| other.is_standby = true), "told here");
        assert_eq!(
            change(|other| other.system_identifier = Some("2".into())),
            "told here"
        );
        let hidden = ServerFacts {
            system_identifier: None,
            ..server.clone()
        };
        assert_eq!(
            word(&[seen("a", &hidden, 1)], &hidden),
            "told here",
            "nobody can tell"
        );
    }

    #[test]
    fn where_the_first_name_is_not_seen_the_second_tells() {
        let server = started(600);
        assert_eq!(
            word(&[seen("a", &server, 61)], &server),
            "told here",
            "not seen of late"
        );
        let silent = |minutes_ago| word(&[lost(seen("a", &server, minutes_ago))], &server);
        assert_eq!(silent(11), "told here");
        assert_eq!(silent(9), "waits for a [\"app\"]", "it may be back in a moment");
        let copy = lost(seen("a", &started(601), 1));
        assert_eq!(word(&[copy], &server), "told here", "a copy is not waited for");
        assert_eq!(word(&[], &server), "told here", "nothing came in half an hour");
    }

    #[test]
    fn at_the_beginning_the_first_name_looks_first() {
        let server = started(600);
        let mut names = EarlierNames::new(vec!["a".into(), "z".into()], None, now());
        let mut at = |minutes: i64, known: &[ServerStatus]| {
            let later = now() + TimeDelta::minutes(minutes);
            of(names.told_by(&server, &store(known), later).unwrap())
        };
        assert_eq!(at(1, &[]), "waits for a []");
        let failed = ServerStatus {
            last_seen_at: None,
            running: None,
            ..lost(seen("a", &server, 0))
        };
        let other = seen("z", &started(5), 0);
        assert_eq!(at(1, std::slice::from_ref(&failed)), "waits for z []");
        assert_eq!(
            at(1, &[failed.clone(), other]),
            "told here",
            "it was tried, and the other is another one"
        );
        assert_eq!(at(1, &[failed, seen("z", &server, 0)]), "told by z [\"app\"]");
        assert_eq!(at(10, &[]), "told here", "nobody waits for ever");
    }

    #[test]
    fn a_restart_does_not_make_two_of_one() {
        let (before, after) = (started(600), started(-2));
        let mut names = EarlierNames::new(vec!["a".into()], None, now() - TimeDelta::minutes(100));
        let mut at = |server: &ServerFacts, minutes: i64, known: &[ServerStatus]| {
            let later = now() + TimeDelta::minutes(minutes);
            of(names.told_by(server, &store(known), later).unwrap())
        };
        assert_eq!(at(&before, 1, &[seen("a", &before, 0)]), "told by a [\"app\"]");
        assert_eq!(
            at(&after, 3, &[seen("a", &before, -1)]),
            "waits for a []",
            "it did not look yet"
        );
        assert_eq!(
            at(&after, 4, &[lost(seen("a", &before, -1))]),
            "waits for a [\"app\"]"
        );
        assert_eq!(at(&after, 5, &[seen("a", &after, -5)]), "told by a [\"app\"]");
        assert_eq!(
            at(&after, 5, &[seen("a", &before, -5)]),
            "told here",
            "that one is another one now"
        );
    }

    #[test]
    fn a_database_that_is_not_visited_under_the_first_name_is_not_told_there() {
        let mut first = seen("a", &started(100), 1);
        first.databases.push("hidden".into());
        let gap = |database: &str| Gap {
            fact: "database".into(),
            database: Some(database.into()),
            why: "no right".into(),
            remedy_sql: None,
            missing_privilege: None,
            rules: Vec::new(),
        };
        let gaps = [("a".to_owned(), gap("hidden")), ("b".to_owned(), gap("app"))];
        assert_eq!(visited(&first, &gaps), ["app"]);
    }

    #[test]
    fn one_visit_that_fails_makes_nobody_else_tell_at_once() {
        let server = started(600);
        let first = seen("a", &server, -30);
        let store = store(std::slice::from_ref(&first));
        let mut names = EarlierNames::new(vec!["a".into()], None, now());
        let mut tellers = |minutes: i64, rule: &str, database: Option<&str>| {
            let later = now() + TimeDelta::minutes(minutes);
            let other = names.told_by(&server, &store, later).unwrap().unwrap();
            other.tellers(rule, database).len()
        };
        assert_eq!(tellers(1, "index.unused", Some("app")), 1);
        assert_eq!(tellers(1, "query.slow_mean", Some("app")), 1, "it is visited");
        assert_eq!(
            tellers(1, "query.slow_mean", Some("own")),
            0,
            "it is not watched there"
        );
        assert_eq!(
            tellers(1, "query.slow_total", None),
            0,
            "it cannot be judged there"
        );
        judge(&store, "a", now() + TimeDelta::minutes(2), &[]);
        assert_eq!(
            tellers(2, "index.unused", Some("app")),
            1,
            "a moment ago it was told"
        );
        assert_eq!(tellers(10, "index.unused", Some("app")), 1);
        assert_eq!(
            tellers(11, "index.unused", Some("app")),
            0,
            "nobody waits for ever"
        );
        assert_eq!(tellers(11, "query.slow_mean", None), 1);
    }
}
