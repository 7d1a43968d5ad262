//! Random histories of arrivals, failures and crashes, for both APIs, against the model of the host: whatever happens in between,
//! in the end every record is delivered.
//!
//! A failing history shrinks to a few readable steps.

use std::collections::BTreeMap;

use m365_plugin::call::{Head, Http, Method, Request};
use m365_plugin::clock::{self, DAY, HOUR, MINUTE, SECOND};
use m365_plugin::error::{Error, ErrorKind};
use proptest::prelude::*;

use crate::host::Host;
use crate::script::{NOW, Reply, ReplyBody, Script, settings};

/// What can be wrong with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// No answer.
    Silence,
    /// 503.
    Busy,
    /// 429, or 403 with AF429.
    Throttled,
    /// The body breaks off.
    Cut,
    /// An HTML page with status 200.
    Html,
    /// A page link that is no longer good.
    Stale,
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Event {
    /// Time goes on.
    Wait(u64),
    /// So many records arrive at one time, in one blob or as one page's worth, and can be seen so much later.
    Arrive(usize, u64),
    /// A record that was there before comes again, in another blob.
    Repeat,
    /// The host polls; true: it crashes before it stores what came back.
    Poll(bool),
    /// The host reads a split, so many bytes at a time, and crashes after so many chunks.
    Read(usize, u32, usize),
}

fn event(latest: u64) -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (MINUTE..40 * MINUTE).prop_map(Event::Wait),
        1 => (HOUR..12 * HOUR).prop_map(Event::Wait),
        5 => (1usize..12, prop_oneof![2 => Just(0), 1 => 0..latest]).prop_map(|(count, late)| Event::Arrive(count, late)),
        1 => Just(Event::Repeat),
        5 => prop::bool::weighted(0.2).prop_map(Event::Poll),
        5 => (0usize..8, 1u32..200, prop_oneof![2 => Just(usize::MAX), 1 => 0usize..4])
            .prop_map(|(pick, max, chunks)| Event::Read(pick, max, chunks)),
    ]
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::Silence),
        1 => Just(Fault::Busy),
        1 => Just(Fault::Throttled),
        1 => Just(Fault::Cut),
        1 => Just(Fault::Html),
        2 => Just(Fault::Stale),
    ];
    prop::collection::vec(fault, 0..32)
}

/// A record of the model: its text, its time, and from when on it can be seen.
#[derive(Clone, Debug)]
struct Item {
    text: String,
    time: u64,
    seen_from: u64,
}

/// The part of a service that is common to both APIs.
struct Service {
    now: u64,
    /// By the number of the blob; for Graph each blob is only a crowd of records.
    blobs: Vec<Vec<Item>>,
    page: usize,
    faults: Vec<Fault>,
    dice: usize,
    violations: Vec<String>,
    graph: bool,
}

impl Service {
    fn new(graph: bool, page: usize, faults: Vec<Fault>) -> Self {
        let now = clock::whole_second(NOW);
        Self { now, blobs: Vec::new(), page, faults, dice: 0, violations: Vec::new(), graph }
    }

    fn fault(&mut self) -> Fault {
        self.dice += 1;
        if self.faults.is_empty() { Fault::None } else { self.faults[self.dice % self.faults.len()] }
    }

    fn arrive(&mut self, count: usize, late: u64) {
        let number = self.blobs.len();
        let item = |at: usize| Item {
            text: format!(r#"{{"Id":"{number}-{at}"}}"#),
            time: self.now,
            seen_from: self.now + clock::whole_second(late),
        };
        self.blobs.push((0..count).map(item).collect());
    }

    fn repeat(&mut self) {
        // Graph gives each record once; what comes again is in a later blob.
        if let Some(text) = self.blobs.first().and_then(|blob| blob.first()).map(|item| item.text.clone())
            && !self.graph
        {
            self.blobs.push(vec![Item { text, time: self.now, seen_from: self.now }]);
        }
    }

    fn answer(&mut self, request: &Request) -> Result<Reply, Error> {
        let (path, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
        let query: BTreeMap<String, String> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect();
        let fault = self.fault();
        match fault {
            Fault::Silence => return Err(Error::new(ErrorKind::Timeout, "timeout", "No answer.")),
            Fault::Busy => return Ok(Reply::new(503, "busy")),
            Fault::Throttled if self.graph => {
                return Ok(Reply::new(429, r#"{"error":{"code":"TooManyRequests","message":"slow"}}"#));
            }
            Fault::Throttled => return Ok(Reply::new(403, r#"{"error":{"code":"AF429","message":"slow"}}"#)),
            Fault::Html if request.method == Method::Get => {
                return Ok(Reply::new(200, "<html><body>Please wait.</body></html>"));
            }
            _ => {}
        }
        let paged = query.contains_key("nextPage") || query.contains_key("$skiptoken");
        if fault == Fault::Stale && paged {
            let code = if self.graph { "BadRequest" } else { "AF20031" };
            return Ok(Reply::new(400, format!(r#"{{"error":{{"code":"{code}","message":"Invalid page."}}}}"#)));
        }
        let reply = if self.graph {
            self.records(&request.url, &query)
        } else if path.ends_with("/subscriptions/content") {
            self.listing(&request.url, &query)
        } else if let Some((_, number)) = path.split_once("/audit/") {
            self.blob(number)
        } else if path.ends_with("/subscriptions/list") {
            Reply::new(200, r#"[{"contentType":"Audit.General","status":"enabled"}]"#)
        } else {
            self.violations.push(format!("asked for {}", request.url));
            Reply::new(404, "")
        };
        if fault == Fault::Cut && reply.body.len() > 12 && reply.status == 200 {
            let half = reply.body.len() / 2;
            let body = reply.body[..half].to_vec();
            return Ok(Reply { body, ..reply }.cut(ErrorKind::Unavailable));
        }
        Ok(reply)
    }

    fn listing(&mut self, url: &str, query: &BTreeMap<String, String>) -> Reply {
        let bound = |name: &str| query.get(name).and_then(|text| clock::parse(text));
        let (Some(start), Some(end)) = (bound("startTime"), bound("endTime")) else {
            self.violations.push(format!("a bound is missing: {url}"));
            return Reply::new(400, r#"{"error":{"code":"AF20030","message":"no"}}"#);
        };
        if end - start > DAY || start >= end || start + 7 * DAY < self.now {
            self.violations.push(format!("a window that can't be listed: {url}"));
            return Reply::new(400, r#"{"error":{"code":"AF20055","message":"no"}}"#);
        }
        let listed: Vec<(usize, u64)> = (self.blobs.iter().enumerate())
            .filter(|(_, blob)| (start..end).contains(&blob[0].time) && blob[0].seen_from <= self.now)
            .map(|(number, blob)| (number, blob[0].time))
            .collect();
        let at: usize = query.get("nextPage").map_or(0, |page| page.parse().expect("a page of ours"));
        let items: Vec<String> = (listed.iter().skip(at).take(self.page))
            .map(|(number, time)| {
                format!(
                    r#"{{"contentId":"c{number}","contentUri":"https://manage.office.com/audit/{number}","contentCreated":"{}Z"}}"#,
                    clock::zoneless(*time)
                )
            })
            .collect();
        let reply = Reply::new(200, format!("[{}]", items.join(",")));
        let next = at + self.page;
        if next >= listed.len() {
            return reply;
        }
        let base = url.split("&nextPage").next().expect("a first part");
        reply.with("NextPageUri", &format!("{base}&nextPage={next}"))
    }

    fn blob(&self, number: &str) -> Reply {
        let blob: &[Item] = number.parse().ok().and_then(|at: usize| self.blobs.get(at)).map_or(&[], Vec::as_slice);
        let texts: Vec<&str> = blob.iter().map(|item| item.text.as_str()).collect();
        Reply::new(200, format!("[{}]", texts.join(",")))
    }

    fn records(&mut self, url: &str, query: &BTreeMap<String, String>) -> Reply {
        let filter = query.get("$filter").cloned().unwrap_or_default();
        let bound = |operator: &str| {
            filter.split_once(operator).and_then(|(_, rest)| clock::parse(rest.split([' ', ')']).next().unwrap_or("")))
        };
        let (Some(from), Some(to)) = (bound(" ge "), bound(" le ")) else {
            self.violations.push(format!("a bound is missing: {url}"));
            return Reply::new(400, r#"{"error":{"code":"BadRequest","message":"no"}}"#);
        };
        let mut found: Vec<&Item> = self.blobs.iter().flatten().collect();
        found.retain(|item| (from..=to).contains(&item.time) && item.seen_from <= self.now);
        found.sort_by_key(|item| item.time);
        let at: usize = query.get("$skiptoken").map_or(0, |page| page.parse().expect("a page of ours"));
        let texts: Vec<&str> = found.iter().skip(at).take(self.page).map(|item| item.text.as_str()).collect();
        let next = at + self.page;
        let link = if next < found.len() {
            let base = url.split("&$skiptoken").next().expect("a first part");
            format!(r#","@odata.nextLink":"{base}&$skiptoken={next}""#)
        } else {
            String::new()
        };
        Reply::new(200, format!(r#"{{"value":[{}]{link}}}"#, texts.join(",")))
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            let hex = std::str::from_utf8(&digits).expect("two digits");
            bytes.push(u8::from_str_radix(hex, 16).expect("hexadecimal"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

impl Http for Service {
    type Body = ReplyBody;
    fn send(&mut self, request: &Request) -> Result<(Head, ReplyBody), Error> {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(self.now).expect("in range")).expect("in range");
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).expect("in range");
        let reply = self.answer(request)?.with("Date", &date);
        Script::of([reply]).send(request)
    }
}

/// Plays a history, then lets the faults stop and time go on until everything must have been found.
fn play(stream: &'static str, service: &mut Service, events: &[Event], until: u64) -> Result<Host, TestCaseError> {
    let mut host = Host::new(stream, settings(""));
    let start = service.now;
    // The first poll that comes through decides how far back the collector looks.
    let faults = std::mem::take(&mut service.faults);
    prop_assert!(host.poll(service, |service| service.now, false));
    service.faults = faults;
    for event in events {
        match event {
            Event::Wait(time) => service.now += clock::whole_second(*time),
            Event::Arrive(count, late) => service.arrive(*count, *late),
            Event::Repeat => service.repeat(),
            Event::Poll(crash) => drop(host.poll(service, |service| service.now, *crash)),
            Event::Read(pick, max, chunks) => host.read(service, service.now, *pick, *max, *chunks),
        }
        // Nothing happens at exactly one time with what came before.
        service.now += SECOND;
    }
    service.faults.clear();
    let end = service.now + until;
    while service.now < end {
        service.now += 20 * MINUTE;
        prop_assert!(host.poll(service, |service| service.now, false), "discovery has no end: {:?}", host.trouble);
        for _ in 0..host.pending.len() {
            host.read(service, service.now, 0, 4096, usize::MAX);
        }
    }
    prop_assert!(service.now >= start);
    prop_assert!(host.pending.is_empty(), "a split is stuck: {:?}, {:?}", host.pending, host.trouble);
    prop_assert!(host.lost_splits.is_empty(), "declared lost: {:?}", host.lost_splits);
    prop_assert_eq!(&service.violations, &Vec::<String>::new());
    for item in service.blobs.iter().flatten() {
        let told = host.lost.iter().any(|stretch| (stretch.start..stretch.end).contains(&item.time));
        prop_assert!(
            told || host.delivered.contains_key(&item.text),
            "{} of {}, seen from {}, is lost",
            item.text,
            clock::zoneless(item.time),
            clock::zoneless(item.seen_from)
        );
    }
    let held: usize =
        service.blobs.iter().flatten().map(|item| item.text.as_str()).collect::<std::collections::BTreeSet<_>>().len();
    prop_assert_eq!(host.delivered.len(), held, "something was made up");
    Ok(host)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn office365_delivers_everything_in_the_end(
        events in prop::collection::vec(event(50 * MINUTE), 1..40), faults in faults(), page in 1usize..4,
    ) {
        play("office365.general", &mut Service::new(false, page, faults), &events, 2 * HOUR)?;
    }

    #[test]
    fn graph_delivers_everything_in_the_end(
        events in prop::collection::vec(event(100 * MINUTE), 1..40), faults in faults(), page in 1usize..5,
    ) {
        play("graph.directory-audits", &mut Service::new(true, page, faults), &events, 6 * HOUR)?;
    }

    #[test]
    fn office365_delivers_what_is_hours_late(
        events in prop::collection::vec(event(20 * HOUR), 1..40), faults in faults(), page in 1usize..4,
    ) {
        play("office365.general", &mut Service::new(false, page, faults), &events, 50 * HOUR)?;
    }
}
