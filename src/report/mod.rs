//! Findings for standard output: text for people, JSON and NDJSON for programs, Markdown for tickets. Everything that
//! came from a server is made harmless for the reader that it is meant for.

pub mod advise;
mod markdown;
pub mod plan;
pub mod refresh;
pub mod setup;
mod sql;
#[cfg(test)]
mod testing;
mod text;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::model::finding::{Finding, Impact, Links, ObjectKind, Remedy, Severity, State, Window};
use crate::model::fold::{FoldedRule, fold};
use crate::model::judgement::{Ignored, Judgement, RuleOutcome, Verdict};
use crate::model::snapshot::Snapshot;
use crate::model::unit::{bytes_for_people, seconds_for_people};

pub use markdown::markdown;
pub use sql::runnable;
pub use text::{Style, finding_of_a_server_text, finding_text, text};

/// How many of its findings a report for people tells; one for programs always tells every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The few that cost most; the rest by rule.
    Few,
    /// Every one.
    Every,
}

/// What `pgadvisor check` answers: `check.schema.json`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct CheckReport {
    pub schema_version: u32,
    pub generated_at: DateTime<Utc>,
    pub advisor_version: &'static str,
    pub server: CheckedServer,
    pub window: Option<Window>,
    pub findings: Vec<Finding>,
    pub skipped: Vec<SkippedRule>,
    /// What was found and left out, because somebody does not want to hear of it.
    pub ignored: Vec<Ignored>,
    pub summary: Summary,
}

/// The server that was looked at.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct CheckedServer {
    pub name: String,
    pub version_num: i32,
    pub system_identifier: Option<String>,
    pub is_standby: bool,
    pub databases: Vec<String>,
}

/// A rule that could not be judged somewhere, or could not tell of everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct SkippedRule {
    pub rule: String,
    pub database: Option<String>,
    pub reason: String,
    pub remedy_sql: Option<String>,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Summary {
    pub critical: usize,
    pub warning: usize,
    pub info: usize,
    pub skipped: usize,
    pub ignored: usize,
    pub rules_run: usize,
}

impl CheckReport {
    /// The report of one judged look. Nothing is stored, so every finding is open and new.
    pub fn new(snapshot: &Snapshot, judgement: Judgement, generated_at: DateTime<Utc>) -> Self {
        let skipped = skipped(&judgement);
        let evaluated = |outcome: &&RuleOutcome| matches!(outcome.verdict, Verdict::Evaluated { .. });
        let mut rules: Vec<&str> = judgement
            .outcomes
            .iter()
            .filter(evaluated)
            .map(|outcome| outcome.rule.as_str())
            .collect();
        rules.sort_unstable();
        rules.dedup();
        let rules_run = rules.len();
        let finding = |claim: crate::model::finding::Claim| Finding {
            fingerprint: claim.fingerprint(),
            claim,
            state: State::Open,
            first_seen_at: generated_at,
            last_seen_at: generated_at,
            acknowledged_by: None,
            snoozed_until: None,
            links: Links::default(),
        };
        let findings: Vec<Finding> = judgement.claims.into_iter().map(finding).collect();
        let count = |severity| {
            findings
                .iter()
                .filter(|finding| finding.claim.severity == severity)
                .count()
        };
        let windows = findings
            .iter()
            .filter_map(|finding| finding.claim.evidence_window);
        let window = windows.reduce(|a, b| Window {
            from: a.from.min(b.from),
            to: a.to.max(b.to),
        });
        let server = &snapshot.server;
        Self {
            schema_version: 1,
            generated_at,
            advisor_version: env!("CARGO_PKG_VERSION"),
            server: CheckedServer {
                name: server.name.clone(),
                version_num: server.version_num,
                system_identifier: server.system_identifier.clone(),
                is_standby: server.is_standby,
                databases: snapshot
                    .databases
                    .iter()
                    .map(|database| database.name.clone())
                    .collect(),
            },
            window,
            summary: Summary {
                critical: count(Severity::Critical),
                warning: count(Severity::Warning),
                info: count(Severity::Info),
                skipped: skipped.len(),
                ignored: judgement.ignored.len(),
                rules_run,
            },
            findings,
            skipped,
            ignored: judgement.ignored,
        }
    }

    /// Whether not one rule could be judged.
    pub fn everything_was_skipped(&self) -> bool {
        self.summary.rules_run == 0
    }

    /// What a report for people tells: findings, and what is folded away.
    fn told(&self, extent: Extent) -> (Vec<&Finding>, Vec<FoldedRule>) {
        match extent {
            Extent::Every => (self.findings.iter().collect(), Vec::new()),
            Extent::Few => {
                let folded = fold(&self.findings);
                (folded.shown, folded.rest)
            }
        }
    }

    /// The first line of every format for people.
    pub fn headline(&self) -> String {
        let server = visible(&self.server.name);
        if self.everything_was_skipped() {
            return format!("{server}: every rule was skipped; nothing is known of this server");
        }
        let summary = &self.summary;
        format!(
            "{server}: {} critical, {} warning, {} info; {} skipped, {} rules judged",
            summary.critical, summary.warning, summary.info, summary.skipped, summary.rules_run
        )
    }
}

fn skipped(judgement: &Judgement) -> Vec<SkippedRule> {
    let of_all = |outcome: &RuleOutcome| {
        let (reason, remedy_sql) = match &outcome.verdict {
            Verdict::Skipped { reason, remedy_sql } => (reason.clone(), remedy_sql.clone()),
            Verdict::Evaluated {
                untold: Some(untold), ..
            } => (untold.clone(), None),
            Verdict::Elsewhere { reason } => (reason.clone(), None),
            Verdict::Evaluated { .. } => return None,
        };
        Some(SkippedRule {
            rule: outcome.rule.clone(),
            database: outcome.database.clone(),
            reason,
            remedy_sql,
        })
    };
    let outcomes = judgement.outcomes.iter();
    outcomes
        .flat_map(|outcome| of_all(outcome).into_iter().chain(own_skipped(outcome)))
        .collect()
}

/// What could not be told of things with settings of their own.
fn own_skipped(outcome: &RuleOutcome) -> impl Iterator<Item = SkippedRule> {
    outcome.own_untold().map(move |own| SkippedRule {
        rule: outcome.rule.clone(),
        database: outcome.database.clone(),
        reason: own.untold().unwrap_or_default(),
        remedy_sql: own.verdict.remedy_sql().map(str::to_owned),
    })
}

/// Where a problem is that is left out, and what it is about: ` in sales, index legacy.a_idx`.
fn place_of(ignored: &Ignored) -> String {
    let database = ignored.database.iter().map(|name| format!(" in {name}"));
    let object = ignored.object.iter().map(|object| format!(", {}", object.told()));
    database.chain(object).collect()
}

/// Bytes of a statement's text that a report shows.
const STATEMENT_BYTES: usize = 2000;

/// The statement that a finding is about, where it is about one: its statement_id and its text.
fn statement(finding: &Finding) -> Option<(&str, String)> {
    let object = finding.claim.object.as_ref()?;
    let text = finding.claim.evidence.get("statement")?.as_str()?;
    let shown = crate::sql::cut(text, STATEMENT_BYTES);
    let rest = if shown.len() < text.len() { " …" } else { "" };
    let of_statement = object.kind == ObjectKind::Statement;
    of_statement.then(|| (object.name.as_str(), visible_lines(shown) + rest))
}

/// What it costs, in every unit that is known: `12 days left, 38 min a day, 4.2 GiB`.
fn impacts(impact: &Impact) -> Vec<String> {
    let parts = [
        impact.days_left.map(|days| format!("{days:.0} days left")),
        impact
            .db_seconds_per_day
            .filter(|seconds| *seconds > 0.0)
            .map(|seconds| format!("{} a day", seconds_for_people(seconds))),
        impact.bytes.filter(|bytes| *bytes > 0.0).map(bytes_for_people),
    ];
    parts.into_iter().flatten().collect()
}

/// How many findings of a rule are folded away, and what they cost together: `37 more index.unused (12.4 GiB)`.
fn folded_rule(folded: &FoldedRule) -> String {
    let critical = (folded.worst == Severity::Critical).then(|| "critical among them".to_owned());
    let parts: Vec<String> = critical.into_iter().chain(impacts(&folded.impact)).collect();
    let together = match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join(", ")),
    };
    format!("{} more {}{together}", folded.count, folded.rule)
}

/// The option that unfolds a report.
const UNFOLD: &str = "--all-findings";

/// What a remedy costs while it runs: lock, rewrite, disk and time, as far as they are known.
fn price(remedy: &Remedy) -> Option<String> {
    let rewrite = |yes| if yes { "rewrites the table" } else { "no rewrite" }.to_owned();
    let parts = [
        remedy.lock.as_ref().map(|lock| format!("lock {lock}")),
        remedy.rewrites_table.map(rewrite),
        remedy
            .extra_disk_bytes
            .map(|bytes| format!("{} of disk", bytes_for_people(bytes))),
        remedy
            .expected_seconds
            .map(|seconds| format!("about {}", seconds_for_people(seconds))),
    ];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.join(", "))
}

/// Characters that a reader would not see, or that turn the order of what he sees.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What several names of the configuration are that lead to one running server: `reached under two names: a and b`.
pub fn reached_under(names: &[String]) -> String {
    let number = match names.len() {
        2 => "two".to_owned(),
        several => several.to_string(),
    };
    match names.split_last() {
        Some((last, others)) => format!("reached under {number} names: {} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// A text from a server with control, bidirectional and invisible characters made visible, in one line.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}

/// The same for a text of several lines, as SQL is.
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_every_finding_and_people_the_few() {
        let report = testing::of_many();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"].as_array().unwrap().len(), report.findings.len());
        let (few, rest) = report.told(Extent::Few);
        assert_eq!((few.len(), rest.len()), (4, 1));
        let (every, rest) = report.told(Extent::Every);
        assert_eq!((every.len(), rest.len()), (report.findings.len(), 0));
    }

    #[test]
    fn several_names_are_one_list() {
        let told = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            reached_under(&names)
        };
        assert_eq!(told(&["a", "b"]), "reached under two names: a and b");
        assert_eq!(told(&["a", "b", "c"]), "reached under 3 names: a, b and c");
    }

    #[test]
    fn terminals_see_what_is_hidden() {
        assert_eq!(visible("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(visible_lines("a\nb\r"), "a\nb\\u{d}");
        assert_eq!(visible("Å🦀"), "Å🦀");
    }
}
