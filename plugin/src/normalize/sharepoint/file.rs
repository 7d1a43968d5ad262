//! Files and folders of SharePoint and OneDrive: OCSF File Hosting Activity.
//!
//! Invariant: a file has a name from the record; with whom it was shared has no place in the class and stays in `unmapped`.

use super::{ItemType, event_data, host, object_id, write_surroundings};
use crate::normalize::{
    context::Context,
    event::{Attributes, Event, attr, object},
    record::Object,
    users, web_resource,
};

/// An activity on a file or folder. None if the record doesn't name one.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let object = object_id(record);
    let name = record.peek_str("SourceFileName").or_else(|| web_resource::last_part(object?))?;
    let mut event = context.event();
    write_surroundings(context, record, &mut event);
    let mut file = Attributes::of(&object::FILE);
    file.set(attr::NAME, name);
    record.take_str("SourceFileName");
    let kind = write_type(record, &mut file);
    file.set(attr::EXT, record.take_str("SourceFileExtension"));
    write_path(record.take_str("SourceRelativeUrl"), name, &mut file);
    file.set(attr::UID, record.take_str("ListItemUniqueId"));
    file.set(attr::URL, object.map(url));
    if object.is_some() {
        record.take("ObjectId");
    }
    let size = |name: &&str| record.take_if(name, |n| n.to_int().filter(|size| *size >= 0));
    file.set(attr::SIZE, ["FileSizeBytes", "FileSyncBytesCommitted"].iter().find_map(size));
    file.set(attr::DATA_CLASSIFICATIONS, label(record).map(|label| vec![label]));
    if context.operation.starts_with("AnonymousLink") {
        // Only what is there is known: removing one link says nothing of others.
        file.set(attr::IS_PUBLIC, (!context.operation.ends_with("Removed")).then_some(true));
    }
    event.set(attr::FILE, file);
    event.set(attr::FILE_RESULT, destination(record, name, kind));
    event.set(attr::ACCESS_LIST, access_list(record));
    write_malware(context, record, &mut event);
    Some(vec![event])
}

/// File or folder; the type's number and its word for anything else.
fn write_type<'r>(record: &'r Object<'r>, file: &mut Attributes<'r>) -> (i64, Option<&'r str>) {
    let (id, word) = match ItemType::of(record) {
        ItemType::None => (0, None),
        ItemType::File => (1, None),
        ItemType::Folder => (2, None),
        ItemType::Other(word) => (99, Some(word)),
    };
    if id != 0 {
        record.take("ItemType");
    }
    file.set_enum(attr::TYPE_ID, id, word);
    (id, word)
}

/// `SourceRelativeUrl` is the folder; in sharing records it already ends in the name.
fn write_path<'r>(relative: Option<&'r str>, name: &'r str, file: &mut Attributes<'r>) {
    let Some(relative) = relative.map(|r| r.trim_end_matches('/')) else { return };
    match relative.strip_suffix(name).map(|parent| (parent, parent.strip_suffix('/'))) {
        Some(("", _)) => file.set(attr::PATH, relative),
        Some((_, Some(parent))) => {
            file.set(attr::PATH, relative);
            file.set(attr::PARENT_FOLDER, parent);
        }
        _ => {
            file.set(attr::PATH, format!("{relative}/{name}"));
            file.set(attr::PARENT_FOLDER, relative);
        }
    }
}

/// The address: escaped as a whole, in parts as it came.
fn url<'r>(address: &str) -> Attributes<'r> {
    let mut url = Attributes::of(&object::URL);
    // A `#` is part of the file's name here.
    url.set(attr::URL_STRING, web_resource::escaped(address).replace('#', "%23"));
    if let Some((scheme, _)) = address.split_once("://") {
        url.set(attr::SCHEME, scheme.to_owned());
        url.set(attr::HOSTNAME, host(address).map(str::to_owned));
    }
    url
}

/// Where a file was renamed, copied or moved to.
fn destination<'r>(record: &'r Object<'r>, source: &'r str, kind: (i64, Option<&'r str>)) -> Attributes<'r> {
    let mut file = Attributes::of(&object::FILE);
    let folder = record.take_str("DestinationRelativeUrl");
    let name = record.take_str("DestinationFileName");
    if folder.is_none() && name.is_none() {
        return file;
    }
    let name = name.unwrap_or(source);
    file.set(attr::NAME, name);
    file.set_enum(attr::TYPE_ID, kind.0, kind.1);
    file.set(attr::EXT, record.take_str("DestinationFileExtension"));
    write_path(folder, name, &mut file);
    if let (Some(site), Some(path)) = (record.peek_str("SiteUrl"), file.text(attr::PATH)) {
        let address = format!("{}/{path}", site.trim_end_matches('/'));
        file.set(attr::URL, url(&address));
    }
    file
}

/// The sensitivity label that the file has now.
fn label<'r>(record: &'r Object<'r>) -> Option<Attributes<'r>> {
    let uid = ["DestinationLabel", "SensitivityLabelId"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().map(str::trim).filter(|id| !users::is_nobody(id))))?;
    let mut classifier = Attributes::of(&object::CLASSIFIER_DETAILS);
    classifier.set(attr::TYPE, "Sensitivity label");
    classifier.set(attr::UID, uid);
    let mut label = Attributes::of(&object::DATA_CLASSIFICATION);
    label.set_enum(attr::CONFIDENTIALITY_ID, 99, Some(uid));
    label.set(attr::CLASSIFIER_DETAILS, classifier);
    Some(label)
}

/// The rights that sharing gave.
fn access_list<'r>(record: &'r Object<'r>) -> Vec<&'r str> {
    let mut rights: Vec<&'r str> = record.take_str("Permission").into_iter().collect();
    for (name, value) in event_data::pairs(record.peek_str("EventData").unwrap_or_default()) {
        let is_right =
            ["Type", "Permissions granted", "PermissionsGranted"].iter().any(|n| name.eq_ignore_ascii_case(n));
        if is_right && !value.is_empty() && !rights.contains(&value) {
            rights.push(value);
        }
    }
    rights
}

/// Malware that was found.
fn write_malware<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &mut Event<'r>) {
    if context.operation == "FileMalwareDetected" {
        event.set_enum(attr::DISPOSITION_ID, 15, None);
        event.set(attr::IS_ALERT, true);
    }
    if let Some(name) = record.take_str("VirusInfo") {
        let id = malware_class(name);
        let mut malware = Attributes::of(&object::MALWARE);
        malware.set(attr::NAME, name);
        malware.set(attr::PROVIDER, record.take_str("VirusVendor"));
        malware.set(attr::CLASSIFICATION_IDS, vec![id]);
        malware.set(
            attr::CLASSIFICATIONS,
            object::MALWARE.caption(attr::CLASSIFICATION_IDS, id).map(|caption| vec![caption]),
        );
        event.set(attr::MALWARE, vec![malware]);
    }
}

/// OCSF's malware class by the beginning of a detection's name such as `Trojan_Win32_X` or `Ransom:Win32/X`; 0 for others.
fn malware_class(name: &str) -> i64 {
    const BEGINNINGS: [(&str, i64); 12] = [
        ("adware", 1),
        ("backdoor", 2),
        ("bot", 3),
        ("downloader", 6),
        ("trojandownloader", 6),
        ("trojandropper", 7),
        ("ransom", 10),
        ("rootkit", 15),
        ("spyware", 17),
        ("trojan", 18),
        ("virus", 19),
        ("worm", 22),
    ];
    let word: String = name.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let begins = |(beginning, _): &&(&str, i64)| word.starts_with(beginning);
    BEGINNINGS.iter().filter(begins).max_by_key(|(beginning, _)| beginning.len()).map_or(0, |(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::normalize::write::shown;

    #[test]
    fn paths() {
        let path = |relative: &'static str, name: &'static str| {
            let mut file = Attributes::of(&object::FILE);
            write_path(Some(relative), name, &mut file);
            (file.text(attr::PATH).map(str::to_owned), file.text(attr::PARENT_FOLDER).map(str::to_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(path("Documents", "a.png"), (some("Documents/a.png"), some("Documents")));
        assert_eq!(path("Documents/a.png", "a.png"), (some("Documents/a.png"), some("Documents")));
        assert_eq!(path("Social/Private", "Private"), (some("Social/Private"), some("Social")));
        assert_eq!(path("a.png", "a.png"), (some("a.png"), None));
        assert_eq!(path("Data.png", "a.png"), (some("Data.png/a.png"), some("Data.png")));
    }

    #[test]
    fn addresses_are_escaped_once() {
        let url = shown(url("https://contoso.sharepoint.com/sites/a/Shared Documents/50%25 #1.docx"));
        assert_eq!(
            url,
            json!({"url_string": "https://contoso.sharepoint.com/sites/a/Shared%20Documents/50%25%20%231.docx",
                        "scheme": "https", "hostname": "contoso.sharepoint.com"})
        );
    }

    #[test]
    fn malware_by_name() {
        assert_eq!(malware_class("Trojan_Win32_Contrived"), 18);
        assert_eq!(malware_class("TrojanDownloader:O97M/X"), 6);
        assert_eq!(malware_class("Ransom:Win32/X"), 10);
        assert_eq!(malware_class("Win32/X"), 0);
        assert_eq!(malware_class(""), 0);
    }
}
