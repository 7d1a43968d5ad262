//! Entra ID: where its clouds are, how it issues tokens, and what its refusals mean.
//!
//! Invariant: this is the only place of the host that names Microsoft, and the only one that sees a client secret.

mod clock;
mod clouds;
mod errors;
mod login;
mod tenant;
mod token;

pub use clouds::{Cloud, Endpoint, Endpoints, GRAPH, OFFICE365_MANAGEMENT, UnknownCloud};
pub use errors::{Again, Meaning, meaning};
pub use tenant::{Tenant, tenant_id};
pub use token::{Credentials, ReadSecret, TokenSource};

/// The header in which Microsoft's identity services tell how much of a request limit is used (Microsoft Graph throttling
/// limits, identity and access).
pub const LOAD_HEADER: &str = "x-ms-throttle-limit-percentage";

pub use crate::http::Secret;
