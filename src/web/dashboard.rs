//! The pages' handlers: they ask, build and render.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{OriginalUri, Path, Query, RawForm, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{TimeDelta, Utc};

use super::Context;
use super::ask::{self, ListQuery, ask};
use super::pages::error::ErrorPage;
use super::pages::finding::FindingPage;
use super::pages::findings::FindingsPage;
use super::pages::frame::Page;
use super::pages::rules::{RulePage, RulesPage};
use super::problem::Problem;
use crate::model::finding::Action;
use crate::model::id::Fingerprint;
use crate::store::{NewCommand, Store};

/// A page made within the last two seconds is served again, unless something is new.
const FRESH: std::time::Duration = std::time::Duration::from_secs(2);
/// Pages kept at once.
const KEPT: usize = 256;

/// Serves a page, made now or a moment ago.
async fn page<P: Page + Send + 'static>(
    context: &Context,
    uri: &axum::http::Uri,
    make: impl FnOnce(&Context, &Store) -> Result<P, Problem> + Send + 'static,
) -> Response {
    let (key, revision) = (uri.to_string(), context.store.revision());
    let kept = context.made.lock().ok().and_then(|made| made.get(&key).cloned());
    if let Some((at_revision, made_at, body)) = kept
        && at_revision == revision
        && made_at.elapsed() < FRESH
    {
        return html(StatusCode::OK, body);
    }
    let (asking, base, csrf) = (context.clone(), context.base.clone(), context.csrf.clone());
    let made = ask(&context.store, move |store| {
        let page = make(&asking, store)?;
        page.html(&base, &csrf).map_err(|error| {
            tracing::error!(%error, "a page cannot be rendered");
            Problem::new(500, "the page cannot be made")
        })
    });
    match made.await {
        Ok(text) => {
            let body = Bytes::from(text);
            if let Ok(mut kept) = context.made.lock() {
                if kept.len() >= KEPT {
                    kept.clear();
                }
                kept.insert(key, (revision, std::time::Instant::now(), body.clone()));
            }
            html(StatusCode::OK, body)
        }
        Err(problem) => failed(context, &problem),
    }
}

fn html(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
        body.into(),
    )
        .into_response()
}

fn failed(context: &Context, problem: &Problem) -> Response {
    let now = Utc::now();
    let page = match problem.status() {
        404 => ErrorPage::not_found(now, problem.detail()),
        status if status < 500 => ErrorPage::build(now, status, problem.detail(), "Go back and try again."),
        _ => ErrorPage::internal(now),
    };
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match page.html(&context.base, &context.csrf) {
        Ok(text) => html(status, text),
        Err(_) => status.into_response(),
    }
}

pub async fn not_found(State(context): State<Context>, OriginalUri(uri): OriginalUri) -> Response {
    match uri.path().starts_with("/api/") {
        true => {
            Problem::new(404, "there is no such resource; /api/v1/openapi.json lists them").into_response()
        }
        false => failed(&context, &Problem::new(404, "such page")),
    }
}

pub async fn overview(State(context): State<Context>, OriginalUri(uri): OriginalUri) -> Response {
    page(&context, &uri, |_, store| ask::overview(store)).await
}

pub async fn findings(
    State(context): State<Context>,
    OriginalUri(uri): OriginalUri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        return failed(&context, &Problem::new(400, "The address cannot be read."));
    };
    page(&context, &uri, move |_, store| {
        let list = store.findings(&query.filter()?)?;
        let facets = ask::facets(store)?;
        Ok(FindingsPage::build(
            Utc::now(),
            list.items,
            list.total as usize,
            list.next_cursor,
            query.view(),
            &facets,
        ))
    })
    .await
}

pub async fn finding(
    State(context): State<Context>,
    OriginalUri(uri): OriginalUri,
    Path(fingerprint): Path<String>,
) -> Response {
    page(&context, &uri, move |context, store| {
        let missing = || Problem::new(404, "such finding");
        let fingerprint = Fingerprint::parse(&fingerprint).ok_or_else(missing)?;
        let finding = store.finding(&fingerprint)?.ok_or_else(missing)?;
        let history = store.history(&fingerprint)?;
        let title = ask::rule_views(context, store)?
            .into_iter()
            .find(|rule| rule.id == finding.claim.rule)
            .map(|rule| rule.title)
            .unwrap_or_default();
        Ok(FindingPage::build(Utc::now(), finding, history, &title))
    })
    .await
}

pub async fn rules(State(context): State<Context>, OriginalUri(uri): OriginalUri) -> Response {
    page(&context, &uri, |context, store| {
        Ok(RulesPage::build(Utc::now(), ask::rule_views(context, store)?))
    })
    .await
}

pub async fn rule(
    State(context): State<Context>,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<String>,
) -> Response {
    page(&context, &uri, move |context, store| {
        let rule = ask::rule_views(context, store)?
            .into_iter()
            .find(|rule| rule.id == id);
        Ok(RulePage::build(
            Utc::now(),
            rule.ok_or_else(|| Problem::new(404, "such rule"))?,
        ))
    })
    .await
}

pub async fn status(State(context): State<Context>, OriginalUri(uri): OriginalUri) -> Response {
    page(&context, &uri, ask::status).await
}

/// The fields of a form, of which some come several times.
fn fields(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

/// Checks the form's token, and hands in one command for each finding.
async fn hand_in(
    context: &Context,
    fingerprints: Vec<Fingerprint>,
    action: Action,
    fields: &[(String, String)],
) -> Result<(), Problem> {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.trim())
    };
    if field("csrf") != Some(&*context.csrf) {
        return Err(Problem::new(
            403,
            "This form is from before the advisor was restarted: reload the page.",
        ));
    }
    let now = Utc::now();
    let days = field("until_days")
        .and_then(|days| days.parse::<i64>().ok())
        .filter(|days| (1..=3650).contains(days));
    let comment = field("comment")
        .filter(|comment| !comment.is_empty())
        .map(str::to_owned);
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
    Path((fingerprint, action)): Path<(String, String)>,
    RawForm(form): RawForm,
) -> Response {
    let (Some(fingerprint), Some(action)) = (Fingerprint::parse(&fingerprint), Action::parse(&action)) else {
        return failed(&context, &Problem::new(404, "such finding or action"));
    };
    let back = format!("{}/findings/{fingerprint}", context.base);
    match hand_in(&context, vec![fingerprint], action, &fields(&form)).await {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(problem) => failed(&context, &problem),
    }
}

pub async fn acknowledge_many(State(context): State<Context>, RawForm(form): RawForm) -> Response {
    let fields = fields(&form);
    let fingerprints: Vec<Fingerprint> = fields
        .iter()
        .filter(|(name, _)| name == "fingerprint")
        .filter_map(|(_, value)| Fingerprint::parse(value))
        .collect();
    match hand_in(&context, fingerprints, Action::Acknowledge, &fields).await {
        Ok(()) => Redirect::to(&format!("{}/findings", context.base)).into_response(),
        Err(problem) => failed(&context, &problem),
    }
}
