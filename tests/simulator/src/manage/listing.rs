//! The pages of a listing of content: in order of availability, or in the disorder that a scenario asks for.
//!
//! Invariant: the pages of one listing name every blob that was listable at its beginning, once at least.

use crate::catalogue::Shelf;
use crate::clock::Ticks;
use crate::misbehaviour::{Paged, Pages};

/// Where the next page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// In order: the next blob. In disorder: the next entry of the listing.
    next: usize,
    /// Where the first page began.
    begin: usize,
    /// The listing's number, from which its order is made, and the way in which it leads astray.
    pub(super) number: u64,
    /// When the listing began.
    snapshot: Ticks,
    /// How far it has gone astray.
    round: u32,
}

impl Paged for Place {
    fn round(self) -> u32 {
        self.round
    }

    fn in_round(self, round: u32) -> Self {
        Self { round, ..self }
    }

    fn first(self) -> Self {
        Self { next: self.begin, round: 0, ..self }
    }

    fn is_first(self) -> bool {
        self.next == self.begin && self.round == 0
    }
}

impl Place {
    /// As it stands in a link.
    pub(super) fn write(&self) -> String {
        format!("{}.{}.{}.{}.{}", self.next, self.begin, self.number, self.snapshot, self.round)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let place = Self {
            next: parts.next()?.parse().ok()?,
            begin: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
            snapshot: parts.next()?.parse().ok()?,
            round: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(place)
    }
}

/// What is listed.
pub(super) struct Listing<'a, F: Fn(usize, Ticks) -> bool> {
    pub(super) shelf: &'a Shelf,
    pub(super) pages: &'a Pages,
    /// `start <= contentCreated < end`
    pub(super) window: (Ticks, Ticks),
    /// Blobs in a page.
    pub(super) size: usize,
    /// Whether a blob is listable at a time.
    pub(super) listable: F,
}

impl<F: Fn(usize, Ticks) -> bool> Listing<'_, F> {
    fn disordered(&self) -> bool {
        self.pages.shuffled || self.pages.shifting > 0 || self.pages.twice_every > 0
    }

    /// Where the first page begins. `number` is different for each listing.
    pub(super) fn start(&self, now: Ticks, number: u64) -> Place {
        let next = if self.disordered() { 0 } else { self.shelf.first_blob_from(self.window.0) };
        Place { next, begin: next, number, snapshot: now, round: 0 }
    }

    /// The blobs of a page, and where the next one begins, if there is one.
    pub(super) fn page(&self, place: Place, now: Ticks) -> (Vec<usize>, Option<Place>) {
        if self.disordered() { self.disordered_page(place) } else { self.ordered_page(place, now) }
    }

    fn ordered_page(&self, place: Place, now: Ticks) -> (Vec<usize>, Option<Place>) {
        let mut page = Vec::new();
        for blob in place.next..self.shelf.blobs() {
            if self.shelf.created(blob) >= self.window.1.min(now.saturating_add(1)) {
                break;
            }
            if (self.listable)(blob, now) {
                if page.len() == self.size {
                    return (page, Some(Place { next: blob, ..place }));
                }
                page.push(blob);
            }
        }
        (page, None)
    }

    fn disordered_page(&self, place: Place) -> (Vec<usize>, Option<Place>) {
        let end = self.window.1.min(place.snapshot.saturating_add(1));
        let first = self.shelf.first_blob_from(self.window.0);
        let mut all: Vec<usize> = (first..self.shelf.blobs())
            .take_while(|blob| self.shelf.created(*blob) < end)
            .filter(|blob| (self.listable)(*blob, place.snapshot))
            .collect();
        let again: Vec<usize> =
            all.iter().copied().filter(|blob| self.shelf.strikes(self.pages.twice_every, *blob, 14)).collect();
        all.extend(again);
        if self.pages.shuffled {
            fastrand::Rng::with_seed(place.number).shuffle(&mut all);
        }
        let page: Vec<usize> = all.iter().copied().skip(place.next).take(self.size).collect();
        let step = self.size.saturating_sub(self.pages.shifting).max(1);
        let more = place.next + self.size < all.len();
        (page, more.then_some(Place { next: place.next + step, ..place }))
    }
}
