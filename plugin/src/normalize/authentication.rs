//! Sign-ins: those of Microsoft Graph, and the sign-in records of the Management Activity API. OCSF Authentication (3002).
//!
//! Invariant: the activity says that somebody tried to sign in, `status_id` how it ended, and the error code decides that, not the
//! `ResultStatus` of the record: it says Success of most failed sign-ins.

use super::{
    addresses,
    claims::Claims,
    context::Context,
    event::{Attributes, Event, Value, attr, object},
    outcome::{self, Outcome},
    record::{Node, Object},
    tables::{self, SignInCode},
    users::{self, Person},
};

mod factors;
mod policies;

pub use factors::factor_type;

/// A sign-in of Microsoft Graph, of any of the four kinds (resource type `signIn`).
pub fn map_sign_in<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let mut event = context.event();
    let user = sign_in_user(context, record);
    let mut actor = Attributes::of(&object::ACTOR);
    actor.set(attr::USER, user.clone());
    event.set(attr::USER, user);
    actor.set(attr::APP_NAME, record.take_str("appDisplayName"));
    // For a principal's sign-in the application is the account, and was taken with the user.
    actor.set(attr::APP_UID, record.take_str("appId"));
    let mut idp = Attributes::of(&object::IDP);
    idp.set(attr::NAME, record.take_str("tokenIssuerType"));
    idp.set(attr::ISSUER, record.take_str("tokenIssuerName"));
    actor.set(attr::IDP, idp);
    let mut session = Attributes::of(&object::SESSION);
    session.set(attr::UID, record.take_str("sessionId"));
    actor.set(attr::SESSION, session.clone());
    session.set(attr::CREDENTIAL_UID, record.take_str("uniqueTokenIdentifier"));
    event.set(attr::SESSION, session);
    event.set(attr::ACTOR, actor);

    target(&mut event, record.take_str("resourceDisplayName"), users::take_real(record, "resourceId"));
    logon_type(&mut event, record);
    event.set(attr::IS_REMOTE, true);
    protocol(&mut event, record);
    token(&mut event, record);
    event.set(attr::SRC_ENDPOINT, source(record));
    let mut request = Attributes::of(&object::HTTP_REQUEST);
    request.set(attr::USER_AGENT, record.take_str("userAgent"));
    request.set(attr::UID, record.take_str("originalRequestId"));
    event.set(attr::HTTP_REQUEST, request);
    event.set(attr::DEVICE, device(record));
    event.set(attr::DURATION, record.take_int("processingTimeInMilliseconds"));

    let status = record.object("status");
    let code = status.and_then(|s| s.take_int("errorCode"));
    let detail = status.map(status_detail).unwrap_or_default();
    event.set(attr::STATUS_DETAIL, detail);
    let succeeded = write_code(&mut event, code);
    if event.has(attr::IS_NEW_LOGON) && !succeeded {
        event.set(attr::IS_NEW_LOGON, false);
    }
    factors::write(context, &mut event, record, succeeded);
    policies::write(context, &mut event, record);
    risk(&mut event, record);
    vec![event]
}

/// The person, or for a principal's sign-in the principal, who signs in.
fn sign_in_user<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Attributes<'r> {
    let mut person = Person::default();
    if record.peek_str("userPrincipalName").is_some_and(|upn| person.read_name(upn)) {
        record.take("userPrincipalName");
    }
    person.uid = users::take_real(record, "userId").or(person.uid);
    person.full_name = record.take_str("userDisplayName");
    let is_person = !person.is_empty() || person.full_name.is_some();
    if is_person {
        let kind = record.peek_str("userType").unwrap_or_default();
        let known = kind.eq_ignore_ascii_case("guest") || kind.eq_ignore_ascii_case("member");
        // A guest shows by the label of the account, which a display name alone has none of.
        if known && !person.is_empty() {
            person.guest = kind.eq_ignore_ascii_case("guest");
            person.type_id = person.type_id.or(Some(users::TYPE_USER));
            if person.type_id == Some(users::TYPE_USER) {
                record.take("userType");
            }
        }
        person.type_id = person.type_id.or(Some(users::TYPE_USER));
        person.org_uid = users::take_real(record, "homeTenantId");
        for name in ["signInIdentifier", "alternateSignInName"] {
            record.take_same(name, &[person.name]);
        }
        let another = |text: &&str| person.name.is_none_or(|name| !name.eq_ignore_ascii_case(text));
        person.uid_alt = ["signInIdentifier", "alternateSignInName"].iter().find_map(|name| {
            record.take_if(name, |n| n.as_str().map(str::trim).filter(|t| !t.is_empty()).filter(another))
        });
        return person.user();
    }
    person.name = record.take_str("servicePrincipalName");
    person.uid = record.take_str("servicePrincipalId");
    person.type_id = Some(users::TYPE_SERVICE);
    if person.is_empty() {
        // Neither a person nor a principal: all that is left is the program.
        person.uid = record.peek_str("appId");
    }
    if person.is_empty() {
        return users::unknown();
    }
    let mut user = person.user();
    if let Some(app) = record.peek_str("appId") {
        let mut account = Attributes::of(&object::ACCOUNT);
        account.set(attr::UID, app);
        account.set_enum(attr::TYPE_ID, 6, None);
        user.set(attr::ACCOUNT, account);
    }
    if context.stream.name != "graph.signins.interactive"
        && let Some(key) =
            record.take_if("servicePrincipalCredentialKeyId", |n| n.as_str().filter(|t| !users::is_nobody(t)))
    {
        let mut credential = Attributes::of(&object::PROGRAMMATIC_CREDENTIAL);
        credential.set(attr::UID, key);
        credential.set(attr::TYPE, record.take_if("clientCredentialType", |n| n.as_str().filter(|t| *t != "none")));
        user.set(attr::PROGRAMMATIC_CREDENTIALS, vec![credential]);
    }
    user
}

/// What was signed in to. The class wants one, so a record that doesn't say it gets the identity provider itself.
fn target<'r>(event: &mut Event<'r>, name: Option<&'r str>, uid: Option<&'r str>) {
    let name = name.or(if uid.is_none() { Some("Microsoft Entra ID") } else { None });
    let mut service = Attributes::of(&object::SERVICE);
    service.set(attr::NAME, name);
    service.set(attr::UID, uid);
    event.set(attr::SERVICE, service);
    let mut endpoint = Attributes::of(&object::NETWORK_ENDPOINT);
    endpoint.set(attr::SVC_NAME, name);
    endpoint.set(attr::UID, uid);
    event.set(attr::DST_ENDPOINT, endpoint);
}

fn logon_type<'r>(event: &mut Event<'r>, record: &'r Object<'r>) {
    let interactive = record.peek("isInteractive").and_then(Node::to_bool);
    let kind = record.take_if("signInEventTypes", |n| match n.items() {
        [one] => one.as_str().map(str::trim).filter(|t| !t.is_empty()),
        _ => None,
    });
    match (kind, interactive) {
        (Some("interactiveUser"), _) | (None, Some(true)) => event.set_enum(attr::LOGON_TYPE_ID, 2, None),
        (Some(kind), _) => event.set_enum(attr::LOGON_TYPE_ID, 99, Some(kind)),
        (None, Some(false)) => event.set_enum(attr::LOGON_TYPE_ID, 99, Some("nonInteractive")),
        (None, None) => {}
    }
    if let Some(interactive) = interactive {
        event.set(attr::IS_NEW_LOGON, interactive);
        // The kind says it as well, but for a record that contradicts itself.
        if kind.is_none_or(|kind| (kind == "interactiveUser") == interactive) {
            record.take("isInteractive");
        }
    }
}

fn protocol<'r>(event: &mut Event<'r>, record: &'r Object<'r>) {
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
    event.set_enum(attr::AUTH_PROTOCOL_ID, id, Some(word));
    if id == 99 {
        record.take("authenticationProtocol");
    }
}

fn token<'r>(event: &mut Event<'r>, record: &'r Object<'r>) {
    let Some(word) = record.peek_str("incomingTokenType") else { return };
    let id = match word {
        "primaryRefreshToken" | "refreshToken" => 4,
        "saml11" | "saml20" => 5,
        "none" | "unknownFutureValue" => return,
        _ => 99,
    };
    let mut token = Attributes::of(&object::AUTHENTICATION_TOKEN);
    token.set_enum(attr::TYPE_ID, id, Some(word));
    if id == 99 {
        record.take("incomingTokenType");
    }
    event.set(attr::AUTHENTICATION_TOKEN, token);
}

fn source<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let mut source = record
        .take_if("ipAddress", |n| Some(addresses::endpoint(n.as_str()?)).filter(|e| !e.is_empty()))
        .unwrap_or_else(|| Attributes::of(&object::NETWORK_ENDPOINT));
    if source.is_empty() {
        // A place or a network alone names no endpoint, so they stay in `unmapped`.
        return source;
    }
    if let Some(place) = record.object("location") {
        source.set(attr::LOCATION, addresses::location(place));
    }
    if let Some(number) = record.take_if("autonomousSystemNumber", |n| n.to_int().filter(|n| *n > 0)) {
        let mut system = Attributes::of(&object::AUTONOMOUS_SYSTEM);
        system.set(attr::NUMBER, number);
        source.set(attr::AUTONOMOUS_SYSTEM, system);
    }
    if let Some(ip) = record.take_if("globalSecureAccessIpAddress", |n| addresses::ip(n.as_str()?)) {
        source.set(attr::INTERMEDIATE_IPS, vec![ip.to_string()]);
    }
    if let Some(network) = record.items("networkLocationDetails").first().and_then(Node::as_object) {
        let zone = network.take_if("networkNames", |n| match n.items() {
            [one] => one.as_str(),
            _ => None,
        });
        source.set(attr::ZONE, zone);
    }
    source
}

fn device<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let mut device = Attributes::of(&object::DEVICE);
    let Some(detail) = record.object("deviceDetail") else { return device };
    device.set(attr::UID, detail.take_str("deviceId"));
    device.set(attr::NAME, detail.take_str("displayName"));
    if device.is_empty() {
        return device;
    }
    device.set(attr::IS_COMPLIANT, detail.take_bool("isCompliant"));
    device.set(attr::IS_MANAGED, detail.take_bool("isManaged"));
    write_os(&mut device, detail.take_str("operatingSystem"));
    device
}

/// The operating system, and the kind of device that it tells.
fn write_os<'r>(device: &mut Attributes<'r>, name: Option<&'r str>) {
    let lower = name.unwrap_or_default().to_ascii_lowercase();
    let (os_type, device_type) = match lower.as_str() {
        l if l.starts_with("windows") => (100, 0),
        l if l.starts_with("ios") => (301, 5),
        l if l.starts_with("android") => (201, 5),
        l if l.starts_with("macos") || l.starts_with("mac") => (300, 0),
        l if l.starts_with("linux") => (200, 0),
        _ => (0, 0),
    };
    device.set_enum(attr::TYPE_ID, device_type, None);
    if let Some(name) = name {
        let mut os = Attributes::of(&object::OS);
        os.set(attr::NAME, name);
        os.set_enum(attr::TYPE_ID, os_type, None);
        device.set(attr::OS, os);
    }
}

fn status_detail<'r>(status: &'r Object<'r>) -> String {
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
fn write_code<'r>(event: &mut Event<'r>, code: Option<i64>) -> bool {
    let Some(code) = code else {
        Outcome::Unknown.write(event);
        return false;
    };
    event.set(attr::STATUS_CODE, code.to_string());
    let (outcome, action, disposition) = match (code, tables::sign_in_code(code)) {
        (0, _) => (Outcome::Success, 1, 1),
        (_, Some(SignInCode::Interrupted)) => (Outcome::Other("Interrupted"), 3, 23),
        (_, Some(SignInCode::PolicyBlock)) => (Outcome::Failure, 2, 2),
        (_, None) => (Outcome::Failure, 2, 26),
    };
    if code != 0 {
        event.set_if_absent(attr::STATUS_DETAIL, tables::sign_in_reason(code));
    }
    outcome.write(event);
    event.set_enum(attr::ACTION_ID, action, None);
    event.set_enum(attr::DISPOSITION_ID, disposition, None);
    code == 0
}

fn risk<'r>(event: &mut Event<'r>, record: &'r Object<'r>) {
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
    event.set_enum(attr::RISK_LEVEL_ID, id, Some(level));
    if (1..=3).contains(&id) {
        // low 2, medium 3, high 4: a risky sign-in is at least as severe as a failed one.
        event.set_severity(id + 1);
    }
    let mut details: Vec<&str> = record.items("riskEventTypes_v2").iter().filter_map(Node::as_str).collect();
    details.extend(["riskDetail", "riskState"].iter().filter_map(|name| record.peek_str(name)));
    details.retain(|d| *d != "none" && *d != "unknownFutureValue");
    event.set(attr::RISK_DETAILS, details.join(", "));
}

/// Sign-in records of the Management Activity API: record types 15, 9 and 275, and the logons that services see themselves.
pub fn map_activity<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    let mut event = context.event();
    let properties = record.pairs("ExtendedProperties");
    let device_properties = record.pairs("DeviceProperties");
    let mut actor = users::actor(record);
    if !actor.has(attr::APP_NAME) {
        actor.set(attr::APP_NAME, record.take_str("Application").or_else(|| record.take_str("Client")));
    }
    let known = actor.text(attr::APP_UID).and_then(tables::application);
    actor.set_if_absent(attr::APP_NAME, known);
    event.set(attr::USER, actor.get(attr::USER).cloned());
    let session = record.peek_str("SessionId").or_else(|| device_properties.take_str("SessionId"));
    if let Some(uid) = session {
        let mut session = Attributes::of(&object::SESSION);
        session.set(attr::UID, uid);
        event.set(attr::SESSION, session.clone());
        if !actor.has(attr::SESSION) {
            actor.set(attr::SESSION, session);
        }
    }
    event.set(attr::ACTOR, actor);
    activity_target(context, &mut event, record);
    event.set(attr::IS_REMOTE, true);
    if let Some(request_type) = properties.peek_str("RequestType") {
        let id = if request_type.starts_with("OAuth2:") { 6 } else { 99 };
        event.set_enum(attr::AUTH_PROTOCOL_ID, id, Some(request_type));
    }
    event.set(attr::SRC_ENDPOINT, addresses::source(record));
    let mut request = Attributes::of(&object::HTTP_REQUEST);
    request.set(attr::USER_AGENT, properties.take_str("UserAgent").or_else(|| record.take_str("UserAgent")));
    // The id of the same sign-in in Microsoft Graph; Microsoft spells the member in two ways.
    let same = ["IntraSystemsId", "IntraSystemId"];
    let same = same.iter().find_map(|name| record.take_if(name, |n| n.as_str().filter(|t| !users::is_nobody(t))));
    request.set(attr::UID, same);
    event.set(attr::HTTP_REQUEST, request);
    let mut device = Attributes::of(&object::DEVICE);
    device.set(attr::UID, device_properties.take_str("Id"));
    device.set(attr::NAME, device_properties.take_str("DisplayName"));
    if !device.is_empty() {
        device.set(attr::IS_COMPLIANT, device_properties.take_bool("IsCompliant"));
        device.set(attr::IS_MANAGED, device_properties.take_bool("IsCompliantAndManaged"));
        write_os(&mut device, device_properties.take_str("OS"));
        event.set(attr::DEVICE, device);
    }
    activity_status(context, &mut event, record);
    vec![event]
}

fn activity_target<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let claims = Claims::of(record, "Target");
    let object = record.peek_str("ObjectId").filter(|id| !users::is_nobody(id));
    let uid = claims.uid.or_else(|| object.filter(|o| users::is_guid(o)));
    let mut name = claims.display_name.or(claims.name).or(object);
    if name.is_some() && name == uid {
        name = None;
    }
    // Logons that a service logs itself are logons to that service.
    let entra = [0, 9, 15].contains(&context.record_type_number());
    if !entra && !context.workload.is_empty() {
        name = Some(context.workload);
    }
    target(event, name.or_else(|| tables::application(uid?)), uid);
    let told = [name, uid];
    record.take_same("ObjectId", &told);
    // What is signed in to is an application, whatever kind the claims say.
    claims.spend(&[], |id| told.contains(&Some(id)));
}

/// Operation first, then error number, then error text; `ResultStatus` only if there is nothing else.
fn activity_status<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let code = ["ErrorNumber", "ErrorCode"].iter().find_map(|name| record.take_int(name));
    let error = record.take_str("LogonError");
    let failed = context.operation == "UserLoginFailed";
    match code {
        Some(code) if code != 0 || !failed => {
            write_code(event, Some(code));
        }
        _ if failed || error.is_some() => {
            Outcome::Failure.write(event);
            event.set_enum(attr::ACTION_ID, 2, None);
            event.set_enum(attr::DISPOSITION_ID, 26, None);
            event.set(attr::STATUS_CODE, code.map(|c| c.to_string()));
        }
        _ => {
            outcome::write_activity(context, record, event);
        }
    }
    if failed && event.get(attr::STATUS_ID).and_then(Value::as_int) == Some(1) {
        Outcome::Failure.write(event);
    }
    event.set(attr::STATUS_DETAIL, error);
}
