//! Chunks of a JSON body in, one record at a time out.
//!
//! Invariant: at most one element is held at a time, the bytes of an element are handed on as they came (raw line
//! breaks replaced by blanks), and where the chunks are cut makes no difference. A body is what was asked for, or an error; what is
//! odd around whole elements (a comma too many or too few, something behind the end) is noted, and costs no element.

mod oversized;
mod scan;

use std::fmt;

use memchr::{memchr2, memchr2_iter, memmem};

pub use oversized::Oversized;
use scan::Scan;

/// What surrounds the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The body is an array, as a content blob of the Management Activity API is.
    Array,
    /// The body is an object whose member `value` is the array, as a page of Microsoft Graph is.
    Collection,
}

/// Why a body can't be split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// A byte stands where the grammar allows none of its kind.
    Garbage {
        /// Bytes of the body before it.
        position: u64,
        /// The byte.
        found: u8,
        /// What could have stood there.
        expected: &'static str,
    },
    /// The body is a page of markup.
    Html,
    /// The body ended before its end.
    Truncated {
        /// The length of the body.
        position: u64,
    },
    /// The members around the elements are larger than the limit.
    TooLarge {
        /// Where the member begins.
        position: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// The object has no member `value`, so that it is no page of a collection.
    NoValue,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbage { position, found, expected } => {
                write!(f, "byte {position} of the body is 0x{found:02x} where {expected} should be")
            }
            Self::Html => f.write_str("the body is a page of HTML or XML instead of JSON"),
            Self::Truncated { position } => {
                write!(f, "the body ends after {position} bytes, in the middle of the JSON text")
            }
            Self::TooLarge { position, limit } => {
                write!(
                    f,
                    "the members around the records, at byte {position}, are larger than the limit of {limit} bytes"
                )
            }
            Self::NoValue => f.write_str("the object has no member `value`"),
        }
    }
}

/// The members of a collection besides `value` may take up this many bytes.
const ENVELOPE_LIMIT: usize = 1 << 20;
/// So much of what stands behind the end of the body is looked at, in bytes.
const TRAIL_LIMIT: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of JSON.
    Start,
    /// After `[`.
    FirstElement,
    /// After `,` in the array.
    Element,
    /// In an element.
    InElement,
    /// After an element.
    AfterElement,
    /// After `{`.
    FirstKey,
    /// After `,` in the object.
    Key,
    /// In a key.
    InKey,
    /// After a key.
    Colon,
    /// After `:` of `value`.
    Value,
    /// After `:` of another member.
    Member,
    /// In the value of another member.
    InMember,
    /// After a member.
    AfterMember,
    /// After the whole.
    End,
    /// In something that stands behind the end.
    Trail,
}

/// Splits one body.
#[derive(Debug)]
pub struct Splitter {
    framing: Framing,
    state: State,
    scan: Scan,
    /// What is held of a value that isn't complete.
    held: Vec<u8>,
    /// An element whose line breaks had to be replaced.
    flat: Vec<u8>,
    /// Bytes before the chunk in hand.
    offset: u64,
    /// Where the value that is being read begins.
    began: u64,
    elements: u64,
    bom: u8,
    limit: usize,
    key: String,
    envelope: Vec<(String, String)>,
    envelope_bytes: usize,
    /// Whether the array of elements has begun.
    begun: bool,
    /// The element in hand, if it is over the limit.
    skipping: Option<Oversized>,
    skipped: Vec<Oversized>,
    /// What is odd about the body, though every element could be read.
    odd: Option<&'static str>,
    trail: Vec<u8>,
}

impl Splitter {
    /// A splitter for one body; an element that is larger than `limit` bytes is passed over.
    pub fn new(framing: Framing, limit: usize) -> Self {
        Self {
            framing,
            state: State::Start,
            scan: Scan::default(),
            held: Vec::new(),
            flat: Vec::new(),
            offset: 0,
            began: 0,
            elements: 0,
            bom: 0,
            limit,
            key: String::new(),
            envelope: Vec::new(),
            envelope_bytes: 0,
            begun: false,
            skipping: None,
            skipped: Vec::new(),
            odd: None,
            trail: Vec::new(),
        }
    }

    /// How many elements have been handed out.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Whether the array of elements has begun: before that, a body that can't be split is something else than asked for.
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// The elements over the limit that were passed over since the last call.
    pub fn take_skipped(&mut self) -> Vec<Oversized> {
        std::mem::take(&mut self.skipped)
    }

    /// What is odd about the body, though all its elements were handed out.
    pub fn odd(&self) -> Option<&'static str> {
        self.odd
    }

    /// Whether the rest of the body is of no use: the JSON text has ended, and enough of what follows was seen.
    pub fn is_over(&self) -> bool {
        self.state == State::Trail && self.trail.len() >= TRAIL_LIMIT
    }

    /// The raw JSON text of an error that the service wrote into the body: as a member beside the elements, behind the end, or in the
    /// middle of an element, where the body breaks.
    pub fn error(&self) -> Option<String> {
        if let Some(error) = self.member("error").filter(|error| *error != "null") {
            return Some(error.to_owned());
        }
        let text = if self.state == State::InElement { &self.held } else { &self.trail };
        let at = memmem::rfind(text, br#""error""#)?;
        let rest = &text[at + br#""error""#.len()..];
        let object = rest.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b':')?;
        let mut values = serde_json::Deserializer::from_slice(&rest[object..]).into_iter::<serde_json::Value>();
        let error = values.next()?.ok()?;
        (error.is_object() && rest[..object].contains(&b':')).then(|| error.to_string())
    }

    /// The raw JSON text of another member of the collection, such as `@odata.nextLink`; the last one of that name.
    pub fn member(&self, name: &str) -> Option<&str> {
        self.envelope.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Takes the next chunk of the body and hands every element that it completes to `sink`.
    ///
    /// # Errors
    /// After an error the splitter is of no use; elements before it have been handed out.
    pub fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), SplitError> {
        let mut at = 0;
        while at < chunk.len() {
            match self.state {
                State::Trail => {
                    let room = TRAIL_LIMIT.saturating_sub(self.trail.len()).min(chunk.len() - at);
                    self.trail.extend_from_slice(&chunk[at..at + room]);
                    at = chunk.len();
                }
                State::InElement | State::InKey | State::InMember => {
                    let rest = &chunk[at..];
                    match self.scan.run(rest) {
                        Some(length) => {
                            self.complete(&rest[..length], &mut sink)?;
                            at += length;
                        }
                        None => {
                            self.hold(rest)?;
                            at = chunk.len();
                        }
                    }
                }
                _ => at = self.token(chunk, at)?,
            }
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// Says that the body has ended.
    ///
    /// # Errors
    /// `Truncated` if the JSON text hasn't, `NoValue` if it wasn't what was asked for.
    pub fn finish(&self) -> Result<(), SplitError> {
        match (self.state, self.trail.first()) {
            // More of what was to be read stands behind the end: that is no whole text.
            (State::Trail, Some(first @ (b'[' | b'{'))) if self.begun && self.error().is_none() => {
                Err(SplitError::Garbage { position: self.offset, found: *first, expected: "the end of the JSON text" })
            }
            _ => self.ended(),
        }
    }

    fn ended(&self) -> Result<(), SplitError> {
        match self.state {
            State::End | State::Trail if self.begun => Ok(()),
            State::End | State::Trail => Err(SplitError::NoValue),
            _ => Err(SplitError::Truncated { position: self.offset }),
        }
    }

    /// One byte between values. Returns where to go on.
    fn token(&mut self, chunk: &[u8], at: usize) -> Result<usize, SplitError> {
        let byte = chunk[at];
        if self.state == State::Start && self.bom < 3 {
            // A byte order mark (EF BB BF) may come first, whole.
            if byte == [0xEF, 0xBB, 0xBF][self.bom as usize] {
                self.bom += 1;
                return Ok(at + 1);
            }
            if self.bom > 0 {
                return Err(self.garbage(at, byte, "the rest of a byte order mark"));
            }
            self.bom = 3;
        }
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(at + 1);
        }
        self.state = match (self.state, byte) {
            (State::Start, b'<') => return Err(SplitError::Html),
            (State::Start, b'[') if self.framing == Framing::Array => {
                self.begun = true;
                State::FirstElement
            }
            (State::Start, b'{') if self.framing == Framing::Collection => State::FirstKey,
            (State::FirstElement | State::AfterElement, b']') => self.after_array(),
            (State::AfterElement, b',') => State::Element,
            // Every element is whole by its own brackets: a comma more or less costs none.
            (State::Element, b']') => {
                self.odd = Some("a comma stands behind the last record");
                self.after_array()
            }
            (State::AfterElement, b'{') => {
                self.odd = Some("a comma between two records is missing");
                return self.begin(State::InElement, at, byte);
            }
            (State::FirstElement | State::Element, _) => return self.begin(State::InElement, at, byte),
            (State::FirstKey, b'}') | (State::AfterMember, b'}') => State::End,
            (State::AfterMember, b',') => State::Key,
            (State::FirstKey | State::Key, b'"') => return self.begin(State::InKey, at, byte),
            (State::Colon, b':') if self.key == "value" => State::Value,
            (State::Colon, b':') => State::Member,
            (State::Value, b'[') if !self.begun => {
                self.begun = true;
                State::FirstElement
            }
            (State::Member, _) => return self.begin(State::InMember, at, byte),
            (State::End, b'[') if self.framing == Framing::Array => {
                self.odd = Some("a second array follows the first");
                State::FirstElement
            }
            (State::End, _) => {
                self.odd = Some("something follows the end of the JSON text");
                self.state = State::Trail;
                return Ok(at);
            }
            (state, _) => return Err(self.garbage(at, byte, expected(state, self.framing))),
        };
        Ok(at + 1)
    }

    fn begin(&mut self, state: State, at: usize, first: u8) -> Result<usize, SplitError> {
        self.scan = Scan::of(first).ok_or_else(|| self.garbage(at, first, "a JSON value"))?;
        self.began = self.offset + at as u64;
        self.state = state;
        if self.scan.scalar {
            return Ok(at);
        }
        // The opening byte itself is part of the value: it is taken in by the scan, from the start.
        Ok(at)
    }

    fn after_array(&self) -> State {
        match self.framing {
            Framing::Array => State::End,
            Framing::Collection => State::AfterMember,
        }
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        if !self.skips(bytes)? {
            self.held.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Whether the value in hand is an element that these bytes bring over the limit, or that is over it already.
    fn skips(&mut self, bytes: &[u8]) -> Result<bool, SplitError> {
        let size = self.held.len().saturating_add(bytes.len());
        if self.state != State::InElement {
            let limit = ENVELOPE_LIMIT.saturating_sub(self.envelope_bytes);
            return if size > limit { Err(SplitError::TooLarge { position: self.began, limit }) } else { Ok(false) };
        }
        if self.skipping.is_none() && size <= self.limit {
            return Ok(false);
        }
        let record = self.skipping.get_or_insert_default();
        // What was held of it gives its room back.
        record.take(&std::mem::take(&mut self.held));
        record.take(bytes);
        Ok(true)
    }

    fn complete(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), SplitError> {
        if self.skips(bytes)? {
            self.skipped.extend(self.skipping.take());
            self.state = State::AfterElement;
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        let value = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held[..]
        };
        match self.state {
            State::InElement => {
                self.elements += 1;
                self.state = State::AfterElement;
                if memchr2(b'\n', b'\r', value).is_some() {
                    self.flat.clear();
                    self.flat.extend_from_slice(value);
                    for at in memchr2_iter(b'\n', b'\r', value) {
                        self.flat[at] = b' ';
                    }
                    sink(&self.flat);
                } else {
                    sink(value);
                }
            }
            State::InKey => {
                self.key = serde_json::from_slice(value).map_err(|_| SplitError::Garbage {
                    position: self.began,
                    found: b'"',
                    expected: "a well-formed name of a member",
                })?;
                self.envelope_bytes += value.len();
                self.state = State::Colon;
            }
            _ => {
                self.envelope_bytes += value.len();
                let text = String::from_utf8_lossy(value).into_owned();
                self.envelope.push((std::mem::take(&mut self.key), text));
                self.state = State::AfterMember;
            }
        }
        held.clear();
        self.held = held;
        Ok(())
    }

    fn garbage(&self, at: usize, found: u8, expected: &'static str) -> SplitError {
        SplitError::Garbage { position: self.offset + at as u64, found, expected }
    }
}

fn expected(state: State, framing: Framing) -> &'static str {
    match state {
        State::Start if framing == Framing::Array => "the [ of an array",
        State::Start => "the { of an object",
        State::AfterElement => "a comma or the ] of the array",
        State::FirstKey | State::Key => "the name of a member",
        State::Colon => "a colon",
        State::Value => "the [ of the one array of values",
        State::AfterMember => "a comma or the } of the object",
        _ => "the end of the body",
    }
}
