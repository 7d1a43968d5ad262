//! The schema of the events as tables: which attributes a class or object has, and what may stand there.
//!
//! Invariant: the tables are made from `events/ocsf.schema.json` by the build, and what they accept that schema accepts. They say no
//! more than it does but for text with a pattern, where they take only addresses that the standard library reads.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The name of an attribute, one of those that events use; the constants are in [`attr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribute(u16);

/// A class or object: which properties it has, and which it must have.
#[derive(Debug)]
pub struct Definition {
    /// The name of the object, or the `class_uid` as text.
    pub name: &'static str,
    /// The properties, sorted by name; at most 64.
    pub properties: &'static [Property],
    /// For every attribute, 1 + the index of its property; 0 if it has none here.
    places: &'static [u8],
    /// The properties that must be there, a bit for each index.
    required: u64,
    /// Of these sets, one has to be there whole; no sets, no rule.
    any_of: &'static [u64],
    /// Of these sets, exactly one has to be there whole; no sets, no rule.
    one_of: &'static [u64],
    /// The pairs of `activity_id` and `type_uid` that go together; none, no rule.
    activities: &'static [(i64, i64)],
}

/// What may stand under one attribute of a definition, and what OCSF says of it besides.
#[derive(Debug)]
pub struct Property {
    /// The name.
    pub attribute: Attribute,
    /// What the value, or each item of the list, has to be.
    pub kind: Kind,
    /// Whether it is a list.
    pub list: bool,
    /// What the numbers of an enumeration are called, sorted by number.
    pub captions: &'static [(i64, &'static str)],
    /// The attribute that holds the caption: `type` of `type_id`.
    pub sibling: Option<Attribute>,
    /// The `type_id` of the observable that the value is; 0 for none.
    pub observable: u8,
    /// The bit of the profile that the attribute belongs to, see [`profiles`]; 0 for none.
    pub profile: u16,
}

/// What a value has to be.
#[derive(Debug)]
pub enum Kind {
    /// Anything.
    Any,
    /// An object of any content.
    Open,
    /// Text.
    Text,
    /// Text of OCSF's type `email_t`.
    Email,
    /// Text of OCSF's type `ip_t`.
    Address,
    /// A whole number.
    Integer,
    /// One of some whole numbers: those below 64 as bits, and the others.
    Enumerated(u64, &'static [i64]),
    /// A whole number from the first to the second.
    Range(i64, i64),
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// An object.
    Object(&'static Definition),
}

/// A class of events.
#[derive(Debug)]
pub struct Class {
    /// `class_uid`.
    pub uid: u32,
    /// `class_name`.
    pub name: &'static str,
    /// Its attributes.
    pub definition: &'static Definition,
    /// The places of [`Head::ATTRIBUTES`], a bit for each.
    head: u64,
    /// For each activity its number, what it is called, and [`Head::members`].
    heads: &'static [(i64, &'static str, &'static str)],
}

/// What of an event follows from its class and activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the activity is called.
    pub activity_name: &'static str,
    /// The attributes of [`Head::ATTRIBUTES`] as members of a JSON object, without the braces; they are as the schema wants them.
    pub members: &'static str,
}

impl Head {
    /// The attributes that follow.
    pub const ATTRIBUTES: [Attribute; 7] = [
        attr::CLASS_UID,
        attr::CLASS_NAME,
        attr::CATEGORY_UID,
        attr::CATEGORY_NAME,
        attr::ACTIVITY_ID,
        attr::TYPE_UID,
        attr::TYPE_NAME,
    ];
}

include!(concat!(env!("OUT_DIR"), "/events.rs"));

/// The classes that events use, sorted by `class_uid`; the first is 0, Base Event.
pub fn classes() -> &'static [Class] {
    &CLASSES
}

/// The class of a `class_uid`; none if no event uses it.
pub fn class(uid: u32) -> Option<&'static Class> {
    CLASSES.binary_search_by_key(&uid, |class| class.uid).ok().map(|index| &CLASSES[index])
}

/// The names of the profiles whose bits are set, sorted.
pub fn profiles(bits: u16) -> impl Iterator<Item = &'static str> {
    PROFILES.iter().enumerate().filter(move |(place, _)| bits & (1 << place) != 0).map(|(_, name)| *name)
}

/// What an observable of this `type_id` is written as between its name and its value, in JSON: from the name's second quotation mark to
/// the last colon. None for a number that the schema doesn't take or that has no caption.
#[inline]
pub fn observable(type_id: u8) -> Option<&'static str> {
    OBSERVABLES.get(usize::from(type_id)).copied().filter(|text| !text.is_empty())
}

impl Class {
    /// How events of an activity begin; none if the class has no such activity.
    #[inline]
    pub fn head(&self, activity_id: i64) -> Option<Head> {
        let found = self.heads.iter().find(|(id, ..)| *id == activity_id);
        found.map(|(_, activity_name, members)| Head { activity_name, members })
    }

    /// The bits, in the definition's masks, of [`Head::ATTRIBUTES`].
    #[inline]
    pub fn head_attributes(&self) -> u64 {
        self.head
    }

    /// All activities, by number.
    pub fn activities(&self) -> impl Iterator<Item = i64> {
        self.heads.iter().map(|(id, ..)| *id)
    }
}

impl Attribute {
    /// How it is written.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// How it is written as a member's name in JSON: in quotation marks, with a colon. Blanks behind it make all keys equally long,
    /// so that they can be copied without a loop; the number says how many bytes are the key.
    #[inline]
    pub fn key(self) -> (usize, &'static [u8; LONGEST_KEY]) {
        let (length, padded) = &KEYS[usize::from(self.0)];
        (usize::from(*length), padded)
    }

    /// The attribute of a name; none if no event uses it.
    pub fn find(name: &str) -> Option<Self> {
        NAMES.binary_search(&name).ok().and_then(|index| u16::try_from(index).ok()).map(Self)
    }
}

impl Definition {
    /// The index of an attribute's property, below 64; none if the definition doesn't have the attribute.
    #[inline]
    pub fn place(&self, attribute: Attribute) -> Option<u8> {
        self.places[usize::from(attribute.0)].checked_sub(1)
    }

    /// The property of an attribute.
    #[inline]
    pub fn property(&self, attribute: Attribute) -> Option<&'static Property> {
        self.place(attribute).map(|place| &self.properties[usize::from(place)])
    }

    /// What OCSF calls a number of one of the attributes.
    pub fn caption(&self, attribute: Attribute, id: i64) -> Option<&'static str> {
        self.property(attribute)?.caption(id)
    }

    /// Whether what has to be there is there; `present` has a bit for the index of each property that is.
    ///
    /// # Errors
    /// What is missing or too much, in words.
    #[inline]
    pub fn check_presence(&self, present: u64) -> Result<(), String> {
        let whole = |sets: &[u64]| sets.iter().filter(|set| present & **set == **set).count();
        if present & self.required == self.required
            && (self.any_of.is_empty() || whole(self.any_of) > 0)
            && (self.one_of.is_empty() || whole(self.one_of) == 1)
        {
            return Ok(());
        }
        Err(self.absence(present))
    }

    #[cold]
    fn absence(&self, present: u64) -> String {
        let missing = self.names(self.required & !present);
        if !missing.is_empty() {
            return format!("it lacks {}", missing.join(", "));
        }
        let sets = if self.any_of.is_empty() { self.one_of } else { self.any_of };
        let sets: Vec<String> = sets.iter().map(|set| self.names(*set).join(" and ")).collect();
        let how_many = if self.any_of.is_empty() { "exactly one" } else { "at least one" };
        format!("it needs {how_many} of {}", sets.join(", "))
    }

    fn names(&self, set: u64) -> Vec<&'static str> {
        let held = self.properties.iter().enumerate().filter(|(place, _)| set & (1 << place) != 0);
        held.map(|(_, property)| property.attribute.name()).collect()
    }

    /// Whether `activity_id` and `type_uid` go together.
    pub fn check_activity(&self, activity_id: i64, type_uid: i64) -> bool {
        self.activities.is_empty() || self.activities.contains(&(activity_id, type_uid))
    }
}

impl Property {
    /// What OCSF calls a number.
    #[inline]
    pub fn caption(&self, id: i64) -> Option<&'static str> {
        // Most lists begin at 0 and leave none out.
        let at =
            usize::try_from(id).ok().and_then(|place| self.captions.get(place)).filter(|(number, _)| *number == id);
        at.or_else(|| self.captions.iter().find(|(number, _)| *number == id)).map(|(_, caption)| *caption)
    }
}

impl Kind {
    /// Whether text may stand here.
    #[inline]
    pub fn takes_text(&self, text: &str) -> bool {
        match self {
            Self::Text | Self::Any => true,
            Self::Email => is_email(text),
            Self::Address => is_address(text),
            _ => false,
        }
    }

    /// Whether a whole number may stand here.
    #[inline]
    pub fn takes_integer(&self, number: i64) -> bool {
        match self {
            Self::Integer | Self::Number | Self::Any => true,
            Self::Enumerated(mask, others) => {
                if (0..64).contains(&number) {
                    mask & (1 << number) != 0
                } else {
                    others.contains(&number)
                }
            }
            Self::Range(least, most) => (least..=most).contains(&&number),
            _ => false,
        }
    }

    /// The kind in words, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Open | Self::Object(_) => "an object",
            Self::Text => "text",
            Self::Email => "an e-mail address",
            Self::Address => "an IP address",
            Self::Integer => "a whole number",
            Self::Enumerated(..) => "one of the numbers that OCSF lists",
            Self::Range(..) => "a whole number within its bounds",
            Self::Number => "a number",
            Self::Boolean => "true or false",
        }
    }
}

/// OCSF's `email_t`: `^[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+$`, in which `+-/` is a range.
pub fn is_email(text: &str) -> bool {
    const LOCAL: [bool; 256] = marks(b"!#$%&'*+,-./=?^_`{|}~");
    const DOMAIN: [bool; 256] = marks(b"-.");
    let bytes = text.as_bytes();
    let local = bytes.iter().take_while(|b| LOCAL[usize::from(**b)]).count();
    let [b'@', domain @ ..] = &bytes[local..] else { return false };
    let dot = domain.iter().position(|b| *b == b'.');
    local > 0
        && domain.iter().all(|b| DOMAIN[usize::from(*b)])
        && dot.is_some_and(|dot| dot > 0 && dot + 1 < domain.len())
}

/// Which bytes are letters, digits or among some others.
const fn marks(others: &[u8]) -> [bool; 256] {
    let mut marks = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        marks[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        marks[others[at] as usize] = true;
        at += 1;
    }
    marks
}

/// An address that the standard library reads; a subset of OCSF's `ip_t`.
fn is_address(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok()
}
