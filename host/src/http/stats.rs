//! What happened on the way out, in numbers.
//!
//! Invariant: every request that was handed in is counted once as denied, failed or answered.

use std::collections::{BTreeMap, VecDeque};

use super::error::ErrorKind;
use super::policy::DenyReason;
use super::quota::QuotaStats;

/// How many measurements of the clock are remembered.
const CLOCK_SAMPLES: usize = 31;

/// A snapshot of a client's counters. Everything but `quotas` counts from the start of the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests sent, repetitions after a renewed token included.
    pub requests: u64,
    /// Bytes of bodies sent.
    pub bytes_sent: u64,
    /// Bytes of bodies received, after decompression.
    pub bytes_received: u64,
    /// Answers by the first digit of their status, 1 to 5.
    pub answers: BTreeMap<u16, u64>,
    /// Failures other than denials, of the request or of its body.
    pub failures: BTreeMap<ErrorKind, u64>,
    /// Requests that the policy refused.
    pub denials: BTreeMap<DenyReason, u64>,
    /// Tokens that a service refused with 401.
    pub refused_tokens: u64,
    /// What happened at each quota.
    pub quotas: BTreeMap<String, QuotaStats>,
    /// By how many milliseconds the services' clocks are ahead of this machine's: the median of the last answers that
    /// had a `Date`.
    pub clock_skew_ms: Option<i64>,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub stats: Stats,
    clock: VecDeque<i64>,
}

impl Counters {
    pub(super) fn clock(&mut self, ahead_ms: i64) {
        if self.clock.len() == CLOCK_SAMPLES {
            self.clock.pop_front();
        }
        self.clock.push_back(ahead_ms);
    }

    pub(super) fn clock_skew_ms(&self) -> Option<i64> {
        let mut sorted: Vec<i64> = self.clock.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    pub(super) fn snapshot(&self) -> Stats {
        Stats { clock_skew_ms: self.clock_skew_ms(), ..self.stats.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_median_of_the_last_answers() {
        let mut counters = Counters::default();
        assert_eq!(counters.snapshot().clock_skew_ms, None);
        for ahead in [5_000, -100, 0, 100, 90_000] {
            counters.clock(ahead);
        }
        assert_eq!(counters.snapshot().clock_skew_ms, Some(100));
        for _ in 0..CLOCK_SAMPLES {
            counters.clock(7);
        }
        assert_eq!(counters.clock.len(), CLOCK_SAMPLES);
        assert_eq!(counters.snapshot().clock_skew_ms, Some(7));
    }
}
