//! The evidence of an alert of Microsoft Graph: one entry of `evidence[]` becomes one OCSF evidence, and where the entry is a thing that was
//! attacked or has no other place, a resource.
//!
//! Invariant: what an entry says beyond OCSF's objects is kept as the evidence's `data`; an entry of an unknown type is kept whole.

mod resources;

use super::{
    addresses,
    context::Context,
    event::Attributes,
    findings::{self, MD5, SHA1, SHA256},
    record::{Node, Object},
    times,
    users::{self, Person},
};

/// What one entry of the evidence gives.
#[derive(Debug, Default)]
pub struct Found {
    /// The OCSF evidence; none for an entry that says nothing.
    pub evidence: Option<Attributes>,
    /// The resource that the entry is.
    pub resource: Option<Attributes>,
    /// The malware that the entry is.
    pub malware: Option<Attributes>,
}

/// Reads and takes an entry (Microsoft Graph: resource type security.alertEvidence and those derived from it).
pub fn read(context: &Context<'_>, item: &Object<'_>) -> Found {
    let kind = item.peek_str("@odata.type").unwrap_or_default();
    let kind = kind.rsplit('.').next().unwrap_or_default().trim_start_matches('#');
    let roles: Vec<&str> = item.items("roles").iter().filter_map(Node::as_str).collect();
    let mut evidence = Attributes::of("evidences");
    let mut found = Found::default();
    match kind {
        "userEvidence" => evidence.set("user", item.object("userAccount").map(account)),
        "mailboxEvidence" | "mailboxConfigurationEvidence" => evidence.set("user", mailbox(item)),
        "deviceEvidence" => evidence.set("device", device(item)),
        "ioTDeviceEvidence" => evidence.set("device", iot_device(item)),
        "processEvidence" => process(&mut evidence, item),
        "fileEvidence" => evidence.set("file", item.object("fileDetails").map(file)),
        "fileHashEvidence" => evidence.set("file", bare_hash(item)),
        "ipEvidence" => {
            let side = if roles.iter().any(|r| ["destination", "commandAndControl"].contains(r)) {
                "dst_endpoint"
            } else {
                "src_endpoint"
            };
            evidence.set(side, address(item));
        }
        "nicEvidence" => evidence.set("src_endpoint", item.object("ipAddress").map(address)),
        "networkConnectionEvidence" => connection(&mut evidence, item),
        "dnsEvidence" => {
            let mut query = Attributes::of("dns_query");
            query.set("hostname", item.take_if("domainName", |n| n.as_str().filter(|t| addresses::is_host_name(t))));
            evidence.set("query", query);
            evidence.set("src_endpoint", item.object("hostIpAddress").map(address));
        }
        "urlEvidence" => evidence.set("url", item.take_str("url").map(findings::url)),
        "analyzedMessageEvidence" => evidence.set("email", analyzed_message(item)),
        "submissionMailEvidence" => evidence.set("email", submitted_mail(item)),
        "registryKeyEvidence" | "registryValueEvidence" => registry(context, &mut evidence, item),
        "cloudLogonSessionEvidence" => logon(&mut evidence, item),
        "cloudLogonRequestEvidence" => {
            let mut request = Attributes::of("http_request");
            request.set("uid", item.take_str("requestId"));
            evidence.set("http_request", request);
        }
        "malwareEvidence" => found.malware = item.take_str("name").map(findings::malware),
        _ => found.resource = resources::named(kind, item, &roles),
    }
    if found.resource.is_none() && roles.iter().any(|r| ["attacked", "compromised"].contains(r)) {
        found.resource = resources::affected(kind, &evidence);
    }
    let verdict = item.take_str("verdict");
    item.take("@odata.type");
    evidence.set("data", context.take_rest("evidence", item));
    if evidence.is_empty() {
        // Type and verdict alone are no evidence of anything.
        item.put_back("@odata.type");
        item.put_back("verdict");
        return found;
    }
    evidence.set("name", if kind.is_empty() { "evidence" } else { kind });
    let id = match verdict {
        Some("suspicious") => 4,
        Some("malicious") => 8,
        Some("noThreatsFound") => 5,
        _ => 0,
    };
    evidence.set_enum("verdict_id", id, None);
    found.evidence = Some(evidence);
    found
}

/// `userAccount`.
pub fn account(account: &Object<'_>) -> Attributes {
    let mut person = Person::default();
    let name = account.take_str("accountName");
    let domain = account.take_str("domainName");
    if let Some(upn) = account.take_str("userPrincipalName") {
        person.read_name(upn);
        if name.is_some_and(|n| !upn.split('@').next().unwrap_or_default().eq_ignore_ascii_case(n)) {
            account.put_back("accountName");
        }
        if domain.is_some_and(|d| !upn.to_ascii_lowercase().ends_with(&d.to_ascii_lowercase())) {
            account.put_back("domainName");
        }
    } else if let Some(name) = name {
        person.read_name(name);
        person.domain = domain.map(str::to_owned);
    } else if domain.is_some() {
        account.put_back("domainName");
    }
    let guid = |name: &str| account.take_if(name, |n| n.as_str().filter(|t| users::is_guid(t)).map(str::to_owned));
    person.uid = guid("azureAdUserId").or(person.uid);
    person.uid_alt = account.take_if("userSid", |n| n.as_str().filter(|t| users::is_sid(t)).map(str::to_owned));
    if person.is_empty() {
        person.uid = person.uid_alt.take();
    }
    person.full_name = account.take_str("displayName").map(str::to_owned);
    person.org_uid = guid("tenantId");
    person.user()
}

fn mailbox(item: &Object<'_>) -> Attributes {
    let mut user = match item.object("userAccount") {
        Some(owner) => account(owner),
        None => Attributes::of("user"),
    };
    if user.is_empty() {
        let names = ["upn", "primaryAddress", "mailboxPrimaryAddress"];
        user = findings::user(names.iter().find_map(|name| item.take_str(name)));
    }
    if user.is_empty() {
        return user;
    }
    // The same name again is no news.
    for name in ["upn", "primaryAddress", "mailboxPrimaryAddress"] {
        item.take_if(name, |n| (n.as_str() == user.text("name")).then_some(()));
    }
    user.set_if_absent("full_name", item.take_str("displayName"));
    user.set_if_absent("uid", item.take_str("externalDirectoryObjectId"));
    user
}

fn device(item: &Object<'_>) -> Attributes {
    let mut device = Attributes::of("device");
    device.set("uid", item.take_str("mdeDeviceId"));
    device.set("uid_alt", item.take_str("azureAdDeviceId"));
    device.set("hostname", item.take_str("deviceDnsName").or_else(|| item.take_str("hostName")));
    device.set("ip", first_address(item));
    if !["uid", "hostname", "ip"].iter().any(|name| device.has(name)) {
        for name in ["mdeDeviceId", "azureAdDeviceId", "deviceDnsName", "hostName", "lastIpAddress"] {
            item.put_back(name);
        }
        return Attributes::of("device");
    }
    device.set("domain", item.take_str("dnsDomain").or_else(|| item.take_str("ntDomain")));
    device.set_enum("type_id", 0, None);
    write_system(&mut device, item.take_str("osPlatform"), item.take_str("version"));
    let level = match item.peek_str("riskScore") {
        Some("informational") => Some(0),
        Some("low") => Some(1),
        Some("medium") => Some(2),
        Some("high") => Some(3),
        _ => None,
    };
    if let Some(level) = level {
        item.take("riskScore");
        device.set_enum("risk_level_id", level, None);
    }
    device
}

/// The last address, else the first of an interface that others can reach.
fn first_address(item: &Object<'_>) -> Option<String> {
    if let Some(ip) = item.take_if("lastIpAddress", |n| addresses::ip(n.as_str()?)) {
        return Some(ip.to_string());
    }
    let interfaces = item.items("ipInterfaces").iter().filter_map(|n| addresses::ip(n.as_str()?));
    interfaces.filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()).next()
}

fn iot_device(item: &Object<'_>) -> Attributes {
    let mut device = Attributes::of("device");
    device.set("uid", item.take_str("deviceId"));
    device.set("name", item.take_str("deviceName"));
    let address = item.object("ipAddress");
    device.set(
        "ip",
        address.and_then(|a| a.take_if("ipAddress", |n| addresses::ip(n.as_str()?))).map(|ip| ip.to_string()),
    );
    if !device.is_empty() {
        device.set_enum("type_id", 7, None);
        write_system(&mut device, item.take_str("operatingSystem"), None);
    }
    device
}

/// The operating system of a device, by the beginning of its name.
pub fn write_system(device: &mut Attributes, name: Option<&str>, version: Option<&str>) {
    let Some(name) = name else { return };
    let lower = name.to_ascii_lowercase();
    let starts = |words: &[&str]| words.iter().any(|w| lower.starts_with(w));
    let id = match () {
        () if starts(&["windows"]) => 100,
        () if starts(&["macos", "mac os"]) => 300,
        () if starts(&["ios"]) => 301,
        () if starts(&["android"]) => 201,
        () if starts(&[
            "linux",
            "ubuntu",
            "centos",
            "debian",
            "redhat",
            "red hat",
            "suse",
            "fedora",
            "oracle linux",
        ]) =>
        {
            200
        }
        () => 0,
    };
    let mut system = Attributes::of("os");
    system.set("name", name);
    system.set("version", version);
    system.set_enum("type_id", id, None);
    device.set("os", system);
}

/// `fileDetails`: what it says of the file beyond OCSF stays.
fn file(details: &Object<'_>) -> Attributes {
    let hashes = [(MD5, "md5"), (SHA1, "sha1"), (SHA256, "sha256")];
    let any = || hashes.iter().rev().find_map(|(_, name)| details.peek_str(name));
    let mut file = match details.take_str("fileName") {
        Some(name) => findings::file(Some(name), details.take_str("filePath")),
        // A file without a name is known by its hash.
        None => nameless(any()),
    };
    if file.is_empty() {
        return file;
    }
    let hashes =
        hashes.iter().filter_map(|(algorithm, name)| details.take_if(name, |n| findings::hash(*algorithm, n.as_str())));
    file.set("hashes", hashes.collect::<Vec<_>>());
    file.set("size", details.take_int("fileSize"));
    file
}

fn nameless(hash: Option<&str>) -> Attributes {
    let mut file = Attributes::of("file");
    file.set("name", hash);
    if !file.is_empty() {
        file.set_enum("type_id", 0, None);
    }
    file
}

fn bare_hash(item: &Object<'_>) -> Attributes {
    let mut file = nameless(item.peek_str("value"));
    let algorithm = item.peek_str("algorithm").and_then(findings::algorithm);
    if let Some(hash) = algorithm.and_then(|a| item.take_if("value", |n| findings::hash(a, n.as_str()))) {
        item.take("algorithm");
        file.set("hashes", vec![hash]);
    }
    file
}

/// A process needs its number; without one only its file is known.
fn process(evidence: &mut Attributes, item: &Object<'_>) {
    let image = item.object("imageFile").map(file);
    let user = item.object("userAccount").map(account);
    let Some(pid) = item.take_int("processId") else {
        evidence.set("file", image);
        evidence.set("user", user);
        return;
    };
    let mut process = Attributes::of("process");
    process.set("pid", pid);
    process.set("cmd_line", item.take_str("processCommandLine"));
    process.set("created_time", item.take_if("processCreationDateTime", |n| times::parse(n.as_str()?)));
    process.set("file", image);
    process.set("user", user);
    if let Some(pid) = item.take_int("parentProcessId") {
        let mut parent = Attributes::of("process");
        parent.set("pid", pid);
        let created = item.take_if("parentProcessCreationDateTime", |n| times::parse(n.as_str()?));
        parent.set("created_time", created);
        parent.set("file", item.object("parentProcessImageFile").map(file));
        process.set("parent_process", parent);
    }
    evidence.set("process", process);
}

/// `ipEvidence`, by itself or inside of others.
fn address(item: &Object<'_>) -> Attributes {
    let mut endpoint = item
        .take_if("ipAddress", |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()))
        .unwrap_or_else(|| Attributes::of("network_endpoint"));
    if endpoint.is_empty() {
        return endpoint;
    }
    let mut location = Attributes::of("location");
    if let Some(place) = item.object("location") {
        location.set("city", place.take_str("city"));
        location.set("region", place.take_str("state"));
        location.set("country", item.take_str("countryLetterCode"));
        location.set_if_absent("country", place.peek_str("countryName").filter(|c| c.len() == 2));
        if !location.is_empty() {
            location.set("lat", place.take_float("latitude"));
            location.set("long", place.take_float("longitude"));
        }
    } else {
        location.set("country", item.take_str("countryLetterCode"));
    }
    endpoint.set("location", location);
    endpoint
}

fn connection(evidence: &mut Attributes, item: &Object<'_>) {
    for (side, name, port) in
        [("src_endpoint", "sourceAddress", "sourcePort"), ("dst_endpoint", "destinationAddress", "destinationPort")]
    {
        let Some(mut endpoint) = item.object(name).map(address).filter(|e| !e.is_empty()) else { continue };
        endpoint.set("port", item.take_if(port, |n| n.to_int().filter(|p| (0..=65_535).contains(p))));
        evidence.set(side, endpoint);
    }
    if let Some(protocol) = item.take_str("protocol") {
        let mut connection = Attributes::of("network_connection_info");
        connection.set_enum("direction_id", 0, None);
        connection.set("protocol_name", protocol.to_ascii_lowercase());
        evidence.set("connection_info", connection);
    }
}

/// A message that was analysed. Without an address it is no email for OCSF, and stays in the evidence's data.
fn analyzed_message(item: &Object<'_>) -> Attributes {
    let mut email = Attributes::of("email");
    let sender = |name: &str| item.object(name).and_then(|s| s.peek_str("emailAddress"));
    let from = sender("p2Sender");
    findings::write_from(&mut email, from);
    let to = item.take_if("recipientEmailAddress", |n| n.as_str().map(str::trim).filter(|t| users::is_email(t)));
    email.set("to", to.into_iter().collect::<Vec<_>>());
    if !email.has("from") && !email.has("to") {
        return Attributes::of("email");
    }
    if let (Some(sender), Some(_)) = (item.object("p2Sender"), from) {
        sender.take("emailAddress");
    }
    if let Some(address) = sender("p1Sender").filter(|a| users::is_email(a)) {
        email.set("return_path", address);
        item.object("p1Sender").map(|s| s.take("emailAddress"));
    }
    email.set("subject", item.take_str("subject"));
    email.set("message_uid", item.take_str("internetMessageId"));
    email.set("uid", item.take_str("networkMessageId"));
    let ip = item.take_if("senderIp", |n| addresses::ip(n.as_str()?));
    email.set("x_originating_ip", ip.map(|ip| ip.to_string()).into_iter().collect::<Vec<_>>());
    email
}

fn submitted_mail(item: &Object<'_>) -> Attributes {
    let mut email = Attributes::of("email");
    let address = |name: &str| item.take_if(name, |n| n.as_str().map(str::trim).filter(|t| users::is_email(t)));
    email.set("from", address("sender"));
    email.set("to", address("recipient").into_iter().collect::<Vec<_>>());
    if email.is_empty() {
        return email;
    }
    email.set("subject", item.take_str("subject"));
    email.set("uid", item.take_str("networkMessageId"));
    let ip = item.take_if("senderIp", |n| addresses::ip(n.as_str()?));
    email.set("x_originating_ip", ip.map(|ip| ip.to_string()).into_iter().collect::<Vec<_>>());
    email
}

fn registry(context: &Context<'_>, evidence: &mut Attributes, item: &Object<'_>) {
    let Some(key) = item.take_str("registryKey") else { return };
    let mut path = String::new();
    if let Some(hive) = item.take_str("registryHive") {
        path.push_str(hive);
        path.push('\\');
    }
    path.push_str(key);
    if let Some(name) = item.take_str("registryValueName") {
        let mut value = Attributes::of("win_reg_value");
        value.set("name", name);
        value.set("path", path);
        value.set("data", context.take_value(item, "registryValue"));
        evidence.set("reg_value", value);
    } else {
        let mut key = Attributes::of("win_reg_key");
        key.set("path", path);
        evidence.set("reg_key", key);
    }
}

/// A session of a logon to a cloud application.
fn logon(evidence: &mut Attributes, item: &Object<'_>) {
    let mut actor = Attributes::of("actor");
    let mut session = Attributes::of("session");
    session.set("uid", item.take_str("sessionId"));
    session.set("created_time", item.take_if("startUtcDateTime", |n| times::parse(n.as_str()?)));
    actor.set("session", session);
    actor.set("user", item.object("account").and_then(|a| a.object("userAccount")).map(account));
    evidence.set("actor", actor);
    let mut request = Attributes::of("http_request");
    request.set("user_agent", item.take_str("userAgent"));
    evidence.set("http_request", request);
}
