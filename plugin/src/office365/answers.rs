//! What a refusal by the Management Activity API means.
//!
//! Invariant: the `AF` code decides where there is one, then the status. Statuses aren't documented per code, so no rule
//! asks for both.

use crate::call::{Answer, excerpt};
use crate::error::{Diagnosis, ErrorKind};
use crate::streams::Stream;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Subscriptions or a list of content.
    List,
    /// A content blob.
    Content,
}

/// The service's own words: `{"error":{"code":…,"message":…}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The `AF` code, if there is one.
    pub af: Option<String>,
    /// The text to show, on one line.
    pub text: String,
    /// Whether the body is markup.
    pub html: bool,
    /// Whether the service says that the tenant does not exist, which it says of a tenant whose audit log is off.
    pub does_not_exist: bool,
}

/// Reads a refusal.
pub fn refusal(answer: &Answer) -> Refusal {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Envelope {
        error: Inner,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Inner {
        code: String,
        message: String,
    }
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body);
    let text = String::from_utf8_lossy(body);
    let html = text.trim_start().starts_with('<');
    let words = match serde_json::from_str::<Envelope>(&text) {
        Ok(Envelope { error }) if !error.code.is_empty() || !error.message.is_empty() => {
            format!("{}: {}", error.code, error.message)
        }
        _ if html => String::new(),
        _ => text.into_owned(),
    };
    Refusal { af: af_code(&words), does_not_exist: words.contains("does not exist"), text: excerpt(&words), html }
}

/// The first `AF` and digits that stand alone in a text.
fn af_code(text: &str) -> Option<String> {
    text.match_indices("AF").find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let digits = text[at + 2..].bytes().take_while(u8::is_ascii_digit).count();
        (!before.is_some_and(char::is_alphanumeric) && (3..=5).contains(&digits))
            .then(|| text[at..at + 2 + digits].to_owned())
    })
}

/// Says what a refusal means and what to do about it.
pub fn judge(answer: &Answer, refusal: &Refusal, subject: Subject, stream: &Stream) -> Diagnosis {
    let status = answer.head.status;
    let said = if refusal.text.is_empty() { String::new() } else { format!(", saying \"{}\"", refusal.text) };
    let what = match subject {
        Subject::List => format!("The Management Activity API refused a list for {}", stream.api),
        Subject::Content => format!("The Management Activity API refused a content blob of {}", stream.api),
    };
    let message = format!("{what} with status {status}{said}{}.", answer.head.request_id());
    let code = refusal.af.clone().unwrap_or_else(|| format!("http-{status}"));
    let of = |kind: ErrorKind, mend: &str| Diagnosis::new(kind, code.clone(), message.clone(), mend);
    let named = |kind: ErrorKind, code: &str, mend: &str| Diagnosis::new(kind, code, message.clone(), mend);
    let mut diagnosis = match refusal.af.as_deref() {
        Some("AF10001") => of(ErrorKind::Forbidden, &permission(stream)),
        Some("AF20010" | "AF20012" | "AF20013") => {
            of(ErrorKind::InvalidConfig, "Give the GUID of the tenant that the application's token is issued for.")
        }
        Some("AF20011") => of(
            ErrorKind::InvalidConfig,
            "Check the tenant's id and cloud; if they are right, turn auditing on in Microsoft Purview, which takes up to 60 minutes.",
        ),
        Some("AF20001" | "AF20002" | "AF20003" | "AF20020" | "AF20021" | "AF20053" | "AF20054") => {
            of(ErrorKind::Internal, "The plugin asked wrongly; report this with the request id.")
        }
        Some("AF20022") => of(
            ErrorKind::Unavailable,
            "A subscription that was just started takes a while to become effective; it is tried again.",
        ),
        Some("AF20023") => of(
            ErrorKind::Unlicensed,
            "An administrator of the tenant or the service disabled the subscription; have it enabled again.",
        ),
        Some("AF20030" | "AF20055") => of(
            ErrorKind::Unavailable,
            "The service didn't take the window of time; check that this machine's clock is right. It is tried again.",
        ),
        Some("AF20031") => {
            of(ErrorKind::Restart, "The next page is no longer valid; the window is listed again from its beginning.")
        }
        Some("AF20050" | "AF20052") => of(ErrorKind::NotFound, "The blob is lost, and the rest goes on."),
        Some("AF20051") => {
            of(ErrorKind::Gone, "The blob was older than the service keeps it and is lost; the rest goes on.")
        }
        Some("AF429") => of(ErrorKind::RateLimited, "The calls are slowed down."),
        Some(af) if af.starts_with("AF5") => {
            of(ErrorKind::Unavailable, "The fault is the service's; it is tried again.")
        }
        _ if status == 429 => of(ErrorKind::RateLimited, "The calls are slowed down."),
        _ if refusal.html => named(
            ErrorKind::Unavailable,
            "html",
            "A gateway in front of the service answered in its place; it is tried again.",
        ),
        _ if status >= 500 || status == 408 => of(ErrorKind::Unavailable, "It is tried again."),
        None if refusal.does_not_exist && subject == Subject::List => named(
            ErrorKind::Unlicensed,
            "auditing-off",
            "The tenant's unified audit log is off, or was turned on less than 60 minutes ago: run Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true in Exchange Online PowerShell, and allow up to 60 minutes.",
        ),
        _ if status == 401 => of(
            ErrorKind::Unauthenticated,
            "The token was refused: check the tenant, the cloud and the application's credentials.",
        ),
        _ if status == 403 => of(ErrorKind::Forbidden, &permission(stream)),
        _ if status == 404 && subject == Subject::Content => {
            of(ErrorKind::NotFound, "The blob is lost, and the rest goes on.")
        }
        _ if status == 410 && subject == Subject::Content => {
            of(ErrorKind::Gone, "The blob is lost, and the rest goes on.")
        }
        _ => of(ErrorKind::Protocol, "This answer isn't known; it is tried again with patience."),
    };
    diagnosis.error.retry_after_ms = answer.head.retry_after_ms();
    diagnosis
}

fn permission(stream: &Stream) -> String {
    let missing = stream.permissions.join(" and ");
    format!(
        "Grant the application permission {missing} of the Office 365 Management APIs with admin consent; it takes effect with the next token, some minutes later."
    )
}
