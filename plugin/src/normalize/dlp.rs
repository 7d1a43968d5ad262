//! Data loss prevention: matches of DLP rules in SharePoint, OneDrive, Exchange, Teams, scanners and on endpoints. OCSF Data
//! Security Finding.
//!
//! Invariant: what a rule detected (`DetectedValues`) leaves only through the redaction of `rest`; `PolicyDetails` is looked at and
//! never taken, so that every policy, rule and condition stays in `unmapped`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event},
    findings::{self, SHA1, SHA256},
    generic, outcome,
    record::{self, Node, Object},
    times, users,
};

/// Microsoft's name of what a classifier finds.
const CLASSIFIER_TYPE: &str = "Sensitive information type";

/// A record of the DLP schema (Microsoft: Management Activity API, DLP schema).
pub fn map(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let Some(uid) = record.peek_str("IncidentId").filter(|id| !users::is_nobody(id)).or_else(|| context.id()) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let rules = rules(record);
    event.metadata().set("correlation_uid", record.take_str("IncidentId").filter(|id| !users::is_nobody(id)));
    event.set("finding_info", finding(context, record, uid, &rules));
    event.set("data_security", data_security(context, record, &rules));
    event.set_severity(rules.iter().filter_map(|r| r.peek_str("Severity")).map(outcome::severity).max().unwrap_or(1));
    event.set_enum("status_id", status(context.activity()), None);
    let endpoint = record.object("EndpointMetaData");
    write_decision(&mut event, &rules, endpoint);
    write_exception(&mut event, record);

    event.set("actor", actor(record, endpoint));
    let mut source = addresses::source(record);
    if let Some(endpoint) = endpoint {
        write_endpoint(&mut event, endpoint, &mut source);
    }
    event.set("src_endpoint", source);
    if let Some(item) = record.object("SharePointMetaData") {
        event.set("file", shared_file(item));
        // The site itself stays: only its host has a place.
        event.set("dst_endpoint", endpoint_of(item.peek_str("SiteCollectionUrl").and_then(findings::host_of)));
        let actor = event.text_at(&["actor", "user", "name"]).unwrap_or_default();
        item.take_if("From", |n| n.as_str().filter(|from| from.trim().eq_ignore_ascii_case(actor)));
    }
    let mut resources = Vec::new();
    if let Some(mail) = record.object("ExchangeMetaData") {
        resources.push(message(context, record, mail));
    }
    if let Some(object) = record.take_if("ObjectId", |n| n.as_str().filter(|t| !users::is_nobody(t)))
        && !known(&event, &resources, object)
    {
        resources.push(findings::resource("", object, None::<&str>, 3));
    }
    event.set("resources", resources);
    // The product is the one that evaluates the rules; where the data was is said nowhere else.
    event.keep("Workload", context.workload.as_str());
    let title = event.text_at(&["finding_info", "title"]).map(|title| format!("{}: {title}", context.operation));
    event.set("message", title);
    vec![event]
}

/// Whether the record's object is what the event holds already.
fn known(event: &Event, resources: &[Attributes], object: &str) -> bool {
    let is = |text: Option<&str>| text == Some(object);
    is(event.text_at(&["file", "uid"]))
        || is(event.text_at(&["file", "path"]))
        || is(event.text_at(&["file", "name"]))
        || is(event.text_at(&["file", "url", "url_string"]))
        || resources.iter().any(|r| is(r.text("uid")))
}

/// All rules of all policies of a record.
fn rules<'s, 'a>(record: &'s Object<'a>) -> Vec<&'s Object<'a>> {
    let policies = record.items("PolicyDetails").iter().filter_map(Node::as_object);
    policies.flat_map(|policy| policy.items("Rules")).filter_map(Node::as_object).collect()
}

fn finding(context: &Context<'_>, record: &Object<'_>, uid: &str, rules: &[&Object<'_>]) -> Attributes {
    let mut finding = Attributes::of("finding_info");
    finding.set("uid", uid);
    let policy = record.items("PolicyDetails").first().and_then(Node::as_object);
    let names = [policy.and_then(|p| p.peek_str("PolicyName")), rules.first().and_then(|r| r.peek_str("RuleName"))];
    let names: Vec<&str> = names.into_iter().flatten().collect();
    finding.set("title", names.join(": "));
    let analytic = |rule: &&Object<'_>| findings::analytic(1, rule.peek_str("RuleId"), rule.peek_str("RuleName"));
    finding.set("analytic", rules.first().map(analytic));
    let mut related: Vec<Attributes> = rules.iter().skip(1).map(analytic).collect();
    related.dedup_by(|a, b| a.get("uid") == b.get("uid") && a.get("name") == b.get("name"));
    finding.set("related_analytics", related);
    let evaluated = record.take_if("EvaluationTime", |n| times::parse(n.as_str()?));
    finding.set("created_time", evaluated.or_else(|| context.time()));
    let mut product = Attributes::of("product");
    product.set("name", context.product());
    product.set("vendor_name", "Microsoft");
    finding.set("product", product);
    finding
}

/// What a rule found, by kind of information.
fn sensitive<'s, 'a>(rule: &'s Object<'a>) -> impl Iterator<Item = &'s Object<'a>> {
    let conditions = rule.object("ConditionsMatched");
    conditions.map_or(&[][..], |c| c.items("SensitiveInformation")).iter().filter_map(Node::as_object)
}

fn data_security(context: &Context<'_>, record: &Object<'_>, rules: &[&Object<'_>]) -> Attributes {
    let mut data = Attributes::of("data_security");
    let mut policy = Attributes::of("policy");
    if let Some(first) = record.items("PolicyDetails").first().and_then(Node::as_object) {
        policy.set("uid", first.peek_str("PolicyId"));
        policy.set("name", first.peek_str("PolicyName"));
    }
    data.set("policy", policy);
    let number = context.record_type_number();
    let (system, state) = match number {
        63 | 108 | 291 => (1, 3),
        // Exact data match is a classifier that endpoints run as well.
        109 => (1, 0),
        13 | 107 => (6, 2),
        99 | 100 => (4, 1),
        11 | 33 => (10, 1),
        _ => (10, 0),
    };
    let state = if context.workload.contains("Teams") { 2 } else { state };
    data.set_enum("detection_system_id", system, None);
    data.set_enum("data_lifecycle_state_id", state, None);
    // Several rules can match the same content, so the counts of one kind are not added up over rules.
    let mut found: BTreeMap<&str, i64> = BTreeMap::new();
    let endpoint = record.object("EndpointMetaData");
    let own = endpoint.map_or(&[][..], |e| e.items("SensitiveInformation")).iter().filter_map(Node::as_object);
    let mut classifier = Attributes::of("classifier_details");
    for information in rules.iter().flat_map(|rule| sensitive(rule)).chain(own) {
        let uid = information.peek_str("SensitiveType");
        let name = information.peek_str("SensitiveInformationTypeName");
        let Some(kind) = name.or(uid) else { continue };
        let count = information.peek_int("Count").unwrap_or(0);
        let highest = found.entry(kind).or_default();
        *highest = count.max(*highest);
        if classifier.is_empty() {
            classifier.set("uid", uid);
            classifier.set("name", name);
            classifier.set("type", CLASSIFIER_TYPE);
        }
    }
    data.set("classifier_details", classifier);
    if !found.is_empty() {
        data.set("total", found.values().copied().fold(0, i64::saturating_add));
    }
    let details = found.into_iter().map(|(kind, count)| {
        let mut detail = Attributes::of("discovery_details");
        detail.set("type", kind);
        detail.set("count", count);
        detail
    });
    data.set("discovery_details", details.collect::<Vec<_>>());
    data
}

fn status(activity: i64) -> i64 {
    match activity {
        3 => 4,
        4 => 3,
        _ => 1,
    }
}

/// What was done about it: the endpoint's own word first, then what was overridden, then the strongest action of a rule in force.
fn write_decision(event: &mut Event, rules: &[&Object<'_>], endpoint: Option<&Object<'_>>) {
    let texts = |name: &str| -> Vec<&str> {
        rules.iter().flat_map(|r| r.items(name)).filter_map(Node::as_str).map(str::trim).collect()
    };
    let (actions, overridden) = (texts("Actions"), texts("OverriddenActions"));
    event.set("is_alert", !actions.is_empty() || !overridden.is_empty());
    let mode = endpoint.and_then(|e| e.take_text("EnforcementMode"));
    let tested = !rules.is_empty()
        && rules.iter().all(|rule| {
            rule.peek_str("RuleMode").is_some_and(|mode| mode.starts_with("Audit") || mode.starts_with("Test"))
        });
    let has = |part: &str| actions.iter().any(|a| a.to_ascii_lowercase().contains(part));
    let decision = match mode.as_deref().map(|m| m.to_ascii_lowercase()).as_deref() {
        Some("1" | "audit") => (3, 17),
        Some("2" | "warn" | "warnwithoverride") => (3, 19),
        Some("3" | "warnandbypass" | "5" | "allow") => (1, 1),
        Some("4" | "block") => (2, 2),
        _ if !overridden.is_empty() => (1, 1),
        _ if tested => (3, 17),
        _ if has("quarantine") => (2, 3),
        _ if has("block") => (2, 2),
        _ if has("alert") || has("notify") || has("incidentreport") => (3, 19),
        _ => (3, 17),
    };
    findings::write_disposition(event, decision, "");
}

/// `ExceptionInfo`, an object or its text: the finding was reported as wrong, or overridden for a reason.
fn write_exception(event: &mut Event, record: &Object<'_>) {
    let Some(node) = record.peek("ExceptionInfo") else { return };
    let text = node.as_str().map(str::trim).unwrap_or_default();
    let parsed = if text.starts_with('{') { record::parse(text.as_bytes()).ok() } else { None };
    let Some(exception) = parsed.as_ref().unwrap_or(node).as_object() else { return };
    if exception.peek("FalsePositive").and_then(Node::to_bool) == Some(true) {
        event.set_enum("verdict_id", 1, None);
    }
    event.set("comment", exception.peek_str("Justification"));
}

/// The person whose content matched. The agent that evaluates rules is not that person, and stays in `unmapped`.
fn actor(record: &Object<'_>, endpoint: Option<&Object<'_>>) -> Attributes {
    let person = record.peek_str("UserId").is_some_and(users::is_email);
    let sender = ["ExchangeMetaData", "SharePointMetaData"]
        .iter()
        .filter_map(|name| record.object(name))
        .find_map(|item| item.peek_str("From").or_else(|| item.peek_str("FileOwner")));
    let mut actor = match sender {
        Some(sender) if !person => {
            let mut person = users::Person::default();
            person.read_name(findings::mail_address(sender).unwrap_or(sender));
            person.read_type(0);
            let mut actor = Attributes::of("actor");
            actor.set("user", person.user());
            actor
        }
        _ => users::actor(record),
    };
    if let Some(program) = endpoint.and_then(|e| e.take_str("Application")) {
        actor.set_if_absent("app_name", program);
    }
    actor
}

/// Device, file and target of an endpoint's record.
fn write_endpoint(event: &mut Event, endpoint: &Object<'_>, source: &mut Attributes) {
    let mut device = Attributes::of("device");
    device.set("hostname", endpoint.take_str("DeviceName"));
    if !device.is_empty() {
        device.set_enum("type_id", 0, None);
    }
    event.set("device", device);
    let address = endpoint.take_if("ClientIP", |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()));
    if let Some(address) = address.filter(|_| source.is_empty()) {
        *source = address;
    }
    let mut file = findings::file_of_path(endpoint.take_str("FilePath"));
    if !file.is_empty() {
        file.set("ext", endpoint.take_str("FileExtension"));
        file.set("size", endpoint.take_int("FileSize"));
        let mut hashes = Vec::new();
        for (algorithm, name) in [(SHA1, "Sha1"), (SHA256, "Sha256")] {
            hashes.extend(endpoint.take_if(name, |n| findings::hash(algorithm, n.as_str())));
        }
        file.set("hashes", hashes);
        event.set("file", file);
    }
    let target = ["TargetDomain", "OriginatingDomain"]
        .iter()
        .find_map(|name| endpoint.take_if(name, |n| n.as_str().filter(|t| addresses::is_host_name(t))));
    event.set("dst_endpoint", endpoint_of(target));
}

fn endpoint_of(host: Option<&str>) -> Attributes {
    host.map_or_else(|| Attributes::of("network_endpoint"), addresses::endpoint)
}

/// `SharePointMetaData` (Microsoft spells some members in two ways).
fn shared_file(item: &Object<'_>) -> Attributes {
    let mut file = findings::file(item.take_str("FileName"), None);
    if file.is_empty() {
        return file;
    }
    if let Some(url) = item.take_str("FilePathUrl") {
        file.set("url", findings::url(url));
    }
    file.set("uid", item.take_str("UniqueId").or_else(|| item.take_str("UniqueID")));
    let time = |names: &[&str]| names.iter().find_map(|name| item.take_if(name, |n| times::parse(n.as_str()?)));
    file.set("created_time", time(&["itemCreationTime", "ItemCreationTime"]));
    file.set("modified_time", time(&["LastModifiedTime", "ItemLastModifiedTime"]));
    file.set("size", item.take_int("FileSize"));
    let mut owner = users::Person::default();
    if let Some(name) = item.take_str("FileOwnerEmail").or_else(|| item.take_str("FileOwner")) {
        owner.read_name(name);
    }
    owner.full_name = item.take_str("FileOwner").filter(|n| Some(*n) != owner.name.as_deref()).map(str::to_owned);
    file.set("owner", owner.user());
    file.set("modifier", findings::user(item.take_str("DocumentLastModifier")));
    if item.peek("IsViewableByExternalUsers").and_then(Node::to_bool) == Some(true) {
        file.set("is_public", item.take_bool("IsViewableByExternalUsers"));
    }
    file
}

/// `ExchangeMetaData`: a message, which this class has no attribute for.
fn message(context: &Context<'_>, record: &Object<'_>, mail: &Object<'_>) -> Attributes {
    let uid = mail.take_str("MessageID").or_else(|| record.peek_str("ObjectId"));
    let mut message = findings::resource("Email message", uid, mail.take_str("Subject"), 3);
    if !message.is_empty() {
        message.set("data", context.take_rest("ExchangeMetaData", mail).unwrap_or(Value::Null));
    }
    message
}
