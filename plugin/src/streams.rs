//! The one table of streams: name, call, permissions, dataset, and what the records become.
//!
//! Invariant: the names never change their meaning between versions; everything that needs a fact about a
//! stream (the source, the transform, `describe`) takes it from here.

/// The name of the audience whose token the Office 365 Management Activity API takes.
pub const AUDIENCE_OFFICE365: &str = "office365-management";
/// The name of the audience whose token Microsoft Graph takes.
pub const AUDIENCE_GRAPH: &str = "microsoft-graph";
/// The quota of the Office 365 Management Activity API.
pub const QUOTA_OFFICE365: &str = "office365";
/// The quota of Graph's identity and access reports (sign-ins and directory audits together).
pub const QUOTA_GRAPH_REPORTS: &str = "graph-reports";
/// The quota of Graph's security alerts.
pub const QUOTA_GRAPH_ALERTS: &str = "graph-alerts";

/// How a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// A content type of the Office 365 Management Activity API, such as `Audit.Exchange`.
    ContentType(&'static str),
    /// A collection of Microsoft Graph.
    Graph(Collection),
}

/// A collection of Microsoft Graph that is read by windows of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Sign-ins of one family.
    SignIns(SignInFamily),
    /// Changes to the directory.
    DirectoryAudits,
    /// `security/alerts_v2`.
    Alerts,
    /// `security/alerts`, which Microsoft retires.
    AlertsLegacy,
}

/// The four families of sign-ins; one query reads one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInFamily {
    /// A person signed in.
    Interactive,
    /// A client signed in on behalf of a person.
    NonInteractive,
    /// An application signed in with its own credentials.
    ServicePrincipal,
    /// A managed identity of Azure signed in.
    ManagedIdentity,
}

/// One stream of one tenant.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The name in configuration and ledger, such as `office365.exchange`.
    pub name: &'static str,
    /// A short name for people.
    pub title: &'static str,
    /// The call behind the stream, for people.
    pub api: &'static str,
    /// How it is read.
    pub feed: Feed,
    /// Application permissions that the stream needs.
    pub permissions: &'static [&'static str],
    /// The dataset of raw records.
    pub dataset: &'static str,
    /// The vendor of the dataset.
    pub vendor: &'static str,
    /// The product of the dataset.
    pub product: &'static str,
    /// The normalised view that consumers build of the dataset, if any.
    pub story: Option<&'static str>,
    /// The OCSF classes that records of the stream become.
    pub event_classes: &'static [u32],
    /// A sentence to show when the stream is turned on; empty if there is none.
    pub notice: &'static str,
}

impl Stream {
    /// The audience whose token the stream's requests carry.
    pub const fn audience(&self) -> &'static str {
        match self.feed {
            Feed::ContentType(_) => AUDIENCE_OFFICE365,
            Feed::Graph(_) => AUDIENCE_GRAPH,
        }
    }

    /// The quota that the stream's requests count against.
    pub const fn quota(&self) -> &'static str {
        match self.feed {
            Feed::ContentType(_) => QUOTA_OFFICE365,
            Feed::Graph(Collection::SignIns(_) | Collection::DirectoryAudits) => QUOTA_GRAPH_REPORTS,
            Feed::Graph(Collection::Alerts | Collection::AlertsLegacy) => QUOTA_GRAPH_ALERTS,
        }
    }
}

/// Finds a stream by its name.
pub fn find(name: &str) -> Option<&'static Stream> {
    STREAMS.iter().find(|stream| stream.name == name)
}

const READ: &[&str] = &["ActivityFeed.Read"];
const READ_DLP: &[&str] = &["ActivityFeed.Read", "ActivityFeed.ReadDlp"];
const REPORTS: &[&str] = &["AuditLog.Read.All", "Directory.Read.All"];
const SAAS: Option<&str> = Some("saas_audit_logs");
const BETA: &str = "This stream reads Microsoft Graph's beta endpoint, the only one that serves this family of sign-ins; Microsoft may change it without notice.";

/// Every stream, in the order in which people see them.
pub const STREAMS: &[Stream] = &[
    Stream {
        name: "office365.azure-ad",
        title: "Entra ID audit (Office 365)",
        api: "Audit.AzureActiveDirectory",
        feed: Feed::ContentType("Audit.AzureActiveDirectory"),
        permissions: READ,
        dataset: "msft_o365_azure_ad_raw",
        vendor: "msft",
        product: "O365 Azure AD",
        story: None,
        event_classes: &[3001, 3002, 3004, 3005, 3006, 6003],
        notice: "",
    },
    Stream {
        name: "office365.exchange",
        title: "Exchange Online audit",
        api: "Audit.Exchange",
        feed: Feed::ContentType("Audit.Exchange"),
        permissions: READ,
        dataset: "msft_o365_exchange_online_raw",
        vendor: "msft",
        product: "O365 Exchange Online",
        story: SAAS,
        event_classes: &[3001, 3002, 3004, 3005, 3006, 4009, 6001, 6003],
        notice: "",
    },
    Stream {
        name: "office365.sharepoint",
        title: "SharePoint Online and OneDrive audit",
        api: "Audit.SharePoint",
        feed: Feed::ContentType("Audit.SharePoint"),
        permissions: READ,
        dataset: "msft_o365_sharepoint_online_raw",
        vendor: "msft",
        product: "O365 Sharepoint Online",
        story: SAAS,
        event_classes: &[3002, 3004, 3005, 3006, 6001, 6003, 6006],
        notice: "",
    },
    Stream {
        name: "office365.dlp",
        title: "Data loss prevention events",
        api: "DLP.All",
        feed: Feed::ContentType("DLP.All"),
        permissions: READ_DLP,
        dataset: "msft_o365_dlp_raw",
        vendor: "msft",
        product: "O365 DLP",
        story: None,
        event_classes: &[2006, 3004, 6003],
        notice: "Records of this stream can hold the sensitive text that a rule has found.",
    },
    Stream {
        name: "office365.general",
        title: "Audit of all other Office 365 workloads",
        api: "Audit.General",
        feed: Feed::ContentType("Audit.General"),
        permissions: READ,
        dataset: "msft_o365_general_raw",
        vendor: "msft",
        product: "O365 General",
        story: SAAS,
        event_classes: &[2004, 2006, 3001, 3002, 3004, 3005, 3006, 4009, 6001, 6002, 6003, 6006],
        notice: "",
    },
    Stream {
        name: "graph.signins.interactive",
        title: "Interactive user sign-ins",
        api: "GET /v1.0/auditLogs/signIns",
        feed: Feed::Graph(Collection::SignIns(SignInFamily::Interactive)),
        permissions: REPORTS,
        dataset: "msft_azure_ad_raw",
        vendor: "msft",
        product: "Azure AD",
        story: Some("authentication"),
        event_classes: &[3002],
        notice: "",
    },
    Stream {
        name: "graph.signins.noninteractive",
        title: "Non-interactive user sign-ins",
        api: "GET /beta/auditLogs/signIns (nonInteractiveUser)",
        feed: Feed::Graph(Collection::SignIns(SignInFamily::NonInteractive)),
        permissions: REPORTS,
        dataset: "msft_azure_ad_raw",
        vendor: "msft",
        product: "Azure AD",
        story: Some("authentication"),
        event_classes: &[3002],
        notice: BETA,
    },
    Stream {
        name: "graph.signins.service-principal",
        title: "Service principal sign-ins",
        api: "GET /beta/auditLogs/signIns (servicePrincipal)",
        feed: Feed::Graph(Collection::SignIns(SignInFamily::ServicePrincipal)),
        permissions: REPORTS,
        dataset: "msft_azure_ad_raw",
        vendor: "msft",
        product: "Azure AD",
        story: Some("authentication"),
        event_classes: &[3002],
        notice: BETA,
    },
    Stream {
        name: "graph.signins.managed-identity",
        title: "Managed identity sign-ins",
        api: "GET /beta/auditLogs/signIns (managedIdentity)",
        feed: Feed::Graph(Collection::SignIns(SignInFamily::ManagedIdentity)),
        permissions: REPORTS,
        dataset: "msft_azure_ad_raw",
        vendor: "msft",
        product: "Azure AD",
        story: Some("authentication"),
        event_classes: &[3002],
        notice: BETA,
    },
    Stream {
        name: "graph.directory-audits",
        title: "Directory audit log",
        api: "GET /v1.0/auditLogs/directoryAudits",
        feed: Feed::Graph(Collection::DirectoryAudits),
        permissions: REPORTS,
        dataset: "msft_azure_ad_audit_raw",
        vendor: "msft",
        product: "Azure AD Audit",
        story: Some("cloud_audit_logs"),
        event_classes: &[3001, 3002, 3004, 3005, 3006, 6003],
        notice: "",
    },
    Stream {
        name: "graph.alerts",
        title: "Security alerts",
        api: "GET /v1.0/security/alerts_v2",
        feed: Feed::Graph(Collection::Alerts),
        permissions: &["SecurityAlert.Read.All"],
        dataset: "msft_graph_security_alerts_raw",
        vendor: "msft",
        product: "Security Alerts",
        story: None,
        event_classes: &[2004],
        notice: "",
    },
    Stream {
        name: "graph.alerts-legacy",
        title: "Security alerts, legacy",
        api: "GET /v1.0/security/alerts",
        feed: Feed::Graph(Collection::AlertsLegacy),
        permissions: &["SecurityEvents.Read.All"],
        dataset: "msft_graph_security_alerts_raw",
        vendor: "msft",
        product: "Security Alerts",
        story: None,
        event_classes: &[2004],
        notice: "Microsoft announced that the legacy alerts stop returning data on 2026-10-15; use graph.alerts.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        for (i, stream) in STREAMS.iter().enumerate() {
            assert!(stream.name.len() <= 64);
            assert!(
                stream.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
            );
            assert!(STREAMS[i + 1..].iter().all(|other| other.name != stream.name), "{} twice", stream.name);
            assert_eq!(find(stream.name).map(|s| s.api), Some(stream.api));
        }
        assert_eq!(STREAMS.len(), 12);
        assert!(find("office365.*").is_none());
    }
}
