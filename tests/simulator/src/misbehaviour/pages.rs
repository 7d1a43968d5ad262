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
}
