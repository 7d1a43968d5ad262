//! Data loss prevention: matches of DLP rules in SharePoint, OneDrive, Exchange, Teams, scanners and on endpoints. OCSF Data
//! Security Finding.
//!
//! Invariant: what a rule detected (`DetectedValues`) leaves only through the redaction of `rest`; `PolicyDetails` is looked at and
//! never taken, so that every policy, rule and condition stays in `unmapped`.

use std::collections::BTreeMap;

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event, attr, object},
    findings::{self, SHA1, SHA256},
    generic, outcome,
    record::{Node, Object},
    times, users,
};

/// Microsoft's name of what a classifier finds.
const CLASSIFIER_TYPE: &str = "Sensitive information type";

/// A record of the DLP schema (Microsoft: Management Activity API, DLP schema).
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let Some(uid) = record.peek_str("IncidentId").filter(|id| !users::is_nobody(id)).or_else(|| context.id()) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let rules = rules(record);
    event.metadata().set(attr::CORRELATION_UID, users::take_real(record, "IncidentId"));
    event.set(attr::FINDING_INFO, finding(context, record, uid, &rules));
    event.set(attr::DATA_SECURITY, data_security(context, record, &rules));
    event.set_severity(rules.iter().filter_map(|r| r.peek_str("Severity")).map(outcome::severity).max().unwrap_or(1));
    event.set_enum(attr::STATUS_ID, status(context.activity()), None);
    let endpoint = record.object("EndpointMetaData");
    write_decision(&mut event, &rules, endpoint);
    write_exception(context, &mut event, record);

    event.set(attr::ACTOR, actor(record, endpoint));
    let mut source = addresses::source(record);
    if let Some(endpoint) = endpoint {
        write_endpoint(&mut event, endpoint, &mut source);
    }
    event.set(attr::SRC_ENDPOINT, source);
    if let Some(item) = record.object("SharePointMetaData") {
        event.set(attr::FILE, shared_file(item));
        // The site itself stays: only its host has a place.
        event.set(attr::DST_ENDPOINT, endpoint_of(item.peek_str("SiteCollectionUrl").and_then(findings::host_of)));
        item.take_same("From", &[event.text_at(&[attr::ACTOR, attr::USER, attr::NAME])]);
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
    event.set(attr::RESOURCES, resources);
    vec![event]
}

/// Whether the record's object is what the event holds already.
fn known<'r>(event: &Event<'r>, resources: &[Attributes<'r>], object: &'r str) -> bool {
    let is = |text: Option<&str>| text == Some(object);
    is(event.text_at(&[attr::FILE, attr::UID]))
        || is(event.text_at(&[attr::FILE, attr::PATH]))
        || is(event.text_at(&[attr::FILE, attr::NAME]))
        || is(event.text_at(&[attr::FILE, attr::URL, attr::URL_STRING]))
        || resources.iter().any(|r| is(r.text(attr::UID)))
}

/// All rules of all policies of a record.
fn rules<'r>(record: &'r Object<'r>) -> Vec<&'r Object<'r>> {
    let policies = record.items("PolicyDetails").iter().filter_map(Node::as_object);
    policies.flat_map(|policy| policy.items("Rules")).filter_map(Node::as_object).collect()
}

fn finding<'r>(
    context: &Context<'r>,
    record: &'r Object<'r>,
    uid: &'r str,
    rules: &[&'r Object<'r>],
) -> Attributes<'r> {
    let mut finding = Attributes::of(&object::FINDING_INFO);
    finding.set(attr::UID, uid);
    let policy = record.items("PolicyDetails").first().and_then(Node::as_object);
    let names = [policy.and_then(|p| p.peek_str("PolicyName")), rules.first().and_then(|r| r.peek_str("RuleName"))];
    let names: Vec<&str> = names.into_iter().flatten().collect();
    finding.set(attr::TITLE, names.join(": "));
    let analytic = |rule: &&'r Object<'r>| findings::analytic(1, rule.peek_str("RuleId"), rule.peek_str("RuleName"));
    finding.set(attr::ANALYTIC, rules.first().map(analytic));
    let mut related: Vec<Attributes<'r>> = rules.iter().skip(1).map(analytic).collect();
    related.dedup_by(|a, b| a.get(attr::UID) == b.get(attr::UID) && a.get(attr::NAME) == b.get(attr::NAME));
    finding.set(attr::RELATED_ANALYTICS, related);
    let evaluated = record.take_if("EvaluationTime", |n| times::parse(n.as_str()?));
    finding.set(attr::CREATED_TIME, evaluated.or_else(|| context.time()));
    let mut product = Attributes::of(&object::PRODUCT);
    product.set(attr::NAME, context.product());
    product.set(attr::VENDOR_NAME, "Microsoft");
    finding.set(attr::PRODUCT, product);
    finding
}

/// What a rule found, by kind of information.
fn sensitive<'r>(rule: &'r Object<'r>) -> impl Iterator<Item = &'r Object<'r>> {
    let conditions = rule.object("ConditionsMatched");
    conditions.map_or(&[][..], |c| c.items("SensitiveInformation")).iter().filter_map(Node::as_object)
}

fn data_security<'r>(context: &Context<'r>, record: &'r Object<'r>, rules: &[&'r Object<'r>]) -> Attributes<'r> {
    let mut data = Attributes::of(&object::DATA_SECURITY);
    let mut policy = Attributes::of(&object::POLICY);
    if let Some(first) = record.items("PolicyDetails").first().and_then(Node::as_object) {
        policy.set(attr::UID, first.peek_str("PolicyId"));
        policy.set(attr::NAME, first.peek_str("PolicyName"));
    }
    data.set(attr::POLICY, policy);
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
    data.set_enum(attr::DETECTION_SYSTEM_ID, system, None);
    data.set_enum(attr::DATA_LIFECYCLE_STATE_ID, state, None);
    // Several rules can match the same content, so the counts of one kind are not added up over rules.
    let mut found: BTreeMap<&str, i64> = BTreeMap::new();
    let endpoint = record.object("EndpointMetaData");
    let own = endpoint.map_or(&[][..], |e| e.items("SensitiveInformation")).iter().filter_map(Node::as_object);
    let mut classifier = Attributes::of(&object::CLASSIFIER_DETAILS);
    for information in rules.iter().flat_map(|rule| sensitive(rule)).chain(own) {
        let uid = information.peek_str("SensitiveType");
        let name = information.peek_str("SensitiveInformationTypeName");
        let Some(kind) = name.or(uid) else { continue };
        let count = information.peek_int("Count").unwrap_or(0);
        let highest = found.entry(kind).or_default();
        *highest = count.max(*highest);
        if classifier.is_empty() {
            classifier.set(attr::UID, uid);
            classifier.set(attr::NAME, name);
            classifier.set(attr::TYPE, CLASSIFIER_TYPE);
        }
    }
    data.set(attr::CLASSIFIER_DETAILS, classifier);
    if !found.is_empty() {
        data.set(attr::TOTAL, found.values().copied().fold(0, i64::saturating_add));
    }
    let details = found.into_iter().map(|(kind, count)| {
        let mut detail = Attributes::of(&object::DISCOVERY_DETAILS);
        detail.set(attr::TYPE, kind);
        detail.set(attr::COUNT, count);
        detail
    });
    data.set(attr::DISCOVERY_DETAILS, details.collect::<Vec<_>>());
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
fn write_decision<'r>(event: &mut Event<'r>, rules: &[&'r Object<'r>], endpoint: Option<&'r Object<'r>>) {
    let texts = |name: &str| -> Vec<&str> {
        rules.iter().flat_map(|r| r.items(name)).filter_map(Node::as_str).map(str::trim).collect()
    };
    let (actions, overridden) = (texts("Actions"), texts("OverriddenActions"));
    event.set(attr::IS_ALERT, !actions.is_empty() || !overridden.is_empty());
    let mode = endpoint.and_then(|e| e.peek("EnforcementMode")).and_then(Node::to_text);
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
fn write_exception<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let Some(node) = record.peek("ExceptionInfo") else { return };
    let text = node.as_str().map(str::trim).unwrap_or_default();
    let untangled = if text.starts_with('{') { context.untangle(text) } else { None };
    let Some(exception) = untangled.unwrap_or(node).as_object() else { return };
    if exception.peek("FalsePositive").and_then(Node::to_bool) == Some(true) {
        event.set_enum(attr::VERDICT_ID, 1, None);
    }
    event.set(attr::COMMENT, exception.peek_str("Justification"));
}

/// The person whose content matched. The agent that evaluates rules is not that person, and stays in `unmapped`.
fn actor<'r>(record: &'r Object<'r>, endpoint: Option<&'r Object<'r>>) -> Attributes<'r> {
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
            let mut actor = Attributes::of(&object::ACTOR);
            actor.set(attr::USER, person.user());
            actor
        }
        _ => users::actor(record),
    };
    if !actor.has(attr::APP_NAME) {
        actor.set(attr::APP_NAME, endpoint.and_then(|e| e.take_str("Application")));
    }
    actor
}

/// Device, file and target of an endpoint's record.
fn write_endpoint<'r>(event: &mut Event<'r>, endpoint: &'r Object<'r>, source: &mut Attributes<'r>) {
    let mut device = Attributes::of(&object::DEVICE);
    device.set(attr::HOSTNAME, endpoint.take_str("DeviceName"));
    if !device.is_empty() {
        device.set_enum(attr::TYPE_ID, 0, None);
    }
    event.set(attr::DEVICE, device);
    let address = |n: &'r Node<'r>| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty());
    if source.is_empty()
        && let Some(address) = endpoint.take_if("ClientIP", address)
    {
        *source = address;
    }
    let mut file = findings::file_of_path(endpoint.take_str("FilePath"));
    if !file.is_empty() {
        file.set(attr::EXT, endpoint.take_str("FileExtension"));
        file.set(attr::SIZE, endpoint.take_int("FileSize"));
        let mut hashes = Vec::new();
        for (algorithm, name) in [(SHA1, "Sha1"), (SHA256, "Sha256")] {
            hashes.extend(endpoint.take_if(name, |n| findings::hash(algorithm, n.as_str())));
        }
        file.set(attr::HASHES, hashes);
        event.set(attr::FILE, file);
    }
    let target = ["TargetDomain", "OriginatingDomain"]
        .iter()
        .find_map(|name| endpoint.take_if(name, |n| n.as_str().filter(|t| addresses::is_host_name(t))));
    event.set(attr::DST_ENDPOINT, endpoint_of(target));
}

fn endpoint_of<'r>(host: Option<&'r str>) -> Attributes<'r> {
    host.map_or_else(|| Attributes::of(&object::NETWORK_ENDPOINT), addresses::endpoint)
}

/// `SharePointMetaData` (Microsoft spells some members in two ways).
fn shared_file<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut file = findings::file(item.take_str("FileName"), None);
    if file.is_empty() {
        return file;
    }
    if let Some(url) = item.take_str("FilePathUrl") {
        file.set(attr::URL, findings::url(url));
    }
    file.set(attr::UID, item.take_str("UniqueId").or_else(|| item.take_str("UniqueID")));
    let time = |names: &[&str]| names.iter().find_map(|name| item.take_if(name, |n| times::parse(n.as_str()?)));
    file.set(attr::CREATED_TIME, time(&["itemCreationTime", "ItemCreationTime"]));
    file.set(attr::MODIFIED_TIME, time(&["LastModifiedTime", "ItemLastModifiedTime"]));
    file.set(attr::SIZE, item.take_int("FileSize"));
    let mut owner = users::Person::default();
    if let Some(name) = users::take_real(item, "FileOwnerEmail").or_else(|| users::take_real(item, "FileOwner")) {
        owner.read_name(name);
    }
    item.take_same("FileOwner", &[owner.name]);
    owner.full_name = users::take_real(item, "FileOwner");
    file.set(attr::OWNER, owner.user());
    file.set(attr::MODIFIER, findings::user(users::take_real(item, "DocumentLastModifier")));
    if item.peek("IsViewableByExternalUsers").and_then(Node::to_bool) == Some(true) {
        file.set(attr::IS_PUBLIC, item.take_bool("IsViewableByExternalUsers"));
    }
    file
}

/// `ExchangeMetaData`: a message, which this class has no attribute for.
fn message<'r>(context: &Context<'r>, record: &'r Object<'r>, mail: &'r Object<'r>) -> Attributes<'r> {
    let uid = mail.take_str("MessageID").or_else(|| record.peek_str("ObjectId"));
    let mut message = findings::resource("Email message", uid, mail.take_str("Subject"), 3);
    if !message.is_empty() {
        message.set(attr::DATA, context.take_rest("ExchangeMetaData", mail));
    }
    message
}
