//! The rest of `Audit.General`: Power BI, Forms, Viva Engage, eDiscovery, Dynamics, Planner, quarantine, attack simulation and what comes
//! after them. OCSF Web Resources Activity, File Hosting Activity, and the classes of groups, accounts and settings.
//!
//! Invariant: a record whose thing has neither name nor id goes through [`generic::map`]; only the members that name things are known
//! here, and all others stay.

use std::borrow::Cow;

use super::{
    caller,
    context::Context,
    event::{Attributes, Event, attr, object},
    findings, generic,
    record::{Node, Object},
    tables::{self, Known},
    users, web_resource,
};

/// How a workload names a thing: the kind, and the members of its id and its name; the first that is there is what the record is about.
struct Naming {
    kind: &'static str,
    uid: &'static str,
    name: &'static str,
}

const fn naming(kind: &'static str, uid: &'static str, name: &'static str) -> Naming {
    Naming { kind, uid, name }
}

/// Microsoft: Management Activity API, Power BI schema; the ids are beside the names.
const POWER_BI: [Naming; 6] = [
    naming("Report", "ReportId", "ReportName"),
    naming("Dashboard", "DashboardId", "DashboardName"),
    naming("Dataset", "DatasetId", "DatasetName"),
    naming("Item", "ArtifactId", "ArtifactName"),
    naming("Item", "ObjectId", "ItemName"),
    naming("Workspace", "WorkspaceId", "WorkSpaceName"),
];
const FORMS: [Naming; 1] = [naming("Form", "FormId", "FormName")];
const YAMMER: [Naming; 4] = [
    naming("File", "FileId", "FileName"),
    naming("Group", "GroupId", "GroupName"),
    naming("Message", "MessageId", ""),
    naming("Thread", "ThreadId", ""),
];
const DYNAMICS: [Naming; 1] = [naming("", "EntityId", "PrimaryFieldValue")];
const QUARANTINE: [Naming; 1] = [naming("Quarantined message", "NetworkMessageId", "")];
const ENCRYPTED_MAIL: [Naming; 2] =
    [naming("Attachment", "", "AttachmentName"), naming("Encrypted message", "MessageId", "")];
const VIVA_GOALS: [Naming; 1] = [naming("Organization", "", "OrganizationName")];
const INSIGHTS: [Naming; 1] = [naming("Security data", "", "DataType")];
const SIMULATION: [Naming; 3] = [
    naming("Attack simulation campaign", "CampaignId", ""),
    naming("Attack simulation campaign", "Campaign ID", ""),
    naming("Training course", "CourseId", ""),
];
const DEFENDER_RESPONSE: [Naming; 1] = [naming("Device", "DeviceId", "DeviceName")];

fn namings(record_type: i64) -> &'static [Naming] {
    match record_type {
        20 | 357 => &POWER_BI,
        66 => &FORMS,
        22 => &YAMMER,
        21 => &DYNAMICS,
        52 => &INSIGHTS,
        65 => &QUARANTINE,
        85 | 88 | 218 => &SIMULATION,
        110 => &DEFENDER_RESPONSE,
        154 => &ENCRYPTED_MAIL,
        216 => &VIVA_GOALS,
        _ => &[],
    }
}

/// A record of `Audit.General` that no other mapping knows better.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let mapped = match context.rule.class_uid {
        6001 => web_activity(context, record),
        6006 => file_activity(context, record),
        3006 => group_change(context, record),
        3001 => account_change(context, record),
        3004 | 3005 if !namings(context.record_type_number()).is_empty() => return change(context, record),
        _ => None,
    };
    mapped.map_or_else(|| generic::map(context, record), |event| vec![event])
}

/// What the record is about. Looks, and takes only once it is found.
fn thing<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Attributes<'r>> {
    let number = context.record_type_number();
    for naming in namings(number) {
        let (uid, name) = (text(context, record, naming.uid), text(context, record, naming.name));
        if uid.is_none() && name.is_none() {
            continue;
        }
        let kind = match naming.kind {
            "Item" => record.peek_str("ArtifactKind").unwrap_or(match context.rule.object {
                "" => "Item",
                object => object,
            }),
            "" => record.peek_str("EntityName").unwrap_or("Record"),
            kind => kind,
        };
        let resource = web_resource::new(kind, uid, name);
        if resource.is_some() {
            for (name, told) in [(naming.uid, uid), (naming.name, name)] {
                if told.is_some() {
                    record.take(name);
                }
            }
            spend_object(record, &[uid, name]);
            return resource;
        }
    }
    // Any other: the object, of the kind that the operation's line names, else by the record type's own name.
    let object = record.peek_str("ObjectId").filter(|id| !users::is_nobody(id))?;
    let kind = match context.rule.object {
        "" => context.record_type.map(|t| t.name).filter(|n| !n.is_empty()).unwrap_or(context.workload),
        kind => kind,
    };
    let resource = web_resource::new(kind, Some(object), web_resource::last_part(object));
    record.take("ObjectId");
    resource
}

fn text<'r>(context: &Context<'r>, record: &'r Object<'r>, name: &str) -> Option<&'r str> {
    match record.peek(name)?.to_text()? {
        text if users::is_nobody(&text) => None,
        Cow::Borrowed(text) => Some(text),
        Cow::Owned(text) => Some(context.hold(&text)),
    }
}

/// `ObjectId` often says again what another member says.
fn spend_object<'r>(record: &'r Object<'r>, said: &[Option<&'r str>]) {
    record.take_if("ObjectId", |n| n.as_str().map(str::trim).filter(|id| said.contains(&Some(*id))));
}

fn web_activity<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Event<'r>> {
    let mut resource = thing(context, record)?;
    let members: &[&str] = match context.record_type_number() {
        20 | 357 => &[
            "SharingInformation",
            "WorkSpaceName",
            "WorkspaceId",
            "DatasetName",
            "DatasetId",
            "DashboardName",
            "CapacityName",
        ],
        66 => &["FormTypes", "ActivityParameters"],
        65 => &["ReleaseTo"],
        _ => &[],
    };
    let data = web_resource::take_members(context, record, members);
    resource.set(attr::DATA, data);
    let mut event = Event::new(6001, activity(context, record), context.operation);
    if let Some(url) = record.take_if("ItemUrl", |n| n.as_str().filter(|u| u.contains("://"))) {
        resource.set(attr::URL_STRING, url);
    }
    event.set(attr::WEB_RESOURCES, vec![resource]);
    write_common(context, record, &mut event);
    Some(event)
}

/// The activity: of a request about quarantine by its type (Microsoft: enumeration RequestType), of a row of Dynamics by the message
/// that was sent to it, else what the tables say.
fn activity<'r>(context: &Context<'r>, record: &'r Object<'r>) -> i64 {
    match context.record_type_number() {
        21 if context.known == Known::Not => {
            record.peek_str("Message").map_or(99, |message| tables::by_verb(6001, message))
        }
        65 => {
            let kind = record.peek("RequestType").and_then(Node::to_text).unwrap_or_default();
            match kind.to_ascii_lowercase().as_str() {
                "0" | "preview" | "4" | "viewheader" => 2,
                "1" | "delete" => 4,
                "3" | "export" => 7,
                "" => context.activity(),
                _ => 99,
            }
        }
        _ => context.activity(),
    }
}

/// Caller and outcome; Power BI says the latter in a way of its own.
fn write_common<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &mut Event<'r>) {
    caller::write(context, record, event);
    if let Some(success) = record.take_bool("IsSuccess") {
        event.set_enum(attr::STATUS_ID, if success { 1 } else { 2 }, None);
        event.set_severity(if success { 1 } else { 2 });
        record.put_back("ResultStatus");
    }
    let power_bi = [20, 357].contains(&context.record_type_number());
    if let Some(id) = record.take_if("ActivityId", |n| n.as_str().filter(|id| power_bi && !users::is_nobody(id))) {
        event.metadata().set(attr::CORRELATION_UID, id);
    }
}

/// Files of Viva Engage.
fn file_activity<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Event<'r>> {
    let name = record.peek_str("FileName").or_else(|| record.peek_str("ObjectId"));
    let mut file = findings::file(name, None);
    if file.is_empty() {
        return None;
    }
    record.take_same("FileName", &[name]);
    spend_object(record, &[name]);
    file.set(attr::UID, record.take_text("FileId"));
    let mut event = context.event();
    event.set(attr::FILE, file);
    write_common(context, record, &mut event);
    Some(event)
}

fn group_change<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Event<'r>> {
    let name = record.peek_str("GroupName").or_else(|| record.peek_str("ObjectId")).filter(|n| !users::is_nobody(n))?;
    let mut group = Attributes::of(&object::GROUP);
    group.set(attr::NAME, name);
    group.set(attr::TYPE, context.workload);
    record.take_same("GroupName", &[Some(name)]);
    spend_object(record, &[Some(name)]);
    let mut event = context.event();
    event.set(attr::GROUP, group);
    write_common(context, record, &mut event);
    Some(event)
}

/// A user of Viva Engage who was suspended, or a sender who was barred from sending or let in again.
fn account_change<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Event<'r>> {
    if context.record_type_number() == 51 {
        return sender_change(context, record);
    }
    let name =
        record.peek_str("TargetUserId").or_else(|| record.peek_str("ObjectId")).filter(|n| !users::is_nobody(n))?;
    record.take_same("TargetUserId", &[Some(name)]);
    spend_object(record, &[Some(name)]);
    let mut event = context.event();
    event.set(attr::USER, findings::user(Some(name)));
    write_common(context, record, &mut event);
    Some(event)
}

/// The user of a hygiene record is who was barred, not who barred them (Microsoft: Management Activity API, hygiene events schema).
fn sender_change<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Event<'r>> {
    record.peek_str("UserId").filter(|n| !users::is_nobody(n))?;
    let id = match record.peek_str("Event").map(str::to_ascii_lowercase).as_deref() {
        Some("listed") => 5,
        Some("delisted") => 2,
        _ => context.activity(),
    };
    let mut event = Event::new(3001, id, context.operation);
    event.set(attr::USER, users::person_alone(record).user());
    generic::write_status(context, record, &mut event);
    event.set(attr::STATUS_DETAIL, record.take_str("Reason"));
    Some(event)
}

/// A setting, or who may use a workspace: User Access Management if the record says who got which role, else Entity Management.
fn change<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let members: Vec<(&str, &str)> = record
        .items("MembershipInformation")
        .iter()
        .filter_map(Node::as_object)
        .filter_map(|m| Some((m.peek_str("MemberEmail")?, m.peek_str("Status")?)))
        .collect();
    if context.rule.class_uid == 3005 && !members.is_empty() && context.has_room_for(members.len()) {
        let two = |item: &Node<'_>| item.as_object().is_some_and(|m| m.members().len() == 2);
        let items = record.items("MembershipInformation");
        if members.len() == items.len() && items.iter().all(two) {
            record.take("MembershipInformation");
        }
        let mut event = context.event();
        let workspace = ("WorkSpaceName", "WorkspaceId");
        let name = record.take_str(workspace.0);
        event.set(attr::RESOURCES, vec![findings::resource("Workspace", record.take_str(workspace.1), name, 1)]);
        write_common(context, record, &mut event);
        let granted = members.into_iter().map(|(name, role)| {
            let mut event = event.clone();
            event.set(attr::USER, findings::user(Some(name)));
            event.set(attr::PRIVILEGES, vec![role]);
            event
        });
        return granted.collect();
    }
    let Some(thing) = thing(context, record) else { return generic::map(context, record) };
    let id = if context.rule.class_uid == 3004 { context.activity() } else { tables::by_verb(3004, context.operation) };
    let mut event = Event::new(3004, id, context.operation);
    let mut entity = Attributes::of(&object::MANAGED_ENTITY);
    entity.set(attr::UID, thing.get(attr::UID).cloned());
    entity.set(attr::NAME, thing.get(attr::NAME).cloned());
    generic::write_entity_type(&mut entity, thing.text(attr::TYPE));
    let members = ["SwitchState", "ModifiedProperties", "MembershipInformation", "ActivityParameters"];
    entity.set(attr::DATA, web_resource::take_members(context, record, &members));
    event.set(attr::ENTITY, entity);
    write_common(context, record, &mut event);
    vec![event]
}
