//! Dead letters, once more: a record through the transform and on to the sinks that want events, a refused line to the
//! sink that refused it.
//!
//! The invariant is that of delivery: sinks confirm, then one transaction removes the letters and stores the positions.
//! Keys stay as they are, and so do the uids that events are made with. Sinks of raw records have had every record
//! already, and are left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outputs::{Outputs, Part};
use super::patience::{Halt, Patience};
use super::{RunError, Transformer, now_ms};
use crate::config::SinkFormat;
use crate::guest::{Batch, Plugin, StreamDescription};
use crate::http::Cancel;
use crate::ledger::{DeadLetter, KeyHash, Ledger, Replayed, StoredLetter};
use crate::sinks::Output;

/// How much goes out together at most.
const GROUP_BYTES: usize = 1 << 20;

/// What a replay needs.
pub struct Replay {
    /// The plugin, best one that can be interrupted: letters are where it failed before.
    pub plugin: Arc<Plugin>,
    /// The settings for the plugin, as JSON text.
    pub settings: String,
    /// The streams that the plugin knows.
    pub streams: Vec<StreamDescription>,
    /// The durable store.
    pub ledger: Ledger,
    /// Where to deliver.
    pub sinks: Vec<Output>,
    /// Set by a signal.
    pub cancel: Cancel,
}

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Letters that are delivered now.
    pub delivered: u64,
    /// Letters that failed again, or failed at the next step.
    pub again: u64,
    /// Letters that were left alone, by reason.
    pub left: BTreeMap<String, u64>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

/// What goes the same way.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Way {
    stream: String,
    sink: Option<String>,
}

impl Replay {
    /// Replays letters by their numbers.
    ///
    /// # Errors
    /// If a sink or the ledger fails. What was delivered by then is committed, the other letters stay.
    pub fn run(self, ids: &[i64]) -> Result<ReplaySummary, RunError> {
        let outputs = Outputs::resume(self.sinks, &self.ledger)?;
        let mut work = Work {
            datasets: self.streams.into_iter().map(|stream| (stream.name, stream.dataset)).collect(),
            transformer: Transformer::new(self.plugin, self.settings),
            hash: self.ledger.key_hash()?,
            ledger: self.ledger,
            outputs,
            patience: Patience::new(self.cancel.clone(), Arc::default(), true),
            summary: ReplaySummary::default(),
        };
        let mut groups: BTreeMap<Way, Vec<StoredLetter>> = BTreeMap::new();
        for id in ids {
            let Some(letter) = work.ledger.letter(*id)? else {
                *work.summary.left.entry("there is no such letter".to_owned()).or_default() += 1;
                continue;
            };
            let way = Way { stream: letter.stream.clone(), sink: letter.letter.sink.clone() };
            let group = groups.entry(way.clone()).or_default();
            group.push(letter);
            if group.iter().map(|letter| letter.letter.raw.len()).sum::<usize>() >= GROUP_BYTES {
                let group = std::mem::take(group);
                if work.replay(&way, group)? {
                    return Ok(work.end());
                }
            }
        }
        for (way, group) in groups {
            if !group.is_empty() && work.replay(&way, group)? {
                break;
            }
        }
        Ok(work.end())
    }
}

struct Work {
    datasets: BTreeMap<String, String>,
    transformer: Transformer,
    ledger: Ledger,
    hash: KeyHash,
    outputs: Outputs,
    patience: Patience,
    summary: ReplaySummary,
}

impl Work {
    /// What came of it, after the sinks looked at their destinations once more.
    fn end(mut self) -> ReplaySummary {
        if !self.summary.stopped {
            self.outputs.rest(&self.ledger);
        }
        self.summary
    }

    /// Replays letters that go the same way. True if it was asked to stop.
    fn replay(&mut self, way: &Way, letters: Vec<StoredLetter>) -> Result<bool, RunError> {
        let mut leave = |reason: String| {
            *self.summary.left.entry(reason).or_default() += letters.len() as u64;
            Ok(false)
        };
        let Some(dataset) = self.datasets.get(&way.stream).cloned() else {
            return leave(format!("the plugin doesn't know the stream {}", way.stream));
        };
        let outcome = match &way.sink {
            Some(sink) if !self.outputs.has(sink) => {
                return leave(format!("the sink {sink} that refused it is not in the configuration"));
            }
            Some(sink) => self.line(way, &dataset, sink, letters),
            None if ![SinkFormat::Ocsf, SinkFormat::Ecs]
                .iter()
                .any(|format| self.outputs.wants(*format, &way.stream, &dataset)) =>
            {
                return leave(format!("no sink takes events of {}", way.stream));
            }
            None => self.record(way, &dataset, letters),
        };
        match outcome {
            Ok(()) => Ok(self.patience.cancel.is_cancelled()),
            Err(Halt::Stopped) => {
                self.summary.stopped = true;
                Ok(true)
            }
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    /// Refused lines: to that sink and to no other.
    fn line(&mut self, way: &Way, dataset: &str, sink: &str, letters: Vec<StoredLetter>) -> Result<(), Halt> {
        let lines = batch(&letters).data;
        let part = Part { stream: &way.stream, dataset, split: "", events: &lines, raw: &lines, only_for: None };
        let handed = self.outputs.deliver(&[part], Some(sink), &self.patience, &self.ledger)?;
        let mut again: BTreeMap<u32, DeadLetter> =
            handed.letters.into_iter().map(|(_, letter)| (letter.position, letter)).collect();
        let mut replayed = Replayed { stream: way.stream.clone(), ..Replayed::default() };
        for (index, stored) in (0..).zip(letters) {
            match again.remove(&index) {
                None => replayed.done.push(stored.id),
                Some(refused) => replayed.again.push((
                    stored.arrival,
                    DeadLetter { split: stored.letter.split, position: stored.letter.position, ..refused },
                )),
            }
        }
        self.commit(&replayed, &handed.marks)
    }

    /// Records that gave no event: through the transform, and to every sink that wants events.
    fn record(&mut self, way: &Way, dataset: &str, letters: Vec<StoredLetter>) -> Result<(), Halt> {
        let failed = |error: crate::guest::GuestError| Halt::Failed(RunError::Transform(error));
        let output = self.transformer.process(&way.stream, "", &batch(&letters), now_ms()).map_err(failed)?;
        let part =
            Part { stream: &way.stream, dataset, split: "", events: &output.batch.data, raw: &[], only_for: None };
        let handed = self.outputs.deliver(&[part], None, &self.patience, &self.ledger)?;
        let mut rejects: BTreeMap<u32, _> = output.rejects.into_iter().map(|reject| (reject.index, reject)).collect();
        let mut replayed =
            Replayed { stream: way.stream.clone(), events: u64::from(output.batch.count), ..Replayed::default() };
        // Which record a refused event comes from is known where each record gave one.
        let normalised: Vec<&StoredLetter> =
            (0..).zip(&letters).filter(|(index, _)| !rejects.contains_key(index)).map(|(_, letter)| letter).collect();
        let one_each = output.filtered == 0 && normalised.len() == output.batch.count as usize;
        for (_, letter) in handed.letters {
            let origin = if one_each { normalised.get(letter.position as usize) } else { normalised.first() };
            let (arrival, split, position) = origin.map_or((0, String::new(), 0), |origin| {
                (origin.arrival, origin.letter.split.clone(), origin.letter.position)
            });
            replayed.again.push((arrival, DeadLetter { split, position, ..letter }));
        }
        for (index, stored) in (0..).zip(letters) {
            match rejects.remove(&index) {
                None => {
                    replayed.keys.push((self.hash.key(&way.stream, &stored.letter.raw), stored.arrival));
                    replayed.done.push(stored.id);
                    replayed.records += 1;
                }
                Some(reject) => replayed
                    .again
                    .push((stored.arrival, DeadLetter { code: reject.code, message: reject.message, ..stored.letter })),
            }
        }
        self.commit(&replayed, &handed.marks)
    }

    fn commit(&mut self, replayed: &Replayed, marks: &[crate::ledger::SinkMark]) -> Result<(), Halt> {
        self.patience.attempt("Delivery", || self.ledger.replayed(replayed, marks, now_ms()))?;
        self.summary.delivered += replayed.done.len() as u64;
        self.summary.again += replayed.again.len() as u64;
        Ok(())
    }
}

fn batch(letters: &[StoredLetter]) -> Batch {
    let mut data = Vec::new();
    for stored in letters {
        data.extend_from_slice(&stored.letter.raw);
        data.push(b'\n');
    }
    Batch { count: u32::try_from(letters.len()).unwrap_or(u32::MAX), data }
}
