//! What an answer of the Management Activity API means that isn't what was asked for.
//!
//! Invariant: the `AF` code decides where there is one, then the words, then the status. Statuses aren't documented per code, so no row
//! asks for both. What is said of a blob is a claim: the host decides over hours whether it is lost.

use crate::call::{Answer, excerpt};
use crate::causes::{self, Call, Cause, Status, Words};
use crate::clock::{HOUR, MINUTE, SECOND};
use crate::error::{Diagnosis, ErrorKind};
use crate::streams::Stream;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The list of subscriptions.
    Subscriptions,
    /// A start of a subscription.
    Start,
    /// A list of content.
    List,
    /// A content blob.
    Content,
}

/// The code of a start that the service doesn't take yet. It concerns starts of one content type and nothing else.
pub const START_THROTTLED: &str = "start-throttled";

const ANY: Cause<Subject> = Cause::ANY;
const AGAIN: &str = "It keeps its place and is asked for again.";
const PLUGIN: &str = "The plugin asked wrongly; report this with the request id.";
const PERMISSION: &str = "Grant the application permission {permissions} of the Office 365 Management APIs with admin consent; it takes effect with the next token, some minutes later.";
const NOT_SUBJECT_CONTENT: &[Subject] = &[Subject::Subscriptions, Subject::Start, Subject::List];
const AUDITING: &str = "Run Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true in Exchange Online PowerShell (a new or trial tenant needs Enable-OrganizationCustomization before), and allow up to two hours.";

/// The causes, from top to bottom.
pub const CAUSES: &[Cause<Subject>] = &[
    Cause {
        codes: &["AF429", "429", "TooManyRequests"],
        about: &[Subject::Start],
        kind: ErrorKind::Unavailable,
        code: Some(START_THROTTLED),
        ..ANY
    },
    Cause {
        status: Status::Is(&[429]),
        about: &[Subject::Start],
        kind: ErrorKind::Unavailable,
        code: Some(START_THROTTLED),
        ..ANY
    },
    Cause {
        text: &["too many frequent subscription start"],
        about: &[Subject::Start],
        kind: ErrorKind::Unavailable,
        code: Some(START_THROTTLED),
        ..ANY
    },
    Cause { codes: &["AF10001"], kind: ErrorKind::Forbidden, mend: PERMISSION, ..ANY },
    Cause {
        codes: &["AF20010", "AF20012", "AF20013"],
        kind: ErrorKind::InvalidConfig,
        mend: "Give the GUID of the tenant that the application's token is issued for.",
        ..ANY
    },
    Cause {
        codes: &["AF20011"],
        kind: ErrorKind::InvalidConfig,
        mend: "Check the tenant's id and cloud; if they are right, turn auditing on in Microsoft Purview, which takes up to two hours.",
        ..ANY
    },
    Cause {
        codes: &["AF20001", "AF20002", "AF20003", "AF20020", "AF20021", "AF20053", "AF20054"],
        kind: ErrorKind::Internal,
        mend: PLUGIN,
        ..ANY
    },
    Cause {
        codes: &["AF20022"],
        kind: ErrorKind::Unavailable,
        mend: "A subscription that was just started takes a while to become effective; it is tried again.",
        ..ANY
    },
    Cause {
        codes: &["AF20023"],
        kind: ErrorKind::Unlicensed,
        mend: "An administrator of the tenant or the service disabled the subscription; have it enabled again.",
        ..ANY
    },
    Cause {
        codes: &["AF20030", "AF20055"],
        kind: ErrorKind::Unavailable,
        mend: "The service didn't take the window of time; check that this machine's clock is right. It is tried again.",
        ..ANY
    },
    Cause {
        codes: &["AF20031"],
        kind: ErrorKind::Restart,
        mend: "The next page is no longer valid; the window is listed again from its beginning.",
        ..ANY
    },
    Cause { codes: &["AF20050"], kind: ErrorKind::NotFound, mend: AGAIN, ..ANY },
    Cause {
        codes: &["AF20052"],
        kind: ErrorKind::NotFound,
        says: "If all blobs answer so, it is the tenant, the cloud or the service.",
        mend: AGAIN,
        ..ANY
    },
    Cause {
        codes: &["AF20051"],
        kind: ErrorKind::Gone,
        says: "The service says that it is older than it keeps content.",
        mend: AGAIN,
        ..ANY
    },
    Cause {
        codes: &["AF429", "429", "TooManyRequests"],
        kind: ErrorKind::RateLimited,
        mend: "The calls are slowed down.",
        ..ANY
    },
    Cause {
        codes: &["AF5*"],
        kind: ErrorKind::Unavailable,
        mend: "The fault is the service's; it is tried again.",
        ..ANY
    },
    Cause { status: Status::Is(&[429]), kind: ErrorKind::RateLimited, mend: "The calls are slowed down.", ..ANY },
    Cause {
        markup: true,
        kind: ErrorKind::Unavailable,
        code: Some("html"),
        says: "A gateway in front of the service answered in its place.",
        mend: "It is tried again.",
        ..ANY
    },
    Cause {
        text: &["tenant*does not exist"],
        about: NOT_SUBJECT_CONTENT,
        kind: ErrorKind::Unlicensed,
        code: Some("auditing-off"),
        says: "The service says so of a tenant whose unified audit log is off, or was turned on less than two hours ago.",
        mend: AUDITING,
        ..ANY
    },
    Cause { status: Status::From(500), kind: ErrorKind::Unavailable, mend: "It is tried again.", ..ANY },
    Cause { status: Status::Is(&[408]), kind: ErrorKind::Unavailable, mend: "It is tried again.", ..ANY },
    Cause {
        text: &["does not exist"],
        about: NOT_SUBJECT_CONTENT,
        kind: ErrorKind::Unlicensed,
        code: Some("auditing-off"),
        says: "The service says so of a tenant whose unified audit log is off, or was turned on less than two hours ago.",
        mend: AUDITING,
        ..ANY
    },
    Cause {
        text: &["invalidcloudinstance", "audience", "issuer"],
        status: Status::Is(&[401, 403]),
        kind: ErrorKind::Unauthenticated,
        code: Some("wrong-cloud"),
        says: "The token is of another cloud or for another service.",
        mend: "Check `cloud` and the endpoints in the configuration.",
        ..ANY
    },
    Cause {
        status: Status::Is(&[401]),
        kind: ErrorKind::Unauthenticated,
        says: "The token was refused.",
        mend: "Check tenant_id, cloud and the application's credentials.",
        ..ANY
    },
    Cause { status: Status::Is(&[403]), kind: ErrorKind::Forbidden, mend: PERMISSION, ..ANY },
    Cause { status: Status::Is(&[404]), about: &[Subject::Content], kind: ErrorKind::NotFound, mend: AGAIN, ..ANY },
    Cause {
        status: Status::Is(&[410]),
        about: &[Subject::Content],
        kind: ErrorKind::Gone,
        says: "The service says that it is gone.",
        mend: AGAIN,
        ..ANY
    },
    Cause {
        status: Status::Is(&[200, 201, 202, 203, 204, 205, 206]),
        mend: "It is tried again; if it stays, check the endpoint of the Management Activity API in the configuration and what stands between.",
        ..ANY
    },
    Cause { mend: "This answer isn't known; it is tried again with patience.", ..ANY },
];

/// Reads the service's own words: `{"error":{"code":…,"message":…}}`, also as an element of a list, or `{"Message":…}`.
pub fn words(answer: &Answer) -> Words {
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body);
    let text = String::from_utf8_lossy(body);
    let html = text.trim_start().starts_with('<');
    let words = match serde_json::from_slice(body) {
        Ok(serde_json::Value::Array(items)) => items.iter().find_map(said),
        Ok(value) => said(&value),
        // A body with a status of success can hold records, which are never shown.
        Err(_) if !html && answer.head.status >= 300 => Some((String::new(), text.into_owned())),
        Err(_) => None,
    };
    let (code, message) = words.unwrap_or_default();
    let text = if code.is_empty() { message } else { format!("{code}: {message}") };
    let mut codes: Vec<String> = af_code(&text).into_iter().collect();
    if !code.is_empty() && codes.first() != Some(&code) {
        codes.push(excerpt(&code));
    }
    Words { codes, text, html, shape: causes::shape(body) }
}

/// Code and message of an error.
fn said(value: &serde_json::Value) -> Option<(String, String)> {
    let text = |value: &serde_json::Value, name: &str| match value.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let error = match value.get("error") {
        Some(serde_json::Value::String(word)) => (word.clone(), text(value, "error_description")),
        Some(error) => (text(error, "code"), text(error, "message")),
        None => (String::new(), text(value, "Message")),
    };
    (error != (String::new(), String::new())).then_some(error)
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

/// Whether an element of a list is an error instead of what was asked for.
pub fn is_error(item: &serde_json::Value) -> bool {
    item.get("error").is_some_and(|error| !error.is_null())
}

/// Says what an answer means and what to do about it.
pub fn judge(answer: &Answer, words: &Words, subject: Subject, stream: &Stream) -> Diagnosis {
    let what = match subject {
        Subject::Subscriptions => "the list of subscriptions".to_owned(),
        Subject::Start => format!("the start of the subscription to {}", stream.api),
        Subject::List => format!("a list of content of {}", stream.api),
        Subject::Content => format!("a content blob of {}", stream.api),
    };
    let call = Call {
        service: "The Management Activity API",
        what: &what,
        about: subject,
        permissions: stream.permissions,
        not_it: "not-a-list",
    };
    causes::diagnose(CAUSES, &call, answer, words)
}

/// How long a refusal asks to wait in its words, in milliseconds: `Please retry again after 8m 46s`. An hour at most.
pub fn said_wait(text: &str) -> Option<u64> {
    let text = text.to_lowercase();
    let mut rest = text.split_once("after")?.1.trim_start();
    let mut wait: Option<u64> = None;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = rest[..digits].parse::<u64>() else { break };
        let unit = rest[digits..].trim_start();
        let length = match unit.bytes().next() {
            Some(b'h') => HOUR,
            Some(b'm') => MINUTE,
            Some(b's') => SECOND,
            _ => break,
        };
        wait = Some(wait.unwrap_or(0).saturating_add(number.saturating_mul(length)));
        rest =
            unit.trim_start_matches(|character: char| character.is_ascii_alphabetic()).trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    wait.map(|wait| wait.min(HOUR))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_are_read_out_of_the_words() {
        for (text, wait) in [
            ("Please retry again after 8m 46s.", Some(526 * SECOND)),
            ("retry again after 46s.", Some(46 * SECOND)),
            ("Try after 14 minutes and 3 seconds", Some(843 * SECOND)),
            ("after 1h", Some(HOUR)),
            ("after 99999h 4m", Some(HOUR)),
            ("after 99999999999999999999h", None),
            ("after a while", None),
            ("later", None),
            ("after 5", None),
        ] {
            assert_eq!(said_wait(text), wait, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_gives_a_bounded_wait(text in ".{0,20}after.{0,40}", dice in "after( ?[0-9]{1,22} ?(h|m|s|x|é)?){0,4}") {
            for text in [text, dice] {
                prop_assert!(said_wait(&text).is_none_or(|wait| wait <= HOUR));
            }
        }
    }
}
