//! Records that are long: every one becomes an event that is true of it, and none becomes many times as long as it is.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use m365_plugin::normalize::{Normalizer, Output};
use serde_json::{Value, json};

fn events(format: &str, stream: &str, record: &Value) -> (Output, Vec<Value>) {
    let normalizer = Normalizer::new(&json!({"tenant": "t", "format": format}).to_string()).unwrap();
    let output = normalizer.process(stream, record.to_string().as_bytes(), 1_764_061_441_000).unwrap();
    let lines = output.data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    (output, events)
}

fn activity(record_type: i64, operation: &str, members: Value) -> Value {
    let mut record = json!({"Id": "i", "CreationTime": "2026-11-30T18:00:00", "OrganizationId": "5b0c6e4a-9d1f-4c83-a7e2-3f6d18b0c954",
        "RecordType": record_type, "Operation": operation, "UserKey": "k", "UserType": 2, "UserId": "a@contoso.com", "Workload": "w"});
    record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    record
}

#[test]
fn a_record_that_is_too_large_is_kept_whole_in_an_event_without_a_class() {
    let parameters: Vec<Value> =
        (0..250_000).map(|n| json!({"Name": format!("n{n}"), "Value": format!("v{n}")})).collect();
    let record = activity(1, "New-InboxRule", json!({"Parameters": parameters}));
    let (output, events) = events("ocsf", "office365.exchange", &record);
    assert_eq!((output.rejects.len(), events.len()), (0, 1));
    assert_eq!((&events[0]["class_uid"], &events[0]["metadata"]["event_code"]), (&json!(0), &json!("New-InboxRule")));
    assert_eq!(events[0]["unmapped"]["Parameters"].as_object().unwrap().len(), 250_000);
    assert_eq!(events[0]["unmapped"]["UserId"], json!("a@contoso.com"));
    let message = events[0]["message"].as_str().unwrap();
    assert!(message.starts_with("New-InboxRule in a record of ") && message.contains("too large"), "{message}");
}

#[test]
fn a_text_beside_each_item_of_a_list_does_not_multiply() {
    let items: Vec<Value> = (0..500).map(|n| json!({"InternetMessageId": format!("m{n}@x")})).collect();
    let path = "p".repeat(200_000);
    let record =
        activity(50, "MailItemsAccessed", json!({"Folders": [{"Id": "i", "Path": path, "FolderItems": items}]}));
    for format in ["ocsf", "ecs"] {
        let (output, events) = events(format, "office365.exchange", &record);
        assert_eq!((output.rejects.len(), events.len()), (0, 1), "{format}");
        assert!(output.data.len() < 2 * record.to_string().len(), "{format}: {}", output.data.len());
    }
    let (_, events) = events("ocsf", "office365.exchange", &record);
    assert_eq!(events[0]["class_uid"], json!(0));
    assert_eq!(events[0]["unmapped"]["Folders"][0]["FolderItems"].as_array().unwrap().len(), 500);
}

#[test]
fn what_is_left_of_a_record_is_not_copied_beside_each_member_without_a_bound() {
    let members =
        |count: usize| -> Vec<Value> { (0..count).map(|n| json!({"UPN": format!("u{n}@x.com"), "Role": 1})).collect() };
    let note =
        |length: usize| json!({"TeamGuid": "t", "TeamName": "n", "Note": "x".repeat(length), "Members": members(200)});
    let (_, few) = events("ocsf", "office365.general", &activity(25, "MemberAdded", note(100)));
    let (output, one) = events("ocsf", "office365.general", &activity(25, "MemberAdded", note(1_000_000)));
    assert_eq!((few.len(), one.len()), (200, 1));
    assert!(output.data.len() < 2_000_000);
    assert_eq!(one[0]["unmapped"]["Members"].as_array().unwrap().len(), 200);
    let granted = json!({"WorkspaceId": "w", "WorkSpaceName": "n", "MembershipInformation":
        (0..5_000).map(|n| json!({"MemberEmail": format!("u{n}@x.com"), "Status": "Admin", "x": 1})).collect::<Vec<_>>()});
    let (output, one) = events("ocsf", "office365.general", &activity(20, "AddGroupMembers", granted.clone()));
    assert_eq!((output.rejects.len(), one.len()), (0, 1));
    assert!(output.data.len() < 3 * granted.to_string().len());
}

#[test]
fn paths_of_secrets_are_told_once_and_bounded() {
    let secrets: Vec<Value> = (0..3_000).map(|n| json!({"Name": format!("password{n}"), "Value": "hunter2"})).collect();
    let place = "a".repeat(10_000);
    let record = activity(1, "New-InboxRule", json!({place: secrets}));
    let (output, events) = events("ocsf", "office365.exchange", &record);
    let redacted = events[0]["unmapped"]["_redacted"].as_array().unwrap();
    assert!(redacted.len() <= 1_001 && !String::from_utf8(output.data).unwrap().contains("hunter2"));
    assert!(redacted.iter().all(|path| path.as_str().unwrap().len() <= 600));
}

#[test]
fn names_that_repeat_keep_every_value() {
    let repeated: String = (0..5_000).map(|n| format!(",\"a\":{n},\"b#1\":{n}")).collect();
    let record = activity(1, "New-InboxRule", json!({})).to_string();
    let record = format!("{}{repeated}}}", record.strip_suffix('}').unwrap());
    let output = Normalizer::new("{}").unwrap().process("office365.exchange", record.as_bytes(), 1).unwrap();
    let event: Value = serde_json::from_slice(output.data.strip_suffix(b"\n").unwrap()).unwrap();
    let unmapped = event["unmapped"].as_object().unwrap();
    let mut values: Vec<i64> = unmapped
        .iter()
        .filter(|(name, _)| name.starts_with("a#") || *name == "a")
        .filter_map(|(_, v)| v.as_i64())
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..5_000).collect::<Vec<i64>>());
}
