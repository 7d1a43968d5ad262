//! A model of the host's contract with the source: what is stored in one step, what a crash forgets, what is asked for again.
//!
//! Invariant: discovered splits and the stream's state are stored together; a chunk's records, their keys and the split's
//! progress are stored together; a crash loses exactly what was not stored.

use std::collections::{BTreeMap, BTreeSet};

use m365_plugin::call::Http;
use m365_plugin::clock::Interval;
use m365_plugin::error::{Error, ErrorKind};
use m365_plugin::settings::Settings;
use m365_plugin::source::{self, Split};

use crate::script::Lines;

/// What the host has stored.
pub struct Host {
    pub stream: &'static str,
    pub settings: Settings,
    state: Option<String>,
    /// Every split that was ever stored, read to its end or not.
    known: BTreeSet<String>,
    /// Those that are not read to their end, and where to go on.
    pub pending: BTreeMap<String, (Split, Option<String>)>,
    /// The records that were delivered, and how often each came.
    pub delivered: BTreeMap<String, u32>,
    /// Pieces that can't be had any more.
    pub lost_splits: Vec<(Split, Error)>,
    /// Stretches that the source declared lost.
    pub lost: Vec<Interval>,
    /// The last failure.
    pub trouble: Option<Error>,
}

impl Host {
    pub fn new(stream: &'static str, settings: Settings) -> Self {
        Self {
            stream,
            settings,
            state: None,
            known: BTreeSet::new(),
            pending: BTreeMap::new(),
            delivered: BTreeMap::new(),
            lost_splits: Vec::new(),
            lost: Vec::new(),
            trouble: None,
        }
    }

    /// Lists what is new, until there is no more. With a crash, the last answer is not stored. Whether it came to its end;
    /// after 500 answers it is given up.
    pub fn poll<H: Http>(&mut self, service: &mut H, mut now: impl FnMut(&mut H) -> u64, crash: bool) -> bool {
        for _ in 0..500 {
            let at = now(service);
            let mut notes = Vec::new();
            let state = self.state.as_deref();
            let found = source::discover(&self.settings, service, &mut Lines(&mut notes), self.stream, state, at);
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    self.trouble = Some(error);
                    return false;
                }
            };
            if crash && !found.more {
                return false;
            }
            self.lost.extend(found.lost.iter().map(|(stretch, _)| *stretch));
            for split in found.splits {
                if self.known.insert(split.id.clone()) {
                    self.pending.insert(split.id.clone(), (split, None));
                }
            }
            self.state = Some(found.state);
            if !found.more {
                return true;
            }
        }
        // Faults that come again in the same rhythm can hold a listing up for as long as they last.
        false
    }

    /// Reads one of the pending splits, `max` bytes at a time. After `chunks` chunks the host crashes, and the next is not
    /// stored.
    pub fn read<H: Http>(&mut self, service: &mut H, now: u64, pick: usize, max: u32, chunks: usize) {
        let Some(id) = self.pending.keys().nth(pick % self.pending.len().max(1)).cloned() else { return };
        let (split, resume) = self.pending[&id].clone();
        if split.expires.is_some_and(|expires| expires <= now) {
            let error = Error::new(ErrorKind::Gone, "expired", "Too late.");
            self.pending.remove(&id);
            return self.lost_splits.push((split, error));
        }
        let mut notes = Vec::new();
        let opened = source::open::<H>(&self.settings, &split, resume.as_deref(), now);
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => return self.failed(&id, error),
        };
        for number in 0.. {
            assert!(number < 10_000, "a split has no end");
            let chunk = match reader.next(max, service, &mut Lines(&mut notes)) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => panic!("the last chunk was not marked as such"),
                Err(error) => return self.failed(&id, error),
            };
            if number >= chunks {
                return;
            }
            let text = String::from_utf8(chunk.data).expect("the model's records are UTF-8");
            for line in text.lines() {
                *self.delivered.entry(line.to_owned()).or_default() += 1;
            }
            if chunk.done {
                self.pending.remove(&id);
                return;
            }
            if let Some((_, resume)) = self.pending.get_mut(&id) {
                *resume = chunk.resume;
            }
        }
    }

    /// The classes of failures, as the host has them.
    fn failed(&mut self, id: &str, error: Error) {
        match error.kind {
            ErrorKind::NotFound | ErrorKind::Gone => {
                if let Some((split, _)) = self.pending.remove(id) {
                    self.lost_splits.push((split, error));
                }
            }
            kind => {
                if kind == ErrorKind::Restart
                    && let Some((_, resume)) = self.pending.get_mut(id)
                {
                    *resume = None;
                }
                self.trouble = Some(error);
            }
        }
    }
}
