//! Sign-ins: those of Microsoft Graph, and the sign-in records of the Management Activity API. OCSF Authentication (3002).
//!
//! Invariant: the activity says that somebody tried to sign in, `status_id` how it ended, and the error code decides that, not the
//! `ResultStatus` of the record: it says Success of most failed sign-ins.

use super::{
    addresses,
    context::Context,
    event::{Attributes, Event},
    outcome::{self, Outcome},
    record::{Node, Object},
    tables::{self, SignInCode},
    users::{self, Person},
};

mod factors;
mod policies;

pub use factors::factor_type;

/// A sign-in of Microsoft Graph, of any of the four kinds (resource type `signIn`).
pub fn map_sign_in(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let mut event = context.event();
    let user = sign_in_user(context, record);
    let mut actor = Attributes::of("actor");
    actor.set("user", user.clone());
    event.set("user", user);
    actor.set("app_name", record.take_str("appDisplayName"));
    // For a principal's sign-in the application is the account, and was taken with the user.
    actor.set("app_uid", record.take_str("appId"));
    let mut idp = Attributes::of("idp");
    idp.set("name", record.take_str("tokenIssuerType"));
    idp.set("issuer", record.take_str("tokenIssuerName"));
    actor.set("idp", idp);
    let mut session = Attributes::of("session");
    session.set("uid", record.take_str("sessionId"));
    actor.set("session", session.clone());
    session.set("credential_uid", record.take_str("uniqueTokenIdentifier"));
    event.set("session", session);
    event.set("actor", actor);

    target(&mut event, record.take_str("resourceDisplayName"), record.take_str("resourceId"));
    logon_type(&mut event, record);
    event.set("is_remote", true);
    protocol(&mut event, record);
    token(&mut event, record);
    event.set("src_endpoint", source(record));
    let mut request = Attributes::of("http_request");
    request.set("user_agent", record.take_str("userAgent"));
    request.set("uid", record.take_str("originalRequestId"));
    event.set("http_request", request);
    event.set("device", device(record));
    event.set("duration", record.take_int("processingTimeInMilliseconds"));

    let status = record.object("status");
    let code = status.and_then(|s| s.take_int("errorCode"));
    let detail = status.map(status_detail).unwrap_or_default();
    event.set("status_detail", detail);
    let succeeded = write_code(&mut event, code);
    if event.has("is_new_logon") && !succeeded {
        event.set("is_new_logon", false);
    }
    factors::write(context, &mut event, record, succeeded);
    policies::write(context, &mut event, record);
    risk(&mut event, record);
    vec![event]
}

/// The person, or for a principal's sign-in the principal, who signs in.
fn sign_in_user(context: &Context<'_>, record: &Object<'_>) -> Attributes {
    let mut person = Person::default();
    if record.peek_str("userPrincipalName").is_some_and(|upn| person.read_name(upn)) {
        record.take("userPrincipalName");
    }
    if let Some(uid) = record.take_if("userId", |n| n.as_str().map(str::trim).filter(|t| !users::is_nobody(t))) {
        person.uid = Some(uid.to_owned());
    }
    person.full_name = record.take_str("userDisplayName").map(str::to_owned);
    let is_person = !person.is_empty() || person.full_name.is_some();
    if is_person {
        match record.take_str("userType").map(str::to_ascii_lowercase).as_deref() {
            Some("guest") => {
                person.guest = true;
                person.type_id = Some(users::TYPE_USER);
            }
            Some("member") => person.type_id = Some(users::TYPE_USER),
            Some(_) => record.put_back("userType"),
            None => {}
        }
        person.type_id = person.type_id.or(Some(users::TYPE_USER));
        person.org_uid = record.take_str("homeTenantId").filter(|t| !users::is_nobody(t)).map(str::to_owned);
        let other = record
            .take_str("signInIdentifier")
            .or_else(|| record.take_str("alternateSignInName"))
            .filter(|other| person.name.as_deref().is_none_or(|name| !name.eq_ignore_ascii_case(other)));
        person.uid_alt = other.map(str::to_owned);
        return person.user();
    }
    person.name = record.take_str("servicePrincipalName").map(str::to_owned);
    person.uid = record.take_str("servicePrincipalId").map(str::to_owned);
    person.type_id = Some(users::TYPE_SERVICE);
    if person.is_empty() {
        // Neither a person nor a principal: all that is left is the program.
        person.uid = record.peek_str("appId").map(str::to_owned);
    }
    if person.is_empty() {
        return users::unknown();
    }
    let mut user = person.user();
    if let Some(app) = record.peek_str("appId") {
        let mut account = Attributes::of("account");
        account.set("uid", app);
        account.set_enum("type_id", 6, None);
        user.set("account", account);
    }
    if context.stream.name != "graph.signins.interactive"
        && let Some(key) =
            record.take_if("servicePrincipalCredentialKeyId", |n| n.as_str().filter(|t| !users::is_nobody(t)))
    {
        let mut credential = Attributes::of("programmatic_credential");
        credential.set("uid", key);
        credential.set("type", record.take_str("clientCredentialType").filter(|t| *t != "none"));
        user.set("programmatic_credentials", vec![credential]);
    }
    user
}

/// What was signed in to. The class wants one, so a record that doesn't say it gets the identity provider itself.
fn target(event: &mut Event, name: Option<&str>, uid: Option<&str>) {
    let uid = uid.filter(|t| !users::is_nobody(t));
    let name = name.or(if uid.is_none() { Some("Microsoft Entra ID") } else { None });
    let mut service = Attributes::of("service");
    service.set("name", name);
    service.set("uid", uid);
    event.set("service", service);
    let mut endpoint = Attributes::of("network_endpoint");
    endpoint.set("svc_name", name);
    endpoint.set("uid", uid);
    event.set("dst_endpoint", endpoint);
}

fn logon_type(event: &mut Event, record: &Object<'_>) {
    let interactive = record.take_bool("isInteractive");
    let kind = record.take_if("signInEventTypes", |n| match n.items() {
        [one] => one.as_str().map(str::trim).filter(|t| !t.is_empty()),
        _ => None,
    });
    match (kind, interactive) {
        (Some("interactiveUser"), _) | (None, Some(true)) => event.set_enum("logon_type_id", 2, None),
        (Some(kind), _) => event.set_enum("logon_type_id", 99, Some(kind)),
        (None, Some(false)) => event.set_enum("logon_type_id", 99, Some("nonInteractive")),
        (None, None) => {}
    }
    if let Some(interactive) = interactive {
        event.set("is_new_logon", interactive);
    }
}

fn protocol(event: &mut Event, record: &Object<'_>) {
    let word = record.peek_str("authenticationProtocol").unwrap_or("none");
    let client = record.peek_str("clientAppUsed").unwrap_or_default();
    let legacy = ["IMAP", "POP", "SMTP", "Other clients"].iter().any(|name| client.contains(name));
    let lower = word.to_ascii_lowercase();
    let id = match lower.as_str() {
        "none" | "unknownfuturevalue" if legacy => 11,
        "none" | "unknownfuturevalue" => return,
        "oauth2" | "devicecode" | "ropc" | "refreshtokengrant" | "clientcredentials" | "onbehalfof" => 6,
        _ if ["authorizationcode", "implicit", "prt"].iter().any(|start| lower.starts_with(start)) => 6,
        "saml20" | "samlonbehalfof" => 5,
        "kerberos" | "seamlesssso" => 2,
        _ => 99,
    };
    event.set_enum("auth_protocol_id", id, Some(word));
    if id == 99 {
        record.take("authenticationProtocol");
    }
}

fn token(event: &mut Event, record: &Object<'_>) {
    let Some(word) = record.peek_str("incomingTokenType") else { return };
    let id = match word {
        "primaryRefreshToken" | "refreshToken" => 4,
        "saml11" | "saml20" => 5,
        "none" | "unknownFutureValue" => return,
        _ => 99,
    };
    let mut token = Attributes::of("authentication_token");
    token.set_enum("type_id", id, Some(word));
    if id == 99 {
        record.take("incomingTokenType");
    }
    event.set("authentication_token", token);
}

fn source(record: &Object<'_>) -> Attributes {
    let mut source = record
        .take_if("ipAddress", |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()))
        .unwrap_or_else(|| Attributes::of("network_endpoint"));
    if source.is_empty() {
        // A place or a network alone names no endpoint, so they stay in `unmapped`.
        return source;
    }
    if let Some(place) = record.object("location") {
        source.set("location", addresses::location(place));
    }
    if let Some(number) = record.take_if("autonomousSystemNumber", |n| n.to_int().filter(|n| *n > 0)) {
        let mut system = Attributes::of("autonomous_system");
        system.set("number", number);
        source.set("autonomous_system", system);
    }
    if let Some(ip) = record.take_if("globalSecureAccessIpAddress", |n| addresses::ip(n.as_str()?)) {
        source.set("intermediate_ips", vec![ip.to_string()]);
    }
    if let Some(network) = record.items("networkLocationDetails").first().and_then(Node::as_object) {
        let zone = network.take_if("networkNames", |n| match n.items() {
            [one] => one.as_str().map(str::to_owned),
            _ => None,
        });
        source.set("zone", zone);
    }
    source
}

fn device(record: &Object<'_>) -> Attributes {
    let mut device = Attributes::of("device");
    let Some(detail) = record.object("deviceDetail") else { return device };
    device.set("uid", detail.take_str("deviceId"));
    device.set("name", detail.take_str("displayName"));
    if device.is_empty() {
        return device;
    }
    device.set("is_compliant", detail.take_bool("isCompliant"));
    device.set("is_managed", detail.take_bool("isManaged"));
    write_os(&mut device, detail.take_str("operatingSystem"));
    device
}

/// The operating system, and the kind of device that it tells.
fn write_os(device: &mut Attributes, name: Option<&str>) {
    let lower = name.unwrap_or_default().to_ascii_lowercase();
    let (os_type, device_type) = match lower.as_str() {
        l if l.starts_with("windows") => (100, 0),
        l if l.starts_with("ios") => (301, 5),
        l if l.starts_with("android") => (201, 5),
        l if l.starts_with("macos") || l.starts_with("mac") => (300, 0),
        l if l.starts_with("linux") => (200, 0),
        _ => (0, 0),
    };
    device.set_enum("type_id", device_type, None);
    if let Some(name) = name {
        let mut os = Attributes::of("os");
        os.set("name", name);
        os.set_enum("type_id", os_type, None);
        device.set("os", os);
    }
}

fn status_detail(status: &Object<'_>) -> String {
    let mut detail = String::new();
    for name in ["failureReason", "additionalDetails"] {
        if let Some(text) = status.take_str(name).filter(|t| *t != "Other.") {
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            detail.push_str(text);
        }
    }
    detail
}

/// Status, action and disposition by the error code. True if the sign-in succeeded.
fn write_code(event: &mut Event, code: Option<i64>) -> bool {
    let Some(code) = code else {
        Outcome::Unknown.write(event);
        return false;
    };
    event.set("status_code", code.to_string());
    let (outcome, action, disposition) = match (code, tables::sign_in_code(code)) {
        (0, _) => (Outcome::Success, 1, 1),
        (_, Some(SignInCode::Interrupted)) => (Outcome::Other("Interrupted"), 3, 23),
        (_, Some(SignInCode::PolicyBlock)) => (Outcome::Failure, 2, 2),
        (_, None) => (Outcome::Failure, 2, 26),
    };
    outcome.write(event);
    event.set_enum("action_id", action, None);
    event.set_enum("disposition_id", disposition, None);
    code == 0
}

fn risk(event: &mut Event, record: &Object<'_>) {
    let level = ["riskLevelDuringSignIn", "riskLevelAggregated"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().filter(|t| !t.is_empty() && *t != "unknownFutureValue")));
    let Some(level) = level else { return };
    let id = match level {
        "none" => 0,
        "low" => 1,
        "medium" => 2,
        "high" => 3,
        _ => 99,
    };
    event.set_enum("risk_level_id", id, Some(level));
    if (1..=3).contains(&id) {
        // low 2, medium 3, high 4: a risky sign-in is at least as severe as a failed one.
        event.set_severity(id + 1);
    }
    let mut details: Vec<&str> = record.items("riskEventTypes_v2").iter().filter_map(Node::as_str).collect();
    details.extend(["riskDetail", "riskState"].iter().filter_map(|name| record.peek_str(name)));
    details.retain(|d| *d != "none" && *d != "unknownFutureValue");
    event.set("risk_details", details.join(", "));
}

/// Sign-in records of the Management Activity API: record types 15, 9 and 275, and the logons that services see themselves.
pub fn map_activity(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    let mut event = context.event();
    let properties = record.pairs("ExtendedProperties");
    let device_properties = record.pairs("DeviceProperties");
    let mut actor = users::actor(record);
    let program = record.take_str("Application").or_else(|| record.take_str("Client"));
    actor.set_if_absent("app_name", program);
    event.set("user", actor.get("user").cloned());
    let session = record.peek_str("SessionId").or_else(|| device_properties.take_str("SessionId"));
    if let Some(uid) = session {
        let mut session = Attributes::of("session");
        session.set("uid", uid);
        event.set("session", session.clone());
        if !actor.has("session") {
            actor.set("session", session);
        }
    }
    event.set("actor", actor);
    activity_target(context, &mut event, record);
    event.set("is_remote", true);
    if let Some(request_type) = properties.peek_str("RequestType") {
        let id = if request_type.starts_with("OAuth2:") { 6 } else { 99 };
        event.set_enum("auth_protocol_id", id, Some(request_type));
    }
    event.set("src_endpoint", addresses::source(record));
    let mut request = Attributes::of("http_request");
    request.set("user_agent", properties.take_str("UserAgent").or_else(|| record.take_str("UserAgent")));
    // The id of the same sign-in in Microsoft Graph; Microsoft spells the member in two ways.
    let same = ["IntraSystemsId", "IntraSystemId"];
    let same = same.iter().find_map(|name| record.take_if(name, |n| n.as_str().filter(|t| !users::is_nobody(t))));
    request.set("uid", same);
    event.set("http_request", request);
    let mut device = Attributes::of("device");
    device.set("uid", device_properties.take_str("Id"));
    device.set("name", device_properties.take_str("DisplayName"));
    if !device.is_empty() {
        device.set("is_compliant", device_properties.take_bool("IsCompliant"));
        device.set("is_managed", device_properties.take_bool("IsCompliantAndManaged"));
        write_os(&mut device, device_properties.take_str("OS"));
        event.set("device", device);
    }
    activity_status(context, &mut event, record);
    vec![event]
}

fn activity_target(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    let claims = users::Claims::take(record, "Target");
    let object = record.take_if("ObjectId", |n| n.as_str().map(str::trim).filter(|t| !users::is_nobody(t)));
    let uid = claims.uid.or_else(|| object.filter(|o| users::is_guid(o)).map(str::to_owned));
    let mut name = claims.display_name.or(claims.name).or_else(|| object.map(str::to_owned));
    if name.is_some() && name == uid {
        name = None;
    }
    // Logons that a service logs itself are logons to that service.
    let entra = [0, 9, 15].contains(&context.record_type_number());
    if !entra && !context.workload.is_empty() {
        if object.is_some() && name.as_deref() != Some(&context.workload) {
            record.put_back("ObjectId");
        }
        target(event, Some(&context.workload), uid.as_deref());
    } else {
        target(event, name.as_deref(), uid.as_deref());
    }
}

/// Operation first, then error number, then error text; `ResultStatus` only if there is nothing else.
fn activity_status(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    let code = ["ErrorNumber", "ErrorCode"].iter().find_map(|name| record.take_int(name));
    let error = record.take_str("LogonError");
    let failed = context.operation == "UserLoginFailed";
    match code {
        Some(code) if code != 0 || !failed => {
            write_code(event, Some(code));
        }
        _ if failed || error.is_some() => {
            Outcome::Failure.write(event);
            event.set_enum("action_id", 2, None);
            event.set_enum("disposition_id", 26, None);
            event.set("status_code", code.map(|c| c.to_string()));
        }
        _ => {
            let status = record.take_text("ResultStatus");
            outcome::of_activity(&context.operation, status.as_deref(), &context.workload).write(event);
        }
    }
    if failed && event.get("status_id").and_then(serde_json::Value::as_i64) == Some(1) {
        Outcome::Failure.write(event);
    }
    event.set("status_detail", error);
}
