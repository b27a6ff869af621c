//! Index advice for standard output: text for people, SQL to run.

use super::{Style, runnable, visible, visible_lines};
use crate::model::advice::{AdviceReport, AdvisedIndex, AdvisedStatement, StatementStatus};
use crate::model::remedy::qualified;
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// Digits in groups of three.
fn cost(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            grouped.push('\u{a0}');
        }
        grouped.push(digit);
    }
    grouped
}

/// The first line of all formats for people.
fn headline(report: &AdviceReport) -> String {
    let totals = &report.workload;
    let database = visible(&report.database);
    let planned = report
        .statements
        .iter()
        .filter(|one| one.status != StatementStatus::NotPlanned)
        .count();
    let calls = format!(
        "{planned} of {} statements planned, {} what-if calls, {}",
        totals.statements,
        totals.what_if_calls,
        seconds_for_people(totals.elapsed_seconds)
    );
    let count = match report.indexes.len() {
        0 if totals.was_stopped => {
            return format!("{database}: no index was found until it was stopped ({calls})");
        }
        0 => return format!("{database}: no index is worth its price ({calls})"),
        1 => "one index".to_owned(),
        count => format!("{count} indexes"),
    };
    let size = bytes_for_people(totals.size_bytes);
    if totals.what_if_calls == 0 {
        return format!("{database}: {count}, unproven ({calls})");
    }
    let share = 100.0 * totals.cost_after / totals.cost_before.max(f64::MIN_POSITIVE);
    format!("{database}: {count}, {size}: the workload costs {share:.1} % of what it does now ({calls})")
}

/// The report for a terminal.
pub fn text(report: &AdviceReport, style: Style) -> String {
    let mut out = format!("{}\n", style.paint("1", &headline(report)));
    for note in &report.notes {
        out.push_str(&format!("  {}\n", visible(note)));
    }
    for (number, index) in report.indexes.iter().enumerate() {
        out.push_str(&index_text(number + 1, index, report, style));
    }
    let without: Vec<&AdvisedStatement> = report
        .statements
        .iter()
        .filter(|one| one.reason.is_some())
        .collect();
    if !without.is_empty() {
        out.push_str(&format!("\n{}\n", style.paint("1", "No index for")));
        for one in without {
            let reason = one.reason.as_deref().unwrap_or_default();
            out.push_str(&format!("  {}: {}\n", label(one), visible(reason)));
        }
    }
    out
}

fn label(one: &AdvisedStatement) -> String {
    match &one.name {
        Some(name) => visible(name),
        None => format!(
            "{} ({})",
            one.statement_id,
            visible(&crate::sql::outline(&one.text))
        ),
    }
}

fn index_text(number: usize, index: &AdvisedIndex, report: &AdviceReport, style: Style) -> String {
    let on = visible(&qualified(&index.schema, &index.table));
    let size = index
        .size_bytes
        .map_or("size unknown".to_owned(), bytes_for_people);
    let saved = match (index.cost_before, index.cost_after) {
        (Some(before), Some(after)) => format!(", saves {}", cost(before - after)),
        _ => String::new(),
    };
    let build = index.build_seconds.map_or(String::new(), |seconds| {
        format!(", about {} to build", seconds_for_people(seconds))
    });
    let mut out = format!(
        "\n{}\n  {}\n",
        style.paint(
            "1",
            &format!("{number}. {} on {on}, {size}{build}{saved}", visible(&index.name))
        ),
        style.paint(
            "2",
            &format!(
                "{}: {}",
                index.confidence.level.word(),
                visible(&index.confidence.reason)
            )
        ),
    );
    out.push_str("  run\n");
    for sql in &index.apply_sql {
        out.push_str(&indented(&format!("{};", runnable(sql))));
    }
    out.push_str("  undo\n");
    for sql in &index.undo_sql {
        out.push_str(&indented(&format!("{};", runnable(sql))));
    }
    if !index.supersedes.is_empty() {
        out.push_str("  then superfluous\n");
        for sql in &index.supersedes {
            out.push_str(&indented(&format!("{};", runnable(sql))));
        }
    }
    out.push_str("  for\n");
    for one in report
        .statements
        .iter()
        .filter(|one| one.uses.contains(&index.definition))
    {
        let costs = match (one.cost_before, one.cost_after) {
            (Some(before), Some(after)) => format!(": {} → {}", cost(before), cost(after)),
            _ => String::new(),
        };
        let weight = if one.weight == 1.0 {
            String::new()
        } else {
            format!(", × {}", one.weight)
        };
        let without = one.values.iter().filter(|tried| !tried.gains());
        let without: Vec<&str> = without.map(|tried| tried.kind.words()).collect();
        let not_for_all = match without.is_empty() {
            true => String::new(),
            false => format!(", nothing for {}", without.join(" or ")),
        };
        out.push_str(&format!("    {}{costs}{weight}{not_for_all}\n", label(one)));
    }
    out
}

fn indented(text: &str) -> String {
    text.split('\n').map(|line| format!("    {line}\n")).collect()
}

/// The statements to run, each with what it is for.
pub fn sql(report: &AdviceReport) -> String {
    let comment = |text: &str| -> String { text.lines().map(|line| format!("-- {line}\n")).collect() };
    let mut out = comment(&headline(report));
    for note in &report.notes {
        out.push_str(&comment(&visible_lines(note)));
    }
    for index in &report.indexes {
        let size = index
            .size_bytes
            .map_or("size unknown".to_owned(), bytes_for_people);
        out.push('\n');
        out.push_str(&comment(&format!(
            "{}, {}: {}",
            size,
            index.confidence.level.word(),
            visible(&index.confidence.reason)
        )));
        for sql in &index.undo_sql {
            out.push_str(&comment(&format!("undo: {};", visible_lines(sql))));
        }
        for sql in &index.apply_sql {
            out.push_str(&format!("{};\n", runnable(sql)));
        }
    }
    out
}
