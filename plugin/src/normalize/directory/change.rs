//! What a directory record says was changed, from either API.
//!
//! Invariant: gathering looks at modified properties without taking them; only ids, names and kinds of targets are taken.

use super::{
    super::{
        event::Attributes,
        record::{Node, Object},
        users::{self, Claims, Person},
    },
    has_items,
};

/// One object that an operation was about.
#[derive(Debug, Default)]
pub struct Target {
    /// `User`, `Group`, `Role`, `ServicePrincipal`, `Application`, `Device`, `Policy` …; empty if the record doesn't say.
    pub kind: String,
    /// Object id.
    pub uid: Option<String>,
    /// Display name, or what the record has instead.
    pub name: Option<String>,
    /// User principal name.
    pub upn: Option<String>,
    /// PUID.
    pub uid_alt: Option<String>,
    /// Kind of group, in Microsoft's word.
    pub group_type: Option<String>,
}

/// A list of modified properties, where it is in the record.
#[derive(Debug)]
pub struct Modified<'s, 'a> {
    /// The object that holds the list.
    pub owner: &'s Object<'a>,
    /// The list's name.
    pub member: &'static str,
}

/// A change of the directory.
#[derive(Debug, Default)]
pub struct Change<'s, 'a> {
    /// The targets, in the order of the record.
    pub targets: Vec<Target>,
    /// What was granted or withdrawn: roles, app roles, scopes.
    pub privileges: Vec<String>,
    /// The role's id, if only the modified properties tell it.
    pub role_id: Option<String>,
    /// The role's name, likewise.
    pub role_name: Option<String>,
    /// The group's id, likewise.
    pub group_id: Option<String>,
    /// The group's name, likewise.
    pub group_name: Option<String>,
    /// The user agent, if the record wraps it in text.
    pub user_agent: Option<String>,
    /// The lists of modified properties.
    pub modified: Vec<Modified<'s, 'a>>,
}

impl Target {
    /// Whether the target is of a kind, compared without case.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    fn is_empty(&self) -> bool {
        self.uid.is_none() && self.name.is_none() && self.upn.is_none()
    }

    /// As an OCSF user; principals are users of the type Service.
    pub fn user(&self) -> Attributes {
        let mut person = Person::default();
        if let Some(name) = self.upn.as_deref().or(if self.is("User") { self.name.as_deref() } else { None }) {
            person.read_name(name);
        }
        if person.name.is_none() || self.upn.is_some() {
            person.full_name.clone_from(&self.name);
        }
        person.uid = self.uid.clone().or(person.uid);
        person.uid_alt.clone_from(&self.uid_alt);
        if !self.is("User") {
            person.name = person.name.or_else(|| self.name.clone());
            person.type_id = Some(if self.kind.is_empty() { users::TYPE_UNKNOWN } else { users::TYPE_SERVICE });
        } else if person.type_id.is_none() {
            person.type_id = Some(users::TYPE_USER);
        }
        person.user()
    }

    /// As an OCSF group.
    pub fn group(&self) -> Attributes {
        let mut group = Attributes::of("group");
        group.set("uid", self.uid.as_deref());
        group.set("name", self.name.as_deref());
        group.set("type", self.group_type.as_deref().or(Some(self.kind.as_str())));
        group
    }

    /// As an OCSF resource; `role` is 1 Target or 4 Related.
    pub fn resource(&self, role: i64) -> Attributes {
        let mut resource = Attributes::of("resource_details");
        resource.set("uid", self.uid.as_deref());
        resource.set("name", self.upn.as_deref().or(self.name.as_deref()));
        if resource.is_empty() {
            return resource;
        }
        resource.set("type", self.kind.as_str());
        resource.set_enum("role_id", role, None);
        resource
    }

    /// As an OCSF managed entity.
    pub fn entity(&self) -> Attributes {
        let mut entity = Attributes::of("managed_entity");
        entity.set("uid", self.uid.as_deref());
        entity.set("name", self.upn.as_deref().or(self.name.as_deref()));
        let id = match self.kind.to_ascii_lowercase().as_str() {
            "" => 0,
            "device" => 1,
            "user" => 2,
            "group" => 3,
            "directory" | "tenant" | "organization" | "company" => 4,
            "policy" => 5,
            _ => 99,
        };
        entity.set_enum("type_id", id, Some(&self.kind));
        entity
    }
}

impl<'s, 'a> Change<'s, 'a> {
    /// The first target that is a user.
    pub fn user(&self) -> Option<&Target> {
        self.targets.iter().find(|t| t.is("User"))
    }

    /// The first target that is a group or administrative unit.
    pub fn group(&self) -> Option<&Target> {
        self.targets.iter().find(|t| t.is("Group") || t.is("AdministrativeUnit"))
    }

    /// Who was granted something: a user, else a group, else a principal.
    pub fn grantee(&self) -> Option<&Target> {
        let of = |kind: &str| self.targets.iter().find(|t| t.is(kind));
        self.user().or_else(|| of("Group")).or_else(|| self.targets.iter().rev().find(|t| t.is("ServicePrincipal")))
    }

    /// The role as a resource, if no target is one.
    pub fn role(&self) -> Option<Attributes> {
        let known = self.targets.iter().any(|t| t.is("Role"));
        let role = Target {
            kind: "Role".to_owned(),
            uid: self.role_id.clone(),
            name: self.role_name.clone(),
            ..Target::default()
        };
        (!known && !role.is_empty()).then(|| role.resource(1))
    }

    /// Gathers `targetResources` of a directory audit.
    pub fn of_audit(record: &'s Object<'a>) -> Self {
        let mut change = Self::default();
        for item in record.items("targetResources").iter().filter_map(Node::as_object) {
            let mut target = Target {
                kind: item.take_str("type").or_else(|| item.take_str("Type")).unwrap_or_default().to_owned(),
                uid: item.take_str("id").map(str::to_owned),
                name: item.take_str("displayName").map(str::to_owned),
                upn: item.take_str("userPrincipalName").map(str::to_owned),
                group_type: item.take_str("groupType").filter(|t| *t != "unknownFutureValue").map(str::to_owned),
                ..Target::default()
            };
            if target.uid.as_deref().is_some_and(users::is_nobody) {
                target.uid = None;
            }
            for property in item.items("modifiedProperties").iter().filter_map(Node::as_object) {
                let name = property.peek_str("displayName").unwrap_or_default();
                change.property(name, property.peek_str("oldValue"), property.peek_str("newValue"));
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
    pub fn of_activity(record: &'s Object<'a>) -> Self {
        let mut change = Self::default();
        let properties = record.pairs("ExtendedProperties");
        let object = record
            .take_if("ObjectId", |n| n.as_str().map(str::trim).filter(|t| !users::is_nobody(t) && !t.contains(';')));
        let claims = Claims::take(record, "Target");
        let category = properties.peek_str("extendedAuditEventCategory");
        let kind = claims.kind.or_else(|| category.map(str::to_owned)).unwrap_or_default();
        let mut target = Target {
            uid: claims.uid.or_else(|| object.filter(|o| users::is_guid(o)).map(str::to_owned)),
            name: claims.display_name,
            upn: claims.name,
            uid_alt: claims.puid,
            kind,
            ..Target::default()
        };
        if let Some(object) = object
            && ![&target.uid, &target.name, &target.upn].iter().any(|known| known.as_deref() == Some(object))
        {
            if target.upn.is_none() && target.is("User") {
                target.upn = Some(object.to_owned());
            } else if target.name.is_none() {
                target.name = Some(object.to_owned());
            } else {
                record.put_back("ObjectId");
            }
        }
        let list = record.items("ModifiedProperties");
        for property in list.iter().filter_map(Node::as_object) {
            let name = property.peek_str("Name").unwrap_or_default();
            change.property(name, property.peek_str("OldValue"), property.peek_str("NewValue"));
        }
        if has_items(record.peek("ModifiedProperties")) {
            change.modified.push(Modified { owner: record, member: "ModifiedProperties" });
        }
        change.user_agent = properties.peek_str("additionalDetails").and_then(wrapped_user_agent);
        change.add(target);
        change.settle();
        change
    }

    fn add(&mut self, target: Target) {
        if !target.is_empty() {
            self.targets.push(target);
        }
    }

    /// Looks at one modified property. A grant has its new value, a removal its old one.
    fn property(&mut self, name: &str, old: Option<&str>, new: Option<&str>) {
        let value = [new, old].into_iter().flatten().map(unquote).find(|v| !v.is_empty());
        let Some(value) = value else { return };
        match name {
            "Role.DisplayName" => self.role_name = Some(value),
            "Role.ObjectID" => self.role_id = Some(value),
            "Role.TemplateId" if self.role_id.is_none() => self.role_id = Some(value),
            "Group.ObjectID" => self.group_id = Some(value),
            "Group.DisplayName" => self.group_name = Some(value),
            "AppRole.Value" => self.grant(&value),
            "DelegatedPermissionGrant.Scope" => value.split_whitespace().for_each(|scope| self.grant(scope)),
            "ConsentAction.Permissions" => {
                let scopes: Vec<&str> = consented(&value);
                scopes.into_iter().for_each(|scope| self.grant(scope));
            }
            _ => {}
        }
    }

    fn grant(&mut self, privilege: &str) {
        if !privilege.is_empty() && !self.privileges.iter().any(|p| p == privilege) {
            self.privileges.push(privilege.to_owned());
        }
    }

    /// A role that was assigned is the privilege, by its name.
    fn settle(&mut self) {
        let role = self.targets.iter().find(|t| t.is("Role")).and_then(|t| t.name.clone());
        if let Some(role) = self.role_name.clone().or(role) {
            self.grant(&role);
        }
    }
}

/// A value that is JSON text, such as `"\"Global Reader\""` or `["a"]`, as the text inside.
fn unquote(value: &str) -> String {
    match serde_json::from_str(value) {
        Ok(serde_json::Value::String(text)) => text.trim().to_owned(),
        Ok(serde_json::Value::Array(items)) => match items.as_slice() {
            [serde_json::Value::String(text)] => text.trim().to_owned(),
            _ => value.trim().to_owned(),
        },
        _ => value.trim().to_owned(),
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
