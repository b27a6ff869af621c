//! A daemon that watches many servers, some of which hang, flood or refuse: the others are looked at on time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::daemon::{DUPLICATE, Daemon};
use crate::dashboard::get;
use crate::harness::{Cluster, eventually};

/// So many bytes of a session come from the server: the log-in and the first answers, and never a whole look.
const HONEST_BYTES: u64 = 2_000;
/// What looks like the beginning of a row of a gigabyte, over and over.
const GARBAGE: [u8; 16_384] = [b'D'; 16_384];

/// What comes after the honest bytes of a session.
#[derive(Clone, Copy)]
enum Rest {
    Nothing,
    Garbage,
}

/// A server behind an address that begins every session as it should.
struct Proxy {
    dsn: String,
    /// Sessions that have come to their rest.
    turned: Arc<AtomicUsize>,
}

impl Proxy {
    async fn before(cluster: &Cluster, rest: Rest) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = cluster.folder().join(format!(".s.PGSQL.{}", cluster.port));
        let turned = Arc::new(AtomicUsize::new(0));
        let counted = turned.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&socket).await else {
                    return;
                };
                tokio::spawn(session(client, server, rest, counted.clone()));
            }
        });
        Self {
            dsn: format!("host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable"),
            turned,
        }
    }

    fn has_turned(&self) -> bool {
        self.turned.load(Ordering::Relaxed) > 0
    }
}

async fn session(client: TcpStream, server: UnixStream, rest: Rest, turned: Arc<AtomicUsize>) {
    let (mut questions, mut to_client) = client.into_split();
    let (answers, mut to_server) = server.into_split();
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut questions, &mut to_server).await;
    });
    let mut honest = answers.take(HONEST_BYTES);
    let copied = tokio::io::copy(&mut honest, &mut to_client).await;
    if copied.is_err() || honest.limit() > 0 {
        // the session ended before
        return;
    }
    turned.fetch_add(1, Ordering::Relaxed);
    match rest {
        Rest::Nothing => {
            let _ = tokio::io::copy(&mut honest.into_inner(), &mut tokio::io::sink()).await;
        }
        // a megabyte or two a second: enough to keep who reads it busy, and not to fill the memory of a shared machine
        Rest::Garbage => {
            while to_client.write_all(&GARBAGE).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

fn entry(name: &str, dsn: &str) -> String {
    format!(
        "[[servers]]\nname = \"{name}\"\ndsn = \"{dsn}\"\npoll_every = \"1 s\"\nadvise_every = \"7 days\"\n"
    )
}

/// For how many milliseconds each server has not been seen; none where it never was.
fn ages(daemon: &Daemon) -> BTreeMap<String, Option<i64>> {
    let status = get(&daemon.address, "/api/v1/status").json();
    let age = |server: &serde_json::Value| {
        let seen = server["last_seen_at"].as_str()?;
        let seen: chrono::DateTime<chrono::Utc> = seen.parse().unwrap();
        Some((chrono::Utc::now() - seen).num_milliseconds())
    };
    let servers = status["servers"].as_array().unwrap().iter();
    servers
        .map(|server| (server["name"].as_str().unwrap().to_owned(), age(server)))
        .collect()
}

#[tokio::test]
async fn of_eleven_servers_two_hang_one_floods_and_one_refuses_and_the_others_are_on_time() {
    let first = Cluster::start(18).await;
    let second = Cluster::start(15).await;
    for cluster in [&first, &second] {
        cluster.sql("postgres", DUPLICATE).await;
    }
    let (dsn, other) = (
        first.dsn("postgres", "postgres"),
        second.dsn("postgres", "postgres"),
    );
    // the system takes the connection, and nobody ever answers
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!(
        "host=127.0.0.1 port={} user=u dbname=d sslmode=disable",
        listener.local_addr().unwrap().port()
    );
    let swallowing = Proxy::before(&first, Rest::Nothing).await;
    let flooding = Proxy::before(&second, Rest::Garbage).await;
    let more: String = [
        ("one2", dsn.as_str()),
        ("one3", dsn.as_str()),
        ("one4", dsn.as_str()),
        ("other1", other.as_str()),
        ("other2", other.as_str()),
        ("other3", other.as_str()),
        ("silent", silent.as_str()),
        ("swallowing", swallowing.dsn.as_str()),
        ("flooding", flooding.dsn.as_str()),
        ("closed", "host=127.0.0.1 port=1 user=u dbname=d"),
    ]
    .iter()
    .map(|(name, dsn)| entry(name, dsn))
    .collect();
    let daemon = Daemon::start(&dsn, &more);
    eventually("seven are seen", || async {
        ages(&daemon).values().flatten().count() == 7
    })
    .await;
    eventually("sessions have begun that hang or are flooded", || async {
        swallowing.has_turned() && flooding.has_turned()
    })
    .await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ages = ages(&daemon);
        assert_eq!(ages.len(), 11, "{ages:?}");
        for (name, age) in &ages {
            match ["silent", "swallowing", "flooding", "closed"].contains(&name.as_str()) {
                true => assert_eq!(*age, None, "{name}"),
                // a look each second; the machine is shared
                false => assert!(age.is_some_and(|age| age < 5_000), "{name}: {ages:?}"),
            }
        }
    }
    let found = daemon.findings("?rule=index.duplicate");
    let mut told: Vec<&str> = found
        .iter()
        .map(|finding| finding["server"].as_str().unwrap())
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        ["main", "other1"],
        "seven of them are two servers under seven names"
    );
}
