//! Building an OCSF event: a tree of attributes that borrows its texts from the record.
//!
//! Invariant: an event never holds `null`, empty text, an empty list or an empty object: setting an attribute to any of
//! these sets nothing. The names next to numbers are derived here; `metadata.profiles` and `observables` when the event is written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use m365_schemas::event::{self, Class, Property};
pub use m365_schemas::event::{Attribute, Definition, attr, object};

/// A value in an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'r> {
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond [`i64::MAX`].
    UInt(u64),
    /// Any other number; finite.
    Float(f64),
    /// Text.
    Text(Cow<'r, str>),
    /// A list.
    List(Vec<Value<'r>>),
    /// An object of OCSF.
    Object(Box<Attributes<'r>>),
    /// An object of free content.
    Open(Members<'r>),
}

impl<'r> Value<'r> {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is a whole number.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// An attribute, if this is an object of OCSF that has it.
    pub fn get(&self, attribute: Attribute) -> Option<&Value<'r>> {
        match self {
            Self::Object(attributes) => attributes.get(attribute),
            _ => None,
        }
    }
}

/// The members of an object of free content, in order. Names are unique.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members<'r>(Vec<(Cow<'r, str>, Value<'r>)>);

impl<'r> Members<'r> {
    /// No members yet, with room for so many.
    pub fn with_room(members: usize) -> Self {
        Self(Vec::with_capacity(members))
    }

    /// Sets a member; a later value replaces an earlier one.
    pub fn insert(&mut self, name: impl Into<Cow<'r, str>>, value: Value<'r>) {
        let name = name.into();
        match self.get_mut(&name) {
            Some(earlier) => *earlier = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds a member whose name is known to be new.
    pub fn push(&mut self, name: Cow<'r, str>, value: Value<'r>) {
        self.0.push((name, value));
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value<'r>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The value of a member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value<'r>> {
        self.0.iter_mut().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The values of all members, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value<'r>> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Takes a member away.
    pub fn remove(&mut self, name: &str) -> Option<Value<'r>> {
        let index = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(index).1)
    }

    /// All members in order.
    pub fn iter(&self) -> impl Iterator<Item = &(Cow<'r, str>, Value<'r>)> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'r> IntoIterator for Members<'r> {
    type Item = (Cow<'r, str>, Value<'r>);
    type IntoIter = std::vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'r> Extend<(Cow<'r, str>, Value<'r>)> for Members<'r> {
    fn extend<I: IntoIterator<Item = (Cow<'r, str>, Value<'r>)>>(&mut self, members: I) {
        let mut all = Gathered::from(std::mem::take(self));
        for (name, value) in members {
            match all.get_mut(&name) {
                Some(earlier) => *earlier = value,
                None => all.push(name, value),
            }
        }
        *self = all.into();
    }
}

/// Members that are being put together out of a list of any length, in which names repeat.
#[derive(Debug, Default)]
pub struct Gathered<'r> {
    members: Members<'r>,
    /// Where the members are, from [`FEW`] on.
    places: BTreeMap<Cow<'r, str>, usize>,
}

/// So many are looked through faster one by one.
pub(super) const FEW: usize = 32;

impl<'r> Gathered<'r> {
    /// The value of a member that was added.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value<'r>> {
        if self.members.0.len() <= FEW {
            return self.members.get_mut(name);
        }
        let place = *self.places.get(name)?;
        self.members.0.get_mut(place).map(|(_, value)| value)
    }

    /// Adds a member whose name is known to be new.
    pub fn push(&mut self, name: Cow<'r, str>, value: Value<'r>) {
        self.members.0.push((name, value));
        let length = self.members.0.len();
        if length > FEW {
            // The first ones as well, once there are more than a few.
            let from = if self.places.is_empty() { 0 } else { length - 1 };
            let new = self.members.0[from..].iter().zip(from..).map(|((name, _), place)| (name.clone(), place));
            self.places.extend(new);
        }
    }
}

impl<'r> From<Members<'r>> for Gathered<'r> {
    fn from(members: Members<'r>) -> Self {
        let mut places = BTreeMap::new();
        if members.0.len() > FEW {
            places.extend(members.0.iter().zip(0..).map(|((name, _), place)| (name.clone(), place)));
        }
        Self { members, places }
    }
}

impl<'r> From<Gathered<'r>> for Members<'r> {
    fn from(gathered: Gathered<'r>) -> Self {
        gathered.members
    }
}

impl<'r> FromIterator<(Cow<'r, str>, Value<'r>)> for Members<'r> {
    fn from_iter<I: IntoIterator<Item = (Cow<'r, str>, Value<'r>)>>(members: I) -> Self {
        let mut all = Self::default();
        all.extend(members);
        all
    }
}

/// What can become the value of an attribute, or nothing.
pub trait Present<'r> {
    /// The value; none if there is nothing worth writing.
    fn present(self) -> Option<Value<'r>>;
}

/// Text without the blanks around it. Most texts have none, which their first and last byte show.
#[inline]
pub fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

impl<'r> Present<'r> for &'r str {
    fn present(self) -> Option<Value<'r>> {
        let text = trimmed(self);
        (!text.is_empty()).then_some(Value::Text(Cow::Borrowed(text)))
    }
}
impl<'r> Present<'r> for String {
    fn present(self) -> Option<Value<'r>> {
        let text = trimmed(&self);
        if text.len() == self.len() {
            (!self.is_empty()).then_some(Value::Text(Cow::Owned(self)))
        } else {
            (!text.is_empty()).then(|| Value::Text(Cow::Owned(text.to_owned())))
        }
    }
}
impl<'r> Present<'r> for Cow<'r, str> {
    fn present(self) -> Option<Value<'r>> {
        match self {
            Cow::Borrowed(text) => text.present(),
            Cow::Owned(text) => text.present(),
        }
    }
}
impl<'r> Present<'r> for bool {
    fn present(self) -> Option<Value<'r>> {
        Some(Value::Bool(self))
    }
}
impl<'r> Present<'r> for i64 {
    fn present(self) -> Option<Value<'r>> {
        Some(Value::Int(self))
    }
}
impl<'r> Present<'r> for f64 {
    fn present(self) -> Option<Value<'r>> {
        self.is_finite().then_some(Value::Float(self))
    }
}
impl<'r> Present<'r> for Attributes<'r> {
    fn present(self) -> Option<Value<'r>> {
        (!self.is_empty()).then(|| Value::Object(Box::new(self)))
    }
}
impl<'r> Present<'r> for Members<'r> {
    fn present(self) -> Option<Value<'r>> {
        (!self.0.is_empty()).then_some(Value::Open(self))
    }
}
impl<'r> Present<'r> for Value<'r> {
    fn present(self) -> Option<Value<'r>> {
        let nothing = match &self {
            Value::Text(text) => trimmed(text).is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Object(attributes) => attributes.is_empty(),
            Value::Open(members) => members.is_empty(),
            _ => false,
        };
        (!nothing).then_some(self)
    }
}
impl<'r, T: Present<'r>> Present<'r> for Option<T> {
    fn present(self) -> Option<Value<'r>> {
        self.and_then(Present::present)
    }
}
impl<'r, T: Present<'r>> Present<'r> for Vec<T> {
    fn present(self) -> Option<Value<'r>> {
        let items: Vec<Value<'r>> = self.into_iter().filter_map(Present::present).collect();
        (!items.is_empty()).then_some(Value::List(items))
    }
}

/// The attributes of one OCSF object or class.
#[derive(Clone, Debug)]
pub struct Attributes<'r> {
    definition: &'static Definition,
    /// A bit for the place of each attribute that is set.
    present: u64,
    /// The values in the order in which they were set, each with the place of its attribute in the definition.
    list: Vec<(u8, Value<'r>)>,
    /// An attribute that was set and that the definition doesn't have; the check refuses the event for it.
    foreign: Option<Attribute>,
}

impl PartialEq for Attributes<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.definition, other.definition) && self.list == other.list
    }
}

impl<'r> Attributes<'r> {
    /// No attributes yet, of one of the OCSF objects in [`object`].
    pub fn of(definition: &'static Definition) -> Self {
        Self::with_room(definition, 8)
    }

    fn with_room(definition: &'static Definition, attributes: usize) -> Self {
        Self { definition, present: 0, list: Vec::with_capacity(attributes), foreign: None }
    }

    /// Sets an attribute, unless the value is nothing. A later value replaces an earlier one.
    #[inline]
    pub fn set(&mut self, attribute: Attribute, value: impl Present<'r>) {
        if let Some(value) = value.present() {
            self.insert(attribute, value);
        }
    }

    pub(super) fn insert(&mut self, attribute: Attribute, value: Value<'r>) {
        let Some(place) = self.definition.place(attribute) else {
            self.foreign = Some(attribute);
            return;
        };
        self.insert_at(place, value);
    }

    fn insert_at(&mut self, place: u8, value: Value<'r>) {
        if self.present & (1 << place) != 0
            && let Some((_, earlier)) = self.list.iter_mut().find(|(p, _)| *p == place)
        {
            *earlier = value;
            return;
        }
        self.present |= 1 << place;
        self.list.push((place, value));
    }

    /// Sets an attribute only if it has no value yet.
    pub fn set_if_absent(&mut self, attribute: Attribute, value: impl Present<'r>) {
        if !self.has(attribute) {
            self.set(attribute, value);
        }
    }

    /// Sets an enumerated attribute and its name: `type_id` and `type`, `status_id` and `status`.
    ///
    /// `word` is the source's own word; it is the name for 99 (Other), and otherwise OCSF's caption is.
    pub fn set_enum(&mut self, attribute: Attribute, id: i64, word: Option<&str>) {
        let Some(place) = self.definition.place(attribute) else {
            self.foreign = Some(attribute);
            return;
        };
        self.insert_at(place, Value::Int(id));
        let property = &self.definition.properties[usize::from(place)];
        let Some(name) = property.sibling else { return };
        let caption = property.caption(id);
        if caption.is_none() || id == 99 {
            self.remove(name);
        }
        match word {
            Some(word) if id == 99 => self.set(name, word.to_owned()),
            _ => self.set(name, caption),
        }
    }

    /// Which object or class it is.
    pub fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// The attributes in the order in which they were set.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&'static Property, &Value<'r>)> {
        let properties = self.definition.properties;
        self.list.iter().map(move |(place, value)| (&properties[usize::from(*place)], value))
    }

    /// The bits, in the definition's masks, of the attributes that are set.
    #[inline]
    pub fn present(&self) -> u64 {
        self.present
    }

    /// An attribute that was set and that the definition doesn't have.
    pub fn foreign(&self) -> Option<Attribute> {
        self.foreign
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.foreign.is_none()
    }

    /// Whether an attribute is set.
    pub fn has(&self, attribute: Attribute) -> bool {
        self.definition.place(attribute).is_some_and(|place| self.present & (1 << place) != 0)
    }

    /// The value of an attribute.
    pub fn get(&self, attribute: Attribute) -> Option<&Value<'r>> {
        let place = self.definition.place(attribute).filter(|place| self.present & (1 << place) != 0)?;
        self.list.iter().find(|(p, _)| *p == place).map(|(_, value)| value)
    }

    /// The text of an attribute.
    pub fn text(&self, attribute: Attribute) -> Option<&str> {
        self.get(attribute)?.as_str()
    }

    /// Takes an attribute away.
    pub fn remove(&mut self, attribute: Attribute) -> Option<Value<'r>> {
        let place = self.definition.place(attribute)?;
        let index = self.list.iter().position(|(p, _)| *p == place)?;
        self.present &= !(1 << place);
        Some(self.list.remove(index).1)
    }
}

/// An OCSF event that is being built.
#[derive(Clone, Debug)]
pub struct Event<'r> {
    /// The class.
    pub class: &'static Class,
    /// The activity, of which `activity_id`, `type_uid` and `type_name` are written.
    pub activity_id: i64,
    pub(super) attributes: Attributes<'r>,
    pub(super) metadata: Attributes<'r>,
    pub(super) unmapped: Members<'r>,
}

impl<'r> Event<'r> {
    /// An event of a class and activity; Base Event for a class that no event uses. `operation` names the activity if it is 99 (Other).
    pub fn new(class_uid: u32, activity_id: i64, operation: &'r str) -> Self {
        let class = event::class(class_uid).unwrap_or(&event::classes()[0]);
        let mut event = Self {
            class,
            activity_id,
            attributes: Attributes::with_room(class.definition, 32),
            metadata: Attributes::of(&object::METADATA),
            unmapped: Members::default(),
        };
        let caption = class.head(activity_id).map_or("Other", |head| head.activity_name);
        event.set(attr::ACTIVITY_NAME, if activity_id == 99 && !operation.is_empty() { operation } else { caption });
        event.set(attr::SEVERITY_ID, 1);
        event
    }

    /// As [`Attributes::set`], for an attribute of the class.
    #[inline]
    pub fn set(&mut self, attribute: Attribute, value: impl Present<'r>) {
        self.attributes.set(attribute, value);
    }

    /// As [`Attributes::set_if_absent`].
    pub fn set_if_absent(&mut self, attribute: Attribute, value: impl Present<'r>) {
        self.attributes.set_if_absent(attribute, value);
    }

    /// As [`Attributes::set_enum`].
    pub fn set_enum(&mut self, attribute: Attribute, id: i64, word: Option<&str>) {
        self.attributes.set_enum(attribute, id, word);
    }

    /// Sets `severity_id` and its name: 0 Unknown, 1 Informational, 2 Low, 3 Medium, 4 High, 5 Critical.
    pub fn set_severity(&mut self, id: i64) {
        self.set_enum(attr::SEVERITY_ID, id, None);
    }

    /// Whether an attribute of the class is set.
    pub fn has(&self, attribute: Attribute) -> bool {
        self.attributes.has(attribute)
    }

    /// The value of an attribute of the class.
    pub fn get(&self, attribute: Attribute) -> Option<&Value<'r>> {
        self.attributes.get(attribute)
    }

    /// `metadata`, for what a mapping knows better than the envelope, which fills only what is missing.
    pub fn metadata(&mut self) -> &mut Attributes<'r> {
        &mut self.metadata
    }

    /// Puts something into `unmapped` under a name of its own, besides what is left of the record.
    pub fn keep(&mut self, name: &'static str, value: impl Present<'r>) {
        if let Some(value) = value.present() {
            self.unmapped.insert(name, value);
        }
    }

    /// Puts what is left of the record into `unmapped`, where it doesn't replace what was kept.
    pub fn leave(&mut self, rest: Members<'r>) {
        if self.unmapped.is_empty() {
            self.unmapped = rest;
            return;
        }
        // What was kept are a few names of ours; the rest has each name once.
        let kept = self.unmapped.0.len();
        for (name, value) in rest {
            if !self.unmapped.0[..kept].iter().any(|(earlier, _)| *earlier == name) {
                self.unmapped.push(name, value);
            }
        }
    }

    /// A text inside the event, by the names on the way there; lists are not entered.
    pub fn text_at(&self, path: &[Attribute]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        let mut value = self.attributes.get(*first)?;
        for name in rest {
            value = value.get(*name)?;
        }
        value.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_never_set() {
        let mut user = Attributes::of(&object::USER);
        user.set(attr::NAME, " ");
        user.set(attr::UID, None::<&str>);
        user.set(attr::ACCOUNT, Attributes::of(&object::ACCOUNT));
        user.set(attr::GROUPS, Vec::<Attributes<'_>>::new());
        assert!(user.is_empty());
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let mut user = Attributes::of(&object::USER);
        user.set(attr::NAME, "a");
        user.set_enum(attr::TYPE_ID, 99, Some("Robot"));
        user.set(attr::NAME, "b");
        user.set_enum(attr::TYPE_ID, 1, Some("Robot"));
        assert_eq!((user.text(attr::NAME), user.text(attr::TYPE), user.iter().count()), (Some("b"), Some("User"), 3));
        assert_eq!(user.remove(attr::NAME), Some(Value::Text("b".into())));
        assert!(!user.has(attr::NAME));
    }
}
