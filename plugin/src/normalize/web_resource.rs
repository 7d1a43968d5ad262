//! Web resources: what was read, changed, searched or shared where no file class fits; messages, folders, channels, lists.
//!
//! Invariant: a resource has a name or an id; without either there is none.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{context::Context, event::Attributes, record::Object, users};

/// A resource of a kind such as `Mail folder`. Nothing without a name or id.
pub fn new(kind: &str, uid: Option<&str>, name: Option<&str>) -> Option<Attributes> {
    let mut resource = Attributes::of("web_resource");
    let real = |text: &&str| !users::is_nobody(text);
    resource.set("uid", uid.filter(real));
    resource.set("name", name.filter(real));
    if resource.is_empty() {
        return None;
    }
    if let Some(address) = uid.filter(|uid| uid.starts_with("https://") || uid.starts_with("http://")) {
        resource.set("url_string", escaped(address));
    }
    resource.set("type", kind);
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
pub fn members(context: &Context<'_>, object: &Object<'_>, except: &[&str]) -> Map<String, Value> {
    object
        .members()
        .iter()
        .filter(|m| !except.contains(&m.name.as_ref()))
        .filter_map(|m| Some((m.name.to_string(), context.value(&m.name, &m.value)?)))
        .collect()
}

/// Takes the named members of a record into `data`.
pub fn take_members(context: &Context<'_>, record: &Object<'_>, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), context.take_value(record, name)?))).collect()
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
        assert_eq!(page.as_ref().and_then(|p| p.text("url_string")), Some("https://contoso.sharepoint.com/a.aspx"));
    }
}
