//! Whatever comes in: no panic, and every line counted once.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use m365_plugin::normalize::{Normalizer, Output};
use m365_plugin::streams::STREAMS;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The records that gave at least one event, by the source ids in the events.
fn check(stream: &str, input: &[u8], lines: usize, output: &Output) {
    let events = output.data.iter().filter(|b| **b == b'\n').count();
    assert_eq!(events, output.events as usize, "{stream}");
    let rejected = output.rejects.len();
    assert!(rejected + output.filtered as usize <= lines, "{stream}");
    // No mapping gives no event for a record, and in these inputs none gives several.
    assert_eq!(events + rejected + output.filtered as usize, lines, "{stream}: {}", String::from_utf8_lossy(input));
    assert!(output.rejects.iter().all(|r| (r.index as usize) < lines && !r.message.is_empty()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        prop_oneof![
            Just("".to_owned()),
            Just("2025-11-25T09:00:02".to_owned()),
            Just("[\"\\u0000\"]".to_owned()),
            Just("alice@contoso.com".to_owned()),
            Just("-Name \"x\" -Password ('y' -z".to_owned()),
            Just("#microsoft.graph.security.processEvidence".to_owned()),
            ".{0,12}",
        ]
        .prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(member(), inner, 0..5).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// Names that mappings look for, and others.
fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "Name",
            "Value",
            "NewValue",
            "ID",
            "Type",
            "ClientIP",
            "Actor",
            "Target",
            "UserId",
            "UserKey",
            "UserType",
            "ObjectId",
            "ExtendedProperties",
            "ModifiedProperties",
            "AppAccessContext",
            "ResultStatus",
            "ErrorNumber",
            "id",
            "status",
            "errorCode",
            "location",
            "city",
            "geoCoordinates",
            "deviceDetail",
            "initiatedBy",
            "user",
            "app",
            "targetResources",
            "modifiedProperties",
            "displayName",
            "type",
            "appliedConditionalAccessPolicies",
            "result",
            "authenticationDetails",
            "signInEventTypes",
            "severity",
            "key",
            "value",
            "DetectedValues",
            "Parameters",
            "OperationProperties",
            "EventData",
            "Members",
            "Folders",
            "AffectedItems",
            "evidence",
            "@odata.type",
            "ExceptionInfo",
            "PolicyDetails",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_. ]{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(input in prop::collection::vec(any::<u8>(), 1..400)) {
        let normalizer = Normalizer::new("{}").unwrap();
        let body = input.strip_suffix(b"\n").unwrap_or(&input);
        let lines = body.split(|b| *b == b'\n').count();
        for stream in STREAMS {
            check(stream.name, &input, lines, &normalizer.process(stream.name, &input, 1).unwrap());
        }
    }

    #[test]
    fn any_members_around_a_valid_record(
        members in prop::collection::btree_map(member(), any_json(), 0..12),
        record_type in -1_i64..400,
        operation in prop::sample::select(vec!["UserLoggedIn", "Add member to role.", "Consent to application", "Set-Mailbox", "x y"]),
        raw in any::<bool>(),
    ) {
        let settings = if raw { r#"{"raw":"string","redact":"hash"}"# } else { "{}" };
        let normalizer = Normalizer::new(settings).unwrap();
        for stream in STREAMS {
            let mut record: Map<String, Value> = members.clone().into_iter().collect();
            for name in ["CreationTime", "createdDateTime", "activityDateTime"] {
                record.insert(name.to_owned(), json!("2025-11-25T09:00:02"));
            }
            for name in ["Id", "id"] {
                record.insert(name.to_owned(), json!("c0ffee00-1111-4222-8333-444455556666"));
            }
            record.insert("RecordType".to_owned(), json!(record_type));
            record.insert("Operation".to_owned(), json!(operation));
            record.insert("activityDisplayName".to_owned(), json!(operation));
            let line = Value::Object(record).to_string();
            let output = normalizer.process(stream.name, line.as_bytes(), 1).unwrap();
            check(stream.name, line.as_bytes(), 1, &output);
            // Whatever is around it, a record that its schema takes must give an event that OCSF takes.
            prop_assert!(output.rejects.iter().all(|r| r.code != "invalid-event"), "{:?} of {line}", output.rejects);
        }
    }
}

#[test]
fn every_way_to_be_rejected_has_its_code() {
    let normalizer = Normalizer::new("{}").unwrap();
    let input = b"\n{\n[1]\n{\"Id\":\"x\"}\n   \n";
    let output = normalizer.process("office365.general", input, 1).unwrap();
    let codes: Vec<&str> = output.rejects.iter().map(|r| r.code).collect();
    assert_eq!(codes, ["empty", "invalid-json", "not-an-object", "invalid-record", "empty"]);
    assert!(normalizer.process("office365.nothing", b"{}", 1).is_err());
    assert!(Normalizer::new(r#"{"raw":"all"}"#).unwrap_err().contains("`raw`"));
}

#[test]
fn the_same_record_has_the_same_uid_and_another_body_another() {
    let normalizer = Normalizer::new(r#"{"tenant":"contoso.com","other":1}"#).unwrap();
    let uid = |user: &str| {
        let record = json!({"Id": "a", "CreationTime": "2025-11-25T09:00:02", "RecordType": 1, "Operation": "Set-Mailbox", "UserId": user});
        let output = normalizer.process("office365.exchange", record.to_string().as_bytes(), 1).unwrap();
        let event: Value = serde_json::from_slice(&output.data).unwrap();
        event["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    assert_eq!(uid("alice@contoso.com"), uid("alice@contoso.com"));
    assert_ne!(uid("alice@contoso.com"), uid("bob@contoso.com"));
}
