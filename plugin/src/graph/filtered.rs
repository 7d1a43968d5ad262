//! Whether a collection heeds the filter by time: legacy alerts are known to answer every window with everything that there is.
//!
//! Invariant: a few records of a page are looked at, never all; nothing is left out because of what is found, it only says that
//! narrower windows are in vain.

use crate::clock;
use crate::streams::Stream;

/// So many records of a piece are looked at, the first of them all …
const SAMPLES: u32 = 256;
const FIRST: u32 = 16;
/// … and then one in so many, since those that come first may be the ones of the time that was asked for.
const EVERY: u32 = 16;
/// One in so many records outside of its time, and the time isn't heeded. A service that heeds it gives hardly any.
const FEW: u32 = 8;
/// A record is outside of its window if it is so far from it, in milliseconds: more than what rounding can make.
const FAR: u64 = 5 * clock::SECOND;
/// A record larger than this isn't looked at.
const LARGE: usize = 256 << 10;

/// What was seen of the records of a piece.
#[derive(Debug)]
pub(super) struct Filtered {
    /// The property that the filter asks for.
    time: &'static str,
    came: u32,
    looked: u32,
    outside: u32,
}

impl Filtered {
    pub(super) fn new(time: &'static str) -> Self {
        Self { time, came: 0, looked: 0, outside: 0 }
    }

    /// Looks at a record that came for the time between these, if it is its turn.
    pub(super) fn look(&mut self, record: &[u8], from: u64, to: u64) {
        self.came = self.came.saturating_add(1);
        let turn = self.came <= FIRST || self.came.is_multiple_of(EVERY);
        if !turn || self.looked >= SAMPLES || record.len() > LARGE {
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
        self.outside * FEW > self.looked
    }

    pub(super) fn clear(&mut self) {
        (self.came, self.looked, self.outside) = (0, 0, 0);
    }
}

/// What is told of it, once.
pub(super) fn told(stream: &Stream) -> String {
    format!(
        "{} ignores the time that is asked for and gives all that it has each time; everything is read, and what was delivered before is dropped. The fault is the service's.",
        stream.api
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_795_984_132_000;

    /// What is made of records at these times, in minutes, for the hours between `from` and `to`.
    fn ignored(minutes: impl Iterator<Item = u64>, from: u64, to: u64) -> bool {
        let mut filtered = Filtered::new("at");
        for minute in minutes {
            let at = clock::zulu(T + minute * clock::MINUTE);
            let record = format!("{{\"at\":\"{at}\"}}");
            filtered.look(record.as_bytes(), T + from * clock::HOUR, T + to * clock::HOUR);
        }
        filtered.is_ignored()
    }

    #[test]
    fn it_shows_whatever_the_order_of_the_records() {
        let day = 0..24 * 60;
        assert!(!ignored(day.clone(), 0, 24) && !ignored(std::iter::empty(), 0, 24));
        for (from, to) in [(0, 12), (12, 24), (0, 1), (23, 24), (0, 20), (48, 72)] {
            assert!(ignored(day.clone(), from, to), "the oldest first, {from} to {to}");
            assert!(ignored(day.clone().rev(), from, to), "the newest first, {from} to {to}");
        }
        assert!(!ignored((0..24 * 60).chain([3_000, 4_000]), 0, 24), "two odd ones among many");
    }
}
