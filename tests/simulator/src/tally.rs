//! What was asked and served: counters for each stream, the request log, and the rules that the client broke.
//!
//! Invariant: a record counts as served when the last byte of its body has been handed to the connection, not before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::streams::STREAMS;

/// Requests that the log keeps; later ones are counted by stream only.
const LOG_LIMIT: usize = 250_000;

/// What was served of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Array elements in complete bodies, every serving counted, broken elements included.
    pub records: u64,
    /// Different byte strings among them.
    pub distinct: u64,
    /// Bytes of complete bodies before compression, listings and error answers included.
    pub bytes: u64,
    /// Requests that concerned the stream.
    pub requests: u64,
}

/// What went over the tenant's connections, headers, compression and TLS as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were accepted.
    pub connections: u64,
    /// Bytes that the tenant sent.
    pub sent: u64,
    /// Bytes that the tenant received.
    pub received: u64,
}

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// Milliseconds since the simulator was started.
    pub millis: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query as they came in.
    pub path_and_query: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Error code of the answer, such as `AF20022`; empty for none.
    pub code: String,
    /// The stream that the request concerned, if it is one.
    pub stream: Option<String>,
}

#[derive(Default)]
struct Counters {
    records: AtomicU64,
    distinct: AtomicU64,
    bytes: AtomicU64,
    requests: AtomicU64,
    /// One bit for each entry, set when it was served.
    seen: Vec<AtomicU64>,
}

pub(crate) struct Tally {
    /// Connections, and bytes over them, as [`Traffic`] has them.
    pub(crate) connections: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    streams: Vec<Counters>,
    log: Mutex<Vec<RequestLine>>,
    /// The request, and the rule that it broke.
    violations: Mutex<Vec<(String, String)>>,
}

/// A lock whose holder cannot leave its data half-changed, so that poisoning does not matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// `entries` is the number of different array elements of each stream.
    pub(crate) fn new(entries: impl Iterator<Item = usize>) -> Self {
        let counters = |entries: usize| Counters {
            seen: (0..entries.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            ..Counters::default()
        };
        Self {
            connections: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            streams: entries.map(counters).collect(),
            log: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// Notes that a complete body went out with these entries of a stream in it.
    pub(crate) fn complete(&self, stream: usize, entries: &[usize], bytes: usize) {
        let Some(counters) = self.streams.get(stream) else { return };
        counters.records.fetch_add(entries.len() as u64, Relaxed);
        counters.bytes.fetch_add(bytes as u64, Relaxed);
        for entry in entries {
            let bit = 1 << (entry % 64);
            if counters.seen.get(entry / 64).is_some_and(|word| word.fetch_or(bit, Relaxed) & bit == 0) {
                counters.distinct.fetch_add(1, Relaxed);
            }
        }
    }

    /// Whether a complete body with this entry in it has gone out.
    pub(crate) fn was_served(&self, stream: usize, entry: usize) -> bool {
        let word = self.streams.get(stream).and_then(|counters| counters.seen.get(entry / 64));
        word.is_some_and(|word| word.load(Relaxed) & (1 << (entry % 64)) != 0)
    }

    pub(crate) fn request(&self, stream: Option<usize>, line: RequestLine) {
        if let Some(counters) = stream.and_then(|stream| self.streams.get(stream)) {
            counters.requests.fetch_add(1, Relaxed);
        }
        let mut log = lock(&self.log);
        if log.len() < LOG_LIMIT {
            log.push(line);
        }
    }

    pub(crate) fn violation(&self, request: String, rule: &str) {
        let mut violations = lock(&self.violations);
        if violations.len() < LOG_LIMIT {
            violations.push((request, rule.to_owned()));
        }
    }

    pub(crate) fn served(&self) -> BTreeMap<String, Served> {
        let one = |counters: &Counters| Served {
            records: counters.records.load(Relaxed),
            distinct: counters.distinct.load(Relaxed),
            bytes: counters.bytes.load(Relaxed),
            requests: counters.requests.load(Relaxed),
        };
        STREAMS.iter().zip(&self.streams).map(|(stream, counters)| (stream.name.to_owned(), one(counters))).collect()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.connections.load(Relaxed),
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
        }
    }

    pub(crate) fn requests(&self) -> Vec<RequestLine> {
        lock(&self.log).clone()
    }

    /// Each request that broke a rule, and the rule.
    pub(crate) fn violations(&self) -> Vec<(String, String)> {
        lock(&self.violations).clone()
    }
}
