//! Microsoft Graph, rule by rule.

use m365_plugin::call::{Level, Note};
use m365_plugin::clock::{self, DAY, HOUR, Interval, MINUTE};
use m365_plugin::error::ErrorKind;
use m365_plugin::source::{self, Discovery, Severity, Split};
use serde_json::{Value, json};

use crate::script::{Lines, NOW, Reply, Script, discover, discover_with, graph_error, read, settings};

const SIGN_INS: &str = "graph.signins.interactive";
const LEGACY: &str = "graph.alerts-legacy";
const LAST: &str = r#"{"@odata.context":"c","value":[]}"#;

fn plan(stream: &str, state: Option<&str>, now: u64) -> Discovery {
    discover(&mut Script::default(), stream, state, now).unwrap()
}

fn window(stream: &str, start: u64, end: u64) -> Split {
    Split {
        id: "x".into(),
        stream: stream.into(),
        payload: json!({"v": 1, "start": start, "end": end}).to_string(),
        arrival: start,
        expires: None,
    }
}

fn page(records: &[&str], next: Option<&str>) -> Reply {
    let next = next.map_or(String::new(), |next| format!(r#","@odata.nextLink":"{next}""#));
    Reply::new(200, format!(r#"{{"@odata.context":"c","value":[{}]{next}}}"#, records.join(",")))
}

fn filter(url: &str) -> String {
    let from = url.find("$filter=").unwrap() + 8;
    let encoded = url[from..].split('&').next().unwrap();
    percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap().into_owned()
}

#[test]
fn a_backlog_is_cut_into_windows_without_gaps() {
    let mut state: Option<String> = None;
    let mut reached = NOW - DAY;
    let mut splits = 0;
    loop {
        let found = plan(SIGN_INS, state.as_deref(), NOW);
        assert_eq!(found.splits.len(), 1);
        assert_eq!(found.coverage[0].start, reached);
        reached = found.coverage[0].end;
        splits += 1;
        state = Some(found.state);
        if !found.more {
            assert_eq!(found.next_ms, 300_000);
            break;
        }
    }
    assert_eq!(reached, NOW - 10 * MINUTE);
    assert_eq!(splits, 4);
    assert_eq!(plan(SIGN_INS, state.as_deref(), NOW).splits.len(), 0, "nothing is new at the same moment");
    // The next poll goes on with the last second.
    let found = plan(SIGN_INS, state.as_deref(), NOW + 5 * MINUTE);
    assert_eq!(found.coverage, [Interval { start: NOW - 10 * MINUTE, end: NOW - 5 * MINUTE }]);
    assert_eq!(found.splits[0].id, "2026-11-29T20:18:52Z/2026-11-29T20:23:52Z");
    assert_eq!(plan(SIGN_INS, state.as_deref(), NOW + 5 * MINUTE), found, "the same state gives the same splits");
}

#[test]
fn alerts_follow_more_closely_and_the_lookback_is_bounded() {
    let found =
        discover_with(&settings(r#""lookback_hours":1"#), &mut Script::default(), "graph.alerts", None, NOW).unwrap();
    assert_eq!(found.coverage, [Interval { start: NOW - HOUR, end: NOW - 5 * MINUTE }]);
    let found =
        discover_with(&settings(r#""lookback_hours":8000"#), &mut Script::default(), SIGN_INS, None, NOW).unwrap();
    assert_eq!(found.coverage[0].start, NOW - 30 * DAY);
    assert!(found.lost.is_empty());
}

#[test]
fn a_gap_beyond_the_retention_is_told_as_lost() {
    let state = json!({"v": 1, "watermark": NOW - 40 * DAY, "planned_at": NOW - 40 * DAY}).to_string();
    let found = plan(SIGN_INS, Some(&state), NOW);
    assert_eq!(found.lost[0].0, Interval { start: NOW - 40 * DAY, end: NOW - 30 * DAY });
    assert_eq!(found.coverage[0].start, NOW - 30 * DAY);
    assert!(plan(SIGN_INS, Some(&found.state), NOW).lost.is_empty());
    assert!(plan("graph.alerts", Some(&state), NOW).lost.is_empty(), "no limit is known of alerts");
}

#[test]
fn states_of_others_are_refused() {
    for text in ["", "{}", r#"{"v":2,"watermark":1,"planned_at":1}"#] {
        assert_eq!(discover(&mut Script::default(), SIGN_INS, Some(text), NOW).unwrap_err().kind, ErrorKind::BadData);
    }
    for resume in [
        "",
        "{}",
        r#"{"v":1,"from":0,"width":1,"top":1,"ordered":true}"#,
        r#"{"v":9,"from":0,"width":1,"top":1,"ordered":true}"#,
    ] {
        let error =
            read(&mut Script::default(), &window(SIGN_INS, NOW - HOUR, NOW - MINUTE), Some(resume), 10).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadData);
    }
}

#[test]
fn every_collection_is_asked_in_its_own_way() {
    let (start, end) = (NOW - HOUR, NOW - MINUTE);
    let times = |property: &str| format!("{property} ge 2026-11-29T19:28:52Z and {property} le 2026-11-29T20:27:52Z");
    let family = |name: &str| format!("({}) and signInEventTypes/any(t: t eq '{name}')", times("createdDateTime"));
    for (stream, path, expected, order, quota) in [
        (SIGN_INS, "/v1.0/auditLogs/signIns?", times("createdDateTime"), true, "graph-reports"),
        (
            "graph.signins.noninteractive",
            "/beta/auditLogs/signIns?",
            family("nonInteractiveUser"),
            true,
            "graph-reports",
        ),
        (
            "graph.signins.service-principal",
            "/beta/auditLogs/signIns?",
            family("servicePrincipal"),
            true,
            "graph-reports",
        ),
        (
            "graph.signins.managed-identity",
            "/beta/auditLogs/signIns?",
            family("managedIdentity"),
            true,
            "graph-reports",
        ),
        (
            "graph.directory-audits",
            "/v1.0/auditLogs/directoryAudits?",
            times("activityDateTime"),
            true,
            "graph-reports",
        ),
        ("graph.alerts", "/v1.0/security/alerts_v2?", times("lastUpdateDateTime"), true, "graph-alerts"),
        (LEGACY, "/v1.0/security/alerts?", times("lastModifiedDateTime"), false, "graph-alerts"),
    ] {
        let mut script = Script::of([Reply::new(200, LAST)]);
        let (lines, chunks) = read(&mut script, &window(stream, start, end), None, 100).unwrap();
        assert!(lines.is_empty() && chunks.len() == 1 && chunks[0].done);
        let request = &script.requests[0];
        assert!(request.url.starts_with(&format!("https://graph.microsoft.com{path}")), "{}", request.url);
        assert!(request.url.contains("$top=1000&"));
        assert!(!request.url.contains(' ') && !request.url.contains('\''));
        assert_eq!(filter(&request.url), expected);
        assert_eq!(request.url.contains("$orderby="), order);
        assert_eq!(request.quota, quota);
        assert_eq!(request.audience, "microsoft-graph");
        assert!(request.headers.contains(&("prefer", "include-unknown-enum-members".to_owned())));
    }
}

#[test]
fn pages_are_followed_verbatim_and_resumed() {
    let link = "https://graph.microsoft.com/v1.0/auditLogs/signIns?$top=1000&$skiptoken=a%20b&x='y'";
    let split = window(SIGN_INS, NOW - HOUR, NOW - MINUTE);
    let mut script =
        Script::of([page(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#], Some(link)), page(&[r#"{"id":"3"}"#], None)]);
    let (lines, chunks) = read(&mut script, &split, None, 1).unwrap();
    assert_eq!(lines, [r#"{"id":"1"}"#, r#"{"id":"2"}"#, r#"{"id":"3"}"#]);
    assert_eq!(script.urls()[1], link);
    // Going on after any chunk gives all that comes after it.
    for (i, chunk) in chunks.iter().enumerate().filter(|(_, chunk)| !chunk.done) {
        let delivered: usize = chunks[..=i].iter().map(|chunk| chunk.count as usize).sum();
        let resume = chunk.resume.as_deref().unwrap();
        let position: Value = serde_json::from_str(resume).unwrap();
        let mut again = if position.get("next").is_some() {
            Script::of([page(&[r#"{"id":"3"}"#], None)])
        } else {
            Script::of([page(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#], Some(link)), page(&[r#"{"id":"3"}"#], None)])
        };
        let (rest, _) = read(&mut again, &split, Some(resume), 1000).unwrap();
        assert!(lines[delivered..].iter().all(|line| rest.contains(line)));
    }
    let found = chunks.iter().filter_map(|chunk| chunk.resume.as_deref()).any(|resume| resume.contains("skiptoken"));
    assert!(found || chunks.len() < 3);
}

#[test]
fn a_dead_next_page_restarts_or_narrows() {
    let link = "https://graph.microsoft.com/next";
    // Handed out by an earlier reader: the position is no good.
    for reply in [graph_error(400, "BadRequest", "Invalid Skip Token, skip token is null"), Reply::new(410, "")] {
        let position =
            json!({"v": 1, "from": NOW - HOUR, "width": HOUR, "next": link, "top": 1000, "ordered": true}).to_string();
        let mut script = Script::of([reply]);
        let error = read(&mut script, &window(SIGN_INS, NOW - HOUR, NOW - MINUTE), Some(&position), 10).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Restart, "stale-next-link"));
    }
    // Handed out just now: the collection doesn't page that far, and less time at once helps.
    let mut script = Script::of([
        page(&["1"], Some(link)),
        graph_error(400, "BadRequest", "skip too large"),
        page(&["1"], None),
        page(&["2"], None),
    ]);
    let (lines, _) = read(&mut script, &window("graph.alerts", NOW - HOUR, NOW), None, 1000).unwrap();
    assert_eq!(lines, ["1", "1", "2"]);
    assert!(filter(&script.urls()[2]).ends_with("le 2026-11-29T19:58:52Z"));
    assert!(filter(&script.urls()[3]).starts_with("lastUpdateDateTime ge 2026-11-29T19:58:52Z"));
}

#[test]
fn a_slow_answer_narrows_the_window_until_five_minutes() {
    let mut script = Script::of([graph_error(504, "UnknownError", ""), page(&["1"], None), page(&["2"], None)]);
    assert_eq!(read(&mut script, &window(SIGN_INS, NOW - HOUR, NOW), None, 1000).unwrap().0, ["1", "2"]);
    let mut script = Script::default()
        .then(ErrorKind::Timeout)
        .then(ErrorKind::Timeout)
        .then(ErrorKind::Timeout)
        .then(ErrorKind::Timeout);
    let error = read(&mut script, &window(SIGN_INS, NOW - HOUR, NOW), None, 1000).unwrap_err();
    assert_eq!((error.kind, script.requests.len()), (ErrorKind::Timeout, 4));
    let mut script = Script::of([
        page(&["1"], Some("https://graph.microsoft.com/n")).cut(ErrorKind::Timeout),
        page(&["1"], None),
        page(&["2"], None),
    ]);
    assert_eq!(read(&mut script, &window(SIGN_INS, NOW - HOUR, NOW), None, 1000).unwrap().0, ["1", "1", "2"]);
}

#[test]
fn what_the_service_refuses_to_give_is_asked_for_differently() {
    let split = window("graph.alerts", NOW - HOUR, NOW);
    let mut script = Script::of([
        graph_error(400, "BadRequest", "Could not process $orderby"),
        graph_error(400, "BadRequest", "The limit of '100' for Top query has been exceeded: $top"),
        page(&["1"], Some("https://graph.microsoft.com/n")),
        page(&["2"], None),
    ]);
    let (lines, chunks) = read(&mut script, &split, None, 1).unwrap();
    assert_eq!(lines, ["1", "2"]);
    let urls = script.urls();
    assert!(urls[0].contains("$orderby") && !urls[1].contains("$orderby") && urls[1].contains("$top=1000"));
    assert!(urls[2].contains("$top=500"));
    let position: Value = serde_json::from_str(chunks[0].resume.as_deref().unwrap()).unwrap();
    assert_eq!((&position["top"], &position["ordered"]), (&json!(500), &json!(false)));
    // It ends, whatever is said.
    let mut script = Script::of((0..20).map(|_| graph_error(400, "BadRequest", "no $top, no $orderby")));
    assert_eq!(read(&mut script, &split, None, 1).unwrap_err().kind, ErrorKind::Protocol);
    let mut script = Script::of(
        (0..20).map(|_| graph_error(400, "BadRequest", "Could not find a property named 'signInEventTypes'")),
    );
    assert_eq!(read(&mut script, &split, None, 1).unwrap_err().kind, ErrorKind::InvalidConfig);
    assert_eq!(script.requests.len(), 1);
}

#[test]
fn a_missing_licence_is_believed_at_the_third_answer() {
    let no = || {
        graph_error(
            403,
            "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
            "Neither tenant is B2C or tenant doesn't have premium license",
        )
    };
    let split = window(SIGN_INS, NOW - HOUR, NOW);
    let mut script = Script::of([no(), no(), page(&["1"], None)]);
    assert_eq!(read(&mut script, &split, None, 10).unwrap().0, ["1"]);
    let mut script = Script::of([no(), no(), no()]);
    let error = read(&mut script, &split, None, 10).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unlicensed);
    assert!(error.message.contains("P1 or P2"));
}

#[test]
fn a_window_that_the_services_clock_has_not_reached_is_not_read_yet() {
    let mut script = Script::of([page(&["1"], None)]);
    let error = read(&mut script, &window(SIGN_INS, NOW - HOUR, NOW + MINUTE), None, 10).unwrap_err();
    assert_eq!(
        (error.kind, error.code.as_str(), error.retry_after_ms),
        (ErrorKind::Unavailable, "clock-skew", Some(MINUTE))
    );
}

#[test]
fn refusals_become_the_right_errors() {
    use ErrorKind::*;
    for (stream, reply, kind, word) in [
        (SIGN_INS, graph_error(401, "InvalidAuthenticationToken", "expired"), Unauthenticated, "credentials"),
        (SIGN_INS, graph_error(403, "Authentication_MSGraphPermissionMissing", "x"), Forbidden, "AuditLog.Read.All"),
        (
            SIGN_INS,
            graph_error(403, "Authentication_ApplicationHasNoDirectoryReadAccess", "x"),
            Forbidden,
            "Directory.Read.All",
        ),
        (
            "graph.alerts",
            graph_error(403, "Forbidden", "Missing application roles."),
            Forbidden,
            "SecurityAlert.Read.All",
        ),
        (LEGACY, graph_error(403, "Forbidden", "x"), Forbidden, "SecurityEvents.Read.All"),
        (SIGN_INS, graph_error(402, "PaymentRequired", "x"), Unlicensed, "paid"),
        (SIGN_INS, Reply::new(429, ""), RateLimited, "slowed"),
        (SIGN_INS, Reply::new(403, "<html>"), Unavailable, "gateway"),
        (SIGN_INS, Reply::new(200, "<html>"), Unavailable, "gateway"),
        (SIGN_INS, graph_error(503, "UnknownError", ""), Unavailable, "again"),
        (SIGN_INS, graph_error(400, "UnknownError", ""), Unavailable, "again"),
        ("graph.alerts", Reply::new(404, ""), InvalidConfig, "cloud"),
        (LEGACY, Reply::new(404, ""), Gone, "2026-10-15"),
        (LEGACY, Reply::new(410, ""), Gone, "graph.alerts"),
        (SIGN_INS, Reply::new(200, r#"{"value":[1"#), Protocol, "ends after"),
        (SIGN_INS, Reply::new(200, r#"{"value":[{"id":1},{"id""#), Protocol, "behind its first 1"),
        (SIGN_INS, Reply::new(200, r#"{"value":[],"@odata.nextLink":7}"#), Protocol, "nextLink"),
        (SIGN_INS, page(&["1"], None).cut(Unavailable), Unavailable, "broke"),
    ] {
        let shown = format!("{reply:?}");
        // Some are asked twice, without order the second time.
        let mut script = Script::of([reply.clone().with("Retry-After", "3"), reply.with("Retry-After", "3")]);
        let error = read(&mut script, &window(stream, NOW - HOUR, NOW), None, 10).unwrap_err();
        assert_eq!(error.kind, kind, "{shown}: {}", error.message);
        assert!(error.message.contains(word), "{}", error.message);
        if kind == RateLimited {
            assert_eq!(error.retry_after_ms, Some(3000));
        }
    }
    let mut script = Script::of([page(&["1"], Some("https://evil.example?secret"))]).then(DeniedByHost);
    let error = read(&mut script, &window(SIGN_INS, NOW - HOUR, NOW), None, 10).unwrap_err();
    assert!(error.message.contains("https://evil.example,") && !error.message.contains("secret"));
}

#[test]
fn a_next_page_that_is_said_to_be_elsewhere_is_asked_for_at_the_root() {
    let foreign = "https://evil.example/v1.0/auditLogs/n?$skiptoken=secret";
    let mut script = Script::of([page(&["1"], Some(foreign))]).then(ErrorKind::DeniedByHost);
    script.replies.push_back(Ok(page(&["2"], None)));
    let (lines, _) = read(&mut script, &window(SIGN_INS, NOW - HOUR, NOW), None, 1000).unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(script.urls()[2], "https://graph.microsoft.com/v1.0/auditLogs/n?$skiptoken=secret");
    let told = |note: &Note| note.message.contains("https://evil.example,") && !note.message.contains("secret");
    assert!(script.notes.iter().any(told), "{:?}", script.notes);
}

#[test]
fn legacy_alerts_keep_partial_records_and_tell_their_end() {
    let partial = Reply { status: 206, ..page(&["1"], None) }.with("Warning", "199 - \"Microsoft/MCAS/504/10000\"");
    let mut script = Script::of([partial.clone()]);
    assert_eq!(read(&mut script, &window(LEGACY, NOW - HOUR, NOW), None, 1000).unwrap().0, ["1"]);
    assert!(script.notes.iter().any(|note| note.level == Level::Warn && note.message.contains("MCAS/504")));

    for status in [404, 410] {
        let error = discover(&mut Script::of([Reply::new(status, "")]), LEGACY, None, NOW).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Gone, "retired"));
    }
    let found = discover(&mut Script::of([partial]), LEGACY, None, NOW).unwrap();
    assert_eq!(found.splits.len(), 1);
    // As many records as a page can hold, and no next page: some may be missing.
    let full: Vec<&str> = vec!["1"; 1000];
    let mut script = Script::of([page(&full, None), page(&["1"], None), page(&["2"], None)]);
    assert_eq!(read(&mut script, &window(LEGACY, NOW - HOUR, NOW), None, 1000).unwrap().0.len(), 1002);
}

#[test]
fn the_check_finds_the_cause() {
    use Severity::*;
    let no = || graph_error(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "no");
    for (stream, replies, expected) in [
        (SIGN_INS, vec![Reply::new(200, LAST)], vec![(Ok, "ok")]),
        ("graph.signins.managed-identity", vec![page(&["{}"], None)], vec![(Ok, "ok")]),
        (SIGN_INS, vec![no(), no(), Reply::new(200, LAST)], vec![(Ok, "ok")]),
        (SIGN_INS, vec![no(), no(), no()], vec![(Failure, "Authentication_RequestFromNonPremiumTenantOrB2CTenant")]),
        (SIGN_INS, vec![Reply::new(200, "[]")], vec![(Failure, "not-a-collection")]),
        ("graph.alerts", vec![graph_error(403, "Forbidden", "x")], vec![(Failure, "Forbidden")]),
        (LEGACY, vec![Reply::new(410, "")], vec![(Failure, "retired")]),
        (LEGACY, vec![Reply::new(206, LAST)], vec![(Note, "partial"), (Note, "retiring"), (Ok, "ok")]),
    ] {
        let mut script = Script::of(replies);
        let findings = source::check(&settings(""), &mut script, &mut Lines(&mut Vec::new()), stream, NOW);
        let found: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.code.as_str())).collect();
        assert_eq!(found, expected);
        assert!(script.urls().iter().all(|url| url.contains("$top=1&")));
        assert!(script.urls().iter().all(|url| clock::parse(filter(url).split(' ').nth(2).unwrap()).is_some()));
    }
}
