//! Every sslmode against a server with a certificate, and a password from a password file.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::{PostgresError, Server};

use crate::harness::{Cluster, free_port};

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("openssl");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A certificate authority, and a certificate of it for `localhost`.
fn certificates(folder: &Path) {
    let key = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ];
    for name in ["ca", "other"] {
        let (keyout, out, subject) = (
            format!("{name}.key"),
            format!("{name}.crt"),
            format!("/CN={name}"),
        );
        openssl(
            folder,
            &[&key[..], &["-keyout", &keyout, "-out", &out, "-subj", &subject]].concat(),
        );
    }
    openssl(
        folder,
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
            "-subj",
            "/CN=localhost",
        ],
    );
    std::fs::write(
        folder.join("names"),
        "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ],
    );
}

async fn connect(settings: &str) -> Result<(), PostgresError> {
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: None,
    };
    let server = Server::new(ConnInfo::parse(settings, &environment).unwrap())?;
    server.observe_home().await.map(drop)
}

async fn encrypted(cluster: &Cluster) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'pgadvisor'";
    cluster.number("postgres", sql).await > 0
}

#[tokio::test]
async fn every_sslmode_is_what_libpq_means_by_it() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let port = free_port();
    let cluster = Cluster::start_with(18, port, &["listen_addresses=127.0.0.1"]).await;
    let data: String = {
        let session = cluster.connect("postgres").await;
        session
            .query_one("SHOW data_directory", &[])
            .await
            .unwrap()
            .get(0)
    };
    for file in ["server.crt", "server.key"] {
        let to = PathBuf::from(&data).join(file);
        std::fs::copy(folder.path().join(file), &to).unwrap();
        let owner = std::fs::metadata(&data).unwrap();
        use std::os::unix::fs::MetadataExt;
        std::os::unix::fs::chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on").await;
    cluster.sql("postgres", "SELECT pg_reload_conf()").await;
    let ssl = "SELECT count(*) FROM pg_settings WHERE name = 'ssl' AND setting = 'on'";
    crate::harness::eventually("ssl is on", || async {
        cluster.number("postgres", ssl).await == 1
    })
    .await;
    let (ca, other) = (folder.path().join("ca.crt"), folder.path().join("other.crt"));
    let (ca, other) = (ca.display(), other.display());
    let at = |host: &str, more: &str| format!("host={host} port={port} user=postgres dbname=postgres {more}");
    let cases = [
        (at("127.0.0.1", "sslmode=disable"), true),
        (at("127.0.0.1", "sslmode=require"), true),
        (
            at("127.0.0.1", &format!("sslmode=verify-ca sslrootcert={ca}")),
            true,
        ),
        (
            at("127.0.0.1", &format!("sslmode=verify-ca sslrootcert={other}")),
            false,
        ),
        (
            at("127.0.0.1", &format!("sslmode=require sslrootcert={other}")),
            false,
        ),
        (
            at("127.0.0.1", &format!("sslmode=verify-full sslrootcert={ca}")),
            false,
        ),
        (
            at(
                "localhost",
                &format!("hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}"),
            ),
            true,
        ),
        (
            at(
                "localhost",
                &format!("hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca} sslnegotiation=direct"),
            ),
            true,
        ),
        (
            at("127.0.0.1", "sslmode=verify-full sslrootcert=/nonexistent"),
            false,
        ),
    ];
    for (settings, fits) in cases {
        let result = connect(&settings).await;
        assert_eq!(
            result.is_ok(),
            fits,
            "{settings}: {:?}",
            result.map_err(|error| error.one_line())
        );
    }
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: None,
    };
    for (mode, is_encrypted) in [("disable", false), ("prefer", true)] {
        let conninfo = ConnInfo::parse(&at("127.0.0.1", &format!("sslmode={mode}")), &environment).unwrap();
        let server = Server::new(conninfo).unwrap();
        let session = server.observe_home().await.unwrap();
        assert_eq!(encrypted(&cluster).await, is_encrypted, "{mode}");
        drop(session);
        drop(server);
        let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgadvisor'";
        crate::harness::eventually("the session ended", || async {
            cluster.number("postgres", gone).await == 0
        })
        .await;
    }
}

#[tokio::test]
async fn the_password_comes_from_the_password_file_and_a_wrong_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let cluster = Cluster::start_with(15, port, &["listen_addresses=127.0.0.1"]).await;
    cluster
        .sql(
            "postgres",
            "CREATE ROLE watcher LOGIN PASSWORD 'se:cret'; GRANT pg_monitor TO watcher",
        )
        .await;
    let hba: String = {
        let session = cluster.connect("postgres").await;
        session.query_one("SHOW hba_file", &[]).await.unwrap().get(0)
    };
    std::fs::write(
        &hba,
        "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    cluster.sql("postgres", "SELECT pg_reload_conf()").await;
    let passfile = folder.path().join("pgpass");
    let settings = format!(
        "host=127.0.0.1 port={port} user=watcher dbname=postgres passfile={}",
        passfile.display()
    );
    let write = |text: &str, mode: u32| {
        std::fs::write(&passfile, text).unwrap();
        std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write(&format!("*:{port}:*:watcher:se\\:cret\n"), 0o600);
    connect(&settings).await.unwrap();
    write(&format!("*:{port}:*:watcher:se\\:cret\n"), 0o644);
    assert!(
        connect(&settings).await.is_err(),
        "a file that others may read is not used"
    );
    write("*:*:*:*:wrong\n", 0o600);
    let error = connect(&settings).await.unwrap_err().one_line();
    assert!(
        error.contains("check user, password file and pg_hba.conf") && !error.contains("wrong"),
        "{error}"
    );
}
