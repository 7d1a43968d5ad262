//! What a guest may use: memory, tables, handles, and time without progress.
//!
//! Time is measured while the guest computes, and not while the host works for it. Two ways enforce it. A component
//! that somebody brings along is compiled with epoch checks, and trips over its deadline. The built-in component is
//! compiled without them, since they cost up to two fifths on scanning bytes; a watchdog thread looks at it and ends
//! the process, which the ledger makes safe.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use wasmtime::{StoreLimits, StoreLimitsBuilder};

/// Bounds for every instance.
#[derive(Debug, Clone, Copy)]
pub struct GuestLimits {
    /// Bytes of linear memory.
    pub memory: usize,
    /// How long a guest may compute without calling the host or returning.
    pub time: Duration,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self { memory: 256 << 20, time: Duration::from_secs(60) }
    }
}

impl GuestLimits {
    pub(super) fn store(&self) -> StoreLimits {
        StoreLimitsBuilder::new()
            .memory_size(self.memory)
            .table_elements(100_000)
            .instances(32)
            .tables(32)
            .memories(8)
            .trap_on_grow_failure(true)
            .build()
    }
}

/// Since when a guest computes.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Milliseconds since [`start`] plus one; 0 while the guest isn't running.
    since: AtomicU64,
}

impl Activity {
    /// The guest begins, or goes on after the host did something for it.
    pub(super) fn enter(&self) {
        self.since.store(now().saturating_add(1), Ordering::Relaxed);
    }

    /// The guest has returned or called the host.
    pub(super) fn leave(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// For how long the guest has computed without progress.
    pub(super) fn busy(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(now().saturating_sub(since - 1)),
        }
    }
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn now() -> u64 {
    u64::try_from(start().elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The exit code of a process that the watchdog ended.
pub const WATCHDOG_EXIT_CODE: i32 = 70;

/// Looks after the guests that run without epoch checks.
#[derive(Debug)]
pub(super) struct Watchdog {
    guests: Arc<Mutex<Vec<Weak<Activity>>>>,
}

impl Watchdog {
    /// Starts the thread that ends the process when a guest computes for longer than `limit`.
    pub(super) fn start(limit: Duration) -> Self {
        let guests: Arc<Mutex<Vec<Weak<Activity>>>> = Arc::default();
        let watched = Arc::downgrade(&guests);
        std::thread::spawn(move || {
            while let Some(guests) = watched.upgrade() {
                let mut guests = guests.lock().unwrap_or_else(PoisonError::into_inner);
                guests.retain(|guest| match guest.upgrade() {
                    None => false,
                    Some(activity) => {
                        if activity.busy() > limit {
                            tracing::error!(
                                seconds = limit.as_secs(),
                                "The plugin computed for longer than guest_seconds without any progress. The process ends \
                                 now; start it again and it goes on from its last commit. If it happens again at the \
                                 same place, report it as a fault of the plugin."
                            );
                            std::process::exit(WATCHDOG_EXIT_CODE);
                        }
                        true
                    }
                });
                drop(guests);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self { guests }
    }

    /// Adds a guest to those looked after.
    pub(super) fn watch(&self, activity: &Arc<Activity>) {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(activity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_inside_the_guest_counts() {
        let activity = Activity::default();
        assert_eq!(activity.busy(), Duration::ZERO);
        activity.enter();
        std::thread::sleep(Duration::from_millis(5));
        assert!(activity.busy() >= Duration::from_millis(4));
        activity.leave();
        assert_eq!(activity.busy(), Duration::ZERO);
    }
}
