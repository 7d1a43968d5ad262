//! On what something was done: ids and names of the record, at the event's attributes for its class.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    raw::{is_something, text},
    records::Record,
};

/// Whether the events of a record are about what the record is about.
pub fn check(record: &Record, events: &[Value]) -> Result<(), String> {
    let raw = &record.value;
    match record.stream.as_str() {
        "graph.alerts" | "graph.alerts-legacy" => alert(raw, &events[0]),
        "graph.directory-audits" => audit(raw, events),
        graph if graph.starts_with("graph.signins") => sign_in(raw, &events[0]),
        "office365.dlp" => dlp(raw, &events[0]),
        _ => activity(raw, events),
    }
}

/// All texts under one of the paths of an event, lists walked through.
fn texts(event: &Value, paths: &[&str]) -> BTreeSet<String> {
    fn walk(value: &Value, path: &[&str], into: &mut BTreeSet<String>) {
        match (value, path.split_first()) {
            (Value::Array(items), _) => items.iter().for_each(|item| walk(item, path, into)),
            (Value::String(text), None) => {
                into.insert(text.clone());
            }
            (Value::Object(members), Some((name, rest))) => {
                if let Some(value) = members.get(*name) {
                    walk(value, rest, into);
                }
            }
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    for path in paths {
        walk(event, &path.split('.').collect::<Vec<_>>(), &mut all);
    }
    all
}

fn expect(event: &Value, said: Option<&str>, paths: &[&str]) -> Result<(), String> {
    let Some(said) = said.filter(|said| is_something(said)) else { return Ok(()) };
    let found = texts(event, paths);
    if found.contains(said) { Ok(()) } else { Err(format!("the record says {said}, the event {found:?} at {paths:?}")) }
}

fn alert(raw: &Value, event: &Value) -> Result<(), String> {
    expect(event, text(raw, "id"), &["finding_info.uid"])?;
    expect(event, text(raw, "title"), &["finding_info.title"])?;
    expect(event, text(raw, "category"), &["finding_info.types"])?;
    let severity = text(raw, "severity").unwrap_or_default().to_lowercase();
    let number =
        ["unknown", "informational", "low", "medium", "high"].iter().position(|word| *word == severity).unwrap_or(0);
    if event["severity_id"].as_u64() != Some(number as u64) {
        return Err(format!("severity {severity} became {}", event["severity_id"]));
    }
    let evidence = raw.get("evidence").and_then(Value::as_array).map_or(0, Vec::len);
    let (found, malware) =
        (event["evidences"].as_array().map_or(0, Vec::len), event["malware"].as_array().map_or(0, Vec::len));
    if found + malware < evidence { Err(format!("{evidence} pieces of evidence became {found}")) } else { Ok(()) }
}

fn audit(raw: &Value, events: &[Value]) -> Result<(), String> {
    const PLACES: [&str; 12] = [
        "user.uid",
        "user.name",
        "user.full_name",
        "group.uid",
        "group.name",
        "entity.uid",
        "entity.name",
        "resources.uid",
        "resources.name",
        "entity.data.relatedTargets.uid",
        "entity.data.relatedTargets.name",
        "unmapped.targetResources.id",
    ];
    let targets = raw.get("targetResources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, target) in targets.iter().enumerate() {
        // The first is what it is about; the others are at least there.
        let places = if index == 0 && targets.len() == 1 { &PLACES[..11] } else { &PLACES[..] };
        let id = text(target, "id").filter(|id| is_something(id));
        let name = text(target, "userPrincipalName").or(text(target, "displayName"));
        events.iter().try_for_each(|event| expect(event, id.or(name), places))?;
    }
    events.iter().try_for_each(|event| role(targets, event))
}

/// A role that was given or taken: by the properties of the change, which write texts as JSON.
fn role(targets: &[Value], event: &Value) -> Result<(), String> {
    if event["class_uid"] != 3005 {
        return Ok(());
    }
    let user = targets.iter().find(|target| target["type"] == "User").and_then(|target| text(target, "id"));
    expect(event, user, &["user.uid"])?;
    for property in targets.iter().filter_map(|t| t["modifiedProperties"].as_array()).flatten() {
        let value = text(property, "newValue").or(text(property, "oldValue")).unwrap_or_default();
        let value: String = serde_json::from_str(value).unwrap_or_default();
        if property["displayName"] == "Role.DisplayName" {
            expect(event, Some(&value), &["privileges"])?;
        }
    }
    Ok(())
}

/// Rights on a mailbox: who got or lost which, by the parameters of the cmdlet.
fn rights(raw: &Value, event: &Value) -> Result<(), String> {
    let parameter = |name: &str| raw["Parameters"].as_array()?.iter().find(|p| p["Name"] == name)?["Value"].as_str();
    let whom = parameter("User").or_else(|| parameter("Trustee"));
    // A canonical name ends in that of the user.
    expect(event, whom.and_then(|name| name.rsplit('/').next()), &["user.name", "user.uid"])?;
    let rights = parameter("AccessRights").unwrap_or_default();
    rights
        .split([',', '{', '}'])
        .map(str::trim)
        .filter(|right| !right.is_empty())
        .try_for_each(|right| expect(event, Some(right), &["privileges"]))
}

fn sign_in(raw: &Value, event: &Value) -> Result<(), String> {
    expect(event, text(raw, "resourceDisplayName"), &["service.name"])?;
    expect(event, text(raw, "resourceId"), &["service.uid"])?;
    expect(event, text(raw, "appDisplayName"), &["actor.app_name"])?;
    expect(event, text(raw, "appId"), &["actor.app_uid"])?;
    let code = raw.pointer("/status/errorCode").and_then(Value::as_i64).map(|code| code.to_string());
    expect(event, code.as_deref(), &["status_code"])
}

fn dlp(raw: &Value, event: &Value) -> Result<(), String> {
    expect(event, text(raw, "IncidentId").or(text(raw, "Id")), &["finding_info.uid"])?;
    let policy = raw.pointer("/PolicyDetails/0").unwrap_or(&Value::Null);
    expect(event, text(policy, "PolicyName"), &["data_security.policy.name"])?;
    expect(event, text(&policy["Rules"][0], "RuleName"), &["finding_info.analytic.name"])?;
    expect(event, raw.pointer("/SharePointMetaData/FileName").and_then(Value::as_str), &["file.name"])?;
    expect(event, raw.pointer("/ExchangeMetaData/Subject").and_then(Value::as_str), &["resources.name"])
}

/// The places of an event for the id of its object.
const OBJECTS: [&str; 19] = [
    "entity.uid",
    "entity.name",
    "group.uid",
    "group.name",
    "user.uid",
    "user.name",
    "user.full_name",
    "service.uid",
    "service.name",
    "file.url.url_string",
    "file.path",
    "file.name",
    "web_resources.uid",
    "web_resources.name",
    "resources.uid",
    "resources.name",
    "email.uid",
    "email.message_uid",
    "finding_info.uid",
];

fn activity(raw: &Value, events: &[Value]) -> Result<(), String> {
    for event in events {
        match event["class_uid"].as_i64().unwrap_or_default() {
            6006 => file(raw, event)?,
            6001 => items(raw, event)?,
            4009 => {
                expect(event, raw.pointer("/Item/InternetMessageId").and_then(Value::as_str), &["email.message_uid"])?
            }
            3005 if text(raw, "Operation").is_some_and(|name| name.ends_with("Permission")) => rights(raw, event)?,
            2004 => expect(event, text(raw, "AlertId").or(text(raw, "InvestigationId")), &["finding_info.uid"])?,
            _ => {}
        }
        if let Some(id) = object(raw, event).filter(|id| is_something(id)) {
            // `%20` and the like are the same address.
            let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            let found: BTreeSet<String> = texts(event, &OBJECTS).iter().map(|text| plain(text)).collect();
            if !found.contains(&plain(&id)) {
                return Err(format!("the object {id} is not among {found:?}"));
            }
        }
    }
    members(raw, events)
}

/// The id or name of what the record is about.
fn object(raw: &Value, event: &Value) -> Option<String> {
    let id = text(raw, "ObjectId").map(str::to_owned);
    match (raw["RecordType"].as_i64(), event["class_uid"].as_i64().unwrap_or_default()) {
        // Of the directory: the id behind its kind among the targets, else behind that of the object.
        (Some(8), _) => {
            let targets = raw["Target"].as_array().into_iter().flatten().filter_map(|target| text(target, "ID"));
            let mut ids = targets
                .chain(text(raw, "ObjectId"))
                .filter_map(|id| id.split_once('_'))
                .filter(|(_, id)| id.len() == 36);
            let named = || raw["Target"].as_array()?.iter().find(|target| target["Type"] == 1)?["ID"].as_str();
            ids.next().map(|(_, id)| id).or_else(named).map(str::to_owned).or(id)
        }
        // A quarantined message, by the network's id of it.
        (Some(65), _) => text(raw, "NetworkMessageId").map(str::to_owned),
        // Of a session of Teams, it is the client.
        (Some(25), 3002) => None,
        // Findings and mail have ids of their own, which are compared above.
        (_, 2004 | 4009) => None,
        // A group of a site, of which `ObjectId` is the site: its name is in the event's data, or is the new one.
        (Some(4 | 14), 3006) => {
            let data = text(raw, "EventData").unwrap_or_default();
            let told = data
                .split_once("Added to group>")
                .map(|(_, rest)| rest.split('<').next().unwrap_or_default().to_owned());
            told.or_else(|| {
                raw["ModifiedProperties"].as_array()?.iter().find(|p| p["Name"] == "Name")?["NewValue"]
                    .as_str()
                    .map(str::to_owned)
            })
        }
        // A new mailbox: its user, not its place in Exchange's directory.
        (Some(1), 3001) => {
            let names = ["UserPrincipalName", "MicrosoftOnlineServicesID", "PrimarySmtpAddress", "Identity", "Name"];
            let parameter =
                |name: &&str| raw["Parameters"].as_array()?.iter().find(|p| p["Name"] == **name)?["Value"].as_str();
            names.iter().find_map(parameter).map(str::to_owned).or_else(|| Some(id?.rsplit('/').next()?.to_owned()))
        }
        _ => id,
    }
}

fn file(raw: &Value, event: &Value) -> Result<(), String> {
    expect(event, text(raw, "SourceFileName"), &["file.name"])?;
    expect(event, text(raw, "SourceFileExtension"), &["file.ext"])?;
    expect(event, text(raw, "DestinationFileName"), &["file_result.name"])?;
    match text(raw, "ItemType") {
        Some("File") if event["file"]["type_id"] != serde_json::json!(1) => {
            Err("a file is not of the type File".to_owned())
        }
        Some("Folder") if event["file"]["type_id"] != serde_json::json!(2) => {
            Err("a folder is not of the type Folder".to_owned())
        }
        _ => Ok(()),
    }
}

/// Each message that mailbox auditing lists is a resource.
fn items(raw: &Value, event: &Value) -> Result<(), String> {
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut listed = list(raw, "AffectedItems");
    for folder in list(raw, "Folders") {
        let inside = list(&folder, "FolderItems");
        if inside.is_empty() {
            expect(event, text(&folder, "Id"), &["web_resources.uid"])?;
        }
        listed.extend(inside);
    }
    for item in &listed {
        expect(event, text(item, "InternetMessageId"), &["web_resources.uid"])?;
        expect(event, text(item, "Subject"), &["web_resources.name"])?;
    }
    if !listed.is_empty() {
        expect(event, text(raw, "MailboxOwnerUPN"), &["dst_endpoint.owner.name", "dst_endpoint.owner.uid"])?;
    }
    expect(event, raw.pointer("/Item/InternetMessageId").and_then(Value::as_str), &["web_resources.uid"])
}

/// Each member of a team that was added, removed or given a role has an event of its own.
fn members(raw: &Value, events: &[Value]) -> Result<(), String> {
    let operation = text(raw, "Operation").unwrap_or_default();
    if !["MemberAdded", "MemberRemoved", "MemberRoleChanged"].contains(&operation) {
        return Ok(());
    }
    let said: BTreeSet<String> =
        raw["Members"].as_array().into_iter().flatten().filter_map(|m| text(m, "UPN")).map(str::to_owned).collect();
    let found: BTreeSet<String> = events.iter().flat_map(|event| texts(event, &["user.name"])).collect();
    if said == found { Ok(()) } else { Err(format!("the members are {said:?}, the events are of {found:?}")) }
}
