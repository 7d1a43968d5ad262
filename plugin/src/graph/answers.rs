//! What an answer of Microsoft Graph means that isn't a page of the collection that was asked for.
//!
//! Invariant: the error's codes decide, the inner ones too, then the status; messages are read only where Graph gives the
//! same code to different things.

use super::alerts_legacy;
use crate::call::{Answer, Head, excerpt};
use crate::causes::{self, Call, Cause, Status, Words};
use crate::driver::is_error;
use crate::error::{Diagnosis, ErrorKind};
use crate::streams::{Collection, Stream};

/// What a call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A collection that is there to stay.
    Collection,
    /// The collection that Microsoft retires.
    Legacy,
}

const ANY: Cause<About> = Cause::ANY;
const CLOUD: &str = "Set `cloud` in the configuration to the tenant's own cloud; if it is right, leave the stream out.";
const CREDENTIALS: &str = "Check tenant_id, cloud and the application's credentials.";

/// The causes, from top to bottom.
pub const CAUSES: &[Cause<About>] = &[
    Cause {
        codes: &["Authentication_RequestFromNonPremiumTenantOrB2CTenant"],
        kind: ErrorKind::Unlicensed,
        mend: "Sign-ins can be read in tenants with Microsoft Entra ID P1 or P2 only: add a licence, or leave the stream out.",
        ..ANY
    },
    Cause {
        codes: &["Authentication_MSGraphPermissionMissing", "Authentication_ApplicationHasNoReadAuditLogDataAccess"],
        kind: ErrorKind::Forbidden,
        mend: "Grant the application permission AuditLog.Read.All of Microsoft Graph with admin consent; it takes effect with the next token, some minutes later.",
        ..ANY
    },
    Cause {
        codes: &["Authentication_ApplicationHasNoDirectoryReadAccess"],
        kind: ErrorKind::Forbidden,
        mend: "Grant the application permission Directory.Read.All of Microsoft Graph with admin consent; it takes effect with the next token, some minutes later.",
        ..ANY
    },
    Cause { status: Status::Is(&[429]), kind: ErrorKind::RateLimited, mend: "The calls are slowed down.", ..ANY },
    Cause {
        codes: &["TooManyRequests", "activityLimitReached", "429"],
        kind: ErrorKind::RateLimited,
        mend: "The calls are slowed down.",
        ..ANY
    },
    Cause {
        text: &["invalidcloudinstance", "invalid cloud instance"],
        kind: ErrorKind::Unauthenticated,
        code: Some("wrong-cloud"),
        says: "The tenant lives in another cloud than the one that is configured.",
        mend: "Set `cloud` in the configuration to the tenant's own cloud.",
        ..ANY
    },
    Cause {
        status: Status::Is(&[401]),
        text: &["audience", "issuer", "tenant"],
        kind: ErrorKind::Unauthenticated,
        says: "The token is of another tenant or cloud, or for another service.",
        mend: "Check `cloud`, tenant_id and the endpoints in the configuration.",
        ..ANY
    },
    Cause {
        status: Status::Is(&[401]),
        kind: ErrorKind::Unauthenticated,
        says: "The token was refused.",
        mend: CREDENTIALS,
        ..ANY
    },
    Cause {
        markup: true,
        kind: ErrorKind::Unavailable,
        code: Some("html"),
        says: "A gateway in front of the service answered in its place.",
        mend: "It is tried again.",
        ..ANY
    },
    Cause {
        text: &["resource not found for the segment"],
        about: &[About::Legacy],
        kind: ErrorKind::Gone,
        code: Some("retired"),
        mend: alerts_legacy::RETIREMENT,
        ..ANY
    },
    Cause {
        text: &["resource not found for the segment", "could not find a property named"],
        kind: ErrorKind::InvalidConfig,
        code: Some("no-such-collection"),
        says: "This cloud doesn't have it.",
        mend: CLOUD,
        ..ANY
    },
    Cause {
        status: Status::Is(&[403, 404]),
        text: &[
            "not provisioned",
            "not onboarded",
            "onboard",
            "no tenant",
            "tenant is not active",
            "workload is not available",
        ],
        kind: ErrorKind::Unlicensed,
        code: Some("not-onboarded"),
        says: "The tenant isn't onboarded to the product behind the stream, or has no licence for it; this is no missing permission.",
        mend: "Open the Microsoft Defender portal once as an administrator to onboard the tenant, check the licence, or leave the stream out.",
        ..ANY
    },
    Cause {
        text: &["license", "licence", "subscription is required"],
        status: Status::Is(&[403]),
        kind: ErrorKind::Unlicensed,
        says: "The tenant lacks a licence.",
        mend: "Add the licence, or leave the stream out.",
        ..ANY
    },
    Cause {
        status: Status::Is(&[402]),
        kind: ErrorKind::Unlicensed,
        mend: "The tenant has to be set up for paid calls of Graph.",
        ..ANY
    },
    Cause {
        text: &["conditional access", "blocked by policy", "aadsts53003"],
        status: Status::Is(&[403]),
        kind: ErrorKind::Forbidden,
        says: "A policy of the tenant forbids the application to call from here.",
        mend: "Look into the Conditional Access policies for workload identities.",
        ..ANY
    },
    Cause {
        status: Status::Is(&[403]),
        kind: ErrorKind::Forbidden,
        mend: "Grant the application permission {permissions} of Microsoft Graph with admin consent; it takes effect with the next token, some minutes later.",
        ..ANY
    },
    Cause {
        status: Status::Is(&[404, 410]),
        about: &[About::Legacy],
        kind: ErrorKind::Gone,
        code: Some("retired"),
        mend: alerts_legacy::RETIREMENT,
        ..ANY
    },
    Cause {
        status: Status::Is(&[404, 410]),
        kind: ErrorKind::InvalidConfig,
        code: Some("no-such-collection"),
        says: "This cloud doesn't have it.",
        mend: CLOUD,
        ..ANY
    },
    Cause { status: Status::Is(&[408, 504]), kind: ErrorKind::Timeout, mend: "It is tried again.", ..ANY },
    Cause { status: Status::From(500), kind: ErrorKind::Unavailable, mend: "It is tried again.", ..ANY },
    Cause {
        codes: &[
            "UnknownError",
            "generalException",
            "InternalServerError",
            "ServiceUnavailable",
            "serviceNotAvailable",
        ],
        kind: ErrorKind::Unavailable,
        mend: "The fault is the service's; it is tried again.",
        ..ANY
    },
    Cause {
        status: Status::Is(&[200, 206]),
        kind: ErrorKind::Protocol,
        mend: "It is tried again; if it stays, check the endpoint of Microsoft Graph in the configuration and what stands between.",
        ..ANY
    },
    Cause { mend: "This answer isn't known; it is tried again with patience.", ..ANY },
];

/// Whether a status can carry a page: 206 is documented for legacy alerts alone, of which some providers are missing then.
pub fn carries_page(head: &Head, collection: Collection) -> bool {
    head.status == 200 || (head.status == 206 && collection == Collection::AlertsLegacy)
}

/// The records of an answer that is a page of a collection: a status for one, one object with one list as its `value`, and no error
/// beside it.
pub fn page(answer: &Answer, collection: Collection) -> Option<Vec<serde_json::Value>> {
    if !carries_page(&answer.head, collection) {
        return None;
    }
    let mut splitter = crate::splitter::Splitter::new(crate::splitter::Framing::Collection, answer.body.len());
    let (mut records, mut error) = (Vec::new(), false);
    let whole = splitter.feed(&answer.body, |record| {
        error |= is_error(record);
        records.push(serde_json::from_slice(record).unwrap_or_default());
    });
    (whole.is_ok() && splitter.finish().is_ok() && splitter.error().is_none() && !error).then_some(records)
}

/// Reads the service's own words: `{"error":{"code","message","innerError":{"code",…}}}`.
pub fn words(answer: &Answer) -> Words {
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.trim_start_matches('\u{feff}');
    let html = text.trim_start().starts_with('<');
    let mut codes = Vec::new();
    let mut said = String::new();
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(body) => {
            let said_by = |item: &serde_json::Value| item.get("error").is_some();
            let body = match &body {
                serde_json::Value::Array(items) => items.iter().find(|item| said_by(item)).unwrap_or(&body),
                // In place of a record.
                _ => {
                    let items = body.get("value").and_then(|value| value.as_array());
                    items.and_then(|items| items.iter().find(|item| said_by(item))).unwrap_or(&body)
                }
            };
            let mut level = body.get("error");
            if let Some(word) = level.and_then(|error| error.as_str()) {
                said = word.to_owned();
            }
            while let Some(error) = level {
                if let Some(code) = error.get("code").and_then(|code| code.as_str())
                    && codes.len() < 8
                {
                    codes.push(excerpt(code));
                }
                if said.is_empty()
                    && let Some(message) = error.get("message").and_then(|message| message.as_str())
                {
                    said = message.to_owned();
                }
                level = error.get("innerError").or_else(|| error.get("innererror"));
            }
        }
        // A body with a status of success can hold records, which are never shown.
        Err(_) if !html && answer.head.status >= 300 => said = text.to_owned(),
        Err(_) => {}
    }
    let text = format!("{} {said}", codes.join(" "));
    Words { codes, text: text.trim().to_owned(), html, shape: causes::shape(&answer.body) }
}

/// Whether the tenant has no premium licence, as Graph says now and then to tenants that have one.
pub fn no_licence(words: &Words) -> bool {
    words.has("Authentication_RequestFromNonPremiumTenantOrB2CTenant")
}

/// Whether the words name the order of the records.
pub fn names_order(words: &Words) -> bool {
    words.text.to_ascii_lowercase().contains("orderby")
}

/// Whether the words name the size of a page.
pub fn names_top(words: &Words) -> bool {
    let text = words.text.to_ascii_lowercase();
    ["$top", "'top'", "top option", "page size", "pagesize"].iter().any(|word| text.contains(word))
}

/// Says what an answer means and what to do about it.
pub fn judge(answer: &Answer, words: &Words, stream: &Stream, collection: Collection) -> Diagnosis {
    let call = Call {
        service: "Microsoft Graph",
        what: stream.api,
        about: if collection == Collection::AlertsLegacy { About::Legacy } else { About::Collection },
        permissions: stream.permissions,
        not_it: "not-a-collection",
    };
    causes::diagnose(CAUSES, &call, answer, words)
}
