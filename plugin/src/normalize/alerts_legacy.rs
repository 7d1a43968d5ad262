//! Alerts of Microsoft Graph's first version, `security/alerts` (retired). OCSF Detection Finding.
//!
//! Invariant: each of the alert's lists of states becomes evidence entry by entry, named after its list; what an entry says beyond OCSF's
//! objects is the evidence's `data`.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event},
    evidence, findings,
    record::{Node, Object},
    times,
    users::{self, Person},
};

/// An alert (Microsoft Graph: resource type alert).
pub fn map(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
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
    let mut event = Event::new(2004, activity, &context.operation);
    event.set_enum("status_id", status, None);
    event.set("is_alert", true);
    findings::write_severity(&mut event, record.take_str("severity"));
    event.set("confidence_score", record.take_if("confidence", |n| n.to_int().filter(|c| (0..=100).contains(c))));
    event.set("time", changed.or(created).or(happened));
    if changed.is_some() {
        event.metadata().set("original_time", record.peek_str("lastModifiedDateTime"));
    }
    let verdict = match record.peek_str("feedback") {
        Some("truePositive") => 2,
        Some("falsePositive") => 1,
        Some("benignPositive") => 5,
        _ => 0,
    };
    if verdict != 0 {
        record.take("feedback");
        event.set_enum("verdict_id", verdict, None);
    }
    write_product(context, &mut event, record);

    let mut finding = Attributes::of("finding_info");
    // The envelope took the id, which the record's schema makes sure of.
    finding.set("uid", record.peek_str("id"));
    finding.set("uid_alt", first_alone(record, "detectionIds"));
    let title = record.take_str("title");
    finding.set("title", title);
    finding.set("desc", record.take_str("description"));
    finding.set("types", record.take_str("category").into_iter().collect::<Vec<_>>());
    finding.set("created_time", created.or(happened));
    finding.set("modified_time", changed);
    finding.set("first_seen_time", happened);
    finding.set("last_seen_time", last);
    let tags: Vec<Attributes> = texts(record, "tags").into_iter().map(|t| findings::tag("tag", t)).collect();
    finding.set("tags", tags);
    let related = texts(record, "incidentIds").into_iter().map(|uid| {
        let mut related = Attributes::of("related_event");
        related.set("uid", uid);
        related.set("type", "Incident");
        related
    });
    finding.set("related_events", related.collect::<Vec<_>>());
    event.set("finding_info", finding);
    event.set("message", title);

    event.set("start_time", happened);
    event.set("end_time", take_time(record, "closedDateTime").or(last));
    if let Some(name) = record.take_str("assignedTo").filter(|name| !users::is_nobody(name)) {
        event.set("assignee", findings::user(Some(name)));
    }
    event.set("comment", texts(record, "comments").join("\n"));
    let mut remediation = Attributes::of("remediation");
    remediation.set("desc", texts(record, "recommendedActions").join("\n"));
    event.set("remediation", remediation);
    event.set("src_url", first_alone(record, "sourceMaterials"));
    event.set("evidences", evidences(context, record));
    event.set("resources", resources(record));
    write_malware(&mut event, record);
    vec![event]
}

fn take_time(record: &Object<'_>, name: &str) -> Option<i64> {
    record.take_if(name, |n| times::parse(n.as_str()?))
}

/// All texts of a list, which is taken if it holds nothing else.
fn texts<'s>(record: &'s Object<'_>, name: &str) -> Vec<&'s str> {
    let items = record.items(name);
    let texts: Vec<&str> = items.iter().filter_map(Node::as_str).map(str::trim).filter(|t| !t.is_empty()).collect();
    if texts.len() == items.len() {
        record.take(name);
    }
    texts
}

/// The first text of a list, which is taken if there is no second.
fn first_alone<'s>(record: &'s Object<'_>, name: &str) -> Option<&'s str> {
    let items = record.items(name);
    let first = items.first()?.as_str()?;
    if items.len() == 1 {
        record.take(name);
    }
    Some(first)
}

/// `vendorInformation`.
fn write_product(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    let Some(vendor) = record.object("vendorInformation") else { return };
    let Some(name) = vendor.take_str("provider") else { return };
    let mut product = Attributes::of("product");
    product.set("name", name);
    product.set("vendor_name", vendor.take_str("vendor").unwrap_or("Microsoft"));
    product.set("version", vendor.take_str("providerVersion"));
    let mut feature = Attributes::of("feature");
    feature.set("name", vendor.take_str("subProvider"));
    product.set("feature", feature);
    event.metadata().set("product", product);
    let mut api = context.api(None);
    let mut service = Attributes::of("service");
    service.set("name", name);
    api.set("service", service);
    event.set("api", api);
}

/// How an entry of a list of states is read.
type Reader = fn(&mut Attributes, &Object<'_>);

const LISTS: [(&str, Reader); 7] = [
    ("userStates", user_state),
    ("hostStates", host_state),
    ("fileStates", file_state),
    ("processes", process),
    ("networkConnections", connection),
    ("registryKeyStates", registry_key),
    ("uriClickSecurityStates", click),
];

fn evidences(context: &Context<'_>, record: &Object<'_>) -> Vec<Attributes> {
    let mut evidences = Vec::new();
    for (list, read) in LISTS {
        for item in record.items(list).iter().filter_map(Node::as_object) {
            let mut evidence = Attributes::of("evidences");
            read(&mut evidence, item);
            evidence.set("data", context.take_rest(list, item));
            if !evidence.is_empty() {
                evidence.set("name", list);
                evidences.push(evidence);
            }
        }
    }
    // A message has an address only in the users beside it, so all of it is data.
    for item in record.items("messageSecurityStates").iter().filter_map(Node::as_object) {
        let mut evidence = Attributes::of("evidences");
        evidence.set("src_endpoint", endpoint(item, "connectingIP"));
        evidence.set("data", context.take_rest("messageSecurityStates", item));
        if !evidence.is_empty() {
            evidence.set("name", "messageSecurityStates");
            evidences.push(evidence);
        }
    }
    evidences
}

fn endpoint(item: &Object<'_>, name: &str) -> Option<Attributes> {
    item.take_if(name, |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()))
}

fn user_state(evidence: &mut Attributes, item: &Object<'_>) {
    let mut person = Person::default();
    let upn = item.take_str("userPrincipalName");
    let named = upn.is_some_and(|upn| person.read_name(upn));
    if !named {
        item.put_back("userPrincipalName");
        if let Some(name) = item.take_str("accountName") {
            person.read_name(name);
            person.domain = item.take_str("domainName").map(str::to_owned);
        }
    }
    let guid = item.take_if("aadUserId", |n| n.as_str().filter(|t| users::is_guid(t)).map(str::to_owned));
    person.uid = guid.or(person.uid);
    let sid =
        item.take_if("onPremisesSecurityIdentifier", |n| n.as_str().filter(|t| users::is_sid(t)).map(str::to_owned));
    person.uid_alt = sid;
    if person.is_empty() {
        person.uid = person.uid_alt.take();
    }
    evidence.set("user", person.user());
    if let Some(mut source) = endpoint(item, "logonIp") {
        if let Some(place) = item.take_str("logonLocation") {
            source.set("location", location(place));
        }
        evidence.set("src_endpoint", source);
    }
}

/// `City, Country` or `City, Region, Country`; a single part is the country.
fn location(place: &str) -> Attributes {
    let mut location = Attributes::of("location");
    let mut parts = place.split(',').map(str::trim).filter(|p| !p.is_empty());
    location.set("country", parts.next_back());
    location.set("city", parts.next());
    location.set("region", parts.next());
    location
}

fn host_state(evidence: &mut Attributes, item: &Object<'_>) {
    let mut device = Attributes::of("device");
    device.set("hostname", item.take_str("fqdn").or_else(|| item.take_str("netBiosName")));
    let ip = |name: &str| item.take_if(name, |n| addresses::ip(n.as_str()?)).map(|ip| ip.to_string());
    device.set("ip", ip("privateIpAddress").or_else(|| ip("publicIpAddress")));
    if device.is_empty() {
        return;
    }
    device.set_enum("type_id", 0, None);
    evidence::write_system(&mut device, item.take_str("os"), None);
    evidence.set("device", device);
}

/// `fileHash`, with its type.
fn hashes(item: &Object<'_>) -> Vec<Attributes> {
    let Some(hash) = item.object("fileHash") else { return Vec::new() };
    let algorithm = hash.peek_str("hashType").and_then(findings::algorithm);
    let found = algorithm.and_then(|a| hash.take_if("hashValue", |n| findings::hash(a, n.as_str())));
    if found.is_some() {
        hash.take("hashType");
    }
    found.into_iter().collect()
}

fn named_file(item: &Object<'_>) -> Attributes {
    let name = item.take_str("name");
    let mut file = match name {
        Some(name) => findings::file(Some(name), item.take_str("path")),
        None => findings::file_of_path(item.take_str("path")),
    };
    if !file.is_empty() {
        file.set("hashes", hashes(item));
    }
    file
}

fn file_state(evidence: &mut Attributes, item: &Object<'_>) {
    evidence.set("file", named_file(item));
}

fn process(evidence: &mut Attributes, item: &Object<'_>) {
    let file = named_file(item);
    let Some(pid) = item.take_int("processId") else {
        evidence.set("file", file);
        return;
    };
    let mut process = Attributes::of("process");
    process.set("pid", pid);
    process.set("file", file);
    process.set("cmd_line", item.take_str("commandLine"));
    process.set("created_time", take_time(item, "createdDateTime"));
    process.set("user", findings::user(item.take_str("accountName")));
    if let Some(pid) = item.take_int("parentProcessId") {
        let mut parent = Attributes::of("process");
        parent.set("pid", pid);
        parent.set("created_time", take_time(item, "parentProcessCreatedDateTime"));
        parent.set("file", findings::file(item.take_str("parentProcessName"), None));
        process.set("parent_process", parent);
    }
    evidence.set("process", process);
}

fn connection(evidence: &mut Attributes, item: &Object<'_>) {
    let port = |name: &str| item.take_if(name, |n| n.to_int().filter(|p| (0..=65_535).contains(p)));
    if let Some(mut source) = endpoint(item, "sourceAddress") {
        source.set("port", port("sourcePort"));
        if let Some(place) = item.take_str("sourceLocation") {
            source.set("location", location(place));
        }
        evidence.set("src_endpoint", source);
    }
    let target = endpoint(item, "destinationAddress").or_else(|| endpoint(item, "destinationDomain"));
    if let Some(mut target) = target {
        target.set("port", port("destinationPort"));
        if let Some(place) = item.take_str("destinationLocation") {
            target.set("location", location(place));
        }
        evidence.set("dst_endpoint", target);
    }
    evidence.set("url", item.take_str("destinationUrl").map(findings::url));
    let mut connection = Attributes::of("network_connection_info");
    connection.set("protocol_name", item.take_str("protocol"));
    let direction = match item.peek_str("direction") {
        Some("inbound") => 1,
        Some("outbound") => 2,
        _ => 0,
    };
    if direction != 0 {
        item.take("direction");
    }
    if !connection.is_empty() || direction != 0 {
        connection.set_enum("direction_id", direction, None);
        evidence.set("connection_info", connection);
    }
}

fn registry_key(evidence: &mut Attributes, item: &Object<'_>) {
    let mut key = Attributes::of("win_reg_key");
    key.set("path", item.take_str("key"));
    evidence.set("reg_key", key);
}

fn click(evidence: &mut Attributes, item: &Object<'_>) {
    evidence.set("url", item.take_str("uriDomain").map(findings::url));
}

/// Cloud applications and the resources that were attacked or are related.
fn resources(record: &Object<'_>) -> Vec<Attributes> {
    let mut resources = Vec::new();
    for app in record.items("cloudAppStates").iter().filter_map(Node::as_object) {
        let name = app.take_str("destinationServiceName");
        resources.push(findings::resource("Cloud application", None::<&str>, name, 4));
    }
    for item in record.items("securityResources").iter().filter_map(Node::as_object) {
        let role = match item.take_str("resourceType") {
            Some("attacked") => 3,
            Some("related") => 4,
            _ => {
                item.put_back("resourceType");
                0
            }
        };
        let uid = item.take_str("resource");
        let name = uid.and_then(|uid| uid.rsplit('/').next());
        resources.push(findings::resource("Resource", uid, name, role));
    }
    resources
}

fn write_malware(event: &mut Event, record: &Object<'_>) {
    let mut malware = Vec::new();
    for state in record.items("malwareStates").iter().filter_map(Node::as_object) {
        malware.extend(state.take_str("name").or_else(|| state.take_str("family")).map(findings::malware));
    }
    event.set("malware", malware);
    let mut vulnerabilities = Vec::new();
    for state in record.items("vulnerabilityStates").iter().filter_map(Node::as_object) {
        if let Some(uid) = state.take_str("cve") {
            let mut cve = Attributes::of("cve");
            cve.set("uid", uid);
            let mut vulnerability = Attributes::of("vulnerability");
            vulnerability.set("cve", cve);
            vulnerabilities.push(vulnerability);
        }
    }
    event.set("vulnerabilities", vulnerabilities);
}
