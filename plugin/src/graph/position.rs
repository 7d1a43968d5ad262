//! Where the reader of a window is, as it goes into `resume`: how far, how wide at a time, and what stayed broken.
//!
//! Invariant: members that a later version adds are ignored by an earlier one, and have defaults here. What is kept is bounded.

use crate::clock::{HOUR, Interval, MINUTE};
use crate::pages::Trail;

/// So many broken pieces are put aside before the reader goes no further.
pub(super) const MOST_BROKEN: usize = 8;
/// A broken piece is given up after so many attempts …
const ATTEMPTS: u32 = 5;
/// … over at least this time, in milliseconds, if the service gave other records of the window.
const PATIENCE: u64 = 10 * MINUTE;
/// Where it gave none, everything can be the service's fault: it is given up after so many attempts …
const MANY_ATTEMPTS: u32 = 24;
/// … over at least this time, in milliseconds.
const LONG_PATIENCE: u64 = 24 * HOUR;
/// How long to wait before the broken pieces are tried again, in milliseconds, doubling up to the second.
const PAUSE: (u64, u64) = (MINUTE, 32 * MINUTE);

/// Where a reader is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Position {
    pub v: u32,
    /// The first moment that isn't read.
    pub from: u64,
    /// How wide a piece of the window is read at a time, in milliseconds.
    pub width: u64,
    /// The next page of that piece, if it isn't the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many records the piece gave on the pages before.
    #[serde(default)]
    pub seen: u64,
    pub top: u32,
    pub ordered: bool,
    /// Refusals of the piece in a row.
    #[serde(default)]
    pub refusals: u32,
    /// Pieces without trouble in a row.
    #[serde(default)]
    pub calm: u32,
    /// The pages of the piece.
    #[serde(default, skip_serializing_if = "Trail::is_empty")]
    pub trail: Trail,
    /// How often the pages of a piece had no end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub loops: u32,
    /// Whether a piece with records was read to its end: the service works, at least in part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub good: bool,
    /// The narrowest pieces whose body is broken: they are put aside, so that what comes behind them isn't held up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A piece whose body is broken each time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Broken {
    /// The first moment.
    pub from: u64,
    /// The last moment.
    pub to: u64,
    /// How often it was read.
    pub attempts: u32,
    /// When that began.
    pub since: u64,
    /// Whether this reader has read it.
    #[serde(skip)]
    pub tried: bool,
}

impl Broken {
    /// Whether it is given up.
    pub(super) fn is_lost(&self, now: u64, good: bool) -> bool {
        let (attempts, patience) = if good { (ATTEMPTS, PATIENCE) } else { (MANY_ATTEMPTS, LONG_PATIENCE) };
        self.attempts >= attempts && now.saturating_sub(self.since) >= patience
    }

    /// How long to wait before it is read again, in milliseconds.
    pub(super) fn pause(&self) -> u64 {
        let (first, longest) = PAUSE;
        first.saturating_mul(1 << self.attempts.saturating_sub(1).min(10)).min(longest)
    }

    /// What is lost with it: whole seconds, the finest time of a filter.
    pub(super) fn stretch(&self) -> Interval {
        use crate::clock::{SECOND, whole_second};
        Interval { start: whole_second(self.from), end: whole_second(self.to.saturating_add(SECOND)) }
    }
}
