//! Defender for Office 365: verdicts on mail (record type 28), clicks on protected links (41) and files found bad (47). OCSF Email
//! Activity and Detection Finding.
//!
//! Invariant: the words of a verdict are kept as they are; a number becomes a word only by Microsoft's published list.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event, attr, object},
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
pub fn map_mail<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let from = record.peek_str("P2Sender").and_then(findings::mail_address);
    let to = findings::take_addresses(record, "Recipients");
    if from.is_none() && to.is_empty() {
        return generic::map(context, record);
    }
    let mut event = context.event();
    let mut email = Attributes::of(&object::EMAIL);
    findings::write_from(&mut email, record.take_str("P2Sender"));
    email.set(attr::TO, to.clone());
    email.set(
        attr::RETURN_PATH,
        record.take_if("P1Sender", |n| n.as_str().map(str::trim).filter(|t| users::is_email(t))),
    );
    email.set(attr::SUBJECT, record.take_str("Subject"));
    email.set(attr::MESSAGE_UID, record.take_str("InternetMessageId"));
    let network_id = record.take_str("NetworkMessageId");
    email.set(attr::UID, network_id);
    event.set(attr::MESSAGE_TRACE_UID, network_id);
    let (files, mut malware) = attachments(record);
    email.set(attr::FILES, files);
    event.set(attr::FROM, email.get(attr::RETURN_PATH).or_else(|| email.get(attr::FROM)).cloned());
    event.set(attr::TO, to);
    event.set(attr::EMAIL, email);
    let direction = record.take_str("Directionality").unwrap_or_default();
    let direction_id = match direction.to_ascii_lowercase().as_str() {
        "inbound" => 1,
        "outbound" => 2,
        "intraorg" | "intra-org" => 3,
        "" | "unknown" => 0,
        _ => 99,
    };
    event.set_enum(attr::DIRECTION_ID, direction_id, Some(direction));
    event.set(attr::SRC_ENDPOINT, addresses::source(record));
    event.set(attr::ACTOR, service_actor(record));
    event.set(attr::EMAIL_AUTH, authentication(record));

    let verdict = record.peek_str("Verdict").unwrap_or_default();
    if malware.is_empty() && !verdict.is_empty() && !is_clean(verdict) {
        malware.push(findings::threat(verdict));
    }
    event.set(attr::MALWARE, malware);
    write_policy(context, &mut event, record);
    event.set(attr::STATUS_DETAIL, delivery(record));
    event.set(attr::START_TIME, record.take_if("MessageTime", |n| times::parse(n.as_str()?)));
    event.set(attr::IS_ALERT, true);
    event.set_severity(severity(verdict, record.peek_str("PhishConfidenceLevel")));
    record.take_same("ObjectId", &[network_id]);
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
fn attachments<'r>(record: &'r Object<'r>) -> (Vec<Attributes<'r>>, Vec<Attributes<'r>>) {
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
fn described_file<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut file = findings::file(item.take_str("FileName"), None);
    if file.is_empty() {
        return file;
    }
    let hash = item.take_if("SHA256", |n| findings::hash(SHA256, n.as_str()));
    file.set(attr::HASHES, hash.into_iter().collect::<Vec<_>>());
    file.set(attr::SIZE, item.take_int("FileSize"));
    file
}

/// The malware of a file whose verdict is Bad (1).
fn bad_file<'r>(item: &'r Object<'r>) -> Option<Attributes<'r>> {
    let verdict = item.peek("FileVerdict")?.to_text()?;
    if verdict != "1" && !verdict.eq_ignore_ascii_case("bad") {
        return None;
    }
    let malware = findings::malware(item.take_str("MalwareFamily")?);
    Some(malware).filter(|m| !m.is_empty())
}

/// `AuthDetails`: SPF, DKIM, DMARC. Composite authentication stays.
fn authentication<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let details = record.pairs("AuthDetails");
    let mut authentication = Attributes::of(&object::EMAIL_AUTH);
    for (attribute, name) in [(attr::SPF, "SPF"), (attr::DKIM, "DKIM"), (attr::DMARC, "DMARC")] {
        authentication.set(attribute, details.take_str(name));
    }
    authentication
}

/// The policy that decided, and what it did; without an action, how the message was delivered.
fn write_policy<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let action = record.peek("PolicyAction").and_then(Node::to_text);
    let mut policy = Attributes::of(&object::POLICY);
    if let Some(word) = record.take_text("Policy") {
        let number = word.parse::<i64>().ok();
        let known = number.and_then(|n| POLICIES.iter().find(|(number, _)| *number == n));
        policy.set(attr::UID, number.map(|n| n.to_string()));
        policy.set(attr::NAME, known.map_or(word, |(_, name)| (*name).into()));
        policy.set(attr::TYPE, "Threat policy");
        // OCSF has one disposition for several actions.
        let members = ["PolicyAction", "Verdict", "DetectionType", "DetectionMethod", "ThreatsAndDetectionTech"];
        policy.set(attr::DATA, web_resource::take_members(context, record, &members));
    }
    event.set(attr::POLICY, policy);
    if let Some(word) = action {
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
fn delivery<'r>(record: &'r Object<'r>) -> String {
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
fn service_actor<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let named = record.peek_str("UserId").is_some_and(|id| !users::is_nobody(id));
    if named { users::actor(record) } else { Attributes::of(&object::ACTOR) }
}

/// A click on a protected link, of record type 41.
pub fn map_click<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
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
    finding.set(attr::FIRST_SEEN_TIME, clicked);
    event.set(attr::FINDING_INFO, finding);
    event.set(attr::START_TIME, clicked);
    event.set_severity(severity);
    findings::write_disposition(&mut event, decision, "");
    let mut evidence = Attributes::of(&object::EVIDENCES);
    evidence.set(attr::NAME, "URL click");
    evidence.set(attr::URL, record.take_str("URL").or_else(|| record.take_str("Url")).map(findings::url));
    let mut actor = users::actor(record);
    if !actor.has(attr::APP_NAME) {
        actor.set(attr::APP_NAME, record.take_str("AppName"));
    }
    if let Some(address) = actor.get(attr::USER).and_then(|u| u.get(attr::EMAIL_ADDR)).cloned() {
        let mut email = Attributes::of(&object::EMAIL);
        email.set(attr::TO, vec![address]);
        email.set(attr::UID, record.take_str("SourceId"));
        evidence.set(attr::EMAIL, email);
    }
    evidence.set(attr::USER, actor.get(attr::USER).cloned());
    evidence.set(attr::SRC_ENDPOINT, addresses::source(record));
    event.set(attr::ACTOR, actor);
    event.set(attr::EVIDENCES, vec![evidence]);
    event.set_enum(attr::STATUS_ID, 1, None);
    event.set(attr::IS_ALERT, true);
    vec![event]
}

/// A file that SharePoint, OneDrive or Teams found bad, of record type 47.
pub fn map_file<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let (Some(uid), Some(data)) = (context.id(), record.object("FileData")) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let name = data.peek_str("FileName").unwrap_or("a file");
    let method = record.take_str("DetectionMethod");
    let mut finding = finding(context, uid, format!("{}: {name}", method.unwrap_or(context.operation)), "");
    finding.set(attr::ANALYTIC, findings::analytic(0, None::<&str>, method));
    let detected = record.take_if("DetectionDate", |n| times::parse(n.as_str()?));
    finding.set(attr::FIRST_SEEN_TIME, detected);
    finding.set(attr::SRC_URL, record.take_str("EventDeepLink"));
    event.set(attr::FINDING_INFO, finding);
    let malware = bad_file(data);
    event.set_severity(if malware.is_some() { 4 } else { 1 });
    event.set(attr::MALWARE, malware.into_iter().collect::<Vec<_>>());
    let document = findings::resource("Document", data.take_str("DocumentId"), data.peek_str("FileName"), 3);
    event.set(attr::RESOURCES, vec![document]);
    let mut file = described_file(data);
    if !file.is_empty() {
        // Files of these services have a URL for a path.
        if let Some(path) = data.take_str("FilePath") {
            if path.contains("://") {
                file.set(attr::URL, findings::url(path));
            } else {
                file.set(attr::PATH, path);
            }
        }
        file.set(attr::MODIFIED_TIME, record.take_if("LastModifiedDate", |n| times::parse(n.as_str()?)));
    }
    let mut evidence = Attributes::of(&object::EVIDENCES);
    evidence.set(attr::FILE, file);
    let mut editor = Attributes::of(&object::ACTOR);
    editor.set(attr::USER, findings::user(users::take_real(record, "LastModifiedBy")));
    evidence.set(attr::ACTOR, editor);
    if !evidence.is_empty() {
        evidence.set(attr::NAME, "File");
    }
    event.set(attr::EVIDENCES, vec![evidence]);
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
        let mut feature = Attributes::of(&object::FEATURE);
        feature.set(attr::NAME, workload);
        feature.set(attr::UID, context.record_type.map(|t| t.text));
        let mut product = Attributes::of(&object::PRODUCT);
        product.set(attr::NAME, context.product());
        product.set(attr::VENDOR_NAME, "Microsoft");
        product.set(attr::FEATURE, feature);
        event.metadata().set(attr::PRODUCT, product);
    }
    event.set(attr::ACTOR, service_actor(record));
    event.set_enum(attr::STATUS_ID, 1, None);
    event.set(attr::IS_ALERT, true);
    vec![event]
}

/// A finding of Defender for Office 365.
fn finding<'r>(context: &Context<'r>, uid: &'r str, title: String, analytic: &'r str) -> Attributes<'r> {
    let mut finding = Attributes::of(&object::FINDING_INFO);
    finding.set(attr::UID, uid);
    finding.set(attr::TITLE, title);
    finding.set(attr::CREATED_TIME, context.time());
    finding.set(attr::ANALYTIC, findings::analytic(0, None::<&str>, analytic));
    let mut product = Attributes::of(&object::PRODUCT);
    product.set(attr::NAME, context.product());
    product.set(attr::VENDOR_NAME, "Microsoft");
    finding.set(attr::PRODUCT, product);
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
