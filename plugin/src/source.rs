//! What the source exports, as plain functions over any HTTP: discover, check, open.
//!
//! Invariant: everything is decided by the settings, the state and the time that are passed in, and by what the service
//! answers; nothing is kept between calls.

use crate::call::{Http, Log};
use crate::clock::Interval;
use crate::driver::{self, Reader, SplitReader};
use crate::error::{Error, ErrorKind};
use crate::graph;
use crate::office365;
use crate::settings::Settings;
use crate::streams::{self, Feed, Stream};

/// A piece of work; `wit/source.wit` documents the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Unique within the stream, at most 512 bytes.
    pub id: String,
    /// The stream's name.
    pub stream: String,
    /// What `open` needs.
    pub payload: String,
    /// Milliseconds since 1970 on the arrival clock.
    pub arrival: u64,
    /// When it can no longer be read, on the same clock.
    pub expires: Option<u64>,
}

/// The answer to `discover`; `wit/source.wit` documents the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// New splits, oldest first.
    pub splits: Vec<Split>,
    /// The next state of the stream.
    pub state: String,
    /// Whether to call again at once.
    pub more: bool,
    /// How long to wait otherwise, in milliseconds.
    pub next_ms: u64,
    /// The stretches that are listed completely.
    pub coverage: Vec<Interval>,
    /// Which reading of its stretches this was: [`LIVE`], or the name of a later pass.
    pub pass: String,
    /// Everything before it has had its last pass.
    pub sealed: Option<u64>,
    /// The stretches that can't be listed any more, with the reason.
    pub lost: Vec<(Interval, String)>,
}

/// The name of the lane that reads what is new.
pub const LIVE: &str = "live";

/// How a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// All is well.
    Ok,
    /// The stream works, and there is something to know.
    Note,
    /// The stream doesn't work until somebody mends it.
    Failure,
}

/// One thing that `check` found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its weight.
    pub severity: Severity,
    /// A short stable word.
    pub code: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

impl Finding {
    /// All is well.
    pub fn ok(message: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, code: "ok".to_owned(), message: message.into(), mend: String::new() }
    }

    /// A failure, from what the service answered.
    pub fn failure(diagnosis: crate::error::Diagnosis) -> Self {
        Self {
            severity: Severity::Failure,
            code: diagnosis.error.code,
            message: diagnosis.error.message,
            mend: diagnosis.mend,
        }
    }

    /// What the service answered, for what a run copes with by waiting: the stream works.
    pub fn passing(diagnosis: crate::error::Diagnosis) -> Self {
        let mend = "Nothing, if it passes: a run waits and tries again.".to_owned();
        Self { severity: Severity::Note, mend, ..Self::failure(diagnosis) }
    }

    /// As [`Self::passing`] or as [`Self::failure`], by what kind of failure it is.
    pub fn refused(diagnosis: crate::error::Diagnosis) -> Self {
        match diagnosis.error.kind {
            ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout => Self::passing(diagnosis),
            _ => Self::failure(diagnosis),
        }
    }

    /// A failure of a call that had no answer; the host's error says what to do.
    pub fn unanswered(error: Error) -> Self {
        Self { severity: Severity::Failure, code: error.code, message: error.message, mend: String::new() }
    }
}

fn known(name: &str) -> Result<&'static Stream, Error> {
    streams::find(name).ok_or_else(|| {
        Error::new(
            ErrorKind::BadData,
            "unknown-stream",
            format!("There is no stream named {name:?}; the plugin's description lists the names."),
        )
    })
}

/// Lists what is new in a stream.
///
/// # Errors
/// As the service or the host has it; the host calls again later with the same state.
pub fn discover<H: Http>(
    settings: &Settings,
    http: &mut H,
    log: &mut impl Log,
    stream: &str,
    state: Option<&str>,
    now_ms: u64,
) -> Result<Discovery, Error> {
    let stream = known(stream)?;
    match stream.feed {
        Feed::ContentType(content_type) => {
            let feed = office365::feed::FeedMachine::new(settings, stream, content_type, state, now_ms)?;
            driver::converse(feed, http, log, stream.name)
        }
        Feed::Graph(collection) => {
            let plan = graph::windows::Planner::new(settings, stream, collection, state, now_ms)?;
            driver::converse(plan, http, log, stream.name)
        }
    }
}

/// Tests a stream without changing anything at the service.
pub fn check<H: Http>(
    settings: &Settings,
    http: &mut H,
    log: &mut impl Log,
    stream: &str,
    now_ms: u64,
) -> Vec<Finding> {
    let findings = match known(stream) {
        Err(error) => Err(error),
        Ok(stream) => match stream.feed {
            Feed::ContentType(content_type) => driver::converse(
                office365::check::Check::new(settings, stream, content_type, now_ms),
                http,
                log,
                stream.name,
            ),
            Feed::Graph(collection) => {
                driver::converse(graph::check::Check::new(settings, stream, collection, now_ms), http, log, stream.name)
            }
        },
    };
    findings.unwrap_or_else(|error| vec![Finding::unanswered(error)])
}

/// Opens a split. Calls nothing yet.
///
/// # Errors
/// `bad-data` for a payload or a position that isn't of this plugin.
pub fn open<H: Http>(
    settings: &Settings,
    split: &Split,
    resume: Option<&str>,
    now_ms: u64,
) -> Result<Reader<H>, Error> {
    let stream = known(&split.stream)?;
    let reading: Box<dyn SplitReader> = match stream.feed {
        Feed::ContentType(_) => Box::new(office365::blob::BlobReader::open(settings, stream, split)?),
        Feed::Graph(collection) => {
            Box::new(graph::reader::WindowReader::open(settings, stream, collection, &split.payload, resume, now_ms)?)
        }
    };
    Ok(Reader::new(reading, stream.name, settings.record_limit()))
}
