//! Carries the state machines' requests out and feeds them the answers.
//!
//! Invariant: no rule of either API is known here; a machine decides, the driver calls. The batch in hand and one record
//! are all that is held of a body.

use crate::call::{Answer, Body, Head, Http, Level, Log, Machine, Note, Request, Step, excerpt};
use crate::clock::Interval;
use crate::error::{Error, ErrorKind};
use crate::splitter::{self, Framing, SplitError, Splitter};

/// Answers to lists and refusals may be this large, in bytes.
const ANSWER_LIMIT: usize = 16 << 20;
/// How much is read of a body at a time, in bytes.
const PIECE: u32 = 256 << 10;
/// A chunk ends after so many losses; the contract allows 256, and one piece of a body has few.
const LOSSES_A_CHUNK: usize = 128;

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
        keep(&mut bytes, &piece)?;
    }
}

/// What a reader wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadStep {
    /// Get this page.
    Call(Request),
    /// The split is read.
    Done,
    /// There is nothing to get for now.
    Fail(Error),
}

/// A split being read, page by page, as a state machine.
pub trait SplitReader {
    /// The page to get, or the end.
    fn next_step(&mut self) -> ReadStep;
    /// What surrounds the records of a page.
    fn framing(&self) -> Framing;
    /// Whether a status carries records (and the body is to be split) or is a refusal.
    fn carries_records(&self, head: &Head) -> bool;
    /// An answer that isn't the records that were asked for: by its status, or by its body. `read` is how many records of its page were
    /// handed on before the body said so, if it was one so far. `Ok` means: ask for the next step.
    ///
    /// # Errors
    /// What the answer means for the split.
    fn on_refusal(&mut self, answer: Answer, read: Option<u64>) -> Result<(), Error>;
    /// A call without an answer. `Ok` means: ask for the next step.
    ///
    /// # Errors
    /// What it means for the split.
    fn on_failure(&mut self, error: Error) -> Result<(), Error>;
    /// A body with records that broke off, or can't be understood, after `read` records were handed on. `Ok` means: ask for the next
    /// step.
    ///
    /// # Errors
    /// What it means for the split.
    fn on_broken(&mut self, error: Error, read: u64) -> Result<(), Error>;
    /// Whether [`Self::on_record`] is to be called for the page that is being read.
    fn watches(&self) -> bool {
        false
    }
    /// A record of the page that is being read.
    fn on_record(&mut self, _record: &[u8]) {}
    /// The stretch of the arrival clock that is being read, where that is known.
    fn stretch(&self) -> Option<Interval> {
        None
    }
    /// What was passed over since the last call.
    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
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
    /// The body up to where its records begin: without them, it is read as a refusal.
    before: Vec<u8>,
    /// What stands in a record's place and says that something went wrong: the first such, and how many there are.
    said: Option<Vec<u8>>,
    errors: u64,
    bytes: u64,
}

/// A split being read over some HTTP.
pub struct Reader<H: Http> {
    reading: Box<dyn SplitReader>,
    stream: &'static str,
    record_limit: usize,
    page: Option<Page<H::Body>>,
    /// A failure that is told after the chunk of what came before it.
    held: Option<Error>,
    done: bool,
}

impl<H: Http> Reader<H> {
    /// A reader that hasn't called anything yet.
    pub fn new(reading: Box<dyn SplitReader>, stream: &'static str, record_limit: usize) -> Self {
        Self { reading, stream, record_limit, page: None, held: None, done: false }
    }

    /// The next records: about `max_bytes` of them, but one at least unless only the position or a loss is worth
    /// keeping, and none after the last chunk.
    ///
    /// # Errors
    /// What the service or the host has it; the reader is of no use then. What was read before was handed out.
    pub fn next(&mut self, max_bytes: u32, http: &mut H, log: &mut impl Log) -> Result<Option<Chunk>, Error> {
        if let Some(error) = self.held.take() {
            return Err(error);
        }
        if self.done {
            return Ok(None);
        }
        let mut chunk = Chunk::default();
        let result = self.fill(&mut chunk, max_bytes as usize, http, log);
        chunk.losses.append(&mut self.reading.take_losses());
        self.log(log);
        let keep = self.reading.take_keep();
        if let Err(error) = result {
            self.page = None;
            self.done = true;
            if !keep && chunk.count == 0 && chunk.losses.is_empty() {
                return Err(error);
            }
            self.held = Some(error);
            chunk.resume = self.reading.resume();
            return Ok(Some(chunk));
        }
        chunk.done = self.done;
        chunk.resume = if self.done { None } else { self.reading.resume() };
        Ok(Some(chunk))
    }

    fn log(&mut self, log: &mut impl Log) {
        for note in self.reading.take_notes() {
            log.write(self.stream, note);
        }
    }

    fn fill(&mut self, chunk: &mut Chunk, max_bytes: usize, http: &mut H, log: &mut impl Log) -> Result<(), Error> {
        loop {
            let enough = chunk.count > 0 && chunk.data.len() >= max_bytes;
            if enough || chunk.losses.len() >= LOSSES_A_CHUNK {
                return Ok(());
            }
            match self.page.take() {
                None => match self.reading.next_step() {
                    ReadStep::Done => {
                        self.done = true;
                        return Ok(());
                    }
                    ReadStep::Fail(error) => return Err(error),
                    ReadStep::Call(request) => self.call(&request, http)?,
                },
                Some(page) => {
                    if let Some(odd) = self.piece(page, chunk, max_bytes)? {
                        let message = format!(
                            "A body with records isn't proper JSON: {odd}. All its records were read; the service is at fault."
                        );
                        log.write(self.stream, note(Level::Warn, message));
                    }
                }
            }
            chunk.losses.append(&mut self.reading.take_losses());
            self.log(log);
        }
    }

    fn call(&mut self, request: &Request, http: &mut H) -> Result<(), Error> {
        match http.send(request) {
            Err(error) => self.reading.on_failure(error),
            Ok((head, body)) if self.reading.carries_records(&head) => {
                let splitter = Splitter::new(self.reading.framing(), self.record_limit);
                self.page = Some(Page { head, body, splitter, before: Vec::new(), said: None, errors: 0, bytes: 0 });
                Ok(())
            }
            Ok((head, mut body)) => match whole(&mut body) {
                Ok(body) => self.reading.on_refusal(Answer { head, body }, None),
                Err(error) => self.reading.on_failure(error),
            },
        }
    }

    /// Reads some of a page. Returns what was odd about it, if this was its end.
    fn piece(
        &mut self,
        mut page: Page<H::Body>,
        chunk: &mut Chunk,
        max_bytes: usize,
    ) -> Result<Option<&'static str>, Error> {
        let room = max_bytes.saturating_sub(chunk.data.len());
        let size = u32::try_from(room).unwrap_or(PIECE).clamp(4 << 10, PIECE);
        let piece = match page.body.read(size) {
            Ok(piece) => piece,
            Err(error) => {
                let (read, bytes) = (page.splitter.elements(), page.bytes);
                return self.reading.on_broken(broke_off(error, read, bytes), read).map(|()| None);
            }
        };
        if piece.is_empty() || page.splitter.is_over() {
            return self.end(page);
        }
        page.bytes += piece.len() as u64;
        let watches = self.reading.watches();
        let reading = &mut self.reading;
        let (said, errors) = (&mut page.said, &mut page.errors);
        let split = page.splitter.feed(&piece, |record| {
            if is_error(record) {
                said.get_or_insert_with(|| record.to_vec());
                *errors += 1;
                return;
            }
            chunk.data.extend_from_slice(record);
            chunk.data.push(b'\n');
            chunk.count += 1;
            if watches {
                reading.on_record(record);
            }
        });
        for record in page.splitter.take_skipped() {
            chunk.losses.push(self.oversized(&record));
        }
        match split {
            Ok(()) => {
                if !page.splitter.begun() {
                    keep(&mut page.before, &piece)?;
                }
                self.page = Some(page);
                Ok(None)
            }
            Err(_) if !page.splitter.begun() => {
                keep(&mut page.before, &piece)?;
                loop {
                    match page.body.read(PIECE) {
                        Ok(piece) if piece.is_empty() => break,
                        Ok(piece) => keep(&mut page.before, &piece)?,
                        Err(error) => return self.reading.on_failure(error).map(|()| None),
                    }
                }
                self.reading.on_refusal(Answer { head: page.head, body: page.before }, None).map(|()| None)
            }
            Err(error) => self.broken(&error, page),
        }
    }

    /// A page has come to its end: it is one, or it says that it isn't.
    fn end(&mut self, page: Page<H::Body>) -> Result<Option<&'static str>, Error> {
        if let Some(body) = page.said {
            let read = page.splitter.elements().saturating_sub(page.errors);
            let answer = Answer { head: page.head, body };
            return self.reading.on_refusal(answer, (read > 0).then_some(read)).map(|()| None);
        }
        match page.splitter.finish() {
            Ok(()) => match page.splitter.error() {
                Some(error) => {
                    let body = format!("{{\"error\":{error}}}").into_bytes();
                    let read = page.splitter.elements();
                    self.reading.on_refusal(Answer { head: page.head, body }, Some(read)).map(|()| None)
                }
                None => self.reading.on_page(&page.head, &page.splitter).map(|()| page.splitter.odd()),
            },
            Err(_) if !page.splitter.begun() => {
                self.reading.on_refusal(Answer { head: page.head, body: page.before }, None).map(|()| None)
            }
            Err(error) => self.broken(&error, page),
        }
    }

    fn broken(&mut self, error: &SplitError, page: Page<H::Body>) -> Result<Option<&'static str>, Error> {
        let read = page.splitter.elements();
        let said = page.splitter.error().map_or_else(String::new, |error| {
            let text = serde_json::from_str::<serde_json::Value>(&error).ok();
            let word =
                |name: &str| text.as_ref().and_then(|text| text.get(name)?.as_str()).unwrap_or_default().to_owned();
            format!(" The service wrote into it: \"{}\".", excerpt(&format!("{}: {}", word("code"), word("message"))))
        });
        let (code, mend) = match error {
            SplitError::Truncated { .. } => ("json-cut", "It is tried again."),
            _ => ("not-json", "It is tried again; if it stays, the service is at fault."),
        };
        let message = format!("An answer with records can't be read behind its first {read}: {error}.{said} {mend}");
        self.reading.on_broken(Error::new(ErrorKind::Protocol, code, message), read).map(|()| None)
    }

    fn oversized(&self, record: &splitter::Oversized) -> Loss {
        let limit = self.record_limit >> 20;
        let needed = record.limit_mib();
        Loss {
            stretch: self.reading.stretch(),
            code: "record-limit".to_owned(),
            message: format!(
                "A record of {} bytes is larger than the setting record_limit_mib = {limit} and was passed over; what is around it was read. With {needed} it can be read.",
                record.bytes
            ),
            oversized: Some(Oversized {
                bytes: record.bytes,
                sha256: record.sha256(),
                head: record.head.clone(),
                limit_mib: needed,
            }),
        }
    }
}

/// Whether what stands in a record's place is an error of the service: an object with an error and nothing else.
pub(crate) fn is_error(record: &[u8]) -> bool {
    let inside = record.strip_prefix(b"{").map_or(record, <[u8]>::trim_ascii_start);
    if !inside.starts_with(b"\"error\"") {
        return false;
    }
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(record).is_ok_and(|record| {
        let says = |name: &str| record["error"].get(name).is_some_and(serde_json::Value::is_string);
        record.len() == 1 && (says("code") || says("message"))
    })
}

/// Keeps a piece of an answer that is read whole.
fn keep(bytes: &mut Vec<u8>, piece: &[u8]) -> Result<(), Error> {
    if bytes.len() + piece.len() > ANSWER_LIMIT {
        return Err(Error::new(
            ErrorKind::TooLarge,
            "answer-limit",
            format!("An answer without records is larger than {ANSWER_LIMIT} bytes; it was given up."),
        ));
    }
    bytes.extend_from_slice(piece);
    Ok(())
}

/// A body that broke off on the way: how much of it came. What the host says about time, or that it ends, stays as it is.
fn broke_off(error: Error, read: u64, bytes: u64) -> Error {
    let kind = error.kind;
    let code =
        if matches!(kind, ErrorKind::Unavailable | ErrorKind::Protocol) { "body-cut".to_owned() } else { error.code };
    let message =
        format!("A body with records broke off after {bytes} bytes and {read} whole records: {}", error.message);
    Error { code, message, ..error }
}

/// A line of a machine.
pub(crate) fn note(level: Level, message: impl Into<String>) -> Note {
    Note { level, message: message.into() }
}
