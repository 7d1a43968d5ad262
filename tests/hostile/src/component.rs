//! The exports: each good for the stream `honest`, and bad for one `hostile.MODE` in the way that its mode says.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;

use crate::harm::{harm, send};
use crate::{CHUNK, HONEST_SPLITS, MARKER, RECORDS};

/// What the contract generates. Its code is unsafe where it crosses the border of the component.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::unwrap_used)]
pub mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "plugin", pub_export_macro: false });

    use super::Component;
    export!(Component);
}

use bindings::exports::log_pipeline::plugin::{info, source, transform};
use bindings::log_pipeline::plugin::types::{Batch, Error, ErrorKind, Interval};

struct Component;

/// The modes of streams, by export.
const MODES: &[(&str, &[&str])] = &[
    ("check", &["hang", "sleep", "trap", "many", "long", "forged"]),
    (
        "discover",
        &[
            "hang",
            "clock",
            "sleep",
            "sleep-forever",
            "naps",
            "trap",
            "exit",
            "recursion",
            "memory",
            "log-flood",
            "log-for-ever",
            "log-long",
            "log-fields",
            "log-forged",
            "stdout",
            "huge",
            "state-long",
            "id-long",
            "id-empty",
            "payload-long",
            "other-stream",
            "splits-many",
            "pass-long",
            "pass-odd",
            "coverage-many",
            "coverage-backwards",
            "lost-many",
            "lost-long",
            "next-max",
            "more-for-ever",
            "splits-for-ever",
            "numbers-max",
            "error-long",
            "error-forged",
            "error-cancelled",
            "error-quota",
            "error-wait-max",
        ],
    ),
    (
        "http",
        &[
            "headers",
            "header-bytes",
            "reserved-header",
            "split-header",
            "url",
            "body",
            "get-with-body",
            "audience",
            "quota",
            "unknown-quota",
            "foreign-host",
            "no-audience",
            "refused-for-ever",
            "hoard",
            "read-for-ever",
            "response-headers",
            "timeout-max",
        ],
    ),
    ("open", &["hang", "sleep", "trap", "exit", "memory", "error-long", "error-cancelled", "error-wait-max"]),
    (
        "next",
        &[
            "hang",
            "sleep",
            "trap",
            "memory",
            "log-flood",
            "huge",
            "count-more",
            "count-less",
            "empty-line",
            "no-line-feed",
            "no-json",
            "no-utf8",
            "resume-long",
            "standstill",
            "empty-for-ever",
            "losses-many",
            "loss-long",
            "none-first",
            "error-forged",
            "endless",
            "many-splits-fail",
        ],
    ),
    (
        "process",
        &[
            "hang",
            "sleep",
            "trap",
            "exit",
            "memory",
            "recursion",
            "log-flood",
            "huge",
            "no-json",
            "no-object",
            "no-utf8",
            "empty-line",
            "count-more",
            "none",
            "of-nothing",
            "reject-out-of-range",
            "reject-twice",
            "reject-all",
            "reject-long",
            "unknown-many",
            "unknown-long",
            "filtered-max",
            "error-long",
            "network",
        ],
    ),
];

thread_local! {
    static ROOT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What was written into the component.
fn written() -> &'static str {
    let marker: &'static [u8; 64] = std::hint::black_box(&MARKER_IN_DATA);
    std::str::from_utf8(marker).ok().and_then(|text| text.split(':').nth(1)).unwrap_or_default().trim()
}

static MARKER_IN_DATA: [u8; 64] = MARKER;

/// How an export is to misbehave for a stream, or by what was written; empty if it isn't.
fn mode<'a>(export: &str, stream: &'a str) -> &'a str {
    let mode = stream.strip_prefix("hostile.").unwrap_or_else(|| if stream.is_empty() { written() } else { "" });
    mode.strip_prefix(export).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default()
}

#[allow(unsafe_code, reason = "a place for code that runs when the component is started")]
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    harm(mode("start", ""));
}

fn error(how: &str) -> Option<Error> {
    let error =
        |kind, code: &str, message: String| Some(Error { kind, code: code.to_owned(), message, retry_after_ms: None });
    match how {
        "error-long" => error(ErrorKind::Unavailable, &"c".repeat(10 << 20), "m ".repeat(15 << 20)),
        "error-forged" => error(
            ErrorKind::Unavailable,
            "code\nFORGED",
            "harmless\n2026-01-01T00:00:00Z ERROR FORGED\u{1b}[31m\u{2028}FORGED\u{202e}".to_owned(),
        ),
        "error-cancelled" => error(ErrorKind::Cancelled, "cancelled", "Not at all.".to_owned()),
        "error-quota" => error(ErrorKind::RateLimited, "quota", "Not at all.".to_owned()),
        "error-wait-max" => Some(Error {
            kind: ErrorKind::RateLimited,
            code: "later".to_owned(),
            message: "Much later.".to_owned(),
            retry_after_ms: Some(u64::MAX),
        }),
        "error-config" => error(ErrorKind::InvalidConfig, "settings", "These settings \n are not good.".to_owned()),
        _ => None,
    }
}

fn described(name: &str) -> info::StreamDescription {
    info::StreamDescription {
        name: name.to_owned(),
        title: "A test".to_owned(),
        api: "none".to_owned(),
        audience: "office365-management".to_owned(),
        permissions: Vec::new(),
        dataset: "test".to_owned(),
        vendor: "msft".to_owned(),
        product: "test".to_owned(),
        story: None,
        event_classes: vec![0],
        notice: String::new(),
    }
}

impl info::Guest for Component {
    fn describe() -> info::Plugin {
        let mut streams = vec![described("honest")];
        for (export, ways) in MODES {
            streams.extend(ways.iter().map(|way| described(&format!("hostile.{export}-{way}"))));
        }
        let quota =
            |name: &str| info::Quota { name: name.to_owned(), requests: 1000, per_ms: 1000, reason: String::new() };
        let mut plugin = info::Plugin {
            name: "hostile".to_owned(),
            version: "0.0.1".to_owned(),
            streams,
            audiences: ["office365-management", "microsoft-graph"]
                .map(|name| info::Audience { name: name.to_owned(), title: String::new(), hosts: Vec::new() })
                .into(),
            quotas: ["office365", "graph-reports", "graph-alerts"].map(quota).into(),
            schemas: vec!["events/test".to_owned()],
        };
        let first = &mut plugin.streams[0];
        match mode("describe", "") {
            "streams-many" => plugin.streams.extend((0..10_000).map(|n| described(&format!("s{n}")))),
            "name-long" => first.name = "n".repeat(1000),
            "name-odd" => first.name = "Honest Stream\n".to_owned(),
            "name-twice" => plugin.streams.push(described("honest")),
            "notice-long" => first.notice = "n".repeat(30 << 20),
            "notice-forged" => first.notice = "harmless\nFORGED".to_owned(),
            "audience-unknown" => first.audience = "another".to_owned(),
            "quota-empty" => plugin.quotas[0].requests = 0,
            "permissions-many" => first.permissions = vec!["p".to_owned(); 100_000],
            "plugin-name" => plugin.name = "p\n".repeat(1000),
            "schemas-many" => plugin.schemas = (0..10_000).map(|n| n.to_string()).collect(),
            how => _ = harm(how),
        }
        plugin
    }

    fn schema(id: String) -> Option<String> {
        match mode("schema", "") {
            "long" => return Some("s".repeat(40 << 20)),
            how => _ = harm(how),
        }
        (id == "events/test").then(|| "{}".to_owned())
    }

    fn operations() -> Vec<info::Operation> {
        let operation = |note: &str| info::Operation {
            family: String::new(),
            record_types: Vec::new(),
            name: "*".to_owned(),
            event_class: 0,
            event_class_name: String::new(),
            activity: None,
            activity_name: String::new(),
            severity: None,
            object: String::new(),
            note: note.to_owned(),
        };
        match mode("operations", "") {
            "many" => return vec![operation(""); 200_000],
            "forged" => return vec![operation("harmless\nFORGED\u{1b}[2J")],
            how => _ = harm(how),
        }
        vec![operation("good")]
    }
}

/// The text that follows `key` in quotation marks.
fn setting<'a>(settings: &'a str, key: &str) -> &'a str {
    settings.split(&format!("{key:?}:\"")).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

fn configured(settings: &str) -> Result<(), Error> {
    let how = mode("configure", "");
    harm(how);
    ROOT.with_borrow_mut(|root| setting(settings, "office365-management").clone_into(root));
    error(how).map_or(Ok(()), Err)
}

fn split(stream: &str, id: String) -> source::Split {
    source::Split { id, stream: stream.to_owned(), payload: String::new(), arrival: 1000, expires: None }
}

fn listing(stream: &str, state: Option<&str>) -> source::Discovery {
    let splits = if state.is_none() {
        (0..HONEST_SPLITS).map(|number| split(stream, format!("{stream}-{number}"))).collect()
    } else {
        Vec::new()
    };
    source::Discovery {
        splits,
        state: "1".to_owned(),
        more: false,
        next_ms: 1000,
        coverage: vec![Interval { start: 1000, end: 2000 }],
        pass: "live".to_owned(),
        sealed: None,
        lost: Vec::new(),
    }
}

impl source::Guest for Component {
    type Reader = Reader;

    fn configure(settings: String) -> Result<(), Error> {
        configured(&settings)
    }

    fn check(stream: String, _now_ms: u64) -> Vec<source::Finding> {
        let finding = |message: String| source::Finding {
            severity: source::Severity::Ok,
            code: "ok".to_owned(),
            message,
            mend: String::new(),
        };
        match mode("check", &stream) {
            "many" => return vec![finding("m".to_owned()); 100_000],
            "long" => return vec![finding("m ".repeat(15 << 20))],
            "forged" => return vec![finding("harmless\nFORGED\u{1b}[2J".to_owned())],
            how => _ = harm(how),
        }
        vec![finding("All is well.".to_owned())]
    }

    fn discover(stream: String, state: Option<String>, now_ms: u64) -> Result<source::Discovery, Error> {
        let mut found = listing(&stream, state.as_deref());
        let how = mode("http", &stream);
        if !how.is_empty() {
            send(how, &ROOT.with_borrow(Clone::clone))?;
        }
        let how = mode("discover", &stream);
        if let Some(error) = error(how) {
            return Err(error);
        }
        let stretch = Interval { start: 1000, end: 2000 };
        let turn = state.as_deref().and_then(|state| state.parse().ok()).unwrap_or(0_u64);
        match how {
            "huge" => {
                let payload = "p".repeat(200 << 10);
                found.splits = (0..1000)
                    .map(|n| source::Split { payload: payload.clone(), ..split(&stream, n.to_string()) })
                    .collect();
            }
            "state-long" => found.state = "s".repeat((256 << 10) + 1),
            "id-long" => found.splits.push(split(&stream, "i".repeat(513))),
            "id-empty" => found.splits.push(split(&stream, String::new())),
            "payload-long" => {
                found.splits.push(source::Split { payload: "p".repeat(1 << 20), ..split(&stream, "a".to_owned()) })
            }
            "other-stream" => found.splits.push(split("honest", "stolen".to_owned())),
            "splits-many" => found.splits = (0..150_000).map(|n| split(&stream, n.to_string())).collect(),
            "pass-long" => found.pass = "p".repeat(100_000),
            "pass-odd" => found.pass = "harmless\nFORGED".to_owned(),
            "coverage-many" => found.coverage = vec![stretch; 100_000],
            "coverage-backwards" => found.coverage = vec![Interval { start: 2000, end: 1000 }],
            "lost-many" => found.lost = vec![(stretch, "gone".to_owned()); 100_000],
            "lost-long" => found.lost = vec![(stretch, "gone\nFORGED ".repeat(1 << 20))],
            "next-max" => found.next_ms = u64::MAX,
            "more-for-ever" => (found.state, found.more, found.next_ms) = ((turn + 1).to_string(), true, 0),
            "splits-for-ever" => {
                found.splits = (0..20_000).map(|n| split(&stream, format!("{turn}-{n}"))).collect();
                (found.state, found.more, found.next_ms) = ((turn + 1).to_string(), true, 0);
            }
            "numbers-max" => {
                found.sealed = Some(u64::MAX);
                found.coverage =
                    vec![Interval { start: 0, end: u64::MAX }, Interval { start: u64::MAX, end: u64::MAX }];
                found.splits.push(source::Split {
                    arrival: u64::MAX,
                    expires: Some(u64::MAX),
                    ..split(&stream, "late".to_owned())
                });
            }
            how => _ = harm(how),
        }
        if mode("next", &stream) == "many-splits-fail" && state.is_none() {
            found.splits = (0..20_000).map(|n| split(&stream, n.to_string())).collect();
        }
        let _ = now_ms;
        Ok(found)
    }
}

/// A split being read: how many of its records were handed out.
pub struct Reader {
    id: String,
    stream: String,
    given: Cell<usize>,
}

impl source::GuestReader for Reader {
    fn open(split: source::Split, resume: Option<String>, _now_ms: u64) -> Result<source::Reader, Error> {
        let how = mode("open", &split.stream);
        if let Some(error) = error(how) {
            return Err(error);
        }
        harm(how);
        let given = resume.and_then(|resume| resume.parse().ok()).unwrap_or(0);
        Ok(source::Reader::new(Self { id: split.id, stream: split.stream, given: Cell::new(given) }))
    }

    fn next(&self, _max_bytes: u32) -> Result<Option<source::Chunk>, Error> {
        let begin = self.given.get();
        self.given.set(begin + CHUNK);
        let mut data = String::new();
        for number in begin..begin + CHUNK {
            let _ = writeln!(data, "{{\"id\":\"{}-{number}\"}}", self.id);
        }
        let mut chunk = source::Chunk {
            batch: Batch { count: CHUNK as u32, data: data.into_bytes() },
            resume: Some((begin + CHUNK).to_string()),
            done: begin + CHUNK >= RECORDS,
            losses: Vec::new(),
        };
        let loss = |bytes: usize| source::Loss {
            stretch: None,
            code: "c\nFORGED".to_owned(),
            message: "no\nFORGED ".repeat(bytes),
            oversized: None,
        };
        let how = mode("next", &self.stream);
        if let Some(error) = error(how) {
            return Err(error);
        }
        let empty = Batch { count: 0, data: Vec::new() };
        match how {
            "huge" => chunk.batch = Batch { count: 1, data: [vec![b'1'; 80 << 20], vec![b'\n']].concat() },
            "count-more" => chunk.batch.count += 1,
            "count-less" => chunk.batch.count -= 1,
            "empty-line" => (chunk.batch.count, _) = (chunk.batch.count + 1, chunk.batch.data.push(b'\n')),
            "no-line-feed" => _ = chunk.batch.data.pop(),
            "no-json" => chunk.batch.data[0] = b'[',
            "no-utf8" => chunk.batch.data[8] = 0xff,
            "resume-long" => chunk.resume = Some("r".repeat((64 << 10) + 1)),
            "standstill" => chunk = source::Chunk { batch: empty, resume: None, done: false, losses: Vec::new() },
            "empty-for-ever" => (chunk.batch, chunk.done) = (empty, false),
            "losses-many" => chunk.losses = vec![loss(1); 10_000],
            "loss-long" => chunk.losses = vec![loss(1 << 20)],
            "none-first" => return Ok(None),
            "endless" => chunk.done = false,
            "many-splits-fail" => {
                return Err(Error {
                    kind: ErrorKind::Cancelled,
                    code: "x".to_owned(),
                    message: "Not at all.".to_owned(),
                    retry_after_ms: None,
                });
            }
            how => _ = harm(how),
        }
        Ok(Some(chunk))
    }
}

impl transform::Guest for Component {
    fn configure(settings: String) -> Result<(), Error> {
        configured(&settings)
    }

    fn process(stream: String, input: Batch, _now_ms: u64) -> Result<transform::Output, Error> {
        let how = mode("process", &stream);
        if let Some(error) = error(how) {
            return Err(Error { kind: ErrorKind::BadData, ..error });
        }
        let mut data = Vec::with_capacity(input.data.len() * 2);
        for line in input.data.split_inclusive(|byte| *byte == b'\n') {
            data.extend_from_slice(b"{\"event\":");
            data.extend_from_slice(&line[..line.len() - 1]);
            data.extend_from_slice(b"}\n");
        }
        let mut output = transform::Output {
            batch: Batch { count: input.count, data },
            rejects: Vec::new(),
            filtered: 0,
            unknown: Vec::new(),
        };
        let empty = Batch { count: 0, data: Vec::new() };
        let reject =
            |index, bytes: usize| transform::Reject { index, code: "c".to_owned(), message: "no\n".repeat(bytes) };
        let unknown = |number: u32, bytes: usize| transform::Unknown {
            kind: transform::UnknownKind::Field,
            place: String::new(),
            name: format!("{number}{}", "n".repeat(bytes)),
            count: 1,
            sample: "x\nFORGED".to_owned(),
        };
        match how {
            "huge" => output.batch.data = vec![b'\n'; 80 << 20],
            "no-json" => output.batch.data[0] = b'[',
            "no-object" => output.batch = Batch { count: input.count, data: b"1\n".repeat(input.count as usize) },
            "no-utf8" => output.batch.data[10] = 0xff,
            "empty-line" => (output.batch.count, _) = (output.batch.count + 1, output.batch.data.push(b'\n')),
            "count-more" => output.batch.count += 1,
            "none" => output.batch = empty,
            "of-nothing" => output.rejects = (0..input.count).map(|index| reject(index, 1)).collect(),
            "reject-out-of-range" => output.rejects.push(reject(input.count, 1)),
            "reject-twice" => output.rejects = vec![reject(0, 1), reject(0, 1)],
            "reject-all" => {
                (output.batch, output.rejects) = (empty, (0..input.count).map(|index| reject(index, 1)).collect())
            }
            "reject-long" => {
                (output.batch, output.rejects) =
                    (empty, (0..input.count).map(|index| reject(index, 100 << 10)).collect());
            }
            "unknown-many" => output.unknown = (0..200_000).map(|number| unknown(number, 0)).collect(),
            "unknown-long" => output.unknown = vec![unknown(0, 1 << 20)],
            "filtered-max" => output.filtered = u32::MAX,
            "network" => send("", &ROOT.with_borrow(Clone::clone))
                .map_err(|error| Error { kind: ErrorKind::BadData, ..error })?,
            how => _ = harm(how),
        }
        Ok(output)
    }
}
