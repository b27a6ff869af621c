//! index.blocks_hot

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::seq_scan_hotspot::statements_and_names;
use crate::model::advice::EarlierIndex;
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementDelta, Unknown};
use crate::model::remedy::{Remedy, Statement};
use crate::rules::built::is_as_advised;
use crate::rules::whole_tables::{Part, Whole, Wholes, tell_undecided};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number, table_object};
use crate::sql::expression::bare_columns;
use crate::sql::remembered::index_keys;
use crate::sql::remembered::{self, NamedTables};

/// A table is updated much, and most updates write to all of its indexes.
///
/// ## Why it is bad
/// An update whose new row version finds room in the same page, and changes no column that an index holds, writes to no index
/// (HOT). Every other one writes an entry to each index of the table, leaves a dead entry in each, and makes WAL for both;
/// VACUUM has to read all of the indexes to clean up.
///
/// ## What to do
/// Updates touch indexed columns, or pages are full. For the first, see whether an index over a column that is set all the
/// time (`updated_at`, a state, a counter) is worth that, or can do without the column. For the second, leave room in the
/// pages: `fillfactor` 90 or less. The columns that captured statements set, and the indexes that hold them, are shown.
///
/// ## When it is wrong to obey
/// When the index over the changed column serves the most important query. When rows are updated once, soon after they were
/// inserted, room in old pages is never used. A long transaction keeps old row versions, and with them full pages: nothing
/// helps but to end it.
///
/// From 16 on the server counts the updates whose new row version went to another page: their page was full. Room in pages is
/// advised where these are at least half of those that were not HOT; the others changed a column that an index holds. Before,
/// counters tell how many updates were HOT, not why the others were not. Which column it was they never tell: that an UPDATE
/// sets a column does not say that it changed it. Where all indexes that stand in the way were advised by index.missing, as far as
/// that is remembered, it is told as info: what updates pay for them was weighed. From 16 on BRIN indexes do not stand in the way, and are not counted as such.
/// Partitions are judged together with their table. Of a window shorter than an hour, as `check --wait` may have, no rate
/// is told: what was counted in it must be enough for half an hour, and is told as info. Source: PostgreSQL's chapter
/// "Heap-Only Tuples (HOT)", pg_stat_all_tables.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlocksHot {
    /// Updates in an hour from which it is a warning.
    warning_updates_per_hour: i64,
    /// Share of them, 0 to 1, that must be HOT.
    min_hot_share: f64,
}

impl Default for BlocksHot {
    fn default() -> Self {
        Self {
            warning_updates_per_hour: 10_000,
            min_hot_share: 0.5,
        }
    }
}

/// What pages are filled to where nothing else is said, and what leaves room for some updates.
const FULL: i64 = 100;
const WITH_ROOM: i64 = 90;
/// Partitions for which the remedy is written out: those with most updates.
const PARTITIONS: usize = 20;
/// The part of the updates that were not HOT, 0 to 1, from which full pages are the reason.
const FOR_WANT_OF_ROOM: f64 = 0.5;

impl Rule for BlocksHot {
    const ID: &'static str = "index.blocks_hot";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let wholes = Wholes::watched(database)?;
        let mut found = Found::default();
        let mut blocked: Vec<(f64, Whole<'_>)> = Vec::new();
        let mut is_any_known = false;
        for whole in wholes.all() {
            is_any_known |= whole.window().is_some();
            if whole.is_unknown() {
                found.undecided.push(whole.subject());
                continue;
            }
            let per_hour = whole.per_hour(|delta| delta.updated);
            let is_much = per_hour >= self.warning_updates_per_hour as f64 && per_hour > 0.0;
            if is_much && hot_share(&whole) < self.min_hot_share {
                blocked.push((per_hour, whole));
            }
        }
        tell_undecided(&mut found, is_any_known)?;
        blocked.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.name().cmp(&other.name())));
        if blocked.is_empty() {
            return Ok(found);
        }
        let updates = Updates::of(place);
        for (_, whole) in &blocked {
            let indexes = indexes_of(&database.catalog, whole);
            // without an index there is none to write to
            if !indexes.is_empty() {
                found.claim_worst_first(
                    place,
                    || whole.subject(),
                    || claim(place, whole, &indexes, &updates.columns(whole)),
                );
            }
        }
        Ok(found)
    }
}

/// The part of the updates, 0 to 1, that wrote to no index.
pub(super) fn hot_share(whole: &Whole<'_>) -> f64 {
    let hot = whole.sum(|delta| delta.hot_updated) as f64;
    hot / (whole.sum(|delta| delta.updated) as f64).max(1.0)
}

/// The part of the updates that were not HOT, 0 to 1, whose new version went to another page, since theirs was full; none where
/// that is not counted.
fn new_page_share(whole: &Whole<'_>) -> Option<f64> {
    let deltas = whole.parts.iter().filter_map(Part::over);
    let left: i64 = deltas.map(|delta| delta.new_page_updated).sum::<Option<i64>>()?;
    let others = whole.sum(|delta| delta.updated - delta.hot_updated);
    Some(left as f64 / (others as f64).max(1.0))
}

/// The indexes of a table, of a partitioned one those of the whole, or where it has none those of its partitions.
fn indexes_of<'a>(catalog: &'a Catalog, whole: &Whole<'_>) -> Vec<&'a IndexFacts> {
    let own: Vec<&IndexFacts> = catalog.indexes_of(whole.table.oid).collect();
    if !own.is_empty() || whole.table.kind != 'p' {
        return own;
    }
    let parts = whole.parts.iter();
    parts
        .flat_map(|part| catalog.indexes_of(part.facts.oid))
        .collect()
}

/// The captured statements that write to tables of a database, by the name of the table alone.
pub(super) struct Updates<'a>(HashMap<String, Vec<(&'a StatementDelta, Arc<NamedTables>)>>);

impl<'a> Updates<'a> {
    pub(super) fn of(place: &Place<'a>) -> Self {
        let mut by_name: HashMap<String, Vec<_>> = HashMap::new();
        for (statement, names) in statements_and_names(place) {
            if let Some(target) = &names.target {
                by_name
                    .entry(target.name.clone())
                    .or_default()
                    .push((statement, names));
            }
        }
        Self(by_name)
    }

    /// The columns that they set in a table.
    pub(super) fn columns(&self, whole: &Whole<'_>) -> BTreeSet<String> {
        let parts = whole.parts.iter().map(|part| part.facts);
        let names: BTreeSet<&str> = std::iter::once(whole.table)
            .chain(parts)
            .map(|facts| facts.name.as_str())
            .collect();
        let named = names.into_iter().filter_map(|name| self.0.get(name)).flatten();
        let writes = named.filter(|(_, names)| {
            let target = names.target.as_ref();
            target.is_some_and(|name| whole.is_named(name.schema.as_deref(), &name.name))
        });
        writes
            .filter_map(|(statement, _)| remembered::updated_columns(&statement.text.text))
            .flat_map(|columns| columns.iter().cloned().collect::<Vec<String>>())
            .collect()
    }
}

/// Whether an index holds one of these columns in a way that keeps an update of it from being HOT.
fn stands_in_the_way(facts: &IndexFacts, columns: &BTreeSet<String>, version_num: i32) -> bool {
    let definition = facts.definition.as_deref();
    definition.is_some_and(|definition| !held_columns(definition, version_num).is_disjoint(columns))
}

/// The columns whose updates an index keeps from being HOT, by its definition.
pub(super) fn held_columns(definition: &str, version_num: i32) -> BTreeSet<String> {
    let index = index_keys(definition).filter(|index| index.method != "brin" || version_num < 160_000);
    let Some(index) = index else {
        return BTreeSet::new();
    };
    let texts = index
        .keys
        .iter()
        .map(|key| &key.text)
        .chain(&index.include)
        .chain(&index.predicate);
    texts.flat_map(|text| bare_columns(text)).collect()
}

/// The names of those of a table's indexes that index.missing advised, as far as that is remembered.
fn advised_among<'a>(place: &Place<'_>, whole: &Whole<'_>, indexes: &[&'a IndexFacts]) -> Vec<&'a str> {
    let Some(Ok(advised)) = place.database.map(|database| &database.advice) else {
        return Vec::new();
    };
    let earlier = advised.earlier.values().flat_map(|known| &known.indexes).cloned();
    let all = earlier.chain(advised.report.indexes.iter().map(EarlierIndex::of));
    let of_table: Vec<EarlierIndex> = all
        .filter(|index| whole.is_named(Some(&index.schema), &index.table))
        .collect();
    let is_advised = |facts: &&&IndexFacts| of_table.iter().any(|index| is_as_advised(facts, index));
    let known = indexes.iter().filter(is_advised);
    known.map(|facts| facts.name.as_str()).collect()
}

/// What the pages of a table are filled to.
fn fillfactor(facts: &TableFacts) -> i64 {
    let own = facts.option("fillfactor").and_then(|value| value.parse().ok());
    own.unwrap_or(FULL)
}

fn claim(place: &Place<'_>, whole: &Whole<'_>, indexes: &[&IndexFacts], columns: &BTreeSet<String>) -> Claim {
    let table = whole.table;
    let (hot, new_page) = (hot_share(whole), new_page_share(whole));
    let version_num = place.observation.server.version_num;
    let blocking: Vec<&IndexFacts> = indexes
        .iter()
        .copied()
        .filter(|facts| stands_in_the_way(facts, columns, version_num))
        .collect();
    let in_the_way: Vec<&str> = blocking.iter().map(|facts| facts.name.as_str()).collect();
    let advised = advised_among(place, whole, &blocking);
    // what was weighed already is nothing to be warned of
    let severity = match !advised.is_empty() && advised.len() == in_the_way.len() {
        true => Severity::Info,
        false => whole.lower(Severity::Warning),
    };
    let least = whole.parts.iter().map(|part| fillfactor(part.facts)).min();
    let greatest = whole.parts.iter().map(|part| fillfactor(part.facts)).max();
    let mut guards = Guards::default();
    guards.checked("it has indexes to write to");
    whole.guard_window(&mut guards);
    if new_page.is_some() {
        guards.checked("whether pages were full: the updates that left their page are counted");
    }
    match columns.is_empty() {
        true => guards.not_checked("which columns are updated: no captured statement updates it"),
        false => {
            guards.checked("the columns that captured statements set were compared with those of its indexes")
        }
    }
    Claim {
        title: format!(
            "{}.{}: {:.0} % of its updates write to every index",
            table.schema,
            table.name,
            (1.0 - hot) * 100.0
        ),
        explanation: format!(
            "It had {}, and only {:.0} % of these updates are HOT; each of the others writes to all of its indexes ({}). {}",
            whole.pace(|delta| delta.updated, "updates"),
            hot * 100.0,
            indexes.len(),
            cause(new_page, columns, &in_the_way),
        ),
        evidence: evidence([
            ("updates_per_hour", whole.rate(|delta| delta.updated)),
            ("hot_ratio", number(hot)),
            ("new_page_ratio", new_page.map_or(Value::Null, number)),
            ("updates", json!(whole.sum(|delta| delta.updated))),
            ("hot_updates", json!(whole.sum(|delta| delta.hot_updated))),
            ("indexes", json!(indexes.len())),
            ("fillfactor_percent", json!(greatest)),
            (
                "least_fillfactor_percent",
                json!(least.filter(|_| least != greatest)),
            ),
            ("updated_columns", json!((!columns.is_empty()).then_some(columns))),
            (
                "indexes_over_them",
                json!((!in_the_way.is_empty()).then_some(&in_the_way)),
            ),
            (
                "advised_indexes",
                json!((!advised.is_empty()).then_some(&advised)),
            ),
            ("size_bytes", json!(whole.size_bytes())),
        ]),
        evidence_window: whole.window(),
        evidence_sql: Some(whole.evidence_sql(match new_page {
            Some(_) => "n_tup_upd, n_tup_hot_upd, n_tup_newpage_upd, n_dead_tup",
            None => "n_tup_upd, n_tup_hot_upd, n_dead_tup",
        })),
        confidence: guards.confidence("counted by the server over the window"),
        remedy: remedy(whole, new_page, about_indexes(&in_the_way, &advised)),
        guards: guards.told(),
        ..place.claim(
            BlocksHot::ID,
            severity,
            whole.subject(),
            Some(table_object(table)),
        )
    }
}

/// Which of the two it is, as counters tell from 16 on, or seems to be.
fn cause(new_page: Option<f64>, columns: &BTreeSet<String>, in_the_way: &[&str]) -> String {
    let set = columns
        .iter()
        .map(String::as_str)
        .collect::<Vec<&str>>()
        .join(", ");
    let over_them = || {
        let (number, names) = (in_the_way.len(), in_the_way.join(", "));
        format!("Captured statements set {set}, and {number} of its indexes are over such columns: {names}.")
    };
    if let Some(share) = new_page {
        let counted = format!(
            "Of these others {:.0} % found no room in their page and went to another one; the rest changed a column that an \
             index holds.",
            share * 100.0
        );
        return match in_the_way.is_empty() {
            true => counted,
            false => format!("{counted} {}", over_them()),
        };
    }
    let seems = match (set.is_empty(), in_the_way.is_empty()) {
        (true, _) => "Which of the two, counters do not tell.".to_owned(),
        (false, false) => over_them(),
        (false, true) => format!(
            "The costliest captured statements set {set}, which no index of it holds: more likely pages are full."
        ),
    };
    format!("Updates touch indexed columns, or pages are full. {seems}")
}

/// What is to be thought of the indexes that stand in the way, of which some were advised.
fn about_indexes(in_the_way: &[&str], advised: &[&str]) -> Vec<String> {
    let others = in_the_way.iter().filter(|name| !advised.contains(name));
    let others: Vec<&str> = others.copied().collect();
    let mut caveats = Vec::new();
    if !others.is_empty() {
        caveats.push(format!(
            "First see whether these indexes are worth it, or can do without the column: {}. Room in pages does not help an \
             update that changes what an index holds.",
            others.join(", ")
        ));
    }
    if !advised.is_empty() {
        caveats.push(format!(
            "index.missing advised {}: what such updates pay was taken off what it saves. Without it the statements that read by \
             it are slow again.",
            advised.join(", ")
        ));
    }
    caveats
}

/// Room in the pages of those parts that are filled to the brim, where that is what updates lack.
fn remedy(whole: &Whole<'_>, new_page: Option<f64>, mut caveats: Vec<String>) -> Remedy {
    let updates = |part: &&Part<'_>| part.over().map_or(0, |delta| delta.updated);
    let is_full = |part: &&Part<'_>| fillfactor(part.facts) >= FULL && updates(part) > 0;
    let mut full: Vec<&Part<'_>> = whole.parts.iter().filter(is_full).collect();
    full.sort_by(|a, b| {
        let most = updates(b).cmp(&updates(a));
        most.then_with(|| (&a.facts.schema, &a.facts.name).cmp(&(&b.facts.schema, &b.facts.name)))
    });
    caveats.push("Which index holds the changed column is not known from counters.".to_owned());
    if let Some(share) = new_page.filter(|share| *share < FOR_WANT_OF_ROOM) {
        caveats.push(format!(
            "Room in pages (fillfactor) would help few of them: {:.0} % went to another page.",
            share * 100.0
        ));
        return Remedy {
            caveats,
            ..Remedy::default()
        };
    }
    if full.is_empty() {
        caveats.push("Its pages have room by their fillfactor already.".to_owned());
        return Remedy {
            caveats,
            ..Remedy::default()
        };
    }
    if full.len() > PARTITIONS {
        caveats.push(format!(
            "{} more partitions are filled to 100 %.",
            full.len() - PARTITIONS
        ));
        full.truncate(PARTITIONS);
    }
    caveats.push(
        "It counts for pages that rows come to from then on: full ones stay so until their rows move or the table is rewritten \
         (pg_repack, or VACUUM FULL with its lock). The table grows by up to a ninth."
            .to_owned(),
    );
    let named = |part: &Part<'_>| (part.facts.schema.clone(), part.facts.name.clone());
    let set = |part: &Part<'_>, value: &str| {
        let (schema, table) = named(part);
        let value = value.to_owned();
        Statement::SetStorageParameter {
            schema,
            table,
            name: "fillfactor",
            value,
        }
        .sql()
    };
    let back = |part: &Part<'_>| match part.facts.option("fillfactor") {
        Some(own) => set(part, own),
        None => {
            let (schema, table) = named(part);
            Statement::ResetStorageParameter {
                schema,
                table,
                name: "fillfactor",
            }
            .sql()
        }
    };
    Remedy {
        apply_sql: full
            .iter()
            .map(|part| set(part, &WITH_ROOM.to_string()))
            .collect(),
        undo_sql: full.iter().map(|part| back(part)).collect(),
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::catalog::Catalog;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, index, last_hour, observation, statement, table, tables};

    /// `public.t`, with an index on (a), updated in the last hour; `change` what is known of it.
    fn observed(updated: i64, hot_updated: i64, change: impl FnOnce(&mut TableFacts)) -> Observation {
        let mut facts = table(1, "t", 1000.0, 1e7);
        change(&mut facts);
        let mut observed = tables(vec![facts.clone()]);
        let database = &mut observed.databases[0];
        database.catalog = Arc::new(Catalog::new(vec![facts].into(), vec![index(9, "i")].into()));
        database.table_activity = Ok(vec![last_hour(1, |delta| {
            (delta.updated, delta.hot_updated) = (updated, hot_updated);
        })]);
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let judged = |updated: i64, hot: i64| {
            claims::<BlocksHot>(&observed(updated, hot, |_| ()))
                .unwrap()
                .len()
        };
        assert_eq!(judged(10_000, 4_999), 1);
        assert_eq!(judged(9_999, 0), 0);
        assert_eq!(judged(10_000, 5_000), 0);
        assert_eq!(judged(0, 0), 0);
    }

    #[test]
    fn some_seconds_are_no_rate_of_an_hour() {
        let judged = |updated: i64| {
            let mut observed = observed(updated, 0, |_| ());
            let activity = observed.databases[0].table_activity.as_mut().unwrap();
            let window = &mut activity[0].over.as_mut().unwrap().window;
            window.from = window.to - chrono::TimeDelta::seconds(12);
            observed.statements = observation(vec![statement("UPDATE t SET a = $1", 9, 1.0)], 0.0).statements;
            claims::<BlocksHot>(&observed).unwrap()
        };
        assert_eq!(judged(4_999).len(), 0, "too few for half an hour");
        let told = judged(5_000).remove(0);
        assert_eq!(told.severity, Severity::Info);
        assert_eq!(told.confidence.level, ConfidenceLevel::Estimated);
        let words = "000 updates in the last 12 s, and only 0 %";
        assert!(told.explanation.contains(words), "{}", told.explanation);
        assert!(!told.evidence.contains_key("updates_per_hour"));
        let hour = claims::<BlocksHot>(&observed(10_000, 0, |_| ())).unwrap();
        assert_eq!(hour[0].severity, Severity::Warning);
    }

    #[test]
    fn what_is_left_out_and_what_is_not_known() {
        let of_extension = observed(10_000, 0, |facts| facts.owned_by_extension = true);
        assert_eq!(claims::<BlocksHot>(&of_extension).unwrap().len(), 0);
        let mut without_index = observed(10_000, 0, |_| ());
        let facts = table(1, "t", 1000.0, 1e7);
        without_index.databases[0].catalog = Arc::new(Catalog::new(vec![facts].into(), Vec::new().into()));
        assert_eq!(claims::<BlocksHot>(&without_index).unwrap().len(), 0);
        let mut young = observed(10_000, 0, |_| ());
        young.databases[0].table_activity.as_mut().unwrap()[0].over = None;
        assert!(
            found::<BlocksHot>(&young)
                .unwrap_err()
                .reason
                .contains("an hour apart")
        );
    }

    #[test]
    fn room_is_made_only_where_there_is_none() {
        let remedy = |options: &[&str]| {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            let observed = observed(10_000, 0, |facts| facts.options = options);
            let remedy = claims::<BlocksHot>(&observed).unwrap().remove(0).remedy;
            (remedy.apply_sql.join(";"), remedy.undo_sql.join(";"))
        };
        let set = "ALTER TABLE public.t SET (fillfactor = 90)".to_owned();
        assert_eq!(
            remedy(&[]),
            (set.clone(), "ALTER TABLE public.t RESET (fillfactor)".to_owned())
        );
        assert_eq!(
            remedy(&["fillfactor=100"]),
            (set, "ALTER TABLE public.t SET (fillfactor = 100)".to_owned())
        );
        assert_eq!(remedy(&["fillfactor=80"]), (String::new(), String::new()));
    }

    #[test]
    fn room_is_advised_only_where_updates_left_their_page_if_that_is_counted() {
        let told = |new_page_updated: Option<i64>| {
            let mut observed = observed(12_000, 2_000, |_| ());
            let activity = observed.databases[0].table_activity.as_mut().unwrap();
            activity[0].over.as_mut().unwrap().new_page_updated = new_page_updated;
            claims::<BlocksHot>(&observed).unwrap().remove(0)
        };
        let room = |new_page_updated: Option<i64>| !told(new_page_updated).remedy.apply_sql.is_empty();
        assert!(room(None), "before 16 nobody knows");
        assert!(room(Some(5_000)));
        assert!(!room(Some(4_999)));
        let counted = told(Some(1_000));
        assert_eq!(counted.evidence["new_page_ratio"], json!(0.1));
        assert!(
            counted.explanation.contains("10 % found no room"),
            "{}",
            counted.explanation
        );
        let unknown = told(None);
        assert!(!unknown.evidence.contains_key("new_page_ratio"));
        assert!(
            unknown.explanation.contains("counters do not tell"),
            "{}",
            unknown.explanation
        );
    }

    #[test]
    fn an_index_that_was_advised_is_named_as_such_and_no_warning() {
        use crate::model::advice::EarlierAdvice;
        use crate::rules::testing::{advised, advised_index};
        let told = |definition: Option<&str>| {
            let mut observed = observed(10_000, 0, |_| ());
            observed.statements = observation(vec![statement("UPDATE t SET a = $1", 9, 1.0)], 0.0).statements;
            let mut advised = advised(&[], vec![]);
            let indexes = definition.map(|definition| EarlierIndex::of(&advised_index(definition)));
            let known = EarlierAdvice {
                indexes: indexes.into_iter().collect(),
                ..EarlierAdvice::default()
            };
            let missing = crate::model::advice::MissingIndex {
                schema: "public".into(),
                table: "t".into(),
                leading_key: "a".into(),
            };
            advised.earlier.insert(missing, known);
            observed.databases[0].advice = Ok(Arc::new(advised));
            let claim = claims::<BlocksHot>(&observed).unwrap().remove(0);
            (claim.severity, claim.remedy.caveats[0].clone())
        };
        let (severity, caveat) = told(Some("CREATE INDEX CONCURRENTLY i ON public.t USING btree (a)"));
        assert_eq!(severity, Severity::Info);
        assert!(caveat.starts_with("index.missing advised i:"), "{caveat}");
        for other in [
            None,
            Some("CREATE INDEX CONCURRENTLY o ON public.t USING btree (b)"),
        ] {
            let (severity, caveat) = told(other);
            assert_eq!(severity, Severity::Warning);
            assert!(caveat.starts_with("First see whether these indexes"), "{caveat}");
        }
    }

    #[test]
    fn the_columns_that_are_set_are_compared_with_those_of_the_indexes() {
        let told = |text: &str, definition: &str, version_num: i32| {
            let mut observed = observed(10_000, 0, |_| ());
            observed.server.version_num = version_num;
            observed.statements = observation(vec![statement(text, 9, 1.0)], 0.0).statements;
            let facts = table(1, "t", 1000.0, 1e7);
            let index = IndexFacts {
                definition: Some(definition.into()),
                ..index(9, "i")
            };
            observed.databases[0].catalog = Arc::new(Catalog::new(vec![facts].into(), vec![index].into()));
            let claim = claims::<BlocksHot>(&observed).unwrap().remove(0);
            (
                claim.evidence.contains_key("indexes_over_them"),
                claim.confidence.level,
            )
        };
        let update = "UPDATE t SET \"B c\" = $1, d = $2 WHERE a = $3";
        let (yes, no) = (
            (true, ConfidenceLevel::Measured),
            (false, ConfidenceLevel::Measured),
        );
        let index = |rest: &str| format!("CREATE INDEX i ON public.t USING {rest}");
        assert_eq!(told(update, &index("btree (\"B c\")"), 170_000), yes);
        assert_eq!(told(update, &index("btree (a)"), 170_000), no);
        assert_eq!(told(update, &index("btree (lower(d))"), 170_000), yes);
        assert_eq!(told(update, &index("btree (a) INCLUDE (d)"), 170_000), yes);
        assert_eq!(told(update, &index("btree (a) WHERE (d > 0)"), 170_000), yes);
        assert_eq!(told(update, &index("brin (d)"), 170_000), no);
        assert_eq!(told(update, &index("brin (d)"), 150_000), yes);
        let of_another = told("UPDATE u SET d = 1", &index("btree (d)"), 170_000);
        assert_eq!(of_another, (false, ConfidenceLevel::Estimated));
    }
}
