//! A disposable PostgreSQL with a living, flawed workload: everything in one folder that goes away at the end.

mod server;
mod workload;

use std::path::{Path, PathBuf};

use crate::report::setup;

pub use server::Disposable;
pub use workload::Clients;

/// The tables of four small applications, with the flaws that such have.
const SCHEMA: &str = include_str!("schema.sql");
/// What must run by itself and may fail: the error is the flaw.
const FLAWS: &str = include_str!("flaws.sql");
/// What the applications call, and how often.
const WORKLOAD: &str = include_str!("workload.sql");

/// The database of the applications.
pub const DATABASE: &str = "applications";
/// The login that plans.
const PLANNER: &str = "pgadvisor_planner";

/// Why the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No PostgreSQL is installed.
    #[error("no PostgreSQL server is installed where Debian puts it ({tried}): ./demo.sh installs one")]
    NoServer {
        /// Where it was looked for.
        tried: String,
    },
    /// A file or process failed.
    #[error("{what} failed")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{what} failed: {output}")]
    Program {
        /// What was tried.
        what: String,
        /// What it printed.
        output: String,
    },
    /// The server refused.
    #[error("{what} failed")]
    Sql {
        /// What was tried.
        what: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> DemoError {
    let what = what.into();
    move |source| DemoError::System { what, source }
}

fn sql(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> DemoError {
    let what = what.into();
    move |source| DemoError::Sql { what, source }
}

/// Loads the applications into a server that was just started.
///
/// # Errors
/// If a statement fails that must not.
pub async fn load(server: &Disposable) -> Result<(), DemoError> {
    let session = server.connect("postgres").await?;
    session
        .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
        .await
        .map_err(sql("creating the database"))?;
    let session = server.connect(DATABASE).await?;
    session
        .batch_execute(SCHEMA)
        .await
        .map_err(sql("loading the applications"))?;
    let extensions = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
    session
        .batch_execute(extensions)
        .await
        .map_err(sql("creating pg_stat_statements"))?;
    // proving index advice needs these; a server without them is watched all the same
    for sql in setup::planner(PLANNER)
        .iter()
        .chain(&setup::planner_in_database(PLANNER))
    {
        if let Err(error) = session.batch_execute(sql).await {
            tracing::warn!(%error, "index advice will lack something");
        }
    }
    for flaw in workload::statements(FLAWS) {
        // its error is the flaw
        let _ = session.batch_execute(&flaw).await;
    }
    session
        .batch_execute("SELECT pg_stat_statements_reset()")
        .await
        .map_err(sql("resetting statistics"))?;
    Ok(())
}

/// The configuration of the demo's daemon: waits are shorter than anybody should have them.
pub fn configuration(server: &Disposable, listen: &str, folder: &Path) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    format!(
        "# Written by pgadvisor demo. The waits are shortened, so that there is something to see in minutes.\n\
         [web]\nlisten = {}\n\n[store]\npath = {}\n\n\
         [[servers]]\nname = \"demo\"\ndsn = {}\nplanner_dsn = {}\npoll_every = \"5 s\"\ncatalog_every = \"30 s\"\n\
         throw_away = true\n\
         advise_every = \"10 min\"\n\n\
         [[refresh]]\nview = \"shop.monthly_revenue\"\nmax_age = \"1 min\"\n\n\
         [[refresh]]\nview = \"erp.stock_on_hand\"\nevery = \"2 min\"\n\n\
         [rules.index.unused]\nmin_age = \"2 min\"     # instead of 35 days\n\n\
         [rules.vacuum.dead_tuples]\nhold = \"10 s\"        # instead of 1 h\n",
        text(listen),
        text(&folder.join("pgadvisor.db").to_string_lossy()),
        text(&server.dsn("postgres", DATABASE)),
        text(&server.dsn(PLANNER, DATABASE)),
    )
}

/// Where Debian puts servers; the newest of those that the advisor knows is taken last, 15 first.
fn server_folder() -> Result<PathBuf, DemoError> {
    let versions = [15, 17, 16, 18, 14];
    let folders: Vec<PathBuf> = versions
        .iter()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .collect();
    folders
        .iter()
        .find(|folder| folder.join("postgres").exists())
        .cloned()
        .ok_or_else(|| DemoError::NoServer {
            tried: "/usr/lib/postgresql/14 to 18".to_owned(),
        })
}
