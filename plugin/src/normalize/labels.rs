//! Sensitivity labels and protection: on files (record types 70, 71, 82 to 84, 93 to 96), on mail in transport (43), and the
//! heartbeat of the labelling client (97). OCSF File Hosting Activity, Email Activity and Application Lifecycle.
//!
//! Invariant: the label that the item has *after* the operation is its classification; the label before stays in `unmapped`.

use super::{
    caller,
    context::Context,
    event::{Attributes, Event},
    findings, generic,
    record::{Node, Object},
    users, web_resource,
};

/// A label put on, changed on or removed from a file, or a labelled file that was found or used.
pub fn map_file(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let Some(object) = record.peek_str("ObjectId").filter(|id| !users::is_nobody(id)) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let remote = object.contains("://");
    let mut file = if remote {
        let mut file =
            findings::file(record.peek_str("SourceFileName").or_else(|| web_resource::last_part(object)), None);
        file.set("url", findings::url(object));
        file
    } else {
        findings::file_of_path(Some(object))
    };
    record.take("ObjectId");
    file.set("data_classifications", labels(record));
    event.set("file", file);
    let common = record.object("Common");
    caller::write(context, record, &mut event);
    if let Some(common) = common {
        write_client(&mut event, common);
    }
    vec![event]
}

/// The label that the record names, by id or name.
fn labels(record: &Object<'_>) -> Vec<Attributes> {
    let inner = record.object("SensitivityLabelEventData");
    let uid = inner
        .and_then(|i| i.take_str("SensitivityLabelId"))
        .or_else(|| record.take_str("SensitivityLabelId"))
        .or_else(|| record.take_str("LabelId"));
    let name = record.take_str("LabelName").or_else(|| record.take_str("SensitivityLabelName"));
    let mut label = Attributes::of("data_classification");
    label.set("uid", uid);
    if let Some(name) = name {
        label.set_enum("confidentiality_id", 99, Some(name));
    } else if !label.is_empty() {
        // The id alone doesn't tell how confidential it is.
        label.set_enum("confidentiality_id", 0, None);
    }
    if label.is_empty() { Vec::new() } else { vec![label] }
}

/// `Common`: the program and device that the labelling client ran in.
fn write_client(event: &mut Event, common: &Object<'_>) {
    let mut actor = event.get("actor").cloned().unwrap_or_default();
    if let Some(actor) = actor.as_object_mut() {
        for (attribute, member) in [("app_name", "ApplicationName"), ("app_uid", "ApplicationId")] {
            if !actor.contains_key(attribute)
                && let Some(text) = common.take_str(member)
            {
                actor.insert(attribute.to_owned(), text.into());
            }
        }
    }
    event.set("actor", actor);
    let mut device = Attributes::of("device");
    device.set("hostname", common.take_str("DeviceName"));
    if !device.is_empty() {
        device.set_enum("type_id", 0, None);
    }
    event.set("device", device);
}

/// A label seen on a message in transport (Microsoft: Management Activity API, MIP label schema).
pub fn map_mail(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let receivers = record.items("Receivers").iter().filter_map(Node::as_str);
    let to: Vec<&str> = receivers.filter_map(findings::mail_address).collect();
    let from = record.peek_str("Sender").and_then(findings::mail_address);
    if from.is_none() && to.is_empty() {
        return generic::map(context, record);
    }
    let mut event = context.event();
    let mut email = Attributes::of("email");
    if to.len() == record.items("Receivers").len() {
        record.take("Receivers");
    }
    findings::write_from(&mut email, record.take_str("Sender"));
    email.set("to", to.clone());
    email.set("subject", record.take_str("ItemName"));
    email.set("data_classifications", labels(record));
    let message = record.take_if("ObjectId", |n| n.as_str().filter(|t| !users::is_nobody(t)));
    email.set("message_uid", message);
    event.set("email", email);
    event.set("from", from);
    event.set("to", to);
    event.set_enum("direction_id", 0, None);
    caller::write(context, record, &mut event);
    vec![event]
}

/// The labelling client says that it runs.
pub fn map_heartbeat(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let Some(common) = record.object("Common").filter(|c| c.peek_str("ApplicationName").is_some()) else {
        return generic::map(context, record);
    };
    let mut event = context.event();
    let mut app = Attributes::of("product");
    app.set("name", common.take_str("ApplicationName"));
    app.set("uid", common.take_str("ApplicationId"));
    app.set("version", common.take_str("ProductVersion"));
    event.set("app", app);
    caller::write(context, record, &mut event);
    let device = event.get("device").cloned();
    write_client(&mut event, common);
    if let (Some(mut device), Some(name)) = (device, event.text_at(&["device", "hostname"]).map(str::to_owned)) {
        // The device's own name beside the address that it called from.
        device["hostname"] = name.into();
        event.set("device", device);
    }
    vec![event]
}
