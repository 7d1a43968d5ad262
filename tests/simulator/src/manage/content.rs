//! Content: listed by availability, fetched blob by blob.
//!
//! Invariant: a listing is exactly the blobs with `start <= contentCreated < end` that are available now, in order of availability.

use serde_json::{Value, json};

use super::listing::{Listing, Place};
use super::subscriptions::{self, Unlisted};
use super::{content_type, missing, needs, parameter, stream_of};
use crate::answer::Answer;
use crate::clock::{TICKS_PER_SECOND, Ticks, millis_text, parse, ticks};
use crate::misbehaviour::{Paged as _, led};
use crate::request::Request;
use crate::server::Tenant;
use crate::streams::{Api, STREAMS};
use crate::tenant::TENANT_ID;

const HOUR: Ticks = 3_600 * TICKS_PER_SECOND;
const DAY: Ticks = 24 * HOUR;

/// The listing's window from `startTime` and `endTime`.
fn window(parameters: &[(String, String)], now: Ticks) -> Result<(Ticks, Ticks), Answer> {
    let bound = |name: &str| match parameter(parameters, name) {
        None => Ok(None),
        Some(text) => parse(text).map(Some).ok_or_else(|| {
            Answer::management(
                400,
                "AF20002",
                &format!("The parameter {name} is not a UTC time such as 2026-01-15T09:30:00: {text}."),
            )
        }),
    };
    let (start, end) = match (bound("startTime")?, bound("endTime")?) {
        (None, None) => return Ok((now - DAY, now)),
        (Some(start), Some(end)) => (start, end),
        _ => {
            return Err(Answer::management(
                400,
                "AF20030",
                "Start time and end time must both be specified (or both omitted) and must be less than or equal to 24 hours apart, with the start time no more than 7 days in the past.",
            ));
        }
    };
    // Live servers were seen to reject what is older than 7 days and one hour, and to accept an end in the future.
    if start >= end || end - start > DAY || start < now - 7 * DAY - HOUR {
        return Err(Answer::management(
            400,
            "AF20055",
            "Start time and end time must both be specified (or both omitted) and must be less than or equal to 24 hours apart, with the start time prior to end time and start time no more than 7 days in the past.",
        ));
    }
    Ok((start, end))
}

/// `GET subscriptions/content`
pub(super) fn list(tenant: &Tenant, parameters: &[(String, String)], request: &Request, roles: &[String]) -> Answer {
    match content_type(parameters) {
        Ok(stream) => {
            listed(tenant, stream, parameters, request, roles).unwrap_or_else(|error| error).concerning(Some(stream))
        }
        Err(error) => error,
    }
}

fn listed(
    tenant: &Tenant,
    stream: usize,
    parameters: &[(String, String)],
    request: &Request,
    roles: &[String],
) -> Result<Answer, Answer> {
    needs(stream, roles)?;
    let Api::Management(content_type) = STREAMS[stream].api else { return Ok(Answer::json(&json!([]))) };
    if tenant.options.faults.disabled_content_types.contains(content_type) {
        return Err(subscriptions::disabled());
    }
    let gaps = tenant.subscriptions.gaps(stream).map_err(|why| match why {
        Unlisted::NeverStarted => Answer::management(
            400,
            "AF20022",
            &format!("No subscription found for the specified content type: {content_type}."),
        ),
        Unlisted::Stopped => subscriptions::disabled(),
    })?;
    let now = tenant.clock.now();
    let (start, end) = window(parameters, now)?;
    let shelf = &tenant.shelves[stream];
    let pages = &tenant.options.misbehaviour.pages;
    let lifetime = ticks(tenant.options.content_lifetime);
    let listing = Listing {
        shelf,
        pages,
        window: (start, end),
        size: tenant.options.content_page.max(1),
        listable: |blob, at| {
            let created = shelf.created(blob);
            let lost = gaps.iter().any(|(from, to)| (*from..*to).contains(&created));
            !lost && shelf.listed_from(blob) <= at && created.saturating_add(lifetime) > at
        },
    };
    // A page link carries where to go on, sealed together with what it is a page of.
    let spelled = |name: &str| parameter(parameters, name).unwrap_or("");
    let seal = |place: &Place| {
        let window = format!("{} {}", spelled("startTime"), spelled("endTime"));
        tenant.mint.seal(&format!("page {stream} {window} {}", place.write()))
    };
    let place = match parameter(parameters, "nextPage") {
        None => listing.start(now, tenant.next_number()),
        Some(page) => page
            .split_once('-')
            .and_then(|(place, sealed)| Place::read(place).filter(|place| seal(place) == sealed))
            .ok_or_else(|| Answer::management(400, "AF20031", "Invalid nextPage Input."))?,
    };
    let astray = tenant.astray(request, place.number);
    let (blobs, next) = match astray {
        Some(astray) if place.round() > 0 && astray.shows() => listing.page(place.first(), now),
        Some(_) if place.round() > 0 => (Vec::new(), None),
        _ => listing.page(place, now),
    };
    let next = led(astray, place, next);
    if tenant.options.misbehaviour.arrival.missing_blobs.is_some() {
        tenant.missing.shown(stream, &blobs, now);
    }
    let items: Vec<Value> = blobs
        .into_iter()
        .map(|blob| {
            let (id, created) = (shelf.content_id(blob), shelf.created(blob));
            let root = if tenant.rolls(pages.foreign_content_every) { &tenant.decoy } else { &tenant.url };
            json!({
                "contentUri": format!("{root}/manage/api/v1.0/{TENANT_ID}/activity/feed/audit/{id}"),
                "contentId": id,
                "contentType": content_type,
                "contentCreated": millis_text(created),
                "contentExpiration": millis_text(created.saturating_add(lifetime)),
            })
        })
        .collect();
    let answer = Answer::json(&Value::Array(items));
    let Some(next) = next else { return Ok(answer) };
    let page = format!("{}-{}", next.write(), seal(&next));
    let spell = |name: &str| if pages.lower_case { name.to_lowercase() } else { name.to_owned() };
    // Without given times the pages go on under the same, absent ones.
    let times = match (parameter(parameters, "startTime"), parameter(parameters, "endTime")) {
        (Some(start), Some(end)) => format!("&{}={start}&{}={end}", spell("startTime"), spell("endTime")),
        _ => String::new(),
    };
    let root = if tenant.rolls(pages.foreign_next_every) { &tenant.decoy } else { &tenant.url };
    Ok(answer.header(
        "nextpageuri",
        format!("{root}{}?{}={content_type}{times}&{}={page}", request.path, spell("contentType"), spell("nextPage")),
    ))
}

/// `GET audit/{contentId}`
pub(super) fn blob(tenant: &Tenant, content_id: &str, roles: &[String]) -> Answer {
    // The content type is the last part but one of the id, with underscores for dots.
    let parts: Vec<&str> = content_id.split('$').collect();
    let [_, _, _, name, _] = parts.as_slice() else {
        return Answer::management(400, "AF20052", &format!("Content ID {content_id} in the URL is invalid."));
    };
    let Some(stream) = stream_of(&name.replace('_', ".")) else {
        return Answer::management(400, "AF20052", &format!("Content ID {content_id} in the URL is invalid."));
    };
    fetched(tenant, stream, content_id, roles).unwrap_or_else(|error| error).concerning(Some(stream))
}

fn fetched(tenant: &Tenant, stream: usize, content_id: &str, roles: &[String]) -> Result<Answer, Answer> {
    needs(stream, roles)?;
    let shelf = &tenant.shelves[stream];
    let now = tenant.clock.now();
    let blob = shelf.blob_of(content_id).filter(|blob| shelf.listed_from(*blob) <= now).ok_or_else(|| {
        Answer::management(404, "AF20050", &format!("The specified content ({content_id}) does not exist."))
    })?;
    if shelf.created(blob).saturating_add(ticks(tenant.options.content_lifetime)) <= now {
        return Err(Answer::management(
            400,
            "AF20051",
            &format!(
                "Content requested with the key {content_id} has already expired. Content older than 7 days cannot be retrieved."
            ),
        ));
    }
    if tenant.missing.until(stream, shelf, blob).is_some_and(|until| now < until) {
        return Err(missing::answer(shelf, blob, content_id));
    }
    let mut entries = shelf.blob_entries(blob);
    let breaks = entries.iter().position(|entry| shelf.cannot_be_written(*entry));
    let whole = entries.len();
    entries.truncate(breaks.unwrap_or(whole));
    let mut body = Vec::with_capacity(entries.len() * 1_600);
    body.push(b'[');
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        shelf.render(*entry, &mut body);
    }
    if breaks.is_none() {
        body.push(b']');
        return Ok(Answer::entries(stream, body, entries));
    }
    if !entries.is_empty() {
        body.push(b',');
    }
    shelf.render_broken(&mut body);
    Ok(Answer { code: "broken".to_owned(), ..Answer::entries(stream, body, entries) })
}

/// `GET resources/dlpSensitiveTypes`
pub(super) fn sensitive_types(request: &Request) -> Answer {
    let language = request.header("accept-language").unwrap_or("en-US");
    if language.contains(',') {
        return Answer::management(400, "AF20053", "Only one language may be specified in the Accept-Language header.");
    }
    let tag = language.split(';').next().unwrap_or("").trim();
    if tag.is_empty() || !tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '*')) {
        return Answer::management(400, "AF20054", "Invalid syntax in the Accept-Language header.");
    }
    Answer::json(&json!([
        { "id": "50842eb7-edc8-4019-85dd-5a5c1f2bb085", "name": "Credit Card Number" },
        { "id": "cb353f78-2b72-4c3c-8827-92ebe4f69fdf", "name": "ABA Routing Number" },
        { "id": "e7dc4711-11b7-4cb0-b88b-2c394a771f0e", "name": "International Banking Account Number (IBAN)" },
    ]))
}
