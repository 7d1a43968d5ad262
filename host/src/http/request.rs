//! A request as a plain value.
//!
//! Invariant: making one has no effect; only [`Client::send`](super::Client::send) judges and sends it.

use std::time::Duration;

/// The methods that the contract knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

/// One request.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// An absolute URL.
    pub url: String,
    /// Further headers: names and values.
    pub headers: Vec<(String, String)>,
    /// The body; for [`Method::Get`], none.
    pub body: Option<Vec<u8>>,
    /// Whose token to put on; without one, none is put on.
    pub audience: Option<String>,
    /// The name of the quota that it counts against.
    pub quota: String,
    /// For the whole exchange, from when the quota let it through; zero, or more than the configured time, means the
    /// configured time.
    pub timeout: Duration,
    /// Whether a refusal of it says nothing about the other requests of its quota: starting something has a limit of its own.
    pub apart: bool,
}

impl Request {
    /// A GET without further headers, with the configured time limit.
    pub fn get(url: impl Into<String>, audience: Option<&str>, quota: impl Into<String>) -> Self {
        Self {
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            audience: audience.map(str::to_owned),
            quota: quota.into(),
            timeout: Duration::ZERO,
            apart: false,
        }
    }
}

impl std::fmt::Debug for Request {
    /// Without the values of headers and without the body, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.split(['?', '#']).next())
            .field("headers", &names)
            .field("body_bytes", &self.body.as_ref().map(Vec::len))
            .field("audience", &self.audience)
            .field("quota", &self.quota)
            .field("timeout", &self.timeout)
            .finish()
    }
}
