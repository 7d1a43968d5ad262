//! The twelve streams: names, where the APIs serve them, and how much of a tenant's traffic each is.
//!
//! Invariant: the order of [`STREAMS`] is the order of every per-stream array inside the simulator.

/// Where a stream is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// The Management Activity API's content type.
    Management(&'static str),
    /// A sign-in family of Graph, by its `signInEventTypes` value.
    SignIns(&'static str),
    DirectoryAudits,
    Alerts,
    LegacyAlerts,
}

pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) api: Api,
    /// Share of all records, in thousandths.
    pub(crate) share: u64,
    /// The name that corpus files of the stream begin with.
    pub(crate) corpus_prefix: &'static str,
}

impl Stream {
    pub(crate) fn management(&self) -> bool {
        matches!(self.api, Api::Management(_))
    }
}

const fn stream(name: &'static str, api: Api, share: u64, corpus_prefix: &'static str) -> Stream {
    Stream { name, api, share, corpus_prefix }
}

pub(crate) const STREAMS: [Stream; 12] = [
    stream("office365.azure-ad", Api::Management("Audit.AzureActiveDirectory"), 100, "o365-aad"),
    stream("office365.exchange", Api::Management("Audit.Exchange"), 180, "o365-exchange"),
    stream("office365.sharepoint", Api::Management("Audit.SharePoint"), 140, "o365-sharepoint"),
    stream("office365.dlp", Api::Management("DLP.All"), 10, "o365-dlp"),
    stream("office365.general", Api::Management("Audit.General"), 80, "o365-general"),
    stream("graph.signins.interactive", Api::SignIns("interactiveUser"), 80, "graph-signins-interactive"),
    stream("graph.signins.noninteractive", Api::SignIns("nonInteractiveUser"), 260, "graph-signins-noninteractive"),
    stream("graph.signins.service-principal", Api::SignIns("servicePrincipal"), 80, "graph-signins-serviceprincipal"),
    stream("graph.signins.managed-identity", Api::SignIns("managedIdentity"), 30, "graph-signins-managedidentity"),
    stream("graph.directory-audits", Api::DirectoryAudits, 30, "graph-directoryaudits"),
    stream("graph.alerts", Api::Alerts, 7, "graph-alerts-v2"),
    stream("graph.alerts-legacy", Api::LegacyAlerts, 3, "graph-alerts-v1"),
];

/// Splits `events` over the streams that `wanted` accepts, in proportion to their shares; the parts sum to `events`.
pub(crate) fn split(events: u64, wanted: impl Fn(&str) -> bool) -> [u64; 12] {
    let shares = STREAMS.each_ref().map(|stream| if wanted(stream.name) { stream.share } else { 0 });
    let total: u64 = shares.iter().sum();
    let mut parts = [0; 12];
    let (mut shares_before, mut events_before) = (0, 0);
    for (part, share) in parts.iter_mut().zip(shares) {
        shares_before += share;
        let end =
            if total == 0 { 0 } else { (u128::from(events) * u128::from(shares_before) / u128::from(total)) as u64 };
        *part = end - events_before;
        events_before = end;
    }
    parts
}

/// The position of a stream in [`STREAMS`].
pub(crate) fn position(name: &str) -> Option<usize> {
    STREAMS.iter().position(|stream| stream.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sum_to_the_whole() {
        for events in [0, 1, 7, 500, 2_951, 400_000] {
            assert_eq!(split(events, |_| true).iter().sum::<u64>(), events);
            assert_eq!(split(events, |name| name == "graph.alerts")[10], events);
        }
        assert!(split(1_000, |_| true).iter().all(|part| *part > 0));
        assert_eq!(split(5, |_| false), [0; 12]);
    }
}
