//! Conversations with Microsoft 365 Copilot and connected assistants (record types 261, 328, 334, 363). OCSF API Activity.
//!
//! Invariant: records carry ids of messages, never their text, and `PromptText` of scheduled prompts leaves only through redaction.

use super::{
    caller,
    context::Context,
    event::{Attributes, Event},
    findings,
    record::{Node, Object},
};

/// An interaction (Microsoft: Copilot interaction schema).
pub fn map(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let mut event = context.event();
    caller::write(context, record, &mut event);
    let mut resources = Vec::new();
    if let Some(data) = record.object("CopilotEventData") {
        write_conversation(&mut event, data);
        for item in data.items("AccessedResources").iter().filter_map(Node::as_object) {
            let kind = item.take_str("Type").unwrap_or("Resource");
            let uid = item.take_str("Id").or_else(|| item.take_str("SiteUrl"));
            let mut resource = findings::resource(kind, uid, item.take_str("Name"), 4);
            if resource.is_empty() {
                item.put_back("Type");
            } else {
                resource.set("data", context.take_rest("CopilotEventData.AccessedResources", item));
                resources.push(resource);
            }
        }
        for item in data.items("AISystemPlugin").iter().filter_map(Node::as_object) {
            let plug_in = findings::resource("Plug-in", item.peek_str("Id"), item.peek_str("Name"), 4);
            if !plug_in.is_empty() {
                item.take("Id");
                item.take("Name");
                resources.push(plug_in);
            }
        }
    }
    event.set("resources", resources);
    vec![event]
}

/// Where the conversation was held, which one it is, and by what model.
fn write_conversation(event: &mut Event, data: &Object<'_>) {
    if let Some(host) = data.take_str("AppHost") {
        let mut service = Attributes::of("service");
        service.set("name", host);
        let mut message = Attributes::of("message_context");
        message.set("service", service);
        message.set("uid", data.take_str("ThreadId"));
        event.set("message_context", message);
    }
    // OCSF has room for one model; with several all of them stay in the record.
    let [Node::Object(model)] = data.items("ModelTransparencyDetails") else { return };
    let (name, provider) = (model.peek_str("ModelName"), model.peek_str("ModelProviderName"));
    if name.is_none() || provider.is_none() {
        return;
    }
    let mut used = Attributes::of("ai_model");
    used.set("name", model.take_str("ModelName"));
    used.set("ai_provider", model.take_str("ModelProviderName"));
    used.set("version", model.take_str("ModelVersion"));
    event.set("ai_model", used);
}
