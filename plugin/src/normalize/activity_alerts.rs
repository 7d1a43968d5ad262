//! Alerts inside the Management Activity API: alert policies (record type 40), automated investigations (64, 86, 89), Entra risk
//! (294), and the submissions and detections that have no schema of their own. OCSF Detection Finding.
//!
//! Invariant: a finding has the id that the source gives the *alert*, not that of the record, wherever the record has one; JSON that comes
//! as text is read, and kept whole as evidence.

use std::borrow::Cow;

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event, Members, Present, Value, attr, object},
    findings, generic, outcome,
    record::{Node, Object},
    times, users,
};

/// An alert of an alert policy (Microsoft: Management Activity API, Security and Compliance Alerts schema).
pub fn map_policy_alert<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let Some(uid) = record.take_str("AlertId") else { return map_other(context, record) };
    let mut event = event_with_status(context, record);
    let entity_id = record.peek_str("AlertEntityId");
    record.take_same("ObjectId", &[Some(uid), entity_id]);
    let text = record.peek_str("Data");
    let data = text.and_then(|text| context.untangle(text)).and_then(Node::as_object);
    let (start, end) = (data.and_then(|d| time_of(d, "ts")), data.and_then(|d| time_of(d, "te")));

    let mut finding = Attributes::of(&object::FINDING_INFO);
    finding.set(attr::UID, uid);
    let title = record.take_str("Name").or_else(|| data?.peek_str("an"));
    finding.set(attr::TITLE, title);
    finding.set(attr::DESC, data.and_then(|d| d.peek_str("ad")));
    finding.set(
        attr::TYPES,
        [record.take_str("Category"), record.take_str("AlertType")].into_iter().flatten().collect::<Vec<_>>(),
    );
    finding.set(attr::ANALYTIC, findings::analytic(1, record.take_str("PolicyId"), title));
    finding.set(attr::CREATED_TIME, start);
    finding.set(attr::LAST_SEEN_TIME, end);
    let link = record.items("AlertLinks").iter().filter_map(Node::as_object).find_map(|l| l.take_str("AlertLinkHref"));
    finding.set(attr::SRC_URL, link.or_else(|| data?.peek_str("alk")));
    let mut product = Attributes::of(&object::PRODUCT);
    product.set(attr::NAME, record.take_str("Source"));
    if !product.is_empty() {
        product.set(attr::VENDOR_NAME, "Microsoft");
    }
    finding.set(attr::PRODUCT, product);
    event.set(attr::FINDING_INFO, finding);
    event.set(attr::START_TIME, start);
    event.set(attr::END_TIME, end);
    findings::take_severity(&mut event, record, "Severity");
    event.set(attr::COMMENT, record.take_str("Comments"));

    let mut evidences = Vec::new();
    if let Some(id) = record.take_str("AlertEntityId") {
        evidences.push(entity(record.take_str("EntityType"), id));
    }
    if let Some(data) = data {
        let mut evidence = Attributes::of(&object::EVIDENCES);
        evidence.set(attr::DATA, context.take_value(record, "Data"));
        evidence.set(attr::USER, findings::user(data.peek_str("f3u").filter(|who| users::is_email(who))));
        evidence.set(attr::NAME, "Alert data");
        evidences.push(evidence);
    }
    event.set(attr::EVIDENCES, evidences);
    write_service(&mut event, record);
    vec![event]
}

/// What an alert is about, by the kind that the source gives it.
fn entity<'r>(kind: Option<&'r str>, id: &'r str) -> Attributes<'r> {
    let mut evidence = Attributes::of(&object::EVIDENCES);
    let kind = kind.unwrap_or("Entity");
    match kind {
        "User" | "Mailbox" | "Recipients" | "Recipient" => evidence.set(attr::USER, findings::user(Some(id))),
        "Sender" => {
            let mut email = Attributes::of(&object::EMAIL);
            if findings::mail_address(id).is_some() {
                findings::write_from(&mut email, Some(id));
            }
            evidence.set(attr::EMAIL, email);
        }
        "ClientIP" | "IP" | "ClientIPAddress" => {
            evidence.set(attr::SRC_ENDPOINT, Some(addresses::endpoint(id)).filter(|e| !e.is_empty()));
        }
        "Url" | "URL" | "MaliciousUrl" => evidence.set(attr::URL, findings::url(id)),
        "File" | "FileName" => evidence.set(attr::FILE, findings::file_of_path(Some(id))),
        _ => {}
    }
    if evidence.is_empty() {
        let said = [("EntityType", kind), ("AlertEntityId", id)];
        let data: Members<'r> = said.into_iter().map(|(name, text)| (name.into(), Value::Text(text.into()))).collect();
        evidence.set(attr::DATA, data);
    }
    evidence.set(attr::NAME, kind);
    evidence
}

/// An event whose status is the alert's, and whose activity is Close if the status says so. `Status` is taken if OCSF's word for it is as
/// good: that of an alert policy's alert, but not the finer ones of investigations.
fn event_with_status<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Event<'r> {
    let (activity, word) = (context.activity(), record.peek_str("Status").unwrap_or_default());
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
    let mut event = Event::new(2004, activity, context.operation);
    event.set_enum(attr::STATUS_ID, id, Some(word));
    event.set(attr::IS_ALERT, true);
    let plain = ["active", "investigating", "dismissed", "resolved"].iter().any(|w| word.eq_ignore_ascii_case(w));
    if plain || id == 99 {
        record.take("Status");
    }
    event
}

/// The service that speaks, if the record names one.
fn write_service<'r>(event: &mut Event<'r>, record: &'r Object<'r>) {
    if record.peek_str("UserId").is_some_and(|id| !users::is_nobody(id)) {
        event.set(attr::ACTOR, users::actor(record));
    }
}

fn time_of<'r>(object: &'r Object<'r>, name: &'r str) -> Option<i64> {
    let text = object.peek_str(name)?;
    times::parse(text)
}

fn take_time<'r>(object: &'r Object<'r>, name: &'r str) -> Option<i64> {
    object.take_if(name, |n| times::parse(n.as_str()?))
}

/// An automated investigation (Microsoft: Management Activity API, main investigation schema).
pub fn map_investigation<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let Some(uid) = record.take_str("InvestigationId") else { return map_other(context, record) };
    let mut event = event_with_status(context, record);
    let text = record.peek_str("Data");
    let data = text.and_then(|text| context.untangle(text)).and_then(Node::as_object);
    let mut finding = Attributes::of(&object::FINDING_INFO);
    finding.set(attr::UID, uid);
    finding.set(attr::TITLE, record.take_str("InvestigationName"));
    finding.set(attr::TYPES, record.take_str("InvestigationType").into_iter().collect::<Vec<_>>());
    let start = take_time(record, "StartTimeUtc");
    finding.set(attr::CREATED_TIME, start);
    finding.set(attr::MODIFIED_TIME, take_time(record, "LastUpdateTimeUtc"));
    finding.set(attr::DESC, data.and_then(|d| d.peek_str("Description")));
    event.set(attr::FINDING_INFO, finding);
    event.set(attr::START_TIME, start);
    event.set(attr::END_TIME, take_time(record, "EndTimeUtc"));
    event.set(attr::SRC_URL, record.take_str("DeepLinkUrl").or_else(|| record.take_str("DeeplinkURL")));
    event.set_severity(data.and_then(|d| d.peek_str("Severity")).map_or(0, outcome::severity));
    let mut evidences = Vec::new();
    let mut remediation = Vec::new();
    for action in record.items("Actions") {
        let text = action.as_str().map(str::trim).unwrap_or_default();
        let untangled = if text.starts_with('{') { context.untangle(text) } else { None };
        if let Some(action) = untangled.unwrap_or(action).as_object() {
            remediation.extend(described_action(action));
            evidences
                .extend(action.items("Entities").iter().filter_map(|entity| investigated(context, "Actions", entity)));
        }
    }
    if let Some(data) = data {
        evidences.extend(data.items("Entities").iter().filter_map(|entity| investigated(context, "Data", entity)));
    }
    evidences.truncate(MAX_EVIDENCES);
    let mut advice = Attributes::of(&object::REMEDIATION);
    advice.set(attr::DESC, remediation.join("; "));
    event.set(attr::REMEDIATION, advice);
    event.set(attr::EVIDENCES, evidences);
    record.take_same("ObjectId", &[context.id()]);
    write_service(&mut event, record);
    vec![event]
}

/// Most evidences of one event. What is over stays in `unmapped`, where all of it is anyway.
const MAX_EVIDENCES: usize = 100;

/// `ActionType: ActionStatus`.
fn described_action<'r>(action: &'r Object<'r>) -> Option<String> {
    let kind = action.peek_str("ActionType")?;
    Some(match action.peek_str("ActionStatus").or_else(|| action.peek_str("Status")) {
        Some(status) => format!("{kind}: {status}"),
        None => kind.to_owned(),
    })
}

/// An entity of an investigation; its text stays where it was, so nothing is taken here.
fn investigated<'r>(context: &Context<'r>, place: &'r str, node: &'r Node<'r>) -> Option<Attributes<'r>> {
    let entity = node.as_object()?;
    let kind = entity.peek_str("Type")?;
    let mut evidence = Attributes::of(&object::EVIDENCES);
    match kind.to_ascii_lowercase().as_str() {
        "mailmessage" => {
            let mut email = Attributes::of(&object::EMAIL);
            findings::write_from(&mut email, entity.peek_str("Sender").or_else(|| entity.peek_str("P2Sender")));
            let to = entity.peek_str("Recipient").and_then(findings::mail_address);
            email.set(attr::TO, to.into_iter().collect::<Vec<_>>());
            if email.has(attr::FROM) || email.has(attr::TO) {
                email.set(attr::SUBJECT, entity.peek_str("Subject"));
                email.set(attr::MESSAGE_UID, entity.peek_str("InternetMessageId"));
                email.set(attr::UID, entity.peek_str("NetworkMessageId"));
                evidence.set(attr::EMAIL, email);
            }
        }
        "ip" => {
            let address = entity.peek_str("Address").map(addresses::endpoint);
            evidence.set(attr::SRC_ENDPOINT, address.filter(|e| !e.is_empty()));
        }
        "url" => evidence.set(attr::URL, entity.peek_str("Url").map(findings::url)),
        "mailbox" | "account" => {
            let name = entity.peek_str("Upn").or_else(|| entity.peek_str("MailboxPrimaryAddress"));
            evidence.set(attr::USER, findings::user(name));
        }
        "file" => evidence.set(attr::FILE, findings::file(entity.peek_str("Name"), None)),
        _ => {}
    }
    if evidence.is_empty() {
        evidence.set(attr::DATA, context.value(place, node));
    }
    if !evidence.is_empty() {
        evidence.set(attr::NAME, kind);
    }
    Some(evidence)
}

/// A detection of Entra ID Protection (Microsoft: Management Activity API, Microsoft Entra Risk Detection schema).
pub fn map_risk<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let Some(uid) = record.take_str("RiskId") else { return map_other(context, record) };
    let state = record.take_str("RiskState").unwrap_or_default();
    let (activity, status) = match state {
        "atRisk" => (1, 1),
        "dismissed" => (3, 3),
        "remediated" | "confirmedSafe" => (3, 4),
        "confirmedCompromised" => (2, 2),
        _ => (1, 0),
    };
    let mut event = Event::new(2004, activity, context.operation);
    event.set_enum(attr::STATUS_ID, status, None);
    event.set(attr::STATUS_DETAIL, state);
    event.set(attr::IS_ALERT, true);
    match state {
        "confirmedSafe" => event.set_enum(attr::VERDICT_ID, 5, None),
        "confirmedCompromised" => event.set_enum(attr::VERDICT_ID, 2, None),
        _ => {}
    }
    let mut finding = Attributes::of(&object::FINDING_INFO);
    finding.set(attr::UID, uid);
    let kind = record.take_str("RiskEventType");
    finding.set(attr::TITLE, kind);
    finding.set(attr::TYPES, kind.into_iter().collect::<Vec<_>>());
    finding.set(attr::ANALYTIC, findings::analytic(0, None::<&str>, record.take_str("Source")));
    finding.set(attr::CREATED_TIME, take_time(record, "DetectedDateTime"));
    finding.set(attr::MODIFIED_TIME, take_time(record, "LastUpdatedDateTime"));
    let when = take_time(record, "ActivityDateTime");
    finding.set(attr::FIRST_SEEN_TIME, when);
    event.set(attr::FINDING_INFO, finding);
    event.set(attr::START_TIME, when);
    event.set(attr::RISK_DETAILS, record.take_if("RiskDetail", |n| n.as_str().filter(|d| *d != "none")));
    if let Some(level) = record.take_str("RiskLevel") {
        let id = match level.to_ascii_lowercase().as_str() {
            "low" => 1,
            "medium" => 2,
            "high" => 3,
            "none" => 0,
            _ => 99,
        };
        event.set_enum(attr::RISK_LEVEL_ID, id, Some(level));
        let severity = outcome::severity(level);
        event.set_severity(if state == "confirmedCompromised" { severity.max(4) } else { severity });
    } else {
        event.set_severity(if state == "confirmedCompromised" { 4 } else { 0 });
    }
    let mut evidence = Attributes::of(&object::EVIDENCES);
    let mut person = users::person_alone(record);
    if person.full_name.is_none() {
        person.full_name = record.take_str("UserDisplayName");
    }
    evidence.set(attr::USER, person.user());
    let mut source = addresses::source(record);
    if let (Some(place), false) = (record.object("Location"), source.is_empty()) {
        source.set(attr::LOCATION, location(place));
    }
    evidence.set(attr::SRC_ENDPOINT, source);
    if !evidence.is_empty() {
        evidence.set(attr::NAME, "User");
    }
    event.set(attr::EVIDENCES, vec![evidence]);
    event.set(attr::API, context.api(record.take_str("RequestId")));
    write_service(&mut event, record);
    vec![event]
}

/// `LocationType`, whose members begin with capitals.
fn location<'r>(place: &'r Object<'r>) -> Attributes<'r> {
    let mut location = Attributes::of(&object::LOCATION);
    location.set(attr::CITY, place.take_str("City"));
    location.set(attr::REGION, place.take_str("State"));
    location.set(attr::COUNTRY, place.take_str("CountryOrRegion"));
    if let (Some(point), false) = (place.object("GeoCoordinates"), location.is_empty()) {
        addresses::write_point(&mut location, point, "Latitude", "Longitude");
    }
    location
}

/// Any other record that is a finding: a submission, a user's concern, a detection of another service.
pub fn map_other<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    const IDS: [&str; 4] = ["AlertId", "SubmissionId", "IncidentId", "CampaignId"];
    let id = IDS.iter().find_map(|name| record.take_if(name, Node::to_text));
    let Some(uid) = id.or_else(|| context.id().map(Cow::Borrowed)) else {
        return generic::map(context, record);
    };
    let mut event = event_with_status(context, record);
    if event.get(attr::STATUS_ID).and_then(Value::as_int) == Some(0) {
        event.set_enum(attr::STATUS_ID, 1, None);
    }
    let mut finding = Attributes::of(&object::FINDING_INFO);
    finding.set(attr::UID, uid);
    let title = ["AlertName", "Name", "Title", "Subject"].iter().find_map(|name| record.take_str(name));
    finding.set(attr::TITLE, title.unwrap_or(context.operation));
    finding.set(attr::DESC, record.take_str("Description"));
    finding.set(attr::TYPES, record.take_str("Category").into_iter().collect::<Vec<_>>());
    finding.set(attr::CREATED_TIME, context.time());
    event.set(attr::FINDING_INFO, finding);
    match record.peek_str("Severity") {
        Some(_) => findings::take_severity(&mut event, record, "Severity"),
        None => event.set_severity(1),
    }
    let mut evidence = Attributes::of(&object::EVIDENCES);
    evidence.set(attr::EMAIL, submitted(record));
    evidence.set(attr::URL, record.take_str("Url").or_else(|| record.take_str("URL")).map(findings::url));
    let source = addresses::source(record);
    evidence.set(attr::SRC_ENDPOINT, source);
    if evidence.is_empty() {
        event.set(attr::RESOURCES, vec![findings::resource("", record.take_str("ObjectId"), None::<&str>, 4)]);
    } else {
        evidence.set(attr::NAME, context.operation);
        event.set(attr::EVIDENCES, vec![evidence]);
    }
    write_service(&mut event, record);
    vec![event]
}

/// The message that a submission is about. Nothing without an address.
fn submitted<'r>(record: &'r Object<'r>) -> Option<Value<'r>> {
    let from = record.peek_str("P2Sender").or_else(|| record.peek_str("P1Sender"))?;
    let address = findings::mail_address(from)?;
    let mut email = Attributes::of(&object::EMAIL);
    email.set(attr::FROM, address);
    record.take_if("P2Sender", |n| (n.as_str()?.trim() == address).then_some(()));
    let own = |n: &'r Node<'r>| n.as_str().map(str::trim).filter(|t| users::is_email(t));
    email.set(attr::RETURN_PATH, record.take_if("P1Sender", own));
    email.set(attr::TO, findings::take_addresses(record, "Recipients"));
    email.set(attr::SUBJECT, record.take_str("Subject"));
    email.set(attr::MESSAGE_UID, record.take_str("InternetMessageId"));
    email.set(attr::UID, record.take_str("NetworkMessageId"));
    email.present()
}
