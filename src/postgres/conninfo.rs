//! Connection descriptions as libpq reads them: a URL, `key=value` pairs or a bare database name,
//! completed from the service file, the `PG*` environment and the defaults, in that order.
//!
//! Rests on the chapter "libpq" of the PostgreSQL documentation: Connection Strings, Parameter Key
//! Words, Environment Variables, The Password File, The Connection Service File.
//!
//! No error quotes a value: in a broken string any piece may belong to the password.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// libpq rounds shorter timeouts up to this.
const SHORTEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Stands for libpq's "wait indefinitely"; finite, so that adding it to an instant cannot overflow.
const LONGEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The key words which have an effect here (`options` warns), with their environment variables.
#[rustfmt::skip] // one pair a line would be longer than it is clear
const USED: &[(&str, &str)] = &[
    ("service", "PGSERVICE"), ("servicefile", "PGSERVICEFILE"), ("host", "PGHOST"), ("port", "PGPORT"),
    ("hostaddr", "PGHOSTADDR"), ("dbname", "PGDATABASE"), ("user", "PGUSER"), ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"), ("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY"), ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"), ("options", "PGOPTIONS"),
];

/// The key words which libpq knows and which are accepted without effect.
#[rustfmt::skip]
const IGNORED: &[&str] = &[
    "application_name", "channel_binding", "client_encoding", "fallback_application_name",
    "gssdelegation", "gssencmode", "gsslib", "keepalives", "keepalives_count", "keepalives_idle",
    "keepalives_interval", "krbsrvname", "load_balance_hosts", "max_protocol_version",
    "min_protocol_version", "oauth_client_id", "oauth_client_secret", "oauth_issuer",
    "oauth_scope", "replication", "require_auth", "requirepeer", "scram_client_key",
    "scram_server_key", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcertmode",
    "sslcompression", "sslcrl", "sslcrldir", "sslkeylogfile", "sslpassword", "sslsni",
    "target_session_attrs", "tcp_user_timeout",
];

type Parameters = BTreeMap<&'static str, String>;
type Result<T> = std::result::Result<T, ConnInfoError>;

/// A password, which debugging output never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Password {
        Password(text.into())
    }

    /// The password itself, for the authentication exchange only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[hidden]")
    }
}

/// How much TLS protection is asked for, weakest first (libpq, "SSL Mode Descriptions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SslMode {
    /// Only without TLS.
    Disable,
    /// Without TLS first, then with it.
    Allow,
    /// With TLS first, then without it.
    #[default]
    Prefer,
    /// Only with TLS; libpq also checks the issuer when a root certificate file exists.
    Require,
    /// Only with TLS and a trusted issuer.
    VerifyCa,
    /// Only with TLS, a trusted issuer and a matching host name.
    VerifyFull,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name to verify and look up; `hostaddr`, when given, replaces the look-up.
    Tcp { host: String, hostaddr: Option<String> },
    /// A directory of Unix sockets, or `@name` in Linux's abstract name space.
    Unix(PathBuf),
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp { host, .. } if host.contains(':') => write!(formatter, "[{host}]:{}", self.port),
            Host::Tcp { host, .. } => write!(formatter, "{host}:{}", self.port),
            Host::Unix(directory) => write!(formatter, "{}:{}", directory.display(), self.port),
        }
    }
}

/// What the description is completed from, so that tests need no environment of the process.
#[derive(Clone, Default)]
pub struct Environment {
    /// The `PG*` variables.
    pub variables: BTreeMap<String, String>,
    /// Where `.pgpass`, `.pg_service.conf` and `.postgresql/` are looked for.
    pub home: Option<PathBuf>,
    /// The operating system's name of the user, the default of `user`.
    pub login: Option<String>,
}

impl Environment {
    /// The environment of this process; variables which are not UTF-8 are left out.
    pub fn of_process() -> Environment {
        let unicode = std::env::vars_os().map(|(name, value)| (name.into_string(), value.into_string()));
        let unicode = unicode.filter_map(|(name, value)| name.ok().zip(value.ok()));
        let all: BTreeMap<String, String> = unicode.collect();
        let login = login_of_process().or_else(|| all.get("LOGNAME").or(all.get("USER")).cloned());
        let home = std::env::home_dir();
        let variables = all.into_iter().filter(|(name, _)| name.starts_with("PG"));
        Environment {
            variables: variables.collect(),
            home,
            login,
        }
    }

    /// The file under the home directory, if it is there.
    fn home_file(&self, name: &str) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(name);
        path.exists().then_some(path)
    }
}

/// The effective user's name, which libpq takes from the user database and not from `USER`.
fn login_of_process() -> Option<String> {
    let user = format!(":{}:", fs::metadata("/proc/self").ok()?.uid());
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    // name:password:uid:…
    let mut names = accounts.lines().filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        let matches = rest[rest.find(':')?..].starts_with(&user);
        matches.then(|| name.to_string())
    });
    names.next()
}

/// Why a description cannot be used, and what to do; holds no value of the description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnInfoError(String);

impl fmt::Display for ConnInfoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot read the connection description: {}", self.0)
    }
}

impl std::error::Error for ConnInfoError {}

/// Leaves the function (or closure) with an error.
macro_rules! fail {
    ($($message:tt)*) => { return Err(ConnInfoError(format!($($message)*))) };
}

/// Everything needed to connect. There is at least one endpoint.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// The servers, in the order in which to try them.
    pub endpoints: Vec<Endpoint>,
    pub user: String,
    pub dbname: String,
    /// The password for the first endpoint; see [`ConnInfo::password_for`] for the others.
    pub password: Option<Password>,
    pub sslmode: SslMode,
    /// `system` stands for the certificates which the operating system trusts.
    pub sslrootcert: Option<PathBuf>,
    pub sslcert: Option<PathBuf>,
    pub sslkey: Option<PathBuf>,
    /// `sslnegotiation=direct`: TLS starts without PostgreSQL's request for it.
    pub ssl_direct: bool,
    /// 10 s unless given; a given 0 ("wait indefinitely") is a day.
    pub connect_timeout: Duration,
    /// What the user should know and what is no error.
    pub warnings: Vec<String>,
    /// The password file's lines; empty when the password was given, so that no look-up replaces it.
    password_lines: Vec<Password>,
}

impl ConnInfo {
    /// Reads a URL, `key=value` pairs or a database name and completes it (libpq, "Connection
    /// Strings"). An empty text takes everything from the environment.
    ///
    /// # Errors
    /// A text which cannot be read, an unknown key word, a value which its key word does not admit, a
    /// service which is not defined, or no user name.
    pub fn parse(text: &str, environment: &Environment) -> Result<ConnInfo> {
        let variable = |name| Some(environment.variables.get(name)?.clone());
        let variables = USED
            .iter()
            .map(|(keyword, name)| Some((*keyword, variable(*name)?)));
        let mut outer: Parameters = variables.flatten().collect();
        outer.retain(|_, value| !value.is_empty());
        let mut parameters = parse_text(text)?;
        add_service(&mut parameters, &outer, environment)?;
        for (keyword, value) in outer {
            parameters.entry(keyword).or_insert(value);
        }
        // An empty parameter means the default, but not the environment's value: hence only now.
        parameters.retain(|_, value| !value.is_empty());
        resolve(&parameters, environment)
    }

    /// The same connection to another database, with the password which the password file has for it.
    pub fn with_database(&self, dbname: &str) -> ConnInfo {
        let mut other = self.clone();
        other.dbname = dbname.to_string();
        other.password = other.password_for(&other.endpoints[0]);
        other
    }

    /// The password for one endpoint: the given one, or the first which the password file has for it.
    pub fn password_for(&self, endpoint: &Endpoint) -> Option<Password> {
        if self.password_lines.is_empty() {
            return self.password.clone();
        }
        let host = match &endpoint.host {
            Host::Tcp { host, .. } => host.clone(),
            Host::Unix(path) if Some(path) == default_socket_directory().as_ref() => "localhost".to_string(),
            Host::Unix(path) => path.display().to_string(),
        };
        let wanted = [&host, &endpoint.port.to_string(), &self.dbname, &self.user];
        let lines = self.password_lines.iter();
        let mut found = lines.filter_map(|line| password_in_line(&line.0, wanted));
        found.next().filter(|password| !password.0.is_empty())
    }

    /// `host:port` of the first endpoint (`directory:port` for a socket), as the server's name.
    pub fn name(&self) -> String {
        self.endpoints[0].to_string()
    }
}

impl fmt::Display for ConnInfo {
    /// A URL for logs, without the password; control characters are escaped.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<String> = self.endpoints.iter().map(Endpoint::to_string).collect();
        let (user, dbname) = (self.user.escape_debug(), self.dbname.escape_debug());
        write!(formatter, "postgres://{user}@{}/{dbname}", endpoints.join(","))
    }
}

// ---- the text ----

/// Decides between the three forms as psql does.
fn parse_text(text: &str) -> Result<Parameters> {
    let trimmed = text.trim();
    for scheme in ["postgres://", "postgresql://"] {
        if let Some(rest) = trimmed.strip_prefix(scheme) {
            return parse_url(rest);
        }
    }
    if text.split('=').next().is_some_and(|start| start.contains("://")) {
        fail!("its URL scheme is not known; write postgres:// or postgresql://");
    }
    if text.contains('=') || trimmed.is_empty() {
        return parse_pairs(text);
    }
    if text.contains('@') && text.contains(':') {
        // libpq would take it for a database name, and the password in it would reach logs.
        fail!("it looks like a URL without its scheme; put postgres:// in front");
    }
    Ok(Parameters::from([("dbname", text.to_string())]))
}

fn parse_pairs(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_ascii_start();
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let is_end = |letter: char| letter == '=' || letter.is_ascii_whitespace();
        let (word, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        let place = format!("key word number {number}");
        let Some(after) = after.trim_ascii_start().strip_prefix('=') else {
            fail!("{place} has no \"=\"; a value with spaces stands in single quotes");
        };
        let keyword = known_keyword(word, &place)?;
        let (value, after) = parse_value(after.trim_ascii_start(), keyword)?;
        parameters.insert(keyword, value);
        rest = after.trim_ascii_start();
    }
    Ok(parameters)
}

/// One value, quoted or not, and what follows it.
fn parse_value<'a>(text: &'a str, keyword: &str) -> Result<(String, &'a str)> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut letters = body.char_indices();
    while let Some((position, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Ok((value, &body[position + 1..])),
            _ if quoted.is_none() && letter.is_ascii_whitespace() => return Ok((value, &body[position..])),
            _ => value.push(letter),
        }
    }
    if quoted.is_some() {
        fail!("the value of {keyword} has no closing quote; write \\' for one inside it");
    }
    Ok((value, ""))
}

/// What follows the scheme: `[user[:password]@][host[:port],...][/dbname][?key=value&...]`.
fn parse_url(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let authority = text.split('/').next().unwrap_or_default();
    let rest = match authority.find('@') {
        Some(at) => {
            let (user, password) = text[..at].split_once(':').unwrap_or((&text[..at], ""));
            if user.contains('?') {
                // libpq takes "host?password=x@y" for a user name, which logs would then show.
                fail!("the URL has an @ after its ?; write %40 for an @, %3F for a ? in user");
            }
            store_decoded(&mut parameters, "user", user)?;
            store_decoded(&mut parameters, "password", password)?;
            &text[at + 1..]
        }
        None => text,
    };
    let rest = parse_url_hosts(rest, &mut parameters)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.contains('@') && authority.contains(':') {
        // libpq takes what follows a / inside a password for the database, which logs would then show.
        fail!("the URL has an @ after its first /; write %2F for a / in a password, %40 for an @");
    }
    store_decoded(&mut parameters, "dbname", path.strip_prefix('/').unwrap_or(path))?;
    for (position, pair) in query.split('&').enumerate() {
        let place = format!("parameter number {} of the URL", position + 1);
        match pair.split_once('=') {
            // JDBC's spelling, which libpq admits in URLs.
            Some(("ssl", "true")) => _ = parameters.insert("sslmode", "require".to_string()),
            Some((word, value)) => {
                let keyword = known_keyword(&percent_decode(word, &place)?, &place)?;
                parameters.insert(keyword, percent_decode(value, keyword)?);
            }
            None if pair.is_empty() => {}
            None => fail!("{place} has no \"=\"; write %26 for an & inside a value"),
        }
    }
    Ok(parameters)
}

/// The hosts and ports of a URL, stored as libpq does: two lists with commas. Gives what follows them.
fn parse_url_hosts<'a>(text: &'a str, parameters: &mut Parameters) -> Result<&'a str> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let (host, after) = match rest.strip_prefix('[').map(|bracketed| bracketed.split_once(']')) {
            None => rest.split_at(rest.find([':', '/', '?', ',']).unwrap_or(rest.len())),
            Some(Some((host, after))) if !host.is_empty() => (host, after),
            _ => {
                fail!("host number {} is no IPv6 address like [::1]", hosts.len() + 1);
            }
        };
        let (port, after) = match after.strip_prefix(':') {
            Some(port) => port.split_at(port.find(['/', '?', ',']).unwrap_or(port.len())),
            None => ("", after),
        };
        hosts.push(host);
        ports.push(port);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() || after.starts_with(['/', '?']) => {
                store_decoded(parameters, "host", &hosts.join(","))?;
                store_decoded(parameters, "port", &ports.join(","))?;
                return Ok(after);
            }
            None => fail!("after host number {}'s ] stands no : or /", hosts.len()),
        }
    }
}

/// Stores a part of a URL; an empty part counts as not given.
fn store_decoded(parameters: &mut Parameters, keyword: &'static str, text: &str) -> Result<()> {
    if !text.is_empty() {
        parameters.insert(keyword, percent_decode(text, keyword)?);
    }
    Ok(())
}

fn percent_decode(text: &str, place: &str) -> Result<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        // Checked by hand because from_str_radix admits a sign.
        let digits = piece.get(..2).unwrap_or_default();
        if digits.is_empty() || digits.contains(|digit: char| !digit.is_ascii_hexdigit()) {
            fail!("{place} has a % without two hexadecimal digits; write %25 for a %");
        }
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).or_else(|_| fail!("{place} is not UTF-8 after percent-decoding"))
}

/// The key word itself, or an error which names the nearest one.
fn known_keyword(word: &str, place: &str) -> Result<&'static str> {
    let used = USED.iter().map(|(keyword, _)| *keyword);
    let all = used.chain(IGNORED.iter().copied());
    let distances = all.map(|known| (edit_distance(word, known), known));
    let (distance, nearest) = distances.min().unwrap_or_default();
    match distance {
        0 => Ok(nearest),
        1 | 2 => fail!("{place}, \"{word}\", is not known; did you mean \"{nearest}\"?"),
        // So far off it may be a piece of a password which should have been quoted: it is not shown.
        _ => fail!("{place} is not known (nearest: \"{nearest}\"); quote a value with spaces in it"),
    }
}

/// Levenshtein's distance, one row of the table at a time.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (position, letter) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = position + 1;
        for (column, other) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

// ---- the service file ----

/// Adds the service's parameters below the given ones (libpq, "The Connection Service File").
fn add_service(parameters: &mut Parameters, outer: &Parameters, environment: &Environment) -> Result<()> {
    let find = |keyword| {
        parameters
            .get(keyword)
            .filter(|value| !value.is_empty())
            .or(outer.get(keyword))
    };
    let Some(header) = find("service").map(|service| format!("[{service}]")) else {
        return Ok(());
    };
    let user = find("servicefile").map(PathBuf::from);
    let user = user.or_else(|| environment.home_file(".pg_service.conf"));
    let folder = environment.variables.get("PGSYSCONFDIR").map(String::as_str);
    let folder = Path::new(folder.unwrap_or("/etc/postgresql-common"));
    let system = Some(folder.join("pg_service.conf")).filter(|path| path.exists());
    let mut searched = Vec::new();
    for path in user.into_iter().chain(system) {
        let shown = path.display().to_string();
        let text = fs::read_to_string(&path);
        let text = text.or_else(|error| fail!("cannot read the service file {shown}: {error}"))?;
        if add_service_section(parameters, &text, &header, &shown)? {
            return Ok(());
        }
        searched.push(shown);
    }
    let searched = searched.join(", ");
    fail!(
        "the service file ({searched}) has no section for service or PGSERVICE; add it or set PGSERVICEFILE"
    );
}

/// Adds the section's parameters; false if there is no such section.
fn add_service_section(parameters: &mut Parameters, text: &str, header: &str, file: &str) -> Result<bool> {
    let lines = text.lines().map(str::trim).enumerate();
    let mut section = lines.skip_while(|(_, line)| *line != header);
    if section.next().is_none() {
        return Ok(false);
    }
    for (position, line) in section.take_while(|(_, line)| !line.starts_with('[')) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {} of the service file {file}", position + 1);
        let Some((word, value)) = line.split_once('=') else {
            fail!("{place} is not key=value");
        };
        let keyword = known_keyword(word, &place)?;
        if keyword.starts_with("service") {
            fail!("{place} names another service, which PostgreSQL does not allow; remove it");
        }
        parameters.entry(keyword).or_insert_with(|| value.to_string());
    }
    Ok(true)
}

// ---- the parameters ----

/// The parameter; empty ones have been removed.
fn given<'a>(parameters: &'a Parameters, keyword: &str) -> Option<&'a str> {
    parameters.get(keyword).map(String::as_str)
}

fn resolve(parameters: &Parameters, environment: &Environment) -> Result<ConnInfo> {
    if let Some((keyword, _)) = parameters.iter().find(|(_, value)| value.contains('\0')) {
        fail!("{keyword} contains a zero byte, which PostgreSQL cannot take");
    }
    let Some(user) = given(parameters, "user").or(environment.login.as_deref()) else {
        fail!("there is no user name; give user or set PGUSER");
    };
    let dbname = given(parameters, "dbname").unwrap_or(user);
    if dbname.contains("://") {
        fail!("dbname (or PGDATABASE) holds a URL; give it as the whole description");
    }
    let file = |keyword, default| {
        let named = given(parameters, keyword).map(PathBuf::from);
        named.or_else(|| environment.home_file(default))
    };
    let (sslmode, ssl_direct) = resolve_tls(parameters)?;
    let mut info = ConnInfo {
        endpoints: resolve_endpoints(parameters)?,
        user: user.to_string(),
        dbname: dbname.to_string(),
        password: given(parameters, "password").map(Password::new),
        sslmode,
        sslrootcert: file("sslrootcert", ".postgresql/root.crt"),
        sslcert: file("sslcert", ".postgresql/postgresql.crt"),
        sslkey: file("sslkey", ".postgresql/postgresql.key"),
        ssl_direct,
        connect_timeout: resolve_timeout(parameters)?,
        warnings: Vec::new(),
        password_lines: Vec::new(),
    };
    if given(parameters, "options").is_some() {
        let warning = "the connection parameter options (or PGOPTIONS) is ignored";
        info.warnings.push(warning.to_string());
    }
    let password_file = file("passfile", ".pgpass").filter(|_| info.password.is_none());
    match password_file.map(|path| read_password_file(&path)) {
        Some(Ok(lines)) => info.password_lines = lines,
        Some(Err(warning)) => info.warnings.push(warning),
        None => {}
    }
    info.password = info.password_for(&info.endpoints[0]);
    Ok(info)
}

/// The hosts, their addresses and ports, paired by position (libpq, "Specifying Multiple Hosts").
fn resolve_endpoints(parameters: &Parameters) -> Result<Vec<Endpoint>> {
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
fn default_socket_directory() -> Option<PathBuf> {
    let directories = ["/var/run/postgresql", "/tmp"].map(PathBuf::from);
    directories.into_iter().find(|path| path.is_dir())
}

/// The mode, and whether TLS starts directly; libpq refuses both stronger ways with a weak mode.
fn resolve_tls(parameters: &Parameters) -> Result<(SslMode, bool)> {
    let system = given(parameters, "sslrootcert") == Some("system");
    let mode = match given(parameters, "sslmode") {
        None if system => SslMode::VerifyFull,
        None => SslMode::default(),
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        Some("prefer") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        _ => fail!("sslmode is none of disable, allow, prefer, require, verify-ca and verify-full"),
    };
    let direct = match given(parameters, "sslnegotiation") {
        None | Some("postgres") => false,
        Some("direct") => true,
        Some(_) => fail!("sslnegotiation is neither postgres nor direct; give one of these"),
    };
    if system && mode != SslMode::VerifyFull {
        fail!("sslrootcert=system needs sslmode=verify-full; change sslmode (or PGSSLMODE)");
    }
    if direct && mode < SslMode::Require {
        fail!("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full");
    }
    Ok((mode, direct))
}

fn resolve_timeout(parameters: &Parameters) -> Result<Duration> {
    let Some(text) = given(parameters, "connect_timeout") else {
        return Ok(DEFAULT_CONNECT_TIMEOUT);
    };
    match text.trim().parse::<i32>().map(u64::try_from) {
        Ok(Ok(0) | Err(_)) => Ok(LONGEST_CONNECT_TIMEOUT),
        Ok(Ok(seconds)) => {
            Ok(Duration::from_secs(seconds).clamp(SHORTEST_CONNECT_TIMEOUT, LONGEST_CONNECT_TIMEOUT))
        }
        Err(_) => fail!("connect_timeout is not a whole number of seconds; give one"),
    }
}

// ---- the password file ----

/// The file's lines, or a warning which says why it is ignored (libpq, "The Password File").
fn read_password_file(path: &Path) -> std::result::Result<Vec<Password>, String> {
    let ignored = |reason: String| format!("the password file {} is ignored: {reason}", path.display());
    let unreadable = |error| ignored(format!("it cannot be read ({error})"));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let remedy = format!("chmod 0600 {}", path.display());
    if !metadata.is_file() {
        return Err(ignored(format!(
            "it is not a plain file; write one and run {remedy}"
        )));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(ignored(format!("group or others may access it; run {remedy}")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.map(Password::new).collect())
}

/// The password of a line `host:port:database:user:password` whose first four fields match.
fn password_in_line(line: &str, wanted: [&String; 4]) -> Option<Password> {
    let mut escaped = false;
    let mut separates = |letter| {
        let plain_colon = letter == ':' && !escaped;
        escaped = letter == '\\' && !escaped;
        plain_colon
    };
    let fields: Vec<&str> = line.split(&mut separates).collect();
    let password = unescape(fields.get(4)?);
    let mut pairs = fields.iter().zip(wanted);
    let matches = pairs.all(|(field, value)| *field == "*" || unescape(field) == *value);
    matches.then(|| Password::new(password))
}

fn unescape(field: &str) -> String {
    let mut plain = String::new();
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next() } else { None };
        plain.push(escaped.unwrap_or(letter));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hunter2X";

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let pairs = variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Environment {
            variables: pairs.collect(),
            home: None,
            login: Some("login".to_string()),
        }
    }

    fn parsed(text: &str) -> ConnInfo {
        ConnInfo::parse(text, &environment(&[])).unwrap()
    }

    fn error(text: &str) -> String {
        ConnInfo::parse(text, &environment(&[])).unwrap_err().to_string()
    }

    /// A file which only its owner may access, in a directory of its own.
    fn file(test: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("conninfo-{test}-{}", std::process::id()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    #[test]
    fn urls() {
        let info = parsed("postgresql://us%40er:p%3Aw@a:1,[::1]:2,c/d%20b?sslmode=require&connect_timeout=1");
        assert_eq!(info.to_string(), "postgres://us@er@a:1,[::1]:2,c:5432/d b");
        assert_eq!(info.password, Some(Password::new("p:w")));
        assert_eq!(
            (info.sslmode, info.connect_timeout),
            (SslMode::Require, Duration::from_secs(2))
        );
        for text in ["postgres:///db?host=/run/x&port=7", "postgres://%2Frun%2Fx:7/db"] {
            assert_eq!(
                parsed(text).endpoints[0].host,
                Host::Unix(PathBuf::from("/run/x"))
            );
            assert_eq!(parsed(text).name(), "/run/x:7");
        }
        let info = parsed("postgres://?ssl=true");
        assert_eq!(
            (info.user.as_str(), info.dbname.as_str(), info.sslmode),
            ("login", "login", SslMode::Require)
        );
        assert_eq!(parsed("postgres://h?hostaddr=127.0.0.1").name(), "h:5432");
    }

    #[test]
    fn pairs_and_bare_words() {
        let info = parsed(r" host = h user='a \'b\\' password=x\ y'z dbname='' connect_timeout=0 ");
        assert_eq!((info.user.as_str(), info.dbname.as_str()), (r"a 'b\", r"a 'b\"));
        assert_eq!(info.password, Some(Password::new("x y'z")));
        assert_eq!(info.connect_timeout, LONGEST_CONNECT_TIMEOUT);
        assert_eq!(parsed("my db").dbname, "my db");
        assert_eq!(parsed("host=a,b port=9").endpoints[1].port, 9);
        assert_eq!(parsed("keepalives=1 options=-cx=y").warnings.len(), 1);
        assert!(parsed("sslnegotiation=direct sslmode=require").ssl_direct);
        assert_eq!(parsed("sslrootcert=system").sslmode, SslMode::VerifyFull);
    }

    #[test]
    fn precedence_and_service_file() {
        let path = file(
            "service",
            "[other]\nuser=o\n[it]\n# c\nuser=s\ndbname=s\nport=3\n[x]\nhost=x\n",
        );
        let path = path.to_str().unwrap();
        let pairs = [
            ("PGSERVICE", "it"),
            ("PGSERVICEFILE", path),
            ("PGUSER", "e"),
            ("PGHOST", "e"),
            ("PGPORT", ""),
        ];
        let info = ConnInfo::parse("dbname=t", &environment(&pairs)).unwrap();
        assert_eq!(info.to_string(), "postgres://s@e:3/t");
        let missing = ConnInfo::parse("service=no", &environment(&pairs))
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains(path) && missing.contains("has no section"),
            "{missing}"
        );
    }

    #[test]
    fn password_file() {
        let path = file(
            "pass",
            "# c\nh:*:a\\:b:*:one\nh:5432:*:login:t\\\\w\\:o:rest\nlocalhost:*:*:*:three\n",
        );
        let text = format!("passfile={} host=h,localhost dbname=a:b", path.display());
        let info = parsed(&text);
        assert_eq!(info.password, Some(Password::new("one")));
        assert_eq!(info.with_database("c").password, Some(Password::new("t\\w:o")));
        assert_eq!(
            info.password_for(&info.endpoints[1]),
            Some(Password::new("three"))
        );
        assert_eq!(
            parsed(&format!("{text} password=p")).with_database("c").password,
            Some(Password::new("p"))
        );
        // No host: the default directory of sockets, or localhost.
        assert_eq!(
            parsed(&format!("passfile={}", path.display())).password,
            Some(Password::new("three"))
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let info = parsed(&text);
        assert!(
            info.password.is_none() && info.warnings[0].contains(&format!("chmod 0600 {}", path.display()))
        );
    }

    #[test]
    fn errors_say_what_to_do_and_never_a_password() {
        for (text, expected) in [
            ("hots=x", "did you mean \"host\"?"),
            ("password=a hunter2X=b", "key word number 2 is not known"),
            ("password=a hunter2X", "single quotes"),
            ("password='hunter2X", "no closing quote"),
            ("postgres://u:hunter2X/@h/d", "%2F"),
            ("postgres://u:p@hunter2X@h:hunter2X/d", "port number 1"),
            ("postgres://h?password=hunter2X@", "%40"),
            ("postgres://u:hunter2X%zz@h", "password has a %"),
            ("mysql://u:hunter2X@h", "postgres://"),
            ("u:hunter2X@h/d", "postgres://"),
            ("dbname=postgres://u:hunter2X@h/d", "whole description"),
            ("host=a,b port=1,2,3", "differ in length"),
            ("sslmode=hunter2X", "verify-full"),
            ("sslmode=prefer sslnegotiation=direct", "sslmode=require"),
            ("sslmode=require sslrootcert=system", "verify-full"),
        ] {
            let message = error(text);
            assert!(
                message.contains(expected) && !message.contains(SECRET),
                "{text}: {message}"
            );
        }
        let info = parsed("postgres://u:hunter2X@h/d");
        assert!(!format!("{info:?} {info} {}", info.name()).contains(SECRET));
    }

    #[test]
    fn no_input_panics_and_no_error_shows_the_password() {
        let seeds = [
            "postgres://u:hunter2X@h:1,[::1]:2/d?sslmode=require&host=/a",
            r"host = h,i port=1,2 user='a \' b' password=hunter2X dbname=d hostaddr=::1,1.1.1.1",
        ];
        let odd: Vec<char> = "%:/?@[]=&,'\\ \0\n\u{e9}0a".chars().collect();
        let mut state = 1_u64;
        let mut random = |limit: usize| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as usize % limit
        };
        for round in 0..5_000 {
            let mut letters: Vec<char> = seeds[round % 2].chars().collect();
            for _ in 0..=random(4) {
                let position = random(letters.len());
                match random(3) {
                    0 => letters[position] = odd[random(odd.len())],
                    1 => letters.insert(position, odd[random(odd.len())]),
                    _ => _ = letters.remove(position),
                }
            }
            let text: String = letters.into_iter().collect();
            match ConnInfo::parse(&text, &environment(&[])) {
                Ok(info) => assert!(!info.with_database("x").name().is_empty()),
                Err(error) => assert!(!error.to_string().contains("unter2"), "{text}: {error}"),
            }
        }
    }
}
