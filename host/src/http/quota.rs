//! Rates: at most so many requests in any stretch of time, shared by everyone who names the quota.
//!
//! Invariant: no stretch as long as the quota's window, wherever it begins, ever holds more arrivals at the service than
//! the quota allows. (A token bucket would allow nearly twice as many: a full bucket and a window's refill.) When a request
//! arrives isn't known, but that it has by the time of its answer: its place is free a window after that. What the windows
//! hold outlives the process, by `quota_memory.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::error::{Error, ErrorKind};
use super::quota_memory::{Past, QuotaMemory};
use crate::{claims, clock};

/// At most `requests` in any stretch of `per`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRule {
    /// The name by which requests refer to it.
    pub name: String,
    /// How many; at least one.
    pub requests: u32,
    /// In which time; more than zero and at most a week.
    pub per: Duration,
}

/// From this share of its limit on, a service is asked less.
const NEAR: f64 = 0.8;

/// Longer windows make no sense for requests, and times without bound can't be added.
const LONGEST_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What to do when a service asks for fewer requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// How far apart requests go out after the first refusal if the service doesn't say how long to wait; each further one
    /// in a row doubles it, and each success halves it. The first is up to half as long again at random.
    pub base: Duration,
    /// As far apart at most, before the random part.
    pub max: Duration,
    /// The longest pause that a service can ask for. A longer wish is cut down to this.
    pub max_retry_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), max: Duration::from_secs(15 * 60), max_retry_after: claims::LONGEST_WAIT }
    }
}

/// What happened at one quota so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaStats {
    /// Requests let through.
    pub granted: u64,
    /// Requests that had to wait, whether or not they were let through in the end.
    pub waits: u64,
    /// For how long, summed up over all of them.
    pub waited: Duration,
    /// How often the service asked for fewer requests.
    pub penalties: u64,
    /// For how long the quota is closed from now on; zero if it is open.
    pub closed_for: Duration,
}

/// One quota's state. It reads no clock: the time is an argument.
#[derive(Debug)]
struct Bucket {
    requests: usize,
    window: Duration,
    backoff: Backoff,
    /// When the requests of the last window were answered; with those under way at most `requests`.
    answered: VecDeque<Instant>,
    /// Requests without an answer.
    under_way: usize,
    closed_until: Option<Instant>,
    /// How far apart requests go out, after refusals without a time; zero as a rule.
    gap: Duration,
    /// The next one, by that.
    next: Option<Instant>,
    /// Refusals before this are of requests that were under way, and tell nothing new.
    struck_until: Option<Instant>,
    stats: QuotaStats,
}

impl Bucket {
    fn new(requests: usize, window: Duration, backoff: Backoff) -> Self {
        Self {
            requests,
            window,
            backoff,
            answered: VecDeque::new(),
            under_way: 0,
            closed_until: None,
            gap: Duration::ZERO,
            next: None,
            struck_until: None,
            stats: QuotaStats::default(),
        }
    }

    /// Goes on from what an earlier process used; its times are milliseconds since 1970.
    fn resume(&mut self, past: &Past, now: Instant, now_ms: u64) {
        for at in &past.answered {
            let age = Duration::from_millis(now_ms.saturating_sub(*at));
            if age < self.window {
                // A machine that is younger than that has forgotten when it was.
                self.answered.push_back(now.checked_sub(age).unwrap_or(now));
            }
        }
        self.answered.make_contiguous().sort_unstable();
        let more = self.answered.len().saturating_sub(self.requests);
        self.answered.drain(..more);
        let closed = claims::wait(Duration::from_millis(past.closed_until.saturating_sub(now_ms)));
        self.closed_until = (!closed.is_zero()).then(|| now + closed);
    }

    /// Until when no request goes out, whatever the window holds.
    fn shut_until(&self) -> Option<Instant> {
        self.closed_until.max(self.next)
    }

    /// Lets one request leave now, or says how long to wait before asking again.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        while self.answered.front().is_some_and(|oldest| *oldest + self.window <= now) {
            self.answered.pop_front();
        }
        let full = self.answered.len() + self.under_way >= self.requests;
        // With all of them under way, none is free earlier than a window after the next answer.
        let free = full.then(|| self.answered.front().map_or(now, |oldest| *oldest) + self.window);
        match free.max(self.shut_until()) {
            Some(until) if until > now => Err(until - now),
            _ => {
                self.under_way += 1;
                self.stats.granted += 1;
                self.next = (!self.gap.is_zero()).then(|| now + self.gap);
                Ok(())
            }
        }
    }

    /// A request has its answer, or will have none.
    fn answer(&mut self, now: Instant) {
        self.under_way -= 1;
        self.answered.push_back(now);
    }

    /// Closes the quota for as long as the service said, or else lets requests out further apart. `random` is in 0..1.
    fn penalize(&mut self, now: Instant, retry_after: Option<Duration>, random: f64) {
        self.stats.penalties += 1;
        let nothing_new = self.closed_until.max(self.struck_until).is_some_and(|until| until > now);
        match retry_after {
            Some(wish) => {
                let pause = wish.min(self.backoff.max_retry_after);
                self.closed_until = self.closed_until.max(Some(now + pause));
            }
            None if nothing_new => {}
            None => {
                self.gap = self.gap.saturating_mul(2).max(self.backoff.base).min(self.backoff.max);
                let until = now + self.gap + self.gap.mul_f64(random / 2.0);
                self.struck_until = Some(until);
                self.next = self.next.max(self.struck_until);
            }
        }
    }

    /// The service told how much of its own limit is used, 1 being all of it: near it, the next request waits half a
    /// window, and beyond it a whole one. Other applications may share the limit.
    fn ease(&mut self, now: Instant, load: f64) {
        let pause = match load {
            load if load >= 1.0 => self.window,
            load if load >= NEAR => self.window / 2,
            _ => return,
        };
        self.closed_until = self.closed_until.max(Some(now + pause));
    }

    /// The service served a request: if it was none that was under way before a refusal, requests go out closer together.
    fn relieve(&mut self, now: Instant) {
        if self.closed_until.max(self.struck_until).is_some_and(|until| until > now) {
            return;
        }
        self.closed_until = None;
        self.struck_until = None;
        self.gap /= 2;
        if self.gap < self.backoff.base {
            self.gap = Duration::ZERO;
        }
        self.next = if self.gap.is_zero() { None } else { self.next.min(Some(now + self.gap)) };
    }
}

/// A request that has taken its place and has no answer yet.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    quotas: &'a Quotas,
    name: &'a str,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(mut bucket) = self.quotas.bucket(self.name) {
            bucket.answer(clock::instant());
            drop(bucket);
            self.quotas.memory.answered(self.name);
        }
    }
}

/// All quotas of a client.
#[derive(Debug)]
pub(super) struct Quotas {
    buckets: BTreeMap<String, Mutex<Bucket>>,
    memory: QuotaMemory,
}

impl Quotas {
    /// Takes the rules, and the file in which their use is remembered.
    pub(super) fn new(rules: &[QuotaRule], backoff: &Backoff, memory: Option<PathBuf>) -> Result<Self, Error> {
        let backoff = Backoff {
            base: backoff.base.min(LONGEST_WINDOW),
            max: backoff.max.min(LONGEST_WINDOW),
            max_retry_after: backoff.max_retry_after.min(LONGEST_WINDOW),
        };
        let longest = rules.iter().map(|rule| rule.per).max().unwrap_or_default().min(LONGEST_WINDOW);
        let (memory, past) = QuotaMemory::open(memory, longest);
        let (now, now_ms) = (clock::instant(), clock::now_ms());
        let mut buckets = BTreeMap::new();
        for rule in rules {
            let bad =
                |why: &str| Error::new(ErrorKind::InvalidConfig, "quota", format!("The quota {:?} {why}.", rule.name));
            if rule.requests == 0 || rule.per.is_zero() {
                return Err(bad("allows nothing: give it at least one request and a time above zero"));
            }
            let mut bucket = Bucket::new(rule.requests as usize, rule.per, backoff.clone());
            if let Some(past) = past.get(&rule.name) {
                bucket.resume(past, now, now_ms);
            }
            if rule.per > LONGEST_WINDOW {
                return Err(bad("counts over more than a week"));
            }
            if buckets.insert(rule.name.clone(), Mutex::new(bucket)).is_some() {
                return Err(bad("is there twice"));
            }
        }
        Ok(Self { buckets, memory })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.buckets.contains_key(name)
    }

    fn bucket(&self, name: &str) -> Option<MutexGuard<'_, Bucket>> {
        // A bucket is consistent between any two statements, so a panic elsewhere doesn't spoil it.
        self.buckets.get(name).map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the quota lets a request leave. Fails if that would take longer than `max_hold` in all. What it returns
    /// is kept until the request has its answer.
    pub(super) fn acquire<'a>(
        &'a self,
        name: &'a str,
        max_hold: Duration,
        cancel: &Cancel,
    ) -> Result<UnderWay<'a>, Error> {
        let start = clock::instant();
        let mut waited = false;
        loop {
            cancel.check()?;
            let now = clock::instant();
            let wait = {
                let Some(mut bucket) = self.bucket(name) else {
                    return Err(Error::new(ErrorKind::Internal, "quota", format!("There is no quota {name:?}.")));
                };
                let taken = bucket.take(now);
                if waited && taken.is_ok() {
                    bucket.stats.waited += now - start;
                }
                match taken {
                    Ok(()) => {
                        drop(bucket);
                        self.memory.sent(name);
                        return Ok(UnderWay { quotas: self, name });
                    }
                    Err(wait) => {
                        if !waited {
                            bucket.stats.waits += 1;
                            waited = true;
                        }
                        wait
                    }
                }
            };
            if now - start + wait > max_hold {
                return Err(Error::new(
                    ErrorKind::RateLimited,
                    "quota",
                    format!(
                        "The quota {name:?} has no room for {} seconds; the request was not sent. It will be tried again then.",
                        wait.as_secs().max(1)
                    ),
                )
                .retry_after(wait));
            }
            cancel.wait(wait)?;
        }
    }

    /// Returns for how long no request goes out now.
    pub(super) fn penalize(&self, name: &str, retry_after: Option<Duration>) -> Duration {
        let now = clock::instant();
        let Some(mut bucket) = self.bucket(name) else { return Duration::ZERO };
        bucket.penalize(now, retry_after, fastrand::f64());
        let left = |until: Option<Instant>| until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let (closed, shut) = (left(bucket.closed_until), left(bucket.shut_until()));
        drop(bucket);
        if retry_after.is_some() {
            self.memory.closed(name, closed);
        }
        shut
    }

    pub(super) fn ease(&self, name: &str, load: f64) {
        if let Some(mut bucket) = self.bucket(name) {
            bucket.ease(clock::instant(), load);
        }
    }

    pub(super) fn relieve(&self, name: &str) {
        if let Some(mut bucket) = self.bucket(name) {
            bucket.relieve(clock::instant());
        }
    }

    pub(super) fn stats(&self) -> BTreeMap<String, QuotaStats> {
        let now = clock::instant();
        let stats = |name: &String| {
            let bucket = self.bucket(name)?;
            let closed_for = bucket.shut_until().map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            Some((name.clone(), QuotaStats { closed_for, ..bucket.stats.clone() }))
        };
        self.buckets.keys().filter_map(stats).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(requests: usize, window: Duration) -> Bucket {
        Bucket::new(requests, window, Backoff::default())
    }

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the pattern of requests, delays and penalties: the service never sees too many in a window, whoever
        /// waits as long as told gets in, and no departure falls into a pause.
        #[test]
        fn no_window_holds_more_than_the_quota(
            requests in 1_usize..8,
            window_ms in 1_u64..500,
            steps in prop::collection::vec(
                (0_u64..200, prop::option::weighted(0.05, prop::option::of(0_u64..300)), any::<bool>(), 0_u64..100, 0_u64..100),
                1..400,
            ),
        ) {
            let window = Duration::from_millis(window_ms);
            let mut bucket = bucket(requests, window);
            bucket.backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(80), max_retry_after: Duration::from_millis(250) };
            let mut now = Instant::now();
            let (mut departures, mut arrivals, mut answers) = (Vec::new(), Vec::new(), Vec::new());
            let mut pauses: Vec<(Instant, Instant)> = Vec::new();
            for (gap_ms, penalty, patient, transit_ms, reply_ms) in steps {
                now += Duration::from_millis(gap_ms);
                if let Some(retry_after_ms) = penalty {
                    bucket.penalize(now, retry_after_ms.map(Duration::from_millis), 0.5);
                    pauses.extend(bucket.shut_until().map(|until| (now, until)));
                }
                for attempt in 0_u64.. {
                    answers.sort_unstable();
                    let due = answers.iter().filter(|at| **at <= now).count();
                    for at in answers.drain(..due) {
                        bucket.answer(at);
                    }
                    match bucket.take(now) {
                        Ok(()) => {
                            departures.push(now);
                            arrivals.push(now + Duration::from_millis(transit_ms));
                            answers.push(now + Duration::from_millis(transit_ms + reply_ms));
                            break;
                        }
                        // While all are under way it is told to wait a window, again and again, and an answer takes up to
                        // 198 ms.
                        Err(wait) if patient => {
                            prop_assert!(wait > Duration::ZERO && attempt < 50 + 198 / window_ms, "it waits without end");
                            now += wait;
                        }
                        Err(_) => break,
                    }
                }
            }
            arrivals.sort_unstable();
            for many in arrivals.windows(requests + 1) {
                prop_assert!(many[requests] - many[0] >= window);
            }
            for (from, to) in pauses {
                prop_assert!(!departures.iter().any(|at| *at > from && *at < to));
            }
        }

        /// The quota is not only kept but used: with demand always there, each window is full.
        #[test]
        fn constant_demand_uses_the_whole_quota(requests in 1_usize..20, window_ms in 1_u64..2000) {
            let mut bucket = bucket(requests, Duration::from_millis(window_ms));
            let start = Instant::now();
            let mut now = start;
            for _ in 0..requests * 5 {
                while let Err(wait) = bucket.take(now) {
                    now += wait;
                }
                bucket.answer(now);
            }
            prop_assert_eq!(now - start, Duration::from_millis(window_ms) * 4);
        }
    }

    #[test]
    fn refusals_without_a_time_double_the_gap_up_to_the_maximum_and_successes_halve_it() {
        let mut bucket = bucket(1000, SECOND);
        let mut now = Instant::now();
        let mut gaps = Vec::new();
        for _ in 0..12 {
            bucket.penalize(now, None, 0.0);
            // What was under way is refused as well, which is nothing new.
            bucket.penalize(now, None, 0.0);
            bucket.relieve(now);
            gaps.push(bucket.gap.as_secs());
            now += bucket.take(now).unwrap_err();
            bucket.take(now).unwrap();
            assert_eq!(bucket.take(now), Err(bucket.gap), "one at a time");
        }
        assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        let mut halved = Vec::new();
        while bucket.take(now).is_err() {
            bucket.relieve(now);
            halved.push(bucket.gap.as_secs());
        }
        assert_eq!(halved, [450, 225, 112, 56, 28, 14, 7, 3, 1, 0]);
        bucket.penalize(now, None, 0.5);
        assert_eq!(bucket.take(now), Err(Duration::from_millis(1_250)));
    }

    #[test]
    fn one_refusal_in_five_costs_about_a_second_each() {
        let mut bucket = bucket(2_000, Duration::from_secs(60));
        let start = Instant::now();
        let mut now = start;
        for number in 0..100 {
            while let Err(wait) = bucket.take(now) {
                now += wait;
            }
            now += Duration::from_millis(50);
            bucket.answer(now);
            if number % 5 == 4 { bucket.penalize(now, None, 1.0) } else { bucket.relieve(now) }
        }
        assert!(now - start < Duration::from_secs(45), "{:?}", now - start);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Killed at any moment and started again at once, as often as you like: no window holds more than the quota, by what
        /// the service has seen.
        #[test]
        fn a_process_that_dies_at_any_moment_keeps_the_quota(
            requests in 1_usize..6,
            lives in prop::collection::vec((1_usize..12, any::<bool>(), 0_u64..400), 1..12),
        ) {
            let window = Duration::from_millis(1000);
            let start = Instant::now();
            let (mut now_ms, mut arrivals, mut past) = (1_795_984_132_000_u64, Vec::<u64>::new(), Past::default());
            for (wanted, in_flight, pause_ms) in lives {
                now_ms += pause_ms;
                let at = |ms: u64| start + Duration::from_millis(ms - 1_795_984_132_000);
                let mut bucket = bucket(requests, window);
                bucket.resume(&past, at(now_ms), now_ms);
                for _ in 0..wanted {
                    while let Err(wait) = bucket.take(at(now_ms)) {
                        now_ms += u64::try_from(wait.as_millis()).unwrap();
                    }
                    arrivals.push(now_ms);
                    bucket.answer(at(now_ms));
                    past.answered.push(now_ms);
                }
                if in_flight && bucket.take(at(now_ms)).is_ok() {
                    // It died with one under way, which arrived at some time before the next life begins.
                    arrivals.push(now_ms);
                    past.answered.push(now_ms + 1);
                }
            }
            for many in arrivals.windows(requests + 1) {
                prop_assert!(many[requests] - many[0] >= 1000, "{arrivals:?}");
            }
        }
    }

    #[test]
    fn a_pause_of_the_service_is_taken_up_to_the_limit_and_never_shortened() {
        let mut bucket = bucket(1, SECOND);
        let now = Instant::now();
        bucket.penalize(now, Some(10 * SECOND), 0.0);
        bucket.penalize(now, Some(SECOND), 0.0);
        bucket.penalize(now, None, 0.0);
        assert_eq!(bucket.take(now), Err(10 * SECOND));
        bucket.relieve(now + SECOND);
        assert_eq!(bucket.take(now + SECOND), Err(9 * SECOND), "a late success doesn't open it");
        bucket.penalize(now, Some(Duration::MAX), 0.0);
        assert_eq!(bucket.take(now), Err(Duration::from_secs(3600)));
        assert_eq!(bucket.take(now + Duration::from_secs(3600)), Ok(()));
    }

    #[test]
    fn a_service_near_its_limit_is_asked_less() {
        let mut bucket = bucket(5, 10 * SECOND);
        let now = Instant::now();
        for (load, wait) in [(0.5, None), (f64::NAN, None), (0.8, Some(5)), (1.7, Some(10)), (0.9, Some(10))] {
            bucket.ease(now, load);
            assert_eq!(bucket.closed_until.map(|until| (until - now).as_secs()), wait, "{load}");
        }
    }

    /// Six streams that are all behind share one quota, each as fast as it can.
    #[test]
    fn streams_that_are_all_behind_keep_the_quota_together() {
        let rules = [QuotaRule { name: "reports".to_owned(), requests: 5, per: Duration::from_millis(200) }];
        let quotas = Quotas::new(&rules, &Backoff::default(), None).unwrap();
        let departures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        let under_way = quotas.acquire("reports", Duration::from_secs(60), &Cancel::new()).unwrap();
                        departures.lock().unwrap().push(Instant::now());
                        drop(under_way);
                    }
                });
            }
        });
        let mut departures = departures.into_inner().unwrap();
        departures.sort_unstable();
        assert_eq!(departures.len(), 48);
        for many in departures.windows(6) {
            assert!(many[5] - many[0] >= Duration::from_millis(200), "{:?}", many[5] - many[0]);
        }
        assert!(departures[47] - departures[0] >= Duration::from_millis(200 * 9));
    }

    #[test]
    fn rules_that_allow_nothing_or_come_twice_are_refused() {
        let rule = |requests, per| QuotaRule { name: "q".to_owned(), requests, per };
        for rules in [
            vec![rule(0, SECOND)],
            vec![rule(1, Duration::ZERO)],
            vec![rule(1, SECOND), rule(2, SECOND)],
            vec![rule(1, Duration::MAX)],
        ] {
            let error = Quotas::new(&rules, &Backoff::default(), None).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidConfig);
        }
    }

    #[test]
    fn times_without_bound_do_no_harm() {
        let rules = [QuotaRule { name: "q".to_owned(), requests: u32::MAX, per: SECOND }];
        let backoff = Backoff { base: Duration::MAX, max: Duration::MAX, max_retry_after: Duration::MAX };
        let quotas = Quotas::new(&rules, &backoff, None).unwrap();
        quotas.acquire("q", Duration::MAX, &Cancel::new()).unwrap();
        quotas.penalize("q", None);
        quotas.penalize("q", Some(Duration::MAX));
        assert!(quotas.stats()["q"].closed_for > LONGEST_WINDOW - 60 * SECOND);
        assert_eq!(quotas.acquire("q", SECOND, &Cancel::new()).unwrap_err().kind, ErrorKind::RateLimited);
    }

    #[test]
    fn a_wait_beyond_the_limit_fails_at_once_with_the_time_to_come_back() {
        let rules = [QuotaRule { name: "q".to_owned(), requests: 1, per: 60 * SECOND }];
        let quotas = Quotas::new(&rules, &Backoff::default(), None).unwrap();
        quotas.acquire("q", SECOND, &Cancel::new()).unwrap();
        let start = Instant::now();
        let error = quotas.acquire("q", SECOND, &Cancel::new()).unwrap_err();
        assert!(start.elapsed() < 30 * SECOND);
        assert_eq!(error.kind, ErrorKind::RateLimited);
        assert!(error.retry_after.is_some_and(|wait| wait > 20 * SECOND && wait <= 60 * SECOND));
        assert_eq!(quotas.stats()["q"].waits, 1);
    }

    #[test]
    fn waiting_is_cancelled() {
        let rules = [QuotaRule { name: "q".to_owned(), requests: 1, per: 60 * SECOND }];
        let quotas = Quotas::new(&rules, &Backoff::default(), None).unwrap();
        let cancel = Cancel::new();
        quotas.acquire("q", 90 * SECOND, &cancel).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| quotas.acquire("q", 90 * SECOND, &cancel));
            std::thread::sleep(Duration::from_millis(20));
            cancel.cancel();
            assert_eq!(waiter.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
        });
    }
}
