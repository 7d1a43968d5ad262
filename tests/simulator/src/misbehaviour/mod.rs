//! How a tenant or its services can misbehave, as data: one file for each family, one type for each kind.
//!
//! Invariant: what happens depends on the seed, the simulated clock and the order of requests alone, and every trouble leaves
//! a way to get at everything: what a tenant never gives, nobody owes.

mod arrival;
mod bodies;
mod changes;
mod dates;
mod identity;
mod pages;
mod subscriptions;
mod troubles;

pub use arrival::{Arrival, Late};
pub use bodies::Bodies;
pub use changes::{Change, What};
pub use dates::Dates;
pub(crate) use dates::error as date_error;
pub use identity::Identity;
pub use pages::Pages;
pub(crate) use pages::{Astray, Paged, led};
pub use subscriptions::Subscriptions;
pub(crate) use troubles::Rows;
pub use troubles::{MOST_IN_A_ROW, Trouble, When};

/// Everything that is odd about a tenant, beside its [`Faults`](crate::Faults). The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Misbehaviour {
    /// When and how often records and blobs come.
    pub arrival: Arrival,
    /// How listings are paged and what their links are like.
    pub pages: Pages,
    /// Bodies that aren't what was asked for.
    pub bodies: Bodies,
    /// `Date` headers that are wrong.
    pub dates: Dates,
    /// What is odd about tokens and clocks.
    pub identity: Identity,
    /// What is odd about subscriptions.
    pub subscriptions: Subscriptions,
    /// What somebody else does to the tenant, and when.
    pub changes: Vec<Change>,
    /// Requests that go wrong, the first that fits wins.
    pub troubles: Vec<Trouble>,
}
