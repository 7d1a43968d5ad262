//! Requests that go wrong.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use crate::options::Instead;
use crate::tally::lock;

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
    /// One in so many, by the seed, but never two of one kind in a row, and never the same request again: what a collector
    /// may take for a verdict if it hears it twice.
    Alone(u64),
    /// One in so many, by the seed, and so many times in sum, for what is dear: bounded as `OneIn` is.
    Times(u64, u64),
    /// All in this stretch after the start, by the simulated clock.
    Between(Duration, Duration),
    /// In this stretch after the start, one in so many, by the seed, and in a row as often as chance has it.
    OneInBetween(u64, Duration, Duration),
}

/// So many requests of one kind in a row go wrong by chance, and the next one doesn't.
pub const MOST_IN_A_ROW: u32 = 3;

impl When {
    /// Whether the `nth` such request goes wrong, of which `struck` have, and which comes `since` the start; `dice` are
    /// different for each request.
    pub(crate) fn holds(self, nth: u64, struck: u64, dice: u64, since: Duration) -> bool {
        let thrown = |count: u64| dice.is_multiple_of(count.max(1));
        match self {
            Self::First(count) => nth < count,
            Self::OneIn(count) | Self::Alone(count) => thrown(count),
            Self::Times(count, times) => struck < times && thrown(count),
            Self::Between(from, until) => (from..until).contains(&since),
            Self::OneInBetween(count, from, until) => (from..until).contains(&since) && thrown(count),
        }
    }

    /// How many requests of a kind may go wrong in a row, if that is bounded.
    fn most_in_a_row(self) -> Option<u32> {
        match self {
            Self::OneIn(_) | Self::Times(..) => Some(MOST_IN_A_ROW),
            Self::Alone(_) => Some(1),
            Self::First(_) | Self::Between(..) | Self::OneInBetween(..) => None,
        }
    }
}

/// How many requests of each kind have gone wrong in a row. Requests are of a kind if they differ in digits only: a window
/// that is listed again has other times.
#[derive(Debug, Default)]
pub(crate) struct Rows(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rows: HashMap<String, u32>,
    /// The requests that went wrong alone.
    alone: HashSet<String>,
}

impl Rows {
    /// Takes note of a request and of what would make it go wrong, if anything does, and says whether it goes wrong.
    pub(crate) fn cut(&self, request: &str, when: Option<When>) -> bool {
        let kind: String = request.chars().filter(|char| !char.is_ascii_digit()).collect();
        let state = &mut *lock(&self.0);
        let row = state.rows.remove(&kind).unwrap_or(0);
        let Some(when) = when else { return false };
        let Some(most) = when.most_in_a_row() else { return true };
        if row >= most || (matches!(when, When::Alone(_)) && !state.alone.insert(request.to_owned())) {
            return false;
        }
        state.rows.insert(kind, row + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_cut_after_three_in_a_row() {
        let rows = Rows::default();
        let chance = Some(When::OneIn(2));
        let first: Vec<bool> =
            (0..5).map(|second| rows.cut(&format!("GET /list?start=12:0{second}"), chance)).collect();
        assert_eq!(first, [true, true, true, false, true]);
        assert!(rows.cut("GET /other", chance), "another kind has its own row");
        assert!(!rows.cut("GET /list?start=12:06", None));
        assert!((0..3).all(|_| rows.cut("GET /list?start=12:07", chance)), "a success begins a new row");
    }

    #[test]
    fn alone_is_never_twice_in_a_row_and_never_the_same_request() {
        let rows = Rows::default();
        let alone = Some(When::Alone(2));
        assert!(rows.cut("GET /blob/1", alone) && !rows.cut("GET /blob/2", alone));
        assert!(!rows.cut("GET /blob/1", alone), "the same request again");
        assert!(rows.cut("GET /blob/3", alone));
    }

    #[test]
    fn a_storm_knows_no_bound() {
        let rows = Rows::default();
        let storm = Some(When::OneInBetween(2, Duration::ZERO, Duration::MAX));
        assert!((0..50).all(|_| rows.cut("GET /list", storm)));
    }

    #[test]
    fn the_right_requests_go_wrong() {
        let second = Duration::from_secs;
        let holds = |when: When, nth, dice, at| when.holds(nth, 0, dice, second(at));
        assert!(holds(When::First(2), 1, 0, 0) && !holds(When::First(2), 2, 0, 0));
        assert!(holds(When::OneIn(3), 9, 6, 0) && !holds(When::OneIn(3), 9, 7, 0));
        assert!(When::Times(3, 2).holds(9, 1, 6, second(0)) && !When::Times(3, 2).holds(9, 2, 6, second(0)));
        let storm = When::Between(second(10), second(20));
        assert!(holds(storm, 0, 0, 10) && !holds(storm, 0, 0, 20) && !holds(storm, 0, 0, 9));
        let chance = When::OneInBetween(3, second(10), second(20));
        assert!(holds(chance, 0, 6, 10) && !holds(chance, 0, 7, 10) && !holds(chance, 0, 6, 20));
    }
}
