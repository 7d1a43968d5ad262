//! The clock of token lifetimes, as a seam for tests.
//!
//! Invariant: it never goes back; the wall clock plays no part in when a token is renewed.

use std::time::{Duration, Instant};

use crate::http::{Cancel, Error};

/// Tells the time and lets it pass.
pub(super) trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Instant;

    /// Waits, or fails as soon as `cancel` is set.
    fn wait(&self, time: Duration, cancel: &Cancel) -> Result<(), Error>;
}

/// The host's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Instant {
        crate::clock::instant()
    }

    fn wait(&self, time: Duration, cancel: &Cancel) -> Result<(), Error> {
        cancel.wait(time)
    }
}
