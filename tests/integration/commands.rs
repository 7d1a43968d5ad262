//! The smaller commands: normalize, validate, schema, streams, check, help.

use crate::harness::{Tenant, assert_code, json_lines, program, run, run_with_input, stderr, stdout};

const RECORD: &str = r#"{"CreationTime":"2026-05-04T03:02:01","Id":"6e3f2c1a-0b5d-4c6e-9f70-1a2b3c4d5e6f","Operation":"UserLoginFailed","OrganizationId":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f","RecordType":15,"ResultStatus":"Success","UserKey":"anna@contoso.com","UserType":0,"Version":1,"Workload":"AzureActiveDirectory","ClientIP":"203.0.113.9","ObjectId":"00000002-0000-0000-c000-000000000000","UserId":"anna@contoso.com","AzureActiveDirectoryEventType":1,"ExtendedProperties":[],"ModifiedProperties":[],"Actor":[{"ID":"anna@contoso.com","Type":5}],"ActorContextId":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f","ActorIpAddress":"203.0.113.9","InterSystemsId":"7e3f2c1a-0b5d-4c6e-9f70-1a2b3c4d5e6f","IntraSystemId":"8e3f2c1a-0b5d-4c6e-9f70-1a2b3c4d5e6f","Target":[],"TargetContextId":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f","ApplicationId":"1b730954-1685-4b74-9bfd-dac224a7b894","ErrorNumber":"50126","LogonError":"InvalidUserNameOrPassword"}"#;

#[test]
fn normalize_turns_a_record_into_a_valid_event() {
    let output = run_with_input(&["normalize", "--stream", "office365.azure-ad"], RECORD.as_bytes());
    assert_code(&output, 0);
    let events = json_lines(&output.stdout);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["class_uid"], 3002);
    // The result says Success, and the sign-in failed all the same.
    assert_eq!(events[0]["status_id"], 2);
    assert_eq!(events[0]["status_code"], "50126");
    assert_code(&run_with_input(&["validate"], &output.stdout), 0);
}

#[test]
fn normalize_writes_documents_of_the_elastic_common_schema() {
    let arguments = ["normalize", "--format", "ecs", "--stream", "office365.azure-ad"];
    let output = run_with_input(&arguments, RECORD.as_bytes());
    assert_code(&output, 0);
    let documents = json_lines(&output.stdout);
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["@timestamp"], "2026-05-04T03:02:01.000Z");
    assert_eq!(documents[0]["event"]["outcome"], "failure");
    assert_eq!(documents[0]["source"]["ip"], "203.0.113.9");
    assert_eq!(documents[0]["m365"]["class_uid"], 3002);
    assert_code(&run_with_input(&["validate", "--schema", "events/ecs"], &output.stdout), 0);

    let mut broken = documents[0].clone();
    broken["source"]["ip"] = serde_json::json!("nowhere");
    let output = run_with_input(&["validate", "--schema", "events/ecs"], format!("{broken}\n").as_bytes());
    assert_code(&output, 1);
    assert!(stderr(&output).contains("standard input:1: /source/ip:"), "{}", stderr(&output));
}

#[test]
fn rejects_are_told_with_line_reason_and_bytes_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects.ndjson");
    let input = [b"[1,2]\n\n".as_slice(), RECORD.as_bytes(), b"\n{\"cut\":\n\xff\xfe\n"].concat();
    let output = run_with_input(
        &["normalize", "--stream", "office365.azure-ad", "--rejects", rejects.to_str().unwrap()],
        &input,
    );
    assert_code(&output, 3);
    assert_eq!(json_lines(&output.stdout).len(), 1);
    let rejects = json_lines(&std::fs::read(rejects).unwrap());
    let lines: Vec<u64> = rejects.iter().map(|reject| reject["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 4, 5]);
    assert_eq!(rejects[0]["raw"], "[1,2]");
    assert_eq!(rejects[1]["raw"], "{\"cut\":");
    assert_eq!(rejects[2]["raw"], serde_json::json!([255, 254]));
    assert!(rejects.iter().all(|reject| reject["reason"].as_str().is_some_and(|reason| reason.len() > 10)));
}

#[test]
fn validate_names_line_and_path_of_every_error() {
    let event = run_with_input(&["normalize", "--stream", "office365.azure-ad"], RECORD.as_bytes()).stdout;
    let good = String::from_utf8(event).unwrap();
    let mut bad: serde_json::Value = serde_json::from_str(&good).unwrap();
    bad["severity_id"] = serde_json::json!("high");
    bad["actor"]["user"]["email_addr"] = serde_json::json!(5);
    let output = run_with_input(&["validate"], format!("{good}{bad}\nnot json\n").as_bytes());
    assert_code(&output, 1);
    let log = stderr(&output);
    for expected in
        ["standard input:2: /severity_id:", "standard input:2: /actor/user/email_addr:", "standard input:3: /:"]
    {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    assert!(!log.contains("standard input:1:"), "{log}");
    assert!(output.stdout.is_empty());
}

#[test]
fn raw_records_can_be_validated_too() {
    let output = run_with_input(&["validate", "--schema", "records/activity"], RECORD.as_bytes());
    assert_code(&output, 0);
    let output = run_with_input(&["validate", "--schema", "records/activity"], b"{\"Id\":1}\n");
    assert_code(&output, 1);
    let output = run(&["validate", "--schema", "nothing"]);
    assert_code(&output, 2);
    assert!(stderr(&output).contains("events/ocsf"));
}

#[test]
fn every_schema_is_listed_and_printed() {
    let list = run(&["schema", "list"]);
    assert_code(&list, 0);
    let names = stdout(&list);
    assert!(names.lines().count() >= 7, "{names}");
    for name in names.lines() {
        let output = run(&["schema", "print", name]);
        assert_code(&output, 0);
        let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
    }
}

#[test]
fn the_configuration_schema_in_the_repository_is_the_one_of_the_types() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/config.schema.json");
    let generated = stdout(&run(&["schema", "print", "config"]));
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "schemas/config.schema.json is out of date: run UPDATE_SCHEMAS=1 cargo test --workspace"
    );
}

#[test]
fn the_twelve_streams_are_listed_with_what_they_need() {
    let output = run(&["streams", "--json"]);
    assert_code(&output, 0);
    let streams: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(streams.len(), 12);
    let exchange = streams.iter().find(|stream| stream["name"] == "office365.exchange").unwrap();
    assert_eq!(exchange["dataset"], "msft_o365_exchange_online_raw");
    assert_eq!(exchange["product"], "O365 Exchange Online");
    assert_eq!(exchange["story"], "saas_audit_logs");
    assert_eq!(exchange["permissions"], serde_json::json!(["ActivityFeed.Read"]));
    for stream in &streams {
        assert!(!stream["event_classes"].as_array().unwrap().is_empty(), "{stream}");
    }
    let table = stdout(&run(&["streams"]));
    assert!(table.contains("graph.signins.managed-identity"), "{table}");
}

#[test]
fn the_meaning_of_operations_is_printed() {
    let output = run(&["streams", "--operations", "--json"]);
    assert_code(&output, 0);
    let operations: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let rule = operations.iter().find(|o| o["operation"] == "New-InboxRule").unwrap();
    assert_eq!(rule["class_name"], "Entity Management");
    assert_eq!((&rule["activity_id"], &rule["activity_name"]), (&serde_json::json!(1), &serde_json::json!("Create")));
    assert_eq!(rule["object"], "InboxRule");
    assert!(rule["record_types"].as_array().unwrap().contains(&"ExchangeAdmin".into()), "{rule}");
    let table = stdout(&run(&["streams", "--operations"]));
    assert_eq!(table.lines().count(), operations.len() + 1);
    assert!(table.lines().any(|line| line.starts_with("directory ") && line.contains("3005 User Access Management")));
}

#[test]
fn check_tells_each_stream_in_a_line_and_changes_nothing() {
    let tenant = Tenant::new(100);
    let config = tenant.configure("");
    let output = program().arg("check").arg("-c").arg(&config).output().unwrap();
    assert_code(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 12, "{}", stdout(&output));
    assert!(
        tenant
            .simulator
            .requests()
            .iter()
            .all(|request| request.method == "GET" || request.path_and_query.contains("/oauth2/"))
    );
    // Its requests count at the services, and so for the run that follows; there is no ledger yet.
    let files = std::fs::read_dir(tenant.path("data")).unwrap();
    let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["quotas"]);
}

#[test]
fn help_is_complete() {
    let output = run(&["--help"]);
    assert_code(&output, 0);
    let text = stdout(&output);
    for command in ["demo", "run", "normalize", "validate", "schema", "streams", "check", "drift", "Exit codes"] {
        assert!(text.contains(command), "{command}");
    }
    for command in ["demo", "run", "normalize", "validate", "schema", "streams", "check"] {
        let output = run(&[command, "--help"]);
        assert_code(&output, 0);
        assert!(stdout(&output).lines().count() > 5);
    }
}
