//! Who may ask: the right Host (no DNS rebinding), and for every change the right origin.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Context;
use super::problem::Problem;

/// The host of an address, without scheme, port and path, in lower case.
fn host_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.to_ascii_lowercase()
}

/// The path of an address, without a slash at its end.
pub fn path_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.find('/')
        .map(|at| rest[at..].trim_end_matches('/').to_owned())
        .unwrap_or_default()
}

/// Whether this is a name of ours: loopback, or that of `public_url`.
fn is_ours(host: &str, public_url: Option<&str>) -> bool {
    let loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    loopback || public_url.is_some_and(|url| host_of(url) == host)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Lets through what asks for us by our name, and changes only from pages of ours or from programs.
pub async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let public_url = context.configuration.web.public_url.as_deref();
    let headers = request.headers();
    let host = text(headers, &header::HOST)
        .or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if !host.is_some_and(|host| is_ours(&host_of(host), public_url)) {
        let why = "this Host is not one of the advisor's: use a loopback address, or set [web] public_url";
        return Problem::new(421, why).into_response();
    }
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let foreign = text(headers, &header::ORIGIN).is_some_and(|origin| !is_ours(&host_of(origin), public_url))
        || headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none");
    if is_change && foreign {
        return Problem::new(403, "a page of another site may not change anything here").into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names() {
        let public = Some("https://db.example.org/advisor/");
        for ours in [
            "127.0.0.1:8432",
            "localhost",
            "[::1]:80",
            "db.example.org",
            "DB.example.org:443",
        ] {
            assert!(is_ours(&host_of(ours), public), "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "localhost.evil.example",
            "null",
        ] {
            assert!(!is_ours(&host_of(foreign), public), "{foreign}");
        }
        assert_eq!(path_of("https://db.example.org/advisor/"), "/advisor");
        assert_eq!(path_of("https://db.example.org"), "");
    }
}
