//! An answer before it is sent, and the body that knows when it has been sent.
//!
//! Invariant: a body that was cut or whose connection broke never counts as served.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use serde_json::{Value, json};

use crate::tally::Tally;

/// Bytes of one frame: small enough that a slow client holds the end back.
const FRAME: usize = 64 * 1024;
/// Time between the last byte of a body that is cut and the end of its connection.
const CUT_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Error code, or empty.
    pub(crate) code: String,
    /// Position of the stream that was asked for.
    pub(crate) stream: Option<usize>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The stream's entries that are in the body.
    pub(crate) entries: Vec<usize>,
}

impl Answer {
    fn of(status: u16, code: &str, body: &Value) -> Self {
        Self {
            status,
            code: code.to_owned(),
            stream: None,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
            entries: Vec::new(),
        }
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::of(200, "", body)
    }

    /// A 200 of JSON text with entries of a stream in it.
    pub(crate) fn entries(stream: usize, body: Vec<u8>, entries: Vec<usize>) -> Self {
        Self { stream: Some(stream), body, entries, ..Self::json(&Value::Null) }
    }

    /// An empty 200.
    pub(crate) fn empty() -> Self {
        Self { body: Vec::new(), headers: Vec::new(), ..Self::json(&Value::Null) }
    }

    /// An error in the envelope of the Management Activity API.
    pub(crate) fn management(status: u16, code: &str, message: &str) -> Self {
        Self::of(status, code, &json!({ "error": { "code": code, "message": message } }))
    }

    /// An error in the envelope of Graph; the server adds date and request ids.
    pub(crate) fn graph(status: u16, code: &str, message: &str) -> Self {
        Self::of(status, code, &json!({ "error": { "code": code, "message": message, "innerError": {} } }))
    }

    /// An error in the envelope of Entra ID's token endpoint.
    pub(crate) fn entra(status: u16, code: &str, body: &Value) -> Self {
        Self::of(status, code, body)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn concerning(mut self, stream: Option<usize>) -> Self {
        self.stream = self.stream.or(stream);
        self
    }
}

/// What the tally hears when a body is complete.
pub(crate) struct Completion {
    pub(crate) tally: Arc<Tally>,
    pub(crate) stream: usize,
    pub(crate) entries: Vec<usize>,
    pub(crate) bytes: usize,
}

/// How a body goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flow {
    Whole,
    /// The connection breaks after so many bytes.
    CutAfter(usize),
    /// So many bytes at a time, with a pause between them.
    Slow(usize, Duration),
}

pub(crate) struct Body {
    data: Bytes,
    sent: usize,
    cut_after: Option<usize>,
    /// Bytes of one frame.
    frame: usize,
    /// Time between two frames.
    pace: Duration,
    /// Runs before a cut, so that what came before it is on its way, and between the frames of a slow body.
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    completion: Option<Completion>,
}

impl Body {
    pub(crate) fn new(data: Vec<u8>, flow: Flow, completion: Option<Completion>) -> Self {
        let (cut_after, frame, pace) = match flow {
            Flow::Whole => (None, FRAME, Duration::ZERO),
            Flow::CutAfter(bytes) => (Some(bytes), FRAME, Duration::ZERO),
            Flow::Slow(bytes, pause) => (None, bytes.max(1), pause),
        };
        let cut_after = cut_after.filter(|cut| *cut < data.len());
        Self { data: data.into(), sent: 0, cut_after, frame, pace, pause: None, completion }
    }

    fn finish(&mut self) {
        if let Some(done) = self.completion.take() {
            done.tally.complete(done.stream, &done.entries, done.bytes);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let end = self.cut_after.unwrap_or(self.data.len());
        if self.sent >= end {
            if self.cut_after.is_some() {
                let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(CUT_PAUSE)));
                if pause.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
            }
            self.finish();
            return Poll::Ready(None);
        }
        if self.sent > 0 && !self.pace.is_zero() {
            let pace = self.pace;
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(pace)));
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        let next = (self.sent + self.frame).min(end);
        let frame = self.data.slice(self.sent..next);
        self.sent = next;
        if next == self.data.len() {
            self.finish();
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.data.len() && self.completion.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.data.len() - self.sent) as u64)
    }
}

/// Compresses at the fastest level; `None` if that fails.
pub(crate) fn gzip(data: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(data.len() / 4), flate2::Compression::fast());
    encoder.write_all(data).ok()?;
    encoder.finish().ok()
}
