//! The header `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
//!
//! Invariant: anything unreadable counts as not given, and no wait is longer than [`LONGEST_WAIT`](crate::claims::LONGEST_WAIT).

use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, header};

use crate::claims;

/// The answer's own time, if it tells one.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?.trim()).ok()
}

/// How long the service asks to wait, at most as long as is granted. A date is taken relative to the answer's own `Date`, so
/// that a wrong clock on this side does no harm, or else relative to `now`. A date in the past is no wait.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    // Graph was seen to answer with a fraction (microsoft-graph-docs#3877).
    if text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        // More than fits stands for a very long time.
        let seconds: f64 = text.parse().ok()?;
        return Some(claims::wait(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(claims::wait(at.duration_since(date(headers).unwrap_or(now)).unwrap_or(Duration::ZERO)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(retry_after_text: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry_after_text.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn seconds() {
        assert_eq!(wait("120", None), Some(Duration::from_secs(120)));
        assert_eq!(wait(" 0 ", None), Some(Duration::ZERO));
        assert_eq!(wait("0.249", None), Some(Duration::from_millis(249)));
        for text in ["3601", "31536000", "18446744073709551615", "99999999999999999999999", &"9".repeat(400)] {
            assert_eq!(wait(text, None), Some(claims::LONGEST_WAIT), "{text}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT", None), Some(Duration::from_secs(60)));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:50:37 GMT", Some("Sun, 06 Nov 1994 08:50:30 GMT")),
            Some(Duration::from_secs(7))
        );
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", None), Some(Duration::ZERO));
        assert_eq!(wait("Fri, 31 Dec 9999 23:59:59 GMT", None), Some(claims::LONGEST_WAIT));
    }

    #[test]
    fn what_cannot_be_read_counts_as_absent() {
        for text in ["", "soon", "-5", "1.5.", ".", "+3", "1e3"] {
            assert_eq!(wait(text, None), None, "{text:?}");
        }
    }
}
