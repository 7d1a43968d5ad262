//! How each stream stands: for the summary, and to know when a run has caught up.
//!
//! The invariant: a stream stays blocked until that which was blocked was seen to work. A listing says nothing of the reading,
//! and a reading nothing of the listing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Summary;
use super::work::{HeldPieces, Queue};
use crate::ledger::Counts;

/// After so many failures in a row, which is after a minute, a run that should end gives a listing up …
pub(super) const PATIENCE: u32 = 6;
/// … and after so many, which is after some minutes, a split.
pub(super) const SPLIT_PATIENCE: u32 = 8;

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

/// The two things that are done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Listing,
    Reading,
}

/// A stream's state and its latest trouble.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStatus {
    /// How the stream stands.
    pub state: StreamState,
    /// Splits that are not read to their end.
    pub open_splits: usize,
    /// Those among them of which the service says that they aren't there.
    pub held: Option<HeldPieces>,
    /// The last failure that has not been followed by a success.
    pub trouble: Option<String>,
    /// Whether a split is unread since the plugin couldn't be loaded in another form.
    pub plugin_not_loaded: bool,
    /// When the last chunk was committed, since the start of the run.
    pub last_commit: Duration,
    /// Stretches that were declared gaps in this run.
    pub gaps: usize,
    /// How many different things the plugin didn't know in this run's records.
    pub unknown: usize,
    /// Whether the last discovery found everything listed.
    caught_up: bool,
    /// What blocks the listing, and what the reading.
    listing_blocked: Option<String>,
    reading_blocked: Option<String>,
    /// Failures of discovery in a row.
    failures: u32,
    /// Whether it had caught up at some moment of this run, with everything read.
    complete: bool,
    counts: Counts,
}

impl StreamStatus {
    /// As it stands, with what the queue holds of it.
    fn as_it_stands(&self, stream: &str, queue: &Queue) -> Self {
        let open_splits = queue.open(stream);
        let state = match self.reading_blocked.as_ref().or(self.listing_blocked.as_ref()) {
            Some(reason) => StreamState::Blocked(reason.clone()),
            None if self.caught_up => StreamState::CaughtUp,
            None => StreamState::Behind,
        };
        let plugin_not_loaded = self.plugin_not_loaded && open_splits > 0;
        Self { state, open_splits, held: queue.held_pieces(stream), plugin_not_loaded, ..self.clone() }
    }
}

/// The status of all streams.
///
/// A run that should end waits until each stream has caught up once: what becomes due in one while another still works is for
/// the next run, or a slow service would be run after for ever. Once they are all settled, that is how they stand.
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
            status.listing_blocked = None;
            status.caught_up = !more;
        });
    }

    /// A split could be read, or some of it.
    pub(super) fn read(&self, stream: &str) {
        self.with_unsettled(stream, |status| status.reading_blocked = None);
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

    /// The stream can't go on by itself.
    pub(super) fn blocked(&self, stream: &str, doing: Doing, reason: &str) {
        self.with_unsettled(stream, |status| match doing {
            Doing::Listing => status.listing_blocked = Some(reason.to_owned()),
            Doing::Reading => status.reading_blocked = Some(reason.to_owned()),
        });
    }

    /// A split is unread since the plugin couldn't be loaded in another form.
    pub(super) fn plugin_not_loaded(&self, stream: &str) {
        self.with_unsettled(stream, |status| status.plugin_not_loaded = true);
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
        for (stream, status) in streams.iter_mut() {
            let free = status.reading_blocked.is_none() && status.listing_blocked.is_none();
            status.complete |= free && status.caught_up && queue.open(stream) == 0;
        }
        let settled = streams.iter().all(|(stream, status)| {
            if status.complete || status.reading_blocked.is_some() {
                true
            } else if status.listing_blocked.is_some() || status.caught_up {
                // What was listed before can be read all the same.
                queue.is_settled(stream)
            } else {
                // One that waits for its pieces isn't listed; if all of them are given up, it has come as far as it can.
                status.failures >= PATIENCE || (queue.is_full(stream) && queue.is_settled(stream))
            }
        });
        if settled {
            for (stream, status) in streams.iter_mut() {
                *status = status.as_it_stands(stream, queue);
                if status.complete && !matches!(status.state, StreamState::Blocked(_)) {
                    (status.state, status.open_splits, status.held) = (StreamState::CaughtUp, 0, None);
                    (status.trouble, status.plugin_not_loaded) = (None, false);
                }
            }
            self.settled.store(true, Ordering::Relaxed);
        }
        settled
    }

    pub(super) fn summary(&self, queue: &Queue) -> Summary {
        let settled = self.settled.load(Ordering::Relaxed);
        let streams = self.lock();
        let stands = |(stream, status): (&String, &StreamStatus)| {
            let status = if settled { status.clone() } else { status.as_it_stands(stream, queue) };
            (stream.clone(), (status.counts, status))
        };
        streams.iter().map(stands).collect()
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

    #[track_caller]
    fn assert_has_caught_up(board: &Board, queue: &Queue) {
        let (_, status) = &board.summary(queue)["a"];
        assert_eq!((&status.state, &status.trouble), (&StreamState::CaughtUp, &None));
    }

    #[test]
    fn what_comes_after_all_have_settled_is_for_the_next_run() {
        let board = Board::new(&["a".to_owned(), "b".to_owned()]);
        let queue = Queue::new(1);
        board.listed("a", false);
        assert!(!board.all_settled(&queue), "b hasn't caught up");
        board.blocked("b", Doing::Listing, "no permission");
        assert!(board.all_settled(&queue));
        board.listed("a", true);
        board.failed("a", "too late");
        assert_has_caught_up(&board, &queue);
    }

    #[test]
    fn a_stream_that_has_caught_up_once_is_not_waited_for_again() {
        let board = Board::new(&["a".to_owned(), "b".to_owned()]);
        let queue = Queue::new(1);
        board.listed("a", false);
        assert!(!board.all_settled(&queue), "b hasn't caught up");
        board.listed("a", true);
        board.failed("a", "busy");
        board.listed("b", false);
        assert!(board.all_settled(&queue), "a had");
        assert_has_caught_up(&board, &queue);
    }

    #[test]
    fn blocked_stays_blocked_until_that_works_which_was_blocked() {
        let board = Board::new(&["a".to_owned()]);
        let queue = Queue::new(4);
        let state = || board.summary(&queue)["a"].1.state.clone();
        board.blocked("a", Doing::Reading, "refused");
        board.listed("a", true);
        assert_eq!(state(), StreamState::Blocked("refused".to_owned()), "a listing under way says nothing of it");
        assert!(board.all_settled(&queue));

        let board = Board::new(&["a".to_owned()]);
        let state = || board.summary(&queue)["a"].1.state.clone();
        board.blocked("a", Doing::Listing, "refused");
        board.read("a");
        assert_eq!(state(), StreamState::Blocked("refused".to_owned()));
        board.listed("a", false);
        assert_eq!(state(), StreamState::CaughtUp);
    }
}
