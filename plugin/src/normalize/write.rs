//! Writing an event: one walk along the schema that checks every value, writes it, and collects what follows from the attributes,
//! which is the observables and the profiles.
//!
//! Invariant: what is written passes `events/ocsf.schema.json`; if a value doesn't, the walk ends with the place and the reason, and
//! what was written until then is void. The tables that it checks by are made from that schema.

use std::borrow::Cow;
use std::ops::Range;

use m365_schemas::event::{Attribute, Definition, Kind, Property, attr, object};

use super::event::{Attributes, Event, Value};
use super::json;

/// Most observables of one event; a record that lists thousands of addresses lists them in its attributes anyway.
const MAX_OBSERVABLES: usize = 200;
/// The tenant and the record's own hash are in every event, so they tell nothing.
const NOT_OBSERVED: [Attribute; 3] = [attr::CLOUD, attr::METADATA, attr::RAW_DATA_HASH];

/// Why an event is refused: where, and what is wrong there. It names no values.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The steps to the place, the last one first.
    path: Vec<Step>,
    reason: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Attribute(Attribute),
    Item(usize),
}

impl Fault {
    #[cold]
    fn new(reason: impl Into<String>) -> Self {
        Self { path: Vec::new(), reason: reason.into() }
    }

    #[cold]
    fn at(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("at ")?;
        if self.path.is_empty() {
            f.write_str("the top level")?;
        }
        for step in self.path.iter().rev() {
            match step {
                Step::Attribute(attribute) => write!(f, "/{}", attribute.name())?,
                Step::Item(index) => write!(f, "/{index}")?,
            }
        }
        write!(f, ": {}", self.reason)
    }
}

/// Writes an event as one line, without the line break.
///
/// # Errors
/// If the event doesn't pass its schema. What `out` holds behind its earlier length is then void.
pub fn event(event: Event<'_>, observables: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    let Event { class, mut attributes, mut metadata, unmapped } = event;
    attributes.set(attr::UNMAPPED, unmapped);
    check_activity(&attributes)?;
    let mut writer = Writer::new(out, observables);
    writer.out.push(b'{');
    let mut present = writer.members(&attributes)?;
    if !writer.observed.is_empty() {
        present |= bit(class.definition, attr::OBSERVABLES)?;
        writer.list_observables()?;
    }
    writer.profiles.sort_unstable();
    metadata.set(attr::PROFILES, std::mem::take(&mut writer.profiles));
    let mut last = Attributes::of(class.definition);
    last.set(attr::METADATA, metadata);
    present |= writer.members(&last)?;
    writer.out.push(b'}');
    class.definition.check_presence(present).map_err(Fault::new)
}

/// Whether the activity and the type of an event of a class go together.
fn check_activity(attributes: &Attributes<'_>) -> Result<(), Fault> {
    let number = |attribute| attributes.get(attribute).and_then(Value::as_int).unwrap_or(-1);
    if attributes.definition().check_activity(number(attr::ACTIVITY_ID), number(attr::TYPE_UID)) {
        return Ok(());
    }
    Err(Fault::new("activity_id and type_uid don't go together"))
}

/// The bit of an attribute in its definition's masks.
fn bit(definition: &Definition, attribute: Attribute) -> Result<u64, Fault> {
    match definition.place(attribute) {
        Some(place) => Ok(1 << place),
        None => Err(Fault::new(format!("`{}` is no attribute of {}", attribute.name(), definition.name))),
    }
}

/// The walk over one event.
struct Writer<'w, 'e> {
    out: &'w mut Vec<u8>,
    /// The attributes on the way to where the walk is.
    path: Vec<Attribute>,
    /// The dotted paths of the observables, one behind the other.
    names: String,
    /// Whether observables are wanted at all.
    observables: bool,
    /// Whether the walk is where they are looked for.
    observing: bool,
    observed: Vec<Observed<'e>>,
    profiles: Vec<&'static str>,
}

struct Observed<'e> {
    name: Range<usize>,
    type_id: u8,
    value: Cow<'e, str>,
}

impl<'w, 'e> Writer<'w, 'e> {
    fn new(out: &'w mut Vec<u8>, observables: bool) -> Self {
        Self {
            out,
            path: Vec::with_capacity(8),
            names: String::with_capacity(512),
            observables,
            observing: observables,
            observed: Vec::with_capacity(16),
            profiles: vec!["cloud"],
        }
    }

    fn key(&mut self, attribute: Attribute) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        let (length, padded) = attribute.key();
        let end = self.out.len() + length;
        self.out.extend_from_slice(padded);
        self.out.truncate(end);
    }

    fn object(&mut self, attributes: &'e Attributes<'_>) -> Result<(), Fault> {
        self.out.push(b'{');
        let present = self.members(attributes)?;
        self.out.push(b'}');
        attributes.definition().check_presence(present).map_err(Fault::new)
    }

    /// Writes the attributes and gives their bits.
    fn members(&mut self, attributes: &'e Attributes<'_>) -> Result<u64, Fault> {
        if let Some(attribute) = attributes.foreign() {
            let name = attributes.definition().name;
            return Err(Fault::new(format!("`{}` is no attribute of {name}", attribute.name())));
        }
        let mut present = 0;
        for (bit, property, value) in attributes.iter() {
            present |= bit;
            self.key(property.attribute);
            self.property(property, value).map_err(|fault| fault.at(Step::Attribute(property.attribute)))?;
        }
        Ok(present)
    }

    fn property(&mut self, property: &'static Property, value: &'e Value<'_>) -> Result<(), Fault> {
        if self.path.is_empty() {
            self.observing = self.observables && !NOT_OBSERVED.contains(&property.attribute);
        }
        if !property.profile.is_empty() && !self.profiles.contains(&property.profile) {
            self.profiles.push(property.profile);
        }
        if !property.list {
            return self.value(property, value);
        }
        let Value::List(items) = value else { return Err(Fault::new("it must be a list")) };
        self.out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(property, item).map_err(|fault| fault.at(Step::Item(index)))?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn value(&mut self, property: &'static Property, value: &'e Value<'_>) -> Result<(), Fault> {
        match (value, &property.kind) {
            (Value::Text(text), kind) if kind.takes_text(text) => {
                json::text(self.out, text);
                self.observe(property, || Cow::Borrowed(text));
            }
            (Value::Object(attributes), Kind::Object(definition))
                if std::ptr::eq(*definition, attributes.definition()) =>
            {
                self.path.push(property.attribute);
                self.object(attributes)?;
                self.path.pop();
            }
            (Value::Int(number), kind) if kind.takes_integer(*number) => {
                json::integer(self.out, *number);
                self.observe(property, || Cow::Owned(number.to_string()));
            }
            (Value::Bool(flag), Kind::Boolean) => json::boolean(self.out, *flag),
            (Value::Float(number), Kind::Number) => json::float(self.out, *number),
            (Value::UInt(number), Kind::Integer | Kind::Number) => json::unsigned(self.out, *number),
            (_, Kind::Any) | (Value::Open(_), Kind::Open) => free(self.out, value),
            _ => return Err(Fault::new(format!("it must be {}", property.kind.name()))),
        }
        Ok(())
    }

    /// Notes a value that OCSF calls observable, once under each name.
    #[inline]
    fn observe(&mut self, property: &Property, value: impl FnOnce() -> Cow<'e, str>) {
        if property.observable == 0 || !self.observing || self.observed.len() >= MAX_OBSERVABLES {
            return;
        }
        let start = self.names.len();
        for step in &self.path {
            self.names.push_str(step.name());
            self.names.push('.');
        }
        self.names.push_str(property.attribute.name());
        let (name, value) = (start..self.names.len(), value());
        let names = &self.names;
        if self.observed.iter().any(|o| o.value == value && names[o.name.clone()] == names[name.clone()]) {
            self.names.truncate(start);
        } else {
            self.observed.push(Observed { name, type_id: property.observable, value });
        }
    }

    fn list_observables(&mut self) -> Result<(), Fault> {
        let definition = &object::OBSERVABLE;
        let mut present = 0;
        for attribute in [attr::NAME, attr::TYPE_ID, attr::TYPE, attr::VALUE] {
            present |= bit(definition, attribute)?;
        }
        definition.check_presence(present).map_err(Fault::new)?;
        self.key(attr::OBSERVABLES);
        for (index, observed) in self.observed.iter().enumerate() {
            let type_id = i64::from(observed.type_id);
            let kind = definition.property(attr::TYPE_ID).filter(|property| property.kind.takes_integer(type_id));
            let Some(caption) = kind.and_then(|property| property.caption(type_id)) else {
                return Err(Fault::new("OCSF knows no observable of this type").at(Step::Attribute(attr::OBSERVABLES)));
            };
            self.out.push(if index == 0 { b'[' } else { b',' });
            json::short(self.out, b"{\"name\":\"");
            json::short(self.out, self.names[observed.name.clone()].as_bytes());
            json::short(self.out, b"\",\"type_id\":");
            json::integer(self.out, type_id);
            json::short(self.out, b",\"type\":");
            json::text(self.out, caption);
            json::short(self.out, b",\"value\":");
            json::text(self.out, &observed.value);
            self.out.push(b'}');
        }
        self.out.push(b']');
        Ok(())
    }
}

/// Writes what the schema leaves free.
pub fn free(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Bool(flag) => json::boolean(out, *flag),
        Value::Int(number) => json::integer(out, *number),
        Value::UInt(number) => json::unsigned(out, *number),
        Value::Float(number) => json::float(out, *number),
        Value::Text(text) => json::text(out, text),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                free(out, item);
            }
            out.push(b']');
        }
        Value::Object(attributes) => {
            let members = attributes.iter().map(|(_, property, value)| (property.attribute.name(), value));
            free_members(out, members);
        }
        Value::Open(members) => free_members(out, members.iter().map(|(name, value)| (name.as_ref(), value))),
    }
}

fn free_members<'v, 'r: 'v>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'v str, &'v Value<'r>)>) {
    out.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::text(out, name);
        out.push(b':');
        free(out, value);
    }
    out.push(b'}');
}

/// A value of free content as JSON text.
pub fn to_json(value: &Value<'_>) -> String {
    let mut out = Vec::new();
    free(&mut out, value);
    // The writer copies text and adds ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// What would be written of something; `null` for nothing.
#[cfg(test)]
pub fn shown<'r>(value: impl super::event::Present<'r>) -> serde_json::Value {
    value.present().map_or(serde_json::Value::Null, |value| serde_json::from_str(&to_json(&value)).unwrap())
}

#[cfg(test)]
#[path = "write_like_the_schema_tests.rs"]
mod like_the_schema;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(event: Event<'_>) -> Result<serde_json::Value, String> {
        let mut out = Vec::new();
        super::event(event, true, &mut out).map_err(|fault| fault.to_string())?;
        Ok(serde_json::from_slice(&out).unwrap())
    }

    fn sign_in() -> Event<'static> {
        let mut event = Event::new(3002, 1, "Sign-in activity");
        event.set_severity(1);
        let mut user = Attributes::of(&object::USER);
        user.set(attr::NAME, "alice@contoso.com");
        event.set(attr::USER, user);
        let mut service = Attributes::of(&object::SERVICE);
        service.set(attr::NAME, "Office 365");
        event.set(attr::SERVICE, service);
        let mut cloud = Attributes::of(&object::CLOUD);
        cloud.set(attr::PROVIDER, "Microsoft");
        event.set(attr::CLOUD, cloud);
        event.set(attr::TIME, 1);
        let mut product = Attributes::of(&object::PRODUCT);
        product.set(attr::VENDOR_NAME, "Microsoft");
        product.set(attr::NAME, "Microsoft Entra ID");
        event.metadata().set(attr::PRODUCT, product);
        event.metadata().set(attr::VERSION, "1.8.0");
        event
    }

    #[test]
    fn names_profiles_and_observables_follow_from_the_numbers_and_attributes() {
        let mut event = sign_in();
        event.set_enum(attr::DISPOSITION_ID, 2, None);
        event.set_enum(attr::STATUS_ID, 99, Some("Interrupted"));
        let event = written(event).unwrap();
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

    #[test]
    fn what_the_schema_refuses_is_named_with_its_place() {
        let refused = |change: fn(&mut Event<'static>)| {
            let mut event = sign_in();
            change(&mut event);
            written(event).unwrap_err()
        };
        let user = |change: fn(&mut Attributes<'static>)| {
            let mut user = Attributes::of(&object::USER);
            user.set(attr::NAME, "a");
            change(&mut user);
            user
        };
        assert_eq!(
            refused(|e| drop(e.attributes.remove(attr::SERVICE))),
            "at the top level: it needs at least one of service, dst_endpoint"
        );
        assert_eq!(refused(|e| drop(e.attributes.remove(attr::USER))), "at the top level: it lacks user");
        assert_eq!(
            refused(|e| e.set(attr::PRIVILEGES, vec!["a"])),
            "at the top level: `privileges` is no attribute of 3002"
        );
        assert_eq!(
            refused(|e| e.set(attr::TYPE_UID, 300_202)),
            "at the top level: activity_id and type_uid don't go together"
        );
        assert_eq!(
            refused(|e| e.set(attr::STATUS_ID, 98)),
            "at /status_id: it must be one of the numbers that OCSF lists"
        );
        assert_eq!(refused(|e| e.set(attr::TIME, "now")), "at /time: it must be a whole number");
        let mut event = sign_in();
        event.set(attr::USER, user(|user| user.set(attr::EMAIL_ADDR, "no address")));
        assert_eq!(written(event).unwrap_err(), "at /user/email_addr: it must be an e-mail address");
        let mut event = sign_in();
        event.set(attr::USER, Attributes::of(&object::SERVICE));
        let mut service = Attributes::of(&object::SERVICE);
        service.set(attr::NAME, "x");
        event.set(attr::USER, service);
        assert_eq!(written(event).unwrap_err(), "at /user: it must be an object");
    }
}
