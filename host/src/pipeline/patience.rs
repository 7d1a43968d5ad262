//! Doing something until it succeeds: how long to wait between attempts, how often to tell, when to give up.
//!
//! What holds a run up is told once with its mend, then at slowing intervals, and once more when it is over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::RunError;
use super::reading::pause;
use super::status::PATIENCE;
use crate::http::Cancel;
use crate::ledger::LedgerError;
use crate::sinks::{SinkError, Trouble};

/// What somebody has to mend is looked at again after this time.
const MEND_PAUSE: Duration = Duration::from_secs(60);
/// The first repetition of a sentence comes after this time; each further one after twice as long.
const FIRST_REPETITION: Duration = Duration::from_secs(60);
const SLOWEST_REPETITION: Duration = Duration::from_secs(3600);

/// For whom and how long it is worth waiting.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) cancel: Cancel,
    /// Set when what is going on has to end now: the time to finish it in order is over.
    pub(super) hurry: Arc<AtomicBool>,
    /// Whether somebody waits for the end of the run: then it gives up after some attempts.
    pub(super) finite: bool,
    /// What holds somebody up now, by its sentence: a full disk is told once, however many threads it holds up.
    standing: Arc<Mutex<BTreeMap<String, Standing>>>,
}

/// A sentence that holds somebody up.
#[derive(Default)]
struct Standing {
    telling: Telling,
    waiting: u32,
}

/// Why there was no success.
#[derive(Debug)]
pub(super) enum Halt {
    /// The run was asked to end. Nothing is wrong; what was not committed is delivered at the next start.
    Stopped,
    /// It can't go on.
    Failed(RunError),
}

/// What an error means for another attempt.
pub(super) enum Next {
    /// It may pass, and asks for this time at least.
    Retry(Option<Duration>),
    /// Somebody has to mend something.
    Mend,
    Never,
}

/// An error that says so.
pub(super) trait Passing: std::fmt::Display + Into<RunError> {
    fn next(&self) -> Next;

    /// Whether the attempt got further than the one before.
    fn progressed(&self) -> bool {
        false
    }
}

impl Passing for SinkError {
    fn next(&self) -> Next {
        match self.trouble {
            Trouble::Passing(wait) => Next::Retry(wait),
            Trouble::Mend => Next::Mend,
            Trouble::Configuration | Trouble::Final => Next::Never,
        }
    }

    fn progressed(&self) -> bool {
        self.progressed
    }
}

impl Passing for LedgerError {
    fn next(&self) -> Next {
        match self {
            Self::LettersFull { .. } => Next::Mend,
            // Waiting brings it back to nobody, and what is read meanwhile could not be remembered.
            Self::TakenAway { .. } => Next::Never,
            _ => Next::Retry(None),
        }
    }
}

impl Passing for RunError {
    fn next(&self) -> Next {
        match self {
            Self::Sink(error) => error.next(),
            Self::Ledger(error) => error.next(),
            _ => Next::Never,
        }
    }

    fn progressed(&self) -> bool {
        matches!(self, Self::Sink(error) if error.progressed())
    }
}

/// Somebody who is held up.
struct Held<'a> {
    patience: &'a Patience,
    sentence: String,
}

impl<'a> Held<'a> {
    fn new(patience: &'a Patience, sentence: String) -> Self {
        patience.standing().entry(sentence.clone()).or_default().waiting += 1;
        Self { patience, sentence }
    }

    /// If the sentence is to be told now: for how many seconds it has held somebody up.
    fn is_due(&self) -> Option<u64> {
        let mut standing = self.patience.standing();
        let telling = &mut standing.get_mut(&self.sentence)?.telling;
        telling.is_due().then(|| telling.since.elapsed().as_secs())
    }

    fn is_last(&self) -> bool {
        self.patience.standing().get(&self.sentence).is_none_or(|standing| standing.waiting <= 1)
    }

    fn end(self, what: &str) {
        let since = self.patience.standing().get(&self.sentence).map(|standing| standing.telling.since);
        if let Some(since) = since.filter(|_| self.is_last()) {
            tracing::info!(held_up_s = since.elapsed().as_secs(), "{what} goes on.");
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut all = self.patience.standing();
        if let Some(standing) = all.get_mut(&self.sentence) {
            standing.waiting -= 1;
            if standing.waiting == 0 {
                all.remove(&self.sentence);
            }
        }
    }
}

impl Patience {
    pub(super) fn new(cancel: Cancel, hurry: Arc<AtomicBool>, finite: bool) -> Self {
        Self { cancel, hurry, finite, standing: Arc::default() }
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attempts something until it succeeds, or there is no sense in going on.
    /// `what` is what waits for it, as the first word of a sentence.
    pub(super) fn attempt<T, E: Passing>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Halt> {
        let mut held: Option<Held<'_>> = None;
        let mut failures = 0;
        loop {
            if self.hurry.load(Ordering::Relaxed) {
                return Err(Halt::Stopped);
            }
            let error = match attempt() {
                Ok(value) => {
                    if let Some(held) = held {
                        held.end(what);
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            failures = if error.progressed() { 1 } else { failures + 1 };
            let wait = match error.next() {
                Next::Never => return Err(Halt::Failed(error.into())),
                Next::Mend if self.finite => return Err(Halt::Failed(error.into())),
                Next::Retry(_) if self.finite && failures >= PATIENCE => return Err(Halt::Failed(error.into())),
                Next::Retry(asked) => pause(failures.min(6)).max(asked.unwrap_or_default()),
                Next::Mend => MEND_PAUSE,
            };
            let sentence = error.to_string();
            if held.as_ref().is_none_or(|held| held.sentence != sentence) {
                held = Some(Held::new(self, sentence));
            }
            if let Some(held_up_s) = held.as_ref().and_then(Held::is_due) {
                tracing::error!(failures, held_up_s, retry_in_s = wait.as_secs(), "{what} is held up: {error}");
            }
            if self.cancel.wait(wait).is_err() {
                if held.is_some_and(|held| held.is_last()) {
                    tracing::warn!(
                        "{what} was held up when the run was stopped, and goes on at the next start: {error}"
                    );
                }
                return Err(Halt::Stopped);
            }
        }
    }
}

/// Says when a sentence is due again.
#[derive(Debug)]
pub(super) struct Telling {
    since: Instant,
    next: Option<Instant>,
    interval: Duration,
}

impl Default for Telling {
    fn default() -> Self {
        Self { since: Instant::now(), next: None, interval: FIRST_REPETITION }
    }
}

impl Telling {
    /// Whether to tell it now.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.next = Some(now + self.interval);
        self.interval = (self.interval * 2).min(SLOWEST_REPETITION);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(finite: bool) -> Patience {
        Patience::new(Cancel::new(), Arc::default(), finite)
    }

    fn failing(trouble: Trouble) -> impl FnMut() -> Result<(), SinkError> {
        move || Err(SinkError::new(trouble, "it fails"))
    }

    #[test]
    fn a_sentence_is_told_once_and_then_slowly() {
        let mut telling = Telling::default();
        assert!(telling.is_due());
        assert!(!telling.is_due());
        telling.next = Some(Instant::now());
        assert!(telling.is_due());
        assert_eq!(telling.interval, FIRST_REPETITION * 4);
    }

    #[test]
    fn what_is_to_be_mended_ends_a_run_that_somebody_waits_for() {
        assert!(matches!(patience(true).attempt("Delivery", failing(Trouble::Mend)), Err(Halt::Failed(_))));
        assert!(matches!(patience(false).attempt("Delivery", failing(Trouble::Final)), Err(Halt::Failed(_))));
    }

    #[test]
    fn what_holds_several_up_is_told_once() {
        let patience = patience(false);
        let (one, other) = (Held::new(&patience, "full".to_owned()), Held::new(&patience, "full".to_owned()));
        assert!(one.is_due().is_some() && other.is_due().is_none() && !one.is_last());
        drop(one);
        assert!(other.is_last());
        drop(other);
        assert!(patience.standing().is_empty());
    }

    #[test]
    fn a_stop_ends_the_waiting_and_is_no_failure() {
        let patience = patience(false);
        let cancel = patience.cancel.clone();
        let waiter = std::thread::spawn(move || {
            let wait = Trouble::Passing(Some(Duration::from_secs(600)));
            matches!(patience.attempt("Delivery", failing(wait)), Err(Halt::Stopped))
        });
        std::thread::sleep(Duration::from_millis(20));
        cancel.cancel();
        assert!(waiter.join().unwrap());
    }
}
