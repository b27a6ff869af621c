//! What of the wait for an answer is the way there and back: it costs the server nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The shortest wait for an answer of a host: hardly longer than the way.
#[derive(Debug)]
pub struct RoundTrip(AtomicU64);

impl Default for RoundTrip {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl RoundTrip {
    /// What the server had to do with an answer that was waited for so long.
    pub fn without(&self, waited: Duration) -> Duration {
        let nanoseconds = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let shortest = self.0.fetch_min(nanoseconds, Ordering::Relaxed).min(nanoseconds);
        waited.saturating_sub(Duration::from_nanos(shortest))
    }

    /// What the server had to do for something that took several ways there and back.
    pub fn without_several(&self, waited: Duration, round_trips: u32) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            // not known yet: rather too much than too little
            u64::MAX => waited,
            shortest => waited.saturating_sub(Duration::from_nanos(shortest) * round_trips),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_the_shortest_wait() {
        let way = RoundTrip::default();
        let milliseconds = Duration::from_millis;
        assert_eq!(way.without_several(milliseconds(90), 4), milliseconds(90));
        assert_eq!(way.without(milliseconds(25)), milliseconds(0));
        assert_eq!(way.without(milliseconds(20)), milliseconds(0));
        assert_eq!(way.without(milliseconds(120)), milliseconds(100));
        assert_eq!(way.without_several(milliseconds(90), 4), milliseconds(10));
        assert_eq!(way.without_several(milliseconds(50), 4), milliseconds(0));
    }
}
