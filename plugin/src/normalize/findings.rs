//! What findings and their evidence are made of: files and their hashes, URLs, mail addresses, malware, analytics.
//!
//! Invariant: an object is given only with what OCSF requires of it, and a text becomes an address, a hash or a host only if it has
//! that shape.

use super::{
    event::{Attributes, Event, Present, attr, object},
    outcome,
    record::{Node, Object},
    users,
};

/// OCSF hash algorithms.
pub const MD5: i64 = 1;
/// SHA-1
pub const SHA1: i64 = 2;
/// SHA-256
pub const SHA256: i64 = 3;

/// A hash of an algorithm (`algorithm_id` of OCSF). Nothing if the text has not the algorithm's length in hexadecimal digits.
pub fn hash<'r>(algorithm: i64, value: Option<&'r str>) -> Option<Attributes<'r>> {
    let value = value?.trim();
    let digits = match algorithm {
        MD5 => 32,
        SHA1 => 40,
        SHA256 => 64,
        _ => return None,
    };
    if value.len() != digits || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = Attributes::of(&object::FINGERPRINT);
    hash.set_enum(attr::ALGORITHM_ID, algorithm, None);
    hash.set(attr::VALUE, value);
    Some(hash)
}

/// The `algorithm_id` of an algorithm's name: `sha256`, `SHA-256`, `md5` …
pub fn algorithm(name: &str) -> Option<i64> {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match name.to_ascii_lowercase().as_str() {
        "md5" => Some(MD5),
        "sha1" => Some(SHA1),
        "sha256" => Some(SHA256),
        _ => None,
    }
}

/// A file of a name, in a folder if one is given. Empty without a name.
pub fn file<'r>(name: Option<&'r str>, folder: Option<&'r str>) -> Attributes<'r> {
    let mut file = Attributes::of(&object::FILE);
    let Some(name) = name.map(str::trim).filter(|n| !n.is_empty()) else { return file };
    file.set(attr::NAME, name);
    file.set_enum(attr::TYPE_ID, 1, None);
    file.set(attr::EXT, name.rsplit_once('.').map(|(_, ext)| ext).filter(|ext| ext.len() <= 16));
    if let Some(folder) = folder.map(str::trim).filter(|f| !f.is_empty()) {
        let separator = if folder.contains('\\') { '\\' } else { '/' };
        if let Some(parent) = folder.strip_suffix(name).filter(|p| p.ends_with(separator)) {
            file.set(attr::PATH, folder);
            file.set(attr::PARENT_FOLDER, parent.trim_end_matches(separator));
        } else {
            let mut path = folder.trim_end_matches(separator).to_owned();
            file.set(attr::PARENT_FOLDER, folder.trim_end_matches(separator));
            path.push(separator);
            path.push_str(name);
            file.set(attr::PATH, path);
        }
    }
    file
}

/// A file of its full path, with `/` or `\`. Empty without one.
pub fn file_of_path<'r>(path: Option<&'r str>) -> Attributes<'r> {
    let path = path.map(str::trim).unwrap_or_default();
    match path.rsplit_once(['/', '\\']) {
        Some((folder, name)) if !name.is_empty() && !folder.is_empty() => {
            let mut file = file(Some(name), None);
            file.set(attr::PATH, path);
            file.set(attr::PARENT_FOLDER, folder);
            file
        }
        _ => file(Some(path), None),
    }
}

/// A URL: the text, and scheme, host and path if it is of the form `scheme://host/path`.
pub fn url<'r>(text: &'r str) -> Attributes<'r> {
    let mut url = Attributes::of(&object::URL);
    let text = text.trim();
    url.set(attr::URL_STRING, text);
    if let Some((scheme, rest)) = text.split_once("://") {
        url.set(attr::SCHEME, scheme);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        url.set(attr::HOSTNAME, host(&rest[..end]));
        let path = rest[end..].split(['?', '#']).next().unwrap_or_default();
        url.set(attr::PATH, path);
    }
    url
}

/// The host of a URL, or of a text that is a host name itself.
pub fn host_of(text: &str) -> Option<&str> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    host(rest.split(['/', '?', '#']).next().unwrap_or_default())
}

fn host(authority: &str) -> Option<&str> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    super::addresses::is_host_name(host).then_some(host)
}

/// The address in `a@b.c` or `Name <a@b.c>`.
pub fn mail_address(text: &str) -> Option<&str> {
    let text = text.trim();
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>').trim());
    users::is_email(inner).then_some(inner)
}

/// Sets the sender of an email: `from` if the text holds an address, and the text itself as `from_mailbox` if it says more.
pub fn write_from<'r>(email: &mut Attributes<'r>, text: Option<&'r str>) {
    let Some(text) = text else { return };
    let address = mail_address(text);
    email.set(attr::FROM, address);
    if address != Some(text.trim()) {
        email.set(attr::FROM_MAILBOX, text);
    }
}

/// Malware of a name, classified by the beginning of the name (`Trojan:Win32/…`); Unknown if that says nothing.
pub fn malware<'r>(name: &'r str) -> Attributes<'r> {
    let mut malware = Attributes::of(&object::MALWARE);
    let first = name.trim().split([':', '/', '.', '_', '!', ' ', '-']).next().unwrap_or_default();
    let class = match first.to_ascii_lowercase().as_str() {
        "adware" => 1,
        "backdoor" => 2,
        "bot" => 3,
        "ddos" => 5,
        "trojandownloader" | "downloader" => 6,
        "trojandropper" | "dropper" => 7,
        "exploit" => 8,
        "keylogger" => 9,
        "ransom" | "ransomware" => 10,
        "rat" => 11,
        "rogue" => 14,
        "rootkit" => 15,
        "spyware" | "trojanspy" => 17,
        "trojan" => 18,
        "virus" => 19,
        "webshell" => 20,
        "worm" => 22,
        _ => 0,
    };
    malware.set(attr::NAME, name);
    if ["phish", "phishing", "spam"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
        classify(&mut malware, 99, Some(first));
    } else if !malware.is_empty() {
        classify(&mut malware, class, None);
    }
    malware
}

/// A threat that OCSF's malware classes don't hold, such as phishing: Other, with the source's word.
pub fn threat<'r>(word: &'r str) -> Attributes<'r> {
    let mut threat = Attributes::of(&object::MALWARE);
    threat.set(attr::NAME, word);
    if !threat.is_empty() {
        classify(&mut threat, 99, Some(word));
    }
    threat
}

fn classify<'r>(malware: &mut Attributes<'r>, class: i64, word: Option<&'r str>) {
    malware.set(attr::CLASSIFICATION_IDS, vec![class]);
    let caption = word.or_else(|| object::MALWARE.caption(attr::CLASSIFICATION_IDS, class));
    malware.set(attr::CLASSIFICATIONS, vec![caption.unwrap_or("Unknown")]);
}

/// The analytic behind a finding. Empty without id and name.
pub fn analytic<'r>(type_id: i64, uid: impl Present<'r>, name: impl Present<'r>) -> Attributes<'r> {
    let mut analytic = Attributes::of(&object::ANALYTIC);
    analytic.set(attr::UID, uid);
    analytic.set(attr::NAME, name);
    if !analytic.is_empty() {
        analytic.set_enum(attr::TYPE_ID, type_id, None);
    }
    analytic
}

/// A resource in a role: 1 Target, 2 Actor, 3 Affected, 4 Related. Empty without id and name.
pub fn resource<'r>(kind: &'r str, uid: impl Present<'r>, name: impl Present<'r>, role: i64) -> Attributes<'r> {
    let mut resource = Attributes::of(&object::RESOURCE_DETAILS);
    resource.set(attr::UID, uid);
    resource.set(attr::NAME, name);
    if !resource.is_empty() {
        resource.set(attr::TYPE, kind);
        resource.set_enum(attr::ROLE_ID, role, None);
    }
    resource
}

/// A user of a name in any form that records use. Empty if it stands for nobody.
pub fn user<'r>(name: Option<&'r str>) -> Attributes<'r> {
    let mut person = users::Person::default();
    if let Some(name) = name {
        person.read_name(name);
    }
    person.user()
}

/// A name and value that the schema has no other place for. Empty without a value.
pub fn tag<'r>(name: &'r str, value: impl Present<'r>) -> Attributes<'r> {
    let mut tag = Attributes::of(&object::KEY_VALUE_OBJECT);
    tag.set(attr::VALUE, value);
    if !tag.is_empty() {
        tag.set(attr::NAME, name);
    }
    tag
}

/// Sets `action_id` and `disposition_id`; `word` is the source's own for what is Other (99).
pub fn write_disposition<'r>(event: &mut Event<'r>, (action, disposition): (i64, i64), word: &str) {
    event.set_enum(attr::ACTION_ID, action, Some(word));
    event.set_enum(attr::DISPOSITION_ID, disposition, Some(word));
}

/// Sets the severity by the source's word, and takes it: Unknown for a word that isn't known, which stays, or none.
pub fn take_severity<'r>(event: &mut Event<'r>, object: &'r Object<'r>, name: &str) {
    let word = object.peek_str(name);
    let severity = word.map_or(0, outcome::severity);
    event.set_severity(severity);
    if severity != 0 || word.is_some_and(|word| word.eq_ignore_ascii_case("unknown")) {
        object.take(name);
    }
}

/// The texts of a list, which is taken if it holds nothing else.
pub fn take_texts<'r>(object: &'r Object<'r>, name: &str) -> Vec<&'r str> {
    let items = object.items(name);
    let texts: Vec<&str> = items.iter().filter_map(Node::as_str).map(str::trim).filter(|t| !t.is_empty()).collect();
    if !items.is_empty() && texts.len() == items.len() {
        object.take(name);
    }
    texts
}

/// The recipients in a list of addresses, which is taken if it holds nothing else.
pub fn take_addresses<'r>(object: &'r Object<'r>, name: &str) -> Vec<&'r str> {
    let items = object.items(name);
    let address = |item: &'r Node<'r>| item.as_str().map(str::trim).filter(|text| users::is_email(text));
    let addresses: Vec<&str> = items.iter().filter_map(address).collect();
    if !items.is_empty() && addresses.len() == items.len() {
        object.take(name);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::normalize::write::shown;

    #[test]
    fn hashes_have_their_length() {
        assert!(hash(SHA256, Some("abc")).is_none());
        assert!(hash(MD5, Some("zz015f2e8c1b3d4a5f60718293a4b5c6")).is_none());
        assert!(hash(algorithm("SHA-1").unwrap(), Some("0123456789abcdef0123456789abcdef01234567")).is_some());
        assert_eq!(algorithm("ctph"), None);
    }

    #[test]
    fn files_of_names_folders_and_paths() {
        let path = |file: Attributes| file.text(attr::PATH).map(str::to_owned);
        assert_eq!(path(file(Some("a.exe"), Some("C:\\Windows"))).as_deref(), Some("C:\\Windows\\a.exe"));
        assert_eq!(path(file(Some("a"), Some("/usr/sbin/a"))).as_deref(), Some("/usr/sbin/a"));
        assert_eq!(file_of_path(Some("C:\\Users\\bo\\x.docx")).text(attr::NAME), Some("x.docx"));
        assert_eq!(file_of_path(Some("C:\\x.docx")).text(attr::PATH), Some("C:\\x.docx"));
        assert_eq!(file_of_path(Some("x.msg")).text(attr::NAME), Some("x.msg"));
        assert!(file(None, Some("/usr/sbin")).is_empty());
    }

    #[test]
    fn urls_and_hosts() {
        let parts = shown(url("https://user@contoso.sharepoint.com:443/sites/x?web=1"));
        assert_eq!(parts["hostname"], json!("contoso.sharepoint.com"));
        assert_eq!(parts["path"], json!("/sites/x"));
        assert_eq!(url("nothing").text(attr::HOSTNAME), None);
        assert_eq!(host_of("contoso.com"), Some("contoso.com"));
        assert_eq!(host_of("https://"), None);
    }

    #[test]
    fn addresses_in_mail() {
        assert_eq!(mail_address("\"Team\" <mail@fabrikam.com>"), Some("mail@fabrikam.com"));
        assert_eq!(mail_address("mail@fabrikam.com"), Some("mail@fabrikam.com"));
        assert_eq!(mail_address("Team"), None);
        let mut email = Attributes::of(&object::EMAIL);
        write_from(&mut email, Some("Team"));
        assert_eq!((email.text(attr::FROM), email.text(attr::FROM_MAILBOX)), (None, Some("Team")));
    }

    #[test]
    fn malware_by_the_beginning_of_its_name() {
        let class = |name: &str| shown(malware(name))["classification_ids"][0].clone();
        assert_eq!(class("Trojan:Win32/Emotet"), json!(18));
        assert_eq!(class("Ransom:Win32/X"), json!(10));
        assert_eq!(class("Emotet"), json!(0));
        assert_eq!(class("Phish:HTML/Fabri"), json!(99));
        assert_eq!(shown(threat("Phish"))["classifications"], json!(["Phish"]));
    }
}
