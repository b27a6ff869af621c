//! Tables and indexes: their pages and the API of the same.

pub mod ask;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::ask::RelationPath;
use super::Context;
use super::api::answer;
use super::ask::ask;
use super::dashboard::page;
use super::pages::frame::Page;
use super::pages::index::IndexPage;
use super::pages::indexes::IndexesPage;
use super::pages::table::TablePage;
use super::pages::tables::TablesPage;
use super::places::places;
use super::problem::Problem;
use crate::store::Store;

/// What the store is asked for one thing that an address names, to be shown as a page.
type Question<P, A> = fn(&Store, &Uri, A) -> Result<P, Problem>;

/// The pages.
pub fn pages() -> Router<Context> {
    Router::new()
        .route("/tables", of_the_first(ask::tables, TablesPage::of_nothing))
        .route("/indexes", of_the_first(ask::indexes, IndexesPage::of_nothing))
        .route("/servers/{server}/{database}/tables", shown(ask::tables))
        .route(
            "/servers/{server}/{database}/tables/{schema}/{name}",
            shown(ask::table),
        )
        .route("/servers/{server}/{database}/indexes", shown(ask::indexes))
        .route(
            "/servers/{server}/{database}/indexes/{schema}/{name}",
            shown(ask::index),
        )
}

/// A page about what its address names.
fn shown<P, A>(question: Question<P, A>) -> MethodRouter<Context>
where
    P: Page + Send + 'static,
    A: DeserializeOwned + Send + 'static,
{
    get(
        move |State(context): State<Context>, uri: Uri, Path(named): Path<A>| async move {
            let asked = uri.clone();
            page(&context, &uri, move |_, store| question(store, &asked, named)).await
        },
    )
}

/// The page about the first database that there is.
fn of_the_first<P: Page + Send + 'static>(
    question: Question<P, (String, String)>,
    nothing: fn(DateTime<Utc>) -> P,
) -> MethodRouter<Context> {
    get(move |State(context): State<Context>, uri: Uri| async move {
        let asked = uri.clone();
        page(&context, &uri, move |_, store| {
            match places(store)?.into_iter().next() {
                Some(place) => question(store, &asked, place),
                None => Ok(nothing(Utc::now())),
            }
        })
        .await
    })
}

/// The routes of the API, and their description.
pub fn api() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(tables))
        .routes(routes!(table))
        .routes(routes!(partitions))
        .routes(routes!(indexes))
        .routes(routes!(index))
}

/// The tables of a database, with what happened to them: a partitioned one as a whole, without its partitions.
#[utoipa::path(get, path = "/api/v1/servers/{server}/{database}/tables",
    params(("server" = String, Path), ("database" = String, Path),
        ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d"),
        ("order" = Option<String>, Query, description = "size, growth, dead_rows, writes or scans")),
    responses((status = 200, body = TablesPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn tables(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(place): Path<(String, String)>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::tables(store, &uri, place)).await?;
    Ok(answer(&headers, &page, Some(&page.tables)))
}

/// One table over time, with its indexes and the statements that name it.
#[utoipa::path(get, path = "/api/v1/servers/{server}/{database}/tables/{schema}/{name}",
    params(("server" = String, Path), ("database" = String, Path), ("schema" = String, Path), ("name" = String, Path),
        ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d")),
    responses((status = 200, body = TablePage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn table(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(path): Path<RelationPath>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::table(store, &uri, path)).await?;
    Ok(answer(&headers, &page, Some(&page.history)))
}

/// The partitions of a partitioned table, like the tables of a database.
#[utoipa::path(get, path = "/api/v1/servers/{server}/{database}/tables/{schema}/{name}/partitions",
    params(("server" = String, Path), ("database" = String, Path), ("schema" = String, Path), ("name" = String, Path),
        ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d"),
        ("order" = Option<String>, Query, description = "size, growth, dead_rows, writes or scans"),
        ("limit" = Option<usize>, Query, description = "at most so many, 1 to 1000")),
    responses((status = 200, body = TablesPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn partitions(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(path): Path<RelationPath>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::partitions(store, &uri, path)).await?;
    Ok(answer(&headers, &page, Some(&page.tables)))
}

/// The indexes of a database, with how they were used: a partitioned one as a whole, without its partitions.
#[utoipa::path(get, path = "/api/v1/servers/{server}/{database}/indexes",
    params(("server" = String, Path), ("database" = String, Path),
        ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d"),
        ("order" = Option<String>, Query, description = "size, growth, scans, writes or idle")),
    responses((status = 200, body = IndexesPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn indexes(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(place): Path<(String, String)>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::indexes(store, &uri, place)).await?;
    Ok(answer(&headers, &page, Some(&page.indexes)))
}

/// One index over time.
#[utoipa::path(get, path = "/api/v1/servers/{server}/{database}/indexes/{schema}/{name}",
    params(("server" = String, Path), ("database" = String, Path), ("schema" = String, Path), ("name" = String, Path),
        ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d")),
    responses((status = 200, body = IndexPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn index(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(path): Path<RelationPath>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::index(store, &uri, path)).await?;
    Ok(answer(&headers, &page, Some(&page.history)))
}
