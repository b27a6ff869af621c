//! `pgadvisor demo`: a disposable server, its workload, the daemon and the dashboard, until Ctrl-C.

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
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        eprintln!("demo: stopping, and removing everything");
        stopping.cancel();
    });
    tokio::select! {
        () = stop.cancelled() => Ok(0),
        prepared = prepare() => live(prepared?, &options.listen, stop.clone()).await,
    }
}

async fn prepare() -> Result<Disposable, Failure> {
    eprintln!("demo: starting a disposable PostgreSQL");
    let server = Disposable::start().await.map_err(anyhow::Error::from)?;
    eprintln!("demo: loading four small applications (about ten seconds)");
    demo::load(&server).await.map_err(anyhow::Error::from)?;
    Ok(server)
}

async fn live(server: Disposable, listen: &str, stop: CancellationToken) -> Result<u8, Failure> {
    let folder = server.folder().join("advisor");
    std::fs::create_dir(&folder).map_err(anyhow::Error::from)?;
    let path = folder.join("config.toml");
    let text = demo::configuration(&server, listen, &folder);
    std::fs::write(&path, &text).map_err(anyhow::Error::from)?;
    let configuration = Configuration::load(&path, &rule_schemas(), server_problems)?;
    let (tasks, clients_stop) = (TaskTracker::new(), stop.child_token());
    Clients::start(&server, &tasks, &clients_stop);
    eprintln!("demo: configuration {}:\n\n{text}", path.display());
    eprintln!(
        "demo: the server: psql \"{}\"",
        server.dsn("postgres", demo::DATABASE)
    );
    eprintln!(
        "demo: the dashboard: http://{listen}/ (first findings now, those of statements within two minutes)"
    );
    eprintln!("demo: Ctrl-C ends it and leaves nothing behind");
    let served = run::serve(configuration, stop).await;
    clients_stop.cancel();
    tasks.close();
    tasks.wait().await;
    // stopping the server and removing its folder may take a moment, and nothing else waits
    drop(server);
    served.map(|()| 0)
}
