//! What an answer is, request by request: the one form that is a success, and that nothing else is.

use m365_plugin::clock::{HOUR, MINUTE};
use m365_plugin::error::{Error, ErrorKind};
use m365_plugin::source::{self, Severity, Split};
use proptest::prelude::*;
use serde_json::json;

use crate::script::{Lines, NOW, Reply, Script, af, discover, graph_error, settings};

const EXCHANGE: &str = "office365.exchange";
const AUDITS: &str = "graph.directory-audits";
const LEGACY: &str = "graph.alerts-legacy";

/// Every kind of request of both APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Subscriptions,
    Start,
    Content,
    ContentNext,
    Blob,
    BlobNext,
    Page,
    PageNext,
    Probe,
}

use Request::*;
const ALL: [Request; 9] = [Subscriptions, Start, Content, ContentNext, Blob, BlobNext, Page, PageNext, Probe];

impl Request {
    fn is_graph(self) -> bool {
        matches!(self, Page | PageNext | Probe)
    }

    /// An answer that is what was asked for.
    fn success(self) -> &'static str {
        match self {
            Subscriptions => r#"[{"contentType":"Audit.Exchange","status":"enabled","webhook":null}]"#,
            Start => r#"{"contentType":"Audit.Exchange","status":"enabled","webhook":null}"#,
            Content | ContentNext => r#"[{"contentId":"b","contentUri":"https://manage.office.com/b"}]"#,
            Blob | BlobNext => r#"[{"Id":"b"}]"#,
            Page | PageNext | Probe => r#"{"value":[{"id":"b"}]}"#,
        }
    }

    /// Makes the request and hands it an answer: what became of it.
    fn answer(self, reply: Reply) -> Outcome {
        let subscribed = json!({"v": 1, "enabled_at": NOW - MINUTE, "watermark": NOW - HOUR}).to_string();
        let next = "https://manage.office.com/next";
        let first = |body: &str| Reply::new(200, body).with("NextPageUri", next);
        match self {
            Subscriptions => listed(vec![reply, Reply::new(200, "[]")], None),
            Start => {
                let mut script = again(vec![Reply::new(200, "[]"), reply, Reply::new(200, "[]")]);
                let outcome = outcome(&mut script, None);
                // What can be listed without a start is listed all the same.
                Outcome { complete: outcome.enabled, ..outcome }
            }
            Content => listed(vec![reply], Some(&subscribed)),
            ContentNext => listed(
                vec![first(r#"[{"contentId":"a","contentUri":"https://manage.office.com/a"}]"#), reply],
                Some(&subscribed),
            ),
            Blob => taken(vec![reply], &blob()),
            BlobNext => taken(vec![first(r#"[{"Id":"a"}]"#), reply], &blob()),
            Page => taken(vec![reply], &window()),
            PageNext => taken(
                vec![
                    Reply::new(200, r#"{"value":[{"id":"a"}],"@odata.nextLink":"https://graph.microsoft.com/n"}"#),
                    reply,
                ],
                &window(),
            ),
            Probe => {
                let error = discover(&mut again(vec![reply]), LEGACY, None, NOW).err();
                Outcome { complete: error.is_none(), error, ..Outcome::default() }
            }
        }
    }
}

/// What became of a request.
#[derive(Debug, Default)]
struct Outcome {
    /// Whether the subscription counts as enabled.
    enabled: bool,
    /// Whether the window, the blob or the subscription counts as dealt with.
    complete: bool,
    /// What was handed on.
    records: usize,
    error: Option<Error>,
}

/// A script whose last answer comes again and again.
fn again(replies: Vec<Reply>) -> Script {
    let last = replies.last().cloned().expect("an answer");
    Script::of(replies.into_iter().chain(std::iter::repeat_n(last, 60)))
}

fn listed(replies: Vec<Reply>, state: Option<&str>) -> Outcome {
    outcome(&mut again(replies), state)
}

fn outcome(script: &mut Script, state: Option<&str>) -> Outcome {
    match discover(script, EXCHANGE, state, NOW) {
        Ok(found) => {
            let told = script.notes.iter().find(|note| note.message.starts_with("The listing stopped"));
            let state: serde_json::Value = serde_json::from_str(&found.state).unwrap();
            let kept = serde_json::from_value(state["start"]["failure"].clone()).ok();
            let error = told.map(|note| Error::new(ErrorKind::Internal, "told", note.message.clone())).or(kept);
            let enabled = state["enabled_at"].is_u64();
            Outcome { complete: !found.coverage.is_empty(), records: found.splits.len(), error, enabled }
        }
        Err(error) => Outcome { error: Some(error), ..Outcome::default() },
    }
}

fn taken(replies: Vec<Reply>, split: &Split) -> Outcome {
    let mut script = again(replies);
    let mut reader = source::open::<Script>(&settings(""), split, None, NOW).unwrap();
    let mut outcome = Outcome::default();
    loop {
        match reader.next(1, &mut script, &mut Lines(&mut Vec::new())) {
            Ok(Some(chunk)) => {
                outcome.records += chunk.count as usize;
                assert!(chunk.losses.is_empty());
            }
            Ok(None) => return Outcome { complete: true, ..outcome },
            Err(error) => return Outcome { error: Some(error), ..outcome },
        }
    }
}

fn blob() -> Split {
    Split {
        id: "a".into(),
        stream: EXCHANGE.into(),
        payload: json!({"v": 1, "uri": "https://manage.office.com/a", "type": "Audit.Exchange"}).to_string(),
        arrival: NOW - HOUR,
        expires: None,
    }
}

fn window() -> Split {
    Split {
        id: "w".into(),
        stream: AUDITS.into(),
        payload: json!({"v": 1, "start": NOW - HOUR, "end": NOW}).to_string(),
        arrival: NOW - HOUR,
        expires: None,
    }
}

#[test]
fn what_was_asked_for_is_a_success() {
    for request in ALL {
        let outcome = request.answer(Reply::new(200, request.success()));
        assert!(outcome.complete && outcome.error.is_none(), "{request:?}: {outcome:?}");
        let empty = if request.is_graph() { r#"{"value":[]}"# } else { "[]" };
        if request != Start {
            // An empty list of subscriptions leads to a start, which isn't scripted here.
            let outcome = if request == Subscriptions { continue } else { request.answer(Reply::new(200, empty)) };
            assert!(outcome.complete && outcome.error.is_none(), "{request:?}: {outcome:?}");
        }
    }
}

#[test]
fn nothing_else_is_a_success_whatever_its_status() {
    let bodies = [
        "",
        " ",
        "null",
        "5",
        "\"x\"",
        "true",
        "{}",
        "[null]",
        "[null,5]",
        r#"{"a":1}"#,
        r#"{"value":null}"#,
        r#"{"value":{}}"#,
        r#"{"value":"x"}"#,
        r#"{"value":[{"id":"1"}],"value":[{"id":"2"}]}"#,
        "<html>no</html>",
        r#"{"error":{"code":"AF50005","message":"words of the service"}}"#,
        r#"{"value":[{"id":"1"}],"error":{"code":"InternalServerError","message":"words of the service"}}"#,
        r#"[{"error":{"code":"AF50005","message":"words of the service"}}]"#,
        r#"{"value":[{"error":{"code":"UnknownError","message":"words of the service"}}]}"#,
        r#"[{"code":"AF50005"}]"#,
        r#"[{"Message":"An error has occurred."}]"#,
        r#"{"Message":"An error has occurred."}"#,
        r#"{"contentType":5}"#,
        "{\"value\":[",
        "[",
        "[{\"a\":1}",
        "{\"value\":[{\"a\":1}]",
    ];
    for request in ALL {
        for body in bodies {
            let is_list = |text: &str| matches!(text, "[null]" | "[null,5]");
            let is = match request {
                // A start is an empty object or a subscription.
                Start => ["{}", r#"{"contentType":5}"#].contains(&body),
                // Who knows what records look like.
                Blob | BlobNext => is_list(body) || body.starts_with("[{\"code\"") || body.starts_with("[{\"Message\""),
                _ => false,
            };
            if is {
                continue;
            }
            let outcome = request.answer(Reply::new(200, body));
            assert!(!outcome.complete, "{request:?} took {body:?}: {outcome:?}");
            let error = outcome.error.unwrap_or_else(|| panic!("{request:?} says nothing of {body:?}"));
            // An error within a collection is looked for where a collection is asked for.
            if body.contains("words of the service")
                && (request.is_graph() || !body.starts_with("{\"value\":[{\"error"))
            {
                assert!(error.message.contains("words of the service"), "{request:?}: {}", error.message);
            }
        }
        for status in
            [201, 202, 204, 205, 206, 207, 301, 302, 304, 307, 400, 401, 403, 404, 408, 409, 429, 500, 503, 504]
        {
            if status == 206 && request == Probe {
                continue;
            }
            for body in [request.success(), ""] {
                let outcome = request.answer(Reply::new(status, body));
                assert!(!outcome.complete, "{request:?} took status {status}: {outcome:?}");
            }
        }
    }
}

#[test]
fn an_error_with_a_status_of_200_is_judged_like_one_with_another() {
    use ErrorKind::*;
    for (request, code, kind) in [
        (Content, "AF50005", Unavailable),
        (Content, "AF429", RateLimited),
        (Content, "AF10001", Forbidden),
        (Subscriptions, "AF20011", InvalidConfig),
        (Blob, "AF20050", NotFound),
        (Blob, "AF50000", Unavailable),
        (Page, "generalException", Unavailable),
        (Page, "TooManyRequests", RateLimited),
        (Page, "Authentication_MSGraphPermissionMissing", Forbidden),
        (Probe, "UnknownError", Unavailable),
    ] {
        let error = request.answer(af(200, code)).error.unwrap();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{request:?}: {}", error.message);
        assert!(error.message.contains("words of the service"), "{}", error.message);
    }
}

#[test]
fn what_came_before_an_error_is_handed_on_and_the_window_is_not_complete() {
    let body = r#"{"value":[{"id":"1"},{"id":"2"}],"error":{"code":"InternalServerError","message":"no more"}}"#;
    let outcome = Page.answer(Reply::new(200, body));
    assert_eq!((outcome.complete, outcome.records), (false, 2));
    assert!(outcome.error.unwrap().message.contains("no more"));
    for request in [Blob, Page] {
        let (open, record) = if request == Blob { ("[", r#"{"Id":"1"}"#) } else { (r#"{"value":["#, r#"{"id":"1"}"#) };
        for kind in [ErrorKind::Unavailable, ErrorKind::Protocol] {
            let outcome = request.answer(Reply::new(200, format!("{open}{record},{record},{{\"x")).cut(kind));
            let error = outcome.error.unwrap();
            assert_eq!((outcome.records, error.code.as_str()), (2, "body-cut"), "{request:?}");
            assert!(error.message.contains("2 whole records"), "{}", error.message);
        }
        let outcome = request.answer(Reply::new(200, format!("{open}{record}")));
        assert_eq!(outcome.records, 1, "{request:?}");
    }
}

#[test]
fn records_over_the_limit_are_losses_and_what_is_around_them_is_read() {
    let large = format!(r#"{{"id":"{}"}}"#, "x".repeat((1 << 20) + 5));
    for (split, body) in [
        (blob(), format!(r#"[{{"id":"1"}},{large},{{"id":"2"}}]"#)),
        (window(), format!(r#"{{"value":[{{"id":"1"}},{large},{{"id":"2"}}]}}"#)),
    ] {
        let mut script = Script::of([Reply { piece: 64 << 10, ..Reply::new(200, body) }]);
        let mut reader = source::open::<Script>(&settings(r#""record_limit_mib":1"#), &split, None, NOW).unwrap();
        let (mut records, mut losses, mut done) = (0, Vec::new(), false);
        while let Some(chunk) = reader.next(1 << 20, &mut script, &mut Lines(&mut Vec::new())).unwrap() {
            records += chunk.count;
            losses.extend(chunk.losses);
            done = chunk.done;
        }
        assert!(done && records == 2 && losses.len() == 1, "{records} {losses:?}");
        assert_eq!(losses[0].code, "record-limit");
        assert!(losses[0].message.contains("With 2 it can be read"), "{}", losses[0].message);
        let record = losses[0].oversized.as_ref().unwrap();
        assert_eq!((record.bytes, record.limit_mib, record.head.len()), (large.len() as u64, 2, 1024));
        assert_eq!(losses[0].stretch.is_some(), split.stream == AUDITS);
    }
}

/// Every row of the tables of causes: the answer, and what it is for the host and the operator.
#[test]
fn every_cause_has_its_words() {
    use ErrorKind::*;
    let said = |status: u16, text: &str| Reply::new(status, text.to_owned());
    let segment = "Resource not found for the segment 'signIns'.";
    for (request, reply, kind, code, word) in [
        (
            Page,
            graph_error(400, "BadRequest", segment),
            InvalidConfig,
            "no-such-collection",
            "This cloud doesn't have it",
        ),
        (Page, graph_error(404, "BadRequest", segment), InvalidConfig, "no-such-collection", "`cloud`"),
        (
            Page,
            graph_error(400, "BadRequest", "Could not find a property named 'x'"),
            InvalidConfig,
            "no-such-collection",
            "leave the stream out",
        ),
        (Page, graph_error(404, "ResourceNotFound", ""), InvalidConfig, "no-such-collection", "`cloud`"),
        (
            Probe,
            graph_error(400, "BadRequest", "Resource not found for the segment 'alerts'."),
            Gone,
            "retired",
            "graph.alerts",
        ),
        (
            Page,
            graph_error(403, "Forbidden", "Account is not provisioned."),
            Unlicensed,
            "not-onboarded",
            "Defender portal",
        ),
        (
            Page,
            graph_error(403, "Forbidden", "The tenant is not onboarded"),
            Unlicensed,
            "not-onboarded",
            "no missing permission",
        ),
        (Page, graph_error(403, "Forbidden", "no valid license"), Unlicensed, "Forbidden", "licence"),
        (
            Page,
            graph_error(403, "Forbidden", "Missing application roles."),
            Forbidden,
            "Forbidden",
            "AuditLog.Read.All and Directory.Read.All",
        ),
        (
            Page,
            graph_error(403, "AccessDenied", "Blocked by Conditional Access"),
            Forbidden,
            "AccessDenied",
            "workload identities",
        ),
        (
            Page,
            graph_error(401, "InvalidAuthenticationToken", "InvalidCloudInstance"),
            Unauthenticated,
            "wrong-cloud",
            "`cloud`",
        ),
        (
            Page,
            graph_error(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience."),
            Unauthenticated,
            "InvalidAuthenticationToken",
            "`cloud`",
        ),
        (
            Page,
            graph_error(401, "InvalidAuthenticationToken", "Lifetime validation failed"),
            Unauthenticated,
            "InvalidAuthenticationToken",
            "credentials",
        ),
        (Page, said(401, ""), Unauthenticated, "http-401", "credentials"),
        (Page, graph_error(402, "PaymentRequired", ""), Unlicensed, "PaymentRequired", "paid"),
        (Probe, graph_error(410, "Gone", ""), Gone, "retired", "2026-10-15"),
        (Probe, said(504, ""), Timeout, "http-504", "again"),
        (Probe, said(599, ""), Unavailable, "http-599", "again"),
        (Probe, graph_error(418, "teapot", ""), Protocol, "teapot", "patience"),
        (
            Content,
            said(401, r#"{"Message":"Authorization has been denied for this request."}"#),
            Unauthenticated,
            "http-401",
            "Authorization has been denied",
        ),
        (Content, said(401, ""), Unauthenticated, "http-401", "credentials"),
        (Content, said(401, "Invalid audience"), Unauthenticated, "wrong-cloud", "`cloud`"),
        (
            Content,
            said(
                400,
                &format!(
                    "StartSubscription {} DataServiceException: Tenant 1-2 does not exist.",
                    "[CorrId=1-2-3] ".repeat(40)
                ),
            ),
            Unlicensed,
            "auditing-off",
            "Enable-OrganizationCustomization",
        ),
        (
            Content,
            said(500, "DataServiceException: Tenant 1-2 does not exist.\n   at X.Y()"),
            Unlicensed,
            "auditing-off",
            "Set-AdminAuditLogConfig",
        ),
        (Content, af(403, "429"), RateLimited, "429", "slowed"),
        (Blob, af(400, "AF20052"), NotFound, "AF20052", "the tenant, the cloud or the service"),
        (Blob, af(404, "AF20050"), NotFound, "AF20050", "asked for again"),
        (Blob, said(404, ""), NotFound, "http-404", "asked for again"),
        (Blob, af(400, "AF20051"), Gone, "AF20051", "asked for again"),
        (Blob, said(410, ""), Gone, "http-410", "asked for again"),
    ] {
        let shown = format!("{request:?} {reply:?}");
        let error = request.answer(reply).error.unwrap();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{shown}: {}", error.message);
        assert!(error.message.contains(word), "{shown}: {}", error.message);
        assert!(!error.message.contains("is lost"), "{}", error.message);
    }
}

#[test]
fn a_test_of_a_stream_reports_what_a_run_copes_with_as_no_failure() {
    let check = |stream: &str, replies: Vec<Reply>| {
        let mut script = Script::of(replies);
        source::check(&settings(""), &mut script, &mut Lines(&mut Vec::new()), stream, NOW)
    };
    let page = || Reply::new(200, r#"{"value":[]}"#);
    let findings = check(AUDITS, vec![graph_error(504, "UnknownError", ""), page()]);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
    for (stream, replies) in [
        (AUDITS, vec![graph_error(504, "UnknownError", ""), graph_error(504, "UnknownError", "")]),
        (AUDITS, vec![Reply::new(429, "")]),
        (AUDITS, vec![Reply::new(503, "")]),
        (EXCHANGE, vec![af(403, "AF429")]),
        (EXCHANGE, vec![af(500, "AF50000")]),
    ] {
        let findings = check(stream, replies);
        assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    }
    for (stream, replies) in [
        (AUDITS, vec![graph_error(403, "Forbidden", "")]),
        (AUDITS, vec![Reply::new(200, r#"{"value":null}"#)]),
        (EXCHANGE, vec![Reply::new(200, "[null,5,{}]")]),
        (EXCHANGE, vec![Reply::new(200, "[]"), Reply::new(200, "{}")]),
    ] {
        let findings = check(stream, replies);
        assert!(findings.iter().any(|finding| finding.severity == Severity::Failure), "{findings:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Whatever a body is, it is records or an error, and no text of it acts on a terminal.
    #[test]
    fn any_body_is_a_success_or_is_told(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"value\"", "\"error\"", "\"code\"", "\"AF50000\"", "\"@odata.nextLink\"", "null", "1",
            "{\"id\":\"1\"}", "\u{1b}[31m", "\u{202e}", "<html>", " ", "\"contentId\"", "\"x\"",
        ]), 0..14),
        which in 0usize..9,
        status in prop::sample::select(vec![200u16, 200, 200, 206, 400, 403, 404]),
    ) {
        let request = ALL[which];
        let body = pieces.concat();
        let outcome = request.answer(Reply::new(status, body.clone()));
        prop_assert!(outcome.complete || outcome.error.is_some(), "{:?} {}: {:?}", request, body, outcome);
        if let Some(error) = outcome.error {
            prop_assert!(!error.message.contains(['\u{1b}', '\u{202e}', '\n']), "{}", error.message);
            prop_assert!(error.message.len() < 4096);
        }
    }
}
