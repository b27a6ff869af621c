//! What a refresh may take at the moment at which it begins.

use std::time::Duration;

use chrono::Utc;

use crate::model::refresh::Mode;
use crate::refresh::plan::Step;

/// What a refresh may take now, which may be less than when it was planned.
pub(super) struct Allowed {
    pub mode: Mode,
    pub within: Duration,
    /// For each try to get the view's lock: later readers wait behind it.
    pub lock_timeout: Duration,
    /// Readers may be locked out for so long.
    pub readers_wait: Option<Duration>,
}

impl Allowed {
    /// None where it was to be made in hours that are over.
    pub fn of(step: &Step, mode: Mode, within: Duration) -> Option<Self> {
        let policy = &step.policy;
        let limit = policy.plain_limit.as_duration();
        let mut allowed = Self {
            mode,
            within,
            lock_timeout: policy.lock_timeout.as_duration(),
            readers_wait: None,
        };
        // of what holds nothing there is nothing to read
        if mode == Mode::Concurrently || !step.seen.is_populated {
            return Some(allowed);
        }
        let (now, zone) = (Utc::now() + step.ahead, policy.time_zone);
        let hours = |at| policy.plain_between.iter().find(|hours| hours.contains(at, zone));
        match (hours(now), hours(step.planned_at)) {
            (Some(hours), _) => {
                let end = hours
                    .end_after(now, zone)
                    .and_then(|end| (end - now).to_std().ok());
                allowed.within = end.map_or(within, |left| within.min(left.max(limit)));
            }
            (None, Some(_)) if within > limit => return None,
            // nobody was seen to read it: whoever comes all the same does not wait longer than readers ever do
            _ => allowed.readers_wait = Some(limit),
        }
        // the time of waiting is part of the time that the server gives it
        allowed.lock_timeout = allowed.lock_timeout.min(allowed.within / 4);
        Some(allowed)
    }
}
