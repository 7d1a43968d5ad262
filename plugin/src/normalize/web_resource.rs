//! Web resources: what was read, changed, searched or shared where no file class fits; messages, folders, channels, lists.
//!
//! Invariant: a resource has a name or an id; without either there is none.

use std::borrow::Cow;

use super::{
    context::Context,
    event::{Attributes, Members, attr, object},
    record::Object,
    users,
};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// A resource of a kind such as `Mail folder`. Nothing without a name or id.
pub fn new<'r>(kind: &'r str, uid: Option<&'r str>, name: Option<&'r str>) -> Option<Attributes<'r>> {
    let mut resource = Attributes::of(&object::WEB_RESOURCE);
    let real = |text: &&str| !users::is_nobody(text);
    resource.set(attr::UID, uid.filter(real));
    resource.set(attr::NAME, name.filter(real));
    if resource.is_empty() {
        return None;
    }
    if let Some(address) = uid.filter(|uid| uid.starts_with("https://") || uid.starts_with("http://")) {
        resource.set(attr::URL_STRING, escaped(address));
    }
    resource.set(attr::TYPE, kind);
    Some(resource)
}

/// What services leave unescaped in addresses; `%` stays, because part of what comes is escaped.
const UNESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}').add(b'|').add(b'\\').add(b'^');

/// An address with the characters escaped that none may hold.
pub fn escaped(address: &str) -> String {
    utf8_percent_encode(address, UNESCAPED).to_string()
}

/// The members of a nested object besides some, as they go into `data`: redacted and untangled. Takes nothing.
pub fn members<'r>(context: &Context<'r>, object: &'r Object<'r>, except: &[&'r str]) -> Members<'r> {
    let mut members = Members::with_room(object.members().len());
    for member in object.members().iter().filter(|member| !except.contains(&member.name)) {
        if let Some(value) = context.value(member.name, &member.value) {
            members.push(Cow::Borrowed(member.name), value);
        }
    }
    members
}

/// Takes the named members of a record into `data`.
pub fn take_members<'r>(context: &Context<'r>, record: &'r Object<'r>, names: &[&'r str]) -> Members<'r> {
    names.iter().filter_map(|name| Some((Cow::Borrowed(*name), context.take_value(record, name)?))).collect()
}

/// The last part of an address or path that is not empty.
pub fn last_part(path: &str) -> Option<&str> {
    path.split_once("://")
        .map_or(path, |(_, rest)| rest)
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_addresses() {
        assert_eq!(last_part("https://contoso.sharepoint.com/sites/a/Shared Documents/b.docx"), Some("b.docx"));
        assert_eq!(last_part("https://contoso.sharepoint.com/"), Some("contoso.sharepoint.com"));
        assert_eq!(last_part("https://"), None);
        assert_eq!(last_part(""), None);
    }

    #[test]
    fn no_resource_without_name_and_id() {
        assert!(new("Mail folder", Some("Unknown"), Some(" ")).is_none());
        let page = new("Page", Some("https://contoso.sharepoint.com/a.aspx"), None);
        assert_eq!(page.as_ref().and_then(|p| p.text(attr::URL_STRING)), Some("https://contoso.sharepoint.com/a.aspx"));
    }
}
