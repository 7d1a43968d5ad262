//! The tenant's records by stream, as templates: one file for each family.
//!
//! Invariant: every template renders to one JSON object that names `«id»` (or, for directory audits, a GUID of its own), so that records
//! differ. The pool of variants of a stream is limited; records beyond it differ in ids and times only, which is what a load test needs.

mod alerts;
mod alerts_legacy;
mod azure_ad;
mod directory_audits;
mod dlp;
mod exchange;
mod general;
mod sharepoint;
mod signins;

use crate::template::Template;

pub(crate) use alerts::CREATED_BEFORE_SECONDS as ALERT_CREATED_BEFORE;
pub(crate) use alerts_legacy::{
    CREATED_BEFORE_SECONDS as LEGACY_CREATED_BEFORE, EVENT_BEFORE_SECONDS as LEGACY_EVENT_BEFORE,
};

/// The templates of a stream; none for an unknown one.
pub(crate) fn templates(stream: &str) -> &'static [Template] {
    match stream {
        "office365.azure-ad" => azure_ad::TEMPLATES,
        "office365.exchange" => exchange::TEMPLATES,
        "office365.sharepoint" => sharepoint::TEMPLATES,
        "office365.general" => general::TEMPLATES,
        "office365.dlp" => dlp::TEMPLATES,
        "graph.signins.interactive" => signins::INTERACTIVE,
        "graph.signins.noninteractive" => signins::NON_INTERACTIVE,
        "graph.signins.service-principal" => signins::SERVICE_PRINCIPAL,
        "graph.signins.managed-identity" => signins::MANAGED_IDENTITY,
        "graph.directory-audits" => directory_audits::TEMPLATES,
        "graph.alerts" => alerts::TEMPLATES,
        "graph.alerts-legacy" => alerts_legacy::TEMPLATES,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::STREAMS;
    use crate::template::{Dialect, Filling, variants};

    #[test]
    fn every_variant_is_one_object_with_nothing_left_open() {
        for stream in STREAMS {
            for (record_bytes, seed) in [(0, 1), (0, 2), (4_000, 3)] {
                let made =
                    variants(templates(stream.name), 300, Dialect { escapes: stream.management(), record_bytes }, seed);
                assert!(made.len() > 5, "{}: only {} variants", stream.name, made.len());
                for variant in made {
                    let mut text = Vec::new();
                    variant.render(Filling { id: 7, rest: 9, at: 17_000_000_000_000_000 }, &mut text);
                    let text = String::from_utf8(text).unwrap();
                    assert!(!text.contains('«') && !text.contains('»'), "{text}");
                    let value: serde_json::Value =
                        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}: {text}", stream.name));
                    let id = value.get(if stream.management() { "Id" } else { "id" });
                    assert!(id.and_then(|id| id.as_str()).is_some_and(|id| id.len() >= 36), "{text}");
                    assert!(record_bytes == 0 || (3_500..7_000).contains(&text.len()), "{} bytes: {text}", text.len());
                }
            }
        }
    }
}
