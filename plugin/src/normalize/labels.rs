//! Sensitivity labels and protection: on files (record types 70, 71, 82 to 84, 93 to 96), on mail in transport (43), and the
//! heartbeat of the labelling client (97). OCSF File Hosting Activity, Email Activity and Application Lifecycle.
//!
//! Invariant: the label that the item has *after* the operation is its classification; the label before stays in `unmapped`.

use super::{
    caller,
    context::Context,
    event::{Attributes, Event, Value, attr, object},
    findings, generic,
    record::{Node, Object},
    users, web_resource,
};

/// A label put on, changed on or removed from a file, or a labelled file that was found or used.
pub fn map_file<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let Some(object) = record.peek_str("ObjectId").filter(|id| !users::is_nobody(id)) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let remote = object.contains("://");
    let mut file = if remote {
        let mut file =
            findings::file(record.peek_str("SourceFileName").or_else(|| web_resource::last_part(object)), None);
        file.set(attr::URL, findings::url(object));
        file
    } else {
        findings::file_of_path(Some(object))
    };
    record.take("ObjectId");
    file.set(attr::DATA_CLASSIFICATIONS, labels(record));
    event.set(attr::FILE, file);
    let common = record.object("Common");
    caller::write(context, record, &mut event);
    if let Some(common) = common {
        write_client(&mut event, common);
    }
    vec![event]
}

/// The label that the record names, by id or name.
fn labels<'r>(record: &'r Object<'r>) -> Vec<Attributes<'r>> {
    let inner = record.object("SensitivityLabelEventData");
    let uid = inner
        .and_then(|i| i.take_str("SensitivityLabelId"))
        .or_else(|| record.take_str("SensitivityLabelId"))
        .or_else(|| record.take_str("LabelId"));
    let name = record.take_str("LabelName").or_else(|| record.take_str("SensitivityLabelName"));
    let mut label = Attributes::of(&object::DATA_CLASSIFICATION);
    label.set(attr::UID, uid);
    if let Some(name) = name {
        label.set_enum(attr::CONFIDENTIALITY_ID, 99, Some(name));
    } else if !label.is_empty() {
        // The id alone doesn't tell how confidential it is.
        label.set_enum(attr::CONFIDENTIALITY_ID, 0, None);
    }
    if label.is_empty() { Vec::new() } else { vec![label] }
}

/// `Common`: the program and device that the labelling client ran in.
fn write_client<'r>(event: &mut Event<'r>, common: &'r Object<'r>) {
    if let Some(Value::Object(mut actor)) = event.get(attr::ACTOR).cloned() {
        for (attribute, member) in [(attr::APP_NAME, "ApplicationName"), (attr::APP_UID, "ApplicationId")] {
            if !actor.has(attribute) {
                actor.set(attribute, common.take_str(member));
            }
        }
        event.set(attr::ACTOR, *actor);
    }
    let mut device = Attributes::of(&object::DEVICE);
    device.set(attr::HOSTNAME, common.take_str("DeviceName"));
    if !device.is_empty() {
        device.set_enum(attr::TYPE_ID, 0, None);
    }
    event.set(attr::DEVICE, device);
}

/// A label seen on a message in transport (Microsoft: Management Activity API, MIP label schema).
pub fn map_mail<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let receivers = record.items("Receivers").iter().filter_map(Node::as_str);
    let to: Vec<&str> = receivers.filter_map(findings::mail_address).collect();
    let from = record.peek_str("Sender").and_then(findings::mail_address);
    if from.is_none() && to.is_empty() {
        return generic::map(context, record);
    }
    let mut event = context.event();
    let mut email = Attributes::of(&object::EMAIL);
    // What stands beside an address has no place in the event, so the list is taken only if they stand alone.
    findings::take_addresses(record, "Receivers");
    findings::write_from(&mut email, record.take_str("Sender"));
    email.set(attr::TO, to.clone());
    email.set(attr::SUBJECT, record.take_str("ItemName"));
    email.set(attr::DATA_CLASSIFICATIONS, labels(record));
    let message = record.take_if("ObjectId", |n| n.as_str().filter(|t| !users::is_nobody(t)));
    email.set(attr::MESSAGE_UID, message);
    event.set(attr::EMAIL, email);
    event.set(attr::FROM, from);
    event.set(attr::TO, to);
    event.set_enum(attr::DIRECTION_ID, 0, None);
    caller::write(context, record, &mut event);
    vec![event]
}

/// The labelling client says that it runs.
pub fn map_heartbeat<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let Some(common) = record.object("Common").filter(|c| c.peek_str("ApplicationName").is_some()) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let mut app = Attributes::of(&object::PRODUCT);
    app.set(attr::NAME, common.take_str("ApplicationName"));
    app.set(attr::UID, common.take_str("ApplicationId"));
    app.set(attr::VERSION, common.take_str("ProductVersion"));
    event.set(attr::APP, app);
    caller::write(context, record, &mut event);
    let device = event.get(attr::DEVICE).cloned();
    write_client(&mut event, common);
    let name = event.get(attr::DEVICE).and_then(|device| device.get(attr::HOSTNAME)).cloned();
    if let (Some(Value::Object(mut device)), Some(name)) = (device, name) {
        // The device's own name beside the address that it called from.
        device.set(attr::HOSTNAME, name);
        event.set(attr::DEVICE, *device);
    }
    vec![event]
}
