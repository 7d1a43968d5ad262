//! The bound on bytes in flight: readers wait here while the sinks are slow.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::http::Cancel;

/// A number of bytes that readers share.
pub(super) struct Budget {
    capacity: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

impl Budget {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, used: Mutex::new(0), freed: Condvar::new() }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits until `bytes` fit. A chunk larger than the whole budget passes alone. False if the run ends meanwhile.
    pub(super) fn take(&self, bytes: usize, cancel: &Cancel) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && *used + bytes > self.capacity {
            if cancel.is_cancelled() {
                return false;
            }
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        true
    }

    /// Gives bytes back.
    pub(super) fn give(&self, bytes: usize) {
        self.exchange(bytes, 0);
    }

    /// Gives bytes back for those that they have become, without waiting: these are there already.
    pub(super) fn exchange(&self, bytes: usize, become_bytes: usize) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(bytes) + become_bytes;
        self.freed.notify_all();
    }

    /// Wakes everyone who waits, so that they see that the run ends.
    pub(super) fn wake(&self) {
        let _used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        self.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_reader_waits_until_bytes_are_given_back() {
        let budget = Arc::new(Budget::new(10));
        let cancel = Cancel::new();
        assert!(budget.take(8, &cancel));
        let waiter = {
            let (budget, cancel) = (budget.clone(), cancel.clone());
            std::thread::spawn(move || budget.take(5, &cancel))
        };
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        budget.give(8);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn what_a_chunk_has_become_counts_and_waits_for_nobody() {
        let budget = Budget::new(10);
        let cancel = Cancel::new();
        assert!(budget.take(4, &cancel));
        budget.exchange(4, 20);
        cancel.cancel();
        assert!(!budget.take(1, &cancel), "there is no room");
        budget.give(20);
        assert!(budget.take(10, &cancel));
    }

    #[test]
    fn a_chunk_larger_than_the_budget_passes_alone() {
        let budget = Budget::new(10);
        assert!(budget.take(100, &Cancel::new()));
    }
}
