//! What rules about settings share: reading one that is the server's own, the claim about it, and how it is changed at
//! the place where the server runs.

use serde_json::json;

use super::{Place, evidence, measured};
use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::Unknown;
use crate::model::provider::Provider;
use crate::model::remedy::{Remedy, Statement};
use crate::model::snapshot::{ServerFacts, Setting};

/// A setting, if its value is the server's own and no one else's.
///
/// # Errors
/// If it could not be read, or is set for our login, database or session, so that the server's own value is hidden.
pub fn servers_own<'a>(place: &Place<'a>, name: &str) -> Result<&'a Setting, Unknown> {
    let setting = place
        .observation
        .server
        .settings
        .get(name)
        .ok_or_else(|| Unknown::because(format!("{name} could not be read")))?;
    match setting.is_servers() {
        true => Ok(setting),
        false => Err(Unknown::because(hidden(name, setting))),
    }
}

/// Why the server's own value of a setting cannot be seen.
pub fn hidden(name: &str, setting: &Setting) -> String {
    format!(
        "{name} is set for the advisor's login, database or session (source: {}), so that the server's own value cannot \
         be seen: look with a login that has no such setting",
        setting.source
    )
}

/// A value with its unit, as `SHOW` would tell it: `16384 × 8kB`.
pub fn told(setting: &Setting) -> String {
    match setting.unit.as_deref() {
        None | Some("") => setting.value.clone(),
        Some(unit) if unit.starts_with(|c: char| c.is_ascii_digit()) => format!("{} × {unit}", setting.value),
        Some(unit) => format!("{} {unit}", setting.value),
    }
}

/// A value as a configuration file takes it, to be written there again: of blocks the bytes.
pub fn written(setting: &Setting) -> String {
    let unit = setting.unit.as_deref();
    let is_of_blocks = unit.is_some_and(|unit| unit.starts_with(|c: char| c.is_ascii_digit()));
    match setting.bytes().filter(|bytes| is_of_blocks && *bytes > 0.0) {
        Some(bytes) => format!("{}kB", bytes / 1024.0),
        None => quoted_as_needed(with_unit(&setting.value, unit)),
    }
}

/// A value in the quotes without which a configuration file does not take it.
fn quoted_as_needed(value: String) -> String {
    let is_word = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    let number = value.strip_prefix('-').unwrap_or(&value);
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_whole = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    let is_decimal = number.parse::<f64>().is_ok() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    match is_word || is_whole || is_decimal {
        true => value,
        false => format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")),
    }
}

/// The object of a setting.
pub fn object(name: &str) -> Object {
    Object {
        kind: ObjectKind::Setting,
        schema: None,
        name: name.to_owned(),
        table: None,
    }
}

/// A claim about one setting: its identity, value and source. Title, explanation and remedy are the rule's.
pub fn claim(place: &Place<'_>, rule: &str, severity: Severity, name: &str, setting: &Setting) -> Claim {
    Claim {
        evidence: evidence([
            ("setting", json!(told(setting))),
            ("source", json!(setting.source)),
        ]),
        evidence_sql: Some(format!(
            "SELECT name, setting, unit, source, sourcefile FROM pg_settings WHERE name = '{name}'"
        )),
        confidence: measured("read from pg_settings"),
        guards: vec![format!("the setting comes from: {}", setting.source)],
        ..place.claim(rule, severity, vec![name.to_owned()], Some(object(name)))
    }
}

/// How a setting gets another value at the place where the server runs: ALTER SYSTEM, the way of the managed service, or
/// what stands in the way of both. The caveats of the caller follow.
pub fn change(server: &ServerFacts, name: &str, value: &str, caveats: &[&str]) -> Remedy {
    let unknown = Setting::default();
    let setting = server.settings.get(name).unwrap_or(&unknown);
    let needs_restart = setting.context == "postmaster";
    let mut told: Vec<String> = Vec::new();
    let (name_owned, before) = (name.to_owned(), setting.value.clone());
    let (apply, undo) = match (server.provider(), setting.source.as_str()) {
        (Some(provider), _) => {
            told.push(provider.how_to_set(name, value, &setting.context));
            if server.settings.contains_key(name) {
                let was = if before.is_empty() {
                    "empty"
                } else {
                    before.as_str()
                };
                told.push(format!(
                    "To take it back set {name} to what it was, {was}, in the same way."
                ));
            }
            (Vec::new(), Vec::new())
        }
        (None, "command line") => {
            told.push(format!(
                "ALTER SYSTEM has no effect: {name}={before} is given on the server's command line. Write {name}={value} in what \
                 starts the server (the options of pg_ctl, a unit, the arguments of a container), then restart it. To take it back \
                 write {name}={before} there again."
            ));
            (Vec::new(), Vec::new())
        }
        (None, "global") => {
            told.push("It counts for new sessions.".to_owned());
            (
                vec![Statement::AlterAllRolesReset {
                    name: name_owned.clone(),
                }],
                vec![Statement::AlterAllRolesSet {
                    name: name_owned,
                    value: before,
                }],
            )
        }
        (None, source) => {
            let set = |value: String| Statement::AlterSystemSet {
                name: name_owned.clone(),
                value,
            };
            // what nobody had set is as before once it is taken out again; a value that somebody wrote is written back
            let back = match (source, setting.is_altered) {
                ("default", _) | (_, Some(false)) => Statement::AlterSystemReset {
                    name: name_owned.clone(),
                },
                _ => set(with_unit(&before, setting.unit.as_deref())),
            };
            (
                vec![set(value.to_owned()), Statement::ReloadConfiguration],
                vec![back, Statement::ReloadConfiguration],
            )
        }
    };
    if needs_restart {
        told.push("It counts from the next restart of the server on.".to_owned());
    }
    told.extend(caveats.iter().map(|caveat| (*caveat).to_owned()));
    Remedy {
        apply_sql: apply.iter().map(Statement::sql).collect(),
        undo_sql: undo.iter().map(Statement::sql).collect(),
        rewrites_table: Some(false),
        caveats: told,
        ..Remedy::default()
    }
}

/// Why something is not known as long as a setting has not this value, and how it gets it where the server runs.
pub fn unknown_until(server: &ServerFacts, name: &str, value: &str, reason: &str) -> Unknown {
    let remedy = change(server, name, value, &[]);
    let told = std::iter::once(reason.to_owned()).chain(remedy.caveats.into_iter().take(1));
    Unknown {
        reason: told.collect::<Vec<_>>().join(". "),
        remedy_sql: (!remedy.apply_sql.is_empty()).then(|| remedy.apply_sql.join("; ")),
    }
}

/// How several settings get other values, as one: the configuration is read again once, and a service that takes all of them
/// in one command gets one.
pub fn change_all(server: &ServerFacts, changes: &[(&str, &str)]) -> Remedy {
    let mut all = Remedy {
        rewrites_table: Some(false),
        ..Remedy::default()
    };
    if let Some(provider) = server.provider()
        && changes.len() > 1
    {
        all.caveats = changes_of_service(server, provider, changes);
        return all;
    }
    let reload = Statement::ReloadConfiguration.sql();
    for (name, value) in changes {
        let one = change(server, name, value, &[]);
        all.apply_sql
            .extend(one.apply_sql.into_iter().filter(|sql| *sql != reload));
        all.undo_sql
            .extend(one.undo_sql.into_iter().filter(|sql| *sql != reload));
        for caveat in one.caveats {
            if !all.caveats.contains(&caveat) {
                all.caveats.push(caveat);
            }
        }
    }
    for statements in [&mut all.apply_sql, &mut all.undo_sql] {
        if statements.iter().any(|sql| sql.starts_with("ALTER SYSTEM")) {
            statements.push(reload.clone());
        }
    }
    all
}

/// How a service sets several, and the way back.
fn changes_of_service(server: &ServerFacts, provider: Provider, changes: &[(&str, &str)]) -> Vec<String> {
    let unknown = Setting::default();
    let all: Vec<(&str, &str, &str)> = changes
        .iter()
        .map(|(name, value)| {
            let setting = server.settings.get(*name).unwrap_or(&unknown);
            (*name, *value, setting.context.as_str())
        })
        .collect();
    let mut told = provider.how_to_set_all(&all);
    let before = |(name, _): &(&str, &str)| {
        let before = server.settings.get(*name)?.value.as_str();
        let was = if before.is_empty() { "empty" } else { before };
        Some(format!("{name} to {was}"))
    };
    let back: Vec<String> = changes.iter().filter_map(before).collect();
    if !back.is_empty() {
        told.push(format!(
            "To take it back set each to what it was in the same way: {}.",
            back.join(", ")
        ));
    }
    if all.iter().any(|(.., context)| *context == "postmaster") {
        told.push("It counts from the next restart of the server on.".to_owned());
    }
    told
}

/// What comes before CREATE EXTENSION where the server runs; nothing on a server of one's own.
pub fn before_create(server: &ServerFacts, extension: &str) -> Option<String> {
    Some(server.provider()?.how_to_create(extension))
}

/// A value as ALTER SYSTEM takes it: a bare number is in the setting's own unit already.
fn with_unit(value: &str, unit: Option<&str>) -> String {
    match unit {
        Some("s" | "ms" | "min" | "kB" | "MB" | "B") => format!("{value}{}", unit.unwrap_or_default()),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(source: &str, context: &str) -> ServerFacts {
        let setting = Setting {
            value: "100".into(),
            unit: Some("ms".into()),
            source: source.into(),
            context: context.into(),
            ..Setting::default()
        };
        ServerFacts {
            settings: [("deadlock_timeout".to_owned(), setting)].into(),
            ..ServerFacts::default()
        }
    }

    #[test]
    fn values_are_written_as_a_configuration_file_takes_them() {
        let written = |value: &str, unit: Option<&str>| {
            written(&Setting {
                value: value.into(),
                unit: unit.map(str::to_owned),
                ..Setting::default()
            })
        };
        assert_eq!(written("512", Some("8kB")), "4096kB");
        assert_eq!(written("-1", Some("8kB")), "-1");
        assert_eq!(written("65536", Some("kB")), "65536kB");
        assert_eq!(written("100", None), "100");
        assert_eq!(written("", None), "''");
        assert_eq!(written("100", Some("ms")), "100ms");
        for bare in ["on", "logical", "-1", "0.9", "pg_stat_statements"] {
            assert_eq!(written(bare, None), bare);
        }
        for (value, quoted) in [
            (
                "pg_stat_statements, auto_explain",
                "'pg_stat_statements, auto_explain'",
            ),
            ("*", "'*'"),
            ("/var/run/postgresql", "'/var/run/postgresql'"),
            ("it's", "'it''s'"),
            ("C:\\data", "'C:\\\\data'"),
            ("10.0.0.1", "'10.0.0.1'"),
            ("1e-05", "'1e-05'"),
        ] {
            assert_eq!(written(value, None), quoted);
        }
    }

    #[test]
    fn the_way_back_is_to_what_was_there() {
        let file = change(
            &server("configuration file", "sighup"),
            "deadlock_timeout",
            "1s",
            &[],
        );
        assert_eq!(
            file.apply_sql,
            [
                "ALTER SYSTEM SET deadlock_timeout = '1s'",
                "SELECT pg_catalog.pg_reload_conf()"
            ]
        );
        assert_eq!(file.undo_sql[0], "ALTER SYSTEM SET deadlock_timeout = '100ms'");
        let default = change(&server("default", "postmaster"), "deadlock_timeout", "1s", &["c"]);
        assert_eq!(default.undo_sql[0], "ALTER SYSTEM RESET deadlock_timeout");
        assert!(default.caveats[0].contains("restart") && default.caveats[1] == "c");
        assert_eq!(
            change(&server("global", "user"), "deadlock_timeout", "1s", &[])
                .apply_sql
                .len(),
            1
        );
        let given = change(&server("command line", "user"), "deadlock_timeout", "1s", &[]);
        assert!(given.apply_sql.is_empty() && given.undo_sql.is_empty());
        assert!(
            given.caveats[0].contains("Write deadlock_timeout=1s in what starts the server")
                && given.caveats[0].contains("write deadlock_timeout=100 there again"),
            "{:?}",
            given.caveats
        );
    }

    #[test]
    fn a_managed_service_has_its_own_way() {
        let mut managed = server("configuration file", "postmaster");
        managed
            .settings
            .insert("rds.extensions".into(), Setting::default());
        let remedy = change(&managed, "deadlock_timeout", "1000", &[]);
        assert!(remedy.apply_sql.is_empty() && remedy.undo_sql.is_empty());
        assert!(
            remedy.caveats[0]
                .contains("ParameterName=deadlock_timeout,ParameterValue=1000,ApplyMethod=pending-reboot")
        );
        assert!(
            remedy.caveats[1].contains("to what it was, 100,"),
            "the way back: {:?}",
            remedy.caveats
        );
        managed.login_is_superuser = true;
        let own = change(&managed, "deadlock_timeout", "1000", &[]);
        assert_eq!(own.apply_sql[0], "ALTER SYSTEM SET deadlock_timeout = '1000'");
    }
}
