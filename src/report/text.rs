//! The report for a terminal or a mail: the worst first, each with what to run.

use super::{CheckReport, visible, visible_lines};
use crate::model::finding::{Finding, Impact, Severity};
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Style {
    Plain,
    Colour,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    fn severity(self, severity: Severity) -> String {
        match severity {
            Severity::Critical => self.paint("1;31", "◆ critical"),
            Severity::Warning => self.paint("1;33", "▲ warning "),
            Severity::Info => self.paint("34", "● info    "),
        }
    }
}

/// The whole report.
pub fn text(report: &CheckReport, style: Style) -> String {
    let mut out = format!("{}\n", style.paint("1", &report.headline()));
    for finding in &report.findings {
        out.push('\n');
        out.push_str(&finding_text(finding, style));
    }
    if !report.skipped.is_empty() {
        out.push_str(&format!("\n{}\n", style.paint("1", "Cannot tell")));
        for skipped in &report.skipped {
            let database = skipped
                .database
                .as_ref()
                .map(|name| format!(" in {}", visible(name)))
                .unwrap_or_default();
            out.push_str(&format!(
                "  {}{database}: {}\n",
                skipped.rule,
                visible(&skipped.reason)
            ));
            if let Some(sql) = &skipped.remedy_sql {
                out.push_str(&format!("      {};\n", visible(sql)));
            }
        }
    }
    out
}

/// One finding in a few lines.
pub fn finding_text(finding: &Finding, style: Style) -> String {
    let claim = &finding.claim;
    let place = claim
        .database
        .as_ref()
        .map(|name| format!(" in {}", visible(name)))
        .unwrap_or_default();
    let impact = impact(&claim.impact)
        .map(|impact| format!(", {impact}"))
        .unwrap_or_default();
    let mut out = format!(
        "{} {}{impact}\n",
        style.severity(claim.severity),
        style.paint("1", &visible(&claim.title))
    );
    let meta = format!(
        "{}{place} · {} · {}",
        claim.rule,
        claim.confidence.level.word(),
        finding.fingerprint
    );
    out.push_str(&format!(
        "  {}\n  {}\n",
        style.paint("2", &meta),
        visible(&claim.explanation)
    ));
    for sql in &claim.remedy.apply_sql {
        out.push_str(&format!("    {};\n", visible_lines(sql).replace('\n', "\n    ")));
    }
    for caveat in &claim.remedy.caveats {
        out.push_str(&format!("  {}\n", style.paint("2", &visible(caveat))));
    }
    out
}

/// What it costs, in one unit.
fn impact(impact: &Impact) -> Option<String> {
    if let Some(days) = impact.days_left {
        return Some(format!("{days:.0} days left"));
    }
    if let Some(seconds) = impact.db_seconds_per_day {
        return Some(format!("{} a day", seconds_for_people(seconds)));
    }
    impact.bytes.map(bytes_for_people)
}
