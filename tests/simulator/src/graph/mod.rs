//! Microsoft Graph: sign-ins, directory audits and alerts.
//!
//! Invariant: a page link works exactly as it was given, for the records that were visible when the first page was made.

mod filter;
mod query;

use crate::answer::Answer;
use crate::generate::{ALERT_CREATED_BEFORE, LEGACY_CREATED_BEFORE, LEGACY_EVENT_BEFORE};
use crate::manage::retry_seconds;
use crate::misbehaviour::{Astray, Paged as _, led};
use crate::options::LegacyAlerts;
use crate::request::Request;
use crate::server::Tenant;
use crate::streams::{Api, STREAMS};
use crate::token::{Audience, Refusal};
use query::Query;

/// One of the four collections.
pub(crate) struct Collection {
    /// Path below the API version, as the context URL names it.
    path: &'static str,
    /// The entity type, as error texts name it.
    entity: &'static str,
    /// Properties that can be compared with times, and how many seconds each lies before a record's own time.
    times: &'static [(&'static str, i64)],
    /// Any one of these roles is enough.
    roles: &'static [&'static str],
    /// Whether the quota of the reporting APIs holds; else that of security alerts.
    report: bool,
    /// Most that `$skip` may be, if it is known at all.
    skip: Option<u64>,
}

const SIGN_INS: Collection = Collection {
    path: "auditLogs/signIns",
    entity: "microsoft.graph.signIn",
    times: &[("createdDateTime", 0)],
    roles: &["AuditLog.Read.All"],
    report: true,
    skip: None,
};
const DIRECTORY_AUDITS: Collection = Collection {
    path: "auditLogs/directoryAudits",
    entity: "microsoft.graph.directoryAudit",
    times: &[("activityDateTime", 0)],
    roles: &["AuditLog.Read.All"],
    report: true,
    skip: None,
};
const ALERTS: Collection = Collection {
    path: "security/alerts_v2",
    entity: "microsoft.graph.security.alert",
    times: &[("lastUpdateDateTime", 0), ("createdDateTime", ALERT_CREATED_BEFORE)],
    roles: &["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"],
    report: false,
    skip: Some(6_000),
};
const LEGACY: Collection = Collection {
    path: "security/alerts",
    entity: "microsoft.graph.alert",
    times: &[
        ("lastModifiedDateTime", 0),
        ("createdDateTime", LEGACY_CREATED_BEFORE),
        ("eventDateTime", LEGACY_EVENT_BEFORE),
    ],
    roles: &["SecurityEvents.Read.All", "SecurityEvents.ReadWrite.All"],
    report: false,
    skip: Some(500),
};

fn bad_request(message: &str) -> Answer {
    Answer::graph(400, "BadRequest", message)
}

/// The stream that a request for a collection is about, by its sign-in family.
fn stream_of(collection: &Collection, family: &str) -> Option<usize> {
    let wanted = |api: &Api| match (collection.path, api) {
        ("auditLogs/signIns", Api::SignIns(name)) => *name == family,
        ("auditLogs/directoryAudits", Api::DirectoryAudits)
        | ("security/alerts_v2", Api::Alerts)
        | ("security/alerts", Api::LegacyAlerts) => true,
        _ => false,
    };
    STREAMS.iter().position(|stream| wanted(&stream.api))
}

/// Answers a request below `/graph`; `rest` is the path after it.
pub(crate) fn answer(tenant: &Tenant, rest: &str, request: &Request) -> Answer {
    let roles = match tenant.authorise(request, Audience::Graph) {
        Ok(roles) => roles,
        Err(Refusal::Fresh(number)) if number.is_multiple_of(2) => return Answer { status: 401, ..Answer::empty() },
        Err(refusal) => {
            let message = match refusal {
                Refusal::Fresh(_) => "Access token validation failure.",
                Refusal::Missing => "Access token is empty.",
                Refusal::Malformed => "CompactToken parsing failed with error code: 80049217",
                Refusal::WrongAudience => "Access token validation failure. Invalid audience.",
                Refusal::Expired => "Lifetime validation failed, the token is expired.",
            };
            return Answer::graph(401, "InvalidAuthenticationToken", message);
        }
    };
    let (version, path) = rest.trim_matches('/').split_once('/').unwrap_or((rest, ""));
    let collection = match (version, path) {
        ("v1.0" | "beta", "auditLogs/signIns") => SIGN_INS,
        ("v1.0" | "beta", "auditLogs/directoryAudits") => DIRECTORY_AUDITS,
        ("v1.0" | "beta", "security/alerts_v2") => ALERTS,
        ("v1.0" | "beta", "security/alerts") => LEGACY,
        ("v1.0" | "beta", _) => {
            return bad_request(&format!(
                "Resource not found for the segment '{}'.",
                path.rsplit('/').next().unwrap_or("")
            ));
        }
        _ => return bad_request(&format!("Invalid version: {version}")),
    };
    if request.method != "GET" {
        return Answer::graph(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        );
    }
    let query = query::read(&collection, version == "beta", request);
    // A request that cannot be read is still a request for the collection, for the quota as for the tally.
    let family = query.as_ref().map_or("interactiveUser", |query| query.family.as_str());
    let stream = stream_of(&collection, family);
    granted(tenant, &collection, request, &roles)
        .and(query)
        .and_then(|query| served(tenant, &collection, version, &query, stream, request))
        .unwrap_or_else(|error| error)
        .concerning(stream)
}

/// Quota, retirement, role and licence, in this order.
fn granted(tenant: &Tenant, collection: &Collection, request: &Request, roles: &[String]) -> Result<(), Answer> {
    let faults = &tenant.options.faults;
    let window = if collection.report { &tenant.windows.reports } else { &tenant.windows.alerts };
    if let Err(wait) = window.take(tenant.clock.now()) {
        tenant.violation(request, "more requests than Graph's quota for this API allows");
        let throttled = Answer::graph(429, "TooManyRequests", "Too many requests. Please wait and try again.");
        return Err(if faults.retry_after { throttled.header("retry-after", retry_seconds(wait)) } else { throttled });
    }
    let legacy = collection.path == LEGACY.path;
    if legacy && faults.legacy_alerts == LegacyAlerts::Gone {
        return Err(Answer::graph(410, "Gone", "The legacy alerts API has been retired. Use /security/alerts_v2."));
    }
    if !collection.roles.iter().any(|needed| roles.iter().any(|role| role == needed)) {
        return Err(if collection.report {
            Answer::graph(
                403,
                "Authentication_MSGraphPermissionMissing",
                &format!("Calling principal does not have required MSGraph permissions {}", collection.roles[0]),
            )
        } else {
            let text = format!(
                "Missing application roles. API required roles: {}, application roles: {}.",
                collection.roles.join(","),
                roles.join(",")
            );
            Answer::graph(403, "Forbidden", &text)
        });
    }
    if collection.path == SIGN_INS.path && faults.no_premium_licence {
        return Err(Answer::graph(
            403,
            "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
            "Neither tenant is B2C or tenant doesn't have premium license",
        ));
    }
    Ok(())
}

fn served(
    tenant: &Tenant,
    collection: &Collection,
    version: &str,
    query: &Query,
    stream: Option<usize>,
    request: &Request,
) -> Result<Answer, Answer> {
    let faults = &tenant.options.faults;
    if let Some(cap) = faults.top_cap.filter(|cap| query.top.is_some_and(|top| top > u64::from(*cap))) {
        return Err(bad_request(&format!(
            "Invalid page size specified: '{}'. Must be between 1 and {cap} inclusive.",
            query.top.unwrap_or(0)
        )));
    }
    if faults.no_alert_order && !collection.report && query.ordered {
        return Err(bad_request("The query option $orderby is not supported on this resource."));
    }
    if collection.path == SIGN_INS.path && !query.has_range {
        tenant.violation(request, "sign-ins were asked for without a time range");
    }
    if collection.report && query.exclusive {
        tenant.violation(request, "gt and lt are not documented for this property: use ge and le");
    }
    let Some(stream) = stream else { return Ok(Answer::json(&serde_json::json!({ "value": [] }))) };
    let shelf = &tenant.shelves[stream];
    let empty = collection.path == LEGACY.path && faults.legacy_alerts == LegacyAlerts::Empty;
    let now = tenant.clock.now();
    let mut page = match &query.skip_token {
        Some(token) => query::resume(&tenant.mint, token, &request.path, &query.rest)
            .ok_or_else(|| bad_request("Skip token is not valid."))?,
        None => {
            let (low, high) = query.bounds();
            query::Page {
                low: shelf.first_from(low),
                high: shelf.first_from(high),
                passed: 0,
                snapshot: now,
                skip: query.skip,
                number: tenant.next_number(),
                round: 0,
            }
        }
    };
    let pages = &tenant.options.misbehaviour.pages;
    if collection.path == LEGACY.path && pages.legacy_filter_ignored {
        (page.low, page.high) = (0, shelf.len);
        tenant.rules.unfiltered(tenant, request);
    }
    let astray = tenant.astray(request, page.number);
    let here = page;
    if here.round > 0 {
        // A page beside the listing holds what the first one does, or nothing.
        page = here.first();
        page.high = if astray.is_some_and(Astray::shows) { page.high } else { page.low };
    }
    page.high = page.high.min(shelf.len);
    page.low = page.low.min(page.high);
    let wanted = |index: usize| {
        !empty
            && shelf.visible_from(index) <= page.snapshot
            && query.provider.as_deref().is_none_or(|provider| shelf.tag(index) == provider)
            && faults
                .failing_provider
                .as_deref()
                .is_none_or(|failing| collection.path != LEGACY.path || shelf.tag(index) != failing)
    };
    let size = query.top.unwrap_or(1_000).min(tenant.options.graph_page.max(1) as u64) as usize;
    let span = page.high - page.low;
    let at = |passed: usize| if query.descending { page.high - 1 - passed } else { page.low + passed };
    let count = query.count.then(|| (page.low..page.high).filter(|index| wanted(*index)).count());
    let (mut entries, mut passed, mut skip) = (Vec::new(), page.passed, page.skip);
    let mut more = false;
    while passed < span {
        let index = at(passed);
        if wanted(index) {
            if skip > 0 {
                skip -= 1;
            } else if entries.len() == size {
                more = true;
                break;
            } else {
                entries.push(index);
            }
        }
        passed += 1;
    }
    let honest = more.then(|| {
        // Entries that come again, as if others had been put in front.
        let again = pages.shifting.min(size.saturating_sub(1));
        query::Page { passed: passed.saturating_sub(again).max(page.passed + 1), skip: 0, ..here }
    });
    let next = led(astray, here, honest).map(|next| {
        let separator = if query.rest.is_empty() { "" } else { "&" };
        let root = if tenant.rolls(pages.foreign_next_every) { &tenant.decoy } else { &tenant.url };
        format!(
            "{root}{}?{}{separator}$skiptoken={}",
            request.path,
            query.rest,
            query::token(&tenant.mint, &next, &request.path, &query.rest)
        )
    });
    if let Some(at) = entries.iter().position(|entry| shelf.cannot_be_written(*entry)) {
        entries.truncate(at);
        let mut body = body(collection, version, shelf, &entries, None, count, End::Open);
        if !entries.is_empty() {
            body.push(b',');
        }
        shelf.render_broken(&mut body);
        return Ok(Answer { code: "broken".to_owned(), ..Answer::entries(stream, body, entries) });
    }
    if !entries.is_empty() && tenant.rolls(tenant.options.misbehaviour.bodies.error_member_every) {
        entries.truncate(entries.len() / 2);
        let body = body(collection, version, shelf, &entries, None, count, End::Error);
        return Ok(Answer { code: "error-member".to_owned(), ..Answer::entries(stream, body, entries) });
    }
    let body = body(collection, version, shelf, &entries, next.as_deref(), count, End::Whole);
    let answer = Answer::entries(stream, body, entries);
    Ok(match &faults.failing_provider {
        Some(provider) if collection.path == LEGACY.path && !empty => {
            Answer { status: 206, ..answer }.header("warning", format!("199 - \"Microsoft/{provider}/504/10001\""))
        }
        _ => answer,
    })
}

/// How a page ends.
#[derive(Clone, Copy)]
enum End {
    /// As it should.
    Whole,
    /// The service failed while it wrote it, and says so in a member of its own.
    Error,
    /// Behind the last record, for something else to follow.
    Open,
}

fn body(
    collection: &Collection,
    version: &str,
    shelf: &crate::catalogue::Shelf,
    entries: &[usize],
    next: Option<&str>,
    count: Option<usize>,
    end: End,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.len() * 1_800 + 500);
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let context = format!("https://graph.microsoft.com/{version}/$metadata#{}", collection.path);
    body.extend_from_slice(format!(r#"{{"@odata.context":{}"#, text(&context)).as_bytes());
    if let Some(count) = count {
        body.extend_from_slice(format!(r#","@odata.count":{count}"#).as_bytes());
    }
    // The reports name the next page before the records, alerts after them: members of an object have no order.
    let link = next.map(|next| format!(r#","@odata.nextLink":{}"#, text(next))).unwrap_or_default();
    if collection.report {
        body.extend_from_slice(link.as_bytes());
    }
    if collection.path == DIRECTORY_AUDITS.path {
        body.extend_from_slice(
            br#","@microsoft.graph.tips":"Use $select to choose only the properties your app needs.""#,
        );
    }
    body.extend_from_slice(br#","value":["#);
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        shelf.render(*entry, &mut body);
    }
    match end {
        End::Open => return body,
        End::Error => {
            body.extend_from_slice(br#"],"error":{"code":"InternalServerError","message":"An exception occurred while the response was written."}"#);
        }
        End::Whole => {
            body.push(b']');
            if !collection.report {
                body.extend_from_slice(link.as_bytes());
            }
        }
    }
    body.push(b'}');
    body
}
