//! `/metrics`: the advisor's own numbers as Prometheus text.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Context;
use super::ask::ask;
use super::problem::Problem;
use crate::store::Store;

type Labels = Vec<(&'static str, String)>;
type Numbers = Family<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>;

pub async fn metrics(State(context): State<Context>) -> Result<Response, Problem> {
    let text = ask(&context.store, read).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn read(store: &Store) -> Result<String, Problem> {
    let mut registry = Registry::with_prefix("pgadvisor");
    let mut family = |name: &str, help: &str| {
        let numbers = Numbers::default();
        registry.register(name, help, numbers.clone());
        numbers
    };
    let findings = family("findings", "Findings by server, rule, severity and state");
    let up = family("server_up", "1 if the last look at the server succeeded");
    let seen = family(
        "server_last_seen_timestamp_seconds",
        "When the server was last seen",
    );
    let cost = family(
        "own_cost_ratio",
        "Share of the advisor in database time or one core, over an hour",
    );
    let look = family("look_seconds", "How long the last look took");
    let rows = family("look_rows", "How many rows the last look brought");
    let size = family("store_bytes", "Size of the store");
    for row in store.counts()? {
        let labels = vec![
            ("server", row.server),
            ("rule", row.rule),
            ("severity", row.severity.word().to_owned()),
            ("state", row.state.word().to_owned()),
        ];
        findings.get_or_create(&labels).set(row.count as f64);
    }
    for server in store.servers()? {
        let labels = vec![("server", server.name)];
        let is_up = server.unreachable.is_none() && server.last_seen_at.is_some();
        up.get_or_create(&labels).set(f64::from(u8::from(is_up)));
        cost.get_or_create(&labels).set(server.own_cost_ratio);
        if let Some(at) = server.last_seen_at {
            seen.get_or_create(&labels)
                .set(at.timestamp_millis() as f64 / 1000.0);
        }
    }
    for last in store.looks()? {
        let labels = vec![
            ("server", last.server),
            ("family", last.family),
            ("database", last.database.unwrap_or_default()),
        ];
        look.get_or_create(&labels).set(last.elapsed_seconds);
        rows.get_or_create(&labels).set(last.rows as f64);
    }
    size.get_or_create(&Vec::new()).set(store.size_bytes()? as f64);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Problem::new(500, error.to_string()))?;
    Ok(text)
}
