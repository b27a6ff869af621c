//! What to do, in the order of the findings: a part of the overview.

use serde::Serialize;
use utoipa::ToSchema;

use super::present;
use super::row::Row;
use crate::model::finding::Finding;
use crate::model::fold::FoldedRule;
use crate::model::unit::bytes_for_people;

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
    pub(super) fn list(rest: &[FoldedRule]) -> Vec<Self> {
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
pub(super) fn groups(shown: &[Finding]) -> Vec<Group> {
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
