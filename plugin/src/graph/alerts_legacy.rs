//! Legacy security alerts (`security/alerts`), a federation of providers that Microsoft retires.
//!
//! Invariant: an answer of which providers are missing (206) keeps its records and is told; an endpoint that is gone is
//! told as the retirement that it is.

use super::Query;
use crate::call::Head;

/// The query. Past 1,000 records per provider and 500 skipped, the next page is left out without a word
/// (Microsoft: List alerts), so a window of as many is narrowed.
pub const QUERY: Query = Query {
    path: "/v1.0/security/alerts",
    time: "lastModifiedDateTime",
    condition: None,
    ordered: false,
    reach: None,
    cap: Some(1_000),
};

/// What to do once the endpoint is gone.
pub const RETIREMENT: &str = "Microsoft announced that legacy alerts stop returning data on 2026-10-15: turn this stream off and use graph.alerts, which needs the permission SecurityAlert.Read.All.";

/// What a partial answer (206) says of the providers that failed: `Warning: 199 - "Vendor/Provider/status/milliseconds"`.
pub fn failed_providers(head: &Head) -> Option<String> {
    if head.status != 206 {
        return None;
    }
    let warnings: Vec<&str> = head
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("warning"))
        .map(|(_, value)| value.trim())
        .collect();
    let said = if warnings.is_empty() {
        "it doesn't say which".to_owned()
    } else {
        crate::call::excerpt(&warnings.join("; "))
    };
    Some(format!(
        "The service answered without some providers of legacy alerts ({said}); a status of 403 means that the tenant lacks that provider's product."
    ))
}
