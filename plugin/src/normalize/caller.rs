//! The caller of a Management Activity record: who, by what program, from where, under which request; and how it ended.
//!
//! Invariant: an attribute is written only to classes that have it; what a class has no place for stays in the record.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event, attr, object},
    generic,
    record::{Node, Object},
    users,
};

/// Email Activity and Application Lifecycle have no `http_request`; the latter has no endpoints either.
const EMAIL_ACTIVITY: u32 = 4009;
const APPLICATION_LIFECYCLE: u32 = 6002;
/// API Activity and File Hosting Activity can't be without a source.
const SOURCE_REQUIRED: [u32; 2] = [6003, 6006];

/// Writes `actor`, `src_endpoint`, `http_request`, `api` and the status, and takes what they came from.
pub fn write<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &mut Event<'r>) {
    let class = event.class.uid;
    event.set(attr::ACTOR, users::actor(record));
    if class == APPLICATION_LIFECYCLE {
        event.set(attr::DEVICE, calling_device(record));
    } else {
        let mut source = addresses::source(record);
        if source.is_empty() && SOURCE_REQUIRED.contains(&class) {
            let service = if context.workload.is_empty() { context.product() } else { context.workload };
            source.set(attr::SVC_NAME, service);
        }
        event.set(attr::SRC_ENDPOINT, source);
    }
    if ![EMAIL_ACTIVITY, APPLICATION_LIFECYCLE].contains(&class) {
        let mut request = Attributes::of(&object::HTTP_REQUEST);
        request.set(attr::USER_AGENT, agent(record, event));
        event.set(attr::HTTP_REQUEST, request);
    }
    let request_id = ["ClientRequestId", "RequestId"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().map(str::trim).filter(|t| !users::is_nobody(t))));
    event.set(attr::API, context.api(request_id));
    // Exchange ends it with a line break.
    event.keep("OriginatingServer", record.take_str("OriginatingServer"));
    generic::write_status(context, record, event);
}

/// Where the call came from, as a device, for the class that has no source endpoint. The address itself stays in the record, with its port.
fn calling_device<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let mut device = Attributes::of(&object::DEVICE);
    let source = addresses::SOURCES
        .iter()
        .find_map(|name| Some(addresses::endpoint(record.peek_str(name)?)).filter(|source| !source.is_empty()));
    if let Some(source) = source {
        device.set(attr::IP, source.get(attr::IP).cloned());
        device.set(attr::HOSTNAME, source.get(attr::HOSTNAME).cloned());
        device.set_enum(attr::TYPE_ID, 0, None);
    }
    device
}

/// The user agent: a member of its own, a property, or behind the client's name in `ClientInfoString`.
fn agent<'r>(record: &'r Object<'r>, event: &mut Event<'r>) -> Option<&'r str> {
    if let Some(agent) = record.take_str("UserAgent") {
        return Some(agent);
    }
    for list in ["ExtraProperties", "ExtendedProperties"] {
        if let Some(agent) = record.pairs(list).take_str("UserAgent") {
            return Some(agent);
        }
    }
    let (client, agent) = record.peek("ClientInfoString").and_then(Node::as_str).and_then(browser)?;
    record.take("ClientInfoString");
    event.keep("ClientInfoString", client);
    Some(agent)
}

/// `Client=OWA;Mozilla/5.0 (…) …;` in its two parts.
fn browser(client_info: &str) -> Option<(&str, &str)> {
    let (client, agent) = client_info.split_once(';')?;
    let agent = agent.trim().trim_end_matches(';');
    agent.starts_with("Mozilla/").then_some((client, agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_behind_the_name_of_the_client() {
        assert_eq!(
            browser("Client=OWA;Mozilla/5.0 (X11; Linux) A/1;"),
            Some(("Client=OWA", "Mozilla/5.0 (X11; Linux) A/1"))
        );
        for none in ["Client=REST;;", "Client=OWA;Action=ViaProxy", "Client=MSExchangeRPC", ""] {
            assert_eq!(browser(none), None, "{none}");
        }
    }
}
