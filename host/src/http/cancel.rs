//! A signal that the host is stopping, which every wait in the way out listens to.
//!
//! Invariant: once cancelled, always cancelled; clones share the signal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::error::Error;
use crate::clock;

const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A shared, one-way stop signal.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    set: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Cancel {
    /// A signal that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the signal and wakes everyone who waits.
    pub fn cancel(&self) {
        // Set under the lock, so that nobody misses the bell between looking and waiting.
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.set.store(true, Ordering::SeqCst);
        drop(guard);
        self.0.bell.notify_all();
    }

    /// Whether the signal was set.
    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// An error of kind `cancelled` if the signal was set.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Waits for `time`, or fails as soon as the signal is set.
    pub fn wait(&self, time: Duration) -> Result<(), Error> {
        // A time that the clock can't reach is as good as a very long one.
        let end = clock::instant() + time.min(LONGEST_WAIT);
        let mut guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            self.check()?;
            let left = end.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return Ok(());
            }
            guard = self.0.bell.wait_timeout(guard, clock::real(left)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::http::ErrorKind;

    #[test]
    fn a_wait_ends_at_once_when_cancelled() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        let start = Instant::now();
        let waiter = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        cancel.cancel();
        assert_eq!(waiter.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(cancel.wait(Duration::ZERO).is_err(), "stays cancelled");
    }

    #[test]
    fn a_wait_lasts_its_time() {
        let start = Instant::now();
        Cancel::new().wait(Duration::from_millis(30)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(30));
    }
}
