//! Normalising batches through the plugin, so that a record on which it fails costs that record only.

use std::sync::Arc;

use crate::guest::{Batch, ErrorKind, GuestError, Output, Plugin, Reject, TransformInstance};

/// An instance's memory never shrinks: after so many batches a new one takes its place.
const BATCHES_PER_INSTANCE: u32 = 500;

/// So many different unknown things are kept of a batch that was read in halves.
const MAX_UNKNOWN: usize = 1000;

/// Normalises for one thread.
pub struct Transformer {
    plugin: Arc<Plugin>,
    settings: String,
    instance: Option<TransformInstance>,
    batches: u32,
    one_by_one: bool,
}

impl Transformer {
    /// A transformer with the plugin's settings, as JSON text. Instances are made when they are needed.
    pub fn new(plugin: Arc<Plugin>, settings: String) -> Self {
        Self { plugin, settings, instance: None, batches: 0, one_by_one: false }
    }

    /// A transformer that hands the plugin one record at a time, so that one on which it hangs is found at once.
    pub fn careful(plugin: Arc<Plugin>, settings: String) -> Self {
        Self { one_by_one: true, ..Self::new(plugin, settings) }
    }

    /// Normalises a batch of a split. A record that makes the plugin trap, run out of its limits, or fail in another way
    /// is found by halving, and becomes a reject.
    ///
    /// # Errors
    /// If the plugin can't be instantiated, or refuses the batch for a reason that is not in its records.
    pub fn process(&mut self, stream: &str, split: &str, batch: &Batch, now_ms: u64) -> Result<Output, GuestError> {
        if self.one_by_one && batch.count > 1 {
            return self.in_halves(stream, split, batch, now_ms);
        }
        self.batches += 1;
        if self.batches > BATCHES_PER_INSTANCE {
            self.instance = None;
            self.batches = 0;
        }
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.plugin.transform(&self.settings)?,
        };
        instance.is_for(stream, split);
        let (code, reason) = match instance.process(stream, batch, now_ms) {
            Ok(output) => {
                self.instance = Some(instance);
                return Ok(output);
            }
            Err(error) if is_of_the_records(&error) => (error.code().to_owned(), error.to_string()),
            Err(error) => return Err(error),
        };
        // The instance is lost; what follows is done by new ones.
        if batch.count <= 1 {
            if self.plugin.may_tell(stream, &reason) {
                tracing::error!(stream, split, "The plugin fails on a record, which is put aside: {reason}");
            }
            return Ok(Output {
                batch: Batch { count: 0, data: Vec::new() },
                rejects: vec![Reject { index: 0, code, message: reason }],
                filtered: 0,
                unknown: Vec::new(),
            });
        }
        if self.plugin.may_tell(stream, &reason) {
            tracing::warn!(
                stream,
                split,
                records = batch.count,
                "The plugin failed on a batch, which is tried in halves: {reason}"
            );
        }
        self.in_halves(stream, split, batch, now_ms)
    }

    fn in_halves(&mut self, stream: &str, split: &str, batch: &Batch, now_ms: u64) -> Result<Output, GuestError> {
        let (first, second) = halves(batch);
        let mut output = self.process(stream, split, &first, now_ms)?;
        let rest = self.process(stream, split, &second, now_ms)?;
        output.batch.count += rest.batch.count;
        output.batch.data.extend_from_slice(&rest.batch.data);
        output.filtered += rest.filtered;
        output.unknown.extend(rest.unknown);
        output.unknown.truncate(MAX_UNKNOWN);
        output
            .rejects
            .extend(rest.rejects.into_iter().map(|reject| Reject { index: reject.index + first.count, ..reject }));
        Ok(output)
    }
}

/// Whether a failure may be the fault of a record: the plugin trapped, or says that the data are.
fn is_of_the_records(error: &GuestError) -> bool {
    match error {
        GuestError::Trapped(_) | GuestError::Contract(_) => true,
        GuestError::Answered { kind, .. } => {
            matches!(kind, ErrorKind::BadData | ErrorKind::TooLarge | ErrorKind::Internal | ErrorKind::Protocol)
        }
    }
}

/// The lines of a batch, without their ends.
pub(super) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    let last = (!data.is_empty() && !data.ends_with(b"\n")).then_some(data.len());
    memchr::memchr_iter(b'\n', data).chain(last).map(move |end| {
        let line = &data[begin..end];
        begin = end + 1;
        line
    })
}

fn halves(batch: &Batch) -> (Batch, Batch) {
    let half = batch.count / 2;
    let cut: usize = batch.data.split_inclusive(|byte| *byte == b'\n').take(half as usize).map(<[u8]>::len).sum();
    let (first, second) = batch.data.split_at(cut);
    (Batch { count: half, data: first.to_vec() }, Batch { count: batch.count - half, data: second.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_keep_every_line() {
        let (first, second) = halves(&Batch { count: 3, data: b"a\nbb\nccc\n".to_vec() });
        assert_eq!((first.count, first.data.as_slice()), (1, b"a\n".as_slice()));
        assert_eq!((second.count, second.data.as_slice()), (2, b"bb\nccc\n".as_slice()));
    }
}
