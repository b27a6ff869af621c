//! Values that are more than a text: TLS and times.

use std::time::Duration;

use super::{Parameters, Result, SslMode, given};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// libpq rounds shorter timeouts up to this.
const SHORTEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Stands for libpq's "wait indefinitely"; finite, so that adding it to an instant cannot overflow.
pub(super) const LONGEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The mode, and whether TLS starts directly; libpq refuses both stronger ways with a weak mode.
pub(super) fn resolve_tls(parameters: &Parameters) -> Result<(SslMode, bool)> {
    let system = given(parameters, "sslrootcert") == Some("system");
    let mode = match given(parameters, "sslmode") {
        None if system => SslMode::VerifyFull,
        None => SslMode::default(),
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        Some("prefer") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        _ => fail!("sslmode is none of disable, allow, prefer, require, verify-ca and verify-full"),
    };
    let direct = match given(parameters, "sslnegotiation") {
        None | Some("postgres") => false,
        Some("direct") => true,
        Some(_) => fail!("sslnegotiation is neither postgres nor direct; give one of these"),
    };
    if system && mode != SslMode::VerifyFull {
        fail!("sslrootcert=system needs sslmode=verify-full; change sslmode (or PGSSLMODE)");
    }
    if direct && mode < SslMode::Require {
        fail!("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full");
    }
    Ok((mode, direct))
}

pub(super) fn resolve_timeout(parameters: &Parameters) -> Result<Duration> {
    let Some(text) = given(parameters, "connect_timeout") else {
        return Ok(DEFAULT_CONNECT_TIMEOUT);
    };
    match text.trim().parse::<i32>().map(u64::try_from) {
        Ok(Ok(0) | Err(_)) => Ok(LONGEST_CONNECT_TIMEOUT),
        Ok(Ok(seconds)) => {
            Ok(Duration::from_secs(seconds).clamp(SHORTEST_CONNECT_TIMEOUT, LONGEST_CONNECT_TIMEOUT))
        }
        Err(_) => fail!("connect_timeout is not a whole number of seconds; give one"),
    }
}
