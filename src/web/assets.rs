//! Style, script and icon, embedded in the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const ASSETS: &[(&str, &str, &str)] = &[
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("../../templates/assets/style.css"),
    ),
    (
        "app.js",
        "text/javascript; charset=utf-8",
        include_str!("../../templates/assets/app.js"),
    ),
    (
        "idiomorph.min.js",
        "text/javascript; charset=utf-8",
        include_str!("../../templates/assets/idiomorph.min.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../templates/assets/icon.svg"),
    ),
];

/// One of them; a browser asks again after an hour, or when the program is another.
pub async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, text)) => (
            [
                (header::CONTENT_TYPE, *kind),
                (header::CACHE_CONTROL, "public, max-age=3600"),
            ],
            *text,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
