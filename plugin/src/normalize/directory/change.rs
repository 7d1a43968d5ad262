//! What a directory record says was changed, from either API.
//!
//! Invariant: gathering takes nothing; a target is taken when an object of the event was made of it, and only what that object tells.

use std::borrow::Cow;

use super::{
    super::{
        claims::{Claims, prefixed},
        context::Context,
        distinct::Texts,
        event::{Attribute, Attributes, attr, object},
        record::{Node, Object},
        users::{self, Person},
    },
    has_items,
};

/// Where a target is told.
#[derive(Clone, Copy, Debug, Default)]
enum Place<'r> {
    /// Only in modified properties, which nobody takes.
    #[default]
    Properties,
    /// An item of `targetResources`.
    Item(&'r Object<'r>),
    /// `ObjectId` and `Target` of a record of the Management Activity API.
    Record(&'r Object<'r>),
}

/// One object that an operation was about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'r> {
    place: Place<'r>,
    /// `User`, `Group`, `Role`, `ServicePrincipal`, `Application`, `Device`, `Policy` …; empty if the record doesn't say.
    pub kind: &'r str,
    /// Object id.
    pub uid: Option<&'r str>,
    /// Display name, or what the record has instead.
    pub name: Option<&'r str>,
    /// User principal name.
    pub upn: Option<&'r str>,
    /// PUID.
    pub uid_alt: Option<&'r str>,
    /// Kind of group, in Microsoft's word.
    pub group_type: Option<&'r str>,
}

/// A list of modified properties, where it is in the record.
#[derive(Debug)]
pub struct Modified<'r> {
    /// The object that holds the list.
    pub owner: &'r Object<'r>,
    /// The list's name.
    pub member: &'static str,
}

/// An application's role that was assigned: its value, name and id; the id of zeros is that of default access.
#[derive(Debug, Default)]
struct AppRole<'r> {
    value: Option<&'r str>,
    name: Option<&'r str>,
    id: Option<&'r str>,
}

/// A change of the directory.
#[derive(Debug, Default)]
pub struct Change<'r> {
    /// The targets, in the order of the record.
    pub targets: Vec<Target<'r>>,
    /// What was granted or withdrawn: roles, app roles, scopes.
    pub privileges: Texts<'r>,
    /// The role's id, if only the modified properties tell it.
    pub role_id: Option<&'r str>,
    /// The role's name, likewise.
    pub role_name: Option<&'r str>,
    /// The group's id, likewise.
    pub group_id: Option<&'r str>,
    /// The group's name, likewise.
    pub group_name: Option<&'r str>,
    /// Who was granted something, if only the modified properties tell it: a user or a principal.
    pub holder: Target<'r>,
    app_role: AppRole<'r>,
    /// The new names of the user.
    renamed: Target<'r>,
    /// The user agent, if the record wraps it in text.
    pub user_agent: Option<&'r str>,
    /// The lists of modified properties.
    pub modified: Vec<Modified<'r>>,
}

impl<'r> Target<'r> {
    /// Whether the target is of a kind, compared without case.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    fn is_empty(&self) -> bool {
        self.uid.is_none() && self.name.is_none() && self.upn.is_none()
    }

    /// Takes what an object of the event tells of the target. A target that no object tells stays in the record.
    pub fn spend(&self, built: &Attributes<'r>) {
        const TOLD: [Attribute; 5] = [attr::UID, attr::UID_ALT, attr::NAME, attr::FULL_NAME, attr::TYPE];
        let told = TOLD.map(|attribute| built.text(attribute));
        let kind = match () {
            () if built.text(attr::TYPE).is_some_and(|word| self.is(word)) => true,
            // A service principal is a user of the type Service.
            () if std::ptr::eq(built.definition(), &object::USER) => self.is("ServicePrincipal"),
            () => std::ptr::eq(built.definition(), &object::GROUP) && self.is("Group"),
        };
        match self.place {
            Place::Properties => {}
            Place::Item(item) => {
                for name in ["id", "displayName", "userPrincipalName", "groupType"] {
                    item.take_same(name, &told);
                }
                if kind {
                    item.take_str("type");
                    item.take_same("Type", &[Some(self.kind)]);
                }
            }
            Place::Record(record) => {
                let behind = |id: &&str| {
                    prefixed(id).is_some_and(|(of, guid)| kind && self.is(of) && told.contains(&Some(guid)))
                };
                record.take_if("ObjectId", |n| {
                    n.as_str().map(str::trim).filter(|id| told.contains(&Some(id)) || behind(id))
                });
                let kinds: &[&str] = if kind { &[self.kind] } else { &[] };
                Claims::spend_list(record, "Target", kinds, |id| told.contains(&Some(id)));
            }
        }
    }

    /// As an OCSF user; principals are users of the type Service.
    pub fn user(&self) -> Attributes<'r> {
        let mut person = Person::default();
        if let Some(name) = self.upn.or(if self.is("User") { self.name } else { None }) {
            person.read_name(name);
        }
        if person.name.is_none() || self.upn.is_some() {
            person.full_name = self.name;
        }
        person.uid = self.uid.or(person.uid);
        person.uid_alt = self.uid_alt;
        if !self.is("User") {
            person.name = person.name.or(self.name);
            person.type_id = Some(if self.kind.is_empty() { users::TYPE_UNKNOWN } else { users::TYPE_SERVICE });
        } else if person.type_id.is_none() {
            person.type_id = Some(users::TYPE_USER);
        }
        person.user()
    }

    /// As an OCSF group.
    pub fn group(&self) -> Attributes<'r> {
        let mut group = Attributes::of(&object::GROUP);
        group.set(attr::UID, self.uid);
        group.set(attr::NAME, self.name);
        group.set(attr::TYPE, self.group_type.or(Some(self.kind)));
        group
    }

    /// As an OCSF resource; `role` is 1 Target or 4 Related.
    pub fn resource(&self, role: i64) -> Attributes<'r> {
        let mut resource = Attributes::of(&object::RESOURCE_DETAILS);
        resource.set(attr::UID, self.uid);
        resource.set(attr::NAME, self.upn.or(self.name));
        if resource.is_empty() {
            return resource;
        }
        resource.set(attr::TYPE, self.kind);
        resource.set_enum(attr::ROLE_ID, role, None);
        resource
    }

    /// As an OCSF managed entity.
    pub fn entity(&self) -> Attributes<'r> {
        let mut entity = Attributes::of(&object::MANAGED_ENTITY);
        entity.set(attr::UID, self.uid);
        entity.set(attr::NAME, self.upn.or(self.name));
        let id = match self.kind.to_ascii_lowercase().as_str() {
            "" => 0,
            "device" => 1,
            "user" => 2,
            "group" => 3,
            "directory" | "tenant" | "organization" | "company" => 4,
            "policy" => 5,
            _ => 99,
        };
        entity.set_enum(attr::TYPE_ID, id, Some(self.kind));
        entity
    }
}

/// `type`, which samples also write as `Type`, or as the name of a type derived from it: `#microsoft.graph.targetResourceUser`.
fn kind<'r>(item: &'r Object<'r>) -> &'r str {
    const DERIVED: &str = "#microsoft.graph.targetresource";
    let derived = || {
        let name = item.peek_str("@odata.type")?;
        let begin = name.get(..DERIVED.len())?;
        begin.eq_ignore_ascii_case(DERIVED).then(|| &name[DERIVED.len()..])
    };
    item.peek_str("type").or_else(|| item.peek_str("Type")).or_else(derived).unwrap_or_default()
}

impl<'r> Change<'r> {
    /// The first target that is a user.
    pub fn user(&self) -> Option<&Target<'r>> {
        self.targets.iter().find(|t| t.is("User"))
    }

    /// The first target that is a group or administrative unit.
    pub fn group(&self) -> Option<&Target<'r>> {
        self.targets.iter().find(|t| t.is("Group") || t.is("AdministrativeUnit"))
    }

    /// Who was granted something: a user, else a group, else a principal. With one principal among the targets and another one in the
    /// modified properties, it is the latter: the target is then what was granted on.
    pub fn grantee(&self) -> Option<&Target<'r>> {
        let of = |kind: &str| self.targets.iter().find(|t| t.is(kind));
        let holder = || {
            let listed = self.targets.iter().find(|t| t.uid.is_some() && t.uid == self.holder.uid);
            listed.or(Some(&self.holder)).filter(|holder| !holder.is_empty())
        };
        let principal = || self.targets.iter().rev().find(|t| t.is("ServicePrincipal"));
        self.user().or_else(|| of("Group")).or_else(holder).or_else(principal)
    }

    /// The user as it is after the change, if that is another name.
    pub fn user_result(&self) -> Option<Attributes<'r>> {
        let user = self.user()?;
        (!self.renamed.is_empty()).then(|| Target { kind: "User", uid: user.uid, ..self.renamed }.user())
    }

    /// The role as a resource, if no target is one.
    pub fn role(&self) -> Option<Attributes<'r>> {
        let known = self.targets.iter().any(|t| t.is("Role"));
        let role = Target { kind: "Role", uid: self.role_id, name: self.role_name, ..Target::default() };
        (!known && !role.is_empty()).then(|| role.resource(1))
    }

    /// Gathers `targetResources` of a directory audit.
    pub fn of_audit(context: &Context<'r>, record: &'r Object<'r>) -> Self {
        let mut change = Self::default();
        // Microsoft's own samples spell the list in two ways.
        let targets = record.items("targetResources").iter().chain(record.items("targetResource"));
        for item in targets.filter_map(Node::as_object) {
            let target = Target {
                place: Place::Item(item),
                kind: kind(item),
                uid: item.peek_str("id").filter(|id| !users::is_nobody(id)),
                name: item.peek_str("displayName"),
                upn: item.peek_str("userPrincipalName"),
                group_type: item.peek_str("groupType").filter(|t| *t != "unknownFutureValue"),
                ..Target::default()
            };
            for property in item.items("modifiedProperties").iter().filter_map(Node::as_object) {
                let name = property.peek_str("displayName").unwrap_or_default();
                change.property(context, name, property.peek_str("oldValue"), property.peek_str("newValue"));
            }
            if has_items(item.peek("modifiedProperties")) && change.modified.is_empty() {
                change.modified.push(Modified { owner: item, member: "modifiedProperties" });
            }
            change.add(target);
        }
        change.settle();
        change
    }

    /// Gathers `Target`, `ObjectId`, `ModifiedProperties` and what `ExtendedProperties` say of the target.
    pub fn of_activity(context: &Context<'r>, record: &'r Object<'r>) -> Self {
        let mut change = Self::default();
        let properties = record.pairs("ExtendedProperties");
        let object = record.peek_str("ObjectId").filter(|id| !users::is_nobody(id) && !id.contains(';'));
        let claims = Claims::of(record, "Target");
        // Older records tell the kind of the target only by the category.
        let by_category = || match properties.peek_str("auditEventCategory")? {
            "UserManagement" => Some("User"),
            "GroupManagement" => Some("Group"),
            _ => None,
        };
        let category = properties.peek_str("extendedAuditEventCategory").or_else(by_category);
        // `ObjectId` can be of the form `Group_<guid>` as well.
        let of_object = object.and_then(prefixed);
        let object = of_object.map_or(object, |(_, guid)| Some(guid));
        let kind = claims.kind.or(of_object.map(|(kind, _)| kind)).or(category).unwrap_or_default();
        let mut target = Target {
            uid: claims.uid.or_else(|| object.filter(|o| users::is_guid(o))),
            name: claims.display_name,
            upn: claims.name,
            uid_alt: claims.puid,
            kind,
            place: Place::Record(record),
            ..Target::default()
        };
        if let Some(object) = object
            && ![&target.uid, &target.name, &target.upn].iter().any(|known| **known == Some(object))
        {
            if target.upn.is_none() && target.is("User") {
                target.upn = Some(object);
            } else if target.name.is_none() {
                target.name = Some(object);
            }
        }
        let list = record.items("ModifiedProperties");
        for property in list.iter().filter_map(Node::as_object) {
            let name = property.peek_str("Name").unwrap_or_default();
            change.property(context, name, property.peek_str("OldValue"), property.peek_str("NewValue"));
        }
        if has_items(record.peek("ModifiedProperties")) {
            change.modified.push(Modified { owner: record, member: "ModifiedProperties" });
        }
        change.user_agent =
            properties.peek_str("additionalDetails").and_then(wrapped_user_agent).map(|agent| context.hold(&agent));
        change.add(target);
        change.settle();
        change
    }

    fn add(&mut self, target: Target<'r>) {
        if !target.is_empty() {
            self.targets.push(target);
        }
    }

    /// Looks at one modified property. A grant has its new value, a removal its old one.
    fn property(&mut self, context: &Context<'r>, name: &str, old: Option<&'r str>, new: Option<&'r str>) {
        let value = [new, old].into_iter().flatten().map(unquote).find(|v| !v.is_empty());
        let Some(value) = value else { return };
        let value = held(context, value);
        let is_new = new.map(unquote).is_some_and(|new| !new.is_empty());
        match name {
            "UserPrincipalName" if is_new => self.renamed.upn = Some(value),
            "DisplayName" if is_new => self.renamed.name = Some(value),
            "Role.DisplayName" => self.role_name = Some(value),
            "Role.ObjectID" => self.role_id = Some(value),
            "Role.TemplateId" if self.role_id.is_none() => self.role_id = Some(value),
            "Group.ObjectID" => self.group_id = Some(value),
            "Group.DisplayName" => self.group_name = Some(value),
            "AppRole.Value" => self.app_role.value = Some(value),
            "AppRole.DisplayName" => self.app_role.name = Some(value),
            "AppRole.Id" => self.app_role.id = Some(value),
            "User.ObjectID" => self.hold("User").uid = Some(value),
            "User.UPN" => self.hold("User").upn = Some(value),
            "User.PUID" => self.hold("User").uid_alt = Some(value),
            "ServicePrincipal.ObjectID" => self.hold("ServicePrincipal").uid = Some(value),
            "ServicePrincipal.DisplayName" => self.hold("ServicePrincipal").name = Some(value),
            "DelegatedPermissionGrant.Scope" => value.split_whitespace().for_each(|scope| self.grant(scope)),
            "ConsentAction.Permissions" => {
                let scopes: Vec<&str> = consented(value);
                scopes.into_iter().for_each(|scope| self.grant(scope));
            }
            _ => {}
        }
    }

    fn hold(&mut self, kind: &'r str) -> &mut Target<'r> {
        self.holder.kind = kind;
        &mut self.holder
    }

    fn grant(&mut self, privilege: &'r str) {
        if !privilege.is_empty() {
            self.privileges.add(privilege);
        }
    }

    /// A role that was assigned is the privilege, by its name.
    fn settle(&mut self) {
        let AppRole { value, name, id } = self.app_role;
        let id = id.map(|id| if users::is_zero_guid(id) { "Default Access" } else { id });
        if let Some(privilege) = value.or(name).or(id) {
            self.grant(privilege);
        }
        let role = self.targets.iter().find(|t| t.is("Role")).and_then(|t| t.name);
        if let Some(role) = self.role_name.or(role) {
            self.grant(role);
        }
    }
}

/// A value that is JSON text, such as `"\"Global Reader\""` or `["a"]`, as the text inside.
fn unquote(value: &str) -> Cow<'_, str> {
    let value = value.trim();
    if !value.starts_with(['"', '[']) {
        return Cow::Borrowed(value);
    }
    match serde_json::from_str(value) {
        Ok(serde_json::Value::String(text)) => Cow::Owned(text.trim().to_owned()),
        Ok(serde_json::Value::Array(items)) => match items.as_slice() {
            [serde_json::Value::String(text)] => Cow::Owned(text.trim().to_owned()),
            _ => Cow::Borrowed(value),
        },
        _ => Cow::Borrowed(value),
    }
}

fn held<'r>(context: &Context<'r>, text: Cow<'r, str>) -> &'r str {
    match text {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => context.hold(&text),
    }
}

/// The scopes of `ConsentAction.Permissions`: behind `Scope:` up to `,` or `]`, of the new side if the text has `=>`.
fn consented(text: &str) -> Vec<&str> {
    let new = text.rsplit("=>").next().unwrap_or(text);
    let mut scopes = Vec::new();
    for part in new.split("Scope:").skip(1) {
        let end = part.find([',', ']']).unwrap_or(part.len());
        scopes.extend(part[..end].split_whitespace());
    }
    scopes
}

/// The user agent out of `{"User-Agent":"…"}`. It is looked at, not taken: the text may say more.
fn wrapped_user_agent(text: &str) -> Option<String> {
    let details: serde_json::Value = serde_json::from_str(text).ok()?;
    details.get("User-Agent")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_a_consent() {
        let text =
            "[] => [[Id: x, ClientId: y, ConsentType: AllPrincipals, Scope: User.Read Mail.Read, CreatedDateTime: ]]; ";
        assert_eq!(consented(text), ["User.Read", "Mail.Read"]);
        assert!(consented("nothing").is_empty());
    }

    #[test]
    fn values_in_json_text() {
        assert_eq!(unquote("\"Global Reader\""), "Global Reader");
        assert_eq!(unquote("[\"x\"]"), "x");
        assert_eq!(unquote("plain"), "plain");
    }
}
