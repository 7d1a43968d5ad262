//! Request quotas: so many requests in a sliding period.
//!
//! Invariant: a refused request is not counted, so that a client that waits as told gets on.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::{Clock, Ticks, ticks};
use crate::options::Quotas;
use crate::tally::lock;

/// What a machine may delay a request on its way here, for real. At a greater speed of the clock it counts for more, and a
/// quota's period is shorter by it: a client that keeps the quota exactly is not accused.
const JITTER: Duration = Duration::from_millis(40);

pub(crate) struct Window {
    limit: u32,
    period: Ticks,
    granted: Mutex<VecDeque<Ticks>>,
}

impl Window {
    fn new(limit: u32, period: Duration) -> Self {
        Self { limit, period: ticks(period), granted: Mutex::default() }
    }

    /// Takes one request, or says after which time the next is granted.
    pub(crate) fn take(&self, now: Ticks) -> Result<(), Duration> {
        if self.limit == u32::MAX {
            return Ok(());
        }
        let mut granted = lock(&self.granted);
        while granted.front().is_some_and(|first| now - *first >= self.period) {
            granted.pop_front();
        }
        if granted.len() < self.limit as usize {
            granted.push_back(now);
            return Ok(());
        }
        let wait = granted.front().map_or(self.period, |first| self.period - (now - *first));
        Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(0).saturating_mul(100)))
    }
}

/// The quotas of all APIs.
pub(crate) struct Windows {
    pub(crate) management: Window,
    /// The pool of all clients that send no `PublisherIdentifier`.
    pub(crate) shared: Window,
    pub(crate) reports: Window,
    pub(crate) alerts: Window,
}

impl Windows {
    /// Quotas for a clock of this speed.
    pub(crate) fn new(quotas: Quotas, clock: &Clock) -> Self {
        let jitter = if clock.is_real() { Duration::ZERO } else { clock.of_real(JITTER) };
        let window = |limit, seconds| Window::new(limit, Duration::from_secs(seconds).saturating_sub(jitter));
        Self {
            management: window(quotas.management_per_minute, 60),
            shared: window(quotas.management_per_minute, 60),
            reports: window(quotas.reports_per_10_seconds, 10),
            alerts: window(quotas.alerts_per_minute, 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TICKS_PER_SECOND;

    #[test]
    fn the_window_slides() {
        let window = Window::new(2, Duration::from_secs(10));
        let at = |seconds: i64| 17_000_000_000_000_000 + seconds * TICKS_PER_SECOND;
        assert_eq!(window.take(at(0)), Ok(()));
        assert_eq!(window.take(at(4)), Ok(()));
        assert_eq!(window.take(at(6)), Err(Duration::from_secs(4)));
        assert_eq!(window.take(at(10)), Ok(()));
        assert_eq!(window.take(at(11)), Err(Duration::from_secs(3)));
    }
}
