//! Clocks of servers and gateways that are wrong, as their `Date` headers show.

/// Answers whose `Date` is wrong: by a second to ten years, either way, each by an amount of its own. Zero is never.
#[derive(Clone, Debug, Default)]
pub struct Dates {
    /// One answer of the services in so many.
    pub odd_every: u64,
    /// One answer in so many of those that a gateway or a throttle gives in their place.
    pub odd_instead_every: u64,
}

/// Ten years, in seconds.
const MOST: u64 = 10 * 365 * 86_400;

/// By how many seconds a date is wrong: as often by minutes as by days or by years.
pub(crate) fn error(dice: u64) -> i64 {
    let span = 1u64 << (dice % 29);
    let seconds = (span + (dice >> 8) % span).min(MOST) as i64;
    if dice >> 63 == 0 { seconds } else { -seconds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::mix;

    #[test]
    fn errors_lie_between_a_second_and_ten_years_both_ways() {
        let errors: Vec<i64> = (0..10_000).map(|number| error(mix(number))).collect();
        assert!(errors.iter().all(|error| (1..=MOST).contains(&error.unsigned_abs())));
        for scale in [60, 3_600, 86_400, 30 * 86_400, 365 * 86_400] {
            let beyond = errors.iter().filter(|error| **error > scale).count();
            let before = errors.iter().filter(|error| **error < -scale).count();
            assert!(beyond > 300 && before > 300, "{scale}: {beyond} {before}");
        }
        assert!(errors.iter().filter(|error| error.unsigned_abs() < 60).count() > 1_000);
    }
}
