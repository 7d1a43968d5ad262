//! Microsoft Graph: what a collection is and how it is asked for a window of time.
//!
//! Invariant: bounds are inclusive on both sides and whole seconds, so neighbouring windows share a second and miss
//! nothing; the host drops what comes twice.

pub mod alerts;
pub mod alerts_legacy;
pub mod answers;
pub mod check;
pub mod directory_audits;
mod filtered;
mod position;
pub mod reader;
pub mod sign_ins;
pub mod windows;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::{Method, Request};
use crate::clock;
use crate::settings::Settings;
use crate::streams::{AUDIENCE_GRAPH, Collection, Stream};

/// What differs between the collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The path behind the root, with the version.
    pub path: &'static str,
    /// The property whose time decides the window.
    pub time: &'static str,
    /// A further condition of the filter.
    pub condition: Option<&'static str>,
    /// Whether oldest first is asked for, so that late arrivals don't shift the pages.
    pub ordered: bool,
    /// How far back the collection can be read, in milliseconds, if that is known.
    pub reach: Option<u64>,
    /// The number of records of one window from which on the service may have left some out without a word.
    pub cap: Option<u64>,
}

/// What is known of a collection.
pub const fn query(collection: Collection) -> Query {
    match collection {
        Collection::SignIns(family) => sign_ins::query(family),
        Collection::DirectoryAudits => directory_audits::QUERY,
        Collection::Alerts => alerts::QUERY,
        Collection::AlertsLegacy => alerts_legacy::QUERY,
    }
}

/// How far behind now a collection is read, in milliseconds.
fn lag_ms(collection: Collection, settings: &Settings) -> u64 {
    let minutes = match collection {
        Collection::SignIns(_) | Collection::DirectoryAudits => settings.reports_lag_minutes,
        Collection::Alerts | Collection::AlertsLegacy => settings.alerts_lag_minutes,
    };
    u64::from(minutes) * clock::MINUTE
}

/// Everything but letters, digits and `-._~` (RFC 3986, 2.3): Graph misreads some filters that aren't encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A bound of a window. Bounds are whole seconds, but for the end of a second that is read alone, with all of its fractions.
fn bound(ms: u64) -> String {
    match ms % clock::SECOND {
        0 => clock::zulu(ms),
        999 => format!("{}.999999Z", clock::zoneless(ms)),
        fraction => format!("{}.{fraction:03}Z", clock::zoneless(ms)),
    }
}

/// Makes the calls of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    root: String,
    query: Query,
    quota: &'static str,
    timeout_ms: u32,
}

impl Calls {
    pub(crate) fn new(settings: &Settings, stream: &Stream, collection: Collection) -> Self {
        Self {
            root: settings.root(AUDIENCE_GRAPH).to_owned(),
            query: query(collection),
            quota: stream.quota(),
            timeout_ms: settings.timeout_ms(),
        }
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The first page of the records from `from` to `to`, both inside.
    pub(crate) fn window(&self, from: u64, to: u64, top: u32, ordered: bool) -> Request {
        let Query { path, time, condition, .. } = self.query;
        let window = format!("{time} ge {} and {time} le {}", bound(from), bound(to));
        let filter = match condition {
            Some(condition) => format!("({window}) and {condition}"),
            None => window,
        };
        let mut url = format!("{}{path}?$top={top}&$filter={}", self.root, utf8_percent_encode(&filter, RESERVED));
        if ordered {
            url.push_str(&format!("&$orderby={time}%20asc"));
        }
        self.follow(&url)
    }

    /// An address that the service handed out, as it is.
    pub(crate) fn follow(&self, url: &str) -> Request {
        Request {
            method: Method::Get,
            url: url.to_owned(),
            headers: vec![
                ("accept", "application/json".to_owned()),
                ("prefer", "include-unknown-enum-members".to_owned()),
            ],
            audience: AUDIENCE_GRAPH,
            quota: self.quota,
            timeout_ms: self.timeout_ms,
        }
    }
}
