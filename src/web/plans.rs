//! What the page of a statement asks of the store about its plans.

use super::pages::present;
use super::pages::statement_plans::StatementPlans;
use super::problem::Problem;
use crate::model::judgement::Verdict;
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
    let verdict = match history.plans.is_empty() && history.unplanned.is_none() {
        true => verdict_of_advice(store, (server, database))?,
        false => None,
    };
    let plans = StatementPlans::of(history, verdict.as_ref());
    with_known_indexes(store, (server, database), plans)
}

/// What became of index advice in a database at the last look; nothing where nobody asked for it.
pub fn verdict_of_advice(
    store: &Store,
    (server, database): (&str, &str),
) -> Result<Option<Verdict>, Problem> {
    let of_advice = store.rule_outcomes()?.into_iter().find(|(of, outcome)| {
        of == server
            && outcome.rule == Missing::ID
            && outcome.database.as_deref().is_none_or(|of| of == database)
    });
    Ok(of_advice.map(|(_, outcome)| outcome.verdict))
}

/// Databases of which it is not known which indexes are missing: the server, the database, and why, with what mends that.
pub fn without_advice(store: &Store) -> Result<Vec<(String, String, String)>, Problem> {
    let outcomes = store.rule_outcomes()?.into_iter();
    let of_advice = outcomes.filter(|(_, outcome)| outcome.rule == Missing::ID);
    let skipped = of_advice.filter_map(|(server, outcome)| match outcome.verdict {
        Verdict::Skipped { reason, remedy_sql } => {
            let why = present::why(&reason, remedy_sql.as_deref());
            Some((server, outcome.database?, why))
        }
        Verdict::Evaluated { .. } | Verdict::Elsewhere { .. } => None,
    });
    Ok(skipped.collect())
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
