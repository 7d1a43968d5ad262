//! Findings, from record to event: what golden pairs don't show, such as the settings of redaction and shapes that are not documented.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use m365_plugin::normalize::Normalizer;
use serde_json::{Value, json};

/// The events of a record; a reject is a failure.
fn events(settings: &str, stream: &str, record: &Value) -> Vec<Value> {
    let output =
        Normalizer::new(settings).unwrap().process(stream, record.to_string().as_bytes(), 1_764_061_441_000).unwrap();
    assert!(output.rejects.is_empty(), "{stream}: {:?} of {record}", output.rejects);
    output.data.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

fn event(stream: &str, record: &Value) -> Value {
    events("{}", stream, record).remove(0)
}

fn activity(record_type: i64, operation: &str, members: Value) -> Value {
    let mut record = json!({"CreationTime": "2025-11-25T09:00:02", "Id": "5d0f3a41-9b7c-4a86-b1b5-0d4f6b3e7a01",
        "Operation": operation, "OrganizationId": "3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11", "RecordType": record_type,
        "Workload": "Exchange", "UserId": "alice@contoso.com", "UserType": 0});
    record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    record
}

fn dlp_rule(rule: Value) -> Value {
    activity(13, "DlpRuleMatch", json!({"PolicyDetails": [{"PolicyName": "Cards", "Rules": [rule]}]}))
}

#[test]
fn detected_values_leave_only_if_the_operator_wants_them() {
    let rule = json!({"RuleName": "r", "ConditionsMatched": {"SensitiveInformation": [{"SensitiveType": "x", "Count": 1,
        "SensitiveInformationDetections": {"DetectedValues": [{"Name": "4111111111111111", "Value": "card 4111111111111111"}]}}]}});
    let text = |settings: &str| events(settings, "office365.dlp", &dlp_rule(rule.clone()))[0].to_string();
    for settings in ["{}", r#"{"raw":"string"}"#, r#"{"redact":"hash","raw":"string"}"#] {
        assert!(!text(settings).contains("4111"), "{settings}");
    }
    assert!(text("{}").contains("[redacted]"));
    assert!(text(r#"{"redact":"hash"}"#).contains("sha256:"));
    assert!(text(r#"{"redact":"keep"}"#).contains("4111111111111111"));
}

#[test]
fn what_a_dlp_rule_did() {
    let decision = |rule: Value| {
        let event = event("office365.dlp", &dlp_rule(rule));
        (
            event["action_id"].as_i64().unwrap(),
            event["disposition_id"].as_i64().unwrap(),
            event["is_alert"].as_bool().unwrap(),
        )
    };
    assert_eq!(decision(json!({"Actions": ["BlockAccess", "NotifyUser"]})), (2, 2, true));
    assert_eq!(decision(json!({"Actions": ["Quarantine"]})), (2, 3, true));
    assert_eq!(decision(json!({"Actions": ["NotifyUser"]})), (3, 19, true));
    assert_eq!(decision(json!({"Actions": ["BlockAccess"], "RuleMode": "AuditAndNotify"})), (3, 17, true));
    assert_eq!(decision(json!({"Actions": ["NotifyUser"], "OverriddenActions": ["BlockAccess"]})), (1, 1, true));
    assert_eq!(decision(json!({"Actions": []})), (3, 17, false));
}

#[test]
fn the_highest_severity_of_the_rules_counts() {
    let rules = json!({"PolicyDetails": [{"Rules": [{"Severity": "Low"}, {"Severity": "High"}]}, {"Rules": [{"Severity": "Medium"}]}]});
    assert_eq!(event("office365.dlp", &activity(11, "DLPRuleMatch", rules))["severity_id"], json!(4));
    assert_eq!(event("office365.dlp", &activity(11, "DLPRuleMatch", json!({})))["severity_id"], json!(1));
}

fn alert(members: Value) -> Value {
    let mut record = json!({"id": "da1", "createdDateTime": "2025-11-25T09:00:00Z", "status": "new"});
    record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    record
}

#[test]
fn the_activity_of_an_alert_follows_its_state_and_times() {
    let of = |members: Value| {
        let event = event("graph.alerts", &alert(members));
        (event["activity_id"].as_i64().unwrap(), event["status_id"].as_i64().unwrap())
    };
    assert_eq!(of(json!({})), (1, 1));
    assert_eq!(of(json!({"lastUpdateDateTime": "2025-11-25T09:01:00Z"})), (1, 1));
    assert_eq!(of(json!({"lastUpdateDateTime": "2025-11-25T09:01:01Z"})), (2, 1));
    assert_eq!(of(json!({"status": "inProgress"})), (2, 2));
    assert_eq!(of(json!({"status": "resolved"})), (3, 4));
    assert_eq!(of(json!({"status": "unknownFutureValue"})), (1, 0));
}

#[test]
fn verdicts_of_analysts() {
    let of = |members: Value| event("graph.alerts", &alert(members))["verdict_id"].clone();
    assert_eq!(of(json!({"classification": "truePositive", "determination": "malware"})), json!(2));
    assert_eq!(of(json!({"classification": "informationalExpectedActivity"})), json!(5));
    assert_eq!(of(json!({"classification": "falsePositive", "determination": "notEnoughDataToValidate"})), json!(7));
    assert_eq!(of(json!({"classification": null})), Value::Null);
}

#[test]
fn evidence_of_any_shape_is_kept() {
    let odd = json!([
        {"@odata.type": "#microsoft.graph.security.aKindOfLater", "verdict": "malicious", "thing": "kept-1"},
        {"verdict": "unknown", "thing": "kept-2"},
        {"@odata.type": "#microsoft.graph.security.deviceEvidence", "deviceDnsName": 7, "azureAdDeviceId": "kept-3"},
        {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "kept 4"},
        {"@odata.type": "#microsoft.graph.security.processEvidence", "processId": null, "imageFile": {"fileName": null, "sha256": "kept-5"}},
        {"@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": "kept-6"},
        {"@odata.type": "#microsoft.graph.security.analyzedMessageEvidence", "subject": "kept-7"},
        {"@odata.type": "#microsoft.graph.security.urlEvidence"},
        "kept-8", null, 9
    ]);
    let text = event("graph.alerts", &alert(json!({"evidence": odd}))).to_string();
    for n in 1..=8 {
        assert!(text.contains(&format!("kept-{n}")) || text.contains(&format!("kept {n}")), "{n} in {text}");
    }
    assert!(text.contains("urlEvidence"), "a type alone stays too");
}

#[test]
fn evidence_as_hash_logon_and_resource() {
    let evidence = json!([
        {"@odata.type": "#microsoft.graph.security.fileHashEvidence", "algorithm": "md5", "value": "0123456789abcdef0123456789abcdef"},
        {"@odata.type": "#microsoft.graph.security.amazonResourceEvidence", "amazonResourceId": "arn:aws:s3:::reports", "resourceName": "reports"},
        {"@odata.type": "#microsoft.graph.security.malwareEvidence", "name": "Worm:Win32/A"}
    ]);
    let event = event("graph.alerts", &alert(json!({"evidence": evidence})));
    assert_eq!(event["evidences"][0]["file"]["hashes"][0]["algorithm"], json!("MD5"));
    assert_eq!(event["resources"][0]["role_id"], json!(3));
    assert_eq!(event["malware"][0]["classification_ids"], json!([22]));
}

#[test]
fn alerts_of_the_first_version() {
    let of = |members: Value| event("graph.alerts-legacy", &alert(members));
    assert_eq!(of(json!({"status": "dismissed"}))["status_id"], json!(3));
    assert_eq!(of(json!({"status": "dismissed"}))["activity_id"], json!(3));
    let user = json!({"status": "newAlert", "userStates": [{"accountName": "bo", "logonIp": "192.0.2.7", "logonLocation": "Porto, PT"}]});
    assert_eq!(of(user)["evidences"][0]["src_endpoint"]["location"], json!({"city": "Porto", "country": "PT"}));
    let sources = json!({"sourceMaterials": ["https://a.example/1", "https://a.example/2"]});
    let event = of(sources);
    assert_eq!(event["src_url"], json!("https://a.example/1"));
    assert_eq!(event["unmapped"]["sourceMaterials"][1], json!("https://a.example/2"));
}

#[test]
fn alerts_and_investigations_without_what_names_them() {
    for (record_type, operation) in
        [(40, "AlertTriggered"), (64, "AirInvestigationData"), (294, "x"), (62, "x"), (98, "y"), (462, "z")]
    {
        let event = event(
            "office365.general",
            &activity(record_type, operation, json!({"Data": "no JSON {", "Actions": [1, "{"]})),
        );
        assert_eq!(event["class_uid"], json!(2004), "{record_type}");
        assert_eq!(event["finding_info"]["uid"], json!("5d0f3a41-9b7c-4a86-b1b5-0d4f6b3e7a01"), "{record_type}");
        assert_eq!(event["unmapped"]["Data"], json!("no JSON {"), "{record_type}");
    }
}

#[test]
fn a_class_that_cannot_be_filled_gives_a_weaker_one() {
    for (record_type, operation) in [
        (28, "TIMailData"),
        (43, "MipLabel"),
        (47, "AtpDetection"),
        (97, "HeartBeat"),
        (94, "SensitivityLabelApplied"),
        (20, "AddGroupMembers"),
        (20, "ViewReport"),
        (22, "GroupCreation"),
        (22, "FileVisited"),
        (22, "UserSuspension"),
        (51, "x"),
        (65, "QuarantineDelete"),
        (66, "UpdateFormSetting"),
        (24, "SearchStarted"),
    ] {
        let event = event("office365.general", &activity(record_type, operation, json!({})));
        assert!(
            [6003, 3004, 3001].contains(&event["class_uid"].as_i64().unwrap()),
            "{record_type} {operation}: {event}"
        );
    }
}

#[test]
fn requests_about_quarantine() {
    let of = |kind: Value| {
        let record = activity(65, "Quarantine", json!({"NetworkMessageId": "n1", "RequestType": kind}));
        event("office365.general", &record)["activity_id"].as_i64().unwrap()
    };
    assert_eq!([of(json!(0)), of(json!("Delete")), of(json!(2)), of(json!(3)), of(json!(4))], [2, 4, 99, 7, 2]);
}

#[test]
fn the_words_of_a_prompt_are_redacted() {
    let record = activity(363, "ScheduledPrompt", json!({"PromptText": "what does Bob earn"}));
    let event = event("office365.general", &record);
    assert!(!event.to_string().contains("Bob"));
    assert_eq!(event["unmapped"]["_redacted"], json!(["PromptText"]));
}
