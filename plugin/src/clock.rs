//! Times on the arrival clock: milliseconds since 1970 in, the spellings of the two APIs out, and back.
//!
//! Invariant: nothing here asks what time it is; time is an argument everywhere.

use jiff::Timestamp;

/// A second, in milliseconds.
pub const SECOND: u64 = 1_000;
/// A minute, in milliseconds.
pub const MINUTE: u64 = 60 * SECOND;
/// An hour, in milliseconds.
pub const HOUR: u64 = 60 * MINUTE;
/// A day, in milliseconds.
pub const DAY: u64 = 24 * HOUR;

/// How far beyond now anything counts, in milliseconds: what clocks that are right differ by. What a service says of times
/// beyond it is no reason to have listed them.
pub const SLACK: u64 = MINUTE;

/// A stretch of the arrival clock: `start` is inside, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The first millisecond inside.
    pub start: u64,
    /// The first millisecond after it.
    pub end: u64,
}

/// Rounds down to a whole second, the finest time that both APIs take.
pub const fn whole_second(ms: u64) -> u64 {
    ms - ms % SECOND
}

/// `YYYY-MM-DDTHH:MM:SS`, in UTC and without a zone, as the Management Activity API wants its bounds
/// (Microsoft: Management Activity API reference). A time beyond the year 9999 is written as the last one before.
pub fn zoneless(ms: u64) -> String {
    let last = Timestamp::MAX.as_second();
    let second = i64::try_from(ms / SECOND).unwrap_or(last).min(last);
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The same with a `Z`, as Microsoft Graph wants a `DateTimeOffset` in a filter.
pub fn zulu(ms: u64) -> String {
    zoneless(ms) + "Z"
}

/// Reads a time of the Management Activity API's listings, such as `2015-05-23T17:35:00.000Z`. A time without a zone
/// is UTC.
pub fn parse(text: &str) -> Option<u64> {
    let time: Timestamp = match text.parse() {
        Ok(time) => time,
        Err(_) => format!("{text}Z").parse().ok()?,
    };
    u64::try_from(time.as_millisecond()).ok()
}

/// Reads the time of an HTTP `Date` or `Retry-After` header, such as `Mon, 23 Nov 2026 20:28:52 GMT` (RFC 9110, 5.6.7).
pub fn parse_http_date(text: &str) -> Option<u64> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    u64::try_from(zoned.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_utc_seconds() {
        assert_eq!(zoneless(0), "1970-01-01T00:00:00");
        assert_eq!(zulu(1_795_984_132_999), "2026-11-29T20:28:52Z");
        assert_eq!(parse("2026-11-29T20:28:52.000Z"), Some(1_795_984_132_000));
        assert_eq!(parse("2026-11-29T20:28:52"), Some(1_795_984_132_000));
        assert_eq!(parse("2026-11-29T21:28:52+01:00"), Some(1_795_984_132_000));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse("1960-01-01T00:00:00Z"), None);
        assert_eq!(zoneless(u64::MAX).len(), 19);
    }

    #[test]
    fn afternoon_hours_are_written_in_24_hours() {
        assert!(zoneless(parse("2026-03-01T15:04:05Z").unwrap()).contains("T15:"));
    }

    #[test]
    fn reads_http_dates() {
        assert_eq!(parse_http_date("Sun, 29 Nov 2026 20:28:52 GMT"), Some(1_795_984_132_000));
        assert_eq!(parse_http_date("soon"), None);
    }
}
