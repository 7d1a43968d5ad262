//! Times for people and from people: UTC to the second, and how long ago.
//!
//! Invariant: what is written here can be read here.

use jiff::Timestamp;

/// Milliseconds since 1970 as `2026-11-29T20:28:52Z`. A time beyond the year 9999 is written as the last one before.
pub fn utc(ms: u64) -> String {
    let last = Timestamp::MAX.as_second();
    let second = i64::try_from(ms / 1000).unwrap_or(last).min(last);
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A length of time in its two largest units, such as `4 h 12 min`.
pub fn long(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, 0, _) => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Reads a point in time: `2026-11-29T20:28:52Z`, a date such as `2026-11-29` (its beginning in UTC), or a time ago such as
/// `90m`, `36h` or `7d`. None if it is none of these.
pub fn parse(text: &str, now_ms: u64) -> Option<u64> {
    let text = text.trim();
    if let Some((number, unit)) = text.len().checked_sub(1).and_then(|at| text.split_at_checked(at))
        && let Ok(number) = number.parse::<u64>()
    {
        let unit = match unit {
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        return Some(now_ms.saturating_sub(number.saturating_mul(unit)));
    }
    let time: Timestamp = text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let time = 1_795_984_132_000;
        assert_eq!(utc(time), "2026-11-29T20:28:52Z");
        assert_eq!(parse(&utc(time), 0), Some(time));
        assert_eq!(parse("2026-11-29", 0), Some(1_795_910_400_000));
        assert_eq!(parse("36h", time), Some(time - 36 * 3_600_000));
        assert_eq!(parse("99999999999999d", time), Some(0));
        for text in ["", "h", "12", "yesterday", "1w", "é"] {
            assert_eq!(parse(text, time), None, "{text}");
        }
        assert_eq!(utc(u64::MAX).len(), 20);
    }

    #[test]
    fn lengths_have_two_units() {
        let lengths = [5, 65, 3600, 3660, 90_000, 8 * 86_400 + 30];
        assert_eq!(lengths.map(|s| long(s * 1000)), ["5 s", "1 min", "1 h", "1 h 1 min", "1 d 1 h", "8 d"]);
    }
}
