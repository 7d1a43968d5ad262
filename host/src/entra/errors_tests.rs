//! Every code that has a meaning, and the shapes of refusals.

use super::*;

const TRACE: &str = "11111111-2222-4333-8444-555555555555";
const CORRELATION: &str = "66666666-7777-4888-9999-aaaaaaaaaaaa";

fn subject() -> Subject {
    Subject { failure: "No token for microsoft-graph (tenant contoso.com)".to_owned(), api: None }
}

fn refusal(word: &str, code: u32) -> String {
    serde_json::json!({
        "error": word,
        "error_description": format!("AADSTS{code}: canary description. Trace ID: {TRACE}"),
        "error_codes": [code],
        "timestamp": "2026-01-02 03:04:05Z",
        "trace_id": TRACE,
        "correlation_id": CORRELATION,
        "error_uri": "https://login.microsoftonline.com/error?code=canary"
    })
    .to_string()
}

fn explained(status: u16, body: &str) -> (Error, Again) {
    explain(status, body.as_bytes(), None, &subject())
}

#[test]
fn every_code_has_its_class_and_mend() {
    use Again::*;
    use ErrorKind::*;
    let table: &[(&[u32], ErrorKind, Again, &str)] = &[
        (&[7000215], Unauthenticated, AfterMending, "Value"),
        (&[7000222], Unauthenticated, AfterMending, "expired"),
        (&[700016, 700011], Unauthenticated, AfterMending, "client ID"),
        (&[7000112, 70001], Unauthenticated, AfterMending, "Enterprise applications"),
        (&[90002], InvalidConfig, AfterMending, "tenant was not found"),
        (&[50128, 50059, 90019], InvalidConfig, AfterMending, "verified domains"),
        (&[90038, 900382, 900432], InvalidConfig, AfterMending, "cloud"),
        (&[500011, 50001, 650057, 650052], Unauthenticated, AfterMending, "licence"),
        (&[65001, 650056, 90094], Unauthenticated, AfterMending, "admin consent"),
        (&[70011, 28002, 28003, 700022, 901002], Internal, AfterMending, "report"),
        (&[700027, 50012, 50013, 50048, 700030], Unauthenticated, AfterMending, "certificate"),
        (&[500133], Unauthenticated, AfterMending, "clock"),
        (&[7000218, 900144, 90014], InvalidConfig, AfterMending, "client secret"),
        (&[700025], InvalidConfig, AfterMending, "public client"),
        (&[700229], Unauthenticated, AfterMending, "app-only"),
        (&[53003, 530032, 530035, 53011], Unauthenticated, AfterMending, "Conditional Access"),
        (&[50002, 500021, 500022], Unauthenticated, AfterMending, "proxy"),
        (&[50196], RateLimited, AfterLoop, "loop"),
        (&[50033, 90006, 90012, 90024, 90033, 90090, 50000], Unavailable, Soon, "transient"),
        (&[90055], RateLimited, Throttled, "throttles"),
        (&[50034, 50126, 50053, 50057, 50076], Unauthenticated, AfterMending, "user's sign-in"),
    ];
    for (codes, kind, again, words) in table {
        for code in *codes {
            let (error, when) = explained(400, &refusal("invalid_client", *code));
            assert_eq!((error.kind, when, error.code), (*kind, *again, format!("AADSTS{code}")));
            assert!(error.message.contains(words), "{}", error.message);
        }
    }
    let listed: usize = table.iter().map(|(codes, ..)| codes.len()).sum();
    assert_eq!(listed, MEANINGS.iter().map(|meaning| meaning.codes.len()).sum::<usize>(), "no row is missing here");
}

#[test]
fn no_code_stands_in_two_rows() {
    let mut codes: Vec<u32> = MEANINGS.iter().flat_map(|meaning| meaning.codes).copied().collect();
    codes.sort_unstable();
    assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_message_is_whole_and_holds_the_ids_for_support() {
    let (error, _) = explained(401, &refusal("invalid_client", 7000215));
    assert_eq!(
        error.message,
        format!(
            "No token for microsoft-graph (tenant contoso.com): The client secret was rejected. Configure the secret's \
             Value as it was shown when the secret was created, not its Secret ID. (AADSTS7000215, HTTP 401, trace id \
             {TRACE}, correlation id {CORRELATION})"
        )
    );
}

#[test]
fn a_loop_is_left_alone_for_ten_minutes() {
    assert_eq!(explained(400, &refusal("invalid_grant", 50196)).0.retry_after, Some(Duration::from_secs(600)));
}

#[test]
fn the_word_temporarily_unavailable_outweighs_the_code() {
    let (error, again) = explained(400, &refusal("temporarily_unavailable", 7000215));
    assert_eq!((error.kind, again), (ErrorKind::Unavailable, Again::Soon));
}

#[test]
fn the_code_is_found_where_it_stands() {
    for body in [
        r#"{"error":"invalid_client","error_description":"AADSTS7000222: The keys are expired."}"#,
        r#"{"error":"invalid_client","error_codes":[7000222]}"#,
        r#"{"error":"invalid_client","error_codes":[999, 7000222]}"#,
        r#"{"error_codes":[7000222],"error_description":"AADSTS999: x"}"#,
    ] {
        assert_eq!(explained(401, body).0.code, "AADSTS7000222", "{body}");
    }
}

#[test]
fn unknown_refusals_still_get_a_sentence() {
    for (status, body, kind, again, code) in [
        (400, refusal("invalid_client", 123), ErrorKind::Unauthenticated, Again::AfterMending, "AADSTS123"),
        (
            400,
            r#"{"error":"invalid_request"}"#.to_owned(),
            ErrorKind::InvalidConfig,
            Again::AfterMending,
            "invalid_request",
        ),
        (400, r#"{"error":"canary"}"#.to_owned(), ErrorKind::Unauthenticated, Again::AfterMending, "login-400"),
        (403, "<html>canary</html>".to_owned(), ErrorKind::Unavailable, Again::Soon, "login-403"),
        (302, String::new(), ErrorKind::Unauthenticated, Again::AfterMending, "login-302"),
        (408, String::new(), ErrorKind::Unavailable, Again::Soon, "login-408"),
        (503, "<html>canary</html>".to_owned(), ErrorKind::Unavailable, Again::Soon, "login-503"),
        (429, String::new(), ErrorKind::RateLimited, Again::Throttled, "login-429"),
        (
            400,
            r#"{"error":7,"error_codes":"x"}"#.to_owned(),
            ErrorKind::Unauthenticated,
            Again::AfterMending,
            "login-400",
        ),
    ] {
        let (error, when) = explained(status, &body);
        assert_eq!((error.kind, when, error.code.as_str()), (kind, again, code));
        assert!(!error.message.contains("canary"), "{}", error.message);
    }
}

#[test]
fn ids_that_are_none_are_left_out() {
    let body =
        serde_json::json!({"error": "invalid_client", "trace_id": "canary\nline", "correlation_id": ""}).to_string();
    let message = explained(401, &body).0.message;
    assert!(
        !message.contains("canary") && !message.contains("trace id") && !message.contains("correlation id"),
        "{message}"
    );
}
