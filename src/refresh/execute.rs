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
}

/// What is known of a view after a step.
#[derive(Clone, Debug)]
pub enum Effect {
    /// What was known before.
    None,
    /// The moment needs nothing more: somebody else took it, or it passed.
    Handled,
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

/// What a refresh did while it was watched.
#[derive(Clone, Copy, Default)]
struct Watched {
    waited_seconds: f64,
    held_up_seconds: f64,
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
        }
    }
}

/// Refreshes the view of a step. Once `cancel` is cancelled the statement that runs is ended, and recorded so.
pub async fn execute(server: &Server, step: &Step, cancel: &CancellationToken) -> Done {
    let Todo::Refresh { mode, within, .. } = step.todo else {
        return Done::nothing(step, Outcome::Skipped, step.reason.clone(), Utc::now());
    };
    let began = Instant::now();
    let mut watched = Watched::default();
    let mut tries = 0;
    let stopped = loop {
        tries += 1;
        match attempt(server, step, (mode, within), cancel, &mut watched).await {
            Ok(done) => return done,
            Err(Stopped::Failed(error))
                if lacks_lock(&error) && tries < LOCK_TRIES && !cancel.is_cancelled() =>
            {
                tokio::select! {
                    () = cancel.cancelled() => break Stopped::Failed(error),
                    () = tokio::time::sleep(LOCK_PAUSE * (1 << (tries - 1))) => {}
                }
            }
            Err(stopped) => break stopped,
        }
    };
    let mut done = match stopped {
        Stopped::Skipped(outcome, why, effect) => {
            let nothing = Done::nothing(step, outcome, why, Utc::now());
            return Done { effect, ..nothing };
        }
        Stopped::Failed(error) => failed(step, &error, cancel, tries),
    };
    done.run.mode = Some(mode);
    done.run.elapsed_seconds = Some(began.elapsed().as_secs_f64());
    done.run.waited_seconds = Some(watched.waited_seconds);
    done.run.held_up_seconds = Some(watched.held_up_seconds);
    done
}

fn lacks_lock(error: &PostgresError) -> bool {
    error.code() == Some("55P03")
}

/// A refresh that failed, in words.
fn failed(step: &Step, error: &PostgresError, cancel: &CancellationToken, tries: u32) -> Done {
    let code = error.code();
    let (outcome, reason) = match code {
        Some("57014") if cancel.is_cancelled() => (
            Outcome::Cancelled,
            "it was cancelled, since the advisor was told to stop".to_owned(),
        ),
        Some("57014") => (
            Outcome::Failed,
            format!(
                "it was cancelled: it took longer than {}, or somebody ended it",
                match step.todo {
                    Todo::Refresh { within, .. } =>
                        crate::model::unit::seconds_for_people(within.as_secs_f64()),
                    _ => String::new(),
                }
            ),
        ),
        Some("55P03") => (
            Outcome::Failed,
            format!(
                "the view was locked by others in each of {tries} tries of {}",
                step.policy.lock_timeout
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
    done
}

/// One try.
async fn attempt(
    server: &Server,
    step: &Step,
    (mode, within): (Mode, Duration),
    cancel: &CancellationToken,
    watched: &mut Watched,
) -> Result<Done, Stopped> {
    let began = Instant::now();
    let session = server.refresh(&step.view.database).await?;
    lock(&session, step, cancel).await?;
    let before = state(&session, step.oid).await?;
    let Some(before) = before else {
        return Err(skipped("it was dropped meanwhile", Effect::None));
    };
    if (before.schema.as_str(), before.name.as_str()) != (step.view.schema.as_str(), step.view.name.as_str())
    {
        let why = format!("it was renamed to {}.{} meanwhile", before.schema, before.name);
        return Err(skipped(&why, Effect::None));
    }
    if !step.is_forced && step.seen.state.was_refreshed_until(&before.state) {
        return Err(skipped("somebody else refreshed it just now", Effect::StillFresh));
    }
    // before the snapshot of the refresh: what changes later is seen as a change
    let inputs = inputs(&session, step).await?;
    if !take_moment(&session, step, before.at).await? {
        return Err(skipped(
            "another refresher has taken this moment",
            Effect::Handled,
        ));
    }
    let limits = RefreshLimits {
        lock_timeout: step.policy.lock_timeout.as_duration(),
        statement_timeout: within,
        work_mem_bytes: step.policy.work_mem.map(|size| size.bytes),
        parallel_workers: step.policy.parallel_workers,
    };
    session.limit(&limits).await?;
    let working = Instant::now();
    let waited_before = watched.waited_seconds;
    let place = (
        Identifier::new(&step.view.schema),
        Identifier::new(&step.view.name),
    );
    let canceller = session.canceller();
    let refreshing = session.refresh((&place.0, &place.1), mode == Mode::Concurrently, within);
    let watching = watch(server, step, before.pid, watched);
    let mut refreshing = std::pin::pin!(refreshing);
    tokio::select! {
        refreshed = &mut refreshing => refreshed?,
        () = watching => unreachable!("it watches until it is dropped"),
        () = cancel.cancelled() => {
            canceller.cancel().await;
            // it may have been faster
            refreshing.await?;
        }
    }
    let work_seconds = (working.elapsed().as_secs_f64() - (watched.waited_seconds - waited_before)).max(0.0);
    let committed = state(&session, step.oid).await?;
    end_moment(&session, step, mode).await?;
    session.commit().await?;
    let elapsed = began.elapsed().as_secs_f64();
    let after = afterwards(&session, step.oid).await;
    let mut run = Done::nothing(step, Outcome::Refreshed, step.reason.clone(), before.at).run;
    run.mode = Some(mode);
    run.started_at = Some(before.at);
    run.ended_at = before.at + chrono::TimeDelta::milliseconds((elapsed * 1000.0) as i64);
    run.elapsed_seconds = Some(elapsed);
    run.waited_seconds = Some(watched.waited_seconds);
    run.held_up_seconds = Some(watched.held_up_seconds);
    run.rows = after.as_ref().and_then(|(state, _)| state.rows);
    run.size_bytes = after.as_ref().and_then(|(_, size)| *size);
    let last = after.map(|(state, _)| state).or(committed).unwrap_or(before);
    Ok(Done {
        run,
        effect: Effect::Refreshed(Box::new(After {
            state: last.state,
            scans: last.scans,
            inputs,
            work_seconds,
        })),
    })
}

/// Takes the lock that all refreshers take, for as long as the transaction lasts.
async fn lock(session: &Refresh, step: &Step, cancel: &CancellationToken) -> Result<(), Stopped> {
    let key = step.oid.cast_signed();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&key, Type::INT4)];
    let rows = session.rows(queries::REFRESH_LOCK, &parameters).await?;
    if rows.first().is_some_and(|row| column(row, "is_mine")) {
        return Ok(());
    }
    if step.policy.if_running == IfRunning::Skip {
        let why = "another refresher is at it".to_owned();
        return Err(Stopped::Skipped(Outcome::AlreadyRunning, why, Effect::None));
    }
    let patience = step.policy.max_duration.as_duration();
    let limits = RefreshLimits {
        lock_timeout: patience,
        statement_timeout: patience,
        work_mem_bytes: None,
        parallel_workers: None,
    };
    session.limit(&limits).await?;
    let waiting = session.rows_within(patience, queries::REFRESH_LOCK_WAIT, &parameters);
    tokio::select! {
        waited = waiting => waited.map(drop).map_err(Stopped::from),
        () = cancel.cancelled() => {
            let why = "the advisor was told to stop while another refresher was at it".to_owned();
            Err(Stopped::Skipped(Outcome::Cancelled, why, Effect::None))
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
async fn take_moment(session: &Refresh, step: &Step, at: DateTime<Utc>) -> Result<bool, PostgresError> {
    let Some(moment) = step.moment.filter(|_| step.uses_record) else {
        return Ok(true);
    };
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&step.view.schema, Type::TEXT),
        (&step.view.name, Type::TEXT),
        (&moment, Type::TIMESTAMPTZ),
        (&at, Type::TIMESTAMPTZ),
    ];
    let rows = session.rows(queries::REFRESH_CLAIM, &parameters).await?;
    Ok(!rows.is_empty())
}

async fn end_moment(session: &Refresh, step: &Step, mode: Mode) -> Result<(), PostgresError> {
    let Some(moment) = step.moment.filter(|_| step.uses_record) else {
        return Ok(());
    };
    let mode = mode.word();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&step.view.schema, Type::TEXT),
        (&step.view.name, Type::TEXT),
        (&moment, Type::TIMESTAMPTZ),
        (&mode, Type::TEXT),
    ];
    session
        .rows(queries::REFRESH_CLAIM_END, &parameters)
        .await
        .map(drop)
}

/// The view and its size once its counters can be seen; it is refreshed whether this works or not.
async fn afterwards(session: &Refresh, oid: u32) -> Option<(Now, Option<f64>)> {
    // until 14 there is nothing to ask
    let _ = session.rows(queries::REFRESH_FLUSH, &[]).await;
    let now = state(session, oid).await.ok()??;
    let size = session
        .rows(queries::REFRESH_SIZE, &[(&oid, Type::OID)])
        .await
        .ok();
    let size = size.and_then(|rows| rows.first()?.try_get("size_bytes").ok().flatten());
    Some((now, size))
}

/// Adds up who waits for whom, until it is dropped.
async fn watch(server: &Server, step: &Step, pid: i32, watched: &mut Watched) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let seconds = last.elapsed().as_secs_f64();
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
            watched.waited_seconds += seconds;
        }
        watched.held_up_seconds += seconds * column::<i64>(row, "waiting_sessions") as f64;
    }
}
