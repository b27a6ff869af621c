//! The pages' handlers: they ask, build and render.

use axum::extract::{Path, RawForm, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{TimeDelta, Utc};

use super::Context;
use super::access::way_up;
use super::ask::{self, ListQuery, ask};
use super::finding_object::object_charts;
use super::pages::activity::ActivityPage;
use super::pages::error::ErrorPage;
use super::pages::finding::FindingPage;
use super::pages::findings::FindingsPage;
use super::pages::frame::Page;
use super::pages::rules::{RulePage, RulesPage};
use super::pages::statements::StatementsPage;
use super::places::places;
use super::problem::{HTML, Problem};
use crate::model::finding::Action;
use crate::model::id::Fingerprint;
use crate::model::refresh::{RefreshAction, ViewName};
use crate::store::{NewCommand, RefreshCommand, Store};

/// Serves a page.
pub async fn page<P: Page + Send + 'static>(
    context: &Context,
    uri: &Uri,
    make: impl FnOnce(&Context, &Store) -> Result<P, Problem> + Send + 'static,
) -> Response {
    let base = way_up(uri.path());
    let (asking, csrf) = (context.clone(), context.csrf.clone());
    let made = ask(&context.store, move |store| {
        let page = make(&asking, store)?;
        page.html(&base, &csrf).map_err(|error| {
            tracing::error!(%error, "a page cannot be rendered");
            Problem::new(500, "the page cannot be made")
        })
    });
    match made.await {
        Ok(text) => html(StatusCode::OK, text),
        Err(problem) => failed(context, uri.path(), &problem),
    }
}

fn html(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    (status, [(header::CONTENT_TYPE, HTML)], body.into()).into_response()
}

/// The page for what went wrong at that address.
pub fn failed(context: &Context, path: &str, problem: &Problem) -> Response {
    let now = Utc::now();
    let page = match problem.status() {
        404 => match problem.next() {
            Some(next) => ErrorPage::build(now, 404, problem.detail(), next).below(path),
            None => ErrorPage::not_found(now, problem.detail()),
        },
        status if status < 500 => ErrorPage::build(now, status, problem.detail(), "Go back and try again."),
        _ => ErrorPage::internal(now),
    };
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match page.html(&way_up(path), &context.csrf) {
        Ok(text) => html(status, text),
        Err(_) => status.into_response(),
    }
}

pub async fn not_found(State(context): State<Context>, uri: Uri) -> Response {
    match uri.path().starts_with("/api/") {
        true => {
            Problem::new(404, "there is no such resource; /api/v1/openapi.json lists them").into_response()
        }
        false => failed(&context, uri.path(), &Problem::absent("page", uri.path())),
    }
}

pub async fn overview(State(context): State<Context>, uri: Uri) -> Response {
    page(&context, &uri, ask::overview).await
}

pub async fn findings(State(context): State<Context>, uri: Uri) -> Response {
    let asked = uri.clone();
    page(&context, &uri, move |context, store| {
        let query = ListQuery::read(&asked)?;
        let list = store.findings(&query.filter()?)?;
        let facets = ask::facets(store)?;
        Ok(FindingsPage::build(
            Utc::now(),
            list.items,
            list.total as usize,
            list.next_cursor,
            query.view(),
            &facets,
            ask::coverage(context, store)?,
        ))
    })
    .await
}

pub async fn finding(State(context): State<Context>, uri: Uri, Path(asked): Path<String>) -> Response {
    page(&context, &uri, move |context, store| {
        let missing = || Problem::absent("finding", &asked);
        let fingerprint = Fingerprint::parse(&asked).ok_or_else(missing)?;
        let finding = store.finding(&fingerprint)?.ok_or_else(missing)?;
        let history = store.history(&fingerprint)?;
        let title = ask::rule_views(context, store)?
            .into_iter()
            .find(|rule| rule.id == finding.claim.rule)
            .map(|rule| rule.title)
            .unwrap_or_default();
        let now = Utc::now();
        let object = object_charts(store, &finding.claim, now)?;
        let gone = store.evidence_gone(&finding)?;
        Ok(FindingPage::build(now, finding, history, &title)
            .with_object(object)
            .with_evidence_gone(gone))
    })
    .await
}

pub async fn rules(State(context): State<Context>, uri: Uri) -> Response {
    page(&context, &uri, |context, store| {
        Ok(RulesPage::build(Utc::now(), ask::rule_views(context, store)?))
    })
    .await
}

pub async fn rule(State(context): State<Context>, uri: Uri, Path(id): Path<String>) -> Response {
    page(&context, &uri, move |context, store| {
        let mut rules = ask::rule_views(context, store)?;
        let Some(position) = rules.iter().position(|rule| rule.id == id) else {
            let known: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
            return Err(Problem::missing("rule", &id, &known));
        };
        Ok(RulePage::build(Utc::now(), rules.swap_remove(position)))
    })
    .await
}

/// Those of the first database that there is.
pub async fn statements_of_the_first(State(context): State<Context>, uri: Uri) -> Response {
    let asked = uri.clone();
    page(&context, &uri, move |_, store| {
        match places(store)?.into_iter().next() {
            Some(place) => ask::statements(store, &asked, place),
            None => Ok(StatementsPage::of_nothing(Utc::now())),
        }
    })
    .await
}

pub async fn statements(
    State(context): State<Context>,
    uri: Uri,
    Path(place): Path<(String, String)>,
) -> Response {
    let asked = uri.clone();
    page(&context, &uri, move |_, store| {
        ask::statements(store, &asked, place)
    })
    .await
}

pub async fn statement(
    State(context): State<Context>,
    uri: Uri,
    Path(which): Path<(String, String, String)>,
) -> Response {
    let asked = uri.clone();
    page(&context, &uri, move |_, store| {
        ask::statement(store, &asked, which)
    })
    .await
}

/// That of the first server that there is.
pub async fn activity_of_the_first(State(context): State<Context>, uri: Uri) -> Response {
    let asked = uri.clone();
    page(&context, &uri, move |_, store| {
        match store.servers()?.into_iter().next() {
            Some(server) => ask::activity(store, &asked, server.name),
            None => Ok(ActivityPage::of_nothing(Utc::now())),
        }
    })
    .await
}

pub async fn activity(State(context): State<Context>, uri: Uri, Path(server): Path<String>) -> Response {
    let asked = uri.clone();
    page(&context, &uri, move |_, store| {
        ask::activity(store, &asked, server)
    })
    .await
}

pub async fn refreshes(State(context): State<Context>, uri: Uri) -> Response {
    page(&context, &uri, ask::refreshes).await
}

/// The words of what can be done with a view.
const VIEW_ACTIONS: [&str; 3] = ["refresh", "pause", "resume"];

/// The parts of the address of a view.
pub type ViewPath = (String, String, String, String);

/// The server and the view of an address.
pub fn view_of((server, database, schema, name): ViewPath) -> (String, ViewName) {
    let view = ViewName {
        database,
        schema,
        name,
    };
    (server, view)
}

pub async fn refresh(State(context): State<Context>, uri: Uri, Path(path): Path<ViewPath>) -> Response {
    let (server, view) = view_of(path);
    page(&context, &uri, move |_, store| {
        ask::refresh(store, &server, &view)
    })
    .await
}

pub async fn act_on_view(
    State(context): State<Context>,
    uri: Uri,
    Path((server, database, schema, name, word)): Path<(String, String, String, String, String)>,
    RawForm(form): RawForm,
) -> Response {
    let path = uri.path();
    let (server, view) = view_of((server, database, schema, name));
    let Some(action) = RefreshAction::parse(&word) else {
        return failed(&context, path, &Problem::missing("action", &word, &VIEW_ACTIONS));
    };
    let back = format!(
        "{}{}",
        way_up(path),
        super::pages::refreshes::path(&server, &view)
    );
    let command = RefreshCommand {
        server,
        view,
        action,
        actor: "local".to_owned(),
        submitted_at: Utc::now(),
    };
    let handed_in = match check_token(&context, &fields(&form)) {
        Ok(()) => super::api::submit_refresh(&context, command).await,
        Err(problem) => Err(problem),
    };
    match handed_in {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(problem) => failed(&context, path, &problem),
    }
}

pub async fn status(State(context): State<Context>, uri: Uri) -> Response {
    page(&context, &uri, ask::status).await
}

/// The fields of a form, of which some come several times.
fn fields(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

/// Whether a form is of this process's pages.
fn check_token(context: &Context, fields: &[(String, String)]) -> Result<(), Problem> {
    let token = fields.iter().find(|(key, _)| key == "csrf");
    match token.is_some_and(|(_, token)| *token.trim() == *context.csrf) {
        true => Ok(()),
        false => Err(Problem::new(
            403,
            "This form is from before the advisor was restarted: reload the page.",
        )),
    }
}

/// Checks the form's token, and hands in one command for each finding.
async fn hand_in(
    context: &Context,
    fingerprints: Vec<Fingerprint>,
    action: Action,
    fields: &[(String, String)],
) -> Result<(), Problem> {
    check_token(context, fields)?;
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.trim())
    };
    let now = Utc::now();
    let days = match field("until_days").map(str::parse::<i64>) {
        None => None,
        Some(Ok(days)) if (1..=3650).contains(&days) => Some(days),
        Some(_) => return Err(Problem::new(400, "A snooze lasts from 1 to 3650 days.")),
    };
    // a browser sends each line with two characters at its end, and counts them as one
    let comment = field("comment")
        .filter(|comment| !comment.is_empty())
        .map(|comment| comment.replace("\r\n", "\n"));
    let commands: Vec<NewCommand> = fingerprints
        .into_iter()
        .map(|fingerprint| NewCommand {
            fingerprint,
            action,
            actor: "local".to_owned(),
            comment: comment.clone(),
            until: days.map(|days| now + TimeDelta::days(days)),
            submitted_at: now,
        })
        .collect();
    super::api::submit(context, commands).await
}

pub async fn act(
    State(context): State<Context>,
    uri: Uri,
    Path((asked, word)): Path<(String, String)>,
    RawForm(form): RawForm,
) -> Response {
    let path = uri.path();
    let Some(fingerprint) = Fingerprint::parse(&asked) else {
        return failed(&context, path, &Problem::absent("finding", &asked));
    };
    let Some(action) = Action::parse(&word) else {
        let known = Action::ALL.map(|action| action.word());
        return failed(&context, path, &Problem::missing("action", &word, &known));
    };
    let back = format!("{}/findings/{fingerprint}", way_up(path));
    match hand_in(&context, vec![fingerprint], action, &fields(&form)).await {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(problem) => failed(&context, path, &problem),
    }
}

pub async fn acknowledge_many(State(context): State<Context>, uri: Uri, RawForm(form): RawForm) -> Response {
    let fields = fields(&form);
    let fingerprints: Vec<Fingerprint> = fields
        .iter()
        .filter(|(name, _)| name == "fingerprint")
        .filter_map(|(_, value)| Fingerprint::parse(value))
        .collect();
    match hand_in(&context, fingerprints, Action::Acknowledge, &fields).await {
        Ok(()) => Redirect::to(&format!("{}/findings", way_up(uri.path()))).into_response(),
        Err(problem) => failed(&context, uri.path(), &problem),
    }
}
