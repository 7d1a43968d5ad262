//! Property tests against a model of the Management Activity API and of a host that crashes at any step.

use std::collections::{BTreeMap, BTreeSet};

use m365_plugin::call::{Head, Http, Method, Request};
use m365_plugin::clock::{self, DAY, HOUR, Interval, MINUTE, SECOND};
use m365_plugin::error::{Error, ErrorKind};
use m365_plugin::source;
use proptest::prelude::*;

use crate::script::{Lines, NOW, Reply, ReplyBody, Script, settings};

const STREAM: &str = "office365.general";

/// The service: content by arrival, a clock of its own, and faults that come up now and then.
struct Service {
    now: u64,
    content: BTreeMap<String, u64>,
    subscribed: bool,
    last_start: Option<u64>,
    page: usize,
    faults: Vec<u8>,
    dice: usize,
    violations: Vec<String>,
}

impl Service {
    fn fault(&mut self) -> u8 {
        self.dice += 1;
        if self.faults.is_empty() { 0 } else { self.faults[self.dice % self.faults.len()] }
    }

    fn answer(&mut self, request: &Request) -> Result<Reply, Error> {
        let query: BTreeMap<&str, &str> = request
            .url
            .split_once('?')
            .map_or("", |(_, query)| query)
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        if !query.contains_key("PublisherIdentifier") {
            self.violations.push(format!("no publisher: {}", request.url));
        }
        match self.fault() {
            1 => return Err(Error::new(ErrorKind::Timeout, "timeout", "No answer.")),
            2 => return Ok(Reply::new(503, "busy")),
            3 => return Ok(Reply::new(403, r#"{"error":{"code":"AF429","message":"slow"}}"#)),
            _ => {}
        }
        let af = |code: &str| Ok(Reply::new(400, format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#)));
        if request.method == Method::Post {
            if self.last_start.is_some_and(|last| self.now < last + 15 * MINUTE) {
                self.violations.push("two starts within 15 minutes".to_owned());
            }
            self.last_start = Some(self.now);
            self.subscribed = true;
            return Ok(Reply::new(200, "{}"));
        }
        if request.url.contains("/subscriptions/list") {
            let list = if self.subscribed { r#"[{"contentType":"Audit.General","status":"enabled"}]"# } else { "[]" };
            return Ok(Reply::new(200, list));
        }
        if !self.subscribed {
            return af("AF20022");
        }
        let (Some(start), Some(end)) = (query.get("startTime"), query.get("endTime")) else {
            self.violations.push(format!("a bound is missing: {}", request.url));
            return af("AF20030");
        };
        let (start, end) = (clock::parse(start).expect("a time"), clock::parse(end).expect("a time"));
        if end - start > DAY || start >= end {
            self.violations.push(format!("a window of {} ms", end as i128 - start as i128));
            return af("AF20030");
        }
        if start + 7 * DAY < self.now {
            return af("AF20055");
        }
        if query.contains_key("nextPage") && self.fault() == 4 {
            return af("AF20031");
        }
        let at: usize = query.get("nextPage").map_or(0, |page| page.parse().expect("a page of ours"));
        let listed: Vec<(&String, &u64)> = self
            .content
            .iter()
            .filter(|(_, created)| (start..end).contains(*created) && **created <= self.now)
            .collect();
        let items: Vec<String> = listed
            .iter()
            .skip(at)
            .take(self.page)
            .map(|(id, created)| {
                format!(
                    r#"{{"contentId":"{id}","contentUri":"https://manage.office.com/{id}","contentCreated":"{}Z"}}"#,
                    clock::zoneless(**created)
                )
            })
            .collect();
        let reply = Reply::new(200, format!("[{}]", items.join(",")));
        if at + self.page < listed.len() {
            let base = request.url.split("&nextPage").next().expect("a first part");
            return Ok(reply.with("NextPageUri", &format!("{base}&nextPage={}", at + self.page)));
        }
        Ok(reply)
    }
}

fn http_date(ms: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(ms).expect("in range")).expect("in range");
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).expect("in range")
}

impl Http for Service {
    type Body = ReplyBody;
    fn send(&mut self, request: &Request) -> Result<(Head, ReplyBody), Error> {
        let reply = self.answer(request)?.with("Date", &http_date(self.now));
        Script::of([reply]).send(request)
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// Time goes on.
    Wait(u64),
    /// Content becomes available now.
    Arrive,
    /// The host polls; false: it crashes before it stores what came back.
    Poll(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..4 * HOUR).prop_map(Event::Wait),
        1 => (DAY..3 * DAY).prop_map(Event::Wait),
        4 => Just(Event::Arrive),
        6 => prop::bool::weighted(0.8).prop_map(Event::Poll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn nothing_is_lost_without_being_told(
        events in prop::collection::vec(event(), 1..60),
        faults in prop::collection::vec(prop_oneof![8 => Just(0u8), 1 => 1..=4u8], 0..24),
        page in 1usize..4,
        skew in prop_oneof![Just(0i64), -(3 * HOUR as i64)..3 * HOUR as i64],
        subscribed: bool,
    ) {
        let start = clock::whole_second(NOW);
        let mut service = Service {
            now: start, content: BTreeMap::new(), subscribed, last_start: None, page, faults, dice: 0, violations: Vec::new(),
        };
        let settings = settings("");
        let mut state: Option<String> = None;
        let mut stored: BTreeSet<String> = BTreeSet::new();
        let mut lost: Vec<Interval> = Vec::new();
        let mut covered: Vec<Interval> = Vec::new();
        let mut watermark = 0;
        // What was there a lookback before the first poll that came through is owed, and all that came after it.
        let mut owed_from: Option<u64> = None;
        let mut last_error: Option<Error> = None;
        let mut poll = |service: &mut Service, keep: bool| -> Result<bool, TestCaseError> {
            for _ in 0..200 {
                let host_now = service.now.saturating_add_signed(skew);
                let mut notes = Vec::new();
                let found = source::discover(&settings, service, &mut Lines(&mut notes), STREAM, state.as_deref(), host_now);
                let found = match found { Ok(found) => found, Err(error) => { last_error = Some(error); return Ok(false) } };
                if !keep { return Ok(false) }
                let value: serde_json::Value = serde_json::from_str(&found.state).expect("a state is JSON");
                let next = value["watermark"].as_u64().unwrap_or(0);
                prop_assert!(next >= watermark || watermark == 0, "the watermark went back");
                watermark = next;
                for split in &found.splits {
                    prop_assert!(split.id.len() <= 512 && split.stream == STREAM);
                }
                prop_assert!(found.splits.windows(2).all(|pair| pair[0].arrival <= pair[1].arrival));
                for stretch in &found.coverage {
                    prop_assert!(stretch.start <= stretch.end);
                    prop_assert!(stretch.end <= service.now.max(start), "covered what the service's clock has not reached");
                }
                stored.extend(found.splits.into_iter().map(|split| split.id));
                covered.extend(found.coverage);
                lost.extend(found.lost.into_iter().map(|(stretch, _)| stretch));
                state = Some(found.state);
                owed_from.get_or_insert(host_now.max(service.now) - DAY);
                if !found.more { return Ok(true) }
                service.now += SECOND;
            }
            // Faults that come again in the same rhythm can hold a listing up for as long as they last.
            prop_assert!(!service.faults.is_empty(), "discovery has no end");
            Ok(false)
        };
        poll(&mut service, true)?;
        let mut serial = 0;
        for event in events {
            match event {
                Event::Wait(ms) => service.now += clock::whole_second(ms) + SECOND,
                Event::Arrive => {
                    serial += 1;
                    let now = clock::whole_second(service.now);
                    service.content.insert(format!("c{serial:04}"), now);
                    service.now = now + SECOND;
                }
                Event::Poll(keep) => { poll(&mut service, keep)?; }
            }
        }
        // In the end the faults stop and the clock goes on, and everything that is within reach is found.
        service.faults.clear();
        let mut reached = false;
        for _ in 0..8 {
            service.now += 20 * MINUTE;
            reached = poll(&mut service, true)?;
        }
        prop_assert!(reached, "the stream is stuck: {:?}", last_error);
        prop_assert_eq!(&service.violations, &Vec::<String>::new());
        // With a clock that is hours behind, the last hours aren't due yet.
        let due = service.now.min(service.now.saturating_add_signed(skew)) - 2 * MINUTE;
        let owed_from = owed_from.expect("a poll came through");
        for (id, created) in service.content.iter().filter(|(_, created)| **created >= owed_from) {
            let told = lost.iter().any(|stretch| (stretch.start..stretch.end).contains(created));
            prop_assert!(*created > due || stored.contains(id) || told, "{} of {} is neither found nor told as lost", id, clock::zoneless(*created));
            if !told && *created <= due {
                prop_assert!(covered.iter().any(|stretch| (stretch.start..stretch.end).contains(created)), "{} isn't covered", id);
            }
        }
    }

    #[test]
    fn windows_of_graph_leave_no_gap(waits in prop::collection::vec(1..3 * DAY, 1..30), window in 5u64..1440, sweep: bool) {
        let settings = settings(&format!(r#""window_minutes":{window},"graph_sweep":{sweep}"#));
        let mut now = NOW;
        let mut state: Option<String> = None;
        let mut reached: Option<u64> = None;
        for wait in waits {
            now += wait;
            for round in 0.. {
                prop_assert!(round < 10_000, "planning has no end");
                let found = source::discover(&settings, &mut Script::default(), &mut Lines(&mut Vec::new()), "graph.directory-audits", state.as_deref(), now)
                    .expect("planning calls nothing");
                for stretch in found.coverage.iter().filter(|_| found.pass == "live") {
                    if let Some(reached) = reached {
                        let told = found.lost.iter().any(|(lost, _)| lost.start <= reached && lost.end >= stretch.start);
                        prop_assert!(stretch.start <= reached || told, "a gap");
                    }
                    prop_assert!(stretch.end + 10 * MINUTE <= now);
                    prop_assert!(stretch.end - stretch.start <= window * MINUTE + SECOND);
                    reached = Some(stretch.end);
                }
                state = Some(found.state);
                if !found.more { break }
            }
            prop_assert!(reached.is_some_and(|reached| reached + 15 * MINUTE + 3 * SECOND > now));
        }
    }

    #[test]
    fn no_answer_makes_the_source_panic(
        stream in prop::sample::select(vec![STREAM, "graph.alerts", "graph.alerts-legacy", "graph.signins.noninteractive"]),
        replies in prop::collection::vec((prop::sample::select(vec![200u16, 206, 301, 400, 401, 403, 404, 410, 429, 500, 504]),
            prop_oneof!["\\PC{0,60}", Just(r#"{"error":{"code":"AF20022","message":"does not exist"}}"#.to_owned()), Just(r#"{"value":[1,{"a":2}],"@odata.nextLink":"https://graph.microsoft.com/x"}"#.to_owned()),
                Just(r#"[{"contentId":"a","contentUri":"u","contentCreated":"2026-11-29T10:00:00.000Z"}]"#.to_owned()), Just("[]".to_owned())],
            prop::option::of("\\PC{0,20}")), 40),
        state in prop::option::of("\\PC{0,40}"),
    ) {
        let mut replies: Vec<Reply> = replies.into_iter().map(|(status, body, header)| {
            let reply = Reply::new(status, body);
            match header { Some(value) => reply.with("NextPageUri", &value).with("Date", &value).with("Retry-After", &value), None => reply }
        }).collect();
        let mut endless = replies.clone();
        for _ in 0..50 { endless.append(&mut replies.clone()); }
        replies = endless;
        let mut script = Script::of(replies);
        let mut notes = Vec::new();
        let _ = source::discover(&settings(""), &mut script, &mut Lines(&mut notes), stream, state.as_deref(), NOW);
        let _ = source::check(&settings(""), &mut script, &mut Lines(&mut notes), stream, NOW);
        let payload = if stream == STREAM { r#"{"v":1,"uri":"https://manage.office.com/x","type":"Audit.General"}"#.to_owned() } else { format!(r#"{{"v":1,"start":{},"end":{NOW}}}"#, NOW - HOUR) };
        let split = source::Split { id: "s".into(), stream: stream.into(), payload, arrival: NOW, expires: None };
        if let Ok(mut reader) = source::open::<Script>(&settings(""), &split, None, NOW) {
            for _ in 0..50 {
                match reader.next(16, &mut script, &mut Lines(&mut notes)) {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }
}
