//! `pgadvisor setup`: the least that the advisor's login needs, as SQL to read and run; `--check` tells what is missing.

use clap::Args;

use super::{Failure, print};
use crate::collect::Collector;
use crate::model::remedy::quote_identifier;
use crate::postgres::Server;
use crate::postgres::conninfo::{ConnInfo, Environment};
use crate::report::visible;

#[derive(Args)]
pub struct Options {
    /// postgres://… or key=value …; else the libpq environment (only needed with --check)
    url: Option<String>,
    /// Connect as the login that is to look, and tell what it lacks and which rules that costs
    #[arg(long)]
    check: bool,
    /// The name of the login
    #[arg(long, default_value = "pgadvisor")]
    login: String,
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    if !options.check {
        print(&sql(&options.login))?;
        return Ok(0);
    }
    let conninfo = ConnInfo::parse(options.url.as_deref().unwrap_or(""), &Environment::of_process())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let name = conninfo.name();
    let every = std::time::Duration::from_secs(600);
    let mut collector = Collector::new(name, Server::new(conninfo)?, Box::new(|_| true), every);
    let seen = collector.look().await?;
    if seen.snapshot.gaps.is_empty() {
        print(&format!(
            "{} lacks nothing\n",
            visible(&seen.snapshot.server.login)
        ))?;
        return Ok(0);
    }
    for gap in &seen.snapshot.gaps {
        let database = gap
            .database
            .as_ref()
            .map(|name| format!(" in {name}"))
            .unwrap_or_default();
        let line = format!(
            "{}{database}: {}; not judged without it: {}",
            gap.fact,
            gap.why,
            gap.rules.join(", ")
        );
        print(&format!("-- {}\n", visible(&line)))?;
        if let Some(sql) = &gap.remedy_sql {
            print(&format!("{};\n", visible(sql)))?;
        }
    }
    Ok(1)
}

fn sql(login: &str) -> String {
    let login = quote_identifier(login);
    format!(
        "-- Run as a superuser, or as the administrator that your provider gives you.\n\
         -- The login that looks: statistics and catalogs, no table data. It gets its password here: \\password {login}\n\
         CREATE ROLE {login} LOGIN CONNECTION LIMIT 5;\n\
         GRANT pg_monitor TO {login};\n\
         -- In the database that the advisor connects to. The server also needs\n\
         -- shared_preload_libraries = 'pg_stat_statements' and a restart (on a managed service: its parameter group).\n\
         CREATE EXTENSION IF NOT EXISTS pg_stat_statements;\n\
         -- What the advisor asks is not to fill the statistics that it reads.\n\
         ALTER ROLE {login} SET pg_stat_statements.track = 'none';\n"
    )
}
