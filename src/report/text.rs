//! The report for a terminal or a mail: the worst first, each with what to run.

use super::{
    CheckReport, Extent, SkippedRule, UNFOLD, folded_rule, impacts, place_of, price, runnable, statement,
    visible,
};
use crate::model::finding::{Finding, Severity};
use crate::model::fold::FoldedRule;

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

/// The whole report, or the few findings that cost most and what the others come to.
pub fn text(report: &CheckReport, extent: Extent, style: Style) -> String {
    let mut out = format!("{}\n", style.paint("1", &report.headline()));
    let (findings, rest) = report.told(extent);
    for finding in findings {
        out.push('\n');
        out.push_str(&finding_text(finding, style));
    }
    if !rest.is_empty() {
        out.push_str(&folded_text(&rest, style));
    }
    if !report.skipped.is_empty() {
        out.push_str(&format!("\n{}\n", style.paint("1", "Cannot tell")));
        report
            .skipped
            .iter()
            .for_each(|one| out.push_str(&skipped_text(one)));
    }
    if !report.ignored.is_empty() {
        let heading = format!("Left out ({})", report.ignored.len());
        out.push_str(&format!("\n{}\n", style.paint("1", &heading)));
        for ignored in &report.ignored {
            out.push_str(&format!(
                "  {}{}: {} ({}{})\n",
                ignored.rule,
                visible(&place_of(ignored)),
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

/// What is folded away, with what tells it.
fn folded_text(rest: &[FoldedRule], style: Style) -> String {
    let count: usize = rest.iter().map(|folded| folded.count).sum();
    let heading = format!("{count} more, by rule");
    let mut out = format!("\n{}, each with {UNFOLD}\n", style.paint("1", &heading));
    for folded in rest {
        out.push_str(&format!(
            "  + {}: pgadvisor check --rule {}\n",
            folded_rule(folded),
            folded.rule
        ));
    }
    out
}

/// A rule that could not be judged, and what mends that.
fn skipped_text(skipped: &SkippedRule) -> String {
    let database = skipped
        .database
        .as_ref()
        .map(|name| format!(" in {}", visible(name)))
        .unwrap_or_default();
    let reason = visible(&skipped.reason);
    let remedy = skipped
        .remedy_sql
        .as_ref()
        .map(|sql| indented(6, &format!("{};", runnable(sql))))
        .unwrap_or_default();
    format!("  {}{database}: {reason}\n{remedy}", skipped.rule)
}

/// One finding of some server in a few lines.
pub fn finding_of_a_server_text(finding: &Finding, style: Style) -> String {
    let server = visible(&finding.claim.server);
    let place = match &finding.claim.database {
        Some(database) => format!(" in {server}, {}", visible(database)),
        None => format!(" in {server}"),
    };
    told(finding, &place, style)
}

/// One finding in a few lines, where it is clear which server is meant.
pub fn finding_text(finding: &Finding, style: Style) -> String {
    let database = finding.claim.database.as_ref();
    let place = database.map_or(String::new(), |name| format!(" in {}", visible(name)));
    told(finding, &place, style)
}

fn told(finding: &Finding, place: &str, style: Style) -> String {
    let claim = &finding.claim;
    // in one unit: the first that is known
    let impact = impacts(&claim.impact)
        .first()
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
        assert!(!text.contains("index.unused in main"), "{text}");
        let of_several = finding_of_a_server_text(&testing::about_an_index(), Style::Plain);
        assert!(of_several.contains("  index.unused in main, "), "{of_several}");
    }

    #[test]
    fn what_costs_less_is_folded_and_can_be_unfolded() {
        let report = testing::of_many();
        let folded = text(&report, Extent::Few, Style::Plain);
        assert_eq!(folded.matches(" is not used").count(), 3, "{folded}");
        for part in [
            "  statement 0123456789abcdef\n",
            "\n37 more, by rule, each with --all-findings\n",
            "  + 37 more index.unused (37.0 GiB): pgadvisor check --rule index.unused\n",
        ] {
            assert!(folded.contains(part), "{part:?} is not in\n{folded}");
        }
        let whole = text(&report, Extent::Every, Style::Plain);
        assert_eq!(whole.matches(" is not used").count(), 40);
        assert!(!whole.contains("by rule"));
    }

    #[test]
    fn what_is_left_out_is_counted_and_named() {
        let mut report = testing::of_many();
        report.ignored = vec![testing::left_out(), testing::left_out()];
        let text = text(&report, Extent::Few, Style::Plain);
        let line = "\nLeft out (2)\n  index.unused in sales, index legacy.a\\u{202e}: A title (goes away)\n";
        assert!(text.contains(line), "{text}");
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
