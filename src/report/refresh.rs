//! What `pgadvisor refresh` did or would do: for people a tree in which each view follows what it reads, for programs
//! `refresh.schema.json`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Style, visible};
use crate::model::refresh::{Mode, Outcome, Run};
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// What `pgadvisor refresh --format json` answers.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct RefreshReport {
    pub schema_version: u32,
    pub server: String,
    pub planned_at: DateTime<Utc>,
    pub dry_run: bool,
    /// In the order of execution.
    pub runs: Vec<ReportedRun>,
    pub summary: Summary,
}

/// One view.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ReportedRun {
    pub database: String,
    pub schema: String,
    pub name: String,
    pub status: Outcome,
    pub reason: String,
    pub mode: Option<Mode>,
    pub depends_on: Vec<String>,
    pub started_at: Option<DateTime<Utc>>,
    pub elapsed_seconds: Option<f64>,
    pub waited_seconds: Option<f64>,
    pub size_bytes: Option<f64>,
    pub sqlstate: Option<String>,
    pub message: Option<String>,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Summary {
    pub planned: usize,
    pub refreshed: usize,
    pub skipped: usize,
    pub already_running: usize,
    pub failed: usize,
    pub cancelled: usize,
    pub blocked_by_failure: usize,
    pub elapsed_seconds: f64,
}

impl ReportedRun {
    /// A run with the views that it reads, as `schema.name`.
    pub fn new(run: &Run, depends_on: Vec<String>) -> Self {
        Self {
            database: run.view.database.clone(),
            schema: run.view.schema.clone(),
            name: run.view.name.clone(),
            status: run.outcome,
            reason: run.reason.clone(),
            mode: run.mode,
            depends_on,
            started_at: run.started_at,
            elapsed_seconds: run.elapsed_seconds,
            waited_seconds: run.waited_seconds,
            size_bytes: run.size_bytes,
            sqlstate: run.sqlstate.clone(),
            message: run.message.clone(),
        }
    }

    fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

impl RefreshReport {
    /// The report of one pass.
    pub fn new(
        server: &str,
        planned_at: DateTime<Utc>,
        dry_run: bool,
        runs: Vec<ReportedRun>,
        elapsed_seconds: f64,
    ) -> Self {
        let count = |outcome| runs.iter().filter(|run| run.status == outcome).count();
        let summary = Summary {
            planned: count(Outcome::Planned),
            refreshed: count(Outcome::Refreshed),
            skipped: count(Outcome::Skipped),
            already_running: count(Outcome::AlreadyRunning),
            failed: count(Outcome::Failed),
            cancelled: count(Outcome::Cancelled),
            blocked_by_failure: count(Outcome::BlockedByFailure),
            elapsed_seconds,
        };
        Self {
            schema_version: 1,
            server: server.to_owned(),
            planned_at,
            dry_run,
            runs,
            summary,
        }
    }

    /// Whether something failed, was cancelled or was blocked.
    pub fn has_failures(&self) -> bool {
        self.runs.iter().any(|run| run.status.is_failure())
    }
}

/// The report for a terminal.
pub fn text(report: &RefreshReport, style: Style) -> String {
    let mut out = format!("{}\n", style.paint("1", &headline(report)));
    let several = report
        .runs
        .iter()
        .any(|run| run.database != report.runs[0].database);
    let tree = Tree::of(&report.runs);
    for root in tree.children.get(&None).into_iter().flatten() {
        tree.branch(*root, 0, several, style, &mut out);
    }
    out
}

/// Each view under the last of those that it reads.
struct Tree<'a> {
    runs: &'a [ReportedRun],
    children: BTreeMap<Option<usize>, Vec<usize>>,
}

impl<'a> Tree<'a> {
    fn of(runs: &'a [ReportedRun]) -> Self {
        let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (position, run) in runs.iter().enumerate() {
            let is_read = |other: &ReportedRun| {
                other.database == run.database && run.depends_on.contains(&other.qualified())
            };
            let parent = runs[..position].iter().rposition(is_read);
            children.entry(parent).or_default().push(position);
        }
        Self { runs, children }
    }

    fn branch(&self, position: usize, depth: usize, several: bool, style: Style, out: &mut String) {
        let run = &self.runs[position];
        let indent = "  ".repeat(depth);
        let branch = match depth {
            0 => String::new(),
            depth => format!("{}└ ", "  ".repeat(depth - 1)),
        };
        let database = if several {
            format!("{}.", run.database)
        } else {
            String::new()
        };
        let colour = match run.status {
            Outcome::Refreshed => "32",
            status if status.is_failure() => "31",
            _ => "2",
        };
        let status = style.paint(colour, &status(run));
        let name = visible(&format!("{database}{}", run.qualified()));
        out.push_str(&format!(
            "{branch}{name}  {status}\n{indent}    {}\n",
            visible(&run.reason)
        ));
        if let Some(message) = &run.message {
            let code = run
                .sqlstate
                .as_ref()
                .map_or(String::new(), |code| format!(" ({code})"));
            out.push_str(&format!("{indent}    {}{code}\n", visible(message)));
        }
        // a view reads others, which PostgreSQL does not let go round in a circle
        for child in self.children.get(&Some(position)).into_iter().flatten() {
            self.branch(*child, depth + 1, several, style, out);
        }
    }
}

fn headline(report: &RefreshReport) -> String {
    let server = visible(&report.server);
    let summary = &report.summary;
    let counts = [
        (summary.planned, "to refresh"),
        (summary.refreshed, "refreshed"),
        (summary.skipped, "skipped"),
        (summary.already_running, "already running"),
        (summary.failed, "failed"),
        (summary.cancelled, "cancelled"),
        (summary.blocked_by_failure, "blocked by a failure"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match counts[..] {
        [] => format!("{server}: nothing is due"),
        _ if report.dry_run => format!("{server}: {} (a dry run: nothing was done)", counts.join(", ")),
        _ => format!(
            "{server}: {} in {}",
            counts.join(", "),
            seconds_for_people(summary.elapsed_seconds)
        ),
    }
}

fn status(run: &ReportedRun) -> String {
    let mut parts = vec![run.status.word().replace('_', " ")];
    if let Some(mode) = run.mode {
        parts.push(match mode {
            Mode::Plain => "plain".to_owned(),
            Mode::Concurrently => "concurrently".to_owned(),
        });
    }
    if let Some(seconds) = run.elapsed_seconds {
        parts.push(format!("in {}", seconds_for_people(seconds)));
    }
    if let Some(seconds) = run.waited_seconds.filter(|seconds| *seconds > 0.0) {
        parts.push(format!(
            "({} of it waiting for locks)",
            seconds_for_people(seconds)
        ));
    }
    if let Some(bytes) = run.size_bytes {
        parts.push(format!("· {}", bytes_for_people(bytes)));
    }
    parts.join(" ")
}
