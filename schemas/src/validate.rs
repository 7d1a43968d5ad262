//! Validators of raw records and of events, generated at compile time from the schema files of this folder.
//!
//! Invariant: what these validators accept is what the files say; nothing here knows a field by name. They live in this
//! crate, behind the feature `validators`, so that a change of the mapping doesn't compile them again.

use jsonschema::ValidationError;
use serde_json::Value;

#[jsonschema::validator(path = "events/ocsf.schema.json", draft = jsonschema::Draft::Draft202012)]
struct Event;
#[jsonschema::validator(path = "records/activity.schema.json", draft = jsonschema::Draft::Draft202012)]
struct Activity;
#[jsonschema::validator(path = "records/sign-in.schema.json", draft = jsonschema::Draft::Draft202012)]
struct SignIn;
#[jsonschema::validator(path = "records/directory-audit.schema.json", draft = jsonschema::Draft::Draft202012)]
struct DirectoryAudit;
#[jsonschema::validator(path = "records/alert.schema.json", draft = jsonschema::Draft::Draft202012)]
struct Alert;
#[jsonschema::validator(path = "records/alert-legacy.schema.json", draft = jsonschema::Draft::Draft202012)]
struct AlertLegacy;

/// Which schema a raw record is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFamily {
    /// A record of the Office 365 Management Activity API.
    Activity,
    /// A sign-in of Microsoft Graph.
    SignIn,
    /// A directory audit of Microsoft Graph.
    DirectoryAudit,
    /// An alert of Microsoft Graph, `alerts_v2`.
    Alert,
    /// An alert of Microsoft Graph, first version.
    AlertLegacy,
}

impl RecordFamily {
    /// The top-level members that the schema of the family speaks of. Only these need to be in the value given to
    /// [`record`], so that a caller with a tree of its own copies no more than them.
    pub fn members(self) -> &'static [&'static str] {
        match self {
            Self::Activity => {
                &["CreationTime", "Id", "Operation", "OrganizationId", "RecordType", "UserId", "Workload"]
            }
            Self::SignIn => &["createdDateTime", "id", "status"],
            Self::DirectoryAudit => {
                &["activityDateTime", "activityDisplayName", "id", "initiatedBy", "targetResources"]
            }
            Self::Alert => &["createdDateTime", "evidence", "id", "title"],
            Self::AlertLegacy => &["createdDateTime", "eventDateTime", "id", "lastModifiedDateTime"],
        }
    }

    /// The schema of the family, as text.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Activity => crate::RECORD_ACTIVITY,
            Self::SignIn => crate::RECORD_SIGN_IN,
            Self::DirectoryAudit => crate::RECORD_DIRECTORY_AUDIT,
            Self::Alert => crate::RECORD_ALERT,
            Self::AlertLegacy => crate::RECORD_ALERT_LEGACY,
        }
    }
}

/// Holds a raw record against the schema of its family.
///
/// # Errors
/// One sentence: where in the record, and what is wrong there. It names kinds of values, never a value.
pub fn record(family: RecordFamily, record: &Value) -> Result<(), String> {
    let valid = match family {
        RecordFamily::Activity => Activity::is_valid(record),
        RecordFamily::SignIn => SignIn::is_valid(record),
        RecordFamily::DirectoryAudit => DirectoryAudit::is_valid(record),
        RecordFamily::Alert => Alert::is_valid(record),
        RecordFamily::AlertLegacy => AlertLegacy::is_valid(record),
    };
    if valid {
        return Ok(());
    }
    let outcome = match family {
        RecordFamily::Activity => Activity::validate(record),
        RecordFamily::SignIn => SignIn::validate(record),
        RecordFamily::DirectoryAudit => DirectoryAudit::validate(record),
        RecordFamily::Alert => Alert::validate(record),
        RecordFamily::AlertLegacy => AlertLegacy::validate(record),
    };
    outcome.map_err(|error| sentence(&error, record))
}

/// Holds an event against the trimmed OCSF bundle.
///
/// # Errors
/// As [`record`].
pub fn event(event: &Value) -> Result<(), String> {
    if Event::is_valid(event) {
        return Ok(());
    }
    Event::validate(event).map_err(|error| sentence(&error, event))
}

/// What is wrong and where, without the value: it may be a secret, and it is in the dead letter anyway.
fn sentence(error: &ValidationError<'_>, whole: &Value) -> String {
    let path = error.instance_path().as_str();
    let kind = match whole.pointer(path) {
        None | Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    };
    let place = if path.is_empty() { "the top level" } else { path };
    format!("at {place} ({kind}): {}", error.masked())
}
