//! Guarded sessions. An [`Observe`] session reads statistics and catalogs and can do nothing else: start-up options that
//! win over what ALTER ROLE set, read-only transactions that are always rolled back, timeouts of the server and of ours.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::config::{SslMode as DriverSslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use super::conninfo::{ConnInfo, Endpoint, Host, Password, SslMode};
use super::error::PostgresError;
use super::plan::Detail;
use super::tls;
use crate::limits;
use crate::model::remedy::quote_identifier;

/// A statement of ours: always a text from `queries/`, known at compile time.
#[derive(Clone, Copy, Debug)]
pub struct OurSql {
    /// The file's name, for errors and the status page.
    pub name: &'static str,
    pub(super) text: &'static str,
}

/// A name from a server, which enters a statement of ours only quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier(String);

impl Identifier {
    /// Any text may be a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

/// One server: how to reach it, and its pooled session at home.
pub struct Server {
    conninfo: ConnInfo,
    home: Pool,
    /// Set while a statement of the session at home is under way: if it is still set when the session is asked for
    /// again, the look before was given up, and the session is not used again.
    home_awaits_answer: Arc<AtomicBool>,
}

/// A guarded read-only session for statistics and catalogs.
pub struct Observe {
    client: Handle,
    target: String,
    /// Seconds that the server spent for us, as we saw it.
    spent: std::sync::Mutex<Duration>,
    /// A statement was sent and its answer has not come: what is in the pipe belongs to nobody else.
    awaits_answer: Arc<AtomicBool>,
}

/// A pooled client, or one of its own for a visit to another database.
enum Handle {
    Pooled(deadpool_postgres::Object),
    Visiting(Client),
}

/// Options that every supported version knows, given at the start so that they win over ALTER ROLE and ALTER DATABASE.
fn start_up_options(target: TargetSessionAttrs) -> String {
    let milliseconds = |duration: Duration| duration.as_millis();
    // whoever wants a server that can be written has the driver ask a new session, and ours would always say no: there
    // the guard after the log-in makes it read-only
    let read_only = match target {
        TargetSessionAttrs::Any => "-c default_transaction_read_only=on ",
        _ => "",
    };
    format!(
        "-c search_path=pg_catalog,pg_temp -c statement_timeout={} -c lock_timeout={} \
         -c idle_in_transaction_session_timeout={} {read_only}\
         -c client_connection_check_interval=5000 -c jit=off -c row_security=on -c standard_conforming_strings=on \
         -c DateStyle=ISO -c TimeZone=UTC",
        milliseconds(limits::STATEMENT_TIMEOUT),
        milliseconds(limits::LOCK_TIMEOUT),
        milliseconds(limits::IDLE_IN_TRANSACTION_TIMEOUT),
    )
}

fn driver_config(conninfo: &ConnInfo) -> Config {
    let mut config = Config::new();
    // a password of the password file belongs to one host, and is not shown to another
    let same_password = |endpoint: &&Endpoint| {
        let password = conninfo.password_for(endpoint);
        password.as_ref().map(Password::expose) == conninfo.password.as_ref().map(Password::expose)
    };
    let endpoints: Vec<&Endpoint> = conninfo.endpoints.iter().filter(same_password).collect();
    let address = |endpoint: &&Endpoint| match &endpoint.host {
        Host::Tcp { hostaddr, .. } => hostaddr.as_ref()?.parse().ok(),
        Host::Unix(_) => None,
    };
    // the driver takes addresses for all hosts or for none
    let addresses: Option<Vec<IpAddr>> = endpoints.iter().map(address).collect();
    addresses.unwrap_or_default().into_iter().for_each(|address| {
        config.hostaddr(address);
    });
    for endpoint in endpoints {
        match &endpoint.host {
            Host::Tcp { host, .. } => config.host(host),
            Host::Unix(path) => config.host_path(path),
        };
        config.port(endpoint.port);
    }
    config
        .user(&conninfo.user)
        .dbname(&conninfo.dbname)
        .application_name("pgadvisor")
        .options(start_up_options(conninfo.target_session_attrs))
        .target_session_attrs(conninfo.target_session_attrs)
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
        None => "check that it runs there and can be reached",
    };
    advice.to_owned()
}

/// A connection of its own; a task of the runtime drives it until it is dropped.
pub(super) async fn connect(conninfo: &ConnInfo) -> Result<Client, PostgresError> {
    let target = conninfo.to_string();
    let config = driver_config(conninfo);
    let connecting = config.connect(tls::connector(conninfo)?);
    let connected = tokio::time::timeout(conninfo.connect_timeout * 2, connecting).await;
    let (client, connection) = match connected {
        Ok(Ok(pair)) => pair,
        Ok(Err(source)) => {
            return Err(PostgresError::Connect {
                target,
                advice: advice(&source),
                source: source.into(),
            });
        }
        Err(source) => {
            let advice = "no answer in time; check address, port and firewall".to_owned();
            return Err(PostgresError::Connect {
                target,
                advice,
                source: source.into(),
            });
        }
    };
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a visiting session ended");
        }
    });
    Ok(client)
}

impl Server {
    /// Prepares a server; connects when it is first needed.
    ///
    /// # Errors
    /// If certificates cannot be read.
    pub fn new(conninfo: ConnInfo) -> Result<Self, PostgresError> {
        let manager = Manager::from_config(
            driver_config(&conninfo),
            tls::connector(&conninfo)?,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let home = Pool::builder(manager)
            .max_size(1)
            .build()
            .map_err(|error| PostgresError::Tls(format!("the pool cannot be built: {error}")))?;
        Ok(Self {
            conninfo,
            home,
            home_awaits_answer: Arc::default(),
        })
    }

    /// How to reach it, without secrets.
    pub fn conninfo(&self) -> &ConnInfo {
        &self.conninfo
    }

    /// The session in the configured database, kept between looks.
    ///
    /// # Errors
    /// If no session can be had within the time that the configuration gives.
    pub async fn observe_home(&self) -> Result<Observe, PostgresError> {
        let target = self.conninfo.to_string();
        if self.home_awaits_answer.swap(false, Ordering::Relaxed) {
            self.home.retain(|_, _| false);
        }
        let got = tokio::time::timeout(self.conninfo.connect_timeout * 2, self.home.get()).await;
        let client = match got {
            Ok(Ok(client)) => client,
            Ok(Err(deadpool_postgres::PoolError::Backend(source))) => {
                return Err(PostgresError::Connect {
                    target,
                    advice: advice(&source),
                    source: source.into(),
                });
            }
            Ok(Err(source)) => {
                let advice = "the pool is closed".to_owned();
                return Err(PostgresError::Connect {
                    target,
                    advice,
                    source: source.into(),
                });
            }
            Err(source) => {
                let advice = "no answer in time; check address, port and firewall".to_owned();
                return Err(PostgresError::Connect {
                    target,
                    advice,
                    source: source.into(),
                });
            }
        };
        Observe::guarded(Handle::Pooled(client), target, self.home_awaits_answer.clone()).await
    }

    /// A session in another database of the server, closed when it is dropped.
    ///
    /// # Errors
    /// If no session can be had within the time that the configuration gives.
    pub async fn observe(&self, database: &str) -> Result<Observe, PostgresError> {
        if database == self.conninfo.dbname {
            return self.observe_home().await;
        }
        self.visit(database).await
    }

    /// A session of its own, whatever the database.
    pub(super) async fn visit(&self, database: &str) -> Result<Observe, PostgresError> {
        let conninfo = self.conninfo.with_database(database);
        let client = connect(&conninfo).await?;
        Observe::guarded(Handle::Visiting(client), conninfo.to_string(), Arc::default()).await
    }
}

/// The search_path of the statement's user, and a time for planning, both for one transaction.
async fn take_settings(
    client: &Client,
    search_path: &str,
    timeout: Duration,
) -> Result<(), tokio_postgres::Error> {
    let timeout = timeout.as_millis().to_string();
    let sql = super::queries::PLANNING_SETTINGS.text;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&search_path, Type::TEXT), (&timeout, Type::TEXT)];
    client.query_typed(sql, &parameters).await.map(drop)
}

impl Observe {
    async fn guarded(
        client: Handle,
        target: String,
        awaits_answer: Arc<AtomicBool>,
    ) -> Result<Self, PostgresError> {
        let session = Self {
            client,
            target,
            spent: std::sync::Mutex::default(),
            awaits_answer,
        };
        // options that only newer versions know would end the log-in if they were given at the start
        session.settle(super::queries::GUARD).await?;
        Ok(session)
    }

    /// Settings for the whole session: outside of a transaction, since a ROLLBACK would take them back.
    pub(super) async fn settle(&self, sql: OurSql) -> Result<(), PostgresError> {
        let asking = self.client().query_typed(sql.text, &[]);
        self.answer_within(sql.name, limits::STATEMENT_TIMEOUT, asking)
            .await
            .map(drop)
    }

    fn client(&self) -> &Client {
        match &self.client {
            Handle::Pooled(client) => client,
            Handle::Visiting(client) => client,
        }
    }

    /// Runs one statement of ours in a read-only transaction that is rolled back.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn rows(
        &self,
        sql: OurSql,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PostgresError> {
        self.run(sql.name, sql.text, parameters).await
    }

    /// The same for a statement in which `{schema}` stands for the schema of an extension.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn rows_in_schema(
        &self,
        sql: OurSql,
        schema: &Identifier,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PostgresError> {
        self.run(
            sql.name,
            &sql.text.replace("{schema}", &quote_identifier(&schema.0)),
            parameters,
        )
        .await
    }

    async fn run(
        &self,
        query: &'static str,
        text: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PostgresError> {
        let client = self.client();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = parameters.to_vec();
        let asking = async {
            client.batch_execute("BEGIN TRANSACTION READ ONLY").await?;
            let rows = client.query_typed(text, &parameters).await;
            client.batch_execute("ROLLBACK").await?;
            rows
        };
        self.answer_within(query, limits::STATEMENT_TIMEOUT, asking).await
    }

    /// EXPLAIN of a statement by the extended protocol, with its search_path for this one time.
    pub(super) async fn planned(
        &self,
        sql: &str,
        search_path: &str,
        values: &[&(dyn ToSql + Sync)],
        timeout: Duration,
    ) -> Result<serde_json::Value, PostgresError> {
        let client = self.client();
        let asking = async {
            client.batch_execute("BEGIN TRANSACTION READ ONLY").await?;
            let explained = async {
                take_settings(client, search_path, timeout).await?;
                let statement = client.prepare(sql).await?;
                client.query_one(&statement, values).await?.try_get(0)
            };
            let explained = explained.await;
            client.batch_execute("ROLLBACK").await?;
            explained
        };
        self.answer_within("EXPLAIN", timeout, asking).await
    }

    /// The same for the generic plan of a statement with parameters: what its values are does not matter.
    pub(super) async fn planned_generic(
        &self,
        text: &str,
        search_path: &str,
        detail: Detail,
        timeout: Duration,
    ) -> Result<serde_json::Value, PostgresError> {
        let client = self.client();
        let prepare = format!("PREPARE pgadvisor_planned AS {text}");
        let asking = async {
            client.batch_execute("BEGIN TRANSACTION READ ONLY").await?;
            let explained = async {
                take_settings(client, search_path, timeout).await?;
                client.query_typed(&prepare, &[]).await?;
                let count = super::queries::PREPARED_PARAMETERS.text;
                let count: i32 = client.query_typed_one(count, &[]).await?.try_get(0)?;
                let arguments = match count {
                    0 => String::new(),
                    count => format!("({})", vec!["NULL"; count as usize].join(", ")),
                };
                let explain = format!(
                    "EXPLAIN {} EXECUTE pgadvisor_planned{arguments}",
                    detail.options()
                );
                client.query_typed_one(&explain, &[]).await?.try_get(0)
            };
            let explained = explained.await;
            client.batch_execute("ROLLBACK").await?;
            // a prepared statement outlives the transaction, and a plan that was kept does not see new indexes
            client.batch_execute("DEALLOCATE ALL").await?;
            explained
        };
        self.answer_within("EXPLAIN", timeout, asking).await
    }

    /// Waits for an answer a little longer than the server's own timeout.
    async fn answer_within<T>(
        &self,
        query: &'static str,
        timeout: Duration,
        asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        let started = Instant::now();
        self.awaits_answer.store(true, Ordering::Relaxed);
        let seconds = timeout + limits::ANSWER_GRACE;
        let answer = tokio::time::timeout(seconds, asking).await;
        if let Ok(mut spent) = self.spent.lock() {
            *spent += started.elapsed();
        }
        if answer.is_ok() {
            self.awaits_answer.store(false, Ordering::Relaxed);
        }
        let target = || self.target.clone();
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(PostgresError::Query {
                target: target(),
                query,
                code: source.code().map(|code| code.code().to_owned()),
                source,
            }),
            Err(_) => Err(PostgresError::Frozen {
                target: target(),
                query,
                seconds,
            }),
        }
    }

    /// The error of a database that holds more than is read of one: what is cut off must not count as gone.
    pub fn too_many(&self, limit: usize) -> PostgresError {
        PostgresError::TooMany {
            target: self.target.clone(),
            limit,
        }
    }

    /// The error of something that is not there, or not as we know it.
    pub(super) fn unusable(&self, what: &'static str) -> PostgresError {
        PostgresError::Unusable {
            target: self.target.clone(),
            what,
        }
    }

    /// Seconds that the server took for this session's statements, as seen from here.
    pub fn spent_seconds(&self) -> f64 {
        self.spent
            .lock()
            .map(|spent| spent.as_secs_f64())
            .unwrap_or_default()
    }
}

impl Identifier {
    /// The GRANT that lets a login use the schema of this name.
    pub fn grant_usage_to(&self, login: &str) -> String {
        format!(
            "GRANT USAGE ON SCHEMA {} TO {}",
            quote_identifier(&self.0),
            quote_identifier(login)
        )
    }
}
