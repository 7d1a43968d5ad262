//! The Office 365 Management Activity API: who may call it, and which operation a path names.
//!
//! Invariant: checks come in one order (token, path tenant, quota, role, parameters), so that a request with several mistakes has one answer.
//! Codes and their HTTP statuses follow Microsoft's Management Activity API reference; where it gives no status, what clients have seen.

mod content;
mod listing;
mod missing;
mod subscriptions;

use std::time::Duration;

pub(crate) use missing::Missing;
pub(crate) use subscriptions::Subscriptions;

use crate::answer::Answer;
use crate::request::Request;
use crate::server::Tenant;
use crate::streams::{Api, STREAMS};
use crate::tenant::TENANT_ID;
use crate::token::{Audience, Refusal};

/// Reads a query parameter; names are matched in any case, as `NextPageUri` is known to spell some in lower case.
fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The stream of a content type.
fn stream_of(content_type: &str) -> Option<usize> {
    STREAMS.iter().position(|stream| stream.api == Api::Management(content_type_name(content_type)))
}

/// The static spelling of a content type, or the empty text.
fn content_type_name(content_type: &str) -> &'static str {
    STREAMS
        .iter()
        .find_map(|stream| match stream.api {
            Api::Management(name) if name == content_type => Some(name),
            _ => None,
        })
        .unwrap_or("")
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// The stream's position from the `contentType` parameter, or the error that tells what is wrong with it.
fn content_type(parameters: &[(String, String)]) -> Result<usize, Answer> {
    match parameter(parameters, "contentType") {
        None => Err(Answer::management(400, "AF20001", "Missing parameter: contentType.")),
        Some(name) => stream_of(name).ok_or_else(|| {
            Answer::management(400, "AF20020", &format!("The specified content type is not valid: {name}."))
        }),
    }
}

/// The role that reading a stream needs.
fn needs(stream: usize, roles: &[String]) -> Result<(), Answer> {
    let dlp = STREAMS[stream].name == "office365.dlp";
    if !dlp || roles.iter().any(|role| role == "ActivityFeed.ReadDlp") {
        return Ok(());
    }
    Err(lacks_permission(roles))
}

fn lacks_permission(roles: &[String]) -> Answer {
    let message = format!(
        "The permission set ({}) sent in the request does not include the expected permission.",
        roles.join(",")
    );
    Answer::management(401, "AF10001", &message)
}

fn throttled(tenant: &Tenant, request: &Request, publisher: &str, wait: Duration) -> Answer {
    tenant.violation(request, "more requests in a minute than the Management Activity API's quota allows");
    let status = if tenant.options.faults.management_429 { 429 } else { 403 };
    let message =
        format!("Too many requests. Method={}, PublisherId={publisher}", request.path.rsplit('/').next().unwrap_or(""));
    let answer = Answer::management(status, "AF429", &message);
    if tenant.options.faults.retry_after { answer.header("retry-after", retry_seconds(wait)) } else { answer }
}

/// The value of `Retry-After`: whole seconds, at least one.
pub(crate) fn retry_seconds(wait: Duration) -> String {
    (wait.as_secs() + 1).to_string()
}

/// Answers a request below `/manage`; `rest` is the path after it.
pub(crate) fn answer(tenant: &Tenant, rest: &str, request: &Request) -> Answer {
    let roles = match tenant.authorise(request, Audience::Management) {
        Ok(roles) => roles,
        Err(Refusal::Fresh(number)) if number % 3 == 0 => return lacks_permission(&[]),
        Err(Refusal::Fresh(number)) if number % 3 == 1 => return Answer { status: 401, ..Answer::empty() },
        Err(_) => {
            let body = serde_json::json!({ "Message": "Authorization has been denied for this request." });
            return Answer { status: 401, ..Answer::json(&body) };
        }
    };
    let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    let ["api", "v1.0" | "v1", path_tenant, "activity", "feed", operation @ ..] = segments.as_slice() else {
        return Answer::management(404, "NotFound", "No such resource.");
    };
    if !is_guid(path_tenant) {
        return Answer::management(
            400,
            "AF20013",
            &format!("The tenant ID passed in the URL ({path_tenant}) is not a valid GUID."),
        );
    }
    if !path_tenant.eq_ignore_ascii_case(TENANT_ID) {
        return Answer::management(
            400,
            "AF20010",
            &format!(
                "The tenant ID passed in the URL ({path_tenant}) does not match the tenant ID passed in the access token ({TENANT_ID})."
            ),
        );
    }
    let parameters = request.parameters();
    let publisher = parameter(&parameters, "PublisherIdentifier").filter(|publisher| is_guid(publisher));
    let window = if publisher.is_some() { &tenant.windows.management } else { &tenant.windows.shared };
    if publisher.is_none() {
        tenant.violation(
            request,
            "no PublisherIdentifier, or none that is a GUID: the request came out of the shared pool",
        );
    }
    let publisher = publisher.unwrap_or("00000000-0000-0000-0000-000000000000");
    if let Err(wait) = window.take(tenant.clock.now()) {
        return throttled(tenant, request, publisher, wait);
    }
    if !roles.iter().any(|role| role == "ActivityFeed.Read") {
        return lacks_permission(&roles);
    }
    let expected = if matches!(operation, ["subscriptions", "start" | "stop"]) { "POST" } else { "GET" };
    if request.method != expected {
        return Answer::management(405, "MethodNotAllowed", &format!("Use {expected}."));
    }
    match operation {
        ["subscriptions", "start"] => subscriptions::start(tenant, &parameters, request, &roles),
        ["subscriptions", "stop"] => subscriptions::stop(tenant, &parameters),
        ["subscriptions", "list"] => subscriptions::list(tenant),
        ["subscriptions", "content"] => content::list(tenant, &parameters, request, &roles),
        // Nobody has set up a webhook, so no notification was ever attempted.
        ["subscriptions", "notifications"] => {
            content_type(&parameters).map_or_else(|error| error, |_| Answer::json(&serde_json::json!([])))
        }
        ["audit", content_id] => content::blob(tenant, content_id, &roles),
        ["resources", "dlpSensitiveTypes"] => content::sensitive_types(request),
        _ => Answer::management(404, "NotFound", "No such resource."),
    }
}
