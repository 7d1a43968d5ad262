//! Later passes over stretches of the arrival clock that were listed before, since data shows up late: how far each pass
//! has come.
//!
//! Invariant: a frontier moves only over time that was listed when it was at least as old as the pass asks. There is one
//! number per pass, however long an outage was.

use std::collections::BTreeMap;

use crate::clock::{self, DAY, HOUR, Interval, MINUTE};

/// The smallest stretch that a pass takes at a time: younger passes would ask for every minute.
const LEAST: u64 = 5 * MINUTE;
/// The largest stretch that a pass waits for.
const MOST: u64 = 6 * HOUR;

/// The frontiers: by the age of the pass in milliseconds, the point before which everything has had that pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Passes(BTreeMap<u64, u64>);

/// A stretch that a pass has to list now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The pass, by its age in milliseconds.
    pub age: u64,
    /// What to list.
    pub stretch: Interval,
}

impl Passes {
    /// Takes up the passes of the settings: new ones begin at `from`, and those that are gone are forgotten.
    pub fn align(&mut self, ages: &[u64], from: u64) {
        self.0.retain(|age, _| ages.contains(age));
        for age in ages {
            self.0.entry(*age).or_insert(from);
        }
    }

    /// A stretch was listed to its last page at the time `at`, by whatever lane: every pass that it is old enough for
    /// has had it.
    pub fn listed(&mut self, stretch: Interval, at: u64) {
        for (age, frontier) in &mut self.0 {
            let end = stretch.end.min(at.saturating_sub(*age));
            if (stretch.start..end).contains(frontier) {
                *frontier = end;
            }
        }
    }

    /// What has to be listed now, if anything: the oldest stretch first, since the service forgets it first. `widest`
    /// bounds the stretch.
    pub fn due(&self, now: u64, widest: u64) -> Option<Due> {
        let (age, start) = self
            .0
            .iter()
            .filter(|(age, frontier)| now.saturating_sub(**age) >= frontier.saturating_add(step(**age)))
            .min_by_key(|(_, frontier)| **frontier)?;
        let end = clock::whole_second(now.saturating_sub(*age)).min(start.saturating_add(widest));
        Some(Due { age: *age, stretch: Interval { start: *start, end } })
    }

    /// Moves frontiers on to `floor`, before which nothing can be listed any more. Returns the stretch that missed a
    /// pass, if there is one.
    pub fn skip_to(&mut self, floor: u64) -> Option<Interval> {
        let start = self.0.values().copied().min().filter(|start| *start < floor)?;
        for frontier in self.0.values_mut() {
            *frontier = (*frontier).max(floor);
        }
        Some(Interval { start, end: floor })
    }

    /// Takes frontiers back to a time that they can't have reached: a clock was wrong, or is put back.
    pub fn bound(&mut self, latest: u64) {
        for frontier in self.0.values_mut() {
            *frontier = (*frontier).min(latest);
        }
    }

    /// The point before which every pass is done; none without passes.
    pub fn sealed(&self) -> Option<u64> {
        self.0.values().copied().min()
    }

    /// Whether there are none, as in the states of versions that didn't know them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How much of the clock has to be waiting before a pass takes it: a quarter of its age, so that it isn't much later than
/// it says, and asks for little.
fn step(age: u64) -> u64 {
    (age / 4).clamp(LEAST, MOST)
}

/// The name of a pass, such as `15m`, `4h` or `6d`.
pub fn name(age: u64) -> String {
    if age.is_multiple_of(DAY) && age > DAY {
        format!("{}d", age / DAY)
    } else if age.is_multiple_of(HOUR) {
        format!("{}h", age / HOUR)
    } else {
        format!("{}m", age / MINUTE)
    }
}

/// Reads the name of a pass: a whole number of minutes, hours or days.
pub fn parse(text: &str) -> Option<u64> {
    let unit = match text.bytes().last()? {
        b'm' => MINUTE,
        b'h' => HOUR,
        b'd' => DAY,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|age| *age > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_795_984_132_000;

    fn passes(ages: &[u64], from: u64) -> Passes {
        let mut passes = Passes::default();
        passes.align(ages, from);
        passes
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["15m", "1h", "4h", "24h", "6d", "90m"] {
            assert_eq!(name(parse(text).unwrap()), text);
        }
        assert_eq!(parse("36h"), Some(36 * HOUR));
        for text in ["", "m", "15", "1.5h", "-1h", "0m", "1w", "99999999999999999999d", "1é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_listing_counts_for_every_pass_that_it_is_old_enough_for() {
        let mut passes = passes(&[15 * MINUTE, HOUR, 4 * HOUR], T);
        passes.listed(Interval { start: T, end: T + 2 * HOUR }, T + 2 * HOUR);
        assert_eq!(passes.0.into_values().collect::<Vec<_>>(), [T + 105 * MINUTE, T + HOUR, T]);
    }

    #[test]
    fn a_listing_that_leaves_a_hole_counts_for_nothing() {
        let mut passes = passes(&[HOUR], T);
        passes.listed(Interval { start: T + MINUTE, end: T + HOUR }, T + DAY);
        assert_eq!(passes.sealed(), Some(T));
    }

    #[test]
    fn the_oldest_stretch_is_due_first_and_in_pieces() {
        let passes = passes(&[HOUR, 6 * DAY], T);
        assert_eq!(passes.due(T + HOUR + 14 * MINUTE, DAY), None, "a quarter of an hour has to be waiting");
        let due = passes.due(T + HOUR + 15 * MINUTE, DAY).unwrap();
        assert_eq!(due, Due { age: HOUR, stretch: Interval { start: T, end: T + 15 * MINUTE } });
        let mut passes = passes;
        passes.listed(due.stretch, T + HOUR + 15 * MINUTE);
        assert_eq!(passes.due(T + HOUR + 16 * MINUTE, DAY), None);
        let due = passes.due(T + 10 * DAY, DAY).unwrap();
        assert_eq!(due, Due { age: 6 * DAY, stretch: Interval { start: T, end: T + DAY } });
    }

    #[test]
    fn what_is_out_of_reach_is_skipped_and_told() {
        let mut passes = passes(&[HOUR, DAY], T);
        assert_eq!(passes.skip_to(T), None);
        assert_eq!(passes.skip_to(T + DAY), Some(Interval { start: T, end: T + DAY }));
        assert_eq!(passes.sealed(), Some(T + DAY));
    }

    #[test]
    fn passes_come_and_go_with_the_settings() {
        let mut passes = passes(&[HOUR], T);
        passes.align(&[HOUR, DAY], T + HOUR);
        assert_eq!(passes.0.clone().into_iter().collect::<Vec<_>>(), [(HOUR, T), (DAY, T + HOUR)]);
        passes.align(&[DAY], T);
        assert_eq!(serde_json::to_string(&passes).unwrap(), format!("{{\"86400000\":{}}}", T + HOUR));
        assert_eq!(serde_json::from_str::<Passes>("{\"86400000\":7}").unwrap().sealed(), Some(7));
    }
}
