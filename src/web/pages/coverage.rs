//! Whether silence means that all is well: which servers were seen, and which rules could not be judged there.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::lacking::lacking_seconds;
use super::present::{self, plural};
use crate::model::judgement::{RuleOutcome, ToldPlace, Verdict};
use crate::model::status::ServerStatus;

/// Reasons that a page names; the rest are counted.
const FEW: usize = 5;

/// Rules that could not be judged for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Unjudged {
    /// Why.
    pub reason: String,
    /// The rules.
    pub rules: Vec<String>,
}

impl Unjudged {
    /// The rules in one line.
    pub fn names(&self) -> String {
        self.rules.join(", ")
    }
}

/// What the advisor could not see or judge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Coverage {
    /// Servers that were never seen.
    pub never_seen: Vec<String>,
    /// Servers that cannot be reached now.
    pub unreachable: Vec<String>,
    /// Rules that could not be judged somewhere, and do not merely wait.
    pub unjudged: Vec<Unjudged>,
    /// Rules for which time alone is lacking.
    pub waiting: Vec<Unjudged>,
    /// Whether not one server was ever seen.
    pub knows_nothing: bool,
}

/// Whether a rule only waits: such reasons begin with what it needs, and no statement mends them.
fn waits(reason: &str, remedy_sql: Option<&String>) -> bool {
    remedy_sql.is_none() && (reason.starts_with("needs ") || reason.starts_with("immature"))
}

/// Whether a reason is that a window is not as long yet as it is to be: what is said then may not be all.
fn fills(reason: &str) -> bool {
    reason.starts_with("the window is ") || reason.starts_with("the first window is ")
}

/// The rules that a page about a database tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// All of them.
    Everything,
    /// Those that judge the database alone: what its server waits for is not told of each.
    Itself,
    /// Those that may say something of a table or an index.
    Relations,
}

/// The families of rules that may say something of a table or an index.
const OF_RELATIONS: [&str; 4] = ["index.", "schema.", "vacuum.", "matview."];

impl About {
    fn holds(self, outcome: &RuleOutcome) -> bool {
        match self {
            Self::Everything => true,
            Self::Itself => outcome.database.is_some(),
            Self::Relations => OF_RELATIONS.iter().any(|family| outcome.rule.starts_with(family)),
        }
    }
}

/// Which rules told of something on one server, and in which databases; none is the whole server.
struct Told<'a>(HashSet<(&'a str, Option<&'a str>)>);

impl<'a> Told<'a> {
    fn of(told: &'a [ToldPlace]) -> Self {
        let told = told.iter();
        Self(
            told.map(|(rule, place)| (rule.as_str(), place.as_deref()))
                .collect(),
        )
    }

    /// Whether a rule told of something in a database, or of the whole server.
    fn is_of(&self, rule: &str, database: &str) -> bool {
        let places = [None, Some(database)];
        places.iter().any(|place| self.0.contains(&(rule, *place)))
    }

    /// Whether a rule told of something wherever it would wait: one about the whole server waits in each of its databases.
    fn is_everywhere(&self, outcome: &RuleOutcome, databases: &[String]) -> bool {
        let of_server = || self.0.contains(&(outcome.rule.as_str(), None::<&str>));
        let is_of = |database: &String| self.is_of(&outcome.rule, database);
        match &outcome.database {
            Some(database) => is_of(database),
            None if databases.is_empty() => of_server(),
            None => databases.iter().all(is_of),
        }
    }
}

/// What cannot be judged in a database yet, or not all of it, since only time is lacking: by the outcomes of the database and of
/// its server as a whole. A rule that was judged and told of something there, or of the whole server, waits no more; one that
/// was not judged at all does, whatever it told before. What comes soonest is first, and what tells no time last.
pub fn waiting_in(
    outcomes: &[(String, RuleOutcome)],
    told: &[ToldPlace],
    (server, database): (&str, &str),
    about: About,
) -> Vec<Unjudged> {
    let told = Told::of(told);
    let is_here = |of: Option<&str>| of.is_none_or(|of| of == database);
    let here = outcomes
        .iter()
        .filter(|(of, outcome)| of == server && is_here(outcome.database.as_deref()) && about.holds(outcome));
    waiting_of(here, |_, outcome| told.is_of(&outcome.rule, database))
}

/// What time alone is lacking for of these outcomes, each with its server, where their rules did not tell of something by now.
fn waiting_of<'a>(
    outcomes: impl Iterator<Item = &'a (String, RuleOutcome)>,
    has_told: impl Fn(&str, &RuleOutcome) -> bool,
) -> Vec<Unjudged> {
    let mut waiting = Vec::new();
    for (server, outcome) in outcomes {
        match &outcome.verdict {
            Verdict::Skipped { reason, remedy_sql } if waits(reason, remedy_sql.as_ref()) => {
                add(&mut waiting, outcome, reason);
            }
            Verdict::Evaluated {
                untold: Some(reason), ..
            } if (fills(reason) || waits(reason, None)) && !has_told(server, outcome) => {
                add(&mut waiting, outcome, reason);
            }
            Verdict::Skipped { .. } | Verdict::Evaluated { .. } | Verdict::Elsewhere { .. } => {}
        }
    }
    waiting.sort_by_cached_key(|one: &Unjudged| {
        let seconds = lacking_seconds(&one.reason);
        seconds.map_or(u64::MAX, |seconds| seconds as u64)
    });
    waiting
}

/// "2 rules wait", of those that are in such a list.
pub fn rules_wait(waiting: &[Unjudged]) -> String {
    let rules = count(waiting);
    let verb = if rules == 1 { "waits" } else { "wait" };
    format!("{} {verb}", plural(rules, "rule", "rules"))
}

impl Coverage {
    /// What is missing on these servers, by the outcomes and by which rules told of something on each server. A rule waits
    /// where it does on the pages of any of their databases.
    pub fn of(
        servers: &[ServerStatus],
        outcomes: &[(String, RuleOutcome)],
        told: &[(String, Vec<ToldPlace>)],
    ) -> Self {
        let names = |which: fn(&&ServerStatus) -> bool| -> Vec<String> {
            let servers = servers.iter().filter(which);
            servers.map(|server| server.name.clone()).collect()
        };
        let known: HashMap<&str, &ServerStatus> = servers
            .iter()
            .map(|server| (server.name.as_str(), server))
            .collect();
        let told: HashMap<&str, Told<'_>> = told
            .iter()
            .map(|(server, told)| (server.as_str(), Told::of(told)))
            .collect();
        let has_told = |server: &str, outcome: &RuleOutcome| {
            let of_server = told.get(server).zip(known.get(server));
            of_server.is_some_and(|(told, known)| told.is_everywhere(outcome, &known.databases))
        };
        // of a server that was taken out of the configuration only findings are kept
        let here = || {
            outcomes
                .iter()
                .filter(|(server, _)| known.contains_key(server.as_str()))
        };
        let mut coverage = Self {
            never_seen: names(|server| server.last_seen_at.is_none()),
            unreachable: names(|server| server.unreachable.is_some()),
            waiting: waiting_of(here(), has_told),
            knows_nothing: servers.iter().all(|server| server.last_seen_at.is_none()),
            ..Self::default()
        };
        for (_, outcome) in here() {
            match &outcome.verdict {
                Verdict::Skipped { reason, remedy_sql } if !waits(reason, remedy_sql.as_ref()) => {
                    add(&mut coverage.unjudged, outcome, reason);
                }
                Verdict::Skipped { .. } | Verdict::Evaluated { .. } | Verdict::Elsewhere { .. } => {}
            }
        }
        coverage
    }

    /// Whether everything was seen and judged, but for what waits.
    pub fn is_whole(&self) -> bool {
        self.never_seen.is_empty() && self.unreachable.is_empty() && self.unjudged.is_empty()
    }

    /// "two rules could not be", or nothing.
    pub fn unjudged_rules(&self) -> Option<String> {
        let rules = count(&self.unjudged);
        (rules > 0).then(|| format!("{} could not be", plural(rules, "rule", "rules")))
    }

    /// "2 rules wait", or nothing.
    pub fn waiting_rules(&self) -> Option<String> {
        (!self.waiting.is_empty()).then(|| rules_wait(&self.waiting))
    }

    /// The first reasons why rules could not be judged, for a list.
    pub fn reasons(&self) -> &[Unjudged] {
        &self.unjudged[..self.unjudged.len().min(FEW)]
    }

    /// How many reasons are not among them.
    pub fn more_reasons(&self) -> usize {
        self.unjudged.len().saturating_sub(FEW)
    }

    /// Servers of which nothing is known now, in a sentence; empty where there is none.
    pub fn unseen(&self) -> String {
        let mut parts = Vec::new();
        let all = |names: &[String]| {
            names
                .iter()
                .map(|name| present::visible(name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if !self.never_seen.is_empty() {
            parts.push(format!("Never seen: {}.", all(&self.never_seen)));
        }
        let lost: Vec<String> = self
            .unreachable
            .iter()
            .filter(|name| !self.never_seen.contains(name))
            .cloned()
            .collect();
        if !lost.is_empty() {
            parts.push(format!("Not to be reached now: {}.", all(&lost)));
        }
        parts.join(" ")
    }
}

fn add(list: &mut Vec<Unjudged>, outcome: &RuleOutcome, reason: &str) {
    match list.iter_mut().find(|one| one.reason == reason) {
        Some(one) if one.rules.contains(&outcome.rule) => {}
        Some(one) => one.rules.push(outcome.rule.clone()),
        None => list.push(Unjudged {
            reason: reason.to_owned(),
            rules: vec![outcome.rule.clone()],
        }),
    }
}

fn count(list: &[Unjudged]) -> usize {
    let mut rules: Vec<&String> = list.iter().flat_map(|one| &one.rules).collect();
    rules.sort_unstable();
    rules.dedup();
    rules.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    fn of(reasons: &[(&str, &str, Option<&str>)]) -> Coverage {
        let outcomes: Vec<(String, RuleOutcome)> = reasons
            .iter()
            .map(|(rule, reason, sql)| sample::skipped("main", rule, reason, *sql))
            .collect();
        Coverage::of(&[sample::server("main")], &outcomes, &[])
    }

    #[test]
    fn waiting_is_no_hole() {
        let waits = of(&[
            ("query.slow_mean", "needs two looks that are 5 min apart", None),
            ("index.unused", "immature: needs 34 more days", None),
        ]);
        assert!(waits.is_whole());
        assert_eq!(waits.waiting_rules().as_deref(), Some("2 rules wait"));
        let holes = of(&[
            ("query.slow_mean", "no extension", Some("CREATE EXTENSION x")),
            ("query.time_share", "no extension", Some("CREATE EXTENSION x")),
            ("query.time_share", "needs a restart", Some("SELECT 1")),
        ]);
        assert!(!holes.is_whole());
        assert_eq!(holes.unjudged_rules().as_deref(), Some("2 rules could not be"));
        assert_eq!(holes.reasons()[0].names(), "query.slow_mean, query.time_share");
        assert_eq!(holes.waiting_rules(), None);
    }

    #[test]
    fn every_database_tells_what_waits_there() {
        let outcome = |server: &str, database: Option<&str>, rule: &str, verdict: Verdict| {
            let (server, outcome) = sample::skipped(server, rule, "", None);
            let database = database.map(str::to_owned);
            let outcome = RuleOutcome {
                database,
                verdict,
                ..outcome
            };
            (server, outcome)
        };
        let skipped = |reason: &str, sql: Option<&str>| Verdict::Skipped {
            reason: reason.to_owned(),
            remedy_sql: sql.map(str::to_owned),
        };
        let judged = |untold: Option<&str>| Verdict::Evaluated {
            undecided: Vec::new(),
            absence_counts: untold.is_none(),
            untold: untold.map(str::to_owned),
        };
        let filling = "the window is 10 min of 30 min long";
        let looks = "needs two looks an hour apart";
        let outcomes = [
            outcome("main", None, "query.time_share", judged(Some(filling))),
            outcome("main", Some("shop"), "index.too_many", judged(None)),
            outcome("main", Some("new"), "index.too_many", skipped(looks, None)),
            outcome("main", Some("new"), "index.seq_scan_hotspot", judged(Some(looks))),
            outcome(
                "main",
                Some("new"),
                "index.unused",
                judged(Some("it was nearly idle")),
            ),
            outcome(
                "main",
                Some("new"),
                "index.missing",
                skipped("needs x", Some("GRANT x")),
            ),
            outcome("other", Some("new"), "index.too_many", skipped("needs y", None)),
        ];
        let told = |database: &str| {
            let waiting = waiting_in(&outcomes, &[], ("main", database), About::Everything);
            let told = waiting.iter().map(|one| (one.reason.clone(), one.names()));
            told.collect::<Vec<_>>()
        };
        let of_all = (filling.to_owned(), "query.time_share".to_owned());
        assert_eq!(told("shop"), std::slice::from_ref(&of_all));
        let own = (
            looks.to_owned(),
            "index.too_many, index.seq_scan_hotspot".to_owned(),
        );
        assert_eq!(told("new"), [of_all, own]);
    }

    #[test]
    fn what_told_of_something_does_not_wait_and_tables_do_not_wait_for_statements() {
        let reason = "the window is 10 min of 30 min long";
        let filling = |rule: &str| {
            let (server, outcome) = sample::skipped("main", rule, "", None);
            let verdict = Verdict::Evaluated {
                undecided: Vec::new(),
                absence_counts: false,
                untold: Some(reason.to_owned()),
            };
            (server, RuleOutcome { verdict, ..outcome })
        };
        let rules = [
            "pgss.eviction",
            "query.slow_mean",
            "activity.wait_hotspot",
            "index.blocks_hot",
        ];
        let outcomes = rules.map(filling);
        let open = |rule: &str, database: Option<&str>| (rule.to_owned(), database.map(str::to_owned));
        let waiting = |told: &[ToldPlace], about: About| {
            let waiting = waiting_in(&outcomes, told, ("main", "shop"), about);
            waiting.iter().map(Unjudged::names).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(waiting(&[], About::Everything), rules.join(", "));
        assert_eq!(waiting(&[], About::Relations), rules[3]);
        assert_eq!(waiting(&[], About::Itself), "", "its server waits for them");
        let here = [open(rules[1], Some("shop")), open(rules[0], None)];
        assert_eq!(waiting(&here, About::Everything), rules[2..].join(", "));
        let elsewhere = [open(rules[1], Some("other"))];
        assert_eq!(waiting(&elsewhere, About::Everything), rules.join(", "));
    }

    #[test]
    fn all_servers_together_wait_for_what_the_pages_of_their_databases_wait_for() {
        let evaluated = |rule: &str, database: Option<&str>, untold: &str| {
            let (server, outcome) = sample::skipped("main", rule, "", None);
            let verdict = Verdict::Evaluated {
                undecided: Vec::new(),
                absence_counts: false,
                untold: Some(untold.to_owned()),
            };
            let database = database.map(str::to_owned);
            let outcome = RuleOutcome {
                database,
                verdict,
                ..outcome
            };
            (server, outcome)
        };
        let filling = "the window is 10 min of 30 min long";
        let outcomes = [
            evaluated("query.slow_mean", None, filling),
            evaluated("query.time_share", None, filling),
            evaluated("pgss.eviction", None, filling),
            evaluated("index.blocks_hot", Some("shop"), filling),
            evaluated("index.missing", Some("shop"), "it was nearly idle"),
            sample::skipped("main", "index.unused", "immature: needs 34 more days", None),
        ];
        let open = |rule: &str, database: Option<&str>| (rule.to_owned(), database.map(str::to_owned));
        let told = vec![
            open("query.slow_mean", Some("shop")),
            open("query.slow_mean", Some("new")),
            open("query.time_share", Some("shop")),
            open("pgss.eviction", None),
        ];
        let server = ServerStatus {
            databases: vec!["shop".to_owned(), "new".to_owned()],
            ..sample::server("main")
        };
        let rules = |waiting: &[Unjudged]| -> HashSet<String> {
            waiting.iter().flat_map(|one| one.rules.clone()).collect()
        };
        let of_pages: HashSet<String> = server
            .databases
            .iter()
            .flat_map(|database| {
                let waiting = waiting_in(&outcomes, &told, ("main", database), About::Everything);
                rules(&waiting)
            })
            .collect();
        let all = Coverage::of(&[server], &outcomes, &[("main".to_owned(), told)]);
        let waiting = ["query.time_share", "index.blocks_hot", "index.unused"];
        assert_eq!(rules(&all.waiting), HashSet::from(waiting.map(str::to_owned)));
        assert_eq!(rules(&all.waiting), of_pages);
        assert_eq!(all.waiting_rules().as_deref(), Some("3 rules wait"));
        assert!(all.is_whole(), "what only waits is no hole");
    }

    #[test]
    fn what_is_not_judged_at_all_waits_whatever_it_told_before() {
        let looks = "needs two looks an hour apart";
        let (server, outcome) = sample::skipped("main", "index.too_many", looks, None);
        let database = Some("shop".to_owned());
        let told = [(outcome.rule.clone(), database.clone())];
        let outcomes = [(server, RuleOutcome { database, ..outcome })];
        for about in [About::Everything, About::Itself, About::Relations] {
            let waiting = waiting_in(&outcomes, &told, ("main", "shop"), about);
            let reasons = waiting.iter().map(|one| one.reason.as_str());
            assert_eq!(reasons.collect::<Vec<_>>(), [looks]);
        }
    }

    #[test]
    fn what_comes_soonest_is_first() {
        let reasons = [
            "needs 500 samples, and has 3",
            "immature: needs 34 more days",
            "the window is 10 min of 30 min long",
        ];
        let outcomes = reasons.map(|reason| sample::skipped("main", "a.b", reason, None));
        let told = |outcomes: &[(String, RuleOutcome)]| {
            let waiting = waiting_in(outcomes, &[], ("main", "shop"), About::Everything);
            waiting.into_iter().map(|one| one.reason).collect::<Vec<_>>()
        };
        assert_eq!(told(&outcomes[..2]), [reasons[1], reasons[0]]);
        let filling = RuleOutcome {
            verdict: Verdict::Evaluated {
                undecided: Vec::new(),
                absence_counts: false,
                untold: Some(reasons[2].to_owned()),
            },
            ..outcomes[2].1.clone()
        };
        let [samples, days, _] = outcomes;
        let all = told(&[samples, days, ("main".to_owned(), filling)]);
        assert_eq!(all, [reasons[2], reasons[1], reasons[0]]);
    }

    #[test]
    fn what_was_never_seen_is_named() {
        let mut never = sample::server("new");
        (never.last_seen_at, never.unreachable) = (None, Some("refused".into()));
        let mut lost = sample::server("old");
        lost.unreachable = Some("refused".into());
        let coverage = Coverage::of(&[never, lost, sample::server("main")], &[], &[]);
        assert!(!coverage.is_whole());
        assert_eq!(coverage.unseen(), "Never seen: new. Not to be reached now: old.");
        let gone = [sample::skipped("gone", "a.b", "no right", None)];
        assert!(Coverage::of(&[sample::server("main")], &gone, &[]).is_whole());
    }
}
