//! One task per server, and one for what people ask for. The only place besides `web` that reads the clock.

pub mod advising;
mod cadences;
mod cost;
mod index_days;
mod index_use;
mod promotion;
mod reckoning;
mod record;
pub mod refreshing;
mod same_server;
mod sampling;
mod scheduling;
pub mod standbys;
mod view_reads;
mod watch;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, watch as channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::configuration::Configuration;
use crate::judge;
use crate::postgres::conninfo::{ConnInfo, Environment, Password};
use crate::postgres::{PostgresError, Server};
use crate::rules;
use crate::store::{Store, StoreError};

pub use watch::Watch;

/// How often commands of other processes are looked for; those of the dashboard wake the engine at once.
const COMMANDS_EVERY: Duration = Duration::from_millis(500);
/// A file with a password is no larger.
const PASSWORD_FILE_BYTES: u64 = 64 * 1024;
/// How often what is too old is deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// What the dashboard shares with the engine: a number that grows with every change, and a bell.
#[derive(Clone)]
pub struct Signals {
    /// Grows whenever readers can see something new.
    pub revision: channel::Receiver<u64>,
    /// Rung when a command was handed in.
    pub commands: Arc<Notify>,
    /// Whether at least one server is polled.
    pub ready: Arc<AtomicBool>,
    sender: Arc<channel::Sender<u64>>,
}

impl Default for Signals {
    fn default() -> Self {
        let (sender, revision) = channel::channel(0);
        Self {
            revision,
            commands: Arc::default(),
            ready: Arc::default(),
            sender: Arc::new(sender),
        }
    }
}

impl Signals {
    /// Tells every listener that there is something new.
    pub fn changed(&self, store: &Store) {
        let revision = store.revision();
        self.sender
            .send_if_modified(|known| std::mem::replace(known, revision) != revision);
    }

    fn polled(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A server's settings cannot be used.
    #[error("server {server}: its connection settings cannot be used")]
    Settings {
        /// The configured name.
        server: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A server failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The operating system gave no thread.
    #[error("the thread that looks at the servers cannot be started")]
    Thread(#[source] std::io::Error),
}

/// The rules' settings as the judge takes them.
pub fn rule_settings(configuration: &Configuration) -> judge::Settings {
    let own = |own: &crate::configuration::RuleOverride| judge::Override {
        selector: own.selector.clone(),
        enabled: own.enabled,
        hold: own.hold,
        clear: own.clear,
        thresholds: own.thresholds.clone(),
    };
    let settings = |rule: &crate::configuration::RuleSettings| judge::RuleSettings {
        enabled: rule.enabled,
        hold: rule.hold,
        clear: rule.clear,
        thresholds: rule.thresholds.clone(),
        overrides: rule.overrides.iter().map(own).collect(),
    };
    let rules = configuration.rules.iter();
    judge::Settings {
        rules: rules.map(|(id, rule)| (id.clone(), settings(rule))).collect(),
        ignores: configuration.ignores.clone(),
    }
}

/// What the rules tell the configuration about themselves.
pub fn rule_schemas() -> Vec<crate::configuration::RuleSchema<'static>> {
    let schema = |rule: &rules::RuleKind| crate::configuration::RuleSchema {
        id: rule.id,
        defaults: (rule.defaults)(),
        hold: rule.hold,
        clear: rule.clear,
        check: rule.check,
        names_roles: rule.names_roles(),
        names_databases: rule.names_databases(),
        names_objects: rule.names_objects(),
    };
    rules::all().iter().map(schema).collect()
}

/// A file with a password is for its owner alone, as libpq wants it of a password file, and small.
fn password_in(path: &Path) -> Result<Password, String> {
    let wrong = |why: String| format!("cannot use password_file {}: {why}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > PASSWORD_FILE_BYTES {
        return Err(wrong("it is not a small plain file".to_owned()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let remedy = format!("group or others may access it; run chmod 0600 {}", path.display());
        return Err(wrong(remedy));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(Password::new(text.trim_end_matches(['\r', '\n'])))
}

/// What of a server's settings cannot be used to connect: the key, and why. Nothing is connected.
pub fn server_problems(settings: &crate::configuration::Server) -> Vec<(&'static str, String)> {
    let environment = Environment::of_process();
    let usable = |dsn: &str| -> Result<(), String> {
        let conninfo = ConnInfo::parse(dsn, &environment).map_err(|error| error.to_string())?;
        Server::new(conninfo).map(drop).map_err(|error| error.one_line())
    };
    let dsns = [
        ("dsn", Some(&settings.dsn)),
        ("planner_dsn", settings.planner_dsn.as_ref()),
        ("refresh_dsn", settings.refresh_dsn.as_ref()),
    ];
    let mut problems: Vec<(&'static str, String)> = dsns
        .into_iter()
        .filter_map(|(key, dsn)| Some((key, usable(dsn?).err()?)))
        .collect();
    let password = settings.password_file.as_deref().map(password_in);
    problems.extend(password.and_then(Result::err).map(|why| ("password_file", why)));
    problems
}

/// The way to a configured server.
///
/// # Errors
/// If its settings cannot be used.
pub fn server_of(settings: &crate::configuration::Server) -> Result<Server, EngineError> {
    let error = |source: Box<dyn std::error::Error + Send + Sync>| EngineError::Settings {
        server: settings.name.clone(),
        source,
    };
    let mut conninfo =
        ConnInfo::parse(&settings.dsn, &Environment::of_process()).map_err(|source| error(source.into()))?;
    if let Some(path) = &settings.password_file {
        conninfo.set_password(password_in(path).map_err(|why| error(why.into()))?);
    }
    for warning in &conninfo.warnings {
        tracing::warn!(server = settings.name, "{warning}");
    }
    Ok(Server::new(conninfo)?)
}

/// The way to a configured server as the login that plans: its own, or the one that looks. Of several hosts it goes to the
/// one that is looked at: what is planned on another one says nothing of that.
///
/// # Errors
/// If its settings cannot be used.
pub fn planner_of(
    settings: &crate::configuration::Server,
    looked_at: &Server,
) -> Result<Server, EngineError> {
    let Some(dsn) = &settings.planner_dsn else {
        return Ok(looked_at.following()?);
    };
    let planner = as_login(settings, Some(dsn))?;
    if let Some(following) = looked_at.followed_by(planner.conninfo().clone())? {
        return Ok(following);
    }
    let has_several = |server: &Server| server.conninfo().endpoints.len() > 1;
    if has_several(looked_at) || has_several(&planner) {
        tracing::warn!(
            server = settings.name,
            "planner_dsn does not name every host that dsn names: what is planned may be planned on another one than is \
             looked at"
        );
    }
    Ok(planner)
}

fn as_login(settings: &crate::configuration::Server, dsn: Option<&String>) -> Result<Server, EngineError> {
    match dsn {
        None => server_of(settings),
        Some(dsn) => server_of(&crate::configuration::Server {
            dsn: dsn.clone(),
            // that password is the other login's
            password_file: None,
            ..settings.clone()
        }),
    }
}

/// The way to a configured server as the login that refreshes: its own, or the one that looks.
///
/// # Errors
/// If its settings cannot be used.
pub fn refresher_of(settings: &crate::configuration::Server) -> Result<Server, EngineError> {
    as_login(settings, settings.refresh_dsn.as_ref())
}

/// Starts a task for every server, and those for commands and for deleting what is too old. They end by themselves when
/// `stop` is cancelled. They have a thread of their own: no page waits while a look is judged, and the rows of a look are
/// not handed from one processor to another.
///
/// # Errors
/// If a server's settings cannot be used, or there is no thread to be had; nothing has been started then.
pub fn start(
    configuration: &Configuration,
    store: &Store,
    signals: &Signals,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), EngineError> {
    let mut watches = Vec::new();
    for settings in &configuration.servers {
        watches.push(Watch::new(settings, configuration, store.clone(), stop)?);
    }
    let names: Vec<String> = configuration
        .servers
        .iter()
        .map(|server| server.name.clone())
        .collect();
    store.forget_servers_but(&names)?;
    let mut refreshes = Vec::new();
    for (settings, watch) in configuration.servers.iter().zip(&watches) {
        let refresher = refreshing::Refresher::new(settings, configuration, store.clone())?;
        if !refresher.has_work() {
            store.record_view_statuses(&settings.name, &[], &[])?;
        } else {
            let spent = watch.refreshing_spent();
            refreshes.push(scheduling::Scheduling::new(
                refresher,
                settings,
                signals.clone(),
                spent,
            ));
        }
    }
    let mut samplings = Vec::new();
    for (settings, watch) in configuration.servers.iter().zip(&watches) {
        let (spent, stretch) = (watch.sampling_spent(), watch.sampling_stretch());
        samplings.extend(sampling::Sampling::new(
            settings,
            watch.server(),
            watch.sampled(),
            spent,
            stretch,
        )?);
    }
    let handle = &thread_of_its_own(tasks.clone()).map_err(EngineError::Thread)?;
    for watch in watches {
        tasks.spawn_on(watch.run(signals.clone(), stop.clone()), handle);
    }
    for sampling in samplings {
        tasks.spawn_on(sampling.run(stop.clone()), handle);
    }
    for refresh in refreshes {
        tasks.spawn_on(refresh.run(stop.clone()), handle);
    }
    tasks.spawn_on(commands(store.clone(), signals.clone(), stop.clone()), handle);
    let retention = configuration.store.retention;
    tasks.spawn_on(pruning(store.clone(), retention, stop.clone()), handle);
    Ok(())
}

/// A thread that runs what it is given until all tasks have ended.
fn thread_of_its_own(tasks: TaskTracker) -> std::io::Result<Handle> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let work = move || match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            // whoever started this thread waits for it
            let _ = sender.send(Ok(runtime.handle().clone()));
            runtime.block_on(tasks.wait());
        }
        Err(error) => _ = sender.send(Err(error)),
    };
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(work)?;
    receiver
        .recv()
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Carries out what people ask for, as soon as it is there.
async fn commands(store: Store, signals: Signals, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = signals.commands.notified() => {}
            () = tokio::time::sleep(COMMANDS_EVERY) => {}
        }
        let applying = store.clone();
        match tokio::task::spawn_blocking(move || applying.apply_commands(Utc::now())).await {
            Ok(Ok(events)) => log_events(&events),
            Ok(Err(error)) => tracing::error!(%error, "commands cannot be carried out"),
            Err(error) => tracing::error!(%error, "carrying out commands failed"),
        }
        signals.changed(&store);
    }
}

async fn pruning(store: Store, retention: crate::model::unit::Period, stop: CancellationToken) {
    loop {
        let pruning = store.clone();
        let work = move || {
            pruning.roll_up(Utc::now())?;
            pruning.prune(Utc::now(), retention)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(report)) => tracing::debug!(?report, "deleted what is older than the retention"),
            Ok(Err(error)) => tracing::error!(%error, "what is too old cannot be deleted"),
            Err(error) => tracing::error!(%error, "deleting what is too old failed"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}

fn log_events(events: &[crate::model::finding::Event]) {
    for event in events {
        let finding = &event.finding;
        tracing::info!(
            rule = finding.claim.rule,
            server = finding.claim.server,
            database = finding.claim.database,
            fingerprint = finding.fingerprint.as_str(),
            "{}: {}",
            event.kind.word(),
            crate::report::visible(&finding.claim.title)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\n").unwrap();
        let with_mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            password_in(&path)
        };
        assert_eq!(with_mode(0o600).unwrap().expose(), "secret");
        let why = with_mode(0o640).unwrap_err();
        assert!(
            why.contains("group or others may access it; run chmod 0600") && !why.contains("secret"),
            "{why}"
        );
        assert!(password_in(folder.path()).unwrap_err().contains("plain file"));
        assert!(
            password_in(&folder.path().join("none"))
                .unwrap_err()
                .contains("No such file")
        );
    }
}
