//! Writing an event: one walk along the schema that checks every value, writes it, and collects what follows from the attributes,
//! which is the observables and the profiles.
//!
//! Invariant: what is written passes `events/ocsf.schema.json`; if a value doesn't, the walk ends with the place and the reason, and
//! what was written until then is void. The tables that it checks by are made from that schema.

use std::ops::Range;

use m365_schemas::event::{self, Attribute, Definition, Kind, Property, attr, object};

use super::event::{Attributes, Event, Value};
use super::json;

/// Most observables of one event; a record that lists thousands of addresses lists them in its attributes anyway.
const MAX_OBSERVABLES: usize = 200;
/// How deep observables are looked for; events of real records are five deep.
const MAX_STEPS: usize = 8;

/// Why an event is refused: where, and what is wrong there. It names no values.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault(Box<Place>);

/// The reason of a fault of which only the size is the cause.
const TOO_LARGE: &str = "it and what is before it take too many bytes";

#[derive(Debug, PartialEq, Eq)]
struct Place {
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
        Self(Box::new(Place { path: Vec::new(), reason: reason.into() }))
    }

    /// Whether the event has no other fault than that it is too large.
    pub fn is_of_size(&self) -> bool {
        self.0.reason == TOO_LARGE
    }

    #[cold]
    fn at(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("at ")?;
        if self.0.path.is_empty() {
            f.write_str("the top level")?;
        }
        for step in self.0.path.iter().rev() {
            match step {
                Step::Attribute(attribute) => write!(f, "/{}", attribute.name())?,
                Step::Item(index) => write!(f, "/{index}")?,
            }
        }
        write!(f, ": {}", self.0.reason)
    }
}

/// Attributes that many events share: checked and written once, copied into each. No observables are looked for in them.
#[derive(Debug)]
struct Shared {
    definition: &'static Definition,
    present: u64,
    profiles: u16,
    /// The members of the object, without its braces.
    members: Vec<u8>,
}

impl Shared {
    /// Checks the attributes one by one and writes them. Whether all are there that the object needs shows where it is used.
    ///
    /// # Errors
    /// If one of them doesn't pass its schema.
    fn new(attributes: &Attributes<'_>) -> Result<Self, Fault> {
        let mut members = vec![b'{'];
        let mut writer = Writer::new(&mut members, false);
        writer.members(attributes)?;
        let profiles = writer.profiles;
        members.remove(0);
        Ok(Self { definition: attributes.definition(), present: attributes.present(), profiles, members })
    }
}

/// What many events of one batch share.
#[derive(Debug)]
pub struct Envelope {
    cloud: Shared,
    metadata: Shared,
    product: Shared,
}

impl Envelope {
    /// From `cloud`, the attributes of `metadata` that no event has otherwise, and its `product`, for events that name no other.
    ///
    /// # Errors
    /// If one of them doesn't pass its schema.
    pub fn new(cloud: &Attributes<'_>, metadata: &Attributes<'_>, product: Attributes<'_>) -> Result<Self, Fault> {
        let mut with_product = Attributes::of(&object::METADATA);
        with_product.set(attr::PRODUCT, product);
        let within = |attribute| move |fault: Fault| fault.at(Step::Attribute(attribute));
        Ok(Self {
            cloud: Shared::new(cloud).map_err(within(attr::CLOUD))?,
            metadata: Shared::new(metadata).map_err(within(attr::METADATA))?,
            product: Shared::new(&with_product).map_err(within(attr::METADATA))?,
        })
    }
}

/// Writes an event as one line, without the line break. `limit` is how long `out` may get.
///
/// # Errors
/// If the event doesn't pass its schema, or is too large. What `out` holds behind its earlier length is then void.
pub fn event(
    event: Event<'_>,
    envelope: &Envelope,
    observables: bool,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Event { class, activity_id, mut attributes, mut metadata, unmapped } = event;
    let definition = class.definition;
    attributes.set(attr::UNMAPPED, unmapped);
    let Some(head) = class.head(activity_id) else { return Err(Fault::new("the class has no such activity")) };
    let mut present = class.head_attributes();
    if attributes.present() & present != 0 {
        return Err(Fault::new("class, activity and type follow from the activity, and one of them is set besides"));
    }
    let mut writer = Writer::new(out, observables);
    writer.limit = limit;
    writer.out.push(b'{');
    writer.out.extend_from_slice(head.members.as_bytes());
    writer.members(&attributes)?;
    present |= attributes.present();
    present |= writer.shared(definition, attr::CLOUD, &[&envelope.cloud], None)?;
    if !writer.observed.is_empty() {
        present |= bit(definition, attr::OBSERVABLES)?;
        writer.list_observables()?;
    }
    let product = (!metadata.has(attr::PRODUCT)).then_some(&envelope.product);
    let parts: Vec<&Shared> = [Some(&envelope.metadata), product].into_iter().flatten().collect();
    metadata.set(attr::PROFILES, event::profiles(writer.profiles).collect::<Vec<&str>>());
    present |= writer.shared(definition, attr::METADATA, &parts, Some(&metadata))?;
    writer.out.push(b'}');
    definition.check_presence(present).map_err(Fault::new)
}

/// The bit of an attribute in its definition's masks.
fn bit(definition: &Definition, attribute: Attribute) -> Result<u64, Fault> {
    match definition.place(attribute) {
        Some(place) => Ok(1 << place),
        None => Err(Fault::new(format!("`{}` is no attribute of {}", attribute.name(), definition.name))),
    }
}

/// The walk over one event.
struct Writer<'w> {
    out: &'w mut Vec<u8>,
    path: Path,
    /// Whether the walk is where observables are looked for.
    observing: bool,
    observed: Vec<Observed>,
    /// The profiles of the attributes, as bits.
    profiles: u16,
    /// How long `out` may get. Checked between the items of lists, which is where events grow beyond their records.
    limit: usize,
}

/// The attributes on the way to where the walk is. What is behind the last step is always the same, so that paths can be compared whole.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Path {
    steps: [Attribute; MAX_STEPS],
    depth: usize,
}

impl Path {
    const TOP: Self = Self { steps: [attr::UNMAPPED; MAX_STEPS], depth: 0 };

    fn enter(&mut self, attribute: Attribute) {
        if let Some(step) = self.steps.get_mut(self.depth) {
            *step = attribute;
        }
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.depth -= 1;
        if let Some(step) = self.steps.get_mut(self.depth) {
            *step = attr::UNMAPPED;
        }
    }
}

struct Observed {
    path: Path,
    type_id: u8,
    /// Where the value stands in what was written.
    value: Range<usize>,
}

impl<'w> Writer<'w> {
    fn new(out: &'w mut Vec<u8>, observables: bool) -> Self {
        Self {
            out,
            path: Path::TOP,
            observing: observables,
            observed: Vec::with_capacity(if observables { 32 } else { 0 }),
            profiles: 0,
            limit: usize::MAX,
        }
    }

    fn key(&mut self, attribute: Attribute) {
        self.comma();
        let (length, padded) = attribute.key();
        json::first(self.out, padded, length);
    }

    fn comma(&mut self) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
    }

    fn object(&mut self, attributes: &Attributes<'_>) -> Result<(), Fault> {
        self.out.push(b'{');
        self.members(attributes)?;
        self.out.push(b'}');
        attributes.definition().check_presence(attributes.present()).map_err(Fault::new)
    }

    fn members(&mut self, attributes: &Attributes<'_>) -> Result<(), Fault> {
        if let Some(attribute) = attributes.foreign() {
            let name = attributes.definition().name;
            return Err(Fault::new(format!("`{}` is no attribute of {name}", attribute.name())));
        }
        for (property, value) in attributes.iter() {
            // Most attributes are text of any content.
            if let (Value::Text(text), Kind::Text, false) = (value, &property.kind, property.list) {
                let start = json::member(self.out, property.attribute.key(), text);
                self.profiles |= property.profile;
                self.observe(property, start);
                continue;
            }
            self.key(property.attribute);
            self.property(property, value).map_err(|fault| fault.at(Step::Attribute(property.attribute)))?;
        }
        Ok(())
    }

    /// Writes an object of which parts were written before, as an attribute of the class; gives its bit.
    fn shared(
        &mut self,
        class: &Definition,
        attribute: Attribute,
        parts: &[&Shared],
        own: Option<&Attributes<'_>>,
    ) -> Result<u64, Fault> {
        let bit = bit(class, attribute)?;
        let Some(Property { kind: Kind::Object(definition), profile, .. }) = class.property(attribute) else {
            return Err(Fault::new("it must be no object").at(Step::Attribute(attribute)));
        };
        self.profiles |= profile;
        let observing = std::mem::replace(&mut self.observing, false);
        self.key(attribute);
        self.out.push(b'{');
        let mut present = 0;
        for part in parts {
            if present & part.present != 0 || !std::ptr::eq(*definition, part.definition) {
                return Err(Fault::new("what events share doesn't fit here").at(Step::Attribute(attribute)));
            }
            present |= part.present;
            self.profiles |= part.profiles;
            if !part.members.is_empty() {
                self.comma();
                self.out.extend_from_slice(&part.members);
            }
        }
        if let Some(own) = own {
            if present & own.present() != 0 || !std::ptr::eq(*definition, own.definition()) {
                return Err(Fault::new("what events share is set besides").at(Step::Attribute(attribute)));
            }
            present |= own.present();
            self.members(own).map_err(|fault| fault.at(Step::Attribute(attribute)))?;
        }
        self.out.push(b'}');
        self.observing = observing;
        definition.check_presence(present).map_err(|absence| Fault::new(absence).at(Step::Attribute(attribute)))?;
        Ok(bit)
    }

    fn property(&mut self, property: &'static Property, value: &Value<'_>) -> Result<(), Fault> {
        self.profiles |= property.profile;
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
            if self.out.len() > self.limit {
                return Err(Fault::new(TOO_LARGE).at(Step::Item(index)));
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn value(&mut self, property: &'static Property, value: &Value<'_>) -> Result<(), Fault> {
        let start = self.out.len();
        match (value, &property.kind) {
            (Value::Text(text), kind) if kind.takes_text(text) => {
                json::text(self.out, text);
                self.observe(property, start);
            }
            (Value::Object(attributes), Kind::Object(definition))
                if std::ptr::eq(*definition, attributes.definition()) =>
            {
                let observing = self.observing;
                // The record's own hash is in every event, so it tells nothing.
                self.observing &= property.attribute != attr::RAW_DATA_HASH;
                self.path.enter(property.attribute);
                self.object(attributes)?;
                self.path.leave();
                self.observing = observing;
            }
            (Value::Int(number), kind) if kind.takes_integer(*number) => {
                json::integer(self.out, *number);
                self.observe(property, start);
            }
            (Value::Bool(flag), Kind::Boolean) => json::boolean(self.out, *flag),
            (Value::Float(number), Kind::Number) => json::float(self.out, *number),
            (Value::UInt(number), Kind::Integer | Kind::Number) => json::unsigned(self.out, *number),
            (_, Kind::Any) | (Value::Open(_), Kind::Open) => free(self.out, value),
            _ => return Err(Fault::new(format!("it must be {}", property.kind.name()))),
        }
        Ok(())
    }

    /// Notes a value that OCSF calls observable, once under each name; it was written last.
    #[inline]
    fn observe(&mut self, property: &Property, start: usize) {
        if property.observable == 0
            || !self.observing
            || self.observed.len() >= MAX_OBSERVABLES
            || self.path.depth >= MAX_STEPS
        {
            return;
        }
        let mut path = self.path;
        path.enter(property.attribute);
        let value = start..self.out.len();
        let text = &self.out[value.clone()];
        if !self.observed.iter().any(|o| o.path == path && self.out[o.value.clone()] == *text) {
            self.observed.push(Observed { path, type_id: property.observable, value });
        }
    }

    fn list_observables(&mut self) -> Result<(), Fault> {
        self.key(attr::OBSERVABLES);
        let mut before = b'[';
        for Observed { path, type_id, value } in std::mem::take(&mut self.observed) {
            let Some(kind) = event::observable(type_id) else {
                return Err(Fault::new("OCSF knows no observable of this type").at(Step::Attribute(attr::OBSERVABLES)));
            };
            self.out.push(before);
            json::short(self.out, b"{\"name\":\"");
            for (index, step) in path.steps[..path.depth].iter().enumerate() {
                if index > 0 {
                    self.out.push(b'.');
                }
                json::short(self.out, step.name().as_bytes());
            }
            json::short(self.out, kind.as_bytes());
            // Values are text, also those of attributes that are numbers.
            let is_text = self.out[value.start] == b'"';
            if !is_text {
                self.out.push(b'"');
            }
            json::again(self.out, value);
            if !is_text {
                self.out.push(b'"');
            }
            self.out.push(b'}');
            before = b',';
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
            let members = attributes.iter().map(|(property, value)| (property.attribute.name(), value));
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
        let mut cloud = Attributes::of(&object::CLOUD);
        cloud.set(attr::PROVIDER, "Microsoft");
        let mut product = Attributes::of(&object::PRODUCT);
        product.set(attr::VENDOR_NAME, "Microsoft");
        product.set(attr::NAME, "Microsoft Entra ID");
        let mut metadata = Attributes::of(&object::METADATA);
        metadata.set(attr::VERSION, "1.8.0");
        let envelope = Envelope::new(&cloud, &metadata, product).unwrap();
        let mut out = Vec::new();
        super::event(event, &envelope, true, usize::MAX, &mut out).map_err(|fault| fault.to_string())?;
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
        event.set(attr::TIME, 1);
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
            "at the top level: class, activity and type follow from the activity, and one of them is set besides"
        );
        assert_eq!(refused(|e| e.activity_id = 98), "at the top level: the class has no such activity");
        assert_eq!(
            refused(|e| e.metadata().set(attr::VERSION, "1.9.0")),
            "at /metadata: what events share is set besides"
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
