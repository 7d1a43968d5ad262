//! Destinations. A sink knows nothing of streams: it takes lines, and says when they are safe.
//!
//! The invariant: [`Sink::deliver`] succeeds only once every line is safe at the destination, or was refused by it for
//! good and is named. What comes after that, such as the commit, is the pipeline's.

mod compression;
mod file;
mod http;
mod route;
mod stdout;

use std::time::Duration;

use crate::config::{ConfigError, SinkConfig, SinkFormat, SinkKind};

pub use route::Route;

/// What a failure of a sink means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass by itself: try again, after this time at least if the destination named one.
    Passing(Option<Duration>),
    /// Somebody has to mend something, such as a credential: try again slowly.
    Mend,
    /// The sink's configuration can't be used.
    Configuration,
    /// Trying again is of no use, such as after the reader of a pipe has gone.
    Final,
}

/// Why a sink can't take lines. The text says what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What happened, and the mend.
    pub message: String,
    /// What it means.
    pub trouble: Trouble,
    /// Whether some lines were settled since the last failure: then it is the first failure again.
    pub progressed: bool,
}

impl SinkError {
    pub(crate) fn new(trouble: Trouble, message: impl Into<String>) -> Self {
        Self { message: message.into(), trouble, progressed: false }
    }

    pub(crate) fn passing(message: impl Into<String>) -> Self {
        Self::new(Trouble::Passing(None), message)
    }
}

impl From<ConfigError> for SinkError {
    fn from(error: ConfigError) -> Self {
        Self::new(Trouble::Configuration, error.to_string())
    }
}

/// A line that the destination refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line's place among all lines of the call, from 0.
    pub line: usize,
    /// A short stable word.
    pub code: String,
    /// What the destination said.
    pub message: String,
}

/// What is safe, and what isn't.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The position to keep in the ledger, if the sink has one.
    pub position: Option<String>,
    /// The lines that the destination will never take.
    pub refused: Vec<Refused>,
}

/// What became of lines that were given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// How many lines, from the first on, the destination had confirmed or refused all the same.
    pub settled: usize,
    /// Those of them that it refused.
    pub refused: Vec<Refused>,
}

/// What comes next for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// A delivery.
    Delivery,
    /// Nothing for a while.
    Nothing,
    /// Nothing any more in this run.
    End,
}

/// Ends what a sink waits for, from another thread.
pub type Interrupter = Box<dyn Fn() + Send + Sync>;

/// A destination.
pub trait Sink: Send {
    /// The name under which the ledger keeps the sink's position and its dead letters.
    fn name(&self) -> &str;

    /// Whether what was delivered and not committed is taken back at the next start. Such a sink holds every line once,
    /// and is asked before the others.
    fn takes_back(&self) -> bool {
        false
    }

    /// Sets the sink to where it stood at the last commit, before anything else. What was written after it is cut off,
    /// since it will be delivered again. Returns the position to commit before the first delivery, if there is one.
    ///
    /// # Errors
    /// If the sink can't go there.
    fn resume(&mut self, position: Option<&str>) -> Result<Option<String>, SinkError>;

    /// Called before each attempt of a delivery, and now and then when there is nothing to deliver: the moment for a look
    /// at what others did to the destination, and for a rotation. What was confirmed so far is committed. A position that
    /// it returns is committed before anything else.
    ///
    /// # Errors
    /// If that failed; it is called again.
    fn prepare(&mut self, _now_ms: u64, _coming: Coming) -> Result<Option<String>, SinkError> {
        Ok(None)
    }

    /// Delivers blocks of whole lines, and returns once each line is safe or refused. After an error it is called
    /// again with the same blocks, and goes on where it was, or [`Sink::give_up`] is. [`Sink::prepare`] comes first.
    ///
    /// # Errors
    /// If not every line can be delivered now.
    fn deliver(&mut self, blocks: &[&[u8]]) -> Result<Receipt, SinkError>;

    /// The blocks of the last failed delivery won't come again.
    fn give_up(&mut self) -> GivenUp;

    /// What ends the sink's waiting when the run has to end, if it waits for a network.
    fn interrupter(&self) -> Option<Interrupter> {
        None
    }
}

/// A sink, with what it is given.
pub struct Output {
    /// The destination.
    pub sink: Box<dyn Sink>,
    /// What it wants: events or raw records.
    pub format: SinkFormat,
    /// Which streams it wants.
    pub route: Route,
    /// Whether delivery goes on without it when it fails.
    pub optional: bool,
}

/// Opens a configured sink.
///
/// # Errors
/// If the destination can't be used.
pub fn open(config: &SinkConfig) -> Result<Output, SinkError> {
    let sink: Box<dyn Sink> = match config.kind {
        SinkKind::File => Box::new(file::FileSink::open(config)?),
        SinkKind::Stdout => Box::new(stdout::StdoutSink::new(config)),
        SinkKind::Http => Box::new(http::HttpSink::open(config)?),
    };
    Ok(Output { sink, format: config.format, route: Route::new(config), optional: config.optional })
}
