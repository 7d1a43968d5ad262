//! What each service last did with a token: took it, or refused it.
//!
//! The invariant: while it isn't known whether a service takes a token that was just issued, one request finds out and the
//! others wait for it, for a moment. Twelve streams with a token that is refused would otherwise use up a quota to learn it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use super::{Cancel, Secret};
use crate::clock::instant;

/// So long the others wait at most: the one that tries may have met a slow answer.
const LONGEST: Duration = Duration::from_secs(2);
/// How often they look.
const LOOK: Duration = Duration::from_millis(10);
/// A refusal that is older says nothing of one that comes now.
const RECENT: Duration = Duration::from_secs(60);

/// Of the service of one audience.
#[derive(Default)]
struct Seen {
    /// The last token that it didn't refuse.
    good: Option<Secret>,
    /// When it last refused one with 401.
    refused: Option<Instant>,
    /// Whether a request is finding out about a new one.
    trying: bool,
}

/// Of all audiences.
#[derive(Default)]
pub(super) struct Trials(Mutex<BTreeMap<String, Seen>>);

/// Held by the request that finds out.
pub(super) struct Trial<'a> {
    trials: &'a Trials,
    audience: &'a str,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(seen) = self.trials.lock().get_mut(self.audience) {
            seen.trying = false;
        }
    }
}

impl Trials {
    /// Before a request goes out with a token: waits for another that finds out about it, or is the one that does.
    ///
    /// # Errors
    /// `cancelled`.
    pub(super) fn begin<'a>(
        &'a self,
        audience: &'a str,
        token: &Secret,
        cancel: &Cancel,
    ) -> Result<Option<Trial<'a>>, Error> {
        let begun = instant();
        loop {
            {
                let mut all = self.lock();
                let seen = entry(&mut all, audience);
                if seen.good.as_ref() == Some(token) {
                    return Ok(None);
                }
                if !seen.trying {
                    seen.trying = true;
                    return Ok(Some(Trial { trials: self, audience }));
                }
            }
            if instant().saturating_duration_since(begun) >= LONGEST {
                return Ok(None);
            }
            cancel.wait(LOOK)?;
        }
    }

    /// The answer to a request with a token.
    pub(super) fn answered(&self, audience: &str, token: &Secret, status: u16) {
        let mut all = self.lock();
        let seen = entry(&mut all, audience);
        if status == 401 {
            seen.refused = Some(instant());
            if seen.good.as_ref() == Some(token) {
                seen.good = None;
            }
        }
        // Whatever else a service refuses, it has looked at the token.
        if (200..500).contains(&status) && status != 401 && seen.good.as_ref() != Some(token) {
            seen.good = Some(token.clone());
        }
    }

    /// Whether the service refused a token within the last minute: a token that was just issued can take its time to get around.
    pub(super) fn refusal_may_pass(&self, audience: &str) -> bool {
        let now = instant();
        let recent = |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < RECENT);
        self.lock().get(audience).is_some_and(|seen| recent(seen.refused))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(all: &'a mut BTreeMap<String, Seen>, audience: &str) -> &'a mut Seen {
    if !all.contains_key(audience) {
        all.insert(audience.to_owned(), Seen::default());
    }
    all.get_mut(audience).expect("it was just put there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_finds_out_and_the_others_wait_for_it() {
        let (trials, cancel) = (Trials::default(), Cancel::new());
        let token = Secret::new("a".to_owned());
        let trial = trials.begin("x", &token, &cancel).unwrap();
        assert!(trial.is_some());
        assert!(trials.begin("y", &token, &cancel).unwrap().is_some(), "another service");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| trials.begin("x", &token, &cancel).unwrap().is_some());
            trials.answered("x", &token, 200);
            drop(trial);
            assert!(!waiting.join().unwrap(), "it is known to be good");
        });
        assert!(trials.begin("x", &token, &cancel).unwrap().is_none());
        assert!(trials.begin("x", &Secret::new("b".to_owned()), &cancel).unwrap().is_some(), "another token");
    }

    #[test]
    fn nobody_waits_for_ever_and_a_stop_ends_it() {
        let (trials, cancel) = (Trials::default(), Cancel::new());
        let _trial = trials.begin("x", &Secret::new("a".to_owned()), &cancel).unwrap();
        assert!(trials.begin("x", &Secret::new("a".to_owned()), &cancel).unwrap().is_none(), "it was waited for");
        cancel.cancel();
        assert!(trials.begin("x", &Secret::new("a".to_owned()), &cancel).is_err());
    }
}
