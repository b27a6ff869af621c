//! Disposable PostgreSQL servers: initdb once per version into a template, a copy for each test, a unix socket, no fsync.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

/// Every version that the advisor knows.
pub const ALL: [u32; 5] = [14, 15, 16, 17, 18];

/// Where the servers are; `./setup.sh test` puts them there.
pub fn servers() -> PathBuf {
    std::env::var_os("PGADVISOR_SERVERS")
        .map_or_else(|| PathBuf::from("/var/cache/pgadvisor/servers"), PathBuf::from)
}

/// The oldest, Debian's and the newest; with PGADVISOR_ALL_VERSIONS every one. A version that is missing is told.
pub fn some_versions() -> Vec<u32> {
    let all = std::env::var_os("PGADVISOR_ALL_VERSIONS").is_some();
    present(if all { &ALL } else { &[14, 15, 18] })
}

/// Those of a list that are there. More missing than CI expects is a failure, not a silent pass.
pub fn present(wanted: &[u32]) -> Vec<u32> {
    let there: Vec<u32> = wanted
        .iter()
        .copied()
        .filter(|version| servers().join(version.to_string()).join("bin/postgres").exists())
        .collect();
    let missing = wanted.len() - there.len();
    let expected: usize = std::env::var("PGADVISOR_EXPECTED_MISSING")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    assert!(
        missing <= expected,
        "{missing} server versions of {wanted:?} are missing in {}: run ./setup.sh test",
        servers().display()
    );
    there
}

/// The user and group that run the servers: PostgreSQL refuses root.
fn runner() -> Option<(u32, u32)> {
    // the owner of a file of ours is our own user
    let probe = tempfile::tempfile().unwrap();
    let uid = std::os::unix::fs::MetadataExt::uid(&probe.metadata().unwrap());
    if uid != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = |name: &str| {
        passwd
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))
            .map(str::to_owned)
    };
    let line = line("postgres")
        .or_else(|| line("nobody"))
        .expect("a user to run PostgreSQL as");
    let field = |at: usize| line.split(':').nth(at).unwrap().parse().unwrap();
    Some((field(2), field(3)))
}

fn as_runner(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = runner() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

/// An initialised data directory of a version, made once for all test processes.
fn template(version: u32) -> PathBuf {
    let root = std::env::temp_dir().join("pgadvisor-test-templates");
    fs::create_dir_all(&root).unwrap();
    let _ = fs::set_permissions(&root, fs::Permissions::from_mode(0o777));
    let lock = File::create(root.join(format!("{version}.lock"))).unwrap();
    lock.lock().unwrap();
    let data = root.join(version.to_string());
    if !data.join("ready").exists() {
        let _ = fs::remove_dir_all(&data);
        let output = as_runner(&servers().join(format!("{version}/bin/initdb")))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::write(data.join("ready"), "").unwrap();
    }
    data
}

/// A user may mount what only its own processes see.
const NAMESPACE: [&str; 4] = ["--user", "--map-current-user", "--keep-caps", "--mount"];

/// One running server, ended and removed when it is dropped.
pub struct Cluster {
    pub version: u32,
    folder: tempfile::TempDir,
    process: Option<Child>,
    settings: Vec<String>,
    /// Megabytes of a file system of its own at `small` in its folder, which nobody else sees.
    small_disk: Option<u32>,
    pub port: u16,
}

impl Cluster {
    /// A fresh server with pg_stat_statements.
    pub async fn start(version: u32) -> Self {
        Self::start_with(version, 5432, &[]).await
    }

    /// The same with further settings, on a port.
    pub async fn start_with(version: u32, port: u16, settings: &[&str]) -> Self {
        let mut cluster = Self::new(version, port, settings, &template(version));
        cluster.run();
        cluster.ready().await;
        cluster
            .sql("postgres", "CREATE EXTENSION pg_stat_statements")
            .await;
        cluster
    }

    /// One with a directory `small/space` in its folder that holds so many megabytes; none where this machine does not let us make it.
    pub async fn start_with_small_disk(version: u32, megabytes: u32) -> Option<Self> {
        let mut cluster = Self::new(version, 5432, &[], &template(version));
        let mut probe = as_runner(Path::new("unshare"));
        if !probe
            .args(NAMESPACE)
            .arg("true")
            .status()
            .is_ok_and(|status| status.success())
        {
            return None;
        }
        cluster.small_disk = Some(megabytes);
        cluster.run();
        cluster.ready().await;
        Some(cluster)
    }

    /// A standby of this one, which is stopped and started for that.
    pub async fn standby(&mut self) -> Self {
        self.stop("INT");
        let mut standby = Self::new(self.version, self.port, &[], &self.folder.path().join("data"));
        let data = standby.folder.path().join("data");
        let conninfo = format!("primary_conninfo = '{}'\n", self.dsn("postgres", "postgres"));
        let configuration = data.join("postgresql.auto.conf");
        fs::write(&configuration, conninfo).unwrap();
        fs::write(data.join("standby.signal"), "").unwrap();
        self.run();
        self.ready().await;
        standby.run();
        standby.ready().await;
        standby
    }

    /// One that does not run yet, from a data directory.
    fn new(version: u32, port: u16, settings: &[&str], data_of: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("pgadvisor-it-")
            .tempdir()
            .unwrap();
        let data = folder.path().join("data");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(data_of)
            .arg(&data)
            .status()
            .unwrap();
        assert!(copied.success());
        if let Some((uid, gid)) = runner() {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            version,
            folder,
            process: None,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            small_disk: None,
            port,
        }
    }

    /// Starts the server process.
    pub fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let settings = [
            "listen_addresses=",
            "fsync=off",
            "shared_buffers=16MB",
            "shared_preload_libraries=pg_stat_statements",
            "max_connections=50",
            "autovacuum_naptime=1d",
            // ANALYZE reads every row of tables as small as these, so that what is estimated is no matter of luck
            "default_statistics_target=400",
            "max_prepared_transactions=5",
            "wal_level=logical",
        ];
        let program = servers().join(format!("{}/bin/postgres", self.version));
        let mut command = match self.small_disk {
            None => as_runner(&program),
            Some(megabytes) => {
                let small = self.folder.path().join("small");
                let mount = format!(
                    "mount -t tmpfs -o size={megabytes}m,mode=777 none {0} && mkdir {0}/space && exec \"$@\"",
                    small.display()
                );
                fs::create_dir_all(&small).unwrap();
                let mut command = as_runner(Path::new("unshare"));
                command
                    .args(NAMESPACE)
                    .args(["sh", "-c", &mount, "sh"])
                    .arg(&program);
                command
            }
        };
        command
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .arg("-k")
            .arg(self.folder.path());
        let port = format!("port={}", self.port);
        let own = self.settings.iter().map(String::as_str);
        for setting in settings.into_iter().chain([port.as_str()]).chain(own) {
            command.args(["-c", setting]);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(command.spawn().unwrap());
    }

    /// Waits until it takes connections.
    pub async fn ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.try_connect("postgres", "postgres").await.is_err() {
            assert!(
                Instant::now() < deadline,
                "the server did not start:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The folder of the server, which every user of this machine can reach.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends a signal to the postmaster and waits for its end: INT stops fast, QUIT crashes.
    pub fn stop(&mut self, signal: &str) {
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill")
                .args([&format!("-{signal}"), &process.id().to_string()])
                .status();
            let _ = process.wait();
        }
    }

    /// key=value connection settings.
    pub fn dsn(&self, user: &str, database: &str) -> String {
        format!(
            "host={} port={} user={user} dbname={database}",
            self.folder.path().display(),
            self.port
        )
    }

    pub async fn try_connect(&self, user: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.dsn(user, database), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub async fn connect(&self, database: &str) -> Client {
        self.try_connect("postgres", database).await.unwrap()
    }

    /// Runs SQL as the superuser.
    pub async fn sql(&self, database: &str, sql: &str) {
        self.connect(database)
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Ends a session and waits until everybody can see what it counted.
    pub async fn end(&self, session: Client) {
        let pid = session.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
        let pid: i32 = pid.get(0);
        drop(session);
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        eventually("the session has ended", || async {
            self.number("postgres", &sql).await == 0
        })
        .await;
        if self.version < 15 {
            // until 14 counters are read from a file that may be half a second old
            let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8";
            let ended = self.number("postgres", clock).await;
            eventually("a statistics file younger than the session", || async {
                self.number("postgres", clock).await > ended + 600
            })
            .await;
        }
    }

    /// One number.
    pub async fn number(&self, database: &str, sql: &str) -> i64 {
        self.connect(database)
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop("QUIT");
    }
}

/// Waits for a condition, and says what it waited for when it does not come.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    eventually_within(Duration::from_secs(40), what, condition).await;
}

/// The same with more patience.
pub async fn eventually_within<F: Future<Output = bool>>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The program as it was built.
pub fn pgadvisor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgadvisor"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.current_dir(std::env::temp_dir()).env("NO_COLOR", "1");
    command
}

/// A TCP port that is free just now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
