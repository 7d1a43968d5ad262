use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::config::{AuthConfig, Compression, HeaderConfig, HttpEncoding, SecretSource, SinkKind};
use crate::http::stand_in::{Received, StandIn, reply};
use crate::sinks::compression::expand;

fn config(url: &str) -> SinkConfig {
    SinkConfig { url: Some(url.to_owned()), ..SinkConfig::new(SinkKind::Http) }
}

fn sink(server: &StandIn, change: impl FnOnce(&mut SinkConfig)) -> HttpSink {
    let mut config = config(&format!("{}/in?source=m365", server.url));
    change(&mut config);
    HttpSink::open(&config).unwrap()
}

/// Lines `{"n":0}` and so on.
fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// The numbers in a request.
fn numbers(request: &Received) -> Vec<u64> {
    let text = std::str::from_utf8(&request.body).unwrap();
    text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap()).collect()
}

/// A server that answers by the numbers of a request.
fn server(status: impl Fn(&[u64]) -> u16 + Send + Sync + 'static) -> StandIn {
    StandIn::start(move |request, stream| reply(stream, status(&numbers(request)), &[], b"because"))
}

/// The numbers of all confirmed requests, in order.
fn confirmed(server: &StandIn, status: impl Fn(&[u64]) -> u16) -> Vec<u64> {
    server.received().iter().map(numbers).filter(|numbers| status(numbers) < 300).flatten().collect()
}

#[test]
fn batches_are_cut_by_events_and_by_bytes() {
    let server = server(|_| 200);
    let text = lines(25);
    let receipt = sink(&server, |config| config.batch_events = Some(10)).deliver(&[text.as_bytes()]).unwrap();
    assert_eq!(receipt, Receipt::default());
    let sizes: Vec<usize> = server.received().iter().map(|request| numbers(request).len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(server.received()[0].target, "/in?source=m365");
    assert_eq!(server.received()[0].header("content-type"), Some("application/x-ndjson"));
    assert_eq!(server.received()[0].method, "POST");

    let big = format!("{{\"n\":1,\"pad\":\"{}\"}}\n", "x".repeat(600));
    let mut sink = sink(&server, |config| config.batch_kib = Some(1));
    sink.deliver(&[big.as_bytes(), lines(2).as_bytes(), big.repeat(3).as_bytes()]).unwrap();
    let sizes: Vec<usize> = server.received()[3..].iter().map(|request| numbers(request).len()).collect();
    assert_eq!(sizes, [3, 1, 1, 1], "two big ones would not fit");
}

#[test]
fn bodies_are_arrays_and_compressed_if_asked_for() {
    for (compression, name) in
        [(Compression::Gzip, Some("gzip")), (Compression::Zstd, Some("zstd")), (Compression::None, None)]
    {
        let server = StandIn::start(|_, stream| reply(stream, 204, &[], b""));
        let mut sink = sink(&server, |config| {
            config.compression = compression;
            config.encoding = Some(HttpEncoding::Json);
        });
        sink.deliver(&[lines(3).as_bytes()]).unwrap();
        let request = &server.received()[0];
        assert_eq!(request.header("content-encoding"), name);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(expand(compression, &request.body).unwrap(), b"[{\"n\":0},{\"n\":1},{\"n\":2}]");
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "canary-5f1b\n").unwrap();
    let secret = SecretSource { env: None, file: Some(file.clone()) };
    let server = StandIn::start(|request, stream| {
        let echo = format!("no: {:?}", request.headers);
        reply(stream, 401, &[], echo.as_bytes())
    });
    let key = HeaderConfig { file: Some(file), ..HeaderConfig::default() };
    let plain = HeaderConfig { value: Some("m365".to_owned()), ..HeaderConfig::default() };
    let bearer = AuthConfig { bearer: Some(secret.clone()), ..AuthConfig::default() };
    let basic = AuthConfig { user: Some("anna".to_owned()), password: Some(secret), ..AuthConfig::default() };
    for (auth, expected) in [(bearer, "Bearer canary-5f1b"), (basic, "Basic YW5uYTpjYW5hcnktNWYxYg==")] {
        let mut sink = sink(&server, |config| {
            config.auth = Some(auth);
            config.headers = [("X-Api-Key".to_owned(), key.clone()), ("X-Source".to_owned(), plain.clone())].into();
        });
        let error = sink.deliver(&[b"{\"n\":0}\n"]).unwrap_err();
        let request = server.received().pop().unwrap();
        assert_eq!(request.header("authorization"), Some(expected));
        assert_eq!((request.header("x-api-key"), request.header("x-source")), (Some("canary-5f1b"), Some("m365")));
        assert_eq!(error.trouble, Trouble::Mend);
        assert!(error.message.contains("status 401") && error.message.contains("`auth`"), "{error}");
        assert!(!error.message.contains("canary") && !error.message.contains("YW5uY"), "{error}");
        assert!(error.message.contains("[redacted]"), "{error}");
    }
}

#[test]
fn what_was_confirmed_is_not_sent_again_while_the_rest_waits() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let server = StandIn::start(move |_, stream| match counter.fetch_add(1, Ordering::SeqCst) {
        1 => reply(stream, 503, &["retry-after: 7"], b"busy"),
        2 => reply(stream, 429, &[], b""),
        3 => false,
        _ => reply(stream, 200, &[], b""),
    });
    let mut sink = sink(&server, |config| config.batch_events = Some(2));
    let text = lines(4);
    let error = sink.deliver(&[text.as_bytes()]).unwrap_err();
    assert_eq!(error.trouble, Trouble::Passing(Some(Duration::from_secs(7))), "{error}");
    assert!(error.message.contains("503") && error.message.contains("busy"), "{error}");
    assert!(error.progressed, "the first batch was confirmed");
    let error = sink.deliver(&[text.as_bytes()]).unwrap_err();
    assert_eq!((error.trouble, error.progressed), (Trouble::Passing(None), false));
    let error = sink.deliver(&[text.as_bytes()]).unwrap_err();
    assert!(error.message.contains("connection ended"), "{error}");
    sink.deliver(&[text.as_bytes()]).unwrap();
    let sent: Vec<Vec<u64>> = server.received().iter().map(numbers).collect();
    assert_eq!(sent, [[0, 1], [2, 3], [2, 3], [2, 3], [2, 3]]);
}

#[test]
fn a_batch_that_is_too_large_is_halved_and_the_size_is_learned() {
    let status = |numbers: &[u64]| match numbers {
        many if many.len() > 3 || many.contains(&13) => 413,
        _ => 200,
    };
    let server = server(status);
    let mut sink = sink(&server, |_| {});
    let receipt = sink.deliver(&[lines(20).as_bytes()]).unwrap();
    assert_eq!(receipt.refused.len(), 1);
    assert_eq!((receipt.refused[0].line, receipt.refused[0].code.as_str()), (13, "http-413"));
    let all: Vec<u64> = (0..20).filter(|n| *n != 13).collect();
    assert_eq!(confirmed(&server, status), all);
    // The next delivery doesn't begin with what is known to be too large.
    let before = server.received().len();
    sink.deliver(&[lines(12).as_bytes()]).unwrap();
    assert!(numbers(&server.received()[before]).len() <= 3);
    // Larger ones are tried again after a while: what was too large then need not be for ever.
    let before = server.received().len();
    sink.deliver(&[lines(12).repeat(3 * GROW_AFTER as usize).as_bytes()]).unwrap();
    assert!(server.received()[before..].iter().any(|request| numbers(request).len() > 3));
}

#[test]
fn bad_data_is_found_by_halves_and_the_rest_is_delivered_once() {
    let status = |numbers: &[u64]| if numbers.iter().any(|n| matches!(n, 3 | 11)) { 400 } else { 200 };
    let server = server(status);
    let mut sink = sink(&server, |_| {});
    // Two blocks: lines are counted across them.
    let text = lines(16);
    let cut = text.match_indices('\n').nth(6).unwrap().0 + 1;
    let receipt = sink.deliver(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]).unwrap();
    let refused: Vec<(usize, &str)> = receipt.refused.iter().map(|one| (one.line, one.code.as_str())).collect();
    assert_eq!(refused, [(3, "http-400"), (11, "http-400")]);
    assert!(receipt.refused[0].message.contains("because"), "{:?}", receipt.refused[0]);
    assert_eq!(confirmed(&server, status), (0..16).filter(|n| !matches!(n, 3 | 11)).collect::<Vec<_>>());
}

#[test]
fn a_service_that_refuses_everything_holds_delivery_up_and_makes_no_dead_letters() {
    let broken = Arc::new(AtomicUsize::new(1));
    let state = broken.clone();
    let server = StandIn::start(move |request, stream| {
        let bad = numbers(request).contains(&0);
        let status = if state.load(Ordering::SeqCst) == 1 || bad { 422 } else { 200 };
        reply(stream, status, &[], b"")
    });
    let mut sink = sink(&server, |config| config.max_refusals = Some(5));
    let text = lines(40);
    for _ in 0..3 {
        let error = sink.deliver(&[text.as_bytes()]).unwrap_err();
        assert_eq!(error.trouble, Trouble::Mend);
        assert!(error.message.contains("5 events in a row"), "{error}");
    }
    // Mended: what was refused meanwhile is delivered, but for the one that is bad indeed.
    broken.store(0, Ordering::SeqCst);
    let receipt = sink.deliver(&[text.as_bytes()]).unwrap();
    assert_eq!(receipt.refused.iter().map(|one| one.line).collect::<Vec<_>>(), [0]);

    // Fewer lines than the limit, one delivery after the other, don't get around it either.
    broken.store(1, Ordering::SeqCst);
    let few = lines(3);
    assert_eq!(sink.deliver(&[few.as_bytes()]).unwrap().refused.len(), 3);
    for _ in 0..3 {
        assert_eq!(sink.deliver(&[few.as_bytes()]).unwrap_err().trouble, Trouble::Mend);
    }
}

#[test]
fn what_is_given_up_says_how_far_it_came() {
    let server = server(|numbers| {
        if numbers.contains(&4) {
            500
        } else if numbers == [1] {
            400
        } else {
            200
        }
    });
    let mut sink = sink(&server, |config| config.batch_events = Some(1));
    sink.deliver(&[lines(8).as_bytes()]).unwrap_err();
    let given_up = sink.give_up();
    assert_eq!((given_up.settled, given_up.refused.len()), (4, 1));
    // What comes next begins anew.
    sink.deliver(&[b"{\"n\":9}\n"]).unwrap();
}

#[test]
fn redirects_are_not_followed() {
    let other = server(|_| 200);
    let location = format!("location: {}", other.url);
    let server = StandIn::start(move |_, stream| reply(stream, 307, &[&location], b""));
    let error = sink(&server, |_| {}).deliver(&[b"{\"n\":0}\n"]).unwrap_err();
    assert_eq!(error.trouble, Trouble::Mend);
    assert!(error.message.contains("redirects"), "{error}");
    assert!(other.received().is_empty());
}

#[test]
fn only_safe_addresses_are_taken() {
    for (url, expected) in [
        ("http://logs.example.com/in", "plain http"),
        ("http://10.0.0.1/in", "plain http"),
        ("https://anna:hunter2@logs.example.com/in", "Put them into `auth`"),
        ("https://logs.example.com/#x", "fragment"),
        ("ftp://logs.example.com/", "has to begin with https:"),
        ("logs.example.com", "no URL"),
    ] {
        let error = HttpSink::open(&config(url)).err().unwrap();
        assert!(error.message.contains(expected), "{url}: {error}");
        assert!(!error.message.contains("hunter2"));
        assert_eq!(error.trouble, Trouble::Configuration);
    }
    for url in ["https://logs.example.com/in", "http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/"] {
        assert!(HttpSink::open(&config(url)).is_ok(), "{url}");
    }
    let sink =
        HttpSink::open(&SinkConfig { allow_insecure: true, ..config("http://10.0.0.1/in?key=hunter2") }).unwrap();
    assert_eq!(sink.name(), "http:http://10.0.0.1/in");
}

#[test]
fn headers_that_are_not_ours_to_set_are_refused() {
    for name in ["Content-Length", "host", "Transfer-Encoding", "no good"] {
        let value = HeaderConfig { value: Some("x".to_owned()), ..HeaderConfig::default() };
        let config = SinkConfig { headers: [(name.to_owned(), value)].into(), ..config("https://logs.example.com") };
        let error = HttpSink::open(&config).err().unwrap();
        assert!(error.message.contains("`headers`"), "{error}");
    }
    let missing = SecretSource { env: Some("M365_NOT_SET_ANYWHERE".to_owned()), file: None };
    let auth = AuthConfig { bearer: Some(missing), ..AuthConfig::default() };
    let error = HttpSink::open(&SinkConfig { auth: Some(auth), ..config("https://logs.example.com") }).err().unwrap();
    assert!(error.message.contains("`auth.bearer.env`") && !error.message.contains("NOT_SET"), "{error}");
}

#[test]
fn a_request_that_hangs_ends_at_its_timeout_or_when_it_is_interrupted() {
    let server = StandIn::start(|_, _| {
        std::thread::sleep(Duration::from_secs(120));
        false
    });
    let start = Instant::now();
    let mut slow = sink(&server, |config| config.timeout_seconds = Some(1));
    let error = slow.deliver(&[b"{\"n\":0}\n"]).unwrap_err();
    assert_eq!(error.trouble, Trouble::Passing(None));
    assert!(start.elapsed() < Duration::from_secs(100));

    let mut sink = sink(&server, |_| {});
    let interrupt = sink.interrupter().unwrap();
    let start = Instant::now();
    let worker = std::thread::spawn(move || sink.deliver(&[b"{\"n\":0}\n"]).is_err());
    std::thread::sleep(Duration::from_millis(100));
    interrupt();
    assert!(worker.join().unwrap());
    assert!(start.elapsed() < Duration::from_secs(100));
}

#[test]
fn a_service_that_cuts_large_requests_gets_smaller_ones() {
    // Reads no body, as some proxies do with what is too large for them.
    let server = StandIn::start(|request, stream| request.body.len() < 100_000 && reply(stream, 200, &[], b""));
    let mut sink = sink(&server, |_| {});
    let text: String = (0..40).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(10_000))).collect();
    let mut attempts = 0;
    while sink.deliver(&[text.as_bytes()]).is_err() {
        attempts += 1;
        assert!(attempts < 40);
    }
}
