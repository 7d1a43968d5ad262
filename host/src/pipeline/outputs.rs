//! Handing lines to the sinks: who gets what, in which order, and what each of them says.
//!
//! A group is done once every sink that isn't optional has confirmed it: the worst status wins. A sink that confirmed
//! isn't asked again while another one has to be. Sinks that take back what isn't committed come first, so that a crash
//! between two of them repeats as little as possible; optional ones come last.

use std::time::Instant;

use super::patience::{Halt, Patience, Telling};
use super::reading::pause;
use super::{RunError, now_ms};
use crate::config::SinkFormat;
use crate::ledger::{DeadLetter, Ledger, SinkMark};
use crate::sinks::{Coming, Output, Receipt, Refused, SinkError};

/// The lines of one stream that go out together.
pub(super) struct Part<'a> {
    pub(super) stream: &'a str,
    pub(super) dataset: &'a str,
    pub(super) split: &'a str,
    /// Events, one a line.
    pub(super) events: &'a [u8],
    /// Wrapped raw records, one a line.
    pub(super) raw: &'a [u8],
    /// The format that it is for, if it isn't what the plugin made: sinks of another format don't get it.
    pub(super) only_for: Option<SinkFormat>,
}

/// What came of a group.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// What to commit for the sinks.
    pub(super) marks: Vec<SinkMark>,
    /// Lines that a sink refused, each with the part it belongs to.
    pub(super) letters: Vec<(usize, DeadLetter)>,
}

/// All sinks of a run.
pub(super) struct Outputs {
    lanes: Vec<Lane>,
}

/// A sink with its troubles.
struct Lane {
    output: Output,
    /// Of an optional sink: failures in a row, and when to ask it again.
    failures: u32,
    not_before: Option<Instant>,
    telling: Telling,
    /// Lines that it missed in this row.
    missed: u64,
    /// Where the sink stands, as long as that isn't committed.
    owed: Option<SinkMark>,
}

impl Outputs {
    /// Sets every sink to where it stood at the last commit.
    pub(super) fn resume(outputs: Vec<Output>, ledger: &Ledger) -> Result<Self, RunError> {
        let mut lanes = Vec::new();
        for mut output in outputs {
            let position = ledger.position(output.sink.name())?;
            // Where a new sink starts is committed before anything is written to it: otherwise a crash before the first
            // commit would leave a tail that nobody knows to be one.
            if let Some(start) = output.sink.resume(position.as_deref())? {
                ledger.commit(&[], &[SinkMark::position(output.sink.name(), start)], now_ms())?;
            }
            lanes.push(Lane {
                output,
                failures: 0,
                not_before: None,
                telling: Telling::default(),
                missed: 0,
                owed: None,
            });
        }
        lanes.sort_by_key(|lane| (lane.output.optional, !lane.output.sink.takes_back()));
        Ok(Self { lanes })
    }

    /// Whether a sink wants this stream in this format.
    pub(super) fn wants(&self, format: SinkFormat, stream: &str, dataset: &str) -> bool {
        self.lanes.iter().any(|lane| lane.output.format == format && lane.output.route.takes(stream, dataset))
    }

    /// Whether there is a sink of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.lanes.iter().any(|lane| lane.output.sink.name() == name)
    }

    /// Whether a sink may refuse lines, which then become dead letters.
    pub(super) fn may_refuse(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.output.sink.takes_back())
    }

    /// What ends the waiting of sinks from another thread.
    pub(super) fn interrupters(&self) -> Vec<crate::sinks::Interrupter> {
        self.lanes.iter().filter_map(|lane| lane.output.sink.interrupter()).collect()
    }

    /// Lets sinks do what is to be done between deliveries, such as a rotation. Everything delivered is committed.
    pub(super) fn tick(&mut self, patience: &Patience, ledger: &Ledger) -> Result<(), Halt> {
        for lane in &mut self.lanes {
            if lane.output.optional {
                lane.try_ready(Coming::Nothing, patience, ledger)?;
            } else {
                patience.attempt("Delivery", || lane.ready(Coming::Nothing, ledger))?;
            }
        }
        Ok(())
    }

    /// The last look at the sinks of a run, after everything delivered was committed. What fails then does no harm.
    pub(super) fn rest(&mut self, ledger: &Ledger) {
        for lane in &mut self.lanes {
            if let Err(error) = lane.ready(Coming::End, ledger) {
                tracing::warn!(sink = lane.output.sink.name(), "A last look at this sink failed: {error}");
            }
        }
    }

    /// Delivers a group to the sinks, or to the one named only, which then has to take it.
    pub(super) fn deliver(
        &mut self,
        parts: &[Part<'_>],
        only: Option<&str>,
        patience: &Patience,
        ledger: &Ledger,
    ) -> Result<Handed, Halt> {
        let mut handed = Handed::default();
        for lane in &mut self.lanes {
            let name = lane.output.sink.name().to_owned();
            if only.is_some_and(|only| only != name) {
                continue;
            }
            // The blocks that this sink gets, each with its part.
            let (places, blocks): (Vec<usize>, Vec<&[u8]>) = parts
                .iter()
                .enumerate()
                .filter(|(_, part)| only.is_some() || lane.output.route.takes(part.stream, part.dataset))
                .filter(|(_, part)| part.only_for.is_none_or(|format| format == lane.output.format))
                .map(|(place, part)| {
                    (place, if lane.output.format == SinkFormat::Raw { part.raw } else { part.events })
                })
                .filter(|(_, block)| !block.is_empty())
                .unzip();
            if blocks.is_empty() {
                continue;
            }
            let (receipt, missed) = if lane.output.optional && only.is_none() {
                lane.try_once(&blocks, patience, ledger)?
            } else {
                let attempt = || -> Result<Receipt, RunError> {
                    lane.ready(Coming::Delivery, ledger)?;
                    Ok(lane.output.sink.deliver(&blocks)?)
                };
                (patience.attempt("Delivery", attempt)?, 0)
            };
            let lines: u64 = blocks.iter().map(|block| count(block)).sum();
            handed.marks.push(SinkMark {
                position: receipt.position,
                delivered: lines - receipt.refused.len() as u64 - missed,
                refused: receipt.refused.len() as u64,
                missed,
                name: name.clone(),
            });
            letters(&name, parts, &places, &blocks, receipt.refused, &mut handed.letters);
        }
        Ok(handed)
    }
}

impl Lane {
    /// Lets the sink look at its destination, and commits where it stands if that is another place now.
    fn ready(&mut self, coming: Coming, ledger: &Ledger) -> Result<(), RunError> {
        if let Some(position) = self.output.sink.prepare(now_ms(), coming)? {
            self.owed = Some(SinkMark::position(self.output.sink.name(), position));
        }
        if let Some(mark) = &self.owed {
            ledger.commit(&[], std::slice::from_ref(mark), now_ms())?;
            self.owed = None;
        }
        Ok(())
    }

    /// The same for an optional sink, whose own failures hold nothing up. Says whether it can be asked.
    fn try_ready(&mut self, coming: Coming, patience: &Patience, ledger: &Ledger) -> Result<bool, Halt> {
        if self.rests() {
            return Ok(false);
        }
        let outcome = patience.attempt("Delivery", || match self.ready(coming, ledger) {
            Ok(()) => Ok(None),
            Err(RunError::Sink(error)) => Ok(Some(error)),
            Err(error) => Err(error),
        })?;
        if let Some(error) = &outcome {
            self.failed(error);
        }
        Ok(outcome.is_none())
    }

    /// Asks an optional sink once, unless it failed a moment ago. Returns what it took, and how many lines it missed.
    fn try_once(&mut self, blocks: &[&[u8]], patience: &Patience, ledger: &Ledger) -> Result<(Receipt, u64), Halt> {
        let lines: u64 = blocks.iter().map(|block| count(block)).sum();
        if !self.try_ready(Coming::Delivery, patience, ledger)? {
            self.missed += lines;
            return Ok((Receipt::default(), lines));
        }
        match self.output.sink.deliver(blocks) {
            Ok(receipt) => {
                if self.failures > 0 {
                    tracing::warn!(
                        sink = self.output.sink.name(),
                        missed = self.missed,
                        "This optional sink works again. It missed some lines for good."
                    );
                }
                self.failures = 0;
                self.not_before = None;
                self.telling = Telling::default();
                self.missed = 0;
                Ok((receipt, 0))
            }
            Err(error) => {
                let given_up = self.output.sink.give_up();
                let missed = lines - given_up.settled as u64;
                self.missed += missed;
                self.failed(&error);
                Ok((Receipt { position: None, refused: given_up.refused }, missed))
            }
        }
    }

    /// Whether an optional sink failed a moment ago.
    fn rests(&self) -> bool {
        self.not_before.is_some_and(|time| Instant::now() < time)
    }

    fn failed(&mut self, error: &SinkError) {
        self.failures += 1;
        let asked = match error.trouble {
            crate::sinks::Trouble::Passing(wait) => wait.unwrap_or_default(),
            _ => std::time::Duration::from_secs(60),
        };
        let wait = pause(self.failures).max(asked);
        self.not_before = Some(Instant::now() + wait);
        if self.telling.is_due() {
            tracing::error!(
                sink = self.output.sink.name(),
                missed = self.missed,
                retry_in_s = wait.as_secs(),
                "This optional sink fails. Delivery goes on without it, and what comes meanwhile is lost to it: {error}"
            );
        }
    }
}

fn count(block: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', block).count() as u64
}

/// Turns refused lines into dead letters of their parts.
fn letters(
    sink: &str,
    parts: &[Part<'_>],
    places: &[usize],
    blocks: &[&[u8]],
    refused: Vec<Refused>,
    letters: &mut Vec<(usize, DeadLetter)>,
) {
    let mut refused = refused.into_iter().peekable();
    let mut first = 0;
    for (place, block) in places.iter().zip(blocks) {
        if refused.peek().is_none() {
            return;
        }
        let lines: Vec<&[u8]> = super::transformer::lines(block).collect();
        while let Some(refusal) = refused.next_if(|refusal| refusal.line < first + lines.len()) {
            let position = refusal.line - first;
            letters.push((
                *place,
                DeadLetter {
                    sink: Some(sink.to_owned()),
                    split: parts[*place].split.to_owned(),
                    position: u32::try_from(position).unwrap_or(u32::MAX),
                    code: refusal.code,
                    message: refusal.message,
                    raw: lines[position].to_vec(),
                },
            ));
        }
        first += lines.len();
    }
}

#[cfg(test)]
#[path = "outputs_tests.rs"]
mod tests;
