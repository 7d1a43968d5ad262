//! The splitter: the same elements as a JSON parser, however the chunks are cut.

use m365_plugin::splitter::{Framing, SplitError, Splitter};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn split(framing: Framing, text: &[u8], cuts: &[usize], limit: usize) -> Result<(Vec<Vec<u8>>, Splitter), SplitError> {
    let mut splitter = Splitter::new(framing, limit);
    let mut elements = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(text.len());
    for cut in cuts {
        splitter.feed(&text[at..cut], |element| elements.push(element.to_vec()))?;
        at = cut;
    }
    splitter.finish()?;
    assert_eq!(splitter.elements(), elements.len() as u64);
    Ok((elements, splitter))
}

fn texts(text: &str) -> Vec<String> {
    let every: Vec<usize> = (0..=text.len()).collect();
    let whole = split(Framing::Array, text.as_bytes(), &[], 1 << 20).expect(text).0;
    let cut = split(Framing::Array, text.as_bytes(), &every, 1 << 20).expect(text).0;
    assert_eq!(whole, cut);
    whole.into_iter().map(|bytes| String::from_utf8(bytes).expect("UTF-8")).collect()
}

#[test]
fn arrays_of_every_kind() {
    assert_eq!(texts("[]"), Vec::<String>::new());
    assert_eq!(texts(" [ \r\n ] \n"), Vec::<String>::new());
    assert_eq!(texts("\u{feff}[{\"a\":1}]"), [r#"{"a":1}"#]);
    assert_eq!(
        texts(r#"[1, -2.5e3,null,true ,"x]\"",[[]],{}]"#),
        ["1", "-2.5e3", "null", "true", r#""x]\"""#, "[[]]", "{}"]
    );
    assert_eq!(texts(r#"[{"a":"\\"},{"b":"\\\"}{"}]"#), [r#"{"a":"\\"}"#, r#"{"b":"\\\"}{"}"#]);
}

#[test]
fn bytes_are_untouched_but_for_line_breaks() {
    assert_eq!(texts("[{\"a\" :\t1,\r\n\"b\":\"\\/ \\u00e9 é\"}]"), ["{\"a\" :\t1,  \"b\":\"\\/ \\u00e9 é\"}"]);
}

#[test]
fn collections_give_their_values_and_their_other_members() {
    let text = "\u{feff}{\"@odata.context\":\"c\",\"@x\":{\"value\":[9]},\"value\":[{\"value\":[1]},2],\"@odata.nextLink\":\"n\\u0026m\"} ";
    for cuts in [vec![], (0..text.len()).collect()] {
        let (elements, splitter) = split(Framing::Collection, text.as_bytes(), &cuts, 100).unwrap();
        assert_eq!(elements, [b"{\"value\":[1]}".to_vec(), b"2".to_vec()]);
        assert_eq!(splitter.member("@odata.nextLink"), Some("\"n\\u0026m\""));
        assert_eq!(splitter.member("@odata.context"), Some("\"c\""));
        assert_eq!(splitter.member("value"), None);
    }
    for empty in [r#"{"value":[]}"#, r#"{"\u0076alue":[]}"#, r#"{"value":[],"error":null}"#] {
        let (elements, splitter) = split(Framing::Collection, empty.as_bytes(), &[2], 100).unwrap();
        assert!(elements.is_empty() && splitter.error().is_none(), "{empty}");
    }
}

#[test]
fn what_is_odd_around_whole_elements_costs_none() {
    for (text, elements) in [
        ("[{\"a\":1} {\"a\":2}]", 2),
        ("[{\"a\":1}{\"a\":2}]", 2),
        ("[{\"a\":1},]", 1),
        ("[{\"a\":1}]x", 1),
        ("[{\"a\":1}]\0\0", 1),
        ("[1][2,3]", 3),
        ("[1] [2]x", 2),
    ] {
        for cuts in [vec![], (0..text.len()).collect()] {
            let (found, splitter) = split(Framing::Array, text.as_bytes(), &cuts, 100).expect(text);
            assert_eq!(found.len(), elements, "{text}");
            assert!(splitter.odd().is_some(), "{text}");
        }
    }
    assert_eq!(split(Framing::Array, b"[1] \n", &[], 100).unwrap().1.odd(), None);
}

#[test]
fn an_error_in_the_body_is_found_wherever_it_stands() {
    for (framing, text) in [
        (Framing::Collection, r#"{"value":[{"a":1}],"error":{"code":"x"}}"#),
        (Framing::Collection, r#"{"value":[{"a":1}]}{"error":{"code":"x"}}"#),
        (Framing::Collection, r#"{"value":[{"a":1},{"id":"y"{"error" : {"code":"x"}}"#),
        (Framing::Array, r#"[{"a":1},{"id":"y"{"error":{"code":"x"}}"#),
        (Framing::Array, r#"[{"a":1}]{"error":{"code":"x"}}"#),
    ] {
        let mut splitter = Splitter::new(framing, 1000);
        splitter.feed(text.as_bytes(), |_| {}).unwrap();
        assert_eq!(splitter.error().as_deref(), Some(r#"{"code":"x"}"#), "{text}");
        assert_eq!(splitter.elements(), 1, "{text}");
    }
    for text in [r#"[{"a":1},{"error":"#, r#"[{"a":"\"error\""#, r#"[{"x":["error",{"a":1}"#, "[]error"] {
        let mut splitter = Splitter::new(Framing::Array, 1000);
        splitter.feed(text.as_bytes(), |_| {}).unwrap();
        assert_eq!(splitter.error(), None, "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_position() {
    let fails =
        |framing, text: &str| split(framing, text.as_bytes(), &[], 1 << 20).map(|(elements, _)| elements).unwrap_err();
    assert_eq!(fails(Framing::Array, "  <html>"), SplitError::Html);
    assert_eq!(fails(Framing::Array, "[{\"a\":1}"), SplitError::Truncated { position: 8 });
    assert_eq!(fails(Framing::Array, ""), SplitError::Truncated { position: 0 });
    for (framing, text, at) in [
        (Framing::Array, "{}", 0),
        (Framing::Array, "[1 2]", 3),
        (Framing::Array, "[,1]", 1),
        (Framing::Array, "null", 0),
        (Framing::Array, "[1,,2]", 3),
        (Framing::Collection, r#"{"value":null}"#, 9),
        (Framing::Collection, r#"{"value":[1],"value":[2]}"#, 21),
        (Framing::Array, "[x]", 1),
        (Framing::Collection, "[]", 0),
        (Framing::Collection, "{\"a\" 1}", 5),
        (Framing::Collection, "{\"a\":1,}", 7),
        (Framing::Collection, "{\"value\":{}}", 9),
        (Framing::Collection, "{\"value\":[1}", 11),
        (Framing::Collection, "{\"a\":1]", 6),
    ] {
        match fails(framing, text) {
            SplitError::Garbage { position, .. } => assert_eq!(position, at, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_record_over_the_limit_is_passed_over_and_described() {
    let large = format!("\"{}\n\"", "x".repeat(3000));
    let text = format!("[1,{large},2]");
    let digest: String = Sha256::digest(large.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    for cuts in [vec![], (0..text.len()).collect()] {
        let mut elements = Vec::new();
        let mut splitter = Splitter::new(Framing::Array, 3002);
        let mut at = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            splitter.feed(&text.as_bytes()[at..cut], |element| elements.push(element.to_vec())).unwrap();
            at = cut;
        }
        splitter.finish().unwrap();
        assert_eq!(elements, [b"1", b"2"]);
        let skipped = splitter.take_skipped();
        assert_eq!((skipped.len(), skipped[0].bytes, skipped[0].limit_mib()), (1, 3003, 1));
        assert_eq!(skipped[0].head, &large.as_bytes()[..1024]);
        assert_eq!(skipped[0].sha256(), digest);
        assert!(splitter.take_skipped().is_empty());
        assert_eq!(split(Framing::Array, text.as_bytes(), &[], 3003).unwrap().0.len(), 3);
    }
    assert!(matches!(split(Framing::Collection, b"{\"a\":1}", &[], 10), Err(SplitError::NoValue)));
}

#[test]
fn members_beside_the_values_are_limited() {
    let text = format!("{{\"x\":\"{}\",\"value\":[]}}", "x".repeat(2 << 20));
    assert!(matches!(split(Framing::Collection, text.as_bytes(), &[9], 10), Err(SplitError::TooLarge { .. })));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9f64).prop_map(Into::into),
        ".*".prop_map(Into::into),
        r#"[\[\]{}",:\\ ]{0,12}"#.prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(".{0,8}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn same_elements_as_a_parser(values in prop::collection::vec(json(), 0..12), cuts in prop::collection::vec(any::<usize>(), 0..24), pretty: bool) {
        let write = |value: &serde_json::Value| if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) }.unwrap();
        let list = serde_json::Value::Array(values.clone());
        let (elements, _) = split(Framing::Array, &write(&list), &cuts, 1 << 20).unwrap();
        let parsed: Vec<serde_json::Value> = elements.iter().map(|bytes| {
            assert!(!bytes.contains(&b'\n') && !bytes.contains(&b'\r'));
            serde_json::from_slice(bytes).unwrap()
        }).collect();
        // Compared as text, since a float may not read back as the same float.
        prop_assert_eq!(serde_json::to_string(&parsed).unwrap(), serde_json::to_string(&serde_json::from_slice::<Vec<serde_json::Value>>(&write(&list)).unwrap()).unwrap());

        let page = serde_json::json!({"@odata.context": "c", "a": list.clone(), "value": list, "z": values.len()});
        let (elements, splitter) = split(Framing::Collection, &write(&page), &cuts, 1 << 20).unwrap();
        prop_assert_eq!(elements.len(), values.len());
        let count = values.len().to_string();
        prop_assert_eq!(splitter.member("z"), Some(count.as_str()));
    }

    #[test]
    fn cuts_make_no_difference_to_any_bytes(text in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"[]{}\",:\\ 1n\n".to_vec())], 0..80), cuts in prop::collection::vec(any::<usize>(), 0..24), collection: bool) {
        let framing = if collection { Framing::Collection } else { Framing::Array };
        let whole = split(framing, &text, &[], 40).map(|(elements, _)| elements);
        let cut = split(framing, &text, &cuts, 40).map(|(elements, _)| elements);
        prop_assert_eq!(whole, cut);
    }
}

/// Prints how fast a body is split: `cargo test --release -p m365-plugin --test source -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let record = serde_json::json!({
        "CreationTime": "2026-11-29T10:00:00", "Id": "0a1b2c3d-0000-4000-8000-00000000abcd", "Operation": "MailItemsAccessed",
        "OrganizationId": "6f2b1a9c-0d3e-4f58-9a7b-1c2d3e4f5a6b", "RecordType": 50, "ResultStatus": "Succeeded", "UserKey": "1003200012345678",
        "UserType": 0, "Version": 1, "Workload": "Exchange", "UserId": "megan@contoso.com", "ClientIPAddress": "2001:db8::17",
        "ClientInfoString": "Client=REST;Client=RESTSystem;;", "ExternalAccess": false, "InternalLogonType": 0, "LogonType": 0,
        "OperationProperties": [{"Name": "MailAccessType", "Value": "Bind"}, {"Name": "IsThrottled", "Value": "False"}],
        "Folders": [{"FolderItems": [{"InternetMessageId": "<a1@contoso.com>", "SizeInBytes": 36913}], "Id": "LgAAAAB=", "Path": "\\Inbox"}],
    });
    let body = serde_json::to_vec(&vec![record; 40_000]).unwrap();
    let mut best = f64::MAX;
    for _ in 0..7 {
        let started = std::time::Instant::now();
        let mut splitter = Splitter::new(Framing::Array, 1 << 20);
        let mut bytes = 0;
        for piece in body.chunks(256 << 10) {
            splitter.feed(piece, |element| bytes += element.len()).unwrap();
        }
        splitter.finish().unwrap();
        assert!(bytes > 0);
        best = best.min(started.elapsed().as_secs_f64());
    }
    println!("{:.0} MB/s over {} MB", body.len() as f64 / best / 1e6, body.len() / 1_000_000);
}
