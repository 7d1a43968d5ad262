//! Lists in which each item stands once, put together out of lists of any length.
//!
//! Invariant: the items keep the order in which they came first, in time that grows with their number: a few are compared one by one,
//! more by a key.

use std::collections::BTreeSet;

use super::event::{FEW, Value};
use super::write;

/// Items of which none is equal to another one.
#[derive(Debug)]
pub struct Distinct<T, K> {
    items: Vec<T>,
    /// The keys of the items, once there are more than a few.
    keys: BTreeSet<K>,
    key: fn(&T) -> K,
}

impl<T: PartialEq, K: Ord> Distinct<T, K> {
    /// No items yet. `key` is the same for two items if and only if they are equal.
    pub fn by(key: fn(&T) -> K) -> Self {
        Self { items: Vec::new(), keys: BTreeSet::new(), key }
    }

    /// Whether there is such an item.
    pub fn has(&self, item: &T) -> bool {
        if self.items.len() <= FEW { self.items.contains(item) } else { self.keys.contains(&(self.key)(item)) }
    }

    /// Adds an item, unless it is there.
    pub fn add(&mut self, item: T) {
        if self.has(&item) {
            return;
        }
        self.items.push(item);
        let length = self.items.len();
        if length > FEW {
            let from = if self.keys.is_empty() { 0 } else { length - 1 };
            self.keys.extend(self.items[from..].iter().map(self.key));
        }
    }

    /// The items so far.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The items.
    pub fn into_items(self) -> Vec<T> {
        self.items
    }
}

/// Texts of a record.
pub type Texts<'r> = Distinct<&'r str, &'r str>;

impl Default for Texts<'_> {
    fn default() -> Self {
        texts()
    }
}

/// No texts yet.
pub fn texts<'r>() -> Texts<'r> {
    Distinct::by(|text| *text)
}

/// No values yet. They are told apart as they are written.
pub fn values<'r>() -> Distinct<Value<'r>, String> {
    Distinct::by(write::to_json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once_in_the_order_of_its_first_time() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 10 * FEW] {
            let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
            let mut distinct = texts();
            for name in names.iter().chain(names.iter().rev()) {
                distinct.add(name);
            }
            assert_eq!(distinct.items(), names);
            assert!(names.iter().all(|name| distinct.has(&name.as_str())) && !distinct.has(&"m"));
        }
    }
}
