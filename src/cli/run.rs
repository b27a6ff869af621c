//! `pgadvisor run`: the daemon.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ConfigOption, Failure, configuration, environment};
use crate::configuration::Configuration;
use crate::engine::{self, Signals};
use crate::store::{Store, StoreError};
use crate::web;

/// How long a starting daemon waits for the store's lock before it says that another one runs.
const LOCK_WAIT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigOption,
    /// How the log is written
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    start_log(matches!(options.log_format, LogFormat::Json));
    let mut configuration = configuration(options.config.config.as_deref())?;
    environment::add_server(&mut configuration);
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        tracing::info!("told to stop");
        stopping.cancel();
    });
    let listener = listen(&configuration.web.listen)?;
    serve(configuration, listener, stop).await?;
    Ok(0)
}

fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let advice = "is another pgadvisor running?";
        Failure::Usage(format!(
            "cannot listen on {address} ([web] listen): {error}; {advice}"
        ))
    })
}

/// The daemon until it is told to stop. Everything that can be wrong is found before anything starts.
/// Who connects to the dashboard's address before that is answered then.
pub async fn serve(
    configuration: Configuration,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), Failure> {
    for warning in &configuration.warnings {
        tracing::warn!("{warning}");
    }
    let graces = configuration.servers.iter().map(|server| server.refresh_grace);
    let refresh_grace = graces.max().unwrap_or_default().as_duration();
    let store = open(&configuration.store.path).await?;
    let signals = Signals::default();
    let tasks = TaskTracker::new();
    engine::start(&configuration, &store, &signals, &tasks, &stop)?;
    listener.set_nonblocking(true).map_err(anyhow::Error::from)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(anyhow::Error::from)?;
    let address = listener.local_addr().map_err(anyhow::Error::from)?;
    tracing::info!("the dashboard is at http://{address}/");
    web::serve(listener, configuration, store, signals, stop.clone())
        .await
        .map_err(anyhow::Error::from)?;
    stop.cancel();
    tasks.close();
    // every task ends at its next wait; a look under way is dropped with its connection; refreshes have a time of their own,
    // and are cancelled after it
    let grace = Duration::from_secs(5) + refresh_grace;
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end within {} s", grace.as_secs());
    }
    Ok(())
}

/// The store with the writer's lock: a command has it for a moment, another daemon for good.
async fn open(path: &Path) -> Result<Store, StoreError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match Store::open(path) {
            Err(StoreError::InUse { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            opened => return opened,
        }
    }
}

/// Logs to standard error; RUST_LOG chooses what.
pub fn start_log(json: bool) {
    start_log_of("warn,pgadvisor=info", json);
}

/// The same for a command, whose result is its report: only what went wrong beside it.
pub fn start_log_of_a_command() {
    start_log_of("warn", false);
}

fn start_log_of(what: &str, json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(what));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .with_target(false);
    // a second start in one process (tests) keeps the first
    let _ = if json {
        log.json().try_init()
    } else {
        log.try_init()
    };
}
