//! How an action ended, and how severe the source finds it.
//!
//! Invariant: a word that no table knows is kept as it is, as status 99 (Other), and is never taken for a success.

use super::{
    context::Context,
    event::{Event, attr},
    record::{Node, Object},
};

/// The status of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The source doesn't say.
    Unknown,
    /// It succeeded.
    Success,
    /// It failed.
    Failure,
    /// Neither; the source's own word.
    Other(&'a str),
}

impl<'a> Outcome<'a> {
    /// Reads a word such as `Succeeded`, `True`, `Failed` or `PartiallySucceeded`, in any case.
    pub fn of(word: &'a str) -> Self {
        let word = word.trim();
        let is = |words: &[&str]| words.iter().any(|w| word.eq_ignore_ascii_case(w));
        if word.is_empty() || is(&["unknown", "unknownFutureValue"]) {
            Self::Unknown
        } else if is(&["success", "succeeded", "true", "successful", "ok"]) {
            Self::Success
        } else if is(&["failure", "failed", "fail", "false", "authorizationfailure", "error"]) {
            Self::Failure
        } else {
            Self::Other(word)
        }
    }

    /// Writes `status_id` and `status`, and the severity that follows from them: Low for a failure, else Informational.
    pub fn write(self, event: &mut Event<'_>) {
        match self {
            Self::Unknown => event.set_enum(attr::STATUS_ID, 0, None),
            Self::Success => event.set_enum(attr::STATUS_ID, 1, None),
            Self::Failure => event.set_enum(attr::STATUS_ID, 2, None),
            Self::Other(word) => event.set_enum(attr::STATUS_ID, 99, Some(word)),
        }
        event.set_severity(if self == Self::Failure { 2 } else { 1 });
    }
}

/// Operations that are failures whatever the record's status says.
const FAILURES: [&str; 10] = [
    "SharingInvitationBlocked",
    "AccessRequestDenied",
    "AccessRequestRejected",
    "UnmanagedSyncClientBlocked",
    "CommunityAccessFailure",
    "FailedValidation",
    "FileAccessFailure",
    "MessageAccessFailure",
    "Blocked from self-service password reset",
    "Consent to application was blocked",
];

/// The outcome of a Management Activity record other than a sign-in.
///
/// SharePoint, OneDrive, Teams, Forms and Power BI log what was done and say nothing when it worked.
pub fn of_activity<'a>(operation: &str, result_status: Option<&'a str>, workload: &str) -> Outcome<'a> {
    if FAILURES.contains(&operation) {
        return Outcome::Failure;
    }
    match result_status.map(str::trim).filter(|s| !s.is_empty()) {
        // Planner writes numbers.
        Some(status) if workload == "Planner" && ["1", "2", "3"].contains(&status) => {
            if status == "1" {
                Outcome::Success
            } else {
                Outcome::Failure
            }
        }
        Some(status) => Outcome::of(status),
        None if ["SharePoint", "OneDrive", "MicrosoftTeams", "MicrosoftForms", "PowerBI"].contains(&workload) => {
            Outcome::Success
        }
        None => Outcome::Unknown,
    }
}

/// Writes the outcome of a Management Activity record other than a sign-in. `ResultStatus` is taken only if it says the same.
pub fn write_activity<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &mut Event<'r>) {
    let status = record.peek("ResultStatus").and_then(Node::to_text);
    let outcome = of_activity(context.operation, status.as_deref(), context.workload);
    outcome.write(event);
    if status.as_deref().is_some_and(|status| Outcome::of(status) == outcome) {
        record.take("ResultStatus");
    }
}

/// The OCSF severity of a source's word: informational 1, low 2, medium 3, high 4, critical 5; unknown words 0.
pub fn severity(word: &str) -> i64 {
    match word.trim().to_ascii_lowercase().as_str() {
        "informational" | "information" | "info" | "none" => 1,
        "low" => 2,
        "medium" => 3,
        "high" => 4,
        "critical" => 5,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_any_case() {
        for word in ["Success", "Succeeded", "success", "True", "TRUE", " Successful "] {
            assert_eq!(Outcome::of(word), Outcome::Success, "{word}");
        }
        for word in ["Failed", "failed", "Failure", "False", "Fail"] {
            assert_eq!(Outcome::of(word), Outcome::Failure, "{word}");
        }
        assert_eq!(Outcome::of("PartiallySucceeded"), Outcome::Other("PartiallySucceeded"));
        assert_eq!(Outcome::of("New"), Outcome::Other("New"));
        assert_eq!(Outcome::of(""), Outcome::Unknown);
    }

    #[test]
    fn silence_means_success_only_where_the_service_logs_deeds() {
        assert_eq!(of_activity("FileAccessed", None, "SharePoint"), Outcome::Success);
        assert_eq!(of_activity("Set-Mailbox", None, "Exchange"), Outcome::Unknown);
        assert_eq!(of_activity("SharingInvitationBlocked", Some("Succeeded"), "SharePoint"), Outcome::Failure);
        assert_eq!(of_activity("TaskRead", Some("2"), "Planner"), Outcome::Failure);
    }
}
