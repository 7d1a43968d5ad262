//! The rules of the APIs that hold whatever a collector's purpose is, checked request by request.
//!
//! Invariant: a rule is about what the collector sent, never about an answer that this program made up. What each API checks
//! by itself (tokens, quotas, publisher, query options) is noted there; here is what shows only over several requests.
//! Sources: Microsoft, Office 365 Management Activity API reference and troubleshooting; Microsoft Graph throttling guidance.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::answer::Answer;
use crate::clock::{TICKS_PER_SECOND, Ticks, parse, parse_http_date, ticks};
use crate::request::Request;
use crate::server::Tenant;
use crate::streams::STREAMS;
use crate::tally::lock;

const HOUR: Ticks = 3_600 * TICKS_PER_SECOND;
const DAY: Ticks = 86_400 * TICKS_PER_SECOND;
/// Requests that came this long after an API asked to wait were on their way, for real.
const ON_THEIR_WAY: Duration = Duration::from_millis(100);
/// So many more may be an accident.
const ACCIDENTS: u32 = 3;
/// What a clock may differ from ours before a request counts as too early.
const TOLERANCE: Duration = Duration::from_secs(2);
/// The same, for real: what a machine is late by.
const REAL_TOLERANCE: Duration = Duration::from_millis(50);

/// A listing that has no end may be followed for so many pages until that is noticed.
const MOST_PAGES: u32 = 200;
/// A collection that ignores the filter may be asked less often than this: it gives everything each time.
const MOST_UNFILTERED: u32 = 100;

struct State {
    /// From when on each stream's subscription may be started again, and whether the service has named that time itself.
    starts: Vec<Option<(Ticks, bool)>>,
    /// How many pages were asked for of each listing that leads astray.
    astray: HashMap<u64, u32>,
    /// How often a collection was asked that ignores the filter.
    unfiltered: u32,
    /// When each stream was listed with success, in order.
    listed: Vec<Vec<Ticks>>,
    /// What each quota's API asked for last.
    closed: [Closed; 3],
}

/// An API asked to wait.
#[derive(Clone, Copy)]
struct Closed {
    asked: Ticks,
    until: Ticks,
    /// How many requests came nevertheless, in sum.
    early: u32,
}

/// What has been seen so far.
pub(crate) struct Rules {
    start_guard: Duration,
    state: Mutex<State>,
}

/// The quota of a request, for the state of `closed`.
fn quota(request: &Request) -> Option<usize> {
    // Starts of subscriptions have a limit of their own, and a wait for one of them concerns nothing else.
    if request.path.ends_with("/subscriptions/start") {
        return None;
    }
    match request.path.trim_start_matches('/').split('/').next() {
        Some("manage") => Some(0),
        Some("graph") if request.path.contains("/auditLogs/") => Some(1),
        Some("graph") => Some(2),
        _ => None,
    }
}

impl Rules {
    pub(crate) fn new(start_guard: Duration) -> Self {
        let state = State {
            starts: vec![None; STREAMS.len()],
            astray: HashMap::new(),
            unfiltered: 0,
            listed: vec![Vec::new(); STREAMS.len()],
            closed: [Closed { asked: Ticks::MIN, until: Ticks::MIN, early: 0 }; 3],
        };
        Self { start_guard, state: Mutex::new(state) }
    }

    /// When a stream was first listed with success at `at` or later.
    pub(crate) fn listed_after(&self, stream: usize, at: Ticks) -> Option<Ticks> {
        let state = lock(&self.state);
        let times = state.listed.get(stream)?;
        times.get(times.partition_point(|time| *time < at)).copied()
    }

    /// When a stream was last listed with success, to the second.
    pub(crate) fn last_listed(&self, stream: usize) -> Option<Ticks> {
        lock(&self.state).listed.get(stream)?.last().copied()
    }

    /// Looks at a request and the answer that it got.
    pub(crate) fn observe(&self, tenant: &Tenant, request: &Request, answer: &Answer) {
        let now = tenant.clock.now();
        self.early(tenant, request, now);
        match answer.code.as_str() {
            "AF20031" => tenant.violation(request, "a page link that was not given out like this"),
            "AF20051" => tenant.violation(request, "content was fetched after its contentExpiration"),
            "AF20050" | "AF20052" if request.path.contains("/audit/") => {
                tenant.violation(request, "content was fetched that was never listed");
            }
            _ => {}
        }
        if request.path.ends_with("/subscriptions/stop") {
            tenant.violation(request, "a subscription was stopped: what arrives until it is started again is lost");
        }
        if request.path.ends_with("/subscriptions/content") {
            window(tenant, request);
        }
        let Some(stream) = answer.stream else { return };
        if request.path.ends_with("/subscriptions/start") && answer.status != 401 {
            let refused = matches!(answer.code.as_str(), "429" | "AF429");
            let named = tenant.subscriptions.held(stream).filter(|_| refused);
            self.start(tenant, request, stream, now, named);
        }
        let listing = request.path.ends_with("/subscriptions/content") || request.path.starts_with("/graph/");
        // An answer that says of itself that it isn't whole shows nobody that there is no more.
        if listing && matches!(answer.status, 200 | 206) && answer.code.is_empty() {
            let mut state = lock(&self.state);
            let times = &mut state.listed[stream];
            // A second is fine enough to tell what a listing could have seen.
            if times.last().is_none_or(|last| now - *last >= TICKS_PER_SECOND) {
                times.push(now);
            }
        }
    }

    /// Looks at an answer that took the place of the real one.
    pub(crate) fn throttled(&self, tenant: &Tenant, request: &Request, status: u16, headers: &[(String, String)]) {
        let now = tenant.clock.now();
        self.early(tenant, request, now);
        let wait = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
        let (Some(quota), Some(wait)) = (quota(request), wait.and_then(|(_, value)| asked(value, now))) else { return };
        if matches!(status, 429 | 503) {
            let until = now.saturating_add(wait);
            let closed = &mut lock(&self.state).closed[quota];
            // While it is closed, more of these answers go to who was on the way; the time counts from the first.
            if now >= closed.until {
                closed.asked = now;
            }
            closed.until = closed.until.max(until);
        }
    }

    /// Notes requests that come before the time is over that the API asked to wait.
    fn early(&self, tenant: &Tenant, request: &Request, now: Ticks) {
        let Some(quota) = quota(request) else { return };
        let tolerance = ticks(TOLERANCE + tenant.clock.of_real(REAL_TOLERANCE));
        let way = ticks(tenant.clock.of_real(ON_THEIR_WAY));
        let early = {
            let closed = &mut lock(&self.state).closed[quota];
            if now <= closed.asked.saturating_add(way) || now >= closed.until.saturating_sub(tolerance) {
                return;
            }
            closed.early += 1;
            closed.early
        };
        if early == ACCIDENTS + 1 {
            tenant.violation(request, "requests went on although Retry-After asked to wait");
        }
    }

    fn start(&self, tenant: &Tenant, request: &Request, stream: usize, now: Ticks, named: Option<Ticks>) {
        let next = named.unwrap_or_else(|| now.saturating_add(ticks(self.start_guard)));
        let last = lock(&self.state).starts[stream].replace((next, named.is_some()));
        let tolerance = ticks(TOLERANCE + tenant.clock.of_real(REAL_TOLERANCE));
        match last {
            Some((from, true)) if now < from.saturating_sub(tolerance) => {
                tenant.violation(request, "a subscription was started before the time that the service had named");
            }
            Some((from, false)) if now < from.saturating_sub(tolerance) => {
                tenant.violation(request, "a subscription was started again within 15 minutes");
            }
            _ => {}
        }
    }

    /// Counts a page of a listing that has no end.
    pub(crate) fn astray(&self, tenant: &Tenant, request: &Request, listing: u64) {
        let pages = {
            let state = &mut *lock(&self.state);
            let pages = state.astray.entry(listing).or_default();
            *pages += 1;
            *pages
        };
        if pages == MOST_PAGES + 1 {
            tenant.violation(request, "a listing without an end was followed for more than 200 pages");
        }
    }

    /// Counts a request for a collection that ignores the filter.
    pub(crate) fn unfiltered(&self, tenant: &Tenant, request: &Request) {
        let requests = {
            let state = &mut *lock(&self.state);
            state.unfiltered += 1;
            state.unfiltered
        };
        if requests == MOST_UNFILTERED {
            tenant.violation(request, "a collection that ignores the filter was asked a hundred times");
        }
    }
}

/// How long a `Retry-After` asks to wait, as far as it can be read: whole seconds or a date (RFC 9110, section 10.2.3), an hour at
/// most. Nobody has to obey a longer one, and what is no wait is none.
fn asked(value: &str, now: Ticks) -> Option<Ticks> {
    let text = value.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(TICKS_PER_SECOND)
    } else {
        parse_http_date(text)?.saturating_sub(now)
    };
    Some(wait.min(HOUR)).filter(|wait| *wait > 0)
}

/// Notes a window of a listing that the service may answer in part only.
fn window(tenant: &Tenant, request: &Request) {
    let parameters = request.parameters();
    let bound = |name: &str| {
        let value = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        parse(&value.1)
    };
    match (bound("startTime"), bound("endTime")) {
        (Some(start), Some(end)) if end - start > DAY => {
            tenant.violation(request, "a window of more than 24 hours, which can be answered in part");
        }
        (Some(_), Some(_)) => {}
        _ => tenant.violation(request, "a listing without both startTime and endTime"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_obeyed_for_an_hour_at_most_and_as_far_as_it_can_be_read() {
        let now = parse("2026-01-15T12:00:00").unwrap();
        let seconds = |text: &str| asked(text, now).map(|wait| wait / TICKS_PER_SECOND);
        for (text, wait) in [
            ("60", Some(60)),
            (" 7 ", Some(7)),
            ("0", None),
            ("-1", None),
            ("0.249", None),
            ("", None),
            ("soon", None),
            ("86400", Some(3_600)),
            ("31536000", Some(3_600)),
            ("18446744073709551615", Some(3_600)),
            ("Thu, 15 Jan 2026 12:01:30 GMT", Some(90)),
            ("Thursday, 15-Jan-26 12:01:30 GMT", Some(90)),
            ("Thu, 15 Jan 2026 11:01:30 GMT", None),
            ("Fri, 16 Jan 2026 12:00:00 GMT", Some(3_600)),
        ] {
            assert_eq!(seconds(text), wait, "{text:?}");
        }
    }
}
