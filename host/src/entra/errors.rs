//! What a refusal of Entra ID means and how it is mended.
//!
//! Invariant: every refusal becomes one message with code, meaning, mend and the ids that Microsoft's support asks for;
//! nothing that was sent, and no free text that could echo it, gets into it.
//! Source of the codes: Microsoft, "Microsoft Entra authentication and authorization error codes".

use std::time::Duration;

use serde::Deserialize;

use super::clouds::Cloud;
use crate::http::{Error, ErrorKind};

/// Whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Not until an operator mends something.
    AfterMending,
    /// In a moment.
    Soon,
    /// After the time that the service gives, or a growing one.
    Throttled,
    /// Not for ten minutes: the service found the client asking in a loop.
    AfterLoop,
}

/// The pause after the service found a loop.
pub(super) const LOOP_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What some codes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The numbers behind `AADSTS`.
    pub codes: &'static [u32],
    /// The class of the error.
    pub kind: ErrorKind,
    /// What happened: a sentence.
    pub sentence: &'static str,
    /// How to mend it: a sentence.
    pub mend: &'static str,
    /// Whether asking again can help.
    pub again: Again,
}

const fn permanent(codes: &'static [u32], kind: ErrorKind, sentence: &'static str, mend: &'static str) -> Meaning {
    Meaning { codes, kind, sentence, mend, again: Again::AfterMending }
}

use ErrorKind::{Internal, InvalidConfig, RateLimited, Unauthenticated, Unavailable};

/// All codes that have a meaning here.
const MEANINGS: &[Meaning] = &[
    permanent(
        &[7000215],
        Unauthenticated,
        "The client secret was rejected.",
        "Configure the secret's Value as it was shown when the secret was created, not its Secret ID.",
    ),
    permanent(
        &[7000222],
        Unauthenticated,
        "The client secret has expired.",
        "Create a new client secret for the app registration and configure it.",
    ),
    permanent(
        &[700016, 700011],
        Unauthenticated,
        "The application is not known in the tenant.",
        "Check the client ID, the tenant and the cloud, and grant admin consent so that the application exists in the tenant.",
    ),
    permanent(
        &[7000112, 70001],
        Unauthenticated,
        "The application is disabled in the tenant.",
        "Enable sign-in for it under Enterprise applications in Entra ID.",
    ),
    permanent(
        &[90002],
        InvalidConfig,
        "The tenant was not found.",
        "Check the tenant ID or domain, and that the configured cloud is the tenant's (global, gcc, gcc-high, dod, china).",
    ),
    permanent(
        &[50128, 50059, 90019],
        InvalidConfig,
        "The configured tenant is not a tenant.",
        "Configure the tenant's ID, a GUID, or one of its verified domains.",
    ),
    permanent(
        &[90038, 900382, 900432],
        InvalidConfig,
        "The tenant or the application is in another national cloud.",
        "Configure the cloud that the tenant is in (global, gcc, gcc-high, dod, china).",
    ),
    permanent(
        UNKNOWN_API,
        Unauthenticated,
        "The API is not available to the application in this tenant.",
        "Add the API's application permissions to the app registration, grant admin consent, and check the tenant's licence.",
    ),
    permanent(
        &[65001, 650056, 90094],
        Unauthenticated,
        "An administrator has not consented to the application's permissions.",
        "Grant admin consent under API permissions of the app registration.",
    ),
    permanent(
        &[70011, 28002, 28003, 700022, 901002],
        Internal,
        "The request for a token named a scope that Entra ID does not take.",
        "Check the configured cloud; if it is right, report this as a fault of the program.",
    ),
    permanent(
        &[700027, 50012, 50013, 50048, 700030],
        Unauthenticated,
        "The certificate or the signed assertion was rejected.",
        "Upload the configured certificate to the app registration, and check this machine's clock.",
    ),
    permanent(
        &[500133],
        Unauthenticated,
        "The signed assertion is outside its time range.",
        "Set this machine's clock right.",
    ),
    permanent(
        &[7000218, 900144, 90014],
        InvalidConfig,
        "The request held no credential, or lacked a parameter.",
        "Configure a client secret for the application.",
    ),
    permanent(
        &[700025],
        InvalidConfig,
        "The application is registered as a public client, which has no credentials.",
        "Register it as a confidential client (platform Web), or use another app registration.",
    ),
    permanent(
        &[700229],
        Unauthenticated,
        "The federated token is of the wrong type.",
        "Use an app-only token of the workload's identity provider.",
    ),
    permanent(
        &[53003, 530032, 530035, 53011],
        Unauthenticated,
        "A Conditional Access or security policy blocks the application.",
        "Let the policy for workload identities admit this machine's public address or location.",
    ),
    permanent(
        &[50002, 500021, 500022],
        Unauthenticated,
        "Tenant restrictions of the network's proxy block the tenant.",
        "Have the tenant added to the proxy's allowed tenants.",
    ),
    Meaning {
        codes: &[50196],
        kind: RateLimited,
        sentence: "Entra ID found the client asking for tokens in a loop.",
        mend: "Check that not many processes use this app registration; tokens are asked for again in ten minutes.",
        again: Again::AfterLoop,
    },
    Meaning {
        codes: &[50033, 90006, 90012, 90024, 90033, 90090, 50000],
        kind: Unavailable,
        sentence: "Entra ID has a transient fault.",
        mend: "Nothing needs to be done; it is tried again.",
        again: Again::Soon,
    },
    Meaning {
        codes: &[90055],
        kind: RateLimited,
        sentence: "Entra ID throttles the tenant.",
        mend: "Nothing needs to be done; it is tried again later.",
        again: Again::Throttled,
    },
    permanent(
        &[50034, 50126, 50053, 50057, 50076],
        Unauthenticated,
        "Entra ID refused a user's sign-in, which does not belong to an application's credentials.",
        "Check that the client ID is that of an app registration.",
    ),
];

/// What `AADSTS` with this number means, if it is known here.
pub fn meaning(code: u32) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.codes.contains(&code))
}

/// The words of OAuth 2.0 (RFC 6749, section 5.2) and what each means when no code says more.
const OAUTH: &[(&str, Meaning)] = &[
    (
        "invalid_client",
        permanent(
            &[],
            Unauthenticated,
            "The application's credentials were rejected.",
            "Check the client ID and the secret.",
        ),
    ),
    (
        "unauthorized_client",
        permanent(
            &[],
            Unauthenticated,
            "The application may not ask for tokens.",
            "Check the client ID, and grant admin consent.",
        ),
    ),
    (
        "invalid_grant",
        permanent(
            &[],
            Unauthenticated,
            "The application was not granted a token.",
            "Grant admin consent under API permissions of the app registration.",
        ),
    ),
    (
        "invalid_resource",
        permanent(
            &[],
            Unauthenticated,
            "The API is not available in this tenant.",
            "Add the API's application permissions and grant admin consent.",
        ),
    ),
    (
        "invalid_scope",
        permanent(
            &[],
            Internal,
            "The request for a token named a scope that Entra ID does not take.",
            "Check the configured cloud.",
        ),
    ),
    (
        "invalid_request",
        permanent(
            &[],
            InvalidConfig,
            "The request for a token was not understood.",
            "Check tenant, client ID and cloud.",
        ),
    ),
    (
        "access_denied",
        permanent(
            &[],
            Unauthenticated,
            "A policy of the tenant denies the application a token.",
            "Check Conditional Access for workload identities.",
        ),
    ),
];

const TRANSIENT: Meaning = Meaning {
    codes: &[],
    kind: Unavailable,
    sentence: "Entra ID is not available for now.",
    mend: "Nothing needs to be done; it is tried again.",
    again: Again::Soon,
};

const UNKNOWN: Meaning = permanent(
    &[],
    Unauthenticated,
    "Entra ID refused to issue a token.",
    "Look the code up at https://login.microsoftonline.com/error, and check the app registration.",
);

/// The JSON of a refusal. Everything is optional: proxies answer too.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    error: Option<String>,
    error_codes: Vec<u32>,
    error_description: Option<String>,
    trace_id: Option<String>,
    correlation_id: Option<String>,
}

/// Who asked for what, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// What did not come about, such as `No token for microsoft-graph (tenant …)`.
    pub failure: String,
    /// The API that a token was asked for, if it was one: its address, and the configured cloud.
    pub api: Option<(String, Cloud)>,
}

/// The codes by which Entra ID says that the tenant doesn't know the API.
const UNKNOWN_API: &[u32] = &[500011, 50001, 650057, 650052];

/// The error that an answer other than success means, and whether asking again can help.
pub(super) fn explain(status: u16, body: &[u8], retry_after: Option<Duration>, subject: &Subject) -> (Error, Again) {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let code = refusal.code();
    let word = refusal.error.as_deref().unwrap_or_default();
    let oauth = OAUTH.iter().find(|(known, _)| *known == word).map(|(_, meaning)| meaning);
    let meaning = match code.and_then(meaning) {
        _ if word == "temporarily_unavailable" => &TRANSIENT,
        Some(meaning) => meaning,
        None if status == 429 => &Meaning {
            codes: &[],
            kind: RateLimited,
            sentence: "Entra ID throttles the requests for tokens.",
            mend: "Nothing needs to be done; it is tried again later.",
            again: Again::Throttled,
        },
        None if status >= 500 || status == 408 => &TRANSIENT,
        None if body.trim_ascii_start().starts_with(b"<") => &Meaning {
            codes: &[],
            kind: Unavailable,
            sentence: "Something between this machine and Entra ID answered in its place, with an HTML page.",
            mend: "It is tried again; if it stays, look at the proxy, the gateway or the firewall.",
            again: Again::Soon,
        },
        None => oauth.unwrap_or(&UNKNOWN),
    };
    let name = match (code, oauth.is_some()) {
        (Some(code), _) => format!("AADSTS{code}"),
        (None, true) => word.to_owned(),
        (None, false) => format!("login-{status}"),
    };
    let ids: String = [("trace id", &refusal.trace_id), ("correlation id", &refusal.correlation_id)]
        .iter()
        .filter_map(|(label, id)| Some(format!(", {label} {}", id.as_deref().filter(|id| is_id(id))?)))
        .collect();
    // An API of another cloud is the likeliest one that a tenant doesn't know.
    let cloud = match &subject.api {
        Some((api, cloud)) if code.is_some_and(|code| UNKNOWN_API.contains(&code)) => format!(
            " The API is {api}, that of the configured cloud {cloud}: if the tenant is in another one ({}), configure that.",
            Cloud::ALL
                .iter()
                .filter(|other| *other != cloud)
                .map(|other| other.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        _ => String::new(),
    };
    let message =
        format!("{}: {}{cloud} {} ({name}, HTTP {status}{ids})", subject.failure, meaning.sentence, meaning.mend);
    let mut error = Error::new(meaning.kind, name, message);
    error.retry_after = match meaning.again {
        Again::AfterLoop => Some(LOOP_PAUSE),
        _ => retry_after,
    };
    (error, meaning.again)
}

impl Refusal {
    /// The number behind `AADSTS`: a known one first, from the list or from the beginning of the description.
    fn code(&self) -> Option<u32> {
        let described = self.error_description.as_deref().and_then(|text| {
            let digits = text.trim_start().strip_prefix("AADSTS")?;
            digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        let known = self.error_codes.iter().copied().find(|code| meaning(*code).is_some());
        known.or(described).or(self.error_codes.first().copied())
    }
}

/// Whether a text is an id and nothing else, so that it can stand in a message.
fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
