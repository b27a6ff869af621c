//! index.null_heavy

use std::borrow::Cow;
use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limits;
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::column_statistics::{ColumnSample, IndexedColumn, Sample};
use crate::model::finding::{Claim, Impact, Severity};
use crate::model::observation::{DatabaseObservation, StatementActivity, Unknown};
use crate::model::remedy::{Remedy, Statement, quote_literal};
use crate::model::snapshot::StatementKind;
use crate::model::unit::{Period, Size, bytes_for_people, count_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, index_object, number, statements};
use crate::sql::nulls::{Asked, Column, Nulls, wanted_nulls};
use crate::sql::partial::{over_one_column, without_nulls};
use crate::sql::query_within;

/// An index of which at least half of the entries are NULLs that nobody looks for.
///
/// ## Why it is bad
/// Every row has an entry in an ordinary index, also where the column is NULL. `column = $1` is never true of a NULL, so that
/// hardly any statement finds a row by such an entry; but all of them are written, cached, vacuumed and backed up.
///
/// ## What to do
/// Build the same index with `WHERE column IS NOT NULL`, then drop this one; both CONCURRENTLY, both given. PostgreSQL sees
/// that `=`, `<`, `BETWEEN`, `IN`, `LIKE` and joins leave NULLs out, and uses the smaller one for them without a change of any
/// statement. Looking up the rows of a foreign key is such a join.
///
/// ## When it is wrong to obey
/// When somebody does look for the NULLs (`closed_at IS NULL`: what is still open), or reads the whole table in the order of
/// the column. The captured statements are looked through for that, each time for a whole day before the index is named; a
/// job of the month's end, and what a function or a view asks, are not seen. When most rows get their value later, the share
/// of NULLs is that of a young table, and falls.
///
/// Never named is an index that enforces something, that a constraint, replication or CLUSTER names, that is the same as
/// another one (index.duplicate), that has a condition already, or that belongs to an extension or to a partitioned table. One
/// over several columns is not named either: rows with a NULL in the one may be found by the others.
///
/// The share of NULLs is that of the rows that the last ANALYZE took. It is read from pg_stats by the login that plans
/// (`planner_dsn`), without one by the login that looks; tables that it may not read are not judged, and the GRANT is told.
/// Only shares are read, no values. Equal entries are packed tightly (deduplication), so that the NULLs take less than their
/// share where the values differ. Source: PostgreSQL's chapters "Partial Indexes" and "pg_stats".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NullHeavy {
    /// Size of the index from which it is worth knowing. Of indexes smaller than 10 MB no statistics are read: whatever is written
    /// here, nothing is found of those, and that is told.
    min_size: Size,
    /// Share of its entries, 0 to 1, that must be NULL.
    min_null_share: f64,
}

impl Default for NullHeavy {
    fn default() -> Self {
        Self {
            min_size: Size { bytes: 100_000_000 },
            min_null_share: 0.5,
        }
    }
}

const UNREAD: &str = "the definitions of some indexes could not be read";
const NOT_ANALYZED: &str = "the columns of some large indexes were never analyzed";
const BEHIND_POLICY: &str =
    "row-level security hides the statistics of some columns from the login that reads them";
const TOO_SMALL: &str =
    "some indexes that min_size takes in are smaller than 10 MB: no statistics are read of their columns";
const NOT_ASKED: &str = "the statistics of the columns of some large indexes are still to be read";
const UNCLEAR: &str = "some captured statements on the tables of such indexes cannot be read to their end: whether they look for \
                       NULLs is not known";
/// PostgreSQL keeps so many bytes of a name; this leaves room for what is put behind it.
const NAME_BYTES: usize = 50;

/// The large indexes over one column of all rows that nothing but their use speaks for.
#[derive(Default)]
struct Large<'a> {
    /// All but those of which statistics say that they are fine.
    indexes: Vec<(&'a IndexFacts, &'a TableFacts)>,
    is_any_fine: bool,
}

/// An index with the column that it is over.
struct Heavy<'a> {
    facts: &'a IndexFacts,
    table: &'a TableFacts,
    column: &'a IndexedColumn,
    sample: ColumnSample,
}

impl Heavy<'_> {
    /// What the NULLs take, if their entries are as large as the others.
    fn null_bytes(&self) -> f64 {
        self.facts.size_bytes * self.sample.null_ratio
    }

    /// The column as statements name it: what reads a table reads its partitions, and those that inherit from it.
    fn named(&self) -> Column<'_> {
        let own = (self.table.schema.as_str(), self.table.name.as_str());
        let ancestors = self.column.ancestors.iter();
        let above = ancestors.map(|(schema, name)| (schema.as_str(), name.as_str()));
        Column::new(std::iter::once(own).chain(above).collect(), &self.column.name)
    }
}

impl Rule for NullHeavy {
    const ID: &'static str = "index.null_heavy";
    const SCOPE: Scope = Scope::Database;
    // so that what runs every night is seen in time
    const HOLD: Period = Period::days(1);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut found = Found::default();
        let large = self.large(database, &mut found);
        if large.indexes.is_empty() {
            return Ok(found);
        }
        let looks = &place.observation.server.login;
        let mut heavy = self.heavy(database, large, looks, &mut found)?;
        if heavy.is_empty() {
            return Ok(found);
        }
        let activity = statements::activity(place)?;
        heavy.sort_by(|a, b| {
            let by_bytes = b.null_bytes().total_cmp(&a.null_bytes());
            by_bytes.then_with(|| subject(a.facts).cmp(&subject(b.facts)))
        });
        let verdicts = captured(activity, database, &heavy);
        for (one, verdict) in heavy.iter().zip(verdicts) {
            match verdict {
                Nulls::Wanted => {}
                Nulls::Unclear => {
                    found.undecided.push(subject(one.facts));
                    found.untold = Some(UNCLEAR.to_owned());
                }
                Nulls::NotWanted => {
                    found.claim_worst_first(
                        place,
                        || subject(one.facts),
                        || claim(place, activity, database, one),
                    );
                }
            }
        }
        Ok(found)
    }
}

fn subject(facts: &IndexFacts) -> Vec<String> {
    vec![facts.schema.clone(), facts.name.clone()]
}

impl NullHeavy {
    fn large<'a>(&self, database: &'a DatabaseObservation, found: &mut Found) -> Large<'a> {
        let statistics = database.column_statistics.as_ref().ok();
        let is_fine = |facts: &IndexFacts| {
            let column = statistics.and_then(|statistics| statistics.columns.get(facts.oid));
            let sample = column.map(|column| column.sample);
            matches!(sample, Some(Sample::Known(known)) if known.null_ratio < self.min_null_share)
        };
        // of two that are the same one goes first, and index.duplicate tells which
        let alike: HashSet<u32> = database.catalog.alike.iter().flatten().copied().collect();
        let is_large = |facts: &&IndexFacts| {
            facts.size_bytes >= self.min_size.bytes as f64
                && !facts.is_needed()
                && !alike.contains(&facts.oid)
        };
        let mut large = Large::default();
        for facts in database.catalog.indexes.values().filter(is_large) {
            // most are, and the definitions of ten thousand take a while
            if is_fine(facts) {
                large.is_any_fine = true;
                continue;
            }
            match (&facts.definition, database.table_of(facts)) {
                (None, _) => {
                    found.undecided.push(subject(facts));
                    found.untold = Some(UNREAD.to_owned());
                }
                (Some(definition), Some(table)) if over_one_column(definition).is_some() => {
                    large.indexes.push((facts, table));
                    if statistics.is_none() {
                        // one is enough to tell why nothing is known of any
                        break;
                    }
                }
                _ => {}
            }
        }
        large
    }

    /// Those whose column is mostly NULL; of those of which that is not known it is said why.
    fn heavy<'a>(
        &self,
        database: &'a DatabaseObservation,
        large: Large<'a>,
        looks: &str,
        found: &mut Found,
    ) -> Result<Vec<Heavy<'a>>, Unknown> {
        let statistics = database.column_statistics.as_ref().map_err(Clone::clone)?;
        let (mut heavy, mut refused) = (Vec::new(), Vec::new());
        let (count, is_any_fine) = (large.indexes.len(), large.is_any_fine);
        for (facts, table) in large.indexes {
            let column = statistics.columns.get(facts.oid);
            let untold = match column.map(|column| (column, column.sample)) {
                Some((column, Sample::Known(sample))) => {
                    heavy.push(Heavy {
                        facts,
                        table,
                        column,
                        sample,
                    });
                    continue;
                }
                Some((_, Sample::NotReadable)) => {
                    refused.push(table);
                    found.undecided.push(subject(facts));
                    continue;
                }
                Some((_, Sample::NotAnalyzed)) => NOT_ANALYZED.to_owned(),
                Some((_, Sample::BehindPolicy)) => BEHIND_POLICY.to_owned(),
                None if facts.size_bytes < limits::COLUMN_STATISTICS_FROM_BYTES => TOO_SMALL.to_owned(),
                None if statistics.indexes_asked >= limits::COLUMN_STATISTICS_INDEXES => beyond(),
                None => NOT_ASKED.to_owned(),
            };
            found.undecided.push(subject(facts));
            found.untold = Some(untold);
        }
        if refused.is_empty() {
            return Ok(heavy);
        }
        let is_all = refused.len() == count && !is_any_fine;
        let unknown = statistics.not_readable(refused, looks);
        if is_all {
            return Err(unknown);
        }
        found.untold = Some(match unknown.remedy_sql {
            Some(grant) => format!("{}: {grant}", unknown.reason),
            None => unknown.reason,
        });
        Ok(heavy)
    }
}

/// Why nothing is known of an index that is none of the largest.
fn beyond() -> String {
    format!(
        "statistics are read of the columns of the {} largest such indexes alone: some are not among them",
        count_for_people(limits::COLUMN_STATISTICS_INDEXES as f64)
    )
}

/// What the captured statements of the database do with the rows in which the columns are NULL, index by index.
fn captured(activity: &StatementActivity, database: &DatabaseObservation, heavy: &[Heavy<'_>]) -> Vec<Nulls> {
    let columns: Vec<Column<'_>> = heavy.iter().map(Heavy::named).collect();
    let queries = activity
        .statements
        .iter()
        .filter(|statement| statement.database == database.name)
        .filter(|statement| {
            let kind = statement.text.kind;
            matches!(kind, StatementKind::Query | StatementKind::Unparsable)
        })
        .map(|statement| Cow::Borrowed(statement.text.text.as_str()));
    // a cursor, COPY and CREATE TABLE AS have a query within
    let others = activity
        .utility
        .iter()
        .filter(|((of, _), _)| *of == database.name)
        .filter_map(|(_, text)| query_within(&text.text).map(Cow::Owned));
    let mut verdicts = vec![Nulls::NotWanted; heavy.len()];
    for text in queries.chain(others) {
        // each is read once, however many such indexes there are, and none is kept
        let statement = Asked::new(&text);
        for (verdict, column) in verdicts.iter_mut().zip(&columns) {
            if *verdict != Nulls::Wanted {
                *verdict = (*verdict).max(wanted_nulls(&statement, column));
            }
        }
    }
    verdicts
}

fn guards(place: &Place<'_>, activity: &StatementActivity) -> Guards {
    let mut guards = Guards::default();
    guards.checked("it enforces nothing, and nothing but statements and foreign keys uses it");
    guards.checked(
        "no captured statement of the window looks for the NULLs, or wants all rows in the order of the column",
    );
    guards.not_checked(
        "statements that were not called in the window, run inside functions, or read the table through a view",
    );
    if activity.evictions > 0 || !activity.without_text.is_empty() {
        guards
            .not_checked("statements that pg_stat_statements has forgotten, or whose text is still to come");
    }
    if place.observation.server.standbys > 0 {
        guards.not_checked("the statements of its standbys, which are not captured here");
    }
    guards
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    database: &DatabaseObservation,
    one: &Heavy<'_>,
) -> Claim {
    let (facts, table, sample) = (one.facts, one.table, &one.sample);
    let guards = guards(place, activity);
    let percent = sample.null_ratio * 100.0;
    let position = database.indexes.binary_search_by_key(&facts.oid, |seen| seen.oid);
    let scans = position.ok().map(|position| database.indexes[position].scans);
    Claim {
        title: format!("{}.{} is {percent:.0} % NULLs", facts.schema, facts.name),
        explanation: format!(
            "{} is NULL in {percent:.0} % of the rows of {}.{}, and each of these rows has an entry in the index, which takes \
             {}. No captured statement looks for them. An index over the other rows is up to {} smaller.",
            one.column.name,
            table.schema,
            table.name,
            bytes_for_people(facts.size_bytes),
            bytes_for_people(one.null_bytes()),
        ),
        evidence: evidence([
            ("column", json!(one.column.name)),
            ("null_ratio", number(sample.null_ratio)),
            ("size_bytes", json!(facts.size_bytes)),
            ("null_bytes", json!(one.null_bytes().round())),
            ("scans", json!(scans)),
            ("definition", json!(facts.definition)),
        ]),
        evidence_window: activity.window,
        evidence_sql: Some(format!(
            "SELECT null_frac, n_distinct FROM pg_stats\n  \
             WHERE schemaname = {} AND tablename = {} AND attname = {} AND NOT inherited",
            quote_literal(&table.schema),
            quote_literal(&table.name),
            quote_literal(&one.column.name)
        )),
        impact: Impact {
            bytes: Some(one.null_bytes()),
            ..Impact::default()
        },
        confidence: guards.confidence("the share of NULLs in the rows that ANALYZE took"),
        remedy: remedy(database, one),
        guards: guards.told(),
        ..place.claim(
            NullHeavy::ID,
            Severity::Info,
            subject(facts),
            Some(index_object(facts, table)),
        )
    }
}

/// A name beside that of the index that nobody has yet.
fn free_name(database: &DatabaseObservation, facts: &IndexFacts) -> String {
    let stem = crate::sql::cut(&facts.name, NAME_BYTES);
    let is_taken = |name: &String| {
        let mut indexes = database.catalog.indexes.values();
        let mut tables = database.catalog.tables.values();
        indexes.any(|one| (&one.schema, &one.name) == (&facts.schema, name))
            || tables.any(|one| (&one.schema, &one.name) == (&facts.schema, name))
    };
    let mut name = format!("{stem}_not_null");
    let mut number = 2;
    while is_taken(&name) {
        name = format!("{stem}_not_null{number}");
        number += 1;
    }
    name
}

fn remedy(database: &DatabaseObservation, one: &Heavy<'_>) -> Remedy {
    let facts = one.facts;
    let name = free_name(database, facts);
    let definition = facts.definition.as_deref().unwrap_or_default();
    let Some(smaller) = without_nulls(definition, &name) else {
        return Remedy::default();
    };
    let create = |definition: &str| {
        let definition = definition.to_owned();
        Statement::CreateIndexConcurrently { definition }.sql()
    };
    let drop = |name: &str| {
        let (schema, name) = (facts.schema.clone(), name.to_owned());
        Statement::DropIndexConcurrently { schema, name }.sql()
    };
    Remedy {
        apply_sql: vec![create(&smaller), drop(&facts.name)],
        undo_sql: vec![create(definition), drop(&name)],
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(facts.size_bytes - one.null_bytes()),
        expected_seconds: None,
        caveats: vec![
            "Statements with =, <, BETWEEN, IN, LIKE or a join on the column use the smaller index as they did this one. Those \
             with IS NULL, or ORDER BY the column and no such condition, cannot: ask whether there are any that are seldom \
             called."
                .to_owned(),
            "CONCURRENTLY does not run inside a transaction, and waits for older ones; if the build is interrupted, it leaves an \
             invalid index, which is to be dropped before it is tried again."
                .to_owned(),
            "An index in a tablespace of its own is built in the default one: add TABLESPACE. Hints or scripts that name the \
             index must be changed to the other name."
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::column_statistics::ColumnStatistics;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::RuleKind;
    use crate::rules::sampled::SampledStatements;
    use crate::rules::testing::{claims, database, found, index, observation, statement};

    fn column(index_oid: u32, sample: Sample) -> IndexedColumn {
        IndexedColumn {
            index_oid,
            table_oid: 1,
            attribute_number: 2,
            name: "a".into(),
            sample,
            ancestors: Vec::new(),
        }
    }

    fn nulls(null_ratio: f64) -> Sample {
        Sample::Known(ColumnSample {
            null_ratio,
            ..ColumnSample::default()
        })
    }

    fn set_statistics(observed: &mut Observation, columns: Vec<IndexedColumn>) {
        observed.databases[0].column_statistics = Ok(Arc::new(ColumnStatistics {
            login: "planner".into(),
            columns: columns.into(),
            ..ColumnStatistics::default()
        }));
    }

    /// The index `public.i` over the column a of `public.t`, of 100 MB; `change` what is known of it.
    fn observed(sample: Sample, change: impl FnOnce(&mut IndexFacts)) -> Observation {
        let mut facts = index(9, "i");
        facts.size_bytes = 1e8;
        change(&mut facts);
        let mut observed = database(vec![facts]);
        observed.statements = observation(vec![], 0.0).statements;
        set_statistics(&mut observed, vec![column(9, sample)]);
        observed
    }

    fn count(observed: &Observation) -> (usize, usize) {
        let found = found::<NullHeavy>(observed).unwrap();
        (found.claims.len(), found.undecided.len())
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let judged =
            |null_ratio: f64, size: f64| count(&observed(nulls(null_ratio), |facts| facts.size_bytes = size));
        assert_eq!(judged(0.5, 1e8), (1, 0));
        assert_eq!(judged(0.4999, 1e8), (0, 0));
        assert_eq!(judged(1.0, 99_999_999.0), (0, 0));
    }

    #[test]
    fn a_smaller_one_is_built_before_it_goes() {
        let claim = claims::<NullHeavy>(&observed(nulls(0.8), |_| ()))
            .unwrap()
            .remove(0);
        assert_eq!(
            claim.remedy.apply_sql,
            [
                "CREATE INDEX CONCURRENTLY i_not_null ON public.t USING btree (a) WHERE a IS NOT NULL",
                "DROP INDEX CONCURRENTLY public.i"
            ]
        );
        assert_eq!(
            claim.remedy.undo_sql,
            [
                "CREATE INDEX CONCURRENTLY i ON public.t USING btree (a)",
                "DROP INDEX CONCURRENTLY public.i_not_null"
            ]
        );
        assert_eq!(claim.impact.bytes, Some(8e7));
        assert_eq!(claim.confidence.level, ConfidenceLevel::Estimated);
        let (mut own, other) = (index(9, "i"), index(10, "i_not_null"));
        own.size_bytes = 1e8;
        let mut taken = observed(nulls(0.8), |_| ());
        taken.databases[0].catalog = database(vec![own, other]).databases[0].catalog.clone();
        let claim = claims::<NullHeavy>(&taken).unwrap().remove(0);
        assert!(claim.remedy.apply_sql[0].contains(" i_not_null2 ON "));
    }

    #[test]
    fn other_indexes_are_never_named() {
        let others: [fn(&mut IndexFacts); 10] = [
            |facts| facts.is_unique = true,
            |facts| facts.constraint = Some("c".into()),
            |facts| facts.is_clustered = true,
            |facts| facts.is_replica_identity = true,
            |facts| facts.is_partition = true,
            |facts| facts.is_partitioned = true,
            |facts| facts.owned_by_extension = true,
            |facts| facts.is_valid = false,
            |facts| facts.definition = Some("CREATE INDEX i ON public.t USING btree (a, b)".into()),
            |facts| {
                facts.definition = Some("CREATE INDEX i ON public.t USING btree (a) WHERE (b > 0)".into())
            },
        ];
        for change in others {
            assert_eq!(count(&observed(nulls(0.9), change)), (0, 0));
        }
        let include = "CREATE INDEX i ON public.t USING btree (a) INCLUDE (b)";
        let including = observed(nulls(0.9), |facts| facts.definition = Some(include.into()));
        assert_eq!(count(&including), (1, 0));
        assert_eq!(
            count(&observed(nulls(0.9), |facts| facts.foreign_keys = [70].into())),
            (1, 0)
        );
        assert_eq!(
            count(&observed(nulls(0.9), |facts| facts.definition = None)),
            (0, 1)
        );
    }

    #[test]
    fn who_looks_for_nulls_keeps_it() {
        let judged = |text: &str, database: &str| {
            let mut asked = statement(text, 1, 1.0);
            asked.database = database.into();
            let mut observed = observed(nulls(0.9), |_| ());
            observed.statements = observation(vec![asked], 0.0).statements;
            count(&observed)
        };
        assert_eq!(judged("SELECT 1 FROM t WHERE a IS NULL", "app"), (0, 0));
        assert_eq!(judged("SELECT 1 FROM t ORDER BY a LIMIT $1", "app"), (0, 0));
        assert_eq!(judged("SELECT 1 FROM t WHERE a IS NULL", "other"), (1, 0));
        assert_eq!(judged("SELECT 1 FROM t WHERE a = $1", "app"), (1, 0));
        assert_eq!(judged("SELECT a FROM t WHERE (a IS NULL", "app"), (0, 1));
        assert_eq!(
            judged("SELECT count(a) FROM t", "app"),
            (0, 0),
            "the index alone answers that"
        );
        let mut cursor = observed(nulls(0.9), |_| ());
        let text = "DECLARE c CURSOR FOR SELECT id FROM t WHERE a IS NULL";
        let key = ("app".to_owned(), "x".to_owned());
        let activity = cursor.statements.as_mut().unwrap();
        activity.utility.insert(key, Arc::new(crate::sql::identify(text)));
        assert_eq!(count(&cursor), (0, 0));
    }

    #[test]
    fn who_reads_a_table_above_reads_this_one() {
        let judged = |text: &str| {
            let mut above = column(9, nulls(0.9));
            above.ancestors = vec![
                ("shop".into(), "year".into()),
                ("shop".into(), "all_years".into()),
            ];
            let mut observed = observed(nulls(0.9), |_| ());
            set_statistics(&mut observed, vec![above]);
            observed.statements = observation(vec![statement(text, 1, 1.0)], 0.0).statements;
            count(&observed)
        };
        assert_eq!(judged("SELECT 1 FROM t WHERE a IS NULL"), (0, 0));
        assert_eq!(
            judged("SELECT 1 FROM year WHERE a IS NULL"),
            (0, 0),
            "what it is a part of"
        );
        assert_eq!(
            judged("SELECT 1 FROM shop.all_years WHERE a IS NULL"),
            (0, 0),
            "at every level"
        );
        assert_eq!(judged("SELECT 1 FROM other.year WHERE a IS NULL"), (1, 0));
        assert_eq!(judged("SELECT 1 FROM year WHERE a = $1"), (1, 0));
    }

    #[test]
    fn each_index_has_the_verdict_of_its_own_column() {
        let (mut one, mut other) = (index(9, "i"), index(10, "j"));
        (one.size_bytes, other.size_bytes) = (2e8, 1e8);
        other.definition = Some("CREATE INDEX j ON public.t USING btree (b)".into());
        let mut both = database(vec![one, other]);
        let mut of_b = column(10, nulls(0.9));
        of_b.name = "b".into();
        set_statistics(&mut both, vec![column(9, nulls(0.9)), of_b]);
        // the larger one is looked at first
        for (text, expected) in [("a", "j"), ("b", "i")] {
            let asked = statement(&format!("SELECT 1 FROM t WHERE {text} IS NULL"), 1, 1.0);
            both.statements = observation(vec![asked], 0.0).statements;
            let claims = claims::<NullHeavy>(&both).unwrap();
            let named: Vec<&str> = claims.iter().map(|claim| claim.subject[1].as_str()).collect();
            assert_eq!(named, [expected]);
        }
    }

    #[test]
    fn what_is_not_known_is_told() {
        for unknown in [Sample::NotAnalyzed, Sample::BehindPolicy] {
            assert_eq!(count(&observed(unknown, |_| ())), (0, 1));
        }
        let refused = observed(Sample::NotReadable, |_| ());
        let unknown = found::<NullHeavy>(&refused).map(|_| ()).unwrap_err();
        assert_eq!(
            unknown.remedy_sql.as_deref(),
            Some("GRANT SELECT ON TABLE public.t TO planner")
        );
        let (mut one, mut other) = (index(9, "i"), index(10, "j"));
        (one.size_bytes, other.size_bytes) = (1e8, 1e8);
        let mut some = database(vec![one, other]);
        some.statements = observation(vec![], 0.0).statements;
        set_statistics(
            &mut some,
            vec![column(9, nulls(0.9)), column(10, Sample::NotReadable)],
        );
        assert_eq!(count(&some), (1, 1));
        let untold = found::<NullHeavy>(&some).unwrap().untold.unwrap();
        assert!(
            untold.ends_with("GRANT SELECT ON TABLE public.t TO planner"),
            "{untold}"
        );
        let mut unasked = observed(nulls(0.9), |_| ());
        set_statistics(&mut unasked, vec![]);
        assert_eq!(count(&unasked), (0, 1));
        let untold = |observed: &Observation| found::<NullHeavy>(observed).unwrap().untold.unwrap();
        assert_eq!(untold(&unasked), NOT_ASKED);
        unasked.databases[0].column_statistics = Ok(Arc::new(ColumnStatistics {
            indexes_asked: limits::COLUMN_STATISTICS_INDEXES,
            ..ColumnStatistics::default()
        }));
        assert_eq!(untold(&unasked), beyond(), "it will never be read");
    }

    /// What the rule finds of indexes of these bytes, statistics of which were read from 10 MB on, with this `min_size`.
    fn found_from(min_size: &str, sizes: &[f64]) -> Found {
        let facts = sizes.iter().zip(9..).map(|(size_bytes, oid)| IndexFacts {
            size_bytes: *size_bytes,
            ..index(oid, &format!("i{oid}"))
        });
        let facts: Vec<IndexFacts> = facts.collect();
        let read = facts
            .iter()
            .filter(|one| one.size_bytes >= limits::COLUMN_STATISTICS_FROM_BYTES);
        let columns = read.map(|one| column(one.oid, nulls(0.9))).collect();
        let mut observed = database(facts);
        observed.statements = observation(vec![], 0.0).statements;
        set_statistics(&mut observed, columns);
        let kind = RuleKind::of::<NullHeavy>();
        let mut thresholds = (kind.defaults)();
        thresholds["min_size"] = json!(min_size);
        assert_eq!((kind.check)(&thresholds), Ok(()), "a daemon starts with it");
        let place = Place {
            observation: &observed,
            database: Some(&observed.databases[0]),
            sampled: &SampledStatements::of(&observed),
            claims_at_most: limits::FINDINGS_PER_RULE,
        };
        (kind.judge)(&thresholds, &place).unwrap()
    }

    #[test]
    fn of_indexes_without_statistics_it_is_told_that_nothing_is_known() {
        let some = found_from("1 MB", &[5e6, 2e7]);
        assert_eq!((some.claims.len(), some.undecided.len()), (1, 1));
        assert_eq!(some.untold.as_deref(), Some(TOO_SMALL));
        let smaller = found_from("6 MB", &[5e6, 2e7]);
        assert_eq!((smaller.claims.len(), smaller.undecided.len()), (1, 0));
        assert_eq!(smaller.untold, None, "there is none that it could name");
    }

    #[test]
    fn what_standbys_ask_for_is_not_captured() {
        let said = |standbys: i64| {
            let mut observed = observed(nulls(0.9), |_| ());
            observed.server.standbys = standbys;
            let claim = claims::<NullHeavy>(&observed).unwrap().remove(0);
            claim.guards.iter().any(|guard| guard.contains("its standbys"))
        };
        assert_eq!((said(0), said(1)), (false, true));
    }

    #[test]
    fn what_is_missing_skips_it_only_where_it_matters() {
        let mut unread = observed(nulls(0.9), |_| ());
        unread.databases[0].column_statistics = Err(Unknown::because("not now"));
        assert!(found::<NullHeavy>(&unread).is_err());
        unread.databases[0].catalog = database(vec![index(9, "i")]).databases[0].catalog.clone();
        assert_eq!(count(&unread), (0, 0), "no index is large");
        let mut uncaptured = observed(nulls(0.9), |_| ());
        uncaptured.statements = Err(Unknown::because("not now"));
        assert!(found::<NullHeavy>(&uncaptured).is_err());
        let mut few = observed(nulls(0.1), |_| ());
        few.statements = Err(Unknown::because("not now"));
        assert_eq!(count(&few), (0, 0));
        few.server.is_standby = true;
        assert!(found::<NullHeavy>(&few).is_err());
    }
}
