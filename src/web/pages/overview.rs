//! `/`: what needs me now?

use std::collections::BTreeSet;

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::cluster::Follows;
use super::coverage::Coverage;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::late::Late;
use super::present;
use super::refreshes::ViewLine;
use super::row::Row;
use super::sentence::Headline;
use super::servers;
use super::spark::Spark;
use crate::model::finding::{Event, EventKind, Finding, Severity, State};
use crate::model::fold::{Digest, FoldedRule, Outline};
use crate::model::status::{Gap, LoadPoint, Look, ServerStatus};
use crate::model::unit::bytes_for_people;

/// Events that the overview shows.
const EVENTS: usize = 12;

/// Findings that follow each other and are mended by the same kind of step.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Group {
    /// What to do: `Create indexes`.
    pub heading: String,
    /// The findings, worst first.
    pub rows: Vec<Row>,
}

/// Findings of one rule that are not among the few, on one line.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RestLine {
    /// Which, how many, and what they cost together.
    #[serde(flatten)]
    pub folded: FoldedRule,
}

impl RestLine {
    fn list(rest: &[FoldedRule]) -> Vec<Self> {
        rest.iter().cloned().map(|folded| Self { folded }).collect()
    }

    /// The worst severity as it begins a row.
    pub fn severity_word(&self) -> &'static str {
        present::severity_word(self.folded.worst)
    }

    /// What they cost together, in every unit that is known: `38 min/day, 12.4 GiB`.
    pub fn together(&self) -> String {
        let impact = &self.folded.impact;
        let parts = [
            impact.days_left.map(present::left),
            impact
                .db_seconds_per_day
                .filter(|seconds| *seconds > 0.0)
                .map(present::per_day),
            impact.bytes.filter(|bytes| *bytes > 0.0).map(bytes_for_people),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A server on one line.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServerLine {
    /// What is known of it.
    #[serde(flatten)]
    pub server: ServerStatus,
    /// Open findings by severity.
    pub critical: usize,
    #[allow(missing_docs)]
    pub warning: usize,
    #[allow(missing_docs)]
    pub info: usize,
    /// Facts that could not be read there.
    pub gaps: usize,
    /// What of it is late.
    pub late: Late,
    /// The load of the last day.
    #[serde(skip)]
    #[schema(ignore)]
    pub spark: Spark,
}

impl ServerLine {
    /// `17.6`, or that it has not been seen.
    pub fn version(&self) -> String {
        match self.server.version_num {
            Some(number) => format!("{}.{}", number / 10_000, number % 10_000),
            None => "version unknown".to_owned(),
        }
    }

    /// `primary`, `standby`, or `in recovery` where nothing proves that it follows one; nothing where it is not known. What
    /// does not answer may be something else by now.
    pub fn role(&self) -> String {
        let word = match (self.server.is_standby, Follows::of(&self.server)) {
            (None, _) => return String::new(),
            (_, Some(follows)) => follows.word(),
            (_, None) => "primary",
        };
        match self.server.unreachable {
            Some(_) => format!("{word} when it last answered"),
            None => word.to_owned(),
        }
    }

    /// `3 databases`.
    pub fn databases(&self) -> String {
        present::plural(self.server.databases.len(), "database", "databases")
    }

    /// The highest load of the day.
    pub fn peak(&self) -> Option<String> {
        self.spark
            .peak
            .map(|peak| format!("peak {}", present::number((peak * 10.0).round() / 10.0)))
    }
}

/// What happened to a finding, for the list of a day.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventLine {
    /// The event; the API's feed has the same.
    #[serde(flatten)]
    pub event: Event,
}

impl EventLine {
    /// What happened, in a word or two.
    pub fn word(&self) -> String {
        match self.event.kind {
            EventKind::Opened => "opened".to_owned(),
            EventKind::SeverityChanged => format!("now {}", self.event.finding.claim.severity.word()),
            EventKind::Acknowledged => "acknowledged".to_owned(),
            EventKind::Snoozed => "snoozed".to_owned(),
            EventKind::Resolved => "resolved".to_owned(),
            EventKind::Reopened => "reopened".to_owned(),
            EventKind::MarkedFalsePositive => "not a problem".to_owned(),
            EventKind::OutcomeKnown => "measured".to_owned(),
        }
    }

    /// The class of the word's chip.
    pub fn tone(&self) -> &'static str {
        match self.event.kind {
            EventKind::Opened | EventKind::Reopened | EventKind::SeverityChanged => "warn",
            EventKind::Resolved | EventKind::OutcomeKnown => "good",
            _ => "",
        }
    }
}

/// The first page.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// What needs you, in a sentence.
    pub sentence: String,
    /// Whether nothing has to be done.
    pub calm: bool,
    /// The few findings that matter, in the order of every list, with what to do above them.
    pub groups: Vec<Group>,
    /// Open findings that are not among them.
    pub more: usize,
    /// The same by rule.
    pub rest: Vec<RestLine>,
    /// All open findings.
    pub open: usize,
    /// Acknowledged findings.
    pub acknowledged: usize,
    /// The servers.
    pub servers: Vec<ServerLine>,
    /// What happened in the last day, newest first.
    pub events: Vec<EventLine>,
    /// Events of the day that are not among them.
    pub more_events: usize,
    /// Facts that could not be read, on all servers.
    pub gaps: usize,
    /// What planning by the advisor leaves behind, on all servers.
    pub left_behind: usize,
    /// What could not be seen or judged.
    pub coverage: Coverage,
}
framed!(OverviewPage);

/// What to do about a finding, by the first statement of its remedy.
fn step(finding: &Finding) -> &'static str {
    let claim = &finding.claim;
    if claim.impact.days_left.is_some() {
        return "Before it runs out";
    }
    let sql = claim
        .remedy
        .apply_sql
        .first()
        .map_or_else(String::new, |sql| sql.trim_start().to_ascii_uppercase());
    let starts = [
        ("CREATE INDEX", "Create indexes"),
        ("CREATE UNIQUE INDEX", "Create indexes"),
        ("DROP INDEX", "Drop indexes"),
        ("REINDEX", "Rebuild indexes"),
        ("VACUUM", "Vacuum and analyze"),
        ("ANALYZE", "Vacuum and analyze"),
        ("GRANT", "Let the advisor see"),
        ("CREATE EXTENSION", "Let the advisor see"),
        ("ALTER SYSTEM", "Change settings"),
        ("ALTER TABLE", "Change tables"),
    ];
    if let Some((_, heading)) = starts.iter().find(|(start, _)| sql.starts_with(start)) {
        return heading;
    }
    match claim.rule.split('.').next().unwrap_or("") {
        "query" => "Look at these statements",
        "config" => "Change settings",
        "index" => "Review indexes",
        "activity" => "Look at these sessions",
        _ => "Look at these",
    }
}

/// The findings in their order, with a heading wherever there is something else to do. None leaves its place for a
/// heading: `check` and the API have the same order.
fn groups(shown: &[Finding]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in Row::list(shown.iter().cloned()) {
        let heading = step(&row.finding);
        match groups.last_mut().filter(|group| group.heading == heading) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group {
                heading: heading.to_owned(),
                rows: vec![row],
            }),
        }
    }
    groups
}

impl OverviewPage {
    /// The page from the findings that are open or acknowledged.
    pub fn build(
        now: DateTime<Utc>,
        findings: &Digest,
        servers: &[ServerStatus],
        loads: &[(String, Vec<LoadPoint>)],
        events_24h: &[Event],
        gaps: &[(String, Gap)],
        coverage: Coverage,
    ) -> Self {
        let (left_behind, gaps): (Vec<_>, Vec<_>) = gaps.iter().partition(|(_, gap)| gap.is_left_behind());
        let outlines = &findings.outlines;
        let headline = Headline::of(now, outlines, servers, loads, &coverage);
        let open: Vec<&Outline> = outlines.iter().filter(|f| f.state == State::Open).collect();
        let line = |server: &ServerStatus| {
            let number = |severity: Severity| {
                open.iter()
                    .filter(|f| f.server == server.name && f.severity == severity)
                    .count()
            };
            let points = loads
                .iter()
                .find(|(name, _)| *name == server.name)
                .map_or(&[][..], |(_, points)| points);
            ServerLine {
                critical: number(Severity::Critical),
                warning: number(Severity::Warning),
                info: number(Severity::Info),
                gaps: gaps.iter().filter(|(name, _)| *name == server.name).count(),
                late: Late::default(),
                spark: Spark::of(now, points),
                server: server.clone(),
            }
        };
        let mut newest: Vec<&Event> = events_24h.iter().collect();
        newest.sort_by_key(|event| std::cmp::Reverse((event.occurred_at, event.sequence)));
        Self {
            frame: Frame::new(now, Section::Overview, "Overview"),
            sentence: headline.sentence,
            calm: headline.calm,
            groups: groups(&findings.shown),
            more: findings.rest.iter().map(|folded| folded.count).sum(),
            rest: RestLine::list(&findings.rest),
            open: open.len(),
            acknowledged: outlines.len() - open.len(),
            servers: servers.iter().map(line).collect(),
            more_events: newest.len().saturating_sub(EVENTS),
            events: newest
                .into_iter()
                .take(EVENTS)
                .map(|event| EventLine { event: event.clone() })
                .collect(),
            gaps: gaps.len(),
            left_behind: left_behind.len(),
            coverage,
        }
    }

    /// The same with what of each server is late.
    #[must_use]
    pub fn with_late(mut self, looks: &[Look], views: &[ViewLine]) -> Self {
        for line in &mut self.servers {
            line.late = Late::of(self.frame.now, &line.server, looks, views);
        }
        self
    }

    /// `2 servers, 7 databases`: what has two names counts once.
    pub fn watched(&self) -> String {
        let running = servers::running(self.servers.iter().map(|line| &line.server));
        let databases = |names: &Vec<&ServerStatus>| {
            let all = names.iter().flat_map(|server| &server.databases);
            all.collect::<BTreeSet<_>>().len()
        };
        format!(
            "{}, {}",
            servers::counted(&running),
            present::plural(running.iter().map(databases).sum(), "database", "databases")
        )
    }

    /// When any server was last seen.
    pub fn last_look(&self) -> Option<DateTime<Utc>> {
        self.servers
            .iter()
            .filter_map(|line| line.server.last_seen_at)
            .max()
    }

    /// Facts that could not be read, as a link's text.
    pub fn unread(&self) -> String {
        present::plural(self.gaps, "fact could not be read", "facts could not be read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::model::finding::Impact;
    use crate::web::pages::{frame::Page, late, sample};

    #[test]
    fn nothing_needs_you() {
        let page = OverviewPage::build(
            sample::now(),
            &Digest::default(),
            &[sample::server("main")],
            &[],
            &[],
            &[],
            Coverage::default(),
        );
        assert!(page.calm);
        let html = page.html("", "t").unwrap();
        assert!(html.contains("Nothing needs you.") && html.contains("class=\"seal\""));
        assert!(html.contains("not known"));
    }

    #[test]
    fn the_tick_is_for_what_was_judged() {
        let servers = [sample::server("main")];
        let outcomes = [sample::skipped(
            "main",
            "query.slow_mean",
            "no <extension>",
            Some("CREATE EXTENSION x"),
        )];
        let coverage = Coverage::of(&servers, &outcomes);
        let page = OverviewPage::build(
            sample::now(),
            &Digest::default(),
            &servers,
            &[],
            &[],
            &[],
            coverage,
        );
        let html = page.html("", "t").unwrap();
        assert!(
            !html.contains("class=\"seal\"") && !html.contains("Nothing needs you"),
            "{html}"
        );
        assert!(html.contains("Nothing was found in what could be judged; 1 rule could not be."));
        assert!(
            html.contains("query.slow_mean") && html.contains("no &#60;extension&#62;"),
            "{html}"
        );
    }

    #[test]
    fn hostile_names_are_escaped_and_seen() {
        let findings = [sample::finding("index.missing", sample::HOSTILE)];
        let events = [sample::event(EventKind::Opened, findings[0].clone(), 2)];
        let servers = [sample::server(sample::HOSTILE)];
        let html = OverviewPage::build(
            sample::now(),
            &sample::digest(&findings),
            &servers,
            &[],
            &events,
            &[],
            Coverage::default(),
        )
        .html("", "t")
        .unwrap();
        assert!(!html.contains("<script>alert") && !html.contains('\u{202e}') && !html.contains('\u{200b}'));
        assert!(html.contains("\\u{202e}"));
    }

    fn page_of(findings: &[Finding]) -> OverviewPage {
        OverviewPage::build(
            sample::now(),
            &sample::digest(findings),
            &[sample::server("main")],
            &[],
            &[],
            &[],
            Coverage::default(),
        )
    }

    #[test]
    fn the_rest_is_folded_by_rule() {
        let mut findings: Vec<Finding> = (0..30)
            .map(|i| sample::finding("index.unused", &format!("t{i}")))
            .collect();
        for finding in &mut findings {
            finding.claim.impact = Impact {
                bytes: Some(1024.0 * 1024.0 * 1024.0),
                ..Impact::default()
            };
        }
        let page = page_of(&findings);
        let rows: usize = page.groups.iter().map(|group| group.rows.len()).sum();
        assert_eq!((page.more, rows), (27, limits::FINDINGS_SHOWN_PER_RULE));
        assert_eq!(page.servers[0].warning, 30);
        let html = page.clone().html("", "t").unwrap();
        for part in [
            "27 more, by rule",
            "<a href=\"/findings?state=open&amp;rule=index.unused\">27 more <span class=\"mono\">index.unused</span></a>",
            "27.0 GiB",
        ] {
            assert!(html.contains(part), "{part} is not in\n{html}");
        }
        let json = serde_json::to_value(&page).unwrap();
        assert!(json.get("frame").is_none() && json["groups"][0]["rows"][0]["fingerprint"].is_string());
        assert_eq!(
            (&json["rest"][0]["rule"], &json["rest"][0]["count"]),
            (&"index.unused".into(), &27.into())
        );
        assert!(!page_of(&findings[..5]).html("", "t").unwrap().contains("by rule"));
    }

    #[test]
    fn what_is_late_is_told_where_there_is_something() {
        let page = page_of(&[]);
        let html = page.clone().html("", "t").unwrap();
        assert!(
            !html.contains(" late</a>") && !html.contains("read <time"),
            "{html}"
        );
        let page = page.with_late(
            &[late::tests::look("catalog", Some("shop"), 200)],
            &[late::tests::view("main", 5)],
        );
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(json["servers"][0]["late"]["oldest_look"]["family"], "catalog");
        let html = page.html("", "t").unwrap();
        assert!(
            html.contains("<a href=\"/refreshes\">1 refresh late</a>"),
            "{html}"
        );
        assert!(html.contains("<a href=\"/status\">catalog read <time"), "{html}");
        assert!(html.contains("3 h ago</time></a>"), "{html}");
    }

    #[test]
    fn no_finding_leaves_its_place_for_a_heading() {
        let findings = [
            sample::finding("index.missing", "a"),
            sample::finding("index.missing", "b"),
            dropped("c"),
            sample::finding("index.missing", "d"),
        ];
        let page = page_of(&findings);
        let headings: Vec<&str> = page.groups.iter().map(|group| group.heading.as_str()).collect();
        assert_eq!(headings, ["Create indexes", "Drop indexes", "Create indexes"]);
        let rows = page.groups.iter().flat_map(|group| &group.rows);
        let shown: Vec<&Finding> = rows.map(|row| &row.finding).collect();
        assert_eq!(shown, findings.iter().collect::<Vec<_>>());
    }

    fn dropped(name: &str) -> Finding {
        let mut finding = sample::finding("index.unused", name);
        finding.claim.remedy.apply_sql = vec![format!("DROP INDEX CONCURRENTLY public.{name}")];
        finding
    }
}
