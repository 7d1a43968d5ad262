//! The settings of the source, as `source.configure` takes them.
//!
//! Invariant: members that aren't known here are ignored, since the same JSON object configures the transform.

use std::collections::BTreeMap;

use crate::clock::{DAY, HOUR, MINUTE, SECOND};
use crate::error::{Error, ErrorKind};
use crate::passes;
use crate::streams::{AUDIENCE_GRAPH, AUDIENCE_OFFICE365};

/// The oldest pass of the Management Activity API. It lists 7 days, and a pass takes up to 6 hours at a time.
const OLDEST_PASS: u64 = 156 * HOUR;
/// The oldest pass of Graph: Entra keeps its logs for 7 days without a premium licence.
const OLDEST_GRAPH_PASS: u64 = 6 * DAY;
/// How many passes there can be; each is a number in the state.
const MOST_PASSES: usize = 12;

/// What an operator can set. Every member but `tenant` has a default.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The tenant's GUID.
    pub tenant: String,
    /// The GUID sent as `PublisherIdentifier` with every Management Activity call: the tenant of whoever wrote the
    /// client. Without it, the calls share one pool of quota with everybody else's; default: the tenant itself.
    pub publisher: Option<String>,
    /// Root URLs by audience, without a slash at the end. Default: the worldwide cloud.
    pub endpoints: BTreeMap<String, String>,
    /// How far back the first read of a stream goes, in hours. The Management Activity API can go back 7 days and
    /// Graph's logs 30 days at most; more is taken as that.
    pub lookback_hours: u32,
    /// How much of the arrival clock every poll of the Management Activity API lists again, in minutes, so that content
    /// that shows up late is found. The host drops what it knows.
    pub office365_overlap_minutes: u32,
    /// At which ages a stretch of a Management Activity stream is listed again, for content that shows up late: whole
    /// numbers of minutes, hours or days, such as `15m`.
    pub passes: Vec<String>,
    /// How long to wait between two polls of a Management Activity stream, in seconds.
    pub office365_poll_seconds: u32,
    /// How far behind now sign-ins and directory audits are read, in minutes: they take that long to appear.
    pub reports_lag_minutes: u32,
    /// How far behind now alerts are read, in minutes.
    pub alerts_lag_minutes: u32,
    /// At which ages a stretch of a Graph stream is read again, for records that appear late: as `passes`.
    pub graph_passes: Vec<String>,
    /// Whether a stretch of a Graph stream is read once more after a day.
    pub graph_sweep: bool,
    /// How long to wait between two polls of a Graph stream, in seconds.
    pub graph_poll_seconds: u32,
    /// The widest window of Graph that is one split, in minutes. A reader narrows a window by itself when the service
    /// can't answer it in time.
    pub window_minutes: u32,
    /// The number of records a Graph page asks for (`$top`), 1 to 1000.
    pub page_size: u32,
    /// The largest record that is read, in MiB.
    pub record_limit_mib: u32,
    /// The time limit of one exchange, in seconds.
    pub timeout_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: String::new(),
            publisher: None,
            endpoints: BTreeMap::new(),
            lookback_hours: 24,
            office365_overlap_minutes: 60,
            passes: ["15m", "1h", "4h", "24h", "6d"].map(str::to_owned).to_vec(),
            office365_poll_seconds: 180,
            reports_lag_minutes: 10,
            alerts_lag_minutes: 5,
            graph_passes: ["20m", "1h", "4h"].map(str::to_owned).to_vec(),
            graph_sweep: false,
            graph_poll_seconds: 300,
            window_minutes: 360,
            page_size: 1000,
            record_limit_mib: 32,
            timeout_seconds: 120,
        }
    }
}

impl Settings {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// `invalid-config` with the member that is wrong.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let settings: Self = serde_json::from_str(json).map_err(|error| {
            invalid(format!("The plugin's settings aren't as expected: {error}. Mend that member."))
        })?;
        if !is_guid(&settings.tenant) {
            return Err(invalid(
                "The setting `tenant` isn't a GUID such as 00000000-0000-0000-0000-000000000000; give the tenant's id instead of its domain.".to_owned(),
            ));
        }
        if let Some(publisher) = &settings.publisher
            && !is_guid(publisher)
        {
            return Err(invalid(
                "The setting `publisher` isn't a GUID; leave it out to use the tenant's own.".to_owned(),
            ));
        }
        for (audience, root) in &settings.endpoints {
            if !(root.starts_with("https://") || root.starts_with("http://")) || root.ends_with('/') {
                return Err(invalid(format!(
                    "The setting `endpoints.{audience}` isn't a root URL without a slash at its end, such as https://graph.microsoft.com."
                )));
            }
        }
        for (name, value, least, most) in [
            ("lookback_hours", settings.lookback_hours, 0, 24 * 365),
            ("office365_overlap_minutes", settings.office365_overlap_minutes, 0, 12 * 60),
            ("office365_poll_seconds", settings.office365_poll_seconds, 1, 24 * 3600),
            ("graph_poll_seconds", settings.graph_poll_seconds, 1, 24 * 3600),
            ("window_minutes", settings.window_minutes, 5, 24 * 60),
            ("page_size", settings.page_size, 1, 1000),
            ("record_limit_mib", settings.record_limit_mib, 1, 256),
            ("timeout_seconds", settings.timeout_seconds, 1, 3600),
            ("reports_lag_minutes", settings.reports_lag_minutes, 0, 24 * 60),
            ("alerts_lag_minutes", settings.alerts_lag_minutes, 0, 24 * 60),
        ] {
            if value < least || value > most {
                return Err(invalid(format!(
                    "The setting `{name}` is {value}; it has to lie between {least} and {most}."
                )));
            }
        }
        for (member, names, oldest) in
            [("passes", &settings.passes, OLDEST_PASS), ("graph_passes", &settings.graph_passes, OLDEST_GRAPH_PASS)]
        {
            if names.len() > MOST_PASSES {
                return Err(invalid(format!("The setting `{member}` has more than {MOST_PASSES} members.")));
            }
            for name in names {
                if !passes::parse(name).is_some_and(|age| (5 * MINUTE..=oldest).contains(&age)) {
                    return Err(invalid(format!(
                        "The setting `{member}` holds {name:?}; a pass is a whole number of minutes, hours or days such as \"15m\", between 5m and {}.",
                        passes::name(oldest)
                    )));
                }
            }
        }
        Ok(settings)
    }

    /// The root URL of an audience.
    pub fn root(&self, audience: &str) -> &str {
        match self.endpoints.get(audience) {
            Some(root) => root,
            None if audience == AUDIENCE_GRAPH => "https://graph.microsoft.com",
            None => "https://manage.office.com",
        }
    }

    /// The root URL of the Management Activity API.
    pub fn office365_root(&self) -> &str {
        self.root(AUDIENCE_OFFICE365)
    }

    /// The GUID to send as `PublisherIdentifier`.
    pub fn publisher(&self) -> &str {
        self.publisher.as_deref().unwrap_or(&self.tenant)
    }

    /// `lookback_hours` in milliseconds.
    pub fn lookback_ms(&self) -> u64 {
        u64::from(self.lookback_hours) * HOUR
    }

    /// `office365_overlap_minutes` in milliseconds.
    pub fn office365_overlap_ms(&self) -> u64 {
        u64::from(self.office365_overlap_minutes) * MINUTE
    }

    /// `passes` in milliseconds.
    pub fn office365_passes(&self) -> Vec<u64> {
        self.passes.iter().filter_map(|name| passes::parse(name)).collect()
    }

    /// `graph_passes`, and the sweep if there is one, in milliseconds.
    pub fn graph_passes(&self) -> Vec<u64> {
        let sweep = self.graph_sweep.then_some(DAY);
        self.graph_passes.iter().filter_map(|name| passes::parse(name)).chain(sweep).collect()
    }

    /// `window_minutes` in milliseconds.
    pub fn window_ms(&self) -> u64 {
        u64::from(self.window_minutes) * MINUTE
    }

    /// `timeout_seconds` in milliseconds.
    pub fn timeout_ms(&self) -> u32 {
        // At most 3,600 seconds by `parse`; a default is far below.
        self.timeout_seconds.saturating_mul(SECOND as u32)
    }

    /// `record_limit_mib` in bytes.
    pub fn record_limit(&self) -> usize {
        (self.record_limit_mib as usize) << 20
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, "settings", message)
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "6f2b1a9c-0d3e-4f58-9a7b-1c2d3e4f5a6b";

    #[test]
    fn defaults_and_unknown_members() {
        let settings = Settings::parse(&format!(r#"{{"tenant":"{TENANT}","observables":true}}"#)).unwrap();
        assert_eq!(settings.publisher(), TENANT);
        assert_eq!(settings.office365_root(), "https://manage.office.com");
        assert_eq!(settings.root(AUDIENCE_GRAPH), "https://graph.microsoft.com");
        assert_eq!(settings.lookback_ms(), 24 * HOUR);
    }

    #[test]
    fn refuses_what_cannot_work() {
        for (member, word) in [
            (r#""tenant":"contoso.com""#, "tenant"),
            (r#""publisher":"us""#, "publisher"),
            (r#""endpoints":{"microsoft-graph":"https://graph.microsoft.com/"}"#, "endpoints"),
            (r#""endpoints":{"microsoft-graph":"graph"}"#, "endpoints"),
            (r#""window_minutes":0"#, "window_minutes"),
            (r#""page_size":5000"#, "page_size"),
            (r#""passes":["1h","7d"]"#, "156h"),
            (r#""graph_passes":["soon"]"#, "graph_passes"),
            (r#""page_size":"many""#, "expected"),
        ] {
            let json = if member.starts_with("\"tenant") {
                format!("{{{member}}}")
            } else {
                format!(r#"{{"tenant":"{TENANT}",{member}}}"#)
            };
            let error = Settings::parse(&json).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidConfig);
            assert!(error.message.contains(word), "{}", error.message);
        }
        assert!(Settings::parse("[]").is_err());
    }
}
