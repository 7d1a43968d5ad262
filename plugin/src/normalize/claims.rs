//! The claims of directory records: the `{ID, Type}` items of `Actor` and `Target`.
//!
//! Invariant: reading takes nothing; an item is taken when an object of the event tells its id.

use super::{
    record::{Node, Object},
    users::{is_guid, is_nobody, is_puid},
};

/// The `{ID, Type}` items of `Actor` and `Target`, read by shape first: the numbers are documented only by name.
#[derive(Debug, Default)]
pub struct Claims<'r> {
    /// The kind that a prefixed id shows: `User`, `ServicePrincipal`, `Group`, `Device`, `Role` …
    pub kind: Option<&'r str>,
    /// The object id.
    pub uid: Option<&'r str>,
    /// The UPN (type 5) or service principal name (type 4).
    pub name: Option<&'r str>,
    /// The display name (type 1).
    pub display_name: Option<&'r str>,
    /// The PUID (type 3).
    pub puid: Option<&'r str>,
    items: Vec<Item<'r>>,
}

/// An item that names somebody: where it is, its id, and its type, which is -1 for none.
type Item<'r> = (&'r Object<'r>, &'r str, i64);

/// The kinds of directory objects that ids are prefixed with.
const KINDS: [&str; 9] =
    ["User", "ServicePrincipal", "Application", "Group", "Device", "Role", "Policy", "AdministrativeUnit", "Other"];

impl<'r> Claims<'r> {
    /// Reads the items of a list, without taking them.
    pub fn of(record: &'r Object<'r>, list: &str) -> Self {
        let items: Vec<Item<'r>> = items(record, list).collect();
        let mut claims = Self::default();
        // `User_<guid>` is the best hint of all, so it goes first.
        if let Some((kind, guid)) = items.iter().find_map(|(_, id, _)| prefixed(id)) {
            claims.kind = Some(kind);
            claims.uid = Some(guid);
        }
        for (_, id, kind) in &items {
            let (id, kind) = (*id, *kind);
            let place = if claims.uid == Some(id) || claims.kind == Some(id) {
                continue;
            } else if kind == 3 && is_puid(id) {
                &mut claims.puid
            } else if kind == 1 {
                &mut claims.display_name
            } else if kind == 5 {
                &mut claims.name
            } else if kind == 0 && is_guid(id) {
                &mut claims.uid
            } else if KINDS.contains(&id) && claims.kind.is_none() {
                &mut claims.kind
            } else if kind == 4 && claims.name.is_none() && !id.contains(';') {
                &mut claims.name
            } else {
                continue;
            };
            if place.is_none() {
                *place = Some(id);
            }
        }
        claims.items = items;
        claims
    }

    /// Takes the items whose id an event tells, with or without one of these kinds before it; and the kinds themselves.
    pub fn spend(&self, kinds: &[&str], told: impl Fn(&str) -> bool) {
        self.items.iter().for_each(|item| spend(*item, kinds, &told));
    }

    /// The same of a list that was read before.
    pub fn spend_list(record: &'r Object<'r>, list: &str, kinds: &[&str], told: impl Fn(&str) -> bool) {
        items(record, list).for_each(|item| spend(item, kinds, &told));
    }
}

fn spend((item, id, _): Item<'_>, kinds: &[&str], told: &impl Fn(&str) -> bool) {
    let behind = |(kind, guid): (&str, &str)| kinds.contains(&kind) && told(guid);
    if told(id) || kinds.contains(&id) || prefixed(id).is_some_and(behind) {
        item.take("ID");
        item.take("Type");
    }
}

/// The items of a list that name somebody. One of a type that isn't documented is none of ours.
fn items<'r>(record: &'r Object<'r>, list: &str) -> impl Iterator<Item = Item<'r>> {
    record.items(list).iter().filter_map(|item| {
        let item = item.as_object()?;
        let kind = match item.peek("Type") {
            None | Some(Node::Null) => -1,
            Some(kind) => kind.to_int().filter(|kind| (0..=5).contains(kind))?,
        };
        Some((item, item.peek_str("ID").filter(|id| !is_nobody(id))?, kind))
    })
}

/// `User_<guid>` in its parts, of whatever kind.
pub fn prefixed(id: &str) -> Option<(&str, &str)> {
    let word = |kind: &str| !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphabetic());
    id.split_once('_').filter(|(kind, guid)| is_guid(guid) && word(kind))
}
