//! Events of any class with any of its attributes, made from the schema of events.

use m365_schemas::event::{Class, Definition, Kind, Property, attr};
use serde_json::{Map, Value, json};

/// How deep objects nest.
const DEEPEST: usize = 6;

/// An event of a class. The same seed gives the same one.
pub fn of_class(class: &Class, seed: u64) -> Value {
    let mut maker = Maker { state: seed | 1, observables: Vec::new() };
    let mut event = maker.object(class.definition, 0);
    event.remove("observables");
    event.insert("class_uid".to_owned(), json!(class.uid));
    event.insert("time".to_owned(), json!(1_764_061_202_000_i64 + maker.below(1_000_000)));
    event.insert("severity_id".to_owned(), json!(maker.below(7)));
    let activities = class.definition.property(attr::ACTIVITY_ID).unwrap().captions;
    let activity = usize::try_from(maker.below(i64::try_from(activities.len()).unwrap())).unwrap();
    event.insert("activity_id".to_owned(), json!(activities[activity].0));
    let metadata = event.entry("metadata").or_insert_with(|| json!({}));
    for (name, value) in [("uid", "the uid"), ("event_code", "Operation"), ("log_name", "dataset")] {
        metadata[name] = json!(value);
    }
    if !maker.observables.is_empty() && class.definition.property(attr::OBSERVABLES).is_some() {
        let observables = std::mem::take(&mut maker.observables);
        event.insert("observables".to_owned(), Value::Array(observables));
    }
    Value::Object(event)
}

struct Maker {
    state: u64,
    observables: Vec<Value>,
}

impl Maker {
    /// A number from 0, below another one (xorshift).
    fn below(&mut self, end: i64) -> i64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        i64::try_from((self.state >> 11) % u64::try_from(end).unwrap()).unwrap()
    }

    fn object(&mut self, definition: &Definition, depth: usize) -> Map<String, Value> {
        let mut members = Map::new();
        for property in definition.properties {
            if self.below(10) < 4 {
                continue;
            }
            if let Some(value) = self.property(property, depth) {
                members.insert(property.attribute.name().to_owned(), value);
            }
        }
        members
    }

    fn property(&mut self, property: &Property, depth: usize) -> Option<Value> {
        if !property.list {
            return self.value(property, depth);
        }
        let mut items = Vec::new();
        for _ in 0..=self.below(3) {
            items.extend(self.value(property, depth));
            if self.below(4) == 0 {
                // The same one again.
                items.extend(items.last().cloned());
            }
        }
        (!items.is_empty()).then_some(Value::Array(items))
    }

    fn value(&mut self, property: &Property, depth: usize) -> Option<Value> {
        let value = match property.kind {
            Kind::Any | Kind::Open => return Some(self.open(depth)),
            Kind::Object(definition) => {
                let object = if depth < DEEPEST { self.object(definition, depth + 1) } else { Map::new() };
                return (!object.is_empty()).then_some(Value::Object(object));
            }
            Kind::Text => json!(self.text()),
            Kind::Email => json!(format!("u{}@contoso.com", self.below(9))),
            Kind::Address if self.below(2) == 0 => json!(format!("2001:db8::{:x}", 1 + self.below(9))),
            Kind::Address => json!(format!("192.0.2.{}", self.below(9))),
            Kind::Integer | Kind::Range(..) => match self.below(9) {
                0 => json!(i64::MAX - self.below(9)),
                1 => json!(i64::MIN + self.below(9)),
                2 => json!(-self.below(100_000_000_000_000)),
                _ => json!(self.below(2_000_000_000_000)),
            },
            Kind::Enumerated(..) => {
                let numbers: Vec<i64> = (0..500).filter(|n| property.kind.takes_integer(*n)).collect();
                let index = self.below(i64::try_from(numbers.len()).unwrap().max(1));
                json!(numbers.get(usize::try_from(index).unwrap())?)
            }
            Kind::Number => json!(self.below(40_000) as f64 / 128.0 - 150.0),
            Kind::Boolean => json!(self.below(2) == 0),
        };
        if property.observable > 0
            && let Some(text) = value.as_str()
        {
            self.observables.push(json!({
                "name": property.attribute.name(), "type_id": property.observable, "type": "x", "value": text
            }));
        }
        Some(value)
    }

    fn text(&mut self) -> String {
        match self.below(12) {
            0 => "CH".to_owned(),
            1 => "alice@contoso.com".to_owned(),
            2 => format!("https://contoso.sharepoint.com:443/sites/{}?web=1", self.below(99)),
            3 => "\u{1F600} \"quoted\"\n\\".to_owned(),
            4 => "://".to_owned(),
            _ => format!("text {}", self.below(1_000_000)),
        }
    }

    fn open(&mut self, depth: usize) -> Value {
        match self.below(8) {
            0 => json!(null),
            1 => json!(self.below(2) == 0),
            2 => json!(u64::MAX),
            3 => json!(self.below(1_000_000) as f64 / 7.0),
            4 if depth < DEEPEST => json!([self.open(depth + 1), self.open(depth + 1)]),
            5 | 6 if depth < DEEPEST => json!({"a.b": self.open(depth + 1), "@c": self.text(), "": 1}),
            _ => json!(self.text()),
        }
    }
}
