//! How listings are paged, and what their links are like.

/// How listings are paged and what their links are like. Zero and false are the healthy values.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// Each listing of content has an order of its own.
    pub shuffled: bool,
    /// Each further page begins so many entries before the end of the one before it, as if others had been put in front.
    pub shifting: usize,
    /// One blob in so many is listed a second time at the end of the same listing.
    pub twice_every: u64,
    /// `NextPageUri` spells its parameters in lower case.
    pub lower_case: bool,
    /// One `contentUri` in so many points at a foreign host; the next listing may have it right.
    pub foreign_content_every: u64,
    /// One `NextPageUri` and `@odata.nextLink` in so many points at a foreign host.
    pub foreign_next_every: u64,
    /// One listing in so many is led astray: its links go in a circle, name empty pages, or have no end.
    pub astray_every: u64,
    /// The legacy alerts ignore the filter: whatever time is asked for, all of them come.
    pub legacy_filter_ignored: bool,
}

/// How the links of a listing lead astray. What it is follows from the listing's number, so that it holds for all its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Astray {
    /// Every further page leads back to the first: A, B, A. What comes after B isn't in this listing.
    Back,
    /// After the last page there is an empty one that names itself.
    Itself,
    /// Between two pages there is an empty one. It has to be followed.
    Between,
    /// After the last page there are empty ones, without end, under ever new links.
    Endless,
    /// After the last page the first comes again, without end, under ever new links.
    Again,
}

impl Pages {
    /// How a listing is led astray, by dice that are its own.
    pub(crate) fn astray(&self, dice: u64) -> Option<Astray> {
        const ALL: [Astray; 5] = [Astray::Back, Astray::Itself, Astray::Between, Astray::Endless, Astray::Again];
        if self.astray_every == 0 || !dice.is_multiple_of(self.astray_every) {
            return None;
        }
        Some(ALL[(dice / self.astray_every % ALL.len() as u64) as usize])
    }
}

/// Where a page of a listing lies. Its round says how far the listing has gone astray: zero is a page of the listing, and every
/// other a page beside it.
pub(crate) trait Paged: Copy {
    fn round(self) -> u32;
    fn in_round(self, round: u32) -> Self;
    /// The first page of the same listing.
    fn first(self) -> Self;
    fn is_first(self) -> bool;
}

impl Astray {
    /// What a page beside the listing shows: the first page's entries, or none.
    pub(crate) fn shows(self) -> bool {
        self == Self::Again
    }
}

/// Where the page `here` leads, whose honest next page is `next`.
pub(crate) fn led<P: Paged>(astray: Option<Astray>, here: P, next: Option<P>) -> Option<P> {
    let round = here.round();
    match (astray, next) {
        (Some(Astray::Back), _) if !here.is_first() => Some(here.first()),
        (Some(Astray::Itself), _) if round > 0 => Some(here),
        (Some(Astray::Itself), None) => Some(here.in_round(1)),
        (Some(Astray::Between), _) if round > 0 => Some(here.in_round(0)),
        (Some(Astray::Between), Some(next)) => Some(next.in_round(1)),
        (Some(Astray::Endless | Astray::Again), _) if round > 0 => Some(here.in_round(round.saturating_add(1))),
        (Some(Astray::Endless | Astray::Again), None) => Some(here.in_round(1)),
        (_, next) => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page by its number, of three.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Page(u32, u32);

    impl Paged for Page {
        fn round(self) -> u32 {
            self.1
        }
        fn in_round(self, round: u32) -> Self {
            Self(self.0, round)
        }
        fn first(self) -> Self {
            Self(0, 0)
        }
        fn is_first(self) -> bool {
            self.0 == 0
        }
    }

    /// The first pages that a listing shows.
    fn walk(astray: Option<Astray>) -> Vec<(u32, u32)> {
        let mut at = Some(Page(0, 0));
        let mut seen = Vec::new();
        while let Some(here) = at.filter(|_| seen.len() < 6) {
            seen.push((here.0, here.1));
            let honest = (here.1 == 0 && here.0 < 2).then(|| Page(here.0 + 1, 0));
            at = led(astray, here, honest);
        }
        seen
    }

    #[test]
    fn each_way_astray_is_what_it_says() {
        assert_eq!(walk(None), [(0, 0), (1, 0), (2, 0)]);
        assert_eq!(walk(Some(Astray::Back)), [(0, 0), (1, 0), (0, 0), (1, 0), (0, 0), (1, 0)]);
        assert_eq!(walk(Some(Astray::Itself)), [(0, 0), (1, 0), (2, 0), (2, 1), (2, 1), (2, 1)]);
        assert_eq!(walk(Some(Astray::Between)), [(0, 0), (1, 1), (1, 0), (2, 1), (2, 0)]);
        for endless in [Astray::Endless, Astray::Again] {
            assert_eq!(walk(Some(endless)), [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3)]);
        }
    }

    #[test]
    fn dice_lead_some_listings_astray_in_every_way() {
        let pages = Pages { astray_every: 3, ..Pages::default() };
        let found: Vec<Option<Astray>> = (0..3_000).map(|dice| pages.astray(dice)).collect();
        assert_eq!(found.iter().filter(|astray| astray.is_none()).count(), 2_000);
        for astray in [Astray::Back, Astray::Itself, Astray::Between, Astray::Endless, Astray::Again] {
            assert_eq!(found.iter().filter(|found| **found == Some(astray)).count(), 200);
        }
        assert!((0..100).all(|dice| Pages::default().astray(dice).is_none()));
    }
}
