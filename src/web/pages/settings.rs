//! The settings of a server that are worth knowing: a part of its page.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::relations::{Brief, briefs};
use crate::model::finding::{Finding, ObjectKind};
use crate::model::snapshot::Setting;
use crate::model::unit::count_for_people;
use crate::rules::settings::{hidden, told as told_as_read};

/// A setting that is worth knowing: its name, what it decides, and values that mean something else than their number.
struct Known {
    name: &'static str,
    about: &'static str,
    words: &'static [(&'static str, &'static str)],
}

const fn known(
    name: &'static str,
    about: &'static str,
    words: &'static [(&'static str, &'static str)],
) -> Known {
    Known { name, about, words }
}

const ALL_OR_NONE: &[(&str, &str)] = &[("-1", "none"), ("0", "all")];

const MEMORY: [Known; 7] = [
    known("shared_buffers", "the server's own cache", &[]),
    known(
        "effective_cache_size",
        "what the planner thinks is cached, the system's cache included",
        &[],
    ),
    known("work_mem", "for each sort or hash of each statement", &[]),
    known(
        "hash_mem_multiplier",
        "how many times work_mem a hash may take",
        &[],
    ),
    known("maintenance_work_mem", "for VACUUM and index builds", &[]),
    known(
        "autovacuum_work_mem",
        "for each autovacuum worker",
        &[("-1", "as maintenance_work_mem")],
    ),
    known("huge_pages", "whether memory comes in huge pages", &[]),
];

// timeouts of statements, locks and idle transactions are not among them: the advisor sets its own for its sessions, which
// hides the server's
const CONNECTIONS: [Known; 1] = [known("max_connections", "sessions at most", &[])];

const CHECKPOINTS: [Known; 7] = [
    known("checkpoint_timeout", "between two checkpoints at most", &[]),
    known("max_wal_size", "WAL that makes a checkpoint come early", &[]),
    known(
        "checkpoint_completion_target",
        "the part of the time between two over which one is spread",
        &[],
    ),
    known("wal_buffers", "WAL that is not written yet", &[]),
    known("wal_compression", "of whole pages in WAL", &[]),
    known("wal_level", "what WAL can be used for", &[]),
    known(
        "max_slot_wal_keep_size",
        "WAL that a replication slot may hold back",
        &[("-1", "without limit")],
    ),
];

const DURABILITY: [Known; 3] = [
    known("fsync", "off: a crash may destroy everything", &[]),
    known("full_page_writes", "off: a crash may tear pages", &[]),
    known(
        "synchronous_commit",
        "off: a crash may lose the last commits",
        &[],
    ),
];

const AUTOVACUUM: [Known; 9] = [
    known("autovacuum", "whether tables are vacuumed by themselves", &[]),
    known("autovacuum_max_workers", "tables that are vacuumed at once", &[]),
    known("autovacuum_naptime", "between two rounds over a database", &[]),
    known(
        "autovacuum_vacuum_scale_factor",
        "the part of a table's rows that must be dead",
        &[],
    ),
    known("autovacuum_vacuum_threshold", "and so many more", &[]),
    known(
        "autovacuum_analyze_scale_factor",
        "the part of a table's rows that must have changed",
        &[],
    ),
    known(
        "autovacuum_vacuum_cost_delay",
        "pause after each bit of work",
        &[("-1", "as vacuum_cost_delay"), ("0", "none")],
    ),
    known(
        "autovacuum_vacuum_cost_limit",
        "work between two pauses, of all workers together",
        &[("-1", "as vacuum_cost_limit")],
    ),
    known(
        "autovacuum_freeze_max_age",
        "transactions after which a table is vacuumed in any case",
        &[],
    ),
];

const PLANNER: [Known; 4] = [
    known(
        "default_statistics_target",
        "how much ANALYZE takes and keeps of each column",
        &[],
    ),
    known(
        "random_page_cost",
        "what the planner thinks a page out of order costs",
        &[],
    ),
    known("seq_page_cost", "and one in order", &[]),
    known(
        "effective_io_concurrency",
        "reads that the storage is given at once",
        &[("0", "none ahead")],
    ),
];

const STATISTICS: [Known; 5] = [
    known(
        "shared_preload_libraries",
        "what is loaded with the server",
        &[("", "none")],
    ),
    known(
        "track_counts",
        "how tables and indexes are used; autovacuum needs it",
        &[],
    ),
    known("track_activities", "what sessions do", &[]),
    known("track_io_timing", "how long reads and writes take", &[]),
    known("compute_query_id", "what pg_stat_statements counts by", &[]),
];

const LOGGING: [Known; 5] = [
    known(
        "log_min_duration_statement",
        "statements that took longer are logged",
        ALL_OR_NONE,
    ),
    known("log_checkpoints", "when each came, and why", &[]),
    known("log_lock_waits", "waits for locks of some length", &[]),
    known("log_temp_files", "temporary files above this size", ALL_OR_NONE),
    known(
        "log_autovacuum_min_duration",
        "autovacuum's work that took longer",
        ALL_OR_NONE,
    ),
];

const GROUPS: [(&str, &[Known]); 8] = [
    ("Memory", &MEMORY),
    ("Connections", &CONNECTIONS),
    ("Checkpoints and WAL", &CHECKPOINTS),
    ("Durability", &DURABILITY),
    ("Autovacuum", &AUTOVACUUM),
    ("Planner", &PLANNER),
    ("Statistics", &STATISTICS),
    ("Logging", &LOGGING),
];

/// Settings that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct SettingGroup {
    pub name: String,
    pub settings: Vec<SettingLine>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SettingLine {
    /// Its name.
    pub name: String,
    /// What it decides.
    pub about: String,
    /// As pg_settings has it, in `unit`; null where the server's own value is not known.
    pub value: Option<String>,
    /// The unit, as pg_settings gives it.
    pub unit: Option<String>,
    /// The value in words.
    pub told: Option<String>,
    /// Where the value comes from: `default`, `configuration file`.
    pub source: Option<String>,
    /// Whether another value waits for a restart.
    pub is_pending_restart: bool,
    /// Why the server's own value is not known; null where it is.
    pub unknown_because: Option<String>,
    /// Findings about it.
    pub findings: Vec<Brief>,
}

/// The settings that are worth knowing, with what is found about them; empty where no setting could be read.
pub(super) fn groups(settings: &BTreeMap<String, Setting>, findings: &[Finding]) -> Vec<SettingGroup> {
    if settings.is_empty() {
        return Vec::new();
    }
    let group = |(name, known): &(&str, &[Known])| SettingGroup {
        name: (*name).to_owned(),
        settings: known
            .iter()
            .map(|known| line(known, settings.get(known.name), findings))
            .collect(),
    };
    GROUPS.iter().map(group).collect()
}

fn line(known: &Known, setting: Option<&Setting>, findings: &[Finding]) -> SettingLine {
    let own = setting.filter(|setting| setting.is_servers());
    let unknown_because = match (setting, own) {
        (_, Some(_)) => None,
        (Some(setting), None) => Some(hidden(known.name, setting)),
        (None, None) => Some("the server does not show it to the advisor's login".to_owned()),
    };
    SettingLine {
        name: known.name.to_owned(),
        about: known.about.to_owned(),
        value: own.map(|setting| setting.value.clone()),
        unit: own.and_then(|setting| setting.unit.clone()),
        told: own.map(|setting| told(setting, known.words)),
        source: own.map(|setting| setting.source.clone()),
        is_pending_restart: setting.is_some_and(|setting| setting.is_pending_restart),
        unknown_because,
        findings: briefs(findings, |finding| is_about(finding, known.name)),
    }
}

/// In bytes, largest first.
const SIZES: [(f64, &str); 5] = [
    (1_099_511_627_776.0, "TiB"),
    (1_073_741_824.0, "GiB"),
    (1_048_576.0, "MiB"),
    (1024.0, "KiB"),
    (1.0, "B"),
];

/// In milliseconds, largest first.
const TIMES: [(f64, &str); 5] = [
    (86_400_000.0, "days"),
    (3_600_000.0, "h"),
    (60_000.0, "min"),
    (1000.0, "s"),
    (1.0, "ms"),
];

/// The value as people say it, and exactly: somebody compares it with what is written in the configuration.
fn told(setting: &Setting, words: &[(&str, &str)]) -> String {
    if let Some((_, word)) = words.iter().find(|(value, _)| *value == setting.value) {
        return (*word).to_owned();
    }
    let size = setting.bytes().and_then(|bytes| in_units(bytes, &SIZES));
    let time = || in_units(setting.milliseconds()?, &TIMES);
    size.or_else(time).unwrap_or_else(|| verbatim(setting))
}

/// A whole number of the largest unit that divides it, as SHOW has it; none where there is no such unit.
fn in_units(amount: f64, units: &[(f64, &str)]) -> Option<String> {
    let (size, unit) = units
        .iter()
        .find(|(size, _)| amount > 0.0 && amount % size == 0.0)?;
    let number = amount / size;
    let unit = match *unit {
        "days" if number == 1.0 => "day",
        unit => unit,
    };
    Some(format!("{} {unit}", count_for_people(number)))
}

/// As it was read; a whole number that has no unit in groups of three.
fn verbatim(setting: &Setting) -> String {
    let whole = setting.value.parse::<i32>().ok();
    match whole.filter(|whole| setting.unit.is_none() && whole.to_string() == setting.value) {
        Some(whole) => count_for_people(f64::from(whole)),
        None => told_as_read(setting),
    }
}

/// Whether a finding is about a setting, alone or among others. What waits for a restart is told beside it already, from a
/// later look.
fn is_about(finding: &Finding, name: &str) -> bool {
    let claim = &finding.claim;
    if claim.rule == "config.pending_restart" {
        return false;
    }
    let object = claim.object.as_ref();
    let is_it = object.is_some_and(|object| object.kind == ObjectKind::Setting && object.name == name);
    is_it || object.is_none() && claim.rule.starts_with("config.") && claim.evidence.contains_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Object;
    use crate::web::pages::sample;
    use serde_json::json;

    fn setting(value: &str, unit: Option<&str>, source: &str) -> Setting {
        Setting {
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            source: source.to_owned(),
            ..Setting::default()
        }
    }

    fn of(settings: &[(&str, Setting)], findings: &[Finding]) -> Vec<SettingLine> {
        let settings = settings
            .iter()
            .map(|(name, setting)| ((*name).to_owned(), setting.clone()));
        let groups = groups(&settings.collect(), findings);
        groups.into_iter().flat_map(|group| group.settings).collect()
    }

    fn named<'a>(lines: &'a [SettingLine], name: &str) -> &'a SettingLine {
        lines.iter().find(|line| line.name == name).unwrap()
    }

    #[test]
    fn values_are_told_with_their_unit_and_what_is_not_the_servers_is_not_told() {
        let file = |value: &str, unit| setting(value, unit, "configuration file");
        let lines = of(
            &[
                ("shared_buffers", file("16384", Some("8kB"))),
                ("autovacuum_naptime", file("60", Some("s"))),
                ("log_min_duration_statement", file("0", Some("ms"))),
                ("log_temp_files", file("-1", Some("kB"))),
                ("max_connections", file("2000", None)),
                ("work_mem", setting("99", Some("kB"), "user")),
            ],
            &[],
        );
        let told = |name| named(&lines, name).told.as_deref();
        assert_eq!(told("shared_buffers"), Some("128 MiB"));
        assert_eq!(told("autovacuum_naptime"), Some("1 min"));
        assert_eq!(
            (told("log_min_duration_statement"), told("log_temp_files")),
            (Some("all"), Some("none"))
        );
        assert_eq!(told("max_connections"), Some("2\u{202f}000"));
        let ours = named(&lines, "work_mem");
        assert_eq!((ours.value.as_deref(), ours.told.as_deref()), (None, None));
        assert!(ours.unknown_because.as_ref().unwrap().contains("source: user"));
        let unseen = named(&lines, "fsync");
        assert!(unseen.value.is_none() && unseen.unknown_because.is_some());
        assert!(of(&[], &[]).is_empty(), "nothing could be read");
    }

    #[test]
    fn nothing_is_rounded() {
        for (value, unit, exactly) in [
            ("1.25", None, "1.25"),
            ("1e+10", None, "1e+10"),
            ("200000000", None, "200\u{202f}000\u{202f}000"),
            ("off", None, "off"),
            ("90", Some("s"), "90 s"),
            ("120", Some("s"), "2 min"),
            ("15500", Some("ms"), "15\u{202f}500 ms"),
            ("2.5", Some("ms"), "2.5 ms"),
            ("1440", Some("min"), "1 day"),
            ("2880", Some("min"), "2 days"),
            ("255872", Some("8kB"), "1\u{202f}999 MiB"),
            ("3", Some("4kB"), "12 KiB"),
            ("65536", Some("32kB"), "2 GiB"),
            ("1536", Some("B"), "1\u{202f}536 B"),
            ("0", Some("MB"), "0 MB"),
            ("7", Some("pages"), "7 pages"),
        ] {
            assert_eq!(told(&setting(value, unit, "default"), &[]), exactly);
        }
    }

    #[test]
    fn a_finding_stands_beside_each_setting_that_it_is_about() {
        let mut one = sample::finding("config.durability_off", "fsync");
        one.claim.object = Some(Object {
            kind: ObjectKind::Setting,
            schema: None,
            name: "fsync".to_owned(),
            table: None,
        });
        let mut several = sample::finding("config.logging", "logging");
        several.claim.object = None;
        several.claim.evidence = json!({"log_temp_files": "-1", "log_lock_waits": "off"})
            .as_object()
            .cloned()
            .unwrap();
        let mut waiting = one.clone();
        waiting.claim.rule = "config.pending_restart".into();
        let findings = [one, several, waiting];
        let lines = of(&[("fsync", setting("off", None, "default"))], &findings);
        let found: Vec<(&str, &str)> = lines
            .iter()
            .flat_map(|line| {
                line.findings
                    .iter()
                    .map(|brief| (line.name.as_str(), brief.rule.as_str()))
            })
            .collect();
        assert_eq!(
            found,
            [
                ("fsync", "config.durability_off"),
                ("log_lock_waits", "config.logging"),
                ("log_temp_files", "config.logging"),
            ]
        );
    }
}
