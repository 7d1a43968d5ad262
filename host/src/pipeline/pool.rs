//! A few things of one kind that more threads share, such as the transformers of the readers.

use std::sync::{Condvar, Mutex, PoisonError};

/// Things that are lent to one thread at a time.
pub(super) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    returned: Condvar,
}

impl<T> Pool<T> {
    pub(super) fn new(things: impl IntoIterator<Item = T>) -> Self {
        Self { idle: Mutex::new(things.into_iter().collect()), returned: Condvar::new() }
    }

    /// Works with one of them, once one is free.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one used last: its memory is still in the processor's caches, and others may never be needed.
        let mut thing = loop {
            match idle.pop() {
                Some(thing) => break thing,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(idle);
        let result = work(&mut thing);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
        self.returned.notify_one();
        result
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
                        pool.with(|count| {
                            let before = *count;
                            std::thread::sleep(Duration::from_micros(50));
                            *count = before + 1;
                        });
                    }
                });
            }
        });
        assert_eq!(pool.idle.into_inner().unwrap().iter().sum::<u32>(), 300);
    }

    #[test]
    fn one_that_is_kept_busy_holds_nobody_up_while_there_is_another() {
        let pool = Pool::new([(), ()]);
        let (taken, done) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pool.with(|()| {
                    taken.wait();
                    done.wait();
                });
            });
            taken.wait();
            for _ in 0..10 {
                pool.with(|()| ());
            }
            done.wait();
        });
    }
}
