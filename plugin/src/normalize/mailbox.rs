//! Mailbox auditing (record types 2, 3, 19 and 50, and mailbox searches, 101): who read, changed, moved or deleted which items of whose
//! mailbox (OCSF Web Resources Activity), who may (User Access Management), and rules that outlook clients change (Entity Management).
//!
//! Invariant: one resource for each message or folder that the record lists; a list is taken only if each of its items became
//! a resource, else it stays in the record.

use std::borrow::Cow;

use super::{
    caller,
    context::Context,
    event::{Attributes, Event, Members, Value, attr, object},
    generic, mail_sent, named_values,
    record::{Node, Object},
    times,
    users::{self, Person},
    web_resource,
};

const MESSAGE: &str = "Email message";
/// What has no message id can as well be an appointment, a contact or a draft.
const ITEM: &str = "Mailbox item";
const FOLDER: &str = "Mail folder";

/// A record of mailbox auditing.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    match context.rule.class_uid {
        4009 => mail_sent::map(context, record),
        3005 => folder_permission(context, record),
        3004 => inbox_rule(context, record),
        _ => None,
    }
    .or_else(|| items(context, record))
    .unwrap_or_else(|| generic::map(context, record))
}

/// The mailbox's owner, so that access by somebody else can be searched for.
pub fn write_owner<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &mut Event<'r>) {
    let mut endpoint = Attributes::of(&object::NETWORK_ENDPOINT);
    endpoint.set(attr::OWNER, owner(record));
    if !endpoint.is_empty() {
        record.take("MailboxOwnerUPN");
        endpoint.set(attr::SVC_NAME, if context.workload.is_empty() { "Exchange" } else { context.workload });
    }
    event.set(attr::DST_ENDPOINT, endpoint);
}

fn owner<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let mut person = Person::default();
    if let Some(upn) = record.peek_str("MailboxOwnerUPN") {
        person.read_name(upn);
    }
    person.user()
}

/// An id that is one: Exchange writes words where it has none.
fn id<'r>(object: &'r Object<'r>, name: &'r str) -> Option<&'r str> {
    object.peek_str(name).filter(|id| !users::is_nobody(id) && *id != "ErrorDuringIdConversion")
}

/// Items and folders that were read, changed, moved, deleted or searched.
fn items<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let mut resources = Vec::new();
    for (list, items) in [("Folders", "FolderItems"), ("Messages", "MessageItems")] {
        if let Some(mut found) = aggregated(context, record, list, items) {
            record.take(list);
            resources.append(&mut found);
        }
    }
    let affected: Option<Vec<_>> =
        record.items("AffectedItems").iter().map(|item| message(context, item.as_object()?)).collect();
    if let Some(mut affected) = affected {
        record.take("AffectedItems");
        resources.append(&mut affected);
    }
    if let Some(item) = record.object("Item") {
        resources.extend(single(context, record, item));
    }
    if let Some(query) = record.peek_str("QueryText") {
        resources.extend(searched(context, record, query));
    }
    if resources.is_empty()
        && let Some(resource) = record.object("Folder").and_then(|f| folder(context, f))
    {
        record.take("Folder");
        resources.push(resource);
    }
    if resources.is_empty() {
        // Nothing listed: it is the mailbox as a whole.
        resources.extend(web_resource::new("Mailbox", id(record, "MailboxGuid"), id(record, "MailboxOwnerUPN")));
    }
    if resources.is_empty() {
        return None;
    }
    let mut event = if context.rule.class_uid == 6001 { context.event() } else { context.event_of(6001) };
    caller::write(context, record, &mut event);
    if let Some(target) = record.object("DestFolder").and_then(|f| folder(context, f)) {
        record.take("DestFolder");
        event.set(attr::WEB_RESOURCES_RESULT, vec![target_of(context, record, target)]);
    }
    if let Some(upn) = record.peek_str("MailboxOwnerUPN") {
        resources.iter_mut().for_each(|r| add(r, "MailboxOwnerUPN", upn));
    }
    write_owner(context, record, &mut event);
    event.set(attr::WEB_RESOURCES, resources);
    event.set(attr::COUNT, record.take_int("OperationCount"));
    Some(vec![event])
}

/// Adds a text to a resource's `data`.
fn add<'r>(resource: &mut Attributes<'r>, name: impl Into<Cow<'r, str>>, text: impl Into<Cow<'r, str>>) {
    let (name, text) = (name.into(), text.into());
    let mut data = match resource.remove(attr::DATA) {
        Some(Value::Open(data)) => data,
        _ => Members::default(),
    };
    if data.get(&name).is_none() {
        data.push(name, Value::Text(text));
    }
    resource.set(attr::DATA, data);
}

/// The folder of another mailbox that items went to.
fn target_of<'r>(context: &Context<'r>, record: &'r Object<'r>, mut target: Attributes<'r>) -> Attributes<'r> {
    const MAILBOX: [&str; 4] =
        ["DestMailboxId", "DestMailboxOwnerUPN", "DestMailboxOwnerSid", "DestMailboxOwnerMasterAccountSid"];
    for (name, value) in web_resource::take_members(context, record, &MAILBOX) {
        if let Value::Text(text) = value {
            add(&mut target, name, text);
        }
    }
    target
}

/// Aggregated access: one resource for each item, or for the folder if it lists none. None if there is no such list or one of its
/// entries can't be read.
fn aggregated<'r>(
    context: &Context<'r>,
    record: &'r Object<'r>,
    list: &'r str,
    items: &'r str,
) -> Option<Vec<Attributes<'r>>> {
    let mut resources = Vec::new();
    for entry in record.items(list) {
        let entry = entry.as_object()?;
        let listed = entry.items(items);
        // Only the folder's id and path have a place beside each of its items.
        let told = |name: &str, value: &Node<'_>| match name {
            "Path" | "Id" => value.as_str().is_some(),
            name => name == items,
        };
        if !listed.is_empty() && !entry.members().iter().all(|m| told(m.name, &m.value) || m.value.is_empty()) {
            return None;
        }
        if listed.is_empty() {
            resources.push(folder(context, entry)?);
        }
        for item in listed {
            let mut resource = message(context, item.as_object()?)?;
            if let Some(path) = entry.peek_str("Path") {
                add(&mut resource, "Path", path);
            }
            if let Some(uid) = entry.peek_str("Id") {
                add(&mut resource, "FolderId", uid);
            }
            resources.push(resource);
        }
    }
    (!resources.is_empty()).then_some(resources)
}

/// A message or other item, by the id that it has everywhere, else by that of its copy here.
fn message<'r>(context: &Context<'r>, item: &'r Object<'r>) -> Option<Attributes<'r>> {
    let uid = ["InternetMessageId", "ImmutableId", "Id"].iter().find_map(|name| Some((*name, id(item, name)?)));
    let kind = if id(item, "InternetMessageId").is_some() { MESSAGE } else { ITEM };
    let mut resource = web_resource::new(kind, uid.map(|(_, uid)| uid), id(item, "Subject"))?;
    let created = item.peek_str("CreationTime").and_then(times::parse);
    resource.set(attr::CREATED_TIME, created);
    let mut told: Vec<&str> = uid.map(|(name, _)| name).into_iter().collect();
    told.extend(id(item, "Subject").map(|_| "Subject"));
    told.extend(created.map(|_| "CreationTime"));
    resource.set(attr::DATA, web_resource::members(context, item, &told));
    Some(resource)
}

/// `Item`: a message, or a folder where nothing but its folder is told of it. Takes what the resource tells.
fn single<'r>(context: &Context<'r>, record: &'r Object<'r>, item: &'r Object<'r>) -> Option<Attributes<'r>> {
    let parent = item.object("ParentFolder");
    let of_message = ["Subject", "InternetMessageId", "Attachments"].iter().any(|name| id(item, name).is_some());
    match parent {
        Some(parent) if !of_message && (id(item, "Id").is_none() || id(item, "Id") == id(parent, "Id")) => {
            let folder = folder(context, parent)?;
            item.take("ParentFolder");
            item.take_same("Id", &[parent.peek_str("Id")]);
            Some(folder)
        }
        _ => {
            let message = message(context, item)?;
            record.take("Item");
            Some(message)
        }
    }
}

fn folder<'r>(context: &Context<'r>, folder: &'r Object<'r>) -> Option<Attributes<'r>> {
    let name = id(folder, "Path").or_else(|| id(folder, "Name"));
    let mut resource = web_resource::new(FOLDER, id(folder, "Id"), name)?;
    let path = if id(folder, "Path").is_some() { "Path" } else { "Name" };
    let told: Vec<&str> = ["Id", path].into_iter().filter(|name| id(folder, name).is_some()).collect();
    resource.set(attr::DATA, web_resource::members(context, folder, &told));
    Some(resource)
}

/// A search: what was asked, in whose mail.
fn searched<'r>(context: &Context<'r>, record: &'r Object<'r>, query: &'r str) -> Option<Attributes<'r>> {
    let mut resource = web_resource::new("Search", None, Some(query))?;
    resource.set(attr::DATA, web_resource::take_members(context, record, &["QueryText"]));
    Some(resource)
}

/// Rights on a folder: who got or lost which.
fn folder_permission<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let item = record.object("Item")?;
    let parent = item.object("ParentFolder")?;
    let member = id(parent, "MemberUpn").or_else(|| id(parent, "MemberSid"))?;
    let rights: Vec<&str> =
        parent.peek_str("MemberRights")?.split(',').map(str::trim).filter(|r| !r.is_empty()).collect();
    if rights.is_empty() {
        return None;
    }
    let mut person = Person::default();
    person.read_name(member);
    person.uid_alt = parent.take_if("MemberSid", |n| n.as_str().filter(|sid| users::is_sid(sid)));
    let mut event = context.event();
    caller::write(context, record, &mut event);
    event.set(attr::USER, person.user());
    event.set(attr::PRIVILEGES, rights);
    let mut resource = Attributes::of(&object::RESOURCE_DETAILS);
    resource.set(attr::UID, id(parent, "Id"));
    resource.set(attr::NAME, id(parent, "Path").or_else(|| id(parent, "Name")));
    if resource.is_empty() {
        resource.set(attr::NAME, id(record, "MailboxGuid"));
    }
    if !resource.is_empty() {
        resource.set(attr::TYPE, FOLDER);
        let owner = owner(record);
        if !owner.is_empty() {
            record.take("MailboxOwnerUPN");
        }
        resource.set(attr::OWNER, owner);
    }
    parent.take("MemberRights");
    parent.take_same("MemberUpn", &[Some(member)]);
    let told = [resource.text(attr::UID), resource.text(attr::NAME)];
    for name in ["Id", if id(parent, "Path").is_some() { "Path" } else { "Name" }] {
        parent.take_same(name, &told);
    }
    item.take_same("Id", &told);
    event.set(attr::RESOURCES, vec![resource]);
    Some(vec![event])
}

/// A rule that a client changed: `OperationProperties` hold its name, conditions and actions.
fn inbox_rule<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let properties = record.pairs("OperationProperties");
    let uid = properties.peek("RuleId").and_then(Node::to_text);
    let name = properties.peek_str("RuleName").or_else(|| properties.peek_str("Name"));
    if uid.is_none() && name.is_none() {
        return None;
    }
    let activity = match properties.peek_str("RuleOperation") {
        Some("AddMailboxRule") => 1,
        Some("RemoveMailboxRule") => 4,
        _ => context.activity(),
    };
    let mut event = Event::new(3004, activity, context.operation);
    caller::write(context, record, &mut event);
    let mut entity = Attributes::of(&object::MANAGED_ENTITY);
    entity.set(attr::UID, uid);
    entity.set(attr::NAME, name);
    entity.set_enum(attr::TYPE_ID, 99, Some("InboxRule"));
    let owner = owner(record);
    if !owner.is_empty() {
        record.take("MailboxOwnerUPN");
    }
    entity.set(attr::USER, owner);
    entity.set(attr::DATA, named_values::take(context, record, "OperationProperties"));
    event.set(attr::ENTITY, entity);
    Some(vec![event])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::normalize::Normalizer;

    fn event(mut record: Value) -> Value {
        record["Id"] = json!("1");
        record["CreationTime"] = json!("2025-11-25T09:00:00");
        record["Workload"] = json!("Exchange");
        record["UserId"] = json!("alice@contoso.com");
        let output =
            Normalizer::new("{}").unwrap().process("office365.exchange", record.to_string().as_bytes(), 0).unwrap();
        assert_eq!(output.rejects, []);
        serde_json::from_slice(&output.data).unwrap()
    }

    #[test]
    fn a_list_that_cannot_be_read_whole_stays() {
        let folders = json!([{"Id": "LgF", "FolderItems": [{"InternetMessageId": "<a@contoso.com>"}, "odd"]}]);
        let event =
            event(json!({"Operation": "MailItemsAccessed", "RecordType": 50, "MailboxGuid": "g", "Folders": folders}));
        assert_eq!(event["unmapped"]["Folders"], folders);
        assert_eq!(event["web_resources"], json!([{"uid": "g", "type": "Mailbox"}]));
    }

    #[test]
    fn a_folder_without_listed_items_is_the_resource() {
        let event = event(
            json!({"Operation": "MailItemsAccessed", "RecordType": 50, "Folders": [{"Id": "LgF", "Path": "\\Inbox"}]}),
        );
        assert_eq!(event["web_resources"], json!([{"uid": "LgF", "name": "\\Inbox", "type": "Mail folder"}]));
    }

    #[test]
    fn an_item_of_which_only_the_folder_is_told_is_the_folder() {
        let folder = json!({"Id": "LgF", "Name": "Inbox"});
        let event_of = |item: Value| {
            event(json!({"Operation": "FolderBind", "RecordType": 2, "Item": item}))["web_resources"][0]["type"].clone()
        };
        assert_eq!(event_of(json!({"Id": "LgF", "ParentFolder": folder})), json!("Mail folder"));
        assert_eq!(event_of(json!({"Id": "RgM", "ParentFolder": folder})), json!("Mailbox item"));
    }

    #[test]
    fn rights_without_member_are_no_assignment() {
        let record = json!({"Operation": "AddFolderPermissions", "RecordType": 2, "Item": {"ParentFolder": {"Id": "LgF", "Path": "\\Calendar"}}});
        assert_eq!(event(record)["class_uid"], json!(6001));
    }

    #[test]
    fn mail_without_addresses_is_no_email_activity() {
        let record = json!({"Operation": "Send", "RecordType": 2, "MailboxOwnerUPN": "S-1-5-21-1", "Item": {"InternetMessageId": "<a@contoso.com>", "Subject": "x"}});
        let event = event(record);
        assert_eq!((&event["class_uid"], &event["activity_id"]), (&json!(6001), &json!(1)));
    }
}
