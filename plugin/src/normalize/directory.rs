//! Changes of the directory: directory audits of Microsoft Graph and record type 8 of the Management Activity API, which tell of the
//! same operations. OCSF Account Change, User Access Management, Group Management and Entity Management.
//!
//! Invariant: both forms are gathered into one [`Change`] first; only then is a class chosen that the change can fill, and
//! nothing is taken for a class that is not chosen.

mod change;

use change::{Change, Target};

use super::{
    addresses,
    authentication::factor_type,
    context::Context,
    event::{Attributes, Event, Members, Present, attr, object},
    generic, named_values,
    outcome::Outcome,
    record::{Node, Object},
    tables::{self, Known},
    users::{self, Person},
};

/// A directory audit of Microsoft Graph (resource type `directoryAudit`).
pub fn map_audit<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let change = Change::of_audit(context, record);
    let class = class(context, &change, record.peek_str("category"), record.peek_str("operationType"));
    let mut event = Event::new(class.0, class.1, context.operation);
    let initiator = record.object("initiatedBy");
    event.set(attr::ACTOR, initiated_by(initiator));
    let address = initiator.and_then(|i| i.object("user")).and_then(|user| {
        user.take_if("ipAddress", |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()))
    });
    event.set(attr::SRC_ENDPOINT, address);
    let mut request = Attributes::of(&object::HTTP_REQUEST);
    let agent = record.take_str("userAgent").or_else(|| record.pairs("additionalDetails").take_str("User-Agent"));
    request.set(attr::USER_AGENT, agent);
    event.set(attr::HTTP_REQUEST, request);
    let reason = record.take_str("resultReason");
    record.take_str("result").map_or(Outcome::Unknown, Outcome::of).write(&mut event);
    event.set(attr::STATUS_DETAIL, reason);
    write_objects(context, &mut event, &change, reason);
    vec![event]
}

/// A directory record of the Management Activity API (record type 8).
pub fn map_activity<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let change = Change::of_activity(context, record);
    let properties = record.pairs("ExtendedProperties");
    let class = class(context, &change, properties.peek_str("auditEventCategory"), None);
    let mut event = Event::new(class.0, class.1, context.operation);
    event.set(attr::ACTOR, users::actor(record));
    event.set(attr::SRC_ENDPOINT, addresses::source(record));
    let mut request = Attributes::of(&object::HTTP_REQUEST);
    let agent = change.user_agent.or_else(|| properties.take_str("User-Agent"));
    request.set(attr::USER_AGENT, agent);
    event.set(attr::HTTP_REQUEST, request);
    generic::write_status(context, record, &mut event);
    write_objects(context, &mut event, &change, None);
    vec![event]
}

/// The class and activity that the tables want, if the change can fill it; else Entity Management.
fn class<'r>(
    context: &Context<'r>,
    change: &Change<'r>,
    category: Option<&'r str>,
    kind: Option<&'r str>,
) -> (u32, i64) {
    let rule = context.rule;
    if matches!(context.known, Known::ByName | Known::ByBeginning) {
        let activity = context.activity();
        let subgroup = rule.class_uid == 3006 && change.targets.iter().filter(|t| t.is("Group")).count() > 1;
        return match (rule.class_uid, activity) {
            (3006, 3) if subgroup => (3006, 7),
            (3006, 4) if subgroup => (3006, 8),
            (class, activity) if can_fill(class, change) => (class, activity),
            _ => (3004, tables::weaker_activity(rule, context.operation)),
        };
    }
    // A name that no table knows: by its category, if the target is of that kind.
    let by_category = match category {
        Some("UserManagement") => 3001,
        Some("GroupManagement" | "AdministrativeUnit") => 3006,
        Some("RoleManagement") => 3005,
        _ => 3004,
    };
    if by_category != 3004 && can_fill(by_category, change) {
        return (by_category, 99);
    }
    let by_kind = match kind {
        Some("Add") => 1,
        Some("Read") => 2,
        Some("Update") => 3,
        Some("Delete") => 4,
        _ => tables::by_verb(3004, context.operation),
    };
    (3004, by_kind)
}

fn can_fill(class: u32, change: &Change<'_>) -> bool {
    match class {
        3001 => change.user().is_some(),
        3005 => !change.privileges.items().is_empty() && change.grantee().is_some(),
        3006 => change.group().is_some() || change.group_id.is_some() || change.group_name.is_some(),
        3002 => change.user().is_some(),
        _ => true,
    }
}

/// `initiatedBy`: a person, a program, or both.
fn initiated_by<'r>(initiator: Option<&'r Object<'r>>) -> Attributes<'r> {
    let mut actor = Attributes::of(&object::ACTOR);
    let mut person = Person::default();
    if let Some(user) = initiator.and_then(|i| i.object("user")) {
        if user.peek_str("userPrincipalName").is_some_and(|upn| person.read_name(upn)) {
            user.take("userPrincipalName");
        }
        person.uid = users::take_real(user, "id").or(person.uid);
        person.full_name = user.take_str("displayName");
        person.org_uid = user.take_str("homeTenantId");
        if !person.is_empty() {
            person.type_id = person.type_id.or(Some(users::TYPE_USER));
        }
    }
    if let Some(app) = initiator.and_then(|i| i.object("app")) {
        let app_name = app.take_str("displayName");
        actor.set(attr::APP_NAME, app_name);
        actor.set(attr::APP_UID, app.take_str("appId").or_else(|| app.peek_str("servicePrincipalId")));
        if person.is_empty() {
            person.name = app.take_str("servicePrincipalName").or(app_name);
            person.uid = app.take_str("servicePrincipalId");
            person.type_id = Some(users::TYPE_SERVICE);
        }
    }
    actor.set(attr::USER, person.user_or_unknown());
    actor
}

/// The objects of the change, as the event's class wants them.
fn write_objects<'r>(context: &Context<'r>, event: &mut Event<'r>, change: &Change<'r>, reason: Option<&'r str>) {
    match event.class.uid {
        3001 | 3002 => {
            event.set(attr::USER, change.user().map(|user| spent(user, user.user())));
            // What a new user is called is said already.
            if event.class.uid == 3001 && event.activity_id != 1 {
                event.set(attr::USER_RESULT, change.user_result());
            }
            if event.class.uid == 3001 && [10, 11].contains(&event.activity_id) {
                let method = reason.filter(|r| factor_type(r) != 99);
                let mut factor = Attributes::of(&object::AUTH_FACTOR);
                factor.set_enum(attr::FACTOR_TYPE_ID, method.map_or(0, factor_type), None);
                event.set(attr::AUTH_FACTORS, vec![factor]);
            }
            if event.class.uid == 3002 {
                let mut service = Attributes::of(&object::SERVICE);
                service.set(attr::NAME, "Microsoft Entra ID");
                event.set(attr::SERVICE, service);
            }
        }
        3005 => {
            let grantee = change.grantee();
            event.set(attr::USER, grantee.map(|user| spent(user, user.user())));
            event.set(attr::PRIVILEGES, change.privileges.items().to_vec());
            let others = change.targets.iter().filter(|t| grantee.is_none_or(|g| !std::ptr::eq(*t, g)));
            let mut resources: Vec<Attributes> = others.map(|t| spent(t, t.resource(1))).collect();
            resources.extend(change.role());
            event.set(attr::RESOURCES, resources);
        }
        3006 => {
            event.set(attr::USER, change.user().map(|user| spent(user, user.user())));
            let group = change.group().map(|group| spent(group, group.group()));
            let mut group = group.unwrap_or_else(|| Attributes::of(&object::GROUP));
            group.set_if_absent(attr::UID, change.group_id);
            group.set_if_absent(attr::NAME, change.group_name);
            event.set(attr::GROUP, group);
            event.set(attr::PRIVILEGES, change.privileges.items().to_vec());
        }
        _ => write_entity(context, event, change),
    }
}

/// What was made of a target, which is taken for it.
fn spent<'r>(target: &Target<'r>, built: Attributes<'r>) -> Attributes<'r> {
    target.spend(&built);
    built
}

/// Entity Management: the first target, with what was changed of it; a policy that was attached beside it.
fn write_entity<'r>(context: &Context<'r>, event: &mut Event<'r>, change: &Change<'r>) {
    let mut entity = match change.targets.first() {
        Some(target) => spent(target, target.entity()),
        None => {
            // The class wants an entity: without any target it is the directory itself.
            let mut directory = Attributes::of(&object::MANAGED_ENTITY);
            directory.set(attr::NAME, "Microsoft Entra ID");
            directory.set_enum(attr::TYPE_ID, 4, None);
            directory
        }
    };
    let mut data = Members::default();
    for modified in &change.modified {
        if let Some(value) = named_values::take(context, modified.owner, modified.member) {
            data.insert(modified.member, value);
        }
    }
    let related: Vec<Attributes<'r>> =
        change.targets.iter().skip(1).map(|target| spent(target, target.resource(4))).collect();
    if let Some(related) = related.present() {
        data.insert("relatedTargets", related);
    }
    if let Some(policy) = change.targets.iter().skip(1).find(|t| t.is("Policy")) {
        let mut attached = Attributes::of(&object::POLICY);
        attached.set(attr::UID, policy.uid);
        attached.set(attr::NAME, policy.name);
        entity.set(attr::POLICY, attached);
    }
    entity.set(attr::DATA, data);
    event.set(attr::ENTITY, entity);
}

/// Whether a node is a list with something in it.
fn has_items(node: Option<&Node<'_>>) -> bool {
    node.is_some_and(|n| !n.items().is_empty())
}
