//! The Office 365 Management Activity API: its addresses.
//!
//! Invariant: every call carries `PublisherIdentifier`, also to addresses that the service handed out (Microsoft:
//! Management Activity API reference).

pub mod answers;
pub mod blob;
pub mod check;
pub mod feed;
mod listing;
pub mod state;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::{Method, Request};
use crate::clock;
use crate::settings::Settings;
use crate::streams::{AUDIENCE_OFFICE365, QUOTA_OFFICE365};

/// Everything that can't be part of a content id in a path; ids hold `$`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'$');

/// Makes the calls of one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    root: String,
    feed: String,
    publisher: String,
    timeout_ms: u32,
}

impl Calls {
    pub(crate) fn new(settings: &Settings) -> Self {
        let root = settings.office365_root().to_owned();
        let feed = format!("{root}/api/v1.0/{}/activity/feed", settings.tenant);
        Self { root, feed, publisher: settings.publisher().to_owned(), timeout_ms: settings.timeout_ms() }
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    pub(crate) fn list_subscriptions(&self) -> Request {
        self.request(Method::Get, &format!("{}/subscriptions/list", self.feed))
    }

    pub(crate) fn start_subscription(&self, content_type: &str) -> Request {
        self.request(Method::Post, &format!("{}/subscriptions/start?contentType={content_type}", self.feed))
    }

    /// Content that became available in `start <= contentCreated < end`. Both bounds are always sent: without them the
    /// service chooses a window of its own.
    pub(crate) fn list_content(&self, content_type: &str, start: u64, end: u64) -> Request {
        let url = format!(
            "{}/subscriptions/content?contentType={content_type}&startTime={}&endTime={}",
            self.feed,
            clock::zoneless(start),
            clock::zoneless(end)
        );
        self.request(Method::Get, &url)
    }

    /// An address that the service handed out, as it is.
    pub(crate) fn follow(&self, url: &str) -> Request {
        self.request(Method::Get, url)
    }

    /// The address of a blob whose listing gave only its id.
    pub(crate) fn content_uri(&self, content_id: &str) -> String {
        format!("{}/audit/{}", self.feed, utf8_percent_encode(content_id, RESERVED))
    }

    fn request(&self, method: Method, url: &str) -> Request {
        Request {
            method,
            url: identified(url, &self.publisher),
            headers: vec![("accept", "application/json".to_owned())],
            audience: AUDIENCE_OFFICE365,
            quota: QUOTA_OFFICE365,
            timeout_ms: self.timeout_ms,
        }
    }
}

/// Appends `PublisherIdentifier` to an address that doesn't have it; leaves the rest as it is.
fn identified(url: &str, publisher: &str) -> String {
    const NAME: &str = "publisheridentifier=";
    let query = url.find('?').map_or("", |at| &url[at + 1..]);
    if query.split('&').any(|pair| pair.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))) {
        return url.to_owned();
    }
    let joint = if !url.contains('?') {
        "?"
    } else if query.is_empty() || query.ends_with('&') {
        ""
    } else {
        "&"
    };
    format!("{url}{joint}PublisherIdentifier={publisher}")
}

#[cfg(test)]
mod tests {
    use super::identified;

    #[test]
    fn appends_the_publisher_once() {
        for (url, expected) in [
            ("https://m/a$b$c", "https://m/a$b$c?PublisherIdentifier=p"),
            ("https://m/a?x=1", "https://m/a?x=1&PublisherIdentifier=p"),
            ("https://m/a?", "https://m/a?PublisherIdentifier=p"),
            ("https://m/a?x=1&publisherIDENTIFIER=q", "https://m/a?x=1&publisherIDENTIFIER=q"),
            ("https://m/a?notPublisherIdentifier=q", "https://m/a?notPublisherIdentifier=q&PublisherIdentifier=p"),
        ] {
            assert_eq!(identified(url, "p"), expected);
        }
    }
}
