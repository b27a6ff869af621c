//! The file as a whole: which tables it has, and what must fit together.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use chrono::NaiveDate;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::placed;
use super::ignore::IgnoreTable;
use super::name::{join, nearest, shortened};
use super::read::{Check, Reader, Section};
use super::{
    Configuration, ConfigurationErrors, Refresh, RuleOverride, RuleSchema, RuleSettings, Server, ServerCheck,
    Source, check, idle, people, refresh, secret,
};
use crate::model::selector::{Ignore, Selector};

/// The tables that a file may have.
const TABLES: [&str; 7] = ["web", "store", "servers", "refresh", "ignore", "rules", "budget"];
/// The settings that every rule has beside its thresholds.
const OF_EVERY_RULE: [&str; 3] = ["enabled", "hold", "clear"];

/// Tables within tables may lie 6500 deep before the parser refuses them, and each level takes stack to free.
const STACK: usize = 32 << 20;

/// Parses on a stack that suffices for every text.
pub(super) fn parse(
    text: &str,
    path: Option<&Path>,
    rules: &[RuleSchema<'_>],
    check_server: ServerCheck,
) -> Result<Configuration, ConfigurationErrors> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK);
        let thread = builder
            .spawn_scoped(scope, || parse_here(text, path, rules, check_server))
            .map_err(|error| {
                let path = path.unwrap_or(Path::new("configuration"));
                ConfigurationErrors::of_file(
                    path,
                    format!("cannot be read, no thread can be started: {error}"),
                )
            })?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn parse_here(
    text: &str,
    path: Option<&Path>,
    rules: &[RuleSchema<'_>],
    check_server: ServerCheck,
) -> Result<Configuration, ConfigurationErrors> {
    let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    let document = document.get_ref();
    let mut reader = Reader::new(text, syntax);
    reader.check_tables(document);
    let servers = reader.servers(document, folder, check_server);
    let mut configuration = Configuration {
        web: reader.section(document, "web"),
        store: reader.section(document, "store"),
        budget: reader.section(document, "budget"),
        refreshes: reader.refreshes(document, &servers),
        ignores: reader.ignores(document, &servers, rules),
        rules: reader.rules(document, &servers, rules),
        servers,
        source: path.map_or(Source::Text, |path| Source::File(path.to_owned())),
        origins: BTreeMap::new(),
        warnings: Vec::new(),
    };
    let Reader {
        text,
        errors,
        origins,
        ..
    } = reader;
    if !errors.is_empty() {
        return Err(placed(&text, path, errors));
    }
    configuration.origins = origins;
    configuration.warnings = warnings(&configuration);
    let never_meant = people::never_meant(&configuration, rules);
    configuration.warnings.extend(never_meant);
    let doing_nothing = idle::told(&configuration, rules);
    configuration.warnings.extend(doing_nothing);
    configuration.store.path = folder.join(&configuration.store.path);
    Ok(configuration)
}

/// A rule's settings from an object with all of their keys, or why that is none.
type Made<'m> = &'m dyn Fn(&Map<String, Value>) -> Result<RuleSettings, String>;

impl Reader<'_> {
    fn check_tables(&mut self, document: &DeTable<'_>) {
        for (key, value) in document {
            let name: &str = key.get_ref();
            if TABLES.contains(&name) || self.is_broken(&key.span(), &value.span()) {
                continue;
            }
            self.unknown(key.span(), &join("", name), "table", name, &TABLES);
        }
    }

    /// A table of the file that is a struct; its default where it is missing.
    fn section<T: Section>(&mut self, document: &DeTable<'_>, name: &str) -> T {
        let Some((key, value)) = document.get_key_value(name) else {
            return T::default();
        };
        if self.is_broken(&key.span(), &value.span()) {
            return T::default();
        }
        let Some(table) = self.table(value, name) else {
            return T::default();
        };
        self.read_section(table, key.span(), name)
    }

    /// The tables of `[[name]]`, each with its place and its path.
    fn list<'t, 'i>(
        &mut self,
        document: &'t DeTable<'i>,
        name: &str,
    ) -> Vec<(&'t DeTable<'i>, Range<usize>, String)> {
        let Some((key, value)) = document.get_key_value(name) else {
            return Vec::new();
        };
        if self.is_broken(&key.span(), &value.span()) {
            return Vec::new();
        }
        let Some(array) = value.get_ref().as_array() else {
            let message = format!("must be written [[{name}]], with two brackets, once for each of them");
            self.error(value.span(), name, message);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (number, element) in array.iter().enumerate() {
            let path = format!("{name}[{number}]");
            if self.is_broken(&element.span(), &element.span()) {
                continue;
            }
            match element.get_ref() {
                DeValue::Table(table) => tables.push((table, element.span(), path)),
                _ => {
                    let message = format!("must be a table: write [[{name}]] once for each of them");
                    self.error(element.span(), &path, message);
                }
            }
        }
        tables
    }

    /// What is refreshed; every table has its server's name then.
    fn refreshes(&mut self, document: &DeTable<'_>, servers: &[Server]) -> Vec<Refresh> {
        let mut refreshes: Vec<Refresh> = Vec::new();
        let mut places = Vec::new();
        for (table, span, path) in self.list(document, "refresh") {
            let mut refresh: Refresh = self.read_section(table, span.clone(), &path);
            // it was said when, only not in a way that can be read
            let is_said = ["cron", "every", "max_age", "after"]
                .iter()
                .any(|key| table.contains_key(*key));
            let key = join(&path, "max_age");
            self.errors
                .retain(|error| !(is_said && error.key == key && error.message.starts_with("is needed")));
            let place = table.get("server").map_or(span.clone(), |name| name.span());
            let key = join(&path, "server");
            match servers {
                [only] if refresh.server.is_empty() => refresh.server.clone_from(&only.name),
                // what is wrong with the servers is told there
                [] => {}
                _ if refresh.server.is_empty() => {
                    self.error(place, &key, "is needed, since there are several servers")
                }
                _ if servers.iter().any(|server| server.name == refresh.server) => {}
                _ => {
                    let names = servers.iter().map(|server| server.name.as_str());
                    let meant = nearest(&refresh.server, names).unwrap_or_default();
                    let message = format!(
                        "there is no server \"{}\": did you mean \"{meant}\"?",
                        shortened(&refresh.server)
                    );
                    self.error(place, &key, message);
                }
            }
            places.push((table.get("after").map_or(span, |after| after.span()), path));
            refreshes.push(refresh);
        }
        for (position, (span, path)) in places.into_iter().enumerate() {
            if let Some(way) = refresh::cycle(&refreshes, position) {
                let message = format!(
                    "goes round in a circle, so that none would ever be due: {}",
                    way.join(" after ")
                );
                self.error(span, &join(&path, "after"), message);
            }
        }
        refreshes
    }

    /// What nobody wants to hear of. A name that fits no rule or no server was meant to be another.
    fn ignores(
        &mut self,
        document: &DeTable<'_>,
        servers: &[Server],
        rules: &[RuleSchema<'_>],
    ) -> Vec<Ignore> {
        let mut ignores = Vec::new();
        for (table, span, path) in self.list(document, "ignore") {
            let ignore: IgnoreTable = self.read_section(table, span, &path);
            let ids: Vec<&str> = rules.iter().map(|rule| rule.id).collect();
            self.check_fits(table, &path, ("rule", ignore.rule.as_str()), &ids);
            self.check_fits(table, &path, ("server", ignore.server.as_str()), &names(servers));
            ignores.push(Ignore::from(ignore));
        }
        ignores
    }

    /// A key and its pattern: one that fits no name was meant to be another. Where there are no names, nothing is said.
    fn check_fits(&mut self, table: &DeTable<'_>, path: &str, (key, pattern): (&str, &str), names: &[&str]) {
        let Some(value) = table.get(key).filter(|_| !names.is_empty()) else {
            return;
        };
        if names.iter().any(|name| check::matches(pattern, name)) {
            return;
        }
        let meant = nearest(pattern, names.iter().copied()).unwrap_or_default();
        let message = format!(
            "no {key} fits \"{}\": did you mean \"{meant}\"?",
            shortened(pattern)
        );
        self.error(value.span(), &join(path, key), message);
    }

    fn servers(&mut self, document: &DeTable<'_>, folder: &Path, check: ServerCheck) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for (table, span, path) in self.list(document, "servers") {
            let mut server: Server = self.read_section(table, span, &path);
            server.password_file = server.password_file.map(|file| folder.join(file));
            self.check_server(table, &path, check(&server));
            if let Some(name) = table.get("name").filter(|_| !server.name.is_empty()) {
                let line = self.text.line(name.span().start);
                if let Some(first) = lines.insert(server.name.clone(), line) {
                    let message = format!("the server in line {first} has this name: each needs its own");
                    self.error(name.span(), &join(&path, "name"), message);
                }
            }
            servers.push(server);
        }
        servers
    }

    /// What cannot be used to connect, where nothing else is wrong with the value already.
    fn check_server(&mut self, table: &DeTable<'_>, path: &str, problems: Vec<(&'static str, String)>) {
        for (name, message) in problems {
            let key = join(path, name);
            let Some((name, value)) = table.get_key_value(name) else {
                continue;
            };
            let is_told = self.errors.iter().any(|error| error.key == key);
            if !is_told && !self.is_broken(&name.span(), &value.span()) {
                self.error(value.span(), &key, message);
            }
        }
    }

    /// The settings of every rule, whether the file names it or not.
    fn rules(
        &mut self,
        document: &DeTable<'_>,
        servers: &[Server],
        rules: &[RuleSchema<'_>],
    ) -> BTreeMap<String, RuleSettings> {
        let mut settings = Configuration::defaults(rules).rules;
        let Some((key, value)) = document.get_key_value("rules") else {
            return settings;
        };
        if self.is_broken(&key.span(), &value.span()) {
            return settings;
        }
        let Some(groups) = self.table(value, "rules") else {
            return settings;
        };
        for (group, members) in groups {
            if self.is_broken(&group.span(), &members.span()) {
                continue;
            }
            let prefix = format!("{}.", group.get_ref());
            if !rules.iter().any(|rule| rule.id.starts_with(&prefix)) {
                let member = members.get_ref().as_table().and_then(|table| table.keys().next());
                let id = member.map_or(group.get_ref().to_string(), |member| {
                    format!("{prefix}{}", member.get_ref())
                });
                self.unknown_rule(group.span(), &id, rules);
                continue;
            }
            let Some(members) = self.table(members, &join("rules", group.get_ref())) else {
                continue;
            };
            for (name, value) in members {
                if self.is_broken(&name.span(), &value.span()) {
                    continue;
                }
                let id = format!("{prefix}{}", name.get_ref());
                let Some(rule) = rules.iter().find(|rule| rule.id == id) else {
                    self.unknown_rule(name.span(), &id, rules);
                    continue;
                };
                if let Some(table) = self.table(value, &format!("rules.{id}")) {
                    settings.insert(id, self.rule(table, servers, rule));
                }
            }
        }
        settings
    }

    fn unknown_rule(&mut self, span: Range<usize>, id: &str, rules: &[RuleSchema<'_>]) {
        let advice = match nearest(id, rules.iter().map(|rule| rule.id)) {
            Some(same) if same == id => format!(": write [rules.{id}], without quotes"),
            Some(nearest) => format!(": did you mean [rules.{nearest}]?"),
            None => String::new(),
        };
        let short = shortened(id);
        self.error(
            span,
            &format!("rules.{short}"),
            format!("there is no rule \"{short}\"{advice}"),
        );
    }

    /// A rule's table: `enabled`, `hold` and `clear` are ours, the rest is for the rule to judge.
    fn rule(&mut self, table: &DeTable<'_>, servers: &[Server], rule: &RuleSchema<'_>) -> RuleSettings {
        let RuleSchema { hold, clear, .. } = *rule;
        let default = RuleSettings {
            enabled: true,
            hold,
            clear,
            thresholds: rule.defaults.clone(),
            overrides: Vec::new(),
        };
        let mut defaults = Map::new();
        if let Ok(Value::Object(object)) = serde_json::to_value(&default) {
            defaults.extend(object.into_iter().filter(|(name, _)| name != "thresholds"));
        }
        if let Value::Object(thresholds) = &rule.defaults {
            let own = thresholds
                .iter()
                .filter(|(name, _)| !OF_EVERY_RULE.contains(&name.as_str()));
            defaults.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        }
        let made = |object: &Map<String, Value>| {
            let (ours, thresholds): (Map<_, _>, Map<_, _>) = object
                .clone()
                .into_iter()
                .partition(|(name, _)| OF_EVERY_RULE.contains(&name.as_str()));
            let mut ours = Value::Object(ours);
            ours["thresholds"] = Value::Object(thresholds);
            serde_json::from_value::<RuleSettings>(ours).map_err(|error| error.to_string())
        };
        let check = |object: &Map<String, Value>| {
            object
                .iter()
                .try_for_each(|(name, value)| check::threshold(name, value))?;
            (rule.check)(&made(object)?.thresholds)
        };
        let path = format!("rules.{}", rule.id);
        let mut plain = table.clone();
        let own = plain.remove("where");
        let object = self.read_object(&plain, &path, defaults, &check);
        let mut settings = made(&object).unwrap_or(default);
        settings.overrides = self.overrides(own.as_ref(), (path.as_str(), servers), object, &made, &check);
        settings
    }

    /// `[[rules.….where]]`: what it does not name is as in the rule's own table. A server that it names is one of those
    /// that there are.
    fn overrides(
        &mut self,
        value: Option<&Spanned<DeValue<'_>>>,
        (path, servers): (&str, &[Server]),
        defaults: Map<String, Value>,
        made: Made<'_>,
        check: Check<'_>,
    ) -> Vec<RuleOverride> {
        let path = join(path, "where");
        let Some(value) = value else { return Vec::new() };
        let tables = value.get_ref().as_array().filter(|array| {
            let mut elements = array.iter();
            elements.all(|element| element.get_ref().is_table())
        });
        let Some(tables) = tables else {
            let message = format!("must be written [[{path}]], with two brackets, once for each of them");
            self.error(value.span(), &path, message);
            return Vec::new();
        };
        let selectors = serde_json::to_value(Selector::default()).unwrap_or_default();
        let selectors = selectors.as_object().cloned().unwrap_or_default();
        let split = |object: &Map<String, Value>| -> (Map<String, Value>, Map<String, Value>) {
            object
                .clone()
                .into_iter()
                .partition(|(name, _)| selectors.contains_key(name))
        };
        let selector = |object: Map<String, Value>| {
            serde_json::from_value::<Selector>(Value::Object(object)).map_err(|error| error.to_string())
        };
        let check = |object: &Map<String, Value>| {
            let (places, settings) = split(object);
            selector(places)?;
            check(&settings)
        };
        let mut overrides = Vec::new();
        for (number, element) in tables.iter().enumerate() {
            let Some(table) = element.get_ref().as_table() else {
                continue;
            };
            let mut all = defaults.clone();
            all.extend(selectors.clone());
            let object = self.read_object(table, &format!("{path}[{number}]"), all, &check);
            let (places, settings) = split(&object);
            let (Ok(selector), Ok(settings)) = (selector(places), made(&settings)) else {
                continue;
            };
            if selector.is_everything() {
                let message = "names no server, database, object or role: write it into the rule's own table";
                self.error(element.span(), &format!("{path}[{number}]"), message);
            }
            let server = ("server", selector.server.as_str());
            self.check_fits(table, &format!("{path}[{number}]"), server, &names(servers));
            overrides.push(RuleOverride {
                selector,
                enabled: settings.enabled,
                hold: settings.hold,
                clear: settings.clear,
                thresholds: settings.thresholds,
            });
        }
        overrides
    }
}

fn names(servers: &[Server]) -> Vec<&str> {
    servers.iter().map(|server| server.name.as_str()).collect()
}

impl Configuration {
    /// What counts no longer on a day, in words: an `[[ignore]]` whose last day is over.
    pub fn over(&self, today: NaiveDate) -> Vec<String> {
        let over = |(number, ignore): (usize, &Ignore)| {
            let until = ignore.until.filter(|until| *until < today)?;
            let key = format!("ignore[{number}].until");
            Some(format!(
                "{key}{} is over: its last day was {until}, and it ignores nothing any more. Take it out, or give it a later day",
                self.line_of(&key)
            ))
        };
        self.ignores.iter().enumerate().filter_map(over).collect()
    }

    /// Where a key stands in the file, to be put behind its name.
    pub(super) fn line_of(&self, key: &str) -> String {
        let line = self.origins.get(key);
        line.map(|line| format!(" (line {line})")).unwrap_or_default()
    }
}

/// Advice on what is allowed but not wise.
fn warnings(configuration: &Configuration) -> Vec<String> {
    let mut warnings = Vec::new();
    for (number, server) in configuration.servers.iter().enumerate() {
        let planner = server.planner_dsn.as_deref().unwrap_or_default();
        let refresh = server.refresh_dsn.as_deref().unwrap_or_default();
        for (name, dsn) in [
            ("dsn", server.dsn.as_str()),
            ("planner_dsn", planner),
            ("refresh_dsn", refresh),
        ] {
            if !secret::is_in(dsn) {
                continue;
            }
            let key = format!("servers[{number}].{name}");
            let line = configuration.line_of(&key);
            warnings.push(format!(
                "{key}{line} holds a password: better keep it in a passfile (~/.pgpass), in PGPASSWORD, \
                 or in a file of its own that password_file names"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{assert_errors, rules};
    use super::*;
    use crate::model::unit::Period;

    #[test]
    fn thresholds_of_their_own_inherit_from_the_rules_table() {
        let text = r#"[rules.index.unused]
min_pages = 100
hold = "1 h"
[[rules.index.unused.where]]
object = "legacy.*"
min_age = "90 days"
[[rules.index.unused.where]]
database = "sales"
role = "report_*"
enabled = false
hold = "2 h"
clear = "3 h"
"#;
        let read = Configuration::parse(text, None, &rules(), |_| Vec::new()).unwrap();
        let rule = &read.rules["index.unused"];
        assert_eq!(rule.thresholds["min_age"], "35 days");
        let [legacy, sales] = &rule.overrides[..] else {
            panic!()
        };
        assert_eq!(
            (&legacy.thresholds["min_age"], &legacy.thresholds["min_pages"]),
            (&json!("90 days"), &json!(100))
        );
        assert_eq!((legacy.enabled, legacy.hold), (true, Period::minutes(60)));
        assert_eq!((sales.enabled, sales.hold), (false, Period::minutes(120)));
        assert_eq!(
            (rule.clear, legacy.clear, sales.clear),
            (Period::minutes(10), Period::minutes(10), Period::minutes(180)),
            "where it says nothing it is gone as soon as elsewhere"
        );
        assert_eq!(
            (sales.selector.database.as_str(), sales.selector.object.as_str()),
            ("sales", "*")
        );
        let shown = read.effective();
        let from = |key: &str| {
            shown
                .iter()
                .find(|one| one.key == key)
                .map(|one| one.from.as_str())
        };
        assert_eq!(from("rules.index.unused.where[0].min_age"), Some("line 6"));
        assert_eq!(
            from("rules.index.unused.where[0].min_pages"),
            Some("rules.index.unused")
        );
        assert_eq!(from("rules.index.unused.min_pages"), Some("line 2"));
        assert_eq!(from("rules.index.unused.where[1].clear"), Some("line 12"));
        assert_eq!(from("rules.index.unused.where[0].object"), Some("line 5"));
        for unwritten in ["where[0].server", "where[0].database", "where[1].object"] {
            let key = format!("rules.index.unused.{unwritten}");
            assert_eq!(from(&key), None, "{key} is not written");
        }
        assert_eq!(
            from("rules.index.unused.where[0].clear"),
            Some("rules.index.unused")
        );
        assert_errors(
            r#"[[rules.index.unused.where]]
min_age = "1 day"
[[rules.index.unused.where]]
object = "a.*"
min_share = 2
clear = "soon"
obejct = "b"
[rules.vacuum.dead_tuples]
where = 5
"#,
            &[
                "1:1 rules.index.unused.where[0] names no server, database, object or role",
                "5:13 rules.index.unused.where[1].min_share must be a share from 0 to 1, not 2",
                "6:9 rules.index.unused.where[1].clear duration \"soon\" cannot be read",
                "7:1 rules.index.unused.where[1].obejct unknown key \"obejct\": did you mean \"object\"?",
                "9:9 rules.vacuum.dead_tuples.where must be written [[rules.vacuum.dead_tuples.where]]",
            ],
        );
    }

    #[test]
    fn thresholds_of_their_own_are_for_a_server_that_there_is() {
        let text = r#"[[servers]]
name = "main"
dsn = "x"
[[rules.index.unused.where]]
server = "mian"
min_age = "1 day"
[[rules.index.unused.where]]
server = "ma*"
min_age = "1 day"
"#;
        assert_errors(
            text,
            &["5:10 rules.index.unused.where[0].server no server fits \"mian\": did you mean \"main\"?"],
        );
        // without a server in the file there is none to compare with
        let (_, alone) = text.split_once("dsn = \"x\"\n").unwrap();
        assert!(Configuration::parse(alone, None, &rules(), |_| Vec::new()).is_ok());
    }
}
