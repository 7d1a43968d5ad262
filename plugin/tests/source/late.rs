//! Late data: passes over what was listed before, their share of the quota, and what can't be read any more.

use std::collections::{BTreeMap, BTreeSet};

use m365_plugin::call::{Head, Http, Request};
use m365_plugin::clock::{self, DAY, HOUR, Interval, MINUTE, SECOND};
use m365_plugin::error::{Error, ErrorKind};
use m365_plugin::source::{self, Discovery};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::script::{Lines, NOW, Reply, ReplyBody, Script, af, discover, discover_with, read, settings};

const STREAM: &str = "office365.exchange";
const SIGN_INS: &str = "graph.signins.interactive";

fn enabled() -> Reply {
    Reply::new(200, r#"[{"contentType":"Audit.Exchange","status":"enabled"}]"#)
}

fn state(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A service that lists content by its arrival, but some of it only later than it says.
struct Service {
    now: u64,
    /// By id: when it says that it became available, and from when on it is listed.
    content: BTreeMap<String, (u64, u64)>,
    page: usize,
    /// Windows that end before this fail with 503.
    broken_before: u64,
    /// When each list was asked for, and the end of its window.
    lists: Vec<(u64, u64)>,
}

impl Service {
    fn new(now: u64) -> Self {
        Self { now, content: BTreeMap::new(), page: 100, broken_before: 0, lists: Vec::new() }
    }

    fn answer(&mut self, url: &str) -> Reply {
        if url.contains("/subscriptions/list") {
            return enabled();
        }
        let query: BTreeMap<&str, &str> =
            url.split_once('?').unwrap().1.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let time = |name: &str| clock::parse(query[name]).unwrap();
        let (start, end) = (time("startTime"), time("endTime"));
        assert!(end - start <= DAY && start < end && start + 7 * DAY >= self.now, "against the rules: {url}");
        self.lists.push((self.now, end));
        if end < self.broken_before {
            return Reply::new(503, "");
        }
        let at: usize = query.get("nextPage").map_or(0, |page| page.parse().unwrap());
        let listed: Vec<_> = self
            .content
            .iter()
            .filter(|(_, (created, from))| (start..end).contains(created) && *from <= self.now)
            .collect();
        let items: Vec<Value> = listed
            .iter()
            .skip(at)
            .take(self.page)
            .map(|(id, (created, _))| {
                json!({"contentId": id, "contentUri": format!("https://manage.office.com/{id}"), "contentCreated": clock::zoneless(*created)})
            })
            .collect();
        let reply = Reply { piece: 1 << 20, ..Reply::new(200, serde_json::to_vec(&items).unwrap()) };
        if at + self.page >= listed.len() {
            return reply;
        }
        let base = url.split("&nextPage").next().unwrap();
        reply.with("NextPageUri", &format!("{base}&nextPage={}", at + self.page))
    }
}

impl Http for Service {
    type Body = ReplyBody;
    fn send(&mut self, request: &Request) -> Result<(Head, ReplyBody), Error> {
        let time = jiff::Timestamp::from_millisecond(self.now.cast_signed()).unwrap();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap();
        let reply = self.answer(&request.url).with("Date", &date);
        Script::of([reply]).send(request)
    }
}

/// Polls as a host does: again when the plugin says so.
struct Host {
    settings: String,
    state: Option<String>,
    next: u64,
    found: Vec<(u64, Discovery)>,
}

impl Host {
    fn new(settings: &str, now: u64) -> Self {
        Self { settings: settings.to_owned(), state: None, next: now, found: Vec::new() }
    }

    fn run(&mut self, service: &mut Service, until: u64) {
        let settings = settings(&self.settings);
        while self.next <= until {
            service.now = service.now.max(self.next);
            let now = service.now;
            let found =
                source::discover(&settings, service, &mut Lines(&mut Vec::new()), STREAM, self.state.as_deref(), now)
                    .unwrap();
            self.state = Some(found.state.clone());
            self.next = now + found.next_ms.max(1);
            self.found.push((now, found));
        }
        service.now = service.now.max(until);
    }

    /// The splits by id: when they were found first, and by which pass.
    fn splits(&self) -> BTreeMap<&str, (u64, &str)> {
        let mut splits = BTreeMap::new();
        for (at, found) in &self.found {
            for split in &found.splits {
                splits.entry(split.id.as_str()).or_insert((*at, found.pass.as_str()));
            }
        }
        splits
    }
}

#[test]
fn content_that_shows_up_late_is_found_by_the_next_pass() {
    let start = clock::whole_second(NOW);
    let mut service = Service::new(start);
    for (id, late) in [
        ("on time", 0),
        ("10m", 10 * MINUTE),
        ("50m", 50 * MINUTE),
        ("3h", 3 * HOUR),
        ("20h", 20 * HOUR),
        ("5d", 5 * DAY),
    ] {
        let created = start + HOUR;
        service.content.insert(id.to_owned(), (created, created + late));
    }
    let mut host = Host::new(r#""office365_overlap_minutes":0"#, start);
    host.run(&mut service, start + 7 * DAY);
    let splits = host.splits();
    let pass: Vec<&str> = ["on time", "10m", "50m", "3h", "20h", "5d"]
        .iter()
        .map(|id| splits.get(id).map_or("", |found| found.1))
        .collect();
    assert_eq!(pass, ["live", "15m", "1h", "4h", "24h", "6d"]);
    // And soon after its age.
    for (id, age) in [("10m", 15 * MINUTE), ("50m", HOUR), ("3h", 4 * HOUR), ("20h", DAY), ("5d", 6 * DAY)] {
        let lateness = splits[id].0 - (start + HOUR);
        assert!((age..=age + age / 4 + 6 * MINUTE).contains(&lateness), "{id}: {lateness}");
    }
    let sealed = host.found.last().unwrap().1.sealed.unwrap();
    assert!(sealed >= start + 18 * HOUR && sealed <= start + DAY, "{}", clock::zoneless(sealed));
    assert!(host.found.windows(2).all(|pair| pair[0].1.sealed <= pair[1].1.sealed));
    assert!(host.state.unwrap().len() < 512, "the state stays small");
}

#[test]
fn passes_ask_for_little() {
    let start = clock::whole_second(NOW);
    let requests = |passes: &str, overlap: u32| {
        let mut service = Service::new(start);
        let mut host = Host::new(&format!(r#""passes":{passes},"office365_overlap_minutes":{overlap}"#), start);
        host.run(&mut service, start + 8 * DAY);
        service.lists.len()
    };
    let live = requests("[]", 0);
    // The overlap of the live lane does the work of the first two passes.
    let usual = requests(r#"["15m","1h","4h","24h","6d"]"#, 60);
    assert!(usual - live <= 8 * 40, "{} more than {live}", usual - live);
    let without_overlap = requests(r#"["15m","1h","4h","24h","6d"]"#, 0);
    assert!(without_overlap - live <= 8 * 420, "{} more than {live}", without_overlap - live);
}

#[test]
fn a_backlog_of_passes_does_not_hold_up_the_live_lane() {
    let start = clock::whole_second(NOW);
    let mut service = Service::new(start);
    service.page = 2;
    for hour in 0..48_u64 {
        for i in 0..40 {
            let created = start + hour * HOUR + i * MINUTE;
            service.content.insert(format!("{hour}-{i}"), (created, created));
        }
    }
    let mut host = Host::new(r#""passes":["24h","30h","36h","40h","44h"]"#, start);
    host.run(&mut service, start + 20 * HOUR);
    // An outage of a day: all the passes are due at once.
    host.next = start + 50 * HOUR;
    host.run(&mut service, start + 60 * HOUR);
    let calls: Vec<_> = host.found.iter().filter(|(at, _)| *at >= start + 50 * HOUR).collect();
    assert!(calls.iter().filter(|(_, found)| found.pass != "live").count() > 20, "there is a backlog");
    let live: Vec<u64> = calls.iter().filter(|(_, found)| found.pass == "live").map(|(at, _)| *at).collect();
    for pair in live.windows(2) {
        assert!(pair[1] - pair[0] <= 190 * SECOND, "no poll for {} s", (pair[1] - pair[0]) / SECOND);
    }
    // Passes take less than a fiftieth of the quota of 2,000 a minute each stream.
    let passes: Vec<u64> = service
        .lists
        .iter()
        .filter(|(at, end)| at - end > HOUR && *at > start + 51 * HOUR)
        .map(|(at, _)| *at)
        .collect();
    assert!(!passes.is_empty());
    for many in passes.windows(45) {
        assert!(many[44] - many[0] >= MINUTE, "45 requests of passes in {} ms", many[44] - many[0]);
    }
}

#[test]
fn a_failing_pass_waits_alone() {
    let start = clock::whole_second(NOW);
    let mut service = Service::new(start);
    let mut host = Host::new(r#""office365_overlap_minutes":0,"passes":["1h"]"#, start);
    service.content.insert("late".to_owned(), (start + 30 * MINUTE, start + 40 * MINUTE));
    host.run(&mut service, start + HOUR);
    // What is older than an hour fails for three hours.
    while service.now < start + 4 * HOUR {
        service.broken_before = service.now - 50 * MINUTE;
        let until = service.now + 10 * MINUTE;
        host.run(&mut service, until);
    }
    assert!(!host.splits().contains_key("late"));
    let tried = service.lists.iter().filter(|(at, end)| *at > start + HOUR && at - end > 50 * MINUTE).count();
    assert!((2..=8).contains(&tried), "tried {tried} times");
    let live: Vec<_> = host.found.iter().filter(|(_, found)| found.pass == "live").map(|(at, _)| *at).collect();
    assert!(live.windows(2).all(|pair| pair[1] - pair[0] <= 190 * SECOND));
    service.broken_before = 0;
    host.run(&mut service, start + 10 * HOUR);
    assert!(host.splits().contains_key("late"));
}

#[test]
fn states_of_the_version_before_passes_are_read() {
    let old = format!(
        r#"{{"v":1,"watermark":{},"enabled_at":{},"start":{{"at":{}}},"window":{{"start":{},"end":{},"known_until":{},"next":"https://manage.office.com/n","at":{}}},"skew_ms":-120000}}"#,
        NOW - HOUR,
        NOW - MINUTE,
        NOW - DAY,
        NOW - 2 * HOUR,
        NOW,
        NOW,
        NOW - MINUTE
    );
    let mut script = Script::of([Reply::new(200, "[]")]);
    let found = discover(&mut script, STREAM, Some(&old), NOW).unwrap();
    assert!(script.urls()[0].starts_with("https://manage.office.com/n"), "its open window goes on");
    assert_eq!((found.pass.as_str(), state(&found.state)["passes"].as_object().unwrap().len()), ("live", 5));

    let old = json!({"v": 1, "watermark": NOW - HOUR, "planned_at": NOW - 50 * MINUTE}).to_string();
    let found = discover(&mut Script::default(), SIGN_INS, Some(&old), NOW).unwrap();
    assert_eq!(found.coverage, [Interval { start: NOW - HOUR, end: NOW - 10 * MINUTE }]);
}

#[test]
fn a_subscription_that_somebody_stopped_is_a_declared_gap() {
    let known = json!({"v": 1, "enabled_at": NOW - MINUTE, "watermark": NOW - HOUR, "live_at": NOW - HOUR}).to_string();
    for code in ["AF20022", "AF20023"] {
        let mut script = Script::of([af(400, code), Reply::new(200, "{}"), Reply::new(200, "[]")]);
        let found = discover(&mut script, STREAM, Some(&known), NOW).unwrap();
        assert_eq!(found.lost.len(), 1);
        assert_eq!(found.lost[0].0, Interval { start: NOW - HOUR, end: NOW });
        assert!(found.lost[0].1.contains("stopped or disabled"));
        // It is told once.
        let mut script = Script::of([Reply::new(200, "[]")]);
        assert!(discover(&mut script, STREAM, Some(&found.state), NOW + 4 * MINUTE).unwrap().lost.is_empty());
    }
    // Disabled by an administrator, and enabled again by the same three hours later.
    let mut script = Script::of([af(400, "AF20023"), af(400, "AF20023")]);
    let found = discover(&mut script, STREAM, Some(&known), NOW).unwrap();
    assert!(found.lost.is_empty());
    let mut script = Script::of([enabled(), Reply::new(200, "[]")]);
    let later = discover(&mut script, STREAM, Some(&found.state), NOW + 3 * HOUR).unwrap();
    assert_eq!(later.lost[0].0.start, NOW - HOUR);
    // A stream's first start is no gap.
    let mut script = Script::of([Reply::new(200, "[]"), Reply::new(200, "{}"), Reply::new(200, "[]")]);
    assert!(discover(&mut script, STREAM, None, NOW).unwrap().lost.is_empty());
}

#[test]
fn what_is_too_old_for_its_passes_is_told_and_left() {
    let start = clock::whole_second(NOW);
    let mut service = Service::new(start);
    let mut host = Host::new("", start);
    host.run(&mut service, start + HOUR);
    let now = start + 9 * DAY;
    service.now = now;
    let mut notes = Vec::new();
    let found =
        source::discover(&settings(""), &mut service, &mut Lines(&mut notes), STREAM, host.state.as_deref(), now)
            .unwrap();
    assert_eq!(found.lost.len(), 1, "the stretch that was never listed");
    assert!(notes.iter().any(|note| note.message.contains("not as often as it should")));
    assert!(found.sealed.unwrap() >= now - 7 * DAY);
}

#[test]
fn graph_windows_are_planned_again_at_the_ages_of_the_passes() {
    let with = settings(r#""graph_sweep":true,"lookback_hours":1"#);
    let mut now = clock::whole_second(NOW);
    let start = now - HOUR;
    let mut state: Option<String> = None;
    let mut read: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    while now < NOW + 2 * DAY {
        let found = discover_with(&with, &mut Script::default(), SIGN_INS, state.as_deref(), now).unwrap();
        for split in &found.splits {
            assert!(ids.insert(split.id.clone()), "{} is planned twice", split.id);
        }
        read.entry(found.pass.clone()).or_default().extend(&found.coverage);
        state = Some(found.state);
        now += found.next_ms.max(SECOND);
    }
    assert_eq!(read.keys().map(String::as_str).collect::<Vec<_>>(), ["1h", "20m", "24h", "4h", "live"]);
    for (pass, stretches) in &read {
        // What was read at its first reading isn't read again at once.
        let first = if pass == "live" { start } else { stretches[0].start };
        assert_eq!(stretches[0].start, first);
        assert!(stretches.windows(2).all(|pair| pair[0].end == pair[1].start), "{pass} leaves a hole");
    }
    // Five minutes a poll, and each minute read about five times in all.
    assert!(ids.len() < 2 * (288 + 288 + 96 + 24 + 4) + 20, "{}", ids.len());
    assert!(state.unwrap().len() < 256);
}

fn page(records: &[String], next: Option<&str>) -> Reply {
    let next = next.map_or(String::new(), |next| format!(r#","@odata.nextLink":"{next}""#));
    Reply::new(200, format!(r#"{{"value":[{}]{next}}}"#, records.join(",")))
}

fn window(stream: &str, start: u64, end: u64) -> source::Split {
    source::Split {
        id: "x".into(),
        stream: stream.into(),
        payload: json!({"v": 1, "start": start, "end": end}).to_string(),
        arrival: start,
        expires: None,
    }
}

/// Opens a split and reads one chunk after the other until an error or the end.
fn chunks(
    script: &mut Script,
    split: &source::Split,
    resume: Option<&str>,
) -> (Vec<(u32, Option<String>)>, Option<Error>) {
    let mut reader = source::open::<Script>(&settings(""), split, resume, NOW).unwrap();
    let mut chunks = Vec::new();
    loop {
        match reader.next(1, script, &mut Lines(&mut Vec::new())) {
            Ok(Some(chunk)) => chunks.push((chunk.count, chunk.resume)),
            Ok(None) => return (chunks, None),
            Err(error) => return (chunks, Some(error)),
        }
    }
}

#[test]
fn a_window_that_is_refused_again_and_again_is_cut_and_grows_again() {
    for status in [503, 500] {
        let split = window(SIGN_INS, NOW - 2 * HOUR, NOW);
        let mut resume: Option<String> = None;
        let mut widths = Vec::new();
        for _ in 0..12 {
            let mut script = Script::of([Reply::new(status, "")]);
            let (kept, error) = chunks(&mut script, &split, resume.as_deref());
            let kind = error.unwrap().kind;
            assert_eq!(kind, ErrorKind::Unavailable, "the host backs off");
            assert_eq!((kept.len(), kept[0].0), (1, 0), "the position is kept without records");
            resume.clone_from(&kept[0].1);
            widths.push(state(resume.as_deref().unwrap())["width"].as_u64().unwrap() / MINUTE);
        }
        assert_eq!(widths, [120, 60, 60, 30, 30, 15, 15, 7, 7, 7, 7, 7], "two refusals each, down to the floor");
        // The service recovers: all is read, and in wider pieces again.
        let mut script = Script::of((0..16).map(|_| page(&[], None)));
        let (_, error) = chunks(&mut script, &split, resume.as_deref());
        assert!(error.is_none());
        let mut position = NOW - 2 * HOUR;
        let mut pieces = Vec::new();
        for url in script.urls() {
            let text = percent_encoding::percent_decode_str(&url).decode_utf8().unwrap().into_owned();
            let times: Vec<u64> = text.split(['=', ' ', '&']).filter_map(clock::parse).filter(|at| *at > DAY).collect();
            assert_eq!(times[0], position, "no hole: {text}");
            pieces.push((times[1] - times[0]) / MINUTE);
            position = times[1];
        }
        assert_eq!(position, NOW);
        assert!(pieces.iter().max().unwrap() >= &15, "{pieces:?}");
    }
}

#[test]
fn a_refusal_in_the_middle_keeps_the_pages_before_it() {
    let split = window(SIGN_INS, NOW - HOUR, NOW);
    let link = "https://graph.microsoft.com/next";
    let mut script = Script::of([page(&["1".to_owned()], Some(link)), Reply::new(429, "")]);
    let (kept, error) = chunks(&mut script, &split, None);
    assert_eq!(error.unwrap().kind, ErrorKind::RateLimited);
    assert_eq!(kept.iter().map(|(count, _)| count).sum::<u32>(), 1);
    let mut script = Script::of([page(&["2".to_owned()], None)]);
    let (rest, error) = chunks(&mut script, &split, kept.last().unwrap().1.as_deref());
    assert!(error.is_none());
    assert_eq!(rest.iter().map(|(count, _)| count).sum::<u32>(), 1);
    assert_eq!(script.urls(), [link]);
}

#[test]
fn a_page_full_of_one_moment_neither_stalls_nor_loses() {
    // Legacy alerts give at most 1,000 records of a window; all of these have the same time.
    let full: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    let moment = NOW - 20 * MINUTE;
    let split = window("graph.alerts-legacy", NOW - 30 * MINUTE, NOW - 10 * MINUTE);
    struct Moment<'a>(u64, &'a [String], u32);
    impl Http for Moment<'_> {
        type Body = ReplyBody;
        fn send(&mut self, request: &Request) -> Result<(Head, ReplyBody), Error> {
            self.2 += 1;
            let text = percent_encoding::percent_decode_str(&request.url).decode_utf8().unwrap().into_owned();
            let times: Vec<u64> = text.split(['=', ' ', '&']).filter_map(clock::parse).filter(|at| *at > DAY).collect();
            let inside = (times[0]..=times[1]).contains(&self.0);
            let reply = page(if inside { self.1 } else { &[] }, None);
            Script::of([Reply { piece: 1 << 20, ..reply }]).send(request)
        }
    }
    let mut service = Moment(moment, &full, 0);
    let mut notes = Vec::new();
    let mut reader = source::open::<Moment<'_>>(&settings(""), &split, None, NOW).unwrap();
    let mut seen = BTreeSet::new();
    while let Some(chunk) = reader.next(1 << 20, &mut service, &mut Lines(&mut notes)).unwrap() {
        seen.extend(String::from_utf8(chunk.data).unwrap().lines().map(str::to_owned));
    }
    assert_eq!(seen.len(), 1000);
    assert!(service.2 < 100, "{} requests", service.2);
    assert!(notes.iter().any(|note| note.message.contains("can't be cut narrower")));
    // A page of one moment with a next page is only paged.
    let link = "https://graph.microsoft.com/n";
    let mut script = Script::of([page(&full, Some(link)), page(&full[..3], None)]);
    let (lines, _) = read(&mut script, &window("graph.alerts", moment, moment + SECOND), None, 1 << 20).unwrap();
    assert_eq!(lines.len(), 1003);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Whatever shows up up to six days late is found, through outages and with pages of any size.
    #[test]
    fn late_content_is_found_whatever_happens(
        arrivals in prop::collection::vec((0..3 * DAY, prop_oneof![Just(0), 0..HOUR, 0..DAY, 0..5 * DAY]), 1..40),
        outages in prop::collection::vec((0..8 * DAY, 0..8 * HOUR), 0..3),
        page in 1usize..5,
        overlap in prop::sample::select(vec![0u32, 5, 60]),
    ) {
        let start = clock::whole_second(NOW);
        let mut service = Service::new(start);
        service.page = page;
        for (i, (at, late)) in arrivals.iter().enumerate() {
            let created = clock::whole_second(start + at);
            service.content.insert(format!("c{i}"), (created, created + late));
        }
        let mut host = Host::new(&format!(r#""office365_overlap_minutes":{overlap}"#), start);
        let mut outages = outages;
        outages.sort_unstable();
        for (at, long) in outages {
            let until = (start + at).max(service.now);
            host.run(&mut service, until);
            host.next = host.next.max(service.now + long);
        }
        let until = (start + 10 * DAY).max(service.now + HOUR);
        host.run(&mut service, until);
        let splits = host.splits();
        for (id, (created, _)) in &service.content {
            prop_assert!(splits.contains_key(id.as_str()), "{} of {} isn't found", id, clock::zoneless(*created));
        }
        prop_assert!(host.found.iter().all(|(_, found)| found.lost.is_empty()));
        prop_assert!(host.state.as_ref().unwrap().len() < 1024);
    }
}
