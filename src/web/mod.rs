//! The dashboard and the API, on loopback. It only reads the store, but for the commands that people hand in.

mod access;
mod api;
mod ask;
mod assets;
mod dashboard;
#[cfg(test)]
mod described;
mod finding_object;
mod incidents;
mod kept;
mod metrics;
pub mod pages;
mod places;
mod plans;
mod problem;
mod query;
mod relations;
mod servers;
mod thresholds;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::configuration::Configuration;
use crate::engine::Signals;
use crate::limits;
use crate::store::Store;

/// What every request needs.
#[derive(Clone)]
pub(crate) struct Context {
    store: Store,
    configuration: Arc<Configuration>,
    signals: Signals,
    /// The token of this process's forms.
    csrf: Arc<str>,
    /// Where people reach us through a proxy.
    public: Option<Arc<access::Public>>,
    started_at: DateTime<Utc>,
    kept: kept::Kept,
}

/// Serves until it is told to stop.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    configuration: Configuration,
    store: Store,
    signals: Signals,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = router(configuration, store, signals, stop.clone());
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}

/// Pages, API and what machines ask, without what guards them.
fn routes() -> Router<Context> {
    let (api, description) = api::routes();
    // its text alone: what it is made of takes megabytes
    let description = Bytes::from(serde_json::json!(description).to_string());
    Router::new()
        .route("/", get(dashboard::overview))
        .route("/findings", get(dashboard::findings))
        .route("/findings/acknowledge", post(dashboard::acknowledge_many))
        .route("/findings/{fingerprint}", get(dashboard::finding))
        .route("/findings/{fingerprint}/{action}", post(dashboard::act))
        .route("/activity", get(dashboard::activity_of_the_first))
        .route("/servers/{server}/activity", get(dashboard::activity))
        .route("/statements", get(dashboard::statements_of_the_first))
        .route(
            "/servers/{server}/{database}/statements",
            get(dashboard::statements),
        )
        .route(
            "/servers/{server}/{database}/statements/{id}",
            get(dashboard::statement),
        )
        .route("/refreshes", get(dashboard::refreshes))
        .route(
            "/refreshes/{server}/{database}/{schema}/{name}",
            get(dashboard::refresh),
        )
        .route(
            "/refreshes/{server}/{database}/{schema}/{name}/{action}",
            post(dashboard::act_on_view),
        )
        .route("/rules", get(dashboard::rules))
        .route("/rules/{id}", get(dashboard::rule))
        .route("/status", get(dashboard::status))
        .route("/assets/{name}", get(assets::asset))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(
            "/api/v1/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], description) }),
        )
        .merge(relations::pages())
        .merge(servers::pages())
        .fallback(dashboard::not_found)
        .merge(api)
}

/// Every route with what guards it.
pub fn router(
    configuration: Configuration,
    store: Store,
    signals: Signals,
    stop: CancellationToken,
) -> Router {
    let seed = format!("{:?} {} {:?}", Instant::now(), std::process::id(), Utc::now());
    let public_url = configuration.web.public_url.as_deref();
    let context = Context {
        store,
        csrf: blake3::hash(seed.as_bytes()).to_hex()[..32].into(),
        public: public_url.and_then(access::Public::read).map(Arc::new),
        configuration: Arc::new(configuration),
        signals,
        started_at: Utc::now(),
        kept: kept::Kept::default(),
    };
    let fixed = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let bounded = routes()
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            limits::REQUEST_TIMEOUT,
        ))
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn_with_state(context.clone(), kept::kept));
    let guarded = bounded
        // events are neither compressed nor timed: they last as long as the page
        .route("/events", get(move |state| events(state, stop)))
        .layer(RequestBodyLimitLayer::new(limits::REQUEST_BYTES))
        .layer(axum::middleware::from_fn_with_state(context.clone(), access::guard))
        .layer(fixed(
            "content-security-policy",
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
        ))
        .layer(fixed("x-content-type-options", "nosniff"))
        .layer(fixed("referrer-policy", "same-origin"))
        .layer(fixed("cache-control", "no-store"))
        .layer(CatchPanicLayer::new())
        .with_state(context.clone());
    // around the routes, for what changes the address has to come before them
    Router::new()
        .fallback_service(guarded)
        .layer(axum::middleware::from_fn_with_state(
            context.clone(),
            problem::in_our_words,
        ))
        .layer(axum::middleware::from_fn_with_state(context, access::mount))
}

/// Whether at least one server is polled.
async fn ready(State(context): State<Context>) -> (StatusCode, &'static str) {
    match context.signals.ready.load(std::sync::atomic::Ordering::Relaxed) {
        true => (StatusCode::OK, "ready\n"),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no server has been looked at yet\n",
        ),
    }
}

/// A nudge whenever there is something new; the page fetches itself again.
async fn events(
    State(context): State<Context>,
    stop: CancellationToken,
) -> (
    [(HeaderName, &'static str); 1],
    Sse<impl Stream<Item = Result<Event, Infallible>>>,
) {
    let changes = WatchStream::from_changes(context.signals.revision.clone())
        .map(|revision| Ok(Event::default().data(revision.to_string())))
        .take_until(async move { stop.cancelled().await });
    (
        [(header::HeaderName::from_static("x-accel-buffering"), "no")],
        Sse::new(changes).keep_alive(KeepAlive::default()),
    )
}
