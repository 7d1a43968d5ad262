//! Whole exchanges with stand-ins on the loopback interface.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use ureq::config::Config as AgentConfig;
use ureq::http::Uri;
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::NextTimeout;

use super::*;
use crate::http::stand_in::{self, MINUTE, Received, StandIn, answer, failure, fetch, get, reply};
use crate::http::{Allow, Backoff, ProxyUrl, QuotaRule};
use crate::test_log::logged;

/// Gives out `old`, and after a renewal `new`.
#[derive(Default)]
struct TwoTokens {
    renewed: AtomicUsize,
    stubborn: bool,
}

impl TokenProvider for TwoTokens {
    fn token(&self, audience: &str) -> Result<Secret, Error> {
        let age = if self.renewed.load(Ordering::SeqCst) == 0 { "old" } else { "new" };
        Ok(Secret::new(format!("canary-{audience}-{age}")))
    }

    fn renew(&self, audience: &str, refused: &Secret) -> Result<Secret, Error> {
        if self.stubborn {
            return Ok(refused.clone());
        }
        self.renewed.fetch_add(1, Ordering::SeqCst);
        self.token(audience)
    }
}

fn config(server: &StandIn) -> Config {
    Config { tokens: Arc::new(TwoTokens::default()), ..stand_in::config(server) }
}

fn client(server: &StandIn) -> Client {
    Client::new(config(server)).unwrap()
}

fn ok(_: &Received, stream: &mut TcpStream) -> bool {
    reply(stream, 200, &[], b"[]")
}

#[test]
fn each_audience_gets_its_own_token_and_nobody_else_does() {
    let server = StandIn::start(ok);
    let client = client(&server);
    for (audience, expected) in
        [(Some("api"), Some("Bearer canary-api-old")), (Some("other"), Some("Bearer canary-other-old")), (None, None)]
    {
        fetch(&client, get(&server, audience)).unwrap();
        assert_eq!(server.received().last().unwrap().header("authorization"), expected);
    }
    let elsewhere = Request::get("https://elsewhere.example.com/", Some("api"), "q");
    assert_eq!(fetch(&client, elsewhere).unwrap_err().kind, ErrorKind::DeniedByHost);
    assert_eq!(server.received().len(), 3);
}

#[test]
fn a_request_arrives_as_it_was_made() {
    let server = StandIn::start(ok);
    let request = Request {
        method: Method::Post,
        headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        body: Some(b"hello".to_vec()),
        ..get(&server, None)
    };
    fetch(&client(&server), request).unwrap();
    fetch(&client(&server), Request { method: Method::Post, ..get(&server, None) }).unwrap();
    fetch(&client(&server), get(&server, None)).unwrap();
    let [full, empty, get] = &server.received()[..] else { panic!("three requests") };
    assert_eq!((full.method.as_str(), full.target.as_str(), &full.body[..]), ("POST", "/a?b=c", &b"hello"[..]));
    assert_eq!(full.header("content-type"), Some("text/plain"));
    assert_eq!(full.header("accept-encoding"), Some("gzip"));
    assert!(full.header("user-agent").unwrap().starts_with("m365-pipe/"));
    assert_eq!(empty.header("content-length"), Some("0"));
    assert_eq!(
        (get.method.as_str(), get.header("content-length"), get.header("transfer-encoding")),
        ("GET", None, None)
    );
}

#[test]
fn answers_show_no_credentials() {
    let server = StandIn::start(|_, stream| {
        let headers = [
            "X-Request-Id: 7",
            "Set-Cookie: a=b",
            "X-Echo: Bearer canary-api-old",
            "Authorization: x",
            "X-Request-Id: 8",
        ];
        reply(stream, 200, &headers, b"")
    });
    let response = client(&server).send(get(&server, Some("api")), &Cancel::new()).unwrap();
    let names: Vec<_> = response.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(names, ["content-length=0", "x-request-id=7", "x-request-id=8"]);
    assert_eq!(response.header("x-request-id"), Some("7"));
}

#[test]
fn connections_are_used_again() {
    let server = StandIn::start(ok);
    let client = client(&server);
    for _ in 0..5 {
        fetch(&client.clone(), get(&server, None)).unwrap();
    }
    assert!(server.received().iter().all(|received| received.connection == 0));
}

#[test]
fn a_connection_that_the_service_closed_is_not_used() {
    let server = StandIn::fixed(answer(200, &[], b"[]"));
    let client = client(&server);
    for _ in 0..3 {
        fetch(&client, get(&server, None)).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.received().last().unwrap().connection, 2);
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let target = StandIn::start(ok);
    let location = format!("location: {}/secret", target.url);
    let server = StandIn::start(move |_, stream| reply(stream, 302, &[&location], b"moved"));
    let mut config = config(&server);
    config.allow.push(Allow { audience: None, root: target.url.parse().unwrap() });
    let client = Client::new(config).unwrap();
    assert_eq!(fetch(&client, get(&server, None)).unwrap(), (302, b"moved".to_vec()));
    assert_eq!((server.received().len(), target.received().len()), (1, 0));
}

fn picky(request: &Received, stream: &mut TcpStream) -> bool {
    let fresh = request.header("authorization") == Some("Bearer canary-api-new");
    reply(stream, if fresh { 200 } else { 401 }, &[], b"{}")
}

#[test]
fn a_refused_token_is_renewed_once_and_the_request_repeated_once() {
    let server = StandIn::start(picky);
    let client = client(&server);
    assert_eq!(fetch(&client, get(&server, Some("api"))).unwrap().0, 200);
    assert_eq!(server.received().len(), 2);
    assert_eq!(client.stats().refused_tokens, 1);
    assert_eq!(client.stats().quotas["q"].granted, 2, "the repetition counts against the quota");
    // A token that comes back unchanged from its renewal is not sent again.
    assert_eq!(fetch(&client, get(&server, Some("other"))).unwrap(), (401, b"{}".to_vec()));
    assert_eq!(server.received().len(), 3);
    assert!(server.received()[2].header("authorization").unwrap().contains("other"));
}

#[test]
fn without_a_better_token_a_401_is_the_answer() {
    let server = StandIn::start(picky);
    let mut config = config(&server);
    config.tokens = Arc::new(TwoTokens { stubborn: true, ..TwoTokens::default() });
    assert_eq!(fetch(&Client::new(config).unwrap(), get(&server, Some("api"))).unwrap(), (401, b"{}".to_vec()));
    assert_eq!(server.received().len(), 1);
    // Without an audience there is no token to renew.
    assert_eq!(fetch(&client(&server), get(&server, None)).unwrap().0, 401);
    assert_eq!(server.received().len(), 2);
}

/// Gives out a new token at each renewal.
#[derive(Default)]
struct ManyTokens(AtomicUsize);

impl TokenProvider for ManyTokens {
    fn token(&self, _: &str) -> Result<Secret, Error> {
        Ok(Secret::new(format!("number-{}", self.0.load(Ordering::SeqCst))))
    }

    fn renew(&self, audience: &str, _: &Secret) -> Result<Secret, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.token(audience)
    }
}

#[test]
fn tokens_that_have_not_got_around_yet_are_no_answer() {
    for (good, expected) in [("Bearer number-1", 200), ("Bearer number-2", 200), ("Bearer number-3", 401)] {
        let server = StandIn::start(move |request, stream| {
            reply(stream, if request.header("authorization") == Some(good) { 200 } else { 401 }, &[], b"")
        });
        let client = Client::new(Config { tokens: Arc::new(ManyTokens::default()), ..config(&server) }).unwrap();
        assert_eq!(fetch(&client, get(&server, Some("api"))).unwrap().0, expected, "{good}");
        let mut sent: Vec<_> =
            server.received().iter().map(|received| received.header("authorization").map(str::to_owned)).collect();
        let tries = sent.len();
        sent.dedup();
        assert_eq!(sent.len(), tries, "no token is sent again that was refused");
        assert!(tries <= 3);
    }
}

#[test]
fn a_403_without_a_word_is_asked_again_with_a_new_token() {
    let server = once(403, &[]);
    assert_eq!(fetch(&client(&server), get(&server, Some("api"))).unwrap().0, 200);
    let tokens: Vec<_> =
        server.received().iter().map(|received| received.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens, ["Bearer canary-api-old", "Bearer canary-api-new"].map(|token| Some(token.to_owned())));
    // One that says something is an answer, whole.
    let server = StandIn::start(|_, stream| reply(stream, 403, &[], b"{\"error\":{}}"));
    let mut response = client(&server).send(get(&server, Some("api")), &Cancel::new()).unwrap();
    assert_eq!(response.read(4).unwrap(), b"{\"er");
    assert_eq!(response.read_all(100).unwrap(), b"ror\":{}}");
    assert_eq!(server.received().len(), 1);
    // And one that stays without a word is one in the end, also with a token that nothing else was said against.
    let server = StandIn::start(|_, stream| reply(stream, 403, &[], b""));
    assert_eq!(fetch(&client(&server), get(&server, Some("api"))).unwrap(), (403, Vec::new()));
    assert_eq!(server.received().len(), 3);
}

#[test]
fn a_refused_start_leaves_the_quota_open() {
    let server = once(429, &["retry-after: 600"]);
    let client = client(&server);
    let start = Request { method: Method::Post, apart: true, ..get(&server, None) };
    let mut response = client.send(start, &Cancel::new()).unwrap();
    assert_eq!((response.status, response.retry_after), (429, Some(Duration::from_secs(600))));
    response.read_all(100).unwrap();
    assert_eq!(fetch(&client, get(&server, None)).unwrap().0, 200);
}

#[test]
fn what_answers_claim_of_times_is_bounded_in_their_headers_too() {
    let day = Duration::from_secs(24 * 60 * 60);
    let server = StandIn::start(move |request, stream| {
        let now = std::time::SystemTime::now();
        let (date, wait) = match request.target.as_str() {
            "/ahead" => (httpdate::fmt_http_date(now + day), "31536000"),
            "/junk" => ("Mon, 30 Nov 2026 22:00:00 +0100".to_owned(), "soon"),
            _ => (httpdate::fmt_http_date(now), "0.249"),
        };
        let headers =
            [format!("date: {date}"), format!("retry-after: {wait}"), "content-type: application/json".to_owned()];
        reply(stream, 200, &headers.each_ref().map(String::as_str), b"[]")
    });
    let client = client(&server);
    let header = |path: &str, name: &str| {
        let request = Request { url: format!("{}{path}", server.url), ..get(&server, None) };
        client.send(request, &Cancel::new()).unwrap().header(name).map(str::to_owned)
    };
    let off = |text: Option<String>| {
        let date = httpdate::parse_http_date(&text.unwrap()).unwrap();
        let now = std::time::SystemTime::now();
        now.duration_since(date).unwrap_or_else(|error| error.duration())
    };
    assert!(off(header("/ahead", "date")) < day / 24);
    assert_eq!(header("/ahead", "retry-after").as_deref(), Some("3600"));
    assert_eq!((header("/junk", "date"), header("/junk", "retry-after")), (None, None));
    assert!(off(header("/a", "date")) < day / 24);
    assert_eq!(header("/a", "retry-after").as_deref(), Some("1"));
}

/// A server that answers the first request with `status` and headers, and every other with 200.
fn once(status: u16, headers: &'static [&'static str]) -> StandIn {
    let first = AtomicUsize::new(0);
    StandIn::start(move |_, stream| match first.fetch_add(1, Ordering::SeqCst) {
        0 => reply(stream, status, headers, b""),
        _ => reply(stream, 200, &[], b""),
    })
}

#[test]
fn retry_after_closes_the_quota_for_everyone() {
    for status in [429, 503] {
        let server = once(status, &["retry-after: 1"]);
        let client = client(&server);
        let start = Instant::now();
        let mut response = client.send(get(&server, None), &Cancel::new()).unwrap();
        assert_eq!((response.status, response.retry_after), (status, Some(Duration::from_secs(1))));
        response.read_all(100).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    assert_eq!(fetch(&client, get(&server, None)).unwrap().0, 200);
                    assert!(start.elapsed() >= Duration::from_secs(1));
                });
            }
        });
        let stats = client.stats().quotas.remove("q").unwrap();
        assert_eq!((stats.granted, stats.penalties), (5, 1));
        // On a busy machine a thread may begin when the time is over.
        assert!(stats.waits <= 4);
    }
}

#[test]
fn a_429_without_a_time_and_a_callers_word_slow_the_quota_too() {
    let server = once(429, &[]);
    let mut config = config(&server);
    config.backoff = Backoff { base: Duration::from_millis(300), ..Backoff::default() };
    let client = Client::new(config).unwrap();
    let start = Instant::now();
    fetch(&client, get(&server, None)).unwrap();
    fetch(&client, get(&server, None)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(250));
    let start = Instant::now();
    client.penalize("q", Some(Duration::from_millis(400)));
    fetch(&client, get(&server, None)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(350));
    assert!(client.penalize("q", Some(MINUTE)) > MINUTE / 2);
    assert!(client.stats().quotas["q"].closed_for > MINUTE / 2);
}

#[test]
fn a_long_closure_is_told_and_not_sat_out() {
    let server = once(429, &["retry-after: 600"]);
    let client = client(&server);
    fetch(&client, get(&server, None)).unwrap();
    let error = fetch(&client, get(&server, None)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert!(error.retry_after.unwrap() > Duration::from_secs(500));
    assert_eq!(server.received().len(), 1);
}

#[test]
fn a_503_without_a_time_leaves_the_quota_open() {
    let server = once(503, &[]);
    let client = client(&server);
    assert_eq!(fetch(&client, get(&server, None)).unwrap().0, 503);
    assert_eq!(fetch(&client, get(&server, None)).unwrap().0, 200);
    assert_eq!(client.stats().quotas["q"].waits, 0);
}

#[test]
fn every_denial_is_counted_by_its_reason_and_nothing_is_sent() {
    let server = StandIn::start(ok);
    let client = client(&server);
    let with_header =
        |name: &str, value: &str| Request { headers: vec![(name.to_owned(), value.to_owned())], ..get(&server, None) };
    let cases = [
        (Request::get("nonsense", None, "q"), DenyReason::MalformedUrl),
        (Request::get("https://api.example.com/\n", None, "q"), DenyReason::ControlCharacter),
        (Request::get(server.url.replace("//", "//user@"), None, "q"), DenyReason::UserInfo),
        (Request::get(format!("{}/#a", server.url), None, "q"), DenyReason::Fragment),
        (Request::get("http://api.example.com/", None, "q"), DenyReason::Scheme),
        (Request::get("http://127.0.0.1:9/", None, "q"), DenyReason::IpLiteral),
        (get(&server, Some("nobody")), DenyReason::UnknownAudience),
        (Request::get("https://api.example.com/", None, "q"), DenyReason::OriginNotAllowed),
        (with_header("authorization", "x"), DenyReason::ReservedHeader),
        (with_header("accept", "x\r\ny: z"), DenyReason::InvalidHeader),
        (Request { body: Some(vec![1]), ..get(&server, None) }, DenyReason::UnexpectedBody),
        (Request { quota: "none".to_owned(), ..get(&server, None) }, DenyReason::UnknownQuota),
    ];
    let ((), log) = logged(|| {
        for (request, reason) in cases.clone() {
            let error = fetch(&client, request).unwrap_err();
            assert_eq!((error.kind, error.code.as_str()), (ErrorKind::DeniedByHost, reason.as_str()));
        }
    });
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("m365_pipe")).collect();
    assert_eq!(lines.len(), cases.len(), "one line each: {log}");
    assert!(
        lines.iter().zip(&cases).all(|(line, (_, reason))| line.contains("WARN") && line.contains(reason.as_str()))
    );
    let stats = client.stats();
    assert_eq!(stats.denials, cases.iter().map(|(_, reason)| (*reason, 1)).collect());
    assert_eq!((stats.requests, stats.failures.len(), server.received().len()), (0, 0, 0));
}

/// Knows every name at one address.
#[derive(Debug)]
struct Names(std::net::SocketAddr);

impl Resolver for Names {
    fn resolve(&self, _: &Uri, _: &AgentConfig, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

#[test]
fn an_allowed_name_that_leads_inside_is_denied() {
    for address in ["169.254.169.254:443", "127.0.0.1:443", "10.0.0.1:443", "[::1]:443", "[::ffff:10.0.0.1]:443"] {
        let mut config = Config::new(Transport::default());
        config.allow = vec![Allow { audience: None, root: "https://api.example.com".parse().unwrap() }];
        config.quotas = vec![QuotaRule { name: "q".to_owned(), requests: 9, per: MINUTE }];
        let client = Client::with_names(config, Names(address.parse().unwrap())).unwrap();
        let error = fetch(&client, Request::get("https://api.example.com/", None, "q")).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::DeniedByHost, "address-not-allowed"), "{address}");
        assert_eq!(client.stats().denials, BTreeMap::from([(DenyReason::AddressNotAllowed, 1)]));
        assert!(client.stats().failures.is_empty());
    }
}

#[test]
fn a_configured_proxy_is_used_but_not_for_loopback() {
    let proxy = StandIn::start(|_, stream| reply(stream, 403, &[], b"no"));
    let server = StandIn::start(ok);
    let mut config = config(&server);
    config.allow.push(Allow { audience: None, root: "https://api.example.com".parse().unwrap() });
    config.transport.proxy = Some(ProxyUrl::parse(&proxy.url.replace("//", "//me:canary%2Dpassword@")).unwrap());
    let client = Client::new(config).unwrap();
    fetch(&client, get(&server, None)).unwrap();
    assert!(proxy.received().is_empty());
    let error = fetch(&client, Request::get("https://api.example.com/", None, "q")).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "proxy"), "{error}");
    let connect = proxy.received().remove(0);
    assert_eq!((connect.method.as_str(), connect.target.as_str()), ("CONNECT", "api.example.com:443"));
    assert!(connect.header("proxy-authorization").unwrap().starts_with("Basic "));
    assert!(!format!("{error:?}").contains("canary"));
    // The proxy by its name, and what it said by its status.
    assert!(error.message.contains(&proxy.url) && error.message.contains("status 403"), "{error}");
}

#[test]
fn tls_is_not_skipped_and_its_failure_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let plain = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Holds the connection until the client gave it up, and shows what came.
        let mut came = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut came);
        came
    });
    let mut config = config(&StandIn::start(ok));
    config.allow = vec![Allow { audience: Some("api".to_owned()), root: url.parse().unwrap() }];
    let error = fetch(&Client::new(config).unwrap(), Request::get(url, Some("api"), "q")).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "tls"), "{error:?}");
    let came = plain.join().unwrap();
    assert!(!came.windows(6).any(|bytes| bytes == b"canary"));
}

#[test]
fn bad_certificate_files_are_told() {
    let server = StandIn::start(ok);
    let folder = std::env::temp_dir().join(format!("m365-pipe-ca-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let empty = folder.join("empty.pem");
    std::fs::write(&empty, "nothing here").unwrap();
    for path in [empty, folder.join("missing.pem")] {
        let mut config = config(&server);
        config.transport.ca_file = Some(path.clone());
        let error = Client::new(config).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        assert!(error.message.contains(&path.display().to_string()));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn nobody_at_the_port_is_unavailable() {
    // A port that was just free, and that nobody listens at.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = StandIn::start(ok);
    let mut config = config(&server);
    let url = format!("http://127.0.0.1:{port}");
    config.allow.push(Allow { audience: None, root: url.parse().unwrap() });
    let error = fetch(&Client::new(config).unwrap(), Request::get(url, None, "q")).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "refused"));
}

#[test]
fn the_services_clock_is_measured() {
    let server = StandIn::start(|_, stream| {
        let ahead = std::time::SystemTime::now() + Duration::from_secs(3600);
        let date = format!("date: {}", httpdate::fmt_http_date(ahead));
        reply(stream, 200, &[&date, "content-type: application/json"], b"")
    });
    let client = client(&server);
    for _ in 0..3 {
        fetch(&client, get(&server, None)).unwrap();
        assert_eq!(client.clock_ahead_ms(None), 0, "until enough answers agree");
        assert!(client.clock_in_doubt(None));
    }
    fetch(&client, get(&server, None)).unwrap();
    // An answer may take its time on a busy machine.
    assert!((3_000_000..4_200_000).contains(&client.clock_ahead_ms(None)), "{}", client.clock_ahead_ms(None));
    assert!(!client.clock_in_doubt(None));
    assert_eq!(client.stats().answers, BTreeMap::from([(2, 4)]));
}

#[test]
fn requests_and_errors_print_nothing_secret() {
    let server = StandIn::start(ok);
    let request = Request {
        method: Method::Post,
        url: format!("{}/a?canary", server.url),
        headers: vec![("x-key".to_owned(), "canary".to_owned())],
        body: Some(b"canary".to_vec()),
        ..get(&server, Some("api"))
    };
    let response = client(&server).send(request.clone(), &Cancel::new()).unwrap();
    assert!(!format!("{request:?} {response:?}").contains("canary"));
    // A service that echoes the token where the protocol breaks.
    for echo in ["HTTP/1.1 canary\r\n\r\n", "HTTP/1.1 200 OK\r\nbad header canary\r\n\r\n", "canary\r\n\r\n"] {
        assert!(!format!("{:?}", failure(echo)).contains("canary"), "{echo}");
    }
}
