//! Whether the pages of a list come to an end: addresses that lead in a circle, and pages that bring nothing new.
//!
//! Invariant: what is kept has one size, however many pages there are, and goes into states and positions. A circle is found after at
//! most three times its length, by the method of Brent: an address is compared with one that is remembered, and the remembered one
//! moves on at every power of two.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::call::host_of;

/// A list has fewer pages than this.
const PAGES: u32 = 20_000;
/// So many pages in a row that bring nothing new are believed: services hand out some empty pages before they go on …
const STALE: u32 = 10;
/// … and so many before the first that brings something.
const EMPTY: u32 = 50;
/// So many records of a list are remembered, by their hash.
const RECORDS: usize = 1 << 18;

/// Why pages aren't followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endless {
    /// An address leads back to a page before.
    Circle,
    /// Pages follow that bring nothing new.
    Stale,
    /// There are more pages than a list can have.
    TooMany,
}

impl Endless {
    /// For people, behind "its pages".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Circle => "lead in a circle",
            Self::Stale => "go on without anything new",
            Self::TooMany => "have no end",
        }
    }
}

/// The pages of a list that were followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Trail {
    /// How many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pages: u32,
    /// The hash of one of their addresses.
    #[serde(default, skip_serializing_if = "is_zero_wide")]
    mark: u64,
    /// How many of the last ones brought nothing new.
    #[serde(default, skip_serializing_if = "is_zero")]
    stale: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero_wide(value: &u64) -> bool {
    *value == 0
}

impl Trail {
    /// Whether no page was followed yet.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether no page has brought anything.
    pub fn is_empty_so_far(&self) -> bool {
        self.stale == self.pages
    }

    /// The page at `asked` was read, brought something `new` or not, if that can be told, and names `next` as the one after it.
    ///
    /// # Errors
    /// Why `next` isn't worth following.
    pub fn follow(&mut self, asked: &str, next: &str, new: Option<bool>) -> Result<(), Endless> {
        let (here, there) = (hash(asked), hash(next));
        self.pages = self.pages.saturating_add(1);
        if self.pages.is_power_of_two() {
            self.mark = here;
        }
        self.stale = match new {
            Some(true) => 0,
            Some(false) => self.stale.saturating_add(1),
            None => self.stale,
        };
        if there == here || there == self.mark {
            Err(Endless::Circle)
        } else if self.stale >= if self.is_empty_so_far() { EMPTY } else { STALE } {
            Err(Endless::Stale)
        } else if self.pages >= PAGES {
            Err(Endless::TooMany)
        } else {
            Ok(())
        }
    }
}

/// An address without its host: one page can be named at several.
fn hash(url: &str) -> u64 {
    xxh3_64(&url.as_bytes()[host_of(url).len()..])
}

/// The records of a list that were seen.
#[derive(Debug, Default)]
pub struct Seen(BTreeSet<u64>);

impl Seen {
    /// Whether the record is new. Once there are too many to remember, every further one is.
    pub fn is_new(&mut self, record: &[u8]) -> bool {
        let hash = xxh3_64(record);
        if self.0.len() >= RECORDS { !self.0.contains(&hash) } else { self.0.insert(hash) }
    }

    /// Whether none was seen yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.0 = BTreeSet::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many pages are read of a list whose page `n` names `next(n)`.
    fn followed(next: impl Fn(usize) -> usize, new: impl Fn(usize) -> bool) -> (usize, Endless) {
        let mut trail = Trail::default();
        let mut page = 0;
        for read in 1.. {
            let after = next(page);
            let (asked, named) = (format!("https://a/{page}"), format!("https://b/{after}"));
            if let Err(end) = trail.follow(&asked, &named, Some(new(page))) {
                return (read, end);
            }
            page = after;
        }
        unreachable!()
    }

    #[test]
    fn pages_without_news_and_without_end() {
        assert_eq!(followed(|page| page + 1, |_| false), (EMPTY as usize, Endless::Stale));
        assert_eq!(followed(|page| page + 1, |page| page == 5), (6 + STALE as usize, Endless::Stale));
        assert_eq!(followed(|page| page + 1, |_| true), (PAGES as usize, Endless::TooMany));
        assert_eq!(followed(|page| page, |_| true), (1, Endless::Circle));
        // Some empty pages now and then are none of it.
        assert_eq!(followed(|page| page + 1, |page| page.is_multiple_of(8)).1, Endless::TooMany);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_circle_is_found_within_three_times_its_pages(before in 0usize..200, length in 1usize..200) {
            let (read, end) = followed(|page| if page + 1 == before + length { before } else { page + 1 }, |_| true);
            prop_assert_eq!(end, Endless::Circle);
            prop_assert!(read >= before + length, "every page was read");
            prop_assert!(read <= 3 * (before + length) + 3, "{}", read);
        }

        #[test]
        fn what_is_kept_reads_back(pages in 0usize..50) {
            let mut trail = Trail::default();
            for page in 0..pages {
                let (asked, next) = (format!("https://a/{page}"), format!("https://a/{}", page + 1));
                trail.follow(&asked, &next, Some(page.is_multiple_of(3))).unwrap();
            }
            let text = serde_json::to_string(&trail).unwrap();
            prop_assert!(text.len() < 100);
            prop_assert_eq!(serde_json::from_str::<Trail>(&text).unwrap(), trail);
        }
    }
}
