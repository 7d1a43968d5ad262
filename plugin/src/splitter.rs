//! Chunks of a JSON body in, one record at a time out.
//!
//! Invariant: at most one element is held at a time, the bytes of an element are handed on as they came (raw line
//! breaks replaced by blanks), and where the chunks are cut makes no difference.

mod scan;

use std::fmt;

use memchr::{memchr2, memchr2_iter};

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
    /// One element is larger than the limit.
    TooLarge {
        /// Where the element begins.
        position: u64,
        /// Its number, counted from 0.
        element: u64,
        /// The limit in bytes.
        limit: usize,
    },
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
            Self::TooLarge { position, element, limit } => {
                write!(
                    f,
                    "element {element}, which begins at byte {position}, is larger than the limit of {limit} bytes"
                )
            }
        }
    }
}

/// The members of a collection besides `value` may take up this many bytes.
const ENVELOPE_LIMIT: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of JSON.
    Start,
    /// Inside the word `null` that stands in place of the body or of `value`; how much of it is read.
    Null(u8),
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
    saw_value: bool,
}

impl Splitter {
    /// A splitter for one body; no element may be larger than `limit` bytes.
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
            saw_value: false,
        }
    }

    /// How many elements have been handed out.
    pub fn elements(&self) -> u64 {
        self.elements
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
    /// `Truncated` if the JSON text hasn't.
    pub fn finish(&self) -> Result<(), SplitError> {
        if self.state == State::End { Ok(()) } else { Err(SplitError::Truncated { position: self.offset }) }
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
        if let State::Null(read) = self.state {
            if byte != b"null"[read as usize] {
                return Err(self.garbage(at, byte, "the word null"));
            }
            self.state = match read {
                3 if self.framing == Framing::Collection && self.saw_value => State::AfterMember,
                3 => State::End,
                _ => State::Null(read + 1),
            };
            return Ok(at + 1);
        }
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(at + 1);
        }
        self.state = match (self.state, byte) {
            (State::Start, b'<') => return Err(SplitError::Html),
            (State::Start, b'n') if self.framing == Framing::Array => State::Null(1),
            (State::Start, b'[') if self.framing == Framing::Array => State::FirstElement,
            (State::Start, b'{') if self.framing == Framing::Collection => State::FirstKey,
            (State::FirstElement, b']') | (State::AfterElement, b']') => match self.framing {
                Framing::Array => State::End,
                Framing::Collection => State::AfterMember,
            },
            (State::AfterElement, b',') => State::Element,
            (State::FirstElement | State::Element, _) => return self.begin(State::InElement, at, byte),
            (State::FirstKey, b'}') | (State::AfterMember, b'}') => State::End,
            (State::AfterMember, b',') => State::Key,
            (State::FirstKey | State::Key, b'"') => return self.begin(State::InKey, at, byte),
            (State::Colon, b':') if self.key == "value" => State::Value,
            (State::Colon, b':') => State::Member,
            (State::Value, b'[') => {
                self.saw_value = true;
                State::FirstElement
            }
            (State::Value, b'n') => {
                self.saw_value = true;
                State::Null(1)
            }
            (State::Member, _) => return self.begin(State::InMember, at, byte),
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

    fn hold(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        self.within_limit(bytes.len())?;
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn within_limit(&self, more: usize) -> Result<(), SplitError> {
        let limit = match self.state {
            State::InElement => self.limit,
            _ => ENVELOPE_LIMIT.saturating_sub(self.envelope_bytes),
        };
        if self.held.len().saturating_add(more) > limit {
            return Err(SplitError::TooLarge { position: self.began, element: self.elements, limit });
        }
        Ok(())
    }

    fn complete(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), SplitError> {
        self.within_limit(bytes.len())?;
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
        State::Value => "the [ of the array of values",
        State::AfterMember => "a comma or the } of the object",
        _ => "the end of the body",
    }
}
