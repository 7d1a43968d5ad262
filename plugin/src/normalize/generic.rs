//! Any record at all: what was done, by whom, from where, on what, and how it ended.
//!
//! Invariant: works on every record that passed its schema, and gives an event that fits its class: Entity Management if the
//! record has an object and an actor and its class couldn't be filled, else API Activity.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event, attr, object},
    outcome,
    record::Object,
    users,
};

/// A Management Activity record whose own class has no mapping or can't be filled.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let object = record.peek_str("ObjectId").is_some_and(|id| !users::is_nobody(id));
    let person = record.peek_str("UserId").is_some_and(|id| !users::is_nobody(id));
    // API Activity is the rule's own class only for what the tables don't know; everything else is weaker than its class.
    let wants_entity = context.rule.class_uid != 6003 && object && person;
    let mut event = match (wants_entity, context.rule.class_uid) {
        (true, 3004) | (false, 6003) => context.event(),
        (true, _) => context.event_of(3004),
        (false, _) => context.event_of(6003),
    };
    event.set(attr::ACTOR, users::actor(record));
    let mut source = addresses::source(record);
    if event.class.uid == 6003 && source.is_empty() {
        let service = if context.workload.is_empty() { context.product() } else { context.workload };
        source.set(attr::SVC_NAME, service);
    }
    event.set(attr::SRC_ENDPOINT, source);
    if object {
        let id = record.take_str("ObjectId");
        if wants_entity {
            let mut entity = Attributes::of(&object::MANAGED_ENTITY);
            entity.set(attr::UID, id);
            entity.set(attr::NAME, id);
            write_entity_type(&mut entity, Some(context.rule.object).filter(|kind| !kind.is_empty()));
            event.set(attr::ENTITY, entity);
        } else {
            let mut resource = Attributes::of(&object::RESOURCE_DETAILS);
            resource.set(attr::UID, id);
            event.set(attr::RESOURCES, vec![resource]);
        }
    }
    let mut request = Attributes::of(&object::HTTP_REQUEST);
    request.set(attr::USER_AGENT, record.take_str("UserAgent"));
    event.set(attr::HTTP_REQUEST, request);
    let request_id = record.take_if("ClientRequestId", |n| n.as_str().filter(|t| !users::is_nobody(t)));
    event.set(attr::API, context.api(request_id));
    write_status(context, record, &mut event);
    vec![event]
}

/// A record that is too large for its own mapping: what it is, and all of it as it came. Base Event, since nothing more was looked at.
pub fn map_whole<'r>(context: &Context<'r>) -> Vec<Event<'r>> {
    vec![Event::new(0, 0, context.operation)]
}

/// The type of a managed entity by its kind in words: OCSF's own number if it has one, else Other with the words; Unknown for none.
pub fn write_entity_type<'r>(entity: &mut Attributes<'r>, kind: Option<&str>) {
    let id = match kind {
        None => 0,
        Some("Device") => 1,
        Some("User") => 2,
        Some("Group") => 3,
        Some("Company" | "Organization" | "Tenant") => 4,
        Some("Policy") => 5,
        Some(_) => 99,
    };
    entity.set_enum(attr::TYPE_ID, id, kind.filter(|_| id == 99));
}

/// `ResultStatus` and its code and reason, of any Management Activity record that is no sign-in.
pub fn write_status<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &mut Event<'r>) {
    outcome::write_activity(context, record, event);
    event.set(attr::STATUS_DETAIL, record.take_str("ResultReason"));
}
