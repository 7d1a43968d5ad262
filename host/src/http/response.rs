//! An answer whose body is read piece by piece.
//!
//! Invariant: a body ends once: with an empty piece if it was whole, with an error if it was cut, too large or
//! malformed, and the same again on every later call. (A body that has neither a length nor chunks ends where the
//! connection ends, which can't be told from a cut; who reads it must see from its content that it is whole.)

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use super::cancel::Cancel;
use super::client::Shared;
use super::error::{Error, ErrorKind};
use super::transport_error::translate;

/// The most that one call of [`Response::read`] gives out, and its default.
const PIECE_BYTES: usize = 128 << 10;

/// Status, headers and the body to come. Dropping it gives up the rest of the body.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers as received, names in lower case, without those that could carry credentials.
    pub headers: Vec<(String, String)>,
    /// How long the service asks to wait, by its `Retry-After`.
    pub retry_after: Option<Duration>,
    pub(super) body: Body,
    /// A first piece that was looked at.
    pub(super) ahead: Option<Vec<u8>>,
    pub(super) read_bytes: u64,
    pub(super) origin: String,
    pub(super) shared: Arc<Shared>,
    pub(super) cancel: Cancel,
}

pub(super) enum Body {
    Open(Box<ureq::BodyReader<'static>>),
    Ended,
    Failed(Error),
}

impl Response {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the service refuses the token: with 401, or with a 403 that says nothing, as gateways of Microsoft's do now
    /// and then.
    pub(super) fn refuses_token(&mut self) -> bool {
        match self.status {
            401 => true,
            403 => match self.read(0) {
                Ok(piece) if piece.is_empty() => true,
                Ok(piece) => {
                    self.ahead = Some(piece);
                    false
                }
                // It is told to whoever reads on.
                Err(_) => false,
            },
            _ => false,
        }
    }

    /// The next at most `max` bytes of the decoded body (0 for as many as come), at least one; empty at the end.
    pub fn read(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        match self.read_piece(max) {
            Ok(piece) => Ok(piece),
            Err(error) => {
                if !matches!(self.body, Body::Failed(_)) {
                    self.shared.failed(&error);
                }
                self.body = Body::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// The whole body, if it is at most `limit` bytes long.
    pub fn read_all(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut whole = Vec::new();
        loop {
            let piece = self.read(0)?;
            if piece.is_empty() {
                return Ok(whole);
            }
            if whole.len() + piece.len() > limit {
                return Err(self.too_large(limit as u64));
            }
            whole.extend_from_slice(&piece);
        }
    }

    fn read_piece(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        if let Some(mut piece) = self.ahead.take() {
            if max != 0 && piece.len() > max {
                self.ahead = Some(piece.split_off(max));
            }
            return Ok(piece);
        }
        let reader = match &mut self.body {
            Body::Open(reader) => reader,
            Body::Ended => return Ok(Vec::new()),
            Body::Failed(error) => return Err(error.clone()),
        };
        self.cancel.check()?;
        let size = if max == 0 { PIECE_BYTES } else { max.min(PIECE_BYTES) };
        let mut piece = vec![0; size];
        let read = loop {
            match reader.read(&mut piece) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        // A connection that is closed because the host stops can look like an end.
        self.cancel.check()?;
        let read = read.map_err(|error| translate(error.into(), &self.origin, None))?;
        if read == 0 {
            self.body = Body::Ended;
            return Ok(Vec::new());
        }
        self.read_bytes += read as u64;
        self.shared.received(read as u64);
        let limit = self.shared.max_body_bytes;
        if self.read_bytes > limit {
            return Err(self.too_large(limit));
        }
        piece.truncate(read);
        Ok(piece)
    }

    fn too_large(&self, limit: u64) -> Error {
        Error::new(
            ErrorKind::TooLarge,
            "body-too-large",
            format!(
                "The body of an answer from {} exceeds {limit} bytes after decompression; the rest was not read.",
                self.origin
            ),
        )
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
