//! Security alerts (`alerts_v2`).
//!
//! Invariant: windows run on `lastUpdateDateTime`, since an alert changes after it was raised and each version counts.

use super::Query;

/// The query. The collection pages no further than 6,000 records; beyond, a next page is refused and the reader narrows
/// its window.
pub const QUERY: Query = Query {
    path: "/v1.0/security/alerts_v2",
    time: "lastUpdateDateTime",
    condition: None,
    ordered: true,
    reach: None,
    cap: Some(6_000),
};
