//! How a connection is made: what the driver is told, what a server is told before the log-in, and what to do about a
//! refusal.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode as DriverSslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::error::SqlState;

use super::conninfo::{ConnInfo, Endpoint, Host, SslMode, Target};
use super::error::PostgresError;
use super::tls;
use super::visiting::Visiting;
use crate::limits;

/// Options that every supported version knows, given at the start so that they win over ALTER ROLE and ALTER DATABASE.
fn start_up_options(asked: TargetSessionAttrs) -> String {
    let milliseconds = |duration: Duration| duration.as_millis();
    // whoever wants a server that can be written has the driver ask a new session, and ours would always say no: there
    // the guard after the log-in makes it read-only
    let read_only = match asked {
        TargetSessionAttrs::Any => "-c default_transaction_read_only=on ",
        _ => "",
    };
    format!(
        "-c search_path=pg_catalog,pg_temp -c statement_timeout={} -c lock_timeout={} \
         -c idle_in_transaction_session_timeout={} -c idle_session_timeout=0 {read_only}\
         -c client_connection_check_interval=5000 -c jit=off -c row_security=on -c standard_conforming_strings=on \
         -c DateStyle=ISO -c TimeZone=UTC",
        milliseconds(limits::STATEMENT_TIMEOUT),
        milliseconds(limits::LOCK_TIMEOUT),
        milliseconds(limits::IDLE_IN_TRANSACTION_TIMEOUT),
    )
}

/// For sessions that refresh: what a view holds may depend on the settings of its login, which stay as they are. The server
/// looks after the client every second, so that a refresh does not outlive its refresher.
fn refresh_options() -> String {
    format!(
        "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
         -c client_connection_check_interval=1000 -c standard_conforming_strings=on",
        limits::STATEMENT_TIMEOUT.as_millis(),
        limits::LOCK_TIMEOUT.as_millis(),
        limits::IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
    )
}

/// What the driver asks a new session. What is a standby, it cannot tell from what is read-only: that is asked in `hosts`.
fn asked_by_driver(target: Target) -> TargetSessionAttrs {
    match target {
        Target::ReadWrite => TargetSessionAttrs::ReadWrite,
        Target::ReadOnly => TargetSessionAttrs::ReadOnly,
        Target::Any | Target::Primary | Target::Standby | Target::PreferStandby => TargetSessionAttrs::Any,
    }
}

/// For the first endpoint: which of several is spoken to is decided in `hosts`.
pub(super) fn driver_config(conninfo: &ConnInfo) -> Config {
    let options = start_up_options(asked_by_driver(conninfo.target_session_attrs));
    config_with(conninfo, &options, "pgadvisor")
}

fn config_with(conninfo: &ConnInfo, options: &str, application_name: &str) -> Config {
    let mut config = Config::new();
    let endpoint: &Endpoint = &conninfo.endpoints[0];
    match &endpoint.host {
        Host::Tcp { host, hostaddr } => {
            config.host(host);
            let address = hostaddr
                .as_ref()
                .and_then(|address| address.parse::<IpAddr>().ok());
            if let Some(address) = address {
                config.hostaddr(address);
            }
        }
        Host::Unix(path) => {
            config.host_path(path);
        }
    }
    config.port(endpoint.port);
    config
        .user(&conninfo.user)
        .dbname(&conninfo.dbname)
        .application_name(application_name)
        .options(options)
        .target_session_attrs(asked_by_driver(conninfo.target_session_attrs))
        .channel_binding(conninfo.channel_binding)
        .connect_timeout(conninfo.connect_timeout)
        .keepalives_idle(Duration::from_secs(30))
        .tcp_user_timeout(Duration::from_secs(30))
        .ssl_mode(match conninfo.sslmode {
            SslMode::Disable => DriverSslMode::Disable,
            SslMode::Allow | SslMode::Prefer => DriverSslMode::Prefer,
            _ => DriverSslMode::Require,
        });
    if conninfo.ssl_direct {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    if let Some(password) = &conninfo.password {
        config.password(password.expose());
    }
    config
}

/// What to do about a refused connection, by what the server said.
fn advice(error: &tokio_postgres::Error) -> String {
    let message = error
        .as_db_error()
        .map(|db| db.message().to_owned())
        .unwrap_or_default();
    let advice = match error.code() {
        Some(code)
            if *code == SqlState::INVALID_PASSWORD
                || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
        {
            "the server refused the log-in; check user, password file and pg_hba.conf"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            "all connections are taken; raise max_connections or CONNECTION LIMIT, or close idle ones"
        }
        Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => "the server is starting or stopping; wait",
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => "that database does not exist",
        _ if message.contains("startup parameter") => {
            "a connection pooler refuses start-up options; connect to the server directly, or set \
             ignore_startup_parameters = options there"
        }
        Some(_) => "the server refused",
        None if is_about_certificates(error) => {
            "its certificate was not accepted, or ours; a managed service that signs with a root of its own offers that \
             for download: name the file in sslrootcert"
        }
        None => "check that it runs there and can be reached",
    };
    advice.to_owned()
}

/// Whether TLS failed because of whom one side trusts.
fn is_about_certificates(error: &tokio_postgres::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if one.to_string().contains("certificate") {
            return true;
        }
        cause = one.source();
    }
    false
}

/// A connection of its own; a task of the runtime drives it until it is dropped.
pub(super) async fn connect(conninfo: &ConnInfo) -> Result<Visiting, PostgresError> {
    connect_with(conninfo, driver_config(conninfo)).await
}

/// The same for a session that refreshes.
pub(super) async fn connect_to_refresh(conninfo: &ConnInfo) -> Result<Visiting, PostgresError> {
    let config = config_with(conninfo, &refresh_options(), "pgadvisor refresh");
    connect_with(conninfo, config).await
}

async fn connect_with(conninfo: &ConnInfo, config: Config) -> Result<Visiting, PostgresError> {
    let target = conninfo.to_string();
    let connecting = config.connect(tls::connector(conninfo)?);
    let connected = tokio::time::timeout(conninfo.connect_timeout * 2, connecting).await;
    let (client, connection) = match connected {
        Ok(Ok(pair)) => pair,
        Ok(Err(source)) => return Err(refused(target, source)),
        Err(_) => return Err(unanswered(target)),
    };
    Ok(Visiting::new(client, connection))
}

/// The error of a server that refuses the connection.
pub(super) fn refused(target: String, source: tokio_postgres::Error) -> PostgresError {
    PostgresError::Connect {
        target,
        advice: advice(&source),
        source: source.into(),
    }
}

/// The error of a server that does not answer.
pub(super) fn unanswered(target: String) -> PostgresError {
    PostgresError::Connect {
        target,
        advice: "check address, port and firewall".to_owned(),
        source: "no answer in time".into(),
    }
}
