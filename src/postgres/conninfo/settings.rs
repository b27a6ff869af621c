//! Which server is wanted, and how long it may take.

use std::time::Duration;

use super::{Parameters, Result, Target, given, one_of};

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

/// Which server of several is wanted.
pub(super) fn resolve_target(parameters: &Parameters) -> Result<Target> {
    let choices = [
        ("any", Target::Any),
        ("read-write", Target::ReadWrite),
        ("read-only", Target::ReadOnly),
        ("primary", Target::Primary),
        ("standby", Target::Standby),
        ("prefer-standby", Target::PreferStandby),
    ];
    one_of(parameters, "target_session_attrs", &choices, Target::Any)
}
