//! The command line: one file per command, without logic of its own. Results go to standard output, everything else to
//! standard error.

mod advise;
mod check;
mod chosen;
mod config;
mod demo;
mod environment;
mod explain;
mod findings;
mod names;
mod plan;
mod refresh;
mod run;
mod setup;
mod snapshot;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::configuration::{Configuration, ConfigurationErrors};
use crate::engine::{EngineError, rule_schemas, server_problems};
use crate::postgres::PostgresError;
use crate::report::visible;
use crate::store::StoreError;

/// Watches PostgreSQL servers, and tells what to change, what it is worth, and how that is known.
#[derive(Parser)]
#[command(
    name = "pgadvisor",
    version,
    max_term_width = 110,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The daemon: poll, judge, serve
    Run(run::Options),
    /// One look at a server, with no set-up
    Check(check::Options),
    /// The set of indexes that is worth most for a workload, proven by the planner
    Advise(advise::Options),
    /// Judge an EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) that you ran
    Plan(plan::Options),
    /// Refresh materialized views: those that are due, or those that are named, each after what it reads
    Refresh(refresh::Options),
    /// List, show and answer findings
    #[command(subcommand)]
    Findings(findings::Action),
    /// Print the least-privilege login and the extensions as SQL
    Setup(setup::Options),
    /// Check a configuration file, show the values in force, print its JSON Schema
    #[command(subcommand)]
    Config(config::Action),
    /// The manual of a rule
    Explain(explain::Options),
    /// A disposable PostgreSQL with a living, flawed workload, the daemon watching it, the dashboard at hand
    Demo(demo::Options),
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Ndjson,
    Markdown,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Text,
    Json,
    Ndjson,
}

/// How a result is written that is one thing and no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlainFormat {
    Text,
    Json,
}

/// Why a command ended badly, by its exit code: 2 usage, configuration, files, port, store; 3 the server; 4 ours.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Configuration(#[from] ConfigurationErrors),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Server(#[from] PostgresError),
    #[error(transparent)]
    Ours(#[from] anyhow::Error),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => Self::Store(error),
            EngineError::Postgres(error) => Self::Server(error),
            EngineError::Settings { .. } => Self::Usage(chain(&error)),
            EngineError::Thread(_) => Self::Ours(error.into()),
        }
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Configuration(_) | Self::Store(_) => 2,
            Self::Server(PostgresError::Tls(_)) => 2,
            Self::Server(_) => 3,
            Self::Ours(_) => 4,
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}

/// Runs the command that the arguments name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // nobody is left to be told if this fails
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // readers of the dashboard come in numbers; a command waits for one server, and is not handed from thread to thread
    let mut builder = match &arguments.command {
        Command::Run(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = match builder.worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pgadvisor: the runtime cannot be started: {error}");
            return ExitCode::from(4);
        }
    };
    let result = runtime.block_on(dispatch(arguments.command));
    // a look that is still under way must not keep the process
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let text = match &failure {
                Failure::Configuration(errors) => errors.to_string(),
                other => visible(&chain(other)),
            };
            eprintln!("pgadvisor: {text}");
            ExitCode::from(failure.code())
        }
    }
}

async fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Run(options) => run::run(options).await,
        Command::Check(options) => check::run(options).await,
        Command::Advise(options) => advise::run(options).await,
        Command::Plan(options) => plan::run(&options),
        Command::Refresh(options) => refresh::run(options).await,
        Command::Findings(action) => findings::run(action).await,
        Command::Setup(options) => setup::run(options).await,
        Command::Config(action) => config::run(action),
        Command::Explain(options) => explain::run(&options),
        Command::Demo(options) => demo::run(options).await,
    }
}

/// The configuration of a file, or of the first that is found, or the defaults.
fn configuration(explicit: Option<&Path>) -> Result<Configuration, Failure> {
    let schemas = rule_schemas();
    match Configuration::find(explicit) {
        Some(path) => Ok(Configuration::load(&path, &schemas, server_problems)?),
        None => Ok(Configuration::defaults(&schemas)),
    }
}

/// Writes a result. A reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Usage(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Colours on a terminal that wants them (NO_COLOR).
fn style() -> crate::report::Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && std::io::stdout().is_terminal() {
        crate::report::Style::Colour
    } else {
        crate::report::Style::Plain
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    Ok(text + "\n")
}

/// A configuration file given by hand.
#[derive(clap::Args, Clone)]
struct ConfigOption {
    /// The configuration file; else ./config.toml, then /etc/pgadvisor/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}
