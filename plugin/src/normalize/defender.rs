//! Defender for Office 365: verdicts on mail (record type 28), clicks on protected links (41) and files found bad (47). OCSF Email
//! Activity and Detection Finding.
//!
//! Invariant: the words of a verdict are kept as they are; a number becomes a word only by Microsoft's published list.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event},
    findings::{self, SHA256},
    generic,
    record::{Node, Object},
    times, users, web_resource,
};

/// What the policies of `TIMailData` are called, by number (Microsoft: Management Activity API, policy type and action type).
const POLICIES: [(i64, &str); 16] = [
    (1, "Anti-spam, HSPM"),
    (2, "Anti-spam, SPM"),
    (3, "Anti-spam, Bulk"),
    (4, "Anti-spam, PHSH"),
    (5, "Anti-phish, DIMP"),
    (6, "Anti-phish, UIMP"),
    (7, "Anti-phish, SPOOF"),
    (8, "Anti-phish, GIMP"),
    (9, "Anti-malware, AMP"),
    (10, "Safe attachment, SAP"),
    (11, "Exchange transport rule, ETR"),
    (12, "Anti-malware, ZAPM"),
    (13, "Anti-phish, ZAPP"),
    (14, "Anti-phish, ZAPS"),
    (15, "Anti-spam, High confidence phish email (HPHISH)"),
    (17, "Anti-spam, Outbound spam policy (OSPM)"),
];

/// What the actions of a policy are called, by number, and the OCSF action and disposition of each.
const ACTIONS: [(i64, &str, (i64, i64)); 9] = [
    (0, "MoveToJMF", (4, 99)),
    (1, "AddXHeader", (4, 99)),
    (2, "ModifySubject", (4, 99)),
    (3, "Redirect", (4, 99)),
    (4, "Delete", (2, 5)),
    (5, "Quarantine", (2, 3)),
    (6, "NoAction", (1, 16)),
    (7, "BccMessage", (1, 16)),
    (8, "ReplaceAttachment", (4, 99)),
];

/// The verdict on a message, of record type 28. Without an address of sender or recipient there is no email to speak of.
pub fn map_mail(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let from = record.peek_str("P2Sender").and_then(findings::mail_address);
    let mut to: Vec<&str> = record.items("Recipients").iter().filter_map(Node::as_str).map(str::trim).collect();
    let recipients = to.len();
    to.retain(|address| users::is_email(address));
    if from.is_none() && to.is_empty() {
        return generic::map(context, record);
    }
    let mut event = context.event();
    if to.len() == recipients {
        record.take("Recipients");
    }
    let mut email = Attributes::of("email");
    findings::write_from(&mut email, record.take_str("P2Sender"));
    email.set("to", to.clone());
    email.set("return_path", record.take_if("P1Sender", |n| n.as_str().map(str::trim).filter(|t| users::is_email(t))));
    email.set("subject", record.take_str("Subject"));
    email.set("message_uid", record.take_str("InternetMessageId"));
    let network_id = record.take_str("NetworkMessageId");
    email.set("uid", network_id);
    event.set("message_trace_uid", network_id);
    let (files, mut malware) = attachments(record);
    email.set("files", files);
    event.set("from", email.get("return_path").or_else(|| email.get("from")).cloned());
    event.set("to", to);
    event.set("email", email);
    let direction = record.take_str("Directionality").unwrap_or_default();
    let direction_id = match direction.to_ascii_lowercase().as_str() {
        "inbound" => 1,
        "outbound" => 2,
        "intraorg" | "intra-org" => 3,
        "" | "unknown" => 0,
        _ => 99,
    };
    event.set_enum("direction_id", direction_id, Some(direction));
    event.set("src_endpoint", addresses::source(record));
    event.set("actor", service_actor(record));
    event.set("email_auth", authentication(record));

    let verdict = record.peek_str("Verdict").unwrap_or_default();
    if malware.is_empty() && !verdict.is_empty() && !is_clean(verdict) {
        malware.push(findings::threat(verdict));
    }
    event.set("malware", malware);
    write_policy(context, &mut event, record);
    event.set("status_detail", delivery(record));
    event.set("start_time", record.take_if("MessageTime", |n| times::parse(n.as_str()?)));
    event.set("is_alert", true);
    event.set_severity(severity(verdict, record.peek_str("PhishConfidenceLevel")));
    let same = record.peek_str("ObjectId").is_some_and(|id| Some(id) == network_id);
    if same {
        record.take("ObjectId");
    }
    vec![event]
}

fn is_clean(verdict: &str) -> bool {
    ["good", "none", "notspam", "not spam", "no threats found"].iter().any(|w| verdict.eq_ignore_ascii_case(w))
}

/// 4 for malware and high-confidence phish, 3 for phish, 2 for spam, else 1.
fn severity(verdict: &str, confidence: Option<&str>) -> i64 {
    let verdict = verdict.to_ascii_lowercase();
    let sure = confidence.is_some_and(|c| c.eq_ignore_ascii_case("high")) || verdict.contains("high");
    if verdict.contains("malware") || (verdict.contains("phish") && sure) {
        4
    } else if verdict.contains("phish") {
        3
    } else if verdict.contains("spam") || verdict.contains("bulk") {
        2
    } else {
        1
    }
}

/// The attachments, and the malware that bad ones are.
fn attachments(record: &Object<'_>) -> (Vec<Attributes>, Vec<Attributes>) {
    let (mut files, mut malware) = (Vec::new(), Vec::new());
    for item in record.items("AttachmentData").iter().filter_map(Node::as_object) {
        let file = described_file(item);
        if let Some(found) = bad_file(item) {
            malware.push(found);
        }
        if !file.is_empty() {
            files.push(file);
        }
    }
    (files, malware)
}

/// `AttachmentData` and `FileData`.
fn described_file(item: &Object<'_>) -> Attributes {
    let mut file = findings::file(item.take_str("FileName"), None);
    if file.is_empty() {
        return file;
    }
    let hash = item.take_if("SHA256", |n| findings::hash(SHA256, n.as_str()));
    file.set("hashes", hash.into_iter().collect::<Vec<_>>());
    file.set("size", item.take_int("FileSize"));
    file
}

/// The malware of a file whose verdict is Bad (1).
fn bad_file(item: &Object<'_>) -> Option<Attributes> {
    let verdict = item.peek("FileVerdict")?.to_text()?;
    if verdict != "1" && !verdict.eq_ignore_ascii_case("bad") {
        return None;
    }
    let malware = findings::malware(item.take_str("MalwareFamily")?);
    Some(malware).filter(|m| !m.is_empty())
}

/// `AuthDetails`: SPF, DKIM, DMARC. Composite authentication stays.
fn authentication(record: &Object<'_>) -> Attributes {
    let details = record.pairs("AuthDetails");
    let mut authentication = Attributes::of("email_auth");
    for (attribute, name) in [("spf", "SPF"), ("dkim", "DKIM"), ("dmarc", "DMARC")] {
        authentication.set(attribute, details.take_str(name));
    }
    authentication
}

/// The policy that decided, and what it did; without an action, how the message was delivered.
fn write_policy(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    let mut policy = Attributes::of("policy");
    if let Some(word) = record.take_text("Policy") {
        let number = word.parse::<i64>().ok();
        let known = number.and_then(|n| POLICIES.iter().find(|(number, _)| *number == n));
        policy.set("uid", number.map(|n| n.to_string()));
        policy.set("name", known.map_or(word.as_ref(), |(_, name)| name));
        policy.set("type", "Threat policy");
        let members = ["Verdict", "DetectionType", "DetectionMethod", "ThreatsAndDetectionTech"];
        policy.set("data", serde_json::Value::Object(web_resource::take_members(context, record, &members)));
    }
    event.set("policy", policy);
    if let Some(word) = record.take_text("PolicyAction") {
        let number = word.parse::<i64>().ok();
        let known = ACTIONS.iter().find(|(n, name, _)| number == Some(*n) || name.eq_ignore_ascii_case(&word));
        match known {
            Some((_, name, decision)) => findings::write_disposition(event, *decision, name),
            None => findings::write_disposition(event, (99, 99), &word),
        }
        return;
    }
    let delivered = record.peek_str("DeliveryAction").unwrap_or_default();
    match delivered.to_ascii_lowercase().as_str() {
        "" => {}
        "delivered" => findings::write_disposition(event, (1, 1), delivered),
        "blocked" => findings::write_disposition(event, (2, 2), delivered),
        _ => findings::write_disposition(event, (4, 99), delivered),
    }
}

/// What became of the message, in one line: `Delivered, Inbox, then Quarantine`.
fn delivery(record: &Object<'_>) -> String {
    let action = record.take_str("DeliveryAction");
    let (first, last) = (record.take_str("OriginalDeliveryLocation"), record.take_str("LatestDeliveryLocation"));
    let mut text = String::new();
    for (join, part) in [("", action), (", ", first), (", then ", last.filter(|l| Some(*l) != first))] {
        if let Some(part) = part {
            if !text.is_empty() {
                text.push_str(join);
            }
            text.push_str(part);
        }
    }
    text
}

/// The service that logged, if the record names one.
fn service_actor(record: &Object<'_>) -> Attributes {
    let named = record.peek_str("UserId").is_some_and(|id| !users::is_nobody(id));
    if named { users::actor(record) } else { Attributes::of("actor") }
}

/// A click on a protected link, of record type 41.
pub fn map_click(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let Some(uid) = context.id() else { return generic::map(context, record) };
    let mut event = context.event();
    let (name, decision, severity) = match record.take_int("URLClickAction") {
        Some(2) => ("Blockpage", (2, 2), 3),
        Some(3) => ("PendingDetonationPage", (3, 23), 3),
        Some(4) => ("BlockPageOverride", (1, 1), 4),
        Some(5) => ("PendingDetonationPageOverride", (1, 1), 4),
        Some(_) => {
            record.put_back("URLClickAction");
            ("click", (0, 0), 3)
        }
        None => (record.peek_str("URLClickAction").unwrap_or("click"), (0, 0), 3),
    };
    let mut finding = finding(context, uid, format!("Safe Links: {name}"), "Safe Links");
    let clicked = record.take_if("TimeOfClick", |n| times::parse(n.as_str()?));
    finding.set("first_seen_time", clicked);
    event.set("finding_info", finding);
    event.set("start_time", clicked);
    event.set_severity(severity);
    findings::write_disposition(&mut event, decision, "");
    let mut evidence = Attributes::of("evidences");
    evidence.set("name", "URL click");
    evidence.set("url", record.take_str("URL").or_else(|| record.take_str("Url")).map(findings::url));
    let mut actor = users::actor(record);
    actor.set_if_absent("app_name", record.take_str("AppName"));
    if let Some(address) = actor.get("user").and_then(|u| u.get("email_addr")).cloned() {
        let mut email = Attributes::of("email");
        email.set("to", serde_json::Value::Array(vec![address]));
        email.set("uid", record.take_str("SourceId"));
        evidence.set("email", email);
    }
    evidence.set("user", actor.get("user").cloned());
    evidence.set("src_endpoint", addresses::source(record));
    event.set("actor", actor);
    event.set("evidences", vec![evidence]);
    event.set_enum("status_id", 1, None);
    event.set("is_alert", true);
    vec![event]
}

/// A file that SharePoint, OneDrive or Teams found bad, of record type 47.
pub fn map_file(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let (Some(uid), Some(data)) = (context.id(), record.object("FileData")) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let name = data.peek_str("FileName").unwrap_or("a file");
    let method = record.take_str("DetectionMethod");
    let mut finding = finding(context, uid, format!("{}: {name}", method.unwrap_or(&context.operation)), "");
    finding.set("analytic", findings::analytic(0, None::<&str>, method));
    let detected = record.take_if("DetectionDate", |n| times::parse(n.as_str()?));
    finding.set("first_seen_time", detected);
    finding.set("src_url", record.take_str("EventDeepLink"));
    event.set("finding_info", finding);
    let malware = bad_file(data);
    event.set_severity(if malware.is_some() { 4 } else { 1 });
    event.set("malware", malware.into_iter().collect::<Vec<_>>());
    let document = findings::resource("Document", data.take_str("DocumentId"), data.peek_str("FileName"), 3);
    event.set("resources", vec![document]);
    let mut file = described_file(data);
    if !file.is_empty() {
        // Files of these services have a URL for a path.
        if let Some(path) = data.take_str("FilePath") {
            if path.contains("://") {
                file.set("url", findings::url(path));
            } else {
                file.set("path", path);
            }
        }
        file.set("modified_time", record.take_if("LastModifiedDate", |n| times::parse(n.as_str()?)));
    }
    let mut evidence = Attributes::of("evidences");
    evidence.set("file", file);
    let mut editor = Attributes::of("actor");
    editor.set("user", findings::user(record.take_str("LastModifiedBy")));
    evidence.set("actor", editor);
    if !evidence.is_empty() {
        evidence.set("name", "File");
    }
    event.set("evidences", vec![evidence]);
    let workload = match record.take_int("SourceWorkload") {
        Some(0) => Some("SharePoint"),
        Some(1) => Some("OneDrive"),
        Some(2) => Some("Microsoft Teams"),
        _ => {
            record.put_back("SourceWorkload");
            None
        }
    };
    if let Some(workload) = workload {
        let mut feature = Attributes::of("feature");
        feature.set("name", workload);
        feature.set("uid", context.record_type.map(|t| t.text));
        let mut product = Attributes::of("product");
        product.set("name", context.product());
        product.set("vendor_name", "Microsoft");
        product.set("feature", feature);
        event.metadata().set("product", product);
    }
    event.set("actor", service_actor(record));
    event.set_enum("status_id", 1, None);
    event.set("is_alert", true);
    vec![event]
}

/// A finding of Defender for Office 365.
fn finding(context: &Context<'_>, uid: &str, title: String, analytic: &str) -> Attributes {
    let mut finding = Attributes::of("finding_info");
    finding.set("uid", uid);
    finding.set("title", title);
    finding.set("created_time", context.time());
    finding.set("analytic", findings::analytic(0, None::<&str>, analytic));
    let mut product = Attributes::of("product");
    product.set("name", context.product());
    product.set("vendor_name", "Microsoft");
    finding.set("product", product);
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_of_verdicts() {
        assert_eq!(severity("Malware", None), 4);
        assert_eq!(severity("Phish", Some("High")), 4);
        assert_eq!(severity("Phish", Some("Normal")), 3);
        assert_eq!(severity("Spam", None), 2);
        assert_eq!(severity("", None), 1);
    }

    #[test]
    fn lists_are_sorted_by_number() {
        assert!(POLICIES.is_sorted_by_key(|(n, _)| *n));
        assert!(ACTIONS.is_sorted_by_key(|(n, ..)| *n));
    }
}
