//! `pgadvisor refresh`: materialized views, refreshed once, for those who keep cron.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigOption, Failure, PlainFormat, configuration, json, print, style};
use crate::configuration::{Configuration, IfRunning, Server as ServerSettings};
use crate::engine::refreshing::{Known, RefreshError, Refresher};
use crate::model::refresh::{Outcome, Run, ViewName};
use crate::refresh::pass::{Event, Stop};
use crate::refresh::plan::{Ask, Step, Todo, Unchanged};
use crate::report::refresh::{RefreshReport, ReportedRun, text};
use crate::report::visible;
use crate::store::{Store, StoreError};

#[derive(Args)]
pub struct Options {
    /// Views as schema.name; each needs a [[refresh]] that matches it
    #[arg(value_name = "VIEW", required_unless_present = "due", conflicts_with = "due")]
    views: Vec<String>,
    /// Whatever is due
    #[arg(long)]
    due: bool,
    #[command(flatten)]
    config: ConfigOption,
    /// The server, where the configuration names several
    #[arg(long)]
    server: Option<String>,
    /// Only views of this database
    #[arg(long)]
    database: Option<String>,
    /// Tell what would be done, and why
    #[arg(long)]
    dry_run: bool,
    /// Also what has not changed, or was refreshed by somebody else just now
    #[arg(long)]
    force: bool,
    /// Wait for another refresh of the same view, and then do it all the same
    #[arg(long)]
    wait: bool,
    #[arg(long, value_enum, default_value = "text")]
    format: PlainFormat,
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    super::run::start_log_of_a_command();
    let mut configuration = configuration(options.config.config.as_deref())?;
    let server = server_of(&configuration, options.server.as_deref())?.clone();
    if options.wait {
        for refresh in &mut configuration.refreshes {
            refresh.if_running = IfRunning::Wait;
        }
    }
    let store = open(&configuration.store.path)?;
    let refresher = Refresher::new(&server, &configuration, store)?;
    if !refresher.has_work() {
        let why =
            "no [[refresh]] of the configuration is about this server, so that there is nothing to refresh";
        return Err(Failure::Usage(format!("server {}: {why}", visible(&server.name))));
    }
    let began = Instant::now();
    let (all, failed) = refresher.look(options.database.as_deref()).await?;
    for (database, error) in &failed {
        let why = visible(&error.one_line());
        eprintln!(
            "pgadvisor: views of {} cannot be refreshed: {why}",
            visible(database)
        );
    }
    let has_unseen = !failed.is_empty();
    if let (true, Some((_, error))) = (all.is_empty(), failed.into_iter().next()) {
        return Err(error.into());
    }
    if options.due {
        for view in refresher.unmatched(&all) {
            eprintln!("pgadvisor: no materialized view matches {}", visible(&view));
        }
    }
    let planned_at = all.first().map_or_else(chrono::Utc::now, |known| known.look.now);
    let mut runs = Vec::new();
    let named = named(&options, &all)?;
    let (stop, interrupted) = stop_on_signals()?;
    let unchanged = match options.force {
        true => Unchanged::Refresh,
        false => Unchanged::Leave,
    };
    for mut known in all {
        if options.due && !options.dry_run {
            refresher.called(&mut known).await?;
        }
        let ask = match options.due {
            true => Ask::Due(unchanged),
            false => Ask::Named(&named, unchanged),
        };
        let steps = known.plan(&ask);
        runs.extend(match options.dry_run {
            true => steps.iter().map(would_be).collect(),
            false => do_it(&refresher, steps, &stop).await,
        });
    }
    if !options.dry_run {
        // for the pages; what was done is done
        if let Ok((all, failed)) = refresher.look(None).await {
            let failed = failed.into_iter().map(|(database, _)| database);
            refresher.show(&all, &failed.collect::<Vec<_>>()).await?;
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    let report = RefreshReport::new(refresher.name(), planned_at, options.dry_run, runs, elapsed);
    print(&match options.format {
        PlainFormat::Text => text(&report, style()),
        PlainFormat::Json => json(&report)?,
    })?;
    let is_interrupted = *interrupted.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match (is_interrupted, report.has_failures()) {
        (true, _) => 130,
        (false, has_failures) => u8::from(has_failures || has_unseen),
    })
}

fn server_of<'a>(
    configuration: &'a Configuration,
    name: Option<&str>,
) -> Result<&'a ServerSettings, Failure> {
    let usage = |why: &str| Err(Failure::Usage(why.to_owned()));
    match (name, &configuration.servers[..]) {
        (None, []) => {
            usage("there is no configuration with a server and a [[refresh]]: name one with --config")
        }
        (None, [only]) => Ok(only),
        (None, _) => usage("the configuration names several servers: choose one with --server"),
        (Some(name), servers) => match servers.iter().find(|server| server.name == name) {
            Some(server) => Ok(server),
            None => usage(&format!(
                "the configuration names no server \"{}\"",
                visible(name)
            )),
        },
    }
}

/// The store that a daemon may be using; a new one where there is none yet.
fn open(path: &Path) -> Result<Store, StoreError> {
    match Store::open(path) {
        // the writer's lock is for the daemon: it may start meanwhile
        Ok(store) => drop(store),
        Err(StoreError::InUse { .. }) => {}
        Err(error) => return Err(error),
    }
    Store::open_shared(path)
}

/// The views that were named; each must be there, and a table of the configuration be about it.
fn named(options: &Options, all: &[Known]) -> Result<BTreeSet<ViewName>, Failure> {
    let mut named = BTreeSet::new();
    for view in &options.views {
        let fits = |name: &&ViewName| name.in_database() == *view || name.name == *view;
        let there: Vec<ViewName> = all.iter().flat_map(Known::names).filter(fits).cloned().collect();
        let configured = |name: &&ViewName| all.iter().any(|known| known.policies.contains_key(*name));
        if there.is_empty() {
            let why = format!("there is no materialized view {}", visible(view));
            return Err(Failure::Usage(why));
        }
        let meant: Vec<ViewName> = there.iter().filter(configured).cloned().collect();
        if meant.is_empty() {
            let why = format!(
                "no [[refresh]] of the configuration is about {}, so that it is left alone",
                visible(view)
            );
            return Err(Failure::Usage(why));
        }
        named.extend(meant);
    }
    Ok(named)
}

fn depends_on(step: &Step) -> Vec<String> {
    step.depends_on.iter().map(ViewName::in_database).collect()
}

/// A step that is not run.
fn would_be(step: &Step) -> ReportedRun {
    let (outcome, mode) = match step.todo {
        Todo::Refresh { mode, .. } => (Outcome::Planned, Some(mode)),
        _ => (Outcome::Skipped, None),
    };
    let run = Run {
        mode,
        due_at: step.moment,
        ..Run::of(&step.view, outcome, step.reason.clone(), step.planned_at)
    };
    ReportedRun::new(&run, depends_on(step))
}

async fn do_it(refresher: &Refresher, steps: Vec<Step>, stop: &Stop) -> Vec<ReportedRun> {
    let order: Vec<ViewName> = steps.iter().map(|step| step.view.clone()).collect();
    let runs: Mutex<Vec<ReportedRun>> = Mutex::default();
    let shows = std::io::stderr().is_terminal();
    let tell = |event: &Event<'_>| match event {
        Event::Started(step) if shows => {
            let sql = step.sql().unwrap_or_default();
            eprintln!("{} …", visible(&sql));
        }
        Event::Started(_) => {}
        Event::Ended(step, done) => {
            let run = ReportedRun::new(&done.run, depends_on(step));
            runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        }
    };
    refresher.run(steps, stop, &tell).await;
    let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |run: &ReportedRun| {
        order
            .iter()
            .position(|view| (&view.schema, &view.name) == (&run.schema, &run.name))
    };
    runs.sort_by_key(place);
    runs
}

/// Ctrl-C and SIGTERM cancel what runs; the report is still written.
fn stop_on_signals() -> Result<(Stop, Arc<Mutex<bool>>), Failure> {
    let stop = Stop::default();
    let interrupted = Arc::new(Mutex::new(false));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    let (stopping, told) = (stop.clone(), interrupted.clone());
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        *told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        stopping.no_more.cancel();
        stopping.cancel.cancel();
        // whoever insists is not kept waiting; PostgreSQL takes back what is under way
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        std::process::exit(130);
    });
    Ok((stop, interrupted))
}

impl From<RefreshError> for Failure {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Store(error) => error.into(),
            RefreshError::Postgres(error) => error.into(),
        }
    }
}
