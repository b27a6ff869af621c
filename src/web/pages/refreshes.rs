//! `/refreshes`: is it fresh, and what does that cost?

use std::collections::BTreeMap;

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::graph::{Graph, Vertex};
use super::present::{self, url_part};
use crate::model::refresh::{Outcome, Promise, Run, ViewName, ViewStatus};

/// A view that is due is late after this.
const LATE: TimeDelta = TimeDelta::seconds(60);

/// A materialized view with what became of it last.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ViewLine {
    /// The server.
    pub server: String,
    /// What is known of it.
    #[serde(flatten)]
    pub status: ViewStatus,
    /// Its last run, or why there was none.
    pub last_run: Option<Run>,
    /// Whether it is being refreshed.
    pub is_running: bool,
    /// Whether its promise is broken: it is older than it may be, or overdue.
    pub is_late: bool,
}

/// A run with its server.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RunLine {
    /// The server.
    pub server: String,
    /// What was done.
    #[serde(flatten)]
    pub run: Run,
}

/// The views of one database.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Group {
    pub server: String,
    pub database: String,
    pub graph: Option<Graph>,
    pub views: Vec<ViewLine>,
    /// Which promise holds, in words.
    pub promise: String,
}

/// All materialized views that the refresher knows.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "refreshes.html")]
pub struct RefreshesPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// How things are, in a sentence.
    pub sentence: String,
    /// The views.
    pub views: Vec<ViewLine>,
    /// What was done lately, newest first.
    pub runs: Vec<RunLine>,
    #[serde(skip)]
    #[schema(ignore)]
    groups: Vec<Group>,
    /// Whether the configuration has anything to refresh.
    pub is_configured: bool,
}
framed!(RefreshesPage);

impl ViewLine {
    /// One view as the pages show it; `last_run` is its newest.
    pub fn new(now: DateTime<Utc>, server: String, status: ViewStatus, last_run: Option<Run>) -> Self {
        let is_running = last_run
            .as_ref()
            .is_some_and(|run| run.outcome == Outcome::Planned);
        let is_too_old = status
            .max_age_seconds
            .zip(status.fresh_as_of)
            .is_some_and(|(promise, as_of)| (now - as_of).num_milliseconds() as f64 / 1000.0 > promise);
        let is_overdue = status.max_age_seconds.is_none()
            && status.waits_for.is_none()
            && status.next_due_at.is_some_and(|due| now - due > LATE);
        Self {
            is_late: !status.is_paused && !is_running && (is_too_old || is_overdue),
            is_running,
            server,
            status,
            last_run,
        }
    }

    /// The address of its page, below the root.
    pub fn path(&self) -> String {
        path(&self.server, &self.status.view)
    }

    /// `schema.name`.
    pub fn name(&self) -> String {
        self.status.view.in_database()
    }

    /// What is to be known at a glance: words with their tones.
    pub fn chips(&self) -> Vec<(&'static str, &'static str)> {
        let status = &self.status;
        let failed = self.last_run.as_ref().is_some_and(|run| run.outcome.is_failure());
        let all = [
            (!status.exists, "missing", "warn"),
            (status.exists && !status.is_populated, "unpopulated", "warn"),
            (self.is_running, "running", ""),
            (status.is_paused, "paused", ""),
            (self.is_late, "late", "warn"),
            (failed, "failed", "warn"),
            (
                status.exists && status.schedule.is_some() && !status.can_refresh,
                "cannot be refreshed",
                "warn",
            ),
        ];
        all.into_iter()
            .filter(|(holds, ..)| *holds)
            .map(|(_, word, tone)| (word, tone))
            .collect()
    }

    /// The class of its box in the picture.
    fn tone(&self) -> &'static str {
        match self.chips().iter().any(|(_, tone)| *tone == "warn") {
            true => "bad",
            false if self.status.schedule.is_none() => "idle",
            false => "good",
        }
    }
}

/// The address of a view's page, below the root.
pub fn path(server: &str, view: &ViewName) -> String {
    let parts = [server, &view.database, &view.schema, &view.name].map(url_part);
    format!("/refreshes/{}", parts.join("/"))
}

impl RunLine {
    /// The address of its view's page, below the root.
    pub fn path(&self) -> String {
        path(&self.server, &self.run.view)
    }
}

/// The word for an outcome, and its tone.
pub fn outcome(run: &Run) -> (&'static str, &'static str) {
    match run.outcome {
        Outcome::Planned => ("running", ""),
        Outcome::Refreshed => ("refreshed", "good"),
        Outcome::Skipped => ("skipped", ""),
        Outcome::AlreadyRunning => ("already running", ""),
        Outcome::Failed => ("failed", "warn"),
        Outcome::Cancelled => ("cancelled", "warn"),
        Outcome::BlockedByFailure => ("blocked", "warn"),
    }
}

fn sentence(views: &[ViewLine], is_configured: bool) -> String {
    let scheduled: Vec<&ViewLine> = views
        .iter()
        .filter(|view| view.status.schedule.is_some())
        .collect();
    if !is_configured {
        return "No materialized view is refreshed.".to_owned();
    }
    let count = |holds: fn(&ViewLine) -> bool| scheduled.iter().filter(|view| holds(view)).count();
    let mut parts = Vec::new();
    let mut part = |number: usize, one: &str, many: &str| {
        if number > 0 {
            parts.push(present::plural(number, one, many));
        }
    };
    part(count(|view| view.is_late), "is late", "are late");
    part(
        count(|view| view.last_run.as_ref().is_some_and(|run| run.outcome.is_failure())),
        "failed last",
        "failed last",
    );
    part(
        count(|view| view.status.exists && !view.status.can_refresh),
        "cannot be refreshed as it is",
        "cannot be refreshed as they are",
    );
    part(count(|view| !view.status.exists), "is missing", "are missing");
    part(count(|view| view.status.is_paused), "is paused", "are paused");
    let all = present::plural(
        scheduled.len(),
        "materialized view is refreshed",
        "materialized views are refreshed",
    );
    match parts.is_empty() {
        true if scheduled.is_empty() => "Nothing that the configuration names was seen yet.".to_owned(),
        true => format!("{}, all as promised.", present::capital(&all)),
        false => format!("{}; {}.", present::capital(&all), parts.join(", ")),
    }
}

impl RefreshesPage {
    /// The page from what the store knows.
    pub fn build(now: DateTime<Utc>, views: Vec<ViewLine>, runs: Vec<RunLine>, is_configured: bool) -> Self {
        let mut groups: BTreeMap<(String, String), Vec<ViewLine>> = BTreeMap::new();
        for view in &views {
            let key = (view.server.clone(), view.status.view.database.clone());
            groups.entry(key).or_default().push(view.clone());
        }
        let group = |((server, database), views): ((String, String), Vec<ViewLine>)| {
            let vertex = |view: &ViewLine| Vertex {
                name: view.name(),
                tone: view.tone(),
                href: view.path(),
                views: view.status.depends_on.clone(),
                tables: view.status.tables.clone(),
            };
            let vertices: Vec<Vertex> = views
                .iter()
                .filter(|view| view.status.exists)
                .map(vertex)
                .collect();
            Group {
                graph: Graph::of(&vertices),
                promise: views
                    .first()
                    .map(|view| promise(&view.status))
                    .unwrap_or_default(),
                server,
                database,
                views,
            }
        };
        Self {
            frame: Frame::new(now, Section::Refreshes, "Refreshes"),
            sentence: sentence(&views, is_configured),
            groups: groups.into_iter().map(group).collect(),
            views,
            runs,
            is_configured,
        }
    }
}

/// Which promise holds, in words.
pub fn promise(status: &ViewStatus) -> String {
    match (status.promise, &status.why_no_record) {
        (Promise::ExactlyOnce, _) => "each due moment is taken exactly once, by whichever refresher comes first".to_owned(),
        (_, Some(why)) => format!("two refreshers never overlap; not exactly once, since {why}"),
        _ => "two refreshers never overlap; if there are several, pgadvisor setup --refresh prints the table by which each \
              moment is taken exactly once"
            .to_owned(),
    }
}
