//! Errors of the API as `application/problem+json` (RFC 9457).

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::pages::present::capital;
use super::{Context, dashboard};
use crate::limits;
use crate::store::StoreError;

/// The content type of a page.
pub const HTML: &str = "text/html; charset=utf-8";

/// What went wrong, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Why, and what to do.
    detail: String,
    /// What to do next, where the detail does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
}

impl Problem {
    /// A problem of that status.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            kind: "about:blank",
            title: code.canonical_reason().unwrap_or("Error").to_owned(),
            status: code.as_u16(),
            detail: detail.into(),
            next: None,
        }
    }

    /// What is not there, but may be in a moment; both are whole sentences.
    pub fn not_yet(detail: &str, next: &'static str) -> Self {
        Self {
            next: Some(next),
            ..Self::new(404, detail)
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Why.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do next, where the detail does not say it.
    pub fn next(&self) -> Option<&'static str> {
        self.next
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadCursor | StoreError::LongComment { .. } => Self::new(400, error.to_string()),
            other => {
                tracing::error!(error = %other, "the store could not answer");
                Self::new(500, "the store could not answer; the cause is in the log")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

/// Whether a browser asks, so that a person reads the answer.
fn is_browser(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    accept
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// What a layer or an extractor refused without our words, told as every other error is told.
pub async fn in_our_words(State(context): State<Context>, request: Request, next: Next) -> Response {
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let browser = is_browser(&request);
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_told = kind.is_some_and(|kind| kind == "application/problem+json" || kind == HTML);
    // supervisors read its plain words
    if is_told || path == "/readyz" || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allowed = response.headers().get(header::ALLOW);
    let allowed = allowed.and_then(|allow| allow.to_str().ok()).unwrap_or_default();
    let detail = match status {
        StatusCode::BAD_REQUEST => "the address cannot be read".to_owned(),
        // the page begins the sentence
        StatusCode::NOT_FOUND if browser => {
            return dashboard::failed(&context, &path, &Problem::new(404, "such file"));
        }
        StatusCode::NOT_FOUND => "there is no such file".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => format!("this address does not take {method}, but: {allowed}"),
        StatusCode::PAYLOAD_TOO_LARGE => {
            format!("the body is larger than {} KiB", limits::REQUEST_BYTES / 1024)
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = limits::REQUEST_TIMEOUT.as_secs();
            format!("the advisor did not answer within {seconds} s; try again in a moment")
        }
        _ => "the advisor could not answer; the cause is in the log".to_owned(),
    };
    let told = match browser {
        true => dashboard::failed(&context, &path, &Problem::new(status.as_u16(), capital(&detail))),
        false => Problem::new(status.as_u16(), detail).into_response(),
    };
    let (mut parts, _) = response.into_parts();
    for of_the_body in [header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        parts.headers.remove(of_the_body);
    }
    let (own, body) = told.into_parts();
    parts.headers.extend(own.headers);
    Response::from_parts(parts, body)
}
