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

/// An answer of a moment ago is given while somebody makes it anew, up to this age, unless something is new.
const USABLE: Duration = Duration::from_secs(6);

/// Where the answers of one address are.
#[derive(Default)]
struct Place {
    answer: Mutex<Option<Answer>>,
    /// Whoever asks first makes the answer; the others wait for it.
    making: tokio::sync::Mutex<()>,
}

impl Place {
    /// The answer, if it is of this revision and young enough.
    fn answer(&self, revision: u64, age: Duration) -> Option<Answer> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let is_usable = |answer: &&Answer| answer.revision == revision && answer.made_at.elapsed() < age;
        answer.as_ref().filter(is_usable).cloned()
    }

    fn bytes(&self) -> usize {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.as_ref().map_or(0, |answer| answer.body.len())
    }
}

/// All answers that are kept.
#[derive(Clone, Default)]
pub struct Kept {
    places: Arc<Mutex<HashMap<String, Arc<Place>>>>,
}

impl Kept {
    fn place(&self, key: String) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if !places.contains_key(&key)
            && (places.len() >= ANSWERS || places.values().map(|place| place.bytes()).sum::<usize>() > BYTES)
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
    let revision = context.store.revision();
    let usable = match place.making.try_lock() {
        Ok(_) => place.answer(revision, FRESH),
        Err(_) => place.answer(revision, USABLE),
    };
    let Answer { headers, body, .. } = match usable {
        Some(answer) => answer,
        None => match made(&context, &place, request, next).await {
            Ok(answer) => answer,
            Err(response) => return *response,
        },
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

/// The answer that somebody else has made meanwhile, or a new one.
async fn made(
    context: &Context,
    place: &Place,
    request: Request,
    next: Next,
) -> Result<Answer, Box<Response>> {
    let _making = place.making.lock().await;
    let revision = context.store.revision();
    if let Some(answer) = place.answer(revision, FRESH) {
        return Ok(answer);
    }
    let (parts, body) = next.run(request).await.into_parts();
    let body = match to_bytes(body, usize::MAX).await {
        Ok(body) => body,
        Err(_) => return Err(Box::new(StatusCode::INTERNAL_SERVER_ERROR.into_response())),
    };
    if parts.status != StatusCode::OK {
        return Err(Box::new((parts, body).into_response()));
    }
    let answer = Answer {
        revision,
        made_at: Instant::now(),
        headers: parts.headers,
        body,
    };
    *place.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
    Ok(answer)
}
