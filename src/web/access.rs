//! Who may ask: the right Host (no DNS rebinding), and for every change the right origin. And where: at our own root, or
//! under the path of `public_url`.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::Context;
use super::problem::Problem;

/// What a browser calls an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

/// `public_url`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    origin: Origin,
    /// Without a slash at its end.
    path: String,
}

/// The host in lower case and the port of `host[:port]`; nothing else may stand there.
fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(v6) => {
            let (address, rest) = v6.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        // a sign would be read as part of the number
        Some(digits) if !digits.starts_with('+') => Some(digits.parse().ok()?),
        _ => return None,
    };
    (!host.is_empty() && host.chars().all(is_name)).then(|| (host.to_ascii_lowercase(), port))
}

impl Origin {
    fn of(scheme: &str, host: String, port: Option<u16>) -> Option<Self> {
        let (scheme, usual) = match scheme {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return None,
        };
        let port = port.unwrap_or(usual);
        Some(Self { scheme, host, port })
    }

    /// The origin of an address, and what follows it.
    fn read(address: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = address.split_once("://")?;
        let (text, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = authority(text)?;
        Some((Self::of(scheme, host, port)?, path))
    }
}

impl Public {
    /// Reads `public_url`.
    pub fn read(url: &str) -> Option<Self> {
        let (origin, path) = Origin::read(url)?;
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = path.trim_end_matches('/').to_owned();
        Some(Self { origin, path })
    }
}

/// Whether a host that is asked for is a name of ours, and whether a page of that origin is one of ours then.
#[derive(Debug, PartialEq)]
enum Asked {
    Foreign,
    Loopback(Option<Origin>),
    Public,
}

fn asked(host: &str, public: Option<&Public>) -> Asked {
    let Some((name, port)) = authority(host) else {
        return Asked::Foreign;
    };
    let is_address = |address: IpAddr| address.to_canonical().is_loopback();
    if name == "localhost" || name.parse().is_ok_and(is_address) {
        return Asked::Loopback(Origin::of("http", name, port));
    }
    match public.is_some_and(|public| public.origin.host == name) {
        true => Asked::Public,
        false => Asked::Foreign,
    }
}

/// Whether a page of that origin may change something here: one that we served at this very address, or at the public one.
fn is_ours(origin: &str, asked: &Asked, public: Option<&Public>) -> bool {
    let Some((origin, "")) = Origin::read(origin) else {
        return false;
    };
    let here = matches!(asked, Asked::Loopback(Some(own)) if *own == origin);
    here || public.is_some_and(|public| public.origin == origin)
}

/// The value of a header that may stand there only once.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().unwrap_or("?");
    Some(if values.next().is_some() { "?" } else { first })
}

/// Lets through what asks for us by our name, and changes only from pages of ours or from programs.
pub async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let public = context.public.as_deref();
    let headers = request.headers();
    let host = only(headers, &header::HOST)
        .or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let asked = host.map_or(Asked::Foreign, |host| asked(host, public));
    if asked == Asked::Foreign {
        let why = "this Host is not one of the advisor's: use a loopback address, or set [web] public_url";
        return Problem::new(421, why).into_response();
    }
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let foreign = only(headers, &header::ORIGIN).is_some_and(|origin| !is_ours(origin, &asked, public))
        || headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none");
    if is_change && foreign {
        let why = "a page of another site may not change anything here; behind a proxy, [web] public_url must be \
                   the address that the browser shows";
        return Problem::new(403, why).into_response();
    }
    next.run(request).await
}

/// Takes the path of `public_url` away where the proxy did not. Every link of a page is relative, so that it is right
/// under both.
pub async fn mount(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let mount = context
        .public
        .as_deref()
        .map_or("", |public| public.path.as_str());
    match below(request.uri(), mount) {
        None => {}
        Some(Ok(uri)) => *request.uri_mut() = uri,
        Some(Err(folder)) => return Redirect::permanent(&folder).into_response(),
    }
    next.run(request).await
}

/// The address without the mounted path; or, where the slash after that is missing, the address to ask instead.
fn below(uri: &Uri, mount: &str) -> Option<Result<Uri, String>> {
    let rest = uri.path().strip_prefix(mount).filter(|_| !mount.is_empty())?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if rest.is_empty() {
        return Some(Err(format!("{mount}/{query}")));
    }
    let path = PathAndQuery::try_from(format!("{rest}{query}")).ok();
    let path = path.filter(|_| rest.starts_with('/'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok().map(Ok)
}

/// The way from a page up to our root, without a slash at its end: what every link begins with.
pub fn way_up(path: &str) -> String {
    match path.matches('/').count().saturating_sub(1) {
        0 => ".".to_owned(),
        depth => vec![".."; depth].join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public() -> Public {
        Public::read("https://db.example.org/advisor/").unwrap()
    }

    #[test]
    fn only_our_own_names() {
        for ours in [
            "127.0.0.1:8432",
            "localhost",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
            "db.example.org",
            "DB.example.org:443",
        ] {
            assert_ne!(asked(ours, Some(&public())), Asked::Foreign, "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "localhost.evil.example",
            "null",
            "127.0.0.1:8532@evil",
            "evil@127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:x",
            "127.0.0.1:+80",
            "127.0.0.1:99999",
            "127.0.0.1/x",
            "[::1",
            "[::1]x",
            "[evil]",
            "local host",
        ] {
            assert_eq!(asked(foreign, Some(&public())), Asked::Foreign, "{foreign}");
        }
    }

    #[test]
    fn only_pages_that_we_served_change_something() {
        let public = public();
        let may = |origin: &str, host: &str| is_ours(origin, &asked(host, Some(&public)), Some(&public));
        for (origin, host) in [
            ("http://127.0.0.1:8432", "127.0.0.1:8432"),
            ("http://localhost", "localhost:80"),
            ("http://[::1]:8432", "[::1]:8432"),
            ("https://db.example.org", "db.example.org"),
            // a proxy that names us by our own address
            ("https://db.example.org:443", "127.0.0.1:8432"),
        ] {
            assert!(may(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("http://127.0.0.1:9999", "127.0.0.1:8432"),
            ("https://127.0.0.1:8432", "127.0.0.1:8432"),
            ("http://localhost:8432", "127.0.0.1:8432"),
            ("http://db.example.org", "db.example.org"),
            ("https://db.example.org:8443", "db.example.org"),
            ("https://db.example.org/", "db.example.org"),
            ("https://db.example.org@evil", "db.example.org"),
            ("null", "127.0.0.1:8432"),
        ] {
            assert!(!may(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn the_mounted_path_is_taken_away() {
        let public = Public::read("https://db.example.org/advisor/").unwrap();
        let below =
            |uri: &str| below(&uri.parse().unwrap(), &public.path).map(|to| to.map(|to| to.to_string()));
        assert_eq!(
            below("/advisor/findings?q=a"),
            Some(Ok("/findings?q=a".to_owned()))
        );
        assert_eq!(below("/advisor/"), Some(Ok("/".to_owned())));
        assert_eq!(below("/advisor?x=1"), Some(Err("/advisor/?x=1".to_owned())));
        assert_eq!(below("/findings"), None);
        assert_eq!(below("/advisory"), None);
        assert_eq!(Public::read("https://db.example.org").unwrap().path, "");
        assert_eq!(super::below(&"/x".parse().unwrap(), ""), None);
    }

    #[test]
    fn links_lead_up_to_the_root() {
        for (path, up) in [
            ("/", "."),
            ("/findings", "."),
            ("/findings/x", ".."),
            ("/a/b/c", "../.."),
        ] {
            assert_eq!(way_up(path), up);
        }
    }
}
