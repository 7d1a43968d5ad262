//! Tokens over simulated time, from a stand-in of the login host.

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::entra::{Cloud, GRAPH, OFFICE365_MANAGEMENT};
use crate::http::stand_in::{Received, StandIn, reply};
use crate::http::{Allow, Client, Config, QuotaRule, Request};
use crate::test_log::logged;

const SECRET: &str = "canary-secret~&=+ä";
const CLIENT: &str = "3d5f7a9b-1c2e-4d6f-8a0b-2c4d6e8f0a1b";

fn secret() -> Secret {
    Secret::new(SECRET.to_owned())
}

/// A clock that goes only when told, or when somebody waits.
struct Manual {
    start: Instant,
    passed: Mutex<Duration>,
}

impl Manual {
    fn pass(&self, time: Duration) {
        *lock(&self.passed) += time;
    }

    fn minutes(&self, minutes: u64) {
        self.pass(Duration::from_secs(60 * minutes));
    }
}

impl Clock for Manual {
    fn now(&self) -> Instant {
        self.start + *lock(&self.passed)
    }

    fn wait(&self, time: Duration, cancel: &Cancel) -> Result<(), Error> {
        self.pass(time);
        cancel.check()
    }
}

struct Scene {
    source: TokenSource,
    clock: Arc<Manual>,
    server: StandIn,
}

impl Scene {
    fn new(handler: impl Fn(usize, &Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let count = AtomicUsize::new(0);
        let server =
            StandIn::start(move |request, stream| handler(count.fetch_add(1, Ordering::SeqCst), request, stream));
        let clock = Arc::new(Manual { start: Instant::now(), passed: Mutex::default() });
        let mut endpoints = Endpoints::new(Cloud::Global);
        endpoints.login = server.url.parse().unwrap();
        let credentials = Credentials::ClientSecret { client_id: CLIENT.to_owned(), secret: Arc::new(|| Ok(secret())) };
        let source = TokenSource::with_clock(
            "contoso.onmicrosoft.com".parse().unwrap(),
            &endpoints,
            credentials,
            Transport::default(),
            Cancel::new(),
            Arc::clone(&clock) as Arc<dyn Clock>,
        )
        .unwrap();
        Self { source, clock, server }
    }

    /// A login host that always issues tokens, numbered, with a life of an hour.
    fn issuing() -> Self {
        Self::new(|count, _, stream| issue(stream, count, "3600"))
    }

    fn token(&self) -> Result<String, Error> {
        self.source.token(GRAPH).map(|token| token.expose().to_owned())
    }

    fn asked(&self) -> usize {
        self.server.received().len()
    }
}

fn issue(stream: &mut TcpStream, count: usize, expires_in: &str) -> bool {
    let body = format!(r#"{{"token_type":"Bearer","expires_in":{expires_in},"access_token":"canary-token-{count}"}}"#);
    reply(stream, 200, &[], body.as_bytes())
}

fn refuse(stream: &mut TcpStream, status: u16, code: u32) -> bool {
    let body =
        format!(r#"{{"error":"invalid_client","error_codes":[{code}],"error_description":"AADSTS{code}: {SECRET}"}}"#);
    reply(stream, status, &[], body.as_bytes())
}

#[test]
fn the_request_is_the_client_credentials_grant() {
    let scene = Scene::issuing();
    scene.source.token(OFFICE365_MANAGEMENT).unwrap();
    scene.source.token(GRAPH).unwrap();
    let [management, graph] = &scene.server.received()[..] else { panic!("two requests") };
    assert_eq!(
        (management.method.as_str(), management.target.as_str()),
        ("POST", "/contoso.onmicrosoft.com/oauth2/v2.0/token")
    );
    assert_eq!(management.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(management.header("authorization"), None);
    let form = |request: &Received| -> HashMap<String, String> {
        url::form_urlencoded::parse(&request.body).into_owned().collect()
    };
    let expected = |scope: &str| {
        HashMap::from(
            [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", SECRET), ("scope", scope)]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
    };
    assert_eq!(form(management), expected("https://manage.office.com/.default"));
    assert_eq!(form(graph), expected("https://graph.microsoft.com/.default"));
}

#[test]
fn a_token_is_kept_until_three_quarters_of_its_life() {
    let scene = Scene::issuing();
    for _ in 0..3 {
        assert_eq!(scene.token().unwrap(), "canary-token-0");
    }
    scene.clock.minutes(44);
    assert_eq!((scene.token().unwrap().as_str(), scene.asked()), ("canary-token-0", 1));
    scene.clock.minutes(1);
    assert_eq!((scene.token().unwrap().as_str(), scene.asked()), ("canary-token-1", 2));
    scene.clock.minutes(120);
    assert_eq!((scene.token().unwrap().as_str(), scene.asked()), ("canary-token-2", 3));
}

#[test]
fn short_lives_are_renewed_five_minutes_before_their_end_or_at_three_quarters() {
    let now = Instant::now();
    for (life_s, renew_s, until_s) in
        [(3600, 2700, 3570), (900, 600, 870), (720, 420, 690), (300, 225, 270), (60, 45, 54)]
    {
        let token = Token::new(Secret::new(String::new()), now, Duration::from_secs(life_s));
        assert_eq!(((token.renew_at - now).as_secs(), (token.until - now).as_secs()), (renew_s, until_s), "{life_s}");
    }
}

#[test]
fn a_lifetime_is_a_claim() {
    for (text, life_s) in [
        ("3599", 3599),
        ("\"3599\"", 3599),
        ("\" 3599 \"", 3599),
        ("3599.5", 3599),
        // Nothing that can be believed: the token is good all the same.
        ("0", 300),
        ("\"soon\"", 300),
        ("-1", 300),
        ("null", 300),
        ("[1]", 300),
        ("1", 60),
        ("99999999999999", 24 * 3600),
        ("18446744073709551616", 24 * 3600),
        ("\"99999999999999999999\"", 24 * 3600),
        ("1e400", 24 * 3600),
    ] {
        let scene = Scene::new(move |count, _, stream| issue(stream, count, text));
        assert_eq!(scene.token().unwrap(), "canary-token-0", "{text}");
        let kept = lock(&scene.source.audiences[GRAPH].kept).token.clone().unwrap();
        let life = (kept.until - kept.obtained).as_secs_f64();
        let margin = (life_s as f64 / 10.0).min(30.0);
        assert!((life + margin - f64::from(life_s)).abs() <= 1.0, "{text}: {life}");
    }
}

#[test]
fn an_answer_without_a_token_is_told_without_its_content() {
    for body in
        [r#"{"expires_in":3599,"access_token":""}"#, r#"{"expires_in":3599}"#, r#"["canary"]"#, r#"{"access_token":5}"#]
    {
        let scene = Scene::new(move |_, _, stream| reply(stream, 200, &[], body.as_bytes()));
        let error = scene.token().unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, "token-answer"));
        assert!(!error.message.contains("canary"));
    }
}

#[test]
fn a_secret_that_was_exchanged_is_taken_up() {
    let mut scene = Scene::new(|count, request, stream| {
        let new = String::from_utf8_lossy(&request.body).contains("canary-new");
        if new { issue(stream, count, "3600") } else { refuse(stream, 401, 7000222) }
    });
    let kept = Arc::new(Mutex::new(Some("canary-old")));
    let (reads, read) = (Arc::clone(&kept), Error::new(ErrorKind::InvalidConfig, "secret", "The file can't be read."));
    let read: ReadSecret = Arc::new(move || lock(&reads).map(|text| Secret::new(text.to_owned())).ok_or(read.clone()));
    scene.source.credentials = Credentials::ClientSecret { client_id: CLIENT.to_owned(), secret: read };
    assert_eq!(scene.token().unwrap_err().code, "AADSTS7000222");
    *lock(&kept) = Some("canary-new");
    scene.clock.pass(Duration::from_secs(61));
    assert_eq!(scene.token().unwrap(), "canary-token-1");
    // While it is being exchanged the file may be gone.
    *lock(&kept) = None;
    scene.clock.minutes(120);
    assert_eq!(scene.token().unwrap(), "canary-token-2");
}

#[test]
fn a_login_host_that_contradicts_the_clock_is_asked_again_at_once() {
    let dated = |offset_s: fn(usize) -> i64| {
        Scene::new(move |count, _, stream| {
            let offset = offset_s(count);
            let now = std::time::SystemTime::now();
            let distance = Duration::from_secs(offset.unsigned_abs());
            let date = httpdate::fmt_http_date(if offset < 0 { now - distance } else { now + distance });
            let body = format!(r#"{{"expires_in":3600,"access_token":"canary-token-{count}"}}"#);
            let headers = [format!("date: {date}"), "content-type: application/json".to_owned()];
            reply(stream, 200, &headers.each_ref().map(String::as_str), body.as_bytes())
        })
    };
    // One wrong answer, whichever way: this machine is right.
    for once in [|count| if count == 0 { 86_400 } else { 0 }, |count| if count == 0 { -72_000 } else { 0 }] {
        let scene = dated(once);
        scene.token().unwrap();
        assert_eq!((scene.asked(), scene.source.clock_ahead_ms()), (3, 0));
    }
    // All alike: this machine is wrong.
    let scene = dated(|_| -3 * 3600);
    scene.token().unwrap();
    assert_eq!(scene.asked(), 4);
    assert!((-11_400_000..-10_200_000).contains(&scene.source.clock_ahead_ms()));
    // No two alike: it isn't asked for ever.
    let scene = dated(|count| 86_400 * (1 + count as i64));
    scene.token().unwrap();
    assert_eq!((scene.asked(), scene.source.clock_ahead_ms()), (5, 0));
}

#[test]
fn a_refusal_for_one_api_says_that_the_secret_is_good() {
    let scene = Scene::new(|count, request, stream| {
        if String::from_utf8_lossy(&request.body).contains("graph") {
            refuse(stream, 400, 500011)
        } else {
            issue(stream, count, "3600")
        }
    });
    let alone = scene.token().unwrap_err().message;
    assert!(alone.contains("https://graph.microsoft.com") && alone.contains("cloud global"), "{alone}");
    assert!(!alone.contains("secret"), "{alone}");
    scene.source.token(OFFICE365_MANAGEMENT).unwrap();
    scene.clock.minutes(2);
    let beside = scene.token().unwrap_err().message;
    assert!(beside.contains("is taken for office365-management"), "{beside}");
}

#[test]
fn many_threads_are_one_request() {
    let scene = Scene::new(|count, _, stream| {
        std::thread::sleep(Duration::from_millis(100));
        issue(stream, count, "3600")
    });
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(scene.token().unwrap(), "canary-token-0"));
        }
    });
    assert_eq!(scene.asked(), 1);
}

#[test]
fn while_one_renews_the_others_go_on_with_the_old_token() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let scene = Scene::new(move |count, _, stream| {
        if count == 1 {
            let _ = lock(&wait).recv();
        }
        issue(stream, count, "3600")
    });
    scene.token().unwrap();
    scene.clock.minutes(50);
    std::thread::scope(|scope| {
        let renewing = scope.spawn(|| scene.token().unwrap());
        while scene.asked() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..3 {
            assert_eq!(scene.token().unwrap(), "canary-token-0");
        }
        go.send(()).unwrap();
        assert_eq!(renewing.join().unwrap(), "canary-token-1");
    });
    assert_eq!((scene.token().unwrap().as_str(), scene.asked()), ("canary-token-1", 2));
}

#[test]
fn a_permanent_refusal_is_asked_once_and_remembered_a_while() {
    let scene = Scene::new(
        |count, _, stream| if count < 2 { refuse(stream, 401, 7000215) } else { issue(stream, count, "3600") },
    );
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let error = scene.token().unwrap_err();
                assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unauthenticated, "AADSTS7000215"));
                assert!(error.message.contains(CLIENT) && error.message.contains("contoso.onmicrosoft.com"));
                assert!(!error.message.contains("canary"));
            });
        }
    });
    assert_eq!(scene.asked(), 1);
    scene.clock.pass(Duration::from_secs(61));
    assert!(scene.token().is_err());
    assert_eq!(scene.asked(), 2);
    // The operator mended it and presses the button.
    scene.source.forget();
    assert_eq!(scene.token().unwrap(), "canary-token-2");
}

#[test]
fn one_audience_does_not_suffer_from_the_others_refusal() {
    let scene = Scene::new(|count, request, stream| {
        if String::from_utf8_lossy(&request.body).contains("graph") {
            refuse(stream, 400, 500011)
        } else {
            issue(stream, count, "3600")
        }
    });
    assert!(scene.token().is_err());
    assert!(scene.source.token(OFFICE365_MANAGEMENT).is_ok());
    assert_eq!(scene.source.token("mail").unwrap_err().kind, ErrorKind::InvalidConfig);
}

#[test]
fn transient_faults_are_tried_again() {
    let scene = Scene::new(|count, _, stream| match count {
        0 => refuse(stream, 400, 90033),
        1 => reply(stream, 503, &[], b"<html>"),
        2 => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{");
            false
        }
        _ => issue(stream, count, "3600"),
    });
    assert_eq!(scene.token().unwrap(), "canary-token-3");
    let waited = scene.clock.now() - scene.clock.start;
    assert!(waited >= Duration::from_secs(1 + 2 + 4) && waited <= Duration::from_secs(11), "{waited:?}");
}

#[test]
fn transient_faults_are_not_tried_for_ever() {
    let scene = Scene::new(|_, _, stream| refuse(stream, 400, 50000));
    assert_eq!(scene.token().unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(scene.asked(), 4);
    assert!(scene.token().is_err());
    assert_eq!(scene.asked(), 4, "remembered");
    scene.clock.pass(Duration::from_secs(16));
    assert!(scene.token().is_err());
    assert_eq!(scene.asked(), 8);
}

#[test]
fn a_throttled_tenant_comes_back_when_told() {
    let scene = Scene::new(|count, _, stream| match count {
        0 => reply(
            stream,
            429,
            &["retry-after: 300"],
            br#"{"error":"temporarily_unavailable_not","error_codes":[90055]}"#,
        ),
        _ => issue(stream, count, "3600"),
    });
    let error = scene.token().unwrap_err();
    assert_eq!(
        (error.kind, error.code.as_str(), error.retry_after),
        (ErrorKind::RateLimited, "AADSTS90055", Some(Duration::from_secs(300)))
    );
    scene.clock.pass(Duration::from_secs(299));
    assert_eq!(scene.token().unwrap_err().retry_after, Some(Duration::from_secs(1)));
    assert_eq!(scene.asked(), 1);
}

#[test]
fn after_a_loop_nothing_is_asked_for_ten_minutes() {
    let scene = Scene::new(
        |count, _, stream| if count == 0 { refuse(stream, 400, 50196) } else { issue(stream, count, "3600") },
    );
    assert_eq!(scene.token().unwrap_err().code, "AADSTS50196");
    scene.clock.minutes(9);
    assert!(scene.token().is_err());
    assert_eq!(scene.asked(), 1);
    scene.clock.minutes(1);
    assert_eq!(scene.token().unwrap(), "canary-token-1");
}

#[test]
fn a_failed_renewal_keeps_the_old_token_to_its_end() {
    let scene =
        Scene::new(|count, _, stream| if count == 0 { issue(stream, 0, "3600") } else { refuse(stream, 401, 7000222) });
    scene.token().unwrap();
    scene.clock.minutes(50);
    for _ in 0..5 {
        assert_eq!(scene.token().unwrap(), "canary-token-0");
    }
    assert_eq!(scene.asked(), 2, "not asked at every call");
    scene.clock.minutes(10);
    assert_eq!(scene.token().unwrap_err().code, "AADSTS7000222");
}

#[test]
fn a_refused_token_is_renewed_once_for_everyone_and_not_again_at_once() {
    let scene = Scene::issuing();
    let first = scene.source.token(GRAPH).unwrap();
    scene.clock.minutes(2);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(scene.source.renew(GRAPH, &first).unwrap().expose(), "canary-token-1"));
        }
    });
    assert_eq!(scene.asked(), 2);
    // A young one is renewed as well, but not one after the other.
    let second = scene.source.token(GRAPH).unwrap();
    let mut last = second.clone();
    for _ in 0..10 {
        last = scene.source.renew(GRAPH, &last).unwrap();
    }
    assert_eq!((last.expose(), scene.asked()), ("canary-token-4", 5), "three in a minute");
    scene.clock.minutes(2);
    assert_eq!(scene.source.renew(GRAPH, &first).unwrap(), last, "somebody had renewed it already");
    assert_eq!(scene.asked(), 5);
}

#[test]
fn a_client_sends_these_tokens_and_has_them_renewed() {
    let Scene { source, clock, server: login } = Scene::issuing();
    let api = StandIn::start(|request, stream| {
        let status = if request.header("authorization") == Some("Bearer canary-token-1") { 200 } else { 401 };
        reply(stream, status, &[], b"")
    });
    let mut config = Config::new(Transport::default());
    config.allow = vec![Allow { audience: Some(GRAPH.to_owned()), root: api.url.parse().unwrap() }];
    config.quotas = vec![QuotaRule { name: "q".to_owned(), requests: 99, per: Duration::from_secs(1) }];
    config.tokens = Arc::new(source);
    let client = Client::new(config).unwrap();
    let status = || client.send(Request::get(api.url.clone(), Some(GRAPH), "q"), &Cancel::new()).unwrap().status;
    // Young as it is, it is renewed, and the next one is good.
    assert!(!client.refusal_may_pass(Some(GRAPH)), "nothing was refused yet");
    assert_eq!((status(), login.received().len(), api.received().len()), (200, 2, 2));
    assert!(client.refusal_may_pass(Some(GRAPH)), "one was refused, and one taken");
    assert!(!client.refusal_may_pass(Some("other")) && !client.refusal_may_pass(None));
    clock.minutes(2);
    assert_eq!((status(), login.received().len(), api.received().len()), (200, 2, 3));
    assert!(api.received().iter().all(|request| !format!("{request:?}").contains("canary-secret")));
}

#[test]
fn neither_secret_nor_token_gets_into_any_text() {
    let (texts, log) = logged(|| {
        let mut texts = Vec::new();
        for status in [200, 400, 401, 429, 500] {
            let scene = Scene::new(move |count, request, stream| match (count, status) {
                (0, _) => issue(stream, 0, "3600"),
                // A login host that echoes all it got, in every place that could be quoted.
                _ => {
                    let body = String::from_utf8_lossy(&request.body).into_owned();
                    let echo = serde_json::json!({
                        "error": body, "error_description": format!("AADSTS7000215: {body} {SECRET}"),
                        "trace_id": SECRET, "correlation_id": SECRET, "access_token": SECRET,
                    });
                    reply(stream, status, &["retry-after: 60"], echo.to_string().as_bytes())
                }
            });
            let token = scene.source.token(GRAPH).unwrap();
            scene.clock.minutes(50);
            texts.push(format!("{:?}", scene.source.renew(GRAPH, &token)));
            scene.clock.minutes(50);
            texts.push(format!("{:?} {:?} {:?}", scene.source.token(GRAPH), scene.source, scene.source.credentials));
        }
        texts.join("\n")
    });
    assert!(log.contains("token issued") && log.contains("no token"), "the log is not empty: {log}");
    assert!(texts.contains("AADSTS7000215"), "the errors are not empty: {texts}");
    for text in [log, texts] {
        assert!(!text.contains("canary"), "{text}");
    }
}
