//! Which requests get another answer than the real one: those of an injection, and those of a trouble.
//!
//! Invariant: the choice depends on the seed, the simulated clock and the order of requests alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::misbehaviour::Rows;
use crate::options::{Injection, Instead, Options};
use crate::request::Request;
use crate::template::mix;

/// How often it has come to each injection and trouble so far.
pub(crate) struct Replacements {
    /// How often each injection's part was asked for.
    injected: Vec<AtomicU64>,
    /// How often each trouble's requests came, and how often they went wrong.
    troubled: Vec<(AtomicU64, AtomicU64)>,
    /// How many requests in a row went wrong by chance.
    rows: Rows,
}

impl Replacements {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            injected: options.faults.injections.iter().map(|_| AtomicU64::new(0)).collect(),
            troubled: options.misbehaviour.troubles.iter().map(|_| Default::default()).collect(),
            rows: Rows::default(),
        }
    }

    /// The other answer of a request that comes so long after the start, if it gets one.
    pub(crate) fn choose<'a>(&self, options: &'a Options, request: &Request, since: Duration) -> Option<&'a Instead> {
        self.injection(options, request)
            .map(|injection| &injection.instead)
            .or_else(|| self.trouble(options, request, since))
    }

    /// The first injection that fits this request now.
    fn injection<'a>(&self, options: &'a Options, request: &Request) -> Option<&'a Injection> {
        let path = request.path_and_query();
        options.faults.injections.iter().zip(&self.injected).find_map(|(injection, count)| {
            if !path.contains(&injection.part) {
                return None;
            }
            let before = count.fetch_add(1, Relaxed);
            let from = u64::from(injection.skip);
            (from..from + u64::from(injection.times)).contains(&before).then_some(injection)
        })
    }

    /// The first trouble that this request has now.
    fn trouble<'a>(&self, options: &'a Options, request: &Request, since: Duration) -> Option<&'a Instead> {
        let troubles = &options.misbehaviour.troubles;
        if troubles.is_empty() {
            return None;
        }
        let text = format!("{} {}", request.method, request.path_and_query());
        let found = troubles.iter().zip(&self.troubled).enumerate().find_map(|(at, (trouble, (count, struck)))| {
            if !trouble.on.iter().all(|part| text.contains(part)) {
                return None;
            }
            let nth = count.fetch_add(1, Relaxed);
            let dice = mix(options.seed ^ mix(nth ^ (at as u64) << 48));
            trouble.when.holds(nth, struck.load(Relaxed), dice, since).then_some((trouble, struck))
        });
        if !self.rows.cut(&text, found.map(|(trouble, _)| trouble.when)) {
            return None;
        }
        found.map(|(trouble, struck)| {
            struck.fetch_add(1, Relaxed);
            &trouble.what
        })
    }
}
