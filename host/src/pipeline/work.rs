//! The queue of splits that wait to be read: the oldest first, those that failed after their pause.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::now_ms;
use crate::claims::{LONGEST_WAIT, is_due};
use crate::clock::real;
use crate::http::Cancel;
use crate::ledger::PendingSplit;

/// A stream that can't be read is tried again after this time: a permission that somebody grants takes minutes to arrive.
pub(super) const HELD_MS: u64 = 300_000;
const HELD: Duration = Duration::from_millis(HELD_MS);

/// A split's place in the queue: arrival, stream, id.
type Place = (u64, String, String);

#[derive(Default)]
struct Splits {
    waiting: BTreeMap<Place, PendingSplit>,
    /// Being read now: stream and id. With a split that was listed anew meanwhile, in another form.
    taken: HashMap<(String, String), Option<PendingSplit>>,
    /// Streams that can't be read until somebody mends something: until when, in milliseconds since 1970. After that, one
    /// split at a time finds out.
    held: HashMap<String, u64>,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    splits: Mutex<Splits>,
    changed: Condvar,
}

impl Queue {
    /// Adds a split, in place of one of the same id: of one that is being read, once that has failed.
    pub(super) fn add(&self, pending: PendingSplit) {
        let mut splits = self.lock();
        let name = (pending.split.stream.clone(), pending.split.id.clone());
        match splits.taken.get_mut(&name) {
            Some(renewed) => *renewed = Some(pending),
            None => {
                splits.waiting.insert((pending.split.arrival, name.0, name.1), pending);
                self.changed.notify_all();
            }
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
                .find(|((_, stream, _), pending)| {
                    is_due(pending.not_before, now, LONGEST_WAIT)
                        && streams.contains(stream)
                        && splits.held.get(stream).is_none_or(|until| is_due(*until, now, HELD))
                })
                .map(|(place, _)| place.clone());
            if let Some(place) = place
                && let Some(pending) = splits.waiting.remove(&place)
            {
                // The others of a held stream wait for what becomes of this one.
                if let Some(until) = splits.held.get_mut(&place.1) {
                    *until = now + HELD_MS;
                }
                splits.taken.insert((place.1, place.2), None);
                return Some(pending);
            }
            // The pause of one that waits may end without anyone ringing; without any, an idle run is to cost nothing.
            let wait = if splits.waiting.is_empty() { 30_000 } else { 250 };
            splits = self
                .changed
                .wait_timeout(splits, real(Duration::from_millis(wait)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Puts a split back after a failure.
    pub(super) fn put_back(&self, pending: PendingSplit) {
        let renewed = self.lock().taken.remove(&(pending.split.stream.clone(), pending.split.id.clone()));
        self.add(renewed.flatten().unwrap_or(pending));
    }

    /// A stream can't be read for now: one split at a time goes on finding out whether it can.
    pub(super) fn hold(&self, stream: &str) {
        self.lock().held.insert(stream.to_owned(), now_ms() + HELD_MS);
    }

    /// Ends a hold. Whether there was one.
    pub(super) fn release(&self, stream: &str) -> bool {
        let held = self.lock().held.remove(stream).is_some();
        if held {
            self.changed.notify_all();
        }
        held
    }

    /// Whether a stream can't be read for now.
    pub(super) fn is_held(&self, stream: &str) -> bool {
        self.lock().held.contains_key(stream)
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
        let taken = splits.taken.keys().filter(|(name, _)| name == stream).count();
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
