//! A few things of one kind that more threads share, such as the transformers of the readers.
//!
//! The invariant: one stream never has them all, so that what is slow in it holds up no other.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Things that are lent to one thread at a time.
pub(super) struct Pool<T> {
    lent: Mutex<Lent<T>>,
    returned: Condvar,
    /// How many of them one stream may have at a time.
    for_one: usize,
}

struct Lent<T> {
    idle: Vec<T>,
    /// How many each stream has.
    streams: HashMap<String, usize>,
}

impl<T> Pool<T> {
    /// A pool of at least two things.
    pub(super) fn new(things: impl IntoIterator<Item = T>) -> Self {
        let idle: Vec<T> = things.into_iter().collect();
        let for_one = idle.len().saturating_sub(1).max(1);
        Self { lent: Mutex::new(Lent { idle, streams: HashMap::new() }), returned: Condvar::new(), for_one }
    }

    /// Works with one of them for a stream, once one is free.
    pub(super) fn with<R>(&self, stream: &str, work: impl FnOnce(&mut T) -> R) -> R {
        let mut lent = self.lock();
        let mut thing = loop {
            if lent.streams.get(stream).is_none_or(|count| *count < self.for_one)
                // The one used last: its memory is still in the processor's caches, and others may never be needed.
                && let Some(thing) = lent.idle.pop()
            {
                break thing;
            }
            lent = self.returned.wait(lent).unwrap_or_else(PoisonError::into_inner);
        };
        match lent.streams.get_mut(stream) {
            Some(count) => *count += 1,
            None => _ = lent.streams.insert(stream.to_owned(), 1),
        }
        drop(lent);
        let result = work(&mut thing);
        let mut lent = self.lock();
        lent.idle.push(thing);
        if let Some(count) = lent.streams.get_mut(stream) {
            *count -= 1;
        }
        drop(lent);
        // Whoever is woken may be of a stream that has its share.
        self.returned.notify_all();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Lent<T>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use super::*;

    #[test]
    fn everybody_gets_one_and_nobody_the_same() {
        let pool = Pool::new([0_u32, 0]);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        pool.with("s", |count| {
                            let before = *count;
                            std::thread::sleep(Duration::from_micros(50));
                            *count = before + 1;
                        });
                    }
                });
            }
        });
        assert_eq!(pool.lent.into_inner().unwrap().idle.iter().sum::<u32>(), 300);
    }

    #[test]
    fn a_stream_that_is_kept_busy_holds_up_no_other() {
        let pool = Pool::new([(), (), ()]);
        let (taken, done) = (Barrier::new(3), Barrier::new(3));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    pool.with("slow", |()| {
                        taken.wait();
                        done.wait();
                    });
                });
            }
            taken.wait();
            let third = scope.spawn(|| pool.with("slow", |()| ()));
            for _ in 0..10 {
                pool.with("quick", |()| ());
            }
            assert!(!third.is_finished(), "the third one is left for others");
            done.wait();
        });
    }
}
