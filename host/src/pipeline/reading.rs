//! A reader thread: takes a split, reads it chunk by chunk, drops what was delivered before, normalises the rest, and
//! hands it on for delivery. A failure concerns the split, which keeps its place, and nothing else.

use std::sync::mpsc::Sender;
use std::time::Duration;

use super::delivery::Delivery;
use super::transformer::{Transformer, lines};
use super::{Shared, now_ms};
use crate::claims;
use crate::guest::{Batch, Chunk, ErrorKind, GuestError, Reject};
use crate::ledger::{Counts, DeadLetter, Delivered, Key, KeyReader, PendingSplit, Progress};
use crate::times::utc;

/// What a chunk counts for at least among the bytes in flight: one without any lines waits for the sinks as well.
const LEAST_BUDGET: usize = 4 << 10;

/// What a failure means for the item that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Try again, after a while; the quota that was too fast, and for how long the service asked to wait.
    Retry { slow: Option<Duration>, quota: Option<String> },
    /// Forget how far it had come and start again.
    Restart,
    /// It can't be had any more.
    Lost,
    /// Somebody has to mend something.
    Blocked,
    /// The service said that it is where the host doesn't call. It may say better the next time.
    Elsewhere,
    /// The run is ending.
    Stop,
}

/// The class of a failure (the design's table of errors).
pub(super) fn classify(error: &GuestError) -> Class {
    let GuestError::Answered { kind, retry_after, quota, .. } = error else {
        return Class::Retry { slow: None, quota: None };
    };
    match kind {
        ErrorKind::RateLimited => Class::Retry { slow: *retry_after, quota: quota.clone() },
        ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::Protocol
        | ErrorKind::BadData
        | ErrorKind::TooLarge
        | ErrorKind::Internal => Class::Retry { slow: *retry_after, quota: None },
        ErrorKind::Restart => Class::Restart,
        ErrorKind::NotFound | ErrorKind::Gone => Class::Lost,
        ErrorKind::InvalidConfig | ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Unlicensed => {
            Class::Blocked
        }
        ErrorKind::DeniedByHost => Class::Elsewhere,
        ErrorKind::Cancelled => Class::Stop,
    }
}

/// Whether our own quota held the request back.
pub(super) fn is_held_back(error: &GuestError) -> bool {
    matches!(error, GuestError::Answered { kind: ErrorKind::RateLimited, .. }) && error.code() == "quota"
}

/// How long to wait after so many failures in a row: doubling from a second to five minutes, with jitter, so that
/// streams that failed together don't come back together.
pub(super) fn pause(failures: u32) -> Duration {
    let full = Duration::from_secs(1u64 << failures.saturating_sub(1).min(9)).min(Duration::from_secs(300));
    let jitter = f64::from(now_ms() as u32 % 1000) / 1000.0;
    full.mul_f64(0.75 + 0.5 * jitter)
}

/// Runs until the run ends.
pub(super) fn run(shared: &Shared, streams: &[String], deliveries: &Sender<Delivery>) {
    let known = match shared.ledger.key_reader() {
        Ok(known) => known,
        Err(error) => return shared.fail(error.into()),
    };
    let mut worker = Worker { shared, known, careful: None, deliveries };
    while let Some(pending) = shared.queue.take(streams, &shared.cancel) {
        worker.split(pending);
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    known: KeyReader,
    /// While a split is read during which the plugin hung before: a transformer that can be interrupted.
    careful: Option<Transformer>,
    deliveries: &'a Sender<Delivery>,
}

impl Worker<'_> {
    fn split(&mut self, mut pending: PendingSplit) {
        let now = self.shared.service_ms(&pending.split.stream);
        if pending.split.expires.is_some_and(|expires| expires <= now) {
            return self.lost(&pending, "expired", "its time at the service has run out before it could be read");
        }
        match self.read(&mut pending) {
            Ok(()) => {}
            Err(error) => self.failed(pending, &error),
        }
    }

    /// Reads a split to its end. `pending.resume` follows what was handed on.
    fn read(&mut self, pending: &mut PendingSplit) -> Result<(), GuestError> {
        let suspect = (pending.split.stream.clone(), pending.split.id.clone());
        let plugin = if self.shared.suspects.contains(&suspect) {
            let plugin = self.shared.careful()?;
            self.careful = Some(Transformer::careful(plugin.clone(), self.shared.settings.clone()));
            plugin
        } else {
            self.careful = None;
            self.shared.plugin.clone()
        };
        let mut reader = plugin.reader(
            &self.shared.settings,
            self.shared.client.clone(),
            self.shared.cancel.clone(),
            &pending.split,
            pending.resume.as_deref(),
            self.shared.service_ms(&pending.split.stream),
        )?;
        loop {
            let chunk = reader.next(self.shared.batch_bytes)?;
            self.released(&pending.split.stream);
            let done = chunk.as_ref().is_none_or(|chunk| chunk.done);
            let chunk = chunk.unwrap_or(Chunk {
                batch: Batch { count: 0, data: Vec::new() },
                resume: None,
                done,
                losses: Vec::new(),
            });
            let (read, resume) = (chunk.batch.count, chunk.resume.clone());
            let Some(delivery) = self.prepare(pending, chunk, done)? else {
                return Err(cancelled());
            };
            if self.deliveries.send(delivery).is_err() {
                return Err(cancelled());
            }
            if done {
                return Ok(());
            }
            // Records before the same position, or a position without records, are no step forward.
            if read > 0 && pending.resume != resume {
                pending.attempts = 0;
            }
            pending.resume = resume;
            if self.shared.cancel.is_cancelled() {
                return Err(cancelled());
            }
        }
    }

    /// From a chunk of records to what the sinks get. None if the run ends meanwhile.
    fn prepare(&mut self, pending: &PendingSplit, chunk: Chunk, done: bool) -> Result<Option<Delivery>, GuestError> {
        let stream = &pending.split.stream;
        let bytes = chunk.batch.data.len();
        if !self.shared.budget.take(bytes, &self.shared.cancel) {
            return Ok(None);
        }
        let lines: Vec<&[u8]> = lines(&chunk.batch.data).collect();
        let keys: Vec<Key> = lines.iter().map(|line| self.known.key(stream, line)).collect();
        let new = match self.shared.in_flight.reserve(&keys, &self.known) {
            Ok(new) => new,
            Err(error) => {
                self.shared.budget.give(bytes);
                return Err(GuestError::Trapped(format!("the ledger can't be asked for keys: {error}")));
            }
        };
        let keys: Vec<Key> = keys.iter().zip(&new).filter(|(_, new)| **new).map(|(key, _)| *key).collect();
        let mut counts =
            Counts { records: lines.len() as u64, duplicates: (lines.len() - keys.len()) as u64, ..Counts::default() };
        let batch = if counts.duplicates == 0 { None } else { Some(only_new(&lines, &new)) };
        let batch = batch.unwrap_or(chunk.batch);

        let mut events = Vec::new();
        let mut dead_letters = Vec::new();
        let mut unknown = Vec::new();
        let mut without_event = 0;
        if self.shared.wants_events.contains(stream) && batch.count > 0 {
            let split = &pending.split.id;
            let normalise = |transformer: &mut Transformer| transformer.process(stream, split, &batch, now_ms());
            let output = match &mut self.careful {
                Some(careful) => normalise(careful),
                None => self.shared.transformers.with(normalise),
            };
            let output = match output {
                Ok(output) => output,
                Err(error) => {
                    self.shared.in_flight.release(&keys);
                    self.shared.budget.give(bytes);
                    return Err(error);
                }
            };
            counts.events = u64::from(output.batch.count);
            counts.rejected = output.rejects.len() as u64;
            counts.filtered = u64::from(output.filtered);
            without_event = counts.rejected + counts.filtered;
            dead_letters = letters(&pending.split.id, &batch, output.rejects);
            events = output.batch.data;
            unknown = output.unknown;
        }
        counts.delivered = u64::from(batch.count) - without_event;
        let raw = if self.shared.wants_raw.contains(stream) { self.wrap(stream, &batch) } else { Vec::new() };
        let progress = if done { Progress::Done } else { Progress::Resume(chunk.resume) };
        // From here on the lines that it has become take the room of the records.
        let put_aside: usize = dead_letters.iter().map(|letter| letter.raw.len()).sum();
        let budget = (events.len() + raw.len() + put_aside).max(LEAST_BUDGET);
        self.shared.budget.exchange(bytes, budget);
        Ok(Some(Delivery {
            events,
            raw,
            budget,
            delivered: Delivered {
                stream: stream.clone(),
                split: pending.split.id.clone(),
                arrival: pending.split.arrival,
                progress,
                keys,
                dead_letters,
                counts,
                unknown,
                losses: chunk.losses,
            },
        }))
    }

    /// Raw records with what a consumer needs to route them.
    fn wrap(&self, stream: &str, batch: &Batch) -> Vec<u8> {
        let (dataset, vendor, product) = self
            .shared
            .streams
            .get(stream)
            .map_or(("", "", ""), |described| (&described.dataset, &described.vendor, &described.product));
        let head = serde_json::json!({"stream": stream, "dataset": dataset, "vendor": vendor, "product": product});
        let mut head = head.to_string();
        head.truncate(head.len() - 1);
        head.push_str(",\"record\":");
        let mut out = Vec::with_capacity(batch.data.len() + batch.count as usize * (head.len() + 2));
        for line in lines(&batch.data) {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(line);
            out.extend_from_slice(b"}\n");
        }
        out
    }

    fn failed(&mut self, mut pending: PendingSplit, error: &GuestError) {
        let (stream, id) = (pending.split.stream.clone(), pending.split.id.clone());
        let class = classify(error);
        let (wait, restart) = match &class {
            Class::Stop => {
                self.shared.queue.put_back(pending);
                return;
            }
            Class::Lost => return self.lost(&pending, error.code(), &error.to_string()),
            Class::Blocked => {
                if self.shared.board.blocked(&stream, error.code(), &error.to_string()) {
                    tracing::error!(stream, split = id, code = error.code(), "This stream is blocked: {error}");
                }
                self.shared.queue.hold(&stream);
                (Duration::ZERO, false)
            }
            Class::Elsewhere => (pause(pending.attempts + 1), false),
            Class::Retry { slow, quota } => {
                let closed = quota.as_ref().map_or(Duration::ZERO, |quota| self.shared.client.penalize(quota, *slow));
                (pause(pending.attempts + 1).max(slow.unwrap_or_default()).max(closed), false)
            }
            Class::Restart => (pause(pending.attempts + 1), true),
        };
        // What wasn't even sent is no attempt: the quota is closed for everybody.
        let sent = !is_held_back(error);
        pending.attempts += u32::from(sent);
        let now = now_ms();
        pending.not_before = claims::not_before(now, wait, pending.split.expires);
        let wait = Duration::from_millis(pending.not_before - now);
        if restart {
            pending.resume = None;
        }
        if class != Class::Blocked && sent {
            tracing::warn!(
                stream,
                split = id,
                code = error.code(),
                attempts = pending.attempts,
                retry_in_s = wait.as_secs(),
                "Reading failed and is tried again: {error}"
            );
        }
        if let Err(error) =
            self.shared.ledger.failed(&stream, &id, pending.attempts, pending.not_before, restart, &error.to_string())
        {
            tracing::warn!(stream, split = id, "The failure can't be noted in the ledger: {error}");
        }
        self.shared.queue.put_back(pending);
    }

    /// What held a stream is over.
    fn released(&self, stream: &str) {
        if self.shared.queue.release(stream) {
            tracing::info!(stream, "This stream can be read again.");
        }
    }

    fn lost(&self, pending: &PendingSplit, code: &str, reason: &str) {
        let split = &pending.split;
        // It can't find out any more whether the stream can be read.
        self.shared.queue.release(&split.stream);
        tracing::error!(
            stream = split.stream,
            split = split.id,
            arrived = %utc(split.arrival),
            "A piece of this stream is lost and counted as lost: {reason}"
        );
        if let Err(error) = self.shared.ledger.lost(split, code, reason, now_ms()) {
            // It stays pending in the ledger, and is found lost again at the next start.
            tracing::warn!(stream = split.stream, split = split.id, "The loss can't be noted in the ledger: {error}");
        }
        self.shared.board.count(&split.stream, &Counts { lost: 1, ..Counts::default() });
        self.shared.queue.finished(&split.stream, &split.id);
    }
}

fn cancelled() -> GuestError {
    GuestError::Answered {
        kind: ErrorKind::Cancelled,
        code: "cancelled".to_owned(),
        message: "The run is ending.".to_owned(),
        retry_after: None,
        quota: None,
    }
}

fn only_new(lines: &[&[u8]], new: &[bool]) -> Batch {
    let mut batch = Batch { count: 0, data: Vec::new() };
    for (line, _) in lines.iter().zip(new).filter(|(_, new)| **new) {
        batch.data.extend_from_slice(line);
        batch.data.push(b'\n');
        batch.count += 1;
    }
    batch
}

fn letters(split: &str, batch: &Batch, rejects: Vec<Reject>) -> Vec<DeadLetter> {
    if rejects.is_empty() {
        return Vec::new();
    }
    let lines: Vec<&[u8]> = lines(&batch.data).collect();
    rejects
        .into_iter()
        .map(|reject| DeadLetter {
            sink: None,
            split: split.to_owned(),
            position: reject.index,
            raw: lines.get(reject.index as usize).map(|line| line.to_vec()).unwrap_or_default(),
            code: reject.code,
            message: reject.message,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &str) -> Batch {
        Batch { count: text.lines().count() as u32, data: text.as_bytes().to_vec() }
    }

    #[test]
    fn only_new_lines_go_on() {
        let batch = batch("a\nb\nc\n");
        let lines: Vec<&[u8]> = lines(&batch.data).collect();
        let new = only_new(&lines, &[true, false, true]);
        assert_eq!((new.count, new.data.as_slice()), (2, b"a\nc\n".as_slice()));
    }

    #[test]
    fn a_dead_letter_holds_the_bytes_of_its_record() {
        let reject = Reject { index: 1, code: "not-json".to_owned(), message: "no".to_owned() };
        let letters = letters("s", &batch("a\nb\n"), vec![reject]);
        assert_eq!((letters[0].position, letters[0].raw.as_slice()), (1, b"b".as_slice()));
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert!(pause(1) <= Duration::from_millis(1250));
        assert!(pause(5) >= Duration::from_secs(12));
        assert!(pause(50) <= Duration::from_secs(375));
    }
}
