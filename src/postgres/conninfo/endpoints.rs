//! The servers to try: hosts, their addresses and ports (libpq, "Specifying Multiple Hosts").

use std::net::IpAddr;
use std::path::PathBuf;

use super::{Endpoint, Host, Parameters, Result, given};

const DEFAULT_PORT: u16 = 5432;

/// The hosts, their addresses and ports, paired by position (libpq, "Specifying Multiple Hosts").
pub(super) fn resolve_endpoints(parameters: &Parameters) -> Result<Vec<Endpoint>> {
    let list = |keyword| -> Vec<&str> {
        let value = given(parameters, keyword).unwrap_or_default();
        value.split(',').map(str::trim).collect()
    };
    let (mut hosts, mut addresses, mut ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len());
    for (keyword, list) in [
        ("host", &mut hosts),
        ("hostaddr", &mut addresses),
        ("port", &mut ports),
    ] {
        // One port is for all hosts; a missing list is one empty entry, which is for all hosts too.
        if list.len() == 1 && (keyword == "port" || !parameters.contains_key(keyword)) {
            list.resize(count, list[0]);
        }
    }
    if [hosts.len(), addresses.len(), ports.len()] != [count; 3] {
        fail!("the lists host, hostaddr and port differ in length; give one port, or one for each host");
    }
    let endpoint = |position: usize| {
        let number = position + 1;
        let host = resolve_host(hosts[position], addresses[position], number)?;
        let port = match (ports[position], ports[position].parse()) {
            ("", _) => DEFAULT_PORT,
            (_, Ok(port)) if port > 0 => port,
            _ => fail!(
                "port number {number} is not from 1 to 65535; in a URL, write odd letters of a password as %XX"
            ),
        };
        Ok(Endpoint { host, port })
    };
    (0..count).map(endpoint).collect()
}

fn resolve_host(host: &str, address: &str, number: usize) -> Result<Host> {
    let tcp = |name: &str, hostaddr| Host::Tcp {
        host: name.to_string(),
        hostaddr,
    };
    if host.contains(char::is_control) {
        fail!("host number {number} contains control characters");
    }
    if !address.is_empty() {
        // Rust's parser does not know the zone of a link-local address (fe80::1%eth0).
        let plain = address.split('%').next().unwrap_or_default();
        if plain.parse::<IpAddr>().is_err() {
            fail!("hostaddr number {number} is not an IP address; give a name as host");
        }
        let name = if host.is_empty() { address } else { host };
        return Ok(tcp(name, Some(address.to_string())));
    }
    Ok(match default_socket_directory() {
        _ if host.starts_with(['/', '@']) => Host::Unix(PathBuf::from(host)),
        _ if !host.is_empty() => tcp(host, None),
        Some(directory) => Host::Unix(directory),
        None => tcp("localhost", None),
    })
}

/// Debian's directory of sockets, or PostgreSQL's own.
pub(super) fn default_socket_directory() -> Option<PathBuf> {
    let directories = ["/var/run/postgresql", "/tmp"].map(PathBuf::from);
    directories.into_iter().find(|path| path.is_dir())
}
