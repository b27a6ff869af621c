//! `/status`: can I trust this?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::event_line::EventLine;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::late::{is_late, is_watched, late_looks};
use super::present;
use super::server_looks::{NoAdvice, ServerLooks};
use super::status_facts::{Advisor, Limit, ServerGap, ServerIgnored, StatusFacts};
use crate::limits;
use crate::model::status::{Gap, LATE_ADVICE, Look, ServerStatus};

/// The advisor's own state.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "status.html")]
pub struct StatusPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// Whether it can be trusted, in a sentence.
    pub sentence: String,
    /// The advisor itself.
    pub advisor: Advisor,
    /// The servers with their looks.
    pub servers: Vec<ServerLooks>,
    /// What could not be read.
    pub gaps: Vec<ServerGap>,
    /// What planning by the advisor leaves behind on servers whose login may not switch off counting.
    pub left_behind: Vec<ServerGap>,
    /// What is left out because somebody does not want to hear of it.
    pub ignored: Vec<ServerIgnored>,
    /// The bounds.
    pub limits: Vec<Limit>,
    /// What people did, newest first.
    pub audit: Vec<EventLine>,
}
framed!(StatusPage);

/// Whether every server was read, in a sentence.
fn sentence(now: DateTime<Utc>, facts: &StatusFacts) -> String {
    let lost = facts
        .servers
        .iter()
        .filter(|server| server.unreachable.is_some())
        .count();
    let failed = facts.looks.iter().filter(|look| look.error.is_some()).count();
    let servers = facts.servers.iter();
    let late: usize = servers
        .map(|server| late_looks(now, server, &facts.looks).len())
        .sum();
    let over = facts
        .servers
        .iter()
        .filter(|s| s.own_cost_ratio > facts.advisor.budget_ratio)
        .count();
    let mut parts = Vec::new();
    if lost > 0 {
        parts.push(format!(
            "{} cannot be reached",
            present::plural(lost, "server", "servers")
        ));
    }
    if failed > 0 {
        parts.push(present::plural(failed, "look failed", "looks failed"));
    }
    if late > 0 {
        parts.push(present::plural(late, "look is late", "looks are late"));
    }
    let late_advice = facts
        .gaps
        .iter()
        .filter(|(_, gap)| gap.fact == LATE_ADVICE)
        .count();
    let unread = facts.gaps.len() - late_advice;
    if unread > 0 {
        parts.push(present::plural(
            unread,
            "fact could not be read",
            "facts could not be read",
        ));
    }
    if late_advice > 0 {
        parts.push("index advice is late".to_owned());
    }
    if over > 0 && facts.advisor.budget_ratio > 0.0 {
        parts.push(format!(
            "the advisor is over its budget on {}",
            present::plural(over, "server", "servers")
        ));
    }
    match (facts.servers.is_empty(), parts.is_empty()) {
        (true, _) => "No server is configured.".to_owned(),
        (false, true) => "Everything that the rules need is read.".to_owned(),
        (false, false) => present::capital(&parts.join("; ")) + ".",
    }
}

impl StatusPage {
    /// The page from what the store and the engine know of themselves.
    pub fn build(now: DateTime<Utc>, mut facts: StatusFacts) -> Self {
        let servers = &facts.servers;
        facts.looks.retain(|look| {
            let mut servers = servers.iter().filter(|server| server.name == look.server);
            servers.any(|server| is_watched(server, look))
        });
        let gaps = std::mem::take(&mut facts.gaps);
        let (left_behind, gaps): (Vec<_>, Vec<_>) =
            gaps.into_iter().partition(|(_, gap)| gap.is_left_behind());
        facts.gaps = gaps;
        let told = |gaps: Vec<(String, Gap)>| -> Vec<ServerGap> {
            let told = gaps.into_iter();
            told.map(|(server, gap)| ServerGap { server, gap }).collect()
        };
        let sentence = sentence(now, &facts);
        let server = |server: ServerStatus| ServerLooks {
            connections: facts
                .connections
                .iter()
                .find(|c| c.server == server.name)
                .cloned(),
            looks: facts
                .looks
                .iter()
                .filter(|look| look.server == server.name)
                .cloned()
                .collect(),
            no_advice: NoAdvice::of(&server.name, &facts.no_advice),
            budget_ratio: facts.advisor.budget_ratio,
            names: server.names(&facts.servers),
            server,
        };
        Self {
            frame: Frame::new(now, Section::Status, "Status"),
            sentence,
            servers: facts.servers.iter().cloned().map(server).collect(),
            gaps: told(facts.gaps),
            left_behind: told(left_behind),
            ignored: facts
                .ignored
                .into_iter()
                .map(|(server, ignored)| ServerIgnored { server, ignored })
                .collect(),
            advisor: facts.advisor,
            limits: facts.limits,
            audit: facts.audit.into_iter().map(|event| EventLine { event }).collect(),
        }
    }

    /// `12 problems`; of very many on one server only the first are known here.
    pub fn left_out(&self) -> String {
        let mut servers = self.ignored.chunk_by(|one, next| one.server == next.server);
        let told = present::plural(self.ignored.len(), "problem", "problems");
        match servers.any(|of_one| of_one.len() >= limits::IGNORED_SHOWN) {
            true => format!("at least {told}"),
            false => told,
        }
    }

    /// Whether a look is older than it should be.
    pub fn late(&self, line: &ServerLooks, look: &Look) -> bool {
        is_late(self.frame.now, &line.server, look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::{EventKind, Object, ObjectKind};
    use crate::model::judgement::Ignored;
    use crate::model::own_planning::LEFT_BEHIND;
    use crate::model::status::RunningServer;
    use crate::web::pages::late::tests::look;
    use crate::web::pages::{frame::Page, sample};
    use chrono::TimeDelta;

    #[test]
    fn empty_is_a_page() {
        let html = StatusPage::build(sample::now(), StatusFacts::default())
            .html("", "t")
            .unwrap();
        assert!(html.contains("No server is configured."));
    }

    #[test]
    fn what_each_family_costs_is_shown_and_what_was_stretched() {
        let mut server = sample::server("main");
        let page = |server: &ServerStatus| {
            let facts = StatusFacts {
                servers: vec![server.clone()],
                ..StatusFacts::default()
            };
            let page = StatusPage::build(sample::now(), facts);
            let json = serde_json::to_value(&page).unwrap();
            (page.html("", "t").unwrap(), json)
        };
        let (html, json) = page(&server);
        let costs = html.split("rows costs").nth(1).unwrap();
        assert!(costs.contains("<td>catalog</td>") && costs.contains("<td>statements</td>"));
        assert!(
            costs.contains("10 min") && !costs.contains("stretched"),
            "on time"
        );
        assert!(costs.contains("6.0 %"), "of the budget");
        assert!(costs.contains("The server itself counted 1.2 s"));
        let family = &json["servers"][0]["families"][0];
        assert_eq!(family["family"], "catalog");
        assert_eq!(family["every_seconds"], 600.0);
        server.families[0].every_seconds = Some(4800.0);
        server.families[1].every_seconds = None;
        server.own_entries_seconds_last_hour = None;
        let (html, _) = page(&server);
        let costs = html.split("rows costs").nth(1).unwrap();
        assert_eq!(costs.matches("stretched").count(), 1);
        assert!(costs.contains("1 h 20 min") && costs.contains("as configured every 10 min"));
        assert!(costs.contains("when it is due") && !costs.contains("The server itself counted"));
        server.families.clear();
        assert!(
            !page(&server).0.contains("rows costs"),
            "nothing is known before the first look"
        );
    }

    #[test]
    fn databases_whose_advice_waits_are_told_with_the_reason() {
        let waits = |server: &str, database: &str, reason: &str| {
            (server.to_owned(), database.to_owned(), reason.to_owned())
        };
        let facts = StatusFacts {
            servers: vec![sample::server("main")],
            no_advice: vec![
                waits("main", "shop", "it waits for <b>udget"),
                waits("main", "audit", "HypoPG is not there"),
                waits("main", "bill", "it waits for <b>udget"),
                waits("other", "elsewhere", "it waits"),
            ],
            ..StatusFacts::default()
        };
        let page = StatusPage::build(sample::now(), facts);
        let told: Vec<String> = page.servers[0].no_advice.iter().map(NoAdvice::names).collect();
        assert_eq!(told, ["shop, bill", "audit"]);
        let html = page.html("", "t").unwrap();
        assert!(html.contains("No index advice for <bdi>shop, bill</bdi>: it waits for &#60;b&#62;udget."));
        assert!(!html.contains("elsewhere"));
        let none = StatusFacts {
            servers: vec![sample::server("main")],
            ..StatusFacts::default()
        };
        let html = StatusPage::build(sample::now(), none).html("", "t").unwrap();
        assert!(!html.contains("No index advice"));
    }

    #[test]
    fn advice_that_is_late_is_told_and_no_fact_that_is_missing() {
        let facts = StatusFacts {
            servers: vec![sample::server("main")],
            gaps: vec![(
                "main".to_owned(),
                Gap {
                    fact: LATE_ADVICE.to_owned(),
                    database: Some("shop".to_owned()),
                    why: "it waits".to_owned(),
                    remedy_sql: None,
                    missing_privilege: None,
                    rules: Vec::new(),
                },
            )],
            ..StatusFacts::default()
        };
        let page = StatusPage::build(sample::now(), facts);
        assert_eq!(page.sentence, "Index advice is late.");
        assert!(page.html("", "t").unwrap().contains("it waits"));
    }

    #[test]
    fn late_is_told_by_the_cadence_of_each_family() {
        let page = |statements_minutes: i64, catalog_minutes: i64| {
            let facts = StatusFacts {
                servers: vec![sample::server("main")],
                looks: vec![
                    look("statements", None, statements_minutes),
                    look("catalog", Some("shop"), catalog_minutes),
                ],
                ..StatusFacts::default()
            };
            let page = StatusPage::build(sample::now(), facts);
            (page.sentence.clone(), page.html("", "t").unwrap())
        };
        let chip = "<span class=\"chip warn\">late</span>";
        let (sentence, html) = page(2, 20);
        assert_eq!(sentence, "Everything that the rules need is read.");
        assert!(!html.contains(chip), "{html}");
        let (sentence, html) = page(20, 20);
        assert_eq!(sentence, "1 look is late.");
        assert_eq!(
            html.matches(chip).count(),
            1,
            "the catalog is read every ten minutes"
        );
        assert_eq!(page(20, 50).0, "2 looks are late.");
    }

    #[test]
    fn a_look_at_a_database_that_is_watched_no_more_has_not_failed() {
        let page = |database: Option<&str>| {
            let facts = StatusFacts {
                servers: vec![sample::server("main")],
                looks: vec![Look {
                    error: Some("database does not exist".into()),
                    ..look("relations", database, 1)
                }],
                ..StatusFacts::default()
            };
            let page = StatusPage::build(sample::now(), facts);
            (page.sentence, page.servers[0].looks.len())
        };
        let failed = ("1 look failed.".to_owned(), 1);
        assert_eq!((page(Some("shop")), page(None)), (failed.clone(), failed));
        assert_eq!(
            page(Some("dropped")),
            ("Everything that the rules need is read.".to_owned(), 0)
        );
    }

    #[test]
    fn a_server_under_two_names_says_so() {
        let running = |started_hours_ago: i64| RunningServer {
            system_identifier: "1".into(),
            timeline: Some(1),
            is_standby: false,
            started_at: sample::now() - TimeDelta::hours(started_hours_ago),
        };
        let (mut main, mut other, mut copy) = (
            sample::server("main"),
            sample::server("other"),
            sample::server("copy"),
        );
        (main.running, other.running, copy.running) = (Some(running(9)), Some(running(9)), Some(running(8)));
        other.told_by = Some("main".into());
        let facts = StatusFacts {
            servers: vec![copy, main, other],
            ..StatusFacts::default()
        };
        let page = StatusPage::build(sample::now(), facts);
        let names: Vec<usize> = page.servers.iter().map(|line| line.names.len()).collect();
        assert_eq!(names, [0, 2, 2]);
        let html = page.html("", "t").unwrap();
        assert_eq!(
            html.matches("It is reached under two names: main and other;")
                .count(),
            2
        );
        assert_eq!(html.matches("what both see is told under main.").count(), 1);
    }

    #[test]
    fn what_is_left_out_is_counted_and_named() {
        let claim = sample::finding("index.unused", "A title").claim;
        let ignored = Ignored {
            rule: claim.rule,
            database: claim.database,
            object: Some(Object {
                kind: ObjectKind::Index,
                schema: Some("legacy".into()),
                name: sample::HOSTILE.into(),
                table: None,
            }),
            title: claim.title,
            severity: claim.severity,
            reason: "goes away".into(),
            until: None,
        };
        let page = |count: usize| {
            let ignored = vec![("main".to_owned(), ignored.clone()); count];
            let facts = StatusFacts {
                ignored,
                ..StatusFacts::default()
            };
            StatusPage::build(sample::now(), facts).html("", "t").unwrap()
        };
        let html = page(1);
        assert!(html.contains("index <bdi>legacy.") && html.contains("1 problem seen"));
        assert!(!html.contains("<script>alert") && !html.contains('\u{202e}'));
        assert!(page(limits::IGNORED_SHOWN).contains("at least 500 problems seen"));
    }

    #[test]
    fn what_planning_leaves_behind_is_nothing_that_could_not_be_read() {
        let gap = |fact: &str| Gap {
            fact: fact.to_owned(),
            database: None,
            why: format!("why of {fact}"),
            remedy_sql: Some("GRANT SET ON PARAMETER track_counts TO planner".into()),
            missing_privilege: None,
            rules: Vec::new(),
        };
        let gaps = ["pg_stat_statements", LEFT_BEHIND[0], LEFT_BEHIND[1]];
        let facts = StatusFacts {
            servers: vec![sample::server("main")],
            gaps: gaps.map(|fact| ("main".to_owned(), gap(fact))).to_vec(),
            ..StatusFacts::default()
        };
        let page = StatusPage::build(sample::now(), facts);
        assert_eq!(page.sentence, "1 fact could not be read.");
        assert_eq!((page.gaps.len(), page.left_behind.len()), (1, 2));
        let html = page.html("", "t").unwrap();
        let (unread, left) = html.split_once("What our planning leaves behind").unwrap();
        assert!(unread.contains("why of pg_stat_statements") && !unread.contains(LEFT_BEHIND[0]));
        assert!(left.contains(LEFT_BEHIND[1]) && left.contains("sql-left-2"));
    }

    #[test]
    fn hostile_gaps_are_escaped() {
        let gap = Gap {
            fact: "pg_stat_statements".into(),
            database: Some(sample::HOSTILE.into()),
            why: sample::HOSTILE.into(),
            remedy_sql: Some("CREATE EXTENSION pg_stat_statements".into()),
            missing_privilege: None,
            rules: vec!["query.slow_mean".into()],
        };
        let event = sample::event(
            EventKind::Acknowledged,
            sample::finding("a.b", sample::HOSTILE),
            1,
        );
        let facts = StatusFacts {
            servers: vec![sample::server("main")],
            gaps: vec![("main".into(), gap)],
            audit: vec![event],
            ..StatusFacts::default()
        };
        let page = StatusPage::build(sample::now(), facts);
        assert_eq!(page.sentence, "1 fact could not be read.");
        let html = page.html("", "t").unwrap();
        assert!(!html.contains("<script>alert") && !html.contains('\u{202e}'));
        assert!(html.contains("href=\"/rules/query.slow_mean\""));
    }
}
