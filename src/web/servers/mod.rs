//! Servers: their pages and the API of the same.

pub mod ask;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Context;
use super::api::answer;
use super::ask::ask;
use super::dashboard::page;
use super::pages::server::ServerPage;
use super::pages::servers::ServersPage;
use super::problem::Problem;
use super::query::Parameters;

/// The pages.
pub fn pages() -> Router<Context> {
    Router::new()
        .route("/servers", get(servers_page))
        .route("/servers/{server}", get(server_page))
}

/// The routes of the API, and their description.
pub fn api() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(servers))
        .routes(routes!(server))
}

async fn servers_page(State(context): State<Context>, uri: Uri) -> Response {
    page(&context, &uri, ask::servers).await
}

async fn server_page(State(context): State<Context>, uri: Uri, Path(name): Path<String>) -> Response {
    let asked = uri.clone();
    page(&context, &uri, move |context, store| {
        ask::server(context, store, &asked, name)
    })
    .await
}

/// The servers, each primary with its standbys.
#[utoipa::path(get, path = "/api/v1/servers", responses((status = 200, body = ServersPage), (status = 400, body = Problem)))]
async fn servers(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asking = context.clone();
    let page = ask(&context.store, move |store| ask::servers(&asking, store)).await?;
    Ok(answer(&headers, &page, Some(&page.clusters)))
}

/// One server: its load, also by database, its connections, cache, checkpoints and lag over time, what happened to it, its databases, its cache and settings, its findings and what could not be read.
#[utoipa::path(get, path = "/api/v1/servers/{server}",
    params(("server" = String, Path), ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d")),
    responses((status = 200, body = ServerPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn server(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let asking = context.clone();
    let page = ask(&context.store, move |store| {
        ask::server(&asking, store, &uri, name)
    })
    .await?;
    Ok(answer::<_, ()>(&headers, &page, None))
}
