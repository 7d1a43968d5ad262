//! Alerts of Microsoft Graph, `security/alerts_v2`. OCSF Detection Finding.
//!
//! Invariant: one event is one version of an alert, at the time of its last update; what the alert says of its state decides the activity, and
//! a version that was changed after it was created is an Update even if its state is still new.

use super::{
    context::Context,
    distinct,
    event::{Attributes, Event, Present, Value, attr, object},
    evidence, findings,
    record::{Node, Object},
    times, users,
};

/// A change this much later than the creation is an update: services fill an alert in several steps.
const SETTLING_MS: i64 = 60_000;

/// An alert (Microsoft Graph: resource type security.alert).
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let created = take_time(record, "createdDateTime");
    let changed = take_time(record, "lastUpdateDateTime");
    let (status, activity) = state(record, created, changed);
    let mut event = Event::new(2004, activity, context.operation);
    event.set_enum(attr::STATUS_ID, status, None);
    event.set(attr::IS_ALERT, true);
    findings::take_severity(&mut event, record, "severity");
    event.set(attr::TIME, changed.or(created));
    if changed.is_some() {
        event.metadata().set(attr::ORIGINAL_TIME, record.peek_str("lastUpdateDateTime"));
    }
    write_product(context, &mut event, record);
    write_verdict(&mut event, record);

    let (first, last) = (take_time(record, "firstActivityDateTime"), take_time(record, "lastActivityDateTime"));
    let mut finding = Attributes::of(&object::FINDING_INFO);
    // The envelope took the id, which the record's schema makes sure of.
    finding.set(attr::UID, record.peek_str("id"));
    record.take_same("providerAlertId", &[record.peek_str("id")]);
    finding.set(attr::UID_ALT, record.take_if("providerAlertId", |n| another(n, record.peek_str("id"))));
    let title = record.take_str("title");
    finding.set(attr::TITLE, title);
    finding.set(attr::DESC, record.take_str("description"));
    let category = record.take_str("category");
    finding.set(attr::TYPES, types(record, category));
    finding.set(attr::ATTACKS, attacks(record, category));
    finding.set(attr::CREATED_TIME, created);
    finding.set(attr::MODIFIED_TIME, changed);
    finding.set(attr::FIRST_SEEN_TIME, first);
    finding.set(attr::LAST_SEEN_TIME, last);
    finding.set(attr::ANALYTIC, analytic(record));
    let product = event.metadata().get(attr::PRODUCT).cloned();
    finding.set(attr::PRODUCT, product.map(without_feature));
    finding.set(attr::SRC_URL, record.take_str("alertWebUrl"));
    if let Some(incident) = record.take_if("incidentId", |n| n.to_text()) {
        let mut related = Attributes::of(&object::RELATED_EVENT);
        related.set(attr::UID, incident.clone());
        related.set(attr::TYPE, "Incident");
        finding.set(attr::RELATED_EVENTS, vec![related]);
        event.metadata().set(attr::CORRELATION_UID, incident);
    }
    let tags = findings::take_texts(record, "systemTags").into_iter().map(|t| findings::tag("tag", t));
    finding.set(attr::TAGS, tags.collect::<Vec<_>>());
    event.set(attr::FINDING_INFO, finding);

    event.set(attr::START_TIME, first);
    event.set(attr::END_TIME, last);
    event.set(attr::SRC_URL, record.take_str("incidentWebUrl"));
    let mut remediation = Attributes::of(&object::REMEDIATION);
    remediation.set(attr::DESC, record.take_str("recommendedActions"));
    event.set(attr::REMEDIATION, remediation);
    if let Some(name) = users::take_real(record, "assignedTo") {
        event.set(attr::ASSIGNEE, findings::user(Some(name)));
    }
    event.set(attr::COMMENT, comments(record));
    write_evidence(context, &mut event, record);
    vec![event]
}

/// Text that isn't the one that is told already.
fn another<'r>(node: &'r Node<'r>, told: Option<&str>) -> Option<&'r str> {
    node.as_str().map(str::trim).filter(|text| !text.is_empty() && Some(*text) != told)
}

fn take_time<'r>(record: &'r Object<'r>, name: &'r str) -> Option<i64> {
    record.take_if(name, |n| times::parse(n.as_str()?))
}

/// `status_id` and `activity_id`.
fn state<'r>(record: &'r Object<'r>, created: Option<i64>, changed: Option<i64>) -> (i64, i64) {
    let updated = created.zip(changed).is_some_and(|(created, changed)| changed - created > SETTLING_MS);
    let by_time = if updated { 2 } else { 1 };
    let state = match record.peek_str("status") {
        Some("new") => (1, by_time),
        Some("inProgress") => (2, 2),
        Some("resolved") => (4, 3),
        _ => (0, by_time),
    };
    if state.0 != 0 {
        record.take("status");
    }
    state
}

/// The product that found it, and its detector as the feature.
fn write_product<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let name = record.take_str("productName").or_else(|| {
        let known = record.peek_str("serviceSource").and_then(service_name)?;
        record.take("serviceSource");
        Some(known)
    });
    let name = name.unwrap_or_else(|| context.product());
    let mut product = Attributes::of(&object::PRODUCT);
    product.set(attr::NAME, name);
    product.set(attr::VENDOR_NAME, "Microsoft");
    let mut feature = Attributes::of(&object::FEATURE);
    feature.set(attr::NAME, record.peek_str("detectionSource"));
    product.set(attr::FEATURE, feature);
    event.metadata().set(attr::PRODUCT, product);
    let mut api = context.api(None);
    let mut service = Attributes::of(&object::SERVICE);
    service.set(attr::NAME, name);
    api.set(attr::SERVICE, service);
    event.set(attr::API, api);
}

fn without_feature<'r>(mut product: Value<'r>) -> Value<'r> {
    if let Value::Object(product) = &mut product {
        product.remove(attr::FEATURE);
    }
    product
}

/// The product of a `serviceSource` (Microsoft Graph: enumeration serviceSource).
fn service_name(source: &str) -> Option<&'static str> {
    Some(match source {
        "microsoftDefenderForEndpoint" => "Microsoft Defender for Endpoint",
        "microsoftDefenderForIdentity" => "Microsoft Defender for Identity",
        "microsoftDefenderForCloudApps" => "Microsoft Defender for Cloud Apps",
        "microsoftDefenderForOffice365" => "Microsoft Defender for Office 365",
        "microsoft365Defender" => "Microsoft 365 Defender",
        "azureAdIdentityProtection" => "Microsoft Entra ID Protection",
        "microsoftAppGovernance" => "Microsoft App Governance",
        "dataLossPrevention" => "Microsoft Purview Data Loss Prevention",
        "microsoftDefenderForCloud" => "Microsoft Defender for Cloud",
        "microsoftSentinel" => "Microsoft Sentinel",
        "microsoftInsiderRiskManagement" => "Microsoft Purview Insider Risk Management",
        "microsoftThreatIntelligence" => "Microsoft Threat Intelligence",
        _ => return None,
    })
}

/// What an analyst found it to be: the classification, refined by the determination where OCSF has a word for it.
fn write_verdict<'r>(event: &mut Event<'r>, record: &'r Object<'r>) {
    let refined = match record.peek_str("determination") {
        Some("securityTesting") => Some(6),
        Some("notEnoughDataToValidate") => Some(7),
        Some("notMalicious") => Some(5),
        _ => None,
    };
    if let Some(id) = refined {
        record.take("determination");
        event.set_enum(attr::VERDICT_ID, id, None);
        // The classification says something else then, so it stays.
        return;
    }
    let classified = match record.peek_str("classification") {
        Some("falsePositive") => 1,
        Some("truePositive") => 2,
        Some("informationalExpectedActivity") => 5,
        _ => return,
    };
    record.take("classification");
    event.set_enum(attr::VERDICT_ID, classified, None);
}

fn types<'r>(record: &'r Object<'r>, category: Option<&'r str>) -> Vec<&'r str> {
    let mut types = distinct::texts();
    category.into_iter().chain(findings::take_texts(record, "categories")).for_each(|one| types.add(one));
    types.into_items()
}

/// The names of ATT&CK tactics as alerts write them, and as ATT&CK does.
const TACTICS: [(&str, &str); 14] = [
    ("Collection", "Collection"),
    ("CommandAndControl", "Command and Control"),
    ("CredentialAccess", "Credential Access"),
    ("DefenseEvasion", "Defense Evasion"),
    ("Discovery", "Discovery"),
    ("Execution", "Execution"),
    ("Exfiltration", "Exfiltration"),
    ("Impact", "Impact"),
    ("InitialAccess", "Initial Access"),
    ("LateralMovement", "Lateral Movement"),
    ("Persistence", "Persistence"),
    ("PrivilegeEscalation", "Privilege Escalation"),
    ("Reconnaissance", "Reconnaissance"),
    ("ResourceDevelopment", "Resource Development"),
];

/// One attack for each technique; the tactic only if the category is one.
fn attacks<'r>(record: &'r Object<'r>, category: Option<&'r str>) -> Vec<Attributes<'r>> {
    let tactic = category.and_then(|c| TACTICS.iter().find(|(name, _)| *name == c)).map(|(_, name)| {
        let mut tactic = Attributes::of(&object::TACTIC);
        tactic.set(attr::NAME, *name);
        tactic
    });
    let named = |object, uid: &'r str| {
        let mut named = Attributes::of(object);
        named.set(attr::UID, uid);
        named
    };
    let mut attacks = Vec::new();
    for technique in findings::take_texts(record, "mitreTechniques") {
        let mut attack = Attributes::of(&object::ATTACK);
        let whole = technique.split('.').next().unwrap_or_default();
        attack.set(attr::TECHNIQUE, named(&object::TECHNIQUE, whole));
        if whole != technique {
            attack.set(attr::SUB_TECHNIQUE, named(&object::SUB_TECHNIQUE, technique));
        }
        if !attack.is_empty() {
            attack.set(attr::TACTIC, tactic.clone());
            attacks.push(attack);
        }
    }
    if attacks.is_empty()
        && let Some(tactic) = tactic
    {
        let mut attack = Attributes::of(&object::ATTACK);
        attack.set(attr::TACTIC, tactic);
        attacks.push(attack);
    }
    attacks
}

fn analytic<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let source = record.take_str("detectionSource");
    let policy = record.peek_str("alertPolicyId").is_some();
    let kind = match source {
        Some("customDetection" | "scheduledAlerts" | "nrtAlerts") => 1,
        Some("builtInMl") => 4,
        _ if policy => 1,
        _ => 0,
    };
    let uid = record.take_str("detectorId").or_else(|| record.take_str("alertPolicyId"));
    findings::analytic(kind, uid, source)
}

/// The comments, newest first; the list with authors and times stays in `unmapped`.
fn comments<'r>(record: &'r Object<'r>) -> String {
    let comments = record.items("comments").iter().filter_map(Node::as_object);
    let mut comments: Vec<(i64, &str)> = comments
        .filter_map(|c| {
            let time = c.peek_str("createdDateTime").and_then(times::parse).unwrap_or_default();
            Some((time, c.peek_str("comment")?))
        })
        .collect();
    comments.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    comments.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n")
}

/// Evidence, and the resources and malware that it names.
fn write_evidence<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let (mut evidences, mut resources, mut malware) = (Vec::new(), distinct::values(), distinct::values());
    let threat = record.take_str("threatDisplayName").or_else(|| record.take_str("threatFamilyName"));
    threat.map(findings::malware).and_then(Present::present).into_iter().for_each(|threat| malware.add(threat));
    for item in record.items("evidence").iter().filter_map(Node::as_object) {
        let found = evidence::read(context, item);
        evidences.extend(found.evidence);
        found.resource.and_then(Present::present).into_iter().for_each(|resource| resources.add(resource));
        found.malware.and_then(Present::present).into_iter().for_each(|one| malware.add(one));
    }
    event.set(attr::EVIDENCES, evidences);
    event.set(attr::RESOURCES, resources.into_items());
    event.set(attr::MALWARE, malware.into_items());
}
