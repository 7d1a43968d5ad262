//! Whether a collection heeds the filter by time: legacy alerts are known to answer every window with everything that there is.
//!
//! Invariant: a few records of a page are looked at, never all; nothing is left out because of what is found, it only says that
//! narrower windows are in vain.

use crate::clock;
use crate::streams::Stream;

/// So many records of a piece are looked at.
const SAMPLES: u32 = 64;
/// A record is outside of its window if it is so far from it, in milliseconds: more than what rounding can make.
const FAR: u64 = 5 * clock::SECOND;
/// A record larger than this isn't looked at.
const LARGE: usize = 256 << 10;

/// What was seen of the records of a piece.
#[derive(Debug)]
pub(super) struct Filtered {
    /// The property that the filter asks for.
    time: &'static str,
    looked: u32,
    outside: u32,
}

impl Filtered {
    pub(super) fn new(time: &'static str) -> Self {
        Self { time, looked: 0, outside: 0 }
    }

    /// Looks at a record that came for the time between these, if there were few so far.
    pub(super) fn look(&mut self, record: &[u8], from: u64, to: u64) {
        if self.looked >= SAMPLES || record.len() > LARGE {
            return;
        }
        if let Ok(record) = serde_json::from_slice(record) {
            self.judge(&record, from, to);
        }
    }

    /// The same for a record that was read already.
    pub(super) fn judge(&mut self, record: &serde_json::Value, from: u64, to: u64) {
        let Some(at) = record.get(self.time).and_then(|time| time.as_str()).and_then(clock::parse) else { return };
        self.looked += 1;
        self.outside += u32::from(at.saturating_add(FAR) < from || at > to.saturating_add(FAR));
    }

    /// Whether the records don't come from the time that was asked for.
    pub(super) fn is_ignored(&self) -> bool {
        self.outside * 2 > self.looked
    }

    /// Whether there was anything to look at.
    pub(super) fn has_looked(&self) -> bool {
        self.looked > 0
    }

    pub(super) fn clear(&mut self) {
        (self.looked, self.outside) = (0, 0);
    }
}

/// What is told of it, once.
pub(super) fn told(stream: &Stream) -> String {
    format!(
        "{} ignores the time that is asked for and gives all that it has each time; everything is read, and what was delivered before is dropped. The fault is the service's.",
        stream.api
    )
}
