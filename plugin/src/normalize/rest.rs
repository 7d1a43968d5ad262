//! What no rule took of a record, and values of a record on their way into an event: redacted and untangled.
//!
//! Invariant: nothing leaves here that redaction covers, whichever way it goes (`unmapped`, `entity.data`, `raw_data`).

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::record::{self, Node, Object};

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
pub struct Converter<'s> {
    redact: Redact,
    tenant: &'s str,
    path: String,
    /// Dotted paths of what was redacted, each once.
    pub redacted: Vec<String>,
    /// Only what no rule took.
    only_rest: bool,
    /// JSON inside of text, how deep.
    inside: u8,
}

impl<'s> Converter<'s> {
    /// A converter of whole values.
    pub fn new(redact: Redact, tenant: &'s str) -> Self {
        Self { redact, tenant, path: String::new(), redacted: Vec::new(), only_rest: false, inside: 0 }
    }

    /// What is left of a record.
    pub fn rest(&mut self, record: &Object<'_>) -> Map<String, Value> {
        self.only_rest = true;
        let rest = self.members(record);
        self.only_rest = false;
        rest
    }

    /// What is left of an object that is found under `name` in the record.
    pub fn rest_at(&mut self, name: &str, object: &Object<'_>) -> Map<String, Value> {
        self.at(name, |this| this.rest(object))
    }

    /// A whole value, found under `name` in the record. Nothing if it is empty.
    pub fn whole(&mut self, name: &str, node: &Node<'_>) -> Option<Value> {
        self.at(name, |this| this.member(name, node))
    }

    fn at<T>(&mut self, name: &str, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let value = then(self);
        self.path.truncate(length);
        value
    }

    fn members(&mut self, object: &Object<'_>) -> Map<String, Value> {
        let secret = names_secret(object);
        let mut map = Map::new();
        for member in object.members() {
            if self.only_rest && member.is_taken() {
                continue;
            }
            let value = self.at(&member.name, |this| {
                if secret && is_value(&member.name) {
                    this.secret(&member.value)
                } else {
                    this.member(&member.name, &member.value)
                }
            });
            if let Some(value) = value {
                map.insert(member.name.clone().into_owned(), value);
            }
        }
        map
    }

    fn member(&mut self, name: &str, node: &Node<'_>) -> Option<Value> {
        // DetectedValues is what a DLP rule found (card numbers and the like), PromptText what a person asked an assistant.
        if name == "DetectedValues" || name == "PromptText" { self.secret(node) } else { self.value(node) }
    }

    fn value(&mut self, node: &Node<'_>) -> Option<Value> {
        match node {
            Node::Null => None,
            Node::Bool(flag) => Some(Value::Bool(*flag)),
            Node::Int(number) => Some(Value::from(*number)),
            Node::UInt(number) => Some(Value::from(*number)),
            Node::Float(number) => serde_json::Number::from_f64(*number).map(Value::Number),
            Node::Str(text) => self.text(text),
            Node::Object(object) => {
                let map = self.members(object);
                (!map.is_empty()).then_some(Value::Object(map))
            }
            Node::Array(items) => self.list(items),
        }
    }

    /// Text; if the whole of it is a JSON object or list, that.
    fn text(&mut self, text: &str) -> Option<Value> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return None;
        }
        let compound = (trimmed.starts_with('{') && trimmed.ends_with('}'))
            || (trimmed.starts_with('[') && trimmed.ends_with(']'));
        if compound
            && self.inside < 3
            && let Ok(node) = record::parse(trimmed.as_bytes())
        {
            if node.is_empty() {
                return Some(Value::String(trimmed.to_owned()));
            }
            self.inside += 1;
            let whole = std::mem::replace(&mut self.only_rest, false);
            let value = self.value(&node);
            self.only_rest = whole;
            self.inside -= 1;
            return value;
        }
        Some(Value::String(text.to_owned()))
    }

    /// A list; one of pairs of unique names becomes an object.
    fn list(&mut self, items: &[Node<'_>]) -> Option<Value> {
        if let Some(object) = self.pairs(items) {
            return (!object.is_empty()).then_some(Value::Object(object));
        }
        let values: Vec<Value> = items.iter().filter_map(|item| self.value(item)).collect();
        (!values.is_empty()).then_some(Value::Array(values))
    }

    fn pairs(&mut self, items: &[Node<'_>]) -> Option<Map<String, Value>> {
        let mut found: Vec<(&str, &Node<'_>)> = Vec::with_capacity(items.len());
        for item in items {
            let object = item.as_object()?;
            let (name, value) = record::pair(object)?;
            if self.only_rest && object.members().iter().all(record::Member::is_taken) {
                continue;
            }
            if name.is_empty() || found.iter().any(|(n, _)| *n == name) {
                return None;
            }
            found.push((name, value));
        }
        let mut map = Map::new();
        for (name, value) in found {
            let value =
                self.at(name, |this| if is_secret_name(name) { this.secret(value) } else { this.member(name, value) });
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        }
        Some(map)
    }

    /// A value that redaction covers.
    fn secret(&mut self, node: &Node<'_>) -> Option<Value> {
        if node.is_empty() {
            return None;
        }
        if self.redact == Redact::Keep {
            return self.value(node);
        }
        if !self.redacted.contains(&self.path) {
            self.redacted.push(self.path.clone());
        }
        if self.redact == Redact::Mask {
            return Some(Value::String("[redacted]".to_owned()));
        }
        let text = self.value(node)?.to_string();
        let mut hash = Sha256::new();
        hash.update(self.tenant);
        hash.update([0]);
        hash.update(text);
        let mut out = String::from("sha256:");
        push_hex(&mut out, &hash.finalize());
        Some(Value::String(out))
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
    let name = object.peek_str("Name").or_else(|| object.peek_str("displayName")).or_else(|| object.peek_str("name"));
    name.is_some_and(is_secret_name) && object.members().iter().any(|m| is_value(&m.name))
}

fn is_value(name: &str) -> bool {
    ["Value", "NewValue", "OldValue"].iter().any(|v| name.eq_ignore_ascii_case(v))
}

fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 5] =
        ["password", "secret", "keymaterial", "key material", "strongauthenticationphoneappdetail"];
    let has = |part: &str| name.as_bytes().windows(part.len()).any(|w| w.eq_ignore_ascii_case(part.as_bytes()));
    PARTS.iter().any(|part| has(part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rest_of(text: &str, redact: Redact, take: impl Fn(&Object<'_>)) -> (Value, Vec<String>) {
        let node = record::parse(text.as_bytes()).unwrap();
        let object = node.as_object().unwrap();
        take(object);
        let mut converter = Converter::new(redact, "tenant");
        let rest = converter.rest(object);
        (Value::Object(rest), converter.redacted)
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
    fn repeated_names_stay_a_list() {
        let (rest, _) = rest_of(r#"{"g":[{"Name":"h","Value":"1"},{"Name":"h","Value":"2"}]}"#, Redact::Mask, |_| {});
        assert_eq!(rest, json!({"g": [{"Name": "h", "Value": "1"}, {"Name": "h", "Value": "2"}]}));
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
