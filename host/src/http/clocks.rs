//! What time it is at a service: what its answers tell, as far as several of them agree.
//!
//! Invariant: one answer alone, or a few in a row, never move the believed time forward, nor back by more than a day. What
//! time it is at a service is kept as the difference to the monotonic clock, so that a step of this machine's clock
//! changes nothing in what is believed: that clock is a witness like an answer is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::{HeaderMap, header};

use crate::clock;

/// How many answers of a service are remembered.
const SAMPLES: usize = 31;
/// How many of them are, when this machine's clock jumps: they are of the time before, which may be another one.
const SAMPLES_AFTER_A_JUMP: usize = 2;
/// Answers that are right differ by less than this, beyond what their way may have taken. Milliseconds.
const AGREE_MS: i64 = 5_000;
/// This machine's clock counts for so many answers.
const OWN_VOTES: usize = 2;
/// From so many votes on a time is believed: two answers that say what this machine's clock says, or four that don't.
const BELIEVED_FROM: usize = 4;
/// A difference to this machine's clock below this is not corrected: it does no harm. Milliseconds.
const HARMLESS_MS: i64 = 10_000;
/// Until a time is believed, an answer may put it back by so much at most: a wrong time zone. Milliseconds.
const LONE_BACK_MS: i64 = 24 * 60 * 60 * 1000;
/// A `Date` that differs by more than this from the believed time, beyond what its way may have taken, is thrown out.
const SLACK_MS: i64 = 30_000;
/// A clock that differs by more than this is told. Milliseconds.
const WORTH_TELLING_MS: i64 = 60_000;

/// What an answer says of the time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The service's time less the monotonic one, in the middle of what is possible. Milliseconds.
    base: i64,
    /// How far it can be from that. Milliseconds.
    slack: i64,
}

impl Sample {
    fn agrees(self, base: i64, slack: i64) -> bool {
        self.base.abs_diff(base) <= (AGREE_MS.saturating_add(self.slack).saturating_add(slack)).unsigned_abs()
    }
}

/// One service's clock. It reads no clock: `own` is always this machine's time less the monotonic one.
#[derive(Debug, Default)]
struct ServiceClock {
    samples: VecDeque<Sample>,
    believed: Option<i64>,
    own: Option<i64>,
    /// Whether a thrown out answer was told, and a difference of the clocks.
    told_thrown_out: bool,
    told_difference: bool,
}

impl ServiceClock {
    fn observe(&mut self, sample: Sample, own: i64) {
        if self.own.is_some_and(|before| before.abs_diff(own) > AGREE_MS.unsigned_abs()) {
            let old = self.samples.len().saturating_sub(SAMPLES_AFTER_A_JUMP);
            self.samples.drain(..old);
        }
        self.own = Some(own);
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.weigh(own);
    }

    /// Believes the time on which most answers agree. What was believed before stays until others are more.
    fn weigh(&mut self, own: i64) {
        let votes = |sample: &Sample| {
            let answers = self.samples.iter().filter(|other| other.agrees(sample.base, sample.slack)).count();
            answers + if sample.agrees(own, 0) { OWN_VOTES } else { 0 }
        };
        let as_before = |sample: &Sample| self.believed.is_some_and(|believed| sample.agrees(believed, 0));
        let Some(best) = self.samples.iter().max_by_key(|sample| (votes(sample), as_before(sample))).copied() else {
            return;
        };
        if votes(&best) >= BELIEVED_FROM {
            let agreeing = self.samples.iter().filter(|other| other.agrees(best.base, best.slack));
            let mut bases: Vec<i64> = agreeing.map(|sample| sample.base).collect();
            bases.sort_unstable();
            self.believed = bases.get(bases.len() / 2).copied();
        }
    }

    /// The believed time less the monotonic one. Until one is believed, the smaller one of this machine's and the told.
    fn base(&self, own: i64) -> i64 {
        let base = self.believed.unwrap_or_else(|| {
            let mut bases: Vec<i64> = self.samples.iter().map(|sample| sample.base).collect();
            bases.sort_unstable();
            let back = bases.get(bases.len() / 2).copied().filter(|told| own.saturating_sub(*told) <= LONE_BACK_MS);
            back.map_or(own, |told| told.min(own))
        });
        if base.abs_diff(own) < HARMLESS_MS.unsigned_abs() { own } else { base }
    }

    /// Whether answers say something else than this machine's clock, and not enough of them to believe it.
    fn in_doubt(&self, own: i64) -> bool {
        self.believed.is_none() && self.samples.iter().any(|sample| !sample.agrees(own, 0))
    }
}

/// The clocks of all services that a client asks.
#[derive(Debug)]
pub(super) struct Clocks {
    start: Instant,
    services: Mutex<BTreeMap<String, ServiceClock>>,
}

/// The time of an answer: what it claims, and what is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// When the request was sent, and when its answer was there.
    pub sent: Instant,
    pub received: Instant,
    pub date: SystemTime,
    /// Whether the answer counts as a witness: it is the service's own, and was made now.
    pub counts: bool,
}

impl Clocks {
    pub(super) fn new() -> Self {
        Self { start: clock::instant(), services: Mutex::default() }
    }

    /// Takes the time that an answer of `service` tells, and says what to go by in its place; `ahead_ms` is what is known
    /// of this machine's clock otherwise: by how much the right time is ahead of it.
    pub(super) fn told(&self, service: &str, origin: &str, told: Told, ahead_ms: i64) -> SystemTime {
        let own = self.own().saturating_add(ahead_ms);
        // `Date` is cut to seconds, and was written between sending and receiving.
        let (sent, received) = (self.monotonic(told.sent), self.monotonic(told.received));
        let date = milliseconds(told.date);
        let (least, most) = (date.saturating_sub(received), date.saturating_add(1000).saturating_sub(sent));
        let slack = most.saturating_sub(least) / 2;
        let sample = Sample { base: least.saturating_add(slack), slack };
        let mut services = self.services();
        let clock = services.entry(service.to_owned()).or_default();
        if told.counts {
            clock.observe(sample, own);
        }
        let base = clock.base(own);
        let difference = base.saturating_sub(own);
        if told.counts
            && clock.believed.is_some()
            && difference.abs() >= WORTH_TELLING_MS
            && !std::mem::replace(&mut clock.told_difference, true)
        {
            tracing::warn!(
                difference_s = difference / 1000,
                "This machine's clock is {} that of {origin}, by which everything goes from now on. Set this machine's clock right.",
                if difference > 0 { "behind" } else { "ahead of" },
            );
        }
        let wrong = sample.base.saturating_sub(base);
        if wrong.abs() <= SLACK_MS.saturating_add(sample.slack) {
            return told.date;
        }
        if told.counts && !std::mem::replace(&mut clock.told_thrown_out, true) {
            tracing::warn!(
                difference_s = wrong / 1000,
                "An answer of {origin} tells another time than this machine's clock and the answers before it; it isn't gone by unless others say the same. If it stays, something between changes or keeps answers. This is told once."
            );
        }
        system_time(received.saturating_add(base))
    }

    /// The believed time of a service, in milliseconds since 1970.
    pub(super) fn now_ms(&self, service: &str, ahead_ms: i64) -> u64 {
        let own = self.own().saturating_add(ahead_ms);
        let base = self.services().get(service).map_or(own, |clock| clock.base(own));
        u64::try_from(self.monotonic(clock::instant()).saturating_add(base)).unwrap_or(0)
    }

    /// By how many milliseconds the believed time of a service is ahead of this machine's clock.
    pub(super) fn ahead_ms(&self, service: &str) -> i64 {
        let own = self.own();
        self.services().get(service).map_or(0, |clock| clock.base(own).saturating_sub(own))
    }

    /// Whether a service tells another time than this machine's clock, and more answers are needed to know which is right.
    pub(super) fn in_doubt(&self, service: &str) -> bool {
        let own = self.own();
        self.services().get(service).is_some_and(|clock| clock.in_doubt(own))
    }

    /// This machine's time less the monotonic one.
    fn own(&self) -> i64 {
        milliseconds(clock::system_time()).saturating_sub(self.monotonic(clock::instant()))
    }

    fn monotonic(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(i64::MAX / 4)
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<String, ServiceClock>> {
        // A clock is consistent between any two statements, so a panic elsewhere doesn't spoil it.
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an answer can be a witness of its service's time: gateways answer in HTML or with 5xx, and caches tell an age.
pub(super) fn counts(status: u16, headers: &HeaderMap) -> bool {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("json"));
    (200..500).contains(&status) && json && !headers.contains_key(header::AGE)
}

/// Milliseconds since 1970, before it negative.
fn milliseconds(time: SystemTime) -> i64 {
    let clamp = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => clamp(since),
        Err(before) => -clamp(before.duration()),
    }
}

/// The other way round; what lies before 1970 is 1970.
fn system_time(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
#[path = "clocks_tests.rs"]
mod tests;
