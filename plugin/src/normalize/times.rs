//! Times of records to milliseconds since 1970 in UTC.
//!
//! Invariant: a time without zone is UTC, as Microsoft documents for `CreationTime`; what is no time gives nothing, and
//! Microsoft's "never" (years before 1970) gives nothing either.

/// Reads a time of a record: `2025-11-25T09:00:02` with 0 to 9 fraction digits (the rest is cut), and `Z`, an offset, ` UTC` or
/// nothing behind; a blank in place of `T`; or the American form `9/2/2024 3:24:59 AM`.
///
/// Gives milliseconds since 1970-01-01T00:00:00Z, and nothing for a time before 1971: Microsoft writes 0001-01-01 and
/// 1601-01-01 for "not set".
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let ms = iso(text).or_else(|| american(text))?;
    // The last day that a four-digit year can name.
    (31_536_000_000..=253_402_300_799_999).contains(&ms).then_some(ms)
}

fn iso(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || bytes[4] != b'-' || bytes[7] != b'-' || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    if bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let day = days(digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?)?;
    let seconds = clock(digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?)?;
    let mut rest = &bytes[19..];
    let mut ms = 0;
    if let Some((b'.', fraction)) = rest.split_first().map(|(first, rest)| (*first, rest)) {
        let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        for i in 0..3 {
            ms = ms * 10 + fraction[..length].get(i).map_or(0, |b| i64::from(b - b'0'));
        }
        rest = &fraction[length..];
    }
    let offset = zone(rest)?;
    Some((day * 86_400 + seconds - offset * 60) * 1000 + ms)
}

/// Minutes east of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    match text {
        b"" | b"Z" | b"z" | b" UTC" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let minutes = digits(&[*h1, *h2])? * 60 + digits(&[*m1, *m2])?;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

/// `month/day/year hour:minute:second AM`.
fn american(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ')?;
    let mut date = date.split('/');
    let (month, day, year) = (number(date.next()?)?, number(date.next()?)?, number(date.next()?)?);
    if date.next().is_some() || year < 1000 {
        return None;
    }
    let (time, half) = time.split_once(' ')?;
    let mut time = time.split(':');
    let (hour, minute, second) = (number(time.next()?)?, number(time.next()?)?, number(time.next()?)?);
    if time.next().is_some() || !(1..=12).contains(&hour) {
        return None;
    }
    let hour = match half {
        "AM" => hour % 12,
        "PM" => hour % 12 + 12,
        _ => return None,
    };
    Some((days(year, month, day)? * 86_400 + clock(hour, minute, second)?) * 1000)
}

fn number(text: &str) -> Option<i64> {
    (text.len() <= 4).then(|| digits(text.as_bytes())).flatten()
}

fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    // 60 is a leap second; it counts as the next second.
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin with March so that the leap day is last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let months = (month + 9) % 12;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * months + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_form_that_records_use() {
        let at = Some(1_764_061_202_000);
        assert_eq!(parse("2025-11-25T09:00:02"), at);
        assert_eq!(parse(" 2025-11-25T09:00:02Z "), at);
        assert_eq!(parse("2025-11-25 09:00:02 UTC"), at);
        assert_eq!(parse("2025-11-25T04:00:02.0000000-05:00"), at);
        assert_eq!(parse("11/25/2025 9:00:02 AM"), at);
        assert_eq!(parse("2025-11-25T09:00:02.1239999+00:00"), Some(1_764_061_202_123));
        assert_eq!(parse("2025-11-25T09:00:02.5Z"), Some(1_764_061_202_500));
        assert_eq!(parse("2024-02-29T00:00:00"), Some(1_709_164_800_000));
        assert_eq!(parse("9/2/2024 12:24:59 AM"), Some(1_725_236_699_000));
    }

    #[test]
    fn never_and_nonsense_are_absent() {
        for text in [
            "1601-01-01T00:00:00",
            "0001-01-01T00:00:00Z",
            "",
            "soon",
            "2025-02-30T00:00:00",
            "2025-11-25",
            "2025-11-25T25:00:00",
            "2025-11-25T09:00:02.Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
