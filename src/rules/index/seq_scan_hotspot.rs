//! index.seq_scan_hotspot

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::missing::could_plan;
use crate::model::advice::{Advised, AdvisedIndex, AdvisedStatement};
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{DatabaseObservation, StatementDelta, TableDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::snapshot::StatementKind;
use crate::model::unit::count_for_people;
use crate::rules::advised_remedy;
use crate::rules::built::is_built;
use crate::rules::whole_tables::{Whole, Wholes, tell_undecided};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number, table_object};
use crate::sql::Command;
use crate::sql::remembered::{self, NamedTables};

/// A table that is read from end to end again and again.
///
/// ## Why it is bad
/// Each of these reads passes over all rows, mostly to find a few. That takes time at every call, and what was read pushes out
/// of memory what others need.
///
/// ## What to do
/// Where the planner was asked which index is missing, its answer is given. Else look at the statements that read the table,
/// the costliest first, with `EXPLAIN (ANALYZE, BUFFERS)`: a node `Seq Scan` with many "Rows Removed by Filter" asks for an
/// index on the columns of its filter.
///
/// ## When it is wrong to obey
/// When the statements need most of the rows: totals, exports, a backup with pg_dump. Then no index helps; a summary that is
/// kept, or a copy of the table for reports, may. One whole read in an hour is never enough to be told here: it takes
/// `minimum_scans`.
///
/// Of a window shorter than an hour, as `check --wait` may have, no rate is told: what was counted in it must be enough for half
/// an hour, and is told as info, without a number for an hour.
///
/// The server counts reads by table, not by statement, so that the statements that are shown are those that name the table,
/// not only those that read it whole. Building an index reads the table whole, too, and is counted. Small tables are left out:
/// to read them whole is the fastest way. So are materialized views, which each refresh CONCURRENTLY reads. Partitions are
/// judged together with their table. What was counted before an index of the table came says nothing of now: nothing is said
/// until a window has begun after that; nor, from PostgreSQL 16 on, where the last scan is longer ago than a quarter of the
/// window. Only a primary is judged; which index the statements of a standby lack, index.missing tells there. Source: PostgreSQL's chapter "The Cumulative Statistics System", pg_stat_all_tables.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeqScanHotspot {
    /// Rows that a table must have to be worth knowing.
    info_rows: i64,
    /// How many times its rows sequential scans must read in an hour for that.
    info_times_per_hour: f64,
    /// Rows that a table must have to be a warning.
    warning_rows: i64,
    /// How many times its rows sequential scans must read in an hour for that.
    warning_times_per_hour: f64,
    /// Scans of the table in the window, of partitions of the one that is read most, without which nothing is said.
    minimum_scans: i64,
}

impl Default for SeqScanHotspot {
    fn default() -> Self {
        Self {
            info_rows: 10_000,
            info_times_per_hour: 10.0,
            warning_rows: 50_000,
            warning_times_per_hour: 50.0,
            minimum_scans: 5,
        }
    }
}

/// Where the last scan is longer ago than this part of the window, it does not go on.
const QUIET_RATIO: f64 = 0.25;
const OUTDATED: &str = "an index came to some tables in the window in which they were read whole, or of late nobody read them \
                        whole: it takes another window to tell whether it goes on";

/// Statements that are looked at for the names of tables, and those of one table that are told.
const STATEMENTS_READ: usize = 200;
const STATEMENTS_TOLD: usize = 5;
/// Bytes of each of their texts.
const STATEMENT_BYTES: usize = 1_000;

impl Rule for SeqScanHotspot {
    const ID: &'static str = "index.seq_scan_hotspot";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let wholes = Wholes::watched(database)?;
        let mut found = Found::default();
        let mut hot: Vec<(f64, Severity, Whole<'_>)> = Vec::new();
        let mut outdated = Vec::new();
        let mut is_any_known = false;
        for whole in wholes.all().filter(|whole| whole.rows() >= self.info_rows as f64) {
            is_any_known |= whole.window().is_some();
            if whole.is_unknown() {
                found.undecided.push(whole.subject());
                continue;
            }
            let rows_per_hour = whole.per_hour(|delta| delta.sequential_rows_read);
            if whole.most(|delta| delta.sequential_scans) < self.minimum_scans {
                continue;
            }
            let Some(severity) = self.severity(whole.rows(), rows_per_hour) else {
                continue;
            };
            match Reading::of(database, &whole) {
                Reading::GoesOn => hot.push((rows_per_hour, whole.lower(severity), whole)),
                Reading::Unknown => outdated.push(whole.subject()),
                Reading::Over => found.mended.push(whole.subject()),
            }
        }
        tell_undecided(&mut found, is_any_known)?;
        if !outdated.is_empty() {
            found.untold = Some(OUTDATED.to_owned());
            found.undecided.extend(outdated);
        }
        hot.sort_by(|(a, a_severity, one), (b, b_severity, other)| {
            let by_severity = b_severity.cmp(a_severity).then(b.total_cmp(a));
            by_severity.then_with(|| one.name().cmp(&other.name()))
        });
        let named = match hot.is_empty() {
            true => Vec::new(),
            false => statements_and_names(place),
        };
        for (_, severity, whole) in &hot {
            found.claim_worst_first(
                place,
                || whole.subject(),
                || claim(place, *severity, whole, &named),
            );
        }
        Ok(found)
    }
}

impl SeqScanHotspot {
    fn severity(&self, rows: f64, rows_per_hour: f64) -> Option<Severity> {
        let is_hot = |least_rows: i64, times: f64| {
            rows >= least_rows as f64 && rows_per_hour >= times * rows && rows_per_hour > 0.0
        };
        if is_hot(self.warning_rows, self.warning_times_per_hour) {
            Some(Severity::Warning)
        } else if is_hot(self.info_rows, self.info_times_per_hour) {
            Some(Severity::Info)
        } else {
            None
        }
    }
}

/// Whether a table that was read whole in its window still is.
#[derive(Debug, PartialEq)]
enum Reading {
    GoesOn,
    Unknown,
    /// An index came, and nobody has read it whole since.
    Over,
}

impl Reading {
    fn of(database: &DatabaseObservation, whole: &Whole<'_>) -> Self {
        let Some(window) = whole.window() else {
            return Self::GoesOn;
        };
        let indexed_at = newest_index_at(database, whole).filter(|at| *at > window.from);
        let last_at = whole.last_sequential_scan_at();
        let is_quiet = last_at.is_some_and(|at| {
            let quiet_seconds = (window.to - at).num_seconds() as f64;
            whole.short_window().is_none() && quiet_seconds > QUIET_RATIO * window.seconds()
        });
        match (indexed_at, is_quiet) {
            (Some(indexed_at), true) if last_at <= Some(indexed_at) => Self::Over,
            (Some(_), _) | (None, true) => Self::Unknown,
            (None, false) => Self::GoesOn,
        }
    }
}

/// When the youngest index of a table or of its partitions was seen first, of those that came while somebody watched. A primary
/// key comes with its table.
fn newest_index_at(database: &DatabaseObservation, whole: &Whole<'_>) -> Option<DateTime<Utc>> {
    let parts = whole.parts.iter();
    let indexes = parts.flat_map(|part| database.catalog.indexes_of(part.facts.oid));
    let useful = indexes.filter(|facts| facts.is_valid && !facts.is_primary);
    let appeared_at = useful.filter_map(|facts| {
        let seen = &database.indexes;
        let place = seen.binary_search_by_key(&facts.oid, |index| index.oid).ok()?;
        seen[place].appeared_at
    });
    appeared_at.max()
}

/// The costliest statements of a database, with what they name.
pub(super) fn statements_and_names<'a>(place: &Place<'a>) -> Vec<(&'a StatementDelta, Arc<NamedTables>)> {
    let (Ok(activity), Some(database)) = (&place.observation.statements, place.database) else {
        return Vec::new();
    };
    let ours = activity.statements.iter().filter(|statement| {
        statement.database == database.name && statement.text.kind == StatementKind::Query
    });
    ours.take(STATEMENTS_READ)
        .filter_map(|statement| Some((statement, remembered::tables(&statement.text.text)?)))
        .collect()
}

/// Whether a statement may read a table: it names it, and not only to insert into it.
fn may_read(names: &NamedTables, whole: &Whole<'_>) -> bool {
    names.relations.iter().any(|relation| {
        let is_only_filled = names.command == Command::Insert && names.target.as_ref() == Some(relation);
        !is_only_filled && whole.is_named(relation.schema.as_deref(), &relation.name)
    })
}

fn told(statement: &StatementDelta) -> Value {
    json!({
        "statement": crate::sql::cut(&statement.text.text, STATEMENT_BYTES),
        "calls": statement.calls,
        "total_seconds": number(statement.seconds),
        "statement_id": statement.text.statement_id,
    })
}

fn claim(
    place: &Place<'_>,
    severity: Severity,
    whole: &Whole<'_>,
    named: &[(&StatementDelta, Arc<NamedTables>)],
) -> Claim {
    let table = whole.table;
    let times = whole.per_hour(|delta| delta.sequential_rows_read) / whole.rows().max(1.0);
    let scans = whole.sum(|delta| delta.sequential_scans);
    let rows_read = whole.sum(|delta| delta.sequential_rows_read);
    let readers = named.iter().filter(|(_, names)| may_read(names, whole));
    let statements: Vec<Value> = readers
        .take(STATEMENTS_TOLD)
        .map(|(statement, _)| told(statement))
        .collect();
    let (answer, remedy) = answer(place, whole);
    let mut guards = Guards::default();
    guards.checked("the table is not small");
    guards.checked(format!(
        "it was scanned {} times in the window, not once for an export",
        count_for_people(scans as f64)
    ));
    whole.guard_window(&mut guards);
    if whole.table.kind == 'p' {
        guards.checked("its partitions are counted together");
    }
    Claim {
        title: format!("{}.{} is read whole again and again", table.schema, table.name),
        explanation: format!("{} {answer}", explanation(whole)).trim_end().to_owned(),
        evidence: evidence([
            ("rows", json!(whole.rows() as i64)),
            ("sequential_scans", json!(scans)),
            ("sequential_rows_read", json!(rows_read)),
            (
                "sequential_rows_read_per_hour",
                whole.rate(|delta| delta.sequential_rows_read),
            ),
            (
                "times_its_rows_per_hour",
                json!(whole.short_window().is_none().then(|| number(times))),
            ),
            (
                "sequential_scans_per_hour",
                whole.rate(|delta| delta.sequential_scans),
            ),
            ("rows_per_scan", number(rows_read as f64 / scans.max(1) as f64)),
            ("size_bytes", json!(whole.size_bytes())),
            (
                "partitions",
                json!((table.kind == 'p').then_some(whole.parts.len())),
            ),
            (
                "statements",
                json!((!statements.is_empty()).then_some(statements)),
            ),
        ]),
        evidence_window: whole.window(),
        evidence_sql: Some(whole.evidence_sql("seq_scan, seq_tup_read, idx_scan, n_live_tup")),
        confidence: guards.confidence("counted by the server over the window"),
        remedy,
        guards: guards.told(),
        ..place.claim(
            SeqScanHotspot::ID,
            severity,
            whole.subject(),
            Some(table_object(table)),
        )
    }
}

/// How much of it was read, as a rate where the window is long enough for one.
fn explanation(whole: &Whole<'_>) -> String {
    let read = |delta: &TableDelta| delta.sequential_rows_read;
    let rows_read = match whole.short_window() {
        Some(_) => whole.sum(read) as f64,
        None => whole.per_hour(read),
    };
    format!(
        "Sequential scans read {}, {} times the {} rows that it has.",
        whole.pace(read, "rows of it"),
        count_for_people(rows_read / whole.rows().max(1.0)),
        count_for_people(whole.rows()),
    )
}

/// What the planner said of indexes for the table, as a sentence and as a remedy; no sentence where indexes came since.
fn answer(place: &Place<'_>, whole: &Whole<'_>) -> (String, Remedy) {
    let look = "Look at the statements that read it: EXPLAIN (ANALYZE, BUFFERS). A Seq Scan that removes most rows by its \
                filter asks for an index on the columns of the filter."
        .to_owned();
    let unasked = |why: &str| format!("The planner was not asked which index would help: {why}.");
    let (database, advised) = match place.database.map(|database| (database, &database.advice)) {
        Some((database, Ok(advised))) => (database, advised),
        Some((_, Err(unknown))) => return (unasked(&unknown.reason), told_only(vec![look])),
        None => return (unasked("no database is known"), told_only(vec![look])),
    };
    let is_ours = |index: &&AdvisedIndex| whole.is_named(Some(&index.schema), &index.table);
    let (built, indexes): (Vec<&AdvisedIndex>, Vec<&AdvisedIndex>) = advised
        .report
        .indexes
        .iter()
        .filter(is_ours)
        .partition(|index| is_built(&database.catalog, index));
    if indexes.is_empty() {
        let is_outdated = newest_index_at(database, whole).is_some_and(|at| at >= advised.at);
        if is_outdated || !built.is_empty() {
            return (String::new(), told_only(vec![look]));
        }
        let none = match why_unplanned(advised, whole) {
            Some(why) => format!("Which index would help is not known: {why}."),
            None => "The planner was asked for the costliest statements, and found no index of this table that is worth its \
                     price: they may need most of its rows, or be others."
                .to_owned(),
        };
        return (none, told_only(vec![look]));
    }
    let definitions: Vec<&str> = indexes.iter().map(|index| index.definition.as_str()).collect();
    let mut remedy = advised_remedy::remedy(&place.observation.server, &indexes);
    let saves = "What it saves, with the plans, is told by index.missing where it is worth that.";
    remedy.caveats.insert(0, saves.to_owned());
    (
        format!("The planner advises: {}.", definitions.join("; ")),
        remedy,
    )
}

/// Why the planner could not be asked for what reads a table, where that is so: most statements, or one that names it.
fn why_unplanned(advised: &Advised, whole: &Whole<'_>) -> Option<String> {
    if let Err(unknown) = could_plan(advised) {
        return Some(unknown.reason);
    }
    let reads_it = |one: &&AdvisedStatement| {
        one.is_unplanned() && remembered::tables(&one.text).is_some_and(|names| may_read(&names, whole))
    };
    let one = advised.report.statements.iter().find(reads_it)?;
    let reason = one.reason.as_deref().unwrap_or("the server refused");
    Some(format!("statements that name it could not be planned ({reason})"))
}

fn told_only(caveats: Vec<String>) -> Remedy {
    Remedy {
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::catalog::TableFacts;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::{Observation, TableActivity};
    use crate::rules::testing::{
        advised, advised_statement, claims, found, last_hour, observation, severities, statement, table,
        tables,
    };
    use crate::rules::whole_tables::NO_WINDOW;

    /// `public.t` with so many rows, of which so many were read in the last hour.
    fn observed(rows: f64, rows_read: i64) -> Observation {
        let mut observed = tables(vec![table(1, "t", rows, 1e7)]);
        let read = last_hour(1, |delta| {
            (delta.sequential_rows_read, delta.sequential_scans) = (rows_read, 20);
        });
        observed.databases[0].table_activity = Ok(vec![read]);
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let judged = |rows: f64, rows_read: i64| severities::<SeqScanHotspot>(&observed(rows, rows_read));
        assert_eq!(judged(10_000.0, 100_000), [Severity::Info]);
        assert_eq!(judged(10_000.0, 99_999), []);
        assert_eq!(judged(9_999.0, 1_000_000), [], "a small table");
        assert_eq!(judged(50_000.0, 2_500_000), [Severity::Warning]);
        assert_eq!(judged(50_000.0, 2_499_999), [Severity::Info]);
        assert_eq!(judged(49_999.0, 9_000_000), [Severity::Info]);
    }

    /// `public.t` as in the last hour, in a window of so many seconds.
    fn in_a_window(seconds: i64, rows: f64, scans: i64, rows_read: i64) -> Vec<Claim> {
        let mut observed = observed(rows, rows_read);
        let activity = observed.databases[0].table_activity.as_mut().unwrap();
        let delta = activity[0].over.as_mut().unwrap();
        delta.sequential_scans = scans;
        delta.window.from = delta.window.to - chrono::TimeDelta::seconds(seconds);
        claims::<SeqScanHotspot>(&observed).unwrap()
    }

    #[test]
    fn one_read_is_never_again_and_again() {
        assert_eq!(in_a_window(14, 60_000.0, 1, 60_000).len(), 0);
        let shrunk = in_a_window(3600, 60_000.0, 1, 6_000_000);
        assert_eq!(shrunk.len(), 0, "one scan, when it was larger");
        assert_eq!(in_a_window(3600, 60_000.0, 4, 6_000_000).len(), 0);
        assert_eq!(in_a_window(3600, 60_000.0, 5, 6_000_000).len(), 1);
    }

    #[test]
    fn some_seconds_are_no_rate_of_an_hour() {
        let told = |seconds: i64| in_a_window(seconds, 60_000.0, 40, 2_400_000).remove(0);
        let short = told(14);
        assert_eq!(short.severity, Severity::Info);
        assert_eq!(short.confidence.level, ConfidenceLevel::Estimated);
        let words = "rows of it in the last 14 s, 40 times the";
        assert!(short.explanation.contains(words), "{}", short.explanation);
        assert!(!short.evidence.keys().any(|key| key.ends_with("_per_hour")));
        let hour = in_a_window(3600, 60_000.0, 80, 4_800_000).remove(0);
        assert_eq!(hour.severity, Severity::Warning);
        assert_eq!(hour.confidence.level, ConfidenceLevel::Measured);
        assert!(hour.explanation.contains("in an hour, 80 times the"));
        assert_eq!(
            in_a_window(14, 60_000.0, 10, 299_999).len(),
            0,
            "not enough for half an hour"
        );
    }

    #[test]
    fn what_is_left_out_and_what_is_not_known() {
        let with = |change: fn(&mut TableFacts)| {
            let mut facts = table(1, "t", 10_000.0, 1e7);
            change(&mut facts);
            let mut observed = tables(vec![facts]);
            observed.databases[0].table_activity = Ok(vec![last_hour(1, |delta| {
                (delta.sequential_rows_read, delta.sequential_scans) = (1_000_000, 20);
            })]);
            claims::<SeqScanHotspot>(&observed).unwrap().len()
        };
        assert_eq!(with(|_| ()), 1);
        assert_eq!(with(|facts| facts.owned_by_extension = true), 0);
        assert_eq!(with(|facts| facts.kind = 'm'), 0, "a refresh reads it");
        let mut standby = observed(10_000.0, 1_000_000);
        standby.server.is_standby = true;
        assert!(found::<SeqScanHotspot>(&standby).is_err());
        let mut unread = observed(10_000.0, 1_000_000);
        unread.databases[0].table_activity = Err(Unknown::because("not now"));
        assert_eq!(found::<SeqScanHotspot>(&unread).unwrap_err().reason, "not now");
    }

    #[test]
    fn what_was_counted_before_an_index_came_says_nothing_of_now() {
        use crate::model::catalog::Catalog;
        use crate::rules::testing::{database, index, now};
        // the last scan and the first sight of an index, so many minutes ago, in a window of an hour
        let judged = |scanned: Option<i64>, indexed: Option<i64>| {
            let ago = |minutes: i64| now() - chrono::TimeDelta::minutes(minutes);
            let mut observed = observed(50_000.0, 50_000_000);
            let one = &mut observed.databases[0];
            one.table_activity.as_mut().unwrap()[0].last_sequential_scan_at = scanned.map(ago);
            let tables = vec![table(1, "t", 50_000.0, 1e7)];
            one.catalog = Arc::new(Catalog::new(tables.into(), vec![index(9, "i")].into()));
            one.indexes = database(vec![index(9, "i")]).databases.remove(0).indexes;
            one.indexes[0].appeared_at = indexed.map(ago);
            let found = found::<SeqScanHotspot>(&observed).unwrap();
            (found.claims.len(), found.undecided.len(), found.mended.len())
        };
        let (told, undecided, mended) = ((1, 0, 0), (0, 1, 0), (0, 0, 1));
        assert_eq!(judged(None, None), told);
        assert_eq!(judged(Some(1), None), told);
        assert_eq!(judged(Some(15), None), told, "a quarter of the window");
        assert_eq!(judged(Some(16), None), undecided, "it does not go on");
        assert_eq!(judged(None, Some(20)), undecided, "before 16");
        assert_eq!(judged(Some(1), Some(20)), undecided);
        assert_eq!(judged(Some(19), Some(20)), undecided, "the build reads it, too");
        assert_eq!(judged(Some(20), Some(20)), mended);
        assert_eq!(judged(Some(10), Some(5)), undecided, "too soon to tell");
        assert_eq!(
            judged(Some(1), Some(61)),
            told,
            "it is read whole in spite of the index"
        );
    }

    #[test]
    fn advice_that_is_older_than_an_index_of_the_table_is_not_quoted() {
        use crate::model::catalog::Catalog;
        use crate::rules::testing::{database, index, now};
        let explained = |advised_hours_ago: i64, definitions: &[&str]| {
            let hours_ago = |hours: i64| now() - chrono::TimeDelta::hours(hours);
            let mut observed = observed(10_000.0, 1_000_000);
            let one = &mut observed.databases[0];
            let tables = vec![table(1, "t", 10_000.0, 1e7)];
            one.catalog = Arc::new(Catalog::new(tables.into(), vec![index(9, "t_a_idx")].into()));
            one.indexes = database(vec![index(9, "t_a_idx")]).databases.remove(0).indexes;
            one.indexes[0].appeared_at = Some(hours_ago(2));
            let mut advised = advised(definitions, vec![]);
            advised.at = hours_ago(advised_hours_ago);
            one.advice = Ok(Arc::new(advised));
            claims::<SeqScanHotspot>(&observed).unwrap().remove(0).explanation
        };
        assert!(explained(1, &[]).contains("found no index of this table"));
        let outdated = explained(3, &[]);
        assert!(!outdated.contains("planner"), "{outdated}");
        assert!(outdated.ends_with('.'), "{outdated}");
        let built = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";
        assert!(!explained(1, &[built]).contains("planner"));
    }

    #[test]
    fn without_a_window_nothing_is_said() {
        let mut young = observed(10_000.0, 1_000_000);
        let activity = young.databases[0].table_activity.as_mut().unwrap();
        activity[0].over = None;
        assert_eq!(found::<SeqScanHotspot>(&young).unwrap_err().reason, NO_WINDOW);
        let mut both = tables(vec![table(1, "t", 10_000.0, 1e7), table(2, "u", 10_000.0, 1e7)]);
        let unknown = TableActivity {
            oid: 2,
            ..TableActivity::default()
        };
        both.databases[0].table_activity = Ok(vec![last_hour(1, |_| ()), unknown]);
        let judged = found::<SeqScanHotspot>(&both).unwrap();
        assert_eq!(judged.undecided, [["public".to_owned(), "u".to_owned()]]);
        assert_eq!(judged.untold.as_deref(), Some(NO_WINDOW));
        assert_eq!(judged.claims.len(), 0);
    }

    /// A table of two partitions, of which one was scanned so often.
    fn partitioned(scans: i64) -> Vec<Claim> {
        let mut parts = vec![
            table(1, "t", -1.0, 0.0),
            table(2, "t_1", 6_000.0, 1e6),
            table(3, "t_2", 6_000.0, 1e6),
        ];
        parts[0].kind = 'p';
        (parts[1].partition_of, parts[2].partition_of) = (Some(1), Some(1));
        let mut observed = tables(parts);
        observed.databases[0].table_activity = Ok(vec![
            last_hour(2, |delta| {
                (delta.sequential_rows_read, delta.sequential_scans) = (100_000, scans)
            }),
            last_hour(3, |delta| {
                (delta.sequential_rows_read, delta.sequential_scans) = (20_000, 4)
            }),
        ]);
        claims::<SeqScanHotspot>(&observed).unwrap()
    }

    #[test]
    fn partitions_are_one_table() {
        let few = partitioned(4).len();
        assert_eq!(few, 0, "a few scans of each are a few of the whole");
        let claims = partitioned(5);
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].subject, ["public", "t"]);
        assert_eq!(claims[0].evidence["times_its_rows_per_hour"], json!(10.0));
        assert_eq!(claims[0].evidence["partitions"], json!(2));
    }

    #[test]
    fn who_reads_it_and_what_the_planner_says_is_told() {
        let mut observed = observed(10_000.0, 1_000_000);
        let texts = [
            "SELECT 1 FROM t WHERE a = $1",
            "SELECT 1 FROM u",
            "INSERT INTO t VALUES ($1)",
            "UPDATE public.t SET a = 1",
        ];
        let texts = texts.iter().map(|text| statement(text, 9, 1.0)).collect();
        observed.statements = observation(texts, 0.0).statements;
        let claim = claims::<SeqScanHotspot>(&observed).unwrap().remove(0);
        let told = claim.evidence["statements"].as_array().unwrap();
        let told: Vec<&str> = told
            .iter()
            .map(|one| one["statement"].as_str().unwrap())
            .collect();
        assert_eq!(
            told,
            ["SELECT 1 FROM t WHERE a = $1", "UPDATE public.t SET a = 1"]
        );
        assert!(
            claim
                .explanation
                .contains("not asked which index would help: not recorded")
        );
        observed.databases[0].advice = Ok(Arc::default());
        let claim = claims::<SeqScanHotspot>(&observed).unwrap().remove(0);
        assert!(claim.explanation.contains("found no index of this table"));
        assert!(claim.remedy.apply_sql.is_empty());
    }

    #[test]
    fn nothing_is_said_of_what_could_not_be_planned() {
        // of three statements that each took a second so many could be planned; all read that table
        let told = |planned: usize, table: &str| {
            let one = |number: usize| AdvisedStatement {
                text: format!("SELECT {number} FROM {table}"),
                ..advised_statement(&format!("s{number}"), &[], (number < planned).then_some(100.0))
            };
            let mut observed = observed(10_000.0, 1_000_000);
            let statements = (0..3).map(one).collect();
            observed.databases[0].advice = Ok(Arc::new(advised(&[], statements)));
            claims::<SeqScanHotspot>(&observed).unwrap().remove(0).explanation
        };
        let none = "found no index of this table";
        let mostly_refused = told(1, "u");
        assert!(!mostly_refused.contains(none), "{mostly_refused}");
        assert!(
            mostly_refused.contains("not known: 2 of 3 statements could not be planned"),
            "{mostly_refused}"
        );
        let one_of_its_own = told(2, "t");
        assert!(!one_of_its_own.contains(none), "{one_of_its_own}");
        assert!(
            one_of_its_own.contains("not known: statements that name it could not be planned"),
            "{one_of_its_own}"
        );
        assert!(
            told(2, "u").contains(none),
            "what was not planned does not read it"
        );
        assert!(told(3, "t").contains(none));
    }
}
