//! The queue of splits that wait to be read: the oldest first, those that failed after their pause.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::now_ms;
use crate::http::Cancel;
use crate::ledger::PendingSplit;

/// A split's place in the queue: arrival, stream, id.
type Place = (u64, String, String);

#[derive(Default)]
struct Splits {
    waiting: BTreeMap<Place, PendingSplit>,
    /// Being read now: stream and id.
    taken: HashSet<(String, String)>,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    splits: Mutex<Splits>,
    changed: Condvar,
}

impl Queue {
    /// Adds a split, unless it waits or is being read already.
    pub(super) fn add(&self, pending: PendingSplit) {
        let mut splits = self.lock();
        let name = (pending.split.stream.clone(), pending.split.id.clone());
        if !splits.taken.contains(&name) {
            splits.waiting.entry((pending.split.arrival, name.0, name.1)).or_insert(pending);
            self.changed.notify_all();
        }
    }

    /// The next split of one of the streams that may be read now. Waits for one; none when the run ends.
    pub(super) fn take(&self, streams: &[String], cancel: &Cancel) -> Option<PendingSplit> {
        let mut splits = self.lock();
        loop {
            if cancel.is_cancelled() {
                return None;
            }
            let now = now_ms();
            let place = splits
                .waiting
                .iter()
                .find(|((_, stream, _), pending)| pending.not_before <= now && streams.contains(stream))
                .map(|(place, _)| place.clone());
            if let Some(place) = place
                && let Some(pending) = splits.waiting.remove(&place)
            {
                splits.taken.insert((place.1, place.2));
                return Some(pending);
            }
            // A pause may have ended without anyone ringing.
            splits =
                self.changed.wait_timeout(splits, Duration::from_millis(250)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Puts a split back after a failure.
    pub(super) fn put_back(&self, pending: PendingSplit) {
        self.lock().taken.remove(&(pending.split.stream.clone(), pending.split.id.clone()));
        self.add(pending);
    }

    /// A split is read to its end, or lost.
    pub(super) fn finished(&self, stream: &str, id: &str) {
        self.lock().taken.remove(&(stream.to_owned(), id.to_owned()));
        self.changed.notify_all();
    }

    /// The splits of a stream that are not read to their end: their number, and the most failures in a row among them.
    pub(super) fn open(&self, stream: &str) -> Option<(usize, u32)> {
        let splits = self.lock();
        let waiting = splits.waiting.iter().filter(|((_, name, _), _)| name == stream);
        let (count, attempts) =
            waiting.fold((0, u32::MAX), |(count, attempts), (_, pending)| (count + 1, attempts.min(pending.attempts)));
        let taken = splits.taken.iter().filter(|(name, _)| name == stream).count();
        if taken > 0 {
            return Some((count + taken, 0));
        }
        (count > 0).then_some((count, attempts))
    }

    /// Wakes everyone who waits.
    pub(super) fn wake(&self) {
        let _splits = self.lock();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Splits> {
        self.splits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
