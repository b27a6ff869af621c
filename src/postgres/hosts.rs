//! The hosts of one server. Of several that are named one is chosen, and all sessions go there, so that what one look says
//! is said by one server; also where one name leads to several.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod};
use tokio_postgres::{Client, Row};

use super::bound::all_rows;
use super::connect::{connect, driver_config, refused, unanswered};
use super::conninfo::{ConnInfo, Target};
use super::driven::Driven;
use super::error::{PostgresError, Unanswered};
use super::handle::Handle;
use super::queries;
use super::row::column;
use super::session::{Observe, OurSql, Shared};

/// Who answers a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answering {
    started_at: DateTime<Utc>,
    is_standby: bool,
}

impl Answering {
    /// As the answer to the guard tells.
    fn of(rows: &[Row]) -> Option<Self> {
        let row = rows.first()?;
        Some(Self {
            started_at: column(row, "started_at")?,
            is_standby: column(row, "is_standby")?,
        })
    }
}

/// What a host must be to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Any,
    Primary,
    Standby,
}

impl Role {
    fn is_of(self, answering: Option<Answering>) -> bool {
        match self {
            Self::Any => true,
            Self::Primary => answering.is_some_and(|answering| !answering.is_standby),
            Self::Standby => answering.is_some_and(|answering| answering.is_standby),
        }
    }
}

/// What is wanted of a host, most wanted first. Whether a session may write the driver asks.
fn wishes(target: Target) -> &'static [Role] {
    match target {
        Target::Any | Target::ReadWrite | Target::ReadOnly => &[Role::Any],
        Target::Primary => &[Role::Primary],
        Target::Standby => &[Role::Standby],
        Target::PreferStandby => &[Role::Standby, Role::Any],
    }
}

/// The hosts to try in turn, the chosen one first, each with what it must be.
fn attempts(target: Target, hosts: usize, chosen: Option<usize>) -> Vec<(usize, Role)> {
    let others = (0..hosts).filter(|place| Some(*place) != chosen);
    let places: Vec<usize> = chosen.into_iter().chain(others).collect();
    let mut attempts = Vec::new();
    if target == Target::PreferStandby {
        // one that was taken for want of a standby is kept as long as it answers, so that windows on it go on
        attempts.extend(chosen.map(|place| (place, Role::Any)));
    }
    for role in wishes(target) {
        attempts.extend(places.iter().map(|place| (*place, *role)));
    }
    attempts
}

/// One host, and the session at home there.
struct Host {
    conninfo: ConnInfo,
    home: Pool,
    /// Of the session at home: what outlives a look, and who answers it.
    shared: Arc<Shared>,
    answering: Arc<Mutex<Option<Answering>>>,
}

impl Host {
    fn new(conninfo: ConnInfo) -> Result<Self, PostgresError> {
        let manager = Manager::from_connect(
            driver_config(&conninfo),
            Driven::new(&conninfo)?,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let answering: Arc<Mutex<Option<Answering>>> = Arc::default();
        let told = answering.clone();
        let home = Pool::builder(manager)
            .max_size(1)
            .post_create(Hook::async_fn(move |client, _| {
                Box::pin(guard(client, told.clone()))
            }))
            .build()
            .map_err(|error| PostgresError::Tls(format!("the pool cannot be built: {error}")))?;
        Ok(Self {
            conninfo,
            home,
            shared: Arc::default(),
            answering,
        })
    }

    /// The session at home on this host, if the host is what is wanted.
    async fn home(&self, role: Role) -> Result<Observe, PostgresError> {
        let target = self.conninfo.to_string();
        if self.shared.awaits_answer.swap(false, Ordering::Relaxed) {
            self.home.retain(|_, _| false);
        }
        let got = tokio::time::timeout(self.conninfo.connect_timeout * 2, self.home.get()).await;
        let client = match got {
            Ok(Ok(client)) => client,
            Ok(Err(PoolError::Backend(source) | PoolError::PostCreateHook(HookError::Backend(source)))) => {
                return Err(refused(target, source));
            }
            Ok(Err(source)) => {
                let advice = "see what answers there".to_owned();
                return Err(PostgresError::Connect {
                    target,
                    advice,
                    source: source.into(),
                });
            }
            Err(_) => return Err(unanswered(target)),
        };
        let session = Observe::over(Handle::Pooled(client), target, self.shared.clone());
        if role == Role::Any {
            return Ok(session);
        }
        // a standby that is promoted keeps its sessions, so this is asked each time
        let answering = Answering::of(&session.settle(queries::GUARD).await?);
        *locked(&self.answering) = answering;
        if role.is_of(answering) {
            return Ok(session);
        }
        drop(session);
        self.home.retain(|_, _| false);
        Err(self.is_no(role))
    }

    /// A session of its own in a database, if the host is what is wanted; and who answers it.
    async fn visit(
        &self,
        database: &str,
        role: Role,
        first: Option<OurSql>,
    ) -> Result<(Observe, Option<Answering>), PostgresError> {
        let conninfo = self.conninfo.with_database(database);
        let started = Instant::now();
        let client = connect(&conninfo).await?;
        let waited = started.elapsed();
        let handle = Handle::Visiting(client, tokio::sync::Mutex::default());
        let shared = Arc::new(self.shared.of_a_visit());
        let session = Observe::over(handle, conninfo.to_string(), shared);
        session.connected_in(waited);
        if let Some(first) = first {
            session.settle(first).await?;
        }
        let answering = Answering::of(&session.settle(queries::GUARD).await?);
        match role.is_of(answering) {
            true => Ok((session, answering)),
            false => Err(self.is_no(role)),
        }
    }

    fn is_no(&self, role: Role) -> PostgresError {
        let wanted = match role {
            Role::Standby => "a standby",
            _ => "a primary",
        };
        PostgresError::Connect {
            target: self.conninfo.to_string(),
            advice: format!("target_session_attrs asks for {wanted}; name the host of one"),
            source: format!("the server is not {wanted}").into(),
        }
    }
}

/// Options that only newer versions know would end the log-in if they were given at the start: they follow it.
async fn guard(client: &Client, told: Arc<Mutex<Option<Answering>>>) -> Result<(), HookError> {
    let answer = all_rows(client, queries::GUARD.text, &[]).await;
    let answering = Answering::of(&answer.map_err(|error| match error {
        Unanswered::Refused(error) => HookError::Backend(error),
        Unanswered::TooLarge => HookError::message("the answer to the guard does not end"),
    })?);
    *locked(&told) = answering;
    Ok(())
}

/// The host that was chosen, and who answered there.
#[derive(Clone, Copy, Default)]
struct Chosen {
    place: usize,
    answering: Option<Answering>,
}

/// The hosts of one server.
pub(super) struct Hosts {
    /// All of them.
    conninfo: ConnInfo,
    /// In the order in which they were named; at least one.
    each: Vec<Host>,
    chosen: Arc<Mutex<Option<Chosen>>>,
    chooses: Choice,
}

/// Who chooses among several hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Own,
    /// Another one does, and this one goes where that one is.
    Follow,
}

impl Hosts {
    /// Prepares all of them; connects when it is first needed.
    pub(super) fn new(conninfo: ConnInfo) -> Result<Self, PostgresError> {
        let hosts = conninfo.endpoints.iter();
        let each = hosts
            .map(|endpoint| Host::new(conninfo.with_endpoint(endpoint)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            conninfo,
            each,
            chosen: Arc::default(),
            chooses: Choice::Own,
        })
    }

    /// The same hosts with sessions of its own, which go where this one's are.
    pub(super) fn following(&self) -> Result<Self, PostgresError> {
        self.sharing_its_choice(self.conninfo.clone(), Choice::Follow)
    }

    /// The same for another login; none where that one does not name every host to which this one may go.
    pub(super) fn followed_by(&self, mut login: ConnInfo) -> Result<Option<Self>, PostgresError> {
        let here = &self.conninfo.endpoints;
        if !here.iter().all(|endpoint| login.endpoints.contains(endpoint)) {
            return Ok(None);
        }
        // a place is the same host for both
        login.endpoints.clone_from(here);
        // and it is for whoever looks to choose
        login.target_session_attrs = self.conninfo.target_session_attrs;
        self.sharing_its_choice(login, Choice::Follow).map(Some)
    }

    /// The same hosts with sessions of its own, chosen by whoever chooses these.
    pub(super) fn again(&self) -> Result<Self, PostgresError> {
        self.sharing_its_choice(self.conninfo.clone(), self.chooses)
    }

    fn sharing_its_choice(&self, conninfo: ConnInfo, chooses: Choice) -> Result<Self, PostgresError> {
        Ok(Self {
            chosen: self.chosen.clone(),
            chooses,
            ..Self::new(conninfo)?
        })
    }

    /// How to reach all of them.
    pub(super) fn conninfo(&self) -> &ConnInfo {
        &self.conninfo
    }

    /// How to reach the chosen one alone; the first where none was chosen yet.
    pub(super) fn chosen(&self) -> &ConnInfo {
        let place = locked(&self.chosen).map_or(0, |chosen| chosen.place);
        &self.each[place].conninfo
    }

    /// The session at home, on the host that it was on before or, if that is not to be had, on another, which is chosen
    /// then.
    pub(super) async fn home(&self) -> Result<Observe, PostgresError> {
        if self.chooses == Choice::Follow {
            let is_chosen = locked(&self.chosen).is_some();
            return match is_chosen {
                true => self.home_of_the_chosen().await,
                false => Err(self.not_chosen_yet()),
            };
        }
        let before = locked(&self.chosen).map(|chosen| chosen.place);
        let mut refusals = Vec::new();
        for (place, role) in attempts(self.conninfo.target_session_attrs, self.each.len(), before) {
            let host = &self.each[place];
            match host.home(role).await {
                Ok(session) => {
                    let answering = *locked(&host.answering);
                    *locked(&self.chosen) = Some(Chosen { place, answering });
                    return Ok(session);
                }
                Err(error) => refusals.push(error),
            }
        }
        Err(self.refused_by_all(refusals))
    }

    /// Of several hosts chooses one that is to be had just now, unless another one chooses.
    pub(super) async fn choose(&self) -> Result<(), PostgresError> {
        match (self.chooses, self.each.len()) {
            (Choice::Follow, _) if self.is_chosen() => Ok(()),
            (Choice::Follow, _) => Err(self.not_chosen_yet()),
            (Choice::Own, 1) => Ok(()),
            (Choice::Own, _) => self.home().await.map(drop),
        }
    }

    /// The session at home once more, if the same server as before answers.
    pub(super) async fn home_again(&self) -> Result<Observe, PostgresError> {
        let chosen = *locked(&self.chosen);
        match chosen {
            Some(_) => self.home_of_the_chosen().await,
            None => self.home().await,
        }
    }

    async fn home_of_the_chosen(&self) -> Result<Observe, PostgresError> {
        let chosen = *locked(&self.chosen);
        let chosen = chosen.unwrap_or_default();
        let host = &self.each[chosen.place];
        let session = host.home(Role::Any).await?;
        let answering = *locked(&host.answering);
        self.is_still(chosen, answering).map(|()| session)
    }

    /// What all sessions took since the last time.
    pub(super) fn take_spent(&self) -> Duration {
        self.each.iter().map(|host| host.shared.take_spent()).sum()
    }

    /// Whether it is known which host is the server.
    pub(super) fn is_chosen(&self) -> bool {
        locked(&self.chosen).is_some()
    }

    fn not_chosen_yet(&self) -> PostgresError {
        PostgresError::Connect {
            target: self.conninfo.to_string(),
            advice: "it is known after the first look".to_owned(),
            source: "which of its hosts is the server is not known yet".into(),
        }
    }

    /// A session of its own in a database of the chosen host, if the same server answers there as at home.
    pub(super) async fn visit(&self, database: &str) -> Result<Observe, PostgresError> {
        self.visit_with(database, None).await
    }

    /// The same, with a statement of ours before any other.
    pub(super) async fn visit_with(
        &self,
        database: &str,
        first: Option<OurSql>,
    ) -> Result<Observe, PostgresError> {
        let is_chosen = locked(&self.chosen).is_some();
        if !is_chosen {
            self.choose().await?;
        }
        let chosen = *locked(&self.chosen);
        let chosen = chosen.unwrap_or_default();
        // of several the chosen one was asked already, and may be the second choice
        let role = match wishes(self.conninfo.target_session_attrs) {
            [only] => *only,
            _ => Role::Any,
        };
        let (session, answering) = self.each[chosen.place].visit(database, role, first).await?;
        self.is_still(chosen, answering).map(|()| session)
    }

    /// An error where another server answers than at home: the counters of two would be taken for those of one.
    fn is_still(&self, chosen: Chosen, answering: Option<Answering>) -> Result<(), PostgresError> {
        let host = &self.each[chosen.place];
        let differ = |(home, here): (Answering, Answering)| home.started_at != here.started_at;
        if !chosen.answering.zip(answering).is_some_and(differ) {
            return Ok(());
        }
        // the session at home is of the past, or the name leads to several servers: it is asked anew
        host.shared.awaits_answer.store(true, Ordering::Relaxed);
        Err(PostgresError::Connect {
            target: host.conninfo.to_string(),
            advice: "it was started again a moment ago, or several servers share its name; then name each by itself"
                .to_owned(),
            source: "another server answers than answered before".into(),
        })
    }

    fn refused_by_all(&self, mut refusals: Vec<PostgresError>) -> PostgresError {
        let target = self.conninfo.to_string();
        match (self.each.len(), refusals.pop()) {
            (_, None) => unanswered(target),
            (1, Some(only)) => only,
            (_, Some(last)) => {
                let said: Vec<String> = refusals
                    .iter()
                    .chain([&last])
                    .map(PostgresError::one_line)
                    .collect();
                PostgresError::Connect {
                    target,
                    advice: "none of its hosts can be used".to_owned(),
                    source: said.join("; ").into(),
                }
            }
        }
    }
}

/// What is behind the lock is whole at every moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::conninfo::Environment;

    #[test]
    fn the_chosen_host_is_tried_first_and_a_standby_may_be_preferred() {
        use Role::{Any, Primary, Standby};
        assert_eq!(attempts(Target::Any, 1, None), [(0, Any)]);
        assert_eq!(attempts(Target::ReadWrite, 2, None), [(0, Any), (1, Any)]);
        assert_eq!(
            attempts(Target::Primary, 3, Some(1)),
            [(1, Primary), (0, Primary), (2, Primary)]
        );
        assert_eq!(
            attempts(Target::PreferStandby, 2, None),
            [(0, Standby), (1, Standby), (0, Any), (1, Any)]
        );
        assert_eq!(
            attempts(Target::PreferStandby, 2, Some(1))[..2],
            [(1, Any), (1, Standby)]
        );
    }

    fn hosts(text: &str) -> Hosts {
        let conninfo = ConnInfo::parse(text, &Environment::default()).unwrap();
        Hosts::new(conninfo).unwrap()
    }

    #[tokio::test]
    async fn another_login_goes_where_the_looks_go_however_it_names_the_hosts() {
        let looks = hosts("host=a,b user=observer dbname=x");
        let login = hosts("host=c,b,a user=planner dbname=x").conninfo;
        let planner = looks.followed_by(login).unwrap().unwrap();
        let again = planner.again().unwrap();
        assert!(planner.choose().await.is_err(), "nobody has looked yet");
        *locked(&looks.chosen) = Some(Chosen {
            place: 1,
            answering: None,
        });
        for planner in [&planner, &again] {
            planner.choose().await.unwrap();
            let chosen = planner.chosen();
            assert_eq!(chosen.endpoints, looks.chosen().endpoints);
            assert_eq!(chosen.user, "planner");
        }
    }

    #[test]
    fn a_login_that_does_not_name_every_host_cannot_follow() {
        let looks = hosts("host=a,b user=observer dbname=x");
        for login in ["host=b user=planner dbname=x", "host=a,c user=planner dbname=x"] {
            assert!(
                looks.followed_by(hosts(login).conninfo).unwrap().is_none(),
                "{login}"
            );
        }
        let one = hosts("host=b user=observer dbname=x");
        let login = hosts("host=a,b user=planner dbname=x").conninfo;
        let planner = one.followed_by(login).unwrap().unwrap();
        assert_eq!(planner.chosen().endpoints, one.chosen().endpoints);
    }

    #[test]
    fn what_is_not_known_is_no_role() {
        let answering = |is_standby| {
            Some(Answering {
                started_at: DateTime::UNIX_EPOCH,
                is_standby,
            })
        };
        assert!(Role::Any.is_of(None) && !Role::Primary.is_of(None) && !Role::Standby.is_of(None));
        assert!(Role::Primary.is_of(answering(false)) && !Role::Primary.is_of(answering(true)));
        assert!(Role::Standby.is_of(answering(true)) && !Role::Standby.is_of(answering(false)));
    }
}
