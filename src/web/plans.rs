//! What the page of a statement asks of the store about its plans.

use super::pages::statement_plans::StatementPlans;
use super::problem::Problem;
use crate::rules::Rule as _;
use crate::rules::index::missing::Missing;
use crate::store::Store;

/// The plans that a statement had; where there is none, why.
pub fn statement_plans(
    store: &Store,
    (server, database): (&str, &str),
    statement_id: &str,
) -> Result<StatementPlans, Problem> {
    let history = store.statement_plans(server, database, statement_id)?;
    if history.read_at.is_some() {
        return with_known_indexes(store, (server, database), StatementPlans::of(history, None));
    }
    let outcomes = store.rule_outcomes()?;
    let of_advice = outcomes.iter().find(|(of, outcome)| {
        of == server
            && outcome.rule == Missing::ID
            && outcome.database.as_deref().is_none_or(|of| of == database)
    });
    let verdict = of_advice.map(|(_, outcome)| &outcome.verdict);
    with_known_indexes(store, (server, database), StatementPlans::of(history, verdict))
}

/// The same, where it is known which of their indexes have a page.
fn with_known_indexes(
    store: &Store,
    (server, database): (&str, &str),
    mut plans: StatementPlans,
) -> Result<StatementPlans, Problem> {
    for index in &mut plans.indexes {
        if let Some(schema) = &index.schema {
            index.is_known = store.index(server, database, schema, &index.name)?.is_some();
        }
    }
    Ok(plans)
}
