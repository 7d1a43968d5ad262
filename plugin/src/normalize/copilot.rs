//! Conversations with Microsoft 365 Copilot and connected assistants (record types 261, 328, 334, 363). OCSF API Activity.
//!
//! Invariant: records carry ids of messages, never their text, and `PromptText` of scheduled prompts leaves only through redaction.

use super::{
    caller,
    context::Context,
    event::{Attributes, Event, attr, object},
    findings,
    record::{Node, Object},
};

/// An interaction (Microsoft: Copilot interaction schema).
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
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
                resource.set(attr::DATA, context.take_rest("CopilotEventData.AccessedResources", item));
                resources.push(resource);
            }
        }
        for item in data.items("AISystemPlugin").iter().filter_map(Node::as_object) {
            let plug_in = findings::resource("Plug-in", item.peek_str("Id"), item.peek_str("Name"), 4);
            if !plug_in.is_empty() {
                item.take_str("Id");
                item.take_str("Name");
                resources.push(plug_in);
            }
        }
    }
    event.set(attr::RESOURCES, resources);
    vec![event]
}

/// Where the conversation was held, which one it is, and by what model.
fn write_conversation<'r>(event: &mut Event<'r>, data: &'r Object<'r>) {
    if let Some(host) = data.take_str("AppHost") {
        let mut service = Attributes::of(&object::SERVICE);
        service.set(attr::NAME, host);
        let mut message = Attributes::of(&object::MESSAGE_CONTEXT);
        message.set(attr::SERVICE, service);
        message.set(attr::UID, data.take_str("ThreadId"));
        event.set(attr::MESSAGE_CONTEXT, message);
    }
    // OCSF has room for one model; with several all of them stay in the record.
    let [Node::Object(model)] = data.items("ModelTransparencyDetails") else { return };
    let (name, provider) = (model.peek_str("ModelName"), model.peek_str("ModelProviderName"));
    if name.is_none() || provider.is_none() {
        return;
    }
    let mut used = Attributes::of(&object::AI_MODEL);
    used.set(attr::NAME, model.take_str("ModelName"));
    used.set(attr::AI_PROVIDER, model.take_str("ModelProviderName"));
    used.set(attr::VERSION, model.take_str("ModelVersion"));
    event.set(attr::AI_MODEL, used);
}
