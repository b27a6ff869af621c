//! `/api/v1`: JSON for programs. Route and description come from one place.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Context;
use super::ask::{self, ListQuery, ask};
use super::pages::overview::OverviewPage;
use super::pages::rules::RuleView;
use super::pages::status::StatusPage;
use super::problem::Problem;
use crate::limits;
use crate::model::finding::{Action, Event, Finding};
use crate::model::id::Fingerprint;
use crate::store::{CommandOutcome, NewCommand};

#[derive(OpenApi)]
#[openapi(info(
    title = "pgadvisor",
    description = "Findings of the PostgreSQL performance advisor"
))]
struct Description;

/// The routes, and their description.
pub fn routes() -> (axum::Router<Context>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(findings))
        .routes(routes!(finding))
        .routes(routes!(act))
        .routes(routes!(events))
        .routes(routes!(overview))
        .routes(routes!(rules))
        .routes(routes!(status))
        .split_for_parts()
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub struct FindingItems {
    items: Vec<Finding>,
    /// Where the next page begins; null after the last.
    next_cursor: Option<String>,
}

/// One page of the change feed.
#[derive(Serialize, ToSchema)]
pub struct EventItems {
    items: Vec<Event>,
    /// The sequence to go on after; null if there is nothing newer.
    next_after: Option<i64>,
}

/// What a person says with an action.
#[derive(Deserialize, Default, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ActionBody {
    /// Why; kept in the history.
    comment: Option<String>,
    /// Of a snooze: until when.
    until: Option<DateTime<Utc>>,
}

/// The command was taken; the engine carries it out.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    fingerprint: Fingerprint,
    action: Action,
}

/// A value as JSON or NDJSON, with an ETag that follows the content.
fn answer<T: Serialize, I: Serialize>(headers: &HeaderMap, whole: &T, items: Option<&[I]>) -> Response {
    let wants_lines = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/x-ndjson"));
    let (kind, body) = match items.filter(|_| wants_lines) {
        Some(items) => {
            let line = |item: &I| serde_json::to_string(item).map(|line| line + "\n");
            (
                "application/x-ndjson",
                items.iter().map(line).collect::<Result<String, _>>(),
            )
        }
        None => ("application/json", serde_json::to_string(whole)),
    };
    let Ok(body) = body else {
        return Problem::new(500, "the answer cannot be written").into_response();
    };
    let etag = format!("\"{}\"", &blake3::hash(body.as_bytes()).to_hex()[..24]);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    // a proxy or our own compression may have made it weak
    if known.is_some_and(|known| {
        known
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == etag)
    }) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    (
        [(header::CONTENT_TYPE, kind.to_owned()), (header::ETAG, etag)],
        body,
    )
        .into_response()
}

fn unreadable(rejection: &QueryRejection) -> Problem {
    Problem::new(400, rejection.body_text())
}

/// Findings, worst first.
#[utoipa::path(get, path = "/api/v1/findings", params(ListQuery), responses(
    (status = 200, body = FindingItems), (status = 400, body = Problem)))]
async fn findings(
    State(context): State<Context>,
    headers: HeaderMap,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| unreadable(&rejection))?;
    let filter = query.filter()?;
    let list = ask(&context.store, move |store| Ok(store.findings(&filter)?)).await?;
    let page = FindingItems {
        items: list.items,
        next_cursor: list.next_cursor,
    };
    Ok(answer(&headers, &page, Some(&page.items)))
}

/// One finding.
#[utoipa::path(get, path = "/api/v1/findings/{fingerprint}", params(("fingerprint" = String, Path)), responses(
    (status = 200, body = Finding), (status = 404, body = Problem)))]
async fn finding(
    State(context): State<Context>,
    headers: HeaderMap,
    Path(fingerprint): Path<String>,
) -> Result<Response, Problem> {
    let finding = known(&context, &fingerprint).await?;
    Ok(answer::<_, ()>(&headers, &finding, None))
}

async fn known(context: &Context, fingerprint: &str) -> Result<Finding, Problem> {
    let missing = || {
        Problem::new(
            404,
            "there is no such finding; /api/v1/findings?state=all lists every one",
        )
    };
    let fingerprint = Fingerprint::parse(fingerprint).ok_or_else(missing)?;
    ask(&context.store, move |store| {
        store.finding(&fingerprint)?.ok_or_else(missing)
    })
    .await
}

/// Acknowledge, snooze, resolve, false-positive or reopen.
#[utoipa::path(post, path = "/api/v1/findings/{fingerprint}/{action}",
    params(("fingerprint" = String, Path), ("action" = Action, Path)), request_body = ActionBody, responses(
    (status = 202, body = Accepted), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem)))]
async fn act(
    State(context): State<Context>,
    Path((fingerprint, action)): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let action = Action::parse(&action).ok_or_else(|| {
        let words: Vec<&str> = Action::ALL.iter().map(|action| action.word()).collect();
        Problem::new(
            404,
            format!("there is no such action; there are: {}", words.join(", ")),
        )
    })?;
    let said: ActionBody = match body.iter().all(u8::is_ascii_whitespace) {
        true => ActionBody::default(),
        false => serde_json::from_slice(&body)
            .map_err(|error| Problem::new(400, format!("the body cannot be read: {error}")))?,
    };
    let fingerprint = known(&context, &fingerprint).await?.fingerprint;
    let command = NewCommand {
        fingerprint: fingerprint.clone(),
        action,
        actor: "local".to_owned(),
        comment: said.comment,
        until: said.until,
        submitted_at: Utc::now(),
    };
    submit(&context, vec![command]).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { fingerprint, action })))
}

/// Hands commands to the engine, and waits a moment so that who asks sees what became of them.
pub async fn submit(context: &Context, commands: Vec<NewCommand>) -> Result<(), Problem> {
    let ids = ask(&context.store, move |store| {
        commands
            .iter()
            .map(|command| Ok(store.submit_command(command)?))
            .collect::<Result<Vec<i64>, Problem>>()
    })
    .await?;
    context.signals.commands.notify_one();
    for _ in 0..50 {
        let asked = ids.clone();
        let outcomes = ask(&context.store, move |store| {
            asked
                .iter()
                .map(|id| Ok(store.command_outcome(*id)?))
                .collect::<Result<Vec<_>, Problem>>()
        })
        .await?;
        if let Some(CommandOutcome::Refused(why)) = outcomes
            .iter()
            .flatten()
            .find(|outcome| matches!(outcome, CommandOutcome::Refused(_)))
        {
            return Err(Problem::new(409, why.clone()));
        }
        if outcomes.iter().all(Option::is_some) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The words of the change feed's address.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct FeedQuery {
    /// only events after this sequence
    #[serde(default)]
    after: i64,
    /// at most so many, up to 1000
    limit: Option<usize>,
}

/// What happened to findings, in order.
#[utoipa::path(get, path = "/api/v1/events", params(FeedQuery), responses(
    (status = 200, body = EventItems), (status = 400, body = Problem)))]
async fn events(
    State(context): State<Context>,
    headers: HeaderMap,
    query: Result<Query<FeedQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| unreadable(&rejection))?;
    let limit = query
        .limit
        .unwrap_or(limits::PAGE_ITEMS)
        .clamp(1, limits::PAGE_ITEMS_MAXIMUM);
    let items = ask(&context.store, move |store| {
        Ok(store.events_after(query.after, limit)?)
    })
    .await?;
    let page = EventItems {
        next_after: items.last().map(|event| event.sequence),
        items,
    };
    Ok(answer(&headers, &page, Some(&page.items)))
}

/// What the front page shows.
#[utoipa::path(get, path = "/api/v1/overview", responses((status = 200, body = OverviewPage)))]
async fn overview(State(context): State<Context>, headers: HeaderMap) -> Result<Response, Problem> {
    let page = ask(&context.store, ask::overview).await?;
    Ok(answer::<_, ()>(&headers, &page, None))
}

/// Every rule with its manual and thresholds.
#[utoipa::path(get, path = "/api/v1/rules", responses((status = 200, body = Vec<RuleView>)))]
async fn rules(State(context): State<Context>, headers: HeaderMap) -> Result<Response, Problem> {
    let asking = context.clone();
    let views = ask(&context.store, move |store| ask::rule_views(&asking, store)).await?;
    Ok(answer(&headers, &views, Some(&views)))
}

/// The advisor's own state.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = StatusPage)))]
async fn status(State(context): State<Context>, headers: HeaderMap) -> Result<Response, Problem> {
    let asking = context.clone();
    let page = ask(&context.store, move |store| ask::status(&asking, store)).await?;
    Ok(answer::<_, ()>(&headers, &page, None))
}
