//! `pgadvisor demo`: a disposable server, its workload, the daemon and the dashboard, until Ctrl-C.

use std::io::Write;
use std::net::TcpListener;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Failure, run};
use crate::configuration::Configuration;
use crate::demo::{self, Clients, Disposable};
use crate::engine::{rule_schemas, server_problems};

#[derive(Args)]
pub struct Options {
    /// The address of the dashboard
    #[arg(long, default_value = "127.0.0.1:8432")]
    listen: String,
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    run::start_log(false);
    let listener = listen(&options.listen)?;
    let stop = CancellationToken::new();
    stop_when_told(&stop)?;
    tokio::select! {
        () = stop.cancelled() => Ok(0),
        prepared = prepare() => live(prepared?, listener, stop.clone()).await,
    }
}

/// Tells the user. When the terminal was closed nobody is left to be told, and there is still everything to remove.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "demo: {text}");
}

/// The dashboard's address, taken before anything else is made.
fn listen(address: &str) -> Result<TcpListener, Failure> {
    let text = format!("[web]\nlisten = {}\n", serde_json::Value::from(address));
    Configuration::parse(&text, None, &rule_schemas(), server_problems)?;
    TcpListener::bind(address).map_err(|error| {
        let address = crate::report::visible(address);
        let advice = "is another demo running? Give this one its own: --listen 127.0.0.1:0";
        Failure::Usage(format!("cannot listen on {address}: {error}; {advice}"))
    })
}

/// Ctrl-C, TERM, and HUP when the terminal is closed: all end the demo and remove everything.
fn stop_when_told(stop: &CancellationToken) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(anyhow::Error::from);
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    // under nohup it is to outlive the terminal
    let mut hangup = match is_hangup_ignored() {
        true => None,
        false => Some(listen(SignalKind::hangup())?),
    };
    let stopping = stop.clone();
    tokio::spawn(async move {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hung_up => {} }
        stopping.cancel();
        say("stopping, and removing everything");
    });
    Ok(())
}

/// Whether whoever started us wants that SIGHUP, the first signal, is ignored.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

async fn prepare() -> Result<Disposable, Failure> {
    say("starting a disposable PostgreSQL");
    let server = Disposable::start().await.map_err(anyhow::Error::from)?;
    say("loading four small applications (about ten seconds)");
    demo::load(&server).await.map_err(anyhow::Error::from)?;
    Ok(server)
}

async fn live(server: Disposable, listener: TcpListener, stop: CancellationToken) -> Result<u8, Failure> {
    let listen = listener.local_addr().map_err(anyhow::Error::from)?.to_string();
    let folder = server.folder().join("advisor");
    std::fs::create_dir(&folder).map_err(anyhow::Error::from)?;
    let path = folder.join("config.toml");
    let text = demo::configuration(&server, &listen, &folder);
    std::fs::write(&path, &text).map_err(anyhow::Error::from)?;
    let configuration = Configuration::load(&path, &rule_schemas(), server_problems)?;
    let (tasks, clients_stop) = (TaskTracker::new(), stop.child_token());
    Clients::start(&server, &tasks, &clients_stop);
    say(demo::SHORTENED);
    say(&format!("configuration {}:\n\n{text}", path.display()));
    say(&format!(
        "the server: psql \"{}\"",
        server.dsn("postgres", demo::DATABASE)
    ));
    say(&format!(
        "the dashboard: http://{listen}/ (first findings now, those of statements within two minutes)"
    ));
    say("Ctrl-C ends it and leaves nothing behind");
    let served = run::serve(configuration, listener, stop).await;
    clients_stop.cancel();
    tasks.close();
    tasks.wait().await;
    // stopping the server and removing its folder may take a moment, and nothing else waits
    drop(server);
    served.map(|()| 0)
}
