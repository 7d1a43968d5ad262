//! Requests that go wrong.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::options::Instead;

/// Replaces the answers of some requests.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What the text `METHOD path?query` of a request must contain, all of it.
    pub on: &'static [&'static str],
    /// Which of these requests go wrong.
    pub when: When,
    /// The other answer.
    pub what: Instead,
}

/// Which of the requests that fit go wrong.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// The first so many.
    First(u64),
    /// One in so many, by the seed, but at most [`MOST_IN_A_ROW`] requests of one kind in a row: chance must not decide
    /// whether a collector that gives up after some more is right.
    OneIn(u64),
    /// All in this stretch after the start, by the simulated clock.
    Between(Duration, Duration),
}

/// So many requests of one kind in a row go wrong by chance, and the next one doesn't.
pub const MOST_IN_A_ROW: u32 = 3;

impl When {
    /// Whether the `nth` such request goes wrong, which comes `since` the start; `dice` are different for each request.
    pub(crate) fn holds(self, nth: u64, dice: u64, since: Duration) -> bool {
        match self {
            Self::First(count) => nth < count,
            Self::OneIn(count) => dice.is_multiple_of(count.max(1)),
            Self::Between(from, until) => (from..until).contains(&since),
        }
    }
}

/// How many requests of each kind have gone wrong in a row. Requests are of a kind if they differ in digits only: a window
/// that is listed again has other times.
#[derive(Debug, Default)]
pub(crate) struct Rows(Mutex<HashMap<String, u32>>);

impl Rows {
    /// Takes note of a request for which the dice have said whether it goes wrong, and says whether it does.
    pub(crate) fn cut(&self, request: &str, wrong: bool) -> bool {
        let kind: String = request.chars().filter(|char| !char.is_ascii_digit()).collect();
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.get(&kind).copied().unwrap_or(0);
        if wrong && row < MOST_IN_A_ROW {
            rows.insert(kind, row + 1);
            return true;
        }
        rows.remove(&kind);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_cut_after_three_in_a_row() {
        let rows = Rows::default();
        let first: Vec<bool> = (0..5).map(|second| rows.cut(&format!("GET /list?start=12:0{second}"), true)).collect();
        assert_eq!(first, [true, true, true, false, true]);
        assert!(rows.cut("GET /other", true), "another kind has its own row");
        assert!(!rows.cut("GET /list?start=12:06", false));
        assert!((0..3).all(|_| rows.cut("GET /list?start=12:07", true)), "a success begins a new row");
    }

    #[test]
    fn the_right_requests_go_wrong() {
        let second = Duration::from_secs;
        assert!(When::First(2).holds(1, 0, second(0)) && !When::First(2).holds(2, 0, second(0)));
        assert!(When::OneIn(3).holds(9, 6, second(0)) && !When::OneIn(3).holds(9, 7, second(0)));
        let storm = When::Between(second(10), second(20));
        assert!(storm.holds(0, 0, second(10)) && !storm.holds(0, 0, second(20)) && !storm.holds(0, 0, second(9)));
    }
}
