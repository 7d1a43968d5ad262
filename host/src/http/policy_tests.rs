//! The gate, reason by reason.

use super::*;

fn gate() -> Gate {
    let allow = |audience: Option<&str>, root: &str| Allow {
        audience: audience.map(str::to_owned),
        root: root.parse().unwrap(),
    };
    Gate::new(&[
        allow(Some("api"), "https://api.example.com"),
        allow(Some("api"), "https://api.example.com:8443"),
        allow(Some("other"), "https://other.example.com"),
        allow(Some("local"), "http://127.0.0.1:8080"),
        allow(Some("local"), "http://[::1]:8080"),
        allow(Some("local"), "https://localhost:8443"),
        allow(None, "https://open.example.com"),
    ])
    .unwrap()
}

fn verdict(url: &str, audience: Option<&str>) -> Result<String, DenyReason> {
    gate().check(&Request::get(url, audience, "q")).map(|passed| passed.uri.to_string()).map_err(|denial| denial.reason)
}

#[test]
fn allowed_addresses_pass_unchanged() {
    for (url, audience) in [
        ("https://api.example.com/", Some("api")),
        ("https://api.example.com/a/b$c?d=e$f&$filter=x%20eq%20'y'", Some("api")),
        ("https://api.example.com:8443/a", Some("api")),
        ("http://127.0.0.1:8080/a", Some("local")),
        ("http://[::1]:8080/a", Some("local")),
        ("https://localhost:8443/a", Some("local")),
        ("https://open.example.com/a?email=a@b", None),
    ] {
        // Single quotes come out encoded, which means the same.
        assert_eq!(verdict(url, audience), Ok(url.replace('\'', "%27")), "{url}");
    }
    assert_eq!(verdict("HTTPS://API.example.com:443/A", Some("api")).as_deref(), Ok("https://api.example.com/A"));
}

#[test]
fn every_other_address_is_refused_with_its_reason() {
    use DenyReason::*;
    for (url, reason) in [
        ("", MalformedUrl),
        ("/relative", MalformedUrl),
        ("https://", MalformedUrl),
        ("https:api.example.com/a", MalformedUrl),
        ("https:/api.example.com/a", MalformedUrl),
        ("https:///api.example.com/a", MalformedUrl),
        ("https://api.example.com:99999/", MalformedUrl),
        ("https://api.exa mple.com/", ControlCharacter),
        (" https://api.example.com/", ControlCharacter),
        ("https://api.example.com/\r\nx: y", ControlCharacter),
        ("https://api.example.com/\ta", ControlCharacter),
        ("https://api.example.com\\@evil.example/", ControlCharacter),
        ("https://api.example.com/\u{0}", ControlCharacter),
        ("https://api.example.com/\u{85}", ControlCharacter),
        ("https://user@api.example.com/", UserInfo),
        ("https://user:password@api.example.com/", UserInfo),
        ("https://@api.example.com/", UserInfo),
        ("https://:@api.example.com/", UserInfo),
        ("https://api.example.com@evil.example/", UserInfo),
        ("https://api.example.com/#a", Fragment),
        ("https://api.example.com/#", Fragment),
        ("http://api.example.com/", Scheme),
        ("ftp://api.example.com/", Scheme),
        ("file:///etc/passwd", Scheme),
        ("data:text/plain,x", Scheme),
        ("https://127.0.0.1/", IpLiteral),
        ("https://127.0.0.1:8081/", IpLiteral),
        ("https://2130706433/", IpLiteral),
        ("https://0x7f.1/", IpLiteral),
        ("https://[::1]/", IpLiteral),
        ("https://[::ffff:127.0.0.1]/", IpLiteral),
        ("http://169.254.169.254/metadata", IpLiteral),
        ("https://evil.example/", OriginNotAllowed),
        ("https://other.example.com/", OriginNotAllowed),
        ("https://open.example.com/", OriginNotAllowed),
        ("https://api.example.com:444/", OriginNotAllowed),
        ("https://api.example.com.evil.example/", OriginNotAllowed),
        ("https://sub.api.example.com/", OriginNotAllowed),
        ("https://api.example.com./", OriginNotAllowed),
        ("https://api.example.com%2eevil.example/", OriginNotAllowed),
        // A full-width letter maps to its plain one, a Cyrillic one doesn't.
        ("https://\u{430}pi.example.com/", OriginNotAllowed),
        // Configured, but for another audience.
        ("http://127.0.0.1:8080/", OriginNotAllowed),
    ] {
        assert_eq!(verdict(url, Some("api")), Err(reason), "{url:?}");
    }
    assert_eq!(
        verdict(&format!("https://api.example.com/{}", "a".repeat(MAX_URL_BYTES)), Some("api")),
        Err(MalformedUrl)
    );
    assert_eq!(verdict("https://api.example.com/", Some("nobody")), Err(UnknownAudience));
    assert_eq!(verdict("https://api.example.com/", None), Err(OriginNotAllowed));
    // http and https are two origins, on loopback too.
    assert_eq!(verdict("https://127.0.0.1:8080/", Some("local")), Err(IpLiteral));
    assert_eq!(verdict("http://localhost:8443/", Some("local")), Err(Scheme));
}

#[test]
fn without_a_tokenless_entry_no_request_goes_without_audience() {
    let gate =
        Gate::new(&[Allow { audience: Some("api".to_owned()), root: "https://api.example.com".parse().unwrap() }])
            .unwrap();
    let denial = gate.check(&Request::get("https://api.example.com/", None, "q")).unwrap_err();
    assert_eq!(denial.reason, DenyReason::OriginNotAllowed);
}

fn header_verdict(name: &str, value: &str) -> Result<Vec<(String, String)>, DenyReason> {
    let mut request = Request::get("https://api.example.com/", Some("api"), "q");
    request.headers.push((name.to_owned(), value.to_owned()));
    let passed = gate().check(&request).map_err(|denial| denial.reason)?;
    Ok(passed.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect())
}

#[test]
fn reserved_headers_are_the_hosts() {
    for name in [
        "authorization",
        "Authorization",
        "host",
        "cookie",
        "connection",
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "proxy-authorization",
        "proxy-connection",
        "Proxy-Anything",
        "expect",
        "te",
        "upgrade",
        "trailer",
        "keep-alive",
    ] {
        assert_eq!(header_verdict(name, "x"), Err(DenyReason::ReservedHeader), "{name}");
    }
}

#[test]
fn headers_cannot_inject_anything() {
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a:b", "x"),
        ("a\r\nhost", "x"),
        ("n\u{e4}me", "x"),
        ("accept", "x\r\nauthorization: Bearer x"),
        ("accept", "x\ny"),
        ("accept", "x\u{0}"),
        ("accept", "x\u{7f}"),
    ] {
        assert_eq!(header_verdict(name, value), Err(DenyReason::InvalidHeader), "{name:?}: {value:?}");
    }
    assert_eq!(
        header_verdict("Client-Request-Id", "a b\tc"),
        Ok(vec![("client-request-id".to_owned(), "a b\tc".to_owned())])
    );
}

#[test]
fn a_get_has_no_body() {
    let mut request = Request::get("https://api.example.com/", Some("api"), "q");
    request.body = Some(Vec::new());
    assert_eq!(gate().check(&request).unwrap_err().reason, DenyReason::UnexpectedBody);
    request.method = Method::Post;
    assert!(gate().check(&request).is_ok());
}

#[test]
fn a_denial_quotes_neither_path_nor_query_nor_user() {
    for url in [
        "https://canary:canary@api.example.com/canary?canary#canary",
        "https://evil.example/canary?canary",
        "not a canary",
    ] {
        let denial = gate().check(&Request::get(url, Some("api"), "q")).unwrap_err();
        assert!(!format!("{denial:?} {:?}", denial.error()).contains("canary"), "{url}");
    }
}

#[test]
fn entries_that_would_allow_less_or_more_than_they_seem_to_are_refused() {
    for root in [
        "http://api.example.com",
        "ftp://api.example.com",
        "https://192.0.2.1",
        "https://[2001:db8::1]",
        "http://10.0.0.1:8080",
        "https://api.example.com/path",
        "https://api.example.com/?query",
        "https://canary@api.example.com",
        "data:canary",
    ] {
        let error = Gate::new(&[Allow { audience: None, root: root.parse().unwrap() }]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidConfig, "{root}");
        assert!(!error.message.contains("canary"), "{error}");
    }
}
