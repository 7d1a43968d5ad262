//! A raw record as a tree that borrows from its line and an arena, and that remembers what was read.
//!
//! Invariant: every member of a record is either *taken* by a rule or turns up in [`Object::rest`]; nothing is lost between
//! the two. Reading with `take…` marks a member, reading with `peek…` does not.

use std::{borrow::Cow, cell::Cell};

use bumpalo::Bump;
use m365_schemas::record::Kind;

use super::event::trimmed;

/// One JSON value of a record.
#[derive(Debug)]
pub enum Node<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number that fits 64 bits with sign.
    Int(i64),
    /// A whole number beyond [`i64::MAX`].
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// Text, of the line unless it holds escapes.
    Str(&'a str),
    /// A list.
    Array(&'a [Node<'a>]),
    /// An object.
    Object(&'a Object<'a>),
}

/// A JSON object: its members in the order of the record. A name that comes twice has its last value; an earlier one that says something
/// else is kept as `name#1`.
#[derive(Debug)]
pub struct Object<'a> {
    members: &'a [Member<'a>],
    /// How often a name came again.
    pub repeated: u32,
    places: Places<'a>,
}

/// How a member is found by its name.
#[derive(Debug)]
enum Places<'a> {
    /// By looking at all of them, which are few.
    Few,
    /// For a tag's slot, 1 + where the first member of that slot is; 0 for none.
    Slots(&'a [u8; SLOTS]),
    /// The places of the members by their names, for more members than a slot can count. It is sorted, so that no choice of names makes
    /// a look-up slow.
    ByName(&'a [u32]),
}

const SLOTS: usize = 64;
/// From so many members on, slots are worth making.
const SLOTS_FROM: usize = 8;

/// A member of an object.
#[derive(Debug)]
pub struct Member<'a> {
    /// The name as the record spells it.
    pub name: &'a str,
    /// Of the name, so that most other names are told from it without a comparison.
    pub(super) tag: u32,
    /// The value.
    pub value: Node<'a>,
    pub(super) taken: Cell<bool>,
}

/// The length of a name, and its first, middle and last byte.
#[inline]
pub(super) fn tag(name: &str) -> u32 {
    match name.as_bytes() {
        [] => 0,
        bytes => {
            let (length, last) = (bytes.len(), bytes.len() - 1);
            u32::from_le_bytes([length as u8, bytes[0], bytes[length / 2], bytes[last]])
        }
    }
}

/// One of 64 slots for a tag.
#[inline]
fn slot(tag: u32) -> usize {
    (tag.wrapping_mul(0x9e37_79b9) >> 26) as usize
}

impl Member<'_> {
    /// Whether a rule took the whole value. A nested object can be taken in parts without this.
    pub fn is_taken(&self) -> bool {
        self.taken.get()
    }

    /// Takes the whole value.
    pub fn take(&self) {
        self.taken.set(true);
    }
}

impl<'a> Node<'a> {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if this is one.
    pub fn as_object(&self) -> Option<&'a Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The items, if this is a list; otherwise none.
    pub fn items(&self) -> &[Node<'a>] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// Text, a number or a boolean as text; none for what is empty, `null` or compound.
    pub fn to_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Str(text) => Some(trimmed(text)).filter(|t| !t.is_empty()).map(Cow::Borrowed),
            Self::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Self::Int(number) => Some(Cow::Owned(number.to_string())),
            Self::UInt(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => Some(Cow::Owned(number.to_string())),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// A whole number, also when it comes as text.
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Str(text) => trimmed(text).parse().ok(),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
            _ => None,
        }
    }

    /// A number, also when it comes as text.
    pub fn to_float(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::UInt(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Str(text) => trimmed(text).parse().ok().filter(|n: &f64| n.is_finite()),
            _ => None,
        }
    }

    /// A boolean, also when it comes as the text `True` or `False`.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            Self::Str(text) if trimmed(text).eq_ignore_ascii_case("true") => Some(true),
            Self::Str(text) if trimmed(text).eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Whether there is nothing worth keeping: `null`, blank text, or a compound of nothing else.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Str(text) => trimmed(text).is_empty(),
            Self::Array(items) => items.iter().all(Node::is_empty),
            Self::Object(object) => object.members.iter().all(|m| m.value.is_empty()),
            _ => false,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::UInt(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl m365_schemas::record::Instance for Node<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Boolean,
            Self::Int(_) | Self::UInt(_) => Kind::Integer,
            Self::Float(number) if number.fract() == 0.0 => Kind::Integer,
            Self::Float(_) => Kind::Number,
            Self::Str(_) => Kind::String,
            Self::Array(_) => Kind::Array,
            Self::Object(_) => Kind::Object,
        }
    }
    fn text(&self) -> Option<&str> {
        self.as_str()
    }
    fn member(&self, name: &str) -> Option<&Self> {
        self.as_object()?.peek(name)
    }
}

impl<'a> Object<'a> {
    /// An object of these members, whose names are unique; `repeated` of them were not.
    pub(super) fn new(members: &'a [Member<'a>], repeated: u32, arena: &'a Bump) -> Self {
        let places = if members.len() < SLOTS_FROM {
            Places::Few
        } else if members.len() <= usize::from(u8::MAX) {
            let slots = arena.alloc([0_u8; SLOTS]);
            for (place, member) in (1..=u8::MAX).zip(members) {
                let slot = &mut slots[slot(member.tag)];
                if *slot == 0 {
                    *slot = place;
                }
            }
            Places::Slots(slots)
        } else {
            // A text of 4 GiB is no record.
            let places = arena.alloc_slice_fill_with(members.len(), |place| place as u32);
            places.sort_unstable_by_key(|place| members[*place as usize].name);
            Places::ByName(places)
        };
        Self { members, repeated, places }
    }

    /// All members, taken or not.
    pub fn members(&self) -> &'a [Member<'a>] {
        self.members
    }

    /// A member of this name, taken or not.
    #[inline]
    pub fn member(&self, name: &str) -> Option<&Member<'a>> {
        self.tagged(tag(name), name)
    }

    #[inline]
    fn tagged(&self, tag: u32, name: &str) -> Option<&'a Member<'a>> {
        let from = match self.places {
            Places::Slots(slots) => usize::from(slots[slot(tag)]).checked_sub(1)?,
            Places::Few => 0,
            Places::ByName(places) => return self.by_name(places, name),
        };
        self.members.get(from..)?.iter().find(|m| m.tag == tag && m.name == name)
    }

    #[cold]
    fn by_name(&self, places: &[u32], name: &str) -> Option<&'a Member<'a>> {
        let found = places.binary_search_by_key(&name, |place| self.members[*place as usize].name).ok()?;
        self.members.get(places[found] as usize)
    }

    /// The value of a member, without taking it.
    pub fn peek(&self, name: &str) -> Option<&Node<'a>> {
        self.member(name).map(|m| &m.value)
    }

    /// The text of a member that is not blank, trimmed, without taking it.
    pub fn peek_str(&self, name: &str) -> Option<&str> {
        self.peek(name)?.as_str().map(trimmed).filter(|t| !t.is_empty())
    }

    /// A whole number, also as text, without taking it.
    pub fn peek_int(&self, name: &str) -> Option<i64> {
        self.peek(name)?.to_int()
    }

    /// Takes a member whole, whatever it is.
    pub fn take(&self, name: &str) -> Option<&Node<'a>> {
        let member = self.member(name)?;
        member.taken.set(true);
        Some(&member.value)
    }

    /// Takes a member if `read` can make something of it; else it stays for [`Object::rest`].
    pub fn take_if<'s, T>(&'s self, name: &str, read: impl FnOnce(&'s Node<'a>) -> Option<T>) -> Option<T> {
        let member = self.member(name)?;
        let value = read(&member.value)?;
        member.taken.set(true);
        Some(value)
    }

    /// Takes text that is not blank, trimmed.
    pub fn take_str(&self, name: &str) -> Option<&str> {
        self.take_if(name, |n| n.as_str().map(trimmed).filter(|t| !t.is_empty()))
    }

    /// Takes text, a number or a boolean as text.
    pub fn take_text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.take_if(name, Node::to_text)
    }

    /// Takes a whole number, also as text.
    pub fn take_int(&self, name: &str) -> Option<i64> {
        self.take_if(name, Node::to_int)
    }

    /// Takes a number, also as text.
    pub fn take_float(&self, name: &str) -> Option<f64> {
        self.take_if(name, Node::to_float)
    }

    /// Takes a boolean, also as text.
    pub fn take_bool(&self, name: &str) -> Option<bool> {
        self.take_if(name, Node::to_bool)
    }

    /// Takes text that an event tells already: one of `told`.
    pub fn take_same(&self, name: &str, told: &[Option<&str>]) -> bool {
        self.take_if(name, |n| n.as_str().map(trimmed).filter(|text| told.contains(&Some(text)))).is_some()
    }

    /// A nested object, to be taken in parts: what is not taken of it stays.
    pub fn object(&self, name: &str) -> Option<&Object<'a>> {
        self.peek(name)?.as_object()
    }

    /// The items of a list, to be taken in parts where they are objects. Nothing if the member is no list.
    pub fn items(&self, name: &str) -> &[Node<'a>] {
        self.peek(name).map_or(&[], Node::items)
    }

    /// A list of `{Name, Value}` objects (or `key`, `value`, in any case), to be taken pair by pair.
    pub fn pairs<'s>(&'s self, name: &str) -> Pairs<'s, 'a> {
        Pairs { items: self.items(name) }
    }

    /// Puts a member back that was taken, when it turned out that nothing came of it.
    pub fn put_back(&self, name: &str) {
        if let Some(member) = self.member(name) {
            member.taken.set(false);
        }
    }

    /// Whether every member is taken or empty, also inside.
    pub fn is_spent(&self) -> bool {
        self.members.iter().all(|m| m.is_taken() || is_spent(&m.value))
    }
}

/// Whether nothing of a value is left over.
pub(super) fn is_spent(node: &Node<'_>) -> bool {
    match node {
        Node::Object(object) => object.is_spent(),
        Node::Array(items) => items.iter().all(is_spent),
        _ => node.is_empty(),
    }
}

/// The items of a Name/Value list such as `ExtendedProperties`.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'s, 'a> {
    items: &'s [Node<'a>],
}

impl<'s, 'a> Pairs<'s, 'a> {
    /// Name and value of an item that is a pair.
    fn parts(item: &'s Node<'a>) -> Option<(&'s Object<'a>, &'s str, &'s Node<'a>)> {
        let object = item.as_object()?;
        let (name, value) = pair(object)?;
        Some((object, name, value))
    }

    /// All pairs in order; the names can repeat.
    pub fn iter(self) -> impl Iterator<Item = (&'s str, &'s Node<'a>)> {
        self.items.iter().filter_map(|item| Self::parts(item).map(|(_, name, value)| (name, value)))
    }

    /// The value of the first pair of this name that is not empty, names compared without case; takes nothing.
    pub fn peek(self, name: &str) -> Option<&'s Node<'a>> {
        self.iter().find(|(n, value)| n.eq_ignore_ascii_case(name) && !value.is_empty()).map(|(_, value)| value)
    }

    /// The text of a pair, without taking it.
    pub fn peek_str(self, name: &str) -> Option<&'s str> {
        self.peek(name)?.as_str().map(trimmed).filter(|t| !t.is_empty())
    }

    /// Takes the first pair of this name if `read` can make something of its value.
    pub fn take_if<T>(self, name: &str, read: impl Fn(&'s Node<'a>) -> Option<T>) -> Option<T> {
        self.items.iter().find_map(|item| {
            let (object, n, value) = Self::parts(item)?;
            if !n.eq_ignore_ascii_case(name) {
                return None;
            }
            let read = read(value)?;
            object.members.iter().for_each(|m| m.taken.set(true));
            Some(read)
        })
    }

    /// Takes the text of a pair.
    pub fn take_str(self, name: &str) -> Option<&'s str> {
        self.take_if(name, |n| n.as_str().map(trimmed).filter(|t| !t.is_empty()))
    }

    /// Takes the boolean of a pair, also as text.
    pub fn take_bool(self, name: &str) -> Option<bool> {
        self.take_if(name, Node::to_bool)
    }
}

/// Name and value of an object that is nothing else than a named value.
pub(super) fn pair<'s, 'a>(object: &'s Object<'a>) -> Option<(&'s str, &'s Node<'a>)> {
    let [first, second] = object.members else { return None };
    let (name, value) = match (first.name, second.name) {
        ("Name" | "name" | "Key" | "key", "Value" | "value") => (first, second),
        ("Value" | "value", "Name" | "name" | "Key" | "key") => (second, first),
        _ => return None,
    };
    Some((name.value.as_str()?, &value.value))
}

#[cfg(test)]
mod tests {
    use super::{super::parse, *};

    /// Lives until the tests have ended.
    fn parse(text: &[u8]) -> Result<Node<'_>, parse::NotJson> {
        parse::parse(text, Box::leak(Box::new(Bump::new())))
    }

    fn object(text: &str) -> &Object<'_> {
        match parse(text.as_bytes()).unwrap() {
            Node::Object(object) => object,
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn what_is_taken_is_spent_and_the_rest_is_not() {
        let record =
            object(r#"{"a":"x","b":{"c":1,"d":""},"e":[{"Name":"k","Value":"True"},{"Name":"l","Value":"2"}]}"#);
        assert_eq!(record.take_str("a"), Some("x"));
        assert!(!record.is_spent());
        assert_eq!(record.object("b").and_then(|b| b.take_int("c")), Some(1));
        assert_eq!(record.pairs("e").take_bool("K"), Some(true));
        assert!(!record.is_spent());
        assert_eq!(record.pairs("e").take_str("l"), Some("2"));
        assert!(record.is_spent());
    }

    #[test]
    fn a_value_of_another_kind_is_not_taken() {
        let record = object(r#"{"a":{"b":1},"n":"17"}"#);
        assert_eq!(record.take_str("a"), None);
        assert_eq!(record.take_int("n"), Some(17));
        assert!(!record.is_spent());
    }

    #[test]
    fn the_last_of_repeated_names_wins() {
        let record = object(r#"{"a":1,"a":2}"#);
        assert_eq!((record.peek_int("a"), record.repeated), (Some(2), 1));
        assert_eq!(record.peek_int("a#1"), Some(1), "the earlier one is kept beside it");
        let record = object(r#"{"a":1,"a":2,"a#1":0}"#);
        assert_eq!(["a", "a#1", "a#1#1"].map(|name| record.peek_int(name)), [Some(2), Some(0), Some(1)]);
        let record = object(r#"{"a":1,"a#1":0,"a":2,"a":2,"a":3}"#);
        assert_eq!(["a", "a#1", "a#2", "a#3"].map(|name| record.peek_int(name)), [Some(3), Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn numbers_beyond_64_bits_and_depth_beyond_the_limit_are_no_panic() {
        assert!(matches!(parse(b"18446744073709551615").unwrap(), Node::UInt(_)));
        assert!(matches!(parse(b"99999999999999999999999").unwrap(), Node::Float(_)));
        let wide: String = (0..1000).map(|i| format!("\"k{}\":{i},", i % 500)).collect();
        let wide = format!("{{{}\"z\":0}}", wide);
        assert_eq!((object(&wide).peek_int("k7"), object(&wide).peek_int("k7#1")), (Some(507), Some(7)));
        assert_eq!(object(&wide).repeated, 500);
        let deep = "[".repeat(1000);
        assert!(parse(deep.as_bytes()).is_err());
        assert!(parse(b"\"\xff\"").is_err());
    }
}
