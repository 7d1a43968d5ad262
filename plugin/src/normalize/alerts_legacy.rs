//! Alerts of Microsoft Graph's first version, `security/alerts` (retired). OCSF Detection Finding.
//!
//! Invariant: each of the alert's lists of states becomes evidence entry by entry, named after its list; what an entry says beyond OCSF's
//! objects is the evidence's `data`.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event, attr, object},
    evidence,
    findings::{self, take_texts},
    record::{Node, Object},
    times,
    users::{self, Person},
};

/// An alert (Microsoft Graph: resource type alert).
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let created = take_time(record, "createdDateTime");
    let changed = take_time(record, "lastModifiedDateTime");
    let happened = take_time(record, "eventDateTime");
    let last = take_time(record, "lastEventDateTime");
    let updated = created.zip(changed).is_some_and(|(created, changed)| changed - created > 60_000);
    let by_time = if updated { 2 } else { 1 };
    let (status, activity) = match record.peek_str("status") {
        Some("newAlert") => (1, by_time),
        Some("inProgress") => (2, 2),
        Some("resolved") => (4, 3),
        Some("dismissed") => (3, 3),
        _ => (0, by_time),
    };
    if status != 0 {
        record.take("status");
    }
    let mut event = Event::new(2004, activity, context.operation);
    event.set_enum(attr::STATUS_ID, status, None);
    event.set(attr::IS_ALERT, true);
    findings::take_severity(&mut event, record, "severity");
    event.set(attr::CONFIDENCE_SCORE, record.take_if("confidence", |n| n.to_int().filter(|c| (0..=100).contains(c))));
    event.set(attr::TIME, changed.or(created).or(happened));
    if changed.is_some() {
        event.metadata().set(attr::ORIGINAL_TIME, record.peek_str("lastModifiedDateTime"));
    }
    let verdict = match record.peek_str("feedback") {
        Some("truePositive") => 2,
        Some("falsePositive") => 1,
        Some("benignPositive") => 5,
        _ => 0,
    };
    if verdict != 0 {
        record.take("feedback");
        event.set_enum(attr::VERDICT_ID, verdict, None);
    }
    write_product(context, &mut event, record);

    let mut finding = Attributes::of(&object::FINDING_INFO);
    // The envelope took the id, which the record's schema makes sure of.
    finding.set(attr::UID, record.peek_str("id"));
    finding.set(attr::UID_ALT, first_alone(record, "detectionIds"));
    let title = record.take_str("title");
    finding.set(attr::TITLE, title);
    finding.set(attr::DESC, record.take_str("description"));
    finding.set(attr::TYPES, record.take_str("category").into_iter().collect::<Vec<_>>());
    finding.set(attr::CREATED_TIME, created.or(happened));
    finding.set(attr::MODIFIED_TIME, changed);
    finding.set(attr::FIRST_SEEN_TIME, happened);
    finding.set(attr::LAST_SEEN_TIME, last);
    let tags: Vec<Attributes<'r>> = take_texts(record, "tags").into_iter().map(|t| findings::tag("tag", t)).collect();
    finding.set(attr::TAGS, tags);
    let related = take_texts(record, "incidentIds").into_iter().map(|uid| {
        let mut related = Attributes::of(&object::RELATED_EVENT);
        related.set(attr::UID, uid);
        related.set(attr::TYPE, "Incident");
        related
    });
    finding.set(attr::RELATED_EVENTS, related.collect::<Vec<_>>());
    event.set(attr::FINDING_INFO, finding);

    event.set(attr::START_TIME, happened);
    event.set(attr::END_TIME, take_time(record, "closedDateTime").or(last));
    if let Some(name) = users::take_real(record, "assignedTo") {
        event.set(attr::ASSIGNEE, findings::user(Some(name)));
    }
    event.set(attr::COMMENT, take_texts(record, "comments").join("\n"));
    let mut remediation = Attributes::of(&object::REMEDIATION);
    remediation.set(attr::DESC, take_texts(record, "recommendedActions").join("\n"));
    event.set(attr::REMEDIATION, remediation);
    event.set(attr::SRC_URL, first_alone(record, "sourceMaterials"));
    event.set(attr::EVIDENCES, evidences(context, record));
    event.set(attr::RESOURCES, resources(record));
    write_malware(&mut event, record);
    vec![event]
}

fn take_time<'r>(record: &'r Object<'r>, name: &'r str) -> Option<i64> {
    record.take_if(name, |n| times::parse(n.as_str()?))
}

/// The first text of a list, which is taken if there is no second.
fn first_alone<'r>(record: &'r Object<'r>, name: &'r str) -> Option<&'r str> {
    let items = record.items(name);
    let first = items.first()?.as_str()?;
    if items.len() == 1 {
        record.take(name);
    }
    Some(first)
}

/// `vendorInformation`.
fn write_product<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let Some(vendor) = record.object("vendorInformation") else { return };
    let Some(name) = vendor.take_str("provider") else { return };
    let mut product = Attributes::of(&object::PRODUCT);
    product.set(attr::NAME, name);
    product.set(attr::VENDOR_NAME, vendor.take_str("vendor").unwrap_or("Microsoft"));
    product.set(attr::VERSION, vendor.take_str("providerVersion"));
    let mut feature = Attributes::of(&object::FEATURE);
    feature.set(attr::NAME, vendor.take_str("subProvider"));
    product.set(attr::FEATURE, feature);
    event.metadata().set(attr::PRODUCT, product);
    let mut api = context.api(None);
    let mut service = Attributes::of(&object::SERVICE);
    service.set(attr::NAME, name);
    api.set(attr::SERVICE, service);
    event.set(attr::API, api);
}

/// How an entry of a list of states is read.
type Reader<'r> = fn(&mut Attributes<'r>, &'r Object<'r>);

fn evidences<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Attributes<'r>> {
    let lists: [(&str, Reader<'r>); 7] = [
        ("userStates", user_state),
        ("hostStates", host_state),
        ("fileStates", file_state),
        ("processes", process),
        ("networkConnections", connection),
        ("registryKeyStates", registry_key),
        ("uriClickSecurityStates", click),
    ];
    let mut evidences = Vec::new();
    for (list, read) in lists {
        for item in record.items(list).iter().filter_map(Node::as_object) {
            let mut evidence = Attributes::of(&object::EVIDENCES);
            read(&mut evidence, item);
            evidence.set(attr::DATA, context.take_rest(list, item));
            if !evidence.is_empty() {
                evidence.set(attr::NAME, list);
                evidences.push(evidence);
            }
        }
    }
    // A message has an address only in the users beside it, so all of it is data.
    for item in record.items("messageSecurityStates").iter().filter_map(Node::as_object) {
        let mut evidence = Attributes::of(&object::EVIDENCES);
        evidence.set(attr::SRC_ENDPOINT, endpoint(item, "connectingIP"));
        evidence.set(attr::DATA, context.take_rest("messageSecurityStates", item));
        if !evidence.is_empty() {
            evidence.set(attr::NAME, "messageSecurityStates");
            evidences.push(evidence);
        }
    }
    evidences
}

fn endpoint<'r>(item: &'r Object<'r>, name: &'r str) -> Option<Attributes<'r>> {
    item.take_if(name, |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()))
}

fn user_state<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let mut person = Person::default();
    let upn = users::take_real(item, "userPrincipalName");
    let named = upn.is_some_and(|upn| person.read_name(upn));
    if !named && let Some(name) = users::take_real(item, "accountName") {
        person.read_name(name);
        person.domain = item.take_str("domainName");
    }
    let guid = item.take_if("aadUserId", |n| n.as_str().filter(|t| users::is_guid(t)));
    person.uid = guid.or(person.uid);
    let sid = item.take_if("onPremisesSecurityIdentifier", |n| n.as_str().filter(|t| users::is_sid(t)));
    person.uid_alt = sid;
    if person.is_empty() {
        person.uid = person.uid_alt.take();
    }
    evidence.set(attr::USER, person.user());
    if let Some(mut source) = endpoint(item, "logonIp") {
        source.set(attr::LOCATION, item.take_if("logonLocation", location));
        evidence.set(attr::SRC_ENDPOINT, source);
    }
}

/// `City, Country` or `City, Region, Country`; a single part is the country.
fn location<'r>(place: &'r Node<'r>) -> Option<Attributes<'r>> {
    let mut location = Attributes::of(&object::LOCATION);
    let mut parts = place.as_str()?.split(',').map(str::trim).filter(|p| !p.is_empty());
    location.set(attr::COUNTRY, parts.next_back());
    location.set(attr::CITY, parts.next());
    location.set(attr::REGION, parts.next());
    (parts.next().is_none() && !location.is_empty()).then_some(location)
}

fn host_state<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let mut device = Attributes::of(&object::DEVICE);
    device.set(attr::HOSTNAME, item.take_str("fqdn").or_else(|| item.take_str("netBiosName")));
    let ip = |name: &str| item.take_if(name, |n| addresses::ip(n.as_str()?)).map(|ip| ip.to_string());
    device.set(attr::IP, ip("privateIpAddress").or_else(|| ip("publicIpAddress")));
    if device.is_empty() {
        return;
    }
    device.set_enum(attr::TYPE_ID, 0, None);
    evidence::write_system(&mut device, item.take_str("os"), None);
    evidence.set(attr::DEVICE, device);
}

/// `fileHash`, with its type.
fn hashes<'r>(item: &'r Object<'r>) -> Vec<Attributes<'r>> {
    let Some(hash) = item.object("fileHash") else { return Vec::new() };
    let algorithm = hash.peek_str("hashType").and_then(findings::algorithm);
    let found = algorithm.and_then(|a| hash.take_if("hashValue", |n| findings::hash(a, n.as_str())));
    if found.is_some() {
        hash.take("hashType");
    }
    found.into_iter().collect()
}

fn named_file<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let name = item.take_str("name");
    let mut file = match name {
        Some(name) => findings::file(Some(name), item.take_str("path")),
        None => findings::file_of_path(item.take_str("path")),
    };
    if !file.is_empty() {
        file.set(attr::HASHES, hashes(item));
    }
    file
}

fn file_state<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    evidence.set(attr::FILE, named_file(item));
}

fn process<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let file = named_file(item);
    let Some(pid) = item.take_int("processId") else {
        evidence.set(attr::FILE, file);
        return;
    };
    let mut process = Attributes::of(&object::PROCESS);
    process.set(attr::PID, pid);
    process.set(attr::FILE, file);
    process.set(attr::CMD_LINE, item.take_str("commandLine"));
    process.set(attr::CREATED_TIME, take_time(item, "createdDateTime"));
    process.set(attr::USER, findings::user(users::take_real(item, "accountName")));
    if let Some(pid) = item.take_int("parentProcessId") {
        let mut parent = Attributes::of(&object::PROCESS);
        parent.set(attr::PID, pid);
        parent.set(attr::CREATED_TIME, take_time(item, "parentProcessCreatedDateTime"));
        parent.set(attr::FILE, findings::file(item.take_str("parentProcessName"), None));
        process.set(attr::PARENT_PROCESS, parent);
    }
    evidence.set(attr::PROCESS, process);
}

fn connection<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let port = |name: &str| item.take_if(name, |n| n.to_int().filter(|p| (0..=65_535).contains(p)));
    if let Some(mut source) = endpoint(item, "sourceAddress") {
        source.set(attr::PORT, port("sourcePort"));
        source.set(attr::LOCATION, item.take_if("sourceLocation", location));
        evidence.set(attr::SRC_ENDPOINT, source);
    }
    let target = endpoint(item, "destinationAddress").or_else(|| endpoint(item, "destinationDomain"));
    if let Some(mut target) = target {
        target.set(attr::PORT, port("destinationPort"));
        target.set(attr::LOCATION, item.take_if("destinationLocation", location));
        evidence.set(attr::DST_ENDPOINT, target);
    }
    evidence.set(attr::URL, item.take_str("destinationUrl").map(findings::url));
    let mut connection = Attributes::of(&object::NETWORK_CONNECTION_INFO);
    connection.set(attr::PROTOCOL_NAME, item.take_str("protocol"));
    let direction = match item.peek_str("direction") {
        Some("inbound") => 1,
        Some("outbound") => 2,
        _ => 0,
    };
    if direction != 0 {
        item.take("direction");
    }
    if !connection.is_empty() || direction != 0 {
        connection.set_enum(attr::DIRECTION_ID, direction, None);
        evidence.set(attr::CONNECTION_INFO, connection);
    }
}

fn registry_key<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let mut key = Attributes::of(&object::WIN_REG_KEY);
    key.set(attr::PATH, item.take_str("key"));
    evidence.set(attr::REG_KEY, key);
}

fn click<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    evidence.set(attr::URL, item.take_str("uriDomain").map(findings::url));
}

/// Cloud applications and the resources that were attacked or are related.
fn resources<'r>(record: &'r Object<'r>) -> Vec<Attributes<'r>> {
    let mut resources = Vec::new();
    for app in record.items("cloudAppStates").iter().filter_map(Node::as_object) {
        let name = app.take_str("destinationServiceName");
        resources.push(findings::resource("Cloud application", None::<&str>, name, 4));
    }
    for item in record.items("securityResources").iter().filter_map(Node::as_object) {
        let role = match item.peek_str("resourceType") {
            Some("attacked") => 3,
            Some("related") => 4,
            _ => 0,
        };
        let uid = item.take_str("resource");
        if uid.is_some() && role != 0 {
            item.take("resourceType");
        }
        let name = uid.and_then(|uid| uid.rsplit('/').next());
        resources.push(findings::resource("Resource", uid, name, role));
    }
    resources
}

fn write_malware<'r>(event: &mut Event<'r>, record: &'r Object<'r>) {
    let mut malware = Vec::new();
    for state in record.items("malwareStates").iter().filter_map(Node::as_object) {
        malware.extend(state.take_str("name").or_else(|| state.take_str("family")).map(findings::malware));
    }
    event.set(attr::MALWARE, malware);
    let mut vulnerabilities = Vec::new();
    for state in record.items("vulnerabilityStates").iter().filter_map(Node::as_object) {
        if let Some(uid) = state.take_str("cve") {
            let mut cve = Attributes::of(&object::CVE);
            cve.set(attr::UID, uid);
            let mut vulnerability = Attributes::of(&object::VULNERABILITY);
            vulnerability.set(attr::CVE, cve);
            vulnerabilities.push(vulnerability);
        }
    }
    event.set(attr::VULNERABILITIES, vulnerabilities);
}
