//! The twelve streams: where each comes from and what it is called on the way out.
//!
//! Invariant: this table is the only place that lists streams; everything else asks it.

use m365_schemas::validate::RecordFamily;

/// One feed of one tenant.
#[derive(Debug)]
pub struct Stream {
    /// The name, such as `office365.exchange`.
    pub name: &'static str,
    /// The API as OCSF's `metadata.log_provider` names it.
    pub provider: &'static str,
    /// Content type of the Management Activity API, or path of the Graph collection.
    pub source: &'static str,
    /// The application permission that reading it takes.
    pub permission: &'static str,
    /// The dataset (`metadata.log_name`).
    pub dataset: &'static str,
    /// The vendor as the dataset's consumers name it.
    pub vendor: &'static str,
    /// The product as the dataset's consumers name it.
    pub product: &'static str,
    /// The story that the stream belongs to, or empty.
    pub story: &'static str,
    /// Which schema its records are held against.
    pub family: RecordFamily,
    /// The entry of record_types.tsv that stands for the whole stream; empty where each record names its type.
    pub record_type: &'static str,
}

const ACTIVITY: &str = "Office 365 Management Activity API";
const GRAPH: &str = "Microsoft Graph";

/// All streams, sorted by name.
pub const STREAMS: [Stream; 12] = [
    alert("graph.alerts", "security/alerts_v2", "SecurityAlert.Read.All", RecordFamily::Alert, "graph:alerts_v2"),
    alert(
        "graph.alerts-legacy",
        "security/alerts",
        "SecurityEvents.Read.All",
        RecordFamily::AlertLegacy,
        "graph:alerts",
    ),
    Stream {
        name: "graph.directory-audits",
        provider: GRAPH,
        source: "auditLogs/directoryAudits",
        permission: "AuditLog.Read.All",
        dataset: "msft_azure_ad_audit_raw",
        vendor: "msft",
        product: "Azure AD Audit",
        story: "cloud_audit_logs",
        family: RecordFamily::DirectoryAudit,
        record_type: "graph:directoryAudits",
    },
    sign_in("graph.signins.interactive"),
    sign_in("graph.signins.managed-identity"),
    sign_in("graph.signins.noninteractive"),
    sign_in("graph.signins.service-principal"),
    activity("office365.azure-ad", "Audit.AzureActiveDirectory", "msft_o365_azure_ad_raw", "O365 Azure AD", ""),
    Stream {
        permission: "ActivityFeed.ReadDlp",
        ..activity("office365.dlp", "DLP.All", "msft_o365_dlp_raw", "O365 DLP", "")
    },
    activity(
        "office365.exchange",
        "Audit.Exchange",
        "msft_o365_exchange_online_raw",
        "O365 Exchange Online",
        "saas_audit_logs",
    ),
    activity("office365.general", "Audit.General", "msft_o365_general_raw", "O365 General", "saas_audit_logs"),
    activity(
        "office365.sharepoint",
        "Audit.SharePoint",
        "msft_o365_sharepoint_online_raw",
        "O365 Sharepoint Online",
        "saas_audit_logs",
    ),
];

const fn activity(
    name: &'static str,
    source: &'static str,
    dataset: &'static str,
    product: &'static str,
    story: &'static str,
) -> Stream {
    Stream {
        name,
        provider: ACTIVITY,
        source,
        permission: "ActivityFeed.Read",
        dataset,
        vendor: "msft",
        product,
        story,
        family: RecordFamily::Activity,
        record_type: "",
    }
}

const fn sign_in(name: &'static str) -> Stream {
    Stream {
        name,
        provider: GRAPH,
        source: "auditLogs/signIns",
        permission: "AuditLog.Read.All",
        dataset: "msft_azure_ad_raw",
        vendor: "msft",
        product: "Azure AD",
        story: "authentication",
        family: RecordFamily::SignIn,
        record_type: "graph:signIns",
    }
}

const fn alert(
    name: &'static str,
    source: &'static str,
    permission: &'static str,
    family: RecordFamily,
    record_type: &'static str,
) -> Stream {
    Stream {
        name,
        provider: GRAPH,
        source,
        permission,
        dataset: "msft_graph_security_alerts_raw",
        vendor: "msft",
        product: "Security Alerts",
        story: "",
        family,
        record_type,
    }
}

/// The stream of a name.
pub fn stream(name: &str) -> Option<&'static Stream> {
    static ALL: [Stream; 12] = STREAMS;
    ALL.binary_search_by(|s| s.name.cmp(name)).ok().map(|i| &ALL[i])
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
    use super::*;

    #[test]
    fn every_stream_is_found_by_its_name_and_has_a_record_type_that_exists() {
        for one in &STREAMS {
            assert_eq!(stream(one.name).map(|s| s.name), Some(one.name));
            let listed = super::super::tables::record_type_named(one.record_type);
            assert_eq!(one.record_type.is_empty(), listed.is_none(), "{}", one.name);
        }
        assert!(stream("office365.nothing").is_none());
    }
}
