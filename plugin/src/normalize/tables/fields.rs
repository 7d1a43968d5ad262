//! The members that records of a family have at their top level, and the values of those that are enumerations.
//!
//! Invariant: meaning is in fields.tsv; here is only how a name is found fast, since every member of every record is looked up.

use std::sync::OnceLock;

use m365_schemas::record::RecordFamily;

use crate::normalize::record::{Member, tag};

/// A member that is known.
#[derive(Debug)]
pub struct Field {
    /// Its name, as records spell it.
    pub name: &'static str,
    /// What its value may be, compared without case; empty if anything may stand there.
    pub values: &'static [&'static str],
}

include!(concat!(env!("OUT_DIR"), "/fields.rs"));

/// The known members of a family, sorted by name.
pub fn fields(family: RecordFamily) -> &'static [Field] {
    match family {
        RecordFamily::Activity => ACTIVITY,
        RecordFamily::SignIn => SIGN_IN,
        RecordFamily::DirectoryAudit => DIRECTORY_AUDIT,
        RecordFamily::Alert => ALERT,
        RecordFamily::AlertLegacy => ALERT_LEGACY,
    }
}

/// The known members of a family by the tag of their name.
#[derive(Debug)]
pub struct Index {
    fields: &'static [Field],
    /// 1 + the place of a field, from where its tag points on; 0 is free. Four times as long as there are fields, so most names are
    /// found or not found at the first look.
    slots: Vec<u16>,
    shift: u32,
}

impl Index {
    /// The index of a family; made once.
    pub fn of(family: RecordFamily) -> &'static Self {
        static ALL: [OnceLock<Index>; 5] = [const { OnceLock::new() }; 5];
        ALL[family as usize].get_or_init(|| Self::new(fields(family)))
    }

    fn new(fields: &'static [Field]) -> Self {
        let length = (fields.len() * 4).next_power_of_two().max(2);
        let mut index = Self { fields, slots: vec![0; length], shift: 32 - length.trailing_zeros() };
        for (place, field) in (1..).zip(fields) {
            let mut slot = index.slot(tag(field.name));
            while index.slots[slot] != 0 {
                slot = (slot + 1) & (length - 1);
            }
            index.slots[slot] = place;
        }
        index
    }

    #[inline]
    fn slot(&self, tag: u32) -> usize {
        (tag.wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }

    /// The field that a member is; none if no line has its name.
    #[inline]
    pub fn find(&self, member: &Member<'_>) -> Option<&'static Field> {
        let mut slot = self.slot(member.tag);
        loop {
            let field = match self.slots[slot] {
                0 => return None,
                place => &self.fields[usize::from(place) - 1],
            };
            if field.name == member.name {
                return Some(field);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}
