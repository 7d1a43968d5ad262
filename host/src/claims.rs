//! Times and waits that come from outside are claims: how far each is gone by.
//!
//! Invariant: whatever a service, a gateway, a plugin or a ledger written under another clock says, nobody waits for longer
//! than [`LONGEST_WAIT`], a wait ends well before what it is for expires, and nothing counts as listed that lies in the
//! future. Every bound is made where the value enters: the headers in `http/`, what a plugin returns in `guest/` and
//! `pipeline/`, what was stored when it is loaded. What time it is at a service is told by `http/clocks.rs`.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::guest::{Discovery, Interval};

/// Nobody waits longer than this because somebody else said so.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// The shortest wait to which an expiry that is near cuts another one.
const SHORTEST_CUT: Duration = Duration::from_secs(1);

/// How far what was listed may reach beyond the believed time, in milliseconds: what clocks that are right differ by, and
/// what an answer takes.
pub const SLACK_MS: u64 = 60_000;

/// A wait that somebody asked for, as long as it is granted.
pub fn wait(asked: Duration) -> Duration {
    asked.min(LONGEST_WAIT)
}

/// When to try again something that expires, in milliseconds since 1970: after the wait, but no later than half of the time
/// that is left. An expiry that is over says nothing any more: whether it is true is the service's to say.
pub fn not_before(now_ms: u64, asked: Duration, expires_ms: Option<u64>) -> u64 {
    let left = expires_ms.and_then(|expires| expires.checked_sub(now_ms)).filter(|left| *left > 0);
    let bound = left.map_or(LONGEST_WAIT, |left| Duration::from_millis(left / 2).max(SHORTEST_CUT));
    now_ms.saturating_add(milliseconds(wait(asked).min(bound)))
}

/// The same for a time that was stored, perhaps under another clock or by an earlier version.
pub fn stored_not_before(stored_ms: u64, now_ms: u64, expires_ms: Option<u64>) -> u64 {
    not_before(now_ms, Duration::from_millis(stored_ms.saturating_sub(now_ms)), expires_ms)
}

/// Whether a time has come that was set at most `longest` ahead. One that is further away than that was set under a clock
/// that has been put back since.
pub fn is_due(at_ms: u64, now_ms: u64, longest: Duration) -> bool {
    at_ms <= now_ms || at_ms - now_ms > milliseconds(longest)
}

/// What a plugin says it has listed, up to the believed time and no further.
pub fn discovery(stream: &str, mut found: Discovery, now_ms: u64) -> Discovery {
    let latest = now_ms.saturating_add(SLACK_MS);
    let mut beyond = found.sealed.is_some_and(|sealed| sealed > latest);
    found.sealed = found.sealed.map(|sealed| sealed.min(latest));
    beyond |= found.coverage.iter().any(|stretch| stretch.end > latest);
    found.coverage = found.coverage.into_iter().filter_map(|stretch| until(stretch, latest)).collect();
    beyond |= found.lost.iter().any(|(stretch, _)| stretch.end > latest);
    found.lost =
        found.lost.into_iter().filter_map(|(stretch, reason)| Some((until(stretch, latest)?, reason))).collect();
    for split in &mut found.splits {
        beyond |= split.arrival > latest;
        split.arrival = split.arrival.min(latest);
    }
    found.next_ms = found.next_ms.min(milliseconds(LONGEST_WAIT));
    if beyond && first_time(stream) {
        tracing::warn!(
            stream,
            "The plugin calls a time listed that hasn't come yet; it counts up to now. Check this machine's clock; if it is right, the service's times or the plugin are wrong. This is told once."
        );
    }
    found
}

/// The part of a stretch that lies before a time; none if nothing of it does. A moment, which is a stretch of no length, stays.
fn until(stretch: Interval, latest: u64) -> Option<Interval> {
    let end = stretch.end.min(latest);
    (stretch.start <= end).then_some(Interval { start: stretch.start, end })
}

/// Whether this is told of the stream for the first time in this process.
fn first_time(stream: &str) -> bool {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.to_owned())
}

/// Whole milliseconds, as many as fit.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guest::Split;

    const NOW: u64 = 1_795_984_132_000;
    const HOUR: u64 = 60 * 60 * 1000;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is asked for, however it was stored, and whenever it expires: the wait ends within the hour, and within
        /// half of what is left, unless that is less than a second.
        #[test]
        fn no_wait_is_longer_than_an_hour_or_half_of_what_is_left(
            now in any::<u64>(),
            asked in any::<u64>(),
            stored in any::<u64>(),
            expires in prop::option::of(any::<u64>()),
        ) {
            let left = expires.and_then(|expires| expires.checked_sub(now)).filter(|left| *left > 0);
            let bound = left.map_or(HOUR, |left| (left / 2).clamp(1000, HOUR));
            for at in [
                not_before(now, Duration::from_millis(asked), expires),
                not_before(now, Duration::MAX, expires),
                stored_not_before(stored, now, expires),
            ] {
                prop_assert!(at >= now && at - now <= bound, "{at}");
                prop_assert!(is_due(at, at, LONGEST_WAIT));
            }
        }

        /// Nothing that a plugin returns counts beyond the believed time, and what lies before it is left as it is.
        #[test]
        fn nothing_counts_as_listed_in_the_future(
            times in prop::collection::vec((any::<u64>(), any::<u64>()), 0..6),
            sealed in prop::option::of(any::<u64>()),
            next_ms in any::<u64>(),
        ) {
            let stretches: Vec<Interval> =
                times.iter().map(|(a, b)| Interval { start: *a.min(b), end: *a.max(b) }).collect();
            let split = |(arrival, _): &(u64, u64)| Split {
                id: String::new(), stream: String::new(), payload: String::new(), arrival: *arrival, expires: None,
            };
            let found = Discovery {
                splits: times.iter().map(split).collect(),
                state: String::new(),
                more: false,
                next_ms,
                coverage: stretches.clone(),
                pass: String::new(),
                sealed,
                lost: stretches.iter().map(|stretch| (*stretch, String::new())).collect(),
            };
            let bounded = discovery("some.stream", found, NOW);
            let latest = NOW + SLACK_MS;
            prop_assert!(bounded.sealed.is_none_or(|sealed| sealed <= latest));
            prop_assert!(bounded.splits.iter().all(|split| split.arrival <= latest));
            prop_assert_eq!(bounded.splits.len(), times.len());
            prop_assert!(bounded.next_ms <= HOUR);
            let expected: Vec<(u64, u64)> = stretches.iter()
                .filter(|stretch| stretch.start <= latest)
                .map(|stretch| (stretch.start, stretch.end.min(latest)))
                .collect();
            let coverage: Vec<(u64, u64)> = bounded.coverage.iter().map(|s| (s.start, s.end)).collect();
            let lost: Vec<(u64, u64)> = bounded.lost.iter().map(|(s, _)| (s.start, s.end)).collect();
            prop_assert_eq!(&coverage, &expected);
            prop_assert_eq!(&lost, &expected);
        }
    }

    #[test]
    fn a_time_set_under_a_clock_that_was_put_back_has_come() {
        assert!(is_due(NOW, NOW, LONGEST_WAIT) && !is_due(NOW + 1, NOW, LONGEST_WAIT));
        assert!(!is_due(NOW + HOUR, NOW, LONGEST_WAIT) && is_due(NOW + HOUR + 1, NOW, LONGEST_WAIT));
        assert!(is_due(u64::MAX, 0, LONGEST_WAIT));
    }

    #[test]
    fn an_expiry_that_is_over_makes_no_haste() {
        assert_eq!(not_before(NOW, Duration::from_secs(300), Some(NOW - 1)), NOW + 300_000);
        assert_eq!(not_before(NOW, Duration::from_secs(300), Some(NOW)), NOW + 300_000);
        assert_eq!(not_before(NOW, Duration::from_secs(300), Some(NOW + 60_000)), NOW + 30_000);
    }
}
