//! Which stream a file of the corpus is of.

const STREAMS: [(&str, &str); 12] = [
    ("o365-aad.", "office365.azure-ad"),
    ("o365-exchange.", "office365.exchange"),
    ("o365-sharepoint.", "office365.sharepoint"),
    ("o365-general.", "office365.general"),
    ("o365-dlp.", "office365.dlp"),
    ("graph-signins-interactive.", "graph.signins.interactive"),
    ("graph-signins-noninteractive.", "graph.signins.noninteractive"),
    ("graph-signins-serviceprincipal.", "graph.signins.service-principal"),
    ("graph-signins-managedidentity.", "graph.signins.managed-identity"),
    ("graph-directoryaudits.", "graph.directory-audits"),
    ("graph-alerts-v1.", "graph.alerts-legacy"),
    ("graph-alerts-v2.", "graph.alerts"),
];

/// The stream; none for a file of something else.
pub fn of_corpus(file: &str) -> Option<&'static str> {
    STREAMS.iter().find(|(start, _)| file.starts_with(start)).map(|(_, stream)| *stream)
}
