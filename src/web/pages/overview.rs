//! `/`: what needs me now?

use std::collections::BTreeSet;

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::Coverage;
use super::event_line::EventLine;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::late::Late;
use super::present;
use super::refreshes::ViewLine;
use super::sentence::Headline;
use super::server_line::ServerLine;
use super::servers;
use super::spark::Spark;
use super::to_do::{Group, RestLine, groups};
use crate::model::finding::{Event, Severity, State};
use crate::model::fold::{Digest, Outline};
use crate::model::status::{Gap, LoadPoint, Look, ServerStatus};

/// Events that the overview shows.
const EVENTS: usize = 12;

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

    /// Whether the same heading would stand in several places: the order of the findings is more than their headings, so that
    /// each says then for itself what to do.
    fn is_mixed(&self) -> bool {
        let headings = self.groups.iter().map(|group| group.heading.as_str());
        headings.collect::<BTreeSet<_>>().len() < self.groups.len()
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
    use crate::model::finding::{EventKind, Finding, Impact};
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
        let coverage = Coverage::of(&servers, &outcomes, &[]);
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
        let headings = |page: &OverviewPage| {
            let html = page.clone().html("", "t").unwrap();
            html.matches("scope=\"rowgroup\"").count()
        };
        assert_eq!(headings(&page), 0, "no heading is said twice");
        let html = page.clone().html("", "t").unwrap();
        assert_eq!(html.matches("<b>Create indexes</b>").count(), 3, "{html}");
        let in_a_row = page_of(&findings[..3]);
        assert_eq!(headings(&in_a_row), 2);
        assert!(!in_a_row.html("", "t").unwrap().contains("<b>Create indexes</b>"));
    }

    fn dropped(name: &str) -> Finding {
        let mut finding = sample::finding("index.unused", name);
        finding.claim.remedy.apply_sql = vec![format!("DROP INDEX CONCURRENTLY public.{name}")];
        finding
    }
}
