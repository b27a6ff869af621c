//! What serde cannot say about a value: ranges, addresses, patterns.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::Value;

use super::read::Section;
use super::{Budget, Server, StoreSettings, Web};
pub(super) use crate::model::selector::matches;
use crate::model::unit::Period;

type Problems = Vec<(&'static str, String)>;

impl Section for Web {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        if let Err(message) = listen(&self.listen) {
            problems.push(("listen", message));
        }
        if self.public_url.as_deref().is_some_and(|url| !is_address(url)) {
            let message = "must be the full address, such as \"https://db.example.org/advisor\", and no more";
            problems.push(("public_url", message.to_owned()));
        }
        problems
    }
}

impl Section for StoreSettings {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        problems.extend(path("path", &self.path));
        if self.retention < Period::days(1) {
            problems.push((
                "retention",
                format!("must be at least 1 day, not {}", self.retention),
            ));
        }
        problems
    }
}

impl Section for Budget {
    fn problems(&self) -> Problems {
        if self.own_cost_ratio > 0.0 && self.own_cost_ratio <= 1.0 {
            return Vec::new();
        }
        let message = format!("must be a share above 0 and up to 1, not {}", self.own_cost_ratio);
        vec![("own_cost_ratio", message)]
    }
}

impl Section for Server {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        let mut wrong = |key, message: &str| problems.push((key, message.to_owned()));
        if self.name.is_empty() {
            wrong(
                "name",
                "is needed: the name of the server in findings and on pages",
            );
        } else if self.name.contains(char::is_control) || self.name.trim() != self.name {
            wrong(
                "name",
                "must not hold control characters, or begin or end with a space",
            );
        } else if self.name.chars().count() > 100 {
            wrong("name", "must have at most 100 characters");
        }
        if self.dsn.trim().is_empty() {
            wrong(
                "dsn",
                "is needed: how to connect, such as \"postgres://observer@db1/postgres\"",
            );
        }
        if let Err(message) = trusted(&self.trusted_owners) {
            wrong("trusted_owners", message);
        }
        if self.databases.is_empty() {
            wrong("databases", "names no database: leave it out to watch every one");
        }
        if self
            .databases
            .iter()
            .any(|pattern| pattern.trim_start_matches('!').is_empty())
        {
            wrong("databases", "holds an empty pattern");
        }
        for (key, dsn) in [
            ("planner_dsn", &self.planner_dsn),
            ("refresh_dsn", &self.refresh_dsn),
        ] {
            let Some(dsn) = dsn else { continue };
            if dsn.trim().is_empty() {
                problems.push((
                    key,
                    "must not be empty: leave it out, or write how to connect".to_owned(),
                ));
            }
            problems.extend(one_line(key, dsn));
        }
        problems.extend(one_line("dsn", &self.dsn));
        problems.extend(
            self.password_file
                .iter()
                .filter_map(|file| path("password_file", file)),
        );
        problems.extend(within("poll_every", self.poll_every, Period::minutes(60)));
        problems.extend(within("catalog_every", self.catalog_every, Period::days(1)));
        if self.sample_every != Period::default() {
            problems.extend(within("sample_every", self.sample_every, Period::minutes(10)));
        }
        problems.extend(within("advise_every", self.advise_every, Period::days(7)));
        if !(1..=20).contains(&self.refreshes_at_once) {
            let message = format!("must be from 1 to 20, not {}", self.refreshes_at_once);
            problems.push(("refreshes_at_once", message));
        }
        for (key, is_none) in [
            ("cores", self.cores == Some(0)),
            ("memory", self.memory.is_some_and(|memory| memory.bytes == 0)),
        ] {
            if is_none {
                let message = "must be more than 0: leave it out where it is not known";
                problems.push((key, message.to_owned()));
            }
        }
        if self.refresh_grace > Period::minutes(10) {
            let message = format!("must be at most 10 min, not {}", self.refresh_grace);
            problems.push(("refresh_grace", message));
        }
        problems
    }
}

/// Whether a list can be one of roles whose code may run. They are names and no patterns: nobody should trust a role unawares.
fn trusted(owners: &[String]) -> Result<(), &'static str> {
    if owners.len() > 100 {
        return Err(
            "must name at most 100 roles: give what they own to one role (REASSIGN OWNED), and name that one",
        );
    }
    if owners.iter().any(|name| name.is_empty() || name.contains('\0')) {
        return Err("holds a name that no role has: name roles, such as \"app_owner\", or leave it out");
    }
    if owners.iter().any(|name| name.contains('*')) {
        return Err("holds a \"*\": there are no patterns here, name each role");
    }
    Ok(())
}

/// Whether a text is `http[s]://host[:port][/path]`, without a log-in, a query or a fragment.
fn is_address(url: &str) -> bool {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let authority = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let begins = authority.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "[].-_:".contains(c);
    begins
        && authority.chars().all(is_plain)
        && !url.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c))
}

/// What no threshold may be, whichever its rule: a share is a part of one, and nothing is counted below zero.
pub(super) fn threshold(name: &str, value: &Value) -> Result<(), String> {
    let Some(number) = value.as_f64() else {
        return Ok(());
    };
    match (is_share(name), number) {
        (true, 0.0..=1.0) => Ok(()),
        (true, _) => Err(format!("must be a share from 0 to 1, not {value}")),
        (false, 0.0..) => Ok(()),
        (false, _) => Err(format!("must be 0 or more, not {value}")),
    }
}

/// Whether a threshold of that name is a part of a whole.
pub(super) fn is_share(name: &str) -> bool {
    let last = name.rsplit('_').next().unwrap_or_default();
    last == "share" || last == "ratio"
}

fn within(key: &'static str, period: Period, most: Period) -> Option<(&'static str, String)> {
    let least = Period::seconds(1);
    let wrong = period < least || period > most;
    wrong.then(|| (key, format!("must be from {least} to {most}, not {period}")))
}

fn one_line(key: &'static str, dsn: &str) -> Option<(&'static str, String)> {
    dsn.contains(char::is_control)
        .then(|| (key, "must not hold control characters".to_owned()))
}

fn path(key: &'static str, path: &Path) -> Option<(&'static str, String)> {
    let wrong = path.as_os_str().is_empty() || path.to_string_lossy().contains('\0');
    wrong.then(|| (key, "must be the path of a file".to_owned()))
}

/// Whether the address can be listened on. Anyone who reaches the dashboard may use it, so it stays local.
fn listen(address: &str) -> Result<(), String> {
    let host_and_port = || {
        let (host, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let host_is_name = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || ".-_".contains(c));
        host_is_name.then_some(host)
    };
    let is_loopback = match address.parse::<SocketAddr>() {
        Ok(address) => match address.ip() {
            IpAddr::V6(ip) => ip.to_canonical().is_loopback(),
            ip => ip.is_loopback(),
        },
        Err(_) => {
            let host = host_and_port().ok_or("must be an address and a port, such as \"127.0.0.1:8432\"")?;
            host.eq_ignore_ascii_case("localhost")
        }
    };
    let message = "this version has no log-ins yet, so it listens on loopback alone: keep \"127.0.0.1:8432\" \
                   and put a reverse proxy that asks for a log-in in front of it";
    is_loopback.then_some(()).ok_or_else(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::Size;
    use proptest::prelude::*;

    #[test]
    fn only_loopback_is_listened_on() {
        for good in [
            "127.0.0.1:8432",
            "[::1]:80",
            "localhost:0",
            "127.9.9.9:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(listen(good), Ok(()), "{good}");
        }
        for open in ["0.0.0.0:8432", "[::]:8432", "db.example.org:80", "10.0.0.1:1"] {
            assert!(listen(open).unwrap_err().contains("no log-ins yet"), "{open}");
        }
        for wrong in [
            "",
            "127.0.0.1",
            ":8432",
            "localhost:x",
            "localhost:70000",
            "a b:1",
            "::1:80x",
        ] {
            assert!(
                listen(wrong).unwrap_err().contains("an address and a port"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_machine_has_something() {
        let wrong = |cores, bytes| {
            let server = Server {
                name: "a".to_owned(),
                dsn: "postgres://a/b".to_owned(),
                cores: Some(cores),
                memory: Some(Size { bytes }),
                ..Server::default()
            };
            let problems = server.problems().into_iter();
            problems.map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(wrong(0, 0), ["cores", "memory"]);
        assert_eq!(wrong(1, 1), Vec::<&str>::new());
    }

    #[test]
    fn later_patterns_win() {
        let server = |patterns: &[&str]| Server {
            databases: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            ..Server::default()
        };
        let names = ["app", "scratch", "scratch_keep"];
        let watched = |patterns: &[&str]| names.map(|name| server(patterns).watches(name));
        assert_eq!(watched(&["*"]), [true, true, true]);
        assert_eq!(watched(&["*", "!scratch*"]), [true, false, false]);
        assert_eq!(watched(&["!scratch*"]), [true, false, false]);
        assert_eq!(watched(&["*", "!scratch*", "*_keep"]), [true, false, true]);
        assert_eq!(watched(&["app"]), [true, false, false]);
        assert_eq!(watched(&["!scratch*", "*"]), [true, true, true]);
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_its_starred_parts(name in "[^*]{0,12}", from in 0usize..12, to in 0usize..12) {
            prop_assert!(matches(&name, &name));
            let starred: String = name.chars().enumerate()
                .map(|(at, c)| if (from..to).contains(&at) { '*' } else { c }).collect();
            prop_assert!(matches(&starred, &name));
        }
    }
}
