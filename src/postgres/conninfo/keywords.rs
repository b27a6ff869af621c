//! The key words of libpq (chapter "libpq", Parameter Key Words) with their environment variables.

use super::Result;

/// The key words which are honoured, or refused where nobody would keep what they promise (`options` only warns), with
/// their environment variables where they have one.
#[rustfmt::skip] // one pair a line would be longer than it is clear
pub(super) const USED: &[(&str, &str)] = &[
    ("service", "PGSERVICE"), ("servicefile", "PGSERVICEFILE"), ("host", "PGHOST"), ("port", "PGPORT"),
    ("hostaddr", "PGHOSTADDR"), ("dbname", "PGDATABASE"), ("user", "PGUSER"), ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"), ("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY"), ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslcrl", "PGSSLCRL"), ("sslcrldir", "PGSSLCRLDIR"), ("sslcertmode", "PGSSLCERTMODE"), ("sslsni", "PGSSLSNI"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"), ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("channel_binding", "PGCHANNELBINDING"), ("require_auth", "PGREQUIREAUTH"), ("requirepeer", "PGREQUIREPEER"),
    ("gssencmode", "PGGSSENCMODE"), ("min_protocol_version", "PGMINPROTOCOLVERSION"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"), ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("options", "PGOPTIONS"), ("scram_client_key", ""), ("scram_server_key", ""),
];

/// The key words which libpq knows and which only tune: without effect here, and told so.
#[rustfmt::skip]
pub(super) const IGNORED: &[&str] = &[
    "application_name", "client_encoding", "fallback_application_name", "gssdelegation", "gsslib", "keepalives",
    "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts",
    "max_protocol_version", "oauth_client_id", "oauth_client_secret", "oauth_issuer", "oauth_scope", "replication",
    "sslcompression", "sslkeylogfile", "sslpassword", "tcp_user_timeout",
];

/// The key word with its environment variable, for messages: whoever set it there does not find it in the text.
pub(super) fn with_variable(keyword: &str) -> String {
    match USED.iter().find(|(used, _)| *used == keyword) {
        Some((_, variable)) if !variable.is_empty() => format!("{keyword} (or {variable})"),
        _ => keyword.to_string(),
    }
}

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
