//! Finding things in an event, and writing what nobody took of it.
//!
//! Invariant: a member is either taken, because a field of ECS holds its value now, or [`write_rest`] writes it.

use super::tables::{Step, When};
use crate::normalize::json;
use crate::normalize::record::{Member, Node, Object};

/// Something that a path leads to.
#[derive(Clone, Copy)]
pub struct Found<'e> {
    /// The value.
    pub node: &'e Node<'e>,
    /// The member that holds it; none for an item of a list.
    member: Option<&'e Member<'e>>,
}

impl Found<'_> {
    /// Says that a field of ECS holds the value now.
    pub fn take(&self) {
        if let Some(member) = self.member {
            member.take();
        }
    }
}

/// What a path without lists leads to, unless it was taken.
pub fn find_one<'e>(object: &'e Object<'e>, path: &[Step]) -> Option<Found<'e>> {
    let (last, way) = path.split_last()?;
    let mut object = object;
    for step in way {
        object = left(object, step)?.value.as_object()?;
    }
    let member = left(object, last)?;
    Some(Found { node: &member.value, member: Some(member) })
}

fn left<'e>(object: &'e Object<'e>, step: &Step) -> Option<&'e Member<'e>> {
    object.member(step.name).filter(|member| !member.is_taken())
}

/// Everything that a path leads to and that was not taken, in the order of the event.
pub fn find<'e>(object: &'e Object<'e>, path: &[Step], found: &mut Vec<Found<'e>>) {
    let Some((step, rest)) = path.split_first() else { return };
    let Some(member) = left(object, step) else { return };
    if step.items {
        for node in member.value.items() {
            match node {
                Node::Object(item) if !rest.is_empty() => find(item, rest, found),
                _ if rest.is_empty() => found.push(Found { node, member: None }),
                _ => {}
            }
        }
    } else if rest.is_empty() {
        found.push(Found { node: &member.value, member: Some(member) });
    } else if let Node::Object(inner) = &member.value {
        find(inner, rest, found);
    }
}

impl When {
    /// Whether it holds of an event. What was taken counts as well.
    pub fn holds(&self, event: &Object<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Has(path) => any(event, path, &|_| true),
            Self::Is(path, text) => any(event, path, &|node| node.to_text().as_deref() == Some(*text)),
            Self::IsNot(path, text) => !any(event, path, &|node| node.to_text().as_deref() == Some(*text)),
        }
    }
}

fn any(object: &Object<'_>, path: &[Step], is: &dyn Fn(&Node<'_>) -> bool) -> bool {
    let Some((step, rest)) = path.split_first() else { return false };
    let Some(node) = object.peek(step.name) else { return false };
    let on = |node: &Node<'_>| match node {
        Node::Object(inner) if !rest.is_empty() => any(inner, rest, is),
        node => rest.is_empty() && is(node),
    };
    if step.items { node.items().iter().any(on) } else { on(node) }
}

/// Whether two values are the same, in whatever order their members come.
pub fn same(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left, right) {
        (Node::Null, Node::Null) => true,
        (Node::Bool(a), Node::Bool(b)) => a == b,
        (Node::Int(a), Node::Int(b)) => a == b,
        (Node::UInt(a), Node::UInt(b)) => a == b,
        (Node::Float(a), Node::Float(b)) => a == b,
        (Node::Str(a), Node::Str(b)) => a == b,
        (Node::Array(a), Node::Array(b)) => a.len() == b.len() && a.iter().zip(*b).all(|(a, b)| same(a, b)),
        (Node::Object(a), Node::Object(b)) => {
            a.members().len() == b.members().len()
                && a.members().iter().all(|m| b.peek(m.name).is_some_and(|other| same(&m.value, other)))
        }
        _ => false,
    }
}

/// Writes what was not taken of a value. False, and nothing is written, if there is nothing.
pub fn write_rest(node: &Node<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut some = true;
    match node {
        Node::Null => json::short(out, b"null"),
        Node::Bool(flag) => json::boolean(out, *flag),
        Node::Int(number) => json::integer(out, *number),
        Node::UInt(number) => json::unsigned(out, *number),
        Node::Float(number) => json::float(out, *number),
        Node::Str(text) => json::text(out, text),
        Node::Array(items) => {
            some = false;
            out.push(b'[');
            for item in *items {
                let before = out.len();
                if some {
                    out.push(b',');
                }
                if write_rest(item, out) {
                    some = true;
                } else {
                    out.truncate(before);
                }
            }
            out.push(b']');
        }
        Node::Object(object) => {
            some = false;
            out.push(b'{');
            for member in object.members().iter().filter(|member| !member.is_taken()) {
                let before = out.len();
                if some {
                    out.push(b',');
                }
                json::text(out, member.name);
                out.push(b':');
                if write_rest(&member.value, out) {
                    some = true;
                } else {
                    out.truncate(before);
                }
            }
            out.push(b'}');
        }
    }
    if !some {
        out.truncate(start);
    }
    some
}
