//! The one thread that hands records to the sinks and commits to the ledger.
//!
//! Several chunks go out together and are committed in one transaction. A sink that confirmed isn't asked again when
//! another one has to be. As long as a sink or the ledger fails, nothing moves on, and readers wait for their bytes.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::status::PATIENCE;
use super::{RunError, Shared, now_ms};
use crate::config::SinkFormat;
use crate::ledger::{Delivered, Progress};
use crate::sinks::{Sink, SinkError};

/// How much goes out together at most.
const GROUP_BYTES: usize = 4 << 20;
/// How often old keys are forgotten.
const SWEEP: Duration = Duration::from_secs(3600);

/// A chunk on its way out.
pub(super) struct Delivery {
    /// Events, one a line.
    pub(super) events: Vec<u8>,
    /// Wrapped raw records, one a line.
    pub(super) raw: Vec<u8>,
    /// The bytes it took from the budget.
    pub(super) budget: usize,
    /// What to commit.
    pub(super) delivered: Delivered,
}

/// Runs until every reader has ended.
pub(super) fn run(shared: &Shared, mut sinks: Vec<Box<dyn Sink>>, inbox: &Receiver<Delivery>) {
    let mut swept = Instant::now();
    while let Ok(first) = inbox.recv() {
        let mut group = vec![first];
        let mut bytes = group[0].budget;
        let mut last = false;
        while bytes < GROUP_BYTES {
            match inbox.try_recv() {
                Ok(next) => {
                    bytes += next.budget;
                    group.push(next);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    last = true;
                    break;
                }
            }
        }
        if let Err(error) = deliver(shared, &mut sinks, group) {
            shared.fail(error);
            shared.queue.wake();
            shared.budget.wake();
            return;
        }
        if last {
            return;
        }
        if swept.elapsed() > SWEEP {
            swept = Instant::now();
            let keep = u64::try_from(shared.remember.as_millis()).unwrap_or(u64::MAX);
            if let Err(error) = shared.ledger.forget_before(now_ms().saturating_sub(keep)) {
                tracing::warn!("Old keys can't be forgotten yet: {error}");
            }
        }
    }
}

fn deliver(shared: &Shared, sinks: &mut [Box<dyn Sink>], group: Vec<Delivery>) -> Result<(), RunError> {
    let mut positions = Vec::new();
    for sink in sinks.iter_mut() {
        let position = with_patience(shared, || hand_over(sink.as_mut(), &group))?;
        positions.extend(position.map(|position| (sink.name().to_owned(), position)));
    }
    let budget = group.iter().map(|delivery| delivery.budget).sum();
    let delivered: Vec<Delivered> = group.into_iter().map(|delivery| delivery.delivered).collect();
    with_patience(shared, || shared.ledger.commit(&delivered, &positions, now_ms()))?;

    for chunk in &delivered {
        shared.in_flight.release(&chunk.keys);
        shared.board.count(&chunk.stream, &chunk.counts);
        if chunk.progress == Progress::Done {
            shared.queue.finished(&chunk.stream, &chunk.split);
        }
        for letter in &chunk.dead_letters {
            tracing::warn!(
                stream = chunk.stream,
                split = letter.split,
                position = letter.position,
                code = letter.code,
                "A record became a dead letter: {}",
                letter.message
            );
        }
    }
    shared.budget.give(budget);
    Ok(())
}

fn hand_over(sink: &mut dyn Sink, group: &[Delivery]) -> Result<Option<u64>, SinkError> {
    let write = |sink: &mut dyn Sink| {
        for delivery in group {
            let lines = match sink.format() {
                SinkFormat::Ocsf => &delivery.events,
                SinkFormat::Raw => &delivery.raw,
            };
            if !lines.is_empty() {
                sink.write(lines)?;
            }
        }
        sink.confirm()
    };
    write(sink).map_err(|error| match sink.roll_back() {
        Ok(()) => error,
        Err(back) => SinkError { message: format!("{error} {back}"), fatal: true },
    })
}

/// Whether an error can pass.
trait Passing: std::fmt::Display + Into<RunError> {
    fn may_pass(&self) -> bool;
}

impl Passing for SinkError {
    fn may_pass(&self) -> bool {
        !self.fatal
    }
}

impl Passing for crate::ledger::LedgerError {
    fn may_pass(&self) -> bool {
        true
    }
}

/// Does something until it succeeds. It gives up if the error can't pass, when the run is ending, and, in a run that
/// should end, after some attempts.
fn with_patience<T, E: Passing>(shared: &Shared, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, RunError> {
    let mut failures = 0;
    loop {
        let error = match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        failures += 1;
        if !error.may_pass() || (shared.until_caught_up && failures >= PATIENCE) {
            return Err(error.into());
        }
        let wait = super::reading::pause(failures.min(6));
        tracing::error!(failures, retry_in_s = wait.as_secs(), "Delivery is held up: {error}");
        if shared.cancel.wait(wait).is_err() {
            return Err(error.into());
        }
    }
}
