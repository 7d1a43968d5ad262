//! What no rule took of a record, and values of a record on their way into an event: redacted and untangled.
//!
//! Invariant: nothing leaves here that redaction covers, whichever way it goes (`unmapped`, `entity.data`, `raw_data`).

use std::borrow::Cow;
use std::collections::BTreeSet;

use bumpalo::Bump;
use sha2::{Digest, Sha256};

use super::{
    distinct::Distinct,
    event::{FEW, Members, Value, trimmed},
    parse,
    record::{self, Node, Object},
    times, write,
};

/// What to do with values that are secrets or matched personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redact {
    /// Write `[redacted]`.
    #[default]
    Mask,
    /// Write `sha256:` and the SHA-256 of the tenant, a zero byte and the value as JSON, so that equal values stay equal.
    Hash,
    /// Write the value.
    Keep,
}

/// Converts parts of a record, and remembers the paths that it redacted.
#[derive(Debug)]
pub struct Converter<'s, 'r> {
    redact: Redact,
    tenant: &'s str,
    /// Where the trees of JSON that was text inside the record are, so that values can borrow from them.
    arena: &'r Bump,
    path: bumpalo::collections::Vec<'r, &'r str>,
    /// What was redacted.
    pub redacted: Redacted,
    /// Only what no rule took.
    only_rest: bool,
    /// JSON inside of text, how deep.
    inside: u8,
}

/// Dotted paths of what was redacted, each once.
#[derive(Debug)]
pub struct Redacted(Distinct<String, String>);

/// Most paths that are told, and the longest, in bytes: with neither, a path is told as often as there are secrets under it.
const MAX_PATHS: usize = 1_000;
const MAX_PATH: usize = 500;

impl Default for Redacted {
    fn default() -> Self {
        Self(Distinct::by(String::clone))
    }
}

impl Redacted {
    /// The paths, the last one `…` if there are more.
    pub fn paths(&self) -> &[String] {
        self.0.items()
    }

    fn note(&mut self, steps: &[&str]) {
        if self.0.items().len() > MAX_PATHS {
            return;
        }
        let mut path = String::with_capacity(64);
        for (index, step) in steps.iter().enumerate() {
            if index > 0 {
                path.push('.');
            }
            path.push_str(step);
            if path.len() > MAX_PATH {
                path.truncate(path.floor_char_boundary(MAX_PATH));
                path.push('…');
                break;
            }
        }
        if self.0.items().len() == MAX_PATHS && !self.0.has(&path) {
            path.clear();
            path.push('…');
        }
        self.0.add(path);
    }
}

/// JSON in a text, as a tree; none if it isn't JSON.
pub fn untangle<'r>(text: &'r str, arena: &'r Bump) -> Option<&'r Node<'r>> {
    parse::parse(text.as_bytes(), arena).ok().map(|node| &*arena.alloc(node))
}

impl<'s, 'r> Converter<'s, 'r> {
    /// A converter of whole values.
    pub fn new(redact: Redact, tenant: &'s str, arena: &'r Bump) -> Self {
        Self {
            redact,
            tenant,
            arena,
            path: bumpalo::collections::Vec::new_in(arena),
            redacted: Redacted::default(),
            only_rest: false,
            inside: 0,
        }
    }

    /// What is left of a record.
    pub fn rest(&mut self, record: &'r Object<'r>) -> Members<'r> {
        self.only_rest = true;
        let rest = self.members(record);
        self.only_rest = false;
        rest
    }

    /// What is left of an object that is found under `name` in the record.
    pub fn rest_at(&mut self, name: &'r str, object: &'r Object<'r>) -> Members<'r> {
        self.at(name, |this| this.rest(object))
    }

    /// A whole value, found under `name` in the record. Nothing if it is empty.
    pub fn whole(&mut self, name: &'r str, node: &'r Node<'r>) -> Option<Value<'r>> {
        self.at(name, |this| this.member(name, node))
    }

    fn at<T>(&mut self, name: &'r str, then: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name);
        let value = then(self);
        self.path.pop();
        value
    }

    fn members(&mut self, object: &'r Object<'r>) -> Members<'r> {
        let secret = names_secret(object);
        let mut members = Members::with_room(object.members().len());
        for member in object.members() {
            if self.only_rest && member.is_taken() {
                continue;
            }
            if matches!(member.value, Node::Null) {
                continue;
            }
            let value = self.at(member.name, |this| {
                if secret && is_value(member.name) {
                    this.secret(&member.value)
                } else {
                    this.member(member.name, &member.value)
                }
            });
            if let Some(value) = value {
                members.push(Cow::Borrowed(member.name), value);
            }
        }
        members
    }

    fn member(&mut self, name: &str, node: &'r Node<'r>) -> Option<Value<'r>> {
        // DetectedValues is what a DLP rule found (card numbers and the like), PromptText what a person asked an assistant.
        if name == "DetectedValues" || name == "PromptText" {
            return self.secret(node);
        }
        // Purview writes the parameters of a cmdlet as one text.
        let Node::Str(text) = node else { return self.value(node) };
        if name.ends_with("Parameters")
            && self.redact != Redact::Keep
            && let Some(text) = without_secrets(text)
        {
            self.note();
            return Some(Value::Text(Cow::Owned(text)));
        }
        if text.starts_with(['"', ' ', '\r', '\n'])
            && is_value(name)
            && self.inside < 3
            && let Some(inner) = quoted(text).and_then(|text| untangle(text, self.arena))
        {
            // The directory writes old and new values as JSON: `"Global Reader"` with its quotation marks.
            self.inside += 1;
            let value = self.value(inner);
            self.inside -= 1;
            return value;
        }
        self.text(text)
    }

    /// Remembers the path of what was redacted.
    fn note(&mut self) {
        self.redacted.note(&self.path);
    }

    fn value(&mut self, node: &'r Node<'r>) -> Option<Value<'r>> {
        match node {
            Node::Null => None,
            Node::Bool(flag) => Some(Value::Bool(*flag)),
            Node::Int(number) => Some(Value::Int(*number)),
            Node::UInt(number) => Some(Value::UInt(*number)),
            Node::Float(number) => number.is_finite().then_some(Value::Float(*number)),
            Node::Str(text) => self.text(text),
            Node::Object(object) => {
                let members = self.members(object);
                (!members.is_empty()).then_some(Value::Open(members))
            }
            Node::Array(items) => self.list(items),
        }
    }

    /// Text; if the whole of it is a JSON object or list, that.
    fn text(&mut self, text: &'r str) -> Option<Value<'r>> {
        let trimmed = trimmed(text);
        if trimmed.is_empty() {
            return None;
        }
        let compound = (trimmed.starts_with('{') && trimmed.ends_with('}'))
            || (trimmed.starts_with('[') && trimmed.ends_with(']'));
        if compound
            && self.inside < 3
            && let Some(node) = untangle(trimmed, self.arena)
        {
            if node.is_empty() {
                return Some(Value::Text(Cow::Borrowed(trimmed)));
            }
            self.inside += 1;
            let whole = std::mem::replace(&mut self.only_rest, false);
            let value = self.value(node);
            self.only_rest = whole;
            self.inside -= 1;
            return value;
        }
        Some(Value::Text(Cow::Borrowed(text)))
    }

    /// A list; one of pairs of unique names becomes an object.
    fn list(&mut self, items: &'r [Node<'r>]) -> Option<Value<'r>> {
        if let Some(object) = self.pairs(items) {
            return (!object.is_empty()).then_some(Value::Open(object));
        }
        let values: Vec<Value<'r>> = items.iter().filter_map(|item| self.value(item)).collect();
        (!values.is_empty()).then_some(Value::List(values))
    }

    fn pairs(&mut self, items: &'r [Node<'r>]) -> Option<Members<'r>> {
        // Most lists are none of pairs, which shows at the first item.
        items.first().is_none_or(|item| item.as_object().is_some_and(|o| record::pair(o).is_some())).then_some(())?;
        let mut found: Vec<(&'r str, &'r Node<'r>)> = Vec::with_capacity(items.len());
        // The names, once there are more than a few.
        let mut names = BTreeSet::new();
        let same = |a: &str, b: &str| record::tag(a) == record::tag(b) && a == b;
        for item in items {
            let object = item.as_object()?;
            let (name, value) = record::pair(object)?;
            if self.only_rest && object.members().iter().all(record::Member::is_taken) {
                continue;
            }
            if found.len() == FEW {
                names.extend(found.iter().map(|(name, _)| *name));
            }
            let few = found.len() < FEW;
            if name.is_empty() || (if few { found.iter().any(|(n, _)| same(n, name)) } else { !names.insert(name) }) {
                return None;
            }
            found.push((name, value));
        }
        let mut members = Members::with_room(found.len());
        for (name, value) in found {
            let value =
                self.at(name, |this| if is_secret_name(name) { this.secret(value) } else { this.member(name, value) });
            // A parameter that was given without a value was given.
            members.push(Cow::Borrowed(name), value.unwrap_or(Value::Text(Cow::Borrowed(""))));
        }
        Some(members)
    }

    /// A value that redaction covers.
    fn secret(&mut self, node: &'r Node<'r>) -> Option<Value<'r>> {
        if node.is_empty() {
            return None;
        }
        if self.redact == Redact::Keep || is_no_secret(node) {
            return self.value(node);
        }
        self.note();
        if self.redact == Redact::Mask {
            return Some(Value::Text(Cow::Borrowed("[redacted]")));
        }
        let text = write::to_json(&self.value(node)?);
        let mut hash = Sha256::new();
        hash.update(self.tenant);
        hash.update([0]);
        hash.update(text);
        let mut out = String::from("sha256:");
        push_hex(&mut out, &hash.finalize());
        Some(Value::Text(Cow::Owned(out)))
    }
}

/// A text in quotation marks of its own.
fn quoted(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.len() > 1 && text.starts_with('"') && text.ends_with('"')).then_some(text)
}

/// Whether a value is a truth value, a number or a time, whatever its name says: `ResetPasswordOnNextLogon`, `LastPasswordChange`.
fn is_no_secret(node: &Node<'_>) -> bool {
    match node {
        Node::Bool(_) | Node::Int(_) => true,
        Node::Str(text) => {
            // Modified properties are JSON in text: `"True"`, `[true]`.
            let text = text.trim_matches(['[', ']', '"', ' ']);
            text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") || times::parse(text).is_some()
        }
        _ => false,
    }
}

/// A text in the style of PowerShell without the values of parameters that are secrets; none if it has no such parameter. A value goes to
/// the next quotation mark of its kind, else to the next blank, and is as long as its brackets.
fn without_secrets(text: &str) -> Option<String> {
    if !is_secret_name(text) {
        return None;
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('-') {
        let before_is_blank = rest[..at].chars().next_back().is_none_or(char::is_whitespace);
        let after = &rest[at + 1..];
        let name = &after[..after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len())];
        let value = after[name.len()..].trim_start_matches([' ', ':']);
        let switch =
            value.is_empty() || value.starts_with('-') || value.starts_with("$true") || value.starts_with("$false");
        if !(before_is_blank && is_secret_name(name) && !switch) {
            out.push_str(&rest[..=at]);
            rest = after;
            continue;
        }
        out.push_str(&rest[..at]);
        out.push('-');
        out.push_str(name);
        out.push_str(" [redacted]");
        rest = &value[value_length(value)..];
    }
    let found = out.contains("[redacted]");
    out.push_str(rest);
    found.then_some(out)
}

/// How long the value at the beginning of a text is.
fn value_length(text: &str) -> usize {
    let end = |close: char| text[1..].find(close).map_or(text.len(), |at| at + 2);
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => end(quote),
        Some('(') => {
            let mut depth = 0_i32;
            text.char_indices()
                .find_map(|(at, c)| {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    (depth == 0).then_some(at + 1)
                })
                .unwrap_or(text.len())
        }
        _ => text.find(char::is_whitespace).unwrap_or(text.len()),
    }
}

/// Writes bytes as lower-case hexadecimal.
pub(super) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Whether an object is a named value (a modified property, a parameter) whose name says that the value is a secret.
fn names_secret(object: &Object<'_>) -> bool {
    if !object.members().iter().any(|m| is_value(m.name)) {
        return false;
    }
    let name = object.peek_str("Name").or_else(|| object.peek_str("displayName")).or_else(|| object.peek_str("name"));
    name.is_some_and(is_secret_name)
}

fn is_value(name: &str) -> bool {
    ["Value", "NewValue", "OldValue"].iter().any(|v| name.eq_ignore_ascii_case(v))
}

fn is_secret_name(name: &str) -> bool {
    const PARTS: [&[u8]; 5] =
        [b"password", b"secret", b"keymaterial", b"key material", b"strongauthenticationphoneappdetail"];
    let bytes = name.as_bytes();
    bytes.iter().enumerate().any(|(start, byte)| {
        matches!(byte | 0x20, b'p' | b's' | b'k')
            && PARTS
                .iter()
                .any(|part| bytes.get(start..start + part.len()).is_some_and(|found| found.eq_ignore_ascii_case(part)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use bumpalo::Bump;

    use super::{Converter, Object, Redact, parse, write};

    fn rest_of(text: &str, redact: Redact, take: impl Fn(&Object<'_>)) -> (Value, Vec<String>) {
        let arena = Bump::new();
        let node = parse::parse(text.as_bytes(), &arena).unwrap();
        let object = node.as_object().unwrap();
        take(object);
        let mut converter = Converter::new(redact, "tenant", &arena);
        let rest = write::to_json(&super::Value::Open(converter.rest(object)));
        (serde_json::from_str(&rest).unwrap(), converter.redacted.paths().to_vec())
    }

    #[test]
    fn the_rest_keeps_names_and_nesting_and_untangles_text() {
        let text = r#"{"a":1,"b":{"c":"x","d":null},"e":"{\"f\":[1]}","g":[{"Name":"h","Value":"1"},{"Name":"i","Value":"2"}],"j":"[]"}"#;
        let (rest, _) = rest_of(text, Redact::Mask, |r| {
            r.take("a");
            r.pairs("g").take_str("h");
        });
        assert_eq!(rest, json!({"b": {"c": "x"}, "e": {"f": [1]}, "g": {"i": "2"}, "j": "[]"}));
    }

    #[test]
    fn a_name_without_a_value_keeps_its_name() {
        let (rest, _) = rest_of(r#"{"g":[{"Name":"h","Value":""},{"Name":"i","Value":null}]}"#, Redact::Mask, |_| {});
        assert_eq!(rest, json!({"g": {"h": "", "i": ""}}));
    }

    #[test]
    fn repeated_names_stay_a_list() {
        let (rest, _) = rest_of(r#"{"g":[{"Name":"h","Value":"1"},{"Name":"h","Value":"2"}]}"#, Redact::Mask, |_| {});
        assert_eq!(rest, json!({"g": [{"Name": "h", "Value": "1"}, {"Name": "h", "Value": "2"}]}));
    }

    #[test]
    fn old_and_new_values_lose_the_quotation_marks_that_are_json() {
        let text = r#"{"p":[{"displayName":"Role.DisplayName","oldValue":"\"\"","newValue":"\"Global \\\"x\\\" Reader\""},{"displayName":"b","newValue":"\"[1]\""}],"q":"\"stays\""}"#;
        let (rest, _) = rest_of(text, Redact::Mask, |_| {});
        assert_eq!(
            rest,
            json!({"p": [{"displayName": "Role.DisplayName", "newValue": "Global \"x\" Reader"}, {"displayName": "b", "newValue": [1]}], "q": "\"stays\""})
        );
    }

    #[test]
    fn what_is_no_secret_for_all_its_name() {
        let text = r#"{"P":[{"Name":"ResetPasswordOnNextLogon","Value":"True"},{"Name":"LastPasswordChangeTimestamp","Value":"2025-11-25T09:00:02Z"},{"Name":"PasswordLength","Value":12}]}"#;
        let (rest, redacted) = rest_of(text, Redact::Mask, |_| {});
        assert!(redacted.is_empty(), "{rest}");
    }

    #[test]
    fn secrets_in_the_text_of_a_cmdlet() {
        let shown = |text: &str| super::without_secrets(text);
        assert_eq!(
            shown("-Identity \"a b\" -Password \"hunter 2\" -Force").as_deref(),
            Some("-Identity \"a b\" -Password [redacted] -Force")
        );
        assert_eq!(
            shown("-NewPassword (ConvertTo-SecureString 'x (y)' -AsPlainText) -Name z").as_deref(),
            Some("-NewPassword [redacted] -Name z")
        );
        assert_eq!(shown("-ClientSecret:abc").as_deref(), Some("-ClientSecret [redacted]"));
        for odd in
            ["-Password \"", "-Password (", "-Password ('", "-Secret:", "é-Password é", "-Password -", "--Password x"]
        {
            let _ = shown(odd);
        }
        for plain in ["-Identity x", "-ResetPasswordOnNextLogon $true", "well-known password", "", "-", "-Password"] {
            assert_eq!(shown(plain), None, "{plain}");
        }
    }

    #[test]
    fn secrets_are_masked_hashed_or_kept_also_inside_of_text() {
        let text = r#"{"P":[{"Name":"NewPassword","Value":"hunter2"}],"D":"{\"DetectedValues\":[\"4111\"]}","M":[{"displayName":"ClientSecret","oldValue":"a","newValue":null}]}"#;
        let (rest, redacted) = rest_of(text, Redact::Mask, |_| {});
        assert!(!rest.to_string().contains("hunter2") && !rest.to_string().contains("4111"));
        assert_eq!(redacted, ["P.NewPassword", "D.DetectedValues", "M.oldValue"]);
        let (hashed, _) = rest_of(text, Redact::Hash, |_| {});
        assert!(hashed["P"]["NewPassword"].as_str().is_some_and(|t| t.starts_with("sha256:") && t.len() == 71));
        let (kept, redacted) = rest_of(text, Redact::Keep, |_| {});
        assert_eq!(kept["D"]["DetectedValues"], json!(["4111"]));
        assert!(redacted.is_empty());
    }
}
