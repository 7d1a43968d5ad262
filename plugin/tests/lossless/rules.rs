//! What may become of a leaf on its way into the event, rule by rule.
//!
//! Invariant: a rule is here only if the record's value can be told from what the event holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use m365_plugin::normalize::{addresses, times};
use serde_json::{Value, json};

/// The rules, the plainest first.
const RULES: [(&str, Rule); 13] = [
    ("nothing: null, blank text, an empty list or object, and the reason `Other.` of a sign-in", nothing),
    ("as it is, without the blanks around it", same),
    ("a number or truth value in text as such, or the other way round", retyped),
    ("a time as milliseconds since 1970: finer fractions are cut, and the zone is UTC", time),
    ("an address without brackets and port, which is beside it; IPv4 inside of IPv6 as IPv4", address),
    ("JSON that is text inside of the record as its values", untangled),
    ("an address of the web, escaped as such an address has to be", escaped),
    (
        "a name without what is the same in all: the prefix of a type, the full stop behind an operation, a separator at the end",
        bare,
    ),
    ("an id without the kind before it, where the object that it became is of that kind", without_kind),
    ("a text in its parts", parts),
    ("one of several texts that make one: reasons, comments, steps, hive and key", joined),
    ("the name of a named value that has an attribute of its own, which it became", named),
    ("a word or number of a closed list by OCSF's name or the product's", decoded),
];

type Rule = fn(&Leaf<'_>, &Places) -> bool;

/// A value of the record that holds no others.
#[derive(Debug)]
pub struct Leaf<'v> {
    /// The names of the members that lead to it.
    pub path: Vec<&'v str>,
    /// The value.
    pub value: &'v Value,
}

impl Leaf<'_> {
    /// The path with dots.
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// Whether that is the name of the member.
    fn ends(&self, name: &str) -> bool {
        self.path.last() == Some(&name)
    }

    fn text(&self) -> &str {
        self.value.as_str().unwrap_or_default().trim()
    }
}

/// All that events hold, to be found.
#[derive(Debug, Default)]
pub struct Places {
    texts: HashSet<String>,
    numbers: HashSet<String>,
    flags: HashSet<bool>,
    /// Path and text of what is in the event, for rules that ask for the place.
    placed: BTreeMap<String, BTreeSet<String>>,
}

impl Places {
    /// What the events of one record hold.
    pub fn of(events: &[Value]) -> Self {
        let mut places = Self::default();
        for event in events {
            places.read(event, &mut String::new());
        }
        places
    }

    fn read(&mut self, value: &Value, path: &mut String) {
        const ELSEWHERE: [&str; 10] = [
            ".message",
            ".observables",
            ".metadata.uid",
            ".metadata.processed_time",
            ".metadata.version",
            ".raw_data",
            ".raw_data_hash",
            ".raw_data_size",
            ".unmapped._redacted",
            ".type_uid",
        ];
        if ELSEWHERE.contains(&path.as_str()) {
            return;
        }
        match value {
            Value::Null => {}
            Value::Bool(flag) => {
                self.flags.insert(*flag);
                self.place(path, flag.to_string());
            }
            Value::Number(number) => {
                self.numbers.insert(number.to_string());
                self.place(path, number.to_string());
            }
            Value::String(text) => {
                self.texts.insert(text.trim().to_owned());
                self.place(path, text.trim().to_owned());
            }
            Value::Array(items) => items.iter().for_each(|item| self.read(item, path)),
            Value::Object(members) => {
                for (name, value) in members {
                    // A list of named values can become members.
                    self.texts.insert(name.trim().to_owned());
                    let length = path.len();
                    path.push('.');
                    path.push_str(name);
                    self.read(value, path);
                    path.truncate(length);
                }
            }
        }
    }

    fn place(&mut self, path: &str, text: String) {
        self.placed.entry(path.to_owned()).or_default().insert(text);
    }

    /// Whether the event has that text at a place.
    fn has(&self, path: &str, text: &str) -> bool {
        self.any(path, |found| found == text)
    }

    /// Whether the event has such a text at a place.
    fn any(&self, path: &str, is: impl Fn(&str) -> bool) -> bool {
        self.placed.get(path).is_some_and(|texts| texts.iter().any(|text| is(text)))
    }
}

fn nothing(leaf: &Leaf<'_>, _: &Places) -> bool {
    match leaf.value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty() || (text == "Other." && leaf.ends("failureReason")),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn same(leaf: &Leaf<'_>, places: &Places) -> bool {
    match leaf.value {
        Value::String(text) => places.texts.contains(text.trim()),
        Value::Number(number) => places.numbers.contains(&number.to_string()),
        Value::Bool(flag) => places.flags.contains(flag),
        _ => false,
    }
}

fn retyped(leaf: &Leaf<'_>, places: &Places) -> bool {
    match leaf.value {
        Value::String(text) => {
            let text = text.trim();
            let number = text.parse::<i64>().is_ok_and(|n| places.numbers.contains(&n.to_string()))
                || text.parse::<f64>().is_ok_and(|n| places.numbers.contains(&json!(n).to_string()));
            let flag = (text.eq_ignore_ascii_case("true") && places.flags.contains(&true))
                || (text.eq_ignore_ascii_case("false") && places.flags.contains(&false));
            number || flag
        }
        Value::Number(number) => {
            places.texts.contains(&number.to_string())
                || number.as_f64().is_some_and(|n| places.numbers.contains(&json!(n).to_string()))
                || number
                    .as_f64()
                    .filter(|n| n.fract() == 0.0)
                    .is_some_and(|n| places.numbers.contains(&format!("{n:.0}")))
        }
        Value::Bool(flag) => places.texts.contains(&flag.to_string()),
        _ => false,
    }
}

fn time(leaf: &Leaf<'_>, places: &Places) -> bool {
    let ms = leaf.value.as_str().and_then(times::parse);
    ms.is_some_and(|ms| places.numbers.contains(&ms.to_string()))
}

fn address(leaf: &Leaf<'_>, places: &Places) -> bool {
    let text = leaf.value.as_str().unwrap_or_default();
    let (host, port) = match addresses::parse(text) {
        Some(addresses::Address::Ip(ip, port)) => (ip.to_string(), port),
        Some(addresses::Address::Host(host, port)) => (host.to_owned(), port),
        None => return false,
    };
    places.texts.contains(&host) && port.is_none_or(|port| places.numbers.contains(&port.to_string()))
}

fn untangled(leaf: &Leaf<'_>, places: &Places) -> bool {
    let text = leaf.value.as_str().unwrap_or_default().trim();
    if !text.starts_with(['{', '[', '"']) {
        return false;
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return false };
    let mut path = leaf.path.clone();
    let mut all = true;
    leaves(&value, &mut path, &mut |inner| all &= accounted(&inner, places).is_some());
    all
}

fn escaped(leaf: &Leaf<'_>, places: &Places) -> bool {
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let text = leaf.text();
    !text.is_empty()
        && [".file.url.url_string", ".web_resources.url_string"]
            .iter()
            .any(|path| places.any(path, |t| plain(t) == plain(text)))
}

fn bare(leaf: &Leaf<'_>, places: &Places) -> bool {
    let text = leaf.text();
    let short = text.trim_start_matches("#microsoft.graph.security.").trim_end_matches(['.', '/', '\\', ' ']);
    short != text && places.texts.contains(short)
}

fn without_kind(leaf: &Leaf<'_>, places: &Places) -> bool {
    let text = leaf.text();
    if matches!(leaf.path.as_slice(), ["Actor" | "Target", "ID"]) {
        let of = |object: &str| places.placed.keys().any(|path| path.starts_with(object));
        match text {
            "User" => return of(".actor.user") || of(".user") || of(".entity"),
            "ServicePrincipal" => {
                return places.has(".actor.user.type", "Service") || of(".entity") || of(".resources") || of(".user");
            }
            _ => {}
        }
    }
    [
        "User_",
        "ServicePrincipal_",
        "Group_",
        "Application_",
        "Device_",
        "Role_",
        "Policy_",
        "urn:spo:guest#",
        "urn:spo:anon#",
    ]
    .iter()
    .filter_map(|kind| text.strip_prefix(kind))
    .any(|id| places.texts.contains(id))
}

fn parts(leaf: &Leaf<'_>, places: &Places) -> bool {
    let text = leaf.text();
    let found = |part: &str| places.texts.contains(part.trim()) || places.numbers.contains(part.trim());
    let all = |parts: &mut dyn Iterator<Item = &str>| parts.map(str::trim).filter(|p| !p.is_empty()).all(found);
    match *leaf.path.last().unwrap_or(&"") {
        // `a.pdf (12b); b.docx (7b)`
        "Attachments" => {
            text.split(';').map(str::trim).filter(|p| !p.is_empty()).all(|file| match file.rsplit_once(" (") {
                Some((name, size)) if size.ends_with("b)") => found(name) && found(size.trim_end_matches("b)")),
                _ => found(file),
            })
        }
        // `-Name "Payment cards" -Force`
        "Parameters" if text.starts_with('-') => text.trim_start_matches('-').split(" -").all(|part| {
            let (name, value) = part.split_once(' ').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            found(name) && (value.is_empty() || found(value) || value.starts_with('$'))
        }),
        "MemberRights" | "logonLocation" | "sourceLocation" | "destinationLocation" => all(&mut text.split(',')),
        // `Client=OWA;Mozilla/5.0 (…);`
        "ClientInfoString" => {
            text.split_once(';').is_some_and(|(client, agent)| found(client) && found(agent.trim_end_matches(';')))
        }
        // `NT AUTHORITY\SYSTEM (program)`
        "UserId" | "UserKey" => {
            text.split_once('(').is_some_and(|(name, program)| found(name) && found(program.trim_end_matches(')')))
        }
        // What is before the @ of the user's address.
        "accountName" => {
            places.any(".evidences.user.email_addr", |address| address.split('@').next() == Some(text))
                || places.any(".evidences.process.user.email_addr", |address| address.split('@').next() == Some(text))
                || places.any(".evidences.actor.user.email_addr", |address| address.split('@').next() == Some(text))
        }
        _ => false,
    }
}

fn joined(leaf: &Leaf<'_>, places: &Places) -> bool {
    const JOINED: [(&str, &str); 9] = [
        ("failureReason", ".status_detail"),
        ("additionalDetails", ".status_detail"),
        ("DeliveryAction", ".status_detail"),
        ("OriginalDeliveryLocation", ".status_detail"),
        ("LatestDeliveryLocation", ".status_detail"),
        ("comments", ".comment"),
        ("recommendedActions", ".remediation.desc"),
        ("registryHive", ".evidences.reg_key.path"),
        ("registryKey", ".evidences.reg_key.path"),
    ];
    let text = leaf.text();
    JOINED.iter().any(|(name, path)| {
        leaf.ends(name)
            && (places.any(path, |whole| whole.contains(text))
                || places.any(&path.replace("reg_key", "reg_value"), |whole| whole.contains(text)))
    })
}

fn named(leaf: &Leaf<'_>, places: &Places) -> bool {
    const NAMED: [(&str, &str); 10] = [
        ("UserAgent", ".http_request.user_agent"),
        ("User-Agent", ".http_request.user_agent"),
        ("OS", ".device.os.name"),
        ("Id", ".device.uid"),
        ("DisplayName", ".device.name"),
        ("IsCompliant", ".device.is_compliant"),
        ("IsCompliantAndManaged", ".device.is_managed"),
        ("SessionId", ".session.uid"),
        ("SPF", ".email_auth.spf"),
        ("DKIM", ".email_auth.dkim"),
    ];
    (leaf.ends("Name") || leaf.ends("Key") || leaf.ends("key"))
        && NAMED
            .iter()
            .chain(&[("DMARC", ".email_auth.dmarc")])
            .any(|(name, path)| leaf.text().eq_ignore_ascii_case(name) && places.placed.contains_key(*path))
}

fn decoded(leaf: &Leaf<'_>, places: &Places) -> bool {
    let word = match leaf.value {
        Value::String(text) => text.trim().to_owned(),
        Value::Object(_) | Value::Array(_) => return false,
        other => other.to_string(),
    };
    // The documented kinds of a claim, by the attribute that its id became.
    if matches!(leaf.path.as_slice(), ["Actor" | "Target", "Type"]) {
        return matches!(word.as_str(), "0" | "1" | "2" | "3" | "4" | "5");
    }
    if leaf.ends("type") || leaf.ends("Type") {
        let object = format!(".{}.", word.to_ascii_lowercase());
        if ["User", "Group"].contains(&word.as_str()) && places.placed.keys().any(|path| path.starts_with(&object)) {
            return true;
        }
    }
    let lines = include_str!("closed_lists.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').collect::<Vec<_>>()).any(|columns| {
        let [members, paths, words] = columns.as_slice() else { panic!("three columns: {columns:?}") };
        members.split(' ').any(|name| leaf.ends(name))
            && words
                .split("; ")
                .filter_map(|pair| pair.split_once('='))
                .any(|(from, to)| from.eq_ignore_ascii_case(&word) && paths.split(' ').any(|path| places.has(path, to)))
    })
}

/// The rule by which a leaf is in the event.
pub fn accounted(leaf: &Leaf<'_>, places: &Places) -> Option<&'static str> {
    RULES.iter().find(|(_, rule)| rule(leaf, places)).map(|(name, _)| *name)
}

/// Calls with each leaf of a value.
pub fn leaves<'v>(value: &'v Value, path: &mut Vec<&'v str>, each: &mut dyn FnMut(Leaf<'v>)) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                path.push(name);
                leaves(value, path, each);
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| leaves(item, path, each)),
        _ => each(Leaf { path: path.clone(), value }),
    }
}
