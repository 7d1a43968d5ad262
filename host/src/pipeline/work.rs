//! The queue of splits that wait to be read: the oldest first, those that failed after their pause.
//!
//! The invariants: from `add` to `finished` a split is either waiting or taken, at every moment that anybody can look; no
//! stream has all readers, and one in which the plugin itself fails has one, more and more slowly.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::missing::HELD_AFTER;
use super::now_ms;
use super::reading::pause;
use super::status::SPLIT_PATIENCE;
use crate::claims::{LONGEST_WAIT, is_due, not_before};
use crate::clock::real;
use crate::http::Cancel;
use crate::ledger::{Claim, ClaimKind, PendingSplit};

/// A stream that can't be read is tried again after this time: a permission that somebody grants takes minutes to arrive.
pub(super) const HELD_MS: u64 = 300_000;
const HELD: Duration = Duration::from_millis(HELD_MS);

/// A split's place in the queue: arrival, stream, id.
type Place = (u64, String, String);

/// A split that waits.
struct Waiting {
    pending: PendingSplit,
    /// Whether it was tried in this run.
    tried: bool,
}

impl Waiting {
    /// The claim that it isn't there.
    fn missing(&self) -> Option<&Claim> {
        self.pending.claim.as_ref().filter(|claim| claim.kind == ClaimKind::Missing)
    }

    fn answers(&self) -> u32 {
        self.missing().map_or(0, |claim| claim.answers)
    }

    /// Whether a run that should end doesn't wait for it any more: it failed for long enough, and in this run as well if it
    /// was due.
    fn is_given_up(&self, now: u64) -> bool {
        (self.tried || !is_due(self.pending.not_before, now, LONGEST_WAIT))
            && (self.pending.attempts >= SPLIT_PATIENCE || self.answers() >= HELD_AFTER)
    }
}

/// Why a stream is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It can't be read until somebody mends something.
    Blocked,
    /// The service says of every piece that it isn't there.
    Missing,
}

/// A stream that is held: one split at a time finds out whether it can be read.
struct Hold {
    /// When the next one does, in milliseconds since 1970.
    next: u64,
    why: Why,
}

/// The pieces of a stream of which the service says that they aren't there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPieces {
    /// How many.
    pub pieces: usize,
    /// When it said so first, in milliseconds since 1970.
    pub since: u64,
    /// When the first of them expires at the service, if known.
    pub expires: Option<u64>,
    /// The code of the last answer about the oldest of them.
    pub code: String,
    /// The sentence of that answer.
    pub reason: String,
}

/// More splits of a stream, or more bytes of them, don't wait in memory: it isn't listed until some are read.
const WAITING: usize = 100_000;
const WAITING_BYTES: usize = 64 << 20;

/// So many failures of the plugin in a row cost no pause beyond each split's own.
const FREE_FAILURES: u32 = 3;

/// What the plugin's own failures mean for a stream.
struct Failing {
    /// Splits on which it failed in a row.
    splits: u32,
    /// When the next split may be taken, in milliseconds since 1970.
    until: u64,
}

#[derive(Default)]
struct Splits {
    waiting: BTreeMap<Place, Waiting>,
    /// Being read now: stream and id. With a split that was listed anew meanwhile, in another form.
    taken: HashMap<(String, String), Option<PendingSplit>>,
    held: HashMap<String, Hold>,
    /// Streams in which the plugin itself failed on the last splits.
    failing: HashMap<String, Failing>,
}

impl Splits {
    fn wait(&mut self, pending: PendingSplit, tried: bool) {
        let place = (pending.split.arrival, pending.split.stream.clone(), pending.split.id.clone());
        self.waiting.insert(place, Waiting { pending, tried });
    }

    /// Whether a stream may have one more of its splits read now.
    fn has_turn(&self, stream: &str, share: usize, now: u64) -> bool {
        let share = match self.failing.get(stream) {
            Some(failing) if !is_due(failing.until, now, LONGEST_WAIT) => return false,
            Some(_) => 1,
            None => share,
        };
        // What is taken is at most as much as there are readers.
        self.taken.keys().filter(|(taken, _)| taken == stream).count() < share
    }

    /// The next split of one of the streams that may be read now.
    fn next(&self, streams: &[String], share: usize, now: u64) -> Option<Place> {
        let turns: Vec<&String> = streams.iter().filter(|stream| self.has_turn(stream, share, now)).collect();
        let is_ready = |stream: &String, waiting: &Waiting| {
            is_due(waiting.pending.not_before, now, LONGEST_WAIT) && turns.contains(&stream)
        };
        // Of a stream that is blocked, the piece that was asked for least often: one may be refused for itself.
        let mut least: HashMap<&String, u32> = HashMap::new();
        for ((_, stream, _), waiting) in
            self.waiting.iter().filter(|((_, stream, _), _)| self.held.contains_key(stream))
        {
            if is_ready(stream, waiting) {
                let least = least.entry(stream).or_insert(u32::MAX);
                *least = waiting.pending.attempts.min(*least);
            }
        }
        let first = self.waiting.iter().find(|((_, stream, _), waiting)| {
            is_ready(stream, waiting)
                && least.get(stream).is_none_or(|least| waiting.pending.attempts == *least)
                && self.held.get(stream).is_none_or(|hold| {
                    // What was never asked for says more than what isn't there.
                    is_due(hold.next, now, HELD) && (hold.why == Why::Blocked || waiting.answers() == 0)
                })
        });
        let place = first.or_else(|| {
            let may_find_out = |stream: &String| self.held.get(stream).is_some_and(|hold| is_due(hold.next, now, HELD));
            self.waiting.iter().find(|((_, stream, _), waiting)| is_ready(stream, waiting) && may_find_out(stream))
        });
        place.map(|(place, _)| place.clone())
    }
}

/// The queue.
pub(super) struct Queue {
    splits: Mutex<Splits>,
    changed: Condvar,
    /// How many splits of one stream are read at a time.
    share: usize,
}

impl Queue {
    /// A queue of which each stream gets so many splits at a time.
    pub(super) fn new(share: usize) -> Self {
        Self { splits: Mutex::default(), changed: Condvar::new(), share }
    }

    /// Adds a split, in place of one of the same id: of one that is being read, once that has failed.
    pub(super) fn add(&self, pending: PendingSplit) {
        let mut splits = self.lock();
        let name = (pending.split.stream.clone(), pending.split.id.clone());
        match splits.taken.get_mut(&name) {
            Some(renewed) => *renewed = Some(pending),
            None => {
                splits.wait(pending, false);
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
            if let Some(place) = splits.next(streams, self.share, now) {
                let waiting = splits.waiting.remove(&place)?;
                if let Some(hold) = splits.held.get_mut(&place.1) {
                    hold.next = now + HELD_MS;
                }
                splits.taken.insert((place.1, place.2), None);
                return Some(waiting.pending);
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
        let mut splits = self.lock();
        let renewed = splits.taken.remove(&(pending.split.stream.clone(), pending.split.id.clone())).flatten();
        let tried = renewed.is_none();
        splits.wait(renewed.unwrap_or(pending), tried);
        self.changed.notify_all();
    }

    /// A stream can't be read for now: one split at a time goes on finding out whether it can.
    pub(super) fn hold(&self, stream: &str, why: Why) {
        self.lock().held.insert(stream.to_owned(), Hold { next: now_ms() + HELD_MS, why });
    }

    /// Ends a hold. Whether there was one.
    pub(super) fn release(&self, stream: &str) -> bool {
        let held = self.lock().held.remove(stream).is_some();
        if held {
            self.changed.notify_all();
        }
        held
    }

    /// What found out whether a held stream can be read is lost: the next one may do so at once.
    pub(super) fn find_out_at_once(&self, stream: &str) {
        if let Some(hold) = self.lock().held.get_mut(stream) {
            hold.next = 0;
            self.changed.notify_all();
        }
    }

    /// Whether a stream can't be read until somebody mends something.
    pub(super) fn is_blocked(&self, stream: &str) -> bool {
        self.lock().held.get(stream).is_some_and(|hold| hold.why == Why::Blocked)
    }

    /// A split is read to its end, or lost.
    pub(super) fn finished(&self, stream: &str, id: &str) {
        let mut splits = self.lock();
        splits.taken.remove(&(stream.to_owned(), id.to_owned()));
        splits.failing.remove(stream);
        drop(splits);
        self.changed.notify_all();
    }

    /// The plugin itself failed on a split. After some in a row, each further one costs the stream a pause.
    pub(super) fn plugin_failed(&self, stream: &str) {
        let mut splits = self.lock();
        let failing = splits.failing.entry(stream.to_owned()).or_insert(Failing { splits: 0, until: 0 });
        failing.splits += 1;
        if let Some(beyond) = failing.splits.checked_sub(FREE_FAILURES).filter(|beyond| *beyond > 0) {
            failing.until = not_before(now_ms(), pause(beyond), None);
        }
    }

    /// Whether so many splits of a stream wait that no more are to be listed.
    pub(super) fn is_full(&self, stream: &str) -> bool {
        let splits = self.lock();
        // Few splits can't be many bytes: each is bounded.
        if splits.waiting.len() < WAITING / 1000 {
            return false;
        }
        let (mut count, mut bytes) = (0, 0);
        for (_, waiting) in splits.waiting.iter().filter(|((_, name, _), _)| name == stream) {
            let pending = &waiting.pending;
            count += 1;
            bytes += pending.split.payload.len() + pending.resume.as_ref().map_or(0, String::len);
        }
        count >= WAITING || bytes >= WAITING_BYTES
    }

    /// How many splits of a stream are not read to their end.
    pub(super) fn open(&self, stream: &str) -> usize {
        let splits = self.lock();
        splits.waiting.keys().filter(|(_, name, _)| name == stream).count()
            + splits.taken.keys().filter(|(name, _)| name == stream).count()
    }

    /// Whether a run that should end has nothing to wait for in a stream.
    pub(super) fn is_settled(&self, stream: &str) -> bool {
        let now = now_ms();
        let splits = self.lock();
        splits.taken.keys().all(|(name, _)| name != stream)
            && splits.waiting.iter().all(|((_, name, _), waiting)| name != stream || waiting.is_given_up(now))
    }

    /// Whether the service has said of every split of a stream, more than once, that it isn't there; `asked` is the one that
    /// is being asked for now.
    pub(super) fn all_are_missing(&self, stream: &str, asked: &str) -> bool {
        let splits = self.lock();
        splits.taken.keys().all(|(name, id)| name != stream || id == asked)
            && splits.waiting.iter().all(|((_, name, _), waiting)| name != stream || waiting.answers() >= HELD_AFTER)
    }

    /// The pieces of a stream of which the service says that they aren't there.
    pub(super) fn held_pieces(&self, stream: &str) -> Option<HeldPieces> {
        let splits = self.lock();
        let mut held: Option<HeldPieces> = None;
        for ((_, name, _), waiting) in &splits.waiting {
            let Some(claim) = waiting.missing().filter(|_| name == stream) else { continue };
            let expires = waiting.pending.split.expires;
            match &mut held {
                None => {
                    held = Some(HeldPieces {
                        pieces: 1,
                        since: claim.first,
                        expires,
                        code: claim.code.clone(),
                        reason: claim.reason.clone(),
                    });
                }
                Some(held) => {
                    held.pieces += 1;
                    held.since = held.since.min(claim.first);
                    held.expires = [held.expires, expires].into_iter().flatten().min();
                }
            }
        }
        held
    }

    /// When the first split of a stream that waits expires at the service, if known.
    pub(super) fn first_expiry(&self, stream: &str) -> Option<u64> {
        let splits = self.lock();
        let of_stream = splits.waiting.iter().filter(|((_, name, _), _)| name == stream);
        of_stream.filter_map(|(_, waiting)| waiting.pending.split.expires).min()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Split;

    fn pending(stream: &str, id: u64, payload: usize) -> PendingSplit {
        let split = Split {
            id: id.to_string(),
            stream: stream.to_owned(),
            payload: "p".repeat(payload),
            arrival: id,
            expires: None,
        };
        PendingSplit { split, resume: None, attempts: 0, not_before: 0, claim: None }
    }

    fn names(streams: &[&str]) -> Vec<String> {
        streams.iter().map(|stream| (*stream).to_owned()).collect()
    }

    #[test]
    fn a_stream_with_older_splits_leaves_a_reader_to_the_others() {
        let queue = Queue::new(2);
        let cancel = Cancel::new();
        (0..10).for_each(|id| queue.add(pending("old", id, 0)));
        queue.add(pending("new", 100, 0));
        let both = names(&["old", "new"]);
        let taken: Vec<String> =
            (0..3).filter_map(|_| queue.take(&both, &cancel)).map(|taken| taken.split.stream).collect();
        assert_eq!(taken, ["old", "old", "new"]);
    }

    #[test]
    fn a_stream_in_which_the_plugin_fails_is_read_one_split_at_a_time_and_then_slowly() {
        let queue = Queue::new(4);
        let cancel = Cancel::new();
        (0..10).for_each(|id| queue.add(pending("bad", id, 0)));
        queue.plugin_failed("bad");
        let first = queue.take(&names(&["bad"]), &cancel).unwrap();
        assert!(!queue.lock().has_turn("bad", 4, now_ms()), "one at a time");
        queue.put_back(first);
        (0..FREE_FAILURES).for_each(|_| queue.plugin_failed("bad"));
        assert!(!queue.lock().has_turn("bad", 4, now_ms()), "after a pause");
        assert!(queue.lock().has_turn("bad", 4, now_ms() + 10_000));
        assert!(queue.lock().has_turn("good", 4, now_ms()));
        queue.finished("bad", "0");
        assert!(queue.lock().has_turn("bad", 4, now_ms()), "one that is read ends it");
    }

    #[test]
    fn a_blocked_stream_is_found_out_by_another_piece_each_time() {
        let queue = Queue::new(4);
        let (cancel, names) = (Cancel::new(), names(&["s"]));
        (0..3).for_each(|id| queue.add(pending("s", id, 0)));
        let mut asked = Vec::new();
        for _ in 0..3 {
            queue.hold("s", Why::Blocked);
            queue.find_out_at_once("s");
            let mut taken = queue.take(&names, &cancel).unwrap();
            asked.push(taken.split.id.clone());
            // It is refused again.
            taken.attempts += 1;
            queue.put_back(taken);
        }
        assert_eq!(asked, ["0", "1", "2"]);
    }

    #[test]
    fn a_run_that_should_end_tries_what_is_due_and_waits_for_nothing_that_was_given_up() {
        let given_up = |not_before| PendingSplit { attempts: SPLIT_PATIENCE, not_before, ..pending("s", 1, 0) };
        let queue = Queue::new(1);
        queue.add(given_up(now_ms() + 600_000));
        assert!(queue.is_settled("s"), "it is due later");
        let queue = Queue::new(1);
        queue.add(given_up(0));
        assert!(!queue.is_settled("s"), "it is due, and wasn't tried in this run");
        let taken = queue.take(&names(&["s"]), &Cancel::new()).unwrap();
        queue.put_back(taken);
        assert!(queue.is_settled("s"));
    }

    #[test]
    fn a_stream_whose_splits_are_many_or_large_is_full() {
        let queue = Queue::new(1);
        (0..WAITING as u64).for_each(|id| queue.add(pending("many", id, 0)));
        (0..300).for_each(|id| queue.add(pending("large", id, 256 << 10)));
        assert!(queue.is_full("many") && queue.is_full("large"));
        assert!(!queue.is_full("other"));
    }
}
