//! One refresh: in one transaction the view's lock is taken, the view is looked at again, the due moment is taken, the view
//! is refreshed. Whoever dies when: all of it is there, or nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};
use tokio_util::sync::CancellationToken;

use super::plan::{Step, Todo};
use crate::configuration::IfRunning;
use crate::limits;
use crate::model::refresh::{Inputs, Mode, Outcome, RelationState, Run, ViewState};
use crate::postgres::{Identifier, PostgresError, Refresh, RefreshLimits, Server, queries};

/// What became of a step.
#[derive(Clone, Debug)]
pub struct Done {
    /// For the record.
    pub run: Run,
    /// What is to be remembered of it.
    pub effect: Effect,
    /// It locked readers out for as long as it may, and was not done.
    pub was_too_slow: bool,
    /// Somebody was seen to want to read it.
    pub readers_came: bool,
}

/// What is known of a view after a step.
#[derive(Clone, Debug)]
pub enum Effect {
    /// What was known before.
    None,
    /// The moment needs nothing more: somebody else took it, or it passed.
    Handled,
    /// It is to be looked at again then.
    LookAgain(DateTime<Utc>),
    /// Nothing that the view reads had changed when this was planned.
    StillFresh,
    /// It was refreshed.
    Refreshed(Box<After>),
}

/// A view just after it was refreshed.
#[derive(Clone, Debug)]
pub struct After {
    /// What moves when it is refreshed.
    pub state: ViewState,
    /// Scans that were counted, those of the refresh included.
    pub scans: i64,
    /// What it read.
    pub inputs: Option<Inputs>,
    /// Seconds of work, without waiting for locks.
    pub work_seconds: f64,
}

/// How often a refresh that did not get its lock is tried at once.
const LOCK_TRIES: u32 = 4;
/// The wait before the second of these; it doubles each time. Readers that came meanwhile go first.
const LOCK_PAUSE: Duration = Duration::from_millis(500);
/// A refresh that takes longer is watched, this often.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often a refresh is told to end, and how long it is waited for each time, before its session is ended.
const CANCEL_TRIES: u32 = 3;
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// What a refresh did while it was watched.
#[derive(Clone, Copy, Default)]
struct Watched {
    waited_seconds: f64,
    held_up_seconds: f64,
    /// Of the last try, without waiting for locks.
    work_seconds: f64,
    /// Readers came and waited longer than they may have to.
    readers_came: bool,
}

/// Why there was no refresh.
enum Stopped {
    /// It need not be.
    Skipped(Outcome, String, Effect),
    Failed(PostgresError),
}

impl From<PostgresError> for Stopped {
    fn from(error: PostgresError) -> Self {
        Self::Failed(error)
    }
}

fn skipped(why: &str, effect: Effect) -> Stopped {
    Stopped::Skipped(Outcome::Skipped, why.to_owned(), effect)
}

impl Done {
    /// A step of which nothing was run.
    pub fn nothing(step: &Step, outcome: Outcome, reason: impl Into<String>, now: DateTime<Utc>) -> Self {
        Self {
            run: Run {
                view: step.view.clone(),
                outcome,
                reason: reason.into(),
                mode: None,
                due_at: step.moment,
                started_at: None,
                ended_at: now,
                elapsed_seconds: None,
                waited_seconds: None,
                held_up_seconds: None,
                rows: None,
                size_bytes: None,
                sqlstate: None,
                message: None,
                times: 1,
                since: None,
            },
            effect: Effect::None,
            was_too_slow: false,
            readers_came: false,
        }
    }
}

/// Refreshes the view of a step. Once `cancel` is cancelled the statement that runs is ended, and recorded so.
pub async fn execute(server: &Server, step: &Step, cancel: &CancellationToken) -> Done {
    let Todo::Refresh { mode, within, .. } = step.todo else {
        return Done::nothing(step, Outcome::Skipped, step.reason.clone(), Utc::now());
    };
    let began = Instant::now();
    let Some(allowed) = Allowed::of(step, mode, within) else {
        let why = format!("{}; the hours for a plain refresh ended meanwhile", step.reason);
        return Done::nothing(step, Outcome::Skipped, why, Utc::now());
    };
    let mut watched = Watched::default();
    let mut tries = 0;
    let mut has_waited = false;
    let stopped = loop {
        let tried = attempt(server, step, &allowed, (cancel, has_waited), &mut watched).await;
        let pause = match &tried {
            Ok(_) => None,
            // in short tries, so that nobody waits behind this one for long
            Err(Stopped::Failed(error)) if lacks_lock(error) => {
                tries += 1;
                (tries < LOCK_TRIES).then(|| LOCK_PAUSE * (1 << (tries - 1)))
            }
            Err(Stopped::Skipped(Outcome::AlreadyRunning, ..)) => {
                has_waited = step.policy.if_running == IfRunning::Wait;
                let is_patient = began.elapsed() < step.policy.max_duration.as_duration();
                (has_waited && is_patient).then_some(LOCK_PAUSE)
            }
            Err(_) => None,
        };
        let stopped = match tried {
            Ok(done) => return done,
            Err(stopped) => stopped,
        };
        let Some(pause) = pause else { break stopped };
        tokio::select! {
            () = cancel.cancelled() => break stopped,
            () = tokio::time::sleep(pause) => {}
        }
    };
    let mut done = match stopped {
        Stopped::Skipped(outcome, why, effect) => {
            let nothing = Done::nothing(step, outcome, why, Utc::now());
            return Done { effect, ..nothing };
        }
        Stopped::Failed(error) => failed(step, &error, &allowed, (cancel, &watched)),
    };
    done.run.mode = Some(mode);
    done.run.elapsed_seconds = Some(began.elapsed().as_secs_f64());
    done.run.waited_seconds = Some(watched.waited_seconds);
    done.run.held_up_seconds = Some(watched.held_up_seconds);
    done.readers_came = watched.held_up_seconds > 0.0;
    done
}

/// What a refresh may take now, which may be less than when it was planned.
struct Allowed {
    mode: Mode,
    within: Duration,
    /// For each try to get the view's lock: later readers wait behind it.
    lock_timeout: Duration,
    /// Readers may be locked out for so long.
    readers_wait: Option<Duration>,
}

impl Allowed {
    /// None where it was to be made in hours that are over.
    fn of(step: &Step, mode: Mode, within: Duration) -> Option<Self> {
        let policy = &step.policy;
        let limit = policy.plain_limit.as_duration();
        let mut allowed = Self {
            mode,
            within,
            lock_timeout: policy.lock_timeout.as_duration(),
            readers_wait: None,
        };
        // of what holds nothing there is nothing to read
        if mode == Mode::Concurrently || !step.seen.is_populated {
            return Some(allowed);
        }
        let (now, zone) = (Utc::now() + step.ahead, policy.time_zone);
        let hours = |at| policy.plain_between.iter().find(|hours| hours.contains(at, zone));
        match (hours(now), hours(step.planned_at)) {
            (Some(hours), _) => {
                let end = hours
                    .end_after(now, zone)
                    .and_then(|end| (end - now).to_std().ok());
                allowed.within = end.map_or(within, |left| within.min(left.max(limit)));
            }
            (None, Some(_)) if within > limit => return None,
            // nobody was seen to read it: whoever comes all the same does not wait longer than readers ever do
            _ => allowed.readers_wait = Some(limit),
        }
        // the time of waiting is part of the time that the server gives it
        allowed.lock_timeout = allowed.lock_timeout.min(allowed.within / 4);
        Some(allowed)
    }
}

fn lacks_lock(error: &PostgresError) -> bool {
    error.code() == Some("55P03")
}

/// A refresh that failed, in words.
fn failed(
    step: &Step,
    error: &PostgresError,
    allowed: &Allowed,
    (cancel, watched): (&CancellationToken, &Watched),
) -> Done {
    let code = error.code();
    let seconds = |duration: Duration| crate::model::unit::seconds_for_people(duration.as_secs_f64());
    let is_cancelled = code == Some("57014");
    let (outcome, reason) = match code {
        Some("57014") if cancel.is_cancelled() => (
            Outcome::Cancelled,
            "it was cancelled, since the advisor was told to stop".to_owned(),
        ),
        Some("57014") if watched.readers_came => (
            Outcome::Failed,
            "it was cancelled, since readers came and waited for it".to_owned(),
        ),
        Some("57014") => (
            Outcome::Failed,
            format!(
                "it was cancelled: it took longer than {}, or somebody ended it",
                seconds(allowed.within)
            ),
        ),
        Some("55P03") => (
            Outcome::Failed,
            format!(
                "the view was locked by others in each of {LOCK_TRIES} tries of {}",
                seconds(allowed.lock_timeout)
            ),
        ),
        Some("42501") => (
            Outcome::Failed,
            format!(
                "the login that refreshes may not: the view belongs to {}",
                step.seen.owner
            ),
        ),
        Some("53100") => (Outcome::Failed, "the disk of the server is full".to_owned()),
        Some("21000") => (
            Outcome::Failed,
            "its new rows are not unique in the columns of its unique index".to_owned(),
        ),
        _ => (Outcome::Failed, "it failed".to_owned()),
    };
    let mut done = Done::nothing(step, outcome, format!("{}; {reason}", step.reason), Utc::now());
    done.run.sqlstate = code.map(str::to_owned);
    done.run.message = Some(error.one_line());
    let limit = step.policy.plain_limit.as_seconds();
    let took_its_time = watched.work_seconds >= limit * 0.7;
    done.was_too_slow = is_cancelled
        && !cancel.is_cancelled()
        && allowed.readers_wait.is_some()
        && (took_its_time || watched.readers_came);
    done
}

/// One try.
async fn attempt(
    server: &Server,
    step: &Step,
    allowed: &Allowed,
    (cancel, has_waited): (&CancellationToken, bool),
    watched: &mut Watched,
) -> Result<Done, Stopped> {
    let began = Instant::now();
    let session = server.refresh(&step.view.database).await?;
    lock(&session, step).await?;
    let before = state(&session, step.oid).await?;
    let Some(before) = before else {
        return Err(skipped("it was dropped meanwhile", Effect::None));
    };
    if (before.schema.as_str(), before.name.as_str()) != (step.view.schema.as_str(), step.view.name.as_str())
    {
        let why = format!("it was renamed to {}.{} meanwhile", before.schema, before.name);
        return Err(skipped(&why, Effect::None));
    }
    if !step.is_forced && !has_waited && step.seen.state.was_refreshed_until(&before.state) {
        // what its data are of, the next look tells
        let again = Effect::LookAgain(before.at);
        return Err(skipped("somebody else refreshed it just now", again));
    }
    // before the snapshot of the refresh: what changes later is seen as a change
    let inputs = inputs(&session, step).await?;
    if !take_moment(&session, step, (before.at, allowed.mode)).await? {
        return Err(skipped(
            "another refresher has taken this moment",
            Effect::Handled,
        ));
    }
    let limits = RefreshLimits {
        lock_timeout: allowed.lock_timeout,
        statement_timeout: allowed.within,
        work_mem_bytes: step.policy.work_mem.map(|size| size.bytes),
        parallel_workers: step.policy.parallel_workers,
    };
    session.limit(&limits).await?;
    if cancel.is_cancelled() {
        let why = "the advisor was told to stop before it began".to_owned();
        return Err(Stopped::Skipped(Outcome::Cancelled, why, Effect::None));
    }
    refresh(server, step, allowed, (&session, &before), (cancel, watched)).await?;
    let elapsed = began.elapsed().as_secs_f64();
    let after = afterwards(&session, step).await;
    let mut run = Done::nothing(step, Outcome::Refreshed, step.reason.clone(), before.at).run;
    run.mode = Some(allowed.mode);
    run.started_at = Some(before.at);
    run.ended_at = before.at + chrono::TimeDelta::milliseconds((elapsed * 1000.0) as i64);
    run.elapsed_seconds = Some(elapsed);
    run.waited_seconds = Some(watched.waited_seconds);
    run.held_up_seconds = Some(watched.held_up_seconds);
    run.rows = after.as_ref().and_then(|(state, _)| state.rows);
    run.size_bytes = after.as_ref().and_then(|(_, size)| *size);
    let last = after.map_or(before, |(state, _)| state);
    Ok(Done {
        run,
        effect: Effect::Refreshed(Box::new(After {
            state: last.state,
            scans: last.scans,
            inputs,
            work_seconds: watched.work_seconds,
        })),
        was_too_slow: false,
        readers_came: watched.held_up_seconds > 0.0,
    })
}

/// REFRESH and COMMIT, watched; ended if it has to be.
async fn refresh(
    server: &Server,
    step: &Step,
    allowed: &Allowed,
    (session, before): (&Refresh, &Now),
    (cancel, watched): (&CancellationToken, &mut Watched),
) -> Result<(), PostgresError> {
    let working = Instant::now();
    let waited_before = watched.waited_seconds;
    let place = (
        Identifier::new(&step.view.schema),
        Identifier::new(&step.view.name),
    );
    let canceller = session.canceller();
    let concurrently = allowed.mode == Mode::Concurrently;
    let refreshing = session.refresh((&place.0, &place.1), concurrently, allowed.within);
    let mut refreshing = std::pin::pin!(refreshing);
    let ended = tokio::select! {
        refreshed = &mut refreshing => Some(refreshed),
        () = watch(server, step, (before.pid, allowed.readers_wait), watched) => None,
        () = cancel.cancelled() => None,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            let mut result = None;
            for _ in 0..CANCEL_TRIES {
                canceller.cancel().await;
                // it may have been faster
                if let Ok(ended) = tokio::time::timeout(CANCEL_PATIENCE, &mut refreshing).await {
                    result = Some(ended);
                    break;
                }
            }
            match result {
                Some(result) => result,
                None => {
                    server.end_session(before.pid).await;
                    refreshing.await
                }
            }
        }
    };
    if matches!(result, Err(PostgresError::Frozen { .. })) {
        // a function in the view does not heed its timeout: it would keep its locks
        server.end_session(before.pid).await;
    }
    let waited = watched.waited_seconds - waited_before;
    watched.work_seconds = (working.elapsed().as_secs_f64() - waited).max(0.0);
    result
}

/// Takes the lock that all refreshers take, for as long as the transaction lasts.
async fn lock(session: &Refresh, step: &Step) -> Result<(), Stopped> {
    let key = step.oid.cast_signed();
    let rows = session.rows(queries::REFRESH_LOCK, &[(&key, Type::INT4)]).await?;
    match rows.first().is_some_and(|row| column(row, "is_mine")) {
        true => Ok(()),
        false => {
            let why = "another refresher is at it".to_owned();
            Err(Stopped::Skipped(Outcome::AlreadyRunning, why, Effect::None))
        }
    }
}

/// A view as it is just now.
struct Now {
    schema: String,
    name: String,
    state: ViewState,
    at: DateTime<Utc>,
    pid: i32,
    scans: i64,
    rows: Option<i64>,
}

fn column<T: FromSqlOwned + Default>(row: &Row, name: &str) -> T {
    row.try_get::<_, Option<T>>(name)
        .ok()
        .flatten()
        .unwrap_or_default()
}

async fn state(session: &Refresh, oid: u32) -> Result<Option<Now>, PostgresError> {
    let rows = session.rows(queries::REFRESH_STATE, &[(&oid, Type::OID)]).await?;
    Ok(rows.first().map(|row| Now {
        schema: column(row, "schema"),
        name: column(row, "name"),
        state: ViewState {
            version: column(row, "version"),
            filenode: column(row, "filenode"),
            written: column(row, "written"),
        },
        at: row.try_get("at").unwrap_or_else(|_| Utc::now()),
        pid: column(row, "pid"),
        scans: column(row, "scans"),
        rows: row.try_get("rows").ok().flatten(),
    }))
}

/// What the view reads, as it is now.
async fn inputs(session: &Refresh, step: &Step) -> Result<Option<Inputs>, PostgresError> {
    let Some(reads) = &step.reads else { return Ok(None) };
    let rows = session
        .rows(queries::REFRESH_RELATIONS, &[(&reads.roots, Type::OID_ARRAY)])
        .await?;
    let relations: BTreeMap<u32, RelationState> = rows
        .iter()
        .map(|row| {
            let state = RelationState {
                version: column(row, "version"),
                filenode: column(row, "filenode"),
                written: column(row, "written"),
            };
            (column(row, "oid"), state)
        })
        .collect();
    Ok(Some(Inputs {
        epoch: reads.epoch.clone(),
        definition: reads.definition.clone(),
        relations,
    }))
}

/// Takes the due moment in the table of runs, where there is one; false if it is taken.
async fn take_moment(
    session: &Refresh,
    step: &Step,
    (at, mode): (DateTime<Utc>, Mode),
) -> Result<bool, PostgresError> {
    let Some(moment) = step.moment.filter(|_| step.uses_record) else {
        return Ok(true);
    };
    let mode = mode.word();
    let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
        (&step.view.schema, Type::TEXT),
        (&step.view.name, Type::TEXT),
        (&moment, Type::TIMESTAMPTZ),
        (&at, Type::TIMESTAMPTZ),
        (&step.planned_at, Type::TIMESTAMPTZ),
        (&mode, Type::TEXT),
    ];
    let rows = session.rows(queries::REFRESH_CLAIM, &parameters).await?;
    Ok(!rows.is_empty())
}

/// The view and its size once its counters can be seen, and the end of its moment; it is refreshed whether this works or not.
async fn afterwards(session: &Refresh, step: &Step) -> Option<(Now, Option<f64>)> {
    if let Some(moment) = step.moment.filter(|_| step.uses_record) {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&step.view.schema, Type::TEXT),
            (&step.view.name, Type::TEXT),
            (&moment, Type::TIMESTAMPTZ),
        ];
        for sql in [queries::REFRESH_CLAIM_END, queries::REFRESH_RECORD_PRUNE] {
            if let Err(error) = session.rows(sql, &parameters).await {
                tracing::warn!("the table of runs cannot be kept in order: {}", error.one_line());
            }
        }
    }
    // until 14 there is nothing to ask
    let _ = session.rows(queries::REFRESH_FLUSH, &[]).await;
    let now = state(session, step.oid).await.ok()??;
    let size = session
        .rows(queries::REFRESH_SIZE, &[(&step.oid, Type::OID)])
        .await
        .ok();
    let size = size.and_then(|rows| rows.first()?.try_get("size_bytes").ok().flatten());
    Some((now, size))
}

/// Adds up who waits for whom, until it is dropped, or somebody has waited for the view longer than `readers_wait`.
async fn watch(
    server: &Server,
    step: &Step,
    (pid, readers_wait): (i32, Option<Duration>),
    watched: &mut Watched,
) {
    let mut last = Instant::now();
    let mut waited_in_a_row = Duration::ZERO;
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let passed = last.elapsed();
        last = Instant::now();
        let asked = async {
            let home = server.observe_home().await?;
            let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
                (&pid, Type::INT4),
                (&step.oid, Type::OID),
                (&step.view.database, Type::TEXT),
            ];
            home.rows(queries::REFRESH_WATCH, &parameters).await
        };
        // what is not seen is not counted
        let Ok(Ok(rows)) = tokio::time::timeout(limits::ANSWER_GRACE, asked).await else {
            continue;
        };
        let Some(row) = rows.first() else { continue };
        if column(row, "is_waiting") {
            watched.waited_seconds += passed.as_secs_f64();
        }
        let waiting: i64 = column(row, "waiting_sessions");
        watched.held_up_seconds += passed.as_secs_f64() * waiting as f64;
        waited_in_a_row = match waiting {
            0 => Duration::ZERO,
            _ => waited_in_a_row + passed,
        };
        if readers_wait.is_some_and(|patience| waited_in_a_row > patience) {
            watched.readers_came = true;
            return;
        }
    }
}
