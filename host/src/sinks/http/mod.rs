//! Batches by POST, each confirmed by the answer's status.
//!
//! The invariant: a line counts as delivered only after a 2xx for a request that held it, and as refused only after the
//! service refused it alone. Lines that were confirmed are not sent again while later ones have to wait.

mod answer;
mod target;

use std::time::Duration;

use super::{GivenUp, Interrupter, Receipt, Refused, Sink, SinkError, Trouble};
use crate::config::SinkConfig;
use answer::Verdict;
use target::{Outcome, Target};

/// Below this size a batch isn't the reason why the service cuts the connection.
const SUSPICIOUS_BYTES: usize = 64 << 10;
/// After so many cut connections in a row, a batch is tried in halves: some services cut instead of answering 413.
const CUTS: u32 = 2;
/// After so many confirmed batches, one twice as large as the last that was too large is tried.
const GROW_AFTER: u32 = 50;

/// Sends batches to one address.
pub(super) struct HttpSink {
    name: String,
    target: Target,
    batch_events: usize,
    batch_bytes: usize,
    max_refusals: usize,
    /// The largest batch that the service takes, as far as it has let us know.
    learned_bytes: Option<usize>,
    /// Batches that it has confirmed since then.
    confirmed: u32,
    /// Lines refused without any confirmed in between, over all deliveries.
    refusals_in_a_row: usize,
    /// Whether they were too many, and nothing was confirmed since.
    held: bool,
    /// Connections in a row that were cut before an answer.
    cuts: u32,
    now: Progress,
}

/// How far the delivery that is going on has come.
#[derive(Default)]
struct Progress {
    /// Lines that are confirmed or refused.
    settled: usize,
    refused: Vec<Refused>,
    /// The lengths, in lines, of the batches to come: the next one is the last here. Empty: to be cut anew.
    pieces: Vec<usize>,
}

impl HttpSink {
    pub(super) fn open(config: &SinkConfig) -> Result<Self, SinkError> {
        let target = Target::new(config)?;
        Ok(Self {
            name: config.name.clone().unwrap_or_else(|| format!("http:{}", target.place())),
            target,
            batch_events: config.batch_events.unwrap_or(1000),
            batch_bytes: config.batch_kib.unwrap_or(1024) << 10,
            max_refusals: config.max_refusals.unwrap_or(100),
            learned_bytes: None,
            confirmed: 0,
            refusals_in_a_row: 0,
            held: false,
            cuts: 0,
            now: Progress::default(),
        })
    }

    /// How many lines, from `start` on, go into the next batch.
    fn piece(&self, lines: &[&[u8]]) -> usize {
        let limit = self.learned_bytes.map_or(self.batch_bytes, |learned| learned.min(self.batch_bytes));
        let mut bytes = 0;
        let fitting = lines.iter().take(self.batch_events).take_while(|line| {
            bytes += line.len() + 1;
            bytes <= limit
        });
        fitting.count().max(1)
    }

    /// Sends the next batch and acts on its answer.
    fn step(&mut self, lines: &[&[u8]]) -> Result<(), SinkError> {
        let start = self.now.settled;
        let length = match self.now.pieces.pop() {
            Some(length) => length,
            None => self.piece(&lines[start..]),
        };
        let batch = &lines[start..start + length];
        let outcome = self.target.post(batch)?;
        let verdict = match outcome {
            Outcome::Answer(verdict) => {
                self.cuts = 0;
                verdict
            }
            Outcome::Failed { message, cut } => {
                self.cuts = if cut { self.cuts + 1 } else { 0 };
                let bytes: usize = batch.iter().map(|line| line.len() + 1).sum();
                if self.cuts >= CUTS && length > 1 && bytes > SUSPICIOUS_BYTES {
                    self.halve(length);
                } else {
                    self.now.pieces.push(length);
                }
                return Err(SinkError::passing(message));
            }
        };
        match verdict {
            Verdict::Confirmed => {
                self.now.settled += length;
                self.refusals_in_a_row = 0;
                self.held = false;
                self.grow();
            }
            Verdict::TooLarge { .. } if length > 1 => {
                let bytes: usize = batch.iter().map(|line| line.len() + 1).sum();
                self.learned_bytes = Some((bytes / 2).max(1));
                self.confirmed = 0;
                tracing::info!(
                    sink = self.name,
                    bytes,
                    "A batch was too large for the service (413), and is sent in halves."
                );
                self.halve(length);
            }
            Verdict::Data { .. } if length > 1 => self.halve(length),
            Verdict::TooLarge { code, message } => self.refuse(code, message),
            Verdict::Data { message, .. } if self.refusals_in_a_row >= self.max_refusals => {
                return Err(self.hold(&message));
            }
            Verdict::Data { code, message } => {
                self.refusals_in_a_row += 1;
                self.refuse(code, message);
            }
            Verdict::Later { message, wait } => {
                self.now.pieces.push(length);
                return Err(SinkError::new(Trouble::Passing(wait), message));
            }
            Verdict::Configuration { message } => {
                self.now.pieces.push(length);
                return Err(SinkError::new(Trouble::Mend, message));
            }
        }
        Ok(())
    }

    /// Tries larger batches again after a while: one odd answer must not make them small for ever.
    fn grow(&mut self) {
        let Some(learned) = self.learned_bytes else { return };
        self.confirmed += 1;
        if self.confirmed >= GROW_AFTER {
            self.confirmed = 0;
            self.learned_bytes = Some(learned * 2).filter(|bytes| *bytes < self.batch_bytes);
        }
    }

    fn halve(&mut self, length: usize) {
        self.now.pieces.push(length - length / 2);
        self.now.pieces.push(length / 2);
    }

    fn refuse(&mut self, code: String, message: String) {
        self.now.refused.push(Refused { line: self.now.settled, code, message });
        self.now.settled += 1;
    }

    /// The service refuses one line after the other. If it does nothing else, the fault is hardly in the lines: those
    /// that are not committed are tried again, until it confirms one.
    fn hold(&mut self, said: &str) -> SinkError {
        while self.now.refused.last().is_some_and(|last| last.line + 1 == self.now.settled) {
            self.now.settled -= 1;
            self.now.refused.pop();
        }
        self.now.pieces.clear();
        self.refusals_in_a_row = 0;
        self.held = true;
        SinkError::new(
            Trouble::Mend,
            format!(
                "{said} It has refused {} events in a row so, and the fault is hardly in each of them: look at `url`, \
                 `encoding` and `format` of the sink, and at the service. If they are bad all the same, raise \
                 `max_refusals`, and they become dead letters.",
                self.max_refusals
            ),
        )
    }
}

impl Sink for HttpSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn resume(&mut self, _position: Option<&str>) -> Result<Option<String>, SinkError> {
        Ok(None)
    }

    fn deliver(&mut self, blocks: &[&[u8]]) -> Result<Receipt, SinkError> {
        let lines: Vec<&[u8]> = blocks
            .iter()
            .flat_map(|block| block.split_inclusive(|byte| *byte == b'\n'))
            .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
            .collect();
        let before = self.now.settled;
        while self.now.settled < lines.len() {
            if let Err(error) = self.step(&lines) {
                return Err(SinkError { progressed: self.now.settled > before, ..error });
            }
        }
        if self.held
            && let Some(last) = self.now.refused.last()
        {
            let said = last.message.clone();
            return Err(self.hold(&said));
        }
        let refused = std::mem::take(&mut self.now).refused;
        Ok(Receipt { position: None, refused })
    }

    fn give_up(&mut self) -> GivenUp {
        let now = std::mem::take(&mut self.now);
        GivenUp { settled: now.settled, refused: now.refused }
    }

    fn interrupter(&self) -> Option<Interrupter> {
        Some(self.target.interrupter())
    }
}

/// The longest time that an answer's `Retry-After` is obeyed for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
