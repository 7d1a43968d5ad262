//! People and programs: who acted, on whom, as records name them.
//!
//! Invariant: a text becomes `email_addr` or `uid` only if it has that shape; what Microsoft writes for "nobody" becomes the name
//! "Unknown" and stays in the record as it was.

use super::{
    event::Attributes,
    record::{Node, Object},
};

/// Account type 6: Azure AD Account.
const ENTRA_ACCOUNT: i64 = 6;
/// Types of a user in OCSF.
pub const TYPE_UNKNOWN: i64 = 0;
/// A person.
pub const TYPE_USER: i64 = 1;
/// A person with administrative rights.
pub const TYPE_ADMIN: i64 = 2;
/// The operating system.
pub const TYPE_SYSTEM: i64 = 3;
/// A service, an application or a managed identity.
pub const TYPE_SERVICE: i64 = 4;

/// Whether a text is a GUID in its usual form, and not the one of zeros.
pub fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
        && text.bytes().any(|b| b != b'0' && b != b'-')
}

/// Whether a text is the GUID of zeros, which Microsoft writes for none.
pub fn is_zero_guid(text: &str) -> bool {
    text == "00000000-0000-0000-0000-000000000000"
}

/// Whether a text is a PUID: 16 hexadecimal digits.
pub fn is_puid(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a text is a security identifier of Windows.
pub fn is_sid(text: &str) -> bool {
    text.strip_prefix("S-1-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}

/// Whether a text is an address as OCSF's `email_t` wants it.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_ok = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+,-./=?^_`{|}~".contains(&b);
    let domain_ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let dot = domain.bytes().position(|b| b == b'.');
    !local.is_empty()
        && local.bytes().all(local_ok)
        && domain.bytes().all(domain_ok)
        && dot.is_some_and(|dot| dot > 0 && dot + 1 < domain.len())
}

/// Whether a text stands for nobody.
pub fn is_nobody(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || is_zero_guid(text)
        || ["Not Available", "NOT-FOUND", "Unknown", "<null>", "null", "N/A"]
            .iter()
            .any(|n| text.eq_ignore_ascii_case(n))
}

/// Adds a label to the user's account once.
fn label(account: &mut Attributes, label: &str) {
    account.set("labels", vec![label]);
}

/// A user in parts, until all sources of one record have been asked.
#[derive(Debug, Default)]
pub struct Person {
    /// The name to search for: a UPN, or what the source has instead.
    pub name: Option<String>,
    /// Object id.
    pub uid: Option<String>,
    /// PUID, SID or other second id.
    pub uid_alt: Option<String>,
    /// Display name.
    pub full_name: Option<String>,
    /// The domain, where the name is none that has one.
    pub domain: Option<String>,
    /// OCSF user type; none until something says it.
    pub type_id: Option<i64>,
    /// The source's word for type 99.
    pub type_word: Option<String>,
    /// A guest of the tenant.
    pub guest: bool,
    /// Home tenant.
    pub org_uid: Option<String>,
    /// The program that acted in the person's name, as `UserId` can say in brackets.
    pub app_name: Option<String>,
}

impl Person {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.uid.is_none()
    }

    /// Reads any form of `UserId` or UPN. False if it stands for nobody.
    pub fn read_name(&mut self, text: &str) -> bool {
        let text = text.trim();
        if is_nobody(text) {
            return false;
        }
        let lower = text.to_ascii_lowercase();
        if let Some((_, address)) = text.split_once("urn:spo:guest#").filter(|_| lower.starts_with("urn:spo:guest#")) {
            self.guest = true;
            self.name = Some(address.to_owned());
        } else if let Some(hash) = text.strip_prefix("urn:spo:anon#") {
            self.name = Some("anonymous".to_owned());
            self.uid = Some(hash.to_owned());
            self.type_id = Some(TYPE_UNKNOWN);
        } else if is_guid(text) {
            self.uid = Some(text.to_owned());
        } else if let Some(guid) = text.strip_prefix("ServicePrincipal_").filter(|rest| is_guid(rest)) {
            self.uid = Some(guid.to_owned());
            self.type_id = Some(TYPE_SERVICE);
        } else if is_sid(text) {
            self.uid = Some(text.to_owned());
            self.name = Some(text.to_owned());
            if text == "S-1-5-18" {
                self.type_id = Some(TYPE_SYSTEM);
            }
        } else if lower.starts_with("nt authority\\") {
            let (account, program) = bracket(text);
            self.domain = Some("NT AUTHORITY".to_owned());
            self.name = Some(account.to_owned());
            self.app_name = program.map(str::to_owned);
            self.type_id = Some(TYPE_SYSTEM);
        } else {
            self.name = Some(first_upn(text).unwrap_or(text).to_owned());
            self.type_id = match lower.as_str() {
                "app@sharepoint" => Some(TYPE_SERVICE),
                "sharepoint\\system" => Some(TYPE_SYSTEM),
                "microsoft\\serviceoperator" => Some(TYPE_ADMIN),
                "certificate" | "securitycompliancealerts" | "dlpagent" | "sync client" | "service account" => {
                    Some(TYPE_SERVICE)
                }
                _ => self.type_id,
            };
        }
        true
    }

    /// Reads a form of `UserKey`. False if nothing came of it.
    pub fn read_key(&mut self, key: &str) -> bool {
        let key = key.trim();
        let id = key.rsplit('|').next().unwrap_or(key);
        if self.name.as_deref() == Some(key) || self.uid.as_deref() == Some(key) {
            return true;
        }
        let local = id.split('@').next().unwrap_or(id);
        if is_guid(key) && self.uid.is_none() {
            self.uid = Some(key.to_owned());
        } else if (is_puid(local) || is_sid(key)) && self.uid_alt.is_none() {
            self.uid_alt = Some(local.to_owned());
        } else {
            // The same id again is no news, but only if nothing else is in the text.
            return self.uid_alt.as_deref() == Some(key);
        }
        // `puid@tenant` and claims forms say more than the id that was read.
        local.len() == key.len()
    }

    /// Reads `UserType` of a Management Activity record (Microsoft: enumeration UserType).
    pub fn read_type(&mut self, user_type: i64) {
        let (id, word) = match user_type {
            0 => (TYPE_USER, None),
            2 | 3 => (TYPE_ADMIN, None),
            4 => (TYPE_SYSTEM, None),
            5 | 6 => (TYPE_SERVICE, None),
            10 => {
                self.guest = true;
                (TYPE_USER, None)
            }
            1 => (99, Some("Reserved".to_owned())),
            7 => (99, Some("CustomPolicy".to_owned())),
            8 => (99, Some("SystemPolicy".to_owned())),
            9 => (99, Some("PartnerTechnician".to_owned())),
            other => (99, Some(other.to_string())),
        };
        // What the name itself shows is surer than the number: records call services regular users.
        if self.type_id.is_none() {
            self.type_id = Some(id);
            self.type_word = word;
        }
    }

    /// The OCSF user.
    pub fn user(self) -> Attributes {
        let mut user = Attributes::of("user");
        if self.is_empty() && self.full_name.is_none() {
            return user;
        }
        let name = self.name.or_else(|| if self.uid.is_none() { self.full_name.clone() } else { None });
        let guest = self.guest || name.as_deref().is_some_and(|n| n.contains("#EXT#"));
        let mut account = Attributes::of("account");
        if self.type_id != Some(TYPE_SYSTEM) {
            account.set("uid", self.uid.as_deref());
            if let Some(name) = &name
                && is_email(name)
            {
                account.set("name", name.as_str());
            }
            if guest && !account.is_empty() {
                label(&mut account, "guest");
            }
            if !account.is_empty() {
                account.set_enum("type_id", ENTRA_ACCOUNT, None);
            }
        }
        user.set("account", account);
        if let Some(name) = &name {
            if is_email(name) {
                user.set("email_addr", name.as_str());
                user.set("domain", name.rsplit('@').next());
            }
            user.set("name", name.as_str());
        }
        user.set("domain", self.domain);
        user.set("uid", self.uid);
        user.set("uid_alt", self.uid_alt);
        user.set("full_name", self.full_name);
        user.set_enum("type_id", self.type_id.unwrap_or(TYPE_UNKNOWN), self.type_word.as_deref());
        if let Some(uid) = self.org_uid {
            let mut org = Attributes::of("organization");
            org.set("uid", uid);
            user.set("org", org);
        }
        user
    }
}

/// `NAME (program)` in its two parts.
fn bracket(text: &str) -> (&str, Option<&str>) {
    match text.split_once('(') {
        Some((name, program)) => (name.trim(), Some(program.trim_end_matches(')').trim())),
        None => (text, None),
    }
}

/// The UPN at the start of a text that goes on after a blank.
fn first_upn(text: &str) -> Option<&str> {
    let (first, _) = text.split_once(' ')?;
    is_email(first).then_some(first)
}

/// The user of whom nothing is known.
pub fn unknown() -> Attributes {
    let mut user = Attributes::of("user");
    user.set("name", "Unknown");
    user.set_enum("type_id", TYPE_UNKNOWN, None);
    user
}

/// The `{ID, Type}` items of `Actor` and `Target`, read by shape first: the numbers are documented only by name.
#[derive(Debug, Default)]
pub struct Claims {
    /// The kind that a prefixed id shows: `User`, `ServicePrincipal`, `Group`, `Device`, `Role` …
    pub kind: Option<String>,
    /// The object id.
    pub uid: Option<String>,
    /// The UPN (type 5) or service principal name (type 4).
    pub name: Option<String>,
    /// The display name (type 1).
    pub display_name: Option<String>,
    /// The PUID (type 3).
    pub puid: Option<String>,
}

/// The kinds of directory objects that ids are prefixed with.
const KINDS: [&str; 9] =
    ["User", "ServicePrincipal", "Application", "Group", "Device", "Role", "Policy", "AdministrativeUnit", "Other"];

impl Claims {
    /// Reads and takes the items of a list; items that say nothing new in a known way stay.
    pub fn take(record: &Object<'_>, list: &str) -> Self {
        let mut claims = Self::default();
        let items: Vec<(&Object<'_>, &str, i64)> = record
            .items(list)
            .iter()
            .filter_map(Node::as_object)
            .filter_map(|item| Some((item, item.peek_str("ID")?, item.peek_int("Type").unwrap_or(-1))))
            .filter(|(_, id, _)| !is_nobody(id))
            .collect();
        // `User_<guid>` is the best hint of all, so it goes first.
        for (item, id, _) in &items {
            if let Some((kind, guid)) = id.split_once('_')
                && is_guid(guid)
                && KINDS.contains(&kind)
                && claims.uid.is_none()
            {
                claims.kind = Some(kind.to_owned());
                claims.uid = Some(guid.to_owned());
                spend(item);
            }
        }
        for (item, id, kind) in items {
            let place = if claims.uid.as_deref() == Some(id) || claims.kind.as_deref() == Some(id) {
                spend(item);
                continue;
            } else if kind == 3 && is_puid(id) {
                &mut claims.puid
            } else if kind == 1 {
                &mut claims.display_name
            } else if kind == 5 {
                &mut claims.name
            } else if kind == 0 && is_guid(id) {
                &mut claims.uid
            } else if KINDS.contains(&id) && claims.kind.is_none() {
                &mut claims.kind
            } else if kind == 4 && claims.name.is_none() && !id.contains(';') {
                &mut claims.name
            } else {
                continue;
            };
            if place.is_none() {
                *place = Some(id.to_owned());
                spend(item);
            } else if place.as_deref() == Some(id) {
                spend(item);
            }
        }
        claims
    }
}

fn spend(item: &Object<'_>) {
    item.take("ID");
    item.take("Type");
}

/// Who acted, in a Management Activity record: the person, taken from `UserId`, `UserKey`, `UserType` and `Actor`.
pub fn person(record: &Object<'_>) -> Person {
    let mut person = Person::default();
    let named = record.take_str("UserId").is_some_and(|id| person.read_name(id));
    if !named {
        record.put_back("UserId");
    }
    let claims = Claims::take(record, "Actor");
    if claims.kind.as_deref() == Some("ServicePrincipal") {
        person.type_id = Some(TYPE_SERVICE);
    }
    if person.uid.is_none() {
        person.uid = claims.uid;
    }
    person.uid_alt = claims.puid;
    if person.name.is_none() {
        person.name = claims.name;
    }
    person.full_name = claims.display_name.or_else(|| record.take_str("LogonUserDisplayName").map(str::to_owned));
    if record.take_str("UserKey").is_some_and(|key| !is_nobody(key) && person.read_key(key)) {
    } else {
        record.put_back("UserKey");
    }
    // Mailbox auditing adds the SID: a second id, unless there is one already.
    if person.uid_alt.is_none() && person.uid.as_deref() != record.peek_str("LogonUserSid") {
        person.uid_alt = record.take_if("LogonUserSid", |n| n.as_str().filter(|t| is_sid(t)).map(str::to_owned));
    }
    if let Some(user_type) = record.take_int("UserType") {
        person.read_type(user_type);
    }
    if let Some(uid) = record.take_str("TokenObjectId") {
        if person.uid.is_none() || person.uid.as_deref() == Some(uid) {
            person.uid = Some(uid.to_owned());
        } else {
            record.put_back("TokenObjectId");
        }
    }
    person.org_uid = ["ActorContextId", "TokenTenantId", "ExternalUserTenantId"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().filter(|t| is_guid(t)).map(str::to_owned)));
    person
}

/// Who acted and by what program, in a Management Activity record. Empty if the record doesn't say.
pub fn actor(record: &Object<'_>) -> Attributes {
    let mut person = person(record);
    let mut actor = Attributes::of("actor");
    let program = person.app_name.take();
    let context = record.object("AppAccessContext").or_else(|| record.items("AppAccessContext").first()?.as_object());
    let app_name = record.take_str("ApplicationDisplayName").or_else(|| context?.take_str("ClientAppName"));
    actor.set("app_name", app_name.map(str::to_owned).or(program));
    let app_uid = ["ApplicationId", "AppId", "ClientAppId"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().filter(|t| !is_nobody(t))))
        .or_else(|| context?.take_if("ClientAppId", |n| n.as_str().filter(|t| !is_nobody(t))));
    if let Some(context) = context {
        // The same id again is not a second one.
        context.take_if("ClientAppId", |n| (n.as_str() == app_uid && app_uid.is_some()).then_some(()));
    }
    actor.set("app_uid", app_uid);
    actor.set("session", session(record, context));
    actor.set("user", if person.is_empty() && person.full_name.is_none() { unknown() } else { person.user() });
    actor
}

/// The session and token of a Management Activity record.
fn session(record: &Object<'_>, context: Option<&Object<'_>>) -> Attributes {
    let mut session = Attributes::of("session");
    let guid_or_text = |n: &Node<'_>| n.as_str().map(str::trim).filter(|t| !is_nobody(t)).map(str::to_owned);
    let uid = context
        .and_then(|c| c.take_if("AADSessionId", guid_or_text))
        .or_else(|| record.take_if("AADSessionId", guid_or_text))
        .or_else(|| record.take_if("SessionId", guid_or_text));
    session.set("uid", uid);
    let token = context.and_then(|c| c.take_if("UniqueTokenId", guid_or_text));
    session.set("credential_uid", token.or_else(|| record.take_if("UniqueTokenIdentifier", guid_or_text)));
    if !session.is_empty()
        && let Some(context) = context
    {
        session.set("created_time", context.take_if("IssuedAtTime", |n| super::times::parse(n.as_str()?)));
    }
    session
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::normalize::{event::Present, record};

    fn user(text: &str) -> serde_json::Value {
        let mut person = Person::default();
        person.read_name(text);
        person.user().present().unwrap_or_default()
    }

    #[test]
    fn user_ids_that_are_no_upn() {
        assert_eq!(user("alice@contoso.com")["email_addr"], json!("alice@contoso.com"));
        assert_eq!(user("alice@contoso.com")["account"]["type_id"], json!(6));
        assert_eq!(user("app@sharepoint"), json!({"name": "app@sharepoint", "type_id": 4, "type": "Service"}));
        let system = user("NT AUTHORITY\\SYSTEM (Microsoft.Exchange.ServiceHost)");
        assert_eq!(system["name"], json!("NT AUTHORITY\\SYSTEM"));
        assert_eq!((&system["type_id"], &system["domain"]), (&json!(3), &json!("NT AUTHORITY")));
        assert_eq!(user("ServicePrincipal_2c4b1e61-87a1-4b6e-a3f2-0d8d4c3b7a11")["type_id"], json!(4));
        assert_eq!(user("S-1-5-18")["type_id"], json!(3));
        assert_eq!(user("urn:spo:guest#bob@fabrikam.com")["account"]["labels"], json!(["guest"]));
        assert_eq!(user("urn:spo:anon#abc")["uid"], json!("abc"));
        assert_eq!(user("alice@contoso.com on behalf of x")["name"], json!("alice@contoso.com"));
        for nobody in ["Not Available", "NOT-FOUND", "", "00000000-0000-0000-0000-000000000000", "Unknown"] {
            assert_eq!(user(nobody), json!(null), "{nobody}");
        }
    }

    #[test]
    fn an_actor_in_claims() {
        let line = br#"{"UserId":"Not Available","UserType":4,"Actor":[{"ID":"Contoso Sync","Type":1},{"ID":"ServicePrincipal_2c4b1e61-87a1-4b6e-a3f2-0d8d4c3b7a11","Type":2},{"ID":"2c4b1e61-87a1-4b6e-a3f2-0d8d4c3b7a11","Type":2},{"ID":"ServicePrincipal","Type":2}]}"#;
        let node = record::parse(line).unwrap();
        let record = node.as_object().unwrap();
        let actor = actor(record).present().unwrap();
        assert_eq!(actor["user"]["uid"], json!("2c4b1e61-87a1-4b6e-a3f2-0d8d4c3b7a11"));
        assert_eq!(actor["user"]["full_name"], json!("Contoso Sync"));
        assert_eq!(actor["user"]["type_id"], json!(4));
        assert!(record.peek("UserId").is_some() && !record.is_spent(), "the raw UserId stays");
    }

    #[test]
    fn keys() {
        let mut person = Person::default();
        assert!(person.read_key("1003200096971F55"));
        assert_eq!(person.uid_alt.as_deref(), Some("1003200096971F55"));
        let mut person = Person::default();
        assert!(!person.read_key("i:0h.f|membership|1003200096971f55@live.com"), "the claim stays beside the id");
        assert_eq!(person.uid_alt.as_deref(), Some("1003200096971f55"));
    }
}
