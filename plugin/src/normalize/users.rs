//! People and programs: who acted, on whom, as records name them.
//!
//! Invariant: a text becomes `email_addr` or `uid` only if it has that shape; what Microsoft writes for "nobody" becomes the name
//! "Unknown" and stays in the record as it was.

use std::borrow::Cow;

pub use m365_schemas::event::is_email;

use super::{
    claims::Claims,
    event::{Attributes, attr, object, trimmed},
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

/// Names that are no UPN, and what they are.
const WELL_KNOWN: [(&str, i64); 12] = [
    ("app@sharepoint", TYPE_SERVICE),
    ("sharepoint\\system", TYPE_SYSTEM),
    ("microsoft\\serviceoperator", TYPE_ADMIN),
    ("certificate", TYPE_SERVICE),
    ("securitycompliancealerts", TYPE_SERVICE),
    ("dlpagent", TYPE_SERVICE),
    ("sync client", TYPE_SERVICE),
    ("service account", TYPE_SERVICE),
    ("microsoft teams sync", TYPE_SERVICE),
    ("dlppolicyeventbasedassistantonedriveforbusiness", TYPE_SERVICE),
    ("device registration service", TYPE_SERVICE),
    ("application", TYPE_SERVICE),
];

/// What is behind a beginning, compared without case.
fn behind<'t>(text: &'t str, beginning: &str) -> Option<&'t str> {
    let found = text.get(..beginning.len())?;
    found.eq_ignore_ascii_case(beginning).then(|| &text[beginning.len()..])
}

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

/// Whether a text stands for nobody.
pub fn is_nobody(text: &str) -> bool {
    let text = trimmed(text);
    text.is_empty()
        || is_zero_guid(text)
        || ["Not Available", "NOT-FOUND", "Unknown", "<null>", "null", "N/A"]
            .iter()
            .any(|n| text.eq_ignore_ascii_case(n))
}

/// Takes a text that stands for somebody or something.
pub fn take_real<'r>(object: &'r Object<'r>, name: &str) -> Option<&'r str> {
    object.take_if(name, |n| n.as_str().map(trimmed).filter(|text| !is_nobody(text)))
}

/// Adds a label to the user's account once.
fn label<'r>(account: &mut Attributes<'r>, label: &'r str) {
    account.set(attr::LABELS, vec![label]);
}

/// A user in parts, until all sources of one record have been asked.
#[derive(Debug, Default)]
pub struct Person<'r> {
    /// The name to search for: a UPN, or what the source has instead.
    pub name: Option<&'r str>,
    /// Object id.
    pub uid: Option<&'r str>,
    /// PUID, SID or other second id.
    pub uid_alt: Option<&'r str>,
    /// Display name.
    pub full_name: Option<&'r str>,
    /// The domain, where the name is none that has one.
    pub domain: Option<&'r str>,
    /// OCSF user type; none until something says it.
    pub type_id: Option<i64>,
    /// The source's word for type 99.
    pub type_word: Option<Cow<'r, str>>,
    /// A guest of the tenant.
    pub guest: bool,
    /// Home tenant.
    pub org_uid: Option<&'r str>,
    /// The program that acted in the person's name, as `UserId` can say in brackets.
    pub app_name: Option<&'r str>,
}

impl<'r> Person<'r> {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.uid.is_none()
    }

    /// Whether there is an account, which can be labelled as a guest's.
    pub fn has_account(&self) -> bool {
        self.type_id != Some(TYPE_SYSTEM) && (self.uid.is_some() || self.name.is_some_and(is_email))
    }

    /// Reads any form of `UserId` or UPN. False if it stands for nobody.
    pub fn read_name(&mut self, text: &'r str) -> bool {
        let text = trimmed(text);
        if is_nobody(text) {
            return false;
        }
        if let Some(address) = behind(text, "urn:spo:guest#") {
            self.guest = true;
            self.name = Some(address);
        } else if let Some(hash) = text.strip_prefix("urn:spo:anon#") {
            self.name = Some("anonymous");
            self.uid = Some(hash);
            self.type_id = Some(TYPE_UNKNOWN);
        } else if is_guid(text) {
            self.uid = Some(text);
        } else if let Some(guid) = text.strip_prefix("ServicePrincipal_").filter(|rest| is_guid(rest)) {
            self.uid = Some(guid);
            self.type_id = Some(TYPE_SERVICE);
        } else if is_sid(text) {
            self.uid = Some(text);
            self.name = Some(text);
            // Local System, Local Service and Network Service of Windows.
            if ["S-1-5-18", "S-1-5-19", "S-1-5-20"].contains(&text) {
                self.type_id = Some(TYPE_SYSTEM);
            }
        } else if behind(text, "nt authority\\").is_some() {
            let (account, program) = bracket(text);
            self.domain = Some("NT AUTHORITY");
            self.name = Some(account);
            self.app_name = program;
            self.type_id = Some(TYPE_SYSTEM);
        } else {
            self.name = Some(text);
            self.domain = domain(text).or(self.domain);
            let service = WELL_KNOWN.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
            self.type_id = service.map(|(_, type_id)| *type_id).or(self.type_id);
        }
        true
    }

    /// Reads `UserId`, which can go on behind a UPN. False if it stands for nobody or says more than was read.
    pub fn read_user_id(&mut self, text: &'r str) -> bool {
        match first_upn(trimmed(text)) {
            Some(upn) => {
                self.read_name(upn);
                false
            }
            None => self.read_name(text),
        }
    }

    /// Reads a form of `UserKey`. False if nothing came of it.
    pub fn read_key(&mut self, key: &'r str) -> bool {
        let key = trimmed(key);
        let id = key.rsplit('|').next().unwrap_or(key);
        if self.name == Some(key) || self.uid == Some(key) {
            return true;
        }
        let local = id.split('@').next().unwrap_or(id);
        if is_guid(key) && self.uid.is_none() {
            self.uid = Some(key);
        } else if (is_puid(local) || is_sid(key)) && self.uid_alt.is_none() {
            self.uid_alt = Some(local);
        } else {
            // The same id again is no news, but only if nothing else is in the text.
            return self.uid_alt == Some(key);
        }
        // `puid@tenant` and claims forms say more than the id that was read.
        local.len() == key.len()
    }

    /// Reads `UserType` of a Management Activity record (Microsoft: enumeration UserType). False if the user doesn't tell the number:
    /// OCSF has one type for several, and what the name itself shows is surer, because records call services regular users.
    pub fn read_type(&mut self, user_type: i64) -> bool {
        let (id, word) = match user_type {
            0 => (TYPE_USER, None),
            2 | 3 => (TYPE_ADMIN, None),
            4 => (TYPE_SYSTEM, None),
            5 | 6 => (TYPE_SERVICE, None),
            10 => {
                self.guest = true;
                (TYPE_USER, None)
            }
            1 => (99, Some("Reserved".into())),
            7 => (99, Some("CustomPolicy".into())),
            8 => (99, Some("SystemPolicy".into())),
            9 => (99, Some("PartnerTechnician".into())),
            other => (99, Some(other.to_string().into())),
        };
        let labelled = self.has_account();
        if self.type_id.is_none() {
            self.type_id = Some(id);
            self.type_word = word;
        } else if self.type_id != Some(id) || id == 99 {
            return false;
        }
        // 3 is an administrator at Microsoft, 6 a service principal; a guest is one by the label of the account.
        !matches!(user_type, 3 | 6) && (user_type != 10 || labelled)
    }

    /// As [`Self::user`], and the unknown user if nothing is known but, at most, a second id or a home tenant.
    pub fn user_or_unknown(mut self) -> Attributes<'r> {
        if self.is_empty() && self.full_name.is_none() {
            self.uid = self.uid_alt.take();
        }
        if !self.is_empty() || self.full_name.is_some() {
            return self.user();
        }
        let mut user = unknown();
        // That nobody is a regular user says nothing; a service without a name is still one.
        if let Some(type_id @ (TYPE_ADMIN | TYPE_SYSTEM | TYPE_SERVICE)) = self.type_id {
            user.set_enum(attr::TYPE_ID, type_id, None);
        }
        user.set(attr::ORG, home(self.org_uid));
        user
    }

    /// The OCSF user.
    pub fn user(self) -> Attributes<'r> {
        let mut user = Attributes::of(&object::USER);
        if self.is_empty() && self.full_name.is_none() {
            return user;
        }
        let name = self.name.or_else(|| if self.uid.is_none() { self.full_name } else { None });
        let guest = self.guest || name.is_some_and(is_guest_upn);
        let mut account = Attributes::of(&object::ACCOUNT);
        if self.type_id != Some(TYPE_SYSTEM) {
            account.set(attr::UID, self.uid);
            if let Some(name) = name
                && is_email(name)
            {
                account.set(attr::NAME, name);
            }
            if guest && !account.is_empty() {
                label(&mut account, "guest");
            }
            if !account.is_empty() {
                account.set_enum(attr::TYPE_ID, ENTRA_ACCOUNT, None);
            }
        }
        user.set(attr::ACCOUNT, account);
        if let Some(name) = name {
            if is_email(name) {
                user.set(attr::EMAIL_ADDR, name);
                user.set(attr::DOMAIN, name.rsplit('@').next());
            }
            user.set(attr::NAME, name);
        }
        user.set(attr::DOMAIN, self.domain);
        user.set(attr::UID, self.uid);
        user.set(attr::UID_ALT, self.uid_alt);
        user.set(attr::FULL_NAME, self.full_name);
        let type_id = self.type_id.unwrap_or(TYPE_UNKNOWN);
        user.set_enum(attr::TYPE_ID, type_id, None);
        if type_id == 99 {
            user.set(attr::TYPE, self.type_word);
        }
        user.set(attr::ORG, home(self.org_uid));
        user
    }
}

/// The home tenant.
fn home(uid: Option<&str>) -> Attributes<'_> {
    let mut org = Attributes::of(&object::ORGANIZATION);
    org.set(attr::UID, uid);
    org
}

/// Whether a UPN is of a guest: `bob_fabrikam.com#EXT#@contoso.onmicrosoft.com`.
fn is_guest_upn(name: &str) -> bool {
    name.contains('#') && name.contains("#EXT#")
}

/// `NAME (program)` in its two parts.
fn bracket(text: &str) -> (&str, Option<&str>) {
    match text.split_once('(') {
        Some((name, program)) => (name.trim(), Some(program.trim_end_matches(')').trim())),
        None => (text, None),
    }
}

/// The domain of `DOMAIN\user`. Longer names with separators are something else.
fn domain(text: &str) -> Option<&str> {
    let (domain, user) = text.split_once('\\')?;
    let word = |part: &str| !part.is_empty() && !part.contains(['\\', '/', '@', ' ', ':']);
    (word(domain) && word(user)).then_some(domain)
}

/// The UPN at the start of a text that goes on after a blank.
fn first_upn(text: &str) -> Option<&str> {
    let (first, _) = text.split_once(' ')?;
    is_email(first).then_some(first)
}

/// The user of whom nothing is known.
pub fn unknown<'r>() -> Attributes<'r> {
    let mut user = Attributes::of(&object::USER);
    user.set(attr::NAME, "Unknown");
    user.set_enum(attr::TYPE_ID, TYPE_UNKNOWN, None);
    user
}

/// Who acted, in a Management Activity record: the person, taken from `UserId`, `UserKey`, `UserType` and `Actor`.
pub fn person<'r>(record: &'r Object<'r>) -> Person<'r> {
    let mut person = Person::default();
    let named = record.peek_str("UserId").is_some_and(|id| person.read_user_id(id));
    if named {
        record.take("UserId");
    }
    let claims = Claims::of(record, "Actor");
    if claims.kind == Some("ServicePrincipal") {
        person.type_id = Some(TYPE_SERVICE);
    }
    if person.uid.is_none() {
        person.uid = claims.uid;
    }
    person.uid_alt = claims.puid;
    if person.name.is_none() {
        person.name = claims.name;
    }
    person.full_name = claims.display_name.or_else(|| record.take_str("LogonUserDisplayName"));
    let same = named && record.peek_str("UserKey") == record.peek_str("UserId");
    if same || record.peek_str("UserKey").is_some_and(|key| !is_nobody(key) && person.read_key(key)) {
        record.take("UserKey");
    }
    // Mailbox auditing adds the SID: a second id, unless there is one already.
    if person.uid_alt.is_none() && person.uid != record.peek_str("LogonUserSid") {
        person.uid_alt = record.take_if("LogonUserSid", |n| n.as_str().filter(|t| is_sid(t)));
    }
    if record.peek_int("UserType").is_some_and(|user_type| person.read_type(user_type))
        && (!person.is_empty() || person.full_name.is_some())
    {
        record.take("UserType");
    }
    if let Some(uid) = record.peek_str("TokenObjectId")
        && person.uid.is_none_or(|own| own == uid)
    {
        person.uid = Some(uid);
        record.take("TokenObjectId");
    }
    person.org_uid = ["ActorContextId", "TokenTenantId", "ExternalUserTenantId"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().filter(|t| is_guid(t))));
    let told = [person.name, person.uid, person.uid_alt, person.full_name];
    claims.spend(&["User", "ServicePrincipal"], |id| told.contains(&Some(id)));
    person
}

/// The same for a record in which nobody acts, so that a program has no place.
pub fn person_alone<'r>(record: &'r Object<'r>) -> Person<'r> {
    let person = person(record);
    if person.app_name.is_some() {
        record.put_back("UserId");
    }
    person
}

/// Who acted and by what program, in a Management Activity record. Empty if the record doesn't say.
pub fn actor<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let mut person = person(record);
    let mut actor = Attributes::of(&object::ACTOR);
    let program = person.app_name.take();
    let context = record.object("AppAccessContext").or_else(|| record.items("AppAccessContext").first()?.as_object());
    let app_name = record.take_str("ApplicationDisplayName").or_else(|| context?.take_str("ClientAppName"));
    if app_name.is_some() && program.is_some_and(|program| app_name != Some(program)) {
        record.put_back("UserId");
    }
    actor.set(attr::APP_NAME, app_name.or(program));
    let app_uid = ["ApplicationId", "AppId", "ClientAppId"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().filter(|t| !is_nobody(t))))
        .or_else(|| context?.take_if("ClientAppId", |n| n.as_str().filter(|t| !is_nobody(t))));
    if let Some(context) = context {
        // The same id again is not a second one.
        context.take_if("ClientAppId", |n| (n.as_str() == app_uid && app_uid.is_some()).then_some(()));
    }
    actor.set(attr::APP_UID, app_uid);
    actor.set(attr::SESSION, session(record, context));
    actor.set(attr::USER, person.user_or_unknown());
    actor
}

/// The session and token of a Management Activity record.
fn session<'r>(record: &'r Object<'r>, context: Option<&'r Object<'r>>) -> Attributes<'r> {
    let mut session = Attributes::of(&object::SESSION);
    let guid_or_text = |n: &'r Node<'r>| n.as_str().map(str::trim).filter(|t| !is_nobody(t));
    let uid = context
        .and_then(|c| c.take_if("AADSessionId", guid_or_text))
        .or_else(|| record.take_if("AADSessionId", guid_or_text))
        .or_else(|| record.take_if("SessionId", guid_or_text));
    session.set(attr::UID, uid);
    let token = context.and_then(|c| c.take_if("UniqueTokenId", guid_or_text));
    session.set(attr::CREDENTIAL_UID, token.or_else(|| record.take_if("UniqueTokenIdentifier", guid_or_text)));
    if !session.is_empty()
        && let Some(context) = context
    {
        session.set(attr::CREATED_TIME, context.take_if("IssuedAtTime", |n| super::times::parse(n.as_str()?)));
    }
    session
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::normalize::{parse, write::shown};

    fn user(text: &str) -> serde_json::Value {
        let mut person = Person::default();
        person.read_user_id(text);
        shown(person.user())
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
        assert_eq!(user("SHAREPOINT\\system")["domain"], json!("SHAREPOINT"));
        assert_eq!(user("contoso\\alice")["domain"], json!("contoso"));
        assert_eq!(user("a\\b\\c")["domain"], json!(null));
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
        let arena = bumpalo::Bump::new();
        let node = parse::parse(line, &arena).unwrap();
        let record = node.as_object().unwrap();
        let actor = shown(actor(record));
        assert_eq!(actor["user"]["uid"], json!("2c4b1e61-87a1-4b6e-a3f2-0d8d4c3b7a11"));
        assert_eq!(actor["user"]["full_name"], json!("Contoso Sync"));
        assert_eq!(actor["user"]["type_id"], json!(4));
        assert!(record.peek("UserId").is_some() && !record.is_spent(), "the raw UserId stays");
    }

    #[test]
    fn keys() {
        let mut person = Person::default();
        assert!(person.read_key("1003200096971F55"));
        assert_eq!(person.uid_alt, Some("1003200096971F55"));
        let mut person = Person::default();
        assert!(!person.read_key("i:0h.f|membership|1003200096971f55@live.com"), "the claim stays beside the id");
        assert_eq!(person.uid_alt, Some("1003200096971f55"));
    }
}
