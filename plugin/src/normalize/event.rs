//! Building an OCSF event as a JSON object.
//!
//! Invariant: an event never holds `null`, empty text, an empty list or an empty object: setting an attribute to any of
//! these sets nothing. `type_uid`, the names next to numbers, `metadata.profiles` and `observables` are derived here and nowhere else.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::tables::{self, Class, Mark};

/// What can become the value of an attribute, or nothing.
pub trait Present {
    /// The value; none if there is nothing worth writing.
    fn present(self) -> Option<Value>;
}

impl Present for &str {
    fn present(self) -> Option<Value> {
        let text = self.trim();
        (!text.is_empty()).then(|| Value::String(text.to_owned()))
    }
}
impl Present for String {
    fn present(self) -> Option<Value> {
        if self.trim().len() == self.len() {
            (!self.is_empty()).then_some(Value::String(self))
        } else {
            self.as_str().present()
        }
    }
}
impl Present for Cow<'_, str> {
    fn present(self) -> Option<Value> {
        match self {
            Cow::Borrowed(text) => text.present(),
            Cow::Owned(text) => text.present(),
        }
    }
}
impl Present for bool {
    fn present(self) -> Option<Value> {
        Some(Value::Bool(self))
    }
}
impl Present for i64 {
    fn present(self) -> Option<Value> {
        Some(Value::from(self))
    }
}
impl Present for f64 {
    fn present(self) -> Option<Value> {
        serde_json::Number::from_f64(self).map(Value::Number)
    }
}
impl Present for Attributes {
    fn present(self) -> Option<Value> {
        (!self.map.is_empty()).then_some(Value::Object(self.map))
    }
}
impl Present for Value {
    fn present(self) -> Option<Value> {
        match &self {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => None,
            Value::Array(items) if items.is_empty() => None,
            Value::Object(members) if members.is_empty() => None,
            _ => Some(self),
        }
    }
}
impl<T: Present> Present for Option<T> {
    fn present(self) -> Option<Value> {
        self.and_then(Present::present)
    }
}
impl<T: Present> Present for Vec<T> {
    fn present(self) -> Option<Value> {
        let items: Vec<Value> = self.into_iter().filter_map(Present::present).collect();
        (!items.is_empty()).then_some(Value::Array(items))
    }
}

/// The attributes of one OCSF object or class.
#[derive(Clone, Debug)]
pub struct Attributes {
    scope: &'static str,
    map: Map<String, Value>,
}

impl Attributes {
    /// No attributes yet, of the OCSF object of this name (`user`, `network_endpoint` …).
    pub fn of(object: &'static str) -> Self {
        Self { scope: object, map: Map::new() }
    }

    /// Sets an attribute, unless the value is nothing. A later value replaces an earlier one.
    pub fn set(&mut self, attribute: &str, value: impl Present) {
        if let Some(value) = value.present() {
            self.map.insert(attribute.to_owned(), value);
        }
    }

    /// Sets an attribute only if it has no value yet.
    pub fn set_if_absent(&mut self, attribute: &str, value: impl Present) {
        if !self.map.contains_key(attribute) {
            self.set(attribute, value);
        }
    }

    /// Sets an enumerated attribute and its name: `type_id` and `type`, `status_id` and `status`.
    ///
    /// `word` is the source's own word; it is the name for 99 (Other), and otherwise OCSF's caption is.
    pub fn set_enum(&mut self, attribute: &str, id: i64, word: Option<&str>) {
        self.set(attribute, id);
        let Some(name) = attribute.strip_suffix("_id") else { return };
        let caption = tables::caption(self.scope, attribute, id);
        self.map.remove(name);
        self.set(name, if id == 99 { word.or(caption) } else { caption });
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Whether an attribute is set.
    pub fn has(&self, attribute: &str) -> bool {
        self.map.contains_key(attribute)
    }

    /// The value of an attribute.
    pub fn get(&self, attribute: &str) -> Option<&Value> {
        self.map.get(attribute)
    }

    /// The text of an attribute.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.map.get(attribute)?.as_str()
    }

    /// Takes an attribute away.
    pub fn remove(&mut self, attribute: &str) -> Option<Value> {
        self.map.remove(attribute)
    }
}

/// An OCSF event that is being built.
#[derive(Clone, Debug)]
pub struct Event {
    /// The class.
    pub class: &'static Class,
    attributes: Attributes,
    metadata: Attributes,
    unmapped: Map<String, Value>,
}

impl Event {
    /// An event of a class and activity. `operation` names the activity if it is 99 (Other).
    pub fn new(class_uid: u32, activity_id: i64, operation: &str) -> Self {
        let class = tables::class(class_uid);
        let mut event = Self {
            class,
            attributes: Attributes::of(class.scope),
            metadata: Attributes::of("metadata"),
            unmapped: Map::new(),
        };
        event.set("class_uid", i64::from(class.uid));
        event.set("class_name", class.name);
        event.set("category_uid", i64::from(class.category_uid));
        event.set("category_name", class.category_name);
        event.set("activity_id", activity_id);
        event.set("type_uid", i64::from(class.uid) * 100 + activity_id);
        let caption = tables::caption(class.scope, "activity_id", activity_id).unwrap_or("Other");
        event.set("activity_name", if activity_id == 99 && !operation.is_empty() { operation } else { caption });
        let mut type_name = String::with_capacity(class.name.len() + caption.len() + 2);
        type_name.push_str(class.name);
        type_name.push_str(": ");
        type_name.push_str(caption);
        event.set("type_name", type_name);
        event.set("severity_id", 1);
        event
    }

    /// As [`Attributes::set`], for an attribute of the class.
    pub fn set(&mut self, attribute: &str, value: impl Present) {
        self.attributes.set(attribute, value);
    }

    /// As [`Attributes::set_if_absent`].
    pub fn set_if_absent(&mut self, attribute: &str, value: impl Present) {
        self.attributes.set_if_absent(attribute, value);
    }

    /// As [`Attributes::set_enum`].
    pub fn set_enum(&mut self, attribute: &str, id: i64, word: Option<&str>) {
        self.attributes.set_enum(attribute, id, word);
    }

    /// Sets `severity_id` and its name: 0 Unknown, 1 Informational, 2 Low, 3 Medium, 4 High, 5 Critical.
    pub fn set_severity(&mut self, id: i64) {
        self.set_enum("severity_id", id, None);
    }

    /// Whether an attribute of the class is set.
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.has(attribute)
    }

    /// The value of an attribute of the class.
    pub fn get(&self, attribute: &str) -> Option<&Value> {
        self.attributes.get(attribute)
    }

    /// `metadata`, for what a mapping knows better than the envelope, which fills only what is missing.
    pub fn metadata(&mut self) -> &mut Attributes {
        &mut self.metadata
    }

    /// Puts something into `unmapped` under a name of its own, besides what is left of the record.
    pub fn keep(&mut self, name: &str, value: impl Present) {
        if let Some(value) = value.present() {
            self.unmapped.insert(name.to_owned(), value);
        }
    }

    /// A text inside the event, by the names on the way there; lists are not entered.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        let mut value = self.attributes.get(first)?;
        for name in rest {
            value = value.get(name)?;
        }
        value.as_str()
    }

    /// The finished event: what is left of the record joins `unmapped`, profiles are declared, observables listed.
    pub fn finish(mut self, rest: Map<String, Value>, observables: bool) -> Value {
        for (name, value) in rest {
            self.unmapped.entry(name).or_insert(value);
        }
        let unmapped = std::mem::take(&mut self.unmapped);
        self.attributes.set("unmapped", Value::Object(unmapped));
        let severity = self.get("severity_id").and_then(Value::as_i64).unwrap_or(1);
        self.set_severity(severity);
        let mut walk = Walk { path: String::new(), observables: observables.then(Vec::new), profiles: vec!["cloud"] };
        if let Some(scope) = tables::scope(self.class.scope) {
            walk.object(scope, &self.attributes.map);
        }
        walk.profiles.sort_unstable();
        self.metadata.set("profiles", walk.profiles);
        self.attributes.set("observables", walk.observables);
        let metadata = std::mem::replace(&mut self.metadata, Attributes::of("metadata"));
        self.attributes.set("metadata", metadata);
        Value::Object(self.attributes.map)
    }
}

/// Most observables of one event; a record that lists thousands of addresses lists them in its attributes anyway.
const MAX_OBSERVABLES: usize = 200;
/// The tenant and the record's own hash are in every event, so they tell nothing.
const NOT_OBSERVED: [&str; 4] = ["cloud", "metadata", "raw_data_hash", "unmapped"];

/// The walk over a finished event along the schema: which profiles are used, and what is observable.
struct Walk {
    path: String,
    observables: Option<Vec<Value>>,
    profiles: Vec<&'static str>,
}

impl Walk {
    fn object(&mut self, scope: usize, attributes: &Map<String, Value>) {
        let mut marks = tables::scopes()[scope].marks.iter().peekable();
        // Both sides are sorted by name.
        for (name, value) in attributes {
            while marks.next_if(|m| m.attribute < name.as_str()).is_some() {}
            if let Some(mark) = marks.next_if(|m| m.attribute == name) {
                self.attribute(mark, value);
            }
        }
    }

    fn attribute(&mut self, mark: &'static Mark, value: &Value) {
        if !mark.profile.is_empty() && !self.profiles.contains(&mark.profile) {
            self.profiles.push(mark.profile);
        }
        if self.path.is_empty() && NOT_OBSERVED.contains(&mark.attribute) {
            return;
        }
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(mark.attribute);
        let items = if let Value::Array(items) = value { items.as_slice() } else { std::slice::from_ref(value) };
        for item in items {
            match (item, mark.object) {
                (Value::Object(attributes), Some(scope)) => self.object(scope, attributes),
                (Value::Object(_), None) => {}
                (scalar, None) if mark.observable != 0 => self.observe(mark.observable, scalar),
                _ => {}
            }
        }
        self.path.truncate(length);
    }

    fn observe(&mut self, type_id: u8, value: &Value) {
        let Some(list) = &mut self.observables else { return };
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let listed = |o: &Value| o["name"].as_str() == Some(&self.path) && o["value"].as_str() == Some(&text);
        if list.len() >= MAX_OBSERVABLES || list.iter().any(listed) {
            return;
        }
        let mut observable = Attributes::of("observable");
        observable.set("name", self.path.as_str());
        observable.set_enum("type_id", i64::from(type_id), None);
        observable.map.insert("value".to_owned(), Value::String(text));
        list.push(Value::Object(observable.map));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_never_written() {
        let mut user = Attributes::of("user");
        user.set("name", " ");
        user.set("uid", None::<&str>);
        user.set("account", Attributes::of("account"));
        user.set("groups", Vec::<Attributes>::new());
        assert!(user.is_empty());
    }

    #[test]
    fn names_profiles_and_observables_follow_from_the_numbers_and_attributes() {
        let mut event = Event::new(3002, 1, "Sign-in activity");
        event.set_enum("disposition_id", 2, None);
        event.set_enum("status_id", 99, Some("Interrupted"));
        let mut user = Attributes::of("user");
        user.set("name", "alice@contoso.com");
        event.set("user", user);
        let event = event.finish(Map::new(), true);
        assert_eq!(event["type_uid"], json!(300_201));
        assert_eq!(event["type_name"], json!("Authentication: Logon"));
        assert_eq!(event["disposition"], json!("Blocked"));
        assert_eq!(event["status"], json!("Interrupted"));
        assert_eq!(event["metadata"]["profiles"], json!(["cloud", "security_control"]));
        assert_eq!(
            event["observables"],
            json!([{"name": "user.name", "type_id": 4, "type": "User Name", "value": "alice@contoso.com"}])
        );
    }
}
