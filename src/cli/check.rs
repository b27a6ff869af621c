//! `pgadvisor check [URL]`: one look, judged, told.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::Utc;
use clap::{Args, ValueEnum};

use super::chosen::chosen;
use super::{ConfigOption, Failure, Format, configuration, json, names, print, snapshot, style};
use crate::collect::Collector;
use crate::configuration::{Configuration, Server as ServerSettings};
use crate::engine::advising::{Planner, advise_at_once};
use crate::engine::{rule_schemas, rule_settings, server_of};
use crate::judge;
use crate::model::finding::Severity;
use crate::model::observation::{Observation, Unknown};
use crate::model::snapshot::Snapshot;
use crate::model::unit::{Period, UnitError, seconds_for_people};
use crate::observe::Observer;
use crate::postgres::Server;
use crate::postgres::conninfo::{ConnInfo, Environment};
use crate::report::{self, CheckReport, Extent};
use crate::rules::index::missing::Missing;
use crate::rules::index::null_heavy::NullHeavy;
use crate::rules::{self, Rule as _};

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
    /// Only rules that fit, as index.* (repeatable); every finding of them is told
    #[arg(long, value_name = "PATTERN")]
    rule: Vec<String>,
    /// Tell every finding, also where there are many: text and markdown fold those that cost less, by rule
    #[arg(long)]
    all_findings: bool,
    /// All databases of the server, not only the one of the URL or those that the configuration names
    #[arg(long)]
    all_databases: bool,
    /// Look twice, that far apart (as 60s), and judge statements by what happened in between
    #[arg(long, value_name = "TIME", value_parser = wait)]
    wait: Option<Period>,
    /// Judge what such a file holds, instead of looking at a server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "server", "wait", "all_databases", "save_snapshot"])]
    snapshot: Option<PathBuf>,
    /// Write what was seen into a file, without secrets or constants, to be judged elsewhere
    #[arg(long, value_name = "FILE")]
    save_snapshot: Option<PathBuf>,
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

/// How long `--wait` may be.
fn wait(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error: UnitError| error.to_string())?;
    let (least, most) = (Period::seconds(1), Period::days(1));
    match (least..=most).contains(&period) {
        true => Ok(period),
        false => Err(format!("it must be from {least} to {most}")),
    }
}

/// The configuration. Who names a server may stand in a folder where another program keeps a file of that name.
fn configuration_of(options: &Options) -> Result<Configuration, Failure> {
    let file = options.config.config.as_deref();
    match configuration(file) {
        Err(Failure::Configuration(errors)) if options.url.is_some() && file.is_none() => {
            let name = errors.file.unwrap_or_default();
            let name = report::visible(&name.display().to_string());
            eprintln!(
                "pgadvisor: {name} is not used, the defaults hold: it is no configuration that pgadvisor can read; \
                 `pgadvisor config check` says why"
            );
            Ok(Configuration::defaults(&rule_schemas()))
        }
        read => read,
    }
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    let configuration = configuration_of(&options)?;
    let mut settings = rule_settings(&configuration);
    for pattern in &options.rule {
        if !rules::all().iter().any(|rule| rules::matches(pattern, rule.id)) {
            return Err(Failure::Usage(format!(
                "no rule fits \"{}\"; `pgadvisor explain` lists them",
                report::visible(pattern)
            )));
        }
    }
    for rule in rules::all() {
        let mut chosen = settings.of(rule);
        let is_asked_for = options.rule.is_empty()
            || options
                .rule
                .iter()
                .any(|pattern| rules::matches(pattern, rule.id));
        chosen.enabled &= is_asked_for;
        chosen.overrides.retain(|_| is_asked_for);
        settings.rules.insert(rule.id.to_owned(), chosen);
    }
    let (looks, planner) = looks(&options, &configuration.servers, &settings).await?;
    let was_asked = options.url.is_none() && options.snapshot.is_none();
    if let Some(told) = was_asked
        .then(|| names::several(&configuration, &looks[0]))
        .flatten()
    {
        eprintln!("pgadvisor: {}", report::visible(&told));
    }
    let mut observer = Observer::default();
    observer.any_window = looks.len() > 1;
    let mut observation = observer.observe(&looks[0], true);
    for look in &looks[1..] {
        observation = observer.observe(look, true);
    }
    if looks.len() == 1 {
        name_wait(&mut observation);
    }
    if let Some(planner) = planner.filter(|_| settings.is_enabled(Missing::ID)) {
        advise_at_once(&planner, &mut observation).await;
    }
    settings.tell_rules(&mut observation);
    let mut judgement = judge::judge(&observation, &settings);
    if options.snapshot.is_some() {
        snapshot::without_masked_sql(&mut judgement.claims);
    }
    let mut report = CheckReport::new(&looks[looks.len() - 1], judgement, Utc::now());
    if looks.len() > 1 {
        report.window = observation.statements.ok().and_then(|activity| activity.window);
    }
    print(&render(&report, &options)?)?;
    Ok(exit_code(&report, &options))
}

/// One look, or two with `--wait` between them, and who plans there; from a file there is nobody to ask.
async fn looks(
    options: &Options,
    servers: &[ServerSettings],
    settings: &judge::Settings,
) -> Result<(Vec<Snapshot>, Option<Planner>), Failure> {
    if let Some(path) = &options.snapshot {
        return Ok((snapshot::load(path)?, None));
    }
    let (mut collector, planner) = collector(options, servers)?;
    collector.heed_comments_for(rules::ids());
    // what is saved may be judged by all rules
    if options.save_snapshot.is_some() || settings.is_enabled(NullHeavy::ID) {
        collector.read_statistics_as(planner.server().again()?);
    }
    let mut looks = vec![collector.look().await?.snapshot];
    if let Some(wait) = options.wait {
        pause(wait.as_duration()).await;
        looks.push(collector.look().await?.snapshot);
    }
    if let Some(path) = &options.save_snapshot {
        snapshot::save(path, looks.clone())?;
    }
    Ok((looks, Some(planner)))
}

/// Where only a second look is missing, says how to have one.
fn name_wait(observation: &mut Observation) {
    let gaps = &observation.gaps;
    let cannot_be_read = gaps
        .iter()
        .any(|gap| gap.rules.iter().any(|rule| rule == "query.*"));
    if let Err(unknown) = &mut observation.statements
        && unknown.remedy_sql.is_none()
        && !cannot_be_read
    {
        *unknown = Unknown::because(
            "needs two looks at pg_stat_statements, or totals since a known reset: --wait 60s takes two looks that far \
             apart, and judges what happened between them",
        );
    }
}

/// Waits for the second look; on a terminal it is seen how long that still takes.
async fn pause(wait: Duration) {
    let started = Instant::now();
    let mut terminal = Some(std::io::stderr()).filter(IsTerminal::is_terminal);
    // a terminal that went away is no reason not to look again
    let mut show = |text: &str| {
        if let Some(terminal) = &mut terminal {
            let _ = write!(terminal, "\r{text}\u{1b}[K");
            let _ = terminal.flush();
        }
    };
    while let Some(left) = wait.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        show(&format!(
            "the second look is in {}",
            seconds_for_people(left.as_secs_f64().ceil())
        ));
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
    show("");
}

/// What looks at the server that is meant, and who plans there.
fn collector(options: &Options, servers: &[ServerSettings]) -> Result<(Collector, Planner), Failure> {
    // what is read seldom is read by both looks, so that what lies between them is known
    let every = match options.wait {
        Some(_) => Duration::ZERO,
        None => Duration::from_secs(600),
    };
    let configured = chosen(options.url.as_deref(), options.server.as_deref(), servers)?;
    if let Some(settings) = configured {
        let (watched, all) = (settings.clone(), options.all_databases);
        let watches = Box::new(move |database: &str| all || watched.watches(database));
        let server = server_of(settings)?;
        let planner = Planner::of(settings, &server)?;
        let mut collector = Collector::new(settings.name.clone(), server, watches, every);
        collector.declare(settings.declared());
        return Ok((collector, planner));
    }
    let url = options.url.as_deref().unwrap_or("");
    let conninfo = ConnInfo::parse(url, &Environment::of_process())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in &conninfo.warnings {
        eprintln!("pgadvisor: {}", report::visible(warning));
    }
    let (name, home, all) = (conninfo.name(), conninfo.dbname.clone(), options.all_databases);
    let watches = Box::new(move |database: &str| all || database == home);
    let server = Server::new(conninfo)?;
    let planner = Planner::from(server.following()?);
    Ok((Collector::new(name, server, watches, every), planner))
}

fn render(report: &CheckReport, options: &Options) -> Result<String, Failure> {
    // who asks for a rule asks for all that it says
    let extent = match options.all_findings || !options.rule.is_empty() {
        true => Extent::Every,
        false => Extent::Few,
    };
    Ok(match options.format {
        Format::Text => report::text(report, extent, style()),
        Format::Markdown => report::markdown(report, extent),
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
