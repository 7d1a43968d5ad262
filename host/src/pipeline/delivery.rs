//! The one thread that hands records to the sinks and commits to the ledger.
//!
//! Several chunks go out together and are committed in one transaction. As long as a sink that isn't optional or the
//! ledger fails, or dead letters have no room, nothing moves on, and readers wait for their bytes.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::drift::Watch;
use super::outputs::{Outputs, Part};
use super::patience::Halt;
use super::troubles::{Spot, What};
use super::{Shared, gap_events, now_ms};
use crate::ledger::{Counts, DeadLetter, Delivered, Progress};
use crate::times::utc;

/// How often old keys are forgotten.
const SWEEP: Duration = Duration::from_secs(3600);
/// How often sinks get to do what is to be done while nothing comes.
const TICK: Duration = Duration::from_secs(1);
/// How often gaps are told while much comes.
const TELLING: Duration = Duration::from_secs(60);

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

/// Runs until every reader has ended, or the run has to.
pub(super) fn run(shared: &Shared, mut outputs: Outputs, inbox: &Receiver<Delivery>) {
    let mut watch = Watch::new();
    let ended = work(shared, &mut outputs, &mut watch, inbox);
    watch.tell();
    match ended {
        Ok(()) => outputs.rest(&shared.ledger),
        Err(Halt::Stopped) => {}
        Err(Halt::Failed(error)) => {
            shared.fail(error);
            shared.queue.wake();
            shared.budget.wake();
        }
    }
}

fn work(shared: &Shared, outputs: &mut Outputs, watch: &mut Watch, inbox: &Receiver<Delivery>) -> Result<(), Halt> {
    let mut swept = Instant::now();
    let mut told = swept;
    loop {
        let first = match inbox.recv_timeout(TICK) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                outputs.tick(&shared.patience, &shared.ledger)?;
                shared.patience.attempt("Delivery", || shared.ledger.check_place())?;
                gap_events::tell(shared, outputs, false)?;
                sweep(shared, &mut swept);
                watch.tell_daily();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return gap_events::tell(shared, outputs, true),
        };
        let mut group = vec![first];
        let mut bytes = group[0].budget;
        let mut last = false;
        // The other half is read and normalised meanwhile.
        while bytes < shared.budget.capacity() / 2 && !last {
            match inbox.try_recv() {
                Ok(next) => {
                    bytes += next.budget;
                    group.push(next);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => last = true,
            }
        }
        deliver(shared, outputs, watch, group)?;
        watch.tell_daily();
        if last {
            return gap_events::tell(shared, outputs, true);
        }
        if told.elapsed() > TELLING {
            told = Instant::now();
            gap_events::tell(shared, outputs, false)?;
        }
        sweep(shared, &mut swept);
    }
}

fn sweep(shared: &Shared, swept: &mut Instant) {
    if swept.elapsed() > SWEEP {
        *swept = Instant::now();
        let keep = u64::try_from(shared.remember.as_millis()).unwrap_or(u64::MAX);
        let now = now_ms();
        if let Err(error) = shared.ledger.forget_before(now.saturating_sub(keep), now) {
            tracing::warn!("Old keys can't be forgotten yet: {error}");
        }
    }
}

fn deliver(shared: &Shared, outputs: &mut Outputs, watch: &mut Watch, mut group: Vec<Delivery>) -> Result<(), Halt> {
    // Before anything goes out: a sink that can't take back would get it again after a restart.
    let letters: u64 = group.iter().flat_map(|delivery| &delivery.delivered.dead_letters).map(DeadLetter::size).sum();
    if group.len() > 1 && shared.ledger.check_room_for_letters(letters).is_err() {
        // Together they have no room. What fits is delivered, so that the warning comes before the halt.
        return group.into_iter().try_for_each(|delivery| deliver(shared, outputs, watch, vec![delivery]));
    }
    if letters > 0 || outputs.may_refuse() {
        shared.patience.attempt("Delivery", || shared.ledger.check_room_for_letters(letters))?;
    }
    let parts: Vec<Part<'_>> = group
        .iter()
        .map(|delivery| Part {
            stream: &delivery.delivered.stream,
            dataset: shared.dataset(&delivery.delivered.stream),
            split: &delivery.delivered.split,
            events: &delivery.events,
            raw: &delivery.raw,
            only_for: None,
        })
        .collect();
    let handed = outputs.deliver(&parts, None, &shared.patience, &shared.ledger)?;
    drop(parts);
    for (place, letter) in handed.letters {
        group[place].delivered.dead_letters.push(letter);
    }
    let budget = group.iter().map(|delivery| delivery.budget).sum();
    let delivered: Vec<Delivered> = group.into_iter().map(|delivery| delivery.delivered).collect();
    let commit = || shared.ledger.commit(&delivered, &handed.marks, now_ms());
    let lost = shared.patience.attempt("Delivery", commit)?;

    for (chunk, lost) in delivered.iter().zip(lost) {
        shared.in_flight.release(&chunk.keys);
        shared.board.count(&chunk.stream, &Counts { lost: chunk.counts.lost + lost, ..chunk.counts });
        if lost > 0 {
            tell_losses(shared, chunk);
        }
        if !chunk.unknown.is_empty() {
            shared.board.unknown(&chunk.stream, watch.add(&chunk.stream, &chunk.unknown));
        }
        if chunk.progress == Progress::Done {
            shared.queue.finished(&chunk.stream, &chunk.split);
        }
        for letter in &chunk.dead_letters {
            if !shared.plugin.may_tell(&chunk.stream, &letter.message) {
                continue;
            }
            tracing::warn!(
                stream = chunk.stream,
                split = letter.split,
                position = letter.position,
                code = letter.code,
                sink = letter.sink,
                "A record became a dead letter: {}",
                letter.message
            );
        }
    }
    shared.budget.give(budget);
    Ok(())
}

/// Tells what of a split the plugin passed over.
fn tell_losses(shared: &Shared, chunk: &Delivered) {
    for loss in &chunk.losses {
        let size = loss.oversized.as_ref().map_or_else(String::new, |record| {
            format!(
                " The record has {} bytes (SHA-256 {}); a limit of {} MiB would read it.",
                record.bytes, record.sha256, record.limit_mib
            )
        });
        let sentence = format!("{}{size} (in {}, arrived at {})", loss.message, chunk.split, utc(chunk.arrival));
        shared.report_sentence(&chunk.stream, What::Lost, Spot::Piece(chunk.split.clone()), (&loss.code, &sentence));
    }
}
