//! Connection descriptions as libpq reads them: a URL, `key=value` pairs or a bare database name,
//! completed from the service file, the `PG*` environment and the defaults, in that order.
//!
//! Rests on the chapter "libpq" of the PostgreSQL documentation: Connection Strings, Parameter Key
//! Words, Environment Variables, The Password File, The Connection Service File.
//!
//! No error quotes a value: in a broken string any piece may belong to the password.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

/// Leaves the function (or closure) with an error.
macro_rules! fail {
    ($($message:tt)*) => { return Err($crate::postgres::conninfo::ConnInfoError(format!($($message)*))) };
}

mod endpoints;
mod environment;
mod keywords;
mod parse;
mod passfile;
mod protection;
mod service;
mod settings;
#[cfg(test)]
mod testing;

use endpoints::{default_socket_directory, resolve_endpoints};
pub use environment::Environment;
use keywords::{IGNORED, USED, with_variable};
use parse::parse_text;
use passfile::{password_in_line, read_password_file};
use protection::{refuse_what_cannot_be_kept, resolve_channel_binding, resolve_tls, resolve_tls_versions};
use service::add_service;
use settings::{resolve_target, resolve_timeout};

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

/// Which of several servers is wanted (libpq, `target_session_attrs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// The first that takes us.
    #[default]
    Any,
    /// One whose sessions may write.
    ReadWrite,
    /// One whose sessions may not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// One that is in recovery; any where none is to be had.
    PreferStandby,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum TlsVersion {
    V1_2,
    V1_3,
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

/// Why a description cannot be used, and what to do; holds no value of the description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnInfoError(String);

impl fmt::Display for ConnInfoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot read the connection description: {}", self.0)
    }
}

impl std::error::Error for ConnInfoError {}

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
    /// Certificates that were taken back; looked at where the server's certificate is verified.
    pub sslcrl: Option<PathBuf>,
    /// `sslsni`: whether the server is told by which name it was asked for.
    pub sslsni: bool,
    /// `ssl_min_protocol_version` to `ssl_max_protocol_version`.
    pub tls_versions: RangeInclusive<TlsVersion>,
    /// `sslnegotiation=direct`: TLS starts without PostgreSQL's request for it.
    pub ssl_direct: bool,
    /// Whether the log-in must be bound to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// Which of several servers is wanted.
    pub target_session_attrs: Target,
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
        // an old way to say it, which libpq still honours
        if variable("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            outer.entry("sslmode").or_insert_with(|| "require".to_string());
        }
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

    /// The same connection to one of its endpoints alone, with the password which the password file has for it.
    pub fn with_endpoint(&self, endpoint: &Endpoint) -> ConnInfo {
        let mut one = self.clone();
        one.endpoints = vec![endpoint.clone()];
        one.password = one.password_for(endpoint);
        one
    }

    /// Takes this password for every endpoint and database; what the password file has is not looked at then.
    pub fn set_password(&mut self, password: Password) {
        self.password = Some(password);
        self.password_lines.clear();
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

    /// Whether the server's certificate must come from an issuer that is trusted.
    pub fn verifies_issuer(&self) -> bool {
        match self.sslmode {
            SslMode::VerifyFull | SslMode::VerifyCa => true,
            // as libpq: with a root certificate given, `require` verifies the chain
            SslMode::Require => self.sslrootcert.is_some(),
            _ => false,
        }
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

/// The parameter; empty ones have been removed.
fn given<'a>(parameters: &'a Parameters, keyword: &str) -> Option<&'a str> {
    parameters.get(keyword).map(String::as_str)
}

/// The choice among a key word's few words.
fn one_of<T: Copy>(parameters: &Parameters, keyword: &str, choices: &[(&str, T)], default: T) -> Result<T> {
    let Some(word) = given(parameters, keyword) else {
        return Ok(default);
    };
    match choices.iter().find(|(name, _)| *name == word) {
        Some((_, choice)) => Ok(*choice),
        None => {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            fail!("{keyword} is none of {}", names.join(", "))
        }
    }
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
    let endpoints = resolve_endpoints(parameters)?;
    refuse_what_cannot_be_kept(parameters, &endpoints)?;
    let (sslmode, ssl_direct) = resolve_tls(parameters)?;
    let shows_certificate = |_: &PathBuf| given(parameters, "sslcertmode") != Some("disable");
    let mut info = ConnInfo {
        endpoints,
        user: user.to_string(),
        dbname: dbname.to_string(),
        password: given(parameters, "password").map(Password::new),
        sslmode,
        sslrootcert: file("sslrootcert", ".postgresql/root.crt"),
        sslcert: file("sslcert", ".postgresql/postgresql.crt").filter(shows_certificate),
        sslkey: file("sslkey", ".postgresql/postgresql.key").filter(shows_certificate),
        sslcrl: file("sslcrl", ".postgresql/root.crl"),
        sslsni: one_of(parameters, "sslsni", &[("0", false), ("1", true)], true)?,
        tls_versions: resolve_tls_versions(parameters)?,
        ssl_direct,
        channel_binding: resolve_channel_binding(parameters, sslmode)?,
        target_session_attrs: resolve_target(parameters)?,
        connect_timeout: resolve_timeout(parameters)?,
        warnings: Vec::new(),
        password_lines: Vec::new(),
    };
    info.warnings = warnings(parameters, info.verifies_issuer());
    let password_file = file("passfile", ".pgpass").filter(|_| info.password.is_none());
    match password_file.map(|path| read_password_file(&path)) {
        Some(Ok(lines)) => info.password_lines = lines,
        Some(Err(warning)) => info.warnings.push(warning),
        None => {}
    }
    info.password = info.password_for(&info.endpoints[0]);
    Ok(info)
}

/// What has no effect and takes no protection away: no reason to refuse, but to tell.
fn warnings(parameters: &Parameters, verifies_issuer: bool) -> Vec<String> {
    let ignored = parameters
        .keys()
        .filter(|keyword| **keyword == "options" || IGNORED.contains(*keyword));
    let mut warnings: Vec<String> = ignored
        .map(|keyword| format!("the connection parameter {} is ignored", with_variable(keyword)))
        .collect();
    if parameters.contains_key("sslcrl") && !verifies_issuer {
        let keyword = with_variable("sslcrl");
        warnings.push(format!(
            "{keyword} has no effect where the server's certificate is not verified; give sslmode=verify-full"
        ));
    }
    warnings
}
