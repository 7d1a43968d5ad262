//! How each stream stands: for the summary, and to know when a run has caught up.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Summary;
use super::work::Queue;
use crate::ledger::Counts;

/// After so many failures in a row, a run that should end gives a split or a listing up.
pub(super) const PATIENCE: u32 = 5;

/// How a stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StreamState {
    /// There is more to list or to read.
    #[default]
    Behind,
    /// Everything there was has been listed.
    CaughtUp,
    /// It can't go on until somebody mends what the sentence says; it is tried again slowly.
    Blocked(String),
}

/// A stream's state and its latest trouble.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStatus {
    /// How the stream stands.
    pub state: StreamState,
    /// Splits that are not read to their end.
    pub open_splits: usize,
    /// The last failure that has not been followed by a success.
    pub trouble: Option<String>,
    /// When the last chunk was committed, since the start of the run.
    pub last_commit: Duration,
    /// Failures of discovery in a row.
    failures: u32,
    counts: Counts,
}

/// The status of all streams.
pub(super) struct Board {
    started: Instant,
    streams: Mutex<BTreeMap<String, StreamStatus>>,
}

impl Board {
    pub(super) fn new(streams: &[String]) -> Self {
        let streams = streams.iter().map(|stream| (stream.clone(), StreamStatus::default())).collect();
        Self { started: Instant::now(), streams: Mutex::new(streams) }
    }

    /// A discovery succeeded.
    pub(super) fn listed(&self, stream: &str, more: bool) {
        self.with(stream, |status| {
            status.failures = 0;
            status.trouble = None;
            status.state = if more { StreamState::Behind } else { StreamState::CaughtUp };
        });
    }

    /// Something failed that is tried again.
    pub(super) fn failed(&self, stream: &str, reason: &str) {
        self.with(stream, |status| {
            status.failures += 1;
            status.trouble = Some(reason.to_owned());
        });
    }

    /// The stream can't go on by itself. Whether this is news.
    pub(super) fn blocked(&self, stream: &str, reason: &str) -> bool {
        self.with(stream, |status| {
            let state = StreamState::Blocked(reason.to_owned());
            let news = status.state != state;
            status.state = state;
            news
        })
        .unwrap_or(false)
    }

    /// Something was committed.
    pub(super) fn count(&self, stream: &str, counts: &Counts) {
        let now = self.started.elapsed();
        self.with(stream, |status| {
            status.counts.add(counts);
            status.last_commit = now;
        });
    }

    /// Whether every stream has caught up, or can't go on without help.
    pub(super) fn all_settled(&self, queue: &Queue) -> bool {
        self.lock().iter().all(|(stream, status)| match &status.state {
            StreamState::Blocked(_) => true,
            StreamState::CaughtUp => queue.open(stream).is_none_or(|(_, attempts)| attempts >= PATIENCE),
            StreamState::Behind => status.failures >= PATIENCE,
        })
    }

    pub(super) fn summary(&self, queue: &Queue) -> Summary {
        self.lock()
            .iter()
            .map(|(stream, status)| {
                let mut status = status.clone();
                status.open_splits = queue.open(stream).map_or(0, |(count, _)| count);
                (stream.clone(), (status.counts, status))
            })
            .collect()
    }

    fn with<T>(&self, stream: &str, change: impl FnOnce(&mut StreamStatus) -> T) -> Option<T> {
        self.lock().get_mut(stream).map(change)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, StreamStatus>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
