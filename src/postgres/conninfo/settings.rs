//! Which server is wanted, and how long it may take.

use std::time::Duration;

use tokio_postgres::config::TargetSessionAttrs;

use super::{Parameters, Result, given, one_of};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// libpq rounds shorter timeouts up to this.
const SHORTEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Stands for libpq's "wait indefinitely"; finite, so that adding it to an instant cannot overflow.
pub(super) const LONGEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

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

/// Which server of several is wanted. What a standby is, the driver cannot tell from a server that is read-only.
pub(super) fn resolve_target(parameters: &Parameters) -> Result<TargetSessionAttrs> {
    if let Some(word @ ("primary" | "standby" | "prefer-standby")) = given(parameters, "target_session_attrs")
    {
        fail!("target_session_attrs={word} cannot be kept here; give any, read-write or read-only");
    }
    let choices = [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        ("read-only", TargetSessionAttrs::ReadOnly),
    ];
    one_of(
        parameters,
        "target_session_attrs",
        &choices,
        TargetSessionAttrs::Any,
    )
}
