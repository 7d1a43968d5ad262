//! Calling a guest: one store with one instance, its calls, and what can go wrong in them.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::bindings::{self, Batch, Chunk, Discovery, ErrorKind, Finding, Output, Split, Unknown, source, transform};
use super::imports::GuestState;
use crate::claims;
use crate::foreign_text::{SENTENCE, WORD, readable};

/// Why a call of a guest gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GuestError {
    /// The guest answered with an error.
    #[error("{message}")]
    Answered {
        /// What to act upon.
        kind: ErrorKind,
        /// A short stable word.
        code: String,
        /// Sentences for a person.
        message: String,
        /// How long the service asked to wait.
        retry_after: Option<Duration>,
        /// The quota that the last request named, if there was one.
        quota: Option<String>,
    },
    /// The guest trapped, reached a limit, or broke the contract. Its store is lost.
    #[error("The plugin failed: {0}")]
    Trapped(String),
}

impl GuestError {
    pub(super) fn trap(error: wasmtime::Error) -> Self {
        let mut text = format!("{:#}", error.root_cause());
        if text.is_empty() {
            text = format!("{error:#}");
        }
        Self::Trapped(readable(text.lines().next().unwrap_or_default(), SENTENCE))
    }

    pub(super) fn missing(what: &str) -> Self {
        Self::Trapped(format!("it doesn't export the interface `{what}`"))
    }

    fn answered(error: bindings::Error, state: &GuestState) -> Self {
        Self::Answered {
            kind: error.kind,
            code: readable(&error.code, WORD),
            message: readable(&error.message, SENTENCE),
            retry_after: error.retry_after_ms.map(|asked| claims::wait(Duration::from_millis(asked))),
            quota: state.last_quota.clone(),
        }
    }

    /// The short word for logs and metrics.
    pub fn code(&self) -> &str {
        match self {
            Self::Answered { code, .. } => code,
            Self::Trapped(_) => "trap",
        }
    }
}

/// Runs a call of the guest with its clock on, and unwraps both layers of its result.
macro_rules! call {
    ($self:ident, $call:expr) => {{
        $self.store.data().activity.enter();
        let result = $call;
        $self.store.data().activity.leave();
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(GuestError::answered(error, $self.store.data())),
            Err(trap) => Err(GuestError::trap(trap)),
        }
    }};
}

/// An instance that discovers and checks.
pub struct SourceInstance {
    store: Store<GuestState>,
    guest: source::SourcePlugin,
}

impl SourceInstance {
    pub(super) fn new(
        store: Store<GuestState>,
        guest: source::SourcePlugin,
        settings: &str,
    ) -> Result<Self, GuestError> {
        let mut this = Self { store, guest };
        call!(this, this.guest.log_pipeline_plugin_source().call_configure(&mut this.store, settings))?;
        Ok(this)
    }

    /// Lists what is new in a stream.
    ///
    /// # Errors
    /// What the plugin answers, or that it trapped.
    pub fn discover(&mut self, stream: &str, state: Option<&str>, now_ms: u64) -> Result<Discovery, GuestError> {
        let mut discovery = call!(
            self,
            self.guest.log_pipeline_plugin_source().call_discover(&mut self.store, &stream.to_owned(), state, now_ms)
        )?;
        discovery.lost.iter_mut().for_each(|(_, reason)| *reason = readable(reason, SENTENCE));
        Ok(discovery)
    }

    /// Tests a stream without changing anything.
    ///
    /// # Errors
    /// If the plugin traps.
    pub fn check(&mut self, stream: &str, now_ms: u64) -> Result<Vec<Finding>, GuestError> {
        self.store.data().activity.enter();
        let result = self.guest.log_pipeline_plugin_source().call_check(&mut self.store, &stream.to_owned(), now_ms);
        self.store.data().activity.leave();
        let mut findings = result.map_err(GuestError::trap)?;
        for finding in &mut findings {
            finding.code = readable(&finding.code, WORD);
            finding.message = readable(&finding.message, SENTENCE);
            finding.mend = readable(&finding.mend, SENTENCE);
        }
        Ok(findings)
    }

    /// Says which split is read, in case the plugin hangs on it.
    pub(super) fn is_for(&self, split: &Split) {
        self.store.data().activity.is_for(&split.stream, &split.id);
    }

    pub(super) fn open(mut self, split: &Split, resume: Option<&str>, now_ms: u64) -> Result<Reader, GuestError> {
        let reader = call!(
            self,
            self.guest.log_pipeline_plugin_source().reader().call_open(&mut self.store, split, resume, now_ms)
        )?;
        Ok(Reader { store: self.store, guest: self.guest, reader })
    }
}

/// An instance with a split open for reading.
pub struct Reader {
    store: Store<GuestState>,
    guest: source::SourcePlugin,
    reader: ResourceAny,
}

impl Reader {
    /// The next chunk of records, or none after the last one.
    ///
    /// # Errors
    /// What the plugin answers, or that it trapped or handed out something that is no batch.
    pub fn next(&mut self, max_bytes: u32) -> Result<Option<Chunk>, GuestError> {
        let chunk = call!(
            self,
            self.guest.log_pipeline_plugin_source().reader().call_next(&mut self.store, self.reader, max_bytes)
        )?;
        if let Some(chunk) = &chunk {
            check_batch(&chunk.batch)?;
        }
        Ok(chunk)
    }
}

/// An instance that normalises.
pub struct TransformInstance {
    store: Store<GuestState>,
    guest: transform::TransformPlugin,
}

impl TransformInstance {
    pub(super) fn new(
        store: Store<GuestState>,
        guest: transform::TransformPlugin,
        settings: &str,
    ) -> Result<Self, GuestError> {
        let mut this = Self { store, guest };
        call!(this, this.guest.log_pipeline_plugin_transform().call_configure(&mut this.store, settings))?;
        Ok(this)
    }

    /// Says whose records come next, in case the plugin hangs on one of them.
    pub fn is_for(&mut self, stream: &str, split: &str) {
        self.store.data().activity.is_for(stream, split);
    }

    /// Normalises a batch of records of one stream.
    ///
    /// # Errors
    /// What the plugin answers, or that it trapped, or that its answer doesn't account for every line.
    pub fn process(&mut self, stream: &str, input: &Batch, now_ms: u64) -> Result<Output, GuestError> {
        let mut output = call!(
            self,
            self.guest.log_pipeline_plugin_transform().call_process(&mut self.store, &stream.to_owned(), input, now_ms)
        )?;
        check_batch(&output.batch)?;
        let without_event = output.rejects.len() as u64 + u64::from(output.filtered);
        if without_event > u64::from(input.count) {
            return Err(GuestError::Trapped(format!(
                "it accounts for {without_event} records without an event out of {}",
                input.count
            )));
        }
        if let Some(reject) = output.rejects.iter().find(|reject| reject.index >= input.count) {
            return Err(GuestError::Trapped(format!("it rejects line {} of {}", reject.index, input.count)));
        }
        let normalised = u64::from(input.count) - without_event;
        if u64::from(output.batch.count) < normalised {
            return Err(GuestError::Trapped(format!(
                "it made {} events out of {normalised} records",
                output.batch.count
            )));
        }
        for reject in &mut output.rejects {
            reject.code = readable(&reject.code, WORD);
            reject.message = readable(&reject.message, SENTENCE);
        }
        for Unknown { place, name, sample, .. } in &mut output.unknown {
            [place, name, sample].into_iter().for_each(|text| *text = readable(text, WORD));
        }
        Ok(output)
    }
}

/// A batch holds as many lines as it says, each ended by a line feed.
fn check_batch(batch: &Batch) -> Result<(), GuestError> {
    let lines = memchr::memchr_iter(b'\n', &batch.data).count();
    if lines != batch.count as usize || batch.data.last().is_some_and(|last| *last != b'\n') {
        return Err(GuestError::Trapped(format!(
            "it handed out a batch that claims {} lines and holds {lines}",
            batch.count
        )));
    }
    Ok(())
}
