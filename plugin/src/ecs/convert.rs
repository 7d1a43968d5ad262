//! From what a line of the tables finds in an event to the fields of a document.
//!
//! Invariant: a field gets a value once; a later one that is equal counts as taken too, and one that differs stays in the event. An object
//! goes into a place whole: only where nothing is, or where what is there agrees with it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use super::source::{Found, find, find_one, same};
use super::tables::{How, Kind, Line, To};
use crate::normalize::event::{Members, Value};
use crate::normalize::record::{Node, Object};

/// The fields of a document, by their dotted names, in the order in which they came.
#[derive(Default)]
pub struct Document<'e> {
    fields: Vec<(&'static str, Value<'e>)>,
}

impl<'e> Document<'e> {
    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&Value<'e>> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    /// Sets a field that has no value yet. True if it has this value now.
    pub fn put(&mut self, field: &'static str, value: Value<'e>) -> bool {
        match self.get(field) {
            Some(earlier) => *earlier == value,
            None => {
                self.fields.push((field, value));
                true
            }
        }
    }

    /// Adds to a field that is a list, unless the value is there.
    pub fn append(&mut self, field: &'static str, value: Value<'e>) {
        let items = self.list(field);
        if !items.contains(&value) {
            items.push(value);
        }
    }

    /// As [`Document::append`], for values of which there can be thousands.
    fn extend(&mut self, field: &'static str, values: Vec<Value<'e>>) {
        let items = self.list(field);
        let mut texts: BTreeSet<&'e str> = items.iter().filter_map(borrowed).collect();
        let mut numbers: BTreeSet<i64> = items.iter().filter_map(Value::as_int).collect();
        for value in values {
            // Values that go into lists borrow their text or are numbers.
            let new = match (borrowed(&value), value.as_int()) {
                (Some(text), _) => texts.insert(text),
                (None, Some(number)) => numbers.insert(number),
                (None, None) => !items.contains(&value),
            };
            if new {
                items.push(value);
            }
        }
    }

    fn list(&mut self, field: &'static str) -> &mut Vec<Value<'e>> {
        let place = self.fields.iter().position(|(name, value)| *name == field && matches!(value, Value::List(_)));
        let place = place.unwrap_or_else(|| {
            self.fields.push((field, Value::List(Vec::new())));
            self.fields.len() - 1
        });
        match &mut self.fields[place].1 {
            Value::List(items) => items,
            _ => unreachable!("only a list is looked for, and a list is made"),
        }
    }

    /// All fields.
    pub fn into_fields(self) -> Vec<(&'static str, Value<'e>)> {
        self.fields
    }

    /// Does what a line says with an event, or with an object of a form.
    pub fn follow(&mut self, object: &'e Object<'e>, line: &Line) {
        if let How::Constant(field, text) = &line.how {
            self.put(field, Value::Text(Cow::Borrowed(text)));
            return;
        }
        if line.path.iter().any(|step| step.items) {
            let mut found = Vec::new();
            find(object, line.path, &mut found);
            if !found.is_empty() {
                self.convert(&found, &line.how);
            }
        } else if let Some(found) = find_one(object, line.path) {
            self.convert(std::slice::from_ref(&found), &line.how);
        }
    }

    fn convert(&mut self, found: &[Found<'e>], how: &How) {
        match how {
            How::Form(places) => self.form(found, places, true),
            How::CopyForm(place) => self.form(found, &[place], false),
            How::EachForm(field, members) => self.each(found, field, members),
            How::Hashes(fields) => found.iter().for_each(|found| self.hashes(found, fields)),
            How::Point(field) => found.iter().for_each(|found| self.point(found.node, field)),
            How::Url(fields) => self.url(found, fields),
            _ => self.values(found, how),
        }
    }

    /// Single values, of which a field that is no list takes one only.
    fn values(&mut self, found: &[Found<'e>], how: &How) {
        let Some((field, list)) = field(how) else { return };
        if let ([only], false) = (found, list)
            && !matches!(only.node, Node::Array(_))
        {
            if value(only.node, how).is_some_and(|value| self.put(field, value)) && !stays(how) {
                only.take();
            }
            return;
        }
        let mut values: Vec<Value<'e>> = Vec::new();
        for found in found {
            let own: Option<Vec<_>> = match found.node {
                Node::Array(items) => items.iter().map(|item| value(item, how)).collect(),
                node => value(node, how).map(|value| vec![value]),
            };
            // If one of several values doesn't fit, none of them goes.
            let Some(own) = own else { return };
            values.extend(own);
        }
        let Some(first) = values.first() else { return };
        if list {
            self.extend(field, values);
        } else if values.iter().any(|value| value != first) || !self.put(field, values.swap_remove(0)) {
            return;
        }
        if !stays(how) {
            found.iter().for_each(Found::take);
        }
    }

    /// An object, if it is one only. `take` says whether it goes nowhere else.
    fn form(&mut self, found: &[Found<'e>], places: &[&'static [Line]], take: bool) {
        let Some(objects) = objects(found) else { return };
        if found.iter().any(|other| !same(found[0].node, other.node)) {
            return;
        }
        let Some(place) = places.iter().find(|place| self.agrees(objects[0], place)) else { return };
        for object in objects {
            if take {
                place.iter().for_each(|line| self.follow(object, line));
            } else {
                self.copy(object, place);
            }
        }
    }

    /// Whether nothing is where an object goes, or what is there says the same in one thing at least and another in none.
    fn agrees(&self, object: &'e Object<'e>, place: &[Line]) -> bool {
        let (mut occupied, mut shared) = (false, false);
        let mut seen: Vec<&str> = Vec::with_capacity(place.len());
        for line in place {
            let How::Value(To { field, list: false, .. }) = &line.how else { continue };
            // Further lines for a field are for objects without what the first one names.
            if seen.contains(field) {
                continue;
            }
            let Some(own) = find_one(object, line.path).and_then(|found| value(found.node, &line.how)) else {
                continue;
            };
            seen.push(field);
            if let Some(earlier) = self.get(field) {
                occupied = true;
                if *earlier != own {
                    return false;
                }
                shared = true;
            }
        }
        let vacant = || !place.iter().any(|line| field(&line.how).is_some_and(|(field, _)| self.get(field).is_some()));
        shared || (!occupied && vacant())
    }

    /// Follows the lines of a form, but the object stays as it is.
    fn copy(&mut self, object: &'e Object<'e>, place: &[Line]) {
        // What would be taken now is no longer there for further lines.
        let mut gone: Vec<*const Node<'e>> = Vec::with_capacity(place.len());
        for line in place {
            let Some(node) = find_one(object, line.path).map(|found| found.node) else { continue };
            let Some((field, list)) = field(&line.how).filter(|_| !gone.contains(&std::ptr::from_ref(node))) else {
                continue;
            };
            let value = match &line.how {
                How::Point(_) => point(node).map(|(point, _)| point),
                how => value(node, how),
            };
            let Some(value) = value else { continue };
            if list {
                self.append(field, value);
            } else if !self.put(field, value) {
                continue;
            }
            if !stays(&line.how) {
                gone.push(node);
            }
        }
    }

    /// Every object as an item of a list.
    fn each(&mut self, found: &[Found<'e>], field: &'static str, members: &'static [Line]) {
        for object in objects(found).into_iter().flatten() {
            let mut item = Document::default();
            members.iter().for_each(|line| item.follow(object, line));
            let fields = item.into_fields();
            if !fields.is_empty() {
                self.list(field).push(Value::Open(super::nested(fields)));
            }
        }
    }

    /// Fingerprints. One goes whole, since the name of the field says what its algorithm is.
    fn hashes(&mut self, found: &Found<'e>, fields: &[(i64, &'static str)]) {
        for fingerprint in found.node.items().iter().filter_map(Node::as_object) {
            let id = fingerprint.peek_int("algorithm_id");
            let field = fields.iter().find(|(algorithm, _)| Some(*algorithm) == id).map(|(_, field)| *field);
            if let (Some(field), Some(Node::Str(text))) = (field, fingerprint.peek("value"))
                && !text.is_empty()
                && self.put(field, Value::Text(Cow::Borrowed(text)))
            {
                for name in ["algorithm", "algorithm_id", "value"] {
                    fingerprint.take(name);
                }
            }
        }
    }

    fn point(&mut self, node: &'e Node<'e>, field: &'static str) {
        if let (Node::Object(location), Some((point, names))) = (node, point(node))
            && self.put(field, point)
        {
            for name in names {
                location.take(name);
            }
        }
    }

    /// A web address, if it is one only; its parts are read from it.
    fn url(&mut self, found: &[Found<'e>], [full, domain, scheme, path]: &[&'static str; 4]) {
        let texts: Option<Vec<&'e str>> =
            found.iter().map(|found| found.node.as_str().filter(|text| !text.is_empty())).collect();
        let Some(texts) = texts else { return };
        let text = texts[0];
        if texts.iter().any(|other| *other != text) || !self.put(full, Value::Text(Cow::Borrowed(text))) {
            return;
        }
        found.iter().for_each(Found::take);
        let Some((scheme_of, rest)) = text.split_once("://") else { return };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => host,
        };
        let path_of = &behind[..behind.find(['?', '#']).unwrap_or(behind.len())];
        for (field, part) in [(domain, host), (scheme, scheme_of), (path, path_of)] {
            if !part.is_empty() {
                self.put(field, Value::Text(Cow::Borrowed(part)));
            }
        }
    }
}

/// All that was found as objects; none if something isn't one, or nothing was found.
fn objects<'e>(found: &[Found<'e>]) -> Option<Vec<&'e Object<'e>>> {
    let objects: Option<Vec<_>> = found.iter().map(|found| found.node.as_object()).collect();
    objects.filter(|objects| !objects.is_empty())
}

/// The text of a value that borrows it from the event.
fn borrowed<'e>(value: &Value<'e>) -> Option<&'e str> {
    match value {
        Value::Text(Cow::Borrowed(text)) => Some(text),
        _ => None,
    }
}

/// Whether the event keeps the value as well.
fn stays(how: &How) -> bool {
    matches!(how, How::Copy(_) | How::Lower(_) | How::Words(..))
}

/// The field that a single value goes to, and whether it is a list.
fn field(how: &How) -> Option<(&'static str, bool)> {
    match how {
        How::Value(to) | How::Copy(to) => Some((to.field, to.list)),
        How::Date(field) | How::Nanoseconds(field) | How::Lower(field) | How::Country(field) => Some((field, false)),
        How::Words(field, _) | How::Point(field) => Some((field, false)),
        _ => None,
    }
}

/// What becomes of a single value; nothing if it doesn't fit.
fn value<'e>(node: &'e Node<'e>, how: &How) -> Option<Value<'e>> {
    match (how, node) {
        (How::Value(to) | How::Copy(to), node) => plain(node, to.kind),
        (How::Date(_), Node::Int(ms)) => Some(date(*ms)),
        (How::Nanoseconds(_), Node::Int(ms)) => ms.checked_mul(1_000_000).map(Value::Int),
        (How::Lower(_), Node::Str(text)) if !text.is_empty() => Some(Value::Text(Cow::Owned(text.to_lowercase()))),
        (How::Country(_), Node::Str(text)) if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) => {
            Some(Value::Text(Cow::Borrowed(text)))
        }
        (How::Words(_, words), Node::Int(number)) => {
            words.iter().find(|(id, _)| id == number).map(|(_, word)| Value::Text(Cow::Borrowed(word)))
        }
        _ => None,
    }
}

/// A value as it is, if the field takes it.
pub fn plain<'e>(node: &'e Node<'e>, kind: Kind) -> Option<Value<'e>> {
    match (kind, node) {
        (Kind::Text, Node::Str(text)) if !text.is_empty() => Some(Value::Text(Cow::Borrowed(text))),
        (Kind::Ip, Node::Str(text)) if text.parse::<IpAddr>().is_ok() => Some(Value::Text(Cow::Borrowed(text))),
        (Kind::Long, Node::Int(number)) => Some(Value::Int(*number)),
        _ => None,
    }
}

/// Milliseconds since 1970 as a date in UTC. Years that four digits don't write stay a number, which Elasticsearch reads as well.
fn date<'e>(ms: i64) -> Value<'e> {
    /// The first of January of the year 0.
    const FIRST: i64 = -62_167_219_200_000;
    match Timestamp::from_millisecond(ms) {
        Ok(time) if ms >= FIRST => Value::Text(Cow::Owned(format!("{time:.3}"))),
        _ => Value::Int(ms),
    }
}

/// A location as a point, and the members that say where it is.
fn point<'e>(node: &Node<'e>) -> Option<(Value<'e>, [&'static str; 2])> {
    let location = node.as_object()?;
    let (lat, long) = (location.peek("lat")?.to_float()?, location.peek("long")?.to_float()?);
    if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&long) {
        return None;
    }
    let mut point = Members::default();
    point.push(Cow::Borrowed("lat"), Value::Float(lat));
    point.push(Cow::Borrowed("lon"), Value::Float(long));
    Some((Value::Open(point), ["lat", "long"]))
}
