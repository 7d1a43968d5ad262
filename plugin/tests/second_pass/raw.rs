//! What a record says of time, people and addresses, read from its own fields.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Value, json};

use crate::records::Record;

/// The text of a member that is not blank.
pub fn text<'v>(record: &'v Value, name: &str) -> Option<&'v str> {
    record.get(name)?.as_str().map(str::trim).filter(|t| !t.is_empty())
}

/// Whether a text stands for something.
pub fn is_something(text: &str) -> bool {
    let nothing =
        ["", "not available", "not-found", "unknown", "<null>", "null", "n/a", "00000000-0000-0000-0000-000000000000"];
    !nothing.contains(&text.trim().to_lowercase().as_str())
}

/// The time that the event has to carry, as the record writes it. An alert is one version of itself: its last change.
pub fn time_text<'v>(stream: &str, record: &'v Value) -> Option<&'v str> {
    let names: &[&str] = match stream {
        "graph.alerts" => &["lastUpdateDateTime", "createdDateTime"],
        "graph.alerts-legacy" => &["lastModifiedDateTime", "createdDateTime", "eventDateTime"],
        "graph.directory-audits" => &["activityDateTime"],
        graph if graph.starts_with("graph.") => &["createdDateTime"],
        _ => &["CreationTime"],
    };
    names.iter().find_map(|name| record.get(name)?.as_str())
}

/// Milliseconds since 1970. Microsoft documents a time without zone as UTC.
pub fn milliseconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.trim_end_matches(" UTC").parse().ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond())
}

/// The members that can hold the caller's address, best first, as the record writes them.
pub fn addresses(stream: &str, record: &Value) -> Vec<String> {
    let at = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let pointers: &[&str] = match stream {
        "graph.alerts" | "graph.alerts-legacy" => &[],
        "graph.directory-audits" => &["/initiatedBy/user/ipAddress"],
        graph if graph.starts_with("graph.") => &["/ipAddress"],
        _ => &[
            "/ClientIPAddress",
            "/ClientIP",
            "/ActorIpAddress",
            "/ActorIP",
            "/SenderIp",
            "/UserIp",
            "/EndpointMetaData/ClientIP",
        ],
    };
    pointers.iter().filter_map(|pointer| at(pointer)).collect()
}

/// The address in `1.2.3.4`, `1.2.3.4:5`, `[::1]`, `[::1]:5`, `::1` or `::ffff:1.2.3.4`.
pub fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let host = if let Some(inner) = text.strip_prefix('[') {
        inner.split(']').next()?
    } else if text.matches(':').count() == 1 {
        text.split(':').next()?
    } else {
        text
    };
    if let Ok(v6) = host.parse::<Ipv6Addr>() {
        return Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4));
    }
    host.parse().ok()
}

/// The address in the event: of the source, of the device where the class has no source, of the evidence of a finding. For an alert
/// there is nothing to compare with.
pub fn event_address(event: &Value) -> Value {
    let graph_alert = event["metadata"]["log_source"].as_str().is_some_and(|source| source.starts_with("security/"));
    if graph_alert {
        return Value::Null;
    }
    let places = ["/src_endpoint/ip", "/evidences/0/src_endpoint/ip", "/device/ip"];
    places.iter().find_map(|place| event.pointer(place)).cloned().unwrap_or_default()
}

/// Whether a text is anywhere in the event.
pub fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found.trim() == text.trim(),
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(members) => members.values().any(|value| holds(value, text)),
        _ => false,
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.') && !text.contains(' '))
}

/// Compares the actor, and for a sign-in the user, with whom the record names.
pub fn check_actor(record: &Record, event: &Value) -> Result<(), String> {
    let raw = &record.value;
    let user = &event["actor"]["user"];
    // A service that checks somebody's password on their behalf is the actor, and they are the user.
    if event["class_uid"] == json!(3002) && record.stream != "graph.directory-audits" {
        same(
            "user of the sign-in",
            user.get("name").or(user.get("uid")),
            event["user"].get("name").or(event["user"].get("uid")),
        )?;
    }
    match record.stream.as_str() {
        "graph.alerts" | "graph.alerts-legacy" => Ok(()),
        "graph.directory-audits" => check_initiator(raw, event),
        graph if graph.starts_with("graph.signins") => check_sign_in(raw, user),
        _ => check_activity(raw, event),
    }
}

fn same(what: &str, left: Option<&Value>, right: Option<&Value>) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{what}: {left:?} and {right:?}")) }
}

fn check_sign_in(raw: &Value, user: &Value) -> Result<(), String> {
    let real = |name: &str| text(raw, name).filter(|t| is_something(t));
    if real("userPrincipalName").is_some() || real("userId").is_some() {
        expect(user, "name", real("userPrincipalName").filter(|t| !is_guid(t)))?;
        expect(user, "uid", real("userId"))?;
        return expect(user, "full_name", real("userDisplayName"));
    }
    if real("servicePrincipalId").is_some() || real("servicePrincipalName").is_some() {
        expect(user, "name", real("servicePrincipalName"))?;
        expect(user, "uid", real("servicePrincipalId"))?;
        return same("type", Some(&json!("Service")), user.get("type"));
    }
    Ok(())
}

/// If the record says it, the event says the same.
fn expect(object: &Value, name: &str, said: Option<&str>) -> Result<(), String> {
    match said {
        Some(said) if object.get(name).and_then(Value::as_str) != Some(said) => {
            Err(format!("{name}: the record says {said}, the event {}", object[name]))
        }
        _ => Ok(()),
    }
}

fn check_initiator(raw: &Value, event: &Value) -> Result<(), String> {
    let actor = &event["actor"];
    let user = raw.pointer("/initiatedBy/user").filter(|u| text(u, "userPrincipalName").or(text(u, "id")).is_some());
    let app = raw.pointer("/initiatedBy/app").filter(|a| a.is_object());
    if let Some(app) = app {
        expect(actor, "app_name", text(app, "displayName"))?;
        expect(actor, "app_uid", text(app, "appId").filter(|t| is_something(t)))?;
    }
    match (user, app) {
        (Some(user), _) => {
            expect(&actor["user"], "name", text(user, "userPrincipalName").filter(|t| !is_guid(t)))?;
            expect(&actor["user"], "uid", text(user, "id"))
        }
        (None, Some(app)) => {
            expect(&actor["user"], "uid", text(app, "servicePrincipalId").filter(|t| is_something(t)))?;
            same("type", Some(&json!("Service")), actor["user"].get("type"))
        }
        (None, None) => Ok(()),
    }
}

/// `UserId` of the Management Activity API in all its forms.
fn check_activity(raw: &Value, event: &Value) -> Result<(), String> {
    let Some(id) = text(raw, "UserId") else { return Ok(()) };
    let user = match event["class_uid"].as_i64() {
        // Whom a sender's ban or a risk is about is not who acted.
        Some(3001) if raw["RecordType"] == json!(51) => &event["user"],
        Some(2004) if event["actor"].is_null() || raw["RecordType"] == json!(294) => &event["evidences"][0]["user"],
        _ => &event["actor"]["user"],
    };
    let upper = id.to_uppercase();
    if !is_something(id) {
        return if raw.get("Actor").is_some() || raw.get("UserKey").is_some() || user.is_null() {
            Ok(())
        } else {
            expect(user, "name", Some("Unknown"))
        };
    }
    if event["class_uid"] == json!(2006) && !is_address(id) {
        // The agent that evaluates rules is nobody; who sent or owns the content is the person.
        let owner = ["/ExchangeMetaData/From", "/SharePointMetaData/From", "/SharePointMetaData/FileOwner"];
        let owner = owner.iter().find_map(|place| raw.pointer(place)?.as_str());
        return expect(user, "name", Some(owner.unwrap_or(id)));
    }
    if let Some(guid) = id.strip_prefix("ServicePrincipal_") {
        expect(user, "uid", Some(guid))?;
        return expect(user, "type", Some("Service"));
    }
    if is_guid(id) {
        return expect(user, "uid", Some(id));
    }
    if id.starts_with("S-1-") {
        return expect(user, "uid", Some(id));
    }
    if upper.starts_with("NT AUTHORITY\\") {
        expect(user, "name", id.split('(').next().map(str::trim))?;
        expect(user, "type", Some("System"))?;
        let program = id.split_once('(').map(|(_, program)| program.trim_end_matches(')'));
        return match text(raw, "ApplicationDisplayName") {
            Some(_) => Ok(()),
            None => expect(&event["actor"], "app_name", program),
        };
    }
    if let Some(guest) = id.strip_prefix("urn:spo:guest#") {
        expect(user, "name", Some(guest))?;
        return same("label", Some(&json!(["guest"])), user["account"].get("labels"));
    }
    if let Some(hash) = id.strip_prefix("urn:spo:anon#") {
        expect(user, "uid", Some(hash))?;
        return expect(user, "name", Some("anonymous"));
    }
    expect(user, "name", Some(id))?;
    if is_address(id) && id.is_ascii() && !id.contains('\\') {
        expect(user, "email_addr", Some(id))?;
    } else if !user["email_addr"].is_null() {
        return Err(format!("{id} became the address {}", user["email_addr"]));
    }
    Ok(())
}
