//! Every sslmode and what else protects a connection against a server with a certificate; a password from a password file.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::{PostgresError, Server};

use crate::harness::{Cluster, eventually, free_port};

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

/// How many sessions of ours the server has.
async fn sessions(cluster: &Cluster) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgadvisor'";
    cluster.number("postgres", sql).await
}

async fn encrypted(cluster: &Cluster) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'pgadvisor'";
    cluster.number("postgres", sql).await > 0
}

/// A server on a TCP port that speaks TLS, and the folder with its certificates.
async fn with_certificate() -> (Cluster, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let cluster = Cluster::start_with(18, free_port(), &["listen_addresses=127.0.0.1"]).await;
    let data = shown(&cluster, "data_directory").await;
    for file in ["server.crt", "server.key"] {
        let to = PathBuf::from(&data).join(file);
        std::fs::copy(folder.path().join(file), &to).unwrap();
        let owner = std::fs::metadata(&data).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    set(&cluster, "ssl", "on").await;
    (cluster, folder)
}

async fn shown(cluster: &Cluster, setting: &str) -> String {
    let session = cluster.connect("postgres").await;
    let row = session.query_one(&format!("SHOW {setting}"), &[]).await;
    row.unwrap().get(0)
}

/// Changes a setting of the running server, and waits until new sessions have it.
async fn set(cluster: &Cluster, setting: &str, value: &str) {
    cluster
        .sql("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"))
        .await;
    cluster.sql("postgres", "SELECT pg_reload_conf()").await;
    eventually(&format!("{setting} is {value}"), || async {
        shown(cluster, setting).await == value
    })
    .await;
}

#[tokio::test]
async fn every_sslmode_is_what_libpq_means_by_it() {
    let (cluster, folder) = with_certificate().await;
    let port = cluster.port;
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
        eventually("the session ended", || async { sessions(&cluster).await == 0 }).await;
    }
}

/// One connection each; whether it may succeed, and a word of the error where not.
async fn try_each(cases: &[(String, Option<&str>)]) {
    for (settings, refused) in cases {
        match (connect(settings).await, refused) {
            (Ok(()), None) => {}
            (Ok(()), Some(word)) => panic!("{settings}: not refused ({word})"),
            (Err(error), None) => panic!("{settings}: {}", error.one_line()),
            (Err(error), Some(word)) => {
                let error = error.one_line();
                assert!(error.contains(word), "{settings}: {word:?} is not in {error}");
            }
        }
    }
}

#[tokio::test]
async fn channel_binding_and_tls_versions_are_kept() {
    let (cluster, _folder) = with_certificate().await;
    let create = "CREATE ROLE watcher LOGIN PASSWORD 'secret'; CREATE ROLE trusted LOGIN";
    cluster.sql("postgres", create).await;
    let hba =
        "local all all trust\nhost all trusted 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(shown(&cluster, "hba_file").await, hba).unwrap();
    let reload = "SELECT pg_reload_conf()";
    cluster.sql("postgres", reload).await;
    let at = |more: &str| {
        let port = cluster.port;
        format!("host=127.0.0.1 port={port} dbname=postgres password=secret sslmode=require {more}")
    };
    eventually("the new pg_hba.conf is in force", || async {
        connect(&at("user=watcher password=wrong")).await.is_err()
    })
    .await;
    try_each(&[
        (at("user=watcher channel_binding=require"), None),
        (at("user=watcher channel_binding=disable"), None),
        (at("user=trusted channel_binding=prefer"), None),
        (
            at("user=trusted channel_binding=require"),
            Some("did not use channel binding"),
        ),
        (at("user=watcher sslmode=prefer channel_binding=require"), None),
    ])
    .await;
    let environment = Environment::default();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let settings = at(&format!(
            "user=watcher ssl_min_protocol_version={version} ssl_max_protocol_version={version}"
        ));
        let server = Server::new(ConnInfo::parse(&settings, &environment).unwrap()).unwrap();
        let session = server.observe_home().await.unwrap();
        let spoken = format!("SELECT count(*) FROM pg_stat_ssl WHERE version = '{version}'");
        assert_eq!(cluster.number("postgres", &spoken).await, 1, "{version}");
        drop(session);
    }
    set(&cluster, "ssl_max_protocol_version", "TLSv1.2").await;
    try_each(&[
        (at("user=watcher"), None),
        (
            at("user=watcher ssl_min_protocol_version=TLSv1.3"),
            Some("TLS handshake"),
        ),
    ])
    .await;
}

/// Lists of the certificates that the authority took back: none yet in `none.crl`, the server's in `server.crl`, and in
/// `old.crl` none, of a time that is over.
fn revocation_lists(folder: &Path) {
    let configuration = "[ca]\ndefault_ca = all\n[all]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\n\
                         default_crl_days = 2\n";
    std::fs::write(folder.join("ca.conf"), configuration).unwrap();
    std::fs::write(folder.join("index"), "").unwrap();
    std::fs::write(folder.join("number"), "01\n").unwrap();
    let ca = |arguments: &[&str]| {
        let authority = [
            "ca", "-config", "ca.conf", "-cert", "ca.crt", "-keyfile", "ca.key",
        ];
        openssl(folder, &[&authority[..], arguments].concat());
    };
    ca(&["-gencrl", "-out", "none.crl"]);
    let over = [
        "-crl_lastupdate",
        "20200101000000Z",
        "-crl_nextupdate",
        "20200102000000Z",
    ];
    ca(&[&["-gencrl", "-out", "old.crl"], &over[..]].concat());
    ca(&["-revoke", "server.crt"]);
    ca(&["-gencrl", "-out", "server.crl"]);
}

#[tokio::test]
async fn a_certificate_that_was_taken_back_is_refused() {
    let (cluster, folder) = with_certificate().await;
    revocation_lists(folder.path());
    std::fs::write(folder.path().join("empty.crl"), "").unwrap();
    let at = |mode: &str, list: &str| {
        let (port, folder) = (cluster.port, folder.path().display());
        format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres sslmode={mode} \
             sslrootcert={folder}/ca.crt sslcrl={folder}/{list}"
        )
    };
    try_each(&[
        (at("verify-full", "none.crl"), None),
        (at("verify-full", "server.crl"), Some("Revoked")),
        (at("verify-ca", "server.crl"), Some("Revoked")),
        (at("require", "server.crl"), Some("Revoked")),
        (at("verify-full", "old.crl"), Some("list expired")),
        (at("verify-full", "empty.crl"), Some("holds no PEM list")),
        (at("verify-full", "missing.crl"), Some("cannot read")),
        (at("verify-full", "ca.crt"), Some("holds no PEM list")),
    ])
    .await;
}

#[tokio::test]
async fn of_several_servers_the_one_that_is_meant_is_taken() {
    let writable = Cluster::start(18).await;
    let read_only = Cluster::start(18).await;
    set(&read_only, "default_transaction_read_only", "on").await;
    let folder = |cluster: &Cluster| {
        let dsn = cluster.dsn("", "");
        dsn.split_once(' ')
            .unwrap()
            .0
            .trim_start_matches("host=")
            .to_owned()
    };
    let at = |clusters: [&Cluster; 2], attrs: &str| {
        let hosts = clusters.map(folder).join(",");
        format!("host={hosts} user=postgres dbname=postgres target_session_attrs={attrs}")
    };
    for (attrs, expected) in [("any", (0, 1)), ("read-write", (1, 0)), ("read-only", (0, 1))] {
        let conninfo = ConnInfo::parse(&at([&read_only, &writable], attrs), &Environment::default()).unwrap();
        let server = Server::new(conninfo).unwrap();
        let session = server.observe_home().await.unwrap();
        assert_eq!(
            (sessions(&writable).await, sessions(&read_only).await),
            expected,
            "{attrs}"
        );
        drop((session, server));
        eventually("the session ended", || async {
            sessions(&writable).await + sessions(&read_only).await == 0
        })
        .await;
    }
    try_each(&[
        (
            at([&read_only, &read_only], "read-write"),
            Some("does not allow writes"),
        ),
        (at([&writable, &writable], "read-only"), Some("is not read only")),
    ])
    .await;
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
    std::fs::write(
        shown(&cluster, "hba_file").await,
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
