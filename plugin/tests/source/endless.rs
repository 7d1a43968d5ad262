//! Reading always ends, and one bad part is one bad part: pages in circles, bodies that break at one place, filters that are ignored.

use std::collections::BTreeSet;

use m365_plugin::call::{Head, Http, Level, Note, Request};
use m365_plugin::clock::{self, HOUR, Interval, MINUTE, SECOND};
use m365_plugin::driver::Loss;
use m365_plugin::error::{Error, ErrorKind};
use m365_plugin::source::{self, Split};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::script::{Lines, NOW, Reply, ReplyBody, Script, discover, settings};

const AUDITS: &str = "graph.directory-audits";
const START: u64 = NOW - 6 * HOUR;

/// How the pages of the service end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Well,
    /// The last page names the one so many pages before it.
    Circle(usize),
    /// The last page names an empty one, which names itself.
    EmptyItself,
    /// The same records come again and again at new addresses.
    Again,
    /// Empty pages follow at new addresses.
    Empty,
}

/// A collection of Graph.
struct Service {
    records: Vec<u64>,
    page: usize,
    ends: Ends,
    /// A page that holds the record of one of these times breaks there.
    broken: BTreeSet<u64>,
    /// Whether a page that is broken closes with an error instead of breaking off.
    closes: bool,
    heeds_filter: bool,
    requests: u32,
}

impl Service {
    fn new(records: impl IntoIterator<Item = u64>) -> Self {
        Self {
            records: records.into_iter().collect(),
            page: 100,
            ends: Ends::Well,
            broken: BTreeSet::new(),
            closes: false,
            heeds_filter: true,
            requests: 0,
        }
    }

    fn answer(&mut self, url: &str) -> Reply {
        self.requests += 1;
        let decoded = percent_encoding::percent_decode_str(url).decode_utf8().unwrap().into_owned();
        let bound = |word: &str| {
            let text = decoded.split_once(word).map(|(_, rest)| rest.split([' ', '&']).next().unwrap()).unwrap();
            clock::parse(text).unwrap()
        };
        let (from, to) = (bound(" ge "), bound(" le "));
        let skip = decoded.split_once("$skip=").map_or("0", |(_, skip)| skip);
        let base = url.split("&$skip=").next().unwrap();
        let link = |to: &str| format!("{base}&$skip={to}");
        if skip == "empty" {
            return Reply::new(200, json!({"value": [], "@odata.nextLink": link("empty")}).to_string());
        }
        let skip: usize = skip.parse().unwrap();
        let all: Vec<u64> =
            self.records.iter().copied().filter(|at| !self.heeds_filter || (from..=to).contains(at)).collect();
        let pages = all.len().div_ceil(self.page).max(1);
        let number = skip.min(pages - 1);
        let shown = if self.ends == Ends::Empty && skip >= pages {
            &[]
        } else {
            all.chunks(self.page).nth(number).unwrap_or(&[])
        };
        let next = match self.ends {
            _ if skip + 1 < pages => Some(link(&(skip + 1).to_string())),
            Ends::Well => None,
            Ends::Circle(back) => {
                Some(if number >= back && number > 0 { link(&(number - back).to_string()) } else { link("0") })
            }
            Ends::EmptyItself => Some(link("empty")),
            Ends::Again | Ends::Empty => Some(link(&(skip + 1).to_string())),
        };
        let text = |at: &u64| format!(r#"{{"id":"{at}","activityDateTime":"{}Z"}}"#, clock::zoneless(*at));
        let bad = shown.iter().position(|at| self.broken.contains(at));
        let good: Vec<String> = shown[..bad.unwrap_or(shown.len())].iter().map(text).collect();
        let good = good.join(",");
        let body = match (bad, next) {
            (Some(_), _) if self.closes => {
                format!(r#"{{"value":[{good}],"error":{{"code":"InternalServerError","message":"no more of it"}}}}"#)
            }
            (Some(_), _) => {
                let comma = if good.is_empty() { "" } else { "," };
                format!(
                    r#"{{"value":[{good}{comma}{{"id":"x"{{"error":{{"code":"BadRequest","message":"no more of it"}}}}"#
                )
            }
            (None, Some(next)) => format!(r#"{{"value":[{good}],"@odata.nextLink":{}}}"#, json!(next)),
            (None, None) => format!(r#"{{"value":[{good}]}}"#),
        };
        Reply { piece: 4096, ..Reply::new(200, body) }
    }
}

impl Http for Service {
    type Body = ReplyBody;
    fn send(&mut self, request: &Request) -> Result<(Head, ReplyBody), Error> {
        let reply = self.answer(&request.url);
        Script::of([reply]).send(request)
    }
}

/// What came of a window that was read as a host does it.
#[derive(Debug, Default)]
struct Read {
    ids: BTreeSet<String>,
    losses: Vec<Loss>,
    notes: Vec<Note>,
    /// Failures before the end, with what they ask to wait.
    errors: Vec<Error>,
    done: bool,
}

impl Read {
    fn warnings(&self) -> usize {
        self.notes.iter().filter(|note| note.level == Level::Warn).count()
    }
}

fn window(start: u64, end: u64) -> Split {
    Split {
        id: "w".into(),
        stream: AUDITS.into(),
        payload: json!({"v": 1, "start": start, "end": end}).to_string(),
        arrival: start,
        expires: None,
    }
}

/// Reads a window, and opens it again where it left off after each failure, at most so many times.
fn read(service: &mut Service, start: u64, end: u64, opens: usize) -> Read {
    let (mut read, mut resume, mut now) = (Read::default(), None::<String>, NOW);
    for _ in 0..opens {
        let split = window(start, end);
        let mut reader = source::open::<Service>(&settings(""), &split, resume.as_deref(), now).unwrap();
        loop {
            assert!(service.requests < 5_000, "no end: {read:?}");
            match reader.next(1 << 20, service, &mut Lines(&mut read.notes)) {
                Ok(Some(chunk)) => {
                    for line in String::from_utf8(chunk.data).unwrap().lines() {
                        let record: Value = serde_json::from_str(line).unwrap();
                        read.ids.insert(record["id"].as_str().unwrap().to_owned());
                    }
                    read.losses.extend(chunk.losses);
                    if chunk.done {
                        read.done = true;
                        return read;
                    }
                    resume = chunk.resume;
                    assert!(resume.as_ref().is_none_or(|text| text.len() < 4096));
                }
                Ok(None) => panic!("the last chunk was not marked as such"),
                Err(error) => {
                    now += error.retry_after_ms.unwrap_or(SECOND);
                    read.errors.push(error);
                    break;
                }
            }
        }
    }
    read
}

fn every(step: u64, count: u64) -> Vec<u64> {
    (0..count).map(|number| START + MINUTE + number * step).collect()
}

#[test]
fn pages_without_end_are_told_once_and_everything_is_read() {
    for ends in [Ends::Circle(0), Ends::Circle(1), Ends::Circle(2), Ends::Again, Ends::Empty] {
        let mut service = Service { ends, ..Service::new(every(SECOND, 250)) };
        let read = read(&mut service, START, NOW, 1);
        assert!(read.done && read.ids.len() == 250, "{ends:?} {}", read.ids.len());
        assert_eq!(read.warnings(), 1, "{ends:?}: {:?}", read.notes);
        assert!(service.requests <= 120, "{ends:?}: {}", service.requests);
    }
    // Nothing is wrong with an empty page that names itself, nor with an empty window in which all pages do.
    let mut service = Service { ends: Ends::EmptyItself, ..Service::new(every(SECOND, 250)) };
    let whole = read(&mut service, START, NOW, 1);
    assert!(whole.done && whole.ids.len() == 250 && whole.warnings() == 0 && service.requests == 4, "{whole:?}");
    let mut service = Service { ends: Ends::Circle(0), ..Service::new([]) };
    let empty = read(&mut service, START, NOW, 1);
    assert!(empty.done && empty.warnings() == 0 && service.requests <= 2, "{} {empty:?}", service.requests);
    // Empty pages without end are none: what is behind them wasn't seen.
    let mut service = Service { ends: Ends::Empty, ..Service::new([]) };
    let unseen = read(&mut service, START, NOW, 3);
    assert!(!unseen.done && unseen.errors.iter().all(|error| error.code == "endless-pages"), "{unseen:?}");
    assert!((100..200).contains(&service.requests), "{}", service.requests);
}

#[test]
fn a_next_page_that_is_not_found_has_aged() {
    let page = r#"{"value":[{"id":"a"}],"@odata.nextLink":"https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?$skiptoken=x"}"#;
    let gone = || Reply::new(404, r#"{"error":{"code":"UnknownError","message":"Not found."}}"#);
    let none = || Reply::new(200, r#"{"value":[]}"#);
    let mut script = Script::of([Reply::new(200, page), gone(), none(), none(), none()]);
    let mut reader = source::open::<Script>(&settings(""), &window(START, NOW), None, NOW).unwrap();
    // Of the page that was handed out just now: the window is cut, and asked for again.
    let chunk = reader.next(1, &mut script, &mut Lines(&mut Vec::new())).unwrap().unwrap();
    assert_eq!(chunk.count, 1);
    let _ = reader.next(1, &mut script, &mut Lines(&mut Vec::new()));
    let urls = script.urls();
    assert!(urls.len() >= 4 && urls[2..].iter().all(|url| !url.contains("skiptoken")), "{urls:?}");
}

#[test]
fn a_second_that_stays_broken_is_a_loss_and_holds_nothing_up() {
    for closes in [false, true] {
        let records = every(MINUTE, 300);
        let bad = records[137];
        let mut service = Service { broken: [bad].into(), closes, ..Service::new(records) };
        let first = read(&mut service, START, NOW, 3);
        assert!(!first.done && first.ids.len() == 299 && first.losses.is_empty(), "{closes} {}", first.ids.len());
        assert!(service.requests < 80, "{}", service.requests);
        let mut service = Service { broken: [bad].into(), closes, ..Service::new(every(MINUTE, 300)) };
        let read = read(&mut service, START, NOW, 20);
        assert!(read.done && read.ids.len() == 299, "{closes} {:?}", read.errors);
        assert_eq!(read.losses.len(), 1);
        let second = clock::whole_second(bad);
        assert_eq!(read.losses[0].stretch, Some(Interval { start: second, end: second + SECOND }));
        assert!(read.losses[0].message.contains("no more of it"), "{}", read.losses[0].message);
        assert!(read.losses[0].message.len() <= 4096);
        let waited: u64 = read.errors.iter().filter_map(|error| error.retry_after_ms).sum();
        assert!(waited >= 10 * MINUTE, "{waited}");
    }
}

#[test]
fn a_second_that_can_be_read_again_is_no_loss() {
    let records = every(MINUTE, 100);
    let mut service = Service { broken: [records[50]].into(), ..Service::new(records) };
    let first = read(&mut service, START, NOW, 2);
    let position = first.errors.last().unwrap();
    assert_eq!((position.kind, position.code.as_str()), (ErrorKind::Unavailable, "broken-record"));
    service.broken.clear();
    let read = read(&mut service, START, NOW, 10);
    assert!(read.done && read.losses.is_empty() && read.ids.len() == 100);
}

#[test]
fn a_service_that_is_broken_as_a_whole_loses_nothing() {
    let records = every(MINUTE, 300);
    let mut service = Service { broken: records.iter().copied().collect(), ..Service::new(records) };
    let read = read(&mut service, START, NOW, 20);
    assert!(!read.done && read.losses.is_empty(), "{:?}", read.losses);
    assert!(service.requests < 200, "{}", service.requests);
}

#[test]
fn throttling_never_narrows_a_window() {
    let slow = || Reply::new(429, "").with("Retry-After", "1");
    let mut resume: Option<String> = None;
    for _ in 0..6 {
        let split = window(START, NOW);
        let mut script = Script::of([slow()]);
        let mut reader = source::open::<Script>(&settings(""), &split, resume.as_deref(), NOW).unwrap();
        let error = loop {
            match reader.next(1000, &mut script, &mut Lines(&mut Vec::new())) {
                Ok(chunk) => resume = chunk.unwrap().resume,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, ErrorKind::RateLimited);
        let url = script.urls()[0].clone();
        assert!(
            url.contains(&clock::zulu(START).replace(':', "%3A"))
                && url.contains(&clock::zulu(NOW).replace(':', "%3A")),
            "{url}"
        );
    }
}

#[test]
fn a_filter_that_is_ignored_is_noticed_and_nothing_is_cut_for_it() {
    let old: Vec<u64> = (0..1_600).map(|number| NOW - 40 * 24 * HOUR + number * MINUTE).collect();
    let mut service = Service { heeds_filter: false, page: 500, ..Service::new(old) };
    let read = read(&mut service, START, NOW, 1);
    assert!(read.done && read.ids.len() == 1_600);
    assert_eq!((service.requests, read.warnings()), (4, 1));
}

#[test]
fn legacy_alerts_that_ignore_the_filter_are_planned_as_one_window_and_told_once() {
    const LEGACY: &str = "graph.alerts-legacy";
    let old = || Reply::new(200, r#"{"value":[{"id":"1","lastModifiedDateTime":"2026-10-20T00:00:00Z"}]}"#);
    let mut script = Script::of([old()]);
    let found = discover(&mut script, LEGACY, None, NOW).unwrap();
    assert_eq!(script.notes.len(), 1, "{:?}", script.notes);
    let payload: Value = serde_json::from_str(&found.splits[0].payload).unwrap();
    assert_eq!(payload["unfiltered"], json!(true));
    assert!(payload["end"].as_u64().unwrap() - payload["start"].as_u64().unwrap() > 23 * HOUR);
    let mut script = Script::of([old()]);
    discover(&mut script, LEGACY, Some(&found.state), NOW + HOUR).unwrap();
    assert!(script.notes.is_empty());
    // Missing providers are told once, too, and again where they are others.
    let partial = |provider: &str, ms: u32| {
        Reply::new(206, r#"{"value":[]}"#).with("Warning", &format!("199 - \"Microsoft/{provider}/403/{ms}\""))
    };
    let mut state = None;
    for (provider, ms, told) in [("MCAS", 1, 1), ("MCAS", 2, 0), ("WDATP", 3, 1), ("MCAS", 4, 0)] {
        let mut script = Script::of([partial(provider, ms)]);
        let found = discover(&mut script, LEGACY, state.as_deref(), NOW + u64::from(ms) * HOUR).unwrap();
        assert_eq!(script.notes.len(), told, "{provider} {ms}: {:?}", script.notes);
        state = Some(found.state);
    }
}

/// Lists a content type whose pages have no end, as long as the host goes on at once.
fn list(next: impl FnMut(&str, usize) -> (String, String), calls: usize) -> (BTreeSet<String>, usize, usize, bool) {
    let state = json!({"v": 1, "enabled_at": NOW - MINUTE, "watermark": NOW - HOUR});
    list_from(&state, r#""passes":[]"#, next, calls)
}

/// The same from a state of the stream, with settings.
fn list_from(
    state: &Value,
    with: &str,
    mut next: impl FnMut(&str, usize) -> (String, String),
    calls: usize,
) -> (BTreeSet<String>, usize, usize, bool) {
    struct Pages<'a>(&'a mut dyn FnMut(&str, usize) -> (String, String), usize);
    impl Http for Pages<'_> {
        type Body = ReplyBody;
        fn send(&mut self, request: &Request) -> Result<(Head, ReplyBody), Error> {
            self.1 += 1;
            let (body, next) = (self.0)(&request.url, self.1);
            Script::of([Reply { piece: 4096, ..Reply::new(200, body).with("NextPageUri", &next) }]).send(request)
        }
    }
    let mut service = Pages(&mut next, 0);
    let (mut state, mut now) = (state.to_string(), NOW);
    let (mut ids, mut notes, mut covered) = (BTreeSet::new(), Vec::new(), false);
    for _ in 0..calls {
        let found = source::discover(
            &settings(with),
            &mut service,
            &mut Lines(&mut notes),
            "office365.exchange",
            Some(&state),
            now,
        )
        .unwrap();
        ids.extend(found.splits.iter().map(|split| split.id.clone()));
        state = found.state;
        now += found.next_ms;
        covered |= !found.coverage.is_empty();
        if !found.more {
            break;
        }
    }
    let requests = service.1;
    (ids, requests, notes.iter().filter(|note| note.level == Level::Warn).count(), covered)
}

#[test]
fn lists_of_content_without_end_are_told_once_and_what_they_hold_is_listed() {
    let item = |id: &str| format!(r#"[{{"contentId":"{id}","contentUri":"https://manage.office.com/{id}"}}]"#);
    let base = "https://manage.office.com/next?p=";
    // From one page to another and back.
    let circle = |url: &str, _: usize| match url.split_once("p=").map(|(_, page)| &page[..1]) {
        Some("a") => (item("2"), format!("{base}b")),
        Some("b") => (item("3"), format!("{base}a")),
        _ => (item("1"), format!("{base}a")),
    };
    let (ids, requests, told, covered) = list(circle, 5);
    assert!(ids.len() == 3 && requests <= 24 && told == 1 && covered, "{ids:?} {requests} {told}");
    // The same content, and none, at ever new addresses.
    let (ids, requests, told, covered) = list(|_, number| (item("1"), format!("{base}{number}")), 5);
    assert!(ids.len() == 1 && requests <= 30 && told == 1 && covered, "{ids:?} {requests} {told}");
    let (ids, requests, told, covered) = list(|_, number| ("[]".to_owned(), format!("{base}{number}")), 5);
    assert!(ids.is_empty() && requests <= 60 && told == 1 && covered, "{ids:?} {requests} {told}");
    let (ids, requests, told, covered) = list(|_, _| ("[]".to_owned(), format!("{base}x")), 5);
    assert!(ids.is_empty() && requests <= 3 && told == 0 && covered, "{ids:?} {requests} {told}");
    // Pages of many pieces that come again in later calls.
    let many: Vec<Value> = (0..1_500)
        .map(|n| json!({"contentId": format!("c{n}"), "contentUri": "https://manage.office.com/x"}))
        .collect();
    let many = serde_json::to_string(&many).unwrap();
    let (ids, requests, told, covered) = list(|_, number| (many.clone(), format!("{base}{number}")), 50);
    assert!(ids.len() == 1_500 && requests <= 60 && told == 1 && covered, "{} {requests} {told}", ids.len());
}

#[test]
fn a_pass_that_lists_a_few_pages_a_call_ends_as_well() {
    let state = json!({
        "v": 1, "enabled_at": NOW - MINUTE, "watermark": NOW - MINUTE, "live_at": NOW,
        "passes": {HOUR.to_string(): NOW - 3 * HOUR},
    });
    let page = |n: usize| {
        let item = json!([{"contentId": format!("c{n}"), "contentUri": "https://manage.office.com/x"}]);
        (item.to_string(), format!("https://manage.office.com/next?p={n}"))
    };
    let again = |_: &str, number: usize| (page(1).0, page(number).1);
    let (ids, requests, told, covered) = list_from(&state, r#""passes":["1h"]"#, again, 40);
    assert!(ids.len() == 1 && requests <= 40 && told == 1 && covered, "{ids:?} {requests} {told}");
    // One that brings something new in each of them doesn't end too early.
    let long = |_: &str, number: usize| (page(number).0, if number < 60 { page(number).1 } else { String::new() });
    let (ids, requests, told, covered) = list_from(&state, r#""passes":["1h"]"#, long, 40);
    assert!(ids.len() == 60 && requests == 60 && told == 0 && covered, "{} {requests} {told}", ids.len());
}

#[test]
fn a_throttled_start_concerns_starts_of_its_type_only() {
    let none = || Reply::new(200, "[]");
    let refused = || {
        Reply::new(
            403,
            r#"{"error":{"code":"429","message":"Too many frequent subscription start requests. Please retry again after 8m 46s."}}"#,
        )
    };
    let unsubscribed = || Reply::new(400, r#"{"error":{"code":"AF20022","message":"No subscription found."}}"#);
    let mut script = Script::of([none(), refused(), unsubscribed()]);
    let found = discover(&mut script, "office365.exchange", None, NOW).unwrap();
    assert!(found.more && found.splits.is_empty());
    let mut script = Script::of([none(), unsubscribed()]);
    let error = discover(&mut script, "office365.exchange", Some(&found.state), NOW + MINUTE).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "start-throttled"));
    assert_eq!((script.posts(), error.retry_after_ms), (0, Some(527 * SECOND - MINUTE)));
    assert!(error.message.contains("throttled until 2026-11-29T20:37:39"), "{}", error.message);
    assert!(!error.message.contains("permission") && error.message.contains("8m 46s"), "{}", error.message);
    // What can be listed without a start is listed.
    let content = || Reply::new(200, r#"[{"contentId":"a","contentUri":"https://manage.office.com/a"}]"#);
    let mut script = Script::of([none(), content()]);
    assert_eq!(discover(&mut script, "office365.exchange", Some(&found.state), NOW + MINUTE).unwrap().splits.len(), 1);
    let mut script = Script::of([none(), refused(), content()]);
    assert_eq!(discover(&mut script, "office365.exchange", None, NOW).unwrap().splits.len(), 1);
    // And that it isn't started is told all the same, also where nothing is listed.
    assert!(script.notes.iter().any(|note| note.message.contains("are throttled until")), "{:?}", script.notes);
    let mut script = Script::of([none(), refused(), none()]);
    discover(&mut script, "office365.exchange", None, NOW).unwrap();
    assert!(script.notes.iter().any(|note| note.level == Level::Warn), "{:?}", script.notes);
    // A start that isn't taken isn't forgotten where the list fails.
    let mut script = Script::of([none(), refused(), Reply::new(503, "")]);
    let found = discover(&mut script, "office365.exchange", None, NOW).unwrap();
    let mut script = Script::of([none(), unsubscribed()]);
    discover(&mut script, "office365.exchange", Some(&found.state), NOW + MINUTE).unwrap_err();
    assert_eq!(script.posts(), 0);
    // It is tried again when the service said so.
    let mut script = Script::of([none(), Reply::new(200, "{}"), none()]);
    discover(&mut script, "office365.exchange", Some(&found.state), NOW + 527 * SECOND).unwrap();
    assert_eq!(script.posts(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Wherever records are and wherever bodies break: reading ends, every whole record is read, and what isn't read is a loss.
    #[test]
    fn every_record_is_read_or_in_a_loss(
        times in prop::collection::btree_set(0u64..21_600, 1..60),
        bad in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        page in 1usize..20,
        circle in prop_oneof![Just(None), (0usize..3).prop_map(Some)],
        closes: bool,
    ) {
        let records: Vec<u64> = times.iter().map(|second| START + second * SECOND).collect();
        let broken: BTreeSet<u64> = bad.iter().map(|index| records[index.index(records.len())]).collect();
        let ends = circle.map_or(Ends::Well, Ends::Circle);
        let mut service = Service { page, ends, closes, broken: broken.clone(), ..Service::new(records.clone()) };
        let read = read(&mut service, START, NOW, 150);
        // Where nothing can be read, the service is broken as a whole, and nothing is lost before a day.
        let whole = broken.len() == records.len();
        prop_assert!(read.done || whole, "{:?}", read.errors.last());
        prop_assume!(read.done);
        for at in &records {
            let lost = read.losses.iter().any(|loss| loss.stretch.is_some_and(|s| (s.start..s.end).contains(at)));
            prop_assert!(read.ids.contains(&at.to_string()) || (broken.contains(at) && lost), "{at} is missing: {:?}", read.losses);
        }
    }
}
