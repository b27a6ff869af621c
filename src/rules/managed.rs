//! Tests on recorded servers of each managed service, and on near misses: which one it is, and that every rule gives the
//! way of that service.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::config::statistics_off::StatisticsOff;
use super::sampled::SampledStatements;
use super::testing::{advised, advised_statement, claims, found, observation, session, set, table, tables};
use super::{Place, Scope, index, settings};
use crate::limits;
use crate::model::finding::Claim;
use crate::model::observation::{Observation, Unknown};
use crate::model::provider::Provider;
use crate::model::remedy::Remedy;
use crate::model::snapshot::{Declared, Setting};
use crate::model::status::Gap;

/// What is kept of a server in `tests/recorded`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// Where it comes from.
    about: String,
    provider: Option<Provider>,
    login: String,
    login_is_superuser: bool,
    settings: BTreeMap<String, Setting>,
    roles: HashMap<u32, String>,
    available_extensions: BTreeSet<String>,
}

macro_rules! recorded {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../tests/recorded/", $name, ".json")))),*]
    };
}

const SERVICES: [(&str, &str); 7] = recorded!(
    "rds",
    "aurora",
    "cloud_sql",
    "alloydb",
    "azure",
    "supabase",
    "neon"
);
const NEAR_MISSES: [(&str, &str); 6] = recorded!(
    "own_plain",
    "own_after_rds",
    "own_supabase_image",
    "own_alloydb_omni",
    "own_alloydb_omni_monitored",
    "own_neon"
);

fn read(text: &str) -> Recorded {
    serde_json::from_str(text).unwrap()
}

/// A server with a large table, of which nothing else is known.
fn observed(recorded: &Recorded) -> Observation {
    let mut observed = tables(vec![table(1, "large", 1e8, 2e10)]);
    let server = &mut observed.server;
    server.settings.clone_from(&recorded.settings);
    server.roles.clone_from(&recorded.roles);
    server
        .service_extensions
        .clone_from(&recorded.available_extensions);
    server.login.clone_from(&recorded.login);
    server.login_is_superuser = recorded.login_is_superuser;
    observed
}

/// Values that rules want to have changed: name, value, unit, context.
const TROUBLES: [(&str, &str, Option<&str>, &str); 29] = [
    ("autovacuum", "off", None, "sighup"),
    ("compute_query_id", "off", None, "superuser"),
    ("effective_cache_size", "16384", Some("8kB"), "user"),
    ("effective_io_concurrency", "1", None, "user"),
    ("enable_nestloop", "off", None, "user"),
    ("fsync", "off", None, "sighup"),
    ("full_page_writes", "off", None, "sighup"),
    ("hash_mem_multiplier", "2", None, "user"),
    ("log_autovacuum_min_duration", "-1", Some("ms"), "sighup"),
    ("log_checkpoints", "off", None, "sighup"),
    ("log_lock_waits", "off", None, "superuser"),
    ("log_min_duration_statement", "-1", Some("ms"), "superuser"),
    ("log_temp_files", "-1", Some("kB"), "superuser"),
    ("maintenance_work_mem", "16384", Some("kB"), "user"),
    ("max_connections", "1000", None, "postmaster"),
    ("pg_stat_statements.max", "5000", None, "postmaster"),
    ("pg_stat_statements.track", "none", None, "superuser"),
    ("pg_stat_statements.track_planning", "off", None, "superuser"),
    ("random_page_cost", "4", None, "user"),
    ("reserved_connections", "0", None, "postmaster"),
    ("seq_page_cost", "1", None, "user"),
    ("shared_buffers", "16384", Some("8kB"), "postmaster"),
    ("superuser_reserved_connections", "3", None, "postmaster"),
    ("synchronous_commit", "off", None, "user"),
    ("track_activities", "off", None, "superuser"),
    ("track_counts", "off", None, "superuser"),
    ("track_io_timing", "off", None, "superuser"),
    ("wal_level", "replica", None, "postmaster"),
    ("work_mem", "1048576", Some("kB"), "user"),
];

/// Rules that have settings changed, and what they tell of on every service.
const CHANGING: [&str; 8] = [
    "config.connections",
    "config.durability_off",
    "config.logging",
    "config.memory_sizing",
    "config.planner_disabled",
    "config.random_page_cost",
    "config.statistics_off",
    "vacuum.autovacuum_off",
];

/// The same server with everything set wrong.
fn troubled(recorded: &Recorded) -> Observation {
    let mut observed = observed(recorded);
    observed.statements = observation(vec![], 1.0).statements;
    observed.statement_entries = Some(4999);
    if let Ok(activity) = observed.statements.as_mut() {
        activity.evictions = 100;
    }
    observed.server.declared = Declared {
        memory_bytes: Some(64.0 * 1_073_741_824.0),
        cores: Some(8),
        is_solid_state: Some(true),
        ..Declared::default()
    };
    for (name, value, unit, context) in TROUBLES {
        let setting = Setting {
            value: value.into(),
            unit: unit.map(str::to_owned),
            source: "configuration file".into(),
            context: context.into(),
            is_pending_restart: name == "max_connections",
            ..Setting::default()
        };
        observed.server.settings.insert(name.into(), setting);
    }
    observed
}

/// What all rules claim, and what they say where they cannot tell.
fn judged(observed: &Observation) -> (Vec<Claim>, Vec<Unknown>) {
    let (mut claims, mut unknowns) = (Vec::new(), Vec::new());
    let sampled = SampledStatements::of(observed);
    for kind in super::all() {
        let database = (kind.scope == Scope::Database).then(|| &observed.databases[0]);
        let place = Place {
            observation: observed,
            database,
            sampled: &sampled,
            claims_at_most: limits::FINDINGS_PER_RULE,
        };
        match (kind.judge)(&(kind.defaults)(), &place) {
            Ok(found) => claims.extend(found.claims),
            Err(unknown) => unknowns.push(unknown),
        }
    }
    (claims, unknowns)
}

/// What a remedy for a setting must say there.
fn way(provider: Provider) -> &'static str {
    match provider {
        Provider::Rds => "aws rds modify-db-parameter-group",
        Provider::Aurora => "aws rds modify-db-cluster-parameter-group",
        Provider::CloudSql => "gcloud sql instances patch",
        Provider::AlloyDb => "gcloud alloydb instances update",
        Provider::Azure => "az postgres flexible-server parameter set",
        Provider::Supabase => "Supabase",
        Provider::Neon => "Neon",
    }
}

/// That a text has nothing that only the owner of a machine can do.
fn is_for_customers(text: &str, service: &str) {
    for word in [
        "ALTER SYSTEM",
        "postgresql.conf",
        "postgresql.auto.conf",
        "pg_ctl",
        "pg_file_settings",
        "pg_reload_conf",
        "systemctl",
    ] {
        assert!(!text.contains(word), "{service}: {word} in {text}");
    }
}

#[test]
fn each_service_is_recognised_and_nothing_else() {
    for (name, text) in SERVICES.into_iter().chain(NEAR_MISSES) {
        let recorded = read(text);
        assert!(
            recorded.about.contains("not dumped") || recorded.about.contains("Not dumped"),
            "{name}"
        );
        assert_eq!(observed(&recorded).server.provider(), recorded.provider, "{name}");
    }
    let recognised = SERVICES.map(|(_, text)| read(text).provider);
    for provider in Provider::ALL {
        assert!(recognised.contains(&Some(provider)), "{provider:?}");
    }
}

#[test]
fn without_its_settings_a_service_is_known_by_roles_and_extensions() {
    for (name, text) in SERVICES {
        let mut observed = observed(&read(text));
        observed.server.settings.clear();
        assert_eq!(observed.server.provider(), read(text).provider, "{name}");
    }
}

#[test]
fn every_remedy_is_one_for_the_customers_of_the_service() {
    for (name, text) in SERVICES {
        let recorded = read(text);
        let provider = recorded.provider.unwrap();
        let (claims, unknowns) = judged(&troubled(&recorded));
        for claim in &claims {
            is_for_customers(&serde_json::to_string(claim).unwrap(), name);
        }
        for unknown in &unknowns {
            is_for_customers(&format!("{unknown:?}"), name);
        }
        for rule in CHANGING.into_iter().chain(["pgss.eviction"]) {
            let mut of_rule = claims.iter().filter(|claim| claim.rule == rule).peekable();
            assert!(of_rule.peek().is_some(), "{name}: {rule} finds nothing");
            for claim in of_rule {
                let Remedy {
                    apply_sql, caveats, ..
                } = &claim.remedy;
                assert!(apply_sql.is_empty(), "{name}: {rule}: {apply_sql:?}");
                let told = caveats.join(" ");
                assert!(told.contains(way(provider)), "{name}: {rule}: {told}");
                assert!(told.contains("To take it back"), "{name}: {rule}: {told}");
            }
        }
        let restarts = claims.iter().find(|claim| claim.rule == "config.pending_restart");
        let told = restarts.unwrap().remedy.caveats.join(" ");
        assert!(
            told.contains(&format!("On {} the server is restarted", provider.name())),
            "{told}"
        );
    }
}

#[test]
fn what_cannot_be_judged_names_no_way_that_customers_have_not() {
    for (name, text) in SERVICES {
        let mut observed = troubled(&read(text));
        observed.sessions = Ok(vec![session(1, "disabled", 1, |_| ())]);
        let (_, unknowns) = judged(&observed);
        assert!(
            unknowns
                .iter()
                .any(|unknown| unknown.reason.contains("track_activities is off"))
        );
        for unknown in &unknowns {
            is_for_customers(&format!("{unknown:?}"), name);
        }
    }
}

#[test]
fn a_server_of_ones_own_is_changed_by_sql() {
    for (name, text) in NEAR_MISSES {
        let (claims, _) = judged(&troubled(&read(text)));
        for rule in CHANGING {
            let mut of_rule = claims.iter().filter(|claim| claim.rule == rule);
            let is_sql = |claim: &Claim| {
                let mut all = claim.remedy.apply_sql.iter();
                all.any(|sql| sql.starts_with("ALTER SYSTEM SET"))
            };
            assert!(of_rule.any(is_sql), "{name}: {rule}");
        }
    }
}

#[test]
fn a_library_and_its_extension_come_the_way_of_the_service() {
    for (name, text) in SERVICES {
        let recorded = read(text);
        let provider = recorded.provider.unwrap();
        let create = provider.how_to_create("pg_stat_statements");
        let mut loaded = observed(&recorded);
        loaded.gaps = vec![Gap {
            fact: "pg_stat_statements".into(),
            database: None,
            why: "missing".into(),
            remedy_sql: Some("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public".into()),
            missing_privilege: None,
            rules: vec![],
        }];
        let mut unloaded = loaded.clone();
        set(&mut unloaded, "shared_preload_libraries", "other, \"$(reboot)\"");
        for (is_loaded, observed) in [(true, loaded), (false, unloaded)] {
            let found = claims::<StatisticsOff>(&observed).unwrap();
            let claim = found.iter().find(|claim| claim.subject == ["pg_stat_statements"]);
            let remedy = &claim.unwrap().remedy;
            is_for_customers(&format!("{remedy:?}"), name);
            assert!(remedy.caveats.contains(&create), "{name}: {:?}", remedy.caveats);
            let is_told = remedy.caveats[0].contains("shared_preload_libraries");
            assert_eq!(is_told, !is_loaded, "{name}: {:?}", remedy.caveats);
        }
    }
}

#[test]
fn what_index_advice_needs_is_created_the_way_of_the_service() {
    for (name, text) in SERVICES.into_iter().chain(NEAR_MISSES) {
        let mut observed = observed(&read(text));
        let way = settings::before_create(&observed.server, "hypopg");
        observed.databases[0].advice = Err(Unknown {
            reason: "HypoPG is not installed".into(),
            remedy_sql: Some("CREATE EXTENSION IF NOT EXISTS hypopg SCHEMA public".into()),
        });
        let unknown = found::<index::missing::Missing>(&observed).unwrap_err();
        let without =
            "HypoPG is not installed; `pgadvisor advise` gives candidates without it, which nothing proves";
        let expected = match &way {
            Some(way) => format!("{without}. {way}"),
            None => without.to_owned(),
        };
        assert_eq!(unknown.reason, expected, "{name}");
        assert!(unknown.remedy_sql.is_some());
        assert_eq!(way.is_some(), observed.server.provider().is_some(), "{name}");
        let statement = advised_statement("s1", &["CREATE INDEX"], Some(0.0));
        let mut advice = advised(&["CREATE INDEX"], vec![statement]);
        advice.total_seconds = 10.0;
        advice.report.indexes[0]
            .apply_sql
            .insert(0, "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public".into());
        observed.databases[0].advice = Ok(Arc::new(advice));
        let claims = claims::<index::missing::Missing>(&observed).unwrap();
        let is_told = |claim: &Claim| {
            let way = settings::before_create(&observed.server, "pg_trgm");
            way.is_none_or(|way| claim.remedy.caveats.contains(&way))
        };
        assert!(!claims.is_empty() && claims.iter().all(is_told), "{name}");
    }
}
