//! The key words of libpq (chapter "libpq", Parameter Key Words) with their environment variables.

use super::Result;

/// The key words which have an effect here (`options` warns), with their environment variables.
#[rustfmt::skip] // one pair a line would be longer than it is clear
pub(super) const USED: &[(&str, &str)] = &[
    ("service", "PGSERVICE"), ("servicefile", "PGSERVICEFILE"), ("host", "PGHOST"), ("port", "PGPORT"),
    ("hostaddr", "PGHOSTADDR"), ("dbname", "PGDATABASE"), ("user", "PGUSER"), ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"), ("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY"), ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"), ("options", "PGOPTIONS"),
];

/// The key words which libpq knows and which are accepted without effect.
#[rustfmt::skip]
const IGNORED: &[&str] = &[
    "application_name", "channel_binding", "client_encoding", "fallback_application_name",
    "gssdelegation", "gssencmode", "gsslib", "keepalives", "keepalives_count", "keepalives_idle",
    "keepalives_interval", "krbsrvname", "load_balance_hosts", "max_protocol_version",
    "min_protocol_version", "oauth_client_id", "oauth_client_secret", "oauth_issuer",
    "oauth_scope", "replication", "require_auth", "requirepeer", "scram_client_key",
    "scram_server_key", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcertmode",
    "sslcompression", "sslcrl", "sslcrldir", "sslkeylogfile", "sslpassword", "sslsni",
    "target_session_attrs", "tcp_user_timeout",
];

/// The key word itself, or an error which names the nearest one.
pub(super) fn known_keyword(word: &str, place: &str) -> Result<&'static str> {
    let used = USED.iter().map(|(keyword, _)| *keyword);
    let all = used.chain(IGNORED.iter().copied());
    let distances = all.map(|known| (edit_distance(word, known), known));
    let (distance, nearest) = distances.min().unwrap_or_default();
    match distance {
        0 => Ok(nearest),
        1 | 2 => fail!("{place}, \"{word}\", is not known; did you mean \"{nearest}\"?"),
        // So far off it may be a piece of a password which should have been quoted: it is not shown.
        _ => fail!("{place} is not known (nearest: \"{nearest}\"); quote a value with spaces in it"),
    }
}

/// Levenshtein's distance, one row of the table at a time.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (position, letter) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = position + 1;
        for (column, other) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
