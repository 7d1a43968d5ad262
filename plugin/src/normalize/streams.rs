//! What normalising has to know of a stream, out of the one table of streams.

use m365_schemas::record::RecordFamily;

use crate::streams::{Collection, Feed, Stream};

impl Stream {
    /// Which schema the stream's records are held against.
    pub const fn family(&self) -> RecordFamily {
        match self.feed {
            Feed::ContentType(_) => RecordFamily::Activity,
            Feed::Graph(Collection::SignIns(_)) => RecordFamily::SignIn,
            Feed::Graph(Collection::DirectoryAudits) => RecordFamily::DirectoryAudit,
            Feed::Graph(Collection::Alerts) => RecordFamily::Alert,
            Feed::Graph(Collection::AlertsLegacy) => RecordFamily::AlertLegacy,
        }
    }

    /// The API as OCSF's `metadata.log_provider` names it.
    pub const fn provider(&self) -> &'static str {
        match self.feed {
            Feed::ContentType(_) => "Office 365 Management Activity API",
            Feed::Graph(_) => "Microsoft Graph",
        }
    }

    /// The content type of the Management Activity API, or the path of the Graph collection (`metadata.log_source`).
    pub const fn source(&self) -> &'static str {
        match self.feed {
            Feed::ContentType(name) => name,
            Feed::Graph(Collection::SignIns(_)) => "auditLogs/signIns",
            Feed::Graph(Collection::DirectoryAudits) => "auditLogs/directoryAudits",
            Feed::Graph(Collection::Alerts) => "security/alerts_v2",
            Feed::Graph(Collection::AlertsLegacy) => "security/alerts",
        }
    }

    /// The entry of record_types.tsv that stands for the whole stream; none where each record names its type.
    pub const fn record_type(&self) -> Option<&'static str> {
        match self.feed {
            Feed::ContentType(_) => None,
            Feed::Graph(Collection::SignIns(_)) => Some("graph:signIns"),
            Feed::Graph(Collection::DirectoryAudits) => Some("graph:directoryAudits"),
            Feed::Graph(Collection::Alerts) => Some("graph:alerts_v2"),
            Feed::Graph(Collection::AlertsLegacy) => Some("graph:alerts"),
        }
    }
}

/// The producer of a Management Activity record by its `Workload`; OCSF wants the product there, not the transport.
pub fn product_of_workload(workload: &str) -> &str {
    match workload {
        "AzureActiveDirectory" => "Microsoft Entra ID",
        "Exchange" => "Microsoft Exchange Online",
        "SharePoint" => "Microsoft SharePoint Online",
        "OneDrive" => "Microsoft OneDrive for Business",
        "MicrosoftTeams" => "Microsoft Teams",
        "PowerBI" => "Microsoft Power BI",
        "MicrosoftForms" => "Microsoft Forms",
        "SecurityComplianceCenter" => "Microsoft Purview",
        "ThreatIntelligence" => "Microsoft Defender for Office 365",
        "Copilot" => "Microsoft 365 Copilot",
        "" => "Microsoft 365",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use crate::normalize::tables;
    use crate::streams::STREAMS;

    #[test]
    fn the_record_type_of_a_stream_exists() {
        for stream in STREAMS {
            if let Some(name) = stream.record_type() {
                assert!(tables::record_type_named(name).is_some(), "{}", stream.name);
            }
        }
    }
}
