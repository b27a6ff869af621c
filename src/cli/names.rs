//! Whether the server that was looked at has other names in the configuration.

use crate::configuration::Configuration;
use crate::model::snapshot::Snapshot;
use crate::report::reached_under;
use crate::store::Store;

/// That a configured server is reached under several names, as far as a daemon has found out; nothing where it has one.
pub fn several(configuration: &Configuration, look: &Snapshot) -> Option<String> {
    let is_configured = |name: &str| configuration.servers.iter().any(|server| server.name == name);
    let running = look.server.running()?;
    if !is_configured(&look.server.name) || configuration.servers.len() < 2 {
        return None;
    }
    // without a daemon, or the right to read its store, nobody knows
    let known = Store::open_shared(&configuration.store.path)
        .and_then(|store| store.servers())
        .ok()?;
    let leads_here = |name: &String| {
        let mut same = known.iter().filter(|status| status.name == *name);
        *name == look.server.name
            || same.any(|status| {
                status
                    .running
                    .as_ref()
                    .is_some_and(|other| other.is_same_as(&running))
            })
    };
    let names = configuration.servers.iter().map(|server| &server.name);
    let names: Vec<String> = names.filter(|name| leads_here(name)).cloned().collect();
    let told = format!("{} is {}", look.server.name, reached_under(&names));
    (names.len() > 1).then_some(told)
}
