//! index.fk_missing

mod known;
mod remedy;

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::missing::{NEARLY, Worth};
use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{qualified, quote_literal};
use crate::model::schema::ForeignKey;
use crate::model::unit::{Size, count_for_people};
use crate::rules::whole_tables::{Whole, Wholes};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence};
use known::Known;
use remedy::remedy;

/// A foreign key whose columns no index begins with.
///
/// ## Why it is bad
/// For each row that is deleted from the table that it points at, and for each whose key is changed, PostgreSQL looks for rows
/// that point at it. Without an index it reads the whole table for each of them, with the row locked meanwhile: a DELETE of a
/// thousand rows reads it a thousand times. Joins along the foreign key, which are the commonest, read it whole, too.
///
/// ## What to do
/// Build an index on the columns of the foreign key. CREATE INDEX CONCURRENTLY does not hold up writes.
///
/// ## When it is wrong to obey
/// When rows of the other table are never deleted, their keys never change, and nobody asks for the rows of one of them: then
/// the index would only cost writes. A small table is left out, for reading it whole is as fast.
///
/// An index counts that is valid, is a btree or hash index over all rows, and has the columns in front, in any order. Of a
/// partitioned table it counts, too, if each partition has one. Deletes are counted by the server; changes of keys cannot be
/// told from other updates. Foreign keys of tables of extensions are left out. Where the planner is asked (`planner_dsn`), an
/// index on these columns that index.missing advises is told by that rule alone, whether or not that is switched on: one index
/// mends both. Of a temporal key (PERIOD, 18) rows are looked up by its other columns and an overlap of periods: a btree on the
/// others serves it, and so does a GiST index on all. Where most of the time goes into statements that could not be planned, index.missing says nothing, and foreign
/// keys are judged without it. Source: PostgreSQL's chapter "Constraints", section "Foreign Keys".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FkMissing {
    /// Smaller tables are left out: rows of the table that has the foreign key.
    min_rows: i64,
    /// It must be larger than this, too: eight pages are read as fast as an index.
    min_size: Size,
    /// Rows of the table that has the foreign key from which it is a warning.
    warning_rows: i64,
    /// Rows deleted in the window from the table that it points at from which it is a warning.
    warning_deletes: i64,
}

impl Default for FkMissing {
    fn default() -> Self {
        Self {
            min_rows: 1_000,
            min_size: Size { bytes: 8 * 8_192 },
            warning_rows: 1_000_000,
            warning_deletes: 1,
        }
    }
}

const ROWS_UNKNOWN: &str = "how many rows some tables have is not known: ANALYZE counts them";
const TO_BE_ASKED: &str = "the planner is still to be asked which indexes statements lack: what it advises is told by \
                           index.missing alone";
const UNREAD: &str = "the definitions of indexes on the tables of some foreign keys could not be read";
const BEING_INDEXED: &str = "an index is being built on the tables of some foreign keys just now";

impl Rule for FkMissing {
    const ID: &'static str = "index.fk_missing";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let keys = &database.schema()?.facts.foreign_keys;
        let supported: HashSet<u32> = database
            .catalog
            .indexes
            .values()
            .flat_map(|facts| &facts.foreign_keys)
            .copied()
            .collect();
        let mut found = Found::default();
        let bare: Vec<&ForeignKey> = keys.iter().filter(|key| !supported.contains(&key.oid)).collect();
        if bare.is_empty() {
            return Ok(found);
        }
        let (wholes, known) = (Wholes::of(database), Known::of(database));
        let mut missing: Vec<(Severity, &ForeignKey, Whole<'_>)> = Vec::new();
        for key in bare {
            let table = database.catalog.tables.get(key.table_oid);
            let is_judged = |table: &&TableFacts| !table.owned_by_extension && table.partition_of.is_none();
            let Some(table) = table.filter(is_judged) else {
                continue;
            };
            let whole = wholes.get(table);
            if whole.size_bytes() <= self.min_size.bytes as f64 {
                continue;
            }
            let untold = match (whole.rows() == 0.0, known.is_being_indexed(&whole)) {
                (true, _) => ROWS_UNKNOWN,
                (_, true) => BEING_INDEXED,
                _ if whole.rows() < self.min_rows as f64 => continue,
                _ if known.are_parts_indexed(key, &whole) || known.is_over_all_that_refer(key) => continue,
                _ => match known.is_served_by_definition(key) {
                    Some(true) => continue,
                    // of one look alone nothing more comes
                    None if !place.observation.single_look => UNREAD,
                    _ => match known.worth_to_statements(key, table) {
                        None if !place.observation.single_look => TO_BE_ASKED,
                        Some(Worth::Nearly) => NEARLY,
                        Some(Worth::Told) => continue,
                        None | Some(Worth::Nothing) => {
                            let parent = database.catalog.tables.get(key.referenced_oid);
                            let deleted = parent.and_then(|table| deleted(&wholes.get(table)));
                            missing.push((self.severity(&whole, deleted), key, whole));
                            continue;
                        }
                    },
                },
            };
            found.undecided.push(subject(key, table));
            found.untold = Some(untold.to_owned());
        }
        missing.sort_by(|(a_severity, a, one), (b_severity, b, other)| {
            let by_rows = other.rows().total_cmp(&one.rows());
            let by_severity = b_severity.cmp(a_severity).then(by_rows);
            by_severity.then_with(|| (one.name(), &a.name).cmp(&(other.name(), &b.name)))
        });
        for (severity, key, whole) in &missing {
            found.claim_worst_first(
                place,
                || subject(key, whole.table),
                || {
                    let parent = database.catalog.tables.get(key.referenced_oid);
                    let parent = parent.map(|table| wholes.get(table));
                    claim(place, &known, *severity, key, (whole, parent.as_ref()))
                },
            );
        }
        Ok(found)
    }
}

fn subject(key: &ForeignKey, table: &TableFacts) -> Vec<String> {
    vec![table.schema.clone(), table.name.clone(), key.name.clone()]
}

/// What becomes of a row that points at one that is deleted.
fn on_delete(key: &ForeignKey) -> &'static str {
    match key.on_delete {
        'c' => "CASCADE",
        'n' => "SET NULL",
        'd' => "SET DEFAULT",
        'r' => "RESTRICT",
        _ => "NO ACTION",
    }
}

/// Rows that were deleted from a table while it was watched.
fn deleted(parent: &Whole<'_>) -> Option<i64> {
    parent.window()?;
    Some(parent.sum(|delta| delta.deleted))
}

impl FkMissing {
    fn severity(&self, whole: &Whole<'_>, deleted: Option<i64>) -> Severity {
        let is_large = whole.rows() >= self.warning_rows as f64;
        let is_deleted = deleted.is_some_and(|deleted| deleted > 0 && deleted >= self.warning_deletes);
        match is_large || is_deleted {
            true => Severity::Warning,
            false => Severity::Info,
        }
    }
}

fn claim(
    place: &Place<'_>,
    known: &Known<'_>,
    severity: Severity,
    key: &ForeignKey,
    (whole, parent): (&Whole<'_>, Option<&Whole<'_>>),
) -> Claim {
    let table = whole.table;
    let window = parent.and_then(Whole::window);
    let deleted = parent.and_then(deleted);
    let mut guards = Guards::default();
    guards.checked("no valid index over all rows begins with its columns, in any order");
    guards.checked("the table is not small");
    match deleted {
        Some(_) => guards.checked("deletes from the table that it points at were counted"),
        None => guards.not_checked("whether rows are deleted from the table that it points at"),
    }
    let points_at = parent.map_or_else(|| "another table".to_owned(), |parent| parent.subject().join("."));
    let object = Object {
        kind: ObjectKind::Constraint,
        schema: Some(table.schema.clone()),
        name: key.name.clone(),
        table: Some(table.name.clone()),
    };
    Claim {
        title: format!(
            "{}.{}: the foreign key {} has no index",
            table.schema, table.name, key.name
        ),
        explanation: explanation(key, whole, &points_at, deleted),
        evidence: evidence([
            ("columns", json!(key.columns)),
            ("points_at", json!(points_at)),
            ("referenced_columns", json!(key.referenced_columns)),
            ("on_delete", json!(on_delete(key))),
            ("rows", json!(whole.rows() as i64)),
            ("size_bytes", json!(whole.size_bytes())),
            ("referenced_rows_deleted", json!(deleted)),
            ("indexes_in_part", json!(known.in_part(key))),
        ]),
        evidence_window: window,
        evidence_sql: Some(format!(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint\n  WHERE conrelid = {}::regclass AND \
                 conname = {}",
            quote_literal(&qualified(&table.schema, &table.name)),
            quote_literal(&key.name)
        )),
        confidence: guards.confidence("read from the catalogs"),
        remedy: remedy(known, key, whole),
        guards: guards.told(),
        ..place.claim(FkMissing::ID, severity, subject(key, table), Some(object))
    }
}

fn explanation(key: &ForeignKey, whole: &Whole<'_>, points_at: &str, deleted: Option<i64>) -> String {
    let happened = match deleted {
        Some(0) => "None was deleted while that was watched.".to_owned(),
        Some(deleted) => format!(
            "{} were deleted while that was watched.",
            count_for_people(deleted as f64)
        ),
        None => "Whether any is deleted is not known.".to_owned(),
    };
    let worse = match key.on_delete {
        'c' | 'n' | 'd' => format!(" ON DELETE {} then writes to those rows, too.", on_delete(key)),
        _ => String::new(),
    };
    format!(
        "No index over all rows begins with its columns ({}). For each row that is deleted from {points_at}, or whose key changes, all {} \
         rows of {}.{} are read to find those that point at it. {happened}{worse}",
        key.looked_up_columns().join(", "),
        count_for_people(whole.rows()),
        whole.table.schema,
        whole.table.name,
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::advice::{AdvisedIndex, Rehearsals};
    use crate::model::catalog::{Catalog, IndexFacts};
    use crate::model::observation::Observation;
    use crate::model::schema::Schema;
    use crate::rules::testing::{
        advised, advised_statement, claims, found, index, last_hour, set_schema, severities, table, tables,
    };

    /// `public.t` (OID 1) with so many rows, whose column a points at `public.parent` (OID 2), and these indexes.
    pub(super) fn observed(
        rows: f64,
        size_bytes: f64,
        deleted: i64,
        indexes: Vec<IndexFacts>,
    ) -> Observation {
        let facts = vec![table(1, "t", rows, size_bytes), table(2, "parent", 10.0, 8192.0)];
        with(facts, deleted, indexes)
    }

    pub(super) fn with(facts: Vec<TableFacts>, deleted: i64, indexes: Vec<IndexFacts>) -> Observation {
        let mut observed = tables(facts.clone());
        let database = &mut observed.databases[0];
        database.catalog = Arc::new(Catalog::new(facts.into(), indexes.into()));
        database.table_activity = Ok(vec![last_hour(2, |delta| delta.deleted = deleted)]);
        let key = ForeignKey {
            oid: 70,
            name: "t_a_fkey".into(),
            table_oid: 1,
            columns: vec!["a".into()],
            types: vec!["integer".into()],
            referenced_oid: 2,
            referenced_columns: vec!["id".into()],
            referenced_types: vec!["integer".into()],
            is_match_full: false,
            is_temporal: false,
            on_delete: 'c',
            ..ForeignKey::default()
        };
        set_schema(
            &mut observed,
            Schema {
                foreign_keys: vec![key],
                ..Schema::default()
            },
        );
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let judged = |rows: f64, size_bytes: f64, deleted: i64| {
            severities::<FkMissing>(&observed(rows, size_bytes, deleted, vec![]))
        };
        assert_eq!(judged(1_000.0, 65_537.0, 0), [Severity::Info]);
        assert_eq!(judged(999.0, 65_537.0, 0), []);
        assert_eq!(judged(1_000.0, 65_536.0, 0), [], "eight pages");
        assert_eq!(judged(1_000.0, 65_537.0, 1), [Severity::Warning]);
        assert_eq!(judged(999_999.0, 1e8, 0), [Severity::Info]);
        assert_eq!(judged(1_000_000.0, 1e8, 0), [Severity::Warning]);
    }

    #[test]
    fn only_an_index_that_serves_counts() {
        let judged = |change: fn(&mut IndexFacts)| {
            let mut facts = index(9, "t_a");
            change(&mut facts);
            claims::<FkMissing>(&observed(1e4, 1e6, 0, vec![facts])).unwrap()
        };
        assert_eq!(judged(|facts| facts.foreign_keys = [70].into()).len(), 0);
        let of_another = judged(|facts| {
            facts.foreign_keys = [71].into();
            facts.definition = Some("CREATE INDEX t_a ON public.t USING btree (b, a)".into());
        });
        assert_eq!(of_another.len(), 1);
        let partial = judged(|facts| {
            facts.foreign_keys_in_part = [70].into();
            facts.definition = Some("CREATE INDEX t_a ON public.t USING gin (a)".into());
        })
        .remove(0);
        assert_eq!(partial.evidence["indexes_in_part"], json!(["t_a"]));
        let broken = judged(|facts| facts.is_valid = false).remove(0);
        assert!(
            broken
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("index.invalid"))
        );
    }

    #[test]
    fn a_key_that_was_made_anew_with_its_index_is_not_missing_one() {
        // the key was read before the type of its column changed, the index after that, or the other way round
        let judged_in = |definition: Option<&str>, single_look: bool| {
            let facts = IndexFacts {
                foreign_keys: [71].into(),
                definition: definition.map(Into::into),
                ..index(9, "t_a")
            };
            let mut observed = observed(1e4, 1e6, 0, vec![facts]);
            observed.single_look = single_look;
            let found = found::<FkMissing>(&observed).unwrap();
            (found.claims.len(), found.undecided.len(), found.untold)
        };
        let judged = |definition: Option<&str>| judged_in(definition, false);
        let index = |rest: &str| format!("CREATE INDEX t_a ON public.t USING {rest}");
        assert_eq!(judged(Some(&index("btree (a)"))), (0, 0, None));
        assert_eq!(judged(Some(&index("hash (a)"))), (0, 0, None));
        assert_eq!(judged(Some(&index("btree (a) WHERE (b > 0)"))).0, 1);
        assert_eq!(judged(None), (0, 1, Some(UNREAD.to_owned())));
        assert_eq!(judged_in(None, true), (1, 0, None), "nothing more comes");
        assert_eq!(judged_in(Some(&index("btree (a)")), true), (0, 0, None));
    }

    #[test]
    fn a_temporal_key_is_looked_up_by_its_other_columns_and_an_overlap() {
        let judged = |definition: Option<&str>| {
            let indexes = definition.map(|definition| IndexFacts {
                foreign_keys_in_part: [70].into(),
                definition: Some(format!("CREATE INDEX t_a ON public.t USING {definition}").into()),
                ..index(9, "t_a")
            });
            let mut observed = observed(1e4, 1e6, 0, indexes.into_iter().collect());
            let schema = observed.databases[0].schema.as_mut().unwrap();
            let mut facts = (*schema.facts).clone();
            facts.foreign_keys[0].columns.push("during".into());
            facts.foreign_keys[0].types.push("daterange".into());
            facts.foreign_keys[0].is_temporal = true;
            schema.facts = Arc::new(facts);
            claims::<FkMissing>(&observed).unwrap()
        };
        let bare = judged(None).remove(0);
        assert_eq!(
            bare.remedy.apply_sql,
            ["CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)"]
        );
        assert!(
            bare.explanation.contains("begins with its columns (a)."),
            "{}",
            bare.explanation
        );
        assert!(bare.remedy.caveats.iter().any(|caveat| caveat.contains("GiST")));
        for serves in ["btree (a)", "btree (a, b)", "hash (a)", "gist (during, a)"] {
            assert_eq!(judged(Some(serves)).len(), 0, "{serves}");
        }
        for does_not in ["btree (during, a)", "gist (during)", "btree (a) WHERE (b > 0)"] {
            assert_eq!(judged(Some(does_not)).len(), 1, "{does_not}");
        }
    }

    #[test]
    fn what_is_left_out_and_what_is_not_known() {
        let with_table = |change: fn(&mut TableFacts)| {
            let mut facts = vec![table(1, "t", 1e4, 1e6), table(2, "parent", 10.0, 8192.0)];
            change(&mut facts[0]);
            let found = found::<FkMissing>(&with(facts, 0, vec![])).unwrap();
            (found.claims.len(), found.undecided.len(), found.untold)
        };
        assert_eq!(with_table(|_| ()), (1, 0, None));
        assert_eq!(with_table(|facts| facts.owned_by_extension = true), (0, 0, None));
        assert_eq!(
            with_table(|facts| facts.rows = -1.0),
            (0, 1, Some(ROWS_UNKNOWN.to_owned()))
        );
        let building = IndexFacts {
            is_valid: false,
            may_be_in_progress: true,
            ..index(9, "t_a")
        };
        let waits = found::<FkMissing>(&observed(1e4, 1e6, 0, vec![building])).unwrap();
        assert_eq!(
            (waits.claims.len(), waits.untold.as_deref()),
            (0, Some(BEING_INDEXED))
        );
        let mut unread = observed(1e4, 1e6, 0, vec![]);
        unread.databases[0].schema = Err(Unknown::because("not now"));
        assert_eq!(found::<FkMissing>(&unread).unwrap_err().reason, "not now");
        let mut uncounted = observed(1e4, 1e6, 9, vec![]);
        uncounted.databases[0].table_activity = Err(Unknown::because("not now"));
        let claim = claims::<FkMissing>(&uncounted).unwrap().remove(0);
        assert_eq!(claim.severity, Severity::Info);
        assert!(
            claim
                .confidence
                .reason
                .contains("not checked: whether rows are deleted")
        );
    }

    #[test]
    fn what_index_missing_tells_is_not_told_twice() {
        let judged = |rehearsals: Rehearsals| {
            let mut observed = observed(1e4, 1e6, 0, vec![]);
            observed.databases[0].rehearsals = rehearsals;
            let found = found::<FkMissing>(&observed).unwrap();
            (found.claims.len(), found.undecided.len(), found.untold)
        };
        // an index on public.t (a), for a statement that cost 100 and took a hundredth of the time
        let known = |cost_after: f64, change: fn(&mut AdvisedIndex)| {
            let one = advised_statement("s1", &["CREATE a"], Some(cost_after));
            let mut advised = advised(&["CREATE a"], vec![one]);
            change(&mut advised.report.indexes[0]);
            judged(Rehearsals::Known(Arc::new(advised)))
        };
        assert_eq!(known(0.0, |_| ()), (0, 0, None));
        let also = known(0.0, |index| index.columns.push("b".into()));
        assert_eq!(also, (0, 0, None), "it begins with the column");
        assert_eq!(known(1.0, |_| ()), (0, 1, Some(NEARLY.to_owned())));
        assert_eq!(known(51.0, |_| ()), (1, 0, None), "not worth a finding there");
        let others: [fn(&mut AdvisedIndex); 4] = [
            |index| index.predicate = Some("b > 0".into()),
            |index| index.columns = vec!["b".into(), "a".into()],
            |index| index.method = "gin".into(),
            |index| index.table = "parent".into(),
        ];
        for other in others {
            assert_eq!(known(0.0, other), (1, 0, None), "it does not serve the key");
        }
        assert_eq!(judged(Rehearsals::Coming), (0, 1, Some(TO_BE_ASKED.to_owned())));
        assert_eq!(judged(Rehearsals::NotTried), (1, 0, None));
        let hardly_planned = || {
            let one = advised_statement("s1", &["CREATE a"], Some(1.0));
            let refused = |number: usize| advised_statement(&format!("refused{number}"), &[], None);
            let mut statements: Vec<_> = (0..8).map(refused).collect();
            statements.push(one);
            Rehearsals::Known(Arc::new(advised(&["CREATE a"], statements)))
        };
        assert_eq!(judged(hardly_planned()), (1, 0, None), "index.missing is skipped");
        let mut stopped = advised(&[], vec![advised_statement("s1", &[], Some(100.0))]);
        stopped.report.workload.was_stopped = true;
        let stopped = judged(Rehearsals::Known(Arc::new(stopped)));
        assert_eq!(
            stopped,
            (0, 1, Some(TO_BE_ASKED.to_owned())),
            "the next run may find it"
        );
        let mut unheard = observed(1e4, 1e6, 0, vec![]);
        let one = advised_statement("s1", &["CREATE a"], Some(0.0));
        unheard.databases[0].rehearsals = Rehearsals::Known(Arc::new(advised(&["CREATE a"], vec![one])));
        let key = &unheard.databases[0].schema.as_ref().unwrap().facts.foreign_keys[0];
        unheard.databases[0].missing_indexes_untold = [key.table_oid].into();
        let told = claims::<FkMissing>(&unheard).unwrap().len();
        assert_eq!(told, 1, "nobody hears of index.missing");
    }
}
