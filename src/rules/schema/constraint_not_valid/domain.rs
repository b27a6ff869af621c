//! The constraint of a domain: the columns of the domain hold what it was not checked for.

use serde_json::json;

use super::ConstraintNotValid;
use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::schema::{Constraint, Domain};
use crate::rules::{Place, Rule, evidence, measured};

pub(super) fn subject(constraint: &Constraint, domain: &Domain) -> Vec<String> {
    vec![
        domain.schema.clone(),
        domain.name.clone(),
        constraint.name.clone(),
    ]
}

/// The columns whose values VALIDATE reads: those of the domain, and of domains over it.
fn columns_sql(domain: &Domain) -> String {
    format!(
        "WITH RECURSIVE domains (oid) AS (\n    SELECT {}::regtype::oid\n    \
         UNION SELECT t.oid FROM domains AS d JOIN pg_type AS t ON t.typtype = 'd' AND t.typbasetype = d.oid)\n  \
         SELECT a.attrelid::regclass, a.attname, c.reltuples::bigint FROM domains AS d\n  \
         JOIN pg_attribute AS a ON a.atttypid = d.oid AND NOT a.attisdropped\n  \
         JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'm')",
        quote_literal(&qualified(&domain.schema, &domain.name))
    )
}

pub(super) fn claim(place: &Place<'_>, constraint: &Constraint, domain: &Domain) -> Claim {
    let (schema, name) = (&domain.schema, &domain.name);
    let object = Object {
        kind: ObjectKind::Constraint,
        schema: Some(schema.clone()),
        name: constraint.name.clone(),
        table: None,
    };
    Claim {
        title: format!("{schema}.{name}: {} is not valid", constraint.name),
        explanation: format!(
            "The CHECK constraint {} of the domain {schema}.{name} holds for values that were written since it was added; nobody \
             has checked the older ones in columns of that domain. To write a value that breaks it again, or to cast it, fails, \
             and so does an INSERT that copies it. Mend such values, then validate it.",
            constraint.name
        ),
        evidence: evidence([
            ("constraint_kind", json!("CHECK constraint of a domain")),
            ("condition", json!(constraint.condition)),
        ]),
        evidence_sql: Some(columns_sql(domain)),
        confidence: measured("read from pg_constraint"),
        remedy: remedy(constraint, domain),
        guards: vec!["its domain is no part of an extension".to_owned()],
        ..place.claim(
            ConstraintNotValid::ID,
            Severity::Info,
            subject(constraint, domain),
            Some(object),
        )
    }
}

fn remedy(constraint: &Constraint, domain: &Domain) -> Remedy {
    let validate = Statement::ValidateDomainConstraint {
        schema: domain.schema.clone(),
        domain: domain.name.clone(),
        name: constraint.name.clone(),
    };
    let condition = constraint
        .condition
        .as_deref()
        .unwrap_or("the constraint's condition");
    Remedy {
        apply_sql: vec![validate.sql()],
        lock: Some("SHARE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        caveats: vec![
            "It fails at the first value that breaks the constraint, and changes nothing then: look for such values first.".to_owned(),
            format!(
                "The SELECT of the evidence names the columns that have the domain. In each of their tables look for rows WHERE NOT \
                 ({condition}), with the column, cast to the type that the domain is over, in the place of VALUE."
            ),
            "It reads all tables with such a column, one after the other, and holds SHARE on each until it has read them all: reads \
             go on, writes wait. Set a lock_timeout, and take a quiet hour where they are large."
                .to_owned(),
        ],
        ..Remedy::default()
    }
}
