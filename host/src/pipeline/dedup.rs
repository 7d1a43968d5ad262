//! Records that are the same as one delivered before, or as one on its way, are dropped here and counted.
//!
//! The order matters: a reader first reserves a key among those in flight, then looks into the ledger; delivery first
//! commits to the ledger, then gives the reservation up. So at each moment a delivered key is in at least one of the
//! two, and no record passes twice.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::ledger::{Key, KeyReader};

/// The keys of records between reading and commit.
#[derive(Default)]
pub(super) struct InFlight(Mutex<HashSet<Key>>);

impl InFlight {
    /// Reserves the keys that are new, and says of each whether it was.
    ///
    /// # Errors
    /// If the ledger can't be asked; then nothing stays reserved.
    pub(super) fn reserve(&self, keys: &[Key], ledger: &KeyReader) -> rusqlite::Result<Vec<bool>> {
        let mut new: Vec<bool> = {
            let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            keys.iter().map(|key| set.insert(*key)).collect()
        };
        let candidates: Vec<Key> = picked(keys, &new);
        let known = match ledger.known(&candidates) {
            Ok(known) => known,
            Err(error) => {
                self.release(&candidates);
                return Err(error);
            }
        };
        self.release(&picked(&candidates, &known));
        let mut known = known.into_iter();
        for flag in new.iter_mut().filter(|flag| **flag) {
            *flag = !known.next().unwrap_or(false);
        }
        Ok(new)
    }

    /// Gives keys up, after their commit or their failure.
    pub(super) fn release(&self, keys: &[Key]) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            set.remove(key);
        }
    }
}

fn picked(keys: &[Key], flags: &[bool]) -> Vec<Key> {
    keys.iter().zip(flags).filter(|(_, flag)| **flag).map(|(key, _)| *key).collect()
}
