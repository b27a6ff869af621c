//! What a reader should know of a set that is advised: what it makes worse, and what of it was guessed or not proven.

use std::collections::BTreeSet;

use super::NAMED;
use crate::index_advisor::advice::{IndexAdvice, StatementAdvice};
use crate::index_advisor::tables::TableName;
use crate::model::advice::{AdvisedIndex, AdvisedStatement, ValueKind};
use crate::model::remedy::qualified;

/// What of the drops that follow was not seen by the planner, and what undoing does not make again.
pub(super) fn about_the_superseded(indexes: &[AdvisedIndex]) -> Vec<String> {
    let unproven = indexes
        .iter()
        .find_map(|index| index.supersedes_unproven.as_ref());
    let unproven = unproven.map(|why| {
        format!(
            "that indexes are superfluous once those that are advised are there is proven by definition only, not rehearsed: {why}"
        )
    });
    let made_again = indexes.iter().flat_map(|index| &index.supersedes_made_again);
    unproven.into_iter().chain(made_again.cloned()).collect()
}

/// Which partitions are indexed alone, each once.
pub(super) fn about_the_partitions(indexes: &[AdvisedIndex]) -> BTreeSet<String> {
    indexes
        .iter()
        .filter_map(AdvisedIndex::on_one_partition)
        .collect()
}

/// Which indexes of partitions go with an index when it is dropped.
pub(super) fn about_the_attached(index: &IndexAdvice) -> Option<String> {
    let attached = &index.definition.attached;
    let name = |one: &TableName| qualified(&one.schema, &one.name);
    let mut names: Vec<String> = attached.iter().take(NAMED).map(name).collect();
    if attached.len() > NAMED {
        names.push("…".to_owned());
    }
    (!names.is_empty()).then(|| {
        format!(
            "{} are there already and become a part of {}: its DROP INDEX drops them, too, so that undoing it makes them again",
            names.join(", "),
            qualified(&index.definition.table.schema, &index.definition.name)
        )
    })
}

/// In which statements types of parameters were guessed.
pub(super) fn about_the_guessed(statements: &[StatementAdvice]) -> Option<String> {
    let names = named(statements.iter().filter(|one| one.has_guessed_types))?;
    Some(format!(
        "the types of parameters, which pg_stat_statements does not tell, were guessed in statements that could not be planned \
         otherwise, so that their plans may be others: {names}"
    ))
}

/// Which statements cost what they cost on the average of some values.
pub(super) fn about_the_averaged(statements: &[StatementAdvice]) -> Option<String> {
    let names = named(statements.iter().filter(|one| one.is_priced_by_values))?;
    Some(format!(
        "statements that stop at a LIMIT and are expected to find their rows early by an index that is there cost what they cost on \
         the average for a common, a median and a rare value of their parameters (of a range a hundredth of its rows), as far as their plans hang on that: {names}"
    ))
}

/// Which statements cost more with the real indexes than with those that are not there.
pub(super) fn about_the_descents(statements: &[StatementAdvice]) -> Option<String> {
    let more = |one: &StatementAdvice| {
        let name = one.statement.name.as_deref().unwrap_or(&one.statement_id);
        Some(format!(
            "{name} {:.0} + {:.0}",
            one.cost_after?, one.descents_cost?
        ))
    };
    let all: Vec<String> = statements.iter().filter_map(more).collect();
    let rest = if all.len() > NAMED { ", …" } else { "" };
    (!all.is_empty()).then(|| {
        format!(
            "HypoPG counts no way from the root of an index to its leaves, PostgreSQL does: what looks into an index once for each of many \
             rows costs more with the real ones, at least as much as is added here, and may then be planned without some of them: \
             {}{rest}",
            all[..all.len().min(NAMED)].join(", ")
        )
    })
}

/// A later page that saves a part of its cost that is so much smaller than that of the first is told.
const LESS_SAVED: f64 = 0.05;

/// Of which pages by OFFSET less is saved than of the first, which is what they are priced as.
pub(super) fn about_the_pages(statements: &[AdvisedStatement]) -> Option<String> {
    let less = |one: &AdvisedStatement| {
        let page = one
            .values
            .iter()
            .find(|tried| tried.kind == ValueKind::LaterPage)?;
        let (before, after) = (one.cost_before?, one.cost_after?);
        let is_less = 1.0 - page.cost_after / page.cost_before < 1.0 - after / before - LESS_SAVED;
        let name = one.name.as_deref().unwrap_or(&one.statement_id);
        is_less.then(|| {
            format!(
                "{name} {before:.0} → {after:.0}, there {:.0} → {:.0}",
                page.cost_before, page.cost_after
            )
        })
    };
    let all: Vec<String> = statements.iter().filter_map(less).collect();
    let rest = if all.len() > NAMED { "; …" } else { "" };
    (!all.is_empty()).then(|| {
        format!(
            "what is paged by OFFSET is priced as its first page; of one far behind it less is saved: {}{rest}",
            all[..all.len().min(NAMED)].join("; ")
        )
    })
}

/// The names of some statements; `None` if there are none.
fn named<'a>(statements: impl Iterator<Item = &'a StatementAdvice>) -> Option<String> {
    let name = |one: &'a StatementAdvice| one.statement.name.as_deref().unwrap_or(&one.statement_id);
    let all: Vec<&str> = statements.map(name).collect();
    let mut names: Vec<&str> = all.iter().take(NAMED).copied().collect();
    if all.len() > NAMED {
        names.push("…");
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// Which statements the whole set makes worse.
pub(super) fn about_the_dearer(statements: &[AdvisedStatement]) -> Option<String> {
    let dearer: Vec<&AdvisedStatement> = statements.iter().filter(|one| one.is_dearer()).collect();
    let count = match dearer.len() {
        0 => return None,
        1 => "one statement becomes".to_owned(),
        count => format!("{count} statements become"),
    };
    let named = dearer.iter().take(NAMED);
    let mut names: Vec<&str> = named
        .map(|one| one.name.as_deref().unwrap_or(&one.statement_id))
        .collect();
    if dearer.len() > NAMED {
        names.push("…");
    }
    Some(format!(
        "{count} dearer with these indexes, which is part of the workload's cost: {}",
        names.join(", ")
    ))
}
