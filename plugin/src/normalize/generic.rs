//! Any record at all: what was done, by whom, from where, on what, and how it ended.
//!
//! Invariant: works on every record that passed its schema, and gives an event that fits its class: Entity Management if the
//! record has an object and an actor and its class couldn't be filled, else API Activity.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event},
    outcome,
    record::Object,
    users,
};

/// A Management Activity record whose own class has no mapping or can't be filled.
pub fn map(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let object = record.peek_str("ObjectId").is_some_and(|id| !users::is_nobody(id));
    let person = record.peek_str("UserId").is_some_and(|id| !users::is_nobody(id));
    // API Activity is the rule's own class only for what the tables don't know; everything else is weaker than its class.
    let wants_entity = context.rule.class_uid != 6003 && object && person;
    let mut event = match (wants_entity, context.rule.class_uid) {
        (true, 3004) | (false, 6003) => context.event(),
        (true, _) => context.event_of(3004),
        (false, _) => context.event_of(6003),
    };
    event.set("actor", users::actor(record));
    let mut source = addresses::source(record);
    if event.class.uid == 6003 && source.is_empty() {
        let service = if context.workload.is_empty() { context.product() } else { &context.workload };
        source.set("svc_name", service);
    }
    event.set("src_endpoint", source);
    if object {
        let id = record.take_str("ObjectId");
        if wants_entity {
            let mut entity = Attributes::of("managed_entity");
            entity.set("uid", id);
            entity.set("name", id);
            entity.set_enum("type_id", 0, None);
            event.set("entity", entity);
        } else {
            let mut resource = Attributes::of("resource_details");
            resource.set("uid", id);
            event.set("resources", vec![resource]);
        }
    }
    let mut request = Attributes::of("http_request");
    request.set("user_agent", record.take_str("UserAgent"));
    event.set("http_request", request);
    let request_id = record.take_if("ClientRequestId", |n| n.as_str().filter(|t| !users::is_nobody(t)));
    event.set("api", context.api(request_id));
    write_status(context, record, &mut event);
    vec![event]
}

/// `ResultStatus` and its code and reason, of any Management Activity record that is no sign-in.
pub fn write_status(context: &Context<'_>, record: &Object<'_>, event: &mut Event) {
    let status = record.take_text("ResultStatus");
    outcome::of_activity(&context.operation, status.as_deref(), &context.workload).write(event);
    event.set("status_detail", record.take_str("ResultReason"));
}
