//! A reader thread: takes a split, reads it chunk by chunk, drops what was delivered before, normalises the rest, and
//! hands it on for delivery. A failure concerns the split, which keeps its place, and nothing else.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::delivery::Delivery;
use super::failures::{Class, Failure};
use super::missing::{Answer, Verdict};
use super::patience::Halt;
use super::status::{Doing, SPLIT_PATIENCE};
use super::transformer::{Transformer, lines};
use super::troubles::{Spot, What};
use super::work::{HELD_MS, Why};
use super::{Shared, now_ms};
use crate::claims;
use crate::guest::{Batch, Chunk, Reject, is_json};
use crate::ledger::{Claim, ClaimKind, Counts, DeadLetter, Delivered, Key, KeyReader, PendingSplit, Progress};
use crate::times::utc;

/// What a chunk counts for at least among the bytes in flight: one without any lines waits for the sinks as well.
const LEAST_BUDGET: usize = 4 << 10;

/// The code of a record that is no JSON text.
const NO_JSON: &str = "invalid-json";

/// The longest pause before a piece is read again that breaks each time.
const UNREADABLE: Duration = Duration::from_secs(10 * 60);

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
        if let Err(error) = self.read(&mut pending) {
            self.failed(pending, error);
        }
    }

    /// Reads a split to its end. `pending.resume` follows what was handed on.
    fn read(&mut self, pending: &mut PendingSplit) -> Result<(), Failure> {
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
        let mut seen_to_work = false;
        loop {
            let chunk = reader.next(self.shared.batch_bytes)?;
            let done = chunk.as_ref().is_none_or(|chunk| chunk.done);
            // A position without records may be what the plugin has learnt from a failure.
            if !seen_to_work && (done || chunk.as_ref().is_some_and(|chunk| chunk.batch.count > 0)) {
                // What came before the place where it breaks says nothing of that place.
                if done || !is_unreadable(pending) {
                    seen_to_work = true;
                    self.works(pending);
                }
                self.stream_works(&pending.split.stream);
            }
            let chunk = chunk.unwrap_or(Chunk {
                batch: Batch { count: 0, data: Vec::new() },
                resume: None,
                done,
                losses: Vec::new(),
            });
            let resume = chunk.resume.clone();
            let delivery = self.prepare(pending, chunk, done)?;
            let Counts { records, duplicates, .. } = delivery.delivered.counts;
            if self.deliveries.send(delivery).is_err() {
                return Err(Halt::Stopped.into());
            }
            if done {
                return Ok(());
            }
            // Records before the same position, those that were read before, or a position without any, are no step forward.
            if records > duplicates && pending.resume != resume {
                pending.attempts = 0;
                pending.claim = None;
            }
            pending.resume = resume;
            if self.shared.cancel.is_cancelled() {
                return Err(Halt::Stopped.into());
            }
        }
    }

    /// From a chunk of records to what the sinks get.
    fn prepare(&mut self, pending: &PendingSplit, chunk: Chunk, done: bool) -> Result<Delivery, Failure> {
        let stream = &pending.split.stream;
        let bytes = chunk.batch.data.len();
        if !self.shared.budget.take(bytes, &self.shared.cancel) {
            return Err(Halt::Stopped.into());
        }
        let lines: Vec<&[u8]> = lines(&chunk.batch.data).collect();
        let keys: Vec<Key> = lines.iter().map(|line| self.known.key(stream, line)).collect();
        let ask = || self.shared.in_flight.reserve(&keys, &self.known);
        let new = match self.shared.patience.attempt("Reading", ask) {
            Ok(new) => new,
            Err(halt) => {
                self.shared.budget.give(bytes);
                return Err(halt.into());
            }
        };
        let keys: Vec<Key> = keys.iter().zip(&new).filter(|(_, new)| **new).map(|(key, _)| *key).collect();
        let mut counts =
            Counts { records: lines.len() as u64, duplicates: (lines.len() - keys.len()) as u64, ..Counts::default() };
        let batch = if counts.duplicates == 0 { None } else { Some(only_new(&lines, &new)) };
        let batch = batch.unwrap_or(chunk.batch);
        let new = batch.count;
        // What somebody's component hands over as records may be anything; and what no transformer looks at goes out as it is.
        let unseen = self.shared.wants_raw.contains(stream) && !self.shared.wants_events.contains(stream);
        let (batch, refused) = if self.shared.plugin.is_stranger() || unseen {
            without_broken(&pending.split.id, batch)
        } else {
            (batch, Vec::new())
        };

        let mut events = Vec::new();
        let mut dead_letters = refused;
        let mut unknown = Vec::new();
        let mut without_event = 0;
        let mut no_json = BTreeSet::new();
        if self.shared.wants_events.contains(stream) && batch.count > 0 {
            let split = &pending.split.id;
            let normalise = |transformer: &mut Transformer| transformer.process(stream, split, &batch, now_ms());
            let output = match &mut self.careful {
                Some(careful) => normalise(careful),
                None => self.shared.transformers.with(stream, normalise),
            };
            let output = match output {
                Ok(output) => output,
                Err(error) => {
                    self.shared.in_flight.release(&keys);
                    self.shared.budget.give(bytes);
                    return Err(error.into());
                }
            };
            counts.events = u64::from(output.batch.count);
            counts.filtered = u64::from(output.filtered);
            without_event = counts.filtered;
            no_json =
                output.rejects.iter().filter(|reject| reject.code == NO_JSON).map(|reject| reject.index).collect();
            dead_letters.extend(letters(&pending.split.id, &batch, output.rejects));
            events = output.batch.data;
            unknown = output.unknown;
        }
        counts.rejected = dead_letters.len() as u64;
        counts.delivered = u64::from(new) - counts.rejected - without_event;
        let raw = if self.shared.wants_raw.contains(stream) { self.wrap(stream, &batch, &no_json) } else { Vec::new() };
        let progress = if done { Progress::Done } else { Progress::Resume(chunk.resume) };
        // From here on the lines that it has become take the room of the records.
        let put_aside: usize = dead_letters.iter().map(|letter| letter.raw.len()).sum();
        let budget = (events.len() + raw.len() + put_aside).max(LEAST_BUDGET);
        self.shared.budget.exchange(bytes, budget);
        Ok(Delivery {
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
        })
    }

    /// Raw records with what a consumer needs to route them.
    /// But for those that would make a line of no JSON: they are dead letters.
    fn wrap(&self, stream: &str, batch: &Batch, no_json: &BTreeSet<u32>) -> Vec<u8> {
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
        for (_, line) in (0..).zip(lines(&batch.data)).filter(|(index, _)| !no_json.contains(index)) {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(line);
            out.extend_from_slice(b"}\n");
        }
        out
    }

    fn failed(&mut self, mut pending: PendingSplit, error: Failure) {
        let (stream, id) = (pending.split.stream.clone(), pending.split.id.clone());
        if error.is_of_the_plugin() {
            self.shared.queue.plugin_failed(&stream);
        }
        let class = self.shared.class(&stream, &error, pending.attempts);
        let mut closed = Duration::ZERO;
        let (wait, restart) = match &class {
            Class::Stop => {
                self.shared.queue.put_back(pending);
                if let Failure::Halt(Halt::Failed(error)) = error {
                    self.shared.fail(error);
                }
                return;
            }
            Class::Missing => return self.missing(pending, &error),
            Class::Blocked => {
                self.shared.board.blocked(&stream, Doing::Reading, &error.to_string());
                self.shared.queue.hold(&stream, Why::Blocked);
                // Another piece finds out next: this one may be refused for itself.
                (Duration::from_millis(HELD_MS), false)
            }
            Class::Elsewhere => (pause(pending.attempts + 1), false),
            Class::Retry { slow, quota } => {
                // What our own quota held back is no word of the service: it would keep the quota closed against its successes.
                if let Some(quota) = quota.as_ref().filter(|_| !error.is_held_back()) {
                    closed = self.shared.client.penalize(quota, *slow);
                }
                (pause(pending.attempts + 1).max(slow.unwrap_or_default()), false)
            }
            Class::Unreadable { slow } => match self.weigh(&mut pending, ClaimKind::Unreadable, &error) {
                // A run that should end waits for some attempts; after them it is asked for more rarely, since it may be large.
                Verdict::Held(wait) if pending.attempts + 1 >= SPLIT_PATIENCE => (wait.min(UNREADABLE), false),
                Verdict::Held(_) => (pause(pending.attempts + 1).max(slow.unwrap_or_default()), false),
                Verdict::Lost(why) => return self.lost(&pending, why),
            },
            Class::Restart => (pause(pending.attempts + 1), true),
        };
        // What wasn't even sent is no attempt: the quota is closed for everybody.
        let sent = !error.is_held_back();
        pending.attempts += u32::from(sent);
        let now = now_ms();
        pending.not_before = claims::not_before(now, wait, pending.split.expires);
        let wait = Duration::from_millis(pending.not_before - now);
        if restart {
            pending.resume = None;
        }
        if error.is_of_loading() {
            self.shared.board.plugin_not_loaded(&stream);
        }
        if class == Class::Blocked {
            self.shared.report(&stream, What::Blocked, Spot::Reading, &error, None);
        } else if sent {
            self.shared.report(&stream, What::Failing, Spot::Piece(id.clone()), &error, Some(wait.max(closed)));
        }
        if let Err(error) =
            self.shared.ledger.failed(&stream, &id, pending.attempts, pending.not_before, restart, &error.to_string())
        {
            tracing::warn!(stream, split = id, "The failure can't be noted in the ledger: {error}");
        }
        if matches!(class, Class::Unreadable { .. }) {
            self.note_claim(&pending);
        }
        self.shared.queue.put_back(pending);
    }

    /// Counts an answer that speaks against a piece, and weighs it.
    fn weigh(&self, pending: &mut PendingSplit, kind: ClaimKind, error: &Failure) -> Verdict {
        // By the service's clock: this machine's may be set right in between.
        let now = self.shared.service_ms(&pending.split.stream);
        let before = pending.claim.as_ref().filter(|claim| claim.kind == kind);
        let (answers, first) = before.map_or((1, now), |claim| (claim.answers.saturating_add(1), claim.first));
        let claim = Claim { kind, answers, first, code: error.code().to_owned(), reason: error.to_string() };
        let split = &pending.split;
        let answer = Answer {
            stream: &split.stream,
            id: &split.id,
            claim: &claim,
            gone: error.is_gone(),
            expires: split.expires,
        };
        let verdict = self.shared.claims.weigh(&answer, now, self.shared.clock_in_doubt(&split.stream));
        pending.claim = Some(claim);
        verdict
    }

    fn note_claim(&self, pending: &PendingSplit) {
        let (stream, id) = (&pending.split.stream, &pending.split.id);
        let Some(claim) = &pending.claim else { return };
        if let Err(error) = self.shared.ledger.claimed(stream, id, claim, pending.not_before) {
            tracing::warn!(stream, split = id, "The answer can't be noted in the ledger: {error}");
        }
    }

    /// The service says that a piece isn't there.
    fn missing(&self, mut pending: PendingSplit, error: &Failure) {
        let wait = match self.weigh(&mut pending, ClaimKind::Missing, error) {
            Verdict::Held(wait) => wait,
            Verdict::Lost(why) => return self.lost(&pending, why),
        };
        pending.not_before = claims::not_before(now_ms(), wait, pending.split.expires);
        let (stream, id) = (pending.split.stream.clone(), pending.split.id.clone());
        // Who says that it isn't there doesn't refuse the stream.
        if self.shared.queue.is_blocked(&stream) {
            self.stream_works(&stream);
        }
        self.note_claim(&pending);
        let all = self.shared.queue.all_are_missing(&stream, &id);
        if let Some(pieces) = self.shared.claims.speak_against_the_stream(&stream, all) {
            let sentence = format!(
                "The service says of each of {pieces} pieces that it lists that it isn't there, and none could be read: that is the tenant, the cloud or the service, and not the pieces. Check `tenant` and `cloud`. Nothing counts as lost; one piece at a time is asked for again, and all go on once one is there. It says: {error}"
            );
            self.shared.board.blocked(&stream, Doing::Reading, &sentence);
            self.shared.queue.hold(&stream, Why::Missing);
            self.shared.troubles.forget_missing(&stream);
            self.shared.report_sentence(&stream, What::Blocked, Spot::Reading, (error.code(), &sentence));
        } else {
            self.shared.report(&stream, What::Missing, Spot::Piece(id), error, Some(wait));
        }
        self.shared.queue.put_back(pending);
    }

    /// A split could be read, or some of it: what held it is over.
    fn works(&self, pending: &mut PendingSplit) {
        let stream = &pending.split.stream;
        pending.claim = None;
        self.shared.claims.read(stream, self.shared.service_ms(stream));
        self.shared.troubles.works(stream, &Spot::Piece(pending.split.id.clone()));
    }

    /// The service gives of a stream what it has.
    fn stream_works(&self, stream: &str) {
        self.shared.queue.release(stream);
        self.shared.board.read(stream);
        self.shared.troubles.works(stream, &Spot::Reading);
    }

    fn lost(&self, pending: &PendingSplit, why: &str) {
        let split = &pending.split;
        let Some(claim) = &pending.claim else { return };
        let reason = format!("{} Asked {} times since {}: {why}.", claim.reason, claim.answers, utc(claim.first));
        let note = || self.shared.ledger.lost(split, &claim.code, &reason, now_ms());
        match self.shared.patience.attempt("Reading", note) {
            Ok(()) => {}
            Err(halt) => {
                // It stays pending in the ledger.
                self.shared.queue.put_back(pending.clone());
                if let Halt::Failed(error) = halt {
                    self.shared.fail(error);
                }
                return;
            }
        }
        tracing::debug!(stream = split.stream, split = split.id, arrived = %utc(split.arrival), "Lost: {reason}");
        self.shared.troubles.forget(&split.stream, &Spot::Piece(split.id.clone()));
        self.shared.report_sentence(
            &split.stream,
            What::Lost,
            Spot::Piece(split.id.clone()),
            (&claim.code, &format!("{} It arrived at {}.", claim.reason, utc(split.arrival))),
        );
        self.shared.board.count(&split.stream, &Counts { lost: 1, ..Counts::default() });
        self.shared.queue.finished(&split.stream, &split.id);
        self.shared.queue.find_out_at_once(&split.stream);
    }
}

/// Whether it broke the last time.
fn is_unreadable(pending: &PendingSplit) -> bool {
    pending.claim.as_ref().is_some_and(|claim| claim.kind == ClaimKind::Unreadable)
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

/// Takes the lines out of a batch that are no JSON: they become dead letters, and nothing else of them is delivered.
fn without_broken(split: &str, batch: Batch) -> (Batch, Vec<DeadLetter>) {
    let (mut whole, mut refused) = (Batch { count: 0, data: Vec::new() }, Vec::new());
    for (position, line) in (0..).zip(lines(&batch.data)) {
        if is_json(line) {
            whole.data.extend_from_slice(line);
            whole.data.push(b'\n');
            whole.count += 1;
        } else {
            refused.push(DeadLetter {
                sink: None,
                split: split.to_owned(),
                position,
                raw: line.to_vec(),
                code: NO_JSON.to_owned(),
                message: "The plugin handed over a record that is no JSON text in UTF-8.".to_owned(),
            });
        }
    }
    if refused.is_empty() { (batch, refused) } else { (whole, refused) }
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
    fn only_lines_of_json_go_on() {
        let (whole, refused) = without_broken("s", batch("{}\n{\n[1]\n"));
        assert_eq!((whole.count, whole.data.as_slice()), (2, b"{}\n[1]\n".as_slice()));
        assert_eq!((refused.len(), refused[0].position, refused[0].raw.as_slice()), (1, 1, b"{".as_slice()));
        let (whole, refused) = without_broken("s", batch("{}\n{}\n"));
        assert_eq!((whole.count, refused.len()), (2, 0));
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert!(pause(1) <= Duration::from_millis(1250));
        assert!(pause(5) >= Duration::from_secs(12));
        assert!(pause(50) <= Duration::from_secs(375));
    }
}
