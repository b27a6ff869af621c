//! What sessions do at one moment, counted, every few seconds: what they execute, and what they wait for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio_postgres::Row;

use crate::limits;
use crate::model::history::{WaitCounts, WaitKey, WaitMinute};
use crate::model::snapshot::{StatementKind, StatementText};
use crate::postgres::{PostgresError, Server, column, column_or_default, queries};

/// Samples one server, by a session of its own: it never waits for a look.
pub struct Sampler {
    server: Server,
}

/// What one sample saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Sessions that executed something, by what they did.
    pub seen: Vec<(Doing, u64)>,
    /// Such sessions for which there was no room.
    pub others: u64,
    /// Sessions of which the login does not see what they do.
    pub hidden: u64,
}

/// What a session did, in PostgreSQL's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Doing {
    /// The database.
    pub database: String,
    /// See [`WaitKey::event`].
    pub event: String,
    /// PostgreSQL's identifier of the statement; none where compute_query_id is off.
    pub query_id: Option<i64>,
    /// The role.
    pub role: String,
    /// The application_name.
    pub application: String,
}

impl Sampler {
    /// A sampler of a server to which nobody else has sessions.
    pub fn new(server: Server) -> Self {
        Self { server }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Looks once at what sessions do.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses, or does not answer in time.
    pub async fn sample(&self) -> Result<Sample, PostgresError> {
        let home = self.server.observe_home().await?;
        let limit = (limits::GROUPS_PER_SAMPLE, 0);
        let groups = home.bounded(queries::SAMPLES.on(0), limit, Group::of).await?;
        Ok(Sample::of(groups))
    }
}

/// Sessions that did the same.
struct Group {
    /// None for those that are hidden.
    doing: Option<Doing>,
    sessions: u64,
    /// All that are hidden, or all that are not.
    all: u64,
}

impl Group {
    fn of(row: &Row) -> Self {
        let count = |name: &str| column_or_default::<i64>(row, name).unsigned_abs();
        let is_hidden: bool = column_or_default(row, "is_hidden");
        let doing = || Doing {
            database: column_or_default(row, "database"),
            event: event(column(row, "wait_event_type"), column(row, "wait_event")),
            query_id: column(row, "query_id"),
            role: column_or_default(row, "role"),
            application: column_or_default(row, "application"),
        };
        Self {
            doing: (!is_hidden).then(doing),
            sessions: count("sessions"),
            all: count("all_sessions"),
        }
    }
}

/// `Lock: transactionid`; `CPU` where it waits for nothing.
fn event(kind: Option<String>, name: Option<String>) -> String {
    match (kind, name) {
        (None, _) => WaitKey::CPU.to_owned(),
        (Some(kind), None) => kind,
        (Some(kind), Some(name)) => format!("{kind}: {name}"),
    }
}

impl Sample {
    fn of(groups: Vec<Group>) -> Self {
        let mut sample = Self::default();
        let mut all = 0;
        for group in groups {
            match group.doing {
                None => sample.hidden = group.all,
                Some(doing) => {
                    all = group.all;
                    sample.seen.push((doing, group.sessions));
                }
            }
        }
        let told: u64 = sample.seen.iter().map(|(_, sessions)| sessions).sum();
        sample.others = all.saturating_sub(told);
        sample
    }
}

/// What several samples saw together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    seen: HashMap<Doing, u64>,
    others: u64,
    hidden: u64,
    taken: u64,
}

impl Samples {
    /// Takes one more in. Of too many different groups those that come last are counted as others.
    pub fn add(&mut self, sample: Sample) {
        self.taken += 1;
        self.hidden += sample.hidden;
        self.others += sample.others;
        for (doing, sessions) in sample.seen {
            let has_room = self.seen.len() < limits::SAMPLED_GROUPS;
            match self.seen.get_mut(&doing) {
                Some(known) => *known += sessions,
                None if has_room => _ = self.seen.insert(doing, sessions),
                None => self.others += sessions,
            }
        }
    }

    /// How many there are.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Sessions in these samples of which the login did not see what they do.
    pub fn hidden(&self) -> u64 {
        self.hidden
    }

    /// The same for the history: queries by our own identity, where the texts by queryid tell it, and else by the server's, so that
    /// they can be named later: of a statement that is executed for the first time there is no text until it ends.
    pub fn minute(self, seconds: f64, texts: Option<&HashMap<i64, Arc<StatementText>>>) -> WaitMinute {
        let named = |query_id: Option<i64>| {
            let text = query_id.and_then(|query_id| texts?.get(&query_id));
            match text {
                Some(text) if text.kind == StatementKind::Query => (text.statement_id.clone(), None),
                Some(_) => (String::new(), None),
                None => (String::new(), query_id),
            }
        };
        let mut points: BTreeMap<WaitKey, u64> = BTreeMap::new();
        for (doing, sessions) in self.seen {
            let (statement_id, query_id) = named(doing.query_id);
            let key = WaitKey {
                database: doing.database,
                event: doing.event,
                statement_id,
                role: doing.role,
                application: without_numbers(&doing.application),
                query_id,
            };
            *points.entry(key).or_default() += sessions;
        }
        if self.others > 0 {
            let key = WaitKey {
                event: WaitKey::OTHERS.to_owned(),
                ..WaitKey::default()
            };
            *points.entry(key).or_default() += self.others;
        }
        WaitMinute {
            seconds,
            samples: self.taken,
            points: points
                .into_iter()
                .map(|(key, sessions)| (key, WaitCounts { sessions }))
                .collect(),
        }
    }
}

/// An application's name without its numbers: poolers put ports there, others process ids, and each would be another one.
fn without_numbers(name: &str) -> String {
    let mut told = String::with_capacity(name.len());
    for character in name.chars() {
        match character.is_ascii_digit() {
            true if told.ends_with('#') => {}
            true => told.push('#'),
            false => told.push(character),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doing(query_id: i64) -> Doing {
        Doing {
            query_id: Some(query_id),
            event: "Lock: relation".into(),
            ..Doing::default()
        }
    }

    fn sample(seen: Vec<(Doing, u64)>) -> Sample {
        Sample {
            seen,
            ..Sample::default()
        }
    }

    #[test]
    fn what_there_was_no_room_for_is_counted() {
        let group = |doing: Option<Doing>, sessions, all| Group { doing, sessions, all };
        let seen = Sample::of(vec![
            group(None, 4, 4),
            group(Some(doing(1)), 5, 10),
            group(Some(doing(2)), 3, 10),
        ]);
        assert_eq!((seen.hidden, seen.others, seen.seen.len()), (4, 2, 2));
        assert_eq!(Sample::of(vec![group(None, 4, 4)]).others, 0);
        assert_eq!(event(None, None), "CPU");
        assert_eq!(event(Some("IO".into()), Some("WALSync".into())), "IO: WALSync");
    }

    #[test]
    fn however_different_they_are_so_many_groups_are_kept() {
        let mut samples = Samples::default();
        let beyond = limits::SAMPLED_GROUPS as i64 + 10;
        samples.add(sample((0..beyond).map(|id| (doing(id), 1)).collect()));
        samples.add(sample(vec![(doing(0), 7)]));
        assert_eq!(samples.taken(), 2);
        assert_eq!(samples.seen[&doing(0)], 8, "who has a place keeps it");
        let minute = samples.minute(60.0, None);
        let all: u64 = minute.points.iter().map(|(_, counts)| counts.sessions).sum();
        assert_eq!(all, beyond as u64 + 7);
        let others = minute.points.iter().find(|(key, _)| key.event == WaitKey::OTHERS);
        assert_eq!(others.map(|(_, counts)| counts.sessions), Some(10));
    }

    #[test]
    fn an_application_is_one_whatever_port_its_pooler_names() {
        assert_eq!(without_numbers("app - 10.0.0.1:50123"), "app - #.#.#.#:#");
        assert_eq!(
            without_numbers("app - 10.0.0.2:9"),
            without_numbers("app - 10.0.0.1:50123")
        );
        assert_eq!(without_numbers("psql"), "psql");
    }

    #[test]
    fn statements_are_named_by_our_identity_and_what_is_no_query_is_not_named() {
        let mut samples = Samples::default();
        samples.add(sample(vec![
            (doing(1), 1),
            (doing(2), 2),
            (doing(3), 4),
            (doing(4), 8),
        ]));
        let text = |text: &str| Arc::new(crate::sql::identify(text));
        // the same statement, sent with other spaces
        let texts = HashMap::from([
            (1, text("SELECT a FROM t")),
            (2, text("SELECT  a  FROM  t")),
            (3, text("VACUUM t")),
        ]);
        let minute = samples.minute(60.0, Some(&texts));
        let told: Vec<(&str, Option<i64>, u64)> = minute
            .points
            .iter()
            .map(|(key, counts)| (key.statement_id.as_str(), key.query_id, counts.sessions))
            .collect();
        let known = texts[&1].statement_id.as_str();
        // of the fourth there is no text yet
        assert_eq!(told, [("", None, 4), ("", Some(4), 8), (known, None, 3)]);
        assert_eq!((minute.samples, minute.seconds), (1, 60.0));
    }
}
