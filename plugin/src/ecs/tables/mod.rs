//! The tables of this folder, as the build made arrays of them.
//!
//! Invariant: what a line says was held against OCSF and ECS by the build (`build/ecs.rs`); here it is only looked up.

/// A line of `fields.tsv`, or of a form.
#[derive(Debug)]
pub struct Line {
    /// When it holds.
    pub when: When,
    /// Where the value is; empty for a constant.
    pub path: &'static [Step],
    /// What becomes of it.
    pub how: How,
}

/// A step from an object to what it holds.
#[derive(Debug)]
pub struct Step {
    /// The attribute.
    pub name: &'static str,
    /// Whether the way goes on to every item of the list there.
    pub items: bool,
}

/// A condition.
#[derive(Debug)]
pub enum When {
    /// None.
    Always,
    /// There is something at the path.
    Has(&'static [Step]),
    /// Something at the path is this, as text.
    Is(&'static [Step], &'static str),
    /// Nothing at the path is this, as text.
    IsNot(&'static [Step], &'static str),
}

/// What becomes of a value. Names of fields are dotted; inside of [`How::EachForm`] they begin at the item.
#[derive(Debug)]
pub enum How {
    /// As it is.
    Value(To),
    /// As it is, and it goes elsewhere too.
    Copy(To),
    /// Milliseconds since 1970 as a date.
    Date(&'static str),
    /// Milliseconds as nanoseconds.
    Nanoseconds(&'static str),
    /// In lower case.
    Lower(&'static str),
    /// The word for a number.
    Words(&'static str, &'static [(i64, &'static str)]),
    /// A web address: the whole, its domain, scheme and path.
    Url(&'static [&'static str; 4]),
    /// Whatever the event says.
    Constant(&'static str, &'static str),
    /// The code of a country.
    Country(&'static str),
    /// Latitude and longitude.
    Point(&'static str),
    /// Fingerprints, by the number of their algorithm.
    Hashes(&'static [(i64, &'static str)]),
    /// The members of an object; the first of several places that nothing else is in.
    Form(&'static [&'static [Line]]),
    /// As a form with one place, and the object goes elsewhere too.
    CopyForm(&'static [Line]),
    /// Every object as an item of a list.
    EachForm(&'static str, &'static [Line]),
}

/// A field and what it takes.
#[derive(Debug)]
pub struct To {
    /// Its name.
    pub field: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it is an array.
    pub list: bool,
}

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that isn't empty.
    Text,
    /// A whole number of 64 bits.
    Long,
    /// An address.
    Ip,
}

/// A line of `kinds.tsv`.
#[derive(Debug)]
pub struct KindLine {
    /// The activities; none stands for all.
    pub activities: &'static [i64],
    /// When it holds.
    pub when: When,
    /// `event.kind`, if it says so.
    pub kind: Option<&'static str>,
    /// What it adds to `event.category`.
    pub categories: &'static [&'static str],
    /// What it adds to `event.type`.
    pub types: &'static [&'static str],
}

include!(concat!(env!("OUT_DIR"), "/ecs.rs"));

/// The lines for a class, in order; none for a class that events don't use.
pub fn lines(class_uid: i64) -> Option<impl Iterator<Item = &'static Line>> {
    let index = LINES_OF_CLASS.binary_search_by_key(&class_uid, |(uid, _)| i64::from(*uid)).ok()?;
    Some(LINES_OF_CLASS[index].1.iter().map(|line| &LINES[usize::from(*line)]))
}

/// The lines on the kind of event for a class.
pub fn kinds(class_uid: i64) -> &'static [KindLine] {
    let index = KINDS.binary_search_by_key(&class_uid, |(uid, _)| i64::from(*uid));
    index.map_or(&[], |index| KINDS[index].1)
}

/// The field for observables of a type, and what it takes.
pub fn related(type_id: i64) -> Option<(&'static str, Kind)> {
    RELATED.iter().find(|(id, ..)| *id == type_id).map(|(_, field, kind)| (*field, *kind))
}
