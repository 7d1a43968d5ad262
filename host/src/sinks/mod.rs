//! Destinations. A sink knows nothing of streams: it takes bytes, and says when they are safe.

mod file;
mod stdout;

use crate::config::{SinkConfig, SinkFormat, SinkKind};

/// Why a sink can't take or confirm bytes. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What happened, and the mend.
    pub message: String,
    /// Whether trying again is of no use, such as after the reader of a pipe has gone.
    pub fatal: bool,
}

/// A destination. Bytes are handed over by [`Sink::write`] and are safe once [`Sink::confirm`] has returned; after an
/// error of either, everything since the last confirmation is handed over again.
pub trait Sink: Send {
    /// The name under which the ledger keeps the sink's position.
    fn name(&self) -> &str;

    /// What the sink wants: events or raw records.
    fn format(&self) -> SinkFormat;

    /// Sets the sink to where it stood at the last commit, before the first write. What was written after it is cut off,
    /// since it will be delivered again.
    ///
    /// # Errors
    /// If the sink can't go there.
    fn resume(&mut self, position: Option<u64>) -> Result<(), SinkError>;

    /// Takes whole lines.
    ///
    /// # Errors
    /// If they can't be taken now.
    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError>;

    /// Returns once everything written is safe, with the position to keep in the ledger, if the sink has one.
    ///
    /// # Errors
    /// If that can't be said.
    fn confirm(&mut self) -> Result<Option<u64>, SinkError>;

    /// Forgets what was written since the last confirmation, so that it can be handed over again.
    ///
    /// # Errors
    /// If the sink can't go back.
    fn roll_back(&mut self) -> Result<(), SinkError>;
}

/// Opens a configured sink.
///
/// # Errors
/// If the destination can't be used.
pub fn open(config: &SinkConfig) -> Result<Box<dyn Sink>, SinkError> {
    match (config.kind, &config.path) {
        (SinkKind::File, Some(path)) => Ok(Box::new(file::FileSink::open(path, config.format)?)),
        (SinkKind::File, None) => Err(SinkError { message: "A file sink has no path.".to_owned(), fatal: true }),
        (SinkKind::Stdout, _) => Ok(Box::new(stdout::StdoutSink::new(config.format))),
    }
}
