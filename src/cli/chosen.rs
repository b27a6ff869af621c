//! Which of the configured servers is meant.

use super::Failure;
use crate::configuration::{Server, USUAL_PLACES};

/// The configured server that a command is for: the one that is named, or the only one; none where a URL says it, or none is
/// configured.
///
/// # Errors
/// If there is none of that name, or several and none is named.
pub fn chosen<'a>(
    url: Option<&str>,
    name: Option<&str>,
    servers: &'a [Server],
) -> Result<Option<&'a Server>, Failure> {
    match (url, name, servers) {
        (Some(_), _, _) | (None, None, []) => Ok(None),
        (None, Some(name), _) => named(name, servers).map(Some),
        (None, None, [only]) => Ok(Some(only)),
        (None, None, several) => {
            let known: Vec<&str> = several.iter().map(|server| server.name.as_str()).collect();
            let names = known.join(", ");
            Err(Failure::Usage(format!("name one with --server: {names}")))
        }
    }
}

fn named<'a>(name: &str, servers: &'a [Server]) -> Result<&'a Server, Failure> {
    let known: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let names = match known[..] {
        [] => format!(
            "no server is configured: give a URL, or write {}",
            USUAL_PLACES.join(" or ")
        ),
        _ => format!("the configuration has: {}", known.join(", ")),
    };
    let found = servers.iter().find(|server| server.name == name);
    found.ok_or_else(|| Failure::Usage(format!("no server is named \"{name}\"; {names}")))
}
