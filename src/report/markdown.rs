//! The report for a ticket.

use super::{
    CheckReport, Extent, SkippedRule, UNFOLD, folded_rule, place_of, price, runnable, statement, visible,
};
use crate::model::finding::Finding;

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
    format!("{fence}sql\n{sql}\n{fence}\n")
}

/// Statements to run as one block under a word that says what they are for; nothing where there are none.
fn statements(what: &str, sql: &[String]) -> String {
    let lines: Vec<String> = sql.iter().map(|sql| format!("{};", runnable(sql))).collect();
    match sql {
        [] => String::new(),
        _ => format!("{what}:\n\n{}\n", block(&lines.join("\n"))),
    }
}

fn place(database: Option<&String>) -> String {
    database
        .map(|name| format!(" in {}", escaped(name)))
        .unwrap_or_default()
}

/// The whole report, or the few findings that cost most and what the others come to.
pub fn markdown(report: &CheckReport, extent: Extent) -> String {
    let mut out = format!("# {}\n", escaped(&report.headline()));
    let (findings, rest) = report.told(extent);
    findings.into_iter().for_each(|one| out.push_str(&finding(one)));
    if !rest.is_empty() {
        let count: usize = rest.iter().map(|folded| folded.count).sum();
        out.push_str(&format!(
            "\n## {count} more, by rule\n\nEach with `{UNFOLD}`.\n\n"
        ));
        for folded in rest {
            let (told, rule) = (escaped(&folded_rule(&folded)), &folded.rule);
            out.push_str(&format!("- {told}: `pgadvisor check --rule {rule}`\n"));
        }
    }
    if !report.skipped.is_empty() {
        out.push_str("\n## Cannot tell\n\n");
        report.skipped.iter().for_each(|one| out.push_str(&skipped(one)));
    }
    if !report.ignored.is_empty() {
        out.push_str(&format!("\n## Left out ({})\n\n", report.ignored.len()));
        for ignored in &report.ignored {
            let (title, reason) = (escaped(&ignored.title), escaped(&ignored.reason));
            let place = escaped(&place_of(ignored));
            out.push_str(&format!("- `{}`{place}: {title} ({reason})\n", ignored.rule));
        }
    }
    out
}

fn finding(finding: &Finding) -> String {
    let claim = &finding.claim;
    let mut out = format!(
        "\n## {}: {}\n\n`{}`{}, {}, fingerprint `{}`\n\n{}\n\n",
        claim.severity.word(),
        escaped(&claim.title),
        claim.rule,
        place(claim.database.as_ref()),
        claim.confidence.level.word(),
        finding.fingerprint,
        escaped(&claim.explanation),
    );
    if let Some((id, text)) = statement(finding) {
        out.push_str(&format!("The statement {}:\n\n{}\n", escaped(id), block(&text)));
    }
    let evidence: Vec<String> = claim.evidence_sql.iter().cloned().collect();
    out.push_str(&statements("See it yourself", &evidence));
    out.push_str(&statements("Run", &claim.remedy.apply_sql));
    if let Some(price) = price(&claim.remedy) {
        out.push_str(&format!("It costs: {}\n\n", escaped(&price)));
    }
    out.push_str(&statements("Undo", &claim.remedy.undo_sql));
    if !claim.guards.is_empty() {
        let guards = escaped(&claim.guards.join("; "));
        out.push_str(&format!("Checked: {guards}\n\n"));
    }
    for caveat in &claim.remedy.caveats {
        out.push_str(&format!("- {}\n", escaped(caveat)));
    }
    out
}

fn skipped(skipped: &SkippedRule) -> String {
    let mut out = format!(
        "- `{}`{}: {}\n",
        skipped.rule,
        place(skipped.database.as_ref()),
        escaped(&skipped.reason)
    );
    if let Some(sql) = &skipped.remedy_sql {
        let block = block(&format!("{};", runnable(sql)));
        // indented, it belongs to the item
        block
            .lines()
            .for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn no_name_leaves_its_place() {
        assert_eq!(escaped("<a>|[x](y)"), "\\<a\\>\\|\\[x\\]\\(y\\)");
        assert!(block("a ````` b").starts_with("``````sql\n"));
    }

    #[test]
    fn a_finding_says_what_to_run_and_what_that_costs() {
        let about = testing::about_an_index();
        let text = finding(&about);
        for part in [
            format!("fingerprint `{}`", about.fingerprint),
            "See it yourself:\n\n```sql\nSELECT 1\n  FROM pg_catalog.pg_index;\n```\n".to_owned(),
            "Run:\n\n```sql\nDROP INDEX CONCURRENTLY shop.U&\"a\\202E\";\n```\n".to_owned(),
            "It costs: lock SHARE UPDATE EXCLUSIVE, no rewrite, 20\\.0 MiB of disk, about 6\\.0 s\n"
                .to_owned(),
            "Undo:\n\n```sql\nCREATE INDEX".to_owned(),
            "Checked: supports no constraint; not checked: duration\n".to_owned(),
            "- Not during a bulk load".to_owned(),
        ] {
            assert!(text.contains(&part), "{part:?} is not in\n{text}");
        }
        let text = finding(&testing::about_a_statement());
        let shown = "The statement 0123456789abcdef:\n\n```sql\nSELECT a\nFROM t\\u{202e}\n```\n";
        assert!(text.contains(shown), "{text}");
    }

    #[test]
    fn what_costs_less_is_folded_as_in_the_text() {
        let report = testing::of_many();
        let folded = markdown(&report, Extent::Few);
        assert_eq!(folded.matches(" is not used").count(), 3, "{folded}");
        let line = "- 37 more index\\.unused \\(37\\.0 GiB\\): `pgadvisor check --rule index.unused`\n";
        assert!(folded.contains(line), "{folded}");
        assert_eq!(
            markdown(&report, Extent::Every).matches(" is not used").count(),
            40
        );
    }

    #[test]
    fn what_cannot_be_told_comes_with_its_grant() {
        let text = skipped(&SkippedRule {
            rule: "query.slow_mean".to_owned(),
            database: Some("a_b".to_owned()),
            reason: "no right".to_owned(),
            remedy_sql: Some("GRANT pg_monitor TO x".to_owned()),
        });
        let expected = "- `query.slow_mean` in a\\_b: no right\n  ```sql\n  GRANT pg_monitor TO x;\n  ```\n";
        assert_eq!(text, expected);
    }
}
