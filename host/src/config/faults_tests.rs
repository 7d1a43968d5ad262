use proptest::prelude::*;

use super::super::{load::parse, stream_matches};

/// In two halves, so that one stays whole when the other one is changed.
const CANARY: &str = "c4n4ry-c4n4ry";

const BASE: &str = r#"
tenant = "contoso.onmicrosoft.com"
client_id = "11111111-2222-3333-4444-555555555555"
data_dir = "data"
"#;

const HTTP: &str = "[[sinks]]\ntype = \"http\"\nurl = \"https://x.example\"\n";

/// What is wrong with a configuration, also where that shows only when its secrets are read.
fn told(text: &str) -> Option<String> {
    let config = match parse(text) {
        Ok(config) => config,
        Err(error) => return Some(error.0),
    };
    let mut told = Vec::new();
    told.extend(config.client_secret().err().map(|error| error.0));
    told.extend(
        config.http.proxy_password.as_ref().and_then(|place| place.read("http.proxy_password").err()).map(|e| e.0),
    );
    for sink in &config.sinks {
        for place in sink.auth.iter().flat_map(|auth| [&auth.bearer, &auth.password]).flatten() {
            told.extend(place.read("auth").err().map(|error| error.0));
        }
        told.extend(sink.headers.values().filter_map(|header| header.read("headers").err()).map(|error| error.0));
    }
    (!told.is_empty()).then(|| told.join("\n"))
}

/// The places where somebody may write a secret that doesn't belong there.
fn places() -> Vec<String> {
    let values = [
        format!("\"{CANARY}\""),
        format!("[\"{CANARY}\"]"),
        format!("{{ x = \"{CANARY}\" }}"),
        format!("{{ env = [\"{CANARY}\"] }}"),
        format!("{{ env = \"{CANARY}\" }}"),
        format!("{{ file = \"{CANARY}\" }}"),
        format!("{{ env = \"{CANARY}\", file = \"{CANARY}\" }}"),
        format!("{{ value = [\"{CANARY}\"] }}"),
    ];
    let mut all = Vec::new();
    for value in &values {
        for key in ["client_secret", "client_secret_env", "client_secret_file", "token", "password", "api_key"] {
            all.push(format!("{key} = {value}\n{BASE}"));
        }
        for key in ["proxy", "proxy_password", "proxy_user"] {
            all.push(format!("{BASE}[http]\n{key} = {value}\n"));
        }
        for key in
            ["auth", "auth.bearer", "auth.password", "headers", "headers.X-Api-Key", "headers.Authorization", "secret"]
        {
            all.push(format!("{BASE}{HTTP}{key} = {value}\n"));
        }
    }
    all.push(format!("{BASE}[http]\nproxy = \"http://me:{CANARY}@proxy.example:3128\"\n"));
    all.push(format!("{BASE}[http]\nproxy = \"http://{CANARY}@proxy.example:3128\"\n"));
    all.push(format!("{BASE}[http]\nproxy = \"http://me:{CANARY}@proxy.example:port\"\n"));
    for name in ["Authorization", "X-Api-Key", "api-token", "Cookie", "x-amz-signature"] {
        all.push(format!("{BASE}{HTTP}headers = {{ {name} = {{ value = \"{CANARY}\" }} }}\n"));
    }
    let url = format!("[[sinks]]\ntype = \"http\"\nurl = \"https://x.example?token={CANARY}\"\n");
    all.push(format!("{BASE}{url}{url}"));
    all.push(format!("{BASE}[[sinks]]\ntype = \"http\"\nurl = [\"{CANARY}\"]\n"));
    all
}

#[test]
fn no_message_repeats_what_may_be_a_secret() {
    for text in places() {
        let Some(message) = told(&text) else { continue };
        assert!(!message.contains("c4n4ry"), "{text}\n{message}");
    }
    // The harmless ones among them are all that is taken, since a name of a user is no secret and a proxy's address is looked at later.
    let silent: Vec<String> = places().into_iter().filter(|text| told(text).is_none()).collect();
    assert!(silent.is_empty() || silent.iter().all(|text| text.contains("proxy")), "{silent:#?}");
}

#[test]
fn places_where_the_value_is_of_the_wrong_type_are_named_with_the_mend() {
    let message = told(&format!("{BASE}{HTTP}auth = {{ bearer = \"hunter2\" }}\n")).unwrap();
    assert_eq!(
        message,
        "The value of `sinks.0.auth.bearer` can't be used: it must be a table. It is a table with the keys env, file: write it as { env = \"…\" }."
    );
    let message = told(&format!("{BASE}tenant = \n")).unwrap();
    assert!(message.starts_with("This is not TOML at line "), "{message}");
}

#[test]
fn words_that_there_are_not_are_answered_with_those_that_there_are() {
    let one = |text: &str| told(&format!("{BASE}{text}\n")).unwrap();
    assert_eq!(
        one("[[sinks]]\ntype = \"https\""),
        "The value of `sinks.0.type` is \"https\", and must be one of `stdout`, `file`, `http`. Did you mean `http`?"
    );
    assert_eq!(
        one("[[sinks]]\ntype = \"elasticsearch\""),
        "The value of `sinks.0.type` is \"elasticsearch\", and must be one of `stdout`, `file`, `http`."
    );
    for (text, near) in [
        ("cloud = \"gcchigh\"", "gcc-high"),
        ("[[sinks]]\ntype = \"stdout\"\nformat = \"OCSF\"", "ocsf"),
        ("[[sinks]]\ntype = \"file\"\npath = \"x\"\ncompression = \"gz\"", "gzip"),
        ("[[sinks]]\ntype = \"http\"\nurl = \"https://x\"\nencoding = \"json-array\"", "json"),
        ("[transform]\nraw = \"strings\"", "string"),
        ("[transform]\nredact = \"masked\"", "mask"),
    ] {
        let message = one(text);
        assert!(message.contains(&format!("Did you mean `{near}`?")), "{message}");
    }
    assert!(stream_matches("*", "x"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_slip_of_the_pen_shows_no_secret(
        place in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        slip in prop_oneof![Just(None), "[\"'=\\[\\]{}\\\\#,.\n \t\u{1}a]".prop_map(Some)],
    ) {
        let places = places();
        let mut text = place.get(&places).clone();
        let at = at.index(text.len());
        match slip {
            None => { text.remove(at); }
            Some(slip) => text.insert_str(at, &slip),
        }
        if let Some(message) = told(&text) {
            prop_assert!(!message.contains("c4n4ry"), "{}\n{}", text, message);
        }
    }
}
