//! The text of a description: a URL, `key=value` pairs or a bare database name.

use super::keywords::known_keyword;
use super::{Parameters, Result};

/// Decides between the three forms as psql does.
pub(super) fn parse_text(text: &str) -> Result<Parameters> {
    let trimmed = text.trim();
    for scheme in ["postgres://", "postgresql://"] {
        if let Some(rest) = trimmed.strip_prefix(scheme) {
            return parse_url(rest);
        }
    }
    if text.split('=').next().is_some_and(|start| start.contains("://")) {
        fail!("its URL scheme is not known; write postgres:// or postgresql://");
    }
    if text.contains('=') || trimmed.is_empty() {
        return parse_pairs(text);
    }
    if text.contains('@') && text.contains(':') {
        // libpq would take it for a database name, and the password in it would reach logs.
        fail!("it looks like a URL without its scheme; put postgres:// in front");
    }
    Ok(Parameters::from([("dbname", text.to_string())]))
}

fn parse_pairs(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_ascii_start();
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let is_end = |letter: char| letter == '=' || letter.is_ascii_whitespace();
        let (word, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        let place = format!("key word number {number}");
        let Some(after) = after.trim_ascii_start().strip_prefix('=') else {
            fail!("{place} has no \"=\"; a value with spaces stands in single quotes");
        };
        let keyword = known_keyword(word, &place)?;
        let (value, after) = parse_value(after.trim_ascii_start(), keyword)?;
        parameters.insert(keyword, value);
        rest = after.trim_ascii_start();
    }
    Ok(parameters)
}

/// One value, quoted or not, and what follows it.
fn parse_value<'a>(text: &'a str, keyword: &str) -> Result<(String, &'a str)> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut letters = body.char_indices();
    while let Some((position, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Ok((value, &body[position + 1..])),
            _ if quoted.is_none() && letter.is_ascii_whitespace() => return Ok((value, &body[position..])),
            _ => value.push(letter),
        }
    }
    if quoted.is_some() {
        fail!("the value of {keyword} has no closing quote; write \\' for one inside it");
    }
    Ok((value, ""))
}

/// What follows the scheme: `[user[:password]@][host[:port],...][/dbname][?key=value&...]`.
fn parse_url(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let authority = text.split('/').next().unwrap_or_default();
    let rest = match authority.find('@') {
        Some(at) => {
            let (user, password) = text[..at].split_once(':').unwrap_or((&text[..at], ""));
            if user.contains('?') {
                // libpq takes "host?password=x@y" for a user name, which logs would then show.
                fail!("the URL has an @ after its ?; write %40 for an @, %3F for a ? in user");
            }
            store_decoded(&mut parameters, "user", user)?;
            if authority[at + 1..].contains('@') {
                // libpq takes what follows the first @ for a host, which logs would then show.
                fail!("the URL has two @ before its first /; write %40 for an @ in user or password");
            }
            store_decoded(&mut parameters, "password", password)?;
            &text[at + 1..]
        }
        None => text,
    };
    let rest = parse_url_hosts(rest, &mut parameters)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.contains('@') && authority.contains(':') {
        // libpq takes what follows a / inside a password for the database, which logs would then show.
        fail!("the URL has an @ after its first /; write %2F for a / in a password, %40 for an @");
    }
    store_decoded(&mut parameters, "dbname", path.strip_prefix('/').unwrap_or(path))?;
    for (position, pair) in query.split('&').enumerate() {
        let place = format!("parameter number {} of the URL", position + 1);
        match pair.split_once('=') {
            // JDBC's spelling, which libpq admits in URLs.
            Some(("ssl", "true")) => _ = parameters.insert("sslmode", "require".to_string()),
            Some((word, value)) => {
                let keyword = known_keyword(&percent_decode(word, &place)?, &place)?;
                parameters.insert(keyword, percent_decode(value, keyword)?);
            }
            None if pair.is_empty() => {}
            None => fail!("{place} has no \"=\"; write %26 for an & inside a value"),
        }
    }
    Ok(parameters)
}

/// The hosts and ports of a URL, stored as libpq does: two lists with commas. Gives what follows them.
fn parse_url_hosts<'a>(text: &'a str, parameters: &mut Parameters) -> Result<&'a str> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let (host, after) = match rest.strip_prefix('[').map(|bracketed| bracketed.split_once(']')) {
            None => rest.split_at(rest.find([':', '/', '?', ',']).unwrap_or(rest.len())),
            Some(Some((host, after))) if !host.is_empty() => (host, after),
            _ => {
                fail!("host number {} is no IPv6 address like [::1]", hosts.len() + 1);
            }
        };
        let (port, after) = match after.strip_prefix(':') {
            Some(port) => port.split_at(port.find(['/', '?', ',']).unwrap_or(port.len())),
            None => ("", after),
        };
        hosts.push(host);
        ports.push(port);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() || after.starts_with(['/', '?']) => {
                store_decoded(parameters, "host", &hosts.join(","))?;
                store_decoded(parameters, "port", &ports.join(","))?;
                return Ok(after);
            }
            None => fail!("after host number {}'s ] stands no : or /", hosts.len()),
        }
    }
}

/// Stores a part of a URL; an empty part counts as not given.
fn store_decoded(parameters: &mut Parameters, keyword: &'static str, text: &str) -> Result<()> {
    if !text.is_empty() {
        parameters.insert(keyword, percent_decode(text, keyword)?);
    }
    Ok(())
}

fn percent_decode(text: &str, place: &str) -> Result<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        // Checked by hand because from_str_radix admits a sign.
        let digits = piece.get(..2).unwrap_or_default();
        if digits.is_empty() || digits.contains(|digit: char| !digit.is_ascii_hexdigit()) {
            fail!("{place} has a % without two hexadecimal digits; write %25 for a %");
        }
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).or_else(|_| fail!("{place} is not UTF-8 after percent-decoding"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::settings::LONGEST_CONNECT_TIMEOUT;
    use super::super::testing::{SECRET, environment, error, parsed};
    use super::super::{ConnInfo, Host, Password, SslMode};

    #[test]
    fn urls() {
        let info = parsed("postgresql://us%40er:p%3Aw@a:1,[::1]:2,c/d%20b?sslmode=require&connect_timeout=1");
        assert_eq!(info.to_string(), "postgres://us@er@a:1,[::1]:2,c:5432/d b");
        assert_eq!(info.password, Some(Password::new("p:w")));
        assert_eq!(
            (info.sslmode, info.connect_timeout),
            (SslMode::Require, Duration::from_secs(2))
        );
        for text in ["postgres:///db?host=/run/x&port=7", "postgres://%2Frun%2Fx:7/db"] {
            assert_eq!(
                parsed(text).endpoints[0].host,
                Host::Unix(PathBuf::from("/run/x"))
            );
            assert_eq!(parsed(text).name(), "/run/x:7");
        }
        let info = parsed("postgres://?ssl=true");
        assert_eq!(
            (info.user.as_str(), info.dbname.as_str(), info.sslmode),
            ("login", "login", SslMode::Require)
        );
        assert_eq!(parsed("postgres://h?hostaddr=127.0.0.1").name(), "h:5432");
    }

    #[test]
    fn pairs_and_bare_words() {
        let info = parsed(r" host = h user='a \'b\\' password=x\ y'z dbname='' connect_timeout=0 ");
        assert_eq!((info.user.as_str(), info.dbname.as_str()), (r"a 'b\", r"a 'b\"));
        assert_eq!(info.password, Some(Password::new("x y'z")));
        assert_eq!(info.connect_timeout, LONGEST_CONNECT_TIMEOUT);
        assert_eq!(parsed("my db").dbname, "my db");
        assert_eq!(parsed("host=a,b port=9").endpoints[1].port, 9);
        assert_eq!(parsed("keepalives=1 options=-cx=y").warnings.len(), 2);
        assert!(parsed("sslnegotiation=direct sslmode=require").ssl_direct);
        assert_eq!(parsed("sslrootcert=system").sslmode, SslMode::VerifyFull);
    }

    #[test]
    fn errors_say_what_to_do_and_never_a_password() {
        for (text, expected) in [
            ("hots=x", "did you mean \"host\"?"),
            ("password=a hunter2X=b", "key word number 2 is not known"),
            ("password=a hunter2X", "single quotes"),
            ("password='hunter2X", "no closing quote"),
            ("postgres://u:hunter2X/@h/d", "%2F"),
            ("postgres://u:hunter2@X@h/d", "%40"),
            ("postgres://u:p@hunter2X@h:hunter2X/d", "%40"),
            ("postgres://u@h:hunter2X/d", "port number 1"),
            ("postgres://h?password=hunter2X@", "%40"),
            ("postgres://u:hunter2X%zz@h", "password has a %"),
            ("mysql://u:hunter2X@h", "postgres://"),
            ("u:hunter2X@h/d", "postgres://"),
            ("dbname=postgres://u:hunter2X@h/d", "whole description"),
            ("host=a,b port=1,2,3", "differ in length"),
            ("sslmode=hunter2X", "verify-full"),
            ("sslmode=prefer sslnegotiation=direct", "sslmode=require"),
            ("sslmode=require sslrootcert=system", "verify-full"),
        ] {
            let message = error(text);
            assert!(
                message.contains(expected) && !message.contains(SECRET),
                "{text}: {message}"
            );
        }
        let info = parsed("postgres://u:hunter2X@h/d");
        assert!(!format!("{info:?} {info} {}", info.name()).contains(SECRET));
    }

    #[test]
    fn no_input_panics_and_no_error_shows_the_password() {
        let seeds = [
            "postgres://u:hunter2X@h:1,[::1]:2/d?sslmode=require&host=/a",
            r"host = h,i port=1,2 user='a \' b' password=hunter2X dbname=d hostaddr=::1,1.1.1.1",
        ];
        let odd: Vec<char> = "%:/?@[]=&,'\\ \0\n\u{e9}0a".chars().collect();
        let mut state = 1_u64;
        let mut random = |limit: usize| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as usize % limit
        };
        for round in 0..5_000 {
            let mut letters: Vec<char> = seeds[round % 2].chars().collect();
            for _ in 0..=random(4) {
                let position = random(letters.len());
                match random(3) {
                    0 => letters[position] = odd[random(odd.len())],
                    1 => letters.insert(position, odd[random(odd.len())]),
                    _ => _ = letters.remove(position),
                }
            }
            let text: String = letters.into_iter().collect();
            match ConnInfo::parse(&text, &environment(&[])) {
                Ok(info) => assert!(!info.with_database("x").name().is_empty()),
                Err(error) => assert!(!error.to_string().contains("unter2"), "{text}: {error}"),
            }
        }
    }
}
