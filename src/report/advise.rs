//! Index advice for standard output: text for people, SQL to run.

mod plans;
mod price;
#[cfg(test)]
mod tests;

use super::{Style, runnable, visible, visible_lines};
use crate::model::advice::{AdviceReport, AdvisedIndex, AdvisedStatement, StatementStatus};
use crate::model::remedy::qualified;
use crate::model::unit::{bytes_for_people, seconds_for_people};
use crate::sql as parser;

/// Statements that are named for each index: those that gain most.
const USERS: usize = 10;
/// Statements that are named for each reason why there is no index for them.
const PER_REASON: usize = 5;

/// Two decimals of little, and digits in groups of three of much.
fn cost(value: f64) -> String {
    match value < 100.0 {
        true => format!("{value:.2}"),
        false => grouped(value),
    }
}

/// Digits in groups of three.
fn grouped(value: f64) -> String {
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
        0 if report.statements.is_empty() => {
            return format!("{database}: there was no statement to plan ({calls})");
        }
        0 if planned == 0 && report.statements.iter().any(|one| !one.only_inserts()) => {
            return format!("{database}: no statement could be planned ({calls})");
        }
        0 => return format!("{database}: no index is known to be worth its price ({calls})"),
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
    out.push_str(&plans::text(report, style));
    out.push_str(&dearer_text(report, style));
    out.push_str(&without_index_text(report, style));
    out
}

/// A statement by its name, else by its identity and its beginning, in which no constant is shown.
fn label(one: &AdvisedStatement) -> String {
    if let Some(name) = &one.name {
        return visible(name);
    }
    let text = parser::query_within(&one.text).unwrap_or_else(|| one.text.clone());
    let shown = match parser::without_constants(&text) {
        Some(plain) => parser::outline(&plain),
        // the first of them is often a SET
        None if parser::holds_several(&text) => "several statements".to_owned(),
        None => [parser::command(&one.text), "…".to_owned()]
            .join(" ")
            .trim()
            .to_owned(),
    };
    format!("{} ({})", one.statement_id, visible(&shown))
}

/// What one call costs, now and then, and how much it counts: `: 1 200 → 12.00, × 20`.
fn costs(one: &AdvisedStatement) -> String {
    let costs = match (one.cost_before, one.cost_after) {
        (Some(before), Some(after)) => format!(": {} → {}", cost(before), cost(after)),
        _ => String::new(),
    };
    match one.weight == 1.0 {
        true => costs,
        false => format!("{costs}, × {}", one.weight),
    }
}

/// What the workload saves in this statement, in the planner's units.
fn saved(one: &AdvisedStatement) -> f64 {
    let costs = one.cost_before.zip(one.cost_after);
    costs.map_or(0.0, |(before, after)| one.weight * (before - after))
}

/// Those that gain most first.
fn by_gain<'a>(statements: impl Iterator<Item = &'a AdvisedStatement>) -> Vec<&'a AdvisedStatement> {
    let mut statements: Vec<&AdvisedStatement> = statements.collect();
    statements.sort_by(|a, b| saved(b).total_cmp(&saved(a)));
    statements
}

fn index_text(number: usize, index: &AdvisedIndex, report: &AdviceReport, style: Style) -> String {
    let on = visible(&qualified(&index.schema, &index.table));
    let size = size(index);
    let saved = match (index.cost_before, index.cost_after) {
        (Some(before), Some(after)) => {
            format!(", saves {} of the planner's cost units", cost(before - after))
        }
        _ => String::new(),
    };
    let title = format!("{number}. {} on {on}, {size}{saved}", visible(&index.name));
    let mut out = format!(
        "\n{}\n  {}\n  {}\n  {}\n",
        style.paint("1", &title),
        style.paint("2", &confidence(index)),
        price::build(index),
        price::writes(index, &report.workload),
    );
    let seen = match &above(number - 1, report)[..] {
        [] => "this one is".to_owned(),
        names => format!("this one and {} are", names.join(", ")),
    };
    let superfluous = format!("then superfluous, once {seen} seen in use");
    for (what, statements) in [
        ("run", &index.apply_sql),
        ("undo", &index.undo_sql),
        (superfluous.as_str(), &index.supersedes),
    ] {
        if !statements.is_empty() {
            out.push_str(&format!("  {what}\n"));
        }
        for sql in statements {
            out.push_str(&indented(&format!("{};", runnable(sql))));
        }
    }
    out.push_str("  for\n");
    out.push_str(&users(index, report));
    out
}

/// The statements whose plans take an index.
fn users(index: &AdvisedIndex, report: &AdviceReport) -> String {
    let users = report.statements.iter();
    let users = by_gain(users.filter(|one| one.uses.contains(&index.definition)));
    let mut out = String::new();
    for one in users.iter().take(USERS) {
        let without = one.values.iter().filter(|tried| !tried.gains());
        let without: Vec<&str> = without.map(|tried| tried.kind.words()).collect();
        let not_for_all = match without.is_empty() {
            true => String::new(),
            false => format!(", nothing for {}", without.join(" or ")),
        };
        out.push_str(&format!("    {}{}{not_for_all}\n", label(one), costs(one)));
    }
    if users.len() > USERS {
        let more = users.len() - USERS;
        out.push_str(&format!(
            "    … {more} more, which gain less: --format json has all\n"
        ));
    }
    out
}

/// Every statement that the set makes worse, the worst first.
fn dearer_text(report: &AdviceReport, style: Style) -> String {
    let mut dearer = by_gain(report.statements.iter().filter(|one| one.is_dearer()));
    dearer.reverse();
    let lines = dearer
        .iter()
        .map(|one| format!("  {}{}\n", label(one), costs(one)));
    match dearer.is_empty() {
        true => String::new(),
        false => format!("\n{}\n", style.paint("1", "Dearer")) + &lines.collect::<String>(),
    }
}

/// The statements for which there is no index, and why; then those that have one and may lack another.
fn without_index_text(report: &AdviceReport, style: Style) -> String {
    let has_one = |one: &AdvisedStatement| one.cost_after.is_some() && !one.uses.is_empty();
    let none = reasons_text(report, style, "No index for", &|one| !has_one(one));
    none + &reasons_text(report, style, "Perhaps another index for", &has_one)
}

/// What is to be said of these statements; those of one reason together.
fn reasons_text(
    report: &AdviceReport,
    style: Style,
    heading: &str,
    is_told: &dyn Fn(&AdvisedStatement) -> bool,
) -> String {
    let mut by_reason: Vec<(&str, Vec<&AdvisedStatement>)> = Vec::new();
    let told = report.statements.iter().filter(|one| is_told(one));
    for one in told.filter(|one| !one.is_dearer()) {
        let Some(reason) = one.reason.as_deref() else {
            continue;
        };
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, statements)) => statements.push(one),
            None => by_reason.push((reason, vec![one])),
        }
    }
    if by_reason.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", style.paint("1", heading));
    for (reason, statements) in by_reason {
        if let [one] = &statements[..] {
            out.push_str(&format!("  {}: {}\n", label(one), visible(reason)));
            continue;
        }
        out.push_str(&format!("  {}\n", visible(reason)));
        // what several roles run is one for a reader
        let mut labels: Vec<String> = Vec::new();
        for label in statements.iter().map(|one| label(one)) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        for label in labels.iter().take(PER_REASON) {
            out.push_str(&format!("    {label}\n"));
        }
        if labels.len() > PER_REASON {
            let more = labels.len() - PER_REASON;
            out.push_str(&format!("    … {more} more: --format json has all\n"));
        }
    }
    out
}

fn size(index: &AdvisedIndex) -> String {
    index
        .size_bytes
        .map_or("size unknown".to_owned(), bytes_for_people)
}

fn confidence(index: &AdvisedIndex) -> String {
    let confidence = &index.confidence;
    format!("{}: {}", confidence.level.word(), visible(&confidence.reason))
}

fn indented(text: &str) -> String {
    text.split('\n').map(|line| format!("    {line}\n")).collect()
}

/// Each line as a comment of SQL. Characters that end a line for PostgreSQL but not here must have been made visible before.
fn comment(text: &str) -> String {
    text.split('\n').map(|line| format!("-- {line}\n")).collect()
}

/// The statements to run, each with what it is for.
pub fn sql(report: &AdviceReport) -> String {
    let mut out = comment(&headline(report));
    for note in &report.notes {
        out.push_str(&comment(&visible_lines(note)));
    }
    for (position, index) in report.indexes.iter().enumerate() {
        out.push('\n');
        out.push_str(&comment(&format!("{}, {}", size(index), confidence(index))));
        out.push_str(&comment(&price::build(index)));
        out.push_str(&comment(&price::writes(index, &report.workload)));
        for sql in &index.undo_sql {
            out.push_str(&comment(&format!("undo: {};", runnable(sql))));
        }
        for sql in &index.apply_sql {
            out.push_str(&format!("{};\n", runnable(sql)));
        }
        out.push_str(&superseded(index, &above(position, report)));
    }
    out.push_str(&not_planned(report));
    out
}

/// How many statements were not planned for each reason, most first, and which: by their ids, for a script is passed on.
fn not_planned(report: &AdviceReport) -> String {
    let totals = &report.workload;
    let mut by_reason: Vec<(&String, &Vec<String>)> = totals.not_planned.iter().collect();
    by_reason.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
    let count: usize = by_reason.iter().map(|(_, ids)| ids.len()).sum();
    if count == 0 {
        return String::new();
    }
    let heading = format!("not planned: {count} of {} statements", totals.statements);
    let mut out = format!("\n{}", comment(&heading));
    for (reason, ids) in by_reason {
        let mut named: Vec<String> = ids.iter().take(PER_REASON).map(|id| visible(id)).collect();
        if ids.len() > PER_REASON {
            named.push(format!("… {} more", ids.len() - PER_REASON));
        }
        let line = format!("{}: {} ({})", ids.len(), visible(reason), named.join(", "));
        out.push_str(&comment(&line));
    }
    out
}

/// The indexes of the same table that are told before the one in this position: what is superfluous after it may be so by them, too.
fn above(position: usize, report: &AdviceReport) -> Vec<String> {
    let (before, rest) = report.indexes.split_at(position);
    let own = rest.first().map(|own| (&own.schema, &own.table));
    let of_the_table = before.iter().filter(|one| own == Some((&one.schema, &one.table)));
    of_the_table.map(|one| visible(&one.name)).collect()
}

/// Drops of what an index makes needless, with those above it, not to be run at once: a plan that still takes the old index shows only
/// in use.
fn superseded(index: &AdvisedIndex, above: &[String]) -> String {
    if index.supersedes.is_empty() {
        return String::new();
    }
    let name = visible(&index.name);
    let are = match above {
        [] => format!("{name} is"),
        above => format!("{} and {name} are", above.join(", ")),
    };
    let mut out = comment(&format!(
        "not yet: superfluous once {are} there and seen in use (idx_scan in pg_stat_user_indexes)"
    ));
    for sql in &index.supersedes {
        out.push_str(&comment(&format!("{};", runnable(sql))));
    }
    out
}
