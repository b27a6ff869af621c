//! Errors of the API as `application/problem+json` (RFC 9457).

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::pages::present::{capital, clip, number, visible};
use super::{Context, dashboard};
use crate::configuration::nearest;
use crate::limits;
use crate::store::StoreError;

/// The content type of a page.
pub const HTML: &str = "text/html; charset=utf-8";

/// Characters of a name that is told of what was asked for.
const NAME_SHOWN: usize = 100;
/// Names of what there is that are told; of more of them the one that was probably meant.
const NAMES_SHOWN: usize = 12;

/// A name for people: in one line, and not too long.
fn quoted(name: &str) -> String {
    format!("\"{}\"", visible(&clip(name, NAME_SHOWN)))
}

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
    next: Option<String>,
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
    pub fn not_yet(detail: &str, next: &str) -> Self {
        Self {
            next: Some(next.to_owned()),
            ..Self::new(404, detail)
        }
    }

    /// What is not there, with the name by which it was asked for.
    pub fn absent(what: &str, asked: &str) -> Self {
        Self::new(404, format!("There is no {what} {}.", quoted(asked)))
    }

    /// The same with what there is instead.
    pub fn missing(what: &str, asked: &str, known: &[&str]) -> Self {
        let absent = Self::absent(what, asked);
        let next = match nearest(asked, known.iter().copied()) {
            None => "None is known yet.".to_owned(),
            Some(_) if known.len() <= NAMES_SHOWN => {
                let known: Vec<String> = known.iter().map(|name| quoted(name)).collect();
                format!("Known here: {}.", known.join(", "))
            }
            Some(nearest) => format!(
                "{} are known here; most like it is {}.",
                number(known.len() as f64),
                quoted(nearest)
            ),
        };
        Self {
            next: Some(next),
            ..absent
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
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
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
        StatusCode::NOT_FOUND if browser => {
            return dashboard::failed(&context, &path, &Problem::absent("file", &path));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    #[test]
    fn what_is_missing_is_named_with_what_there_is() {
        let server = Problem::missing("server", "mian", &["main", "copy"]);
        assert_eq!(server.status(), 404);
        assert_eq!(server.detail(), "There is no server \"mian\".");
        assert_eq!(server.next(), Some("Known here: \"main\", \"copy\"."));
        let names: Vec<String> = (10..40).map(|number| format!("shop{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let database = Problem::missing("database", "shop3x", &names);
        assert_eq!(
            database.next(),
            Some("30 are known here; most like it is \"shop30\".")
        );
        assert_eq!(
            Problem::missing("server", "a", &[]).next(),
            Some("None is known yet.")
        );
        assert_eq!(Problem::absent("finding", "a").next(), None);
    }

    #[test]
    fn a_name_that_was_asked_for_is_harmless_and_short() {
        let long = sample::HOSTILE.repeat(100);
        let told = Problem::missing("server", &long, &[sample::HOSTILE]);
        assert!(
            !told.detail().contains(['\u{202e}', '\n', '\u{200b}']),
            "{}",
            told.detail()
        );
        assert!(told.detail().chars().count() < 1000, "{}", told.detail());
        assert!(!told.next().unwrap().contains('\u{202e}'));
    }
}
