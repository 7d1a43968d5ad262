//! What happened on the way out, in numbers.
//!
//! Invariant: every request that was handed in is counted once as denied, failed or answered.

use std::collections::BTreeMap;

use super::error::ErrorKind;
use super::policy::DenyReason;
use super::quota::QuotaStats;

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
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub stats: Stats,
}
