//! Calling a guest: one store with one instance, its calls, and what can go wrong in them.
//!
//! The invariant: what leaves here keeps to the contract ([`super::contract`]), whatever the guest said.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::bindings::{self, Batch, Chunk, Discovery, ErrorKind, Finding, Output, Split, source, transform};
use super::bounds::{CALL_BYTES, MESSAGE_BYTES, WORD_BYTES};
use super::contract::{self, Course};
use super::imports::{GuestState, OWN_QUOTA};
use super::limits::Stopped;
use crate::claims;
use crate::foreign_text::readable;

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
    /// The guest trapped or reached a limit. Its store is lost.
    #[error("The plugin failed: {0}")]
    Trapped(String),
    /// The guest handed over what `wit/` doesn't allow: a fault in the plugin. Its store is lost.
    #[error("The plugin broke its contract: {0}")]
    Contract(String),
}

impl GuestError {
    /// A call that ended in a trap, or that the host ended.
    pub(super) fn trap(function: &str, error: &wasmtime::Error) -> Self {
        if let Some(Stopped::Ended) = error.downcast_ref::<Stopped>() {
            return Self::Answered {
                kind: ErrorKind::Cancelled,
                code: "cancelled".to_owned(),
                message: "The run is ending.".to_owned(),
                retry_after: None,
                quota: None,
            };
        }
        let mut text = format!("{:#}", error.root_cause());
        if text.is_empty() {
            text = format!("{error:#}");
        }
        if text.contains("hostcalls has been exhausted") {
            return Self::Contract(format!("`{function}` handed over more than {} MiB in one call", CALL_BYTES >> 20));
        }
        let text = readable(text.lines().next().unwrap_or_default(), MESSAGE_BYTES);
        Self::Trapped(format!("{text} (in `{function}`)"))
    }

    /// An answer that the contract doesn't allow.
    pub(super) fn breach(function: &str, what: &str) -> Self {
        Self::Contract(format!("`{function}` {what}"))
    }

    pub(super) fn missing(what: &str) -> Self {
        Self::Trapped(format!("it doesn't export the interface `{what}`"))
    }

    fn answered(error: bindings::Error, state: &GuestState) -> Self {
        let (mut kind, mut code) = (error.kind, readable(&error.code, WORD_BYTES));
        // The host goes on in silence when it ends, or waits for its own quota. A guest can't claim that it does.
        let ends = kind == ErrorKind::Cancelled && !state.is_ending();
        if ends {
            kind = ErrorKind::Internal;
        }
        if ends || (kind == ErrorKind::RateLimited && code == OWN_QUOTA && !state.held_back) {
            code.push_str("-claimed");
        }
        Self::Answered {
            kind,
            code,
            message: readable(&error.message, MESSAGE_BYTES),
            retry_after: error.retry_after_ms.map(|asked| claims::wait(Duration::from_millis(asked))),
            quota: state.last_quota.clone(),
        }
    }

    /// The short word for logs and metrics.
    pub fn code(&self) -> &str {
        match self {
            Self::Answered { code, .. } => code,
            Self::Trapped(_) => "trap",
            Self::Contract(_) => "contract",
        }
    }
}

/// Runs a call of the guest with its clock on.
macro_rules! timed {
    ($self:ident, $function:literal, $call:expr) => {{
        $self.store.data_mut().begin();
        let result = $call;
        $self.store.data().activity.leave();
        result.map_err(|trap| GuestError::trap($function, &trap))
    }};
}

/// Runs a call of the guest with its clock on, and unwraps both layers of its result.
macro_rules! call {
    ($self:ident, $function:literal, $call:expr) => {
        match timed!($self, $function, $call) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(GuestError::answered(error, $self.store.data())),
            Err(error) => Err(error),
        }
    };
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
        call!(this, "configure", this.guest.log_pipeline_plugin_source().call_configure(&mut this.store, settings))?;
        Ok(this)
    }

    /// Lists what is new in a stream.
    ///
    /// # Errors
    /// What the plugin answers, or that it trapped or broke the contract.
    pub fn discover(&mut self, stream: &str, state: Option<&str>, now_ms: u64) -> Result<Discovery, GuestError> {
        let mut found = call!(
            self,
            "discover",
            self.guest.log_pipeline_plugin_source().call_discover(&mut self.store, &stream.to_owned(), state, now_ms)
        )?;
        contract::discovery(stream, &mut found).map_err(|what| GuestError::breach("discover", &what))?;
        Ok(found)
    }

    /// Tests a stream without changing anything.
    ///
    /// # Errors
    /// If the plugin traps or breaks the contract.
    pub fn check(&mut self, stream: &str, now_ms: u64) -> Result<Vec<Finding>, GuestError> {
        let mut findings = timed!(
            self,
            "check",
            self.guest.log_pipeline_plugin_source().call_check(&mut self.store, &stream.to_owned(), now_ms)
        )?;
        contract::findings(&mut findings).map_err(|what| GuestError::breach("check", &what))?;
        Ok(findings)
    }

    /// Says which split is read, in case the plugin hangs on it.
    pub(super) fn is_for(&self, split: &Split) {
        self.store.data().activity.is_for(&split.stream, &split.id);
    }

    pub(super) fn open(mut self, split: &Split, resume: Option<&str>, now_ms: u64) -> Result<Reader, GuestError> {
        let reader = call!(
            self,
            "reader.open",
            self.guest.log_pipeline_plugin_source().reader().call_open(&mut self.store, split, resume, now_ms)
        )?;
        Ok(Reader { store: self.store, guest: self.guest, reader, course: Course::default() })
    }
}

/// An instance with a split open for reading.
pub struct Reader {
    store: Store<GuestState>,
    guest: source::SourcePlugin,
    reader: ResourceAny,
    course: Course,
}

impl Reader {
    /// The next chunk of records, or none after the last one.
    ///
    /// # Errors
    /// What the plugin answers, or that it trapped or broke the contract.
    pub fn next(&mut self, max_bytes: u32) -> Result<Option<Chunk>, GuestError> {
        let mut chunk = call!(
            self,
            "reader.next",
            self.guest.log_pipeline_plugin_source().reader().call_next(&mut self.store, self.reader, max_bytes)
        )?;
        self.course.chunk(chunk.as_mut()).map_err(|what| GuestError::breach("reader.next", &what))?;
        Ok(chunk)
    }
}

/// An instance that normalises.
pub struct TransformInstance {
    store: Store<GuestState>,
    guest: transform::TransformPlugin,
    /// Whether it is a component that somebody brought along.
    stranger: bool,
}

impl TransformInstance {
    pub(super) fn new(
        store: Store<GuestState>,
        guest: transform::TransformPlugin,
        settings: &str,
        stranger: bool,
    ) -> Result<Self, GuestError> {
        let mut this = Self { store, guest, stranger };
        call!(this, "configure", this.guest.log_pipeline_plugin_transform().call_configure(&mut this.store, settings))?;
        Ok(this)
    }

    /// Says whose records come next, in case the plugin hangs on one of them.
    pub fn is_for(&mut self, stream: &str, split: &str) {
        self.store.data().activity.is_for(stream, split);
        self.store.data_mut().is_for(stream);
    }

    /// Normalises a batch of records of one stream.
    ///
    /// # Errors
    /// What the plugin answers, or that it trapped or broke the contract, such as by an answer that doesn't account for every
    /// line.
    pub fn process(&mut self, stream: &str, input: &Batch, now_ms: u64) -> Result<Output, GuestError> {
        let mut output = call!(
            self,
            "process",
            self.guest.log_pipeline_plugin_transform().call_process(&mut self.store, &stream.to_owned(), input, now_ms)
        )?;
        contract::output(input.count, &mut output, self.stranger)
            .map_err(|what| GuestError::breach("process", &what))?;
        Ok(output)
    }
}
