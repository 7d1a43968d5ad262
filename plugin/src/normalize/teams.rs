//! Microsoft Teams (record types 25, 57, 59, 73, 206 and 230): teams and their members, channels, messages, chats, meetings, add-ons and
//! settings. OCSF Group Management, User Access Management, Application Lifecycle, Entity Management and Web Resources Activity.
//!
//! Invariant: members of a team give one event each, up to a limit; participants of a chat don't, because a chat is no group.

use super::{
    caller,
    context::Context,
    event::{Attributes, Event, Members, Value, attr, object},
    generic, named_values,
    record::{Node, Object},
    tables,
    users::{self, Person},
    web_resource,
};

/// A record of Teams.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    match context.rule.class_uid {
        3006 => membership(context, record),
        3005 => role(context, record),
        6002 => add_on(context, record),
        3004 => setting(context, record),
        _ => resource(context, record),
    }
    .or_else(|| setting(context, record))
    .unwrap_or_else(|| generic::map(context, record))
}

fn text<'r>(record: &'r Object<'r>, name: &'r str) -> Option<&'r str> {
    record.peek_str(name).filter(|value| !users::is_nobody(value))
}

/// The team of a record.
struct Team<'r> {
    /// The id that the directory knows it by if the record has it, else that of its thread.
    uid: Option<&'r str>,
    /// The thread's id besides.
    thread: Option<&'r str>,
    name: Option<&'r str>,
}

fn team<'r>(record: &'r Object<'r>) -> Team<'r> {
    let (directory, thread) = (text(record, "AADGroupId"), text(record, "TeamGuid"));
    Team { uid: directory.or(thread), thread: directory.and(thread), name: text(record, "TeamName") }
}

impl<'r> Team<'r> {
    fn is_empty(&self) -> bool {
        self.uid.is_none() && self.name.is_none()
    }

    /// As an OCSF group.
    fn group(&self) -> Attributes<'r> {
        let mut group = Attributes::of(&object::GROUP);
        group.set(attr::UID, self.uid);
        group.set(attr::UID_ALT, self.thread);
        group.set(attr::NAME, self.name);
        if !group.is_empty() {
            group.set(attr::TYPE, "Team");
        }
        group
    }
}

fn take_team<'r>(record: &'r Object<'r>) {
    for name in ["AADGroupId", "TeamGuid", "TeamName"] {
        users::take_real(record, name);
    }
    // The name again.
    record.take_same("ItemName", &[text(record, "TeamName")]);
}

/// One of `Members`, and the role.
struct Member<'r> {
    user: Attributes<'r>,
    role: Option<String>,
}

/// `Members`, taken if each is a person and nothing else is told of them.
fn members<'r>(record: &'r Object<'r>) -> Vec<Member<'r>> {
    let items = record.items("Members");
    let mut members = Vec::with_capacity(items.len());
    let mut told = true;
    for item in items {
        let Some(item) = item.as_object() else {
            told = false;
            continue;
        };
        let mut person = Person::default();
        if let Some(upn) = item.peek_str("UPN") {
            person.read_name(upn);
        }
        person.full_name = text(item, "DisplayName");
        person.org_uid = text(item, "OrganizationId");
        // Microsoft: enumeration MemberRoleType.
        let role = item.peek("Role").and_then(Node::to_text).map(|role| match role.as_ref() {
            "0" => "Member".to_owned(),
            "1" => "Owner".to_owned(),
            "2" => "Guest".to_owned(),
            other => other.to_owned(),
        });
        person.guest = role.as_deref() == Some("Guest");
        if !person.is_empty() {
            person.type_id = person.type_id.or(Some(users::TYPE_USER));
        }
        let user = person.user();
        let known = |name: &str| match name {
            "UPN" | "DisplayName" | "OrganizationId" => text(item, name).is_some(),
            name => name == "Role" && role.is_some(),
        };
        told &= !user.is_empty() && item.members().iter().all(|m| known(m.name) || m.value.is_empty());
        if !user.is_empty() {
            members.push(Member { user, role });
        }
    }
    if told && !items.is_empty() {
        record.take("Members");
    }
    members
}

/// Teams that come and go, and who is in them: one event for each member.
fn membership<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let group = team(record).group();
    if group.is_empty() {
        return None;
    }
    let event = with_group(context, record, group, context.event());
    let with_members = [3, 4].contains(&context.activity());
    let few = context.has_room_for(record.items("Members").len());
    let members = if with_members && few { members(record) } else { Vec::new() };
    if members.is_empty() {
        return Some(vec![event]);
    }
    Some(for_each(members, &event))
}

fn with_group<'r>(
    context: &Context<'r>,
    record: &'r Object<'r>,
    group: Attributes<'r>,
    mut event: Event<'r>,
) -> Event<'r> {
    caller::write(context, record, &mut event);
    take_team(record);
    event.set(attr::GROUP, group);
    event
}

/// Members whose role in a team changed: the new role is the privilege.
fn role<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let has_role = |item: &Node<'_>| item.as_object().is_some_and(|m| m.peek("Role").and_then(Node::to_text).is_some());
    let items = record.items("Members");
    if items.is_empty() || !context.has_room_for(items.len()) || !items.iter().all(has_role) {
        return None;
    }
    let members = members(record);
    if members.is_empty() {
        return None;
    }
    let mut event = context.event();
    caller::write(context, record, &mut event);
    let team = team(record);
    let mut resource = Attributes::of(&object::RESOURCE_DETAILS);
    resource.set(attr::UID, team.uid);
    resource.set(attr::NAME, team.name);
    if !team.is_empty() {
        resource.set(attr::TYPE, "Team");
    }
    if let Some(thread) = team.thread {
        resource.set(attr::DATA, Members::from_iter([("TeamGuid".into(), Value::Text(thread.into()))]));
    }
    take_team(record);
    event.set(attr::RESOURCES, vec![resource]);
    Some(for_each(members, &event))
}

/// One event for each member, who is its `user`.
fn for_each<'r>(members: Vec<Member<'r>>, event: &Event<'r>) -> Vec<Event<'r>> {
    let of_member = |member: Member<'r>| {
        let mut event = event.clone();
        event.set(attr::USER, member.user);
        event.set(attr::PRIVILEGES, member.role.map(|role| vec![role]));
        event
    };
    members.into_iter().map(of_member).collect()
}

/// Apps, bots, connectors and tabs.
fn add_on<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let name = text(record, "AddOnName");
    let uid = text(record, "AddOnGuid");
    if name.is_none() && uid.is_none() {
        return None;
    }
    let mut event = context.event();
    caller::write(context, record, &mut event);
    let mut app = Attributes::of(&object::PRODUCT);
    app.set(attr::NAME, name);
    app.set(attr::UID, uid);
    // Microsoft: enumeration AddOnType.
    let kind = record.peek("AddOnType").and_then(Node::to_text).map(|kind| match kind.as_ref() {
        "1" => "Bot".to_owned(),
        "2" => "Connector".to_owned(),
        "3" => "Tab".to_owned(),
        other => other.to_owned(),
    });
    let mut feature = Attributes::of(&object::FEATURE);
    feature.set(attr::NAME, kind);
    if !feature.is_empty() {
        record.take("AddOnType");
    }
    app.set(attr::FEATURE, feature);
    for member in ["AddOnName", "AddOnGuid"] {
        users::take_real(record, member);
    }
    event.set(attr::APP, app);
    Some(vec![event])
}

/// Settings of the tenant, a team or a channel, with old and new values; and changes of a team that no other class can tell.
fn setting<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let mut entity = Attributes::of(&object::MANAGED_ENTITY);
    let team = team(record);
    let channel = (text(record, "ChannelGuid"), text(record, "ChannelName"));
    let item = text(record, "ItemName").or_else(|| text(record, "ObjectId"));
    if channel.0.is_some() || channel.1.is_some() {
        entity.set(attr::UID, channel.0);
        entity.set(attr::NAME, channel.1.or(channel.0));
        entity.set_enum(attr::TYPE_ID, 99, Some("Channel"));
    } else if !team.is_empty() {
        entity.set(attr::UID, team.uid);
        entity.set(attr::NAME, team.name.or(team.uid));
        entity.set_enum(attr::TYPE_ID, 3, None);
    } else {
        let name = text(record, "Name").or(item)?;
        entity.set(attr::NAME, name);
        entity.set_enum(attr::TYPE_ID, 99, Some("Setting"));
    }
    let mut event = if context.rule.class_uid == 3004 {
        context.event()
    } else {
        Event::new(3004, tables::by_verb(3004, context.operation), context.operation)
    };
    caller::write(context, record, &mut event);
    if !team.is_empty() {
        take_team(record);
    }
    entity.set(attr::GROUP, team.group());
    for name in ["ChannelGuid", "ChannelName"] {
        users::take_real(record, name);
    }
    let mut data = web_resource::take_members(context, record, &["Name", "OldValue", "NewValue", "ChannelType"]);
    if let Some(modified) = named_values::take(context, record, "ModifiedProperties") {
        data.insert("ModifiedProperties", modified);
    }
    entity.set(attr::DATA, data);
    event.set(attr::ENTITY, entity);
    Some(vec![event])
}

/// Messages, channels, chats, meetings, shifts.
fn resource<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let listed: Option<Vec<_>> =
        record.items("Messages").iter().map(|m| listed_message(context, m.as_object()?)).collect();
    let mut resources = listed.unwrap_or_default();
    if !resources.is_empty() {
        record.take("Messages");
    } else if let Some(uid) = text(record, "MessageId") {
        let mut message = web_resource::new("Teams message", Some(uid), None)?;
        record.take("MessageId");
        message.set(attr::URL_STRING, record.peek_str("MessageURLs").and_then(first_address));
        const DATA: [&str; 10] = [
            "MessageURLs",
            "ChatThreadId",
            "ChatName",
            "ChannelGuid",
            "ChannelName",
            "ChannelType",
            "ParentMessageId",
            "MessageSizeInBytes",
            "SubscriptionId",
            "HostedContents",
        ];
        message.set(attr::DATA, web_resource::take_members(context, record, &DATA));
        resources.push(message);
    } else {
        let place = place(context, record)?;
        resources.extend(item(context, record, &place));
        resources.push(place);
    }
    let mut event = if context.rule.class_uid == 6001 { context.event() } else { context.event_of(6001) };
    caller::write(context, record, &mut event);
    event.set(attr::WEB_RESOURCES, resources);
    Some(vec![event])
}

/// One of `Messages`.
fn listed_message<'r>(context: &Context<'r>, message: &'r Object<'r>) -> Option<Attributes<'r>> {
    let mut resource = web_resource::new("Teams message", message.peek_str("Id"), None)?;
    resource.set(attr::DATA, web_resource::members(context, message, &["Id"]));
    Some(resource)
}

/// What lies in that place and was dealt with, such as a shift.
fn item<'r>(context: &Context<'r>, record: &'r Object<'r>, place: &Attributes<'r>) -> Option<Attributes<'r>> {
    let uid = text(record, "ObjectId")?;
    if [attr::UID, attr::NAME].iter().any(|name| place.text(*name) == Some(uid)) {
        return None;
    }
    let kind = if context.rule.object.is_empty() { "Item" } else { context.rule.object };
    let item = web_resource::new(kind, Some(uid), None)?;
    users::take_real(record, "ObjectId");
    Some(item)
}

/// A channel, a chat, a team, or whatever the record names.
fn place<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Attributes<'r>> {
    const CHANNEL: [&str; 1] = ["ChannelType"];
    const CHAT: [&str; 4] = ["Members", "ParticipantInfo", "CommunicationType", "ChatName"];
    let places: [(&str, &str, &str, &[&str]); 2] =
        [("Channel", "ChannelGuid", "ChannelName", &CHANNEL), ("Chat", "ChatThreadId", "ChatName", &CHAT)];
    for (kind, uid, name, data) in places {
        if let Some(mut resource) = web_resource::new(kind, text(record, uid), text(record, name)) {
            // The same text again is no name.
            record.take_same("ItemName", &[text(record, uid)]);
            users::take_real(record, uid);
            users::take_real(record, name);
            resource.set(attr::DATA, web_resource::take_members(context, record, data));
            return Some(resource);
        }
    }
    let team = team(record);
    if let Some(mut resource) = web_resource::new("Team", team.uid, team.name) {
        let mut data = web_resource::take_members(context, record, &["Invitee", "CommunicationType"]);
        if let Some(thread) = team.thread {
            data.insert("TeamGuid", Value::Text(thread.into()));
        }
        take_team(record);
        resource.set(attr::DATA, data);
        return Some(resource);
    }
    let (uid, name) = (text(record, "ObjectId"), text(record, "ItemName"));
    let resource = web_resource::new("Item", uid.or(name), name)?;
    users::take_real(record, "ObjectId");
    users::take_real(record, "ItemName");
    Some(resource)
}

/// The first address of a JSON list in text, or the text itself if it is an address.
fn first_address(text: &str) -> Option<String> {
    let is_address = |text: &String| text.starts_with("https://") || text.starts_with("http://");
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Array(items)) => {
            items.iter().filter_map(|i| i.as_str().map(str::to_owned)).find(is_address)
        }
        _ => Some(text.to_owned()).filter(is_address),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::normalize::{Normalizer, context::MAX_MEMBERS};

    #[test]
    fn addresses_in_text() {
        let address = Some("https://teams.microsoft.com/l/message/1".to_owned());
        assert_eq!(first_address(r#"["","https://teams.microsoft.com/l/message/1"]"#), address);
        assert_eq!(first_address("https://teams.microsoft.com/l/message/1"), address);
        for none in ["[]", "{}", "x", "[1", ""] {
            assert_eq!(first_address(none), None, "{none}");
        }
    }

    fn events(mut record: Value) -> Vec<Value> {
        record["Id"] = json!("1");
        record["CreationTime"] = json!("2025-11-25T09:00:00");
        record["RecordType"] = json!(25);
        record["UserId"] = json!("alice@contoso.com");
        let output =
            Normalizer::new("{}").unwrap().process("office365.general", record.to_string().as_bytes(), 0).unwrap();
        assert_eq!(output.rejects, []);
        output
            .data
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }

    #[test]
    fn members_that_are_told_in_another_way_stay() {
        let members = json!([{"UPN": "bob@contoso.com", "Role": 0}, "carol@contoso.com"]);
        let events = events(json!({"Operation": "MemberAdded", "TeamGuid": "19:a@thread.tacv2", "Members": members}));
        assert_eq!(events.len(), 1);
        assert_eq!(
            (&events[0]["user"]["name"], &events[0]["privileges"]),
            (&json!("bob@contoso.com"), &json!(["Member"]))
        );
        assert_eq!(events[0]["unmapped"]["Members"], members);
    }

    #[test]
    fn what_cannot_fill_its_class_falls_to_a_weaker_one() {
        let classes = |record: Value| events(record)[0]["class_uid"].as_i64();
        assert_eq!(classes(json!({"Operation": "MemberRoleChanged", "TeamName": "Finance"})), Some(3004));
        assert_eq!(classes(json!({"Operation": "AppInstalled", "TeamName": "Finance"})), Some(3004));
        assert_eq!(classes(json!({"Operation": "MemberAdded", "Members": []})), Some(6003));
        assert_eq!(classes(json!({"Operation": "MessageSent"})), Some(6003));
    }

    #[test]
    fn a_list_beyond_the_limit_is_one_event() {
        let members = |count: usize| {
            (0..count).map(|i| json!({"UPN": format!("u{i}@contoso.com"), "Role": 1})).collect::<Vec<_>>()
        };
        let event = |operation: &str, count: usize| {
            events(json!({"Operation": operation, "TeamName": "A", "Members": members(count)}))
        };
        assert_eq!(event("MemberAdded", MAX_MEMBERS).len(), 256);
        for operation in ["MemberAdded", "MemberRoleChanged"] {
            let events = event(operation, MAX_MEMBERS + 1);
            assert_eq!((events.len(), events[0]["unmapped"]["Members"].as_array().map(Vec::len)), (1, Some(257)));
        }
    }
}
