//! Requests that go wrong.

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
    /// One in so many, by the seed.
    OneIn(u64),
    /// All in this stretch after the start, by the simulated clock.
    Between(Duration, Duration),
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_requests_go_wrong() {
        let second = Duration::from_secs;
        assert!(When::First(2).holds(1, 0, second(0)) && !When::First(2).holds(2, 0, second(0)));
        assert!(When::OneIn(3).holds(9, 6, second(0)) && !When::OneIn(3).holds(9, 7, second(0)));
        let storm = When::Between(second(10), second(20));
        assert!(storm.holds(0, 0, second(10)) && !storm.holds(0, 0, second(20)) && !storm.holds(0, 0, second(9)));
    }
}
