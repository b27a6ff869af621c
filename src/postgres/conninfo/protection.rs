//! What protects a connection. A promise that nobody here would keep is refused: libpq's users rely on it.

use std::ops::RangeInclusive;

use tokio_postgres::config::ChannelBinding;

use super::keywords::with_variable;
use super::{Endpoint, Host, Parameters, Result, SslMode, TlsVersion, given, one_of};

/// Key words that protect and cannot be honoured: the values which ask for nothing, and what to do instead.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "requirepeer",
        &[],
        "connect by TCP with sslmode=verify-full, which proves who answers",
    ),
    (
        "require_auth",
        &[],
        "give channel_binding=require, which admits SCRAM over TLS alone",
    ),
    (
        "sslcrldir",
        &[],
        "put the lists into one file and name it as sslcrl",
    ),
    (
        "sslcertmode",
        &["disable", "allow"],
        "demand the certificate on the server, in pg_hba.conf",
    ),
    (
        "gssencmode",
        &["disable", "prefer"],
        "encrypt by TLS, with sslmode=verify-full",
    ),
    (
        "min_protocol_version",
        &["3.0"],
        "protocol 3.0 is what is spoken here",
    ),
    ("scram_client_key", &[], "give a password or a password file"),
    ("scram_server_key", &[], "give a password or a password file"),
];

/// Fails if something was asked for that would silently not be done.
pub(super) fn refuse_what_cannot_be_kept(parameters: &Parameters, endpoints: &[Endpoint]) -> Result<()> {
    let is_socket = |endpoint: &Endpoint| matches!(endpoint.host, Host::Unix(_));
    for (keyword, harmless, instead) in REFUSED {
        let asked = given(parameters, keyword).is_some_and(|value| !harmless.contains(&value));
        // as in libpq, which asks a socket alone whose it is
        let concerns = *keyword != "requirepeer" || endpoints.iter().any(is_socket);
        if asked && concerns {
            let keyword = with_variable(keyword);
            fail!(
                "{keyword} would be ignored, and what it protects would not be protected; {instead}, or remove it"
            );
        }
    }
    Ok(())
}

/// The mode, and whether TLS starts directly; libpq refuses both stronger ways with a weak mode.
pub(super) fn resolve_tls(parameters: &Parameters) -> Result<(SslMode, bool)> {
    let system = given(parameters, "sslrootcert") == Some("system");
    let modes = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
    let default = if system {
        SslMode::VerifyFull
    } else {
        SslMode::default()
    };
    let mode = one_of(parameters, "sslmode", &modes, default)?;
    let ways = [("postgres", false), ("direct", true)];
    let direct = one_of(parameters, "sslnegotiation", &ways, false)?;
    if system && mode != SslMode::VerifyFull {
        fail!("sslrootcert=system needs sslmode=verify-full; change sslmode (or PGSSLMODE)");
    }
    if direct && mode < SslMode::Require {
        fail!("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full");
    }
    Ok((mode, direct))
}

/// The versions of TLS that may be spoken; of the four that libpq names the two oldest never are.
pub(super) fn resolve_tls_versions(parameters: &Parameters) -> Result<RangeInclusive<TlsVersion>> {
    let minor = |keyword, default| match given(parameters, keyword).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(default),
        Some("tlsv1") => Ok(0),
        Some("tlsv1.1") => Ok(1),
        Some("tlsv1.2") => Ok(2),
        Some("tlsv1.3") => Ok(3),
        Some(_) => fail!("{keyword} is none of TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3"),
    };
    let oldest = minor("ssl_min_protocol_version", 2)?;
    let newest = minor("ssl_max_protocol_version", 3)?;
    if newest < 2 {
        fail!("ssl_max_protocol_version is older than TLSv1.2, the oldest that is spoken here; raise it");
    }
    if oldest > newest {
        fail!("ssl_min_protocol_version is newer than ssl_max_protocol_version; change one of them");
    }
    let version = |minor| {
        if minor < 3 {
            TlsVersion::V1_2
        } else {
            TlsVersion::V1_3
        }
    };
    Ok(version(oldest)..=version(newest))
}

pub(super) fn resolve_channel_binding(parameters: &Parameters, mode: SslMode) -> Result<ChannelBinding> {
    let choices = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
    let binding = one_of(parameters, "channel_binding", &choices, ChannelBinding::Prefer)?;
    if binding == ChannelBinding::Require && mode == SslMode::Disable {
        fail!("channel_binding=require needs TLS, which sslmode=disable forbids; change one of them");
    }
    Ok(binding)
}

#[cfg(test)]
mod tests {
    use super::super::ConnInfo;
    use super::super::testing::{environment, error, parsed};
    use super::*;

    #[test]
    fn what_protects_is_honoured_or_refused_and_what_tunes_is_told() {
        for (text, expected) in [
            (
                "host=/run/x requirepeer=postgres",
                "requirepeer (or PGREQUIREPEER) would be ignored",
            ),
            ("host=h,/run/x requirepeer=postgres", "verify-full"),
            ("require_auth=scram-sha-256", "channel_binding=require"),
            ("sslcrldir=/etc/crl", "name it as sslcrl"),
            ("sslcertmode=require", "pg_hba.conf"),
            ("gssencmode=require", "sslmode=verify-full"),
            ("min_protocol_version=3.2", "protocol 3.0"),
            ("scram_client_key=eA==", "give a password"),
            ("channel_binding=require sslmode=disable", "needs TLS"),
            ("channel_binding=maybe", "none of disable, prefer, require"),
            (
                "target_session_attrs=both",
                "none of any, read-write, read-only, primary, standby",
            ),
            ("ssl_min_protocol_version=SSLv3", "none of TLSv1"),
            ("ssl_max_protocol_version=TLSv1.1", "TLSv1.2"),
            (
                "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
                "newer than",
            ),
            ("sslsni=maybe", "none of 0, 1"),
        ] {
            let message = error(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
        let info = parsed(
            "host=h requirepeer=postgres gssencmode=prefer sslcertmode=disable sslcert=c sslkey=k sslsni=0 \
             channel_binding=require target_session_attrs=read-only ssl_min_protocol_version=tlsv1.3",
        );
        assert_eq!(info.warnings, Vec::<String>::new());
        assert_eq!((info.sslcert, info.sslkey, info.sslsni), (None, None, false));
        assert_eq!(info.channel_binding, ChannelBinding::Require);
        assert_eq!(info.tls_versions, TlsVersion::V1_3..=TlsVersion::V1_3);
        let old = parsed("ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.2");
        assert_eq!(old.tls_versions, TlsVersion::V1_2..=TlsVersion::V1_2);
        let tuned = parsed("application_name=x keepalives=1").warnings;
        assert_eq!(
            tuned,
            ["application_name is ignored", "keepalives is ignored"]
                .map(|end| format!("the connection parameter {end}"))
        );
        let idle = parsed("sslcrl=/etc/revoked sslmode=require").warnings;
        assert!(idle[0].contains("sslcrl (or PGSSLCRL) has no effect"), "{idle:?}");
    }

    #[test]
    fn the_environment_protects_too() {
        let refused = ConnInfo::parse("", &environment(&[("PGREQUIREAUTH", "scram-sha-256")]));
        assert!(refused.unwrap_err().to_string().contains("PGREQUIREAUTH"));
        let variables = environment(&[("PGCHANNELBINDING", "require"), ("PGREQUIRESSL", "1")]);
        let info = ConnInfo::parse("host=h", &variables).unwrap();
        assert_eq!(
            (info.channel_binding, info.sslmode),
            (ChannelBinding::Require, SslMode::Require)
        );
        let info = ConnInfo::parse("host=h channel_binding='' sslmode=prefer", &variables).unwrap();
        assert_eq!(
            (info.channel_binding, info.sslmode),
            (ChannelBinding::Prefer, SslMode::Prefer)
        );
    }
}
