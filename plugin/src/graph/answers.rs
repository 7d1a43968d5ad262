//! What a refusal by Microsoft Graph means.
//!
//! Invariant: the error's codes decide, the inner ones too, then the status; messages are read only where Graph gives the
//! same code to different things.

use super::alerts_legacy;
use crate::call::{Answer, excerpt};
use crate::error::{Diagnosis, ErrorKind};
use crate::streams::{Collection, Stream};

/// The service's own words: `{"error":{"code","message","innerError":{"code",…}}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The codes, outermost first.
    pub codes: Vec<String>,
    /// The text to show, on one line.
    pub text: String,
    /// Whether the body is markup.
    pub html: bool,
}

impl Refusal {
    fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|known| known.eq_ignore_ascii_case(code))
    }

    /// Whether the refusal is that the tenant has no premium licence. Graph says so now and then to tenants that have one.
    pub fn no_licence(&self) -> bool {
        self.has("Authentication_RequestFromNonPremiumTenantOrB2CTenant")
    }

    /// Whether the words name the order of the records.
    pub fn names_order(&self) -> bool {
        self.text.to_ascii_lowercase().contains("orderby")
    }

    /// Whether the words name the size of a page.
    pub fn names_top(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        ["$top", "'top'", "top option", "page size", "pagesize"].iter().any(|word| text.contains(word))
    }
}

/// Reads a refusal.
pub fn refusal(answer: &Answer) -> Refusal {
    let text = String::from_utf8_lossy(&answer.body);
    let html = text.trim_start_matches('\u{feff}').trim_start().starts_with('<');
    let mut codes = Vec::new();
    let mut said = String::new();
    if let Ok(body) = serde_json::from_str::<serde_json::Value>(&text) {
        let mut level = body.get("error");
        while let Some(error) = level {
            if let Some(code) = error.get("code").and_then(|code| code.as_str())
                && codes.len() < 8
            {
                codes.push(code.to_owned());
            }
            if said.is_empty()
                && let Some(message) = error.get("message").and_then(|message| message.as_str())
            {
                said = message.to_owned();
            }
            level = error.get("innerError").or_else(|| error.get("innererror"));
        }
    } else if !html {
        said = text.into_owned();
    }
    let text = excerpt(&format!("{} {said}", codes.join(" ")));
    Refusal { codes, text: text.trim().to_owned(), html }
}

/// Says what a refusal means and what to do about it.
pub fn judge(answer: &Answer, refusal: &Refusal, stream: &Stream, collection: Collection) -> Diagnosis {
    let status = answer.head.status;
    let said = if refusal.text.is_empty() { String::new() } else { format!(", saying \"{}\"", refusal.text) };
    let message =
        format!("Microsoft Graph refused {} with status {status}{said}{}.", stream.api, answer.head.request_id());
    let code = match refusal.codes.first() {
        Some(code) if is_word(code) => code.clone(),
        _ => format!("http-{status}"),
    };
    let of = |kind: ErrorKind, mend: &str| Diagnosis::new(kind, code.clone(), message.clone(), mend);
    let grant = |permission: &str| {
        format!(
            "Grant the application permission {permission} of Microsoft Graph with admin consent; it takes effect with the next token, some minutes later."
        )
    };
    let again = "It is tried again.";
    let legacy = collection == Collection::AlertsLegacy;
    let mut diagnosis = if refusal.no_licence() {
        of(
            ErrorKind::Unlicensed,
            "Sign-ins can be read in tenants with Microsoft Entra ID P1 or P2 only: add a licence, or leave the stream out.",
        )
    } else if refusal.has("Authentication_MSGraphPermissionMissing")
        || refusal.has("Authentication_ApplicationHasNoReadAuditLogDataAccess")
    {
        of(ErrorKind::Forbidden, &grant("AuditLog.Read.All"))
    } else if refusal.has("Authentication_ApplicationHasNoDirectoryReadAccess") {
        of(ErrorKind::Forbidden, &grant("Directory.Read.All"))
    } else if status == 429 || refusal.has("TooManyRequests") {
        of(ErrorKind::RateLimited, "The calls are slowed down.")
    } else if refusal.html && status != 401 {
        Diagnosis::new(
            ErrorKind::Unavailable,
            "html",
            message.clone(),
            "A gateway in front of the service answered in its place; it is tried again.",
        )
    } else {
        match status {
            401 => of(
                ErrorKind::Unauthenticated,
                "The token was refused: check the tenant, the cloud and the application's credentials.",
            ),
            402 => of(ErrorKind::Unlicensed, "The tenant has to be set up for paid calls of Graph."),
            403 => of(ErrorKind::Forbidden, &grant(&stream.permissions.join(" and "))),
            404 | 410 if legacy => {
                Diagnosis::new(ErrorKind::Gone, "retired", message.clone(), alerts_legacy::RETIREMENT)
            }
            404 | 410 => Diagnosis::new(
                ErrorKind::InvalidConfig,
                "no-such-collection",
                message.clone(),
                "This cloud doesn't have the collection: check the cloud in the configuration, or leave the stream out.",
            ),
            408 | 504 => of(ErrorKind::Timeout, again),
            500.. => of(ErrorKind::Unavailable, again),
            _ if refusal.has("UnknownError") => of(ErrorKind::Unavailable, again),
            _ => of(ErrorKind::Protocol, "This answer isn't known; it is tried again with patience."),
        }
    };
    diagnosis.error.retry_after_ms = answer.head.retry_after_ms();
    diagnosis
}

/// Whether a code is a word that a metric can carry.
fn is_word(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}
