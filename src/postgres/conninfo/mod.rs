//! Connection descriptions as libpq reads them: a URL, `key=value` pairs or a bare database name,
//! completed from the service file, the `PG*` environment and the defaults, in that order.
//!
//! Rests on the chapter "libpq" of the PostgreSQL documentation: Connection Strings, Parameter Key
//! Words, Environment Variables, The Password File, The Connection Service File.
//!
//! No error quotes a value: in a broken string any piece may belong to the password.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Leaves the function (or closure) with an error.
macro_rules! fail {
    ($($message:tt)*) => { return Err($crate::postgres::conninfo::ConnInfoError(format!($($message)*))) };
}

mod endpoints;
mod environment;
mod keywords;
mod parse;
mod passfile;
mod service;
mod settings;
#[cfg(test)]
mod testing;

use endpoints::{default_socket_directory, resolve_endpoints};
pub use environment::Environment;
use keywords::USED;
use parse::parse_text;
use passfile::{password_in_line, read_password_file};
use service::add_service;
use settings::{resolve_timeout, resolve_tls};

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
