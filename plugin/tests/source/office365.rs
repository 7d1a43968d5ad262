//! The Management Activity API, rule by rule.

use m365_plugin::clock::{self, DAY, HOUR, Interval, MINUTE};
use m365_plugin::error::ErrorKind;
use m365_plugin::source::{self, Severity, Split};
use serde_json::{Value, json};

use crate::script::{DATE, Lines, NOW, Reply, Script, TENANT, af, discover, discover_with, read, settings};

const STREAM: &str = "office365.exchange";
const REACH: u64 = 7 * DAY - 5 * MINUTE;

fn enabled() -> Reply {
    Reply::new(200, r#"[{"contentType":"Audit.Exchange","status":"enabled","webhook":null}]"#)
}

fn none() -> Reply {
    Reply::new(200, "[]")
}

fn content(ids: &[&str]) -> Reply {
    let list: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({"contentType": "Audit.Exchange", "contentId": id, "contentUri": format!("https://manage.office.com/api/v1.0/{TENANT}/activity/feed/audit/{id}$x$y"),
            "contentCreated": "2026-11-29T10:00:00.000Z", "contentExpiration": "2026-12-06T10:00:00.000Z"})
        })
        .collect();
    Reply::new(200, serde_json::to_vec(&list).unwrap())
}

fn subscribed(extra: Value) -> String {
    let mut state = json!({"v": 1, "enabled_at": NOW - MINUTE, "watermark": NOW - HOUR});
    for (key, value) in extra.as_object().unwrap() {
        state[key] = value.clone();
    }
    state.to_string()
}

fn state(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_new_stream_is_listed_from_the_lookback_with_both_bounds() {
    let mut script = Script::of([enabled(), content(&["a", "b"])]);
    let found = discover(&mut script, STREAM, None, NOW).unwrap();
    let root = format!("https://manage.office.com/api/v1.0/{TENANT}/activity/feed/subscriptions");
    assert_eq!(
        script.urls(),
        [
            format!("{root}/list?PublisherIdentifier={TENANT}"),
            format!(
                "{root}/content?contentType=Audit.Exchange&startTime=2026-11-28T19:28:52&endTime=2026-11-29T19:28:52&PublisherIdentifier={TENANT}"
            ),
        ]
    );
    assert_eq!(script.posts(), 0, "an enabled subscription isn't started");
    assert_eq!(script.requests[0].quota, "office365");
    assert_eq!(script.requests[0].audience, "office365-management");
    assert_eq!(found.splits.len(), 2);
    assert_eq!(found.splits[0].id, "a");
    assert_eq!(found.splits[0].arrival, clock::parse("2026-11-29T10:00:00Z").unwrap());
    assert_eq!(found.splits[0].expires, clock::parse("2026-12-06T10:00:00Z"));
    assert!(found.more, "an hour is left: the overlap took it");
    assert_eq!(state(&found.state)["watermark"], json!(NOW - HOUR));
    assert_eq!(found.coverage, [Interval { start: NOW - 25 * HOUR, end: NOW - HOUR }]);

    let mut script = Script::of([content(&[])]);
    let found = discover(&mut script, STREAM, Some(&found.state), NOW).unwrap();
    assert!(!found.more);
    assert_eq!(found.next_ms, 180_000);
    assert_eq!(state(&found.state)["watermark"], json!(NOW));
}

#[test]
fn missing_and_disabled_subscriptions_are_started_once() {
    for list in [
        "[]",
        r#"[{"contentType":"Audit.Exchange","status":"disabled"}]"#,
        r#"[{"contentType":"DLP.All","status":"enabled"}]"#,
    ] {
        for answer in [Reply::new(200, r#"{"contentType":"Audit.Exchange","status":"enabled"}"#), af(400, "AF20024")] {
            let mut script = Script::of([Reply::new(200, list), answer, none()]);
            let found = discover(&mut script, STREAM, None, NOW).unwrap();
            assert_eq!(script.posts(), 1);
            assert!(
                script.requests[1].url.contains("/subscriptions/start?contentType=Audit.Exchange&PublisherIdentifier=")
            );
            assert_eq!(state(&found.state)["start"]["at"], json!(NOW));
            assert!(!script.urls().iter().any(|url| url.contains("/stop")));
        }
    }
    // Without a status, as in the reference's own sample, it counts as enabled.
    let mut script = Script::of([Reply::new(200, r#"[{"contentType":"audit.exchange","webhook":null}]"#), none()]);
    discover(&mut script, STREAM, None, NOW).unwrap();
    assert_eq!(script.posts(), 0);
}

#[test]
fn auditing_off_is_told_with_its_mend_and_not_asked_again_for_15_minutes() {
    let off = || {
        Reply::new(
            400,
            r#"{"error":{"code":"StartSubscription [CorrId=1]","message":"DataServiceException: Tenant 00000000-0000-0000-0000-000000000000 does not exist"}}"#,
        )
    };
    let mut script = Script::of([none(), off()]);
    let found = discover(&mut script, STREAM, None, NOW).unwrap();
    assert!(found.more && found.splits.is_empty());
    let mut script = Script::of([none()]);
    let error = discover(&mut script, STREAM, Some(&found.state), NOW + MINUTE).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unlicensed, "auditing-off"));
    assert!(error.message.contains("Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true"));
    assert_eq!(error.retry_after_ms, Some(14 * MINUTE));
    assert_eq!(script.posts(), 0);
    // Switched on by then: the list says so, and no start is needed.
    let mut script = Script::of([enabled(), none()]);
    discover(&mut script, STREAM, Some(&found.state), NOW + 2 * MINUTE).unwrap();
    // After 15 minutes, it is tried again.
    let mut script = Script::of([none(), Reply::new(200, "{}"), none()]);
    discover(&mut script, STREAM, Some(&found.state), NOW + 15 * MINUTE).unwrap();
    assert_eq!(script.posts(), 1);
}

#[test]
fn a_subscription_that_is_gone_at_the_listing_is_started_again_once() {
    for code in ["AF20022", "AF20023"] {
        let mut script = Script::of([af(400, code), Reply::new(200, "{}"), content(&["a"])]);
        let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
        assert_eq!((script.posts(), found.splits.len()), (1, 1));

        let mut script = Script::of([af(400, code), Reply::new(200, "{}"), af(400, code)]);
        let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
        assert!(found.more);
        let mut script = Script::of([none()]);
        let error = discover(&mut script, STREAM, Some(&found.state), NOW).unwrap_err();
        assert_eq!(error.code, code);
        assert_eq!(error.kind, if code == "AF20023" { ErrorKind::Unlicensed } else { ErrorKind::Unavailable });
        assert_eq!(script.posts(), 0, "one start in 15 minutes");
    }
}

#[test]
fn a_start_is_not_forgotten_when_the_listing_after_it_fails() {
    for reply in [af(400, "AF20022"), Reply::new(503, ""), af(403, "AF429")] {
        let mut script = Script::of([none(), Reply::new(200, r#"{"contentType":"Audit.Exchange"}"#), reply]);
        let found = discover(&mut script, STREAM, None, NOW).unwrap();
        assert_eq!(script.posts(), 1);
        assert_eq!(state(&found.state)["start"]["at"], json!(NOW));
        assert!(found.splits.is_empty() && found.coverage.is_empty());
        // Still not enabled a minute later: no second start.
        let mut later = json!({"v": 1});
        later["start"] = state(&found.state)["start"].clone();
        let mut script = Script::of([none()]);
        discover(&mut script, STREAM, Some(&later.to_string()), NOW + MINUTE).unwrap_err();
        assert_eq!(script.posts(), 0);
    }
}

#[test]
fn the_subscription_is_looked_at_again_after_an_hour() {
    let mut script = Script::of([none()]);
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    let mut script = Script::of([enabled(), none()]);
    discover(&mut script, STREAM, Some(&found.state), NOW + HOUR).unwrap();
}

#[test]
fn a_subscription_seen_enabled_is_not_asked_for_again_when_the_list_fails_in_passing() {
    let answered = [af(403, "AF429"), Reply::new(429, "").with("Retry-After", "0"), Reply::new(503, "")];
    let answered = answered.map(|refused| Script::of([enabled(), refused]));
    let unanswered = [ErrorKind::RateLimited, ErrorKind::Timeout, ErrorKind::Unavailable]
        .map(|kind| Script::of([enabled()]).then(kind));
    for mut script in answered.into_iter().chain(unanswered) {
        let found = discover(&mut script, STREAM, None, NOW).unwrap();
        assert!(found.more && found.next_ms >= clock::SECOND, "the list is asked for again after a pause");
        assert!(found.splits.is_empty() && found.coverage.is_empty());
        let mut script = Script::of([af(403, "AF429")]);
        let error = discover(&mut script, STREAM, Some(&found.state), NOW + MINUTE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::RateLimited, "a call that learns nothing fails");
        let mut script = Script::of([content(&["a"])]);
        let found = discover(&mut script, STREAM, Some(&found.state), NOW + MINUTE).unwrap();
        assert_eq!(found.splits.len(), 1);
        assert!(script.urls()[0].contains("startTime=2026-11-28T19:28:52&"), "from the first attempt's lookback on");
    }
    // What somebody has to mend is told at once.
    let mut script = Script::of([enabled(), af(403, "AF20010")]);
    discover(&mut script, STREAM, None, NOW).unwrap_err();
    // A gap that ends with the subscription is told once, though the list fails.
    let stopped =
        json!({"v": 1, "watermark": NOW - HOUR, "live_at": NOW - HOUR, "stopped_since": NOW - HOUR}).to_string();
    let mut script = Script::of([enabled(), af(403, "AF429")]);
    let found = discover(&mut script, STREAM, Some(&stopped), NOW).unwrap();
    assert_eq!((found.lost.len(), found.lost[0].0), (1, Interval { start: NOW - HOUR, end: NOW }));
    let mut script = Script::of([none()]);
    assert!(discover(&mut script, STREAM, Some(&found.state), NOW + MINUTE).unwrap().lost.is_empty());
}

#[test]
fn pages_are_followed_in_any_letter_case_and_verbatim() {
    for name in ["NextPageUri", "nextpageuri", "NEXTPAGEURI"] {
        let next = "https://manage.office.com/api/v1/x/subscriptions/content?contentType=Audit.Exchange&nextPage=a$b";
        let mut script = Script::of([content(&["a"]).with(name, next), content(&["b"])]);
        let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
        assert_eq!(found.splits.len(), 2);
        assert_eq!(script.urls()[1], format!("{next}&PublisherIdentifier={TENANT}"));
        assert_eq!(state(&found.state)["watermark"], json!(NOW));
    }
}

#[test]
fn a_stale_page_restarts_the_window() {
    let next = "https://manage.office.com/next?p=1";
    let mut script = Script::of([content(&["a"]).with("NextPageUri", next), af(400, "AF20031"), content(&["a", "b"])]);
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!(found.splits.len(), 2);
    assert_eq!(script.urls()[0], script.urls()[2]);
    let mut script = Script::of([
        content(&["a"]).with("NextPageUri", next),
        af(400, "AF20031"),
        content(&["a"]).with("NextPageUri", next),
        af(400, "AF20031"),
    ]);
    assert_eq!(discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap_err().kind, ErrorKind::Restart);
}

#[test]
fn a_failure_in_the_middle_keeps_the_pages_before_it() {
    let next = "https://manage.office.com/next?p=1";
    let mut script = Script::of([content(&["a"]).with("NextPageUri", next), Reply::new(503, "")]);
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!((found.splits.len(), found.more, found.next_ms, found.coverage.len()), (1, true, 5_000, 0));
    assert_eq!(state(&found.state)["watermark"], json!(NOW - HOUR), "not all is listed");
    let mut script = Script::of([content(&["b"])]);
    let rest = discover(&mut script, STREAM, Some(&found.state), NOW + MINUTE).unwrap();
    assert!(script.urls()[0].starts_with(next));
    assert_eq!(rest.coverage, [Interval { start: NOW - 2 * HOUR, end: NOW }]);
    // Hours later, the address of the page isn't trusted any more.
    let mut script = Script::of([enabled(), content(&["a", "b"])]);
    discover(&mut script, STREAM, Some(&found.state), NOW + 2 * HOUR).unwrap();
    assert!(script.urls()[1].contains("startTime=2026-11-29T18:28:52"));
}

#[test]
fn content_without_an_address_fails_alone_and_one_without_uri_gets_its_own() {
    let list = r#"[{"contentId":"a","contentCreated":"2026-11-29T10:00:00.000Z"},{"contentUri":"https://manage.office.com/b"}]"#;
    let mut script = Script::of([Reply::new(200, list)]);
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!(found.splits.len(), 2);
    assert!(found.splits.iter().any(|split| split.payload.contains("/activity/feed/audit/a")));
    assert!(found.splits.iter().any(|split| split.id == "https://manage.office.com/b"));
    // One that says neither fails alone, and is told once.
    let list = r#"[{"contentId":"a","contentCreated":"2026-11-29T10:00:00.000Z"},{"contentType":"x"}]"#;
    let mut script = Script::of([Reply::new(200, list)]);
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!((found.splits.len(), found.coverage.len(), script.notes.len()), (1, 1, 1));
    assert!(script.notes[0].message.contains("neither contentUri nor contentId"));
    let mut script = Script::of([Reply::new(200, list)]);
    assert_eq!(discover(&mut script, STREAM, Some(&found.state), NOW + HOUR / 2).unwrap().splits.len(), 1);
    assert!(script.notes.is_empty(), "{:?}", script.notes);
}

#[test]
fn many_pages_are_listed_in_several_calls() {
    let ids: Vec<String> = (0..2_000).map(|i| format!("id{i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut script = Script::of([content(&ids).with("NextPageUri", "https://manage.office.com/next")]);
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!((found.splits.len(), found.more), (2_000, true));
    assert!(found.state.len() < 2_000);
    let mut script = Script::of([content(&["last"])]);
    assert!(!discover(&mut script, STREAM, Some(&found.state), NOW).unwrap().more);
}

#[test]
fn a_gap_beyond_seven_days_is_told_as_lost() {
    let mut script = Script::of([enabled(), none()]);
    let old = subscribed(json!({"watermark": NOW - 10 * DAY, "enabled_at": NOW - 10 * DAY}));
    let found = discover(&mut script, STREAM, Some(&old), NOW).unwrap();
    assert_eq!(found.lost.len(), 1);
    assert_eq!(found.lost[0].0, Interval { start: NOW - 10 * DAY, end: NOW - REACH });
    assert!(found.more);
    assert!(script.urls()[1].contains("startTime=2026-11-22T20:33:52&endTime=2026-11-22T22:33:52"));
    // It is told once.
    let mut script = Script::of([none()]);
    assert!(discover(&mut script, STREAM, Some(&found.state), NOW).unwrap().lost.is_empty());
}

#[test]
fn the_lookback_is_cut_to_what_the_service_lists() {
    let mut script = Script::of([enabled(), none()]);
    let found = discover_with(&settings(r#""lookback_hours":168"#), &mut script, STREAM, None, NOW).unwrap();
    assert!(script.urls()[1].contains("startTime=2026-11-22T20:33:52"));
    assert!(found.lost.is_empty(), "nothing was promised before");
}

#[test]
fn a_clock_that_is_behind_is_corrected_by_the_services_date() {
    let now = NOW - 2 * DAY;
    let old = json!({"v": 1, "enabled_at": now, "watermark": NOW - 9 * DAY}).to_string();
    for code in ["AF20030", "AF20055"] {
        let mut script = Script::of([af(400, code), af(400, code), none()]);
        let found = discover(&mut script, STREAM, Some(&old), now).unwrap();
        assert_eq!(script.urls()[0], script.urls()[1], "one answer alone is no reason");
        assert!(script.urls()[2].contains("startTime=2026-11-22T20:33:52"), "{}", script.urls()[2]);
        assert_eq!(state(&found.state)["skew_ms"], json!(2 * DAY));
        assert!(script.notes.iter().any(|note| note.message.contains("172800 seconds")));
        let mut script = Script::of([af(400, code), af(400, code), af(400, code)]);
        assert_eq!(discover(&mut script, STREAM, Some(&old), now).unwrap_err().kind, ErrorKind::Unavailable);
        // Two answers that tell different times are none.
        let mut script = Script::of([af(400, code), af(400, code).with("Date", "Sun, 29 Nov 2026 10:00:00 GMT")]);
        assert_eq!(discover(&mut script, STREAM, Some(&old), now).unwrap_err().kind, ErrorKind::Unavailable);
        // Once the clock is set, the difference is forgotten.
        let mut script = Script::of([enabled(), none()]);
        let found = discover(&mut script, STREAM, Some(&found.state), NOW).unwrap();
        assert_eq!(state(&found.state).get("skew_ms"), None);
    }
}

#[test]
fn a_clock_that_is_ahead_does_not_move_the_watermark_past_the_services() {
    let ahead = NOW + 3 * HOUR;
    let mut script = Script::of([none()]);
    let state_before = json!({"v": 1, "enabled_at": ahead, "watermark": NOW - HOUR}).to_string();
    let found = discover(&mut script, STREAM, Some(&state_before), ahead).unwrap();
    assert_eq!(state(&found.state)["watermark"], json!(NOW), "the answer's date is {DATE}");
    assert_eq!(found.coverage[0].end, NOW);
    assert!(!found.more);
}

#[test]
fn one_answer_with_a_far_date_moves_nothing() {
    let before = json!({"v": 1, "enabled_at": NOW, "watermark": NOW - HOUR, "live_at": NOW - HOUR}).to_string();
    for date in ["Wed, 09 Dec 2026 20:28:52 GMT", "Thu, 19 Nov 2026 20:28:52 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let mut script = Script::of([none().with("Date", date)]);
        let found = discover(&mut script, STREAM, Some(&before), NOW).unwrap();
        assert!(state(&found.state)["watermark"].as_u64().unwrap() <= NOW && found.sealed.unwrap() <= NOW, "{date}");
        assert!(found.coverage.iter().all(|stretch| stretch.end <= NOW) && found.lost.is_empty());
        // The next answer is right, and everything is as it was.
        let later = NOW + 3 * MINUTE;
        let mut script = Script::of([none().with("Date", "Sun, 29 Nov 2026 20:31:52 GMT")]);
        let found = discover(&mut script, STREAM, Some(&found.state), later).unwrap();
        assert_eq!(state(&found.state)["watermark"], json!(later), "{date}");
        assert_eq!((state(&found.state).get("skew_ms"), state(&found.state).get("told_ms")), (None, None));
        assert!(
            script.urls()[0].contains("endTime=2026-11-29T20:31:52") && found.lost.is_empty(),
            "{}",
            script.urls()[0]
        );
    }
}

#[test]
fn a_state_from_beyond_now_is_taken_back() {
    let ahead = NOW + 10 * DAY;
    let before = json!({
        "v": 1, "enabled_at": ahead, "watermark": ahead, "live_at": ahead, "start": {"at": ahead}, "passes": {"3600000": ahead},
    });
    let mut script = Script::of([enabled(), none()]);
    let found = discover(&mut script, STREAM, Some(&before.to_string()), NOW).unwrap();
    assert!(state(&found.state)["watermark"].as_u64().unwrap() <= NOW + MINUTE && found.lost.is_empty());
    assert!(found.sealed.unwrap() <= NOW + MINUTE);
    assert!(script.urls()[1].contains("endTime=2026-11-29T20:28:52"), "it goes on from now: {}", script.urls()[1]);
}

#[test]
fn refusals_become_the_right_errors() {
    use ErrorKind::*;
    for (reply, kind, code, word) in [
        (af(401, "AF10001"), Forbidden, "AF10001", "ActivityFeed.Read"),
        (af(400, "AF20010"), InvalidConfig, "AF20010", "GUID"),
        (af(400, "AF20013"), InvalidConfig, "AF20013", "GUID"),
        (af(400, "AF20011"), InvalidConfig, "AF20011", "tenant"),
        (af(400, "AF20020"), Internal, "AF20020", "report"),
        (af(403, "AF429"), RateLimited, "AF429", "slowed"),
        (Reply::new(429, ""), RateLimited, "http-429", "slowed"),
        (af(500, "AF50000"), Unavailable, "AF50000", "again"),
        (af(200 + 300, "AF50006"), Unavailable, "AF50006", "again"),
        (Reply::new(503, "down"), Unavailable, "http-503", "again"),
        (Reply::new(408, ""), Unavailable, "http-408", "again"),
        (Reply::new(403, "<html>no</html>"), Unavailable, "html", "gateway"),
        (Reply::new(401, ""), Unauthenticated, "http-401", "token"),
        (Reply::new(403, "{}"), Forbidden, "http-403", "consent"),
        (af(400, "AF29999"), Protocol, "AF29999", "patience"),
        (Reply::new(404, ""), Protocol, "http-404", "patience"),
        (Reply::new(200, "{}"), Protocol, "not-a-list", "again"),
        (Reply::new(200, "<html>"), Unavailable, "html", "again"),
    ] {
        let mut script = Script::of([reply.with("Retry-After", "17").with("request-id", "r-1")]);
        let error = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{}", error.message);
        assert!(error.message.contains(word), "{}", error.message);
        if kind == RateLimited {
            assert_eq!(error.retry_after_ms, Some(17_000));
        }
    }
    let mut script = Script::of([af(401, "AF10001")]);
    let error = discover(&mut script, "office365.dlp", None, NOW).unwrap_err();
    assert!(error.message.contains("ActivityFeed.ReadDlp"));
}

#[test]
fn states_of_others_are_refused() {
    for text in ["", "{}", r#"{"v":2}"#, "[]"] {
        assert_eq!(discover(&mut Script::default(), STREAM, Some(text), NOW).unwrap_err().kind, ErrorKind::BadData);
    }
    // A later version's members don't disturb.
    let mut script = Script::of([none()]);
    discover(&mut script, STREAM, Some(&subscribed(json!({"lanes": [{"after": "15m"}]}))), NOW).unwrap();
}

#[test]
fn transport_errors_are_passed_on_and_foreign_addresses_named() {
    let mut script = Script::default().then(ErrorKind::Timeout);
    assert_eq!(discover(&mut script, STREAM, None, NOW).unwrap_err().kind, ErrorKind::Timeout);
    let mut script =
        Script::of([content(&[]).with("NextPageUri", "https://evil.example")]).then(ErrorKind::DeniedByHost);
    let error = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeniedByHost);
    assert!(error.message.contains("https://evil.example,") && error.message.contains("manage.office.com"));
}

#[test]
fn a_next_page_that_is_said_to_be_elsewhere_is_asked_for_at_the_root() {
    let foreign = "https://evil.example/api/v1/next?nextPage=2";
    let mut script = Script::of([content(&["a"]).with("NextPageUri", foreign)]).then(ErrorKind::DeniedByHost);
    script.replies.push_back(Ok(content(&["b"])));
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!((found.splits.len(), found.more), (2, false));
    let own = "https://manage.office.com/api/v1/next?nextPage=2&";
    assert!(script.urls()[2].starts_with(own), "{:?}", script.urls());
    assert!(script.notes.iter().any(|note| note.message.contains("https://evil.example,")), "{:?}", script.notes);

    // Where it goes on to itself, also by that other address.
    let mut script = Script::of([content(&[]).with("NextPageUri", foreign)]).then(ErrorKind::DeniedByHost);
    script.replies.push_back(Ok(content(&[]).with("NextPageUri", foreign)));
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!((found.splits.len(), found.coverage.len()), (0, 1));

    // What was listed is kept where the root refuses it too, and so is the page.
    let mut script = Script::of([content(&["a"]).with("NextPageUri", foreign)])
        .then(ErrorKind::DeniedByHost)
        .then(ErrorKind::DeniedByHost);
    let found = discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap();
    assert_eq!((found.splits.len(), found.more), (1, true));
    let mut script = Script::default().then(ErrorKind::DeniedByHost);
    let error = discover(&mut script, STREAM, Some(&found.state), NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeniedByHost);
    assert!(script.urls()[0].starts_with(own), "{:?}", script.urls());
}

fn blob() -> Split {
    let mut script = Script::of([content(&["a"])]);
    discover(&mut script, STREAM, Some(&subscribed(json!({}))), NOW).unwrap().splits.remove(0)
}

#[test]
fn a_blob_gives_its_records_untouched() {
    let mut script = Script::of([Reply::new(200, "[{\"Id\":\"1\",\r\n\"x\":\"\\/\"} , {\"Id\":\"2\"}]")]);
    let (lines, chunks) = read(&mut script, &blob(), None, 1).unwrap();
    assert_eq!(lines, ["{\"Id\":\"1\",  \"x\":\"\\/\"}", "{\"Id\":\"2\"}"]);
    assert!(chunks.iter().all(|chunk| chunk.resume.is_none()));
    assert_eq!(chunks.iter().filter(|chunk| chunk.done).count(), 1);
    assert!(chunks.last().unwrap().done);
    assert!(script.urls()[0].ends_with(&format!("/audit/a$x$y?PublisherIdentifier={TENANT}")));

    let mut script = Script::of([
        Reply::new(200, "[1]").with("nextPageUri", "https://manage.office.com/n?x"),
        Reply::new(200, "[2]"),
    ]);
    assert_eq!(read(&mut script, &blob(), None, 1000).unwrap().0, ["1", "2"]);
}

#[test]
fn refused_blobs_become_the_right_errors() {
    use ErrorKind::*;
    for (reply, kind) in [
        (af(404, "AF20050"), NotFound),
        (Reply::new(404, ""), NotFound),
        (af(400, "AF20052"), NotFound),
        (af(400, "AF20051"), Gone),
        (Reply::new(410, ""), Gone),
        (Reply::new(401, ""), Unauthenticated),
        (af(403, "AF10001"), Forbidden),
        (af(403, "AF429"), RateLimited),
        (Reply::new(429, ""), RateLimited),
        (Reply::new(500, ""), Unavailable),
        (Reply::new(404, "<html>"), Unavailable),
        (af(500, "AF50000"), Unavailable),
        (Reply::new(200, "<html>"), Unavailable),
        (Reply::new(200, "[{\"a\":1},"), Protocol),
        (Reply::new(200, "[1,").cut(Protocol), Protocol),
        (Reply::new(200, "[1,").cut(Unavailable), Unavailable),
    ] {
        let shown = format!("{reply:?}");
        let error = read(&mut Script::of([reply]), &blob(), None, 1000).unwrap_err();
        assert_eq!(error.kind, kind, "{shown}: {}", error.message);
    }
    // Our own clock says nothing about a blob: the service is asked.
    let mut split = blob();
    split.expires = Some(NOW - DAY);
    assert_eq!(read(&mut Script::of([Reply::new(200, "[1]")]), &split, None, 1000).unwrap().0, ["1"]);
    split.payload = "{}".into();
    assert_eq!(read(&mut Script::default(), &split, None, 1000).unwrap_err().kind, BadData);
    let mut script = Script::default().then(DeniedByHost).then(DeniedByHost);
    assert!(read(&mut script, &blob(), None, 1000).unwrap_err().message.contains("contentUri"));
}

#[test]
fn a_blob_that_is_said_to_be_elsewhere_is_asked_for_by_its_id() {
    let mut script = Script::default().then(ErrorKind::DeniedByHost);
    script.replies.push_back(Ok(Reply::new(200, "[{\"a\":1}]")));
    let (lines, _) = read(&mut script, &blob(), None, 1000).unwrap();
    assert_eq!(lines, ["{\"a\":1}"]);
    let own = format!("https://manage.office.com/api/v1.0/{TENANT}/activity/feed/audit/a?");
    assert!(script.urls()[1].starts_with(&own), "{:?}", script.urls());
}

#[test]
fn a_next_page_of_a_blob_that_is_said_to_be_elsewhere_is_asked_for_at_the_root() {
    let foreign = "https://evil.example/api/v1/n?nextPage=2";
    let first = || Reply::new(200, "[1]").with("NextPageUri", foreign);
    let mut script = Script::of([first()]).then(ErrorKind::DeniedByHost);
    script.replies.push_back(Ok(Reply::new(200, "[2]")));
    assert_eq!(read(&mut script, &blob(), None, 1000).unwrap().0, ["1", "2"]);
    assert!(script.urls()[2].starts_with("https://manage.office.com/api/v1/n?nextPage=2&"), "{:?}", script.urls());

    // Where it goes on to itself, and where the root refuses it too.
    let mut script = Script::of([first()]).then(ErrorKind::DeniedByHost);
    script.replies.push_back(Ok(first()));
    assert_eq!(read(&mut script, &blob(), None, 1000).unwrap_err().code, "endless-pages");
    let mut script = Script::of([first()]).then(ErrorKind::DeniedByHost).then(ErrorKind::DeniedByHost);
    let error = read(&mut script, &blob(), None, 1000).unwrap_err();
    assert!(error.kind == ErrorKind::DeniedByHost && error.message.contains("NextPageUri"), "{}", error.message);
}

#[test]
fn a_list_that_leaves_a_subscription_out_by_mistake_is_no_gap() {
    let asked_an_hour_ago = subscribed(json!({"enabled_at": NOW - 2 * HOUR, "live_at": NOW - MINUTE}));
    let lost = |start: Reply| {
        let mut script = Script::of([Reply::new(200, "[]"), start, content(&[])]);
        discover(&mut script, STREAM, Some(&asked_an_hour_ago), NOW).unwrap().lost.len()
    };
    assert_eq!(lost(Reply::new(200, r#"{"contentType":"Audit.Exchange","status":"enabled"}"#)), 1);
    assert_eq!(lost(af(400, "AF20024")), 0, "it was enabled all the time");
}

#[test]
fn the_check_changes_nothing_and_finds_the_cause() {
    use Severity::*;
    for (replies, severity, code) in [
        (vec![enabled(), content(&["a"])], Ok, "ok"),
        (vec![none(), none()], Ok, "ok"),
        (vec![none(), af(400, "AF20022")], Note, "AF20022"),
        (vec![none(), af(400, "AF20023")], Failure, "AF20023"),
        (vec![af(401, "AF10001")], Failure, "AF10001"),
        (vec![none(), af(401, "AF10001")], Failure, "AF10001"),
        (vec![none(), Reply::new(200, "no")], Failure, "not-a-list"),
    ] {
        let mut script = Script::of(replies);
        let mut notes = Vec::new();
        let findings = source::check(&settings(""), &mut script, &mut Lines(&mut notes), STREAM, NOW);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].severity, findings[0].code.as_str()), (severity, code));
        assert_eq!(findings[0].severity == Ok, findings[0].mend.is_empty());
        assert_eq!(script.posts(), 0);
    }
    let mut script = Script::of([none(), none()]);
    let findings = source::check(&settings(""), &mut script, &mut Lines(&mut Vec::new()), STREAM, NOW + DAY);
    assert_eq!((findings[0].severity, findings[0].code.as_str()), (Note, "clock-skew"));
    let mut script = Script::default().then(ErrorKind::Unauthenticated);
    let findings = source::check(&settings(""), &mut script, &mut Lines(&mut Vec::new()), STREAM, NOW);
    assert_eq!(findings[0].severity, Failure);
    let findings =
        source::check(&settings(""), &mut Script::default(), &mut Lines(&mut Vec::new()), "office365.nothing", NOW);
    assert_eq!(findings[0].code, "unknown-stream");
}
