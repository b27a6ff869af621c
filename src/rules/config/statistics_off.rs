//! config.statistics_off

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
use crate::model::snapshot::{ServerFacts, Setting};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, settings};

/// Something that counts what the server does is switched off, or pg_stat_statements is not there.
///
/// ## Why it is bad
/// Without these counters nobody can tell which statements take the time, whether they wait for storage, and which
/// tables need a VACUUM. They cannot be had afterwards: what was not counted when it was slow is lost. Without
/// `track_counts` autovacuum does not work either.
///
/// ## What to do
/// Switch it on. `pg_stat_statements` has to be named in `shared_preload_libraries`, which needs a restart, and then
/// its extension has to be created in the database that the advisor connects to.
///
/// ## When it is wrong to obey
/// `track_io_timing` asks the clock at each read and write: run `pg_test_timing` on a machine with a slow clock
/// first. `compute_query_id` may be off where another module computes the identifiers.
///
/// On a primary vacuum.autovacuum_off tells of `track_counts`; where that rule is switched off or ignored, and on a standby,
/// this one does. What is set for the advisor's own login or database says nothing of the server: then that setting is not
/// judged. Of `pg_stat_statements.track`, which the setup of the advisor switches off for its logins, it is enough that statements
/// are counted. Source: PostgreSQL's chapters "Run-time Statistics" and "pg_stat_statements".
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatisticsOff {}

/// A setting without which something is not counted.
struct Counting {
    name: &'static str,
    severity: Severity,
    /// The value that switches it off, and the one that switches it on.
    off: &'static str,
    on: &'static str,
    /// It matters only where pg_stat_statements is loaded.
    of_statements: bool,
    /// What is not known without it, for the title.
    lacks: &'static str,
    explanation: &'static str,
    caveat: &'static str,
    /// What is said instead where nobody gets at the machine.
    caveat_of_service: Option<&'static str>,
}

/// The setting without which autovacuum does not work, either.
const TRACK_COUNTS: &str = "track_counts";

static COUNTINGS: [Counting; 5] = [
    Counting {
        name: TRACK_COUNTS,
        severity: Severity::Warning,
        off: "off",
        on: "on",
        of_statements: false,
        lacks: "nobody knows how tables and indexes are used",
        explanation: "The server does not count how tables and indexes are read and written. Autovacuum learns from these \
                      counters what to do, so it does nothing, and rules about unused indexes or dead rows cannot tell. \
                      Switch it on.",
        caveat: "Autovacuum will have work to catch up with: expect some load after it.",
        caveat_of_service: None,
    },
    Counting {
        name: "track_activities",
        severity: Severity::Warning,
        off: "off",
        on: "on",
        of_statements: false,
        lacks: "nobody sees what sessions do",
        explanation: "pg_stat_activity does not show what sessions execute, since when, and in which state they are. When the \
                      server hangs nobody can tell who is in the way. Switch it on: it costs next to nothing.",
        caveat: "It counts for what sessions do from then on.",
        caveat_of_service: None,
    },
    Counting {
        name: "track_io_timing",
        severity: Severity::Info,
        off: "off",
        on: "on",
        of_statements: false,
        lacks: "time spent on reads and writes is not known",
        explanation: "The server does not measure how long reads and writes of blocks take. Whether a statement computes or \
                      waits for storage cannot be told, neither in EXPLAIN (ANALYZE, BUFFERS) nor in pg_stat_statements. \
                      Switch it on where the clock of the machine is fast.",
        caveat: "Run pg_test_timing on the machine first: where most readings take more than about 100 ns, it costs time.",
        caveat_of_service: Some(
            "Compare the time of some statements before and after: where its clock is slow, asking it costs time.",
        ),
    },
    Counting {
        name: "compute_query_id",
        severity: Severity::Info,
        off: "off",
        on: "auto",
        of_statements: true,
        lacks: "pg_stat_statements counts nothing",
        explanation: "pg_stat_statements is loaded, but statements get no identifier, without which it counts nothing. Set \
                      compute_query_id to auto, unless another module computes the identifiers.",
        caveat: "Leave it off only where another module computes identifiers of statements.",
        caveat_of_service: None,
    },
    Counting {
        name: TRACK,
        severity: Severity::Info,
        off: "none",
        on: "top",
        of_statements: true,
        lacks: "pg_stat_statements counts nothing",
        explanation: "pg_stat_statements is loaded, but told to count no statements. Set it to top, which counts what clients \
                      send.",
        caveat: "It counts statements from then on.",
        caveat_of_service: None,
    },
];

impl Rule for StatisticsOff {
    const ID: &'static str = "config.statistics_off";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let is_loaded = place.observation.server.loads_statements_library();
        let countings = COUNTINGS
            .iter()
            .filter(|counting| !counting.of_statements || is_loaded == Some(true));
        let mut parts: Vec<(&str, Result<Option<Claim>, Unknown>)> = countings
            .map(|counting| (counting.name, judged(place, counting)))
            .collect();
        parts.push((STATEMENTS, statements(place, is_loaded)));
        // on a primary vacuum.autovacuum_off says it, where anybody hears of that
        let observation = place.observation;
        if !observation.server.is_standby && !observation.autovacuum_untold.contains(TRACK_COUNTS) {
            parts.retain(|(name, _)| *name != TRACK_COUNTS);
        }
        let (all, mut found) = (parts.len(), Found::default());
        let mut reasons = Vec::new();
        for (name, judged) in parts {
            match judged {
                Ok(claim) => found.claims.extend(claim),
                Err(unknown) => {
                    found.undecided.push(vec![name.to_owned()]);
                    reasons.push(unknown.reason);
                }
            }
        }
        if reasons.len() == all {
            return Err(Unknown::because(reasons.join("; ")));
        }
        found.untold = (!reasons.is_empty()).then(|| reasons.join("; "));
        Ok(found)
    }
}

/// The extension, its library, and the identity of what is found about them.
const STATEMENTS: &str = "pg_stat_statements";
const LIBRARIES: &str = "shared_preload_libraries";

/// The setting that decides whether statements are counted.
const TRACK: &str = "pg_stat_statements.track";

/// Whether statements of others are counted, whatever is set for our login: in the window, or at all where there is none.
fn statements_are_counted(place: &Place<'_>) -> bool {
    match &place.observation.statements {
        Ok(activity) => activity.total_seconds > 0.0 || !activity.statements.is_empty(),
        Err(_) => place
            .observation
            .statement_entries
            .is_some_and(|entries| entries > 0),
    }
}

fn judged(place: &Place<'_>, counting: &Counting) -> Result<Option<Claim>, Unknown> {
    let is_ours = |setting: &Setting| !setting.is_servers();
    let is_hidden = place
        .observation
        .server
        .settings
        .get(counting.name)
        .is_some_and(is_ours);
    if counting.name == TRACK && is_hidden && statements_are_counted(place) {
        return Ok(None);
    }
    let setting = settings::servers_own(place, counting.name)?;
    if setting.value != counting.off {
        return Ok(None);
    }
    let server = &place.observation.server;
    let of_service = counting.caveat_of_service.filter(|_| server.provider().is_some());
    let caveat = of_service.unwrap_or(counting.caveat);
    Ok(Some(Claim {
        title: format!("{} is {}: {}", counting.name, counting.off, counting.lacks),
        explanation: counting.explanation.to_owned(),
        remedy: settings::change(server, counting.name, counting.on, &[caveat]),
        ..settings::claim(
            place,
            StatisticsOff::ID,
            counting.severity,
            counting.name,
            setting,
        )
    }))
}

fn statements(place: &Place<'_>, is_loaded: Option<bool>) -> Result<Option<Claim>, Unknown> {
    let observation = place.observation;
    let server = &observation.server;
    if observation.statement_entries.is_some() {
        return Ok(None);
    }
    let create = create_extension();
    let gap = observation.gaps.iter().find(|gap| gap.fact == STATEMENTS);
    match (is_loaded, server.settings.get(LIBRARIES), gap) {
        (Some(false), Some(libraries), _) => Ok(Some(not_loaded(place, libraries))),
        (Some(true), _, Some(gap)) if gap.remedy_sql.as_ref() == Some(&create) => {
            Ok(Some(no_extension(place)))
        }
        (Some(true), _, Some(gap)) => Err(Unknown::because(gap.why.clone())),
        (Some(true), _, None) => Err(Unknown::because("pg_stat_statements could not be read")),
        _ => Err(Unknown::because(
            "whether pg_stat_statements is loaded is not known: shared_preload_libraries could not be read, which \
             members of pg_read_all_settings may",
        )),
    }
}

fn create_extension() -> String {
    Statement::CreateExtension { name: STATEMENTS }.sql()
}

/// What both claims about the extension have in common.
fn claim(place: &Place<'_>, lacks: &str, is_loaded: bool, remedy: Remedy) -> Claim {
    let first = match is_loaded {
        true => "Create its extension",
        false => "Load it, restart the server, and create its extension",
    };
    Claim {
        title: format!("pg_stat_statements {lacks}: which statements take the time is not known"),
        explanation: format!(
            "pg_stat_statements {lacks}. It counts for each statement how often it was called, how long it took and what it \
             read; without it the costliest statements cannot be named, and rules about statements are not judged. \
             {first} in the database that the advisor connects to."
        ),
        evidence: evidence([("library_is_loaded", json!(is_loaded)), ("extension_is_readable", json!(false))]),
        evidence_sql: Some(
            "SELECT (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries') AS libraries,\n  \
             (SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements') AS extension"
                .to_owned(),
        ),
        confidence: measured("read from pg_settings and pg_extension"),
        remedy,
        guards: vec!["whether its library is loaded, and its view can be read".to_owned()],
        ..place.claim(StatisticsOff::ID, Severity::Info, vec![STATEMENTS.to_owned()], None)
    }
}

const WHERE: &str = "The extension is created in the database that the advisor connects to.";
const ON_PRIMARY: &str = "This is a standby: the extension is created on its primary.";

/// Where the extension is created, and what a service wants before.
fn where_to_create(server: &ServerFacts) -> Vec<String> {
    let place = if server.is_standby { ON_PRIMARY } else { WHERE };
    let before = settings::before_create(server, STATEMENTS);
    before.into_iter().chain([place.to_owned()]).collect()
}

fn no_extension(place: &Place<'_>) -> Claim {
    let server = &place.observation.server;
    let remedy = Remedy {
        apply_sql: (!server.is_standby).then(create_extension).into_iter().collect(),
        rewrites_table: Some(false),
        caveats: where_to_create(server),
        ..Remedy::default()
    };
    claim(place, "is loaded, but its extension is missing", true, remedy)
}

fn not_loaded(place: &Place<'_>, libraries: &Setting) -> Claim {
    let server = &place.observation.server;
    let before = libraries.value.trim();
    let list = match before {
        "" => STATEMENTS.to_owned(),
        before => format!("{before},{STATEMENTS}"),
    };
    let is_file = server.provider().is_none() && libraries.source != "command line";
    let mut remedy = match is_file && (!before.is_empty() || libraries.source != "default") {
        false => settings::change(server, LIBRARIES, &list, &[]),
        // ALTER SYSTEM would take a list in one constant for one name, and the server would not start any more
        true => Remedy {
            rewrites_table: Some(false),
            caveats: vec![format!(
                "Write {LIBRARIES} = '{list}' where it is set now (pg_settings.sourcefile) and restart the server. Do not \
                     give the list to ALTER SYSTEM in one pair of quotes: that makes one name of it, and the server does not \
                     start with it."
            )],
            ..Remedy::default()
        },
    };
    remedy.caveats.extend(where_to_create(server));
    if !server.is_standby {
        remedy.apply_sql.push(create_extension());
    }
    claim(place, "is not loaded", false, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::model::status::Gap;
    use crate::rules::testing::{claims, found, observation, set};

    /// Everything is counted.
    fn observed() -> Observation {
        let mut observed = observation(vec![], 0.0);
        for (name, value) in [
            ("track_counts", "on"),
            ("track_activities", "on"),
            ("track_io_timing", "on"),
            ("compute_query_id", "auto"),
            ("pg_stat_statements.track", "top"),
            (LIBRARIES, "pg_stat_statements"),
        ] {
            set(&mut observed, name, value);
        }
        observed.statement_entries = Some(0);
        observed
    }

    fn without_library(libraries: &str, source: &str) -> Observation {
        let mut observed = observed();
        observed.statement_entries = None;
        observed.server.settings.remove("pg_stat_statements.track");
        set(&mut observed, LIBRARIES, libraries);
        let setting = observed.server.settings.get_mut(LIBRARIES).unwrap();
        (setting.source, setting.context) = (source.into(), "postmaster".into());
        observed
    }

    fn gap(remedy_sql: &str) -> Gap {
        Gap {
            fact: STATEMENTS.into(),
            database: None,
            why: "no".into(),
            remedy_sql: Some(remedy_sql.into()),
            missing_privilege: None,
            rules: vec![],
        }
    }

    #[test]
    fn each_counter_that_is_off_is_named() {
        assert!(claims::<StatisticsOff>(&observed()).unwrap().is_empty());
        for counting in &COUNTINGS {
            let mut observed = observed();
            set(&mut observed, counting.name, counting.off);
            // on a primary vacuum.autovacuum_off says it
            observed.server.is_standby = counting.name == TRACK_COUNTS;
            let claims = claims::<StatisticsOff>(&observed).unwrap();
            let told: Vec<_> = claims
                .iter()
                .map(|claim| (claim.subject[0].as_str(), claim.severity))
                .collect();
            assert_eq!(told, [(counting.name, counting.severity)]);
        }
    }

    #[test]
    fn what_setup_set_for_our_own_login_hides_nothing_where_statements_are_counted() {
        let mut observed = observed();
        set(&mut observed, TRACK, "none");
        observed.server.settings.get_mut(TRACK).unwrap().source = "user".into();
        let judged = |observed: &Observation| {
            let found = found::<StatisticsOff>(observed).unwrap();
            (found.claims.len(), found.undecided.len(), found.untold.is_some())
        };
        assert_eq!(judged(&observed), (0, 1, true), "nothing is counted");
        let activity = observed.statements.as_mut().unwrap();
        activity.statements = vec![crate::rules::testing::statement("SELECT 1 FROM a", 1, 1.0)];
        assert_eq!(judged(&observed), (0, 0, false));
        observed.statements = Err(Unknown::because("needs two looks"));
        assert_eq!(judged(&observed), (0, 1, true));
        observed.statement_entries = Some(7);
        assert_eq!(judged(&observed), (0, 0, false));
        set(&mut observed, TRACK, "none");
        assert_eq!(judged(&observed), (1, 0, false), "of the server itself");
    }

    #[test]
    fn what_autovacuum_needs_is_told_here_where_nobody_hears_of_it_there() {
        let mut primary = observed();
        set(&mut primary, TRACK_COUNTS, "off");
        assert!(claims::<StatisticsOff>(&primary).unwrap().is_empty());
        primary.autovacuum_untold = ["autovacuum".to_owned()].into();
        assert!(claims::<StatisticsOff>(&primary).unwrap().is_empty());
        primary.autovacuum_untold = [TRACK_COUNTS.to_owned()].into();
        let told = claims::<StatisticsOff>(&primary).unwrap().remove(0);
        assert_eq!(
            (told.subject[0].as_str(), told.severity),
            (TRACK_COUNTS, Severity::Warning)
        );
    }

    #[test]
    fn nobody_is_sent_to_the_machine_of_a_service() {
        let sent = |setting: &str| {
            let mut observed = observed();
            set(&mut observed, "track_io_timing", "off");
            set(&mut observed, setting, "x");
            let claim = claims::<StatisticsOff>(&observed).unwrap().remove(0);
            claim
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("pg_test_timing"))
        };
        assert!(sent("work_mem") && !sent("cloudsql.enable_pgaudit"));
    }

    #[test]
    fn identifiers_matter_only_to_the_library() {
        let mut observed = without_library("", "default");
        set(&mut observed, "compute_query_id", "off");
        let claims = claims::<StatisticsOff>(&observed).unwrap();
        assert_eq!((claims.len(), claims[0].subject[0].as_str()), (1, STATEMENTS));
    }

    #[test]
    fn a_library_is_loaded_by_what_the_server_takes() {
        let remedy = |libraries: &str, source: &str| {
            claims::<StatisticsOff>(&without_library(libraries, source))
                .unwrap()
                .remove(0)
                .remedy
        };
        let create = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public";
        let first = remedy("", "default");
        assert_eq!(
            first.apply_sql[0],
            "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'"
        );
        assert_eq!(first.apply_sql.last().unwrap(), create);
        assert!(first.caveats[0].contains("restart"));
        for (libraries, source) in [("auto_explain", "configuration file"), ("", "configuration file")] {
            assert_eq!(
                remedy(libraries, source).apply_sql,
                [create],
                "no list in one constant"
            );
        }
        let beside = remedy("auto_explain, pgaudit", "configuration file");
        assert!(beside.caveats[0].contains("'auto_explain, pgaudit,pg_stat_statements'"));
        assert!(remedy("", "command line").caveats[0].contains("command line"));
    }

    #[test]
    fn a_loaded_library_without_its_extension() {
        for libraries in [
            "pg_stat_statements",
            "a, \"pg_stat_statements\"",
            "$libdir/pg_stat_statements",
        ] {
            let mut observed = without_library(libraries, "configuration file");
            set(&mut observed, "pg_stat_statements.track", "top");
            assert!(
                found::<StatisticsOff>(&observed).unwrap().untold.is_some(),
                "no reason is known"
            );
            observed.server.settings.remove("pg_stat_statements.track");
            observed.gaps = vec![gap(&create_extension())];
            assert_eq!(observed.server.loads_statements_library(), Some(true));
            let found = found::<StatisticsOff>(&observed).unwrap();
            assert_eq!(found.claims[0].remedy.apply_sql, [create_extension()]);
        }
        let mut standby = without_library("pg_stat_statements", "configuration file");
        standby.gaps = vec![gap(&create_extension())];
        standby.server.is_standby = true;
        assert!(
            claims::<StatisticsOff>(&standby).unwrap()[0]
                .remedy
                .apply_sql
                .is_empty()
        );
    }

    #[test]
    fn what_cannot_be_seen_is_not_told() {
        let mut observed = without_library("pg_stat_statements", "configuration file");
        observed.gaps = vec![gap("GRANT pg_read_all_stats TO observer")];
        let refused = found::<StatisticsOff>(&observed).unwrap();
        assert!(refused.claims.is_empty() && refused.undecided.contains(&vec![STATEMENTS.to_owned()]));
        observed.server.settings.remove(LIBRARIES);
        let unseen = found::<StatisticsOff>(&observed).unwrap();
        assert!(unseen.untold.unwrap().contains("pg_read_all_settings"));
        observed.server.settings.clear();
        assert!(claims::<StatisticsOff>(&observed).is_err());
    }
}
