//! A server of our own on a unix socket, with its data in a temporary folder.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::{DemoError, server_folder, sql, system};

/// Servers that this process has started.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// A running server. Dropping it stops the server and removes its folder.
pub struct Disposable {
    folder: PathBuf,
    process: Option<Child>,
}

/// The user and group to run a server as: PostgreSQL refuses root.
fn runner(folder: &Path) -> Result<Option<(u32, u32)>, DemoError> {
    let ours = fs::metadata(folder)
        .map_err(system("reading the temporary folder"))?
        .uid();
    if ours != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").map_err(system("reading /etc/passwd"))?;
    let of = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres")
        .or_else(|| of("nobody"))
        .map(Some)
        .ok_or_else(|| DemoError::Program {
            what: "finding a user to run PostgreSQL as".to_owned(),
            output: "there is neither postgres nor nobody in /etc/passwd".to_owned(),
        })
}

fn command(program: &Path, runner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = runner {
        command.uid(uid).gid(gid);
    }
    // a process group of its own: Ctrl-C on the terminal is for us, and we stop the server in order
    command
        .current_dir("/")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .process_group(0);
    command
}

impl Disposable {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// If no PostgreSQL is installed, or it does not start.
    pub async fn start() -> Result<Self, DemoError> {
        Self::start_with(&[]).await
    }

    /// The same with further settings, as `name=value`.
    ///
    /// # Errors
    /// If no PostgreSQL is installed, or it does not start.
    pub async fn start_with(more: &[&str]) -> Result<Self, DemoError> {
        let programs = server_folder()?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("pgadvisor-demo-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).map_err(system(format!("creating {}", folder.display())))?;
        let mut server = Self {
            folder: folder.clone(),
            process: None,
        };
        let runner = runner(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(system("chmod"))?;
        if let Some((uid, gid)) = runner {
            chown(&folder, Some(uid), Some(gid)).map_err(system("chown"))?;
        }
        let data = folder.join("data");
        let made = command(&programs.join("initdb"), runner)
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
            .map_err(system("initdb"))?;
        if !made.status.success() {
            let output = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(DemoError::Program {
                what: "initdb".to_owned(),
                output,
            });
        }
        let log = fs::File::create(folder.join("postgresql.log")).map_err(system("creating the log"))?;
        let errors = log.try_clone().map_err(system("creating the log"))?;
        let mut process = command(&programs.join("postgres"), runner);
        process
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder)
            .stdout(log)
            .stderr(errors);
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "shared_buffers=256MB",
            "shared_preload_libraries=pg_stat_statements",
            "track_io_timing=on",
            "unix_socket_permissions=0700",
        ] {
            process.args(["-c", setting]);
        }
        for setting in more {
            process.args(["-c", setting]);
        }
        if runner.is_none() {
            tracing::debug!("the server runs as the user who called");
        }
        server.process = Some(process.spawn().map_err(system("starting postgres"))?);
        server.ready().await?;
        Ok(server)
    }

    async fn ready(&mut self) -> Result<(), DemoError> {
        let mut last = None;
        for _ in 0..300 {
            match self.connect("postgres").await {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
            if let Some(Ok(Some(_))) = self.process.as_mut().map(Child::try_wait) {
                let output = fs::read_to_string(self.folder.join("postgresql.log")).unwrap_or_default();
                return Err(DemoError::Program {
                    what: "starting postgres".to_owned(),
                    output,
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(last.unwrap_or(DemoError::Program {
            what: "starting postgres".to_owned(),
            output: String::new(),
        }))
    }

    /// How to connect, as key=value.
    pub fn dsn(&self, user: &str, database: &str) -> String {
        format!(
            "host={} port=5432 user={user} dbname={database}",
            self.folder.display()
        )
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A session.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn connect(&self, database: &str) -> Result<Client, DemoError> {
        session(&self.dsn("postgres", database)).await
    }
}

/// A session that says that it is an application.
pub async fn session(dsn: &str) -> Result<Client, DemoError> {
    let (client, connection) =
        tokio_postgres::connect(&format!("{dsn} application_name=applications"), NoTls)
            .await
            .map_err(sql("connecting"))?;
    tokio::spawn(connection);
    Ok(client)
}

impl Drop for Disposable {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // SIGINT is a fast shutdown; where that hangs, nothing is worth waiting for
            let _ = Command::new("kill")
                .args(["-INT", &process.id().to_string()])
                .status();
            for _ in 0..50 {
                if !matches!(process.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
