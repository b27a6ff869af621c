//! Answers as they were made a moment ago, compressed as they went out: many readers of one page cost as much as one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Context;

/// An answer is given again for this long, unless something is new: it tells how long ago things were.
const FRESH: Duration = Duration::from_secs(3);
/// Answers kept at once, and their bytes together.
const ANSWERS: usize = 256;
const BYTES: usize = 4_000_000;

/// An answer that went well.
#[derive(Clone)]
struct Answer {
    revision: u64,
    made_at: Instant,
    headers: HeaderMap,
    body: Bytes,
}

/// Whoever asks first makes the answer; the others wait for it.
type Place = Arc<tokio::sync::Mutex<Option<Answer>>>;

/// All answers that are kept.
#[derive(Clone, Default)]
pub struct Kept {
    places: Arc<Mutex<HashMap<String, Place>>>,
}

impl Kept {
    fn place(&self, key: String) -> Place {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |place: &Place| {
            place
                .try_lock()
                .map_or(0, |kept| kept.as_ref().map_or(0, |kept| kept.body.len()))
        };
        if !places.contains_key(&key)
            && (places.len() >= ANSWERS || places.values().map(bytes).sum::<usize>() > BYTES)
        {
            places.clear();
        }
        places.entry(key).or_default().clone()
    }
}

/// What the answers of one address may differ by.
const DIFFERS_BY: [HeaderName; 2] = [header::ACCEPT, header::ACCEPT_ENCODING];

/// Gives the answer that is there, or keeps the one that is made.
pub async fn kept(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let machines = [
        "/metrics",
        "/healthz",
        "/readyz",
        "/assets/",
        "/api/v1/openapi.json",
    ];
    if request.method() != Method::GET || machines.iter().any(|prefix| path.starts_with(prefix)) {
        return next.run(request).await;
    }
    let mut key = request.uri().to_string();
    for name in DIFFERS_BY {
        for value in request.headers().get_all(name) {
            key.push('\n');
            key.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
    }
    let known = request.headers_mut().remove(header::IF_NONE_MATCH);
    let place = context.kept.place(key);
    let mut answer = place.lock().await;
    let revision = context.store.revision();
    let is_fresh = |answer: &Answer| answer.revision == revision && answer.made_at.elapsed() < FRESH;
    if !answer.as_ref().is_some_and(is_fresh) {
        let (parts, body) = next.run(request).await.into_parts();
        let body = match to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
        if parts.status != StatusCode::OK {
            return (parts, body).into_response();
        }
        *answer = Some(Answer {
            revision,
            made_at: Instant::now(),
            headers: parts.headers,
            body,
        });
    }
    let kept = answer.clone();
    drop(answer);
    let Some(Answer { headers, body, .. }) = kept else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mark = |value: &str| value.trim().trim_start_matches("W/").to_owned();
    let is_known = || {
        let (etag, known) = (
            headers.get(header::ETAG)?.to_str().ok()?,
            known.as_ref()?.to_str().ok()?,
        );
        Some(known.trim() == "*" || known.split(',').any(|one| mark(one) == mark(etag)))
    };
    match is_known() {
        Some(true) => (StatusCode::NOT_MODIFIED, headers).into_response(),
        _ => (headers, Body::from(body)).into_response(),
    }
}
