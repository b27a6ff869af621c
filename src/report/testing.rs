//! Findings for the tests of the reports.

use chrono::DateTime;
use serde_json::json;

use super::{CheckReport, CheckedServer, Summary};
use crate::model::finding::*;
use crate::model::id::Fingerprint;
use crate::model::judgement::Ignored;

fn finding(rule: &str, object: Object) -> Finding {
    Finding {
        fingerprint: Fingerprint::of(rule, "main", Some("d"), std::slice::from_ref(&object.name)),
        claim: Claim {
            rule: rule.to_owned(),
            severity: Severity::Warning,
            server: "main".to_owned(),
            database: Some("d".to_owned()),
            subject: vec![object.name.clone()],
            who: Default::default(),
            hold: None,
            clear: None,
            object: Some(object),
            title: "A title".to_owned(),
            explanation: "Why.".to_owned(),
            evidence: Evidence::new(),
            evidence_window: None,
            evidence_sql: None,
            impact: Impact::default(),
            confidence: Confidence {
                level: ConfidenceLevel::Measured,
                reason: "counted".to_owned(),
            },
            remedy: Remedy::default(),
            guards: Vec::new(),
        },
        state: State::Open,
        first_seen_at: DateTime::UNIX_EPOCH,
        last_seen_at: DateTime::UNIX_EPOCH,
        acknowledged_by: None,
        snoozed_until: None,
        links: Links::default(),
    }
}

fn object(kind: ObjectKind, name: &str) -> Object {
    Object {
        kind,
        schema: None,
        name: name.to_owned(),
        table: None,
    }
}

/// One with a remedy and a name that turns the order of what is read.
pub(super) fn about_an_index() -> Finding {
    let mut finding = finding("index.unused", object(ObjectKind::Index, "a\u{202e}"));
    let claim = &mut finding.claim;
    claim.evidence_sql = Some("SELECT 1\n  FROM pg_catalog.pg_index".to_owned());
    claim.guards = vec![
        "supports no constraint".to_owned(),
        "not checked: duration".to_owned(),
    ];
    claim.remedy = Remedy {
        apply_sql: vec!["DROP INDEX CONCURRENTLY shop.\"a\u{202e}\"".to_owned()],
        undo_sql: vec!["CREATE INDEX CONCURRENTLY \"a\u{202e}\" ON shop.t (b)".to_owned()],
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(20_971_520.0),
        expected_seconds: Some(6.0),
        caveats: vec!["Not during a bulk load.".to_owned()],
    };
    finding
}

/// What somebody does not want to hear of.
pub(super) fn left_out() -> Ignored {
    Ignored {
        rule: "index.unused".to_owned(),
        database: Some("sales".to_owned()),
        object: Some(Object {
            schema: Some("legacy".to_owned()),
            ..object(ObjectKind::Index, "a\u{202e}")
        }),
        title: "A title".to_owned(),
        severity: Severity::Info,
        reason: "goes away".to_owned(),
        until: None,
    }
}

/// One that has nothing to run.
pub(super) fn about_a_statement() -> Finding {
    let mut finding = finding(
        "query.slow_mean",
        object(ObjectKind::Statement, "0123456789abcdef"),
    );
    finding.claim.evidence = [("statement".to_owned(), json!("SELECT a\nFROM t\u{202e}"))]
        .into_iter()
        .collect();
    finding
}

/// A report of forty indexes of 1 GiB that nobody uses, and one statement, worst first.
pub(super) fn of_many() -> CheckReport {
    let unused = |number: usize| {
        let mut finding = finding("index.unused", object(ObjectKind::Index, &format!("i{number}")));
        finding.claim.title = format!("Index i{number} is not used");
        finding.claim.impact.bytes = Some(1024.0 * 1024.0 * 1024.0);
        finding
    };
    CheckReport {
        schema_version: 1,
        generated_at: DateTime::UNIX_EPOCH,
        advisor_version: "1",
        server: CheckedServer {
            name: "main".to_owned(),
            version_num: 170_006,
            system_identifier: None,
            is_standby: false,
            databases: vec!["d".to_owned()],
        },
        window: None,
        findings: (0..40).map(unused).chain([about_a_statement()]).collect(),
        skipped: Vec::new(),
        ignored: Vec::new(),
        summary: Summary::default(),
    }
}
