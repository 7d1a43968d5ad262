//! Records that are the same as one delivered before, or as one on its way, are dropped here and counted.
//!
//! The order matters: a reader first reserves a key among those in flight, then looks into the ledger; delivery first
//! commits to the ledger, then gives the reservation up. So at each moment a delivered key is in at least one of the
//! two, and no record passes twice.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::ledger::{Key, KeyReader, LedgerError};

/// The keys of records between reading and commit.
#[derive(Default)]
pub(super) struct InFlight(Mutex<HashSet<Key>>);

impl InFlight {
    /// Reserves the keys that are new, and says of each whether it was.
    ///
    /// # Errors
    /// If the ledger can't be asked; then nothing stays reserved.
    pub(super) fn reserve(&self, keys: &[Key], ledger: &KeyReader) -> Result<Vec<bool>, LedgerError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, Delivered, KeyHash, Ledger, Progress};

    fn keys(records: &str) -> Vec<Key> {
        records.split_whitespace().map(|record| KeyHash::Unkeyed.key("s", record.as_bytes())).collect()
    }

    fn commit(ledger: &Ledger, keys: Vec<Key>, arrival: u64) {
        let delivered = Delivered {
            stream: "s".to_owned(),
            split: "blob".to_owned(),
            arrival,
            progress: Progress::Resume(None),
            keys,
            dead_letters: Vec::new(),
            counts: Counts::default(),
            unknown: Vec::new(),
            losses: Vec::new(),
        };
        ledger.commit(&[delivered], &[], 0).unwrap();
    }

    /// What of a served text is new; it is committed at once.
    fn deliver(in_flight: &InFlight, ledger: &Ledger, records: &str, arrival: u64) -> String {
        let all = keys(records);
        let new = in_flight.reserve(&all, &ledger.key_reader().unwrap()).unwrap();
        commit(ledger, picked(&all, &new), arrival);
        in_flight.release(&picked(&all, &new));
        let fresh = records.split_whitespace().zip(&new).filter(|(_, new)| **new).map(|(record, _)| record);
        fresh.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_blob_served_again_in_another_shape_yields_only_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path(), "t").unwrap();
        let in_flight = InFlight::default();
        let day = 24 * 3_600_000;
        assert_eq!(deliver(&in_flight, &ledger, "a b c", day), "a b c");
        assert_eq!(deliver(&in_flight, &ledger, "x a b c", day), "x", "other bytes in front");
        assert_eq!(deliver(&in_flight, &ledger, "c d", day), "d", "cut differently");
        assert_eq!(deliver(&in_flight, &ledger, "d c b a x", day), "", "in another order");
        assert_eq!(deliver(&in_flight, &ledger, "e e a", 5 * day), "e", "twice in one blob, and in one of another day");
        // A day is forgotten on the arrival clock, and only that.
        ledger.forget_before(3 * day, 5 * day).unwrap();
        assert_eq!(deliver(&in_flight, &ledger, "a e", 5 * day), "a");
        assert!(in_flight.0.lock().unwrap().is_empty());
    }

    #[test]
    fn two_readers_of_the_same_records_deliver_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path(), "t").unwrap();
        let in_flight = InFlight::default();
        let delivered = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let reader = ledger.key_reader().unwrap();
                    for chunk in 0..60_u64 {
                        // Chunks overlap, as the same events in two blobs do.
                        let all: Vec<Key> = (chunk * 30..chunk * 30 + 50)
                            .map(|record| reader.key("s", &record.to_le_bytes()))
                            .collect();
                        let new = in_flight.reserve(&all, &reader).unwrap();
                        let new = picked(&all, &new);
                        commit(&ledger, new.clone(), 0);
                        in_flight.release(&new);
                        delivered.lock().unwrap().extend(new);
                    }
                });
            }
        });
        let delivered = delivered.into_inner().unwrap();
        assert_eq!(delivered.len(), 59 * 30 + 50);
        assert_eq!(delivered.into_iter().collect::<HashSet<_>>().len(), 59 * 30 + 50);
    }
}
