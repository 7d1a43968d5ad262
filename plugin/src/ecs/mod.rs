//! OCSF events as documents of the Elastic Common Schema.
//!
//! Invariant: every value of the event is in the document, in a field of ECS that means the same, or under `m365` at its OCSF path; and
//! a field of ECS has the type that ECS gives it. The one thing left out is `observables`, a list of values that the event has elsewhere:
//! those that ECS collects are under `related`.
//!
//! The way of an event: it is parsed once more; the lines of `tables/fields.tsv` for its class are gone through in order, each taking what
//! it finds into a flat list of fields; `tables/kinds.tsv` says what kind of event it is; [`source::write_rest`] writes what nobody took.
//!
//! To map something else, add a line to the tables. The build says what is wrong with it.

mod convert;
mod source;
mod tables;

use std::borrow::Cow;

use crate::normalize::event::{Members, Value};
use crate::normalize::record::{Node, Object};
use bumpalo::Bump;

use crate::normalize::{json, parse, write};
use convert::Document;
use m365_schemas::ecs::ROOT;

/// Deepest nesting of an event: four times that of a record, since JSON inside of text is untangled three times, and the event's own.
const MAX_DEPTH: u16 = 4 * 64 + 16;

/// Writes the document of an event as one line, without the line break.
///
/// # Errors
/// A sentence, if the text is no event that the normaliser writes: no JSON object, without `class_uid` or `time`, or of a class that it
/// doesn't use. What `out` holds behind its earlier length is then void.
pub fn document(event: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let arena = Bump::new();
    let node = parse::parse_deep(event, &arena, MAX_DEPTH).map_err(|e| format!("the event is not JSON: {e}"))?;
    let Node::Object(event) = &node else { return Err(format!("the event is {} instead of an object", node.kind())) };
    let class_uid = event.peek_int("class_uid").ok_or("the event has no class_uid")?;
    let lines = tables::lines(class_uid).ok_or_else(|| format!("events of class {class_uid} have no place in ECS"))?;
    let mut document = Document::default();
    lines.filter(|line| line.when.holds(event)).for_each(|line| document.follow(event, line));
    if document.get("@timestamp").is_none() {
        return Err("the event has no time".to_owned());
    }
    kind(&mut document, event, class_uid);
    related(&mut document, event);

    let start = out.len();
    write::free(out, &Value::Open(nested(document.into_fields())));
    // The rest goes in before the end of the document.
    out.pop();
    let end = out.len();
    json::short(out, b",\"");
    json::short(out, ROOT.as_bytes());
    json::short(out, b"\":");
    if !source::write_rest(&node, out) {
        out.truncate(end);
    }
    out.push(b'}');
    debug_assert!(out[start..].starts_with(b"{"));
    Ok(())
}

/// `event.kind`, `event.category` and `event.type`.
fn kind(document: &mut Document<'_>, event: &Object<'_>, class_uid: i64) {
    let activity = event.peek_int("activity_id").unwrap_or(0);
    let mut kind = "event";
    for line in tables::kinds(class_uid) {
        if (line.activities.is_empty() || line.activities.contains(&activity)) && line.when.holds(event) {
            kind = line.kind.unwrap_or(kind);
            line.categories.iter().for_each(|word| document.append("event.category", Value::Text(Cow::Borrowed(word))));
            line.types.iter().for_each(|word| document.append("event.type", Value::Text(Cow::Borrowed(word))));
        }
    }
    document.put("event.kind", Value::Text(Cow::Borrowed(kind)));
}

/// `related` out of the observables, which are left out themselves.
fn related<'e>(document: &mut Document<'e>, event: &'e Object<'e>) {
    let Some(observables) = event.take("observables") else { return };
    for observable in observables.items().iter().filter_map(Node::as_object) {
        let field = observable.peek_int("type_id").and_then(tables::related);
        if let (Some((field, kind)), Some(value)) = (field, observable.peek("value"))
            && let Some(value) = convert::plain(value, kind)
        {
            document.append(field, value);
        }
    }
}

/// Fields of dotted names as objects in objects.
fn nested<'e>(mut fields: Vec<(&'static str, Value<'e>)>) -> Members<'e> {
    // Names with a common beginning come together.
    fields.sort_unstable_by_key(|(name, _)| *name);
    below(&mut fields.into_iter().peekable(), 0)
}

type Fields<'e> = std::iter::Peekable<std::vec::IntoIter<(&'static str, Value<'e>)>>;

/// The fields that share their first `depth` bytes, as an object.
fn below<'e>(fields: &mut Fields<'e>, depth: usize) -> Members<'e> {
    let mut members = Members::default();
    let Some(prefix) = fields.peek().map(|(name, _)| &name[..depth]) else { return members };
    while let Some((name, value)) = fields.next_if(|(name, _)| name.starts_with(prefix)) {
        let rest = &name[depth..];
        match rest.split_once('.') {
            None => members.push(Cow::Borrowed(rest), value),
            Some((step, _)) => {
                // It is the first field of an object.
                let end = depth + step.len() + 1;
                let others = std::iter::from_fn(|| fields.next_if(|(other, _)| other.starts_with(&name[..end])));
                let rest: Vec<_> = std::iter::once((name, value)).chain(others).collect();
                members.push(Cow::Borrowed(step), Value::Open(below(&mut rest.into_iter().peekable(), end)));
            }
        }
    }
    members
}
