//! Alerts inside the Management Activity API: alert policies (record type 40), automated investigations (64, 86, 89), Entra risk
//! (294), and the submissions and detections that have no schema of their own. OCSF Detection Finding.
//!
//! Invariant: a finding has the id that the source gives the *alert*, not that of the record, wherever the record has one; JSON that comes
//! as text is read, and kept whole as evidence.

use std::borrow::Cow;

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event, Present},
    findings, generic, outcome,
    record::{self, Node, Object},
    times, users,
};

/// An alert of an alert policy (Microsoft: Management Activity API, Security and Compliance Alerts schema).
pub fn map_policy_alert(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let Some(uid) = record.take_str("AlertId") else { return map_other(context, record) };
    let status = record.take_str("Status");
    let mut event = event_with_status(context, context.activity(), status);
    let entity_id = record.peek_str("AlertEntityId");
    record.take_if("ObjectId", |n| n.as_str().filter(|id| *id == uid || entity_id == Some(*id)));
    let text = record.peek_str("Data");
    let parsed = text.and_then(|t| record::parse(t.as_bytes()).ok());
    let data = parsed.as_ref().and_then(Node::as_object);
    let (start, end) = (data.and_then(|d| time_of(d, "ts")), data.and_then(|d| time_of(d, "te")));

    let mut finding = Attributes::of("finding_info");
    finding.set("uid", uid);
    let title = record.take_str("Name").or_else(|| data?.peek_str("an"));
    finding.set("title", title);
    finding.set("desc", data.and_then(|d| d.peek_str("ad")));
    finding.set(
        "types",
        [record.take_str("Category"), record.take_str("AlertType")].into_iter().flatten().collect::<Vec<_>>(),
    );
    finding.set("analytic", findings::analytic(1, record.take_str("PolicyId"), title));
    finding.set("created_time", start);
    finding.set("last_seen_time", end);
    let link = record.items("AlertLinks").iter().filter_map(Node::as_object).find_map(|l| l.take_str("AlertLinkHref"));
    finding.set("src_url", link.or_else(|| data?.peek_str("alk")));
    let mut product = Attributes::of("product");
    product.set("name", record.take_str("Source"));
    if !product.is_empty() {
        product.set("vendor_name", "Microsoft");
    }
    finding.set("product", product);
    event.set("finding_info", finding);
    event.set("start_time", start);
    event.set("end_time", end);
    findings::write_severity(&mut event, record.take_str("Severity"));
    event.set("comment", record.take_str("Comments"));

    let mut evidences = vec![entity(record.take_str("EntityType"), record.take_str("AlertEntityId"))];
    if let Some(data) = data {
        let mut evidence = Attributes::of("evidences");
        evidence.set("data", context.take_value(record, "Data"));
        evidence.set("user", findings::user(data.peek_str("f3u").filter(|who| users::is_email(who))));
        evidence.set("name", "Alert data");
        evidences.push(evidence);
    }
    event.set("evidences", evidences);
    write_service(context, &mut event, record);
    vec![event]
}

/// What an alert is about, by the kind that the source gives it.
fn entity(kind: Option<&str>, id: Option<&str>) -> Attributes {
    let mut evidence = Attributes::of("evidences");
    let Some(id) = id else {
        return evidence;
    };
    let kind = kind.unwrap_or("Entity");
    match kind {
        "User" | "Mailbox" | "Recipients" | "Recipient" => evidence.set("user", findings::user(Some(id))),
        "Sender" => {
            let mut email = Attributes::of("email");
            email.set("from", findings::mail_address(id));
            evidence.set("email", email);
        }
        "ClientIP" | "IP" | "ClientIPAddress" => {
            evidence.set("src_endpoint", Some(addresses::endpoint(id)).filter(|e| !e.is_empty()));
        }
        "Url" | "URL" | "MaliciousUrl" => evidence.set("url", findings::url(id)),
        "File" | "FileName" => evidence.set("file", findings::file_of_path(Some(id))),
        _ => {}
    }
    if evidence.is_empty() {
        evidence.set("data", serde_json::json!({ "EntityType": kind, "AlertEntityId": id }));
    }
    evidence.set("name", kind);
    evidence
}

/// An event whose status is the alert's, and whose activity is Close if the status says so.
fn event_with_status(context: &Context<'_>, activity: i64, status: Option<&str>) -> Event {
    let word = status.unwrap_or_default();
    let id = match word.to_ascii_lowercase().as_str() {
        "active" | "new" => 1,
        "investigating" | "inprogress" | "in progress" | "running" | "queued" | "pendingapproval"
        | "pending approval" | "pending action" | "waiting" => 2,
        "dismissed" => 3,
        "resolved" | "remediated" | "closed" | "no threats found" | "benign" | "fully remediated" => 4,
        "" | "unknown" => 0,
        _ => 99,
    };
    let activity = if matches!(id, 3 | 4) { 3 } else { activity };
    let mut event = Event::new(2004, activity, &context.operation);
    event.set_enum("status_id", id, Some(word));
    event.set("is_alert", true);
    event
}

/// The service that speaks, if the record names one, and what remains common to all records.
fn write_service(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    if record.peek_str("UserId").is_some_and(|id| !users::is_nobody(id)) {
        event.set("actor", users::actor(record));
    }
    let title = event.text_at(&["finding_info", "title"]).map(|title| format!("{}: {title}", context.operation));
    event.set("message", title);
}

fn time_of(object: &Object<'_>, name: &str) -> Option<i64> {
    let text = object.peek_str(name)?;
    times::parse(text)
}

fn take_time(object: &Object<'_>, name: &str) -> Option<i64> {
    object.take_if(name, |n| times::parse(n.as_str()?))
}

/// An automated investigation (Microsoft: Management Activity API, main investigation schema).
pub fn map_investigation(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let Some(uid) = record.take_str("InvestigationId") else { return map_other(context, record) };
    let status = record.take_str("Status");
    let mut event = event_with_status(context, context.activity(), status);
    let text = record.peek_str("Data");
    let parsed = text.and_then(|t| record::parse(t.as_bytes()).ok());
    let data = parsed.as_ref().and_then(Node::as_object);
    let mut finding = Attributes::of("finding_info");
    finding.set("uid", uid);
    finding.set("title", record.take_str("InvestigationName"));
    finding.set("types", record.take_str("InvestigationType").into_iter().collect::<Vec<_>>());
    let start = take_time(record, "StartTimeUtc");
    finding.set("created_time", start);
    finding.set("modified_time", take_time(record, "LastUpdateTimeUtc"));
    finding.set("desc", data.and_then(|d| d.peek_str("Description")));
    event.set("finding_info", finding);
    event.set("start_time", start);
    event.set("end_time", take_time(record, "EndTimeUtc"));
    event.set("src_url", record.take_str("DeepLinkUrl").or_else(|| record.take_str("DeeplinkURL")));
    event.set_severity(data.and_then(|d| d.peek_str("Severity")).map_or(0, outcome::severity));
    let mut evidences = Vec::new();
    let mut remediation = Vec::new();
    for action in record.items("Actions") {
        let text = action.as_str().map(str::trim).unwrap_or_default();
        let parsed = if text.starts_with('{') { record::parse(text.as_bytes()).ok() } else { None };
        if let Some(action) = parsed.as_ref().unwrap_or(action).as_object() {
            remediation.extend(described_action(action));
            evidences
                .extend(action.items("Entities").iter().filter_map(|entity| investigated(context, "Actions", entity)));
        }
    }
    if let Some(data) = data {
        evidences.extend(data.items("Entities").iter().filter_map(|entity| investigated(context, "Data", entity)));
    }
    evidences.truncate(MAX_EVIDENCES);
    let mut advice = Attributes::of("remediation");
    advice.set("desc", remediation.join("; "));
    event.set("remediation", advice);
    event.set("evidences", evidences);
    if record.peek_str("ObjectId") == context.id() {
        record.take("ObjectId");
    }
    write_service(context, &mut event, record);
    vec![event]
}

/// Most evidences of one event. What is over stays in `unmapped`, where all of it is anyway.
const MAX_EVIDENCES: usize = 100;

/// `ActionType: ActionStatus`.
fn described_action(action: &Object<'_>) -> Option<String> {
    let kind = action.peek_str("ActionType")?;
    Some(match action.peek_str("ActionStatus").or_else(|| action.peek_str("Status")) {
        Some(status) => format!("{kind}: {status}"),
        None => kind.to_owned(),
    })
}

/// An entity of an investigation; its text stays where it was, so nothing is taken here.
fn investigated(context: &Context<'_>, place: &str, node: &Node<'_>) -> Option<Attributes> {
    let entity = node.as_object()?;
    let kind = entity.peek_str("Type")?;
    let mut evidence = Attributes::of("evidences");
    match kind.to_ascii_lowercase().as_str() {
        "mailmessage" => {
            let mut email = Attributes::of("email");
            findings::write_from(&mut email, entity.peek_str("Sender").or_else(|| entity.peek_str("P2Sender")));
            let to = entity.peek_str("Recipient").and_then(findings::mail_address);
            email.set("to", to.into_iter().collect::<Vec<_>>());
            if email.has("from") || email.has("to") {
                email.set("subject", entity.peek_str("Subject"));
                email.set("message_uid", entity.peek_str("InternetMessageId"));
                email.set("uid", entity.peek_str("NetworkMessageId"));
                evidence.set("email", email);
            }
        }
        "ip" => {
            let address = entity.peek_str("Address").map(addresses::endpoint);
            evidence.set("src_endpoint", address.filter(|e| !e.is_empty()));
        }
        "url" => evidence.set("url", entity.peek_str("Url").map(findings::url)),
        "mailbox" | "account" => {
            let name = entity.peek_str("Upn").or_else(|| entity.peek_str("MailboxPrimaryAddress"));
            evidence.set("user", findings::user(name));
        }
        "file" => evidence.set("file", findings::file(entity.peek_str("Name"), None)),
        _ => {}
    }
    if evidence.is_empty() {
        evidence.set("data", context.value(place, node));
    }
    if !evidence.is_empty() {
        evidence.set("name", kind);
    }
    Some(evidence)
}

/// A detection of Entra ID Protection (Microsoft: Management Activity API, Microsoft Entra Risk Detection schema).
pub fn map_risk(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let Some(uid) = record.take_str("RiskId") else { return map_other(context, record) };
    let state = record.take_str("RiskState").unwrap_or_default();
    let (activity, status) = match state {
        "atRisk" => (1, 1),
        "dismissed" => (3, 3),
        "remediated" | "confirmedSafe" => (3, 4),
        "confirmedCompromised" => (2, 2),
        _ => (1, 0),
    };
    let mut event = Event::new(2004, activity, &context.operation);
    event.set_enum("status_id", status, None);
    event.set("status_detail", state);
    event.set("is_alert", true);
    match state {
        "confirmedSafe" => event.set_enum("verdict_id", 5, None),
        "confirmedCompromised" => event.set_enum("verdict_id", 2, None),
        _ => {}
    }
    let mut finding = Attributes::of("finding_info");
    finding.set("uid", uid);
    let kind = record.take_str("RiskEventType");
    finding.set("title", kind);
    finding.set("types", kind.into_iter().collect::<Vec<_>>());
    finding.set("analytic", findings::analytic(0, None::<&str>, record.take_str("Source")));
    finding.set("created_time", take_time(record, "DetectedDateTime"));
    finding.set("modified_time", take_time(record, "LastUpdatedDateTime"));
    let when = take_time(record, "ActivityDateTime");
    finding.set("first_seen_time", when);
    event.set("finding_info", finding);
    event.set("start_time", when);
    event.set("risk_details", record.take_str("RiskDetail").filter(|d| *d != "none"));
    if let Some(level) = record.take_str("RiskLevel") {
        let id = match level.to_ascii_lowercase().as_str() {
            "low" => 1,
            "medium" => 2,
            "high" => 3,
            "none" => 0,
            _ => 99,
        };
        event.set_enum("risk_level_id", id, Some(level));
        let severity = outcome::severity(level);
        event.set_severity(if state == "confirmedCompromised" { severity.max(4) } else { severity });
    } else {
        event.set_severity(if state == "confirmedCompromised" { 4 } else { 0 });
    }
    let mut evidence = Attributes::of("evidences");
    let mut person = users::person(record);
    person.full_name = record.take_str("UserDisplayName").map(str::to_owned).or(person.full_name);
    evidence.set("user", person.user());
    let mut source = addresses::source(record);
    if let (Some(place), false) = (record.object("Location"), source.is_empty()) {
        source.set("location", location(place));
    }
    evidence.set("src_endpoint", source);
    if !evidence.is_empty() {
        evidence.set("name", "User");
    }
    event.set("evidences", vec![evidence]);
    event.set("api", context.api(record.take_str("RequestId")));
    write_service(context, &mut event, record);
    vec![event]
}

/// `LocationType`, whose members begin with capitals.
fn location(place: &Object<'_>) -> Attributes {
    let mut location = Attributes::of("location");
    location.set("city", place.take_str("City"));
    location.set("region", place.take_str("State"));
    location.set("country", place.take_str("CountryOrRegion"));
    if let (Some(point), false) = (place.object("GeoCoordinates"), location.is_empty()) {
        location.set("lat", point.take_float("Latitude"));
        location.set("long", point.take_float("Longitude"));
    }
    location
}

/// Any other record that is a finding: a submission, a user's concern, a detection of another service.
pub fn map_other(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    const IDS: [&str; 4] = ["AlertId", "SubmissionId", "IncidentId", "CampaignId"];
    let id = IDS.iter().find_map(|name| record.take_if(name, Node::to_text));
    let Some(uid) = id.or_else(|| context.id().map(Cow::Borrowed)) else {
        return generic::map(context, record);
    };
    let mut event = event_with_status(context, context.activity(), record.take_str("Status"));
    if event.get("status_id").and_then(serde_json::Value::as_i64) == Some(0) {
        event.set_enum("status_id", 1, None);
    }
    let mut finding = Attributes::of("finding_info");
    finding.set("uid", uid);
    let title = ["AlertName", "Name", "Title", "Subject"].iter().find_map(|name| record.take_str(name));
    finding.set("title", title.unwrap_or(&context.operation));
    finding.set("desc", record.take_str("Description"));
    finding.set("types", record.take_str("Category").into_iter().collect::<Vec<_>>());
    finding.set("created_time", context.time());
    event.set("finding_info", finding);
    match record.take_str("Severity") {
        Some(word) => findings::write_severity(&mut event, Some(word)),
        None => event.set_severity(1),
    }
    let mut evidence = Attributes::of("evidences");
    evidence.set("email", submitted(record));
    evidence.set("url", record.take_str("Url").or_else(|| record.take_str("URL")).map(findings::url));
    let source = addresses::source(record);
    evidence.set("src_endpoint", source);
    if evidence.is_empty() {
        event.set("resources", vec![findings::resource("", record.take_str("ObjectId"), None::<&str>, 4)]);
    } else {
        evidence.set("name", context.operation.as_str());
        event.set("evidences", vec![evidence]);
    }
    write_service(context, &mut event, record);
    vec![event]
}

/// The message that a submission is about. Nothing without an address.
fn submitted(record: &Object<'_>) -> Option<serde_json::Value> {
    let from = record.peek_str("P2Sender").or_else(|| record.peek_str("P1Sender"))?;
    let address = findings::mail_address(from)?;
    let mut email = Attributes::of("email");
    email.set("from", address);
    record.take_if("P2Sender", |n| (n.as_str()?.trim() == address).then_some(()));
    let own = |n: &Node<'_>| n.as_str().map(str::trim).filter(|t| users::is_email(t)).map(str::to_owned);
    email.set("return_path", record.take_if("P1Sender", own));
    let to: Vec<String> = record.items("Recipients").iter().filter_map(own).collect();
    if to.len() == record.items("Recipients").len() {
        record.take("Recipients");
    }
    email.set("to", to);
    email.set("subject", record.take_str("Subject"));
    email.set("message_uid", record.take_str("InternetMessageId"));
    email.set("uid", record.take_str("NetworkMessageId"));
    email.present()
}
