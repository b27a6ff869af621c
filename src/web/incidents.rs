//! Who held others up at a server, and transactions that were old: what the page of its activity and the API ask of the store.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Context;
use super::api::answer;
use super::ask::ask;
use super::pages::incidents::{IncidentsAnswer, IncidentsView};
use super::pages::range::Range;
use super::pages::waits;
use super::places::known_server;
use super::problem::Problem;
use super::query::{Parameters, limit};
use crate::model::incident::IncidentKind;
use crate::store::Store;

/// The routes of the API, and their description.
pub fn api() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(incidents))
}

/// What looks saw over a range that ends now, at most so many of each kind.
///
/// # Errors
/// If the store fails.
pub fn over(
    store: &Store,
    server: &str,
    range: Range,
    now: DateTime<Utc>,
    most: usize,
) -> Result<IncidentsView, Problem> {
    let of = |kind| store.incidents(server, kind, now - range.length(), now, most);
    Ok(IncidentsView {
        blocking: of(IncidentKind::Blocking)?,
        old_transactions: of(IncidentKind::OldTransaction)?,
    })
}

fn asked(store: &Store, uri: &Uri, server: String) -> Result<IncidentsAnswer, Problem> {
    let parameters = Parameters::read(uri, &["range", "limit"])?;
    let range = waits::range(&parameters)?;
    let most = limit(parameters.get("limit").as_deref())?;
    known_server(store, &server)?;
    let incidents = over(store, &server, range, Utc::now(), most)?;
    Ok(IncidentsAnswer {
        server,
        range,
        incidents,
    })
}

/// Who held others up at a server over a range, and transactions that were old: those that were seen last first.
#[utoipa::path(get, path = "/api/v1/servers/{server}/activity/incidents",
    params(("server" = String, Path), ("range" = Option<String>, Query, description = "1h, 24h or 7d"),
        ("limit" = Option<usize>, Query)),
    responses((status = 200, body = IncidentsAnswer), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn incidents(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(server): Path<String>,
) -> Result<Response, Problem> {
    let told = ask(&context.store, move |store| asked(store, &uri, server)).await?;
    Ok(answer::<_, ()>(&headers, &told, None))
}
