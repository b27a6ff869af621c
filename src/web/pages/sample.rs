//! Data for the tests of the pages.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::model::finding::*;
use crate::model::fold::{Digest, Outline, fold};
use crate::model::id::Fingerprint;
use crate::model::judgement::{RuleOutcome, Verdict};
use crate::model::open_finding::OpenFinding;
use crate::model::status::{FamilyCost, LoadPoint, ServerStatus};
use crate::model::unit::Period;

pub(crate) const HOSTILE: &str = "x\"'><script>alert(1)</script>\u{202e}gnp\u{2066}\n\u{200b}שלום";

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_778) + TimeDelta::hours(14)
}

pub(crate) fn finding(rule: &str, name: &str) -> Finding {
    let subject = vec!["public".to_owned(), name.to_owned()];
    Finding {
        fingerprint: Fingerprint::of(rule, "main", Some("shop"), &subject),
        claim: Claim {
            rule: rule.to_owned(),
            severity: Severity::Warning,
            server: "main".to_owned(),
            database: Some("shop".to_owned()),
            who: Default::default(),
            hold: None,
            clear: None,
            object: Some(Object {
                kind: ObjectKind::Table,
                schema: Some("public".to_owned()),
                name: name.to_owned(),
                table: None,
            }),
            subject,
            title: format!("{name} is read as a whole"),
            explanation: format!("Three statements read public.{name} as a whole. An index helps."),
            evidence: json!({"mean_seconds": 0.047, "calls_per_hour": 180_000})
                .as_object()
                .cloned()
                .unwrap(),
            evidence_window: Some(Window {
                from: now() - TimeDelta::hours(6),
                to: now(),
            }),
            evidence_sql: Some("SELECT count(*) FROM pg_catalog.pg_stat_user_tables".to_owned()),
            impact: Impact {
                db_seconds_per_day: Some(13_200.0),
                ..Impact::default()
            },
            confidence: Confidence {
                level: ConfidenceLevel::Measured,
                reason: "6 h of counters".to_owned(),
            },
            remedy: Remedy {
                apply_sql: vec![format!("CREATE INDEX CONCURRENTLY ON public.\"{name}\" (id)")],
                undo_sql: vec![format!("DROP INDEX CONCURRENTLY public.\"{name}\"")],
                lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
                rewrites_table: Some(false),
                extra_disk_bytes: Some(20_971_520.0),
                expected_seconds: Some(6.0),
                caveats: vec!["Not during a bulk load.".to_owned()],
            },
            guards: vec!["statistics are 6 h old".to_owned()],
        },
        state: State::Open,
        first_seen_at: now() - TimeDelta::hours(6),
        last_seen_at: now(),
        acknowledged_by: None,
        snoozed_until: None,
        links: Links::default(),
    }
}

/// Those of them that are open, in few words.
pub(crate) fn open_findings(findings: &[Finding]) -> Vec<OpenFinding> {
    let open = findings.iter().filter(|finding| finding.state == State::Open);
    let in_few_words = |finding: &Finding| OpenFinding {
        fingerprint: finding.fingerprint.clone(),
        rule: finding.claim.rule.clone(),
        severity: finding.claim.severity,
        title: finding.claim.title.clone(),
        object: finding.claim.object.clone(),
    };
    open.map(in_few_words).collect()
}

/// What the store makes of these, which are in order.
pub(crate) fn digest(findings: &[Finding]) -> Digest {
    let open: Vec<Finding> = findings
        .iter()
        .filter(|finding| finding.state == State::Open)
        .cloned()
        .collect();
    let folded = fold(&open);
    Digest {
        outlines: findings.iter().map(Outline::of).collect(),
        shown: folded.shown.into_iter().cloned().collect(),
        rest: folded.rest,
    }
}

pub(crate) fn server(name: &str) -> ServerStatus {
    ServerStatus {
        name: name.to_owned(),
        version_num: Some(170_006),
        system_identifier: None,
        is_standby: Some(false),
        databases: vec!["shop".to_owned()],
        last_seen_at: Some(now() - TimeDelta::seconds(14)),
        unreachable: None,
        own_seconds_last_hour: 1.4,
        own_cost_ratio: 0.0004,
        own_entries_seconds_last_hour: Some(1.2),
        families: vec![
            family("catalog", 1.0, 0.06, 600.0),
            family("statements", 0.4, 0.02, 60.0),
        ],
        replication: None,
        running: None,
        told_by: None,
        counters_since: Default::default(),
    }
}

fn family(name: &str, seconds: f64, budget_share: f64, every: f64) -> FamilyCost {
    FamilyCost {
        family: name.to_owned(),
        seconds_last_hour: seconds,
        budget_share,
        every_seconds: Some(every),
        usual_every_seconds: Some(every),
    }
}

/// A day of one load.
pub(crate) fn load(sessions: f64) -> Vec<LoadPoint> {
    (0..288)
        .map(|i| LoadPoint {
            at: now() - TimeDelta::minutes(i * 5),
            load_sessions: Some(sessions),
        })
        .collect()
}

pub(crate) fn event(kind: EventKind, finding: Finding, hours_ago: i64) -> Event {
    Event {
        event_id: format!("e{hours_ago}"),
        sequence: 100 - hours_ago,
        kind,
        occurred_at: now() - TimeDelta::hours(hours_ago),
        actor: None,
        comment: None,
        finding,
    }
}

/// A rule that could not be judged.
pub(crate) fn skipped(server: &str, rule: &str, reason: &str, sql: Option<&str>) -> (String, RuleOutcome) {
    let verdict = Verdict::Skipped {
        reason: reason.to_owned(),
        remedy_sql: sql.map(str::to_owned),
    };
    let outcome = RuleOutcome {
        rule: rule.to_owned(),
        database: None,
        verdict,
        hold: Period::default(),
        clear: Period::default(),
        own: Vec::new(),
    };
    (server.to_owned(), outcome)
}
