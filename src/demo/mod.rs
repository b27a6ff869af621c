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

/// What is said of the waits when the demo starts.
pub const SHORTENED: &str = "the waits are shorter than anybody should have them, so that there is something to see in minutes: \
                             the configuration shows each with what is usual";

/// Waits of rules that are shortened: the rule, the key and its value.
const OF_RULES: [(&str, &str, &str); 2] = [
    ("index.unused", "min_age", "1 min"),
    ("vacuum.dead_tuples", "hold", "10 s"),
];

/// The configuration of the demo's daemon. Each wait that is shortened shows what is usual.
pub fn configuration(server: &Disposable, listen: &str, folder: &Path) -> String {
    configuration_text(
        listen,
        &folder.join("pgadvisor.db").to_string_lossy(),
        &server.dsn("postgres", DATABASE),
        &server.dsn(PLANNER, DATABASE),
    )
}

fn configuration_text(listen: &str, store: &str, dsn: &str, planner_dsn: &str) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let usual = crate::configuration::Server::default();
    let of_server = [
        ("poll_every", "5 s", usual.poll_every),
        ("catalog_every", "30 s", usual.catalog_every),
        ("advise_every", "10 min", usual.advise_every),
    ];
    let of_server = of_server.map(|(key, value, usual)| shortened(key, value, &usual.to_string()));
    let of_rules = OF_RULES.map(|(rule, key, value)| {
        let line = shortened(key, value, &usual_wait(rule, key));
        format!("\n[rules.{rule}]\n{line}")
    });
    format!(
        "# Written by pgadvisor demo. The waits are shortened, so that there is something to see in minutes.\n\
         # looks that follow each other so fast cost more than a server would have to bear: ten times the usual\n\
         [budget]\nown_cost_ratio = 0.05\n\n\
         [web]\nlisten = {}\n\n[store]\npath = {}\n\n\
         [[servers]]\nname = \"demo\"\ndsn = {}\nplanner_dsn = {}\n{}\
         throw_away = true\n\n\
         # promises that nobody needs so short\n\
         [[refresh]]\nview = \"shop.monthly_revenue\"\nmax_age = \"1 min\"\n\n\
         [[refresh]]\nview = \"erp.stock_on_hand\"\nevery = \"2 min\"\n{}",
        text(listen),
        text(store),
        text(dsn),
        text(planner_dsn),
        of_server.concat(),
        of_rules.concat(),
    )
}

/// A key of the configuration, and what it is where nobody shortens it.
fn shortened(key: &str, value: &str, usual: &str) -> String {
    format!("{key} = \"{value}\" # instead of {usual}\n")
}

/// What a wait of a rule is by default.
fn usual_wait(rule: &str, key: &str) -> String {
    let usual = crate::rules::find(rule).map(|rule| match key {
        "hold" => rule.hold.to_string(),
        _ => (rule.defaults)()[key].as_str().unwrap_or_default().to_owned(),
    });
    usual.unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use crate::engine::{rule_schemas, server_problems};
    use crate::model::unit::Period;

    #[test]
    fn every_wait_that_is_shortened_shows_what_is_usual() {
        let text = configuration_text("127.0.0.1:0", "/tmp/s.db", "host=/tmp user=a", "host=/tmp user=b");
        let read = Configuration::parse(&text, None, &rule_schemas(), server_problems).unwrap();
        assert_eq!(read.rules["vacuum.dead_tuples"].hold, Period::seconds(10));
        let period = |text: &str| text.trim().trim_matches('"').parse::<Period>().unwrap();
        let mut shown = Vec::new();
        for line in text.lines() {
            let Some((setting, usual)) = line.split_once(" # instead of ") else {
                continue;
            };
            let (key, value) = setting.split_once(" = ").unwrap();
            assert!(period(value) < period(usual), "{line}");
            shown.push(format!("{key} {usual}"));
        }
        let usual = [
            "poll_every 1 min",
            "catalog_every 10 min",
            "advise_every 1 h",
            "min_age 35 days",
            "hold 1 h",
        ];
        assert_eq!(shown, usual);
    }
}
