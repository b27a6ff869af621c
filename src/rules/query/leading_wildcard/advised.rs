//! The index of trigrams that index.missing advises: under a name of its own here, it would be built twice.

use super::Search;
use super::finders::Finders;
use super::remedy::Indexed;
use crate::model::advice::{AdvisedIndex, AdvisedStatement, Rehearsals};
use crate::model::finding::ConfidenceLevel;
use crate::model::remedy::Remedy;
use crate::model::snapshot::ServerFacts;
use crate::rules::{Guards, advised_remedy};

/// What was advised last, as far as a search is concerned.
pub(super) struct Advice<'a> {
    /// The index that finds what it looks for, among all rows.
    pub(super) index: Option<&'a AdvisedIndex>,
    /// What came of its statement.
    statement: Option<&'a AdvisedStatement>,
}

impl<'a> Advice<'a> {
    /// Of a search by a statement; nothing, where nobody hears of what index.missing says of the table.
    pub(super) fn of(search: &Search<'a>, statement_id: &str) -> Self {
        let (database, table) = (search.database, search.table);
        let is_untold = database.missing_indexes_untold.contains(&table.oid);
        // as for index.missing, whose findings stay while no new advice comes
        let report = match &database.rehearsals {
            Rehearsals::Known(advised) if !is_untold => Some(&advised.report),
            _ => None,
        };
        let is_it = |one: &&AdvisedStatement| one.statement_id == statement_id;
        let statement = report.and_then(|report| report.statements.iter().find(is_it));
        // of several columns an index on one may find nothing alone, and which index finds an unknown expression nobody knows
        let column = match &search.columns[..] {
            [column] if Indexed::of(column).is_some() => Some(column),
            _ => None,
        };
        let is_taken = |index: &&AdvisedIndex| match statement {
            Some(one) if one.cost_after.is_some() => one.uses.contains(&index.definition),
            _ => true,
        };
        let finds = |index: &&AdvisedIndex| {
            (&index.schema, &index.table) == (&table.schema, &table.name)
                && is_taken(index)
                && column.is_some_and(|column| Finders::defined(&index.definition).find(column))
        };
        Self {
            index: report.and_then(|report| report.indexes.iter().find(finds)),
            statement,
        }
    }

    /// What is known of the worth of such an index. HypoPG knows none of its kind, so that it is estimated at best.
    pub(super) fn guard(&self, guards: &mut Guards) {
        const WORTH: &str = "what the planner makes of such an index";
        let Some(index) = self.index else {
            let why = self.statement.and_then(|one| one.reason.as_deref());
            guards.not_checked(match why {
                Some(why) => {
                    format!("{WORTH}, which HypoPG does not know; index.missing advises none: {why}")
                }
                None => format!(
                    "{WORTH}, which HypoPG does not know; where index.missing may plan, it is estimated there"
                ),
            });
            return;
        };
        let reason = &index.confidence.reason;
        match index.confidence.level == ConfidenceLevel::Verified {
            true => guards.checked(format!("index.missing advises the index: {reason}")),
            false => guards.not_checked(format!("{WORTH}, which index.missing advises: {reason}")),
        }
        if let Some(left) = self.statement.and_then(|one| cost_left(one, index)) {
            guards.checked(format!(
                "with what index.missing advises the statement would cost {:.1} % of what it costs now",
                left * 100.0
            ));
        }
    }
}

/// The part of its cost that a statement keeps with all that is advised; none where it does not take this index.
fn cost_left(statement: &AdvisedStatement, index: &AdvisedIndex) -> Option<f64> {
    let before = statement.cost_before.filter(|before| *before > 0.0)?;
    let after = statement.cost_after?;
    statement
        .uses
        .contains(&index.definition)
        .then_some(after / before)
}

/// Makes the very index that is advised, by its name.
pub(super) fn add_to(remedy: &mut Remedy, server: &ServerFacts, index: &AdvisedIndex) {
    let built = advised_remedy::remedy(server, &[index]);
    let mut caveats = std::mem::take(&mut remedy.caveats);
    caveats.push(
        "It is the index that index.missing advises, where it is worth that: one for both, with the plans there.".to_owned(),
    );
    caveats.extend(built.caveats);
    *remedy = Remedy { caveats, ..built };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::LeadingWildcard;
    use super::super::tests::{SEARCH, observed};
    use super::*;
    use crate::model::finding::Claim;
    use crate::model::observation::Observation;
    use crate::rules::testing::{advised, advised_statement, claims};

    const CREATE: &str =
        "CREATE INDEX CONCURRENTLY notes_body_idx ON public.notes USING gin (body public.gin_trgm_ops)";

    /// A search in `public.notes (body)`, where an index of this definition is advised for it.
    fn with(definition: &str, change: impl FnOnce(&mut Observation, &mut AdvisedIndex)) -> Claim {
        of_text(SEARCH, definition, &[definition], change)
    }

    /// A search in `public.notes`, where an index of this definition is advised, and the statement uses these.
    fn of_text(
        text: &str,
        definition: &str,
        uses: &[&str],
        change: impl FnOnce(&mut Observation, &mut AdvisedIndex),
    ) -> Claim {
        let mut notes = observed(text, 10_000.0, true);
        let id = crate::sql::identify(text).statement_id;
        let mut advised = advised(&[definition], vec![advised_statement(&id, uses, Some(20.0))]);
        let index = &mut advised.report.indexes[0];
        (index.table, index.method) = ("notes".to_owned(), "gin".to_owned());
        index.confidence = crate::rules::estimated("worked out from its row estimates");
        change(&mut notes, index);
        notes.databases[0].rehearsals = Rehearsals::Known(Arc::new(advised));
        claims::<LeadingWildcard>(&notes).unwrap().remove(0)
    }

    #[test]
    fn what_index_missing_advises_is_built_once() {
        let claim = with(CREATE, |_, _| ());
        assert_eq!(claim.remedy.apply_sql, [CREATE]);
        assert_eq!(claim.remedy.undo_sql, ["DROP INDEX CONCURRENTLY public.t_a_idx"]);
        assert_eq!(claim.remedy.extra_disk_bytes, Some(8192.0));
        let caveats = claim.remedy.caveats.join("\n");
        assert!(caveats.contains("that index.missing advises"), "{caveats}");
        let guards = claim.guards.join("\n");
        for words in [
            "not checked: what the planner makes of such an index, which index.missing advises: worked out from",
            "would cost 20.0 % of what it costs now",
        ] {
            assert!(guards.contains(words), "{guards}");
        }
    }

    #[test]
    fn another_index_or_one_that_nobody_hears_of_is_not_it() {
        let is_own = |claim: &Claim| {
            let last = claim.remedy.apply_sql.last().unwrap();
            last.contains(" notes_body_trgm_idx ")
        };
        for rest in [
            "gin (title public.gin_trgm_ops)",
            "gin (body public.gin_trgm_ops) WHERE (id > 7)",
            "btree (body)",
        ] {
            let definition = format!("CREATE INDEX CONCURRENTLY i ON public.notes USING {rest}");
            let claim = with(&definition, |_, _| ());
            assert!(is_own(&claim), "{rest}");
            let guards = claim.guards.join("\n");
            assert!(guards.contains("index.missing advises none: "), "{guards}");
        }
        assert!(is_own(&with(CREATE, |_, index| index.table = "other".to_owned())));
        let untold = with(CREATE, |notes, _| {
            notes.databases[0].missing_indexes_untold = [1].into()
        });
        assert!(is_own(&untold), "it is not told there");
    }

    #[test]
    fn an_index_on_one_of_several_columns_or_on_another_expression_is_not_it() {
        let lower = "CREATE INDEX CONCURRENTLY i ON public.notes USING gin (lower(body) public.gin_trgm_ops)";
        for (condition, definition, why) in [
            ("body LIKE $1 OR title LIKE $2", CREATE, "Several columns"),
            ("unaccent(body) LIKE $1", lower, "searched as an expression"),
        ] {
            let text = format!("SELECT id FROM notes WHERE {condition}");
            let remedy = of_text(&text, definition, &[definition], |_, _| ()).remedy;
            assert!(remedy.apply_sql.is_empty(), "{:?}", remedy.apply_sql);
            let caveats = remedy.caveats.join(" ");
            assert!(
                caveats.contains(why) && !caveats.contains("that index.missing advises"),
                "{caveats}"
            );
        }
        let text = "SELECT id FROM notes WHERE lower(body) LIKE $1";
        assert_eq!(
            of_text(text, lower, &[lower], |_, _| ()).remedy.apply_sql,
            [lower]
        );
        let unused = of_text(SEARCH, CREATE, &[], |_, _| ());
        assert_ne!(unused.remedy.apply_sql, [CREATE], "its plan does without");
    }

    #[test]
    fn a_standby_is_told_nothing_to_run() {
        let claim = with(CREATE, |notes, _| notes.server.is_standby = true);
        assert!(claim.remedy.apply_sql.is_empty());
    }
}
