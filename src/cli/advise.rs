//! `pgadvisor advise [URL]`: the set of indexes that is worth most for a workload, proven by the planner.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::chosen::chosen;
use super::{ConfigOption, Failure, configuration, json, print, style};
use crate::engine::{planner_of, server_of};
use crate::index_advisor::advice::{Progress, Wanted, advise};
use crate::index_advisor::candidate::Kinds;
use crate::index_advisor::estimated::Methods;
use crate::index_advisor::gate::{Gate, Giver};
use crate::index_advisor::pace::{Most, Pace, Taken};
use crate::index_advisor::search_path::search_path_of;
use crate::index_advisor::summary::{
    About, about_the_captured, about_the_login, about_what_may_be_planned, about_what_was_counted,
};
use crate::index_advisor::workload::{SearchPaths, WorkloadStatement, captured};
use crate::limits;
use crate::model::advice::{AdviceReport, AdvisedStatement, StatementStatus};
use crate::model::remedy::Statement;
use crate::model::unit::{Period, Size, UnitError};
use crate::postgres::conninfo::{ConnInfo, Environment};
use crate::postgres::{PostgresError, Server};
use crate::{report, sql};

#[derive(Args)]
pub struct Options {
    /// postgres://… or key=value …; without it the configured server, else the libpq environment
    url: Option<String>,
    /// The configured server, where the file names several
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    server: Option<String>,
    /// A statement to advise, which may have parameters as $1 (repeatable)
    #[arg(long, value_name = "SQL")]
    statement: Vec<String>,
    /// A file of statements separated by `;`, each with `-- name: … weight: …` before it; without this and --statement
    /// those that pg_stat_statements has captured
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// What all indexes together may take, as 1GB
    #[arg(long, value_name = "SIZE")]
    budget: Option<Size>,
    /// Keys of an index at most
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=8))]
    max_width: u8,
    /// Only indexes of these methods
    #[arg(long, value_name = "METHOD", value_enum, value_delimiter = ',')]
    method: Vec<Method>,
    /// No indexes on some rows only
    #[arg(long)]
    no_partial: bool,
    /// No columns that are only carried along
    #[arg(long)]
    no_include: bool,
    /// No indexes on expressions
    #[arg(long)]
    no_expression: bool,
    /// The best set that is found in this time, as 60s
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    time_limit: Option<Period>,
    /// A role whose code may run while a statement is planned, with all rights of the login that plans (repeatable); beside
    /// those that the configured server names as trusted_owners. It has no effect where the login that plans is a superuser, or
    /// as good as one: then no code but that of superusers runs
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    trust_owner: Vec<String>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sql,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Method {
    Btree,
    Gin,
    Gist,
    Brin,
}

fn time_limit(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error: UnitError| error.to_string())?;
    match period >= Period::seconds(1) {
        true => Ok(period),
        false => Err(format!("it must be at least {}", Period::seconds(1))),
    }
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    let started = Instant::now();
    let given = given(&options)?;
    let is_given = given.is_some();
    let Logins {
        plans,
        looks,
        trusted_owners,
    } = logins(&options)?;
    let database = looks.as_ref().unwrap_or(&plans).conninfo().dbname.clone();
    let login = plans.conninfo().user.clone();
    // of several hosts who looks chooses the one that is planned on
    let looking = match &looks {
        Some(looks) => Some((looks.observe(&database).await?, looks.conninfo().user.clone())),
        None => None,
    };
    let plan = plans.plan(&database).await?;
    let mut notes = Vec::new();
    let giver = match looking.is_none() && is_given {
        true => Giver::Planner,
        false => Giver::Unknown,
    };
    let gate = Gate::open(&plan, &trusted_owners).await?;
    let mut gate = gate.for_statements_of(giver);
    let mut paths = SearchPaths::new(search_path_of(&plan, &login).await?);
    let mut days = None;
    let workload = match given {
        Some(workload) => workload,
        None => {
            let own = plan.session();
            let (session, reader) = match &looking {
                Some((session, reader)) => (session, reader),
                None => (own.as_ref(), &login),
            };
            let captured = captured(session, limits::ADVISED_STATEMENTS as i64).await;
            let captured = captured.map_err(unreadable)?;
            let captured = captured.ok_or_else(|| {
                let create = Statement::CreateExtension { name: "pg_stat_statements" }.sql();
                Failure::Usage(format!(
                    "there are no statements to advise: pg_stat_statements is not installed in {database}; give some by \
                     --statement or --workload, or run {create}"
                ))
            })?;
            days = captured.days;
            notes.extend(about_the_captured(&captured, reader, looking.is_none()));
            captured.statements
        }
    };
    if !gate.planner_is_powerful() {
        notes.push(about_what_may_be_planned(&login, looking.is_none()));
    }
    notes.extend(about_the_login(&plan, &gate, &login));
    let wanted = Wanted {
        // the weights are calls of that time
        window_seconds: days.map(|days| days * 86_400.0),
        ..wanted(&options)
    };
    let stopped = stop_on_interrupt();
    let taken = || Taken {
        elapsed: started.elapsed(),
        server_seconds: plan.spent_seconds(),
        is_asked_to_end: stopped.load(Ordering::Relaxed),
    };
    let most = Most {
        elapsed: options.time_limit.map(|limit| limit.as_duration()),
        server_seconds: None,
        after_asked: limits::ADVICE_AFTER_INTERRUPT,
    };
    let pace = Pace::new(&taken, most);
    let advice = advise(&plan, &mut gate, &mut paths, workload, wanted, &pace, &show).await;
    clear();
    let advice = advice?;
    notes.extend(advice.notes());
    notes.extend(about_what_was_counted(&plan));
    let about = About {
        database,
        budget_bytes: wanted.budget_bytes,
        elapsed_seconds: started.elapsed().as_secs_f64(),
        days,
        notes,
    };
    let report = advice.summary(about);
    print(&match options.format {
        Format::Json => json(&report)?,
        Format::Text => report::advise::text(&report, style()),
        Format::Sql => report::advise::sql(&report),
    })?;
    match nothing_planned(&report) {
        Some(why) if is_given => Err(Failure::Usage(format!("nothing could be planned: {why}"))),
        _ => Ok(0),
    }
}

/// Why no statement could be planned, if none could; not where it was stopped before, nor of statements that need no plan.
fn nothing_planned(report: &AdviceReport) -> Option<String> {
    let is_unplanned =
        |one: &AdvisedStatement| one.status == StatementStatus::NotPlanned && !one.only_inserts();
    let is_none = !report.workload.was_stopped && report.statements.iter().all(is_unplanned);
    let first = report.statements.first().filter(|_| is_none)?;
    let reason = first
        .reason
        .clone()
        .unwrap_or_else(|| "its plan could not be had".to_owned());
    Some(match report.statements.len() {
        1 => reason,
        count => format!("{reason} (the first of {count} statements; --format json has all)"),
    })
}

/// Who plans, and who reads what was captured where that is another login: as a server may be configured.
struct Logins {
    plans: Server,
    looks: Option<Server>,
    /// Roles whose code may run there.
    trusted_owners: Vec<String>,
}

/// The server of the URL, else the one that the configuration names, else that of the libpq environment.
fn logins(options: &Options) -> Result<Logins, Failure> {
    let mut trusted_owners = options.trust_owner.clone();
    // who gives a URL means it, whatever file there is
    let servers = match &options.url {
        Some(_) => Vec::new(),
        None => configuration(options.config.config.as_deref())?.servers,
    };
    if let Some(settings) = chosen(options.url.as_deref(), options.server.as_deref(), &servers)? {
        let looks = server_of(settings)?;
        trusted_owners.extend(settings.trusted_owners.iter().cloned());
        let (plans, looks) = match settings.planner_dsn {
            // one session of a login that leaves no traces is better than two
            None => (looks, None),
            Some(_) => (planner_of(settings, &looks)?, Some(looks)),
        };
        return Ok(Logins {
            plans,
            looks,
            trusted_owners,
        });
    }
    let url = options.url.as_deref().unwrap_or("");
    let conninfo = ConnInfo::parse(url, &Environment::of_process())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in &conninfo.warnings {
        eprintln!("pgadvisor: {}", report::visible(warning));
    }
    Ok(Logins {
        plans: Server::new(conninfo)?,
        looks: None,
        trusted_owners,
    })
}

/// Why nothing of what was captured can be read.
fn unreadable(error: PostgresError) -> Failure {
    if !error.is_about_encoding() {
        return error.into();
    }
    Failure::Usage(format!(
        "{error}: pg_stat_statements holds a text that is no UTF-8, as of a database of another encoding, and gives none of its \
         texts therefore; give statements by --workload or --statement, or let it forget that database by \
         pg_stat_statements_reset(0, OID of the database, 0)"
    ))
}

/// The statements that were given by hand or in a file; `None` if there are none.
fn given(options: &Options) -> Result<Option<Vec<WorkloadStatement>>, Failure> {
    let by_hand = options.statement.iter().map(|text| WorkloadStatement {
        weight: 1.0,
        text: text.clone(),
        ..WorkloadStatement::default()
    });
    let mut all: Vec<WorkloadStatement> = by_hand.collect();
    if let Some(path) = &options.workload {
        let unreadable =
            |why: String| Failure::Usage(format!("cannot read the workload {}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let statements = sql::workload::statements(&text).map_err(unreadable)?;
        if statements.is_empty() {
            return Err(unreadable("it holds no statement".to_owned()));
        }
        all.extend(statements.into_iter().map(|statement| WorkloadStatement {
            name: statement.name,
            weight: statement.weight,
            text: statement.text,
            ..WorkloadStatement::default()
        }));
    }
    Ok((!all.is_empty()).then_some(all))
}

fn wanted(options: &Options) -> Wanted<'static> {
    let allows = |method: Method| options.method.is_empty() || options.method.contains(&method);
    Wanted {
        kinds: Kinds {
            max_width: usize::from(options.max_width),
            btree: allows(Method::Btree),
            include: !options.no_include,
            partial: !options.no_partial,
            expression: !options.no_expression,
            brin: allows(Method::Brin),
            estimated: Methods {
                gin: allows(Method::Gin),
                gist: allows(Method::Gist),
            },
        },
        budget_bytes: options.budget.map(|size| size.bytes as f64),
        ..Wanted::default()
    }
}

/// Ctrl-C ends the search, and the best set so far is told; a second one ends the program.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let told = stopped.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if told.swap(true, Ordering::Relaxed) {
                clear();
                std::process::exit(130);
            }
        }
    });
    stopped
}

/// Progress, on a terminal only.
fn show(progress: Progress) {
    let mut terminal = std::io::stderr();
    if !terminal.is_terminal() {
        return;
    }
    let (done, all, what) = match progress {
        Progress::Planned(done, all) => (done, all, "statements planned"),
        Progress::Asked(done, all) => (done, all, "what-if calls at most"),
    };
    let filled = (20 * done / all.max(1)).min(20);
    // nobody is left to be told if this fails
    let _ = write!(
        terminal,
        "\r\u{1b}[K[{}{}] {done} of {all} {what}",
        "#".repeat(filled),
        ".".repeat(20 - filled)
    );
}

fn clear() {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\u{1b}[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::advice::{ONLY_INSERTS, WorkloadTotals};

    /// A statement that was not planned for this reason, or was where there is none.
    fn statement(reason: Option<&str>) -> AdvisedStatement {
        AdvisedStatement {
            statement_id: "s".to_owned(),
            name: None,
            text: "SELECT 1".to_owned(),
            weight: 1.0,
            cost_before: reason.is_none().then_some(1.0),
            cost_after: reason.is_none().then_some(1.0),
            uses: Vec::new(),
            status: match reason {
                Some(_) => StatementStatus::NotPlanned,
                None => StatementStatus::NoCandidate,
            },
            reason: reason.map(str::to_owned),
            values: Vec::new(),
            plan_before: Vec::new(),
            plan_after: Vec::new(),
            may_have_later_page: false,
        }
    }

    fn why(reasons: &[Option<&str>], was_stopped: bool) -> Option<String> {
        nothing_planned(&AdviceReport {
            schema_version: 1,
            database: "app".to_owned(),
            workload: WorkloadTotals {
                was_stopped,
                ..WorkloadTotals::default()
            },
            indexes: Vec::new(),
            statements: reasons.iter().map(|reason| statement(*reason)).collect(),
            notes: Vec::new(),
        })
    }

    #[test]
    fn where_nothing_could_be_planned_the_first_reason_is_told() {
        let parse = Some("cannot parse the statement");
        assert_eq!(why(&[parse], false).as_deref(), parse);
        let of_two = why(&[parse, Some("it is unknown")], false).unwrap();
        assert!(
            of_two.starts_with("cannot parse the statement (the first of 2"),
            "{of_two}"
        );
        assert_eq!(why(&[parse, None], false), None, "one was planned");
        assert_eq!(why(&[parse], true), None, "there was no time for it");
        assert_eq!(why(&[Some(ONLY_INSERTS)], false), None, "it needs no plan");
        assert_eq!(why(&[], false), None);
    }
}
