//! The report for a ticket.

use super::{CheckReport, visible, visible_lines};

/// A text from a server between Markdown's own characters.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in visible(text).chars() {
        if "\\`*_{}[]<>()#+-.!|~&".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// SQL as a block; the fence is longer than any that the SQL holds.
fn block(sql: &str) -> String {
    let longest = sql.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sql\n{};\n{fence}\n", visible_lines(sql))
}

/// The whole report.
pub fn markdown(report: &CheckReport) -> String {
    let mut out = format!("# {}\n", escaped(&report.headline()));
    for finding in &report.findings {
        let claim = &finding.claim;
        let database = claim
            .database
            .as_ref()
            .map(|name| format!(" in {}", escaped(name)))
            .unwrap_or_default();
        out.push_str(&format!(
            "\n## {}: {}\n\n",
            claim.severity.word(),
            escaped(&claim.title)
        ));
        out.push_str(&format!(
            "`{}`{database}, {}\n\n",
            claim.rule,
            claim.confidence.level.word()
        ));
        out.push_str(&format!("{}\n\n", escaped(&claim.explanation)));
        claim
            .remedy
            .apply_sql
            .iter()
            .for_each(|sql| out.push_str(&block(sql)));
        for caveat in &claim.remedy.caveats {
            out.push_str(&format!("- {}\n", escaped(caveat)));
        }
    }
    if !report.skipped.is_empty() {
        out.push_str("\n## Cannot tell\n\n");
        for skipped in &report.skipped {
            let database = skipped
                .database
                .as_ref()
                .map(|name| format!(" in {}", escaped(name)))
                .unwrap_or_default();
            out.push_str(&format!(
                "- `{}`{database}: {}\n",
                skipped.rule,
                escaped(&skipped.reason)
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place() {
        assert_eq!(escaped("<a>|[x](y)"), "\\<a\\>\\|\\[x\\]\\(y\\)");
        assert!(block("a ````` b").starts_with("``````sql\n"));
    }
}
