//! index.missing

mod gain;
mod guards;
mod hot;
mod on_standby;
mod remedy;
mod title;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::gain::Gain;
use self::guards::guards;
use self::hot::{EndedHot, Updated};
use self::remedy::remedy;
use crate::model::advice::{
    Advised, AdvisedIndex, AdvisedStatement, EarlierAdvice, EarlierIndex, MissingIndex, StatementStatus,
};
use crate::model::catalog::{Catalog, TableFacts};
use crate::model::finding::{Claim, Confidence, ConfidenceLevel, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{Observation, Unknown};
use crate::model::remedy::{created_extension, qualified};
use crate::model::snapshot::ServerFacts;
use crate::model::unit::{Period, bytes_for_people, seconds_for_people};
use crate::rules::built::{is_built, was_built};
use crate::rules::statements::tell_of_totals;
use crate::rules::{Found, Place, Rule, Scope, evidence, number, settings};

/// Statements that would cost far less if an index were there that is not.
///
/// ## Why it is bad
/// Every call reads and throws away rows that an index would have left out, or sorts what an index holds in order. The time
/// is lost at each call, and what was read pushes out of memory what others need.
///
/// ## What to do
/// Run the CREATE INDEX CONCURRENTLY. It was not guessed: PostgreSQL's own planner was asked, with the index present as a
/// hypothetical one (HypoPG), for every statement of the workload that could be planned, together with all other indexes that
/// are advised. The plans as they are and as they would be stand beside it.
///
/// ## When it is wrong to obey
/// Costs are the planner's units and rest on its statistics. It was asked for a generic plan, which serves all values of the
/// parameters alike: a statement that is always called with the rarest or the commonest value may gain more or less; a list in
/// which pg_stat_statements left one parameter counts as a list of one, and pages by OFFSET as the average of the first and one
/// far behind it, as far as that could be planned: those still further behind save less. If the
/// statement is a report that nobody waits for, the index may cost more in disk and writes than it is worth to you; the price
/// of writes is taken from the INSERT, UPDATE and DELETE statements of the same window.
///
/// Judged on the costliest statements of each database over the last window of pg_stat_statements, anew every
/// `advise_every` of the server and soon after an index came or went; what is there by then is not named. What rests on totals that
/// began before the first look of a daemon is info until a window of its own shows it again. Needs HypoPG in the database, and a login that may read
/// the tables (`planner_dsn`). Without HypoPG it is skipped, since nothing would be proven; `pgadvisor advise` gives candidates all the
/// same, as *estimated*.
///
/// On a standby it judges what runs there, which the primary does not see: the index is made on the primary, and what its writes
/// would pay for it there is not known. Sources: PostgreSQL's chapter "Using EXPLAIN"; Kossmann and others, "Magic mirror in my
/// hand, which is the best in the land?" (PVLDB 13, 2020).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// Share of all database time, 0 to 1, that must be saved to be worth knowing. A finding stays until it saves less than
    /// half of that: one window is not like another.
    info_share: f64,
    /// Share of all database time, 0 to 1, that must be saved to be a warning.
    warning_share: f64,
    /// The part of its cost, 0 to 1, that at least one statement must save.
    saved_of_a_statement: f64,
}

impl Default for Missing {
    fn default() -> Self {
        Self {
            info_share: 0.01,
            warning_share: 0.1,
            saved_of_a_statement: 0.5,
        }
    }
}

/// Statements that are told, with the numbers of each.
const STATEMENTS: usize = 20;
/// Statements whose plans are told.
const PLANS: usize = 3;

impl Rule for Missing {
    const ID: &'static str = "index.missing";
    const SCOPE: Scope = Scope::Database;
    /// Advice is the same for many minutes: seen twice it says nothing new, and what is nearly worth it stays anyway.
    const CLEAR: Period = Period::seconds(0);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let advised = place.database()?.advice.as_ref();
        let advised = advised.map_err(|unknown| at_its_place(unknown, &place.observation.server))?;
        let unplanned = could_plan(advised)?;
        let groups = groups(advised);
        let mut found = Found {
            absence_is_no_proof: why_stopped(advised).or_else(|| advised.still_filling.clone()),
            untold: unplanned,
            ..Found::default()
        };
        let catalog = &place.database()?.catalog;
        let updated = Updated::of(place);
        for (missing, indexes) in &groups {
            // what was built since then is not missing any more, though the next advice may be long in coming
            let missed = indexes.iter().copied().filter(|index| !is_built(catalog, index));
            let missed: Vec<&AdvisedIndex> = missed.collect();
            if missed.is_empty() {
                found.mended.push(missing.subject());
                continue;
            }
            let is_built_in_part = missed.len() < indexes.len();
            let missed = self.worthy(advised, missed);
            let gains = Gain::all(advised, &missed);
            match self.worth(advised, &gains) {
                Worth::Told => {
                    let mut claim = self.claim(&updated, advised, missing, &missed, &gains);
                    tell_of_totals(&mut claim, advised.window, advised.looked_only_since);
                    found.claims.push(claim);
                }
                Worth::Nearly => {
                    found.undecided.push(missing.subject());
                    // that the advice is not whole matters more
                    if found.absence_is_no_proof.is_none() {
                        found.untold.get_or_insert_with(|| NEARLY.to_owned());
                    }
                }
                // what is left of it is no problem
                Worth::Nothing if is_built_in_part => found.mended.push(missing.subject()),
                Worth::Nothing => {}
            }
        }
        let is_there =
            |missing: &MissingIndex| catalog.table_named(&missing.schema, &missing.table).is_some();
        // what was advised for a table that is gone is gone with it
        let earlier = advised.earlier.iter().filter(|(missing, _)| is_there(missing));
        for (missing, known) in earlier.filter(|(missing, _)| !groups.contains_key(*missing)) {
            // advice that is made with one index there already does not name it, and may be silent of others for other reasons
            if is_mended(catalog, advised, known) {
                found.mended.push(missing.subject());
                continue;
            }
            if !was_seen(advised, known) {
                found.undecided.push(missing.subject());
                found.untold.get_or_insert_with(|| UNCALLED.to_owned());
            }
        }
        Ok(found)
    }
}

/// Whether the planner was asked about some statement that it was advised for, as far as these are known.
fn was_seen(advised: &Advised, known: &EarlierAdvice) -> bool {
    let mut statements = known.statements.iter();
    known.statements.is_empty() || statements.any(|id| advised.activity.contains_key(id))
}

/// Whether the indexes that were advised earlier are there by now: all of them, or some, where the planner that was asked about
/// their statements since then wants no others.
fn is_mended(catalog: &Catalog, advised: &Advised, known: &EarlierAdvice) -> bool {
    let is_there = |index: &&EarlierIndex| was_built(catalog, index);
    let built = known.indexes.iter().filter(is_there).count();
    let wants_no_others = || was_seen(advised, known) && why_stopped(advised).is_none();
    built > 0 && (built == known.indexes.len() || wants_no_others())
}

/// What there is to be had meanwhile.
const UNPROVEN: &str = "`pgadvisor advise` gives candidates without it, which nothing proves";

/// Why the planner was not asked; where an extension is missing, with what there is without HypoPG, and what a managed service wants
/// before.
fn at_its_place(unknown: &Unknown, server: &ServerFacts) -> Unknown {
    let sql = unknown.remedy_sql.as_deref();
    let Some(extension) = sql.and_then(created_extension) else {
        return on_standby::mended(unknown.clone(), server);
    };
    let mut reason = unknown.reason.clone();
    if extension == "hypopg" {
        reason = format!("{reason}; {UNPROVEN}");
    }
    if let Some(before) = settings::before_create(server, extension) {
        reason = format!("{reason}. {before}");
    }
    let unknown = Unknown {
        reason,
        remedy_sql: unknown.remedy_sql.clone(),
    };
    on_standby::mended(unknown, server)
}

/// Why nothing is decided of what is nearly worth an index.
pub const NEARLY: &str = "an index would save less than is worth telling, and more than half of that: what is open stays, and \
                          nothing new is told";

/// Why nothing is decided of what was advised earlier.
const UNCALLED: &str = "statements that an index was advised for earlier were not called in this window";

/// The advised indexes by the problem that they mend.
fn groups(advised: &Advised) -> BTreeMap<MissingIndex, Vec<&AdvisedIndex>> {
    let mut groups: BTreeMap<MissingIndex, Vec<&AdvisedIndex>> = BTreeMap::new();
    for index in &advised.report.indexes {
        groups.entry(MissingIndex::of(index)).or_default().push(index);
    }
    groups
}

/// What is made of an advised index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It saves too little.
    Nothing,
    /// What is open stays, and nothing new is said.
    Nearly,
    /// It is a finding.
    Told,
}

/// What this rule, with thresholds that nobody changed, makes of an advised index that begins with these columns of a table,
/// in any order: for rules that would advise the same. Nothing, where most of the time goes into what could not be planned:
/// then this rule tells of no index. None, where the run was stopped before it found one: the next may.
pub(super) fn worth_on(advised: &Advised, table: &TableFacts, columns: &[String]) -> Option<Worth> {
    let wanted: BTreeSet<&String> = columns.iter().collect();
    let serves = |index: &&AdvisedIndex| {
        let first: BTreeSet<&String> = index.columns.iter().take(columns.len()).collect();
        (&index.schema, &index.table) == (&table.schema, &table.name)
            && index.predicate.is_none()
            && ["btree", "hash"].contains(&index.method.as_str())
            && first == wanted
    };
    let nothing = (!advised.report.workload.was_stopped).then_some(Worth::Nothing);
    if could_plan(advised).is_err() {
        return nothing;
    }
    let rule = Missing::default();
    let worth = groups(advised)
        .into_values()
        // what a group is worth takes all statements, and it is asked for every foreign key
        .filter(|indexes| indexes.iter().any(serves))
        .map(|indexes| rule.worthy(advised, indexes))
        .filter(|indexes| indexes.iter().any(serves))
        .map(|indexes| rule.worth(advised, &Gain::all(advised, &indexes)))
        .max();
    worth.filter(|worth| *worth > Worth::Nothing).or(nothing)
}

/// What a reason says where the login that plans lacks a right: the words of the index advisor, not those of the server.
const MAY_NOT_READ: &str = "may not read";

/// Where most of the time goes into statements that could not be planned, nothing is known, least of all that nothing is
/// missing. Gives what is to be said of the others.
pub(super) fn could_plan(advised: &Advised) -> Result<Option<String>, Unknown> {
    let statements = &advised.report.statements;
    let planned_seconds: f64 = advised.activity.values().map(|did| did.seconds).sum();
    let unplanned = statements.iter().filter(|one| one.is_unplanned());
    let Some(reason) = unplanned.clone().find_map(|one| one.reason.as_deref()) else {
        return Ok(None);
    };
    let told = format!(
        "{} of {} statements could not be planned ({reason})",
        unplanned.count(),
        statements.len()
    );
    if planned_seconds >= advised.unplanned_seconds {
        return Ok(Some(told));
    }
    let remedy = match reason.contains(MAY_NOT_READ) {
        true => "; give a login that may read the tables as planner_dsn: pgadvisor setup prints one",
        false => "",
    };
    Err(Unknown::because(format!("{told}{remedy}")))
}

impl Missing {
    /// Of the indexes of one finding those that are worth it by themselves, or nearly, so that a little does not decide which are
    /// told; and what a statement takes together with one of these; all of them, where none is by itself.
    fn worthy<'a>(&self, advised: &Advised, indexes: Vec<&'a AdvisedIndex>) -> Vec<&'a AdvisedIndex> {
        let is_told =
            |index: &&&AdvisedIndex| self.worth(advised, &Gain::all(advised, &[**index])) >= Worth::Nearly;
        let told: BTreeSet<&str> = indexes
            .iter()
            .filter(is_told)
            .map(|index| index.definition.as_str())
            .collect();
        if told.is_empty() {
            return indexes;
        }
        let takes = |statement: &AdvisedStatement, is_it: &dyn Fn(&str) -> bool| {
            statement.uses.iter().any(|used| is_it(used.as_str()))
        };
        let is_needed = |index: &AdvisedIndex| {
            told.contains(index.definition.as_str())
                || advised.report.statements.iter().any(|statement| {
                    takes(statement, &|used: &str| used == index.definition)
                        && takes(statement, &|used: &str| told.contains(used))
                })
        };
        indexes.iter().copied().filter(|index| is_needed(index)).collect()
    }

    fn worth(&self, advised: &Advised, gains: &[Gain<'_>]) -> Worth {
        let saves_enough = |gain: &Gain<'_>| gain.saved_ratio >= self.saved_of_a_statement;
        match share(advised, gains) {
            share if share >= self.info_share && gains.iter().any(saves_enough) => Worth::Told,
            share if (self.info_share / 2.0..self.info_share).contains(&share) => Worth::Nearly,
            _ => Worth::Nothing,
        }
    }

    fn claim(
        &self,
        updated: &Updated<'_, '_>,
        advised: &Advised,
        missing: &MissingIndex,
        indexes: &[&AdvisedIndex],
        gains: &[Gain<'_>],
    ) -> Claim {
        let place = updated.place;
        let saved_seconds: f64 = gains.iter().map(|gain| gain.saved_seconds).sum();
        let share = share(advised, gains);
        let severity = match share >= self.warning_share {
            true => Severity::Warning,
            false => Severity::Info,
        };
        let days = advised
            .window
            .map_or(1.0, |window| window.seconds().max(1.0) / 86_400.0);
        let size_bytes: Option<f64> = indexes.iter().map(|index| index.size_bytes).sum();
        let table = qualified(&missing.schema, &missing.table);
        let object = Object {
            kind: ObjectKind::Table,
            schema: Some(missing.schema.clone()),
            name: missing.table.clone(),
            table: None,
        };
        let server = &place.observation.server;
        let writes: Option<f64> = indexes.iter().map(|index| index.write_cost_per_day).sum();
        let writes = writes.filter(|_| !server.is_standby);
        let ended_hot = EndedHot::by(updated, indexes);
        let mut remedy = remedy(server, indexes, gains);
        remedy.caveats.extend(ended_hot.as_ref().map(EndedHot::told));
        Claim {
            title: format!("{table} lacks an index on {}", title::keys(indexes)),
            explanation: explanation(gains, share, saved_seconds / days, size_bytes)
                + &advised.told_when_late(place.observation.now),
            evidence: evidence([
                ("saved_seconds_per_day", number(saved_seconds / days)),
                ("saved_share_ratio", number(share)),
                ("size_bytes", json!(size_bytes)),
                ("write_cost_per_day", writes.map(number).unwrap_or_default()),
                (
                    "ends_hot_updates_of",
                    json!(ended_hot.as_ref().map(|ended| &ended.columns)),
                ),
                (
                    "hot_ratio",
                    json!(ended_hot.as_ref().and_then(|ended| ended.hot_ratio).map(number)),
                ),
                ("definitions", on_standby::definitions(server, indexes)),
                ("what_if_calls", json!(advised.report.workload.what_if_calls)),
                ("statements_planned", json!(planned(advised))),
                ("statements_improved", json!(gains.len())),
                (
                    "statements",
                    gains.iter().take(STATEMENTS).map(Gain::evidence).collect(),
                ),
                (
                    "plans",
                    gains
                        .iter()
                        .filter(|gain| gain.has_plans())
                        .take(PLANS)
                        .map(Gain::plans)
                        .collect(),
                ),
            ]),
            evidence_window: advised.window,
            evidence_sql: evidence_sql(place.observation, gains),
            impact: Impact {
                db_seconds_per_day: Some(saved_seconds / days),
                ..Impact::default()
            },
            confidence: confidence(indexes),
            remedy,
            guards: guards(advised, gains, server).told(),
            ..place.claim(Self::ID, severity, missing.subject(), Some(object))
        }
    }
}

/// Why the run ended before everything was tried, where it did.
fn why_stopped(advised: &Advised) -> Option<String> {
    let workload = &advised.report.workload;
    let why = workload.stopped.map_or("the time was over", |why| why.words());
    workload
        .was_stopped
        .then(|| format!("{why} before everything was tried"))
}

/// The part of all database time that is saved.
fn share(advised: &Advised, gains: &[Gain<'_>]) -> f64 {
    let saved_seconds: f64 = gains.iter().map(|gain| gain.saved_seconds).sum();
    saved_seconds / advised.total_seconds.max(f64::MIN_POSITIVE)
}

fn planned(advised: &Advised) -> usize {
    let statements = advised.report.statements.iter();
    statements
        .filter(|one| one.status != StatementStatus::NotPlanned)
        .count()
}

fn explanation(gains: &[Gain<'_>], share: f64, seconds_per_day: f64, size_bytes: Option<f64>) -> String {
    let statements = match gains.len() {
        1 => "One statement would use it".to_owned(),
        count => format!("{count} statements would use it"),
    };
    let best = gains.iter().map(|gain| gain.saved_ratio).fold(0.0, f64::max);
    let pages = if gains.iter().any(Gain::has_first_page_alone) {
        " Of pages by OFFSET that is said of the first; those behind it save less."
    } else if gains.iter().any(Gain::has_later_page) {
        " Of pages by OFFSET that is the average of the first and one far behind it; those further behind save less."
    } else {
        ""
    };
    let size = size_bytes.map_or(String::new(), |bytes| {
        format!(" It takes about {}.", bytes_for_people(bytes))
    });
    format!(
        "{statements}, and the planner says that the best of them would cost {:.1} % of what it costs now. If time falls as \
         cost does, that saves {} a day, {:.1} % of the database time.{pages}{size}",
        100.0 * (1.0 - best),
        seconds_for_people(seconds_per_day),
        100.0 * share
    )
}

/// The statements where the server counts them.
fn evidence_sql(observation: &Observation, gains: &[Gain<'_>]) -> Option<String> {
    let activity = observation.statements.as_ref().ok()?;
    let ids: Vec<String> = gains.iter().map(|gain| gain.queryid.to_string()).collect();
    Some(format!(
        "SELECT calls, total_exec_time, mean_exec_time, query\n  FROM {} WHERE queryid IN ({})",
        activity.view(),
        ids.join(", ")
    ))
}

fn confidence(indexes: &[&AdvisedIndex]) -> Confidence {
    let least = indexes
        .iter()
        .find(|index| index.confidence.level != ConfidenceLevel::Verified)
        .or(indexes.first());
    least.map_or_else(
        || crate::rules::estimated("nothing was asked"),
        |index| index.confidence.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::advice::{NAMES_NO_TABLE, TriedValue, ValueKind};
    use crate::model::catalog::IndexFacts;
    use crate::model::relation::RelationName;
    use crate::rules::testing::{
        advised, advised_index as index, advised_statement as statement, database, found, index as catalogued,
    };
    use std::sync::Arc;

    fn judged(advised: Advised) -> Result<Found, Unknown> {
        let mut observed = database(vec![]);
        observed.databases[0].advice = Ok(Arc::new(advised));
        found::<Missing>(&observed)
    }

    #[test]
    fn without_hypopg_it_is_told_what_there_is_meanwhile() {
        let skipped = |extension: &str| {
            let mut observed = database(vec![]);
            observed.databases[0].advice = Err(Unknown {
                reason: format!("{extension} is missing"),
                remedy_sql: Some(format!(
                    "CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public"
                )),
            });
            found::<Missing>(&observed).unwrap_err().reason
        };
        assert_eq!(skipped("hypopg"), format!("hypopg is missing; {UNPROVEN}"));
        assert_eq!(skipped("pg_stat_statements"), "pg_stat_statements is missing");
    }

    fn shares(advised: Advised) -> Vec<(Severity, f64)> {
        let claims = judged(advised).unwrap().claims;
        claims
            .iter()
            .map(|claim| {
                (
                    claim.severity,
                    claim.evidence["saved_share_ratio"].as_f64().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn what_saves_too_little_is_not_worth_an_index() {
        let one = |after| advised(&["CREATE a"], vec![statement("s1", &["CREATE a"], Some(after))]);
        assert_eq!(
            shares(one(0.0)),
            [(Severity::Info, 0.01)],
            "a hundredth of the time"
        );
        assert_eq!(shares(one(1.0)), []);
        assert_eq!(
            judged(one(1.0)).unwrap().undecided.len(),
            1,
            "nearly: what is open stays"
        );
        assert!(judged(one(51.0)).unwrap().undecided.is_empty());
        let mut much = one(49.0);
        much.total_seconds = 5.0;
        assert_eq!(shares(much.clone()), [(Severity::Warning, 0.102)]);
        much.report.statements[0].cost_after = Some(51.0);
        much.total_seconds = 1.0;
        assert_eq!(shares(much), [], "no statement becomes twice as fast");
    }

    #[test]
    fn what_needs_two_indexes_is_shared_between_them() {
        let mut both = advised(
            &["CREATE a", "CREATE b"],
            vec![statement("s1", &["CREATE a", "CREATE b"], Some(0.0))],
        );
        both.total_seconds = 10.0;
        both.report.indexes[1].columns = vec!["b".to_owned()];
        assert_eq!(
            shares(both.clone()),
            [(Severity::Info, 0.05), (Severity::Info, 0.05)]
        );
        both.report.indexes[1].columns = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(
            shares(both.clone()),
            [(Severity::Warning, 0.1)],
            "one leading key is one problem"
        );
        let claim = judged(both).unwrap().claims.remove(0);
        assert_eq!(claim.subject, ["public", "t", "a"]);
        assert_eq!(claim.remedy.apply_sql, ["CREATE a", "CREATE b"]);
        assert_eq!(claim.title, "public.t lacks an index on (a) and (a, b)");
    }

    #[test]
    fn what_saves_too_little_by_itself_does_not_ride_along() {
        let both = |uses: &[&str], after: f64| {
            let of_a = statement("s1", &["CREATE a"], Some(0.0));
            let of_b = statement("s2", uses, Some(after));
            let mut advised = advised(&["CREATE a", "CREATE b"], vec![of_a, of_b]);
            advised.report.indexes[1].include = vec!["b".to_owned()];
            judged(advised).unwrap().claims.remove(0)
        };
        let alone = both(&["CREATE b"], 99.0);
        assert_eq!(alone.remedy.apply_sql, ["CREATE a"]);
        assert_eq!(alone.title, "public.t lacks an index on (a)");
        let worth_it = both(&["CREATE b"], 0.0);
        assert_eq!(worth_it.remedy.apply_sql, ["CREATE a", "CREATE b"]);
        assert_eq!(
            worth_it.title,
            "public.t lacks an index on (a), and on (a) include (b)"
        );
        let nearly = both(&["CREATE b"], 1.0);
        assert_eq!(
            nearly.remedy.apply_sql,
            ["CREATE a", "CREATE b"],
            "it comes and goes not with a hundredth"
        );
        let together = both(&["CREATE a", "CREATE b"], 99.0);
        assert_eq!(
            together.remedy.apply_sql,
            ["CREATE a", "CREATE b"],
            "a statement takes both"
        );
    }

    #[test]
    fn of_a_run_that_was_stopped_nothing_is_checked_that_was_not() {
        let guards = |was_stopped: bool| {
            let mut advised = advised(&["CREATE a"], vec![statement("s1", &["CREATE a"], Some(0.0))]);
            advised.report.workload.was_stopped = was_stopped;
            judged(advised).unwrap().claims.remove(0).guards
        };
        for words in [
            "planned with all advised indexes in place",
            "no statement becomes dearer",
        ] {
            let unchecked = |was_stopped: bool| {
                let guards = guards(was_stopped);
                let guard = guards.iter().find(|guard| guard.contains(words)).cloned();
                guard.unwrap().starts_with("not checked: ")
            };
            assert!(unchecked(true), "{words}");
            assert!(!unchecked(false), "{words}");
        }
    }

    #[test]
    fn a_build_of_no_time_at_all_is_of_unknown_time() {
        let told = |build_seconds: Option<f64>| {
            let mut advised = advised(&["CREATE a"], vec![statement("s1", &["CREATE a"], Some(0.0))]);
            advised.report.indexes[0].build_seconds = build_seconds;
            judged(advised).unwrap().claims[0].remedy.expected_seconds
        };
        assert_eq!(told(Some(0.0)), None);
        assert_eq!(told(Some(0.064)), Some(0.064));
        assert_eq!(told(None), None);
    }

    #[test]
    fn it_is_the_whole_table_that_lacks_what_one_partition_alone_should_have() {
        let mut both = advised(
            &["CREATE a", "CREATE b"],
            vec![statement("s1", &["CREATE a", "CREATE b"], Some(0.0))],
        );
        both.total_seconds = 10.0;
        both.report.indexes[1].table = "t_2025".to_owned();
        both.report.indexes[1].partition_of = Some(RelationName {
            schema: "public".to_owned(),
            name: "t".to_owned(),
        });
        let claims = judged(both.clone()).unwrap().claims;
        assert_eq!(
            claims.len(),
            1,
            "one problem, now and when the whole is advised again"
        );
        both.report.indexes.remove(0);
        let alone = judged(both).unwrap().claims.remove(0);
        assert_eq!(alone.subject, claims[0].subject);
        assert_eq!(alone.subject, ["public", "t", "a"]);
        let told = alone
            .remedy
            .caveats
            .iter()
            .any(|caveat| caveat.contains("t_2025"));
        assert!(told, "{:?}", alone.remedy.caveats);
    }

    #[test]
    fn what_was_built_since_then_is_not_missing_any_more() {
        let create = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";
        let judged_with = |indexes: Vec<IndexFacts>| {
            let mut observed = database(indexes);
            let advised = advised(&[create], vec![statement("s1", &[create], Some(0.0))]);
            observed.databases[0].advice = Ok(Arc::new(advised));
            let found = found::<Missing>(&observed).unwrap();
            assert!(
                found.undecided.is_empty() && found.absence_is_no_proof.is_none(),
                "absence counts"
            );
            (found.claims.len(), found.mended.len())
        };
        assert_eq!(judged_with(vec![]), (1, 0));
        assert_eq!(judged_with(vec![catalogued(8, "t_a_idx")]), (0, 1));
        let in_progress = IndexFacts {
            is_valid: false,
            ..catalogued(8, "t_a_idx")
        };
        assert_eq!(judged_with(vec![in_progress]), (1, 0));
    }

    #[test]
    fn what_was_advised_earlier_is_mended_once_it_is_built_whatever_the_present_advice_names() {
        let create = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";
        let other = "CREATE INDEX CONCURRENTLY t_a_b_idx ON public.t USING btree (a, b)";
        let mended = |earlier: &[&str], indexes: Vec<IndexFacts>, was_stopped: bool| {
            // it is made with the first of them in place, over a window that is not full yet
            let mut advised = advised(&[], vec![statement("s1", &[], Some(1.0))]);
            advised.still_filling = Some("10 min of 30".to_owned());
            advised.report.workload.was_stopped = was_stopped;
            let known = EarlierAdvice {
                statements: ["s1".to_owned()].into(),
                indexes: earlier.iter().map(|one| EarlierIndex::of(&index(one))).collect(),
                ..EarlierAdvice::default()
            };
            advised.earlier.insert(MissingIndex::of(&index(create)), known);
            let mut observed = database(indexes);
            observed.databases[0].advice = Ok(Arc::new(advised));
            let found = found::<Missing>(&observed).unwrap();
            assert!(found.undecided.is_empty() && found.absence_is_no_proof.is_some());
            found.mended
        };
        let there = || vec![catalogued(8, "t_a_idx")];
        let subject = [MissingIndex::of(&index(create)).subject()];
        assert_eq!(mended(&[create], there(), false), subject);
        assert!(mended(&[create], vec![], false).is_empty(), "it is not built");
        assert_eq!(mended(&[create, other], there(), false), subject);
        assert!(
            mended(&[create, other], there(), true).is_empty(),
            "the run ended before it came to the other"
        );
        assert!(
            mended(&[], there(), false).is_empty(),
            "nobody knows what was advised"
        );
    }

    #[test]
    fn what_was_built_in_part_is_mended_only_where_the_planner_was_asked_again() {
        let create = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";
        let other = "CREATE INDEX CONCURRENTLY t_a_b_idx ON public.t USING btree (a, b)";
        let judged = |earlier: &[&str], seen: &str| {
            let mut advised = advised(&[], vec![statement(seen, &[], Some(1.0))]);
            let known = EarlierAdvice {
                statements: ["s1".to_owned()].into(),
                indexes: earlier.iter().map(|one| EarlierIndex::of(&index(one))).collect(),
                ..EarlierAdvice::default()
            };
            advised.earlier.insert(MissingIndex::of(&index(create)), known);
            let mut observed = database(vec![catalogued(8, "t_a_idx")]);
            observed.databases[0].advice = Ok(Arc::new(advised));
            let found = found::<Missing>(&observed).unwrap();
            (found.mended.len(), found.undecided.len())
        };
        assert_eq!(judged(&[create, other], "s1"), (1, 0));
        assert_eq!(
            judged(&[create, other], "s2"),
            (0, 1),
            "its statement was not called"
        );
        assert_eq!(judged(&[create], "s2"), (1, 0), "all of it is there");
    }

    #[test]
    fn advice_that_is_late_carries_when_it_was_worked_out() {
        let told = |minutes: i64, every| {
            let advised = Advised {
                at: crate::rules::testing::now() - chrono::TimeDelta::minutes(minutes),
                every,
                ..Advised::default()
            };
            advised.told_when_late(crate::rules::testing::now())
        };
        let every = Some(std::time::Duration::from_secs(120));
        assert!(told(5, every).contains("The planner was asked at 20"));
        assert_eq!(told(4, every), "");
        assert_eq!(told(500, None), "", "nobody asks again");
        assert_eq!(told(-5, every), "", "the clock was set back");
    }

    #[test]
    fn what_is_left_of_an_advice_and_saves_too_little_is_no_problem_any_more() {
        let create = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";
        let other = "CREATE INDEX CONCURRENTLY t_a_b_idx ON public.t USING btree (a, b)";
        let judged = |after: f64| {
            let of_both = vec![
                statement("s1", &[create], Some(0.0)),
                statement("s2", &[other], Some(after)),
            ];
            let mut observed = database(vec![catalogued(8, "t_a_idx")]);
            observed.databases[0].advice = Ok(Arc::new(advised(&[create, other], of_both)));
            let found = found::<Missing>(&observed).unwrap();
            (found.claims.len(), found.mended.len())
        };
        assert_eq!(judged(99.0), (0, 1));
        assert_eq!(judged(0.0), (1, 0), "the other is worth it by itself");
    }

    #[test]
    fn what_a_driver_may_do_to_parameters_is_told_once_and_only_where_there_are_some() {
        let told = |texts: &[&str]| -> usize {
            let statements = texts.iter().enumerate().map(|(number, text)| {
                let mut one = statement(&format!("s{number}"), &["CREATE a"], Some(0.0));
                one.text = (*text).to_owned();
                one
            });
            let claims = judged(advised(&["CREATE a"], statements.collect()))
                .unwrap()
                .claims;
            let caveats = &claims[0].remedy.caveats;
            caveats.iter().filter(|one| *one == remedy::OTHER_TYPE).count()
        };
        assert_eq!(
            told(&["SELECT 1 FROM t WHERE a = $1", "SELECT 2 FROM t WHERE a = $1"]),
            1
        );
        assert_eq!(told(&["SELECT 1 FROM t WHERE a = '$1'"]), 0);
    }

    #[test]
    fn a_drop_that_was_not_rehearsed_is_told_as_such() {
        let told = |unproven: Option<&str>| {
            let mut advised = advised(&["CREATE a"], vec![statement("s1", &["CREATE a"], Some(0.0))]);
            let index = &mut advised.report.indexes[0];
            index.supersedes = vec!["DROP INDEX CONCURRENTLY public.t_old".to_owned()];
            index.supersedes_unproven = unproven.map(str::to_owned);
            judged(advised).unwrap().claims[0].remedy.caveats[1].clone()
        };
        let sql = "DROP INDEX CONCURRENTLY public.t_old";
        assert_eq!(
            told(None),
            format!("Afterwards this serves nothing any more: {sql}")
        );
        let unproven = told(Some("HypoPG 1.4 can"));
        let words = "(proven by definition only, not rehearsed: HypoPG 1.4 can): DROP INDEX";
        assert!(unproven.contains(words), "{unproven}");
    }

    #[test]
    fn what_undoing_does_not_make_again_is_told() {
        let mut advised = advised(&["CREATE a"], vec![statement("s1", &["CREATE a"], Some(0.0))]);
        let how = "public.t_old, once it was dropped, is not made again by undoing";
        advised.report.indexes[0].supersedes_made_again = vec![how.to_owned()];
        let remedy = judged(advised).unwrap().claims.remove(0).remedy;
        assert_eq!(remedy.caveats[1], how);
    }

    #[test]
    fn lists_and_pages_are_told_apart_from_values() {
        let mut one = statement("s1", &["CREATE a"], Some(0.0));
        let tried = |kind: ValueKind, cost_after: f64| TriedValue {
            kind,
            cost_before: 100.0,
            cost_after,
        };
        one.values = vec![
            tried(ValueKind::Median, 1.0),
            tried(ValueKind::ListOfTen, 10.0),
            tried(ValueKind::ListOfHundred, 100.0),
            tried(ValueKind::LaterPage, 100.0),
        ];
        let mut asked = advised(&["CREATE a"], vec![one]);
        asked.total_seconds = 10.0;
        let claim = judged(asked).unwrap().claims.remove(0);
        let guards = claim.guards;
        for part in [
            "median and rare values, too: all of them gain",
            "a list of 10 values, too: all of them gain",
            "a list of 100 values, too: for that 1 statement gains nothing",
            "the average of it and the first, OFFSET 0): for that 1 statement gains nothing",
        ] {
            let is_told = guards.iter().any(|guard| guard.contains(part));
            assert!(is_told, "{part}: {guards:?}");
        }
    }

    #[test]
    fn what_later_pages_do_not_save_is_not_promised() {
        let told = |later: Option<f64>, may_have_later_page: bool| {
            let mut one = statement("s1", &["CREATE a"], Some(0.0));
            one.text = "SELECT a FROM t ORDER BY a LIMIT $1 OFFSET $2".to_owned();
            one.may_have_later_page = may_have_later_page;
            let page = later.map(|cost_after| TriedValue {
                kind: ValueKind::LaterPage,
                cost_before: 100.0,
                cost_after,
            });
            one.values = page.into_iter().collect();
            let mut asked = advised(&["CREATE a"], vec![one]);
            asked.total_seconds = 10.0;
            let claim = judged(asked).unwrap().claims.remove(0);
            let is_unchecked = claim.guards.iter().any(|guard| guard.contains("later pages of"));
            (
                claim.explanation,
                is_unchecked,
                claim.evidence["statements"][0].clone(),
            )
        };
        let (averaged, is_unchecked, evidence) = told(Some(40.0), true);
        assert!(
            averaged.contains("would cost 20.0 % of what it costs now"),
            "{averaged}"
        );
        assert!(
            averaged.contains(", 8.0 % of the database time. Of pages"),
            "{averaged}"
        );
        assert!(
            averaged.contains("the average of the first and one far behind it"),
            "{averaged}"
        );
        assert!(!is_unchecked);
        // the average follows from what is told
        assert_eq!(
            [
                &evidence["later_page_cost_before"],
                &evidence["later_page_cost_after"]
            ],
            [&json!(100.0), &json!(40.0)]
        );
        let (first, is_unchecked, evidence) = told(None, true);
        assert!(first.contains("those behind it save less"), "{first}");
        assert!(is_unchecked && evidence.get("later_page_cost_before").is_none());
        let (short, is_unchecked, _) = told(None, false);
        assert!(
            !short.contains("Of pages by OFFSET"),
            "none far behind it: {short}"
        );
        assert!(!is_unchecked);
    }

    #[test]
    fn what_reads_no_table_says_nothing_of_missing_indexes() {
        let untold = |reason: &str| {
            let mut other = statement("s2", &[], None);
            other.reason = Some(reason.to_owned());
            let nearly = statement("s1", &["CREATE a"], Some(1.0));
            judged(advised(&["CREATE a"], vec![nearly, other]))
                .unwrap()
                .untold
        };
        let of_dump = format!(
            "not planned: function pg_get_viewdef could run while planning: it looks; {NAMES_NO_TABLE}"
        );
        assert_eq!(untold(&of_dump).as_deref(), Some(NEARLY));
        let told = untold("the login may not read it").unwrap();
        assert!(
            told.starts_with("1 of 2 statements"),
            "what is not known comes first: {told}"
        );
        let mut stopped = advised(&["CREATE a"], vec![statement("s1", &["CREATE a"], Some(1.0))]);
        stopped.report.workload.was_stopped = true;
        let found = judged(stopped).unwrap();
        assert!(found.absence_is_no_proof.is_some());
        assert_eq!(
            (found.undecided.len(), found.untold),
            (1, None),
            "why it is not whole comes first"
        );
    }

    #[test]
    fn of_what_was_not_seen_nothing_is_said() {
        let earlier = MissingIndex::of(&index("CREATE a"));
        let mut quiet = advised(&[], vec![statement("other", &[], Some(100.0))]);
        let mut elsewhere = earlier.clone();
        elsewhere.table = "dropped".to_owned();
        let advised_for = |id: &str| EarlierAdvice {
            statements: [id.to_owned()].into(),
            ..EarlierAdvice::default()
        };
        quiet.earlier.insert(elsewhere, advised_for("s1"));
        quiet.earlier.insert(earlier.clone(), advised_for("s1"));
        assert_eq!(judged(quiet.clone()).unwrap().undecided, [earlier.subject()]);
        let mut unplanned = advised(
            &[],
            vec![statement("other", &[], Some(100.0)), statement("s2", &[], None)],
        );
        unplanned.earlier.insert(earlier.clone(), advised_for("s1"));
        let found = judged(unplanned).unwrap();
        assert_eq!(found.undecided.len(), 1);
        let told = found.untold.unwrap();
        assert!(
            told.starts_with("1 of 2 statements could not be planned"),
            "{told}"
        );
        quiet.earlier.insert(earlier, advised_for("other"));
        assert!(
            judged(quiet).unwrap().undecided.is_empty(),
            "it was seen, and needs nothing"
        );
        let mixed = |planned: usize, refused: usize| {
            let one =
                |number: usize| statement(&format!("s{number}"), &[], (number < planned).then_some(100.0));
            judged(advised(&[], (0..planned + refused).map(one).collect()))
        };
        let refused = mixed(1, 2).unwrap_err();
        assert!(
            refused.reason.starts_with(
                "2 of 3 statements could not be planned (the login may not read it); give a login"
            ),
            "{}",
            refused.reason
        );
        let told = mixed(2, 2).unwrap().untold.unwrap();
        assert_eq!(
            told,
            "2 of 4 statements could not be planned (the login may not read it)"
        );
        assert_eq!(mixed(2, 0).unwrap().untold, None);
        assert!(judged(advised(&[], vec![])).unwrap().claims.is_empty());
    }
}
