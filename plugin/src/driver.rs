//! Carries the state machines' requests out and feeds them the answers.
//!
//! Invariant: no rule of either API is known here; a machine decides, the driver calls. The batch in hand and one record
//! are all that is held of a body.

use crate::call::{Answer, Body, Head, Http, Level, Log, Machine, Note, Request, Step};
use crate::clock::Interval;
use crate::error::{Error, ErrorKind};
use crate::splitter::{Framing, SplitError, Splitter};

/// Answers to lists and refusals may be this large, in bytes.
const ANSWER_LIMIT: usize = 16 << 20;
/// How much is read of a body at a time, in bytes.
const PIECE: u32 = 256 << 10;

/// Leads a conversation to its end.
///
/// # Errors
/// What the machine fails with.
pub fn converse<M: Machine, H: Http>(
    mut machine: M,
    http: &mut H,
    log: &mut impl Log,
    stream: &str,
) -> Result<M::Output, Error> {
    let mut step = machine.start();
    loop {
        for note in machine.take_notes() {
            log.write(stream, note);
        }
        match step {
            Step::Done(output) => return Ok(output),
            Step::Fail(error) => return Err(error),
            Step::Call(request) => {
                let answer =
                    http.send(&request).and_then(|(head, mut body)| Ok(Answer { head, body: whole(&mut body)? }));
                step = machine.on_answer(answer);
            }
        }
    }
}

fn whole(body: &mut impl Body) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let piece = body.read(PIECE)?;
        if piece.is_empty() {
            return Ok(bytes);
        }
        if bytes.len() + piece.len() > ANSWER_LIMIT {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "answer-limit",
                format!("The service's answer to a list is larger than {ANSWER_LIMIT} bytes; it was given up."),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
}

/// What a reader wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadStep {
    /// Get this page.
    Call(Request),
    /// The split is read.
    Done,
}

/// A split being read, page by page, as a state machine.
pub trait SplitReader {
    /// The page to get, or the end.
    fn next_step(&mut self) -> ReadStep;
    /// What surrounds the records of a page.
    fn framing(&self) -> Framing;
    /// Whether a status carries records (and the body is to be split) or is a refusal.
    fn carries_records(&self, head: &Head) -> bool;
    /// An answer that carries no records. `Ok` means: ask for the next step.
    ///
    /// # Errors
    /// What the answer means for the split.
    fn on_refusal(&mut self, answer: Answer) -> Result<(), Error>;
    /// A call without an answer, or a body that broke off. `Ok` means: ask for the next step.
    ///
    /// # Errors
    /// What it means for the split.
    fn on_failure(&mut self, error: Error) -> Result<(), Error>;
    /// A page has been read to its end. `page` knows the number of its records and the other members.
    ///
    /// # Errors
    /// If the page can't be what it should be.
    fn on_page(&mut self, head: &Head, page: &Splitter) -> Result<(), Error>;
    /// Where to go on if everything handed out so far has been delivered.
    fn resume(&self) -> Option<String>;
    /// Whether `resume` says more than where the last chunk ended, so that it is worth keeping even if what follows is a
    /// failure. Asked once for each change.
    fn take_keep(&mut self) -> bool {
        false
    }
    /// Lines for the operator.
    fn take_notes(&mut self) -> Vec<Note> {
        Vec::new()
    }
}

/// A record that is larger than the limit; `wit/source.wit` documents the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// Its size in bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal digits.
    pub sha256: String,
    /// Its first KiB at most.
    pub head: Vec<u8>,
    /// The limit that would read it, in MiB.
    pub limit_mib: u32,
}

/// A part of a split that was passed over; `wit/source.wit` documents the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The stretch of the arrival clock that it was in, where that is known.
    pub stretch: Option<Interval>,
    /// A short stable word.
    pub code: String,
    /// What was passed over and why.
    pub message: String,
    /// The record, if it is one that is larger than the limit.
    pub oversized: Option<Oversized>,
}

/// Some records of a split, one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The number of lines.
    pub count: u32,
    /// The lines, each with its line feed.
    pub data: Vec<u8>,
    /// Where to go on after this chunk.
    pub resume: Option<String>,
    /// Whether it is the last.
    pub done: bool,
    /// What was passed over.
    pub losses: Vec<Loss>,
}

struct Page<B> {
    head: Head,
    body: B,
    splitter: Splitter,
}

/// A split being read over some HTTP.
pub struct Reader<H: Http> {
    reading: Box<dyn SplitReader>,
    stream: &'static str,
    record_limit: usize,
    page: Option<Page<H::Body>>,
    /// A failure that is told after the chunk that keeps the position.
    held: Option<Error>,
    done: bool,
}

impl<H: Http> Reader<H> {
    /// A reader that hasn't called anything yet.
    pub fn new(reading: Box<dyn SplitReader>, stream: &'static str, record_limit: usize) -> Self {
        Self { reading, stream, record_limit, page: None, held: None, done: false }
    }

    /// The next records: about `max_bytes` of them, but one at least unless only the position is worth
    /// keeping, and none after the last chunk.
    ///
    /// # Errors
    /// What the service or the host has it; the reader is of no use then.
    pub fn next(&mut self, max_bytes: u32, http: &mut H, log: &mut impl Log) -> Result<Option<Chunk>, Error> {
        if let Some(error) = self.held.take() {
            return Err(error);
        }
        if self.done {
            return Ok(None);
        }
        let mut chunk = Chunk::default();
        let result = self.fill(&mut chunk, max_bytes as usize, http, log);
        for note in self.reading.take_notes() {
            log.write(self.stream, note);
        }
        if let Err(error) = result {
            self.page = None;
            self.done = true;
            if self.reading.take_keep() {
                chunk.resume = self.reading.resume();
                self.held = Some(error);
                return Ok(Some(chunk));
            }
            return Err(error);
        }
        self.reading.take_keep();
        chunk.done = self.done;
        chunk.resume = if self.done { None } else { self.reading.resume() };
        Ok(Some(chunk))
    }

    fn fill(&mut self, chunk: &mut Chunk, max_bytes: usize, http: &mut H, log: &mut impl Log) -> Result<(), Error> {
        loop {
            if chunk.count > 0 && chunk.data.len() >= max_bytes {
                return Ok(());
            }
            match self.page.take() {
                None => match self.reading.next_step() {
                    ReadStep::Done => {
                        self.done = true;
                        return Ok(());
                    }
                    ReadStep::Call(request) => self.call(&request, http)?,
                },
                Some(page) => self.piece(page, chunk, max_bytes)?,
            }
            for note in self.reading.take_notes() {
                log.write(self.stream, note);
            }
        }
    }

    fn call(&mut self, request: &Request, http: &mut H) -> Result<(), Error> {
        match http.send(request) {
            Err(error) => self.reading.on_failure(error),
            Ok((head, body)) if self.reading.carries_records(&head) => {
                let splitter = Splitter::new(self.reading.framing(), self.record_limit);
                self.page = Some(Page { head, body, splitter });
                Ok(())
            }
            Ok((head, mut body)) => match whole(&mut body) {
                Ok(body) => self.reading.on_refusal(Answer { head, body }),
                Err(error) => self.reading.on_failure(error),
            },
        }
    }

    fn piece(&mut self, mut page: Page<H::Body>, chunk: &mut Chunk, max_bytes: usize) -> Result<(), Error> {
        let room = max_bytes.saturating_sub(chunk.data.len());
        let size = u32::try_from(room).unwrap_or(PIECE).clamp(4 << 10, PIECE);
        let piece = match page.body.read(size) {
            Ok(piece) => piece,
            Err(error) => return self.reading.on_failure(error),
        };
        if piece.is_empty() {
            page.splitter.finish().map_err(|error| broken(&error))?;
            return self.reading.on_page(&page.head, &page.splitter);
        }
        page.splitter
            .feed(&piece, |record| {
                chunk.data.extend_from_slice(record);
                chunk.data.push(b'\n');
                chunk.count += 1;
            })
            .map_err(|error| broken(&error))?;
        self.page = Some(page);
        Ok(())
    }
}

fn broken(error: &SplitError) -> Error {
    let (kind, code, mend) = match error {
        SplitError::Html => (
            ErrorKind::Unavailable,
            "html",
            "A gateway in front of the service answered in its place; it is tried again.",
        ),
        SplitError::Truncated { .. } => {
            (ErrorKind::Protocol, "body-cut", "The connection broke off; it is tried again.")
        }
        SplitError::Garbage { .. } => {
            (ErrorKind::Protocol, "not-json", "It is tried again; if it stays, the service is at fault.")
        }
        SplitError::TooLarge { .. } => {
            (ErrorKind::TooLarge, "record-limit", "Raise the setting record_limit_mib to read it.")
        }
    };
    Error::new(kind, code, format!("An answer with records can't be read: {error}. {mend}"))
}

/// A line of a machine.
pub(crate) fn note(level: Level, message: impl Into<String>) -> Note {
    Note { level, message: message.into() }
}
