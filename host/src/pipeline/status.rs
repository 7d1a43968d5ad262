//! How each stream stands: for the summary, and to know when a run has caught up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Summary;
use super::work::Queue;
use crate::ledger::Counts;

/// After so many failures in a row, which is after a minute, a run that should end gives a listing up …
pub(super) const PATIENCE: u32 = 6;
/// … and after so many, which is after some minutes, a split.
const SPLIT_PATIENCE: u32 = 8;

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
    /// Stretches that were declared gaps in this run.
    pub gaps: usize,
    /// How many different things the plugin didn't know in this run's records.
    pub unknown: usize,
    /// The code of what blocks or last blocked it.
    blocked_by: String,
    /// Failures of discovery in a row.
    failures: u32,
    counts: Counts,
}

/// The status of all streams.
///
/// Once a run that should end has found them all settled, that is how they stand: what another poll finds while the threads
/// end is for the next run.
pub(super) struct Board {
    started: Instant,
    settled: AtomicBool,
    streams: Mutex<BTreeMap<String, StreamStatus>>,
}

impl Board {
    pub(super) fn new(streams: &[String]) -> Self {
        let streams = streams.iter().map(|stream| (stream.clone(), StreamStatus::default())).collect();
        Self { started: Instant::now(), settled: AtomicBool::new(false), streams: Mutex::new(streams) }
    }

    /// A discovery succeeded.
    pub(super) fn listed(&self, stream: &str, more: bool) {
        self.with_unsettled(stream, |status| {
            status.failures = 0;
            status.trouble = None;
            status.state = if more { StreamState::Behind } else { StreamState::CaughtUp };
        });
    }

    /// Stretches were declared gaps.
    pub(super) fn gaps(&self, stream: &str, gaps: usize) {
        self.with(stream, |status| status.gaps += gaps);
    }

    /// So many different things were unknown so far.
    pub(super) fn unknown(&self, stream: &str, things: usize) {
        self.with(stream, |status| status.unknown = things);
    }

    /// Something failed that is tried again.
    pub(super) fn failed(&self, stream: &str, reason: &str) {
        self.with_unsettled(stream, |status| {
            status.failures += 1;
            status.trouble = Some(reason.to_owned());
        });
    }

    /// The stream can't go on by itself. Whether this is news: two sentences of one code are the same, though each may
    /// name its own request.
    pub(super) fn blocked(&self, stream: &str, code: &str, reason: &str) -> bool {
        self.with_unsettled(stream, |status| {
            let known = matches!(status.state, StreamState::Blocked(_)) && status.blocked_by == code;
            status.state = StreamState::Blocked(reason.to_owned());
            code.clone_into(&mut status.blocked_by);
            !known
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
        let mut streams = self.lock();
        let settled = streams.iter().all(|(stream, status)| match &status.state {
            StreamState::Blocked(_) => true,
            StreamState::CaughtUp => queue.open(stream).is_none_or(|(_, attempts)| attempts >= SPLIT_PATIENCE),
            StreamState::Behind => status.failures >= PATIENCE,
        });
        if settled {
            for (stream, status) in streams.iter_mut() {
                status.open_splits = queue.open(stream).map_or(0, |(count, _)| count);
            }
            self.settled.store(true, Ordering::Relaxed);
        }
        settled
    }

    pub(super) fn summary(&self, queue: &Queue) -> Summary {
        self.lock()
            .iter()
            .map(|(stream, status)| {
                let mut status = status.clone();
                if !self.settled.load(Ordering::Relaxed) {
                    status.open_splits = queue.open(stream).map_or(0, |(count, _)| count);
                }
                (stream.clone(), (status.counts, status))
            })
            .collect()
    }

    fn with_unsettled<T>(&self, stream: &str, change: impl FnOnce(&mut StreamStatus) -> T) -> Option<T> {
        let mut streams = self.lock();
        // Looked at under the lock that it is set under.
        if self.settled.load(Ordering::Relaxed) { None } else { streams.get_mut(stream).map(change) }
    }

    fn with<T>(&self, stream: &str, change: impl FnOnce(&mut StreamStatus) -> T) -> Option<T> {
        self.lock().get_mut(stream).map(change)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, StreamStatus>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_all_have_settled_is_for_the_next_run() {
        let board = Board::new(&["a".to_owned(), "b".to_owned()]);
        let queue = Queue::default();
        board.listed("a", false);
        assert!(!board.all_settled(&queue), "b hasn't caught up");
        board.blocked("b", "forbidden", "no permission");
        assert!(board.all_settled(&queue));
        board.listed("a", true);
        board.failed("a", "too late");
        let (_, status) = &board.summary(&queue)["a"];
        assert_eq!((&status.state, &status.trouble), (&StreamState::CaughtUp, &None));
    }
}
