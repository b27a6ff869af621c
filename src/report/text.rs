//! The report for a terminal or a mail: the worst first, each with what to run.

use super::{CheckReport, price, runnable, statement, visible};
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
    pub(super) fn paint(self, code: &str, text: &str) -> String {
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
                out.push_str(&indented(6, &format!("{};", runnable(sql))));
            }
        }
    }
    if !report.ignored.is_empty() {
        out.push_str(&format!("\n{}\n", style.paint("1", "Left out")));
        for ignored in &report.ignored {
            out.push_str(&format!(
                "  {}: {} ({}{})\n",
                ignored.rule,
                visible(&ignored.title),
                visible(&ignored.reason),
                ignored
                    .until
                    .map(|until| format!(", until {until}"))
                    .unwrap_or_default()
            ));
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
    if let Some((id, text)) = statement(finding) {
        out.push_str(&format!("  statement {}\n{}", visible(id), indented(4, &text)));
    }
    let evidence: Vec<String> = claim.evidence_sql.iter().cloned().collect();
    out.push_str(&statements("see it yourself", &evidence));
    out.push_str(&statements("run", &claim.remedy.apply_sql));
    if let Some(price) = price(&claim.remedy) {
        out.push_str(&format!("  {}\n", visible(&price)));
    }
    out.push_str(&statements("undo", &claim.remedy.undo_sql));
    if !claim.guards.is_empty() {
        let guards = format!("checked: {}", claim.guards.join("; "));
        out.push_str(&format!("  {}\n", style.paint("2", &visible(&guards))));
    }
    for caveat in &claim.remedy.caveats {
        out.push_str(&format!("  {}\n", style.paint("2", &visible(caveat))));
    }
    out
}

/// SQL under a word that says what it is for; nothing where there is none.
fn statements(what: &str, sql: &[String]) -> String {
    let lines = sql.iter().map(|sql| indented(4, &format!("{};", runnable(sql))));
    match sql {
        [] => String::new(),
        _ => lines.fold(format!("  {what}\n"), |text, lines| text + &lines),
    }
}

fn indented(by: usize, text: &str) -> String {
    let line = |line: &str| format!("{:by$}{line}\n", "");
    text.split('\n').map(line).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn a_finding_says_what_to_run_and_what_that_costs() {
        let text = finding_text(&testing::about_an_index(), Style::Plain);
        for part in [
            "  see it yourself\n    SELECT 1\n      FROM pg_catalog.pg_index;\n",
            "  run\n    DROP INDEX CONCURRENTLY shop.U&\"a\\202E\";\n",
            "  lock SHARE UPDATE EXCLUSIVE, no rewrite, 20.0 MiB of disk, about 6.0 s\n",
            "  undo\n    CREATE INDEX CONCURRENTLY U&\"a\\202E\" ON shop.t (b);\n",
            "  checked: supports no constraint; not checked: duration\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("  statement"));
    }

    #[test]
    fn a_statement_is_named_and_shown() {
        let text = finding_text(&testing::about_a_statement(), Style::Plain);
        assert!(
            text.contains("  statement 0123456789abcdef\n    SELECT a\n    FROM t\\u{202e}\n"),
            "{text}"
        );
        let mut long = testing::about_a_statement();
        long.claim.evidence["statement"] = "x".repeat(5000).into();
        let text = finding_text(&long, Style::Plain);
        assert!(text.contains("x …\n") && text.len() < 3000, "{}", text.len());
    }
}
