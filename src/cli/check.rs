//! `pgadvisor check [URL]`: one look, judged, told.

use std::time::Duration;

use chrono::Utc;
use clap::{Args, ValueEnum};

use super::{ConfigOption, Failure, Format, configuration, json, print, style};
use crate::collect::Collector;
use crate::configuration::Server as ServerSettings;
use crate::engine::{rule_settings, server_of};
use crate::judge;
use crate::model::finding::Severity;
use crate::observe::Observer;
use crate::postgres::Server;
use crate::postgres::conninfo::{ConnInfo, Environment};
use crate::report::{self, CheckReport};
use crate::rules;

#[derive(Args)]
pub struct Options {
    /// postgres://… or key=value …; without it the configured server, else the libpq environment
    url: Option<String>,
    /// The configured server, where the file names several
    #[arg(long, conflicts_with = "url")]
    server: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Exit with 1 if there is a finding of this severity or worse
    #[arg(long, value_enum, default_value = "critical")]
    fail_on: FailOn,
    /// Exit with 1 if a rule was skipped
    #[arg(long)]
    fail_on_skipped: bool,
    /// Only rules that fit, as index.* (repeatable)
    #[arg(long, value_name = "PATTERN")]
    rule: Vec<String>,
    /// All databases of the server, not only the one of the URL
    #[arg(long)]
    all_databases: bool,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Clone, Copy, ValueEnum)]
enum FailOn {
    Info,
    Warning,
    Critical,
    Never,
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    let configuration = configuration(options.config.config.as_deref())?;
    let mut settings = rule_settings(&configuration);
    for pattern in &options.rule {
        if !rules::all().iter().any(|rule| rules::matches(pattern, rule.id)) {
            return Err(Failure::Usage(format!(
                "no rule fits \"{pattern}\"; `pgadvisor explain` lists them"
            )));
        }
    }
    for rule in rules::all() {
        let mut chosen = judge::settings_of(&settings, rule);
        chosen.enabled &= options.rule.is_empty()
            || options
                .rule
                .iter()
                .any(|pattern| rules::matches(pattern, rule.id));
        settings.insert(rule.id.to_owned(), chosen);
    }
    let mut collector = collector(&options, &configuration.servers)?;
    let seen = collector.look().await?;
    let observation = Observer::default().observe(&seen.snapshot, true);
    let report = CheckReport::new(&seen.snapshot, judge::judge(&observation, &settings), Utc::now());
    print(&render(&report, options.format)?)?;
    Ok(exit_code(&report, &options))
}

/// Looks at the server that is meant.
fn collector(options: &Options, servers: &[ServerSettings]) -> Result<Collector, Failure> {
    let every = Duration::from_secs(600);
    let configured = match (&options.url, &options.server, servers) {
        (Some(_), _, _) => None,
        (None, Some(name), _) => Some(servers.iter().find(|server| &server.name == name).ok_or_else(
            || {
                let known: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
                Failure::Usage(format!(
                    "no server is named \"{name}\"; the configuration has: {}",
                    known.join(", ")
                ))
            },
        )?),
        (None, None, []) => None,
        (None, None, [only]) => Some(only),
        (None, None, several) => {
            let known: Vec<&str> = several.iter().map(|server| server.name.as_str()).collect();
            return Err(Failure::Usage(format!(
                "name one with --server: {}",
                known.join(", ")
            )));
        }
    };
    if let Some(settings) = configured {
        let watched = settings.clone();
        let watches = Box::new(move |database: &str| watched.watches(database));
        return Ok(Collector::new(
            settings.name.clone(),
            server_of(settings)?,
            watches,
            every,
        ));
    }
    let url = options.url.as_deref().unwrap_or("");
    let conninfo = ConnInfo::parse(url, &Environment::of_process())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in &conninfo.warnings {
        eprintln!("pgadvisor: {}", report::visible(warning));
    }
    let (name, home, all) = (conninfo.name(), conninfo.dbname.clone(), options.all_databases);
    let watches = Box::new(move |database: &str| all || database == home);
    Ok(Collector::new(name, Server::new(conninfo)?, watches, every))
}

fn render(report: &CheckReport, format: Format) -> Result<String, Failure> {
    Ok(match format {
        Format::Text => report::text(report, style()),
        Format::Markdown => report::markdown(report),
        Format::Json => json(report)?,
        Format::Ndjson => {
            let mut lines = String::new();
            for finding in &report.findings {
                lines.push_str(&serde_json::to_string(finding).map_err(anyhow::Error::from)?);
                lines.push('\n');
            }
            lines
        }
    })
}

fn exit_code(report: &CheckReport, options: &Options) -> u8 {
    let worst = report.findings.iter().map(|finding| finding.claim.severity).max();
    let least = match options.fail_on {
        FailOn::Info => Some(Severity::Info),
        FailOn::Warning => Some(Severity::Warning),
        FailOn::Critical => Some(Severity::Critical),
        FailOn::Never => None,
    };
    let found = matches!((worst, least), (Some(worst), Some(least)) if worst >= least);
    u8::from(found || options.fail_on_skipped && !report.skipped.is_empty())
}
