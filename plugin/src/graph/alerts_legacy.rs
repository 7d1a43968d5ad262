//! Legacy security alerts (`security/alerts`), a federation of providers that Microsoft retires.
//!
//! Invariant: an answer of which providers are missing (206) keeps its records and is told once; an endpoint that is gone is
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

/// A partial answer (206), which says which providers failed: `Warning: 199 - "Vendor/Provider/status/milliseconds"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The providers with their status, without what changes each time; the same text for the same ones.
    pub providers: String,
}

impl Partial {
    /// Reads a head.
    pub fn of(head: &Head) -> Option<Self> {
        if head.status != 206 {
            return None;
        }
        let mut providers: Vec<&str> = head
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("warning"))
            .map(|(_, value)| {
                let value = value.trim().trim_start_matches("199 - ").trim_matches(['"', '\'', ' ']);
                let (before, last) = value.rsplit_once('/').unwrap_or((value, ""));
                if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) { before } else { value }
            })
            .collect();
        providers.sort_unstable();
        providers.dedup();
        Some(Self { providers: crate::call::excerpt(&providers.join("; ")) })
    }

    /// What is told of it.
    pub fn message(&self) -> String {
        let said = if self.providers.is_empty() { "it doesn't say which" } else { &self.providers };
        format!(
            "The service answered without some providers of legacy alerts ({said}); a status of 403 means that the tenant lacks that provider's product. What the others gave is read."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_providers_give_the_same_text() {
        let head = |warnings: &[&str]| Head {
            status: 206,
            headers: warnings.iter().map(|value| ("Warning".to_owned(), (*value).to_owned())).collect(),
        };
        let first =
            Partial::of(&head(&["199 - \"Microsoft/WDATP/401/228\"", "199 - 'Microsoft/MCAS/403/602'"])).unwrap();
        let second = Partial::of(&head(&["199 - 'Microsoft/MCAS/403/7'", "199 - \"Microsoft/WDATP/401/9\""])).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.providers, "Microsoft/MCAS/403; Microsoft/WDATP/401");
        assert!(Partial::of(&head(&[])).unwrap().message().contains("doesn't say which"));
        assert_eq!(Partial::of(&Head { status: 200, headers: vec![] }), None);
    }
}
