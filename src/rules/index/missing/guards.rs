//! What was checked before an index is said to be missing, and what was not.

use super::gain::Gain;
use super::why_stopped;
use crate::model::advice::{Advised, TriedValue, ValueKind};
use crate::model::snapshot::ServerFacts;
use crate::model::unit::plural;
use crate::rules::Guards;

/// What was asked of the planner, and of the table.
pub(super) fn guards(advised: &Advised, gains: &[Gain<'_>], server: &ServerFacts) -> Guards {
    let mut guards = Guards::default();
    let in_place = "every statement that could be planned was planned with all advised indexes in place";
    let stopped = why_stopped(advised);
    match &stopped {
        None => guards.checked(in_place),
        Some(why) => guards.not_checked(format!("{in_place} ({why})")),
    }
    guards.checked("planned for parameters in general: the generic plan, which serves all values alike");
    let all = gains.iter().flat_map(|gain| &gain.statement.values);
    let (tried, further): (Vec<&TriedValue>, Vec<&TriedValue>) = all.partition(|one| one.kind.is_value());
    let without = |kind: ValueKind| {
        tried
            .iter()
            .filter(|one| one.kind == kind && !one.gains())
            .count()
    };
    let common = without(ValueKind::Commonest);
    if !tried.is_empty() {
        guards.checked(match (common, tried.iter().filter(|one| !one.gains()).count()) {
            (0, 0) => "planned for common, median and rare values, too: all of them gain".to_owned(),
            (0, others) => format!("planned for common, median and rare values, too: all but {others} gain"),
            (statements, _) => format!(
                "planned for common, median and rare values, too: for the commonest {} nothing, so less is saved where that \
                 one is asked for most",
                plural(statements, "statement gains", "statements gain")
            ),
        });
    }
    guard_further(&mut guards, &further);
    let first_alone = gains.iter().filter(|gain| gain.has_first_page_alone()).count();
    if first_alone > 0 {
        guards.not_checked(format!(
            "later pages of {} by OFFSET: what is saved is that of the first, and less of those behind it",
            plural(first_alone, "statement", "statements")
        ));
    }
    guards.checked("no index, key or constraint that is there answers the same");
    guards.checked("the table was analyzed and is not tiny");
    match (server.is_standby, advised.writes_are_counted) {
        (true, _) => {
            guards.not_checked("what the table's writes, which only the primary sees, would pay for it")
        }
        (false, true) => {
            guards.checked("what the table's writes, as they were counted, would pay for it is taken off")
        }
        (false, false) => guards.checked(
            "what the INSERT and UPDATE statements of the same window would pay for it is taken off",
        ),
    }
    let statements = advised.report.statements.iter();
    match (statements.filter(|one| one.is_dearer()).count(), stopped) {
        (0, None) => guards.checked("no statement becomes dearer"),
        (0, Some(why)) => guards.not_checked(format!("no statement becomes dearer ({why})")),
        (count, _) => guards.checked(format!(
            "{} dearer by the whole set, which is in its price",
            plural(count, "statement becomes", "statements become")
        )),
    }
    guards
}

/// What came of longer lists and later pages, of which what is saved does not tell.
fn guard_further(guards: &mut Guards, tried: &[&TriedValue]) {
    for kind in [
        ValueKind::ListOfTen,
        ValueKind::ListOfHundred,
        ValueKind::LaterPage,
    ] {
        let of_kind = tried.iter().copied().filter(|one| one.kind == kind);
        let (gaining, without): (Vec<&TriedValue>, Vec<&TriedValue>) = of_kind.partition(|one| one.gains());
        let priced = match kind {
            ValueKind::LaterPage => " (what is saved is the average of it and the first, OFFSET 0)",
            _ => "",
        };
        let words = kind.words();
        match (gaining.len(), without.len()) {
            (0, 0) => {}
            (_, 0) => guards.checked(format!("planned for {words}, too{priced}: all of them gain")),
            (_, statements) => guards.checked(format!(
                "planned for {words}, too{priced}: for that {} nothing, so less is saved where that is asked for",
                plural(statements, "statement gains", "statements gain")
            )),
        }
    }
}
