//! Time as the simulated tenant knows it: a clock that can start at any instant, and the spellings of time the APIs use.
//!
//! Invariant: every time inside the simulator is a [`Ticks`] value, so that a filter compares exactly what a record spells.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Units of 100 nanoseconds since 1970-01-01T00:00:00Z: the finest resolution Graph spells (seven fraction digits).
pub(crate) type Ticks = i64;

pub(crate) const TICKS_PER_MS: Ticks = 10_000;
pub(crate) const TICKS_PER_SECOND: Ticks = 10_000_000;

/// Converts a duration, saturating at the largest representable number of ticks.
pub(crate) fn ticks(duration: Duration) -> Ticks {
    Ticks::try_from(duration.as_nanos() / 100).unwrap_or(Ticks::MAX)
}

/// A clock that starts at a chosen instant, runs at a chosen speed, and can be moved ahead.
pub(crate) struct Clock {
    base: Ticks,
    started: Instant,
    speed: f64,
    moved: AtomicI64,
}

/// Milliseconds since 1970 by the machine's clock.
fn real_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| ticks(since) / TICKS_PER_MS)
}

impl Clock {
    /// `now_ms` is the simulated "now" in epoch milliseconds; `None` is the real clock. Time passes `speed` times as fast.
    pub(crate) fn starting_at(now_ms: Option<i64>, speed: f64) -> Self {
        Self {
            base: now_ms.unwrap_or_else(real_ms).saturating_mul(TICKS_PER_MS),
            started: Instant::now(),
            speed: if speed.is_finite() { speed.max(1.0) } else { 1.0 },
            moved: AtomicI64::new(0),
        }
    }

    /// The instant at which the clock was started.
    pub(crate) fn base(&self) -> Ticks {
        self.base
    }

    pub(crate) fn now(&self) -> Ticks {
        let passed = ticks(self.started.elapsed().mul_f64(self.speed));
        self.base.saturating_add(passed).saturating_add(self.moved.load(Relaxed))
    }

    /// How long ago the clock was started, by itself.
    pub(crate) fn since_start(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.now() - self.base).unwrap_or(0).saturating_mul(100))
    }

    /// Lets time pass at once.
    pub(crate) fn advance(&self, time: Duration) {
        self.moved.fetch_add(ticks(time), Relaxed);
    }

    /// A real time by this clock: what the machine takes for its work seems longer at a greater speed.
    pub(crate) fn of_real(&self, time: Duration) -> Duration {
        time.mul_f64(self.speed)
    }

    pub(crate) fn is_real(&self) -> bool {
        self.speed <= 1.0
    }

    /// The setting of a collector's test clock that goes as this one does, `ahead_ms` ahead of it.
    pub(crate) fn setting(&self, ahead_ms: i64) -> String {
        let real = real_ms();
        format!("{}@{real}*{}", (self.now() / TICKS_PER_MS).saturating_add(ahead_ms), self.speed)
    }

    /// Time since the clock was started, by the real clock.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The value of an HTTP `Date` header.
pub(crate) fn http_date(at: Ticks) -> String {
    let seconds = u64::try_from(at / TICKS_PER_SECOND).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799)))
}

/// The same in the spelling of RFC 850, which HTTP knew before: `Thursday, 15-Jan-26 12:30:00 GMT`.
pub(crate) fn old_http_date(at: Ticks) -> String {
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second, _) = parts(at);
    let weekday = DAYS[at.div_euclid(86_400 * TICKS_PER_SECOND).rem_euclid(7) as usize];
    let (month, year) = (MONTHS[usize::from(month - 1)], year.rem_euclid(100));
    format!("{weekday}, {day:02}-{month}-{year:02} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads the value of an HTTP `Date`, in any of the three spellings that RFC 9110 knows.
pub(crate) fn parse_http_date(text: &str) -> Option<Ticks> {
    let time = httpdate::parse_http_date(text).ok()?;
    Some(ticks(time.duration_since(UNIX_EPOCH).ok()?))
}

/// Year, month, day, hour, minute, second and ticks within the second.
fn parts(at: Ticks) -> (i64, u8, u8, u8, u8, u8, u32) {
    let second = at.div_euclid(TICKS_PER_SECOND);
    let fraction = at.rem_euclid(TICKS_PER_SECOND) as u32;
    let (day, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400) as u32);
    // Days to civil date in the proleptic Gregorian calendar, eras of 400 years beginning on 1 March.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day_of_month = (of_year - (153 * month_index + 2) / 5 + 1) as u8;
    let month = (if month_index < 10 { month_index + 3 } else { month_index - 9 }) as u8;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_month, (of_day / 3_600) as u8, (of_day / 60 % 60) as u8, (of_day % 60) as u8, fraction)
}

fn two(out: &mut Vec<u8>, value: u8) {
    out.extend_from_slice(&[b'0' + value / 10 % 10, b'0' + value % 10]);
}

/// Appends `YYYY-MM-DDTHH:MM:SS`.
pub(crate) fn write_seconds(out: &mut Vec<u8>, at: Ticks) {
    let (year, month, day, hour, minute, second, _) = parts(at);
    let year = year.clamp(0, 9_999) as u16;
    two(out, (year / 100) as u8);
    two(out, (year % 100) as u8);
    for (separator, value) in [(b'-', month), (b'-', day), (b'T', hour), (b':', minute), (b':', second)] {
        out.push(separator);
        two(out, value);
    }
}

/// Appends `.` and the first `digits` (at most seven) digits of the second's fraction.
pub(crate) fn write_fraction(out: &mut Vec<u8>, at: Ticks, digits: u32) {
    out.push(b'.');
    let mut rest = at.rem_euclid(TICKS_PER_SECOND);
    let mut unit = TICKS_PER_SECOND / 10;
    for _ in 0..digits.min(7) {
        out.push(b'0' + (rest / unit) as u8);
        rest %= unit;
        unit /= 10;
    }
}

/// Appends the American spelling that some JSON-in-string values use: `9/2/2024 3:24:59 AM`.
pub(crate) fn write_american(out: &mut Vec<u8>, at: Ticks) {
    let (year, month, day, hour, minute, second, _) = parts(at);
    let (half, twelve) = (if hour < 12 { "AM" } else { "PM" }, if hour % 12 == 0 { 12 } else { hour % 12 });
    out.extend_from_slice(format!("{month}/{day}/{year} {twelve}:{minute:02}:{second:02} {half}").as_bytes());
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`, the spelling of `contentCreated`.
pub(crate) fn millis_text(at: Ticks) -> String {
    let mut out = Vec::with_capacity(24);
    write_seconds(&mut out, at);
    write_fraction(&mut out, at, 3);
    out.push(b'Z');
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads `YYYY-MM-DD`, `YYYY-MM-DDTHH:MM` and `YYYY-MM-DDTHH:MM:SS` with up to seven fraction digits and an optional
/// `Z`; anything else is `None`.
pub(crate) fn parse(text: &str) -> Option<Ticks> {
    let bytes = text.strip_suffix('Z').unwrap_or(text).as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let is = |at: usize, what: u8| bytes.get(at) == Some(&what);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if !is(4, b'-') || !is(7, b'-') || !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    let mut seconds = days_from_civil(year, month, day) * 86_400;
    let mut fraction = 0;
    match bytes.len() {
        10 => {}
        length => {
            let (hour, minute) = (number(11, 13)?, number(14, 16)?);
            let second = match length {
                16 => 0,
                _ if is(16, b':') => number(17, 19)?,
                _ => return None,
            };
            if !is(10, b'T') || !is(13, b':') || hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            seconds += hour * 3_600 + minute * 60 + second;
            if length > 19 {
                if !is(19, b'.') || !(21..=27).contains(&length) {
                    return None;
                }
                fraction = number(20, length)? * 10_i64.pow(27 - length as u32);
            }
        }
    }
    Some(seconds * TICKS_PER_SECOND + fraction)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_and_reading_agree() {
        for text in ["2024-02-29T23:59:59.999Z", "1999-12-31T00:00:00.001Z", "2026-11-23T12:30:05.120Z"] {
            assert_eq!(millis_text(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1970-01-02"), Some(86_400 * TICKS_PER_SECOND));
        assert_eq!(parse("2026-01-01T00:01"), parse("2026-01-01T00:01:00Z"));
        assert_eq!(parse("2026-01-01T00:00:00.1234567Z").unwrap() % TICKS_PER_SECOND, 1_234_567);
        let mut american = Vec::new();
        write_american(&mut american, parse("2024-09-02T15:24:59").unwrap());
        assert_eq!(american, b"9/2/2024 3:24:59 PM");
    }

    #[test]
    fn dates_of_http_come_back_in_both_spellings() {
        let at = parse("2026-01-15T12:30:05").unwrap();
        assert_eq!(http_date(at), "Thu, 15 Jan 2026 12:30:05 GMT");
        assert_eq!(old_http_date(at), "Thursday, 15-Jan-26 12:30:05 GMT");
        for text in [http_date(at), old_http_date(at)] {
            assert_eq!(parse_http_date(&text), Some(at), "{text}");
        }
        for day in 0..800 {
            let at = at + day * 86_400 * TICKS_PER_SECOND;
            assert_eq!(parse_http_date(&old_http_date(at)), Some(at));
        }
        assert_eq!(parse_http_date("soon"), None);
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-01-01T24:00:00",
            "2026-01-01 00:00:00",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00.12345678Z",
            "2026-01-01T00:00:",
            "2026-01-01T0",
            "20260101",
            "2026-01-01T00:00:00.Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
