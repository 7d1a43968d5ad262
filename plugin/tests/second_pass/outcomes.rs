//! How what a record tells of ended, by the record's own fields: `status_id` 0 Unknown, 1 Success, 2 Failure, 99 Other for most classes; for findings
//! 1 New, 2 In Progress, 3 Suppressed, 4 Resolved.

use serde_json::Value;

use crate::raw::text;

/// Codes of Entra with which a sign-in goes on: another step is asked for.
const GOES_ON: [i64; 19] = [
    16000, 50058, 50072, 50074, 50076, 50078, 50079, 50097, 50125, 50127, 50129, 50140, 50168, 50199, 51006, 65001,
    70016, 70043, 70044,
];

/// The `status_id`s that the event may have; none if the record says nothing of it.
pub fn allowed(stream: &str, record: &Value) -> Option<Vec<i64>> {
    match stream {
        "graph.alerts" => Some(vec![match text(record, "status")? {
            "new" => 1,
            "inProgress" => 2,
            "resolved" => 4,
            _ => 0,
        }]),
        "graph.alerts-legacy" => Some(vec![match text(record, "status")? {
            "newAlert" => 1,
            "inProgress" => 2,
            "dismissed" => 3,
            "resolved" => 4,
            _ => 0,
        }]),
        "graph.directory-audits" => Some(vec![match text(record, "result")? {
            "success" => 1,
            "failure" => 2,
            "timeout" => 99,
            _ => 0,
        }]),
        graph if graph.starts_with("graph.signins") => by_code(record.pointer("/status/errorCode")?.as_i64()?),
        "office365.dlp" => dlp(record),
        _ => activity(record),
    }
}

fn by_code(code: i64) -> Option<Vec<i64>> {
    Some(vec![match code {
        0 => 1,
        code if GOES_ON.contains(&code) => 99,
        _ => 2,
    }])
}

fn dlp(record: &Value) -> Option<Vec<i64>> {
    Some(vec![match text(record, "Operation")?.to_lowercase().as_str() {
        "dlprulematch" => 1,
        "dlpruleundo" => 4,
        "dlpinfo" => 3,
        _ => return None,
    }])
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn activity(record: &Value) -> Option<Vec<i64>> {
    let operation = text(record, "Operation")?;
    let record_type = number(record.get("RecordType")?).unwrap_or(-1);
    match operation {
        "UserLoggedIn" | "UserLoginFailed" => return Some(sign_in(operation, record)),
        // These say by their name that it did not succeed, whatever ResultStatus says.
        "SharingInvitationBlocked" | "AccessRequestDenied" | "AccessRequestRejected" | "UnmanagedSyncClientBlocked" => {
            return Some(vec![2]);
        }
        _ => {}
    }
    match record_type {
        // Findings have a state instead.
        28 | 29 | 41 | 47 | 62 | 294 => return None,
        40 => {
            return Some(vec![match text(record, "Status")?.to_lowercase().as_str() {
                "active" => 1,
                "investigating" => 2,
                "dismissed" => 3,
                "resolved" => 4,
                _ => 0,
            }]);
        }
        64 | 86 | 89 => return None,
        _ => {}
    }
    if let Some(success) = record.get("IsSuccess").and_then(Value::as_bool) {
        return Some(vec![if success { 1 } else { 2 }]);
    }
    let workload = text(record, "Workload").unwrap_or_default();
    let Some(status) = text(record, "ResultStatus") else {
        let logs_deeds = ["SharePoint", "OneDrive", "MicrosoftTeams", "MicrosoftForms", "PowerBI"].contains(&workload);
        let says_so = operation.ends_with("Failure") || operation.ends_with("Failed");
        return Some(vec![if says_so { 2 } else { i64::from(logs_deeds) }]);
    };
    Some(vec![match status.to_lowercase().as_str() {
        "success" | "succeeded" | "successful" | "true" | "ok" => 1,
        "failure" | "failed" | "fail" | "false" | "error" => 2,
        "1" if workload == "Planner" => 1,
        "2" | "3" if workload == "Planner" => 2,
        _ => 99,
    }])
}

/// `ResultStatus` says Success of most failed sign-ins, so it isn't asked.
fn sign_in(operation: &str, record: &Value) -> Vec<i64> {
    let code = ["ErrorNumber", "ErrorCode"].iter().find_map(|name| number(record.get(name)?));
    match (operation, code) {
        (_, Some(code)) if code != 0 => by_code(code).unwrap_or_default(),
        ("UserLoginFailed", _) => vec![2],
        _ if text(record, "LogonError").is_some() => vec![2],
        _ => match text(record, "ResultStatus").map(str::to_lowercase).as_deref() {
            _ if code == Some(0) => vec![1],
            Some("success" | "succeeded") => vec![1],
            Some("failed") => vec![2],
            None => vec![0],
            Some(_) => vec![99],
        },
    }
}
