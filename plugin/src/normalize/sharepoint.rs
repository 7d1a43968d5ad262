//! SharePoint and OneDrive: sites, pages, lists, groups and settings here, files in [`file`]. OCSF File Hosting Activity, Web
//! Resources Activity, Group Management, User Access Management and Entity Management.
//!
//! Invariant: an activity on a site, web or list is never told as one on a file; `EventData` is read by pattern and its text stays in
//! `unmapped`.

mod event_data;
mod file;

use super::{
    caller,
    context::Context,
    event::{Attributes, Event, Members, Value, attr, object},
    generic, named_values,
    record::Object,
    tables,
    users::{self, Person},
    web_resource,
};

/// A record of SharePoint or OneDrive.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    match context.rule.class_uid {
        6006 if !ItemType::of(record).is_container() => {
            file::map(context, record).or_else(|| resource(context, record))
        }
        3006 => group(context, record).or_else(|| setting(context, record)),
        3005 => access(context, record).or_else(|| setting(context, record)),
        3004 => setting(context, record),
        _ => resource(context, record),
    }
    .unwrap_or_else(|| generic::map(context, record))
}

/// What an activity was on. `ItemType` comes as a word, or as a number (Microsoft: enumeration ItemType).
#[derive(Debug, PartialEq, Eq)]
enum ItemType<'a> {
    None,
    File,
    Folder,
    Other(&'a str),
}

impl<'a> ItemType<'a> {
    fn of(record: &'a Object<'_>) -> Self {
        let word = match record.peek_int("ItemType") {
            None => record.peek_str("ItemType").unwrap_or_default(),
            Some(1) => "File",
            Some(5) => "Folder",
            Some(6) => "Web",
            Some(7) => "Site",
            Some(8) => "Tenant",
            Some(9) => "DocumentLibrary",
            Some(11) => "Page",
            Some(_) => "",
        };
        match word {
            "" | "Invalid" => Self::None,
            "File" => Self::File,
            "Folder" => Self::Folder,
            other => Self::Other(other),
        }
    }

    /// Whether this holds files and is none.
    fn is_container(&self) -> bool {
        matches!(self, Self::Other(kind) if ["Web", "Site", "Tenant", "List", "DocumentLibrary"].iter().any(|c| kind.eq_ignore_ascii_case(c)))
    }

    fn word(&self) -> Option<&'a str> {
        match self {
            Self::None => None,
            Self::File => Some("File"),
            Self::Folder => Some("Folder"),
            Self::Other(word) => Some(word),
        }
    }
}

/// What all activities of SharePoint say beside their object: the site's host, the device, and whether it was turned away.
fn write_surroundings<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &mut Event<'r>) {
    caller::write(context, record, event);
    if [6001, 6006].contains(&event.class.uid) {
        let mut site = Attributes::of(&object::NETWORK_ENDPOINT);
        let host = ["SiteUrl", "ObjectId"].iter().find_map(|name| host(record.peek_str(name)?));
        site.set(attr::HOSTNAME, host);
        if !site.is_empty() {
            let service = if context.workload.is_empty() { "SharePoint" } else { context.workload };
            site.set(attr::SVC_NAME, service);
        }
        event.set(attr::DST_ENDPOINT, site);
    }
    if context.operation == "UnmanagedSyncClientBlocked" {
        event.set_enum(attr::ACTION_ID, 2, None);
        event.set_enum(attr::DISPOSITION_ID, 2, None);
    }
    let mut device = Attributes::of(&object::DEVICE);
    // Where there is no name, SharePoint writes the address.
    device.set(
        attr::NAME,
        record.take_if("DeviceDisplayName", |n| n.as_str().filter(|name| super::addresses::ip(name).is_none())),
    );
    device.set(attr::UID, record.take_str("MachineId"));
    if !device.is_empty() {
        device.set(attr::IS_MANAGED, record.take_bool("IsManagedDevice"));
        device.set_enum(attr::TYPE_ID, 0, None);
    }
    event.set(attr::DEVICE, device);
}

/// The host of an address.
fn host(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    rest.split(['/', '?', '#', ':']).next().filter(|host| super::addresses::is_host_name(host))
}

fn object_id<'r>(record: &'r Object<'r>) -> Option<&'r str> {
    record.peek_str("ObjectId").filter(|id| !users::is_nobody(id))
}

/// Pages, lists, items, sites and searches.
fn resource<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    const DATA: [&str; 11] = [
        "ListId",
        "ListItemUniqueId",
        "ListTitle",
        "ListName",
        "ListUrl",
        "ListBaseType",
        "ListBaseTemplateType",
        "ItemCount",
        "IsDocLib",
        "IsHiddenList",
        "QueryText",
    ];
    let kind = ItemType::of(record).word();
    let query = record.peek_str("QueryText");
    let uid = object_id(record);
    let names = ["SourceFileName", "ListTitle", "ListName"];
    let name = names.iter().find_map(|name| record.peek_str(name)).or_else(|| web_resource::last_part(uid?)).or(query);
    let uid = uid.or_else(|| ["ListItemUniqueId", "ListId"].iter().find_map(|name| record.peek_str(name)));
    let mut found = web_resource::new(kind.unwrap_or(if query.is_some() { "Search" } else { "Item" }), uid, name)?;
    let mut event = match (context.rule.class_uid, context.activity()) {
        (6001, _) => context.event(),
        // Sharing of a site or list: what File Hosting Activity calls Share, Update, Delete and Open.
        (6006, 12) => Event::new(6001, 8, context.operation),
        (6006, 3) => Event::new(6001, 3, context.operation),
        (6006, 4) => Event::new(6001, 4, context.operation),
        (6006, 14) => Event::new(6001, 2, context.operation),
        _ => context.event_of(6001),
    };
    write_surroundings(context, record, &mut event);
    if kind.is_some() {
        record.take("ItemType");
    }
    record.take_same("ObjectId", &[uid]);
    record.take_same("SourceFileName", &[name]);
    found.set(attr::DATA, web_resource::take_members(context, record, &DATA));
    event.set(attr::WEB_RESOURCES, vec![found]);
    Some(vec![event])
}

/// Who an activity of sharing or of groups is about, and of what kind.
fn target<'r>(record: &'r Object<'r>) -> Option<Person<'r>> {
    let mut person = Person::default();
    let name =
        record.peek_str("TargetUserOrGroupName").or_else(|| record.pairs("ModifiedProperties").peek_str("SiteAdmin"));
    let name = name.or_else(|| new_value(record, "SiteAdmin"))?;
    if !person.read_name(name) {
        return None;
    }
    match record.peek_str("TargetUserOrGroupType") {
        Some("Guest") => {
            person.guest = true;
            person.type_id = Some(users::TYPE_USER);
            if !person.has_account() {
                return Some(person);
            }
        }
        Some("Member") => person.type_id = Some(users::TYPE_USER),
        Some(group @ ("SecurityGroup" | "SharePointGroup")) => {
            person.type_id = Some(99);
            person.type_word = Some(group.into());
        }
        _ => return Some(person),
    }
    record.take("TargetUserOrGroupType");
    Some(person)
}

/// The new value of a modified property.
fn new_value<'r>(record: &'r Object<'r>, name: &'r str) -> Option<&'r str> {
    let properties = record.items("ModifiedProperties").iter().filter_map(|item| item.as_object());
    properties.filter(|p| p.peek_str("Name") == Some(name)).find_map(|p| p.peek_str("NewValue"))
}

/// Groups of a site, and who is in them.
fn group<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let pairs = event_data::pairs(record.peek_str("EventData").unwrap_or_default());
    let told = pairs.iter().find(|(name, _)| name.to_ascii_lowercase().contains("group")).map(|(_, value)| *value);
    let name = told.or_else(|| new_value(record, "Name")).filter(|name| !name.is_empty())?;
    let mut event = context.event();
    write_surroundings(context, record, &mut event);
    let mut group = Attributes::of(&object::GROUP);
    group.set(attr::NAME, name);
    group.set(attr::TYPE, "SharePointGroup");
    event.set(attr::GROUP, group);
    if let Some(person) = target(record) {
        record.take_str("TargetUserOrGroupName");
        event.set(attr::USER, person.user());
    }
    Some(vec![event])
}

/// Administrators and owners of sites and term stores. The operation itself names the right.
fn access<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let privilege = match context.operation {
        "SiteCollectionAdminAdded" | "SiteCollectionAdminRemoved" | "SiteAdminChangeRequest" => "SiteCollectionAdmin",
        "AdministratorAddedToTermStore" | "AdministratorDeletedFromTermStore" => "TermStoreAdministrator",
        "SecondaryMySiteOwnerSet" => "SecondaryMySiteOwner",
        _ => return None,
    };
    let person = target(record)?;
    record.take_str("TargetUserOrGroupName");
    let mut event = context.event();
    write_surroundings(context, record, &mut event);
    event.set(attr::USER, person.user());
    event.set(attr::PRIVILEGES, vec![privilege]);
    if let Some(site) = object_id(record) {
        record.take("ObjectId");
        let mut resource = Attributes::of(&object::RESOURCE_DETAILS);
        resource.set(attr::UID, site);
        resource.set(attr::NAME, web_resource::last_part(site));
        let kind = ItemType::of(record).word();
        resource.set(attr::TYPE, kind.unwrap_or("Site"));
        if kind.is_some() {
            record.take("ItemType");
        }
        event.set(attr::RESOURCES, vec![resource]);
    }
    Some(vec![event])
}

/// Settings of a site or of the tenant, with old and new values.
fn setting<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let uid = object_id(record)?;
    let mut event = if context.rule.class_uid == 3004 {
        context.event()
    } else {
        Event::new(3004, tables::by_verb(3004, context.operation), context.operation)
    };
    write_surroundings(context, record, &mut event);
    let mut entity = Attributes::of(&object::MANAGED_ENTITY);
    entity.set(attr::UID, uid);
    entity.set(attr::NAME, web_resource::last_part(uid));
    let kind = ItemType::of(record).word();
    entity.set_enum(attr::TYPE_ID, 99, Some(kind.unwrap_or("Site")));
    if kind.is_some() {
        record.take("ItemType");
    }
    let mut data = Members::default();
    for (name, value) in event_data::pairs(record.peek_str("EventData").unwrap_or_default()) {
        data.insert(name, Value::Text(value.into()));
    }
    match named_values::take(context, record, "ModifiedProperties") {
        Some(Value::Open(modified)) => data.extend(modified),
        Some(other) => {
            data.insert("ModifiedProperties", other);
        }
        None => {}
    }
    entity.set(attr::DATA, data);
    record.take("ObjectId");
    event.set(attr::ENTITY, entity);
    Some(vec![event])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::parse;

    #[test]
    fn item_types_in_words_and_numbers() {
        for (text, word, container) in [
            (r#"{"ItemType":"File"}"#, Some("File"), false),
            (r#"{"ItemType":5}"#, Some("Folder"), false),
            (r#"{"ItemType":"7"}"#, Some("Site"), true),
            (r#"{"ItemType":"Web"}"#, Some("Web"), true),
            (r#"{"ItemType":0}"#, None, false),
            (r#"{"ItemType":"Asset"}"#, Some("Asset"), false),
            ("{}", None, false),
        ] {
            let arena = bumpalo::Bump::new();
            let node = parse::parse(text.as_bytes(), &arena).unwrap();
            let kind = ItemType::of(node.as_object().unwrap());
            assert_eq!((kind.word(), kind.is_container()), (word, container), "{text}");
        }
    }

    #[test]
    fn hosts_of_addresses() {
        assert_eq!(host("https://contoso.sharepoint.com/sites/a b/"), Some("contoso.sharepoint.com"));
        assert_eq!(host("https://contoso.sharepoint.com:443"), Some("contoso.sharepoint.com"));
        assert_eq!(host("contoso"), None);
    }
}
