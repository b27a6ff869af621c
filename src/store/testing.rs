//! What the tests of this folder share.

use chrono::{DateTime, Utc};

use crate::model::finding::{
    Claim, Confidence, ConfidenceLevel, Impact, Object, ObjectKind, Remedy, Severity,
};
use crate::model::judgement::{Judgement, RuleOutcome, Verdict};
use crate::model::unit::Period;

/// So many seconds after a fixed time.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    super::row::time((1_780_000_000 + seconds) * 1_000_000)
}

pub(super) fn claim(rule: &str, database: Option<&str>, table: &str) -> Claim {
    Claim {
        rule: rule.to_owned(),
        severity: Severity::Warning,
        server: "main".to_owned(),
        database: database.map(str::to_owned),
        object: Some(Object {
            kind: ObjectKind::Table,
            schema: Some("public".to_owned()),
            name: table.to_owned(),
            table: None,
        }),
        subject: vec!["public".to_owned(), table.to_owned()],
        who: Default::default(),
        hold: None,
        clear: None,
        title: format!("Table {table} is too large"),
        explanation: "Because.".to_owned(),
        evidence: [("rows_total".to_owned(), 12.into())].into_iter().collect(),
        evidence_window: None,
        evidence_sql: None,
        impact: Impact {
            bytes: Some(1e9),
            ..Impact::default()
        },
        confidence: Confidence {
            level: ConfidenceLevel::Measured,
            reason: "it was measured".to_owned(),
        },
        remedy: Remedy::default(),
        guards: vec!["a guard".to_owned()],
    }
}

pub(super) fn evaluated(rule: &str, database: Option<&str>) -> RuleOutcome {
    RuleOutcome {
        rule: rule.to_owned(),
        database: database.map(str::to_owned),
        verdict: Verdict::Evaluated {
            undecided: Vec::new(),
            absence_counts: true,
            untold: None,
        },
        hold: Period::default(),
        clear: Period::default(),
        own: Vec::new(),
    }
}

pub(super) fn skipped(rule: &str, database: Option<&str>) -> RuleOutcome {
    let verdict = Verdict::Skipped {
        reason: "young statistics".to_owned(),
        remedy_sql: None,
    };
    RuleOutcome {
        verdict,
        ..evaluated(rule, database)
    }
}

pub(super) fn judgement(
    claims: impl IntoIterator<Item = Claim>,
    outcomes: impl IntoIterator<Item = RuleOutcome>,
) -> Judgement {
    let claims = claims.into_iter().collect();
    Judgement {
        ignored: Vec::new(),
        claims,
        outcomes: outcomes.into_iter().collect(),
        dropped_claims: 0,
        unbroken_within: Period::minutes(10),
        databases: None,
        mended: Vec::new(),
        proof: Default::default(),
        decided: Vec::new(),
    }
}
