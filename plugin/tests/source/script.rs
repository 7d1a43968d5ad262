//! A scripted service: answers in order, requests written down.

use std::collections::VecDeque;

use m365_plugin::call::{Body, Head, Http, Log, Method, Note, Request};
use m365_plugin::driver::Chunk;
use m365_plugin::error::{Error, ErrorKind};
use m365_plugin::settings::Settings;
use m365_plugin::source::{self, Discovery, Split};

pub const TENANT: &str = "6f2b1a9c-0d3e-4f58-9a7b-1c2d3e4f5a6b";
/// 2026-11-29T20:28:52Z.
pub const NOW: u64 = 1_795_984_132_000;
pub const DATE: &str = "Sun, 29 Nov 2026 20:28:52 GMT";

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body comes in pieces of this many bytes.
    pub piece: usize,
    /// What comes in place of the end of the body.
    pub cut: Option<Error>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("date".into(), DATE.into())], body: body.into(), piece: 7, cut: None }
    }
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }
    pub fn cut(mut self, kind: ErrorKind) -> Self {
        self.cut = Some(Error::new(kind, "cut", "The body broke off."));
        self
    }
}

pub fn af(status: u16, code: &str) -> Reply {
    Reply::new(status, format!(r#"{{"error":{{"code":"{code}","message":"words of the service"}}}}"#))
}

pub fn graph_error(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(
        status,
        format!(
            r#"{{"error":{{"code":"{code}","message":"{message}","innerError":{{"date":"2026-11-29T20:28:52","request-id":"x"}}}}}}"#
        ),
    )
}

pub struct ReplyBody {
    rest: VecDeque<u8>,
    piece: usize,
    cut: Option<Error>,
}

impl Body for ReplyBody {
    fn read(&mut self, max: u32) -> Result<Vec<u8>, Error> {
        let size = self.piece.min(max as usize).min(self.rest.len());
        if size == 0
            && let Some(error) = self.cut.take()
        {
            return Err(error);
        }
        Ok(self.rest.drain(..size).collect())
    }
}

#[derive(Default)]
pub struct Script {
    pub replies: VecDeque<Result<Reply, Error>>,
    pub requests: Vec<Request>,
    pub notes: Vec<Note>,
}

impl Script {
    pub fn of(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self { replies: replies.into_iter().map(Ok).collect(), ..Self::default() }
    }
    pub fn then(mut self, error: ErrorKind) -> Self {
        self.replies.push_back(Err(Error::new(error, "transport", "No answer.")));
        self
    }
    pub fn urls(&self) -> Vec<String> {
        self.requests.iter().map(|request| request.url.clone()).collect()
    }
    pub fn posts(&self) -> usize {
        self.requests.iter().filter(|request| request.method == Method::Post).count()
    }
}

impl Http for Script {
    type Body = ReplyBody;
    fn send(&mut self, request: &Request) -> Result<(Head, ReplyBody), Error> {
        self.requests.push(request.clone());
        let reply = self.replies.pop_front().unwrap_or_else(|| panic!("nothing scripted for {}", request.url))?;
        Ok((
            Head { status: reply.status, headers: reply.headers },
            ReplyBody { rest: reply.body.into(), piece: reply.piece, cut: reply.cut },
        ))
    }
}

pub struct Lines<'a>(pub &'a mut Vec<Note>);
impl Log for Lines<'_> {
    fn write(&mut self, _stream: &str, note: Note) {
        self.0.push(note);
    }
}

pub fn settings(more: &str) -> Settings {
    let comma = if more.is_empty() { "" } else { "," };
    Settings::parse(&format!(r#"{{"tenant":"{TENANT}"{comma}{more}}}"#)).expect("the test's settings are right")
}

pub fn discover(script: &mut Script, stream: &str, state: Option<&str>, now: u64) -> Result<Discovery, Error> {
    discover_with(&settings(""), script, stream, state, now)
}

pub fn discover_with(
    settings: &Settings,
    script: &mut Script,
    stream: &str,
    state: Option<&str>,
    now: u64,
) -> Result<Discovery, Error> {
    let mut notes = Vec::new();
    let result = source::discover(settings, script, &mut Lines(&mut notes), stream, state, now);
    script.notes.append(&mut notes);
    result
}

/// Reads a split to its end; returns the lines and the chunks.
pub fn read(
    script: &mut Script,
    split: &Split,
    resume: Option<&str>,
    max: u32,
) -> Result<(Vec<String>, Vec<Chunk>), Error> {
    let mut notes = Vec::new();
    let mut reader = source::open::<Script>(&settings(""), split, resume, NOW)?;
    let mut lines = Vec::new();
    let mut chunks = Vec::new();
    let result = loop {
        match reader.next(max, script, &mut Lines(&mut notes)) {
            Ok(Some(chunk)) => {
                let text = String::from_utf8(chunk.data.clone()).expect("the test's records are UTF-8");
                assert_eq!(text.lines().count(), chunk.count as usize);
                assert!(text.is_empty() || text.ends_with('\n'));
                lines.extend(text.lines().map(str::to_owned));
                chunks.push(chunk);
            }
            Ok(None) => break Ok((lines, chunks)),
            Err(error) => break Err(error),
        }
    };
    script.notes.append(&mut notes);
    result
}
