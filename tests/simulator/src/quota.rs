//! Request quotas: so many requests in a sliding period.
//!
//! Invariant: a refused request is not counted, so that a client that waits as told gets on.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::options::Quotas;
use crate::tally::lock;

pub(crate) struct Window {
    limit: u32,
    period: Duration,
    granted: Mutex<VecDeque<Instant>>,
}

impl Window {
    fn new(limit: u32, period: Duration) -> Self {
        Self { limit, period, granted: Mutex::default() }
    }

    /// Takes one request, or says after which time the next is granted.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        if self.limit == u32::MAX {
            return Ok(());
        }
        let mut granted = lock(&self.granted);
        while granted.front().is_some_and(|first| now.duration_since(*first) >= self.period) {
            granted.pop_front();
        }
        if granted.len() < self.limit as usize {
            granted.push_back(now);
            return Ok(());
        }
        Err(granted.front().map_or(self.period, |first| self.period.saturating_sub(now.duration_since(*first))))
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
    pub(crate) fn new(quotas: Quotas) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            management: Window::new(quotas.management_per_minute, minute),
            shared: Window::new(quotas.management_per_minute, minute),
            reports: Window::new(quotas.reports_per_10_seconds, Duration::from_secs(10)),
            alerts: Window::new(quotas.alerts_per_minute, minute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let window = Window::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(window.take(at(0)), Ok(()));
        assert_eq!(window.take(at(4)), Ok(()));
        assert_eq!(window.take(at(6)), Err(Duration::from_secs(4)));
        assert_eq!(window.take(at(10)), Ok(()));
        assert_eq!(window.take(at(11)), Err(Duration::from_secs(3)));
    }
}
