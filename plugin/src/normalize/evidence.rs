//! The evidence of an alert of Microsoft Graph: one entry of `evidence[]` becomes one OCSF evidence, and where the entry is a thing that was
//! attacked or has no other place, a resource.
//!
//! Invariant: what an entry says beyond OCSF's objects is kept as the evidence's `data`; an entry of an unknown type is kept whole.

mod resources;

use super::{
    addresses,
    context::Context,
    event::{Attributes, attr, object},
    findings::{self, MD5, SHA1, SHA256},
    record::{Node, Object},
    times,
    users::{self, Person},
};

/// What one entry of the evidence gives.
#[derive(Debug, Default)]
pub struct Found<'r> {
    /// The OCSF evidence; none for an entry that says nothing.
    pub evidence: Option<Attributes<'r>>,
    /// The resource that the entry is.
    pub resource: Option<Attributes<'r>>,
    /// The malware that the entry is.
    pub malware: Option<Attributes<'r>>,
}

/// Reads and takes an entry (Microsoft Graph: resource type security.alertEvidence and those derived from it).
pub fn read<'r>(context: &Context<'r>, item: &'r Object<'r>) -> Found<'r> {
    let kind = item.peek_str("@odata.type").unwrap_or_default();
    let kind = kind.rsplit('.').next().unwrap_or_default().trim_start_matches('#');
    let roles: Vec<&str> = item.items("roles").iter().filter_map(Node::as_str).collect();
    let mut evidence = Attributes::of(&object::EVIDENCES);
    let mut found = Found::default();
    match kind {
        "userEvidence" => evidence.set(attr::USER, item.object("userAccount").map(account)),
        "mailboxEvidence" | "mailboxConfigurationEvidence" => evidence.set(attr::USER, mailbox(item)),
        "deviceEvidence" => evidence.set(attr::DEVICE, device(item)),
        "ioTDeviceEvidence" => evidence.set(attr::DEVICE, iot_device(item)),
        "processEvidence" => process(&mut evidence, item),
        "fileEvidence" => evidence.set(attr::FILE, item.object("fileDetails").map(file)),
        "fileHashEvidence" => evidence.set(attr::FILE, bare_hash(item)),
        "ipEvidence" => {
            let side = if roles.iter().any(|r| ["destination", "commandAndControl"].contains(r)) {
                attr::DST_ENDPOINT
            } else {
                attr::SRC_ENDPOINT
            };
            evidence.set(side, address(item));
        }
        "nicEvidence" => evidence.set(attr::SRC_ENDPOINT, item.object("ipAddress").map(address)),
        "networkConnectionEvidence" => connection(&mut evidence, item),
        "dnsEvidence" => {
            let mut query = Attributes::of(&object::DNS_QUERY);
            query
                .set(attr::HOSTNAME, item.take_if("domainName", |n| n.as_str().filter(|t| addresses::is_host_name(t))));
            evidence.set(attr::QUERY, query);
            evidence.set(attr::SRC_ENDPOINT, item.object("hostIpAddress").map(address));
            evidence.set(attr::DST_ENDPOINT, item.object("dnsServerIp").map(address));
        }
        "urlEvidence" => evidence.set(attr::URL, item.take_str("url").map(findings::url)),
        "analyzedMessageEvidence" => evidence.set(attr::EMAIL, analyzed_message(item)),
        "submissionMailEvidence" => {
            evidence.set(attr::EMAIL, submitted_mail(item));
            evidence.set(attr::USER, findings::user(users::take_real(item, "submitter")));
        }
        "teamsMessageEvidence" => {
            found.resource = resources::named(kind, item, &roles);
            evidence.set(attr::USER, findings::user(users::take_real(item, "senderFromAddress")));
            let from = |n: &'r Node<'r>| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty());
            evidence.set(attr::SRC_ENDPOINT, item.take_if("senderIP", from));
        }
        "blobEvidence" => {
            found.resource = resources::named(kind, item, &roles);
            evidence.set(attr::FILE, blob(item));
        }
        "registryKeyEvidence" | "registryValueEvidence" => registry(context, &mut evidence, item),
        "cloudLogonSessionEvidence" => logon(&mut evidence, item),
        "cloudLogonRequestEvidence" => {
            let mut request = Attributes::of(&object::HTTP_REQUEST);
            request.set(attr::UID, item.take_str("requestId"));
            evidence.set(attr::HTTP_REQUEST, request);
        }
        "hostLogonSessionEvidence" => {
            found.resource = resources::named(kind, item, &roles);
            evidence.set(attr::USER, item.object("account").and_then(|a| a.object("userAccount")).map(account));
            evidence.set(attr::DEVICE, item.object("host").map(device));
        }
        "malwareEvidence" => found.malware = item.take_str("name").map(findings::malware),
        _ => found.resource = resources::named(kind, item, &roles),
    }
    if found.resource.is_none() && roles.iter().any(|r| ["attacked", "compromised"].contains(r)) {
        found.resource = resources::affected(kind, &evidence);
    }
    let verdict = match item.peek_str("verdict") {
        Some("suspicious") => 4,
        Some("malicious") => 8,
        Some("noThreatsFound") => 5,
        _ => 0,
    };
    if verdict != 0 || item.peek_str("verdict") == Some("unknown") {
        item.take("verdict");
    }
    item.take_str("@odata.type");
    evidence.set(attr::DATA, context.take_rest("evidence", item));
    if evidence.is_empty() {
        // Type and verdict alone are no evidence of anything.
        item.put_back("@odata.type");
        item.put_back("verdict");
        return found;
    }
    evidence.set(attr::NAME, if kind.is_empty() { "evidence" } else { kind });
    evidence.set_enum(attr::VERDICT_ID, verdict, None);
    found.evidence = Some(evidence);
    found
}

/// `userAccount`.
pub fn account<'r>(account: &'r Object<'r>) -> Attributes<'r> {
    let mut person = Person::default();
    if let Some(upn) = users::take_real(account, "userPrincipalName") {
        person.read_name(upn);
        person.type_id = person.type_id.or(Some(users::TYPE_USER));
        // The parts of the same again are no news.
        let parts = upn.split_once('@');
        account.take_same("accountName", &[Some(parts.map_or(upn, |(name, _)| name))]);
        account.take_same("domainName", &[parts.map(|(_, domain)| domain)]);
    } else if let Some(name) = users::take_real(account, "accountName") {
        person.read_name(name);
        if !users::is_email(name) {
            person.domain = account.take_str("domainName").or(person.domain);
        }
        if person.domain.is_some_and(|domain| domain.eq_ignore_ascii_case("NT AUTHORITY")) {
            person.type_id = Some(users::TYPE_SYSTEM);
        }
    }
    let guid = |name: &str| account.take_if(name, |n| n.as_str().filter(|t| users::is_guid(t)));
    person.uid = guid("azureAdUserId").or(person.uid);
    person.uid_alt = account.take_if("userSid", |n| n.as_str().filter(|t| users::is_sid(t)));
    if person.is_empty() {
        person.uid = person.uid_alt.take();
    }
    person.full_name = account.take_str("displayName");
    if !person.is_empty() || person.full_name.is_some() {
        person.org_uid = guid("tenantId");
    }
    person.user()
}

fn mailbox<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut user = match item.object("userAccount") {
        Some(owner) => account(owner),
        None => Attributes::of(&object::USER),
    };
    if user.is_empty() {
        let names = ["upn", "primaryAddress", "mailboxPrimaryAddress"];
        user = findings::user(names.iter().find_map(|name| users::take_real(item, name)));
    }
    if user.is_empty() {
        return user;
    }
    // The same name again is no news.
    for name in ["upn", "primaryAddress", "mailboxPrimaryAddress"] {
        item.take_same(name, &[user.text(attr::NAME)]);
    }
    for (attribute, name) in [(attr::FULL_NAME, "displayName"), (attr::UID, "externalDirectoryObjectId")] {
        item.take_same(name, &[user.text(attribute)]);
        if !user.has(attribute) {
            user.set(attribute, item.take_str(name));
        }
    }
    user
}

fn device<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut device = Attributes::of(&object::DEVICE);
    device.set(attr::UID, item.take_str("mdeDeviceId"));
    device.set(attr::UID_ALT, item.take_str("azureAdDeviceId"));
    device.set(attr::HOSTNAME, item.take_str("deviceDnsName").or_else(|| item.take_str("hostName")));
    device.set(attr::IP, first_address(item));
    if ![attr::UID, attr::HOSTNAME, attr::IP].iter().any(|name| device.has(*name)) {
        for name in ["mdeDeviceId", "azureAdDeviceId", "deviceDnsName", "hostName", "lastIpAddress"] {
            item.put_back(name);
        }
        return Attributes::of(&object::DEVICE);
    }
    device.set(attr::DOMAIN, item.take_str("dnsDomain").or_else(|| item.take_str("ntDomain")));
    device.set_enum(attr::TYPE_ID, 0, None);
    if let Some(platform) = item.take_str("osPlatform") {
        write_system(&mut device, Some(platform), item.take_str("version"));
    }
    let level = match item.peek_str("riskScore") {
        Some("informational") => Some(0),
        Some("low") => Some(1),
        Some("medium") => Some(2),
        Some("high") => Some(3),
        _ => None,
    };
    if let Some(level) = level {
        item.take("riskScore");
        device.set_enum(attr::RISK_LEVEL_ID, level, None);
    }
    device
}

/// The last address, else the first of an interface that others can reach.
fn first_address<'r>(item: &'r Object<'r>) -> Option<String> {
    if let Some(ip) = item.take_if("lastIpAddress", |n| addresses::ip(n.as_str()?)) {
        return Some(ip.to_string());
    }
    let interfaces = item.items("ipInterfaces").iter().filter_map(|n| addresses::ip(n.as_str()?));
    interfaces.filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()).next()
}

fn iot_device<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut device = Attributes::of(&object::DEVICE);
    device.set(attr::UID, item.take_str("deviceId"));
    device.set(attr::NAME, item.take_str("deviceName"));
    let address = item.object("ipAddress");
    device.set(
        attr::IP,
        address.and_then(|a| a.take_if("ipAddress", |n| addresses::ip(n.as_str()?))).map(|ip| ip.to_string()),
    );
    if !device.is_empty() {
        device.set_enum(attr::TYPE_ID, 7, None);
        write_system(&mut device, item.take_str("operatingSystem"), None);
    }
    device
}

/// The operating system of a device, by the beginning of its name.
pub fn write_system<'r>(device: &mut Attributes<'r>, name: Option<&'r str>, version: Option<&'r str>) {
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
    let mut system = Attributes::of(&object::OS);
    system.set(attr::NAME, name);
    system.set(attr::VERSION, version);
    system.set_enum(attr::TYPE_ID, id, None);
    device.set(attr::OS, system);
}

/// `fileDetails`: what it says of the file beyond OCSF stays.
fn file<'r>(details: &'r Object<'r>) -> Attributes<'r> {
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
    file.set(attr::HASHES, hashes.collect::<Vec<_>>());
    file.set(attr::SIZE, details.take_int("fileSize"));
    file
}

/// A blob by its name, with the hashes of its content.
fn blob<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut file = findings::file(item.peek_str("name"), None);
    if file.is_empty() {
        return file;
    }
    let hashes = item.items("fileHashes").iter().filter_map(Node::as_object).filter_map(|hash| {
        let algorithm = findings::algorithm(hash.peek_str("algorithm")?)?;
        findings::hash(algorithm, hash.peek_str("value"))
    });
    file.set(attr::HASHES, hashes.collect::<Vec<_>>());
    file
}

fn nameless<'r>(hash: Option<&'r str>) -> Attributes<'r> {
    let mut file = Attributes::of(&object::FILE);
    file.set(attr::NAME, hash);
    if !file.is_empty() {
        file.set_enum(attr::TYPE_ID, 0, None);
    }
    file
}

fn bare_hash<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut file = nameless(item.peek_str("value"));
    let algorithm = item.peek_str("algorithm").and_then(findings::algorithm);
    if let Some(hash) = algorithm.and_then(|a| item.take_if("value", |n| findings::hash(a, n.as_str()))) {
        item.take("algorithm");
        file.set(attr::HASHES, vec![hash]);
    }
    file
}

/// A process needs its number; without one only its file is known.
fn process<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let image = item.object("imageFile").map(file);
    let user = item.object("userAccount").map(account);
    let Some(pid) = item.take_int("processId") else {
        evidence.set(attr::FILE, image);
        evidence.set(attr::USER, user);
        return;
    };
    let mut process = Attributes::of(&object::PROCESS);
    process.set(attr::PID, pid);
    process.set(attr::CMD_LINE, item.take_str("processCommandLine"));
    process.set(attr::CREATED_TIME, item.take_if("processCreationDateTime", |n| times::parse(n.as_str()?)));
    process.set(attr::FILE, image);
    process.set(attr::USER, user);
    if let Some(pid) = item.take_int("parentProcessId") {
        let mut parent = Attributes::of(&object::PROCESS);
        parent.set(attr::PID, pid);
        let created = item.take_if("parentProcessCreationDateTime", |n| times::parse(n.as_str()?));
        parent.set(attr::CREATED_TIME, created);
        parent.set(attr::FILE, item.object("parentProcessImageFile").map(file));
        process.set(attr::PARENT_PROCESS, parent);
    }
    evidence.set(attr::PROCESS, process);
}

/// `ipEvidence`, by itself or inside of others.
fn address<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut endpoint = item
        .take_if("ipAddress", |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()))
        .unwrap_or_else(|| Attributes::of(&object::NETWORK_ENDPOINT));
    if endpoint.is_empty() {
        return endpoint;
    }
    let mut location = Attributes::of(&object::LOCATION);
    if let Some(place) = item.object("location") {
        location.set(attr::CITY, place.take_str("city"));
        location.set(attr::REGION, place.take_str("state"));
        location.set(attr::COUNTRY, item.take_str("countryLetterCode"));
        location.set_if_absent(attr::COUNTRY, place.peek_str("countryName").filter(|c| c.len() == 2));
        if !location.is_empty() {
            addresses::write_point(&mut location, place, "latitude", "longitude");
        }
    } else {
        location.set(attr::COUNTRY, item.take_str("countryLetterCode"));
    }
    endpoint.set(attr::LOCATION, location);
    endpoint
}

fn connection<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    for (side, name, port) in [
        (attr::SRC_ENDPOINT, "sourceAddress", "sourcePort"),
        (attr::DST_ENDPOINT, "destinationAddress", "destinationPort"),
    ] {
        let Some(mut endpoint) = item.object(name).map(address).filter(|e| !e.is_empty()) else { continue };
        endpoint.set(attr::PORT, item.take_if(port, |n| n.to_int().filter(|p| (0..=65_535).contains(p))));
        evidence.set(side, endpoint);
    }
    if let Some(protocol) = item.take_str("protocol") {
        let mut connection = Attributes::of(&object::NETWORK_CONNECTION_INFO);
        connection.set_enum(attr::DIRECTION_ID, 0, None);
        connection.set(attr::PROTOCOL_NAME, protocol.to_ascii_lowercase());
        evidence.set(attr::CONNECTION_INFO, connection);
    }
}

/// A message that was analysed. Without an address it is no email for OCSF, and stays in the evidence's data.
fn analyzed_message<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut email = Attributes::of(&object::EMAIL);
    let sender = |name: &str| item.object(name).and_then(|s| s.peek_str("emailAddress"));
    let from = sender("p2Sender");
    findings::write_from(&mut email, from);
    let to = item.take_if("recipientEmailAddress", |n| n.as_str().map(str::trim).filter(|t| users::is_email(t)));
    email.set(attr::TO, to.into_iter().collect::<Vec<_>>());
    if !email.has(attr::FROM) && !email.has(attr::TO) {
        return Attributes::of(&object::EMAIL);
    }
    if let (Some(sender), Some(_)) = (item.object("p2Sender"), from) {
        sender.take("emailAddress");
    }
    if let Some(address) = sender("p1Sender").filter(|a| users::is_email(a)) {
        email.set(attr::RETURN_PATH, address);
        item.object("p1Sender").map(|s| s.take("emailAddress"));
    }
    email.set(attr::SUBJECT, item.take_str("subject"));
    email.set(attr::MESSAGE_UID, item.take_str("internetMessageId"));
    email.set(attr::UID, item.take_str("networkMessageId"));
    let ip = item.take_if("senderIp", |n| addresses::ip(n.as_str()?));
    email.set(attr::X_ORIGINATING_IP, ip.map(|ip| ip.to_string()).into_iter().collect::<Vec<_>>());
    email
}

fn submitted_mail<'r>(item: &'r Object<'r>) -> Attributes<'r> {
    let mut email = Attributes::of(&object::EMAIL);
    let address = |name: &str| item.take_if(name, |n| n.as_str().map(str::trim).filter(|t| users::is_email(t)));
    email.set(attr::FROM, address("sender"));
    email.set(attr::TO, address("recipient").into_iter().collect::<Vec<_>>());
    if email.is_empty() {
        return email;
    }
    email.set(attr::SUBJECT, item.take_str("subject"));
    email.set(attr::UID, item.take_str("networkMessageId"));
    let ip = item.take_if("senderIp", |n| addresses::ip(n.as_str()?));
    email.set(attr::X_ORIGINATING_IP, ip.map(|ip| ip.to_string()).into_iter().collect::<Vec<_>>());
    email
}

fn registry<'r>(context: &Context<'r>, evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let Some(key) = item.take_str("registryKey") else { return };
    let mut path = String::new();
    if let Some(hive) = item.take_str("registryHive") {
        path.push_str(hive);
        path.push('\\');
    }
    path.push_str(key);
    if let Some(name) = item.take_str("registryValueName") {
        let mut value = Attributes::of(&object::WIN_REG_VALUE);
        value.set(attr::NAME, name);
        value.set(attr::PATH, path);
        value.set(attr::DATA, context.take_value(item, "registryValue"));
        evidence.set(attr::REG_VALUE, value);
    } else {
        let mut key = Attributes::of(&object::WIN_REG_KEY);
        key.set(attr::PATH, path);
        evidence.set(attr::REG_KEY, key);
    }
}

/// A session of a logon to a cloud application.
fn logon<'r>(evidence: &mut Attributes<'r>, item: &'r Object<'r>) {
    let mut actor = Attributes::of(&object::ACTOR);
    let mut session = Attributes::of(&object::SESSION);
    session.set(attr::UID, item.take_str("sessionId"));
    session.set(attr::CREATED_TIME, item.take_if("startUtcDateTime", |n| times::parse(n.as_str()?)));
    actor.set(attr::SESSION, session);
    actor.set(attr::USER, item.object("account").and_then(|a| a.object("userAccount")).map(account));
    evidence.set(attr::ACTOR, actor);
    let mut device = Attributes::of(&object::DEVICE);
    device.set(attr::NAME, item.take_str("deviceName"));
    if !device.is_empty() {
        device.set_enum(attr::TYPE_ID, 0, None);
        write_system(&mut device, item.take_str("operatingSystem"), None);
    }
    evidence.set(attr::DEVICE, device);
    let mut request = Attributes::of(&object::HTTP_REQUEST);
    request.set(attr::USER_AGENT, item.take_str("userAgent"));
    evidence.set(attr::HTTP_REQUEST, request);
}
