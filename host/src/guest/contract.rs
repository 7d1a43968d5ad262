//! Whether what a guest hands over is what `wit/` says: sizes, numbers, order, form.
//!
//! The invariant: nothing of a guest's passes here that is larger than a bound in [`super::bounds`], or that speaks for
//! another stream than the one that was asked for. A breach is told with the function and the bound; texts for people are
//! cut instead.

use std::collections::HashSet;

use serde::de::IgnoredAny;

use super::bindings::{Batch, Chunk, Discovery, Finding, Interval, Loss, Operation, Output, PluginDescription};
use super::bounds::{
    COVERAGE, DESCRIBED, DESCRIPTION_BYTES, EMPTY_CHUNKS, FINDINGS, HEAD_BYTES, LOSSES, LOST, MESSAGE_BYTES,
    OPERATIONS, PASS_BYTES, PAYLOAD_BYTES, RESUME_BYTES, SCHEMA_BYTES, SPLIT_ID_BYTES, SPLITS, STATE_BYTES, UNKNOWN,
    UNKNOWN_BYTES, WORD_BYTES,
};
use crate::foreign_text::{is_harmless, readable};

/// What was broken, as the end of a sentence that begins with the function.
type Checked = Result<(), String>;

fn at_most(what: &str, size: usize, most: usize) -> Checked {
    if size <= most { Ok(()) } else { Err(format!("handed over {size} {what}; {most} at most are allowed")) }
}

/// A text that stands in tables and lines: short, and shown as what it is.
fn text(what: &str, text: &str, most: usize) -> Checked {
    at_most(&format!("bytes as {what}"), text.len(), most)?;
    if !text.chars().all(is_harmless) {
        return Err(format!("handed over control characters in {what}"));
    }
    Ok(())
}

fn texts(what: &str, list: &[String], most: usize) -> Checked {
    at_most(&format!("entries as {what}"), list.len(), DESCRIBED)?;
    list.iter().try_for_each(|entry| text(what, entry, most))
}

/// A name by which something is found again: not empty, and only once in its list.
fn name<'a>(what: &str, name: &'a str, seen: &mut HashSet<&'a str>) -> Checked {
    text(what, name, WORD_BYTES)?;
    if name.is_empty() {
        return Err(format!("handed over {what} that is empty"));
    }
    if !seen.insert(name) {
        return Err(format!("handed over {what} twice: {name:?}"));
    }
    Ok(())
}

/// Lower-case ASCII with digits, hyphens and dots between its parts.
fn is_stream_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.split('.').all(part)
}

/// Checks the answer of `describe`.
pub(super) fn description(plugin: &PluginDescription) -> Checked {
    let PluginDescription { name: plugin_name, version, streams, audiences, quotas, schemas } = plugin;
    name("the name of the plugin", plugin_name, &mut HashSet::new())?;
    text("the version", version, WORD_BYTES)?;
    at_most("streams", streams.len(), DESCRIBED)?;
    at_most("audiences", audiences.len(), DESCRIBED)?;
    at_most("quotas", quotas.len(), DESCRIBED)?;
    at_most("schemas", schemas.len(), DESCRIBED)?;
    let mut known = HashSet::new();
    for audience in audiences {
        name("the name of an audience", &audience.name, &mut known)?;
        text("the title of an audience", &audience.title, DESCRIPTION_BYTES)?;
        texts("the hosts of an audience", &audience.hosts, DESCRIPTION_BYTES)?;
    }
    let mut names = HashSet::new();
    for stream in streams {
        name("the name of a stream", &stream.name, &mut names)?;
        if !is_stream_name(&stream.name) {
            return Err(format!(
                "handed over the name of a stream that isn't lower-case and dotted: {:?}",
                stream.name
            ));
        }
        if !known.contains(stream.audience.as_str()) && !stream.audience.is_empty() {
            return Err(format!(
                "handed over the stream {} of an audience that it doesn't describe: {:?}",
                stream.name,
                readable(&stream.audience, WORD_BYTES)
            ));
        }
        for (what, said) in [
            ("the title of a stream", &stream.title),
            ("the API of a stream", &stream.api),
            ("the dataset of a stream", &stream.dataset),
            ("the vendor of a stream", &stream.vendor),
            ("the product of a stream", &stream.product),
            ("the notice of a stream", &stream.notice),
        ] {
            text(what, said, DESCRIPTION_BYTES)?;
        }
        text("the story of a stream", stream.story.as_deref().unwrap_or_default(), DESCRIPTION_BYTES)?;
        texts("the permissions of a stream", &stream.permissions, DESCRIPTION_BYTES)?;
        at_most("event classes of a stream", stream.event_classes.len(), DESCRIBED)?;
    }
    names.clear();
    for quota in quotas {
        name("the name of a quota", &quota.name, &mut names)?;
        text("the reason of a quota", &quota.reason, DESCRIPTION_BYTES)?;
        if quota.requests == 0 || quota.per_ms == 0 {
            return Err(format!("handed over the quota {:?}, which lets nothing through", quota.name));
        }
    }
    names.clear();
    schemas.iter().try_for_each(|schema| name("the id of a schema", schema, &mut names))
}

/// Checks the answer of `schema`.
pub(super) fn schema(schema: Option<&str>) -> Checked {
    at_most("bytes as a schema", schema.map_or(0, str::len), SCHEMA_BYTES)
}

/// Checks the answer of `operations`.
pub(super) fn operations(operations: &[Operation]) -> Checked {
    at_most("operations", operations.len(), OPERATIONS)?;
    for operation in operations {
        for said in [
            &operation.family,
            &operation.name,
            &operation.event_class_name,
            &operation.activity_name,
            &operation.object,
            &operation.note,
        ] {
            text("an operation", said, DESCRIPTION_BYTES)?;
        }
        texts("the record types of an operation", &operation.record_types, DESCRIPTION_BYTES)?;
    }
    Ok(())
}

fn interval(Interval { start, end }: Interval) -> Checked {
    if start > end {
        Err(format!("handed over a stretch that ends before it begins: {start} to {end}"))
    } else {
        Ok(())
    }
}

/// Checks the answer of `discover` for a stream, and cuts what is for people.
pub(super) fn discovery(stream: &str, found: &mut Discovery) -> Checked {
    at_most("splits", found.splits.len(), SPLITS)?;
    at_most("bytes as a state", found.state.len(), STATE_BYTES)?;
    at_most("stretches as coverage", found.coverage.len(), COVERAGE)?;
    at_most("stretches as lost", found.lost.len(), LOST)?;
    at_most("bytes as the name of a pass", found.pass.len(), PASS_BYTES)?;
    if found.pass.is_empty() || !is_stream_name(&found.pass) {
        return Err("handed over the name of a pass that is no short lower-case word".to_owned());
    }
    for split in &found.splits {
        at_most("bytes as the id of a split", split.id.len(), SPLIT_ID_BYTES)?;
        at_most("bytes as the payload of a split", split.payload.len(), PAYLOAD_BYTES)?;
        if split.id.is_empty() {
            return Err("handed over a split without an id".to_owned());
        }
        if split.stream != stream {
            return Err(format!(
                "was asked for {stream} and handed over a split of {:?}",
                readable(&split.stream, WORD_BYTES)
            ));
        }
    }
    found.coverage.iter().try_for_each(|stretch| interval(*stretch))?;
    for (stretch, reason) in &mut found.lost {
        interval(*stretch)?;
        *reason = readable(reason, MESSAGE_BYTES);
    }
    Ok(())
}

/// How far a reader has come, to tell one that goes in circles.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Where the last chunk ended. None before the first one.
    last: Option<Option<String>>,
    /// Empty chunks in a row.
    empty: u32,
    done: bool,
}

impl Course {
    /// Checks the answer of `reader.next`, and cuts what is for people.
    pub(super) fn chunk(&mut self, chunk: Option<&mut Chunk>) -> Checked {
        let Some(chunk) = chunk else {
            return if self.done { Ok(()) } else { Err("ended a split without a chunk that was `done`".to_owned()) };
        };
        batch(&chunk.batch)?;
        at_most("bytes as the position in a split", chunk.resume.as_ref().map_or(0, String::len), RESUME_BYTES)?;
        losses(&mut chunk.losses)?;
        if chunk.batch.count == 0 && !chunk.done {
            if chunk.losses.is_empty() && self.last.as_ref() == Some(&chunk.resume) {
                return Err("handed over an empty chunk that goes no further than the one before".to_owned());
            }
            self.empty += 1;
            if self.empty > EMPTY_CHUNKS {
                return Err(format!("handed over more than {EMPTY_CHUNKS} empty chunks in a row"));
            }
        } else {
            self.empty = 0;
        }
        self.done = chunk.done;
        self.last = Some(chunk.resume.clone());
        Ok(())
    }
}

/// Checks what a chunk says that it passed over, and cuts what is for people.
fn losses(losses: &mut [Loss]) -> Checked {
    at_most("losses in a chunk", losses.len(), LOSSES)?;
    for loss in losses {
        if let Some(record) = &loss.oversized {
            at_most("bytes as the head of a record", record.head.len(), HEAD_BYTES)?;
            let is_hash = record.sha256.len() == 64
                && record.sha256.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
            if !is_hash {
                return Err("handed over the hash of a record that is no SHA-256".to_owned());
            }
        }
        loss.stretch.map_or(Ok(()), interval)?;
        loss.code = readable(&loss.code, WORD_BYTES);
        loss.message = readable(&loss.message, MESSAGE_BYTES);
    }
    Ok(())
}

/// Checks the answer of `check`, and cuts what is for people.
pub(super) fn findings(findings: &mut [Finding]) -> Checked {
    at_most("findings", findings.len(), FINDINGS)?;
    for finding in findings {
        finding.code = readable(&finding.code, WORD_BYTES);
        finding.message = readable(&finding.message, MESSAGE_BYTES);
        finding.mend = readable(&finding.mend, MESSAGE_BYTES);
    }
    Ok(())
}

/// Checks the answer of `process` to a batch of so many records, and cuts what is for people. The events of a stranger are
/// read as well: whoever wrote the built-in plugin has tested that they are JSON.
pub(super) fn output(records: u32, output: &mut Output, stranger: bool) -> Checked {
    batch(&output.batch)?;
    at_most("things that it doesn't know", output.unknown.len(), UNKNOWN)?;
    let without_event = output.rejects.len() as u64 + u64::from(output.filtered);
    if without_event > u64::from(records) {
        return Err(format!("accounts for {without_event} records without an event out of {records}"));
    }
    let normalised = u64::from(records) - without_event;
    if u64::from(output.batch.count) < normalised {
        return Err(format!("made {} events out of {normalised} records", output.batch.count));
    }
    if normalised == 0 && output.batch.count > 0 {
        return Err(format!("made {} events out of no record", output.batch.count));
    }
    if let Some(reject) = output.rejects.iter().find(|reject| reject.index >= records) {
        return Err(format!("rejects line {} of {records}", reject.index));
    }
    if let Some(pair) = output.rejects.windows(2).find(|pair| pair[0].index >= pair[1].index) {
        return Err(format!("rejects line {} after line {}", pair[1].index, pair[0].index));
    }
    for reject in &mut output.rejects {
        reject.code = readable(&reject.code, WORD_BYTES);
        reject.message = readable(&reject.message, MESSAGE_BYTES);
    }
    for unknown in &mut output.unknown {
        for said in [&mut unknown.place, &mut unknown.name, &mut unknown.sample] {
            at_most("bytes as something that it doesn't know", said.len(), UNKNOWN_BYTES)?;
            if !said.chars().all(is_harmless) {
                *said = readable(said, UNKNOWN_BYTES);
            }
        }
    }
    match stranger.then(|| first_no_object(&output.batch.data)).flatten() {
        Some(line) => Err(format!("made an event that is no JSON object (line {line})")),
        None => Ok(()),
    }
}

/// A batch holds as many lines as it says, none of them empty, each ended by a line feed.
fn batch(Batch { count, data }: &Batch) -> Checked {
    let (mut lines, mut begin) = (0_u64, 0);
    for end in memchr::memchr_iter(b'\n', data) {
        if end == begin {
            return Err(format!("handed over a batch whose line {lines} is empty"));
        }
        begin = end + 1;
        lines += 1;
    }
    if lines != u64::from(*count) || begin != data.len() {
        return Err(format!("handed over a batch that claims {count} lines and holds {lines}"));
    }
    Ok(())
}

/// The first line that isn't one JSON object, counted from 0.
fn first_no_object(data: &[u8]) -> Option<usize> {
    data.split_inclusive(|byte| *byte == b'\n').position(|line| line.first() != Some(&b'{') || !is_json(line))
}

/// Whether some bytes are one JSON value, as text.
pub fn is_json(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
