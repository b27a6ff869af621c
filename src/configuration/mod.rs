//! `config.toml`: what it may say, and what holds where it says nothing. The structs below are the
//! only definition of their keys: the reader, the effective values and the JSON schema follow from them.

mod check;
mod document;
mod error;
mod idle;
mod ignore;
mod name;
mod people;
mod read;
mod refresh;
mod schema;
pub(crate) mod secret;
mod show;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits;
use crate::model::selector::{Ignore, Selector};
use crate::model::snapshot::Declared;
use crate::model::unit::{Period, Size};

pub(crate) use name::{is_like, nearest};

pub use error::{ConfigurationError, ConfigurationErrors, Place};
pub use refresh::{IfRunning, Missed, Refresh, RefreshMode};
pub use schema::json_schema;
pub use show::Effective;

/// Where a file is looked for when none is named, in this order.
pub const USUAL_PLACES: [&str; 2] = ["./config.toml", "/etc/pgadvisor/config.toml"];

/// A file larger than this is not a configuration.
const LARGEST_FILE: u64 = 1 << 20;

/// A complete, checked configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The dashboard and the API.
    pub web: Web,
    /// Where the advisor keeps what it knows.
    pub store: StoreSettings,
    /// The servers to watch; empty without a file.
    pub servers: Vec<Server>,
    /// The materialized views that are refreshed.
    pub refreshes: Vec<Refresh>,
    /// The settings of every rule, by its id (`index.unused`).
    pub rules: BTreeMap<String, RuleSettings>,
    /// What nobody wants to hear of.
    pub ignores: Vec<Ignore>,
    /// What the advisor may cost a server.
    pub budget: Budget,
    /// Where all this comes from.
    pub source: Source,
    /// The line of each key that was set, by its path (`servers[0].dsn`); every other has its default.
    pub origins: BTreeMap<String, usize>,
    /// What is allowed but not wise.
    pub warnings: Vec<String>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// There is no file.
    Defaults,
    /// A text that is not in a file.
    Text,
    /// This file.
    File(PathBuf),
}

/// The dashboard and the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// The address and port to listen on. For now it has to be a loopback address.
    pub listen: String,
    /// The address under which people reach the dashboard; links in messages begin with it.
    pub public_url: Option<String>,
}

/// Where the advisor keeps what it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// The file of the store, relative to the folder of the configuration file.
    pub path: PathBuf,
    /// How long measurements are kept, at least a day.
    pub retention: Period,
}

/// What the advisor may cost a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// The advisor's own share of the larger of database time and one core; it slows down to stay below.
    pub own_cost_ratio: f64,
}

/// A server to watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = schema::of_server)]
pub struct Server {
    /// The name in findings and on pages. It is part of a finding's identity: do not change it later.
    pub name: String,
    /// How to connect: a libpq URL or a key=value string, best without a password.
    pub dsn: String,
    /// A file with the password that nobody else may read, relative to the folder of the configuration file.
    pub password_file: Option<PathBuf>,
    /// The log-in that runs EXPLAIN; the default is `dsn`.
    pub planner_dsn: Option<String>,
    /// The log-in that runs REFRESH MATERIALIZED VIEW.
    pub refresh_dsn: Option<String>,
    /// Roles whose code may run while a statement is planned, with the rights of the log-in that runs EXPLAIN. That of superusers
    /// always may, and that of the database's owner unless that log-in is a superuser.
    pub trusted_owners: Vec<String>,
    /// The databases to watch: patterns with `*`, `!` excludes, the last that matches counts.
    pub databases: Vec<String>,
    /// How often the statistics are read, from 1 s to 1 h.
    pub poll_every: Period,
    /// How often the catalogs are read.
    pub catalog_every: Period,
    /// How often what sessions do is sampled, from 1 s to 10 min; "0 s" is never.
    pub sample_every: Period,
    /// How often the planner is asked which indexes are missing.
    pub advise_every: Period,
    /// How many materialized views are refreshed at the same time.
    pub refreshes_at_once: u32,
    /// How long running refreshes may go on when the daemon is told to stop; then they are cancelled.
    pub refresh_grace: Period,
    /// RAM of its machine, as "64 GiB": rules that size memory need it, and no server tells.
    pub memory: Option<Size>,
    /// Cores of its machine.
    pub cores: Option<u32>,
    /// What its data lie on: "ssd" or "disk".
    pub storage: Option<Storage>,
    /// Its data may be lost at any time, as on a server for tests.
    pub throw_away: bool,
}

/// What a server's data lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Solid state, local or behind a network.
    Ssd,
    /// Turning disks.
    Disk,
}

/// The settings of one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSettings {
    /// Whether the rule is judged at all.
    pub enabled: bool,
    /// How long the evidence must last before a finding opens.
    pub hold: Period,
    /// How long the evidence must be gone before a finding resolves.
    pub clear: Period,
    /// The rule's own thresholds, all of them, as an object.
    pub thresholds: Value,
    /// Settings of their own for some places and things, in the order of the file.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<RuleOverride>,
}

/// Settings of one rule for some places and things: `[[rules.index.unused.where]]`. What it does not name is as in the
/// rule's own table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleOverride {
    /// For which; where several fit, the last one counts.
    #[serde(flatten)]
    pub selector: Selector,
    /// Whether the rule is judged there.
    pub enabled: bool,
    /// How long the evidence must last there.
    pub hold: Period,
    /// How long it must be gone there.
    pub clear: Period,
    /// The rule's own thresholds there, all of them.
    pub thresholds: Value,
}

/// What a rule tells about its settings. The caller gives it: the configuration knows no rule.
#[derive(Clone, Debug)]
pub struct RuleSchema<'a> {
    /// The id, such as `index.unused`.
    pub id: &'a str,
    /// The thresholds with their defaults, as an object.
    pub defaults: Value,
    /// The default of `hold`.
    pub hold: Period,
    /// The default of `clear`.
    pub clear: Period,
    /// Whether an object like `defaults` is acceptable, and if not, why.
    pub check: fn(&Value) -> Result<(), String>,
    /// Whether what it finds names the roles and applications that cause it.
    pub names_roles: bool,
    /// Whether what it finds is in a database.
    pub names_databases: bool,
    /// Whether what it finds is about a thing with a name.
    pub names_objects: bool,
}

/// Tells what of a server's settings cannot be used to connect: the key, and why. The caller gives it: the configuration
/// knows no server.
pub type ServerCheck = fn(&Server) -> Vec<(&'static str, String)>;

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8432".to_owned(),
            public_url: None,
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("pgadvisor.db"),
            retention: Period::days(90),
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            own_cost_ratio: 0.005,
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: String::new(),
            dsn: String::new(),
            password_file: None,
            planner_dsn: None,
            refresh_dsn: None,
            trusted_owners: Vec::new(),
            databases: vec!["*".to_owned()],
            poll_every: Period::seconds(60),
            catalog_every: Period::minutes(10),
            sample_every: Period::seconds(limits::SAMPLE_EVERY.as_secs()),
            advise_every: Period::minutes(60),
            refreshes_at_once: 2,
            refresh_grace: Period::seconds(3),
            memory: None,
            cores: None,
            storage: None,
            throw_away: false,
        }
    }
}

impl Server {
    /// What is said here of its machine.
    pub fn declared(&self) -> Declared {
        Declared {
            memory_bytes: self.memory.map(|memory| memory.bytes as f64),
            cores: self.cores,
            is_solid_state: self.storage.map(|storage| storage == Storage::Ssd),
            is_throw_away: self.throw_away,
        }
    }

    /// Whether a database is to be watched. The last pattern that matches decides; where the first one
    /// excludes, everything else is meant to be watched.
    pub fn watches(&self, database: &str) -> bool {
        let all_but = self
            .databases
            .first()
            .is_some_and(|pattern| pattern.starts_with('!'));
        let deciding = self
            .databases
            .iter()
            .rev()
            .find_map(|pattern| match pattern.strip_prefix('!') {
                Some(excluded) => check::matches(excluded, database).then_some(false),
                None => check::matches(pattern, database).then_some(true),
            });
        deciding.unwrap_or(all_but)
    }
}

impl Configuration {
    /// What holds without a file: every default, and no server.
    pub fn defaults(rules: &[RuleSchema<'_>]) -> Self {
        let rules = rules.iter().map(|rule| {
            let RuleSchema { hold, clear, .. } = *rule;
            (
                rule.id.to_owned(),
                RuleSettings {
                    enabled: true,
                    hold,
                    clear,
                    thresholds: rule.defaults.clone(),
                    overrides: Vec::new(),
                },
            )
        });
        Self {
            web: Web::default(),
            store: StoreSettings::default(),
            servers: Vec::new(),
            refreshes: Vec::new(),
            ignores: Vec::new(),
            rules: rules.collect(),
            budget: Budget::default(),
            source: Source::Defaults,
            origins: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads and checks a text. With the path of its file, other paths are relative to that file's folder.
    pub fn parse(
        text: &str,
        path: Option<&Path>,
        rules: &[RuleSchema<'_>],
        check_server: ServerCheck,
    ) -> Result<Self, ConfigurationErrors> {
        document::parse(text, path, rules, check_server)
    }

    /// Reads and checks a file.
    pub fn load(
        path: &Path,
        rules: &[RuleSchema<'_>],
        check_server: ServerCheck,
    ) -> Result<Self, ConfigurationErrors> {
        let wrong = |message: String| ConfigurationErrors::of_file(path, message);
        let bytes = read_file(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(wrong(
                "is larger than 1 MiB: this is not a configuration".to_owned(),
            ));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            wrong(format!(
                "is not UTF-8 text: the first byte that is not is in line {line}"
            ))
        })?;
        Self::parse(text, Some(path), rules, check_server)
    }

    /// The file to read: the one that was named, or the first of the usual places where something is.
    /// A file that is there but cannot be read is found, so that it is reported and not passed over.
    pub fn find(explicit: Option<&Path>) -> Option<PathBuf> {
        let is_there = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(_) => true,
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        };
        match explicit {
            Some(path) => Some(path.to_owned()),
            None => USUAL_PLACES.map(PathBuf::from).into_iter().find(is_there),
        }
    }

    /// Every key with its value and where that came from; without passwords.
    pub fn effective(&self) -> Vec<Effective> {
        show::effective(self)
    }
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::other("it is a directory"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
