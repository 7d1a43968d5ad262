//! Files and folders of SharePoint and OneDrive: OCSF File Hosting Activity.
//!
//! Invariant: a file has a name from the record; with whom it was shared has no place in the class and stays in `unmapped`.

use serde_json::Value;

use super::{ItemType, event_data, host, object_id, write_surroundings};
use crate::normalize::{
    context::Context,
    event::{Attributes, Event},
    record::Object,
    tables, users, web_resource,
};

/// An activity on a file or folder. None if the record doesn't name one.
pub fn map(context: &Context<'_>, record: &Object<'_>) -> Option<Vec<Event>> {
    let object = object_id(record);
    let name = record.peek_str("SourceFileName").or_else(|| web_resource::last_part(object?))?;
    let mut event = context.event();
    write_surroundings(context, record, &mut event);
    let mut file = Attributes::of("file");
    file.set("name", name);
    record.take("SourceFileName");
    let kind = write_type(record, &mut file);
    file.set("ext", record.take_str("SourceFileExtension"));
    write_path(record.take_str("SourceRelativeUrl"), name, &mut file);
    file.set("uid", record.take_str("ListItemUniqueId"));
    file.set("url", object.map(url));
    if object.is_some() {
        record.take("ObjectId");
    }
    let size = ["FileSizeBytes", "FileSyncBytesCommitted"].iter().find_map(|name| record.take_int(name));
    file.set("size", size.filter(|size| *size >= 0));
    file.set("data_classifications", label(record).map(|label| vec![label]));
    if context.operation.starts_with("AnonymousLink") {
        // Only what is there is known: removing one link says nothing of others.
        file.set("is_public", (!context.operation.ends_with("Removed")).then_some(true));
    }
    event.set("file", file);
    event.set("file_result", destination(record, name, &kind));
    event.set("access_list", access_list(record));
    write_malware(context, record, &mut event);
    Some(vec![event])
}

/// File or folder; the type's number and its word for anything else.
fn write_type(record: &Object<'_>, file: &mut Attributes) -> (i64, Option<String>) {
    let (id, word) = match ItemType::of(record) {
        ItemType::None => (0, None),
        ItemType::File => (1, None),
        ItemType::Folder => (2, None),
        ItemType::Other(word) => (99, Some(word.to_owned())),
    };
    if id != 0 {
        record.take("ItemType");
    }
    file.set_enum("type_id", id, word.as_deref());
    (id, word)
}

/// `SourceRelativeUrl` is the folder; in sharing records it already ends in the name.
fn write_path(relative: Option<&str>, name: &str, file: &mut Attributes) {
    let Some(relative) = relative.map(|r| r.trim_end_matches('/')) else { return };
    match relative.strip_suffix(name).map(|parent| (parent, parent.strip_suffix('/'))) {
        Some(("", _)) => file.set("path", relative),
        Some((_, Some(parent))) => {
            file.set("path", relative);
            file.set("parent_folder", parent);
        }
        _ => {
            file.set("path", format!("{relative}/{name}"));
            file.set("parent_folder", relative);
        }
    }
}

/// The address: escaped as a whole, in parts as it came.
fn url(address: &str) -> Attributes {
    let mut url = Attributes::of("url");
    // A `#` is part of the file's name here.
    url.set("url_string", web_resource::escaped(address).replace('#', "%23"));
    if let Some((scheme, _)) = address.split_once("://") {
        url.set("scheme", scheme);
        url.set("hostname", host(address));
    }
    url
}

/// Where a file was renamed, copied or moved to.
fn destination(record: &Object<'_>, source: &str, kind: &(i64, Option<String>)) -> Attributes {
    let mut file = Attributes::of("file");
    let folder = record.take_str("DestinationRelativeUrl");
    let name = record.take_str("DestinationFileName");
    if folder.is_none() && name.is_none() {
        return file;
    }
    let name = name.unwrap_or(source);
    file.set("name", name);
    file.set_enum("type_id", kind.0, kind.1.as_deref());
    file.set("ext", record.take_str("DestinationFileExtension"));
    write_path(folder, name, &mut file);
    if let (Some(site), Some(path)) = (record.peek_str("SiteUrl"), file.text("path")) {
        let address = format!("{}/{path}", site.trim_end_matches('/'));
        file.set("url", url(&address));
    }
    file
}

/// The sensitivity label that the file has now.
fn label(record: &Object<'_>) -> Option<Attributes> {
    let uid = ["DestinationLabel", "SensitivityLabelId"]
        .iter()
        .find_map(|name| record.take_if(name, |n| n.as_str().map(str::trim).filter(|id| !users::is_nobody(id))))?;
    let mut classifier = Attributes::of("classifier_details");
    classifier.set("type", "Sensitivity label");
    classifier.set("uid", uid);
    let mut label = Attributes::of("data_classification");
    label.set_enum("confidentiality_id", 99, Some(uid));
    label.set("classifier_details", classifier);
    Some(label)
}

/// The rights that sharing gave.
fn access_list(record: &Object<'_>) -> Vec<String> {
    let mut rights: Vec<String> = record.take_str("Permission").map(str::to_owned).into_iter().collect();
    for (name, value) in event_data::pairs(record.peek_str("EventData").unwrap_or_default()) {
        let is_right =
            ["Type", "Permissions granted", "PermissionsGranted"].iter().any(|n| name.eq_ignore_ascii_case(n));
        if is_right && !value.is_empty() && !rights.iter().any(|r| r == value) {
            rights.push(value.to_owned());
        }
    }
    rights
}

/// Malware that was found.
fn write_malware(context: &Context<'_>, record: &Object<'_>, event: &mut Event) {
    if context.operation == "FileMalwareDetected" {
        event.set_enum("disposition_id", 15, None);
        event.set("is_alert", true);
    }
    if let Some(name) = record.take_str("VirusInfo") {
        let id = malware_class(name);
        let mut malware = Attributes::of("malware");
        malware.set("name", name);
        malware.set("provider", record.take_str("VirusVendor"));
        malware.set("classification_ids", vec![Value::from(id)]);
        malware
            .set("classifications", tables::caption("malware", "classification_ids", id).map(|caption| vec![caption]));
        event.set("malware", vec![malware]);
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
    use crate::normalize::event::Present;

    #[test]
    fn paths() {
        let path = |relative: &str, name: &str| {
            let mut file = Attributes::of("file");
            write_path(Some(relative), name, &mut file);
            (file.text("path").map(str::to_owned), file.text("parent_folder").map(str::to_owned))
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
        let url = url("https://contoso.sharepoint.com/sites/a/Shared Documents/50%25 #1.docx").present();
        assert_eq!(
            url,
            Some(json!({"url_string": "https://contoso.sharepoint.com/sites/a/Shared%20Documents/50%25%20%231.docx",
                        "scheme": "https", "hostname": "contoso.sharepoint.com"}))
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
