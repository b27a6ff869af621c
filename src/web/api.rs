//! `/api/v1`: JSON for programs. Route and description come from one place.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Context;
use super::ask::{self, ListQuery, ask};
use super::dashboard::{ViewPath, view_of};
use super::pages::activity::ActivityPage;
use super::pages::overview::OverviewPage;
use super::pages::refresh::RefreshPage;
use super::pages::refreshes::RefreshesPage;
use super::pages::rules::RuleView;
use super::pages::statement::StatementPage;
use super::pages::statements::StatementsPage;
use super::pages::status::StatusPage;
use super::problem::Problem;
use super::query::{Parameters, limit, unknown};
use super::{incidents, relations, servers};
use crate::model::finding::{Action, Event, Finding};
use crate::model::id::Fingerprint;
use crate::model::refresh::{RefreshAction, ViewName};
use crate::store::{CommandOutcome, NewCommand, RefreshCommand};

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
        .routes(routes!(activity))
        .merge(incidents::api())
        .routes(routes!(statements))
        .routes(routes!(statement))
        .merge(relations::api())
        .merge(servers::api())
        .routes(routes!(refreshes))
        .routes(routes!(refresh))
        .routes(routes!(act_on_view))
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
#[derive(Debug, Default, PartialEq, ToSchema)]
pub struct ActionBody {
    /// Why; kept in the history.
    comment: Option<String>,
    /// Of a snooze: until when.
    until: Option<DateTime<Utc>>,
}

impl ActionBody {
    /// Reads a body, which may be empty; what is wrong is said in words for people.
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let wrong = |why: &str| Problem::new(400, format!("the body cannot be read: {why}"));
        let mut said = Self::default();
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(said);
        }
        let value = serde_json::from_slice::<Value>(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            wrong(&format!("it is no JSON (line {line}, column {column})"))
        })?;
        let Value::Object(object) = value else {
            return Err(wrong("it must be an object, such as {\"comment\": \"a reason\"}"));
        };
        for (name, value) in object {
            match (name.as_str(), value) {
                ("comment" | "until", Value::Null) => {}
                ("comment", Value::String(text)) => said.comment = Some(text),
                ("comment", _) => return Err(wrong("comment must be a text")),
                ("until", value) => {
                    let at = value
                        .as_str()
                        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
                    let wrong = || wrong("until must be a time, such as \"2027-01-31T08:00:00Z\"");
                    said.until = Some(at.ok_or_else(wrong)?.with_timezone(&Utc));
                }
                (name, _) => return Err(unknown("key of the body", name, &["comment", "until"])),
            }
        }
        Ok(said)
    }
}

/// The command was taken; the engine carries it out.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    fingerprint: Fingerprint,
    action: Action,
}

/// A value as JSON or NDJSON, with an ETag that follows the content.
pub fn answer<T: Serialize, I: Serialize>(headers: &HeaderMap, whole: &T, items: Option<&[I]>) -> Response {
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
    (
        [(header::CONTENT_TYPE, kind.to_owned()), (header::ETAG, etag)],
        body,
    )
        .into_response()
}

/// Findings, worst first.
#[utoipa::path(get, path = "/api/v1/findings", params(ListQuery), responses(
    (status = 200, body = FindingItems), (status = 400, body = Problem)))]
async fn findings(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let filter = ListQuery::read(&uri)?.filter()?;
    let list = ask(&context.store, move |store| Ok(store.findings(&filter)?)).await?;
    let page = FindingItems {
        items: list.items,
        next_cursor: list.next_cursor,
    };
    Ok(answer(&headers, &page, Some(&page.items)))
}

/// One finding.
#[utoipa::path(get, path = "/api/v1/findings/{fingerprint}", params(("fingerprint" = String, Path)), responses(
    (status = 200, body = Finding), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn finding(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(fingerprint): Path<String>,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
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

/// What goes on at a server, as of the last look, and what its sessions waited for and who held them up over a range.
#[utoipa::path(get, path = "/api/v1/servers/{server}/activity",
    params(("server" = String, Path), ("range" = Option<String>, Query, description = "1h, 24h or 7d")),
    responses((status = 200, body = ActivityPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn activity(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(server): Path<String>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::activity(store, &uri, server)).await?;
    Ok(answer::<_, ()>(&headers, &page, None))
}

/// The statements of a database that took most time.
#[utoipa::path(get, path = "/api/v1/servers/{server}/{database}/statements",
    params(("server" = String, Path), ("database" = String, Path),
        ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d"), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = StatementsPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn statements(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(place): Path<(String, String)>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::statements(store, &uri, place)).await?;
    Ok(answer(&headers, &page, Some(&page.statements)))
}

/// One statement over time.
#[utoipa::path(get, path = "/api/v1/servers/{server}/{database}/statements/{id}",
    params(("server" = String, Path), ("database" = String, Path), ("id" = String, Path),
        ("range" = Option<String>, Query, description = "1h, 24h, 7d, 30d or 90d")),
    responses((status = 200, body = StatementPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn statement(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(which): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let page = ask(&context.store, move |store| ask::statement(store, &uri, which)).await?;
    Ok(answer(&headers, &page, Some(&page.history)))
}

/// Materialized views, how fresh they are, and what was done lately.
#[utoipa::path(get, path = "/api/v1/refreshes", responses(
    (status = 200, body = RefreshesPage), (status = 400, body = Problem)))]
async fn refreshes(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asking = context.clone();
    let page = ask(&context.store, move |store| ask::refreshes(&asking, store)).await?;
    Ok(answer(&headers, &page, Some(&page.views)))
}

/// One materialized view with its runs.
#[utoipa::path(get, path = "/api/v1/refreshes/{server}/{database}/{schema}/{name}",
    params(("server" = String, Path), ("database" = String, Path), ("schema" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = RefreshPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn refresh(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
    Path(path): Path<ViewPath>,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let (server, view) = view_of(path);
    let page = ask(&context.store, move |store| ask::refresh(store, &server, &view)).await?;
    Ok(answer::<_, ()>(&headers, &page, None))
}

/// What was asked for was taken; the daemon does it.
#[derive(Serialize, ToSchema)]
pub struct AcceptedForView {
    view: ViewName,
    action: RefreshAction,
}

/// Refresh now, pause or resume.
#[utoipa::path(post, path = "/api/v1/refreshes/{server}/{database}/{schema}/{name}/{action}",
    params(("server" = String, Path), ("database" = String, Path), ("schema" = String, Path), ("name" = String, Path),
        ("action" = RefreshAction, Path)),
    responses((status = 202, body = AcceptedForView), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn act_on_view(
    State(context): State<Context>,
    uri: Uri,
    Path((server, database, schema, name, action)): Path<(String, String, String, String, String)>,
) -> Result<(StatusCode, Json<AcceptedForView>), Problem> {
    Parameters::read(&uri, &[])?;
    let action = RefreshAction::parse(&action)
        .ok_or_else(|| Problem::new(404, "there is no such action; there are: refresh, pause, resume"))?;
    let (server, view) = view_of((server, database, schema, name));
    let command = RefreshCommand {
        server,
        view: view.clone(),
        action,
        actor: "local".to_owned(),
        submitted_at: Utc::now(),
    };
    submit_refresh(&context, command).await?;
    Ok((StatusCode::ACCEPTED, Json(AcceptedForView { view, action })))
}

/// Hands in what is asked of a view, if it is one that is refreshed.
pub async fn submit_refresh(context: &Context, command: RefreshCommand) -> Result<(), Problem> {
    ask(&context.store, move |store| {
        let page = ask::refresh(store, &command.server, &command.view)?;
        let status = &page.view.status;
        if !status.exists || status.schedule.is_none() {
            let why = "no [[refresh]] of the configuration is about this view, or it is not there: it is left alone";
            return Err(Problem::new(409, why));
        }
        store.submit_refresh_command(&command)?;
        Ok(())
    })
    .await?;
    context.signals.commands.notify_one();
    Ok(())
}

/// Acknowledge, snooze, resolve, false-positive or reopen.
#[utoipa::path(post, path = "/api/v1/findings/{fingerprint}/{action}",
    params(("fingerprint" = String, Path), ("action" = Action, Path)), request_body = ActionBody, responses(
    (status = 202, body = Accepted), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem)))]
async fn act(
    State(context): State<Context>,
    uri: Uri,
    Path((fingerprint, action)): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    Parameters::read(&uri, &[])?;
    let action = Action::parse(&action).ok_or_else(|| {
        let words: Vec<&str> = Action::ALL.iter().map(|action| action.word()).collect();
        Problem::new(
            404,
            format!("there is no such action; there are: {}", words.join(", ")),
        )
    })?;
    let (said, now) = (ActionBody::read(&body)?, Utc::now());
    if let Some(until) = said
        .until
        .filter(|until| action == Action::Snooze && *until <= now)
    {
        let why = format!(
            "until: a snooze must end in the future, and {} is over",
            until.to_rfc3339()
        );
        return Err(Problem::new(400, why));
    }
    let fingerprint = known(&context, &fingerprint).await?.fingerprint;
    let command = NewCommand {
        fingerprint: fingerprint.clone(),
        action,
        actor: "local".to_owned(),
        comment: said.comment,
        until: said.until,
        submitted_at: now,
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
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct FeedQuery {
    /// only events after this sequence; all of them after a negative number
    #[param(value_type = Option<i64>)]
    after: i64,
    /// at most so many, up to 1000
    #[param(value_type = Option<usize>)]
    limit: usize,
}

impl FeedQuery {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let given = Parameters::read(uri, &["after", "limit"])?;
        let after = given.get("after").unwrap_or("0".to_owned());
        let wrong = || {
            Problem::new(
                400,
                format!("after={after}: the sequence of an event, a whole number"),
            )
        };
        Ok(Self {
            after: after.parse::<i64>().map_err(|_| wrong())?,
            limit: limit(given.get("limit").as_deref())?,
        })
    }
}

/// What happened to findings, in order.
#[utoipa::path(get, path = "/api/v1/events", params(FeedQuery), responses(
    (status = 200, body = EventItems), (status = 400, body = Problem)))]
async fn events(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let FeedQuery { after, limit } = FeedQuery::read(&uri)?;
    let items = ask(&context.store, move |store| Ok(store.events_after(after, limit)?)).await?;
    let page = EventItems {
        next_after: items.last().map(|event| event.sequence),
        items,
    };
    Ok(answer(&headers, &page, Some(&page.items)))
}

/// What the front page shows.
#[utoipa::path(get, path = "/api/v1/overview", responses(
    (status = 200, body = OverviewPage), (status = 400, body = Problem)))]
async fn overview(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asking = context.clone();
    let page = ask(&context.store, move |store| ask::overview(&asking, store)).await?;
    Ok(answer::<_, ()>(&headers, &page, None))
}

/// Every rule with its manual and thresholds.
#[utoipa::path(get, path = "/api/v1/rules", responses(
    (status = 200, body = Vec<RuleView>), (status = 400, body = Problem)))]
async fn rules(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asking = context.clone();
    let views = ask(&context.store, move |store| ask::rule_views(&asking, store)).await?;
    Ok(answer(&headers, &views, Some(&views)))
}

/// The advisor's own state.
#[utoipa::path(get, path = "/api/v1/status", responses(
    (status = 200, body = StatusPage), (status = 400, body = Problem)))]
async fn status(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asking = context.clone();
    let page = ask(&context.store, move |store| ask::status(&asking, store)).await?;
    Ok(answer::<_, ()>(&headers, &page, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_refused_in_plain_words() {
        let said = ActionBody::read(b"{\"comment\": \"known\", \"until\": null}").unwrap();
        assert_eq!((said.comment.as_deref(), said.until), (Some("known"), None));
        assert_eq!(ActionBody::read(b" \n").unwrap(), ActionBody::default());
        for (body, why) in [
            ("{", "it is no JSON (line 1, column 1)"),
            ("[1]", "it must be an object, such as"),
            ("{\"comment\": 1}", "comment must be a text"),
            ("{\"until\": \"tomorrow\"}", "until must be a time, such as"),
            (
                "{\"commend\": \"\"}",
                "unknown key of the body \"commend\": did you mean \"comment\"?",
            ),
        ] {
            let problem = ActionBody::read(body.as_bytes()).unwrap_err();
            assert!(problem.detail().contains(why), "{}", problem.detail());
        }
    }

    #[test]
    fn the_feed_begins_at_a_sequence() {
        let after =
            |query: &str| FeedQuery::read(&format!("/x?{query}").parse().unwrap()).map(|feed| feed.after);
        assert_eq!((after("").unwrap(), after("after=7").unwrap()), (0, 7));
        assert_eq!(after("after=-5").unwrap(), -5, "from the beginning, as ever");
        for wrong in ["x", "1.5"] {
            let problem = after(&format!("after={wrong}")).unwrap_err();
            let expected = format!("after={wrong}: the sequence of an event, a whole number");
            assert_eq!(problem.detail(), expected);
        }
    }

    #[test]
    fn the_description_knows_every_parameter() {
        use utoipa::IntoParams;
        let described: Vec<String> = ListQuery::into_params(|| None)
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(described, ListQuery::NAMES);
    }
}
