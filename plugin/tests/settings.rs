//! What the settings `raw` and `redact` do to events.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod records;

use records::{events, golden, normalizer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A match of a card number, a new password, and a secret inside of JSON that is text.
fn secrets() -> Vec<(&'static str, Value)> {
    vec![
        (
            "office365.dlp",
            json!({"Id": "1", "CreationTime": "2025-11-25T09:00:00", "RecordType": 11, "Operation": "DlpRuleMatch", "Workload": "SharePoint",
                "UserId": "alice@contoso.com", "IncidentId": "2", "PolicyDetails": [{"PolicyName": "Cards", "Rules": [{"RuleName": "r",
                "ConditionsMatched": {"SensitiveInformation": [{"SensitiveInformationTypeName": "Credit Card Number", "Count": 1,
                "SensitiveInformationDetections": {"DetectedValues": [{"Name": "4111111111111111", "Value": "pay 4111111111111111 now"}]}}]}}]}]}),
        ),
        (
            "office365.exchange",
            json!({"Id": "1", "CreationTime": "2025-11-25T09:00:00", "RecordType": 1, "Operation": "Set-Mailbox", "Workload": "Exchange",
                "UserId": "alice@contoso.com", "ObjectId": "bob", "Parameters": [{"Name": "Password", "Value": "4111111111111111"}]}),
        ),
        (
            "office365.general",
            json!({"Id": "1", "CreationTime": "2025-11-25T09:00:00", "RecordType": 64, "Operation": "AirInvestigationData", "Workload": "AirInvestigation",
                "UserId": "AirInvestigation", "InvestigationId": "3", "Data": "{\"DetectedValues\": [\"4111111111111111\"]}"}),
        ),
    ]
}

#[test]
fn raw_data_is_the_record_byte_for_byte() {
    let with_raw = normalizer(json!({"raw": "string"}));
    let (mut plain, mut redacted) = (0, 0);
    for record in golden() {
        let line = record.value.to_string();
        for event in record.events(&with_raw) {
            let raw = event["raw_data"].as_str().unwrap();
            assert_eq!(event["raw_data_size"], json!(raw.len()), "{}", record.origin);
            let hash: String = Sha256::digest(raw).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(event["raw_data_hash"]["value"], json!(hash), "{}", record.origin);
            assert_eq!(event["raw_data_hash"]["algorithm"], json!("SHA-256"));
            if event["unmapped"]["_redacted"].is_null() {
                plain += 1;
                assert_eq!(raw, line, "{}", record.origin);
            } else {
                redacted += 1;
                assert_ne!(raw, line, "{}", record.origin);
            }
        }
        let without = record.events(&normalizer(json!({"raw": "none"})));
        assert!(
            without.iter().all(|e| e.get("raw_data").is_none() && e.get("raw_data_hash").is_none()),
            "{}",
            record.origin
        );
    }
    assert!(plain > 50 && redacted > 1, "{plain} plain, {redacted} redacted");
}

#[test]
fn a_secret_leaves_in_no_way_but_by_wish() {
    for (stream, record) in secrets() {
        for redact in ["mask", "hash"] {
            let events = events(&normalizer(json!({"redact": redact, "raw": "string"})), stream, &record);
            let text = json!(events).to_string();
            assert!(!events.is_empty() && !text.contains("4111111111111111"), "{stream} {redact}: {text}");
            assert!(!events[0]["unmapped"]["_redacted"].as_array().unwrap().is_empty(), "{stream} {redact}");
        }
        let events = events(&normalizer(json!({"redact": "keep"})), stream, &record);
        assert!(json!(events).to_string().contains("4111111111111111"), "{stream}");
        assert!(events[0]["unmapped"]["_redacted"].is_null(), "{stream}");
    }
}

#[test]
fn hashes_are_equal_for_equal_values_of_one_tenant() {
    let (stream, record) = secrets().remove(1);
    let hash = |tenant: &str, value: &str| {
        let mut record = record.clone();
        record["Parameters"][0]["Value"] = json!(value);
        let settings = json!({"tenant": tenant, "redact": "hash"}).to_string();
        let normalizer = m365_plugin::normalize::Normalizer::new(&settings).unwrap();
        events(&normalizer, stream, &record)[0]["entity"]["data"]["Password"].as_str().unwrap().to_owned()
    };
    assert!(hash("a", "x").starts_with("sha256:"));
    assert_eq!(hash("a", "x"), hash("a", "x"));
    assert_ne!(hash("a", "x"), hash("a", "y"));
    assert_ne!(hash("a", "x"), hash("b", "x"));
}

#[test]
fn messages_tell_no_secret_and_one_line() {
    for (stream, record) in secrets() {
        let events = events(&normalizer(json!({"redact": "keep"})), stream, &record);
        assert!(events.iter().all(|e| !e["message"].as_str().unwrap().contains("4111111111111111")), "{stream}");
    }
    for record in golden() {
        for event in record.events(&normalizer(json!({}))) {
            let message = event["message"].as_str().unwrap_or_default();
            assert!(
                !message.is_empty() && message.len() < 700 && !message.contains(['\n', '\r']),
                "{}: {message}",
                record.origin
            );
        }
    }
}
