//! query.leading_wildcard

mod advised;
mod finders;
mod remedy;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{DatabaseObservation, StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::qualified;
use crate::model::unit::{count_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Guards, Place, Rule, Scope, estimated, evidence, number};
use crate::sql::remembered::searched_columns;
use crate::sql::shape::Searched;

use advised::Advice;
use finders::Finders;
use remedy::Trigrams;

/// A search with a pattern that begins with a wildcard (`LIKE '%x%'`) in a table of many rows.
///
/// ## Why it is bad
/// An ordinary index is sorted by how values begin. Where the beginning is not known it is of no use, and every row is read
/// and compared, at each call.
///
/// ## What to do
/// An index of trigrams (the extension pg_trgm, which comes with PostgreSQL) finds any three letters in a row wherever they
/// stand, in LIKE and in ILIKE. Where whole words are searched, a full-text index is smaller and knows grammar. Where
/// index.missing advises such an index, it is that very one, by its name.
///
/// ## When it is wrong to obey
/// An index of trigrams is large, often as large as the column itself, and every row that is written has to be taken apart
/// for it: a table that is written much and searched little is better off without. It does not help patterns with fewer than
/// three letters in a row. Where other conditions of the statement leave few rows, an index on those is better.
///
/// pg_stat_statements takes constants out, so that a pattern is not known from it. It is known where a session was seen
/// while it ran the statement. Else `$2 || $1`, where something stands in front of what was given as a parameter, is taken
/// for `'%' || $1`. Sources: PostgreSQL's chapters "Pattern Matching" and "pg_trgm".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadingWildcard {
    /// Rows that the table must have.
    min_rows: f64,
    /// Share of all database time, 0 to 1, that the statement must take.
    info_share: f64,
    /// Average number of sessions executing below which nothing is said: the server is nearly idle.
    minimum_load: f64,
}

impl Default for LeadingWildcard {
    fn default() -> Self {
        Self {
            min_rows: 10_000.0,
            info_share: 0.005,
            minimum_load: 0.05,
        }
    }
}

/// Columns of one table that are searched.
struct Search<'a> {
    database: &'a DatabaseObservation,
    table: &'a TableFacts,
    rows: f64,
    columns: Vec<Searched>,
    /// A session was seen with such a pattern.
    was_seen: bool,
    /// Not all indexes of the table could be read.
    has_unread_indexes: bool,
}

impl Rule for LeadingWildcard {
    const ID: &'static str = "query.leading_wildcard";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let is_heavy = |activity: &StatementActivity, statement: &StatementDelta| {
            statements::share(activity, statement.seconds) >= self.info_share
        };
        statements::on_a_busy_server(
            place,
            self.minimum_load,
            is_heavy,
            |activity, statement, found| match self.search(place, statement) {
                Ok(None) => {}
                Ok(Some(search)) => found.claim_worst_first(
                    place,
                    || vec![statement.text.statement_id.clone()],
                    || claim(place, activity, statement, &search),
                ),
                Err(unknown) => {
                    found.undecided.push(vec![statement.text.statement_id.clone()]);
                    found.untold = Some(unknown.reason);
                }
            },
        )
    }
}

impl LeadingWildcard {
    /// What a statement searches that is worth a word.
    fn search<'a>(
        &self,
        place: &Place<'a>,
        statement: &StatementDelta,
    ) -> Result<Option<Search<'a>>, Unknown> {
        let Some(searched) = searched_columns(&statement.text.text) else {
            return Ok(None);
        };
        let mut columns = searched.to_vec();
        let was_seen = place
            .observation
            .leading_wildcards
            .contains(&statement.text.statement_id);
        columns.retain(|column| was_seen || column.is_behind_constant);
        if columns.is_empty() {
            return Ok(None);
        }
        let mut databases = place.observation.databases.iter();
        let database = databases
            .find(|database| database.name == statement.database)
            .ok_or_else(|| Unknown::because(format!("the tables of {} are not known", statement.database)))?;
        let mut worst: Option<(&TableFacts, f64)> = None;
        for column in &columns {
            if let Some(table) = table_of(database, column)? {
                let rows = rows_of(database, table);
                if rows >= self.min_rows && worst.is_none_or(|(_, most)| rows > most) {
                    worst = Some((table, rows));
                }
            }
        }
        let Some((table, rows)) = worst else {
            return Ok(None);
        };
        let finders = Finders::of(database, table.oid);
        let parts = database.catalog.partitions_of(table.oid);
        let with_rows = parts.filter(|part| part.kind == 'r');
        let of_parts: Vec<Finders> = with_rows.map(|part| Finders::of(database, part.oid)).collect();
        let are_parts_indexed =
            |column: &Searched| !of_parts.is_empty() && of_parts.iter().all(|finders| finders.find(column));
        columns.retain(|column| is_of(table, column) && !finders.find(column) && !are_parts_indexed(column));
        Ok((!columns.is_empty()).then_some(Search {
            database,
            table,
            rows,
            columns,
            was_seen,
            has_unread_indexes: finders.has_unread,
        }))
    }
}

fn is_of(table: &TableFacts, column: &Searched) -> bool {
    column.table.as_ref().is_some_and(|(schema, name)| {
        *name == table.name && schema.as_ref().is_none_or(|schema| *schema == table.schema)
    })
}

/// The table of a column; none if there is no such table, as where it is a view.
fn table_of<'a>(
    database: &'a DatabaseObservation,
    column: &Searched,
) -> Result<Option<&'a TableFacts>, Unknown> {
    let because =
        |what: &str| Unknown::because(format!("which table {} is a column of {what}", column.written));
    if column.table.is_none() {
        return Err(because("cannot be told from the statement"));
    }
    let all = database.catalog.tables.values();
    let mut named = all.filter(|table| table.kind != 't' && is_of(table, column));
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => Err(because("cannot be told: several schemas have one of that name")),
        (table, _) => Ok(table.filter(|table| !table.owned_by_extension)),
    }
}

/// Its rows; those of a partitioned table are in its partitions.
fn rows_of(database: &DatabaseObservation, table: &TableFacts) -> f64 {
    if table.kind != 'p' {
        return table.rows;
    }
    let all = database.catalog.tables.values();
    let parts = all.filter(|part| part.partition_of == Some(table.oid) && part.kind == 'r');
    parts.map(|part| part.rows.max(0.0)).sum()
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    statement: &StatementDelta,
    search: &Search<'_>,
) -> Claim {
    let table = qualified(&search.table.schema, &search.table.name);
    let columns: Vec<&str> = search
        .columns
        .iter()
        .map(|column| column.column.as_str())
        .collect();
    let share = statements::share(activity, statement.seconds);
    let own = evidence([
        ("table", json!(table)),
        ("table_rows", number(search.rows)),
        ("columns", json!(columns)),
        ("seen_with_leading_wildcard", json!(search.was_seen)),
    ]);
    let id = LeadingWildcard::ID;
    let mut claim = statements::claim(place, id, Severity::Info, activity, statement, own);
    claim.title = format!(
        "{} searches {} of {table} with a pattern that begins with a wildcard",
        crate::sql::outline(&statement.text.text),
        columns.join(", ")
    );
    let how_known = match search.was_seen {
        true => "A session was seen that sent it with a pattern that begins with a wildcard",
        false => "A constant stands in front of its pattern's parameter, mostly a wildcard",
    };
    claim.explanation = format!(
        "{how_known}. No ordinary index finds that: unless another condition leaves few of the {} rows, all are compared at each \
         of its {} calls, which took {}, {:.1} % of database time. An index of trigrams finds it.",
        count_for_people(search.rows),
        count_for_people(statement.calls as f64),
        seconds_for_people(statement.seconds),
        share * 100.0,
    );
    let mut guards = Guards::default();
    match search.has_unread_indexes {
        true => guards.not_checked(
            "whether an index of trigrams is there already: the definitions of some indexes could not be read",
        ),
        false => guards.checked("no index of trigrams holds the column for all rows"),
    }
    let advice = Advice::of(search, &statement.text.statement_id);
    advice.guard(&mut guards);
    let trigrams = Trigrams::of(place, search.database);
    trigrams.guard(&mut guards);
    claim.confidence = estimated(match search.was_seen {
        true => "the pattern was seen; what an index would save was not planned",
        false => {
            "that the constant in front of the pattern is a wildcard is supposed: pg_stat_statements does not keep it"
        }
    });
    claim.guards.extend(guards.told());
    claim.remedy = remedy::remedy(place, search, &trigrams, advice.index);
    claim
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::catalog::{Catalog, IndexFacts};
    use crate::model::observation::Observation;
    use crate::model::schema::Schema;
    use crate::rules::testing::{
        claims, found, index, observation, set, set_schema, statement, table, tables,
    };

    pub(super) const SEARCH: &str = "SELECT id FROM notes WHERE body LIKE $1";
    const JOINED: &str = "SELECT id FROM notes n WHERE n.body ILIKE $2 || $1 || $3";

    /// A statement that took ten seconds of ten minutes, on a table of so many rows.
    pub(super) fn observed(text: &str, rows: f64, was_seen: bool) -> Observation {
        let one = statement(text, 100, 100.0);
        let id = one.text.statement_id.clone();
        let mut observed = observation(vec![one], 90.0);
        observed.leading_wildcards.extend(was_seen.then_some(id));
        observed.databases = tables(vec![table(1, "notes", rows, 1e6)]).databases;
        observed
    }

    fn count(text: &str, rows: f64, was_seen: bool) -> usize {
        claims::<LeadingWildcard>(&observed(text, rows, was_seen))
            .unwrap()
            .len()
    }

    fn set_catalog(observed: &mut Observation, tables: Vec<TableFacts>, indexes: Vec<IndexFacts>) {
        observed.databases[0].catalog = Arc::new(Catalog::new(tables.into(), indexes.into()));
    }

    #[test]
    fn what_was_seen_or_stands_behind_a_constant() {
        assert_eq!(count(SEARCH, 10_000.0, true), 1);
        assert_eq!(count(SEARCH, 10_000.0, false), 0, "the pattern is not known");
        assert_eq!(count(SEARCH, 9_999.0, true), 0, "a small table");
        assert_eq!(count(JOINED, 10_000.0, false), 1);
        assert_eq!(
            count("SELECT id FROM a_view WHERE body LIKE $2 || $1", 10_000.0, false),
            0
        );
        assert_eq!(count("SELECT id FROM notes WHERE body = $1", 10_000.0, true), 0);
    }

    #[test]
    fn little_time_and_idle_servers_are_left_out() {
        let mut busy = observed(SEARCH, 10_000.0, true);
        busy.statements.as_mut().unwrap().total_seconds = 2_000.0;
        assert_eq!(claims::<LeadingWildcard>(&busy).unwrap().len(), 1, "0.5 %");
        busy.statements.as_mut().unwrap().total_seconds = 2_001.0;
        assert_eq!(claims::<LeadingWildcard>(&busy).unwrap().len(), 0);
        busy.statements.as_mut().unwrap().total_seconds = 29.0;
        let idle = found::<LeadingWildcard>(&busy).unwrap();
        assert_eq!((idle.claims.len(), idle.absence_is_no_proof.is_some()), (0, true));
    }

    #[test]
    fn the_index_and_its_way_back() {
        let mut notes = observed(SEARCH, 10_000.0, true);
        let remedy = |observed: &Observation| claims::<LeadingWildcard>(observed).unwrap().remove(0).remedy;
        let made = remedy(&notes);
        assert_eq!(
            made.apply_sql,
            [
                "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public",
                "CREATE INDEX CONCURRENTLY notes_body_trgm_idx ON public.notes USING gin (body public.gin_trgm_ops)"
            ]
        );
        assert_eq!(
            made.undo_sql,
            ["DROP INDEX CONCURRENTLY public.notes_body_trgm_idx"]
        );
        let table_facts = table(1, "notes", 10_000.0, 1e6);
        set_catalog(
            &mut notes,
            vec![table_facts.clone()],
            vec![index(9, "notes_body_trgm_idx")],
        );
        assert!(
            remedy(&notes).apply_sql[1].contains(" notes_body_trgm_idx2 "),
            "the name is taken"
        );
        let partitioned = TableFacts {
            kind: 'p',
            rows: 0.0,
            ..table_facts.clone()
        };
        let part = TableFacts {
            partition_of: Some(1),
            ..table(2, "notes_1", 10_000.0, 1e6)
        };
        set_catalog(&mut notes, vec![partitioned, part], vec![]);
        assert_eq!(
            remedy(&notes).apply_sql.len(),
            4,
            "that of the only partition is attached"
        );
        set_catalog(&mut notes, vec![table_facts], vec![]);
        notes.server.is_standby = true;
        assert!(remedy(&notes).apply_sql.is_empty());
        let lower = observed("SELECT id FROM notes WHERE lower(body) LIKE $1", 10_000.0, true);
        assert_eq!(
            remedy(&lower).apply_sql[1],
            "CREATE INDEX CONCURRENTLY notes_lower_body_trgm_idx ON public.notes USING gin (pg_catalog.lower(body) public.gin_trgm_ops)"
        );
        let other = observed(
            "SELECT id FROM notes WHERE unaccent(body) LIKE $1",
            10_000.0,
            true,
        );
        assert!(remedy(&other).apply_sql.is_empty(), "it may not be immutable");
        let several = observed(
            "SELECT id FROM notes WHERE body LIKE $1 OR title LIKE $2",
            10_000.0,
            true,
        );
        assert!(remedy(&several).apply_sql.is_empty());
    }

    #[test]
    fn whether_trigrams_are_at_hand_is_told_and_decides_what_is_to_do() {
        let mut notes = observed(SEARCH, 10_000.0, true);
        let told = |observed: &Observation, guard: &str| {
            let claim = claims::<LeadingWildcard>(observed).unwrap().remove(0);
            assert!(
                claim.guards.iter().any(|told| told == guard),
                "{:?}",
                claim.guards
            );
            claim.remedy
        };
        let unknown = told(
            &notes,
            "not checked: whether the extension pg_trgm can be created on this server",
        );
        assert_eq!(unknown.apply_sql.len(), 2);
        notes.server.offers_trigrams = Some(true);
        let offered = told(&notes, "the extension pg_trgm can be created on this server");
        let create = "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public";
        assert_eq!(offered.apply_sql[0], create);
        notes.server.offers_trigrams = Some(false);
        let missing = told(&notes, "the extension pg_trgm is not on this server");
        assert!(missing.apply_sql.is_empty() && missing.undo_sql.is_empty() && missing.lock.is_none());
        assert!(missing.caveats.iter().any(|caveat| caveat.contains("contrib")));
        set(&mut notes, "azure.extensions", "");
        let of_service = told(&notes, "the extension pg_trgm is not on this server");
        assert!(of_service.apply_sql.is_empty());
        assert!(
            of_service
                .caveats
                .iter()
                .any(|caveat| caveat.contains("az postgres"))
        );
        assert!(!of_service.caveats.iter().any(|caveat| caveat.contains("contrib")));
        let schema = Schema {
            trigrams_schema: Some("Ext".into()),
            ..Schema::default()
        };
        set_schema(&mut notes, schema);
        let installed = told(&notes, "the extension pg_trgm is installed in its database");
        assert_eq!(
            installed.apply_sql,
            [
                "CREATE INDEX CONCURRENTLY notes_body_trgm_idx ON public.notes USING gin (body \"Ext\".gin_trgm_ops)"
            ]
        );
        assert!(
            !installed
                .caveats
                .iter()
                .any(|caveat| caveat.contains("az postgres"))
        );
    }

    #[test]
    fn an_index_on_another_column_is_not_enough() {
        let mut notes = observed(SEARCH, 10_000.0, true);
        let all = vec![table(1, "notes", 10_000.0, 1e6)];
        for (keys, expected) in [
            ("(antibody gin_trgm_ops)", 1),
            ("(body gin_trgm_ops) WHERE (id > 7)", 1),
            ("(body gin_trgm_ops)", 0),
        ] {
            let mut trigrams = index(9, "body_i");
            trigrams.definition =
                Some(format!("CREATE INDEX body_i ON public.notes USING gin {keys}").into());
            set_catalog(&mut notes, all.clone(), vec![trigrams]);
            assert_eq!(
                claims::<LeadingWildcard>(&notes).unwrap().len(),
                expected,
                "{keys}"
            );
        }
    }

    #[test]
    fn an_index_of_trigrams_that_is_there_is_enough() {
        let mut indexed = observed(SEARCH, 10_000.0, true);
        let all = vec![table(1, "notes", 10_000.0, 1e6)];
        let mut trigrams = index(9, "i");
        trigrams.definition = Some("CREATE INDEX i ON public.notes USING gist (body x.gist_trgm_ops)".into());
        set_catalog(&mut indexed, all.clone(), vec![trigrams.clone()]);
        assert_eq!(claims::<LeadingWildcard>(&indexed).unwrap().len(), 0);
        trigrams.is_valid = false;
        set_catalog(&mut indexed, all.clone(), vec![trigrams.clone()]);
        assert_eq!(claims::<LeadingWildcard>(&indexed).unwrap().len(), 1);
        trigrams.definition = None;
        set_catalog(&mut indexed, all, vec![trigrams]);
        let claim = claims::<LeadingWildcard>(&indexed).unwrap().remove(0);
        assert!(
            claim
                .guards
                .join("; ")
                .contains("not checked: whether an index of trigrams is there")
        );
    }

    #[test]
    fn a_table_that_is_not_known_for_sure_is_not_named() {
        let undecided = |observed: &Observation| {
            let found = found::<LeadingWildcard>(observed).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        let mut twice = observed(SEARCH, 10_000.0, true);
        let other = TableFacts {
            schema: "shop".into(),
            ..table(2, "notes", 10_000.0, 1e6)
        };
        set_catalog(&mut twice, vec![table(1, "notes", 10_000.0, 1e6), other], vec![]);
        assert_eq!(undecided(&twice), (0, 1));
        twice.databases.clear();
        assert_eq!(undecided(&twice), (0, 1), "its database was not visited");
        let either = observed("SELECT 1 FROM notes, users WHERE body LIKE $1", 10_000.0, true);
        assert_eq!(undecided(&either), (0, 1));
    }
}
