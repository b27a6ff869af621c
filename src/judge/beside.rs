//! Where two names of the configuration lead to one running server, only one of them tells what both see.

use super::unheard::{Unheard, told_here_alone};
use super::{RuleSettings, judge_place, outcome, own};
use crate::model::judgement::{Judgement, RuleOutcome, ToldBy};
use crate::model::observation::{DatabaseObservation, Observation};
use crate::model::selector::Ignore;
use crate::rules::advisor::overhead::Overhead;
use crate::rules::advisor::privilege_gap::PrivilegeGap;
use crate::rules::{Place, Rule as _, RuleKind};

/// Whether a rule is told of a place under another name, or may be before long: it could be judged there, and nobody switched it
/// off there.
pub(super) fn tells(
    other: &ToldBy,
    rule: &RuleKind,
    settings: &RuleSettings,
    database: Option<&str>,
) -> bool {
    let mut tellers = other.tellers(rule.id, database);
    if tellers.is_empty() && other.is_awaited(database) {
        tellers.push(&other.name);
    }
    tellers.iter().any(|name| own::is_on(settings, name, database))
}

/// The other name, if what a rule has to say of the server is told there.
pub(super) fn of_server<'a>(
    told_by: Option<&'a ToldBy>,
    rule: &RuleKind,
    settings: &RuleSettings,
) -> Option<&'a ToldBy> {
    // what our own looks cost is counted under each name for itself
    told_by.filter(|other| rule.id != Overhead::ID && tells(other, rule, settings, None))
}

/// The other name, if what a rule has to say of a database is told there.
pub(super) fn of_database<'a>(
    told_by: Option<&'a ToldBy>,
    rule: &RuleKind,
    settings: &RuleSettings,
    database: &DatabaseObservation,
) -> Option<&'a ToldBy> {
    let is_told = |other: &&ToldBy| tells(other, rule, settings, Some(&database.name));
    told_by.filter(|other| is_told(other) && !knows_refreshes(rule, database))
}

/// How refreshes go is known only under the name that a [[refresh]] has.
fn knows_refreshes(rule: &RuleKind, database: &DatabaseObservation) -> bool {
    let mut views = database.materialized_views.iter().flatten();
    rule.id.starts_with("matview.") && views.any(|view| view.refreshing.is_some())
}

/// Judges a rule about a database that is told under the other name only for what nobody hears of there.
pub(super) fn judge_unheard(
    rule: &RuleKind,
    settings: &RuleSettings,
    ignores: &[&Ignore],
    place: &Place<'_>,
    other: &ToldBy,
    judgement: &mut Judgement,
) {
    let name = place.database.map(|database| database.name.as_str());
    let there = other.verdict_of(rule.id, name);
    let told_there = outcome(rule, settings, name.map(str::to_owned), there);
    let unheard = Unheard::of(rule, settings, ignores, place, other);
    if !unheard.may_be_any() {
        judgement.outcomes.push(told_there);
        return;
    }
    let mut judged = Judgement::default();
    judge_place(rule, settings, ignores, place, &mut judged);
    // one place has one outcome
    let Some(here) = judged.outcomes.pop() else { return };
    let claims = judged.claims.into_iter().filter(|claim| unheard.holds(claim));
    judgement
        .claims
        .extend(claims.map(|claim| told_here_alone(claim, &here)));
    judgement.outcomes.push(unheard.beside(told_there, &here));
    judgement.mended.append(&mut judged.mended);
    judgement.dropped_claims += judged.dropped_claims;
}

/// Judges a rule about the server only for the databases of which it is not told under the other name, and for what nobody
/// hears of there.
pub(super) fn judge_own(
    rule: &RuleKind,
    settings: &RuleSettings,
    ignores: &[&Ignore],
    place: &Place<'_>,
    other: &ToldBy,
    judgement: &mut Judgement,
) {
    let own = match is_about_watched_databases(rule) {
        true => own_databases(rule, settings, place.observation, other),
        false => Vec::new(),
    };
    let told_there = outcome(rule, settings, None, other.verdict_of(rule.id, None));
    let unheard = Unheard::of(rule, settings, ignores, place, other);
    if own.is_empty() && !unheard.may_be_any() {
        judgement.outcomes.push(told_there);
        return;
    }
    let mut judged = Judgement::default();
    judge_place(rule, settings, ignores, place, &mut judged);
    // one place has one outcome
    let Some(here) = judged.outcomes.pop() else { return };
    let is_own = |database: &Option<String>| own.iter().any(|name| database.as_deref() == Some(*name));
    for claim in judged.claims {
        if is_own(&claim.database) {
            judgement.claims.push(claim);
        } else if unheard.holds(&claim) {
            judgement.claims.push(told_here_alone(claim, &here));
        }
    }
    judged.ignored.retain(|ignored| is_own(&ignored.database));
    judgement.ignored.append(&mut judged.ignored);
    judgement.mended.append(&mut judged.mended);
    judgement.dropped_claims += judged.dropped_claims;
    judgement.outcomes.push(unheard.beside(told_there, &here));
    judgement.outcomes.extend(own.iter().map(|name| RuleOutcome {
        database: Some((*name).to_owned()),
        ..here.clone()
    }));
}

/// Whether a rule about the server tells of databases that are watched, and of no others. Whatever else is about the server
/// tells of each of its databases, so that the other name does so, too.
fn is_about_watched_databases(rule: &RuleKind) -> bool {
    rule.id.starts_with("query.") || rule.id == PrivilegeGap::ID
}

/// The watched databases of which a rule is not told under the other name.
fn own_databases<'a>(
    rule: &RuleKind,
    settings: &RuleSettings,
    observation: &'a Observation,
    other: &ToldBy,
) -> Vec<&'a str> {
    let visited = observation
        .databases
        .iter()
        .map(|database| database.name.as_str());
    let gaps = observation.gaps.iter().filter(|gap| gap.fact == "database");
    let unvisited = gaps.filter_map(|gap| gap.database.as_deref());
    let watched = visited.chain(unvisited);
    watched
        .filter(|name| !tells(other, rule, settings, Some(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Override, Settings, judge_beside};
    use crate::model::judgement::{Teller, ToldPlace, Verdict};
    use crate::model::selector::Selector;
    use crate::model::unit::Period;
    use crate::rules;
    use crate::rules::testing::{database, index, now, refreshed_view, set, statement};
    use chrono::TimeDelta;

    /// A server with an unused index, a slow statement and a setting that is wrong, in the databases `app` and `own`.
    fn observed() -> Observation {
        let mut observed = database(vec![index(9, "i")]);
        observed.databases[0].indexes[0].idle_since = Some(now() - TimeDelta::days(90));
        let mut own = observed.databases[0].clone();
        own.name = "own".into();
        observed.databases.push(own);
        let shared = statement("SELECT 1 FROM shop", 100, 100.0);
        let mut other = shared.clone();
        other.database = "own".into();
        observed.statements = rules::testing::observation(vec![shared, other], 0.0).statements;
        set(&mut observed, "autovacuum", "off");
        set(&mut observed, "track_counts", "off");
        observed
    }

    /// What a name tells that can judge each rule of the server and of those databases.
    fn every_rule_in(databases: &[&str]) -> std::collections::BTreeSet<ToldPlace> {
        let mut places = std::collections::BTreeSet::new();
        for rule in rules::all() {
            places.insert((rule.id.to_owned(), None));
            let of_databases = databases.iter().map(|name| Some((*name).to_owned()));
            places.extend(of_databases.map(|database| (rule.id.to_owned(), database)));
        }
        places
    }

    fn elsewhere(databases: Option<&[&str]>) -> ToldBy {
        ToldBy {
            name: "a".into(),
            tellers: vec![Teller {
                name: "a".into(),
                places: databases.map(every_rule_in),
            }],
            until_then: None,
            visits: Vec::new(),
            verdict: Verdict::Elsewhere {
                reason: "told there".into(),
            },
        }
    }

    /// The databases of which a rule claims something; "" is the whole server.
    fn told(rule: &str, observed: &Observation, told_by: Option<&ToldBy>) -> Vec<String> {
        let judgement = judge_beside(observed, &Settings::default(), told_by);
        let claims = judgement.claims.into_iter().filter(|claim| claim.rule == rule);
        let mut places: Vec<String> = claims.map(|claim| claim.database.unwrap_or_default()).collect();
        places.sort();
        places.dedup();
        places
    }

    /// Where a rule is told elsewhere, and where it is judged here.
    fn places(rule: &str, observed: &Observation, told_by: &ToldBy) -> (Vec<String>, Vec<String>) {
        let judgement = judge_beside(observed, &Settings::default(), Some(told_by));
        let outcomes = judgement
            .outcomes
            .into_iter()
            .filter(|outcome| outcome.rule == rule);
        let (there, here): (Vec<RuleOutcome>, Vec<RuleOutcome>) =
            outcomes.partition(|outcome| outcome.verdict == told_by.verdict);
        let names = |outcomes: Vec<RuleOutcome>| -> Vec<String> {
            let names = outcomes
                .into_iter()
                .map(|outcome| outcome.database.unwrap_or_default());
            names.collect()
        };
        (names(there), names(here))
    }

    #[test]
    fn what_is_not_told_there_yet_is_waited_for() {
        let young = ToldBy {
            until_then: Some(Verdict::Skipped {
                reason: "waits".into(),
                remedy_sql: None,
            }),
            ..elsewhere(Some(&["app"]))
        };
        let rule = "index.duplicate";
        assert_eq!(young.verdict_of(rule, Some("app")), young.verdict);
        assert_eq!(Some(young.verdict_of(rule, Some("other"))), young.until_then);
        assert!(!young.is_awaited(Some("other")), "which it does not visit");
        let visiting = ToldBy {
            visits: vec!["other".into()],
            ..young
        };
        assert!(visiting.is_awaited(Some("other")) && visiting.is_awaited(None));
        let settled = elsewhere(Some(&["app"]));
        assert_eq!(settled.verdict_of(rule, Some("other")), settled.verdict);
    }

    #[test]
    fn what_both_see_is_told_under_one_name_and_what_one_sees_under_its_own() {
        let observed = observed();
        for (rule, alone) in [
            ("vacuum.autovacuum_off", vec![""]),
            ("query.slow_mean", vec!["app", "own"]),
            ("index.unused", vec!["app", "own"]),
        ] {
            assert_eq!(told(rule, &observed, None), alone, "{rule}");
            let every = elsewhere(Some(&["app", "own"]));
            assert!(told(rule, &observed, Some(&every)).is_empty(), "{rule}");
            assert_eq!(places(rule, &observed, &every).1, [""; 0], "{rule}");
            let unknown = elsewhere(None);
            assert!(told(rule, &observed, Some(&unknown)).is_empty(), "{rule}");
            let one = elsewhere(Some(&["app"]));
            let rest: Vec<&str> = alone.into_iter().filter(|place| *place == "own").collect();
            assert_eq!(told(rule, &observed, Some(&one)), rest, "{rule}");
        }
    }

    #[test]
    fn what_cannot_be_told_there_is_told_here() {
        let observed = observed();
        let mut other = elsewhere(Some(&["app", "own"]));
        for teller in &mut other.tellers {
            let places = teller.places.as_mut().unwrap();
            places.retain(|(rule, database)| {
                rule != "query.slow_mean" && (rule != "index.unused" || database.as_deref() == Some("app"))
            });
        }
        assert_eq!(told("query.slow_mean", &observed, Some(&other)), ["app", "own"]);
        assert_eq!(
            places("query.slow_mean", &observed, &other),
            (vec![], vec![String::new()])
        );
        assert_eq!(told("index.unused", &observed, Some(&other)), ["own"]);
        assert!(told("vacuum.autovacuum_off", &observed, Some(&other)).is_empty());
    }

    #[test]
    fn what_is_switched_off_there_is_told_here() {
        let rule = rules::find("query.slow_mean").unwrap();
        let claims_where_off_for = |server: &str| {
            let mut settings = Settings::default();
            let mut chosen = settings.of(&rule);
            chosen.overrides = vec![Override {
                selector: Selector {
                    server: server.into(),
                    ..Selector::default()
                },
                enabled: false,
                hold: Period::minutes(7),
                clear: Period::minutes(9),
                thresholds: (rule.defaults)(),
            }];
            settings.rules.insert(rule.id.to_owned(), chosen);
            let every = elsewhere(Some(&["app", "own"]));
            let judgement = judge_beside(&observed(), &settings, Some(&every));
            judgement
                .claims
                .iter()
                .filter(|claim| claim.rule == rule.id)
                .count()
        };
        assert_eq!(claims_where_off_for("a"), 2);
        assert_eq!(claims_where_off_for("c"), 0);
    }

    /// The databases of which a rule claims something beside a name that tells of all, where some things are ignored.
    fn told_ignoring(rule: &str, told_by: &ToldBy, change: impl FnOnce(&mut Ignore)) -> Vec<String> {
        let mut ignore = Ignore {
            rule: rule.to_owned(),
            application: "*".into(),
            ..Ignore::default()
        };
        change(&mut ignore);
        let settings = Settings {
            ignores: vec![ignore],
            ..Settings::default()
        };
        let judgement = judge_beside(&observed(), &settings, Some(told_by));
        let claims = judgement.claims.into_iter().filter(|claim| claim.rule == rule);
        claims.map(|claim| claim.database.unwrap_or_default()).collect()
    }

    #[test]
    fn what_is_ignored_under_the_other_name_alone_is_told_here() {
        let every = elsewhere(Some(&["app", "own"]));
        let of_a = |ignore: &mut Ignore| ignore.selector.server = "a".into();
        let none = [""; 0];
        for rule in ["index.unused", "query.slow_mean"] {
            let mut told = told_ignoring(rule, &every, of_a);
            told.sort();
            assert_eq!(told, ["app", "own"], "{rule}");
            assert_eq!(told_ignoring(rule, &every, |_| ()), none, "ignored here, too");
            let of_c = |ignore: &mut Ignore| ignore.selector.server = "c".into();
            assert_eq!(told_ignoring(rule, &every, of_c), none, "told under a");
            let one = |ignore: &mut Ignore| {
                of_a(ignore);
                ignore.selector.database = "own".into();
            };
            assert_eq!(told_ignoring(rule, &every, one), ["own"], "{rule}");
            let another = |ignore: &mut Ignore| {
                of_a(ignore);
                ignore.selector.object = "public.other".into();
            };
            assert_eq!(told_ignoring(rule, &every, another), none, "{rule}");
        }
        let awaited = ToldBy {
            verdict: Verdict::Skipped {
                reason: "waits".into(),
                remedy_sql: None,
            },
            ..elsewhere(None)
        };
        assert_eq!(told_ignoring("index.unused", &awaited, of_a), none);
        let mut two = elsewhere(Some(&["app", "own"]));
        two.tellers.push(Teller {
            name: "b".into(),
            ..two.tellers[0].clone()
        });
        assert_eq!(told_ignoring("index.unused", &two, of_a), none, "b tells it");
    }

    #[test]
    fn what_nobody_hears_of_there_leaves_the_rest_told_there() {
        let settings = |rule: &str| Settings {
            ignores: vec![Ignore {
                rule: rule.to_owned(),
                selector: Selector {
                    server: "a".into(),
                    object: "public.other".into(),
                    ..Selector::default()
                },
                application: "*".into(),
                ..Ignore::default()
            }],
            ..Settings::default()
        };
        let outcomes = |rule: &str, observed: &Observation, told_by: &ToldBy| {
            let judgement = judge_beside(observed, &settings(rule), Some(told_by));
            let outcomes = judgement.outcomes.into_iter();
            outcomes
                .filter(|outcome| outcome.rule == rule)
                .collect::<Vec<_>>()
        };
        let every = elsewhere(Some(&["app", "own"]));
        for rule in ["index.unused", "query.slow_mean"] {
            for outcome in outcomes(rule, &observed(), &every) {
                assert_eq!(outcome.verdict, every.verdict, "{rule}");
                let [own] = &outcome.own[..] else {
                    panic!("{outcome:?}")
                };
                assert_eq!(own.selector.object, "public.other");
                assert!(matches!(own.verdict, Verdict::Evaluated { .. }), "{own:?}");
            }
        }
        let mut unread = observed();
        unread.statements = Err(crate::model::observation::Unknown::because("not read"));
        let told = outcomes("query.slow_mean", &unread, &every);
        assert_eq!((told.len(), &told[0].verdict), (1, &every.verdict));
        assert!(matches!(told[0].own[0].verdict, Verdict::Skipped { .. }));
        let one = elsewhere(Some(&["app"]));
        let told = outcomes("query.slow_mean", &observed(), &one);
        assert_eq!((told.len(), &told[0].verdict), (2, &one.verdict));
        assert_eq!(
            told[1].database.as_deref(),
            Some("own"),
            "which is judged here alone"
        );
        assert!(matches!(told[1].verdict, Verdict::Evaluated { .. }));
        let mut all = settings("index.unused");
        all.ignores[0].selector.object = "*".into();
        let claims = judge_beside(&observed(), &all, Some(&every)).claims;
        let mut unused = claims
            .iter()
            .filter(|claim| claim.rule == "index.unused")
            .peekable();
        assert!(unused.peek().is_some());
        assert!(
            unused.all(|claim| claim.clear.is_some()),
            "it is no claim of the place's"
        );
    }

    #[test]
    fn each_place_says_whether_it_is_told_elsewhere() {
        let one = elsewhere(Some(&["app"]));
        let strings =
            |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let cases: [(&str, &[&str], &[&str]); 4] = [
            ("vacuum.autovacuum_off", &[""], &[]),
            ("query.slow_mean", &[""], &["own"]),
            ("index.unused", &["app"], &["own"]),
            (Overhead::ID, &[], &[""]),
        ];
        for (rule, there, here) in cases {
            let expected = (strings(there), strings(here));
            assert_eq!(places(rule, &observed(), &one), expected, "{rule}");
        }
    }

    #[test]
    fn a_database_that_cannot_be_visited_is_told_by_whoever_sees_it() {
        let mut observed = observed();
        let gap = |name: &str| crate::model::status::Gap {
            fact: "database".into(),
            database: Some(name.into()),
            why: "no right".into(),
            remedy_sql: None,
            missing_privilege: None,
            rules: Vec::new(),
        };
        observed.gaps = vec![gap("theirs"), gap("nobodys")];
        let (there, here) = places("index.unused", &observed, &elsewhere(Some(&["app", "theirs"])));
        assert_eq!(there, ["app", "theirs"]);
        assert_eq!(here, ["own", "nobodys"]);
    }

    #[test]
    fn how_refreshes_go_is_told_where_they_are_configured() {
        let mut refreshed = refreshed_view(|_| {});
        let every = elsewhere(None);
        let rule = "matview.refresh_failed";
        let (nowhere, here) = (Vec::<String>::new(), vec!["app".to_owned()]);
        assert_eq!(places(rule, &refreshed, &every), (nowhere.clone(), here.clone()));
        for view in refreshed.databases[0].materialized_views.iter_mut().flatten() {
            view.refreshing = None;
        }
        assert_eq!(places(rule, &refreshed, &every), (here, nowhere));
    }
}
