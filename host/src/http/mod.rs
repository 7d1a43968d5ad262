//! The way out: every request of the host and of its guests, under one egress policy.
//!
//! Invariant: deny by default. A request leaves only to a scheme, host and port that the configuration allows for its
//! audience, at a rate that its quota allows, and carries a token only there.
//!
//! Nothing here knows whose services are called; where tokens come from is behind [`TokenProvider`].

mod addresses;
mod cancel;
mod client;
mod clocks;
mod config;
mod error;
mod policy;
mod quota;
mod quota_memory;
mod request;
mod response;
mod retry_after;
mod secret;
#[cfg(test)]
pub(crate) mod stand_in;
mod stats;
mod transport_error;
mod trial;

pub use addresses::{AddressClass, classify};
pub use cancel::Cancel;
pub use client::Client;
pub(crate) use client::root_certificates;
pub use config::{Allow, Config, NoTokens, ProxyUrl, Timeouts, TokenProvider, Transport};
pub use error::{Error, ErrorKind};
pub use policy::DenyReason;
pub use quota::{Backoff, QuotaRule, QuotaStats};
pub use request::{Method, Request};
pub use response::Response;
pub(crate) use retry_after::retry_after;
pub use secret::Secret;
pub use stats::Stats;
pub use transport_error::is_of_the_network;
pub(crate) use transport_error::translate;
