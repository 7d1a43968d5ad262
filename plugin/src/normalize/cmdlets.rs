//! Administrators' cmdlets of Exchange and Purview (record types 1, 10, 18 and 87): OCSF Entity Management, and User Access Management,
//! Group Management, Account Change or Web Resources Activity where the cmdlet is about those.
//!
//! Invariant: a class is chosen only if the parameters fill it; everything that a cmdlet was called with is in the event, under
//! `entity.data`, `web_resources[].data` or `unmapped.Parameters`.

use std::borrow::Cow;

use super::{
    caller,
    cmdlet_text::{self, Given},
    context::Context,
    event::{Attributes, Event, Members, Value, attr, object},
    named_values,
    record::Object,
    tables,
    users::{self, Person},
    web_resource,
};

/// Parameters that name who gets or loses a right. Role assignments name the assignee's kind.
const ASSIGNEES: [&str; 5] = ["User", "Trustee", "Member", "SecurityGroup", "App"];

/// A record of a cmdlet.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    match context.rule.class_uid {
        3005 => access(context, record),
        3006 => group(context, record),
        3001 => account(context, record),
        6001 => search(context, record),
        _ => None,
    }
    .unwrap_or_else(|| vec![entity(context, record)])
}

/// `Mailbox` of `Set-Mailbox`.
fn noun(operation: &str) -> &str {
    operation.split_once('-').map_or(operation, |(_, noun)| noun)
}

fn parameter<'r>(record: &'r Object<'r>, name: &'r str) -> Option<&'r str> {
    record.pairs("Parameters").peek_str(name).filter(|value| !users::is_nobody(value))
}

/// What the cmdlet was about: `ObjectId`, or the parameters that name it.
fn object_id<'r>(record: &'r Object<'r>) -> Option<&'r str> {
    record.peek_str("ObjectId").filter(|id| !users::is_nobody(id)).or_else(|| parameter(record, "Identity"))
}

/// Takes `ObjectId` if it is that text.
fn take_object<'r>(record: &'r Object<'r>, uid: Option<&'r str>) {
    record.take_same("ObjectId", &[uid]);
}

/// The last part of a canonical name such as `contoso.com/Users/Alice`, or the text as it is.
fn short_name(identity: &str) -> &str {
    if identity.contains("://") { identity } else { web_resource::last_part(identity).unwrap_or(identity) }
}

/// A user by an address, a GUID, or any other identity that Exchange takes.
fn user<'r>(identity: &'r str) -> Person<'r> {
    let mut person = Person::default();
    person.read_name(short_name(identity));
    person
}

/// A comma list, in brackets or not.
fn list(text: &str) -> Vec<&str> {
    text.trim_matches(['{', '}', '(', ')'])
        .split([',', ';'])
        .map(|part| part.trim_matches(['"', '\'', ' ']))
        .filter(|part| !part.is_empty())
        .collect()
}

/// Permissions and role assignments: who, which rights, on what.
fn access<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let (kind, assignee) = ASSIGNEES.iter().find_map(|name| Some((*name, parameter(record, name)?)))?;
    let privileges = match parameter(record, "AccessRights").or_else(|| parameter(record, "Role")) {
        Some(rights) => list(rights),
        // A member of a case or a case administrator: the cmdlet itself names the right.
        None if context.operation.to_ascii_lowercase().contains("case") => vec![noun(context.operation)],
        None => return None,
    };
    let mut event = context.event();
    caller::write(context, record, &mut event);
    event.set(attr::USER, user(assignee).user());
    event.set(attr::PRIVILEGES, privileges);
    let mut resource = Attributes::of(&object::RESOURCE_DETAILS);
    let uid = object_id(record);
    take_object(record, uid);
    resource.set(attr::UID, uid);
    resource.set(attr::NAME, parameter(record, "Identity").or(uid).map(short_name));
    resource.set(attr::TYPE, noun(context.operation).trim_end_matches("Permission"));
    let mut resources: Vec<Attributes<'r>> = vec![resource].into_iter().filter(|r| r.has(attr::UID)).collect();
    if ["SecurityGroup", "App"].contains(&kind) {
        // What stands in the place of the user is none.
        let mut holder = Attributes::of(&object::RESOURCE_DETAILS);
        holder.set(attr::NAME, assignee);
        holder.set(attr::TYPE, kind);
        resources.push(holder);
    }
    event.set(attr::RESOURCES, resources);
    Some(vec![event])
}

/// Groups and their members: one event for each member that the cmdlet names.
fn group<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let name = parameter(record, "Identity").or_else(|| parameter(record, "Name")).or_else(|| object_id(record))?;
    let members =
        ["Member", "Members", "Links"].iter().find_map(|name| parameter(record, name)).map(list).unwrap_or_default();
    let mut event = context.event();
    let with_members = [3, 4].contains(&context.activity());
    caller::write(context, record, &mut event);
    let uid = object_id(record);
    take_object(record, uid);
    let mut group = Attributes::of(&object::GROUP);
    let name = short_name(name);
    group.set(attr::NAME, name);
    group.set(attr::UID, uid.filter(|uid| *uid != name));
    group.set(attr::TYPE, noun(context.operation).trim_end_matches("Member").trim_end_matches("Links"));
    event.set(attr::GROUP, group);
    event.set(attr::PRIVILEGES, parameter(record, "LinkType").filter(|_| with_members).map(list).unwrap_or_default());
    if !with_members || members.is_empty() || !context.has_room_for(members.len()) {
        return Some(vec![event]);
    }
    let of_member = |member: &&'r str| {
        let mut event = event.clone();
        event.set(attr::USER, user(member).user());
        event
    };
    Some(members.iter().map(of_member).collect())
}

/// Mailboxes and mail users that come and go with their account.
fn account<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let names = ["UserPrincipalName", "MicrosoftOnlineServicesID", "PrimarySmtpAddress", "Identity", "Name"];
    let uid = object_id(record);
    let name = names.iter().find_map(|name| parameter(record, name)).or(uid)?;
    let mut person = user(name);
    person.full_name = parameter(record, "DisplayName");
    let mut event = context.event();
    caller::write(context, record, &mut event);
    event.set(attr::USER, person.user());
    Some(vec![event])
}

/// Searches through other people's mail or through the audit log.
fn search<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let noun = noun(context.operation);
    let uid = object_id(record);
    // Without a name of its own, what is searched is what the cmdlet is named after.
    let name = parameter(record, "Name").or(uid).unwrap_or(noun);
    let mut resource = web_resource::new(noun, uid, Some(name))?;
    let mut event = context.event();
    caller::write(context, record, &mut event);
    take_object(record, uid);
    resource.set(attr::DATA, data(context, record));
    event.set(attr::WEB_RESOURCES, vec![resource]);
    Some(vec![event])
}

/// Everything else: the entity that was changed or read, with all parameters.
fn entity<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Event<'r> {
    let mut event = if context.rule.class_uid == 3004 {
        context.event()
    } else {
        // A name such as Set-ManagementRoleAssignment that didn't say to whom.
        Event::new(3004, tables::by_verb(3004, context.operation), context.operation)
    };
    caller::write(context, record, &mut event);
    let noun = noun(context.operation);
    let uid = object_id(record);
    take_object(record, uid);
    let resolved = record.take_str("ModifiedObjectResolvedName");
    let mut entity = Attributes::of(&object::MANAGED_ENTITY);
    let data = data(context, record);
    let given = |name: &str| data.get(name).and_then(Value::as_str).map(|text| Cow::Owned(text.to_owned()));
    let name =
        resolved.map(Cow::Borrowed).or_else(|| given("Name")).or(uid.map(Cow::Borrowed)).or_else(|| given("Identity"));
    entity.set(attr::UID, uid);
    // A cmdlet without an object is about all objects of its noun.
    entity.set(attr::NAME, name.unwrap_or(Cow::Borrowed(noun)));
    let kind = kind(noun);
    entity.set_enum(attr::TYPE_ID, kind, Some(noun));
    if kind == 2 {
        let mut user = user(parameter(record, "Identity").or(uid).unwrap_or_default()).user();
        let forward = ["ForwardingSmtpAddress", "ForwardingAddress"].iter().find_map(|name| {
            let address = parameter(record, name)?;
            let address =
                address.get(..5).filter(|p| p.eq_ignore_ascii_case("smtp:")).map_or(address, |_| &address[5..]);
            Some(address).filter(|a| users::is_email(a))
        });
        if !user.is_empty() {
            user.set(attr::FORWARD_ADDR, forward);
        }
        entity.set(attr::USER, user);
    } else if noun.eq_ignore_ascii_case("InboxRule") {
        // `ObjectId` is `mailbox\rule`.
        let owner = parameter(record, "Mailbox").or_else(|| Some(uid?.rsplit_once('\\')?.0));
        entity.set(attr::USER, owner.map(|owner| user(owner.rsplit('\\').next().unwrap_or(owner)).user()));
    }
    entity.set(attr::DATA, data);
    event.set(attr::ENTITY, entity);
    event
}

/// The entity type of a noun: 2 User, 3 Group, 5 Policy, else 99 Other.
fn kind(noun: &str) -> i64 {
    let lower = noun.to_ascii_lowercase();
    match lower.as_str() {
        "mailbox" | "casmailbox" | "user" | "mailuser" | "remotemailbox" | "syncmailuser" => 2,
        "distributiongroup" | "dynamicdistributiongroup" | "unifiedgroup" | "rolegroup" | "securitygroup" => 3,
        _ if lower.ends_with("policy") => 5,
        _ => 99,
    }
}

/// Parameters by name, and modified properties where a data-centre cmdlet has them. A text that is none of parameters stays that text.
fn data<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Members<'r> {
    let mut data = match named_values::take(context, record, "Parameters") {
        Some(Value::Open(parameters)) => parameters,
        Some(Value::Text(text)) => {
            let text = match text {
                Cow::Borrowed(text) => text,
                Cow::Owned(text) => context.hold(&text),
            };
            by_name(text).unwrap_or_else(|| Members::from_iter([("Parameters".into(), Value::Text(text.into()))]))
        }
        Some(other) => Members::from_iter([("Parameters".into(), other)]),
        None => Members::default(),
    };
    if let Some(modified) = named_values::take(context, record, "ModifiedProperties") {
        data.insert("ModifiedProperties", modified);
    }
    data
}

/// Parameters in one text, if each has a name of its own.
fn by_name(text: &str) -> Option<Members<'_>> {
    let mut members = Members::default();
    for (name, given) in cmdlet_text::parameters(text)? {
        if members.get(name).is_some() {
            return None;
        }
        let value = match given {
            Given::Flag(flag) => Value::Bool(flag),
            Given::Text(text) => Value::Text(text.into()),
        };
        members.push(name.into(), value);
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::normalize::{Normalizer, context::MAX_MEMBERS};

    #[test]
    fn nouns_and_names() {
        assert_eq!(noun("Set-OwaMailboxPolicy"), "OwaMailboxPolicy");
        assert_eq!(noun("odd"), "odd");
        assert_eq!(short_name("EURP.PROD.OUTLOOK.COM/Hosted/contoso.com/Alice"), "Alice");
        assert_eq!(short_name("alice@contoso.com"), "alice@contoso.com");
        assert_eq!(
            (kind("Mailbox"), kind("UnifiedGroup"), kind("AntiPhishPolicy"), kind("TransportRule")),
            (2, 3, 5, 99)
        );
    }

    #[test]
    fn lists_of_rights() {
        assert_eq!(list("FullAccess, SendAs"), ["FullAccess", "SendAs"]);
        assert_eq!(list("{FullAccess}"), ["FullAccess"]);
        assert_eq!(list(" , "), Vec::<&str>::new());
    }

    fn event(record: &serde_json::Value) -> Value {
        let output =
            Normalizer::new("{}").unwrap().process("office365.exchange", record.to_string().as_bytes(), 0).unwrap();
        assert_eq!(output.rejects, []);
        serde_json::from_slice(&output.data).unwrap()
    }

    #[test]
    fn a_permission_without_assignee_is_a_change_of_its_entity() {
        let event = event(
            &json!({"Id": "1", "CreationTime": "2025-11-25T09:00:00", "Operation": "Set-ManagementRoleAssignment", "RecordType": 1,
            "UserId": "admin@contoso.com", "ObjectId": "Mail Search-alice", "Parameters": [{"Name": "Enabled", "Value": "False"}]}),
        );
        assert_eq!((&event["class_uid"], &event["activity_id"]), (&json!(3004), &json!(3)));
        assert_eq!(event["entity"]["data"], json!({"Enabled": false}));
    }

    #[test]
    fn parameters_of_any_shape_are_kept() {
        for parameters in [
            json!("-Enabled $true"),
            json!("no parameters"),
            json!([1, "a"]),
            json!([{"Name": 1}]),
            json!(7),
            json!([{"Name": "A", "Value": {"b": 1}}]),
        ] {
            let event = event(
                &json!({"Id": "1", "CreationTime": "2025-11-25T09:00:00", "Operation": "Get-DlpRule", "RecordType": 18,
                "UserId": "admin@contoso.com", "Parameters": parameters}),
            );
            assert_eq!(event["entity"]["name"], json!("DlpRule"));
            assert!(event["entity"]["data"].is_object(), "{parameters}");
        }
    }

    #[test]
    fn a_list_beyond_the_limit_is_one_event() {
        let events = |count: usize| {
            let members: Vec<String> = (0..count).map(|i| format!("u{i}@contoso.com")).collect();
            let record = json!({"Id": "1", "CreationTime": "2025-11-25T09:00:00", "Operation": "Update-RoleGroupMember", "RecordType": 1,
                "UserId": "admin@contoso.com", "ObjectId": "g", "Parameters": [{"Name": "Members", "Value": members.join(",")}]});
            Normalizer::new("{}")
                .unwrap()
                .process("office365.exchange", record.to_string().as_bytes(), 0)
                .unwrap()
                .events
        };
        assert_eq!((events(2), events(MAX_MEMBERS), events(MAX_MEMBERS + 1)), (2, 256, 1));
    }
}
