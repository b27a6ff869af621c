//! `pgadvisor setup`: the least that the advisor's login needs, as SQL to read and run; `--check` tells what is missing.

use clap::{Args, ValueEnum};

use super::{Failure, print};
use crate::collect::Collector;
use crate::model::provider::Provider;
use crate::model::remedy::quote_identifier;
use crate::model::status::Gap;
use crate::postgres::Server;
use crate::postgres::conninfo::{ConnInfo, Environment};
use crate::report::{runnable, setup, visible};

#[derive(Args)]
pub struct Options {
    /// postgres://… or key=value …; else the libpq environment (only needed with --check)
    url: Option<String>,
    /// Connect as the login that is to look, and tell what it lacks and which rules that costs
    #[arg(long)]
    check: bool,
    /// The name of the login
    #[arg(long, default_value = "pgadvisor", value_parser = login)]
    login: String,
    /// The name of the login that plans
    #[arg(long, default_value = "pgadvisor_planner", value_parser = login)]
    planner: String,
    /// Print what refreshing materialized views needs instead: its login, and the table by which several refreshers agree
    #[arg(long, conflicts_with = "check")]
    refresh: bool,
    /// The name of the login that refreshes
    #[arg(long, default_value = "pgadvisor_refresher", value_parser = login)]
    refresher: String,
    /// sql: to be run as it is, what is to be read stands in comments; text: to be read
    #[arg(long, value_enum, default_value = "sql")]
    format: SetupFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SetupFormat {
    Sql,
    Text,
}

/// A name that stands in comments and statements of one line.
fn login(name: &str) -> Result<String, String> {
    match name.is_empty() || name.contains(crate::report::is_hidden) {
        true => Err("a login needs a name, without control characters".to_owned()),
        false => Ok(name.to_owned()),
    }
}

impl SetupFormat {
    /// A line to be read.
    fn line(self, text: &str) -> String {
        match self {
            Self::Sql => format!("-- {text}\n"),
            Self::Text => format!("{text}\n"),
        }
    }

    /// A statement to be run.
    fn statement(self, sql: &str) -> String {
        match self {
            Self::Sql => format!("{sql};\n"),
            Self::Text => format!("    {};\n", sql.replace('\n', "\n    ")),
        }
    }
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    if options.refresh {
        print(&refresh_steps(&options.refresher, options.format))?;
        return Ok(0);
    }
    if !options.check {
        print(&steps(&options.login, &options.planner, options.format))?;
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
        print(&lacking(gap, options.format))?;
    }
    Ok(1)
}

/// One fact that cannot be read, and what mends it.
fn lacking(gap: &Gap, format: SetupFormat) -> String {
    let database = gap
        .database
        .as_ref()
        .map(|name| format!(" in {name}"))
        .unwrap_or_default();
    let cost = gap.rules.join(", ");
    let line = format!(
        "{}{database}: {}; not judged without it: {cost}",
        gap.fact, gap.why
    );
    let remedy = gap.remedy_sql.iter().map(|sql| format.statement(&runnable(sql)));
    format.line(&visible(&line)) + &remedy.collect::<String>()
}

/// What managed services want before CREATE EXTENSION.
fn of_services(format: SetupFormat, extension: &str) -> String {
    let ways = Provider::ALL.map(|provider| provider.how_to_create(extension));
    ways.iter().map(|way| format.line(way)).collect()
}

/// What to run, in order, each with why.
fn steps(login: &str, planner: &str, format: SetupFormat) -> String {
    let password = |login: &str| {
        format!(
            "It gets its password here: \\password {}",
            quote_identifier(login)
        )
    };
    let lines = |lines: &[&str]| lines.iter().map(|line| format.line(line)).collect::<String>();
    let statements = |sql: &[String]| sql.iter().map(|sql| format.statement(sql)).collect::<String>();
    [
        lines(&[
            "Run as a superuser, or as the administrator that your provider gives you. It can be run again, as in another database:",
            "what is there stays as it is.",
            "The login that looks (dsn): statistics, catalogs and how far sequences are, no table data.",
            &password(login),
        ]),
        statements(&setup::observer(login)),
        lines(&["In each database that is watched: how far its sequences are. Without it nobody is told that a key runs out."]),
        statements(&setup::observer_in_database(login)),
        lines(&[
            "In the database that the advisor connects to. A server of your own also needs",
            "shared_preload_libraries = 'pg_stat_statements' and a restart.",
            "Extensions that are not there yet are created in the schema public (in extensions, where there is no public), whatever the",
            "search_path is. Elsewhere: CREATE EXTENSION ... SCHEMA of your choice first, and it is found there.",
        ]),
        of_services(format, "pg_stat_statements"),
        statements(&[setup::statements(login)]),
        lines(&["What the advisor asks is not to fill the statistics that it reads."]),
        statements(&[setup::leave_statements(login)]),
        lines(&[
            "The login that plans (planner_dsn), for index advice and statistics of columns: it may read the tables of the databases",
            "that are named to it below, so that it can have their statements planned, and nothing else. It never runs them.",
            &password(planner),
        ]),
        statements(&setup::planner(planner)),
        lines(&[
            "In each database whose statements it is to plan, with HypoPG, which a server of your own needs installed. Tables that are",
            "created later may be read, too, if you create them, or the owner of the database, of a schema or of tables, or who was",
            "granted CREATE on a schema by name. Where others do, run this again, or run for each of them:",
            &format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE who_creates GRANT SELECT ON TABLES TO {};",
                quote_identifier(planner)
            ),
        ]),
        of_services(format, "hypopg"),
        statements(&setup::planner_in_database(planner)),
    ]
    .concat()
}

/// What refreshing needs, in order, each with why.
fn refresh_steps(login: &str, format: SetupFormat) -> String {
    let name = quote_identifier(login);
    let lines = |lines: &[&str]| lines.iter().map(|line| format.line(line)).collect::<String>();
    let statements = |sql: &[String]| sql.iter().map(|sql| format.statement(sql)).collect::<String>();
    [
        lines(&[
            "Run as a superuser, or as the administrator that your provider gives you.",
            "The login that refreshes (refresh_dsn). It refreshes only views that a [[refresh]] of the configuration names.",
            &format!("It gets its password here: \\password {name}"),
        ]),
        statements(&setup::refresher(login)),
        lines(&[
            "It must be a member of each role that owns such views:",
            &format!("GRANT owner_of_the_views TO {name};"),
            "From PostgreSQL 17 on this is enough, for each view:",
            &format!("GRANT MAINTAIN ON TABLE reports.daily TO {name};"),
            "",
            "In each database with views to refresh, if more than one pgadvisor refreshes them (two daemons, or cron on another",
            "host): with this table each due moment is taken exactly once. Without it two never overlap, and that is all.",
        ]),
        statements(&setup::refresh_record(login)),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_line() {
        for wrong in ["", "a\nb", "a\u{202e}", "\u{1b}"] {
            assert!(login(wrong).is_err(), "{wrong:?}");
        }
        let sql = steps("a; DROP \"x", "b'; $grants$ DROP \"y", SetupFormat::Sql);
        let statements: String = sql.lines().filter(|line| !line.starts_with("--")).collect();
        assert_eq!(crate::sql::statement_count(&statements).unwrap(), 10);
        let sql = refresh_steps("a; DROP \"x", SetupFormat::Sql);
        let statements: String = sql.lines().filter(|line| !line.starts_with("--")).collect();
        assert_eq!(crate::sql::statement_count(&statements).unwrap(), 6);
        assert!(steps("x", "y", SetupFormat::Text).contains("\n    GRANT pg_monitor TO x;\n"));
    }

    #[test]
    fn each_service_is_told_what_comes_before_an_extension() {
        let sql = steps("x", "y", SetupFormat::Sql);
        for extension in ["pg_stat_statements", "hypopg"] {
            for provider in Provider::ALL {
                let told = format!("-- {}\n", provider.how_to_create(extension));
                assert!(sql.contains(&told), "{told}");
            }
        }
    }

    #[test]
    fn the_login_that_looks_may_read_sequences_now_and_later() {
        let sql = steps("x", "y", SetupFormat::Sql);
        for part in [
            "observer CONSTANT text := 'x';",
            "GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', name, observer",
            "GRANT SELECT ON SEQUENCES TO %I', name, observer",
        ] {
            assert!(sql.contains(part), "{part}");
        }
    }

    #[test]
    fn what_is_lacking_can_be_run() {
        let gap = Gap {
            fact: "database".into(),
            database: Some("a\nb".into()),
            why: "refused".into(),
            remedy_sql: Some("GRANT CONNECT ON DATABASE \"a\nb\" TO x".into()),
            missing_privilege: None,
            rules: vec!["index.*".into()],
        };
        assert_eq!(
            lacking(&gap, SetupFormat::Sql),
            "-- database in a\\u{a}b: refused; not judged without it: index.*\n\
             GRANT CONNECT ON DATABASE U&\"a\\000Ab\" TO x;\n"
        );
    }
}
