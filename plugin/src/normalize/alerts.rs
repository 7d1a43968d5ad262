//! Alerts of Microsoft Graph, `security/alerts_v2`. OCSF Detection Finding.
//!
//! Invariant: one event is one version of an alert, at the time of its last update; what the alert says of its state decides the activity, and
//! a version that was changed after it was created is an Update even if its state is still new.

use super::{
    context::Context,
    event::{Attributes, Event, Present},
    evidence, findings,
    record::{Node, Object},
    times, users,
};

/// A change this much later than the creation is an update: services fill an alert in several steps.
const SETTLING_MS: i64 = 60_000;

/// An alert (Microsoft Graph: resource type security.alert).
pub fn map(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let created = take_time(record, "createdDateTime");
    let changed = take_time(record, "lastUpdateDateTime");
    let (status, activity) = state(record, created, changed);
    let mut event = Event::new(2004, activity, &context.operation);
    event.set_enum("status_id", status, None);
    event.set("is_alert", true);
    findings::write_severity(&mut event, record.take_str("severity"));
    event.set("time", changed.or(created));
    if changed.is_some() {
        event.metadata().set("original_time", record.peek_str("lastUpdateDateTime"));
    }
    write_product(context, &mut event, record);
    write_verdict(&mut event, record);

    let (first, last) = (take_time(record, "firstActivityDateTime"), take_time(record, "lastActivityDateTime"));
    let mut finding = Attributes::of("finding_info");
    // The envelope took the id, which the record's schema makes sure of.
    finding.set("uid", record.peek_str("id"));
    finding.set("uid_alt", record.take_str("providerAlertId").filter(|id| Some(*id) != record.peek_str("id")));
    let title = record.take_str("title");
    finding.set("title", title);
    finding.set("desc", record.take_str("description"));
    let category = record.take_str("category");
    finding.set("types", types(record, category));
    finding.set("attacks", attacks(record, category));
    finding.set("created_time", created);
    finding.set("modified_time", changed);
    finding.set("first_seen_time", first);
    finding.set("last_seen_time", last);
    finding.set("analytic", analytic(record));
    let product = event.metadata().get("product").cloned();
    finding.set("product", product.map(without_feature));
    finding.set("src_url", record.take_str("alertWebUrl"));
    if let Some(incident) = record.take_if("incidentId", |n| n.to_text()) {
        let mut related = Attributes::of("related_event");
        related.set("uid", incident.as_ref());
        related.set("type", "Incident");
        finding.set("related_events", vec![related]);
        event.metadata().set("correlation_uid", incident);
    }
    let tags = record.items("systemTags").iter().filter_map(Node::as_str).map(|t| findings::tag("tag", t));
    let tags: Vec<Attributes> = tags.collect();
    if !tags.is_empty() {
        record.take("systemTags");
    }
    finding.set("tags", tags);
    event.set("finding_info", finding);
    event.set("message", title);

    event.set("start_time", first);
    event.set("end_time", last);
    event.set("src_url", record.take_str("incidentWebUrl"));
    let mut remediation = Attributes::of("remediation");
    remediation.set("desc", record.take_str("recommendedActions"));
    event.set("remediation", remediation);
    if let Some(name) = record.take_str("assignedTo").filter(|name| !users::is_nobody(name)) {
        event.set("assignee", findings::user(Some(name)));
    }
    event.set("comment", comments(record));
    write_evidence(context, &mut event, record);
    vec![event]
}

fn take_time(record: &Object<'_>, name: &str) -> Option<i64> {
    record.take_if(name, |n| times::parse(n.as_str()?))
}

/// `status_id` and `activity_id`.
fn state(record: &Object<'_>, created: Option<i64>, changed: Option<i64>) -> (i64, i64) {
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
fn write_product(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    let name = record.take_str("productName").or_else(|| {
        let known = record.peek_str("serviceSource").and_then(service_name)?;
        record.take("serviceSource");
        Some(known)
    });
    let name = name.unwrap_or_else(|| context.product()).to_owned();
    let mut product = Attributes::of("product");
    product.set("name", name.as_str());
    product.set("vendor_name", "Microsoft");
    let mut feature = Attributes::of("feature");
    feature.set("name", record.peek_str("detectionSource"));
    product.set("feature", feature);
    event.metadata().set("product", product);
    let mut api = context.api(None);
    let mut service = Attributes::of("service");
    service.set("name", name);
    api.set("service", service);
    event.set("api", api);
}

fn without_feature(mut product: serde_json::Value) -> serde_json::Value {
    if let Some(product) = product.as_object_mut() {
        product.remove("feature");
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
fn write_verdict(event: &mut Event, record: &Object<'_>) {
    let refined = match record.peek_str("determination") {
        Some("securityTesting") => Some(6),
        Some("notEnoughDataToValidate") => Some(7),
        Some("notMalicious") => Some(5),
        _ => None,
    };
    if let Some(id) = refined {
        record.take("determination");
        event.set_enum("verdict_id", id, None);
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
    event.set_enum("verdict_id", classified, None);
}

fn types(record: &Object<'_>, category: Option<&str>) -> Vec<String> {
    let mut types: Vec<String> = category.map(str::to_owned).into_iter().collect();
    for one in record.items("categories").iter().filter_map(Node::as_str) {
        if !types.iter().any(|t| t == one) {
            types.push(one.to_owned());
        }
    }
    record.take("categories");
    types
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
fn attacks(record: &Object<'_>, category: Option<&str>) -> Vec<Attributes> {
    let tactic = category.and_then(|c| TACTICS.iter().find(|(name, _)| *name == c)).map(|(_, name)| {
        let mut tactic = Attributes::of("tactic");
        tactic.set("name", *name);
        tactic
    });
    let named = |object, uid: &str| {
        let mut named = Attributes::of(object);
        named.set("uid", uid);
        named
    };
    let mut attacks = Vec::new();
    for technique in record.items("mitreTechniques").iter().filter_map(Node::as_str).map(str::trim) {
        let mut attack = Attributes::of("attack");
        let whole = technique.split('.').next().unwrap_or_default();
        attack.set("technique", named("technique", whole));
        if whole != technique {
            attack.set("sub_technique", named("sub_technique", technique));
        }
        if !attack.is_empty() {
            attack.set("tactic", tactic.clone());
            attacks.push(attack);
        }
    }
    record.take("mitreTechniques");
    if attacks.is_empty()
        && let Some(tactic) = tactic
    {
        let mut attack = Attributes::of("attack");
        attack.set("tactic", tactic);
        attacks.push(attack);
    }
    attacks
}

fn analytic(record: &Object<'_>) -> Attributes {
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
fn comments(record: &Object<'_>) -> String {
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
fn write_evidence(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    let (mut evidences, mut resources, mut malware) = (Vec::new(), Vec::<serde_json::Value>::new(), Vec::new());
    let threat = record.take_str("threatDisplayName").or_else(|| record.take_str("threatFamilyName"));
    malware.extend(threat.map(findings::malware).and_then(Present::present));
    for item in record.items("evidence").iter().filter_map(Node::as_object) {
        let found = evidence::read(context, item);
        evidences.extend(found.evidence);
        resources.extend(found.resource.and_then(Present::present).filter(|r| !resources.contains(r)));
        malware.extend(found.malware.and_then(Present::present).filter(|m| !malware.contains(m)));
    }
    event.set("evidences", evidences);
    event.set("resources", resources);
    event.set("malware", malware);
}
